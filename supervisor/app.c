/* app.c - passes, and the works they make. */
#include "app.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "launch.h"
#include "lw_log.h"
#include "reap.h"
#include "schedule.h"

#define UNSEEN_MOST      100    /* full passes that did not make a work before it leaves */
#define OWN_CHANGE_PAUSE 100000 /* us until the pass that a pass asks for by its own changes */

static void on_begin(struct loop_task *task);
static void on_pass(struct loop_task *task);
static void on_end_of_turn(struct loop_task *task);
static void on_over(struct loop_task *task);
static void on_interval(struct loop_timer *timer);
static void on_own_change(struct loop_timer *timer);

const char *app_stage_name(enum app_stage stage)
{
	static const char *const names[] = { "starting", "running", "stopping", "over" };

	return names[stage];
}

int app_new(struct loop *loop, struct config *config, struct flow *flow, struct app **ret_app,
	    struct lw_err *err)
{
	struct app *app = LW_NEW(struct app);
	int r;

	app->loop = loop;
	app->config = config;
	app->flow = flow;
	app->started = loop_wall(loop);
	app->begin_task.run = on_begin;
	app->pass_task.run = on_pass;
	app->end_task.run = on_end_of_turn;
	app->over_task.run = on_over;
	loop_timer_init(&app->interval_timer, loop, on_interval);
	loop_timer_init(&app->own_timer, loop, on_own_change);
	app->cache = cache_new();
	app->runs = runs_new();
	app->launch = launch_new(loop, worker_launch);
	r = journal_open(loop, &app->journal, err);
	if (r >= 0)
		r = reaper_new(loop, &app->reaper, err);
	if (r < 0) {
		app->config = NULL; /* not taken over */
		app->flow = NULL;
		app_free(app);
		return r;
	}
	*ret_app = app;
	return 0;
}

static void keep(void *work)
{
	(void)work; /* the tree does not own it */
}

void app_free(struct app *app)
{
	if (app == NULL)
		return;
	flow_free(app->flow);
	cache_free(app->cache);
	for (size_t i = 0; i < app->work_count; i++)
		work_free(app->works[i]);
	tdestroy(app->names, keep);
	free(app->works);
	free(app->workers);
	runs_free(app->runs);
	loop_cancel(app->loop, &app->begin_task);
	loop_cancel(app->loop, &app->pass_task);
	loop_cancel(app->loop, &app->end_task);
	loop_cancel(app->loop, &app->over_task);
	loop_timer_done(&app->interval_timer);
	loop_timer_done(&app->own_timer);
	schedule_free(app->schedule);
	launch_free(app->launch);
	journal_close(app->journal);
	reaper_free(app->reaper);
	state_done(&app->state);
	lw_buf_done(&app->scratch);
	config_free(app->config);
	free(app->end_reason);
	free(app->last_failure);
	free(app);
}

/* ---- works --------------------------------------------------------------------------------------- */

static int name_compare(const void *a, const void *b)
{
	const struct work *one = a, *other = b;

	return strcmp(one->config->name, other->config->name);
}

static struct work *find_work(const struct app *app, const char *name)
{
	struct work_config config = { .name = (char *)name };
	struct work key = { .config = &config };
	struct work *const *node = tfind(&key, &app->names, name_compare);

	return node != NULL ? *node : NULL;
}

bool app_shows(const struct work *work)
{
	return !work->retired || work_has_process(work);
}

struct work *app_work(const struct app *app, const char *name)
{
	struct work *work = find_work(app, name);

	return work != NULL && app_shows(work) ? work : NULL;
}

static struct work *add_work(struct app *app, struct work_config *take)
{
	app->works = lw_realloc(app->works, (app->work_count + 1) * sizeof(struct work *));
	app->works[app->work_count] = work_new(app, take);
	app->works[app->work_count]->index = app->work_count;
	if (tsearch(app->works[app->work_count], &app->names, name_compare) == NULL)
		lw_fatal("out of memory");
	return app->works[app->work_count++];
}

/* A work that passes ceased to make keeps what it remembers and may come back, also with other
 * settings once its processes are gone. */
static int revive(struct work *work, struct work_config *take, struct lw_err *err)
{
	const char *key = work_config_differs(work->config, take);

	if (key != NULL && (!work->retired || work_has_process(work)))
		return lw_err_set(err, -EEXIST, "work '%s' exists with another '%s'", take->name,
				  key);
	if (key == NULL)
		work_config_free(take);
	else
		work_reconfigure(work, take);
	if (work->retired) {
		work->retired = false;
		work_begin(work);
		work_on_room(work);
	}
	return 0;
}

int app_work_add(struct app *app, struct work_config *take, bool in_pass, struct work **ret_work,
		 struct lw_err *err)
{
	struct work *work = find_work(app, take->name);

	if (work == NULL) {
		work = add_work(app, take);
		work->made_in_pass = in_pass;
		if (in_pass)
			work_begin(work);
	} else {
		int r = revive(work, take, err);

		if (r < 0)
			return r;
	}
	work->seen_pass = app->full_passes;
	*ret_work = work;
	return 0;
}

static void retire_unseen(struct app *app)
{
	for (size_t i = 0; i < app->work_count; i++) {
		struct work *work = app->works[i];

		if (!work->made_in_pass || work->retired ||
		    app->full_passes - work->seen_pass < UNSEEN_MOST)
			continue;
		lw_log(LW_LOG_INFO, "work=%s was not made for %d passes and is stopped",
		       work->config->name, UNSEEN_MOST);
		work->retired = true;
		work_end(work, false);
	}
}

/* ---- passes ---------------------------------------------------------------------------------------- */

static bool has_live_runs(const struct app *app)
{
	for (size_t i = 0; i < app->work_count; i++)
		if (!app->works[i]->retired && work_live_runs(app->works[i]) > 0)
			return true;
	return false;
}

void app_changed(struct app *app, const char *trigger)
{
	if (app->in_pass) {
		app->changes++;
		app->own_change = app->own_change || strcmp(trigger, "run") != 0;
		return;
	}
	if (app->stage != APP_RUNNING)
		return;
	if (app->config->has_flow && !app->pass_task.posted) {
		app->last_trigger = trigger;
		loop_post(app->loop, LOOP_PASS, &app->pass_task);
	}
	if (!app->config->has_flow)
		loop_post(app->loop, LOOP_END, &app->end_task);
}

static void on_mark_recorded(void *context, const char *mark, time_t at)
{
	struct app *app = context;

	journal_mark(app->journal, mark, (int64_t)at * 1000000);
}

/* With --drain a run that failed is the app's failure; its sentence is the reason then. */
static int drain_status(const struct app *app)
{
	return app->drain && app->last_failure != NULL;
}

static void end_drained(struct app *app, const char *reason)
{
	int status = drain_status(app);

	app_end(app, status, status != 0 ? app->last_failure : reason);
}

static void after_pass(struct app *app, const struct flow_result *result)
{
	for (size_t i = 0; i < app->work_count; i++)
		work_pass_ended(app->works[i]);
	app->in_pass = false;
	switch (result->verdict) {
	case FLOW_ENDED:
		app->full_passes++;
		if (app->schedule != NULL)
			schedule_pass_ended(app->schedule, on_mark_recorded);
		retire_unseen(app);
		break;
	case FLOW_WAITS:
		break;
	case FLOW_STOPS:
		app_end(app, drain_status(app), result->message);
		return;
	case FLOW_FAILS:
		app_end(app, 1, result->message);
		return;
	}
	if (app->live_runs == 0)
		flow_rest(app->flow);
	if (app->own_change)
		loop_timer_set(&app->own_timer, OWN_CHANGE_PAUSE);
	if (app->config->app.interval > 0)
		loop_timer_set(&app->interval_timer, app->config->app.interval);
	if (app->drain && app->changes == 0 && !app->pass_task.posted && !has_live_runs(app))
		end_drained(app, "nothing is left to do");
}

static void on_pass(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, pass_task);
	struct flow_result result = { 0 };
	int64_t began = loop_clock();

	if (app->stage != APP_RUNNING)
		return;
	app->in_pass = true;
	app->own_change = false;
	app->changes = 0;
	app->passes++;
	app->last_pass = loop_wall(app->loop);
	if (app->schedule != NULL)
		schedule_pass_begins(app->schedule);
	flow_pass(app->flow, app, &result);
	app->last_pass_took = loop_clock() - began;
	after_pass(app, &result);
}

static void on_interval(struct loop_timer *timer)
{
	app_changed(LW_OWNER(timer, struct app, interval_timer), "interval");
}

static void on_own_change(struct loop_timer *timer)
{
	app_changed(LW_OWNER(timer, struct app, own_timer), "state");
}

int app_set_state(struct app *app, const char *name, struct lw_slice value, struct lw_err *err)
{
	struct lw_slice key = { (const uint8_t *)name, strlen(name) };
	int r = state_set(&app->state, key, value, err);

	if (r <= 0)
		return r;
	journal_state(app->journal, NULL, key, value);
	app_changed(app, "state");
	return r;
}

static void on_mark(void *context)
{
	app_changed(context, "schedule");
}

int app_schedule(struct app *app, const char *mark, char text[32], struct lw_err *err)
{
	if (app->schedule == NULL) {
		int r = schedule_new(app->loop, on_mark, app, &app->schedule, err);

		if (r < 0)
			return r;
		schedule_pass_begins(app->schedule);
	}
	return schedule_ask(app->schedule, mark, text, err);
}

/* ---- beginning and end -------------------------------------------------------------------------------- */

int app_begin(struct app *app, struct lw_err *err)
{
	struct config *config = app->config;

	for (size_t i = 0; i < config->count; i++) {
		struct work_config *take = LW_TAKE(config->works[i]);
		struct work *work;
		int r = app_work_add(app, take, false, &work, err);

		if (r < 0) {
			work_config_free(take);
			return r;
		}
	}
	app->stage = APP_RUNNING;
	loop_post(app->loop, LOOP_IO, &app->begin_task);
	return 0;
}

/* In the first turn, so that starting thousands of processes is spread over several. */
static void on_begin(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, begin_task);

	for (size_t i = 0; i < app->work_count; i++) {
		work_begin(app->works[i]);
		if (!app->config->has_flow)
			work_call_service(app->works[i]);
	}
	app_changed(app, "start");
}

/* Without a flow the app ends when no call is left: none lives, none comes again. */
static bool services_over(const struct app *app)
{
	for (size_t i = 0; i < app->work_count; i++) {
		const struct work *work = app->works[i];

		if (work_live_runs(work) > 0 || work->held || loop_timer_pending(&work->again))
			return false;
	}
	return true;
}

static void on_end_of_turn(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, end_task);

	if (app->stage == APP_RUNNING && !app->config->has_flow && services_over(app))
		end_drained(app, "every service is over");
}

static void on_over(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, over_task);

	if (app->stage == APP_OVER)
		return;
	app->stage = APP_OVER;
	app->on_over(app);
}

void app_on_gone(struct app *app)
{
	if (app->stage != APP_STOPPING)
		return;
	for (size_t i = 0; i < app->work_count; i++)
		if (work_has_process(app->works[i]))
			return;
	loop_post(app->loop, LOOP_LATE, &app->over_task);
}

void app_end(struct app *app, int exit_status, const char *reason)
{
	if (app->stage == APP_STOPPING || app->stage == APP_OVER)
		return;
	app->stage = APP_STOPPING;
	app->exit_status = exit_status;
	app->end_reason = lw_strdup(reason);
	lw_log(exit_status == 0 ? LW_LOG_INFO : LW_LOG_ERROR,
	       "app=stopping status=%d reason=\"%s\"", exit_status, reason);
	loop_timer_stop(&app->interval_timer);
	loop_timer_stop(&app->own_timer);
	for (size_t i = 0; i < app->work_count; i++)
		work_end(app->works[i], false);
	app_on_gone(app);
}

void app_end_at_once(struct app *app)
{
	for (size_t i = 0; i < app->work_count; i++)
		work_end(app->works[i], true);
	app_on_gone(app);
}
