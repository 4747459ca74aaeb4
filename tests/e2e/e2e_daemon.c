/* e2e_daemon.c - lw-supervisor as a program: its options, its exit statuses, its signals, its
 * console. Run by ctest, one test a process. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVE "work 'job' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"

static const char quiet_conf[] = SERVE "function flow() end\n";

/* ---- exit statuses ---------------------------------------------------------------------- */

TEST(lw_stop_ends_with_0)
{
	struct rig_proc *proc =
		rig_supervisor(SERVE "function flow() lw.stop('that is all') end\n", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_children(), 0);
}

/* The last line on standard error. */
static const char *last_words(struct rig_proc *proc)
{
	const char *text = rig_text(proc, RIG_ERR);
	size_t size = strlen(text);

	while (size > 0 && text[size - 1] == '\n')
		size--;
	text = rig_format("%.*s", (int)size, text);
	return strrchr(text, '\n') == NULL ? text : strrchr(text, '\n') + 1;
}

TEST(lw_fail_ends_with_1_and_the_reason_last)
{
	struct rig_proc *proc =
		rig_supervisor(SERVE "function flow() lw.fail('no luck today') end\n", NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(last_words(proc), "no luck today");
}

TEST(an_error_in_the_flow_ends_with_1_and_its_line)
{
	struct rig_proc *proc = rig_supervisor(SERVE "function flow()\n"
						     "  local x = nil + 1\n"
						     "end\n",
					       NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(last_words(proc), "app.conf:3:");
}

TEST(a_failed_run_that_nobody_catches_ends_with_1_and_its_message)
{
	struct rig_proc *proc = rig_supervisor(
		SERVE "function flow() job:run{ act = 'fail', text = 'the oven is cold' } end\n",
		NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(last_words(proc), "the oven is cold");
	CHECK_HAS(last_words(proc), "job");
}

TEST(a_failed_run_can_be_caught)
{
	struct rig_proc *proc = rig_supervisor(
		SERVE "function flow()\n"
		      "  local ok, why = pcall(function() job:run{ act = 'fail' } end)\n"
		      "  if not ok then print('caught: ' .. tostring(why)) lw.stop() end\n"
		      "end\n",
		"--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_HAS(rig_text(proc, RIG_OUT), "caught: ");
	CHECK_HAS(rig_text(proc, RIG_OUT), "it did not work");
}

TEST(a_flow_that_does_not_end_is_interrupted_with_its_line)
{
	struct rig_proc *proc =
		rig_supervisor("app { flow_timeout = 0.3 }\n" SERVE "function flow()\n"
			       "  while true do end\n"
			       "end\n",
			       NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(last_words(proc), "app.conf:4:");
}

static void refuses(const char *conf, const char *says)
{
	struct rig_proc *proc = rig_supervisor(conf, NULL);

	CHECK_INT(rig_exit(proc), 2);
	CHECK_HAS(rig_text(proc, RIG_ERR), says);
	CHECK_TEXT(rig_text(proc, RIG_OUT), "");
}

TEST(an_unknown_option_ends_with_2_and_the_nearest_one)
{
	refuses("\nwork 'job' { command = { 'true' }, paralel = true }\nfunction flow() end\n",
		"parallel");
	refuses("\nwork 'job' { command = { 'true' }, paralel = true }\nfunction flow() end\n",
		"app.conf:2:");
}

TEST(a_wrong_type_ends_with_2)
{
	refuses("work 'job' { command = { 'true' }, retries = 'many' }\nfunction flow() end\n",
		"retries");
}

TEST(a_missing_program_ends_with_2)
{
	refuses("work 'job' { program = './no-such-program' }\nfunction flow() end\n",
		"no-such-program");
}

TEST(no_file_ends_with_2)
{
	struct rig_proc *proc = rig_spawn(LW_BIN "/lw-supervisor", "nothing.conf", NULL);

	CHECK_INT(rig_exit(proc), 2);
	CHECK_HAS(rig_text(proc, RIG_ERR), "nothing.conf");
}

TEST(a_word_of_the_command_line_that_is_near_another_is_told_so)
{
	/* clang-format off */
	static const struct { const char *word, *value, *says; } rows[] = {
		{ "--chekc", NULL, "lw-supervisor: unknown option '--chekc' (did you mean '--check'?)\n" },
		{ "--zzz", NULL, "lw-supervisor: unknown option '--zzz'\n" },
		{ "--log-level", "loud", "unknown log level 'loud' (error, warning, info or debug)\n" },
		{ "--log-format", "xml", "unknown log format 'xml' (text or json)\n" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct rig_proc *proc =
			rig_spawn(LW_BIN "/lw-supervisor", rows[i].word, rows[i].value, NULL);

		CHECK_INT(rig_exit(proc), 2);
		CHECK_HAS(rig_text(proc, RIG_ERR), rows[i].says);
	}
}

TEST(bad_usage_ends_with_2)
{
	CHECK_INT(rig_exit(rig_spawn(LW_BIN "/lw-supervisor", NULL)), 2);
	CHECK_INT(rig_exit(rig_spawn(LW_BIN "/lw-supervisor", "--no-such-option", NULL)), 2);
}

TEST(a_second_supervisor_on_the_same_state_ends_with_3)
{
	struct rig_proc *first = rig_up(quiet_conf, NULL);
	struct rig_proc *second = rig_supervisor(NULL, NULL);

	CHECK_INT(rig_exit(second), 3);
	CHECK(!rig_is_over(first));
	CHECK_INT(rig_run("job", "{\"value\": 3}") != NULL, 1);
	rig_down(first);
	/* The lock ends with its holder. */
	rig_down(rig_up(NULL, NULL));
}

/* ---- options ------------------------------------------------------------------------------ */

TEST(help_and_version)
{
	struct rig_proc *help = rig_spawn(LW_BIN "/lw-supervisor", "--help", NULL);
	struct rig_proc *version = rig_spawn(LW_BIN "/lw-supervisor", "--version", NULL);

	CHECK_INT(rig_exit(help), 0);
	CHECK_HAS(rig_text(help, RIG_OUT), "--state-dir");
	CHECK_HAS(rig_text(help, RIG_OUT), "--drain");
	CHECK_INT(rig_exit(version), 0);
	CHECK_HAS(rig_text(version, RIG_OUT), LW_VERSION);
}

TEST(check_only_checks)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'job' { command = { 'touch', 'ran' } }\nfunction flow() job:run() end\n",
		"--check", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK(rig_read("ran") == NULL);
	CHECK(access(rig_path(".lw"), F_OK) != 0);
	proc = rig_supervisor("work 'job' { comand = { 'true' } }\n", "--check", NULL);
	CHECK_INT(rig_exit(proc), 2);
	CHECK_HAS(rig_text(proc, RIG_ERR), "command");
}

TEST(print_config_is_the_settled_app_in_json)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'job' { command = { 'true' }, timeout = '2h' }\nfunction flow() end\n",
		"--print-config", NULL);
	json_t *json;

	CHECK_INT(rig_exit(proc), 0);
	json = json_loads(rig_text(proc, RIG_OUT), 0, NULL);
	CHECK(json != NULL);
	json_decref(json);
	CHECK_HAS(rig_text(proc, RIG_OUT), "cache_calls");
	CHECK_HAS(rig_text(proc, RIG_OUT), "\"job\"");
	CHECK(access(rig_path(".lw"), F_OK) != 0);
}

TEST(the_state_directory_can_be_chosen)
{
	const char *other = rig_path("elsewhere");
	struct rig_proc *proc = rig_up(quiet_conf, "--state-dir", other, NULL);
	struct stat info;

	CHECK(stat(other, &info) == 0 && (info.st_mode & 0777) == 0700);
	CHECK(access(rig_path(".lw"), F_OK) != 0);
	CHECK_INT(rig_ctl("status", NULL).status, 3);
	setenv("LW_CONTROL", rig_path("elsewhere/control.sock"), 1);
	CHECK_INT(rig_ctl("status", NULL).status, 0);
	CHECK(stat(rig_path("elsewhere/control.sock"), &info) == 0);
	CHECK_INT(info.st_mode & 0777, 0600);
	unsetenv("LW_CONTROL");
	setenv("LW_STATE_DIR", other, 1);
	CHECK_INT(rig_ctl("status", NULL).status, 0);
	unsetenv("LW_STATE_DIR");
	rig_down(proc);
}

/* What stands on standard output behind the line that says that the app has started. */
static const char *printed(struct rig_proc *proc)
{
	const char *text = rig_text(proc, RIG_OUT);

	CHECK_INT(strncmp(text, "Your app has started.", 21), 0);
	return strchr(text, '\n') + 1;
}

TEST(lines_bear_the_name_of_their_work_unless_no_prefix)
{
	static const char conf[] = "work 'job' { command = { 'echo', 'hello' } }\n"
				   "function flow() job:run() print('over') lw.stop() end\n";
	struct rig_proc *proc = rig_supervisor(conf, NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "job | hello", 1);
	proc = rig_supervisor(conf, "--no-prefix", "--state-dir", rig_path("fresh"), NULL);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), "hello\nover\n");
}

TEST(standard_error_of_works_goes_to_standard_error)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'job' { command = { 'sh', '-c', 'echo out; echo err >&2; printf end' } }\n"
		"function flow() job:run() lw.stop() end\n",
		"--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), "out\nend\n");
	CHECK_LINES(proc, RIG_ERR, "err", 1);
}

/* ---- drain --------------------------------------------------------------------------------- */

TEST(drain_ends_with_0_when_nothing_is_left_to_do)
{
	struct rig_proc *proc = rig_supervisor(
		SERVE "work 'next_job' { command = { 'echo', 'second {1}' }, parallel = true }\n"
		      "function flow()\n"
		      "  local run = job:run{ value = 3 }\n"
		      "  if run.has_succeeded then next_job:run(run.result) end\n"
		      "end\n",
		"--drain", "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_HAS(rig_text(proc, RIG_OUT), "second 9\n");
	CHECK_INT(rig_children(), 0);
}

TEST(drain_ends_with_1_when_something_failed)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'bad' { command = { 'false' }, raise_exception = false, parallel = true }\n"
		"work 'good' { command = { 'echo', 'done' }, parallel = true }\n"
		"function flow() bad:run() good:run() end\n",
		"--drain", "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_OUT), "done\n");
}

TEST(drain_ends_with_1_also_for_what_failed_before)
{
	struct rig_proc *proc = rig_supervisor(
		"work 'bad' { command = { 'sh', '-c', 'echo no >&2; exit 3' }, parallel = true,\n"
		"  raise_exception = false }\n"
		"function flow() bad:run() end\n",
		"--drain", "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 1);
	proc = rig_supervisor(NULL, "--drain", "--no-prefix", NULL);
	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), "journal failed=1: calls that failed are held");
	CHECK_HAS(rig_text(proc, RIG_ERR), "work 'bad': held: failed");
}

TEST(drain_waits_for_retries)
{
	struct rig_proc *proc =
		rig_supervisor("work 'job' { program = { lw.env('FAKE'), 'serve' }, retries = 2,"
			       " retry_delay = 0.3, parallel = true }\n"
			       "function flow() job:run{ act = 'fail', ['until'] = 3 } end\n",
			       "--drain", "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "failing attempt=", 3);
}

/* ---- signals --------------------------------------------------------------------------------- */

static const char gate_conf[] =
	"work 'job' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"
	"function flow() job:run{ act = 'gate' } end\n";

static void ends_by(int signal)
{
	struct rig_proc *proc;
	pid_t pid;

	rig_gate("gate");
	proc = rig_up(gate_conf, NULL);
	rig_line(proc, RIG_OUT, "waiting");
	pid = (pid_t)rig_number(rig_work("job"), "processes.0.pid");
	rig_signal(proc, signal);
	CHECK_INT(rig_exit(proc), 0);
	CHECK(!rig_pid_lives(pid));
	CHECK_INT(rig_children(), 0);
	CHECK(access(rig_path(".lw/app.conf/control.sock"), F_OK) != 0);
}

TEST(term_stops_the_works_first_and_ends_with_0)
{
	ends_by(SIGTERM);
}

TEST(int_stops_the_works_first_and_ends_with_0)
{
	ends_by(SIGINT);
}

TEST(a_second_int_ends_at_once)
{
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'ignore_term' }, parallel = true,"
		       " stop_timeout = '10m' }\n"
		       "function flow() job:run() end\n",
		       NULL);

	rig_line(proc, RIG_OUT, "ignoring");
	rig_signal(proc, SIGINT);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "stopping"));
	CHECK(!rig_is_over(proc));
	rig_signal(proc, SIGINT);
	rig_exit(proc);
	AWAIT(rig_children() == 0);
}

TEST(lwctl_can_end_the_app)
{
	struct rig_proc *proc = rig_up(quiet_conf, NULL);

	CHECK_INT(rig_http("POST", "/api/v1/app/stop", "").status / 100, 2);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_ctl("status", NULL).status, 3);
}

/* ---- what can't hold up the loop ------------------------------------------------------------ */

TEST(a_stopped_reader_of_the_console_holds_up_nothing)
{
	struct rig_proc *proc = rig_up(SERVE "function flow() end\n", NULL);

	rig_hold(proc, true);
	for (int i = 0; i < 5; i++) {
		json_t *run = rig_run("job", rig_format("{\"act\": \"print\", \"lines\": 40000,"
							" \"i\": %d}",
							i));
		CHECK_TEXT(rig_string(run, "stage"), "succeeded");
	}
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	rig_hold(proc, false);
	/* It says how much was lost. */
	AWAIT(rig_count(proc, RIG_ERR, "dropped") + rig_count(proc, RIG_OUT, "dropped") > 0);
	rig_down(proc);
}

TEST(a_stopped_reader_does_not_keep_the_app_from_ending)
{
	struct rig_proc *proc = rig_up(SERVE "function flow() end\n", NULL);

	rig_hold(proc, true);
	rig_run("job", "{\"act\": \"print\", \"lines\": 40000}");
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
}

TEST(a_client_that_stops_reading_holds_up_nothing)
{
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'serve' } }\n"
		       "for i = 1, 1000 do work('w' .. i) { command = { 'true' } } end\n"
		       "function flow() end\n",
		       NULL);
	static const char request[] = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fds[8];

	for (size_t i = 0; i < LW_COUNT(fds); i++) {
		fds[i] = rig_dial(rig_path(".lw/app.conf/control.sock"));
		for (int k = 0; k < 20; k++)
			(void)send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL);
	}
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	for (size_t i = 0; i < LW_COUNT(fds); i++)
		close(fds[i]);
	CHECK_INT(json_array_size(rig_at(rig_status(), "works")), 1001);
	rig_down(proc);
}

TEST(the_status_of_a_thousand_works)
{
	struct rig_proc *proc =
		rig_up("for i = 1, 1000 do work('w' .. i) { command = { 'true' } } end\n"
		       "function flow() end\n",
		       NULL);
	double before = rig_now();
	struct rig_answer answer = rig_ctl("status", "--json", NULL);

	CHECK_INT(answer.status, 0);
	CHECK_INT(json_array_size(rig_at(answer.json, "works")), 1000);
	CHECK(rig_now() - before < 5);
	rig_down(proc);
}

TEST(half_a_request_holds_up_nothing)
{
	struct rig_proc *proc = rig_up(quiet_conf, NULL);
	int fd = rig_dial(rig_path(".lw/app.conf/control.sock"));

	CHECK(send(fd, "POST /api/v1/works/job/run HTTP/1.1\r\nContent-Le", 47, MSG_NOSIGNAL) ==
	      47);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	rig_down(proc);
	close(fd);
}

TEST(garbage_on_the_control_socket_disturbs_nobody)
{
	struct rig_proc *proc = rig_up(quiet_conf, NULL);
	int fd = rig_dial(rig_path(".lw/app.conf/control.sock"));

	CHECK(send(fd, "\0\1\2\3 rubbish\r\n\r\n", 15, MSG_NOSIGNAL) == 15);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	CHECK_INT(rig_http("GET", "/api/v1/nothing", NULL).status, 404);
	CHECK_INT(rig_http("POST", "/api/v1/works/job/run", "{ not json").status, 400);
	CHECK_INT(rig_http("POST", "/api/v1/works/jbo/run", "{}").status, 404);
	rig_down(proc);
	close(fd);
}

TEST(an_idle_app_makes_no_passes)
{
	struct rig_proc *proc = rig_up(
		"app { interval = 0 }\n" SERVE "function flow() job:run{ value = 1 } end\n", NULL);
	double passes;

	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	passes = rig_number(rig_status(), "app.passes");
	for (double until = rig_now() + 0.5; rig_pump(until);)
		continue;
	CHECK(rig_number(rig_status(), "app.passes") <= passes + 1);
	CHECK(passes < 20);
	rig_down(proc);
}
