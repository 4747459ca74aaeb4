/* lw_call.c - a call, its canonical form and its key.
 *
 * Called by the run cache for every call the flow makes, so the common case is fast: one
 * walk finds that a call has its canonical form already, and nothing is copied. Otherwise
 * the form is written behind each other into the scratch buffer and maps are put in order
 * there. Calls are trusted to be well-formed; depth, items and size are bounded here.
 */
#include <errno.h>
#include <stdio.h>
#include <xxhash.h>

#include "lw_call.h"

#define CALL_HEAD 0x94 /* a list of four */
#define SMALL_MAP 16   /* pairs put in order without taking memory */
#define NAN_BITS  0x7ff8000000000000u
#define TWO_TO_63 9223372036854775808.0
#define TWO_TO_64 18446744073709551616.0
#define KEY_SHOWN 64 /* bytes of a key in an error */

void lw_call_begin_with(struct lw_buf *out, const char *work, const char *version,
			struct lw_slice digest)
{
	lw_put_list(out, 4);
	lw_put_cstr(out, work);
	if (digest.size > 0)
		lw_put_list(out, 2);
	if (version != NULL)
		lw_put_cstr(out, version);
	else
		lw_put_nil(out);
	if (digest.size > 0)
		lw_put_bytes(out, digest.data, digest.size);
}

void lw_call_begin(struct lw_buf *out, const char *work, const char *version)
{
	lw_call_begin_with(out, work, version, (struct lw_slice){ 0 });
}

void lw_call_parts(struct lw_slice call, struct lw_slice *ret_positional,
		   struct lw_slice *ret_named)
{
	const uint8_t *at = call.data + 1, *end = call.data + call.size;
	size_t size;

	at += lw_value_size(at, end);
	at += lw_value_size(at, end);
	size = lw_value_size(at, end);
	*ret_positional = (struct lw_slice){ at, size };
	*ret_named = (struct lw_slice){ at + size, (size_t)(end - at) - size };
}

/* ---- one walk: is it canonical? ---------------------------------------------------- */

/* For heads 0xc4 to 0xdf, the least magnitude that needs them: of a number, a length, or
 * for negative numbers of ~i. Never: what no canonical form has. */
#define NEVER UINT64_MAX
static const uint64_t least_magnitude[0xe0 - 0xc4] = {
	[0xc4 - 0xc4] = 0,        [0xc5 - 0xc4] = 1u << 8,
	[0xc6 - 0xc4] = 1u << 16, [0xc7 - 0xc4] = NEVER,
	[0xc8 - 0xc4] = NEVER,    [0xc9 - 0xc4] = NEVER,
	[0xca - 0xc4] = NEVER,    [0xcb - 0xc4] = NEVER,
	[0xcc - 0xc4] = 1u << 7,  [0xcd - 0xc4] = 1u << 8,
	[0xce - 0xc4] = 1u << 16, [0xcf - 0xc4] = (uint64_t)1 << 32,
	[0xd0 - 0xc4] = 32,       [0xd1 - 0xc4] = 1u << 7,
	[0xd2 - 0xc4] = 1u << 15, [0xd3 - 0xc4] = (uint64_t)1 << 31,
	[0xd4 - 0xc4] = NEVER,    [0xd5 - 0xc4] = NEVER,
	[0xd6 - 0xc4] = NEVER,    [0xd7 - 0xc4] = NEVER,
	[0xd8 - 0xc4] = NEVER,    [0xd9 - 0xc4] = 32,
	[0xda - 0xc4] = 1u << 8,  [0xdb - 0xc4] = 1u << 16,
	[0xdc - 0xc4] = 16,       [0xdd - 0xc4] = 1u << 16,
	[0xde - 0xc4] = 16,       [0xdf - 0xc4] = 1u << 16,
};

static bool float_is_integer(double f)
{
	if (f >= -TWO_TO_63 && f < TWO_TO_63)
		return (double)(int64_t)f == f;
	return f >= TWO_TO_63 && f < TWO_TO_64;
}

static uint64_t float_bits(double f)
{
	uint64_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return f != f ? NAN_BITS : bits;
}

static bool float_is_canonical(const uint8_t *at, double f)
{
	static const uint8_t nan_text[] = { 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0 };

	if (*at != 0xcb || float_is_integer(f))
		return false;
	return f == f || memcmp(at, nan_text, sizeof(nan_text)) == 0;
}

static uint64_t magnitude(uint8_t head, const struct lw_item *item)
{
	switch (item->type) {
	case LW_INT:
		if (head < 0xd0)
			return (uint64_t)item->i;
		return item->i < 0 ? ~(uint64_t)item->i : 0; /* a positive one has no such head */
	case LW_UINT:
		return item->u;
	case LW_TEXT:
	case LW_BYTES:
		return item->s.size;
	case LW_LIST:
	case LW_MAP:
		return item->n;
	case LW_NIL:
	case LW_TRUTH:
	case LW_FLOAT:
		break;
	}
	return 0;
}

/* Whether `item`, read at `at`, has the one head that canonical form gives it. */
static inline bool head_is_canonical(const uint8_t *at, const struct lw_item *item)
{
	if (*at < 0xc4 || *at >= 0xe0)
		return true;
	if (item->type == LW_FLOAT)
		return float_is_canonical(at, item->f);
	return magnitude(*at, item) >= least_magnitude[*at - 0xc4];
}

/* Order of keys: their canonical bytes, the shorter first where one begins the other. */
static int compare(struct lw_slice a, struct lw_slice b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = memcmp(a.data, b.data, size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static bool is_ignored(struct lw_slice key, const struct lw_names *ignore)
{
	struct lw_item item;
	const uint8_t *at = key.data;

	if (lw_item_read(&at, key.data + key.size, &item) < 0 || item.type != LW_TEXT)
		return false;
	for (size_t i = 0; i < ignore->count; i++)
		if (strlen(ignore->names[i]) == item.s.size &&
		    memcmp(ignore->names[i], item.s.data, item.s.size) == 0)
			return true;
	return false;
}

struct walk {
	const uint8_t *at, *end;
	uint64_t items;
	unsigned depth; /* of lists and maps around `at` */
};

static bool scan(struct walk *walk);

static bool scan_list(struct walk *walk, uint32_t values)
{
	for (uint32_t i = 0; i < values; i++)
		if (!scan(walk))
			return false;
	return true;
}

static bool scan_map(struct walk *walk, uint32_t pairs, const struct lw_names *ignore)
{
	struct lw_slice key, before = { NULL, 0 };

	for (uint32_t i = 0; i < pairs; i++) {
		key.data = walk->at;
		if (!scan(walk))
			return false;
		key.size = (size_t)(walk->at - key.data);
		if (i > 0 && compare(before, key) >= 0)
			return false;
		if (ignore != NULL && is_ignored(key, ignore))
			return false;
		if (!scan(walk))
			return false;
		before = key;
	}
	return true;
}

/* Steps over a value that has but one spelling and is told by its first byte: most are. */
static inline bool skip_short(struct walk *walk)
{
	uint8_t head;

	if (walk->at >= walk->end)
		return false;
	head = *walk->at;
	if (head < 0x80 || head >= 0xe0 || head == 0xc0 || head == 0xc2 || head == 0xc3) {
		walk->at++;
		return true;
	}
	if ((head & 0xe0) != 0xa0 || walk->end - walk->at <= (head & 0x1f))
		return false;
	walk->at += 1 + (head & 0x1f);
	return true;
}

/* Steps over one canonical value. False: it is none, or breaks a bound; the writer will
 * find out which. */
static bool scan(struct walk *walk)
{
	const uint8_t *head = walk->at;
	struct lw_item item;
	bool same;

	if (skip_short(walk))
		return true;
	if (lw_item_read(&walk->at, walk->end, &item) < 0 || !head_is_canonical(head, &item))
		return false;
	if (item.type < LW_LIST)
		return true;
	walk->items += item.type == LW_MAP ? 2 * (uint64_t)item.n : item.n;
	if (walk->items > LW_ITEMS_MAX || walk->depth == LW_DEPTH_MAX)
		return false;
	walk->depth++;
	same = item.type == LW_LIST ? scan_list(walk, item.n) : scan_map(walk, item.n, NULL);
	walk->depth--;
	return same;
}

/* The same for a call, whose last map may hold names to leave out. */
static bool scan_call(struct lw_slice call, const struct lw_names *ignore)
{
	struct walk walk = { call.data + 1, call.data + call.size, 5, 1 };
	const uint8_t *head;
	struct lw_item item;

	if (!scan(&walk) || !scan(&walk) || !scan(&walk))
		return false;
	head = walk.at;
	if (lw_item_read(&walk.at, walk.end, &item) < 0 || item.type != LW_MAP ||
	    !head_is_canonical(head, &item))
		return false;
	walk.items += 2 * (uint64_t)item.n;
	walk.depth++;
	return walk.items <= LW_ITEMS_MAX && scan_map(&walk, item.n, ignore);
}

/* ---- writing the form ---------------------------------------------------------------- */

struct writing {
	struct walk walk;
	struct lw_buf *out;
	struct lw_err *err;
};

static int write_value(struct writing *writing);

static void write_float(struct lw_buf *out, double f)
{
	uint64_t bits = float_bits(f);
	uint8_t text[9] = { 0xcb };

	if (float_is_integer(f)) {
		if (f < TWO_TO_63)
			lw_put_int(out, (int64_t)f);
		else
			lw_put_uint(out, (uint64_t)f);
		return;
	}
	for (unsigned i = 0; i < 8; i++)
		text[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
	lw_buf_add(out, text, sizeof(text));
}

static int enter(struct writing *writing, uint64_t values)
{
	writing->walk.items += values;
	if (writing->walk.items > LW_ITEMS_MAX)
		return lw_err_set(writing->err, -EINVAL, "more than %u values in one",
				  LW_ITEMS_MAX);
	if (writing->walk.depth == LW_DEPTH_MAX)
		return lw_err_set(writing->err, -EINVAL, "nested more than %d deep", LW_DEPTH_MAX);
	writing->walk.depth++;
	return 0;
}

static int write_list(struct writing *writing, uint32_t values)
{
	int r = enter(writing, values);

	if (r < 0)
		return r;
	lw_put_list(writing->out, values);
	for (uint32_t i = 0; i < values && r >= 0; i++)
		r = write_value(writing);
	writing->walk.depth--;
	return r;
}

static struct lw_slice key_of(const struct lw_pair *pair, const uint8_t *base)
{
	return (struct lw_slice){ base + pair->key, pair->value - pair->key };
}

static int compare_pairs(const void *a, const void *b, void *base)
{
	return compare(key_of(a, base), key_of(b, base));
}

static void sort_small(struct lw_pair *pairs, size_t n, const uint8_t *base)
{
	for (size_t i = 1; i < n; i++) {
		struct lw_pair moving = pairs[i];
		size_t at = i;

		for (; at > 0 && compare(key_of(&moving, base), key_of(&pairs[at - 1], base)) < 0;
		     at--)
			pairs[at] = pairs[at - 1];
		pairs[at] = moving;
	}
}

static int key_twice(struct lw_slice key, struct lw_err *err)
{
	const uint8_t *at = key.data;
	LW_AUTO_BUF text = { 0 };
	struct lw_item item;

	if (lw_item_read(&at, key.data + key.size, &item) == 0 && item.type == LW_TEXT)
		lw_buf_add(&text, item.s.data, item.s.size);
	else
		lw_value_print_json(key, &text);
	return lw_err_set(err, -EINVAL, "key '%.*s' is given twice",
			  (int)lw_utf8_cut(text.data, text.size, KEY_SHOWN), (char *)text.data);
}

/* They are copied in order behind the last, then moved to the place of the first. */
const struct lw_pair *lw_pairs_order(struct lw_buf *out, struct lw_pair *pairs, size_t n)
{
	size_t start, size;
	bool sorted = true;

	for (size_t i = 1; i < n && sorted; i++)
		sorted = compare_pairs(&pairs[i - 1], &pairs[i], out->data) < 0;
	if (sorted)
		return NULL;
	start = pairs[0].key;
	size = out->size - start;
	if (n <= SMALL_MAP)
		sort_small(pairs, n, out->data);
	else
		qsort_r(pairs, n, sizeof(pairs[0]), compare_pairs, out->data);
	for (size_t i = 1; i < n; i++)
		if (compare_pairs(&pairs[i - 1], &pairs[i], out->data) == 0)
			return &pairs[i];
	lw_buf_grow(out, size);
	for (size_t i = 0; i < n; i++)
		lw_buf_add(out, out->data + pairs[i].key, pairs[i].end - pairs[i].key);
	memcpy(out->data + start, out->data + start + size, size);
	out->size = start + size;
	return NULL;
}

static int write_pairs(struct writing *writing, struct lw_pair *pairs, uint32_t n)
{
	const struct lw_pair *twice;
	int r = 0;

	for (uint32_t i = 0; i < n; i++) {
		pairs[i].key = writing->out->size;
		r = write_value(writing);
		pairs[i].value = writing->out->size;
		if (r >= 0)
			r = write_value(writing);
		pairs[i].end = writing->out->size;
		if (r < 0)
			return r;
	}
	twice = lw_pairs_order(writing->out, pairs, n);
	return twice != NULL ? key_twice(key_of(twice, writing->out->data), writing->err) : 0;
}

static int write_map(struct writing *writing, uint32_t n)
{
	struct lw_pair few[SMALL_MAP];
	LW_AUTO(lw_free) struct lw_pair *many = NULL;
	int r = enter(writing, 2 * (uint64_t)n);

	if (r < 0)
		return r;
	if (n > SMALL_MAP)
		many = lw_alloc(n * sizeof(*many));
	lw_put_map(writing->out, n);
	r = write_pairs(writing, many != NULL ? many : few, n);
	writing->walk.depth--;
	return r;
}

static int write_value(struct writing *writing)
{
	const uint8_t *head = writing->walk.at;
	struct lw_item item;

	if (lw_item_read(&writing->walk.at, writing->walk.end, &item) < 0)
		return lw_err_set(writing->err, -EINVAL, "no whole value");
	switch (item.type) {
	case LW_NIL:
	case LW_TRUTH:
		lw_buf_add(writing->out, head, 1);
		break;
	case LW_INT:
		lw_put_int(writing->out, item.i);
		break;
	case LW_UINT:
		lw_put_uint(writing->out, item.u);
		break;
	case LW_FLOAT:
		write_float(writing->out, item.f);
		break;
	case LW_TEXT:
		lw_put_text(writing->out, (const char *)item.s.data, item.s.size);
		break;
	case LW_BYTES:
		lw_put_bytes(writing->out, item.s.data, item.s.size);
		break;
	case LW_LIST:
		return write_list(writing, item.n);
	case LW_MAP:
		return write_map(writing, item.n);
	}
	return 0;
}

static int check_size(struct lw_slice value, struct lw_err *err)
{
	if (value.size > LW_VALUE_MAX)
		return lw_err_set(err, -EINVAL, "%zu bytes of arguments, more than %u", value.size,
				  LW_VALUE_MAX);
	return 0;
}

int lw_value_canon(struct lw_slice value, struct lw_buf *out, struct lw_err *err)
{
	struct writing writing = { { value.data, lw_slice_end(value), 1, 0 }, out, err };
	size_t start = out->size;
	int r = check_size(value, err);

	if (r >= 0)
		r = write_value(&writing);
	if (r < 0)
		out->size = start;
	return r;
}

/* Copies the named arguments that count: `call` without the ignored ones, otherwise as
 * given. */
static void leave_out(struct lw_slice call, const struct lw_names *ignore, struct lw_buf *out)
{
	struct lw_slice positional, named;
	LW_AUTO_BUF kept = { 0 };
	struct lw_item head;
	const uint8_t *at, *end;
	uint32_t n = 0;

	lw_call_parts(call, &positional, &named);
	at = named.data;
	end = at + named.size;
	if (lw_item_read(&at, end, &head) < 0)
		return;
	for (uint32_t i = 0; i < head.n; i++) {
		struct lw_slice key = { at, lw_value_size(at, end) };
		size_t size = key.size + lw_value_size(at + key.size, end);

		if (!is_ignored(key, ignore)) {
			lw_buf_add(&kept, at, size);
			n++;
		}
		at += size;
	}
	lw_buf_add(out, call.data, (size_t)(named.data - call.data));
	lw_put_map(out, n);
	lw_buf_add(out, kept.data, kept.size);
}

static int write_form(struct lw_slice call, const struct lw_names *ignore, struct lw_buf *scratch,
		      struct lw_err *err)
{
	LW_AUTO_BUF kept = { 0 };

	if (ignore != NULL) {
		leave_out(call, ignore, &kept);
		call = lw_buf_slice(&kept);
	}
	scratch->size = 0;
	return lw_value_canon(call, scratch, err);
}

int lw_call_canon(struct lw_slice call, const struct lw_names *ignore, struct lw_buf *scratch,
		  struct lw_slice *ret_form, struct lw_err *err)
{
	int r;

	if (ignore != NULL && ignore->count == 0)
		ignore = NULL;
	if (call.size == 0 || call.data[0] != CALL_HEAD)
		return lw_err_set(err, -EINVAL, "no call");
	r = check_size(call, err);
	if (r < 0)
		return r;
	if (scan_call(call, ignore)) {
		*ret_form = call;
		return 0;
	}
	r = write_form(call, ignore, scratch, err);
	if (r >= 0)
		*ret_form = lw_buf_slice(scratch);
	return r;
}

/* ---- the key -------------------------------------------------------------------------- */

/* The distributions' library also has one that takes the widest vectors the processor has:
 * twice as fast on large forms, the same hash. Without it this is NULL. */
extern __typeof__(XXH3_128bits_withSecret) XXH3_128bits_withSecret_dispatch __attribute__((weak));

#define LARGE_FORM 1024

static XXH128_hash_t hash(struct lw_slice form, const uint8_t *secret)
{
	if (form.size >= LARGE_FORM && XXH3_128bits_withSecret_dispatch != NULL)
		return XXH3_128bits_withSecret_dispatch(form.data, form.size, secret,
							LW_KEY_SECRET);
	return XXH3_128bits_withSecret(form.data, form.size, secret, LW_KEY_SECRET);
}

struct lw_key lw_key_of(struct lw_slice form, const uint8_t secret[LW_KEY_SECRET])
{
	XXH128_hash_t is = hash(form, secret);

	return (struct lw_key){ .low = is.low64, .high = is.high64 };
}

static void print_half(uint64_t half, char *text)
{
	for (unsigned i = 0; i < 16; i++)
		text[i] = "0123456789abcdef"[half >> (60 - 4 * i) & 15];
}

void lw_key_print(struct lw_key key, char text[33])
{
	print_half(key.high, text);
	print_half(key.low, text + 16);
	text[32] = '\0';
}

static int read_half(const char *text, uint64_t *ret_half)
{
	uint64_t half = 0;

	for (unsigned i = 0; i < 16; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			half = half << 4 | (uint64_t)(text[i] - '0');
		else if (text[i] >= 'a' && text[i] <= 'f')
			half = half << 4 | (uint64_t)(text[i] - 'a' + 10);
		else
			return -EINVAL;
	}
	*ret_half = half;
	return 0;
}

int lw_key_parse(const char *text, struct lw_key *ret_key)
{
	struct lw_key key;

	if (strlen(text) != 32 || read_half(text, &key.high) < 0 ||
	    read_half(text + 16, &key.low) < 0)
		return -EINVAL;
	*ret_key = key;
	return 0;
}

/* ---- for a person ------------------------------------------------------------------------ */

struct printing {
	struct walk walk;
	struct lw_buf *out;
	size_t most; /* size of `out` after which nothing need be written */
};

static void print_value(struct printing *printing);

static bool is_full(const struct printing *printing)
{
	return printing->out->size > printing->most;
}

static void print_text(struct printing *printing, struct lw_slice text)
{
	struct lw_buf *out = printing->out;

	lw_buf_add(out, "'", 1);
	for (size_t i = 0; i < text.size && !is_full(printing); i++) {
		uint8_t c = text.data[i];

		if (c == '\n' || c == '\t')
			lw_buf_add(out, c == '\n' ? "\\n" : "\\t", 2);
		else if (c == '\'' || c == '\\')
			lw_buf_add(out, (const uint8_t[]){ '\\', c }, 2);
		else if (c < ' ' || c == 0x7f)
			lw_buf_printf(out, "\\x%02x", c);
		else
			lw_buf_add(out, &c, 1);
	}
	lw_buf_add(out, "'", 1);
}

/* Names of arguments and keys of maps: bare. */
static void print_name(struct printing *printing)
{
	const uint8_t *at = printing->walk.at;
	struct lw_item item;

	if (lw_item_read(&at, printing->walk.end, &item) < 0 || item.type != LW_TEXT) {
		print_value(printing);
		return;
	}
	printing->walk.at = at;
	for (size_t i = 0; i < item.s.size && !is_full(printing); i++)
		lw_buf_add(printing->out,
			   item.s.data[i] < ' ' ? (const uint8_t *)"?" : &item.s.data[i], 1);
}

/* `n` values, or with a `sign` between them `n` pairs. False: it is full. */
static bool print_row(struct printing *printing, uint32_t n, const char *sign, bool first)
{
	for (uint32_t i = 0; i < n; i++) {
		if (is_full(printing))
			return false;
		if (!first || i > 0)
			lw_buf_add(printing->out, ", ", 2);
		if (sign != NULL) {
			print_name(printing);
			lw_buf_add(printing->out, sign, strlen(sign));
		}
		print_value(printing);
	}
	return true;
}

static void print_number(struct lw_buf *out, double f)
{
	char text[LW_FLOAT_TEXT];

	lw_float_print(f, text);
	lw_buf_add(out, text, strlen(text));
}

static void print_value(struct printing *printing)
{
	struct lw_buf *out = printing->out;
	struct lw_item item;

	if (is_full(printing) || lw_item_read(&printing->walk.at, printing->walk.end, &item) < 0)
		return;
	switch (item.type) {
	case LW_NIL:
		lw_buf_add(out, "nil", 3);
		break;
	case LW_TRUTH:
		lw_buf_add(out, item.truth ? "true" : "false", item.truth ? 4 : 5);
		break;
	case LW_INT:
		lw_buf_printf(out, "%lld", (long long)item.i);
		break;
	case LW_UINT:
		lw_buf_printf(out, "%llu", (unsigned long long)item.u);
		break;
	case LW_FLOAT:
		print_number(out, item.f);
		break;
	case LW_TEXT:
		print_text(printing, item.s);
		break;
	case LW_BYTES:
		lw_buf_printf(out, "<%zu bytes>", item.s.size);
		break;
	case LW_LIST:
		lw_buf_add(out, "[", 1);
		print_row(printing, item.n, NULL, true);
		lw_buf_add(out, "]", 1);
		break;
	case LW_MAP:
		lw_buf_add(out, "{", 1);
		print_row(printing, item.n, ": ", true);
		lw_buf_add(out, "}", 1);
		break;
	}
}

/* The head of the list or map at the walk: how many are in it. */
static uint32_t open_branch(struct printing *printing)
{
	struct lw_item item;

	if (lw_item_read(&printing->walk.at, printing->walk.end, &item) < 0)
		return 0;
	return item.type >= LW_LIST ? item.n : 0;
}

void lw_call_print(struct lw_slice call, size_t most, struct lw_buf *out)
{
	struct printing printing = { .out = out, .most = out->size + most };
	struct lw_slice positional, named;
	size_t start = out->size, dots = most < 3 ? most : 3;
	uint32_t n;

	lw_call_parts(call, &positional, &named);
	printing.walk.at = positional.data;
	printing.walk.end = call.data + call.size;
	lw_buf_add(out, "(", 1);
	n = open_branch(&printing);
	if (print_row(&printing, n, NULL, true))
		print_row(&printing, open_branch(&printing), "=", n == 0);
	lw_buf_add(out, ")", 1);
	if (out->size - start <= most)
		return;
	out->size = start + lw_utf8_cut(out->data + start, out->size - start, most - dots);
	lw_buf_add(out, "...", dots);
}

/* ---- from JSON ---------------------------------------------------------------------------- */

/* `json`, or where it is NULL nothing, as a value whose first byte announces `type`. */
static int add_half(struct lw_buf *call, const json_t *json, enum lw_type type, const char *what,
		    struct lw_err *err)
{
	size_t start = call->size;
	struct lw_item head;
	const uint8_t *at;
	int r;

	if (json == NULL) {
		(type == LW_LIST ? lw_put_list : lw_put_map)(call, 0);
		return 0;
	}
	r = lw_value_from_json(json, call, err);
	if (r < 0)
		return lw_err_within(err, "%s arguments", what);
	at = call->data + start;
	if (lw_item_read(&at, call->data + call->size, &head) < 0 || head.type != type) {
		call->size = start;
		return lw_err_set(err, -EINVAL, "%s arguments are not %s", what,
				  type == LW_LIST ? "a list" : "an object");
	}
	return 0;
}

int lw_call_add_json(struct lw_buf *call, const json_t *positional, const json_t *named,
		     struct lw_err *err)
{
	size_t start = call->size;
	int r = add_half(call, positional, LW_LIST, "positional", err);

	if (r >= 0)
		r = add_half(call, named, LW_MAP, "named", err);
	if (r < 0)
		call->size = start;
	return r;
}
