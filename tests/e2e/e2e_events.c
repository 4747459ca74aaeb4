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
	"work 'job' { program = { lw.env('FAKE'), 'serve' }, parallel = true,"                     \
	" start_with_flow = false }\n"                                                             \
	"local gone\n"                                                                             \
	"function flow()\n"                                                                        \
	"  if lw.state.go == gone then return end\n"                                               \
	"  gone = lw.state.go\n"                                                                   \
	"  for i = 1, lw.state.go % 100000 do lw.state.n = i end\n"                                \
	"end\n"

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
	bool is_over;       /* the server has closed */
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

	if (stream->is_over || poll(&ready, 1, 2) == 0)
		return;
	lw_buf_grow(&stream->raw, 1 << 16);
	n = read(stream->fd, stream->raw.data + stream->raw.size, 1 << 16);
	stream->is_over = n <= 0;
	stream->raw.size += n > 0 ? (size_t)n : 0;
	while ((stream->is_open || take_head(stream)) && take_chunk(stream))
		;
}

static void hear_more(struct stream *stream, double until)
{
	hear(stream);
	(void)rig_pump(rig_now());
	if (stream->is_over || rig_now() > until)
		rig_fail(__FILE__, __LINE__, "no more events behind '%s'%s",
			 lw_buf_text(&stream->text), stream->is_over ? ", it was closed" : "");
}

static const char *field(const char *block, const char *name)
{
	const char *at = strstr(block, name);

	return at == NULL ? ""
			  : rig_format("%.*s", (int)strcspn(at + strlen(name), "\n"),
				       at + strlen(name));
}

/* Drops what stands between events: ends of lines, and comments. */
static void skip_comments(struct stream *stream)
{
	const char *text = lw_buf_text(&stream->text);
	size_t at = 0;

	while (text[at] == '\n' || (text[at] == ':' && strchr(text + at, '\n') != NULL))
		at += strcspn(text + at, "\n") + 1;
	lw_buf_cut(&stream->text, at);
}

static struct event next(struct stream *stream)
{
	double until = rig_deadline();
	const char *end, *block;
	struct event event;
	size_t size;

	while (skip_comments(stream), (end = strstr(lw_buf_text(&stream->text), "\n\n")) == NULL)
		hear_more(stream, until);
	size = (size_t)(end - lw_buf_text(&stream->text));
	block = rig_format("%.*s\n", (int)size, lw_buf_text(&stream->text));
	lw_buf_cut(&stream->text, size);
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

/* The number in a line of data; else 0. */
static unsigned long seq_in(const uint8_t *line, const uint8_t *end)
{
	static const char data[] = "data: {\"seq\":";
	size_t at = sizeof(data) - 1;
	unsigned long seq = 0;

	if ((size_t)(end - line) < at || memcmp(line, data, at) != 0)
		return 0;
	for (; line[at] >= '0' && line[at] <= '9'; at++)
		seq = seq * 10 + line[at] - '0';
	return seq;
}

/* Takes all events up to that one, which follow on each other. Without functions of strings: with
 * strict_string_checks they look at all that is there, each time. */
static void take_up_to(struct stream *stream, unsigned long *seq, unsigned long last)
{
	double until = rig_deadline();

	while (*seq < last) {
		struct lw_slice text = lw_buf_slice(&stream->text);
		const uint8_t *line = text.data, *end;

		while (text.size > 0 &&
		       (end = memchr(line, '\n', (size_t)(lw_slice_end(text) - line))) != NULL) {
			unsigned long one = seq_in(line, end);

			if (one != 0)
				CHECK_INT(one, ++*seq);
			line = end + 1;
			if (line == lw_slice_end(text))
				break;
		}
		if (text.size > 0)
			lw_buf_cut(&stream->text, (size_t)(line - text.data));
		if (*seq < last)
			hear_more(stream, until);
	}
}

/* A patch after which there are exactly so many events, at most 100,000: the flow makes all but
 * the first. */
static const char *patch(int count)
{
	static int times;

	return rig_format("{\"go\": %d}", ++times * 100000 + count - 1);
}

static void make_events(int count)
{
	CHECK_INT(rig_http("PATCH", "/api/v1/state", patch(count)).status, 200);
}

/* Does not wait for the answer, for which the disk may be slow: who follows has to read. */
static void begin_events(int count)
{
	static int asking = -1;
	const char *body = patch(count);
	const char *request =
		rig_format("PATCH /api/v1/state HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
			   strlen(body), body);

	lw_close(asking);
	asking = rig_dial(rig_path(".lw/app.conf/control.sock"));
	CHECK(send(asking, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
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

	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
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

	make_events(1000);
	for (int i = 0; i < 10; i++)
		event = next(&stream);
	id = event.id;
	seq = rig_number(event.data, "seq");
	leave(&stream);
	make_events(1000);

	stream = follow_from(id);
	CHECK_TEXT(next(&stream).kind, "hello");
	for (int i = 0; i < 2000 - 10; i++) {
		event = next(&stream);
		CHECK_INT(rig_number(event.data, "seq"), ++seq);
		CHECK_TEXT(event.kind, "app");
	}
	leave(&stream);
	rig_down(proc);
}

TEST(a_place_that_nobody_knows_is_a_gap)
{
	static const char *const places[] = { "1.5",      "x",  "99999999999999999999",
					      "99999999", "-1", "5.",
					      "1.2.3" };
	struct rig_proc *proc = rig_up(CONF, NULL);

	for (size_t i = 0; i < LW_COUNT(places); i++) {
		struct stream stream = follow_from(places[i]);
		struct event event;
		double last;

		event = next(&stream);
		CHECK_TEXT(event.kind, "hello");
		last = rig_number(event.data, "seq");
		event = next(&stream);
		CHECK_TEXT(event.kind, "gap");
		CHECK(json_is_null(rig_at(event.data, "missed")));
		CHECK_INT(rig_number(event.data, "seq"), last);
		leave(&stream);
	}
	rig_down(proc);
}

TEST(a_place_that_is_too_old_is_a_gap)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow_from_now();
	struct event event = (make_events(2), next(&stream));
	const char *first = event.id;

	leave(&stream);
	make_events(17000);
	stream = follow_from(first);
	CHECK_TEXT(next(&stream).kind, "hello");
	event = next(&stream);
	CHECK_TEXT(event.kind, "gap");
	CHECK(rig_number(event.data, "missed") >= 17000);
	/* and goes on behind it */
	make_events(1);
	CHECK_INT(rig_number(next(&stream).data, "seq"), rig_number(event.data, "seq") + 1);
	leave(&stream);
	rig_down(proc);
}

TEST(a_new_supervisor_counts_anew_and_knows_no_earlier_place)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream stream = follow_from_now();
	const char *id;

	make_events(1);
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

/* The id of the last event that is there. */
static const char *last_id(const struct stream *stream)
{
	for (size_t at = stream->text.size; at-- > 4;)
		if (memcmp(stream->text.data + at - 4, "\nid: ", 5) == 0)
			return rig_format("%.40s", (const char *)stream->text.data + at + 1);
	rig_fail(__FILE__, __LINE__, "no event came");
}

/* Reads on until it is told that something is missing: at once, or when it comes again because it
 * had taken nothing for so long that it was closed. */
static struct event find_gap(struct stream *stream)
{
	static const char gap[] = "event: gap\n";
	double until = rig_deadline();
	const uint8_t *at = NULL;

	while (at == NULL && rig_now() < until) {
		hear(stream);
		if (stream->text.size > 0)
			at = memmem(stream->text.data, stream->text.size, gap, sizeof(gap) - 1);
		if (at == NULL && stream->is_over) {
			const char *id = last_id(stream);

			leave(stream);
			*stream = follow_from(rig_format("%.*s", (int)strcspn(id, "\n"), id));
		}
	}
	CHECK(at != NULL);
	lw_buf_cut(&stream->text, (size_t)(at - stream->text.data));
	return next(stream);
}

/* 100,000 events pass while somebody holds his connection and reads nothing. */
TEST(a_slow_reader_loses_itself_and_nobody_else)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	struct stream slow = follow_from_now(), quick = follow("");
	unsigned long seq = (unsigned long)rig_number(next(&quick).data, "seq");
	struct event event;
	double before = 0;

	for (int i = 0; i < 10; i++) {
		begin_events(10000);
		take_up_to(&quick, &seq, seq + 10000);
		if (i == 1) /* the ring is full */
			before = resident_kib(proc);
	}
	CHECK(resident_kib(proc) - before < GROWTH_KIB);
	event = find_gap(&slow);
	CHECK(rig_number(event.data, "missed") > 16384);
	begin_events(1);
	take_up_to(&quick, &seq, seq + 1);
	CHECK_INT(rig_number(next(&slow).data, "seq"), rig_number(event.data, "seq") + 1);
	leave(&slow);
	leave(&quick);
	rig_down(proc);
}

TEST(many_subscribers_hear_the_same)
{
	struct rig_proc *proc = rig_up(CONF, NULL);
	static struct stream streams[50];
	unsigned long seqs[LW_COUNT(streams)], last;

	for (size_t i = 0; i < LW_COUNT(streams); i++) {
		streams[i] = follow("");
		seqs[i] = (unsigned long)rig_number(next(&streams[i]).data, "seq");
	}
	last = seqs[LW_COUNT(streams) - 1] + 1000;
	begin_events(1000);
	for (size_t i = 0; i < LW_COUNT(streams); i++) {
		take_up_to(&streams[i], &seqs[i], last);
		if (i % 2 == 0)
			leave(&streams[i]);
	}
	begin_events(1000);
	for (size_t i = 1; i < LW_COUNT(streams); i += 2) {
		take_up_to(&streams[i], &seqs[i], last + 1000);
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
