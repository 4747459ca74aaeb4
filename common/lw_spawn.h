/* lw_spawn.h - starts a program as a child process.
 *
 * Spawning copies neither the heap nor a large table of descriptors (vfork-like), inherits no
 * descriptor by accident (everything but what is named is closed), blocks signals around itself
 * and restores the defaults in the child. What fails in the child before exec comes back with
 * the failed step: "cannot exec './train': No such file or directory". The caller owns the
 * pidfd. Eight descriptors stay open from the first call on. One thread.
 */
#ifndef LW_SPAWN_H
#define LW_SPAWN_H

#include <sys/resource.h>
#include <sys/types.h>

#include "lw_base.h"
#include "lw_err.h"

#define LW_SPAWN_FDS 8

/* A resource limit; `name` is what an error calls it. */
struct lw_limit {
	const char *name;
	unsigned resource; /* RLIMIT_... */
	struct rlimit value;
};

/* Somebody else, looked up before: the child cannot. It is somebody else already while we wait for
 * its exec, and that somebody may stop it then, or be slow to serve its folder. So it is for users
 * whom the machine's owner starts programs for, not for attackers. */
struct lw_spawn_as {
	const char *name; /* "user 'train'", for the error */
	uid_t uid;        /* (uid_t)-1: stays */
	gid_t gid;
	const gid_t *groups; /* supplementary ones; NULL: as they are */
	size_t group_count;
};

struct lw_spawn {
	const char *file; /* what to execute: a path, already looked up */
	char *const *argv;
	char *const *envp;
	const char *cwd;            /* NULL: inherited; entered as whoever the child is to be */
	const int *cgroup_entry;    /* of lw_cgroup_entry(), where it goes first; NULL: as we are */
	bool session;               /* its own session (and process group) */
	bool group;                 /* its own process group */
	bool die_with_parent;       /* SIGKILL when the parent's thread ends */
	const struct rlimit *files; /* RLIMIT_NOFILE of the child; NULL: inherited */
	const struct lw_limit *limits; /* set after `files`, while we may raise them */
	size_t limit_count;
	const struct lw_spawn_as *as; /* NULL: us */
	bool has_nice, has_umask;     /* else inherited */
	int nice;
	mode_t umask;
	int fds[LW_SPAWN_FDS]; /* fds[n]: becomes descriptor n; -1: closed, and for n < 3
	                          /dev/null */
	size_t fd_count;       /* entries of fds in use, 3 or more */
};

/* 0, *ret_pid and a close-on-exec *ret_pidfd (-1 where the kernel, or valgrind, has none); or
 * -errno. */
LW_MUST_USE int lw_spawn(const struct lw_spawn *spawn, pid_t *ret_pid, int *ret_pidfd,
			 struct lw_err *err);

/* Finds `name` as execvp would, relative paths from `cwd`; caller frees *ret_path. -ENOENT,
 * -EACCES with "no program 'x' in PATH" or "'x' is not executable". */
LW_MUST_USE int lw_spawn_find(const char *name, const char *cwd, char **ret_path,
			      struct lw_err *err);

#endif
