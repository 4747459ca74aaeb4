/* command.c - the table of the verbs: dispatch, arity, the options a verb takes, and help.
 *
 * Called by main(). The rows come from the table of requests (lw_requests.h).
 */
#include <string.h>

#include "job.h"
#include "lw_nearest.h"
#include "verbs.h"

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

static const char *next_verb(const void *context, size_t i)
{
	(void)context;
	return i < LW_COUNT(commands) ? commands[i].verb : NULL;
}

/* The one that begins like that, or the nearest. */
static const char *meant(const char *verb)
{
	for (size_t i = 0; verb[0] != '\0' && verb[1] != '\0' && i < LW_COUNT(commands); i++)
		if (strncmp(commands[i].verb, verb, strlen(verb)) == 0)
			return commands[i].verb;
	return lw_nearest(verb, next_verb, NULL);
}

static int complain_verb(const char *verb)
{
	const char *nearest = meant(verb);

	if (nearest == NULL)
		return complain(LWCTL_USAGE, "unknown verb '%s' (see lwctl help)", verb);
	return complain(LWCTL_USAGE, "unknown verb '%s' (did you mean '%s'?)", verb, nearest);
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
	if (job_given(job, OPT_JSON))
		return complain(LWCTL_USAGE, "what completion prints is for a shell, and no JSON");
	if (strcmp(job->words[0], "candidates") == 0)
		completion_candidates(job->words + 1, job->word_count - 1, stdout);
	else if (!completion_script(job->words[0], stdout))
		return complain(LWCTL_USAGE, "no completion for '%s', only for bash and zsh",
				job->words[0]);
	return LWCTL_DONE;
}

/* [{"verb": "run", "arguments": "WORK [ARGS...]", "sentence": "..."}, ...] */
static int help_json(void)
{
	json_t *verbs = json_array();

	for (size_t i = 0; i < LW_COUNT(commands); i++)
		(void)json_array_append_new(verbs, json_pack("{s: s, s: s, s: s}", "verb",
							     commands[i].verb, "arguments",
							     commands[i].arguments, "sentence",
							     commands[i].sentence));
	(void)json_dumpf(verbs, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	json_decref(verbs);
	return LWCTL_DONE;
}

static int do_help(struct job *job)
{
	const struct command *command;

	if (job->word_count == 0 && job_given(job, OPT_JSON))
		return help_json();

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

	if (job_given(job, OPT_VERSION)) {
		(void)puts(job_given(job, OPT_JSON) ? "{\"version\":\"" LW_VERSION "\"}"
						    : "lwctl " LW_VERSION);
		return LWCTL_DONE;
	}
	if (job->options.word_count == 0) {
		if (job_given(job, OPT_HELP))
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
	if (job_given(job, OPT_HELP))
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
	if (print_flush(&err) < 0) { /* what was to be said is lost: that comes first */
		(void)complain(LWCTL_FAILED, "%s", err.text);
		status = status == LWCTL_DONE ? LWCTL_FAILED : status;
	}
	if (job.unreadable && status == LWCTL_DONE)
		status = complain(LWCTL_FAILED, "the supervisor's answer cannot be read");
	lw_buf_done(&job.reply.body);
	json_decref(job.answer);
	lw_free(job.socket);
	lw_free(room);
	return status;
}
