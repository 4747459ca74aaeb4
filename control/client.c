/* client.c - one HTTP/1.1 request over the control socket, by hand.
 *
 * Called by command.c. The server is our own; still, what comes back is bounded and checked.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lw_statedir.h"
#include "lwctl.h"

#define ANSWER_MAX ((size_t)1 << 30)
#define READ_SIZE  ((size_t)256 << 10)

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

void client_catch_interrupt(void)
{
	const struct sigaction action = { .sa_handler = on_interrupt };

	interrupted = 0;
	(void)sigaction(SIGINT, &action, NULL);
}

char *client_encode(const char *text)
{
	LW_AUTO_BUF out = { 0 };

	for (const char *at = text; *at != '\0'; at++) {
		bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
			     (*at >= '0' && *at <= '9') || strchr("-_.~", *at) != NULL;

		if (plain)
			lw_buf_add(&out, at, 1);
		else
			lw_buf_printf(&out, "%%%02X", (unsigned)(unsigned char)*at);
	}
	return lw_strdup(lw_buf_text(&out));
}

int client_find(const struct options *options, char **ret_socket, struct lw_err *err)
{
	const char *control = getenv("LW_CONTROL");
	const char *conf = options->conf != NULL ? options->conf : "app.conf";
	LW_AUTO(lw_free) char *dir = NULL;
	int r;

	if (options->socket != NULL) {
		*ret_socket = lw_strdup(options->socket);
		return 0;
	}
	if (options->conf == NULL && options->state_dir == NULL && control != NULL &&
	    control[0] != '\0') {
		*ret_socket = lw_strdup(control);
		return 0;
	}
	r = lw_statedir_find(conf, options->state_dir, &dir, err);
	if (r < 0)
		return r;
	*ret_socket = lw_format("%s/%s", dir, LW_CONTROL_SOCKET);
	return 0;
}

/* ---- the answer ----------------------------------------------------------------------------- */

/* The head's end, or 0. */
static size_t find_body(struct lw_slice in)
{
	const uint8_t *end = in.size > 0 ? memmem(in.data, in.size, "\r\n\r\n", 4) : NULL;

	return end != NULL ? (size_t)(end - in.data) + 4 : 0;
}

/* The value of a header in a head that ends in NUL, or NULL. */
static const char *header(const char *head, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
		if (strncasecmp(line + 1, name, size) != 0 || line[1 + size] != ':')
			continue;
		line += 2 + size;
		return line + strspn(line, " \t");
	}
	return NULL;
}

/* 1: whole, 0: not yet. */
static int take_chunks(struct lw_slice in, size_t at, struct lw_buf *body, struct lw_err *err)
{
	for (;;) {
		const uint8_t *line = memchr(in.data + at, '\n', in.size - at);
		char text[20] = { 0 };
		unsigned long size;
		size_t next;
		char *end;

		if (line == NULL)
			return 0;
		next = (size_t)(line - in.data) + 1;
		memcpy(text, in.data + at, next - at < 19 ? next - at : 19);
		size = strtoul(text, &end, 16);
		if (end == text || size > ANSWER_MAX)
			return lw_err_set(err, -EBADMSG, "the answer is no HTTP");
		if (in.size - next < size + 2)
			return 0;
		lw_buf_add(body, in.data + next, size);
		at = next + size + 2;
		if (size == 0)
			return 1;
	}
}

static int take_body(struct lw_slice in, size_t at, const char *head, bool end, struct reply *reply,
		     struct lw_err *err)
{
	const char *length = header(head, "Content-Length");
	const char *coding = header(head, "Transfer-Encoding");
	size_t size = in.size - at;

	if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0)
		return take_chunks(in, at, &reply->body, err);
	if (length != NULL) {
		size_t whole = strtoul(length, NULL, 10);

		if (whole > ANSWER_MAX)
			return lw_err_set(err, -EBADMSG, "the answer is too large");
		if (size < whole)
			return 0;
		size = whole;
	} else if (!end) {
		return 0;
	}
	lw_buf_add(&reply->body, in.data + at, size);
	return 1;
}

static int parse_from(struct lw_slice in, bool end, struct reply *reply, struct lw_err *err)
{
	for (size_t at; (at = find_body(in)) > 0;) {
		LW_AUTO(lw_free) char *head = lw_strndup(in.data, at);

		if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12)
			return lw_err_set(err, -EBADMSG, "the answer is no HTTP");
		reply->status = atoi(head + 9);
		if (reply->status < 100 || reply->status > 599)
			return lw_err_set(err, -EBADMSG, "the answer is no HTTP");
		if (reply->status != 100)
			return take_body(in, at, head, end, reply, err);
		in = (struct lw_slice){ in.data + at, in.size - at };
	}
	return 0;
}

int client_parse(struct lw_slice in, bool end, struct reply *ret_reply, struct lw_err *err)
{
	struct reply reply = { 0 };
	int r = parse_from(in, end, &reply, err);

	if (r <= 0) {
		lw_buf_done(&reply.body);
		return r;
	}
	(void)lw_buf_text(&reply.body);
	*ret_reply = reply;
	return r;
}

/* ---- the request ------------------------------------------------------------------------------ */

static double now(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

/* Nobody reads what we print: as to whoever writes to such a pipe. */
static void end_unread(void)
{
	(void)signal(SIGPIPE, SIG_DFL);
	(void)raise(SIGPIPE);
}

/* Until something is there or `until`, the earlier of deadline and tick; 0: never. `output`, or -1: it
 * ends us when nobody reads that any more. */
static int await_or_end(int fd, int output, double until, struct lw_err *err)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = output } };
	struct timespec left = { 0 };
	double seconds = until - now();
	sigset_t block, before;
	int r;

	if (seconds < 0)
		seconds = 0;
	left.tv_sec = (time_t)seconds;
	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	/* ppoll lets the signal in, so that it cannot come between the look and the wait. */
	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &block, &before);
	r = interrupted ? -1 : ppoll(fds, LW_COUNT(fds), until > 0 ? &left : NULL, &before);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (interrupted)
		return lw_err_set(err, -EINTR, "interrupted");
	if (r < 0 && errno != EINTR)
		return lw_err_sys(err, -errno, "cannot wait for the answer");
	if (r > 0 && (fds[1].revents & POLLERR) != 0)
		end_unread();
	return 0;
}

static int await(int fd, double until, struct lw_err *err)
{
	return await_or_end(fd, -1, until, err);
}

int client_pause(double seconds)
{
	double until = now() + seconds;

	do
		if (await(-1, until, NULL) == -EINTR)
			return -EINTR;
	while (now() < until);
	return 0;
}

/* One wait of receive(): for bytes, the deadline, or the next tick. */
static int await_bytes(int fd, double until, const struct ticker *ticker, double *next_tick,
		       struct lw_err *err)
{
	bool ticks = ticker != NULL && (until <= 0 || *next_tick < until);

	if (until > 0 && now() >= until)
		return lw_err_set(err, -ETIMEDOUT, "no answer within the time given");
	if (!ticks)
		return await(fd, until, err);
	if (now() >= *next_tick) {
		ticker->tick(ticker->context);
		*next_tick = now() + ticker->every;
	}
	return await(fd, *next_tick, err);
}

/* A server that turns us away answers without reading: a failed send is no end. */
static void send_all(int fd, const struct lw_buf *out)
{
	size_t at = 0;

	while (at < out->size) {
		ssize_t n = send(fd, out->data + at, out->size - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n < 0)
			return;
		at += (size_t)n;
	}
}

static int receive(int fd, double until, const struct ticker *ticker, struct reply *ret_reply,
		   struct lw_err *err)
{
	double next_tick = ticker != NULL ? now() + ticker->every : 0;
	LW_AUTO_BUF in = { 0 };

	for (;;) {
		ssize_t n;
		int r;

		if (in.size > ANSWER_MAX)
			return lw_err_set(err, -EBADMSG, "the answer is too large");
		lw_buf_grow(&in, READ_SIZE);
		n = recv(fd, in.data + in.size, in.room - in.size, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			r = await_bytes(fd, until, ticker, &next_tick, err);
			if (r < 0)
				return r;
			continue;
		}
		if (n > 0)
			in.size += (size_t)n;
		r = client_parse(lw_buf_slice(&in), n <= 0, ret_reply, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (n <= 0)
			return lw_err_set(err, -EPIPE,
					  "the supervisor went away without an answer");
	}
}

static int ask(const char *socket, const char *method, const char *path, const char *body,
	       struct lw_err *err)
{
	int fd = lw_socket_dial(socket, err);
	LW_AUTO_BUF out = { 0 };

	if (fd < 0)
		return fd;
	lw_buf_printf(&out, "%s %s HTTP/1.1\r\nHost: lw\r\nConnection: close\r\n", method, path);
	if (body != NULL)
		lw_buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			      strlen(body));
	lw_buf_add(&out, "\r\n", 2);
	if (body != NULL)
		lw_buf_add(&out, body, strlen(body));
	send_all(fd, &out);
	return fd;
}

int client_ask(const char *socket, const char *method, const char *path, const char *body,
	       double timeout, const struct ticker *ticker, struct reply *ret_reply,
	       struct lw_err *err)
{
	LW_AUTO(lw_close) int fd = ask(socket, method, path, body, err);

	if (fd < 0)
		return fd;
	return receive(fd, timeout > 0 ? now() + timeout : 0, ticker, ret_reply, err);
}

/* ---- an answer that does not end ---------------------------------------------------------------- */

/* What came and was not handed out yet. */
struct stream {
	struct lw_buf in;
	size_t chunk; /* bytes of the chunk in hand that are still to come, */
	bool has_end; /* and behind them its line end */
	bool begun;   /* the head was read: 200, in chunks */
};

/* 1: the head is one of a stream and taken away; 0: it is not whole; or it is that of an answer in
 * one piece. */
static int begin_stream(struct stream *stream)
{
	size_t at = find_body(lw_buf_slice(&stream->in));
	LW_AUTO(lw_free) char *head = at > 0 ? lw_strndup(stream->in.data, at) : NULL;
	const char *coding = at > 0 ? header(head, "Transfer-Encoding") : NULL;

	if (coding == NULL || strncasecmp(coding, "chunked", 7) != 0 ||
	    strncmp(head, "HTTP/1.", 7) != 0 || atoi(head + 9) != 200)
		return 0;
	lw_buf_cut(&stream->in, at);
	stream->begun = true;
	return 1;
}

/* The line before a chunk. 1: read, 0: not whole. */
static int begin_chunk(struct stream *stream, size_t *at, struct lw_err *err)
{
	struct lw_slice in = lw_buf_slice(&stream->in);
	size_t start = *at + (stream->has_end ? 2 : 0);
	const uint8_t *line =
		start < in.size ? memchr(in.data + start, '\n', in.size - start) : NULL;
	char text[20] = { 0 }, *end;

	if (line == NULL)
		return 0;
	memcpy(text, in.data + start,
	       (size_t)(line - in.data) - start < 19 ? (size_t)(line - in.data) - start : 19);
	stream->chunk = strtoul(text, &end, 16);
	if (end == text || stream->chunk > ANSWER_MAX)
		return lw_err_set(err, -EBADMSG, "the answer is no HTTP");
	stream->has_end = true;
	*at = (size_t)(line - in.data) + 1;
	return 1;
}

/* Hands out what is there of it. 1: that was the end, 0: more will come. */
static int hand_out(struct stream *stream, const struct client_sink *sink, struct lw_err *err)
{
	size_t at = 0, part;
	int r = 1;

	while (r > 0) {
		if (stream->chunk == 0) {
			r = begin_chunk(stream, &at, err);
			if (r > 0 && stream->chunk == 0)
				return 1;
			continue;
		}
		part = stream->in.size - at < stream->chunk ? stream->in.size - at : stream->chunk;
		if (part == 0)
			break;
		r = sink->take(sink->context, (struct lw_slice){ stream->in.data + at, part }, err);
		if (r < 0)
			return r;
		at += part;
		stream->chunk -= part;
		r = 1;
	}
	lw_buf_cut(&stream->in, at);
	return r < 0 ? r : 0;
}

static int take_stream(struct stream *stream, bool end, const struct client_sink *sink,
		       struct reply *ret_reply, struct lw_err *err)
{
	int r;

	if (!stream->begun && begin_stream(stream) == 0)
		return client_parse(lw_buf_slice(&stream->in), end, ret_reply, err);
	r = hand_out(stream, sink, err);
	if (r > 0)
		ret_reply->status = 200;
	return r;
}

static int receive_stream(int fd, struct stream *stream, const struct client_sink *sink,
			  struct reply *ret_reply, struct lw_err *err)
{
	for (;;) {
		struct lw_buf *in = &stream->in;
		ssize_t n;
		int r;

		if (in->size > ANSWER_MAX)
			return lw_err_set(err, -EBADMSG, "the answer is too large");
		lw_buf_grow(in, READ_SIZE);
		n = recv(fd, in->data + in->size, in->room - in->size, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			r = await_or_end(fd, STDOUT_FILENO, 0, err);
			if (r < 0)
				return r;
			continue;
		}
		if (n > 0)
			in->size += (size_t)n;
		r = take_stream(stream, n <= 0, sink, ret_reply, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (n <= 0)
			return lw_err_set(err, -EPIPE, "the supervisor went away");
	}
}

int client_stream(const char *socket, const char *path, const struct client_sink *sink,
		  struct reply *ret_reply, struct lw_err *err)
{
	LW_AUTO(lw_close) int fd = ask(socket, "GET", path, NULL, err);
	struct stream stream = { 0 };
	int r;

	if (fd < 0)
		return fd;
	r = receive_stream(fd, &stream, sink, ret_reply, err);
	lw_buf_done(&stream.in);
	return r;
}

/* ---- the end of the supervisor ---------------------------------------------------------------- */

int client_listener(const char *socket)
{
	LW_AUTO(lw_close) int fd = lw_socket_dial(socket, NULL);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

int client_await_end(int pidfd, double timeout, struct lw_err *err)
{
	double until = timeout > 0 ? now() + timeout : 0;
	struct pollfd over = { .fd = pidfd, .events = POLLIN };
	int r = 0;

	while (r == 0 && poll(&over, 1, 0) == 0) {
		if (until > 0 && now() >= until)
			return lw_err_set(err, -ETIMEDOUT,
					  "the supervisor has not ended within the time given");
		r = await(pidfd, until, err);
	}
	return r;
}
