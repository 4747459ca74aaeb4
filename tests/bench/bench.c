/* bench.c - the benchmark driver: which groups, in which order, and what for a missed goal.
 *
 * Started by scripts/bench. Every group measures its floor and the program in the same run.
 * Exit status: 0 measured (goals met or not), 1 something could not be measured, 2 usage.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

struct group {
	const char *name;
	void (*run)(void);
	bool by_perf; /* a missed goal: repeated under perf */
	bool by_self; /* a missed goal: repeated, and the group explains itself */
	const char *what;
};

static const struct group groups[] = {
	{ "hit", bench_hit, false, true, "a skipped call from the flow" },
	{ "roundtrip", bench_roundtrip, true, false, "a call until the flow sees it succeed" },
	{ "throughput", bench_throughput, true, false, "runs a second of native works" },
	{ "command", bench_command, true, false, "runs a second of /bin/true" },
	{ "journal", bench_journal, true, false,
	  "runs a second beside the same rows by bare SQLite" },
	{ "load", bench_load, false, false, "start with a million remembered calls" },
	{ "start", bench_start, true, false, "native works from start to all idle" },
	{ "start3000", bench_start3000, true, false, "status while 3000 works start" },
	{ "status", bench_status, false, false, "lwctl status of 1000 works" },
	{ "flood", bench_flood, true, false, "bytes a second of a work that only prints" },
	{ "restart", bench_restart, true, false, "kill -9 to the new process's hello" },
	{ "recover", bench_recover, true, false,
	  "kill -9 in the middle of a run until it runs again" },
	{ "adopt", bench_adopt, true, false, "a new supervisor until it has the old one's works" },
	{ "memory", bench_memory, false, true, "proportional set sizes" },
	{ "idle", bench_idle, false, false, "system calls in 10 s" },
};

static int usage(FILE *to)
{
	fprintf(to, "usage: scripts/bench [--json] [NAME...]\n\nnames (default: all):\n");
	for (size_t i = 0; i < LW_COUNT(groups); i++)
		fprintf(to, "  %-12s %s\n", groups[i].name, groups[i].what);
	return to == stdout ? 0 : 2;
}

static void explain_group(const struct group *group)
{
	report_mute(true);
	if (group->by_perf)
		profile_begin(0);
	group->run();
	if (group->by_perf)
		profile_end(group->name);
	report_mute(false);
}

static void run_group(const struct group *group)
{
	size_t missed = report_missed();

	group->run();
	if (report_missed() > missed && (group->by_perf || group->by_self))
		explain_group(group);
}

static bool is_wanted(const struct group *group, char **names)
{
	bool wanted = *names == NULL;

	for (; *names != NULL; names++)
		wanted = wanted || strcmp(*names, group->name) == 0;
	return wanted;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < LW_COUNT(groups); i++)
		if (strcmp(groups[i].name, name) == 0)
			return true;
	fprintf(stderr, "bench: no benchmark '%s'\n", name);
	return false;
}

static int run_groups(char **names)
{
	int64_t begin = now_ns();

	for (char **name = names; *name != NULL; name++)
		if (!is_known(*name))
			return usage(stderr);
	report_machine();
	report_head();
	for (size_t i = 0; i < LW_COUNT(groups); i++)
		if (is_wanted(&groups[i], names))
			run_group(&groups[i]);
	report_note("%zu goals missed, %zu rows not measured, %.0f s", report_missed(),
		    report_unknown(), (double)(now_ns() - begin) / 1e9);
	return report_unknown() > 0;
}

int main(int argc, char **argv)
{
	int first = 1;

	(void)argc;
	for (; argv[first] != NULL && argv[first][0] == '-'; first++) {
		if (strcmp(argv[first], "--help") == 0)
			return usage(stdout);
		if (strcmp(argv[first], "--json") != 0)
			return usage(stderr);
		report_as_json(true);
	}
	guard_begin();
	return run_groups(argv + first);
}
