/* work_run.c - the moves of a run: begun, failed and tried again, over; and what workers report. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "lw_log.h"
#include "work_private.h"

#define RETRY_MOST 1e14 /* us, some three years */
#define LOST_MOST  3    /* attempts of a run whose outcome nobody knows, before it is held */

/* ---- moves of a run ---------------------------------------------------------------------------------- */

bool work_may_run(const struct work *work)
{
	return !work->held && !work->stopped && !work->retired && !work->renewing &&
	       work->app->stage == APP_RUNNING;
}

static void move(struct work *work, struct run *run, enum stage stage, const char *reason,
		 const char *message)
{
	run_move(run, stage, reason, message, loop_wall(work->app->loop));
	if (run->memo != NULL)
		run->memo->stage = (uint8_t)stage;
	work->stage_counts[stage]++;
	work_note_status(work, run);
	journal_run(work->app->journal, run);
	app_changed(work->app, "run");
}

static void note_failure(struct work *work, const struct run *run)
{
	const char *message = run->message != NULL ? run->message : "";

	lw_log(LW_LOG_WARNING, "work=%s run=%llu failed reason=\"%s\" error=\"%.200s\"",
	       work->config->name, (unsigned long long)run->id, run->reason, message);
	free(work->app->last_failure);
	work->app->last_failure = lw_format("work '%s' failed (%s)%s%.300s", work->config->name,
					    run->reason, message[0] != '\0' ? ": " : "", message);
}

/* A failure is the flow's answer once, also where the call would run again: else nobody would
 * ever hear of it. Only where nobody waits for it and nothing is to be raised it is not. */
static bool is_news(const struct work *work, const struct run *run)
{
	const struct work_config *config = work->config;

	return run->by == FROM_FLOW &&
	       (config->cache_calls || config->raise_exception || !config->parallel);
}

/* Whether a run that is over stays in the cache: as an answer, or as news for the flow. */
static bool is_remembered(const struct work *work, const struct run *run, const struct memo *memo)
{
	if (memo->forget)
		return run->by == FROM_FLOW;
	if (work->config->cache_memory == MEMORY_LAST && run->id != work->latest.run)
		return false;
	return work->config->cache_calls || memo->undelivered;
}

/* The memo of a run that is over speaks for itself from now on. */
static void memo_over(struct work *work, struct run *run)
{
	struct memo *memo = run->memo;

	if (memo == NULL)
		return;
	memo->undelivered = run->stage == STAGE_FAILED && is_news(work, run);
	memo->fatal = memo->fatal && run->stage != STAGE_SUCCEEDED;
	memo->took = run->started > 0 && run->ended > run->started
			     ? (float)(run->ended - run->started) / 1e6f
			     : 0;
	memo->ended = run->ended;
	run->flags = (uint8_t)(STORE_RUN_KEPT | (memo->undelivered ? STORE_RUN_UNDELIVERED : 0) |
			       (memo->forget ? STORE_RUN_FORGET : 0) |
			       (memo->fatal ? STORE_RUN_FATAL : 0));
	run->memo = NULL;
	if (!is_remembered(work, run, memo))
		work_forget_memo(work, memo);
}

static void latest_over(struct work *work, const struct run *run)
{
	struct run *live = work->latest.live;

	if (run->id != work->latest.run)
		return;
	work->latest = (struct latest){ run->id, run->ended, run->stage, NULL };
	run_unref(live);
}

/* The run is over; gives up the reference of whoever held it. */
void work_finish(struct work *work, struct run *run, enum stage stage, const char *reason,
		 const char *message)
{
	run->ending = ENDING_NO;
	run->due = 0;
	work->app->live_runs--;
	move(work, run, stage, reason, message);
	memo_over(work, run);
	latest_over(work, run);
	if (run->started > 0 && run->ended >= run->started)
		histogram_add(&work->took, &histogram_of_runs, run->ended - run->started);
	if (stage == STAGE_FAILED)
		note_failure(work, run);
	watchers_tell(&run->watchers);
	if (run->by == FROM_RULE)
		work_service_over(work, run);
	else if (work->rule_waits)
		work_service_goes_on(work);
	app_rest(work->app, run);
}

void work_set_ending(struct work *work, struct run *run, enum ending ending, const char *reason)
{
	run->ending = (uint8_t)ending;
	run->ending_reason = reason;
	journal_run(work->app->journal, run);
}

/* overlap = latest and cancel: an attempt that is not over does not come back when a newer call
 * waits. */
static bool gives_way(struct work *work, struct run *run)
{
	const struct run *newer =
		work->queue.first != NULL ? work->queue.first : work->delayed.first;

	if (work->config->overlap == OVERLAP_QUEUE || newer == NULL)
		return false;
	work_overtake(work, run, newer->id);
	return true;
}

static void to_head(struct work *work, struct run *run)
{
	run->rank = --work->rank_first;
	run_list_prepend(&work->queue, run);
	journal_run(work->app->journal, run);
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

/* Back to the head of the queue: it was there before those that are in it now. */
static void requeue(struct work *work, struct run *run, const char *reason, const char *message)
{
	if (gives_way(work, run))
		return;
	run->ending = ENDING_NO;
	run->progress = -1;
	move(work, run, STAGE_PENDING, reason, message);
	to_head(work, run);
}

static void on_retry(struct loop_timer *timer)
{
	struct run *run = LW_OWNER(timer, struct run_delay, timer)->run;
	struct work *work = run->work;

	run_list_remove(&work->delayed, run);
	run->due = 0;
	to_head(work, run);
}

static void wait_for_retry(struct work *work, struct run *run, int64_t in_us)
{
	run_list_append(&work->delayed, run);
	if (run->delay == NULL) {
		run->delay = LW_NEW(struct run_delay);
		run->delay->run = run;
		loop_timer_init(&run->delay->timer, work->app->loop, on_retry);
	}
	loop_timer_set(&run->delay->timer, in_us);
}

int64_t work_jittered(double delay, double jitter)
{
	double spread = 1 + jitter * (2 * drand48() - 1);

	return (int64_t)(delay * spread);
}

/* An attempt failed: another one later, or the run has. */
void work_attempt_failed(struct work *work, struct run *run, const char *reason,
			 const char *message)
{
	const struct work_config *config = work->config;
	char text[LW_NAME_MAX];
	double delay;
	int64_t in_us;

	run->failures++;
	if (run->failures > config->retries) {
		work_finish(work, run, STAGE_FAILED, reason, message);
		return;
	}
	if (work->app->stage != APP_RUNNING) {
		requeue(work, run, reason, message);
		return;
	}
	if (gives_way(work, run))
		return;
	delay = fmin(RETRY_MOST, pow(config->retry_backoff, run->failures - 1));
	delay = fmin(RETRY_MOST, (double)config->retry_delay * delay);
	snprintf(text, sizeof(text), "retry %u of %lld after %s", run->failures,
		 (long long)config->retries, reason);
	lw_log(LW_LOG_INFO, "work=%s run=%llu attempt=%u failed, %s; next in %.1f s", config->name,
	       (unsigned long long)run->id, run->attempt, text, delay / 1e6);
	run->ending = ENDING_NO;
	run->progress = -1;
	move(work, run, STAGE_PENDING, text, message);
	in_us = work_jittered(delay, config->retry_jitter);
	run->due = loop_wall(work->app->loop) + in_us;
	wait_for_retry(work, run, in_us);
}

/* ---- what workers report ---------------------------------------------------------------------------------- */

void work_on_begun(struct work *work, struct run *run)
{
	if (!work_sees_its_files(work, run))
		work_forget_memo(work, run->memo);
	move(work, run, STAGE_RUNNING, NULL, NULL);
}

void work_on_result(struct work *work, struct run *run, const struct lw_msg_result *result)
{
	LW_AUTO(lw_free) char *reason = NULL, *message = NULL;

	if (result->success) {
		run_set_result(run, result->value);
		run->progress = -1;
		work_finish(work, run, STAGE_SUCCEEDED, NULL, NULL);
		return;
	}
	reason = lw_strndup(result->reason.data, result->reason.size);
	message = lw_strndup(result->message.data, result->message.size);
	work_attempt_failed(work, run, reason, message);
}

void work_on_run_lost(struct work *work, struct run *run, const char *reason, const char *message,
		      bool begun)
{
	LW_AUTO(lw_free) char *text = NULL;

	if (!begun) { /* it was only sent ahead, whatever we thought */
		if (run->stage == STAGE_RUNNING)
			move(work, run, STAGE_PENDING, NULL, NULL);
		run->attempt--;
		run->ending = ENDING_NO;
		if (!gives_way(work, run))
			to_head(work, run);
		return;
	}
	switch ((enum ending)run->ending) {
	case ENDING_NO:
		text = lw_format("the process ended: %s%s%s", reason,
				 message != NULL && message[0] != '\0' ? "; " : "",
				 message != NULL ? message : "");
		work_attempt_failed(work, run, reason, text);
		break;
	case ENDING_TIMEOUT:
		work->timeouts++;
		text = lw_format("it ran longer than %g s (timeout)",
				 (double)work->config->timeout / 1e6);
		work_attempt_failed(work, run, "timeout", text);
		break;
	case ENDING_STOPPED:
		if (run->overtaken_by != 0)
			work_overtake(work, run, run->overtaken_by);
		else
			work_finish(work, run, STAGE_STOPPED, run->ending_reason, NULL);
		break;
	case ENDING_REQUEUE:
		requeue(work, run, "restart", NULL);
		break;
	}
}

static void lost(struct work *work, struct run *run)
{
	static const char text[] =
		"nobody saw how it ended: neither the supervisor nor its process "
		"was there";

	run->lost++;
	lw_log(LW_LOG_WARNING, "work=%s run=%llu attempt=%u is lost (%u of %d)", work->config->name,
	       (unsigned long long)run->id, run->attempt, run->lost, LOST_MOST);
	if (work->config->lost == LOST_FAIL || run->lost >= LOST_MOST)
		work_finish(work, run, STAGE_FAILED, "lost", text);
	else
		requeue(work, run, "lost", text);
}

void work_on_run_unknown(struct work *work, struct run *run)
{
	/* At most once: what was to go back to the queue may have come to its end before. */
	bool unwanted = run->ending == ENDING_REQUEUE && work->config->lost == LOST_FAIL;

	if (run->ending == ENDING_NO || unwanted)
		lost(work, run);
	else
		work_on_run_lost(work, run, NULL, NULL, true);
}

/* ---- from the record ---------------------------------------------------------------------------------------- */

static void restore_waiting(struct work *work, struct run *run)
{
	int64_t left = run->due - loop_wall(work->app->loop);

	if (run->due > 0 && left > 0) {
		wait_for_retry(work, run, left);
		return;
	}
	run_list_append(&work->queue, run);
}

/* They come in the order of their ranks. */
void work_restore_run(struct work *work, struct run *run, struct worker *worker)
{
	struct app *app = work->app;

	app->live_runs++;
	work->rank_first = run->rank < work->rank_first ? run->rank : work->rank_first;
	work->rank_last = run->rank > work->rank_last ? run->rank : work->rank_last;
	if (run->flags & STORE_RUN_KEPT) {
		run->memo = cache_put(app->cache, run->key,
				      (struct lw_slice){ run->form, run->form_size }, run->id);
		run->memo->work = work->row;
		run->memo->stage = run->stage;
		run->memo->forget = (run->flags & STORE_RUN_FORGET) != 0;
		run->memo->fatal = (run->flags & STORE_RUN_FATAL) != 0;
		run->memo->live = run;
	}
	if (run->id > work->latest.run)
		work_set_latest(work, run);
	if (worker != NULL)
		worker_restore_run(worker, run);
	else
		restore_waiting(work, run);
}

void work_on_up(struct work *work, struct worker *worker)
{
	if (work->latest.run == 0 || worker_readiness(worker) == READY_YES)
		app_changed(work->app, "start");
	if (work_is_up(work))
		watchers_tell(&work->up_watchers);
}

void work_on_state(struct work *work, struct lw_slice name, struct lw_slice value)
{
	struct lw_err err = { 0 };
	int r = state_set(&work->state, name, value, &err);

	if (r < 0)
		lw_log(LW_LOG_WARNING, "work=%s its state was not changed: %s", work->config->name,
		       err.text);
	if (r <= 0)
		return;
	journal_state(work->app->journal, work->row, name, value);
	work_changed(work);
	app_changed(work->app, "state");
}

int work_set_state(struct work *work, const char *name, struct lw_slice value, struct lw_err *err)
{
	struct lw_slice key = { (const uint8_t *)name, strlen(name) };
	int r = state_set(&work->state, key, value, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < work->worker_count; i++)
		worker_set(work->workers[i], name, value);
	journal_state(work->app->journal, work->row, key, value);
	work_changed(work);
	app_changed(work->app, "state");
	return r;
}
