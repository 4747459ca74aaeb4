/* channel.h - the worker's end of the channel: dial, hello, reports, dial again.
 *
 * One per process. Used by liblw-worker (lw_work_main) and by lw-worker. Reports are kept
 * until the supervisor acknowledges them and sent again after a new dial; state that is not
 * acknowledged yet is merged per name, so what is kept is bounded. Nothing here blocks but
 * channel_wait().
 */
#ifndef LW_WORKER_CHANNEL_H
#define LW_WORKER_CHANNEL_H

#include "lw_err.h"
#include "lw_proto.h"

struct channel;

/* From LW_SOCKET, LW_TOKEN, LW_WORKER (<store>/<worker>/<incarnation>). Dials. */
LW_MUST_USE int channel_new(unsigned window, struct channel **ret_channel, struct lw_err *err);
void channel_free(struct channel *channel);    /* NULL is welcome */
int channel_fd(const struct channel *channel); /* -1 while not connected */

/* The run and attempt in hand, told in the next HELLO. 0, 0: none. */
void channel_in_hand(struct channel *channel, uint64_t run, uint64_t attempt);

/* The next message, in order; 0 when none is there yet. RUN, WITHDRAW, SET and STOP reach
 * the caller; WELCOME and ACK are handled inside. -errno when this worker is to leave. */
LW_MUST_USE int channel_next(struct channel *channel, struct lw_msg *ret_msg, struct lw_err *err);

/* Sends what is queued and reads what is there, waiting up to timeout_ms for something to
 * do (0: not at all, -1: for ever) unless a signal comes in. Dials again when the
 * connection was lost, with a growing pause. */
LW_MUST_USE int channel_wait(struct channel *channel, int timeout_ms, struct lw_err *err);

/* Reports; a sequence number is given here where the message has one. */
void channel_report(struct channel *channel, struct lw_msg *msg);

/* Waits up to timeout_ms until everything reported is acknowledged. */
LW_MUST_USE int channel_settle(struct channel *channel, int timeout_ms);

#endif
