/* e2e_insight.c - what an operator is told of works: their latest calls and why, what they use, what
 * comes next. Run by ctest, one test a process. */
#include "rig.h"

#include <signal.h>

#define SERVE "program = { lw.env('FAKE'), 'serve' }, parallel = true"

/* ---- calls ---------------------------------------------------------------------------------- */

static json_t *call_at(size_t i)
{
	return rig_at(rig_work("job"), rig_format("calls.%zu", i));
}

TEST(the_latest_calls_are_told_with_those_that_were_skipped)
{
	struct rig_proc *proc = rig_up("app { interval = 0 }\n"
				       "work 'job' { " SERVE ", raise_exception = false }\n"
				       "function flow()\n"
				       "  job:run(1)\n"
				       "  job:run{ lr = lw.state.lr or 0.1 }\n"
				       "end\n",
				       NULL);
	struct rig_answer answer;
	double count;
	json_t *call;

	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	/* Each pass makes both, and skips them now. */
	for (int i = 0; i < 3; i++) {
		count = rig_number(call_at(1), "count");
		rig_http("PATCH", "/api/v1/state", rig_format("{\"n\": %d}", i));
		AWAIT(rig_number(call_at(1), "count") > count);
	}
	CHECK_INT(json_array_size(rig_at(rig_work("job"), "calls")), 2);
	call = call_at(0);
	CHECK_TEXT(rig_string(call, "decision"), "hit");
	CHECK_HAS(rig_string(call, "why"), "hit: succeeded as run ");
	CHECK(rig_number(call, "kwargs.lr") == 0.1);
	CHECK_TEXT(rig_string(call, "stage"), "succeeded");
	CHECK(rig_number(call, "at") > rig_number(rig_status(), "app.started"));
	CHECK_INT(rig_number(call_at(1), "args.0"), 1);
	/* Another one comes in front, with what is different. */
	rig_http("PATCH", "/api/v1/state", "{\"lr\": 0.2}");
	AWAIT(json_array_size(rig_at(rig_work("job"), "calls")) == 3);
	AWAIT(rig_is(call_at(0), "decision", "hit"));
	CHECK(rig_number(call_at(0), "kwargs.lr") == 0.2);
	CHECK(rig_number(call_at(2), "kwargs.lr") == 0.1);
	CHECK(rig_number(rig_work("job"), "seconds_saved") >= 0);
	answer = rig_ctl("status", "job", NULL);
	CHECK_HAS(answer.out, "{\"lr\":0.2}  hit: succeeded as run 3 at ");
	CHECK_HAS(answer.out, "succeeded  [1]         hit: succeeded as run 1 at ");
	rig_down(proc);
}

TEST(a_call_that_always_runs_is_one_call)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE ", cache_calls = false }\n"
				       "function flow() end\n",
				       NULL);
	json_t *call;

	rig_run("job", "{\"value\": 7}");
	for (int i = 0; i < 20; i++)
		rig_run("job", "{\"value\": 2}");
	CHECK_INT(json_array_size(rig_at(rig_work("job"), "calls")), 2);
	call = call_at(0);
	CHECK_INT(rig_number(call, "count"), 20);
	CHECK_INT(rig_number(call, "run"), 21);
	CHECK_TEXT(rig_string(call, "decision"), "run");
	CHECK_TEXT(rig_string(call, "why"), "runs: cache_calls is false");
	rig_run("job", "{\"act\": \"fail\"}");
	CHECK_TEXT(rig_string(call_at(0), "stage"), "failed");
	for (int i = 0; i < 20; i++)
		rig_run("job", rig_format("{\"value\": %d}", 100 + i));
	CHECK_INT(json_array_size(rig_at(rig_work("job"), "calls")), 16);
	CHECK_INT(rig_number(call_at(0), "kwargs.value"), 119);
	CHECK_INT(rig_number(call_at(15), "kwargs.value"), 104);
	rig_down(proc);
}

TEST(calls_of_before_the_start_are_told_by_their_runs)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE " }\nfunction flow() end\n", NULL);

	rig_run("job", "{\"value\": 1}");
	rig_run("job", "{\"value\": 2}");
	rig_signal(proc, SIGKILL);
	rig_exit(proc);
	proc = rig_up(NULL, NULL);
	CHECK_INT(json_array_size(rig_at(rig_work("job"), "calls")), 2);
	CHECK_INT(rig_number(call_at(0), "kwargs.value"), 2);
	CHECK_TEXT(rig_string(call_at(0), "why"), "runs: `value` was 1, is 2");
	CHECK(rig_true(rig_run("job", "{\"value\": 1}"), "cached"));
	CHECK_INT(json_array_size(rig_at(rig_work("job"), "calls")), 2);
	CHECK_TEXT(rig_string(call_at(0), "decision"), "hit");
	CHECK_INT(rig_number(call_at(0), "kwargs.value"), 1);
	rig_down(proc);
}

/* ---- what works use ---------------------------------------------------------------------------- */

static json_t *usage(const char *name)
{
	return rig_at(rig_http("GET", rig_format("/api/v1/works/%s?usage=true", name), NULL).json,
		      "usage");
}

TEST(what_the_processes_of_a_work_use_is_told_when_asked_for)
{
	rig_gate("gate");
	struct rig_proc *proc = rig_up("work 'job' { command = { 'sh', '-c',\n"
				       "  'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; "
				       "  sleep 60 & echo up; head -c1 gate; kill $!' },\n"
				       "  parallel = true }\n"
				       "work 'idle' { command = { 'true' }, parallel = true }\n"
				       "function flow() end\n",
				       NULL);

	CHECK(rig_at(rig_work("job"), "usage") == NULL);
	CHECK_INT(rig_number(usage("job"), "processes"), 0); /* none is there yet */
	CHECK_INT(rig_ctl("run", "job", NULL).status, 0);
	rig_line(proc, RIG_OUT, "up");
	CHECK(rig_number(usage("job"), "processes") >= 3); /* lw-worker, sh, sleep */
	CHECK(rig_number(usage("job"), "memory") > 1e6);
	CHECK(rig_number(usage("job"), "cpu") > 0.01);
	CHECK(rig_at(rig_cell(rig_http("GET", "/api/v1/status?brief=true&usage=true", NULL).json, 0,
			      "usage"),
		     "memory") != NULL);
	rig_open_gate("gate", 1);
	AWAIT(rig_is(rig_work("job"), "stage", "succeeded"));
	AWAIT(rig_number(usage("job"), "processes") == 1); /* a look is good for some seconds */
	CHECK(rig_number(usage("job"), "cpu") > 0.01);     /* of those it has waited for, too */
	rig_down(proc);
}

static size_t works_looked_at(void)
{
	json_t *works = rig_at(rig_http("GET", "/api/v1/works?usage=true", NULL).json, "works");
	json_t *work;
	size_t i, known = 0;

	json_array_foreach(works, i, work) known += rig_number(work, "usage.processes") == 1;
	return known;
}

TEST(many_works_are_looked_at_in_several_turns)
{
	struct rig_proc *proc =
		rig_up("for i = 1, 150 do\n"
		       "  work('w' .. i) { program = { lw.env('FAKE'), 'serve' } }\n"
		       "end\n"
		       "function flow() end\n",
		       NULL);

	AWAIT(works_looked_at() == 150);
	rig_down(proc);
}

/* ---- what comes next ------------------------------------------------------------------------------ */

TEST(the_next_marks_of_the_schedule_are_told)
{
	struct rig_proc *proc;
	json_t *mark;

	rig_fake_time("2026-11-23 12:59:30");
	proc = rig_up("app { timezone = 'UTC', interval = 0.05 }\n"
		      "function flow()\n"
		      "  local now = lw.schedule('hourly')\n"
		      "  if now then print('mark ' .. now) end\n"
		      "end\n",
		      "--no-prefix", NULL);
	AWAIT(json_array_size(rig_at(rig_status(), "app.schedule")) == 1);
	mark = rig_at(rig_status(), "app.schedule.0");
	CHECK_TEXT(rig_string(mark, "mark"), "hourly");
	CHECK_INT(rig_number(mark, "next"), 1795438800); /* 13:00 */
	CHECK(json_is_null(rig_at(mark, "last")));
	rig_set_time("2026-11-23 13:00:01");
	rig_line(proc, RIG_OUT, "mark 2026-11-23T13:00:00");
	AWAIT(rig_number(rig_status(), "app.schedule.0.last") == 1795438800);
	CHECK_INT(rig_number(rig_status(), "app.schedule.0.next"), 1795442400);
	rig_down(proc);
}
