/* floor_hash.c - what must be done to a long argument before its call can be skipped. */
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "bench.h"

/* As the flow's os.clock() does. */
static double cpu_us(void)
{
	return (double)clock() / (CLOCKS_PER_SEC / 1e6);
}

double floor_hash(size_t size)
{
	LW_AUTO(lw_free) uint8_t *given = lw_alloc(size);
	LW_AUTO(lw_free) uint8_t *kept = lw_alloc(size);
	struct samples rounds = { 0 };
	size_t repeat = (64u << 20) / size;
	volatile uint64_t sink = 0; /* keeps the compiler from dropping the work */
	double median;

	memset(given, 'x', size);
	memset(kept, 'x', size);
	for (int round = 0; round < 5; round++) {
		double begin = cpu_us();

		for (size_t i = 0; i < repeat; i++) {
			sink += XXH3_128bits_withSeed(given, size, sink).low64;
			sink += (uint64_t)memcmp(given, kept, size - (sink & 1));
		}
		samples_add(&rounds, (cpu_us() - begin) / (double)repeat);
	}
	median = samples_quantile(&rounds, 0.5);
	samples_done(&rounds);
	return median;
}
