/* lw_call.h - a call and its canonical form: what "the same arguments" means.
 *
 * A call is one msgpack list of four, as given:
 *
 *     [ work name, cache version or nil, [positional ...], {named ...} ]
 *
 * or, where files are part of what it is, with [cache version or nil, digest] in the second place.
 *
 * The whole of it obeys the bounds of one value (lw_value.h).
 *
 * Its canonical form has the same layout, with every value in the one spelling that
 * all equal values share: integers and integral floats as the shortest integer, other
 * floats as float64 (one NaN), text and bytes with the shortest head, the keys of maps
 * sorted by their encoded bytes and refused when given twice. Equality of calls is
 * equality of these bytes. Vectors: tests/vectors/canon.json.
 *
 * The key is XXH3-128 of the canonical form under a random secret of the store. It
 * finds a call; it never decides alone (every hit compares the whole form).
 */
#ifndef LW_CALL_H
#define LW_CALL_H

#include "lw_buf.h"
#include "lw_err.h"
#include "lw_value.h"

#define LW_KEY_SECRET 192 /* bytes; XXH3 wants 136 or more */

struct lw_key {
	uint64_t low, high;
};

/* Names of named arguments that are left out of the canonical form, unseen. */
struct lw_names {
	char **names;
	size_t count;
};

/* Starts a call in an empty `out`: [ work, version, ... ; append the list of positional
 * and the map of named arguments, in this order. `version` NULL is nil. */
void lw_call_begin(struct lw_buf *out, const char *work, const char *version);
/* The same with the digest of files that are part of what the call is: in the place of the version
 * stands the list [version, digest]. An empty digest: none are. */
void lw_call_begin_with(struct lw_buf *out, const char *work, const char *version,
			struct lw_slice digest);

/* The two halves of a checked call. */
void lw_call_parts(struct lw_slice call, struct lw_slice *ret_positional,
		   struct lw_slice *ret_named);

/* Brings a call that is well-formed (built by us, or checked) into canonical form. When it
 * has that form already *ret_form is `call` itself, without a copy; else it lies in
 * `scratch`, which is emptied first. -EINVAL: a key given twice, or too deep or too large. */
LW_MUST_USE int lw_call_canon(struct lw_slice call, const struct lw_names *ignore,
			      struct lw_buf *scratch, struct lw_slice *ret_form,
			      struct lw_err *err);

/* A pair of a map that is being written: offsets of its key, its value and what follows. */
struct lw_pair {
	size_t key, value, end;
};
/* Brings pairs that lie one behind the other at the end of `out`, all in canonical form, into
 * canonical order. Returns one whose key is given twice, or NULL. */
const struct lw_pair *lw_pairs_order(struct lw_buf *out, struct lw_pair *pairs, size_t n);

/* Canonical form of any one value, appended to `out` (the vectors; tests). */
LW_MUST_USE int lw_value_canon(struct lw_slice value, struct lw_buf *out, struct lw_err *err);

struct lw_key lw_key_of(struct lw_slice form, const uint8_t secret[LW_KEY_SECRET]);
void lw_key_print(struct lw_key key, char text[33]);                    /* 32 hex digits */
LW_MUST_USE int lw_key_parse(const char *text, struct lw_key *ret_key); /* or -EINVAL */

/* A person's way to read a call: ('A', 2, lr=0.1), without arguments (); cut with "..." so
 * that at most `most` bytes are added to `out`. */
void lw_call_print(struct lw_slice call, size_t most, struct lw_buf *out);

/* Arguments from JSON appended to a begun call: `positional` a list or NULL, `named` an
 * object or NULL. */
LW_MUST_USE int lw_call_add_json(struct lw_buf *call, const json_t *positional, const json_t *named,
				 struct lw_err *err);

#endif
