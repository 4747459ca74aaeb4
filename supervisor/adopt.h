/* adopt.h - what an earlier supervisor left: read back from the journal, found again in /proc.
 *
 * Called by app_begin(), in this order: adopt_load() before the works of app.conf are made, so
 * that they find what is remembered, what waits and what runs of theirs; adopt_processes() after
 * that, when it is known which of them are wanted.
 */
#ifndef LW_SUPERVISOR_ADOPT_H
#define LW_SUPERVISOR_ADOPT_H

#include "app.h"

/* Works (retired until somebody makes them), states, marks, remembered calls, runs that are not
 * over, workers. Starts the journal's thread. */
LW_MUST_USE int adopt_load(struct app *app, struct lw_err *err);

/* Processes that live are the app's own again; of those that do not, the rest of the tree is ended
 * and the runs are lost. Ends processes that bear our mark and are on no record: they were
 * being started when the supervisor died, and were sent nothing. */
void adopt_processes(struct app *app);

#endif
