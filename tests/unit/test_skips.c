/* links: lw_supervisor */
/* test_skips.c - skipped calls by the minute: which minute counts, and what a clock may do. */
#include <criterion/criterion.h>

#include "lw_buf.h"
#include "skips.h"

#define NOON 29735280 /* minutes since 1970 */

static struct skips *skips;

static int64_t at(int64_t minute, int64_t second)
{
	return minute * SKIPS_MINUTE + second * 1000000;
}

static void note(int64_t minute, int64_t second, int times)
{
	for (int i = 0; i < times; i++)
		skips_note(&skips, at(minute, second));
}

/* "0:3 -5:1": minutes from the one that is looked at, and how many. */
static void expect(int64_t minute, const char *expected)
{
	uint32_t counts[SKIPS_KEPT];
	LW_AUTO_BUF text = { 0 };
	bool any = skips_list(skips, at(minute, 30), counts);

	for (int i = SKIPS_KEPT - 1; any && i >= 0; i--)
		if (counts[i] > 0)
			lw_buf_printf(&text, "%s%d:%u", text.size > 0 ? " " : "",
				      i - SKIPS_KEPT + 1, counts[i]);
	cr_expect_str_eq(lw_buf_text(&text), expected);
	cr_expect_eq(any, expected[0] != '\0');
}

Test(skips, each_counts_in_its_minute)
{
	expect(NOON, "");
	note(NOON, 0, 2);
	note(NOON, 59, 1);
	expect(NOON, "0:3");
	note(NOON + 1, 0, 1);
	note(NOON + 2, 5, 4);
	expect(NOON + 2, "0:4 -1:1 -2:3");
	cr_expect_eq(skips_from(at(NOON, 30)), at(NOON - 59, 0));
	skips_free(skips);
}

Test(skips, an_hour_is_kept)
{
	for (int64_t minute = 0; minute < 200; minute++)
		note(NOON + minute, 1, minute == 199 ? 1 : 2);
	expect(NOON + 199 + 58, "-58:1 -59:2");
	expect(NOON + 199 + 59, "-59:1");
	expect(NOON + 199 + 60, "");
	skips_free(skips);
}

Test(skips, what_lies_between_has_none)
{
	note(NOON, 0, 1);
	note(NOON + 7, 0, 2);
	expect(NOON + 7, "0:2 -7:1");
	note(NOON + 59, 0, 3);
	expect(NOON + 59, "0:3 -52:2 -59:1");
	note(NOON + 60, 0, 4); /* in the place of the first one */
	expect(NOON + 60, "0:4 -1:3 -53:2");
	note(NOON + 120, 0, 5); /* nothing of it is left */
	expect(NOON + 120, "0:5");
	note(NOON + 100000, 0, 6);
	expect(NOON + 100000, "0:6");
	skips_free(skips);
}

Test(skips, a_clock_that_is_set_back_counts_where_it_is)
{
	note(NOON, 10, 1);
	note(NOON + 5, 0, 2);
	note(NOON + 3, 0, 4);
	expect(NOON + 3, "0:4 -3:1");
	note(NOON + 5, 30, 1);
	note(NOON + 3, 0, 1);
	expect(NOON + 5, "0:3 -2:5 -5:1");
	note(NOON - 54, 0, 7); /* the last minute that is kept */
	expect(NOON + 5, "0:3 -2:5 -5:1 -59:7");
	note(NOON - 55, 0, 8); /* one too far */
	expect(NOON - 55, "0:8");
	expect(NOON + 5, "");
	skips_free(skips);
}

Test(skips, a_machine_that_does_not_know_the_time_has_them_too)
{
	note(0, 0, 1);
	expect(0, "0:1");
	note(3, 0, 2);
	expect(3, "0:2 -3:1");
	skips_note(&skips, -5000000);
	expect(3, "0:2 -3:2");
	note(NOON, 0, 3);
	expect(NOON, "0:3");
	note(1, 0, 4);
	expect(1, "0:4");
	skips_free(skips);
}
