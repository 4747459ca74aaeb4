/* verbs.c - what each verb asks of the supervisor, and what it makes of the answer. See verbs.h. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "job.h"
#include "lw_process.h"
#include "verbs.h"

#define COMMAND_MOST 4000 /* bytes of a command to be pasted */
#define RUNS_SHOWN   20   /* unless --limit says otherwise */

/* ---- what to type next ---------------------------------------------------------------------------- */

/* "lwctl VERB WORK", of this app if it was named on our command line; to be pasted. */
static void add_command(const struct job *job, const char *verb, const char *work,
			struct lw_buf *out)
{
	const struct options *options = &job->options;
	const struct {
		const char *name, *value;
	} named[] = { { "-c", options->conf },
		      { "--socket", options->socket },
		      { "--state-dir", options->state_dir } };

	lw_buf_printf(out, "lwctl");
	for (size_t i = 0; i < LW_COUNT(named); i++) {
		if (named[i].value == NULL)
			continue;
		lw_buf_printf(out, " %s ", named[i].name);
		quote_word(out, named[i].value);
	}
	lw_buf_printf(out, " %s %s", verb, work[0] == '-' ? "-- " : "");
	quote_word(out, work);
}

/* `call` has "args" and "kwargs". */
static void add_retry(const struct job *job, const char *work, const json_t *call,
		      struct lw_buf *out)
{
	size_t start = out->size;

	add_command(job, "retry", work, out);
	lw_buf_printf(out, " ");
	quote_call(out, json_object_get(call, "args"), json_object_get(call, "kwargs"));
	if (out->size - start <= COMMAND_MOST)
		return;
	out->size = start;
	add_command(job, "retry", work, out);
	lw_buf_printf(out, " --all");
}

static json_int_t count_in(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The runs that this stop or kill has ended: nothing runs them again by itself. */
static void print_stopped(const struct job *job, const json_t *work)
{
	const json_t *run;
	size_t i;

	json_array_foreach(json_object_get(work, "stopped_runs"), i, run)
	{
		LW_AUTO_BUF line = { 0 };
		LW_AUTO_BUF clean = { 0 };

		lw_buf_printf(&line, "run %" JSON_INTEGER_FORMAT " was stopped; `",
			      json_integer_value(json_object_get(run, "id")));
		add_retry(job, text_in(work, "name"), run, &line);
		lw_buf_printf(&line, "` runs it again");
		if (json_is_true(json_object_get(work, "held"))) {
			lw_buf_printf(&line, ", after `");
			add_command(job, "start", text_in(work, "name"), &line);
			lw_buf_printf(&line, "`");
		}
		print_clean(&clean, lw_buf_text(&line));
		(void)printf("%s\n", lw_buf_text(&clean));
	}
}

static bool has_given_up(const json_t *work)
{
	const json_t *process;
	size_t i;

	json_array_foreach(json_object_get(work, "processes"), i,
			   process) if (strcmp(text_in(process, "state"), "failed") ==
					0) return true;
	return false;
}

/* Of a work, and of a call, that is held: how to go on. */
static void print_way_out(const struct job *job, const struct screen *screen, const json_t *work)
{
	const json_t *latest = json_object_get(work, "latest");
	const char *stage = text_in(latest, "stage");
	LW_AUTO_BUF line = { 0 };

	if (json_is_true(json_object_get(work, "held")) || has_given_up(work)) {
		add_command(job, "start", text_in(work, "name"), &line);
		print_line(screen, "start it", lw_buf_text(&line));
		line.size = 0;
	}
	if (!json_is_true(json_object_get(work, "cache_calls")) ||
	    (strcmp(stage, "failed") != 0 && strcmp(stage, "stopped") != 0))
		return;
	add_retry(job, text_in(work, "name"), latest, &line);
	print_line(screen, "run again", lw_buf_text(&line));
}

/* ---- verbs ---------------------------------------------------------------------------------------- */

typedef void draw_fn(void *context, const struct screen *screen, const json_t *answer);

static int check_watch(const struct job *job)
{
	if (!job_given(job, OPT_WATCH))
		return LWCTL_DONE;
	if (job_given(job, OPT_JSON))
		return complain(LWCTL_USAGE, "--watch and --json are both given");
	if (screen_of(stdout).width == 0)
		return complain(LWCTL_USAGE, "--watch draws on a terminal, and this is none");
	return LWCTL_DONE;
}

/* JSON has everything, a table is content with what is brief. */
static int show(struct job *job, const char *path, const char *brief, draw_fn *draw)
{
	struct screen screen = screen_of(stdout);
	int status = check_watch(job);

	if (status == LWCTL_DONE)
		status = job_get(job, job_given(job, OPT_JSON) ? path : brief);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	if (job_given(job, OPT_WATCH)) /* what is wrong with the first answer is an error as ever */
		watch(&(struct watch){ job->socket, brief, draw, job });
	else
		draw(job, &screen, job_answer(job));
	return LWCTL_DONE;
}

static void draw_works(void *context, const struct screen *screen, const json_t *answer)
{
	(void)context;
	if (json_object_get(answer, "app") != NULL)
		print_app(screen, json_object_get(answer, "app"));
	print_works(screen, answer);
}

static void draw_work(void *context, const struct screen *screen, const json_t *answer)
{
	print_work(screen, answer);
	print_way_out(context, screen, answer);
	print_latest_calls(screen, json_object_get(answer, "calls"));
}

static int show_works(struct job *job, const char *path)
{
	LW_AUTO(lw_free) char *brief = lw_format("%s?brief=1", path);

	return show(job, path, brief, draw_works);
}

static int show_work(struct job *job)
{
	LW_AUTO(lw_free) char *path = job_work_path(job, "", "");

	return show(job, path, path, draw_work);
}

int do_status(struct job *job)
{
	return job->word_count > 0 ? show_work(job) : show_works(job, "/api/v1/status");
}

int do_works(struct job *job)
{
	return show_works(job, "/api/v1/works");
}

/* start, stop, restart, kill: done when the supervisor says so. */
int do_steer(struct job *job)
{
	LW_AUTO(lw_free)
	char *path =
		job_work_path(job, job->verb, job_given(job, OPT_NO_WAIT) ? "?wait=false" : "");
	struct screen screen = screen_of(stdout);
	int status;

	client_catch_interrupt();
	status = job_ask(job, "POST", path, NULL, 0);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_work(&screen, job_answer(job));
	print_stopped(job, job_answer(job));
	return LWCTL_DONE;
}

/* pause and resume: of a work, or of the app. */
int do_pause(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = job->word_count > 0 ? job_work_path(job, job->verb, "")
					 : lw_format("/api/v1/app/%s", job->verb);
	struct screen screen = screen_of(stdout);
	int status = job_ask(job, "POST", path, NULL, READ_SECONDS);

	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	if (job->word_count > 0)
		print_work(&screen, job_answer(job));
	else
		print_app(&screen, job_answer(job));
	return LWCTL_DONE;
}

int do_signal(struct job *job)
{
	LW_AUTO(lw_free) char *path = job_work_path(job, "signal", "");
	json_t *body = json_pack("{s: s}", "signal", job->words[1]);
	LW_AUTO(lw_free) char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	int status;

	json_decref(body);
	if (text == NULL)
		return complain(LWCTL_USAGE, "the signal is no text");
	status = job_ask(job, "POST", path, text, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	(void)printf("signal: sent to %" JSON_INTEGER_FORMAT " process%s\n",
		     count_in(job_answer(job), "processes"),
		     count_in(job_answer(job), "processes") == 1 ? "" : "es");
	return LWCTL_DONE;
}

/* The call behind the name of the work as the text of a body, or NULL: none was given.
 * LWCTL_USAGE after it was complained of. */
static int get_call(const struct job *job, char **ret_text)
{
	struct lw_err err = { 0 };
	json_t *body;

	*ret_text = NULL;
	if (call_parse(job->words + 1, job->word_count - 1, &body, &err) < 0)
		return complain(LWCTL_USAGE, "%s", err.text);
	if (body != NULL)
		*ret_text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return LWCTL_DONE;
}

/* Of a run that is over: 0, or that of its command as a shell would have it, or 1. What is none
 * (works say what they like) is 1, too. */
static int status_of(const json_t *run)
{
	struct lw_exit how;

	if (strcmp(text_in(run, "stage"), "succeeded") == 0)
		return LWCTL_DONE;
	if (!lw_exit_read(text_in(run, "reason"), &how) || how.code < 1 ||
	    how.code > (how.signaled ? 127 : 255))
		return LWCTL_FAILED;
	return how.code + (how.signaled ? 128 : 0);
}

int do_run(struct job *job)
{
	bool wait = job_given(job, OPT_WAIT);
	LW_AUTO(lw_free) char *path = job_work_path(job, "run", wait ? "" : "?wait=false");
	LW_AUTO(lw_free) char *body = NULL;
	struct screen screen = screen_of(stdout);
	int status = get_call(job, &body);

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	status = wait ? job_ask_and_watch(job, path, body)
		      : job_ask(job, "POST", path, body, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		(void)job_pass_through(job);
	else
		print_run(&screen, job_answer(job));
	return wait ? status_of(job_answer(job)) : LWCTL_DONE;
}

/* The body for all calls, or for the older ones. */
static char *all_calls(const struct job *job)
{
	if (!job_given(job, OPT_OLDER))
		return lw_strdup("{\"all\":true}");
	return lw_format("{\"all\":true,\"before\":%.6f}",
			 screen_of(stdout).now - job->options.older);
}

/* The body of retry and forget: a call, or all. */
static int get_calls(const struct job *job, char **ret_text)
{
	bool forgets = strcmp(job->verb, "forget") == 0;
	int ways = (job->word_count > 1) + job_given(job, OPT_ALL) + job_given(job, OPT_OLDER);
	int status;

	*ret_text = NULL;
	if (ways != 1)
		return complain(LWCTL_USAGE,
				"%s takes either the arguments of the call ('[]' when it has none) "
				"or --all%s",
				job->verb, forgets ? " or --older-than" : "");
	status = get_call(job, ret_text);
	if (status == LWCTL_DONE && *ret_text == NULL)
		*ret_text = all_calls(job);
	return status;
}

static void print_calls(const struct job *job, json_int_t count)
{
	(void)printf("%s: %" JSON_INTEGER_FORMAT " call%s", job->verb, count,
		     count == 1 ? "" : "s");
}

/* One retried run, or what became of many. */
static void print_retried(struct job *job, const json_t *answer)
{
	const json_t *runs = json_object_get(answer, "runs");
	const json_t *stages = json_object_get(answer, "stages");
	struct screen screen = screen_of(stdout);
	json_int_t id = json_integer_value(json_array_get(runs, 0));
	const char *stage;
	json_t *count;

	if (!job_given(job, OPT_ALL) && job_given(job, OPT_WAIT)) {
		LW_AUTO(lw_free) char *path = lw_format("/api/v1/runs/%lld", (long long)id);

		if (job_get(job, path) == LWCTL_DONE)
			print_run(&screen, job_answer(job));
		return;
	}
	if (!job_given(job, OPT_ALL)) {
		(void)printf("%s: run %" JSON_INTEGER_FORMAT "\n", job->verb, id);
		return;
	}
	print_calls(job, count_in(answer, "calls"));
	json_object_foreach((json_t *)(uintptr_t)stages, stage,
			    count) if (job_given(job, OPT_WAIT) &&
				       json_integer_value(count) > 0)(void)
		printf(", %" JSON_INTEGER_FORMAT " %s", json_integer_value(count), stage);
	(void)printf("\n");
}

int do_retry(struct job *job)
{
	bool wait = job_given(job, OPT_WAIT);
	LW_AUTO(lw_free) char *path = job_work_path(job, "retry", wait ? "?wait=true" : "");
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_calls(job, &body);
	const json_t *answer;

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	if (wait && !job_given(job, OPT_ALL))
		status = job_ask_and_watch(job, path, body);
	else
		status = job_ask(job, "POST", path, body, wait ? 0 : READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	answer = job_answer(job);
	if (wait &&
	    count_in(json_object_get(answer, "stages"), "succeeded") != count_in(answer, "calls"))
		status = LWCTL_FAILED;
	if (job_given(job, OPT_JSON))
		(void)job_pass_through(job);
	else
		print_retried(job, answer);
	return status;
}

/* Of the work, what the verb is called, with that body. */
static int ask_of_work(struct job *job, const char *body)
{
	LW_AUTO(lw_free) char *path = job_work_path(job, job->verb, "");

	return job_ask(job, "POST", path, body, READ_SECONDS);
}

int do_forget(struct job *job)
{
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_calls(job, &body);

	if (status == LWCTL_DONE)
		status = ask_of_work(job, body);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_calls(job, count_in(job_answer(job), "calls"));
	(void)printf("\n");
	return LWCTL_DONE;
}

/* Behind the reason, for what is held: the command that lets it run. */
static void print_explained(const struct job *job, const json_t *answer, const char *body)
{
	const json_t *run = json_object_get(answer, "run");
	LW_AUTO_BUF line = { 0 };
	json_t *call;

	print_clean(&line, text_in(answer, "reason"));
	if (strcmp(text_in(answer, "decision"), "held") == 0) {
		call = body != NULL ? json_loads(body, JSON_READ, NULL) : NULL;
		lw_buf_printf(&line, "\n`");
		if (json_is_integer(run))
			add_retry(job, job->words[0], call, &line);
		else
			add_command(job, "start", job->words[0], &line);
		lw_buf_printf(&line, "` runs it%s", json_is_integer(run) ? " again" : "");
		json_decref(call);
	}
	(void)printf("%s\n", lw_buf_text(&line));
}

int do_explain(struct job *job)
{
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_call(job, &body);

	if (status == LWCTL_DONE)
		status = ask_of_work(job, body);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_explained(job, job_answer(job), body);
	return LWCTL_DONE;
}

static long limit_of(const struct job *job)
{
	return job_given(job, OPT_LIMIT) ? job->options.limit : RUNS_SHOWN;
}

/* "?limit=20&stage=failed" */
static char *runs_query(const struct job *job)
{
	const struct options *options = &job->options;
	LW_AUTO_BUF query = { 0 };

	lw_buf_printf(&query, "?limit=%ld", limit_of(job));
	if (job_given(job, OPT_FAILED | OPT_STAGE))
		lw_buf_printf(&query, "&stage=%s",
			      job_given(job, OPT_FAILED) ? "failed" : options->stage);
	if (job_given(job, OPT_SINCE))
		lw_buf_printf(&query, "&since=%.6f", options->since);
	if (job_given(job, OPT_BEFORE))
		lw_buf_printf(&query, "&before=%" PRId64, options->before);
	return lw_strdup(lw_buf_text(&query));
}

/* To a person: how to go on when a page is full. */
static void print_older(const struct job *job, const struct screen *screen, const json_t *runs)
{
	size_t count = json_array_size(runs);

	if (screen->width > 0 && count == (size_t)limit_of(job))
		(void)printf("(older ones: --before %" JSON_INTEGER_FORMAT ")\n",
			     count_in(json_array_get(runs, count - 1), "id"));
}

/* Of one work, or of all in one list. */
int do_runs(struct job *job)
{
	bool one = job->word_count > 0;
	LW_AUTO(lw_free) char *query = runs_query(job);
	LW_AUTO(lw_free)
	char *path = one ? job_work_path(job, "runs", query) : lw_format("/api/v1/runs%s", query);
	struct screen screen = screen_of(stdout);
	int status = job_get(job, path);
	const json_t *runs;

	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	runs = json_object_get(job_answer(job), "runs");
	print_runs(&screen, runs, !one);
	print_older(job, &screen, runs);
	return LWCTL_DONE;
}

int do_show(struct job *job)
{
	LW_AUTO(lw_free) char *id = client_encode(job->words[0]);
	LW_AUTO(lw_free) char *path = lw_format("/api/v1/runs/%s", id);
	struct screen screen = screen_of(stdout);
	int status = job_get(job, path);

	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_run(&screen, job_answer(job));
	return LWCTL_DONE;
}

int do_state(struct job *job)
{
	struct lw_err err = { 0 };
	json_t *patch;
	LW_AUTO(lw_free) char *body = NULL;
	int status;

	if (patch_parse(job->words, job->word_count, &patch, &err) < 0)
		return complain(LWCTL_USAGE, "%s", err.text);
	if (patch != NULL)
		body = json_dumps(patch, JSON_COMPACT);
	json_decref(patch);
	status = body == NULL ? job_get(job, "/api/v1/state")
			      : job_ask(job, "PATCH", "/api/v1/state", body, READ_SECONDS);
	return status == LWCTL_DONE ? job_pass_through(job) : status;
}

int do_reload(struct job *job)
{
	struct screen screen = screen_of(stdout);
	int status = job_ask(job, "POST",
			     job_given(job, OPT_DRY) ? "/api/v1/app/reload?dry_run=true"
						     : "/api/v1/app/reload",
			     NULL, READ_SECONDS);

	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_reload(&screen, job_answer(job));
	return LWCTL_DONE;
}

/* {"path": ...}: the supervisor's folder is another one. LWCTL_USAGE after it was complained of. */
static int backup_body(const struct job *job, char **ret_text)
{
	const char *file = job->words[0];
	LW_AUTO(lw_free) char *folder = NULL;
	LW_AUTO(lw_free) char *path = NULL;
	json_t *body;

	*ret_text = NULL;
	if (file[0] == '\0')
		return complain(LWCTL_USAGE, "the name of the file is empty");
	if (file[0] != '/' && (folder = realpath(".", NULL)) == NULL)
		return complain(LWCTL_FAILED, "cannot tell which folder this is: %s",
				strerror(errno));
	path = folder != NULL ? lw_format("%s/%s", folder, file) : lw_strdup(file);
	body = json_pack("{s:s}", "path", path);
	if (body == NULL)
		return complain(LWCTL_USAGE, "the path of the file is no UTF-8");
	*ret_text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return LWCTL_DONE;
}

/* Copying takes as long as it takes. */
int do_backup(struct job *job)
{
	LW_AUTO(lw_free) char *body = NULL;
	LW_AUTO_BUF path = { 0 };
	int status = backup_body(job, &body);

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	status = job_ask(job, "POST", "/api/v1/app/backup", body, 0);
	if (status != LWCTL_DONE)
		return status;
	if (job_given(job, OPT_JSON))
		return job_pass_through(job);
	print_clean(&path, text_in(job_answer(job), "path"));
	(void)printf("backup: '%s'\n", lw_buf_text(&path));
	return LWCTL_DONE;
}

/* Asks the supervisor to end, and waits until it has unless `at_once`. */
static int end_supervisor(struct job *job, const char *path, bool at_once)
{
	LW_AUTO(lw_close) int listener = -1;
	struct lw_err err = { 0 };
	int status, r;

	if (client_find(&job->options, &job->socket, &err) < 0)
		return complain_socket(job, &err);
	if (!at_once)
		listener = client_listener(job->socket);
	status = job_ask(job, "POST", path, NULL, 0);
	if (status != LWCTL_DONE || listener < 0)
		return status;
	r = client_await_end(listener, job->options.timeout, &err);
	return r < 0 ? complain_ask(job, r, &err) : LWCTL_DONE;
}

int do_shutdown(struct job *job)
{
	bool at_once = job_given(job, OPT_NO_WAIT);
	bool keep = job_given(job, OPT_KEEP);
	LW_AUTO(lw_free)
	char *path = lw_format("/api/v1/app/stop?wait=%s%s", at_once ? "false" : "true",
			       keep ? "&keep_works=true" : "");
	int status;

	client_catch_interrupt();
	status = end_supervisor(job, path, at_once);
	if (status != LWCTL_DONE)
		return status;
	if (!job_given(job, OPT_JSON))
		(void)printf("the %s %s%s\n", keep ? "supervisor" : "app",
			     at_once ? "is stopping" : "has stopped",
			     keep ? "; the works go on" : "");
	else if (job->reply.body.size > 0)
		(void)job_pass_through(job);
	else
		(void)printf("{\"stopped\":true}\n");
	return LWCTL_DONE;
}
