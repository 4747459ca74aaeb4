/* e2e_examples.c - every example does what its text says, to the letter. Run by ctest. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define ONE "I received the following props: args: () kwargs: {'value': 1}\n"
#define TEN "I received the following props: args: () kwargs: {'value': 10}\n"

static struct rig_proc *start(const char *example)
{
	rig_example(example);
	return rig_up(NULL, "--no-prefix", NULL);
}

/* What it printed behind the line that says that it has started. */
static const char *printed(struct rig_proc *proc)
{
	const char *text = rig_text(proc, RIG_OUT);

	CHECK_HAS(text, "Your app has started.");
	return strchr(strstr(text, "Your app has started."), '\n') + 1;
}

TEST(caching_prints_each_line_once)
{
	struct rig_proc *proc = start("caching");

	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), ONE TEN);
}

TEST(no_caching_prints_the_first_line_five_times)
{
	struct rig_proc *proc = start("no-caching");

	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), ONE ONE ONE ONE ONE TEN);
}

TEST(caching_and_no_caching_differ_in_one_word)
{
	rig_example("caching");
	rename(rig_path("app.conf"), rig_path("with.conf"));
	rig_example("no-caching");
	rig_write("without", rig_read("app.conf"));
	struct rig_proc *diff = rig_spawn("diff", "with.conf", "app.conf", NULL);

	CHECK_INT(rig_exit(diff), 1);
	CHECK_LINES(diff, RIG_OUT, "< ", 1);
	CHECK_LINES(diff, RIG_OUT, "> ", 1);
	CHECK_HAS(rig_text(diff, RIG_OUT), "cache_calls = true");
	CHECK_HAS(rig_text(diff, RIG_OUT), "cache_calls = false");
}

/* Five times `lwctl run --wait` of one call, one after another. */
static size_t executions_by_hand(const char *cache_calls)
{
	struct rig_proc *proc;

	proc = rig_up(rig_format("work 'example' { command = { 'echo', 'executed {value}' },"
				 " cache_calls = %s, parallel = true }\n"
				 "function flow() end\n",
				 cache_calls),
		      "--no-prefix", NULL);
	for (int i = 0; i < 5; i++) {
		struct rig_answer answer =
			rig_ctl("run", "example", "{\"value\": 1}", "--wait", "--json", NULL);

		CHECK_INT(answer.status, 0);
		CHECK_TEXT(rig_string(answer.json, "stage"), "succeeded");
	}
	rig_down(proc);
	return rig_count(proc, RIG_OUT, "executed 1");
}

TEST(five_calls_by_hand_execute_once_with_caching)
{
	CHECK_INT(executions_by_hand("true"), 1);
}

TEST(five_calls_by_hand_execute_five_times_without_caching)
{
	CHECK_INT(executions_by_hand("false"), 5);
}

TEST(unreachable_never_prints_what_is_behind_the_call)
{
	struct rig_proc *proc = start("unreachable");

	AWAIT(rig_count(proc, RIG_OUT, "HERE BEFORE") >= 10);
	AWAIT(rig_number(rig_work("example"), "runs.succeeded") >= 3);
	rig_down(proc);
	CHECK_LINES(proc, RIG_OUT, "HERE AFTER", 0);
	CHECK_LINES(proc, RIG_OUT, "", rig_count(proc, RIG_OUT, "HERE BEFORE") + 1);
}

TEST(parallel_goes_on_while_the_work_runs_once)
{
	struct rig_proc *proc = start("parallel");

	rig_line(proc, RIG_OUT, "the work runs");
	AWAIT(rig_count(proc, RIG_OUT, "the flow goes on") >= 5);
	CHECK_TEXT(rig_string(rig_work("endless"), "stage"), "running");
	CHECK_INT(rig_number(rig_work("endless"), "runs.running"), 1);
	rig_down(proc);
	CHECK_LINES(proc, RIG_OUT, "the work runs", 1);
	CHECK_LINES(proc, RIG_OUT, "", rig_count(proc, RIG_OUT, "the flow goes on") + 2);
}

TEST(status_shows_the_stages_in_order)
{
	struct rig_proc *proc = start("status");

	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), "not_started\n"
				  "pending\n"
				  "running\n"
				  "succeeded\n"
				  "pending\n"
				  "running\n"
				  "failed: exit status 3: the disk is full\n");
	CHECK(rig_count(proc, RIG_ERR, "the disk is full") >= 2);
}

TEST(native_has_a_thousand_right_results)
{
	struct rig_proc *proc = start("native");

	CHECK_INT(rig_exit(proc), 0);
	CHECK_TEXT(printed(proc), "1000 calls, 1000 right results\n");
}

TEST(native_is_served_by_two_processes)
{
	rig_example("native");
	/* The same app, which stays. */
	const char *text = rig_read("app.conf");
	struct rig_proc *proc =
		rig_up(rig_format("%.*sfunction flow() end\n",
				  (int)(strstr(text, "function flow") - text), text),
		       "--no-prefix", NULL);
	json_t *work;

	AWAIT(json_array_size(rig_at(rig_work("square"), "processes")) == 2 &&
	      rig_is(rig_work("square"), "processes.1.state", "idle"));
	work = rig_work("square");
	CHECK(rig_number(work, "processes.0.pid") != rig_number(work, "processes.1.pid"));
	rig_down(proc);
}

TEST(services_run_beside_one_that_keeps_crashing)
{
	struct rig_proc *proc = start("services");
	double pid;

	AWAIT(rig_count(proc, RIG_OUT, "shaky is up") >= 3);
	CHECK_LINES(proc, RIG_OUT, "web is up", 1);
	CHECK_LINES(proc, RIG_OUT, "mail is up", 1);
	CHECK_TEXT(rig_string(rig_work("web"), "stage"), "running");
	CHECK_TEXT(rig_string(rig_work("mail"), "stage"), "running");
	CHECK(rig_number(rig_work("shaky"), "runs.failed") >= 2);

	/* One is killed, and comes back. */
	pid = rig_number(rig_work("web"), "processes.0.pid");
	CHECK_INT(rig_ctl("kill", "web", NULL).status, 0);
	AWAIT(rig_count(proc, RIG_OUT, "web is up") == 2);
	CHECK(rig_number(rig_work("web"), "processes.0.pid") != pid);
	CHECK_LINES(proc, RIG_OUT, "mail is up", 1);
	rig_down(proc);
}

/* ---- daily -------------------------------------------------------------------------------- */

#define INTERVAL "interval = 1.0"

/* The text with an interval that lets a hundred passes go by quickly. */
static void hurry(void)
{
	const char *text = rig_read("app.conf");
	const char *at = strstr(text, INTERVAL);

	CHECK(at != NULL);
	rig_write("app.conf", rig_format("%.*sinterval = 0.01%s", (int)(at - text), text,
					 at + strlen(INTERVAL)));
}

static double runs(const char *work)
{
	return rig_number(rig_work(work), "runs.succeeded");
}

/* A day's line, and then a hundred passes in which nothing runs. */
static void one_day(struct rig_proc *proc, const char *day, int count)
{
	double passes;
	const char *line = rig_line(proc, RIG_OUT, rig_format("%s: trained on", day));

	CHECK_HAS(line, "(always America: ");
	CHECK_INT(runs("data_processor"), count);
	CHECK_INT(runs("train_model"), count);
	passes = rig_number(rig_status(), "app.passes");
	AWAIT(rig_number(rig_status(), "app.passes") >= passes + 100);
	CHECK_INT(runs("data_processor"), count);
	CHECK_INT(runs("train_model"), count);
}

TEST(daily_runs_each_work_once_a_day)
{
	struct rig_proc *proc;
	json_t *state;

	rig_example("daily");
	hurry();
	rig_fake_time("2026-11-23 12:00:00");
	proc = rig_up(NULL, "--no-prefix", NULL);
	one_day(proc, "11/23/26", 1);
	CHECK(rig_read("tmp/11-23-26.csv") != NULL);
	rig_set_time("2026-11-24 12:00:00");
	one_day(proc, "11/24/26", 2);

	state = rig_at(rig_work("train_model"), "state");
	CHECK(rig_number(state, "accuracy") > rig_number(state, "baseline") + 0.2);
	CHECK(rig_number(rig_work("train_model"), "hits") >= 100);
	CHECK_LINES(proc, RIG_OUT, "trained on", 2);
	CHECK_LINES(proc, RIG_OUT, "processed", 2);
	rig_down(proc);
}
