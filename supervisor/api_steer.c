/* api_steer.c - requests that steer processes, the app and the flow's state. */
#include <string.h>

#include "api_private.h"
#include "describe.h"
#include "reload.h"

/* ---- steering processes ----------------------------------------------------------------------- */

static void finish_work(struct wait *wait)
{
	const struct worker *stuck = wait->waited ? work_stuck(wait->work) : NULL;
	LW_AUTO_BUF out = { 0 };

	if (stuck != NULL) {
		api_failf(wait->request, 500, "cannot_kill", "work '%s': %s",
			  wait->work->config->name, worker_info(stuck).error);
		return;
	}
	api_describe_one(wait->work, wait->runs, wait->run_count, &out);
	api_answer(wait->request, &out);
}

/* A process that cannot be started is this request's failure; one that is down because
 * nothing calls for it is not. */
static void finish_up(struct wait *wait)
{
	for (size_t i = 0; i < wait->work->worker_count; i++) {
		struct worker_info info = worker_info(wait->work->workers[i]);
		const char *reason = info.error != NULL ? info.error : info.last_death;

		if (info.state != WORKER_FAILED && info.state != WORKER_BACKOFF)
			continue;
		api_failf(wait->request, 500, "cannot_start", "work '%s' does not start: %s",
			  wait->work->config->name, reason != NULL ? reason : "it gave up");
		return;
	}
	if (wait->work->held)
		api_failf(wait->request, 409, "stopped", "work '%s' was stopped meanwhile",
			  wait->work->config->name);
	else
		finish_work(wait);
}

static void await_on(struct wait *wait, bool done, struct watcher **list)
{
	if (done) {
		wait_stable(wait);
		return;
	}
	wait_watch(wait, list);
}

static void await(struct ask *ask, bool done, struct watcher **list,
		  void (*finish)(struct wait *wait))
{
	await_on(wait_new(ask, finish), !ask->wait || done, list);
}

/* The runs that a stop or kill is about to end. */
static void keep_running(struct wait *wait)
{
	for (size_t i = 0; i < wait->work->worker_count; i++)
		for (struct run *run = worker_runs(wait->work->workers[i])->first; run != NULL;
		     run = run->next)
			if (run->stage == STAGE_RUNNING)
				wait_keep(wait, run);
}

static bool refuse_at_end(struct ask *ask)
{
	if (ask->app->stage != APP_STOPPING && ask->app->stage != APP_OVER)
		return false;
	api_refuse(ask, 409, "ending", "the app is stopping", NULL);
	return true;
}

void api_do_start(struct ask *ask)
{
	if (refuse_at_end(ask))
		return;
	work_start(ask->work, false);
	await(ask, work_is_up(ask->work), &ask->work->up_watchers,
	      ask->wait ? finish_up : finish_work);
}

void api_do_restart(struct ask *ask)
{
	if (refuse_at_end(ask))
		return;
	work_restart(ask->work, false);
	await(ask, work_is_up(ask->work), &ask->work->up_watchers,
	      ask->wait ? finish_up : finish_work);
}

/* Done when the processes that were killed are replaced, or gone where nothing may run. */
void api_do_kill(struct ask *ask)
{
	struct work *work = ask->work;
	bool stays_down = work->held || work->stopped || ask->app->stage != APP_RUNNING;
	bool none = !work_has_process(work);
	bool comes_up = !stays_down && ask->wait && !none;
	struct wait *wait = wait_new(ask, comes_up ? finish_up : finish_work);

	keep_running(wait);
	work_kill(work);
	if (stays_down)
		await_on(wait, !ask->wait || !work_has_process(work), &work->gone_watchers);
	else
		await_on(wait, !ask->wait || none, &work->up_watchers);
}

/* Whoever waits for the work to be up waits in vain now: finish_up says so. */
void api_do_stop(struct ask *ask)
{
	struct wait *wait = wait_new(ask, finish_work);

	keep_running(wait);
	work_stop(ask->work, false);
	await_on(wait, !ask->wait || !work_has_process(ask->work), &ask->work->gone_watchers);
}

void api_do_pause(struct ask *ask)
{
	work_pause(ask->work, api_who(ask));
	wait_stable(wait_new(ask, finish_work));
}

void api_do_resume(struct ask *ask)
{
	work_resume(ask->work);
	wait_stable(wait_new(ask, finish_work));
}

static void finish_app(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	describe_app(wait->app, &out);
	api_answer(wait->request, &out);
}

void api_do_pause_app(struct ask *ask)
{
	if (!ask->app->config->has_flow) {
		api_refuse(ask, 409, "no_flow", "this app has no flow that could be paused",
			   "its works can be, one by one");
		return;
	}
	app_pause(ask->app, api_who(ask));
	wait_stable(wait_new(ask, finish_app));
}

void api_do_resume_app(struct ask *ask)
{
	app_resume(ask->app);
	wait_stable(wait_new(ask, finish_app));
}

void api_do_signal(struct ask *ask)
{
	const char *name = json_string_value(json_object_get(ask->body, "signal"));
	int number = name != NULL ? config_parse_signal(name) : -1;
	LW_AUTO_BUF out = { 0 };
	size_t told;

	if (number <= 0) {
		LW_AUTO(lw_free)
		char *message = lw_format("there is no signal '%.40s'", name != NULL ? name : "");

		api_refuse(ask, 400, "bad_signal", message, "HUP, USR1, TERM, ..., or a number");
		return;
	}
	told = work_signal(ask->work, number);
	if (told == 0) {
		api_refuse(ask, 409, "nothing_runs",
			   "the work runs nothing that a signal could go to", NULL);
		return;
	}
	js_open(&out, '{');
	js_key(&out, "signal");
	js_int(&out, number);
	js_key(&out, "processes");
	js_int(&out, (int64_t)told);
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

void api_do_shutdown(struct ask *ask)
{
	struct wait *wait;
	LW_AUTO_BUF out = { 0 };

	if (ask->keep)
		app_leave(ask->app, "ended by operator, the works go on");
	else
		app_end(ask->app, 0, "stopped by operator");
	if (ask->wait) {
		wait = wait_new(ask, NULL);
		wait->for_end = true;
		return;
	}
	js_open(&out, '{');
	js_key(&out, "stopping");
	js_truth(&out, true);
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

static void finish_reload(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	lw_buf_add(&out, wait->why, strlen(wait->why));
	api_answer(wait->request, &out);
}

void api_do_reload(struct ask *ask)
{
	LW_AUTO_BUF report = { 0 };
	struct lw_err err = { 0 };
	struct wait *wait;

	if (refuse_at_end(ask))
		return;
	if (reload_app(ask->app, ask->dry_run, &report, &err) < 0) {
		api_refuse(ask, 422, "bad_config", err.text, "nothing was changed");
		return;
	}
	wait = wait_new(ask, finish_reload);
	wait->why = lw_strdup(lw_buf_text(&report));
	wait_stable(wait);
}

/* ---- a copy of the record --------------------------------------------------------------------------- */

static void finish_backup(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "path");
	js_text(&out, wait->why);
	js_close(&out, '}');
	api_answer(wait->request, &out);
}

void api_do_backup(struct ask *ask)
{
	struct journal_task *task;
	struct wait *wait;

	if (ask->path == NULL || ask->path[0] != '/') {
		api_refuse(ask, 400, "bad_body", "'path' is the absolute path of the new file",
			   NULL);
		return;
	}
	task = wait_for_journal(ask, finish_backup);
	task->does = JOURNAL_BACKUP;
	task->path = lw_strdup(ask->path);
	wait = ask->request->waiting;
	wait->why = lw_strdup(ask->path);
	journal_ask(ask->app->journal, task);
}

/* ---- the flow's state ------------------------------------------------------------------------------ */

static void finish_state(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	describe_state(&wait->app->state, &out);
	api_answer(wait->request, &out);
}

/* RFC 7396: `patch` laid over `old` (may be NULL); a new reference, NULL for "remove". */
static json_t *merge(const json_t *old, json_t *patch)
{
	json_t *merged;
	const char *key;
	json_t *value;

	if (json_is_null(patch))
		return NULL;
	if (!json_is_object(patch))
		return json_incref(patch);
	merged = json_is_object(old) ? json_copy((json_t *)(uintptr_t)old) : json_object();
	json_object_foreach(patch, key, value)
	{
		json_t *one = merge(json_object_get(merged, key), value);

		if (one == NULL)
			(void)json_object_del(merged, key);
		else
			(void)json_object_set_new(merged, key, one);
	}
	return merged;
}

/* The value that `name` gets, nil for none, appended to `out`. */
static int merge_state(const struct state *state, const char *name, json_t *patch,
		       struct lw_buf *out, struct lw_err *err)
{
	struct lw_slice old;
	json_t *before = state_get(state, name, &old) ? lw_value_to_json(old) : NULL;
	json_t *after = merge(before, patch);
	int r = 0;

	if (after == NULL)
		lw_put_nil(out);
	else
		r = lw_value_from_json(after, out, err);
	json_decref(before);
	json_decref(after);
	return r;
}

/* Everything is checked before anything is set. */
void api_do_state(struct ask *ask)
{
	struct lw_err err = { 0 };
	LW_AUTO_BUF values = { 0 };
	const char *name;
	json_t *patch;
	size_t at = 0;
	int r = 0;

	json_object_foreach(ask->body, name, patch)
	{
		r = merge_state(&ask->app->state, name, patch, &values, &err);
		if (r < 0)
			break;
	}
	json_object_foreach(ask->body, name, patch)
	{
		struct lw_slice value;

		if (r < 0)
			break;
		value.data = values.data + at;
		value.size = lw_value_size(value.data, values.data + values.size);
		at += value.size;
		r = app_set_state(ask->app, name, value, &err);
	}
	if (r < 0) {
		api_refuse(ask, 400, "bad_state", err.text, NULL);
		return;
	}
	app_changed(ask->app, "state");
	wait_stable(wait_new(ask, finish_state));
}
