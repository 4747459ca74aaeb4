/* api.c - the requests of the control API: one table, and the functions behind it.
 *
 * A handler answers at once, or hangs a wait on the request. A wait belongs to its request: it
 * is freed when it has answered, or when the client goes away, which ends the waiting and
 * nothing else. What an answer speaks of is in the journal before it leaves.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "describe.h"
#include "lw_log.h"
#include "reload.h"

#define PREFIX       "/api/v1/"
#define RUNS_DEFAULT 20
#define RUNS_MOST    1000
#define NAME_PLAIN   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:/"
#define CALL_SHOWN   100 /* bytes of a call in an audit line */
#define BODY_JSON    (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)

enum rights { ANYONE, OPERATOR };

/* What a body may hold, and what a query. */
enum {
	BODY_NONE = 0,
	BODY_CALL = 1,
	BODY_ALL = 2,
	BODY_PATCH = 4,
	BODY_OLDER = 8, /* with `all`: only what was over before that time */
	BODY_PATH = 16,
};
enum {
	QUERY_NONE = 0,
	QUERY_WAIT = 1, /* waits unless ?wait=false */
	QUERY_LIMIT = 2,
	QUERY_BRIEF = 4,
	QUERY_MAY_WAIT = 8, /* waits only with ?wait=true */
	QUERY_FILTER = 16,  /* stage, since, before */
	QUERY_KEEP = 32,
	QUERY_DRY = 64,
};

/* A request as its handler sees it: everything named in it has been found and checked. */
struct ask {
	struct http_request *request;
	struct app *app;
	const char *verb; /* of the audit line; NULL: changes nothing */
	uid_t uid;        /* for it, as the request is over by then */
	pid_t pid;
	struct lw_err refused; /* the sentence, when it was */
	char *segment;         /* that stood for "*", decoded; or NULL */
	struct work *work;     /* when the path names one */
	json_t *body;          /* an object, or NULL */
	bool wait;
	bool brief;
	bool keep;
	bool dry_run;
	struct store_search search; /* of runs */
	int64_t before;             /* of what is to be forgotten; 0: all */
	const char *path;           /* borrows from the body */
	struct lw_buf call; /* begun and filled when the body has a call and there is a work */
	bool call_is_whole;
	bool has_call;
	bool all;
};

/* ---- answers ---------------------------------------------------------------------------- */

void api_error_body(struct lw_buf *out, const char *code, const char *message, const char *hint)
{
	js_open(out, '{');
	js_key(out, "error");
	js_open(out, '{');
	js_key(out, "code");
	js_text(out, code);
	js_key(out, "message");
	js_text(out, message);
	js_key(out, "hint");
	js_text(out, hint);
	js_close(out, '}');
	js_close(out, '}');
	lw_buf_add(out, "\n", 1);
}

static void answer(struct http_request *request, struct lw_buf *out)
{
	lw_buf_add(out, "\n", 1);
	http_reply(request, 200, out, NULL);
}

/* `hint` as nearest_hint() makes it: " (did you mean 'x'?)" or "". */
static void fail(struct http_request *request, int status, const char *code, const char *message,
		 const char *hint)
{
	LW_AUTO_BUF out = { 0 };
	LW_AUTO(lw_free) char *bare = NULL;
	size_t size = hint != NULL ? strlen(hint) : 0;

	if (size > 3 && strncmp(hint, " (", 2) == 0)
		bare = lw_strndup(hint + 2, size - 3);
	else if (size > 0)
		bare = lw_strdup(hint);
	api_error_body(&out, code, message, bare);
	http_reply(request, status, &out, NULL);
}

/* As fail(), on record for the audit line. */
static void refuse(struct ask *ask, int status, const char *code, const char *message,
		   const char *hint)
{
	lw_err_set(&ask->refused, -EPERM, "%s", message);
	fail(ask->request, status, code, message, hint);
}

LW_PRINTF(4, 5)
static void failf(struct http_request *request, int status, const char *code, const char *format,
		  ...)
{
	struct lw_err err = { 0 };
	va_list args;
	char text[sizeof(err.text)];

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fail(request, status, code, text, NULL);
}

/* ---- waiting ------------------------------------------------------------------------------ */

struct asked_task;

struct wait {
	struct http_request *request;
	struct app *app;
	struct watcher watcher;
	struct journal_wait journal;
	struct asked_task *task;           /* while the journal's thread has it */
	void (*finish)(struct wait *wait); /* answers */
	struct work *work;
	struct run **runs; /* with references: that of a call, those retried, those in hand */
	size_t run_count;
	size_t runs_over;     /* of the first ones we know it */
	const char *decision; /* a literal */
	char *why;
	struct lw_slice rows; /* that the journal found, while finish() runs */
	size_t count;         /* calls that were forgotten, or are retried */
	bool waited;          /* the client wants to know how it ended */
	bool for_end;         /* of the app: answered when the server closes */
	json_t *body;         /* of a request that is served again, or NULL */
};

static void wait_free(void *object)
{
	struct wait *wait = object;

	lw_free(wait->why);
	lw_free(wait->runs);
	json_decref(wait->body);
	lw_free(wait);
}

static struct journal_task *task_of(struct wait *wait);

/* Ends the waiting; the memory lives to the end of the turn, as we may be called from it. */
static void wait_end(struct wait *wait)
{
	watcher_cancel(&wait->watcher);
	journal_cancel(wait->app->journal, &wait->journal);
	if (wait->task != NULL)
		journal_abandon(wait->app->journal, task_of(wait));
	while (wait->run_count > 0) /* now: at the end the app goes before the loop */
		run_unref(wait->runs[--wait->run_count]);
	loop_retire(wait->app->loop, wait, wait_free);
}

static void wait_gone(struct http_request *request, bool server_closes)
{
	struct wait *wait = request->waiting;
	LW_AUTO_BUF out = { 0 };
	bool for_end = wait->for_end;

	request->waiting = NULL;
	request->gone = NULL;
	wait_end(wait);
	if (!server_closes)
		return;
	if (for_end) {
		js_open(&out, '{');
		js_key(&out, "stopped");
		js_truth(&out, true);
		js_close(&out, '}');
		answer(request, &out);
	} else {
		fail(request, 503, "ending", "the supervisor ends", NULL);
	}
}

static struct wait *wait_new(struct ask *ask, void (*finish)(struct wait *wait))
{
	struct wait *wait = LW_NEW(struct wait);

	wait->request = ask->request;
	wait->app = ask->app;
	wait->work = ask->work;
	wait->finish = finish;
	wait->waited = ask->wait;
	ask->request->waiting = wait;
	ask->request->gone = wait_gone;
	return wait;
}

static void wait_finish(struct wait *wait)
{
	wait->request->waiting = NULL;
	wait->request->gone = NULL;
	wait->finish(wait);
	wait_end(wait);
}

static void journal_done(struct journal_wait *journal, int r)
{
	struct wait *wait = LW_OWNER(journal, struct wait, journal);

	if (r == 0) {
		wait_finish(wait);
		return;
	}
	wait->request->waiting = NULL;
	wait->request->gone = NULL;
	failf(wait->request, 503, "journal", "%s; it will be written when that is possible",
	      journal_error(wait->app->journal) != NULL ? journal_error(wait->app->journal)
							: strerror(-r));
	wait_end(wait);
}

/* Answers when everything that was changed so far is in the journal. */
static void wait_stable(struct wait *wait)
{
	wait->journal.done = journal_done;
	journal_wait(wait->app->journal, &wait->journal);
}

static void watched(struct watcher *watcher)
{
	struct wait *wait = LW_OWNER(watcher, struct wait, watcher);

	wait_stable(wait);
}

static void wait_watch(struct wait *wait, struct watcher **list)
{
	wait->watcher.done = watched;
	watcher_add(list, &wait->watcher);
}

static void wait_keep(struct wait *wait, struct run *run)
{
	wait->runs = lw_realloc(wait->runs, (wait->run_count + 1) * sizeof(*wait->runs));
	wait->runs[wait->run_count++] = run_ref(run);
}

static void wait_runs(struct wait *wait);

static void run_is_over(struct watcher *watcher)
{
	wait_runs(LW_OWNER(watcher, struct wait, watcher));
}

/* For one run after the other: what is over stays over. */
static void wait_runs(struct wait *wait)
{
	while (wait->runs_over < wait->run_count &&
	       stage_over((enum stage)wait->runs[wait->runs_over]->stage))
		wait->runs_over++;
	if (wait->runs_over == wait->run_count) {
		wait_stable(wait);
		return;
	}
	wait->watcher.done = run_is_over;
	watcher_add(&wait->runs[wait->runs_over]->watchers, &wait->watcher);
}

/* ---- reading the app ------------------------------------------------------------------------ */

static void do_status(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "app");
	describe_app(ask->app, &out);
	js_key(&out, "works");
	describe_works(ask->app, ask->brief, &out);
	js_close(&out, '}');
	answer(ask->request, &out);
}

static void do_works(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "works");
	describe_works(ask->app, ask->brief, &out);
	js_close(&out, '}');
	answer(ask->request, &out);
}

/* One work: with its latest call, and of `stopped` the runs that a stop or kill ended. */
static void describe_one(const struct work *work, struct run *const *stopped, size_t count,
			 struct lw_buf *out)
{
	describe_work(work, false, out);
	js_reopen(out);
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

static void do_work(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	if (ask->brief)
		describe_work(ask->work, true, &out);
	else
		describe_one(ask->work, NULL, 0, &out);
	answer(ask->request, &out);
}

/* ---- runs on record --------------------------------------------------------------------------- */

/* A question to the journal's thread, and who asked. */
struct asked_task {
	struct journal_task task;
	struct wait *wait;
};

static struct journal_task *task_of(struct wait *wait)
{
	return &wait->task->task;
}

static void task_free(struct asked_task *asked)
{
	lw_buf_done(&asked->task.rows);
	lw_free(asked->task.path);
	lw_free(asked);
}

static void task_failed(struct wait *wait, const struct lw_err *err)
{
	wait->request->waiting = NULL;
	wait->request->gone = NULL;
	fail(wait->request, err->code == -EEXIST ? 409 : 500, "journal", err->text, NULL);
	wait_end(wait);
}

static void on_task(struct journal_task *task)
{
	struct asked_task *asked = LW_OWNER(task, struct asked_task, task);
	struct wait *wait = asked->wait;

	wait->task = NULL;
	if (task->result < 0) {
		task_failed(wait, &task->err);
	} else {
		wait->rows = lw_buf_slice(&task->rows);
		wait_finish(wait);
	}
	task_free(asked);
}

static struct journal_task *ask_journal(struct ask *ask, void (*finish)(struct wait *wait))
{
	struct asked_task *asked = LW_NEW(struct asked_task);

	asked->wait = wait_new(ask, finish);
	asked->wait->task = asked;
	asked->task.done = on_task;
	return &asked->task;
}

static void describe_row(struct app *app, const struct run_row *row, struct lw_buf *out)
{
	struct lw_err err;
	struct run *run;

	if (app_run_of_row(app, row, &run, &err) < 0) {
		lw_log(LW_LOG_ERROR, "%s", err.text);
		return;
	}
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
		describe_row(wait->app, &row, &out);
	js_close(&out, ']');
	js_close(&out, '}');
	answer(wait->request, &out);
}

static void do_runs(struct ask *ask)
{
	struct journal_task *task = ask_journal(ask, finish_runs);

	task->does = JOURNAL_FIND;
	task->search = ask->search;
	task->search.work = ask->work != NULL ? ask->work->row : 0;
	journal_ask(ask->app->journal, task);
}

static void do_all_runs(struct ask *ask)
{
	do_runs(ask);
}

static void finish_backup(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "path");
	js_text(&out, wait->why);
	js_close(&out, '}');
	answer(wait->request, &out);
}

static void do_backup(struct ask *ask)
{
	struct journal_task *task;
	struct wait *wait;

	if (ask->path == NULL || ask->path[0] != '/') {
		refuse(ask, 400, "bad_body", "'path' is the absolute path of the new file", NULL);
		return;
	}
	task = ask_journal(ask, finish_backup);
	task->does = JOURNAL_BACKUP;
	task->path = lw_strdup(ask->path);
	wait = ask->request->waiting;
	wait->why = lw_strdup(ask->path);
	journal_ask(ask->app->journal, task);
}

static void do_show(struct ask *ask)
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
		fail(ask->request, 500, "journal", err.text, NULL);
		return;
	}
	if (run == NULL) {
		failf(ask->request, 404, "no_such_run", "no run '%s'", ask->segment);
		return;
	}
	describe_run(run, NULL, NULL, &out);
	answer(ask->request, &out);
}

static void do_read_state(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };

	describe_state(&ask->app->state, &out);
	answer(ask->request, &out);
}

/* ---- steering processes ----------------------------------------------------------------------- */

static void finish_work(struct wait *wait)
{
	const struct worker *stuck = wait->waited ? work_stuck(wait->work) : NULL;
	LW_AUTO_BUF out = { 0 };

	if (stuck != NULL) {
		failf(wait->request, 500, "cannot_kill", "work '%s': %s", wait->work->config->name,
		      worker_info(stuck).error);
		return;
	}
	describe_one(wait->work, wait->runs, wait->run_count, &out);
	answer(wait->request, &out);
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
		failf(wait->request, 500, "cannot_start", "work '%s' does not start: %s",
		      wait->work->config->name, reason != NULL ? reason : "it gave up");
		return;
	}
	if (wait->work->held)
		failf(wait->request, 409, "stopped", "work '%s' was stopped meanwhile",
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
	refuse(ask, 409, "ending", "the app is stopping", NULL);
	return true;
}

static void do_start(struct ask *ask)
{
	if (refuse_at_end(ask))
		return;
	work_start(ask->work, false);
	await(ask, work_is_up(ask->work), &ask->work->up_watchers,
	      ask->wait ? finish_up : finish_work);
}

static void do_restart(struct ask *ask)
{
	if (refuse_at_end(ask))
		return;
	work_restart(ask->work, false);
	await(ask, work_is_up(ask->work), &ask->work->up_watchers,
	      ask->wait ? finish_up : finish_work);
}

/* Done when the processes that were killed are replaced, or gone where nothing may run. */
static void do_kill(struct ask *ask)
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
static void do_stop(struct ask *ask)
{
	struct wait *wait = wait_new(ask, finish_work);

	keep_running(wait);
	work_stop(ask->work, false);
	await_on(wait, !ask->wait || !work_has_process(ask->work), &ask->work->gone_watchers);
}

static void do_shutdown(struct ask *ask)
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
	answer(ask->request, &out);
}

static void finish_reload(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	lw_buf_add(&out, wait->why, strlen(wait->why));
	answer(wait->request, &out);
}

static void do_reload(struct ask *ask)
{
	LW_AUTO_BUF report = { 0 };
	struct lw_err err = { 0 };
	struct wait *wait;

	if (refuse_at_end(ask))
		return;
	if (reload_app(ask->app, ask->dry_run, &report, &err) < 0) {
		refuse(ask, 422, "bad_config", err.text, "nothing was changed");
		return;
	}
	wait = wait_new(ask, finish_reload);
	wait->why = lw_strdup(lw_buf_text(&report));
	wait_stable(wait);
}

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
	answer(wait->request, &out);
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
		refuse(ask, 429, "queue_full", err->text, NULL);
	else
		refuse(ask, 400, "bad_call", err->text, NULL);
}

static void do_run(struct ask *ask)
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
		refuse(ask, 500, "journal", err.text, NULL);
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

static void do_explain(struct ask *ask)
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
	answer(ask->request, &out);
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
	answer(wait->request, &out);
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
	answer(wait->request, &out);
}

/* retry and forget: of one call, which the body gives, or of all. NULL when refused. */
static struct wait *count_calls(struct ask *ask, int (*act)(struct ask *ask, struct lw_err *err),
				void (*finish)(struct wait *wait))
{
	struct lw_err err = { 0 };
	struct wait *wait;
	int r;

	if (ask->all == ask->has_call) {
		refuse(ask, 400, "bad_body",
		       ask->all ? "both a call and 'all' are given"
				: "neither a call nor 'all' is given",
		       "give the arguments of the call, {\"args\":[],\"kwargs\":{}}, or "
		       "{\"all\":true}");
		return NULL;
	}
	r = act(ask, &err);
	if (r == -ENOENT) {
		refuse(ask, 409, "nothing_to_do", err.text, NULL);
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
static void do_retry(struct ask *ask)
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

static void do_forget(struct ask *ask)
{
	struct wait *wait = count_calls(ask, forget_calls, finish_forget);

	if (wait != NULL)
		wait_stable(wait);
}

/* ---- the flow's state ------------------------------------------------------------------------------ */

static void finish_state(struct wait *wait)
{
	LW_AUTO_BUF out = { 0 };

	describe_state(&wait->app->state, &out);
	answer(wait->request, &out);
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
static void do_state(struct ask *ask)
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
		refuse(ask, 400, "bad_state", err.text, NULL);
		return;
	}
	app_changed(ask->app, "state");
	wait_stable(wait_new(ask, finish_state));
}

/* ---- the table ---------------------------------------------------------------------------------------- */

/* clang-format off */
/*        method   path               who       does     body                  query           sentence */
#define API_REQUESTS(R)                                                                                          \
	R("GET",   "status",          ANYONE,   status,  BODY_NONE,            QUERY_BRIEF, "the app and every work") \
	R("GET",   "works",           ANYONE,   works,   BODY_NONE,            QUERY_BRIEF, "every work")           \
	R("GET",   "works/*",         ANYONE,   work,    BODY_NONE,            QUERY_BRIEF, "one work")             \
	R("POST",  "works/*/start",   OPERATOR, start,   BODY_NONE,            QUERY_WAIT,  "start a stopped work") \
	R("POST",  "works/*/stop",    OPERATOR, stop,    BODY_NONE,            QUERY_WAIT,  "stop a work until start or restart") \
	R("POST",  "works/*/restart", OPERATOR, restart, BODY_NONE,            QUERY_WAIT,  "end its processes and start new ones") \
	R("POST",  "works/*/kill",    OPERATOR, kill,    BODY_NONE,            QUERY_WAIT,  "kill its processes; the running run is stopped") \
	R("POST",  "works/*/run",     OPERATOR, run,     BODY_CALL,            QUERY_WAIT,  "make a call") \
	R("POST",  "works/*/retry",   OPERATOR, retry,   BODY_CALL | BODY_ALL, QUERY_MAY_WAIT, "run again what failed or was stopped") \
	R("POST",  "works/*/forget",  OPERATOR, forget,  BODY_CALL | BODY_ALL | BODY_OLDER, QUERY_NONE,  "forget a call, or all") \
	R("POST",  "works/*/explain", ANYONE,   explain, BODY_CALL,            QUERY_NONE,  "what a call would do, and why") \
	R("GET",   "works/*/runs",    ANYONE,   runs,    BODY_NONE,            QUERY_LIMIT | QUERY_FILTER, "runs of a work, newest first") \
	R("GET",   "runs",            ANYONE,   all_runs, BODY_NONE,           QUERY_LIMIT | QUERY_FILTER, "runs of every work, newest first") \
	R("GET",   "runs/*",          ANYONE,   show,    BODY_NONE,            QUERY_NONE,  "one run") \
	R("GET",   "state",           ANYONE,   read_state, BODY_NONE,         QUERY_NONE,  "the flow's state") \
	R("PATCH", "state",           OPERATOR, state,   BODY_PATCH,           QUERY_NONE,  "change the flow's state (JSON merge patch)") \
	R("POST",  "app/stop",        OPERATOR, shutdown, BODY_NONE,           QUERY_WAIT | QUERY_KEEP, "stop the works and end the app") \
	R("POST",  "app/reload",      OPERATOR, reload,  BODY_NONE,            QUERY_DRY,   "read app.conf again") \
	R("POST",  "app/backup",      OPERATOR, backup,  BODY_PATH,            QUERY_NONE,  "copy the journal to a new file")
/* clang-format on */

struct row {
	const char *method;
	const char *path;
	enum rights rights;
	void (*act)(struct ask *ask);
	const char *verb;
	int body, query;
	const char *sentence;
};

#define ROW(method, path, who, name, body, query, sentence)                                        \
	{ method, path, who, do_##name, #name, body, query, sentence },
static const struct row rows[] = { API_REQUESTS(ROW) };
#undef ROW

size_t api_row_count(void)
{
	return LW_COUNT(rows);
}

struct api_row api_row(size_t i)
{
	return (struct api_row){ rows[i].method, rows[i].path, rows[i].sentence };
}

/* ---- finding the row ------------------------------------------------------------------------------------ */

/* Compares a pattern with a path behind the prefix; the segment at "*" is given back. */
static bool matches(const char *pattern, const char *path, struct lw_slice *ret_segment)
{
	for (;;) {
		if (*pattern == '*') {
			size_t size = strcspn(path, "/");

			if (size == 0)
				return false;
			*ret_segment = (struct lw_slice){ (const uint8_t *)path, size };
			path += size;
			pattern++;
		}
		if (*pattern != *path)
			return false;
		if (*pattern == '\0')
			return true;
		pattern++;
		path++;
	}
}

static const char *next_path(const void *context, size_t i)
{
	(void)context;
	return i < LW_COUNT(rows) ? rows[i].path : NULL;
}

/* The path with its second segment as "*", so that a typo is compared with the patterns. */
static void hint_path(const char *path, char hint[HINT_MAX])
{
	size_t first = strcspn(path, "/");
	size_t second = path[first] == '/' ? strcspn(path + first + 1, "/") : 0;
	LW_AUTO(lw_free) char *shape = NULL;

	hint[0] = '\0';
	if (strlen(path) > 4 * LW_COUNT(rows))
		return;
	if (second > 0 && strncmp(path, "app/", 4) != 0)
		shape = lw_format("%.*s/*%s", (int)first, path, path + first + 1 + second);
	else
		shape = lw_strdup(path);
	nearest_hint(shape, next_path, NULL, hint);
}

static void fail_path(struct http_request *request, const char *path)
{
	LW_AUTO_BUF message = { 0 };
	char hint[HINT_MAX];

	hint_path(path, hint);
	lw_buf_printf(&message, "no '%.200s' here", request->head.path);
	fail(request, 404, "no_such_path", lw_buf_text(&message), hint);
}

static void fail_method(struct http_request *request, const char *path)
{
	LW_AUTO_BUF allow = { 0 };
	LW_AUTO_BUF message = { 0 };
	LW_AUTO_BUF out = { 0 };
	struct lw_slice segment;

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		if (matches(rows[i].path, path, &segment))
			lw_buf_printf(&allow, "%s%s", allow.size > 0 ? ", " : "", rows[i].method);
	lw_buf_printf(&message, "'%.200s' does not take %.20s, but %s", request->head.path,
		      request->head.method, lw_buf_text(&allow));
	api_error_body(&out, "wrong_method", lw_buf_text(&message), NULL);
	http_reply(request, 405, &out, lw_buf_text(&allow));
}

static const struct row *find_row(struct http_request *request, struct lw_slice *ret_segment)
{
	const char *path = request->head.path;
	bool known = false;

	if (strncmp(path, PREFIX, strlen(PREFIX)) != 0) {
		fail(request, 404, "no_such_path", "everything lies below " PREFIX, NULL);
		return NULL;
	}
	path += strlen(PREFIX);
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		if (!matches(rows[i].path, path, ret_segment))
			continue;
		known = true;
		if (strcmp(rows[i].method, request->head.method) == 0)
			return &rows[i];
	}
	if (known)
		fail_method(request, path);
	else
		fail_path(request, path);
	return NULL;
}

/* ---- checking what a request holds ------------------------------------------------------------------------ */

static int query_truth(const char *name, const char *value, bool *ret_truth, struct lw_err *err)
{
	if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
		*ret_truth = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
		*ret_truth = false;
	else
		return lw_err_set(err, -EINVAL, "'%s' is true or false, not '%.50s'", name, value);
	return 0;
}

static const char *next_stage(const void *context, size_t i)
{
	(void)context;
	return i + STAGE_PENDING < STAGES_N ? stage_name((enum stage)(i + STAGE_PENDING)) : NULL;
}

static int query_stage(const char *value, int *ret_stage, struct lw_err *err)
{
	char hint[HINT_MAX];

	for (int stage = STAGE_PENDING; stage < STAGES_N; stage++) {
		if (strcmp(value, stage_name((enum stage)stage)) == 0) {
			*ret_stage = stage;
			return 0;
		}
	}
	return lw_err_set(err, -EINVAL, "no run is '%.50s'%s", value,
			  nearest_hint(value, next_stage, NULL, hint));
}

/* Seconds since 1970, with a fraction if need be. */
static int query_time(const char *value, int64_t *ret_us, struct lw_err *err)
{
	char *end = NULL;
	double seconds = strtod(value, &end);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || !(seconds < 1e11))
		return lw_err_set(err, -EINVAL, "'since' is a time in seconds since 1970");
	*ret_us = (int64_t)(seconds * 1e6);
	return 0;
}

static int query_id(const char *value, uint64_t *ret_id, struct lw_err *err)
{
	char *end = NULL;

	*ret_id = strtoull(value, &end, 10);
	if (value[0] < '1' || value[0] > '9' || *end != '\0' || *ret_id > INT64_MAX)
		return lw_err_set(err, -EINVAL, "'before' is the id of a run");
	return 0;
}

static int query_limit(const char *value, size_t *ret_limit, struct lw_err *err)
{
	char *end = NULL;
	unsigned long limit = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || limit < 1 || limit > RUNS_MOST)
		return lw_err_set(err, -EINVAL, "'limit' is a number from 1 to %d", RUNS_MOST);
	*ret_limit = limit;
	return 0;
}

static int check_pair(struct ask *ask, int allowed, const char *name, const char *value,
		      struct lw_err *err)
{
	if (strcmp(name, "wait") == 0 && (allowed & (QUERY_WAIT | QUERY_MAY_WAIT)) != 0)
		return query_truth(name, value, &ask->wait, err);
	if (strcmp(name, "brief") == 0 && (allowed & QUERY_BRIEF) != 0)
		return query_truth(name, value, &ask->brief, err);
	if (strcmp(name, "limit") == 0 && (allowed & QUERY_LIMIT) != 0)
		return query_limit(value, &ask->search.limit, err);
	if (strcmp(name, "stage") == 0 && (allowed & QUERY_FILTER) != 0)
		return query_stage(value, &ask->search.stage, err);
	if (strcmp(name, "since") == 0 && (allowed & QUERY_FILTER) != 0)
		return query_time(value, &ask->search.since, err);
	if (strcmp(name, "before") == 0 && (allowed & QUERY_FILTER) != 0)
		return query_id(value, &ask->search.before, err);
	if (strcmp(name, "dry_run") == 0 && (allowed & QUERY_DRY) != 0)
		return query_truth(name, value, &ask->dry_run, err);
	if (strcmp(name, "keep_works") == 0 && (allowed & QUERY_KEEP) != 0)
		return query_truth(name, value, &ask->keep, err);
	return lw_err_set(err, -EINVAL, "this request takes no '%.50s'", name);
}

static int check_query(struct ask *ask, int allowed, struct lw_err *err)
{
	LW_AUTO(lw_free) char *query = lw_strdup(ask->request->head.query);
	char *rest = query;
	char *pair;
	int r = 0;

	while (r == 0 && (pair = strsep(&rest, "&")) != NULL) {
		char *value = strchr(pair, '=');

		if (pair[0] == '\0')
			continue;
		if (value != NULL)
			*value++ = '\0';
		r = check_pair(ask, allowed, pair, value != NULL ? value : "true", err);
	}
	return r;
}

static int parse_body(struct ask *ask, struct lw_err *err)
{
	const struct lw_slice body = ask->request->body;
	json_error_t error;

	if (ask->body != NULL || body.size == 0)
		return 0;
	ask->body = json_loadb((const char *)body.data, body.size, BODY_JSON, &error);
	if (ask->body == NULL)
		return lw_err_set(err, -EINVAL,
				  "the body is no JSON: %s at line %d, column %d (byte %d)",
				  error.text, error.line, error.column, error.position);
	if (!json_is_object(ask->body))
		return lw_err_set(err, -EINVAL, "the body is no JSON object");
	return 0;
}

/* clang-format off */
static const struct { const char *key; int body; } body_keys[] = {
	{ "args",   BODY_CALL },
	{ "kwargs", BODY_CALL },
	{ "all",    BODY_ALL },
	{ "before", BODY_OLDER },
	{ "path",   BODY_PATH },
};
/* clang-format on */

static bool body_takes(int allowed, const char *key)
{
	for (size_t i = 0; i < LW_COUNT(body_keys); i++)
		if (strcmp(key, body_keys[i].key) == 0)
			return (allowed & body_keys[i].body) != 0;
	return false;
}

static int check_body_keys(const struct ask *ask, int allowed, struct lw_err *err)
{
	const char *key;
	json_t *value;

	if ((allowed & BODY_PATCH) != 0)
		return ask->body != NULL ? 0 : lw_err_set(err, -EINVAL, "the body is empty");
	json_object_foreach(ask->body, key, value) if (!body_takes(allowed, key)) return lw_err_set(
		err, -EINVAL,
		allowed == BODY_NONE ? "this request takes no '%.100s'"
				     : "unknown key '%.100s' in the body",
		key);
	return 0;
}

static int check_call(struct ask *ask, struct lw_err *err)
{
	const json_t *args = json_object_get(ask->body, "args");
	const json_t *kwargs = json_object_get(ask->body, "kwargs");
	const json_t *all = json_object_get(ask->body, "all");
	const json_t *before = json_object_get(ask->body, "before");

	if (args != NULL && !json_is_array(args))
		return lw_err_set(err, -EINVAL, "'args' is no list");
	if (kwargs != NULL && !json_is_object(kwargs))
		return lw_err_set(err, -EINVAL, "'kwargs' is no object");
	if (all != NULL && !json_is_boolean(all))
		return lw_err_set(err, -EINVAL, "'all' is neither true nor false");
	if (before != NULL && (!json_is_number(before) || !json_is_true(all) ||
			       json_number_value(before) <= 0 || json_number_value(before) > 1e11))
		return lw_err_set(err, -EINVAL,
				  "'before' is a time in seconds since 1970, and goes with 'all'");
	ask->before = (int64_t)(json_number_value(before) * 1e6);
	ask->all = json_is_true(all);
	ask->has_call = args != NULL || kwargs != NULL;
	lw_buf_add(&ask->call, ask->work->head.data, ask->work->head.size);
	ask->call_is_whole = lw_call_add_json(&ask->call, args, kwargs, err) == 0;
	return ask->call_is_whole ? 0 : -EINVAL;
}

static const char *next_work(const void *context, size_t i)
{
	const struct app *app = context;

	return i < app->work_count ? app->works[i]->config->name : NULL;
}

static bool find_work(struct ask *ask)
{
	LW_AUTO_BUF message = { 0 };
	char hint[HINT_MAX];

	ask->work = app_work(ask->app, ask->segment);
	if (ask->work != NULL)
		return true;
	lw_buf_printf(&message, "no work '%s'", ask->segment);
	refuse(ask, 404, "no_such_work", lw_buf_text(&message),
	       nearest_hint(ask->segment, next_work, ask->app, hint));
	return false;
}

/* " key="text"": in quotes and escaped, so that nobody writes lines or fields of his own. */
static void add_field(struct lw_buf *line, const char *key, const char *text)
{
	LW_AUTO_BUF quoted = { 0 };

	js_text(&quoted, text);
	lw_buf_printf(line, " %s=%s", key, lw_buf_text(&quoted));
}

static void audit(const struct ask *ask)
{
	const char *work = ask->work != NULL ? ask->work->config->name : ask->segment;
	LW_AUTO_BUF line = { 0 };
	LW_AUTO_BUF call = { 0 };

	if (work != NULL && work[strspn(work, NAME_PLAIN)] == '\0')
		lw_buf_printf(&line, " work=%s", work);
	else if (work != NULL)
		add_field(&line, "work", work);
	if (ask->all) {
		lw_buf_printf(&line, " call=all");
	} else if (ask->call_is_whole) {
		lw_call_print(lw_buf_slice(&ask->call), CALL_SHOWN, &call);
		add_field(&line, "call", lw_buf_text(&call));
	}
	if (ask->refused.code != 0)
		add_field(&line, "refused", ask->refused.text);
	lw_log(LW_LOG_INFO, "audit uid=%u pid=%d verb=%s%s", (unsigned)ask->uid, (int)ask->pid,
	       ask->verb, lw_buf_text(&line));
}

/* Everything that can be wrong with a request before its handler sees it. */
static bool check(struct ask *ask, const struct row *row, struct lw_slice segment)
{
	struct lw_err err = { 0 };
	int r;

	if (segment.size > 0) {
		ask->segment = http_decode((const char *)segment.data, segment.size);
		if (ask->segment == NULL) {
			refuse(ask, 400, "bad_path", "the path is not well-formed", NULL);
			return false;
		}
		if (strncmp(row->path, "works/", 6) == 0 && !find_work(ask))
			return false;
	}
	r = check_query(ask, row->query, &err);
	if (r == 0)
		r = parse_body(ask, &err);
	if (r == 0)
		r = check_body_keys(ask, row->body, &err);
	if (r == 0 && (row->body & BODY_CALL) != 0)
		r = check_call(ask, &err);
	ask->path = json_string_value(json_object_get(ask->body, "path"));
	if (r < 0)
		refuse(ask, 400, "bad_request", err.text, NULL);
	return r >= 0;
}

static void serve(struct http_request *request, json_t *take_body);

static void serve_again(struct wait *wait)
{
	serve(wait->request, LW_TAKE(wait->body));
}

static void files_seen(struct watcher *watcher)
{
	wait_finish(LW_OWNER(watcher, struct wait, watcher));
}

/* A call is one of files as they are now: the request waits until they are looked at and known,
 * and is then served again. */
static bool awaits_files(struct ask *ask, bool looked)
{
	struct work *work = ask->work;
	struct wait *wait;

	if (work->files == NULL || ask->all)
		return false;
	wait = wait_new(ask, serve_again);
	wait->watcher.done = files_seen;
	wait->body = ask->body != NULL ? json_incref(ask->body) : json_object();
	if (!looked && files_look(ask->app->files, &wait->watcher))
		return true;
	if (work_awaits_files(work)) {
		watcher_add(&work->files->watchers, &wait->watcher);
		return true;
	}
	ask->request->waiting = NULL;
	ask->request->gone = NULL;
	wait_end(wait);
	return false;
}

void api_serve(struct http_request *request)
{
	serve(request, NULL);
}

/* `take_body`: the request was held back, and its bytes are gone. */
static void serve(struct http_request *request, json_t *take_body)
{
	struct ask ask = {
		.request = request,
		.app = request->app,
		.search = { .stage = -1, .limit = RUNS_DEFAULT },
		.uid = request->uid,
		.pid = request->pid,
		.body = take_body,
	};
	struct lw_slice segment = { 0 };
	const struct row *row = find_row(request, &segment);
	bool looked = take_body != NULL, waits = false;

	if (row == NULL) /* not of one that was held back */
		return;
	/* Whoever http.c lets in is an operator. */
	ask.verb = row->rights == OPERATOR ? row->verb : NULL;
	ask.wait = (row->query & QUERY_MAY_WAIT) == 0;
	if (check(&ask, row, segment)) {
		waits = (row->body & BODY_CALL) != 0 && awaits_files(&ask, looked);
		if (!waits)
			row->act(&ask);
	}
	if (ask.verb != NULL && !waits)
		audit(&ask);
	lw_buf_done(&ask.call);
	lw_free(ask.segment);
	json_decref(ask.body);
}
