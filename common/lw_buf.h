/* lw_buf.h - bytes that grow. Owned by whoever embeds it; all zero is empty. */
#ifndef LW_BUF_H
#define LW_BUF_H

#include <string.h>

#include "lw_base.h"

struct lw_buf {
	uint8_t *data;
	size_t size;
	size_t room;
};

void lw_buf_done(struct lw_buf *buf);                /* frees; empty again */
void lw_buf_grow(struct lw_buf *buf, size_t more);   /* room for `more` beyond size */
void lw_buf_shrink(struct lw_buf *buf, size_t most); /* empties; gives back room above `most` */
void lw_buf_printf(struct lw_buf *buf, const char *format, ...) LW_PRINTF(2, 3);
void lw_buf_cut(struct lw_buf *buf, size_t size); /* drops the first `size` bytes */
char *lw_buf_text(struct lw_buf *buf);            /* NUL after the end, not counted */

#define LW_AUTO_BUF __attribute__((cleanup(lw_buf_done))) struct lw_buf

static inline void lw_buf_add(struct lw_buf *buf, const void *bytes, size_t size)
{
	if (buf->room - buf->size < size)
		lw_buf_grow(buf, size);
	if (size > 0)
		memcpy(buf->data + buf->size, bytes, size);
	buf->size += size;
}

static inline struct lw_slice lw_buf_slice(const struct lw_buf *buf)
{
	return (struct lw_slice){ buf->data, buf->size };
}

#endif
