/* e2e_files.c - cache_files: the files of a work are part of what its calls are. Run by ctest, one
 * test a process. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_WORK "program = { lw.env('FAKE'), 'serve' }, parallel = true"
#define LARGE     (200 << 20)

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

static bool hits(int number)
{
	return rig_true(value(number), "cached");
}

static struct rig_answer explain(int number)
{
	struct rig_answer answer =
		rig_ctl("explain", "job", rig_format("{\"value\": %d}", number), "--json", NULL);

	CHECK_INT(answer.status, 0);
	return answer;
}

/* ---- what changes a call --------------------------------------------------------------------- */

TEST(a_changed_file_runs_again_and_going_back_hits_again)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = 'model.cfg'");

	CHECK(!hits(1));
	CHECK(hits(1));
	rig_write("model.cfg", "two\n");
	CHECK_HAS(rig_string(explain(1).json, "reason"), "runs: cache_files 'model.cfg' changed");
	CHECK(!hits(1));
	CHECK(hits(1));
	rig_write("model.cfg", "one\n");
	CHECK_HAS(rig_string(explain(1).json, "reason"), "hit: succeeded as run 1 ");
	CHECK(hits(1));
	CHECK_LINES(proc, RIG_OUT, "ran value=1 ", 2);
	rig_down(proc);
}

TEST(a_file_that_is_only_touched_changes_nothing)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = { 'model.cfg' }");

	CHECK(!hits(1));
	for (int i = 0; i < 5; i++) {
		CHECK(utimensat(AT_FDCWD, rig_path("model.cfg"), NULL, 0) == 0);
		CHECK(hits(1));
	}
	rig_down(proc);
}

TEST(a_file_that_is_replaced_by_rename_is_another_one)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = { 'model.cfg' }");

	CHECK(!hits(1));
	rig_write("fresh", "two\n");
	CHECK(rename(rig_path("fresh"), rig_path("model.cfg")) == 0);
	CHECK(!hits(1));
	rig_write("fresh", "one\n");
	CHECK(rename(rig_path("fresh"), rig_path("model.cfg")) == 0);
	CHECK(hits(1));
	rig_down(proc);
}

TEST(a_file_of_the_same_size_and_time_with_other_content_is_another_one)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	rig_write("model.cfg", "one\n");
	CHECK(utimensat(AT_FDCWD, rig_path("model.cfg"), times, 0) == 0);
	struct rig_proc *proc = work_with("cache_files = { 'model.cfg' }");

	CHECK(!hits(1));
	rig_write("model.cfg", "two\n");
	CHECK(utimensat(AT_FDCWD, rig_path("model.cfg"), times, 0) == 0);
	CHECK(!hits(1));
	rig_down(proc);
}

TEST(a_missing_file_is_a_state_of_its_own)
{
	struct rig_proc *proc = work_with("cache_files = { 'model.cfg' }");

	CHECK(!hits(1));
	CHECK(hits(1));
	rig_write("model.cfg", "");
	CHECK_HAS(rig_string(explain(1).json, "reason"), "cache_files 'model.cfg' is new");
	CHECK(!hits(1));
	CHECK(unlink(rig_path("model.cfg")) == 0);
	CHECK(hits(1));
	rig_down(proc);
}

TEST(a_pattern_stands_for_the_files_it_matches_by_name)
{
	CHECK(mkdir(rig_path("data"), 0700) == 0);
	rig_write("data/a.csv", "1\n");
	rig_write("data/b.csv", "2\n");
	rig_write("data/note.txt", "x\n");
	struct rig_proc *proc = work_with("cache_files = { 'data/*.csv' }");

	CHECK(!hits(1));
	rig_write("data/note.txt", "y\n"); /* not matched */
	CHECK(mkdir(rig_path("data/old.csv"), 0700) == 0);
	CHECK(mkfifo(rig_path("data/pipe.csv"), 0600) == 0);
	CHECK(hits(1));
	rig_write("data/c.csv", "3\n");
	CHECK_HAS(rig_string(explain(1).json, "reason"), "cache_files 'data/c.csv' is new");
	CHECK(!hits(1));
	CHECK(unlink(rig_path("data/a.csv")) == 0);
	CHECK_HAS(rig_string(explain(1).json, "reason"), "cache_files 'data/a.csv' is gone");
	CHECK(!hits(1));
	CHECK(rename(rig_path("data/b.csv"), rig_path("data/d.csv")) == 0);
	CHECK_HAS(rig_string(explain(1).json, "reason"), " and 1 more");
	CHECK(!hits(1));
	rig_down(proc);
}

TEST(files_are_part_of_the_key_beside_version_and_arguments)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = 'model.cfg', cache_version = 'v1'");
	const char *key = rig_string(value(1), "key");

	CHECK(!hits(2));
	rig_down(proc);
	proc = work_with("cache_files = 'model.cfg', cache_version = 'v2'");
	CHECK_HAS(rig_string(explain(1).json, "reason"), "cache_version");
	CHECK(strcmp(rig_string(value(1), "key"), key) != 0);
	rig_down(proc);
}

TEST(what_was_run_is_known_after_a_restart)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = { 'model.cfg' }");

	CHECK(!hits(1));
	rig_down(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	CHECK(hits(1));
	rig_write("model.cfg", "two\n");
	CHECK(!hits(1));
	rig_down(proc);
}

/* ---- runs and files that change ------------------------------------------------------------------ */

TEST(a_file_that_changes_while_its_run_is_in_progress_leaves_it_its_key)
{
	rig_gate("gate");
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = 'model.cfg', processes = 2");
	struct rig_answer first = rig_ctl("run", "job", "{\"act\": \"gate\"}", "--json", NULL);
	const char *key = rig_string(first.json, "key");
	struct rig_answer second;

	rig_line(proc, RIG_OUT, "waiting");
	rig_write("model.cfg", "two\n");
	second = rig_ctl("run", "job", "{\"act\": \"gate\"}", "--json", NULL);
	CHECK(strcmp(rig_string(second.json, "key"), key) != 0);
	rig_line(proc, RIG_OUT, "waiting");
	rig_open_gate("gate", 2);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	rig_write("model.cfg", "one\n");
	first = rig_ctl("run", "job", "{\"act\": \"gate\"}", "--json", NULL);
	CHECK(rig_true(first.json, "cached"));
	CHECK_TEXT(rig_string(first.json, "key"), key);
	rig_down(proc);
}

TEST(a_run_that_begins_when_its_files_are_others_is_not_remembered)
{
	rig_gate("gate");
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = 'model.cfg'");
	struct rig_answer queued;

	rig_ctl("run", "job", "{\"act\": \"gate\"}", NULL);
	rig_line(proc, RIG_OUT, "waiting");
	queued = rig_ctl("run", "job", "{\"value\": 7}", "--json", NULL);
	rig_write("model.cfg", "two\n");
	CHECK_TEXT(rig_string(explain(7).json, "decision"), "run");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ran value=7 ");
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	rig_write("model.cfg", "one\n");
	CHECK(!hits(7)); /* it saw "two" */
	CHECK(rig_number(queued.json, "id") > 0);
	rig_down(proc);
}

TEST(a_pass_sees_the_files_that_a_run_wrote)
{
	struct rig_proc *proc =
		rig_up("work 'write' { command = { 'sh', '-c', 'echo data > day.csv' } }\n"
		       "work 'read' { command = { 'sh', '-c', 'echo read $(cat day.csv)' },"
		       " cache_files = 'day.csv' }\n"
		       "function flow()\n"
		       "  write:run()\n"
		       "  read:run()\n"
		       "  lw.stop()\n"
		       "end\n",
		       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "read data", 1);
	CHECK_LINES(proc, RIG_OUT, "read ", 1);
}

/* Nobody sees it half written. */
static void replace(const char *name, const char *text)
{
	rig_write("fresh", text);
	CHECK(rename(rig_path("fresh"), rig_path(name)) == 0);
}

TEST(a_changed_file_makes_a_pass)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc =
		rig_up("app { interval = 0 }\n"
		       "work 'job' { command = { 'cat', 'model.cfg' },"
		       " parallel = true, cache_files = 'model.cfg' }\n"
		       "function flow()\n"
		       "  local run = job:run()\n"
		       "  if run.has_succeeded then print('at run ' .. run.id) end\n"
		       "end\n",
		       "--no-prefix", NULL);

	rig_line(proc, RIG_OUT, "at run 1");
	replace("model.cfg", "two\n");
	rig_line(proc, RIG_OUT, "at run 2");
	replace("model.cfg", "one\n");
	rig_line(proc, RIG_OUT, "at run 1");
	CHECK_LINES(proc, RIG_OUT, "one", 1);
	CHECK_LINES(proc, RIG_OUT, "two", 1);
	rig_down(proc);
}

TEST(drain_waits_for_a_large_file_to_be_read)
{
	int fd = open(rig_path("large"), O_CREAT | O_WRONLY, 0600);

	CHECK(fd >= 0 && ftruncate(fd, LARGE) == 0 && close(fd) == 0);
	struct rig_proc *proc = rig_up("work 'job' { command = { 'echo', 'ran' }, parallel = true,"
				       " cache_files = 'large' }\n"
				       "function flow() job:run() end\n",
				       "--no-prefix", "--drain", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "ran", 1);
}

TEST(without_a_flow_a_work_is_called_when_its_files_are_known)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = rig_supervisor("work 'job' { command = { 'cat', 'model.cfg' },"
					       " cache_files = 'model.cfg' }\n",
					       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	CHECK_LINES(proc, RIG_OUT, "one", 1);
}

/* ---- what nothing is held up by -------------------------------------------------------------------- */

TEST(a_large_file_does_not_hold_up_the_loop_nor_other_works)
{
	int fd = open(rig_path("large"), O_CREAT | O_WRONLY, 0600);

	CHECK(fd >= 0 && ftruncate(fd, LARGE) == 0);
	rig_write("small", "one\n");
	struct rig_proc *proc =
		rig_up("app { interval = 0.01 }\n"
		       "work 'slow' { command = { 'echo', 'slow {1}' }, cache_files = 'large' }\n"
		       "work 'quick' { command = { 'echo', 'quick {1}' }, parallel = true,"
		       " cache_files = 'small' }\n"
		       "function flow()\n"
		       "  quick:run(1)\n"
		       "  local run = slow:run(1)\n"
		       "  if run.has_succeeded then print('done') end\n"
		       "end\n",
		       "--no-prefix", NULL);
	double passes, before;

	rig_line(proc, RIG_OUT, "slow 1");
	rig_line(proc, RIG_OUT, "done");
	/* Again and again another file, while status is asked for. */
	for (int i = 0; i < 10; i++) {
		CHECK(pwrite(fd, &i, sizeof(i), 1000) == sizeof(i));
		passes = rig_number(rig_status(), "app.passes");
		before = rig_now();
		AWAIT(rig_number(rig_status(), "app.passes") > passes);
		CHECK(rig_now() - before < 1);
	}
	close(fd);
	CHECK_INT(rig_count(proc, RIG_OUT, "quick 1"), 1);
	rig_down(proc);
}

TEST(a_fifo_or_a_device_is_an_error_that_names_it_and_holds_up_nothing)
{
	CHECK(mkfifo(rig_path("pipe"), 0600) == 0);
	struct rig_proc *proc =
		rig_up("work 'pipe' { command = { 'true' }, cache_files = 'pipe' }\n"
		       "work 'device' { command = { 'true' }, cache_files = { '/dev/zero' } }\n"
		       "work 'folder' { command = { 'true' }, cache_files = { '.' } }\n"
		       "function flow()\n"
		       "  local ok, failure\n"
		       "  for _, name in ipairs{ 'pipe', 'device', 'folder' } do\n"
		       "    ok, failure = pcall(works[name].run, works[name])\n"
		       "    print(tostring(failure))\n"
		       "  end\n"
		       "end\n",
		       "--no-prefix", NULL);
	struct rig_answer answer;

	rig_line(proc, RIG_OUT, "cannot read 'pipe': it is a FIFO");
	rig_line(proc, RIG_OUT, "cannot read '/dev/zero': it is a device");
	rig_line(proc, RIG_OUT, "cannot read '.': it is a folder");
	answer = rig_ctl("run", "pipe", NULL);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, "work 'pipe': cache_files: cannot read 'pipe': it is a FIFO");
	rig_down(proc);
}

TEST(a_file_that_cannot_be_read_fails_the_app_with_its_name)
{
	CHECK(symlink("loop", rig_path("loop")) == 0);
	struct rig_proc *proc =
		rig_supervisor("work 'job' { command = { 'true' }, cache_files = { 'loop' } }\n"
			       "function flow() job:run() end\n",
			       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR),
		  "app.conf:2: work 'job': cache_files: cannot read 'loop'");
}

static pid_t reader_of(const struct rig_proc *proc)
{
	char command[100];
	FILE *pipe;
	int pid = 0;

	snprintf(command, sizeof(command), "pgrep -P %d -x lw-files", (int)rig_pid(proc));
	pipe = popen(command, "r");
	CHECK(pipe != NULL);
	if (fscanf(pipe, "%d", &pid) != 1)
		pid = 0;
	pclose(pipe);
	return (pid_t)pid;
}

TEST(while_the_reader_does_not_answer_calls_wait_and_everything_else_goes_on)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc =
		rig_up("app { interval = 0.01 }\n"
		       "work 'job' { command = { 'cat', 'model.cfg' },"
		       " parallel = true, cache_files = 'model.cfg' }\n"
		       "work 'free' { command = { 'echo', 'free' }, parallel = true }\n"
		       "function flow()\n"
		       "  local run = job:run()\n"
		       "  if lw.state.go then free:run() end\n"
		       "  if run.stage ~= lw.state.last then\n"
		       "    print('stage ' .. run.stage .. ' ' .. tostring(run.reason))\n"
		       "    lw.state.last = run.stage\n"
		       "  end\n"
		       "end\n",
		       "--no-prefix", NULL);
	struct rig_proc *ctl;
	pid_t reader;

	rig_line(proc, RIG_OUT, "stage succeeded");
	reader = reader_of(proc);
	CHECK(reader > 0 && kill(reader, SIGSTOP) == 0);
	rig_line(proc, RIG_OUT, "stage pending its cache_files are being read");
	CHECK_TEXT(rig_string(rig_work("job"), "stage"), "pending");
	CHECK_INT(rig_http("PATCH", "/api/v1/state", "{\"go\": true}").status / 100, 2);
	rig_line(proc, RIG_OUT, "free");
	ctl = rig_spawn(LW_BIN "/lwctl", "run", "job", "--wait", NULL);
	CHECK(!rig_is_over(ctl));
	CHECK(kill(reader, SIGCONT) == 0);
	rig_line(proc, RIG_OUT, "stage succeeded");
	CHECK_INT(rig_exit(ctl), 0);
	rig_down(proc);
	CHECK_LINES(proc, RIG_OUT, "one", 1);
}

TEST(a_reader_that_dies_is_replaced)
{
	rig_write("model.cfg", "one\n");
	struct rig_proc *proc = work_with("cache_files = 'model.cfg'");
	pid_t reader;

	CHECK(!hits(1));
	reader = reader_of(proc);
	CHECK(reader > 0 && kill(reader, SIGKILL) == 0);
	CHECK(hits(1));
	rig_write("model.cfg", "two\n");
	CHECK(!hits(1));
	CHECK(reader_of(proc) != reader);
	rig_down(proc);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

TEST(other_files_are_taken_over_by_a_reload)
{
	static const char conf[] = "work 'job' { " FAKE_WORK ", cache_files = '%s' }\n"
				   "function flow() end\n";

	rig_write("a", "1\n");
	rig_write("b", "1\n");
	struct rig_proc *proc = rig_up(rig_format(conf, "a"), "--no-prefix", NULL);

	CHECK(!hits(1));
	rig_write("app.conf", rig_format(conf, "b"));
	CHECK_INT(rig_http("POST", "/api/v1/app/reload", NULL).status, 200);
	CHECK(!hits(1));
	rig_write("a", "2\n");
	CHECK(hits(1));
	rig_write("b", "2\n");
	CHECK(!hits(1));
	rig_down(proc);
}
