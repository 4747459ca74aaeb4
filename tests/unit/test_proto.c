/* links: lw_common */
/* test_proto.c - every message of the table, there and back and broken. */
#include <criterion/criterion.h>
#include <errno.h>

#include "lw_frame.h"
#include "lw_proto.h"

#define BYTES(text) ((struct lw_slice){ (const uint8_t *)(text), sizeof(text) - 1 })

/* What the tests put into a field of each kind. `seed` varies it. */
static void fill_field(struct lw_msg *msg, const struct lw_field *field, unsigned seed)
{
	static const uint64_t numbers[] = { 0, 1, 200, 70000, UINT64_MAX };
	static const struct lw_slice texts[] = { { (const uint8_t *)"gr\xc3\xbc\xc3\x9f", 6 },
						 { NULL, 0 } };
	static const struct lw_slice list = { (const uint8_t *)"\x93\x01\xa1x\xc0", 5 };
	static const struct lw_slice map = {
		(const uint8_t *)"\x82\xa1k\x92\xc3\xc4\x01\xff\xa1z\xcb\x3f\xe0\0\0\0\0\0\0", 19
	};
	void *place = (char *)msg + field->offset;

	switch (field->kind) {
	case LW_KIND_U64:
		*(uint64_t *)place = numbers[seed % LW_COUNT(numbers)];
		break;
	case LW_KIND_F64:
		*(double *)place = 0.25;
		break;
	case LW_KIND_BOOL:
		*(bool *)place = seed % 2 == 0;
		break;
	case LW_KIND_TEXT:
		*(struct lw_slice *)place = texts[seed % 2];
		break;
	case LW_KIND_LIST:
		*(struct lw_slice *)place = list;
		break;
	case LW_KIND_MAP:
		*(struct lw_slice *)place = map;
		break;
	case LW_KIND_ANY:
		*(struct lw_slice *)place = seed % 2 == 0 ? list : map;
		break;
	}
}

static void fill(struct lw_msg *msg, const struct lw_descriptor *descriptor, unsigned seed)
{
	memset(msg, 0, sizeof(*msg));
	msg->id = descriptor->id;
	for (size_t i = 0; i < descriptor->count; i++)
		fill_field(msg, &descriptor->fields[i], seed + (unsigned)i);
}

static bool same_field(const struct lw_msg *a, const struct lw_msg *b, const struct lw_field *field)
{
	const void *x = (const char *)a + field->offset, *y = (const char *)b + field->offset;
	const struct lw_slice *s = x, *t = y;

	switch (field->kind) {
	case LW_KIND_U64:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	case LW_KIND_F64:
		return *(const double *)x == *(const double *)y;
	case LW_KIND_BOOL:
		return *(const bool *)x == *(const bool *)y;
	default:
		return s->size == t->size &&
		       (s->size == 0 || memcmp(s->data, t->data, s->size) == 0);
	}
}

static struct lw_slice body_of(const struct lw_buf *frame)
{
	return (struct lw_slice){ frame->data + LW_FRAME_HEAD, frame->size - LW_FRAME_HEAD };
}

/* Runs `check` for every message of the table, in several fillings. */
static void each(void (*check)(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
			       struct lw_slice body))
{
	size_t count;
	const struct lw_descriptor *descriptors = lw_msg_descriptors(&count);

	cr_assert_eq(count, 14);
	for (size_t i = 0; i < count; i++) {
		for (unsigned seed = 0; seed < 10; seed++) {
			LW_AUTO_BUF frame = { 0 };
			struct lw_msg msg;

			fill(&msg, &descriptors[i], seed);
			lw_msg_encode(&frame, &msg);
			check(&descriptors[i], &msg, body_of(&frame));
		}
	}
}

static void check_round_trip(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
			     struct lw_slice body)
{
	struct lw_err err = { 0 };
	struct lw_msg back;

	cr_assert_eq(lw_msg_decode(body, descriptor->by, &back, &err), 0, "%s", err.text);
	cr_assert_eq(back.id, msg->id);
	cr_assert_eq(lw_value_check(body, NULL), 0);
	for (size_t i = 0; i < descriptor->count; i++)
		cr_assert(same_field(&back, msg, &descriptor->fields[i]), "%s.%s", descriptor->name,
			  descriptor->fields[i].name);
}

Test(proto, every_message_survives_the_way_there_and_back)
{
	each(check_round_trip);
}

static void check_side(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
		       struct lw_slice body)
{
	enum lw_sender other = descriptor->by == LW_BY_WORKER ? LW_BY_SUPERVISOR : LW_BY_WORKER;
	struct lw_err err = { 0 };
	struct lw_msg back;

	(void)msg;
	cr_assert_eq(lw_msg_decode(body, other, &back, &err), -EBADMSG);
	cr_assert_not_null(strstr(err.text, "from the wrong side"));
}

Test(proto, a_message_from_the_wrong_side_is_refused)
{
	each(check_side);
}

/* In memory of exactly this size, so that the sanitizer sees a step too far. */
static int decode_copy(const uint8_t *bytes, size_t size, enum lw_sender by, struct lw_msg *back)
{
	struct lw_err err = { 0 };
	uint8_t *copy = malloc(size > 0 ? size : 1);
	int r;

	memcpy(copy, bytes, size);
	r = lw_msg_decode((struct lw_slice){ copy, size }, by, back, &err);
	cr_assert(r == 0 || (r == -EBADMSG && err.code == r && err.text[0] != '\0'));
	free(copy);
	return r;
}

static void check_truncation(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
			     struct lw_slice body)
{
	struct lw_msg back = { .id = (enum lw_msg_id)99 };

	(void)msg;
	for (size_t size = 0; size < body.size; size++)
		cr_assert_eq(decode_copy(body.data, size, descriptor->by, &back), -EBADMSG);
	cr_assert_eq(back.id, 99, "a refused message is not written");
}

Test(proto, every_truncation_of_every_message_is_refused)
{
	each(check_truncation);
}

static void touch_field(const struct lw_msg *msg, const struct lw_field *field,
			struct lw_slice body)
{
	const struct lw_slice *s = (const void *)((const char *)msg + field->offset);

	if (field->kind < LW_KIND_TEXT)
		return;
	cr_assert_leq(s->size, body.size, "a field is not longer than its message");
	cr_assert_leq(s->size, field->longest);
	if (field->kind != LW_KIND_TEXT)
		cr_assert_eq(lw_value_check(*s, NULL), 0);
}

static void check_changes(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
			  struct lw_slice body)
{
	uint8_t *bytes = malloc(body.size);
	struct lw_msg back;

	(void)msg;
	memcpy(bytes, body.data, body.size);
	for (size_t at = 0; at < body.size; at++) {
		for (unsigned change = 1; change < 256; change++) {
			struct lw_slice changed = { bytes, body.size };
			size_t count;

			bytes[at] = (uint8_t)(body.data[at] ^ change);
			if (lw_msg_decode(changed, descriptor->by, &back, NULL) < 0)
				continue;
			const struct lw_descriptor *is = lw_msg_descriptors(&count);
			while (is->id != back.id)
				is++;
			for (size_t i = 0; i < is->count; i++)
				touch_field(&back, &is->fields[i], changed);
		}
		bytes[at] = body.data[at];
	}
	free(bytes);
}

Test(proto, every_change_of_a_byte_is_refused_or_decoded)
{
	each(check_changes);
}

static void check_longer(const struct lw_descriptor *descriptor, const struct lw_msg *msg,
			 struct lw_slice body)
{
	LW_AUTO_BUF longer = { 0 };
	struct lw_msg back;

	(void)msg;
	lw_buf_add(&longer, body.data, body.size);
	lw_put_nil(&longer);
	cr_assert_eq(decode_copy(longer.data, longer.size, descriptor->by, &back), -EBADMSG);
	longer.data[0]++; /* one more in the list: it has a field too many */
	cr_assert_eq(decode_copy(longer.data, longer.size, descriptor->by, &back), -EBADMSG);
}

Test(proto, a_message_with_more_in_it_or_behind_it_is_refused)
{
	each(check_longer);
}

static void assert_refused(struct lw_slice body, enum lw_sender by, const char *sentence)
{
	struct lw_err err = { 0 };
	struct lw_msg msg;

	cr_assert_eq(lw_msg_decode(body, by, &msg, &err), -EBADMSG);
	cr_assert_str_eq(err.text, sentence);
}

Test(proto, what_is_no_message_is_refused_with_a_sentence)
{
	assert_refused(BYTES(""), LW_BY_WORKER, "no message");
	assert_refused((struct lw_slice){ NULL, 0 }, LW_BY_WORKER, "no message");
	assert_refused(BYTES("\xc0"), LW_BY_WORKER, "no message");
	assert_refused(BYTES("\x90"), LW_BY_WORKER, "no message");
	assert_refused(BYTES("\x91\xa1x"), LW_BY_WORKER, "no message");
	assert_refused(BYTES("\x91\xff"), LW_BY_WORKER, "no message");
	assert_refused(BYTES("\xdd\x00\xf4\x24\x00"), LW_BY_WORKER, "no message");
	assert_refused(BYTES("\x91\x00"), LW_BY_WORKER, "unknown message 0");
	assert_refused(BYTES("\x91\x63"), LW_BY_WORKER, "unknown message 99");
	assert_refused(BYTES("\x91\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), LW_BY_WORKER,
		       "unknown message 9223372036854775807");
	assert_refused(BYTES("\x91\x06"), LW_BY_WORKER, "message 'withdrawn' has 1 fields, not 0");
	assert_refused(BYTES("\x92\x06\xff"), LW_BY_WORKER,
		       "message 'withdrawn', field 'run': not a whole number");
	assert_refused(BYTES("\x92\x0c\xc4\x01x"), LW_BY_SUPERVISOR,
		       "message 'stop', field 'reason': not text");
	assert_refused(BYTES("\x92\x0c\xa1\xff"), LW_BY_SUPERVISOR,
		       "message 'stop', field 'reason': not UTF-8");
	assert_refused(BYTES("\x95\x04\x01\x01\xc0\x80"), LW_BY_SUPERVISOR,
		       "message 'run', field 'positional': not a list");
	assert_refused(BYTES("\x95\x04\x01\x01\x90\x90"), LW_BY_SUPERVISOR,
		       "message 'run', field 'named': not a map");
	assert_refused(BYTES("\x93\x09\x01\xa1x"), LW_BY_WORKER,
		       "message 'progress', field 'share': not a number");
	assert_refused(
		BYTES("\x95\x08\x01\x00\xa1x\xd4\x01\x02"), LW_BY_WORKER,
		"message 'state', field 'value': a value of kind 0xd4 is no value or not whole");
	assert_refused(BYTES("\x95\x08\x01\x00\xa1x\xa1\xff"), LW_BY_WORKER,
		       "message 'state', field 'value': text is not UTF-8");
}

static void add_state(struct lw_buf *out)
{
	lw_put_list(out, 5);
	lw_put_uint(out, LW_MSG_STATE);
	lw_put_uint(out, 1);
	lw_put_uint(out, 0);
	lw_put_cstr(out, "x");
}

Test(proto, values_within_messages_have_the_bounds_of_values)
{
	LW_AUTO_BUF body = { 0 };
	struct lw_msg msg;

	add_state(&body);
	for (int i = 0; i < LW_DEPTH_MAX; i++)
		lw_put_list(&body, i < LW_DEPTH_MAX - 1);
	cr_assert_eq(lw_msg_decode(lw_buf_slice(&body), LW_BY_WORKER, &msg, NULL), 0);
	cr_assert_eq(msg.state.value.size, LW_DEPTH_MAX);
	body.data[body.size - 1] = 0x91;
	lw_put_list(&body, 0);
	assert_refused(lw_buf_slice(&body), LW_BY_WORKER,
		       "message 'state', field 'value': nested more than 32 deep");
	body.size = 0;
	add_state(&body);
	lw_put_list(&body, LW_ITEMS_MAX);
	for (uint32_t i = 0; i < LW_ITEMS_MAX; i++)
		lw_put_nil(&body);
	assert_refused(lw_buf_slice(&body), LW_BY_WORKER,
		       "message 'state', field 'value': more than 1048576 values in one");
}

Test(proto, the_largest_value_fits_a_frame)
{
	LW_AUTO_BUF value = { 0 }, frame = { 0 };
	struct lw_msg msg = { .id = LW_MSG_RESULT }, back;
	char *bytes = lw_alloc(LW_VALUE_MAX);

	lw_put_bytes(&value, bytes, LW_VALUE_MAX - 5);
	msg.result.value = lw_buf_slice(&value);
	lw_msg_encode(&frame, &msg);
	cr_assert_lt(frame.size, LW_FRAME_MAX);
	cr_assert_eq(lw_msg_decode(body_of(&frame), LW_BY_WORKER, &back, NULL), 0);
	cr_assert_eq(back.result.value.size, LW_VALUE_MAX);
	lw_free(bytes);
}

Test(proto, the_longest_hello_fits_the_bound_of_strangers)
{
	LW_AUTO_BUF frame = { 0 };
	struct lw_msg msg = { .id = LW_MSG_HELLO };
	char text[64];

	memset(text, 'f', sizeof(text));
	memset(&msg.hello, 0xff, sizeof(msg.hello));
	msg.hello.token = msg.hello.store = (struct lw_slice){ (uint8_t *)text, sizeof(text) };
	lw_msg_encode(&frame, &msg);
	cr_assert_lt(frame.size, LW_FRAME_STRANGER);
}

Test(proto, text_above_its_bound_is_cut_by_us_and_refused_from_others)
{
	LW_AUTO_BUF frame = { 0 }, body = { 0 };
	struct lw_msg msg = { .id = LW_MSG_WELCOME }, back;
	char text[301] = "";

	for (size_t at = 0; at < 300; at += 2)
		memcpy(text + at, "\xc3\xbc", 2);
	msg.welcome.work = (struct lw_slice){ (uint8_t *)text, 300 };
	lw_msg_encode(&frame, &msg);
	cr_assert_eq(lw_msg_decode(body_of(&frame), LW_BY_SUPERVISOR, &back, NULL), 0);
	cr_assert_eq(back.welcome.work.size, 254);
	lw_put_list(&body, 3);
	lw_put_uint(&body, LW_MSG_WELCOME);
	lw_put_text(&body, text, 256);
	lw_put_uint(&body, 0);
	assert_refused(lw_buf_slice(&body), LW_BY_SUPERVISOR,
		       "message 'welcome', field 'work': 256 bytes, more than 255");
}

Test(proto, text_of_ours_that_is_not_utf8_is_made_so)
{
	LW_AUTO_BUF frame = { 0 };
	struct lw_msg msg = { .id = LW_MSG_RESULT }, back;

	msg.result.message = BYTES("bad \xff\xfe byte");
	lw_msg_encode(&frame, &msg);
	cr_assert_eq(lw_msg_decode(body_of(&frame), LW_BY_WORKER, &back, NULL), 0);
	cr_assert_eq(memcmp(back.result.message.data, "bad ?? byte", 11), 0);
}

Test(proto, fields_left_empty_are_nil_and_empty)
{
	LW_AUTO_BUF run = { 0 }, result = { 0 };
	struct lw_msg back;

	lw_msg_encode(&run, &(struct lw_msg){ .id = LW_MSG_RUN });
	cr_assert_eq(lw_msg_decode(body_of(&run), LW_BY_SUPERVISOR, &back, NULL), 0);
	cr_assert(back.run.positional.data[0] == 0x90 && back.run.named.data[0] == 0x80);
	lw_msg_encode(&result, &(struct lw_msg){ .id = LW_MSG_RESULT });
	cr_assert_eq(lw_msg_decode(body_of(&result), LW_BY_WORKER, &back, NULL), 0);
	cr_assert_eq(back.result.value.data[0], 0xc0);
}

Test(proto, a_list_where_a_map_belongs_is_our_mistake, .exit_code = 1)
{
	LW_AUTO_BUF frame = { 0 };
	struct lw_msg msg = { .id = LW_MSG_RUN };

	msg.run.named = BYTES("\x90");
	lw_msg_encode(&frame, &msg);
}

Test(proto, a_value_above_its_bound_is_our_mistake, .exit_code = 1)
{
	LW_AUTO_BUF frame = { 0 };
	struct lw_msg msg = { .id = LW_MSG_SET };

	msg.set.value = (struct lw_slice){ (const uint8_t *)"", LW_VALUE_MAX + 1 };
	lw_msg_encode(&frame, &msg);
}

Test(proto, messages_have_names)
{
	cr_assert_str_eq(lw_msg_name(LW_MSG_HELLO), "hello");
	cr_assert_str_eq(lw_msg_name(LW_MSG_STOP), "stop");
	cr_assert_str_eq(lw_msg_name((enum lw_msg_id)0), "unknown");
	cr_assert_str_eq(lw_msg_name((enum lw_msg_id)99), "unknown");
}

/* ---- the manual ----------------------------------------------------------------------------- */

static void print_field(const struct lw_field *field, struct lw_buf *out)
{
	static const char *const kinds[] = {
		[LW_KIND_U64] = "whole number",   [LW_KIND_F64] = "number",
		[LW_KIND_BOOL] = "true or false", [LW_KIND_TEXT] = "text",
		[LW_KIND_LIST] = "list",          [LW_KIND_MAP] = "map",
		[LW_KIND_ANY] = "any value",
	};

	lw_buf_printf(out, "     %-12s %s", field->name, kinds[field->kind]);
	if (field->kind == LW_KIND_TEXT)
		lw_buf_printf(out, ", at most %zu bytes", field->longest);
	lw_buf_printf(out, "\n");
}

Test(proto, the_manual_has_the_table)
{
	static char page[64 << 10];
	FILE *file = fopen(LW_SOURCE "/man/lw-protocol.7", "r");
	LW_AUTO_BUF table = { 0 };
	size_t count;
	const struct lw_descriptor *descriptors = lw_msg_descriptors(&count);

	lw_buf_printf(&table, ".Bd -literal -offset indent\n");
	for (size_t i = 0; i < count; i++) {
		lw_buf_printf(&table, "%-2d %s, by the %s\n", (int)descriptors[i].id,
			      descriptors[i].name,
			      descriptors[i].by == LW_BY_WORKER ? "worker" : "supervisor");
		for (size_t k = 0; k < descriptors[i].count; k++)
			print_field(&descriptors[i].fields[k], &table);
	}
	lw_buf_printf(&table, ".Ed\n");
	cr_assert_not_null(file);
	page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
	fclose(file);
	cr_expect_not_null(strstr(page, lw_buf_text(&table)), "the manual wants:\n%s",
			   lw_buf_text(&table));
}
