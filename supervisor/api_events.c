/* api_events.c - GET events: what happens, as server-sent events, for as long as the client stays.
 *
 * A client is a reader of the ring (events.h), and sent more when what it was sent has left: one
 * that is slow falls behind by itself, and when its place in the ring is gone it is told so and
 * goes on with the latest. See api_private.h.
 */
#include <stdlib.h>
#include <unistd.h>

#include "api_private.h"
#include "js.h"
#include "events.h"

#define TURN_BYTES  ((size_t)1 << 20) /* rendered in a turn, for all clients */
#define TURN_LEAST  ((size_t)4 << 10) /* for one */
#define QUIET_PAUSE INT64_C(15000000) /* us between signs of life */

struct subscriber {
	struct event_reader reader;
	struct http_request *request;
	struct app *app;
	struct loop_timer quiet;
};

/* ---- one event -------------------------------------------------------------------------------- */

static void begin_event(const struct app *app, const char *kind, uint64_t seq, bool has_id,
			struct lw_buf *out)
{
	if (has_id)
		lw_buf_printf(out, "id: %lld.%llu\n", (long long)app->started,
			      (unsigned long long)seq);
	lw_buf_printf(out, "event: %s\ndata: {", kind);
	js_key(out, "seq");
	js_int(out, (int64_t)seq);
}

static void end_event(struct lw_buf *out)
{
	js_close(out, '}');
	lw_buf_add(out, "\n\n", 2);
}

/* While the run is where the event says it is, it knows why. */
static const char *reason_of(const struct app *app, const struct event *event)
{
	const struct run *run = runs_find(app->runs, event->run);

	return run != NULL && run->stage == event->stage ? run->reason : NULL;
}

static void render(const struct app *app, uint64_t seq, const struct event *event,
		   struct lw_buf *out)
{
	static const char *const kinds[] = {
		[EVENT_RUN] = "run", [EVENT_WORK] = "work", [EVENT_APP] = "app"
	};
	const struct work *work = app_work_of_row(app, event->work);

	begin_event(app, kinds[event->kind], seq, true, out);
	js_key(out, "at");
	js_time(out, event->at);
	if (event->kind == EVENT_APP) {
		TEXT("stage", app_stage_name((enum app_stage)event->stage));
		TEXT("what", event_what_name((enum event_what)event->what));
	} else {
		TEXT("work", work != NULL ? work->config->name : NULL);
		if (event->kind == EVENT_RUN) {
			js_key(out, "run");
			js_int(out, (int64_t)event->run);
		}
		TEXT("stage", stage_name((enum stage)event->stage));
	}
	if (event->kind == EVENT_RUN)
		TEXT("reason", reason_of(app, event));
	end_event(out);
}

/* `missed` 0: nobody knows how many. */
static void render_gap(const struct app *app, uint64_t seq, uint64_t missed, struct lw_buf *out)
{
	begin_event(app, "gap", seq, true, out);
	js_key(out, "missed");
	if (missed > 0)
		js_int(out, (int64_t)missed);
	else
		js_null(out);
	end_event(out);
}

static void render_hello(const struct app *app, struct lw_buf *out)
{
	begin_event(app, "hello", events_last(app->events), false, out);
	js_key(out, "pid");
	js_int(out, getpid());
	TEXT("version", LW_VERSION);
	js_key(out, "started");
	js_time(out, app->started);
	end_event(out);
}

/* ---- a subscriber ------------------------------------------------------------------------------ */

static size_t share(const struct app *app)
{
	size_t share = TURN_BYTES / events_readers(app->events);

	return share > TURN_LEAST ? share : TURN_LEAST;
}

/* Only behind what it has taken, so that it is never far in debt. */
static void send_more(struct subscriber *subscriber)
{
	const struct app *app = subscriber->app;
	const struct event *event;
	uint64_t missed = 0;
	LW_AUTO_BUF out = { 0 };

	if (http_unsent(subscriber->request) > 0)
		return;
	while (out.size < share(app) &&
	       events_next(app->events, &subscriber->reader, &event, &missed) == 1)
		render(app, subscriber->reader.seq, event, &out);
	if (missed > 0)
		render_gap(app, subscriber->reader.seq, missed, &out);
	http_send(subscriber->request, out.data, out.size);
}

static void on_ready(struct event_reader *reader)
{
	send_more(LW_OWNER(reader, struct subscriber, reader));
}

static void on_drained(struct http_request *request)
{
	send_more(request->waiting);
}

/* A comment: it keeps proxies from closing, and finds out who is gone. */
static void on_quiet(struct loop_timer *timer)
{
	struct subscriber *subscriber = LW_OWNER(timer, struct subscriber, quiet);

	if (http_unsent(subscriber->request) == 0)
		http_send(subscriber->request, ":\n\n", 3);
	loop_timer_set(timer, QUIET_PAUSE);
}

static void subscriber_free(void *object)
{
	struct subscriber *subscriber = object;

	loop_timer_done(&subscriber->quiet);
	lw_free(subscriber);
}

static void on_gone(struct http_request *request, bool server_closes)
{
	struct subscriber *subscriber = request->waiting;

	(void)server_closes; /* the client comes again by itself */
	events_leave(subscriber->app->events, &subscriber->reader);
	loop_timer_stop(&subscriber->quiet);
	loop_retire(subscriber->app->loop, subscriber, subscriber_free);
}

/* ---- the request ------------------------------------------------------------------------------- */

/* "STARTED.SEQ" as in an id, or "SEQ" of this supervisor. False: that is none of ours. */
static bool parse_place(const struct app *app, const char *text, uint64_t *ret_seq)
{
	unsigned long long first, second;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	first = second = strtoull(text, &end, 10);
	if (*end == '.' && end[1] >= '0' && end[1] <= '9') {
		second = strtoull(end + 1, &end, 10);
		if (first != (unsigned long long)app->started)
			return false;
	}
	if (*end != '\0' || second > events_last(app->events))
		return false;
	*ret_seq = second;
	return true;
}

void api_do_events(struct ask *ask)
{
	const char *place = ask->request->head.last_event_id != NULL
				    ? ask->request->head.last_event_id
				    : ask->after;
	struct subscriber *subscriber = LW_NEW(struct subscriber);
	struct app *app = ask->app;
	bool known = true;
	LW_AUTO_BUF out = { 0 };

	subscriber->request = ask->request;
	subscriber->app = app;
	subscriber->reader.ready = on_ready;
	subscriber->reader.seq = events_last(app->events);
	if (place != NULL)
		known = parse_place(app, place, &subscriber->reader.seq);
	loop_timer_init(&subscriber->quiet, app->loop, on_quiet);
	loop_timer_set(&subscriber->quiet, QUIET_PAUSE);
	events_join(app->events, &subscriber->reader);
	ask->request->waiting = subscriber;
	ask->request->gone = on_gone;
	ask->request->drained = on_drained;
	http_stream(ask->request, "text/event-stream");
	render_hello(app, &out);
	if (!known)
		render_gap(app, subscriber->reader.seq, 0, &out);
	http_send(ask->request, out.data, out.size);
}
