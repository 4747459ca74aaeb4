/* lw_value.c - the walk over msgpack bytes, its checks, and the writers.
 *
 * Called by everything that reads or writes values. Nothing here allocates but the
 * buffers written to. Layout of a head: https://github.com/msgpack/msgpack spec.md;
 * the table `heads` is that page.
 */
#include <endian.h>
#include <errno.h>
#include <msgpack.h>

#include "lw_value.h"

/* What a first byte from 0xc0 to 0xdf announces. `wide` big-endian bytes follow it: the
 * value itself, or the length of what comes behind them. */
enum shape { REFUSED, CONSTANT, UNSIGNED, SIGNED, FLOATING, STRING, BRANCH };

static const struct head {
	uint8_t shape, type, wide;
} heads[32] = {
	[0xc0 - 0xc0] = { CONSTANT, LW_NIL, 0 },   [0xc2 - 0xc0] = { CONSTANT, LW_TRUTH, 0 },
	[0xc3 - 0xc0] = { CONSTANT, LW_TRUTH, 0 }, [0xc4 - 0xc0] = { STRING, LW_BYTES, 1 },
	[0xc5 - 0xc0] = { STRING, LW_BYTES, 2 },   [0xc6 - 0xc0] = { STRING, LW_BYTES, 4 },
	[0xca - 0xc0] = { FLOATING, LW_FLOAT, 4 }, [0xcb - 0xc0] = { FLOATING, LW_FLOAT, 8 },
	[0xcc - 0xc0] = { UNSIGNED, LW_INT, 1 },   [0xcd - 0xc0] = { UNSIGNED, LW_INT, 2 },
	[0xce - 0xc0] = { UNSIGNED, LW_INT, 4 },   [0xcf - 0xc0] = { UNSIGNED, LW_INT, 8 },
	[0xd0 - 0xc0] = { SIGNED, LW_INT, 1 },     [0xd1 - 0xc0] = { SIGNED, LW_INT, 2 },
	[0xd2 - 0xc0] = { SIGNED, LW_INT, 4 },     [0xd3 - 0xc0] = { SIGNED, LW_INT, 8 },
	[0xd9 - 0xc0] = { STRING, LW_TEXT, 1 },    [0xda - 0xc0] = { STRING, LW_TEXT, 2 },
	[0xdb - 0xc0] = { STRING, LW_TEXT, 4 },    [0xdc - 0xc0] = { BRANCH, LW_LIST, 2 },
	[0xdd - 0xc0] = { BRANCH, LW_LIST, 4 },    [0xde - 0xc0] = { BRANCH, LW_MAP, 2 },
	[0xdf - 0xc0] = { BRANCH, LW_MAP, 4 },
};

static uint64_t read_wide(const uint8_t *at, unsigned wide)
{
	uint64_t u64;
	uint32_t u32;

	switch (wide) {
	case 1:
		return at[0];
	case 2:
		return (uint64_t)at[0] << 8 | at[1];
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return be32toh(u32);
	case 8:
		memcpy(&u64, at, sizeof(u64));
		return be64toh(u64);
	default:
		return 0;
	}
}

static int64_t extend_sign(uint64_t u, unsigned wide)
{
	uint64_t sign = (uint64_t)1 << (8 * wide - 1);

	return (int64_t)((u ^ sign) - sign);
}

static double read_float(uint64_t u, unsigned wide)
{
	uint32_t narrow = (uint32_t)u;
	double f;
	float f32;

	if (wide == sizeof(f32)) {
		memcpy(&f32, &narrow, sizeof(f32));
		return (double)f32;
	}
	memcpy(&f, &u, sizeof(f));
	return f;
}

static int set_uint(struct lw_item *item, uint64_t u)
{
	item->type = u > INT64_MAX ? LW_UINT : LW_INT;
	item->u = u;
	return 0;
}

/* A value takes a byte at least, so no more of them can follow than there are bytes. */
static int set_branch(struct lw_item *item, enum lw_type type, uint64_t n, size_t left)
{
	if (n > (type == LW_MAP ? left / 2 : left))
		return -EBADMSG;
	item->type = type;
	item->n = (uint32_t)n;
	return 0;
}

static int set_string(struct lw_item *item, enum lw_type type, uint64_t size, const uint8_t **at,
		      size_t left)
{
	if (size > left)
		return -EBADMSG;
	item->type = type;
	item->s = (struct lw_slice){ *at, size };
	*at += size;
	return 0;
}

static int read_table(const uint8_t **at, const uint8_t *end, struct lw_item *item)
{
	uint8_t first = *(*at)++;
	const struct head *head = &heads[first - 0xc0];
	size_t left = (size_t)(end - *at);
	uint64_t u;

	if (head->shape == REFUSED || left < head->wide)
		return -EBADMSG;
	u = read_wide(*at, head->wide);
	*at += head->wide;
	left -= head->wide;
	item->type = head->type;
	switch ((enum shape)head->shape) {
	case CONSTANT:
		item->truth = first == 0xc3;
		return 0;
	case UNSIGNED:
		return set_uint(item, u);
	case SIGNED:
		item->i = extend_sign(u, head->wide);
		return 0;
	case FLOATING:
		item->f = read_float(u, head->wide);
		return 0;
	case STRING:
		return set_string(item, head->type, u, at, left);
	case BRANCH:
		return set_branch(item, head->type, u, left);
	case REFUSED:
		break;
	}
	return -EBADMSG;
}

int lw_item_read_long(const uint8_t **at, const uint8_t *end, struct lw_item *ret_item)
{
	uint8_t head;

	if (*at >= end)
		return -EBADMSG;
	head = **at;
	if (head >= 0xc0 && head < 0xe0)
		return read_table(at, end, ret_item);
	*at += 1;
	if (head < 0x80 || head >= 0xe0) {
		ret_item->type = LW_INT;
		ret_item->i = head < 0x80 ? head : (int64_t)head - 0x100;
		return 0;
	}
	if (head >= 0xa0)
		return set_string(ret_item, LW_TEXT, head & 0x1f, at, (size_t)(end - *at));
	return set_branch(ret_item, head < 0x90 ? LW_MAP : LW_LIST, head & 0xf,
			  (size_t)(end - *at));
}

/* ---- the check ------------------------------------------------------------------ */

struct walk {
	const uint8_t *at, *end;
	uint64_t items;
	unsigned depth;
	uint64_t left[LW_DEPTH_MAX + 1]; /* values still to come, by depth */
};

static int walk_into(struct walk *walk, uint64_t values, struct lw_err *err)
{
	walk->items += values;
	if (walk->items > LW_ITEMS_MAX)
		return lw_err_set(err, -E2BIG, "more than %u values in one", LW_ITEMS_MAX);
	if (walk->depth == LW_DEPTH_MAX)
		return lw_err_set(err, -E2BIG, "nested more than %d deep", LW_DEPTH_MAX);
	walk->left[++walk->depth] = values;
	return 0;
}

static int walk_step(struct walk *walk, struct lw_err *err)
{
	const uint8_t *head = walk->at;
	struct lw_item item;

	if (lw_item_read(&walk->at, walk->end, &item) < 0)
		return lw_err_set(err, -EBADMSG,
				  head < walk->end
					  ? "a value of kind 0x%02x is no value or not whole"
					  : "a value ends too early",
				  head < walk->end ? *head : 0);
	if (item.type == LW_TEXT && !lw_text_is_utf8(item.s.data, item.s.size))
		return lw_err_set(err, -EBADMSG, "text is not UTF-8");
	if (item.type == LW_LIST)
		return walk_into(walk, item.n, err);
	if (item.type == LW_MAP)
		return walk_into(walk, 2 * (uint64_t)item.n, err);
	return 0;
}

int lw_value_check_first(struct lw_slice bytes, size_t *ret_size, struct lw_err *err)
{
	struct walk walk;
	size_t size;
	int r;

	walk.at = bytes.data;
	walk.end = lw_slice_end(bytes);
	walk.items = 1;
	walk.depth = 0;
	walk.left[0] = 1;
	do {
		walk.left[walk.depth]--;
		r = walk_step(&walk, err);
		if (r < 0)
			return r;
		while (walk.depth > 0 && walk.left[walk.depth] == 0)
			walk.depth--;
	} while (walk.left[walk.depth] > 0);
	size = (size_t)(walk.at - bytes.data);
	if (size > LW_VALUE_MAX)
		return lw_err_set(err, -E2BIG, "a value of %zu bytes, more than %u", size,
				  LW_VALUE_MAX);
	*ret_size = size;
	return 0;
}

int lw_value_check(struct lw_slice value, struct lw_err *err)
{
	size_t size;
	int r;

	if (value.size > LW_VALUE_MAX)
		return lw_err_set(err, -E2BIG, "a value of %zu bytes, more than %u", value.size,
				  LW_VALUE_MAX);
	r = lw_value_check_first(value, &size, err);
	if (r < 0)
		return r;
	if (size < value.size)
		return lw_err_set(err, -EBADMSG, "%zu bytes behind the value", value.size - size);
	return 0;
}

size_t lw_value_size(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *start = at;
	struct lw_item item;
	uint64_t left = 1;

	while (left > 0 && lw_item_read(&at, end, &item) >= 0) {
		left--;
		if (item.type == LW_LIST)
			left += item.n;
		else if (item.type == LW_MAP)
			left += 2 * (uint64_t)item.n;
	}
	return (size_t)(at - start);
}

/* ---- UTF-8 ---------------------------------------------------------------------- */

/* Size of the character at `at`, 0 when there is none. The second byte's range excludes
 * overlong forms, surrogates and what lies above U+10FFFF. */
static size_t utf8_character(const uint8_t *at, const uint8_t *end)
{
	uint8_t least = 0x80, most = 0xbf;
	size_t size;

	if (*at < 0x80)
		return 1;
	if (*at < 0xc2 || *at > 0xf4)
		return 0;
	size = *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
	if ((size_t)(end - at) < size)
		return 0;
	if (*at == 0xe0)
		least = 0xa0;
	if (*at == 0xed)
		most = 0x9f;
	if (*at == 0xf0)
		least = 0x90;
	if (*at == 0xf4)
		most = 0x8f;
	if (at[1] < least || at[1] > most)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

#define BLOCK 128

typedef uint64_t vector __attribute__((vector_size(16))); /* every processor of ours has it */

static inline bool block_is_ascii(const uint8_t *at)
{
	vector all = { 0, 0 }, word;

#pragma GCC unroll 8
	for (size_t i = 0; i < BLOCK; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		all |= word;
	}
	return ((all[0] | all[1]) & 0x8080808080808080u) == 0;
}

static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
	uint64_t word;

	while (end - at >= BLOCK && block_is_ascii(at))
		at += BLOCK;
	while (end - at >= 8) {
		memcpy(&word, at, 8);
		if ((word & 0x8080808080808080u) != 0)
			break;
		at += 8;
	}
	while (at < end && *at < 0x80)
		at++;
	return at;
}

/* The first byte that belongs to no character; `end` when there is none. */
static const uint8_t *skip_utf8(const uint8_t *at, const uint8_t *end)
{
	size_t size;

	while (at < end) {
		if (*at < 0x80) {
			at = skip_ascii(at, end);
			continue;
		}
		size = utf8_character(at, end);
		if (size == 0)
			break;
		at += size;
	}
	return at;
}

bool lw_text_is_utf8(const void *text, size_t size)
{
	const uint8_t *at = text;

	return size == 0 || skip_utf8(at, at + size) == at + size;
}

void lw_text_clean(const void *text, size_t size, struct lw_buf *out)
{
	const uint8_t *at = text, *end, *bad;

	if (size == 0)
		return;
	for (end = at + size; at < end; at = bad) {
		bad = skip_utf8(at, end);
		lw_buf_add(out, at, (size_t)(bad - at));
		if (bad < end) {
			lw_buf_add(out, "?", 1);
			bad++;
		}
	}
}

/* ---- writing -------------------------------------------------------------------- */

static int packer_write(void *out, const char *bytes, size_t size)
{
	lw_buf_add(out, bytes, size);
	return 0;
}

static inline msgpack_packer packer_of(struct lw_buf *out)
{
	return (msgpack_packer){ .data = out, .callback = packer_write };
}

static void check_size(size_t size)
{
	if (size > UINT32_MAX)
		lw_fatal("a value of %zu bytes was written, more than msgpack can hold", size);
}

void lw_put_nil(struct lw_buf *out)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_nil(&packer);
}

void lw_put_truth(struct lw_buf *out, bool truth)
{
	msgpack_packer packer = packer_of(out);

	if (truth)
		msgpack_pack_true(&packer);
	else
		msgpack_pack_false(&packer);
}

void lw_put_int(struct lw_buf *out, int64_t i)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_int64(&packer, i);
}

void lw_put_uint(struct lw_buf *out, uint64_t u)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_uint64(&packer, u);
}

void lw_put_float(struct lw_buf *out, double f)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_double(&packer, f);
}

void lw_put_text(struct lw_buf *out, const char *text, size_t size)
{
	msgpack_packer packer = packer_of(out);

	check_size(size);
	msgpack_pack_str(&packer, size);
	lw_buf_add(out, text, size);
}

void lw_put_cstr(struct lw_buf *out, const char *text)
{
	size_t size = strlen(text);

	if (lw_text_is_utf8(text, size))
		lw_put_text(out, text, size);
	else
		lw_put_bytes(out, text, size);
}

void lw_put_bytes(struct lw_buf *out, const void *bytes, size_t size)
{
	msgpack_packer packer = packer_of(out);

	check_size(size);
	msgpack_pack_bin(&packer, size);
	lw_buf_add(out, bytes, size);
}

void lw_put_list(struct lw_buf *out, uint32_t n)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_array(&packer, n);
}

void lw_put_map(struct lw_buf *out, uint32_t n)
{
	msgpack_packer packer = packer_of(out);

	msgpack_pack_map(&packer, n);
}

/* ---- reading a map by name ---------------------------------------------------------- */

bool lw_map_get(struct lw_slice map, const char *name, struct lw_slice *ret_value)
{
	const uint8_t *at = map.data, *end = lw_slice_end(map), *key;
	size_t size = strlen(name), key_size;
	struct lw_item head, item;

	if (lw_item_read(&at, end, &head) < 0 || head.type != LW_MAP)
		return false;
	for (uint32_t i = 0; i < head.n; i++) {
		key = at;
		key_size = lw_value_size(key, end);
		at += key_size;
		if (lw_item_read(&key, end, &item) == 0 && item.type == LW_TEXT &&
		    item.s.size == size && memcmp(item.s.data, name, size) == 0) {
			*ret_value = (struct lw_slice){ at, lw_value_size(at, end) };
			return true;
		}
		at += lw_value_size(at, end);
	}
	return false;
}
