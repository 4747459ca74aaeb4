/* e2e_record.c - what is on record outlives the supervisor, and a record that cannot be used or
 * written is refused with a sentence. Run by ctest, one test a process. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVE   "program = { lw.env('FAKE'), 'serve' }, parallel = true"
#define QUIET   "work 'job' { " SERVE ", raise_exception = false }\nfunction flow() end\n"
#define JOURNAL ".lw/app.conf/journal.db"

/* ---- calls and runs --------------------------------------------------------------------- */

TEST(a_call_that_ran_is_skipped_after_a_restart_and_the_flow_reads_its_result)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE " }\n"
				       "function flow()\n"
				       "  local r = job:run{ value = 7 }\n"
				       "  if r.has_succeeded then print('it is ' .. r.result) end\n"
				       "end\n",
				       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "it is 49");
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value=7"), 1);
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "it is 49");
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value=7"), 0);
	CHECK_INT(rig_number(rig_work("job"), "misses"), 0);
	CHECK_HAS(rig_ctl("explain", "job", "value=7", NULL).out, "hit: succeeded as run 1");
	rig_down(proc);
}

TEST(a_run_made_before_a_restart_is_shown_as_it_was)
{
	struct rig_proc *proc = rig_up(QUIET, NULL);
	json_t *before, *after;

	CHECK_TEXT(rig_string(rig_run("job", "{\"value\": 5}"), "stage"), "succeeded");
	before = rig_ctl("show", "1", "--json", NULL).json;
	rig_down(proc);
	proc = rig_up(NULL, NULL);
	after = rig_ctl("show", "1", "--json", NULL).json;
	CHECK_INT(rig_number(after, "result"), 25);
	CHECK(json_equal(before, after));
	rig_down(proc);
}

TEST(runs_are_listed_by_stage_and_time_over_restarts)
{
	struct rig_proc *proc = rig_up(QUIET, NULL);
	struct rig_answer runs;

	(void)rig_run("job", "{\"act\": \"fail\", \"text\": \"the first\"}");
	(void)rig_run("job", "{\"value\": 2}");
	rig_down(proc);
	proc = rig_up(NULL, NULL);
	(void)rig_run("job", "{\"act\": \"fail\", \"text\": \"the third\"}");

	runs = rig_ctl("runs", "job", "--failed", "--json", NULL);
	CHECK_INT(json_array_size(rig_at(runs.json, "runs")), 2);
	CHECK_INT(rig_number(runs.json, "runs.0.id"), 3);
	CHECK_TEXT(rig_string(runs.json, "runs.1.error"), "the first");

	runs = rig_ctl("runs", "--failed", "--since", "1h", NULL);
	CHECK_INT(runs.status, 0);
	CHECK_HAS(runs.out, "the first");
	CHECK_HAS(runs.out, "the third");
	runs = rig_ctl("runs", "--failed", "--json", "--since",
		       rig_format("@%.6f",
				  rig_number(rig_ctl("show", "3", "--json", NULL).json, "created")),
		       NULL);
	CHECK_INT(json_array_size(rig_at(runs.json, "runs")), 1);
	CHECK_INT(rig_number(runs.json, "runs.0.id"), 3);
	runs = rig_ctl("runs", "--stage", "succeeded", "--json", NULL);
	CHECK_INT(json_array_size(rig_at(runs.json, "runs")), 1);
	runs = rig_ctl("runs", "--before", "3", "--limit", "1", "--json", NULL);
	CHECK_INT(rig_number(runs.json, "runs.0.id"), 2);
	rig_down(proc);
}

TEST(a_run_that_failed_before_a_restart_is_held_after_it_and_can_be_retried)
{
	struct rig_proc *proc = rig_up("work 'job' { command = { 'test', '-e', '{1}' }, parallel = "
				       "true, raise_exception = false }\n"
				       "function flow() job:run('flour') end\n",
				       NULL);

	AWAIT(rig_number(rig_work("job"), "runs.failed") == 1);
	rig_down(proc);
	rig_write("flour", "");
	proc = rig_up(NULL, NULL);
	AWAIT(rig_number(rig_work("job"), "held_answers") >= 1);
	CHECK_INT(rig_number(rig_work("job"), "misses"), 0);
	CHECK_INT(rig_ctl("retry", "job", "[\"flour\"]", "--wait", NULL).status, 0);
	CHECK_HAS(rig_ctl("explain", "job", "[\"flour\"]", NULL).out, "hit");
	rig_down(proc);
}

TEST(what_the_end_of_the_supervisor_interrupted_begins_again_and_what_waited_runs_behind_it)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up("work 'job' { " SERVE ", raise_exception = false }\n"
		      "function flow()\n"
		      "  job:run{ act = 'gate' }\n"
		      "  job:run{ value = 3 }\n"
		      "end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=1");
	rig_down(proc);
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value=3"), 0);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=2");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ran value=3 attempt=1");
	CHECK_INT(rig_number(rig_ctl("show", "1", "--json", NULL).json, "lost"), 0);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	rig_down(proc);
}

TEST(calls_that_ended_long_ago_are_forgotten_and_later_ones_are_not)
{
	struct rig_proc *proc = rig_up(QUIET, "--no-prefix", NULL);
	struct rig_answer answer;
	double age;

	(void)rig_run("job", "{\"value\": 1}");
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	answer = rig_ctl("forget", "job", "--older-than", "1h", "--json", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_INT(rig_number(answer.json, "calls"), 0);

	(void)rig_run("job", "{\"value\": 2}");
	/* Between the end of the one and the end of the other. */
	age = rig_number(rig_ctl("show", "2", "--json", NULL).json, "created");
	answer = rig_http("POST", "/api/v1/works/job/forget",
			  rig_format("{\"all\":true,\"before\":%.6f}", age));
	CHECK_INT(rig_number(answer.json, "calls"), 1);
	CHECK_HAS(rig_ctl("explain", "job", "value=1", NULL).out, "runs:");
	CHECK_HAS(rig_ctl("explain", "job", "value=2", NULL).out, "hit");

	answer = rig_ctl("forget", "job", "--older-than", "0s", NULL);
	CHECK_TEXT(answer.out, "forget: 1 call\n");
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK_HAS(rig_ctl("explain", "job", "value=2", NULL).out, "runs:");
	CHECK_INT(rig_number(rig_ctl("show", "2", "--json", NULL).json, "result"), 4);
	rig_down(proc);
}

/* ---- both die ------------------------------------------------------------------------------- */

/* The supervisor, and the process of the work before anybody can hear of it. */
static void kill_both(struct rig_proc *proc)
{
	pid_t worker = (pid_t)rig_number(rig_work("job"), "processes.0.pid");

	rig_signal(proc, SIGSTOP);
	CHECK_INT(kill(worker, SIGKILL), 0);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	AWAIT(!rig_pid_lives(worker));
}

static struct rig_proc *up_with_a_run_in_hand(const char *options)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(rig_format("work 'job' { " SERVE ", raise_exception = false%s }\n"
				 "function flow() job:run{ act = 'gate' } end\n",
				 options),
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=1");
	return proc;
}

TEST(a_run_that_was_lost_runs_again_and_fails_when_that_happened_three_times)
{
	struct rig_proc *proc = up_with_a_run_in_hand("");
	json_t *run;

	for (int i = 2; i <= 3; i++) {
		kill_both(proc);
		proc = rig_up(NULL, "--no-prefix", NULL);
		rig_line(proc, RIG_OUT, rig_format("waiting value=0 attempt=%d", i));
		run = rig_ctl("show", "1", "--json", NULL).json;
		CHECK_INT(rig_number(run, "lost"), i - 1);
	}
	kill_both(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_number(rig_work("job"), "held_answers") >= 1);
	run = rig_ctl("show", "1", "--json", NULL).json;
	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_TEXT(rig_string(run, "reason"), "lost");
	CHECK_HAS(rig_ctl("show", "1", NULL).out, "lost       3 times");
	rig_open_gate("gate", 1);
	CHECK_INT(rig_ctl("retry", "job", "act=gate", "--wait", NULL).status, 0);
	rig_down(proc);
}

TEST(a_run_that_was_lost_fails_at_once_where_it_may_not_be_done_twice)
{
	struct rig_proc *proc = up_with_a_run_in_hand(", lost = 'fail', retries = 5");

	kill_both(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_number(rig_work("job"), "held_answers") >= 1);
	CHECK_TEXT(rig_string(rig_ctl("show", "1", "--json", NULL).json, "reason"), "lost");
	CHECK_INT(rig_count(proc, RIG_OUT, "waiting value=0"), 0);
	rig_down(proc);
}

/* ---- what else is kept -------------------------------------------------------------------- */

TEST(an_operators_stop_outlives_a_restart)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE " }\n"
				       "function flow() job:run{ value = 1 } end\n",
				       "--no-prefix", NULL);

	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK(rig_true(rig_work("job"), "held"));
	CHECK_TEXT(rig_string(rig_run("job", "{\"value\": 2}"), "reason"), "stopped by operator");
	CHECK_INT(rig_number(rig_work("job"), "processes.0.starts"), 0);
	CHECK_INT(rig_ctl("start", "job", NULL).status, 0);
	CHECK_TEXT(rig_string(rig_run("job", "{\"value\": 2}"), "stage"), "succeeded");
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK(!rig_true(rig_work("job"), "held"));
	rig_down(proc);
}

TEST(state_of_the_flow_and_of_works_outlives_a_restart)
{
	struct rig_proc *proc = rig_up(QUIET, NULL);

	CHECK_INT(rig_ctl("state", "{\"season\": \"autumn\", \"list\": [1, {\"a\": 2.5}]}", NULL)
			  .status,
		  0);
	CHECK_TEXT(rig_string(rig_run("job", "{\"act\": \"state\", \"steps\": 3}"), "stage"),
		   "succeeded");
	CHECK_TEXT(rig_string(rig_work("job"), "state.mood"), "good");
	rig_down(proc);
	proc = rig_up(
		"work 'job' { " SERVE " }\n"
		"function flow()\n"
		"  print(lw.state.season .. ' ' .. lw.state.list[2].a .. ' ' .. job.state.mood)\n"
		"end\n",
		"--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "autumn 2.5 good");
	(void)rig_ctl("state", "season=null", NULL); /* the app may end before it answers */
	CHECK_INT(rig_exit(proc), 1);                /* the pass without a season fails */
	proc = rig_up(QUIET, NULL);
	CHECK(rig_at(rig_ctl("state", NULL).json, "season") == NULL);
	CHECK_INT(rig_number(rig_ctl("state", NULL).json, "list.0"), 1);
	rig_down(proc);
}

/* That many passes have ended since. */
static void await_passes(double more)
{
	double passes = rig_number(rig_status(), "app.passes");

	AWAIT(rig_number(rig_status(), "app.passes") >= passes + more);
}

TEST(a_mark_missed_while_nobody_was_there_counts_once_over_all_restarts)
{
	struct rig_proc *proc;

	rig_fake_time("2041-11-23 12:00:00");
	proc = rig_up("app { interval = 0.02 }\n"
		      "work 'job' { " SERVE " }\n"
		      "function flow()\n"
		      "  local mark = lw.schedule('daily')\n"
		      "  if mark then print('it is ' .. mark) end\n"
		      "end\n",
		      "--no-prefix", NULL);
	await_passes(3);
	CHECK_INT(rig_count(proc, RIG_OUT, "it is "), 0); /* it begins at now */
	rig_down(proc);

	rig_set_time("2041-11-26 12:00:00");
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "it is 2041-11-26T00:00:00");
	await_passes(3);
	CHECK_INT(rig_count(proc, RIG_OUT, "it is "), 1);
	rig_down(proc);

	proc = rig_up(NULL, "--no-prefix", NULL);
	await_passes(3);
	CHECK_INT(rig_count(proc, RIG_OUT, "it is "), 0);
	rig_down(proc);
}

/* ---- copies --------------------------------------------------------------------------------- */

TEST(a_backup_made_while_works_run_is_a_record_to_go_on_from)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up("work 'job' { " SERVE ", raise_exception = false, processes = 2 }\n"
		      "function flow()\n"
		      "  job:run{ value = 3 }\n"
		      "  job:run{ act = 'gate' }\n"
		      "end\n",
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "waiting value=0");
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	CHECK_INT(mkdir(rig_path("other"), 0700), 0);
	CHECK_HAS(rig_ctl("backup", "other/journal.db", NULL).out, rig_path("other/journal.db"));
	CHECK_HAS(rig_ctl("backup", "other/journal.db", NULL).err, "File exists");
	CHECK_INT(rig_ctl("backup", "other/journal.db", NULL).status, 1);
	CHECK_INT(rig_ctl("backup", "nowhere/journal.db", NULL).status, 1);
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	rig_down(proc);

	/* In the copy the one is over, and the other was running: nobody knows how that ended. */
	proc = rig_up(NULL, "--no-prefix", "--state-dir", rig_path("other"), NULL);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=");
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value=3"), 0);
	CHECK_INT(
		rig_number(
			rig_ctl("show", "2", "--json", "--state-dir", rig_path("other"), NULL).json,
			"lost"),
		1);
	CHECK_HAS(rig_ctl("show", "2", "--state-dir", rig_path("other"), NULL).out,
		  "lost       1 time");
	rig_down(proc);
}

/* ---- records that cannot be used ---------------------------------------------------------------- */

static void peek(const char *name, off_t at, void *bytes, size_t size)
{
	LW_AUTO(lw_close) int fd = open(rig_path(name), O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && pread(fd, bytes, size, at) == (ssize_t)size);
}

static void poke(const char *name, off_t at, const void *bytes, size_t size)
{
	LW_AUTO(lw_close) int fd = open(rig_path(name), O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && pwrite(fd, bytes, size, at) == (ssize_t)size);
}

/* A record with something in it, as it lies there when nobody has it open. */
static void make_record(void)
{
	struct rig_proc *proc = rig_up(QUIET, NULL);

	for (int i = 0; i < 50; i++)
		(void)rig_ctl("run", "job", rig_format("value=%d", i), NULL);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 50);
	rig_down(proc);
	CHECK(access(rig_path(JOURNAL "-wal"), F_OK) < 0);
}

static void refuses(struct rig_proc *proc, const char *says)
{
	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), says);
	CHECK_INT(rig_count(proc, RIG_OUT, "has started"), 0);
	CHECK_INT(rig_children(), 0);
}

TEST(a_record_of_a_newer_version_is_refused_and_left_alone)
{
	static const uint8_t newer[4] = { 0, 0, 0, 99 };
	uint8_t ours[4];
	struct rig_proc *proc;

	make_record();
	peek(JOURNAL, 60, ours, sizeof(ours)); /* PRAGMA user_version */
	poke(JOURNAL, 60, newer, sizeof(newer));
	refuses(rig_supervisor(NULL, NULL),
		"was written by a newer version of lw-supervisor (schema 99, ");
	poke(JOURNAL, 60, ours, sizeof(ours));
	proc = rig_up(NULL, NULL);
	CHECK_HAS(rig_ctl("explain", "job", "value=7", NULL).out, "hit");
	rig_down(proc);
}

TEST(a_damaged_record_is_refused_with_its_name)
{
	LW_AUTO(lw_free) char *garbage = lw_alloc(1 << 20);
	struct stat info;

	make_record();
	CHECK_INT(stat(rig_path(JOURNAL), &info), 0);
	CHECK(info.st_size > 4096 && info.st_size < 1 << 20);
	memset(garbage, 0xa5, 1 << 20);
	poke(JOURNAL, 4096, garbage, (size_t)info.st_size - 4096);
	refuses(rig_supervisor(NULL, NULL), "/journal.db' is damaged: ");
	poke(JOURNAL, 0, garbage, 4096);
	refuses(rig_supervisor(NULL, NULL), "/journal.db' is damaged: file is not a database");
	CHECK_INT(truncate(rig_path(JOURNAL), 0), 0); /* a new one is begun */
	rig_down(rig_up(NULL, NULL));
}

TEST(a_file_that_is_no_record_is_refused)
{
	make_record();
	poke(JOURNAL, 68, "abcd", 4); /* PRAGMA application_id */
	refuses(rig_supervisor(NULL, NULL), "it is no journal of lw-supervisor");
}

/* ---- a disk that takes nothing ------------------------------------------------------------------ */

/* The supervisor as somebody who may not write: root may write everything. */
static struct rig_proc *supervisor_of_nobody(void)
{
	if (geteuid() != 0)
		return rig_supervisor(NULL, NULL);
	CHECK_INT(mkdir(rig_path("bin"), 0755), 0);
	CHECK_INT(rig_exit(rig_spawn("cp", LW_BIN "/lw-supervisor", LW_BIN "/lw-worker",
				     LW_BIN "/fake_work", rig_path("bin"), NULL)),
		  0);
	setenv("FAKE", rig_path("bin/fake_work"), 1);
	CHECK_INT(rig_exit(rig_spawn("chown", "-R", "65534:65534", rig_folder(), NULL)), 0);
	return rig_spawn("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
			 rig_path("bin/lw-supervisor"), rig_path("app.conf"), NULL);
}

TEST(a_record_that_may_not_be_written_is_refused)
{
	make_record();
	CHECK_INT(chmod(rig_path(JOURNAL), 0400), 0);
	refuses(supervisor_of_nobody(), "/journal.db': Permission denied");
}

TEST(a_state_directory_that_may_not_be_written_is_refused)
{
	make_record();
	CHECK_INT(unlink(rig_path(".lw/app.conf/lock")), 0);
	CHECK_INT(chmod(rig_path(".lw/app.conf"), 0500), 0);
	refuses(supervisor_of_nobody(), "Permission denied");
}

/* Files of that process grow to so many bytes at most, as if the disk were full. */
static void limit_files(const struct rig_proc *proc, rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	CHECK_INT(prlimit(rig_pid(proc), RLIMIT_FSIZE, &limit, NULL), 0);
}

TEST(no_run_starts_while_the_disk_is_full_and_all_goes_on_when_it_is_not)
{
	struct rig_proc *proc = rig_up(QUIET, "--no-prefix", NULL);
	struct rig_answer answer;

	(void)rig_run("job", "{\"value\": 1}");
	limit_files(proc, 1);
	answer = rig_ctl("run", "job", "value=2", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, "cannot write '");
	CHECK_HAS(answer.err, "it will be written when that is possible");
	rig_line(proc, RIG_ERR, "no run starts until it can be written");

	answer = rig_ctl("status", NULL);
	CHECK_INT(answer.status, 0);
	CHECK_HAS(answer.out, "\njournal: cannot write '");
	CHECK_HAS(rig_string(rig_status(), "app.journal.error"), "No space left on device");
	CHECK(rig_number(rig_status(), "app.journal.waiting") > 0);
	CHECK_INT(rig_ctl("run", "job", "value=3", NULL).status, 1);
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "pending");
	CHECK_INT(rig_number(rig_ctl("show", "1", "--json", NULL).json, "result"), 1);
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value="), 1);

	limit_files(proc, RLIM_INFINITY);
	rig_line(proc, RIG_OUT, "ran value=2");
	rig_line(proc, RIG_OUT, "ran value=3");
	rig_line(proc, RIG_ERR, "the journal can be written again");
	CHECK_TEXT(rig_string(rig_run("job", "{\"value\": 2}"), "stage"), "succeeded");
	CHECK(json_is_null(rig_at(rig_status(), "app.journal.error")));
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK_HAS(rig_ctl("explain", "job", "value=1", NULL).out, "hit");
	CHECK_HAS(rig_ctl("explain", "job", "value=2", NULL).out, "hit");
	rig_down(proc);
}

TEST(a_result_that_cannot_be_recorded_is_not_lost_and_not_run_twice)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(QUIET, "--no-prefix", NULL);
	CHECK_INT(rig_ctl("run", "job", "act=gate", NULL).status, 0);
	rig_line(proc, RIG_OUT, "waiting value=0 attempt=1");
	limit_files(proc, 1);
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_ERR, "no run starts until it can be written");
	rig_signal(proc, SIGKILL); /* what it knew is gone; the worker knows it still */
	(void)rig_exit(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 1);
	CHECK_INT(rig_number(rig_ctl("show", "1", "--json", NULL).json, "attempt"), 1);
	CHECK_INT(rig_count(proc, RIG_OUT, "waiting value=0"), 0);
	rig_down(proc);
}

TEST(a_supervisor_that_ends_with_a_full_disk_says_what_it_could_not_write)
{
	struct rig_proc *proc = rig_up(QUIET, "--no-prefix", NULL);

	(void)rig_run("job", "{\"value\": 1}");
	limit_files(proc, 1);
	CHECK_INT(rig_ctl("state", "a=1", NULL).status, 1);
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), "lw-supervisor: cannot write '");
	CHECK_INT(rig_children(), 0);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK_HAS(rig_ctl("explain", "job", "value=1", NULL).out, "hit");
	rig_down(proc);
}
