/* e2e_steering.c - what an operator does: lwctl and the API. Run by ctest, one test a process. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define FAKE_WORK "program = { lw.env('FAKE'), 'serve' }, parallel = true"

static struct rig_proc *work_with(const char *options)
{
	return rig_up(
		rig_format("work 'job' { " FAKE_WORK ", %s }\nfunction flow() end\n", options),
		"--no-prefix", NULL);
}

/* A run that waits at the gate. */
static double begin(struct rig_proc *proc, const char *arguments)
{
	struct rig_answer answer = rig_ctl("run", "job", arguments, "--json", NULL);

	CHECK_INT(answer.status, 0);
	rig_line(proc, RIG_OUT, "waiting");
	return rig_number(answer.json, "id");
}

static json_t *run_by_id(double id)
{
	return rig_http("GET", rig_format("/api/v1/runs/%.0f", id), NULL).json;
}

TEST(status_shows_works_and_processes)
{
	struct rig_proc *proc = work_with("processes = 2");
	struct rig_answer answer;
	json_t *work;

	rig_run("job", "{\"value\": 2}");
	answer = rig_ctl("status", "--json", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_INT(rig_number(answer.json, "app.pid"), rig_pid(proc));
	CHECK_TEXT(rig_string(answer.json, "app.version"), LW_VERSION);
	work = rig_at(answer.json, "works.0");
	CHECK_TEXT(rig_string(work, "name"), "job");
	CHECK_TEXT(rig_string(work, "stage"), "succeeded");
	CHECK_INT(json_array_size(rig_at(work, "processes")), 2);
	CHECK(rig_pid_lives((pid_t)rig_number(work, "processes.0.pid")));
	CHECK_INT(rig_number(work, "queue"), 0);
	CHECK_INT(rig_number(work, "misses"), 1);
	CHECK_INT(rig_number(work, "runs.succeeded"), 1);
	CHECK(json_is_object(rig_at(work, "state")));
	answer = rig_ctl("status", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_HAS(answer.out, "job");
	CHECK_HAS(answer.out, "succeeded");
	rig_down(proc);
}

/* On a terminal of its own; its keys are what is written to the gate "keys". */
TEST(a_watched_status_follows_until_it_is_interrupted)
{
	struct rig_proc *proc = work_with("cache_calls = true"), *status;
	int keys;

	rig_gate("keys");
	setenv("TERM", "xterm", 1);
	status = rig_spawn("sh", "-c",
			   "SHELL=/bin/sh exec script -qec 'exec " LW_BIN
			   "/lwctl status --watch' /dev/null <keys",
			   NULL);
	rig_line(status, RIG_OUT, "\033[?1049h");
	rig_line(status, RIG_OUT, "job ");
	CHECK_INT(rig_count(status, RIG_OUT, "succeeded"), 0);
	rig_run("job", "{\"value\": 2}");
	rig_line(status, RIG_OUT, "succeeded");
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	rig_line(status, RIG_OUT, "trying again");
	proc = rig_up(NULL, NULL);
	rig_line(status, RIG_OUT, "succeeded");
	keys = open(rig_path("keys"), O_WRONLY | O_CLOEXEC);
	CHECK_INT(write(keys, "\003", 1), 1);
	CHECK_INT(rig_exit(status), 0);
	close(keys);
	CHECK_HAS(rig_text(status, RIG_OUT), "\033[?1049l");
	rig_down(proc);
}

TEST(a_status_is_watched_on_a_terminal_only)
{
	struct rig_answer answer = rig_ctl("status", "--watch", NULL);

	CHECK_INT(answer.status, 2);
	CHECK_TEXT(answer.err, "lwctl: --watch draws on a terminal, and this is none\n");
	CHECK_INT(rig_ctl("status", "--watch", "--json", NULL).status, 2);
}

TEST(a_killed_process_comes_back)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("retries = 3");
	double id = begin(proc, "{\"act\": \"gate\"}");
	double pid = rig_number(rig_work("job"), "processes.0.pid");

	CHECK_INT(rig_ctl("kill", "job", NULL).status, 0);
	CHECK(!rig_pid_lives((pid_t)pid));
	/* The run is over as stopped, which costs no retry and is not run again by itself. */
	CHECK_TEXT(rig_string(run_by_id(id), "stage"), "stopped");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK(rig_number(rig_work("job"), "processes.0.pid") != pid);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 3}"), "result"), 9);
	rig_down(proc);
}

TEST(a_stop_holds_until_start_and_calls_stay_in_the_queue)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("cache_calls = true");
	double id = begin(proc, "{\"act\": \"gate\"}");
	double pid = rig_number(rig_work("job"), "processes.0.pid");
	struct rig_answer queued = rig_ctl("run", "job", "{\"value\": 2}", "--json", NULL);

	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK(!rig_pid_lives((pid_t)pid));
	CHECK_TEXT(rig_string(run_by_id(id), "stage"), "stopped");
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "pending"); /* of its latest call */
	CHECK(rig_true(rig_work("job"), "held"));
	CHECK_INT(rig_number(rig_work("job"), "queue"), 1);
	/* A new call is answered, not remembered. */
	CHECK_TEXT(rig_string(rig_run("job", "{\"value\": 5}"), "stage"), "stopped");
	CHECK_LINES(proc, RIG_OUT, "ran value=", 0);

	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
	AWAIT(rig_is(run_by_id(rig_number(queued.json, "id")), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	rig_down(proc);
}

TEST(a_stop_by_an_operator_never_fails_the_flow)
{
	rig_gate("gate");
	struct rig_proc *proc = rig_up("app { interval = 0.05 }\n"
				       "work 'job' { " FAKE_WORK " }\n"
				       "function flow()\n"
				       "  local run = job:run{ act = 'gate' }\n"
				       "  if run.stage ~= lw.state.last then\n"
				       "    print('stage ' .. run.stage)\n"
				       "    lw.state.last = run.stage\n"
				       "  end\n"
				       "end\n",
				       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "stage running");
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	rig_line(proc, RIG_OUT, "stage stopped");
	CHECK(!rig_is_over(proc));
	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
	/* That call was stopped: it runs again only after retry. */
	CHECK_INT(rig_ctl("retry", "job", "{\"act\": \"gate\"}", NULL).status, 0);
	rig_line(proc, RIG_OUT, "stage running");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "stage succeeded");
	rig_down(proc);
}

TEST(a_stop_in_the_flow_is_undone_by_the_next_call)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " FAKE_WORK " }\n"
		       "function flow()\n"
		       "  local run = job:run{ value = 1 }\n"
		       "  if run.has_succeeded and not lw.state.stopped then\n"
		       "    job:stop()\n"
		       "    lw.state.stopped = true\n"
		       "  elseif run.has_succeeded then\n"
		       "    if job:run{ value = 2 }.has_succeeded then lw.stop() end\n"
		       "  end\n"
		       "end\n",
		       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "ran value=", 2);
}

TEST(restart_puts_the_run_back_as_a_new_attempt_that_costs_no_retry)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("retries = 0");
	double id = begin(proc, "{\"act\": \"gate\", \"value\": 3}");
	double pid = rig_number(rig_work("job"), "processes.0.pid");

	CHECK_INT(rig_ctl("restart", "job", NULL).status, 0);
	rig_line(proc, RIG_OUT, "waiting value=3 attempt=2");
	CHECK(!rig_pid_lives((pid_t)pid));
	rig_open_gate("gate", 1);
	AWAIT(rig_is(run_by_id(id), "stage", "succeeded"));
	CHECK_INT(rig_number(run_by_id(id), "result"), 9);
	CHECK_INT(rig_number(rig_work("job"), "runs.failed"), 0);
	rig_down(proc);
}

TEST(retry_all_runs_again_what_failed)
{
	struct rig_proc *proc = work_with("cache_calls = true");

	rig_run("job", "{\"act\": \"fail\", \"n\": 1}");
	rig_run("job", "{\"act\": \"fail\", \"n\": 2}");
	CHECK_INT(rig_ctl("retry", "job", "--all", NULL).status, 0);
	AWAIT(rig_number(rig_work("job"), "runs.failed") == 4);
	CHECK_INT(rig_ctl("retry", "job", "{\"act\": \"never called\"}", NULL).status, 1);
	rig_down(proc);
}

TEST(a_forgotten_call_runs_again)
{
	struct rig_proc *proc = work_with("cache_calls = true");

	rig_run("job", "{\"value\": 1}");
	CHECK_INT(rig_ctl("forget", "job", "{\"value\": 1}", NULL).status, 0);
	CHECK(!rig_true(rig_run("job", "{\"value\": 1}"), "cached"));
	CHECK_INT(rig_ctl("forget", "job", "--all", NULL).status, 0);
	CHECK(!rig_true(rig_run("job", "{\"value\": 1}"), "cached"));
	CHECK_LINES(proc, RIG_OUT, "ran value=1 ", 3);
	rig_down(proc);
}

TEST(a_call_forgotten_while_it_runs_delivers_and_is_not_cached)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("cache_calls = true");
	double id = begin(proc, "{\"act\": \"gate\", \"value\": 4}");

	CHECK_INT(rig_ctl("forget", "job", "{\"act\": \"gate\", \"value\": 4}", NULL).status, 0);
	rig_open_gate("gate", 2);
	AWAIT(rig_is(run_by_id(id), "stage", "succeeded"));
	CHECK_INT(rig_number(run_by_id(id), "result"), 16);
	CHECK(!rig_true(rig_run("job", "{\"act\": \"gate\", \"value\": 4}"), "cached"));
	rig_down(proc);
}

TEST(run_ends_with_the_runs_own_verdict)
{
	struct rig_proc *proc = work_with("cache_calls = true");
	struct rig_answer answer = rig_ctl("run", "job", "value=7", "--wait", "--json", NULL);

	CHECK_INT(answer.status, 0);
	CHECK_INT(rig_number(answer.json, "result"), 49);
	CHECK(!rig_true(answer.json, "cached"));
	CHECK(json_is_null(rig_at(answer.json, "error")));
	CHECK_INT(strlen(rig_string(answer.json, "key")), 32);
	answer = rig_ctl("run", "job", "act=fail", "text=no good", "--wait", "--json", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_TEXT(rig_string(answer.json, "stage"), "failed");
	CHECK_TEXT(rig_string(answer.json, "error"), "no good");
	rig_down(proc);
}

TEST(run_ends_with_the_exit_status_of_its_command)
{
	/* clang-format off */
	static const struct { const char *ends; int status; } rows[] = {
		{ "exit 0", 0 }, { "exit 1", 1 }, { "exit 7", 7 }, { "exit 255", 255 },
		{ "kill -KILL $$", 137 },
	};
	/* clang-format on */
	struct rig_proc *proc =
		rig_up("work 'sh' { command = { 'sh', '-c' }, parallel = true, timeout = 1 }\n"
		       "function flow() end\n",
		       NULL);

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		CHECK_INT(rig_ctl("run", "sh", rig_format("[\"%s\"]", rows[i].ends), "--wait", NULL)
				  .status,
			  rows[i].status);
	/* A failure that is held has the status it had. */
	CHECK_INT(rig_ctl("run", "sh", "[\"exit 7\"]", "--wait", NULL).status, 7);
	CHECK_INT(rig_ctl("run", "sh", "[\"exit 7\"]", NULL).status, 0);
	CHECK_INT(rig_ctl("run", "sh", "[\"sleep 60\"]", "--wait", NULL).status, 1);
	rig_down(proc);
}

TEST(a_failed_call_that_is_forgotten_is_in_no_trouble)
{
	struct rig_proc *proc = work_with("cache_calls = true");

	CHECK_INT(rig_ctl("run", "job", "act=fail", "--wait", NULL).status, 1);
	CHECK_HAS(rig_ctl("status", "job", NULL).out, "\nrun again  lwctl retry job ");
	CHECK_INT(rig_ctl("forget", "job", "act=fail", NULL).status, 0);
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "started");
	CHECK(strstr(rig_ctl("status", "job", NULL).out, "retry") == NULL);
	CHECK_INT(rig_ctl("run", "job", "act=fail", "--wait", NULL).status, 1);
	CHECK_INT(rig_ctl("forget", "job", "--all", NULL).status, 0);
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "started");
	rig_down(proc);
}

static struct rig_answer ctl_to(const char *file, const char *words)
{
	struct rig_proc *proc = rig_spawn(
		"sh", "-c", rig_format("exec " LW_BIN "/lwctl %s >%s", words, file), NULL);
	struct rig_answer answer = { .status = rig_exit(proc) };

	answer.err = rig_text(proc, RIG_ERR);
	return answer;
}

TEST(what_cannot_be_printed_is_said_and_fails)
{
	static const char *const verbs[] = { "status",      "works --json", "runs --json",
					     "logs -n all", "logs -f",      "events --after 1.1",
					     "help",        "show 1",       "logs --json" };
	struct rig_proc *proc = work_with("cache_calls = true");
	char text[100001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)rig_run("job", rig_format("{\"value\": 2, \"text\": \"%s\"}", text));
	for (size_t i = 0; i < LW_COUNT(verbs); i++) {
		struct rig_answer answer = ctl_to("/dev/full", verbs[i]);

		printf("%s\n", verbs[i]);
		CHECK_INT(answer.status, 1);
		CHECK(strstr(answer.err, "lwctl: cannot write: ") != NULL ||
		      strstr(answer.err, "lwctl: not everything could be written") != NULL);
	}
	rig_down(proc);
}

TEST(who_follows_for_nobody_ends)
{
	struct rig_proc *proc = work_with("cache_calls = true"), *gone[2];

	gone[0] = rig_spawn("sh", "-c", LW_BIN "/lwctl events | exec sleep 0.1", NULL);
	gone[1] = rig_spawn("sh", "-c", LW_BIN "/lwctl logs -f | exec sleep 0.1", NULL);
	for (size_t i = 0; i < LW_COUNT(gone); i++)
		CHECK_INT(rig_exit(gone[i]), 0);
	rig_down(proc);
}

TEST(runs_are_listed_newest_first)
{
	struct rig_proc *proc = work_with("cache_calls = true");
	struct rig_answer answer;

	for (int i = 1; i <= 3; i++)
		rig_run("job", rig_format("{\"value\": %d}", i));
	answer = rig_ctl("runs", "job", "--json", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_INT(json_array_size(rig_at(answer.json, "runs")), 3);
	CHECK_INT(rig_number(answer.json, "runs.0.result"), 9);
	answer = rig_http("GET", "/api/v1/works/job/runs?limit=1", NULL);
	CHECK_INT(json_array_size(rig_at(answer.json, "runs")), 1);
	CHECK_INT(rig_http("GET", "/api/v1/runs/99999", NULL).status, 404);
	rig_down(proc);
}

TEST(the_flows_state_is_read_and_patched)
{
	struct rig_proc *proc = rig_up("work 'job' { command = { 'true' } }\n"
				       "function flow()\n"
				       "  if lw.state.go then print('went ' .. lw.state.go) end\n"
				       "end\n",
				       "--no-prefix", NULL);
	struct rig_answer answer = rig_http("PATCH", "/api/v1/state", "{\"go\": \"west\"}");

	CHECK_INT(answer.status / 100, 2);
	rig_line(proc, RIG_OUT, "went west");
	answer = rig_ctl("state", "--json", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_TEXT(rig_string(answer.json, "go"), "west");
	rig_down(proc);
}

TEST(lwctl_has_the_exit_statuses_it_promises)
{
	CHECK_INT(rig_ctl("status", NULL).status == 0, 0);
	struct rig_proc *proc = work_with("cache_calls = true");
	struct rig_answer answer;

	CHECK_INT(rig_ctl("status", NULL).status, 0);
	answer = rig_ctl("stop", "jbo", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, "job");
	CHECK_INT(rig_ctl("frobnicate", NULL).status, 2);
	CHECK_INT(rig_ctl("stop", NULL).status, 2);
	rig_down(proc);
	CHECK_INT(rig_ctl("status", NULL).status, 3);
}

TEST(lwctl_finds_the_app_by_its_file)
{
	struct rig_proc *proc = work_with("cache_calls = true");
	struct rig_proc *ctl =
		rig_spawn(LW_BIN "/lwctl", "-c", rig_path("app.conf"), "status", NULL);

	CHECK_INT(rig_exit(ctl), 0);
	rig_down(proc);
}

TEST(a_client_that_goes_away_ends_its_waiting_not_the_run)
{
	rig_gate("gate");
	struct rig_proc *proc = work_with("cache_calls = true");
	struct rig_proc *ctl =
		rig_spawn(LW_BIN "/lwctl", "run", "job", "{\"act\": \"gate\"}", "--wait", NULL);

	rig_line(proc, RIG_OUT, "waiting");
	rig_signal(ctl, SIGKILL);
	rig_exit(ctl);
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	rig_down(proc);
}

TEST(steering_may_be_asked_for_without_waiting)
{
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'ignore_term' }, parallel = true,"
		       " stop_timeout = 1 }\n"
		       "function flow() job:run() end\n",
		       NULL);
	double before;

	rig_line(proc, RIG_OUT, "ignoring");
	before = rig_now();
	CHECK_INT(rig_http("POST", "/api/v1/works/job/stop?wait=false", "").status / 100, 2);
	CHECK(rig_now() - before < 0.9);
	CHECK_TEXT(rig_string(rig_work("job"), "processes.0.state"), "stopping");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "down"));
	rig_down(proc);
}
