/* as_supervisor.h - the other end of the channel for the unit tests of worker/: a listener in a
 * temporary folder and a worker in a forked process. Included by test_channel.c,
 * test_lw_worker.c and test_command.c. Everything waits with a deadline.
 */
#ifndef LW_TESTS_AS_SUPERVISOR_H
#define LW_TESTS_AS_SUPERVISOR_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lw_buf.h"
#include "lw_frame.h"
#include "lw_proto.h"
#include "lw_value.h"

#define DEADLINE_MS 30000

struct boss {
	char folder[64];
	char path[200];
	int listener;
	int fd;
	struct lw_frames frames;
	pid_t worker;
	struct lw_msg_hello hello; /* numbers only */
	char token[65];
};

static struct boss boss;

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void await_readable(int fd, const char *what)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };
	int r;

	do
		r = poll(&wanted, 1, DEADLINE_MS);
	while (r < 0 && errno == EINTR);
	cr_assert_eq(r, 1, "waited in vain for %s", what);
}

static inline void boss_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	unlink(boss.path);
	snprintf(address.sun_path, sizeof address.sun_path, "%.90s", boss.path);
	boss.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(boss.listener, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(boss.listener, 8), 0);
}

static inline void boss_open(void)
{
	strcpy(boss.folder, "/tmp/lw-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(boss.folder));
	snprintf(boss.path, sizeof boss.path, "%s/s", boss.folder);
	boss.fd = -1;
	lw_frames_init(&boss.frames, LW_FRAME_MAX);
	boss_listen();
	setenv("LW_SOCKET", boss.path, 1);
	setenv("LW_TOKEN", "secret", 1);
	setenv("LW_WORKER", "c0ffee/7/3", 1);
	setenv("LW_STOP_TIMEOUT_MS", "10000", 1);
}

static inline void boss_hang_up(void)
{
	lw_close(boss.fd);
	boss.fd = -1;
	boss.frames.in.size = boss.frames.at = 0;
}

static inline void boss_go_away(void)
{
	boss_hang_up();
	lw_close(boss.listener);
	boss.listener = -1;
}

static inline void boss_close(void)
{
	char command[100];

	boss_go_away();
	if (boss.worker > 0) {
		kill(boss.worker, SIGKILL);
		waitpid(boss.worker, NULL, 0);
	}
	lw_frames_done(&boss.frames);
	snprintf(command, sizeof command, "rm -rf %s", boss.folder);
	cr_assert_eq(system(command), 0);
}

static inline char *folder_file(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", boss.folder, name);
	return path;
}

/* Output goes to files in the folder: `out` and `err`. */
static inline void boss_fork(int (*worker)(void *), void *data)
{
	fflush(NULL);
	boss.worker = fork();
	if (boss.worker == 0) {
		int out = open(folder_file("out"), O_WRONLY | O_CREAT | O_APPEND, 0600);
		int err = open(folder_file("err"), O_WRONLY | O_CREAT | O_APPEND, 0600);
		int status;

		lw_close(boss.listener);
		lw_frames_done(&boss.frames);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		lw_close(out);
		lw_close(err);
		status = worker(data);
		fflush(NULL);
		_exit(status);
	}
	cr_assert_gt(boss.worker, 0);
}

static inline char *file_text(const char *name)
{
	static char text[65536];
	int fd = open(folder_file(name), O_RDONLY);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	lw_close(fd);
	text[size < 0 ? 0 : size] = '\0';
	return text;
}

/* ---- messages ------------------------------------------------------------------------ */

static inline struct lw_slice text_slice(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

static inline void boss_write(const void *bytes, size_t size)
{
	cr_assert_eq(send(boss.fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static inline void boss_send(const struct lw_msg *msg)
{
	LW_AUTO_BUF out = { 0 };

	lw_msg_encode(&out, msg);
	boss_write(out.data, out.size);
}

/* The next message; it borrows until the next call. -1 at the end of the connection. */
static inline int boss_next(struct lw_msg *msg)
{
	struct lw_err err = { 0 };
	struct lw_slice body;
	int r;

	while ((r = lw_frames_next(&boss.frames, &body, &err)) == 0) {
		await_readable(boss.fd, "a message");
		r = lw_frames_fill(&boss.frames, boss.fd);
		if (r == 0 || r == -ECONNRESET)
			return -1;
		cr_assert_gt(r, 0);
	}
	cr_assert_eq(r, 1, "%s", err.text);
	r = lw_msg_decode(body, LW_BY_WORKER, msg, &err);
	cr_assert_geq(r, 0, "%s", err.text);
	return (int)msg->id;
}

static inline void boss_expect(struct lw_msg *msg, enum lw_msg_id id)
{
	int got = boss_next(msg);

	cr_assert_eq(got, (int)id, "wanted %s, got %s", lw_msg_name(id),
		     got < 0 ? "the end" : lw_msg_name((enum lw_msg_id)got));
}

/* Waits for a worker to dial; its HELLO is in boss.hello and boss.token. */
static inline void boss_accept(void)
{
	struct lw_msg msg;

	boss_hang_up();
	await_readable(boss.listener, "a dial");
	boss.fd = accept4(boss.listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(boss.fd, 0);
	boss_expect(&msg, LW_MSG_HELLO);
	snprintf(boss.token, sizeof boss.token, "%.*s", (int)msg.hello.token.size,
		 (const char *)msg.hello.token.data);
	boss.hello = msg.hello;
}

static inline void boss_welcome(uint64_t sequence)
{
	boss_send(&(struct lw_msg){ .id = LW_MSG_WELCOME,
				    .welcome = { .work = text_slice("w"), .sequence = sequence } });
}

static inline void boss_ack(uint64_t sequence)
{
	boss_send(&(struct lw_msg){ .id = LW_MSG_ACK, .ack = { .sequence = sequence } });
}

static inline void boss_stop(void)
{
	boss_send(&(struct lw_msg){ .id = LW_MSG_STOP, .stop = { .reason = text_slice("") } });
}

static inline void boss_withdraw(uint64_t run)
{
	boss_send(&(struct lw_msg){ .id = LW_MSG_WITHDRAW, .withdraw = { .run = run } });
}

static inline void pack_json(const char *json, struct lw_buf *out)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	struct lw_err err = { 0 };

	cr_assert_not_null(value, "%s", json);
	cr_assert_geq(lw_value_from_json(value, out, &err), 0, "%s", err.text);
	json_decref(value);
}

static inline void put_run(struct lw_buf *out, uint64_t run, const char *positional,
			   const char *named)
{
	LW_AUTO_BUF list = { 0 };
	LW_AUTO_BUF map = { 0 };

	pack_json(positional, &list);
	pack_json(named, &map);
	lw_msg_encode(out, &(struct lw_msg){ .id = LW_MSG_RUN,
					     .run = { .run = run,
						      .attempt = 1,
						      .positional = lw_buf_slice(&list),
						      .named = lw_buf_slice(&map) } });
}

static inline void boss_run(uint64_t run, const char *positional, const char *named)
{
	LW_AUTO_BUF out = { 0 };

	put_run(&out, run, positional, named);
	boss_write(out.data, out.size);
}

static inline bool slice_is(struct lw_slice slice, const char *text)
{
	return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* JSON of a value, in one of four buffers that take turns. */
static inline const char *json_of(struct lw_slice value)
{
	static char texts[4][65536];
	static unsigned turn;
	LW_AUTO_BUF out = { 0 };
	char *text = texts[turn++ % 4];

	lw_value_print_json(value, &out);
	snprintf(text, sizeof texts[0], "%s", lw_buf_text(&out));
	return text;
}

/* ---- ends ------------------------------------------------------------------------------ */

/* valgrind knows no pidfd: short naps with a deadline do where there is none. */
static inline int boss_exit_status(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, boss.worker, 0), status;
	int64_t until = now_ms() + DEADLINE_MS;
	struct timespec nap = { 0, 1000000 };

	if (pidfd >= 0)
		await_readable(pidfd, "the worker's end");
	lw_close(pidfd);
	while (waitpid(boss.worker, &status, WNOHANG) != boss.worker) {
		cr_assert_lt(now_ms(), until, "waited in vain for the worker's end");
		nanosleep(&nap, NULL);
	}
	boss.worker = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Answers reports until the worker leaves. */
static inline int boss_let_go(void)
{
	struct lw_msg msg;
	int id;

	while ((id = boss_next(&msg)) >= 0) {
		if (id == LW_MSG_RESULT)
			boss_ack(msg.result.sequence);
		else if (id == LW_MSG_STATE)
			boss_ack(msg.state.sequence);
	}
	return boss_exit_status();
}

#endif
