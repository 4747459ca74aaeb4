/* launch.c - a queue of starts, and how long a turn may spend on them. */
#include "launch.h"

#define TURN_MOST 4000 /* us of a turn after which no further process is started in it */

struct launch {
	struct loop *loop;
	void (*spawn)(struct launch_place *place);
	struct launch_place *first, **end;
	struct loop_task task;
};

static bool turn_is_young(const struct launch *launch)
{
	return loop_clock() - loop_now(launch->loop) < TURN_MOST;
}

static void on_task(struct loop_task *task)
{
	struct launch *launch = LW_OWNER(task, struct launch, task);

	/* One at least: a turn that is slow for other reasons must not starve the starts. */
	do {
		struct launch_place *place = launch->first;

		if (place == NULL)
			return;
		launch_cancel(launch, place);
		launch->spawn(place);
	} while (turn_is_young(launch));
	if (launch->first != NULL)
		loop_post(launch->loop, LOOP_END, &launch->task);
}

struct launch *launch_new(struct loop *loop, void (*spawn)(struct launch_place *place))
{
	struct launch *launch = LW_NEW(struct launch);

	launch->loop = loop;
	launch->spawn = spawn;
	launch->end = &launch->first;
	launch->task.run = on_task;
	return launch;
}

void launch_free(struct launch *launch)
{
	if (launch == NULL)
		return;
	loop_cancel(launch->loop, &launch->task);
	free(launch);
}

void launch_ask(struct launch *launch, struct launch_place *place)
{
	if (launch->first == NULL && turn_is_young(launch)) {
		launch->spawn(place);
		return;
	}
	place->next = NULL;
	place->link = launch->end;
	*launch->end = place;
	launch->end = &place->next;
	loop_post(launch->loop, LOOP_END, &launch->task);
}

void launch_cancel(struct launch *launch, struct launch_place *place)
{
	if (place->link == NULL)
		return;
	*place->link = place->next;
	if (place->next != NULL)
		place->next->link = place->link;
	else
		launch->end = place->link;
	place->next = NULL;
	place->link = NULL;
}
