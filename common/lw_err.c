/* lw_err.c - writes the one sentence of an error.
 *
 * Called by whoever fails. A sentence too long for its place is cut between two
 * characters, so that it stays valid text on its way to status and workers.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lw_err.h"

LW_PRINTF(2, 0) static void write_text(struct lw_err *err, const char *format, va_list args)
{
	char text[sizeof(err->text) + 1];
	size_t size;

	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	size = lw_utf8_cut(text, strlen(text), sizeof(err->text) - 1);
	memcpy(err->text, text, size);
	err->text[size] = '\0';
}

LW_PRINTF(2, 3) static void set_text(struct lw_err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_text(err, format, args);
	va_end(args);
}

int lw_err_set(struct lw_err *err, int code, const char *format, ...)
{
	va_list args;

	if (err == NULL)
		return code;
	err->code = code;
	va_start(args, format);
	write_text(err, format, args);
	va_end(args);
	return code;
}

int lw_err_sys(struct lw_err *err, int code, const char *format, ...)
{
	char before[sizeof(err->text)];
	va_list args;

	if (err == NULL)
		return code;
	err->code = code;
	va_start(args, format);
	write_text(err, format, args);
	va_end(args);
	memcpy(before, err->text, sizeof(before));
	set_text(err, "%s: %s", before, strerror(-code));
	return code;
}

int lw_err_within(struct lw_err *err, const char *format, ...)
{
	char inner[sizeof(err->text)], prefix[sizeof(err->text)];
	va_list args;

	if (err == NULL)
		return -EINVAL;
	memcpy(inner, err->text, sizeof(inner));
	va_start(args, format);
	write_text(err, format, args);
	va_end(args);
	memcpy(prefix, err->text, sizeof(prefix));
	set_text(err, "%s: %s", prefix, inner);
	return err->code;
}
