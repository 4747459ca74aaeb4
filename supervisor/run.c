/* run.c - runs, the lists they wait in, the map that finds them by id, and their rows. */
#include "run.h"

#include <errno.h>
#include <string.h>

#include "lw_log.h"
#include "app.h"
#include "store.h"

#define FORM_INLINE  64 /* canonical forms up to this many bytes lie behind the run */
#define ENDING_SHIFT 3  /* between the flags of a row, two bits: how the attempt was being ended */
#define FLAGS_MASK   (((1 << ENDING_SHIFT) - 1) | STORE_RUN_FATAL)
#define PAST_MOST    (RUN_STATUSES - 4) /* statuses of earlier attempts: room for one more attempt */

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

/* ---- by id: chains, which consecutive ids keep short by themselves ---------------------------- */

struct runs {
	struct run **slots; /* by id, modulo room */
	size_t room;        /* a power of two */
	size_t count;
	uint64_t last_id;
	struct run_list resting; /* longest unused first */
	uint64_t resting_bytes;
};

static struct run **chain_of(const struct runs *runs, uint64_t id)
{
	return &runs->slots[id & (runs->room - 1)];
}

static void chain_add(struct runs *runs, struct run *run)
{
	struct run **chain = chain_of(runs, run->id);

	run->next_by_id = *chain;
	*chain = run;
}

static void runs_grow(struct runs *runs)
{
	struct run **old = runs->slots;
	size_t old_room = runs->room;

	runs->room *= 2;
	runs->slots = lw_alloc(runs->room * sizeof(struct run *));
	for (size_t i = 0; i < old_room; i++) {
		while (old[i] != NULL) {
			struct run *run = old[i];

			old[i] = run->next_by_id;
			chain_add(runs, run);
		}
	}
	free(old);
}

static void runs_insert(struct runs *runs, struct run *run)
{
	run->runs = runs;
	if (runs->count >= runs->room)
		runs_grow(runs);
	chain_add(runs, run);
	runs->count++;
}

static void runs_remove(struct runs *runs, const struct run *run)
{
	struct run **link = chain_of(runs, run->id);

	while (*link != run)
		link = &(*link)->next_by_id;
	*link = run->next_by_id;
	runs->count--;
}

struct runs *runs_new(uint64_t last_id)
{
	struct runs *runs = LW_NEW(struct runs);

	runs->room = 64;
	runs->slots = lw_alloc(runs->room * sizeof(struct run *));
	runs->last_id = last_id;
	return runs;
}

uint64_t runs_last_id(const struct runs *runs)
{
	return runs->last_id;
}

/* ---- at rest ---------------------------------------------------------------------------------- */

static uint64_t run_bytes(const struct run *run)
{
	return sizeof(*run) + run->form_size + (run->call.data != run->form ? run->call.size : 0) +
	       run->result.size;
}

void runs_rest(struct runs *runs, struct run *run)
{
	run->resting = true;
	run_list_append(&runs->resting, run);
	runs->resting_bytes += run_bytes(run);
}

static void wake(struct runs *runs, struct run *run)
{
	run->resting = false;
	run_list_remove(&runs->resting, run);
	runs->resting_bytes -= run_bytes(run);
}

/* Whoever is referred to by somebody else, or not on record yet, gets another turn. */
void runs_trim(struct runs *runs, uint64_t bytes, uint64_t stable)
{
	for (size_t looks = runs->resting.count; looks > 0 && runs->resting_bytes > bytes;
	     looks--) {
		struct run *run = runs->resting.first;

		if (run->noted || run->batch > stable)
			return; /* as is whoever came to rest after it */
		wake(runs, run);
		if (run->refs > 1)
			runs_rest(runs, run);
		else
			run_unref(run);
	}
}

uint64_t runs_resting(const struct runs *runs)
{
	return runs->resting_bytes;
}

struct run *runs_find(const struct runs *runs, uint64_t id)
{
	struct run *run = *chain_of(runs, id);

	while (run != NULL && run->id != id)
		run = run->next_by_id;
	return run;
}

void runs_free(struct runs *runs)
{
	if (runs == NULL)
		return;
	while (runs->resting.first != NULL) {
		struct run *run = runs->resting.first;

		wake(runs, run);
		run_unref(run);
	}
	if (runs->count > 0)
		lw_log(LW_LOG_ERROR, "runs=%zu are still held at the end", runs->count);
	free(runs->slots);
	free(runs);
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

static struct run *run_alloc(struct work *work, struct lw_key key, struct lw_slice form,
			     struct lw_slice call)
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
	run->work = work;
	run->refs = 1;
	run->progress = -1;
	return run;
}

struct run *run_new(struct runs *runs, struct work *work, struct lw_key key, struct lw_slice form,
		    struct lw_slice call, enum caller by, int64_t now)
{
	struct run *run = run_alloc(work, key, form, call);

	run->stage = STAGE_PENDING;
	run->by = (uint8_t)by;
	run->created = now;
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
	runs_remove(run->runs, run);
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

	if (run->past_count == PAST_MOST) { /* the oldest attempt's statuses give way */
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

/* ---- rows -------------------------------------------------------------------------------------- */

static void put_text(struct lw_buf *out, const char *text)
{
	if (text != NULL)
		lw_put_bytes(out, text, strlen(text));
	else
		lw_put_nil(out);
}

/* [[stage, at, count, reason, message], ...] */
static void pack_past(const struct run *run, struct lw_buf *out)
{
	lw_put_list(out, (uint32_t)run->past_count);
	for (size_t i = 0; i < run->past_count; i++) {
		const struct status *status = &run->past[i];

		lw_put_list(out, 5);
		lw_put_int(out, status->stage);
		lw_put_int(out, status->at);
		lw_put_int(out, status->count);
		put_text(out, status->reason);
		put_text(out, status->message);
	}
}

static bool take(const uint8_t **at, const uint8_t *end, enum lw_type type, struct lw_item *item)
{
	return lw_item_read(at, end, item) == 0 && item->type == type;
}

static bool take_text(const uint8_t **at, const uint8_t *end, char **ret_text)
{
	struct lw_item item;

	if (lw_item_read(at, end, &item) < 0 || (item.type != LW_NIL && item.type != LW_BYTES))
		return false;
	*ret_text = item.type == LW_NIL ? NULL : lw_strndup(item.s.data, item.s.size);
	return true;
}

static bool unpack_status(const uint8_t **at, const uint8_t *end, struct status *status)
{
	struct lw_item list, stage, when, count;

	*status = (struct status){ 0 };
	if (!take(at, end, LW_LIST, &list) || list.n != 5 || !take(at, end, LW_INT, &stage) ||
	    stage.i < 0 || stage.i >= STAGES_N || !take(at, end, LW_INT, &when) ||
	    !take(at, end, LW_INT, &count) || count.i < 1 || count.i > UINT32_MAX)
		return false;
	status->stage = (enum stage)stage.i;
	status->at = when.i;
	status->count = (uint32_t)count.i;
	return take_text(at, end, &status->reason) && take_text(at, end, &status->message);
}

static bool unpack_past(struct run *run, struct lw_slice packed)
{
	const uint8_t *at = packed.data, *end = lw_slice_end(packed);
	struct lw_item list;

	if (packed.size == 0)
		return true;
	if (!take(&at, end, LW_LIST, &list) || list.n > PAST_MOST)
		return false;
	run->past = lw_alloc((list.n + 1) * sizeof(*run->past));
	for (uint32_t i = 0; i < list.n; i++) {
		run->past_count = i + 1; /* also what is half unpacked is freed with the run */
		if (!unpack_status(&at, end, &run->past[i]))
			return false;
	}
	return at == end;
}

void run_to_row(const struct run *run, struct lw_buf *past, struct run_row *ret_row)
{
	struct worker_info worker = { 0 };

	past->size = 0;
	if (run->past_count > 0)
		pack_past(run, past);
	if (run->worker != NULL)
		worker = worker_info(run->worker);
	*ret_row = (struct run_row){
		.id = run->id,
		.work = run->work->row,
		.stage = run->stage,
		.by = run->by,
		.why = run->why,
		.flags = (uint8_t)(run->flags | run->ending << ENDING_SHIFT),
		.attempt = run->attempt,
		.failures = run->failures,
		.lost = run->lost,
		.rank = run->rank,
		.created = run->created,
		.started = run->started,
		.ended = run->ended,
		.due = run->due,
		.worker = worker.id,
		.incarnation = worker.incarnation,
		.form = { run->form, run->form_size },
		.call = run->call.data == run->form ? (struct lw_slice){ 0 } : run->call,
		.result = run->result,
		.reason = { (const uint8_t *)run->reason,
			    run->reason != NULL ? strlen(run->reason) : 0 },
		.message = { (const uint8_t *)run->message,
			     run->message != NULL ? strlen(run->message) : 0 },
		.past = lw_buf_slice(past),
	};
}

/* [work, version, [positional], {named}]: what everybody takes for granted of a call. */
static bool is_call(struct lw_slice call)
{
	const uint8_t *at = call.data, *end = lw_slice_end(call);
	struct lw_item item;

	if (lw_value_check(call, NULL) < 0 || !take(&at, end, LW_LIST, &item) || item.n != 4)
		return false;
	for (int i = 0; i < 2; i++) /* work, version */
		at += lw_value_size(at, end);
	if (at >= end || lw_item_read(&at, end, &item) < 0 || item.type != LW_LIST)
		return false;
	for (uint32_t n = item.n; n > 0; n--)
		at += lw_value_size(at, end);
	return take(&at, end, LW_MAP, &item);
}

static bool row_makes_sense(const struct run_row *row)
{
	return row->id != 0 && row->stage >= STAGE_PENDING && row->stage < STAGES_N &&
	       row->why < WHYS_N && row->by <= FROM_RULE && is_call(row->form) &&
	       (row->call.size == 0 || is_call(row->call)) &&
	       (row->result.size == 0 || lw_value_check(row->result, NULL) == 0);
}

static char *row_text(struct lw_slice text)
{
	return text.data != NULL ? lw_strndup(text.data, text.size) : NULL;
}

int run_from_row(struct runs *runs, struct work *work, struct lw_key key, const struct run_row *row,
		 struct run **ret_run, struct lw_err *err)
{
	struct run *run;

	if (!row_makes_sense(row))
		return lw_err_set(err, -EUCLEAN, "the journal's row of run %llu makes no sense",
				  (unsigned long long)row->id);
	run = run_alloc(work, key, row->form, row->call.size > 0 ? row->call : row->form);
	run->id = row->id;
	runs_insert(runs, run);
	run->stage = row->stage;
	run->by = row->by;
	run->why = row->why;
	run->flags = row->flags & FLAGS_MASK;
	run->ending = (uint8_t)(row->flags >> ENDING_SHIFT) & ENDING_REQUEUE;
	/* By whom is not on record; only who gives way to a newer call is forgotten at once. */
	run->ending_reason = (run->flags & STORE_RUN_KEPT) != 0 ? "stopped by operator"
								: "overtaken by a newer call";
	run->recorded = true;
	run->attempt = row->attempt;
	run->failures = row->failures;
	run->lost = row->lost;
	run->rank = row->rank;
	run->created = row->created;
	run->started = row->started;
	run->ended = row->ended;
	run->due = row->due;
	run->reason = row_text(row->reason);
	run->message = row_text(row->message);
	if (row->result.size > 0)
		run_set_result(run, row->result);
	if (!unpack_past(run, row->past)) {
		run_unref(run);
		return lw_err_set(err, -EUCLEAN,
				  "the journal's row of run %llu has statuses that make no sense",
				  (unsigned long long)row->id);
	}
	*ret_run = run;
	return 0;
}
