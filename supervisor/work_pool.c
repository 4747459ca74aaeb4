/* work_pool.c - who runs what: the queue and the pool, dead processes, services. */
#include "app.h"
#include "lw_log.h"
#include "work_private.h"

#define STREAK_MOST     10    /* failed starts in a row before we give up */
#define BACKOFF_FIRST   50000 /* us before the second try; doubles */
#define BACKOFF_MOST    30000000
#define SERVICE_HEALTHY 10000000 /* us a service runs for its end not to count as a crash */
#define BALANCE_EVERY   50000    /* us a run is in hand before those behind it are taken back */

/* ---- serving the queue ----------------------------------------------------------------------------------- */

static struct worker *pick(const struct work *work)
{
	struct worker *best = NULL;

	for (size_t i = 0; i < work->worker_count; i++) {
		struct worker *worker = work->workers[i];

		if (worker_room(worker) > 0 &&
		    (best == NULL || worker_runs(worker)->count < worker_runs(best)->count))
			best = worker;
	}
	return best;
}

static bool all_gave_up(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_state(work->workers[i]) != WORKER_FAILED)
			return false;
	return true;
}

/* As many processes as there are calls waiting. A pool that gave up failed all that waited then;
 * for what waits now it is tried again. */
static void start_wanted(struct work *work)
{
	size_t wanted = work->queue.count;
	bool failed = all_gave_up(work);

	for (size_t i = 0; i < work->worker_count && wanted > 0; i++) {
		enum worker_state state = worker_state(work->workers[i]);

		if (state == WORKER_DOWN || failed)
			worker_start(work->workers[i]);
		if (failed ||
		    (state != WORKER_IDLE && state != WORKER_BUSY && state != WORKER_FAILED))
			wanted--;
	}
}

static bool some_wait_behind(const struct work *work)
{
	bool idle = false, behind = false;

	for (size_t i = 0; i < work->worker_count; i++) {
		idle = idle || worker_state(work->workers[i]) == WORKER_IDLE;
		behind = behind || worker_runs(work->workers[i])->count > 1;
	}
	return idle && behind;
}

void work_on_balance(struct loop_timer *timer)
{
	struct work *work = LW_OWNER(timer, struct work, balance);
	int64_t before = loop_wall(work->app->loop) - BALANCE_EVERY;

	if (!some_wait_behind(work))
		return;
	for (size_t i = 0; i < work->worker_count; i++) {
		const struct run_list *runs = worker_runs(work->workers[i]);
		struct run *run = runs->last;

		if (runs->count < 2 || runs->first->started > before)
			continue;
		for (size_t n = runs->count / 2; n > 0; n--, run = run->prev)
			worker_withdraw(work->workers[i], run);
	}
	loop_timer_set(timer, BALANCE_EVERY);
}

void work_on_pump(struct loop_task *task)
{
	struct work *work = LW_OWNER(task, struct work, pump);
	struct worker *worker;

	if (!work_may_run(work) || is_paused(&work->pause) ||
	    !journal_takes_runs(work->app->journal) || work_awaits_files(work))
		return;
	while (work->queue.first != NULL && (worker = pick(work)) != NULL) {
		struct run *run = work->queue.first;

		run_list_remove(&work->queue, run);
		worker_give(worker, run);
	}
	if (work->queue.first != NULL)
		start_wanted(work);
	else if (work->worker_count > 1 && !loop_timer_pending(&work->balance) &&
		 some_wait_behind(work))
		loop_timer_set(&work->balance, BALANCE_EVERY);
}

void work_on_room(struct work *work)
{
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

/* ---- a process is gone: what comes next --------------------------------------------------------------------- */

static int64_t back_off(uint64_t streak)
{
	double delay = BACKOFF_FIRST;

	if (streak <= 1)
		return 0;
	for (uint64_t i = 2; i < streak && delay < BACKOFF_MOST; i++)
		delay *= 2;
	return work_jittered(delay < BACKOFF_MOST ? delay : BACKOFF_MOST, 0.1);
}

static void fail_waiting(struct work *work, const struct worker *worker)
{
	const char *death = worker_info(worker).last_death;
	const char *error = worker_info(worker).error;
	LW_AUTO(lw_free)
	char *text = lw_format("its process does not start: %s", error != NULL   ? error
								 : death != NULL ? death
										 : "?");

	if (!all_gave_up(work)) {
		work_on_room(work); /* another process may serve them */
		return;
	}
	while (work->queue.first != NULL) {
		struct run *run = work->queue.first;

		run_list_remove(&work->queue, run);
		work_finish(work, run, STAGE_FAILED, "not started", text);
	}
}

static void give_up(struct work *work, struct worker *worker)
{
	worker_give_up(worker);
	fail_waiting(work, worker);
	app_changed(work->app, "process");
}

/* start_timeout is the failure of the run that waited longest. */
static void fail_first_waiting(struct work *work)
{
	struct run *run = work->queue.first;
	LW_AUTO(lw_free)
	char *text = lw_format("no process dialled in within %g s (start_timeout)",
			       (double)work->config->start_timeout / 1e6);

	if (run == NULL)
		return;
	work->timeouts++;
	run_list_remove(&work->queue, run);
	work_attempt_failed(work, run, "timeout", text);
}

static void replace_dead(struct work *work, struct worker *worker, struct worker_death death)
{
	enum restart restart = work->config->restart;

	if (death.timed_out)
		fail_first_waiting(work);
	work->restarts++;
	if (restart == RESTART_NEVER || death.streak > STREAK_MOST)
		give_up(work, worker);
	else if (death.hello && !death.badly && restart == RESTART_ON_FAILURE)
		work_on_room(work); /* stays down until a call needs it */
	else if (back_off(death.streak) == 0)
		worker_start(worker);
	else
		worker_start_later(worker, back_off(death.streak));
}

void work_on_stuck(struct work *work)
{
	watchers_tell(&work->gone_watchers);
	watchers_tell(&work->up_watchers);
	app_on_gone(work->app);
}

/* The last process with the old settings is gone. */
void work_on_renew(struct loop_task *task)
{
	struct work *work = LW_OWNER(task, struct work, renew);

	if (!work->renewing || work_has_process(work))
		return;
	work_settle_pool(work);
	work_record(work);
	lw_log(LW_LOG_INFO, "work=%s starts with its new settings", work->config->name);
	work_begin(work);
	work_on_room(work);
}

void work_on_gone(struct work *work, struct worker *worker)
{
	struct worker_death death = worker_death(worker);

	if (work->renewing && !work_has_process(work) && work->app->stage == APP_RUNNING) {
		loop_post(work->app->loop, LOOP_END, &work->renew); /* it frees workers */
		return;
	}
	if (!work_may_run(work)) {
		if (!work_has_process(work))
			watchers_tell(&work->gone_watchers);
		app_on_gone(work->app);
		return;
	}
	if (death.asked)
		worker_start(worker); /* restart, kill and timeout replace it at once */
	else
		replace_dead(work, worker, death);
	if (work_is_up(work))
		watchers_tell(&work->up_watchers);
}

/* ---- services: no flow, the call of `args` again and again -------------------------------------------------------------- */

static void service_call(const struct work *work, struct lw_buf *call)
{
	lw_buf_add(call, work->head.data, work->head.size);
	if (work->config->args.size > 0) {
		lw_buf_add(call, work->config->args.data, work->config->args.size);
	} else {
		lw_put_list(call, 0);
		lw_put_map(call, 0);
	}
}

static int make_service_run(struct work *work, struct lw_slice form, struct lw_slice call,
			    struct lw_err *err)
{
	struct cache *cache = work->app->cache;
	struct lw_key key = cache_key(cache, form);
	struct run *run;

	return work_make_run(work, key, form, call, cache_find(cache, key, form), FROM_RULE,
			     WHY_SERVICE, &run, err);
}

void work_call_service(struct work *work)
{
	struct app *app = work->app;
	LW_AUTO_BUF call = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;
	int r;

	work->rule_waits = false;
	work->waits_for_files = work->files != NULL && files_state(work->files) != FILES_KNOWN;
	if (work->waits_for_files) /* it is called when they are known */
		return;
	service_call(work, &call);
	r = lw_call_canon(lw_buf_slice(&call), &work->config->cache_ignore, &app->scratch, &form,
			  &err);
	if (r >= 0)
		r = make_service_run(work, form, lw_buf_slice(&call), &err);
	if (r < 0)
		lw_log(LW_LOG_ERROR, "work=%s cannot be called: %s", work->config->name, err.text);
}

/* overlap = cancel: the rule's own call would stop one that somebody made. It comes after it. */
static bool others_come_first(const struct work *work)
{
	return work->config->overlap == OVERLAP_CANCEL && work_live_runs(work) > 0;
}

void work_on_again(struct loop_timer *timer)
{
	struct work *work = LW_OWNER(timer, struct work, again);

	if (!work_may_run(work))
		return;
	work->rule_waits = others_come_first(work);
	if (!work->rule_waits)
		work_call_service(work);
}

void work_service_goes_on(struct work *work)
{
	if (others_come_first(work))
		return;
	work->rule_waits = false;
	loop_timer_set(&work->again, 0);
}

void work_service_over(struct work *work, const struct run *run)
{
	enum restart restart = work->config->restart;
	bool well = run->stage == STAGE_SUCCEEDED;
	bool long_lived = run->started != 0 && run->ended - run->started >= SERVICE_HEALTHY;

	if (!work_may_run(work) || restart == RESTART_NEVER ||
	    (well && restart == RESTART_ON_FAILURE))
		return;
	work->streak = long_lived || run->stage == STAGE_STOPPED ? 1 : work->streak + 1;
	if (work->streak > STREAK_MOST) {
		lw_log(LW_LOG_ERROR, "work=%s gave up after it ended %d times in a row",
		       work->config->name, STREAK_MOST + 1);
		return;
	}
	work->restarts++;
	loop_timer_set(&work->again, back_off(work->streak));
}
