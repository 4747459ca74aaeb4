/* daemon.c - starts lw-supervisor, reads what the flow prints, asks its status API, ends it. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 65536
#define MARK       "BENCH "
#define UP         "Your app has started"

struct daemon {
	pid_t pid;
	int pidfd;
	int output; /* its standard output and error */
	int64_t started;
	char dir[64];
	char board_path[80];
	struct board *board;
	char text[OUTPUT_MAX + 1]; /* output that was not handed out yet */
	size_t size;
	char line[512];  /* handed out */
	char last[2048]; /* what it said that is not for us */
	bool awaits_up;  /* the line that it has started, whatever else is said before */
	bool hopeless;   /* something could not be measured: no use in asking it to end */
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

const char *program_path(const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 2];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	must(n > 0, "/proc/self/exe");
	path[n] = '\0';
	slash = strrchr(path, '/') + 1;
	snprintf(slash, PATH_MAX - (size_t)(slash - path), "%s", name);
	return path;
}

/* ---- start --------------------------------------------------------------------------- */

static void make_folder(struct daemon *daemon)
{
	snprintf(daemon->dir, sizeof(daemon->dir), "%s/XXXXXX", guard_folder());
	must(mkdtemp(daemon->dir) != NULL, daemon->dir);
}

struct board *board_make(char *path)
{
	int fd = mkostemp(path, O_CLOEXEC);
	void *board;

	must(fd >= 0 && ftruncate(fd, sizeof(struct board)) == 0, path);
	board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(board != MAP_FAILED, "mmap");
	close(fd);
	return board;
}

void board_drop(struct board *board, const char *path)
{
	munmap(board, sizeof(struct board));
	unlink(path);
}

static void set_environment(const struct daemon *daemon, const struct plan *plan)
{
	char cpu[16];

	setenv("LW_BENCH_WORK", program_path("bench_noop"), 1);
	if (!plan->no_board)
		setenv("LW_BENCH_BOARD", daemon->board_path, 1);
	if (plan->pinned) {
		snprintf(cpu, sizeof(cpu), "%d", plan->work_cpu);
		setenv("LW_BENCH_CPU", cpu, 1);
	}
	for (const struct setting *s = plan->settings; s != NULL && s->name != NULL; s++)
		setenv(s->name, s->value, 1);
}

LW_NORETURN static void become_daemon(struct daemon *daemon, const struct plan *plan, int output)
{
	char conf[PATH_MAX], state[PATH_MAX];
	const char *program = program_path("lw-supervisor");

	snprintf(state, sizeof(state), "%s/state", daemon->dir);
	snprintf(conf, sizeof(conf), "%s/%s", LW_BENCH_CONF, plan->conf);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	set_environment(daemon, plan);
	if (plan->pinned)
		stay_on(plan->cpu);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execl(program, program, "--no-prefix", "--state-dir", state, conf, (char *)NULL);
	fprintf(stderr, "cannot exec '%s': %s\n", program, strerror(errno));
	_exit(127);
}

/* Whatever a killed daemon leaves behind becomes our child and is ended by us. */
static void launch(struct daemon *daemon, const struct plan *plan)
{
	int output[2];

	must(pipe2(output, O_CLOEXEC) == 0, "pipe");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	daemon->started = now_ns();
	daemon->pid = fork();
	must(daemon->pid >= 0, "fork");
	if (daemon->pid == 0)
		become_daemon(daemon, plan, output[1]);
	close(output[1]);
	daemon->output = output[0];
	must(fcntl(daemon->output, F_SETFL, O_NONBLOCK) == 0, "fcntl");
	daemon->pidfd = (int)syscall(SYS_pidfd_open, daemon->pid, 0);
	must(daemon->pidfd >= 0, "pidfd_open");
}

struct daemon *daemon_start(const struct plan *plan)
{
	struct daemon *daemon = LW_NEW(struct daemon);

	make_folder(daemon);
	snprintf(daemon->board_path, sizeof(daemon->board_path), "%s/board-XXXXXX", daemon->dir);
	daemon->board = board_make(daemon->board_path);
	launch(daemon, plan);
	return daemon;
}

pid_t daemon_pid(const struct daemon *daemon)
{
	return daemon->pid;
}

struct board *daemon_board(struct daemon *daemon)
{
	return daemon->board;
}

char *daemon_journal(const struct daemon *daemon)
{
	return lw_format("%s/state/journal.db", daemon->dir);
}

char *daemon_control(const struct daemon *daemon)
{
	return lw_format("%s/state/control.sock", daemon->dir);
}

int64_t daemon_started(const struct daemon *daemon)
{
	return daemon->started;
}

bool daemon_gone(const struct daemon *daemon)
{
	struct pollfd wait = { .fd = daemon->pidfd, .events = POLLIN };

	return poll(&wait, 1, 0) > 0;
}

/* ---- what it says --------------------------------------------------------------------- */

static int ms_until(int64_t deadline)
{
	int64_t left = (deadline - now_ns()) / 1000000;

	return left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

static void keep_last(struct daemon *daemon, const char *line)
{
	size_t used = strlen(daemon->last), more = strlen(line) + 1;

	if (more >= sizeof(daemon->last))
		return;
	while (used + more >= sizeof(daemon->last)) {
		char *end = strchr(daemon->last, '\n');
		size_t gone = end != NULL ? (size_t)(end + 1 - daemon->last) : used;

		memmove(daemon->last, daemon->last + gone, used - gone + 1);
		used -= gone;
	}
	snprintf(daemon->last + used, sizeof(daemon->last) - used, "%s\n", line);
}

/* Takes the first whole line out of the text; true when it is one for us. */
static bool take_line(struct daemon *daemon, char *end)
{
	size_t size = (size_t)(end + 1 - daemon->text);
	char *mark;

	*end = '\0';
	mark = strstr(daemon->text, daemon->awaits_up ? UP : MARK);
	if (mark != NULL && daemon->awaits_up) {
		snprintf(daemon->line, sizeof(daemon->line), UP);
		daemon->awaits_up = false;
	} else if (mark != NULL)
		snprintf(daemon->line, sizeof(daemon->line), "%s", mark + strlen(MARK));
	else
		keep_last(daemon, daemon->text);
	memmove(daemon->text, daemon->text + size, daemon->size - size);
	daemon->size -= size;
	return mark != NULL;
}

/* 1: read something, 0: nothing there, -1: it has ended. */
static int read_output(struct daemon *daemon)
{
	ssize_t n;

	if (daemon->size == OUTPUT_MAX)
		daemon->size = 0; /* one endless line: not ours */
	n = read(daemon->output, daemon->text + daemon->size, OUTPUT_MAX - daemon->size);
	if (n > 0)
		daemon->size += (size_t)n;
	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

const char *daemon_line(struct daemon *daemon, int64_t deadline)
{
	for (;;) {
		struct pollfd waits[2] = { { .fd = daemon->output, .events = POLLIN },
					   { .fd = daemon->pidfd, .events = POLLIN } };
		char *end = memchr(daemon->text, '\n', daemon->size);
		int r;

		if (end != NULL && take_line(daemon, end))
			return daemon->line;
		if (end != NULL)
			continue;
		r = read_output(daemon);
		if (r > 0)
			continue;
		if (r < 0 || now_ns() >= deadline)
			return NULL;
		if (poll(waits, 2, ms_until(deadline)) > 0 && waits[0].revents == 0)
			return NULL;
	}
}

bool daemon_says(struct daemon *daemon, const char *text, int64_t deadline)
{
	const char *line;

	while ((line = daemon_line(daemon, deadline)) != NULL)
		if (strcmp(line, text) == 0)
			return true;
	return false;
}

bool daemon_up(struct daemon *daemon, int64_t deadline)
{
	daemon->awaits_up = true;
	return daemon_says(daemon, UP, deadline);
}

void daemon_explain(struct daemon *daemon, const char *what)
{
	daemon->hopeless = true;
	report_note("%s was not measured; the supervisor's last words:", what);
	report_note("%s", daemon->last[0] != '\0' ? daemon->last : "(none)");
}

/* ---- status API ----------------------------------------------------------------------- */

static int dial(const struct daemon *daemon)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0, "socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/state/control.sock", daemon->dir);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Everything until the other side closes; the caller frees it. */
static char *read_all(int fd)
{
	size_t size = 0, room = 1u << 16;
	char *text = lw_realloc(NULL, room);
	ssize_t n;

	while ((n = read(fd, text + size, room - size - 1)) > 0) {
		size += (size_t)n;
		if (room - size < 4096)
			text = lw_realloc(text, room *= 2);
	}
	text[size] = '\0';
	return text;
}

static json_t *ask_status(const struct daemon *daemon, bool brief)
{
	LW_AUTO(lw_free)
	char *request = lw_format("GET /api/v1/status%s HTTP/1.1\r\nHost: lw\r\n"
				  "Connection: close\r\n\r\n",
				  brief ? "?brief=1" : "");
	LW_AUTO(lw_free) char *answer = NULL;
	LW_AUTO(lw_close) int fd = dial(daemon);
	const char *body;

	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return NULL;
	answer = read_all(fd);
	body = strstr(answer, "\r\n\r\n");
	return body != NULL ? json_loads(body + 4, 0, NULL) : NULL;
}

static bool for_each_process(const json_t *status, bool (*each)(const json_t *process, void *data),
			     void *data)
{
	const json_t *works = json_object_get(status, "works");

	for (size_t i = 0; i < json_array_size(works); i++) {
		const json_t *work = json_array_get(works, i);
		const json_t *processes = json_object_get(work, "processes");

		for (size_t k = 0; k < json_array_size(processes); k++)
			if (!each(json_array_get(processes, k), data))
				return false;
	}
	return true;
}

struct tally {
	const char *state;
	size_t count;
};

static bool tally_state(const json_t *process, void *data)
{
	struct tally *tally = data;
	const char *state = json_string_value(json_object_get(process, "state"));

	tally->count += state != NULL && strcmp(state, tally->state) == 0;
	return true;
}

/* Keeps its pipe from filling up, and its last words. */
static void drop_output(struct daemon *daemon)
{
	char *end;

	while (read_output(daemon) > 0)
		while ((end = memchr(daemon->text, '\n', daemon->size)) != NULL)
			take_line(daemon, end);
}

json_t *daemon_await(struct daemon *daemon, const char *state, size_t count, int64_t deadline)
{
	for (;;) {
		struct tally tally = { .state = state };
		json_t *status = ask_status(daemon, false);

		for_each_process(status, tally_state, &tally);
		if (tally.count >= count)
			return status;
		json_decref(status);
		drop_output(daemon);
		if (now_ns() > deadline || daemon_gone(daemon))
			return NULL;
		wait_ms(2);
	}
}

json_t *daemon_status(const struct daemon *daemon)
{
	return ask_status(daemon, false);
}

size_t daemon_count(struct daemon *daemon, const char *state)
{
	json_t *status = ask_status(daemon, true);
	const json_t *works = json_object_get(status, "works");
	const json_t *columns = json_object_get(status, "columns");
	size_t at = 0, count = 0;

	/* In a brief answer the only process of a work stands in the work's row. */
	while (at < json_array_size(columns) &&
	       strcmp(json_string_value(json_array_get(columns, at)), "state") != 0)
		at++;
	for (size_t i = 0; i < json_array_size(works); i++) {
		const json_t *cell = json_array_get(json_array_get(works, i), at);

		count += json_is_string(cell) && strcmp(json_string_value(cell), state) == 0;
	}
	json_decref(status);
	drop_output(daemon);
	return count;
}

struct pids {
	pid_t *pids;
	size_t count, room;
};

static bool note_pid(const json_t *process, void *data)
{
	struct pids *pids = data;

	if (pids->count == pids->room)
		return false;
	pids->pids[pids->count++] = (pid_t)json_integer_value(json_object_get(process, "pid"));
	return true;
}

size_t status_pids(const json_t *status, pid_t *pids, size_t room)
{
	struct pids found = { .pids = pids, .room = room };

	for_each_process(status, note_pid, &found);
	return found.count;
}

/* ---- the end ----------------------------------------------------------------------------- */

/* Asked to end, unless it has shown that it does not do what it is asked. */
static void end_supervisor(struct daemon *daemon)
{
	struct pollfd gone = { .fd = daemon->pidfd, .events = POLLIN };
	int64_t deadline = DEADLINE(20);

	if (!daemon->hopeless)
		kill(daemon->pid, SIGTERM);
	while (!daemon->hopeless && now_ns() < deadline && poll(&gone, 1, 20) == 0)
		while (read_output(daemon) > 0)
			daemon->size = 0;
	kill(daemon->pid, SIGKILL);
	waitpid(daemon->pid, NULL, 0);
	close(daemon->output);
	close(daemon->pidfd);
	daemon->size = 0;
}

void daemon_again(struct daemon *daemon, const struct plan *plan)
{
	end_supervisor(daemon);
	launch(daemon, plan);
}

void daemon_kill(struct daemon *daemon)
{
	struct pollfd gone = { .fd = daemon->pidfd, .events = POLLIN };

	kill(daemon->pid, SIGKILL);
	poll(&gone, 1, -1);
}

void daemon_stop(struct daemon *daemon)
{
	if (daemon == NULL)
		return;
	end_supervisor(daemon);
	guard_sweep(profile_pid());
	board_drop(daemon->board, daemon->board_path);
	guard_remove(daemon->dir);
	lw_free(daemon);
}
