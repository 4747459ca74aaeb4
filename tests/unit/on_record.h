/* on_record.h - a state directory and a loop of a test's own, and an app that keeps its record there;
 * for the tests of everything that lives on the loop or is kept.
 *
 * The app is real but starts no process: the turn of a start never comes (launch.h), and the test
 * plays what processes would do. Nothing sleeps: UNTIL() turns the loop until something holds,
 * with a deadline.
 */
#ifndef LW_TESTS_ON_RECORD_H
#define LW_TESTS_ON_RECORD_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adopt.h"
#include "app.h"
#include "launch.h"
#include "worker_private.h"

static char state_dir[64] LW_UNUSED;
static struct loop *loop LW_UNUSED;
static struct app *app LW_UNUSED;

/* ---- the folder and the loop ------------------------------------------------------------------- */

static LW_UNUSED void open_loop(void)
{
	struct lw_err err = { 0 };

	strcpy(state_dir, "/tmp/lw-record-XXXXXX");
	cr_assert_not_null(mkdtemp(state_dir));
	cr_assert_geq(loop_new(&loop, &err), 0, "%s", err.text);
}

static LW_UNUSED void remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char name[400];

	if (folder == NULL)
		return;
	while ((entry = readdir(folder)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name) < 0)
			remove_folder(name);
	}
	closedir(folder);
	rmdir(path);
}

static LW_UNUSED void close_loop(void)
{
	loop_free(loop);
	loop = NULL;
	remove_folder(state_dir);
	cr_assert_neq(access(state_dir, F_OK), 0);
}

static LW_UNUSED void leave_loop(struct loop_task *task)
{
	(void)task;
	loop_exit(loop);
}

/* One turn, which waits for nothing. */
static LW_UNUSED void one_turn(void)
{
	static struct loop_task leave = { .run = leave_loop };

	loop_post(loop, LOOP_LATE, &leave);
	loop_run(loop);
}

static LW_UNUSED void on_patience(struct loop_timer *timer)
{
	(void)timer;
	loop_exit(loop);
}

/* Turns in which events come in, for a millisecond or so. */
static LW_UNUSED void some_turns(void)
{
	struct loop_timer patience;

	loop_timer_init(&patience, loop, on_patience);
	loop_timer_set(&patience, 1000);
	loop_run(loop);
	loop_timer_done(&patience);
}

#define PATIENCE 60000000 /* us; nothing here takes that long */

/* clang-format off */
#define UNTIL(condition)                                                                         \
	for (int64_t until_ = loop_clock() + PATIENCE; !(condition); some_turns())               \
		cr_assert_lt(loop_clock(), until_, "waited in vain until " #condition)
/* clang-format on */

/* While the size of files is limited to less than there is, nothing can be written to the store. */
static LW_UNUSED void limit_files(rlim_t size)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* ---- the app ----------------------------------------------------------------------------------- */

static LW_UNUSED void never(struct launch_place *place)
{
	(void)place;
}

/* An app with what the state directory has of it, running, without a work of app.conf; takes both over. -errno:
 * the record makes no sense (adopt.h). */
static LW_UNUSED int try_app(struct config *config, struct flow *flow, struct lw_err *err)
{
	int r;

	cr_assert_geq(app_new(loop, config, flow, state_dir, &app, err), 0, "%s", err->text);
	launch_free(app->launch);
	app->launch = launch_new(loop, never);
	r = adopt_load(app, err);
	if (r >= 0)
		app->stage = APP_RUNNING;
	return r;
}

static LW_UNUSED void open_quiet_app(struct config *config)
{
	struct lw_err err = { 0 };

	config->has_flow = true;
	cr_assert_geq(try_app(config, NULL, &err), 0, "%s", err.text);
	app->in_pass = true; /* there is no flow that a pass could run */
}

/* Everything is on record then. */
static LW_UNUSED void close_app(void)
{
	struct lw_err err = { 0 };

	if (app != NULL)
		cr_expect_eq(app_settle(app, &err), 0, "%s", err.text);
	app_free(app);
	app = NULL;
}

static LW_UNUSED bool all_on_record(void)
{
	return journal_stable(app->journal) + 1 >= journal_batch(app->journal);
}

/* What was noted so far is on record. */
static LW_UNUSED void settle_record(void)
{
	one_turn();
	UNTIL(all_on_record());
}

/* Nothing that is over is in memory any more: whoever asks reads it back. */
static LW_UNUSED void forget_runs(void)
{
	settle_record();
	runs_trim(app->runs, 0, journal_stable(app->journal));
	cr_assert_eq(runs_resting(app->runs), 0u);
}

static LW_UNUSED struct run *run_of(uint64_t id)
{
	struct lw_err err = { 0 };
	struct run *run = app_run(app, id, &err);

	cr_assert_not_null(run, "run %llu: %s", (unsigned long long)id, err.text);
	return run;
}

/* A program that keeps its calls in parallel. */
static LW_UNUSED struct work_config *settings(const char *name)
{
	struct work_config *config = work_config_new(name);

	words_add(&config->program, "./program");
	config->parallel = true;
	config->retry_delay = 1000;
	config->queue_limit = 100;
	return config;
}

static LW_UNUSED struct work *add_work(struct work_config *take)
{
	struct lw_err err = { 0 };
	struct work *work = NULL;

	cr_assert_eq(app_work_add(app, take, false, &work, &err), 0, "%s", err.text);
	return work;
}

/* ---- calls and runs ------------------------------------------------------------------------------ */

static LW_UNUSED struct lw_slice text(const char *s)
{
	return (struct lw_slice){ (const uint8_t *)s, strlen(s) };
}

/* work:run(value), until the next one. */
static LW_UNUSED struct lw_slice call_to(const struct work *work, int64_t value)
{
	static struct lw_buf call;

	call.size = 0;
	lw_buf_add(&call, work->head.data, work->head.size);
	lw_put_list(&call, 1);
	lw_put_int(&call, value);
	lw_put_map(&call, 0);
	return lw_buf_slice(&call);
}

/* The process takes the first run of the queue. */
static LW_UNUSED struct run *take_of(struct work *work)
{
	struct run *run = work->queue.first;

	cr_assert_not_null(run, "a run waits");
	run_list_remove(&work->queue, run);
	run->attempt++;
	work_on_begun(work, run);
	return run;
}

static LW_UNUSED void succeed(struct run *run)
{
	static const uint8_t seven = 7;
	struct lw_msg_result result = { .success = true, .value = { &seven, 1 } };

	work_on_result(run->work, run, &result);
}

static LW_UNUSED void fail(struct run *run)
{
	struct lw_msg_result result = { .reason = text("exit status 3"),
					.message = text("no luck") };

	work_on_result(run->work, run, &result);
}

#endif
