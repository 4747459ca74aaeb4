/* pause.h - an operator's pause of the app or of a work: who, since when, and on record.
 *
 * Embedded in struct app (then there are no passes) and struct work (then nothing is taken from its
 * queue). What runs goes on.
 */
#ifndef LW_SUPERVISOR_PAUSE_H
#define LW_SUPERVISOR_PAUSE_H

#include "journal.h"

struct pause {
	int64_t at; /* microseconds since 1970; 0: not paused */
	char *by;   /* "uid 1000 pid 4242" */
};

static inline bool is_paused(const struct pause *pause)
{
	return pause->at != 0;
}

/* `row` is the work's in the journal, 0 the app's. False: it was so already, and stays as it was. */
bool pause_begin(struct pause *pause, struct journal *journal, uint32_t row, int64_t at,
		 const char *by);
bool pause_end(struct pause *pause, struct journal *journal, uint32_t row);
void pause_restore(struct pause *pause, const struct pause_row *row);
void pause_done(struct pause *pause);
/* "paused by uid 0 pid 17 at 2026-11-26 01:02:03", appended. */
void pause_print(const struct pause *pause, struct lw_buf *out);

#endif
