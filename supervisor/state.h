/* state.h - named values: of a work, or the flow's own. Embedded by its owner, which is the
 * only one that writes; names are sorted. Values are checked msgpack (lw_value.h). */
#ifndef LW_SUPERVISOR_STATE_H
#define LW_SUPERVISOR_STATE_H

#include <jansson.h>

#include "lw_buf.h"
#include "lw_err.h"

struct state_item {
	char *name;
	struct lw_buf value;
};

struct state {
	struct state_item *items;
	size_t count;
	size_t room;
	size_t bytes;     /* of all values */
	uint64_t version; /* grows with every change */
};

#define STATE_ITEMS_MAX 8192
#define STATE_BYTES_MAX (64u << 20)

void state_done(struct state *state);
bool state_get(const struct state *state, const char *name, struct lw_slice *ret_value);

/* 1: changed, 0: had that value already, -E2BIG: more than the bounds above. Nil removes. */
LW_MUST_USE int state_set(struct state *state, struct lw_slice name, struct lw_slice value,
			  struct lw_err *err);
json_t *state_to_json(const struct state *state);

#endif
