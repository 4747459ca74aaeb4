/* describe.c - app, works and runs as JSON, written straight into bytes. */
#include <string.h>
#include <unistd.h>

#include "describe.h"

#include "schedule.h"
#include "view.h"

#define BRIEF_CALL_MAX 1024 /* bytes of a call that a list still shows */

static void describe_status(const struct status *status, struct lw_buf *out)
{
	js_open(out, '{');
	TEXT("stage", stage_name(status->stage));
	TIME("timestamp", status->at);
	TEXT("reason", status->reason);
	TEXT("message", status->message);
	COUNT("count", status->count);
	js_close(out, '}');
}

void describe_progress(const struct run *run, struct lw_buf *out)
{
	if (run == NULL || run->progress < 0)
		js_null(out);
	else
		js_time(out, (int64_t)(run->progress * 1e6));
}

const struct run *describe_running(const struct worker *worker)
{
	const struct run *run = worker_runs(worker)->first;

	return run != NULL && run->stage == STAGE_RUNNING ? run : NULL;
}

static void describe_process(const struct worker *worker, struct lw_buf *out)
{
	const struct run *run = describe_running(worker);
	struct worker_info info = worker_info(worker);

	js_open(out, '{');
	COUNT("id", info.id);
	js_key(out, "pid");
	if (info.pid > 0)
		js_int(out, info.pid);
	else
		js_null(out);
	TEXT("state", worker_state_text(info.state));
	COUNT("incarnation", info.incarnation);
	TIME("since", info.since);
	js_key(out, "next_try");
	if (info.next_try >= 0)
		js_time(out, info.next_try);
	else
		js_null(out);
	COUNT("starts", info.starts);
	TEXT("last_death", info.last_death);
	TEXT("error", info.error);
	COUNT("sent", info.sent);
	js_key(out, "run");
	if (run != NULL)
		js_count(out, run->id);
	else
		js_null(out);
	js_key(out, "progress");
	describe_progress(run, out);
	js_close(out, '}');
}

/* How many runs are in a stage now, or have reached it. */
static void describe_counts(const struct work *work, struct lw_buf *out)
{
	size_t running = work_running_runs(work);

	js_key(out, "runs");
	js_open(out, '{');
	COUNT("pending", work_live_runs(work) - running);
	COUNT("running", running);
	COUNT("succeeded", work->stage_counts[STAGE_SUCCEEDED]);
	COUNT("failed", work->stage_counts[STAGE_FAILED]);
	COUNT("stopped", work->stage_counts[STAGE_STOPPED]);
	js_close(out, '}');
}

void describe_state(const struct state *state, struct lw_buf *out)
{
	js_open(out, '{');
	for (size_t i = 0; i < state->count; i++) {
		js_any_key(out, state->items[i].name);
		js_value(out, lw_buf_slice(&state->items[i].value));
	}
	js_close(out, '}');
}

/* Null: a command, which says nothing about it. */
static void describe_ready(const struct work *work, struct lw_buf *out)
{
	enum readiness ready = work_readiness(work);

	js_key(out, "ready");
	if (ready == READY_UNSAID)
		js_null(out);
	else
		js_truth(out, ready == READY_YES);
}

void describe_pause(const struct pause *pause, struct lw_buf *out)
{
	if (!is_paused(pause)) {
		js_null(out);
		return;
	}
	js_open(out, '{');
	TIME("at", pause->at);
	TEXT("by", pause->by);
	js_close(out, '}');
}

static void describe_url(const struct work *work, struct lw_buf *out)
{
	js_key(out, "url");
	if (work->port <= 0) {
		js_null(out);
		return;
	}
	LW_AUTO(lw_free)
	char *url = lw_format("http://%s:%lld", work->config->host, (long long)work->port);

	js_text(out, url);
}

void describe_usage(const struct work *work, struct lw_buf *out)
{
	struct usage usage;

	if (!work_usage(work, &usage)) {
		js_null(out);
		return;
	}
	js_open(out, '{');
	SPAN("cpu", usage.cpu);
	COUNT("memory", usage.memory);
	COUNT("processes", usage.processes);
	js_close(out, '}');
}

static void describe_details(const struct work *work, struct lw_buf *out)
{
	js_key(out, "state");
	describe_state(&work->state, out);
	js_key(out, "statuses");
	js_open(out, '[');
	for (size_t i = 0; i < work->status_count; i++)
		describe_status(work_status_at(work, i), out);
	js_close(out, ']');
	describe_url(work, out);
	TRUTH("parallel", work->config->parallel);
	TRUTH("cache_calls", work->config->cache_calls);
	COUNT("held_answers", work->held_answers);
	COUNT("timeouts", work->timeouts);
	COUNT("restarts", work->restarts);
	COUNT("dropped_results", work->dropped_results);
}

void describe_work(const struct work *work, bool usage, struct lw_buf *out)
{
	struct status status = work_status(work);

	js_open(out, '{');
	TEXT("name", work->config->name);
	TEXT("stage", stage_name(status.stage));
	TEXT("reason", status.reason);
	TEXT("message", status.message);
	TIME("since", status.at);
	TRUTH("held", work->held);
	describe_ready(work, out);
	js_key(out, "paused");
	describe_pause(&work->pause, out);
	js_key(out, "processes");
	js_open(out, '[');
	for (size_t i = 0; i < work->worker_count; i++)
		describe_process(work->workers[i], out);
	js_close(out, ']');
	COUNT("queue", work->queue.count + work->delayed.count);
	COUNT("hits", work->hits);
	COUNT("joins", work->joins);
	COUNT("misses", work->misses);
	SPAN("seconds_saved", work->saved);
	describe_counts(work, out);
	describe_details(work, out);
	if (usage) {
		js_key(out, "usage");
		describe_usage(work, out);
	}
	js_close(out, '}');
}

void describe_works(const struct app *app, bool usage, struct lw_buf *out)
{
	js_open(out, '[');
	for (size_t i = 0; i < app->work_count; i++)
		if (app_shows(app->works[i]))
			describe_work(app->works[i], usage, out);
	js_close(out, ']');
}

static void describe_last_pass(const struct app *app, struct lw_buf *out)
{
	js_key(out, "last_pass");
	if (app->last_pass == 0) {
		js_null(out);
		return;
	}
	js_open(out, '{');
	TIME("at", app->last_pass);
	SPAN("took", app->last_pass_took);
	TEXT("trigger", app->last_trigger);
	js_close(out, '}');
}

static void describe_schedule(const struct app *app, struct lw_buf *out)
{
	struct schedule_mark mark;
	size_t at = 0;

	js_key(out, "schedule");
	js_open(out, '[');
	while (app->schedule != NULL && schedule_each(app->schedule, &at, &mark)) {
		js_open(out, '{');
		TEXT("mark", mark.mark);
		TIME("next", (int64_t)mark.next * 1000000);
		TIME("last", (int64_t)mark.last * 1000000);
		js_close(out, '}');
	}
	js_close(out, ']');
}

static size_t works_shown(const struct app *app)
{
	size_t shown = 0;

	for (size_t i = 0; i < app->work_count; i++)
		shown += app_shows(app->works[i]) ? 1 : 0;
	return shown;
}

/* "error": why nothing can be written, and so no run starts. */
static void describe_journal(const struct app *app, struct lw_buf *out)
{
	js_key(out, "journal");
	js_open(out, '{');
	COUNT("bytes", journal_size(app->journal));
	COUNT("waiting", journal_backlog(app->journal));
	COUNT("transactions", journal_transactions(app->journal));
	COUNT("changes", journal_changes(app->journal));
	TEXT("error", journal_error(app->journal));
	js_close(out, '}');
}

void describe_app(const struct app *app, struct lw_buf *out)
{
	const char *path = app->config->app.path;
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;

	js_open(out, '{');
	TEXT("name", slash != NULL ? slash + 1 : path);
	TEXT("path", path);
	TEXT("state_dir", app->state_dir);
	TEXT("stage", app_stage_name(app->stage));
	TEXT("reason", app->end_reason);
	js_key(out, "paused");
	describe_pause(&app->pause, out);
	COUNT("pid", (uint64_t)getpid());
	TEXT("version", LW_VERSION);
	TEXT("view", app->view != NULL ? view_url(app->view) : NULL);
	TIME("started", app->started);
	SPAN("uptime", loop_wall(app->loop) - app->started);
	COUNT("passes", app->passes);
	describe_last_pass(app, out);
	describe_schedule(app, out);
	TRUTH("flow", app->config->has_flow);
	COUNT("works", works_shown(app));
	COUNT("calls_remembered", cache_count(app->cache));
	describe_journal(app, out);
	js_close(out, '}');
}

/* ---- runs ------------------------------------------------------------------------------ */

static void describe_run_times(const struct run *run, struct lw_buf *out)
{
	TIME("created", run->created);
	TIME("started", run->started);
	TIME("ended", stage_over((enum stage)run->stage) ? run->ended : 0);
	js_key(out, "progress");
	describe_progress(run, out);
}

static void describe_run_statuses(const struct run *run, struct lw_buf *out)
{
	struct status statuses[RUN_STATUSES];
	size_t count = run_statuses(run, statuses);

	js_key(out, "statuses");
	js_open(out, '[');
	for (size_t i = 0; i < count; i++)
		describe_status(&statuses[i], out);
	js_close(out, ']');
}

static const char *failure(const struct run *run)
{
	if (run->stage != STAGE_FAILED && run->stage != STAGE_STOPPED)
		return NULL;
	return run->message != NULL ? run->message : run->reason;
}

static void describe_why(const struct run *run, struct lw_buf *out)
{
	const struct lw_slice form = { run->form, run->form_size };
	LW_AUTO_BUF why = { 0 };

	work_print_why(run->work, (enum why)run->why, run, form, &why);
	if (run->stage == STAGE_PENDING && run->worker == NULL)
		work_print_wait(run->work, &why);
	TEXT("why", lw_buf_text(&why));
}

void describe_call(const struct run *run, struct lw_buf *out)
{
	struct lw_slice positional, named;

	if (run == NULL) {
		js_null(out);
		return;
	}
	lw_call_parts(run->call, &positional, &named);
	js_open(out, '{');
	COUNT("id", run->id);
	TEXT("stage", stage_name((enum stage)run->stage));
	TEXT("reason", run->reason);
	js_key(out, "progress");
	describe_progress(run, out);
	js_key(out, "args");
	js_value(out, positional);
	js_key(out, "kwargs");
	js_value(out, named);
	js_close(out, '}');
}

void describe_run(const struct run *run, const char *decision, const char *why, struct lw_buf *out)
{
	struct lw_slice positional, named;
	char key[33];

	lw_key_print(run->key, key);
	lw_call_parts(run->call, &positional, &named);
	js_open(out, '{');
	COUNT("id", run->id);
	TEXT("work", run->work->config->name);
	TEXT("key", key);
	TEXT("stage", stage_name((enum stage)run->stage));
	TRUTH("cached", decision != NULL && strcmp(decision, "hit") == 0);
	TEXT("decision", decision != NULL ? decision : decision_name(DECISION_RUN));
	TEXT("reason", run->reason);
	COUNT("attempt", run->attempt);
	COUNT("lost", run->lost);
	js_key(out, "args");
	js_value(out, positional);
	js_key(out, "kwargs");
	js_value(out, named);
	js_key(out, "result");
	js_value(out, run->result);
	TEXT("error", failure(run));
	if (why != NULL)
		TEXT("why", why);
	else
		describe_why(run, out);
	describe_run_times(run, out);
	describe_run_statuses(run, out);
	js_close(out, '}');
}

void describe_run_briefly(const struct run *run, struct lw_buf *out)
{
	struct lw_slice positional = { 0 }, named = { 0 };

	if (run->call.size <= BRIEF_CALL_MAX)
		lw_call_parts(run->call, &positional, &named);
	js_open(out, '{');
	COUNT("id", run->id);
	TEXT("work", run->work->config->name);
	TEXT("stage", stage_name((enum stage)run->stage));
	COUNT("attempt", run->attempt);
	js_key(out, "args");
	js_value(out, positional);
	js_key(out, "kwargs");
	js_value(out, named);
	TEXT("error", failure(run));
	describe_run_times(run, out);
	js_close(out, '}');
}

/* ---- the latest calls of a work ---------------------------------------------------------- */

static void describe_note(const struct run *run, const struct call_note *note, struct lw_buf *out)
{
	const struct lw_slice form = { run->form, run->form_size };
	struct lw_slice positional, named;
	LW_AUTO_BUF why = { 0 };

	work_print_why(run->work, note->why, run, form, &why);
	if (run->stage == STAGE_PENDING && run->worker == NULL)
		work_print_wait(run->work, &why);
	lw_call_parts(run->call, &positional, &named);
	js_open(out, '{');
	COUNT("run", run->id);
	TEXT("decision", decision_name(note->decision));
	TEXT("why", lw_buf_text(&why));
	js_key(out, "args");
	js_value(out, positional);
	js_key(out, "kwargs");
	js_value(out, named);
	TIME("at", note->at);
	COUNT("count", note->count);
	TEXT("stage", stage_name((enum stage)run->stage));
	js_close(out, '}');
}

struct listed {
	struct lw_key keys[2 * CALLS_KEPT];
	size_t count;
};

/* False: that call is in the list. */
static bool list(struct listed *listed, struct lw_key key)
{
	for (size_t i = 0; i < listed->count; i++)
		if (listed->keys[i].low == key.low && listed->keys[i].high == key.high)
			return false;
	listed->keys[listed->count++] = key;
	return true;
}

/* Of those made before the start that nobody has made since: the runs that are remembered. */
static void describe_earlier(const struct work *work, struct listed *listed, struct lw_buf *out)
{
	struct lw_err err;

	for (size_t i = 0; i < WORK_RECENT && listed->count < CALLS_KEPT; i++) {
		uint64_t id = work_recent(work, i);
		const struct run *run = id != 0 ? app_run(work->app, id, &err) : NULL;
		struct call_note note = { .decision = DECISION_RUN, .count = 1 };

		if (run == NULL || !list(listed, run->key))
			continue;
		note.at = run->created;
		note.why = (enum why)run->why;
		describe_note(run, &note, out);
	}
}

void describe_calls(const struct work *work, struct lw_buf *out)
{
	const struct call_note *notes[CALLS_KEPT];
	size_t count = calls_list(work->calls, notes);
	struct listed listed = { .count = 0 };
	struct lw_err err;

	js_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		const struct run *run = app_run(work->app, notes[i]->run, &err);

		if (run != NULL && list(&listed, run->key))
			describe_note(run, notes[i], out);
	}
	describe_earlier(work, &listed, out);
	js_close(out, ']');
}
