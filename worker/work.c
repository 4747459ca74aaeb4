/* work.c - lw_work_main(): serves runs with the author's functions; see lw_worker.h.
 *
 * One struct server on the stack of lw_work_main(); the struct lw_run that the author sees
 * is a part of it and is used again for each run, so a run in the steady state allocates
 * nothing.
 *
 * Runs sent ahead wait in a ring. Between runs we send and read only when there is nothing
 * left to do, when a millisecond has passed, or when the last run was not a very short one:
 * many tiny runs then share one write and one read.
 */
#include "lw_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

#define LOOK_NS       1000000   /* between two looks at the socket */
#define SHORT_NS      20000     /* a run that takes longer is reported at once */
#define PROGRESS_NS   100000000 /* between two reports of progress */
#define KEEP_ROOM     (64u << 10)
#define ZONE_SIZE     4096
#define SENTENCE_ROOM (LW_SENTENCE_MAX + 1)

/* A run that was sent ahead. `args` is [positional...] followed by {named...}. */
struct waiting {
	uint64_t run, attempt;
	struct lw_buf args;
	size_t positional; /* bytes of the first of the two */
	bool withdrawn;
};

/* A value that the flow assigned. */
struct assigned {
	char *name;
	struct lw_buf value;
	msgpack_zone zone;
	msgpack_object object;
	bool unpacked;
};

struct lw_run {
	struct server *server;
	struct waiting call;
	msgpack_zone zone; /* unpacked arguments and copied texts */
	bool zone_used;
	bool unpacked;
	msgpack_object positional, named;
	struct lw_buf result;
	char message[SENTENCE_ROOM];
	char bad[sizeof(((struct lw_err *)0)->text)]; /* a value that could not go out */
	int64_t progress_at;
	bool saw_stop; /* lw_stopping() said true */
};

struct server {
	const struct lw_work *work;
	void *data;
	struct channel *channel;
	unsigned losses;
	struct lw_run run;

	struct waiting *ring;
	size_t head, count, room; /* room is a power of two */

	struct assigned **assigned;
	size_t assigned_count;

	bool serving; /* start() is over */
	bool stopping;
	int left; /* -errno once this worker is to leave at once */
	struct lw_err err;
	int64_t looked_at; /* last time the socket was looked at */
};

static volatile sig_atomic_t terminated;
static struct server *current; /* for lw_set() and lw_stopping() without a run */

static void on_term(int signal)
{
	(void)signal;
	terminated = 1;
	channel_interrupt();
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- runs sent ahead --------------------------------------------------------------------- */

static struct waiting *ring_at(struct server *server, size_t n)
{
	return &server->ring[(server->head + n) & (server->room - 1)];
}

static void ring_grow(struct server *server)
{
	size_t room = server->room == 0 ? 4 : server->room * 2;
	struct waiting *ring = lw_alloc(room * sizeof *ring);

	for (size_t i = 0; i < server->room; i++)
		ring[i] = *ring_at(server, i);
	lw_free(server->ring);
	server->ring = ring;
	server->room = room;
	server->head = 0;
}

static void enqueue(struct server *server, const struct lw_msg_run *msg)
{
	struct waiting *waiting;

	if (server->count == server->room)
		ring_grow(server);
	waiting = ring_at(server, server->count++);
	waiting->run = msg->run;
	waiting->attempt = msg->attempt;
	waiting->withdrawn = false;
	lw_buf_shrink(&waiting->args, KEEP_ROOM);
	lw_buf_add(&waiting->args, msg->positional.data, msg->positional.size);
	lw_buf_add(&waiting->args, msg->named.data, msg->named.size);
	waiting->positional = msg->positional.size;
}

/* Swaps the oldest waiting run with the one that is over, so that buffers are used again. */
static bool dequeue(struct server *server)
{
	struct waiting over = server->run.call;

	if (server->count == 0)
		return false;
	server->run.call = *ring_at(server, 0);
	*ring_at(server, 0) = over;
	server->head = (server->head + 1) & (server->room - 1);
	server->count--;
	return true;
}

static void withdraw(struct server *server, uint64_t run)
{
	struct lw_msg msg = { .id = LW_MSG_WITHDRAWN, .withdrawn = { .run = run } };

	for (size_t i = 0; i < server->count; i++) {
		struct waiting *waiting = ring_at(server, i);

		if (waiting->run != run || waiting->withdrawn)
			continue;
		waiting->withdrawn = true;
		channel_report(server->channel, &msg);
		return;
	}
}

/* ---- values the flow assigned ------------------------------------------------------------- */

static struct assigned *assigned_find(struct server *server, const void *name, size_t size)
{
	for (size_t i = 0; i < server->assigned_count; i++)
		if (strlen(server->assigned[i]->name) == size &&
		    memcmp(server->assigned[i]->name, name, size) == 0)
			return server->assigned[i];
	return NULL;
}

static struct assigned *assigned_add(struct server *server, struct lw_slice name)
{
	struct assigned *assigned = LW_NEW(struct assigned);

	assigned->name = lw_strndup(name.data, name.size);
	if (!msgpack_zone_init(&assigned->zone, ZONE_SIZE))
		lw_fatal("out of memory");
	server->assigned = lw_realloc(server->assigned,
				      (server->assigned_count + 1) * sizeof(struct assigned *));
	server->assigned[server->assigned_count++] = assigned;
	return assigned;
}

static void assign(struct server *server, const struct lw_msg_set *msg)
{
	struct assigned *assigned = assigned_find(server, msg->name.data, msg->name.size);

	if (assigned == NULL)
		assigned = assigned_add(server, msg->name);
	lw_buf_shrink(&assigned->value, KEEP_ROOM);
	lw_buf_add(&assigned->value, msg->value.data, msg->value.size);
	assigned->unpacked = false;
}

static void assigned_free(struct assigned *assigned)
{
	lw_free(assigned->name);
	lw_buf_done(&assigned->value);
	msgpack_zone_destroy(&assigned->zone);
	lw_free(assigned);
}

/* Values come from the supervisor and were checked when the message was decoded. */
static msgpack_object unpack(msgpack_zone *zone, const uint8_t *bytes, size_t size)
{
	msgpack_object object = { .type = MSGPACK_OBJECT_NIL };
	msgpack_unpack_return r = msgpack_unpack((const char *)bytes, size, NULL, zone, &object);

	if (r == MSGPACK_UNPACK_NOMEM_ERROR)
		lw_fatal("out of memory");
	return object;
}

const msgpack_object *lw_get(struct lw_run *run, const char *name)
{
	struct server *server = run != NULL ? run->server : current;
	struct assigned *assigned =
		server == NULL ? NULL : assigned_find(server, name, strlen(name));

	if (assigned == NULL)
		return NULL;
	if (!assigned->unpacked) {
		msgpack_zone_clear(&assigned->zone);
		assigned->object =
			unpack(&assigned->zone, assigned->value.data, assigned->value.size);
		assigned->unpacked = true;
	}
	return &assigned->object;
}

/* ---- what the supervisor says ---------------------------------------------------------------- */

static void dispatch(struct server *server, const struct lw_msg *msg)
{
	if (msg->id == LW_MSG_RUN)
		enqueue(server, &msg->run);
	else if (msg->id == LW_MSG_WITHDRAW)
		withdraw(server, msg->withdraw.run);
	else if (msg->id == LW_MSG_SET)
		assign(server, &msg->set);
	else if (msg->id == LW_MSG_STOP)
		server->stopping = true;
}

/* A lost connection takes the runs with it that were sent on it and have not begun. */
static void void_lost(struct server *server)
{
	unsigned losses = channel_losses(server->channel);

	if (losses == server->losses)
		return;
	server->losses = losses;
	server->count = 0;
}

/* Handles every message that has been read. */
static void take_in(struct server *server)
{
	struct lw_msg msg;
	int r;

	void_lost(server);
	while ((r = channel_next(server->channel, &msg, &server->err)) > 0)
		dispatch(server, &msg);
	void_lost(server);
	if (r < 0)
		server->left = r;
	server->stopping = server->stopping || terminated || server->left < 0;
}

static void look(struct server *server, int timeout_ms)
{
	int r;

	take_in(server); /* what was read before must be handled before the next read */
	r = channel_wait(server->channel, timeout_ms, &server->err);
	if (r < 0)
		server->left = r;
	take_in(server);
	channel_flush(server->channel);
}

bool lw_stopping(struct lw_run *run)
{
	struct server *server = run != NULL ? run->server : current;
	int64_t now;

	if (server == NULL)
		return terminated;
	now = clock_ns(CLOCK_MONOTONIC_COARSE);
	if (server->serving && !terminated && !server->stopping &&
	    now - server->looked_at >= LOOK_NS) {
		server->looked_at = now;
		look(server, 0);
	}
	if (server->stopping || terminated)
		server->run.saw_stop = true;
	return server->stopping || terminated;
}

/* ---- the call --------------------------------------------------------------------------------- */

uint64_t lw_run_id(const struct lw_run *run)
{
	return run->call.run;
}

unsigned lw_run_attempt(const struct lw_run *run)
{
	return (unsigned)run->call.attempt;
}

/* Most runs look at a few arguments, some at none: they are unpacked when first asked for. */
static struct lw_run *unpacked(const struct lw_run *asked)
{
	struct lw_run *run = &asked->server->run;
	const struct waiting *call = &run->call;

	if (run->unpacked)
		return run;
	run->unpacked = run->zone_used = true;
	run->positional = unpack(&run->zone, call->args.data, call->positional);
	run->named = unpack(&run->zone, call->args.data + call->positional,
			    call->args.size - call->positional);
	return run;
}

const msgpack_object_array *lw_args(const struct lw_run *run)
{
	return &unpacked(run)->positional.via.array;
}

const msgpack_object_map *lw_named(const struct lw_run *run)
{
	return &unpacked(run)->named.via.map;
}

const msgpack_object *lw_arg(const struct lw_run *run, const char *name)
{
	const msgpack_object_map *map = lw_named(run);
	size_t size = strlen(name);

	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object *key = &map->ptr[i].key;

		if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == size &&
		    memcmp(key->via.str.ptr, name, size) == 0)
			return &map->ptr[i].val;
	}
	return NULL;
}

const msgpack_object *lw_arg_at(const struct lw_run *run, size_t n)
{
	const msgpack_object_array *list = lw_args(run);

	return n < list->size ? &list->ptr[n] : NULL;
}

static bool is_float(const msgpack_object *value)
{
	return value->type == MSGPACK_OBJECT_FLOAT32 || value->type == MSGPACK_OBJECT_FLOAT64;
}

int64_t lw_arg_int(struct lw_run *run, const char *name, int64_t otherwise)
{
	const msgpack_object *value = lw_arg(run, name);

	if (value == NULL)
		return otherwise;
	if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return value->via.i64;
	if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX)
		return (int64_t)value->via.u64;
	if (is_float(value) && value->via.f64 >= -0x1p63 && value->via.f64 < 0x1p63 &&
	    value->via.f64 == (double)(int64_t)value->via.f64)
		return (int64_t)value->via.f64;
	return otherwise;
}

double lw_arg_float(struct lw_run *run, const char *name, double otherwise)
{
	const msgpack_object *value = lw_arg(run, name);

	if (value == NULL)
		return otherwise;
	if (is_float(value))
		return value->via.f64;
	if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return (double)value->via.i64;
	if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		return (double)value->via.u64;
	return otherwise;
}

bool lw_arg_bool(struct lw_run *run, const char *name, bool otherwise)
{
	const msgpack_object *value = lw_arg(run, name);

	return value != NULL && value->type == MSGPACK_OBJECT_BOOLEAN ? value->via.boolean
								      : otherwise;
}

const char *lw_arg_text(struct lw_run *run, const char *name, const char *otherwise)
{
	const msgpack_object *value = lw_arg(run, name);
	char *copy;

	if (value == NULL || value->type != MSGPACK_OBJECT_STR)
		return otherwise;
	copy = msgpack_zone_malloc_no_align(&run->zone, value->via.str.size + 1);
	if (copy == NULL)
		lw_fatal("out of memory");
	memcpy(copy, value->via.str.ptr, value->via.str.size);
	copy[value->via.str.size] = '\0';
	return copy;
}

/* ---- reports ------------------------------------------------------------------------------------ */

static struct lw_slice text(const char *string)
{
	return (struct lw_slice){ (const uint8_t *)string, strlen(string) };
}

static void spoil(struct lw_run *run, const char *what, const char *why)
{
	if (run == NULL || run->call.run == 0) {
		fprintf(stderr, "%s: %s\n", what, why);
		return;
	}
	if (run->bad[0] == '\0')
		snprintf(run->bad, sizeof run->bad, "%.200s: %.250s", what, why);
}

/* What an author packed is not believed. */
static bool good(struct lw_run *run, const char *what, const char *name, struct lw_slice value)
{
	char subject[LW_NAME_MAX + 32];
	struct lw_err err = { 0 };

	if (lw_value_check(value, &err) >= 0)
		return true;
	snprintf(subject, sizeof subject, "%s%s%s%s", what, name[0] != '\0' ? " '" : "", name,
		 name[0] != '\0' ? "'" : "");
	spoil(run, subject, err.text);
	return false;
}

static bool good_name(struct lw_run *run, const char *name)
{
	size_t size = strlen(name);

	if (size > 0 && size <= LW_NAME_MAX && lw_text_is_utf8(name, size))
		return true;
	spoil(run, "the name of a state value",
	      size == 0            ? "it is empty"
	      : size > LW_NAME_MAX ? "it is longer than 255 bytes"
				   : "it is not UTF-8");
	return false;
}

static void set_state(struct lw_run *run, const char *name, struct lw_slice value)
{
	struct server *server = run != NULL ? run->server : current;
	struct lw_msg msg = { .id = LW_MSG_STATE, .state = { .name = text(name), .value = value } };

	if (server == NULL || !good_name(run, name) || !good(run, "state", name, value))
		return;
	msg.state.run = server->run.call.run;
	channel_report(server->channel, &msg);
	channel_flush(server->channel);
}

void lw_set(struct lw_run *run, const char *name, const msgpack_sbuffer *value)
{
	set_state(run, name, (struct lw_slice){ (const uint8_t *)value->data, value->size });
}

/* lw_set_TYPE and lw_return_TYPE differ in the type alone. */
#define SETTER(suffix, type, put)                                                                  \
	void lw_set_##suffix(struct lw_run *run, const char *name, type value)                     \
	{                                                                                          \
		LW_AUTO_BUF packed = { 0 };                                                        \
                                                                                                   \
		put(&packed, value);                                                               \
		set_state(run, name, lw_buf_slice(&packed));                                       \
	}                                                                                          \
	void lw_return_##suffix(struct lw_run *run, type value)                                    \
	{                                                                                          \
		lw_buf_shrink(&run->result, KEEP_ROOM);                                            \
		put(&run->result, value);                                                          \
	}
SETTER(int, int64_t, lw_put_int)
SETTER(float, double, lw_put_float)
SETTER(bool, bool, lw_put_truth)
SETTER(text, const char *, lw_put_cstr)

void lw_return(struct lw_run *run, const msgpack_sbuffer *value)
{
	lw_buf_shrink(&run->result, KEEP_ROOM);
	lw_buf_add(&run->result, value->data, value->size);
	if (value->size == 0)
		lw_buf_add(&run->result, "\xc1", 1); /* no value: fails the check */
}

void lw_progress(struct lw_run *run, double share)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
	struct lw_msg msg = { .id = LW_MSG_PROGRESS, .progress = { .run = run->call.run } };

	if (now - run->progress_at < PROGRESS_NS)
		return;
	run->progress_at = now;
	msg.progress.share = share > 0 ? (share < 1 ? share : 1) : 0;
	channel_report(run->server->channel, &msg);
	channel_flush(run->server->channel);
}

void lw_ready(struct lw_run *run, bool ready)
{
	struct server *server = run != NULL ? run->server : current;

	if (server == NULL)
		return;
	channel_ready(server->channel, ready);
	channel_flush(server->channel);
}

int lw_fail(struct lw_run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->message, sizeof run->message, format, args);
	va_end(args);
	return 1;
}

/* ---- one run --------------------------------------------------------------------------------------- */

static void prepare(struct lw_run *run)
{
	if (run->zone_used)
		msgpack_zone_clear(&run->zone);
	run->zone_used = run->unpacked = run->saw_stop = false;
	lw_buf_shrink(&run->result, KEEP_ROOM);
	run->message[0] = run->bad[0] = '\0';
	run->progress_at = 0;
	channel_in_hand(run->server->channel, run->call.run, run->call.attempt);
}

static void report_failure(struct lw_run *run, struct lw_msg_result *result, int status)
{
	if (run->bad[0] != '\0')
		snprintf(run->message, sizeof run->message, "%s", run->bad);
	else if (run->message[0] == '\0')
		snprintf(run->message, sizeof run->message, "run returned %d", status);
	result->success = false;
	result->reason = text(run->saw_stop && run->bad[0] == '\0' ? "stopped" : "failed");
	result->message = text(run->message);
	result->value = text("\xc0");
}

static void finish(struct lw_run *run, int status)
{
	struct lw_msg msg = { .id = LW_MSG_RESULT,
			      .result = { .run = run->call.run,
					  .attempt = run->call.attempt,
					  .success = true,
					  .value = lw_buf_slice(&run->result),
					  .reason = text(""),
					  .message = text("") } };

	fflush(NULL); /* what it printed precedes its result */
	if (run->result.size == 0)
		msg.result.value = text("\xc0");
	else if (status == 0 && !good(run, "the result", "", msg.result.value))
		status = 1;
	if (status != 0 || run->bad[0] != '\0')
		report_failure(run, &msg.result, status);
	channel_report(run->server->channel, &msg);
	channel_in_hand(run->server->channel, 0, 0);
	run->call.run = 0;
}

static void execute(struct server *server)
{
	struct lw_run *run = &server->run;

	if (run->call.withdrawn) {
		run->call.run = 0;
		return;
	}
	prepare(run);
	finish(run, server->work->run(run, server->data));
}

/* Runs until asked to stop. `began` is when the run began that is over now. */
static void serve(struct server *server)
{
	int64_t began = 0;

	take_in(server);
	while (!server->stopping) {
		int64_t now = clock_ns(CLOCK_MONOTONIC);

		if (server->count == 0) {
			look(server, -1);
			now = server->looked_at = clock_ns(CLOCK_MONOTONIC);
		} else if (now - began > SHORT_NS || now - server->looked_at > LOOK_NS) {
			look(server, 0);
			server->looked_at = now;
		}
		began = now;
		if (!server->stopping && dequeue(server))
			execute(server);
		server->stopping = server->stopping || terminated;
	}
}

/* ---- begin and end ------------------------------------------------------------------------------------ */

static void catch_term(void)
{
	struct sigaction action = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	sigset_t term;

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
}

static void server_done(struct server *server)
{
	current = NULL;
	for (size_t i = 0; i < server->room; i++)
		lw_buf_done(&server->ring[i].args);
	for (size_t i = 0; i < server->assigned_count; i++)
		assigned_free(server->assigned[i]);
	lw_free(server->ring);
	lw_free(server->assigned);
	lw_buf_done(&server->run.call.args);
	lw_buf_done(&server->run.result);
	msgpack_zone_destroy(&server->run.zone);
	channel_free(server->channel);
}

static int server_main(struct server *server)
{
	int status = 0;

	if (server->work->start != NULL)
		status = server->work->start(server->data);
	if (status != 0)
		return status;
	server->serving = true;
	if (!terminated)
		serve(server);
	if (server->work->stop != NULL)
		server->work->stop(server->data);
	fflush(NULL);
	if (server->left < 0) {
		fprintf(stderr, "%s\n", server->err.text);
		return 1;
	}
	if (channel_leave(server->channel) < 0)
		fprintf(stderr, "leaving before everything reported was on record\n");
	return 0;
}

int lw_work_main(const struct lw_work *work, void *data)
{
	struct server server = { .work = work, .data = data };
	unsigned window = work->window == 0 ? 1 : work->window;
	int status;

	server.run.server = &server;
	if (window > LW_WINDOW_MAX)
		window = LW_WINDOW_MAX;
	if (channel_new(window, &server.channel, &server.err) < 0) {
		fprintf(stderr,
			"%s\nGive it to a work in app.conf: work \"name\" { program = \"%s\" }\n",
			server.err.text, program_invocation_name);
		return 2;
	}
	if (!msgpack_zone_init(&server.run.zone, ZONE_SIZE))
		lw_fatal("out of memory");
	setvbuf(stdout, NULL, _IOLBF, 0);
	catch_term();
	current = &server;
	status = server_main(&server);
	server_done(&server);
	return status;
}
