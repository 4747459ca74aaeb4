/* work_call.c - calls become runs, or answers of runs that are there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "lw_log.h"
#include "work_private.h"

/* ---- a call ------------------------------------------------------------------------------------------- */

/* cache_memory = last: the call before the latest one is forgotten. */
static void forget_earlier(struct work *work, uint64_t id)
{
	struct cache *cache = work->app->cache;
	struct lw_err err;
	const struct run *run = app_run(work->app, id, &err);
	struct memo *memo;

	if (run == NULL || !stage_over((enum stage)run->stage))
		return;
	memo = cache_find(cache, run->key, (struct lw_slice){ run->form, run->form_size });
	if (memo != NULL && memo->run == id)
		work_forget_memo(work, memo);
}

/* The call made most recently is one that is over. */
static void set_latest_over(struct work *work, const struct memo *memo)
{
	struct latest old = work->latest;

	work->latest = (struct latest){ memo->run, memo->ended, memo->stage, NULL };
	if (old.run != memo->run && old.run != 0 && work->config->cache_memory == MEMORY_LAST)
		forget_earlier(work, old.run);
	run_unref(old.live);
}

void work_set_latest(struct work *work, struct run *run)
{
	struct latest old = work->latest;

	if (old.run == run->id)
		return;
	work->latest = (struct latest){ .run = run->id, .live = run_ref(run) };
	if (old.run != 0 && work->config->cache_memory == MEMORY_LAST)
		forget_earlier(work, old.run);
	run_unref(old.live);
}

void work_forget_memo(struct work *work, struct memo *memo)
{
	struct app *app = work->app;
	struct run *run;

	if (memo == NULL)
		return;
	run = runs_find(app->runs, memo->run);
	if (run != NULL)
		run->memo = NULL;
	journal_flags(app->journal, run, memo->run, 0);
	cache_remove(app->cache, memo);
}

/* The call of this run is remembered from now on, by this run. */
static void remember(struct work *work, struct run *run, struct memo *known)
{
	struct cache *cache = work->app->cache;
	struct lw_slice form = { run->form, run->form_size };
	bool fatal = known != NULL && known->fatal; /* a retry that fails leaves it in the way */

	work_forget_memo(work, known);
	run->memo = cache_put(cache, run->key, form, run->id);
	run->memo->fatal = fatal;
	run->memo->work = work->row;
	run->memo->stage = run->stage;
	run->memo->live = run;
	run->flags = (uint8_t)(STORE_RUN_KEPT | (fatal ? STORE_RUN_FATAL : 0));
}

/* A run that is not wanted any more, and that no process has, is forgotten. */
void work_overtake(struct work *work, struct run *run, uint64_t by)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "overtaken by run %llu", (unsigned long long)by);
	work_forget_memo(work, run->memo);
	if (run->delay != NULL)
		loop_timer_stop(&run->delay->timer);
	work_finish(work, run, STAGE_STOPPED, reason, NULL);
}

static void overtake_all(struct work *work, struct run_list *list, uint64_t by)
{
	while (list->first != NULL) {
		struct run *run = list->first;

		run_list_remove(list, run);
		work_overtake(work, run, by);
	}
}

static void enqueue(struct work *work, struct run *run)
{
	if (work->config->overlap != OVERLAP_QUEUE) {
		overtake_all(work, &work->queue, run->id);
		overtake_all(work, &work->delayed, run->id);
	}
	if (work->config->overlap == OVERLAP_CANCEL && !is_paused(&work->pause))
		work_cancel_running(work, run->id);
	run->rank = ++work->rank_last;
	run_list_append(&work->queue, run);
	journal_run(work->app->journal, run);
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

void work_note_recent(struct work *work, uint64_t run)
{
	work->recent[work->recent_at] = run;
	work->recent_at = (work->recent_at + 1) % WORK_RECENT;
}

uint64_t work_recent(const struct work *work, size_t i)
{
	return work->recent[(work->recent_at + 2 * WORK_RECENT - 1 - i) % WORK_RECENT];
}

static void note_call(struct work *work, struct lw_key key, uint64_t run, enum decision decision,
		      enum why why, int64_t now)
{
	calls_note(&work->calls, key,
		   &(struct call_note){ .run = run, .at = now, .decision = decision, .why = why });
}

int work_make_run(struct work *work, struct lw_key key, struct lw_slice form, struct lw_slice call,
		  struct memo *known, enum caller by, enum why why, struct run **ret_run,
		  struct lw_err *err)
{
	struct app *app = work->app;
	struct run *run;

	if (work->queue.count + work->delayed.count >= (size_t)work->config->queue_limit)
		return lw_err_set(err, -EAGAIN, "work '%s' has %zu calls waiting (queue_limit)",
				  work->config->name, work->queue.count + work->delayed.count);
	run = run_new(app->runs, work, key, form, call, by, loop_wall(app->loop));
	run->why = (uint8_t)why;
	app->live_runs++;
	work_note_recent(work, run->id);
	note_call(work, key, run->id, DECISION_RUN, why, run->created);
	remember(work, run, known);
	work_set_latest(work, run);
	work->misses++;
	work->stage_counts[STAGE_PENDING]++;
	work_note_status(work, run);
	journal_run(app->journal, run);
	app_changed(app, "run");
	resume_stopped(work);
	if (by == FROM_FLOW && app->in_pass && work->config->overlap != OVERLAP_QUEUE)
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
static bool is_forgotten(const struct memo *memo, enum caller by)
{
	return memo != NULL && memo->forget && stage_over((enum stage)memo->stage) &&
	       by != FROM_FLOW;
}

struct asked {
	struct lw_slice form;
	struct lw_key key;
	struct memo *known; /* what the cache has of the call, or NULL */
	struct memo *memo;  /* the same as far as it counts for this caller */
	enum decision decision;
	enum why why;
};

/* Without caching the index forgets what is over; the latest calls are known for a while. */
static bool was_made(const struct work *work, const struct asked *asked)
{
	for (size_t i = 0; i < WORK_RECENT; i++) {
		const struct run *run = runs_find(work->app->runs, work->recent[i]);

		if (run != NULL && run->form_size == asked->form.size &&
		    memcmp(run->form, asked->form.data, run->form_size) == 0)
			return true;
	}
	return false;
}

static void ask(struct work *work, struct lw_slice form, enum caller by, struct asked *asked)
{
	struct app *app = work->app;

	asked->form = form;
	asked->key = cache_key(app->cache, asked->form);
	asked->known = cache_find(app->cache, asked->key, asked->form);
	asked->memo = is_forgotten(asked->known, by) ? NULL : asked->known;
	asked->decision =
		cache_decide(asked->memo, policy_of(work), loop_wall(app->loop), &asked->why);
	if (asked->why == WHY_NEVER_SEEN && !work->config->cache_calls && was_made(work, asked))
		asked->why = WHY_NOT_CACHED;
	if (asked->memo != NULL && asked->memo->undelivered && by == FROM_FLOW) {
		asked->decision = DECISION_HELD;
		asked->why = WHY_FAILED;
	} else if (work->held &&
		   (asked->decision == DECISION_RUN || asked->decision == DECISION_JOIN)) {
		if (asked->decision == DECISION_RUN)
			asked->memo = NULL;
		asked->decision = DECISION_HELD;
		asked->why = WHY_OPERATOR;
	}
}

static void count_answer(struct work *work, const struct asked *asked)
{
	switch (asked->decision) {
	case DECISION_HIT:
		work->hits++;
		skips_note(&work->skips, loop_wall(work->app->loop));
		work->saved += (int64_t)(asked->memo->took * 1e6f);
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
static void log_answer(const struct work *work, const struct asked *asked, uint64_t id)
{
	LW_AUTO_BUF why = { 0 };
	struct lw_err err;

	if (asked->decision == DECISION_HIT || asked->decision == DECISION_JOIN)
		return;
	work_print_why(work, asked->why, id != 0 ? app_run(work->app, id, &err) : NULL, asked->form,
		       &why);
	lw_log(LW_LOG_DEBUG, "work=%s run=%llu decision=%s %s", work->config->name,
	       (unsigned long long)id, decision_name(asked->decision), lw_buf_text(&why));
}

/* With --drain what failed before is a failure of this time too: it was asked for and is not done. */
static void note_held(struct work *work, const struct asked *asked)
{
	struct app *app = work->app;
	LW_AUTO_BUF why = { 0 };
	struct lw_err err;

	if (!app->drain || app->last_failure != NULL)
		return;
	work_print_why(work, asked->why, app_run(app, asked->memo->run, &err), asked->form, &why);
	app->last_failure = lw_format("work '%s': %.300s", work->config->name, lw_buf_text(&why));
}

/* overlap = latest and cancel: an earlier call of this pass does not count any more. */
static void drop_tentative(struct work *work, const struct memo *by)
{
	struct run *run = work->tentative;

	if (run == NULL || run->id == by->run)
		return;
	work->tentative = NULL;
	work_overtake(work, run, by->run);
}

bool work_is_in_the_way(const struct work *work, const struct memo *memo)
{
	return memo->fatal && (memo->stage == STAGE_FAILED || memo->stage == STAGE_STOPPED) &&
	       work->config->raise_exception && !work->config->parallel;
}

/* The flow hears of the end of a run: a failure is raised by the first answer alone, and what was
 * forgotten is so from now on. */
static void deliver(struct work *work, struct memo *memo, struct answer *answer)
{
	struct app *app = work->app;

	if (memo == NULL || !stage_over((enum stage)memo->stage))
		return;
	answer->raises =
		memo->undelivered && answer->why == WHY_FAILED && work->config->raise_exception;
	answer->ends_pass = answer->decision == DECISION_HELD && work_is_in_the_way(work, memo);
	if (memo->undelivered && answer->why == WHY_FAILED) {
		memo->undelivered = false;
		journal_flags(app->journal, runs_find(app->runs, memo->run), memo->run,
			      STORE_RUN_KEPT);
	}
	if (memo->forget)
		work_forget_memo(work, memo);
}

void work_failed_app(struct app *app, uint64_t id)
{
	struct lw_err err;
	const struct run *run = app_run(app, id, &err);
	struct lw_slice form = { 0 };
	const struct memo *memo;

	if (run == NULL)
		return;
	form = (struct lw_slice){ run->form, run->form_size };
	memo = cache_find(app->cache, cache_key(app->cache, form), form);
	if (memo != NULL && memo->run == id && memo->stage == STAGE_FAILED)
		journal_flags(app->journal, runs_find(app->runs, id), id,
			      STORE_RUN_KEPT | STORE_RUN_FATAL);
}

int work_call(struct work *work, struct lw_slice call, enum caller by, struct answer *ret_answer,
	      struct lw_err *err)
{
	struct lw_slice form;
	int r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);

	return r < 0 ? r : work_call_form(work, call, form, by, ret_answer, err);
}

/* The decision is to run it. */
static int make(struct work *work, struct lw_slice call, enum caller by, const struct asked *asked,
		struct run **ret_run, struct lw_err *err)
{
	struct run *earlier = work->tentative;
	int r;

	work->tentative = NULL;
	r = work_make_run(work, asked->key, asked->form, call, asked->known, by, asked->why,
			  ret_run, err);
	if (r < 0)
		work->tentative = earlier;
	else if (earlier != NULL)
		work_overtake(work, earlier, (*ret_run)->id);
	return r;
}

/* What is there answers. */
static void answer_known(struct work *work, const struct asked *asked, struct answer *answer)
{
	struct memo *memo = asked->memo;

	answer->stage = asked->why == WHY_OPERATOR ? STAGE_STOPPED : (enum stage)memo->stage;
	if (memo == NULL)
		return;
	answer->run = memo->run;
	note_call(work, asked->key, memo->run, asked->decision, asked->why,
		  loop_wall(work->app->loop));
	if (!stage_over((enum stage)memo->stage))
		answer->attempt = memo->live->attempt;
	if (asked->why == WHY_OPERATOR)
		return;
	if (stage_over((enum stage)memo->stage))
		set_latest_over(work, memo);
	else
		work_set_latest(work, memo->live);
	drop_tentative(work, memo);
}

/* What nobody can decide yet. Operators' calls wait for the files before they come here. */
static int answer_later(const struct work *work, enum caller by, struct answer *answer,
			struct lw_err *err)
{
	if (by != FROM_FLOW)
		return lw_err_set(err, -EBUSY, "work '%s': its cache_files are being read",
				  work->config->name);
	*answer = (struct answer){
		.decision = DECISION_HELD,
		.why = WHY_FILES,
		.stage = STAGE_PENDING,
		.ends_pass = !work->config->parallel,
	};
	return 0;
}

int work_call_form(struct work *work, struct lw_slice call, struct lw_slice form, enum caller by,
		   struct answer *ret_answer, struct lw_err *err)
{
	struct answer *answer = ret_answer;
	struct asked asked;
	struct run *run;
	int r;

	if (work->retired)
		return lw_err_set(err, -ESTALE, "work '%s' has left: no pass makes it any more",
				  work->config->name);
	r = work_ask_files(work, err);
	if (r != 0)
		return r < 0 ? r : answer_later(work, by, answer, err);
	ask(work, form, by, &asked);
	*answer = (struct answer){ .decision = asked.decision, .why = asked.why, .key = asked.key };
	if (asked.decision == DECISION_RUN) {
		r = make(work, call, by, &asked, &run, err);
		if (r < 0)
			return r;
		answer->run = run->id;
		answer->stage = (enum stage)run->stage;
	} else {
		answer_known(work, &asked, answer);
	}
	count_answer(work, &asked);
	if (lw_log_on(LW_LOG_DEBUG))
		log_answer(work, &asked, answer->run);
	if (asked.decision == DECISION_JOIN)
		resume_stopped(work);
	answer->ends_pass =
		by == FROM_FLOW && !work->config->parallel && !stage_over(answer->stage);
	if (by == FROM_FLOW && asked.decision != DECISION_RUN)
		deliver(work, asked.memo, answer);
	if (by == FROM_FLOW && asked.why == WHY_FAILED)
		note_held(work, &asked);
	return 0;
}

int work_explain(struct work *work, struct lw_slice call, struct answer *ret_answer,
		 struct lw_buf *reason, struct lw_err *err)
{
	struct asked asked;
	struct lw_slice form;
	const struct run *run = NULL;
	int r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &form, err);

	if (r >= 0)
		r = work_ask_files(work, err);
	if (r != 0)
		return r < 0 ? r : answer_later(work, FROM_API, ret_answer, err);
	ask(work, form, FROM_API, &asked);
	*ret_answer = (struct answer){
		.decision = asked.decision,
		.why = asked.why,
		.key = asked.key,
		.run = asked.memo != NULL ? asked.memo->run : 0,
		.stage = asked.why == WHY_OPERATOR ? STAGE_STOPPED
			 : asked.memo == NULL      ? STAGE_NOT_STARTED
						   : (enum stage)asked.memo->stage,
	};
	if (ret_answer->run != 0) {
		run = app_run(work->app, ret_answer->run, err);
		if (run == NULL)
			return -EIO;
	}
	work_print_why(work, asked.why, run, asked.form, reason);
	if (asked.decision == DECISION_HELD && asked.memo != NULL &&
	    work_is_in_the_way(work, asked.memo))
		lw_buf_printf(reason, "; the flow waits here");
	if (asked.decision == DECISION_RUN ||
	    (asked.decision == DECISION_JOIN && ret_answer->stage == STAGE_PENDING))
		work_print_wait(work, reason);
	return 0;
}
