/* torture.h - what the files of the driver know of each other.
 *
 *     torture.c   options, the minutes of chaos, the end, the summary
 *     daemon.c    the supervisor: its starts and ends, its console, requests to it
 *     chaos.c     what is done to it and to its works
 *     check.c     the journal against what the works wrote down
 *
 * One thread, one app, one state: a global. Nothing waits without a deadline.
 */
#ifndef LW_TORTURE_H
#define LW_TORTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lw_base.h"
#include "record.h"

/* An array that grows: struct { T *items; size_t count, room; }. */
#define LIST_ADD(list, ...)                                                                        \
	do {                                                                                       \
		if ((list)->count == (list)->room) {                                               \
			(list)->room = (list)->room == 0 ? 64 : 2 * (list)->room;                  \
			(list)->items =                                                            \
				lw_realloc((list)->items, (list)->room * sizeof(*(list)->items));  \
		}                                                                                  \
		(list)->items[(list)->count++] = __VA_ARGS__;                                      \
	} while (0)

enum { NAME_MOST = 16 };

/* A call of a work. */
struct call {
	char work[NAME_MOST];
	int64_t n;
};

/* Somebody was shown that this call had succeeded. */
struct sight {
	struct call call;
	uint64_t run;
	int64_t at;
};

/* One supervisor, from its start to its end. */
struct life {
	int64_t from, to; /* to: its end, or since when it was stopped then */
	int64_t since;    /* its last SIGCONT */
	bool dropped; /* lines of its console were dropped, or may be: nobody heard it in time */
};

/* The lines that an execution of `floods` printed, as they came out of the console. */
struct lines {
	uint64_t run;
	unsigned attempt;
	int next;   /* number of the next one */
	bool whole; /* all of them came, in order */
};

struct counts {
	unsigned long starts, kills_supervisor, kills_worker, kills_wrapper, kills_command, stops,
		disks_full, terms, leaves, requests, answers, strangers, adoptions, lost,
		lines_lost, executions, ends, fails, calls, reloads;
};

struct torture {
	const char *folder; /* absolute */
	char *state_dir, *conf;
	uint64_t random;
	int64_t began, ends;
	unsigned round; /* reloads so far */

	struct counts count;

	struct {
		struct sight *items;
		size_t count, room;
	} sights;
	struct {
		struct call *items;
		size_t count, room;
	} exempt; /* forgotten: may run again */
	struct {
		struct sight *items;
		size_t count, room;
	} made; /* runs that a client was told of */
	struct {
		int64_t *items;
		size_t count, room;
	} ends_asked; /* when the works were asked to end: a run goes back to the queue */
	struct {
		struct life *items;
		size_t count, room;
	} lives;
	struct {
		struct lines *items;
		size_t count, room;
	} lines;
	unsigned violations;
};

extern struct torture torture;

int64_t now_us(void); /* since 1970 */
uint64_t draw(uint64_t below);
struct call call_of(const char *work, int64_t n);

/* app.conf as it is to be read next. */
void write_conf(void);

/* Says what does not hold. */
void violation(const char *format, ...) LW_PRINTF(1, 2);

/* ---- daemon.c ------------------------------------------------------------------------ */

void daemon_start(bool old_kernel);
pid_t daemon_pid(void); /* 0: none */
/* It is asked to end: by SIGKILL, or by itself. */
void daemon_expect_end(void);
void daemon_set_disk(bool full);
void daemon_stopped(bool stopped); /* it was sent SIGSTOP or SIGCONT */
bool daemon_pump(int64_t until);   /* hears it for a moment; false: it is too late */
bool daemon_await_end(int64_t within_us);
/* HTTP status and the answer as JSON (NULL: none); 0: nobody answered in time. */
int ask(const char *method, const char *path, const char *body, int64_t within_us,
	json_t **ret_json);
int dial_socket(const char *name); /* in the state directory; -1 */

/* ---- chaos.c -------------------------------------------------------------------------- */

void chaos_step(void); /* does what is due */
void chaos_end(void);  /* nothing is stopped, full or held any more */

/* ---- check.c -------------------------------------------------------------------------- */

void check_progress(void);     /* counts what was written down since */
void check_look(void);         /* what the journal says now must stay true; no supervisor is up */
void check_processes(void);    /* no worker has two incarnations */
size_t check_left(void);       /* says who is left of any tree */
const char *check_store(void); /* the id of the store, or NULL */
void check_all(void);

#endif
