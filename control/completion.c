/* completion.c - what may stand where the cursor is, for bash and zsh.
 *
 * Called by command.c. The scripts hold no lists: they ask `lwctl completion candidates` with the
 * words up to the cursor, which looks at the tables of verbs and options and asks the supervisor
 * for names and numbers. Whatever is wrong, the answer is nothing, as somebody is in the middle of a
 * line.
 */
#include <signal.h>
#include <string.h>

#include "answer.h"
#include "lwctl.h"

#define PATIENCE   1.0 /* seconds for the supervisor's answer */
#define RUNS_GIVEN 100
#define FILES      "/" /* instead of candidates: the names of files, which the shell knows best */

static const char bash_script[] =
	"# lwctl in bash: source <(lwctl completion bash)\n"
	"_lwctl() {\n"
	"  local word typed=${COMP_WORDS[COMP_CWORD]}\n"
	"  [[ $typed == \\'* ]] || typed=${typed//\\\\?/}\n"
	"  local -a words=()\n"
	"  for word in \"${COMP_WORDS[@]:1:COMP_CWORD}\"; do\n"
	"    words+=(\"${word//[\\\\\\'\\\"]/}\")\n"
	"  done\n"
	"  COMPREPLY=()\n"
	"  while IFS=$'\\t' read -r word _; do\n"
	"    if [[ $word == " FILES " ]]; then\n"
	"      compopt -o filenames 2>/dev/null\n"
	"      mapfile -t COMPREPLY < <(compgen -f -- \"${words[COMP_CWORD - 1]#=}\")\n"
	"      continue\n"
	"    fi\n"
	"    case $typed in # behind an open quote only what means nothing there, as it stays\n"
	"      \\'*\\'* | \\\"*\\\"* | [!\\'\\\"]*[\\'\\\"]*) continue ;;\n"
	"      \\'*) [[ $word == *\\'* ]] && continue ;;\n"
	"      \\\"*) [[ $word == *[\\\"\\\\\\$\\`!]* ]] && continue ;;\n"
	"      *) printf -v word %q \"$word\" ;;\n"
	"    esac\n"
	"    COMPREPLY+=(\"$word\")\n"
	"  done < <(\"${COMP_WORDS[0]/#\\~/$HOME}\" completion candidates -- \"${words[@]}\" "
	"2>/dev/null)\n"
	"}\n"
	"complete -F _lwctl lwctl\n";

static const char zsh_script[] =
	"#compdef lwctl\n"
	"# lwctl in zsh: a file _lwctl in $fpath, or: source <(lwctl completion zsh)\n"
	"_lwctl() {\n"
	"  local line\n"
	"  local -a found shown\n"
	"  for line in \"${(@f)$(\"${(Q)words[1]/#\\~/$HOME}\" completion candidates -- \\\n"
	"      \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
	"    if [[ $line == " FILES " ]]; then\n"
	"      _files\n"
	"    elif [[ -n $line ]]; then\n"
	"      found+=(\"${line%%$'\\t'*}\")\n"
	"      shown+=(\"${line/$'\\t'/  -- }\")\n"
	"    fi\n"
	"  done\n"
	"  (( $#found )) && compadd -l -d shown -a found\n"
	"}\n"
	"if [[ ${funcstack[1]} == _lwctl ]]; then\n"
	"  _lwctl \"$@\"\n"
	"else\n"
	"  compdef _lwctl lwctl\n"
	"fi\n";

bool completion_script(const char *shell, FILE *out)
{
	bool bash = strcmp(shell, "bash") == 0;

	if (!bash && strcmp(shell, "zsh") != 0)
		return false;
	(void)fputs(bash ? bash_script : zsh_script, out);
	return true;
}

/* ---- candidates ------------------------------------------------------------------------------ */

struct asking {
	struct options options; /* of the words before the one that is typed */
	const char *typed;      /* so far */
	const char *before;     /* stands before each candidate: "--stage=" */
	FILE *out;
};

/* One line: the candidate, a tab, and what it is. */
static void offer(const struct asking *asking, const char *word, const char *sentence)
{
	if (strncmp(word, asking->typed, strlen(asking->typed)) != 0 ||
	    word[strcspn(word, "\t\r\n")] != '\0')
		return;
	(void)fprintf(asking->out, "%s%s\t%s\n", asking->before, word, sentence);
}

/* The answer to a request, or NULL; the caller's. */
static json_t *ask(const struct asking *asking, const char *path)
{
	LW_AUTO(lw_free) char *socket = NULL;
	struct reply reply = { 0 };
	json_t *answer = NULL;

	if (client_find(&asking->options, &socket, NULL) < 0)
		return NULL;
	if (client_ask(socket, "GET", path, NULL, PATIENCE, NULL, &reply, NULL) == 0 &&
	    reply.status == 200)
		answer =
			json_loadb((const char *)reply.body.data, reply.body.size, JSON_READ, NULL);
	lw_buf_done(&reply.body);
	return answer;
}

static void offer_works(const struct asking *asking)
{
	json_t *answer = ask(asking, "/api/v1/works?brief=true");
	const json_t *work;
	size_t i;

	json_array_foreach(json_object_get(answer, "works"), i, work)
	{
		offer(asking, string_at(work, 0), string_at(work, 1));
	}
	json_decref(answer);
}

static void offer_runs(const struct asking *asking)
{
	LW_AUTO(lw_free) char *path = lw_format("/api/v1/runs?limit=%d", RUNS_GIVEN);
	json_t *answer = ask(asking, path);
	const json_t *run;
	size_t i;

	json_array_foreach(json_object_get(answer, "runs"), i, run)
	{
		LW_AUTO(lw_free)
		char *id = lw_format("%lld",
				     (long long)json_integer_value(json_object_get(run, "id")));
		LW_AUTO_BUF sentence = { 0 };

		print_clean(&sentence, text_in(run, "work"));
		lw_buf_printf(&sentence, ", %s", text_in(run, "stage"));
		offer(asking, id, lw_buf_text(&sentence));
	}
	json_decref(answer);
}

static void offer_verbs(const struct asking *asking)
{
	struct verb verb;

	for (size_t i = 0; verb_at(i, &verb); i++)
		offer(asking, verb.name, verb.sentence);
}

static void offer_stages(const struct asking *asking)
{
	for (size_t i = 0; option_stages[i] != NULL; i++)
		offer(asking, option_stages[i], "");
}

static void offer_signals(const struct asking *asking)
{
	for (int i = 1; i <= SIGSYS; i++)
		if (sigabbrev_np(i) != NULL)
			offer(asking, sigabbrev_np(i), sigdescr_np(i));
}

static void offer_shells(const struct asking *asking)
{
	offer(asking, "bash", "");
	offer(asking, "zsh", "");
}

static void offer_files(const struct asking *asking)
{
	(void)fputs(FILES "\n", asking->out);
}

/* "out|err" */
static void offer_each(const struct asking *asking, const char *words)
{
	for (; *words != '\0'; words += strcspn(words, "|"), words += *words == '|') {
		LW_AUTO(lw_free) char *word = lw_strndup(words, strcspn(words, "|"));

		offer(asking, word, "");
	}
}

/* By what the tables of verbs and options call it. Of anything else nothing is known. */
static void offer_values(const struct asking *asking, const char *name)
{
	/* clang-format off */
	static const struct {
		const char *name;
		void (*offer)(const struct asking *asking);
	} sources[] = {
		{ "WORK",     offer_works },
		{ "ID",       offer_runs },
		{ "VERB",     offer_verbs },
		{ "STAGE",    offer_stages },
		{ "SIGNAL",   offer_signals },
		{ "SHELL",    offer_shells },
		{ "FILE",     offer_files },
		{ "PATH",     offer_files },
		{ "DIR",      offer_files },
		{ "app.conf", offer_files },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(sources); i++)
		if (strcmp(sources[i].name, name) == 0)
			sources[i].offer(asking);
	if (strchr(name, '|') != NULL)
		offer_each(asking, name);
}

static bool find_verb(const struct asking *asking, struct verb *ret_verb)
{
	for (size_t i = 0; verb_at(i, ret_verb); i++)
		if (strcmp(ret_verb->name, asking->options.words[0]) == 0)
			return true;
	return false;
}

static void offer_options(const struct asking *asking)
{
	struct verb verb = { .options = ~0 };

	if (asking->options.word_count > 0 && !find_verb(asking, &verb))
		return;
	for (const struct option_row *row = option_rows; row->name != NULL; row++) {
		LW_AUTO(lw_free) char *name = lw_format("--%s", row->name);

		if ((row->bit & (verb.options | OPT_EVERYWHERE)) != 0)
			offer(asking, name, row->sentence);
	}
}

/* The n-th of "WORK [ARGS...]", without its brackets and dots. */
static char *placeholder(const char *arguments, size_t n)
{
	for (; n > 0 && *arguments != '\0'; n--) {
		arguments += strcspn(arguments, " ");
		arguments += strspn(arguments, " ");
	}
	arguments += strspn(arguments, "[");
	return lw_strndup(arguments, strcspn(arguments, " ].["));
}

static void offer_arguments(const struct asking *asking)
{
	LW_AUTO(lw_free) char *name = NULL;
	struct verb verb;

	if (!find_verb(asking, &verb))
		return;
	name = placeholder(verb.arguments, asking->options.word_count - 1);
	offer_values(asking, name);
}

/* The option whose value is typed, or NULL: behind it, or, with *ret_value, in the same word. */
static const struct option_row *open_option(const char *const *words, size_t count,
					    const char **ret_value)
{
	const struct option_row *row = option_find(words[count - 1], ret_value);

	if (row != NULL && *ret_value != NULL && words[count - 1][1] == '-')
		return row->argument != NULL ? row : NULL;
	*ret_value = NULL;
	row = count > 1 ? option_find(words[count - 2], ret_value) : NULL;
	return row != NULL && row->argument != NULL && *ret_value == NULL ? row : NULL;
}

static bool has_ended(const char *const *words, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++)
		if (strcmp(words[i], "--") == 0)
			return true;
	return false;
}

/* Before the first word lies the program's, which is not looked at; `room` is for the options' words. */
static void offer_for(struct asking *asking, const char *const *words, size_t count,
		      const char **room)
{
	bool ended = has_ended(words, count);
	const char *value = NULL;
	const struct option_row *open = ended ? NULL : open_option(words, count, &value);
	size_t whole = count - 1 - (open != NULL && value == NULL);
	LW_AUTO(lw_free) char *before = NULL;

	if (options_parse((int)whole + 1, words - 1, room, &asking->options, NULL) < 0)
		return;
	asking->typed = value != NULL ? value : words[count - 1];
	if (value != NULL)
		asking->before = before =
			lw_strndup(words[count - 1], (size_t)(value - words[count - 1]));
	if (open != NULL)
		offer_values(asking, open->argument);
	else if (!ended && asking->typed[0] == '-')
		offer_options(asking);
	else if (asking->options.word_count == 0)
		offer_verbs(asking);
	else
		offer_arguments(asking);
}

/* Bash makes three words of "--stage=failed". */
void completion_candidates(const char *const *words, size_t count, FILE *out)
{
	struct asking asking = { .before = "", .out = out };
	const char **kept = lw_alloc(2 * (count + 1) * sizeof(*kept));
	size_t kept_count = 0;

	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], "=") != 0)
			kept[++kept_count] = words[i];
		else if (i + 1 == count)
			kept[++kept_count] = "";
	if (kept_count > 0)
		offer_for(&asking, kept + 1, kept_count, kept + count + 1);
	lw_free(kept);
}
