/* work_call.c - calls become runs, or answers of runs that are there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "lw_log.h"
#include "work_private.h"

/* ---- a call ------------------------------------------------------------------------------------------- */

static void set_latest(struct work *work, struct run *run)
{
	struct run *old = work->latest;

	if (old == run)
		return;
	work->latest = run_ref(run);
	if (old != NULL && work->config->cache_memory == MEMORY_LAST && stage_over(old->stage))
		cache_remove(work->app->cache, old);
	run_unref(old);
}

/* A run that never began and is not wanted any more is forgotten. */
void work_overtake(struct work *work, struct run *run, const struct run *by)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "overtaken by run %llu", (unsigned long long)by->id);
	cache_remove(work->app->cache, run);
	if (run->delay != NULL)
		loop_timer_stop(&run->delay->timer);
	work_finish(work, run, STAGE_STOPPED, reason, NULL);
}

static void overtake_all(struct work *work, struct run_list *list, const struct run *by)
{
	while (list->first != NULL) {
		struct run *run = list->first;

		run_list_remove(list, run);
		work_overtake(work, run, by);
	}
}

static void enqueue(struct work *work, struct run *run)
{
	if (work->config->overlap == OVERLAP_LATEST) {
		overtake_all(work, &work->queue, run);
		overtake_all(work, &work->delayed, run);
	}
	run_list_append(&work->queue, run);
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

void work_pass_ended(struct work *work)
{
	struct run *run = work->tentative;

	work->tentative = NULL;
	if (run != NULL)
		enqueue(work, run);
}

/* The next call undoes a stop by the flow. */
static void resume_stopped(struct work *work)
{
	if (!work->stopped)
		return;
	work->stopped = false;
	watchers_tell(&work->gone_watchers);
	work_on_room(work);
}

int work_make_run(struct work *work, struct lw_key key, struct lw_slice form, struct lw_slice call,
		  enum caller by, enum why why, struct run **ret_run, struct lw_err *err)
{
	struct app *app = work->app;
	struct run *run;

	if (work->queue.count + work->delayed.count >= (size_t)work->config->queue_limit)
		return lw_err_set(err, -EAGAIN, "work '%s' has %zu calls waiting (queue_limit)",
				  work->config->name, work->queue.count + work->delayed.count);
	run = run_new(app->runs, work, key, form, call, by, loop_wall(app->loop));
	run->why = (uint8_t)why;
	app->live_runs++;
	work_history_add(work, run);
	cache_put(app->cache, run);
	set_latest(work, run);
	work->misses++;
	work->stage_counts[STAGE_PENDING]++;
	work_note_status(work, run);
	journal_run(app->journal, run);
	app_changed(app, "run");
	resume_stopped(work);
	if (by == FROM_FLOW && app->in_pass && work->config->overlap == OVERLAP_LATEST)
		work->tentative = run;
	else
		enqueue(work, run);
	*ret_run = run;
	return 0;
}

static struct policy policy_of(const struct work *work)
{
	return (struct policy){ work->config->cache_calls, work->config->cache_ttl };
}

/* A call that was forgotten while it ran is kept until the flow has heard of its end, once. */
static bool is_forgotten(const struct run *run, enum caller by)
{
	return run != NULL && run->forget && stage_over(run->stage) && by != FROM_FLOW;
}

struct asked {
	struct lw_slice form;
	struct lw_key key;
	struct run *run; /* remembered, or NULL */
	enum decision decision;
	enum why why;
};

/* Without caching the index forgets what is over; the latest calls are still in the history. */
static bool was_made(const struct work *work, const struct asked *asked)
{
	const struct run *run = work->newest;

	for (int i = 0; run != NULL && i < WORK_RECENT; i++, run = run->older)
		if (run->form_size == asked->form.size &&
		    memcmp(run->form, asked->form.data, run->form_size) == 0)
			return true;
	return false;
}

static void ask(struct work *work, struct lw_slice form, enum caller by, struct asked *asked)
{
	struct app *app = work->app;

	asked->form = form;
	asked->key = cache_key(app->cache, asked->form);
	asked->run = cache_find(app->cache, asked->key, asked->form);
	if (is_forgotten(asked->run, by))
		asked->run = NULL;
	asked->decision =
		cache_decide(asked->run, policy_of(work), loop_wall(app->loop), &asked->why);
	if (asked->why == WHY_NEVER_SEEN && !work->config->cache_calls && was_made(work, asked))
		asked->why = WHY_NOT_CACHED;
	if (asked->run != NULL && asked->run->undelivered && by == FROM_FLOW) {
		asked->decision = DECISION_HELD;
		asked->why = WHY_FAILED;
	} else if (work->held &&
		   (asked->decision == DECISION_RUN || asked->decision == DECISION_JOIN)) {
		if (asked->decision == DECISION_RUN)
			asked->run = NULL;
		asked->decision = DECISION_HELD;
		asked->why = WHY_OPERATOR;
	}
}

static void count_answer(struct work *work, const struct asked *asked)
{
	const struct run *run = asked->run;

	switch (asked->decision) {
	case DECISION_HIT:
		work->hits++;
		work->saved += run->ended > run->started ? run->ended - run->started : 0;
		break;
	case DECISION_JOIN:
		work->joins++;
		break;
	case DECISION_HELD:
		work->held_answers++;
		break;
	case DECISION_RUN: /* counted where the run is made */
		break;
	}
}

/* A skip is only counted; everything else can be read in the log at debug level. */
static void log_answer(const struct work *work, const struct asked *asked)
{
	LW_AUTO_BUF why = { 0 };

	if (asked->decision == DECISION_HIT || asked->decision == DECISION_JOIN)
		return;
	work_print_why(work, asked->why, asked->run, asked->form, &why);
	lw_log(LW_LOG_DEBUG, "work=%s run=%llu decision=%s %s", work->config->name,
	       (unsigned long long)(asked->run != NULL ? asked->run->id : 0),
	       decision_name(asked->decision), lw_buf_text(&why));
}

/* overlap = latest: an earlier call of this pass does not count any more. */
static void drop_tentative(struct work *work, const struct run *by)
{
	struct run *run = work->tentative;

	if (run == NULL || run == by)
		return;
	work->tentative = NULL;
	work_overtake(work, run, by);
}

/* The flow hears of the end of a run: a failure is raised by the first answer alone, and what was
 * forgotten is so from now on; as the latest call's run it lives until the next call. */
static void deliver(struct work *work, struct run *run, struct answer *answer)
{
	if (run == NULL || !stage_over(run->stage))
		return;
	answer->raises =
		run->undelivered && answer->why == WHY_FAILED && work->config->raise_exception;
	run->undelivered = run->undelivered && answer->why != WHY_FAILED;
	if (run->forget)
		cache_remove(work->app->cache, run);
}

int work_call(struct work *work, struct lw_slice call, enum caller by, struct answer *ret_answer,
	      struct lw_err *err)
{
	struct lw_slice form;
	int r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);

	return r < 0 ? r : work_call_form(work, call, form, by, ret_answer, err);
}

int work_call_form(struct work *work, struct lw_slice call, struct lw_slice form, enum caller by,
		   struct answer *ret_answer, struct lw_err *err)
{
	struct asked asked;
	int r;

	if (work->retired)
		return lw_err_set(err, -ESTALE, "work '%s' has left: no pass makes it any more",
				  work->config->name);
	ask(work, form, by, &asked);
	if (asked.decision == DECISION_RUN) {
		struct run *earlier = work->tentative;

		work->tentative = NULL;
		r = work_make_run(work, asked.key, asked.form, call, by, asked.why, &asked.run,
				  err);
		if (r < 0) {
			work->tentative = earlier;
			return r;
		}
		if (earlier != NULL)
			work_overtake(work, earlier, asked.run);
	} else if (asked.run != NULL && asked.why != WHY_OPERATOR) {
		set_latest(work, asked.run);
		drop_tentative(work, asked.run);
	}
	count_answer(work, &asked);
	if (lw_log_on(LW_LOG_DEBUG))
		log_answer(work, &asked);
	if (asked.decision == DECISION_JOIN)
		resume_stopped(work);
	*ret_answer = (struct answer){
		.decision = asked.decision,
		.why = asked.why,
		.run = asked.run,
		.stage = asked.why == WHY_OPERATOR ? STAGE_STOPPED : (enum stage)asked.run->stage,
	};
	ret_answer->ends_pass =
		by == FROM_FLOW && !work->config->parallel && !stage_over(ret_answer->stage);
	if (by == FROM_FLOW)
		deliver(work, asked.run, ret_answer);
	return 0;
}

int work_explain(struct work *work, struct lw_slice call, struct answer *ret_answer,
		 struct lw_key *ret_key, struct lw_buf *reason, struct lw_err *err)
{
	struct asked asked;
	struct lw_slice form;
	int r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);

	if (r < 0)
		return r;
	ask(work, form, FROM_API, &asked);
	*ret_key = asked.key;
	*ret_answer = (struct answer){
		.decision = asked.decision,
		.why = asked.why,
		.run = asked.run,
		.stage = asked.why == WHY_OPERATOR ? STAGE_STOPPED
			 : asked.run == NULL       ? STAGE_NOT_STARTED
						   : (enum stage)asked.run->stage,
	};
	work_print_why(work, asked.why, asked.run, asked.form, reason);
	return 0;
}
