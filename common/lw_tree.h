/* lw_tree.h - a process and everything it started, as far as it can be found.
 *
 * A tree is known by three things: processes below its leader, processes in its leader's
 * session, and processes that carry its mark in their environment (LW_WORKER=<mark>; of our
 * uid or the tree's). The callers are sub-reapers of their trees (PR_SET_CHILD_SUBREAPER), so an
 * orphan becomes our child and is found even when it left session and group. What cleared
 * its environment and left everything cannot be found.
 *
 * The caller itself is never found. It may be the leader: then all below it are.
 *
 * All functions are synchronous reads of /proc; nothing waits.
 */
#ifndef LW_TREE_H
#define LW_TREE_H

#include <sys/types.h>

#include "lw_base.h"

#define LW_MARKED_TOKEN 65

struct lw_tree {
	pid_t leader;     /* dead or alive; its own pid never counts once `leader_gone` */
	pid_t session;    /* 0: not looked at */
	const char *mark; /* NULL: not looked at */
	uint64_t since;   /* start time in clock ticks after boot (lw_proc_start_time); older
	                      processes are never part of the tree */
	bool leader_gone;
	uid_t uid; /* whose marks count beside ours; 0: nobody else's */
};

struct lw_pids {
	pid_t *pids;
	size_t count;
	size_t room;
};
void lw_pids_add(struct lw_pids *pids, pid_t pid);
void lw_pids_done(struct lw_pids *pids);

/* Whoever is left of the tree, the leader included unless it is gone; zombies do not count.
 * Appends to `found`; returns how many were added. -errno: /proc could not be
 * looked at wholly; somebody may be left. */
int lw_tree_find(const struct lw_tree *tree, struct lw_pids *found);

/* A process of any tree of a store. */
struct lw_marked {
	pid_t pid, parent, session;
	uint64_t
		start; /* as lw_proc_start_time(): with pid, what lw_process_name() must agree to */
	uint64_t worker, incarnation;
	char token[LW_MARKED_TOKEN]; /* of LW_TOKEN; "" where there is none, or a longer one */
};
typedef void lw_marked_fn(void *context, const struct lw_marked *marked);

/* Looks through /proc once for every living process with LW_WORKER=<store>/<worker>/<incarnation>
 * in its environment, in the order of their pids, for a supervisor that has just started. Both
 * that and the token are what it was executed with, and anybody can write them: they
 * say where to look, not whom to trust. Returns how many were seen, or -errno: /proc could not be
 * looked at wholly, there may be more. `seen` must not call functions of this file that scan. */
int lw_tree_marked(const char *store, lw_marked_fn *seen, void *context);

/* Keeps two descriptors for the functions here, from now on. */
void lw_tree_reserve(void);

/* Cheap first question: the live or dead children of this thread (those of a sub-reaper come
 * to its first thread), from /proc/self/task/<tid>/children. Returns how many, -ENOSYS where the kernel has no such
 * file. With no child but the known ones, no orphan of a tree is left. */
int lw_tree_children(struct lw_pids *found);

/* Start time in clock ticks after boot; 0 when there is no such process. */
uint64_t lw_proc_start_time(pid_t pid);

/* 0 when there is no such process. */
pid_t lw_proc_parent(pid_t pid);

/* True while the process exists and is no zombie. */
bool lw_proc_lives(pid_t pid);

/* How a zombie ended, as of waitpid(2). -EAGAIN: it lives; -ESRCH: there is none; -EACCES: we may
 * not see it. */
int lw_proc_status(pid_t pid, int *ret_status);

/* "name (pid)" for the sentence that names what could not be killed. */
void lw_proc_describe(pid_t pid, char *text, size_t room);

#endif
