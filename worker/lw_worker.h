/* lw_worker.h - write a work in C: a main of a few lines and up to three functions.
 *
 *     static int run(struct lw_run *run, void *data)
 *     {
 *             int64_t n = lw_arg_int(run, "value", 0);
 *
 *             if (n < 0)
 *                     return lw_fail(run, "value %lld is negative", (long long)n);
 *             lw_return_int(run, n * n);
 *             return 0;
 *     }
 *
 *     int main(void)
 *     {
 *             return lw_work_main(&(struct lw_work){ .run = run }, NULL);
 *     }
 *
 * The program is started by lw-supervisor (`program = "./square"` in app.conf), dials in
 * once and serves many runs, one at a time, in order. If the supervisor is replaced in the
 * middle of a run the run goes on; its result is kept until a supervisor has it on record.
 *
 * Threads: all functions are for the thread that called lw_work_main(). SIGTERM is
 * handled by the library: lw_stopping() turns true. Memory: the library ends the process
 * when the system has none left. Arguments are borrowed until run() returns.
 */
#ifndef LW_WORKER_H
#define LW_WORKER_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default) /* these names alone leave the library */

struct lw_run; /* the run in hand */

struct lw_work {
	/* Once, before the first run. Nonzero: the process ends with that exit status. */
	int (*start)(void *data);

	/* One run. 0: succeeded. Otherwise failed, with the sentence of lw_fail(). */
	int (*run)(struct lw_run *run, void *data);

	/* Once, when asked to stop and no run is in hand, or when the supervisor dismisses us. */
	void (*stop)(void *data);

	/* Runs the supervisor may send ahead (default 1, at most 1024). They execute in order.
	 * Results of very short runs travel together: with a window above 1 a result may wait
	 * for the end of the run after it, and its run is done again if that one ends the
	 * process. For works whose runs must not be repeated leave it at 1. */
	unsigned window;
};

/* Serves runs until asked to stop; the exit status for main. Without a supervisor
 * (LW_SOCKET is not set) it says how the program is meant to be started, and returns 2. */
int lw_work_main(const struct lw_work *work, void *data);

/* ---- the call ------------------------------------------------------------------- */

uint64_t lw_run_id(const struct lw_run *run);
unsigned lw_run_attempt(const struct lw_run *run);             /* 1 for the first */
const msgpack_object_array *lw_args(const struct lw_run *run); /* positional */
const msgpack_object_map *lw_named(const struct lw_run *run);

/* A named argument, or NULL; the n-th positional one (from 0), or NULL. */
const msgpack_object *lw_arg(const struct lw_run *run, const char *name);
const msgpack_object *lw_arg_at(const struct lw_run *run, size_t n);

/* A named argument of that type, else `otherwise`. An integral float counts as integer, an
 * integer as float. Text is copied for the length of the run and ends in NUL. */
int64_t lw_arg_int(struct lw_run *run, const char *name, int64_t otherwise);
double lw_arg_float(struct lw_run *run, const char *name, double otherwise);
bool lw_arg_bool(struct lw_run *run, const char *name, bool otherwise);
const char *lw_arg_text(struct lw_run *run, const char *name, const char *otherwise);

/* ---- while it runs ---------------------------------------------------------------- */

/* True when this run should end early: the process is asked to stop. Cheap; takes in what
 * the supervisor sent. Call it in long loops. */
bool lw_stopping(struct lw_run *run);

/* 0 to 1. At most ten a second are sent. */
void lw_progress(struct lw_run *run, double share);

/* A program counts as ready when it has dialled in, which it does after start(). One that is not yet,
 * or not any more, says so here, and again when it is. `run` may be NULL. */
void lw_ready(struct lw_run *run, bool ready);

/* Sets one value of the work's state. `run` may be NULL (in start and stop). */
void lw_set_int(struct lw_run *run, const char *name, int64_t value);
void lw_set_float(struct lw_run *run, const char *name, double value);
void lw_set_bool(struct lw_run *run, const char *name, bool value);
void lw_set_text(struct lw_run *run, const char *name, const char *value);
void lw_set(struct lw_run *run, const char *name, const msgpack_sbuffer *value);

/* The value the flow assigned last to this name (w.state.x = ...), or NULL. Borrowed until
 * the next call of lw_stopping() or the end of the run. */
const msgpack_object *lw_get(struct lw_run *run, const char *name);

/* ---- the outcome ------------------------------------------------------------------- */

/* What the run returns; the last call counts. Nothing returned is nil. */
void lw_return_int(struct lw_run *run, int64_t value);
void lw_return_float(struct lw_run *run, double value);
void lw_return_bool(struct lw_run *run, bool value);
void lw_return_text(struct lw_run *run, const char *value);
void lw_return(struct lw_run *run, const msgpack_sbuffer *value); /* one packed value */

/* Notes the sentence and returns 1, for: return lw_fail(run, "no file '%s'", name); */
int lw_fail(struct lw_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

#pragma GCC visibility pop

#endif
