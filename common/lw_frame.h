/* lw_frame.h - bytes in, whole frames out.
 *
 * A frame is a 4-byte big-endian length and that many bytes. Embedded by whoever owns
 * the socket; a length above the bound fails before anything is allocated for it.
 */
#ifndef LW_FRAME_H
#define LW_FRAME_H

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_err.h"

#define LW_FRAME_HEAD     4
#define LW_FRAME_MAX      (20u << 20) /* a message with a value of LW_VALUE_MAX fits */
#define LW_FRAME_STRANGER 4096        /* from a peer whose hello has not been accepted */

struct lw_frames {
	struct lw_buf in;
	size_t at;   /* first byte not handed out yet */
	size_t most; /* longest frame accepted now */
};

void lw_frames_init(struct lw_frames *frames, size_t most);
void lw_frames_done(struct lw_frames *frames);

/* One read(2). The number of bytes, 0 at the end of the stream, -errno (-EAGAIN). */
LW_MUST_USE int lw_frames_fill(struct lw_frames *frames, int fd);

/* 1 and a body that lives until the next fill, 0 when there is no whole frame yet,
 * -EMSGSIZE for a length out of bounds. */
LW_MUST_USE int lw_frames_next(struct lw_frames *frames, struct lw_slice *ret_body,
			       struct lw_err *err);

/* Writing: size_t at = lw_frame_begin(out); ...append the body...; lw_frame_end(out, at); */
size_t lw_frame_begin(struct lw_buf *out);
void lw_frame_end(struct lw_buf *out, size_t at);

#endif
