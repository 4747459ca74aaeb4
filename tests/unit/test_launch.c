/* links: lw_supervisor
 * test_launch.c - starts are spread over turns, in order, and can be taken back. */
#include <criterion/criterion.h>

#include "launch.h"

#define PLACES 6
#define SLOW   3000 /* us that one start takes here: two fill what a turn gives */

static struct loop *loop;
static struct launch *launch;
static struct launch_place places[PLACES];
static int order[PLACES];
static size_t started, turns;
static struct loop_task count;

static void spawn(struct launch_place *place)
{
	int64_t until = loop_clock() + SLOW;

	cr_assert_null(place->link, "a place is out of the queue when its turn has come");
	order[started++] = (int)(place - places);
	while (loop_clock() < until)
		continue;
}

/* Runs in each turn until everything was started, for a while longer than it takes. */
static void on_count(struct loop_task *task)
{
	turns++;
	if (started == PLACES || turns == 50)
		loop_exit(loop);
	else
		loop_post(loop, LOOP_LATE, task);
}

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop, NULL), 0);
	launch = launch_new(loop, spawn);
	count.run = on_count;
}

static void tear_down(void)
{
	launch_free(launch);
	loop_free(loop);
}

TestSuite(launch, .init = set_up, .fini = tear_down);

static void ask_for_all(struct loop_task *task)
{
	(void)task;
	for (size_t i = 0; i < PLACES; i++)
		launch_ask(launch, &places[i]);
}

Test(launch, a_turn_that_is_young_starts_at_once)
{
	launch_ask(launch, &places[2]);
	cr_assert_eq(started, 1u);
	cr_assert_eq(order[0], 2);
}

Test(launch, many_starts_take_several_turns_and_keep_their_order)
{
	struct loop_task ask = { .run = ask_for_all };

	loop_post(loop, LOOP_IO, &ask);
	loop_post(loop, LOOP_LATE, &count);
	loop_run(loop);
	cr_assert_eq(started, (size_t)PLACES);
	for (int i = 0; i < PLACES; i++)
		cr_assert_eq(order[i], i);
	cr_assert_gt(turns, 1u, "the loop had turns in between");
}

static void ask_and_take_back(struct loop_task *task)
{
	ask_for_all(task);
	launch_cancel(launch, &places[PLACES - 1]); /* the last one: the queue's end moves */
	launch_cancel(launch, &places[PLACES - 2]);
	launch_cancel(launch, &places[0]); /* started long ago: nothing */
	launch_ask(launch, &places[PLACES - 1]);
}

Test(launch, a_start_that_was_taken_back_does_not_happen)
{
	struct loop_task ask = { .run = ask_and_take_back };

	loop_post(loop, LOOP_IO, &ask);
	loop_post(loop, LOOP_LATE, &count);
	loop_run(loop);
	cr_assert_eq(started, (size_t)PLACES - 1);
	cr_assert_eq(order[PLACES - 2], PLACES - 1);
}
