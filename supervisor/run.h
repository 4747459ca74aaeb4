/* run.h - one execution of a call: its stages, attempts and outcome.
 *
 * Runs are counted references: the cache, a queue, a worker that holds it and the history
 * keep it. run_move() is the only writer of `stage`, `reason` and `message`; all other fields
 * are written by work*.c and cache.c. Times are microseconds since 1970.
 */
#ifndef LW_SUPERVISOR_RUN_H
#define LW_SUPERVISOR_RUN_H

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_call.h"
#include "loop.h"

struct work;
struct worker;

/* clang-format off */
/*        NAME         name */
#define STAGES(S)                    \
	S(NOT_STARTED, not_started)  \
	S(STARTED,     started)      \
	S(PENDING,     pending)      \
	S(RUNNING,     running)      \
	S(SUCCEEDED,   succeeded)    \
	S(FAILED,      failed)       \
	S(STOPPED,     stopped)
/* clang-format on */
#define STAGE_ENUM(NAME, name) STAGE_##NAME,
enum stage { STAGES(STAGE_ENUM) STAGES_N };
#undef STAGE_ENUM
const char *stage_name(enum stage stage);
static inline bool stage_over(enum stage stage)
{
	return stage >= STAGE_SUCCEEDED;
}

struct status {
	enum stage stage;
	int64_t at;
	char *reason;   /* short: "exit status 3", "timeout", "retry 1 of 3"; or NULL */
	char *message;  /* the error's sentence; or NULL */
	uint32_t count; /* how many times in a row, 1 or more */
};

/* How the attempt in hand is being ended from outside: what becomes of the run when the
 * process tree is gone. What it still reports is dropped. */
enum ending {
	ENDING_NO,
	ENDING_STOPPED, /* stopped: stop, kill */
	ENDING_TIMEOUT, /* failed, reason timeout */
	ENDING_REQUEUE, /* back to the head of the queue at no cost: restart, shutdown */
};

enum caller { FROM_FLOW, FROM_API, FROM_RULE /* a work with `args` and no flow */ };

/* Told once when the run is over. Embedded in its owner; watcher_cancel() at any time. */
struct watcher {
	void (*done)(struct watcher *watcher);
	struct watcher *next;
	struct watcher **link; /* NULL: not watching */
};
void watcher_add(struct watcher **list, struct watcher *watcher);
void watcher_cancel(struct watcher *watcher);
void watchers_tell(struct watcher **list); /* unhooks each, then calls it */

struct run_delay {
	struct loop_timer timer;
	struct run *run;
};

struct run {
	/* first cache line: what a hit looks at */
	struct lw_key key;
	const uint8_t *form; /* canonical; behind this struct when short */
	uint32_t form_size;
	uint8_t stage;        /* enum stage */
	uint8_t by;           /* enum caller */
	uint8_t ending;       /* enum ending */
	uint8_t why;          /* enum why (cache.h): the decision that made it */
	bool remembered : 1;  /* the cache knows it */
	bool forget : 1;      /* leaves the cache when it is over */
	bool undelivered : 1; /* failed, and the flow has not been told yet */
	bool asked_back : 1;  /* the process it was sent ahead to was asked to give it back */
	uint64_t id;
	int64_t ended; /* when it was over; between attempts: since when it waits again; else 0 */
	struct work *work;

	uint32_t refs;
	uint32_t attempt;  /* of the execution in hand, 1 for the first; 0 before it */
	uint32_t failures; /* attempts that failed and cost a retry */
	int64_t created;
	int64_t started;        /* of the last attempt */
	double progress;        /* 0 to 1; negative: not told */
	struct lw_slice call;   /* as given; may be the same bytes as form */
	struct lw_slice result; /* a value, or empty */
	char *reason;           /* of the current stage */
	char *message;          /* of the failure */
	struct status *past;    /* statuses of earlier attempts; run_statuses() gives all */
	size_t past_count;
	struct worker *worker;     /* that holds it, or NULL */
	struct run *next, *prev;   /* in one list at a time: queue, or a worker's */
	struct run *older, *newer; /* history of the work */
	struct run_delay *delay;   /* before the next attempt; NULL: never had one */
	struct watcher *watchers;
	const char *ending_reason; /* of ENDING_STOPPED; a literal */
};

/* A list of runs in order; each run is in at most one. */
struct run_list {
	struct run *first, *last;
	size_t count;
};
void run_list_append(struct run_list *list, struct run *run);
void run_list_prepend(struct run_list *list, struct run *run);
void run_list_remove(struct run_list *list, struct run *run);

/* All runs by id. */
struct runs;
struct runs *runs_new(void);
void runs_free(struct runs *runs);
struct run *runs_find(const struct runs *runs, uint64_t id); /* borrowed, or NULL */

/* A new run in stage pending with one reference, which the caller has. Copies both slices. */
struct run *run_new(struct runs *runs, struct work *work, struct lw_key key, struct lw_slice form,
		    struct lw_slice call, enum caller by, int64_t now);
/* The only writer of the stage, its reason and its message (NULL: none); copies both. */
void run_move(struct run *run, enum stage stage, const char *reason, const char *message,
	      int64_t now);
void run_set_result(struct run *run, struct lw_slice value);

/* Every status so far, oldest first; texts borrow from the run. At most RUN_STATUSES. */
#define RUN_STATUSES 32
size_t run_statuses(const struct run *run, struct status ret_statuses[RUN_STATUSES]);

struct run *run_ref(struct run *run);
void run_unref(struct run *run); /* NULL is welcome */

#endif
