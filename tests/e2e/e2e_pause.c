/* e2e_pause.c - pause and resume of works and of the app, and signals to what works run. Run by
 * ctest, one test a process. */
#include "rig.h"

#include <signal.h>
#include <unistd.h>

static struct rig_proc *work_with(const char *options)
{
	return rig_up(rig_format("work 'job' { program = { lw.env('FAKE'), 'serve', '3' },"
				 " parallel = true, %s }\n"
				 "function flow() end\n",
				 options),
		      "--no-prefix", NULL);
}

static double call(const char *arguments)
{
	struct rig_answer answer = rig_ctl("run", "job", arguments, "--json", NULL);

	CHECK_INT(answer.status, 0);
	return rig_number(answer.json, "id");
}

static bool run_is(double id, const char *stage)
{
	return rig_is(rig_http("GET", rig_format("/api/v1/runs/%.0f", id), NULL).json, "stage",
		      stage);
}

static const char *who(void)
{
	return rig_format("uid %d pid ", (int)getuid());
}

/* ---- a work --------------------------------------------------------------------------------- */

TEST(a_paused_work_takes_nothing_from_its_queue)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("retries = 0");
	double running = call("{\"act\": \"gate\", \"value\": 1}"), ahead, waiting;
	struct rig_answer answer;
	json_t *work;

	rig_line(proc, RIG_OUT, "waiting");
	ahead = call("{\"value\": 2}"); /* sent to the process, but not begun */
	AWAIT(rig_number(rig_work("job"), "processes.0.sent") == 2);
	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	waiting = call("{\"value\": 3}");
	work = rig_work("job");
	CHECK_HAS(rig_string(work, "paused.by"), who());
	CHECK(rig_number(work, "paused.at") > 0);
	CHECK_HAS(rig_ctl("status", NULL).out, rig_format("paused by %s", who()));
	answer = rig_ctl("explain", "job", "value=4", NULL);
	CHECK_HAS(answer.out, "runs: `value` was 3, is 4");
	CHECK_HAS(answer.out, rig_format("; waits: paused by %s", who()));
	/* What runs goes on to its end; nothing follows. */
	rig_open_gate("gate", 1);
	AWAIT(run_is(running, "succeeded"));
	AWAIT(rig_number(rig_work("job"), "queue") == 2);
	CHECK(run_is(ahead, "pending") && run_is(waiting, "pending"));
	answer = rig_ctl("show", rig_format("%.0f", waiting), "--json", NULL);
	CHECK_HAS(rig_string(answer.json, "why"), "; waits: paused by ");
	CHECK_LINES(proc, RIG_OUT, "ran value=", 1);
	/* A hit needs no process. */
	CHECK(rig_true(rig_run("job", "{\"act\": \"gate\", \"value\": 1}"), "cached"));
	CHECK_INT(rig_ctl("resume", "job", NULL).status, 0);
	AWAIT(run_is(ahead, "succeeded") && run_is(waiting, "succeeded"));
	CHECK(json_is_null(rig_at(rig_work("job"), "paused")));
	rig_line(proc, RIG_OUT, "ran value=2 attempt=1");
	rig_line(proc, RIG_OUT, "ran value=3 attempt=1");
	AWAIT(rig_count(proc, RIG_ERR, "verb=pause work=job") == 1);
	AWAIT(rig_count(proc, RIG_ERR, "verb=resume work=job") == 1);
	rig_down(proc);
}

TEST(a_pause_outlives_the_supervisor)
{
	struct rig_proc *proc = work_with("retries = 0");
	double at, id;

	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	CHECK_INT(rig_ctl("pause", NULL).status, 0);
	at = rig_number(rig_work("job"), "paused.at");
	id = call("{\"value\": 2}");
	rig_signal(proc, SIGKILL);
	rig_exit(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_ERR, "the app makes no passes: it was paused by uid ");
	rig_line(proc, RIG_ERR, "work=job starts nothing: it was paused by uid ");
	CHECK(rig_number(rig_work("job"), "paused.at") == at);
	CHECK_HAS(rig_string(rig_status(), "app.paused.by"), who());
	CHECK_INT(rig_number(rig_status(), "app.passes"), 0);
	CHECK(run_is(id, "pending"));
	/* Who paused first is who paused. */
	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	CHECK(rig_number(rig_work("job"), "paused.at") == at);
	CHECK_INT(rig_ctl("resume", "job", NULL).status, 0);
	AWAIT(run_is(id, "succeeded"));
	CHECK_INT(rig_ctl("resume", NULL).status, 0);
	AWAIT(rig_number(rig_status(), "app.passes") > 0);
	rig_down(proc);
	proc = rig_up(NULL, NULL);
	CHECK(json_is_null(rig_at(rig_work("job"), "paused")));
	CHECK(json_is_null(rig_at(rig_status(), "app.paused")));
	rig_down(proc);
}

TEST(a_flow_that_waits_for_a_paused_work_goes_on_after_resume)
{
	struct rig_proc *proc = work_with("retries = 0");

	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	rig_down(proc);
	proc = rig_up("work 'job' { program = { lw.env('FAKE'), 'serve' } }\n"
		      "function flow()\n"
		      "  print('asking')\n"
		      "  print('got ' .. job:run{ value = 3 }.result)\n"
		      "end\n",
		      "--no-prefix", "--drain", NULL);
	rig_line(proc, RIG_OUT, "asking");
	AWAIT(rig_number(rig_work("job"), "queue") == 1);
	CHECK(!rig_is_over(proc)); /* --drain: something is left to do */
	CHECK_INT(rig_ctl("resume", "job", NULL).status, 0);
	rig_line(proc, RIG_OUT, "got 9");
	CHECK_INT(rig_exit(proc), 0);
}

/* A pause does not touch what runs, not even by a call that would. */
TEST(what_would_be_cancelled_goes_on_until_resume)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("overlap = 'cancel'");
	double old = call("{\"act\": \"gate\", \"value\": 1}"), next;

	rig_line(proc, RIG_OUT, "waiting");
	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	next = call("{\"value\": 2}");
	CHECK(run_is(old, "running") && run_is(next, "pending"));
	CHECK_INT(rig_ctl("resume", "job", NULL).status, 0);
	AWAIT(run_is(old, "stopped") && run_is(next, "succeeded"));
	rig_down(proc);
}

TEST(a_service_that_is_paused_is_not_called_again_until_resume)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { command = { 'sh', '-c', 'echo up; head -c1 gate' },\n"
		       "             restart = 'always' }\n",
		       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "up");
	CHECK_INT(rig_ctl("pause", "job", NULL).status, 0);
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "queue") == 1);
	CHECK_INT(rig_count(proc, RIG_OUT, "up"), 1);
	CHECK_INT(rig_ctl("resume", "job", NULL).status, 0);
	rig_line(proc, RIG_OUT, "up");
	CHECK_INT(rig_ctl("pause", NULL).status, 1); /* there is no flow */
	rig_down(proc);
}

/* ---- the app ---------------------------------------------------------------------------------- */

TEST(a_paused_app_makes_no_passes_and_serves_its_operators)
{
	struct rig_proc *proc = rig_up("app { interval = 0.01 }\n"
				       "work 'job' { program = { lw.env('FAKE'), 'serve' },\n"
				       "             parallel = true }\n"
				       "function flow()\n"
				       "  if lw.state.go then print('seen ' .. lw.state.go) end\n"
				       "end\n",
				       "--no-prefix", NULL);
	struct rig_answer answer = rig_ctl("pause", NULL);
	double passes = rig_number(rig_status(), "app.passes");

	CHECK_INT(answer.status, 0);
	CHECK_HAS(answer.out, rig_format("no passes: paused by %s", who()));
	rig_http("PATCH", "/api/v1/state", "{\"go\": 1}");
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 3}"), "result"), 9);
	CHECK(rig_number(rig_status(), "app.passes") == passes);
	CHECK_INT(rig_count(proc, RIG_OUT, "seen"), 0);
	CHECK_INT(rig_ctl("resume", NULL).status, 0);
	rig_line(proc, RIG_OUT, "seen 1");
	CHECK_TEXT(rig_string(rig_status(), "app.stage"), "running");
	rig_down(proc);
}

TEST(a_paused_app_can_be_stopped_and_reloaded)
{
	struct rig_proc *proc = work_with("retries = 0");

	CHECK_INT(rig_ctl("pause", NULL).status, 0);
	rig_write("app.conf", "work 'job' { program = { lw.env('FAKE'), 'serve' } }\n"
			      "function flow() print('another flow') end\n");
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	CHECK_INT(rig_count(proc, RIG_OUT, "another flow"), 0);
	CHECK_INT(rig_ctl("resume", NULL).status, 0);
	rig_line(proc, RIG_OUT, "another flow");
	CHECK_INT(rig_ctl("pause", NULL).status, 0);
	CHECK_INT(rig_ctl("shutdown", NULL).status, 0);
	CHECK_INT(rig_exit(proc), 0);
}

TEST(an_app_that_was_paused_and_has_no_flow_any_more_ends_with_its_services)
{
	struct rig_proc *proc = work_with("retries = 0");

	CHECK_INT(rig_ctl("pause", NULL).status, 0);
	rig_down(proc);
	proc = rig_up("work 'job' { command = { 'true' }, restart = 'never' }\n", NULL);
	CHECK_INT(rig_exit(proc), 0);
}

/* ---- signals ------------------------------------------------------------------------------------ */

TEST(a_signal_reaches_the_command_and_not_its_lw_worker)
{
	struct rig_proc *proc;
	json_t *work;

	rig_write("job.sh", "trap 'echo got HUP' HUP\ntrap 'echo got USR1; exit 0' USR1\n"
			    "echo up\nwhile :; do sleep 0.01; done\n");
	proc = rig_up("work 'job' { command = { 'sh', './job.sh' }, parallel = true }\n"
		      "function flow() end\n",
		      "--no-prefix", NULL);
	CHECK_INT(rig_ctl("signal", "job", "HUP", NULL).status, 1); /* nothing runs */
	call("{}");
	rig_line(proc, RIG_OUT, "up");
	work = rig_work("job");
	CHECK_HAS(rig_ctl("signal", "job", "HUP", NULL).out, "sent to 1 process");
	rig_line(proc, RIG_OUT, "got HUP");
	CHECK_INT(rig_ctl("signal", "job", "SIGUSR1", NULL).status, 0);
	rig_line(proc, RIG_OUT, "got USR1");
	AWAIT(rig_is(rig_work("job"), "stage", "succeeded"));
	CHECK(rig_number(rig_work("job"), "processes.0.pid") ==
	      rig_number(work, "processes.0.pid"));
	rig_line(proc, RIG_ERR, "verb=signal work=job");
	rig_down(proc);
}

TEST(a_signal_reaches_every_program_of_a_pool)
{
	struct rig_proc *proc = work_with("processes = 2");
	struct rig_answer answer;

	CHECK_INT(rig_ctl("restart", "job", NULL).status, 0);
	answer = rig_ctl("signal", "job", "9", "--json", NULL);
	CHECK_INT(rig_number(answer.json, "processes"), 2);
	CHECK_LINES(proc, RIG_ERR, "ended: signal 9 (KILL)", 2);
	answer = rig_ctl("signal", "job", "HUPP", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, "there is no signal 'HUPP'");
	CHECK_INT(rig_ctl("signal", "job", NULL).status, 2);
	rig_down(proc);
}
