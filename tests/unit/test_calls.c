/* links: lw_supervisor */
/* test_calls.c - the latest distinct calls: the order, the counts, and who leaves. */
#include <criterion/criterion.h>

#include "calls.h"

static struct calls *calls;

static void make(uint64_t call)
{
	calls_note(&calls, (struct lw_key){ .low = call }, &(struct call_note){ .run = call });
}

/* "3x2 1x1": runs, and how often. */
static void expect(const char *expected)
{
	const struct call_note *notes[CALLS_KEPT];
	size_t count = calls_list(calls, notes);
	LW_AUTO_BUF text = { 0 };

	for (size_t i = 0; i < count; i++)
		lw_buf_printf(&text, "%s%llux%llu", i > 0 ? " " : "",
			      (unsigned long long)notes[i]->run,
			      (unsigned long long)notes[i]->count);
	cr_expect_str_eq(lw_buf_text(&text), expected);
}

Test(calls, the_newest_is_first_and_each_is_there_once)
{
	expect("");
	make(1);
	make(2);
	make(3);
	expect("3x1 2x1 1x1");
	make(1);
	make(1);
	make(2);
	expect("2x2 1x3 3x1");
	calls_free(calls);
}

Test(calls, who_was_not_made_for_the_longest_time_leaves)
{
	for (uint64_t call = 1; call <= CALLS_KEPT; call++)
		make(call);
	make(1);
	make(100);
	expect("100x1 1x2 16x1 15x1 14x1 13x1 12x1 11x1 10x1 9x1 8x1 7x1 6x1 5x1 4x1 3x1");
	make(2); /* it is new again */
	expect("2x1 100x1 1x2 16x1 15x1 14x1 13x1 12x1 11x1 10x1 9x1 8x1 7x1 6x1 5x1 4x1");
	calls_free(calls);
}

Test(calls, a_flow_that_makes_the_same_calls_over_and_over_keeps_its_counts)
{
	for (int pass = 0; pass < 10; pass++)
		for (uint64_t call = 1; call <= CALLS_KEPT; call++)
			make(call);
	expect("16x10 15x10 14x10 13x10 12x10 11x10 10x10 9x10 8x10 7x10 6x10 5x10 4x10 3x10 2x10 "
	       "1x10");
	calls_free(calls);
}
