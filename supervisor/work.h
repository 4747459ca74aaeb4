/* work.h - a work: its queue, its pool, its counters, its latest call.
 *
 * Owned by struct app. Fields are read by everybody and written by work*.c alone. Knows
 * nothing of Lua, sockets or HTTP.
 */
#ifndef LW_SUPERVISOR_WORK_H
#define LW_SUPERVISOR_WORK_H

#include "cache.h"
#include "config.h"
#include "run.h"
#include "state.h"
#include "worker.h"

struct app;

#define WORK_STATUSES 64
#define WORK_RECENT   16   /* calls that explain compares with */
#define WORK_HISTORY  1000 /* runs that are over and kept though the cache forgot them */

struct work {
	struct app *app;
	struct work_config *config;
	size_t index;       /* in app->works */
	struct lw_buf head; /* every call of this work begins with these bytes */
	struct state state;
	struct worker **workers;
	size_t worker_count;
	struct run_list queue;               /* pending, in order, not with a worker */
	struct run_list delayed;             /* pending, waiting for retry_delay */
	struct run *tentative;               /* overlap = latest: the last call of this pass */
	struct run *latest;                  /* the run of the call made most recently, or NULL */
	struct run *newest, *oldest;         /* history: what lives, and the latest that are over */
	size_t history_count, history_bytes; /* of those that are over */
	bool held;                           /* an operator's stop holds */
	bool stopped;                        /* w:stop() by the flow; the next call undoes it */
	bool made_in_pass;
	bool retired;       /* no pass makes it any more: stopped, not shown, may come back */
	uint64_t seen_pass; /* full passes there had been when one made it last */
	int64_t port;       /* settled, 0: none */

	struct status *statuses; /* a ring; work_status_at() */
	size_t status_room, status_first, status_count;

	uint64_t hits, joins, misses, held_answers;
	uint64_t stage_counts[STAGES_N]; /* runs that reached that stage */
	uint64_t timeouts, restarts;
	int64_t saved; /* microseconds of run time that hits did not spend */
	uint64_t dropped_results;
	struct watcher *gone_watchers; /* told when no process is left */
	struct watcher *up_watchers;   /* told when work_is_up(), or it is stopped */
	uint64_t streak; /* calls of a service that failed in a row, soon after their start */
	struct loop_task pump;
	struct loop_timer again;   /* a service's back-off */
	struct loop_timer balance; /* runs sent ahead to a busy process while another is idle */
};

/* The answer to a call. `run` lives until the end of the turn. */
struct answer {
	enum decision decision;
	enum why why;
	struct run *run;  /* NULL when the answer is only `stage` */
	enum stage stage; /* as told to the caller; STOPPED for a work an operator holds */
	bool ends_pass;   /* parallel = false and not over: the pass ends here */
	bool raises;      /* the run failed, this caller is the first to hear, raise_exception */
};

struct work *work_new(struct app *app, struct work_config *take);
void work_free(struct work *work);
/* New settings for a work that has no process; what it remembers stays. */
void work_reconfigure(struct work *work, struct work_config *take);

/* Makes a call. `call` was begun with work->head (lw_call.h). -EAGAIN: queue_limit;
 * -EINVAL: no canonical form. */
LW_MUST_USE int work_call(struct work *work, struct lw_slice call, enum caller by,
			  struct answer *ret_answer, struct lw_err *err);

/* The same for a call whose canonical form the caller knows (and `form` may be `call` itself). */
LW_MUST_USE int work_call_form(struct work *work, struct lw_slice call, struct lw_slice form,
			       enum caller by, struct answer *ret_answer, struct lw_err *err);

/* What that call would do, without doing it. The sentence is appended to `reason`. */
LW_MUST_USE int work_explain(struct work *work, struct lw_slice call, struct answer *ret_answer,
			     struct lw_key *ret_key, struct lw_buf *reason, struct lw_err *err);

/* Steering. `by_flow`: a stop by the flow is undone by its next call; one by an operator holds
 * until an operator starts or restarts the work. */
void work_start(struct work *work, bool by_flow);
void work_stop(struct work *work, bool by_flow);
void work_kill(struct work *work);
void work_restart(struct work *work, bool by_flow);
/* Runs again what failed or was stopped: this call, or with an empty slice every one. The
 * number of calls; -ENOENT when there is nothing to retry. */
LW_MUST_USE int work_retry(struct work *work, struct lw_slice call, struct lw_err *err);
/* Forgets this call, or with an empty slice every call. The number of calls. */
LW_MUST_USE int work_forget(struct work *work, struct lw_slice call, struct lw_err *err);
/* The flow assigns a value of the work's state. */
LW_MUST_USE int work_set_state(struct work *work, const char *name, struct lw_slice value,
			       struct lw_err *err);

bool work_has_process(const struct work *work);
/* No process is on its way up or down: each serves, is down, waits for another try or gave up
 * (worker_info() says). */
bool work_is_up(const struct work *work);
size_t work_live_runs(const struct work *work); /* pending, delayed and running */

/* Of the latest call; STAGE_NOT_STARTED or STAGE_STARTED before the first one. */
struct status work_status(const struct work *work);

/* The last WORK_STATUSES statuses, 0 is the oldest; borrowed. */
const struct status *work_status_at(const struct work *work, size_t i);

/* No flow: the call of `args`, whatever is remembered. Again by itself as `restart` says. */
void work_call_service(struct work *work);
/* Starts the processes that start_with_flow asks for. */
void work_begin(struct work *work);
/* Ends every process; runs in hand go back to the queue (the app ends, or lets go of it). */
void work_end(struct work *work, bool at_once);

/* The pass is over: the last call of it counts (overlap = latest). */
void work_pass_ended(struct work *work);

/* The sentence for a decision about `form`; `run` as in struct answer. (why.c) */
void work_print_why(const struct work *work, enum why why, const struct run *run,
		    struct lw_slice form, struct lw_buf *out);

/* Events from workers. */
void work_on_up(struct work *work, struct worker *worker);
void work_on_begun(struct work *work, struct run *run);
void work_on_result(struct work *work, struct run *run, const struct lw_msg_result *result);
void work_on_run_lost(struct work *work, struct run *run, const char *reason, const char *message,
		      bool begun); /* the process is gone, tree and all */
void work_on_gone(struct work *work, struct worker *worker);
void work_on_state(struct work *work, struct lw_slice name, struct lw_slice value);
void work_on_room(struct work *work);

#endif
