/* lw_frame.c - bytes in, whole frames out.
 *
 * Owned by whoever has the socket; called by the channel of the worker and of the
 * supervisor. A connection at rest keeps little: a read goes into the room there is
 * and, beyond it, into a buffer on the stack from which only what came is kept.
 */
#include <errno.h>
#include <sys/uio.h>

#include "lw_frame.h"

#define REST_ROOM  4096        /* kept by a connection with nothing in it */
#define SPILL_SIZE (32u << 10) /* taken by one read beyond the room there is */

void lw_frames_init(struct lw_frames *frames, size_t most)
{
	*frames = (struct lw_frames){ .most = most };
}

void lw_frames_done(struct lw_frames *frames)
{
	lw_buf_done(&frames->in);
	frames->at = 0;
}

/* Nobody reads what was handed out any more. */
static void drop_read(struct lw_frames *frames)
{
	lw_buf_cut(&frames->in, frames->at);
	frames->at = 0;
	if (frames->in.size == 0)
		lw_buf_shrink(&frames->in, REST_ROOM);
}

int lw_frames_fill(struct lw_frames *frames, int fd)
{
	struct lw_buf *in = &frames->in;
	uint8_t spill[SPILL_SIZE];
	struct iovec parts[2];
	size_t room;
	ssize_t n;

	drop_read(frames);
	room = in->room - in->size;
	parts[0] = (struct iovec){ room > 0 ? in->data + in->size : spill, room };
	parts[1] = (struct iovec){ spill, sizeof(spill) };
	do
		n = readv(fd, parts, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n <= room) {
		in->size += (size_t)n;
		return (int)n;
	}
	in->size += room;
	lw_buf_add(in, spill, (size_t)n - room);
	return (int)n;
}

static uint32_t read_length(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int lw_frames_next(struct lw_frames *frames, struct lw_slice *ret_body, struct lw_err *err)
{
	size_t left = frames->in.size - frames->at, size;
	const uint8_t *head;

	if (left < LW_FRAME_HEAD)
		return 0;
	head = frames->in.data + frames->at;
	size = read_length(head);
	if (size > frames->most)
		return lw_err_set(err, -EMSGSIZE, "a frame of %zu bytes, more than %zu", size,
				  frames->most);
	if (left - LW_FRAME_HEAD < size)
		return 0;
	*ret_body = (struct lw_slice){ head + LW_FRAME_HEAD, size };
	frames->at += LW_FRAME_HEAD + size;
	return 1;
}

size_t lw_frame_begin(struct lw_buf *out)
{
	size_t at = out->size;

	lw_buf_add(out, (const uint8_t[LW_FRAME_HEAD]){ 0 }, LW_FRAME_HEAD);
	return at;
}

void lw_frame_end(struct lw_buf *out, size_t at)
{
	size_t size = out->size - at - LW_FRAME_HEAD;

	if (size > LW_FRAME_MAX)
		lw_fatal("a frame of %zu bytes was written, more than %u", size, LW_FRAME_MAX);
	for (unsigned i = 0; i < LW_FRAME_HEAD; i++)
		out->data[at + i] = (uint8_t)(size >> (24 - 8 * i));
}
