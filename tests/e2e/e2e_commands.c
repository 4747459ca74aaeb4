/* e2e_commands.c - works that are commands: lw-worker, one command a run. Run by ctest;
 * scripts/test runs them once more with lw-worker under valgrind. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* An app with one command, `job`; runs are made by hand. */
static struct rig_proc *command(const char *argv)
{
	return rig_up(rig_format("work 'job' { command = { %s }, parallel = true,"
				 " stop_timeout = 1 }\n"
				 "function flow() end\n",
				 argv),
		      "--no-prefix", NULL);
}

static json_t *succeeds(const char *arguments)
{
	json_t *run = rig_run("job", arguments);

	CHECK_TEXT(rig_string(run, "stage"), "succeeded");
	return run;
}

TEST(placeholders_stand_for_arguments_without_a_shell)
{
	struct rig_proc *proc =
		command("'printf', '[%s][%s][%s][%s]\\\\n', '{value}', 'a{1}b', '{{x}', '{name}'");
	struct rig_answer answer;

	/* A call has positional arguments and named ones; the API takes both. */
	answer =
		rig_http("POST", "/api/v1/works/job/run",
			 "{\"args\": [\"$(id)\"], \"kwargs\": {\"value\": 1, \"name\": \"; ls\"}}");
	CHECK_INT(answer.status, 200);
	CHECK_TEXT(rig_string(answer.json, "stage"), "succeeded");
	rig_line(proc, RIG_OUT, "[1][a$(id)b][{x}][; ls]");
	rig_down(proc);
}

TEST(without_placeholders_arguments_are_appended)
{
	struct rig_proc *proc = command("'sh', '-c', 'printf \"[%s]\" \"$@\"; echo', 'sh'");

	rig_http("POST", "/api/v1/works/job/run",
		 "{\"args\": [\"a b\", 2, true], \"kwargs\": {\"z\": 1.5, \"on\": true,"
		 " \"off\": false, \"list\": [1, 2]}}");
	rig_line(proc, RIG_OUT, "[a b][2][true][--list=[1,2]][--on][--z=1.5]");
	rig_down(proc);
}

TEST(a_missing_argument_fails_the_run_with_its_name)
{
	struct rig_proc *proc = command("'echo', '{value}'");
	json_t *run = rig_run("job", "{\"other\": 1}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_HAS(rig_string(run, "error"), "value");
	rig_down(proc);
}

TEST(the_call_is_in_the_environment_and_in_a_file)
{
	struct rig_proc *proc = command(
		"'sh', '-c', 'echo \"env $LW_ARGS\"; echo \"file $(cat \"$LW_ARGS_FILE\")\"',"
		" 'sh', '{value}'");
	const char *line;

	succeeds("{\"value\": 17}");
	line = rig_line(proc, RIG_OUT, "env ");
	CHECK_HAS(line, "17");
	CHECK_HAS(rig_line(proc, RIG_OUT, "file "), line + 4);
	rig_down(proc);
}

TEST(what_is_set_on_descriptor_3_is_state_and_result)
{
	struct rig_proc *proc =
		command("'sh', '-c', 'echo \"{\\\\\"data\\\\\": \\\\\"day.csv\\\\\"}\" >&3;"
			" echo nonsense >&3; echo \"{\\\\\"rows\\\\\": 12}\" >&3', 'sh', '{1}'");
	struct rig_answer answer =
		rig_http("POST", "/api/v1/works/job/run", "{\"args\": [\"today\"]}");

	CHECK_TEXT(rig_string(answer.json, "stage"), "succeeded");
	CHECK_TEXT(rig_string(answer.json, "result.data"), "day.csv");
	CHECK_INT(rig_number(answer.json, "result.rows"), 12);
	CHECK_TEXT(rig_string(rig_work("job"), "state.data"), "day.csv");
	rig_down(proc);
}

TEST(a_reported_result_stands_before_what_was_set)
{
	struct rig_proc *proc = command(
		"'sh', '-c', 'echo \"{\\\\\"data\\\\\": 1}\" >&3;"
		" echo \"{\\\\\"lw\\\\\": {\\\\\"progress\\\\\": 0.5}}\" >&3;"
		" echo \"{\\\\\"lw\\\\\": {\\\\\"result\\\\\": [1, 2]}}\" >&3', 'sh', '{1}'");
	struct rig_answer answer = rig_http("POST", "/api/v1/works/job/run", "{\"args\": [1]}");

	CHECK_TEXT(rig_string(answer.json, "stage"), "succeeded");
	CHECK_INT(rig_number(answer.json, "result.1"), 2);
	CHECK_INT(rig_number(rig_work("job"), "state.data"), 1);
	rig_down(proc);
}

TEST(an_exit_status_fails_the_run_with_the_last_lines_of_stderr)
{
	struct rig_proc *proc = command(
		"'sh', '-c', 'echo one >&2; echo the end is near >&2; exit $1', 'sh', '{n}'");
	json_t *run = rig_run("job", "{\"n\": 5}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_TEXT(rig_string(run, "reason"), "exit status 5");
	CHECK_HAS(rig_string(run, "error"), "the end is near");
	rig_down(proc);
}

TEST(a_signal_fails_the_run_with_its_name)
{
	struct rig_proc *proc = command("'sh', '-c', 'kill -SEGV $$', 'sh', '{n}'");
	json_t *run = rig_run("job", "{\"n\": 5}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_HAS(rig_string(run, "reason"), "SEGV");
	rig_down(proc);
}

TEST(a_command_that_cannot_be_executed_says_so)
{
	rig_write("tool", "#!/no/such/interpreter\n");
	CHECK_INT(rig_exit(rig_spawn("chmod", "755", rig_path("tool"), NULL)), 0);
	struct rig_proc *proc = command("'./tool', '{n}'");
	json_t *run = rig_run("job", "{\"n\": 5}");

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_HAS(rig_string(run, "error"), "tool");
	rig_down(proc);
}

TEST(standard_input_is_empty_and_the_folder_is_that_of_app_conf)
{
	struct rig_proc *proc = command("'sh', '-c', 'cat; pwd; echo over', 'sh', '{n}'");

	succeeds("{\"n\": 1}");
	rig_line(proc, RIG_OUT, rig_folder());
	rig_line(proc, RIG_OUT, "over");
	rig_down(proc);
}

TEST(what_a_command_leaves_behind_is_gone_before_its_run_is_over)
{
	struct rig_proc *proc =
		command("'sh', '-c', 'setsid sleep 1000 & sleep 1001 & (setsid sleep 1002 &) ;"
			" echo \"left $!\"', 'sh', '{n}'");
	double lw_worker;

	succeeds("{\"n\": 1}");
	CHECK(!rig_pid_lives((pid_t)atoi(rig_line(proc, RIG_OUT, "left ") + 5)));
	/* lw-worker itself stays for the next run. */
	lw_worker = rig_number(rig_work("job"), "processes.0.pid");
	CHECK(rig_pid_lives((pid_t)lw_worker));
	succeeds("{\"n\": 2}");
	CHECK_INT(rig_number(rig_work("job"), "processes.0.pid"), lw_worker);
	rig_down(proc);
}

TEST(descriptor_3_ends_with_the_command_whoever_holds_it)
{
	struct rig_proc *proc = command("'sh', '-c', 'setsid sleep 1000 3>&3 & echo "
					"\"{\\\\\"x\\\\\": 4}\" >&3', 'sh', '{n}'");

	CHECK_INT(rig_number(succeeds("{\"n\": 1}"), "result.x"), 4);
	rig_down(proc);
}

TEST(a_large_call_is_only_in_the_file)
{
	struct rig_proc *proc = command("'sh', '-c', 'echo \"env ${LW_ARGS:-none}\"; wc -c < "
					"\"$LW_ARGS_FILE\"', 'sh', '{n}'");
	size_t size = 200000;
	char *text = lw_alloc(size + 1);
	struct rig_answer answer;

	memset(text, 'x', size);
	answer = rig_http("POST", "/api/v1/works/job/run",
			  rig_format("{\"kwargs\": {\"n\": 1, \"big\": \"%s\"}}", text));
	free(text);
	CHECK_INT(answer.status, 200);
	CHECK_TEXT(rig_string(answer.json, "stage"), "succeeded");
	rig_line(proc, RIG_OUT, "env none");
	CHECK(atoi(rig_line(proc, RIG_OUT, "20")) > 200000);
	rig_down(proc);
}

TEST(a_stopped_command_ends_with_everything_below_it)
{
	struct rig_proc *proc =
		command("'sh', '-c', 'setsid sleep 1000 & echo \"left $!\"; wait', 'sh', '{n}'");
	pid_t pid;

	CHECK_INT(rig_ctl("run", "job", "{\"n\": 1}", NULL).status, 0);
	pid = (pid_t)atoi(rig_line(proc, RIG_OUT, "left ") + 5);
	AWAIT(rig_pid_lives(pid));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK(!rig_pid_lives(pid));
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "stopped");
	rig_down(proc);
}

TEST(many_runs_one_after_another)
{
	struct rig_proc *proc = rig_up(
		"work 'job' { command = { 'true' }, parallel = true, processes = 2 }\n"
		"function flow()\n"
		"  local done = 0\n"
		"  for i = 1, 50 do if job:run(i).has_succeeded then done = done + 1 end end\n"
		"  if done == 50 then lw.stop() end\n"
		"end\n",
		NULL);

	CHECK_INT(rig_exit(proc), 0);
}
