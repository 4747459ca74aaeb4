/* print.c - tables and sentences for a person.
 *
 * Called by command.c. Text that works and workers wrote is printed without control
 * characters, so that it cannot steer the terminal. Columns are counted in characters.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lw_value.h"
#include "lwctl.h"

#define GAP 2

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

static void print_ago(double seconds, char text[40])
{
	char took[32];

	print_duration(seconds, took);
	(void)snprintf(text, 40, seconds < 0.0005 ? "now" : "%s ago", took);
}

/* ---- reading ------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static int64_t count_of(const json_t *object, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(object, key));
}

static bool has(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value != NULL && !json_is_null(value);
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

static size_t columns_of(const uint8_t *at, size_t size)
{
	size_t columns = 0;

	for (size_t i = 0; i < size; i++)
		columns += (at[i] & 0xc0) != 0x80;
	return columns;
}

/* Bytes of the first `columns` characters. */
static size_t bytes_of(const uint8_t *at, size_t size, size_t columns)
{
	size_t i = 0;

	while (i < size && (columns > 0 || (at[i] & 0xc0) == 0x80))
		columns -= (at[i++] & 0xc0) != 0x80;
	return i;
}

/* ---- a table ------------------------------------------------------------------------------- */

#define COLUMNS_MAX 9
#define CALL_JSON   (JSON_COMPACT | JSON_REAL_PRECISION(15))

struct column {
	const char *title;
	bool right;
	size_t least; /* what is wider gives way to this on a narrow terminal; 0: never cut */
	int leaves;   /* when even that is too wide: the 1st, 2nd ... column to go; 0: stays */
};

/* Cells lie one behind the other in `text`; `ends` says where each ends. */
struct table {
	const struct column *columns;
	size_t column_count;
	struct lw_buf text;
	struct lw_buf ends; /* of size_t */
	size_t widths[COLUMNS_MAX];
	bool hidden[COLUMNS_MAX];
};

static void table_done(struct table *table)
{
	lw_buf_done(&table->text);
	lw_buf_done(&table->ends);
}

/* What was appended to table->text since the last cell is one. */
static void end_cell(struct table *table)
{
	size_t count = table->ends.size / sizeof(size_t);
	size_t end = table->text.size;
	size_t begin = 0;
	size_t *widest = &table->widths[count % table->column_count];
	size_t columns;

	if (count > 0)
		memcpy(&begin, table->ends.data + (count - 1) * sizeof(size_t), sizeof(begin));
	columns = columns_of(table->text.data + begin, end - begin);
	if (columns > *widest)
		*widest = columns;
	lw_buf_add(&table->ends, &end, sizeof(end));
}

static void text_cell(struct table *table, const char *text)
{
	print_clean(&table->text, text);
	end_cell(table);
}

static void count_cell(struct table *table, int64_t count)
{
	if (count >= 0 && count < 10)
		lw_buf_add(&table->text, &"0123456789"[count], 1); /* printf is slow */
	else
		lw_buf_printf(&table->text, "%" PRId64, count);
	end_cell(table);
}

static void table_begin(struct table *table, const struct column *columns, size_t count)
{
	*table = (struct table){ .columns = columns, .column_count = count };
	for (size_t i = 0; i < count; i++)
		text_cell(table, columns[i].title);
}

static const char *colour_of(const char *text, size_t size)
{
	/* clang-format off */
	static const struct { const char *stage, *colour; } colours[] = {
		{ "succeeded", "\033[32m" },
		{ "running",   "\033[36m" },
		{ "pending",   "\033[33m" },
		{ "failed",    "\033[31m" },
		{ "stopped",   "\033[2m" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(colours); i++)
		if (strlen(colours[i].stage) == size && memcmp(colours[i].stage, text, size) == 0)
			return colours[i].colour;
	return NULL;
}

static void pad(struct lw_buf *out, size_t columns)
{
	static const char spaces[] = "                                ";

	while (columns > 0) {
		size_t n = columns < sizeof(spaces) - 1 ? columns : sizeof(spaces) - 1;

		lw_buf_add(out, spaces, n);
		columns -= n;
	}
}

static void put_cell(struct lw_buf *out, const struct table *table, size_t column,
		     struct lw_slice text, const char *colour)
{
	size_t width = table->widths[column];
	size_t columns = columns_of(text.data, text.size);
	bool cut = columns > width;

	if (cut) {
		text.size = bytes_of(text.data, text.size, width > 0 ? width - 1 : 0);
		columns = width;
	}
	if (table->columns[column].right)
		pad(out, width - columns);
	if (colour != NULL)
		lw_buf_add(out, colour, strlen(colour));
	lw_buf_add(out, text.data, text.size);
	if (cut && width > 0)
		lw_buf_add(out, "\xe2\x80\xa6", 3); /* ... as one character */
	if (colour != NULL)
		lw_buf_add(out, "\033[0m", 4);
	if (column + 1 < table->column_count)
		pad(out, GAP + (table->columns[column].right ? 0 : width - columns));
}

/* The width of the whole, with the columns as wide as they are or cut as far as they may be. */
static size_t whole_width(const struct table *table, bool cut)
{
	size_t whole = 0;

	for (size_t i = 0; i < table->column_count; i++) {
		size_t least = table->columns[i].least;
		size_t width = table->widths[i];

		if (!table->hidden[i])
			whole += GAP + (cut && least > 0 && width > least ? least : width);
	}
	return whole - GAP;
}

static bool hide_next(struct table *table)
{
	size_t next = table->column_count;

	for (size_t i = 0; i < table->column_count; i++)
		if (!table->hidden[i] && table->columns[i].leaves > 0 &&
		    (next == table->column_count ||
		     table->columns[i].leaves < table->columns[next].leaves))
			next = i;
	if (next == table->column_count)
		return false;
	table->hidden[next] = true;
	return true;
}

/* Whole columns leave until the others have their least; these then give way, the last first. */
static void fit(struct table *table, size_t width)
{
	size_t whole;

	if (width == 0)
		return;
	while (whole_width(table, true) > width && hide_next(table)) {
	}
	whole = whole_width(table, false);
	for (size_t i = table->column_count; i-- > 0 && whole > width;) {
		size_t least = table->columns[i].least;
		size_t over = whole - width;

		if (table->hidden[i] || least == 0 || table->widths[i] <= least)
			continue;
		if (over > table->widths[i] - least)
			over = table->widths[i] - least;
		table->widths[i] -= over;
		whole -= over;
	}
}

static void table_print(struct table *table, const struct screen *screen)
{
	size_t count = table->ends.size / sizeof(size_t);
	LW_AUTO_BUF out = { 0 };
	size_t begin = 0;

	fit(table, screen->width);
	for (size_t i = 0; i < count; i++) {
		size_t column = i % table->column_count;
		struct lw_slice text;
		const char *colour = NULL;
		size_t end;

		memcpy(&end, table->ends.data + i * sizeof(end), sizeof(end));
		text = (struct lw_slice){ table->text.data + begin, end - begin };
		begin = end;
		if (screen->colour)
			colour = i < table->column_count
					 ? "\033[1m"
					 : colour_of((const char *)text.data, text.size);
		if (!table->hidden[column])
			put_cell(&out, table, column, text, colour);
		if (column + 1 == table->column_count) {
			while (out.size > 0 && out.data[out.size - 1] == ' ')
				out.size--;
			lw_buf_add(&out, "\n", 1);
		}
	}
	(void)fwrite(out.data, 1, out.size, screen->out);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void ago_cell(struct table *table, const struct screen *screen, const json_t *object,
		     const char *key)
{
	char text[40];

	if (has(object, key)) {
		print_ago(screen->now - number_of(object, key), text);
		lw_buf_printf(&table->text, "%s", text);
	}
	end_cell(table);
}

static int percent_of(const json_t *object)
{
	double progress = number_of(object, "progress");

	return progress > 0 && progress <= 1 ? (int)(progress * 100 + 1e-6) : 0;
}

void print_progress(const json_t *object, struct lw_buf *out)
{
	if (has(object, "progress"))
		lw_buf_printf(out, ", %d %%", percent_of(object));
}

/* In a brief answer the only process of a work stands in the work itself. */
static size_t process_count(const json_t *work)
{
	const json_t *processes = json_object_get(work, "processes");

	return processes != NULL ? json_array_size(processes) : 1;
}

static const json_t *process_at(const json_t *work, size_t i)
{
	const json_t *processes = json_object_get(work, "processes");

	return processes != NULL ? json_array_get(processes, i) : work;
}

/* "1 busy, 3 idle" */
static void add_pool(struct lw_buf *out, const json_t *work, size_t count)
{
	bool *counted = lw_alloc(count + 1);
	const char *between = "";

	for (size_t i = 0; i < count; i++) {
		const char *state = text_of(process_at(work, i), "state");
		size_t same = 0;

		for (size_t k = i; k < count && state != NULL && !counted[i]; k++) {
			const char *other = text_of(process_at(work, k), "state");

			if (k > i && (other == NULL || strcmp(state, other) != 0))
				continue;
			same++;
			counted[k] = k > i;
		}
		if (same == 0)
			continue;
		lw_buf_printf(out, "%s%zu ", between, same);
		print_clean(out, state);
		between = ", ";
	}
	lw_free(counted);
}

/* "4711 busy" */
static void processes_cell(struct table *table, const json_t *work)
{
	size_t count = process_count(work);

	if (count == 1) {
		const json_t *process = process_at(work, 0);

		if (has(process, "pid"))
			lw_buf_printf(&table->text, "%" PRId64 " ", count_of(process, "pid"));
		print_clean(&table->text, text_of(process, "state"));
	} else {
		add_pool(&table->text, work, count);
	}
	end_cell(table);
}

/* What a person should know of a process: why it is not there, and when it comes back. */
static bool add_trouble(struct lw_buf *out, const json_t *process)
{
	const char *death = text_of(process, "last_death");
	const char *error = text_of(process, "error");
	const char *state = text_of(process, "state");
	char text[32];

	if (has(process, "next_try")) {
		print_duration(number_of(process, "next_try"), text);
		lw_buf_printf(out, "next try in %s", text);
	} else if (state == NULL || strcmp(state, "failed") != 0) {
		return false;
	} else {
		lw_buf_printf(out, "gave up");
	}
	if (error != NULL || death != NULL) {
		lw_buf_printf(out, "; last: ");
		print_clean(out, error != NULL ? error : death);
	}
	return true;
}

static bool add_percent(struct lw_buf *out, const json_t *process)
{
	if (has(process, "progress"))
		lw_buf_printf(out, "%d %%", percent_of(process));
	return has(process, "progress");
}

/* "paused by uid 1000 pid 4242 5 min ago" */
static bool add_pause(struct lw_buf *out, const struct screen *screen, const json_t *object)
{
	const json_t *pause = json_object_get(object, "paused");
	char text[40];

	if (!json_is_object(pause))
		return false;
	print_ago(screen->now - number_of(pause, "at"), text);
	lw_buf_printf(out, "paused by ");
	print_clean(out, text_of(pause, "by"));
	lw_buf_printf(out, " %s", text);
	return true;
}

static void note_cell(struct table *table, const struct screen *screen, const json_t *work)
{
	size_t count = process_count(work);
	const char *message = text_of(work, "message");
	const char *reason = text_of(work, "reason");
	const char *stage = text_of(work, "stage");
	bool told = false;

	if (json_is_true(json_object_get(work, "held"))) {
		lw_buf_printf(&table->text, "stopped by operator");
		told = true;
	}
	told = told || add_pause(&table->text, screen, work);
	for (size_t i = 0; i < count && !told; i++)
		told = add_trouble(&table->text, process_at(work, i));
	for (size_t i = 0; i < count && !told; i++)
		told = add_percent(&table->text, process_at(work, i));
	if (!told && reason != NULL)
		print_clean(&table->text, reason);
	if (!told && message != NULL && (reason == NULL || strcmp(reason, message) != 0)) {
		lw_buf_printf(&table->text, "%s", reason != NULL ? ": " : "");
		print_clean(&table->text, message);
	}
	if (!told && stage != NULL && strcmp(stage, "stopped") == 0)
		lw_buf_printf(&table->text, "%sretry runs it again", reason != NULL ? "; " : "");
	else if (!told && reason == NULL && json_is_false(json_object_get(work, "ready")))
		lw_buf_printf(&table->text, "not ready");
	end_cell(table);
}

/* clang-format off */
static const struct column work_columns[] = {
	{ "WORK",      false, 12, 0 },
	{ "STAGE",     false, 0,  0 },
	{ "SINCE",     false, 0,  6 },
	{ "PROCESSES", false, 0,  7 },
	{ "QUEUE",     true,  0,  4 },
	{ "RUNS",      true,  0,  3 },
	{ "FAILED",    true,  0,  2 },
	{ "HITS",      true,  0,  1 },
	{ "NOTE",      false, 20, 5 },
};
/* clang-format on */

static void print_works(const struct screen *screen, const json_t *works)
{
	__attribute__((cleanup(table_done))) struct table table = { 0 };
	const json_t *work;
	size_t i;

	table_begin(&table, work_columns, LW_COUNT(work_columns));
	json_array_foreach(works, i, work)
	{
		const json_t *runs = json_object_get(work, "runs");

		text_cell(&table, text_of(work, "name"));
		text_cell(&table, text_of(work, "stage"));
		ago_cell(&table, screen, work, "since");
		processes_cell(&table, work);
		count_cell(&table, count_of(work, "queue"));
		count_cell(&table, count_of(work, "misses"));
		count_cell(&table, count_of(runs != NULL ? runs : work, "failed"));
		count_cell(&table, count_of(work, "hits"));
		note_cell(&table, screen, work);
	}
	table_print(&table, screen);
}

/* Why nothing can be put on record, which stops every new run. */
static void print_journal_error(const struct screen *screen, const json_t *journal)
{
	const char *error = text_of(journal, "error");
	LW_AUTO_BUF line = { 0 };

	if (error == NULL)
		return;
	print_clean(&line, error);
	(void)fprintf(screen->out, "%sjournal: %s; no run starts until it can be written%s\n",
		      screen->colour ? "\033[31m" : "", lw_buf_text(&line),
		      screen->colour ? "\033[0m" : "");
}

/* With the token, which the supervisor leaves in its state directory, only where a person looks:
 * what is piped ends in files and mails. */
static void add_entrance(struct lw_buf *line, const struct screen *screen, const json_t *app)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/view.url", text_of(app, "state_dir"));
	FILE *file = screen->width > 0 ? fopen(path, "re") : NULL;
	char text[512] = "";

	if (file != NULL) {
		if (fgets(text, sizeof(text), file) == NULL)
			text[0] = '\0';
		(void)fclose(file);
	}
	text[strcspn(text, "\n")] = '\0';
	print_clean(line, text[0] != '\0' ? text : text_of(app, "view"));
}

static void print_view(const struct screen *screen, const json_t *app)
{
	LW_AUTO_BUF line = { 0 };

	if (text_of(app, "view") == NULL)
		return;
	add_entrance(&line, screen, app);
	(void)fprintf(screen->out, "view: %s\n", lw_buf_text(&line));
}

static void print_app(const struct screen *screen, const json_t *app)
{
	const json_t *journal = json_object_get(app, "journal");
	LW_AUTO_BUF line = { 0 };
	char text[32];

	print_duration(number_of(app, "uptime"), text);
	print_clean(&line, text_of(app, "path"));
	lw_buf_printf(&line, ": ");
	print_clean(&line, text_of(app, "stage"));
	lw_buf_printf(&line, ", up %s, %" PRId64 " pass%s, pid %" PRId64, text,
		      count_of(app, "passes"), count_of(app, "passes") == 1 ? "" : "es",
		      count_of(app, "pid"));
	if (has(journal, "bytes")) {
		print_bytes(count_of(journal, "bytes"), text);
		lw_buf_printf(&line, ", journal %s", text);
	}
	if (json_is_object(json_object_get(app, "paused"))) {
		lw_buf_printf(&line, "; no passes: ");
		(void)add_pause(&line, screen, app);
	}
	(void)fprintf(screen->out, "%s\n", lw_buf_text(&line));
	print_view(screen, app);
	print_journal_error(screen, journal);
}

void print_status(const struct screen *screen, const json_t *app, const json_t *works)
{
	if (app != NULL)
		print_app(screen, app);
	if (json_array_size(works) > 0)
		print_works(screen, works);
}

/* ---- one work, one run --------------------------------------------------------------------------- */

void print_line(const struct screen *screen, const char *name, const char *text)
{
	LW_AUTO_BUF line = { 0 };

	if (text == NULL)
		return;
	print_clean(&line, text);
	(void)fprintf(screen->out, "%-10s %s\n", name, lw_buf_text(&line));
}

static void print_json_line(const struct screen *screen, const char *name, const json_t *value)
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

static void print_process(const struct screen *screen, const json_t *process)
{
	int64_t starts = count_of(process, "starts");
	LW_AUTO_BUF line = { 0 };

	if (has(process, "pid"))
		lw_buf_printf(&line, "pid %" PRId64 ", ", count_of(process, "pid"));
	print_clean(&line, text_of(process, "state"));
	if (has(process, "run"))
		lw_buf_printf(&line, " with run %" PRId64, count_of(process, "run"));
	print_progress(process, &line);
	if (starts == 1)
		lw_buf_printf(&line, ", started once");
	else if (starts > 1)
		lw_buf_printf(&line, ", started %" PRId64 " times", starts);
	lw_buf_printf(&line, ", ");
	if (!add_trouble(&line, process)) {
		line.size -= 2;
		if (has(process, "last_death")) {
			lw_buf_printf(&line, ", last death: ");
			print_clean(&line, text_of(process, "last_death"));
		}
	}
	print_line(screen, "process", lw_buf_text(&line));
}

void print_work(const struct screen *screen, const json_t *work)
{
	json_t *works = json_array();
	const json_t *process;
	size_t i;

	(void)json_array_append(works, (json_t *)(uintptr_t)work);
	print_works(screen, works);
	json_decref(works);
	json_array_foreach(json_object_get(work, "processes"), i, process)
		print_process(screen, process);
	if (json_object_size(json_object_get(work, "state")) > 0)
		print_json_line(screen, "state", json_object_get(work, "state"));
	print_line(screen, "url", text_of(work, "url"));
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
	end_cell(table);
	free(text);
	free(named);
}

static void run_row(struct table *table, const struct screen *screen, const json_t *run)
{
	count_cell(table, count_of(run, "id"));
	text_cell(table, text_of(run, "stage"));
	ago_cell(table, screen, run, "created");
	add_took(screen, run, &table->text);
	if (is_running(run))
		print_progress(run, &table->text);
	end_cell(table);
	count_cell(table, count_of(run, "attempt"));
	call_cell(table, run);
	text_cell(table, has(run, "error") ? text_of(run, "error") : text_of(run, "reason"));
}

void print_runs(const struct screen *screen, const json_t *runs, bool with_work)
{
	const struct column *columns = run_columns + (with_work ? 0 : 1);
	__attribute__((cleanup(table_done))) struct table table = { 0 };
	const json_t *run;
	size_t i;

	table_begin(&table, columns, LW_COUNT(run_columns) - (with_work ? 0 : 1));
	json_array_foreach(runs, i, run)
	{
		if (with_work)
			text_cell(&table, text_of(run, "work"));
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
	__attribute__((cleanup(table_done))) struct table table = { 0 };
	const json_t *call;
	size_t i;

	if (json_array_size(calls) == 0)
		return;
	table_begin(&table, call_columns, LW_COUNT(call_columns));
	json_array_foreach(calls, i, call)
	{
		ago_cell(&table, screen, call, "at");
		count_cell(&table, count_of(call, "count"));
		text_cell(&table, text_of(call, "stage"));
		call_cell(&table, call);
		text_cell(&table, text_of(call, "why"));
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
