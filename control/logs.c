/* logs.c - lwctl logs: what works, the flow and the supervisor have printed.
 *
 * Called by command.c. Lines come as JSON objects, from the supervisor or, when none runs, from the
 * files of the state directory by the same code (lw_logread.h); here they become text.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lw_logread.h"
#include "lwctl.h"

#define WIDTH_MOST 24 /* of a name, before the others stop being moved to the right */

/* ---- one line --------------------------------------------------------------------------------- */

void log_printer_init(struct log_printer *printer, bool json)
{
	*printer = (struct log_printer){ .screen = screen_of(stdout), .json = json };
}

void log_printer_done(struct log_printer *printer)
{
	lw_buf_done(&printer->part);
}

/* "14:03:59", with the day before it unless that is today. */
static void add_time(const struct log_printer *printer, double at, struct lw_buf *out)
{
	time_t seconds = (time_t)at, now = (time_t)printer->screen.now;
	struct tm then = { 0 }, today = { 0 };
	char text[32] = "";

	(void)localtime_r(&seconds, &then);
	(void)localtime_r(&now, &today);
	(void)strftime(text, sizeof(text),
		       then.tm_year == today.tm_year && then.tm_yday == today.tm_yday
			       ? "%H:%M:%S"
			       : "%Y-%m-%d %H:%M:%S",
		       &then);
	lw_buf_printf(out, "%s ", text);
}

static void add_name(struct log_printer *printer, const char *name, struct lw_buf *out)
{
	LW_AUTO_BUF clean = { 0 };
	int width;

	print_clean(&clean, name);
	if (clean.size > printer->width && clean.size <= WIDTH_MOST)
		printer->width = clean.size;
	width = (int)printer->width;
	if (printer->screen.colour)
		lw_buf_printf(out, "\033[%um%-*s |\033[0m ", lw_logfile_colour(name), width,
			      lw_buf_text(&clean));
	else
		lw_buf_printf(out, "%-*s | ", width, lw_buf_text(&clean));
}

/* A terminal is not steered by what a work printed; a file gets it as it was. */
static void add_text(const struct log_printer *printer, const char *text, size_t size,
		     struct lw_buf *out)
{
	if (printer->screen.width == 0) {
		lw_buf_add(out, text, size);
		return;
	}
	if (size > 0 && text[size - 1] == '\r')
		size--;
	print_harmless(out, text, size);
}

static void print_object(struct log_printer *printer, const json_t *object)
{
	const json_t *text = json_object_get(object, "text");
	const char *work = json_string_value(json_object_get(object, "work"));
	const char *source = json_string_value(json_object_get(object, "source"));
	LW_AUTO_BUF out = { 0 };

	if (text == NULL || source == NULL)
		return;
	add_time(printer, json_number_value(json_object_get(object, "at")), &out);
	add_name(printer, work != NULL ? work : source, &out);
	add_text(printer, json_string_value(text), json_string_length(text), &out);
	lw_buf_add(&out, "\n", 1);
	(void)fwrite(out.data, 1, out.size, printer->screen.out);
}

int log_printer_take(void *context, struct lw_slice bytes, struct lw_err *err)
{
	struct log_printer *printer = context;
	struct lw_buf *part = &printer->part;
	size_t at = 0;

	if (printer->json) {
		(void)fwrite(bytes.data, 1, bytes.size, stdout);
		return print_flush(err);
	}
	lw_buf_add(part, bytes.data, bytes.size);
	for (;;) {
		const uint8_t *end =
			at < part->size ? memchr(part->data + at, '\n', part->size - at) : NULL;
		json_t *object;

		if (end == NULL)
			break;
		object = json_loadb((const char *)part->data + at, (size_t)(end - part->data) - at,
				    JSON_READ, NULL);
		if (object == NULL)
			return lw_err_set(err, -EBADMSG, "the supervisor's answer cannot be read");
		print_object(printer, object);
		json_decref(object);
		at = (size_t)(end - part->data) + 1;
	}
	lw_buf_cut(part, at);
	return print_flush(err);
}

/* ---- the question ------------------------------------------------------------------------------- */

static void add_query(struct lw_buf *out, const char *name, const char *value)
{
	LW_AUTO(lw_free) char *encoded = client_encode(value);

	lw_buf_printf(out, "%c%s=%s", memchr(out->data, '?', out->size) != NULL ? '&' : '?', name,
		      encoded);
}

char *logs_path(const struct options *options, const char *work)
{
	LW_AUTO_BUF out = { 0 };
	char text[32];

	lw_buf_printf(&out, "/api/v1/");
	if (work != NULL) {
		LW_AUTO(lw_free) char *name = client_encode(work);

		lw_buf_printf(&out, "works/%s/", name);
	}
	lw_buf_printf(&out, "logs");
	if (options->lines != NULL)
		add_query(&out, "lines", options->lines);
	if ((options->given & OPT_FOLLOW) != 0)
		add_query(&out, "follow", "true");
	if ((options->given & OPT_SINCE) != 0) {
		(void)snprintf(text, sizeof(text), "%.6f", options->since);
		add_query(&out, "since", text);
	}
	if (options->run != NULL)
		add_query(&out, "run", options->run);
	if (options->stream != NULL)
		add_query(&out, "stream", options->stream);
	if (options->search != NULL)
		add_query(&out, "search", options->search);
	return lw_strdup(lw_buf_text(&out));
}

/* ---- without a supervisor ------------------------------------------------------------------------ */

static void take_line(void *context, const char *work, const struct lw_logfile_line *line)
{
	lw_logfile_print_json(work, line, context);
}

/* As api_logs.c has it. */
static struct lw_logread_query query_of(const struct options *options)
{
	bool all = (options->given & OPT_SINCE) != 0 || options->run != NULL;
	struct lw_logread_query query = {
		.lines = options->lines == NULL ? (all ? LW_LOGREAD_ALL : LW_LOGREAD_LINES)
			 : strcmp(options->lines, "all") == 0 ? LW_LOGREAD_ALL
							      : atoll(options->lines),
		.since = (int64_t)(options->since * 1e6),
		.run = options->run != NULL ? strtoull(options->run, NULL, 10) : 0,
		.search = options->search,
	};

	query.out = options->stream != NULL && strcmp(options->stream, "out") == 0;
	query.err = options->stream != NULL && strcmp(options->stream, "err") == 0;
	return query;
}

int logs_read(const struct options *options, const char *folder, const char *work,
	      struct log_printer *printer, struct lw_err *err)
{
	const struct lw_logread_query query = query_of(options);
	LW_AUTO(lw_free) char *name = work != NULL ? lw_logfile_name(work) : NULL;
	LW_AUTO(lw_logread_free)
	struct lw_logread *logread = lw_logread_new(folder, name, &query);
	LW_AUTO_BUF out = { 0 };
	int r;

	do {
		out.size = 0;
		r = lw_logread_step(logread, take_line, &out, err);
		if (r >= 0 && out.size > 0 &&
		    log_printer_take(printer, lw_buf_slice(&out), err) < 0)
			return err->code;
	} while (r > 0);
	return r;
}
