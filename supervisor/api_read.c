/* api_read.c - requests that change nothing: the app, its works, runs on record, its state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api_private.h"
#include "describe.h"
#include "lw_log.h"

/* ---- reading the app ------------------------------------------------------------------------ */

static void describe_list(const struct ask *ask, struct lw_buf *out)
{
	if (ask->usage)
		usage_look(ask->app);
	if (ask->brief) {
		describe_briefly(ask->app, ask->usage, out);
		return;
	}
	js_key(out, "works");
	describe_works(ask->app, ask->usage, out);
}

void api_do_status(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "app");
	describe_app(ask->app, &out);
	describe_list(ask, &out);
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

void api_do_works(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	describe_list(ask, &out);
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

static void describe_one(const struct work *work, bool usage, struct run *const *stopped,
			 size_t count, struct lw_buf *out)
{
	describe_work(work, usage, out);
	js_reopen(out);
	js_key(out, "calls");
	describe_calls(work, out);
	js_key(out, "latest");
	describe_call(work_latest(work), out);
	js_key(out, "stopped_runs");
	js_open(out, '[');
	for (size_t i = 0; i < count; i++)
		if (stopped[i]->stage == STAGE_STOPPED)
			describe_call(stopped[i], out);
	js_close(out, ']');
	js_close(out, '}');
}

void api_describe_one(const struct work *work, struct run *const *stopped, size_t count,
		      struct lw_buf *out)
{
	describe_one(work, false, stopped, count, out);
}

void api_do_work(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	if (ask->usage)
		usage_look(ask->app);
	describe_one(ask->work, ask->usage, NULL, 0, &out);
	api_answer(ask->request, &out);
}

/* ---- runs on record --------------------------------------------------------------------------- */

static void describe_row(struct app *app, const struct run_row *row, bool brief, struct lw_buf *out)
{
	struct lw_err err;
	struct run *run;

	if (app_run_of_row(app, row, &run, &err) < 0) {
		lw_log(LW_LOG_ERROR, "%s", err.text);
		return;
	}
	if (brief)
		describe_run_briefly(run, out);
	else
		describe_run(run, NULL, NULL, out);
	run_unref(run);
}

static void finish_runs(struct wait *wait)
{
	struct lw_slice rows = wait->rows;
	struct run_row row;
	struct lw_err err;
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "runs");
	js_open(&out, '[');
	while (rows.size > 0 && run_row_take(&rows, &row, &err) == 0)
		describe_row(wait->app, &row, wait->brief, &out);
	js_close(&out, ']');
	js_close(&out, '}');
	api_answer(wait->request, &out);
}

void api_do_runs(struct ask *ask)
{
	struct journal_task *task = wait_for_journal(ask, finish_runs);

	task->does = JOURNAL_FIND;
	task->search = ask->search;
	task->search.work = ask->work != NULL ? ask->work->row : 0;
	journal_ask(ask->app->journal, task);
}

void api_do_all_runs(struct ask *ask)
{
	api_do_runs(ask);
}

void api_do_show(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_err err = { .code = -ENOENT };
	char *end = NULL;
	const struct run *run = NULL;

	if (ask->segment[0] >= '0' && ask->segment[0] <= '9') {
		uint64_t id = strtoull(ask->segment, &end, 10);

		run = *end == '\0' && id <= INT64_MAX ? app_run(ask->app, id, &err) : NULL;
	}
	if (run == NULL && err.code != -ENOENT) {
		api_fail(ask->request, 500, "journal", err.text, NULL);
		return;
	}
	if (run == NULL) {
		api_failf(ask->request, 404, "no_such_run", "no run '%s'", ask->segment);
		return;
	}
	describe_run(run, NULL, NULL, &out);
	api_answer(ask->request, &out);
}

static void describe_skips(const struct work *work, int64_t at, struct lw_buf *out)
{
	uint32_t counts[SKIPS_KEPT];

	if (!skips_list(work->skips, at, counts))
		return;
	js_any_key(out, work->config->name);
	js_open(out, '{');
	js_key(out, "hits");
	js_count(out, work->hits);
	js_key(out, "skips");
	js_open(out, '[');
	for (size_t i = 0; i < SKIPS_KEPT; i++)
		js_count(out, counts[i]);
	js_close(out, ']');
	js_close(out, '}');
}

void api_do_skips(struct ask *ask)
{
	const int64_t at = loop_wall(ask->app->loop);
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "every");
	js_int(&out, SKIPS_MINUTE / 1000000);
	js_key(&out, "from");
	js_time(&out, skips_from(at));
	js_key(&out, "works");
	js_open(&out, '{');
	for (size_t i = 0; i < ask->app->work_count; i++)
		if (app_shows(ask->app->works[i]))
			describe_skips(ask->app->works[i], at, &out);
	js_close(&out, '}');
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

void api_do_read_state(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	describe_state(&ask->app->state, &out);
	api_answer(ask->request, &out);
}
