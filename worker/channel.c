/* channel.c - the worker's end of the channel; see channel.h. Owned by whoever called
 * channel_new(): lw_work_main() and lw-worker.
 *
 * Reports wait in one FIFO: `kept` holds their frames one after another, `reports` says where
 * each begins. A report stays until its sequence is acknowledged. `unsent` is the first one
 * that is not in `out` yet; `out` takes a piece at a time, so what has not left can still be
 * merged and a supervisor that does not read costs no memory.
 *
 * The socket is blocking: in the steady state a run costs one send and one blocking recv.
 * Everything else passes MSG_DONTWAIT. A signal between the last look at `interrupted` and
 * the recv cannot be missed: the handler makes the socket non-blocking.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lw_frame.h"

#define READ_SIZE (64u << 10)
#define SEND_SIZE (256u << 10) /* moved into `out` at a time */
#define KEEP_ROOM (64u << 10)  /* room that an empty buffer keeps */
#define TOKEN_MAX 64
#define SETTLE_MS 200
#define STOP_MS   10000 /* without LW_STOP_TIMEOUT_MS */

/* Between two dials: a share of the time that nobody has been there, so that a supervisor that
 * comes back soon, as after a crash or for a new version, has all its workers at once. Even a
 * thousand workers that dial four times a second take a few per cent of a processor; who has
 * waited for an hour may wait longer. */
#define PAUSE_FIRST_MS   10
#define PAUSE_SHARE      32
#define PAUSE_LONGEST_MS 250
#define LONG_AWAY_MS     3600000
#define PAUSE_LONG_MS    2000

struct report {
	uint64_t sequence;
	uint64_t at; /* of its frame, counted from the first byte ever kept */
	size_t size;
	uint64_t run, attempt; /* of a result */
	char *name;            /* of a state, else NULL */
	uint64_t hash;         /* of that name */
	bool dead;             /* a newer value has taken its place */
};

struct channel {
	int fd;
	bool welcomed;
	bool deaf; /* the peer takes nothing more; what it sent is still read */
	unsigned losses;

	char *path, *token, *store;
	uint64_t worker, incarnation;
	unsigned window;
	uint64_t run, attempt;

	struct lw_frames in;
	struct lw_buf out;
	size_t out_at;

	bool says_ready; /* whether it is `ready` is told: once it was said */
	bool ready;
	bool ready_due; /* to be told */

	uint64_t sequence;   /* last one used */
	uint64_t sent_again; /* up to here a report may have been answered before */
	struct lw_buf kept;
	uint64_t kept_from; /* what kept.data[0] counts as */
	size_t dead_bytes;
	struct report *reports;
	size_t first, unsent, end, room;

	int64_t away_since; /* when the connection was lost, or the first dial */
	int64_t dial_at;
};

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t wake_fd = -1;

int64_t channel_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void unblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void channel_interrupt(void)
{
	int saved = errno;

	interrupted = 1;
	if (wake_fd >= 0)
		unblock(wake_fd);
	errno = saved;
}

/* ---- what is kept ------------------------------------------------------------------ */

static uint64_t hash_name(struct lw_slice name)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < name.size; i++)
		hash = (hash ^ name.data[i]) * 1099511628211u;
	return hash;
}

static void reports_grow(struct channel *channel)
{
	size_t live = channel->end - channel->first;

	if (channel->end < channel->room)
		return;
	if (live > channel->room / 2) {
		channel->room = channel->room * 2;
		channel->reports =
			lw_realloc(channel->reports, channel->room * sizeof(struct report));
	} else if (channel->room == 0) {
		channel->room = 64;
		channel->reports = lw_alloc(channel->room * sizeof(struct report));
	}
	if (channel->first > 0) {
		memmove(channel->reports, channel->reports + channel->first,
			live * sizeof(struct report));
		channel->unsent -= channel->first;
		channel->first = 0;
		channel->end = live;
	}
}

/* Closes the gaps that merged state left behind. */
static void kept_compact(struct channel *channel)
{
	size_t to = channel->first, unsent = channel->unsent, size = 0;

	for (size_t i = channel->first; i < channel->end; i++) {
		struct report *report = &channel->reports[i];

		if (i == unsent)
			channel->unsent = to;
		if (report->dead)
			continue;
		memmove(channel->kept.data + size,
			channel->kept.data + (report->at - channel->kept_from), report->size);
		report->at = channel->kept_from + size;
		size += report->size;
		channel->reports[to++] = *report;
	}
	if (unsent == channel->end)
		channel->unsent = to;
	channel->end = to;
	channel->kept.size = size;
	channel->dead_bytes = 0;
}

static void report_done(struct report *report)
{
	lw_free(report->name);
	report->name = NULL;
}

static void kept_empty(struct channel *channel)
{
	channel->kept_from += channel->kept.size;
	channel->first = channel->unsent = channel->end = 0;
	channel->dead_bytes = 0;
	lw_buf_shrink(&channel->kept, KEEP_ROOM);
}

static void acknowledge(struct channel *channel, uint64_t sequence)
{
	size_t passed;

	while (channel->first < channel->end) {
		struct report *report = &channel->reports[channel->first];

		if (report->sequence > sequence)
			break;
		if (report->dead)
			channel->dead_bytes -= report->size;
		report_done(report);
		channel->first++;
	}
	if (channel->unsent < channel->first)
		channel->unsent = channel->first;
	if (channel->first == channel->end) {
		kept_empty(channel);
		return;
	}
	passed = (size_t)(channel->reports[channel->first].at - channel->kept_from);
	if (passed > KEEP_ROOM && passed > channel->kept.size / 2) {
		lw_buf_cut(&channel->kept, passed);
		channel->kept_from += passed;
	}
}

/* An unacknowledged value of the same name gives way, back to the last result. */
static void merge(struct channel *channel, struct lw_slice name, uint64_t hash)
{
	for (size_t i = channel->end; i-- > channel->first;) {
		struct report *old = &channel->reports[i];

		if (old->dead)
			continue;
		if (old->name == NULL)
			return;
		if (old->hash != hash || strlen(old->name) != name.size ||
		    memcmp(old->name, name.data, name.size) != 0)
			continue;
		old->dead = true;
		channel->dead_bytes += old->size;
		report_done(old);
		return;
	}
}

static void keep(struct channel *channel, const struct lw_msg *msg, struct report report)
{
	if (channel->dead_bytes > KEEP_ROOM && channel->dead_bytes > channel->kept.size / 2)
		kept_compact(channel);
	reports_grow(channel);
	report.sequence = channel->sequence;
	report.at = channel->kept_from + channel->kept.size;
	lw_msg_encode(&channel->kept, msg);
	report.size = (size_t)(channel->kept_from + channel->kept.size - report.at);
	channel->reports[channel->end++] = report;
}

static void keep_state(struct channel *channel, struct lw_msg *msg)
{
	struct lw_slice name = msg->state.name;
	struct report report = { .hash = hash_name(name) };

	merge(channel, name, report.hash);
	report.name = lw_strndup(name.data, name.size);
	msg->state.sequence = ++channel->sequence;
	keep(channel, msg, report);
}

static void keep_result(struct channel *channel, struct lw_msg *msg)
{
	msg->result.sequence = ++channel->sequence;
	keep(channel, msg,
	     (struct report){ .run = msg->result.run, .attempt = msg->result.attempt });
}

void channel_report(struct channel *channel, struct lw_msg *msg)
{
	if (msg->id == LW_MSG_STATE)
		keep_state(channel, msg);
	else if (msg->id == LW_MSG_RESULT)
		keep_result(channel, msg);
	else if (channel->welcomed &&
		 (msg->id != LW_MSG_PROGRESS || channel->out.size - channel->out_at < SEND_SIZE))
		lw_msg_encode(&channel->out, msg); /* progress alone may be left out */
}

/* ---- the connection ------------------------------------------------------------------ */

static void pause_dialling(struct channel *channel)
{
	int64_t now = channel_now(), away, pause;

	if (channel->away_since == 0)
		channel->away_since = now;
	away = now - channel->away_since;
	pause = away >= LONG_AWAY_MS ? PAUSE_LONG_MS : away / PAUSE_SHARE;
	if (pause < PAUSE_FIRST_MS)
		pause = PAUSE_FIRST_MS;
	else if (pause > PAUSE_LONGEST_MS && away < LONG_AWAY_MS)
		pause = PAUSE_LONGEST_MS;
	channel->dial_at = now + pause;
}

static void hang_up(struct channel *channel)
{
	if (channel->fd < 0)
		return;
	wake_fd = -1;
	lw_close(channel->fd);
	channel->fd = -1;
	channel->welcomed = channel->deaf = false;
	channel->losses++;
	channel->in.in.size = channel->in.at = 0;
	channel->out.size = channel->out_at = 0;
	channel->unsent = channel->first;
	channel->sent_again = channel->sequence;
	pause_dialling(channel);
}

/* A path that sun_path cannot hold is reached through its folder's descriptor. */
static int address(const char *path, struct sockaddr_un *ret_address, int *ret_folder)
{
	const char *name = strrchr(path, '/');
	size_t room = sizeof ret_address->sun_path;
	int length;

	ret_address->sun_family = AF_UNIX;
	if (strlen(path) < room) {
		memcpy(ret_address->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (name != NULL) {
		LW_AUTO(lw_free) char *folder = lw_strndup(path, (size_t)(name - path) + 1);

		*ret_folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (*ret_folder < 0)
		return -errno;
	length =
		snprintf(ret_address->sun_path, room, "/proc/self/fd/%d/%s", *ret_folder, name + 1);
	return length < 0 || (size_t)length >= room ? -ENAMETOOLONG : 0;
}

static int dial_socket(const char *path)
{
	struct sockaddr_un to = { 0 };
	LW_AUTO(lw_close) int folder = -1;
	LW_AUTO(lw_close) int fd = -1;
	int taken, r = address(path, &to, &folder);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return -errno;
	taken = fd;
	fd = -1;
	return taken;
}

static struct lw_slice text(const char *string)
{
	return (struct lw_slice){ (const uint8_t *)string, strlen(string) };
}

static void tell_ready(struct channel *channel)
{
	struct lw_msg msg = { .id = LW_MSG_READY, .ready = { .ready = channel->ready } };

	if (!channel->ready_due)
		return;
	channel->ready_due = false;
	lw_msg_encode(&channel->out, &msg);
}

void channel_ready(struct channel *channel, bool ready)
{
	channel->ready_due = !channel->says_ready || channel->ready != ready || channel->ready_due;
	channel->says_ready = true;
	channel->ready = ready;
}

static void say_hello(struct channel *channel)
{
	struct lw_msg msg = { .id = LW_MSG_HELLO,
			      .hello = { .version = LW_PROTO_VERSION,
					 .token = text(channel->token),
					 .store = text(channel->store),
					 .worker = channel->worker,
					 .incarnation = channel->incarnation,
					 .pid = (uint64_t)getpid(),
					 .window = channel->window,
					 .run = channel->run,
					 .attempt = channel->attempt,
					 .sequence = channel->sequence } };

	lw_msg_encode(&channel->out, &msg);
	channel->ready_due = channel->says_ready;
	tell_ready(channel);
}

/* Makes the socket blocking unless the handler was here already; it may come between the
 * two lines as well, hence the second look. */
static void let_it_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	wake_fd = fd;
	if (flags >= 0 && !interrupted)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	if (interrupted)
		unblock(fd);
}

static void dial(struct channel *channel)
{
	int fd;

	if (channel_now() < channel->dial_at)
		return;
	fd = dial_socket(channel->path);
	if (fd < 0) {
		pause_dialling(channel);
		return;
	}
	channel->fd = fd;
	let_it_block(fd);
	say_hello(channel);
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Moves the next piece of what is unsent into the empty `out`. Whether we are ready goes first: a
 * command is not when its result is there. */
static void take_unsent(struct channel *channel)
{
	tell_ready(channel);
	while (channel->unsent < channel->end && channel->out.size < SEND_SIZE) {
		const struct report *report = &channel->reports[channel->unsent++];

		if (!report->dead)
			lw_buf_add(&channel->out,
				   channel->kept.data + (report->at - channel->kept_from),
				   report->size);
	}
}

/* True when all of `out` has left. */
static bool send_out(struct channel *channel)
{
	while (channel->out_at < channel->out.size) {
		ssize_t n = send(channel->fd, channel->out.data + channel->out_at,
				 channel->out.size - channel->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
			channel->deaf = true;
			(void)shutdown(channel->fd, SHUT_WR); /* if it is not: hang up, too */
		}
		if (n < 0)
			return false;
		channel->out_at += (size_t)n;
	}
	channel->out_at = 0;
	if (channel->out.room > SEND_SIZE)
		lw_buf_shrink(&channel->out, KEEP_ROOM);
	channel->out.size = 0;
	return true;
}

static bool has_unsent(const struct channel *channel)
{
	return channel->welcomed && (channel->unsent < channel->end || channel->ready_due);
}

/* What was appended to `out` by itself (WITHDRAWN, PROGRESS) precedes what is unsent. */
void channel_flush(struct channel *channel)
{
	if (channel->fd < 0 || channel->deaf)
		return;
	do {
		if (channel->welcomed && channel->out_at == 0)
			take_unsent(channel);
	} while (send_out(channel) && has_unsent(channel));
}

/* ---- reading ------------------------------------------------------------------------------ */

static int fill(struct channel *channel, int flags)
{
	struct lw_buf *in = &channel->in.in;
	ssize_t n;

	if (channel->in.at == in->size && in->room > 4 * READ_SIZE)
		lw_buf_shrink(in, READ_SIZE);
	lw_buf_cut(in, channel->in.at < in->size ? channel->in.at : in->size);
	channel->in.at = 0;
	lw_buf_grow(in, READ_SIZE);
	n = recv(channel->fd, in->data + in->size, in->room - in->size, flags);
	if (n > 0)
		in->size += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		hang_up(channel);
	return n > 0;
}

static int welcome(struct channel *channel, const struct lw_msg_welcome *msg)
{
	channel->welcomed = true;
	channel->away_since = 0;
	acknowledge(channel, msg->sequence);
	return 0;
}

/* True for a RUN that is in hand, or whose result is kept: sent twice over two connections. */
static bool known_run(const struct channel *channel, const struct lw_msg_run *msg)
{
	if (channel->run == msg->run && channel->attempt == msg->attempt)
		return true;
	for (size_t i = channel->first; i < channel->end; i++) {
		const struct report *report = &channel->reports[i];

		if (report->sequence > channel->sent_again)
			break;
		if (report->run == msg->run && report->attempt == msg->attempt)
			return true;
	}
	return false;
}

/* 1: for the caller; 0: done with; -EPERM: leave; -EPROTO: hang up. */
static int handle(struct channel *channel, const struct lw_msg *msg, struct lw_err *err)
{
	if (msg->id == LW_MSG_REFUSE)
		return lw_err_set(err, -EPERM, "the supervisor refused us: %.*s",
				  (int)msg->refuse.reason.size,
				  (const char *)msg->refuse.reason.data);
	if (channel->welcomed == (msg->id == LW_MSG_WELCOME))
		return -EPROTO;
	if (msg->id == LW_MSG_WELCOME)
		return welcome(channel, &msg->welcome);
	if (msg->id == LW_MSG_ACK)
		return acknowledge(channel, msg->ack.sequence), 0;
	return msg->id == LW_MSG_RUN ? !known_run(channel, &msg->run) : 1;
}

int channel_next(struct channel *channel, struct lw_msg *ret_msg, struct lw_err *err)
{
	while (channel->fd >= 0) {
		struct lw_slice body;
		int r = lw_frames_next(&channel->in, &body, err);

		if (r == 0)
			return 0;
		if (r > 0)
			r = lw_msg_decode(body, LW_BY_SUPERVISOR, ret_msg, err);
		if (r >= 0)
			r = handle(channel, ret_msg, err);
		if (r > 0 || r == -EPERM)
			return r;
		if (r < 0)
			hang_up(channel);
	}
	return 0;
}

/* ---- waiting ------------------------------------------------------------------------------- */

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

static bool wants_to_send(const struct channel *channel)
{
	return !channel->deaf && (channel->out_at < channel->out.size || has_unsent(channel));
}

short channel_events(const struct channel *channel)
{
	return wants_to_send(channel) ? POLLIN | POLLOUT : POLLIN;
}

int channel_timeout(const struct channel *channel)
{
	int64_t left;

	if (channel->fd >= 0)
		return -1;
	left = channel->dial_at - channel_now();
	return left < 0 ? 0 : (int)left;
}

unsigned channel_losses(const struct channel *channel)
{
	return channel->losses;
}

void channel_in_hand(struct channel *channel, uint64_t run, uint64_t attempt)
{
	channel->run = run;
	channel->attempt = attempt;
}

/* Waits for the socket or the next dial. SIGTERM is blocked but inside ppoll, so that it
 * cannot slip in between the look at `interrupted` and the wait. */
static void wait_for_it(struct channel *channel, int timeout_ms)
{
	int until_dial = channel_timeout(channel);
	struct pollfd fd = { .fd = channel->fd, .events = channel_events(channel) };
	struct timespec time;
	sigset_t term, old;

	if (until_dial >= 0 && (timeout_ms < 0 || until_dial < timeout_ms))
		timeout_ms = until_dial + 1;
	time = (struct timespec){ timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, &old);
	if (!interrupted || timeout_ms >= 0)
		ppoll(&fd, 1, timeout_ms < 0 ? NULL : &time, &old);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int channel_wait(struct channel *channel, int timeout_ms, struct lw_err *err)
{
	(void)err;
	if (channel->fd < 0)
		dial(channel);
	channel_flush(channel);
	if (channel->fd >= 0 && timeout_ms < 0 && !wants_to_send(channel))
		return fill(channel, 0);
	if (channel->fd >= 0 && timeout_ms == 0)
		return fill(channel, MSG_DONTWAIT);
	if (timeout_ms == 0 || (timeout_ms < 0 && interrupted))
		return 0;
	wait_for_it(channel, timeout_ms);
	if (channel->fd < 0)
		dial(channel);
	channel_flush(channel);
	return channel->fd >= 0 ? fill(channel, MSG_DONTWAIT) : 0;
}

static bool settled(const struct channel *channel)
{
	return channel->first == channel->end && channel->out_at == channel->out.size;
}

int channel_settle(struct channel *channel, int timeout_ms)
{
	int64_t until = channel_now() + timeout_ms;
	struct lw_msg msg;
	struct lw_err err;

	for (;;) {
		int64_t left = until - channel_now();
		int r;

		channel_flush(channel);
		do {
			r = channel_next(channel, &msg, &err);
			if (r < 0)
				return r;
		} while (r > 0);
		if (settled(channel))
			return 0;
		if (left <= 0)
			return -ETIMEDOUT;
		r = channel_wait(channel, (int)left, &err);
		if (r < 0)
			return r;
	}
}

/* As long as the supervisor lets us before it kills, less a tenth. */
static int64_t leave_ms(void)
{
	const char *stop_ms = getenv("LW_STOP_TIMEOUT_MS");
	int64_t most = stop_ms != NULL ? strtoll(stop_ms, NULL, 10) : STOP_MS;

	return most - most / 10;
}

int channel_leave(struct channel *channel)
{
	int64_t until = channel_now() + leave_ms();
	int r;

	do
		r = channel_settle(channel, SETTLE_MS);
	while (r == -ETIMEDOUT && !channel->welcomed && channel_now() < until);
	return r;
}

/* ---- making one ----------------------------------------------------------------------------- */

/* <store>/<worker>/<incarnation> */
static int parse_mark(struct channel *channel, const char *mark)
{
	const char *slash = strchr(mark, '/');
	char end;

	if (slash == NULL || slash == mark ||
	    sscanf(slash, "/%" SCNu64 "/%" SCNu64 "%c", &channel->worker, &channel->incarnation,
		   &end) != 2)
		return -EINVAL;
	channel->store = lw_strndup(mark, (size_t)(slash - mark));
	return strlen(channel->store) <= TOKEN_MAX ? 0 : -EINVAL;
}

int channel_new(unsigned window, struct channel **ret_channel, struct lw_err *err)
{
	const char *path = getenv("LW_SOCKET"), *token = getenv("LW_TOKEN");
	const char *mark = getenv("LW_WORKER");
	LW_AUTO(channel_free) struct channel *channel = NULL;

	if (path == NULL || token == NULL || mark == NULL)
		return lw_err_set(err, -EINVAL,
				  "this program is started by lw-supervisor: LW_SOCKET, LW_TOKEN "
				  "and LW_WORKER are not set");
	channel = LW_NEW(struct channel);
	channel->fd = -1;
	channel->window = window;
	channel->path = lw_strdup(path);
	channel->token = lw_strdup(token);
	lw_frames_init(&channel->in, LW_FRAME_MAX);
	if (strlen(token) > TOKEN_MAX)
		return lw_err_set(err, -EINVAL, "LW_TOKEN is longer than %d bytes", TOKEN_MAX);
	if (parse_mark(channel, mark) < 0)
		return lw_err_set(err, -EINVAL,
				  "LW_WORKER is '%s', not <store>/<worker>/<incarnation>", mark);
	*ret_channel = LW_TAKE(channel);
	return 0;
}

void channel_free(struct channel *channel)
{
	if (channel == NULL)
		return;
	hang_up(channel);
	for (size_t i = channel->first; i < channel->end; i++)
		report_done(&channel->reports[i]);
	lw_free(channel->reports);
	lw_free(channel->path);
	lw_free(channel->token);
	lw_free(channel->store);
	lw_frames_done(&channel->in);
	lw_buf_done(&channel->out);
	lw_buf_done(&channel->kept);
	lw_free(channel);
}
