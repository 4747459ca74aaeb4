/* chaos.c - what is done to the supervisor and to its works: a table of actions, drawn by weight,
 * and what has to be undone after a while. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lw_tree.h"
#include "torture.h"

#define MS            INT64_C(1000)
#define STRANGERS     16
#define STEP_LEAST    (5 * MS)
#define STEP_MOST     (40 * MS)
#define ANSWER_WITHIN (400 * MS)

extern char **environ;

/* ---- what is undone later --------------------------------------------------------------- */

/* A process that is stopped. */
struct held {
	pid_t pid;
	uint64_t start;
	int64_t until;
};

static struct {
	struct {
		struct held *items;
		size_t count, room;
	} held;
	int64_t full_until;       /* 0: the disk is not full */
	int64_t start_at;         /* when the next supervisor starts */
	int64_t next;             /* when the next action is due */
	bool paused;              /* the app, for a moment: nothing happens meanwhile */
	int strangers[STRANGERS]; /* connections that say half of what they should; 0: none */
} chaos;

static void let_go(const struct held *held)
{
	if (lw_proc_start_time(held->pid) == held->start)
		(void)kill(held->pid, SIGCONT);
	if (held->pid == daemon_pid())
		daemon_stopped(false);
}

static void let_go_due(int64_t now)
{
	size_t left = 0;

	for (size_t i = 0; i < chaos.held.count; i++) {
		if (chaos.held.items[i].until <= now)
			let_go(&chaos.held.items[i]);
		else
			chaos.held.items[left++] = chaos.held.items[i];
	}
	chaos.held.count = left;
}

static void hold(pid_t pid, int64_t for_us)
{
	uint64_t start = lw_proc_start_time(pid);

	if (start == 0 || kill(pid, SIGSTOP) < 0)
		return;
	torture.count.stops++;
	if (pid == daemon_pid())
		daemon_stopped(true);
	LIST_ADD(&chaos.held, (struct held){ pid, start, now_us() + for_us });
}

/* ---- a process of a work -------------------------------------------------------------------- */

enum kind { WORKER, WRAPPER, COMMAND, KINDS };

/* One of each kind, each of them as likely. */
struct victims {
	pid_t pids[KINDS];
	uint64_t seen[KINDS];
};

static enum kind kind_of(const struct lw_marked *marked)
{
	char who[64];

	if (marked->token[0] == '\0')
		return COMMAND;
	lw_proc_describe(marked->pid, who, sizeof(who));
	return strncmp(who, "lw-worker", 9) == 0 ? WRAPPER : WORKER;
}

static void maybe_take(void *context, const struct lw_marked *marked)
{
	struct victims *victims = context;
	enum kind kind = kind_of(marked);

	if (draw(++victims->seen[kind]) == 0)
		victims->pids[kind] = marked->pid;
}

/* 0: there is nobody. */
static pid_t draw_victim(enum kind *ret_kind)
{
	const char *store = check_store();
	struct victims victims = { 0 };

	if (store != NULL)
		(void)!lw_tree_marked(store, maybe_take, &victims);
	*ret_kind = (enum kind)draw(KINDS);
	for (int i = 0; i < KINDS && victims.pids[*ret_kind] == 0; i++)
		*ret_kind = (*ret_kind + 1) % KINDS;
	return victims.pids[*ret_kind];
}

static void kill_process(void)
{
	unsigned long *counts[KINDS] = { &torture.count.kills_worker, &torture.count.kills_wrapper,
					 &torture.count.kills_command };
	enum kind kind;
	pid_t pid = draw_victim(&kind);

	if (pid != 0 && kill(pid, SIGKILL) == 0)
		++*counts[kind];
}

static void stop_process(void)
{
	enum kind kind;
	pid_t pid = draw_victim(&kind);

	if (pid != 0)
		hold(pid, (int64_t)draw(2000) * MS);
}

static void watch_processes(void)
{
	check_processes();
}

/* ---- the supervisor -------------------------------------------------------------------------- */

static void start_next(void)
{
	chaos.start_at = now_us() + (draw(2) == 0 ? 0 : (int64_t)draw(1500) * MS);
	chaos.full_until = 0;
}

static void kill_supervisor(void)
{
	daemon_expect_end();
	(void)kill(daemon_pid(), SIGKILL);
	torture.count.kills_supervisor++;
	if (!daemon_await_end(10000 * MS))
		lw_fatal("a process that was killed does not end");
	start_next();
	for (uint64_t more = draw(4); more > 0; more--) /* both die */
		kill_process();
	check_look();
}

static void stop_supervisor(void)
{
	hold(daemon_pid(), (int64_t)draw(800) * MS);
}

static void term_supervisor(void)
{
	daemon_expect_end();
	LIST_ADD(&torture.ends_asked, now_us());
	(void)kill(daemon_pid(), SIGTERM);
	torture.count.terms++;
	start_next();
	chaos.start_at += 1;
}

static void leave_works(void)
{
	json_t *json;

	daemon_expect_end();
	if (ask("POST", "app/stop?keep_works=true&wait=false", "", ANSWER_WITHIN, &json) / 100 == 2)
		torture.count.leaves++;
	json_decref(json);
}

static void fill_disk(void)
{
	if (chaos.full_until != 0)
		return;
	daemon_set_disk(true);
	torture.count.disks_full++;
	chaos.full_until = now_us() + (int64_t)draw(1500) * MS;
}

/* ---- clients ----------------------------------------------------------------------------------- */

static const char *const works[] = { "ahead",  "fails",   "once",   "timed",  "always",
				     "latest", "step",    "tries",  "leaves", "floods",
				     "gate",   "cancels", "shard1", "shard2" };

static const char *draw_work(void)
{
	return works[draw(LW_COUNT(works))];
}

/* Is answered, or not, and nobody minds. */
static void post(const char *work, const char *verb, const char *body)
{
	LW_AUTO(lw_free) char *path = lw_format("works/%s/%s", work, verb);
	json_t *json;

	(void)ask("POST", path, body, ANSWER_WITHIN, &json);
	json_decref(json);
}

/* Of `once` nothing goes back to the queue, so that what began once is seen to begin once. */
static void restart_work(void)
{
	const char *work = draw_work();

	if (strcmp(work, "once") != 0)
		post(work, "restart?wait=false", "");
}

static void kill_work(void)
{
	post(draw_work(), "kill?wait=false", "");
}

static void stop_work(void)
{
	post(draw_work(), "stop?wait=false", "");
}

static void pause_work(void)
{
	post(draw_work(), "pause", "");
}

static void of_app(const char *verb)
{
	LW_AUTO(lw_free) char *path = lw_format("app/%s", verb);
	json_t *json;

	(void)ask("POST", path, "", ANSWER_WITHIN, &json);
	json_decref(json);
}

static void pause_app(void)
{
	of_app("pause");
	chaos.paused = true;
}

static void resume_app(void)
{
	of_app("resume");
	chaos.paused = false;
}

static void start_works(void)
{
	for (size_t i = 0; i < LW_COUNT(works); i++) {
		post(works[i], "start?wait=false", "");
		post(works[i], "resume", "");
	}
}

static void retry_work(void)
{
	post(draw_work(), "retry", "{\"all\": true}");
}

static void forget_call(void)
{
	const char *work = draw_work();
	int64_t n = (int64_t)draw(1000);
	LW_AUTO(lw_free) char *body = lw_format("{\"kwargs\": {\"n\": %lld}}", (long long)n);

	LIST_ADD(&torture.exempt, call_of(work, n));
	post(work, "forget", body);
}

/* A call of its own; once it was answered it may not be lost. */
static void make_call(void)
{
	const char *work = draw_work();
	int64_t n = 1000000 + (int64_t)draw(1000000);
	LW_AUTO(lw_free) char *path = lw_format("works/%s/run?wait=false", work);
	LW_AUTO(lw_free) char *body = lw_format("{\"kwargs\": {\"n\": %lld}}", (long long)n);
	json_t *json;
	json_int_t id = 0;

	if (ask("POST", path, body, ANSWER_WITHIN, &json) / 100 == 2)
		id = json_integer_value(json_object_get(json, "id"));
	if (id > 0)
		LIST_ADD(&torture.made, (struct sight){ call_of(work, n), (uint64_t)id, now_us() });
	json_decref(json);
}

static void note_success(const json_t *run, int64_t at)
{
	const char *stage = json_string_value(json_object_get(run, "stage"));
	const char *work = json_string_value(json_object_get(run, "work"));
	json_int_t n = json_integer_value(json_object_get(json_object_get(run, "kwargs"), "n"));
	json_int_t id = json_integer_value(json_object_get(run, "id"));

	if (stage != NULL && work != NULL && strcmp(stage, "succeeded") == 0)
		LIST_ADD(&torture.sights, (struct sight){ call_of(work, n), (uint64_t)id, at });
}

/* True when everything that was shown before is on record: a change of the state is answered then.
 * While the disk is full the supervisor shows what is not. */
static bool is_on_record(void)
{
	LW_AUTO(lw_free) char *body = lw_format("{\"looked\": %lld}", (long long)now_us());
	json_t *json;
	int status = ask("PATCH", "state", body, ANSWER_WITHIN, &json);

	json_decref(json);
	return status == 200;
}

/* What a client was shown must stay true. */
static void look_at_runs(void)
{
	json_t *json, *run;
	size_t i;

	if (ask("GET", "runs?limit=300", "", ANSWER_WITHIN, &json) == 200 && is_on_record()) {
		int64_t at = now_us();

		json_array_foreach(json_object_get(json, "runs"), i, run) note_success(run, at);
	}
	json_decref(json);
}

/* Nor may an answer that was waited for be taken back. */
static void run_and_wait(void)
{
	LW_AUTO(lw_free) char *path = lw_format("works/%s/run", draw_work());
	LW_AUTO(lw_free)
	char *body = lw_format("{\"kwargs\": {\"n\": %lld}}", 1000000 + (long long)draw(1000));
	json_t *json;

	if (ask("POST", path, body, ANSWER_WITHIN, &json) == 200)
		note_success(json, now_us());
	json_decref(json);
}

static void look_at_works(void)
{
	json_t *json;

	(void)ask("GET", "status", "", ANSWER_WITHIN, &json);
	json_decref(json);
}

static void reload_app(void)
{
	json_t *json;

	torture.round++;
	LIST_ADD(&torture.ends_asked, now_us()); /* processes are replaced */
	torture.count.reloads++;
	write_conf();
	(void)ask("POST", "app/reload", "", ANSWER_WITHIN, &json);
	json_decref(json);
}

/* Not waited for: it ends when it does. */
static void run_lwctl(void)
{
	static const char *const verbs[] = { "status", "runs", "works", "state" };
	char *argv[] = { (char *)(uintptr_t)(LW_BIN "/lwctl"), (char *)(uintptr_t) "--state-dir",
			 torture.state_dir, (char *)(uintptr_t)verbs[draw(LW_COUNT(verbs))], NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	(void)!posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
}

/* Says half a request, asks for much and never reads, or poses as a worker; stays for a while. */
static void be_a_stranger(void)
{
	static const struct {
		const char *socket, *text;
		size_t size;
	} words[] = {
#define SAYS(socket, text) { socket, text, sizeof(text) - 1 }
		SAYS("control.sock", "GET /api/v1/st"),
		SAYS("control.sock",
		     "POST /api/v1/works/step/run HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"),
		SAYS("control.sock", "GET /api/v1/runs?limit=1000 HTTP/1.1\r\nHost: lw\r\n\r\n"
				     "GET /api/v1/runs?limit=1000 HTTP/1.1\r\nHost: lw\r\n\r\n"),
		SAYS("worker.sock", "\0\0\0\x20\x9b\x01"),
		SAYS("worker.sock", "GET / HTTP/1.1\r\n\r\n"),
#undef SAYS
	};
	int *place = &chaos.strangers[draw(STRANGERS)];
	size_t which = draw(LW_COUNT(words));

	if (*place > 0)
		close(*place);
	*place = dial_socket(words[which].socket);
	if (*place < 0)
		*place = 0;
	else
		(void)!send(*place, words[which].text, words[which].size, MSG_NOSIGNAL);
	torture.count.strangers++;
}

/* ---- the table -------------------------------------------------------------------------------- */

static const struct {
	void (*act)(void);
	unsigned weight;
} actions[] = {
	{ kill_supervisor, 16 }, { term_supervisor, 2 },  { leave_works, 2 },
	{ stop_supervisor, 6 },  { fill_disk, 4 },        { kill_process, 60 },
	{ stop_process, 20 },    { watch_processes, 20 }, { restart_work, 6 },
	{ kill_work, 6 },        { stop_work, 4 },        { start_works, 4 },
	{ retry_work, 6 },       { forget_call, 6 },      { make_call, 30 },
	{ look_at_runs, 12 },    { run_and_wait, 12 },    { look_at_works, 6 },
	{ run_lwctl, 4 },        { reload_app, 2 },       { be_a_stranger, 12 },
	{ pause_work, 4 },       { pause_app, 1 },
};

static void act(void)
{
	uint64_t total = 0, at;
	size_t i = 0;

	if (chaos.paused && draw(4) == 0)
		resume_app();
	for (size_t k = 0; k < LW_COUNT(actions); k++)
		total += actions[k].weight;
	for (at = draw(total); at >= actions[i].weight; i++)
		at -= actions[i].weight;
	actions[i].act();
}

void chaos_step(void)
{
	int64_t now = now_us();

	let_go_due(now);
	if (chaos.full_until != 0 && chaos.full_until <= now) {
		daemon_set_disk(false);
		chaos.full_until = 0;
	}
	if (daemon_pid() == 0) {
		if (chaos.start_at <= now)
			daemon_start(draw(4) == 0);
		return;
	}
	if (chaos.next > now)
		return;
	chaos.next = now + STEP_LEAST + (int64_t)draw(STEP_MOST - STEP_LEAST);
	act();
}

void chaos_end(void)
{
	for (size_t i = 0; i < chaos.held.count; i++)
		let_go(&chaos.held.items[i]);
	chaos.held.count = 0;
	daemon_set_disk(false);
	for (size_t i = 0; i < STRANGERS; i++)
		if (chaos.strangers[i] > 0)
			close(chaos.strangers[i]);
}
