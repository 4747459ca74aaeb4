/* skips.c - see skips.h. */
#include "skips.h"

#include <stdlib.h>

/* A ring: the count of a minute stands at its number modulo SKIPS_KEPT. */
struct skips {
	int64_t start;   /* of the minute that is counted in */
	uint32_t *count; /* of that minute */
	int64_t newest;  /* minute, since 1970; the ring has it and those before it */
	uint32_t counts[SKIPS_KEPT];
};

/* The ring may begin before 1970: not every machine knows at its start what time it is. */
static size_t place(int64_t minute)
{
	return (size_t)(minute + SKIPS_KEPT) % SKIPS_KEPT;
}

static struct skips *skips_new(void)
{
	struct skips *skips = LW_NEW(struct skips);

	skips->start = -SKIPS_MINUTE;
	return skips;
}

/* The ring reaches to that minute from now on. */
static void reach(struct skips *skips, int64_t minute)
{
	int64_t from = skips->newest + 1;

	if (minute <= skips->newest - SKIPS_KEPT || from <= minute - SKIPS_KEPT)
		from = minute - SKIPS_KEPT + 1;
	else if (minute <= skips->newest)
		return;
	for (; from <= minute; from++)
		skips->counts[place(from)] = 0;
	skips->newest = minute;
}

static void begin_minute(struct skips *skips, int64_t minute)
{
	reach(skips, minute);
	skips->start = minute * SKIPS_MINUTE;
	skips->count = &skips->counts[place(minute)];
}

void skips_note(struct skips **skips, int64_t at)
{
	struct skips *in;

	if (*skips == NULL)
		*skips = skips_new();
	in = *skips;
	if (at < in->start || at - in->start >= SKIPS_MINUTE)
		begin_minute(in, at > 0 ? at / SKIPS_MINUTE : 0);
	if (*in->count < UINT32_MAX)
		++*in->count;
}

int64_t skips_from(int64_t at)
{
	return (at / SKIPS_MINUTE - SKIPS_KEPT + 1) * SKIPS_MINUTE;
}

bool skips_list(const struct skips *skips, int64_t at, uint32_t ret_counts[SKIPS_KEPT])
{
	int64_t minute = at / SKIPS_MINUTE - SKIPS_KEPT + 1;
	bool any = false;

	if (skips == NULL)
		return false;
	for (size_t i = 0; i < SKIPS_KEPT; i++, minute++) {
		bool has = minute <= skips->newest && minute > skips->newest - SKIPS_KEPT;

		ret_counts[i] = has ? skips->counts[place(minute)] : 0;
		any = any || ret_counts[i] > 0;
	}
	return any;
}

void skips_free(struct skips *skips)
{
	free(skips);
}
