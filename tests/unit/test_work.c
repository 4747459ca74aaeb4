/* links: lw_supervisor
 * test_work.c - what calls do, and what becomes of runs; the processes are played by the test. */
#include <errno.h>

#include "on_record.h"

static struct work *work;

/* An app with one work, in the middle of a pass. */
static void begin(struct work_config *config)
{
	open_loop();
	open_quiet_app(config_new());
	work = add_work(config);
}

static void end(void)
{
	close_app();
	close_loop();
}

TestSuite(work, .fini = end, .timeout = 120);

static struct lw_slice call_of(int64_t value)
{
	return call_to(work, value);
}

static struct answer call(int64_t value)
{
	struct answer answer = { 0 };
	struct lw_err err = { 0 };

	cr_assert_eq(work_call(work, call_of(value), FROM_FLOW, &answer, &err), 0, "%s", err.text);
	return answer;
}

static struct run *take(void)
{
	return take_of(work);
}

static void expect_why(int64_t value, enum decision decision, const char *sentence)
{
	struct answer answer;
	LW_AUTO_BUF reason = { 0 };

	cr_assert_eq(work_explain(work, call_of(value), &answer, &reason, NULL), 0);
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
	cr_expect_str_eq(run_of(answer.run)->message, "no luck");
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
	cr_expect_eq(work_forget(work, call_of(1), 0, NULL), 1);
	cr_expect_eq(call(1).decision, DECISION_RUN);
	cr_expect_eq(work_retry(work, call_of(2), NULL), -ENOENT);
	cr_expect_eq(work_forget(work, call_of(2), 0, NULL), 0);
}

Test(work, forgetting_a_call_that_runs_lets_it_finish_but_not_be_cached)
{
	struct run *run;

	begin(settings("w"));
	call(1);
	run = run_ref(take());
	cr_expect_eq(work_forget(work, (struct lw_slice){ 0 }, 0, NULL), 1);
	cr_expect_eq(call(1).decision, DECISION_JOIN, "it is still not sent twice");
	succeed(run);
	cr_expect_eq(run->stage, STAGE_SUCCEEDED);
	cr_expect_eq(call(1).run, run->id, "the flow hears of its end");
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
	cr_expect_eq(answer.run, 0u, "an answer that is not remembered");
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
	one = run_of(call(1).run);
	two = run_of(call(2).run);
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

Test(work, statuses_are_bounded_and_what_is_remembered_stays)
{
	begin(settings("w"));
	for (int i = 0; i < 1000; i++) {
		call(i);
		succeed(take());
	}
	cr_expect_eq(work->status_count, (size_t)WORK_STATUSES);
	cr_expect_eq(call(0).decision, DECISION_HIT);
	cr_expect_eq(call(0).run, 1u);
}

/* ---- runs that are only on record ------------------------------------------------------------------- */

static void expect_in_memory(uint64_t id, bool expected)
{
	cr_expect_eq(runs_find(app->runs, id) != NULL, expected, "run %d", (int)id);
}

Test(work, a_hit_needs_no_run_in_memory_and_its_result_is_read_back)
{
	begin(settings("w"));
	call(1);
	succeed(take());
	forget_runs();
	expect_in_memory(1, false);
	cr_expect_eq(call(1).decision, DECISION_HIT);
	expect_in_memory(1, false);
	expect_why(1, DECISION_HIT, "hit: succeeded as run 1 at 20");
	expect_in_memory(1, true);
	cr_expect_eq(run_of(1)->result.size, 1u);
	cr_expect_eq(run_of(1)->result.data[0], 7);
	forget_runs();
	expect_in_memory(1, false);
}

Test(work, its_status_and_why_a_call_is_held_are_read_back)
{
	begin(settings("w"));
	call(1);
	fail(take());
	forget_runs();
	cr_expect_eq(work_status(work).stage, STAGE_FAILED);
	cr_expect_str_eq(work_status(work).message, "no luck");
	cr_expect_str_eq(work_latest(work)->reason, "exit status 3");
	forget_runs();
	expect_why(1, DECISION_HELD, "held: failed 1 time, last: no luck");
	forget_runs();
	expect_why(2, DECISION_RUN, "runs: argument 1 was 1, is 2");
}

static bool is_call_of(const struct run *run, int64_t value)
{
	struct lw_slice call = call_of(value);

	return run->call.size == call.size && memcmp(run->call.data, call.data, call.size) == 0;
}

Test(work, what_is_only_on_record_can_be_retried)
{
	struct run *run;

	begin(settings("w"));
	for (int i = 1; i <= 3; i++) {
		call(i);
		fail(take());
	}
	call(4);
	succeed(take());
	forget_runs();
	cr_expect_eq(work_retry(work, call_of(2), NULL), 1);
	run = take();
	cr_expect_eq(run->id, 5u);
	cr_expect_eq(run->why, WHY_RETRY);
	cr_expect(is_call_of(run, 2));
	succeed(run);
	forget_runs();
	cr_expect_eq(work_retry(work, (struct lw_slice){ 0 }, NULL), 2, "all that failed");
	cr_expect_eq(work->queue.first->id, 6u, "in the order they were made");
	cr_expect(is_call_of(work->queue.first, 1));
	cr_expect_eq(call(1).decision, DECISION_JOIN);
	cr_expect_eq(call(2).decision, DECISION_HIT);
	succeed(take());
	succeed(take());
	cr_expect_eq(work_retry(work, (struct lw_slice){ 0 }, NULL), -ENOENT);
}

Test(work, what_was_forgotten_is_so_on_record_too)
{
	begin(settings("w"));
	call(1);
	succeed(take());
	call(2);
	succeed(take());
	forget_runs();
	cr_expect_eq(work_forget(work, call_of(1), 0, NULL), 1);
	forget_runs();
	cr_expect_eq(run_of(1)->flags, 0);
	cr_expect_eq(run_of(2)->flags, STORE_RUN_KEPT);
	cr_expect_eq(run_of(1)->stage, STAGE_SUCCEEDED, "its run stays in the history");
}

Test(work, forgetting_what_was_over_before_a_time_leaves_the_later_ones)
{
	begin(settings("w"));
	for (int i = 1; i <= 3; i++) {
		struct run *run;

		call(i);
		run = take();
		succeed(run);
		cache_find(app->cache, run->key, (struct lw_slice){ run->form, run->form_size })
			->ended = i;
	}
	call(4); /* waits */
	cr_expect_eq(work_forget(work, (struct lw_slice){ 0 }, 2, NULL), 1);
	cr_expect_eq(call(2).decision, DECISION_HIT);
	cr_expect_eq(call(3).decision, DECISION_HIT);
	cr_expect_eq(call(4).decision, DECISION_JOIN);
	cr_expect_eq(work_forget(work, (struct lw_slice){ 0 }, INT64_MAX, NULL), 2,
		     "all that are over");
	succeed(take());
	cr_expect_eq(call(4).decision, DECISION_HIT);
	cr_expect_eq(call(1).decision, DECISION_RUN);
}

Test(work, forgetting_leaves_other_works_alone)
{
	struct work *other;
	struct answer answer;

	begin(settings("w"));
	other = add_work(settings("other"));
	call(1);
	succeed(take());
	cr_assert_eq(work_call(other, call_to(other, 1), FROM_FLOW, &answer, NULL), 0);
	succeed(take_of(other));
	cr_expect_eq(work_forget(work, (struct lw_slice){ 0 }, 0, NULL), 1);
	cr_assert_eq(work_call(other, call_to(other, 1), FROM_FLOW, &answer, NULL), 0);
	cr_expect_eq(answer.decision, DECISION_HIT);
}

Test(work, beyond_cache_max_the_call_used_longest_ago_runs_again)
{
	struct config *config = config_new();

	config->app.cache_max = 2;
	open_loop();
	open_quiet_app(config);
	work = add_work(settings("w"));
	for (int i = 1; i <= 3; i++) {
		call(i);
		succeed(take());
	}
	cr_expect_eq(call(2).decision, DECISION_HIT);
	cr_expect_eq(call(3).decision, DECISION_HIT);
	forget_runs();
	cr_expect_eq(run_of(1)->flags, 0, "it is forgotten on record too");
	cr_expect_eq(call(1).decision, DECISION_RUN);
}

Test(work, long_calls_hit_when_their_forms_were_dropped)
{
	struct config *config = config_new();
	LW_AUTO_BUF call = { 0 };
	struct answer answer;

	config->app.form_cache = 0;
	open_loop();
	open_quiet_app(config);
	work = add_work(settings("w"));
	for (int i = 0; i < 20; i++) {
		LW_AUTO(lw_free) char *argument = lw_format("%0200d", i % 10);

		if (i == 10)
			forget_runs();
		call.size = 0;
		lw_buf_add(&call, work->head.data, work->head.size);
		lw_put_list(&call, 1);
		lw_put_cstr(&call, argument);
		lw_put_map(&call, 0);
		cr_assert_eq(work_call(work, lw_buf_slice(&call), FROM_FLOW, &answer, NULL), 0);
		cr_expect_eq(answer.decision, i < 10 ? DECISION_RUN : DECISION_HIT, "call %d", i);
		if (i < 10)
			succeed(take());
	}
}

/* ---- attempts that nobody saw the end of -------------------------------------------------------------- */

Test(work, a_lost_run_goes_back_to_the_head_of_the_queue_and_is_held_the_third_time)
{
	struct run *run = NULL;

	begin(settings("w"));
	call(1);
	call(2);
	for (uint32_t i = 1; i <= 2; i++) {
		run = take();
		work_on_run_unknown(work, run);
		cr_expect_eq(run->lost, i);
		cr_expect_eq(run->failures, 0u, "it costs no retry");
		cr_expect_eq(run->stage, STAGE_PENDING);
		cr_expect_str_eq(run->reason, "lost");
		cr_expect_eq(work->queue.first, run);
	}
	work_on_run_unknown(work, take());
	cr_expect_eq(run->stage, STAGE_FAILED);
	cr_expect_str_eq(run->reason, "lost");
	cr_expect_eq(call(1).decision, DECISION_HELD);
}

Test(work, with_lost_fail_a_lost_run_fails_at_once)
{
	struct work_config *config = settings("w");
	struct run *run;

	config->lost = LOST_FAIL;
	config->retries = 5;
	begin(config);
	call(1);
	run = take();
	work_on_run_unknown(work, run);
	cr_expect_eq(run->stage, STAGE_FAILED);
	cr_expect_eq(run->attempt, 1u, "at most once");
	cr_expect(call(1).raises);
}

Test(work, a_run_that_was_being_ended_when_nobody_watched_ends_as_was_asked)
{
	static const struct {
		enum ending ending;
		enum stage stage;
		const char *reason;
	} rows[] = {
		{ ENDING_STOPPED, STAGE_STOPPED, "stopped by operator" },
		{ ENDING_TIMEOUT, STAGE_FAILED, "timeout" },
		{ ENDING_REQUEUE, STAGE_PENDING, "restart" },
	};

	begin(settings("w"));
	work->config->timeout = 1000000;
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct run *run;

		call((int64_t)i);
		run = take();
		work_set_ending(work, run, rows[i].ending, "stopped by operator");
		work_on_run_unknown(work, run);
		cr_expect_eq(run->stage, rows[i].stage, "row %zu", i);
		cr_expect_str_eq(run->reason, rows[i].reason);
		cr_expect_eq(run->lost, 0u);
	}
	cr_expect_eq(work->timeouts, 1u);
}

/* ---- other settings ------------------------------------------------------------------------------------- */

/* A process of an earlier supervisor, as it is found on record: it counts as one. */
static void pretend_process(void)
{
	static const struct worker_row row = {
		.id = 1,
		.work = 1,
		.incarnation = 1,
		.pid = INT32_MAX, /* nobody's */
		.boot = { (const uint8_t *)"boot", 4 },
		.token = { (const uint8_t *)"0123456789abcdef0123456789abcdef", WORKER_TOKEN },
	};

	worker_restore(work->workers[0], &row);
	cr_assert(work_has_process(work));
}

Test(work, without_a_process_other_settings_hold_when_the_turn_ends)
{
	struct work_config *config = settings("w");

	begin(settings("w"));
	call(1);
	succeed(take());
	config->processes = 3;
	config->retries = 7;
	work_take_config(work, config, false);
	cr_expect_eq(work->config, config);
	one_turn();
	cr_expect_not(work->renewing);
	cr_assert_eq(work->worker_count, 3u);
	cr_expect_not_null(work->workers[2]);
	cr_expect_eq(call(1).decision, DECISION_HIT, "what it remembers stays");
}

Test(work, a_cache_version_that_changes_makes_other_calls_and_going_back_hits_again)
{
	struct work_config *versions[2] = { settings("w"), settings("w") };

	begin(settings("w"));
	call(1);
	succeed(take());
	versions[0]->cache_version = lw_strdup("v2");
	work_take_config(work, versions[0], false);
	cr_expect_eq(call(1).decision, DECISION_RUN);
	succeed(take());
	work_take_config(work, versions[1], false);
	cr_expect_eq(call(1).decision, DECISION_HIT);
	cr_expect_eq(call(1).run, 1u);
}

Test(work, settings_that_the_process_does_not_mind_are_taken_over_beside_it)
{
	struct work_config *config = settings("w");

	begin(settings("w"));
	pretend_process();
	work_take_config(work, settings("w"), false);
	cr_expect_not(work->renewing, "the same ones");
	config->retries = 7;
	config->stop_timeout = 1;
	work_take_config(work, config, false);
	cr_expect_not(work->renewing);
	cr_expect_not(work->workers[0]->asked);
	cr_expect_eq(work->config->retries, 7);
}

Test(work, settings_that_make_another_process_renew_it)
{
	struct work_config *config = settings("w");
	struct worker *worker;

	begin(settings("w"));
	call(1);
	pretend_process();
	worker = work->workers[0];
	words_add(&config->env, "A=1");
	config->processes = 2;
	work_take_config(work, config, false);
	cr_expect(work->renewing);
	cr_expect(worker->asked, "it is to end");
	cr_expect_eq(work->worker_count, 1u, "the pool changes when it is gone");
	cr_expect_eq(call(1).decision, DECISION_JOIN);
	worker->state = WORKER_DOWN; /* as if it had ended, tree and all */
	worker_forget_process(worker);
	work_on_gone(work, worker);
	UNTIL(!work->renewing);
	cr_expect_eq(work->worker_count, 2u);
	UNTIL(worker_state(work->workers[0]) == WORKER_QUEUED); /* a call waits */
}

Test(work, one_that_comes_back_with_the_same_settings_keeps_its_port)
{
	struct work_config *config = settings("w"), *same = settings("w"), *other = settings("w");
	int64_t port;

	config->port = same->port = other->port = CONFIG_PORT_AUTO;
	begin(config);
	port = work->port;
	cr_expect_gt(port, 0);
	work_retire(work);
	work_take_config(work, same, false);
	cr_expect_eq(work->port, port);
	cr_expect_not(work->retired);
	work_retire(work);
	words_add(&other->env, "A=1");
	work_take_config(work, other, false);
	one_turn();
	cr_expect_not(work->renewing);
	cr_expect_gt(work->port, 0, "settled anew");
}

/* ---- a record that cannot be written ---------------------------------------------------------------------- */

Test(work, no_run_is_given_to_a_process_while_the_record_cannot_be_written)
{
	begin(settings("w"));
	settle_record();
	limit_files(0);
	call(1);
	UNTIL(!journal_takes_runs(app->journal));
	one_turn();
	cr_expect_eq(call(2).decision, DECISION_RUN, "calls are taken in");
	cr_expect_eq(work->queue.count, 2u);
	limit_files(RLIM_INFINITY);
	UNTIL(journal_takes_runs(app->journal));
	settle_record();
	cr_expect_eq(run_of(2)->recorded, true);
}
