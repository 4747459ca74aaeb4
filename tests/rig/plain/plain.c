/* plain.c - runs the tests of one file, each in a forked process. See criterion/criterion.h. */
#include "criterion/criterion.h"

#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#define TESTS_MAX  256
#define SUITES_MAX 16

static struct test {
	const char *suite, *name;
	void (*test)(void);
	const struct plain_options *options;
} tests[TESTS_MAX];
static struct {
	const char *name;
	const struct plain_options *options;
} suites[SUITES_MAX];
static size_t test_count, suite_count;
static bool failed; /* of the test in hand */

void plain_test_add(const char *suite, const char *name, void (*test)(void),
		    const struct plain_options *options)
{
	if (test_count == TESTS_MAX)
		abort();
	tests[test_count++] = (struct test){ suite, name, test, options };
}

void plain_suite_add(const char *suite, const struct plain_options *options)
{
	if (suite_count == SUITES_MAX)
		abort();
	suites[suite_count].name = suite;
	suites[suite_count++].options = options;
}

void plain_failed(bool fatal, const char *file, int line, const char *what, ...)
{
	va_list args;
	const char *format;

	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	va_start(args, what);
	format = va_arg(args, const char *);
	if (format != NULL && vfprintf(stderr, format, args) >= 0)
		fputc('\n', stderr);
	va_end(args);
	failed = true;
	if (fatal)
		exit(1);
}

void plain_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (skipped)\n", stderr);
	exit(0);
}

static const struct plain_options *suite_of(const struct test *test)
{
	static const struct plain_options none = { 0 };

	for (size_t i = 0; i < suite_count; i++) {
		if (strcmp(suites[i].name, test->suite) == 0)
			return suites[i].options;
	}
	return &none;
}

static void run(const struct test *test)
{
	const struct plain_options *suite = suite_of(test), *own = test->options;
	void (*init)(void) = own->init != NULL ? own->init : suite->init;
	void (*fini)(void) = own->fini != NULL ? own->fini : suite->fini;

	if (init != NULL)
		init();
	test->test();
	if (fini != NULL)
		fini();
	exit(failed ? 1 : 0);
}

/* True when it ended as it should. */
static bool run_apart(const struct test *test)
{
	pid_t pid;
	int status = 0;
	bool good;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		run(test);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	good = WIFEXITED(status) && WEXITSTATUS(status) == test->options->exit_code;
	if (!good)
		printf("FAILED %s::%s (line %d)\n", test->suite, test->name, test->options->line);
	return good;
}

int main(void)
{
	size_t bad = 0, left_out = 0;

	for (size_t i = 0; i < test_count; i++) {
		if (tests[i].options->disabled)
			left_out++;
		else
			bad += run_apart(&tests[i]) ? 0 : 1;
	}
	printf("%zu tests, %zu failed, %zu left out\n", test_count, bad, left_out);
	return bad > 0;
}
