/* rundir.h - a short folder that other users get to, for the socket that their workers dial.
 *
 * It lies in /run/lw, or in /tmp where we may not write there, under a name that was drawn; mode
 * 0711, ours. The state directory remembers it by the link `run`, so that a supervisor after a
 * crash listens where the workers that live dial. Used by dial.c alone.
 */
#ifndef LW_SUPERVISOR_RUNDIR_H
#define LW_SUPERVISOR_RUNDIR_H

#include "lw_err.h"

/* The remembered one, made again if it is gone; -ENOENT: none is remembered, or it has become
 * somebody else's and is forgotten. Caller frees. */
LW_MUST_USE int rundir_again(const char *state_dir, char **ret_path, struct lw_err *err);

/* A fresh one, remembered. */
LW_MUST_USE int rundir_make(const char *state_dir, char **ret_path, struct lw_err *err);

void rundir_remove(const char *state_dir, const char *path); /* it is empty */

#endif
