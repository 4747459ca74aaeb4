/* bench_flood.c - group `flood`: bytes a second of a work that prints as fast as it can.
 *
 * They go to its log file, rotated, and to the console, a pipe that nobody reads: what it does not
 * take is dropped. The floor reads the same bytes from a bare pipe and forgets them.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

#define BYTES "268435456"
#define LINE  "a line of sixty-four bytes, its end included, as logs have it.."
#define FLOOD "yes '" LINE "' | head -c " BYTES

static double bytes(void)
{
	return strtod(BYTES, NULL);
}

/* Bytes a second, from the first one on. */
static double bare_rate(void)
{
	static const char *const argv[] = { "sh", "-c", FLOOD, NULL };
	static char room[65536];
	int64_t begin = 0;
	double got = 0;
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NAN;
	pid = spawn(argv, ends[1]);
	close(ends[1]);
	while ((n = read(ends[0], room, sizeof(room))) > 0) {
		begin = begin == 0 ? now_ns() : begin;
		got += (double)n;
	}
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return got == bytes() ? got / ((double)(now_ns() - begin) / 1e9) : (double)NAN;
}

/* When the run of the only work entered a stage, or NAN. */
static double entered(json_t *status, const char *stage)
{
	json_t *work = json_array_get(json_object_get(status, "works"), 0);
	double at = NAN;
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(work, "statuses"), i, one)
	{
		const char *is = json_string_value(json_object_get(one, "stage"));

		if (is != NULL && strcmp(is, stage) == 0)
			at = json_number_value(json_object_get(one, "timestamp"));
	}
	return at;
}

static double program_rate(void)
{
	const struct setting settings[] = { { "LW_BENCH_FLOOD", FLOOD }, { 0 } };
	const struct plan plan = { .conf = "flood.conf", .settings = settings, .no_board = true };
	struct daemon *daemon = daemon_start(&plan);
	int64_t deadline = DEADLINE(60);
	double took = NAN;

	while (isnan(took) && now_ns() < deadline && !daemon_gone(daemon)) {
		json_t *status;

		wait_ms(20);
		status = daemon_status(daemon);
		took = entered(status, "succeeded") - entered(status, "running");
		json_decref(status);
	}
	if (isnan(took))
		daemon_explain(daemon, "flood");
	daemon_stop(daemon);
	return bytes() / took;
}

void bench_flood(void)
{
	struct samples bare = { 0 }, program = { 0 };

	for (int round = 0; round < (report_muted() ? 1 : 3); round++) {
		samples_add(&bare, bare_rate());
		samples_add(&program, program_rate());
	}
	report("flood", samples_quantile(&program, 0.5) / 1e6, samples_quantile(&bare, 0.5) / 1e6);
	samples_done(&bare);
	samples_done(&program);
}
