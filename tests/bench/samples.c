/* samples.c - order statistics, clocks and children for the files of the benchmark driver. */
#include <math.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

void samples_add(struct samples *samples, double value)
{
	if (samples->count == samples->room) {
		samples->room = samples->room * 2 + 64;
		samples->at = lw_realloc(samples->at, samples->room * sizeof(double));
	}
	samples->at[samples->count++] = value;
}

void samples_done(struct samples *samples)
{
	lw_free(samples->at);
	*samples = (struct samples){ 0 };
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_quantile(struct samples *samples, double share)
{
	if (samples->count == 0)
		return NAN;
	qsort(samples->at, samples->count, sizeof(double), ascending);
	return samples->at[(size_t)(share * (double)(samples->count - 1) + 0.5)];
}

int64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

void wait_ms(int ms)
{
	struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

void stay_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

extern char **environ;

static int spawn_with_output(const char *const *argv, int output, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (output == NOWHERE)
		output = STDERR_FILENO;
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	r = posix_spawnp(ret_pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

pid_t spawn(const char *const *argv, int output)
{
	pid_t pid = -1;
	int r;

	if (output >= 0)
		r = spawn_with_output(argv, output, &pid);
	else
		r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv,
				 environ);
	if (r != 0)
		report_note("cannot start '%s': %s", argv[0], strerror(r));
	return r == 0 ? pid : -1;
}
