/* skips.h - how many calls of a work were skipped in each minute of the last hour: for people.
 *
 * Noted at every call that is skipped, which must cost next to nothing: one count goes up, and only
 * where a minute begins there is more to do. In memory alone.
 */
#ifndef LW_SUPERVISOR_SKIPS_H
#define LW_SUPERVISOR_SKIPS_H

#include "lw_base.h"

#define SKIPS_KEPT   60                  /* minutes */
#define SKIPS_MINUTE ((int64_t)60000000) /* microseconds */

struct skips; /* NULL: none yet */

/* One call, at that time by the wall clock, microseconds since 1970. A clock that is set back counts
 * in the minutes it says; one that is set back by more than is kept begins anew. */
void skips_note(struct skips **skips, int64_t at);
/* When the first of the minutes begins that skips_list() tells at that time. */
int64_t skips_from(int64_t at);
/* The counts of these minutes, oldest first, the last one is that of `at`. False: there are none. */
bool skips_list(const struct skips *skips, int64_t at, uint32_t ret_counts[SKIPS_KEPT]);
void skips_free(struct skips *skips);

#endif
