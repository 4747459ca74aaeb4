/* e2e_events.c - GET events: what happens, in order, resumed, and without anybody in the way.
 * Run by ctest, one test a process. */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lw_buf.h"

#define CONF                                                                                       \
	"app { view = false }\n"                                                                   \
	"work 'job' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"                  \
	"function flow() end\n"

#define KEYS 1000 /* events that one patch makes */

#ifdef __SANITIZE_ADDRESS__
#define GROWTH_KIB (512 * 1024) /* it keeps what was freed, for a while */
#else
#define GROWTH_KIB 4096
#endif

/* ---- a subscriber ------------------------------------------------------------------------------- */

struct stream {
	int fd;
	struct lw_buf raw;  /* as it came, from the answer's head on */
	struct lw_buf text; /* without chunks */
	bool is_open;       /* the head was read */
};

struct event {
	const char *id, *kind; /* "" when there is none */
	json_t *data;
};

static struct stream follow(const char *headers)
{
	const char *request =
		rig_format("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
	struct stream stream = { .fd = rig_dial(rig_path(".lw/app.conf/control.sock")) };

	CHECK(send(stream.fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	return stream;
}

static struct stream follow_from(const char *id)
{
	return follow(rig_format("Last-Event-ID: %s\r\n", id));
}

static void leave(struct stream *stream)
{
	lw_close(stream->fd);
	lw_buf_done(&stream->raw);
	lw_buf_done(&stream->text);
}

static bool take_head(struct stream *stream)
{
	const char *end = strstr(lw_buf_text(&stream->raw), "\r\n\r\n");

	if (end == NULL)
		return false;
	CHECK_HAS(lw_buf_text(&stream->raw), "HTTP/1.1 200 OK\r\n");
	CHECK_HAS(lw_buf_text(&stream->raw), "Content-Type: text/event-stream\r\n");
	lw_buf_cut(&stream->raw, (size_t)(end + 4 - lw_buf_text(&stream->raw)));
	return stream->is_open = true;
}

static bool take_chunk(struct stream *stream)
{
	const char *text = lw_buf_text(&stream->raw), *end = strstr(text, "\r\n");
	size_t size = strtoul(text, NULL, 16), head = end != NULL ? (size_t)(end - text) + 2 : 0;

	if (end == NULL || stream->raw.size < head + size + 2)
		return false;
	lw_buf_add(&stream->text, stream->raw.data + head, size);
	lw_buf_cut(&stream->raw, head + size + 2);
	return true;
}

/* What is there, or comes within a moment. */
static void hear(struct stream *stream)
{
	struct pollfd ready = { .fd = stream->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&ready, 1, 2) == 0)
		return;
	lw_buf_grow(&stream->raw, 1 << 16);
	n = read(stream->fd, stream->raw.data + stream->raw.size, 1 << 16);
	CHECK(n > 0);
	stream->raw.size += (size_t)n;
	while ((stream->is_open || take_head(stream)) && take_chunk(stream))
		;
}

static void hear_more(struct stream *stream, double until)
{
	hear(stream);
	if (!rig_pump(rig_now()) && rig_now() > until)
		rig_fail(__FILE__, __LINE__, "no more events behind '%s'",
			 lw_buf_text(&stream->text));
}

static const char *field(const char *block, const char *name)
{
	const char *at = strstr(block, name);

	return at == NULL ? ""
			  : rig_format("%.*s", (int)strcspn(at + strlen(name), "\n"),
				       at + strlen(name));
}

static struct event next(struct stream *stream)
{
	double until = rig_deadline();
	const char *end, *block;
	struct event event;
	size_t size;

	while ((end = strstr(lw_buf_text(&stream->text), "\n\n")) == NULL)
		hear_more(stream, until);
	size = (size_t)(end - lw_buf_text(&stream->text));
	block = rig_format("%.*s\n", (int)size, lw_buf_text(&stream->text));
	lw_buf_cut(&stream->text, size + 2);
	event.id = field(block, "id: ");
	event.kind = field(block, "event: ");
	event.data = rig_json(field(block, "data: "));
	CHECK(event.data != NULL);
	return event;
}

/* The next one of that kind. */
static struct event next_of(struct stream *stream, const char *kind)
{
	struct event event;

	do
		event = next(stream);
	while (strcmp(event.kind, kind) != 0);
	return event;
}

static struct stream follow_from_now(void)
{
	struct stream stream = follow("");

	CHECK_TEXT(next(&stream).kind, "hello");
	return stream;
}

/* Takes all events up to that one, which follow on each other. */
static void take_up_to(struct stream *stream, unsigned long *seq, unsigned long last)
{
	double until = rig_deadline();

	while (*seq < last) {
		const char *text = lw_buf_text(&stream->text), *end;
		size_t at = 0;
		unsigned long one;

		while ((end = strstr(text + at, "\n\n")) != NULL) {
			const char *data = strstr(text + at, "data: {\"seq\":");

			CHECK(data != NULL && data < end);
			CHECK_INT(sscanf(data, "data: {\"seq\":%lu", &one), 1);
			CHECK_INT(one, ++*seq);
			at = (size_t)(end - text) + 2;
		}
		lw_buf_cut(&stream->text, at);
		if (*seq < last)
			hear_more(stream, until);
	}
}

/* Makes KEYS events. */
static void patch(int value)
{
	LW_AUTO_BUF body = { 0 };

	for (int i = 0; i < KEYS; i++)
		lw_buf_printf(&body, "%c\"k%d\":%d", i == 0 ? '{' : ',', i, value);
	lw_buf_printf(&body, "}");
	CHECK_INT(rig_http("PATCH", "/api/v1/state", lw_buf_text(&body)).status, 200);
}

/* ---- what is told ---------------------------------------------------------------------------------- */

TEST(a_run_is_told_from_its_beginning_to_its_end)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow("");
	struct event event = next(&stream);
	static const char *const stages[] = { "pending", "running", "failed" };
	double seq;

	CHECK_TEXT(event.kind, "hello");
	CHECK_TEXT(event.id, "");
	CHECK_INT(rig_number(event.data, "pid"), rig_pid(proc));
	CHECK_TEXT(rig_string(event.data, "version"), LW_VERSION);
	CHECK(rig_number(event.data, "started") == rig_number(rig_status(), "app.started"));
	seq = rig_number(event.data, "seq");
	CHECK_INT(rig_ctl("run", "job", "act=fail", NULL).status, 0);
	for (size_t i = 0; i < LW_COUNT(stages);) {
		event = next(&stream);
		CHECK_INT(rig_number(event.data, "seq"), ++seq);
		CHECK_TEXT(strchr(event.id, '.') + 1, rig_format("%.0f", seq));
		if (strcmp(event.kind, "run") != 0)
			continue;
		CHECK_TEXT(rig_string(event.data, "work"), "job");
		CHECK_INT(rig_number(event.data, "run"), 1);
		CHECK_TEXT(rig_string(event.data, "stage"), stages[i++]);
	}
	CHECK(rig_string(event.data, "reason")[0] != '\0');
	event = next_of(&stream, "work");
	CHECK_TEXT(rig_string(event.data, "stage"), "failed");
	leave(&stream);
	rig_down(proc);
}

TEST(processes_state_and_the_app_are_told_too)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	stream = follow_from_now();
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK_TEXT(rig_string(next_of(&stream, "work").data, "work"), "job");
	CHECK_INT(rig_http("PATCH", "/api/v1/state", "{\"a\": 1}").status, 200);
	CHECK_TEXT(rig_string(next_of(&stream, "app").data, "what"), "state");
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	CHECK_TEXT(rig_string(next_of(&stream, "app").data, "what"), "reload");
	CHECK_INT(rig_ctl("shutdown", "--no-wait", NULL).status, 0);
	CHECK_TEXT(rig_string(next_of(&stream, "app").data, "stage"), "stopping");
	CHECK_INT(rig_exit(proc), 0);
	leave(&stream);
}

/* ---- coming again ------------------------------------------------------------------------------------ */

TEST(who_comes_again_gets_what_he_missed)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow_from_now();
	const char *id;
	struct event event;
	double seq;

	patch(1);
	for (int i = 0; i < 10; i++)
		event = next(&stream);
	id = event.id;
	seq = rig_number(event.data, "seq");
	leave(&stream);
	patch(2);

	stream = follow_from(id);
	CHECK_TEXT(next(&stream).kind, "hello");
	for (int i = 0; i < 2 * KEYS - 10; i++) {
		event = next(&stream);
		CHECK_INT(rig_number(event.data, "seq"), ++seq);
		CHECK_TEXT(event.kind, "app");
	}
	leave(&stream);
	rig_down(proc);
}

TEST(a_place_that_nobody_knows_is_a_gap)
{
	static const char *const places[] = { "1.5", "x",  "99999999999999999999",
					      "-1",  "5.", "1.2.3" };
	struct rig_proc *proc = rig_up(CONF, NULL);

	for (size_t i = 0; i < LW_COUNT(places); i++) {
		struct stream stream = follow_from(places[i]);
		struct event event;

		CHECK_TEXT(next(&stream).kind, "hello");
		event = next(&stream);
		CHECK_TEXT(event.kind, "gap");
		CHECK(json_is_null(rig_at(event.data, "missed")));
		leave(&stream);
	}
	rig_down(proc);
}

TEST(a_place_that_is_too_old_is_a_gap)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow_from_now();
	struct event event = (patch(0), next(&stream));
	const char *first = event.id;

	leave(&stream);
	for (int i = 1; i <= 17; i++)
		patch(i);
	stream = follow_from(first);
	CHECK_TEXT(next(&stream).kind, "hello");
	event = next(&stream);
	CHECK_TEXT(event.kind, "gap");
	CHECK(rig_number(event.data, "missed") >= 17 * KEYS);
	/* and goes on behind it */
	patch(18);
	CHECK_INT(rig_number(next(&stream).data, "seq"), rig_number(event.data, "seq") + 1);
	leave(&stream);
	rig_down(proc);
}

TEST(a_new_supervisor_counts_anew_and_knows_no_earlier_place)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow_from_now();
	const char *id;

	patch(1);
	id = next(&stream).id;
	rig_down(proc);
	leave(&stream);
	proc = rig_up(CONF, NULL);
	stream = follow_from(id);
	CHECK_TEXT(next(&stream).kind, "hello");
	CHECK_TEXT(next(&stream).kind, "gap");
	leave(&stream);
	rig_down(proc);
}

/* ---- many, and slow ones -------------------------------------------------------------------------------- */

static double resident_kib(const struct rig_proc *proc)
{
	const char *text = rig_read(rig_format("/proc/%d/status", (int)rig_pid(proc)));
	long kib = 0;

	CHECK_INT(sscanf(strstr(text, "VmRSS:"), "VmRSS: %ld", &kib), 1);
	return (double)kib;
}

/* 100,000 events pass while somebody holds his connection and reads nothing. */
TEST(a_slow_reader_loses_itself_and_nobody_else)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream slow = follow_from_now(), quick = follow("");
	struct event event = next(&quick);
	unsigned long seq = (unsigned long)rig_number(event.data, "seq");
	double before;

	for (int i = 0; i < 10; i++) {
		patch(i);
		take_up_to(&quick, &seq, seq + KEYS);
	}
	before = resident_kib(proc);
	for (int i = 10; i < 100; i++) {
		patch(i);
		take_up_to(&quick, &seq, seq + KEYS);
	}
	CHECK(resident_kib(proc) - before < GROWTH_KIB);
	event = next_of(&slow, "gap");
	CHECK(rig_number(event.data, "missed") > 16384);
	patch(100);
	take_up_to(&quick, &seq, seq + KEYS);
	CHECK_INT(rig_number(next(&slow).data, "seq"), rig_number(event.data, "seq") + 1);
	leave(&slow);
	leave(&quick);
	rig_down(proc);
}

TEST(many_subscribers_hear_the_same)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	static struct stream streams[50];
	unsigned long first = 0;

	for (size_t i = 0; i < LW_COUNT(streams); i++)
		streams[i] = follow("");
	for (size_t i = 0; i < LW_COUNT(streams); i++) {
		struct event event = next(&streams[i]);

		first = (unsigned long)rig_number(event.data, "seq");
	}
	for (int i = 0; i < 5; i++)
		patch(i);
	for (size_t i = 0; i < LW_COUNT(streams); i++) {
		unsigned long seq = first;

		take_up_to(&streams[i], &seq, first + 5 * KEYS);
		if (i % 2 == 0)
			leave(&streams[i]);
	}
	patch(6);
	for (size_t i = 1; i < LW_COUNT(streams); i += 2) {
		unsigned long seq = first + 5 * KEYS;

		take_up_to(&streams[i], &seq, first + 6 * KEYS);
		leave(&streams[i]);
	}
	rig_down(proc);
}

/* Each line of `lwctl events` is an object. */
static json_t *next_line(struct rig_proc *proc, const char *part)
{
	json_t *event = json_loads(rig_line(proc, RIG_OUT, part), 0, NULL);

	CHECK(json_is_object(event));
	return event;
}

TEST(lwctl_prints_a_line_for_each_event_until_it_is_interrupted)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct rig_proc *events = rig_spawn(LW_BIN "/lwctl", "events", NULL), *again;
	const char *id;
	json_t *event;

	event = next_line(events, "\"hello\"");
	CHECK_INT(rig_number(event, "pid"), rig_pid(proc));
	json_decref(event);
	rig_run("job", "{\"value\": 2}");
	event = next_line(events, "\"pending\"");
	CHECK_TEXT(rig_string(event, "event"), "run");
	CHECK_TEXT(rig_string(event, "work"), "job");
	id = rig_format("%s", rig_string(event, "id"));
	json_decref(event);
	json_decref(next_line(events, "\"succeeded\""));
	rig_signal(events, SIGINT);
	CHECK_INT(rig_exit(events), 0);

	again = rig_spawn(LW_BIN "/lwctl", "events", "--after", id, NULL);
	rig_line(again, RIG_OUT, "\"succeeded\"");
	CHECK_INT(rig_count(again, RIG_OUT, "\"run\":1,\"stage\":\"pending\""), 0);
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_exit(again), 3);
	CHECK_TEXT(rig_text(again, RIG_ERR), "lwctl: the supervisor went away\n");
	CHECK_INT(rig_ctl("events", NULL).status, 3);
}
