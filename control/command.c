/* command.c - the verbs: one table, and what each asks of the supervisor.
 *
 * Called by main(). From the table come dispatch, arity, the options a verb takes, and help.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "lw_statedir.h"
#include "lwctl.h"

#define READ_SECONDS 30.0 /* for an answer that needs no waiting */

/* A command line on its way through. */
struct job {
	struct options options;
	const char *verb;
	const char *const *words; /* behind the verb */
	size_t word_count;
	char *socket;
	struct reply reply;
};

/* clang-format off */
#define STEER (OPT_WAIT | OPT_NO_WAIT | OPT_TIMEOUT)
/*        verb      arguments          min max options                does      sentence */
#define COMMANDS(C)                                                                                               \
	C(status,   "[WORK]",          0, 1,  OPT_TIMEOUT,           status,   "show the app and every work, or one")      \
	C(works,    "",                0, 0,  OPT_TIMEOUT,           works,    "show every work")                          \
	C(start,    "WORK",            1, 1,  STEER,                 steer,    "start a stopped work")                     \
	C(stop,     "WORK",            1, 1,  STEER,                 steer,    "stop a work until start or restart")       \
	C(restart,  "WORK",            1, 1,  STEER,                 steer,    "end the processes of a work and start new ones; its run begins again") \
	C(kill,     "WORK",            1, 1,  STEER,                 steer,    "kill the processes of a work; its run is stopped") \
	C(run,      "WORK [ARGS...]",  1, -1, STEER,                 run,      "make a call; --wait: and wait for its run") \
	C(retry,    "WORK [ARGS...]",  1, -1, OPT_ALL | OPT_TIMEOUT, calls,    "run again a call that failed or was stopped") \
	C(forget,   "WORK [ARGS...]",  1, -1, OPT_ALL | OPT_TIMEOUT, calls,    "forget a call, so that it runs again")     \
	C(explain,  "WORK [ARGS...]",  1, -1, OPT_TIMEOUT,           explain,  "what a call would do, and why")            \
	C(runs,     "[WORK]",          0, 1,  OPT_LIMIT | OPT_TIMEOUT, runs,   "show the latest runs of a work, or of each") \
	C(show,     "ID",              1, 1,  OPT_TIMEOUT,           show,     "show one run")                             \
	C(state,    "[PATCH]",         0, -1, OPT_TIMEOUT,           state,    "show the flow's state, or change it: JSON merge patch or name=value") \
	C(shutdown, "",                0, 0,  STEER,                 shutdown, "stop the works, then the app")             \
	C(help,     "[VERB]",          0, 1,  0,                     help,     "show the verbs, or one")
/* clang-format on */

static int do_status(struct job *job);
static int do_works(struct job *job);
static int do_steer(struct job *job);
static int do_run(struct job *job);
static int do_calls(struct job *job);
static int do_explain(struct job *job);
static int do_runs(struct job *job);
static int do_show(struct job *job);
static int do_state(struct job *job);
static int do_shutdown(struct job *job);
static int do_help(struct job *job);

#define ROW(verb, arguments, min, max, options, does, sentence)                                    \
	{ #verb, arguments, min, max, options, do_##does, sentence },
static const struct command {
	const char *verb;
	const char *arguments;
	int min, max; /* max -1: any number */
	int options;
	int (*act)(struct job *job);
	const char *sentence;
} commands[] = { COMMANDS(ROW) };
#undef ROW

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
		size_t far = distance(verb, commands[i].verb);

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

/* --socket; -c and --state-dir by the rule; LW_CONTROL; app.conf in the current folder. */
static int find_socket(struct job *job, struct lw_err *err)
{
	const struct options *options = &job->options;
	const char *control = getenv("LW_CONTROL");
	const char *conf = options->conf != NULL ? options->conf : "app.conf";
	LW_AUTO(lw_free)
	char *dir = NULL;
	int r;

	if (options->socket != NULL) {
		job->socket = lw_strdup(options->socket);
		return 0;
	}
	if (options->conf == NULL && options->state_dir == NULL && control != NULL &&
	    control[0] != '\0') {
		job->socket = lw_strdup(control);
		return 0;
	}
	r = lw_statedir_find(conf, options->state_dir, &dir, err);
	if (r < 0)
		return r;
	job->socket = lw_format("%s/%s", dir, LW_CONTROL_SOCKET);
	return 0;
}

static int complain_nobody(const struct job *job, int r, const struct lw_err *err)
{
	const struct options *options = &job->options;
	const char *control = getenv("LW_CONTROL");
	bool by_folder = options->conf == NULL && options->socket == NULL &&
			 options->state_dir == NULL && (control == NULL || control[0] == '\0');

	if (r != -ENOENT && r != -ECONNREFUSED)
		return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
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
	const char *goes_on = strcmp(job->verb, "run") == 0 ? "; the run goes on" : "";

	if (r == -EINTR)
		return complain(LWCTL_INTERRUPTED, "interrupted%s", goes_on);
	if (r == -ETIMEDOUT)
		return complain(LWCTL_FAILED, "%s%s", err->text, goes_on);
	if (r == -EPIPE)
		return complain(LWCTL_NO_SUPERVISOR, "%s", err->text);
	return complain_nobody(job, r, err);
}

/* The supervisor's sentence to standard error, its JSON to standard output if that is wanted. */
static int complain_refused(const struct job *job)
{
	json_t *body = json_loads((const char *)job->reply.body.data, 0, NULL);
	const json_t *error = json_object_get(body, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (given(job, OPT_JSON))
		(void)fputs((const char *)job->reply.body.data, stdout);
	if (message == NULL)
		(void)complain(0, "the supervisor answers with status %d", job->reply.status);
	else
		(void)complain(0, "%s%s%s%s", message, hint != NULL ? " (" : "",
			       hint != NULL ? hint : "", hint != NULL ? ")" : "");
	json_decref(body);
	return LWCTL_FAILED;
}

/* 0 and job->reply, or an exit status after it was complained of. */
static int ask(struct job *job, const char *method, const char *path, const json_t *body,
	       double timeout)
{
	struct lw_err err = { 0 };
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	int r;

	if (given(job, OPT_TIMEOUT))
		timeout = job->options.timeout;
	lw_buf_done(&job->reply.body);
	if (job->socket == NULL && find_socket(job, &err) < 0) {
		free(text);
		return complain(LWCTL_NO_SUPERVISOR, "%s", err.text);
	}
	r = client_ask(job->socket, method, path, text, timeout, &job->reply, &err);
	free(text);
	if (r < 0 && r == -EPIPE && strcmp(job->verb, "shutdown") == 0)
		return LWCTL_DONE; /* it ended: that was what we asked for */
	if (r < 0)
		return complain_ask(job, r, &err);
	return job->reply.status == 200 ? LWCTL_DONE : complain_refused(job);
}

static int get(struct job *job, const char *path)
{
	return ask(job, "GET", path, NULL, READ_SECONDS);
}

/* /api/v1/works/WORK/verb */
static char *work_path(const struct job *job, const char *verb, const char *query)
{
	LW_AUTO(lw_free)
	char *name = client_encode(job->words[0]);

	return lw_format("/api/v1/works/%s%s%s%s", name, verb[0] != '\0' ? "/" : "", verb, query);
}

static int pass_through(const struct job *job)
{
	(void)fwrite(job->reply.body.data, 1, job->reply.body.size, stdout);
	return LWCTL_DONE;
}

static json_t *parsed(const struct job *job)
{
	return json_loadb((const char *)job->reply.body.data, job->reply.body.size, 0, NULL);
}

/* ---- verbs ---------------------------------------------------------------------------------------- */

static int show_works(struct job *job, const char *path)
{
	LW_AUTO(lw_free)
	char *brief = lw_format("%s?brief=1", path);
	struct screen screen = screen_of(stdout);
	int status = get(job, given(job, OPT_JSON) ? path : brief);
	json_t *body;

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	print_status(&screen, json_object_get(body, "app"), json_object_get(body, "works"));
	json_decref(body);
	return LWCTL_DONE;
}

static int show_work(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = work_path(job, "", "");
	struct screen screen = screen_of(stdout);
	int status = get(job, path);
	json_t *body;

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	print_work(&screen, body);
	json_decref(body);
	return LWCTL_DONE;
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
	json_t *body;

	client_catch_interrupt();
	status = ask(job, "POST", path, NULL, 0);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	print_work(&screen, body);
	json_decref(body);
	return LWCTL_DONE;
}

/* The call behind the name of the work; false after it was complained of. */
static bool get_call(const struct job *job, json_t **ret_body)
{
	struct lw_err err = { 0 };

	if (call_parse(job->words + 1, job->word_count - 1, ret_body, &err) == 0)
		return true;
	(void)complain(0, "%s", err.text);
	return false;
}

static int run_verdict(const struct job *job, const json_t *run)
{
	const char *stage = json_string_value(json_object_get(run, "stage"));

	if (!given(job, OPT_WAIT))
		return LWCTL_DONE;
	return stage != NULL && strcmp(stage, "succeeded") == 0 ? LWCTL_DONE : LWCTL_FAILED;
}

static int do_run(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = work_path(job, "run", given(job, OPT_WAIT) ? "" : "?wait=false");
	struct screen screen = screen_of(stdout);
	json_t *body;
	int status;

	if (!get_call(job, &body))
		return LWCTL_USAGE;
	client_catch_interrupt();
	status = ask(job, "POST", path, body, given(job, OPT_WAIT) ? 0 : READ_SECONDS);
	json_decref(body);
	if (status != LWCTL_DONE)
		return status;
	body = parsed(job);
	if (given(job, OPT_JSON))
		(void)pass_through(job);
	else
		print_run(&screen, body);
	status = run_verdict(job, body);
	json_decref(body);
	return status;
}

/* retry and forget */
static int do_calls(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = work_path(job, job->verb, "");
	json_t *body;
	json_int_t count;
	int status;

	if (given(job, OPT_ALL) == (job->word_count > 1))
		return complain(LWCTL_USAGE,
				"%s takes either the arguments of the call ('[]' when it has none) "
				"or --all",
				job->verb);
	if (!get_call(job, &body))
		return LWCTL_USAGE;
	if (body == NULL)
		body = json_pack("{s:b}", "all", 1);
	status = ask(job, "POST", path, body, READ_SECONDS);
	json_decref(body);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	count = json_integer_value(json_object_get(body, "calls"));
	(void)printf("%s: %" JSON_INTEGER_FORMAT " %s\n", job->verb, count,
		     count == 1 ? "call" : "calls");
	json_decref(body);
	return LWCTL_DONE;
}

static int do_explain(struct job *job)
{
	LW_AUTO(lw_free)
	char *path = work_path(job, "explain", "");
	json_t *body;
	int status;

	if (!get_call(job, &body))
		return LWCTL_USAGE;
	status = ask(job, "POST", path, body, READ_SECONDS);
	json_decref(body);
	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	(void)printf("%s\n", json_string_value(json_object_get(body, "reason")));
	json_decref(body);
	return LWCTL_DONE;
}

static int show_runs(struct job *job)
{
	LW_AUTO(lw_free)
	char *query = lw_format("?limit=%ld", given(job, OPT_LIMIT) ? job->options.limit : 20L);
	LW_AUTO(lw_free)
	char *path = work_path(job, "runs", query);
	struct screen screen = screen_of(stdout);
	int status = get(job, path);
	json_t *body;

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	print_runs(&screen, json_object_get(body, "runs"));
	json_decref(body);
	return LWCTL_DONE;
}

/* Without a name: of each work, one after the other; with --json a line each. */
static int do_runs(struct job *job)
{
	json_t *body;
	const json_t *work;
	size_t i;
	int status;

	if (job->word_count > 0)
		return show_runs(job);
	status = get(job, "/api/v1/works?brief=1");
	if (status != LWCTL_DONE)
		return status;
	body = parsed(job);
	json_array_foreach(json_object_get(body, "works"), i, work)
	{
		const char *name = json_string_value(json_object_get(work, "name"));

		if (name == NULL || status != LWCTL_DONE)
			continue;
		if (!given(job, OPT_JSON))
			(void)printf("%s%s\n", i > 0 ? "\n" : "", name);
		job->words = &name;
		job->word_count = 1;
		status = show_runs(job);
	}
	job->words = NULL;
	job->word_count = 0;
	json_decref(body);
	return status;
}

static int do_show(struct job *job)
{
	LW_AUTO(lw_free)
	char *id = client_encode(job->words[0]);
	LW_AUTO(lw_free)
	char *path = lw_format("/api/v1/runs/%s", id);
	struct screen screen = screen_of(stdout);
	int status = get(job, path);
	json_t *body;

	if (status != LWCTL_DONE)
		return status;
	if (given(job, OPT_JSON))
		return pass_through(job);
	body = parsed(job);
	print_run(&screen, body);
	json_decref(body);
	return LWCTL_DONE;
}

static int do_state(struct job *job)
{
	struct lw_err err = { 0 };
	json_t *call = NULL;
	int status;

	if (call_parse(job->words, job->word_count, &call, &err) < 0)
		return complain(LWCTL_USAGE, "%s", err.text);
	if (json_object_get(call, "args") != NULL) {
		json_decref(call);
		return complain(LWCTL_USAGE, "a patch is a JSON object, or name=value");
	}
	status = call == NULL ? get(job, "/api/v1/state")
			      : ask(job, "PATCH", "/api/v1/state", json_object_get(call, "kwargs"),
				    READ_SECONDS);
	json_decref(call);
	return status == LWCTL_DONE ? pass_through(job) : status;
}

static int do_shutdown(struct job *job)
{
	int status;

	client_catch_interrupt();
	status = ask(job, "POST",
		     given(job, OPT_NO_WAIT) ? "/api/v1/app/stop?wait=false" : "/api/v1/app/stop",
		     NULL, 0);
	if (status == LWCTL_DONE && given(job, OPT_JSON) && job->reply.body.size > 0)
		return pass_through(job);
	return status;
}

/* ---- help ------------------------------------------------------------------------------------------- */

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
		(void)fprintf(out, "  %-23s %s\n", usage, commands[i].sentence);
	}
	(void)fputs("\nARGS of a call: a JSON list is positional, a JSON object named, name=value "
		    "named.\n\n",
		    out);
	options_help(out, ~0);
	(void)fputs("\nThe app is found by --socket, -c, --state-dir, LW_CONTROL, or the app.conf "
		    "in this folder.\n"
		    "Exit status: 0 done, 1 refused or failed, 2 usage, 3 no supervisor, 130 "
		    "interrupted.\n",
		    out);
	return LWCTL_DONE;
}

static int help_one(const struct command *command)
{
	(void)printf("usage: lwctl %s%s%s\n\n%s\n\n", command->verb,
		     command->arguments[0] != '\0' ? " " : "", command->arguments,
		     command->sentence);
	options_help(stdout, command->options | OPT_EVERYWHERE);
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

static int check_arity(const struct command *command, const struct job *job)
{
	bool few = job->word_count < (size_t)command->min;
	bool many = command->max >= 0 && job->word_count > (size_t)command->max;
	int odd = job->options.given & ~(command->options | OPT_EVERYWHERE);

	if (few || many)
		return complain(LWCTL_USAGE, "too %s arguments (usage: lwctl %s%s%s)",
				few ? "few" : "many", command->verb,
				command->arguments[0] != '\0' ? " " : "", command->arguments);
	if (odd != 0)
		return complain(LWCTL_USAGE,
				"an option does not belong to '%s' (see lwctl help %s)",
				command->verb, command->verb);
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
	lw_buf_done(&job.reply.body);
	lw_free(job.socket);
	lw_free(room);
	return status;
}
