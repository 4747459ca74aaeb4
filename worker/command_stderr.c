/* command_stderr.c - the command's stderr: passed on to ours, its last lines kept for the error;
 * see command.h. Owned by command.c, which reads the pipe.
 *
 * Nothing here blocks: when our stderr is a pipe or a terminal we write through a
 * non-blocking description of our own (the inherited one is shared with the command). What
 * cannot be written waits, and the command's pipe is not read meanwhile: a command that
 * floods waits, lw-worker does not.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING_MAX (64u << 10)
#define TAIL_ROOM   8192
#define TAIL_BYTES  2048
#define TAIL_LINES  5

void stderr_init(struct stderr_copy *copy)
{
	struct stat status;

	*copy = (struct stderr_copy){ .fd = STDERR_FILENO, .own_fd = -1 };
	if (fstat(STDERR_FILENO, &status) < 0)
		return;
	copy->socket = S_ISSOCK(status.st_mode);
	if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
		copy->own_fd =
			open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (copy->own_fd >= 0)
		copy->fd = copy->own_fd;
}

void stderr_done(struct stderr_copy *copy)
{
	stderr_flush(copy);
	lw_close(copy->own_fd);
	copy->own_fd = -1;
	lw_buf_done(&copy->waiting);
	lw_buf_done(&copy->tail);
}

void stderr_begin(struct stderr_copy *copy)
{
	copy->tail.size = 0;
}

bool stderr_waiting(const struct stderr_copy *copy)
{
	return copy->at < copy->waiting.size;
}

bool stderr_full(const struct stderr_copy *copy)
{
	return copy->waiting.size - copy->at >= WAITING_MAX;
}

/* A stderr that nobody reads any more loses what we would say, nothing else. */
void stderr_flush(struct stderr_copy *copy)
{
	while (copy->at < copy->waiting.size) {
		const uint8_t *data = copy->waiting.data + copy->at;
		size_t size = copy->waiting.size - copy->at;
		ssize_t n = copy->socket ? send(copy->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
					 : write(copy->fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		copy->at += (size_t)n;
	}
	copy->at = 0;
	lw_buf_shrink(&copy->waiting, WAITING_MAX);
}

static void write_on(struct stderr_copy *copy, const void *bytes, size_t size)
{
	if (copy->at > WAITING_MAX / 2) {
		lw_buf_cut(&copy->waiting, copy->at);
		copy->at = 0;
	}
	lw_buf_add(&copy->waiting, bytes, size);
	stderr_flush(copy);
}

void stderr_add(struct stderr_copy *copy, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	size_t skip = size > TAIL_ROOM / 2 ? size - TAIL_ROOM / 2 : 0;

	if (copy->tail.size + (size - skip) > TAIL_ROOM)
		lw_buf_cut(&copy->tail,
			   copy->tail.size > TAIL_ROOM / 2 ? copy->tail.size - TAIL_ROOM / 2 : 0);
	lw_buf_add(&copy->tail, from + skip, size - skip);
	write_on(copy, bytes, size);
}

/* What we say ourselves is dropped when it could not be written for long. */
void stderr_say(struct stderr_copy *copy, const char *text)
{
	LW_AUTO(lw_free) char *line = lw_format("lw-worker: %s\n", text);

	if (!stderr_full(copy))
		write_on(copy, line, strlen(line));
}

/* ---- the last lines ------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at `at`, 0: none begins here. */
static size_t character(const uint8_t *at, size_t left)
{
	size_t size = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

	return *at != 0 && size <= left && lw_text_is_utf8(at, size) ? size : 0;
}

static void add_clean(const uint8_t *text, size_t size, struct lw_buf *out)
{
	for (size_t i = 0; i < size;) {
		size_t length = character(text + i, size - i);

		if (length > 0)
			lw_buf_add(out, text + i, length);
		else
			lw_buf_add(out, "?", 1);
		i += length > 0 ? length : 1;
	}
}

static bool is_space(uint8_t byte)
{
	return byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t';
}

void stderr_last_lines(const struct stderr_copy *copy, struct lw_buf *out)
{
	const uint8_t *text = copy->tail.data;
	size_t end = copy->tail.size, from, lines = 0;

	while (end > 0 && is_space(text[end - 1]))
		end--;
	for (from = end; from > 0 && end - from < TAIL_BYTES; from--)
		if (text[from - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	while (from < end && (text[from] == '\n' || (text[from] & 0xc0) == 0x80))
		from++;
	if (from < end)
		add_clean(text + from, end - from, out);
}
