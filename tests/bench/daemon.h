/* daemon.h - one real lw-supervisor in a temporary directory, watched from outside.
 *
 * Owned by a bench_*.c from daemon_start() to daemon_stop(), which ends it, whatever it left
 * behind, and the directory. The conf files lie beside this one and take their parameters
 * from the environment (lw.env).
 */
#ifndef LW_BENCH_DAEMON_H
#define LW_BENCH_DAEMON_H

#include <jansson.h>
#include <sys/types.h>

#include "bench.h"

struct setting {
	const char *name; /* of the environment variable; NULL ends the list */
	const char *value;
};

struct plan {
	const char *conf;               /* "hit.conf" */
	const struct setting *settings; /* or NULL */
	bool no_board;                  /* the works note nothing */
	bool pinned;                    /* to `cpu`, the works to `work_cpu` */
	int cpu, work_cpu;
};

/* A board in a new file; `path` ends in XXXXXX and is settled. */
struct board *board_make(char *path);
void board_drop(struct board *board, const char *path);

struct daemon;

struct daemon *daemon_start(const struct plan *plan);
void daemon_stop(struct daemon *daemon); /* NULL is welcome */
/* kill -9 of the supervisor alone: its works live on, unless they chose not to. */
void daemon_kill(struct daemon *daemon);
/* Ends the supervisor if it is still there, and starts the next one on the same state. */
void daemon_again(struct daemon *daemon, const struct plan *plan);
pid_t daemon_pid(const struct daemon *daemon);
struct board *daemon_board(struct daemon *daemon);
bool daemon_gone(const struct daemon *daemon);
int64_t daemon_started(const struct daemon *daemon); /* just before fork */
char *daemon_journal(const struct daemon *daemon);   /* the path of its file; caller frees */
char *daemon_control(const struct daemon *daemon);   /* of its socket */

/* Waits for the next line the flow printed that begins with "BENCH ", and borrows the rest of it
 * until the next call. NULL: the time is over or the daemon has gone. */
const char *daemon_line(struct daemon *daemon, int64_t deadline);

/* Waits for a line that is `text`. */
bool daemon_says(struct daemon *daemon, const char *text, int64_t deadline);

/* Waits until it says that the app has started. */
bool daemon_up(struct daemon *daemon, int64_t deadline);

/* The answer of the status API, or NULL; the caller frees it. */
json_t *daemon_status(const struct daemon *daemon);
/* How many works' only process is in that state; asks for the brief answer once. */
size_t daemon_count(struct daemon *daemon, const char *state);

/* Waits until `count` processes are in that state ("idle", "busy"), or NULL. Asks the status
 * API; the caller frees the answer (json_decref). */
json_t *daemon_await(struct daemon *daemon, const char *state, size_t count, int64_t deadline);

/* The pids of all processes in a status answer; how many, at most `room`. */
size_t status_pids(const json_t *status, pid_t *pids, size_t room);

/* Says what the daemon wrote last: the reason why something could not be measured. It will be
 * killed, not asked to end. */
void daemon_explain(struct daemon *daemon, const char *what);

/* The path of a program built beside this one; a static buffer for each of two calls. */
const char *program_path(const char *name);

#define DEADLINE(seconds) (now_ns() + (int64_t)(seconds)*1000000000)

#endif
