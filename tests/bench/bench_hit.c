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
};

static struct samples all[LW_COUNT(timings)];

static struct samples *timing(const char *name)
{
	for (size_t i = 0; i < LW_COUNT(timings); i++)
		if (strcmp(timings[i], name) == 0)
			return &all[i];
	return NULL;
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

static void report_timings(void)
{
	double value = median_us("floor.value"), scattered = median_us("floor.scattered");
	double thousand = median_us("hit.thousand");
	double thousand_scattered = median_us("hit.thousand.scattered");

	report("hit.loop", median_us("hit.loop"), NAN);
	report("hit.value", median_us("hit.value"), value);
	report("hit.1k", median_us("hit.1k"), floor_hash(1u << 10));
	report("hit.1m", median_us("hit.1m"), floor_hash(1u << 20));
	report("hit.thousand", thousand, value);
	report("hit.million", median_us("hit.million"), thousand);
	report("hit.thousand.scattered", thousand_scattered, scattered);
	report("hit.million.scattered", median_us("hit.million.scattered"), thousand_scattered);
}

/* The profile is of one loop, for some seconds: the first one that has a goal. */
static void profile_hits(void)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "64" },
					    { "LW_BENCH_ONLY", "hit.value" },
					    { 0 } };
	const struct plan plan = { .conf = "hit.conf", .settings = settings };
	struct daemon *daemon = daemon_start(&plan);

	daemon_says(daemon, "measure", DEADLINE(10));
	wait_ms(2500);
	daemon_stop(daemon);
}

void bench_hit(void)
{
	const struct setting settings[] = { { "LW_BENCH_WINDOW", "64" }, { 0 } };
	const struct plan plan = { .conf = "hit.conf", .settings = settings };
	struct daemon *daemon;

	if (report_muted()) {
		profile_hits();
		return;
	}
	daemon = daemon_start(&plan);
	read_timings(daemon, DEADLINE(70));
	if (timing("hit.million.scattered")->count == 0)
		daemon_explain(daemon, "part of hit");
	daemon_stop(daemon);
	report_timings();
	for (size_t i = 0; i < LW_COUNT(timings); i++)
		samples_done(&all[i]);
}
