/* e2e_calls.c - what a call does: cached, joined, queued, retried, refused; marks of time; works
 * made in a pass; no flow. Run by ctest, one test a process. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>

#define FAKE_WORK "program = { lw.env('FAKE'), 'serve' }, parallel = true"

/* An app with one work, `job`, whose calls are made by hand. */
static struct rig_proc *work_with(const char *options)
{
	return rig_up(
		rig_format("work 'job' { " FAKE_WORK ", %s }\nfunction flow() end\n", options),
		"--no-prefix", NULL);
}

static json_t *value(int value)
{
	return rig_run("job", rig_format("{\"value\": %d}", value));
}

static void decides(json_t *run, const char *decision, const char *why)
{
	CHECK_TEXT(rig_string(run, "decision"), decision);
	CHECK_HAS(rig_string(run, "why"), why);
}

/* ---- the cache ------------------------------------------------------------------------------ */

TEST(a_b_a_runs_twice)
{
	struct rig_proc *proc = work_with("cache_calls = true");

	value(1);
	value(2);
	CHECK(rig_true(value(1), "cached"));
	CHECK_LINES(proc, RIG_OUT, "ran value=", 2);
	CHECK_INT(rig_number(rig_work("job"), "hits"), 1);
	CHECK_INT(rig_number(rig_work("job"), "misses"), 2);
	rig_down(proc);
}

TEST(with_cache_memory_last_a_b_a_runs_three_times)
{
	struct rig_proc *proc = work_with("cache_memory = 'last'");

	value(1);
	CHECK(rig_true(value(1), "cached"));
	value(2);
	value(1);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 3);
	rig_down(proc);
}

TEST(without_cache_calls_every_call_runs)
{
	struct rig_proc *proc = work_with("cache_calls = false");

	value(1);
	value(1);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 2);
	CHECK_INT(rig_number(rig_work("job"), "hits"), 0);
	rig_down(proc);
}

TEST(a_success_older_than_cache_ttl_runs_again)
{
	struct rig_proc *proc = work_with("cache_ttl = 0.4");
	double over;

	value(1);
	over = rig_now() + 0.5;
	while (rig_pump(over))
		continue;
	CHECK(!rig_true(value(1), "cached"));
	CHECK_LINES(proc, RIG_OUT, "ran value=", 2);
	rig_down(proc);
}

TEST(cache_ignore_leaves_an_argument_out_of_the_key)
{
	struct rig_proc *proc = work_with("cache_ignore = { 'note' }");

	rig_run("job", "{\"value\": 1, \"note\": \"a\"}");
	CHECK(rig_true(rig_run("job", "{\"value\": 1, \"note\": \"b\"}"), "cached"));
	CHECK(!rig_true(rig_run("job", "{\"value\": 2, \"note\": \"b\"}"), "cached"));
	rig_down(proc);
}

TEST(the_cache_version_is_part_of_the_key)
{
	struct rig_proc *proc = work_with("cache_version = 'v1'");
	const char *key = rig_string(value(1), "key");

	rig_down(proc);
	proc = work_with("cache_version = 'v2'");
	CHECK(strcmp(rig_string(value(1), "key"), key) != 0);
	rig_down(proc);
}

TEST(equal_arguments_are_one_call)
{
	struct rig_proc *proc = work_with("cache_calls = true");
	const char *key = rig_string(rig_run("job", "{\"value\": 1, \"b\": [1, 2]}"), "key");

	CHECK_TEXT(rig_string(rig_run("job", "{\"b\": [1.0, 2], \"value\": 1.0}"), "key"), key);
	CHECK(strcmp(rig_string(rig_run("job", "{\"value\": 1, \"b\": [2, 1]}"), "key"), key) != 0);
	CHECK(strcmp(rig_string(rig_run("job", "{\"value\": true, \"b\": [1, 2]}"), "key"), key));
	rig_down(proc);
}

TEST(a_running_call_is_joined)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("cache_calls = false");
	struct rig_answer first = rig_ctl("run", "job", "{\"act\": \"gate\"}", "--json", NULL);
	struct rig_answer second;

	rig_line(proc, RIG_OUT, "waiting");
	second = rig_ctl("run", "job", "{\"act\": \"gate\"}", "--json", NULL);
	CHECK_INT(rig_number(second.json, "id"), rig_number(first.json, "id"));
	decides(second.json, "join", "join");
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	CHECK_INT(rig_number(rig_work("job"), "joins"), 1);
	rig_down(proc);
}

TEST(explain_tells_the_reason_of_every_decision)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("retries = 0, raise_exception = false");
	struct rig_answer answer = rig_ctl("explain", "job", "{\"value\": 1}", "--json", NULL);

	CHECK_TEXT(rig_string(answer.json, "decision"), "run");
	CHECK_HAS(rig_string(answer.json, "reason"), "never seen");
	CHECK_INT(strlen(rig_string(answer.json, "key")), 32);
	value(1);
	answer = rig_ctl("explain", "job", "{\"value\": 1}", "--json", NULL);
	CHECK_TEXT(rig_string(answer.json, "decision"), "hit");
	CHECK_HAS(rig_string(answer.json, "reason"), "succeeded as run");
	answer = rig_ctl("explain", "job", "{\"value\": 2}", "--json", NULL);
	CHECK_TEXT(rig_string(answer.json, "decision"), "run");
	CHECK_HAS(rig_string(answer.json, "reason"), "`value` was 1, is 2");
	rig_run("job", "{\"act\": \"fail\"}");
	answer = rig_ctl("explain", "job", "{\"act\": \"fail\"}", "--json", NULL);
	CHECK_TEXT(rig_string(answer.json, "decision"), "held");
	CHECK_HAS(rig_string(answer.json, "reason"), "it did not work");
	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	answer = rig_ctl("explain", "job", "{\"act\": \"gate\"}", "--json", NULL);
	CHECK_TEXT(rig_string(answer.json, "decision"), "join");
	rig_open_gate("gate", 1);
	rig_down(proc);
}

/* ---- failing -------------------------------------------------------------------------------- */

TEST(a_failed_call_is_held_until_retry)
{
	struct rig_proc *proc = work_with("cache_calls = true");
	json_t *run = rig_run("job", "{\"act\": \"fail\"}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_TEXT(rig_string(run, "error"), "it did not work");
	decides(rig_run("job", "{\"act\": \"fail\"}"), "held", "it did not work");
	CHECK_LINES(proc, RIG_OUT, "failing", 1);
	CHECK_INT(rig_ctl("retry", "job", "{\"act\": \"fail\"}", NULL).status, 0);
	AWAIT(rig_number(rig_work("job"), "runs.failed") == 2);
	CHECK_LINES(proc, RIG_OUT, "failing", 2);
	rig_down(proc);
}

TEST(retries_come_with_a_growing_delay_before_a_run_counts_as_failed)
{
	struct rig_proc *proc =
		work_with("retries = 2, retry_delay = 0.2, retry_backoff = 2, retry_jitter = 0");
	double before = rig_now();
	json_t *run = rig_run("job", "{\"act\": \"fail\"}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_INT(rig_number(run, "attempt"), 3);
	CHECK(rig_now() - before >= 0.6);
	CHECK_LINES(proc, RIG_OUT, "failing", 3);
	CHECK_INT(rig_number(rig_work("job"), "runs.failed"), 1);
	rig_down(proc);
}

TEST(a_retry_may_succeed)
{
	struct rig_proc *proc = work_with("retries = 3, retry_delay = 0.1");
	json_t *run = rig_run("job", "{\"act\": \"fail\", \"until\": 2}");

	CHECK_TEXT(rig_string(run, "stage"), "succeeded");
	CHECK_INT(rig_number(run, "attempt"), 2);
	rig_down(proc);
}

TEST(a_process_that_dies_in_a_run_is_retried_too)
{
	struct rig_proc *proc = work_with("retries = 1, retry_delay = 0.1");
	json_t *run = rig_run("job", "{\"act\": \"exit\"}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_INT(rig_number(run, "attempt"), 2);
	CHECK_LINES(proc, RIG_OUT, "leaving", 2);
	rig_down(proc);
}

TEST(a_run_that_takes_too_long_fails_by_timeout)
{
	struct rig_proc *proc = work_with("timeout = 0.5, stop_timeout = 0.3");
	json_t *run = rig_run("job", "{\"act\": \"deaf\"}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_TEXT(rig_string(run, "reason"), "timeout");
	CHECK_INT(rig_number(value(3), "result"), 9);
	rig_down(proc);
}

TEST(a_command_that_takes_too_long_fails_by_timeout)
{
	struct rig_proc *proc =
		rig_up("work 'job' { command = { 'sh', '-c', 'sleep 1000' }, parallel = true,"
		       " timeout = 0.5 }\n"
		       "function flow() end\n",
		       NULL);
	json_t *run = rig_run("job", "{}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_TEXT(rig_string(run, "reason"), "timeout");
	rig_down(proc);
}

TEST(a_failed_run_raises_once_in_the_flow)
{
	struct rig_proc *proc = rig_up("app { interval = 0.05 }\n"
				       "work 'job' { " FAKE_WORK " }\n"
				       "function flow()\n"
				       "  local ok, why = pcall(job.run, job, { act = 'fail' })\n"
				       "  if not ok then print('raised: ' .. tostring(why)) end\n"
				       "end\n",
				       "--no-prefix", NULL);
	double passes;

	rig_line(proc, RIG_OUT, "raised: ");
	passes = rig_number(rig_status(), "app.passes");
	AWAIT(rig_number(rig_status(), "app.passes") >= passes + 5);
	CHECK_LINES(proc, RIG_OUT, "raised: ", 1);
	rig_down(proc);
}

/* `first` is a call of a work that fails until there is a file; the next one is to come after it. */
static const char *app_of_two(const char *first)
{
	return rig_format("work 'job' { command = { 'sh', '-c', 'test -e mended' } }\n"
			  "work 'second' { command = { 'echo', 'second ran' } }\n"
			  "function flow()\n"
			  "  %s\n"
			  "  second:run()\n"
			  "end\n",
			  first);
}

TEST(what_ended_the_app_is_in_the_way_of_its_flow_until_it_is_retried)
{
	struct rig_proc *proc = rig_supervisor(app_of_two("job:run()"), "--no-prefix", NULL);
	double passes;

	CHECK_INT(rig_exit(proc), 1);
	proc = rig_supervisor(NULL, "--no-prefix", "--drain", NULL);
	CHECK_INT(rig_exit(proc), 1);
	CHECK_LINES(proc, RIG_OUT, "second ran", 0);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_ERR, "the flow does not go past the one that ended the app");
	AWAIT(rig_number(rig_status(), "app.passes") >= 3);
	CHECK_TEXT(rig_string(rig_work("second"), "stage"), "not_started");
	CHECK_HAS(rig_ctl("explain", "job", NULL).out, "; the flow waits here");
	/* So it does when it fails again, also over another restart. */
	CHECK_INT(rig_ctl("retry", "job", "[]", "--wait", NULL).status, 1);
	passes = rig_number(rig_status(), "app.passes");
	AWAIT(rig_number(rig_status(), "app.passes") >= passes + 2);
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_number(rig_status(), "app.passes") >= 3);
	CHECK_TEXT(rig_string(rig_work("second"), "stage"), "not_started");
	CHECK_HAS(rig_ctl("explain", "job", NULL).out, "; the flow waits here");
	rig_write("mended", "");
	CHECK_INT(rig_ctl("retry", "job", "[]", "--wait", NULL).status, 0);
	rig_line(proc, RIG_OUT, "second ran");
	rig_down(proc);
	proc = rig_supervisor(NULL, "--no-prefix", "--drain", NULL);
	CHECK_INT(rig_exit(proc), 0);
	CHECK(strstr(rig_text(proc, RIG_ERR), "failed=") == NULL);
}

TEST(what_ended_the_app_and_was_forgotten_is_called_anew)
{
	struct rig_proc *proc = rig_supervisor(app_of_two("job:run()"), "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 1);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_number(rig_status(), "app.passes") >= 2);
	rig_write("mended", "");
	CHECK_INT(rig_ctl("forget", "job", "--all", NULL).status, 0);
	rig_line(proc, RIG_OUT, "second ran");
	rig_down(proc);
}

TEST(a_failure_that_was_caught_is_in_nobodys_way_after_a_restart_either)
{
	struct rig_proc *proc =
		rig_up(app_of_two("if not pcall(job.run, job) then print('caught') end"),
		       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "caught");
	rig_line(proc, RIG_OUT, "second ran");
	rig_signal(proc, SIGKILL);
	(void)rig_exit(proc);
	rig_write("app.conf", app_of_two("print('went on, ' .. job:run().stage)"));
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "went on, failed");
	rig_down(proc);
}

TEST(a_failure_does_not_block_a_flow_that_does_not_want_to_hear_of_it)
{
	struct rig_proc *proc = rig_up(
		"work 'job' { program = { lw.env('FAKE'), 'serve' }, raise_exception = false }\n"
		"function flow()\n"
		"  local run = job:run{ act = 'fail' }\n"
		"  print('went on, ' .. run.stage .. ', ' .. run.error)\n"
		"  lw.stop()\n"
		"end\n",
		"--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "went on, failed, it did not work", 1);
}

/* ---- the queue ------------------------------------------------------------------------------ */

TEST(more_than_queue_limit_waiting_calls_are_refused)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("queue_limit = 2");
	struct rig_answer answer;

	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	for (int i = 1; i <= 2; i++)
		CHECK_INT(rig_ctl("run", "job", rig_format("{\"value\": %d}", i), NULL).status, 0);
	CHECK_INT(rig_number(rig_work("job"), "queue"), 2);
	answer = rig_ctl("run", "job", "{\"value\": 3}", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, "queue");
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 3);
	CHECK_INT(rig_number(value(3), "result"), 9);
	rig_down(proc);
}

TEST(the_queue_is_first_in_first_out)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("queue_limit = 100");

	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	for (int i = 1; i <= 5; i++)
		rig_ctl("run", "job", rig_format("{\"value\": %d}", i), NULL);
	rig_open_gate("gate", 1);
	for (int i = 1; i <= 5; i++)
		rig_line(proc, RIG_OUT, rig_format("ran value=%d ", i));
	rig_down(proc);
}

TEST(with_overlap_latest_only_the_newest_call_waits)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("overlap = 'latest'");

	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	for (int i = 1; i <= 5; i++)
		rig_ctl("run", "job", rig_format("{\"value\": %d}", i), NULL);
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ran value=5 ");
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 2);
	rig_down(proc);
}

TEST(with_overlap_latest_only_the_last_call_of_a_pass_counts)
{
	struct rig_proc *proc = rig_up("work 'job' { " FAKE_WORK ", overlap = 'latest' }\n"
				       "function flow()\n"
				       "  for i = 1, 5 do job:run{ value = i } end\n"
				       "  if job.has_succeeded then lw.stop() end\n"
				       "end\n",
				       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 1);
	CHECK_LINES(proc, RIG_OUT, "ran value=5 ", 1);
}

TEST(a_pool_takes_as_many_as_it_has_processes)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("processes = 3");

	for (int i = 1; i <= 5; i++)
		rig_ctl("run", "job", rig_format("{\"act\": \"gate\", \"value\": %d}", i), NULL);
	AWAIT(rig_count(proc, RIG_OUT, "waiting") == 3);
	CHECK_INT(rig_number(rig_work("job"), "runs.running"), 3);
	CHECK_INT(rig_number(rig_work("job"), "queue"), 2);
	rig_open_gate("gate", 5);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 5);
	rig_down(proc);
}

TEST(runs_sent_ahead_stay_pending_and_are_never_lost)
{
	rig_gate("gate");
	struct rig_proc *proc = rig_up(
		"work 'job' { program = { lw.env('FAKE'), 'serve', '8' }, parallel = true }\n"
		"function flow() end\n",
		"--no-prefix", NULL);

	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	for (int i = 1; i <= 5; i++)
		rig_ctl("run", "job", rig_format("{\"value\": %d}", i), NULL);
	CHECK_INT(rig_number(rig_work("job"), "runs.running"), 1);
	CHECK_INT(rig_number(rig_work("job"), "runs.pending"), 5);
	CHECK(kill((pid_t)rig_number(rig_work("job"), "processes.0.pid"), SIGKILL) == 0);
	for (int i = 1; i <= 5; i++)
		rig_line(proc, RIG_OUT, rig_format("ran value=%d attempt=", i));
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 5);
	CHECK_INT(rig_number(rig_work("job"), "runs.failed"), 1);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 5);
	rig_down(proc);
}

/* ---- processes ------------------------------------------------------------------------------ */

TEST(a_process_that_dies_while_idle_comes_back)
{
	struct rig_proc *proc = work_with("start_with_flow = true");
	double pid;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	pid = rig_number(rig_work("job"), "processes.0.pid");
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	AWAIT(rig_number(rig_work("job"), "processes.0.starts") == 2 &&
	      rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK(rig_number(rig_work("job"), "processes.0.pid") != pid);
	CHECK_INT(rig_number(rig_work("job"), "processes.0.incarnation"), 2);
	CHECK_TEXT(rig_string(rig_work("job"), "processes.0.last_death"), "signal 9 (KILL)");
	CHECK_INT(rig_number(value(2), "result"), 4);
	rig_down(proc);
}

TEST(a_process_that_keeps_crashing_is_given_up_by_the_crash_loop_limit)
{
	setenv("LW_RIG_SECONDS", "60", 1);
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'exits' }, parallel = true,"
		       " raise_exception = false }\n"
		       "function flow() end\n",
		       NULL);
	double next = -1;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "waiting to restart") &&
	      (next = rig_number(rig_work("job"), "processes.0.next_try")) > 0);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "failed"));
	CHECK(rig_number(rig_work("job"), "processes.0.starts") >= 3);
	CHECK_TEXT(rig_string(rig_work("job"), "processes.0.last_death"), "exit status 3");
	rig_down(proc);
}

TEST(restart_never_leaves_a_dead_process_dead)
{
	struct rig_proc *proc = work_with("restart = 'never'");
	double pid;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	pid = rig_number(rig_work("job"), "processes.0.pid");
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	AWAIT(!rig_is(rig_work("job"), "processes.0.state", "idle"));
	for (double until = rig_now() + 0.5; rig_pump(until);)
		continue;
	CHECK_INT(rig_number(rig_work("job"), "processes.0.starts"), 1);
	rig_down(proc);
}

TEST(a_command_starts_its_process_at_the_first_call_only)
{
	struct rig_proc *proc = rig_up("work 'job' { command = { 'true' }, parallel = true }\n"
				       "function flow() end\n",
				       NULL);

	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "not_started");
	CHECK(rig_number(rig_work("job"), "processes.0.pid") <= 0);
	rig_run("job", "{}");
	CHECK(rig_number(rig_work("job"), "processes.0.pid") > 0);
	rig_down(proc);
}

TEST(a_port_is_found_and_told)
{
	struct rig_proc *proc = rig_up(
		"work 'job' { command = { 'sh', '-c', 'echo at $HOST:$PORT; echo env $COLOUR' },"
		" parallel = true, port = 'auto', env = { COLOUR = 'blue' } }\n"
		"function flow() job:run() end\n",
		"--no-prefix", NULL);
	const char *line = rig_line(proc, RIG_OUT, "at 127.0.0.1:");

	CHECK(atoi(line + strlen("at 127.0.0.1:")) > 1023);
	rig_line(proc, RIG_OUT, "env blue");
	CHECK_HAS(rig_string(rig_work("job"), "url"), line + 3);
	rig_down(proc);
}

/* ---- state ---------------------------------------------------------------------------------- */

TEST(state_flows_both_ways)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\n"
		       "function flow()\n"
		       "  job:run{ act = 'state', count = 3 }\n"
		       "  if job.state.step == 3 and job.state.mood == 'good' then\n"
		       "    job.state.answer = 42\n"
		       "    lw.state.seen = (lw.state.seen or 0) + 0\n"
		       "    print('seen ' .. job.state.answer)\n"
		       "  end\n"
		       "end\n",
		       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "seen 42");
	CHECK_INT(rig_number(rig_work("job"), "state.step"), 3);
	CHECK_INT(rig_number(rig_work("job"), "state.answer"), 42);
	rig_down(proc);
}

/* ---- marks of time ---------------------------------------------------------------------------- */

TEST(a_schedule_begins_at_now_and_fires_at_its_mark)
{
	struct rig_proc *proc =
		rig_up("app { interval = 0.1 }\n"
		       "work 'job' { command = { 'echo', 'at {1}' }, parallel = true }\n"
		       "function flow()\n"
		       "  local mark = lw.schedule('* * * * *')\n"
		       "  if mark then job:run(mark) end\n"
		       "  if lw.schedule('yearly') then print('a year is over') end\n"
		       "end\n",
		       "--no-prefix", NULL);
	double passes = rig_number(rig_status(), "app.passes");

	/* Less than a minute away, and not now. */
	AWAIT(rig_number(rig_status(), "app.passes") >= passes + 3);
	CHECK_LINES(proc, RIG_OUT, "a year is over", 0);
	CHECK(rig_count(proc, RIG_OUT, "at ") <= 1);
	setenv("LW_RIG_SECONDS", "90", 1);
	rig_line(proc, RIG_OUT, "at 20");
	passes = rig_number(rig_status(), "app.passes");
	AWAIT(rig_number(rig_status(), "app.passes") >= passes + 5);
	CHECK_INT(rig_number(rig_work("job"), "runs.succeeded"), rig_count(proc, RIG_OUT, "at "));
	CHECK(rig_count(proc, RIG_OUT, "at ") <= 2);
	rig_down(proc);
}

TEST(a_mark_that_cannot_be_read_fails_the_app)
{
	struct rig_proc *proc =
		rig_supervisor("function flow() lw.schedule('every now and then') end\n"
			       "work 'job' { command = { 'true' } }\n",
			       NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), "every now and then");
}

/* ---- works made in a pass ----------------------------------------------------------------------- */

TEST(works_made_in_a_pass_run_and_leave_when_they_are_no_longer_made)
{
	struct rig_proc *proc =
		rig_up("app { interval = 0.01 }\n"
		       "function flow()\n"
		       "  local count = lw.state.count or 3\n"
		       "  for i = 1, count do\n"
		       "    local shard = work('shard' .. i) { " FAKE_WORK " }\n"
		       "    shard:run{ value = i }\n"
		       "  end\n"
		       "  if works['shard1'].has_succeeded then lw.state.ready = true end\n"
		       "end\n",
		       "--no-prefix", NULL);

	AWAIT(rig_count(proc, RIG_OUT, "ran value=") == 3);
	CHECK_INT(json_array_size(rig_at(rig_status(), "works")), 3);
	CHECK_INT(rig_http("PATCH", "/api/v1/state", "{\"count\": 1}").status / 100, 2);
	AWAIT(json_array_size(rig_at(rig_status(), "works")) == 1);
	rig_down(proc);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 3);
}

TEST(a_work_made_again_with_other_settings_is_an_error_that_names_the_key)
{
	struct rig_proc *proc =
		rig_supervisor("app { interval = 0.01 }\n"
			       "function flow()\n"
			       "  lw.state.n = (lw.state.n or 0) + 1\n"
			       "  work('shard') { command = { 'true' }, retries = lw.state.n }\n"
			       "end\n",
			       NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), "retries");
}

/* ---- no flow ---------------------------------------------------------------------------------- */

TEST(without_a_flow_every_work_is_called_once_and_the_app_ends_when_nothing_is_left)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'a' { command = { 'echo', 'a' }, args = { 'first', 2 } }\n"
		"work 'b' { command = { 'echo', 'b {value}' }, args = { value = 3 } }\n",
		"--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "a first 2", 1);
	CHECK_LINES(proc, RIG_OUT, "b 3", 1);
}

TEST(without_a_flow_a_failed_call_is_made_again_unless_restart_is_never)
{
	struct rig_proc *proc = rig_up(
		"work 'again' { command = { 'sh', '-c', 'echo again; exit 1' } }\n"
		"work 'once' { command = { 'sh', '-c', 'echo once; exit 1' }, restart = 'never' }\n"
		"work 'always' { command = { 'echo', 'always' }, restart = 'always' }\n",
		"--no-prefix", NULL);

	AWAIT(rig_count(proc, RIG_OUT, "again") >= 2);
	AWAIT(rig_count(proc, RIG_OUT, "always") >= 2);
	CHECK_LINES(proc, RIG_OUT, "once", 1);
	rig_down(proc);
}
