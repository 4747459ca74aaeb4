/* rig.c - the table of tests, failing, and what is kept until a test ends. See rig.h. */
#include "rig_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TESTS_MAX 256

static struct {
	const char *name;
	void (*test)(void);
} tests[TESTS_MAX];
static size_t test_count;

static struct {
	void **blocks;
	size_t count;
	json_t **jsons;
	size_t json_count;
} kept;

void rig_test_add(const char *name, void (*test)(void))
{
	if (test_count == TESTS_MAX)
		lw_fatal("more than %d tests in one driver", TESTS_MAX);
	tests[test_count].name = name;
	tests[test_count++].test = test;
}

void *rig_keep(void *block)
{
	kept.blocks = lw_realloc(kept.blocks, (kept.count + 1) * sizeof(*kept.blocks));
	return kept.blocks[kept.count++] = block;
}

json_t *rig_keep_json(json_t *json)
{
	kept.jsons = lw_realloc(kept.jsons, (kept.json_count + 1) * sizeof(json_t *));
	return kept.jsons[kept.json_count++] = json;
}

static void kept_end(void)
{
	for (size_t i = 0; i < kept.count; i++)
		free(kept.blocks[i]);
	for (size_t i = 0; i < kept.json_count; i++)
		json_decref(kept.jsons[i]);
	free(kept.blocks);
	free(kept.jsons);
	memset(&kept, 0, sizeof(kept));
}

const char *rig_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		lw_fatal("out of memory");
	va_end(args);
	return rig_keep(text);
}

double rig_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double rig_deadline(void)
{
	const char *seconds = getenv("LW_RIG_SECONDS");

	return rig_now() + (seconds != NULL ? atof(seconds) : 20.0);
}

void rig_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	rig_procs_transcript();
	rig_no_fault();
	rig_procs_end();
	rig_folder_end();
	fflush(NULL);
	_exit(1); /* what is kept is no leak */
}

void rig_anew(void)
{
	rig_no_fault();
	rig_procs_end();
	rig_folder_end();
	kept_end();
}

static int run_test(void (*test)(void *), void *context)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		lw_fatal("cannot become a sub-reaper: %s", strerror(errno));
	/* What ctest, or a shell, happens to have open is none of the programs' business. */
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	unsetenv("LW_STATE_DIR");
	unsetenv("STATE_DIRECTORY");
	unsetenv("LW_CONTROL");
	unsetenv("NOTIFY_SOCKET");
	test(context);
	rig_anew();
	return 0;
}

bool rig_apart(void (*test)(void *), void *context)
{
	pid_t pid;
	int status = 0;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exit(run_test(test, context));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		lw_fatal("cannot fork: %s", strerror(errno));
	return status == 0;
}

static void run_nth(void *n)
{
	tests[*(size_t *)n].test();
}

/* In a process of its own, as ctest does it. */
static int run_apart(size_t n)
{
	bool ok = rig_apart(run_nth, &n);

	printf("%s %s\n", ok ? "ok    " : "FAILED", tests[n].name);
	fflush(stdout);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (size_t i = 0; i < test_count; i++) {
		if (argc < 2)
			failed += run_apart(i);
		else if (strcmp(argv[1], "--list") == 0)
			puts(tests[i].name);
		else if (strcmp(argv[1], tests[i].name) == 0)
			return run_test(run_nth, &i);
	}
	if (argc >= 2 && strcmp(argv[1], "--list") != 0)
		lw_fatal("no test '%s'", argv[1]);
	return failed > 0;
}
