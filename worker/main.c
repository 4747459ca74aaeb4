/* main.c - lw-worker's command line; see command.h for what it does. */
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
	"usage: lw-worker -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Runs COMMAND once for each run that lw-supervisor sends. Started by lw-supervisor for\n"
	"works with `command` in app.conf; of no use by hand.\n"
	"\n"
	"  {1} {name}   in an argument: the first positional, the named argument of the call;\n"
	"               without any of these all are appended (--name=value)\n"
	"  {{ }}        braces\n"
	"\n"
	"  --help       this text\n"
	"  --version    the version\n";

static int print(const char *text)
{
	return fputs(text, stdout) < 0 || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return print(usage);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return print("lw-worker " LW_VERSION "\n");
	if (argc < 3 || strcmp(argv[1], "--") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	return command_main(argv + 2);
}
