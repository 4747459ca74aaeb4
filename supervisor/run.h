/* run.h - one execution of a call: its stages, attempts and outcome.
 *
 * A run is in memory while it lives, and after that until its place is needed: then it is in the
 * journal alone, and read back when somebody asks (app_run() in app.h). Runs are counted
 * references: a queue, a worker that holds it, a waiting request. run_move() is the only writer
 * of `stage`, `reason` and `message`; the journal writes what is its own, work*.c everything
 * else. Times are microseconds since 1970.
 */
#ifndef LW_SUPERVISOR_RUN_H
#define LW_SUPERVISOR_RUN_H

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_call.h"
#include "lw_err.h"
#include "loop.h"

struct memo;
struct run_row;
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
	uint64_t id;
	struct runs *runs; /* that it is found in */
	struct run *next_by_id;
	struct work *work;
	struct memo *memo; /* of its call while it lives and is remembered; or NULL */
	struct lw_key key;
	const uint8_t *form; /* canonical; behind this struct when short */
	uint32_t form_size;
	uint8_t stage;       /* enum stage */
	uint8_t by;          /* enum caller */
	uint8_t ending;      /* enum ending */
	uint8_t why;         /* enum why (cache.h): the decision that made it */
	uint8_t flags;       /* STORE_RUN_* (store.h), for the record */
	bool asked_back : 1; /* the process it was sent ahead to was asked to give it back */

	/* the journal's own */
	bool recorded : 1; /* it has a row */
	bool noted : 1;    /* it changed since */
	bool resting : 1;  /* it is over, and here to be asked for */
	uint64_t batch;    /* that has its latest change */
	struct run *next_noted;

	uint32_t refs;
	uint32_t attempt;  /* of the execution in hand, 1 for the first; 0 before it */
	uint32_t failures; /* attempts that failed and cost a retry */
	uint32_t lost;     /* attempts whose outcome nobody knows */
	int64_t rank;      /* place in the queue of its work; smaller is earlier */
	int64_t created;
	int64_t started; /* of the last attempt */
	int64_t ended;   /* when it was over; between attempts: since when it waits again; else 0 */
	int64_t due;     /* of the next attempt, while it waits for that; else 0 */
	double progress; /* 0 to 1; negative: not told */
	struct lw_slice call;   /* as given; may be the same bytes as form */
	struct lw_slice result; /* a value, or empty */
	char *reason;           /* of the current stage */
	char *message;          /* of the failure */
	struct status *past;    /* statuses of earlier attempts; run_statuses() gives all */
	size_t past_count;
	struct worker *worker;   /* that was sent it, or NULL */
	struct run *next, *prev; /* in one list at a time: queue, a worker's, those at rest */
	struct run_delay *delay; /* before the next attempt; NULL: never had one */
	struct watcher *watchers;
	const char *ending_reason; /* of ENDING_STOPPED; a literal */
	uint64_t overtaken_by;     /* ENDING_STOPPED for this newer run; else 0 */
};

/* A list of runs in order; each run is in at most one. */
struct run_list {
	struct run *first, *last;
	size_t count;
};
void run_list_append(struct run_list *list, struct run *run);
void run_list_prepend(struct run_list *list, struct run *run);
void run_list_remove(struct run_list *list, struct run *run);

/* The runs in memory, by id. */
struct runs;
struct runs *runs_new(uint64_t last_id);
void runs_free(struct runs *runs);
struct run *runs_find(const struct runs *runs, uint64_t id); /* borrowed, or NULL */
uint64_t runs_last_id(const struct runs *runs);

/* A run that is over goes to rest; gives up the caller's reference. It stays until runs_trim()
 * needs its place. */
void runs_rest(struct runs *runs, struct run *run);
/* Lets go of runs at rest, longest unused first, until they take at most so many bytes; those
 * whose latest change is in a batch after `stable` stay. */
void runs_trim(struct runs *runs, uint64_t bytes, uint64_t stable);
uint64_t runs_resting(const struct runs *runs); /* bytes */

/* A new run in stage pending with one reference, which the caller has. Copies both slices. */
struct run *run_new(struct runs *runs, struct work *work, struct lw_key key, struct lw_slice form,
		    struct lw_slice call, enum caller by, int64_t now);

/* A run as its row says, with one reference, which the caller has. -EUCLEAN: the row makes no
 * sense. */
LW_MUST_USE int run_from_row(struct runs *runs, struct work *work, struct lw_key key,
			     const struct run_row *row, struct run **ret_run, struct lw_err *err);
/* The row of a run, which borrows from it; `past` has room for what is packed. */
void run_to_row(const struct run *run, struct lw_buf *past, struct run_row *ret_row);

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
