/* e2e_reload.c - app.conf is read again: who changed is changed, everybody else goes on. */
#include "rig.h"

#include <signal.h>

#define SERVE(more) "{ program = { lw.env('FAKE'), 'serve', '1' }, parallel = true" more " }\n"
#define FLOW        "function flow() end\n"

static pid_t pid_of(const char *work)
{
	AWAIT(rig_number(rig_work(work), "processes.0.pid") > 0);
	return (pid_t)rig_number(rig_work(work), "processes.0.pid");
}

static struct rig_answer reload(const char *conf, const char *query)
{
	rig_write("app.conf", conf);
	return rig_http("POST", rig_format("/api/v1/app/reload%s", query), "");
}

/* What the answer says of a work: "restart command", or "". */
static const char *says(struct rig_answer answer, const char *work)
{
	for (int i = 0;; i++) {
		const char *name = rig_string(answer.json, rig_format("changes.%d.work", i));

		if (name[0] == '\0')
			return "";
		if (strcmp(name, work) == 0)
			return rig_format("%s %s",
					  rig_string(answer.json, rig_format("changes.%d.does", i)),
					  rig_string(answer.json, rig_format("changes.%d.key", i)));
	}
}

TEST(only_works_whose_settings_changed_are_touched)
{
	struct rig_proc *proc = rig_up(
		"work 'same' " SERVE("") "work 'env' " SERVE(
			", env = { A = '1' }") "work 'gone' " SERVE("") "work 'soft' " SERVE("")
			FLOW,
		NULL);
	static const char conf[] = "work 'same' " SERVE("") "work 'env' " SERVE(
		", env = { A = '2' }") "work 'soft' " SERVE(", retries = 3") "work 'new' " SERVE("")
		FLOW;
	pid_t same = pid_of("same"), env = pid_of("env"), gone = pid_of("gone"),
	      soft = pid_of("soft");
	struct rig_answer answer = reload(conf, "?dry_run=true");

	CHECK_INT(answer.status, 200);
	CHECK(!rig_true(answer.json, "applied"));
	CHECK_TEXT(says(answer, "same"), "");
	CHECK_TEXT(says(answer, "env"), "restart env");
	CHECK_TEXT(says(answer, "soft"), "change retries");
	CHECK_TEXT(says(answer, "new"), "start ");
	CHECK_TEXT(says(answer, "gone"), "stop ");
	CHECK_INT(pid_of("env"), env);
	answer = reload(conf, "");
	CHECK_INT(answer.status, 200);
	CHECK(rig_true(answer.json, "applied"));
	AWAIT(!rig_pid_lives(gone) && !rig_pid_lives(env));
	AWAIT(rig_is(rig_work("env"), "processes.0.state", "idle"));
	CHECK(pid_of("env") != env);
	CHECK_TEXT(rig_worker_env("env", "A"), "2");
	CHECK_INT(pid_of("same"), same);
	CHECK_INT(pid_of("soft"), soft);
	CHECK(pid_of("new") > 0);
	CHECK_INT(rig_http("GET", "/api/v1/works/gone", NULL).status, 404);
	rig_down(proc);
}

TEST(lwctl_says_what_a_reload_does)
{
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") FLOW, NULL);
	struct rig_answer answer;

	rig_write("app.conf", "work 'job' " SERVE(", nice = 1") FLOW);
	answer = rig_ctl("reload", "--dry-run", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_HAS(answer.out, "job");
	CHECK_HAS(answer.out, "nice");
	answer = rig_ctl("reload", NULL);
	CHECK_HAS(answer.out, "nice");
	rig_line(proc, RIG_ERR,
		 "starts with its new settings"); /* until then it has those of before */
	answer = rig_ctl("reload", NULL);
	CHECK_HAS(answer.out, "reloaded; no option has changed");
	rig_down(proc);
}

TEST(a_wrong_file_changes_nothing)
{
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") FLOW, NULL);
	pid_t pid = pid_of("job");
	struct rig_answer answer = reload("work 'job' { programm = 'x' }\n" FLOW, "");

	CHECK_INT(answer.status, 422);
	CHECK_HAS(rig_string(answer.json, "error.message"), "app.conf:1");
	CHECK_INT(pid_of("job"), pid);
	rig_signal(proc, SIGHUP);
	rig_line(proc, RIG_ERR, "signal=HUP nothing was changed");
	CHECK_INT(pid_of("job"), pid);
	rig_write("app.conf", "work 'job' " SERVE(", retries = 2") FLOW);
	rig_signal(proc, SIGHUP);
	rig_line(proc, RIG_ERR, "signal=HUP reloaded");
	CHECK_INT(pid_of("job"), pid);
	rig_down(proc);
}

TEST(what_is_remembered_and_the_states_outlive_a_reload)
{
	static const char *const confs[] = {
		"work 'job' " SERVE(
			"") "function flow()\n"
			    "  lw.state.n = 1\n"
			    "  local r = job:run{ value = 3 }\n"
			    "  if r.has_succeeded then print('first ' .. r.result) end\n"
			    "end\n",
		"work 'job' " SERVE(
			"") "function flow()\n"
			    "  local r = job:run{ value = 3 }\n"
			    "  if r.cached then print('second ' .. r.result .. lw.state.n) end\n"
			    "end\n",
	};
	struct rig_proc *proc = rig_up(confs[0], "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "first 9");
	CHECK_INT(reload(confs[1], "").status, 200);
	rig_line(proc, RIG_OUT, "second 91");
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value=3"), 1);
	rig_down(proc);
}

TEST(a_run_goes_on_while_its_work_is_changed_and_is_tried_again_when_it_is_replaced)
{
	rig_gate("gate");
	struct rig_proc *proc = rig_up("work 'job' " SERVE("") "function flow()\n"
							       "  job:run{ act = 'gate' }\n"
							       "end\n",
				       "--no-prefix", NULL);
	pid_t pid;

	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	pid = pid_of("job");
	CHECK_INT(reload("work 'job' " SERVE(", timeout = 1000") "function flow()\n"
								 "  job:run{ act = 'gate' }\n"
								 "end\n",
			 "")
			  .status,
		  200);
	CHECK_INT(pid_of("job"), pid);
	CHECK(rig_is(rig_work("job"), "stage", "running"));
	CHECK_INT(reload("work 'job' " SERVE(", nice = 1") "function flow()\n"
							   "  job:run{ act = 'gate' }\n"
							   "end\n",
			 "")
			  .status,
		  200);
	AWAIT(!rig_pid_lives(pid));
	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	rig_open_gate("gate", 1);
	AWAIT(rig_is(rig_work("job"), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_http("GET", "/api/v1/runs/1", NULL).json, "attempt"), 2);
	rig_down(proc);
}

TEST(a_work_that_passes_make_gets_its_new_settings_at_the_next_pass)
{
	static const char *const confs[] = {
		"function flow() work 'made' " SERVE(", env = { A = '1' }") " end\n",
		"function flow() work 'made' " SERVE(", env = { A = '2' }") " end\n",
	};
	struct rig_proc *proc = rig_up(confs[0], NULL);
	pid_t pid = pid_of("made");

	CHECK_INT(reload(confs[1], "").status, 200);
	AWAIT(!rig_pid_lives(pid));
	AWAIT(rig_is(rig_work("made"), "processes.0.state", "idle"));
	CHECK_TEXT(rig_worker_env("made", "A"), "2");
	rig_down(proc);
}

TEST(services_come_and_go)
{
	struct rig_proc *proc = rig_up("work 'a' { command = { 'sleep', '1000' } }\n"
				       "work 'b' { command = { 'sleep', '1000' } }\n",
				       NULL);

	AWAIT(rig_is(rig_work("b"), "stage", "running"));
	CHECK_INT(reload("work 'a' { command = { 'sleep', '1000' } }\n"
			 "work 'c' { command = { 'sleep', '2000' } }\n",
			 "")
			  .status,
		  200);
	AWAIT(rig_is(rig_work("c"), "stage", "running"));
	AWAIT(rig_http("GET", "/api/v1/works/b", NULL).status == 404);
	rig_down(proc);
}
