/* e2e_crash.c - the supervisor, a work's process, or both are killed (SIGKILL) at every point of a
 * run's life, and wherever else it hurts: a result is on record once, what succeeded is never run
 * again, and what nobody knows follows `lost`. Run by ctest, one test a process.
 *
 * Works write down what they execute (EXECUTIONS), so nobody's word is taken for it.
 */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
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
	json_t *work = rig_work("job");

	rig_signal(proc, SIGSTOP); /* it sees nothing of it */
	for (size_t i = 0; i < json_array_size(rig_at(work, "processes")); i++)
		kill((pid_t)rig_number(work, rig_format("processes.%zu.pid", i)), SIGKILL);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
}

static void without_both(const struct kind *kind, const struct point *point, const char *options)
{
	struct rig_proc *proc;

	begin_case(kind, point);
	proc = rig_supervisor(conf_of(kind, options), NULL);
	if (point->what == NULL) {
		AWAIT(executions() == 1);
		rig_line(proc, RIG_OUT, "Your app has started.");
		kill_both(proc);
	}
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

/* ---- what nobody knows, three times ------------------------------------------------------------------ */

#define SERVE(window) "program = { lw.env('FAKE'), 'serve', '" window "' }"

TEST(a_call_that_was_lost_three_times_is_held_while_others_go_on)
{
	struct rig_proc *proc;

	setenv("EXECUTIONS", rig_path("executions"), 1);
	rig_gate("gate");
	rig_write("app.conf",
		  "work 'job' { " SERVE(
			  "1") ", processes = 2, " COMMON " }\n"
			       "function flow()\n"
			       "  local bad = job:run{ act = 'gate' }\n"
			       "  local good = job:run{ value = 2 }\n"
			       "  if bad.has_failed and good.has_succeeded and\n"
			       "     job:run{ value = 3 }.has_succeeded then lw.stop('over') end\n"
			       "end\n");
	for (size_t deaths = 0; deaths < 3; deaths++) {
		proc = rig_up(NULL, "--no-prefix", NULL);
		rig_line(proc, RIG_OUT, "waiting");
		AWAIT(rig_is(rig_http("GET", "/api/v1/runs/2", NULL).json, "stage", "succeeded"));
		kill_both(proc);
	}
	proc = rig_supervisor(NULL, NULL);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(executions(), 3 + 2);
	CHECK_INT(rig_record("SELECT stage = 5 AND lost = 3 AND reason = 'lost' FROM runs"
			     " WHERE id = 1"),
		  1);
	CHECK_INT(rig_record("SELECT count(*) FROM runs WHERE stage = 4"), 2);
	CHECK_INT(rig_children(), 0);
}

/* ---- many runs, several processes, runs sent ahead ----------------------------------------------------- */

static const char *many(const char *options)
{
	setenv("EXECUTIONS", rig_path("executions"), 1);
	return rig_format(
		"work 'job' { " SERVE(
			"4") ", processes = 3, " COMMON " %s }\n"
			     "function flow()\n"
			     "  local done = 0\n"
			     "  for i = 1, 60 do\n"
			     "    if job:run{ value = i }.has_succeeded then done = done + 1 end\n"
			     "  end\n"
			     "  if done == 60 then lw.stop('all of them') end\n"
			     "end\n",
		options);
}

/* Dies again and again, until it did not. */
static size_t deaths_until_done(const char *what, int first, int step)
{
	size_t deaths = 0;
	bool dies = true;

	for (int n = first; dies; n += step) {
		struct rig_proc *proc;
		int status;

		rig_fault("lw-supervisor after %s %d %s", what, n, "die");
		proc = rig_supervisor(NULL, NULL);
		status = rig_exit(proc);
		dies = rig_fault_happened();
		CHECK_INT(status, dies ? -SIGKILL : 0);
		deaths += dies;
	}
	rig_no_fault();
	return deaths;
}

TEST(sixty_runs_in_a_pool_run_once_each_whenever_the_supervisor_dies)
{
	static const char *const whats[] = { "send RUN", "readv RESULT", "send ACK", "wal -" };

	for (size_t i = 0; i < LW_COUNT(whats); i++) {
		rig_anew();
		rig_write("app.conf", many(""));
		CHECK(deaths_until_done(whats[i], 1, 3) >= 1);
		CHECK_INT(executions(), 60);
		CHECK_INT(rig_record("SELECT count(*) FROM runs WHERE stage = 4"), 60);
		CHECK_INT(rig_record("SELECT count(*) FROM runs"), 60);
		CHECK_INT(rig_record("SELECT max(attempt) FROM runs"), 1);
		CHECK_INT(rig_children(), 0);
	}
}

TEST(sixty_runs_in_a_pool_all_succeed_when_all_die_together)
{
	for (int n = 1; n <= 9; n += 4) {
		struct rig_proc *proc;

		rig_anew();
		rig_write("app.conf", many(""));
		rig_fault("lw-supervisor after readv RESULT %d die_both", n);
		CHECK_INT(rig_exit(rig_supervisor(NULL, NULL)), -SIGKILL);
		rig_no_fault();
		proc = rig_supervisor(NULL, NULL);
		CHECK_INT(rig_exit(proc), 0);
		CHECK_INT(rig_record("SELECT count(*) FROM runs WHERE stage = 4"), 60);
		/* Up to a window of each process was with it. */
		CHECK(executions() >= 60 && executions() <= 60 + 3 * 4);
		CHECK_INT(rig_children(), 0);
	}
}

/* ---- in the middle of something else -------------------------------------------------------------------- */

TEST(a_process_that_is_on_no_record_is_ended_and_there_is_no_second_copy)
{
	struct rig_proc *proc;

	for (size_t i = 0; i < LW_COUNT(kinds); i++) {
		rig_anew();
		rig_gate("gate");
		rig_fault("lw-supervisor after clone - 1 die");
		proc = rig_supervisor(conf_of(&kinds[i], "start_with_flow = true"), NULL);
		CHECK_INT(rig_exit(proc), -SIGKILL);
		rig_no_fault();
		CHECK_INT(rig_children(), 1);
		proc = rig_up(NULL, NULL);
		rig_line(proc, RIG_ERR, "is on no record and is killed");
		AWAIT(executions() == 1 && rig_children() == 1);
		rig_open_gate("gate", 1);
		CHECK_INT(rig_exit(proc), 0);
		CHECK_INT(executions(), 1);
		CHECK_INT(rig_record("SELECT incarnation FROM workers"), 2);
	}
}

TEST(a_retry_waits_for_the_rest_of_its_delay_under_the_next_supervisor)
{
	struct rig_proc *proc;
	int64_t due, began;

	setenv("EXECUTIONS", rig_path("executions"), 1);
	proc = rig_up("work 'job' { " SERVE("1") ", parallel = true, retries = 1,\n"
						 "  retry_delay = 4, retry_jitter = 0,"
						 "  env = { EXECUTIONS = lw.env('EXECUTIONS') } }\n"
						 "function flow()\n"
						 "  if job:run{ act = 'fail', ['until'] = 2 "
						 "}.has_succeeded then lw.stop() end\n"
						 "end\n",
		      "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("job"), "reason", "retry 1 of 1 after failed") &&
	      rig_number(rig_status(), "app.journal.waiting") == 0);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	due = rig_record("SELECT due FROM runs");
	CHECK(due > 0);
	CHECK_INT(rig_exit(rig_supervisor(NULL, NULL)), 0);
	began = rig_record("SELECT started FROM runs");
	CHECK(began >= due && began < due + 900000);
	CHECK_INT(executions(), 2);
}

TEST(a_stop_that_was_under_way_is_brought_to_its_end)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " SERVE("1") ", stop_timeout = 1, parallel = true }\n"
						  "function flow() end\n",
		       "--no-prefix", NULL);
	pid_t pid;

	CHECK_INT(rig_ctl("run", "job", "act=deaf", NULL).status, 0);
	rig_line(proc, RIG_OUT, "deaf");
	pid = process_of("job");
	CHECK_INT(rig_ctl("stop", "job", "--no-wait", NULL).status, 0);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	CHECK(rig_pid_lives(pid));
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(!rig_pid_lives(pid));
	AWAIT(rig_is(rig_http("GET", "/api/v1/runs/1", NULL).json, "stage", "stopped"));
	CHECK(rig_true(rig_work("job"), "held"));
	CHECK_INT(process_of("job"), -1);
	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	rig_down(proc);
}

TEST(a_timeout_that_was_under_way_is_brought_to_its_end)
{
	struct rig_proc *proc;

	rig_write("app.conf",
		  "work 'job' { " SERVE(
			  "1") ", timeout = 0.3, stop_timeout = 0.3,"
			       "  parallel = true, raise_exception = false }\n"
			       "function flow()\n"
			       "  if job:run{ act = 'deaf' }.has_failed then lw.stop() end\n"
			       "end\n");
	rig_fault("lw-supervisor after kill - 1 die");
	CHECK_INT(rig_exit(rig_supervisor(NULL, NULL)), -SIGKILL);
	rig_no_fault();
	proc = rig_supervisor(NULL, NULL);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_record("SELECT stage = 5 AND reason = 'timeout' AND attempt = 1 FROM runs"),
		  1);
	CHECK_INT(rig_children(), 0);
}

/* It was on record before anybody was killed. */
TEST(a_kill_that_was_under_way_is_brought_to_its_end)
{
	static const char *const whens[] = { "before", "after" };
	struct rig_proc *proc;
	pid_t pid;

	for (size_t i = 0; i < LW_COUNT(whens); i++) {
		rig_anew();
		setenv("EXECUTIONS", rig_path("executions"), 1);
		rig_gate("gate");
		rig_fault("lw-supervisor %s kill - 1 die", whens[i]);
		proc = rig_up(
			"work 'job' { " SERVE("1") ", " COMMON " }\n"
						   "function flow() job:run{ act = 'gate' } end\n",
			"--no-prefix", NULL);
		rig_line(proc, RIG_OUT, "waiting");
		pid = process_of("job");
		CHECK(rig_ctl("kill", "job", NULL).status != 0);
		CHECK_INT(rig_exit(proc), -SIGKILL);
		rig_no_fault();
		proc = rig_up(NULL, "--no-prefix", NULL);
		AWAIT(!rig_pid_lives(pid));
		AWAIT(rig_is(rig_http("GET", "/api/v1/runs/1", NULL).json, "stage", "stopped"));
		CHECK_TEXT(rig_string(rig_http("GET", "/api/v1/runs/1", NULL).json, "reason"),
			   "killed by operator");
		AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
		CHECK_INT(executions(), 1);
		rig_down(proc);
	}
}

TEST(a_stop_is_on_record_before_a_process_hears_of_it)
{
	struct rig_proc *proc;

	setenv("EXECUTIONS", rig_path("executions"), 1);
	rig_gate("gate");
	rig_fault("lw-supervisor after kill - 1 die");
	proc = rig_up("work 'job' { " SERVE("1") ", " COMMON " }\n"
						 "function flow() job:run{ act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	CHECK(rig_ctl("stop", "job", NULL).status != 0);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	rig_no_fault();
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(rig_http("GET", "/api/v1/runs/1", NULL).json, "stage", "stopped"));
	CHECK(rig_true(rig_work("job"), "held"));
	AWAIT(rig_children() == 1);
	CHECK_INT(executions(), 1);
	rig_down(proc);
}

TEST(a_lock_that_a_dead_supervisor_left_to_a_child_of_it_is_waited_for)
{
	struct rig_proc *proc = rig_up("work 'job' { command = { 'true' } }\n"
				       "function flow() end\n",
				       NULL);
	int lock = open(rig_path(".lw/app.conf/lock"), O_RDWR | O_CLOEXEC);

	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	CHECK(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0);
	proc = rig_supervisor(NULL, NULL);
	CHECK_INT(rig_ctl("status", NULL).status, 3);
	CHECK_INT(rig_ctl("status", NULL).status, 3);
	close(lock);
	rig_line(proc, RIG_OUT, "Your app has started.");
	rig_down(proc);
}
