/* links: lw_supervisor
 * test_dial.c - strangers on the workers' socket: who is not welcome hears why and is gone. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dial.h"
#include "lw_frame.h"
#include "lw_proto.h"
#include "lw_statedir.h"

static struct loop *loop;
static struct app *app;
static struct dial *dial;
static char folder[] = "/tmp/lw-dial-XXXXXX", path[64];

static void set_up(void)
{
	struct work *work;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/worker.sock", folder);
	cr_assert_eq(loop_new(&loop, NULL), 0);
	cr_assert_eq(app_new(loop, config_new(), NULL, &app, NULL), 0);
	cr_assert_eq(app_work_add(app, work_config_new("w"), false, &work, NULL), 0);
	cr_assert_eq(dial_new(app, path, &dial, NULL), 0);
}

static void tear_down(void)
{
	dial_free(dial);
	cr_expect_eq(access(path, F_OK), -1, "the socket is removed");
	app_free(app);
	loop_free(loop);
	rmdir(folder);
}

TestSuite(dial, .init = set_up, .fini = tear_down, .timeout = 30);

static void on_answer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	loop_exit(context);
}

/* What the supervisor says to these bytes, until it hangs up. */
static ssize_t answer_to(const void *bytes, size_t size, uint8_t *text, size_t room)
{
	int fd = lw_socket_dial(path, NULL);
	struct event *readable = event_new(loop_base(loop), fd, EV_READ, on_answer, loop);
	ssize_t got;

	cr_assert_geq(fd, 0);
	cr_assert_eq(send(fd, bytes, size, 0), (ssize_t)size);
	event_add(readable, NULL);
	loop_run(loop);
	got = recv(fd, text, room, MSG_DONTWAIT);
	event_free(readable);
	close(fd);
	return got;
}

static struct lw_slice slice(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

static void expect_refusal(const struct lw_msg *hello, const char *reason)
{
	LW_AUTO_BUF out = { 0 };
	uint8_t answer[512];
	struct lw_msg msg;
	ssize_t size;

	lw_msg_encode(&out, hello);
	size = answer_to(out.data, out.size, answer, sizeof(answer));
	cr_assert_gt(size, (ssize_t)LW_FRAME_HEAD);
	cr_assert_eq(lw_msg_decode((struct lw_slice){ answer + LW_FRAME_HEAD,
						      (size_t)size - LW_FRAME_HEAD },
				   LW_BY_SUPERVISOR, &msg, NULL),
		     0);
	cr_assert_eq(msg.id, LW_MSG_REFUSE);
	cr_expect_eq(msg.refuse.reason.size, strlen(reason));
	cr_expect_eq(memcmp(msg.refuse.reason.data, reason, strlen(reason)), 0, "%.*s",
		     (int)msg.refuse.reason.size, (const char *)msg.refuse.reason.data);
}

static struct lw_msg hello_of(const char *store, uint64_t worker)
{
	struct lw_msg msg = { .id = LW_MSG_HELLO };

	msg.hello.version = LW_PROTO_VERSION;
	msg.hello.token = slice("00000000000000000000000000000000");
	msg.hello.store = slice(store);
	msg.hello.worker = worker;
	msg.hello.incarnation = 1;
	return msg;
}

Test(dial, a_worker_of_another_store_is_told_to_leave)
{
	struct lw_msg hello = hello_of("another store", 1);

	expect_refusal(&hello, "unknown store");
}

Test(dial, an_unknown_worker_and_another_version_are_refused)
{
	struct lw_msg hello = hello_of(journal_store(app->journal), 99);

	expect_refusal(&hello, "no such worker");
	hello.hello.worker = 0;
	expect_refusal(&hello, "no such worker");
	hello.hello.version = LW_PROTO_VERSION + 1;
	expect_refusal(&hello, "protocol version 2, this is 1");
}

Test(dial, a_wrong_token_is_refused)
{
	struct lw_msg hello = hello_of(journal_store(app->journal), 1);

	expect_refusal(&hello, "wrong token");
}

Test(dial, another_message_than_hello_is_refused)
{
	struct lw_msg msg = { .id = LW_MSG_PROGRESS };

	expect_refusal(&msg, "no hello");
}

Test(dial, a_gigabyte_announced_is_refused_before_it_is_sent)
{
	static const uint8_t gigabyte[] = { 0x40, 0, 0, 0, 0x90 };
	uint8_t answer[512];

	cr_assert_gt(answer_to(gigabyte, sizeof(gigabyte), answer, sizeof(answer)), 0);
	cr_assert_not_null(memmem(answer, sizeof(answer), "bytes", 5));
}

Test(dial, one_that_hangs_up_leaves_nothing_behind)
{
	int fd = lw_socket_dial(path, NULL);
	struct lw_msg hello = hello_of("another store", 1);

	cr_assert_geq(fd, 0);
	close(fd);
	expect_refusal(&hello, "unknown store"); /* others are served on */
}
