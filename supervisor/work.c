/* work.c - a work as an object: its settings, its pool, what its status says. */
#include "work.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"
#include "events.h"
#include "logs.h"
#include "lw_log.h"
#include "work_private.h"

/* ---- the object ------------------------------------------------------------------------------ */

static int64_t free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int64_t port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		port = ntohs(address.sin_port);
	lw_close(fd);
	return port;
}

void work_reserve_worker(struct app *app, uint64_t id)
{
	if (id <= app->worker_count)
		return;
	app->workers = lw_realloc(app->workers, id * sizeof(struct worker *));
	memset(app->workers + app->worker_count, 0,
	       (id - app->worker_count) * sizeof(struct worker *));
	app->worker_count = (size_t)id;
}

/* The worker of an id, which nobody has; ids are never given twice. */
static struct worker *add_worker(struct work *work, uint64_t id, uint32_t slot)
{
	work_reserve_worker(work->app, id);
	return work->app->workers[id - 1] = worker_new(work, id, slot);
}

static void free_worker(struct worker *worker)
{
	uint64_t id = worker_info(worker).id;
	struct app *app = worker_work(worker)->app;

	worker_free(worker);
	app->workers[id - 1] = NULL;
}

/* Makes the pool that large; who leaves has no process. */
static void set_pool(struct work *work, size_t count)
{
	for (size_t i = count; i < work->worker_count; i++)
		if (work->workers[i] != NULL)
			free_worker(work->workers[i]);
	work->workers = lw_realloc(work->workers, (count + 1) * sizeof(struct worker *));
	for (size_t i = work->worker_count; i < count; i++)
		work->workers[i] = NULL;
	work->worker_count = count;
}

void work_fill_pool(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (work->workers[i] == NULL)
			work->workers[i] =
				add_worker(work, work->app->worker_count + 1, (uint32_t)i);
}

static void set_config(struct work *work, struct work_config *take)
{
	if (work->config != NULL && work->config != take)
		work_config_free(work->config);
	work->config = take;
	if (work->app->logs != NULL)
		logs_limits(work->app->logs, take->name, take->log_max_size, take->log_keep);
	work_take_files(work);
	work_make_head(work);
}

/* The part of the settings that needs every process to be gone. */
void work_settle_pool(struct work *work)
{
	work->renewing = false;
	work->port = work->config->port == CONFIG_PORT_AUTO ? free_port() : work->config->port;
	set_pool(work, (size_t)work->config->processes);
	work_fill_pool(work);
}

static void on_changed(struct loop_task *task);

struct work *work_new(struct app *app, struct work_config *take, uint32_t row)
{
	struct work *work = LW_NEW(struct work);

	work->app = app;
	work->row = row;
	work->pump.run = work_on_pump;
	work->changed.run = on_changed;
	work->renew.run = work_on_renew;
	loop_timer_init(&work->again, app->loop, work_on_again);
	loop_timer_init(&work->balance, app->loop, work_on_balance);
	set_config(work, take);
	work_settle_pool(work);
	return work;
}

/* ---- settings ---------------------------------------------------------------------------------- */

#define PORT_KEY "$port" /* the settled port, beside the settings */

/* Those its processes run with; NULL: nobody can tell. */
static json_t *settings_of(const struct work *work)
{
	json_t *json;

	if (work->settings != NULL)
		return json_loads(work->settings, 0, NULL);
	json = work_config_to_json(work->config);
	(void)json_object_del(json, "line");
	json_object_set_new(json, PORT_KEY, json_integer(work->port));
	return json;
}

static char *settings_text(const struct work *work)
{
	json_t *json = settings_of(work);
	LW_AUTO_BUF text = { 0 };

	lw_json_print(json, 0, &text);
	json_decref(json);
	return lw_strdup(lw_buf_text(&text));
}

void work_record(struct work *work)
{
	LW_AUTO(lw_free) char *text = NULL;
	const char *settings;
	struct work_row row;

	if (!work->retired && !work->renewing) {
		free(work->settings);
		work->settings = NULL;
	}
	if (work->settings == NULL)
		text = settings_text(work);
	settings = text != NULL ? text : work->settings;
	work_changed(work);
	row = (struct work_row){
		.id = work->row,
		.name = { (const uint8_t *)work->config->name, strlen(work->config->name) },
		.settings = { (const uint8_t *)settings, strlen(settings) },
		.held = work->held,
		.made_in_pass = work->made_in_pass,
	};
	journal_work(work->app->journal, &row);
}

/* What these settings mean for processes that run with those on record. */
static enum reload consequence(const struct work *work, const struct work_config *take,
			       int64_t *ret_port, const char **ret_key)
{
	json_t *old = settings_of(work);
	json_t *fresh = work_config_to_json(take);
	enum reload reload = RELOAD_RENEWS;

	*ret_key = "settings";
	*ret_port = json_integer_value(json_object_get(old, PORT_KEY));
	if (old != NULL)
		reload = config_reload(work_options, old, fresh, ret_key);
	json_decref(old);
	json_decref(fresh);
	return reload;
}

enum reload work_reload(const struct work *work, const struct work_config *take,
			const char **ret_key)
{
	int64_t port;

	return consequence(work, take, &port, ret_key);
}

void work_take_config(struct work *work, struct work_config *take, bool in_pass)
{
	bool came_back = work->retired;
	const char *key;
	int64_t port;
	enum reload reload = consequence(work, take, &port, &key);

	if (work->settings == NULL)
		work->settings = settings_text(work);
	set_config(work, take);
	work->retired = false;
	work->made_in_pass = in_pass;
	if (reload != RELOAD_RENEWS) {
		work->port = came_back && port != 0 ? port : work->port;
		if (work->worker_count < (size_t)take->processes)
			set_pool(work, (size_t)take->processes);
		work_fill_pool(work);
	} else if (work_has_process(work) || work->app->stage == APP_RUNNING) {
		lw_log(LW_LOG_INFO, "work=%s has another '%s': its processes are replaced",
		       take->name, key);
		work->renewing = true;
		work_end(work, false);
		loop_post(work->app->loop, LOOP_END, &work->renew);
	} else {
		work_settle_pool(work);
	}
	work_record(work);
	if (came_back && work->app->stage == APP_RUNNING)
		work_begin(work);
	work_on_room(work);
}

void work_retire(struct work *work)
{
	work->retired = true;
	work_end(work, false);
}

void work_restore(struct work *work, const struct work_row *row)
{
	work->retired = true;
	work->held = row->held;
	work->made_in_pass = row->made_in_pass;
	work->settings = lw_strndup(row->settings.data, row->settings.size);
	set_pool(work, 0);
}

struct worker *work_restore_worker(struct work *work, uint64_t id, uint32_t slot, bool has_process)
{
	struct worker *there = slot < work->worker_count ? work->workers[slot] : NULL;

	work_reserve_worker(work->app, id);
	if (work->app->workers[id - 1] != NULL || slot >= WORK_SLOTS)
		return NULL;
	/* A pool that shrank and grew has left two rows of a place; one at most has a process. */
	if (there != NULL && (worker_has_process(there) || !has_process))
		return NULL;
	if (there != NULL)
		free_worker(there);
	if (slot >= work->worker_count)
		set_pool(work, slot + 1);
	return work->workers[slot] = add_worker(work, id, slot);
}

static void drop_list(struct run_list *list)
{
	while (list->first != NULL) {
		struct run *run = list->first;

		run_list_remove(list, run);
		run_unref(run);
	}
}

void work_free(struct work *work)
{
	if (work == NULL)
		return;
	set_pool(work, 0);
	free(work->workers);
	free(work->settings);
	loop_cancel(work->app->loop, &work->pump);
	loop_cancel(work->app->loop, &work->renew);
	loop_cancel(work->app->loop, &work->changed);
	loop_timer_done(&work->again);
	loop_timer_done(&work->balance);
	drop_list(&work->queue);
	drop_list(&work->delayed);
	run_unref(work->tentative);
	run_unref(work->latest.live);
	for (size_t i = 0; i < work->status_room; i++) {
		free(work->statuses[i].reason);
		free(work->statuses[i].message);
	}
	free(work->statuses);
	files_remove(work->files);
	state_done(&work->state);
	pause_done(&work->pause);
	calls_free(work->calls);
	skips_free(work->skips);
	lw_buf_done(&work->head);
	work_config_free(work->config);
	free(work);
}

/* ---- status --------------------------------------------------------------------------------------- */

const struct status *work_status_at(const struct work *work, size_t i)
{
	return &work->statuses[(work->status_first + i) % work->status_room];
}

static struct status *next_status(struct work *work)
{
	if (work->status_count == work->status_room && work->status_room < WORK_STATUSES) {
		size_t room = work->status_room == 0 ? 4 : work->status_room * 2;

		work->statuses = lw_realloc(work->statuses, room * sizeof(*work->statuses));
		memset(work->statuses + work->status_room, 0,
		       (room - work->status_room) * sizeof(*work->statuses));
		work->status_room = room;
	}
	if (work->status_count == work->status_room) {
		work->status_first = (work->status_first + 1) % work->status_room;
		work->status_count--;
	}
	work->status_count++;
	return &work->statuses[(work->status_first + work->status_count - 1) % work->status_room];
}

static struct status status_of_latest(const struct work *work);
static struct status status_of_processes(const struct work *work);

/* Without its reason, for which the record may have to be asked. */
static enum stage stage_of(const struct work *work)
{
	if (work->waits_for_files)
		return STAGE_PENDING;
	if (work->latest.run == 0)
		return status_of_processes(work).stage;
	return (enum stage)(work->latest.live != NULL ? work->latest.live->stage
						      : work->latest.stage);
}

/* In the last phase of the turn, once however often it was asked for. */
static void on_changed(struct loop_task *task)
{
	const struct work *work = LW_OWNER(task, struct work, changed);

	events_note(work->app->events, &(struct event){ .kind = EVENT_WORK,
							.work = work->row,
							.stage = (uint8_t)stage_of(work) });
}

void work_changed(struct work *work)
{
	loop_post(work->app->loop, LOOP_LATE, &work->changed);
}

void work_note_status(struct work *work, const struct run *run)
{
	struct status *status;

	events_note(work->app->events, &(struct event){ .kind = EVENT_RUN,
							.run = run->id,
							.work = work->row,
							.stage = run->stage });
	work_changed(work);
	if (run->id != work->latest.run)
		return;
	status = next_status(work);
	free(status->reason);
	free(status->message);
	*status = status_of_latest(work);
	status->reason = lw_strdup(status->reason);
	status->message = lw_strdup(status->message);
}

/* Before the first call: whether a process is there. */
static struct status status_of_processes(const struct work *work)
{
	struct status status = { .stage = STAGE_NOT_STARTED, .at = work->app->started, .count = 1 };

	for (size_t i = 0; i < work->worker_count; i++) {
		struct worker_info info = worker_info(work->workers[i]);

		if (info.state == WORKER_IDLE || info.state == WORKER_BUSY)
			status = (struct status){ STAGE_STARTED, info.since, NULL, NULL, 1 };
	}
	return status;
}

/* Of a call that failed or was stopped: why, which its run knows. */
static void add_reason(const struct work *work, struct status *status)
{
	struct lw_err err;
	const struct run *run = app_run(work->app, work->latest.run, &err);

	if (run == NULL)
		return;
	status->reason = run->reason;
	status->message = run->message;
}

static struct status status_of_latest(const struct work *work)
{
	const struct run *run = work->latest.live;
	struct status status = { .count = 1 };

	if (work->latest.run == 0)
		return status_of_processes(work);
	if (run == NULL) {
		status.stage = (enum stage)work->latest.stage;
		status.at = work->latest.ended;
		if (status.stage != STAGE_SUCCEEDED)
			add_reason(work, &status);
		return status;
	}
	status.stage = run->stage;
	status.at = stage_over(run->stage)        ? run->ended
		    : run->stage == STAGE_RUNNING ? run->started
		    : run->ended != 0             ? run->ended
						  : run->created;
	status.reason = run->reason;
	status.message = run->message;
	return status;
}

struct status work_status(const struct work *work)
{
	static char reason[] = "its cache_files are being read";

	if (work->waits_for_files)
		return (struct status){ STAGE_PENDING, loop_wall(work->app->loop), reason, NULL,
					1 };
	return status_of_latest(work);
}

struct run *work_latest(const struct work *work)
{
	struct lw_err err;

	return work->latest.run != 0 ? app_run(work->app, work->latest.run, &err) : NULL;
}

size_t work_live_runs(const struct work *work)
{
	size_t n = work->queue.count + work->delayed.count + (work->tentative != NULL) +
		   work->waits_for_files;

	for (size_t i = 0; i < work->worker_count; i++)
		n += worker_info(work->workers[i]).sent;
	return n;
}

enum readiness work_readiness(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_readiness(work->workers[i]) == READY_YES)
			return READY_YES;
	return work->config->program.count > 0 || work->speaks_of_ready ? READY_NO : READY_UNSAID;
}

void work_hears_of_ready(struct work *work, enum readiness ready)
{
	work->speaks_of_ready = work->speaks_of_ready || ready != READY_UNSAID;
}

size_t work_running_runs(const struct work *work)
{
	size_t n = 0;

	for (size_t i = 0; i < work->worker_count; i++)
		for (const struct run *run = worker_runs(work->workers[i])->first; run != NULL;
		     run = run->next)
			n += run->stage == STAGE_RUNNING;
	return n;
}

bool work_has_process(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_has_process(work->workers[i]))
			return true;
	return false;
}

const struct worker *work_stuck(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_info(work->workers[i]).stuck)
			return work->workers[i];
	return NULL;
}

bool work_is_up(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++) {
		enum worker_state state = worker_state(work->workers[i]);

		if (state == WORKER_QUEUED || state == WORKER_STARTING ||
		    state == WORKER_DISCONNECTED || state == WORKER_STOPPING ||
		    state == WORKER_ENDING)
			return false;
	}
	return true;
}
