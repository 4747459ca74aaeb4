/* lw_json.c - values to and from JSON.
 *
 * Four ways: a checked value to a jansson tree, a checked value straight to JSON text
 * (status and events, so nothing is built on the way), a jansson tree to text (jansson's own
 * has 0.1 as 0.10000000000000001) and a jansson tree to a value.
 * How what JSON lacks is spelled is told in lw_value.h; both writers share it here.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "lw_value.h"

/* The names that stand for what JSON cannot say. */
enum special { SPECIAL_BYTES, SPECIAL_FLOAT, SPECIAL_INT, SPECIALS_N };
static const char *const special_names[SPECIALS_N] = { "$bytes", "$float", "$int" };

/* The special name that `text` is, behind *ret_more further "$"; or -1. */
static int special_of(const void *text, size_t size, size_t *ret_more)
{
	const char *at = text;
	size_t more = 0;

	while (more + 1 < size && at[more] == '$' && at[more + 1] == '$')
		more++;
	for (int i = 0; i < SPECIALS_N; i++) {
		if (strlen(special_names[i]) == size - more &&
		    memcmp(special_names[i], at + more, size - more) == 0) {
			*ret_more = more;
			return i;
		}
	}
	return -1;
}

/* Whether the map of `pairs` pairs whose first key is `key` would be mistaken. */
static bool needs_escape(uint32_t pairs, const struct lw_item *key)
{
	size_t more;

	return pairs == 1 && key->type == LW_TEXT &&
	       special_of(key->s.data, key->s.size, &more) >= 0;
}

/* ---- base64 --------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void add_base64(struct lw_slice bytes, struct lw_buf *out)
{
	lw_buf_grow(out, bytes.size / 3 * 4 + 4);
	for (size_t i = 0; i < bytes.size; i += 3) {
		size_t left = bytes.size - i;
		uint32_t word = (uint32_t)bytes.data[i] << 16;
		uint8_t *at = out->data + out->size;

		if (left > 1)
			word |= (uint32_t)bytes.data[i + 1] << 8;
		if (left > 2)
			word |= bytes.data[i + 2];
		at[0] = (uint8_t)digits[word >> 18];
		at[1] = (uint8_t)digits[word >> 12 & 63];
		at[2] = left > 1 ? (uint8_t)digits[word >> 6 & 63] : '=';
		at[3] = left > 2 ? (uint8_t)digits[word & 63] : '=';
		out->size += 4;
	}
}

/* Value of a digit; -1 when it is none. */
static int digit_value(char digit)
{
	const char *at = digit != '\0' ? strchr(digits, digit) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static int read_base64(const char *text, size_t size, struct lw_buf *out)
{
	size_t padding = 0;
	uint32_t word = 0;

	if (size % 4 != 0)
		return -EINVAL;
	while (padding < 2 && size > padding && text[size - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < size; i++) {
		int value = i < size - padding ? digit_value(text[i]) : 0;

		if (value < 0)
			return -EINVAL;
		word = word << 6 | (uint32_t)value;
		if (i % 4 == 3)
			lw_buf_add(out,
				   (const uint8_t[]){ (uint8_t)(word >> 16), (uint8_t)(word >> 8),
						      (uint8_t)word },
				   3);
	}
	/* One spelling only: bits that the padding cuts off are zero. */
	if ((padding == 1 && (word & 0xff) != 0) || (padding == 2 && (word & 0xffff) != 0))
		return -EINVAL;
	out->size -= padding;
	return 0;
}

/* ---- to text ---------------------------------------------------------------------- */

static void add_text(const char *text, struct lw_buf *out)
{
	lw_buf_add(out, text, strlen(text));
}

static void add_escape(uint8_t c, struct lw_buf *out)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if (c == (uint8_t)letters[i]) {
			lw_buf_add(out, (const char[]){ '\\', letters[i + 1] }, 2);
			return;
		}
	}
	lw_buf_printf(out, "\\u%04x", c);
}

/* What stands between the quotes. */
static void add_escaped(struct lw_slice text, struct lw_buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		lw_buf_add(out, text.data + start, i - start);
		add_escape(c, out);
		start = i + 1;
	}
	lw_buf_add(out, text.data + start, text.size - start);
}

static void add_quoted(struct lw_slice text, struct lw_buf *out)
{
	lw_buf_add(out, "\"", 1);
	add_escaped(text, out);
	lw_buf_add(out, "\"", 1);
}

void lw_text_print_json(const void *text, size_t size, struct lw_buf *out)
{
	LW_AUTO_BUF clean = { 0 };

	if (lw_text_is_utf8(text, size)) {
		add_quoted((struct lw_slice){ text, size }, out);
		return;
	}
	lw_text_clean(text, size, &clean);
	add_quoted(lw_buf_slice(&clean), out);
}

static void add_special(enum special special, struct lw_slice value, struct lw_buf *out)
{
	lw_buf_printf(out, "{\"%s\":\"", special_names[special]);
	if (special == SPECIAL_BYTES)
		add_base64(value, out);
	else
		lw_buf_add(out, value.data, value.size);
	lw_buf_add(out, "\"}", 2);
}

static const char *float_name(double f)
{
	return isnan(f) ? "nan" : f > 0 ? "inf" : "-inf";
}

static struct lw_slice slice_of(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

void lw_float_print(double f, char text[LW_FLOAT_TEXT])
{
	if (!isfinite(f)) {
		strcpy(text, float_name(f));
		return;
	}
	if (f > -1e15 && f < 1e15 && (double)(int64_t)f == f) {
		snprintf(text, LW_FLOAT_TEXT, "%s%lld.0", signbit(f) && f == 0 ? "-" : "",
			 (long long)f);
		return;
	}
	/* The shortest text that reads back as the same number. */
	for (int precision = 15; precision <= 17; precision++) {
		snprintf(text, LW_FLOAT_TEXT, "%.*g", precision, f);
		if (strtod(text, NULL) == f)
			break;
	}
	if (strpbrk(text, ".e") == NULL)
		strcat(text, ".0");
}

static void add_float(double f, struct lw_buf *out)
{
	char text[LW_FLOAT_TEXT];

	if (!isfinite(f)) {
		add_special(SPECIAL_FLOAT, slice_of(float_name(f)), out);
		return;
	}
	lw_float_print(f, text);
	add_text(text, out);
}

static void add_uint(uint64_t u, struct lw_buf *out)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)u);
	add_special(SPECIAL_INT, slice_of(text), out);
}

struct place {
	const uint8_t *at, *end;
	bool in_key; /* keys that are not plain are base64: escapes within escapes explode */
};

static void print_value(struct place *place, struct lw_buf *out);

/* JSON has text as keys, and jansson none with a NUL in it. */
static bool is_plain_key(const struct lw_item *key)
{
	return key->type == LW_TEXT && memchr(key->s.data, '\0', key->s.size) == NULL;
}

/* Appends, without quotes, the text of a key that is not plain. */
static void key_text(struct place *place, struct lw_buf *out)
{
	size_t size = lw_value_size(place->at, place->end);
	struct place key = { place->at, place->at + size, true };

	if (place->in_key)
		add_base64((struct lw_slice){ place->at, size }, out);
	else
		print_value(&key, out);
	place->at += size;
}

static void print_key(struct place *place, uint32_t pairs, struct lw_buf *out)
{
	const uint8_t *start = place->at;
	struct lw_item key;
	LW_AUTO_BUF text = { 0 };

	if (lw_item_read(&place->at, place->end, &key) < 0)
		return;
	if (is_plain_key(&key)) {
		lw_buf_add(out, "\"$", needs_escape(pairs, &key) ? 2 : 1);
		add_escaped(key.s, out);
		lw_buf_add(out, "\":", 2);
		return;
	}
	place->at = start;
	key_text(place, &text);
	add_quoted(lw_buf_slice(&text), out);
	lw_buf_add(out, ":", 1);
}

static void print_map(struct place *place, uint32_t pairs, struct lw_buf *out)
{
	lw_buf_add(out, "{", 1);
	for (uint32_t i = 0; i < pairs; i++) {
		if (i > 0)
			lw_buf_add(out, ",", 1);
		print_key(place, pairs, out);
		print_value(place, out);
	}
	lw_buf_add(out, "}", 1);
}

static void print_list(struct place *place, uint32_t values, struct lw_buf *out)
{
	lw_buf_add(out, "[", 1);
	for (uint32_t i = 0; i < values; i++) {
		if (i > 0)
			lw_buf_add(out, ",", 1);
		print_value(place, out);
	}
	lw_buf_add(out, "]", 1);
}

static void print_int(int64_t i, struct lw_buf *out)
{
	char text[24];

	lw_buf_add(out, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)i));
}

static void print_value(struct place *place, struct lw_buf *out)
{
	struct lw_item item;

	if (lw_item_read(&place->at, place->end, &item) < 0) {
		add_text("null", out); /* not a checked value; the text stays JSON */
		place->at = place->end;
		return;
	}
	switch (item.type) {
	case LW_NIL:
		add_text("null", out);
		break;
	case LW_TRUTH:
		add_text(item.truth ? "true" : "false", out);
		break;
	case LW_INT:
		print_int(item.i, out);
		break;
	case LW_UINT:
		add_uint(item.u, out);
		break;
	case LW_FLOAT:
		add_float(item.f, out);
		break;
	case LW_TEXT:
		add_quoted(item.s, out);
		break;
	case LW_BYTES:
		add_special(SPECIAL_BYTES, item.s, out);
		break;
	case LW_LIST:
		print_list(place, item.n, out);
		break;
	case LW_MAP:
		print_map(place, item.n, out);
		break;
	}
}

void lw_value_print_json(struct lw_slice value, struct lw_buf *out)
{
	struct place place = { value.data, lw_slice_end(value), false };

	print_value(&place, out);
}

/* ---- to a tree -------------------------------------------------------------------- */

static json_t *special_new(enum special special, struct lw_slice text)
{
	json_t *object = json_object();

	json_object_set_new_nocheck(object, special_names[special],
				    json_stringn_nocheck((const char *)text.data, text.size));
	return object;
}

static json_t *bytes_new(struct lw_slice bytes)
{
	LW_AUTO_BUF text = { 0 };

	add_base64(bytes, &text);
	lw_buf_text(&text);
	return special_new(SPECIAL_BYTES, lw_buf_slice(&text));
}

static json_t *uint_new(uint64_t u)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)u);
	return special_new(SPECIAL_INT, slice_of(text));
}

static json_t *tree_of(struct place *place);

static json_t *map_new(struct place *place, uint32_t pairs)
{
	json_t *object = json_object();
	LW_AUTO_BUF text = { 0 };

	for (uint32_t i = 0; i < pairs; i++) {
		const uint8_t *start = place->at;
		struct lw_item key;

		text.size = 0;
		if (lw_item_read(&place->at, place->end, &key) < 0)
			break;
		if (is_plain_key(&key)) {
			lw_buf_add(&text, "$", needs_escape(pairs, &key) ? 1 : 0);
			lw_buf_add(&text, key.s.data, key.s.size);
		} else {
			place->at = start;
			key_text(place, &text);
		}
		json_object_set_new_nocheck(object, lw_buf_text(&text), tree_of(place));
	}
	return object;
}

static json_t *list_new(struct place *place, uint32_t values)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < values; i++)
		json_array_append_new(array, tree_of(place));
	return array;
}

static json_t *tree_of(struct place *place)
{
	struct lw_item item;

	if (lw_item_read(&place->at, place->end, &item) < 0) {
		place->at = place->end;
		return json_null();
	}
	switch (item.type) {
	case LW_NIL:
		break;
	case LW_TRUTH:
		return json_boolean(item.truth);
	case LW_INT:
		return json_integer(item.i);
	case LW_UINT:
		return uint_new(item.u);
	case LW_FLOAT:
		return isfinite(item.f) ? json_real(item.f)
					: special_new(SPECIAL_FLOAT, slice_of(float_name(item.f)));
	case LW_TEXT:
		return json_stringn_nocheck((const char *)item.s.data, item.s.size);
	case LW_BYTES:
		return bytes_new(item.s);
	case LW_LIST:
		return list_new(place, item.n);
	case LW_MAP:
		return map_new(place, item.n);
	}
	return json_null();
}

json_t *lw_value_to_json(struct lw_slice value)
{
	struct place place = { value.data, lw_slice_end(value), false };
	json_t *json = tree_of(&place);

	if (json == NULL)
		lw_fatal("out of memory for JSON of %zu bytes", value.size);
	return json;
}

/* ---- a tree to text --------------------------------------------------------------- */

struct layout {
	struct lw_buf *out;
	size_t indent; /* spaces a level; 0: all on one line */
	size_t level;
};

static void print_tree(struct layout *layout, const json_t *json);

/* Before the first or a later member, or the end, of what is open. */
static void print_break(struct layout *layout, const char *before)
{
	add_text(before, layout->out);
	if (layout->indent > 0)
		lw_buf_printf(layout->out, "\n%*s", (int)(layout->indent * layout->level), "");
}

static void print_object(struct layout *layout, json_t *json)
{
	const char *key;
	json_t *value;
	bool first = true;

	add_text("{", layout->out);
	layout->level++;
	json_object_foreach(json, key, value)
	{
		print_break(layout, first ? "" : ",");
		add_quoted(slice_of(key), layout->out);
		add_text(layout->indent > 0 ? ": " : ":", layout->out);
		print_tree(layout, value);
		first = false;
	}
	layout->level--;
	if (!first)
		print_break(layout, "");
	add_text("}", layout->out);
}

static void print_array(struct layout *layout, const json_t *json)
{
	size_t n = json_array_size(json);

	add_text("[", layout->out);
	layout->level++;
	for (size_t i = 0; i < n; i++) {
		print_break(layout, i == 0 ? "" : ",");
		print_tree(layout, json_array_get(json, i));
	}
	layout->level--;
	if (n > 0)
		print_break(layout, "");
	add_text("]", layout->out);
}

static void print_tree(struct layout *layout, const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		print_object(layout, (json_t *)(uintptr_t)json);
		break;
	case JSON_ARRAY:
		print_array(layout, json);
		break;
	case JSON_STRING:
		add_quoted((struct lw_slice){ (const uint8_t *)json_string_value(json),
					      json_string_length(json) },
			   layout->out);
		break;
	case JSON_INTEGER:
		print_int(json_integer_value(json), layout->out);
		break;
	case JSON_REAL:
		add_float(json_real_value(json), layout->out);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		add_text(json_is_true(json) ? "true" : "false", layout->out);
		break;
	case JSON_NULL:
		add_text("null", layout->out);
		break;
	}
}

void lw_json_print(const json_t *json, size_t indent, struct lw_buf *out)
{
	struct layout layout = { out, indent, 0 };

	print_tree(&layout, json);
}

/* ---- from a tree ------------------------------------------------------------------ */

struct reading {
	struct lw_buf *out;
	struct lw_err *err;
	size_t start; /* of the value in `out` */
	size_t items;
	unsigned depth;
};

static int read_json(struct reading *reading, const json_t *json);

static int read_bytes(struct reading *reading, const char *text, size_t size)
{
	LW_AUTO_BUF bytes = { 0 };

	if (read_base64(text, size, &bytes) < 0)
		return lw_err_set(reading->err, -EINVAL, "the value of '$bytes' is not base64");
	lw_put_bytes(reading->out, bytes.data, bytes.size);
	return 0;
}

static int read_float(struct reading *reading, const char *text)
{
	static const struct {
		const char *name;
		double value;
	} floats[] = { { "nan", NAN }, { "inf", INFINITY }, { "-inf", -INFINITY } };

	for (size_t i = 0; i < LW_COUNT(floats); i++) {
		if (strcmp(floats[i].name, text) == 0) {
			lw_put_float(reading->out, floats[i].value);
			return 0;
		}
	}
	return lw_err_set(reading->err, -EINVAL, "the value of '$float' is not nan, inf or -inf");
}

static int read_uint(struct reading *reading, const char *text)
{
	char *end;

	errno = 0;
	unsigned long long u = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
		return lw_err_set(reading->err, -EINVAL,
				  "the value of '$int' is not a number below 2^64");
	lw_put_uint(reading->out, u);
	return 0;
}

static int read_special(struct reading *reading, int special, const json_t *json)
{
	const char *text = json_string_value(json);

	if (text == NULL)
		return lw_err_set(reading->err, -EINVAL, "the value of '%s' is not a string",
				  special_names[special]);
	if (special == SPECIAL_BYTES)
		return read_bytes(reading, text, json_string_length(json));
	return special == SPECIAL_FLOAT ? read_float(reading, text) : read_uint(reading, text);
}

static int read_text(struct reading *reading, const char *text, size_t size)
{
	if (!lw_text_is_utf8(text, size))
		return lw_err_set(reading->err, -EINVAL, "text is not UTF-8");
	lw_put_text(reading->out, text, size);
	return 0;
}

static int read_pairs(struct reading *reading, const json_t *json, size_t cut)
{
	void *cursor = json_object_iter((json_t *)(uintptr_t)json);
	int r;

	lw_put_map(reading->out, (uint32_t)json_object_size(json));
	for (; cursor != NULL; cursor = json_object_iter_next((json_t *)(uintptr_t)json, cursor)) {
		const char *key = json_object_iter_key(cursor);

		r = read_text(reading, key + cut, strlen(key) - cut);
		if (r >= 0)
			r = read_json(reading, json_object_iter_value(cursor));
		if (r < 0)
			return r;
	}
	return 0;
}

/* The special name that is the only key of `json`, behind *ret_more further "$"; or -1. */
static int special_key(const json_t *json, size_t *ret_more)
{
	void *only = NULL;
	const char *key;

	if (json_object_size(json) == 1)
		only = json_object_iter((json_t *)(uintptr_t)json);
	if (only == NULL)
		return -1;
	key = json_object_iter_key(only);
	return special_of(key, strlen(key), ret_more);
}

static int read_object(struct reading *reading, const json_t *json)
{
	size_t more;

	return read_pairs(reading, json, special_key(json, &more) >= 0 ? 1 : 0);
}

static int read_array(struct reading *reading, const json_t *json)
{
	size_t size = json_array_size(json);
	int r = 0;

	lw_put_list(reading->out, (uint32_t)size);
	for (size_t i = 0; i < size && r >= 0; i++)
		r = read_json(reading, json_array_get(json, i));
	return r;
}

static int read_branch(struct reading *reading, const json_t *json)
{
	int r;

	if (reading->depth == LW_DEPTH_MAX)
		return lw_err_set(reading->err, -E2BIG, "nested more than %d deep", LW_DEPTH_MAX);
	reading->items += json_array_size(json) + 2 * json_object_size(json);
	if (reading->items > LW_ITEMS_MAX)
		return lw_err_set(reading->err, -E2BIG, "more than %u values in one", LW_ITEMS_MAX);
	reading->depth++;
	r = json_is_array(json) ? read_array(reading, json) : read_object(reading, json);
	reading->depth--;
	return r;
}

static int read_leaf(struct reading *reading, const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_STRING:
		return read_text(reading, json_string_value(json), json_string_length(json));
	case JSON_INTEGER:
		lw_put_int(reading->out, json_integer_value(json));
		return 0;
	case JSON_REAL:
		lw_put_float(reading->out, json_real_value(json));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		lw_put_truth(reading->out, json_is_true(json));
		return 0;
	case JSON_NULL:
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	lw_put_nil(reading->out);
	return 0;
}

static int read_json(struct reading *reading, const json_t *json)
{
	size_t more = 0;
	int special = special_key(json, &more);
	int r;

	if (special >= 0 && more == 0) /* no list or map: it may stand as deep as any other leaf */
		r = read_special(
			reading, special,
			json_object_iter_value(json_object_iter((json_t *)(uintptr_t)json)));
	else if (json_is_object(json) || json_is_array(json))
		r = read_branch(reading, json);
	else
		r = read_leaf(reading, json);
	if (r >= 0 && reading->out->size - reading->start > LW_VALUE_MAX)
		r = lw_err_set(reading->err, -E2BIG, "a value of more than %u bytes", LW_VALUE_MAX);
	return r;
}

int lw_value_from_json(const json_t *json, struct lw_buf *out, struct lw_err *err)
{
	struct reading reading = { .out = out, .err = err, .start = out->size, .items = 1 };
	int r;

	if (json == NULL) {
		lw_put_nil(out);
		return 0;
	}
	r = read_json(&reading, json);
	if (r < 0)
		out->size = reading.start;
	return r;
}
