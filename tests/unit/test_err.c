/* links: lw_common */
/* test_err.c - a code and one sentence. */
#include <criterion/criterion.h>
#include <errno.h>

#include "lw_err.h"
#include "lw_value.h"

Test(err, a_sentence_is_written_and_the_code_returned)
{
	struct lw_err err = { 0 };

	cr_assert_eq(lw_err_set(&err, -ENOENT, "no work '%s'", "trian"), -ENOENT);
	cr_assert_eq(err.code, -ENOENT);
	cr_assert_str_eq(err.text, "no work 'trian'");
}

Test(err, nobody_has_to_listen)
{
	cr_assert_eq(lw_err_set(NULL, -EPERM, "x"), -EPERM);
	cr_assert_eq(lw_err_sys(NULL, -EPERM, "x"), -EPERM);
	cr_assert_lt(lw_err_within(NULL, "x"), 0);
}

Test(err, the_system_says_why)
{
	struct lw_err err = { 0 };

	cr_assert_eq(lw_err_sys(&err, -ENOENT, "cannot open '%s'", "x"), -ENOENT);
	cr_assert_str_eq(err.text, "cannot open 'x': No such file or directory");
}

Test(err, a_prefix_goes_before_what_is_there)
{
	struct lw_err err = { 0 };

	lw_err_set(&err, -EINVAL, "not a number");
	cr_assert_eq(lw_err_within(&err, "app.conf:%d", 3), -EINVAL);
	cr_assert_str_eq(err.text, "app.conf:3: not a number");
}

Test(err, a_sentence_may_quote_the_one_before)
{
	struct lw_err err = { 0 };

	lw_err_set(&err, -EINVAL, "inner");
	lw_err_set(&err, -EIO, "outer (%s)", err.text);
	cr_assert_str_eq(err.text, "outer (inner)");
}

Test(err, a_long_sentence_is_cut_between_characters)
{
	char text[1001] = "";
	struct lw_err err = { 0 };

	for (size_t before = 0; before < 4; before++) {
		memset(text, 'a', before);
		for (size_t at = before; at + 3 < sizeof(text); at += 3)
			memcpy(text + at, "\xe2\x82\xac", 4);
		lw_err_set(&err, -EINVAL, "%s", text);
		cr_assert_gt(strlen(err.text), sizeof(err.text) - 4);
		cr_assert(lw_text_is_utf8(err.text, strlen(err.text)));
		lw_err_within(&err, "%s", text);
		lw_err_sys(&err, -EINVAL, "%s", text);
		cr_assert(lw_text_is_utf8(err.text, strlen(err.text)));
	}
}
