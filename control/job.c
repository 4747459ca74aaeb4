/* job.c - a command line on its way through: what it asks, and what it says when that fails. */
#include "job.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define TICK_SECONDS 0.2 /* between two looks at a run that is waited for */

int complain(int status, const char *format, ...)
{
	va_list args;

	(void)fflush(stdout);
	(void)fputs("lwctl: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return status;
}

bool job_given(const struct job *job, int option)
{
	return (job->options.given & option) != 0;
}

int complain_nobody(const struct job *job, int r, const struct lw_err *err)
{
	const struct options *options = &job->options;
	const char *control = getenv("LW_CONTROL");
	bool by_folder = options->conf == NULL && options->socket == NULL &&
			 options->state_dir == NULL && (control == NULL || control[0] == '\0');

	if (r != -ENOENT && r != -ECONNREFUSED)
		return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
	if (options->socket == NULL && options->conf != NULL && access(options->conf, F_OK) < 0)
		return complain(LWCTL_NO_SUPERVISOR, "there is no file '%s'", options->conf);
	if (by_folder && access("app.conf", F_OK) < 0)
		return complain(LWCTL_NO_SUPERVISOR,
				"no supervisor: no app.conf in this folder (use -c app.conf)");
	return complain(LWCTL_NO_SUPERVISOR, "no supervisor runs %s%s%s (nobody is at '%s')",
			options->conf != NULL ? "'" : "",
			options->conf != NULL ? options->conf : "here",
			options->conf != NULL ? "'" : "", job->socket);
}

int complain_ask(const struct job *job, int r, const struct lw_err *err)
{
	bool waits = strcmp(job->verb, "run") == 0 || strcmp(job->verb, "retry") == 0;
	bool copies = strcmp(job->verb, "backup") == 0;
	const char *goes_on = waits ? "; the run goes on" : copies ? "; the copy goes on" : "";

	if (r == -EIO) /* print_flush() */
		return complain(LWCTL_FAILED, "%s", err->text);
	if (r == -EINTR)
		return complain(LWCTL_INTERRUPTED, "interrupted%s", goes_on);
	if (r == -ETIMEDOUT)
		return complain(LWCTL_FAILED, "%s%s", err->text, goes_on);
	if (r == -EPIPE)
		return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
	return complain_nobody(job, r, err);
}

const json_t *job_answer(struct job *job)
{
	if (job->answer == NULL)
		job->answer = json_loadb((const char *)job->reply.body.data, job->reply.body.size,
					 JSON_ALLOW_NUL, NULL);
	if (job->answer == NULL)
		job->unreadable = true;
	return job->answer;
}

/* The supervisor's sentence to standard error, its JSON to standard output if that is wanted. */
int complain_refused(struct job *job)
{
	const json_t *error = json_object_get(job_answer(job), "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (job_given(job, OPT_JSON))
		(void)fputs((const char *)job->reply.body.data, stdout);
	if (message == NULL)
		(void)complain(0, "the supervisor answers with status %d", job->reply.status);
	else
		(void)complain(0, "%s%s%s%s", message, hint != NULL ? " (" : "",
			       hint != NULL ? hint : "", hint != NULL ? ")" : "");
	return LWCTL_FAILED;
}

int complain_socket(const struct job *job, const struct lw_err *err)
{
	const char *conf = job->options.conf;

	if (conf != NULL && access(conf, F_OK) < 0)
		return complain(LWCTL_NO_SUPERVISOR, "there is no file '%s'", conf);
	return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
}

char *job_work_path(const struct job *job, const char *verb, const char *query)
{
	LW_AUTO(lw_free) char *name = client_encode(job->words[0]);

	return lw_format("/api/v1/works/%s%s%s%s", name, verb[0] != '\0' ? "/" : "", verb, query);
}

/* 0 and job->reply, or an exit status after it was complained of. */
static int ask_with(struct job *job, const char *method, const char *path, const char *body,
		    double timeout, struct progress *progress)
{
	const struct ticker ticker = { TICK_SECONDS, progress_tick, progress };
	struct lw_err err = { 0 };
	int r;

	if (job_given(job, OPT_TIMEOUT))
		timeout = job->options.timeout;
	lw_buf_done(&job->reply.body);
	json_decref(LW_TAKE(job->answer));
	if (job->socket == NULL && client_find(&job->options, &job->socket, &err) < 0)
		return complain_socket(job, &err);
	if (progress != NULL)
		progress->socket = job->socket;
	r = client_ask(job->socket, method, path, body, timeout, progress != NULL ? &ticker : NULL,
		       &job->reply, &err);
	if (progress != NULL)
		progress_end(progress); /* before anything is said */
	if (r < 0 && r == -EPIPE && strcmp(job->verb, "shutdown") == 0)
		return LWCTL_DONE; /* it ended: that was what we asked for */
	if (r < 0)
		return complain_ask(job, r, &err);
	return job->reply.status == 200 ? LWCTL_DONE : complain_refused(job);
}

int job_ask(struct job *job, const char *method, const char *path, const char *body, double timeout)
{
	return ask_with(job, method, path, body, timeout, NULL);
}

int job_ask_and_watch(struct job *job, const char *path, const char *body)
{
	LW_AUTO(lw_free) char *explain = job_work_path(job, "explain", "");
	struct progress progress = { .explain = explain, .body = body };

	return ask_with(job, "POST", path, body, 0, progress_wanted() ? &progress : NULL);
}

int job_get(struct job *job, const char *path)
{
	return job_ask(job, "GET", path, NULL, READ_SECONDS);
}

int job_pass_through(const struct job *job)
{
	(void)fwrite(job->reply.body.data, 1, job->reply.body.size, stdout);
	return LWCTL_DONE;
}

int job_stream(struct job *job, const char *path, const struct client_sink *sink,
	       struct lw_err *err)
{
	int r;

	if (client_find(&job->options, &job->socket, err) < 0)
		return complain_socket(job, err);
	client_catch_interrupt();
	r = client_stream(job->socket, path, sink, &job->reply, err);
	if (r < 0)
		return r;
	return job->reply.status == 200 ? LWCTL_DONE : complain_refused(job);
}
