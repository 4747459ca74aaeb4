/* links: lw_supervisor
 * test_cache.c - the decision table, an index in which keys collide, and memos whose long forms are
 * dropped and read back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "config.h"

static const uint8_t secret[LW_KEY_SECRET] = "a secret of this store's own";

/* ---- what the owner of a cache does: a record of forms, by run ----------------------------------- */

#define RECORDS 64

static struct record {
	char *form; /* NULL: it cannot be read */
	bool stable;
} records[RECORDS];
static uint64_t last_run;
static int reads;
static char left[100]; /* runs of the memos that had to leave, in order */

static int read_form(void *context, uint64_t run, struct lw_buf *out)
{
	cr_assert_eq(context, records);
	reads++;
	if (run >= RECORDS || records[run].form == NULL)
		return -EIO;
	lw_buf_add(out, records[run].form, strlen(records[run].form));
	return 0;
}

static bool on_record(void *context, uint64_t run)
{
	cr_assert_eq(context, records);
	return run < RECORDS && records[run].stable;
}

static void on_left(void *context, const struct memo *memo)
{
	size_t n = strlen(left);

	cr_assert_eq(context, records);
	snprintf(left + n, sizeof(left) - n, "%llu ", (unsigned long long)memo->run);
}

static struct cache *cache;

static void open_cache(uint64_t form_bytes, uint64_t most)
{
	const struct cache_options options = {
		.secret = secret,
		.form_bytes = form_bytes,
		.most = most,
		.context = records,
		.read_form = read_form,
		.on_record = on_record,
		.left = on_left,
	};

	cache_free(cache);
	cache = cache_new(&options);
}

static void set_up(void)
{
	open_cache(1 << 20, 0);
}

static void tear_down(void)
{
	cache_free(cache);
	for (size_t i = 0; i < RECORDS; i++)
		lw_free(records[i].form);
}

TestSuite(cache, .init = set_up, .fini = tear_down);

static struct lw_slice text(const char *form)
{
	return (struct lw_slice){ (const uint8_t *)form, strlen(form) };
}

/* A run of that call, over and on record. */
static struct memo *remember(const char *form)
{
	struct memo *memo = cache_put(cache, cache_key(cache, text(form)), text(form), ++last_run);

	memo->stage = STAGE_SUCCEEDED;
	if (last_run < RECORDS)
		records[last_run] = (struct record){ lw_strdup(form), true };
	return memo;
}

static struct memo *find(const char *form)
{
	return cache_find(cache, cache_key(cache, text(form)), text(form));
}

#define LONG 200 /* bytes of a form that does not lie in its memo */

/* A long form; those of one length differ in their last bytes alone. In one of four buffers. */
static const char *long_form(int n)
{
	static char forms[4][LONG + 1];
	static unsigned turn;
	char *form = forms[turn++ % 4];

	memset(form, 'x', LONG);
	snprintf(form + LONG - 6, 7, "%06d", n);
	return form;
}

/* ---- the decision ---------------------------------------------------------------------------------- */

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
		struct memo memo = { .stage = (uint8_t)rows[i].stage };
		const struct memo *known = rows[i].stage == STAGES_N ? NULL : &memo;
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
	struct memo memo = { .stage = STAGE_SUCCEEDED, .ended = 1000 };
	enum why why;

	cr_expect_eq(cache_decide(&memo, policy, 1100, &why), DECISION_HIT);
	cr_expect_eq(cache_decide(&memo, policy, 1101, &why), DECISION_RUN);
	cr_expect_eq(why, WHY_EXPIRED);
	memo.stage = STAGE_FAILED;
	cr_expect_eq(cache_decide(&memo, policy, 9999, &why), DECISION_HELD,
		     "a failure is held however old");
}

/* ---- the index --------------------------------------------------------------------------------------- */

Test(cache, a_memo_is_found_with_what_its_owner_wrote_into_it)
{
	struct memo *memo = remember("call");

	cr_expect_eq(memo->run, last_run);
	memo->took = 1.5f;
	memo->undelivered = true;
	cr_expect_eq(find("call"), memo);
	cr_expect_null(find("cal"), "the beginning of a form is another one");
	cr_expect_null(find("call "));
	cr_expect_null(find(""));
	cr_expect_eq(cache_count(cache), 1u);
	cache_remove(cache, memo);
	cache_remove(cache, NULL);
	cr_expect_null(find("call"));
	cr_expect_eq(cache_count(cache), 0u);
}

Test(cache, calls_whose_keys_collide_are_told_apart_by_their_whole_form)
{
	struct memo *one, *other;

	cache_force_key(cache, (struct lw_key){ 7, 7 });
	one = remember("the first call");
	cr_expect_null(find("another_calls!"),
		       "a collision is not a hit: the second call still runs");
	other = remember("another_calls!");
	cr_expect_eq(find("the first call"), one);
	cr_expect_eq(find("another_calls!"), other);
	cr_expect_eq(cache_count(cache), 2u);
	cache_remove(cache, one);
	cr_expect_null(find("the first call"));
	cr_expect_eq(find("another_calls!"), other, "closing the gap keeps the other one findable");
}

Test(cache, long_calls_whose_keys_collide_are_told_apart_also_when_they_are_read_back)
{
	struct memo *memos[20];

	open_cache(2 * LONG, 0);
	cache_force_key(cache, (struct lw_key){ 7, 7 });
	for (int i = 0; i < 20; i++)
		memos[i] = i % 4 == 3 ? remember(&"short"[i / 4]) : remember(long_form(i));
	for (int i = 0; i < 20; i++)
		cr_expect_eq(i % 4 == 3 ? find(&"short"[i / 4]) : find(long_form(i)), memos[i],
			     "call %d", i);
	cr_expect_null(find(long_form(100)));
	cr_expect_gt(reads, 0);
	for (int i = 0; i < 20; i += 2)
		cache_remove(cache, memos[i]);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(i % 4 == 3 ? find(&"short"[i / 4]) : find(long_form(i)),
			     i % 2 == 0 ? NULL : memos[i], "call %d", i);
}

#define MANY 50000 /* the table is one of huge pages then */

static const char *many_form(int i)
{
	static char form[32];

	if (i % 8 == 0)
		return long_form(i);
	snprintf(form, sizeof(form), "call %d", i);
	return form;
}

Test(cache, many_calls_are_found_and_forgotten_one_by_one)
{
	open_cache(UINT64_MAX, 0);
	for (int i = 0; i < MANY; i++)
		remember(many_form(i))->took = (float)i;
	for (int i = 0; i < MANY; i += 2)
		cache_remove(cache, find(many_form(i)));
	for (int i = 0; i < MANY; i++) {
		const struct memo *memo = find(many_form(i));

		cr_expect_eq(memo != NULL, i % 2 == 1, "call %d", i);
		cr_expect(memo == NULL || memo->took == (float)i, "call %d", i);
	}
	cr_expect_eq(cache_count(cache), MANY / 2);
	cr_expect_eq(cache_form_bytes(cache), 0u, "the long ones were all among the forgotten");
}

Test(cache, room_that_was_made_before_changes_nothing_else)
{
	remember("before");
	cache_expect(cache, MANY);
	cache_expect(cache, 1);
	cr_expect_not_null(find("before"));
	cr_expect_null(find("another"));
	cr_expect_eq(cache_count(cache), 1u);
}

Test(cache, secrets_of_two_stores_differ)
{
	static const uint8_t other_secret[LW_KEY_SECRET] = "another one";
	const struct cache_options options = { .secret = other_secret };
	struct cache *other = cache_new(&options);
	struct lw_key a = cache_key(cache, text("call"));
	struct lw_key b = cache_key(other, text("call"));

	cr_expect(a.low != b.low && a.high != b.high);
	cache_free(other);
}

/* ---- long forms -------------------------------------------------------------------------------------- */

Test(cache, a_form_of_64_bytes_lies_in_its_memo_and_a_longer_one_does_not)
{
	char form[MEMO_SHORT + 2];

	memset(form, 'x', sizeof(form));
	form[MEMO_SHORT] = '\0';
	remember(form);
	cr_expect_eq(cache_form_bytes(cache), 0u);
	form[MEMO_SHORT] = 'x';
	form[MEMO_SHORT + 1] = '\0';
	remember(form);
	cr_expect_eq(cache_form_bytes(cache), (uint64_t)MEMO_SHORT + 1);
	cache_remove(cache, find(form));
	cr_expect_eq(cache_form_bytes(cache), 0u);
}

Test(cache, long_forms_beyond_their_room_are_dropped_and_read_back_when_asked_for)
{
	struct memo *first;

	open_cache(3 * LONG, 0);
	first = remember(long_form(0));
	for (int i = 1; i < 10; i++)
		remember(long_form(i));
	cr_expect_eq(cache_form_bytes(cache), 3u * LONG);
	cr_expect_eq(reads, 0);
	cr_expect_eq(find(long_form(0)), first);
	cr_expect_eq(reads, 1);
	cr_expect_eq(find(long_form(0)), first);
	cr_expect_eq(reads, 1, "it is in memory again");
	cr_expect_eq(cache_form_bytes(cache), 3u * LONG, "in place of another one");
	cr_expect_not_null(find(long_form(9)));
	cr_expect_eq(reads, 1, "not of the one that was used last");
	cr_expect_null(find(long_form(10)));
	cr_expect_eq(reads, 1, "a call whose key is unknown costs no reading");
}

Test(cache, a_form_larger_than_all_the_room_is_kept_while_it_is_the_newest)
{
	open_cache(LONG / 2, 0);
	remember(long_form(1));
	cr_expect_not_null(find(long_form(1)));
	cr_expect_eq(reads, 0);
	remember(long_form(2));
	cr_expect_eq(cache_form_bytes(cache), (uint64_t)LONG);
	cr_expect_not_null(find(long_form(1)));
	cr_expect_eq(reads, 1);
}

/* The index says that the key is that of a remembered call; what that call was nobody knows. */
Test(cache, a_form_that_cannot_be_read_back_is_a_miss_and_never_a_wrong_hit)
{
	open_cache(0, 0);
	remember(long_form(1));
	remember(long_form(2));
	lw_free(records[1].form);
	records[1].form = NULL;
	cr_expect_null(find(long_form(1)));
	records[1].form = lw_strdup(long_form(3)); /* of that length, and another call */
	cr_expect_null(find(long_form(1)));
	lw_free(records[1].form);
	records[1].form = lw_strdup("shorter");
	cr_expect_null(find(long_form(1)));
	lw_free(records[1].form);
	records[1].form = lw_strdup("");
	cr_expect_null(find(long_form(1)));
	cr_expect_not_null(find(long_form(2)), "others are found as ever");
	cr_expect_eq(cache_count(cache), 2u);
}

Test(cache, what_is_not_on_record_yet_is_not_dropped)
{
	open_cache(LONG, 0);
	for (int i = 0; i < 5; i++) {
		records[last_run + 1].stable = false;
		cache_put(cache, cache_key(cache, text(long_form(i))), text(long_form(i)),
			  ++last_run);
	}
	cr_expect_eq(cache_form_bytes(cache), 5u * LONG);
	for (int i = 0; i < 5; i++)
		cr_expect_not_null(find(long_form(i)));
	cr_expect_eq(reads, 0);
	for (size_t i = 0; i < RECORDS; i++)
		records[i].stable = true;
	remember(long_form(5));
	cr_expect_eq(cache_form_bytes(cache), (uint64_t)LONG, "it is now");
}

/* ---- at most so many ------------------------------------------------------------------------------------ */

Test(cache, beyond_the_most_the_one_that_was_used_longest_ago_leaves)
{
	open_cache(1 << 20, 3);
	remember("a");
	remember("b");
	remember(long_form(3));
	find("a"); /* used */
	remember("d");
	cr_expect_str_eq(left, "2 ");
	find(long_form(3));
	remember("e");
	remember("f");
	cr_expect_str_eq(left, "2 1 4 ");
	cr_expect_eq(cache_count(cache), 3u);
	cr_expect_null(find("a"));
	cr_expect_not_null(find(long_form(3)));
	cr_expect_not_null(find("e"));
	cr_expect_not_null(find("f"));
	cache_remove(cache, find("e"));
	remember("g");
	cr_expect_str_eq(left, "2 1 4 ", "who was forgotten made room");
}

Test(cache, a_call_in_flight_never_leaves)
{
	char form[24];

	open_cache(1 << 20, 3);
	for (int i = 0; i < 200; i++) {
		snprintf(form, sizeof(form), "live %d", i);
		remember(form)->stage = i % 2 == 0 ? STAGE_PENDING : STAGE_RUNNING;
	}
	cr_expect_eq(cache_count(cache), 200u, "more than the most, while they live");
	cr_expect_str_eq(left, "");
	for (int i = 0; i < 200; i++) {
		snprintf(form, sizeof(form), "live %d", i);
		cr_expect_not_null(find(form), "%s", form);
	}
	find("live 7")->stage = STAGE_SUCCEEDED; /* and used just now */
	for (int i = 0; i < 10; i++) {
		snprintf(form, sizeof(form), "more %d", i);
		remember(form)->stage = STAGE_PENDING;
	}
	cr_expect_str_eq(left, "8 ", "the only one that may");
}

/* ---- sweeping ---------------------------------------------------------------------------------------------- */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFG";

struct sweep {
	int seen[RECORDS];
	uint64_t every; /* a run with a number that this divides leaves; 0: none */
};

static bool count_and_choose(void *context, struct memo *memo)
{
	struct sweep *sweep = context;

	sweep->seen[memo->run]++;
	return sweep->every != 0 && memo->run % sweep->every == 0;
}

static void expect_sweep(uint64_t every)
{
	struct sweep sweep = { .every = every };
	uint64_t first = last_run;

	for (int i = 0; i < 30; i++)
		remember(i % 2 == 0 ? long_form(i) : &letters[i]);
	cache_sweep(cache, count_and_choose, &sweep);
	for (uint64_t run = first + 1; run <= last_run; run++)
		cr_expect_eq(sweep.seen[run], 1, "run %d", (int)run);
	for (int i = 0; i < 30; i++) {
		uint64_t run = first + 1 + (uint64_t)i;
		struct memo *memo = find(i % 2 == 0 ? long_form(i) : &letters[i]);

		cr_expect_eq(memo != NULL, every == 0 || run % every != 0, "run %d", (int)run);
		cr_expect(memo == NULL || memo->run == run);
		cache_remove(cache, memo);
	}
	cr_expect_eq(cache_count(cache), 0u);
	cr_expect_eq(cache_form_bytes(cache), 0u);
}

Test(cache, a_sweep_sees_each_memo_once_and_takes_out_those_that_are_to_leave)
{
	expect_sweep(3);
	expect_sweep(0);
}

Test(cache, a_sweep_takes_all)
{
	open_cache(LONG, 100);
	expect_sweep(1);
	cr_expect_str_eq(left, "", "nobody had to make room");
}

Test(cache, a_sweep_among_colliding_keys_leaves_the_rest_findable)
{
	cache_force_key(cache, (struct lw_key){ 62, 7 }); /* they run over the table's end */
	expect_sweep(2);
}
