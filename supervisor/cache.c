/* cache.c - the decision, and the index that finds a call's latest run. */
#include "cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "config.h"

/* What the index may know of a call. */
enum known { NEVER_SEEN, LIVE, SUCCEEDED, EXPIRED, FAILED, STOPPED, KNOWN_N };

/* clang-format off */
/* The whole decision: what is known of the call -> what to do, and why, with
 * cache_calls = true and with cache_calls = false. */
static const struct row {
	enum decision cached; enum why cached_why;
	enum decision always; enum why always_why;
} table[KNOWN_N] = {
	/*                cache_calls = true                cache_calls = false */
	[NEVER_SEEN] = { DECISION_RUN,  WHY_NEVER_SEEN,     DECISION_RUN,  WHY_NEVER_SEEN },
	[LIVE]       = { DECISION_JOIN, WHY_LIVE,           DECISION_JOIN, WHY_LIVE },
	[SUCCEEDED]  = { DECISION_HIT,  WHY_SUCCEEDED,      DECISION_RUN,  WHY_NOT_CACHED },
	[EXPIRED]    = { DECISION_RUN,  WHY_EXPIRED,        DECISION_RUN,  WHY_NOT_CACHED },
	[FAILED]     = { DECISION_HELD, WHY_FAILED,         DECISION_RUN,  WHY_NOT_CACHED },
	[STOPPED]    = { DECISION_HELD, WHY_STOPPED,        DECISION_RUN,  WHY_NOT_CACHED },
};
/* clang-format on */

static enum known known_of(const struct run *run, int64_t ttl, int64_t now)
{
	if (run == NULL)
		return NEVER_SEEN;
	switch ((enum stage)run->stage) {
	case STAGE_SUCCEEDED:
		return ttl != CONFIG_NONE && now - run->ended > ttl ? EXPIRED : SUCCEEDED;
	case STAGE_FAILED:
		return FAILED;
	case STAGE_STOPPED:
		return STOPPED;
	default:
		return LIVE;
	}
}

enum decision cache_decide(const struct run *run, struct policy policy, int64_t now,
			   enum why *ret_why)
{
	const struct row *row = &table[known_of(run, policy.ttl, now)];

	*ret_why = policy.cache_calls ? row->cached_why : row->always_why;
	return policy.cache_calls ? row->cached : row->always;
}

const char *decision_name(enum decision decision)
{
	static const char *const names[] = { "hit", "join", "held", "run" };

	return names[decision];
}

/* ---- the index: open addressing, linear probing, the hash beside the pointer ---------- */

#define HUGE_PAGE (2u << 20)

struct slot {
	uint64_t hash;
	struct run *run; /* NULL: free */
};

struct cache {
	struct slot *slots;
	size_t room; /* a power of two */
	size_t count;
	bool forced;
	struct lw_key forced_key;
	uint8_t secret[LW_KEY_SECRET];
};

/* Zeroed. A large table is looked at all over: in huge pages, where the kernel has them, the
 * processor finds each place sooner. */
static struct slot *slots_new(size_t room)
{
	size_t size = room * sizeof(struct slot);
	void *slots = NULL;

	if (size < HUGE_PAGE)
		return lw_alloc(size);
	if (posix_memalign(&slots, HUGE_PAGE, size) != 0)
		lw_fatal("out of memory");
	(void)madvise(slots, size, MADV_HUGEPAGE);
	return memset(slots, 0, size);
}

struct cache *cache_new(void)
{
	struct cache *cache = LW_NEW(struct cache);

	if (getrandom(cache->secret, sizeof(cache->secret), 0) != sizeof(cache->secret))
		lw_fatal("cannot draw the store's secret");
	cache->room = 64;
	cache->slots = slots_new(cache->room);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < cache->room; i++)
		run_unref(cache->slots[i].run);
	free(cache->slots);
	free(cache);
}

size_t cache_count(const struct cache *cache)
{
	return cache->count;
}

void cache_force_key(struct cache *cache, struct lw_key key)
{
	cache->forced = true;
	cache->forced_key = key;
}

struct lw_key cache_key(const struct cache *cache, struct lw_slice form)
{
	return cache->forced ? cache->forced_key : lw_key_of(form, cache->secret);
}

/* The slot of this form, or the free one where it would go. */
static size_t cache_place(const struct cache *cache, uint64_t hash, struct lw_slice form)
{
	size_t at = (size_t)hash & (cache->room - 1);

	for (; cache->slots[at].run != NULL; at = (at + 1) & (cache->room - 1)) {
		const struct run *run = cache->slots[at].run;

		if (cache->slots[at].hash == hash && run->form_size == form.size &&
		    memcmp(run->form, form.data, form.size) == 0)
			break;
	}
	return at;
}

struct run *cache_find(const struct cache *cache, struct lw_key key, struct lw_slice form)
{
	return cache->slots[cache_place(cache, key.low, form)].run;
}

static void cache_grow(struct cache *cache)
{
	struct slot *old = cache->slots;
	size_t old_room = cache->room;

	cache->room = old_room * 2;
	cache->slots = slots_new(cache->room);
	for (size_t i = 0; i < old_room; i++) {
		size_t at = (size_t)old[i].hash & (cache->room - 1);

		if (old[i].run == NULL)
			continue;
		while (cache->slots[at].run != NULL)
			at = (at + 1) & (cache->room - 1);
		cache->slots[at] = old[i];
	}
	free(old);
}

static struct lw_slice form_of(const struct run *run)
{
	return (struct lw_slice){ run->form, run->form_size };
}

void cache_put(struct cache *cache, struct run *run)
{
	size_t at;

	if (cache->count * 10 >= cache->room * 6)
		cache_grow(cache);
	at = cache_place(cache, run->key.low, form_of(run));
	run_ref(run);
	if (cache->slots[at].run != NULL) {
		cache->slots[at].run->remembered = false;
		run_unref(cache->slots[at].run);
	} else {
		cache->count++;
	}
	cache->slots[at] = (struct slot){ run->key.low, run };
	run->remembered = true;
}

void cache_remove(struct cache *cache, struct run *run)
{
	size_t mask = cache->room - 1;
	size_t hole;

	if (run == NULL || !run->remembered)
		return;
	hole = cache_place(cache, run->key.low, form_of(run));
	/* Close the gap: move back whoever would not be found any more. */
	for (size_t at = (hole + 1) & mask; cache->slots[at].run != NULL; at = (at + 1) & mask) {
		size_t home = (size_t)cache->slots[at].hash & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			cache->slots[hole] = cache->slots[at];
			hole = at;
		}
	}
	cache->slots[hole] = (struct slot){ 0, NULL };
	cache->count--;
	run->remembered = false;
	run_unref(run);
}

size_t cache_of_work(const struct cache *cache, const struct work *work, struct run ***ret_runs)
{
	struct run **runs = NULL;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < cache->room; i++) {
		struct run *run = cache->slots[i].run;

		if (run == NULL || run->work != work)
			continue;
		if (count == room) {
			room = room == 0 ? 64 : room * 2;
			runs = lw_realloc(runs, room * sizeof(struct run *));
		}
		runs[count++] = run_ref(run);
	}
	*ret_runs = runs;
	return count;
}
