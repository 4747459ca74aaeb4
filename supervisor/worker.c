/* worker.c - one child as an object, and in service: what others ask of it, its runs. */
#include "worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "lw_log.h"
#include "worker_private.h"

/* ---- the object ---------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer)
{
	worker_step(LW_OWNER(timer, struct worker, timer), WORKER_ON_TIMEOUT);
}

static void on_run_timer(struct loop_timer *timer)
{
	struct worker *worker = LW_OWNER(timer, struct worker, run_timer);

	struct run *run = worker_in_hand(worker);

	if (run != NULL && run->ending == ENDING_NO)
		work_set_ending(worker->work, run, ENDING_TIMEOUT, NULL);
	worker_stop(worker, false);
}

struct worker *worker_new(struct work *work, uint64_t id, uint32_t slot)
{
	struct worker *worker = LW_NEW(struct worker);

	worker->work = work;
	worker->slot = slot;
	worker->app = work->app;
	worker->id = id;
	worker->state = WORKER_DOWN;
	worker->since = loop_wall(work->app->loop);
	worker->pidfd = -1;
	worker->group = -1;
	worker->fd = -1;
	worker->window = 1;
	loop_timer_init(&worker->timer, work->app->loop, on_timer);
	loop_timer_init(&worker->run_timer, work->app->loop, on_run_timer);
	loop_timer_init(&worker->status_timer, work->app->loop, worker_on_status_timer);
	return worker;
}

struct work *worker_work(const struct worker *worker)
{
	return worker->work;
}

uint64_t worker_incarnation(const struct worker *worker)
{
	return worker->incarnation;
}

void worker_record(struct worker *worker)
{
	const struct lw_process_name *name = &worker->name;
	struct worker_row row = {
		.id = worker->id,
		.work = worker->work->row,
		.slot = worker->slot,
		.incarnation = worker->incarnation,
		.applied = worker->applied,
		.pid = name->pid,
		.start = name->start,
		.handle = name->handle,
		.boot = { (const uint8_t *)name->boot, strlen(name->boot) },
		.token = { (const uint8_t *)worker->token, strlen(worker->token) },
		.ending = (uint8_t)(worker->kill_at_once ? 2
				    : worker->asked      ? 1
							 : 0),
		.ready = worker->said_hello ? (uint8_t)(1 + worker->ready) : 0,
	};

	journal_worker(worker->app->journal, &row);
}

void worker_forget_process(struct worker *worker)
{
	if (worker->pid != 0 && !worker->adopted)
		reaper_remove(worker->app->reaper, worker->pid);
	loop_timer_stop(&worker->status_timer);
	if (worker->exit_event != NULL)
		event_free(worker->exit_event);
	worker->exit_event = NULL;
	lw_close(worker->pidfd);
	worker->pidfd = -1;
	worker->pid = 0;
}

static void drop_runs(struct run_list *list)
{
	while (list->first != NULL) {
		struct run *run = list->first;

		run_list_remove(list, run);
		run->worker = NULL;
		run_unref(run);
	}
}

void worker_free(struct worker *worker)
{
	if (worker == NULL)
		return;
	launch_cancel(worker->app->launch, &worker->place);
	journal_cancel(worker->app->journal, &worker->recorded);
	worker_channel_close(worker);
	worker_forget_process(worker);
	lw_close(worker->group);
	drop_runs(&worker->runs);
	drop_runs(&worker->answered);
	loop_timer_done(&worker->timer);
	loop_timer_done(&worker->run_timer);
	loop_timer_done(&worker->status_timer);
	if (worker->output != NULL)
		output_close(worker->output);
	free(worker->last_death);
	free(worker->error);
	free(worker);
}

void worker_note(struct worker *worker, const char *format, ...)
{
	char text[500];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	lw_log(LW_LOG_WARNING, "work=%s worker=%llu pid=%d %s", worker->work->config->name,
	       (unsigned long long)worker->id, (int)worker->pid, text);
	free(worker->error);
	worker->error = lw_strdup(text);
}

/* ---- what others ask of it ------------------------------------------------------------- */

void worker_start(struct worker *worker)
{
	if (worker->state == WORKER_DOWN || worker->state == WORKER_FAILED ||
	    worker->state == WORKER_BACKOFF)
		worker_step(worker, WORKER_ON_START);
}

void worker_start_later(struct worker *worker, int64_t in_us)
{
	worker_step(worker, WORKER_ON_WAIT);
	loop_timer_set(&worker->timer, in_us);
	worker->next_try_at = loop_now(worker->app->loop) + in_us;
}

void worker_give_up(struct worker *worker)
{
	worker_step(worker, WORKER_ON_GIVE_UP);
}

void worker_stop(struct worker *worker, bool at_once)
{
	bool news = !worker->asked || (at_once && !worker->kill_at_once);

	worker->asked = true;
	worker->kill_at_once = worker->kill_at_once || at_once;
	if (news && worker_has_process(worker))
		worker_record(worker);
	worker_step(worker, WORKER_ON_STOP);
}

bool worker_has_process(const struct worker *worker)
{
	return worker->state != WORKER_DOWN && worker->state != WORKER_QUEUED &&
	       worker->state != WORKER_BACKOFF && worker->state != WORKER_FAILED;
}

const struct run_list *worker_runs(const struct worker *worker)
{
	return &worker->runs;
}

enum worker_state worker_state(const struct worker *worker)
{
	return worker->state;
}

size_t worker_room(const struct worker *worker)
{
	bool ready = worker->state == WORKER_IDLE || worker->state == WORKER_BUSY;

	if (!ready || worker->resend_due || worker->runs.count >= worker->window)
		return 0;
	/* With overlap = latest or cancel a run that waits must stay replaceable: none is sent ahead. */
	if (worker->work->config->overlap != OVERLAP_QUEUE)
		return worker->runs.count == 0;
	return worker->window - worker->runs.count;
}

enum readiness worker_readiness(const struct worker *worker)
{
	bool serves = worker->state == WORKER_IDLE || worker->state == WORKER_BUSY ||
		      worker->state == WORKER_DISCONNECTED || worker->state == WORKER_FOUND;

	if (!serves || !worker->said_hello)
		return READY_NO;
	if (worker->ready == READY_UNSAID && worker->work->config->program.count > 0)
		return READY_YES;
	return worker->ready;
}

struct worker_death worker_death(const struct worker *worker)
{
	return (struct worker_death){
		.asked = worker->asked,
		.badly = worker->died_badly,
		.hello = worker->said_hello,
		.timed_out = worker->timed_out,
		.streak = worker->streak,
	};
}

struct run *worker_in_hand(const struct worker *worker)
{
	struct run *run =
		worker->answered.first != NULL ? worker->answered.first : worker->runs.first;

	return run != NULL && run->stage == STAGE_RUNNING ? run : NULL;
}

uid_t worker_uid(const struct worker *worker)
{
	return identity_uid(worker->work->config->identity);
}

struct worker_info worker_info(const struct worker *worker)
{
	return (struct worker_info){
		.id = worker->id,
		.incarnation = worker->incarnation,
		.state = worker->state,
		.pid = worker->pid,
		.since = worker->since,
		.next_try = worker->state == WORKER_BACKOFF
				    ? worker->next_try_at - loop_now(worker->app->loop)
				    : -1,
		.starts = worker->starts,
		.last_death = worker->last_death,
		.error = worker->error,
		.sent = worker->runs.count + worker->answered.count,
		.stuck = worker->stuck,
	};
}

/* ---- in service ---------------------------------------------------------------------------- */

WORKER_ACTION(welcome)
{
	struct lw_msg msg = { .id = LW_MSG_WELCOME };
	const struct state *state = &worker->work->state;

	worker->hello_at = loop_now(worker->app->loop);
	msg.welcome.work = (struct lw_slice){ (const uint8_t *)worker->work->config->name,
					      strlen(worker->work->config->name) };
	msg.welcome.sequence = worker->applied;
	worker_send(worker, &msg);
	for (size_t i = 0; i < state->count; i++)
		worker_set(worker, state->items[i].name, lw_buf_slice(&state->items[i].value));
	worker->dialled = true;
	if (!worker->said_hello) {
		worker->said_hello = true;
		worker_record(worker);
		work_on_up(worker->work, worker);
	}
	if (worker->runs.count > 0)
		worker_step(worker, WORKER_ON_GIVE);
	work_on_room(worker->work);
	return 0;
}

/* From when the run leaves, or has left: while it cannot be put on record it does not. */
void worker_arm_run_timer(struct worker *worker, int64_t since)
{
	const struct run *run = worker_in_hand(worker);
	int64_t timeout = worker->work->config->timeout;

	worker->run_timer_due = journal_waits(&worker->commit);
	if (run != NULL && timeout != CONFIG_NONE && !worker->run_timer_due)
		loop_timer_set(&worker->run_timer,
			       timeout - (loop_wall(worker->app->loop) - since));
}

/* The first run is in hand: the program executes in order. */
WORKER_ACTION(begin)
{
	struct run *run = worker->runs.first;

	if (run->stage == STAGE_RUNNING)
		return 0;
	output_of(worker->output, worker->pid, run->id);
	work_on_begun(worker->work, run);
	worker_arm_run_timer(worker, run->started);
	return 0;
}

WORKER_ACTION(rest)
{
	output_of(worker->output, worker->pid, 0);
	return 0;
}

WORKER_ACTION(nothing)
{
	(void)worker;
	return 0;
}

WORKER_ACTION(forget_try)
{
	worker->asked = true;
	work_on_gone(worker->work, worker);
	return 0;
}

WORKER_ACTION(fail)
{
	lw_log(LW_LOG_ERROR, "work=%s worker=%llu gave up: %s", worker->work->config->name,
	       (unsigned long long)worker->id,
	       worker->last_death != NULL ? worker->last_death : "not started");
	return 0;
}

/* ---- adoption ------------------------------------------------------------------------------- */

void worker_restore(struct worker *worker, const struct worker_row *row)
{
	worker->incarnation = row->incarnation;
	if (row->pid <= 0 || row->token.size != WORKER_TOKEN ||
	    row->boot.size >= sizeof(worker->name.boot))
		return;
	worker->applied = row->applied;
	worker->pid = (pid_t)row->pid;
	worker->adopted = true;
	worker->dialled = false;
	worker->said_hello = row->ready > 0;
	worker->ready = row->ready == 3 ? READY_YES : row->ready == 2 ? READY_NO : READY_UNSAID;
	work_hears_of_ready(worker->work, worker->ready);
	worker->asked = row->ending > 0;
	worker->kill_at_once = row->ending > 1;
	worker->name = (struct lw_process_name){
		.pid = (pid_t)row->pid,
		.start = row->start,
		.handle = row->handle,
	};
	memcpy(worker->name.boot, row->boot.data, row->boot.size);
	memcpy(worker->token, row->token.data, WORKER_TOKEN);
	worker_set_mark(worker);
	worker->tree = (struct lw_tree){
		.leader = worker->pid,
		.session = worker->pid,
		.mark = worker->mark,
		.since = row->start,
	};
	worker_step(worker, WORKER_ON_RESTORE);
}

void worker_restore_run(struct worker *worker, struct run *run)
{
	run->worker = worker;
	if (worker->kill_at_once) /* a stop asks first */
		run->ending_reason = "killed by operator";
	run_list_append(&worker->runs, run);
}

void worker_seen(struct worker *worker, uint64_t incarnation)
{
	if (incarnation > worker->incarnation)
		worker->incarnation = incarnation;
}

int worker_open_output(struct worker *worker, struct lw_err *err)
{
	const struct work_config *config = worker->work->config;
	int r = 0;

	if (worker->output == NULL)
		r = output_open(worker->app->logs, config->name, worker->id, &worker->output, err);
	if (r == 0)
		logs_limits(worker->app->logs, config->name, config->log_max_size,
			    config->log_keep);
	return r;
}

/* Whoever lives keeps its output; whoever is gone may have left some behind. */
static void open_output(struct worker *worker)
{
	struct lw_err err;

	if (worker_open_output(worker, &err) < 0)
		worker_note(worker, "its output is lost: %s", err.text);
}

void worker_adopt(struct worker *worker)
{
	struct lw_err err;
	int r;

	if (worker->state != WORKER_FOUND)
		return;
	open_output(worker);
	worker->tree.uid = worker_uid(worker);
	worker_tree_adopt(worker);
	r = lw_process_open(&worker->name, &worker->pidfd, &err);
	if (r < 0) {
		if (!lw_process_of_this_boot(&worker->name))
			worker->tree.leader = worker->tree.session = 0; /* numbers of others */
		lw_log(LW_LOG_WARNING, "work=%s worker=%llu pid=%d ended while nobody watched: %s",
		       worker->work->config->name, (unsigned long long)worker->id, (int)worker->pid,
		       err.text);
		worker->last_death = lw_strdup("unknown exit status");
		worker->died_badly = true;
		worker->ended_at = loop_now(worker->app->loop);
		worker_forget_process(worker);
		worker_step(worker, WORKER_ON_EXIT);
		return;
	}
	lw_log(LW_LOG_INFO, "work=%s worker=%llu pid=%d adopted", worker->work->config->name,
	       (unsigned long long)worker->id, (int)worker->pid);
	worker_watch_exit(worker);
	worker_step(worker, WORKER_ON_ALIVE);
}

/* It dials again by itself; one that had not dialled yet has the time of a start. */
WORKER_ACTION(adopt)
{
	struct run *run = worker->runs.first;
	int64_t wait = worker->said_hello ? REDIAL_GRACE : worker->work->config->start_timeout;

	output_of(worker->output, worker->pid,
		  run != NULL && run->stage == STAGE_RUNNING ? run->id : 0);
	if (run != NULL)
		worker_arm_run_timer(worker, run->started);
	if (wait != CONFIG_NONE)
		loop_timer_set(&worker->timer, wait);
	return worker->asked ? worker_step(worker, WORKER_ON_STOP) : 0;
}

/* A living process without its channel may dial again, for a while. */
WORKER_ACTION(await_dial)
{
	loop_timer_set(&worker->timer, REDIAL_GRACE);
	return 0;
}

void worker_give(struct worker *worker, struct run *run)
{
	struct lw_msg msg = { .id = LW_MSG_RUN };

	run->worker = worker;
	run->attempt++;
	run->asked_back = false;
	run_list_append(&worker->runs, run);
	journal_run(worker->app->journal, run);
	msg.run.run = run->id;
	msg.run.attempt = run->attempt;
	lw_call_parts(run->call, &msg.run.positional, &msg.run.named);
	worker_send(worker, &msg);
	worker_step(worker, WORKER_ON_GIVE);
}

void worker_withdraw(struct worker *worker, struct run *run)
{
	struct lw_msg msg = { .id = LW_MSG_WITHDRAW };

	if (run->asked_back)
		return;
	run->asked_back = true;
	msg.withdraw.run = run->id;
	worker_send(worker, &msg);
}

void worker_set(struct worker *worker, const char *name, struct lw_slice value)
{
	struct lw_msg msg = { .id = LW_MSG_SET };

	if (worker->fd < 0)
		return;
	msg.set.name = (struct lw_slice){ (const uint8_t *)name, strlen(name) };
	msg.set.value = value;
	worker_send(worker, &msg);
}
