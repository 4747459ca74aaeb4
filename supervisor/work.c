/* work.c - a work as an object: its pool, its history, what its status says. */
#include "work.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"
#include "work_private.h"

#define HISTORY_BYTES (64u << 20)

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

static struct worker *add_worker(struct work *work)
{
	struct app *app = work->app;

	app->workers = lw_realloc(app->workers, (app->worker_count + 1) * sizeof(struct worker *));
	app->workers[app->worker_count] = worker_new(work, app->worker_count + 1);
	return app->workers[app->worker_count++];
}

static void configure(struct work *work, struct work_config *take)
{
	work->config = take;
	lw_call_begin(&work->head, take->name, take->cache_version);
	work->port = take->port == CONFIG_PORT_AUTO ? free_port() : take->port;
	work->worker_count = (size_t)take->processes;
	work->workers = lw_alloc(work->worker_count * sizeof(struct worker *));
	for (size_t i = 0; i < work->worker_count; i++)
		work->workers[i] = add_worker(work);
}

static void free_workers(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++) {
		uint64_t id = worker_info(work->workers[i]).id;

		worker_free(work->workers[i]);
		work->app->workers[id - 1] = NULL;
	}
	free(work->workers);
}

void work_reconfigure(struct work *work, struct work_config *take)
{
	free_workers(work);
	lw_buf_done(&work->head);
	work_config_free(work->config);
	configure(work, take);
}

struct work *work_new(struct app *app, struct work_config *take)
{
	struct work *work = LW_NEW(struct work);

	work->app = app;
	work->pump.run = work_on_pump;
	loop_timer_init(&work->again, app->loop, work_on_again);
	loop_timer_init(&work->balance, app->loop, work_on_balance);
	configure(work, take);
	return work;
}

static void history_drop(struct work *work, struct run *run);

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
	free_workers(work);
	loop_cancel(work->app->loop, &work->pump);
	loop_timer_done(&work->again);
	loop_timer_done(&work->balance);
	drop_list(&work->queue);
	drop_list(&work->delayed);
	run_unref(work->tentative);
	run_unref(work->latest);
	while (work->oldest != NULL)
		history_drop(work, work->oldest);
	for (size_t i = 0; i < work->status_room; i++) {
		free(work->statuses[i].reason);
		free(work->statuses[i].message);
	}
	free(work->statuses);
	state_done(&work->state);
	lw_buf_done(&work->head);
	work_config_free(work->config);
	free(work);
}

/* ---- history: runs that live, and the latest that are over; newest last ---------------------------------------------------- */

static size_t run_bytes(const struct run *run)
{
	return sizeof(*run) + run->form_size + run->call.size + run->result.size;
}

void work_history_add(struct work *work, struct run *run)
{
	run->older = work->newest;
	if (work->newest != NULL)
		work->newest->newer = run;
	else
		work->oldest = run;
	work->newest = run_ref(run);
}

static void history_drop(struct work *work, struct run *run)
{
	if (run->older != NULL)
		run->older->newer = run->newer;
	else
		work->oldest = run->newer;
	if (run->newer != NULL)
		run->newer->older = run->older;
	else
		work->newest = run->older;
	run->older = run->newer = NULL;
	if (stage_over(run->stage)) {
		work->history_count--;
		work->history_bytes -= run_bytes(run);
	}
	run_unref(run);
}

/* The run is over. What is not, or is watched, stays whatever its age. */
void work_history_over(struct work *work, const struct run *over)
{
	struct run *run = work->oldest;

	work->history_count++;
	work->history_bytes += run_bytes(over);
	while (run != NULL &&
	       (work->history_count > WORK_HISTORY || work->history_bytes > HISTORY_BYTES)) {
		struct run *newer = run->newer;

		if (stage_over(run->stage) && run->watchers == NULL)
			history_drop(work, run);
		run = newer;
	}
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

void work_note_status(struct work *work, const struct run *run)
{
	struct status *status;

	if (run != work->latest)
		return;
	status = next_status(work);
	free(status->reason);
	free(status->message);
	*status = work_status(work);
	status->reason = lw_strdup(status->reason);
	status->message = lw_strdup(status->message);
}

struct status work_status(const struct work *work)
{
	const struct run *run = work->latest;
	struct status status = { .stage = STAGE_NOT_STARTED, .at = work->app->started, .count = 1 };

	for (size_t i = 0; run == NULL && i < work->worker_count; i++) {
		struct worker_info info = worker_info(work->workers[i]);

		if (info.state == WORKER_IDLE || info.state == WORKER_BUSY)
			status = (struct status){ STAGE_STARTED, info.since, NULL, NULL, 1 };
	}
	if (run == NULL)
		return status;
	status.stage = run->stage;
	status.at = stage_over(run->stage)        ? run->ended
		    : run->stage == STAGE_RUNNING ? run->started
		    : run->ended != 0             ? run->ended
						  : run->created;
	status.reason = run->reason;
	status.message = run->message;
	return status;
}

size_t work_live_runs(const struct work *work)
{
	size_t n = work->queue.count + work->delayed.count + (work->tentative != NULL);

	for (size_t i = 0; i < work->worker_count; i++)
		n += worker_info(work->workers[i]).sent;
	return n;
}

bool work_has_process(const struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_has_process(work->workers[i]))
			return true;
	return false;
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
