/* e2e_cancel.c - overlap = "cancel": a different call stops the running one. Run by ctest, one
 * test a process. */
#include "rig.h"

#include <signal.h>
#include <stdlib.h>

#define FAKE_WORK "program = { lw.env('FAKE'), 'serve' }, parallel = true, overlap = 'cancel'"

/* The first call sleeps, with a child, for ever; every other one is over at once. */
#define COMMAND                                                                                    \
	"command = { 'sh', '-c', 'echo began $0; if [ $0 = 1 ]; then sleep 1000 & echo sleeper "   \
	"$!; wait; fi; echo ended $0', '{1}' }, parallel = true, overlap = 'cancel'"

static json_t *run_by_id(double id)
{
	return rig_http("GET", rig_format("/api/v1/runs/%.0f", id), NULL).json;
}

/* Makes a call and does not wait for its end; the id of its run. */
static double call(const char *arguments)
{
	struct rig_answer answer = rig_ctl("run", "job", arguments, "--json", NULL);

	CHECK_INT(answer.status, 0);
	return rig_number(answer.json, "id");
}

static void was_overtaken(double id, double by)
{
	AWAIT(rig_is(run_by_id(id), "stage", "stopped"));
	CHECK_TEXT(rig_string(run_by_id(id), "reason"), rig_format("overtaken by run %.0f", by));
}

TEST(a_different_call_stops_the_running_one_and_runs_in_a_new_process)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\nfunction flow() end\n", "--no-prefix", NULL);
	double first = call("{\"act\": \"gate\", \"value\": 1}"), second;
	double pid;

	rig_line(proc, RIG_OUT, "waiting value=1");
	pid = rig_number(rig_work("job"), "processes.0.pid");
	second = call("{\"act\": \"gate\", \"value\": 2}");
	rig_line(proc, RIG_OUT, "waiting value=2");
	CHECK(!rig_pid_lives((pid_t)pid));
	was_overtaken(first, second);
	rig_open_gate("gate", 1);
	AWAIT(rig_is(run_by_id(second), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_work("job"), "runs.failed"), 0);
	CHECK_INT(rig_number(rig_work("job"), "runs.stopped"), 1);
	rig_down(proc);
}

TEST(the_same_call_joins_the_running_one)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\nfunction flow() end\n", "--no-prefix", NULL);
	double first = call("{\"act\": \"gate\"}");

	rig_line(proc, RIG_OUT, "waiting");
	CHECK_INT(call("{\"act\": \"gate\"}"), first);
	CHECK_TEXT(rig_string(run_by_id(first), "stage"), "running");
	rig_open_gate("gate", 1);
	AWAIT(rig_is(run_by_id(first), "stage", "succeeded"));
	rig_down(proc);
}

TEST(of_several_calls_the_newest_alone_survives)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\nfunction flow() end\n", "--no-prefix", NULL);
	double ids[6];

	ids[0] = call("{\"act\": \"gate\"}");
	rig_line(proc, RIG_OUT, "waiting");
	for (int i = 1; i <= 5; i++)
		ids[i] = call(rig_format("{\"value\": %d}", i));
	AWAIT(rig_is(run_by_id(ids[5]), "stage", "succeeded"));
	AWAIT(rig_number(rig_work("job"), "runs.stopped") +
		      rig_number(rig_work("job"), "runs.succeeded") ==
	      6);
	CHECK_TEXT(rig_string(run_by_id(ids[0]), "stage"), "stopped");
	CHECK_INT(rig_number(rig_work("job"), "runs.failed"), 0);
	rig_down(proc);
}

TEST(a_call_that_was_stopped_for_another_is_forgotten_and_runs_again)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\nfunction flow() end\n", "--no-prefix", NULL);
	double first = call("{\"act\": \"gate\", \"value\": 1}"), second, third;

	rig_line(proc, RIG_OUT, "waiting value=1");
	second = call("{\"act\": \"gate\", \"value\": 2}");
	third = call("{\"act\": \"gate\", \"value\": 1}"); /* the first may be on its way out */
	CHECK(third != first);
	was_overtaken(first, second);
	was_overtaken(second, third);
	rig_line(proc, RIG_OUT, "waiting value=1");
	rig_open_gate("gate", 1);
	AWAIT(rig_is(run_by_id(third), "stage", "succeeded"));
	rig_down(proc);
}

TEST(the_next_run_of_a_command_begins_when_the_tree_of_the_last_one_is_gone)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " COMMAND " }\nfunction flow() end\n", "--no-prefix", NULL);
	double first = call("[1]"), second;
	const char *line = rig_line(proc, RIG_OUT, "sleeper ");
	pid_t sleeper = (pid_t)atoi(line + strlen("sleeper "));

	CHECK(rig_pid_lives(sleeper));
	second = call("[2]");
	rig_line(proc, RIG_OUT, "began 2");
	CHECK(!rig_pid_lives(sleeper));
	was_overtaken(first, second);
	AWAIT(rig_is(run_by_id(second), "stage", "succeeded"));
	CHECK_LINES(proc, RIG_OUT, "ended 1", 0);
	rig_down(proc);
}

TEST(only_the_last_call_of_a_pass_counts)
{
	struct rig_proc *proc = rig_up("work 'job' { " FAKE_WORK " }\n"
				       "function flow()\n"
				       "  for i = 1, 5 do job:run{ value = i } end\n"
				       "  if job.has_succeeded then lw.stop() end\n"
				       "end\n",
				       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 1);
	CHECK_LINES(proc, RIG_OUT, "ran value=5 ", 1);
}

TEST(a_call_that_was_stopped_for_another_never_fails_the_flow)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\n"
		       "function flow()\n"
		       "  local run = job:run{ act = 'gate', value = lw.state.value or 1 }\n"
		       "  if run.has_succeeded then print('result ' .. run.result) end\n"
		       "end\n",
		       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "waiting value=1");
	CHECK_INT(rig_http("PATCH", "/api/v1/state", "{\"value\": 2}").status / 100, 2);
	rig_line(proc, RIG_OUT, "waiting value=2");
	CHECK_INT(rig_http("PATCH", "/api/v1/state", "{\"value\": 1}").status / 100, 2);
	rig_line(proc, RIG_OUT, "waiting value=1");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "result 1");
	CHECK_INT(rig_number(rig_work("job"), "runs.stopped"), 2);
	rig_down(proc);
}

TEST(a_supervisor_that_dies_while_it_stops_a_run_leaves_that_to_the_next_one)
{
	struct rig_proc *proc = rig_up("work 'job' { command = { 'sh', '-c', 'trap \"\" TERM; echo "
				       "began $0; while [ $0 = 1 ]; "
				       "do sleep 0.1; done', '{1}' }, parallel = true, overlap = "
				       "'cancel', stop_timeout = 2 }\n"
				       "function flow() end\n",
				       "--no-prefix", NULL);
	double first = call("[1]"), second;

	rig_line(proc, RIG_OUT, "began 1");
	second = call("[2]");
	rig_signal(proc, SIGKILL);
	rig_exit(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_is(run_by_id(second), "stage", "succeeded"));
	CHECK_TEXT(rig_string(run_by_id(first), "stage"), "stopped");
	CHECK_HAS(rig_string(run_by_id(first), "reason"), "overtaken");
	rig_down(proc);
}

TEST(without_a_flow_the_call_of_args_comes_back_after_the_call_that_stopped_it)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'serve' },"
		       " overlap = 'cancel', args = { act = 'gate', value = 1 } }\n",
		       "--no-prefix", NULL);
	double other;

	rig_line(proc, RIG_OUT, "waiting value=1");
	other = call("{\"act\": \"gate\", \"value\": 2}");
	rig_line(proc, RIG_OUT, "waiting value=2");
	rig_open_gate("gate", 1);
	AWAIT(rig_is(run_by_id(other), "stage", "succeeded"));
	rig_line(proc, RIG_OUT, "waiting value=1");
	rig_down(proc);
}
