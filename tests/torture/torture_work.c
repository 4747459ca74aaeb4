/* torture_work.c - the works of the torture: each execution writes down that it began and that it
 * ended (record.h). Started by lw-supervisor, or by lw-worker, as tests/torture/app.conf says.
 *
 *     torture_work serve LEAST MOST WINDOW [fail]    a program; a run takes LEAST to MOST ms
 *     torture_work command LEAST MOST N [EXTRA]      a command; EXTRA: `lines` prints numbered
 *                                                    lines, `leave` leaves a process behind
 *
 * With `fail` some of the executions fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lw_worker.h"
#include "record.h"

#define LINES      2000 /* of `lines` */
#define FAIL_EVERY 11   /* about so many executions of `fail` to a failure */

struct execution {
	const char *work;
	int64_t n;
	uint64_t run;
	unsigned attempt;
	int lock;
};

/* What the command line says. */
struct manner {
	int64_t least, most; /* ms */
	const char *extra;
};

static int record = -1, locks = -1;

static void give_up(const char *what)
{
	fprintf(stderr, "torture_work: %s: %s\n", what, strerror(errno));
	_exit(3);
}

static void open_files(const char *work)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/" TORTURE_RECORD, getenv("TORTURE"));
	record = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (record < 0)
		give_up(path);
	snprintf(path, sizeof(path), "%s/" TORTURE_LOCKS "/%s", getenv("TORTURE"), work);
	locks = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (locks < 0)
		give_up(path);
}

static void write_down(const struct execution *execution, const char *what)
{
	struct timespec now;
	char line[256];
	int size;

	clock_gettime(CLOCK_REALTIME, &now);
	size = snprintf(line, sizeof(line), "%s %s %" PRId64 " %" PRIu64 " %u %d %" PRId64 "\n",
			what, execution->work, execution->n, execution->run, execution->attempt,
			(int)getpid(), (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	if (write(record, line, (size_t)size) != size)
		give_up(TORTURE_RECORD);
}

static bool lock(short type, int64_t n)
{
	struct flock byte = { .l_type = type, .l_whence = SEEK_SET, .l_start = n, .l_len = 1 };

	return fcntl(locks, F_OFD_SETLK, &byte) == 0;
}

/* False: somebody executes this call already. */
static bool begin(const struct execution *execution)
{
	if (!lock(F_WRLCK, execution->n)) {
		write_down(execution, "second");
		return false;
	}
	write_down(execution, "begin");
	return true;
}

static void over(const struct execution *execution, const char *how)
{
	write_down(execution, how);
	lock(F_UNLCK, execution->n);
}

static void take_time(const struct execution *execution, const struct manner *manner)
{
	uint64_t chance = torture_mix((uint64_t)execution->n * 31 + execution->attempt);
	int64_t ms =
		manner->least + (int64_t)(chance % (uint64_t)(manner->most - manner->least + 1));
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static bool is_to_fail(const struct execution *execution, const struct manner *manner)
{
	return strcmp(manner->extra, "fail") == 0 && execution->n < TORTURE_LAST &&
	       torture_mix(execution->run * 131 + execution->attempt) % FAIL_EVERY == 0;
}

/* ---- a program ----------------------------------------------------------------------------- */

static int run(struct lw_run *handle, void *data)
{
	const struct execution execution = {
		.work = getenv("LW_WORK"),
		.n = lw_arg_int(handle, "n", -1),
		.run = lw_run_id(handle),
		.attempt = lw_run_attempt(handle),
	};

	if (!begin(&execution))
		return lw_fail(handle, "a second copy");
	lw_progress(handle, 0.5);
	take_time(&execution, data);
	if (is_to_fail(&execution, data)) {
		over(&execution, "fail");
		return lw_fail(handle, "on purpose");
	}
	lw_set_int(handle, "last", execution.n);
	lw_return_int(handle, torture_result(execution.n));
	over(&execution, "end");
	return 0;
}

/* ---- a command ------------------------------------------------------------------------------- */

static void print_lines(const struct execution *execution)
{
	for (int i = 1; i <= LINES; i++)
		printf("line %" PRIu64 " %u %d of %d\n", execution->run, execution->attempt, i,
		       LINES);
	fflush(stdout);
}

/* It has left parent, session and group, does not mind TERM, and holds the lock of the call. */
static void leave_one_behind(void)
{
	switch (fork()) {
	case -1:
		give_up("fork");
		break;
	case 0:
		setsid();
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	default:
		break;
	}
}

static int command(const struct manner *manner, const char *n)
{
	const char *id = getenv("LW_RUN_ID"), *attempt = getenv("LW_ATTEMPT");
	struct execution execution = { .work = getenv("LW_WORK"), .n = atoll(n) };

	if (id == NULL || attempt == NULL)
		return 2;
	execution.run = strtoull(id, NULL, 10);
	execution.attempt = (unsigned)atoi(attempt);
	open_files(execution.work);
	if (!begin(&execution))
		return 3;
	if (strcmp(manner->extra, "lines") == 0)
		print_lines(&execution);
	if (strcmp(manner->extra, "leave") == 0)
		leave_one_behind();
	take_time(&execution, manner);
	if (is_to_fail(&execution, manner)) {
		write_down(&execution, "fail");
		return 1;
	}
	dprintf(3, "{\"lw\": {\"result\": %" PRId64 "}}\n", torture_result(execution.n));
	write_down(&execution, "end");
	return 0; /* the lock goes with the last process that has it */
}

int main(int argc, char **argv)
{
	struct manner manner = { .extra = "" };

	if (getenv("TORTURE") == NULL || getenv("LW_WORK") == NULL || argc < 5)
		return 2;
	manner.least = atoll(argv[2]);
	manner.most = atoll(argv[3]);
	if (argc > 5)
		manner.extra = argv[5];
	if (strcmp(argv[1], "command") == 0)
		return command(&manner, argv[4]);
	open_files(getenv("LW_WORK"));
	return lw_work_main(&(struct lw_work){ .run = run, .window = (unsigned)atoi(argv[4]) },
			    &manner);
}
