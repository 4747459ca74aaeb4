/* lw_nearest.h - of names that there are, the one that somebody meant who wrote another.
 *
 * The candidates are called for one by one: next(context, i) returns NULL behind the last.
 */
#ifndef LW_NEAREST_H
#define LW_NEAREST_H

#include <stddef.h>

#define LW_HINT_MAX 300

/* NULL: none is near. */
const char *lw_nearest(const char *name, const char *(*next)(const void *context, size_t i),
		       const void *context);
/* " (did you mean 'parallel'?)" into `hint`, or "". Returns it. */
const char *lw_nearest_hint(const char *name, const char *(*next)(const void *context, size_t i),
			    const void *context, char hint[LW_HINT_MAX]);

/* Steps (change, insert, delete, swap neighbours) from one name to the other; SIZE_MAX: far. */
size_t lw_name_distance(const char *a, const char *b);

#endif
