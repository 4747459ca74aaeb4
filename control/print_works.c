/* print_works.c - the app and its works as a table, and one work in full. See print.c. */
#include <inttypes.h>
#include <string.h>

#include "answer.h"
#include "table.h"

/* ---- what a work is doing ------------------------------------------------------------------------ */

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

/* "1 busy, 3 idle" */
static void add_pool(struct lw_buf *out, const json_t *processes)
{
	size_t count = json_array_size(processes);
	bool *counted = lw_alloc(count + 1);
	const char *between = "";

	for (size_t i = 0; i < count; i++) {
		const char *state = text_of(json_array_get(processes, i), "state");
		size_t same = 0;

		for (size_t k = i; k < count && state != NULL && !counted[i]; k++) {
			const char *other = text_of(json_array_get(processes, k), "state");

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

/* What there is to say of a process, first what is wrong. */
static bool add_processes(struct lw_buf *out, const json_t *processes)
{
	const json_t *process;
	size_t i;

	json_array_foreach(processes, i, process) if (add_trouble(out, process)) return true;
	json_array_foreach(processes, i, process) if (add_percent(out, process)) return true;
	return false;
}

/* Of a work, as far as few works have it. A process without others may stand in the work itself. */
static void add_note(struct lw_buf *out, const struct screen *screen, const json_t *work,
		     const char *stage)
{
	const json_t *processes = json_object_get(work, "processes");
	const char *message = text_of(work, "message");
	const char *reason = text_of(work, "reason");

	if (json_is_true(json_object_get(work, "held"))) {
		lw_buf_printf(out, "stopped by operator");
		return;
	}
	if (add_pause(out, screen, work) || add_processes(out, processes))
		return;
	if (processes == NULL && (add_trouble(out, work) || add_percent(out, work)))
		return;
	if (reason != NULL)
		print_clean(out, reason);
	if (message != NULL && (reason == NULL || strcmp(reason, message) != 0)) {
		lw_buf_printf(out, "%s", reason != NULL ? ": " : "");
		print_clean(out, message);
	}
	if (stage != NULL && strcmp(stage, "stopped") == 0)
		lw_buf_printf(out, "%sretry runs it again", reason != NULL ? "; " : "");
	else if (reason == NULL && json_is_false(json_object_get(work, "ready")))
		lw_buf_printf(out, "not ready");
}

/* ---- a line for each ------------------------------------------------------------------------------- */

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

/* What is read of every work; PID and STATE are those of its only process. */
enum cell { NAME, STAGE, SINCE, PID, STATE, QUEUE, MISSES, FAILED, HITS, CELLS_N };
static const char *const cell_names[CELLS_N] = {
	"name", "stage", "since", "pid", "state", "queue", "misses", "failed", "hits",
};

struct line {
	const json_t *cells[CELLS_N];
	const json_t *rest; /* an object with what few works have, or NULL */
};

/* "4711 busy" */
static void add_process(struct lw_buf *out, const struct line *line)
{
	int64_t pid = (int64_t)json_integer_value(line->cells[PID]);

	if (line->cells[STATE] == NULL || json_is_null(line->cells[STATE])) {
		add_pool(out, json_object_get(line->rest, "processes"));
		return;
	}
	if (pid > 0)
		lw_buf_printf(out, "%" PRId64 " ", pid);
	print_clean(out, json_string_value(line->cells[STATE]));
}

static void print_cells(struct table *table, const struct screen *screen, const struct line *line)
{
	const json_t *const *cells = line->cells;
	char ago[40] = "";

	table_text(table, json_string_value(cells[NAME]));
	table_text(table, json_string_value(cells[STAGE]));
	if (json_is_number(cells[SINCE]))
		print_ago(screen->now - json_number_value(cells[SINCE]), ago);
	table_text(table, ago);
	add_process(&table->text, line);
	table_end_cell(table);
	for (enum cell i = QUEUE; i <= HITS; i++)
		table_count(table, (int64_t)json_integer_value(cells[i]));
	if (line->rest != NULL)
		add_note(&table->text, screen, line->rest, json_string_value(cells[STAGE]));
	table_end_cell(table);
}

/* Where the columns of the cells are, and how far these go; the names are the answer's own. */
static size_t find_columns(const json_t *columns, size_t at[CELLS_N])
{
	size_t last = 0;

	for (enum cell cell = 0; cell < CELLS_N; cell++) {
		at[cell] = 0;
		while (at[cell] < json_array_size(columns) &&
		       strcmp(cell_names[cell], string_at(columns, at[cell])) != 0)
			at[cell]++;
		if (at[cell] > last)
			last = at[cell];
	}
	return last + 1;
}

/* What a row has, as an object; NULL where that is nothing but the cells. The caller drops it. */
static json_t *object_of(const json_t *columns, const json_t *row, size_t cells)
{
	json_t *object = json_array_size(row) > cells ? json_object() : NULL;
	json_t *value;
	size_t i;

	if (object == NULL)
		return NULL;
	json_array_foreach(row, i, value)
	{
		if (!json_is_null(value))
			(void)json_object_set(object, string_at(columns, i), value);
	}
	return object;
}

void print_works(const struct screen *screen, const json_t *answer)
{
	const json_t *columns = json_object_get(answer, "columns");
	const json_t *works = json_object_get(answer, "works");
	size_t at[CELLS_N], cells = find_columns(columns, at);
	TABLE_AUTO table = { 0 };
	const json_t *row;
	size_t i;

	if (json_array_size(works) == 0)
		return;
	table_begin(&table, work_columns, LW_COUNT(work_columns));
	json_array_foreach(works, i, row)
	{
		json_t *rest = object_of(columns, row, cells);
		struct line line = { .rest = rest };

		for (size_t k = 0; k < CELLS_N; k++)
			line.cells[k] = json_array_get(row, at[k]);
		print_cells(&table, screen, &line);
		json_decref(rest);
	}
	table_print(&table, screen);
}

/* The line of one work, of which the answer has everything. */
static void print_line_of(const struct screen *screen, const json_t *work)
{
	const json_t *processes = json_object_get(work, "processes");
	const json_t *only = json_array_size(processes) == 1 ? json_array_get(processes, 0) : NULL;
	struct line line = { .rest = work };
	TABLE_AUTO table = { 0 };

	for (size_t i = 0; i < CELLS_N; i++)
		line.cells[i] = json_object_get(work, cell_names[i]);
	line.cells[PID] = json_object_get(only, "pid");
	line.cells[STATE] = json_object_get(only, "state");
	line.cells[FAILED] = json_object_get(json_object_get(work, "runs"), "failed");
	table_begin(&table, work_columns, LW_COUNT(work_columns));
	print_cells(&table, screen, &line);
	table_print(&table, screen);
}

/* ---- one in full ----------------------------------------------------------------------------------- */

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
	const json_t *process;
	size_t i;

	print_line_of(screen, work);
	json_array_foreach(json_object_get(work, "processes"), i, process)
		print_process(screen, process);
	if (json_object_size(json_object_get(work, "state")) > 0)
		print_json_line(screen, "state", json_object_get(work, "state"));
	print_line(screen, "url", text_of(work, "url"));
}

/* ---- the app ---------------------------------------------------------------------------------------- */

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

void print_app(const struct screen *screen, const json_t *app)
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
