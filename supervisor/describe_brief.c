/* describe_brief.c - works as rows of a table: names of columns once, and then values alone. */
#include "describe.h"
#include "worker.h"

/* A row that is being written. `only`: the process of a work that has one, else NULL; what there is
 * to say of it stands in the row itself. */
struct row {
	const struct work *work;
	struct status status;
	const struct worker *only;
	struct worker_info info; /* of `only` */
	size_t nulls;            /* that stand before the next value, if one follows */
	struct lw_buf *out;
};

/* Where the next value goes. */
static struct lw_buf *cell(struct row *row)
{
	for (; row->nulls > 0; row->nulls--)
		js_null(row->out);
	return row->out;
}

static void put_text(struct row *row, const char *text)
{
	if (text != NULL)
		js_text(cell(row), text);
	else
		row->nulls++;
}

static void put_truth(struct row *row, bool said, bool truth)
{
	if (said)
		js_truth(cell(row), truth);
	else
		row->nulls++;
}

/* ---- one process -------------------------------------------------------------------------------- */

static bool in_trouble(const struct worker_info *info)
{
	return info->state == WORKER_FAILED || info->state == WORKER_BACKOFF;
}

/* One of several. */
static void describe_one(const struct worker *worker, struct lw_buf *out)
{
	struct worker_info info = worker_info(worker);
	const struct run *run = describe_running(worker);

	js_open(out, '{');
	if (info.pid > 0)
		COUNT("pid", (uint64_t)info.pid);
	TEXT("state", worker_state_text(info.state));
	if (info.next_try >= 0)
		SPAN("next_try", info.next_try);
	if (in_trouble(&info) && info.last_death != NULL)
		TEXT("last_death", info.last_death);
	if (in_trouble(&info) && info.error != NULL)
		TEXT("error", info.error);
	if (run != NULL && run->progress >= 0) {
		js_key(out, "progress");
		describe_progress(run, out);
	}
	js_close(out, '}');
}

/* ---- the columns -------------------------------------------------------------------------------- */

static void put_name(struct row *row)
{
	put_text(row, row->work->config->name);
}

static void put_stage(struct row *row)
{
	put_text(row, stage_name(row->status.stage));
}

static void put_since(struct row *row)
{
	js_time_or_null(cell(row), row->status.at);
}

static void put_pid(struct row *row)
{
	if (row->only != NULL && row->info.pid > 0)
		js_int(cell(row), row->info.pid);
	else
		row->nulls++;
}

static void put_process(struct row *row)
{
	put_text(row, row->only != NULL ? worker_state_text(row->info.state) : NULL);
}

static void put_queue(struct row *row)
{
	js_count(cell(row), row->work->queue.count + row->work->delayed.count);
}

static void put_misses(struct row *row)
{
	js_count(cell(row), row->work->misses);
}

static void put_failed(struct row *row)
{
	js_count(cell(row), row->work->stage_counts[STAGE_FAILED]);
}

static void put_hits(struct row *row)
{
	js_count(cell(row), row->work->hits);
}

static void put_reason(struct row *row)
{
	put_text(row, row->status.reason);
}

static void put_message(struct row *row)
{
	put_text(row, row->status.message);
}

static void put_held(struct row *row)
{
	put_truth(row, row->work->held, true);
}

static void put_paused(struct row *row)
{
	if (is_paused(&row->work->pause))
		describe_pause(&row->work->pause, cell(row));
	else
		row->nulls++;
}

static void put_ready(struct row *row)
{
	put_truth(row, row->work->speaks_of_ready && work_readiness(row->work) == READY_NO, false);
}

static void put_progress(struct row *row)
{
	const struct run *run = row->only != NULL ? describe_running(row->only) : NULL;

	if (run != NULL && run->progress >= 0)
		describe_progress(run, cell(row));
	else
		row->nulls++;
}

static void put_next_try(struct row *row)
{
	if (row->only != NULL && row->info.next_try >= 0)
		js_time(cell(row), row->info.next_try);
	else
		row->nulls++;
}

static void put_last_death(struct row *row)
{
	put_text(row, row->only != NULL && in_trouble(&row->info) ? row->info.last_death : NULL);
}

static void put_error(struct row *row)
{
	put_text(row, row->only != NULL && in_trouble(&row->info) ? row->info.error : NULL);
}

static void put_processes(struct row *row)
{
	struct lw_buf *out;

	if (row->only != NULL) {
		row->nulls++;
		return;
	}
	out = cell(row);
	js_open(out, '[');
	for (size_t i = 0; i < row->work->worker_count; i++)
		describe_one(row->work->workers[i], out);
	js_close(out, ']');
}

static void put_usage(struct row *row)
{
	describe_usage(row->work, cell(row));
}

/* clang-format off */
/* What every work has, and then what few have. The last one is there when it is asked for. */
static const struct column {
	const char *name;
	void (*put)(struct row *row);
} columns[] = {
	{ "name",       put_name },
	{ "stage",      put_stage },
	{ "since",      put_since },
	{ "pid",        put_pid },
	{ "state",      put_process },
	{ "queue",      put_queue },
	{ "misses",     put_misses },
	{ "failed",     put_failed },
	{ "hits",       put_hits },
	{ "reason",     put_reason },
	{ "message",    put_message },
	{ "held",       put_held },
	{ "paused",     put_paused },
	{ "ready",      put_ready },
	{ "progress",   put_progress },
	{ "next_try",   put_next_try },
	{ "last_death", put_last_death },
	{ "error",      put_error },
	{ "processes",  put_processes },
	{ "usage",      put_usage },
};
/* clang-format on */

static void describe_row(const struct work *work, size_t count, struct lw_buf *out)
{
	struct row row = { .work = work, .status = work_status(work), .out = out };

	if (work->worker_count == 1) {
		row.only = work->workers[0];
		row.info = worker_info(row.only);
	}
	js_open(out, '[');
	for (size_t i = 0; i < count; i++)
		columns[i].put(&row);
	js_close(out, ']');
}

void describe_briefly(const struct app *app, bool usage, struct lw_buf *out)
{
	size_t count = LW_COUNT(columns) - (usage ? 0 : 1);

	js_key(out, "columns");
	js_open(out, '[');
	for (size_t i = 0; i < count; i++)
		js_text(out, columns[i].name);
	js_close(out, ']');
	js_key(out, "works");
	js_open(out, '[');
	for (size_t i = 0; i < app->work_count; i++)
		if (app_shows(app->works[i]))
			describe_row(app->works[i], count, out);
	js_close(out, ']');
}
