/* cache.h - a call to hit, join, held or run, and why.
 *
 * The index of one app's remembered calls: canonical form -> a memo of the latest run of that
 * call. Knows no process, no queue, no file and no Lua. A hit compares the whole canonical form;
 * the keyed hash only finds the place. The decision table stands at the top of cache.c.
 *
 * A memo is small, so that a million of them fit: a form of up to MEMO_SHORT bytes lies in it. A
 * longer one is kept apart, as long as all of those fit into `form_bytes`; one that was dropped is
 * read back by the owner's `read_form`.
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
	WHY_FILES,      /* held: cache_files are being read */
	WHYS_N
};

/* What is remembered of a call. Made and freed by the cache, written by work*.c. */
struct memo {
	uint64_t run; /* the id of its latest run */
	union {
		int64_t ended;    /* over: when, microseconds since 1970 */
		struct run *live; /* not over: the run */
	};
	uint32_t work;      /* row of its work */
	uint32_t form_size; /* bytes of its canonical form */
	float took;         /* seconds that the run took */
	uint8_t stage;      /* enum stage */
	bool undelivered;   /* failed, and the flow has not been told yet */
	bool forget;        /* leaves when it is over and the flow has heard of it */
	bool fatal;         /* failed, and its error ended the app of an earlier supervisor */
			    /* then the form, or where it is kept */
};

struct policy {
	bool cache_calls;
	int64_t ttl; /* microseconds, CONFIG_NONE: none */
};

struct cache_options {
	const uint8_t *secret; /* of the store, LW_KEY_SECRET bytes, copied */
	uint64_t form_bytes;   /* for the long forms that are kept in memory */
	uint64_t most;         /* memos; the least recently used leaves first. 0: all are kept */
	void *context;         /* of these: */
	/* Appends the form of a run that is on record. -errno: it cannot be read. */
	int (*read_form)(void *context, uint64_t run, struct lw_buf *out);
	/* Whether that form may be dropped: it is on record. */
	bool (*on_record)(void *context, uint64_t run);
	/* `most` made this memo leave; it is over. */
	void (*left)(void *context, const struct memo *memo);
};

struct cache *cache_new(const struct cache_options *options);
void cache_free(struct cache *cache);
size_t cache_count(const struct cache *cache);
void cache_expect(struct cache *cache, uint64_t count); /* makes room for so many */
struct lw_key cache_key(const struct cache *cache, struct lw_slice form);

/* For tests: every form gets this key, so that only the comparison tells calls apart. */
void cache_force_key(struct cache *cache, struct lw_key key);

/* The memo of this form, or NULL. Borrowed until the next put, remove or sweep. */
struct memo *cache_find(struct cache *cache, struct lw_key key, struct lw_slice form);

/* What a call does of which `memo` is remembered (NULL: nothing). */
enum decision cache_decide(const struct memo *memo, struct policy policy, int64_t now,
			   enum why *ret_why);

/* Remembers a run of this form, which has no memo yet; the caller fills in what it knows. May make
 * another one leave (options.most). */
struct memo *cache_put(struct cache *cache, struct lw_key key, struct lw_slice form, uint64_t run);
void cache_remove(struct cache *cache, struct memo *memo); /* NULL is welcome */

/* Removes every memo for which `leaves` returns true; it sees each one once, in no order. */
void cache_sweep(struct cache *cache, bool (*leaves)(void *context, struct memo *memo),
		 void *context);

#define MEMO_SHORT 64                                 /* bytes of a form that lies in its memo */
uint64_t cache_form_bytes(const struct cache *cache); /* of the long forms in memory */

#endif
