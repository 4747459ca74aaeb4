/* links: lw_supervisor
 * test_work.c - what calls do, and what becomes of runs; the processes are played by the test. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "app.h"

static struct loop *loop;
static struct app *app;
static struct work *work;

static struct work_config *settings(const char *name)
{
	struct work_config *config = LW_NEW(struct work_config);

	config->name = lw_strdup(name);
	config->program.words = lw_alloc(2 * sizeof(char *));
	config->program.words[0] = lw_strdup("./program");
	config->program.count = 1;
	config->parallel = config->cache_calls = config->raise_exception = true;
	config->cache_ttl = config->timeout = CONFIG_NONE;
	config->start_timeout = 30000000;
	config->processes = 1;
	config->queue_limit = 100;
	config->retry_delay = 1000;
	config->retry_backoff = 2;
	config->restart = RESTART_ON_FAILURE;
	return config;
}

/* An app with one work, in the middle of a pass. */
static void begin(struct work_config *config)
{
	struct config *whole = LW_NEW(struct config);

	whole->has_flow = true;
	cr_assert_eq(loop_new(&loop, NULL), 0);
	cr_assert_eq(app_new(loop, whole, NULL, &app, NULL), 0);
	app->stage = APP_RUNNING;
	app->in_pass = true;
	cr_assert_eq(app_work_add(app, config, false, &work, NULL), 0);
}

static void end(void)
{
	app_free(app);
	loop_free(loop);
}

TestSuite(work, .fini = end);

static struct lw_slice call_of(int64_t value)
{
	static struct lw_buf call;

	call.size = 0;
	lw_buf_add(&call, work->head.data, work->head.size);
	lw_put_list(&call, 1);
	lw_put_int(&call, value);
	lw_put_map(&call, 0);
	return lw_buf_slice(&call);
}

static struct answer call(int64_t value)
{
	struct answer answer = { 0 };
	struct lw_err err = { 0 };

	cr_assert_eq(work_call(work, call_of(value), FROM_FLOW, &answer, &err), 0, "%s", err.text);
	return answer;
}

/* The process takes the first run of the queue and ends it. */
static struct run *take(void)
{
	struct run *run = work->queue.first;

	cr_assert_not_null(run, "a run waits");
	run_list_remove(&work->queue, run);
	run->attempt++;
	work_on_begun(work, run);
	return run;
}

static void succeed(struct run *run)
{
	static const uint8_t nil = 0xc0;
	struct lw_msg_result result = { .success = true, .value = { &nil, 1 } };

	work_on_result(work, run, &result);
}

static void fail(struct run *run)
{
	struct lw_msg_result result = { .reason = { (const uint8_t *)"exit status 3", 13 },
					.message = { (const uint8_t *)"no luck", 7 } };

	work_on_result(work, run, &result);
}

static void expect_why(int64_t value, enum decision decision, const char *sentence)
{
	struct answer answer;
	struct lw_key key;
	LW_AUTO_BUF reason = { 0 };

	cr_assert_eq(work_explain(work, call_of(value), &answer, &key, &reason, NULL), 0);
	cr_expect_eq(answer.decision, decision);
	lw_buf_text(&reason);
	cr_expect_eq(strncmp((char *)reason.data, sentence, strlen(sentence)), 0, "%s",
		     (char *)reason.data);
}

Test(work, a_call_that_succeeded_is_skipped_and_a_b_a_runs_twice)
{
	begin(settings("w"));
	cr_expect_eq(call(1).decision, DECISION_RUN);
	cr_expect_eq(call(1).decision, DECISION_JOIN);
	succeed(take());
	cr_expect_eq(call(1).decision, DECISION_HIT);
	cr_expect_eq(call(2).decision, DECISION_RUN);
	succeed(take());
	cr_expect_eq(call(1).decision, DECISION_HIT);
	cr_expect_eq(work->misses, 2u);
	cr_expect_eq(work->hits, 2u);
	cr_expect_eq(work->joins, 1u);
}

Test(work, with_cache_memory_last_a_b_a_runs_three_times)
{
	struct work_config *config = settings("w");

	config->cache_memory = MEMORY_LAST;
	begin(config);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(call(i % 2).decision, DECISION_RUN, "call %d", i);
		succeed(take());
		cr_expect_eq(call(i % 2).decision, DECISION_HIT);
	}
	cr_expect_eq(work->misses, 3u);
}

Test(work, with_cache_memory_last_a_run_that_ends_after_another_call_is_not_remembered)
{
	struct work_config *config = settings("w");
	struct run *first;

	config->cache_memory = MEMORY_LAST;
	begin(config);
	call(1);
	first = take();
	call(2);
	succeed(first);
	cr_expect_eq(call(1).decision, DECISION_RUN);
}

Test(work, without_caching_a_call_runs_again_once_the_last_one_is_over)
{
	struct work_config *config = settings("w");

	config->cache_calls = false;
	begin(config);
	cr_expect_eq(call(1).decision, DECISION_RUN);
	cr_expect_eq(call(1).decision, DECISION_JOIN);
	succeed(take());
	cr_expect_eq(call(1).decision, DECISION_RUN);
}

Test(work, a_call_that_is_not_parallel_ends_the_pass_until_its_run_is_over)
{
	struct work_config *config = settings("w");

	config->parallel = false;
	begin(config);
	cr_expect(call(1).ends_pass);
	cr_expect(call(1).ends_pass, "also when it joins");
	succeed(take());
	cr_expect_not(call(1).ends_pass);
}

Test(work, a_failure_is_held_and_raised_once)
{
	struct answer answer;

	begin(settings("w"));
	call(1);
	fail(take());
	answer = call(1);
	cr_expect_eq(answer.decision, DECISION_HELD);
	cr_expect(answer.raises);
	cr_expect_str_eq(answer.run->message, "no luck");
	cr_expect_not(call(1).raises);
	cr_expect_eq(call(1).decision, DECISION_HELD);
}

Test(work, a_failure_without_raise_exception_lets_the_next_pass_go_on_once)
{
	struct work_config *config = settings("w");
	struct answer answer;

	config->raise_exception = config->parallel = config->cache_calls = false;
	begin(config);
	call(1);
	fail(take());
	answer = call(1);
	cr_expect_eq(answer.stage, STAGE_FAILED);
	cr_expect_not(answer.raises);
	cr_expect_not(answer.ends_pass);
	answer = call(1);
	cr_expect_eq(answer.decision, DECISION_RUN);
	cr_expect(answer.ends_pass);
}

Test(work, a_failure_without_caching_is_raised_before_the_call_runs_again)
{
	struct work_config *config = settings("w");

	config->cache_calls = false;
	begin(config);
	call(1);
	fail(take());
	cr_expect(call(1).raises);
	cr_expect_eq(call(1).decision, DECISION_RUN);
}

Test(work, a_run_started_by_an_operator_never_raises)
{
	struct answer answer;

	begin(settings("w"));
	cr_assert_eq(work_call(work, call_of(1), FROM_API, &answer, NULL), 0);
	fail(take());
	answer = call(1);
	cr_expect_eq(answer.stage, STAGE_FAILED);
	cr_expect_not(answer.raises);
}

Test(work, an_attempt_that_fails_is_tried_again_as_often_as_retries_says)
{
	struct work_config *config = settings("w");
	struct run *run;

	config->retries = 2;
	begin(config);
	call(1);
	run = take();
	fail(run);
	cr_expect_eq(run->stage, STAGE_PENDING);
	cr_expect_eq(work->delayed.count, 1u);
	cr_expect_str_eq(run->reason, "retry 1 of 2 after exit status 3");
	cr_expect_eq(call(1).decision, DECISION_JOIN, "a run that waits for its retry is joined");
	for (int i = 0; i < 2; i++) {
		loop_timer_stop(&run->delay->timer);
		run_list_remove(&work->delayed, run);
		run_list_append(&work->queue, run);
		fail(take());
	}
	cr_expect_eq(run->stage, STAGE_FAILED);
	cr_expect_eq(run->attempt, 3u);
	cr_expect_eq(work->stage_counts[STAGE_FAILED], 1u);
}

Test(work, retry_and_forget_make_a_held_call_run_again)
{
	begin(settings("w"));
	call(1);
	fail(take());
	cr_expect_eq(work_retry(work, call_of(1), NULL), 1);
	cr_expect_eq(call(1).decision, DECISION_JOIN);
	fail(take());
	cr_expect_eq(work_forget(work, call_of(1), NULL), 1);
	cr_expect_eq(call(1).decision, DECISION_RUN);
	cr_expect_eq(work_retry(work, call_of(2), NULL), -ENOENT);
	cr_expect_eq(work_forget(work, call_of(2), NULL), 0);
}

Test(work, forgetting_a_call_that_runs_lets_it_finish_but_not_be_cached)
{
	struct run *run;

	begin(settings("w"));
	call(1);
	run = run_ref(take());
	cr_expect_eq(work_forget(work, (struct lw_slice){ 0 }, NULL), 1);
	cr_expect_eq(call(1).decision, DECISION_JOIN, "it is still not sent twice");
	succeed(run);
	cr_expect_eq(run->stage, STAGE_SUCCEEDED);
	cr_expect_eq(call(1).run, run, "the flow hears of its end");
	cr_expect_eq(call(1).decision, DECISION_RUN);
	run_unref(run);
}

Test(work, more_waiting_calls_than_queue_limit_are_refused)
{
	struct work_config *config = settings("w");
	struct answer answer;
	struct lw_err err = { 0 };

	config->queue_limit = 2;
	begin(config);
	call(1);
	call(2);
	cr_expect_eq(work_call(work, call_of(3), FROM_FLOW, &answer, &err), -EAGAIN);
	cr_expect_str_eq(err.text, "work 'w' has 2 calls waiting (queue_limit)");
	cr_expect_eq(call(2).decision, DECISION_JOIN, "what waits can still be joined");
}

Test(work, with_overlap_latest_only_the_newest_call_waits)
{
	struct work_config *config = settings("w");
	struct run *running;

	config->overlap = OVERLAP_LATEST;
	begin(config);
	call(1);
	work_pass_ended(work);
	running = take();
	call(2);
	work_pass_ended(work);
	call(3);
	work_pass_ended(work);
	cr_expect_eq(work->queue.count, 1u);
	succeed(running);
	cr_expect_eq(call(3).decision, DECISION_JOIN);
	cr_expect_eq(call(2).decision, DECISION_RUN, "the call that was overtaken is forgotten");
}

Test(work, with_overlap_latest_only_the_last_call_of_a_pass_counts)
{
	struct work_config *config = settings("w");

	config->overlap = OVERLAP_LATEST;
	begin(config);
	call(1);
	call(2);
	work_pass_ended(work);
	cr_expect_eq(work->queue.count, 1u);
	cr_expect_eq(call(2).decision, DECISION_JOIN);
	call(1);
	call(2);
	work_pass_ended(work);
	cr_expect_eq(work->queue.count, 1u, "two calls that take turns do not push each other out");
}

Test(work, with_overlap_latest_a_retry_gives_way_to_a_newer_call)
{
	struct work_config *config = settings("w");
	struct run *first;

	config->overlap = OVERLAP_LATEST;
	config->retries = 1;
	begin(config);
	call(1);
	work_pass_ended(work);
	first = take();
	call(2);
	work_pass_ended(work);
	fail(first);
	cr_expect_eq(work->delayed.count, 0u);
	cr_expect_eq(work->queue.count, 1u);
	cr_expect_eq(call(2).decision, DECISION_JOIN);
}

Test(work, without_caching_what_is_over_is_not_kept)
{
	struct work_config *config = settings("w");

	config->cache_calls = false;
	begin(config);
	for (int i = 0; i < 10; i++) {
		call(i);
		succeed(take());
	}
	cr_expect_eq(cache_count(app->cache), 0u);
	expect_why(9, DECISION_RUN, "runs: cache_calls is false");
	call(100);
	fail(take());
	cr_expect_eq(cache_count(app->cache), 1u, "a failure waits until the flow has heard of it");
	cr_expect(call(100).raises);
}

Test(work, a_stop_or_a_start_that_changes_nothing_asks_for_no_pass)
{
	begin(settings("w"));
	work_stop(work, true);
	app->changes = 0;
	work_stop(work, true);
	cr_expect_eq(app->changes, 0u);
}

Test(work, the_flow_does_not_undo_an_operators_stop)
{
	begin(settings("w"));
	work_stop(work, false);
	work_start(work, true);
	cr_expect(work->held);
	work_restart(work, true);
	cr_expect(work->held);
	work->app->stage = APP_STOPPING; /* so that no process is started here */
	work_start(work, false);
	cr_expect_not(work->held);
}

Test(work, a_work_that_passes_ceased_to_make_takes_no_calls)
{
	struct answer answer;

	begin(settings("w"));
	work->retired = true;
	cr_expect_eq(work_call(work, call_of(1), FROM_FLOW, &answer, NULL), -ESTALE);
}

Test(work, an_operators_stop_answers_calls_until_start)
{
	struct answer answer;

	begin(settings("w"));
	call(1);
	succeed(take());
	call(2);
	work_stop(work, false);
	cr_expect_eq(call(1).decision, DECISION_HIT, "a skipped call needs no process");
	answer = call(3);
	cr_expect_eq(answer.stage, STAGE_STOPPED);
	cr_expect_eq(answer.why, WHY_OPERATOR);
	cr_expect_null(answer.run, "an answer that is not remembered");
	cr_expect_eq(work->queue.count, 1u, "a waiting call stays in the queue");
	work->held = false;
	cr_expect_eq(call(3).decision, DECISION_RUN);
}

Test(work, an_attempt_that_was_restarted_goes_to_the_head_of_the_queue_at_no_cost)
{
	struct run *run;

	begin(settings("w"));
	call(1);
	call(2);
	run = take();
	run->ending = ENDING_REQUEUE;
	work_on_run_lost(work, run, "signal 15 (TERM)", "", true);
	cr_expect_eq(work->queue.first, run);
	cr_expect_eq(run->stage, STAGE_PENDING);
	cr_expect_eq(run->failures, 0u);
}

Test(work, a_run_that_was_only_sent_ahead_goes_back_as_if_it_had_not_been)
{
	struct run *run;

	begin(settings("w"));
	call(1);
	run = work->queue.first;
	run_list_remove(&work->queue, run);
	run->attempt++;
	work_on_run_lost(work, run, "signal 9 (KILL)", "", false);
	cr_expect_eq(work->queue.first, run);
	cr_expect_eq(run->attempt, 0u);
}

Test(work, names_in_cache_ignore_do_not_make_a_call_another_one)
{
	struct work_config *config = settings("w");
	struct answer answer;
	struct lw_buf buf = { 0 };

	config->cache_ignore.names = lw_alloc(sizeof(char *));
	config->cache_ignore.names[0] = lw_strdup("verbose");
	config->cache_ignore.count = 1;
	begin(config);
	for (int i = 0; i < 2; i++) {
		buf.size = 0;
		lw_buf_add(&buf, work->head.data, work->head.size);
		lw_put_list(&buf, 0);
		lw_put_map(&buf, 2);
		lw_put_cstr(&buf, "verbose");
		lw_put_int(&buf, i);
		lw_put_cstr(&buf, "x");
		lw_put_int(&buf, 5);
		cr_assert_eq(work_call(work, lw_buf_slice(&buf), FROM_FLOW, &answer, NULL), 0);
		cr_expect_eq(answer.decision, i == 0 ? DECISION_RUN : DECISION_JOIN);
	}
	lw_buf_done(&buf);
}

Test(work, every_decision_can_be_explained)
{
	begin(settings("w"));
	expect_why(1, DECISION_RUN, "runs: never seen");
	call(1);
	expect_why(1, DECISION_JOIN, "joined run 1");
	succeed(take());
	expect_why(1, DECISION_HIT, "hit: succeeded as run 1 at 20");
	expect_why(2, DECISION_RUN, "runs: argument 1 was 1, is 2");
	call(2);
	fail(take());
	expect_why(2, DECISION_HELD, "held: failed 1 time, last: no luck");
	work_stop(work, false);
	expect_why(3, DECISION_HELD, "held: stopped by operator");
	cr_expect_eq(work->misses, 2u, "explaining changes nothing");
}

Test(work, why_a_run_was_made_does_not_change_by_later_calls)
{
	LW_AUTO_BUF first = { 0 }, second = { 0 };
	struct run *one, *two;

	begin(settings("w"));
	one = call(1).run;
	two = call(2).run;
	work_print_why(work, (enum why)one->why, one,
		       (struct lw_slice){ one->form, one->form_size }, &first);
	work_print_why(work, (enum why)two->why, two,
		       (struct lw_slice){ two->form, two->form_size }, &second);
	cr_expect_str_eq(lw_buf_text(&first), "runs: never seen");
	cr_expect_str_eq(lw_buf_text(&second), "runs: argument 1 was 1, is 2");
}

Test(work, its_statuses_are_those_of_its_latest_call)
{
	static const enum stage expected[] = { STAGE_PENDING, STAGE_RUNNING, STAGE_SUCCEEDED,
					       STAGE_PENDING, STAGE_RUNNING, STAGE_FAILED };

	begin(settings("w"));
	cr_expect_eq(work_status(work).stage, STAGE_NOT_STARTED);
	call(1);
	succeed(take());
	call(2);
	fail(take());
	cr_assert_eq(work->status_count, LW_COUNT(expected));
	for (size_t i = 0; i < LW_COUNT(expected); i++)
		cr_expect_eq(work_status_at(work, i)->stage, expected[i], "status %zu", i);
	cr_expect_str_eq(work_status(work).reason, "exit status 3");
	cr_expect_str_eq(work_status(work).message, "no luck");
}

Test(work, history_is_bounded_and_what_is_remembered_stays)
{
	begin(settings("w"));
	for (int i = 0; i < 2 * WORK_HISTORY; i++) {
		call(i);
		succeed(take());
	}
	cr_expect_leq(work->history_count, (size_t)WORK_HISTORY);
	cr_expect_eq(call(0).decision, DECISION_HIT);
	cr_expect_eq(work->status_count, (size_t)WORK_STATUSES);
}
