/* histogram.h - how long things took: counts in fixed buckets, for /metrics. */
#ifndef LW_SUPERVISOR_HISTOGRAM_H
#define LW_SUPERVISOR_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 12

struct histogram {
	uint64_t
		counts[HISTOGRAM_BUCKETS + 1]; /* of each bucket alone; the last: longer than all */
	int64_t sum;                           /* microseconds */
};

/* The longest that a bucket takes, microseconds. */
struct histogram_bounds {
	int64_t most[HISTOGRAM_BUCKETS];
};
extern const struct histogram_bounds histogram_of_runs, histogram_of_passes;

void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, int64_t us);

#endif
