/* worker.c - one child's process: spawn, end, and what is left of its tree. */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "lw_log.h"
#include "lw_spawn.h"
#include "reap.h"
#include "worker_private.h"

#define REDIAL_GRACE  5000000  /* us a living process may be without its channel */
#define SWEEP_EVERY   10000    /* us between two looks at what is left of a tree */
#define END_TERM_MOST 2000000  /* us that descendants have between TERM and KILL */
#define HEALTHY_AFTER 10000000 /* us of service that make an end no part of a streak */
#define KILL_AGAIN    1000000  /* us after a KILL that did not help */

extern char **environ;

/* ---- the object ---------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer)
{
	worker_step(LW_OWNER(timer, struct worker, timer), WORKER_ON_TIMEOUT);
}

static void on_run_timer(struct loop_timer *timer)
{
	struct worker *worker = LW_OWNER(timer, struct worker, run_timer);

	if (worker->runs.first != NULL && worker->runs.first->ending == ENDING_NO)
		worker->runs.first->ending = ENDING_TIMEOUT;
	worker_stop(worker, false);
}

struct worker *worker_new(struct work *work, uint64_t id)
{
	struct worker *worker = LW_NEW(struct worker);

	worker->work = work;
	worker->app = work->app;
	worker->id = id;
	worker->state = WORKER_DOWN;
	worker->since = loop_wall(work->app->loop);
	worker->pidfd = -1;
	worker->fd = -1;
	worker->window = 1;
	loop_timer_init(&worker->timer, work->app->loop, on_timer);
	loop_timer_init(&worker->run_timer, work->app->loop, on_run_timer);
	return worker;
}

static void forget_process(struct worker *worker)
{
	if (worker->pid != 0)
		reaper_remove(worker->app->reaper, worker->pid);
	if (worker->exit_event != NULL)
		event_free(worker->exit_event);
	worker->exit_event = NULL;
	lw_close(worker->pidfd);
	worker->pidfd = -1;
	worker->pid = 0;
}

void worker_free(struct worker *worker)
{
	if (worker == NULL)
		return;
	launch_cancel(worker->app->launch, &worker->place);
	worker_channel_close(worker);
	forget_process(worker);
	while (worker->runs.first != NULL) {
		struct run *run = worker->runs.first;

		run_list_remove(&worker->runs, run);
		run->worker = NULL;
		run_unref(run);
	}
	loop_timer_done(&worker->timer);
	loop_timer_done(&worker->run_timer);
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
	worker->asked = true;
	worker->kill_at_once = worker->kill_at_once || at_once;
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
	/* With overlap = latest a run that waits must stay replaceable: none is sent ahead. */
	if (worker->work->config->overlap != OVERLAP_QUEUE)
		return worker->runs.count == 0;
	return worker->window - worker->runs.count;
}

struct worker_death worker_death(const struct worker *worker)
{
	return (struct worker_death){
		.asked = worker->asked,
		.badly = worker->died_badly,
		.hello = worker->said_hello,
		.timed_out = worker->timed_out,
		.streak = worker->streak,
		.served = worker->said_hello ? worker->ended_at - worker->hello_at : 0,
	};
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
		.sent = worker->runs.count,
	};
}

/* ---- spawning --------------------------------------------------------------------------- */

static void make_token(char token[WORKER_TOKEN + 1])
{
	uint8_t bytes[WORKER_TOKEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		lw_fatal("cannot draw a worker's token");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
}

/* The environment of a child: ours, the work's, and what the channel needs. */
struct environment {
	char **entries;
	size_t count;
};

static void env_put(struct environment *env, char *entry)
{
	size_t name = strcspn(entry, "=") + 1;

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->entries[i], entry, name) == 0) {
			free(env->entries[i]);
			env->entries[i] = entry;
			return;
		}
	}
	env->entries = lw_realloc(env->entries, (env->count + 2) * sizeof(*env->entries));
	env->entries[env->count++] = entry;
	env->entries[env->count] = NULL;
}

static void environment_done(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->entries[i]);
	free(env->entries);
}

static void environment_fill(struct environment *env, const struct worker *worker)
{
	const struct work_config *config = worker->work->config;
	size_t n = 0;

	while (environ[n] != NULL)
		n++;
	env->entries = lw_alloc((n + 1) * sizeof(*env->entries));
	for (; env->count < n; env->count++)
		env->entries[env->count] = lw_strdup(environ[env->count]);
	for (size_t i = 0; i < config->env.count; i++)
		env_put(env, lw_strdup(config->env.words[i]));
	env_put(env, lw_format("LW_SOCKET=%s", worker->app->worker_socket));
	env_put(env, lw_format("LW_TOKEN=%s", worker->token));
	env_put(env, lw_format("LW_WORKER=%s", worker->mark));
	env_put(env, lw_format("LW_WORK=%s", config->name));
	env_put(env, lw_format("LW_STOP_TIMEOUT_MS=%lld", (long long)config->stop_timeout / 1000));
	if (worker->work->port != 0) {
		env_put(env, lw_format("HOST=%s", config->host));
		env_put(env, lw_format("PORT=%lld", (long long)worker->work->port));
	}
}

/* argv of the child: the program's own, or lw-worker with the command behind "--". */
static char **make_argv(const struct worker *worker)
{
	const struct work_config *config = worker->work->config;
	bool program = config->program.count > 0;
	const struct words *words = program ? &config->program : &config->command;
	char **argv = lw_alloc((words->count + 3) * sizeof(*argv));
	size_t n = 0;

	if (!program) {
		argv[n++] = (char *)worker->app->worker_program;
		argv[n++] = (char *)"--";
	}
	memcpy(argv + n, words->words, words->count * sizeof(*argv));
	return argv;
}

static int find_file(const struct worker *worker, char **ret_file, struct lw_err *err)
{
	const struct work_config *config = worker->work->config;

	if (config->program.count == 0) {
		*ret_file = lw_strdup(worker->app->worker_program);
		return 0;
	}
	return lw_spawn_find(config->program.words[0], worker->app->config->app.folder, ret_file,
			     err);
}

static int spawn_process(struct worker *worker, struct lw_err *err)
{
	struct environment env = { 0 };
	struct lw_spawn spawn = { .cwd = worker->work->config->cwd,
				  .session = true,
				  .fd_count = 3 };
	LW_AUTO(lw_free)
	char *file = NULL;
	char **argv;
	int fds[2];
	int r;

	if (worker->output == NULL) {
		r = output_open(worker->app->logs, worker->work->config->name, worker->id,
				&worker->output, err);
		if (r < 0)
			return r;
	}
	r = find_file(worker, &file, err);
	if (r < 0)
		return r;
	output_fds(worker->output, fds);
	environment_fill(&env, worker);
	argv = make_argv(worker);
	spawn.file = file;
	spawn.argv = argv;
	spawn.envp = env.entries;
	spawn.fds[0] = -1;
	spawn.fds[1] = fds[0];
	spawn.fds[2] = fds[1];
	r = lw_spawn(&spawn, &worker->pid, &worker->pidfd, err);
	free(argv);
	environment_done(&env);
	return r;
}

static void on_exit_event(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	worker_exited(context);
}

static void watch_exit(struct worker *worker)
{
	worker->exit_event = event_new(loop_base(worker->app->loop), worker->pidfd, EV_READ,
				       on_exit_event, worker);
	if (worker->exit_event == NULL)
		lw_fatal("out of memory");
	event_add(worker->exit_event, NULL);
}

static void begin_incarnation(struct worker *worker)
{
	struct timespec boot;

	worker->incarnation++;
	worker->starts++;
	worker->asked = worker->kill_at_once = false;
	worker->said_hello = worker->died_badly = worker->timed_out = worker->succeeded = false;
	worker->kills = 0;
	worker->end_killed = false;
	worker->applied = 0;
	worker->window = 1;
	free(worker->error);
	worker->error = NULL;
	make_token(worker->token);
	snprintf(worker->mark, sizeof(worker->mark), "%s/%llu/%llu",
		 journal_store(worker->app->journal), (unsigned long long)worker->id,
		 (unsigned long long)worker->incarnation);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	worker->tree = (struct lw_tree){
		.mark = worker->mark,
		.since = (uint64_t)boot.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK),
	};
}

WORKER_ACTION(ask_launch)
{
	launch_ask(worker->app->launch, &worker->place);
	return 0;
}

void worker_launch(struct launch_place *place)
{
	worker_step(LW_OWNER(place, struct worker, place), WORKER_ON_LAUNCH);
}

WORKER_ACTION(leave_queue)
{
	launch_cancel(worker->app->launch, &worker->place);
	return act_forget_try(worker);
}

WORKER_ACTION(spawn)
{
	struct lw_err err = { 0 };

	begin_incarnation(worker);
	if (spawn_process(worker, &err) < 0) {
		worker->pid = 0;
		worker_note(worker, "%s", err.text);
		return worker_step(worker, WORKER_ON_REFUSED);
	}
	worker->tree.leader = worker->tree.session = worker->pid;
	reaper_add(worker->app->reaper, worker->pid, worker);
	output_of(worker->output, worker->pid, 0);
	if (worker->pidfd >= 0) /* else SIGCHLD tells alone */
		watch_exit(worker);
	if (worker->work->config->start_timeout != CONFIG_NONE)
		loop_timer_set(&worker->timer, worker->work->config->start_timeout);
	return 0;
}

WORKER_ACTION(not_spawned)
{
	worker->died_badly = true;
	worker->streak++;
	free(worker->last_death);
	worker->last_death = lw_strdup("not started");
	work_on_gone(worker->work, worker);
	return 0;
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
	if (!worker->said_hello) {
		worker->said_hello = true;
		work_on_up(worker->work, worker);
	}
	if (worker->runs.count > 0)
		worker_step(worker, WORKER_ON_GIVE);
	work_on_room(worker->work);
	return 0;
}

/* The first run is in hand: the program executes in order. */
WORKER_ACTION(begin)
{
	struct run *run = worker->runs.first;

	if (run->stage == STAGE_RUNNING)
		return 0;
	output_of(worker->output, worker->pid, run->id);
	work_on_begun(worker->work, run);
	if (worker->work->config->timeout != CONFIG_NONE)
		loop_timer_set(&worker->run_timer, worker->work->config->timeout);
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
	run_list_append(&worker->runs, run);
	msg.run.run = run->id;
	msg.run.attempt = run->attempt;
	lw_call_parts(run->call, &msg.run.positional, &msg.run.named);
	worker_send(worker, &msg);
	worker_step(worker, WORKER_ON_GIVE);
}

void worker_withdraw(struct worker *worker, const struct run *run)
{
	struct lw_msg msg = { .id = LW_MSG_WITHDRAW };

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

/* ---- ending -------------------------------------------------------------------------------- */

static void signal_group(const struct worker *worker, int signal)
{
	if (worker->pid != 0 && kill(-worker->pid, signal) < 0 && errno == ESRCH)
		(void)kill(worker->pid, signal); /* it has not made its session yet */
}

static size_t signal_tree(struct worker *worker, int signal)
{
	struct lw_pids pids = { 0 };
	size_t n;

	worker->tree.leader_gone = worker->pid == 0;
	n = lw_tree_find(&worker->tree, &pids);
	for (size_t i = 0; i < pids.count; i++)
		(void)kill(pids.pids[i], signal);
	lw_pids_done(&pids);
	return n;
}

WORKER_ACTION(ask_to_stop)
{
	struct lw_msg msg = { .id = LW_MSG_STOP };

	if (worker->kill_at_once)
		return act_kill(worker);
	if (worker->fd >= 0)
		worker_send_now(worker, &msg);
	signal_group(worker, (int)worker->work->config->stop_signal);
	signal_group(worker, SIGCONT);
	if (!loop_timer_pending(&worker->timer))
		loop_timer_set(&worker->timer, worker->work->config->stop_timeout);
	return 0;
}

WORKER_ACTION(hurry)
{
	return worker->kill_at_once ? act_kill(worker) : 0;
}

WORKER_ACTION(kill)
{
	signal_tree(worker, SIGKILL);
	signal_group(worker, SIGKILL);
	if (++worker->kills == 3)
		worker_note(worker, "does not end after SIGKILL");
	loop_timer_set(&worker->timer, KILL_AGAIN);
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

static char *death_text(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return lw_format("exit status %d", info->si_status);
	return lw_format("signal %d (%s)", info->si_status,
			 sigabbrev_np(info->si_status) != NULL ? sigabbrev_np(info->si_status)
							       : "?");
}

void worker_exited(struct worker *worker)
{
	siginfo_t info = { .si_pid = 0 };
	idtype_t by = worker->pidfd >= 0 ? (idtype_t)P_PIDFD : P_PID;
	id_t id = (id_t)(worker->pidfd >= 0 ? worker->pidfd : worker->pid);

	if (worker->pid == 0 || waitid(by, id, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	free(worker->last_death);
	worker->last_death = death_text(&info);
	worker->died_badly =
		worker->died_badly || info.si_code != CLD_EXITED || info.si_status != 0;
	worker->ended_at = loop_now(worker->app->loop);
	lw_log(worker->asked ? LW_LOG_DEBUG : LW_LOG_INFO, "work=%s worker=%llu pid=%d ended: %s",
	       worker->work->config->name, (unsigned long long)worker->id, (int)worker->pid,
	       worker->last_death);
	forget_process(worker);
	worker_step(worker, WORKER_ON_EXIT);
}

/* The process is gone. What it wrote before is in the socket and the pipes already, so that
 * one look takes its last words. Then the rest of its tree. */
WORKER_ACTION(end_tree)
{
	loop_timer_stop(&worker->run_timer);
	worker_channel_read(worker);
	worker_channel_close(worker);
	output_drain(worker->output, true);
	worker->tree.leader_gone = true;
	if (!reaper_has_orphans(worker->app->reaper) || signal_tree(worker, SIGTERM) == 0)
		return worker_step(worker, WORKER_ON_GONE);
	worker->end_by = worker->work->config->stop_timeout < END_TERM_MOST
				 ? worker->work->config->stop_timeout
				 : END_TERM_MOST;
	worker->end_by += loop_now(worker->app->loop);
	if (worker->kill_at_once)
		worker->end_by = 0;
	loop_timer_set(&worker->timer, SWEEP_EVERY);
	return 0;
}

static void name_survivors(struct worker *worker)
{
	struct lw_pids pids = { 0 };
	char who[64] = "";

	if (lw_tree_find(&worker->tree, &pids) > 0)
		lw_proc_describe(pids.pids[0], who, sizeof(who));
	worker_note(worker, "%zu of its processes cannot be killed, one is %s", pids.count, who);
	lw_pids_done(&pids);
}

WORKER_ACTION(sweep)
{
	bool kill_now = loop_now(worker->app->loop) >= worker->end_by;
	size_t left;

	(void)reaper_has_orphans(worker->app->reaper); /* zombies first */
	left = signal_tree(worker, kill_now ? SIGKILL : 0);
	if (left == 0) {
		output_drain(worker->output, true);
		return worker_step(worker, WORKER_ON_GONE);
	}
	if (kill_now && ++worker->kills == 300)
		name_survivors(worker);
	loop_timer_set(&worker->timer, worker->kills < 300 ? SWEEP_EVERY : KILL_AGAIN);
	return 0;
}

static void count_streak(struct worker *worker)
{
	bool healthy = worker->succeeded ||
		       (worker->said_hello && worker->ended_at - worker->hello_at >= HEALTHY_AFTER);

	worker->streak = worker->asked ? 0 : healthy ? 1 : worker->streak + 1;
}

/* Nothing of the tree is left: its runs are settled, then the work decides what comes next. */
WORKER_ACTION(gone)
{
	struct run *head = worker->runs.first;
	const char *tail = output_tail(worker->output);
	const char *note = worker->error != NULL ? worker->error : "";
	LW_AUTO(lw_free)
	char *message = lw_format("%s%s%s", note, *note != '\0' && *tail != '\0' ? "; " : "", tail);
	bool begun = head != NULL && head->stage == STAGE_RUNNING;

	count_streak(worker);
	while (worker->runs.last != NULL) {
		struct run *run = worker->runs.last;

		run_list_remove(&worker->runs, run);
		run->worker = NULL;
		work_on_run_lost(worker->work, run, worker->last_death, message,
				 begun && run == head);
	}
	work_on_gone(worker->work, worker);
	return 0;
}
