/* api_wait.c - answers of the control API, at once or when something has come to pass.
 *
 * A wait belongs to its request: it is freed when it has answered, or when the client goes away,
 * which ends the waiting and nothing else. What an answer speaks of is in the journal before it
 * leaves. See api_private.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api_private.h"
#include "js.h"

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

void api_answer(struct http_request *request, struct lw_buf *out)
{
	lw_buf_add(out, "\n", 1);
	http_reply(request, &(struct http_answer){ .status = 200 }, out);
}

void api_fail(struct http_request *request, int status, const char *code, const char *message,
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
	http_reply(request, &(struct http_answer){ .status = status }, &out);
}

void api_refuse(struct ask *ask, int status, const char *code, const char *message,
		const char *hint)
{
	lw_err_set(&ask->refused, -EPERM, "%s", message);
	api_fail(ask->request, status, code, message, hint);
}

void api_failf(struct http_request *request, int status, const char *code, const char *format, ...)
{
	struct lw_err err = { 0 };
	va_list args;
	char text[sizeof(err.text)];

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	api_fail(request, status, code, text, NULL);
}

/* ---- waiting ------------------------------------------------------------------------------ */

static void wait_free(void *object)
{
	struct wait *wait = object;

	lw_free(wait->why);
	lw_free(wait->runs);
	json_decref(wait->body);
	lw_free(wait);
}

/* A question to the journal's thread, and who asked. */
struct asked_task {
	struct journal_task task;
	struct wait *wait;
};

/* Ends the waiting; the memory lives to the end of the turn, as we may be called from it. */
static void wait_end(struct wait *wait)
{
	watcher_cancel(&wait->watcher);
	journal_cancel(wait->app->journal, &wait->journal);
	if (wait->task != NULL)
		journal_abandon(wait->app->journal, &wait->task->task);
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
		api_answer(request, &out);
	} else {
		api_fail(request, 503, "ending", "the supervisor ends", NULL);
	}
}

struct wait *wait_new(struct ask *ask, void (*finish)(struct wait *wait))
{
	struct wait *wait = LW_NEW(struct wait);

	wait->request = ask->request;
	wait->app = ask->app;
	wait->work = ask->work;
	wait->finish = finish;
	wait->brief = ask->brief;
	wait->waited = ask->wait;
	ask->request->waiting = wait;
	ask->request->gone = wait_gone;
	return wait;
}

static void unhook(struct wait *wait)
{
	wait->request->waiting = NULL;
	wait->request->gone = NULL;
}

void wait_finish(struct wait *wait)
{
	unhook(wait);
	wait->finish(wait);
	wait_end(wait);
}

void wait_drop(struct wait *wait)
{
	unhook(wait);
	wait_end(wait);
}

static void journal_done(struct journal_wait *journal, int r)
{
	struct wait *wait = LW_OWNER(journal, struct wait, journal);

	if (r == 0) {
		wait_finish(wait);
		return;
	}
	unhook(wait);
	api_failf(wait->request, 503, "journal", "%s; it will be written when that is possible",
		  journal_error(wait->app->journal) != NULL ? journal_error(wait->app->journal)
							    : strerror(-r));
	wait_end(wait);
}

/* Answers when everything that was changed so far is in the journal. */
void wait_stable(struct wait *wait)
{
	wait->journal.done = journal_done;
	journal_wait(wait->app->journal, &wait->journal);
}

static void watched(struct watcher *watcher)
{
	struct wait *wait = LW_OWNER(watcher, struct wait, watcher);

	wait_stable(wait);
}

void wait_watch(struct wait *wait, struct watcher **list)
{
	wait->watcher.done = watched;
	watcher_add(list, &wait->watcher);
}

void wait_keep(struct wait *wait, struct run *run)
{
	wait->runs = lw_realloc(wait->runs, (wait->run_count + 1) * sizeof(*wait->runs));
	wait->runs[wait->run_count++] = run_ref(run);
}

static void run_is_over(struct watcher *watcher)
{
	wait_runs(LW_OWNER(watcher, struct wait, watcher));
}

/* For one run after the other: what is over stays over. */
void wait_runs(struct wait *wait)
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

/* ---- asking the journal's thread ------------------------------------------------------------------- */

static void task_free(struct asked_task *asked)
{
	lw_buf_done(&asked->task.rows);
	lw_free(asked->task.path);
	lw_free(asked);
}

static void task_failed(struct wait *wait, const struct lw_err *err)
{
	unhook(wait);
	api_fail(wait->request, err->code == -EEXIST ? 409 : 500, "journal", err->text, NULL);
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

struct journal_task *wait_for_journal(struct ask *ask, void (*finish)(struct wait *wait))
{
	struct asked_task *asked = LW_NEW(struct asked_task);

	asked->wait = wait_new(ask, finish);
	asked->wait->task = asked;
	asked->task.done = on_task;
	return &asked->task;
}
