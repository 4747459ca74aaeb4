/* lw_process.h - which process exactly, and how it ended, also for one that is not our child.
 *
 * A pid is given to somebody else once its process was reaped, so a supervisor that takes over
 * from another needs more than the pid: a name is written down while the process is known, and
 * opening that name later gives the very same process or nobody.
 *
 * All of it stands on pidfds (Linux 5.3), which belong to the caller and close on exec. A pidfd is
 * readable (POLLIN) from the moment its process has ended, all its threads included, and stays
 * so; from Linux 6.9 on POLLHUP joins when somebody has reaped the process. It does not keep the
 * pid from being given away, but never means another process.
 *
 * What newer kernels know better is used where it is there. LW_OLD_KERNEL=1 in the environment,
 * looked at once, turns that off, so that both ways can be tested on one machine.
 *
 * Callers: the supervisor for its workers. Nothing here waits.
 */
#ifndef LW_PROCESS_H
#define LW_PROCESS_H

#include <sys/types.h>

#include "lw_base.h"
#include "lw_err.h"

struct lw_process_name {
	pid_t pid;
	uint64_t start;  /* ticks after boot, as lw_proc_start_time() */
	uint64_t handle; /* inode of its pidfd, never used twice until the next boot; 0: the kernel
	                    has none (before 6.9) */
	char boot[37];   /* id of this boot */
};

/* Names the process that `pid` means now. `pidfd`: of that process, or -1. -ESRCH: it is gone. */
LW_MUST_USE int lw_process_name(pid_t pid, int pidfd, struct lw_process_name *ret_name);

/* False: the machine was started anew since, and its numbers mean nothing any more. */
bool lw_process_of_this_boot(const struct lw_process_name *name);

/* A pidfd of the named process, which may be a zombie by now. -ESRCH: it was reaped, or the
 * machine was started anew; whoever has its pid today is somebody else. */
LW_MUST_USE int lw_process_open(const struct lw_process_name *name, int *ret_pidfd,
				struct lw_err *err);

/* False once it has ended, reaped or not. */
bool lw_process_lives(int pidfd);

/* As kill(2), but never hits a process that got the pid later. 0 to a zombie; -ESRCH once it was
 * reaped; -EPERM. */
int lw_process_signal(int pidfd, int signal);

/* How a process ended. */
struct lw_exit {
	bool known;    /* false: it ended, and nobody can say any more how */
	bool signaled; /* `code` is the signal that ended it, else its exit status */
	int code;
};

/* How it ended. -EAGAIN: it lives, or its status is not to be had yet.
 *
 * Of our own child (`child`) by waiting for it, which reaps it. When somebody else took the status
 * away, it is asked for as a stranger's. A child's `pidfd` may be -1; then that is -ECHILD.
 *
 * A stranger's status is read from its zombie, if we may (same uid, or CAP_SYS_PTRACE), and after
 * it was reaped from its pidfd, if that was open at that time (Linux 6.15). Before 6.15 a stranger
 * that was reaped before we looked is not known. On newer kernels a zombie we may not read answers
 * -EAGAIN though its pidfd is readable already: ask again when POLLHUP comes, or after a moment,
 * and stop asking at some time, as its parent may never reap it. */
LW_MUST_USE int lw_process_status(int pidfd, pid_t pid, bool child, struct lw_exit *ret_exit);

/* True when it is known to have ended with status 0. */
bool lw_exit_is_success(const struct lw_exit *how);

/* "exit status 3", "signal 9 (KILL)" or "unknown exit status"; caller frees. */
char *lw_exit_text(const struct lw_exit *how);

/* The way back; false: it says anything else, or that nobody knows. */
bool lw_exit_read(const char *text, struct lw_exit *ret_exit);

/* True with LW_OLD_KERNEL=1: what came to Linux after 5.3 is not to be used. */
bool lw_old_kernel(void);

#endif
