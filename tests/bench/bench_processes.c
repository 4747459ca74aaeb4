/* bench_processes.c - groups `start`, `status`, `restart`, `memory` and `idle`: works that are up. */
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"

#define WORKS_MAX 1000

static struct daemon *start_idle(const char *works, const char *interval, bool no_board)
{
	const struct setting settings[] = { { "LW_BENCH_WORKS", works },
					    { "LW_BENCH_INTERVAL", interval },
					    { 0 } };
	const struct plan plan = { .conf = "idle.conf",
				   .settings = settings,
				   .no_board = no_board };

	return daemon_start(&plan);
}

/* ---- start ------------------------------------------------------------------------------ */

/* Asking disturbs: the board says when it is worth while. */
static double start_seconds(const char *works, int64_t deadline)
{
	struct daemon *daemon = start_idle(works, "0", false);
	const struct board *board = daemon_board(daemon);
	size_t count = strtoul(works, NULL, 10);
	double took = NAN;
	json_t *status;

	while (atomic_load(&board->starts) < count && now_ns() < deadline && !daemon_gone(daemon))
		wait_ms(1);
	status = daemon_await(daemon, "idle", count, deadline);
	if (status != NULL)
		took = (double)(now_ns() - daemon_started(daemon)) / 1e9;
	else
		daemon_explain(daemon, "start");
	json_decref(status);
	daemon_stop(daemon);
	return took;
}

/* The board of the bare children; they find its path as the works do. */
static void with_bare_board(void (*measure)(struct board *board, const char *const *argv,
					    void *data),
			    void *data)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/board-XXXXXX", guard_folder());
	const char *const argv[] = { program_path("bench_noop"), "--bare", NULL };
	struct board *board = board_make(path);

	setenv("LW_BENCH_BOARD", path, 1);
	measure(board, argv, data);
	unsetenv("LW_BENCH_BOARD");
	board_drop(board, path);
}

struct bare_start {
	size_t count;
	double took;
};

static void bare_start(struct board *board, const char *const *argv, void *data)
{
	struct bare_start *bare = data;

	bare->took = floor_start(board, argv, bare->count);
}

static void measure_start(const char *row, const char *works, int rounds)
{
	struct samples bare = { 0 }, program = { 0 };

	for (int round = 0; round < rounds; round++) {
		struct bare_start start = { .count = strtoul(works, NULL, 10) };

		with_bare_board(bare_start, &start);
		samples_add(&bare, start.took);
		samples_add(&program, start_seconds(works, DEADLINE(20)));
	}
	report(row, samples_quantile(&program, 0.5) * 1e3, samples_quantile(&bare, 0.5) * 1e3);
	samples_done(&bare);
	samples_done(&program);
}

void bench_start(void)
{
	measure_start("start.1", "1", 5);
	measure_start("start.100", "100", 3);
	measure_start("start.1000", "1000", 1);
}

/* ---- status ------------------------------------------------------------------------------- */

#define STATUSES 100

/* Milliseconds from its start to its end, in the median. */
static double spawn_ms(const char *const *argv)
{
	struct samples took = { 0 };
	double median;

	for (int i = 0; i < STATUSES; i++) {
		int64_t begin = now_ns();

		waitpid(spawn(argv, NOWHERE), NULL, 0);
		samples_add(&took, (double)(now_ns() - begin) / 1e6);
	}
	median = samples_quantile(&took, 0.5);
	samples_done(&took);
	return median;
}

void bench_status(void)
{
	struct daemon *daemon = start_idle("1000", "0", true);
	json_t *status = daemon_await(daemon, "idle", 1000, DEADLINE(20));
	LW_AUTO(lw_free) char *socket = daemon_control(daemon);
	const char *lwctl = program_path("lwctl");
	const char *const ask[] = { lwctl, "--socket", socket, "status", NULL };
	const char *const bare[] = { lwctl, "--version", NULL };

	if (status == NULL)
		daemon_explain(daemon, "status.1000");
	report("status.1000", status != NULL ? spawn_ms(ask) : (double)NAN, spawn_ms(bare));
	json_decref(status);
	daemon_stop(daemon);
}

/* ---- restart ------------------------------------------------------------------------------ */

#define RESTARTS "50"

static void bare_restart(struct board *board, const char *const *argv, void *data)
{
	floor_restart(board, argv, strtoul(RESTARTS, NULL, 10), data);
}

double bare_restart_ns(void)
{
	struct samples bare = { 0 };
	double median;

	with_bare_board(bare_restart, &bare);
	median = samples_quantile(&bare, 0.5);
	samples_done(&bare);
	return median;
}

/* Nanoseconds to the new process's main() and to its hello, or false. */
static bool kill_one(struct board *board, pid_t pid, double ret_took[2])
{
	uint64_t starts = atomic_load(&board->starts);
	int64_t begin = now_ns(), deadline = DEADLINE(5);

	if (pid <= 0)
		return false;
	kill(pid, SIGKILL);
	while (atomic_load(&board->starts) == starts) {
		if (now_ns() > deadline)
			return false;
		wait_ms(1);
	}
	ret_took[0] = (double)(atomic_load(&board->last_main) - begin);
	ret_took[1] = (double)(atomic_load(&board->last_start) - begin);
	return true;
}

/* Each work is killed once: the first restart is at once, the next has a back-off. */
static void kill_each(struct daemon *daemon, struct samples *mains, struct samples *hellos)
{
	json_t *status = daemon_await(daemon, "idle", strtoul(RESTARTS, NULL, 10), DEADLINE(10));
	pid_t pids[WORKS_MAX];
	size_t count = status_pids(status, pids, WORKS_MAX);
	double took[2];

	json_decref(status);
	for (size_t i = 0; i < count; i++) {
		wait_ms(5);
		if (!kill_one(daemon_board(daemon), pids[i], took))
			break;
		samples_add(mains, took[0]);
		samples_add(hellos, took[1]);
	}
}

void bench_restart(void)
{
	struct samples bare = { 0 }, mains = { 0 }, hellos = { 0 };
	struct daemon *daemon;
	double floor;

	with_bare_board(bare_restart, &bare);
	daemon = start_idle(RESTARTS, "0", false);
	kill_each(daemon, &mains, &hellos);
	if (hellos.count < strtoul(RESTARTS, NULL, 10))
		daemon_explain(daemon, "all of restart");
	daemon_stop(daemon);
	with_bare_board(bare_restart, &bare);
	floor = samples_quantile(&bare, 0.5) / 1e3;
	report("restart.main", samples_quantile(&mains, 0.5) / 1e3, floor);
	report("restart.hello", samples_quantile(&hellos, 0.5) / 1e3, floor);
	samples_done(&bare);
	samples_done(&mains);
	samples_done(&hellos);
}

/* ---- memory ------------------------------------------------------------------------------- */

double pss_mib(pid_t pid)
{
	char path[64], line[128];
	double kib = NAN;
	FILE *rollup;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	rollup = fopen(path, "re");
	while (rollup != NULL && fgets(line, sizeof(line), rollup) != NULL)
		if (sscanf(line, "Pss: %lf", &kib) == 1)
			break;
	if (rollup != NULL)
		fclose(rollup);
	return kib / 1024;
}

struct mapping {
	char name[128];
	double kib;
};

static void note_mapping(struct mapping *all, size_t *count, const char *name, double kib)
{
	size_t i = 0;

	while (i < *count && strcmp(all[i].name, name) != 0)
		i++;
	if (i == 256)
		return;
	if (i == *count) {
		snprintf(all[i].name, sizeof(all[i].name), "%s", name);
		all[(*count)++].kib = 0;
	}
	all[i].kib += kib;
}

static int largest_first(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	return (y->kib > x->kib) - (y->kib < x->kib);
}

/* Where the memory lies: the profile of this group. */
static void explain_memory(const char *what, pid_t pid)
{
	static struct mapping all[256];
	size_t count = 0;
	char path[64], line[512], name[128] = "anonymous";
	double kib;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	maps = fopen(path, "re");
	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
		unsigned long from;
		int at = 0;

		if (sscanf(line, "%lx-%*x %*s %*s %*s %*s %n", &from, &at) == 1 && at > 0) {
			char *file = strrchr(line + at, '/');

			snprintf(name, sizeof(name), "%.127s", file != NULL ? file + 1 : line + at);
			name[strcspn(name, "\n")] = '\0';
			if (name[0] == '\0')
				snprintf(name, sizeof(name), "anonymous");
		} else if (sscanf(line, "Pss: %lf", &kib) == 1) {
			note_mapping(all, &count, name, kib);
		}
	}
	if (maps != NULL)
		fclose(maps);
	qsort(all, count, sizeof(all[0]), largest_first);
	report_note("%s, KiB of PSS by mapping:", what);
	for (size_t i = 0; i < count && i < 8; i++)
		report_note("%8.0f  %s", all[i].kib, all[i].name);
}

static void supervisor_memory(const char *row, const char *works)
{
	struct daemon *daemon = start_idle(works, "0", true);
	json_t *status = daemon_await(daemon, "idle", strtoul(works, NULL, 10), DEADLINE(20));

	if (status == NULL)
		daemon_explain(daemon, row);
	else if (report_muted())
		explain_memory(row, daemon_pid(daemon));
	report(row, status != NULL ? pss_mib(daemon_pid(daemon)) : (double)NAN, NAN);
	json_decref(status);
	daemon_stop(daemon);
}

/* The median of a hundred. */
static void worker_memory(const char *row, const char *state, const char *sleep)
{
	const struct setting settings[] = { { "LW_BENCH_WORKS", "100" },
					    { "LW_BENCH_SLEEP", sleep },
					    { 0 } };
	const struct plan plan = { .conf = "idle.conf", .settings = settings, .no_board = true };
	struct daemon *daemon = daemon_start(&plan);
	json_t *status = daemon_await(daemon, state, 100, DEADLINE(20));
	pid_t pids[WORKS_MAX];
	size_t count = status_pids(status, pids, WORKS_MAX);
	struct samples pss = { 0 };

	if (status == NULL)
		daemon_explain(daemon, row);
	else if (report_muted())
		explain_memory(row, pids[0]);
	for (size_t i = 0; i < count; i++)
		samples_add(&pss, pss_mib(pids[i]));
	report(row, samples_quantile(&pss, 0.5), NAN);
	samples_done(&pss);
	json_decref(status);
	daemon_stop(daemon);
}

void bench_memory(void)
{
	supervisor_memory("memory.supervisor.1", "1");
	supervisor_memory("memory.supervisor.1000", "1000");
	worker_memory("memory.lw-worker", "busy", "1000");
	worker_memory("memory.native", "idle", "");
}

/* ---- idle ------------------------------------------------------------------------------------ */

#define IDLE_SECONDS 10

struct trace {
	char path[80];
	pid_t pid;
	double from; /* of the clock since 1970: calls before it are strace's own doing */
};

static double wall_seconds(void)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static bool is_traced(pid_t pid)
{
	char path[64], line[128];
	int tracer = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	if (status != NULL)
		fclose(status);
	return tracer > 0;
}

/* Attaching interrupts the call that waits, which is then made again: that one is not
 * counted. */
static bool trace_start(struct trace *trace, pid_t pid)
{
	char number[16];
	const char *const argv[] = {
		"strace", "-f", "-ttt", "-p", number, "-o", trace->path, NULL
	};
	int64_t deadline = DEADLINE(5);

	snprintf(number, sizeof(number), "%d", (int)pid);
	trace->pid = spawn(argv, NOWHERE);
	if (trace->pid <= 0)
		return false;
	while (!is_traced(pid) && now_ns() < deadline)
		wait_ms(5);
	wait_ms(500);
	trace->from = wall_seconds();
	return is_traced(pid);
}

struct call {
	char name[32];
	size_t count;
};

static void note_call(struct call *calls, size_t *kinds, const char *name)
{
	size_t i = 0;

	while (i < *kinds && strcmp(calls[i].name, name) != 0)
		i++;
	if (i == *kinds && *kinds < 64)
		snprintf(calls[(*kinds)++].name, sizeof(calls[0].name), "%s", name);
	if (i < 64)
		calls[i].count++;
}

/* "PID 1763870000.123456 epoll_wait(3, ..." are entries; "<... epoll_wait resumed>", signals
 * and exits are not. */
static size_t count_calls(const struct trace *trace, struct call *calls, size_t *kinds)
{
	FILE *file = fopen(trace->path, "re");
	char line[1024], name[32];
	size_t count = 0;
	double at;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%*d %lf %31[a-z0-9_](", &at, name) != 2)
			continue;
		if (at < trace->from || at >= trace->from + IDLE_SECONDS)
			continue;
		note_call(calls, kinds, name);
		count++;
	}
	if (file != NULL)
		fclose(file);
	return count;
}

static void trace_end(const struct trace *trace)
{
	if (trace->pid <= 0)
		return;
	kill(trace->pid, SIGINT);
	waitpid(trace->pid, NULL, 0);
}

static double traced_calls(struct trace *trace, pid_t pid, const char *row)
{
	struct call calls[64] = { 0 };
	size_t kinds = 0, count;
	bool traced = trace_start(trace, pid);

	if (traced)
		wait_ms(IDLE_SECONDS * 1000 + 200);
	trace_end(trace);
	if (!traced) {
		report_note("%s: strace cannot be used here", row);
		return NAN;
	}
	count = count_calls(trace, calls, &kinds);
	for (size_t i = 0; i < kinds; i++)
		report_note("%s: %zu x %s", row, calls[i].count, calls[i].name);
	return (double)count;
}

static void measure_idle(const char *row, const char *interval)
{
	struct daemon *daemon = start_idle("100", interval, false);
	json_t *status = daemon_await(daemon, "idle", 100, DEADLINE(10));
	struct trace trace = { 0 };
	double count = NAN;

	snprintf(trace.path, sizeof(trace.path), "%s/trace", guard_folder());
	json_decref(status);
	wait_ms(1000); /* the client that asked has gone */
	if (status == NULL)
		daemon_explain(daemon, row);
	else
		count = traced_calls(&trace, daemon_pid(daemon), row);
	if (status != NULL && daemon_gone(daemon)) {
		report_note("%s: the supervisor ended meanwhile", row);
		count = NAN;
	}
	report(row, count, NAN);
	unlink(trace.path);
	daemon_stop(daemon);
}

void bench_idle(void)
{
	measure_idle("idle.interval_0", "0");
	measure_idle("idle.default", "");
}
