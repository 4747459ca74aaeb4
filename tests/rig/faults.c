/* faults.c - libfaults.so: stands between a program and the C library, and makes one call of it go
 * wrong. See faults.h; asked for by rig_faults.c.
 *
 * It must work in a child that shares its parent's memory (lw_spawn), in every thread, before
 * constructors have run and beneath the sanitizers. So it allocates nothing, and asks the C
 * library for nothing but the functions it stands for.
 */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_proto.h"

#define FDS_MAX 4096

enum when { NEVER, BEFORE, AFTER, INSTEAD };

static struct {
	enum when when;
	enum fault_call call;
	unsigned message; /* 0: none */
	uint64_t n;
	int error; /* 0: die */
	bool both;
	bool late;
	const char *once;
	bool supervisor; /* that is us */
} fault;

static uint64_t seen; /* calls that count */
static uint64_t own_counts[FAULT_CALLS_N], *counts = own_counts;
static bool of_proc[FDS_MAX]; /* descriptors that lead into /proc */
static long (*real_syscall)(long number, ...);

/* ---- what is asked for ------------------------------------------------------------------------ */

static const char *const call_names[] = {
#define NAME(name, errors) #name,
	FAULT_CALLS(NAME)
#undef NAME
};

static const struct {
	const char *name;
	unsigned id;
} messages[] = {
#define MESSAGE(NAME, name, id, by) { #NAME, id },
	LW_MESSAGES(MESSAGE)
#undef MESSAGE
};

static const struct {
	const char *name;
	int number;
} errors[] = {
#define ERROR(name)                                                                                \
	{                                                                                          \
#name, name                                                                        \
	}
	ERROR(EACCES),       ERROR(EADDRINUSE), ERROR(EAGAIN), ERROR(EBUSY),
	ERROR(ECONNABORTED), ERROR(ECONNRESET), ERROR(EINTR),  ERROR(EIO),
	ERROR(EMFILE),       ERROR(ENOBUFS),    ERROR(ENOLCK), ERROR(ENOMEM),
	ERROR(ENOSPC),       ERROR(EPERM),      ERROR(EPIPE),  ERROR(ESRCH),
#undef ERROR
};

static void misunderstood(const char *word)
{
	fprintf(stderr, "libfaults: '%s' in " FAULT_VARIABLE " says nothing\n", word);
	_exit(99);
}

static enum fault_call call_of(const char *word)
{
	for (int i = 0; i < FAULT_CALLS_N; i++)
		if (strcmp(call_names[i], word) == 0)
			return (enum fault_call)i;
	misunderstood(word);
	return FAULT_any;
}

static unsigned message_of(const char *word)
{
	for (size_t i = 0; i < LW_COUNT(messages); i++)
		if (strcmp(messages[i].name, word) == 0)
			return messages[i].id;
	if (strcmp(word, "-") != 0)
		misunderstood(word);
	return 0;
}

static enum when when_of(const char *word)
{
	static const char *const words[] = { "before", "after", "instead" };

	for (size_t i = 0; i < LW_COUNT(words); i++)
		if (strcmp(words[i], word) == 0)
			return (enum when)(BEFORE + i);
	misunderstood(word);
	return NEVER;
}

static void take_action(const char *word)
{
	fault.both = strcmp(word, "die_both") == 0;
	fault.late = strcmp(word, "late") == 0;
	if (fault.both || fault.late || strcmp(word, "die") == 0)
		return;
	for (size_t i = 0; i < LW_COUNT(errors); i++)
		if (strcmp(errors[i].name, word) == 0)
			fault.error = errors[i].number;
	if (fault.error == 0)
		misunderstood(word);
}

static bool is_us(const char *program)
{
	return strcmp(program_invocation_short_name, program) == 0;
}

static void share_counts(const char *path)
{
	int fd = (int)real_syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	void *map = fd < 0 ? MAP_FAILED
			   : (void *)real_syscall(SYS_mmap, 0L, sizeof(own_counts),
						  (long)(PROT_READ | PROT_WRITE), (long)MAP_SHARED,
						  (long)fd, 0L);

	if (map != MAP_FAILED)
		counts = map;
	real_syscall(SYS_close, fd);
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv(FAULT_VARIABLE);
	char program[32], when[16], call[32], message[32], action[32];
	unsigned long n;

	*(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
	if (text == NULL || sscanf(text, "%31s %15s %31s %31s %lu %31s", program, when, call,
				   message, &n, action) != 6)
		return;
	if (!is_us(program))
		return;
	fault.supervisor = is_us("lw-supervisor");
	fault.call = call_of(call);
	fault.message = message_of(message);
	fault.n = n;
	fault.once = getenv(FAULT_ONCE);
	take_action(action);
	if (getenv(FAULT_COUNTS) != NULL)
		share_counts(getenv(FAULT_COUNTS));
	fault.when = when_of(when); /* last: from now on */
}

/* ---- it happens ---------------------------------------------------------------------------------- */

static bool first_of_all(void)
{
	long fd;

	if (fault.once == NULL)
		return true;
	fd = real_syscall(SYS_openat, AT_FDCWD, fault.once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  0600);
	real_syscall(SYS_close, fd);
	return fd >= 0;
}

static void kill_children(void)
{
	char path[64], bytes[4096];
	long fd, size;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = real_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : real_syscall(SYS_read, fd, bytes, sizeof(bytes) - 1);
	bytes[size > 0 ? size : 0] = '\0';
	for (char *at = bytes, *end; (end = strchr(at, ' ')) != NULL; at = end + 1)
		real_syscall(SYS_kill, (long)strtol(at, NULL, 10), (long)SIGKILL);
}

/* Its main thread's children are all of a supervisor's. An adopted worker has another parent. */
static void die(void)
{
	char path[64], name[32] = "";
	long fd;

	if (fault.both && fault.supervisor) {
		kill_children();
	} else if (fault.both) {
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)getppid());
		fd = real_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && real_syscall(SYS_read, fd, name, sizeof(name) - 1) > 0 &&
		    strncmp(name, "lw-supervisor", 13) == 0)
			real_syscall(SYS_kill, (long)getppid(), (long)SIGKILL);
	}
	real_syscall(SYS_kill, (long)getpid(), (long)SIGKILL);
	for (;;)
		pause();
}

static uint64_t next_of(uint64_t *number)
{
	return __atomic_add_fetch(number, 1, __ATOMIC_RELAXED);
}

/* The call is about to be made. True: it fails instead. */
static bool fails(enum fault_call call)
{
	bool counts_here = fault.message == 0 && (fault.call == FAULT_any || fault.call == call);

	if (fault.when == NEVER)
		return false;
	next_of(&counts[call]);
	if (call != FAULT_wal)
		next_of(&counts[FAULT_any]);
	if (call == FAULT_wal && fault.call == FAULT_any)
		return false; /* it is a pwrite as well */
	if (!counts_here || fault.when == AFTER || fault.late)
		return false;
	if (next_of(&seen) != fault.n || !first_of_all())
		return false;
	if (fault.when == BEFORE)
		die();
	errno = fault.error;
	return true;
}

static void made(enum fault_call call)
{
	int saved = errno;

	if (fault.when == AFTER && fault.message == 0 && fault.call == call &&
	    next_of(&seen) == fault.n && first_of_all())
		die();
	errno = saved;
}

/* Whole frames, one after another, as they leave and mostly come. */
static bool has_message(const uint8_t *at, size_t size)
{
	while (size >= 6) {
		size_t length =
			(size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];

		if ((at[4] & 0xf0) != 0x90 || at[5] == 0 || at[5] > LW_MSG_STOP)
			return false;
		if (at[5] == fault.message)
			return true;
		if (length + 4 >= size)
			return false;
		at += length + 4;
		size -= length + 4;
	}
	return false;
}

static void carries(enum when when, enum fault_call call, const void *bytes, ssize_t size)
{
	int saved = errno;

	if (fault.when == when && fault.call == call && fault.message != 0 && size > 0 &&
	    has_message(bytes, (size_t)size) && next_of(&seen) == fault.n && first_of_all())
		die();
	errno = saved;
}

/* ---- the functions of the C library ---------------------------------------------------------------- */

/* The function that we stand for. */
#define REAL(type, name, ...)                                                                      \
	static type (*real)(__VA_ARGS__);                                                          \
	if (real == NULL)                                                                          \
		*(void **)&real = dlsym(RTLD_NEXT, #name);

#define LIST(...) __VA_ARGS__

#define STAND_FOR(call, type, name, parameters, arguments)                                         \
	type name(parameters);                                                                     \
	type name(parameters)                                                                      \
	{                                                                                          \
		REAL(type, name, parameters)                                                       \
		type r;                                                                            \
                                                                                                   \
		if (fails(FAULT_##call))                                                           \
			return (type)-1;                                                           \
		r = real(arguments);                                                               \
		made(FAULT_##call);                                                                \
		return r;                                                                          \
	}

/* clang-format off */
STAND_FOR(accept4, int, accept4, LIST(int fd, struct sockaddr *a, socklen_t *n, int flags), LIST(fd, a, n, flags))
STAND_FOR(bind, int, bind, LIST(int fd, const struct sockaddr *a, socklen_t n), LIST(fd, a, n))
STAND_FOR(chmod, int, chmod, LIST(const char *path, mode_t mode), LIST(path, mode))
STAND_FOR(chmod, int, fchmodat, LIST(int at, const char *path, mode_t mode, int flags), LIST(at, path, mode, flags))
STAND_FOR(connect, int, connect, LIST(int fd, const struct sockaddr *a, socklen_t n), LIST(fd, a, n))
STAND_FOR(dup3, int, dup3, LIST(int from, int to, int flags), LIST(from, to, flags))
STAND_FOR(epoll_create1, int, epoll_create1, LIST(int flags), LIST(flags))
STAND_FOR(epoll_ctl, int, epoll_ctl, LIST(int ep, int op, int fd, struct epoll_event *event), LIST(ep, op, fd, event))
STAND_FOR(epoll_wait, int, epoll_wait, LIST(int ep, struct epoll_event *events, int most, int ms), LIST(ep, events, most, ms))
STAND_FOR(eventfd, int, eventfd, LIST(unsigned start, int flags), LIST(start, flags))
STAND_FOR(fchmod, int, fchmod, LIST(int fd, mode_t mode), LIST(fd, mode))
STAND_FOR(fdatasync, int, fdatasync, LIST(int fd), LIST(fd))
STAND_FOR(fdatasync, int, fsync, LIST(int fd), LIST(fd))
STAND_FOR(flock, int, flock, LIST(int fd, int operation), LIST(fd, operation))
STAND_FOR(fstat, int, fstat, LIST(int fd, struct stat *s), LIST(fd, s))
STAND_FOR(fstat, int, fstat64, LIST(int fd, struct stat64 *s), LIST(fd, s))
STAND_FOR(fstat, int, stat64, LIST(const char *path, struct stat64 *s), LIST(path, s))
STAND_FOR(ftruncate, int, ftruncate, LIST(int fd, off_t size), LIST(fd, size))
STAND_FOR(ftruncate, int, ftruncate64, LIST(int fd, off64_t size), LIST(fd, size))
STAND_FOR(getdents, ssize_t, getdents64, LIST(int fd, void *bytes, size_t size), LIST(fd, bytes, size))
STAND_FOR(getrandom, ssize_t, getrandom, LIST(void *bytes, size_t size, unsigned flags), LIST(bytes, size, flags))
STAND_FOR(getsockopt, int, getsockopt, LIST(int fd, int level, int name, void *v, socklen_t *n), LIST(fd, level, name, v, n))
STAND_FOR(kill, int, kill, LIST(pid_t pid, int number), LIST(pid, number))
STAND_FOR(listen, int, listen, LIST(int fd, int backlog), LIST(fd, backlog))
STAND_FOR(mkdir, int, mkdir, LIST(const char *path, mode_t mode), LIST(path, mode))
STAND_FOR(mkfifo, int, mkfifo, LIST(const char *path, mode_t mode), LIST(path, mode))
STAND_FOR(mmap, void *, mmap, LIST(void *at, size_t size, int prot, int flags, int fd, off_t from), LIST(at, size, prot, flags, fd, from))
STAND_FOR(mmap, void *, mmap64, LIST(void *at, size_t size, int prot, int flags, int fd, off64_t from), LIST(at, size, prot, flags, fd, from))
STAND_FOR(poll, int, poll, LIST(struct pollfd *fds, nfds_t n, int ms), LIST(fds, n, ms))
STAND_FOR(poll, int, ppoll, LIST(struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask), LIST(fds, n, t, mask))
STAND_FOR(pread, ssize_t, pread64, LIST(int fd, void *bytes, size_t size, off64_t at), LIST(fd, bytes, size, at))
STAND_FOR(rename, int, rename, LIST(const char *from, const char *to), LIST(from, to))
STAND_FOR(rename, int, renameat, LIST(int a, const char *from, int b, const char *to), LIST(a, from, b, to))
STAND_FOR(setsockopt, int, setsockopt, LIST(int fd, int level, int name, const void *v, socklen_t n), LIST(fd, level, name, v, n))
STAND_FOR(socket, int, socket, LIST(int family, int type, int protocol), LIST(family, type, protocol))
STAND_FOR(splice, ssize_t, splice, LIST(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags), LIST(from, a, to, b, size, flags))
STAND_FOR(tee, ssize_t, tee, LIST(int from, int to, size_t size, unsigned flags), LIST(from, to, size, flags))
STAND_FOR(timerfd, int, timerfd_create, LIST(clockid_t clock, int flags), LIST(clock, flags))
STAND_FOR(timerfd, int, timerfd_settime, LIST(int fd, int flags, const struct itimerspec *to, struct itimerspec *was), LIST(fd, flags, to, was))
STAND_FOR(unlink, int, unlink, LIST(const char *path), LIST(path))
STAND_FOR(unlink, int, unlinkat, LIST(int at, const char *path, int flags), LIST(at, path, flags))
STAND_FOR(write, ssize_t, write, LIST(int fd, const void *bytes, size_t size), LIST(fd, bytes, size))
STAND_FOR(writev, ssize_t, writev, LIST(int fd, const struct iovec *parts, int n), LIST(fd, parts, n))
/* clang-format on */

static struct late {
	void *(*run)(void *);
	void *context;
} late;

static void *run_late(void *context)
{
	(void)context;
	while (__atomic_load_n(&counts[FAULT_epoll_wait], __ATOMIC_ACQUIRE) < fault.n)
		sched_yield();
	(void)first_of_all();
	return late.run(late.context);
}

/* With WNOHANG it does not fail where there is a child. */
int waitid(idtype_t by, id_t id, siginfo_t *info, int options)
{
	REAL(int, waitid, idtype_t, id_t, siginfo_t *, int)

	return (options & WNOHANG) == 0 && fails(FAULT_waitid) ? -1 : real(by, id, info, options);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	REAL(pid_t, waitpid, pid_t, int *, int)

	return (options & WNOHANG) == 0 && fails(FAULT_waitid) ? -1 : real(pid, status, options);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
		   void *context)
{
	REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)

	if (fails(FAULT_pthread_create))
		return errno;
	if (!fault.late)
		return real(thread, attributes, run, context);
	late = (struct late){ run, context };
	return real(thread, attributes, run_late, NULL);
}

int clone(int (*run)(void *), void *stack, int flags, void *context, ...)
{
	REAL(int, clone, int (*)(void *), void *, int, void *, ...)
	int pid;

	if (fails(FAULT_clone))
		return -1;
	pid = real(run, stack, flags, context);
	made(FAULT_clone);
	return pid;
}

static enum fault_call call_of_number(long number)
{
	return number == SYS_pidfd_open    ? FAULT_pidfd_open
	       : number == SYS_close_range ? FAULT_close_range
					   : FAULT_CALLS_N;
}

long syscall(long number, ...)
{
	enum fault_call call = call_of_number(number);
	long words[6], r;
	va_list list;

	va_start(list, number);
	for (size_t i = 0; i < LW_COUNT(words); i++)
		words[i] = va_arg(list, long);
	va_end(list);
	if (real_syscall == NULL)
		*(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
	if (call != FAULT_CALLS_N && fails(call))
		return -1;
	r = real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
	if (call != FAULT_CALLS_N)
		made(call);
	return r;
}

/* ---- files ------------------------------------------------------------------------------------------- */

static bool is_of_proc(int fd)
{
	return fd >= 0 && fd < FDS_MAX && of_proc[fd];
}

/* In /proc, or below a folder there. */
static enum fault_call opening(int at, const char *path)
{
	return is_of_proc(at) || strncmp(path, "/proc", 5) == 0 ? FAULT_open_proc : FAULT_open;
}

static int opened(int fd, enum fault_call call)
{
	if (fd >= 0 && fd < FDS_MAX)
		of_proc[fd] = call == FAULT_open_proc;
	made(call);
	return fd;
}

static mode_t mode_in(int flags, va_list list)
{
	return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		REAL(int, name, const char *, int, ...)                                            \
		enum fault_call call = opening(-1, path);                                          \
		va_list list;                                                                      \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(list, flags);                                                             \
		mode = mode_in(flags, list);                                                       \
		va_end(list);                                                                      \
		return fails(call) ? -1 : opened(real(path, flags, mode), call);                   \
	}
#define OPENAT(name)                                                                               \
	int name(int at, const char *path, int flags, ...)                                         \
	{                                                                                          \
		REAL(int, name, int, const char *, int, ...)                                       \
		enum fault_call call = opening(at, path);                                          \
		va_list list;                                                                      \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(list, flags);                                                             \
		mode = mode_in(flags, list);                                                       \
		va_end(list);                                                                      \
		return fails(call) ? -1 : opened(real(at, path, flags, mode), call);               \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd)
{
	REAL(int, close, int)

	if (fd >= 0 && fd < FDS_MAX)
		of_proc[fd] = false;
	return real(fd);
}

/* What may fail of the many things that it does. */
static enum fault_call fcntl_call(int what, const void *argument)
{
	if (what == F_DUPFD_CLOEXEC || what == F_DUPFD)
		return FAULT_dup;
	if (what == F_SETLK && ((const struct flock *)argument)->l_type != F_UNLCK)
		return FAULT_file_lock;
	return FAULT_CALLS_N;
}

#define FCNTL(name)                                                                                \
	int name(int fd, int what, ...)                                                            \
	{                                                                                          \
		REAL(int, name, int, int, ...)                                                     \
		enum fault_call call;                                                              \
		va_list list;                                                                      \
		void *argument;                                                                    \
                                                                                                   \
		va_start(list, what);                                                              \
		argument = va_arg(list, void *);                                                   \
		va_end(list);                                                                      \
		call = fcntl_call(what, argument);                                                 \
		return call != FAULT_CALLS_N && fails(call) ? -1 : real(fd, what, argument);       \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

int ioctl(int fd, unsigned long what, ...)
{
	REAL(int, ioctl, int, unsigned long, ...)
	va_list list;
	void *argument;

	va_start(list, what);
	argument = va_arg(list, void *);
	va_end(list);
	return fails(FAULT_ioctl) ? -1 : real(fd, what, argument);
}

static bool is_wal(int fd)
{
	static const char name[] = "journal.db-wal";
	char path[64], file[512];
	long size;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	size = real_syscall(SYS_readlinkat, AT_FDCWD, path, file, sizeof(file));
	return size >= (long)sizeof(name) &&
	       memcmp(file + size - (sizeof(name) - 1), name, sizeof(name) - 1) == 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t)
	bool wal = fault.when != NEVER && is_wal(fd);
	ssize_t r;

	if (fails(FAULT_pwrite) || (wal && fails(FAULT_wal)))
		return -1;
	r = real(fd, bytes, size, at);
	made(FAULT_pwrite);
	if (wal)
		made(FAULT_wal);
	return r;
}

ssize_t read(int fd, void *bytes, size_t size)
{
	REAL(ssize_t, read, int, void *, size_t)
	enum fault_call call = is_of_proc(fd) ? FAULT_read_proc : FAULT_read;
	ssize_t r;

	if (fails(call))
		return -1;
	r = real(fd, bytes, size);
	made(call);
	return r;
}

/* ---- channels ---------------------------------------------------------------------------------------- */

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	REAL(ssize_t, send, int, const void *, size_t, int)
	ssize_t r;

	if (fails(FAULT_send))
		return -1;
	carries(BEFORE, FAULT_send, bytes, (ssize_t)size);
	r = real(fd, bytes, size, flags);
	made(FAULT_send);
	carries(AFTER, FAULT_send, bytes, r);
	return r;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	REAL(ssize_t, recv, int, void *, size_t, int)
	ssize_t r;

	if (fails(FAULT_recv))
		return -1;
	r = real(fd, bytes, size, flags);
	made(FAULT_recv);
	carries(AFTER, FAULT_recv, bytes, r);
	return r;
}

/* As the supervisor reads: mostly all of it is in one part. */
ssize_t readv(int fd, const struct iovec *parts, int n)
{
	REAL(ssize_t, readv, int, const struct iovec *, int)
	ssize_t r, left;

	if (fails(FAULT_readv))
		return -1;
	r = left = real(fd, parts, n);
	made(FAULT_readv);
	for (int i = 0; i < n && left > 0; i++) {
		ssize_t here = left < (ssize_t)parts[i].iov_len ? left : (ssize_t)parts[i].iov_len;

		carries(AFTER, FAULT_readv, parts[i].iov_base, here);
		left -= here;
	}
	return r;
}
