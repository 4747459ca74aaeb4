/* work.h - a work: its queue, its pool, its counters, its latest call.
 *
 * Owned by struct app. Fields are read by everybody and written by work*.c alone. Knows
 * nothing of Lua, sockets or HTTP.
 */
#ifndef LW_SUPERVISOR_WORK_H
#define LW_SUPERVISOR_WORK_H

#include "cache.h"
#include "calls.h"
#include "config.h"
#include "files.h"
#include "histogram.h"
#include "pause.h"
#include "run.h"
#include "skips.h"
#include "state.h"
#include "worker.h"

struct app;

#define WORK_STATUSES 64
#define WORK_SLOTS    10000 /* of a pool, at most */
#define WORK_RECENT   16    /* calls that explain compares with */

/* What the call made most recently was answered by. A hit costs no more than this. */
struct latest {
	uint64_t run;     /* 0: no call yet */
	int64_t ended;    /* of one that is over */
	uint8_t stage;    /* of one that is over */
	struct run *live; /* while it is not; a reference */
};

struct work {
	struct app *app;
	struct work_config *config;
	uint32_t row;            /* its row in the journal; a work keeps it for ever */
	size_t index;            /* in app->works */
	size_t order;            /* in app.conf */
	struct lw_buf head;      /* every call of this work begins with these bytes */
	struct files_set *files; /* of cache_files, or NULL */
	struct state state;
	struct worker **workers;
	size_t worker_count;
	struct run_list queue;   /* pending, in order, not with a worker */
	struct run_list delayed; /* pending, waiting for retry_delay */
	struct run *tentative;   /* overlap = latest, cancel: the last call of this pass */
	struct latest latest;
	uint64_t recent[WORK_RECENT]; /* runs made most recently, a ring; 0: none */
	size_t recent_at;
	struct calls *calls;           /* the latest ones, hits and all */
	struct skips *skips;           /* hits of the last hour */
	int64_t rank_first, rank_last; /* given to runs at the head and the end of the queue */
	bool speaks_of_ready;          /* a process of it has said whether it is ready */
	struct pause pause;            /* nothing is taken from the queue */
	bool held;                     /* an operator's stop holds */
	bool stopped;                  /* w:stop() by the flow; the next call undoes it */
	bool made_in_pass;
	bool retired;   /* nobody makes it (any more, or since the start): not shown without a
			  process, starts nothing, may come back */
	bool stale;     /* app.conf was read again since it was made: it may get other settings */
	bool renewing;  /* its processes end, to be started with other settings */
	char *settings; /* JSON its processes run with, where `config` has others; else NULL */
	uint64_t seen_pass; /* full passes there had been when one made it last */
	int64_t port;       /* settled, 0: none */

	struct status *statuses; /* a ring; work_status_at() */
	size_t status_room, status_first, status_count;

	uint64_t hits, joins, misses, held_answers;
	uint64_t stage_counts[STAGES_N]; /* runs that reached that stage */
	uint64_t timeouts, restarts;
	int64_t saved;         /* microseconds of run time that hits did not spend */
	struct histogram took; /* by runs that came to an end, of histogram_of_runs */
	uint64_t dropped_results;
	struct watcher *gone_watchers; /* told when no process is left */
	struct watcher *up_watchers;   /* told when work_is_up(), or it is stopped */
	bool waits_for_files;          /* a call was answered "pending" until they are known */
	bool rule_waits; /* overlap = cancel: a service's call is due, after those that others made */
	uint64_t streak; /* calls of a service that failed in a row, soon after their start */
	struct loop_task pump;
	struct loop_task changed;
	struct loop_task renew;
	struct loop_timer again;   /* a service's back-off */
	struct loop_timer balance; /* runs sent ahead to a busy process while another is idle */
};

/* The answer to a call. */
struct answer {
	enum decision decision;
	enum why why;
	uint64_t run;     /* its id, for app_run(); 0 when the answer is only `stage` */
	uint32_t attempt; /* of a run that lives */
	struct lw_key key;
	enum stage stage; /* as told to the caller; STOPPED for a work an operator holds */
	bool ends_pass;   /* parallel = false and not over, or its failure has ended the app before:
			   * the pass ends here */
	bool raises;      /* the run failed, this caller is the first to hear, raise_exception */
};

struct work *work_new(struct app *app, struct work_config *take, uint32_t row);
void work_free(struct work *work);
/* Settings for a work that is there already; what it remembers stays. Its processes are replaced
 * when they would be others with these (option.reload, config.h). */
void work_take_config(struct work *work, struct work_config *take, bool in_pass);
/* What these settings would mean for it, and the option that makes it so. */
enum reload work_reload(const struct work *work, const struct work_config *take,
			const char **ret_key);
/* Its row of the journal, as things are now. */
void work_record(struct work *work);
/* Nobody makes it any more: it ends, and is not shown. */
void work_retire(struct work *work);
/* From its row in the journal: an operator's stop, and what its processes run with. */
void work_restore(struct work *work, const struct work_row *row);
void work_reserve_worker(struct app *app, uint64_t id); /* nobody gets that id any more */
/* The worker of that place in the pool, which an earlier supervisor had. NULL: the place is taken,
 * or the id. */
struct worker *work_restore_worker(struct work *work, uint64_t id, uint32_t slot, bool has_process);
/* It was made lately; explain compares with it. */
void work_note_recent(struct work *work, uint64_t run);
/* The i-th of the runs made most recently, 0 is the newest; 0: there is none. */
uint64_t work_recent(const struct work *work, size_t i);
/* Makes the workers that are missing in the pool. */
void work_fill_pool(struct work *work);
/* A run that an earlier supervisor did not see the end of; takes the reference over. */
void work_restore_run(struct work *work, struct run *run, struct worker *worker);

/* The app ends, as nobody caught the error of that run. */
void work_failed_app(struct app *app, uint64_t run);
/* What stands behind a blocking call is not to be reached when that fails: nor is it when the app,
 * which ended with that error, is started again. */
bool work_is_in_the_way(const struct work *work, const struct memo *memo);

/* Makes a call. `call` was begun with work->head (lw_call.h). -EAGAIN: queue_limit;
 * -EINVAL: no canonical form; -EIO: one of cache_files cannot be read. */
LW_MUST_USE int work_call(struct work *work, struct lw_slice call, enum caller by,
			  struct answer *ret_answer, struct lw_err *err);

/* The same for a call whose canonical form the caller knows (and `form` may be `call` itself). */
LW_MUST_USE int work_call_form(struct work *work, struct lw_slice call, struct lw_slice form,
			       enum caller by, struct answer *ret_answer, struct lw_err *err);

/* What that call would do, without doing it. The sentence is appended to `reason`. */
LW_MUST_USE int work_explain(struct work *work, struct lw_slice call, struct answer *ret_answer,
			     struct lw_buf *reason, struct lw_err *err);

/* Steering. `by_flow`: a stop by the flow is undone by its next call; one by an operator holds
 * until an operator starts or restarts the work. */
void work_start(struct work *work, bool by_flow);
void work_stop(struct work *work, bool by_flow);
void work_kill(struct work *work);
void work_restart(struct work *work, bool by_flow);
/* By an operator: calls wait in the queue until it is resumed; what runs goes on. */
void work_pause(struct work *work, const char *by);
void work_resume(struct work *work);
/* To the program, or to the command in hand, of every process. How many that were. */
size_t work_signal(struct work *work, int number);
/* Runs again what failed or was stopped: this call, or with an empty slice every one. The
 * number of calls, whose runs are the newest of all; -ENOENT when there is nothing to retry. */
LW_MUST_USE int work_retry(struct work *work, struct lw_slice call, struct lw_err *err);
/* Forgets this call, or with an empty slice every call; then `before` (0: none) leaves out what
 * was over at that time or later. The number of calls. */
LW_MUST_USE int work_forget(struct work *work, struct lw_slice call, int64_t before,
			    struct lw_err *err);
/* The flow assigns a value of the work's state. */
LW_MUST_USE int work_set_state(struct work *work, const char *name, struct lw_slice value,
			       struct lw_err *err);

/* Something of it has changed that is seen: an event says so at the end of the turn. */
void work_changed(struct work *work);

/* Its cache_files are not known: nothing is decided and nothing begins. */
bool work_awaits_files(const struct work *work);

/* One process that is ready is enough. READY_UNSAID: it is a command of which nobody has heard
 * anything about it so far. */
enum readiness work_readiness(const struct work *work);

bool work_has_process(const struct work *work);
/* The worker whose process cannot be killed, or NULL. */
const struct worker *work_stuck(const struct work *work);
/* No process is on its way up or down: each serves, is down, waits for another try or gave up
 * (worker_info() says). */
bool work_is_up(const struct work *work);
size_t work_live_runs(const struct work *work); /* pending, delayed and running */
size_t work_running_runs(const struct work *work);

/* Of the latest call; STAGE_NOT_STARTED or STAGE_STARTED before the first one. The texts borrow
 * until the end of the turn. */
struct status work_status(const struct work *work);
/* The run of the latest call, as app_run(); NULL when there is none. */
struct run *work_latest(const struct work *work);

/* The last WORK_STATUSES statuses, 0 is the oldest; borrowed. */
const struct status *work_status_at(const struct work *work, size_t i);

/* No flow: the call of `args`, whatever is remembered. Again by itself as `restart` says. */
void work_call_service(struct work *work);
/* Starts the processes that start_with_flow asks for. */
void work_begin(struct work *work);
/* Ends every process; runs in hand go back to the queue (the app ends, or lets go of it). */
void work_end(struct work *work, bool at_once);

/* The pass is over: the last call of it counts (overlap = latest, cancel). */
void work_pass_ended(struct work *work);

/* A process of it said whether it is ready, or has said so on record. */
void work_hears_of_ready(struct work *work, enum readiness ready);

/* The sentence for a decision about `form`; `run` as in struct answer. (why.c) */
void work_print_why(const struct work *work, enum why why, const struct run *run,
		    struct lw_slice form, struct lw_buf *out);
/* What keeps a call from running that is decided to run: "; waits: paused by ...", or nothing. */
void work_print_wait(const struct work *work, struct lw_buf *out);

/* How the attempt in hand is being ended, on record. */
void work_set_ending(struct work *work, struct run *run, enum ending ending, const char *reason);

/* Events from workers. */
void work_on_up(struct work *work, struct worker *worker);
void work_on_begun(struct work *work, struct run *run);
void work_on_result(struct work *work, struct run *run, const struct lw_msg_result *result);
void work_on_run_lost(struct work *work, struct run *run, const char *reason, const char *message,
		      bool begun); /* the process is gone, tree and all */
/* The same for a process that nobody watched: what became of the run is not known. */
void work_on_run_unknown(struct work *work, struct run *run);
void work_on_gone(struct work *work, struct worker *worker);
/* A process that is to end cannot be killed: whoever waits for that is told so. */
void work_on_stuck(struct work *work);
void work_on_state(struct work *work, struct lw_slice name, struct lw_slice value);
void work_on_room(struct work *work);

#endif
