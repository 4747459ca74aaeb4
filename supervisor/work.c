/* work.c - calls become runs, runs become outcomes. */
#include "work.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"
#include "lw_log.h"

#define STREAK_MOST     10    /* failed starts in a row before we give up */
#define BACKOFF_FIRST   50000 /* us before the second try; doubles */
#define BACKOFF_MOST    30000000
#define SERVICE_HEALTHY 10000000 /* us a service runs for its end not to count as a crash */
#define BALANCE_EVERY   50000    /* us a run is in hand before those behind it are taken back */
#define HISTORY_BYTES   (64u << 20)

static void on_pump(struct loop_task *task);
static void on_again(struct loop_timer *timer);
static void on_balance(struct loop_timer *timer);

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
	work->pump.run = on_pump;
	loop_timer_init(&work->again, app->loop, on_again);
	loop_timer_init(&work->balance, app->loop, on_balance);
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

/* ---- history: runs that are over, newest last ---------------------------------------------------- */

static size_t run_bytes(const struct run *run)
{
	return sizeof(*run) + run->form_size + run->call.size;
}

static void history_add(struct work *work, struct run *run)
{
	run->older = work->newest;
	if (work->newest != NULL)
		work->newest->newer = run;
	else
		work->oldest = run;
	work->newest = run_ref(run);
	work->history_count++;
	work->history_bytes += run_bytes(run);
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
	work->history_count--;
	work->history_bytes -= run_bytes(run);
	run_unref(run);
}

static void history_trim(struct work *work)
{
	while ((work->history_count > WORK_HISTORY || work->history_bytes > HISTORY_BYTES) &&
	       stage_over(work->oldest->stage) && work->oldest->watchers == NULL)
		history_drop(work, work->oldest);
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

static void note_status(struct work *work, const struct run *run)
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
		n += worker_runs(work->workers[i])->count;
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

/* ---- moves of a run ---------------------------------------------------------------------------------- */

static bool may_run(const struct work *work)
{
	return !work->held && !work->stopped && !work->retired && work->app->stage == APP_RUNNING;
}

static void move(struct work *work, struct run *run, enum stage stage, const char *reason,
		 const char *message)
{
	run_move(run, stage, reason, message, loop_wall(work->app->loop));
	work->stage_counts[stage]++;
	note_status(work, run);
	journal_run(work->app->journal, run);
	app_changed(work->app, "run");
}

static void service_over(struct work *work, const struct run *run);

static void note_failure(struct work *work, const struct run *run)
{
	const char *message = run->message != NULL ? run->message : "";

	lw_log(LW_LOG_WARNING, "work=%s run=%llu failed reason=\"%s\" message=\"%.200s\"",
	       work->config->name, (unsigned long long)run->id, run->reason, message);
	free(work->app->last_failure);
	work->app->last_failure = lw_format("work '%s' failed (%s)%s%.300s", work->config->name,
					    run->reason, message[0] != '\0' ? ": " : "", message);
}

/* The run is over; gives up the reference of whoever held it. */
static void finish(struct work *work, struct run *run, enum stage stage, const char *reason,
		   const char *message)
{
	run->ending = ENDING_NO;
	run->undelivered = stage == STAGE_FAILED && run->by == FROM_FLOW;
	move(work, run, stage, reason, message);
	if (run->forget || (work->config->cache_memory == MEMORY_LAST && run != work->latest))
		cache_remove(work->app->cache, run);
	if (stage == STAGE_FAILED)
		note_failure(work, run);
	watchers_tell(&run->watchers);
	if (run->by == FROM_RULE)
		service_over(work, run);
	history_trim(work);
	run_unref(run);
}

/* Back to the head of the queue: it was there before those that are in it now. */
static void requeue(struct work *work, struct run *run, const char *reason, const char *message)
{
	run->ending = ENDING_NO;
	run->progress = -1;
	move(work, run, STAGE_PENDING, reason, message);
	run_list_prepend(&work->queue, run);
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

static void on_retry(struct loop_timer *timer)
{
	struct run *run = LW_OWNER(timer, struct run, delay);
	struct work *work = run->work;

	run_list_remove(&work->delayed, run);
	run_list_prepend(&work->queue, run);
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

static int64_t jittered(double delay, double jitter)
{
	double spread = 1 + jitter * (2 * drand48() - 1);

	return (int64_t)(delay * spread);
}

/* An attempt failed: another one later, or the run has. */
static void attempt_failed(struct work *work, struct run *run, const char *reason,
			   const char *message)
{
	const struct work_config *config = work->config;
	char text[LW_NAME_MAX];
	double delay;

	run->failures++;
	if (run->failures > config->retries || work->app->stage != APP_RUNNING) {
		finish(work, run, STAGE_FAILED, reason, message);
		return;
	}
	delay = (double)config->retry_delay * pow(config->retry_backoff, run->failures - 1);
	snprintf(text, sizeof(text), "retry %u of %lld after %s", run->failures,
		 (long long)config->retries, reason);
	lw_log(LW_LOG_INFO, "work=%s run=%llu attempt=%u failed, %s; next in %.1f s", config->name,
	       (unsigned long long)run->id, run->attempt, text, delay / 1e6);
	run->ending = ENDING_NO;
	run->progress = -1;
	move(work, run, STAGE_PENDING, text, message);
	run_list_append(&work->delayed, run);
	if (run->delay.loop == NULL)
		loop_timer_init(&run->delay, work->app->loop, on_retry);
	loop_timer_set(&run->delay, jittered(delay < 1e15 ? delay : 1e15, config->retry_jitter));
}

/* ---- a call ------------------------------------------------------------------------------------------- */

static void set_latest(struct work *work, struct run *run)
{
	struct run *old = work->latest;

	if (old == run)
		return;
	work->latest = run_ref(run);
	if (old != NULL && work->config->cache_memory == MEMORY_LAST && stage_over(old->stage))
		cache_remove(work->app->cache, old);
	run_unref(old);
}

/* A run that never began and is not wanted any more is forgotten. */
static void overtake(struct work *work, struct run *run, const struct run *by)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "overtaken by run %llu", (unsigned long long)by->id);
	cache_remove(work->app->cache, run);
	loop_timer_done(&run->delay);
	finish(work, run, STAGE_STOPPED, reason, NULL);
}

static void overtake_all(struct work *work, struct run_list *list, const struct run *by)
{
	while (list->first != NULL) {
		struct run *run = list->first;

		run_list_remove(list, run);
		overtake(work, run, by);
	}
}

static void enqueue(struct work *work, struct run *run)
{
	if (work->config->overlap == OVERLAP_LATEST) {
		overtake_all(work, &work->queue, run);
		overtake_all(work, &work->delayed, run);
	}
	run_list_append(&work->queue, run);
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

void work_pass_ended(struct work *work)
{
	struct run *run = work->tentative;

	work->tentative = NULL;
	if (run != NULL)
		enqueue(work, run);
}

/* Processes that gave up are tried again for a new call. */
static void wake_failed(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_state(work->workers[i]) == WORKER_FAILED)
			worker_start(work->workers[i]);
}

static int make_run(struct work *work, struct lw_key key, struct lw_slice form,
		    struct lw_slice call, enum caller by, enum why why, struct run **ret_run,
		    struct lw_err *err)
{
	struct app *app = work->app;
	struct run *run;

	if (work->queue.count + work->delayed.count >= (size_t)work->config->queue_limit)
		return lw_err_set(err, -EAGAIN, "work '%s' has %zu calls waiting (queue_limit)",
				  work->config->name, work->queue.count + work->delayed.count);
	run = run_new(app->runs, work, key, form, call, by, loop_wall(app->loop));
	run->why = (uint8_t)why;
	history_add(work, run);
	cache_put(app->cache, run);
	set_latest(work, run);
	work->misses++;
	work->stage_counts[STAGE_PENDING]++;
	note_status(work, run);
	journal_run(app->journal, run);
	app_changed(app, "run");
	work->stopped = false;
	if (by == FROM_FLOW && app->in_pass && work->config->overlap == OVERLAP_LATEST)
		work->tentative = run;
	else
		enqueue(work, run);
	if (may_run(work))
		wake_failed(work);
	*ret_run = run;
	return 0;
}

static struct policy policy_of(const struct work *work)
{
	return (struct policy){ work->config->cache_calls, work->config->cache_ttl };
}

/* A failure that the flow has not heard of yet is its answer once, also where the call would
 * run again: else nobody would ever hear of it. */
static bool is_news(const struct work *work, const struct run *run, enum caller by)
{
	return run != NULL && run->undelivered && by == FROM_FLOW &&
	       (work->config->cache_calls || work->config->raise_exception ||
		!work->config->parallel);
}

struct asked {
	struct lw_slice form;
	struct lw_key key;
	struct run *run; /* remembered, or NULL */
	enum decision decision;
	enum why why;
};

static int ask(struct work *work, struct lw_slice call, enum caller by, struct asked *asked,
	       struct lw_err *err)
{
	struct app *app = work->app;
	int r = lw_call_canon(call, &work->config->cache_ignore, &app->scratch, &asked->form, err);

	if (r < 0)
		return r;
	asked->key = cache_key(app->cache, asked->form);
	asked->run = cache_find(app->cache, asked->key, asked->form);
	asked->decision =
		cache_decide(asked->run, policy_of(work), loop_wall(app->loop), &asked->why);
	if (is_news(work, asked->run, by)) {
		asked->decision = DECISION_HELD;
		asked->why = WHY_FAILED;
	} else if (work->held &&
		   (asked->decision == DECISION_RUN || asked->decision == DECISION_JOIN)) {
		if (asked->decision == DECISION_RUN)
			asked->run = NULL;
		asked->decision = DECISION_HELD;
		asked->why = WHY_OPERATOR;
	}
	return 0;
}

static void count_answer(struct work *work, const struct asked *asked)
{
	const struct run *run = asked->run;

	switch (asked->decision) {
	case DECISION_HIT:
		work->hits++;
		work->saved += run->ended - run->started;
		break;
	case DECISION_JOIN:
		work->joins++;
		break;
	case DECISION_HELD:
		work->held_answers++;
		break;
	case DECISION_RUN: /* counted where the run is made */
		break;
	}
}

/* A skip is only counted; everything else can be read in the log at debug level. */
static void log_answer(const struct work *work, const struct asked *asked)
{
	LW_AUTO_BUF why = { 0 };

	if (asked->decision == DECISION_HIT || asked->decision == DECISION_JOIN)
		return;
	work_print_why(work, asked->why, asked->run, asked->form, &why);
	lw_log(LW_LOG_DEBUG, "work=%s run=%llu decision=%s %s", work->config->name,
	       (unsigned long long)(asked->run != NULL ? asked->run->id : 0),
	       decision_name(asked->decision), lw_buf_text(&why));
}

/* overlap = latest: an earlier call of this pass does not count any more. */
static void drop_tentative(struct work *work, const struct run *by)
{
	struct run *run = work->tentative;

	if (run == NULL || run == by)
		return;
	work->tentative = NULL;
	overtake(work, run, by);
}

int work_call(struct work *work, struct lw_slice call, enum caller by, struct answer *ret_answer,
	      struct lw_err *err)
{
	struct asked asked;
	int r = ask(work, call, by, &asked, err);

	if (r < 0)
		return r;
	if (asked.decision == DECISION_RUN) {
		struct run *earlier = work->tentative;

		work->tentative = NULL;
		r = make_run(work, asked.key, asked.form, call, by, asked.why, &asked.run, err);
		if (r < 0) {
			work->tentative = earlier;
			return r;
		}
		if (earlier != NULL)
			overtake(work, earlier, asked.run);
	} else if (asked.run != NULL && asked.why != WHY_OPERATOR) {
		set_latest(work, asked.run);
		drop_tentative(work, asked.run);
	}
	count_answer(work, &asked);
	if (lw_log_on(LW_LOG_DEBUG))
		log_answer(work, &asked);
	if (asked.decision == DECISION_JOIN && work->stopped) {
		work->stopped = false;
		loop_post(work->app->loop, LOOP_END, &work->pump);
	}
	*ret_answer = (struct answer){
		.decision = asked.decision,
		.why = asked.why,
		.run = asked.run,
		.stage = asked.why == WHY_OPERATOR ? STAGE_STOPPED : (enum stage)asked.run->stage,
	};
	ret_answer->ends_pass =
		by == FROM_FLOW && !work->config->parallel && !stage_over(ret_answer->stage);
	if (by == FROM_FLOW && asked.why == WHY_FAILED && asked.run->undelivered) {
		asked.run->undelivered = false;
		ret_answer->raises = work->config->raise_exception;
	}
	return 0;
}

int work_explain(struct work *work, struct lw_slice call, struct answer *ret_answer,
		 struct lw_key *ret_key, struct lw_buf *reason, struct lw_err *err)
{
	struct asked asked;
	int r = ask(work, call, FROM_API, &asked, err);

	if (r < 0)
		return r;
	*ret_key = asked.key;
	*ret_answer = (struct answer){
		.decision = asked.decision,
		.why = asked.why,
		.run = asked.run,
		.stage = asked.why == WHY_OPERATOR ? STAGE_STOPPED
			 : asked.run == NULL       ? STAGE_NOT_STARTED
						   : (enum stage)asked.run->stage,
	};
	work_print_why(work, asked.why, asked.run, asked.form, reason);
	return 0;
}

/* ---- serving the queue ----------------------------------------------------------------------------------- */

static struct worker *pick(const struct work *work)
{
	struct worker *best = NULL;

	for (size_t i = 0; i < work->worker_count; i++) {
		struct worker *worker = work->workers[i];

		if (worker_room(worker) > 0 &&
		    (best == NULL || worker_runs(worker)->count < worker_runs(best)->count))
			best = worker;
	}
	return best;
}

/* As many processes as there are calls waiting. */
static void start_wanted(struct work *work)
{
	size_t wanted = work->queue.count;

	for (size_t i = 0; i < work->worker_count && wanted > 0; i++) {
		enum worker_state state = worker_state(work->workers[i]);

		if (state == WORKER_DOWN)
			worker_start(work->workers[i]);
		if (state == WORKER_DOWN || state == WORKER_QUEUED || state == WORKER_STARTING ||
		    state == WORKER_BACKOFF)
			wanted--;
	}
}

static bool some_wait_behind(const struct work *work)
{
	bool idle = false, behind = false;

	for (size_t i = 0; i < work->worker_count; i++) {
		idle = idle || worker_state(work->workers[i]) == WORKER_IDLE;
		behind = behind || worker_runs(work->workers[i])->count > 1;
	}
	return idle && behind;
}

static void on_balance(struct loop_timer *timer)
{
	struct work *work = LW_OWNER(timer, struct work, balance);
	int64_t before = loop_wall(work->app->loop) - BALANCE_EVERY;

	if (!some_wait_behind(work))
		return;
	for (size_t i = 0; i < work->worker_count; i++) {
		const struct run_list *runs = worker_runs(work->workers[i]);
		const struct run *run = runs->last;

		if (runs->count < 2 || runs->first->started > before)
			continue;
		for (size_t n = runs->count / 2; n > 0; n--, run = run->prev)
			worker_withdraw(work->workers[i], run);
	}
	loop_timer_set(timer, BALANCE_EVERY);
}

static void on_pump(struct loop_task *task)
{
	struct work *work = LW_OWNER(task, struct work, pump);
	struct worker *worker;

	if (!may_run(work))
		return;
	while (work->queue.first != NULL && (worker = pick(work)) != NULL) {
		struct run *run = work->queue.first;

		run_list_remove(&work->queue, run);
		worker_give(worker, run);
	}
	if (work->queue.first != NULL)
		start_wanted(work);
	else if (work->worker_count > 1 && !loop_timer_pending(&work->balance) &&
		 some_wait_behind(work))
		loop_timer_set(&work->balance, BALANCE_EVERY);
}

void work_on_room(struct work *work)
{
	loop_post(work->app->loop, LOOP_END, &work->pump);
}

/* ---- what workers report ---------------------------------------------------------------------------------- */

void work_on_begun(struct work *work, struct run *run)
{
	move(work, run, STAGE_RUNNING, NULL, NULL);
}

void work_on_result(struct work *work, struct run *run, const struct lw_msg_result *result)
{
	LW_AUTO(lw_free)
	char *reason = NULL, *message = NULL;

	if (result->success) {
		run_set_result(run, result->value);
		run->progress = -1;
		finish(work, run, STAGE_SUCCEEDED, NULL, NULL);
		return;
	}
	reason = lw_strndup(result->reason.data, result->reason.size);
	message = lw_strndup(result->message.data, result->message.size);
	attempt_failed(work, run, reason, message);
}

void work_on_run_lost(struct work *work, struct run *run, const char *reason, const char *message,
		      bool begun)
{
	LW_AUTO(lw_free)
	char *text = NULL;

	if (!begun) { /* it was only sent ahead */
		run->attempt--;
		run->ending = ENDING_NO;
		run_list_prepend(&work->queue, run);
		loop_post(work->app->loop, LOOP_END, &work->pump);
		return;
	}
	switch ((enum ending)run->ending) {
	case ENDING_NO:
		text = lw_format("the process ended: %s%s%s", reason,
				 message != NULL && message[0] != '\0' ? "; " : "",
				 message != NULL ? message : "");
		attempt_failed(work, run, reason, text);
		break;
	case ENDING_TIMEOUT:
		work->timeouts++;
		text = lw_format("it ran longer than %g s (timeout)",
				 (double)work->config->timeout / 1e6);
		attempt_failed(work, run, "timeout", text);
		break;
	case ENDING_STOPPED:
		finish(work, run, STAGE_STOPPED, run->ending_reason, NULL);
		break;
	case ENDING_REQUEUE:
		requeue(work, run, "restart", NULL);
		break;
	}
}

void work_on_up(struct work *work, struct worker *worker)
{
	(void)worker;
	if (work->latest == NULL)
		app_changed(work->app, "start");
	if (work_is_up(work))
		watchers_tell(&work->up_watchers);
}

void work_on_state(struct work *work, struct lw_slice name, struct lw_slice value)
{
	struct lw_err err = { 0 };
	int r = state_set(&work->state, name, value, &err);

	if (r < 0)
		lw_log(LW_LOG_WARNING, "work=%s its state was not changed: %s", work->config->name,
		       err.text);
	if (r <= 0)
		return;
	journal_state(work->app->journal, work->config->name, name, value);
	app_changed(work->app, "state");
}

int work_set_state(struct work *work, const char *name, struct lw_slice value, struct lw_err *err)
{
	struct lw_slice key = { (const uint8_t *)name, strlen(name) };
	int r = state_set(&work->state, key, value, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < work->worker_count; i++)
		worker_set(work->workers[i], name, value);
	journal_state(work->app->journal, work->config->name, key, value);
	app_changed(work->app, "state");
	return r;
}

/* ---- a process is gone: what comes next --------------------------------------------------------------------- */

static int64_t back_off(uint64_t streak)
{
	double delay = BACKOFF_FIRST;

	if (streak <= 1)
		return 0;
	for (uint64_t i = 2; i < streak && delay < BACKOFF_MOST; i++)
		delay *= 2;
	return jittered(delay < BACKOFF_MOST ? delay : BACKOFF_MOST, 0.1);
}

static void fail_waiting(struct work *work, const struct worker *worker)
{
	const char *death = worker_info(worker).last_death;
	const char *error = worker_info(worker).error;
	LW_AUTO(lw_free)
	char *text = lw_format("its process does not start: %s", error != NULL   ? error
								 : death != NULL ? death
										 : "?");

	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_state(work->workers[i]) != WORKER_FAILED)
			return;
	while (work->queue.first != NULL) {
		struct run *run = work->queue.first;

		run_list_remove(&work->queue, run);
		finish(work, run, STAGE_FAILED, "not started", text);
	}
}

static void give_up(struct work *work, struct worker *worker)
{
	worker_give_up(worker);
	fail_waiting(work, worker);
	app_changed(work->app, "process");
}

/* start_timeout is the failure of the run that waited longest. */
static void fail_first_waiting(struct work *work)
{
	struct run *run = work->queue.first;
	LW_AUTO(lw_free)
	char *text = lw_format("no process dialled in within %g s (start_timeout)",
			       (double)work->config->start_timeout / 1e6);

	work->timeouts++;
	if (run == NULL)
		return;
	run_list_remove(&work->queue, run);
	attempt_failed(work, run, "timeout", text);
}

static void replace_dead(struct work *work, struct worker *worker, struct worker_death death)
{
	enum restart restart = work->config->restart;

	if (death.timed_out)
		fail_first_waiting(work);
	work->restarts++;
	if (restart == RESTART_NEVER || death.streak > STREAK_MOST)
		give_up(work, worker);
	else if (death.hello && !death.badly && restart == RESTART_ON_FAILURE)
		work_on_room(work); /* stays down until a call needs it */
	else if (back_off(death.streak) == 0)
		worker_start(worker);
	else
		worker_start_later(worker, back_off(death.streak));
}

void work_on_gone(struct work *work, struct worker *worker)
{
	struct worker_death death = worker_death(worker);

	if (!may_run(work)) {
		if (!work_has_process(work))
			watchers_tell(&work->gone_watchers);
		app_on_gone(work->app);
		return;
	}
	if (death.asked)
		worker_start(worker); /* restart, kill and timeout replace it at once */
	else
		replace_dead(work, worker, death);
	if (work_is_up(work))
		watchers_tell(&work->up_watchers);
}

/* ---- steering ----------------------------------------------------------------------------------------------------- */

static void end_process(struct worker *worker, enum ending ending, const char *reason, bool at_once)
{
	struct run *run = worker_runs(worker)->first;

	if (run != NULL && run->stage == STAGE_RUNNING && run->ending == ENDING_NO) {
		run->ending = (uint8_t)ending;
		run->ending_reason = reason;
	}
	if (worker_state(worker) != WORKER_DOWN)
		worker_stop(worker, at_once);
}

static void end_processes(struct work *work, enum ending ending, const char *reason, bool at_once)
{
	for (size_t i = 0; i < work->worker_count; i++)
		end_process(work->workers[i], ending, reason, at_once);
}

static void start_processes(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		worker_start(work->workers[i]);
}

void work_begin(struct work *work)
{
	if (may_run(work) && work->config->start_with_flow)
		start_processes(work);
}

void work_end(struct work *work, bool at_once)
{
	loop_timer_stop(&work->again);
	end_processes(work, ENDING_REQUEUE, NULL, at_once);
	if (!work_has_process(work))
		watchers_tell(&work->gone_watchers);
}

void work_start(struct work *work)
{
	work->held = work->stopped = false;
	if (work->app->stage != APP_RUNNING)
		return;
	start_processes(work);
	work_on_room(work);
	if (!work->app->config->has_flow && work_live_runs(work) == 0)
		work_call_service(work);
	app_changed(work->app, "start");
}

void work_stop(struct work *work, bool by_flow)
{
	if (by_flow)
		work->stopped = true;
	else
		work->held = true;
	loop_timer_stop(&work->again);
	end_processes(work, ENDING_STOPPED, by_flow ? "stopped by the flow" : "stopped by operator",
		      false);
	watchers_tell(&work->up_watchers);
	if (!work_has_process(work))
		watchers_tell(&work->gone_watchers);
	app_changed(work->app, "stop");
}

void work_kill(struct work *work)
{
	for (size_t i = 0; i < work->worker_count; i++)
		if (worker_has_process(work->workers[i]))
			end_process(work->workers[i], ENDING_STOPPED, "killed by operator", true);
}

void work_restart(struct work *work)
{
	work->held = work->stopped = false;
	for (size_t i = 0; i < work->worker_count; i++) {
		if (worker_has_process(work->workers[i]))
			end_process(work->workers[i], ENDING_REQUEUE, NULL, false);
		else if (work->app->stage == APP_RUNNING)
			worker_start(work->workers[i]);
	}
	work->restarts++;
	work_on_room(work);
	app_changed(work->app, "restart");
}

/* The remembered runs that a verb is about: one call's, or all of the work. */
static int chosen(struct work *work, struct lw_slice call, struct run ***ret_runs,
		  size_t *ret_count, struct lw_err *err)
{
	struct asked asked;
	int r;

	if (call.size == 0) {
		*ret_count = cache_of_work(work->app->cache, work, ret_runs);
		return 0;
	}
	r = lw_call_canon(call, &work->config->cache_ignore, &work->app->scratch, &asked.form, err);
	if (r < 0)
		return r;
	asked.key = cache_key(work->app->cache, asked.form);
	asked.run = cache_find(work->app->cache, asked.key, asked.form);
	*ret_count = asked.run != NULL;
	*ret_runs = lw_alloc(sizeof(struct run *));
	if (asked.run != NULL)
		(*ret_runs)[0] = run_ref(asked.run);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t one = (*(struct run *const *)a)->id, other = (*(struct run *const *)b)->id;

	return (one > other) - (one < other);
}

int work_retry(struct work *work, struct lw_slice call, struct lw_err *err)
{
	struct run **runs = NULL, *made;
	size_t count = 0;
	int n = 0, r = chosen(work, call, &runs, &count, err);

	if (count > 0)
		qsort(runs, count, sizeof(struct run *), by_id);
	for (size_t i = 0; i < count; i++) {
		struct run *run = runs[i];

		if (r >= 0 && (run->stage == STAGE_FAILED || run->stage == STAGE_STOPPED)) {
			r = make_run(work, run->key, (struct lw_slice){ run->form, run->form_size },
				     run->call, FROM_API, WHY_RETRY, &made, err);
			n += r >= 0;
		}
		run_unref(run);
	}
	free(runs);
	if (r < 0)
		return r;
	return n > 0 ? n
		     : lw_err_set(err, -ENOENT, "work '%s' has no %s to retry", work->config->name,
				  call.size > 0 ? "failed or stopped run of that call"
						: "failed or stopped call");
}

int work_forget(struct work *work, struct lw_slice call, struct lw_err *err)
{
	struct run **runs = NULL;
	size_t count = 0;
	int r = chosen(work, call, &runs, &count, err);

	for (size_t i = 0; i < count; i++) {
		struct run *run = runs[i];

		journal_forget(work->app->journal, run);
		if (stage_over(run->stage))
			cache_remove(work->app->cache, run);
		else
			run->forget = true; /* it finishes and delivers first */
		run_unref(run);
	}
	free(runs);
	if (r < 0)
		return r;
	if (count > 0)
		app_changed(work->app, "forget");
	return (int)count;
}

/* ---- services: no flow, the call of `args` again and again -------------------------------------------------------------- */

static void service_call(const struct work *work, struct lw_buf *call)
{
	lw_buf_add(call, work->head.data, work->head.size);
	if (work->config->args.size > 0) {
		lw_buf_add(call, work->config->args.data, work->config->args.size);
	} else {
		lw_put_list(call, 0);
		lw_put_map(call, 0);
	}
}

void work_call_service(struct work *work)
{
	struct app *app = work->app;
	LW_AUTO_BUF call = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice form;
	struct run *run;
	int r;

	service_call(work, &call);
	r = lw_call_canon(lw_buf_slice(&call), &work->config->cache_ignore, &app->scratch, &form,
			  &err);
	if (r >= 0)
		r = make_run(work, cache_key(app->cache, form), form, lw_buf_slice(&call),
			     FROM_RULE, WHY_SERVICE, &run, &err);
	if (r < 0)
		lw_log(LW_LOG_ERROR, "work=%s cannot be called: %s", work->config->name, err.text);
}

static void on_again(struct loop_timer *timer)
{
	struct work *work = LW_OWNER(timer, struct work, again);

	if (may_run(work))
		work_call_service(work);
}

static void service_over(struct work *work, const struct run *run)
{
	enum restart restart = work->config->restart;
	bool well = run->stage == STAGE_SUCCEEDED;
	bool long_lived = run->started != 0 && run->ended - run->started >= SERVICE_HEALTHY;

	if (!may_run(work) || restart == RESTART_NEVER || (well && restart == RESTART_ON_FAILURE))
		return;
	work->streak = long_lived || run->stage == STAGE_STOPPED ? 1 : work->streak + 1;
	if (work->streak > STREAK_MOST) {
		lw_log(LW_LOG_ERROR, "work=%s gave up after it ended %d times in a row",
		       work->config->name, STREAK_MOST + 1);
		return;
	}
	work->restarts++;
	loop_timer_set(&work->again, back_off(work->streak));
}
