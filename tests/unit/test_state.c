/* links: lw_supervisor
 * test_state.c - named values of a work or a flow. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lw_value.h"
#include "state.h"

static struct state state;

static int set(const char *name, const char *value)
{
	struct lw_slice key = { (const uint8_t *)name, strlen(name) };
	LW_AUTO_BUF buf = { 0 };

	if (value != NULL)
		lw_put_cstr(&buf, value);
	else
		lw_put_nil(&buf);
	return state_set(&state, key, lw_buf_slice(&buf), NULL);
}

static void tear_down(void)
{
	state_done(&state);
}

TestSuite(state, .fini = tear_down);

Test(state, setting_says_whether_anything_changed)
{
	cr_expect_eq(set("a", "one"), 1);
	cr_expect_eq(set("a", "one"), 0);
	cr_expect_eq(set("a", "two"), 1);
	cr_expect_eq(state.version, 2u);
}

Test(state, nil_removes)
{
	struct lw_slice value;

	cr_expect_eq(set("a", NULL), 0);
	cr_expect_eq(set("a", "one"), 1);
	cr_expect_eq(set("a", NULL), 1);
	cr_expect_not(state_get(&state, "a", &value));
	cr_expect_eq(state.count, 0u);
	cr_expect_eq(state.bytes, 0u);
}

Test(state, names_are_kept_sorted_whatever_order_they_come_in)
{
	static const char *const names[] = { "m", "a", "z", "aa", "b", "zz" };

	for (size_t i = 0; i < LW_COUNT(names); i++)
		cr_expect_eq(set(names[i], names[i]), 1);
	for (size_t i = 1; i < state.count; i++)
		cr_expect_lt(strcmp(state.items[i - 1].name, state.items[i].name), 0);
	for (size_t i = 0; i < LW_COUNT(names); i++) {
		struct lw_slice value;

		cr_expect(state_get(&state, names[i], &value));
		cr_expect_eq(memcmp(value.data + 1, names[i], strlen(names[i])), 0);
	}
}

Test(state, it_is_bounded_in_number_and_in_bytes)
{
	char name[32];
	struct lw_buf big = { 0 };
	int r = 1;

	lw_buf_grow(&big, 1 << 20);
	memset(big.data, 'x', 1 << 20);
	for (int i = 0; i < 64 && r == 1; i++) {
		LW_AUTO_BUF value = { 0 };

		snprintf(name, sizeof(name), "big%d", i);
		lw_put_bytes(&value, big.data, 1 << 20);
		r = state_set(&state, (struct lw_slice){ (uint8_t *)name, strlen(name) },
			      lw_buf_slice(&value), NULL);
	}
	cr_expect_eq(r, -E2BIG);
	cr_expect_leq(state.bytes, STATE_BYTES_MAX);
	lw_buf_done(&big);
	state_done(&state);
	for (int i = 0; i < STATE_ITEMS_MAX; i++) {
		snprintf(name, sizeof(name), "%06d", i);
		cr_assert_eq(set(name, "x"), 1);
	}
	cr_expect_eq(set("one more", "x"), -E2BIG);
	cr_expect_eq(set("000000", "y"), 1, "what is there can still change");
}

Test(state, a_name_with_a_nul_byte_is_refused)
{
	LW_AUTO_BUF value = { 0 };

	lw_put_nil(&value);
	cr_expect_eq(state_set(&state, (struct lw_slice){ (const uint8_t *)"a\0b", 3 },
			       lw_buf_slice(&value), NULL),
		     -EINVAL);
}

Test(state, it_reads_as_a_json_object)
{
	json_t *json;
	char *text;

	set("b", "two");
	set("a", "one");
	json = state_to_json(&state);
	text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
	cr_expect_str_eq(text, "{\"a\":\"one\",\"b\":\"two\"}");
	free(text);
	json_decref(json);
}
