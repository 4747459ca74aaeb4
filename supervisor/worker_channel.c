/* worker_channel.c - the supervisor's end of a worker's channel.
 *
 * Frames of a turn wait in `out` until the batch that records what they reveal is stable, then
 * leave in one write. A peer that breaks the protocol loses its connection and nothing else.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"
#include "lw_log.h"
#include "worker_private.h"

#define OUT_KEPT 4096 /* bytes of buffers that an idle worker keeps */

/* ---- sending ------------------------------------------------------------------------------ */

static void broken(struct worker *worker)
{
	worker_channel_close(worker);
	worker_step(worker, WORKER_ON_HANGUP);
}

static void flush(struct worker *worker)
{
	ssize_t n;

	if (worker->fd < 0 || worker->out_ready == 0)
		return;
	n = send(worker->fd, worker->out.data, worker->out_ready, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The reading side says what its last words were. */
		shutdown(worker->fd, SHUT_WR);
		worker->out_ready = 0;
		return;
	}
	if (n > 0) {
		worker->out_ready -= (size_t)n;
		worker->out_mark -= (size_t)n;
		lw_buf_cut(&worker->out, (size_t)n);
	}
	if (worker->out_ready > 0)
		loop_watch(worker->write_event);
	else if (worker->out.size == 0)
		lw_buf_shrink(&worker->out, OUT_KEPT);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	flush(context);
}

static void wait_for_batch(struct worker *worker)
{
	worker->out_batch = journal_batch(worker->app->journal);
	worker->out_mark = worker->out.size;
	journal_wait(worker->app->journal, &worker->commit);
}

static void on_stable(struct journal_wait *wait, int r)
{
	struct worker *worker = LW_OWNER(wait, struct worker, commit);

	if (r < 0) { /* not on record: what it would reveal stays here */
		wait_for_batch(worker);
		return;
	}
	worker->out_ready = worker->out_mark;
	if (worker->out.size > worker->out_mark) {
		size_t ready = worker->out_ready;

		wait_for_batch(worker);
		worker->out_ready = ready;
	}
	if (worker->run_timer_due)
		worker_arm_run_timer(worker, loop_wall(worker->app->loop));
	flush(worker);
}

void worker_send(struct worker *worker, const struct lw_msg *msg)
{
	struct journal *journal = worker->app->journal;

	if (worker->fd < 0)
		return;
	lw_msg_encode(&worker->out, msg);
	if (!journal_waits(&worker->commit))
		wait_for_batch(worker);
	else if (worker->out_batch == journal_batch(journal))
		worker->out_mark = worker->out.size;
}

/* For what reveals nothing that must be on record first: behind what is ready, before the
 * rest. */
void worker_send_now(struct worker *worker, const struct lw_msg *msg)
{
	struct lw_buf rest = { 0 };

	lw_buf_add(&rest, worker->out.data + worker->out_ready,
		   worker->out.size - worker->out_ready);
	worker->out.size = worker->out_ready;
	lw_msg_encode(&worker->out, msg);
	worker->out_mark += worker->out.size - worker->out_ready;
	worker->out_ready = worker->out.size;
	lw_buf_add(&worker->out, rest.data, rest.size);
	lw_buf_done(&rest);
	flush(worker);
}

/* ---- receiving ---------------------------------------------------------------------------- */

static void send_runs_again(struct worker *worker)
{
	bool first = true;

	worker->resend_due = false;
	for (struct run *run = worker->runs.first; run != NULL; run = run->next) {
		struct lw_msg msg = { .id = LW_MSG_RUN };

		if (first && run->id == worker->in_hand) {
			first = false;
			continue;
		}
		first = false;
		run->asked_back = false;
		msg.run.run = run->id;
		msg.run.attempt = run->attempt;
		lw_call_parts(run->call, &msg.run.positional, &msg.run.named);
		worker_send(worker, &msg);
	}
	work_on_room(worker->work);
}

static void next_run(struct worker *worker)
{
	loop_timer_stop(&worker->run_timer);
	worker_step(worker, worker->runs.first != NULL ? WORKER_ON_GIVE : WORKER_ON_EMPTY);
}

static void drop_result(struct worker *worker, const struct lw_msg_result *result, const char *why)
{
	worker->work->dropped_results++;
	worker_note(worker, "a result of run %llu was dropped: %s", (unsigned long long)result->run,
		    why);
}

/* True when a report is new; one that was taken over before is only acknowledged again. */
static bool is_new(struct worker *worker, uint64_t sequence)
{
	worker->ack_due = true;
	if (sequence <= worker->applied)
		return false;
	worker->applied = sequence;
	return true;
}

/* A process that is being ended may still report. A success counts where the run would be tried
 * again otherwise: nothing that was done is done twice. Everything else is dropped, and the run
 * is settled when the process tree is gone. */
static bool still_counts(const struct worker *worker, const struct run *run, bool success)
{
	if (!worker->asked || run->ending == ENDING_NO)
		return success || !worker->asked;
	if (run->ending == ENDING_TIMEOUT)
		return success && run->failures < worker->work->config->retries;
	return success && run->ending == ENDING_REQUEUE;
}

static void drop_late(struct worker *worker, struct run *run)
{
	lw_log(LW_LOG_DEBUG, "work=%s run=%llu is being ended, what it reported is dropped",
	       worker->work->config->name, (unsigned long long)run->id);
	worker->work->dropped_results++;
	if (run->ending == ENDING_NO)
		run->ending =
			ENDING_REQUEUE; /* it was sent ahead and is none of the end's business */
	run_list_append(&worker->answered, run);
}

static void take_result(struct worker *worker, struct run *run, const struct lw_msg_result *result)
{
	run->worker = NULL;
	run->ending = ENDING_NO;
	if (run->stage != STAGE_RUNNING)
		work_on_begun(worker->work, run);
	worker->succeeded = worker->succeeded || result->success;
	work_on_result(worker->work, run, result);
}

static void on_result(struct worker *worker, const struct lw_msg *msg)
{
	struct run *run = worker->runs.first;

	if (!is_new(worker, msg->result.sequence))
		return;
	if (run == NULL || run->id != msg->result.run || run->attempt != msg->result.attempt) {
		drop_result(worker, &msg->result, "it was not given that run");
		return;
	}
	run_list_remove(&worker->runs, run);
	if (still_counts(worker, run, msg->result.success))
		take_result(worker, run, &msg->result);
	else
		drop_late(worker, run);
	next_run(worker);
	work_on_room(worker->work);
}

static void on_state(struct worker *worker, const struct lw_msg *msg)
{
	if (is_new(worker, msg->state.sequence))
		work_on_state(worker->work, msg->state.name, msg->state.value);
}

static void on_progress(struct worker *worker, const struct lw_msg *msg)
{
	struct run *run = worker->runs.first;
	double share = msg->progress.share;

	if (run == NULL || run->id != msg->progress.run || !(share >= 0 && share <= 1))
		return;
	run->progress = share;
	work_changed(worker->work);
}

static void on_ready(struct worker *worker, const struct lw_msg *msg)
{
	enum readiness ready = msg->ready.ready ? READY_YES : READY_NO;

	if (worker->ready == ready)
		return;
	worker->ready = ready;
	worker_record(worker);
	work_hears_of_ready(worker->work, ready);
	work_changed(worker->work);
	app_changed(worker->app, "ready");
}

/* What the process says it did not begin it did not, though we took it for the one in hand. */
static void on_withdrawn(struct worker *worker, const struct lw_msg *msg)
{
	struct run *run = worker->runs.first;
	bool first;

	while (run != NULL && run->id != msg->withdrawn.run)
		run = run->next;
	if (run == NULL)
		return;
	first = run == worker->runs.first;
	run_list_remove(&worker->runs, run);
	run->worker = NULL;
	work_on_run_lost(worker->work, run, NULL, NULL, run->ending != ENDING_NO);
	if (first)
		next_run(worker);
	work_on_room(worker->work);
}

static void on_hello_again(struct worker *worker, const struct lw_msg *msg)
{
	(void)msg;
	worker_note(worker, "sent a second hello on one connection");
	broken(worker);
}

static void (*const handlers[])(struct worker *worker, const struct lw_msg *msg) = {
	[LW_MSG_HELLO] = on_hello_again,   [LW_MSG_RESULT] = on_result,
	[LW_MSG_STATE] = on_state,         [LW_MSG_PROGRESS] = on_progress,
	[LW_MSG_WITHDRAWN] = on_withdrawn, [LW_MSG_READY] = on_ready,
};

static void acknowledge(struct worker *worker)
{
	struct lw_msg msg = { .id = LW_MSG_ACK };

	if (worker->resend_due && worker->applied >= worker->resend_at)
		send_runs_again(worker);
	if (!worker->ack_due)
		return;
	worker->ack_due = false;
	journal_applied(worker->app->journal, worker->id, worker->applied);
	msg.ack.sequence = worker->applied;
	worker_send(worker, &msg);
}

static int handle_frames(struct worker *worker)
{
	struct lw_err err = { 0 };
	struct lw_slice body;
	struct lw_msg msg;
	int r;

	while (worker->fd >= 0 && (r = lw_frames_next(&worker->frames, &body, &err)) != 0) {
		if (r > 0)
			r = lw_msg_decode(body, LW_BY_WORKER, &msg, &err);
		if (r < 0) {
			worker_note(worker, "broke the protocol: %s", err.text);
			return r;
		}
		handlers[msg.id](worker, &msg);
	}
	return 0;
}

/* False: it broke the protocol, or `last` and nothing more comes. */
static bool take_frames(struct worker *worker, bool last)
{
	/* What it printed before a report comes before that report. */
	output_drain(worker->output, false);
	if (handle_frames(worker) >= 0 && !last)
		return true;
	acknowledge(worker);
	broken(worker);
	return false;
}

/* Reads what is there. A dead worker's socket is read until nothing is left. */
void worker_channel_read(struct worker *worker)
{
	do {
		int n;

		if (worker->fd < 0)
			return;
		n = lw_frames_fill(&worker->frames, worker->fd);
		if (n == -EAGAIN || n == -EINTR)
			break;
		if (!take_frames(worker, n <= 0))
			return;
	} while (worker->state == WORKER_ENDING);
	acknowledge(worker);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct worker *worker = context;

	(void)fd;
	(void)what;
	worker->unheard = !journal_takes_reports(worker->app->journal);
	if (worker->unheard)
		event_del(worker->read_event);
	else
		worker_channel_read(worker);
}

void worker_on_journal(struct worker *worker)
{
	if (!worker->unheard)
		return;
	worker->unheard = false;
	if (worker->read_event != NULL)
		loop_watch(worker->read_event);
}

/* ---- connecting ----------------------------------------------------------------------------- */

static struct event *make_event(struct worker *worker, short what, event_callback_fn on_event)
{
	struct event *event =
		event_new(loop_base(worker->app->loop), worker->fd, what, on_event, worker);

	if (event == NULL)
		lw_fatal("out of memory");
	return event;
}

void worker_channel_take(struct worker *worker, int fd, struct lw_frames *frames,
			 const struct lw_msg_hello *hello)
{
	worker->unheard = false;
	worker->fd = fd;
	worker->frames = *frames;
	worker->frames.most = LW_FRAME_MAX;
	worker->commit.done = on_stable;
	worker->window = hello->window < 1               ? 1
			 : hello->window > LW_WINDOW_MAX ? LW_WINDOW_MAX
							 : hello->window;
	worker->in_hand = hello->run;
	worker->resend_due = worker->runs.count > 0;
	worker->resend_at = hello->sequence;
	worker->read_event = make_event(worker, EV_READ | EV_PERSIST, on_readable);
	worker->write_event = make_event(worker, EV_WRITE, on_writable);
	loop_watch(worker->read_event);
}

void worker_channel_close(struct worker *worker)
{
	if (worker->fd < 0)
		return;
	event_free(worker->read_event);
	event_free(worker->write_event);
	worker->read_event = worker->write_event = NULL;
	lw_close(worker->fd);
	worker->fd = -1;
	lw_frames_done(&worker->frames);
	lw_buf_done(&worker->out);
	worker->out_ready = worker->out_mark = 0;
	journal_cancel(worker->app->journal, &worker->commit);
}

int worker_dialled(struct worker *worker, int fd, struct lw_frames *frames,
		   const struct lw_msg_hello *hello, struct lw_err *err)
{
	struct lw_slice token = hello->token;

	if (hello->incarnation != worker->incarnation || token.size != WORKER_TOKEN ||
	    memcmp(token.data, worker->token, WORKER_TOKEN) != 0) {
		worker_note(worker, "a connection with a wrong token was refused");
		return lw_err_set(err, -EPERM, "wrong token");
	}
	if (worker->fd >= 0)
		worker_channel_read(worker); /* perhaps the first one is dead */
	if (worker->fd >= 0) {
		worker_note(worker, "a second connection with its token was refused");
		return lw_err_set(err, -EPERM, "the token is in use");
	}
	if (worker->pid == 0)
		return lw_err_set(err, -EPERM, "that process has ended");
	worker_channel_take(worker, fd, frames, hello);
	worker_step(worker, WORKER_ON_HELLO);
	if (take_frames(worker, false))      /* what came with the hello, */
		worker_channel_read(worker); /* and what is there by now */
	return 0;
}
