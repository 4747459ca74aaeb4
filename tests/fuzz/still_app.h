/* still_app.h - a real app that is not running, for the targets of fuzz_conf.c and fuzz_api.c.
 * Its record is a fresh one in a folder of its own.
 *
 * Its stage stays "starting", so no process is started whatever it is asked for; the runs that
 * wait in its queues end as still_app_settle() says. Everything of the supervisor's that these
 * targets need to build an app stands in still_app.c.
 */
#ifndef LW_TESTS_FUZZ_STILL_APP_H
#define LW_TESTS_FUZZ_STILL_APP_H

#include "app.h"

struct still_app {
	struct loop *loop;
	struct app *app;
	char folder[40];
};

/* Takes both over; makes the works of `config`. False: it has two of one name. */
bool still_app_open(struct still_app *still, struct config *config, struct flow *flow);
void still_app_close(struct still_app *still);

/* One turn of the loop, and what comes of the journal's answer to it; waits for nothing else. */
void still_app_turn(struct still_app *still);

/* The run that waits first in some work's queue reports its named arguments as state, and
 * succeeds with its positional ones or where its id is odd fails; false: none waits. */
bool still_app_settle(struct still_app *still);

#endif
