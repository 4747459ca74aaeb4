/* report.c - the rows of the result: their units, their goals, how they are printed.
 *
 * Called by bench_*.c with a name and numbers. The table below is the only place that knows
 * the goals.
 */
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

enum goal { NO_GOAL, VALUE_MAX, VALUE_MIN, RATIO_MAX, RATIO_MIN };

struct row {
	const char *name;
	const char *unit;
	enum goal goal;
	double limit;
	const char *floor; /* what the floor is */
};

/* clang-format off */
static const struct row rows[] = {
	{ "hit.loop",                   "us",     NO_GOAL,   0,      NULL },
	{ "hit.value",                  "us",     VALUE_MAX, 0.25,   "empty Lua method, same argument" },
	{ "hit.1k",                     "us",     VALUE_MAX, 0.3,    "XXH3-128 and memcmp" },
	{ "hit.1m",                     "us",     VALUE_MAX, 150,    "XXH3-128 and memcmp" },
	{ "hit.thousand",               "us",     NO_GOAL,   0,      "empty Lua method, same argument" },
	{ "hit.million",                "us",     RATIO_MAX, 2,      "hit.thousand" },
	{ "hit.thousand.scattered",     "us",     NO_GOAL,   0,      "empty Lua method, same argument" },
	{ "hit.million.scattered",      "us",     RATIO_MAX, 2,      "hit.thousand.scattered" },
	{ "hit.away.1k",                "us",     NO_GOAL,   0,      "SQLite reads the row" },
	{ "hit.away.64k",               "us",     NO_GOAL,   0,      "SQLite reads the row" },
	{ "roundtrip.two_cpus.median",  "us",     RATIO_MAX, 2.5,    "bare socket, a processor each" },
	{ "roundtrip.two_cpus.p99",     "us",     RATIO_MAX, 2.5,    "bare socket, a processor each" },
	{ "roundtrip.one_cpu.median",   "us",     RATIO_MAX, 2.5,    "bare socket, one processor" },
	{ "roundtrip.one_cpu.p99",      "us",     RATIO_MAX, 2.5,    "bare socket, one processor" },
	{ "roundtrip.unpinned.median",  "us",     RATIO_MAX, 2.5,    "bare socket, unpinned" },
	{ "roundtrip.unpinned.p99",     "us",     RATIO_MAX, 2.5,    "bare socket, unpinned" },
	{ "throughput.window1",         "runs/s", RATIO_MIN, 0.8,    "bare exchange, 2 processes" },
	{ "throughput.window32",        "runs/s", VALUE_MIN, 500000, "bare exchange, 32 outstanding" },
	{ "command",                    "runs/s", RATIO_MIN, 0.8,    "bare spawn and wait" },
	{ "journal.process",            "runs/s", RATIO_MIN, 0.7,    "bare SQLite, same rows and batches" },
	{ "journal.process.rate",       "runs/s", VALUE_MIN, 80000,  NULL },
	{ "journal.power",              "runs/s", RATIO_MIN, 0.7,    "bare SQLite, same rows and batches" },
	{ "load.million",               "s",      VALUE_MAX, 1,      "bare SQLite reads the same rows" },
	{ "load.memory",                "bytes",  VALUE_MAX, 100,    NULL },
	{ "start.1",                    "ms",     NO_GOAL,   0,      "bare spawn to main" },
	{ "start.100",                  "ms",     NO_GOAL,   0,      "bare spawn to main" },
	{ "start.1000",                 "ms",     NO_GOAL,   0,      "bare spawn to main" },
	{ "start3000.status.max",       "ms",     VALUE_MAX, 100,    "the same when all are up" },
	{ "start3000.status.median",    "ms",     NO_GOAL,   0,      "the same when all are up" },
	{ "status.1000",                "ms",     VALUE_MAX, 5,      "lwctl that asks nobody" },
	{ "flood",                      "MB/s",   NO_GOAL,   0,      "bare pipe, read and forgotten" },
	{ "restart.main",               "us",     NO_GOAL,   0,      "bare kill to main" },
	{ "restart.hello",              "us",     RATIO_MAX, 1.5,    "bare kill to main" },
	{ "recover.at_once",            "us",     VALUE_MAX, 1000,   "bare kill to main" },
	{ "recover.delayed",            "us",     VALUE_MAX, 1000,   "bare kill to main" },
	{ "adopt.1000",                 "ms",     VALUE_MAX, 500,    "bare accept and answer" },
	{ "memory.supervisor.1",        "MiB",    NO_GOAL,   0,      NULL },
	{ "memory.supervisor.1000",     "MiB",    VALUE_MAX, 8,      NULL },
	{ "memory.lw-worker",           "MiB",    VALUE_MAX, 0.5,    NULL },
	{ "memory.native",              "MiB",    VALUE_MAX, 0.5,    NULL },
	{ "idle.interval_0",            "calls",  VALUE_MAX, 0,      NULL },
	{ "idle.default",               "calls",  NO_GOAL,   0,      NULL },
};
/* clang-format on */

static bool as_json, mute;
static size_t missed, unknown;

void report_as_json(bool json)
{
	as_json = json;
}

void report_mute(bool muted)
{
	mute = muted;
}

bool report_muted(void)
{
	return mute;
}

size_t report_missed(void)
{
	return missed;
}

size_t report_unknown(void)
{
	return unknown;
}

static const struct row *row_find(const char *name)
{
	for (size_t i = 0; i < LW_COUNT(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	fprintf(stderr, "bench: no row '%s'\n", name);
	abort();
}

static bool goal_met(const struct row *row, double value, double ratio)
{
	switch (row->goal) {
	case VALUE_MAX:
		return value <= row->limit;
	case VALUE_MIN:
		return value >= row->limit;
	case RATIO_MAX:
		return ratio <= row->limit;
	case RATIO_MIN:
		return ratio >= row->limit;
	case NO_GOAL:
	default:
		return true;
	}
}

static void goal_text(const struct row *row, char *text, size_t room)
{
	static const char *const signs[] = { "", "<=", ">=", "ratio <=", "ratio >=" };

	text[0] = '\0';
	if (row->goal != NO_GOAL)
		snprintf(text, room, "%s %.10g", signs[row->goal], row->limit);
}

static void number_text(double number, char text[32])
{
	if (!isfinite(number))
		snprintf(text, 32, "-");
	else if (fabs(number) >= 1000)
		snprintf(text, 32, "%.0f", number);
	else
		snprintf(text, 32, "%.3g", number);
}

static const char *json_number(double number, char text[32])
{
	snprintf(text, 32, isfinite(number) ? "%.6g" : "null", number);
	return text;
}

static void print_json(const struct row *row, double value, double floor, bool met)
{
	double ratio = value / floor;
	char goal[48], v[32], f[32], r[32];

	goal_text(row, goal, sizeof(goal));
	printf("{\"name\":\"%s\",\"value\":%s,\"unit\":\"%s\",\"floor\":%s,\"ratio\":%s,",
	       row->name, json_number(value, v), row->unit, json_number(floor, f),
	       json_number(ratio, r));
	if (row->goal == NO_GOAL)
		printf("\"goal\":null,\"met\":null}\n");
	else
		printf("\"goal\":\"%s\",\"met\":%s}\n", goal, met ? "true" : "false");
}

static void print_row(const struct row *row, double value, double floor, bool met)
{
	char goal[48], v[32], f[32], r[32];
	const char *verdict = row->goal == NO_GOAL ? "" : met ? "met" : "MISSED";

	goal_text(row, goal, sizeof(goal));
	number_text(value, v);
	number_text(floor, f);
	number_text(value / floor, r);
	if (!isfinite(value))
		verdict = "NOT MEASURED";
	printf("%-26s %9s %-6s %9s %7s  %-14s %-7s %s\n", row->name, v, row->unit, f, r, goal,
	       verdict, isfinite(floor) && row->floor != NULL ? row->floor : "");
}

bool report(const char *name, double value, double floor)
{
	const struct row *row = row_find(name);
	bool met = row->goal == NO_GOAL || (isfinite(value) && goal_met(row, value, value / floor));

	if (mute)
		return met;
	if (!isfinite(value))
		unknown++;
	else if (!met)
		missed++;
	(as_json ? print_json : print_row)(row, value, floor, met);
	fflush(stdout);
	return met;
}

void report_note(const char *format, ...)
{
	FILE *to = as_json ? stderr : stdout;
	va_list list;

	fputs("    ", to);
	va_start(list, format);
	vfprintf(to, format, list);
	va_end(list);
	fputc('\n', to);
	fflush(to);
}

void report_head(void)
{
	if (!as_json)
		printf("%-26s %9s %-6s %9s %7s  %-14s %-7s %s\n", "name", "value", "unit", "floor",
		       "ratio", "goal", "", "floor is");
}

static void processor_name(char *text, size_t room)
{
	FILE *info = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(text, room, "processor");
	while (info != NULL && fgets(line, sizeof(line), info) != NULL) {
		char *value = strstr(line, ": ");

		if (strncmp(line, "model name", 10) != 0 || value == NULL)
			continue;
		snprintf(text, room, "%s", value + 2);
		text[strcspn(text, "\n")] = '\0';
		break;
	}
	if (info != NULL)
		fclose(info);
}

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

void report_machine(void)
{
	struct utsname system;
	char processor[128];
	double load[1] = { 0 };
	cpu_set_t usable;

	uname(&system);
	processor_name(processor, sizeof(processor));
	sched_getaffinity(0, sizeof(usable), &usable);
	getloadavg(load, 1);
	fprintf(as_json ? stderr : stdout, "%d x %s, %s %s, %s, lw %s, load before %.1f\n",
		CPU_COUNT(&usable), processor, system.sysname, system.release, COMPILER, LW_VERSION,
		load[0]);
}
