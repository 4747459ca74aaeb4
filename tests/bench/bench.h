/* bench.h - what the files of the benchmark driver share.
 *
 * bench.c owns the options and the order; bench_*.c each measure one group of rows on the
 * real daemon (daemon.h); floor_*.c measure what the machine can do without it, in the same
 * run; report.c has the table of rows with their goals.
 */
#ifndef LW_BENCH_BENCH_H
#define LW_BENCH_BENCH_H

#include <sys/types.h>

#include "board.h"
#include "lw_base.h"

/* ---- numbers ---------------------------------------------------------------------- */

struct samples {
	double *at;
	size_t count, room;
};
void samples_add(struct samples *samples, double value);
void samples_done(struct samples *samples);
double samples_quantile(struct samples *samples, double share); /* sorts; NAN of nothing */

int64_t now_ns(void); /* CLOCK_MONOTONIC */
void wait_ms(int ms);
void stay_on(int cpu); /* this process; negative: anywhere */

/* A child with our descriptors for `output` < 0; else that is its standard output and the other
 * two lead nowhere. Looked up in PATH. -1 (after a note) when it cannot be started. */
pid_t spawn(const char *const *argv, int output);
#define NOWHERE INT_MAX /* its output too */

/* ---- the guard (guard.c) ------------------------------------------------------------- */

void guard_begin(void);         /* returns in the driver, a child; ends it with all it left */
const char *guard_folder(void); /* all files of this run lie in it */
void guard_remove(const char *path);
void guard_sweep(pid_t except); /* kills all children of this process, and theirs */

/* ---- rows (report.c) ---------------------------------------------------------------- */

/* The row's unit and goal stand in the table; NAN: not measured, or no floor. False when the
 * row has a goal that is not met. */
bool report(const char *name, double value, double floor);
void report_note(const char *format, ...) LW_PRINTF(1, 2); /* printed below the row */
void report_as_json(bool json);
void report_machine(void);
void report_head(void);
size_t report_missed(void);   /* goals missed so far */
size_t report_unknown(void);  /* rows that could not be measured so far */
void report_mute(bool muted); /* while a scenario is repeated for its profile */
bool report_muted(void);

/* ---- groups: one function each ------------------------------------------------------- */

void bench_hit(void);
void bench_roundtrip(void);
void bench_throughput(void);
void bench_command(void);
void bench_journal(void);
void bench_load(void);
void bench_start(void);
void bench_start3000(void);
void bench_status(void);
void bench_flood(void);
void bench_restart(void);
void bench_recover(void);
void bench_adopt(void);
void bench_memory(void);
void bench_idle(void);

/* What more than one of them asks. */
double pss_mib(pid_t pid); /* proportional set size */
/* Runs a second between the first run, which the flow answers with all the others, and the
 * last one. */
double board_rate(const struct board *board);
/* Nanoseconds from kill -9 to main() of the next bare process, in its median. */
double bare_restart_ns(void);

/* ---- floors -------------------------------------------------------------------------- */

/* Nanoseconds of each 64-byte ping-pong over a Unix stream socket. */
void floor_roundtrip(int cpu, int peer_cpu, size_t count, struct samples *samples);
/* 64-byte exchanges a second with two processes, `outstanding` at each. */
double floor_exchange(size_t outstanding, double seconds);
/* Spawn-and-wait a second, one after another. */
double floor_spawn(const char *const *argv, size_t count);
/* Seconds until `count` bare children reached main(). */
double floor_start(struct board *board, const char *const *argv, size_t count);
/* Nanoseconds from kill -9 by way of the pidfd to main() of the next one, each time. */
void floor_restart(struct board *board, const char *const *argv, size_t count,
		   struct samples *samples);
/* What bare SQLite does with a journal's schema (floor_sqlite.c). */
struct sqlite_load {
	bool power; /* synchronous FULL, else NORMAL */
	size_t runs;
	double changes;   /* rows inserted or updated a run, the insert included */
	double batch;     /* rows inserted or updated a transaction */
	size_t form_size; /* bytes */
};
double floor_journal(const struct sqlite_load *load); /* runs a second */
/* Seconds to read what a start reads of every run in that journal; the mean size of a form. */
double floor_load(const char *journal, double *ret_form_size);
/* Microseconds for one form of at least `size` bytes by its run's id. */
double floor_row(const char *journal, size_t size);

/* Seconds until `count` connections were accepted, and their hello read and answered. */
double floor_accept(size_t count);
/* Microseconds for XXH3-128 and memcmp of `size` bytes. */
double floor_hash(size_t size);

/* ---- profile (profile.c): perf over the processes that are started from now on -------- */

void profile_begin(pid_t also);     /* a process that was started before; 0: none */
void profile_end(const char *what); /* prints the hottest symbols */
pid_t profile_pid(void);            /* of perf, -1: none */

#endif
