/* logs.c - FIFOs of workers, their bytes cut into lines, lines to files and the console. See logs.h.
 *
 * A FIFO is looked into (tee) before it is emptied: what was read and not written yet would be lost
 * with us. Whole lines are taken out when file and console have them; the beginning of a line stays
 * where it is until its end comes, so there is nothing of a worker that only we have. Before they
 * are written it is noted in memory that outlives us (struct taking) which bytes are to be taken out
 * and where in the file they will lie, and then that the console is being told: the next
 * supervisor sees by the size of the file how far this one came, so that every line is kept once.
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
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "console.h"
#include "lw_buf.h"

#define QUEUE_MAX  (1u << 20)
#define READ_SIZE  65536  /* what a FIFO holds; lines that it cannot hold whole are cut */
#define READ_TURN  262144 /* of one stream in a turn: a flood slows only itself */
#define READ_LEAST 16384  /* that a batch counts for: a small one may rotate a thousand files */
#define OWN_MOST   65536  /* of what flow and supervisor say, before it is written */
#define LEAST_SIZE 4096   /* at which a file is rotated: not for every line */
#define TAIL_BYTES 2048
#define TAIL_LINES 5
#define TAIL_ROOM  16384 /* how far it grows before it is cut */

enum { OUT, ERR, STREAMS };

/* In a file that is mapped: so many bytes of that FIFO are to be taken out. */
struct taking {
	uint64_t worker;
	uint64_t which;
	uint64_t size;          /* 0: none */
	uint64_t hash;          /* of them: whether they are still there */
	struct log_place place; /* of them in the file; inode 0: they are not kept */
	uint64_t told;          /* the console is being told, or was */
	uint64_t kept;          /* by a supervisor that was killed; its successor has seen that */
};

#define TAKINGS 4 /* ours, and behind it those of supervisors that were killed */

struct logs {
	struct loop *loop;
	struct console *consoles[STREAMS]; /* one and the same when they lead to one place */
	struct log_files *files;
	struct log_batch batch; /* of the stream that is being read */
	struct log_batch own;   /* what flow and supervisor say, for the turn's end */
	struct loop_task keep_own;
	char *folder; /* of the FIFOs */
	size_t width; /* longest name seen */
	bool prefix, colour, json, journal;
	int peek[2]; /* a pipe that what a FIFO holds is doubled into */
	int nowhere; /* /dev/null, that it is emptied into */
	struct taking *takings;
	uint8_t bytes[READ_SIZE];
	char tail[TAIL_BYTES + 1]; /* as asked for last */
};

struct stream {
	struct output *output;
	int which;
	int reading, writing;
	struct event *readable;
	struct loop_timer again; /* more is there than one turn takes */
	size_t left;             /* bytes seen in it that are no line yet */
	char *path;
};

struct output {
	struct logs *logs;
	char *work;
	struct log_file *file;
	uint64_t worker;
	struct lw_buf head; /* the prefix, for `width` */
	size_t width;
	struct stream streams[STREAMS];
	struct lw_buf tail; /* the last lines of standard error */
	pid_t pid;
	uint64_t run;
};

/* ---- the prefix ------------------------------------------------------------------------- */

static void write_head(const struct logs *logs, const char *name, struct lw_buf *head)
{
	int width = (int)logs->width;

	head->size = 0;
	if (logs->colour)
		lw_buf_printf(head, "\033[%um%-*s |\033[0m ", lw_logfile_colour(name), width, name);
	else
		lw_buf_printf(head, "%-*s | ", width, name);
}

void logs_name(struct logs *logs, const char *name)
{
	size_t size = strlen(name);

	if (size > logs->width)
		logs->width = size;
}

/* Takes the first line of it. False: that had no end, nothing is left. */
static bool take_line(struct lw_slice *text, struct lw_slice *ret_line)
{
	const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
	size_t size = end != NULL ? (size_t)(end - text->data) : text->size;

	*ret_line = (struct lw_slice){ text->data, size };
	size += end != NULL;
	*text = (struct lw_slice){ size > 0 ? text->data + size : text->data, text->size - size };
	return end != NULL;
}

/* `mark`: before everything else, or "". */
static void print_lines(struct logs *logs, int which, const char *mark, const char *who,
			struct lw_slice text)
{
	LW_AUTO_BUF name = { 0 };
	LW_AUTO_BUF head = { 0 };
	struct lw_slice line;
	bool more;

	if (logs->prefix) {
		logs_name(logs, who);
		write_head(logs, who, &name);
	}
	lw_buf_printf(&head, "%s%s", mark, lw_buf_text(&name));
	do {
		more = take_line(&text, &line);
		console_line(logs->consoles[which], lw_buf_slice(&head), line);
	} while (more);
}

/* ---- the file of flow and supervisor ---------------------------------------------------- */

static int64_t wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void write_batch(struct log_batch *batch)
{
	struct log_place place;

	if (log_batch_place(batch, &place))
		log_batch_write(batch);
}

/* What writing says itself is for the next turn. */
static void on_keep_own(struct loop_task *task)
{
	struct logs *logs = LW_OWNER(task, struct logs, keep_own);

	if (logs->own.lines > 0)
		write_batch(&logs->own);
}

static void keep_own(struct logs *logs, int which, struct lw_slice text)
{
	const struct lw_logfile_line like = { .at = wall(), .err = which == ERR };
	struct lw_slice line;
	bool more;

	loop_post(logs->loop, LOOP_END, &logs->keep_own);
	log_batch_like(&logs->own, &like);
	do {
		more = take_line(&text, &line);
		if (logs->own.bytes.size < OWN_MOST && log_batch_add(&logs->own, line, false))
			continue;
		write_batch(&logs->own);
		log_batch_like(&logs->own, &like); /* writing may have had something to say */
		(void)log_batch_add(&logs->own, line, false);
	} while (more);
}

void logs_print(struct logs *logs, const char *line, size_t size)
{
	const struct lw_slice text = { (const uint8_t *)line, size };

	print_lines(logs, OUT, "", "flow", text);
	keep_own(logs, OUT, text);
}

void logs_show(struct logs *logs, const char *line, size_t size)
{
	print_lines(logs, OUT, "", "lw", (struct lw_slice){ (const uint8_t *)line, size });
}

void logs_keep(struct logs *logs, const char *line)
{
	keep_own(logs, ERR, (struct lw_slice){ (const uint8_t *)line, strlen(line) });
}

/* The priority of a line for systemd's journal. */
static const char *priority(enum lw_log_level level)
{
	static const char *const marks[] = {
		[LW_LOG_ERROR] = "<3>",
		[LW_LOG_WARNING] = "<4>",
		[LW_LOG_INFO] = "<6>",
		[LW_LOG_DEBUG] = "<7>",
	};

	return marks[level];
}

void logs_sink(void *context, enum lw_log_level level, const char *line)
{
	struct logs *logs = context;
	const char *mark = logs->journal ? priority(level) : "";
	const struct lw_slice head = { (const uint8_t *)mark, strlen(mark) };
	LW_AUTO_BUF text = { 0 };
	LW_AUTO_BUF json = { 0 };

	lw_buf_printf(&text, "%s: %s", lw_log_level_name(level), line);
	keep_own(logs, ERR, lw_buf_slice(&text));
	if (logs->json) {
		lw_log_print_json(level, line, &json);
		console_line(logs->consoles[ERR], head, lw_buf_slice(&json));
		return;
	}
	text.size = 0;
	lw_buf_printf(&text, "%s%s: %s", logs->prefix ? "" : "lw: ", lw_log_level_name(level),
		      line);
	print_lines(logs, ERR, mark, "lw", lw_buf_slice(&text));
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

/* Whole lines, and what may stand behind the last of them (`last`: which is all that comes), to the
 * queue of the console and the batch for the file. As many bytes as found room in that. */
static size_t feed(struct stream *stream, struct lw_slice text, bool last)
{
	const struct output *output = stream->output;
	struct log_batch *batch = &output->logs->batch;
	size_t size = text.size;
	const struct lw_logfile_line like = {
		.at = wall(), .pid = output->pid, .run = output->run, .err = stream->which == ERR
	};
	struct lw_slice rest = text, line;

	batch->file = output->file;
	log_batch_like(batch, &like);
	while (text.size > 0) {
		bool whole = take_line(&rest, &line);

		if (!log_batch_add(batch, line, !whole && !last))
			break;
		put_line(stream, line.data, line.size);
		text = rest;
	}
	log_file_printed(output->file, size - text.size);
	return size - text.size;
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

static void note_told(void *context)
{
	struct taking *taking = context;

	__atomic_store_n(&taking->told, 1, __ATOMIC_RELEASE);
}

/* Writes what was fed to the file and the console, and takes it out. */
static void say(struct stream *stream, size_t size)
{
	struct logs *logs = stream->output->logs;
	struct taking *taking = logs->takings;
	struct log_place place = { 0 };
	bool keeps = log_batch_place(&logs->batch, &place);

	*taking = (struct taking){ .worker = stream->output->worker,
				   .which = (uint64_t)stream->which,
				   .hash = XXH3_64bits(logs->bytes, size),
				   .place = place };
	__atomic_store_n(&taking->size, size, __ATOMIC_RELEASE);
	if (keeps)
		log_batch_write(&logs->batch);
	console_push(logs->consoles[stream->which], note_told, taking);
	empty(stream, size);
	__atomic_store_n(&taking->size, 0, __ATOMIC_RELEASE);
}

/* An earlier supervisor was killed in there: the file has these lines, the console perhaps not. If
 * the FIFO does not begin with them any more, they were taken out. */
static void finish(struct stream *stream, struct taking *taking)
{
	struct logs *logs = stream->output->logs;
	size_t there = look(stream), size = (size_t)taking->size;
	struct lw_slice text = { .data = logs->bytes }, line;

	if (there < size || XXH3_64bits(logs->bytes, size) != taking->hash) {
		taking->size = 0;
		return;
	}
	text.size = taking->told == 0 ? size : 0;
	while (text.size > 0) {
		(void)take_line(&text, &line);
		put_line(stream, line.data, line.size);
	}
	console_push(logs->consoles[stream->which], note_told, taking);
	empty(stream, size);
	taking->size = 0;
}

static void finish_takings(struct stream *stream)
{
	struct taking *takings = stream->output->logs->takings;

	for (size_t i = 1; i < TAKINGS; i++)
		if (takings[i].size > 0 && takings[i].worker == stream->output->worker &&
		    takings[i].which == (uint64_t)stream->which)
			finish(stream, &takings[i]);
}

/* What was being taken out when earlier supervisors were killed stands behind ours until the streams
 * are there again. What neither the file has nor the console was told is as if it had not begun. */
static void settle_takings(struct logs *logs)
{
	struct taking *takings = logs->takings;
	size_t free_place = TAKINGS - 1;

	for (size_t i = TAKINGS - 1; i > 0; i--)
		if (takings[i].size == 0)
			free_place = i;
	if (takings[0].size > 0) {
		takings[free_place] = takings[0];
		takings[0].size = 0;
	}
	for (size_t i = 1; i < TAKINGS; i++) {
		if (takings[i].size == 0 || takings[i].kept != 0)
			continue;
		if (takings[i].told == 0 && !log_files_has(logs->files, &takings[i].place))
			takings[i].size = 0;
		takings[i].kept = 1;
	}
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

/* Up to `most` bytes, of which each batch takes `least`; returns false when no whole line is left. */
static bool read_up_to(struct stream *stream, size_t most, size_t least, bool last)
{
	struct logs *logs = stream->output->logs;

	while (most > 0) {
		size_t there, size = look_for_lines(stream, last, &there);

		stream->left = there - size;
		if (size == 0)
			return false;
		size = feed(stream, (struct lw_slice){ logs->bytes, size }, last);
		say(stream, size);
		size = size > least ? size : least;
		most -= size < most ? size : most;
	}
	return true;
}

/* Told once for what was written: what is left this time has to be asked for. By a timer, as
 * libevent calls an event that is made active again before it looks at any other. */
static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;

	(void)fd;
	(void)what;
	if (read_up_to(stream, READ_TURN, READ_LEAST, false))
		loop_timer_set(&stream->again, 0);
}

static void on_again(struct loop_timer *timer)
{
	struct stream *stream = LW_OWNER(timer, struct stream, again);

	on_readable(stream->reading, EV_READ, stream);
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
		(void)read_up_to(stream, (size_t)there, 0, last);
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

	loop_timer_init(&stream->again, logs->loop, on_again);
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
		finish_takings(stream);
	if (stream->readable == NULL || event_add(stream->readable, NULL) < 0)
		return lw_err_set(err, -ENOMEM, "cannot wait for '%s'", stream->path);
	return 0;
}

static void stream_close(struct stream *stream)
{
	if (stream->readable != NULL)
		event_free(stream->readable);
	loop_timer_done(&stream->again);
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
	output->file = log_file_open(logs->files, work);
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
	logs_name(logs, work);
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
	log_file_close(output->file);
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

	if (fd >= 0 && ftruncate(fd, TAKINGS * sizeof(struct taking)) == 0)
		place = mmap(NULL, TAKINGS * sizeof(struct taking), PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	if (place == MAP_FAILED)
		return lw_err_sys(err, -errno, "cannot map '%s'", path);
	logs->takings = place;
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
		if (logs->takings != NULL)
			munmap(logs->takings, TAKINGS * sizeof(struct taking));
		lw_free(logs);
		return r;
	}
	logs->loop = loop;
	logs->folder = LW_TAKE(folder);
	logs->prefix = options->prefix;
	logs->colour = options->colour;
	logs->json = options->json;
	logs->journal = console_is_journal(STDERR_FILENO);
	logs->files = log_files_new(options->state_dir);
	logs->own.file = log_file_open(logs->files, NULL);
	logs->keep_own.run = on_keep_own;
	settle_takings(logs);
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
	loop_cancel(logs->loop, &logs->keep_own);
	on_keep_own(&logs->keep_own);
	for (size_t i = STREAMS; i-- > 0;) {
		if (i > 0 && logs->consoles[i] == logs->consoles[OUT])
			continue;
		console_finish(logs->consoles[i]);
		console_free(logs->consoles[i]);
	}
	lw_close(logs->peek[0]);
	lw_close(logs->peek[1]);
	lw_close(logs->nowhere);
	log_batch_done(&logs->batch);
	log_batch_done(&logs->own);
	log_file_close(logs->own.file);
	log_files_free(logs->files);
	munmap(logs->takings, TAKINGS * sizeof(struct taking));
	lw_free(logs->folder);
	lw_free(logs);
	errno = saved;
}

struct log_files *logs_files(struct logs *logs)
{
	return logs->files;
}

void logs_limits(struct logs *logs, const char *work, int64_t max_size, int64_t keep)
{
	struct log_file *file = log_file_find(logs->files, work);

	if (file != NULL)
		log_file_limits(file, max_size > 0 && max_size < LEAST_SIZE ? LEAST_SIZE : max_size,
				keep);
}

uint64_t logs_bytes(const struct logs *logs, const char *work)
{
	const struct log_file *file = log_file_find(logs->files, work);

	return file != NULL ? log_file_bytes(file) : 0;
}

uint64_t logs_lost(const struct logs *logs, const char *work)
{
	const struct log_file *file = log_file_find(logs->files, work);

	return file != NULL ? log_file_lost(file) : 0;
}

uint64_t logs_dropped(const struct logs *logs)
{
	uint64_t dropped = console_dropped(logs->consoles[OUT]);

	if (logs->consoles[ERR] != logs->consoles[OUT])
		dropped += console_dropped(logs->consoles[ERR]);
	return dropped;
}
