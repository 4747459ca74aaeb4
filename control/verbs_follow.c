/* verbs_follow.c - logs and events: answers that may go on for ever. See verbs.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "job.h"
#include "lw_logread.h"
#include "verbs.h"

/* The files of the state directory, when no supervisor runs. */
static int read_logs(struct job *job, const char *work, struct log_printer *printer,
		     const struct lw_err *nobody)
{
	const char *slash = strrchr(job->socket, '/');
	LW_AUTO(lw_free) char *folder = NULL;
	struct lw_err err = { 0 };

	folder = lw_format("%.*s%s", slash != NULL ? (int)(slash - job->socket) + 1 : 0,
			   job->socket, LW_LOGFILE_FOLDER);
	if (access(folder, F_OK) < 0)
		return complain_nobody(job, nobody->code, nobody);
	if (work != NULL && !lw_logread_has(folder, work))
		return complain(LWCTL_FAILED, "no supervisor runs, and work '%s' left no output",
				work);
	if (logs_read(&job->options, folder, work, printer, &err) < 0)
		return complain(LWCTL_FAILED, "%s", err.text);
	return LWCTL_DONE;
}

static int stream_logs(struct job *job, const char *work, struct log_printer *printer)
{
	const struct client_sink sink = { log_printer_take, printer };
	LW_AUTO(lw_free) char *path = logs_path(&job->options, work);
	bool follows = job_given(job, OPT_FOLLOW);
	struct lw_err err = { 0 };
	int r = job_stream(job, path, &sink, &err);

	if ((r == -ENOENT || r == -ECONNREFUSED) && !follows)
		return read_logs(job, work, printer, &err);
	if (r == -EINTR && follows)
		return LWCTL_DONE; /* how it is ended */
	if (r != 0)
		return r < 0 ? complain_ask(job, r, &err) : r;
	return follows ? complain(LWCTL_DONE, "the supervisor has ended") : LWCTL_DONE;
}

int do_logs(struct job *job)
{
	struct log_printer printer;
	int status;

	log_printer_init(&printer, job_given(job, OPT_JSON));
	status = stream_logs(job, job->word_count > 0 ? job->words[0] : NULL, &printer);
	log_printer_done(&printer);
	return status;
}

/* Until it is interrupted, or the supervisor ends. */
int do_events(struct job *job)
{
	const char *after = job->options.after;
	LW_AUTO(lw_free) char *encoded = after != NULL ? client_encode(after) : NULL;
	LW_AUTO(lw_free)
	char *path = lw_format("/api/v1/events%s%s", after != NULL ? "?after=" : "",
			       after != NULL ? encoded : "");
	struct event_printer printer = { 0 };
	const struct client_sink sink = { event_printer_take, &printer };
	struct lw_err err = { 0 };
	int r = job_stream(job, path, &sink, &err);

	event_printer_done(&printer);
	if (r == -EINTR)
		return LWCTL_DONE;
	if (r != 0)
		return r < 0 ? complain_ask(job, r, &err) : r;
	return complain(LWCTL_NO_SUPERVISOR, "the supervisor went away");
}
