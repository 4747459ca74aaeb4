/* main.c - lw-supervisor: options, then supervisor_run(). */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lw_log.h"
#include "lw_nearest.h"
#include "reader.h"
#include "supervisor.h"

static const char usage[] =
	"usage: lw-supervisor [OPTION...] APP.CONF\n"
	"Runs the flow of APP.CONF and its works, and nothing twice.\n"
	"\n"
	"  --check            only checks APP.CONF\n"
	"  --print-config     prints the settled app and works as JSON\n"
	"  --state-dir DIR    state directory (default: .lw/<file name> beside APP.CONF)\n"
	"  --drain            ends when the flow has nothing left to do: 0, or 1 if anything "
	"failed\n"
	"  --no-prefix        prints lines bare, without the name of their work\n"
	"  --log-level LEVEL  error, warning, info (default) or debug\n"
	"  --log-format FORM  its own lines as text (default) or json\n"
	"  --help             this text\n"
	"  --version          the version\n"
	"\n"
	"Exit status: 0 stopped, 1 the app failed (the reason last on standard error),\n"
	"2 bad usage or configuration, 3 another supervisor has the state directory.\n"
	"See it run with: lwctl -c APP.CONF status\n";

enum {
	CHECK = 256,
	PRINT_CONFIG,
	STATE_DIR,
	DRAIN,
	NO_PREFIX,
	LOG_LEVEL,
	LOG_FORMAT,
	HELP,
	VERSION
};

static const struct option table[] = {
	{ "check", no_argument, NULL, CHECK },
	{ "print-config", no_argument, NULL, PRINT_CONFIG },
	{ "state-dir", required_argument, NULL, STATE_DIR },
	{ "drain", no_argument, NULL, DRAIN },
	{ "no-prefix", no_argument, NULL, NO_PREFIX },
	{ "log-level", required_argument, NULL, LOG_LEVEL },
	{ "log-format", required_argument, NULL, LOG_FORMAT },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ NULL, 0, NULL, 0 },
};

/* `more`: what is known of it, in brackets. */
static int refuse_with(const char *what, const char *word, const char *more)
{
	fprintf(stderr, "lw-supervisor: %s%s%s%s%s\nTry 'lw-supervisor --help'.\n", what,
		word[0] != '\0' ? " '" : "", word, word[0] != '\0' ? "'" : "", more);
	return EXIT_USAGE;
}

static int refuse(const char *what, const char *word)
{
	return refuse_with(what, word, "");
}

static const char *next_option(const void *context, size_t i)
{
	(void)context;
	return table[i].name;
}

static int refuse_option(const char *word)
{
	bool is_long = strncmp(word, "--", 2) == 0;
	const char *nearest = is_long ? lw_nearest(word + 2, next_option, NULL) : NULL;
	char hint[60] = "";

	if (nearest != NULL)
		(void)snprintf(hint, sizeof(hint), " (did you mean '--%s'?)", nearest);
	return refuse_with("unknown option", word, hint);
}

/* -1: go on; else the exit status. `word` is what stood in the command line. */
static int take_option(int option, const char *word, struct options *options)
{
	switch (option) {
	case CHECK:
		options->check = true;
		return -1;
	case PRINT_CONFIG:
		options->print_config = true;
		return -1;
	case STATE_DIR:
		options->state_dir = optarg;
		return -1;
	case DRAIN:
		options->drain = true;
		return -1;
	case NO_PREFIX:
		options->no_prefix = true;
		return -1;
	case LOG_LEVEL:
		if (lw_log_level_parse(optarg) < 0)
			return refuse_with("unknown log level", optarg,
					   " (error, warning, info or debug)");
		lw_log_set_level((enum lw_log_level)lw_log_level_parse(optarg));
		return -1;
	case LOG_FORMAT:
		options->log_json = strcmp(optarg, "json") == 0;
		if (!options->log_json && strcmp(optarg, "text") != 0)
			return refuse_with("unknown log format", optarg, " (text or json)");
		return -1;
	case HELP:
		return fputs(usage, stdout) >= 0 ? EXIT_STOPPED : EXIT_APP;
	case VERSION:
		return puts("lw-supervisor " LW_VERSION) >= 0 ? EXIT_STOPPED : EXIT_APP;
	case ':':
		return refuse("a value is missing after", word);
	default:
		return refuse_option(word);
	}
}

/* Started with one of them closed, a socket of ours would be standard output. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	int option;

	open_standard_fds();
	if (argc == 2 && strcmp(argv[1], "--read-files") == 0) /* started by ourselves */
		return reader_main();
	while ((option = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		int status = take_option(option, argv[optind > 1 ? optind - 1 : 1], &options);

		if (status >= 0)
			return status;
	}
	if (optind == argc)
		return refuse("which APP.CONF?", "");
	if (argc - optind > 1)
		return refuse("one APP.CONF at a time; unexpected", argv[optind + 1]);
	options.conf = argv[optind];
	return supervisor_run(&options);
}
