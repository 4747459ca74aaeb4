/* work_steer.c - start, stop, kill, restart, retry and forget: by operators and the flow. */
#include <errno.h>
#include <stdlib.h>

#include "app.h"
#include "work_private.h"

/* ---- steering ----------------------------------------------------------------------------------------------------- */

/* A stop or a kill has the last word over a restart or a timeout that is under way. */
static void end_process(struct worker *worker, enum ending ending, const char *reason, bool at_once)
{
	struct run *run = worker_in_hand(worker);

	if (run != NULL && (run->ending == ENDING_NO || ending == ENDING_STOPPED)) {
		run->ending = (uint8_t)ending;
		run->ending_reason = reason;
	}
	if (worker_state(worker) != WORKER_DOWN)
		worker_stop(worker, at_once);
}

static void end_processes(struct work *work, enum ending ending, const char *reason, bool at_once)
{
	for (size_t i = 0; i < work->worker_count; i++)
		end_process(work->workers[i], ending, reason, at_once);
}

static void start_processes(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		worker_start(work->workers[i]);
}

void work_begin(struct work *work)
{
	if (work_may_run(work) && work->config->start_with_flow)
		start_processes(work);
}

void work_end(struct work *work, bool at_once)
{
	loop_timer_stop(&work->again);
	end_processes(work, ENDING_REQUEUE, NULL, at_once);
	watchers_tell(&work->up_watchers);
	if (!work_has_process(work))
		watchers_tell(&work->gone_watchers);
}

static bool all_serve(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (!worker_has_process(work->workers[i]))
			return false;
	return true;
}

/* An operator's stop is undone by an operator alone. */
static void undo_stop(struct work *work, bool by_flow)
{
	work->stopped = false;
	work->held = work->held && by_flow;
	watchers_tell(&work->gone_watchers); /* who waits for the end of a stop need not any more */
}

/* Without a flow nobody calls a work again but its restart rule, which a stop ends. */
static void resume_service(struct work *work)
{
	if (work->app->config->has_flow || work_live_runs(work) > 0 ||
	    loop_timer_pending(&work->again))
		return;
	work->streak = 0;
	work_call_service(work);
}

void work_start(struct work *work, bool by_flow)
{
	bool changes = work->held || work->stopped || !all_serve(work);

	undo_stop(work, by_flow);
	if (work->app->stage != APP_RUNNING || work->held)
		return;
	resume_service(work);
	if (!changes)
		return;
	start_processes(work);
	work_on_room(work);
	app_changed(work->app, "start");
}

void work_stop(struct work *work, bool by_flow)
{
	bool *stop = by_flow ? &work->stopped : &work->held;
	bool changes = !*stop || work_has_process(work);

	*stop = true;
	loop_timer_stop(&work->again);
	end_processes(work, ENDING_STOPPED, by_flow ? "stopped by the flow" : "stopped by operator",
		      false);
	watchers_tell(&work->up_watchers);
	if (!work_has_process(work))
		watchers_tell(&work->gone_watchers);
	if (changes)
		app_changed(work->app, "stop");
}

void work_kill(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_has_process(work->workers[i]))
			end_process(work->workers[i], ENDING_STOPPED, "killed by operator", true);
}

void work_restart(struct work *work, bool by_flow)
{
	undo_stop(work, by_flow);
	if (work->held)
		return;
	for (size_t i = 0; i < work->worker_count; i++) {
		if (worker_has_process(work->workers[i]))
			end_process(work->workers[i], ENDING_REQUEUE, NULL, false);
		else if (work->app->stage == APP_RUNNING)
			worker_start(work->workers[i]);
	}
	work->restarts++;
	if (work->app->stage == APP_RUNNING)
		resume_service(work);
	work_on_room(work);
	app_changed(work->app, "restart");
}

/* The remembered runs that a verb is about: one call's, or all of the work. */
static int chosen(struct work *work, struct lw_slice call, struct run ***ret_runs,
		  size_t *ret_count, struct lw_err *err)
{
	struct cache *cache = work->app->cache;
	struct lw_slice form;
	struct run *run;
	int r;

	if (call.size == 0) {
		*ret_count = cache_of_work(cache, work, ret_runs);
		return 0;
	}
	r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);
	if (r < 0)
		return r;
	run = cache_find(cache, cache_key(cache, form), form);
	*ret_count = run != NULL;
	*ret_runs = lw_alloc(sizeof(struct run *));
	if (run != NULL)
		(*ret_runs)[0] = run_ref(run);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t one = (*(struct run *const *)a)->id, other = (*(struct run *const *)b)->id;

	return (one > other) - (one < other);
}

int work_retry(struct work *work, struct lw_slice call, struct lw_err *err)
{
	struct run **runs = NULL, *made;
	size_t count = 0;
	int n = 0, r = chosen(work, call, &runs, &count, err);

	if (count > 0)
		qsort(runs, count, sizeof(struct run *), by_id);
	for (size_t i = 0; i < count; i++) {
		struct run *run = runs[i];

		if (r >= 0 && (run->stage == STAGE_FAILED || run->stage == STAGE_STOPPED)) {
			r = work_make_run(work, run->key,
					  (struct lw_slice){ run->form, run->form_size }, run->call,
					  FROM_API, WHY_RETRY, &made, err);
			n += r >= 0;
		}
		run_unref(run);
	}
	free(runs);
	if (r < 0)
		return r;
	return n > 0 ? n
		     : lw_err_set(err, -ENOENT, "work '%s' has no %s to retry", work->config->name,
				  call.size > 0 ? "failed or stopped run of that call"
						: "failed or stopped call");
}

int work_forget(struct work *work, struct lw_slice call, struct lw_err *err)
{
	struct run **runs = NULL;
	size_t count = 0;
	int r = chosen(work, call, &runs, &count, err);

	for (size_t i = 0; i < count; i++) {
		struct run *run = runs[i];

		journal_forget(work->app->journal, run);
		if (stage_over(run->stage))
			cache_remove(work->app->cache, run);
		else
			run->forget = true; /* it finishes and delivers first */
		run_unref(run);
	}
	free(runs);
	if (r < 0)
		return r;
	if (count > 0)
		app_changed(work->app, "forget");
	return (int)count;
}
