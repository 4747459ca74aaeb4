/* lw_nearest.c - the name that was meant. See lw_nearest.h. */
#include "lw_nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NAME_COMPARED 40 /* bytes; longer names are never near */

/* Steps (change, insert, delete, swap neighbours) from one name to the other. */
static size_t steps_between(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][NAME_COMPARED + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *free_row = before;

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
			size_t least = last[j] < now[j - 1] ? last[j] + 1 : now[j - 1] + 1;

			if (change < least)
				least = change;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < least)
				least = before[j - 2] + 1;
			now[j] = least;
		}
		before = last;
		last = now;
		now = free_row;
	}
	return last[m];
}

size_t lw_name_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	return n > NAME_COMPARED || m > NAME_COMPARED ? SIZE_MAX : steps_between(a, n, b, m);
}

static size_t same_beginning(const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] != '\0' && a[i] == b[i])
		i++;
	return i;
}

/* Of two that are as near: the one that begins more like the name, then the alphabet. */
static bool is_better(const char *a, const char *b, const char *name)
{
	size_t of_a = same_beginning(a, name), of_b = same_beginning(b, name);

	return of_a != of_b ? of_a > of_b : strcmp(a, b) < 0;
}

const char *lw_nearest(const char *name, const char *(*next)(const void *context, size_t i),
		       const void *context)
{
	size_t length = strlen(name);
	size_t nearest = length / 3 + 1; /* at most */
	const char *candidate, *found = NULL;

	for (size_t i = 0; (candidate = next(context, i)) != NULL; i++) {
		size_t size = strlen(candidate), steps = lw_name_distance(name, candidate);

		if (steps > nearest || steps >= (size > length ? size : length))
			continue; /* far, or nothing in common */
		if (found != NULL && steps == nearest && !is_better(candidate, found, name))
			continue;
		nearest = steps;
		found = candidate;
	}
	return found;
}

const char *lw_nearest_hint(const char *name, const char *(*next)(const void *context, size_t i),
			    const void *context, char hint[LW_HINT_MAX])
{
	const char *found = lw_nearest(name, next, context);

	hint[0] = '\0';
	if (found != NULL)
		snprintf(hint, LW_HINT_MAX, " (did you mean '%s'?)", found);
	return hint;
}
