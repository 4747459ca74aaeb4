/* links: lw_common */
/* test_json.c - values to JSON and back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "lw_value.h"

#define BYTES(text) ((struct lw_slice){ (const uint8_t *)(text), sizeof(text) - 1 })

static int from_text(const char *text, struct lw_buf *out, struct lw_err *err)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	int r;

	cr_assert_not_null(json, "%s", text);
	r = lw_value_from_json(json, out, err);
	json_decref(json);
	return r;
}

/* Value to text by the printer and back; value to tree and back: all are one. */
static void assert_survives(struct lw_slice value)
{
	LW_AUTO_BUF text = { 0 }, back = { 0 }, through_tree = { 0 };
	json_t *tree = lw_value_to_json(value);
	struct lw_err err = { 0 };

	lw_value_print_json(value, &text);
	cr_assert_null(memchr(text.data, '\0', text.size));
	cr_assert_eq(from_text(lw_buf_text(&text), &back, &err), 0, "%s", err.text);
	cr_assert(back.size == value.size && memcmp(back.data, value.data, back.size) == 0, "%s",
		  lw_buf_text(&text));
	cr_assert_eq(lw_value_from_json(tree, &through_tree, &err), 0, "%s", err.text);
	cr_assert(through_tree.size == value.size &&
		  memcmp(through_tree.data, value.data, value.size) == 0);
	json_decref(tree);
}

Test(json, values_survive_the_way_there_and_back)
{
	assert_survives(BYTES("\xc0"));
	assert_survives(BYTES("\xc2"));
	assert_survives(BYTES("\xc3"));
	assert_survives(BYTES("\x07"));
	assert_survives(BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"));
	assert_survives(BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"));
	assert_survives(BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
	assert_survives(BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"));
	assert_survives(BYTES("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00")); /* 1.0 */
	assert_survives(BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00")); /* -0.0 */
	assert_survives(BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a")); /* 0.1 */
	assert_survives(BYTES("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff")); /* largest */
	assert_survives(BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x01")); /* least */
	assert_survives(BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"));
	assert_survives(BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"));
	assert_survives(BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"));
	assert_survives(BYTES("\xa0"));
	assert_survives(BYTES("\xad\x00\x01\x1f \"\\/\b\f\n\r\t\x7f"));
	assert_survives(BYTES("\xa9\xc3\xbc\xe2\x80\xa8\xf0\x9f\x98\x80"));
	assert_survives(BYTES("\x90"));
	assert_survives(BYTES("\x80"));
	assert_survives(BYTES("\x92\x01\x91\x81\xa1"
			      "a\x82\xa1x\x01\xa3y\x01z\x02"));
}

Test(json, bytes_of_every_length_survive)
{
	uint8_t bytes[70];

	for (size_t size = 0; size < sizeof(bytes); size++) {
		LW_AUTO_BUF value = { 0 };

		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(i * 37 + size * 11);
		lw_put_bytes(&value, bytes, size);
		assert_survives(lw_buf_slice(&value));
	}
}

static const char *const specials[] = { "$bytes",   "$float",    "$int",   "$$bytes",
					"$$$float", "$$$$$$int", "$other", "$",
					"$$",       "bytes",     "" };

Test(json, objects_with_a_special_name_survive_alone_and_in_company)
{
	for (size_t i = 0; i < LW_COUNT(specials); i++) {
		LW_AUTO_BUF value = { 0 };

		lw_put_list(&value, 2);
		lw_put_map(&value, 1);
		lw_put_cstr(&value, specials[i]);
		lw_put_cstr(&value, "aaaa");
		lw_put_map(&value, 2);
		lw_put_cstr(&value, specials[i]);
		lw_put_int(&value, 1);
		lw_put_cstr(&value, "zz");
		lw_put_int(&value, 2);
		assert_survives(lw_buf_slice(&value));
	}
}

static void assert_prints(struct lw_slice value, const char *wanted)
{
	LW_AUTO_BUF text = { 0 };

	cr_assert_eq(lw_value_check(value, NULL), 0);
	lw_value_print_json(value, &text);
	cr_assert_str_eq(lw_buf_text(&text), wanted);
}

Test(json, text_is_compact_and_escaped)
{
	assert_prints(BYTES("\x82\xa1"
			    "a\x92\x01\xc0\xa1"
			    "b\xc3"),
		      "{\"a\":[1,null],\"b\":true}");
	assert_prints(BYTES("\xa4\"\\\n\x01"), "\"\\\"\\\\\\n\\u0001\"");
	assert_prints(BYTES("\xc4\x01\xff"), "{\"$bytes\":\"/w==\"}");
	assert_prints(BYTES("\xca\x7f\xc0\x00\x00"), "{\"$float\":\"nan\"}");
	assert_prints(BYTES("\x81\xa6$bytes\x01"), "{\"$$bytes\":1}");
}

Test(json, keys_that_are_no_text_are_written_as_their_text)
{
	assert_prints(BYTES("\x83\x01\x02\xc0\x03\x91\xa1"
			    "a\x04"),
		      "{\"1\":2,\"null\":3,\"[\\\"a\\\"]\":4}");
}

Test(json, a_nul_in_a_key_is_written_so_that_jansson_reads_it)
{
	LW_AUTO_BUF text = { 0 };
	json_t *tree;

	lw_value_print_json(BYTES("\x81\xa3"
				  "a\0b\x01"),
			    &text);
	tree = json_loads(lw_buf_text(&text), 0, NULL);
	cr_assert_eq(json_integer_value(json_object_get(tree, "\"a\\u0000b\"")), 1);
	json_decref(tree);
	tree = lw_value_to_json(BYTES("\x81\xa3"
				      "a\0b\x01"));
	cr_assert_eq(json_integer_value(json_object_get(tree, "\"a\\u0000b\"")), 1);
	json_decref(tree);
}

/* Each level of escapes would double the backslashes of the one within. */
Test(json, keys_within_keys_do_not_explode)
{
	LW_AUTO_BUF value = { 0 }, text = { 0 };
	json_t *tree;

	for (int i = 0; i < LW_DEPTH_MAX; i++)
		lw_put_map(&value, 1);
	lw_put_cstr(&value, "\"");
	for (int i = 0; i < LW_DEPTH_MAX; i++)
		lw_put_nil(&value);
	cr_assert_eq(lw_value_check(lw_buf_slice(&value), NULL), 0);
	lw_value_print_json(lw_buf_slice(&value), &text);
	cr_assert_lt(text.size, 1000);
	tree = json_loads(lw_buf_text(&text), 0, NULL);
	cr_assert_not_null(tree);
	json_decref(tree);
	tree = lw_value_to_json(lw_buf_slice(&value));
	cr_assert(json_is_object(tree));
	json_decref(tree);
}

Test(json, whole_and_real_numbers_stay_apart)
{
	LW_AUTO_BUF out = { 0 };

	cr_assert_eq(from_text("[1, 1.0, 1e2]", &out, NULL), 0);
	cr_assert_eq(out.size, 1 + 1 + 9 + 9);
	cr_assert(out.data[1] == 1 && out.data[2] == 0xcb && out.data[11] == 0xcb);
}

static void assert_refused(const char *text, const char *sentence)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_err err = { 0 };

	lw_put_nil(&out);
	cr_assert_eq(from_text(text, &out, &err), -EINVAL, "%s", text);
	cr_assert_not_null(strstr(err.text, sentence), "%s", err.text);
	cr_assert_eq(out.size, 1, "what was there stays, nothing is added");
}

Test(json, specials_that_say_nothing_are_refused)
{
	assert_refused("[1, {\"$bytes\": 1}]", "'$bytes' is not a string");
	assert_refused("{\"$bytes\": \"a\"}", "not base64");
	assert_refused("{\"$bytes\": \"aaa!\"}", "not base64");
	assert_refused("{\"$bytes\": \"a===\"}", "not base64");
	assert_refused("{\"$bytes\": \"=aaa\"}", "not base64");
	assert_refused("{\"$bytes\": \"aaaa\\u0000aaa\"}", "not base64");
	assert_refused("{\"$bytes\": \"/x==\"}", "not base64"); /* bits that nobody reads */
	assert_refused("{\"$float\": \"big\"}", "'$float'");
	assert_refused("{\"$int\": \"\"}", "'$int'");
	assert_refused("{\"$int\": \"-1\"}", "'$int'");
	assert_refused("{\"$int\": \"18446744073709551616\"}", "'$int'");
	assert_refused("{\"$int\": \"1x\"}", "'$int'");
}

Test(json, depth_is_bounded)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_err err = { 0 };
	char text[2 * (LW_DEPTH_MAX + 1) + 1] = "";

	for (size_t depth = LW_DEPTH_MAX; depth <= LW_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		cr_assert_eq(from_text(text, &out, &err), depth > LW_DEPTH_MAX ? -E2BIG : 0);
	}
	cr_assert_str_eq(err.text, "nested more than 32 deep");
	cr_assert_eq(lw_value_check(lw_buf_slice(&out), NULL), 0);
}

Test(json, bytes_and_infinities_survive_as_deep_as_a_value_may_be)
{
	LW_AUTO_BUF value = { 0 };

	for (int i = 0; i < LW_DEPTH_MAX; i++)
		lw_put_list(&value, i < LW_DEPTH_MAX - 1 ? 1 : 3);
	lw_put_bytes(&value, "x", 1);
	lw_put_float(&value, -HUGE_VAL);
	lw_put_uint(&value, UINT64_MAX);
	cr_assert_eq(lw_value_check(lw_buf_slice(&value), NULL), 0);
	assert_survives(lw_buf_slice(&value));
}

Test(json, size_and_number_of_values_are_bounded)
{
	json_t *array = json_array(), *null = json_null();
	char *text = lw_alloc(LW_VALUE_MAX + 1);
	json_t *large = json_stringn_nocheck(text, LW_VALUE_MAX);
	LW_AUTO_BUF out = { 0 };

	for (size_t i = 0; i < LW_ITEMS_MAX; i++)
		json_array_append(array, null);
	cr_assert_eq(lw_value_from_json(array, &out, NULL), -E2BIG);
	cr_assert_eq(lw_value_from_json(large, &out, NULL), -E2BIG);
	cr_assert_eq(out.size, 0);
	json_decref(array);
	json_decref(large);
	lw_free(text);
}

Test(json, nothing_is_nil)
{
	LW_AUTO_BUF out = { 0 };

	cr_assert_eq(lw_value_from_json(NULL, &out, NULL), 0);
	cr_assert(out.size == 1 && out.data[0] == 0xc0);
	out.size = 0;
	lw_value_print_json((struct lw_slice){ NULL, 0 }, &out);
	cr_assert_str_eq(lw_buf_text(&out), "null");
}
