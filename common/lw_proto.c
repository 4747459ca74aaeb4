/* lw_proto.c - one encoder and one decoder that walk the message table.
 *
 * Called by the worker's channel and the supervisor's. Bytes of a peer are checked field
 * by field on the way: every value is walked once, nothing is allocated, and what breaks
 * the protocol ends in one sentence that names message and field.
 */
#include <errno.h>

#include "lw_frame.h"
#include "lw_proto.h"

/* ---- the table as data ---------------------------------------------------------------- */

/* clang-format off */
#define FIELD(s, kind, field, longest) \
	{ #field, LW_KIND_##kind, offsetof(struct lw_msg, s.field), longest },
#define FIELDS(NAME, name, id, by) \
	static const struct lw_field name##_fields[] = { LW_##NAME(FIELD, name) };
LW_MESSAGES(FIELDS)

#define DESCRIPTOR(NAME, name, id, by) \
	{ #name, LW_MSG_##NAME, by, name##_fields, LW_COUNT(name##_fields) },
static const struct lw_descriptor descriptors[] = { LW_MESSAGES(DESCRIPTOR) };

#define INDEX_(NAME, name, id, by) LW_INDEX_##NAME,
enum { LW_MESSAGES(INDEX_) };
#define BY_ID(NAME, name, id, by) [id] = &descriptors[LW_INDEX_##NAME],
static const struct lw_descriptor *const by_id[] = { LW_MESSAGES(BY_ID) };
/* clang-format on */

const struct lw_descriptor *lw_msg_descriptors(size_t *ret_count)
{
	*ret_count = LW_COUNT(descriptors);
	return descriptors;
}

static const struct lw_descriptor *descriptor_of(uint64_t id)
{
	return id < LW_COUNT(by_id) ? by_id[id] : NULL;
}

const char *lw_msg_name(enum lw_msg_id id)
{
	const struct lw_descriptor *descriptor = descriptor_of((uint64_t)id);

	return descriptor != NULL ? descriptor->name : "unknown";
}

/* ---- decoding ----------------------------------------------------------------------- */

struct reading {
	const uint8_t *at, *end;
	struct lw_err *err;
};

static int refuse_kind(struct reading *reading, const char *wanted)
{
	return lw_err_set(reading->err, -EBADMSG, "not %s", wanted);
}

static int read_u64(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_item item;

	(void)field;
	if (lw_item_read(&reading->at, reading->end, &item) < 0 ||
	    !((item.type == LW_INT && item.i >= 0) || item.type == LW_UINT))
		return refuse_kind(reading, "a whole number");
	*(uint64_t *)place = item.u;
	return 0;
}

static int read_f64(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_item item;

	(void)field;
	if (lw_item_read(&reading->at, reading->end, &item) < 0 ||
	    (item.type != LW_INT && item.type != LW_FLOAT))
		return refuse_kind(reading, "a number");
	*(double *)place = item.type == LW_INT ? (double)item.i : item.f;
	return 0;
}

static int read_bool(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_item item;

	(void)field;
	if (lw_item_read(&reading->at, reading->end, &item) < 0 || item.type != LW_TRUTH)
		return refuse_kind(reading, "true or false");
	*(bool *)place = item.truth;
	return 0;
}

static int read_text(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_item item;

	if (lw_item_read(&reading->at, reading->end, &item) < 0 || item.type != LW_TEXT)
		return refuse_kind(reading, "text");
	if (item.s.size > field->longest)
		return lw_err_set(reading->err, -EBADMSG, "%zu bytes, more than %zu", item.s.size,
				  field->longest);
	if (!lw_text_is_utf8(item.s.data, item.s.size))
		return refuse_kind(reading, "UTF-8");
	*(struct lw_slice *)place = item.s;
	return 0;
}

static int read_any(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_slice value = { reading->at, (size_t)(reading->end - reading->at) };
	int r = lw_value_check_first(value, &value.size, reading->err);

	if (r < 0)
		return r;
	if (value.size > field->longest)
		return lw_err_set(reading->err, -E2BIG, "%zu bytes, more than %zu", value.size,
				  field->longest);
	reading->at += value.size;
	*(struct lw_slice *)place = value;
	return 0;
}

/* The type of a checked value, from its head. */
static enum lw_type type_of(struct lw_slice value)
{
	const uint8_t *at = value.data;
	struct lw_item item;

	if (value.size == 0 || lw_item_read(&at, value.data + value.size, &item) < 0)
		return LW_NIL;
	return item.type;
}

static int read_list(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_slice value;
	int r = read_any(reading, field, &value);

	if (r < 0)
		return r;
	if (type_of(value) != LW_LIST)
		return refuse_kind(reading, "a list");
	*(struct lw_slice *)place = value;
	return 0;
}

static int read_map(struct reading *reading, const struct lw_field *field, void *place)
{
	struct lw_slice value;
	int r = read_any(reading, field, &value);

	if (r < 0)
		return r;
	if (type_of(value) != LW_MAP)
		return refuse_kind(reading, "a map");
	*(struct lw_slice *)place = value;
	return 0;
}

/* ---- encoding ----------------------------------------------------------------------- */

static void write_u64(struct lw_buf *out, const struct lw_field *field, const void *place)
{
	(void)field;
	lw_put_uint(out, *(const uint64_t *)place);
}

static void write_f64(struct lw_buf *out, const struct lw_field *field, const void *place)
{
	(void)field;
	lw_put_float(out, *(const double *)place);
}

static void write_bool(struct lw_buf *out, const struct lw_field *field, const void *place)
{
	(void)field;
	lw_put_truth(out, *(const bool *)place);
}

static void write_text(struct lw_buf *out, const struct lw_field *field, const void *place)
{
	const struct lw_slice *text = place;
	size_t size = lw_utf8_cut(text->data, text->size, field->longest);
	LW_AUTO_BUF clean = { 0 };

	if (lw_text_is_utf8(text->data, size)) {
		lw_put_text(out, (const char *)text->data, size);
		return;
	}
	lw_text_clean(text->data, size, &clean);
	lw_put_text(out, (const char *)clean.data, clean.size);
}

static void check_value(const struct lw_field *field, struct lw_slice value)
{
	if (value.size > field->longest)
		lw_fatal("field '%s' of a message has %zu bytes, more than %zu", field->name,
			 value.size, field->longest);
	if ((field->kind == LW_KIND_LIST && type_of(value) != LW_LIST) ||
	    (field->kind == LW_KIND_MAP && type_of(value) != LW_MAP))
		lw_fatal("field '%s' of a message holds the wrong kind of value", field->name);
}

static void write_any(struct lw_buf *out, const struct lw_field *field, const void *place)
{
	const struct lw_slice *value = place;

	if (value->size > 0) {
		check_value(field, *value);
		lw_buf_add(out, value->data, value->size);
	} else if (field->kind == LW_KIND_LIST) {
		lw_put_list(out, 0);
	} else if (field->kind == LW_KIND_MAP) {
		lw_put_map(out, 0);
	} else {
		lw_put_nil(out);
	}
}

/* ---- both --------------------------------------------------------------------------- */

static const struct {
	int (*read)(struct reading *reading, const struct lw_field *field, void *place);
	void (*write)(struct lw_buf *out, const struct lw_field *field, const void *place);
} kinds[] = {
	[LW_KIND_U64] = { read_u64, write_u64 },    [LW_KIND_F64] = { read_f64, write_f64 },
	[LW_KIND_BOOL] = { read_bool, write_bool }, [LW_KIND_TEXT] = { read_text, write_text },
	[LW_KIND_LIST] = { read_list, write_any },  [LW_KIND_MAP] = { read_map, write_any },
	[LW_KIND_ANY] = { read_any, write_any },
};

static int read_head(struct reading *reading, enum lw_sender by,
		     const struct lw_descriptor **ret_descriptor)
{
	const struct lw_descriptor *descriptor;
	struct lw_item list, id;

	if (lw_item_read(&reading->at, reading->end, &list) < 0 || list.type != LW_LIST ||
	    lw_item_read(&reading->at, reading->end, &id) < 0 || id.type != LW_INT || id.i < 0)
		return lw_err_set(reading->err, -EBADMSG, "no message");
	descriptor = descriptor_of(id.u);
	if (descriptor == NULL)
		return lw_err_set(reading->err, -EBADMSG, "unknown message %lld", (long long)id.i);
	if (descriptor->by != by)
		return lw_err_set(reading->err, -EBADMSG, "message '%s' from the wrong side",
				  descriptor->name);
	if (list.n != descriptor->count + 1)
		return lw_err_set(reading->err, -EBADMSG, "message '%s' has %zu fields, not %lld",
				  descriptor->name, descriptor->count, (long long)list.n - 1);
	*ret_descriptor = descriptor;
	return 0;
}

static int read_fields(struct reading *reading, const struct lw_descriptor *descriptor,
		       struct lw_msg *msg)
{
	for (size_t i = 0; i < descriptor->count; i++) {
		const struct lw_field *field = &descriptor->fields[i];

		if (kinds[field->kind].read(reading, field, (char *)msg + field->offset) < 0) {
			lw_err_within(reading->err, "message '%s', field '%s'", descriptor->name,
				      field->name);
			return -EBADMSG;
		}
	}
	if (reading->at < reading->end)
		return lw_err_set(reading->err, -EBADMSG, "message '%s' has %zu bytes behind it",
				  descriptor->name, (size_t)(reading->end - reading->at));
	return 0;
}

int lw_msg_decode(struct lw_slice body, enum lw_sender by, struct lw_msg *ret_msg,
		  struct lw_err *err)
{
	struct reading reading = { body.data, lw_slice_end(body), err };
	const struct lw_descriptor *descriptor = NULL;
	struct lw_msg msg;
	int r;

	r = read_head(&reading, by, &descriptor);
	if (r >= 0)
		r = read_fields(&reading, descriptor, &msg);
	if (r < 0) {
		if (err != NULL)
			err->code = r;
		return r;
	}
	msg.id = descriptor->id;
	*ret_msg = msg;
	return 0;
}

void lw_msg_encode(struct lw_buf *out, const struct lw_msg *msg)
{
	const struct lw_descriptor *descriptor = descriptor_of((uint64_t)msg->id);
	size_t at;

	if (descriptor == NULL)
		lw_fatal("message %d is not in the table", (int)msg->id);
	at = lw_frame_begin(out);
	lw_put_list(out, (uint32_t)descriptor->count + 1);
	lw_put_uint(out, (uint64_t)msg->id);
	for (size_t i = 0; i < descriptor->count; i++) {
		const struct lw_field *field = &descriptor->fields[i];

		kinds[field->kind].write(out, field, (const char *)msg + field->offset);
	}
	lw_frame_end(out, at);
}
