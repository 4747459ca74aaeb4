/* lwctl.h - the command line of an operator: verbs, options, requests, tables.
 *
 * lwctl is a client of the control API. The table of requests (lw_requests.h) gives dispatch,
 * arity, options, help and the man page's list. Exit status: 0 done, 1 refused or failed, 2 usage,
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
	OPT_FAILED = 1 << 11,
	OPT_STAGE = 1 << 12,
	OPT_SINCE = 1 << 13,
	OPT_BEFORE = 1 << 14,
	OPT_OLDER = 1 << 15,
	OPT_KEEP = 1 << 16,
	OPT_DRY = 1 << 17,
	OPT_WATCH = 1 << 18,
	OPT_LINES = 1 << 19,
	OPT_FOLLOW = 1 << 20,
	OPT_RUN = 1 << 21,
	OPT_STREAM = 1 << 22,
	OPT_SEARCH = 1 << 23,
	OPT_AFTER = 1 << 24,
};
#define OPT_EVERYWHERE (OPT_CONF | OPT_SOCKET | OPT_STATE_DIR | OPT_JSON | OPT_HELP | OPT_VERSION)

struct options {
	int given; /* OPT_ bits */
	const char *conf;
	const char *socket;
	const char *state_dir;
	double timeout; /* seconds; 0: none */
	long limit;
	const char *stage;
	double since;                      /* seconds since 1970 */
	double older;                      /* seconds ago */
	int64_t before;                    /* the id of a run */
	const char *after;                 /* the id of an event */
	const char *lines;                 /* a number, or "all"; or NULL */
	const char *run, *stream, *search; /* checked; or NULL */
	const char **words;                /* the verb and its arguments; points into argv */
	size_t word_count;
};

struct option_row {
	const char *name;     /* behind "--" */
	char letter;          /* behind "-", or NUL */
	int bit;              /* OPT_ */
	const char *argument; /* what it takes, or NULL */
	const char *sentence;
};
extern const struct option_row option_rows[]; /* the last one has no name */
extern const char *const option_stages[];     /* of a run; NULL at the end */

/* The row of "--name", "--name=value" or "-c"; *ret_value: what stands in the same word, or NULL. */
const struct option_row *option_find(const char *word, const char **ret_value);

/* -EINVAL with a sentence. The words lie in `room`, which has place for argc. */
LW_MUST_USE int options_parse(int argc, const char *const *argv, const char **room,
			      struct options *ret_options, struct lw_err *err);
void options_help(FILE *out, int which); /* a line for each option of `which` */
const char *option_name(int which);      /* of the first of `which`, without dashes */

/* "90s", "2h", "1.5d": seconds. A moment is such a time ago, "2026-11-25 10:00" (local; with
 * seconds or without a time of day too) or "@seconds" since 1970. -EINVAL. */
LW_MUST_USE int age_parse(const char *text, double *ret_seconds);
LW_MUST_USE int moment_parse(const char *text, double now, double *ret_seconds);

/* Numbers in answers and arguments may be text with U+0000. */
#define JSON_READ (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

/* The arguments of a call to the body {"args":[...],"kwargs":{...}}: a JSON list, a JSON
 * object, name=value pairs. NULL when none was given. -EINVAL. */
LW_MUST_USE int call_parse(const char *const *words, size_t count, json_t **ret_body,
			   struct lw_err *err);

/* A change of the flow's state: a JSON object, name=value pairs. NULL when none was given. */
LW_MUST_USE int patch_parse(const char *const *words, size_t count, json_t **ret_patch,
			    struct lw_err *err);

/* A word, a call, so that a shell reads them back as they are. */
void quote_word(struct lw_buf *out, const char *word);
void quote_call(struct lw_buf *out, const json_t *args, const json_t *kwargs);

/* ---- one request (client.c) --------------------------------------------------------------- */

/* The control socket: --socket; -c and --state-dir by the rule; LW_CONTROL; app.conf in the current
 * folder. Caller frees. */
LW_MUST_USE int client_find(const struct options *options, char **ret_socket, struct lw_err *err);

struct reply {
	int status;
	struct lw_buf body; /* ends in NUL, not counted */
};

/* What is done every so many seconds while an answer is awaited. */
struct ticker {
	double every;
	void (*tick)(void *context);
	void *context;
};

/* 0 and a reply; -errno: nobody is there or the answer is no HTTP; -EINTR: interrupted;
 * -ETIMEDOUT. `timeout` in seconds, 0: none. `ticker` may be NULL. */
LW_MUST_USE int client_ask(const char *socket, const char *method, const char *path,
			   const char *body, double timeout, const struct ticker *ticker,
			   struct reply *ret_reply, struct lw_err *err);

/* An answer in pieces, as they come. A negative return ends it, and is what client_stream() returns. */
struct client_sink {
	int (*take)(void *context, struct lw_slice bytes, struct lw_err *err);
	void *context;
};

/* GET. An answer in chunks with status 200 goes to the sink; 0 when it has ended: the reply has
 * its status and no body. Any other answer becomes the reply, as of client_ask(). -EPIPE: the
 * supervisor went away; -EINTR: interrupted, which ends an answer that goes on for ever. */
LW_MUST_USE int client_stream(const char *socket, const char *path, const struct client_sink *sink,
			      struct reply *ret_reply, struct lw_err *err);

/* Splits an answer; -EBADMSG, or 0 when it is not whole yet. `end`: nothing follows. */
LW_MUST_USE int client_parse(struct lw_slice in, bool end, struct reply *ret_reply,
			     struct lw_err *err);
void client_catch_interrupt(void);            /* INT ends a waiting client_ask() with -EINTR */
LW_MUST_USE int client_pause(double seconds); /* -EINTR: INT has come */

/* A pidfd of the supervisor at a socket; -1: the kernel does not tell. It answers that it has
 * stopped a moment before the next one can have its state directory. */
int client_listener(const char *socket);
/* Until that process has ended. As client_ask(). */
LW_MUST_USE int client_await_end(int pidfd, double timeout, struct lw_err *err);

/* "a b" to "a%20b", as one segment of a path; caller frees. */
char *client_encode(const char *text);

/* ---- output (print.c) ---------------------------------------------------------------------- */

struct screen {
	FILE *out;
	size_t width;  /* columns; 0: not a terminal, nothing is cut */
	size_t height; /* lines of a terminal */
	bool colour;
	double now; /* seconds since 1970 */
};
struct screen screen_of(FILE *out);

void print_app(const struct screen *screen, const json_t *app);
/* {"columns": [names], "works": [[values], ...]} */
void print_works(const struct screen *screen, const json_t *answer);
void print_work(const struct screen *screen, const json_t *work);
void print_latest_calls(const struct screen *screen, const json_t *calls); /* of a work */
void print_run(const struct screen *screen, const json_t *run);
void print_runs(const struct screen *screen, const json_t *runs, bool with_work);
void print_reload(const struct screen *screen, const json_t *answer);
/* All that was printed has gone out; -EIO: it has not, which is said once. */
int print_flush(struct lw_err *err);
void print_line(const struct screen *screen, const char *name, const char *text);
void print_json_line(const struct screen *screen, const char *name, const json_t *value);
void print_clean(struct lw_buf *out, const char *text); /* one line, no control characters */
/* The same bytes, but control characters other than tabs as "?". */
void print_harmless(struct lw_buf *out, const char *text, size_t size);
void print_duration(double seconds, char text[32]);         /* "12 ms", "3.2 s", "4m05s" */
void print_ago(double seconds, char text[40]);              /* "3.2 s ago", "now" */
void print_bytes(int64_t bytes, char text[32]);             /* "812 B", "1.2 MiB" */
void print_progress(const json_t *object, struct lw_buf *); /* "40 %", or nothing */

/* ---- the progress of a run that is waited for (progress.c) ------------------------------------ */

struct progress {
	const char *socket;
	const char *explain; /* path of the request that finds the run */
	const char *body;    /* of the call, or NULL */
	int64_t run;         /* 0: not found yet */
	bool shown;
};

bool progress_wanted(void);                   /* standard error is a terminal */
void progress_tick(void *progress);           /* asks, and writes its line */
void progress_end(struct progress *progress); /* takes the line away */

/* ---- a status drawn again and again (watch.c) --------------------------------------------------- */

struct watch {
	const char *socket, *path;
	void (*draw)(void *context, const struct screen *screen, const json_t *answer);
	void *context;
};
void watch(const struct watch *watch); /* on a terminal, until INT */

/* ---- events (events.c) ----------------------------------------------------------------------------- */

struct event_printer {
	struct lw_buf part; /* of a line */
	struct lw_buf head; /* id and name of the event that comes */
};
void event_printer_done(struct event_printer *printer);
int event_printer_take(void *printer, struct lw_slice bytes,
		       struct lw_err *err); /* a client_sink */

/* ---- completion of a command line in a shell (completion.c) ---------------------------------- */

bool completion_script(const char *shell, FILE *out); /* false: of that shell nothing is known */

/* What may stand in the place of the last word behind "lwctl": a line each, with a tab and a
 * sentence behind it. */
void completion_candidates(const char *const *words, size_t count, FILE *out);

/* ---- what was printed (logs.c) ------------------------------------------------------------------ */

struct log_printer {
	struct screen screen;
	bool json;
	size_t width;       /* of the longest name so far */
	struct lw_buf part; /* of a line */
};

void log_printer_init(struct log_printer *printer, bool json);
void log_printer_done(struct log_printer *printer);
/* Lines of JSON, as they come; the take of a client_sink. */
int log_printer_take(void *printer, struct lw_slice bytes, struct lw_err *err);
char *logs_path(const struct options *options, const char *work); /* of the request; caller frees */
/* What the files in that folder have, when there is no supervisor to ask. */
LW_MUST_USE int logs_read(const struct options *options, const char *folder, const char *work,
			  struct log_printer *printer, struct lw_err *err);

/* ---- commands (command.c) -------------------------------------------------------------------- */

struct verb {
	const char *name;
	const char *arguments; /* "WORK [ARGS...]" */
	const char *sentence;
	int options; /* OPT_ bits it takes, besides OPT_EVERYWHERE */
};

int lwctl_main(int argc, const char *const *argv);
bool verb_at(size_t i, struct verb *ret_verb); /* of the table; false behind its end */

#endif
