/* calls.h - the latest distinct calls of a work, what each did and how often: for people.
 *
 * Noted at every call, also at one that is skipped, which must cost next to nothing: a call is known
 * by a part of its key, the sentences are made when somebody looks (describe.c). In memory alone.
 */
#ifndef LW_SUPERVISOR_CALLS_H
#define LW_SUPERVISOR_CALLS_H

#include "cache.h"

#define CALLS_KEPT 16 /* the least recently made leaves */

struct call_note {
	uint64_t run;   /* that answered it last */
	int64_t at;     /* when it was made last, microseconds since 1970 */
	uint64_t count; /* how often, since it is in the list */
	enum decision decision;
	enum why why;
};

struct calls; /* NULL: none yet */

void calls_note(struct calls **calls, struct lw_key key, const struct call_note *note);
/* Newest first; returns how many. Borrowed until the next note. */
size_t calls_list(const struct calls *calls, const struct call_note *ret_notes[CALLS_KEPT]);
void calls_free(struct calls *calls);

#endif
