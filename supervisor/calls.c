/* calls.c - see calls.h. */
#include "calls.h"

#include <stdlib.h>

#define END CALLS_KEPT /* before the newest and behind the oldest */

struct calls {
	uint64_t keys[CALLS_KEPT]; /* in a row, as they are looked through */
	struct {
		uint8_t newer, older;
	} links[CALLS_KEPT + 1];
	uint8_t count;
	uint8_t next; /* most flows make their calls in the same order in every pass */
	struct call_note notes[CALLS_KEPT];
};

static struct calls *calls_new(void)
{
	struct calls *calls = LW_NEW(struct calls);

	calls->links[END].newer = calls->links[END].older = END;
	return calls;
}

static void leave(struct calls *calls, size_t at)
{
	calls->links[calls->links[at].newer].older = calls->links[at].older;
	calls->links[calls->links[at].older].newer = calls->links[at].newer;
}

static void come_first(struct calls *calls, size_t at)
{
	calls->links[at].newer = END;
	calls->links[at].older = calls->links[END].older;
	calls->links[calls->links[END].older].newer = (uint8_t)at;
	calls->links[END].older = (uint8_t)at;
}

/* Its place, or END. */
static size_t find(const struct calls *calls, uint64_t key)
{
	size_t at = END;

	if (calls->next < calls->count && calls->keys[calls->next] == key)
		return calls->next;
	for (size_t i = 0; i < calls->count; i++)
		at = calls->keys[i] == key ? i : at;
	return at;
}

/* A place for another one. */
static size_t make_room(struct calls *calls)
{
	size_t oldest = calls->links[END].newer;

	if (calls->count < CALLS_KEPT)
		return calls->count++;
	leave(calls, oldest);
	return oldest;
}

/* Its place, as the newest one. */
static size_t place(struct calls *calls, uint64_t key)
{
	size_t newest = calls->links[END].older;
	size_t at;

	if (newest != END && calls->keys[newest] == key)
		return newest;
	at = find(calls, key);
	if (at != END) {
		leave(calls, at);
	} else {
		at = make_room(calls);
		calls->keys[at] = key;
		calls->notes[at].count = 0;
	}
	come_first(calls, at);
	calls->next = (uint8_t)((at + 1) % CALLS_KEPT);
	return at;
}

void calls_note(struct calls **calls, struct lw_key key, const struct call_note *note)
{
	struct call_note *kept;
	uint64_t count;

	if (*calls == NULL)
		*calls = calls_new();
	kept = &(*calls)->notes[place(*calls, key.low)];
	count = kept->count + 1;
	*kept = *note;
	kept->count = count;
}

size_t calls_list(const struct calls *calls, const struct call_note *ret_notes[CALLS_KEPT])
{
	size_t count = 0;

	if (calls == NULL)
		return 0;
	for (size_t at = calls->links[END].older; at != END; at = calls->links[at].older)
		ret_notes[count++] = &calls->notes[at];
	return count;
}

void calls_free(struct calls *calls)
{
	free(calls);
}
