/* e2e_completion.c - lwctl's command line is completed: in a real bash, and in a zsh if there is one.
 * Run by ctest. */
#include "rig.h"

#include <stdio.h>
#include <unistd.h>

/* Bash: sets what readline would, calls the function, prints what it found, each in < >. */
#define IN_BASH                                                                                    \
	"source <(\"$LWCTL\" completion bash)\n"                                                   \
	"COMP_WORDS=(\"$LWCTL\" \"$@\") COMP_CWORD=$#\n"                                           \
	"_lwctl\n"                                                                                 \
	"printf '<%s>' \"${COMPREPLY[@]}\"\n"

/* Zsh: the same with its variables; compadd and _files work only while a line is edited. */
#define IN_ZSH                                                                                     \
	"compdef() { }\n"                                                                          \
	"compadd() { printf '<%s>' \"${found[@]}\" }\n"                                            \
	"_files() { printf '<files>' }\n"                                                          \
	"source <(\"$LWCTL\" completion zsh)\n"                                                    \
	"words=(\"$LWCTL\" \"$@\") CURRENT=$(( $# + 1 ))\n"                                        \
	"_lwctl\n"

static const char *completed_in(const char *shell, const char *script, const char *const *words)
{
	const char *argv[16] = { shell, "-c", script, shell };
	size_t count = 4;
	struct rig_proc *proc;

	if (strcmp(shell, "zsh") == 0)
		argv[1] = "-fc";
	while (*words != NULL)
		argv[count++] = *words++;
	setenv("LWCTL", LW_BIN "/lwctl", 1);
	proc = rig_spawnv((char *const *)argv);
	(void)rig_exit(proc);
	CHECK_TEXT(rig_text(proc, RIG_ERR), "");
	return rig_text(proc, RIG_OUT);
}

#define WORDS(...)      ((const char *const[]){ __VA_ARGS__, NULL })
#define COMPLETED(...)  completed_in("bash", IN_BASH, WORDS(__VA_ARGS__))
#define ZCOMPLETED(...) completed_in("zsh", IN_ZSH, WORDS(__VA_ARGS__))

/* Works with a name that no shell takes as it is, and two runs. */
static struct rig_proc *up(void)
{
	struct rig_proc *proc = rig_up("work 'train' { command = { 'true' }, parallel = true }\n"
				       "work 'tidy up' { command = { 'true' }, parallel = true }\n"
				       "function flow() end\n",
				       NULL);

	CHECK_INT(rig_ctl("run", "train", "[1]", "--wait", NULL).status, 0);
	CHECK_INT(rig_ctl("run", "train", "[2]", "--wait", NULL).status, 0);
	return proc;
}

TEST(bash_completes_verbs_options_and_their_values)
{
	CHECK_TEXT(COMPLETED("expl"), "<explain>");
	CHECK_TEXT(COMPLETED("--json", "expl"), "<explain>");
	CHECK_TEXT(COMPLETED("shutdown", "--k"), "<--keep-works>");
	CHECK_TEXT(COMPLETED("shutdown", "--li"), "<>");
	CHECK_TEXT(COMPLETED("--lim"), "<--limit>");
	CHECK_TEXT(COMPLETED("runs", "--stage", "f"), "<failed>");
	CHECK_TEXT(COMPLETED("runs", "--stage", "=", "s"), "<succeeded><stopped>");
	CHECK_TEXT(COMPLETED("runs", "--stage", "="),
		   "<pending><running><succeeded><failed><stopped>");
	CHECK_TEXT(COMPLETED("completion", ""), "<bash><zsh>");
	CHECK_TEXT(COMPLETED("signal", "any", "US"), "<USR1><USR2>");
	CHECK_TEXT(COMPLETED("logs", "--stream", ""), "<out><err>");
	CHECK_TEXT(COMPLETED("help", "forg"), "<forget>");
	CHECK_TEXT(COMPLETED("nonsense", ""), "<>");
	CHECK_TEXT(COMPLETED("--nonsense", "st"), "<>");
}

TEST(bash_completes_names_and_numbers_of_the_app_that_is_meant)
{
	struct rig_proc *proc = up();

	CHECK_TEXT(COMPLETED("stop", ""), "<train><tidy\\ up>");
	CHECK_TEXT(COMPLETED("stop", "tr"), "<train>");
	CHECK_TEXT(COMPLETED("stop", "tidy\\ "), "<tidy\\ up>");
	CHECK_TEXT(COMPLETED("stop", "'tidy u"), "<tidy up>");
	CHECK_TEXT(COMPLETED("stop", "\"tidy u"), "<tidy up>");
	CHECK_TEXT(COMPLETED("stop", "tidy' u"), "<>");
	CHECK_TEXT(COMPLETED("stop", "train", ""), "<>");
	CHECK_TEXT(COMPLETED("show", ""), "<2><1>");
	CHECK_TEXT(COMPLETED("runs", "--before", ""), "<2><1>");
	CHECK_TEXT(COMPLETED("-c", rig_path("app.conf"), "stop", "tr"), "<train>");
	CHECK_TEXT(COMPLETED("stop", "-c", rig_path("elsewhere.conf"), "tr"), "<>");
	rig_down(proc);
	CHECK_TEXT(COMPLETED("stop", ""), "<>"); /* and nothing is said of it */
}

/* \303\251 is no letter for a shell without a language: it would write $'...', which is no quote
 * within others. */
TEST(bash_offers_nothing_that_would_be_run_behind_an_open_quote)
{
	struct rig_proc *proc = rig_up("work '\303\251$(touch x)' { command = { 'true' } }\n"
				       "work \"\303\251'$(touch x)\" { command = { 'true' } }\n"
				       "function flow() end\n",
				       NULL);

	setenv("LC_ALL", "C", 1);
	CHECK_TEXT(COMPLETED("stop", "'"), "<\303\251$(touch x)>");
	CHECK_TEXT(COMPLETED("stop", "\""), "<>");
	CHECK_TEXT(COMPLETED("stop", "'\303\251'"), "<>");
	CHECK_TEXT(COMPLETED("stop", "'\303\251\\'"), "<>");
	CHECK_TEXT(COMPLETED("stop", "\303\251\\$"), "<$'\\303\\251$(touch x)'>");
	unsetenv("LC_ALL");
	rig_down(proc);
}

TEST(bash_completes_files)
{
	rig_write("one file", "");
	CHECK_TEXT(COMPLETED("backup", "one"), "<one file>"); /* bash quotes names of files */
	CHECK_TEXT(COMPLETED("-c", "one"), "<one file>");
	CHECK_TEXT(COMPLETED("status", "--config", "=", "one"), "<one file>");
}

TEST(zsh_completes_the_same)
{
	if (access("/usr/bin/zsh", X_OK) < 0 && access("/bin/zsh", X_OK) < 0) {
		printf("no zsh here: left out\n");
		return;
	}
	struct rig_proc *proc = up();

	CHECK_TEXT(ZCOMPLETED("expl"), "<explain>");
	CHECK_TEXT(ZCOMPLETED("shutdown", "--k"), "<--keep-works>");
	CHECK_TEXT(ZCOMPLETED("runs", "--stage=f"), "<--stage=failed>");
	CHECK_TEXT(ZCOMPLETED("stop", ""), "<train><tidy up>");
	CHECK_TEXT(ZCOMPLETED("stop", "tidy\\ "), "<tidy up>");
	CHECK_TEXT(ZCOMPLETED("backup", ""), "<files>");
	CHECK_TEXT(ZCOMPLETED("stop", "nobody"), "");
	rig_down(proc);
}

/* The line that bash itself has made, with its own readline, when the tab key was pressed. */
TEST(a_tab_completes_a_line)
{
	struct rig_proc *proc;

	rig_write("inputrc", "set bell-style none\nset enable-bracketed-paste off\n");
	rig_write("line", "PS1='$ '\nsource <(lwctl completion bash)\nlwctl expl\tx\n exit\n");
	setenv("INPUTRC", rig_path("inputrc"), 1);
	setenv("PATH", rig_format("%s:%s", LW_BIN, getenv("PATH")), 1);
	setenv("TERM", "dumb", 1);
	proc = rig_spawn(
		"sh", "-c",
		"SHELL=/bin/sh script -qec 'exec bash --norc --noprofile' /dev/null < line 2>&1",
		NULL);
	(void)rig_exit(proc);
	CHECK_HAS(rig_text(proc, RIG_OUT), "lwctl explain x");
}
