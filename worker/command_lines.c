/* command_lines.c - descriptor 3 of a command: lines of JSON to state, progress and result; see
 * command.h. Owned by command.c, which reads the pipe.
 *
 *   {"data": "day.csv", "rows": 418}             two values of the work's state
 *   {"lw": {"progress": 0.4, "result": 17}}      for ourselves
 *   {"lw": {"ready": true}}                      what the command offers can be used
 *
 * A bad line is noted and ignored. What one run can make us keep is bounded: names, bytes of
 * values, the length of a line and the number of notes.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>

#include "channel.h"

#define PROGRESS_MS 100
#define KEEP_ROOM   (64u << 10)

static void note(struct lines *lines, const char *why)
{
	LW_AUTO(lw_free) char *text = NULL;

	if (++lines->bad > LINES_NOTES_MAX)
		return;
	text = lw_format("descriptor 3: %s%s", why,
			 lines->bad == LINES_NOTES_MAX ? " (further notes are left out)" : "");
	lines->note(lines->context, text);
}

void lines_begin(struct lines *lines, uint64_t run)
{
	for (size_t i = 0; i < lines->count; i++) {
		lw_free(lines->values[i].name);
		lw_buf_done(&lines->values[i].value);
	}
	lines->run = run;
	lines->count = lines->bytes = 0;
	lines->bad = 0;
	lines->skipping = lines->has_result = false;
	lines->progress_at = 0;
	lw_buf_shrink(&lines->partial, KEEP_ROOM);
	lw_buf_shrink(&lines->result, KEEP_ROOM);
}

void lines_done(struct lines *lines)
{
	lines_begin(lines, 0);
	lw_free(lines->values);
	lines->values = NULL;
	lines->room = 0;
	lw_buf_done(&lines->partial);
	lw_buf_done(&lines->result);
}

/* ---- state --------------------------------------------------------------------------------- */

static struct line_value *value_for(struct lines *lines, const char *name)
{
	for (size_t i = 0; i < lines->count; i++)
		if (strcmp(lines->values[i].name, name) == 0)
			return &lines->values[i];
	if (lines->count == LINES_NAMES_MAX)
		return NULL;
	if (lines->count == lines->room) {
		lines->room = lines->room == 0 ? 8 : lines->room * 2;
		lines->values = lw_realloc(lines->values, lines->room * sizeof(struct line_value));
	}
	lines->values[lines->count] = (struct line_value){ .name = lw_strdup(name) };
	return &lines->values[lines->count++];
}

static void report_state(struct lines *lines, const struct line_value *value)
{
	struct lw_msg msg = { .id = LW_MSG_STATE,
			      .state = {
				      .run = lines->run,
				      .name = { (const uint8_t *)value->name, strlen(value->name) },
				      .value = lw_buf_slice(&value->value) } };

	if (lines->channel != NULL)
		channel_report(lines->channel, &msg);
}

static int set_state(struct lines *lines, const char *name, const json_t *json, struct lw_err *err)
{
	LW_AUTO_BUF packed = { 0 };
	struct line_value *value;
	int r = lw_value_from_json(json, &packed, err);

	if (r < 0)
		return r;
	if (name[0] == '\0' || strlen(name) > LW_NAME_MAX)
		return lw_err_set(err, -EINVAL, "a name must have 1 to %d bytes", LW_NAME_MAX);
	value = value_for(lines, name);
	if (value == NULL)
		return lw_err_set(err, -E2BIG, "more than %d names in one run", LINES_NAMES_MAX);
	if (lines->bytes - value->value.size + packed.size > LW_VALUE_MAX / 2)
		return lw_err_set(err, -E2BIG, "more than %u bytes of values in one run",
				  LW_VALUE_MAX / 2);
	lines->bytes = lines->bytes - value->value.size + packed.size;
	lw_buf_done(&value->value);
	value->value = packed;
	packed = (struct lw_buf){ 0 };
	report_state(lines, value);
	return 0;
}

/* ---- {"lw": {...}} ------------------------------------------------------------------------------ */

static int set_progress(struct lines *lines, const json_t *json, struct lw_err *err)
{
	struct lw_msg msg = { .id = LW_MSG_PROGRESS, .progress = { .run = lines->run } };
	int64_t now = channel_now();
	double share = json_number_value(json);

	if (!json_is_number(json))
		return lw_err_set(err, -EINVAL, "progress is not a number");
	if (lines->channel == NULL || now - lines->progress_at < PROGRESS_MS)
		return 0;
	lines->progress_at = now;
	msg.progress.share = share > 0 ? (share < 1 ? share : 1) : 0;
	channel_report(lines->channel, &msg);
	return 0;
}

static int set_result(struct lines *lines, const json_t *json, struct lw_err *err)
{
	LW_AUTO_BUF packed = { 0 };
	int r = lw_value_from_json(json, &packed, err);

	if (r < 0)
		return r;
	lw_buf_done(&lines->result);
	lines->result = packed;
	packed = (struct lw_buf){ 0 };
	lines->has_result = true;
	return 0;
}

void lines_ready(struct lines *lines, bool ready)
{
	lines->ready = ready;
	if (lines->channel != NULL)
		channel_ready(lines->channel, ready); /* which tells what is new */
}

void lines_unready(struct lines *lines)
{
	if (lines->ready)
		lines_ready(lines, false);
}

static int set_ready(struct lines *lines, const json_t *json, struct lw_err *err)
{
	if (!json_is_boolean(json))
		return lw_err_set(err, -EINVAL, "ready is neither true nor false");
	lines_ready(lines, json_is_true(json));
	return 0;
}

static int for_us(struct lines *lines, json_t *object, struct lw_err *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	if (!json_is_object(object))
		return lw_err_set(err, -EINVAL, "\"lw\" is not an object");
	json_object_foreach(object, name, value)
	{
		if (strcmp(name, "progress") == 0)
			r = set_progress(lines, value, err);
		else if (strcmp(name, "result") == 0)
			r = set_result(lines, value, err);
		else if (strcmp(name, "ready") == 0)
			r = set_ready(lines, value, err);
		else
			r = lw_err_set(err, -EINVAL, "\"lw\" has no \"%.40s\"", name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------------- */

static void json_decref_auto(json_t **json)
{
	json_decref(*json);
}

static void apply(struct lines *lines, const char *line, size_t size)
{
	json_error_t error;
	LW_AUTO(json_decref) json_t *json = json_loadb(line, size, JSON_ALLOW_NUL, &error);
	const char *name;
	json_t *value;
	struct lw_err err = { 0 };

	if (!json_is_object(json)) {
		lw_err_set(&err, -EINVAL, "a line is no JSON object, ignored: %.*s%s",
			   size > 80 ? 80 : (int)size, line, size > 80 ? "..." : "");
		note(lines, err.text);
		return;
	}
	json_object_foreach(json, name, value)
	{
		bool ours = strcmp(name, "lw") == 0;
		int r = ours ? for_us(lines, value, &err) : set_state(lines, name, value, &err);

		if (r < 0) {
			lw_err_within(&err, "'%.80s' ignored", name);
			note(lines, err.text);
		}
	}
}

static bool is_blank(const char *line, size_t size)
{
	while (size > 0 && (*line == ' ' || *line == '\t' || *line == '\r'))
		line++, size--;
	return size == 0;
}

static void whole_line(struct lines *lines, const char *line, size_t size)
{
	if (lines->skipping)
		lines->skipping = false;
	else if (!is_blank(line, size))
		apply(lines, line, size);
}

static void keep_partial(struct lines *lines, const char *bytes, size_t size)
{
	if (lines->skipping)
		return;
	if (lines->partial.size + size > LW_VALUE_MAX) {
		lines->skipping = true;
		lw_buf_shrink(&lines->partial, KEEP_ROOM);
		note(lines, "a line longer than 16 MiB, ignored");
		return;
	}
	lw_buf_add(&lines->partial, bytes, size);
}

void lines_add(struct lines *lines, const char *bytes, size_t size)
{
	const char *end;

	while (size > 0 && (end = memchr(bytes, '\n', size)) != NULL) {
		size_t length = (size_t)(end - bytes);

		if (lines->partial.size > 0) {
			keep_partial(lines, bytes, length);
			whole_line(lines, (const char *)lines->partial.data, lines->partial.size);
			lw_buf_shrink(&lines->partial, KEEP_ROOM);
		} else {
			whole_line(lines, bytes, length);
		}
		bytes = end + 1;
		size -= length + 1;
	}
	keep_partial(lines, bytes, size);
}

void lines_end(struct lines *lines)
{
	if (lines->partial.size > 0)
		lines_add(lines, "\n", 1);
	lines->skipping = false;
}

void lines_result(const struct lines *lines, struct lw_buf *out)
{
	if (lines->has_result) {
		lw_buf_add(out, lines->result.data, lines->result.size);
		return;
	}
	lw_put_map(out, (uint32_t)lines->count);
	for (size_t i = 0; i < lines->count; i++) {
		const struct line_value *value = &lines->values[i];

		lw_put_cstr(out, value->name);
		lw_buf_add(out, value->value.data, value->value.size);
	}
}
