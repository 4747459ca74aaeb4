/* notify.h - tells the service manager that started us how we are (sd_notify(3), without the library).
 *
 * From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are for us alone: they are taken out of
 * the environment, so that no work believes they are its own. Without them there is nobody to tell,
 * and every function does nothing. Owned by the supervisor.
 */
#ifndef LW_SUPERVISOR_NOTIFY_H
#define LW_SUPERVISOR_NOTIFY_H

#include "loop.h"

struct notify;

struct notify *notify_new(struct loop *loop); /* NULL: nobody listens; welcome below */
void notify_free(struct notify *notify);

/* `status` is a sentence for people. From the first one on the watchdog is fed by the loop, twice within
 * the time that it waits. `longest`: us that a turn of the loop may take and be well; a watchdog that
 * waits less is told to wait for that, too (WATCHDOG_USEC). */
void notify_ready(struct notify *notify, const char *status, int64_t longest);
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify, const char *status);

#endif
