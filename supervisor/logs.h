/* logs.h - output: a FIFO for each stream of each worker, lines, the console, the files.
 *
 * A worker writes to FIFOs in the state directory that it holds open for reading too, so that
 * nobody gets SIGPIPE while the supervisor is away. Lines go to the file of their work
 * (log_files.h), what the flow and the supervisor say to @lw.log, and to the console. The console is
 * a bounded queue over descriptors that never block us: what does not fit is dropped and
 * counted, and said when there is room again (console.h).
 *
 * Owned by struct supervisor; an output is owned by its struct worker. SIGPIPE and SIGTTOU are
 * ignored from logs_new() on.
 */
#ifndef LW_SUPERVISOR_LOGS_H
#define LW_SUPERVISOR_LOGS_H

#include "log_files.h"
#include "loop.h"
#include "lw_err.h"
#include "lw_log.h"

struct logs;
struct output;

struct logs_options {
	bool prefix;           /* "train | text" */
	bool colour;           /* of the prefix */
	bool json;             /* the supervisor's own lines, as objects */
	const char *state_dir; /* FIFOs and files lie below it */
	size_t queue_max;      /* bytes of console queue; 0: 1 MiB */
};

LW_MUST_USE int logs_new(struct loop *loop, const struct logs_options *options,
			 struct logs **ret_logs, struct lw_err *err);
/* Writes what is queued, for at most 500 ms of a console that takes nothing; frees. Outputs
 * are closed and the sink is taken back (lw_log_to) before. */
void logs_free(struct logs *logs);
uint64_t logs_dropped(const struct logs *logs); /* console lines so far */

struct log_files *logs_files(struct logs *logs);
/* How the files of that work are rotated, from now on: in `max_size` bytes less than 4096 count as
 * 4096, and 0 as none. */
void logs_limits(struct logs *logs, const char *work, int64_t max_size, int64_t keep);
/* Bytes that its processes have printed since this supervisor serves it. */
uint64_t logs_bytes(const struct logs *logs, const char *work);
uint64_t logs_lost(const struct logs *logs, const char *work); /* lines that were not kept */

/* Who will print: the prefix is as wide as the longest name that is known. */
void logs_name(struct logs *logs, const char *name);
void logs_print(struct logs *logs, const char *line, size_t size); /* by the flow */
/* The supervisor's own log, to standard error and the file; and what is only shown, or only kept. */
lw_log_sink logs_sink; /* context: struct logs */
void logs_show(struct logs *logs, const char *line, size_t size);
void logs_keep(struct logs *logs, const char *line);

/* The two streams of one worker; they stay open over its incarnations. */
LW_MUST_USE int output_open(struct logs *logs, const char *work, uint64_t worker,
			    struct output **ret_output, struct lw_err *err);
void output_close(struct output *output); /* drains; the FIFOs stay for the next one */
/* Descriptors for the child's standard output and error; owned by the output. */
void output_fds(const struct output *output, int ret_fds[2]);
/* NULL is welcome from here on: a process whose output could not be found again. */
/* Lines read from now on belong to this process and run (0: none). */
void output_of(struct output *output, pid_t pid, uint64_t run);
/* Reads what is there now, without waiting, and hands out whole lines; `last`: also a last
 * line without newline. */
void output_drain(struct output *output, bool last);
/* The last lines of standard error since output_of() changed the process, for a message. */
const char *output_tail(struct output *output);

#endif
