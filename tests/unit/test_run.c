/* links: lw_supervisor
 * test_run.c - stages, statuses, lists, watchers, runs by id and at rest, and their rows. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

static struct app app;
static struct work work = { .app = &app, .row = 3 };

static void set_up(void)
{
	app.runs = runs_new(0);
}

static void tear_down(void)
{
	runs_free(app.runs);
}

TestSuite(run, .init = set_up, .fini = tear_down);

static struct run *make(const char *form)
{
	struct lw_slice bytes = { (const uint8_t *)form, strlen(form) };

	return run_new(app.runs, &work, (struct lw_key){ 0 }, bytes, bytes, FROM_FLOW, 100);
}

static void expect_statuses(const struct run *run, const char *expected)
{
	struct status statuses[RUN_STATUSES];
	size_t n = run_statuses(run, statuses);
	char text[500] = "";

	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s@%d%s%s ",
			 stage_name(statuses[i].stage), (int)statuses[i].at,
			 statuses[i].reason != NULL ? ":" : "",
			 statuses[i].reason != NULL ? statuses[i].reason : "");
	cr_expect_str_eq(text, expected);
}

Test(run, its_statuses_tell_its_life)
{
	struct run *run = make("call");

	expect_statuses(run, "pending@100 ");
	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	expect_statuses(run, "pending@100 running@200 ");
	run_move(run, STAGE_SUCCEEDED, NULL, NULL, 300);
	expect_statuses(run, "pending@100 running@200 succeeded@300 ");
	run_unref(run);
}

Test(run, every_attempt_stays_in_its_statuses)
{
	struct run *run = make("call");

	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	run_move(run, STAGE_PENDING, "retry 1 of 1", "exit status 3", 300);
	expect_statuses(run, "pending@100 running@200 pending@300:retry 1 of 1 ");
	run_move(run, STAGE_RUNNING, NULL, NULL, 400);
	run_move(run, STAGE_FAILED, "exit status 4", "no luck", 500);
	expect_statuses(run, "pending@100 running@200 pending@300:retry 1 of 1 running@400 "
			     "failed@500:exit status 4 ");
	cr_expect_str_eq(run->message, "no luck");
	run_unref(run);
}

Test(run, a_thousand_attempts_keep_the_first_and_the_latest_statuses)
{
	struct run *run = make("call");
	struct status statuses[RUN_STATUSES];
	size_t n;

	for (int i = 0; i < 1000; i++) {
		run_move(run, STAGE_RUNNING, NULL, NULL, 1000 + i);
		run_move(run, STAGE_PENDING, "retry", "failed", 1000 + i);
	}
	n = run_statuses(run, statuses);
	cr_expect_leq(n, (size_t)RUN_STATUSES);
	cr_expect_eq(statuses[0].at, 100);
	cr_expect_eq(statuses[n - 1].at, 1999);
	run_unref(run);
}

Test(run, the_call_as_given_is_kept_beside_its_canonical_form)
{
	struct lw_slice form = { (const uint8_t *)"canonical", 9 };
	struct lw_slice call = { (const uint8_t *)"as given", 8 };
	struct run *run = run_new(app.runs, &work, (struct lw_key){ 0 }, form, call, FROM_API, 1);

	cr_expect_eq(memcmp(run->form, "canonical", 9), 0);
	cr_expect_eq(memcmp(run->call.data, "as given", 8), 0);
	run_unref(run);
}

Test(run, runs_are_found_by_id_until_their_last_reference_goes)
{
	struct run *runs[1000];

	for (int i = 0; i < 1000; i++)
		runs[i] =
			make("a call with a form that is longer than what lies behind the run...");
	for (int i = 0; i < 1000; i += 3)
		run_unref(runs[i]);
	for (int i = 0; i < 1000; i++)
		cr_expect_eq(runs_find(app.runs, (uint64_t)i + 1), i % 3 == 0 ? NULL : runs[i]);
	cr_expect_null(runs_find(app.runs, 0));
	cr_expect_null(runs_find(app.runs, 5000));
	for (int i = 0; i < 1000; i++)
		if (i % 3 != 0)
			run_unref(runs[i]);
}

Test(run, lists_keep_their_order)
{
	struct run_list list = { 0 };
	struct run *a = make("a"), *b = make("b"), *c = make("c");

	run_list_append(&list, b);
	run_list_append(&list, c);
	run_list_prepend(&list, a);
	cr_expect_eq(list.first, a);
	cr_expect_eq(list.last, c);
	run_list_remove(&list, b);
	cr_expect_eq(a->next, c);
	cr_expect_eq(c->prev, a);
	run_list_remove(&list, a);
	run_list_remove(&list, c);
	cr_expect_eq(list.count, 0u);
	cr_expect(list.first == NULL && list.last == NULL);
	run_unref(a);
	run_unref(b);
	run_unref(c);
}

static int told;
static struct watcher second;

static void on_told(struct watcher *watcher)
{
	(void)watcher;
	told++;
}

static void cancels_the_other(struct watcher *watcher)
{
	(void)watcher;
	told++;
	watcher_cancel(&second);
}

Test(run, a_watcher_may_cancel_another_while_they_are_told)
{
	struct watcher *list = NULL;
	struct watcher first = { .done = cancels_the_other };

	second = (struct watcher){ .done = on_told };
	told = 0;
	watcher_add(&list, &second);
	watcher_add(&list, &first);
	watchers_tell(&list);
	cr_expect_eq(told, 1);
	cr_expect_null(list);
	watcher_cancel(&first); /* not watching: nothing */
}

/* ---- at rest ------------------------------------------------------------------------------------ */

static struct run *make_resting(const char *form)
{
	struct run *run = make(form);

	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	run_move(run, STAGE_SUCCEEDED, NULL, NULL, 300);
	runs_rest(app.runs, run);
	return run;
}

Test(run, ids_go_on_after_the_last_one_on_record)
{
	runs_free(app.runs);
	app.runs = runs_new(41);
	cr_expect_eq(runs_last_id(app.runs), 41u);
	make_resting("call");
	cr_expect_not_null(runs_find(app.runs, 42));
	cr_expect_eq(runs_last_id(app.runs), 42u);
}

Test(run, those_at_rest_leave_in_order_until_the_rest_fits)
{
	uint64_t one;

	make_resting("a");
	one = runs_resting(app.runs);
	cr_assert_gt(one, 0u);
	for (int i = 1; i < 10; i++)
		make_resting("a");
	cr_expect_eq(runs_resting(app.runs), 10 * one);
	runs_trim(app.runs, 10 * one, 0);
	cr_expect_not_null(runs_find(app.runs, 1), "all fit");
	runs_trim(app.runs, 4 * one, 0);
	cr_expect_eq(runs_resting(app.runs), 4 * one);
	for (uint64_t id = 1; id <= 10; id++)
		cr_expect_eq(runs_find(app.runs, id) != NULL, id > 6, "run %d", (int)id);
	runs_trim(app.runs, 0, 0);
	cr_expect_eq(runs_resting(app.runs), 0u);
	cr_expect_null(runs_find(app.runs, 10));
}

Test(run, one_that_somebody_refers_to_stays_until_he_lets_go)
{
	struct run *held = run_ref(make_resting("held"));

	make_resting("another");
	runs_trim(app.runs, 0, 0);
	cr_expect_eq(runs_find(app.runs, 1), held);
	cr_expect_null(runs_find(app.runs, 2), "who came later leaves all the same");
	cr_expect_gt(runs_resting(app.runs), 0u);
	run_unref(held);
	cr_expect_eq(runs_find(app.runs, 1), held, "it is only at rest now");
	runs_trim(app.runs, 0, 0);
	cr_expect_null(runs_find(app.runs, 1));
}

Test(run, one_that_is_not_on_record_yet_stays)
{
	struct run *noted = make_resting("noted"), *later = make_resting("later");

	noted->noted = true;
	noted->batch = 4;
	later->batch = 5;
	runs_trim(app.runs, 0, 5);
	cr_expect_eq(runs_find(app.runs, 1), noted);
	noted->noted = false;
	runs_trim(app.runs, 0, 3);
	cr_expect_eq(runs_find(app.runs, 1), noted);
	runs_trim(app.runs, 0, 4);
	cr_expect_null(runs_find(app.runs, 1));
	cr_expect_eq(runs_find(app.runs, 2), later);
	runs_trim(app.runs, 0, 5);
	cr_expect_null(runs_find(app.runs, 2));
}

/* ---- rows ----------------------------------------------------------------------------------------- */

/* w:run(value, { x = 1 }), in a buffer of its own. */
static struct lw_buf call_to(const char *value)
{
	struct lw_buf call = { 0 };

	lw_call_begin(&call, "w", NULL);
	lw_put_list(&call, 1);
	lw_put_cstr(&call, value);
	lw_put_map(&call, 1);
	lw_put_cstr(&call, "x");
	lw_put_int(&call, 1);
	return call;
}

/* Two attempts that failed, and a third under way, told to end. */
static struct run *make_odd(void)
{
	LW_AUTO_BUF form = call_to("the canonical form, which is long enough not to lie behind it");
	LW_AUTO_BUF call = call_to("as given");
	struct run *run = run_new(app.runs, &work, (struct lw_key){ 1, 2 }, lw_buf_slice(&form),
				  lw_buf_slice(&call), FROM_API, 100);

	run->why = WHY_RETRY;
	run->flags = STORE_RUN_KEPT | STORE_RUN_FORGET;
	run->ending = ENDING_STOPPED;
	run->attempt = 3;
	run->failures = 2;
	run->lost = 1;
	run->rank = -7;
	run->due = 1234;
	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	run_move(run, STAGE_PENDING, "retry 1 of 5", "no luck", 300);
	run_move(run, STAGE_RUNNING, NULL, NULL, 400);
	run_move(run, STAGE_PENDING, "lost", "", 500);
	run_move(run, STAGE_RUNNING, NULL, NULL, 600);
	return run;
}

/* Read back as another supervisor would, and written again: the same bytes. */
static struct run *expect_round_trip(struct run *run, struct runs *others)
{
	LW_AUTO_BUF past = { 0 };
	LW_AUTO_BUF past_again = { 0 };
	LW_AUTO_BUF written = { 0 };
	LW_AUTO_BUF again = { 0 };
	struct lw_err err = { 0 };
	struct run *back = NULL;
	struct run_row row;

	run_to_row(run, &past, &row);
	run_row_put(&written, &row);
	cr_assert_eq(run_from_row(others, &work, run->key, &row, &back, &err), 0, "%s", err.text);
	cr_expect(back->recorded && back->refs == 1 && !back->noted);
	cr_expect_eq(runs_find(others, run->id), back);
	run_to_row(back, &past_again, &row);
	run_row_put(&again, &row);
	cr_assert_eq(written.size, again.size);
	cr_expect_eq(memcmp(written.data, again.data, written.size), 0);
	return back;
}

Test(run, whatever_it_lived_through_it_is_the_same_when_it_is_read_back)
{
	struct runs *others = runs_new(0);
	struct run *run = make_odd(), *back = expect_round_trip(run, others);

	cr_expect_eq(back->ending, ENDING_STOPPED);
	cr_expect_eq(back->flags, STORE_RUN_KEPT | STORE_RUN_FORGET);
	cr_expect_eq(back->key.low, run->key.low);
	cr_expect(back->call.data != back->form);
	expect_statuses(back, "pending@100 running@200 pending@300:retry 1 of 5 running@400 "
			      "pending@500:lost running@600 ");
	cr_expect_str_eq(back->past[2].message, "no luck");
	run_unref(back);
	run->ending = ENDING_NO;
	run_set_result(run, (struct lw_slice){ (const uint8_t *)"\x92\x01\x02", 3 });
	run_move(run, STAGE_SUCCEEDED, NULL, NULL, 700);
	back = expect_round_trip(run, others);
	cr_expect_eq(back->result.size, 3u);
	run_unref(back);
	run_unref(run);
	runs_free(others);
}

Test(run, every_stage_and_every_ending_is_read_back)
{
	struct runs *others = runs_new(0);
	LW_AUTO_BUF form = call_to("short");

	for (int stage = STAGE_PENDING; stage < STAGES_N; stage++) {
		for (int ending = ENDING_NO; ending <= ENDING_REQUEUE; ending++) {
			struct lw_slice bytes = lw_buf_slice(&form);
			struct run *run = run_new(app.runs, &work, (struct lw_key){ 0 }, bytes,
						  bytes, FROM_FLOW, 100);
			struct run *back;

			if (stage != STAGE_PENDING)
				run_move(run, (enum stage)stage, "reason", NULL, 200);
			run->ending = (uint8_t)ending;
			back = expect_round_trip(run, others);
			cr_expect_eq(back->stage, stage);
			cr_expect_eq(back->ending, ending);
			cr_expect_eq(back->call.data, back->form, "one copy is enough");
			run_unref(back);
			run_unref(run);
		}
	}
	runs_free(others);
}

Test(run, a_thousand_attempts_are_read_back_and_go_on)
{
	struct runs *others = runs_new(0);
	struct status statuses[RUN_STATUSES];
	struct run *run = make_odd();

	for (int i = 0; i < 1000; i++) {
		struct run *back = expect_round_trip(run, others);

		run_move(back, STAGE_PENDING, "retry", "failed", 1000 + i);
		run_move(back, STAGE_RUNNING, NULL, NULL, 1000 + i);
		cr_assert_leq(run_statuses(back, statuses), (size_t)RUN_STATUSES);
		run_unref(back);
		run_move(run, STAGE_PENDING, "retry", "failed", 1000 + i);
		run_move(run, STAGE_RUNNING, NULL, NULL, 1000 + i);
	}
	run_unref(run);
	runs_free(others);
}

/* A row that was read, and is taken for nonsense: no run of it is left. */
static void expect_nonsense(const struct run_row *row, const char *what)
{
	struct lw_err err = { 0 };
	struct run *run = NULL;
	int r = run_from_row(app.runs, &work, (struct lw_key){ 0 }, row, &run, &err);

	cr_expect_eq(r, -EUCLEAN, "%s", what);
	cr_expect_not_null(strstr(err.text, "sense"), "%s: %s", what, err.text);
	cr_expect_null(run);
	cr_expect_null(runs_find(app.runs, row->id));
}

static struct run_row sound_row(const struct lw_buf *form)
{
	return (struct run_row){ .id = 77,
				 .work = 3,
				 .stage = STAGE_PENDING,
				 .created = 5,
				 .form = lw_buf_slice(form) };
}

static struct lw_slice bytes_of(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

Test(run, a_row_that_makes_no_sense_is_refused)
{
	LW_AUTO_BUF form = call_to("value");
	struct run_row sound = sound_row(&form), row;
	struct run *run;

	cr_assert_eq(run_from_row(app.runs, &work, (struct lw_key){ 0 }, &sound, &run, NULL), 0);
	run_unref(run);
#define NONSENSE(...) (row = sound, __VA_ARGS__, expect_nonsense(&row, #__VA_ARGS__))
	NONSENSE(row.id = 0);
	NONSENSE(row.stage = STAGE_NOT_STARTED);
	NONSENSE(row.stage = STAGE_STARTED);
	NONSENSE(row.stage = STAGES_N);
	NONSENSE(row.stage = 255);
	NONSENSE(row.by = FROM_RULE + 1);
	NONSENSE(row.why = WHYS_N);
	NONSENSE(row.form = (struct lw_slice){ 0 });
	NONSENSE(row.form = bytes_of("\xc1"));
	NONSENSE(row.form = bytes_of("\x93\xa1w\xc0\x90"));         /* three items */
	NONSENSE(row.form = bytes_of("\x94\xa1w\xc0\x80\x90"));     /* named before positional */
	NONSENSE(row.form = bytes_of("\x94\xa1w\xc0\x90\x90"));     /* no named ones */
	NONSENSE(row.form = bytes_of("\x94\xa1w\xc0\x90\x80\xc0")); /* and more */
	NONSENSE(row.call = bytes_of("\xc1"));
	NONSENSE(row.call = bytes_of("\x01"));
	NONSENSE(row.result = bytes_of("\xc1"));
	NONSENSE(row.result = bytes_of("\x01\x01"));
	NONSENSE(row.past = bytes_of("\x01"));
	NONSENSE(row.past = bytes_of("\x91\xc0"));
	NONSENSE(row.past = bytes_of("\x91\x94\x02\x05\x01\xc0"));         /* four fields */
	NONSENSE(row.past = bytes_of("\x91\x95\x07\x05\x01\xc0\xc0"));     /* no such stage */
	NONSENSE(row.past = bytes_of("\x91\x95\xff\x05\x01\xc0\xc0"));     /* stage -1 */
	NONSENSE(row.past = bytes_of("\x91\x95\x02\x05\xff\xc0\xc0"));     /* count -1 */
	NONSENSE(row.past = bytes_of("\x91\x95\x02\xa1x\x01\xc0\xc0"));    /* when: a text */
	NONSENSE(row.past = bytes_of("\x91\x95\x02\x05\x01\x05\xc0"));     /* reason: 5 */
	NONSENSE(row.past = bytes_of("\x91\x95\x02\x05\x01\xc0\xc0\xc0")); /* and more */
	NONSENSE(row.past = bytes_of("\xdd\xff\xff\xff\xff"));             /* so many */
#undef NONSENSE
}

Test(run, more_past_statuses_than_a_run_may_have_are_refused)
{
	LW_AUTO_BUF form = call_to("value");
	LW_AUTO_BUF past = { 0 };
	struct run_row row = sound_row(&form);
	struct status statuses[RUN_STATUSES];
	int taken = 0;

	for (uint32_t n = 0; n <= RUN_STATUSES + 1; n++) {
		struct run *run;

		past.size = 0;
		lw_put_list(&past, n);
		for (uint32_t i = 0; i < n; i++) {
			lw_put_list(&past, 5);
			lw_put_int(&past, STAGE_PENDING);
			lw_put_int(&past, 5);
			lw_put_int(&past, 1);
			lw_put_bytes(&past, "why", 3);
			lw_put_nil(&past);
		}
		row.past = lw_buf_slice(&past);
		if (run_from_row(app.runs, &work, (struct lw_key){ 0 }, &row, &run, NULL) < 0)
			continue;
		taken++;
		for (int i = 0; i < 5; i++) {
			cr_assert_leq(run_statuses(run, statuses), (size_t)RUN_STATUSES);
			run_move(run, STAGE_RUNNING, NULL, NULL, 200);
			run_move(run, STAGE_PENDING, "retry", NULL, 300);
		}
		run_unref(run);
	}
	cr_expect_gt(taken, 20, "what a run may have is taken");
	cr_expect_lt(taken, RUN_STATUSES);
}

/* What a damaged file may hold: each is a run, or refused; a sanitizer watches. */
Test(run, no_damage_to_a_row_does_harm)
{
	LW_AUTO_BUF past = { 0 };
	LW_AUTO_BUF bytes = { 0 };
	struct run *run = make_odd();
	struct run_row row;
	int refused = 0;

	run_set_result(run, bytes_of("\x93\x01\xa2ok\xc0"));
	run_to_row(run, &past, &row);
	run_row_put(&bytes, &row);
	run_unref(run);
	for (size_t at = 0; at < bytes.size; at++) {
		for (int bit = 0; bit < 8; bit++) {
			struct lw_slice rest = lw_buf_slice(&bytes);
			struct status statuses[RUN_STATUSES];

			bytes.data[at] ^= (uint8_t)(1 << bit);
			if (run_row_take(&rest, &row, NULL) == 0 &&
			    run_from_row(app.runs, &work, (struct lw_key){ 0 }, &row, &run, NULL) ==
				    0) {
				(void)run_statuses(run, statuses);
				run_unref(run);
			} else {
				refused++;
			}
			bytes.data[at] ^= (uint8_t)(1 << bit);
		}
	}
	cr_expect_gt(refused, 100);
}

Test(run, a_row_that_was_cut_off_anywhere_in_its_values_is_refused)
{
	LW_AUTO_BUF past = { 0 };
	struct run *run = make_odd();
	struct run_row whole, row;

	run_set_result(run, bytes_of("\x93\x01\xa2ok\xc0"));
	run_to_row(run, &past, &whole);
	whole.id = 77;
	for (size_t i = 0; i < whole.form.size; i++) {
		row = whole;
		row.form.size = i;
		expect_nonsense(&row, "form");
	}
	for (size_t i = 1; i < whole.call.size; i++) {
		row = whole;
		row.call.size = i;
		expect_nonsense(&row, "call");
	}
	for (size_t i = 1; i < whole.result.size; i++) {
		row = whole;
		row.result.size = i;
		expect_nonsense(&row, "result");
	}
	for (size_t i = 1; i < whole.past.size; i++) {
		row = whole;
		row.past.size = i;
		expect_nonsense(&row, "past");
	}
	run_unref(run);
}
