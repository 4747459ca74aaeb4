/* loop.h - the one event loop: what happens when within a turn.
 *
 * A turn is: everything the sockets, pidfds, timers and the journal brought in (LOOP_IO);
 * then one pass of the flow if something changed (LOOP_PASS); then queues are served
 * (LOOP_END); then the batch goes to the journal, frames leave and what was retired is freed
 * (LOOP_LATE). Many changes in a turn make one pass. Nothing here waits but loop_run();
 * without a timer or an event it makes no system call.
 *
 * A turn is one round of libevent and then the phases, not libevent's priorities: those poll
 * again between two phases, and input that never ends would keep the later ones from running.
 *
 * Owned by the supervisor; the loop outlives everything that has an event or a task in it.
 */
#ifndef LW_SUPERVISOR_LOOP_H
#define LW_SUPERVISOR_LOOP_H

#include <event2/event.h>

#include "lw_base.h"
#include "lw_err.h"

struct loop;

enum loop_phase { LOOP_IO, LOOP_PASS, LOOP_END, LOOP_LATE, LOOP_PHASES };

/* Something to do in a later phase of this turn. For a phase that is over there is one more round
 * of all phases in the turn; what is posted for a phase that is over then waits for the next. Embedded in its owner; all zero but `run` is a task that is not posted. */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next;
	struct loop_task **back; /* what points at this one */
	uint64_t ran;            /* turn and phase in which it ran last */
	enum loop_phase phase;
	bool posted;
};

LW_MUST_USE int loop_new(struct loop **ret_loop, struct lw_err *err);
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);
/* Adds it. When the kernel has no room for another descriptor to watch, the process ends, as it
 * does without memory: nobody would ever hear of what was not watched. */
void loop_watch(struct event *event);
void loop_run(struct loop *loop);
void loop_exit(struct loop *loop); /* loop_run() returns at the end of this turn */

/* Posting twice is posting once. A task posted for the phase that is under way runs in it,
 * unless it has run in it already. A posted task is forgotten by loop_cancel(), and may be
 * freed then. */
void loop_post(struct loop *loop, enum loop_phase phase, struct loop_task *task);
void loop_cancel(struct loop *loop, struct loop_task *task);

/* Frees `object` with `destroy` at the end of the turn: a callback may retire the object it
 * was called for. */
void loop_retire(struct loop *loop, void *object, void (*destroy)(void *object));

/* Microseconds. Monotonic for waiting, wall clock (since 1970) for people and the journal.
 * Both are read once a turn. */
int64_t loop_now(struct loop *loop);
int64_t loop_wall(struct loop *loop);
int64_t loop_clock(void); /* monotonic, read now */

/* One-shot timers, never early and precise to some milliseconds. One that was never set or
 * is stopped costs nothing. */
struct loop_timer {
	struct event *event; /* NULL until it is set for the first time */
	void (*run)(struct loop_timer *timer);
	struct loop *loop;
	int64_t at; /* monotonic */
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop,
		     void (*run)(struct loop_timer *timer));
void loop_timer_done(struct loop_timer *timer);
void loop_timer_set(struct loop_timer *timer, int64_t in_us); /* from now; replaces */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_pending(const struct loop_timer *timer);

#endif
