/* lw_process.c - names, pidfds and exit statuses of processes.
 *
 * Used by the supervisor. Stateless but for the test switch.
 */
#include "lw_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_tree.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* The kernel's, from include/uapi/linux/magic.h and include/uapi/linux/pidfd.h of Linux 6.15, which
 * the headers of many a system are too old for. The number of the ioctl holds the struct's size,
 * and this is the first version of it, which every later kernel takes. */
#define PIDFS_MAGIC 0x50494446
#define INFO_EXIT   (UINT64_C(1) << 3) /* PIDFD_INFO_EXIT: asked for, and there */

struct info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code; /* a wait status */
};
_Static_assert(sizeof(struct info) == 64, "PIDFD_INFO_SIZE_VER0");

#define GET_INFO _IOWR(0xff, 11, struct info)

bool lw_old_kernel(void)
{
	static int old = -1;

	if (old < 0) {
		const char *text = getenv("LW_OLD_KERNEL");

		old = text != NULL && strcmp(text, "1") == 0;
	}
	return old == 1;
}

/* ---- pidfds -------------------------------------------------------------------------------- */

static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

bool lw_process_lives(int pidfd)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&ended, 1, 0);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

int lw_process_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

static bool was_reaped(int pidfd)
{
	return lw_process_signal(pidfd, 0) == -ESRCH;
}

/* Before pidfs all pidfds share one inode. */
static uint64_t handle_of(int pidfd)
{
	struct statfs system;
	struct stat file;

	if (lw_old_kernel() || fstatfs(pidfd, &system) < 0 ||
	    (uint32_t)system.f_type != PIDFS_MAGIC || fstat(pidfd, &file) < 0)
		return 0;
	return file.st_ino;
}

/* ---- names --------------------------------------------------------------------------------- */

static int read_boot(char boot[37])
{
	LW_AUTO(lw_close) int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, boot, 36);

	if (size < 0)
		return -errno;
	boot[size] = '\0';
	return size == 36 ? 0 : -EIO;
}

int lw_process_name(pid_t pid, int pidfd, struct lw_process_name *ret_name)
{
	LW_AUTO(lw_close) int opened = pidfd < 0 ? open_pidfd(pid) : -1;
	struct lw_process_name name = { .pid = pid };
	int r;

	if (pidfd < 0 && opened < 0)
		return opened;
	pidfd = pidfd < 0 ? opened : pidfd;
	name.handle = handle_of(pidfd);
	name.start = lw_proc_start_time(pid);
	if (name.start == 0 || was_reaped(pidfd)) /* then that start may be somebody else's */
		return -ESRCH;
	r = read_boot(name.boot);
	if (r < 0)
		return r;
	*ret_name = name;
	return 0;
}

/* The start time was this process's if it still has its pid after that was read. */
static bool is_named(int pidfd, const struct lw_process_name *name)
{
	uint64_t handle = name->handle != 0 ? handle_of(pidfd) : 0;

	if (handle != 0)
		return handle == name->handle;
	return lw_proc_start_time(name->pid) == name->start && !was_reaped(pidfd);
}

static int gone(const struct lw_process_name *name, struct lw_err *err)
{
	return lw_err_set(err, -ESRCH, "process %d is gone", (int)name->pid);
}

bool lw_process_of_this_boot(const struct lw_process_name *name)
{
	char boot[37];

	return read_boot(boot) == 0 && strcmp(boot, name->boot) == 0;
}

int lw_process_open(const struct lw_process_name *name, int *ret_pidfd, struct lw_err *err)
{
	LW_AUTO(lw_close) int fd = -1;
	char boot[37];
	int r = read_boot(boot);

	if (r < 0)
		return lw_err_sys(err, r, "cannot read '%s'", BOOT_ID);
	if (strcmp(boot, name->boot) != 0)
		return lw_err_set(err, -ESRCH, "process %d ended with an earlier boot",
				  (int)name->pid);
	fd = open_pidfd(name->pid);
	if (fd == -ESRCH || fd == -EINVAL || fd == -ENOENT) /* the latter: a thread has the pid */
		return gone(name, err);
	if (fd < 0)
		return lw_err_sys(err, fd, "cannot open process %d", (int)name->pid);
	if (!is_named(fd, name))
		return gone(name, err);
	*ret_pidfd = fd;
	fd = -1;
	return 0;
}

/* ---- how it ended -------------------------------------------------------------------------- */

static struct lw_exit exit_of(int status)
{
	if (WIFSIGNALED(status))
		return (struct lw_exit){ true, true, WTERMSIG(status) };
	return (struct lw_exit){ true, false, WEXITSTATUS(status) };
}

/* -EAGAIN; -ECHILD: no child, or somebody else took its status. */
static int wait_for(int pidfd, pid_t pid, struct lw_exit *ret_exit)
{
	siginfo_t info = { .si_pid = 0 };
	idtype_t by = pidfd >= 0 ? (idtype_t)P_PIDFD : P_PID;

	if (waitid(by, (id_t)(pidfd >= 0 ? pidfd : pid), &info, WEXITED | WNOHANG) < 0)
		return -errno;
	if (info.si_pid == 0)
		return -EAGAIN;
	*ret_exit = (struct lw_exit){ true, info.si_code != CLD_EXITED, info.si_status };
	return 0;
}

/* The kernel tells once the process was reaped. -EAGAIN: not yet; else it never will. */
static int ask_kernel(int pidfd, struct lw_exit *ret_exit)
{
	struct info info = { .mask = INFO_EXIT };

	if (lw_old_kernel())
		return -ENOTTY;
	if (ioctl(pidfd, GET_INFO, &info) < 0)
		return -errno;
	if ((info.mask & INFO_EXIT) == 0)
		return -EAGAIN;
	*ret_exit = exit_of(info.exit_code);
	return 0;
}

/* What was read was its own if it has not been reaped by then. */
static int read_zombie(int pidfd, pid_t pid, struct lw_exit *ret_exit)
{
	int status, r = lw_proc_status(pid, &status);

	if (r < 0)
		return r;
	if (was_reaped(pidfd))
		return -ESRCH;
	*ret_exit = exit_of(status);
	return 0;
}

/* It may be reaped at any moment: what is asked last is asked for after that was looked at. */
static int status_of_stranger(int pidfd, pid_t pid, struct lw_exit *ret_exit)
{
	bool reaped;
	int r;

	if (lw_process_lives(pidfd))
		return -EAGAIN;
	if (read_zombie(pidfd, pid, ret_exit) == 0)
		return 0;
	reaped = was_reaped(pidfd);
	r = ask_kernel(pidfd, ret_exit);
	if (r == 0)
		return 0;
	if (r == -EAGAIN && !reaped)
		return -EAGAIN;
	*ret_exit = (struct lw_exit){ .known = false };
	return 0;
}

int lw_process_status(int pidfd, pid_t pid, bool child, struct lw_exit *ret_exit)
{
	int r = child ? wait_for(pidfd, pid, ret_exit) : -ECHILD;

	return r == -ECHILD && pidfd >= 0 ? status_of_stranger(pidfd, pid, ret_exit) : r;
}

bool lw_exit_is_success(const struct lw_exit *how)
{
	return how->known && !how->signaled && how->code == 0;
}

char *lw_exit_text(const struct lw_exit *how)
{
	const char *name = how->signaled ? sigabbrev_np(how->code) : NULL;

	if (!how->known)
		return lw_strdup("unknown exit status");
	if (!how->signaled)
		return lw_format("exit status %d", how->code);
	return lw_format("signal %d (%s)", how->code, name != NULL ? name : "?");
}

bool lw_exit_read(const char *text, struct lw_exit *ret_exit)
{
	struct lw_exit how = { .known = true, .signaled = strncmp(text, "signal ", 7) == 0 };
	LW_AUTO(lw_free) char *again = NULL;

	if (!how.signaled && strncmp(text, "exit status ", 12) != 0)
		return false;
	how.code = (int)strtol(text + (how.signaled ? 7 : 12), NULL, 10);
	again = lw_exit_text(&how);
	if (strcmp(again, text) != 0)
		return false;
	*ret_exit = how;
	return true;
}
