/* bench_runs.c - groups `roundtrip`, `throughput` and `command`: runs that really run. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

/* ---- roundtrip ---------------------------------------------------------------------- */

#define TRIPS "20000"

struct placement {
	const char *median, *p99; /* rows */
	int cpu, peer_cpu;        /* -1: unpinned */
};

static const struct placement placements[] = {
	{ "roundtrip.unpinned.median", "roundtrip.unpinned.p99", -1, -1 },
	{ "roundtrip.one_cpu.median", "roundtrip.one_cpu.p99", 0, 0 },
	{ "roundtrip.two_cpus.median", "roundtrip.two_cpus.p99", 0, 1 },
};

/* The work begins a run when the one before was seen by the flow: from entry to entry is
 * one round, the pass between them included. */
static void program_roundtrip(const struct placement *placement, struct samples *samples)
{
	const struct setting settings[] = { { "LW_BENCH_CALLS", TRIPS }, { 0 } };
	const struct plan plan = { .conf = "roundtrip.conf",
				   .settings = settings,
				   .pinned = placement->cpu >= 0,
				   .cpu = placement->cpu,
				   .work_cpu = placement->peer_cpu };
	struct daemon *daemon = daemon_start(&plan);
	const struct board *board = daemon_board(daemon);
	uint64_t count;

	if (!daemon_says(daemon, "done", DEADLINE(15)))
		daemon_explain(daemon, "all of roundtrip");
	count = atomic_load(&board->runs);
	for (uint64_t i = count / 10 + 1; i < count && i < BOARD_RUNS; i++)
		samples_add(samples, (double)(board->run_at[i] - board->run_at[i - 1]));
	daemon_stop(daemon);
}

static void measure_placement(const struct placement *placement)
{
	struct samples bare = { 0 }, program = { 0 };
	size_t count = strtoul(TRIPS, NULL, 10);

	/* Before and after: the machine may change its mind in between. */
	floor_roundtrip(placement->cpu, placement->peer_cpu, count, &bare);
	program_roundtrip(placement, &program);
	floor_roundtrip(placement->cpu, placement->peer_cpu, count, &bare);
	report(placement->median, samples_quantile(&program, 0.5) / 1e3,
	       samples_quantile(&bare, 0.5) / 1e3);
	report(placement->p99, samples_quantile(&program, 0.99) / 1e3,
	       samples_quantile(&bare, 0.99) / 1e3);
	samples_done(&bare);
	samples_done(&program);
}

void bench_roundtrip(void)
{
	for (size_t i = 0; i < LW_COUNT(placements); i++) {
		const struct placement *placement = &placements[i];

		if (placement->peer_cpu >= sysconf(_SC_NPROCESSORS_ONLN))
			report_note("%s: there is one processor", placement->median);
		else
			measure_placement(placement);
	}
}

/* ---- throughput ----------------------------------------------------------------------- */

double board_rate(const struct board *board)
{
	uint64_t count = atomic_load(&board->runs);
	int64_t last = 0;

	if (count > BOARD_RUNS)
		count = BOARD_RUNS;
	for (uint64_t i = 0; i < count; i++)
		if (board->run_at[i] > last)
			last = board->run_at[i];
	return count < 2 ? (double)NAN
			 : (double)(count - 1) / ((double)(last - board->run_at[0]) / 1e9);
}

static double program_rate(const char *window, const char *calls)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", window },
					    { "LW_BENCH_CALLS", calls },
					    { 0 } };
	const struct plan plan = { .conf = "throughput.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	double rate;

	if (!daemon_says(daemon, "done", DEADLINE(20)))
		daemon_explain(daemon, "all of throughput");
	rate = board_rate(daemon_board(daemon));
	daemon_stop(daemon);
	return rate;
}

static void measure_throughput(const char *row, const char *window, const char *calls)
{
	struct samples bare = { 0 }, program = { 0 };

	for (int round = 0; round < (report_muted() ? 1 : 3); round++) {
		samples_add(&bare, floor_exchange(strtoul(window, NULL, 10), 0.5));
		samples_add(&program, program_rate(window, calls));
	}
	report(row, samples_quantile(&program, 0.5), samples_quantile(&bare, 0.5));
	samples_done(&bare);
	samples_done(&program);
}

void bench_throughput(void)
{
	measure_throughput("throughput.window1", "1", "60000");
	measure_throughput("throughput.window32", "32", "400000");
}

/* ---- command ------------------------------------------------------------------------------ */

#define COMMANDS "1000"

static double command_rate(void)
{
	const struct setting settings[] = { { "LW_BENCH_COMMAND", "/bin/true" },
					    { "LW_BENCH_PROCESSES", "1" },
					    { "LW_BENCH_CALLS", COMMANDS },
					    { 0 } };
	const struct plan plan = { .conf = "throughput.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	double rate = NAN;
	int64_t begin;

	if (daemon_says(daemon, "begin", DEADLINE(5))) {
		begin = now_ns();
		if (daemon_says(daemon, "done", DEADLINE(15)))
			rate = strtod(COMMANDS, NULL) / ((double)(now_ns() - begin) / 1e9);
	}
	if (isnan(rate))
		daemon_explain(daemon, "command");
	daemon_stop(daemon);
	return rate;
}

void bench_command(void)
{
	static const char *const argv[] = { "/bin/true", "--value=1", NULL };
	struct samples bare = { 0 }, program = { 0 };

	for (int round = 0; round < (report_muted() ? 1 : 3); round++) {
		samples_add(&bare, floor_spawn(argv, strtoul(COMMANDS, NULL, 10)));
		samples_add(&program, command_rate());
	}
	report("command", samples_quantile(&program, 0.5), samples_quantile(&bare, 0.5));
	samples_done(&bare);
	samples_done(&program);
}
