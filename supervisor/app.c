/* app.c - passes, and the works they make. */
#include "app.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adopt.h"
#include "events.h"
#include "launch.h"
#include "lw_cgroup.h"
#include "lw_log.h"
#include "notify.h"
#include "reap.h"
#include "schedule.h"

#define UNSEEN_MOST      100    /* full passes that did not make a work before it leaves */
#define OWN_CHANGE_PAUSE 100000 /* us until the pass that a pass asks for by its own changes */

static void on_begin(struct loop_task *task);
static void on_pass(struct loop_task *task);
static void on_looked(struct loop_task *task);
static void on_look(struct watcher *watcher);
static void on_end_of_turn(struct loop_task *task);
static void on_over(struct loop_task *task);
static void on_trim(struct loop_task *task);
static void on_interval(struct loop_timer *timer);
static void on_own_change(struct loop_timer *timer);

const char *app_stage_name(enum app_stage stage)
{
	static const char *const names[] = { "starting", "running", "stopping", "over" };

	return names[stage];
}

/* ---- the record ------------------------------------------------------------------------------------ */

static int read_form(void *context, uint64_t run, struct lw_buf *out)
{
	const struct app *app = context;
	struct lw_slice form;
	struct lw_err err;
	int r = journal_read_form(app->journal, run, &form, &err);

	if (r < 0)
		lw_log(LW_LOG_ERROR, "run=%llu its call cannot be read: %s",
		       (unsigned long long)run, err.text);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	lw_buf_add(out, form.data, form.size);
	return 0;
}

static bool on_record(void *context, uint64_t id)
{
	const struct app *app = context;
	const struct run *run = runs_find(app->runs, id);

	return run == NULL || (!run->noted && run->batch <= journal_stable(app->journal));
}

/* cache_max: the call is forgotten, its run stays in the history. */
static void memo_left(void *context, const struct memo *memo)
{
	struct app *app = context;

	journal_flags(app->journal, runs_find(app->runs, memo->run), memo->run, 0);
}

void app_note(struct app *app, int what)
{
	events_note(app->events, &(struct event){ .kind = EVENT_APP,
						  .stage = (uint8_t)app->stage,
						  .what = (uint8_t)what });
}

static void set_stage(struct app *app, enum app_stage stage)
{
	app->stage = stage;
	app_note(app, EVENT_STAGE);
}

/* Runs may start again, or may not. */
static void on_journal(void *context)
{
	struct app *app = context;

	app_note(app, EVENT_JOURNAL);
	for (size_t i = 0; i < app->work_count; i++)
		work_on_room(app->works[i]);
	for (size_t i = 0; i < app->worker_count; i++)
		if (app->workers[i] != NULL)
			worker_on_journal(app->workers[i]);
}

static int open_record(struct app *app, const char *state_dir, struct lw_err *err)
{
	const struct app_config *config = &app->config->app;
	struct journal_options journal = {
		.dir = state_dir,
		.durability = config->durability,
		.runs_keep = (uint64_t)config->runs_keep,
		.changed = on_journal,
		.context = app,
	};
	struct cache_options cache = {
		.form_bytes = (uint64_t)config->form_cache,
		.most = (uint64_t)config->cache_max,
		.context = app,
		.read_form = read_form,
		.on_record = on_record,
		.left = memo_left,
	};
	uint64_t last = 0;
	int r = journal_open(app->loop, &journal, &app->journal, err);

	if (r >= 0)
		r = journal_last_run(app->journal, &last, err);
	if (r < 0)
		return r;
	cache.secret = journal_secret(app->journal);
	app->cache = cache_new(&cache);
	app->runs = runs_new(last);
	return 0;
}

static void on_trim(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, trim_task);
	uint64_t most = (uint64_t)app->config->app.form_cache, forms = cache_form_bytes(app->cache);

	runs_trim(app->runs, most > forms ? most - forms : 0, journal_stable(app->journal));
}

void app_rest(struct app *app, struct run *run)
{
	runs_rest(app->runs, run);
	if (runs_resting(app->runs) + cache_form_bytes(app->cache) >
	    (uint64_t)app->config->app.form_cache)
		loop_post(app->loop, LOOP_LATE, &app->trim_task);
}

int app_run_of_row(struct app *app, const struct run_row *row, struct run **ret_run,
		   struct lw_err *err)
{
	struct run *run = runs_find(app->runs, row->id);
	struct work *work = app_work_of_row(app, row->work);

	if (run != NULL) {
		*ret_run = run_ref(run);
		return 0;
	}
	if (work == NULL)
		return lw_err_set(err, -EUCLEAN, "the journal's row of run %llu names no work",
				  (unsigned long long)row->id);
	return run_from_row(app->runs, work, cache_key(app->cache, row->form), row, ret_run, err);
}

struct run *app_run(struct app *app, uint64_t id, struct lw_err *err)
{
	struct run *run = runs_find(app->runs, id);
	struct run_row row;
	int r;

	if (run != NULL)
		return run;
	r = journal_read(app->journal, id, &row, err);
	if (r == 0)
		lw_err_set(err, -ENOENT, "run %llu is gone: it is too old", (unsigned long long)id);
	if (r <= 0 || app_run_of_row(app, &row, &run, err) < 0)
		return NULL;
	app_rest(app, run);
	return run;
}

/* What was given to us is not our works' to use. */
static void open_cgroup(struct app *app)
{
	struct lw_err err;
	int r = lw_cgroup_open(journal_store(app->journal), &app->cgroup, &err);

	if (r < 0 && r != -ENOENT)
		lw_log(LW_LOG_WARNING, "%s; process trees are searched for", err.text);
	if (r >= 0)
		lw_log(LW_LOG_INFO, "cgroup=%s", lw_cgroup_path(app->cgroup));
	unsetenv("LW_CGROUP");
}

int app_settle(struct app *app, struct lw_err *err)
{
	return journal_stop(app->journal, err);
}

/* ---- the object ------------------------------------------------------------------------------------ */

int app_new(struct loop *loop, struct config *config, struct flow *flow, const char *state_dir,
	    struct app **ret_app, struct lw_err *err)
{
	struct app *app = LW_NEW(struct app);
	int r;

	app->loop = loop;
	app->config = config;
	app->flow = flow;
	app->started = loop_wall(loop);
	app->begin_task.run = on_begin;
	app->pass_task.run = on_pass;
	app->looked_task.run = on_looked;
	app->look.done = on_look;
	app->end_task.run = on_end_of_turn;
	app->over_task.run = on_over;
	app->trim_task.run = on_trim;
	app->state_dir = state_dir;
	loop_timer_init(&app->interval_timer, loop, on_interval);
	loop_timer_init(&app->own_timer, loop, on_own_change);
	app->events = events_new(loop);
	usage_init(&app->usage, loop);
	app->launch = launch_new(loop, worker_launch);
	r = open_record(app, state_dir, err);
	if (r >= 0)
		open_cgroup(app);
	if (r >= 0)
		r = reaper_new(loop, &app->reaper, err);
	if (r < 0) {
		app->config = NULL; /* not taken over */
		app->flow = NULL;
		app_free(app);
		return r;
	}
	app->files = files_new(loop, app->reaper, config->app.folder, journal_secret(app->journal));
	*ret_app = app;
	return 0;
}

static void keep(void *work)
{
	(void)work; /* the tree does not own it */
}

void app_free(struct app *app)
{
	struct lw_err err;

	if (app == NULL)
		return;
	if (app->journal != NULL)
		(void)!journal_stop(app->journal, &err); /* what is noted refers to works */
	flow_free(app->flow);
	for (size_t i = 0; i < app->work_count; i++)
		work_free(app->works[i]);
	tdestroy(app->names, keep);
	free(app->works);
	free(app->rows);
	free(app->workers);
	journal_free(app->journal);
	cache_free(app->cache);
	runs_free(app->runs);
	loop_cancel(app->loop, &app->begin_task);
	loop_cancel(app->loop, &app->pass_task);
	loop_cancel(app->loop, &app->looked_task);
	watcher_cancel(&app->look);
	loop_cancel(app->loop, &app->end_task);
	loop_cancel(app->loop, &app->over_task);
	loop_cancel(app->loop, &app->trim_task);
	loop_timer_done(&app->interval_timer);
	loop_timer_done(&app->own_timer);
	usage_done(&app->usage);
	schedule_free(app->schedule);
	launch_free(app->launch);
	files_free(app->files);
	reaper_free(app->reaper);
	lw_cgroup_free(app->cgroup);
	events_free(app->events);
	state_done(&app->state);
	pause_done(&app->pause);
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

int64_t app_longest_turn(const struct app *app)
{
	return app->config->app.flow_timeout + FLOW_GRACE;
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

struct work *app_work_of_row(const struct app *app, uint32_t row)
{
	return row >= 1 && row <= app->row_count ? app->rows[row - 1] : NULL;
}

static void set_row(struct app *app, struct work *work)
{
	size_t room = app->row_count;

	if (work->row > room) {
		app->rows = lw_realloc(app->rows, work->row * sizeof(struct work *));
		memset(app->rows + room, 0, (work->row - room) * sizeof(struct work *));
		app->row_count = work->row;
	}
	app->rows[work->row - 1] = work;
}

struct work *app_add_work(struct app *app, struct work_config *take, uint32_t row)
{
	struct work *work = work_new(app, take, row);

	app->works = lw_realloc(app->works, (app->work_count + 1) * sizeof(struct work *));
	app->works[app->work_count] = work;
	work->index = app->work_count++;
	set_row(app, work);
	if (tsearch(work, &app->names, name_compare) == NULL)
		lw_fatal("out of memory");
	return work;
}

/* A work that passes ceased to make, or that an earlier supervisor knew, keeps what it remembers
 * and may come back, also with other settings. */
static int revive(struct work *work, struct work_config *take, bool in_pass, struct lw_err *err)
{
	const char *key = work_config_differs(work->config, take);

	if (key != NULL && !work->retired && !work->stale)
		return lw_err_set(err, -EEXIST, "work '%s' exists with another '%s'", take->name,
				  key);
	if (key == NULL && !work->retired)
		work_config_free(take);
	else
		work_take_config(work, take, in_pass);
	work->stale = false;
	return 0;
}

int app_work_add(struct app *app, struct work_config *take, bool in_pass, struct work **ret_work,
		 struct lw_err *err)
{
	struct work *work = find_work(app, take->name);

	if (work == NULL) {
		work = app_add_work(app, take, (uint32_t)app->row_count + 1);
		work->made_in_pass = in_pass;
		work_record(work);
		if (in_pass)
			work_begin(work);
	} else {
		int r = revive(work, take, in_pass, err);

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

		if (!work->made_in_pass || (work->retired && !work_has_process(work)) ||
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
	if (!app->config->has_flow) {
		loop_post(app->loop, LOOP_END, &app->end_task);
	} else if (!is_paused(&app->pause) && !app->pass_task.posted) {
		app->last_trigger = trigger;
		loop_post(app->loop, LOOP_PASS, &app->pass_task);
	}
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
		if (result->run != 0)
			work_failed_app(app, result->run);
		app_end(app, 1, result->message);
		return;
	}
	if (app->live_runs == 0)
		flow_rest(app->flow);
	if (app->own_change)
		loop_timer_set(&app->own_timer, OWN_CHANGE_PAUSE);
	if (app->config->app.interval > 0)
		loop_timer_set(&app->interval_timer, app->config->app.interval);
	if (app->drain && app->changes == 0 && !app->pass_task.posted && app->look.link == NULL &&
	    !has_live_runs(app))
		end_drained(app, "nothing is left to do");
}

static void make_pass(struct app *app)
{
	struct flow_result result = { 0 };
	int64_t began = loop_clock();

	if (app->stage != APP_RUNNING || is_paused(&app->pause))
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
	histogram_add(&app->passes_took, &histogram_of_passes, app->last_pass_took);
	after_pass(app, &result);
}

/* A pass sees cache_files as they were after what it is for; while they are looked at more may
 * happen, which needs another look. */
static void on_pass(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, pass_task);

	if (app->look.link != NULL)
		app->look_again = true;
	else if (!files_look(app->files, &app->look))
		make_pass(app);
}

static void on_look(struct watcher *watcher)
{
	struct app *app = LW_OWNER(watcher, struct app, look);

	loop_post(app->loop, LOOP_PASS, &app->looked_task);
	if (!app->look_again)
		return;
	app->look_again = false;
	loop_post(app->loop, LOOP_PASS, &app->pass_task);
}

static void on_looked(struct loop_task *task)
{
	make_pass(LW_OWNER(task, struct app, looked_task));
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
	journal_state(app->journal, 0, key, value);
	app_note(app, EVENT_STATE);
	app_changed(app, "state");
	return r;
}

void app_pause(struct app *app, const char *by)
{
	if (!pause_begin(&app->pause, app->journal, 0, loop_wall(app->loop), by))
		return;
	loop_timer_stop(&app->interval_timer);
	loop_timer_stop(&app->own_timer);
	app_note(app, EVENT_PAUSE);
}

/* The pass that comes sees all that happened meanwhile. */
void app_resume(struct app *app)
{
	if (!pause_end(&app->pause, app->journal, 0))
		return;
	app_note(app, EVENT_PAUSE);
	app_changed(app, "resume");
}

static void on_mark(void *context)
{
	app_changed(context, "schedule");
}

static int make_schedule(struct app *app, struct lw_err *err)
{
	return app->schedule != NULL ? 0
				     : schedule_new(app->loop, on_mark, app, &app->schedule, err);
}

int app_schedule(struct app *app, const char *mark, char text[32], struct lw_err *err)
{
	bool first = app->schedule == NULL;
	int r = make_schedule(app, err);

	if (r < 0)
		return r;
	if (first)
		schedule_pass_begins(app->schedule);
	return schedule_ask(app->schedule, mark, text, err);
}

int app_restore_mark(struct app *app, const char *mark, int64_t at, struct lw_err *err)
{
	int r = make_schedule(app, err);

	if (r >= 0)
		schedule_restore(app->schedule, mark, (time_t)(at / 1000000));
	return r;
}

/* Those of app.conf as they stand there, then whoever is only known from the record. */
static int by_line(const void *a, const void *b)
{
	const struct work *one = *(struct work *const *)a, *other = *(struct work *const *)b;

	if (one->retired != other->retired)
		return one->retired - other->retired;
	if (!one->retired && one->order != other->order)
		return one->order < other->order ? -1 : 1;
	return (one->row > other->row) - (one->row < other->row);
}

static void order_works(struct app *app)
{
	if (app->work_count > 0)
		qsort(app->works, app->work_count, sizeof(struct work *), by_line);
	for (size_t i = 0; i < app->work_count; i++)
		app->works[i]->index = i;
}

/* Since before this start: else nobody would know why nothing happens. */
static void say_who_is_paused(const struct app *app)
{
	LW_AUTO_BUF text = { 0 };

	if (is_paused(&app->pause)) {
		pause_print(&app->pause, &text);
		lw_log(LW_LOG_WARNING, "the app makes no passes: it was %s", lw_buf_text(&text));
	}
	for (size_t i = 0; i < app->work_count; i++) {
		const struct work *work = app->works[i];

		if (!is_paused(&work->pause) || work->retired)
			continue;
		text.size = 0;
		pause_print(&work->pause, &text);
		lw_log(LW_LOG_WARNING, "work=%s starts nothing: it was %s", work->config->name,
		       lw_buf_text(&text));
	}
}

/* ---- beginning and end -------------------------------------------------------------------------------- */

int app_begin(struct app *app, struct lw_err *err)
{
	struct config *config = app->config;
	int load = adopt_load(app, err);

	if (load < 0)
		return load;
	for (size_t i = 0; i < config->count; i++) {
		struct work_config *take = LW_TAKE(config->works[i]);
		struct work *work;
		int r = app_work_add(app, take, false, &work, err);

		if (r < 0) {
			work_config_free(take);
			return r;
		}
		work->order = i;
	}
	order_works(app);
	set_stage(app, APP_RUNNING);
	say_who_is_paused(app);
	adopt_processes(app);
	loop_post(app->loop, LOOP_IO, &app->begin_task);
	return 0;
}

/* In the first turn, so that starting thousands of processes is spread over several. */
static void on_begin(struct loop_task *task)
{
	struct app *app = LW_OWNER(task, struct app, begin_task);

	for (size_t i = 0; i < app->work_count; i++) {
		work_begin(app->works[i]);
		if (!app->config->has_flow && work_live_runs(app->works[i]) == 0 &&
		    !app->works[i]->retired)
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
	set_stage(app, APP_OVER);
	app->on_over(app);
}

/* What cannot be killed is left, by name, to the next supervisor. */
static void fail_to_end(struct app *app, const struct work *stuck)
{
	app->exit_status = 1;
	free(app->end_reason);
	app->end_reason = lw_format("work '%s': %s", stuck->config->name,
				    worker_info(work_stuck(stuck)).error);
}

void app_on_gone(struct app *app)
{
	const struct work *stuck = NULL;

	if (app->stage != APP_STOPPING || app->keep_works)
		return;
	for (size_t i = 0; i < app->work_count; i++) {
		if (!work_has_process(app->works[i]))
			continue;
		if (work_stuck(app->works[i]) == NULL)
			return;
		stuck = app->works[i];
	}
	if (stuck != NULL)
		fail_to_end(app, stuck);
	loop_post(app->loop, LOOP_LATE, &app->over_task);
}

void app_end(struct app *app, int exit_status, const char *reason)
{
	if (app->stage == APP_STOPPING || app->stage == APP_OVER)
		return;
	set_stage(app, APP_STOPPING);
	app->exit_status = exit_status;
	app->end_reason = lw_strdup(reason);
	lw_log(exit_status == 0 ? LW_LOG_INFO : LW_LOG_ERROR,
	       "app=stopping status=%d reason=\"%s\"", exit_status, reason);
	notify_stopping(app->notify, reason);
	loop_timer_stop(&app->interval_timer);
	loop_timer_stop(&app->own_timer);
	for (size_t i = 0; i < app->work_count; i++)
		work_end(app->works[i], false);
	app_on_gone(app);
}

/* When everything that may not be lost is on record. */
static void on_left(struct journal_wait *wait, int r)
{
	struct app *app = LW_OWNER(wait, struct app, left);

	(void)r; /* app_settle() tries again, and says so */
	loop_post(app->loop, LOOP_LATE, &app->over_task);
}

void app_leave(struct app *app, const char *reason)
{
	if (app->stage == APP_STOPPING || app->stage == APP_OVER)
		return;
	set_stage(app, APP_STOPPING);
	app->keep_works = true;
	app->end_reason = lw_strdup(reason);
	lw_log(LW_LOG_INFO, "app=leaving reason=\"%s\"", reason);
	notify_stopping(app->notify, reason);
	loop_timer_stop(&app->interval_timer);
	loop_timer_stop(&app->own_timer);
	app->left.done = on_left;
	journal_wait(app->journal, &app->left);
}

void app_end_at_once(struct app *app)
{
	for (size_t i = 0; i < app->work_count; i++)
		work_end(app->works[i], true);
	app_on_gone(app);
}
