/* fuzz.h - what every target of tests/fuzz has, and a target is.
 *
 * A target is one fuzz_<name>.c with the function below, which libFuzzer calls with inputs it
 * invents (scripts/fuzz) and replay.c with the seeds and regressions, as an ordinary test. It
 * keeps nothing from one input to the next, ends in well under a second, and whatever the input
 * is, what it says with HOLDS() is true.
 */
#ifndef LW_TESTS_FUZZ_H
#define LW_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lw_base.h"
#include "lw_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property of the code under test; the sentence says which is broken. */
#define HOLDS(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s: ", __FILE__, __LINE__,          \
				#condition);                                                       \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline LW_UNUSED bool same_bytes(struct lw_slice a, struct lw_slice b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static LW_UNUSED void drop_line(void *context, enum lw_log_level level, const char *line)
{
	(void)context;
	(void)level;
	(void)line;
}

/* Log lines are made, debug ones too, and go nowhere. */
static inline LW_UNUSED void log_to_nowhere(void)
{
	lw_log_to(drop_line, NULL);
	lw_log_set_level(LW_LOG_DEBUG);
}

#endif
