/* logs.c - FIFOs of workers, their bytes cut into lines, lines to the console. See logs.h.
 *
 * A FIFO is looked into (tee) before it is emptied: what was read and not written yet would be lost
 * with us. Whole lines are taken out when the console has them; the beginning of a line stays where
 * it is until its end comes, so there is nothing of a worker that only we have. Right before they
 * are written it is noted in memory that outlives us (struct taking) that they are to be taken out, so
 * that the next supervisor does not say them once more.
 */
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "lw_buf.h"

#define QUEUE_MAX  (1u << 20)
#define READ_SIZE  65536  /* what a FIFO holds; lines that it cannot hold whole are cut */
#define READ_TURN  262144 /* of one stream in a turn: a flood slows only itself */
#define TAIL_BYTES 2048
#define TAIL_LINES 5
#define TAIL_ROOM  16384 /* how far it grows before it is cut */

enum { OUT, ERR, STREAMS };

/* In a file that is mapped: so many bytes of that FIFO are to be taken out, unseen. */
struct taking {
	uint64_t worker;
	uint64_t which;
	uint64_t size; /* 0: none */
};

struct logs {
	struct loop *loop;
	struct console *consoles[STREAMS]; /* one and the same when they lead to one place */
	char *folder;                      /* of the FIFOs */
	size_t width;                      /* longest name seen */
	bool prefix, colour;
	int peek[2]; /* a pipe that what a FIFO holds is doubled into */
	int nowhere; /* /dev/null, that it is emptied into */
	struct taking *taking;
	uint8_t bytes[READ_SIZE];
	char tail[TAIL_BYTES + 1]; /* as asked for last */
};

struct stream {
	struct output *output;
	int which;
	int reading, writing;
	struct event *readable;
	size_t left; /* bytes seen in it that are no line yet */
	char *path;
};

struct output {
	struct logs *logs;
	char *work;
	uint64_t worker;
	struct lw_buf head; /* the prefix, for `width` */
	size_t width;
	struct stream streams[STREAMS];
	struct lw_buf tail; /* the last lines of standard error */
	pid_t pid;
	uint64_t run;
};

/* ---- the prefix ------------------------------------------------------------------------- */

/* The same name has the same colour in every run. */
static unsigned colour_of(const char *name)
{
	static const unsigned colours[] = { 31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96 };
	unsigned hash = 5381;

	for (; *name != '\0'; name++)
		hash = hash * 33 + (unsigned char)*name;
	return colours[hash % LW_COUNT(colours)];
}

static void write_head(const struct logs *logs, const char *name, struct lw_buf *head)
{
	int width = (int)logs->width;

	head->size = 0;
	if (logs->colour)
		lw_buf_printf(head, "\033[%um%-*s |\033[0m ", colour_of(name), width, name);
	else
		lw_buf_printf(head, "%-*s | ", width, name);
}

static void see_name(struct logs *logs, const char *name)
{
	size_t size = strlen(name);

	if (size > logs->width)
		logs->width = size;
}

static void print_lines(struct logs *logs, int which, const char *who, struct lw_slice text)
{
	LW_AUTO_BUF head = { 0 };

	if (logs->prefix) {
		see_name(logs, who);
		write_head(logs, who, &head);
	}
	for (;;) {
		const uint8_t *end = text.size == 0 ? NULL : memchr(text.data, '\n', text.size);
		struct lw_slice line = { text.data,
					 end == NULL ? text.size : (size_t)(end - text.data) };

		console_line(logs->consoles[which], lw_buf_slice(&head), line);
		if (end == NULL)
			return;
		text.data += line.size + 1;
		text.size -= line.size + 1;
	}
}

void logs_print(struct logs *logs, const char *who, const char *line, size_t size)
{
	print_lines(logs, OUT, who, (struct lw_slice){ (const uint8_t *)line, size });
}

void logs_sink(void *context, enum lw_log_level level, const char *line)
{
	struct logs *logs = context;
	LW_AUTO_BUF text = { 0 };

	lw_buf_printf(&text, "%s%s: %s", logs->prefix ? "" : "lw: ", lw_log_level_name(level),
		      line);
	print_lines(logs, ERR, "lw", lw_buf_slice(&text));
}

/* ---- lines ------------------------------------------------------------------------------ */

static void tail_cut(struct lw_buf *lines, size_t most)
{
	if (lines->size > most)
		lw_buf_cut(lines, lines->size - most);
}

static void tail_add(struct lw_buf *tail, const uint8_t *line, size_t size)
{
	size_t skip = size > TAIL_BYTES ? size - TAIL_BYTES : 0;

	lw_buf_add(tail, line + skip, size - skip);
	lw_buf_add(tail, "\n", 1);
	if (tail->size > TAIL_ROOM)
		tail_cut(tail, TAIL_BYTES + 1);
}

static void put_line(struct stream *stream, const uint8_t *line, size_t size)
{
	struct output *output = stream->output;
	struct logs *logs = output->logs;

	if (logs->prefix && output->width != logs->width) {
		write_head(logs, output->work, &output->head);
		output->width = logs->width;
	}
	if (stream->which == ERR)
		tail_add(&output->tail, line, size);
	console_line(logs->consoles[stream->which], lw_buf_slice(&output->head),
		     (struct lw_slice){ line, size });
}

/* Whole lines, and what may stand behind the last of them. */
static void feed(struct stream *stream, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const uint8_t *end = memchr(bytes, '\n', size);
		size_t part = end == NULL ? size : (size_t)(end - bytes);

		put_line(stream, bytes, part);
		part += end != NULL;
		bytes += part;
		size -= part;
	}
}

/* ---- reading ------------------------------------------------------------------------------ */

static void stop_reading(struct stream *stream, int code)
{
	lw_log(LW_LOG_ERROR, "work=%s output=%s error=\"%s\"", stream->output->work, stream->path,
	       strerror(-code));
	if (event_del(stream->readable) < 0)
		lw_fatal("cannot stop reading '%s'", stream->path);
}

/* What is in it, into logs->bytes; it stays there. 0 when there is nothing. */
static size_t look(struct stream *stream)
{
	struct logs *logs = stream->output->logs;
	size_t size = 0;
	ssize_t n;

	do
		n = tee(stream->reading, logs->peek[1], sizeof(logs->bytes), SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		stop_reading(stream, -errno);
	while (n > 0 && size < (size_t)n) {
		ssize_t got = read(logs->peek[0], logs->bytes + size, (size_t)n - size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			lw_fatal("what was doubled cannot be read: %s", strerror(errno));
		size += (size_t)got;
	}
	return size;
}

/* Takes out what was looked at. */
static void empty(struct stream *stream, size_t size)
{
	int nowhere = stream->output->logs->nowhere;

	while (size > 0) {
		ssize_t n = splice(stream->reading, NULL, nowhere, NULL, size, SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			stop_reading(stream, n < 0 ? -errno : -EPIPE);
			return;
		}
		size -= (size_t)n;
	}
}

struct taken {
	struct stream *stream;
	size_t size;
};

/* They are being said. */
static void note_taking(void *context)
{
	const struct taken *taken = context;
	struct taking *taking = taken->stream->output->logs->taking;

	taking->worker = taken->stream->output->worker;
	taking->which = (uint64_t)taken->stream->which;
	__atomic_store_n(&taking->size, taken->size, __ATOMIC_RELEASE);
}

/* Says what was fed to the console, and takes it out. */
static void say(struct stream *stream, size_t size)
{
	struct logs *logs = stream->output->logs;
	struct taken taken = { stream, size };

	console_push(logs->consoles[stream->which], note_taking, &taken);
	empty(stream, size);
	__atomic_store_n(&logs->taking->size, 0, __ATOMIC_RELEASE);
}

/* An earlier supervisor was killed in there. */
static void finish_taking(struct stream *stream)
{
	struct taking *taking = stream->output->logs->taking;
	int there = 0;

	if (taking->size == 0 || taking->worker != stream->output->worker ||
	    taking->which != (uint64_t)stream->which)
		return;
	if (ioctl(stream->reading, FIONREAD, &there) == 0 && there > 0)
		empty(stream, (uint64_t)there < taking->size ? (size_t)there : taking->size);
	taking->size = 0;
}

/* A FIFO that takes no more will not get the end of its line. */
static bool is_full(const struct stream *stream)
{
	struct pollfd fd = { .fd = stream->writing, .events = POLLOUT };

	return poll(&fd, 1, 0) == 0;
}

/* How much of it is whole lines. */
static size_t lines_of(const uint8_t *bytes, size_t size)
{
	const uint8_t *end = size > 0 ? memrchr(bytes, '\n', size) : NULL;

	return end != NULL ? (size_t)(end - bytes) + 1 : 0;
}

/* How much of what is in it is to be taken out now, and how much there is. */
static size_t look_for_lines(struct stream *stream, bool last, size_t *ret_there)
{
	const uint8_t *bytes = stream->output->logs->bytes;
	size_t there = look(stream), size = last ? there : lines_of(bytes, there);

	if (size == 0 && there > 0 && is_full(stream)) {
		there = look(stream); /* it was being filled when we looked first */
		size = lines_of(bytes, there);
		size = size > 0 ? size : there;
	}
	*ret_there = there;
	return size;
}

/* Up to `most` bytes; returns false when no whole line is left. */
static bool read_up_to(struct stream *stream, size_t most, bool last)
{
	struct logs *logs = stream->output->logs;

	while (most > 0) {
		size_t there, size = look_for_lines(stream, last, &there);

		stream->left = there - size;
		if (size == 0)
			return false;
		feed(stream, logs->bytes, size);
		say(stream, size);
		most -= size < most ? size : most;
	}
	return true;
}

/* Told once for what was written: what is left this time has to be asked for. */
static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;

	(void)fd;
	(void)what;
	if (read_up_to(stream, READ_TURN, false))
		event_active(stream->readable, EV_READ, 0);
}

/* What is there now and no more: somebody may go on writing for ever. */
static void drain(struct stream *stream, bool last)
{
	int there = 0;

	if (stream->reading < 0)
		return;
	if (ioctl(stream->reading, FIONREAD, &there) < 0)
		stop_reading(stream, -errno);
	if (there > 0)
		(void)read_up_to(stream, (size_t)there, last);
}

/* One question for both streams: before most reports nothing was printed. */
static bool has_output(const struct output *output)
{
	struct pollfd fds[STREAMS];

	for (size_t i = 0; i < STREAMS; i++)
		fds[i] = (struct pollfd){ .fd = output->streams[i].reading, .events = POLLIN };
	return poll(fds, STREAMS, 0) != 0;
}

void output_drain(struct output *output, bool last)
{
	if (output == NULL || (!last && !has_output(output)))
		return;
	for (size_t i = 0; i < STREAMS; i++)
		drain(&output->streams[i], last);
}

/* ---- one worker's output -------------------------------------------------------------------- */

/* A FIFO of that name is what an earlier supervisor left; its worker may live. */
static int make_fifo(const char *path, struct lw_err *err)
{
	struct stat stat_of;

	if (mkfifo(path, 0600) == 0)
		return 0;
	if (errno != EEXIST)
		return lw_err_sys(err, -errno, "cannot make '%s'", path);
	if (lstat(path, &stat_of) == 0 && S_ISFIFO(stat_of.st_mode))
		return 0;
	if (unlink(path) < 0 || mkfifo(path, 0600) < 0)
		return lw_err_sys(err, -errno, "cannot replace '%s'", path);
	return 0;
}

/* Two open files: ours does not block, the child's does, and is never without a reader. */
static int open_ends(struct stream *stream, struct lw_err *err)
{
	stream->reading = open(stream->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (stream->reading < 0)
		return lw_err_sys(err, -errno, "cannot open '%s'", stream->path);
	stream->writing = open(stream->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (stream->writing < 0)
		return lw_err_sys(err, -errno, "cannot open '%s'", stream->path);
	return 0;
}

static int stream_open(struct stream *stream, uint64_t worker, struct lw_err *err)
{
	static const char *const names[STREAMS] = { "out", "err" };
	struct logs *logs = stream->output->logs;
	int r;

	stream->path = lw_format("%s/%llu.%s", logs->folder, (unsigned long long)worker,
				 names[stream->which]);
	r = make_fifo(stream->path, err);
	if (r == 0)
		r = open_ends(stream, err);
	if (r < 0)
		return r;
	stream->readable = event_new(loop_base(logs->loop), stream->reading,
				     EV_READ | EV_PERSIST | EV_ET, on_readable, stream);
	if (stream->readable != NULL)
		finish_taking(stream);
	if (stream->readable == NULL || event_add(stream->readable, NULL) < 0)
		return lw_err_set(err, -ENOMEM, "cannot wait for '%s'", stream->path);
	return 0;
}

static void stream_close(struct stream *stream)
{
	if (stream->readable != NULL)
		event_free(stream->readable);
	lw_close(stream->reading);
	lw_close(stream->writing);
	lw_free(stream->path);
}

LW_AUTO_DEFINE(struct output *, output_close)

int output_open(struct logs *logs, const char *work, uint64_t worker, struct output **ret_output,
		struct lw_err *err)
{
	LW_AUTO(output_close) struct output *output = LW_NEW(struct output);

	output->logs = logs;
	output->work = lw_strdup(work);
	output->worker = worker;
	for (int i = 0; i < STREAMS; i++)
		output->streams[i] = (struct stream){
			.output = output, .which = i, .reading = -1, .writing = -1
		};
	for (int i = 0; i < STREAMS; i++) {
		int r = stream_open(&output->streams[i], worker, err);

		if (r < 0)
			return r;
	}
	see_name(logs, work);
	*ret_output = LW_TAKE(output);
	return 0;
}

void output_close(struct output *output)
{
	int saved = errno;

	if (output == NULL)
		return;
	output_drain(output, true);
	for (size_t i = 0; i < STREAMS; i++)
		stream_close(&output->streams[i]);
	lw_buf_done(&output->head);
	lw_buf_done(&output->tail);
	lw_free(output->work);
	lw_free(output);
	errno = saved;
}

/* All incarnations share the open file: one that made it nonblocking must not trouble the
 * next. */
void output_fds(const struct output *output, int ret_fds[2])
{
	for (size_t i = 0; i < STREAMS; i++) {
		ret_fds[i] = output->streams[i].writing;
		if (fcntl(ret_fds[i], F_SETFL, 0) < 0)
			lw_log(LW_LOG_WARNING, "work=%s output=%s error=\"%s\"", output->work,
			       output->streams[i].path, strerror(errno));
	}
}

void output_of(struct output *output, pid_t pid, uint64_t run)
{
	if (output == NULL)
		return;
	if (pid != output->pid)
		lw_buf_shrink(&output->tail, 0);
	for (size_t i = 0; run != output->run && i < STREAMS; i++)
		if (output->streams[i].left > 0) /* a run's last line may lack its end */
			drain(&output->streams[i], true);
	output->pid = pid;
	output->run = run;
}

/* Where the last TAIL_LINES lines begin, their last newline left out. */
static size_t tail_start(const struct lw_buf *lines)
{
	size_t at = lines->size - 1;

	for (int count = 0; at > 0; at--)
		if (lines->data[at - 1] == '\n' && ++count == TAIL_LINES)
			break;
	return at;
}

const char *output_tail(struct output *output)
{
	struct lw_buf *tail;
	char *text;
	size_t start, size;

	if (output == NULL || output->tail.size == 0)
		return "";
	tail = &output->tail;
	text = output->logs->tail;
	tail_cut(tail, TAIL_BYTES + 1);
	start = tail_start(tail);
	size = tail->size - 1 - start;
	/* It may begin within a character, and a message is text. */
	while (size > 0 && (tail->data[start] & 0xc0) == 0x80) {
		start++;
		size--;
	}
	for (size_t i = 0; i < size; i++) {
		char byte = (char)tail->data[start + i];

		text[i] = byte == '\0' ? '?' : byte;
	}
	text[size] = '\0';
	return text;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static int make_folder(const char *path, struct lw_err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return lw_err_sys(err, -errno, "cannot make folder '%s'", path);
	return 0;
}

static int map_taking(struct logs *logs, const char *folder, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/taking", folder);
	LW_AUTO(lw_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *place = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof(struct taking)) == 0)
		place = mmap(NULL, sizeof(struct taking), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			     0);
	if (place == MAP_FAILED)
		return lw_err_sys(err, -errno, "cannot map '%s'", path);
	logs->taking = place;
	return 0;
}

static int open_peek(struct logs *logs, struct lw_err *err)
{
	if (pipe2(logs->peek, O_CLOEXEC | O_NONBLOCK) < 0)
		return lw_err_sys(err, -errno, "cannot make a pipe");
	logs->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (logs->nowhere >= 0)
		return 0;
	lw_close(logs->peek[0]);
	lw_close(logs->peek[1]);
	return lw_err_sys(err, -errno, "cannot open '/dev/null'");
}

int logs_new(struct loop *loop, const struct logs_options *options, struct logs **ret_logs,
	     struct lw_err *err)
{
	size_t most = options->queue_max == 0 ? QUEUE_MAX : options->queue_max;
	LW_AUTO(lw_free) char *folder = lw_format("%s/fifo", options->state_dir);
	struct logs *logs;
	int r = make_folder(folder, err);

	if (r < 0)
		return r;
	/* A reader that went away is an error to read, not a reason to end; nor is a terminal
	 * that another job has. lw_spawn() gives children the defaults. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	logs = LW_NEW(struct logs);
	r = map_taking(logs, folder, err);
	if (r == 0)
		r = open_peek(logs, err);
	if (r < 0) {
		if (logs->taking != NULL)
			munmap(logs->taking, sizeof(struct taking));
		lw_free(logs);
		return r;
	}
	logs->loop = loop;
	logs->folder = LW_TAKE(folder);
	logs->prefix = options->prefix;
	logs->colour = options->colour;
	logs->consoles[OUT] = console_new(loop, STDOUT_FILENO, most);
	logs->consoles[ERR] = console_same_place(STDOUT_FILENO, STDERR_FILENO)
				      ? logs->consoles[OUT]
				      : console_new(loop, STDERR_FILENO, most);
	*ret_logs = logs;
	return 0;
}

void logs_free(struct logs *logs)
{
	int saved = errno;

	if (logs == NULL)
		return;
	for (size_t i = STREAMS; i-- > 0;) {
		if (i > 0 && logs->consoles[i] == logs->consoles[OUT])
			continue;
		console_finish(logs->consoles[i]);
		console_free(logs->consoles[i]);
	}
	lw_close(logs->peek[0]);
	lw_close(logs->peek[1]);
	lw_close(logs->nowhere);
	munmap(logs->taking, sizeof(struct taking));
	lw_free(logs->folder);
	lw_free(logs);
	errno = saved;
}

uint64_t logs_dropped(const struct logs *logs)
{
	uint64_t dropped = console_dropped(logs->consoles[OUT]);

	if (logs->consoles[ERR] != logs->consoles[OUT])
		dropped += console_dropped(logs->consoles[ERR]);
	return dropped;
}
