/* command.c - lw-worker: one command a run, from RUN to RESULT; see command.h. Called by main.c.
 *
 * One loop waits for five things: signals (a signalfd, SIGCHLD among them), the channel, the
 * command's stderr, its descriptor 3 and its NOTIFY_SOCKET. A run is over when the command has exited and nothing
 * of its tree is left; then its result is reported.
 *
 *     IDLE --RUN--> RUNNING --exit--> IDLE              nothing else is left (the usual way)
 *                           --exit--> ENDING --> IDLE   the rest gets TERM, then KILL
 *
 * We are the sub-reaper of the tree: whatever loses its parent becomes our child. So when
 * wait says that we have no child, nothing is left, and /proc is not read at all. Then the
 * pipes, of which we hold both ends, have no other writer and serve the next run as well.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "lw_process.h"
#include "lw_spawn.h"
#include "lw_tree.h"

#define STOP_MS       10000       /* without LW_STOP_TIMEOUT_MS */
#define END_MS        2000        /* TERM to KILL, KILL to giving up */
#define SWEEP_MS      20          /* between two KILLs of what is left */
#define STOP_GRACE_MS 50          /* STOP to the signal that follows it */
#define AHEAD_MS      300         /* we kill that much before the supervisor kills us */
#define ARGS_IN_ENV   (96u << 10) /* longest LW_ARGS */
#define READ_SIZE     (64u << 10)
#define PIPE_LARGEST  (1u << 20)
#define KEEP_ROOM     (64u << 10)
#define NOTIFY_MOST   64 /* messages read in a row */
#define OWN_VARIABLES 5

extern char **environ;

enum phase { IDLE, RUNNING, ENDING };

/* The run that was sent and has not begun. */
struct next {
	bool set;
	uint64_t run, attempt;
	struct lw_buf positional, named;
};

struct command {
	char *const *pattern;
	struct channel *channel;
	unsigned losses;
	int left; /* -errno once the supervisor has refused us */
	struct lw_err err;

	int signals;
	int null;
	int errors[2], state[2]; /* pipes: stderr and descriptor 3 */
	int notify;              /* -1: there is none */
	char *notify_variable;   /* NOTIFY_SOCKET=... */
	struct stderr_copy copy;
	struct lines lines;
	uint8_t *bytes; /* READ_SIZE */

	char **envp; /* inherited ones, then room for our own */
	size_t inherited;
	int args_fd;
	char *args_file; /* LW_ARGS_FILE=... */
	struct lw_buf args;
	char run_id[40], attempt_text[40];

	struct next next;
	struct words words;
	struct lw_tree tree;
	enum phase phase;
	uint64_t run, attempt;
	pid_t pid;
	bool is_new; /* it was started just now */
	bool exited; /* `status` is known */
	bool alone;  /* the last wait said that we have no child */
	int status;

	int64_t stop_ms;
	bool stopping;
	bool stopped;                          /* this run, by a stop */
	bool strangers;                        /* this run had messages of others */
	uint64_t forwarded;                    /* signals, by bit */
	int64_t grace_at, kill_at, give_up_at; /* 0: not set */
};

/* ---- making one --------------------------------------------------------------------- */

static bool is_ours(const char *variable)
{
	static const char *const names[] = {
		"LW_SOCKET=", "LW_TOKEN=",  "LW_STOP_TIMEOUT_MS=", "LW_ARGS_FILE=",
		"LW_ARGS=",   "LW_RUN_ID=", "LW_ATTEMPT=",         "NOTIFY_SOCKET="
	};

	for (size_t i = 0; i < LW_COUNT(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* The command gets our environment without what is for us alone. */
static void inherit_environment(struct command *command)
{
	size_t count = 0;

	while (environ[count] != NULL)
		count++;
	command->envp = lw_alloc((count + OWN_VARIABLES + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++)
		if (!is_ours(environ[i]))
			command->envp[command->inherited++] = environ[i];
}

static int catch_signals(void)
{
	static const int numbers[] = {
		SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD
	};
	sigset_t caught, blocked;

	sigemptyset(&caught);
	for (size_t i = 0; i < LW_COUNT(numbers); i++)
		sigaddset(&caught, numbers[i]);
	blocked = caught;
	sigaddset(&blocked, SIGPIPE);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status with it */
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	return signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int open_args_file(struct command *command)
{
	command->args_fd = memfd_create("lw-args", MFD_CLOEXEC);
	if (command->args_fd < 0)
		return -errno;
	command->args_file =
		lw_format("LW_ARGS_FILE=/proc/%d/fd/%d", (int)getpid(), command->args_fd);
	return 0;
}

static void say(void *context, const char *text)
{
	struct command *command = context;

	stderr_say(&command->copy, text);
}

static int command_init(struct command *command, char *const *pattern)
{
	const char *stop_ms = getenv("LW_STOP_TIMEOUT_MS");
	pid_t self = getpid();

	*command = (struct command){ .pattern = pattern,
				     .signals = -1,
				     .null = -1,
				     .errors = { -1, -1 },
				     .state = { -1, -1 },
				     .notify = -1,
				     .args_fd = -1,
				     .stop_ms = stop_ms != NULL ? strtoll(stop_ms, NULL, 10)
								: STOP_MS };
	stderr_init(&command->copy);
	command->lines.note = say;
	command->lines.context = command;
	if (channel_new(1, &command->channel, &command->err) < 0)
		return -EINVAL;
	command->lines.channel = command->channel;
	command->bytes = lw_alloc(READ_SIZE);
	inherit_environment(command);
	command->tree = (struct lw_tree){ .leader = self,
					  .session = getsid(0) == self ? self : 0,
					  .mark = getenv("LW_WORKER"),
					  .since = lw_proc_start_time(self) };
	command->signals = catch_signals();
	command->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	command->notify = notify_open(&command->notify_variable);
	if (command->signals < 0 || command->null < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return lw_err_sys(&command->err, -errno, "cannot start");
	return 0;
}

static void close_pipe(int pipe_fds[2])
{
	lw_close(pipe_fds[0]);
	lw_close(pipe_fds[1]);
	pipe_fds[0] = pipe_fds[1] = -1;
}

static void command_done(struct command *command)
{
	close_pipe(command->errors);
	close_pipe(command->state);
	lw_close(command->signals);
	lw_close(command->null);
	lw_close(command->notify);
	lw_close(command->args_fd);
	lw_free(command->notify_variable);
	stderr_done(&command->copy);
	lines_done(&command->lines);
	words_done(&command->words);
	lw_buf_done(&command->args);
	lw_buf_done(&command->next.positional);
	lw_buf_done(&command->next.named);
	lw_free(command->args_file);
	lw_free(command->bytes);
	lw_free(command->envp);
	channel_free(command->channel);
}

/* ---- the result ---------------------------------------------------------------------- */

static struct lw_slice text(const char *string)
{
	return (struct lw_slice){ (const uint8_t *)string, strlen(string) };
}

static void rest(struct command *command)
{
	lines_unready(&command->lines);
	command->phase = IDLE;
	command->pid = 0;
	command->run = command->attempt = 0;
	command->grace_at = command->kill_at = command->give_up_at = 0;
	channel_in_hand(command->channel, 0, 0);
}

static void report(struct command *command, bool success, struct lw_slice value, const char *reason,
		   struct lw_slice message)
{
	struct lw_msg msg = { .id = LW_MSG_RESULT,
			      .result = { .run = command->run,
					  .attempt = command->attempt,
					  .success = success,
					  .value = value,
					  .reason = text(reason),
					  .message = message } };

	stderr_flush(&command->copy);
	channel_report(command->channel, &msg);
	rest(command);
	channel_flush(command->channel);
}

static void report_failure(struct command *command, const char *reason, const char *message)
{
	report(command, false, text("\xc0"), reason, text(message));
}

static void report_success(struct command *command)
{
	LW_AUTO_BUF value = { 0 };
	struct lw_err err = { 0 };

	lines_result(&command->lines, &value);
	if (lw_value_check(lw_buf_slice(&value), &err) < 0) {
		lw_err_within(&err, "the result");
		report_failure(command, "failed", err.text);
		return;
	}
	report(command, true, lw_buf_slice(&value), "", text(""));
}

/* The command has exited and nothing of its tree is left. */
static void report_end(struct command *command)
{
	struct lw_exit how = { .known = true, .signaled = !WIFEXITED(command->status) };
	LW_AUTO(lw_free) char *reason = NULL;
	LW_AUTO_BUF message = { 0 };

	how.code = how.signaled ? WTERMSIG(command->status) : WEXITSTATUS(command->status);
	if (!command->stopped && lw_exit_is_success(&how)) {
		report_success(command);
		return;
	}
	reason = command->stopped ? lw_strdup("stopped") : lw_exit_text(&how);
	stderr_last_lines(&command->copy, &message);
	if (message.size == 0)
		lw_buf_add(&message, reason, strlen(reason));
	report(command, false, text("\xc0"), reason, lw_buf_slice(&message));
}

/* ---- pipes ------------------------------------------------------------------------------- */

/* We read without blocking; what the command inherits is a description of its own. */
static int open_pipe(int pipe_fds[2])
{
	if (pipe_fds[0] >= 0)
		return 0;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) < 0) {
		close_pipe(pipe_fds); /* lest the next run finds one that blocks */
		return -errno;
	}
	return 0;
}

static size_t read_errors(struct command *command)
{
	ssize_t n = read(command->errors[0], command->bytes, READ_SIZE);

	if (n > 0)
		stderr_add(&command->copy, command->bytes, (size_t)n);
	return n > 0 ? (size_t)n : 0;
}

/* What a grandchild writes after the command's end is read and dropped. */
static size_t read_state(struct command *command)
{
	ssize_t n = read(command->state[0], command->bytes, READ_SIZE);

	if (n > 0 && command->phase == RUNNING)
		lines_add(&command->lines, (const char *)command->bytes, (size_t)n);
	return n > 0 ? (size_t)n : 0;
}

/* Until empty, not to the end: others may hold the pipe. No more than a pipe can hold: they
 * may go on writing. */
static void drain(struct command *command, size_t (*read_some)(struct command *))
{
	size_t total = 0, n;

	do {
		n = read_some(command);
		total += n;
	} while (n > 0 && total <= PIPE_LARGEST);
}

static void note_stranger(struct command *command, pid_t pid)
{
	char text[80];

	if (command->strangers)
		return;
	command->strangers = true;
	snprintf(text, sizeof text, "NOTIFY_SOCKET: process %d, which is not ours, is ignored",
		 (int)pid);
	stderr_say(&command->copy, text);
}

/* What was sent between two runs, or before this one began, is dropped. */
static void read_notify(struct command *command)
{
	enum notify_said said = NOTIFY_OTHER;
	pid_t pid = 0;

	for (size_t i = 0; i < NOTIFY_MOST && said != NOTIFY_NONE; i++) {
		said = notify_read(command->notify, &pid);
		if (command->phase != RUNNING)
			continue;
		if (said == NOTIFY_STRANGER)
			note_stranger(command, pid);
		else if (said == NOTIFY_READY || said == NOTIFY_UNREADY)
			lines_ready(&command->lines, said == NOTIFY_READY);
	}
}

/* ---- beginning a run ------------------------------------------------------------------------ */

static int write_args(struct command *command)
{
	struct lw_buf *args = &command->args;
	size_t head = strlen("LW_ARGS=");

	lw_buf_shrink(args, KEEP_ROOM);
	lw_buf_printf(args, "LW_ARGS={\"args\":");
	lw_value_print_json(lw_buf_slice(&command->next.positional), args);
	lw_buf_printf(args, ",\"kwargs\":");
	lw_value_print_json(lw_buf_slice(&command->next.named), args);
	lw_buf_printf(args, "}\n");
	if (command->args_fd < 0 && open_args_file(command) < 0)
		return -errno;
	if (pwrite(command->args_fd, args->data + head, args->size - head, 0) !=
		    (ssize_t)(args->size - head) ||
	    ftruncate(command->args_fd, (off_t)(args->size - head)) < 0)
		return -errno;
	args->data[args->size - 1] = '\0'; /* in the environment it needs no newline */
	return 0;
}

static int prepare_environment(struct command *command, struct lw_err *err)
{
	char **at = command->envp + command->inherited;
	int r = write_args(command);

	if (r < 0)
		return lw_err_sys(err, r, "cannot write LW_ARGS_FILE");
	snprintf(command->run_id, sizeof command->run_id, "LW_RUN_ID=%" PRIu64, command->run);
	snprintf(command->attempt_text, sizeof command->attempt_text, "LW_ATTEMPT=%" PRIu64,
		 command->attempt);
	*at++ = command->run_id;
	*at++ = command->attempt_text;
	*at++ = command->args_file;
	if (command->notify_variable != NULL)
		*at++ = command->notify_variable;
	if (command->args.size <= ARGS_IN_ENV)
		*at++ = (char *)command->args.data;
	*at = NULL;
	return 0;
}

static int start(struct command *command, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = NULL;
	struct lw_spawn spawn = { .envp = command->envp, .fd_count = 4 };
	int pidfd, r;

	words_clear(&command->words);
	r = command_expand(command->pattern, lw_buf_slice(&command->next.positional),
			   lw_buf_slice(&command->next.named), &command->words, err);
	if (r < 0)
		return r;
	spawn.argv = words_argv(&command->words);
	r = lw_spawn_find(spawn.argv[0], NULL, &path, err);
	if (r >= 0)
		r = prepare_environment(command, err);
	if (r < 0)
		return r;
	if (open_pipe(command->errors) < 0 || open_pipe(command->state) < 0)
		return lw_err_sys(err, -errno, "cannot open a pipe");
	spawn.file = path;
	spawn.fds[0] = command->null;
	spawn.fds[1] = STDOUT_FILENO;
	spawn.fds[2] = command->errors[1];
	spawn.fds[3] = command->state[1];
	r = lw_spawn(&spawn, &command->pid, &pidfd, err);
	if (r >= 0)
		lw_close(pidfd); /* SIGCHLD tells, and only we reap */
	return r;
}

static void read_signals(struct command *command);

static void begin(struct command *command)
{
	struct lw_err err = { 0 };

	command->next.set = false;
	command->run = command->next.run;
	command->attempt = command->next.attempt;
	command->exited = command->stopped = command->alone = command->strangers = false;
	command->forwarded = 0;
	read_notify(command);
	channel_in_hand(command->channel, command->run, command->attempt);
	stderr_begin(&command->copy);
	lines_begin(&command->lines, command->run);
	if (start(command, &err) < 0)
		report_failure(command, "failed", err.text);
	else
		command->phase = RUNNING;
	/* A stop signal that is here by now may have come before the command was: to us alone. */
	command->is_new = true;
	read_signals(command);
	command->is_new = false;
}

/* ---- the rest of the tree --------------------------------------------------------------------- */

/* `everybody` false: those in our process group have it already. Returns how many there are. */
static size_t signal_tree(struct command *command, int number, bool everybody)
{
	struct lw_pids pids = { 0 };
	pid_t group = getpgrp();
	int found = lw_tree_find(&command->tree, &pids);
	size_t count = pids.count;

	for (size_t i = 0; i < count; i++) {
		if (!everybody && getpgid(pids.pids[i]) == group)
			continue;
		(void)kill(pids.pids[i], number);
		if (number != SIGKILL)
			(void)kill(pids.pids[i], SIGCONT);
	}
	lw_pids_done(&pids);
	return found < 0 ? count + 1 : count; /* who could not be seen may be there */
}

static void reap(struct command *command)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command->pid)
			continue;
		command->status = status;
		command->exited = true;
		command->pid = 0;
	}
	command->alone = pid < 0 && errno == ECHILD;
}

/* Somebody may still hold the pipes' other ends, or did until just now. */
static void over(struct command *command)
{
	drain(command, read_errors);
	close_pipe(command->errors);
	close_pipe(command->state);
	report_end(command);
}

/* The command has exited; its descriptor 3 ends here. */
static void command_exited(struct command *command)
{
	int64_t kill_at = channel_now() + (command->stop_ms < END_MS ? command->stop_ms : END_MS);

	drain(command, read_state);
	drain(command, read_errors);
	lines_end(&command->lines);
	lines_unready(&command->lines);
	command->phase = ENDING;
	command->grace_at = 0;
	if (command->alone) {
		report_end(command);
		return;
	}
	if (signal_tree(command, SIGTERM, true) == 0) {
		over(command);
		return;
	}
	if (command->kill_at == 0 || command->kill_at > kill_at)
		command->kill_at = kill_at;
}

static void name_survivors(struct command *command, struct lw_buf *out)
{
	struct lw_pids pids = { 0 };
	size_t count;

	(void)lw_tree_find(&command->tree, &pids);
	count = pids.count;
	lw_buf_printf(out, "cannot be killed:");
	for (size_t i = 0; i < count && i < 8; i++) {
		char who[64];

		lw_proc_describe(pids.pids[i], who, sizeof who);
		lw_buf_printf(out, "%s %s", i > 0 ? "," : "", who);
	}
	if (count > 8)
		lw_buf_printf(out, " and %zu more", count - 8);
	lw_pids_done(&pids);
}

static void give_up(struct command *command)
{
	LW_AUTO_BUF message = { 0 };

	name_survivors(command, &message);
	drain(command, read_errors);
	close_pipe(command->errors);
	close_pipe(command->state);
	report(command, false, text("\xc0"), "unkillable", lw_buf_slice(&message));
}

static void kill_rest(struct command *command, int64_t now)
{
	size_t found;

	if (command->give_up_at == 0)
		command->give_up_at = now + END_MS;
	found = signal_tree(command, SIGKILL, true);
	command->kill_at = now + SWEEP_MS;
	if (command->phase == ENDING && found == 0)
		over(command);
	else if (now >= command->give_up_at)
		give_up(command);
}

/* ---- stopping ------------------------------------------------------------------------------------ */

static void stop_begin(struct command *command)
{
	int64_t ahead = command->stop_ms / 10 < AHEAD_MS ? command->stop_ms / 10 : AHEAD_MS;

	if (command->stopping)
		return;
	command->stopping = true;
	if (command->phase != RUNNING)
		return;
	command->stopped = true;
	command->kill_at = channel_now() + command->stop_ms - ahead;
}

/* By contract the supervisor sends the stop signal to our process group, the command
 * included; anybody else may have meant us alone. */
static void stop_by_signal(struct command *command, int number, pid_t sender)
{
	struct ucred peer = { .pid = 0 };
	socklen_t size = sizeof peer;
	bool supervisor = sender == getppid();

	if (!supervisor && channel_fd(command->channel) >= 0 &&
	    getsockopt(channel_fd(command->channel), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		supervisor = sender == peer.pid;
	stop_begin(command);
	command->grace_at = 0;
	if (command->phase != RUNNING || (command->forwarded & (1ull << number)) != 0)
		return;
	command->forwarded |= 1ull << number;
	signal_tree(command, number, !supervisor || command->is_new);
}

/* The stop signal follows a STOP; TERM goes out only if it does not. */
static void stop_by_message(struct command *command)
{
	stop_begin(command);
	if (command->phase == RUNNING && command->forwarded == 0 && command->grace_at == 0)
		command->grace_at = channel_now() + STOP_GRACE_MS;
}

static void read_signals(struct command *command)
{
	struct signalfd_siginfo infos[8];
	ssize_t n = read(command->signals, infos, sizeof infos);
	bool child = false;

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof infos[0]; i++) {
		if (infos[i].ssi_signo == SIGCHLD)
			child = true;
		else
			stop_by_signal(command, (int)infos[i].ssi_signo, (pid_t)infos[i].ssi_pid);
	}
	if (!child)
		return;
	reap(command);
	if (command->phase == RUNNING && command->exited)
		command_exited(command);
	else if (command->phase == ENDING && command->alone)
		over(command);
}

static void run_timers(struct command *command)
{
	int64_t now;

	if (command->grace_at == 0 && command->kill_at == 0)
		return;
	now = channel_now();
	if (command->grace_at != 0 && now >= command->grace_at) {
		command->grace_at = 0;
		command->forwarded |= 1ull << SIGTERM;
		signal_tree(command, SIGTERM, true);
	}
	if (command->kill_at != 0 && now >= command->kill_at)
		kill_rest(command, now);
}

/* ---- what the supervisor says ------------------------------------------------------------------------ */

static void take_run(struct command *command, const struct lw_msg_run *msg)
{
	struct next *next = &command->next;

	next->set = true;
	next->run = msg->run;
	next->attempt = msg->attempt;
	lw_buf_shrink(&next->positional, KEEP_ROOM);
	lw_buf_shrink(&next->named, KEEP_ROOM);
	lw_buf_add(&next->positional, msg->positional.data, msg->positional.size);
	lw_buf_add(&next->named, msg->named.data, msg->named.size);
}

static void withdraw(struct command *command, uint64_t run)
{
	struct lw_msg msg = { .id = LW_MSG_WITHDRAWN, .withdrawn = { .run = run } };

	if (!command->next.set || command->next.run != run)
		return;
	command->next.set = false;
	channel_report(command->channel, &msg);
}

static void pass_on(struct command *command, uint64_t number)
{
	char text[80];

	if (command->phase == IDLE && command->next.set &&
	    !command->stopping) /* it came with its run */
		begin(command);
	if (command->pid == 0 || number > (uint64_t)SIGRTMAX ||
	    kill(command->pid, (int)number) == 0)
		return;
	snprintf(text, sizeof text, "signal %d could not be sent: %s", (int)number,
		 strerror(errno));
	stderr_say(&command->copy, text);
}

static void take_in(struct command *command)
{
	struct lw_msg msg;
	int r;

	if (command->left < 0)
		return;
	if (channel_losses(command->channel) != command->losses)
		command->next.set = false;
	command->losses = channel_losses(command->channel);
	while ((r = channel_next(command->channel, &msg, &command->err)) > 0) {
		if (msg.id == LW_MSG_RUN)
			take_run(command, &msg.run);
		else if (msg.id == LW_MSG_WITHDRAW)
			withdraw(command, msg.withdraw.run);
		else if (msg.id == LW_MSG_STOP)
			stop_by_message(command);
		else if (msg.id == LW_MSG_SIGNAL)
			pass_on(command, msg.signal.number);
	}
	if (r < 0) {
		command->left = r;
		stop_by_message(command);
	}
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

static int sooner(int timeout, int64_t at, int64_t now)
{
	int64_t left = at - now;

	if (at == 0)
		return timeout;
	if (left < 0)
		left = 0;
	return timeout < 0 || left < timeout ? (int)left : timeout;
}

static int poll_timeout(const struct command *command)
{
	int timeout = command->left < 0 ? -1 : channel_timeout(command->channel);
	int64_t now;

	if (command->grace_at == 0 && command->kill_at == 0)
		return timeout;
	now = channel_now();
	return sooner(sooner(timeout, command->grace_at, now), command->kill_at, now);
}

static void wait_for_something(struct command *command)
{
	bool busy = command->phase != IDLE, connected = command->left == 0;
	/* clang-format off */
	struct pollfd fds[] = {
		{ .fd = command->signals, .events = POLLIN },
		{ .fd = connected ? channel_fd(command->channel) : -1,
		  .events = channel_events(command->channel) },
		{ .fd = busy && !stderr_full(&command->copy) ? command->errors[0] : -1,
		  .events = POLLIN },
		{ .fd = busy ? command->state[0] : -1, .events = POLLIN },
		{ .fd = stderr_waiting(&command->copy) ? command->copy.fd : -1,
		  .events = POLLOUT },
		{ .fd = command->notify, .events = POLLIN },
	};
	/* clang-format on */

	if (poll(fds, LW_COUNT(fds), poll_timeout(command)) < 0)
		return;
	if (fds[4].revents != 0)
		stderr_flush(&command->copy);
	if (fds[2].revents != 0)
		read_errors(command);
	if (fds[3].revents != 0)
		read_state(command);
	if (fds[5].revents != 0)
		read_notify(command);
	if (fds[0].revents != 0)
		read_signals(command);
	run_timers(command);
	if (connected && (fds[1].revents != 0 || channel_fd(command->channel) < 0) &&
	    channel_wait(command->channel, 0, &command->err) < 0)
		command->left = -EPERM;
}

static void serve(struct command *command)
{
	int r = channel_wait(command->channel, 0, &command->err);

	while (r >= 0) {
		take_in(command);
		if (command->phase == IDLE && command->stopping)
			return;
		if (command->phase == IDLE && command->next.set)
			begin(command);
		else
			wait_for_something(command);
		if (command->left == 0)
			channel_flush(command->channel);
	}
}

int command_main(char *const *argv)
{
	struct command command;
	int r = command_init(&command, argv);
	int status = r == -EINVAL ? 2 : 1;

	if (r < 0) {
		fprintf(stderr, "lw-worker: %s\n", command.err.text);
	} else {
		serve(&command);
		status = command.left < 0;
		if (command.left < 0)
			stderr_say(&command.copy, command.err.text);
		else if (channel_leave(command.channel) < 0)
			stderr_say(&command.copy,
				   "leaving before everything reported was on record");
	}
	command_done(&command);
	return status;
}
