/* bench_hit.c - group `hit`: what a skipped call costs, timed within the flow (hit.conf). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"

/* The names in hit.conf. */
static const char *const timings[] = {
	"hit.loop",
	"floor.value",
	"hit.value",
	"hit.1k",
	"hit.1m",
	"hit.thousand",
	"hit.million",
	"floor.scattered",
	"hit.thousand.scattered",
	"hit.million.scattered",
	"hit.away.1k", /* in away.conf */
	"hit.away.64k",
};

static struct samples all[LW_COUNT(timings)];
static bool missed[LW_COUNT(timings)];

static size_t timing_index(const char *name)
{
	size_t i = 0;

	while (i < LW_COUNT(timings) && strcmp(timings[i], name) != 0)
		i++;
	return i;
}

static struct samples *timing(const char *name)
{
	size_t i = timing_index(name);

	return i < LW_COUNT(timings) ? &all[i] : NULL;
}

static double median_us(const char *name)
{
	return samples_quantile(timing(name), 0.5) * 1e6;
}

static void read_timings(struct daemon *daemon, int64_t deadline)
{
	int64_t filling = now_ns();
	const char *line;

	while ((line = daemon_line(daemon, deadline)) != NULL) {
		char name[64];
		double value;
		struct samples *samples;

		if (sscanf(line, "%63s %lf", name, &value) != 2)
			continue;
		samples = timing(name);
		if (samples != NULL)
			samples_add(samples, value);
		else if (strcmp(name, "filled") == 0 && value > 1000)
			report_note("%.0f calls were run in %.1f s to be remembered", value,
				    (double)(now_ns() - filling) / 1e9);
		filling = now_ns();
	}
}

static void report_timing(const char *name, double floor)
{
	missed[timing_index(name)] = !report(name, median_us(name), floor);
}

static void report_timings(void)
{
	report_timing("hit.loop", NAN);
	report_timing("hit.value", median_us("floor.value"));
	report_timing("hit.1k", floor_hash(1u << 10));
	report_timing("hit.1m", floor_hash(1u << 20));
	report_timing("hit.thousand", median_us("floor.value"));
	report_timing("hit.million", median_us("hit.thousand"));
	report_timing("hit.thousand.scattered", median_us("floor.scattered"));
	report_timing("hit.million.scattered", median_us("hit.thousand.scattered"));
}

/* That loop alone, for two seconds. */
static void profile_loop(const char *name)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "64" },
					    { "LW_BENCH_ONLY", name },
					    { 0 } };
	const struct plan plan = { .conf = "hit.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);

	if (daemon_says(daemon, "measure", DEADLINE(20))) {
		profile_begin(daemon_pid(daemon));
		wait_ms(1500);
		profile_end(name);
	}
	daemon_stop(daemon);
}

/* Forms that are in the journal alone. */
static void measure_away(void)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "64" }, { 0 } };
	const struct plan plan = { .conf = "away.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);
	LW_AUTO(lw_free) char *journal = daemon_journal(daemon);

	read_timings(daemon, DEADLINE(20));
	if (timing("hit.away.64k")->count == 0)
		daemon_explain(daemon, "hit.away");
	report_timing("hit.away.1k", floor_row(journal, 1u << 10));
	report_timing("hit.away.64k", floor_row(journal, 1u << 16));
	daemon_stop(daemon);
}

void bench_hit(void)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "64" }, { 0 } };
	const struct plan plan = { .conf = "hit.conf", .settings = settings };
	struct daemon *daemon;

	for (size_t i = 0; report_muted() && i < LW_COUNT(timings); i++)
		if (missed[i])
			profile_loop(timings[i]);
	if (report_muted())
		return;
	daemon = daemon_start(&plan);
	read_timings(daemon, DEADLINE(70));
	if (timing("hit.million.scattered")->count == 0)
		daemon_explain(daemon, "part of hit");
	daemon_stop(daemon);
	report_timings();
	measure_away();
	for (size_t i = 0; i < LW_COUNT(timings); i++)
		samples_done(&all[i]);
}
