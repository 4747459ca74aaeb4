/* e2e_villains.c - works that break every rule, beside one that keeps them.
 *
 * In each case the bystander's process goes on as if nothing were, new calls of it succeed, and
 * the status of the villain says what happened. Run by ctest, one test a process.
 */
#include "rig.h"

#include <signal.h>
#include <unistd.h>

/* clang-format off */
static const char conf[] =
	"app { interval = 0.2 }\n"
	"work 'bystander' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"
	"work 'villain' {\n"
	"  program = { lw.env('FAKE'), lw.env('VILLAIN'), lw.env('WHEN', 'run') },\n"
	"  parallel = true, raise_exception = false,\n"
	"  start_timeout = tonumber(lw.env('START_TIMEOUT', '2')),\n"
	"  timeout = tonumber(lw.env('TIMEOUT', '1')), stop_timeout = 0.5,\n"
	"}\n"
	"function flow()\n"
	"  bystander:run{ value = 2 }\n"
	"  villain:run{}\n"
	"end\n";
/* clang-format on */

static double bystander_pid;
static int bystander_calls;

static struct rig_proc *play(const char *villain, const char *when)
{
	struct rig_proc *proc;

	setenv("VILLAIN", villain, 1);
	setenv("WHEN", when, 1);
	proc = rig_up(conf, NULL);
	AWAIT(rig_number(rig_work("bystander"), "runs.succeeded") == 1);
	bystander_pid = rig_number(rig_work("bystander"), "processes.0.pid");
	return proc;
}

static void others_go_on(void)
{
	int value = 100 + bystander_calls++;
	json_t *run = rig_run("bystander", rig_format("{\"value\": %d}", value));

	CHECK_TEXT(rig_string(run, "stage"), "succeeded");
	CHECK_INT(rig_number(run, "result"), value * value);
	CHECK_INT(rig_number(rig_work("bystander"), "processes.0.pid"), bystander_pid);
	CHECK_INT(rig_number(rig_work("bystander"), "processes.0.starts"), 1);
}

/* What `lwctl status --json` says of the villain, as text. */
static const char *status_text(void)
{
	struct rig_answer answer = rig_ctl("status", "--json", NULL);
	json_t *works = rig_at(answer.json, "works"), *work;
	size_t i;

	CHECK_INT(answer.status, 0);
	json_array_foreach(works, i, work)
	{
		if (rig_is(work, "name", "villain")) {
			char *text = json_dumps(work, 0);
			const char *kept = rig_format("%s", text);

			free(text);
			return kept;
		}
	}
	return "";
}

static void await_status(const char *part)
{
	double until = rig_deadline();

	while (strstr(status_text(), part) == NULL) {
		if (!rig_pump(until))
			rig_fail(__FILE__, __LINE__, "the status never said '%s': %s", part,
				 status_text());
	}
}

TEST(one_that_exits_at_once_is_started_again_with_pauses_and_given_up)
{
	struct rig_proc *proc = play("exits", "run");

	await_status("exit status 3");
	AWAIT(rig_number(rig_work("villain"), "processes.0.starts") >= 3);
	others_go_on();
	AWAIT(rig_is(rig_work("villain"), "processes.0.state", "waiting to restart"));
	CHECK(rig_number(rig_work("villain"), "processes.0.next_try") >= 0);
	others_go_on();
	rig_down(proc);
}

TEST(one_that_never_dials_fails_by_start_timeout)
{
	struct rig_proc *proc = play("mute", "run");

	rig_line(proc, RIG_OUT, "mute");
	others_go_on();
	await_status("start_timeout");
	others_go_on();
	rig_down(proc);
}

TEST(one_with_a_wrong_token_is_refused)
{
	struct rig_proc *proc = play("wrong_token", "run");

	rig_line(proc, RIG_OUT, "answer: refuse");
	others_go_on();
	await_status("wrong token");
	rig_down(proc);
}

TEST(a_token_used_twice_is_refused_the_second_time_and_the_first_serves_on)
{
	struct rig_proc *proc = play("token_twice", "run");

	rig_line(proc, RIG_OUT, "second: refuse");
	AWAIT(rig_is(rig_work("villain"), "stage", "succeeded"));
	await_status("token");
	others_go_on();
	rig_down(proc);
}

/* Bytes instead of a hello: the connection is closed, the process has until start_timeout. */
static void bytes_before_hello(const char *wish)
{
	struct rig_proc *proc = play(wish, "first");

	rig_line(proc, RIG_OUT, rig_format("sent %s", wish));
	others_go_on();
	rig_line(proc, RIG_OUT, "hung up");
	others_go_on();
	await_status("start_timeout");
	rig_down(proc);
}

/* Bytes in the middle of a run. */
static void bytes_in_a_run(const char *wish)
{
	struct rig_proc *proc = play(wish, "run");

	rig_line(proc, RIG_OUT, rig_format("sent %s", wish));
	others_go_on();
	rig_line(proc, RIG_OUT, "hung up");
	await_status("broke the protocol");
	AWAIT(rig_is(rig_work("villain"), "stage", "failed"));
	others_go_on();
	rig_down(proc);
}

TEST(half_a_hello_and_silence)
{
	setenv("START_TIMEOUT", "1", 1);
	struct rig_proc *proc = play("half_frame", "first");

	rig_line(proc, RIG_OUT, "sent half_frame");
	others_go_on();
	await_status("start_timeout");
	others_go_on();
	rig_down(proc);
}

TEST(half_a_frame_in_a_run_and_silence_ends_by_timeout)
{
	struct rig_proc *proc = play("half_frame", "run");

	rig_line(proc, RIG_OUT, "sent half_frame");
	others_go_on();
	AWAIT(rig_is(rig_work("villain"), "stage", "failed"));
	CHECK_TEXT(rig_string(rig_work("villain"), "reason"), "timeout");
	others_go_on();
	rig_down(proc);
}

TEST(garbage_instead_of_a_hello)
{
	bytes_before_hello("garbage");
}

TEST(garbage_in_a_run)
{
	bytes_in_a_run("garbage");
}

TEST(a_gigabyte_announced_instead_of_a_hello)
{
	bytes_before_hello("gigabyte");
}

TEST(a_gigabyte_announced_in_a_run)
{
	bytes_in_a_run("gigabyte");
}

TEST(five_bytes_that_announce_sixteen_million_values_instead_of_a_hello)
{
	bytes_before_hello("bomb");
}

TEST(five_bytes_that_announce_sixteen_million_values_in_a_run)
{
	bytes_in_a_run("bomb");
}

TEST(a_message_with_fields_missing)
{
	bytes_in_a_run("nonsense");
}

TEST(a_message_that_only_the_supervisor_may_send)
{
	bytes_in_a_run("imposter");
}

TEST(a_flood_of_state_is_taken_in_while_others_are_served)
{
	setenv("TIMEOUT", "60", 1);
	struct rig_proc *proc = play("flood", "run");

	others_go_on();
	rig_line(proc, RIG_OUT, "flooded");
	others_go_on();
	AWAIT(rig_is(rig_work("villain"), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_work("villain"), "state.n999"), 1);
	rig_down(proc);
}

TEST(one_that_ignores_term_is_killed)
{
	setenv("TIMEOUT", "60", 1);
	struct rig_proc *proc = play("ignore_term", "run");
	pid_t pid;

	rig_line(proc, RIG_OUT, "ignoring");
	pid = (pid_t)rig_number(rig_work("villain"), "processes.0.pid");
	CHECK(rig_pid_lives(pid));
	CHECK_INT(rig_ctl("stop", "villain", NULL).status, 0);
	CHECK(!rig_pid_lives(pid));
	CHECK_TEXT(rig_string(rig_work("villain"), "stage"), "stopped");
	await_status("signal 9 (KILL)");
	others_go_on();
	rig_down(proc);
}

TEST(one_that_ignores_term_ends_with_the_app)
{
	setenv("TIMEOUT", "60", 1);
	struct rig_proc *proc = play("ignore_term", "run");

	rig_line(proc, RIG_OUT, "ignoring");
	rig_down(proc);
}

/* The number in the villain's line "left PID". */
static pid_t left(struct rig_proc *proc)
{
	return (pid_t)atoi(strstr(rig_line(proc, RIG_OUT, "left "), "left ") + 5);
}

TEST(a_grandchild_in_its_own_session_is_gone_when_the_work_is_stopped)
{
	struct rig_proc *proc = play("grandchild", "run");
	pid_t pid = left(proc);

	AWAIT(rig_is(rig_work("villain"), "stage", "succeeded"));
	CHECK(rig_pid_lives(pid));
	CHECK_INT(rig_ctl("stop", "villain", NULL).status, 0);
	CHECK(!rig_pid_lives(pid));
	others_go_on();
	rig_down(proc);
}

TEST(a_grandchild_is_gone_when_its_worker_is_killed_from_outside)
{
	struct rig_proc *proc = play("grandchild", "run");
	pid_t pid = left(proc);
	pid_t leader;

	AWAIT(rig_is(rig_work("villain"), "stage", "succeeded"));
	leader = (pid_t)rig_number(rig_work("villain"), "processes.0.pid");
	CHECK(kill(leader, SIGKILL) == 0);
	AWAIT(rig_number(rig_work("villain"), "processes.0.starts") == 2);
	CHECK(!rig_pid_lives(pid));
	others_go_on();
	rig_down(proc);
}

TEST(a_grandchild_of_a_command_is_gone_before_the_run_is_over)
{
	struct rig_proc *proc = rig_up("work 'villain' { command = { lw.env('FAKE'), 'leave' } }\n"
				       "function flow() villain:run() print('over') end\n",
				       NULL);
	pid_t pid = left(proc);

	rig_line(proc, RIG_OUT, "over");
	CHECK(!rig_pid_lives(pid));
	rig_down(proc);
}

TEST(one_that_closes_its_channel_and_lives_on_loses_its_run_by_timeout)
{
	struct rig_proc *proc = play("close_channel", "run");

	rig_line(proc, RIG_OUT, "closed");
	others_go_on();
	AWAIT(rig_is(rig_work("villain"), "stage", "failed"));
	CHECK_TEXT(rig_string(rig_work("villain"), "reason"), "timeout");
	others_go_on();
	rig_down(proc);
}

TEST(one_that_closes_its_channel_and_has_no_timeout_is_replaced)
{
	setenv("TIMEOUT", "600", 1);
	setenv("START_TIMEOUT", "1", 1);
	struct rig_proc *proc = play("close_channel", "run");

	rig_line(proc, RIG_OUT, "closed");
	await_status("closed its channel");
	others_go_on();
	rig_down(proc);
}

TEST(a_result_of_a_run_it_was_never_given_is_dropped)
{
	struct rig_proc *proc = play("stray_result", "run");

	rig_line(proc, RIG_OUT, "reported");
	await_status("999999");
	AWAIT(rig_is(rig_work("villain"), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_work("villain"), "processes.0.starts"), 1);
	others_go_on();
	rig_down(proc);
}

TEST(a_result_reported_twice_counts_once)
{
	struct rig_proc *proc = play("result_twice", "run");
	json_t *run;

	rig_line(proc, RIG_OUT, "reported");
	await_status("was dropped");
	run = rig_run("villain", "{}");
	CHECK_TEXT(rig_string(run, "decision"), "hit");
	CHECK_INT(rig_number(run, "result"), 41);
	CHECK_INT(rig_number(rig_work("villain"), "runs.succeeded"), 1);
	others_go_on();
	rig_down(proc);
}

/* A process that dies in the middle of a run: the run fails with how it died. */
static void dies_in_a_run(const char *arguments, const char *reason)
{
	struct rig_proc *proc = play("serve", "1");
	json_t *run = rig_run("villain", arguments);

	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_HAS(rig_string(run, "reason"), reason);
	others_go_on();
	run = rig_run("villain", "{\"value\": 9}");
	CHECK_INT(rig_number(run, "result"), 81);
	CHECK_INT(rig_number(rig_work("villain"), "processes.0.starts"), 2);
	await_status(reason);
	rig_down(proc);
}

TEST(a_segmentation_fault_fails_the_run_and_a_new_process_serves_the_next)
{
	dies_in_a_run("{\"act\": \"crash\", \"signal\": 11}", "signal 11 (SEGV)");
}

TEST(an_abort_fails_the_run_and_a_new_process_serves_the_next)
{
	dies_in_a_run("{\"act\": \"crash\", \"signal\": 6}", "signal 6 (ABRT)");
}

TEST(an_exit_in_the_middle_of_a_run_fails_it_and_a_new_process_serves_the_next)
{
	dies_in_a_run("{\"act\": \"exit\", \"status\": 7}", "exit status 7");
}

TEST(a_stranger_on_the_workers_socket_disturbs_nobody)
{
	struct rig_proc *proc = play("serve", "1");
	const char *path = rig_worker_env("villain", "LW_SOCKET");
	int fds[40];

	for (size_t i = 0; i < LW_COUNT(fds); i++) {
		fds[i] = rig_dial(path);
		if (i % 2 == 0)
			CHECK(write(fds[i], "\0\0\0\x05\xdd\x01\0\0\0", 9) == 9);
		others_go_on();
	}
	for (size_t i = 0; i < LW_COUNT(fds); i++)
		close(fds[i]);
	others_go_on();
	rig_down(proc);
}

TEST(a_work_that_prints_a_flood_slows_itself_only)
{
	setenv("TIMEOUT", "60", 1);
	struct rig_proc *proc = play("serve", "1");

	CHECK_INT(rig_ctl("run", "villain", "{\"act\": \"print\", \"lines\": 100000}", NULL).status,
		  0);
	others_go_on();
	others_go_on();
	AWAIT(rig_number(rig_work("villain"), "runs.succeeded") == 2);
	rig_down(proc);
}
