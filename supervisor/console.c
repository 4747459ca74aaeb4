/* console.c - the bounded queue before a descriptor that must not hold us up. See console.h. */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lw_log.h"

#define PATIENCE_MS 500  /* for a reader that takes nothing */
#define FINISH_MS   5000 /* for one that takes little */
#define KEEP        65536

/* How a descriptor is written without waiting. */
enum way {
	WAY_DIRECT, /* a regular file, or a description of our own that does not block */
	WAY_SOCKET, /* send(2) can be told */
	WAY_CAREFUL /* a description we share: as much as poll(2) vouches for */
};

struct console {
	struct loop *loop;
	struct event *writable; /* pending while the reader is slow */
	struct loop_task flush;
	struct lw_buf queue;
	size_t at; /* written so far */
	size_t most;
	uint64_t dropped, untold;
	int fd;
	enum way way;
	bool own; /* the descriptor */
	bool waiting;
	bool gone;
	void (*before)(void *context); /* the next write; or NULL */
	void *before_context;
};

/* O_NONBLOCK belongs to the open file, which our parent shares: a pipe or terminal is opened
 * once more. A file is not: the place in it is shared too, and has to be. */
static void choose_way(struct console *console, int fd)
{
	struct stat stat_of;
	char path[32];

	console->fd = fd;
	console->way = WAY_CAREFUL;
	if (fstat(fd, &stat_of) < 0) {
		console->gone = true;
	} else if (S_ISREG(stat_of.st_mode)) {
		console->way = WAY_DIRECT;
	} else if (S_ISSOCK(stat_of.st_mode)) {
		console->way = WAY_SOCKET;
	} else if (S_ISFIFO(stat_of.st_mode) || S_ISCHR(stat_of.st_mode)) {
		int own;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (own < 0)
			return;
		console->fd = own;
		console->own = true;
		console->way = WAY_DIRECT;
	}
}

bool console_same_place(int fd, int other)
{
	struct stat one, two;

	return fstat(fd, &one) == 0 && fstat(other, &two) == 0 && one.st_dev == two.st_dev &&
	       one.st_ino == two.st_ino;
}

bool console_is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat place;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(fd, &place) == 0 && place.st_dev == device && place.st_ino == inode;
}

uint64_t console_dropped(const struct console *console)
{
	return console->dropped;
}

/* ---- the queue ------------------------------------------------------------------------ */

static size_t queued(const struct console *console)
{
	return console->queue.size - console->at;
}

/* What is written already makes room only when that is cheap. */
static void compact(struct console *console)
{
	if (queued(console) == 0) {
		console->at = 0;
		lw_buf_shrink(&console->queue, KEEP);
	} else if (console->at > console->queue.size / 2) {
		lw_buf_cut(&console->queue, console->at);
		console->at = 0;
	}
}

static void drop(struct console *console, uint64_t lines)
{
	console->dropped += lines;
	console->untold += lines;
}

static void tell_dropped(struct console *console)
{
	if (console->untold == 0 || queued(console) > console->most / 2)
		return;
	lw_buf_printf(&console->queue, "[lw: %llu line%s dropped]\n",
		      (unsigned long long)console->untold, console->untold == 1 ? "" : "s");
	console->untold = 0;
}

static void give_up(struct console *console)
{
	console->gone = true;
	lw_buf_done(&console->queue);
	console->at = 0;
}

/* Nothing can be written for now, and no event would tell when: a full disk. */
static void drop_queue(struct console *console)
{
	uint64_t lines = 0;

	for (size_t i = console->at; i < console->queue.size; i++)
		lines += console->queue.data[i] == '\n';
	drop(console, lines);
	console->at = console->queue.size;
}

/* ---- writing ---------------------------------------------------------------------------- */

static ssize_t write_some(struct console *console)
{
	const uint8_t *bytes = console->queue.data + console->at;
	struct pollfd room = { .fd = console->fd, .events = POLLOUT };
	size_t size = queued(console);

	if (console->way != WAY_SOCKET && console->way != WAY_DIRECT && poll(&room, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (console->before != NULL)
		console->before(console->before_context);
	console->before = NULL;
	if (console->way == WAY_SOCKET)
		return send(console->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (console->way == WAY_DIRECT)
		return write(console->fd, bytes, size);
	return write(console->fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
}

/* 0 when all is written, -EAGAIN when the reader has to take something first. */
static int write_queue(struct console *console)
{
	while (queued(console) > 0) {
		ssize_t done = write_some(console);

		if (done >= 0) {
			console->at += (size_t)done;
		} else if (errno == EAGAIN) {
			compact(console);
			return -EAGAIN;
		} else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
			drop_queue(console);
			break;
		} else if (errno != EINTR) {
			give_up(console); /* and there is nobody left to be told */
			return 0;
		}
	}
	compact(console);
	return 0;
}

/* With the line that tells of dropped ones, for which writing may just have made room. */
static int write_all(struct console *console)
{
	tell_dropped(console);
	if (write_queue(console) < 0)
		return -EAGAIN;
	tell_dropped(console);
	return write_queue(console);
}

static void flush(struct console *console)
{
	bool slow = !console->gone && write_all(console) < 0;

	if (slow && event_add(console->writable, NULL) < 0)
		give_up(console);
	console->waiting = slow && !console->gone;
}

static void on_flush(struct loop_task *task)
{
	struct console *console = LW_OWNER(task, struct console, flush);

	if (!console->waiting)
		flush(console);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	flush(context); /* the event was for once */
}

void console_line(struct console *console, struct lw_slice head, struct lw_slice text)
{
	size_t size = head.size + text.size + 1;

	if (console->gone)
		return;
	tell_dropped(console);
	/* Once something was dropped the rest waits for the line that says so. */
	if (console->untold > 0 || queued(console) + size > console->most) {
		drop(console, 1);
		return;
	}
	lw_buf_add(&console->queue, head.data, head.size);
	lw_buf_add(&console->queue, text.data, text.size);
	lw_buf_add(&console->queue, "\n", 1);
	if (!console->waiting)
		loop_post(console->loop, LOOP_END, &console->flush);
}

void console_push(struct console *console, void (*before)(void *context), void *context)
{
	if (console->waiting || console->gone)
		return;
	console->before = before;
	console->before_context = context;
	flush(console);
	console->before = NULL;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void console_finish(struct console *console)
{
	int64_t last = now_ms() + FINISH_MS;
	struct pollfd room = { .fd = console->fd, .events = POLLOUT };

	while (!console->gone && write_all(console) < 0 && now_ms() < last)
		if (poll(&room, 1, PATIENCE_MS) <= 0)
			return;
}

struct console *console_new(struct loop *loop, int fd, size_t queue_max)
{
	struct console *console = LW_NEW(struct console);

	console->loop = loop;
	console->most = queue_max;
	console->flush.run = on_flush;
	choose_way(console, fd);
	console->writable = event_new(loop_base(loop), console->fd, EV_WRITE, on_writable, console);
	if (console->writable == NULL && !console->gone)
		lw_fatal("out of memory");
	return console;
}

void console_free(struct console *console)
{
	int saved = errno;

	if (console == NULL)
		return;
	loop_cancel(console->loop, &console->flush);
	if (console->writable != NULL)
		event_free(console->writable);
	if (console->own)
		lw_close(console->fd);
	lw_buf_done(&console->queue);
	lw_free(console);
	errno = saved;
}
