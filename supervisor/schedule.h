/* schedule.h - cron marks: when the next one is, and which are true now.
 *
 * schedule_next() is pure calendar arithmetic in local time; the rest keeps, for each mark that
 * the flow asked for, the time it was last recorded, and one timer (timerfd, so that clock
 * steps and resume are seen) for the nearest one. A mark stays true from its time until
 * schedule_recorded(); marks missed in between count once. A skipped hour runs at the next
 * valid minute, a repeated one once. Times are seconds since 1970.
 */
#ifndef LW_SUPERVISOR_SCHEDULE_H
#define LW_SUPERVISOR_SCHEDULE_H

#include <time.h>

#include "loop.h"
#include "lw_err.h"

struct schedule;

/* Five fields: minute hour day month weekday, with * , - / and names (jan, mon). */
struct cron {
	uint64_t minutes;
	uint32_t hours, days, months, weekdays;
	bool any_day, any_weekday; /* both restricted: either one matches, as in cron(5) */
};
LW_MUST_USE int cron_parse(const char *mark, struct cron *ret_cron, struct lw_err *err);
time_t cron_next(const struct cron *cron, time_t after); /* first match later than; -1: never */

/* `fired` is called on the loop when a mark's time has come. */
LW_MUST_USE int schedule_new(struct loop *loop, void (*fired)(void *context), void *context,
			     struct schedule **ret_schedule, struct lw_err *err);
void schedule_free(struct schedule *schedule);

/* 1 and "2026-11-23T10:00:00+0000": true in this pass; 0: not; -EINVAL. The first time a mark is
 * asked for it begins at now. */
LW_MUST_USE int schedule_ask(struct schedule *schedule, const char *mark, char text[32],
			     struct lw_err *err);
/* A pass begins (equal marks in one pass agree) ... and reached its end: the marks that were
 * true in it are recorded, and those that began are as of then; `recorded` is called for each. */
void schedule_pass_begins(struct schedule *schedule);
void schedule_pass_ended(struct schedule *schedule,
			 void (*recorded)(void *context, const char *mark, time_t at));
/* One after another the marks that passes have asked for since the start, `at` being 0 at first; false:
 * there is no more. `next`: of which it will be true, or is by now; 0: never. `last`: which was
 * recorded last, 0: none so far. */
struct schedule_mark {
	const char *mark;
	time_t next, last;
};
bool schedule_each(const struct schedule *schedule, size_t *at, struct schedule_mark *ret_mark);
/* From the journal at start. */
void schedule_restore(struct schedule *schedule, const char *mark, time_t at);

#endif
