/* worker_spawn.c - a new incarnation: its token, environment and process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "dial.h"
#include "lw_log.h"
#include "lw_spawn.h"
#include "worker_private.h"

extern char **environ;

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

static void env_put_user(struct environment *env, const struct identity *identity)
{
	if (identity == NULL || identity->user == NULL)
		return;
	env_put(env, lw_format("HOME=%s", identity->home));
	env_put(env, lw_format("USER=%s", identity->user));
	env_put(env, lw_format("LOGNAME=%s", identity->user));
}

static void environment_fill(struct environment *env, const struct worker *worker,
			     const char *socket)
{
	const struct work_config *config = worker->work->config;
	size_t n = 0;

	while (environ[n] != NULL)
		n++;
	env->entries = lw_alloc((n + 1) * sizeof(*env->entries));
	for (; env->count < n; env->count++)
		env->entries[env->count] = lw_strdup(environ[env->count]);
	env_put_user(env, config->identity);
	for (size_t i = 0; i < config->env.count; i++)
		env_put(env, lw_strdup(config->env.words[i]));
	env_put(env, lw_format("LW_SOCKET=%s", socket));
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

static int find_socket(const struct worker *worker, const char **ret_path, struct lw_err *err)
{
	if (worker_uid(worker) != geteuid())
		return dial_for_others(worker->app->dial, ret_path, err);
	*ret_path = worker->app->worker_socket;
	return 0;
}

static struct lw_spawn spawn_as_configured(const struct worker *worker)
{
	const struct work_config *config = worker->work->config;

	return (struct lw_spawn){
		.cwd = config->cwd,
		.session = true,
		.files = &worker->app->child_files,
		.limits = config->limits.items,
		.limit_count = config->limits.count,
		.as = config->identity != NULL ? &config->identity->as : NULL,
		.has_nice = config->nice != CONFIG_NICE_NONE,
		.nice = (int)config->nice,
		.has_umask = config->umask != CONFIG_NONE,
		.umask = (mode_t)config->umask,
		.fd_count = 3,
	};
}

static int spawn_process(struct worker *worker, struct lw_err *err)
{
	struct environment env = { 0 };
	struct lw_spawn spawn = spawn_as_configured(worker);
	LW_AUTO(lw_free) char *file = NULL;
	LW_AUTO(lw_close) int entry = -1;
	const char *socket;
	char **argv;
	int fds[2];
	int r = worker_open_output(worker, err);

	if (r >= 0)
		r = find_file(worker, &file, err);
	if (r >= 0)
		r = find_socket(worker, &socket, err);
	if (r < 0)
		return r;
	output_fds(worker->output, fds);
	identity_own(worker->work->config->identity, fds, LW_COUNT(fds));
	environment_fill(&env, worker, socket);
	argv = make_argv(worker);
	spawn.file = file;
	spawn.argv = argv;
	spawn.envp = env.entries;
	spawn.fds[0] = -1;
	spawn.fds[1] = fds[0];
	spawn.fds[2] = fds[1];
	worker_tree_begin(worker, &entry);
	spawn.cgroup_entry = entry >= 0 ? &entry : NULL;
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

void worker_watch_exit(struct worker *worker)
{
	worker->exit_event = event_new(loop_base(worker->app->loop), worker->pidfd, EV_READ,
				       on_exit_event, worker);
	if (worker->exit_event == NULL)
		lw_fatal("out of memory");
	loop_watch(worker->exit_event);
}

/* Every process of its tree bears it. */
void worker_set_mark(struct worker *worker)
{
	snprintf(worker->mark, sizeof(worker->mark), "%s/%llu/%llu",
		 journal_store(worker->app->journal), (unsigned long long)worker->id,
		 (unsigned long long)worker->incarnation);
}

static void begin_incarnation(struct worker *worker)
{
	struct timespec boot;

	worker->incarnation++;
	worker->starts++;
	worker->asked = worker->kill_at_once = false;
	worker->said_hello = worker->died_badly = worker->timed_out = worker->succeeded = false;
	worker->ready = READY_UNSAID;
	worker->usage = (struct usage){ 0 };
	worker->kills = 0;
	worker->stuck = false;
	worker->applied = 0;
	worker->window = 1;
	free(worker->error);
	worker->error = NULL;
	worker->adopted = worker->dialled = false;
	make_token(worker->token);
	worker_set_mark(worker);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	worker->tree = (struct lw_tree){
		.mark = worker->mark,
		.uid = worker_uid(worker),
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
		worker_tree_done(worker);
		worker_note(worker, "%s", err.text);
		return worker_step(worker, WORKER_ON_REFUSED);
	}
	worker->tree.leader = worker->tree.session = worker->pid;
	if (lw_process_name(worker->pid, worker->pidfd, &worker->name) < 0) /* it ended already */
		worker->name = (struct lw_process_name){ .pid = worker->pid };
	reaper_add(worker->app->reaper, worker->pid, worker);
	output_of(worker->output, worker->pid, 0);
	if (worker->pidfd >= 0) /* else SIGCHLD tells alone */
		worker_watch_exit(worker);
	worker_record(worker);
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
