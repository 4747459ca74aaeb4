/* lw_spawn.c - as vfork, put descriptors in their places, become who it is to be, exec; and the
 * search in PATH.
 *
 * Used by the supervisor for its workers and by lw-worker for its commands. The child runs on
 * its parent's memory until exec, so what it needs is prepared in a struct plan, and what went
 * wrong in it comes back the same way.
 *
 * A parent with thousands of descriptors must not pay for each of them at every start. So the
 * child begins with its parent's table, not a copy, and close_range() gives it one of its own
 * that has only the first few. What the child is to have is brought there before: a few low
 * descriptors are ours for good, on /dev/null in between.
 */
#include "lw_spawn.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_STARTED 127
#define CHILD_STACK      65536

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

/* Where ids once had 16 bits, the calls with 32 bits have names of their own. */
#ifdef SYS_setresuid32
#define CALL_SETGROUPS SYS_setgroups32
#define CALL_SETRESGID SYS_setresgid32
#define CALL_SETRESUID SYS_setresuid32
#else
#define CALL_SETGROUPS SYS_setgroups
#define CALL_SETRESGID SYS_setresgid
#define CALL_SETRESUID SYS_setresuid
#endif

/* ThreadSanitizer keeps books in the memory that the child shares with us: it takes clone() for a
 * fork() and looks away from then on, and the child's handlers of signals for ours. By the C
 * library's other names it does not notice. */
#ifdef __SANITIZE_THREAD__
int __clone(int (*run)(void *), void *stack, int flags, void *argument, ...);
int __sigaction(int number, const struct sigaction *action, struct sigaction *before);
#define clone          __clone
#define sigaction(...) __sigaction(__VA_ARGS__)
#endif

/* clang-format off */
/*       step         what failed, with its subject */
#define STEPS(S)                                                                       \
	S(NONE,       "cannot start '%s'",                                spawn->file) \
	S(SIGNALS,    "cannot restore the signals of '%s'",               spawn->file) \
	S(CGROUP,     "cannot put '%s' into its cgroup",                  spawn->file) \
	S(SESSION,    "cannot make a session for '%s'",                   spawn->file) \
	S(GROUP,      "cannot make a process group for '%s'",             spawn->file) \
	S(TABLE,      "cannot have descriptors apart for '%s'",           spawn->file) \
	S(FDS,        "cannot put the descriptors of '%s' in place",      spawn->file) \
	S(FILES,      "cannot set the limit of descriptors of '%s'",      spawn->file) \
	S(LIMIT,      "cannot set limit '%s'",                            limit->name) \
	S(NICE,       "cannot set the nice value of '%s'",                spawn->file) \
	S(AS,         "cannot become %s",                                 spawn->as->name) \
	S(CWD,        "cannot chdir to '%s'",                             spawn->cwd)  \
	S(PARENT,     "cannot tie '%s' to its parent",                    spawn->file) \
	S(EXEC,       "cannot exec '%s'",                                 spawn->file)
/* clang-format on */

#define STEP_ENUM(NAME, text, subject) STEP_##NAME,
enum step { STEPS(STEP_ENUM) };
#undef STEP_ENUM

struct plan {
	const struct lw_spawn *spawn;
	pid_t parent;
	bool table_shared;
	int sources[LW_SPAWN_FDS]; /* low ones; -1: closed */
	struct sigaction normal;
	sigset_t none;
	const struct lw_limit *volatile limit; /* the one under way, in STEP_LIMIT */
	volatile enum step step;               /* the one under way in the child */
	volatile int error;                    /* 0: the program runs */
};

/* ---- in the child: async-signal-safe calls alone ------------------------------------ */

static int slots[LW_SPAWN_FDS]; /* ascending, above every place; see slots_open() */
static bool slots_are_open;

static int restore_signals(struct plan *plan)
{
	for (int number = 1; number < NSIG; number++) {
		if (number == SIGKILL || number == SIGSTOP)
			continue;
		/* EINVAL: the C library keeps two for itself; exec resets their handlers. */
		if (sigaction(number, &plan->normal, NULL) < 0 && errno != EINVAL)
			return -1;
	}
	return sigprocmask(SIG_SETMASK, &plan->none, NULL);
}

static int leave_group(struct plan *plan)
{
	if (plan->spawn->session) {
		plan->step = STEP_SESSION;
		return setsid() < 0 ? -1 : 0;
	}
	plan->step = STEP_GROUP;
	return plan->spawn->group ? setpgid(0, 0) : 0;
}

/* Our table is our parent's still: nothing may be closed or moved before it is not. */
static int part_table(struct plan *plan)
{
	int highest = slots[LW_SPAWN_FDS - 1];

	plan->step = STEP_TABLE;
	if (!plan->table_shared)
		return 0;
	return (int)syscall(SYS_close_range, highest + 1, ~0U, CLOSE_RANGE_UNSHARE);
}

static int place_fd(int source, int place)
{
	if (source < 0)
		return close(place) < 0 && errno != EBADF ? -1 : 0;
	return dup2(source, place) < 0 ? -1 : 0;
}

static int place_fds(struct plan *plan)
{
	unsigned above = (unsigned)plan->spawn->fd_count;

	if (part_table(plan) < 0)
		return -1;
	plan->step = STEP_FDS;
	for (int i = 0; i < (int)above; i++)
		if (place_fd(plan->sources[i], i) < 0)
			return -1;
	/* An old kernel, or a filter that does not know the call: all of ours close on exec. */
	if (syscall(SYS_close_range, above, ~0U, 0) < 0 && errno != ENOSYS && errno != EPERM)
		return -1;
	return 0;
}

static int enter_folder(struct plan *plan)
{
	plan->step = STEP_CWD;
	return plan->spawn->cwd == NULL ? 0 : chdir(plan->spawn->cwd);
}

static int limit_files(struct plan *plan)
{
	plan->step = STEP_FILES;
	return plan->spawn->files == NULL ? 0 : setrlimit(RLIMIT_NOFILE, plan->spawn->files);
}

static int set_limits(struct plan *plan)
{
	const struct lw_spawn *spawn = plan->spawn;

	if (limit_files(plan) < 0)
		return -1;
	plan->step = STEP_LIMIT;
	for (size_t i = 0; i < spawn->limit_count; i++) {
		plan->limit = &spawn->limits[i];
		if (setrlimit(plan->limit->resource, &plan->limit->value) < 0)
			return -1;
	}
	return 0;
}

static int set_priority(struct plan *plan)
{
	plan->step = STEP_NICE;
	return plan->spawn->has_nice ? setpriority(PRIO_PROCESS, 0, plan->spawn->nice) : 0;
}

/* Nothing but the supplementary groups would change. */
static bool is_already(const struct lw_spawn_as *as)
{
	uid_t uid, effective_uid, saved_uid;
	gid_t gid, effective_gid, saved_gid;

	if (getresuid(&uid, &effective_uid, &saved_uid) < 0 ||
	    getresgid(&gid, &effective_gid, &saved_gid) < 0)
		return false;
	return uid == as->uid && effective_uid == uid && saved_uid == uid && gid == as->gid &&
	       effective_gid == gid && saved_gid == gid;
}

/* The system calls themselves: the C library's functions would ask all threads of our parent to
 * follow. Who is not root may "become" itself, with the groups it has. */
static int become_somebody(struct plan *plan)
{
	const struct lw_spawn_as *as = plan->spawn->as;
	bool already;

	plan->step = STEP_AS;
	if (as == NULL)
		return 0;
	already = is_already(as);
	/* Capabilities that a service manager gave us would outlive exec. */
	if (as->uid != (uid_t)-1 && !already)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (as->groups != NULL && syscall(CALL_SETGROUPS, as->group_count, as->groups) < 0 &&
	    !(errno == EPERM && already))
		return -1;
	if (syscall(CALL_SETRESGID, as->gid, as->gid, as->gid) < 0)
		return -1;
	return (int)syscall(CALL_SETRESUID, as->uid, as->uid, as->uid);
}

static int tie_to_parent(struct plan *plan)
{
	plan->step = STEP_PARENT;
	if (!plan->spawn->die_with_parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	errno = ESRCH;
	return getppid() == plan->parent ? 0 : -1; /* it ended before we asked */
}

/* First of all, so that nobody it starts is anywhere else. */
static int enter_cgroup(struct plan *plan)
{
	plan->step = STEP_CGROUP;
	if (plan->spawn->cgroup_entry == NULL)
		return 0;
	return write(*plan->spawn->cgroup_entry, "0", 1) == 1 ? 0 : -1;
}

static void become(struct plan *plan)
{
	plan->step = STEP_SIGNALS;
	if (restore_signals(plan) < 0 || enter_cgroup(plan) < 0 || leave_group(plan) < 0 ||
	    place_fds(plan) < 0 || set_limits(plan) < 0 || set_priority(plan) < 0)
		return;
	if (plan->spawn->has_umask)
		umask(plan->spawn->umask);
	/* A change of user undoes the tie to the parent, so that comes after it. */
	if (become_somebody(plan) < 0 || enter_folder(plan) < 0 || tie_to_parent(plan) < 0)
		return;
	plan->step = STEP_EXEC;
	execve(plan->spawn->file, plan->spawn->argv, plan->spawn->envp);
}

/* Returns when it failed; the C library ends the process then. */
static int child(void *context)
{
	struct plan *plan = context;

	become(plan);
	plan->error = errno;
	return EXIT_NOT_STARTED;
}

/* ---- in the parent --------------------------------------------------------------------- */

static int slots_open(struct lw_err *err)
{
	LW_AUTO(lw_close) int null = -1;
	int least = LW_SPAWN_FDS, code; /* no slot is a place */

	if (slots_are_open)
		return 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < LW_SPAWN_FDS; i++) {
		slots[i] = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, least);
		if (slots[i] < 0) {
			code = -errno;
			while (i > 0)
				lw_close(slots[--i]);
			return lw_err_sys(err, code, "cannot open '/dev/null'");
		}
		least = slots[i] + 1;
	}
	slots_are_open = true;
	return 0;
}

/* Brings what the child is to have into the slots. */
static int slots_fill(struct plan *plan)
{
	const struct lw_spawn *spawn = plan->spawn;

	for (size_t i = 0; i < spawn->fd_count; i++) {
		bool null = spawn->fds[i] < 0 && i <= STDERR_FILENO;

		plan->sources[i] = spawn->fds[i] < 0 && !null ? -1 : slots[i];
		if (spawn->fds[i] >= 0 && dup3(spawn->fds[i], slots[i], O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

/* Nothing of the child's stays open in us: somebody waits for its end of file. */
static void slots_clear(const struct plan *plan)
{
	for (size_t i = 0; i < plan->spawn->fd_count; i++)
		if (plan->spawn->fds[i] >= 0 &&
		    dup3(slots[LW_SPAWN_FDS - 1], slots[i], O_CLOEXEC) < 0)
			lw_fatal("cannot free descriptor %d", slots[i]);
}

/* close_range() on nothing says whether the kernel, or a filter, lets us. Valgrind knows no child
 * that has our table. */
static bool can_part_tables(void)
{
	static int can = -1;

	if (can < 0)
		can = !RUNNING_ON_VALGRIND && syscall(SYS_close_range, ~0U - 1, ~0U - 1, 0) == 0;
	return can == 1;
}

/* As vfork(): we stand still until the child has exec'd or ended. Without a kernel that can part
 * the table it gets a copy. */
static pid_t start(struct plan *plan)
{
	static _Alignas(64) char stack[CHILD_STACK];
	int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;

	plan->table_shared = can_part_tables();
	return clone(child, stack + sizeof(stack), plan->table_shared ? flags | CLONE_FILES : flags,
		     plan);
}

static int report(const struct plan *plan, enum step step, int code, struct lw_err *err)
{
	if (step == STEP_AS && code == -EPERM)
		return lw_err_set(err, code,
				  "cannot become %s: Operation not permitted (it takes root, or "
				  "CAP_SETUID and CAP_SETGID)",
				  plan->spawn->as->name);
	switch (step) {
#define STEP_CASE(NAME, text, subject)                                                             \
	case STEP_##NAME:                                                                          \
		return lw_err_sys(err, code, text, plan->subject);
		STEPS(STEP_CASE)
#undef STEP_CASE
	}
	return code;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* A child that becomes somebody else takes from the memory it shares with us the right to be
 * looked into (dumped, traced, read in /proc), lest that somebody does. Once it has left, we want
 * that back. */
static void restore_dumpable(const struct plan *plan, int before)
{
	if (plan->spawn->as != NULL && before == 1)
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int start_blocked(struct plan *plan, pid_t *ret_pid)
{
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	sigset_t all, before;

	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before) < 0)
		return -errno;
	*ret_pid = start(plan);
	if (*ret_pid < 0)
		plan->error = errno;
	restore_dumpable(plan, dumpable);
	if (sigprocmask(SIG_SETMASK, &before, NULL) < 0)
		lw_fatal("cannot restore the signal mask");
	return *ret_pid < 0 ? -plan->error : 0;
}

int lw_spawn(const struct lw_spawn *spawn, pid_t *ret_pid, int *ret_pidfd, struct lw_err *err)
{
	struct plan plan = { .spawn = spawn, .parent = getpid(), .step = STEP_NONE };
	pid_t pid = -1;
	int r, pidfd;

	if (spawn->fd_count <= STDERR_FILENO || spawn->fd_count >= LW_SPAWN_FDS)
		return lw_err_set(err, -EINVAL, "cannot give '%s' %zu descriptors", spawn->file,
				  spawn->fd_count);
	r = slots_open(err);
	if (r < 0)
		return r;
	plan.normal.sa_handler = SIG_DFL;
	sigemptyset(&plan.none);
	r = slots_fill(&plan);
	if (r < 0)
		plan.step = STEP_FDS;
	else
		r = start_blocked(&plan, &pid);
	slots_clear(&plan);
	if (r < 0)
		return report(&plan, plan.step, r, err);
	if (plan.error != 0) {
		reap(pid);
		return report(&plan, plan.step, -plan.error, err);
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 && errno != ENOSYS) {
		r = -errno;
		kill(pid, SIGKILL);
		reap(pid);
		return lw_err_sys(err, r, "cannot watch '%s'", spawn->file);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

/* ---- the search ------------------------------------------------------------------------ */

/* Where relative paths begin once the child is in `cwd`; NULL: they need no help. */
static char *base_of(const char *cwd)
{
	char here[PATH_MAX];

	if (cwd == NULL || *cwd == '/')
		return lw_strdup(cwd);
	if (getcwd(here, sizeof(here)) == NULL)
		return lw_strdup(cwd);
	return lw_format("%s/%s", here, cwd);
}

static char *join(const char *base, const char *folder, size_t size, const char *name)
{
	LW_AUTO(lw_free)
	char *path = size == 0 ? lw_strdup(name) : lw_format("%.*s/%s", (int)size, folder, name);

	if (*path == '/' || base == NULL)
		return LW_TAKE(path);
	return lw_format("%s/%s", base, path + (strncmp(path, "./", 2) == 0 ? 2 : 0));
}

/* 0, -ENOENT or -EACCES. */
static int can_execute(const char *path)
{
	struct stat stat_of;

	if (stat(path, &stat_of) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	if (!S_ISREG(stat_of.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	return 0;
}

/* Goes on over a file that cannot be executed, as execvp does. */
static int find_in_path(const char *name, const char *base, char **ret_path)
{
	const char *folder = getenv("PATH");
	int found = -ENOENT;

	for (folder = folder == NULL ? "/usr/local/bin:/usr/bin:/bin" : folder;; folder++) {
		size_t size = strcspn(folder, ":");
		LW_AUTO(lw_free)
		char *path = size == 0 ? join(base, ".", 1, name) : join(base, folder, size, name);
		int r = can_execute(path);

		if (r == 0) {
			*ret_path = LW_TAKE(path);
			return 0;
		}
		if (r == -EACCES)
			found = -EACCES;
		folder += size;
		if (*folder == '\0')
			return found;
	}
}

int lw_spawn_find(const char *name, const char *cwd, char **ret_path, struct lw_err *err)
{
	LW_AUTO(lw_free) char *base = base_of(cwd);
	LW_AUTO(lw_free) char *path = NULL;
	bool in_path = strchr(name, '/') == NULL;
	int r;

	if (*name == '\0') {
		r = -ENOENT;
	} else if (in_path) {
		r = find_in_path(name, base, &path);
	} else {
		path = join(base, NULL, 0, name);
		r = can_execute(path);
	}
	if (r == -EACCES)
		return lw_err_set(err, r, "'%s' is not executable", name);
	if (r < 0)
		return lw_err_set(err, r, "no program '%s'%s", name, in_path ? " in PATH" : "");
	*ret_path = LW_TAKE(path);
	return 0;
}
