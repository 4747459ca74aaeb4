/* links: lw_common */
/* test_buf.c - bytes that grow. */
#include <criterion/criterion.h>

#include "lw_buf.h"

Test(buf, what_is_added_stays_in_order)
{
	LW_AUTO_BUF buf = { 0 };

	for (int i = 0; i < 10000; i++)
		lw_buf_add(&buf, &(uint8_t){ (uint8_t)i }, 1);
	cr_assert_eq(buf.size, 10000);
	for (int i = 0; i < 10000; i++)
		cr_assert_eq(buf.data[i], (uint8_t)i);
}

Test(buf, nothing_can_be_added)
{
	LW_AUTO_BUF buf = { 0 };

	lw_buf_add(&buf, NULL, 0);
	cr_assert_eq(lw_buf_slice(&buf).size, 0);
	cr_assert_str_eq(lw_buf_text(&buf), "");
}

Test(buf, growing_keeps_the_content_and_at_least_doubles)
{
	LW_AUTO_BUF buf = { 0 };
	size_t room;

	lw_buf_add(&buf, "abc", 3);
	room = buf.room;
	lw_buf_grow(&buf, room);
	cr_assert_geq(buf.room, 2 * room);
	cr_assert_eq(buf.size, 3);
	cr_assert_eq(memcmp(buf.data, "abc", 3), 0);
}

Test(buf, a_size_that_cannot_be_ends_the_process, .exit_code = 1)
{
	LW_AUTO_BUF buf = { 0 };

	lw_buf_grow(&buf, SIZE_MAX - 1);
}

Test(buf, printing_appends_short_and_long_text)
{
	LW_AUTO_BUF buf = { 0 };
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	lw_buf_printf(&buf, "%d,", 7);
	lw_buf_printf(&buf, "%s", text);
	lw_buf_printf(&buf, "%s", "");
	cr_assert_eq(buf.size, 2 + 999);
	cr_assert_eq(strncmp(lw_buf_text(&buf), "7,xxx", 5), 0);
	cr_assert_eq(strlen(lw_buf_text(&buf)), 2 + 999);
}

Test(buf, text_is_ended_without_being_longer)
{
	LW_AUTO_BUF buf = { 0 };

	for (size_t size = 1; size < 300; size++) {
		lw_buf_add(&buf, "y", 1);
		cr_assert_eq(strlen(lw_buf_text(&buf)), size);
		cr_assert_eq(buf.size, size);
	}
}

Test(buf, a_cut_drops_the_first_bytes)
{
	LW_AUTO_BUF buf = { 0 };

	lw_buf_add(&buf, "abcdef", 6);
	lw_buf_cut(&buf, 0);
	cr_assert_eq(buf.size, 6);
	lw_buf_cut(&buf, 4);
	cr_assert_str_eq(lw_buf_text(&buf), "ef");
	lw_buf_cut(&buf, 9);
	cr_assert_eq(buf.size, 0);
}

Test(buf, shrinking_empties_and_gives_back_room)
{
	LW_AUTO_BUF buf = { 0 };

	lw_buf_add(&buf, "a", 1);
	lw_buf_grow(&buf, 100000);
	lw_buf_shrink(&buf, 4096);
	cr_assert(buf.size == 0 && buf.room == 4096);
	lw_buf_shrink(&buf, 8192);
	cr_assert_eq(buf.room, 4096);
	lw_buf_add(&buf, "b", 1);
	lw_buf_shrink(&buf, 0);
	cr_assert(buf.room == 0 && buf.data == NULL);
	lw_buf_add(&buf, "c", 1);
	cr_assert_str_eq(lw_buf_text(&buf), "c");
}
