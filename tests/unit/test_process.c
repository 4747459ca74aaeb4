/* links: lw_common */
/* test_process.c - real processes named, found again, and asked how they ended, by all that this
 * kernel has and by what an old one has. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_process.h"
#include "lw_tree.h"

#define DEADLINE 20000 /* ms */
#define NOBODY   65534

static struct lw_err err;

static void as_new_kernel(void)
{
	cr_assert_eq(unsetenv("LW_OLD_KERNEL"), 0);
}

static void as_old_kernel(void)
{
	cr_assert_eq(setenv("LW_OLD_KERNEL", "1", 1), 0);
}

TestSuite(process, .init = as_new_kernel, .timeout = 60);
TestSuite(process_on_an_old_kernel, .init = as_old_kernel, .timeout = 60);

#define BOTH(name)                                                                                 \
	static void name(void);                                                                    \
	Test(process, name)                                                                        \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	Test(process_on_an_old_kernel, name)                                                       \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	static void name(void)

static bool kernel_is(int major, int minor)
{
	struct utsname name;
	int has_major = 0, has_minor = 0;

	cr_assert_eq(uname(&name), 0);
	cr_assert_eq(sscanf(name.release, "%d.%d", &has_major, &has_minor), 2);
	return has_major > major || (has_major == major && has_minor >= minor);
}

/* ---- children ------------------------------------------------------------------------------ */

/* As long as whoever started it: a test that fails leaves nobody behind. */
static void wait_for_ever(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static pid_t child_that_waits(void)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		wait_for_ever();
	return pid;
}

static pid_t child_that_exits(int code)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(code);
	return pid;
}

static int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	cr_assert_geq(fd, 0);
	return fd;
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;

	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void reap(pid_t pid)
{
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void end(pid_t pid)
{
	cr_assert_eq(kill(pid, SIGKILL), 0);
	reap(pid);
}

static struct lw_process_name name_of(pid_t pid)
{
	struct lw_process_name name = { 0 };

	cr_assert_eq(lw_process_name(pid, -1, &name), 0);
	return name;
}

static int open_name(const struct lw_process_name *name)
{
	int fd = -1, r = lw_process_open(name, &fd, &err);

	cr_assert_eq(r < 0, fd < 0);
	return r < 0 ? r : fd;
}

/* ---- names --------------------------------------------------------------------------------- */

Test(process, a_name_has_a_handle_where_the_kernel_gives_one)
{
	struct lw_process_name name = name_of(getpid());

	cr_assert_eq(name.handle != 0, kernel_is(6, 9));
	cr_assert_eq(name.pid, getpid());
	cr_assert_eq(name.start, lw_proc_start_time(getpid()));
	cr_assert_eq(strlen(name.boot), 36);
}

Test(process_on_an_old_kernel, a_name_has_no_handle)
{
	cr_assert_eq(name_of(getpid()).handle, 0);
}

BOTH(a_name_opens_that_process)
{
	pid_t pid = child_that_waits();
	struct lw_process_name name = name_of(pid);
	int fd = open_name(&name);

	cr_assert_geq(fd, 0, "%s", err.text);
	cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	cr_assert(lw_process_lives(fd));
	cr_assert_eq(lw_process_signal(fd, SIGKILL), 0);
	await_zombie(pid);
	cr_assert_not(lw_process_lives(fd));
	reap(pid);
	close(fd);
}

BOTH(a_pidfd_at_hand_gives_the_same_name)
{
	pid_t pid = child_that_waits();
	int fd = pidfd_of(pid);
	struct lw_process_name name = name_of(pid), other;

	cr_assert_eq(lw_process_name(pid, fd, &other), 0);
	cr_assert_eq(name.handle, other.handle);
	cr_assert_eq(name.start, other.start);
	end(pid);
	cr_assert_eq(lw_process_name(pid, fd, &other), -ESRCH);
	cr_assert_eq(lw_process_name(pid, -1, &other), -ESRCH);
	close(fd);
}

BOTH(a_zombie_is_still_that_process)
{
	pid_t pid = child_that_waits();
	struct lw_process_name name = name_of(pid);
	int fd;

	cr_assert_eq(kill(pid, SIGKILL), 0);
	await_zombie(pid);
	fd = open_name(&name);
	cr_assert_geq(fd, 0, "%s", err.text);
	cr_assert_not(lw_process_lives(fd));
	cr_assert_eq(lw_process_signal(fd, SIGTERM), 0);
	reap(pid);
	cr_assert_eq(lw_process_signal(fd, SIGTERM), -ESRCH);
	close(fd);
}

BOTH(a_reaped_process_is_gone)
{
	pid_t pid = child_that_waits();
	struct lw_process_name name = name_of(pid);
	LW_AUTO(lw_free) char *text = lw_format("process %d is gone", (int)pid);

	end(pid);
	cr_assert_eq(open_name(&name), -ESRCH);
	cr_assert_str_eq(err.text, text);
}

BOTH(a_name_of_another_boot_means_nobody)
{
	struct lw_process_name name = name_of(getpid());

	name.boot[0] = name.boot[0] == 'a' ? 'b' : 'a';
	cr_assert_eq(open_name(&name), -ESRCH);
	cr_assert_not_null(strstr(err.text, "earlier boot"));
}

BOTH(a_name_made_on_an_older_kernel_is_opened_by_its_start_time)
{
	struct lw_process_name name = name_of(getpid());
	int fd;

	name.handle = 0;
	fd = open_name(&name);
	cr_assert_geq(fd, 0, "%s", err.text);
	close(fd);
	name.start++;
	cr_assert_eq(open_name(&name), -ESRCH);
}

Test(process, a_name_with_another_handle_means_nobody)
{
	struct lw_process_name name = name_of(getpid());

	if (name.handle == 0)
		cr_skip_test("this kernel has no pidfs");
	name.handle++;
	cr_assert_eq(open_name(&name), -ESRCH);
}

BOTH(a_pid_that_nobody_can_have_is_gone)
{
	struct lw_process_name name = name_of(getpid());

	name.pid = 0x7ffffff0;
	cr_assert_eq(open_name(&name), -ESRCH);
	name.pid = 0;
	cr_assert_eq(open_name(&name), -ESRCH);
}

/* A child that has `pid`, which was just somebody else's. As clone3(2) of Linux 5.5 wants it. */
static pid_t child_in_place_of(pid_t pid)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
		uint64_t set_tid, set_tid_size;
	} args = { .exit_signal = SIGCHLD,
		   .set_tid = (uint64_t)(uintptr_t)&pid,
		   .set_tid_size = 1 };
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (child < 0)
		cr_skip_test("may not choose a pid here: %s", strerror(errno));
	if (child == 0)
		wait_for_ever();
	cr_assert_eq(child, pid);
	return child;
}

BOTH(whoever_got_the_pid_afterwards_is_not_meant)
{
	pid_t pid = child_that_waits();
	struct lw_process_name name = name_of(pid);
	int fd = open_name(&name);

	cr_assert_geq(fd, 0);
	end(pid);
	child_in_place_of(pid);
	while (lw_proc_start_time(pid) == name.start && name.handle == 0) {
		end(pid); /* within one tick an old kernel cannot tell them apart */
		child_in_place_of(pid);
	}
	cr_assert_eq(open_name(&name), -ESRCH);
	cr_assert_eq(lw_process_signal(fd, SIGKILL), -ESRCH);
	cr_assert(lw_proc_lives(pid));
	end(pid);
	close(fd);
}

static int tid_of[2], may_return[2]; /* pipes */

static void *say_tid(void *context)
{
	pid_t tid = gettid();
	char byte;

	if (write(tid_of[1], &tid, sizeof(tid)) < 0 || read(may_return[0], &byte, 1) < 0)
		_exit(1);
	return context;
}

BOTH(a_thread_is_nobody)
{
	struct lw_process_name name = name_of(getpid());
	pthread_t thread;

	cr_assert_eq(pipe2(tid_of, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(may_return, O_CLOEXEC), 0);
	cr_assert_eq(pthread_create(&thread, NULL, say_tid, NULL), 0);
	cr_assert_eq(read(tid_of[0], &name.pid, sizeof(name.pid)), (ssize_t)sizeof(name.pid));
	cr_assert_eq(open_name(&name), -ESRCH);
	close(may_return[1]);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- how a child ended ----------------------------------------------------------------------- */

static struct lw_exit how;

static int ask(int pidfd, pid_t pid, bool child)
{
	how = (struct lw_exit){ true, true, -1 };
	return lw_process_status(pidfd, pid, child, &how);
}

static void check(bool known, bool signaled, int code)
{
	cr_assert_eq(how.known, known);
	cr_assert_eq(how.signaled, signaled);
	cr_assert_eq(how.code, code);
}

BOTH(a_child_is_waited_for)
{
	pid_t pid = child_that_waits();
	int fd = pidfd_of(pid);

	cr_assert_eq(ask(fd, pid, true), -EAGAIN);
	cr_assert_eq(kill(pid, SIGTERM), 0);
	await_zombie(pid);
	cr_assert_eq(ask(fd, pid, true), 0);
	check(true, true, SIGTERM);
	cr_assert_eq(waitpid(pid, NULL, 0), -1); /* it was reaped */
	close(fd);
}

BOTH(a_child_without_a_pidfd_is_waited_for)
{
	pid_t pid = child_that_exits(3);

	await_zombie(pid);
	cr_assert_eq(ask(-1, pid, true), 0);
	check(true, false, 3);
	cr_assert_eq(ask(-1, pid, true), -ECHILD);
}

BOTH(a_child_whose_status_somebody_took_is_a_stranger)
{
	pid_t pid = child_that_exits(3);
	int fd = pidfd_of(pid);

	reap(pid);
	cr_assert_eq(ask(fd, pid, true), 0);
	if (kernel_is(6, 15) && !lw_old_kernel())
		check(true, false, 3);
	else
		check(false, false, 0);
	close(fd);
}

/* ---- how a stranger ended -------------------------------------------------------------------- */

/* A child of our child, which reaps it when we say so. */
struct stranger {
	pid_t parent, pid;
	int pidfd;
	int go;   /* a byte: reap it */
	int said; /* its pid, then a byte: it is reaped */
};

static void parent_of(void (*life)(void), int go, int said)
{
	pid_t pid = fork();
	char byte = 0;

	if (pid == 0) {
		life();
		_exit(0);
	}
	if (write(said, &pid, sizeof(pid)) < 0 || read(go, &byte, 1) != 1)
		_exit(1);
	waitpid(pid, NULL, 0);
	if (write(said, &byte, 1) < 0 || read(go, &byte, 1) != 0)
		_exit(1);
	_exit(0);
}

static struct stranger stranger_with(void (*life)(void))
{
	struct stranger stranger;
	int go[2], said[2];

	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
	stranger.parent = fork();
	cr_assert_geq(stranger.parent, 0);
	if (stranger.parent == 0) {
		close(go[1]);
		parent_of(life, go[0], said[1]);
	}
	close(go[0]);
	close(said[1]);
	stranger.go = go[1];
	stranger.said = said[0];
	cr_assert_eq(read(said[0], &stranger.pid, sizeof(pid_t)), (ssize_t)sizeof(pid_t));
	stranger.pidfd = pidfd_of(stranger.pid);
	return stranger;
}

static void await_end(const struct stranger *stranger)
{
	struct pollfd ended = { .fd = stranger->pidfd, .events = POLLIN };

	cr_assert_eq(poll(&ended, 1, DEADLINE), 1);
}

static void have_it_reaped(const struct stranger *stranger)
{
	char byte = 0;

	cr_assert_eq(write(stranger->go, &byte, 1), 1);
	cr_assert_eq(read(stranger->said, &byte, 1), 1);
}

static void stranger_done(const struct stranger *stranger)
{
	close(stranger->go);
	close(stranger->said);
	close(stranger->pidfd);
	reap(stranger->parent);
}

static int ask_stranger(const struct stranger *stranger)
{
	return ask(stranger->pidfd, stranger->pid, false);
}

static void exit_with_3(void)
{
	_exit(3);
}

static void exit_with_0(void)
{
	_exit(0);
}

BOTH(a_stranger_s_zombie_shows_how_it_ended)
{
	struct stranger stranger = stranger_with(wait_for_ever);

	cr_assert_eq(ask_stranger(&stranger), -EAGAIN);
	cr_assert_eq(lw_process_signal(stranger.pidfd, SIGKILL), 0);
	await_end(&stranger);
	cr_assert_eq(ask_stranger(&stranger), 0);
	check(true, true, SIGKILL);
	cr_assert_eq(ask(stranger.pidfd, stranger.pid, true), 0); /* though it is no child */
	check(true, true, SIGKILL);
	have_it_reaped(&stranger);
	stranger_done(&stranger);
}

BOTH(a_stranger_s_success_is_known_to_be_one)
{
	struct stranger stranger = stranger_with(exit_with_0);

	await_end(&stranger);
	cr_assert_eq(ask_stranger(&stranger), 0);
	check(true, false, 0);
	have_it_reaped(&stranger);
	stranger_done(&stranger);
}

BOTH(a_reaped_stranger_is_known_where_the_kernel_tells)
{
	struct stranger stranger = stranger_with(exit_with_3);

	have_it_reaped(&stranger);
	cr_assert_not(lw_process_lives(stranger.pidfd));
	cr_assert_eq(ask_stranger(&stranger), 0);
	if (kernel_is(6, 15) && !lw_old_kernel())
		check(true, false, 3);
	else
		check(false, false, 0);
	stranger_done(&stranger);
}

/* As a supervisor that is not root sees one that changed its user. */
static void check_unreadable(const struct stranger *stranger)
{
	bool told = kernel_is(6, 15) && !lw_old_kernel();

	cr_assert_eq(setgid(NOBODY), 0);
	cr_assert_eq(setuid(NOBODY), 0);
	if (told) {
		cr_assert_eq(ask_stranger(stranger), -EAGAIN);
		have_it_reaped(stranger);
	}
	cr_assert_eq(ask_stranger(stranger), 0);
	check(told, false, told ? 3 : 0);
}

BOTH(a_zombie_we_may_not_read_is_unknown_until_the_kernel_tells)
{
	struct stranger stranger;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	stranger = stranger_with(exit_with_3);
	await_end(&stranger);
	pid = fork();
	if (pid == 0) {
		check_unreadable(&stranger);
		_exit(23);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 23);
	stranger_done(&stranger);
}

static int first_ended[2], second_may_end[2];

/* Its first thread is a zombie by now: the last one says so, and exits when told. */
static void *exit_later(void *context)
{
	char text[64], state = 0;
	FILE *file;

	snprintf(text, sizeof(text), "/proc/%d/task/%d/stat", (int)getpid(), (int)getpid());
	while (state != 'Z') {
		file = fopen(text, "re");
		if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			_exit(1);
		fclose(file);
		sched_yield();
	}
	if (write(first_ended[1], "z", 1) != 1 || read(second_may_end[0], text, 1) != 1)
		_exit(1);
	_exit(7);
	return context;
}

static void end_first_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exit_later, NULL) != 0)
		_exit(1);
	syscall(SYS_exit, 0); /* this thread alone, and nothing of the C library's */
}

BOTH(a_process_lives_as_long_as_its_last_thread)
{
	struct stranger stranger;
	char byte;

	cr_assert_eq(pipe2(first_ended, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(second_may_end, O_CLOEXEC), 0);
	stranger = stranger_with(end_first_thread);
	cr_assert_eq(read(first_ended[0], &byte, 1), 1);
	cr_assert(lw_process_lives(stranger.pidfd));
	cr_assert_eq(ask_stranger(&stranger), -EAGAIN);
	cr_assert_eq(write(second_may_end[1], &byte, 1), 1);
	await_end(&stranger);
	cr_assert_eq(ask_stranger(&stranger), 0);
	check(true, false, 7);
	have_it_reaped(&stranger);
	stranger_done(&stranger);
}

/* ---- words --------------------------------------------------------------------------------- */

static void check_text(struct lw_exit one, const char *expected)
{
	LW_AUTO(lw_free) char *text = lw_exit_text(&one);
	struct lw_exit again;

	cr_assert_str_eq(text, expected);
	cr_assert_eq(lw_exit_read(text, &again), one.known);
	if (one.known)
		cr_assert(again.known && again.signaled == one.signaled && again.code == one.code);
}

Test(process, an_end_reads_as_a_person_would_say_it)
{
	check_text((struct lw_exit){ true, false, 0 }, "exit status 0");
	check_text((struct lw_exit){ true, false, 3 }, "exit status 3");
	check_text((struct lw_exit){ true, true, SIGKILL }, "signal 9 (KILL)");
	check_text((struct lw_exit){ true, true, 63 }, "signal 63 (?)");
	check_text((struct lw_exit){ false, false, 0 }, "unknown exit status");
}

Test(process, what_reads_otherwise_is_no_end)
{
	/* clang-format off */
	static const char *const texts[] = {
		"", "timeout", "exit status ", "exit status x", "exit status 03", "exit status 3 ",
		"signal 9", "signal 9 (TERM)", "signal (KILL)", "exit status 99999999999",
	};
	/* clang-format on */
	struct lw_exit read;

	for (size_t i = 0; i < LW_COUNT(texts); i++)
		cr_expect_not(lw_exit_read(texts[i], &read), "'%s'", texts[i]);
}

Test(process, only_a_known_status_0_is_success)
{
	cr_assert(lw_exit_is_success(&(struct lw_exit){ true, false, 0 }));
	cr_assert_not(lw_exit_is_success(&(struct lw_exit){ true, false, 1 }));
	cr_assert_not(lw_exit_is_success(&(struct lw_exit){ true, true, 0 }));
	cr_assert_not(lw_exit_is_success(&(struct lw_exit){ false, false, 0 }));
}
