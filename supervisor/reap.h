/* reap.h - which child is whose: worker processes by pid, helpers, and orphans that fell to us.
 *
 * The supervisor is a sub-reaper: what a dead worker leaves behind becomes its child. A
 * worker's status is fetched by the worker; everything else is reaped here.
 */
#ifndef LW_SUPERVISOR_REAP_H
#define LW_SUPERVISOR_REAP_H

#include <sys/types.h>

#include "loop.h"
#include "lw_err.h"

struct reaper;
struct worker;

LW_MUST_USE int reaper_new(struct loop *loop, struct reaper **ret_reaper, struct lw_err *err);
void reaper_free(struct reaper *reaper);
/* `worker` NULL: a helper of ours, whose status nobody wants. */
void reaper_add(struct reaper *reaper, pid_t pid, struct worker *worker);
void reaper_remove(struct reaper *reaper, pid_t pid);

/* Reaps dead orphans. False: we have no living child but the workers' processes and helpers,
 * so nothing of any tree is left. */
bool reaper_has_orphans(struct reaper *reaper);

#endif
