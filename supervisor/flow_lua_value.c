/* flow_lua_value.c - values: Lua to msgpack and back.
 *
 * Part of the flow engine (flow_lua.h). A list or map that comes from a result, from state
 * or from lw.map{} and lw.list{} is a userdata over its msgpack bytes (user value 1, a
 * Lua string that its children share); its children are made when first asked for (user
 * value 2). It is read-only, and what is passed on is byte for byte what came in.
 */
#include <errno.h>
#include <stdio.h>

#include "flow_lua.h"

struct flow_value {
	enum flow_kind kind;
	enum lw_type type;
	uint32_t n;
	size_t offset, size; /* in the string */
};

struct flow_bytes {
	enum flow_kind kind; /* user value 1: the string */
};

/* ---- msgpack to Lua --------------------------------------------------------------- */

/* Pushes one value that lies at `offset` in the string at stack index `string`. */
static void push_within(lua_State *L, int string, size_t offset, size_t size);

static void push_bytes(lua_State *L, struct lw_slice bytes)
{
	flow_new(L, KIND_BYTES, sizeof(struct flow_bytes), 1);
	lua_pushlstring(L, (const char *)bytes.data, bytes.size);
	lua_setiuservalue(L, -2, 1);
}

/* True when the item was one that Lua has itself. */
static bool push_scalar(lua_State *L, const struct lw_item *item)
{
	switch (item->type) {
	case LW_NIL:
		lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->null_ref);
		return true;
	case LW_TRUTH:
		lua_pushboolean(L, item->truth);
		return true;
	case LW_INT:
		lua_pushinteger(L, item->i);
		return true;
	case LW_FLOAT:
		lua_pushnumber(L, item->f);
		return true;
	case LW_TEXT:
		lua_pushlstring(L, (const char *)item->s.data, item->s.size);
		return true;
	case LW_BYTES:
		push_bytes(L, item->s);
		return true;
	case LW_UINT:
	case LW_LIST:
	case LW_MAP:
		break;
	}
	return false;
}

static struct lw_item item_at(struct lw_slice value)
{
	const uint8_t *at = value.data;
	struct lw_item item = { .type = LW_NIL };

	if (value.size > 0 && lw_item_read(&at, value.data + value.size, &item) < 0)
		item.type = LW_NIL;
	return item;
}

static void push_view(lua_State *L, int string, size_t offset, size_t size,
		      const struct lw_item *item)
{
	struct flow_value *value;

	string = lua_absindex(L, string);
	value = flow_new(L, KIND_VALUE, sizeof(*value), 2);
	value->type = item->type;
	value->n = item->type == LW_UINT ? 0 : item->n;
	value->offset = offset;
	value->size = size;
	lua_pushvalue(L, string);
	lua_setiuservalue(L, -2, 1);
}

static void push_within(lua_State *L, int string, size_t offset, size_t size)
{
	const uint8_t *data = (const uint8_t *)lua_tostring(L, string) + offset;
	struct lw_item item = item_at((struct lw_slice){ data, size });

	if (!push_scalar(L, &item))
		push_view(L, string, offset, size, &item);
}

void flow_push_value(lua_State *L, struct lw_slice slice)
{
	struct lw_item item = item_at(slice);

	luaL_checkstack(L, 8, "values");
	if (push_scalar(L, &item))
		return;
	lua_pushlstring(L, (const char *)slice.data, slice.size);
	push_view(L, -1, 0, slice.size, &item);
	lua_remove(L, -2);
}

static struct lw_slice view_slice(lua_State *L, int index, const struct flow_value *value)
{
	struct lw_slice slice;

	lua_getiuservalue(L, index, 1);
	slice.data = (const uint8_t *)lua_tostring(L, -1) + value->offset;
	slice.size = value->size;
	lua_pop(L, 1); /* the userdata keeps it */
	return slice;
}

/* The buffer is the flow's, so that an error of memory leaks nothing. */
static void push_json(lua_State *L, struct lw_slice slice)
{
	struct lw_buf *text = &flow_of(L)->call;

	text->size = 0;
	lw_value_print_json(slice, text);
	lua_pushlstring(L, (const char *)text->data, text->size);
}

/* A key that Lua cannot have is known by its JSON text. */
static void push_key(lua_State *L, int string, size_t offset, size_t size)
{
	struct lw_slice slice = { (const uint8_t *)lua_tostring(L, string) + offset, size };
	struct lw_item item = item_at(slice);

	if (item.type == LW_TEXT || item.type == LW_BYTES) {
		lua_pushlstring(L, (const char *)item.s.data, item.s.size);
	} else if (item.type == LW_INT || item.type == LW_TRUTH) {
		push_scalar(L, &item);
	} else {
		push_json(L, slice);
	}
}

/* The table of children of the view at `index`, on the stack. */
static void push_children(lua_State *L, int index, const struct flow_value *value)
{
	struct lw_slice slice;
	const uint8_t *at, *end;
	struct lw_item item;
	bool map = value->type == LW_MAP;
	int string, table;

	if (lua_getiuservalue(L, index, 2) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	luaL_checkstack(L, 10, "values");
	slice = view_slice(L, index, value);
	at = slice.data;
	end = slice.data + slice.size;
	lua_getiuservalue(L, index, 1);
	string = lua_gettop(L);
	lua_createtable(L, map ? 0 : (int)value->n, map ? (int)value->n : 0);
	table = string + 1;
	if (value->type == LW_UINT || lw_item_read(&at, end, &item) < 0)
		at = end;
	for (uint32_t i = 0; i < value->n && at < end; i++) {
		size_t size = lw_value_size(at, end);

		if (map) {
			push_key(L, string, value->offset + (size_t)(at - slice.data), size);
			at += size;
			size = lw_value_size(at, end);
		}
		push_within(L, string, value->offset + (size_t)(at - slice.data), size);
		if (map)
			lua_rawset(L, table);
		else
			lua_rawseti(L, table, (lua_Integer)i + 1);
		at += size;
	}
	lua_pushvalue(L, table);
	lua_setiuservalue(L, index, 2);
	lua_remove(L, string);
}

/* ---- reading a view ---------------------------------------------------------------- */

static int value_index(lua_State *L)
{
	struct flow_value *value = flow_check(L, 1, KIND_VALUE, "a value");

	push_children(L, 1, value);
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static int value_newindex(lua_State *L)
{
	flow_raise(L, "a value read from state or a result is read-only: assign the whole value");
}

static int value_len(lua_State *L)
{
	struct flow_value *value = flow_check(L, 1, KIND_VALUE, "a value");

	lua_pushinteger(L, value->type == LW_LIST ? (lua_Integer)value->n : 0);
	return 1;
}

static int pairs_next(lua_State *L)
{
	lua_settop(L, 2);
	if (lua_next(L, lua_upvalueindex(1)))
		return 2;
	lua_pushnil(L);
	return 1;
}

int flow_pairs_of_table(lua_State *L, int table)
{
	lua_pushvalue(L, table);
	lua_pushcclosure(L, pairs_next, 1);
	lua_pushnil(L);
	lua_pushnil(L);
	return 3;
}

static int value_pairs(lua_State *L)
{
	push_children(L, 1, flow_check(L, 1, KIND_VALUE, "a value"));
	return flow_pairs_of_table(L, lua_gettop(L));
}

static int value_tostring(lua_State *L)
{
	struct flow_value *value = flow_check(L, 1, KIND_VALUE, "a value");
	struct lw_slice slice = view_slice(L, 1, value);
	struct lw_item item = item_at(slice);
	char digits[24];

	if (item.type == LW_UINT) {
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)item.u);
		lua_pushstring(L, digits);
	} else {
		push_json(L, slice);
	}
	return 1;
}

static int value_eq(lua_State *L)
{
	struct flow_value *a = flow_is(L, 1, KIND_VALUE), *b = flow_is(L, 2, KIND_VALUE);
	struct lw_slice one, other;

	if (a == NULL || b == NULL || a->size != b->size) {
		lua_pushboolean(L, 0);
		return 1;
	}
	one = view_slice(L, 1, a);
	other = view_slice(L, 2, b);
	lua_pushboolean(L, memcmp(one.data, other.data, one.size) == 0);
	return 1;
}

/* ---- bytes and null ------------------------------------------------------------------ */

int flow_lw_bytes(lua_State *L)
{
	luaL_checkstring(L, 1);
	flow_new(L, KIND_BYTES, sizeof(struct flow_bytes), 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static int bytes_tostring(lua_State *L)
{
	flow_check(L, 1, KIND_BYTES, "bytes");
	lua_getiuservalue(L, 1, 1);
	return 1;
}

static int bytes_len(lua_State *L)
{
	bytes_tostring(L);
	lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
	return 1;
}

static int bytes_eq(lua_State *L)
{
	if (flow_is(L, 1, KIND_BYTES) == NULL || flow_is(L, 2, KIND_BYTES) == NULL) {
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_getiuservalue(L, 1, 1);
	lua_getiuservalue(L, 2, 1);
	lua_pushboolean(L, lua_rawequal(L, -1, -2));
	return 1;
}

static int bytes_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

static int null_tostring(lua_State *L)
{
	lua_pushliteral(L, "null");
	return 1;
}

/* ---- Lua to msgpack -------------------------------------------------------------------- */

#define STACK_SLOTS (3 * LW_DEPTH_MAX + 8) /* a key, a value and a spare for each level */

/* One table on the way down: to find cycles and to say where an error is. */
struct step {
	const void *table;
	const char *key; /* NULL: `index` */
	lua_Integer index;
};

struct encoder {
	lua_State *L;
	struct lw_buf *out;
	struct step steps[LW_DEPTH_MAX + 1];
	int depth; /* steps in use */
	int most;  /* of them */
	size_t items;
	bool spliced;   /* bytes of a view went in: check the whole */
	bool canonical; /* so far what was written has canonical form (lw_call.h) */
	int argument;   /* number of it; 0: `subject` says what it is */
	const char *subject, *role;
	struct lw_err *err;
};

static void print_subject(const struct encoder *encoder, char subject[300])
{
	if (encoder->argument > 0)
		snprintf(subject, 300, "argument %d", encoder->argument);
	else
		snprintf(subject, 300, "%s", encoder->subject);
}

static int complain(const struct encoder *encoder, const char *format, ...) LW_PRINTF(2, 3);

/* "argument 2: .a[3]: a function cannot be an argument" */
static int complain(const struct encoder *encoder, const char *format, ...)
{
	LW_AUTO_BUF path = { 0 };
	char problem[200], subject[300];
	va_list list;

	va_start(list, format);
	vsnprintf(problem, sizeof(problem), format, list);
	va_end(list);
	for (int i = 0; i < encoder->depth; i++)
		if (encoder->steps[i].key != NULL)
			lw_buf_printf(&path, ".%.40s", encoder->steps[i].key);
		else
			lw_buf_printf(&path, "[%lld]", (long long)encoder->steps[i].index);
	print_subject(encoder, subject);
	return lw_err_set(encoder->err, -EINVAL, "%s%s%.200s: %s", subject,
			  path.size > 0 ? ": " : "", path.size > 0 ? lw_buf_text(&path) : "",
			  problem);
}

static int encode_any(struct encoder *encoder, int index);

/* Heads of short maps, short text and small integers are written in place: they are what
 * nearly every call consists of. */
static void put_short_text(struct lw_buf *out, const char *text, size_t size)
{
	if (out->room - out->size < size + 1)
		lw_buf_grow(out, size + 1);
	out->data[out->size] = (uint8_t)(0xa0u | size);
	memcpy(out->data + out->size + 1, text, size);
	out->size += size + 1;
}

static inline bool is_ascii(const char *text, size_t size)
{
	uint64_t all = 0, word;
	uint32_t first, last;

	for (; size >= sizeof(word); text += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		all |= word;
	}
	if (size >= sizeof(first)) { /* they overlap */
		memcpy(&first, text, sizeof(first));
		memcpy(&last, text + size - sizeof(last), sizeof(last));
		all |= first | last;
		size = 0;
	}
	for (size_t i = 0; i < size; i++)
		all |= (unsigned char)text[i];
	return (all & 0x8080808080808080u) == 0;
}

static void encode_string(struct encoder *encoder, const char *text, size_t size)
{
	if (size < 32 && is_ascii(text, size))
		put_short_text(encoder->out, text, size);
	else if (lw_text_is_utf8(text, size))
		lw_put_text(encoder->out, text, size);
	else
		lw_put_bytes(encoder->out, text, size);
}

static void encode_number(struct encoder *encoder, int index)
{
	lua_Integer whole;
	double f;

	if (!lua_isinteger(encoder->L, index)) {
		f = lua_tonumber(encoder->L, index);
		if (!(f > -0x1p62 && f < 0x1p62) || (double)(int64_t)f == f)
			encoder->canonical = false; /* perhaps: whole, or no number */
		lw_put_float(encoder->out, f);
		return;
	}
	whole = lua_tointeger(encoder->L, index);
	if (whole >= 0 && whole < 128)
		lw_buf_add(encoder->out, &(uint8_t){ (uint8_t)whole }, 1);
	else
		lw_put_int(encoder->out, whole);
}

static int encode_userdata(struct encoder *encoder, int index)
{
	lua_State *L = encoder->L;
	const enum flow_kind *kind = lua_touserdata(L, index);
	struct lw_slice slice;
	size_t size;
	const char *text;

	switch (*kind) {
	case KIND_NULL:
		lw_put_nil(encoder->out);
		return 0;
	case KIND_BYTES:
		lua_getiuservalue(L, index, 1);
		text = lua_tolstring(L, -1, &size);
		lw_put_bytes(encoder->out, text, size);
		lua_pop(L, 1);
		return 0;
	case KIND_VALUE:
		slice = view_slice(L, index, (const struct flow_value *)(const void *)kind);
		lw_buf_add(encoder->out, slice.data, slice.size);
		encoder->spliced = true;
		encoder->canonical = false;
		return 0;
	case KIND_WORK:
		return complain(encoder, "a work cannot be %s", encoder->role);
	case KIND_RUN:
	case KIND_RUN_ERROR:
		return complain(encoder, "a run cannot be %s (did you mean its .result?)",
				encoder->role);
	default:
		return complain(encoder, "this object cannot be %s", encoder->role);
	}
}

/* Makes room for a longer head than the one byte that was left at `at`, and writes it. */
static void put_long_head(struct lw_buf *out, size_t at, size_t n, bool map)
{
	size_t size = n < 65536 ? 3 : 5;
	uint8_t *head;

	lw_buf_grow(out, size - 1);
	head = out->data + at;
	memmove(head + size, head + 1, out->size - at - 1);
	out->size += size - 1;
	*head++ = (uint8_t)((map ? 0xde : 0xdc) + (size == 5));
	for (size_t i = size - 1; i > 0; i--)
		*head++ = (uint8_t)(n >> (8 * (i - 1)));
}

/* Writes the head of a map or list of n. */
static inline void put_head(struct lw_buf *out, size_t at, size_t n, bool map)
{
	if (n < 16)
		out->data[at] = (uint8_t)((map ? 0x80u : 0x90u) | n);
	else
		put_long_head(out, at, n, map);
}

static int enter(struct encoder *encoder, int index)
{
	const void *table = lua_topointer(encoder->L, index);

	for (int i = 0; i < encoder->depth; i++)
		if (encoder->steps[i].table == table)
			return complain(encoder, "a table that contains itself cannot be %s",
					encoder->role);
	if (encoder->depth >= encoder->most)
		return complain(encoder, "tables within each other deeper than %d", encoder->most);
	encoder->steps[encoder->depth].table = table;
	encoder->steps[encoder->depth].key = NULL;
	encoder->steps[encoder->depth++].index = 0;
	return 0;
}

static int encode_list(struct encoder *encoder, int index, size_t n)
{
	lua_State *L = encoder->L;
	struct step *step;
	size_t at = encoder->out->size;
	int r = enter(encoder, index);

	if (r < 0)
		return r;
	step = &encoder->steps[encoder->depth - 1];
	lw_buf_add(encoder->out, "", 1);
	for (size_t i = 1; i <= n && r >= 0; i++) {
		step->index = (lua_Integer)i;
		lua_rawgeti(L, index, (lua_Integer)i);
		r = encode_any(encoder, lua_gettop(L));
		lua_pop(L, 1);
	}
	if (r < 0)
		return r;
	put_head(encoder->out, at, n, false);
	encoder->depth--;
	return 0;
}

/* Where the pairs of a map lie. Their order in a table is an accident that is not to be seen. */
#define FEW_PAIRS 16
struct pairs {
	struct lw_pair few[FEW_PAIRS];
	struct lw_pair *many; /* NULL: they are few */
	size_t n;
};

static struct lw_pair *next_pair(struct pairs *pairs)
{
	size_t n = pairs->n++;

	if (n < FEW_PAIRS)
		return &pairs->few[n];
	if ((n & (n - 1)) == 0) /* full: 16, 32, 64 ... */
		pairs->many = lw_realloc(pairs->many, 2 * n * sizeof(*pairs->many));
	if (n == FEW_PAIRS)
		memcpy(pairs->many, pairs->few, sizeof(pairs->few));
	return &pairs->many[n];
}

static int complain_of_key(struct encoder *encoder, int key)
{
	encoder->depth--;
	return complain(encoder, lua_isinteger(encoder->L, key)
					 ? "a table with both names and numbers as keys, or with "
					   "holes (write lw.null)"
					 : "the keys of a map must be text");
}

/* From the pair on top of the stack on. Keys 1 to `rest_of_list` are somebody else's. */
static int encode_pairs(struct encoder *encoder, int index, size_t rest_of_list,
			struct pairs *pairs)
{
	lua_State *L = encoder->L;
	struct step *step = &encoder->steps[encoder->depth - 1];
	int top = lua_gettop(L), r;
	struct lw_pair *pair;
	size_t size;

	do {
		if (lua_type(L, top - 1) != LUA_TSTRING) {
			lua_Integer i = lua_isinteger(L, top - 1) ? lua_tointeger(L, top - 1) : 0;

			if (i < 1 || (size_t)i > rest_of_list)
				return complain_of_key(encoder, top - 1);
			lua_settop(L, top - 1);
			continue;
		}
		step->key = lua_tolstring(L, top - 1, &size);
		pair = next_pair(pairs);
		pair->key = encoder->out->size;
		encode_string(encoder, step->key, size);
		pair->value = encoder->out->size;
		r = encode_any(encoder, top);
		if (r < 0)
			return r;
		pair->end = encoder->out->size;
		lua_settop(L, top - 1);
	} while (lua_next(L, index));
	return 0;
}

/* A plain `{}` is an empty map; keys are text. `begun`: its first pair is on the stack. */
static int encode_map_from(struct encoder *encoder, int index, size_t rest_of_list, bool begun)
{
	struct pairs pairs;
	size_t at = encoder->out->size;
	int r = enter(encoder, index);

	if (r < 0)
		return r;
	pairs.many = NULL;
	pairs.n = 0;
	lw_buf_add(encoder->out, "", 1);
	if (begun)
		r = encode_pairs(encoder, index, rest_of_list, &pairs);
	if (r >= 0 && pairs.n > 1)
		lw_pairs_order(encoder->out, pairs.n > FEW_PAIRS ? pairs.many : pairs.few, pairs.n);
	lw_free(pairs.many);
	if (r < 0)
		return r;
	put_head(encoder->out, at, pairs.n, true);
	encoder->depth--;
	return 0;
}

static int encode_map(struct encoder *encoder, int index, size_t rest_of_list)
{
	lua_pushnil(encoder->L);
	return encode_map_from(encoder, index, rest_of_list, lua_next(encoder->L, index) != 0);
}

/* How many values the list part of a table has, when it is a list and nothing else; else 0. */
static size_t list_length(lua_State *L, int index)
{
	size_t n = lua_rawlen(L, index), count = 0;

	if (n == 0)
		return 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
		count++;
	return count == n ? n : 0;
}

static int encode_table(struct encoder *encoder, int index)
{
	size_t n;

	n = list_length(encoder->L, index);
	return n > 0 ? encode_list(encoder, index, n) : encode_map(encoder, index, 0);
}

static int encode_any(struct encoder *encoder, int index)
{
	lua_State *L = encoder->L;
	const char *text;
	size_t size;

	if (++encoder->items > LW_ITEMS_MAX || encoder->out->size > LW_VALUE_MAX)
		return complain(encoder, "too large: at most %u values and %u MiB", LW_ITEMS_MAX,
				LW_VALUE_MAX >> 20);
	switch (lua_type(L, index)) {
	case LUA_TNIL:
		lw_put_nil(encoder->out);
		return 0;
	case LUA_TBOOLEAN:
		lw_put_truth(encoder->out, lua_toboolean(L, index));
		return 0;
	case LUA_TNUMBER:
		encode_number(encoder, index);
		return 0;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &size);
		if (size > LW_VALUE_MAX)
			return complain(encoder, "too large: at most %u MiB", LW_VALUE_MAX >> 20);
		encode_string(encoder, text, size);
		return 0;
	case LUA_TTABLE:
		return encode_table(encoder, index);
	case LUA_TUSERDATA:
		return encode_userdata(encoder, index);
	default:
		return complain(encoder, "a %s cannot be %s", luaL_typename(L, index),
				encoder->role);
	}
}

/* What was spliced in was only known to be within the bounds by itself. */
static int check_spliced(const struct encoder *encoder, struct lw_slice value)
{
	struct lw_err err;

	if (lw_value_check(value, &err) >= 0)
		return 0;
	return lw_err_set(encoder->err, -EINVAL, "%s: %s", encoder->subject, err.text);
}

static inline int check_whole(const struct encoder *encoder, size_t at)
{
	struct lw_slice value = { encoder->out->data + at, encoder->out->size - at };

	if (value.size > LW_VALUE_MAX)
		return complain(encoder, "too large: at most %u MiB", LW_VALUE_MAX >> 20);
	return encoder->spliced ? check_spliced(encoder, value) : 0;
}

static struct encoder encoder_for(lua_State *L, struct lw_buf *out, const char *subject,
				  const char *role, struct lw_err *err)
{
	struct encoder encoder;

	encoder.L = L;
	encoder.out = out;
	encoder.depth = 0;
	encoder.most = LW_DEPTH_MAX;
	encoder.items = 0;
	encoder.spliced = false;
	encoder.canonical = true;
	encoder.argument = 0;
	encoder.subject = subject;
	encoder.role = role;
	encoder.err = err;
	return encoder;
}

int flow_encode(lua_State *L, int index, struct lw_buf *out, const char *subject, const char *role,
		struct lw_err *err)
{
	struct encoder encoder = encoder_for(L, out, subject, role, err);
	size_t at = out->size;
	int r;

	if (!lua_checkstack(L, STACK_SLOTS))
		return lw_err_set(err, -ENOMEM, "out of stack");
	r = encode_any(&encoder, lua_absindex(L, index));
	return r < 0 ? r : check_whole(&encoder, at);
}

/* The last argument is a plain table, no metatable, empty or with a name as first key: named
 * arguments. Its first pair, if there is one, is left on the stack. */
enum named { NOT_NAMED, NAMED_EMPTY, NAMED };

static enum named find_named(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE)
		return NOT_NAMED;
	if (lua_getmetatable(L, index)) {
		lua_pop(L, 1);
		return NOT_NAMED;
	}
	lua_pushnil(L);
	if (!lua_next(L, index))
		return NAMED_EMPTY;
	if (lua_type(L, -2) == LUA_TSTRING)
		return NAMED;
	lua_pop(L, 2);
	return NOT_NAMED;
}

/* Arguments `first` to before `end`: the positional list. */
static int encode_positional(struct encoder *encoder, int first, int end)
{
	size_t at = encoder->out->size;
	int r;

	lw_buf_add(encoder->out, "", 1);
	encoder->most = LW_DEPTH_MAX - 2; /* the call and the list are levels, too */
	for (int i = first; i < end; i++) {
		encoder->argument = i - first + 1;
		r = encode_any(encoder, i);
		if (r < 0)
			return r;
	}
	encoder->argument = 0;
	put_head(encoder->out, at, (size_t)(end - first), false);
	return check_whole(encoder, at);
}

/* The named map, errors as "argument 'lr': ..." */
static int encode_named(struct encoder *encoder, int index, enum named named)
{
	size_t at = encoder->out->size;
	int r;

	encoder->subject = "named arguments";
	encoder->most = LW_DEPTH_MAX - 1;
	encoder->spliced = false;
	r = encode_map_from(encoder, index, 0, named == NAMED);
	return r < 0 ? r : check_whole(encoder, at);
}

int flow_encode_call(lua_State *L, int first, int last, struct lw_buf *out, struct lw_err *err)
{
	struct encoder encoder = encoder_for(L, out, "arguments", "an argument", err);
	enum named named;
	int r;

	if (!lua_checkstack(L, STACK_SLOTS))
		return lw_err_set(err, -ENOMEM, "out of stack");
	named = last >= first ? find_named(L, last) : NOT_NAMED;
	r = encode_positional(&encoder, first, named == NOT_NAMED ? last + 1 : last);
	if (r < 0)
		return r;
	if (named == NOT_NAMED)
		lw_buf_add(out, &(uint8_t){ 0x80 }, 1);
	else
		r = encode_named(&encoder, last, named);
	if (r < 0)
		return r;
	/* Keys are not counted in `items`, there are as many at most. */
	return encoder.canonical && out->size <= LW_VALUE_MAX && encoder.items < LW_ITEMS_MAX / 4;
}

int flow_encode_args(lua_State *L, int table, struct lw_buf *out, struct lw_err *err)
{
	struct encoder encoder = encoder_for(L, out, "args", "an argument", err);
	size_t n;
	int r;

	table = lua_absindex(L, table);
	if (!lua_checkstack(L, STACK_SLOTS))
		return lw_err_set(err, -ENOMEM, "out of stack");
	encoder.most = LW_DEPTH_MAX - 1; /* the call is a level */
	n = lua_rawlen(L, table);
	r = encode_list(&encoder, table, n);
	if (r >= 0)
		r = encode_map(&encoder, table, n);
	return r < 0 ? r : 0;
}

/* ---- lw.map and lw.list ------------------------------------------------------------------ */

static int push_settled(lua_State *L, bool map)
{
	const char *subject = map ? "lw.map" : "lw.list";
	struct lw_buf *out = &flow_of(L)->call;
	struct lw_err err = { 0 };
	struct encoder encoder = encoder_for(L, out, subject, "a value", &err);
	const struct flow_value *view = flow_is(L, 1, KIND_VALUE);
	int r;

	if (view != NULL && view->type == (map ? LW_MAP : LW_LIST)) {
		lua_settop(L, 1);
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstack(L, STACK_SLOTS, "values");
	out->size = 0;
	if (map)
		r = encode_map(&encoder, 1, 0);
	else if (list_length(L, 1) != lua_rawlen(L, 1) ||
		 (lua_pushnil(L), lua_next(L, 1) != 0 && lua_rawlen(L, 1) == 0))
		r = complain(&encoder, "a list has the keys 1, 2, 3 ... and no holes (write "
				       "lw.null)");
	else
		r = encode_list(&encoder, 1, lua_rawlen(L, 1));
	if (r >= 0)
		r = check_whole(&encoder, 0);
	if (r < 0)
		flow_raise(L, "%s", err.text);
	flow_push_value(L, lw_buf_slice(out));
	return 1;
}

int flow_lw_map(lua_State *L)
{
	return push_settled(L, true);
}

int flow_lw_list(lua_State *L)
{
	return push_settled(L, false);
}

void flow_value_open(lua_State *L)
{
	static const luaL_Reg value[] = {
		{ "__index", value_index },       { "__newindex", value_newindex },
		{ "__len", value_len },           { "__pairs", value_pairs },
		{ "__tostring", value_tostring }, { "__eq", value_eq },
		{ "__concat", bytes_concat },     { NULL, NULL },
	};
	static const luaL_Reg bytes[] = {
		{ "__tostring", bytes_tostring }, { "__len", bytes_len }, { "__eq", bytes_eq },
		{ "__concat", bytes_concat },     { NULL, NULL },
	};
	static const luaL_Reg null[] = { { "__tostring", null_tostring }, { NULL, NULL } };

	flow_metatable(L, KIND_VALUE, "value", value);
	flow_metatable(L, KIND_BYTES, "bytes", bytes);
	flow_metatable(L, KIND_NULL, "null", null);
	lua_pop(L, 3);
	flow_new(L, KIND_NULL, sizeof(enum flow_kind), 0);
	flow_of(L)->null_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
