/* worker_end.c - how a process ends: asked, killed, by itself; and what is left of its tree. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "app.h"
#include "lw_log.h"
#include "worker_private.h"

#define SWEEP_EVERY   10000    /* us between two looks at what is left of a tree */
#define END_TERM_MOST 2000000  /* us that descendants have between TERM and KILL */
#define HEALTHY_AFTER 10000000 /* us of service that make an end no part of a streak */
#define KILL_AGAIN    1000000  /* us after a KILL that did not help */
#define STATUS_EVERY  10000    /* us between two questions for the status of an adopted process */
#define STATUS_TRIES  20
#define KILLS_MOST    3   /* a second apart, of a process that does not end */
#define SWEEPS_MOST   300 /* KILLs to what is left of a tree */

/* ---- ending -------------------------------------------------------------------------------- */

/* Init may have reaped an adopted process already: then its pid is anybody's. */
static void signal_group(const struct worker *worker, int signal)
{
	if (worker->adopted && !lw_process_lives(worker->pidfd))
		return;
	if (worker->pid != 0 && kill(-worker->pid, signal) < 0 && errno == ESRCH)
		(void)kill(worker->pid, signal); /* it has not made its session yet */
}

/* For lw-worker itself a signal means that it is to stop: it is told which one to pass on. */
bool worker_signal(struct worker *worker, int number)
{
	struct lw_msg msg = { .id = LW_MSG_SIGNAL, .signal = { .number = (uint64_t)number } };
	bool program = worker->work->config->program.count > 0;
	bool adoptee_died = worker->adopted && !lw_process_lives(worker->pidfd);

	if (worker->pid == 0 || adoptee_died)
		return false;
	if (program)
		return kill(worker->pid, number) == 0;
	if (worker->fd < 0 || worker_in_hand(worker) == NULL)
		return false;
	if (journal_waits(&worker->commit))
		worker_send(worker, &msg); /* behind the run, if that has not left */
	else
		worker_send_now(worker, &msg);
	return true;
}

static void send_stop(struct worker *worker)
{
	struct lw_msg msg = { .id = LW_MSG_STOP };

	if (worker->fd >= 0)
		worker_send_now(worker, &msg);
}

/* It dials while it is being stopped: its reports are welcome, and it hears of the stop. */
WORKER_ACTION(welcome_stopping)
{
	struct lw_msg msg = { .id = LW_MSG_WELCOME };

	msg.welcome.work = (struct lw_slice){ (const uint8_t *)worker->work->config->name,
					      strlen(worker->work->config->name) };
	msg.welcome.sequence = worker->applied;
	worker_send_now(worker, &msg);
	send_stop(worker);
	return 0;
}

static void stop_now(struct worker *worker)
{
	if (worker->kill_at_once) {
		act_kill(worker);
		return;
	}
	/* First, so that it finds nobody who is on the way out: the leak check of a sanitizer stops
	 * its process with SIGSTOP, and would wait for that for ever. */
	signal_group(worker, SIGCONT);
	send_stop(worker);
	signal_group(worker, (int)worker->work->config->stop_signal);
}

static void on_recorded(struct journal_wait *wait, int r)
{
	struct worker *worker = LW_OWNER(wait, struct worker, recorded);

	(void)r; /* who cannot be put on record is stopped all the same */
	if (worker->state == WORKER_STOPPING)
		stop_now(worker);
}

/* That it was asked, and what it was asked after, is on record first: when the supervisor dies
 * now, the next one knows why the process ended. If the journal takes too long for that, the
 * timer of the state kills. */
static void stop_when_recorded(struct worker *worker)
{
	worker->recorded.done = on_recorded;
	journal_cancel(worker->app->journal, &worker->recorded);
	journal_wait(worker->app->journal, &worker->recorded);
}

WORKER_ACTION(ask_to_stop)
{
	stop_when_recorded(worker);
	if (worker->kill_at_once)
		loop_timer_set(&worker->timer, KILL_AGAIN);
	else if (!loop_timer_pending(&worker->timer))
		loop_timer_set(&worker->timer, worker->work->config->stop_timeout);
	return 0;
}

WORKER_ACTION(hurry)
{
	return worker->kill_at_once ? act_ask_to_stop(worker) : 0;
}

/* Nobody need wait for its end any more; it is tried for ever. */
static void give_up_waiting(struct worker *worker)
{
	worker->stuck = true;
	work_on_stuck(worker->work);
}

WORKER_ACTION(kill)
{
	worker_tree_signal(worker, SIGKILL);
	signal_group(worker, SIGKILL);
	loop_timer_set(&worker->timer, KILL_AGAIN);
	if (++worker->kills == KILLS_MOST) {
		worker_note(worker, "process %d cannot be killed", (int)worker->pid);
		give_up_waiting(worker);
	}
	return 0;
}

/* No hello in time, or no channel for too long. */
WORKER_ACTION(too_slow)
{
	if (worker->said_hello)
		worker_note(worker, "closed its channel and did not dial again within %d s",
			    REDIAL_GRACE / 1000000);
	else
		worker_note(worker, "did not dial in within %g s (start_timeout)",
			    (double)worker->work->config->start_timeout / 1e6);
	worker->timed_out = !worker->said_hello;
	worker->died_badly = true;
	return act_kill(worker);
}

/* The status of a process that is no child of ours may come a little later, or never. */
static bool wait_for_status(struct worker *worker)
{
	if (!worker->adopted || lw_process_lives(worker->pidfd))
		return true; /* a false alarm */
	if (++worker->status_tries > STATUS_TRIES)
		return false;
	loop_timer_set(&worker->status_timer, STATUS_EVERY);
	return true;
}

void worker_on_status_timer(struct loop_timer *timer)
{
	worker_exited(LW_OWNER(timer, struct worker, status_timer));
}

void worker_exited(struct worker *worker)
{
	bool was_ready = worker_readiness(worker) == READY_YES;
	struct lw_exit how = { .known = false };
	int r;

	if (worker->pid == 0)
		return;
	r = lw_process_status(worker->pidfd, worker->pid, !worker->adopted, &how);
	if (r == -EAGAIN && wait_for_status(worker))
		return;
	worker->status_tries = 0;
	free(worker->last_death);
	worker->last_death = lw_exit_text(&how);
	worker->died_badly = worker->died_badly || !lw_exit_is_success(&how);
	worker->ended_at = loop_now(worker->app->loop);
	lw_log(worker->asked ? LW_LOG_DEBUG : LW_LOG_INFO, "work=%s worker=%llu pid=%d ended: %s",
	       worker->work->config->name, (unsigned long long)worker->id, (int)worker->pid,
	       worker->last_death);
	worker_forget_process(worker);
	if (was_ready)
		app_changed(worker->app, "ready");
	worker_step(worker, WORKER_ON_EXIT);
}

/* The process is gone. What it wrote before is in the socket and the pipes already, so that
 * one look takes its last words. Then the rest of its tree. */
WORKER_ACTION(end_tree)
{
	worker->stuck = false; /* the process itself did end */
	loop_timer_stop(&worker->run_timer);
	worker_channel_read(worker);
	worker_channel_close(worker);
	output_drain(worker->output, true);
	worker->tree.leader_gone = true;
	if (!worker_tree_may_live(worker) || worker_tree_signal(worker, SIGTERM) == 0)
		return worker_step(worker, WORKER_ON_GONE);
	worker->end_by = worker->work->config->stop_timeout < END_TERM_MOST
				 ? worker->work->config->stop_timeout
				 : END_TERM_MOST;
	worker->end_by += loop_now(worker->app->loop);
	loop_timer_set(&worker->timer, SWEEP_EVERY);
	return 0;
}

WORKER_ACTION(sweep)
{
	bool kill_now = worker->kill_at_once || loop_now(worker->app->loop) >= worker->end_by;
	size_t left;

	(void)reaper_has_orphans(worker->app->reaper); /* zombies first */
	left = worker_tree_signal(worker, kill_now ? SIGKILL : 0);
	if (left == 0) {
		output_drain(worker->output, true);
		return worker_step(worker, WORKER_ON_GONE);
	}
	loop_timer_set(&worker->timer, worker->kills < SWEEPS_MOST ? SWEEP_EVERY : KILL_AGAIN);
	if (kill_now && ++worker->kills == SWEEPS_MOST) {
		worker_tree_name_survivors(worker);
		give_up_waiting(worker);
	}
	return 0;
}

static void count_streak(struct worker *worker)
{
	bool healthy = worker->succeeded ||
		       (worker->said_hello && worker->ended_at - worker->hello_at >= HEALTHY_AFTER);

	worker->streak = worker->asked ? 0 : healthy ? 1 : worker->streak + 1;
}

/* Last to first, as those that go back to the queue go to its head. */
static void settle(struct worker *worker, struct run_list *list, const char *message)
{
	while (list->last != NULL) {
		struct run *run = list->last;

		run_list_remove(list, run);
		run->worker = NULL;
		journal_run(worker->app->journal, run);
		if (worker->adopted && !worker->dialled) {
			work_on_run_unknown(worker->work, run);
			continue;
		}
		work_on_run_lost(worker->work, run, worker->last_death, message,
				 run->stage == STAGE_RUNNING || list == &worker->answered);
	}
}

/* Nothing of the tree is left: its runs are settled, then the work decides what comes next. */
WORKER_ACTION(gone)
{
	const char *tail = output_tail(worker->output);
	const char *note = worker->error != NULL ? worker->error : "";
	LW_AUTO(lw_free)
	char *message = lw_format("%s%s%s", note, *note != '\0' && *tail != '\0' ? "; " : "", tail);

	count_streak(worker);
	worker_tree_done(worker);
	worker->name.pid = 0;
	journal_worker_gone(worker->app->journal, worker->id);
	settle(worker, &worker->runs, message);
	settle(worker, &worker->answered, message);
	work_on_gone(worker->work, worker);
	return 0;
}
