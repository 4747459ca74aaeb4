/* worker_tree.c - all that a worker's process has started: what its cgroup holds, where we were
 * given one; else what a search finds by parent, session and mark. */
#include <errno.h>
#include <signal.h>

#include "app.h"
#include "lw_cgroup.h"
#include "lw_log.h"
#include "worker_private.h"

/* Without a cgroup it starts all the same: its tree is searched for then. */
void worker_tree_begin(struct worker *worker, int *ret_entry)
{
	struct lw_cgroup *cgroup = worker->app->cgroup;
	struct lw_err err;
	int r;

	*ret_entry = -1;
	worker_tree_done(worker);
	if (cgroup == NULL)
		return;
	r = lw_cgroup_make(cgroup, worker->id, worker->incarnation, &worker->group, &err);
	if (r >= 0)
		r = lw_cgroup_entry(worker->group, ret_entry, &err);
	if (r >= 0)
		return;
	worker_note(worker, "it has no cgroup: %s", err.text);
	worker_tree_done(worker);
}

void worker_tree_adopt(struct worker *worker)
{
	if (worker->app->cgroup != NULL && lw_cgroup_find(worker->app->cgroup, worker->id,
							  worker->incarnation, &worker->group) < 0)
		worker->group = -1;
}

void worker_tree_done(struct worker *worker)
{
	if (worker->group < 0)
		return;
	lw_close(worker->group);
	worker->group = -1;
	(void)lw_cgroup_remove(worker->app->cgroup, worker->id, worker->incarnation);
}

/* Orphans of our own children become ours; those of an adopted process are init's. */
bool worker_tree_may_live(struct worker *worker)
{
	if (worker->group >= 0)
		return lw_cgroup_populated(worker->group) != 0;
	return reaper_has_orphans(worker->app->reaper) || worker->adopted;
}

/* -errno: not everybody could be seen. */
static int find(struct worker *worker, struct lw_pids *found)
{
	worker->tree.leader_gone = worker->pid == 0;
	return worker->group >= 0 ? lw_cgroup_members(worker->group, found)
				  : lw_tree_find(&worker->tree, found);
}

size_t worker_tree_signal(struct worker *worker, int signal)
{
	struct lw_pids pids = { 0 };
	size_t n;
	int r;

	if (worker->group >= 0 && lw_cgroup_populated(worker->group) == 0)
		return 0;
	if (worker->group >= 0 && signal == SIGKILL)
		(void)lw_cgroup_kill(worker->group);
	r = find(worker, &pids);
	/* Who could not be seen may be there, and a cgroup knows whether somebody is. */
	n = pids.count + (r < 0 || (worker->group >= 0 && pids.count == 0));
	for (size_t i = 0; i < pids.count; i++)
		(void)kill(pids.pids[i], signal);
	lw_pids_done(&pids);
	return n;
}

void worker_tree_name_survivors(struct worker *worker)
{
	struct lw_pids pids = { 0 };
	char who[64] = "";

	if (find(worker, &pids) > 0)
		lw_proc_describe(pids.pids[0], who, sizeof(who));
	worker_note(worker, "%zu of its processes cannot be killed, one is %s", pids.count, who);
	lw_pids_done(&pids);
}
