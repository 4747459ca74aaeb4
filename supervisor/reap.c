/* reap.c - worker processes by pid; orphans are reaped on SIGCHLD. */
#include "reap.h"

#include <errno.h>
#include <search.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lw_tree.h"
#include "worker.h"

struct child {
	pid_t pid;
	struct worker *worker; /* NULL: a helper */
};

struct reaper {
	struct event *sigchld;
	void *children; /* of tsearch(3), by pid */
	size_t count;
};

static int child_compare(const void *a, const void *b)
{
	const struct child *one = a, *other = b;

	return (one->pid > other->pid) - (one->pid < other->pid);
}

static struct child *child_find(const struct reaper *reaper, pid_t pid)
{
	struct child key = { .pid = pid };
	struct child *const *node = tfind(&key, &reaper->children, child_compare);

	return node != NULL ? *node : NULL;
}

/* Looks at who died without taking the status away: a worker's belongs to the worker. */
static void reap_dead(struct reaper *reaper)
{
	for (;;) {
		siginfo_t info = { .si_pid = 0 };
		struct child *child;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		child = child_find(reaper, info.si_pid);
		if (child != NULL && child->worker != NULL) {
			worker_exited(child->worker);
			continue;
		}
		reaper_remove(reaper, info.si_pid);
		(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	}
}

static void on_sigchld(evutil_socket_t signal, short what, void *context)
{
	(void)signal;
	(void)what;
	reap_dead(context);
}

int reaper_new(struct loop *loop, struct reaper **ret_reaper, struct lw_err *err)
{
	struct reaper *reaper;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return lw_err_sys(err, -errno, "cannot become a sub-reaper");
	lw_tree_reserve();
	reaper = LW_NEW(struct reaper);
	reaper->sigchld = evsignal_new(loop_base(loop), SIGCHLD, on_sigchld, reaper);
	if (reaper->sigchld == NULL)
		lw_fatal("out of memory");
	loop_watch(reaper->sigchld);
	*ret_reaper = reaper;
	return 0;
}

void reaper_free(struct reaper *reaper)
{
	if (reaper == NULL)
		return;
	event_free(reaper->sigchld);
	tdestroy(reaper->children, free);
	free(reaper);
}

void reaper_add(struct reaper *reaper, pid_t pid, struct worker *worker)
{
	struct child *child = LW_NEW(struct child);

	*child = (struct child){ pid, worker };
	if (tsearch(child, &reaper->children, child_compare) == NULL)
		lw_fatal("out of memory");
	reaper->count++;
}

void reaper_remove(struct reaper *reaper, pid_t pid)
{
	struct child *child = child_find(reaper, pid);

	if (child == NULL)
		return;
	tdelete(child, &reaper->children, child_compare);
	free(child);
	reaper->count--;
}

bool reaper_has_orphans(struct reaper *reaper)
{
	struct lw_pids pids = { 0 };
	int n = lw_tree_children(&pids);
	bool orphans = false;

	if (n >= 0 && (size_t)n <= reaper->count) {
		lw_pids_done(&pids);
		return false;
	}
	for (size_t i = 0; i < pids.count; i++) {
		siginfo_t info = { .si_pid = 0 };

		if (child_find(reaper, pids.pids[i]) != NULL)
			continue;
		if (waitid(P_PID, (id_t)pids.pids[i], &info, WEXITED | WNOHANG) == 0 &&
		    info.si_pid == 0)
			orphans = true;
	}
	lw_pids_done(&pids);
	return orphans || n < 0;
}
