/* fake_work.c - the villain of the end-to-end tests, and a decent work beside it.
 *
 *     fake_work serve [WINDOW [unready]]
 *                              a work by liblw-worker; its runs do what `act` says
 *     fake_work VILLAIN [first|run]
 *                              speaks the protocol by hand and breaks it, before its hello
 *                              ("first") or when it is given a run ("run", the default)
 *     fake_work leave          a command that leaves a grandchild in a session of its own
 *     fake_work notify TEXT    a command that sends that to its NOTIFY_SOCKET
 *
 * Started by lw-supervisor from the app.conf of a test. What it did it says on stdout; every
 * execution it adds to the file EXECUTIONS, if there is one in its environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lw_err.h"
#include "lw_frame.h"
#include "lw_proto.h"
#include "lw_worker.h"

/* ---- a decent work ------------------------------------------------------------------ */

static int act_echo(struct lw_run *run)
{
	int64_t value = lw_arg_int(run, "value", 0);

	printf("ran value=%lld attempt=%u\n", (long long)value, lw_run_attempt(run));
	lw_return_int(run, value * value);
	return 0;
}

static int act_fail(struct lw_run *run)
{
	unsigned until = (unsigned)lw_arg_int(run, "until", INT32_MAX);

	printf("failing attempt=%u\n", lw_run_attempt(run));
	if (lw_run_attempt(run) >= until)
		return 0;
	return lw_fail(run, "%s", lw_arg_text(run, "text", "it did not work"));
}

/* The sanitizers' handlers are for faults that nobody planned. */
static int act_crash(struct lw_run *run)
{
	int number = (int)lw_arg_int(run, "signal", SIGSEGV);

	puts("crashing");
	signal(number, SIG_DFL);
	raise(number);
	return 0;
}

static int act_exit(struct lw_run *run)
{
	puts("leaving");
	fflush(stdout);
	_exit((int)lw_arg_int(run, "status", 7));
}

/* Waits for a byte out of a FIFO in the working directory, or until asked to stop. */
static int act_gate(struct lw_run *run)
{
	const char *name = lw_arg_text(run, "gate", "gate");
	int fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char byte;

	if (fd < 0)
		return lw_fail(run, "no gate '%s'", name);
	printf("waiting value=%lld attempt=%u\n", (long long)lw_arg_int(run, "value", 0),
	       lw_run_attempt(run));
	while (read(fd, &byte, 1) != 1) {
		if (lw_stopping(run)) {
			close(fd);
			return lw_fail(run, "asked to stop");
		}
		poll(&ready, 1, 10);
	}
	close(fd);
	return act_echo(run);
}

static int act_gate_exit(struct lw_run *run)
{
	(void)act_gate(run);
	return act_exit(run);
}

/* Never looks up from its work. */
static int act_deaf(struct lw_run *run)
{
	(void)run;
	puts("deaf");
	for (;;)
		pause();
	return 0;
}

static int act_print(struct lw_run *run)
{
	int64_t lines = lw_arg_int(run, "lines", 1);

	for (int64_t i = 1; i <= lines; i++)
		printf("line %lld of a work that has much to say\n", (long long)i);
	return 0;
}

static int act_state(struct lw_run *run)
{
	int64_t count = lw_arg_int(run, "count", 3);

	for (int64_t i = 1; i <= count; i++)
		lw_set_int(run, "step", i);
	lw_set_text(run, "mood", "good");
	lw_progress(run, 0.5);
	return 0;
}

static int act_ready(struct lw_run *run)
{
	lw_ready(run, lw_arg_bool(run, "ready", true));
	return 0;
}

static const struct {
	const char *name;
	int (*act)(struct lw_run *run);
} acts[] = {
	{ "echo", act_echo },   { "fail", act_fail },   { "crash", act_crash },
	{ "exit", act_exit },   { "gate", act_gate },   { "deaf", act_deaf },
	{ "print", act_print }, { "state", act_state }, { "gate_exit", act_gate_exit },
	{ "ready", act_ready },
};

/* One line an execution, in a file that survives everybody: "run attempt pid". */
static void record(const struct lw_run *run)
{
	const char *path = getenv("EXECUTIONS");
	int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	dprintf(fd, "%llu %u %d\n", (unsigned long long)lw_run_id(run), lw_run_attempt(run),
		(int)getpid());
	close(fd);
}

static int run_act(struct lw_run *run, void *data)
{
	const char *name = lw_arg_text(run, "act", "echo");

	(void)data;
	record(run);
	for (size_t i = 0; i < LW_COUNT(acts); i++) {
		if (strcmp(acts[i].name, name) == 0)
			return acts[i].act(run);
	}
	return lw_fail(run, "no act '%s'", name);
}

static int begin_unready(void *data)
{
	(void)data;
	lw_ready(NULL, false);
	return 0;
}

static int serve(int argc, char **argv)
{
	struct lw_work work = {
		.run = run_act,
		.window = argc > 2 ? (unsigned)atoi(argv[2]) : 1,
		.start = argc > 3 && strcmp(argv[3], "unready") == 0 ? begin_unready : NULL,
	};

	return lw_work_main(&work, NULL);
}

/* ---- the protocol by hand ------------------------------------------------------------ */

struct peer {
	int fd;
	struct lw_frames frames;
	uint64_t sequence;
};

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("LW_SOCKET");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (path == NULL || strlen(path) >= sizeof(address.sun_path))
		lw_fatal("no socket to dial");
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		lw_fatal("cannot dial '%s': %s", path, strerror(errno));
	return fd;
}

static void send_bytes(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0)
			return; /* the supervisor has had enough */
		at += n;
		size -= (size_t)n;
	}
}

static void tell(struct peer *peer, const struct lw_msg *msg)
{
	LW_AUTO_BUF out = { 0 };

	lw_msg_encode(&out, msg);
	send_bytes(peer->fd, out.data, out.size);
}

static struct lw_slice slice(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

static void hello(struct peer *peer, const char *token)
{
	struct lw_msg msg = { .id = LW_MSG_HELLO };
	const char *mark = getenv("LW_WORKER");
	static char store[65];
	unsigned long long worker, incarnation;

	if (mark == NULL || sscanf(mark, "%64[^/]/%llu/%llu", store, &worker, &incarnation) != 3)
		lw_fatal("no LW_WORKER");
	msg.hello.version = LW_PROTO_VERSION;
	msg.hello.token = slice(token);
	msg.hello.store = slice(store);
	msg.hello.worker = worker;
	msg.hello.incarnation = incarnation;
	msg.hello.pid = (uint64_t)getpid();
	msg.hello.window = 1;
	tell(peer, &msg);
}

/* Waits for the next message; false when the supervisor closed the connection. */
static bool hear(struct peer *peer, struct lw_msg *msg)
{
	struct lw_slice body;
	struct lw_err err;
	int r;

	while ((r = lw_frames_next(&peer->frames, &body, &err)) == 0) {
		if (lw_frames_fill(&peer->frames, peer->fd) <= 0)
			return false;
	}
	if (r < 0 || lw_msg_decode(body, LW_BY_SUPERVISOR, msg, &err) < 0)
		lw_fatal("%s", err.text);
	return true;
}

static void meet(struct peer *peer)
{
	*peer = (struct peer){ .fd = dial() };
	lw_frames_init(&peer->frames, LW_FRAME_MAX);
}

/* A peer that was welcomed. */
static void befriend(struct peer *peer)
{
	struct lw_msg msg;

	meet(peer);
	hello(peer, getenv("LW_TOKEN"));
	if (!hear(peer, &msg) || msg.id != LW_MSG_WELCOME)
		lw_fatal("not welcome");
	peer->sequence = msg.welcome.sequence;
}

static void wait_for_ever(void)
{
	fflush(stdout);
	for (;;)
		pause();
}

static void report(struct peer *peer, uint64_t run, uint64_t attempt, int64_t value,
		   uint64_t sequence)
{
	struct lw_msg msg = { .id = LW_MSG_RESULT };
	LW_AUTO_BUF packed = { 0 };

	lw_put_int(&packed, value);
	msg.result.sequence = sequence;
	msg.result.run = run;
	msg.result.attempt = attempt;
	msg.result.success = true;
	msg.result.value = lw_buf_slice(&packed);
	msg.result.reason = slice("");
	msg.result.message = slice("");
	tell(peer, &msg);
}

/* Does its work well from here on. */
static int serve_by_hand(struct peer *peer)
{
	struct lw_msg msg;

	while (hear(peer, &msg)) {
		if (msg.id == LW_MSG_STOP)
			return 0;
		if (msg.id == LW_MSG_RUN)
			report(peer, msg.run.run, msg.run.attempt, 1, ++peer->sequence);
	}
	return 0;
}

static void await_run(struct peer *peer, struct lw_msg *msg)
{
	do {
		if (!hear(peer, msg))
			lw_fatal("dismissed before a run came");
		if (msg->id == LW_MSG_STOP)
			exit(0);
	} while (msg->id != LW_MSG_RUN);
}

/* ---- villains ------------------------------------------------------------------------ */

struct wish {
	const char *name;
	const char *bytes;
	size_t size;
};

/* clang-format off */
#define BYTES(text) text, sizeof(text) - 1
static const struct wish wishes[] = {
	{ "half_frame", BYTES("\0\0\0\x40\x9a\x01") },
	{ "garbage",    BYTES("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\xff\xfe\xfd") },
	{ "gigabyte",   BYTES("\x40\0\0\0\x9a\x01") },
	{ "bomb",       BYTES("\0\0\0\x05\xdd\x01\0\0\0") },
	{ "nonsense",   BYTES("\0\0\0\x03\x92\x08\xc0") },
	{ "imposter",   BYTES("\0\0\0\x06\x92\x0c\xa3" "bye") },
};
/* clang-format on */

/* Sends bytes that no worker sends, then says when the supervisor hangs up. */
static int send_wish(const struct wish *wish, bool first)
{
	struct peer peer;
	struct lw_msg msg;

	if (first) {
		meet(&peer);
	} else {
		befriend(&peer);
		await_run(&peer, &msg);
	}
	send_bytes(peer.fd, wish->bytes, wish->size);
	printf("sent %s\n", wish->name);
	fflush(stdout);
	while (hear(&peer, &msg) && msg.id != LW_MSG_STOP)
		continue;
	puts("hung up");
	wait_for_ever();
	return 0;
}

static int mute(void)
{
	puts("mute");
	wait_for_ever();
	return 0;
}

static int leave_at_once(void)
{
	return 3;
}

static int wrong_token(void)
{
	struct peer peer;
	struct lw_msg msg;

	meet(&peer);
	hello(&peer, "let me in");
	if (!hear(&peer, &msg))
		puts("hung up");
	else
		printf("answer: %s\n", lw_msg_name(msg.id));
	wait_for_ever();
	return 0;
}

static int token_twice(void)
{
	struct peer one, two;
	struct lw_msg msg;

	befriend(&one);
	meet(&two);
	hello(&two, getenv("LW_TOKEN"));
	printf("second: %s\n", hear(&two, &msg) ? lw_msg_name(msg.id) : "hung up");
	fflush(stdout);
	return serve_by_hand(&one);
}

static int flood(void)
{
	struct lw_msg run, msg = { .id = LW_MSG_STATE };
	struct peer peer;
	LW_AUTO_BUF value = { 0 };
	char name[16];

	befriend(&peer);
	await_run(&peer, &run);
	lw_put_int(&value, 1);
	msg.state.value = lw_buf_slice(&value);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "n%d", i % 1000);
		msg.state.name = slice(name);
		msg.state.run = run.run.run;
		msg.state.sequence = ++peer.sequence;
		tell(&peer, &msg);
	}
	report(&peer, run.run.run, run.run.attempt, 5, ++peer.sequence);
	puts("flooded");
	fflush(stdout);
	return serve_by_hand(&peer);
}

static int ignore_term(void)
{
	struct peer peer;
	struct lw_msg msg;

	signal(SIGTERM, SIG_IGN);
	befriend(&peer);
	await_run(&peer, &msg);
	puts("ignoring");
	wait_for_ever();
	return 0;
}

static int close_channel(void)
{
	struct peer peer;
	struct lw_msg msg;

	befriend(&peer);
	await_run(&peer, &msg);
	close(peer.fd);
	puts("closed");
	wait_for_ever();
	return 0;
}

static int stray_result(void)
{
	struct peer peer;

	befriend(&peer);
	report(&peer, 999999, 1, 666, ++peer.sequence);
	puts("reported");
	fflush(stdout);
	return serve_by_hand(&peer);
}

/* The same report again, then another one of the same run. */
static int result_twice(void)
{
	struct peer peer;
	struct lw_msg msg;
	uint64_t run, attempt;

	befriend(&peer);
	await_run(&peer, &msg);
	run = msg.run.run;
	attempt = msg.run.attempt;
	report(&peer, run, attempt, 41, ++peer.sequence);
	report(&peer, run, attempt, 666, peer.sequence);
	report(&peer, run, attempt, 667, ++peer.sequence);
	puts("reported");
	fflush(stdout);
	return serve_by_hand(&peer);
}

static pid_t leave_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		wait_for_ever();
	}
	return pid;
}

/* The descendant outlives the run, not the process. */
static int grandchild(void)
{
	struct peer peer;
	struct lw_msg msg;

	befriend(&peer);
	await_run(&peer, &msg);
	printf("left %d\n", (int)leave_child());
	fflush(stdout);
	report(&peer, msg.run.run, msg.run.attempt, 1, ++peer.sequence);
	return serve_by_hand(&peer);
}

static int leave(void)
{
	printf("left %d\n", (int)leave_child());
	return 0;
}

static int notify(const char *text)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t size = name == NULL ? 0 : strlen(name);

	if (fd < 0 || size < 2 || size >= sizeof(to.sun_path))
		lw_fatal("no NOTIFY_SOCKET");
	memcpy(to.sun_path, name, size);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	size += offsetof(struct sockaddr_un, sun_path);
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, (socklen_t)size) < 0)
		lw_fatal("cannot send to '%s': %s", name, strerror(errno));
	return 0;
}

static const struct {
	const char *name;
	int (*play)(void);
} villains[] = {
	{ "exits", leave_at_once },
	{ "mute", mute },
	{ "wrong_token", wrong_token },
	{ "token_twice", token_twice },
	{ "flood", flood },
	{ "ignore_term", ignore_term },
	{ "close_channel", close_channel },
	{ "stray_result", stray_result },
	{ "result_twice", result_twice },
	{ "grandchild", grandchild },
	{ "leave", leave },
};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "serve";
	bool first = argc > 2 && strcmp(argv[2], "first") == 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(name, "serve") == 0)
		return serve(argc, argv);
	if (strcmp(name, "notify") == 0 && argc > 2)
		return notify(argv[2]);
	for (size_t i = 0; i < LW_COUNT(wishes); i++) {
		if (strcmp(name, wishes[i].name) == 0)
			return send_wish(&wishes[i], first);
	}
	for (size_t i = 0; i < LW_COUNT(villains); i++) {
		if (strcmp(name, villains[i].name) == 0)
			return villains[i].play();
	}
	fprintf(stderr, "no villain '%s'\n", name);
	return 2;
}
