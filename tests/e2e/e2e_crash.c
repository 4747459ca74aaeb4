/* e2e_crash.c - the supervisor, a work's process, or both are killed (SIGKILL) at every point of a
 * run's life, and wherever else it hurts: a result is on record once, what succeeded is never run
 * again, and what nobody knows follows `lost`. Run by ctest, one test a process.
 *
 * Works write down what they execute (EXECUTIONS), so nobody's word is taken for it.
 */
#include "rig.h"

#include <signal.h>
#include <unistd.h>

#include "faults.h"

#define FLOW                                                                                       \
	"function flow()\n"                                                                        \
	"  local r = job:run{ act = 'gate' }\n"                                                    \
	"  if r.has_succeeded or r.has_failed then lw.stop('over') end\n"                          \
	"end\n"
#define COMMON                                                                                     \
	"parallel = true, raise_exception = false, retries = 2, retry_delay = 0.01,\n"             \
	"  env = { EXECUTIONS = lw.env('EXECUTIONS') }"

/* The same work as a program and as a command; both wait at the gate. */
static const struct kind {
	const char *name;
	const char *process; /* the file name of its process */
	const char *work;    /* how it begins in app.conf */
} kinds[] = {
	{ "a program", "fake_work", "work 'job' { program = { lw.env('FAKE'), 'serve' }, " COMMON },
	{ "a command", "lw-worker",
	  "work 'job' { command = { 'sh', '-c', 'echo $LW_RUN_ID $LW_ATTEMPT $PPID >>$EXECUTIONS;"
	  " exec head -c 1 gate' }, " COMMON },
};

/* Where who dies, and how often the run is executed then. */
struct point {
	const char *name;
	const char *who;  /* NULL: the work's process */
	const char *what; /* NULL: while it runs, by a signal of ours */
	size_t executions, at_most;
};

static size_t executions(void)
{
	const char *text = rig_read("executions");
	size_t lines = 0;

	for (; text != NULL && (text = strchr(text, '\n')) != NULL; text++)
		lines++;
	return lines;
}

static const char *conf_of(const struct kind *kind, const char *options)
{
	setenv("EXECUTIONS", rig_path("executions"), 1);
	return rig_format("%s, %s }\n" FLOW, kind->work, options);
}

static void begin_case(const struct kind *kind, const struct point *point)
{
	rig_anew();
	printf("%s, %s\n", kind->name, point->name);
	fflush(stdout);
	rig_gate("gate");
	if (point->what == NULL)
		return;
	rig_fault("%s %s", point->who != NULL ? point->who : kind->process, point->what);
	rig_open_gate("gate", point->at_most);
}

static pid_t process_of(const char *work)
{
	return (pid_t)rig_number(rig_work(work), "processes.0.pid");
}

static void check_point(const struct point *point)
{
	size_t count = executions();

	if (count < point->executions || count > point->at_most)
		rig_fail(__FILE__, __LINE__, "executed %zu times:\n%s", count,
			 rig_read("executions"));
	if (point->what != NULL)
		CHECK(rig_fault_happened());
	CHECK_INT(rig_children(), 0);
}

/* One run, which succeeded, and nothing is left of anybody. */
static void check_success(const struct point *point)
{
	check_point(point);
	CHECK_INT(rig_record("SELECT count(*) FROM runs"), 1);
	CHECK_INT(rig_record("SELECT count(*) FROM runs WHERE stage = 4"), 1);
	CHECK_INT(rig_record("SELECT count(*) FROM workers WHERE pid != 0"), 0);
}

/* ---- the supervisor alone: its works go on -------------------------------------------------- */

#define SUPERVISOR "lw-supervisor"

static const struct point deaths_of_supervisor[] = {
	{ "the supervisor dies before the run is sent", SUPERVISOR, "before send RUN 1 die", 1, 1 },
	{ "the supervisor dies when the run is sent", SUPERVISOR, "after send RUN 1 die", 1, 1 },
	{ "the supervisor dies while it runs", NULL, NULL, 1, 1 },
	{ "the supervisor dies when it has read the result", SUPERVISOR, "after readv RESULT 1 die",
	  1, 1 },
	{ "the supervisor dies when the result is on record", SUPERVISOR, "before send ACK 1 die",
	  1, 1 },
	{ "the supervisor dies when the result is acknowledged", SUPERVISOR, "after send ACK 1 die",
	  1, 1 },
};

static void without_supervisor(const struct kind *kind, const struct point *point)
{
	struct rig_proc *proc;

	begin_case(kind, point);
	proc = rig_supervisor(conf_of(kind, ""), NULL);
	if (point->what == NULL) {
		AWAIT(executions() == 1);
		rig_signal(proc, SIGKILL);
		rig_open_gate("gate", 1);
	}
	CHECK_INT(rig_exit(proc), -SIGKILL);
	rig_no_fault();
	proc = rig_supervisor(NULL, NULL);
	CHECK_INT(rig_exit(proc), 0);
	check_success(point);
	CHECK_INT(rig_record("SELECT attempt FROM runs"), 1);
}

TEST(a_run_of_a_program_survives_the_death_of_the_supervisor_at_every_point)
{
	for (size_t i = 0; i < LW_COUNT(deaths_of_supervisor); i++)
		without_supervisor(&kinds[0], &deaths_of_supervisor[i]);
}

TEST(a_run_of_a_command_survives_the_death_of_the_supervisor_at_every_point)
{
	for (size_t i = 0; i < LW_COUNT(deaths_of_supervisor); i++)
		without_supervisor(&kinds[1], &deaths_of_supervisor[i]);
}

/* ---- the process alone: a failure as any other, with retries --------------------------------- */

static const struct point deaths_of_process[] = {
	{ "the process dies before it begins", NULL, "after recv RUN 1 die", 1, 1 },
	{ "the process dies while it runs", NULL, NULL, 2, 2 },
	{ "the process dies before it sends the result", NULL, "before send RESULT 1 die", 2, 2 },
	{ "the process dies when it has sent the result", NULL, "after send RESULT 1 die", 1, 1 },
	{ "the process dies when the result is acknowledged", NULL, "after recv ACK 1 die", 1, 1 },
};

static void without_process(const struct kind *kind, const struct point *point)
{
	struct rig_proc *proc;

	begin_case(kind, point);
	proc = rig_supervisor(conf_of(kind, ""), NULL);
	if (point->what == NULL) {
		AWAIT(executions() == 1);
		rig_line(proc, RIG_OUT, "Your app has started.");
		kill(process_of("job"), SIGKILL);
		AWAIT(executions() == 2);
		rig_open_gate("gate", 1);
	}
	CHECK_INT(rig_exit(proc), 0);
	check_success(point);
}

TEST(a_run_of_a_program_survives_the_death_of_its_process_at_every_point)
{
	for (size_t i = 0; i < LW_COUNT(deaths_of_process); i++)
		without_process(&kinds[0], &deaths_of_process[i]);
}

TEST(a_run_of_a_command_survives_the_death_of_its_process_at_every_point)
{
	for (size_t i = 0; i < LW_COUNT(deaths_of_process); i++)
		without_process(&kinds[1], &deaths_of_process[i]);
}

/* ---- both at once: what became of it is on record, or nobody knows -------------------------------- */

static const struct point deaths_of_both[] = {
	{ "both die before the run is sent", SUPERVISOR, "before send RUN 1 die_both", 1, 1 },
	{ "both die when the run is sent", SUPERVISOR, "after send RUN 1 die_both", 1, 2 },
	{ "both die before it begins", NULL, "after recv RUN 1 die_both", 1, 1 },
	{ "both die while it runs", NULL, NULL, 2, 2 },
	{ "both die before the result is sent", NULL, "before send RESULT 1 die_both", 2, 2 },
	{ "both die when the result is sent", NULL, "after send RESULT 1 die_both", 1, 2 },
	{ "both die when the result is read", SUPERVISOR, "after readv RESULT 1 die_both", 2, 2 },
	{ "both die when the result is on record", SUPERVISOR, "before send ACK 1 die_both", 1, 1 },
	{ "both die when it is acknowledged", SUPERVISOR, "after send ACK 1 die_both", 1, 1 },
};

static void kill_both(struct rig_proc *proc)
{
	pid_t pid;

	AWAIT(executions() == 1);
	rig_line(proc, RIG_OUT, "Your app has started.");
	pid = process_of("job");
	rig_signal(proc, SIGSTOP); /* it sees nothing of it */
	kill(pid, SIGKILL);
	rig_signal(proc, SIGKILL);
}

static void without_both(const struct kind *kind, const struct point *point, const char *options)
{
	struct rig_proc *proc;

	begin_case(kind, point);
	proc = rig_supervisor(conf_of(kind, options), NULL);
	if (point->what == NULL)
		kill_both(proc);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	rig_no_fault();
	proc = rig_supervisor(NULL, NULL);
	if (point->what == NULL && options[0] == '\0') {
		AWAIT(executions() == 2);
		rig_open_gate("gate", 1);
	}
	CHECK_INT(rig_exit(proc), 0);
}

static void rerun(const struct kind *kind, const struct point *point)
{
	without_both(kind, point, "");
	check_success(point);
}

/* At most once: if what became of it is not on record, it failed. */
static void fail(const struct kind *kind, const struct point *point)
{
	struct point once = *point;

	once.executions = 0;
	once.at_most = 1;
	without_both(kind, point, "lost = 'fail'");
	check_point(&once);
	CHECK_INT(rig_record("SELECT count(*) FROM runs"), 1);
	if (point->at_most == 2 && point->executions == 2)
		CHECK_INT(rig_record("SELECT stage = 5 AND reason = 'lost' FROM runs"), 1);
	else
		CHECK_INT(
			rig_record("SELECT stage = 4 OR (stage = 5 AND reason = 'lost') FROM runs"),
			1);
}

#define BOTH(what, kind)                                                                           \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < LW_COUNT(deaths_of_both); i_++)                           \
			what(kind, &deaths_of_both[i_]);                                           \
	} while (0)

TEST(a_run_of_a_program_is_run_again_when_both_die_and_nobody_knows)
{
	BOTH(rerun, &kinds[0]);
}

TEST(a_run_of_a_command_is_run_again_when_both_die_and_nobody_knows)
{
	BOTH(rerun, &kinds[1]);
}

TEST(a_run_of_a_program_that_may_not_run_twice_fails_when_nobody_knows)
{
	BOTH(fail, &kinds[0]);
}

TEST(a_run_of_a_command_that_may_not_run_twice_fails_when_nobody_knows)
{
	BOTH(fail, &kinds[1]);
}

/* ---- threads that come late ---------------------------------------------------------------------------- */

TEST(a_journal_whose_thread_comes_late_still_writes_the_first_batch)
{
	for (int turn = 1; turn <= 12; turn++) {
		rig_anew();
		rig_fault("lw-supervisor before epoll_wait - %d late", turn);
		CHECK_INT(
			rig_exit(rig_supervisor("app { interval = 0.02 }\n"
						"work 'job' { command = { 'true' } }\n"
						"function flow()\n"
						"  if job:run().has_succeeded then lw.stop() end\n"
						"end\n",
						NULL)),
			0);
		CHECK(rig_fault_happened());
	}
}
