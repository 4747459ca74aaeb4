/* dial.h - where workers dial in: the listening sockets, and strangers until their hello.
 *
 * Our own workers dial a socket in the state directory, where only we and root get to. When a work
 * runs as another user there is a second one in a run directory (rundir.h), for all such works.
 * The token decides, and the peer must be who its work runs as, or us, or root.
 *
 * A stranger has 10 s and 4 KiB for its hello; 1024 of them at most, 256 of other users. Owned by
 * the supervisor.
 */
#ifndef LW_SUPERVISOR_DIAL_H
#define LW_SUPERVISOR_DIAL_H

#include "app.h"
#include "lw_err.h"

struct dial;

LW_MUST_USE int dial_new(struct app *app, const char *path, struct dial **ret_dial,
			 struct lw_err *err);
/* Closes; removes the sockets, but not the second one while workers live on. */
void dial_free(struct dial *dial);

/* The path of the second socket, made when first asked for. It is the one that workers of an
 * earlier supervisor know, if that left any. */
LW_MUST_USE int dial_for_others(struct dial *dial, const char **ret_path, struct lw_err *err);

#endif
