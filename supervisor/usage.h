/* usage.h - what the processes of works use: processor time, memory, how many they are.
 *
 * Looked at only when somebody asks, and not again for some seconds; a thousand works take several
 * turns of the loop, a little in each, so who asks gets the latest look there was.
 */
#ifndef LW_SUPERVISOR_USAGE_H
#define LW_SUPERVISOR_USAGE_H

#include "loop.h"

struct app;
struct work;
struct worker;

struct usage {
	int64_t at;      /* of the look, monotonic; 0: there was none */
	int64_t cpu;     /* microseconds, of those that live and those they have waited for */
	uint64_t memory; /* bytes that are resident; shared ones count for each */
	uint64_t processes;
};

/* In struct app: what is left of a round of looks. */
struct usage_round {
	struct loop_timer timer;
	size_t next; /* worker, by id - 1 */
};
void usage_init(struct usage_round *round, struct loop *loop);
void usage_done(struct usage_round *round);

/* Somebody wants to know: looks at some now, at the others soon. */
void usage_look(struct app *app);
/* Of all its processes. False: not every one that is there was looked at so far. */
bool work_usage(const struct work *work, struct usage *ret_usage);

/* worker_usage.c: a look at one tree, by its cgroup or by its descendants. */
void worker_look_at_usage(struct worker *worker);
const struct usage *worker_usage(const struct worker *worker);

#endif
