/* cache.h - a call to hit, join, held or run, and why.
 *
 * The index of one app's remembered calls: canonical form -> the latest run of that call.
 * Knows no process, no queue and no Lua. A hit compares the whole canonical form; the keyed
 * hash only finds the place. The decision table stands at the top of cache.c.
 */
#ifndef LW_SUPERVISOR_CACHE_H
#define LW_SUPERVISOR_CACHE_H

#include "lw_call.h"
#include "run.h"

struct cache;

enum decision { DECISION_HIT, DECISION_JOIN, DECISION_HELD, DECISION_RUN };
const char *decision_name(enum decision decision);

/* Why: a code; its operands are in the run it is about. The sentence is made when asked. */
enum why {
	WHY_SUCCEEDED,  /* hit: succeeded as run 812 at T */
	WHY_LIVE,       /* joined run 815 */
	WHY_FAILED,     /* held: failed 3 times, last: ... */
	WHY_STOPPED,    /* held: stopped by operator */
	WHY_NEVER_SEEN, /* runs: never seen; or: `lr` was 0.1, is 0.2 */
	WHY_EXPIRED,    /* runs: older than cache_ttl */
	WHY_NOT_CACHED, /* runs: cache_calls is false */
	WHY_OPERATOR,   /* held: the work is stopped by an operator */
	WHY_RETRY,      /* runs: retried by operator */
	WHY_SERVICE,    /* runs: called by its restart rule */
	WHYS_N
};

struct policy {
	bool cache_calls;
	int64_t ttl; /* microseconds, CONFIG_NONE: none */
};

struct cache *cache_new(void); /* draws the secret of the store */
void cache_free(struct cache *cache);
size_t cache_count(const struct cache *cache);
struct lw_key cache_key(const struct cache *cache, struct lw_slice form);

/* For tests: every form gets this key, so that only the comparison tells calls apart. */
void cache_force_key(struct cache *cache, struct lw_key key);

/* The run remembered for this form, or NULL. */
struct run *cache_find(const struct cache *cache, struct lw_key key, struct lw_slice form);

/* What a call does whose remembered run is `run` (NULL: none). `now` as run.ended. */
enum decision cache_decide(const struct run *run, struct policy policy, int64_t now,
			   enum why *ret_why);

/* Remembers `run` for its form, in place of the run that was; takes a reference. */
void cache_put(struct cache *cache, struct run *run);
void cache_remove(struct cache *cache, struct run *run); /* NULL and not remembered: nothing */

/* Every remembered run of a work, with a reference each, in no order; free() the array. */
size_t cache_of_work(const struct cache *cache, const struct work *work, struct run ***ret_runs);

#endif
