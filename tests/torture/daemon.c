/* daemon.c - the supervisor under torture: its starts and ends, its console, requests to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_buf.h"
#include "torture.h"

#define PUMP_MS   10
#define DEAF_MOST INT64_C(1000000) /* us that its console can do without us */
#define DISK_FULL 4096             /* bytes of the longest file it can write */

extern char **environ;

static struct {
	pid_t pid;
	int console; /* read end of both its streams; -1 */
	struct lw_buf partial;
	FILE *log;
	bool may_end;
	bool saw_full;      /* its disk was full at some time */
	int64_t stopped_at; /* 0: it is not */
	int64_t heard_at;
} daemon_of = { .console = -1 };

static struct life *life(void)
{
	return &torture.lives.items[torture.lives.count - 1];
}

/* ---- the console ------------------------------------------------------------------------ */

static void hear_numbered(uint64_t run, unsigned attempt, int i, int of)
{
	struct lines *lines =
		torture.lines.count == 0 ? NULL : &torture.lines.items[torture.lines.count - 1];

	if (lines == NULL || lines->run != run || lines->attempt != attempt) {
		LIST_ADD(&torture.lines, (struct lines){ run, attempt, 1, false });
		lines = &torture.lines.items[torture.lines.count - 1];
	}
	if (lines->next == i)
		lines->next++;
	lines->whole = lines->next == of + 1;
}

static void hear_line(const char *line)
{
	unsigned long long run;
	unsigned attempt;
	int i, of;

	if (sscanf(line, "line %llu %u %d of %d", &run, &attempt, &i, &of) == 4) {
		hear_numbered(run, attempt, i, of);
		return;
	}
	torture.count.adoptions += strstr(line, " adopted") != NULL;
	torture.count.lost += strstr(line, " is lost (") != NULL;
	life()->dropped = life()->dropped || strncmp(line, "[lw: ", 5) == 0;
	fprintf(daemon_of.log, "%.6f %s\n", (double)now_us() / 1e6, line);
}

static void hear_lines(void)
{
	struct lw_buf *partial = &daemon_of.partial;
	size_t at = 0;
	uint8_t *end;

	while (at < partial->size &&
	       (end = memchr(partial->data + at, '\n', partial->size - at)) != NULL) {
		*end = '\0';
		hear_line((const char *)partial->data + at);
		at = (size_t)(end + 1 - partial->data);
	}
	lw_buf_cut(partial, at);
}

static bool hear_some(void)
{
	ssize_t n;

	lw_buf_grow(&daemon_of.partial, 65536);
	n = read(daemon_of.console, daemon_of.partial.data + daemon_of.partial.size, 65536);
	if (n <= 0)
		return false;
	daemon_of.partial.size += (size_t)n;
	hear_lines();
	return true;
}

static void hear_rest(void)
{
	while (hear_some())
		;
	daemon_of.partial.size = 0; /* a line that it could not finish */
	close(daemon_of.console);
	daemon_of.console = -1;
}

/* ---- start and end ------------------------------------------------------------------------ */

static char *const *environment(bool old_kernel)
{
	if (old_kernel)
		setenv("LW_OLD_KERNEL", "1", 1);
	else
		unsetenv("LW_OLD_KERNEL");
	return environ;
}

static pid_t spawn(const char *program, int console, char *const *envp)
{
	char *argv[] = { (char *)(uintptr_t)program,
			 (char *)(uintptr_t) "--no-prefix",
			 (char *)(uintptr_t) "--state-dir",
			 torture.state_dir,
			 torture.conf,
			 NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, console, 1);
	posix_spawn_file_actions_adddup2(&actions, console, 2);
	r = posix_spawn(&pid, program, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		lw_fatal("cannot start '%s': %s", program, strerror(r));
	return pid;
}

void daemon_start(bool old_kernel)
{
	static const char program[] = LW_BIN "/lw-supervisor";
	LW_AUTO(lw_free) char *log = lw_format("%s/console.log", torture.folder);
	int ends[2];

	if (daemon_of.log == NULL)
		daemon_of.log = fopen(log, "ae");
	if (daemon_of.log == NULL || pipe2(ends, O_CLOEXEC) < 0 ||
	    fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		lw_fatal("cannot make '%s' or a pipe: %s", log, strerror(errno));
	setvbuf(daemon_of.log, NULL, _IOLBF, 0);
	fprintf(daemon_of.log, "%.6f ---- supervisor %lu%s\n", (double)now_us() / 1e6,
		torture.count.starts + 1, old_kernel ? ", of an old kernel" : "");
	LIST_ADD(&torture.lives, (struct life){ .from = now_us() });
	daemon_of.pid = spawn(program, ends[1], environment(old_kernel));
	close(ends[1]);
	daemon_of.console = ends[0];
	daemon_of.may_end = daemon_of.saw_full = false;
	daemon_of.stopped_at = 0;
	daemon_of.heard_at = now_us();
	torture.count.starts++;
}

pid_t daemon_pid(void)
{
	return daemon_of.pid;
}

void daemon_expect_end(void)
{
	daemon_of.may_end = true;
}

void daemon_set_disk(bool full)
{
	struct rlimit limit;

	if (daemon_of.pid == 0 || prlimit(daemon_of.pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return;
	limit.rlim_cur = full ? DISK_FULL : limit.rlim_max;
	(void)prlimit(daemon_of.pid, RLIMIT_FSIZE, &limit, NULL);
	daemon_of.saw_full = daemon_of.saw_full || full;
}

void daemon_stopped(bool stopped)
{
	daemon_of.stopped_at = stopped ? now_us() : 0;
	life()->since = now_us();
}

static void judge_end(int status)
{
	fprintf(daemon_of.log, "%.6f ---- ended with status %#x\n", (double)now_us() / 1e6,
		(unsigned)status);
	if (WIFSIGNALED(status) && daemon_of.may_end &&
	    (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM))
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && daemon_of.may_end)
		return;
	/* It says so when it cannot begin, or cannot write its last words. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && daemon_of.saw_full)
		return;
	violation("the supervisor ended with status %#x, and nobody asked it to: see console.log",
		  (unsigned)status);
}

static void over(int status)
{
	hear_rest();
	judge_end(status);
	life()->to = daemon_of.stopped_at != 0 ? daemon_of.stopped_at : now_us();
	daemon_of.pid = 0;
}

/* Orphans come to us, as we are the sub-reaper of all. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == daemon_of.pid)
			over(status);
}

/* On a busy machine we may be late. */
static void note_deafness(int64_t now)
{
	if (daemon_of.pid != 0 && now - daemon_of.heard_at > DEAF_MOST)
		life()->dropped = true;
	daemon_of.heard_at = now;
}

bool daemon_pump(int64_t until)
{
	int64_t left = until - now_us();
	struct pollfd console = { .fd = daemon_of.console, .events = POLLIN };

	poll(&console, 1, left <= 0 ? 0 : left < PUMP_MS * 1000 ? (int)(left / 1000) : PUMP_MS);
	for (int i = 0; i < 64 && daemon_of.console >= 0 && hear_some(); i++)
		;
	reap();
	note_deafness(now_us());
	return left > 0;
}

bool daemon_await_end(int64_t within_us)
{
	int64_t until = now_us() + within_us;

	while (daemon_of.pid != 0)
		if (!daemon_pump(until))
			return false;
	return true;
}

/* ---- requests ------------------------------------------------------------------------------- */

int dial_socket(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	LW_AUTO(lw_free) char *path = lw_format("%s/%s", torture.state_dir, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		lw_fatal("no socket for '%s'", path);
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool read_reply(int fd, int64_t until, struct lw_buf *reply)
{
	for (;;) {
		ssize_t n;

		lw_buf_grow(reply, 65536);
		n = read(fd, reply->data + reply->size, 65536);
		if (n == 0)
			return true;
		if (n > 0)
			reply->size += (size_t)n;
		else if (errno != EAGAIN || !daemon_pump(until))
			return false;
	}
}

/* Nothing that a client says is longer than a socket takes at once. */
int ask(const char *method, const char *path, const char *body, int64_t within_us,
	json_t **ret_json)
{
	LW_AUTO_BUF request = { 0 };
	LW_AUTO_BUF reply = { 0 };
	int64_t until = now_us() + within_us;
	int fd = dial_socket("control.sock"), status = 0;
	const char *start;

	*ret_json = NULL;
	if (fd < 0)
		return 0;
	torture.count.requests++;
	lw_buf_printf(&request,
		      "%s /api/v1/%s HTTP/1.1\r\nHost: lw\r\nConnection: close\r\n"
		      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		      method, path, strlen(body), body);
	if (send(fd, request.data, request.size, MSG_NOSIGNAL) == (ssize_t)request.size &&
	    read_reply(fd, until, &reply) &&
	    sscanf(lw_buf_text(&reply), "HTTP/1.1 %d", &status) == 1) {
		torture.count.answers++;
		start = strstr(lw_buf_text(&reply), "\r\n\r\n");
		*ret_json = start == NULL ? NULL : json_loads(start + 4, JSON_DECODE_ANY, NULL);
	}
	close(fd);
	return status;
}
