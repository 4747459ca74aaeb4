/* loop.h - the one event loop: what happens when within a turn.
 *
 * libevent with priorities. A turn is: everything the sockets, pidfds, timers and the
 * journal brought in (LOOP_IO); then one pass of the flow if something changed (LOOP_PASS);
 * then queues are served, one batch goes to the journal and frames leave (LOOP_END); then
 * what was retired is freed (LOOP_LATE). Many changes in a turn make one pass. Nothing here
 * waits but loop_run(); without a timer or an event it makes no system call.
 */
#ifndef LW_SUPERVISOR_LOOP_H
#define LW_SUPERVISOR_LOOP_H

#include <event2/event.h>

#include "lw_base.h"
#include "lw_err.h"

struct loop;

enum loop_phase { LOOP_IO, LOOP_PASS, LOOP_END, LOOP_LATE, LOOP_PHASES };

/* Something to do in a later phase of this turn (or of the next one when that phase is
 * over). Embedded in its owner; all zero but `run` is a task that is not posted. */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next;
	bool posted;
	bool cancelled;
};

LW_MUST_USE int loop_new(struct loop **ret_loop, struct lw_err *err);
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);
void loop_run(struct loop *loop);
void loop_exit(struct loop *loop);

/* Posting twice is posting once. A posted task is forgotten by loop_cancel(). */
void loop_post(struct loop *loop, enum loop_phase phase, struct loop_task *task);
void loop_cancel(struct loop *loop, struct loop_task *task);

/* Frees `object` with `destroy` at the end of the turn: a callback may retire the object it
 * was called for. */
void loop_retire(struct loop *loop, void *object, void (*destroy)(void *object));

/* Microseconds. Monotonic for waiting, wall clock (since 1970) for people and the journal.
 * Both are read once a turn. */
int64_t loop_now(struct loop *loop);
int64_t loop_wall(struct loop *loop);

/* One-shot timers; a stopped timer costs nothing. `at` is monotonic. */
struct loop_timer {
	struct event *event;
	void (*run)(struct loop_timer *timer);
	struct loop *loop;
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop,
		     void (*run)(struct loop_timer *timer));
void loop_timer_done(struct loop_timer *timer);
void loop_timer_set(struct loop_timer *timer, int64_t in_us); /* from now; replaces */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_pending(const struct loop_timer *timer);

#endif
