/* run.c - runs, the lists they wait in, and the map that finds them by id. */
#include "run.h"

#include <string.h>

#include "lw_log.h"
#include "app.h"

#define FORM_INLINE 64 /* canonical forms up to this many bytes lie behind the run */

const char *stage_name(enum stage stage)
{
#define STAGE_NAME(NAME, name) [STAGE_##NAME] = #name,
	static const char *const names[STAGES_N] = { STAGES(STAGE_NAME) };
#undef STAGE_NAME

	return names[stage];
}

/* ---- watchers --------------------------------------------------------------------- */

void watcher_add(struct watcher **list, struct watcher *watcher)
{
	watcher->next = *list;
	watcher->link = list;
	if (*list != NULL)
		(*list)->link = &watcher->next;
	*list = watcher;
}

void watcher_cancel(struct watcher *watcher)
{
	if (watcher->link == NULL)
		return;
	*watcher->link = watcher->next;
	if (watcher->next != NULL)
		watcher->next->link = watcher->link;
	watcher->link = NULL;
	watcher->next = NULL;
}

void watchers_tell(struct watcher **list)
{
	while (*list != NULL) {
		struct watcher *watcher = *list;

		watcher_cancel(watcher);
		watcher->done(watcher);
	}
}

/* ---- lists ------------------------------------------------------------------------ */

void run_list_append(struct run_list *list, struct run *run)
{
	run->next = NULL;
	run->prev = list->last;
	if (list->last != NULL)
		list->last->next = run;
	else
		list->first = run;
	list->last = run;
	list->count++;
}

void run_list_prepend(struct run_list *list, struct run *run)
{
	run->prev = NULL;
	run->next = list->first;
	if (list->first != NULL)
		list->first->prev = run;
	else
		list->last = run;
	list->first = run;
	list->count++;
}

void run_list_remove(struct run_list *list, struct run *run)
{
	if (run->prev != NULL)
		run->prev->next = run->next;
	else
		list->first = run->next;
	if (run->next != NULL)
		run->next->prev = run->prev;
	else
		list->last = run->prev;
	run->next = run->prev = NULL;
	list->count--;
}

/* ---- by id: ids are consecutive, so that a table of chunks finds them ----------------------- */

#define CHUNK 1024

struct chunk {
	struct run *runs[CHUNK];
	size_t count;
};

struct runs {
	struct chunk **chunks; /* by id / CHUNK; NULL: none of them is left */
	size_t room;
	size_t count;
	uint64_t last_id;
};

static void runs_insert(struct runs *runs, struct run *run)
{
	size_t at = (size_t)(run->id / CHUNK);

	if (at >= runs->room) {
		size_t room = runs->room * 2 > at ? runs->room * 2 : at + 1;

		runs->chunks = lw_realloc(runs->chunks, room * sizeof(struct chunk *));
		memset(runs->chunks + runs->room, 0, (room - runs->room) * sizeof(struct chunk *));
		runs->room = room;
	}
	if (runs->chunks[at] == NULL)
		runs->chunks[at] = LW_NEW(struct chunk);
	runs->chunks[at]->runs[run->id % CHUNK] = run;
	runs->chunks[at]->count++;
	runs->count++;
}

static void runs_remove(struct runs *runs, const struct run *run)
{
	struct chunk **chunk = &runs->chunks[run->id / CHUNK];

	(*chunk)->runs[run->id % CHUNK] = NULL;
	runs->count--;
	if (--(*chunk)->count == 0) {
		free(*chunk);
		*chunk = NULL;
	}
}

struct runs *runs_new(void)
{
	return LW_NEW(struct runs);
}

void runs_free(struct runs *runs)
{
	if (runs == NULL)
		return;
	if (runs->count > 0)
		lw_log(LW_LOG_ERROR, "runs=%zu are still held at the end", runs->count);
	for (size_t i = 0; i < runs->room; i++)
		free(runs->chunks[i]);
	free(runs->chunks);
	free(runs);
}

struct run *runs_find(const struct runs *runs, uint64_t id)
{
	const struct chunk *chunk = id / CHUNK < runs->room ? runs->chunks[id / CHUNK] : NULL;

	return chunk != NULL ? chunk->runs[id % CHUNK] : NULL;
}

/* ---- a run -------------------------------------------------------------------------- */

static bool same_bytes(struct lw_slice a, struct lw_slice b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static uint8_t *copy_bytes(struct lw_slice bytes)
{
	uint8_t *copy = lw_realloc(NULL, bytes.size);

	memcpy(copy, bytes.data, bytes.size);
	return copy;
}

struct run *run_new(struct runs *runs, struct work *work, struct lw_key key, struct lw_slice form,
		    struct lw_slice call, enum caller by, int64_t now)
{
	bool inlined = form.size <= FORM_INLINE;
	struct run *run = lw_alloc(sizeof(*run) + (inlined ? form.size : 0));
	uint8_t *bytes = inlined ? (uint8_t *)(run + 1) : lw_realloc(NULL, form.size);

	memcpy(bytes, form.data, form.size);
	run->key = key;
	run->form = bytes;
	run->form_size = (uint32_t)form.size;
	run->call = same_bytes(form, call) ? (struct lw_slice){ bytes, form.size }
					   : (struct lw_slice){ copy_bytes(call), call.size };
	run->stage = STAGE_PENDING;
	run->by = (uint8_t)by;
	run->work = work;
	run->refs = 1;
	run->created = now;
	run->progress = -1;
	run->id = ++runs->last_id;
	runs_insert(runs, run);
	return run;
}

struct run *run_ref(struct run *run)
{
	run->refs++;
	return run;
}

static void free_result(struct run *run);

static void run_free(struct run *run)
{
	runs_remove(run->work->app->runs, run);
	if (run->delay != NULL)
		loop_timer_done(&run->delay->timer);
	free(run->delay);
	if (run->call.data != run->form)
		free((void *)run->call.data);
	if (run->form != (const uint8_t *)(run + 1))
		free((void *)run->form);
	free_result(run);
	free(run->reason);
	free(run->message);
	for (size_t i = 0; i < run->past_count; i++) {
		free(run->past[i].reason);
		free(run->past[i].message);
	}
	free(run->past);
	free(run);
}

void run_unref(struct run *run)
{
	if (run != NULL && --run->refs == 0)
		run_free(run);
}

/* The status that a run is in now, as one entry; takes the texts over. */
static struct status run_present(const struct run *run)
{
	int64_t at = stage_over(run->stage)        ? run->ended
		     : run->stage == STAGE_RUNNING ? run->started
		     : run->past_count > 0         ? run->ended
						   : run->created;

	return (struct status){ run->stage, at, run->reason, run->message, 1 };
}

/* One execution with one attempt needs no list: pending, running and the last stage are in
 * the fields. What a further attempt would overwrite is kept here. */
static void run_keep_present(struct run *run)
{
	struct status first = { STAGE_PENDING, run->created, NULL, NULL, 1 };

	if (run->past_count == RUN_STATUSES - 4) { /* the oldest attempt's statuses give way */
		for (size_t i = 1; i < 4; i++) {
			free(run->past[i].reason);
			free(run->past[i].message);
		}
		memmove(run->past + 1, run->past + 4, (run->past_count - 4) * sizeof(*run->past));
		run->past_count -= 3;
	}
	run->past = lw_realloc(run->past, (run->past_count + 2) * sizeof(*run->past));
	if (run->past_count == 0 && run->stage != STAGE_PENDING)
		run->past[run->past_count++] = first;
	run->past[run->past_count++] = run_present(run);
	run->reason = NULL;
	run->message = NULL;
}

static char *replace_text(char *old, const char *text)
{
	char *copy = lw_strdup(text);

	free(old);
	return copy;
}

void run_move(struct run *run, enum stage stage, const char *reason, const char *message,
	      int64_t now)
{
	if (stage == STAGE_PENDING || run->past_count > 0)
		run_keep_present(run);
	run->reason = replace_text(run->reason, reason);
	run->message = replace_text(run->message, message);
	if (stage == STAGE_RUNNING)
		run->started = now;
	else
		run->ended = now;
	run->stage = (uint8_t)stage;
}

/* nil, by far the commonest result, is shared. */
static const uint8_t nil_result = 0xc0;

static void free_result(struct run *run)
{
	if (run->result.data != &nil_result)
		free((void *)run->result.data);
}

void run_set_result(struct run *run, struct lw_slice value)
{
	bool nil = value.size == 1 && value.data[0] == nil_result;

	free_result(run);
	run->result = (struct lw_slice){ nil ? &nil_result : copy_bytes(value), value.size };
}

size_t run_statuses(const struct run *run, struct status ret_statuses[RUN_STATUSES])
{
	size_t n = run->past_count;

	if (n > 0) {
		memcpy(ret_statuses, run->past, n * sizeof(*ret_statuses));
	} else {
		if (run->stage != STAGE_PENDING)
			ret_statuses[n++] =
				(struct status){ STAGE_PENDING, run->created, NULL, NULL, 1 };
		if (stage_over(run->stage) && run->started != 0)
			ret_statuses[n++] =
				(struct status){ STAGE_RUNNING, run->started, NULL, NULL, 1 };
	}
	ret_statuses[n++] = run_present(run);
	return n;
}
