/* profile.c - where the time goes: perf over us and all whom we start while a scenario is repeated.
 *
 * Used by bench.c for a group that missed a goal; without perf (or the right to use it) it
 * says so and nothing else changes.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define HOTTEST 16

static char data_file[80];
static pid_t recorder = -1;

void profile_begin(pid_t also)
{
	char pids[32];
	const char *const argv[] = { "perf", "record", "-q", "-e", "cpu-clock", "-F",
				     "1999", "-p",     pids, "-o", data_file,   NULL };

	snprintf(pids, sizeof(pids), "%d,%d", (int)getpid(), (int)(also > 0 ? also : getpid()));
	snprintf(data_file, sizeof(data_file), "%s/perf.data", guard_folder());
	recorder = spawn(argv, NOWHERE);
	wait_ms(300); /* perf tells nobody when it has begun */
}

pid_t profile_pid(void)
{
	return recorder;
}

static void print_hottest(FILE *report)
{
	char line[256];
	int lines = 0;

	while (fgets(line, sizeof(line), report) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0' || strstr(line, "swapper") != NULL)
			continue;
		for (size_t end = strlen(line); end > 0 && strchr(" -", line[end - 1]); end--)
			line[end - 1] = '\0';
		if (lines++ < HOTTEST)
			report_note("%s", line);
	}
	if (lines == 0)
		report_note("(perf has nothing to say here)");
}

void profile_end(const char *what)
{
	/* clang-format off */
	const char *const argv[] = {
		"perf", "report", "--stdio", "-q", "--no-children", "--percent-limit", "0.5",
		"--comms", "lw-supervisor,lw-worker,bench_noop,true", "--percentage", "relative",
		"--sort", "comm,dso,symbol", "-i", data_file, NULL,
	};
	/* clang-format on */
	int output[2];
	FILE *report;
	pid_t pid;

	if (recorder > 0) {
		kill(recorder, SIGINT);
		waitpid(recorder, NULL, 0);
	}
	report_note("profile of %s, shares of the time of supervisor and works:", what);
	if (pipe2(output, O_CLOEXEC) < 0)
		return;
	pid = spawn(argv, output[1]);
	close(output[1]);
	report = fdopen(output[0], "r");
	print_hottest(report);
	fclose(report);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	unlink(data_file);
	recorder = -1;
}
