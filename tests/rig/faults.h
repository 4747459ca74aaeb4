/* faults.h - what tests make go wrong within the programs: they die at an exact point, or a system
 * call fails. Shared by faults.c, the library that is preloaded into them (libfaults.so), and
 * rig_faults.c, which asks for it.
 *
 *     LW_FAULT="PROGRAM WHEN CALL MESSAGE N ACTION"
 *     LW_FAULT_ONCE=FILE      happens only to who makes that file: once, whoever is first
 *     LW_FAULT_COUNTS=FILE    how many calls of each kind the program has made: an array of
 *                             FAULT_CALLS_N uint64_t, kept while it runs
 *
 * PROGRAM is the name of the file that is executed. WHEN is "before" or "after" the N-th CALL of
 * that process, or "instead" of it. With a MESSAGE ("-": none) only those calls count that carry a
 * frame of that kind. ACTION is "die", "die_both" (with it its children, if it is lw-supervisor,
 * else its parent), instead of a call the name of the error, or "late": the thread that is made
 * before the N-th epoll_wait begins with that.
 */
#ifndef LW_FAULTS_H
#define LW_FAULTS_H

#define FAULT_VARIABLE "LW_FAULT"
#define FAULT_ONCE     "LW_FAULT_ONCE"
#define FAULT_COUNTS   "LW_FAULT_COUNTS"

/* What is counted, and the errors that fit; the first one is the likeliest. Calls of which a
 * program makes hundreds, on /proc, are counted apart; those that do not fail where they make sense
 * (unlocking, flags, waiting with WNOHANG) are not. ANY counts all of them, WAL the writes of
 * the journal's log. */
/* clang-format off */
#define FAULT_CALLS(C)                          \
	C(any,            "")                   \
	C(wal,            "")                   \
	C(accept4,        "EMFILE ECONNABORTED EINTR") \
	C(bind,           "EACCES ENOSPC")      \
	C(chmod,          "EIO")                \
	C(clone,          "EAGAIN ENOMEM")      \
	C(close_range,    "ENOMEM")             \
	C(connect,        "EAGAIN EINTR")       \
	C(dup,            "EMFILE")             \
	C(dup3,           "EBUSY EINTR")        \
	C(epoll_create1,  "EMFILE")             \
	C(epoll_ctl,      "ENOMEM ENOSPC")      \
	C(epoll_wait,     "EINTR")              \
	C(eventfd,        "EMFILE ENOMEM")      \
	C(fchmod,         "EIO")                \
	C(file_lock,      "ENOLCK EINTR")       \
	C(fdatasync,      "EIO ENOSPC")         \
	C(flock,          "EINTR ENOLCK")       \
	C(fstat,          "EIO ENOMEM")         \
	C(ftruncate,      "EIO EINTR")          \
	C(getdents,       "ENOMEM")             \
	C(getrandom,      "EINTR")              \
	C(getsockopt,     "ENOBUFS")            \
	C(ioctl,          "EIO")                \
	C(kill,           "EPERM")              \
	C(listen,         "EADDRINUSE")         \
	C(mkdir,          "ENOSPC EIO")         \
	C(mkfifo,         "ENOSPC EIO")         \
	C(mmap,           "ENOMEM")             \
	C(open,           "EMFILE EINTR EIO")   \
	C(open_proc,      "EMFILE ENOMEM")      \
	C(pidfd_open,     "EMFILE ENOMEM")      \
	C(poll,           "EINTR ENOMEM")       \
	C(pread,          "EIO")                \
	C(pthread_create, "EAGAIN")             \
	C(pwrite,         "ENOSPC EIO")         \
	C(read,           "EINTR EIO")          \
	C(read_proc,      "ENOMEM ESRCH")       \
	C(readv,          "EINTR ECONNRESET")   \
	C(recv,           "EINTR ECONNRESET")   \
	C(rename,         "ENOSPC EIO")         \
	C(send,           "EINTR EAGAIN ECONNRESET") \
	C(setsockopt,     "ENOBUFS")            \
	C(socket,         "EMFILE ENOBUFS")     \
	C(splice,         "EINTR ENOMEM")       \
	C(tee,            "EINTR ENOMEM")       \
	C(timerfd,        "EMFILE")             \
	C(unlink,         "EIO")                \
	C(waitid,         "EINTR")              \
	C(write,          "EINTR EAGAIN ENOSPC") \
	C(writev,         "EINTR EPIPE")
/* clang-format on */

#define FAULT_ENUM(name, errors) FAULT_##name,
enum fault_call { FAULT_CALLS(FAULT_ENUM) FAULT_CALLS_N };
#undef FAULT_ENUM

#endif
