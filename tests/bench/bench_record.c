/* bench_record.c - groups `journal` and `load`: what the record costs, and how it is read back. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon.h"

/* ---- journal ---------------------------------------------------------------------------- */

#define RUNS "300000"

/* Of a run of throughput.conf in that durability: the rate, and what was written how. */
struct written {
	double rate;
	double changes; /* a run */
	double batch;   /* changes a transaction */
};

static double journal_number(const json_t *status, const char *name)
{
	const json_t *app = json_object_get(status, "app");
	const json_t *journal = json_object_get(app, "journal");

	return (double)json_integer_value(json_object_get(journal, name));
}

static bool ask_written(struct daemon *daemon, struct written *written)
{
	json_t *status = daemon_status(daemon);
	double changes = journal_number(status, "changes");

	written->changes = changes / strtod(RUNS, NULL);
	written->batch = changes / journal_number(status, "transactions");
	json_decref(status);
	return changes > 0;
}

static struct written program_written(const char *durability)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "32" },
					    { "LW_BENCH_CALLS", RUNS },
					    { "LW_BENCH_DURABILITY", durability },
					    { "LW_BENCH_STAYS", "1" },
					    { 0 } };
	const struct plan plan = { .conf = "throughput.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	struct written written = { .rate = NAN };

	if (daemon_says(daemon, "done", DEADLINE(60)) && ask_written(daemon, &written))
		written.rate = board_rate(daemon_board(daemon));
	else
		daemon_explain(daemon, "journal");
	daemon_stop(daemon);
	return written;
}

static double bare_written(const struct written *written, bool power)
{
	const struct sqlite_load load = { .power = power,
					  .runs = strtoul(RUNS, NULL, 10),
					  .changes = written->changes,
					  .batch = written->batch,
					  .form_size = 20 };

	return isnan(written->rate) ? (double)NAN : floor_journal(&load);
}

static void measure_journal(const char *durability, const char *row, const char *rate_row)
{
	struct samples bare = { 0 }, program = { 0 };
	struct written written = { 0 };

	for (int round = 0; round < (report_muted() ? 1 : 3); round++) {
		written = program_written(durability);
		samples_add(&program, written.rate);
		if (!report_muted())
			samples_add(&bare,
				    bare_written(&written, strcmp(durability, "power") == 0));
	}
	report(row, samples_quantile(&program, 0.5), samples_quantile(&bare, 0.5));
	if (rate_row != NULL)
		report(rate_row, samples_quantile(&program, 0.5), NAN);
	if (!report_muted())
		report_note("%s: %.2f rows made or changed a run, %.0f in a transaction", row,
			    written.changes, written.batch);
	samples_done(&bare);
	samples_done(&program);
}

void bench_journal(void)
{
	measure_journal("process", "journal.process", "journal.process.rate");
	measure_journal("power", "journal.power", NULL);
}

/* ---- load ----------------------------------------------------------------------------------- */

#define REMEMBERED "1000000"

static const struct setting fill_settings[] = { { "LW_BENCH_WINDOW", "64" },
						{ "LW_BENCH_CALLS", REMEMBERED },
						{ 0 } };
static const struct plan fill = { .conf = "load.conf", .settings = fill_settings };
/* The same app with nothing to call. */
static const struct setting look_settings[] = { { "LW_BENCH_CALLS", "0" }, { 0 } };
static const struct plan look = { .conf = "load.conf", .settings = look_settings };

/* MiB of an app that has started, is at rest and remembers nothing. */
static double memory_of_none(void)
{
	struct daemon *daemon = daemon_start(&look);
	double mib = daemon_says(daemon, "done", DEADLINE(10)) ? pss_mib(daemon_pid(daemon))
							       : (double)NAN;

	daemon_stop(daemon);
	return mib;
}

/* Seconds from fork until the app has started; then the memory of it. */
static double start_again(struct daemon *daemon, double *ret_mib)
{
	double took;

	daemon_again(daemon, &look);
	if (!daemon_up(daemon, DEADLINE(60)))
		return NAN;
	took = (double)(now_ns() - daemon_started(daemon)) / 1e9;
	*ret_mib = daemon_says(daemon, "done", DEADLINE(20)) ? pss_mib(daemon_pid(daemon))
							     : (double)NAN;
	return took;
}

/* All of them are skipped now: none runs again. */
static bool all_hit(struct daemon *daemon)
{
	const struct board *board = daemon_board(daemon);
	uint64_t before = atomic_load(&board->runs);

	daemon_again(daemon, &fill);
	return daemon_says(daemon, "done", DEADLINE(60)) && atomic_load(&board->runs) == before;
}

static void profile_load(struct daemon *daemon)
{
	double mib;

	profile_begin(0);
	(void)start_again(daemon, &mib);
	profile_end("load");
}

static void measure_load(struct daemon *daemon, double none)
{
	LW_AUTO(lw_free) char *journal = daemon_journal(daemon);
	struct samples bare = { 0 }, program = { 0 };
	double mib = NAN, form = NAN;

	for (int round = 0; round < 3; round++) {
		samples_add(&program, start_again(daemon, &mib));
		samples_add(&bare, floor_load(journal, &form));
	}
	if (!report("load.million", samples_quantile(&program, 0.5), samples_quantile(&bare, 0.5)))
		profile_load(daemon);
	report("load.memory", (mib - none) * (1 << 20) / strtod(REMEMBERED, NULL) - form, NAN);
	report_note("load.memory: beside the form, of %.1f bytes here", form);
	if (!all_hit(daemon))
		report_note("load: not every call was skipped afterwards");
	samples_done(&bare);
	samples_done(&program);
}

void bench_load(void)
{
	double none = memory_of_none();
	struct daemon *daemon = daemon_start(&fill);

	if (!daemon_says(daemon, "done", DEADLINE(120)))
		daemon_explain(daemon, "load");
	report_note("%s calls were run in %.1f s to be remembered", REMEMBERED,
		    (double)(now_ns() - daemon_started(daemon)) / 1e9);
	measure_load(daemon, none);
	daemon_stop(daemon);
}
