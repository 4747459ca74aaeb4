/* lw_cgroup.h - a cgroup for each worker, where a cgroup was delegated to us.
 *
 * Whatever a process starts is in its cgroup too, whatever it does to its environment, session
 * or parents. So where there is one, a tree is what its cgroup holds, and nothing is searched for
 * (lw_tree.h). It can only be left by a process that moves itself, which takes a right to write
 * where the supervisor writes: works that run as the supervisor's user have it, and would have to
 * use it on purpose.
 *
 * Only cgroups of version 2, and only one that was given to us is ever written to:
 *
 *   LW_CGROUP=/sys/fs/cgroup/...   that one, whoever owns it; empty: none
 *   without LW_CGROUP              the one we are in, if systemd says so (Delegate=yes: its attribute
 *                                  trusted.delegate or user.delegate is 1) and it is ours to write
 *
 * In it each worker gets lw.<store>.<worker>.<incarnation>, by which a later supervisor finds it.
 * We enable no controller in it, so the rule that a cgroup with controllers for its children has no
 * processes of its own does not touch us: the supervisor stays where it is.
 *
 * Killing is the kernel's from Linux 5.14 on (cgroup.kill; LW_OLD_KERNEL of lw_process.h leaves it
 * out), before that all are frozen first. Owned by the supervisor, one. Nothing here waits but lw_cgroup_open().
 */
#ifndef LW_CGROUP_H
#define LW_CGROUP_H

#include "lw_base.h"
#include "lw_err.h"
#include "lw_tree.h"

struct lw_cgroup;

/* Looks for it, and lets a short-lived child into a cgroup below it to see that this works. `store`:
 * letters and digits. -ENOENT: none was delegated; any other -errno: LW_CGROUP, or systemd, names
 * one that cannot be used. err says why in either case. */
LW_MUST_USE int lw_cgroup_open(const char *store, struct lw_cgroup **ret_cgroup,
			       struct lw_err *err);
void lw_cgroup_free(struct lw_cgroup *cgroup); /* leaves those of the workers */
const char *lw_cgroup_path(const struct lw_cgroup *cgroup);

/* ---- the cgroups of the workers ------------------------------------------------------------ */

/* An empty cgroup for that incarnation. *ret_group: its folder, close-on-exec, the caller's; also
 * what CLONE_INTO_CGROUP takes. -EEXIST: there is one already, and somebody in it. */
LW_MUST_USE int lw_cgroup_make(struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation,
			       int *ret_group, struct lw_err *err);

/* The one that is there already, or -ENOENT. */
LW_MUST_USE int lw_cgroup_find(const struct lw_cgroup *cgroup, uint64_t worker,
			       uint64_t incarnation, int *ret_group);

/* Takes it away with all that was made below it. -EBUSY: somebody lives in it. It is no error when
 * there is none. */
int lw_cgroup_remove(struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation);

/* Every one of this store, in no order; for a supervisor that has just started. Each may be removed
 * in the call. Returns how many, or -errno. */
typedef void lw_cgroup_fn(void *context, uint64_t worker, uint64_t incarnation);
int lw_cgroup_each(struct lw_cgroup *cgroup, lw_cgroup_fn *seen, void *context);

/* ---- who is in one ------------------------------------------------------------------------- */

/* A child that writes "0" to this descriptor before exec is in, and all that it starts. Close-on-exec,
 * the caller's. */
LW_MUST_USE int lw_cgroup_entry(int group, int *ret_entry, struct lw_err *err);

/* 1: somebody lives in it or below, 0: nobody (zombies do not count; also when it was removed). */
LW_MUST_USE int lw_cgroup_populated(int group);

/* Who lives in it or below: appends to `found`, returns how many. Processes come and go meanwhile,
 * and those that our pid namespace does not show are left out; lw_cgroup_populated() has the last
 * word. */
int lw_cgroup_members(int group, struct lw_pids *found);

/* SIGKILL to all in it and below, also to what is being forked. Repeat until nobody is in it: before
 * Linux 5.14 who was missed is frozen, and waits for that. */
int lw_cgroup_kill(int group);

#endif
