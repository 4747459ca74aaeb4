/* job.h - a command line on its way through: what it asks, and what it says when that fails.
 *
 * Owned by lwctl_main() (command.c), which frees what is in it. What complains does so on standard
 * error, one line, and returns the exit status (LWCTL_*).
 */
#ifndef LW_CONTROL_JOB_H
#define LW_CONTROL_JOB_H

#include "lwctl.h"

#define READ_SECONDS 30.0 /* for an answer that needs no waiting */

struct job {
	struct options options;
	const char *verb;
	const char *const *words; /* behind the verb */
	size_t word_count;
	char *socket;
	struct reply reply;
	json_t *answer; /* the reply, read */
	bool unreadable;
};

bool job_given(const struct job *job, int option);

/* 0 and job->reply, or an exit status after it was complained of. `timeout` in seconds, 0: none. */
int job_ask(struct job *job, const char *method, const char *path, const char *body,
	    double timeout);
int job_get(struct job *job, const char *path);
/* With a line that shows how far the call's run is, where somebody sees it. */
int job_ask_and_watch(struct job *job, const char *path, const char *body);
/* An answer in pieces. 0: it has ended; above: it was complained of; -errno: it was not. */
int job_stream(struct job *job, const char *path, const struct client_sink *sink,
	       struct lw_err *err);

/* The reply as JSON, borrowed; NULL: it is none, which is complained of at the end. */
const json_t *job_answer(struct job *job);
int job_pass_through(const struct job *job); /* the reply, as it is, to standard output */
/* /api/v1/works/WORK/verb, of the first word; caller frees. */
char *job_work_path(const struct job *job, const char *verb, const char *query);

LW_PRINTF(2, 3) int complain(int status, const char *format, ...);
int complain_nobody(const struct job *job, int r, const struct lw_err *err);
int complain_ask(const struct job *job, int r, const struct lw_err *err);
int complain_refused(struct job *job);
int complain_socket(const struct job *job, const struct lw_err *err);

#endif
