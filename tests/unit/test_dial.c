/* links: lw_supervisor
 * test_dial.c - strangers on the workers' socket: who is not welcome hears why and is gone. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dial.h"
#include "lw_frame.h"
#include "lw_proto.h"
#include "lw_statedir.h"
#include "on_record.h"
#include "rundir.h"

static struct dial *dial;
static char path[80];

static void set_up(void)
{
	open_loop();
	snprintf(path, sizeof(path), "%s/worker.sock", state_dir);
	open_quiet_app(config_new());
	add_work(settings("w"));
	cr_assert_eq(dial_new(app, path, &dial, NULL), 0);
}

static void tear_down(void)
{
	dial_free(dial);
	cr_expect_eq(access(path, F_OK), -1, "the socket is removed");
	close_app();
	close_loop();
}

TestSuite(dial, .init = set_up, .fini = tear_down, .timeout = 30);

static void on_answer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	loop_exit(context);
}

/* What the supervisor says to these bytes, until it hangs up. */
static ssize_t answer_on(int fd, const void *bytes, size_t size, uint8_t *text, size_t room)
{
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

static ssize_t answer_to(const void *bytes, size_t size, uint8_t *text, size_t room)
{
	return answer_on(lw_socket_dial(path, NULL), bytes, size, text, room);
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
	msg.hello.token = text("00000000000000000000000000000000");
	msg.hello.store = text(store);
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

/* ---- workers of other users ----------------------------------------------------------- */

#define NOBODY 65534

/* Works 2 and 3 run as user 1 and as nobody. Who dials is whoever we are for that moment. */
static const char *open_for_others(void)
{
	static const char *const users[] = { "1", "65534" };
	const char *others;

	for (size_t i = 0; i < LW_COUNT(users); i++) {
		struct work_config *config = settings(users[i]);

		cr_assert_eq(identity_find(users[i], "1", &config->identity, NULL), 0);
		add_work(config);
	}
	cr_assert_eq(dial_for_others(dial, &others, NULL), 0);
	return others;
}

static int dial_as(uid_t uid, const char *where)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", where);
	cr_assert_eq(seteuid(uid), 0);
	r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(r, 0);
	return fd;
}

/* The reason, or "" when it hangs up without a word. */
static const char *refusal(int fd, const char *store, uint64_t worker)
{
	static char reason[100];
	struct lw_msg hello = hello_of(store, worker), msg;
	LW_AUTO_BUF out = { 0 };
	uint8_t answer[512];
	ssize_t size;

	lw_msg_encode(&out, &hello);
	size = answer_on(fd, out.data, out.size, answer, sizeof(answer));
	if (size <= (ssize_t)LW_FRAME_HEAD)
		return "";
	cr_assert_eq(lw_msg_decode((struct lw_slice){ answer + LW_FRAME_HEAD,
						      (size_t)size - LW_FRAME_HEAD },
				   LW_BY_SUPERVISOR, &msg, NULL),
		     0);
	snprintf(reason, sizeof(reason), "%.*s", (int)msg.refuse.reason.size,
		 (const char *)msg.refuse.reason.data);
	return reason;
}

Test(dial, who_dials_has_to_be_the_user_of_its_work)
{
	const char *store = journal_store(app->journal), *others;
	LW_AUTO(lw_free) char *again = NULL;
	char run_dir[100];

	if (geteuid() != 0)
		cr_skip_test("it takes root");
	others = open_for_others();
	snprintf(run_dir, sizeof(run_dir), "%.*s", (int)(strrchr(others, '/') - others), others);
	/* As far as the token, whose turn comes next. */
	cr_expect_str_eq(refusal(dial_as(1, others), store, 2), "wrong token");
	cr_expect_str_eq(refusal(dial_as(NOBODY, others), store, 3), "wrong token");
	cr_expect_str_eq(refusal(dial_as(0, others), store, 3), "wrong token");
	cr_expect_str_eq(refusal(dial_as(NOBODY, others), store, 2),
			 "that worker is another user's");
	cr_expect_str_eq(refusal(dial_as(NOBODY, others), store, 1),
			 "that worker is another user's");
	cr_expect_str_eq(refusal(dial_as(2, others), store, 2), "", "no work runs as that user");
	dial_free(dial);
	dial = NULL;
	cr_expect_eq(access(run_dir, F_OK), -1, "the run directory is removed");
	cr_expect_eq(rundir_again(state_dir, &again, NULL), -ENOENT, "and nothing remembers it");
}

Test(dial, strangers_of_other_users_leave_room_for_ours)
{
	const char *store = journal_store(app->journal), *others;
	int fds[300];

	if (geteuid() != 0)
		cr_skip_test("it takes root");
	others = open_for_others();
	for (size_t i = 0; i < LW_COUNT(fds); i++) {
		fds[i] = dial_as(NOBODY, others);
		if (i % 100 == 99) /* whoever came before is let in before */
			cr_expect_str_eq(refusal(dial_as(0, others), store, 3), "wrong token");
	}
	cr_expect_str_eq(refusal(dial_as(NOBODY, others), store, 3), "");
	cr_expect_str_eq(refusal(dial_as(0, others), store, 3), "wrong token");
	for (size_t i = 0; i < LW_COUNT(fds); i++)
		close(fds[i]);
	dial_free(dial);
	dial = NULL;
}

Test(dial, the_run_directory_is_found_again_and_never_somebody_elses)
{
	LW_AUTO(lw_free) char *first = NULL;
	LW_AUTO(lw_free) char *again = NULL;
	LW_AUTO(lw_free) char *third = NULL;

	cr_assert_eq(rundir_again(state_dir, &again, NULL), -ENOENT);
	cr_assert_eq(rundir_make(state_dir, &first, NULL), 0);
	cr_assert_eq(rmdir(first), 0); /* the machine was started anew */
	cr_assert_eq(rundir_again(state_dir, &again, NULL), 0);
	cr_assert_str_eq(again, first);
	cr_assert_eq(access(first, F_OK), 0);
	cr_assert_eq(chmod(first, 0777), 0); /* whatever that is, it is none of ours */
	cr_assert_eq(rundir_again(state_dir, &third, NULL), -ENOENT);
	cr_assert_eq(rundir_again(state_dir, &third, NULL), -ENOENT);
	rundir_remove(state_dir, first);
}
