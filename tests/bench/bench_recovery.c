/* bench_recovery.c - groups `start3000`, `recover` and `adopt`: thousands of works, and what it costs
 * when a worker or the supervisor is killed. */
#include <math.h>
#include <signal.h>
#include <stdio.h>

#include "daemon.h"

/* ---- start3000 ------------------------------------------------------------------------------ */

/* Milliseconds that it takes to be told, as `lwctl status` is; and how many works are up by then. */
static size_t ask(struct daemon *daemon, struct samples *samples)
{
	int64_t begin = now_ns();
	size_t idle = daemon_count(daemon, "idle");

	samples_add(samples, (double)(now_ns() - begin) / 1e6);
	wait_ms(5);
	return idle;
}

/* While they come up, and as often when all are up. */
static bool ask_on(struct daemon *daemon, size_t count, struct samples *before,
		   struct samples *after)
{
	int64_t deadline = DEADLINE(60);

	while (ask(daemon, before) < count)
		if (now_ns() > deadline || daemon_gone(daemon))
			return false;
	while (after->count < before->count && after->count < 100)
		(void)ask(daemon, after);
	return true;
}

void bench_start3000(void)
{
	const struct setting settings[] = { { "LW_BENCH_WORKS", "3000" },
					    { "LW_BENCH_INTERVAL", "0" },
					    { 0 } };
	const struct plan plan = { .conf = "idle.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	struct samples before = { 0 }, after = { 0 };

	if (!daemon_up(daemon, DEADLINE(20)) || !ask_on(daemon, 3000, &before, &after)) {
		daemon_explain(daemon, "start3000");
		samples_done(&before);
	}
	daemon_stop(daemon);
	report("start3000.status.max", samples_quantile(&before, 1), samples_quantile(&after, 1));
	report("start3000.status.median", samples_quantile(&before, 0.5),
	       samples_quantile(&after, 0.5));
	samples_done(&before);
	samples_done(&after);
}

/* ---- recover ---------------------------------------------------------------------------------- */

#define RECOVERIES "50"

/* Nanoseconds from the end of that process to the next beginning of a run, less the delay. */
static bool kill_in_run(const struct board *board, pid_t pid, int64_t delay_ns,
			struct samples *samples)
{
	uint64_t runs = atomic_load(&board->runs);
	int64_t begin = now_ns(), deadline = DEADLINE(5);

	if (pid <= 0)
		return false;
	kill(pid, SIGKILL);
	while (atomic_load(&board->runs) == runs || board->run_at[runs] == 0) {
		if (now_ns() > deadline)
			return false;
		wait_ms(1);
	}
	samples_add(samples, (double)(board->run_at[runs] - begin - delay_ns));
	return true;
}

/* Each process is killed once: the first restart is at once, the next has a back-off. */
static void kill_each(struct daemon *daemon, int64_t delay_ns, struct samples *samples)
{
	size_t count = strtoul(RECOVERIES, NULL, 10);
	json_t *status = daemon_await(daemon, "busy", count, DEADLINE(10));
	pid_t pids[50] = { 0 };

	status_pids(status, pids, LW_COUNT(pids));
	json_decref(status);
	for (size_t i = 0; i < count; i++) {
		wait_ms(5);
		if (!kill_in_run(daemon_board(daemon), pids[i], delay_ns, samples))
			break;
	}
}

static void measure_recover(const char *row, const char *delay)
{
	const struct setting settings[] = { { "LW_BENCH_WORKS", RECOVERIES },
					    { "LW_BENCH_HANGS", "1" },
					    { "LW_BENCH_DELAY", delay },
					    { 0 } };
	const struct plan plan = { .conf = "recover.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	struct samples samples = { 0 };

	kill_each(daemon, (int64_t)(strtod(delay, NULL) * 1e9), &samples);
	if (samples.count < strtoul(RECOVERIES, NULL, 10))
		daemon_explain(daemon, "all of recover");
	daemon_stop(daemon);
	report(row, samples_quantile(&samples, 0.5) / 1e3, bare_restart_ns() / 1e3);
	samples_done(&samples);
}

void bench_recover(void)
{
	measure_recover("recover.at_once", "0");
	measure_recover("recover.delayed", "0.1");
}

/* ---- adopt --------------------------------------------------------------------------------------- */

#define ADOPTED "1000"
#define AWAY_SECONDS                                                                               \
	5 /* that the works have dialled in vain, so that their pauses are the longest */

static double adopt_seconds(struct daemon *daemon, const struct plan *plan)
{
	size_t count = strtoul(ADOPTED, NULL, 10);
	int64_t deadline;
	double took;

	daemon_kill(daemon);
	wait_ms(AWAY_SECONDS * 1000);
	daemon_again(daemon, plan);
	deadline = DEADLINE(20);
	if (!daemon_up(daemon, deadline))
		return NAN;
	while (daemon_count(daemon, "idle") < count) {
		if (now_ns() > deadline || daemon_gone(daemon))
			return NAN;
		wait_ms(10);
	}
	took = (double)(now_ns() - daemon_started(daemon)) / 1e9;
	return atomic_load(&daemon_board(daemon)->starts) == count ? took : (double)NAN;
}

void bench_adopt(void)
{
	const struct setting settings[] = { { "LW_BENCH_WORKS", ADOPTED },
					    { "LW_BENCH_INTERVAL", "0" },
					    { "LW_BENCH_OUTLIVES", "1" },
					    { 0 } };
	const struct plan plan = { .conf = "idle.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	json_t *status = daemon_await(daemon, "idle", strtoul(ADOPTED, NULL, 10), DEADLINE(20));
	struct samples samples = { 0 };

	for (int round = 0; status != NULL && round < (report_muted() ? 1 : 3); round++)
		samples_add(&samples, adopt_seconds(daemon, &plan));
	if (status == NULL || isnan(samples_quantile(&samples, 1)))
		daemon_explain(daemon, "all of adopt");
	json_decref(status);
	daemon_stop(daemon);
	report("adopt.1000", samples_quantile(&samples, 0.5) * 1e3,
	       floor_accept(strtoul(ADOPTED, NULL, 10)) * 1e3);
	samples_done(&samples);
}
