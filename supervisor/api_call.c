/* api_call.c - requests that are about calls: run, explain, retry, forget. */
#include <errno.h>
#include <string.h>

#include "api_private.h"
#include "describe.h"

/* ---- calls ------------------------------------------------------------------------------------- */

/* The answer of a work that an operator holds: no run was made. */
static void describe_no_run(const struct wait *wait, struct lw_buf *out)
{
	static const char *const nulls[] = { "id",     "key",     "args",    "kwargs",
					     "result", "created", "started", "ended" };

	js_open(out, '{');
	for (size_t i = 0; i < LW_COUNT(nulls); i++) {
		js_key(out, nulls[i]);
		js_text(out, NULL);
	}
	js_key(out, "work");
	js_text(out, wait->work->config->name);
	js_key(out, "stage");
	js_text(out, stage_name(STAGE_STOPPED));
	js_key(out, "cached");
	js_truth(out, false);
	js_key(out, "decision");
	js_text(out, wait->decision);
	js_key(out, "reason");
	js_text(out, "stopped by operator");
	js_key(out, "error");
	js_text(out, "stopped by operator");
	js_key(out, "attempt");
	js_int(out, 0);
	js_key(out, "why");
	js_text(out, wait->why);
	js_close(out, '}');
}

static void finish_run(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	if (wait->run_count > 0)
		describe_run(wait->runs[0], wait->decision, wait->why, &out);
	else
		describe_no_run(wait, &out);
	api_answer(wait->request, &out);
}

static char *print_why(const struct work *work, const struct answer *got, const struct run *run)
{
	struct lw_slice form = { 0 };
	LW_AUTO_BUF why = { 0 };

	if (run != NULL)
		form = (struct lw_slice){ run->form, run->form_size };
	work_print_why(work, got->why, run, form, &why);
	return lw_strdup(lw_buf_text(&why));
}

static void refuse_call(struct ask *ask, int r, const struct lw_err *err)
{
	if (r == -EAGAIN)
		api_refuse(ask, 429, "queue_full", err->text, NULL);
	else
		api_refuse(ask, 400, "bad_call", err->text, NULL);
}

void api_do_run(struct ask *ask)
{
	struct answer got = { 0 };
	struct lw_err err = { 0 };
	struct wait *wait;
	struct run *run = NULL;
	int r = work_call(ask->work, lw_buf_slice(&ask->call), FROM_API, &got, &err);

	if (r < 0) {
		refuse_call(ask, r, &err);
		return;
	}
	if (got.run != 0 && (run = app_run(ask->app, got.run, &err)) == NULL) {
		api_refuse(ask, 500, "journal", err.text, NULL);
		return;
	}
	wait = wait_new(ask, finish_run);
	wait->decision = decision_name(got.decision);
	wait->why = print_why(ask->work, &got, run);
	if (run != NULL)
		wait_keep(wait, run);
	if (ask->wait)
		wait_runs(wait);
	else
		wait_stable(wait);
}

void api_do_explain(struct ask *ask)
{
	struct answer got = { 0 };
	struct lw_err err = { 0 };
	LW_AUTO_BUF reason = { 0 };
	LW_AUTO_BUF out = { 0 };
	char text[33];
	int r = work_explain(ask->work, lw_buf_slice(&ask->call), &got, &reason, &err);

	if (r < 0) {
		refuse_call(ask, r, &err);
		return;
	}
	lw_key_print(got.key, text);
	js_open(&out, '{');
	js_key(&out, "decision");
	js_text(&out, decision_name(got.decision));
	js_key(&out, "reason");
	js_text(&out, lw_buf_text(&reason));
	js_key(&out, "key");
	js_text(&out, text);
	js_key(&out, "run");
	if (got.run != 0)
		js_int(&out, (int64_t)got.run);
	else
		js_text(&out, NULL);
	js_close(&out, '}');
	api_answer(ask->request, &out);
}

static void begin_count(const struct wait *wait, struct lw_buf *out)
{
	js_open(out, '{');
	js_key(out, "work");
	js_text(out, wait->work->config->name);
	js_key(out, "calls");
	js_int(out, (int64_t)wait->count);
}

static void finish_forget(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	begin_count(wait, &out);
	js_close(&out, '}');
	api_answer(wait->request, &out);
}

/* The ids of the new runs, in order, and how many of them are in which stage. */
static void finish_retry(struct wait *wait)
{
	int64_t counts[STAGES_N] = { 0 };
	LW_AUTO_BUF out = { 0 };

	begin_count(wait, &out);
	js_key(&out, "runs");
	js_open(&out, '[');
	for (size_t i = 0; i < wait->run_count; i++) {
		js_int(&out, (int64_t)wait->runs[i]->id);
		counts[wait->runs[i]->stage]++;
	}
	js_close(&out, ']');
	js_key(&out, "stages");
	js_open(&out, '{');
	for (int stage = STAGE_PENDING; stage < STAGES_N; stage++) {
		js_key(&out, stage_name((enum stage)stage));
		js_int(&out, counts[stage]);
	}
	js_close(&out, '}');
	js_close(&out, '}');
	api_answer(wait->request, &out);
}

/* retry and forget: of one call, which the body gives, or of all. NULL when refused. */
static struct wait *count_calls(struct ask *ask, int (*act)(struct ask *ask, struct lw_err *err),
				void (*finish)(struct wait *wait))
{
	struct lw_err err = { 0 };
	struct wait *wait;
	int r;

	if (ask->all == ask->has_call) {
		api_refuse(ask, 400, "bad_body",
			   ask->all ? "both a call and 'all' are given"
				    : "neither a call nor 'all' is given",
			   "give the arguments of the call, {\"args\":[],\"kwargs\":{}}, or "
			   "{\"all\":true}");
		return NULL;
	}
	r = act(ask, &err);
	if (r == -ENOENT) {
		api_refuse(ask, 409, "nothing_to_do", err.text, NULL);
		return NULL;
	}
	if (r < 0) {
		refuse_call(ask, r, &err);
		return NULL;
	}
	wait = wait_new(ask, finish);
	wait->count = (size_t)r;
	return wait;
}

static struct lw_slice call_of(const struct ask *ask)
{
	return ask->all ? (struct lw_slice){ 0 } : lw_buf_slice(&ask->call);
}

static int retry_calls(struct ask *ask, struct lw_err *err)
{
	return work_retry(ask->work, call_of(ask), err);
}

static int forget_calls(struct ask *ask, struct lw_err *err)
{
	return work_forget(ask->work, call_of(ask), ask->before, err);
}

/* Those that were made have the next ids, as nobody else makes one meanwhile. */
void api_do_retry(struct ask *ask)
{
	uint64_t id = runs_last_id(ask->app->runs);
	struct wait *wait = count_calls(ask, retry_calls, finish_retry);

	if (wait == NULL)
		return;
	while (id < runs_last_id(ask->app->runs))
		wait_keep(wait, runs_find(ask->app->runs, ++id));
	if (ask->wait)
		wait_runs(wait);
	else
		wait_stable(wait);
}

void api_do_forget(struct ask *ask)
{
	struct wait *wait = count_calls(ask, forget_calls, finish_forget);

	if (wait != NULL)
		wait_stable(wait);
}
