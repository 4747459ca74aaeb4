/* command.c - the verbs, and what each asks of the supervisor.
 *
 * Called by main(). From the table of requests (lw_requests.h) come dispatch, arity, the options a
 * verb takes, and help.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "lw_logread.h"
#include "lw_process.h"
#include "lw_requests.h"
#include "answer.h"
#include "lwctl.h"

#define READ_SECONDS 30.0 /* for an answer that needs no waiting */
#define TICK_SECONDS 0.2  /* between two looks at a run that is waited for */
#define COMMAND_MOST 4000 /* bytes of a command to be pasted */
#define RUNS_SHOWN   20   /* unless --limit says otherwise */

/* A command line on its way through. */
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

static int do_status(struct job *job);
static int do_works(struct job *job);
static int do_steer(struct job *job);
static int do_pause(struct job *job);
static int do_signal(struct job *job);
static int do_run(struct job *job);
static int do_retry(struct job *job);
static int do_forget(struct job *job);
static int do_explain(struct job *job);
static int do_runs(struct job *job);
static int do_show(struct job *job);
static int do_logs(struct job *job);
static int do_state(struct job *job);
static int do_events(struct job *job);
static int do_reload(struct job *job);
static int do_backup(struct job *job);
static int do_shutdown(struct job *job);
static int do_completion(struct job *job);
static int do_help(struct job *job);

/* Verbs that ask nobody. */
#define LOCAL_VERBS(V)                                                                             \
	V(completion, "SHELL [WORDS...]", completion, "print what completes lwctl in bash or zsh") \
	V(help, "[VERB]", help, "show the verbs, or one")

static const struct command {
	const char *verb;
	const char *arguments;
	int body, query; /* LW_BODY_*, LW_QUERY_*: what it may ask for */
	bool asks;       /* the supervisor */
	int (*act)(struct job *job);
	const char *sentence;
} commands[] = {
#define VERB(method, path, who, serves, body, query, verb, arguments, by, sentence)                \
	{ #verb, arguments, body, query, true, do_##by, sentence },
#define NO_VERB(...)
	LW_REQUESTS(VERB, NO_VERB)
#undef VERB
#undef NO_VERB
#define LOCAL(verb, arguments, by, sentence)                                                       \
	{ #verb, arguments, LW_BODY_NONE, LW_QUERY_NONE, false, do_##by, sentence },
		LOCAL_VERBS(LOCAL)
#undef LOCAL
};

/* Which options a verb takes: those of what its request may hold. */
static int options_of(const struct command *command)
{
	/* clang-format off */
	static const struct { int body, query, options; } rules[] = {
		{ 0,             LW_QUERY_WAIT,     OPT_WAIT | OPT_NO_WAIT },
		{ 0,             LW_QUERY_MAY_WAIT, OPT_WAIT | OPT_NO_WAIT },
		{ 0,             LW_QUERY_LIMIT,    OPT_LIMIT },
		{ 0,             LW_QUERY_STAGE,    OPT_STAGE | OPT_FAILED },
		{ 0,             LW_QUERY_SINCE,    OPT_SINCE },
		{ 0,             LW_QUERY_BEFORE,   OPT_BEFORE },
		{ 0,             LW_QUERY_KEEP,     OPT_KEEP },
		{ 0,             LW_QUERY_DRY,      OPT_DRY },
		{ 0,             LW_QUERY_BRIEF,    OPT_WATCH },
		{ 0,             LW_QUERY_AFTER,    OPT_AFTER },
		{ 0,             LW_QUERY_LINES,    OPT_LINES },
		{ 0,             LW_QUERY_FOLLOW,   OPT_FOLLOW },
		{ 0,             LW_QUERY_RUN,      OPT_RUN },
		{ 0,             LW_QUERY_STREAM,   OPT_STREAM },
		{ 0,             LW_QUERY_SEARCH,   OPT_SEARCH },
		{ LW_BODY_ALL,   0,                 OPT_ALL },
		{ LW_BODY_OLDER, 0,                 OPT_OLDER },
	};
	/* clang-format on */
	bool streams = (command->query & (LW_QUERY_FOLLOW | LW_QUERY_AFTER)) != 0;
	int options = command->asks && !streams ? OPT_TIMEOUT : 0;

	for (size_t i = 0; i < LW_COUNT(rules); i++)
		if ((command->body & rules[i].body) != 0 || (command->query & rules[i].query) != 0)
			options |= rules[i].options;
	return options;
}

/* ---- failing ---------------------------------------------------------------------------------- */

LW_PRINTF(2, 3)
static int complain(int status, const char *format, ...)
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

/* How far one word is from another: letters changed, added, dropped, or swapped. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t d[24][24];

	if (n >= LW_COUNT(d) || m >= LW_COUNT(d))
		return SIZE_MAX;
	for (size_t i = 0; i <= n; i++)
		for (size_t k = 0; k <= m; k++) {
			size_t best = i == 0 ? k : i;

			if (i > 0 && k > 0) {
				best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
				best = d[i - 1][k] + 1 < best ? d[i - 1][k] + 1 : best;
				best = d[i][k - 1] + 1 < best ? d[i][k - 1] + 1 : best;
			}
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    d[i - 2][k - 2] + 1 < best)
				best = d[i - 2][k - 2] + 1;
			d[i][k] = best;
		}
	return d[n][m];
}

static int complain_verb(const char *verb)
{
	const struct command *nearest = NULL;
	size_t least = 3;

	for (size_t i = 0; i < LW_COUNT(commands); i++) {
		bool begins = verb[1] != '\0' && strncmp(commands[i].verb, verb, strlen(verb)) == 0;
		size_t far = begins ? 0 : distance(verb, commands[i].verb);

		if (far < least && far < strlen(verb)) {
			least = far;
			nearest = &commands[i];
		}
	}
	if (nearest == NULL)
		return complain(LWCTL_USAGE, "unknown verb '%s' (see lwctl help)", verb);
	return complain(LWCTL_USAGE, "unknown verb '%s' (did you mean '%s'?)", verb, nearest->verb);
}

/* ---- asking ------------------------------------------------------------------------------------ */

static bool given(const struct job *job, int option)
{
	return (job->options.given & option) != 0;
}

static int complain_nobody(const struct job *job, int r, const struct lw_err *err)
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

static int complain_ask(const struct job *job, int r, const struct lw_err *err)
{
	bool waits = strcmp(job->verb, "run") == 0 || strcmp(job->verb, "retry") == 0;
	bool copies = strcmp(job->verb, "backup") == 0;
	const char *goes_on = waits ? "; the run goes on" : copies ? "; the copy goes on" : "";

	if (r == -EINTR)
		return complain(LWCTL_INTERRUPTED, "interrupted%s", goes_on);
	if (r == -ETIMEDOUT)
		return complain(LWCTL_FAILED, "%s%s", err->text, goes_on);
	if (r == -EPIPE)
		return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
	return complain_nobody(job, r, err);
}

/* The reply as JSON, borrowed; NULL: it is none, which is complained of at the end. */
static const json_t *answer_of(struct job *job)
{
	if (job->answer == NULL)
		job->answer = json_loadb((const char *)job->reply.body.data, job->reply.body.size,
					 JSON_ALLOW_NUL, NULL);
	if (job->answer == NULL)
		job->unreadable = true;
	return job->answer;
}

/* The supervisor's sentence to standard error, its JSON to standard output if that is wanted. */
static int complain_refused(struct job *job)
{
	const json_t *error = json_object_get(answer_of(job), "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (given(job, OPT_JSON))
		(void)fputs((const char *)job->reply.body.data, stdout);
	if (message == NULL)
		(void)complain(0, "the supervisor answers with status %d", job->reply.status);
	else
		(void)complain(0, "%s%s%s%s", message, hint != NULL ? " (" : "",
			       hint != NULL ? hint : "", hint != NULL ? ")" : "");
	return LWCTL_FAILED;
}

static int complain_socket(const struct job *job, const struct lw_err *err)
{
	const char *conf = job->options.conf;

	if (conf != NULL && access(conf, F_OK) < 0)
		return complain(LWCTL_NO_SUPERVISOR, "there is no file '%s'", conf);
	return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
}

/* /api/v1/works/WORK/verb */
static char *work_path(const struct job *job, const char *verb, const char *query)
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

	if (given(job, OPT_TIMEOUT))
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

static int ask(struct job *job, const char *method, const char *path, const char *body,
	       double timeout)
{
	return ask_with(job, method, path, body, timeout, NULL);
}

/* With a line that shows how far the call's run is, where somebody sees it. */
static int ask_and_watch(struct job *job, const char *path, const char *body)
{
	LW_AUTO(lw_free) char *explain = work_path(job, "explain", "");
	struct progress progress = { .explain = explain, .body = body };

	return ask_with(job, "POST", path, body, 0, progress_wanted() ? &progress : NULL);
}

static int get(struct job *job, const char *path)
{
	return ask(job, "GET", path, NULL, READ_SECONDS);
}

static int pass_through(const struct job *job)
{
	(void)fwrite(job->reply.body.data, 1, job->reply.body.size, stdout);
	return LWCTL_DONE;
}

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
	if (!given(job, OPT_WATCH))
		return LWCTL_DONE;
	if (given(job, OPT_JSON))
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
		status = get(job, given(job, OPT_JSON) ? path : brief);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	if (given(job, OPT_WATCH)) /* what is wrong with the first answer is an error as ever */
		watch(&(struct watch){ job->socket, brief, draw, job });
	else
		draw(job, &screen, answer_of(job));
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
	LW_AUTO(lw_free) char *path = work_path(job, "", "");

	return show(job, path, path, draw_work);
}

static int do_status(struct job *job)
{
	return job->word_count > 0 ? show_work(job) : show_works(job, "/api/v1/status");
}

static int do_works(struct job *job)
{
	return show_works(job, "/api/v1/works");
}

/* start, stop, restart, kill: done when the supervisor says so. */
static int do_steer(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = work_path(job, job->verb, given(job, OPT_NO_WAIT) ? "?wait=false" : "");
	struct screen screen = screen_of(stdout);
	int status;

	client_catch_interrupt();
	status = ask(job, "POST", path, NULL, 0);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_work(&screen, answer_of(job));
	print_stopped(job, answer_of(job));
	return LWCTL_DONE;
}

/* pause and resume: of a work, or of the app. */
static int do_pause(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = job->word_count > 0 ? work_path(job, job->verb, "")
					 : lw_format("/api/v1/app/%s", job->verb);
	struct screen screen = screen_of(stdout);
	int status = ask(job, "POST", path, NULL, READ_SECONDS);

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	if (job->word_count > 0)
		print_work(&screen, answer_of(job));
	else
		print_app(&screen, answer_of(job));
	return LWCTL_DONE;
}

static int do_signal(struct job *job)
{
	LW_AUTO(lw_free) char *path = work_path(job, "signal", "");
	json_t *body = json_pack("{s: s}", "signal", job->words[1]);
	LW_AUTO(lw_free) char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	int status;

	json_decref(body);
	if (text == NULL)
		return complain(LWCTL_USAGE, "the signal is no text");
	status = ask(job, "POST", path, text, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	(void)printf("signal: sent to %" JSON_INTEGER_FORMAT " process%s\n",
		     count_in(answer_of(job), "processes"),
		     count_in(answer_of(job), "processes") == 1 ? "" : "es");
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

static int do_run(struct job *job)
{
	bool wait = given(job, OPT_WAIT);
	LW_AUTO(lw_free) char *path = work_path(job, "run", wait ? "" : "?wait=false");
	LW_AUTO(lw_free) char *body = NULL;
	struct screen screen = screen_of(stdout);
	int status = get_call(job, &body);

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	status = wait ? ask_and_watch(job, path, body) : ask(job, "POST", path, body, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		(void)pass_through(job);
	else
		print_run(&screen, answer_of(job));
	return wait ? status_of(answer_of(job)) : LWCTL_DONE;
}

/* The body for all calls, or for the older ones. */
static char *all_calls(const struct job *job)
{
	if (!given(job, OPT_OLDER))
		return lw_strdup("{\"all\":true}");
	return lw_format("{\"all\":true,\"before\":%.6f}",
			 screen_of(stdout).now - job->options.older);
}

/* The body of retry and forget: a call, or all. */
static int get_calls(const struct job *job, char **ret_text)
{
	bool forgets = strcmp(job->verb, "forget") == 0;
	int ways = (job->word_count > 1) + given(job, OPT_ALL) + given(job, OPT_OLDER);
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

	if (!given(job, OPT_ALL) && given(job, OPT_WAIT)) {
		LW_AUTO(lw_free) char *path = lw_format("/api/v1/runs/%lld", (long long)id);

		if (get(job, path) == LWCTL_DONE)
			print_run(&screen, answer_of(job));
		return;
	}
	if (!given(job, OPT_ALL)) {
		(void)printf("%s: run %" JSON_INTEGER_FORMAT "\n", job->verb, id);
		return;
	}
	print_calls(job, count_in(answer, "calls"));
	json_object_foreach((json_t *)(uintptr_t)stages, stage,
			    count) if (given(job, OPT_WAIT) && json_integer_value(count) > 0)(void)
		printf(", %" JSON_INTEGER_FORMAT " %s", json_integer_value(count), stage);
	(void)printf("\n");
}

static int do_retry(struct job *job)
{
	bool wait = given(job, OPT_WAIT);
	LW_AUTO(lw_free) char *path = work_path(job, "retry", wait ? "?wait=true" : "");
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_calls(job, &body);
	const json_t *answer;

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	if (wait && !given(job, OPT_ALL))
		status = ask_and_watch(job, path, body);
	else
		status = ask(job, "POST", path, body, wait ? 0 : READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	answer = answer_of(job);
	if (wait &&
	    count_in(json_object_get(answer, "stages"), "succeeded") != count_in(answer, "calls"))
		status = LWCTL_FAILED;
	if (given(job, OPT_JSON))
		(void)pass_through(job);
	else
		print_retried(job, answer);
	return status;
}

static int do_forget(struct job *job)
{
	LW_AUTO(lw_free) char *path = work_path(job, "forget", "");
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_calls(job, &body);

	if (status == LWCTL_DONE)
		status = ask(job, "POST", path, body, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_calls(job, count_in(answer_of(job), "calls"));
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

static int do_explain(struct job *job)
{
	LW_AUTO(lw_free) char *path = work_path(job, "explain", "");
	LW_AUTO(lw_free) char *body = NULL;
	int status = get_call(job, &body);

	if (status == LWCTL_DONE)
		status = ask(job, "POST", path, body, READ_SECONDS);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_explained(job, answer_of(job), body);
	return LWCTL_DONE;
}

static long limit_of(const struct job *job)
{
	return given(job, OPT_LIMIT) ? job->options.limit : RUNS_SHOWN;
}

/* "?limit=20&stage=failed" */
static char *runs_query(const struct job *job)
{
	const struct options *options = &job->options;
	LW_AUTO_BUF query = { 0 };

	lw_buf_printf(&query, "?limit=%ld", limit_of(job));
	if (given(job, OPT_FAILED | OPT_STAGE))
		lw_buf_printf(&query, "&stage=%s",
			      given(job, OPT_FAILED) ? "failed" : options->stage);
	if (given(job, OPT_SINCE))
		lw_buf_printf(&query, "&since=%.6f", options->since);
	if (given(job, OPT_BEFORE))
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
static int do_runs(struct job *job)
{
	bool one = job->word_count > 0;
	LW_AUTO(lw_free) char *query = runs_query(job);
	LW_AUTO(lw_free)
	char *path = one ? work_path(job, "runs", query) : lw_format("/api/v1/runs%s", query);
	struct screen screen = screen_of(stdout);
	int status = get(job, path);
	const json_t *runs;

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	runs = json_object_get(answer_of(job), "runs");
	print_runs(&screen, runs, !one);
	print_older(job, &screen, runs);
	return LWCTL_DONE;
}

static int do_show(struct job *job)
{
	LW_AUTO(lw_free) char *id = client_encode(job->words[0]);
	LW_AUTO(lw_free) char *path = lw_format("/api/v1/runs/%s", id);
	struct screen screen = screen_of(stdout);
	int status = get(job, path);

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_run(&screen, answer_of(job));
	return LWCTL_DONE;
}

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
	bool follows = given(job, OPT_FOLLOW);
	struct lw_err err = { 0 };
	int r;

	if (client_find(&job->options, &job->socket, &err) < 0)
		return complain_socket(job, &err);
	client_catch_interrupt();
	r = client_stream(job->socket, path, &sink, &job->reply, &err);
	if ((r == -ENOENT || r == -ECONNREFUSED) && !follows)
		return read_logs(job, work, printer, &err);
	if (r == -EINTR && follows)
		return LWCTL_DONE; /* how it is ended */
	if (r < 0)
		return complain_ask(job, r, &err);
	if (job->reply.status != 200)
		return complain_refused(job);
	return follows ? complain(LWCTL_DONE, "the supervisor has ended") : LWCTL_DONE;
}

static int do_logs(struct job *job)
{
	struct log_printer printer;
	int status;

	log_printer_init(&printer, given(job, OPT_JSON));
	status = stream_logs(job, job->word_count > 0 ? job->words[0] : NULL, &printer);
	log_printer_done(&printer);
	return status;
}

/* Until it is interrupted, or the supervisor ends. */
static int do_events(struct job *job)
{
	const char *after = job->options.after;
	LW_AUTO(lw_free) char *encoded = after != NULL ? client_encode(after) : NULL;
	LW_AUTO(lw_free)
	char *path = lw_format("/api/v1/events%s%s", after != NULL ? "?after=" : "",
			       after != NULL ? encoded : "");
	struct event_printer printer = { 0 };
	const struct client_sink sink = { event_printer_take, &printer };
	struct lw_err err = { 0 };
	int r;

	if (client_find(&job->options, &job->socket, &err) < 0)
		return complain_socket(job, &err);
	client_catch_interrupt();
	r = client_stream(job->socket, path, &sink, &job->reply, &err);
	event_printer_done(&printer);
	if (r == -EINTR)
		return LWCTL_DONE;
	if (r < 0)
		return complain_ask(job, r, &err);
	if (job->reply.status != 200)
		return complain_refused(job);
	return complain(LWCTL_NO_SUPERVISOR, "the supervisor went away");
}

static int do_state(struct job *job)
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
	status = body == NULL ? get(job, "/api/v1/state")
			      : ask(job, "PATCH", "/api/v1/state", body, READ_SECONDS);
	return status == LWCTL_DONE ? pass_through(job) : status;
}

static int do_reload(struct job *job)
{
	struct screen screen = screen_of(stdout);
	int status =
		ask(job, "POST",
		    given(job, OPT_DRY) ? "/api/v1/app/reload?dry_run=true" : "/api/v1/app/reload",
		    NULL, READ_SECONDS);

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_reload(&screen, answer_of(job));
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
static int do_backup(struct job *job)
{
	LW_AUTO(lw_free) char *body = NULL;
	LW_AUTO_BUF path = { 0 };
	int status = backup_body(job, &body);

	if (status != LWCTL_DONE)
		return status;
	client_catch_interrupt();
	status = ask(job, "POST", "/api/v1/app/backup", body, 0);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	print_clean(&path, text_in(answer_of(job), "path"));
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
	status = ask(job, "POST", path, NULL, 0);
	if (status != LWCTL_DONE || listener < 0)
		return status;
	r = client_await_end(listener, job->options.timeout, &err);
	return r < 0 ? complain_ask(job, r, &err) : LWCTL_DONE;
}

static int do_shutdown(struct job *job)
{
	bool at_once = given(job, OPT_NO_WAIT);
	bool keep = given(job, OPT_KEEP);
	LW_AUTO(lw_free)
	char *path = lw_format("/api/v1/app/stop?wait=%s%s", at_once ? "false" : "true",
			       keep ? "&keep_works=true" : "");
	int status;

	client_catch_interrupt();
	status = end_supervisor(job, path, at_once);
	if (status != LWCTL_DONE)
		return status;
	if (!given(job, OPT_JSON))
		(void)printf("the %s %s%s\n", keep ? "supervisor" : "app",
			     at_once ? "is stopping" : "has stopped",
			     keep ? "; the works go on" : "");
	else if (job->reply.body.size > 0)
		(void)pass_through(job);
	else
		(void)printf("{\"stopped\":true}\n");
	return LWCTL_DONE;
}

/* ---- help ------------------------------------------------------------------------------------------- */

bool verb_at(size_t i, struct verb *ret_verb)
{
	if (i >= LW_COUNT(commands))
		return false;
	*ret_verb = (struct verb){ commands[i].verb, commands[i].arguments, commands[i].sentence,
				   options_of(&commands[i]) };
	return true;
}

static const struct command *find_command(const char *verb)
{
	for (size_t i = 0; i < LW_COUNT(commands); i++)
		if (strcmp(commands[i].verb, verb) == 0)
			return &commands[i];
	return NULL;
}

static int help_all(FILE *out)
{
	(void)fputs("usage: lwctl [-c app.conf] VERB [ARGUMENTS] [OPTIONS]\n\n", out);
	for (size_t i = 0; i < LW_COUNT(commands); i++) {
		char usage[60];

		(void)snprintf(usage, sizeof(usage), "%s %s", commands[i].verb,
			       commands[i].arguments);
		(void)fprintf(out, "  %-27s %s\n", usage, commands[i].sentence);
	}
	(void)fputs("\nARGS of a call: a JSON list is positional, a JSON object named, name=value "
		    "named.\n\n",
		    out);
	options_help(out, ~0);
	(void)fputs("\nThe app is found by --socket, -c, --state-dir, LW_CONTROL, or the app.conf "
		    "in this folder.\n"
		    "Exit status: 0 done, 1 refused or failed, 2 usage, 3 no supervisor, 130 "
		    "interrupted;\nof run --wait that of the command, if it failed.\n",
		    out);
	return LWCTL_DONE;
}

static int help_one(const struct command *command)
{
	(void)printf("usage: lwctl %s%s%s\n\n%s\n\n", command->verb,
		     command->arguments[0] != '\0' ? " " : "", command->arguments,
		     command->sentence);
	options_help(stdout, options_of(command) | OPT_EVERYWHERE);
	return LWCTL_DONE;
}

/* "candidates" is for the scripts that it prints. */
static int do_completion(struct job *job)
{
	if (strcmp(job->words[0], "candidates") == 0)
		completion_candidates(job->words + 1, job->word_count - 1, stdout);
	else if (!completion_script(job->words[0], stdout))
		return complain(LWCTL_USAGE, "no completion for '%s', only for bash and zsh",
				job->words[0]);
	return LWCTL_DONE;
}

static int do_help(struct job *job)
{
	const struct command *command;

	if (job->word_count == 0)
		return help_all(stdout);
	command = find_command(job->words[0]);
	return command != NULL ? help_one(command) : complain_verb(job->words[0]);
}

/* ---- dispatch ----------------------------------------------------------------------------------------- */

/* "WORK [ARGS...]": how many words a verb takes. */
static void arity_of(const char *arguments, size_t *ret_least, size_t *ret_most)
{
	*ret_least = *ret_most = 0;
	for (const char *at = arguments; *at != '\0'; at += strcspn(at, " "), at += *at == ' ') {
		*ret_least += *at != '[';
		*ret_most += 1;
	}
	if (strstr(arguments, "...") != NULL)
		*ret_most = SIZE_MAX;
}

static int check_arity(const struct command *command, const struct job *job)
{
	int odd = job->options.given & ~(options_of(command) | OPT_EVERYWHERE);
	size_t least, most;

	arity_of(command->arguments, &least, &most);
	if (job->word_count < least || job->word_count > most)
		return complain(LWCTL_USAGE, "too %s arguments (usage: lwctl %s%s%s)",
				job->word_count < least ? "few" : "many", command->verb,
				command->arguments[0] != '\0' ? " " : "", command->arguments);
	if (odd != 0)
		return complain(LWCTL_USAGE,
				"option '--%s' does not belong to '%s' (see lwctl help %s)",
				option_name(odd), command->verb, command->verb);
	return LWCTL_DONE;
}

static int dispatch(struct job *job)
{
	const struct command *command;
	int status;

	if (given(job, OPT_VERSION)) {
		(void)puts("lwctl " LW_VERSION);
		return LWCTL_DONE;
	}
	if (job->options.word_count == 0) {
		if (given(job, OPT_HELP))
			return help_all(stdout);
		(void)help_all(stderr);
		return LWCTL_USAGE;
	}
	job->verb = job->options.words[0];
	job->words = job->options.words + 1;
	job->word_count = job->options.word_count - 1;
	command = find_command(job->verb);
	if (command == NULL)
		return complain_verb(job->verb);
	if (given(job, OPT_HELP))
		return help_one(command);
	status = check_arity(command, job);
	return status == LWCTL_DONE ? command->act(job) : status;
}

int lwctl_main(int argc, const char *const *argv)
{
	const char **room = lw_alloc((size_t)(argc + 1) * sizeof(*room));
	struct job job = { .verb = "" };
	struct lw_err err = { 0 };
	int status;

	if (options_parse(argc, argv, room, &job.options, &err) < 0)
		status = complain(LWCTL_USAGE, "%s", err.text);
	else
		status = dispatch(&job);
	if (fflush(stdout) != 0 && status == LWCTL_DONE)
		status = complain(LWCTL_FAILED, "cannot write: %s", strerror(errno));
	if (job.unreadable && status == LWCTL_DONE)
		status = complain(LWCTL_FAILED, "the supervisor's answer cannot be read");
	lw_buf_done(&job.reply.body);
	json_decref(job.answer);
	lw_free(job.socket);
	lw_free(room);
	return status;
}
