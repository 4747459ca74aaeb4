/* channel.h - the worker's end of the channel: dial, hello, reports, dial again.
 *
 * One per process. Used by liblw-worker (lw_work_main) and by lw-worker. Reports are kept
 * until the supervisor acknowledges them and sent again after a new dial; state that is not
 * acknowledged yet is merged per name (never across a result, which it must precede), so
 * what is kept is bounded. Nothing here blocks but channel_wait() and channel_settle().
 *
 * When a connection is lost the runs that were sent ahead on it and have not begun are void:
 * the caller drops them when channel_losses() has changed; the supervisor learns from the
 * next HELLO what is in hand and sends the rest again. A RUN that is in hand or whose result
 * is still kept here is never delivered a second time.
 */
#ifndef LW_WORKER_CHANNEL_H
#define LW_WORKER_CHANNEL_H

#include "lw_err.h"
#include "lw_proto.h"

struct channel;

/* From LW_SOCKET, LW_TOKEN, LW_WORKER (<store>/<worker>/<incarnation>). The first
 * channel_wait() dials. -EINVAL when one of them is missing or makes no sense. */
LW_MUST_USE int channel_new(unsigned window, struct channel **ret_channel, struct lw_err *err);
void channel_free(struct channel *channel); /* NULL is welcome */
LW_AUTO_DEFINE(struct channel *, channel_free)

/* For a poll loop of the caller's: descriptor (-1 while not connected), what to poll it for,
 * and the milliseconds until the next dial (-1: connected). Then channel_wait(0). */
int channel_fd(const struct channel *channel);
short channel_events(const struct channel *channel);
int channel_timeout(const struct channel *channel);
unsigned channel_losses(const struct channel *channel); /* connections lost so far */

/* The run and attempt in hand, told in the next HELLO. 0, 0: none. */
void channel_in_hand(struct channel *channel, uint64_t run, uint64_t attempt);

/* 1 and the next message, in order; 0 when none is there yet. RUN, WITHDRAW, SET and STOP
 * reach the caller; WELCOME and ACK are handled inside. -errno when this worker is to leave.
 * What a message borrows lives until the next channel_wait(). */
LW_MUST_USE int channel_next(struct channel *channel, struct lw_msg *ret_msg, struct lw_err *err);

/* Sends what is queued and reads what is there, waiting up to timeout_ms for something to
 * do (0: not at all, -1: for ever) unless a signal comes in. Dials again when the
 * connection was lost, with a growing pause. */
LW_MUST_USE int channel_wait(struct channel *channel, int timeout_ms, struct lw_err *err);

/* Sends what is queued as far as the socket takes it. */
void channel_flush(struct channel *channel);

/* Reports; a sequence number is given here where the message has one. Leaves with the next
 * channel_wait() or channel_flush(). */
void channel_report(struct channel *channel, struct lw_msg *msg);

/* Whether what this process offers can be used now. Told when it changes, and again behind each
 * HELLO. */
void channel_ready(struct channel *channel, bool ready);

/* Waits up to timeout_ms until everything reported is acknowledged. Messages that come in
 * meanwhile are dropped. */
LW_MUST_USE int channel_settle(struct channel *channel, int timeout_ms);

/* The same for a process that ends. A supervisor that hears us is given a moment; without one we
 * wait for the next, as long as a stop may take, as nobody else knows what we have to report. */
LW_MUST_USE int channel_leave(struct channel *channel);

/* For the handler of SIGTERM, async-signal-safe: from now on a channel_wait(-1) that would
 * wait, or waits, returns. */
void channel_interrupt(void);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t channel_now(void);

#endif
