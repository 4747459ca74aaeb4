/* links: lw_supervisor
 * test_cache.c - the decision table, and an index in which keys collide. */
#include <criterion/criterion.h>
#include <string.h>

#include "app.h"

static struct app app;
static struct work work = { .app = &app };

static void set_up(void)
{
	app.cache = cache_new();
	app.runs = runs_new();
}

static void tear_down(void)
{
	cache_free(app.cache);
	runs_free(app.runs);
}

TestSuite(cache, .init = set_up, .fini = tear_down);

static struct lw_slice text(const char *form)
{
	return (struct lw_slice){ (const uint8_t *)form, strlen(form) };
}

static struct run *remember(const char *form)
{
	struct lw_slice bytes = text(form);
	struct run *run =
		run_new(app.runs, &work, cache_key(app.cache, bytes), bytes, bytes, FROM_FLOW, 1);

	cache_put(app.cache, run);
	run_unref(run); /* the cache has its own reference */
	return run;
}

static struct run *find(const char *form)
{
	return cache_find(app.cache, cache_key(app.cache, text(form)), text(form));
}

static const struct policy cached = { .cache_calls = true, .ttl = CONFIG_NONE };
static const struct policy always = { .cache_calls = false, .ttl = CONFIG_NONE };

struct expectation {
	enum stage stage; /* STAGES_N: never seen */
	enum decision cached, always;
	enum why cached_why, always_why;
};

Test(cache, the_decision_table_is_the_one_of_the_design)
{
	static const struct expectation rows[] = {
		{ STAGES_N, DECISION_RUN, DECISION_RUN, WHY_NEVER_SEEN, WHY_NEVER_SEEN },
		{ STAGE_PENDING, DECISION_JOIN, DECISION_JOIN, WHY_LIVE, WHY_LIVE },
		{ STAGE_RUNNING, DECISION_JOIN, DECISION_JOIN, WHY_LIVE, WHY_LIVE },
		{ STAGE_SUCCEEDED, DECISION_HIT, DECISION_RUN, WHY_SUCCEEDED, WHY_NOT_CACHED },
		{ STAGE_FAILED, DECISION_HELD, DECISION_RUN, WHY_FAILED, WHY_NOT_CACHED },
		{ STAGE_STOPPED, DECISION_HELD, DECISION_RUN, WHY_STOPPED, WHY_NOT_CACHED },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct run run = { .stage = (uint8_t)rows[i].stage };
		const struct run *known = rows[i].stage == STAGES_N ? NULL : &run;
		enum why why;

		cr_expect_eq(cache_decide(known, cached, 10, &why), rows[i].cached, "row %zu", i);
		cr_expect_eq(why, rows[i].cached_why, "row %zu", i);
		cr_expect_eq(cache_decide(known, always, 10, &why), rows[i].always, "row %zu", i);
		cr_expect_eq(why, rows[i].always_why, "row %zu", i);
	}
}

Test(cache, a_success_older_than_its_ttl_runs_again)
{
	struct policy policy = { .cache_calls = true, .ttl = 100 };
	struct run run = { .stage = STAGE_SUCCEEDED, .ended = 1000 };
	enum why why;

	cr_expect_eq(cache_decide(&run, policy, 1100, &why), DECISION_HIT);
	cr_expect_eq(cache_decide(&run, policy, 1101, &why), DECISION_RUN);
	cr_expect_eq(why, WHY_EXPIRED);
	run.stage = STAGE_FAILED;
	cr_expect_eq(cache_decide(&run, policy, 9999, &why), DECISION_HELD,
		     "a failure is held however old");
}

Test(cache, calls_whose_keys_collide_are_told_apart_by_their_whole_form)
{
	struct run *one, *other;

	cache_force_key(app.cache, (struct lw_key){ 7, 7 });
	one = remember("the first call");
	cr_expect_null(find("another call"),
		       "a collision is not a hit: the second call still runs");
	other = remember("another call");
	cr_expect_eq(find("the first call"), one);
	cr_expect_eq(find("another call"), other);
	cr_expect_eq(cache_count(app.cache), 2u);
	cache_remove(app.cache, one);
	cr_expect_null(find("the first call"));
	cr_expect_eq(find("another call"), other, "closing the gap keeps the other one findable");
}

Test(cache, a_new_run_of_a_call_takes_the_place_of_the_old_one)
{
	struct run *old = run_ref(remember("call"));
	struct run *fresh = remember("call");

	cr_expect_eq(find("call"), fresh);
	cr_expect_eq(cache_count(app.cache), 1u);
	cr_expect_not(old->remembered);
	cache_remove(app.cache, old);
	cr_expect_eq(find("call"), fresh, "removing a run that is not remembered does nothing");
	run_unref(old);
}

#define MANY 50000 /* the table is one of huge pages then */

Test(cache, many_calls_are_found_and_forgotten_one_by_one)
{
	char form[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(form, sizeof(form), "call %d", i);
		remember(form);
	}
	for (int i = 0; i < MANY; i += 2) {
		snprintf(form, sizeof(form), "call %d", i);
		cache_remove(app.cache, find(form));
	}
	for (int i = 0; i < MANY; i++) {
		struct run *run;

		snprintf(form, sizeof(form), "call %d", i);
		run = find(form);
		cr_expect_eq(run != NULL, i % 2 == 1, "call %d", i);
		cr_expect(run == NULL || memcmp(run->form, form, strlen(form)) == 0);
	}
	cr_expect_eq(cache_count(app.cache), MANY / 2);
}

Test(cache, secrets_of_two_stores_differ)
{
	struct cache *other = cache_new();
	struct lw_key a = cache_key(app.cache, text("call"));
	struct lw_key b = cache_key(other, text("call"));

	cr_expect(a.low != b.low && a.high != b.high);
	cache_free(other);
}
