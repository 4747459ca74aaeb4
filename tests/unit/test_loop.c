/* links: lw_supervisor */
/* test_loop.c - the turn: phases in their order, tasks, late frees, timers, an idle loop. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

static struct loop *loop;
static char trace[256]; /* one letter an event */

static void note(char letter)
{
	size_t size = strlen(trace);

	cr_assert(size + 1 < sizeof(trace));
	trace[size] = letter;
}

struct step {
	struct loop_task task;
	char letter;
	int again; /* times it posts itself from within */
	enum loop_phase phase;
	struct step *next; /* posted from within */
};

static void step_run(struct loop_task *task)
{
	struct step *step = LW_OWNER(task, struct step, task);

	note(step->letter);
	if (step->again-- > 0)
		loop_post(loop, step->phase, &step->task);
	if (step->next != NULL)
		loop_post(loop, step->next->phase, &step->next->task);
}

static struct step step_of(char letter, enum loop_phase phase)
{
	return (struct step){ .task = { .run = step_run }, .letter = letter, .phase = phase };
}

static void leave(struct loop_task *task)
{
	(void)task;
	loop_exit(loop);
}
static struct loop_task leave_task = { .run = leave };

static void set_up(void)
{
	struct lw_err err = { 0 };

	cr_assert_eq(loop_new(&loop, &err), 0);
}

static void tear_down(void)
{
	loop_free(loop);
}

TestSuite(loop, .init = set_up, .fini = tear_down, .timeout = 30);

static void post(struct step *step)
{
	loop_post(loop, step->phase, &step->task);
}

static void one_turn(void)
{
	loop_post(loop, LOOP_LATE, &leave_task);
	loop_run(loop);
}

Test(loop, phases_run_in_their_order_however_they_were_posted)
{
	struct step steps[] = { step_of('l', LOOP_LATE), step_of('e', LOOP_END),
				step_of('p', LOOP_PASS), step_of('i', LOOP_IO) };

	for (size_t i = 0; i < LW_COUNT(steps); i++)
		post(&steps[i]);
	one_turn();
	cr_assert_str_eq(trace, "ipel");
}

Test(loop, posting_twice_is_posting_once)
{
	struct step step = step_of('x', LOOP_END);

	post(&step);
	post(&step);
	one_turn();
	cr_assert_str_eq(trace, "x");
}

Test(loop, a_task_that_posts_itself_runs_twice_before_events_come_in_again)
{
	struct step step = step_of('x', LOOP_PASS);

	step.again = 2;
	post(&step);
	one_turn();
	cr_assert_str_eq(trace, "xx");
	cr_assert(step.task.posted);
	one_turn();
	cr_assert_str_eq(trace, "xxx");
	cr_assert(!step.task.posted);
}

Test(loop, an_earlier_phase_is_reached_once_more_in_the_same_turn)
{
	struct step first = step_of('1', LOOP_PASS);
	struct step later = step_of('2', LOOP_END), earlier = step_of('3', LOOP_IO);
	struct step last = step_of('4', LOOP_LATE), next_turn = step_of('5', LOOP_IO);

	first.next = &later;
	later.next = &earlier;
	earlier.next = &last;
	last.next = &next_turn;
	post(&first);
	one_turn();
	cr_assert_str_eq(trace, "1234");
	one_turn();
	cr_assert_str_eq(trace, "12345");
}

Test(loop, a_task_posted_for_the_phase_under_way_runs_in_it)
{
	struct step first = step_of('1', LOOP_END), second = step_of('2', LOOP_END);

	first.next = &second;
	post(&first);
	one_turn();
	cr_assert_str_eq(trace, "12");
}

Test(loop, a_cancelled_task_is_forgotten_wherever_it_stood_in_the_queue)
{
	for (size_t gone = 0; gone < 3; gone++) {
		struct step steps[] = { step_of('a', LOOP_END), step_of('b', LOOP_END),
					step_of('c', LOOP_END) };
		struct step last = step_of('d', LOOP_END);
		static const char *expected[] = { "bcd", "acd", "abd" };

		memset(trace, 0, sizeof(trace));
		for (size_t i = 0; i < 3; i++)
			post(&steps[i]);
		loop_cancel(loop, &steps[gone].task);
		loop_cancel(loop, &steps[gone].task);
		post(&last);
		memset(&steps[gone], 0, sizeof(steps[gone])); /* may be freed now */
		one_turn();
		cr_assert_str_eq(trace, expected[gone]);
	}
}

struct box {
	char letter;
	struct box *next;
};

static void box_free(void *object)
{
	struct box *box = object;

	note(box->letter);
	if (box->next != NULL)
		loop_retire(loop, box->next, box_free);
	free(box);
}

static struct box *box_new(char letter, struct box *next)
{
	struct box *box = LW_NEW(struct box);

	*box = (struct box){ letter, next };
	return box;
}

Test(loop, the_retired_are_freed_last_in_a_turn_in_order)
{
	struct step late = step_of('l', LOOP_LATE);

	loop_retire(loop, box_new('a', box_new('c', NULL)), box_free);
	loop_retire(loop, box_new('b', NULL), box_free);
	post(&late);
	one_turn();
	cr_assert_str_eq(trace, "labc");
}

struct tick {
	struct loop_timer timer;
	int64_t fired;
};

static void tick_run(struct loop_timer *timer)
{
	struct tick *tick = LW_OWNER(timer, struct tick, timer);

	tick->fired = loop_now(timer->loop);
	note('t');
	loop_exit(timer->loop);
}

Test(loop, a_timer_fires_once_and_never_early)
{
	struct tick tick = { .fired = 0 };

	loop_timer_init(&tick.timer, loop, tick_run);
	cr_assert(!loop_timer_pending(&tick.timer));
	for (int64_t wait = 1000; wait <= 9000; wait += 1000) {
		int64_t begun = loop_now(loop);

		loop_timer_set(&tick.timer, wait);
		cr_assert(loop_timer_pending(&tick.timer));
		loop_run(loop);
		cr_assert_geq(tick.fired, begun + wait);
		cr_assert(!loop_timer_pending(&tick.timer));
	}
	cr_assert_str_eq(trace, "ttttttttt");
	loop_timer_done(&tick.timer);
}

Test(loop, a_timer_is_replaced_and_stopped)
{
	struct tick never = { .fired = 0 }, soon = { .fired = 0 };

	loop_timer_init(&never.timer, loop, tick_run);
	loop_timer_init(&soon.timer, loop, tick_run);
	loop_timer_stop(&never.timer);
	loop_timer_set(&never.timer, 0);
	loop_timer_stop(&never.timer);
	loop_timer_set(&soon.timer, INT64_MAX);
	loop_timer_set(&soon.timer, -5);
	loop_run(loop);
	cr_assert_str_eq(trace, "t");
	cr_assert_eq(never.fired, 0);
	loop_timer_done(&never.timer);
	loop_timer_done(&soon.timer);
	loop_timer_done(&soon.timer);
}

static int64_t seen[4];

static void read_clocks(struct loop_task *task)
{
	struct timespec pause = { 0, 2000000 };

	(void)task;
	seen[0] = loop_now(loop);
	seen[1] = loop_wall(loop);
	cr_assert_eq(nanosleep(&pause, NULL), 0); /* the passing of time is what is tested */
	seen[2] = loop_now(loop);
	seen[3] = loop_wall(loop);
}

Test(loop, clocks_stand_still_within_a_turn_and_go_on_between_turns)
{
	struct loop_task task = { .run = read_clocks };
	int64_t before = loop_now(loop), first;

	loop_post(loop, LOOP_PASS, &task);
	one_turn();
	cr_assert_eq(seen[0], seen[2]);
	cr_assert_eq(seen[1], seen[3]);
	cr_assert_geq(seen[0], before);
	first = seen[0];
	loop_post(loop, LOOP_PASS, &task);
	one_turn();
	cr_assert_geq(seen[0], first + 2000);
}

static int flood[2];
static int reads;

static void on_flood(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	reads++; /* and leaves it readable */
}

Test(loop, input_that_never_ends_does_not_keep_later_phases_from_running)
{
	struct step step = step_of('x', LOOP_END);
	struct event *event;

	cr_assert_eq(pipe2(flood, O_CLOEXEC), 0);
	cr_assert_eq(write(flood[1], "x", 1), 1);
	event = event_new(loop_base(loop), flood[0], EV_READ | EV_PERSIST, on_flood, NULL);
	cr_assert_eq(event_add(event, NULL), 0);
	post(&step);
	one_turn();
	one_turn();
	cr_assert_str_eq(trace, "x");
	cr_assert_eq(reads, 2, "%d reads in two turns", reads);
	event_free(event);
	close(flood[0]);
	close(flood[1]);
}

static char *read_proc(pid_t pid, const char *what, char *text, size_t room)
{
	char path[64];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	size = read(fd, text, room - 1);
	cr_assert_geq(size, 0);
	text[size] = '\0';
	close(fd);
	return text;
}

static unsigned long switches_of(pid_t pid)
{
	char text[4096];
	const char *line =
		strstr(read_proc(pid, "status", text, sizeof(text)), "voluntary_ctxt_switches:");

	cr_assert_not_null(line);
	return strtoul(strchr(line, ':') + 1, NULL, 10);
}

static bool is_asleep(pid_t pid)
{
	char text[1024];

	return strstr(read_proc(pid, "stat", text, sizeof(text)), ") S ") != NULL;
}

static void on_pipe(evutil_socket_t fd, short what, void *context)
{
	char byte;

	(void)what;
	(void)context;
	if (read(fd, &byte, 1) == 0)
		_exit(0);
}

static void tell(struct loop_task *task)
{
	(void)task;
	cr_assert_eq(write(flood[1], "r", 1), 1);
}

Test(loop, an_idle_loop_sleeps_and_does_not_wake_by_itself)
{
	struct timespec watched = { 0, 200000000 };
	unsigned long before;
	struct loop_task ready = { .run = tell };
	int ends[2], status;
	char byte;
	pid_t pid;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(flood, O_CLOEXEC), 0);
	loop_post(loop, LOOP_END, &ready);
	pid = fork();
	if (pid == 0) {
		struct event *event =
			event_new(loop_base(loop), ends[0], EV_READ | EV_PERSIST, on_pipe, NULL);

		close(ends[1]);
		event_reinit(loop_base(loop));
		event_add(event, NULL);
		loop_run(loop);
		_exit(1);
	}
	close(ends[0]);
	cr_assert_eq(read(flood[0], &byte, 1), 1);
	while (!is_asleep(pid))
		sched_yield();
	before = switches_of(pid);
	cr_assert_eq(nanosleep(&watched, NULL), 0); /* the absence of events is what is tested */
	cr_assert_eq(switches_of(pid), before);
	close(ends[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(flood[0]);
	close(flood[1]);
}

Test(loop, an_exit_before_the_run_is_kept)
{
	loop_exit(loop);
	loop_run(loop);
	cr_assert_str_eq(trace, "");
}
