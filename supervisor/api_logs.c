/* api_logs.c - requests for what works, the flow and the supervisor have printed.
 *
 * An answer is a stream of JSON objects, one a line, read from the files (lw_logread.h) in steps: the
 * next one comes when what was sent has left, or, if nothing matched, in the next turn. So neither a
 * large file nor a slow reader holds up the loop, or makes it keep much. With `follow` it goes on
 * whenever lines are written (log_files_watch()), until the client leaves.
 */
#include <string.h>

#include "api_private.h"
#include "logs.h"
#include "lw_log.h"

/* Belongs to its request. */
struct answer_logs {
	struct http_request *request;
	struct lw_logread *logread;
	struct log_watch watch;
	struct loop_timer timer; /* the next step, when nobody else calls for it */
	struct lw_buf out;
	bool follow;
	bool more; /* to be read, as of the last step */
};

static void answer_free(struct answer_logs *answer)
{
	log_files_unwatch(&answer->watch);
	loop_timer_done(&answer->timer);
	lw_logread_free(answer->logread);
	lw_buf_done(&answer->out);
	lw_free(answer);
}

static void add_line(void *context, const char *work, const struct lw_logfile_line *line)
{
	struct answer_logs *answer = context;

	lw_logfile_print_json(work, line, &answer->out);
}

/* The answer has begun: it can only be said in a line of it. */
static void add_error(struct answer_logs *answer, const struct lw_err *err)
{
	LW_AUTO(lw_free) char *text = lw_format("[lw: lines are missing: %s]", err->text);
	const struct lw_logfile_line line = { .at = loop_wall(answer->request->app->loop),
					      .err = true,
					      .text = { (const uint8_t *)text, strlen(text) } };

	lw_log(LW_LOG_ERROR, "%s", err->text);
	add_line(answer, NULL, &line);
}

/* False: that was the end of it. */
static bool step(struct answer_logs *answer)
{
	struct lw_err err;
	int r = lw_logread_step(answer->logread, add_line, answer, &err);

	if (r < 0)
		add_error(answer, &err);
	http_send(answer->request, answer->out.data, answer->out.size);
	answer->out.size = 0;
	answer->more = r > 0;
	return r > 0 || (r == 0 && answer->follow);
}

static void go_on(struct answer_logs *answer)
{
	struct http_request *request = answer->request;

	if (http_unsent(request) > 0)
		return; /* on_drained() */
	if (!step(answer)) {
		answer_free(answer);
		request->gone = NULL;
		http_end(request);
	} else if (answer->more && http_unsent(request) == 0) {
		loop_timer_set(&answer->timer, 0);
	}
}

static void on_drained(struct http_request *request)
{
	struct answer_logs *answer = request->waiting;

	if (answer->more)
		go_on(answer);
}

static void on_timer(struct loop_timer *timer)
{
	go_on(LW_OWNER(timer, struct answer_logs, timer));
}

static void on_news(struct log_watch *watch, const char *name)
{
	struct answer_logs *answer = LW_OWNER(watch, struct answer_logs, watch);

	lw_logread_news(answer->logread, name);
	answer->more = true;
	if (!loop_timer_pending(&answer->timer))
		loop_timer_set(&answer->timer, 0);
}

/* When the server closes, who follows gets what was written last. */
static void on_gone(struct http_request *request, bool server_closes)
{
	struct answer_logs *answer = request->waiting;

	if (server_closes && answer->follow)
		(void)step(answer);
	answer_free(answer);
	if (server_closes)
		http_end(request);
}

static void answer_logs(struct ask *ask, const char *work)
{
	LW_AUTO(lw_free) char *folder = lw_format("%s/%s", ask->app->state_dir, LW_LOGFILE_FOLDER);
	LW_AUTO(lw_free) char *name = work != NULL ? lw_logfile_name(work) : NULL;
	struct answer_logs *answer = LW_NEW(struct answer_logs);

	ask->logs.since = ask->search.since;
	if (ask->logs.lines == LINES_UNSET)
		ask->logs.lines = ask->logs.since > 0 || ask->logs.run > 0 ? LW_LOGREAD_ALL
									   : LW_LOGREAD_LINES;
	answer->request = ask->request;
	answer->follow = ask->follow;
	answer->more = true;
	answer->logread = lw_logread_new(folder, name, &ask->logs);
	answer->watch.news = on_news;
	loop_timer_init(&answer->timer, ask->app->loop, on_timer);
	if (ask->follow && ask->app->logs != NULL)
		log_files_watch(logs_files(ask->app->logs), &answer->watch);
	ask->request->waiting = answer;
	ask->request->gone = on_gone;
	ask->request->drained = on_drained;
	http_stream(ask->request, "application/x-ndjson");
}

void api_do_logs(struct ask *ask)
{
	answer_logs(ask, ask->segment);
}

void api_do_all_logs(struct ask *ask)
{
	answer_logs(ask, NULL);
}
