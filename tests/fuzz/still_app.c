/* still_app.c - a real app that is not running. See still_app.h. */
#include <unistd.h>

#include "adopt.h"
#include "fuzz.h"
#include "still_app.h"

static void on_over(struct app *app)
{
	(void)app; /* nobody waits in loop_run() for it */
}

static bool add_works(struct app *app)
{
	struct config *config = app->config;

	for (size_t i = 0; i < config->count; i++) {
		struct work_config *take = LW_TAKE(config->works[i]);
		struct work *work;

		if (app_work_add(app, take, false, &work, NULL) < 0) {
			work_config_free(take);
			return false;
		}
	}
	return true;
}

/* In memory where the system has a place for that: a record is made for every input. */
static void make_folder(struct still_app *still)
{
	const char *above = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(still->folder, sizeof(still->folder), "%s/lw-still-XXXXXX", above);
	HOLDS(mkdtemp(still->folder) != NULL, "no folder '%s'", still->folder);
}

static void remove_folder(const struct still_app *still)
{
	static const char *const ends[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < LW_COUNT(ends); i++) {
		LW_AUTO(lw_free)
		char *path = lw_format("%s/%s%s", still->folder, STORE_FILE, ends[i]);

		(void)unlink(path);
	}
	(void)rmdir(still->folder);
}

bool still_app_open(struct still_app *still, struct config *config, struct flow *flow)
{
	struct lw_err err = { 0 };
	int r = loop_new(&still->loop, &err);

	make_folder(still);
	if (r >= 0)
		r = app_new(still->loop, config, flow, still->folder, &still->app, &err);
	if (r >= 0)
		r = adopt_load(still->app, &err);
	HOLDS(r >= 0, "%s", err.text);
	still->app->on_over = on_over;
	return add_works(still->app);
}

void still_app_close(struct still_app *still)
{
	struct lw_err err = { 0 };

	HOLDS(app_settle(still->app, &err) == 0, "%s", err.text);
	app_free(still->app);
	loop_free(still->loop);
	remove_folder(still);
}

struct leave {
	struct loop_task task;
	struct loop_timer timer;
	struct loop *loop;
};

static void leave(struct loop_task *task)
{
	loop_exit(LW_OWNER(task, struct leave, task)->loop);
}

static void on_timer(struct loop_timer *timer)
{
	loop_exit(timer->loop);
}

static bool on_record(const struct app *app)
{
	return journal_stable(app->journal) + 1 >= journal_batch(app->journal);
}

void still_app_turn(struct still_app *still)
{
	struct leave last = { .task.run = leave, .loop = still->loop };

	loop_timer_init(&last.timer, still->loop, on_timer);
	loop_post(still->loop, LOOP_LATE, &last.task);
	loop_run(still->loop);
	while (!on_record(still->app)) {
		loop_timer_set(&last.timer, 1000);
		loop_run(still->loop);
	}
	loop_timer_done(&last.timer);
}

static struct lw_slice slice_of(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

static void settle(struct work *work)
{
	struct run *run = work->queue.first;
	struct lw_msg_result result = { .success = run->id % 2 == 0 };
	struct lw_slice positional, named;

	lw_call_parts(run->call, &positional, &named);
	run_list_remove(&work->queue, run);
	run->attempt++;
	work_on_begun(work, run);
	work_on_state(work, slice_of("named"), named);
	if (result.success) {
		result.value = positional;
	} else {
		result.reason = slice_of("exit status 3");
		result.message = slice_of("no luck");
	}
	work_on_result(work, run, &result);
}

bool still_app_settle(struct still_app *still)
{
	for (size_t i = 0; i < still->app->work_count; i++) {
		if (still->app->works[i]->queue.first == NULL)
			continue;
		settle(still->app->works[i]);
		return true;
	}
	return false;
}
