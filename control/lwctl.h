/* lwctl.h - the command line of an operator: verbs, options, requests, tables.
 *
 * lwctl is a client of the control API. One table of commands (command.c) gives dispatch,
 * arity, help and the man page's list. Exit status: 0 done, 1 refused or failed, 2 usage,
 * 3 no supervisor, 130 interrupted while waiting.
 */
#ifndef LW_CONTROL_LWCTL_H
#define LW_CONTROL_LWCTL_H

#include <jansson.h>
#include <stdio.h>

#include "lw_buf.h"
#include "lw_err.h"

enum lwctl_exit {
	LWCTL_DONE = 0,
	LWCTL_FAILED = 1,
	LWCTL_USAGE = 2,
	LWCTL_NO_SUPERVISOR = 3,
	LWCTL_INTERRUPTED = 130,
};

/* ---- the command line (options.c) -------------------------------------------------------- */

/* One bit for each option, so that a command can say which ones it takes. */
enum {
	OPT_CONF = 1 << 0,
	OPT_SOCKET = 1 << 1,
	OPT_JSON = 1 << 2,
	OPT_WAIT = 1 << 3,
	OPT_NO_WAIT = 1 << 4,
	OPT_TIMEOUT = 1 << 5,
	OPT_ALL = 1 << 6,
	OPT_LIMIT = 1 << 7,
	OPT_HELP = 1 << 8,
	OPT_VERSION = 1 << 9,
	OPT_STATE_DIR = 1 << 10,
};
#define OPT_EVERYWHERE (OPT_CONF | OPT_SOCKET | OPT_STATE_DIR | OPT_JSON | OPT_HELP | OPT_VERSION)

struct options {
	int given; /* OPT_ bits */
	const char *conf;
	const char *socket;
	const char *state_dir;
	double timeout; /* seconds; 0: none */
	long limit;
	const char **words; /* the verb and its arguments; points into argv */
	size_t word_count;
};

/* -EINVAL with a sentence. The words lie in `room`, which has place for argc. */
LW_MUST_USE int options_parse(int argc, const char *const *argv, const char **room,
			      struct options *ret_options, struct lw_err *err);
void options_help(FILE *out, int which); /* a line for each option of `which` */

/* The arguments of a call to the body {"args":[...],"kwargs":{...}}: a JSON list, a JSON
 * object, name=value pairs. NULL when none was given. -EINVAL. */
LW_MUST_USE int call_parse(const char *const *words, size_t count, json_t **ret_body,
			   struct lw_err *err);

/* ---- one request (client.c) --------------------------------------------------------------- */

struct reply {
	int status;
	struct lw_buf body; /* ends in NUL, not counted */
};

/* 0 and a reply; -errno: nobody is there or the answer is no HTTP; -EINTR: interrupted, see
 * client_interrupted(); -ETIMEDOUT. `timeout` in seconds, 0: none. */
LW_MUST_USE int client_ask(const char *socket, const char *method, const char *path,
			   const char *body, double timeout, struct reply *ret_reply,
			   struct lw_err *err);

/* Splits an answer; -EBADMSG, or 0 when it is not whole yet. `end`: nothing follows. */
LW_MUST_USE int client_parse(struct lw_slice in, bool end, struct reply *ret_reply,
			     struct lw_err *err);
void client_catch_interrupt(void); /* INT ends a waiting client_ask() with -EINTR */

/* "a b" to "a%20b", as one segment of a path; caller frees. */
char *client_encode(const char *text);

/* ---- output (print.c) ---------------------------------------------------------------------- */

struct screen {
	FILE *out;
	size_t width; /* columns; 0: not a terminal, nothing is cut */
	bool colour;
	double now; /* seconds since 1970 */
};
struct screen screen_of(FILE *out);

void print_status(const struct screen *screen, const json_t *app, const json_t *works);
void print_work(const struct screen *screen, const json_t *work);
void print_run(const struct screen *screen, const json_t *run);
void print_runs(const struct screen *screen, const json_t *runs);
void print_duration(double seconds, char text[32]); /* "3.2 s", "5 min", "2 h 10 min" */

/* ---- commands (command.c) -------------------------------------------------------------------- */

int lwctl_main(int argc, const char *const *argv);

#endif
