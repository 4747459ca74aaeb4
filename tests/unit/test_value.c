/* links: lw_common */
/* test_value.c - the walk, its checks, UTF-8, the writers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "lw_value.h"

#define BYTES(text) ((struct lw_slice){ (const uint8_t *)(text), sizeof(text) - 1 })

static struct lw_item read_whole(const struct lw_buf *buf)
{
	const uint8_t *at = buf->data, *end = at + buf->size;
	struct lw_item item;

	cr_assert_eq(lw_value_check(lw_buf_slice(buf), NULL), 0);
	cr_assert_eq(lw_item_read(&at, end, &item), 0);
	cr_assert(at == end);
	return item;
}

Test(value, integers_survive_being_written_and_read)
{
	static const int64_t ints[] = { 0,
					1,
					127,
					128,
					255,
					256,
					65535,
					65536,
					INT32_MAX,
					UINT32_MAX,
					(int64_t)UINT32_MAX + 1,
					INT64_MAX,
					-1,
					-32,
					-33,
					-128,
					-129,
					-32768,
					-32769,
					INT32_MIN,
					(int64_t)INT32_MIN - 1,
					INT64_MIN };

	for (size_t i = 0; i < LW_COUNT(ints); i++) {
		LW_AUTO_BUF out = { 0 };
		struct lw_item item;

		lw_put_int(&out, ints[i]);
		item = read_whole(&out);
		cr_assert_eq(item.type, LW_INT);
		cr_assert_eq(item.i, ints[i]);
	}
}

Test(value, only_integers_above_int64_are_of_the_unsigned_type)
{
	LW_AUTO_BUF out = { 0 };

	lw_put_uint(&out, INT64_MAX);
	cr_assert_eq(read_whole(&out).type, LW_INT);
	out.size = 0;
	lw_put_uint(&out, UINT64_MAX);
	cr_assert_eq(read_whole(&out).type, LW_UINT);
	cr_assert_eq(read_whole(&out).u, UINT64_MAX);
}

Test(value, leaves_of_other_kinds_survive)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_item item;

	lw_put_nil(&out);
	cr_assert_eq(read_whole(&out).type, LW_NIL);
	for (int truth = 0; truth < 2; truth++) {
		out.size = 0;
		lw_put_truth(&out, truth == 1);
		item = read_whole(&out);
		cr_assert(item.type == LW_TRUTH && item.truth == (truth == 1));
	}
	out.size = 0;
	lw_put_float(&out, -0.1);
	item = read_whole(&out);
	cr_assert(item.type == LW_FLOAT && item.f == -0.1);
}

Test(value, text_and_bytes_of_every_head_survive)
{
	static const size_t sizes[] = { 0, 1, 31, 32, 255, 256, 65535, 65536 };
	static char text[65536];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < LW_COUNT(sizes); i++) {
		LW_AUTO_BUF out = { 0 };
		struct lw_item item;

		lw_put_text(&out, text, sizes[i]);
		item = read_whole(&out);
		cr_assert(item.type == LW_TEXT && item.s.size == sizes[i]);
		cr_assert_eq(memcmp(item.s.data, text, sizes[i]), 0);
		out.size = 0;
		lw_put_bytes(&out, text, sizes[i]);
		item = read_whole(&out);
		cr_assert(item.type == LW_BYTES && item.s.size == sizes[i]);
	}
}

Test(value, a_c_string_is_text_if_it_is_utf8_and_bytes_if_not)
{
	LW_AUTO_BUF out = { 0 };

	lw_put_cstr(&out, "gr\xc3\xbc\xc3\x9f");
	cr_assert_eq(read_whole(&out).type, LW_TEXT);
	out.size = 0;
	lw_put_cstr(&out, "gr\xfc");
	cr_assert_eq(read_whole(&out).type, LW_BYTES);
}

static void assert_refused(struct lw_slice value, int code, const char *sentence)
{
	struct lw_err err = { 0 };

	cr_assert_eq(lw_value_check(value, &err), code, "%s", err.text);
	cr_assert_not_null(strstr(err.text, sentence), "%s", err.text);
}

Test(value, extension_types_and_the_unused_byte_are_refused)
{
	static const uint8_t heads[] = { 0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8 };
	uint8_t bytes[32] = { 0 };

	for (size_t i = 0; i < LW_COUNT(heads); i++) {
		bytes[0] = heads[i];
		for (size_t size = 1; size <= sizeof(bytes); size++)
			assert_refused((struct lw_slice){ bytes, size }, -EBADMSG, "no value");
	}
}

Test(value, lengths_are_not_believed_beyond_the_end)
{
	assert_refused(BYTES("\xdd\x00\xf4\x24\x00"), -EBADMSG, "0xdd"); /* sixteen million */
	assert_refused(BYTES("\xdd\xff\xff\xff\xff"), -EBADMSG, "0xdd");
	assert_refused(BYTES("\xdf\xff\xff\xff\xff"), -EBADMSG, "0xdf");
	assert_refused(BYTES("\xc6\x40\x00\x00\x00xyz"), -EBADMSG, "0xc6");
	assert_refused(BYTES("\xdb\xff\xff\xff\xffxyz"), -EBADMSG, "0xdb");
	assert_refused(BYTES("\xa4xyz"), -EBADMSG, "0xa4");
	assert_refused(BYTES("\x82\xc0\xc0\xc0"), -EBADMSG, "0x82");
	assert_refused(BYTES(""), -EBADMSG, "too early");
	assert_refused((struct lw_slice){ NULL, 0 }, -EBADMSG, "too early");
	assert_refused(BYTES("\x92\xc0"), -EBADMSG, "0x92");
	assert_refused(BYTES("\x92\x91\xc0"), -EBADMSG, "too early");
}

Test(value, bytes_behind_the_value_are_refused)
{
	size_t size;

	assert_refused(BYTES("\x91\xc0\xc0\xc0"), -EBADMSG, "2 bytes behind the value");
	cr_assert_eq(lw_value_check_first(BYTES("\x91\xc0\xc0\xc0"), &size, NULL), 0);
	cr_assert_eq(size, 2);
}

Test(value, thirty_two_levels_pass_and_thirty_three_are_refused)
{
	LW_AUTO_BUF lists = { 0 }, maps = { 0 };

	for (int i = 0; i < LW_DEPTH_MAX; i++) {
		lw_put_list(&lists, i < LW_DEPTH_MAX - 1);
		lw_put_map(&maps, 1);
		lw_put_nil(&maps);
	}
	lw_put_nil(&maps);
	cr_assert_eq(lw_value_check(lw_buf_slice(&lists), NULL), 0);
	cr_assert_eq(lw_value_check(lw_buf_slice(&maps), NULL), 0);
	lists.data[lists.size - 1] = 0x91;
	lw_put_list(&lists, 0);
	maps.data[maps.size - 1] = 0x80;
	assert_refused(lw_buf_slice(&lists), -E2BIG, "nested more than 32 deep");
	assert_refused(lw_buf_slice(&maps), -E2BIG, "nested more than 32 deep");
}

Test(value, a_megabyte_of_open_lists_is_refused_at_the_bound)
{
	LW_AUTO_BUF out = { 0 };

	for (int i = 0; i < 1 << 20; i++)
		lw_put_list(&out, 1);
	assert_refused(lw_buf_slice(&out), -E2BIG, "nested more than 32 deep");
}

static void add_nils(struct lw_buf *out, uint32_t n)
{
	lw_put_list(out, n);
	for (uint32_t i = 0; i < n; i++)
		lw_put_nil(out);
}

Test(value, the_bound_of_items_counts_all_of_them)
{
	LW_AUTO_BUF out = { 0 };

	add_nils(&out, LW_ITEMS_MAX - 1);
	cr_assert_eq(lw_value_check(lw_buf_slice(&out), NULL), 0);
	out.size = 0;
	add_nils(&out, LW_ITEMS_MAX);
	assert_refused(lw_buf_slice(&out), -E2BIG, "more than 1048576 values");
	out.size = 0;
	lw_put_list(&out, 2);
	add_nils(&out, LW_ITEMS_MAX / 2);
	add_nils(&out, LW_ITEMS_MAX / 2);
	assert_refused(lw_buf_slice(&out), -E2BIG, "more than 1048576 values");
}

Test(value, the_bound_of_size_is_that_of_one_value)
{
	LW_AUTO_BUF out = { 0 };
	char *text = lw_alloc(LW_VALUE_MAX);
	size_t size;

	lw_put_bytes(&out, text, LW_VALUE_MAX - 5);
	cr_assert_eq(lw_value_check(lw_buf_slice(&out), NULL), 0);
	out.size = 0;
	lw_put_bytes(&out, text, LW_VALUE_MAX - 4);
	assert_refused(lw_buf_slice(&out), -E2BIG, "more than 16777216");
	cr_assert_eq(lw_value_check_first(lw_buf_slice(&out), &size, NULL), -E2BIG);
	lw_free(text);
}

Test(value, text_that_is_not_utf8_is_refused_wherever_it_lies)
{
	assert_refused(BYTES("\xa1\xff"), -EBADMSG, "not UTF-8");
	assert_refused(BYTES("\x91\xa2\xc3\x28"), -EBADMSG, "not UTF-8");
	assert_refused(BYTES("\x81\xa1\x80\xc0"), -EBADMSG, "not UTF-8");
	assert_refused(BYTES("\xd9\x01\xfe"), -EBADMSG, "not UTF-8");
	cr_assert_eq(lw_value_check(BYTES("\xc4\x01\xff"), NULL), 0);
}

Test(value, utf8_is_what_the_standard_says)
{
	static const char *const good[] = { "",
					    "a",
					    "\x7f",
					    "\xc2\x80",
					    "\xdf\xbf",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xee\x80\x80",
					    "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80",
					   "\xbf",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xc2",
					   "\xe0\x9f\xbf",
					   "\xed\xa0\x80",
					   "\xed\xbf\xbf",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xff",
					   "\xe2\x82",
					   "\xe2\x82g",
					   "\xf0\x9f\x98",
					   "\xc2\xc2\x80" };

	for (size_t i = 0; i < LW_COUNT(good); i++)
		cr_assert(lw_text_is_utf8(good[i], strlen(good[i])), "good %zu", i);
	for (size_t i = 0; i < LW_COUNT(bad); i++)
		cr_assert_not(lw_text_is_utf8(bad[i], strlen(bad[i])), "bad %zu", i);
}

Test(value, a_bad_byte_is_found_at_every_place_of_a_long_text)
{
	char text[200];

	for (size_t size = 1; size <= sizeof(text); size++) {
		for (size_t at = 0; at < size; at++) {
			memset(text, 'a', sizeof(text));
			cr_assert(lw_text_is_utf8(text, size));
			text[at] = (char)0xff;
			cr_assert_not(lw_text_is_utf8(text, size));
		}
	}
}

Test(value, cleaning_replaces_only_what_is_no_character)
{
	LW_AUTO_BUF out = { 0 };

	lw_text_clean("a\xff\xc3\xbc\xc3(\xe2\x82", 9, &out);
	cr_assert_str_eq(lw_buf_text(&out), "a?\xc3\xbc?(??");
}

Test(value, the_size_of_a_value_ends_where_the_next_begins)
{
	struct lw_slice all = BYTES("\x82\xa1"
				    "a\x92\x01\x02\xa1"
				    "b\xc0\x05");

	cr_assert_eq(lw_value_size(all.data, all.data + all.size), all.size - 1);
}

Test(value, a_map_gives_what_lies_under_a_name)
{
	struct lw_slice map = BYTES("\x84\x01\xa1n\x92\xa1"
				    "a\x02\x03\xa2"
				    "ab\x91\x04\xa1"
				    "a\x05");
	struct lw_slice value;

	cr_assert(lw_map_get(map, "ab", &value));
	cr_assert(value.size == 2 && memcmp(value.data, "\x91\x04", 2) == 0);
	cr_assert(lw_map_get(map, "a", &value));
	cr_assert(value.size == 1 && value.data[0] == 5);
	cr_assert_not(lw_map_get(map, "n", &value));
	cr_assert_not(lw_map_get(map, "", &value));
	cr_assert_not(lw_map_get((struct lw_slice){ NULL, 0 }, "a", &value));
	cr_assert_not(lw_map_get(BYTES("\x91\xa1"
				       "a"),
				 "a", &value));
}

/* All strings of up to three bytes: the walk ends within them or refuses. The copy on the
 * heap lets the address sanitizer see a step too far. */
Test(value, no_short_string_of_bytes_leads_the_walk_astray)
{
	size_t passed = 0, size;

	for (uint32_t u = 0; u < 1u << 24; u += 7) {
		uint8_t *bytes = malloc(3);

		memcpy(bytes, &u, 3);
		if (lw_value_check_first((struct lw_slice){ bytes, 3 }, &size, NULL) == 0) {
			cr_assert(size >= 1 && size <= 3);
			cr_assert_eq(lw_value_size(bytes, bytes + 3), size);
			passed++;
		}
		free(bytes);
	}
	cr_assert_gt(passed, 1000);
}

Test(value, floats_print_short_and_read_back)
{
	static const struct {
		double f;
		const char *text;
	} rows[] = { { 0.1, "0.1" },
		     { 1.0, "1.0" },
		     { -0.0, "-0.0" },
		     { -3.0, "-3.0" },
		     { 1e300, "1e+300" },
		     { 1e15, "1e+15" },
		     { 123456789012345.0, "123456789012345.0" },
		     { 1.0 / 3, "0.3333333333333333" },
		     { 5e-324, NULL },
		     { -1.5, "-1.5" },
		     { 2.0 / 3, NULL } };
	char text[LW_FLOAT_TEXT];

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		lw_float_print(rows[i].f, text);
		cr_assert_eq(strtod(text, NULL), rows[i].f, "%s", text);
		if (rows[i].text != NULL)
			cr_assert_str_eq(text, rows[i].text);
	}
	lw_float_print(-INFINITY, text);
	cr_assert_str_eq(text, "-inf");
}

Test(value, a_tree_is_printed_as_jansson_does_but_with_the_shortest_numbers)
{
	static const struct {
		const char *json, *text;
	} rows[] = {
		{ "0.1", "0.1" },
		{ "1.1", "1.1" },
		{ "1e300", "1e+300" },
		{ "2.0", "2.0" },
		{ "12345678901", "12345678901" },
		{ "[]", "[]" },
		{ "{}", "{}" },
		{ "[1,[2,{}],null,true,false,\"a\\\"b\\n\"]",
		  "[1,[2,{}],null,true,false,\"a\\\"b\\n\"]" },
		{ "{\"b\": 0.30000000000000004, \"a\": {\"x\": []}}",
		  "{\"b\":0.30000000000000004,\"a\":{\"x\":[]}}" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		json_t *json = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
		LW_AUTO_BUF text = { 0 };

		lw_json_print(json, 0, &text);
		cr_expect_str_eq(lw_buf_text(&text), rows[i].text);
		json_decref(json);
	}
}

Test(value, an_indented_tree_is_as_jansson_has_it)
{
	json_t *json = json_loads("{\"a\":[1,{\"b\":[],\"c\":{}}],\"d\":\"x\"}", 0, NULL);
	char *same = json_dumps(json, JSON_INDENT(2));
	LW_AUTO_BUF text = { 0 };

	lw_json_print(json, 2, &text);
	cr_assert_str_eq(lw_buf_text(&text), same);
	free(same);
	json_decref(json);
}
