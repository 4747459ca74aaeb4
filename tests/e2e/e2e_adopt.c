/* e2e_adopt.c - the supervisor was killed, or left its works behind on purpose, and the next one
 * takes over: the same processes, one copy of each, and what they say. Run by ctest, one test a
 * process; most tests run once as on the newest kernel and once as on an old one.
 */
#include "rig.h"
#include "lw_tree.h"

#include <signal.h>
#include <stdio.h>

#define SERVE(more) "{ program = { lw.env('FAKE'), 'serve' }, parallel = true" more " }\n"
#define NO_FLOW     "function flow() end\n"

/* With what the kernel has to name a process by, and without. */
static void both_ways(void (*test)(void))
{
	static const char *const olds[] = { "0", "1" };

	for (size_t i = 0; i < LW_COUNT(olds); i++) {
		rig_anew();
		printf("LW_OLD_KERNEL=%s\n", olds[i]);
		fflush(stdout);
		setenv("LW_OLD_KERNEL", olds[i], 1);
		test();
	}
	unsetenv("LW_OLD_KERNEL");
}

#define TEST_BOTH_WAYS(name)                                                                       \
	static void name##_here(void);                                                             \
	TEST(name)                                                                                 \
	{                                                                                          \
		both_ways(name##_here);                                                            \
	}                                                                                          \
	static void name##_here(void)

static pid_t pid_at(const char *work, int slot)
{
	return (pid_t)rig_number(rig_work(work), rig_format("processes.%d.pid", slot));
}

static pid_t pid_of(const char *work)
{
	return pid_at(work, 0);
}

static const char *stage_of(int run)
{
	return rig_string(rig_http("GET", rig_format("/api/v1/runs/%d", run), NULL).json, "stage");
}

static bool run_is(int run, const char *stage)
{
	return strcmp(stage_of(run), stage) == 0;
}

static double run_number(int run, const char *name)
{
	return rig_number(rig_http("GET", rig_format("/api/v1/runs/%d", run), NULL).json, name);
}

static const char *run_string(int run, const char *name)
{
	return rig_string(rig_http("GET", rig_format("/api/v1/runs/%d", run), NULL).json, name);
}

/* What the test has seen is on record by then. */
static void die(struct rig_proc *proc)
{
	AWAIT(rig_number(rig_status(), "app.journal.waiting") == 0);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
}

/* Kills the process, which is a child of ours once its supervisor died, and waits for that. */
static void die_alone(pid_t pid)
{
	kill(pid, SIGKILL);
	AWAIT(!rig_pid_lives(pid));
}

/* ---- the same processes ------------------------------------------------------------------------ */

static const char household[] = /* of idle and busy processes, a pool, a command, and state */
	"work 'idle' " SERVE("") "work 'pool' " SERVE(", processes = 2") "work 'state' " SERVE(
		"") "work 'command' { parallel = true,\n"
		    "  command = { 'sh', '-c', 'echo begins; head -c 1 door; echo ends' } }\n"
		    "function flow()\n"
		    "  lw.state.passes = (lw.state.passes or 0) + 1\n"
		    "  pool:run{ act = 'gate' }\n"
		    "  command:run()\n"
		    "  state:run{ act = 'state' }\n"
		    "end\n";
static const struct {
	const char *work;
	int slot;
} members[] = { { "idle", 0 }, { "pool", 0 }, { "pool", 1 }, { "state", 0 }, { "command", 0 } };

static void see_members(pid_t pids[LW_COUNT(members)])
{
	for (size_t i = 0; i < LW_COUNT(members); i++) {
		AWAIT(pid_at(members[i].work, members[i].slot) > 0);
		pids[i] = pid_at(members[i].work, members[i].slot);
	}
}

static bool all_serve(void)
{
	for (size_t i = 0; i < LW_COUNT(members); i++) {
		json_t *work = rig_work(members[i].work);
		const char *path = rig_format("processes.%d.state", members[i].slot);

		if (!rig_is(work, path, "idle") && !rig_is(work, path, "busy"))
			return false;
	}
	return true;
}

static void household_goes_on(bool killed)
{
	pid_t before[LW_COUNT(members)], after[LW_COUNT(members)];
	struct rig_proc *proc;

	rig_gate("gate");
	rig_gate("door");
	proc = rig_up(household, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "begins");
	AWAIT(all_serve() && rig_is(rig_work("state"), "stage", "succeeded") &&
	      rig_is(rig_work("pool"), "stage", "running"));
	see_members(before);
	if (killed) {
		die(proc);
	} else {
		CHECK_INT(rig_ctl("shutdown", "--keep-works", NULL).status, 0);
		CHECK_INT(rig_exit(proc), 0);
	}
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(all_serve());
	see_members(after);
	for (size_t i = 0; i < LW_COUNT(members); i++)
		CHECK_INT(after[i], before[i]);
	CHECK_INT(rig_children(), LW_COUNT(members) + 1);
	CHECK_TEXT(rig_string(rig_work("state"), "state.mood"), "good");
	CHECK_INT(rig_number(rig_work("state"), "misses"), 0);
	CHECK_TEXT(rig_string(rig_work("pool"), "stage"), "running");
	rig_open_gate("gate", 1);
	rig_open_gate("door", 1);
	AWAIT(rig_is(rig_work("pool"), "stage", "succeeded") &&
	      rig_is(rig_work("command"), "stage", "succeeded"));
	/* A status speaks of what is not on record yet. */
	AWAIT(rig_record("SELECT count(*) FROM runs WHERE stage = 4 AND attempt = 1") == 3);
	CHECK_LINES(proc, RIG_OUT, "ends", 1);
	CHECK_INT(rig_count(proc, RIG_OUT, "begins"), 0);
	rig_down(proc);
}

TEST_BOTH_WAYS(the_next_supervisor_has_the_same_processes_and_their_runs)
{
	household_goes_on(true);
}

TEST_BOTH_WAYS(works_that_were_kept_are_served_by_the_next_supervisor)
{
	household_goes_on(false);
}

TEST_BOTH_WAYS(three_supervisors_in_a_row_have_the_same_process)
{
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") NO_FLOW, "--no-prefix", NULL);
	pid_t pid;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	pid = pid_of("job");
	for (int i = 0; i < 3; i++) {
		die(proc); /* perhaps before its worker has dialled again */
		proc = rig_up(NULL, "--no-prefix", NULL);
		CHECK_INT(pid_of("job"), pid);
	}
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 4}"), "result"), 16);
	CHECK_INT(rig_children(), 2);
	rig_down(proc);
}

TEST_BOTH_WAYS(a_process_that_had_not_dialled_yet_dials_the_next_supervisor)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(
		"work 'slow' { parallel = true,\n"
		"  program = { 'sh', '-c', 'head -c 1 gate; exec \"$FAKE\" serve' } }\n" NO_FLOW,
		"--no-prefix", NULL);
	AWAIT(rig_is(rig_work("slow"), "processes.0.state", "starting"));
	die(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_open_gate("gate", 1);
	AWAIT(rig_is(rig_work("slow"), "processes.0.state", "idle"));
	CHECK_INT(rig_number(rig_work("slow"), "processes.0.incarnation"), 1);
	CHECK_INT(rig_number(rig_run("slow", "{\"value\": 4}"), "result"), 16);
	rig_down(proc);
}

/* ---- how they end ---------------------------------------------------------------------------------- */

/* On an old kernel nobody may be able to tell. */
static void check_death(const char *text, const char *wanted)
{
	bool old = strcmp(getenv("LW_OLD_KERNEL"), "1") == 0;

	if (!old || strcmp(text, "unknown exit status") != 0)
		CHECK_TEXT(text, wanted);
}

TEST_BOTH_WAYS(how_an_adopted_process_ends_is_known)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(
		"work 'job' " SERVE(", raise_exception = false") "function flow() job:run{ act = "
								 "'gate_exit', status = 7 } end\n",
		"--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	die(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "busy"));
	rig_open_gate("gate", 1);
	AWAIT(run_is(1, "failed"));
	check_death(run_string(1, "reason"), "exit status 7");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	rig_down(proc);
}

TEST_BOTH_WAYS(a_signal_that_ends_an_adopted_process_is_known)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up("work 'job' " SERVE(", raise_exception = false") "function flow() job:run{ "
								       "act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	die(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "busy"));
	kill(pid_of("job"), SIGKILL);
	AWAIT(run_is(1, "failed"));
	check_death(run_string(1, "reason"), "signal 9 (KILL)");
	rig_down(proc);
}

TEST_BOTH_WAYS(processes_that_died_while_nobody_watched_are_replaced_and_their_runs_lost)
{
	struct rig_proc *proc;
	pid_t idle, busy;

	rig_gate("gate");
	proc = rig_up("work 'idle' " SERVE("") "work 'busy' " SERVE(
			      "") "function flow() busy:run{ act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	AWAIT(rig_is(rig_work("idle"), "processes.0.state", "idle"));
	idle = pid_of("idle");
	busy = pid_of("busy");
	die(proc);
	die_alone(idle);
	die_alone(busy);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=2");
	AWAIT(rig_is(rig_work("idle"), "processes.0.state", "idle"));
	CHECK_INT(run_number(1, "lost"), 1);
	CHECK(pid_of("idle") != idle && pid_of("busy") != busy);
	rig_open_gate("gate", 1);
	AWAIT(run_is(1, "succeeded"));
	CHECK_INT(rig_children(), 1);
	rig_down(proc);
}

TEST_BOTH_WAYS(a_worker_that_never_dials_again_is_ended_with_its_tree_and_its_run_is_lost)
{
	struct rig_proc *proc =
		rig_up("work 'job' { parallel = true, lost = 'fail', raise_exception = false,\n"
		       "  program = { 'sh', '-c', 'sleep 1000 & exec \"$FAKE\" close_channel' } }\n"
		       "function flow() job:run() end\n",
		       "--no-prefix", NULL);
	pid_t pid;

	rig_line(proc, RIG_OUT, "closed");
	pid = pid_of("job");
	die(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK_INT(pid_of("job"), pid);
	rig_line(proc, RIG_ERR, "did not dial again");
	AWAIT(run_is(1, "failed"));
	CHECK_TEXT(run_string(1, "reason"), "lost");
	CHECK(!rig_pid_lives(pid));
	rig_down(proc);
}

TEST_BOTH_WAYS(what_a_dead_process_left_behind_is_ended)
{
	struct rig_proc *proc = rig_up("work 'job' { program = { lw.env('FAKE'), 'grandchild' },\n"
				       "  parallel = true }\n"
				       "function flow() job:run() end\n",
				       "--no-prefix", NULL);
	pid_t left, pid;

	left = (pid_t)atoi(rig_line(proc, RIG_OUT, "left ") + strlen("left "));
	AWAIT(run_is(1, "succeeded"));
	pid = pid_of("job");
	die(proc);
	die_alone(pid);
	CHECK(rig_pid_lives(left));
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(!rig_pid_lives(left));
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK_INT(rig_number(rig_work("job"), "misses"), 0);
	rig_down(proc);
}

/* ---- who is who ---------------------------------------------------------------------------------------- */

TEST_BOTH_WAYS(a_pid_that_another_program_has_by_now_is_not_touched)
{
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") NO_FLOW, "--no-prefix", NULL);
	struct rig_proc *stranger;
	pid_t pid;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	pid = pid_of("job");
	do /* a pid does not come back within the tick of the clock that start times count in */
		stranger = rig_spawn("sleep", "1000", NULL);
	while (lw_proc_start_time(rig_pid(stranger)) == lw_proc_start_time(pid));
	die(proc);
	die_alone(pid);
	/* Only now: on an old kernel what started in the same hundredth of a second is the same. */
	stranger = rig_spawn("sleep", "1000", NULL);
	rig_record(rig_format("UPDATE workers SET pid = %d", (int)rig_pid(stranger)));
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_ERR, "ended while nobody watched");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK(pid_of("job") != rig_pid(stranger));
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK(rig_pid_lives(rig_pid(stranger)));
}

TEST_BOTH_WAYS(a_pid_of_before_the_machine_was_started_anew_is_not_touched)
{
	struct rig_proc *proc;
	struct rig_proc *stranger = rig_spawn("sleep", "1000", NULL);
	pid_t pid;

	rig_gate("gate");
	proc = rig_up("work 'job' " SERVE("") "function flow() job:run{ act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	pid = pid_of("job");
	die(proc);
	die_alone(pid);
	/* The same pid, start and handle, all of them somebody else's now. */
	rig_record(rig_format("UPDATE workers SET pid = %d, start = 0, handle = 0,"
			      " boot = '00000000-0000-0000-0000-000000000000'",
			      (int)rig_pid(stranger)));
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=2");
	CHECK_INT(run_number(1, "lost"), 1);
	CHECK(rig_pid_lives(rig_pid(stranger)));
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK(rig_pid_lives(rig_pid(stranger)));
}

/* ---- app.conf changed meanwhile ---------------------------------------------------------------------------- */

TEST_BOTH_WAYS(a_work_with_other_settings_gets_another_process_and_its_run_begins_again)
{
	struct rig_proc *proc;
	pid_t changed, soft;

	rig_gate("gate");
	proc = rig_up("work 'changed' " SERVE(", env = { A = '1' }") "work 'soft' " SERVE(
			      "") "function flow() changed:run{ act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	AWAIT(rig_is(rig_work("soft"), "processes.0.state", "idle"));
	changed = pid_of("changed");
	soft = pid_of("soft");
	die(proc);
	proc = rig_up("work 'changed' " SERVE(", env = { A = '2' }") "work 'soft' " SERVE(
			      ", retries = 3") "function flow() changed:run{ act = 'gate' } end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=2");
	CHECK(!rig_pid_lives(changed));
	CHECK_TEXT(rig_worker_env("changed", "A"), "2");
	CHECK_INT(run_number(1, "lost"), 0);
	CHECK_INT(pid_of("soft"), soft);
	rig_open_gate("gate", 1);
	AWAIT(run_is(1, "succeeded"));
	rig_down(proc);
}

TEST_BOTH_WAYS(the_process_of_a_work_that_left_the_file_is_stopped)
{
	struct rig_proc *proc = rig_up("work 'stays' " SERVE("") "work 'leaves' " SERVE("") NO_FLOW,
				       "--no-prefix", NULL);
	pid_t pid;

	AWAIT(rig_is(rig_work("leaves"), "processes.0.state", "idle"));
	AWAIT(rig_is(rig_work("stays"), "processes.0.state", "idle"));
	pid = pid_of("leaves");
	die(proc);
	proc = rig_up("work 'stays' " SERVE("") NO_FLOW, "--no-prefix", NULL);
	AWAIT(!rig_pid_lives(pid));
	AWAIT(rig_http("GET", "/api/v1/works/leaves", NULL).status == 404);
	CHECK(rig_is(rig_work("stays"), "processes.0.state", "idle"));
	rig_down(proc);
}

TEST_BOTH_WAYS(a_port_that_was_found_is_kept)
{
	struct rig_proc *proc =
		rig_up("work 'job' " SERVE(", port = 'auto'") NO_FLOW, "--no-prefix", NULL);
	const char *port, *url;
	pid_t pid;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	port = rig_worker_env("job", "PORT");
	url = rig_string(rig_work("job"), "url");
	CHECK_HAS(url, port);
	pid = pid_of("job");
	die(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK_INT(pid_of("job"), pid);
	CHECK_TEXT(rig_string(rig_work("job"), "url"), url);
	/* Also for a process that takes the place of one that died. */
	die(proc);
	die_alone(pid);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK_TEXT(rig_worker_env("job", "PORT"), port);
	rig_down(proc);
}

TEST_BOTH_WAYS(a_work_that_an_operator_stopped_stays_without_a_process)
{
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") NO_FLOW, "--no-prefix", NULL);

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	die(proc);
	CHECK_INT(rig_children(), 0);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK(rig_true(rig_work("job"), "held"));
	CHECK_INT(rig_children(), 1);
	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	rig_down(proc);
}

/* ---- services, and works of passes --------------------------------------------------------------------------- */

TEST_BOTH_WAYS(services_go_on_with_one_copy_of_each)
{
	struct rig_proc *proc =
		rig_up("work 'one' { command = { 'sleep', '1001' }, restart = 'always' }\n"
		       "work 'two' { command = { 'sleep', '1002' }, restart = 'always' }\n",
		       "--no-prefix", NULL);
	pid_t one, two;

	AWAIT(rig_is(rig_work("one"), "stage", "running") &&
	      rig_is(rig_work("two"), "stage", "running"));
	one = pid_of("one");
	two = pid_of("two");
	die(proc);
	die_alone(two);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("one"), "processes.0.state", "busy") &&
	      rig_is(rig_work("two"), "processes.0.state", "busy"));
	CHECK_INT(pid_of("one"), one);
	CHECK(pid_of("two") != two);
	CHECK_INT(rig_number(rig_work("one"), "misses"), 0);
	CHECK_INT(rig_number(rig_work("two"), "misses"), 0);
	rig_down(proc);
}

TEST_BOTH_WAYS(a_work_made_inside_a_pass_keeps_its_process_and_one_not_made_again_is_stopped)
{
	struct rig_proc *proc;
	pid_t made, left;

	rig_gate("gate");
	proc = rig_up("app { interval = 0.01 }\n"
		      "function flow()\n"
		      "  work 'made' " SERVE("") "  work 'left' " SERVE(
			      "") "  works.made:run{ act = 'gate' }\n"
				  "end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	AWAIT(rig_is(rig_work("left"), "processes.0.state", "idle"));
	made = pid_of("made");
	left = pid_of("left");
	die(proc);
	proc = rig_up("app { interval = 0.01 }\n"
		      "function flow()\n"
		      "  work 'made' " SERVE("") "  works.made:run{ act = 'gate' }\n"
						 "end\n",
		      "--no-prefix", NULL);
	AWAIT(rig_is(rig_work("made"), "processes.0.state", "busy"));
	CHECK_INT(pid_of("made"), made);
	AWAIT(!rig_pid_lives(left));
	rig_open_gate("gate", 1);
	AWAIT(run_is(1, "succeeded"));
	CHECK_INT(run_number(1, "attempt"), 1);
	rig_down(proc);
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

/* A command that says three hundred lines, waits at the gate, and so on. */
static const char talker[] =
	"work 'talker' { parallel = true, command = { 'sh', '-c', [[\n"
	"  i=0\n"
	"  while [ $i -lt 900 ]; do\n"
	"    echo out $i.; echo err $i. >&2; i=$((i+1))\n"
	"    [ $((i % 300)) -eq 0 ] && { echo now; head -c 1 gate >/dev/null; }\n"
	"  done; true ]] } }\n"
	"function flow()\n"
	"  if talker:run().has_succeeded then lw.stop('it has spoken') end\n"
	"end\n";

/* Each line from `first` on, once, in order. */
static void check_lines(struct rig_proc *proc, enum rig_stream stream, const char *word, int first,
			int end)
{
	for (int i = first; i < end; i++)
		if (rig_count(proc, stream, rig_format("%s %d.", word, i)) != 1)
			rig_fail(__FILE__, __LINE__, "'%s %d.' was said %zu times", word, i,
				 rig_count(proc, stream, rig_format("%s %d.", word, i)));
	CHECK_INT(rig_count(proc, stream, rig_format("%s ", word)), end - first);
}

TEST_BOTH_WAYS(what_a_command_says_while_nobody_is_there_is_heard_by_the_next_supervisor)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(talker, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "now");
	rig_line(proc, RIG_ERR, "err 299.");
	die(proc);
	check_lines(proc, RIG_OUT, "out", 0, 300);
	check_lines(proc, RIG_ERR, "err", 0, 300);
	rig_open_gate("gate", 1);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "now");
	rig_line(proc, RIG_ERR, "err 599.");
	die(proc);
	check_lines(proc, RIG_OUT, "out", 300, 600);
	check_lines(proc, RIG_ERR, "err", 300, 600);
	rig_open_gate("gate", 2);
	proc = rig_supervisor(NULL, "--no-prefix", NULL);
	CHECK_INT(rig_exit(proc), 0);
	check_lines(proc, RIG_OUT, "out", 600, 900);
	check_lines(proc, RIG_ERR, "err", 600, 900);
}
