/* metrics.c - the tables of what is counted, of the app and of each work. See metrics.h.
 *
 * Rows of the same name stand together, differ in their label and share the first one's help. How
 * long runs and passes took are histograms, which stand apart at the end.
 */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "events.h"
#include "histogram.h"
#include "logs.h"
#include "usage.h"

#define NOT_KNOWN (-1) /* as a value: there is no sample */

enum unit { PLAIN, SECONDS /* values are microseconds */ };

struct metric {
	const char *name;
	const char *type;  /* "counter", "gauge" */
	const char *label; /* "stage=\"failed\"", or NULL */
	enum unit unit;
	const char *help; /* NULL: as the row before */
};

/* ---- of a work -------------------------------------------------------------------------------- */

static int64_t processes(const struct work *work)
{
	int64_t n = 0;

	for (size_t i = 0; i < work->worker_count; i++)
		n += worker_has_process(work->workers[i]);
	return n;
}

static struct usage usage_of(const struct work *work)
{
	struct usage usage;

	if (!work_usage(work, &usage))
		usage = (struct usage){ .cpu = NOT_KNOWN,
					.memory = UINT64_MAX,
					.processes = UINT64_MAX };
	return usage;
}

/* An app of a test may have no output. */
static uint64_t of_logs(const struct work *work,
			uint64_t (*count)(const struct logs *logs, const char *work))
{
	return work->app->logs != NULL ? count(work->app->logs, work->config->name) : 0;
}

/* clang-format off */
/*        name, type, label, unit, value of `work`
 *        help */
#define WORK_METRICS(M)                                                                            \
	M(calls_hit, "lw_calls_total", "counter", "decision=\"hit\"", PLAIN, work->hits,           \
	  "Calls, by what became of them: skipped (hit), joined to a run, run, or held back.")      \
	M(calls_join, "lw_calls_total", "counter", "decision=\"join\"", PLAIN, work->joins, NULL)  \
	M(calls_run, "lw_calls_total", "counter", "decision=\"run\"", PLAIN, work->misses, NULL)   \
	M(calls_held, "lw_calls_total", "counter", "decision=\"held\"", PLAIN, work->held_answers, NULL) \
	M(saved, "lw_saved_seconds_total", "counter", NULL, SECONDS, work->saved,                  \
	  "Run time that skipped calls did not spend.")                                            \
	M(runs_pending, "lw_runs", "gauge", "stage=\"pending\"", PLAIN,                            \
	  work_live_runs(work) - work_running_runs(work), "Runs that are not over.")               \
	M(runs_running, "lw_runs", "gauge", "stage=\"running\"", PLAIN, work_running_runs(work), NULL) \
	M(runs_succeeded, "lw_runs_total", "counter", "stage=\"succeeded\"", PLAIN,                \
	  work->stage_counts[STAGE_SUCCEEDED], "Runs that are over, by how they ended.")            \
	M(runs_failed, "lw_runs_total", "counter", "stage=\"failed\"", PLAIN,                      \
	  work->stage_counts[STAGE_FAILED], NULL)                                                  \
	M(runs_stopped, "lw_runs_total", "counter", "stage=\"stopped\"", PLAIN,                    \
	  work->stage_counts[STAGE_STOPPED], NULL)                                                 \
	M(timeouts, "lw_timeouts_total", "counter", NULL, PLAIN, work->timeouts,                   \
	  "Attempts that were ended because they took too long.")                                  \
	M(restarts, "lw_restarts_total", "counter", NULL, PLAIN, work->restarts,                   \
	  "Processes that were started in the place of one that ended.")                           \
	M(dropped, "lw_dropped_results_total", "counter", NULL, PLAIN, work->dropped_results,      \
	  "Results of attempts that had been given up.")                                           \
	M(queue, "lw_queue_calls", "gauge", NULL, PLAIN, work->queue.count + work->delayed.count,  \
	  "Calls that wait for a process, or for another attempt.")                                \
	M(up, "lw_processes", "gauge", NULL, PLAIN, processes(work),                               \
	  "Processes of the pool that are there.")                                                 \
	M(ready, "lw_work_ready", "gauge", NULL, PLAIN, work_readiness(work) == READY_YES,         \
	  "1 while the work says that it is ready, or a program of it serves.")                    \
	M(held, "lw_work_stopped", "gauge", NULL, PLAIN, work->held,                               \
	  "1 while an operator's stop holds.")                                                     \
	M(paused, "lw_work_paused", "gauge", NULL, PLAIN, is_paused(&work->pause),                 \
	  "1 while nothing is taken from its queue.")                                              \
	M(output, "lw_output_bytes_total", "counter", NULL, PLAIN, of_logs(work, logs_bytes),      \
	  "Bytes that its processes have printed.")                                                \
	M(lost, "lw_output_lost_lines_total", "counter", NULL, PLAIN, of_logs(work, logs_lost),    \
	  "Lines that could not be written to its log file.")                                      \
	M(cpu, "lw_cpu_seconds", "gauge", NULL, SECONDS, usage_of(work).cpu,                       \
	  "Processor time of the processes that are there; it begins anew with each.")             \
	M(memory, "lw_memory_bytes", "gauge", NULL, PLAIN, usage_of(work).memory,                  \
	  "Memory of its processes and of all they have started.")                                 \
	M(tree, "lw_tree_processes", "gauge", NULL, PLAIN, usage_of(work).processes,               \
	  "Its processes and all they have started.")

#define VALUE(id, name, type, label, unit, value, help)                                            \
	static int64_t work_##id(const struct work *work)                                          \
	{                                                                                          \
		return (int64_t)(value);                                                           \
	}
WORK_METRICS(VALUE)
#undef VALUE
/* clang-format on */

static const struct work_metric {
	struct metric metric;
	int64_t (*value)(const struct work *work);
} of_works[] = {
#define ROW(id, name, type, label, unit, value, help)                                              \
	{ { name, type, label, unit, help }, work_##id },
	WORK_METRICS(ROW)
#undef ROW
};

/* ---- of the app --------------------------------------------------------------------------------- */

static int64_t used_processor(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) < 0)
		return 0;
	return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
	       used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static int64_t used_memory(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d %ld", &pages) != 1)
		pages = 0;
	(void)fclose(file);
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* clang-format off */
#define APP_METRICS(M)                                                                             \
	M(info, "lw_info", "gauge", "version=\"" LW_VERSION "\"", PLAIN, app != NULL,              \
	  "The version of the supervisor.")                                                        \
	M(started, "lw_start_time_seconds", "gauge", NULL, SECONDS, app->started,                  \
	  "When the supervisor started, in seconds since 1970.")                                   \
	M(running, "lw_app_running", "gauge", NULL, PLAIN, app->stage == APP_RUNNING,              \
	  "1 while the app runs, 0 while it starts or stops.")                                     \
	M(paused, "lw_app_paused", "gauge", NULL, PLAIN, is_paused(&app->pause),                   \
	  "1 while no passes are made.")                                                           \
	M(passes, "lw_passes_total", "counter", NULL, PLAIN, app->passes, "Passes of the flow.")   \
	M(last_pass, "lw_last_pass_timestamp_seconds", "gauge", NULL, SECONDS, app->last_pass,     \
	  "When the last pass began, in seconds since 1970.")                                      \
	M(remembered, "lw_calls_remembered", "gauge", NULL, PLAIN, cache_count(app->cache),        \
	  "Calls whose run is remembered.")                                                        \
	M(journal, "lw_journal_bytes", "gauge", NULL, PLAIN, journal_size(app->journal),           \
	  "Size of the record.")                                                                   \
	M(waiting, "lw_journal_waiting_bytes", "gauge", NULL, PLAIN, journal_backlog(app->journal), \
	  "What is not written to the record yet.")                                                \
	M(transactions, "lw_journal_transactions_total", "counter", NULL, PLAIN,                   \
	  journal_transactions(app->journal), "Transactions of the record.")                       \
	M(changes, "lw_journal_rows_total", "counter", NULL, PLAIN, journal_changes(app->journal), \
	  "Rows of the record that were written.")                                                 \
	M(writable, "lw_journal_writable", "gauge", NULL, PLAIN, journal_error(app->journal) == NULL, \
	  "0 while the record cannot be written, and so no run starts.")                           \
	M(events, "lw_events_total", "counter", NULL, PLAIN, events_last(app->events),             \
	  "Events so far.")                                                                        \
	M(readers, "lw_event_subscribers", "gauge", NULL, PLAIN, events_readers(app->events),      \
	  "Clients that follow the events.")                                                       \
	M(dropped, "lw_console_dropped_lines_total", "counter", NULL, PLAIN,                       \
	  app->logs != NULL ? logs_dropped(app->logs) : 0,                                         \
	  "Lines that the supervisor's own console did not take.")                                 \
	M(cpu, "process_cpu_seconds_total", "counter", NULL, SECONDS, app != NULL ? used_processor() : 0, \
	  "Processor time of the supervisor itself.")                                              \
	M(memory, "process_resident_memory_bytes", "gauge", NULL, PLAIN, app != NULL ? used_memory() : 0, \
	  "Memory of the supervisor itself.")

#define VALUE(id, name, type, label, unit, value, help)                                            \
	static int64_t app_##id(const struct app *app)                                             \
	{                                                                                          \
		return (int64_t)(value);                                                           \
	}
APP_METRICS(VALUE)
#undef VALUE
/* clang-format on */

static const struct app_metric {
	struct metric metric;
	int64_t (*value)(const struct app *app);
} of_app[] = {
#define ROW(id, name, type, label, unit, value, help)                                              \
	{ { name, type, label, unit, help }, app_##id },
	APP_METRICS(ROW)
#undef ROW
};

/* ---- printing ------------------------------------------------------------------------------------ */

static void print_head(const char *name, const char *type, const char *help, struct lw_buf *out)
{
	lw_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Names have no control characters. */
static void print_name(const struct work *work, struct lw_buf *out)
{
	lw_buf_add(out, "work=\"", 6);
	for (const char *at = work->config->name; *at != '\0'; at++) {
		if (*at == '\\' || *at == '"')
			lw_buf_add(out, "\\", 1);
		lw_buf_add(out, at, 1);
	}
	lw_buf_add(out, "\"", 1);
}

static void print_value(enum unit unit, int64_t value, struct lw_buf *out)
{
	if (unit == SECONDS)
		lw_buf_printf(out, "%lld.%06lld\n", (long long)(value / 1000000),
			      (long long)(value % 1000000));
	else
		lw_buf_printf(out, "%lld\n", (long long)value);
}

/* `work` NULL: of the app. */
static void print_sample(const struct metric *metric, const struct work *work, int64_t value,
			 struct lw_buf *out)
{
	if (value == NOT_KNOWN)
		return;
	lw_buf_printf(out, "%s", metric->name);
	if (work != NULL || metric->label != NULL)
		lw_buf_add(out, "{", 1);
	if (work != NULL)
		print_name(work, out);
	if (work != NULL && metric->label != NULL)
		lw_buf_add(out, ",", 1);
	if (metric->label != NULL)
		lw_buf_printf(out, "%s", metric->label);
	if (work != NULL || metric->label != NULL)
		lw_buf_add(out, "}", 1);
	lw_buf_add(out, " ", 1);
	print_value(metric->unit, value, out);
}

/* ---- histograms ---------------------------------------------------------------------------------- */

static void print_count(const char *name, const char *part, const struct work *work, double most,
			uint64_t count, struct lw_buf *out)
{
	bool is_bucket = most != 0;

	lw_buf_printf(out, "%s%s", name, part);
	if (work != NULL || is_bucket)
		lw_buf_add(out, "{", 1);
	if (work != NULL)
		print_name(work, out);
	if (is_bucket)
		lw_buf_printf(out, isinf(most) ? "%sle=\"+Inf\"" : "%sle=\"%g\"",
			      work != NULL ? "," : "", most);
	if (work != NULL || is_bucket)
		lw_buf_add(out, "}", 1);
	lw_buf_printf(out, " %llu\n", (unsigned long long)count);
}

static void print_histogram(const char *name, const struct work *work,
			    const struct histogram *histogram,
			    const struct histogram_bounds *bounds, struct lw_buf *out)
{
	LW_AUTO(lw_free) char *sum = lw_format("%s_sum", name);
	uint64_t count = 0;

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		double most = i < HISTOGRAM_BUCKETS ? (double)bounds->most[i] / 1e6 : INFINITY;

		count += histogram->counts[i];
		print_count(name, "_bucket", work, most, count, out);
	}
	print_sample(&(struct metric){ .name = sum, .unit = SECONDS }, work, histogram->sum, out);
	print_count(name, "_count", work, 0, count, out);
}

static void print_durations(const struct app *app, struct lw_buf *out)
{
	static const char passes[] = "lw_pass_duration_seconds", runs[] = "lw_run_duration_seconds";

	print_head(passes, "histogram", "How long passes of the flow took.", out);
	print_histogram(passes, NULL, &app->passes_took, &histogram_of_passes, out);
	print_head(runs, "histogram", "How long runs took that came to an end.", out);
	for (size_t i = 0; i < app->work_count; i++)
		if (app_shows(app->works[i]))
			print_histogram(runs, app->works[i], &app->works[i]->took,
					&histogram_of_runs, out);
}

/* ---- all ------------------------------------------------------------------------------------------- */

static size_t rows_of(size_t first)
{
	size_t n = 1;

	while (first + n < LW_COUNT(of_works) && of_works[first + n].metric.help == NULL)
		n++;
	return n;
}

void metrics_print(struct app *app, struct lw_buf *out)
{
	usage_look(app);
	for (size_t i = 0; i < LW_COUNT(of_app); i++) {
		const struct metric *metric = &of_app[i].metric;

		print_head(metric->name, metric->type, metric->help, out);
		print_sample(metric, NULL, of_app[i].value(app), out);
	}
	for (size_t i = 0; i < LW_COUNT(of_works); i += rows_of(i)) {
		const struct metric *metric = &of_works[i].metric;

		print_head(metric->name, metric->type, metric->help, out);
		for (size_t w = 0; w < app->work_count; w++)
			for (size_t row = i; app_shows(app->works[w]) && row < i + rows_of(i);
			     row++)
				print_sample(&of_works[row].metric, app->works[w],
					     of_works[row].value(app->works[w]), out);
	}
	print_durations(app, out);
}
