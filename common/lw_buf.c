/* lw_buf.c - the slow paths of bytes that grow.
 *
 * Room at least doubles, so that adding is linear over all; a size that cannot exist
 * ends the process (everything a peer can ask for is bounded before it comes here).
 */
#include <stdarg.h>
#include <stdio.h>

#include "lw_buf.h"

#define LEAST_ROOM 64

void lw_buf_done(struct lw_buf *buf)
{
	lw_free(buf->data);
	*buf = (struct lw_buf){ 0 };
}

void lw_buf_grow(struct lw_buf *buf, size_t more)
{
	size_t room = buf->room < LEAST_ROOM ? LEAST_ROOM : buf->room;

	if (more > SIZE_MAX / 4 || buf->size > SIZE_MAX / 4)
		lw_fatal("a buffer cannot grow by %zu bytes", more);
	if (buf->room - buf->size >= more)
		return;
	while (room - buf->size < more)
		room *= 2;
	buf->data = lw_realloc(buf->data, room);
	buf->room = room;
}

void lw_buf_shrink(struct lw_buf *buf, size_t most)
{
	buf->size = 0;
	if (buf->room <= most)
		return;
	if (most == 0) {
		lw_buf_done(buf);
		return;
	}
	/* Freed and taken anew: there is nothing in it worth moving. */
	lw_free(buf->data);
	buf->data = lw_realloc(NULL, most);
	buf->room = most;
}

void lw_buf_printf(struct lw_buf *buf, const char *format, ...)
{
	va_list args, again;
	int size;

	va_start(args, format);
	va_copy(again, args);
	lw_buf_grow(buf, LEAST_ROOM);
	size = vsnprintf((char *)buf->data + buf->size, buf->room - buf->size, format, args);
	if (size > 0 && (size_t)size >= buf->room - buf->size) {
		lw_buf_grow(buf, (size_t)size + 1);
		vsnprintf((char *)buf->data + buf->size, buf->room - buf->size, format, again);
	}
	va_end(again);
	va_end(args);
	if (size > 0)
		buf->size += (size_t)size;
}

void lw_buf_cut(struct lw_buf *buf, size_t size)
{
	if (size >= buf->size) {
		buf->size = 0;
		return;
	}
	if (size > 0)
		memmove(buf->data, buf->data + size, buf->size - size);
	buf->size -= size;
}

char *lw_buf_text(struct lw_buf *buf)
{
	lw_buf_grow(buf, 1);
	buf->data[buf->size] = '\0';
	return (char *)buf->data;
}
