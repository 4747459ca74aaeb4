/* calls.c - see calls.h. */
#include "calls.h"

#include <stdlib.h>

struct calls {
	uint64_t keys[CALLS_KEPT]; /* in a row, as they are looked through */
	struct call_note notes[CALLS_KEPT];
	uint64_t used; /* notes taken so far */
	size_t count;
	size_t next; /* most flows make their calls in the same order in every pass */
};

static size_t find(const struct calls *calls, uint64_t key)
{
	size_t at = calls->count;

	if (calls->next < calls->count && calls->keys[calls->next] == key)
		return calls->next;
	for (size_t i = 0; i < calls->count; i++)
		at = calls->keys[i] == key ? i : at;
	return at;
}

static size_t least_recent(const struct calls *calls)
{
	size_t at = 0;

	for (size_t i = 1; i < CALLS_KEPT; i++)
		at = calls->notes[i].used < calls->notes[at].used ? i : at;
	return at;
}

void calls_note(struct calls **ret_calls, struct lw_key key, const struct call_note *note)
{
	struct calls *calls = *ret_calls;
	uint64_t count = 1;
	size_t at;

	if (calls == NULL)
		calls = *ret_calls = LW_NEW(struct calls);
	at = find(calls, key.low);
	if (at < calls->count)
		count += calls->notes[at].count;
	else if (calls->count == CALLS_KEPT)
		at = least_recent(calls);
	else
		calls->count++;
	calls->keys[at] = key.low;
	calls->notes[at] = *note;
	calls->notes[at].count = count;
	calls->notes[at].used = ++calls->used;
	calls->next = (at + 1) % CALLS_KEPT;
}

static int newest_first(const void *a, const void *b)
{
	const struct call_note *one = *(const struct call_note *const *)a;
	const struct call_note *other = *(const struct call_note *const *)b;

	return (one->used < other->used) - (one->used > other->used);
}

size_t calls_list(const struct calls *calls, const struct call_note *ret_notes[CALLS_KEPT])
{
	size_t count = calls != NULL ? calls->count : 0;

	for (size_t i = 0; i < count; i++)
		ret_notes[i] = &calls->notes[i];
	if (count > 0)
		qsort(ret_notes, count, sizeof(*ret_notes), newest_first);
	return count;
}

void calls_free(struct calls *calls)
{
	free(calls);
}
