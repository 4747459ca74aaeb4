/* print.c - tables and sentences for a person.
 *
 * Called by command.c. Text that works and workers wrote is printed without control
 * characters, so that it cannot steer the terminal. Columns are counted in characters.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "table.h"

#define CALL_JSON (JSON_COMPACT | JSON_REAL_PRECISION(15))

struct screen screen_of(FILE *out)
{
	const char *plain = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	const char *columns = getenv("COLUMNS");
	struct screen screen = { .out = out };
	struct winsize size = { 0 };
	struct timespec now;
	int fd = fileno(out);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	screen.now = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
	if (fd < 0 || !isatty(fd))
		return screen;
	screen.width = 80;
	screen.height = 24;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		screen.height = size.ws_row;
	if (size.ws_col > 0)
		screen.width = size.ws_col;
	else if (columns != NULL && atoi(columns) > 0)
		screen.width = (size_t)atoi(columns);
	screen.colour =
		(plain == NULL || plain[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
	return screen;
}

int print_flush(struct lw_err *err)
{
	int r = fflush(stdout) == 0 ? 0 : -errno;

	if (r == 0 && !ferror(stdout))
		return 0;
	clearerr(stdout);
	return r < 0 ? lw_err_set(err, -EIO, "cannot write: %s", strerror(-r))
		     : lw_err_set(err, -EIO, "not everything could be written");
}

/* Two units at most. What rounds up to the next unit is said in that. */
void print_duration(double seconds, char text[32])
{
	int64_t whole = seconds > 0 ? (int64_t)(seconds < 1e12 ? seconds : 1e12) : 0;

	if (seconds < 0.9995)
		(void)snprintf(text, 32, "%.0f ms", seconds > 0 ? seconds * 1e3 : 0.0);
	else if (seconds < 59.95)
		(void)snprintf(text, 32, "%.1f s", seconds);
	else if (seconds < 60)
		(void)snprintf(text, 32, "1m00s");
	else if (whole < 3600)
		(void)snprintf(text, 32, "%" PRId64 "m%02" PRId64 "s", whole / 60, whole % 60);
	else if (whole < 86400)
		(void)snprintf(text, 32, "%" PRId64 "h%02" PRId64 "m", whole / 3600,
			       whole / 60 % 60);
	else
		(void)snprintf(text, 32, "%" PRId64 "d%02" PRId64 "h", whole / 86400,
			       whole / 3600 % 24);
}

void print_bytes(int64_t bytes, char text[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double size = (double)(bytes > 0 ? bytes : 0) / 1024;
	size_t unit = 0;

	if (size < 1) {
		(void)snprintf(text, 32, "%" PRId64 " B", bytes > 0 ? bytes : 0);
		return;
	}
	while (size >= 1023.5 && unit + 1 < LW_COUNT(units)) {
		size /= 1024;
		unit++;
	}
	(void)snprintf(text, 32, size < 9.95 ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

void print_ago(double seconds, char text[40])
{
	char took[32];

	print_duration(seconds, took);
	(void)snprintf(text, 40, seconds < 0.0005 ? "now" : "%s ago", took);
}

/* ---- clean text ------------------------------------------------------------------------------ */

static bool is_control(const uint8_t *at, size_t left)
{
	return at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && left > 1 && at[1] < 0xa0);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Lines are joined by one blank, whatever their indent; other control characters show as "?". */
void print_clean(struct lw_buf *out, const char *text)
{
	size_t left = text != NULL ? strlen(text) : 0;
	const uint8_t *at = (const uint8_t *)text;

	while (left > 0) {
		size_t taken = 0;

		while (taken < left && !is_control(at + taken, left - taken))
			taken++;
		lw_buf_add(out, at, taken);
		if (taken == left)
			return;
		at += taken;
		left -= taken;
		taken = at[0] == 0xc2 ? 2 : 1;
		lw_buf_add(out, is_blank(at[0]) ? " " : "?", 1);
		if (is_blank(at[0]))
			while (taken < left && is_blank(at[taken]))
				taken++;
		at += taken;
		left -= taken;
	}
}

void print_harmless(struct lw_buf *out, const char *text, size_t size)
{
	const uint8_t *at = (const uint8_t *)text;

	for (size_t i = 0; i < size; i++) {
		if (at[i] == '\t' || !is_control(at + i, size - i)) {
			lw_buf_add(out, at + i, 1);
			continue;
		}
		i += at[i] == 0xc2;
		lw_buf_add(out, "?", 1);
	}
}

/* ---- one run --------------------------------------------------------------------------- */

void print_line(const struct screen *screen, const char *name, const char *text)
{
	LW_AUTO_BUF line = { 0 };

	if (text == NULL)
		return;
	print_clean(&line, text);
	(void)fprintf(screen->out, "%-10s %s\n", name, lw_buf_text(&line));
}

void print_json_line(const struct screen *screen, const char *name, const json_t *value)
{
	char *text;

	if (value == NULL || json_is_null(value))
		return;
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	print_line(screen, name, text);
	free(text);
}

static void print_ago_line(const struct screen *screen, const char *name, const json_t *object,
			   const char *key)
{
	char text[40];

	if (!has(object, key))
		return;
	print_ago(screen->now - number_of(object, key), text);
	(void)fprintf(screen->out, "%-10s %s\n", name, text);
}

static void ago_cell(struct table *table, const struct screen *screen, const json_t *object,
		     const char *key)
{
	char text[40];

	if (has(object, key)) {
		print_ago(screen->now - number_of(object, key), text);
		lw_buf_printf(&table->text, "%s", text);
	}
	table_end_cell(table);
}

static bool is_running(const json_t *run)
{
	const char *stage = text_of(run, "stage");

	return stage != NULL && strcmp(stage, "running") == 0;
}

/* How long it took, or has been running until now. */
static void add_took(const struct screen *screen, const json_t *run, struct lw_buf *out)
{
	double end = has(run, "ended") ? number_of(run, "ended") : screen->now;
	char text[32];

	if (!has(run, "started") || (!has(run, "ended") && !is_running(run)))
		return;
	print_duration(end - number_of(run, "started"), text);
	lw_buf_printf(out, "%s", text);
}

static void print_run_times(const struct screen *screen, const json_t *run)
{
	LW_AUTO_BUF took = { 0 };

	add_took(screen, run, &took);
	if (is_running(run))
		print_progress(run, &took);
	print_ago_line(screen, "created", run, "created");
	print_ago_line(screen, "ended", run, "ended");
	if (took.size > 0)
		print_line(screen, has(run, "ended") ? "took" : "running", lw_buf_text(&took));
}

static bool same_text(const json_t *object, const char *key, const char *other)
{
	return json_equal(json_object_get(object, key), json_object_get(object, other));
}

static void print_lost(const struct screen *screen, const json_t *run)
{
	int64_t lost = count_of(run, "lost");
	LW_AUTO(lw_free)
	char *text = lw_format("%" PRId64 " time%s, nobody knows how that ended", lost,
			       lost == 1 ? "" : "s");

	if (lost > 0)
		print_line(screen, "lost", text);
}

void print_run(const struct screen *screen, const json_t *run)
{
	if (has(run, "id"))
		(void)fprintf(screen->out, "%-10s %" PRId64 "\n", "run", count_of(run, "id"));
	print_line(screen, "work", text_of(run, "work"));
	print_line(screen, "stage", text_of(run, "stage"));
	print_line(screen, "reason", text_of(run, "reason"));
	print_line(screen, "why", text_of(run, "why"));
	print_json_line(screen, "args", json_object_get(run, "args"));
	print_json_line(screen, "kwargs", json_object_get(run, "kwargs"));
	print_json_line(screen, "result", json_object_get(run, "result"));
	if (!same_text(run, "reason", "error"))
		print_line(screen, "error", text_of(run, "error"));
	if (count_of(run, "attempt") > 1)
		print_json_line(screen, "attempt", json_object_get(run, "attempt"));
	print_lost(screen, run);
	print_run_times(screen, run);
	print_line(screen, "key", text_of(run, "key"));
}

/* clang-format off */
static const struct column run_columns[] = {
	{ "WORK",    false, 12, 0 }, /* only where the works differ */
	{ "RUN",     true,  0,  0 },
	{ "STAGE",   false, 0,  0 },
	{ "CREATED", false, 0,  3 },
	{ "TOOK",    true,  0,  2 },
	{ "ATTEMPT", true,  0,  1 },
	{ "CALL",    false, 12, 5 },
	{ "NOTE",    false, 20, 4 },
};
/* clang-format on */

static void call_cell(struct table *table, const json_t *run)
{
	const json_t *args = json_object_get(run, "args");
	const json_t *kwargs = json_object_get(run, "kwargs");
	char *text = json_array_size(args) > 0 ? json_dumps(args, CALL_JSON) : NULL;
	char *named = json_object_size(kwargs) > 0 ? json_dumps(kwargs, CALL_JSON) : NULL;

	print_clean(&table->text, text);
	lw_buf_printf(&table->text, "%s", text != NULL && named != NULL ? " " : "");
	print_clean(&table->text, named);
	table_end_cell(table);
	free(text);
	free(named);
}

static void run_row(struct table *table, const struct screen *screen, const json_t *run)
{
	table_count(table, count_of(run, "id"));
	table_text(table, text_of(run, "stage"));
	ago_cell(table, screen, run, "created");
	add_took(screen, run, &table->text);
	if (is_running(run))
		print_progress(run, &table->text);
	table_end_cell(table);
	table_count(table, count_of(run, "attempt"));
	call_cell(table, run);
	table_text(table, has(run, "error") ? text_of(run, "error") : text_of(run, "reason"));
}

void print_runs(const struct screen *screen, const json_t *runs, bool with_work)
{
	const struct column *columns = run_columns + (with_work ? 0 : 1);
	TABLE_AUTO table = { 0 };
	const json_t *run;
	size_t i;

	table_begin(&table, columns, LW_COUNT(run_columns) - (with_work ? 0 : 1));
	json_array_foreach(runs, i, run)
	{
		if (with_work)
			table_text(&table, text_of(run, "work"));
		run_row(&table, screen, run);
	}
	table_print(&table, screen);
}

/* clang-format off */
static const struct column call_columns[] = {
	{ "CALLED",  false, 0,  0 },
	{ "COUNT",   true,  0,  1 },
	{ "STAGE",   false, 0,  2 },
	{ "CALL",    false, 12, 0 },
	{ "WHY",     false, 20, 0 },
};
/* clang-format on */

/* The latest distinct ones of a work, skipped or not, newest first. */
void print_latest_calls(const struct screen *screen, const json_t *calls)
{
	TABLE_AUTO table = { 0 };
	const json_t *call;
	size_t i;

	if (json_array_size(calls) == 0)
		return;
	table_begin(&table, call_columns, LW_COUNT(call_columns));
	json_array_foreach(calls, i, call)
	{
		ago_cell(&table, screen, call, "at");
		table_count(&table, count_of(call, "count"));
		table_text(&table, text_of(call, "stage"));
		call_cell(&table, call);
		table_text(&table, text_of(call, "why"));
	}
	(void)fputc('\n', screen->out);
	table_print(&table, screen);
}

/* ---- a reload ---------------------------------------------------------------------------------- */

/* "train: restart (command changed)"; false: nothing becomes of it. */
static bool print_reloaded_work(const struct screen *screen, const json_t *change)
{
	const char *does = text_of(change, "does");
	const char *key = text_of(change, "key");
	LW_AUTO_BUF line = { 0 };

	if (does == NULL || strcmp(does, "none") == 0)
		return false;
	print_clean(&line, text_of(change, "work"));
	lw_buf_printf(&line, ": ");
	print_clean(&line, does);
	if (key != NULL) {
		lw_buf_printf(&line, " (");
		print_clean(&line, key);
		lw_buf_printf(&line, " changed)");
	}
	(void)fprintf(screen->out, "%s\n", lw_buf_text(&line));
	return true;
}

static void print_reloaded_option(const struct screen *screen, const json_t *option)
{
	const char *does = text_of(option, "does");
	bool fixed = does != NULL && strcmp(does, "fixed") == 0;
	LW_AUTO_BUF line = { 0 };

	print_clean(&line, text_of(option, "key"));
	(void)fprintf(screen->out, "app: %s changed%s\n", lw_buf_text(&line),
		      fixed ? ", which takes a new start: lwctl shutdown --keep-works, then "
			      "lw-supervisor"
			    : "");
}

void print_reload(const struct screen *screen, const json_t *answer)
{
	const json_t *app = json_object_get(answer, "app");
	bool any = json_array_size(app) > 0;
	const json_t *change;
	size_t i;

	json_array_foreach(json_object_get(answer, "changes"), i, change)
	{
		if (print_reloaded_work(screen, change))
			any = true;
	}
	json_array_foreach(app, i, change) print_reloaded_option(screen, change);
	/* The flow is read anew whatever the options are. */
	if (json_is_true(json_object_get(answer, "applied")))
		(void)fprintf(screen->out, "reloaded%s\n", any ? "" : "; no option has changed");
	else if (!any)
		(void)fprintf(screen->out, "no option has changed\n");
	else
		(void)fprintf(screen->out, "nothing was done: it was only looked at\n");
}
