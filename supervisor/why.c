/* why.c - the sentence for a decision: why a call was skipped, joined, held or run. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app.h"
#include "work.h"

#define PARTS_MAX  64 /* arguments that are compared */
#define NAMED_MOST 3  /* differences that are named */
#define SHOWN_MOST 60 /* bytes of a value that are shown */

/* One argument of a canonical form: its label and its value. */
struct part {
	struct lw_slice name; /* of a named one, as encoded; else empty */
	size_t position;
	struct lw_slice value;
};

struct parts {
	struct lw_slice version; /* as encoded */
	struct lw_slice files;   /* their digest, or empty */
	struct part list[PARTS_MAX];
	size_t count;
};

static struct lw_slice take_value(const uint8_t **at, const uint8_t *end)
{
	struct lw_slice value = { *at, lw_value_size(*at, end) };

	*at += value.size;
	return value;
}

/* The version, or the list of it and the digest of files. */
static void take_version(const uint8_t **at, const uint8_t *end, struct parts *parts)
{
	const uint8_t *from = *at;
	struct lw_item item;

	parts->files = (struct lw_slice){ 0 };
	if (lw_item_read(at, end, &item) < 0 || item.type != LW_LIST) {
		*at = from;
		parts->version = take_value(at, end);
		return;
	}
	parts->version = take_value(at, end);
	if (lw_item_read(at, end, &item) == 0 && item.type == LW_BYTES)
		parts->files = item.s;
}

/* Forms are ours: well-formed, [work, version, [...], {...}]. */
static void take_apart(struct lw_slice form, struct parts *parts)
{
	const uint8_t *at = form.data, *end = form.data + form.size;
	struct lw_item list, map;
	int r;

	parts->count = 0;
	r = lw_item_read(&at, end, &list); /* the call itself */
	take_value(&at, end);              /* work */
	take_version(&at, end, parts);
	r |= lw_item_read(&at, end, &list);
	for (uint32_t i = 0; r == 0 && i < list.n; i++) {
		struct lw_slice value = take_value(&at, end);

		if (parts->count < PARTS_MAX)
			parts->list[parts->count++] =
				(struct part){ .position = i, .value = value };
	}
	r |= lw_item_read(&at, end, &map);
	for (uint32_t i = 0; r == 0 && i < map.n; i++) {
		struct lw_slice name = take_value(&at, end);
		struct lw_slice value = take_value(&at, end);

		if (parts->count < PARTS_MAX)
			parts->list[parts->count++] = (struct part){ name, 0, value };
	}
}

static bool same(struct lw_slice a, struct lw_slice b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static const struct part *find_part(const struct parts *parts, const struct part *wanted)
{
	for (size_t i = 0; i < parts->count; i++)
		if (same(parts->list[i].name, wanted->name) &&
		    parts->list[i].position == wanted->position)
			return &parts->list[i];
	return NULL;
}

static size_t count_differences(const struct parts *was, const struct parts *is)
{
	size_t n = !same(was->version, is->version) + !same(was->files, is->files);

	for (size_t i = 0; i < is->count; i++) {
		const struct part *old = find_part(was, &is->list[i]);

		n += old == NULL || !same(old->value, is->list[i].value);
	}
	for (size_t i = 0; i < was->count; i++)
		n += find_part(is, &was->list[i]) == NULL;
	return n;
}

static void print_value(const struct part *part, struct lw_buf *out)
{
	size_t start = out->size;

	if (part == NULL) {
		lw_buf_printf(out, "absent");
		return;
	}
	lw_value_print_json(part->value, out);
	if (out->size - start <= SHOWN_MOST)
		return;
	out->size = start + SHOWN_MOST;
	while (out->size > start && (out->data[out->size - 1] & 0xc0) == 0x80)
		out->size--; /* not within a character */
	if (out->size > start && (out->data[out->size - 1] & 0x80) != 0)
		out->size--;
	lw_buf_printf(out, "...");
}

static void print_label(const struct part *part, struct lw_buf *out)
{
	const uint8_t *at = part->name.data;
	struct lw_item item;

	if (part->name.size == 0)
		lw_buf_printf(out, "argument %zu", part->position + 1);
	else if (lw_item_read(&at, part->name.data + part->name.size, &item) == 0)
		lw_buf_printf(out, "`%.*s`", (int)item.s.size, (const char *)item.s.data);
}

static void print_difference(const struct part *was, const struct part *is, size_t *named,
			     struct lw_buf *out)
{
	if (was != NULL && is != NULL && same(was->value, is->value))
		return;
	if (++*named > NAMED_MOST)
		return;
	lw_buf_printf(out, *named > 1 ? "; " : "");
	print_label(is != NULL ? is : was, out);
	lw_buf_printf(out, " was ");
	print_value(was, out);
	lw_buf_printf(out, ", is ");
	print_value(is, out);
}

static void print_differences(const struct work *work, const struct parts *was,
			      const struct parts *is, struct lw_buf *out)
{
	size_t named = 0;

	lw_buf_printf(out, "runs: ");
	if (!same(was->version, is->version)) {
		lw_buf_printf(out, "cache_version ");
		lw_value_print_json(is->version, out);
		lw_buf_printf(out, ", was ");
		lw_value_print_json(was->version, out);
		named++;
	}
	if (!same(was->files, is->files)) {
		lw_buf_printf(out, named++ > 0 ? "; " : "");
		files_print_change(work->files, was->files, is->files, out);
	}
	for (size_t i = 0; i < is->count; i++)
		print_difference(find_part(was, &is->list[i]), &is->list[i], &named, out);
	for (size_t i = 0; i < was->count; i++)
		if (find_part(is, &was->list[i]) == NULL)
			print_difference(&was->list[i], NULL, &named, out);
	if (named > NAMED_MOST)
		lw_buf_printf(out, "; and %zu more", named - NAMED_MOST);
}

/* The i-th of the latest runs, 0 is the newest. */
static const struct run *recent(const struct work *work, size_t i)
{
	uint64_t id = work_recent(work, i);
	struct lw_err err;

	return id != 0 ? app_run(work->app, id, &err) : NULL;
}

/* Never seen: against the nearest of the work's latest calls; for a run of long ago against the
 * latest before it. */
static void print_never_seen(const struct work *work, const struct run *subject,
			     struct lw_slice form, struct lw_buf *out)
{
	struct parts is, was, nearest;
	size_t best = SIZE_MAX, n;

	take_apart(form, &is);
	for (size_t i = 0; i < WORK_RECENT; i++) {
		const struct run *run = recent(work, i);
		struct lw_slice other = { 0 };

		if (run == NULL)
			break;
		other = (struct lw_slice){ run->form, run->form_size };
		if (same(other, form) || (subject != NULL && run->id >= subject->id))
			continue;
		take_apart(other, &was);
		n = count_differences(&was, &is);
		if (n < best) {
			best = n;
			nearest = was;
		}
	}
	if (best == SIZE_MAX)
		lw_buf_printf(out, "runs: never seen");
	else
		print_differences(work, &nearest, &is, out);
}

static void print_time(int64_t at, struct lw_buf *out)
{
	time_t seconds = (time_t)(at / 1000000);
	struct tm tm;
	char text[40];

	if (localtime_r(&seconds, &tm) != NULL && strftime(text, sizeof(text), "%F %T", &tm) > 0)
		lw_buf_printf(out, "%s", text);
}

void work_print_wait(const struct work *work, struct lw_buf *out)
{
	if (!is_paused(&work->pause))
		return;
	lw_buf_printf(out, "; waits: ");
	pause_print(&work->pause, out);
}

void work_print_why(const struct work *work, enum why why, const struct run *run,
		    struct lw_slice form, struct lw_buf *out)
{
	unsigned long long id = run != NULL ? run->id : 0;

	switch (why) {
	case WHY_SUCCEEDED:
		lw_buf_printf(out, "hit: succeeded as run %llu at ", id);
		print_time(run->ended, out);
		break;
	case WHY_LIVE:
		lw_buf_printf(out, "joined run %llu", id);
		break;
	case WHY_FAILED:
		lw_buf_printf(out, "held: failed %u time%s, last: %s",
			      run->failures > 0 ? run->failures : 1, run->failures <= 1 ? "" : "s",
			      run->message != NULL ? run->message : run->reason);
		break;
	case WHY_STOPPED:
		lw_buf_printf(out, "held: run %llu was %s; retry it to run it again", id,
			      run->reason != NULL ? run->reason : "stopped");
		break;
	case WHY_EXPIRED:
		lw_buf_printf(out, "runs: older than cache_ttl");
		break;
	case WHY_NOT_CACHED:
		lw_buf_printf(out, "runs: cache_calls is false");
		break;
	case WHY_OPERATOR:
		lw_buf_printf(out, "held: stopped by operator");
		break;
	case WHY_RETRY:
		lw_buf_printf(out, "runs: retried by operator");
		break;
	case WHY_SERVICE:
		lw_buf_printf(out, "runs: called by its restart rule");
		break;
	case WHY_FILES:
		lw_buf_printf(out, "held: its cache_files are being read");
		break;
	case WHY_NEVER_SEEN:
	case WHYS_N:
		print_never_seen(work, run, form, out);
		break;
	}
}
