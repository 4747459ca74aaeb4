/* links: lw_common */
/* test_base.c - memory, ownership, the way out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lw_base.h"
#include "lw_log.h"

Test(base, memory_comes_zeroed_and_never_null)
{
	unsigned char *block = lw_alloc(100);
	void *none = lw_alloc(0);

	for (int i = 0; i < 100; i++)
		cr_assert_eq(block[i], 0);
	cr_assert_not_null(none);
	block = lw_realloc(block, 0);
	cr_assert_not_null(block);
	lw_free(block);
	lw_free(none);
	lw_free(NULL);
}

Test(base, copies_of_text_end_in_nul)
{
	LW_AUTO(lw_free) char *part = lw_strndup("abcdef", 3), *none = lw_strndup(NULL, 0);
	LW_AUTO(lw_free) char *whole = lw_strdup("ab");

	cr_assert_str_eq(part, "abc");
	cr_assert_str_eq(none, "");
	cr_assert_str_eq(whole, "ab");
	cr_assert_null(lw_strdup(NULL));
}

Test(base, format_returns_what_printf_would_print)
{
	LW_AUTO(lw_free) char *text = lw_format("%s-%d", "a", 7);

	cr_assert_str_eq(text, "a-7");
}

Test(base, what_is_taken_is_not_freed)
{
	char *kept;

	{
		LW_AUTO(lw_free) char *local = lw_strdup("kept");

		kept = LW_TAKE(local);
		cr_assert_null(local);
	}
	cr_assert_str_eq(kept, "kept");
	lw_free(kept);
}

Test(base, a_descriptor_closes_with_its_scope_and_errno_stays)
{
	int number;

	{
		LW_AUTO(lw_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		cr_assert_geq(fd, 0);
		number = fd;
		errno = EPERM;
	}
	cr_assert_eq(errno, EPERM);
	cr_assert_eq(fcntl(number, F_GETFD), -1);
	errno = EPERM;
	lw_close(-1);
	lw_close(number); /* fails; nobody hears of it */
	cr_assert_eq(errno, EPERM);
}

Test(base, an_owner_is_found_from_its_member)
{
	struct outer {
		int before;
		long member;
	} outer = { 1, 2 };

	cr_assert_eq(LW_OWNER(&outer.member, struct outer, member), &outer);
}

Test(base, a_cut_never_tears_a_character)
{
	const char text[] = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z"; /* of 1 2 3 4 1 bytes */
	static const size_t cuts[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };

	for (size_t most = 0; most < LW_COUNT(cuts); most++)
		cr_assert_eq(lw_utf8_cut(text, sizeof(text) - 1, most), cuts[most], "%zu", most);
	cr_assert_eq(lw_utf8_cut("\x80\x80\x80\x80\x80\x80\x80", 7, 5), 5);
}

static void say(void *context, enum lw_log_level level, const char *line)
{
	const char *wanted = context;

	if (level != LW_LOG_ERROR || strcmp(line, wanted) != 0)
		_exit(7);
}

Test(base, fatal_says_why_and_ends_with_status_one, .exit_code = 1)
{
	lw_log_to(say, (void *)(uintptr_t) "cannot go on: 3");
	lw_fatal("cannot go on: %d", 3);
}

static void say_and_fail(void *context, enum lw_log_level level, const char *line)
{
	(void)context;
	(void)level;
	lw_fatal("again: %s", line);
}

Test(base, fatal_within_the_sink_of_fatal_ends_too, .exit_code = 1)
{
	lw_log_to(say_and_fail, NULL);
	lw_fatal("once");
}
