/* histogram.c - see histogram.h. */
#include "histogram.h"

#define MS     1000
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * (int64_t)MINUTE)

const struct histogram_bounds histogram_of_runs = { {
	MS,
	10 * MS,
	100 * MS,
	SECOND,
	5 * SECOND,
	15 * SECOND,
	MINUTE,
	5 * (int64_t)MINUTE,
	15 * (int64_t)MINUTE,
	HOUR,
	6 * HOUR,
	24 * HOUR,
} };

const struct histogram_bounds histogram_of_passes = { {
	50,
	100,
	250,
	500,
	MS,
	5 * MS,
	10 * MS,
	50 * MS,
	100 * MS,
	500 * MS,
	SECOND,
	5 * SECOND,
} };

void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, int64_t us)
{
	size_t i = 0;

	while (i < HISTOGRAM_BUCKETS && us > bounds->most[i])
		i++;
	histogram->counts[i]++;
	histogram->sum += us;
}
