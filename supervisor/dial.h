/* dial.h - where workers dial in: the listening socket, and strangers until their hello.
 *
 * A stranger has 10 s and 4 KiB for its hello; 1024 of them at most. Owned by the supervisor.
 */
#ifndef LW_SUPERVISOR_DIAL_H
#define LW_SUPERVISOR_DIAL_H

#include "app.h"
#include "lw_err.h"

struct dial;

LW_MUST_USE int dial_new(struct app *app, const char *path, struct dial **ret_dial,
			 struct lw_err *err);
void dial_free(struct dial *dial); /* closes; removes the socket */

#endif
