/* links: lw_common
 *
 * fuzz_message.c - what the decoder takes, the encoder writes back, and it stays the same.
 *
 * Input: the body of one frame. It is decoded as if either side had sent it. */
#include "fuzz.h"
#include "lw_frame.h"
#include "lw_proto.h"

static const struct lw_descriptor *descriptor_of(enum lw_msg_id id)
{
	size_t count;
	const struct lw_descriptor *descriptors = lw_msg_descriptors(&count);

	for (size_t i = 0; i < count; i++)
		if (descriptors[i].id == id)
			return &descriptors[i];
	HOLDS(false, "message %d is not in the table", (int)id);
	return NULL;
}

static bool same_field(const struct lw_field *field, const void *a, const void *b)
{
	switch (field->kind) {
	case LW_KIND_U64:
	case LW_KIND_F64: /* by its bits: not a number is the same, minus zero is not zero */
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case LW_KIND_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case LW_KIND_TEXT:
	case LW_KIND_LIST:
	case LW_KIND_MAP:
	case LW_KIND_ANY:
		break;
	}
	return same_bytes(*(const struct lw_slice *)a, *(const struct lw_slice *)b);
}

static void check_same(const struct lw_msg *a, const struct lw_msg *b)
{
	const struct lw_descriptor *descriptor = descriptor_of(a->id);

	HOLDS(a->id == b->id, "%s became %s", lw_msg_name(a->id), lw_msg_name(b->id));
	for (size_t i = 0; i < descriptor->count; i++) {
		const struct lw_field *field = &descriptor->fields[i];

		HOLDS(same_field(field, (const char *)a + field->offset,
				 (const char *)b + field->offset),
		      "message '%s', field '%s'", descriptor->name, field->name);
	}
}

/* Lengths are believed by whoever handles the message. */
static void check_bounds(const struct lw_msg *msg)
{
	const struct lw_descriptor *descriptor = descriptor_of(msg->id);

	for (size_t i = 0; i < descriptor->count; i++) {
		const struct lw_field *field = &descriptor->fields[i];
		const void *place = (const char *)msg + field->offset;

		if (field->kind < LW_KIND_TEXT)
			continue;
		HOLDS(((const struct lw_slice *)place)->size <= field->longest,
		      "message '%s', field '%s' is too long", descriptor->name, field->name);
		if (field->kind != LW_KIND_TEXT)
			HOLDS(lw_value_check(*(const struct lw_slice *)place, NULL) == 0,
			      "message '%s', field '%s' is no value", descriptor->name,
			      field->name);
	}
}

static void encode(const struct lw_msg *msg, struct lw_buf *out)
{
	lw_msg_encode(out, msg);
	lw_buf_cut(out, LW_FRAME_HEAD);
}

static bool decode(struct lw_slice body, enum lw_sender by)
{
	LW_AUTO_BUF first = { 0 };
	LW_AUTO_BUF second = { 0 };
	struct lw_msg msg, again;
	struct lw_err err = { 0 };

	if (lw_msg_decode(body, by, &msg, &err) < 0) {
		HOLDS(err.code < 0 && err.text[0] != '\0', "refused without a sentence");
		return false;
	}
	check_bounds(&msg);
	encode(&msg, &first);
	HOLDS(lw_msg_decode(lw_buf_slice(&first), by, &again, &err) == 0, "%s", err.text);
	check_same(&msg, &again);
	encode(&again, &second);
	HOLDS(same_bytes(lw_buf_slice(&first), lw_buf_slice(&second)), "%s has two spellings",
	      lw_msg_name(msg.id));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lw_slice body = { data, size };
	bool by_worker = decode(body, LW_BY_WORKER);
	bool by_supervisor = decode(body, LW_BY_SUPERVISOR);

	HOLDS(!by_worker || !by_supervisor, "both sides may send it");
	return 0;
}
