/* progress.c - the line that tells how far a run is while `lwctl run --wait` waits for it.
 *
 * Called by command.c as the ticker of the request that waits. It asks on a connection of its
 * own: explain finds the run that the call has joined, then the run is looked at again and
 * again. The line goes to standard error, and only to a terminal; what goes wrong here is no
 * matter to the request.
 */
#include <string.h>
#include <unistd.h>

#include "lwctl.h"

#define PATIENCE 1.0 /* seconds for one look */

bool progress_wanted(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

static json_t *look(const struct progress *progress, const char *method, const char *path,
		    const char *body)
{
	struct reply reply = { 0 };
	json_t *answer = NULL;

	if (client_ask(progress->socket, method, path, body, PATIENCE, NULL, &reply, NULL) == 0 &&
	    reply.status == 200)
		answer =
			json_loadb((const char *)reply.body.data, reply.body.size, JSON_READ, NULL);
	lw_buf_done(&reply.body);
	return answer;
}

static void find_run(struct progress *progress)
{
	json_t *found = look(progress, "POST", progress->explain, progress->body);
	const char *decision = json_string_value(json_object_get(found, "decision"));

	if (decision != NULL && strcmp(decision, "join") == 0)
		progress->run = json_integer_value(json_object_get(found, "run"));
	json_decref(found);
}

static void write_line(struct progress *progress, const json_t *run)
{
	double started = json_number_value(json_object_get(run, "started"));
	LW_AUTO_BUF line = { 0 };
	char took[32];

	lw_buf_printf(&line, "\r\033[Krun %lld ", (long long)progress->run);
	print_clean(&line, json_string_value(json_object_get(run, "stage")));
	print_progress(run, &line);
	if (started > 0) {
		print_duration(screen_of(stderr).now - started, took);
		lw_buf_printf(&line, ", %s", took);
	}
	(void)fputs(lw_buf_text(&line), stderr);
	progress->shown = true;
}

void progress_tick(void *context)
{
	struct progress *progress = context;
	LW_AUTO(lw_free) char *path = NULL;
	json_t *run;

	if (progress->run == 0)
		find_run(progress);
	if (progress->run == 0)
		return;
	path = lw_format("/api/v1/runs/%lld", (long long)progress->run);
	run = look(progress, "GET", path, NULL);
	if (run != NULL)
		write_line(progress, run);
	json_decref(run);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		(void)fputs("\r\033[K", stderr);
	progress->shown = false;
}
