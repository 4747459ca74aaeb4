/* links: lw_supervisor
 * test_adopt.c - what an earlier supervisor left, from the rows of a store made here: works, states,
 * marks, calls that hit without running, runs that go on. No process is looked for. */
#include <errno.h>

#include "on_record.h"
#include "schedule.h"

static struct lw_buf batch;     /* what the earlier supervisor wrote */
static struct lw_buf forms[20]; /* of the runs in it, by id */

static void tear_down(void)
{
	close_app();
	close_loop();
	lw_buf_done(&batch);
	for (size_t i = 0; i < LW_COUNT(forms); i++)
		lw_buf_done(&forms[i]);
}

TestSuite(adopt, .init = open_loop, .fini = tear_down, .timeout = 120);

/* ---- the store of the earlier one ----------------------------------------------------------------- */

static void put_work(uint32_t id, const char *name)
{
	struct work_row row = { .id = id, .name = text(name), .settings = text("{}") };

	store_put_work(&batch, &row);
}

/* w:run(value) in canonical form, under an id of its own. */
static struct run_row row_of(uint64_t id, int64_t value)
{
	struct lw_buf *form = &forms[id];

	form->size = 0;
	lw_call_begin(form, "w", NULL);
	lw_put_list(form, 1);
	lw_put_int(form, value);
	lw_put_map(form, 0);
	return (struct run_row){
		.id = id,
		.work = 1,
		.stage = STAGE_PENDING,
		.flags = STORE_RUN_KEPT,
		.why = WHY_NEVER_SEEN,
		.rank = (int64_t)id,
		.created = 1000000,
		.form = lw_buf_slice(form),
	};
}

/* A run that is over. */
static struct run_row over_of(uint64_t id, int64_t value, enum stage stage)
{
	struct run_row row = row_of(id, value);

	row.stage = (uint8_t)stage;
	row.attempt = 1;
	row.started = 2000000;
	row.ended = 4000000;
	if (stage == STAGE_SUCCEEDED)
		row.result = text("\x2a");
	else
		row.message = text("no luck");
	return row;
}

static void put(struct run_row row)
{
	store_put_run_new(&batch, &row);
}

static void write_store(void)
{
	struct lw_err err = { 0 };
	struct store *store;

	cr_assert_geq(store_open(state_dir, DURABILITY_PROCESS, &store, &err), 0, "%s", err.text);
	cr_assert_geq(store_apply(store, lw_buf_slice(&batch), &err), 0, "%s", err.text);
	store_close(store);
	batch.size = 0;
}

/* The next supervisor. */
static void adopt(void)
{
	write_store();
	open_quiet_app(config_new());
}

static struct answer call(struct work *work, int64_t value)
{
	struct answer answer = { 0 };
	struct lw_err err = { 0 };

	cr_assert_eq(work_call(work, call_to(work, value), FROM_FLOW, &answer, &err), 0, "%s",
		     err.text);
	return answer;
}

static void expect_queue(const struct run_list *list, const char *ids)
{
	LW_AUTO_BUF told = { 0 };

	for (const struct run *run = list->first; run != NULL; run = run->next)
		lw_buf_printf(&told, "%llu ", (unsigned long long)run->id);
	cr_expect_str_eq(lw_buf_text(&told), ids);
}

/* ---- works and what they know -------------------------------------------------------------------------- */

Test(adopt, a_fresh_record_has_nothing)
{
	open_quiet_app(config_new());
	cr_expect_eq(app->work_count, 0u);
	cr_expect_eq(cache_count(app->cache), 0u);
	cr_expect_eq(runs_last_id(app->runs), 0u);
}

Test(adopt, works_are_known_by_row_and_not_shown_until_somebody_makes_them)
{
	struct work_row held = { .id = 3,
				 .name = text("held"),
				 .settings = text("{}"),
				 .held = true,
				 .made_in_pass = true };
	struct work *work;

	put_work(1, "w");
	store_put_work(&batch, &held);
	adopt();
	cr_expect_null(app_work(app, "w"));
	work = app_work_of_row(app, 1);
	cr_assert_not_null(work);
	cr_expect(work->retired);
	cr_expect_not(work->held);
	cr_expect_null(app_work_of_row(app, 2));
	cr_expect_null(app_work_of_row(app, 0));
	cr_expect_null(app_work_of_row(app, 4));
	cr_expect(app_work_of_row(app, 3)->held, "an operator's stop holds over a restart");
	cr_expect_eq(add_work(settings("w")), work, "it is that work");
	cr_expect_eq(app_work(app, "w"), work);
	cr_expect_eq(work->worker_count, 1u);
	cr_expect_eq(add_work(settings("new"))->row, 4u);
	cr_expect_eq(call(add_work(settings("held")), 1).why, WHY_OPERATOR);
}

Test(adopt, states_are_as_they_were)
{
	struct lw_slice value;

	put_work(1, "w");
	store_put_state(&batch, 0, text("day"), text("\x05"));
	store_put_state(&batch, 1, text("x"), text("\xa3two"));
	adopt();
	cr_assert(state_get(&app->state, "day", &value));
	cr_expect_eq(value.data[0], 5);
	cr_assert(state_get(&app_work_of_row(app, 1)->state, "x", &value));
	cr_expect_eq(value.size, 4u);
	cr_expect_not(state_get(&app->state, "x", &value));
}

static int ask_hourly(int64_t recorded_at)
{
	char time[32] = "";
	struct lw_err err = { 0 };
	int r;

	store_put_mark(&batch, text("hourly"), recorded_at);
	adopt();
	r = app_schedule(app, "hourly", time, &err);
	cr_expect_geq(r, 0, "%s", err.text);
	return r;
}

Test(adopt, a_mark_that_passed_while_nobody_was_there_is_true)
{
	cr_expect_eq(ask_hourly(loop_wall(loop) - INT64_C(86400000000)), 1);
}

Test(adopt, a_mark_that_was_recorded_just_now_is_not)
{
	cr_expect_eq(ask_hourly(loop_wall(loop)), 0);
}

/* ---- remembered calls -------------------------------------------------------------------------------------- */

Test(adopt, a_call_that_succeeded_hits_without_running)
{
	struct answer answer;
	struct work *work;

	put_work(1, "w");
	put(over_of(5, 1, STAGE_SUCCEEDED));
	adopt();
	work = add_work(settings("w"));
	cr_expect_null(runs_find(app->runs, 5));
	answer = call(work, 1);
	cr_expect_eq(answer.decision, DECISION_HIT);
	cr_expect_eq(answer.run, 5u);
	cr_expect_eq(work->saved, 2000000);
	cr_expect_eq(work->misses, 0u);
	cr_expect_eq(run_of(5)->result.data[0], 42);
	answer = call(work, 2);
	cr_expect_eq(answer.decision, DECISION_RUN);
	cr_expect_eq(answer.run, 6u, "ids are never given twice");
}

Test(adopt, a_failure_is_held_and_raised_if_nobody_was_told)
{
	struct run_row untold = over_of(2, 2, STAGE_FAILED);
	struct work *work;

	put_work(1, "w");
	put(over_of(1, 1, STAGE_FAILED));
	untold.flags |= STORE_RUN_UNDELIVERED;
	put(untold);
	put(over_of(3, 3, STAGE_STOPPED));
	adopt();
	work = add_work(settings("w"));
	cr_expect_eq(call(work, 1).decision, DECISION_HELD);
	cr_expect_not(call(work, 1).raises);
	cr_expect(call(work, 2).raises);
	cr_expect_not(call(work, 2).raises);
	cr_expect_eq(call(work, 3).why, WHY_STOPPED);
	cr_expect_eq(work_retry(work, (struct lw_slice){ 0 }, NULL), 3);
	settle_record();
	cr_expect_eq(run_of(2)->flags, 0, "the later run is what is remembered now");
	expect_queue(&work->queue, "4 5 6 ");
}

Test(adopt, a_call_that_was_forgotten_while_it_ran_is_told_of_once)
{
	struct run_row row = over_of(1, 1, STAGE_SUCCEEDED);
	struct work *work;

	put_work(1, "w");
	row.flags |= STORE_RUN_FORGET;
	put(row);
	adopt();
	work = add_work(settings("w"));
	cr_expect_eq(call(work, 1).decision, DECISION_HIT);
	cr_expect_eq(call(work, 1).decision, DECISION_RUN);
}

Test(adopt, a_run_that_is_not_remembered_is_history)
{
	struct run_row row = over_of(1, 1, STAGE_SUCCEEDED);
	struct work *work;

	put_work(1, "w");
	row.flags = 0;
	put(row);
	adopt();
	work = add_work(settings("w"));
	cr_expect_eq(cache_count(app->cache), 0u);
	cr_expect_eq(run_of(1)->stage, STAGE_SUCCEEDED);
	cr_expect_eq(call(work, 1).decision, DECISION_RUN);
}

Test(adopt, of_two_runs_of_one_call_the_later_one_is_remembered)
{
	put_work(1, "w");
	put(over_of(1, 1, STAGE_FAILED));
	put(over_of(2, 1, STAGE_SUCCEEDED));
	adopt();
	cr_expect_eq(cache_count(app->cache), 1u);
	cr_expect_eq(call(add_work(settings("w")), 1).run, 2u);
}

Test(adopt, the_latest_call_is_the_one_made_last)
{
	struct work *work;

	put_work(1, "w");
	put(over_of(1, 1, STAGE_SUCCEEDED));
	put(over_of(2, 2, STAGE_FAILED));
	adopt();
	work = add_work(settings("w"));
	cr_expect_eq(work->latest.run, 2u);
	cr_expect_eq(work_status(work).stage, STAGE_FAILED);
	cr_expect_str_eq(work_status(work).message, "no luck");
	cr_expect_eq(work_status(work).at, 4000000);
}

/* ---- runs that are not over ------------------------------------------------------------------------------------ */

Test(adopt, what_waited_waits_in_the_order_of_its_ranks)
{
	static const int64_t ranks[] = { 50, -3, 20, 20 };
	struct work *work;

	put_work(1, "w");
	for (uint64_t id = 1; id <= LW_COUNT(ranks); id++) {
		struct run_row row = row_of(id, (int64_t)id);

		row.rank = ranks[id - 1];
		put(row);
	}
	adopt();
	work = add_work(settings("w"));
	expect_queue(&work->queue, "2 3 4 1 ");
	cr_expect_eq(app->live_runs, 4u);
	cr_expect_eq(call(work, 3).decision, DECISION_JOIN, "it is not run twice");
	cr_expect_eq(call(work, 9).decision, DECISION_RUN);
	expect_queue(&work->queue, "2 3 4 1 5 ");
	work_on_run_unknown(work, take_of(work));
	expect_queue(&work->queue, "2 3 4 1 5 ");
	close_app(); /* and the next one, with what this one wrote */
	open_quiet_app(config_new());
	expect_queue(&app_work_of_row(app, 1)->queue, "2 3 4 1 5 ");
	cr_expect_eq(run_of(2)->lost, 1u);
}

#define HOUR INT64_C(3600000000) /* us */

Test(adopt, what_waited_for_a_retry_waits_for_the_rest_of_that_time)
{
	struct run_row first = row_of(1, 1), past = row_of(2, 2), third = row_of(3, 3);
	struct loop_timer *timer;
	struct work *work;

	put_work(1, "w");
	first.due = loop_wall(loop) + HOUR;
	first.failures = first.attempt = 1;
	past.due = loop_wall(loop) - HOUR;
	third.due = loop_wall(loop) + 2 * HOUR;
	put(first);
	put(past);
	put(third);
	adopt();
	work = add_work(settings("w"));
	expect_queue(&work->queue, "2 ");
	expect_queue(&work->delayed, "1 3 ");
	cr_expect_eq(call(work, 3).decision, DECISION_JOIN);
	timer = &run_of(1)->delay->timer;
	cr_expect(loop_timer_pending(timer));
	cr_expect(timer->at > loop_clock() + HOUR / 2 && timer->at <= loop_clock() + HOUR);
	loop_timer_set(timer, 0); /* an hour later */
	UNTIL(work->queue.count == 2);
	expect_queue(&work->queue, "1 2 ");
	expect_queue(&work->delayed, "3 ");
	cr_expect_eq(run_of(1)->failures, 1u);
	cr_expect_eq(run_of(1)->due, 0);
}

static void put_worker(uint64_t id, uint32_t slot, uint64_t incarnation)
{
	struct worker_row row = {
		.id = id,
		.work = 1,
		.slot = slot,
		.incarnation = incarnation,
		.applied = 17,
		.pid = INT32_MAX, /* nobody's */
		.boot = text("boot"),
		.token = text("0123456789abcdef0123456789abcdef"),
		.ready = true,
	};

	store_put_worker(&batch, &row);
}

static struct run_row sent_of(uint64_t id, uint64_t worker, uint64_t incarnation)
{
	struct run_row row = row_of(id, (int64_t)id);

	row.stage = STAGE_RUNNING;
	row.attempt = 1;
	row.started = 2000000;
	row.worker = worker;
	row.incarnation = incarnation;
	return row;
}

Test(adopt, what_was_sent_to_a_process_on_record_is_in_its_hands)
{
	struct run_row ahead = sent_of(2, 7, 4), other = sent_of(3, 7, 3);
	struct work_config *two = settings("w");
	struct work *work;
	struct worker *worker;

	put_work(1, "w");
	put_worker(7, 1, 4);
	ahead.stage = STAGE_PENDING;
	put(sent_of(1, 7, 4));
	put(ahead);
	put(other);
	put(sent_of(4, 0, 0));
	put(sent_of(5, 99, 1));
	two->processes = 2;
	adopt();
	work = app_work_of_row(app, 1);
	cr_assert_eq(work->worker_count, 2u, "the place it had in the pool");
	worker = work->workers[1];
	cr_expect_eq(worker_info(worker).id, 7u);
	cr_expect_eq(worker_state(worker), WORKER_FOUND);
	cr_expect_eq(worker->applied, 17u);
	expect_queue(worker_runs(worker), "1 2 ");
	expect_queue(&work->queue, "3 4 5 ");
	cr_expect_eq(run_of(3)->stage, STAGE_PENDING);
	cr_expect_str_eq(run_of(3)->reason, "lost");
	cr_expect_eq(run_of(1)->stage, STAGE_RUNNING);
	cr_expect_gt(worker_info(work->workers[0]).id, 7u, "ids of workers are never given twice");
	work_config_free(two);
	cr_expect_eq(call(add_work(settings("w")), 1).decision, DECISION_JOIN);
}

/* ---- rows that make no sense -------------------------------------------------------------------------------------- */

/* The start fails with a sentence that has `part` in it, and lets go of all it had taken in. */
static void expect_refused(const char *part)
{
	struct lw_err err = { 0 };
	int r;

	write_store();
	r = try_app(config_new(), NULL, &err);
	cr_expect_eq(r, -EUCLEAN, "%s: %d %s", part, r, err.text);
	cr_expect_not_null(strstr(err.text, part), "%s", err.text);
	close_app();
}

Test(adopt, a_work_without_a_name_is_refused)
{
	put_work(1, "w");
	put_work(2, "");
	expect_refused("row of work 2");
}

Test(adopt, a_row_far_out_of_range_is_refused)
{
	put_work(UINT32_MAX, "w");
	expect_refused("work 4294967295");
}

Test(adopt, a_state_of_no_work_is_refused)
{
	put_work(1, "w");
	store_put_state(&batch, 9, text("x"), text("\x05"));
	expect_refused("state of work 9");
}

Test(adopt, a_state_that_is_no_value_is_refused)
{
	put_work(1, "w");
	store_put_state(&batch, 1, text("x"), text("\xc1"));
	expect_refused("state of work 1");
}

Test(adopt, a_run_of_no_work_is_refused)
{
	struct run_row row = over_of(2, 2, STAGE_SUCCEEDED);

	put_work(1, "w");
	put(row_of(1, 1));
	row.work = 9;
	put(row);
	expect_refused("run 2");
}

Test(adopt, a_run_that_waits_for_no_work_is_refused)
{
	struct run_row row = row_of(2, 2);

	put_work(1, "w");
	put(row_of(1, 1));
	row.work = 9;
	put(row);
	expect_refused("run 2");
}

Test(adopt, a_run_whose_call_is_none_is_refused)
{
	struct run_row row = row_of(2, 2);

	put_work(1, "w");
	put(row_of(1, 1));
	row.form = text("no call");
	put(row);
	expect_refused("run 2 makes no sense");
}

Test(adopt, a_run_in_no_stage_there_is_is_refused)
{
	struct run_row row = over_of(2, 2, STAGE_SUCCEEDED);

	put_work(1, "w");
	put(row_of(1, 1));
	row.stage = 99;
	put(row);
	expect_refused("run 2");
}

Test(adopt, a_worker_of_no_work_costs_only_its_own_row)
{
	put_work(1, "w");
	put_worker(7, WORK_SLOTS, 1);
	put_worker(8, 0, 1);
	put_worker(9, 0, 1); /* a place that is taken */
	adopt();
	cr_expect_eq(app_work_of_row(app, 1)->worker_count, 1u);
	cr_expect_eq(worker_info(app_work_of_row(app, 1)->workers[0]).id, 8u);
}
