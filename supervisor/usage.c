/* usage.c - who is looked at when. See usage.h. */
#include "usage.h"

#include "app.h"

#define FRESH   2000000 /* us a look is good for */
#define AT_ONCE 2000    /* us of looks in a turn */
#define PAUSE   20000   /* us between two turns of looks */

static bool is_stale(const struct worker *worker, int64_t now)
{
	const struct usage *usage = worker_usage(worker);

	return worker_info(worker).pid > 0 && (usage->at == 0 || now - usage->at > FRESH);
}

/* Until everybody was looked at, or for as long as a turn may take. */
static void look(struct app *app)
{
	struct usage_round *round = &app->usage;
	int64_t until = loop_clock() + AT_ONCE;

	for (; round->next < app->worker_count; round->next++) {
		struct worker *worker = app->workers[round->next];

		if (worker == NULL || !is_stale(worker, loop_now(app->loop)))
			continue;
		worker_look_at_usage(worker);
		if (loop_clock() < until)
			continue;
		round->next++;
		loop_timer_set(&round->timer, PAUSE);
		return;
	}
}

static void on_timer(struct loop_timer *timer)
{
	look(LW_OWNER(timer, struct app, usage.timer));
}

void usage_init(struct usage_round *round, struct loop *loop)
{
	loop_timer_init(&round->timer, loop, on_timer);
}

void usage_done(struct usage_round *round)
{
	loop_timer_done(&round->timer);
}

void usage_look(struct app *app)
{
	if (loop_timer_pending(&app->usage.timer))
		return;
	app->usage.next = 0;
	look(app);
}

bool work_usage(const struct work *work, struct usage *ret_usage)
{
	*ret_usage = (struct usage){ 0 };
	for (size_t i = 0; i < work->worker_count; i++) {
		const struct usage *usage = worker_usage(work->workers[i]);

		if (worker_info(work->workers[i]).pid == 0)
			continue;
		if (usage->at == 0)
			return false;
		ret_usage->cpu += usage->cpu;
		ret_usage->memory += usage->memory;
		ret_usage->processes += usage->processes;
	}
	return true;
}
