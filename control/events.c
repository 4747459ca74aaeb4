/* events.c - lwctl events: the server-sent events of the API as JSON lines.
 *
 * Called by command.c. An event comes as lines "id: ...", "event: ..." and "data: {...}" and an empty
 * one behind them; its name and its id become the first members of its object.
 */
#include <errno.h>
#include <string.h>

#include "lwctl.h"

void event_printer_done(struct event_printer *printer)
{
	lw_buf_done(&printer->part);
	lw_buf_done(&printer->head);
}

/* The value of "name: value", or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t size = strlen(name);

	return strncmp(line, name, size) == 0 && strncmp(line + size, ": ", 2) == 0
		       ? line + size + 2
		       : NULL;
}

/* A word of the API's own, so that what is printed is JSON whatever it is. */
static bool is_word(const char *text)
{
	return text[0] != '\0' &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789.")] == '\0';
}

static int take_line(struct event_printer *printer, const char *line, struct lw_err *err)
{
	const char *id = value_of(line, "id"), *event = value_of(line, "event");
	const char *data = value_of(line, "data");
	const char *word = id != NULL ? id : event;

	if (word != NULL && !is_word(word))
		return lw_err_set(err, -EBADMSG, "the supervisor's answer cannot be read");
	if (word != NULL)
		lw_buf_printf(&printer->head, "\"%s\":\"%s\",", id != NULL ? "id" : "event", word);
	if (data == NULL)
		return 0;
	if (data[0] != '{')
		return lw_err_set(err, -EBADMSG, "the supervisor's answer cannot be read");
	(void)printf("{%s%s\n", lw_buf_text(&printer->head), data + 1);
	printer->head.size = 0;
	return print_flush(err);
}

int event_printer_take(void *context, struct lw_slice bytes, struct lw_err *err)
{
	struct event_printer *printer = context;
	const char *end;
	size_t at = 0;
	int r = 0;

	lw_buf_add(&printer->part, bytes.data, bytes.size);
	while (r == 0 && at < printer->part.size &&
	       (end = memchr(printer->part.data + at, '\n', printer->part.size - at)) != NULL) {
		const char *begin = (const char *)printer->part.data + at;
		LW_AUTO(lw_free) char *line = lw_strndup(begin, (size_t)(end - begin));

		r = take_line(printer, line, err);
		at += (size_t)(end - begin) + 1;
	}
	lw_buf_cut(&printer->part, at);
	return r;
}
