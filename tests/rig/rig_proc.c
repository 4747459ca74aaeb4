/* rig_proc.c - the processes of a test: their start, their lines, their end. See rig.h.
 *
 * One poll loop reads the pipes of all of them and notices their ends by pidfd.
 */
#include "rig_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_buf.h"
#include "lw_tree.h"

#define PROCS_MAX 512
#define WORDS_MAX 64

struct rig_proc {
	const char *name;
	pid_t pid;
	int pidfd;    /* -1: reaped */
	int fds[2];   /* read ends; -1: at their end */
	int status;   /* exit status, or -signal */
	bool held;    /* nobody reads */
	size_t at[2]; /* behind the line that was waited for */
	struct lw_buf text[2];
};

static struct rig_proc *procs[PROCS_MAX];
static size_t proc_count;

static void set_up_actions(posix_spawn_file_actions_t *actions, const int out[2], const int err[2])
{
	posix_spawn_file_actions_init(actions);
	posix_spawn_file_actions_addchdir_np(actions, rig_folder());
	posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(actions, out[1], 1);
	posix_spawn_file_actions_adddup2(actions, err[1], 2);
}

/* The child sees defaults: no signal blocked or ignored, whatever ctest does. */
static void set_up_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		rig_fail(__FILE__, __LINE__, "no pipe: %s", strerror(errno));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

struct rig_proc *rig_spawnv(char *const *argv)
{
	struct rig_proc *proc = LW_NEW(struct rig_proc);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int out[2], err[2], r;

	CHECK(proc_count < PROCS_MAX);
	make_pipe(out);
	make_pipe(err);
	set_up_actions(&actions, out, err);
	set_up_signals(&attributes);
	r = posix_spawnp(&proc->pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	lw_close(out[1]);
	lw_close(err[1]);
	if (r != 0)
		rig_fail(__FILE__, __LINE__, "cannot start '%s': %s", argv[0], strerror(r));
	proc->name = rig_format("%s", base_name(argv[0]));
	proc->fds[RIG_OUT] = out[0];
	proc->fds[RIG_ERR] = err[0];
	proc->pidfd = (int)syscall(SYS_pidfd_open, proc->pid, 0);
	CHECK(proc->pidfd >= 0);
	return procs[proc_count++] = proc;
}

static void words(char **argv, size_t at, va_list args)
{
	while (at < WORDS_MAX && (argv[at] = va_arg(args, char *)) != NULL)
		at++;
	CHECK(at < WORDS_MAX);
}

struct rig_proc *rig_spawn(const char *file, ...)
{
	char *argv[WORDS_MAX + 1] = { (char *)(uintptr_t)file };
	va_list args;

	va_start(args, file);
	words(argv, 1, args);
	va_end(args);
	return rig_spawnv(argv);
}

/* With LW_RIG_WORKER a copy of the supervisor lies beside a lw-worker of the test's choice
 * (scripts/test: one that runs under valgrind). */
static const char *supervisor_path(void)
{
	const char *worker = getenv("LW_RIG_WORKER");
	struct rig_proc *copy;

	if (worker == NULL)
		return LW_BIN "/lw-supervisor";
	if (mkdir(rig_path("bin"), 0700) == 0) {
		copy = rig_spawn("cp", LW_BIN "/lw-supervisor", rig_path("bin"), NULL);
		CHECK_INT(rig_exit(copy), 0);
		copy = rig_spawn("cp", worker, rig_path("bin/lw-worker"), NULL);
		CHECK_INT(rig_exit(copy), 0);
	}
	return rig_path("bin/lw-supervisor");
}

static struct rig_proc *start_supervisor(const char *conf, va_list args)
{
	char *argv[WORDS_MAX + 1] = { NULL };
	struct rig_proc *proc;

	if (conf != NULL)
		rig_write("app.conf", conf);
	setenv("LW_BIN", LW_BIN, 1);
	setenv("LW_EXAMPLES", LW_EXAMPLES, 1);
	setenv("FAKE", LW_BIN "/fake_work", 1);
	argv[0] = (char *)(uintptr_t)supervisor_path();
	argv[1] = (char *)(uintptr_t)rig_path("app.conf");
	words(argv, 2, args);
	if (rig_preload() != NULL)
		setenv("LD_PRELOAD", rig_preload(), 1);
	proc = rig_spawnv(argv);
	unsetenv("LD_PRELOAD");
	return proc;
}

struct rig_proc *rig_supervisor(const char *conf, ...)
{
	struct rig_proc *proc;
	va_list args;

	va_start(args, conf);
	proc = start_supervisor(conf, args);
	va_end(args);
	return proc;
}

struct rig_proc *rig_up(const char *conf, ...)
{
	struct rig_proc *proc;
	va_list args;

	va_start(args, conf);
	proc = start_supervisor(conf, args);
	va_end(args);
	rig_line(proc, RIG_OUT, "Your app has started.");
	return proc;
}

/* ---- the poll loop ----------------------------------------------------------------- */

static void read_some(struct rig_proc *proc, int stream)
{
	struct lw_buf *text = &proc->text[stream];
	ssize_t n;

	lw_buf_grow(text, 65536);
	n = read(proc->fds[stream], text->data + text->size, 65536);
	if (n > 0) {
		text->size += (size_t)n;
	} else if (n == 0 || errno != EAGAIN) {
		lw_close(proc->fds[stream]);
		proc->fds[stream] = -1;
	}
}

static void reap(struct rig_proc *proc)
{
	int status = 0;

	if (waitpid(proc->pid, &status, WNOHANG) != proc->pid)
		return;
	proc->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	lw_close(proc->pidfd);
	proc->pidfd = -1;
	/* Its last words; a descendant may hold the pipe open for longer. */
	for (int stream = 0; stream < 2 && !proc->held; stream++) {
		struct pollfd fd = { .fd = proc->fds[stream], .events = POLLIN };

		while (proc->fds[stream] >= 0 && poll(&fd, 1, 0) > 0)
			read_some(proc, stream);
	}
}

/* Children that came to us by the death of their parents, and died. */
static void reap_orphans(void)
{
	struct lw_pids children = { 0 };

	(void)lw_tree_children(&children);
	for (size_t i = 0; i < children.count; i++) {
		bool ours = false;

		for (size_t k = 0; k < proc_count; k++)
			ours = ours || (procs[k]->pid == children.pids[i] && procs[k]->pidfd >= 0);
		if (!ours)
			(void)waitpid(children.pids[i], NULL, WNOHANG);
	}
	lw_pids_done(&children);
}

bool rig_pump(double until)
{
	struct pollfd polls[3 * PROCS_MAX];
	double left = until - rig_now();
	nfds_t n = 0;

	for (size_t i = 0; i < proc_count; i++) {
		struct rig_proc *proc = procs[i];

		polls[n++] = (struct pollfd){ .fd = proc->pidfd, .events = POLLIN };
		for (int stream = 0; stream < 2; stream++)
			polls[n++] = (struct pollfd){ .fd = proc->held ? -1 : proc->fds[stream],
						      .events = POLLIN };
	}
	poll(polls, n, left <= 0 ? 0 : left < 0.02 ? (int)(left * 1000) : 20);
	for (size_t i = 0; i < n; i++) {
		struct rig_proc *proc = procs[i / 3];

		if (polls[i].revents != 0 && i % 3 == 0)
			reap(proc);
		else if (polls[i].revents != 0 && proc->fds[i % 3 - 1] >= 0)
			read_some(proc, (int)(i % 3) - 1);
	}
	reap_orphans();
	return left > 0;
}

/* ---- what a test asks of a process -------------------------------------------------- */

pid_t rig_pid(const struct rig_proc *proc)
{
	return proc->pid;
}

void rig_signal(const struct rig_proc *proc, int signal)
{
	CHECK(proc->pidfd >= 0 && kill(proc->pid, signal) == 0);
}

bool rig_is_over(const struct rig_proc *proc)
{
	return proc->pidfd < 0;
}

int rig_exit(struct rig_proc *proc)
{
	double until = rig_deadline();

	while (proc->pidfd >= 0) {
		if (!rig_pump(until))
			rig_fail(__FILE__, __LINE__, "%s does not end", proc->name);
	}
	return proc->status;
}

void rig_hold(struct rig_proc *proc, bool hold)
{
	proc->held = hold;
}

const char *rig_text(struct rig_proc *proc, enum rig_stream stream)
{
	return lw_buf_text(&proc->text[stream]);
}

size_t rig_count(struct rig_proc *proc, enum rig_stream stream, const char *part)
{
	const struct lw_buf *text = &proc->text[stream];
	const uint8_t *at = text->data, *last = at + text->size, *end;
	size_t count = 0;

	for (; at < last && (end = memchr(at, '\n', (size_t)(last - at))) != NULL; at = end + 1)
		count += memmem(at, (size_t)(end - at), part, strlen(part)) != NULL ? 1 : 0;
	return count;
}

/* The next whole line that has `part`, kept; NULL when there is none yet. */
static const char *find_line(struct rig_proc *proc, enum rig_stream stream, const char *part)
{
	const struct lw_buf *text = &proc->text[stream];
	size_t at = proc->at[stream];

	while (at < text->size) {
		const char *line = (const char *)text->data + at;
		const char *end = memchr(line, '\n', text->size - at);

		if (end == NULL)
			break;
		at += (size_t)(end + 1 - line);
		if (memmem(line, (size_t)(end - line), part, strlen(part)) != NULL) {
			proc->at[stream] = at;
			return rig_format("%.*s", (int)(end - line), line);
		}
	}
	return NULL;
}

const char *rig_line(struct rig_proc *proc, enum rig_stream stream, const char *part)
{
	double until = rig_deadline();
	const char *line;

	while ((line = find_line(proc, stream, part)) == NULL) {
		bool over = proc->pidfd < 0; /* then it has said everything */

		if (over && (line = find_line(proc, stream, part)) != NULL)
			break;
		if (over)
			rig_fail(__FILE__, __LINE__, "%s ended with %d and never said '%s'",
				 proc->name, proc->status, part);
		if (!rig_pump(until))
			rig_fail(__FILE__, __LINE__, "%s never said '%s'", proc->name, part);
	}
	return line;
}

void rig_down(struct rig_proc *proc)
{
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_children(), 0);
}

bool rig_pid_lives(pid_t pid)
{
	reap_orphans();
	return lw_proc_lives(pid);
}

size_t rig_children(void)
{
	struct lw_pids children = { 0 };
	size_t living = 0;

	reap_orphans();
	(void)lw_tree_children(&children);
	for (size_t i = 0; i < children.count; i++)
		living += lw_proc_lives(children.pids[i]) ? 1 : 0;
	lw_pids_done(&children);
	return living;
}

/* ---- the end ------------------------------------------------------------------------ */

static void print_stream(const struct rig_proc *proc, int stream, const char *name)
{
	const struct lw_buf *text = &proc->text[stream];
	size_t skip = text->size > 20000 ? text->size - 20000 : 0;

	if (text->size == 0)
		return;
	fprintf(stderr, "---- %s of %s %d%s\n", name, proc->name, (int)proc->pid,
		skip > 0 ? " (its end)" : "");
	fwrite(text->data + skip, 1, text->size - skip, stderr);
}

void rig_procs_transcript(void)
{
	/* Of hundreds of answers by lwctl the last ones are of interest. */
	for (size_t i = 0; i < proc_count; i++) {
		if (i > 4 && i + 8 < proc_count)
			continue;
		print_stream(procs[i], RIG_OUT, "stdout");
		print_stream(procs[i], RIG_ERR, "stderr");
		if (procs[i]->pidfd < 0)
			fprintf(stderr, "---- %s %d ended with %d\n", procs[i]->name,
				(int)procs[i]->pid, procs[i]->status);
	}
}

/* Whoever dies hands its children to us, so this ends when nobody is left. */
static void kill_all_children(void)
{
	struct lw_pids children = { 0 };

	do {
		children.count = 0;
		(void)lw_tree_children(&children);
		for (size_t i = 0; i < children.count; i++)
			kill(children.pids[i], SIGKILL);
	} while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD);
	lw_pids_done(&children);
}

void rig_procs_end(void)
{
	kill_all_children();
	while (proc_count > 0) {
		struct rig_proc *proc = procs[--proc_count];

		lw_close(proc->pidfd);
		for (int stream = 0; stream < 2; stream++) {
			lw_close(proc->fds[stream]);
			lw_buf_done(&proc->text[stream]);
		}
		free(proc);
	}
}
