/* loop.c - libevent's rounds cut into turns: events, tasks by phase, late frees. See loop.h. */
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "lw_log.h"

#define SECOND  1000000
#define LONGEST ((int64_t)SECOND * 86400 * 3650) /* of a timer */

struct queue {
	struct loop_task *first;
	struct loop_task **end;
};

struct retired {
	void *object;
	void (*destroy)(void *object);
};

struct loop {
	struct event_base *base;
	struct queue queues[LOOP_PHASES];
	struct retired *retired;
	size_t retired_count, retired_room;
	uint64_t stamp;    /* turn * LOOP_PHASES + phase under way */
	int64_t now, wall; /* 0: not asked for in this turn */
	bool running;
	bool leaving;
};

static void say(int severity, const char *text)
{
	static const enum lw_log_level levels[] = {
		[EVENT_LOG_DEBUG] = LW_LOG_DEBUG,
		[EVENT_LOG_MSG] = LW_LOG_INFO,
		[EVENT_LOG_WARN] = LW_LOG_WARNING,
		[EVENT_LOG_ERR] = LW_LOG_ERROR,
	};
	bool known = severity >= 0 && (size_t)severity < LW_COUNT(levels);

	lw_log(known ? levels[severity] : LW_LOG_ERROR, "libevent=\"%s\"", text);
}

static void die(int code)
{
	lw_fatal("libevent ended with error %d", code);
}

static int open_base(struct event_base **ret_base)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return -ENOMEM;
	/* One thread, and nothing in the environment changes how the loop works. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	*ret_base = event_base_new_with_config(config);
	event_config_free(config);
	return *ret_base == NULL ? -ENOMEM : 0;
}

int loop_new(struct loop **ret_loop, struct lw_err *err)
{
	struct event_base *base = NULL;
	struct loop *loop;
	int r;

	event_set_log_callback(say);
	event_set_fatal_callback(die);
	r = open_base(&base);
	if (r < 0)
		return lw_err_set(err, r, "cannot make an event loop");
	loop = LW_NEW(struct loop);
	loop->base = base;
	for (size_t i = 0; i < LOOP_PHASES; i++)
		loop->queues[i].end = &loop->queues[i].first;
	*ret_loop = loop;
	return 0;
}

/* In the order they were retired: what is retired later may own what came before. */
static void free_retired(struct loop *loop)
{
	for (size_t i = 0; i < loop->retired_count; i++) {
		struct retired next = loop->retired[i];

		next.destroy(next.object); /* may retire more */
	}
	loop->retired_count = 0;
}

void loop_free(struct loop *loop)
{
	int saved = errno;

	if (loop == NULL)
		return;
	free_retired(loop);
	lw_free(loop->retired);
	event_base_free(loop->base);
	lw_free(loop);
	errno = saved;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

void loop_watch(struct event *event)
{
	if (event_add(event, NULL) < 0)
		lw_fatal("cannot watch a descriptor: %s", strerror(errno));
}

void loop_post(struct loop *loop, enum loop_phase phase, struct loop_task *task)
{
	struct queue *queue = &loop->queues[phase];

	if (task->posted)
		return;
	task->posted = true;
	task->phase = phase;
	task->next = NULL;
	task->back = queue->end;
	*queue->end = task;
	queue->end = &task->next;
}

void loop_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->posted)
		return;
	*task->back = task->next;
	if (task->next != NULL)
		task->next->back = task->back;
	else
		loop->queues[task->phase].end = task->back;
	task->next = NULL;
	task->back = NULL;
	task->posted = false;
}

/* Ends at a task that ran in this phase already: it and what was posted after it wait for
 * the next turn, so that a task that posts itself does not keep events from coming in. */
static void run_phase(struct loop *loop, enum loop_phase phase)
{
	struct loop_task *task;

	loop->stamp++;
	while ((task = loop->queues[phase].first) != NULL && task->ran != loop->stamp) {
		loop_cancel(loop, task);
		task->ran = loop->stamp;
		task->run(task);
	}
}

static bool has_tasks(const struct loop *loop)
{
	for (size_t i = 0; i < LOOP_PHASES; i++)
		if (loop->queues[i].first != NULL)
			return true;
	return false;
}

static void run_phases(struct loop *loop)
{
	for (size_t i = 0; i < LOOP_PHASES; i++)
		run_phase(loop, (enum loop_phase)i);
}

static void turn(struct loop *loop)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

	if (has_tasks(loop))
		flags |= EVLOOP_NONBLOCK;
	loop->now = 0;
	loop->wall = 0;
	if (event_base_loop(loop->base, flags) < 0)
		lw_fatal("the event loop failed");
	run_phases(loop);
	if (has_tasks(loop)) /* what this turn itself brought about: once more, without a poll */
		run_phases(loop);
	free_retired(loop);
}

void loop_run(struct loop *loop)
{
	loop->running = true;
	while (!loop->leaving)
		turn(loop);
	loop->running = false;
	loop->leaving = false;
}

void loop_exit(struct loop *loop)
{
	loop->leaving = true;
}

void loop_retire(struct loop *loop, void *object, void (*destroy)(void *object))
{
	if (loop->retired_count == loop->retired_room) {
		loop->retired_room = loop->retired_room * 2 + 16;
		loop->retired =
			lw_realloc(loop->retired, loop->retired_room * sizeof(*loop->retired));
	}
	loop->retired[loop->retired_count++] = (struct retired){ object, destroy };
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		lw_fatal("cannot read the clock");
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec / 1000;
}

/* Outside loop_run() there are no turns, and nothing is kept. */
static int64_t once_a_turn(const struct loop *loop, clockid_t clock, int64_t *kept)
{
	if (*kept == 0 || !loop->running)
		*kept = read_clock(clock);
	return *kept;
}

int64_t loop_clock(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t loop_now(struct loop *loop)
{
	return once_a_turn(loop, CLOCK_MONOTONIC, &loop->now);
}

int64_t loop_wall(struct loop *loop)
{
	return once_a_turn(loop, CLOCK_REALTIME, &loop->wall);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
		     void (*run)(struct loop_timer *timer))
{
	*timer = (struct loop_timer){ .run = run, .loop = loop };
}

void loop_timer_done(struct loop_timer *timer)
{
	if (timer->event != NULL)
		event_free(timer->event);
	timer->event = NULL;
}

static void arm(struct loop_timer *timer, int64_t in_us)
{
	struct timeval in = { (time_t)(in_us / SECOND), (suseconds_t)(in_us % SECOND) };

	if (event_add(timer->event, &in) < 0)
		lw_fatal("cannot set a timer");
}

/* libevent's clock is a coarse one, up to a tick behind. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct loop_timer *timer = context;
	int64_t left = timer->at - read_clock(CLOCK_MONOTONIC);

	(void)fd;
	(void)what;
	if (left > 0)
		arm(timer, left);
	else
		timer->run(timer);
}

void loop_timer_set(struct loop_timer *timer, int64_t in_us)
{
	if (timer->event == NULL)
		timer->event = evtimer_new(timer->loop->base, on_timer, timer);
	if (timer->event == NULL)
		lw_fatal("out of memory");
	in_us = in_us < 0 ? 0 : in_us > LONGEST ? LONGEST : in_us;
	timer->at = read_clock(CLOCK_MONOTONIC) + in_us;
	arm(timer, in_us);
}

void loop_timer_stop(struct loop_timer *timer)
{
	if (timer->event != NULL && event_del(timer->event) < 0)
		lw_fatal("cannot stop a timer");
}

bool loop_timer_pending(const struct loop_timer *timer)
{
	return timer->event != NULL && evtimer_pending(timer->event, NULL);
}
