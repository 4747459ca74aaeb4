/* lw_value.h - a value: msgpack bytes that were checked once.
 *
 * A value is a struct lw_slice that holds exactly one msgpack value without
 * extension types. Bytes from outside become a value by lw_value_check(); from
 * then on every reader trusts lengths and nesting. Text (msgpack str) is UTF-8,
 * anything else is bytes (msgpack bin). msgpack-c writes values; they are read
 * by the walk declared here, which allocates nothing.
 *
 * Thread rules: pure functions over memory the caller owns.
 */
#ifndef LW_VALUE_H
#define LW_VALUE_H

#include <jansson.h>

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_err.h"

#define LW_DEPTH_MAX 32          /* lists and maps within each other */
#define LW_ITEMS_MAX (1u << 20)  /* values in one value, itself included */
#define LW_VALUE_MAX (16u << 20) /* bytes of one value */

enum lw_type { LW_NIL, LW_TRUTH, LW_INT, LW_UINT, LW_FLOAT, LW_TEXT, LW_BYTES, LW_LIST, LW_MAP };

/* One step of the walk. A list of n is followed by its n values, a map of n by n
 * pairs. LW_UINT is used only for integers above INT64_MAX. */
struct lw_item {
	enum lw_type type;
	union {
		bool truth;
		int64_t i;
		uint64_t u;
		double f;
		struct lw_slice s; /* of text and bytes: borrowed from the value */
		uint32_t n;        /* of list and map: how many values, how many pairs */
	};
};

/* Reads one item at *at and moves *at behind its head (and its bytes). The only
 * function that looks at unchecked bytes: -EBADMSG when they end too early or are
 * no value of ours; no claimed length is believed beyond `end`. */
LW_MUST_USE static inline int lw_item_read(const uint8_t **at, const uint8_t *end,
					   struct lw_item *ret_item);

/* The same for the longer heads. */
LW_MUST_USE int lw_item_read_long(const uint8_t **at, const uint8_t *end, struct lw_item *ret_item);

/* One whole value and nothing behind it, within the bounds above, text in UTF-8,
 * no extension types, map keys unrestricted. -EBADMSG, -E2BIG with a sentence. */
LW_MUST_USE int lw_value_check(struct lw_slice value, struct lw_err *err);

/* The same for the first value of `bytes`; returns its size. Keys of maps that are
 * given twice are refused where the canonical form is made, not here. */
LW_MUST_USE int lw_value_check_first(struct lw_slice bytes, size_t *ret_size, struct lw_err *err);

/* Size of the first value at `at`, which was checked before. */
size_t lw_value_size(const uint8_t *at, const uint8_t *end);

bool lw_text_is_utf8(const void *text, size_t size);

/* Appends `text` with '?' for each byte that belongs to no character. */
void lw_text_clean(const void *text, size_t size, struct lw_buf *out);

/* The shortest text that reads back as `f`, with a point or an exponent if it is finite. */
#define LW_FLOAT_TEXT 40
void lw_float_print(double f, char text[LW_FLOAT_TEXT]);

/* ---- writing, by msgpack-c ---------------------------------------------------- */

void lw_put_nil(struct lw_buf *out);
void lw_put_truth(struct lw_buf *out, bool truth);
void lw_put_int(struct lw_buf *out, int64_t i);
void lw_put_uint(struct lw_buf *out, uint64_t u);
void lw_put_float(struct lw_buf *out, double f);
void lw_put_text(struct lw_buf *out, const char *text, size_t size); /* must be UTF-8 */
void lw_put_cstr(struct lw_buf *out, const char *text);              /* UTF-8: text, else bytes */
void lw_put_bytes(struct lw_buf *out, const void *bytes, size_t size);
void lw_put_list(struct lw_buf *out, uint32_t n);
void lw_put_map(struct lw_buf *out, uint32_t n);

/* ---- reading a map by name ------------------------------------------------------ */

/* The value under text key `name` of a checked map; false when there is none. */
bool lw_map_get(struct lw_slice map, const char *name, struct lw_slice *ret_value);

/* ---- JSON ------------------------------------------------------------------------
 * Bytes are {"$bytes": base64}, NaN and infinities {"$float": "nan"|"inf"|"-inf"}, integers
 * above INT64_MAX {"$int": "18446744073709551615"} (jansson refuses a text that has them as
 * numbers). An object that has one of these names (or one of them behind further "$") as
 * its only key is written with one more "$" before it, so that every value survives the
 * way there and back. Map keys that are not text, or text with a U+0000 in it, are written as
 * their JSON text (the one thing that does not come back), and within such a text as
 * base64 of their msgpack. Other text may hold U+0000: read it with JSON_ALLOW_NUL. */
json_t *lw_value_to_json(struct lw_slice value); /* a new reference */
void lw_value_print_json(struct lw_slice value, struct lw_buf *out);
/* Any bytes as JSON text in quotes, with '?' for each that belongs to no character. */
void lw_text_print_json(const void *text, size_t size, struct lw_buf *out);
/* A tree to text, each number by lw_float_print(); `indent` spaces a level, 0: on one line. */
void lw_json_print(const json_t *json, size_t indent, struct lw_buf *out);
LW_MUST_USE int lw_value_from_json(const json_t *json, struct lw_buf *out, struct lw_err *err);

/* ---- what has to be fast ---------------------------------------------------------- */

static inline int lw_item_read(const uint8_t **at, const uint8_t *end, struct lw_item *ret_item)
{
	uint8_t head;

	if (*at >= end)
		return lw_item_read_long(at, end, ret_item);
	head = **at;
	if (head < 0x80) {
		*ret_item = (struct lw_item){ .type = LW_INT, .i = head };
		*at += 1;
		return 0;
	}
	if ((head & 0xe0) == 0xa0 && end - *at > (head & 0x1f)) {
		ret_item->type = LW_TEXT;
		ret_item->s = (struct lw_slice){ *at + 1, head & 0x1f };
		*at += 1 + (head & 0x1f);
		return 0;
	}
	if ((head & 0xe0) == 0x80 && end - *at > 2 * (head & 0xf)) {
		ret_item->type = head < 0x90 ? LW_MAP : LW_LIST;
		ret_item->n = head & 0xf;
		*at += 1;
		return 0;
	}
	return lw_item_read_long(at, end, ret_item);
}

#endif
