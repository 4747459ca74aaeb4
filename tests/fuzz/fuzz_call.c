/* links: lw_common
 *
 * fuzz_call.c - canonical form: equal calls have equal forms, a form is its own form.
 *
 * Input: one msgpack value; a list of four that looks like a call is also taken as one. What
 * passes the check is spelled in another way (wider heads, maps backwards, floats for whole
 * numbers) and must come to the same form; by way of JSON, too. */
#include <errno.h>
#include <float.h>
#include <math.h>

#include "fuzz.h"
#include "lw_call.h"

#define EXACT   INT64_C(9007199254740992) /* 2^53: whole numbers that a double has */
#define PRINTED 100

/* ---- the same value in another spelling ------------------------------------------------------ */

static void put_wide(struct lw_buf *out, uint8_t head, uint64_t u, unsigned wide)
{
	lw_buf_add(out, &head, 1);
	for (unsigned i = 0; i < wide; i++)
		lw_buf_add(out, &(uint8_t){ (uint8_t)(u >> (8 * (wide - 1 - i))) }, 1);
}

static void put_double(struct lw_buf *out, double f)
{
	uint64_t bits;

	memcpy(&bits, &f, sizeof(bits));
	put_wide(out, 0xcb, bits, 8);
}

static void put_float(struct lw_buf *out, double f)
{
	uint32_t bits;
	float narrow;

	if (f != f || fabs(f) > (double)FLT_MAX || (double)(float)f != f) {
		put_double(out, f != f ? -f : f);
		return;
	}
	narrow = (float)f;
	memcpy(&bits, &narrow, sizeof(bits));
	put_wide(out, 0xca, bits, 4);
}

/* Each whole number in one of three ways, by turns. */
static void put_whole(struct lw_buf *out, const struct lw_item *item)
{
	bool exact = item->type == LW_INT && item->i >= -EXACT && item->i <= EXACT;

	if (exact && out->size % 3 == 0)
		put_double(out, (double)item->i);
	else if (item->type == LW_UINT || (item->i >= 0 && out->size % 3 == 1))
		put_wide(out, 0xcf, item->u, 8);
	else
		put_wide(out, 0xd3, item->u, 8);
}

static void respell(const uint8_t **at, const uint8_t *end, struct lw_buf *out);

/* Backwards. */
static void respell_pairs(const uint8_t **at, const uint8_t *end, uint32_t n, struct lw_buf *out)
{
	const uint8_t **pairs = lw_alloc((n + 1) * sizeof(*pairs));

	for (uint32_t i = 0; i < n; i++) {
		pairs[i] = *at;
		*at += lw_value_size(*at, end);
		*at += lw_value_size(*at, end);
	}
	while (n-- > 0) {
		const uint8_t *pair = pairs[n];

		respell(&pair, end, out);
		respell(&pair, end, out);
	}
	lw_free((void *)pairs);
}

static void respell(const uint8_t **at, const uint8_t *end, struct lw_buf *out)
{
	const uint8_t *head = *at;
	struct lw_item item;

	HOLDS(lw_item_read(at, end, &item) == 0, "a checked value cannot be read");
	switch (item.type) {
	case LW_NIL:
	case LW_TRUTH:
		lw_buf_add(out, head, 1);
		break;
	case LW_INT:
	case LW_UINT:
		put_whole(out, &item);
		break;
	case LW_FLOAT:
		put_float(out, item.f);
		break;
	case LW_TEXT:
	case LW_BYTES:
		put_wide(out, item.type == LW_TEXT ? 0xdb : 0xc6, item.s.size, 4);
		lw_buf_add(out, item.s.data, item.s.size);
		break;
	case LW_LIST:
		put_wide(out, 0xdd, item.n, 4);
		for (uint32_t i = 0; i < item.n; i++)
			respell(at, end, out);
		break;
	case LW_MAP:
		put_wide(out, 0xdf, item.n, 4);
		respell_pairs(at, end, item.n, out);
		break;
	}
}

static void respell_all(struct lw_slice value, struct lw_buf *out)
{
	const uint8_t *at = value.data;

	respell(&at, lw_slice_end(value), out);
	HOLDS(at == lw_slice_end(value), "a checked value ends elsewhere");
	HOLDS(lw_value_check(lw_buf_slice(out), NULL) == 0, "another spelling is no value");
}

/* ---- values ------------------------------------------------------------------------------------ */

static bool canon(struct lw_slice value, struct lw_buf *out)
{
	struct lw_err err = { 0 };
	int r = lw_value_canon(value, out, &err);

	HOLDS(r == 0 || r == -EINVAL, "canonical form: %d", r);
	if (r < 0)
		HOLDS(err.text[0] != '\0' && out->size == 0, "refused without a sentence");
	return r == 0;
}

/* What JSON has no key for (lw_value.h) does not come back, and neither does what is in it. */
static bool has_json_keys(const uint8_t **at, const uint8_t *end)
{
	struct lw_item item, key;
	bool has = true;

	if (lw_item_read(at, end, &item) < 0 || item.type < LW_LIST)
		return true;
	for (uint32_t i = 0; i < item.n; i++) {
		if (item.type == LW_MAP) {
			const uint8_t *start = *at;

			*at += lw_value_size(start, end);
			has = has && lw_item_read(&start, end, &key) == 0 && key.type == LW_TEXT &&
			      (key.s.size == 0 || memchr(key.s.data, '\0', key.s.size) == NULL);
		}
		has = has_json_keys(at, end) && has;
	}
	return has;
}

/* Both writers write the same, and what they write means the same value. */
static void check_json(struct lw_slice value, struct lw_slice form)
{
	const uint8_t *at = value.data;
	bool comes_back = has_json_keys(&at, lw_slice_end(value));
	LW_AUTO_BUF text = { 0 };
	LW_AUTO_BUF other = { 0 };
	LW_AUTO_BUF back = { 0 };
	LW_AUTO_BUF again = { 0 };
	struct lw_err err = { 0 };
	json_error_t where;
	json_t *tree = lw_value_to_json(value);
	json_t *read;

	lw_value_print_json(value, &text);
	lw_json_print(tree, 0, &other);
	json_decref(tree);
	read = json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL,
			  &where);
	HOLDS(read != NULL, "no JSON: %s: %s", where.text, lw_buf_text(&text));
	if (comes_back) {
		HOLDS(same_bytes(lw_buf_slice(&text), lw_buf_slice(&other)), "%s and %s",
		      lw_buf_text(&text), lw_buf_text(&other));
		HOLDS(lw_value_from_json(read, &back, &err) == 0, "%s: %s", err.text,
		      lw_buf_text(&text));
		HOLDS(canon(lw_buf_slice(&back), &again), "by way of JSON it has no form");
		HOLDS(same_bytes(lw_buf_slice(&again), form), "%s is another value",
		      lw_buf_text(&text));
	}
	json_decref(read);
}

/* ---- calls ------------------------------------------------------------------------------------- */

static bool call_canon(struct lw_slice call, const struct lw_names *ignore, struct lw_buf *out)
{
	LW_AUTO_BUF scratch = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;
	int r = lw_call_canon(call, ignore, &scratch, &form, &err);

	HOLDS(r == 0 || r == -EINVAL, "canonical form: %d", r);
	HOLDS(r == 0 || err.text[0] != '\0', "refused without a sentence");
	if (r == 0)
		lw_buf_add(out, form.data, form.size);
	return r == 0;
}

static void check_printed(struct lw_slice call)
{
	LW_AUTO_BUF text = { 0 };

	lw_call_print(call, PRINTED, &text);
	HOLDS(text.size <= PRINTED && text.size >= 2, "%zu bytes of text", text.size);
	HOLDS(lw_text_is_utf8(text.data, text.size), "the text of a call is no text");
}

/* `call` in its own form is found so without a copy; so it is in another spelling. */
static void check_call(struct lw_slice call, const struct lw_names *ignore)
{
	LW_AUTO_BUF form = { 0 };
	LW_AUTO_BUF other = { 0 };
	LW_AUTO_BUF other_form = { 0 };
	LW_AUTO_BUF scratch = { 0 };
	struct lw_slice again;
	bool has = call_canon(call, ignore, &form);

	check_printed(call);
	lw_buf_add(&other, call.data, 1); /* a call begins with a short head */
	for (const uint8_t *at = call.data + 1, *end = lw_slice_end(call); at < end;)
		respell(&at, end, &other);
	HOLDS(call_canon(lw_buf_slice(&other), ignore, &other_form) == has,
	      "one spelling of two is refused");
	if (!has)
		return;
	HOLDS(same_bytes(lw_buf_slice(&form), lw_buf_slice(&other_form)),
	      "two spellings, two forms");
	HOLDS(lw_value_check(lw_buf_slice(&form), NULL) == 0, "the form is no value");
	HOLDS(lw_call_canon(lw_buf_slice(&form), ignore, &scratch, &again, NULL) == 0 &&
		      again.data == form.data && again.size == form.size,
	      "a form is not known as one");
}

static void check_as_argument(struct lw_slice value)
{
	LW_AUTO_BUF call = { 0 };

	lw_call_begin(&call, "train", value.size % 2 == 0 ? "v1" : NULL);
	lw_put_list(&call, 1);
	lw_buf_add(&call, value.data, value.size);
	lw_put_map(&call, 1);
	lw_put_cstr(&call, "x");
	lw_buf_add(&call, value.data, value.size);
	if (call.size <= LW_VALUE_MAX)
		check_call(lw_buf_slice(&call), NULL);
}

static bool looks_like_call(struct lw_slice value)
{
	const uint8_t *at = value.data, *end = lw_slice_end(value);
	struct lw_item item;

	if (value.size == 0 || *at++ != 0x94)
		return false;
	at += lw_value_size(at, end);
	at += lw_value_size(at, end);
	if (lw_item_read(&(const uint8_t *){ at }, end, &item) < 0 || item.type != LW_LIST)
		return false;
	at += lw_value_size(at, end);
	return lw_item_read(&at, end, &item) == 0 && item.type == LW_MAP;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char x[] = "x", lr[] = "lr";
	static char *ignored[] = { x, lr };
	struct lw_slice value = { data, size };
	struct lw_names ignore = { ignored, LW_COUNT(ignored) };
	LW_AUTO_BUF other = { 0 };
	LW_AUTO_BUF form = { 0 };
	LW_AUTO_BUF other_form = { 0 };
	LW_AUTO_BUF again = { 0 };

	if (lw_value_check(value, NULL) < 0)
		return 0;
	respell_all(value, &other);
	HOLDS(canon(lw_buf_slice(&other), &other_form) == canon(value, &form),
	      "one spelling of two is refused");
	HOLDS(same_bytes(lw_buf_slice(&form), lw_buf_slice(&other_form)),
	      "two spellings, two forms");
	if (form.size > 0) {
		HOLDS(canon(lw_buf_slice(&form), &again), "a form has no form");
		HOLDS(same_bytes(lw_buf_slice(&form), lw_buf_slice(&again)), "a form has another");
		check_json(value, lw_buf_slice(&form));
	}
	check_as_argument(value);
	if (looks_like_call(value)) {
		check_call(value, NULL);
		check_call(value, &ignore);
	}
	return 0;
}
