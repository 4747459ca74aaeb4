/* state.c - named values, sorted by name. */
#include "state.h"

#include <errno.h>

#include "lw_proto.h"
#include "lw_value.h"

static void item_done(struct state_item *item)
{
	free(item->name);
	lw_buf_done(&item->value);
}

void state_done(struct state *state)
{
	for (size_t i = 0; i < state->count; i++)
		item_done(&state->items[i]);
	free(state->items);
	*state = (struct state){ 0 };
}

static int name_compare(const char *name, struct lw_slice other)
{
	size_t size = strlen(name);
	int r = memcmp(name, other.data, size < other.size ? size : other.size);

	return r != 0 ? r : (size > other.size) - (size < other.size);
}

/* Where the name is, or would go. */
static size_t state_place(const struct state *state, struct lw_slice name, bool *ret_found)
{
	size_t low = 0, high = state->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = name_compare(state->items[middle].name, name);

		if (r == 0) {
			*ret_found = true;
			return middle;
		}
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool state_get(const struct state *state, const char *name, struct lw_slice *ret_value)
{
	struct lw_slice key = { (const uint8_t *)name, strlen(name) };
	bool found;
	size_t at = state_place(state, key, &found);

	if (found)
		*ret_value = lw_buf_slice(&state->items[at].value);
	return found;
}

static void state_take_out(struct state *state, size_t at)
{
	state->bytes -= state->items[at].value.size;
	item_done(&state->items[at]);
	memmove(state->items + at, state->items + at + 1,
		(state->count - at - 1) * sizeof(*state->items));
	state->count--;
	state->version++;
}

static void state_make_room(struct state *state, size_t at, struct lw_slice name)
{
	if (state->count == state->room) {
		state->room = state->room == 0 ? 4 : state->room * 2;
		state->items = lw_realloc(state->items, state->room * sizeof(*state->items));
	}
	memmove(state->items + at + 1, state->items + at,
		(state->count - at) * sizeof(*state->items));
	state->items[at] = (struct state_item){ .name = lw_strndup(name.data, name.size) };
	state->count++;
}

int state_set(struct state *state, struct lw_slice name, struct lw_slice value, struct lw_err *err)
{
	bool found, nil = value.size == 1 && value.data[0] == 0xc0;
	size_t at = state_place(state, name, &found);
	size_t old = found ? state->items[at].value.size : 0;
	struct lw_buf *buf;

	if (name.size == 0 || name.size > LW_NAME_MAX || memchr(name.data, 0, name.size) != NULL ||
	    !lw_text_is_utf8(name.data, name.size))
		return lw_err_set(err, -EINVAL,
				  "a name of state is UTF-8 of 1 to %d bytes without NUL",
				  LW_NAME_MAX);
	if (nil && !found)
		return 0;
	if (nil) {
		state_take_out(state, at);
		return 1;
	}
	if (found && old == value.size && memcmp(state->items[at].value.data, value.data, old) == 0)
		return 0;
	if ((!found && state->count == STATE_ITEMS_MAX) ||
	    state->bytes - old + value.size > STATE_BYTES_MAX)
		return lw_err_set(err, -E2BIG, "state is bounded to %d values and %u MiB",
				  STATE_ITEMS_MAX, STATE_BYTES_MAX >> 20);
	if (!found)
		state_make_room(state, at, name);
	buf = &state->items[at].value;
	lw_buf_shrink(buf, value.size);
	lw_buf_add(buf, value.data, value.size);
	state->bytes += value.size - old;
	state->version++;
	return 1;
}

json_t *state_to_json(const struct state *state)
{
	json_t *object = json_object();

	for (size_t i = 0; i < state->count; i++)
		json_object_set_new(object, state->items[i].name,
				    lw_value_to_json(lw_buf_slice(&state->items[i].value)));
	return object;
}
