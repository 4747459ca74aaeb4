/* links: lw_supervisor
 * test_run.c - stages, statuses, lists, watchers, and runs by id. */
#include <criterion/criterion.h>
#include <string.h>

#include "app.h"

static struct app app;
static struct work work = { .app = &app };

static void set_up(void)
{
	app.runs = runs_new();
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
