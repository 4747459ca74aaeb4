/* reload.h - app.conf is read again while the app runs.
 *
 * The file is read in a new Lua state. When it is wrong nothing changes. Else works that are new
 * start, works that are gone stop, those that would run otherwise get new processes (the table of
 * options says which changes mean that, config.h), and everybody else goes on undisturbed; the
 * flow's state, works' states and what is remembered stay. Works that passes make are compared
 * when a pass makes them again.
 *
 * Called by api.c and on SIGHUP, between passes.
 */
#ifndef LW_SUPERVISOR_RELOAD_H
#define LW_SUPERVISOR_RELOAD_H

#include "app.h"

/* What it did, or with `dry_run` would do, is appended to `out` as JSON:
 *   {"applied": true,
 *    "changes": [{"work": "train", "does": "start|stop|restart|change", "key": "command"}, ...],
 *    "app":   [{"key": "interval", "does": "taken|fixed"}, ...]}
 * `key` is the option that made it so, or null; fixed: it holds from the next start of the
 * supervisor. Works that nothing happens to are left out. -errno: app.conf is wrong. */
LW_MUST_USE int reload_app(struct app *app, bool dry_run, struct lw_buf *out, struct lw_err *err);

#endif
