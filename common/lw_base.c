/* lw_base.c - memory that never is NULL, and the way out when there is none.
 *
 * Stateless but for lw_fatal's guard; called from everywhere.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lw_base.h"
#include "lw_log.h"

static void *check(void *block, size_t size)
{
	if (block == NULL)
		lw_fatal("out of memory, %zu bytes were asked for", size);
	return block;
}

void *lw_alloc(size_t size)
{
	return check(calloc(1, size > 0 ? size : 1), size);
}

void *lw_realloc(void *block, size_t size)
{
	return check(realloc(block, size > 0 ? size : 1), size);
}

char *lw_strdup(const char *text)
{
	return text != NULL ? lw_strndup(text, strlen(text)) : NULL;
}

char *lw_strndup(const void *text, size_t size)
{
	char *copy = check(malloc(size + 1), size);

	if (size > 0)
		memcpy(copy, text, size);
	copy[size] = '\0';
	return copy;
}

char *lw_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int size;

	va_start(args, format);
	size = vasprintf(&text, format, args);
	va_end(args);
	return check(size < 0 ? NULL : text, strlen(format));
}

void lw_free(void *block)
{
	int saved = errno;

	free(block);
	errno = saved;
}

void lw_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

size_t lw_utf8_cut(const void *text, size_t size, size_t most)
{
	const uint8_t *bytes = text;
	size_t at = most;

	if (size <= most)
		return size;
	while (at > 0 && most - at < 4 && (bytes[at] & 0xc0) == 0x80)
		at--;
	/* Four bytes of continuation are no UTF-8: there is no boundary to find. */
	return (bytes[at] & 0xc0) == 0x80 ? most : at;
}

/* Straight to standard error: a sink may queue what nobody would write any more. */
void lw_fatal(const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	n = n < 0 ? 0 : n > (int)sizeof(text) - 2 ? (int)sizeof(text) - 2 : n;
	text[n] = '\n';
	if (write(STDERR_FILENO, text, (size_t)n + 1) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_FAILURE);
}
