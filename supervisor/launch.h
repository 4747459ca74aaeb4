/* launch.h - starts of processes, spread so that the loop stays alive.
 *
 * A worker asks; its act_spawn runs at once while this turn is young, else in a later turn, in
 * the order asked. Owned by the app.
 */
#ifndef LW_SUPERVISOR_LAUNCH_H
#define LW_SUPERVISOR_LAUNCH_H

#include "loop.h"

struct launch;
struct worker;

/* Embedded in the worker. */
struct launch_place {
	struct launch_place *next, **link; /* link NULL: not waiting */
};

struct launch *launch_new(struct loop *loop, void (*spawn)(struct launch_place *place));
void launch_free(struct launch *launch);
void launch_ask(struct launch *launch, struct launch_place *place);
void launch_cancel(struct launch *launch, struct launch_place *place);

#endif
