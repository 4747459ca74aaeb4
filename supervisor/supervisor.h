/* supervisor.h - owns everything: the order of starting and of ending. Used by main.c alone. */
#ifndef LW_SUPERVISOR_SUPERVISOR_H
#define LW_SUPERVISOR_SUPERVISOR_H

#include "lw_err.h"

/* Exit statuses of lw-supervisor. */
enum {
	EXIT_STOPPED = 0,  /* stopped, or drained */
	EXIT_APP = 1,      /* the app failed; the reason is the last line on standard error */
	EXIT_USAGE = 2,    /* bad usage or configuration */
	EXIT_OCCUPIED = 3, /* another supervisor has the state directory */
};

struct options {
	const char *conf;      /* path of app.conf */
	const char *state_dir; /* --state-dir, or NULL */
	bool check;
	bool print_config;
	bool no_prefix;
	bool log_json; /* --log-format json */
	bool drain;
};

/* Runs the app to its end; an exit status. */
int supervisor_run(const struct options *options);

#endif
