/* cache.c - the decision, and the index that finds a call's latest run. */
#include "cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

static enum known known_of(const struct memo *memo, int64_t ttl, int64_t now)
{
	if (memo == NULL)
		return NEVER_SEEN;
	switch ((enum stage)memo->stage) {
	case STAGE_SUCCEEDED:
		return ttl != CONFIG_NONE && now - memo->ended > ttl ? EXPIRED : SUCCEEDED;
	case STAGE_FAILED:
		return FAILED;
	case STAGE_STOPPED:
		return STOPPED;
	default:
		return LIVE;
	}
}

enum decision cache_decide(const struct memo *memo, struct policy policy, int64_t now,
			   enum why *ret_why)
{
	const struct row *row = &table[known_of(memo, policy.ttl, now)];

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
	struct memo *memo; /* NULL: free */
};

/* A list in the order of use. */
struct link {
	struct link *newer, *older;
};
struct order {
	struct link *newest, *oldest;
};

/* A form that is too long for its memo; behind it. */
struct long_form {
	struct link link;
	uint8_t *bytes; /* NULL: dropped */
	uint64_t hash;
	struct memo *memo;
};

struct cache {
	struct cache_options options;
	struct slot *slots;
	size_t room; /* a power of two */
	size_t count;
	struct order memos; /* all of them, if options.most; their links lie before them */
	struct order forms; /* the long ones that are in memory */
	uint64_t form_bytes;
	struct lw_buf scratch;
	bool forced;
	struct lw_key forced_key;
	uint8_t secret[LW_KEY_SECRET];
};

static void order_add(struct order *order, struct link *link)
{
	*link = (struct link){ NULL, order->newest };
	if (order->newest != NULL)
		order->newest->newer = link;
	else
		order->oldest = link;
	order->newest = link;
}

static void order_remove(struct order *order, struct link *link)
{
	if (link->newer != NULL)
		link->newer->older = link->older;
	else
		order->newest = link->older;
	if (link->older != NULL)
		link->older->newer = link->newer;
	else
		order->oldest = link->newer;
}

static void order_use(struct order *order, struct link *link)
{
	if (order->newest == link)
		return;
	order_remove(order, link);
	order_add(order, link);
}

/* ---- memos ---------------------------------------------------------------------------------- */

static bool is_ordered(const struct cache *cache)
{
	return cache->options.most != 0;
}

static struct link *link_of(struct memo *memo)
{
	return (struct link *)(void *)memo - 1;
}

static struct memo *memo_of(struct link *link)
{
	return (struct memo *)(void *)(link + 1);
}

static bool is_long(const struct memo *memo)
{
	return memo->form_size > MEMO_SHORT;
}

static struct long_form *long_form_of(struct memo *memo)
{
	return (struct long_form *)(void *)(memo + 1);
}

static void form_drop(struct cache *cache, struct long_form *form)
{
	if (form->bytes == NULL)
		return;
	order_remove(&cache->forms, &form->link);
	cache->form_bytes -= form->memo->form_size;
	free(form->bytes);
	form->bytes = NULL;
}

/* The newest stays: it is being looked at. */
static void forms_fit(struct cache *cache)
{
	struct link *link = cache->forms.oldest;

	while (link != cache->forms.newest && cache->form_bytes > cache->options.form_bytes) {
		struct long_form *form = LW_OWNER(link, struct long_form, link);

		link = link->newer;
		if (cache->options.on_record(cache->options.context, form->memo->run))
			form_drop(cache, form);
	}
}

static void form_keep(struct cache *cache, struct long_form *form, struct lw_slice bytes)
{
	form->bytes = memcpy(lw_realloc(NULL, bytes.size), bytes.data, bytes.size);
	cache->form_bytes += bytes.size;
	order_add(&cache->forms, &form->link);
	forms_fit(cache);
}

static struct memo *memo_new(struct cache *cache, uint64_t hash, struct lw_slice form, uint64_t run)
{
	size_t before = is_ordered(cache) ? sizeof(struct link) : 0;
	bool is_short = form.size <= MEMO_SHORT;
	size_t behind = is_short ? form.size : sizeof(struct long_form);
	uint8_t *block = lw_alloc(before + sizeof(struct memo) + behind);
	struct memo *memo = (struct memo *)(void *)(block + before);

	memo->run = run;
	memo->form_size = (uint32_t)form.size;
	if (is_ordered(cache))
		order_add(&cache->memos, link_of(memo));
	if (is_short) {
		memcpy(memo + 1, form.data, form.size);
		return memo;
	}
	long_form_of(memo)->hash = hash;
	long_form_of(memo)->memo = memo;
	form_keep(cache, long_form_of(memo), form);
	return memo;
}

static void memo_free(struct cache *cache, struct memo *memo)
{
	if (is_long(memo))
		form_drop(cache, long_form_of(memo));
	if (is_ordered(cache)) {
		order_remove(&cache->memos, link_of(memo));
		free(link_of(memo));
	} else {
		free(memo);
	}
}

/* What cannot be read is not the same: the call runs again rather than being skipped wrongly. */
static bool long_form_is(struct cache *cache, struct long_form *form, struct lw_slice wanted)
{
	const struct cache_options *options = &cache->options;

	if (form->bytes != NULL) {
		order_use(&cache->forms, &form->link);
		return memcmp(form->bytes, wanted.data, wanted.size) == 0;
	}
	cache->scratch.size = 0;
	if (options->read_form(options->context, form->memo->run, &cache->scratch) < 0 ||
	    cache->scratch.size != wanted.size)
		return false;
	form_keep(cache, form, lw_buf_slice(&cache->scratch));
	return memcmp(form->bytes, wanted.data, wanted.size) == 0;
}

static bool form_is(struct cache *cache, struct memo *memo, struct lw_slice wanted)
{
	if (memo->form_size != wanted.size)
		return false;
	if (is_long(memo))
		return long_form_is(cache, long_form_of(memo), wanted);
	return memcmp(memo + 1, wanted.data, wanted.size) == 0;
}

/* ---- the table -------------------------------------------------------------------------------- */

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

struct cache *cache_new(const struct cache_options *options)
{
	struct cache *cache = LW_NEW(struct cache);

	cache->options = *options;
	memcpy(cache->secret, options->secret, sizeof(cache->secret));
	cache->room = 64;
	cache->slots = slots_new(cache->room);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < cache->room; i++)
		if (cache->slots[i].memo != NULL)
			memo_free(cache, cache->slots[i].memo);
	free(cache->slots);
	lw_buf_done(&cache->scratch);
	free(cache);
}

size_t cache_count(const struct cache *cache)
{
	return cache->count;
}

uint64_t cache_form_bytes(const struct cache *cache)
{
	return cache->form_bytes;
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

struct memo *cache_find(struct cache *cache, struct lw_key key, struct lw_slice form)
{
	size_t at = (size_t)key.low & (cache->room - 1);

	for (; cache->slots[at].memo != NULL; at = (at + 1) & (cache->room - 1)) {
		struct memo *memo = cache->slots[at].memo;

		if (cache->slots[at].hash != key.low || !form_is(cache, memo, form))
			continue;
		if (is_ordered(cache))
			order_use(&cache->memos, link_of(memo));
		return memo;
	}
	return NULL;
}

static void insert(struct cache *cache, struct slot slot)
{
	size_t at = (size_t)slot.hash & (cache->room - 1);

	while (cache->slots[at].memo != NULL)
		at = (at + 1) & (cache->room - 1);
	cache->slots[at] = slot;
}

static void cache_resize(struct cache *cache, size_t room)
{
	struct slot *old = cache->slots;
	size_t old_room = cache->room;

	cache->room = room;
	cache->slots = slots_new(room);
	for (size_t i = 0; i < old_room; i++)
		if (old[i].memo != NULL)
			insert(cache, old[i]);
	free(old);
}

/* At most seven tenths are taken. */
static size_t room_for(size_t room, uint64_t count)
{
	while (count * 10 > (uint64_t)room * 7)
		room *= 2;
	return room;
}

void cache_expect(struct cache *cache, uint64_t count)
{
	size_t room = room_for(cache->room, count);

	if (room > cache->room)
		cache_resize(cache, room);
}

static uint64_t hash_of(const struct cache *cache, struct memo *memo)
{
	if (is_long(memo))
		return long_form_of(memo)->hash;
	return cache_key(cache, (struct lw_slice){ (const uint8_t *)(memo + 1), memo->form_size })
		.low;
}

void cache_remove(struct cache *cache, struct memo *memo)
{
	size_t mask = cache->room - 1;
	size_t hole;

	if (memo == NULL)
		return;
	hole = (size_t)hash_of(cache, memo) & mask;
	while (cache->slots[hole].memo != memo)
		hole = (hole + 1) & mask;
	/* Close the gap: move back whoever would not be found any more. */
	for (size_t at = (hole + 1) & mask; cache->slots[at].memo != NULL; at = (at + 1) & mask) {
		size_t home = (size_t)cache->slots[at].hash & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			cache->slots[hole] = cache->slots[at];
			hole = at;
		}
	}
	cache->slots[hole] = (struct slot){ 0, NULL };
	cache->count--;
	memo_free(cache, memo);
}

#define LOOKS 64 /* at memos in flight, before one more than `most` is taken in */

/* The least recently used gives way; one in flight is in use. */
static void make_room(struct cache *cache)
{
	for (int i = 0; is_ordered(cache) && cache->count >= cache->options.most && i < LOOKS;
	     i++) {
		struct memo *memo = memo_of(cache->memos.oldest);

		if (stage_over((enum stage)memo->stage)) {
			cache->options.left(cache->options.context, memo);
			cache_remove(cache, memo);
		} else {
			order_use(&cache->memos, link_of(memo));
		}
	}
}

struct memo *cache_put(struct cache *cache, struct lw_key key, struct lw_slice form, uint64_t run)
{
	struct memo *memo;

	make_room(cache);
	cache_expect(cache, cache->count + 1);
	memo = memo_new(cache, key.low, form, run);
	insert(cache, (struct slot){ key.low, memo });
	cache->count++;
	return memo;
}

void cache_sweep(struct cache *cache, bool (*leaves)(void *context, struct memo *memo),
		 void *context)
{
	struct slot *old = cache->slots;

	cache->slots = slots_new(cache->room);
	for (size_t i = 0; i < cache->room; i++) {
		if (old[i].memo == NULL)
			continue;
		if (leaves(context, old[i].memo)) {
			memo_free(cache, old[i].memo);
			cache->count--;
		} else {
			insert(cache, old[i]);
		}
	}
	free(old);
}
