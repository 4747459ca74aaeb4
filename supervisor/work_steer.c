/* work_steer.c - start, stop, kill, restart, pause, signal, retry and forget: by operators and the
 * flow. */
#include <errno.h>
#include <stdlib.h>

#include "app.h"
#include "work_private.h"

/* ---- steering ----------------------------------------------------------------------------------------------------- */

/* A stop or a kill has the last word over a restart or a timeout that is under way. */
static void end_process(struct worker *worker, enum ending ending, const char *reason, bool at_once)
{
	struct run *run = worker_in_hand(worker);

	if (run != NULL && (run->ending == ENDING_NO || ending == ENDING_STOPPED))
		work_set_ending(worker_work(worker), run, ending, reason);
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
	if (work->held && !by_flow) {
		work->held = false;
		work_record(work);
	}
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
	if (!by_flow && changes)
		work_record(work);
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

/* Asked as by a restart: the process has until stop_timeout to end well, another one comes, and the
 * run is over when nothing of the tree is left. Its call is forgotten now, so that the same call
 * made again meanwhile is a new run and not one that is about to end. */
static void cancel(struct worker *worker, struct run *run, uint64_t by)
{
	if (run->ending == ENDING_STOPPED) /* stopped or killed, or cancelled before */
		return;
	work_forget_memo(run->work, run->memo);
	run->overtaken_by = by;
	end_process(worker, ENDING_STOPPED, NULL, false);
}

void work_cancel_running(struct work *work, uint64_t by)
{
	for (size_t i = 0; i < work->worker_count; i++) {
		struct run *run = worker_in_hand(work->workers[i]);

		if (run != NULL)
			cancel(work->workers[i], run, by);
	}
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

/* Runs that were sent ahead have not begun: they wait in the queue like the others. */
static void take_back(struct worker *worker)
{
	const struct run_list *runs = worker_runs(worker);

	for (struct run *run = runs->last; run != runs->first; run = run->prev)
		worker_withdraw(worker, run);
}

void work_pause(struct work *work, const char *by)
{
	struct app *app = work->app;

	if (!pause_begin(&work->pause, app->journal, work->row, loop_wall(app->loop), by))
		return;
	for (size_t i = 0; i < work->worker_count; i++)
		take_back(work->workers[i]);
	work_changed(work);
	app_changed(app, "pause");
}

/* overlap = cancel: a call that came meanwhile stops what runs now, not before it can begin. */
void work_resume(struct work *work)
{
	if (!pause_end(&work->pause, work->app->journal, work->row))
		return;
	if (work->config->overlap == OVERLAP_CANCEL && work->queue.first != NULL)
		work_cancel_running(work, work->queue.first->id);
	work_on_room(work);
	work_changed(work);
	app_changed(work->app, "resume");
}

size_t work_signal(struct work *work, int number)
{
	size_t told = 0;

	for (size_t i = 0; i < work->worker_count; i++)
		told += worker_signal(work->workers[i], number);
	return told;
}

/* ---- retry and forget: one call, or all of the work ---------------------------------------------------------------- */

static int find_memo(struct work *work, struct lw_slice call, struct memo **ret_memo,
		     struct lw_err *err)
{
	struct cache *cache = work->app->cache;
	struct lw_slice form;
	int r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);

	if (r >= 0)
		*ret_memo = cache_find(cache, cache_key(cache, form), form);
	return r;
}

static bool may_be_retried(const struct memo *memo)
{
	return memo->stage == STAGE_FAILED || memo->stage == STAGE_STOPPED;
}

struct ids {
	uint32_t work;
	uint64_t *list;
	size_t count, room;
};

static void ids_add(struct ids *ids, uint64_t id)
{
	if (ids->count == ids->room) {
		ids->room = ids->room == 0 ? 16 : ids->room * 2;
		ids->list = lw_realloc(ids->list, ids->room * sizeof(*ids->list));
	}
	ids->list[ids->count++] = id;
}

/* For cache_sweep(): looks, and lets everybody stay. */
static bool collect_retried(void *context, struct memo *memo)
{
	struct ids *ids = context;

	if (memo->work == ids->work && may_be_retried(memo))
		ids_add(ids, memo->run);
	return false;
}

static int by_id(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

/* 1, or 0 for one whose files are not what they were: it would run by a key that is not its own. */
static int retry_run(struct work *work, uint64_t id, struct lw_err *err)
{
	struct cache *cache = work->app->cache;
	struct run *run = app_run(work->app, id, err), *made;
	struct lw_slice form;
	int r;

	if (run == NULL)
		return -EIO;
	if (!work_sees_its_files(work, run))
		return 0;
	form = (struct lw_slice){ run->form, run->form_size };
	r = work_make_run(work, run->key, form, run->call, cache_find(cache, run->key, form),
			  FROM_API, WHY_RETRY, &made, err);
	return r < 0 ? r : 1;
}

int work_retry(struct work *work, struct lw_slice call, struct lw_err *err)
{
	struct ids ids = { .work = work->row };
	struct memo *memo = NULL;
	int n = 0, r = 0;

	if (call.size == 0)
		cache_sweep(work->app->cache, collect_retried, &ids);
	else
		r = find_memo(work, call, &memo, err);
	if (memo != NULL && may_be_retried(memo))
		ids_add(&ids, memo->run);
	if (ids.count > 0)
		qsort(ids.list, ids.count, sizeof(*ids.list), by_id);
	for (size_t i = 0; r >= 0 && i < ids.count; i++) {
		r = retry_run(work, ids.list[i], err);
		n += r > 0;
	}
	free(ids.list);
	if (r < 0)
		return r;
	return n > 0 ? n
		     : lw_err_set(err, -ENOENT, "work '%s' has no %s to retry", work->config->name,
				  call.size > 0 ? "failed or stopped run of that call"
						: "failed or stopped call");
}

struct forgetting {
	struct work *work;
	int64_t before;
	int count;
};

/* One that is not over finishes and delivers first. A work whose latest call is forgotten has none, as
 * after the next start. */
static bool forget_later(struct work *work, struct memo *memo)
{
	if (stage_over((enum stage)memo->stage)) {
		if (work->latest.run == memo->run)
			work->latest = (struct latest){ 0 };
		return false;
	}
	memo->forget = true;
	journal_flags(work->app->journal, memo->live, memo->run, STORE_RUN_KEPT | STORE_RUN_FORGET);
	return true;
}

/* For cache_sweep(). */
static bool forget_one(void *context, struct memo *memo)
{
	struct forgetting *forgetting = context;
	struct work *work = forgetting->work;
	bool over = stage_over((enum stage)memo->stage);

	if (memo->work != work->row)
		return false;
	if (forgetting->before != 0 && (!over || memo->ended >= forgetting->before))
		return false;
	forgetting->count++;
	if (forget_later(work, memo))
		return false;
	journal_flags(work->app->journal, runs_find(work->app->runs, memo->run), memo->run, 0);
	return true;
}

int work_forget(struct work *work, struct lw_slice call, int64_t before, struct lw_err *err)
{
	struct forgetting forgetting = { .work = work, .before = before };
	struct memo *memo = NULL;
	int r = 0;

	if (call.size == 0)
		cache_sweep(work->app->cache, forget_one, &forgetting);
	else
		r = find_memo(work, call, &memo, err);
	if (r < 0)
		return r;
	if (memo != NULL) {
		forgetting.count++;
		if (!forget_later(work, memo))
			work_forget_memo(work, memo);
	}
	if (forgetting.count > 0)
		app_changed(work->app, "forget");
	return forgetting.count;
}
