/* links: lw_common */
/* test_call.c - canonical form, equality and key, against tests/vectors/canon.json. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "lw_call.h"

static json_t *vectors;

static void load(void)
{
	json_error_t error;

	vectors = json_load_file(LW_VECTORS "/canon.json", 0, &error);
	cr_assert_not_null(vectors, "canon.json:%d: %s", error.line, error.text);
}

static void unload(void)
{
	json_decref(vectors);
}

TestSuite(call, .init = load, .fini = unload);

static const char *text_of(const json_t *vector, const char *key)
{
	const char *text = json_string_value(json_object_get(vector, key));

	cr_assert_not_null(text, "a vector without '%s'", key);
	return text;
}

static void add_hex(const char *hex, struct lw_buf *out)
{
	unsigned byte;

	cr_assert(strlen(hex) % 2 == 0);
	for (; *hex != '\0'; hex += 2) {
		cr_assert_eq(sscanf(hex, "%2x", &byte), 1);
		lw_buf_add(out, &(uint8_t){ (uint8_t)byte }, 1);
	}
}

static void assert_bytes(struct lw_slice is, struct lw_slice wanted, const char *name)
{
	cr_assert(is.size == wanted.size && memcmp(is.data, wanted.data, is.size) == 0, "%s", name);
}

/* The canonical form of a call, in memory of its own. */
static void canon(struct lw_slice call, const struct lw_names *ignore, struct lw_buf *out)
{
	LW_AUTO_BUF scratch = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;

	cr_assert_eq(lw_call_canon(call, ignore, &scratch, &form, &err), 0, "%s", err.text);
	lw_buf_add(out, form.data, form.size);
}

static void canon_hex(const char *hex, struct lw_buf *out)
{
	LW_AUTO_BUF call = { 0 };

	add_hex(hex, &call);
	cr_assert_eq(lw_value_check(lw_buf_slice(&call), NULL), 0, "%s", hex);
	canon(lw_buf_slice(&call), NULL, out);
}

static size_t each(const char *group, void (*check)(const json_t *vector))
{
	const json_t *list = json_object_get(vectors, group), *vector;
	size_t i;

	json_array_foreach(list, i, vector) check(vector);
	return json_array_size(list);
}

static void check_value(const json_t *vector)
{
	LW_AUTO_BUF value = { 0 }, wanted = { 0 }, form = { 0 }, again = { 0 };

	add_hex(text_of(vector, "value"), &value);
	add_hex(text_of(vector, "canon"), &wanted);
	cr_assert_eq(lw_value_check(lw_buf_slice(&value), NULL), 0);
	cr_assert_eq(lw_value_canon(lw_buf_slice(&value), &form, NULL), 0);
	assert_bytes(lw_buf_slice(&form), lw_buf_slice(&wanted), text_of(vector, "name"));
	cr_assert_eq(lw_value_canon(lw_buf_slice(&form), &again, NULL), 0);
	assert_bytes(lw_buf_slice(&again), lw_buf_slice(&wanted), text_of(vector, "name"));
}

Test(call, every_value_of_the_vectors_has_its_canonical_form)
{
	cr_assert_gt(each("values", check_value), 150);
}

/* A value alone in a call is left uncopied exactly if it is canonical. */
static void check_in_place(const json_t *vector)
{
	LW_AUTO_BUF call = { 0 }, scratch = { 0 };
	bool same = strcmp(text_of(vector, "value"), text_of(vector, "canon")) == 0;
	struct lw_slice form;

	lw_call_begin(&call, "w", NULL);
	lw_put_list(&call, 1);
	add_hex(text_of(vector, "value"), &call);
	lw_put_map(&call, 0);
	cr_assert_eq(lw_call_canon(lw_buf_slice(&call), NULL, &scratch, &form, NULL), 0);
	cr_assert_eq(form.data == call.data, same, "%s", text_of(vector, "name"));
}

Test(call, a_canonical_call_is_not_copied_and_no_other_is_taken_for_one)
{
	cr_assert_gt(each("values", check_in_place), 150);
}

static void check_call(const json_t *vector)
{
	const json_t *ignore = json_object_get(vector, "ignore");
	LW_AUTO_BUF call = { 0 }, wanted = { 0 }, form = { 0 }, again = { 0 };
	char *texts[8] = { 0 };
	struct lw_names names = { texts, json_array_size(ignore) };

	for (size_t i = 0; i < names.count; i++)
		texts[i] = (char *)(uintptr_t)json_string_value(json_array_get(ignore, i));
	add_hex(text_of(vector, "call"), &call);
	add_hex(text_of(vector, "canon"), &wanted);
	canon(lw_buf_slice(&call), &names, &form);
	assert_bytes(lw_buf_slice(&form), lw_buf_slice(&wanted), text_of(vector, "name"));
	canon(lw_buf_slice(&form), &names, &again);
	assert_bytes(lw_buf_slice(&again), lw_buf_slice(&wanted), text_of(vector, "name"));
}

Test(call, every_call_of_the_vectors_has_its_canonical_form)
{
	cr_assert_gt(each("calls", check_call), 5);
}

/* Compares all forms of a group with each other. */
static void check_group(const json_t *vector, bool equal)
{
	const json_t *calls = json_object_get(vector, "calls");
	size_t n = json_array_size(calls);

	cr_assert_gt(n, 1);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			LW_AUTO_BUF a = { 0 }, b = { 0 };

			canon_hex(json_string_value(json_array_get(calls, i)), &a);
			canon_hex(json_string_value(json_array_get(calls, k)), &b);
			cr_assert_eq(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, equal,
				     "%s: %zu and %zu", text_of(vector, "name"), k, i);
		}
	}
}

static void check_equal(const json_t *vector)
{
	check_group(vector, true);
}

static void check_different(const json_t *vector)
{
	check_group(vector, false);
}

Test(call, what_is_equal_by_the_table_is_equal)
{
	cr_assert_gt(each("equal", check_equal), 15);
}

Test(call, what_is_different_by_the_table_is_different)
{
	cr_assert_gt(each("different", check_different), 20);
}

static void check_refused(const json_t *vector)
{
	LW_AUTO_BUF call = { 0 }, scratch = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;

	add_hex(text_of(vector, "call"), &call);
	cr_assert_eq(lw_call_canon(lw_buf_slice(&call), NULL, &scratch, &form, &err), -EINVAL, "%s",
		     text_of(vector, "name"));
	cr_assert_str_eq(err.text, text_of(vector, "error"));
	cr_assert_eq(err.code, -EINVAL);
}

Test(call, a_key_given_twice_and_too_deep_a_call_are_refused)
{
	cr_assert_gt(each("refused", check_refused), 5);
}

Test(call, the_key_of_a_form_is_that_of_the_vectors)
{
	const json_t *list = json_object_get(vectors, "keys"), *vector;
	LW_AUTO_BUF secret = { 0 };
	char text[33];
	size_t i;

	add_hex(json_string_value(json_array_get(json_object_get(vectors, "secret"), 0)), &secret);
	cr_assert_eq(secret.size, LW_KEY_SECRET);
	cr_assert_gt(json_array_size(list), 5);
	json_array_foreach(list, i, vector)
	{
		LW_AUTO_BUF form = { 0 };

		add_hex(text_of(vector, "canon"), &form);
		lw_key_print(lw_key_of(lw_buf_slice(&form), secret.data), text);
		cr_assert_str_eq(text, text_of(vector, "key"));
	}
}

Test(call, another_secret_gives_another_key)
{
	uint8_t one[LW_KEY_SECRET], two[LW_KEY_SECRET];
	struct lw_slice form = { (const uint8_t *)"\x01", 1 };
	struct lw_key a, b;

	for (unsigned i = 0; i < LW_KEY_SECRET; i++) {
		one[i] = (uint8_t)(i * i * 7 + 3);
		two[i] = (uint8_t)(i * i * 11 + 5);
	}
	a = lw_key_of(form, one);
	b = lw_key_of(form, two);
	cr_assert(a.low != b.low && a.high != b.high);
}

Test(call, a_key_survives_being_printed_and_parsed)
{
	struct lw_key key = { .low = 0x0123456789abcdef, .high = 0xfedcba9876543210 }, back;
	char text[33];

	lw_key_print(key, text);
	cr_assert_str_eq(text, "fedcba98765432100123456789abcdef");
	cr_assert_eq(lw_key_parse(text, &back), 0);
	cr_assert(back.low == key.low && back.high == key.high);
}

Test(call, what_is_no_key_is_refused)
{
	static const char *const texts[] = { "", "fedcba9876543210",
					     "fedcba98765432100123456789abcdeg",
					     "FEDCBA98765432100123456789ABCDEF",
					     "fedcba98765432100123456789abcdef0" };
	struct lw_key key;

	for (size_t i = 0; i < LW_COUNT(texts); i++)
		cr_assert_eq(lw_key_parse(texts[i], &key), -EINVAL, "%s", texts[i]);
}

Test(call, a_call_too_large_is_refused)
{
	LW_AUTO_BUF call = { 0 }, scratch = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;

	lw_call_begin(&call, "w", NULL);
	lw_put_list(&call, 1);
	lw_put_bytes(&call, lw_buf_text(&call), 0);
	call.size -= 2;
	lw_buf_grow(&call, LW_VALUE_MAX + 16);
	memset(call.data + call.size, 0, LW_VALUE_MAX);
	lw_buf_add(&call, (const uint8_t[]){ 0xc6, 1, 0, 0, 0 }, 5);
	call.size += LW_VALUE_MAX;
	lw_put_map(&call, 0);
	cr_assert_eq(lw_call_canon(lw_buf_slice(&call), NULL, &scratch, &form, &err), -EINVAL);
	cr_assert_not_null(strstr(err.text, "more than 16777216"));
}

Test(call, a_call_of_too_many_values_is_refused)
{
	LW_AUTO_BUF call = { 0 }, scratch = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;

	lw_call_begin(&call, "w", NULL);
	lw_put_list(&call, LW_ITEMS_MAX - 4);
	for (uint32_t i = 0; i < LW_ITEMS_MAX - 4; i++)
		lw_put_nil(&call);
	lw_put_map(&call, 0);
	cr_assert_eq(lw_call_canon(lw_buf_slice(&call), NULL, &scratch, &form, &err), -EINVAL);
	cr_assert_str_eq(err.text, "more than 1048576 values in one");
}

Test(call, what_is_no_call_is_refused)
{
	LW_AUTO_BUF scratch = { 0 };
	struct lw_slice form;

	cr_assert_eq(lw_call_canon((struct lw_slice){ (const uint8_t *)"\xc0", 1 }, NULL, &scratch,
				   &form, NULL),
		     -EINVAL);
	cr_assert_eq(lw_call_canon((struct lw_slice){ NULL, 0 }, NULL, &scratch, &form, NULL),
		     -EINVAL);
}

Test(call, large_maps_given_in_any_order_have_one_form)
{
	LW_AUTO_BUF up = { 0 }, down = { 0 }, form_up = { 0 }, form_down = { 0 };

	lw_put_map(&up, 5000);
	lw_put_map(&down, 5000);
	for (int i = 0; i < 5000; i++) {
		lw_put_int(&up, i - 2500);
		lw_put_float(&up, i);
		lw_put_float(&down, 2499 - i);
		lw_put_int(&down, 4999 - i);
	}
	cr_assert_eq(lw_value_canon(lw_buf_slice(&up), &form_up, NULL), 0);
	cr_assert_eq(lw_value_canon(lw_buf_slice(&down), &form_down, NULL), 0);
	assert_bytes(lw_buf_slice(&form_up), lw_buf_slice(&form_down), "up and down");
	cr_assert_lt(form_up.size, up.size);
}

/* ---- parts, printing, JSON ------------------------------------------------------------ */

static void from_json(const char *positional, const char *named, struct lw_buf *call)
{
	json_t *list = json_loads(positional, JSON_ALLOW_NUL, NULL);
	json_t *map = json_loads(named, JSON_ALLOW_NUL, NULL);
	struct lw_err err = { 0 };

	cr_assert(list != NULL && map != NULL);
	lw_call_begin(call, "train", "v1");
	cr_assert_eq(lw_call_add_json(call, list, map, &err), 0, "%s", err.text);
	json_decref(list);
	json_decref(map);
}

Test(call, the_parts_of_a_call_are_its_two_halves)
{
	LW_AUTO_BUF call = { 0 };
	struct lw_slice positional, named;

	from_json("[1, [2, 3]]", "{\"a\": 4}", &call);
	lw_call_parts(lw_buf_slice(&call), &positional, &named);
	assert_bytes(positional, (struct lw_slice){ (const uint8_t *)"\x92\x01\x92\x02\x03", 5 },
		     "list");
	assert_bytes(named,
		     (struct lw_slice){ (const uint8_t *)"\x81\xa1"
							 "a\x04",
					4 },
		     "map");
}

static void assert_prints(const char *positional, const char *named, size_t most,
			  const char *wanted)
{
	LW_AUTO_BUF call = { 0 }, text = { 0 };

	from_json(positional, named, &call);
	lw_call_print(lw_buf_slice(&call), most, &text);
	cr_assert_str_eq(lw_buf_text(&text), wanted);
	cr_assert_leq(text.size, most);
}

Test(call, a_call_prints_as_a_person_would_write_it)
{
	assert_prints("[]", "{}", 80, "()");
	assert_prints("[\"A\", 2]", "{\"lr\": 0.1}", 80, "('A', 2, lr=0.1)");
	assert_prints("[]", "{\"a\": 1, \"b\": [true, null]}", 80, "(a=1, b=[true, nil])");
	assert_prints("[{\"x\": 1.0, \"y\": {}}]", "{}", 80, "({x: 1.0, y: {}})");
	assert_prints("[\"it's\\n\\u0001\\\\\"]", "{}", 80, "('it\\'s\\n\\x01\\\\')");
	assert_prints("[{\"$bytes\": \"AAAA\"}, {\"$float\": \"nan\"}]", "{}", 80,
		      "(<3 bytes>, nan)");
}

Test(call, a_long_call_is_cut_between_two_characters)
{
	assert_prints("[\"abcdefgh\"]", "{}", 12, "('abcdefgh')");
	assert_prints("[\"abcdefghi\"]", "{}", 12, "('abcdefg...");
	assert_prints("[\"aaaaaa\\u00fc\\u00fc\\u00fc\"]", "{}", 12, "('aaaaaa...");
	assert_prints("[1, 2, 3, 4, 5, 6]", "{\"a\": 1}", 10, "(1, 2, ...");
	assert_prints("[1, 2, 3, 4, 5, 6]", "{}", 2, "..");
	assert_prints("[1, 2, 3, 4, 5, 6]", "{}", 0, "");
}

Test(call, arguments_from_json_must_be_a_list_and_an_object)
{
	LW_AUTO_BUF call = { 0 };
	json_t *object = json_pack("{s:i}", "a", 1), *bytes = json_pack("{s:s}", "$bytes", "");
	struct lw_err err = { 0 };

	cr_assert_eq(lw_call_add_json(&call, object, NULL, &err), -EINVAL);
	cr_assert_str_eq(err.text, "positional arguments are not a list");
	cr_assert_eq(lw_call_add_json(&call, NULL, bytes, &err), -EINVAL);
	cr_assert_str_eq(err.text, "named arguments are not an object");
	cr_assert_eq(call.size, 0);
	cr_assert_eq(lw_call_add_json(&call, NULL, NULL, &err), 0);
	cr_assert(call.size == 2 && memcmp(call.data, "\x90\x80", 2) == 0);
	json_decref(object);
	json_decref(bytes);
}

Test(call, equal_calls_from_json_and_from_the_flow_agree)
{
	LW_AUTO_BUF json = { 0 }, flow = { 0 }, a = { 0 }, b = { 0 };

	from_json("[1.0]", "{\"lr\": 0.5, \"n\": 3}", &json);
	lw_call_begin(&flow, "train", "v1");
	lw_put_list(&flow, 1);
	lw_put_int(&flow, 1);
	lw_put_map(&flow, 2);
	lw_put_cstr(&flow, "n");
	lw_put_float(&flow, 3);
	lw_put_cstr(&flow, "lr");
	lw_put_float(&flow, 0.5);
	canon(lw_buf_slice(&json), NULL, &a);
	canon(lw_buf_slice(&flow), NULL, &b);
	assert_bytes(lw_buf_slice(&a), lw_buf_slice(&b), "json and flow");
}

Test(call, the_digest_of_files_stands_beside_the_version_and_without_files_nothing_does)
{
	static const uint8_t digest[16] = { 7 };
	LW_AUTO_BUF plain = { 0 };
	LW_AUTO_BUF none = { 0 };
	LW_AUTO_BUF with = { 0 };
	LW_AUTO_BUF scratch = { 0 };
	struct lw_names ignore = { 0 };
	struct lw_slice form;

	lw_call_begin(&plain, "train", "v1");
	lw_call_begin_with(&none, "train", "v1", (struct lw_slice){ 0 });
	cr_assert_eq(plain.size, none.size);
	cr_assert_arr_eq(plain.data, none.data, plain.size);
	lw_call_begin_with(&with, "train", "v1", (struct lw_slice){ digest, sizeof(digest) });
	cr_assert_eq(with.size, plain.size + 1 + 2 + sizeof(digest));
	lw_put_list(&with, 0);
	lw_put_map(&with, 0);
	cr_assert_eq(lw_value_check(lw_buf_slice(&with), NULL), 0);
	cr_assert_eq(lw_call_canon(lw_buf_slice(&with), &ignore, &scratch, &form, NULL), 0);
	cr_assert_eq(form.data, with.data, "it has canonical form");
}
