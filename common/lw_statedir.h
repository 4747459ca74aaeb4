/* lw_statedir.h - where the state of an app lies, and the sockets in it.
 *
 * The one rule by which supervisor and lwctl find the state directory of an app.conf without
 * reading the file, and the making and dialling of Unix sockets whose path may be longer than
 * the kernel takes (108 bytes).
 *
 * The rule: --state-dir; LW_STATE_DIR; STATE_DIRECTORY (systemd's; the first of its list);
 * `.lw/<file name>` beside app.conf; and where that cannot be written,
 * `<XDG_STATE_HOME or ~/.local/state>/lw/<file name>-<hash of the absolute path>`.
 */
#ifndef LW_STATEDIR_H
#define LW_STATEDIR_H

#include "lw_base.h"
#include "lw_err.h"

#define LW_CONTROL_SOCKET "control.sock" /* its name in the state directory */

/* An absolute path, without a slash at the end; caller frees. Makes nothing. `conf` need not
 * exist, its folder must. `option` is --state-dir or NULL. -ENOENT, -EINVAL. */
LW_MUST_USE int lw_statedir_find(const char *conf, const char *option, char **ret_dir,
				 struct lw_err *err);

/* True when `option` or the environment says where it lies: app.conf alone does not lead to it. */
bool lw_statedir_is_given(const char *option);

/* Makes it and what is missing above it, for us alone (0700). -EPERM when it is somebody
 * else's. */
LW_MUST_USE int lw_statedir_make(const char *dir, struct lw_err *err);

/* A listening stream socket at `path`, mode 0600, close-on-exec and non-blocking. A socket file
 * that nobody serves is replaced in one step; -EADDRINUSE when somebody does, -EEXIST when the
 * file is no socket. The descriptor, or -errno. */
LW_MUST_USE int lw_socket_bind(const char *path, struct lw_err *err);

/* A connected, blocking, close-on-exec descriptor, or -errno. Waits at most 10 s for a peer that
 * does not accept. */
LW_MUST_USE int lw_socket_dial(const char *path, struct lw_err *err);

#endif
