/* links: lw-worker-lib */
/* test_channel.c - the worker's end of the channel in one process: the test is the supervisor too.
 * Socket buffers hold what either side says, so nothing needs a second process. */
#include "as_supervisor.h"

#include "channel.h"

static struct channel *channel;
static struct lw_err err;

static void up(void)
{
	boss_open();
	cr_assert_eq(channel_new(4, &channel, &err), 0, "%s", err.text);
	cr_assert_eq(channel_fd(channel), -1);
	cr_assert_geq(channel_wait(channel, 0, &err), 0);
	boss_accept();
}

static void welcomed(uint64_t sequence)
{
	struct lw_msg msg;

	boss_welcome(sequence);
	cr_assert_geq(channel_wait(channel, 0, &err), 0);
	cr_assert_eq(channel_next(channel, &msg, &err), 0);
	channel_flush(channel);
}

static void down(void)
{
	channel_free(channel);
	boss_close();
}

static void put_state(uint64_t run, const char *name, const char *json)
{
	LW_AUTO_BUF value = { 0 };

	pack_json(json, &value);
	channel_report(channel, &(struct lw_msg){ .id = LW_MSG_STATE,
						  .state = { .run = run,
							     .name = text_slice(name),
							     .value = lw_buf_slice(&value) } });
}

static void put_result(uint64_t run)
{
	channel_report(channel, &(struct lw_msg){ .id = LW_MSG_RESULT,
						  .result = { .run = run,
							      .attempt = 1,
							      .success = true,
							      .value = text_slice("\xc0"),
							      .reason = text_slice(""),
							      .message = text_slice("") } });
}

static void expect_state(uint64_t sequence, const char *name, const char *json)
{
	struct lw_msg msg;

	boss_expect(&msg, LW_MSG_STATE);
	cr_assert_eq(msg.state.sequence, sequence);
	cr_assert(slice_is(msg.state.name, name));
	cr_assert_str_eq(json_of(msg.state.value), json);
}

static void expect_result(uint64_t sequence, uint64_t run)
{
	struct lw_msg msg;

	boss_expect(&msg, LW_MSG_RESULT);
	cr_assert_eq(msg.result.sequence, sequence);
	cr_assert_eq(msg.result.run, run);
}

/* Our side hangs up; the worker notices and dials again. */
static void redial(void)
{
	unsigned losses = channel_losses(channel);
	int64_t until = now_ms() + DEADLINE_MS;
	struct lw_msg msg;

	boss_hang_up();
	while (channel_losses(channel) == losses || channel_fd(channel) < 0) {
		cr_assert_lt(now_ms(), until);
		cr_assert_geq(channel_wait(channel, 10, &err), 0);
		cr_assert_eq(channel_next(channel, &msg, &err), 0);
	}
	boss_accept();
}

Test(channel, what_is_missing_in_the_environment_is_named)
{
	boss_open();
	unsetenv("LW_TOKEN");
	cr_assert_eq(channel_new(1, &channel, &err), -EINVAL);
	setenv("LW_TOKEN", "x", 1);
	setenv("LW_WORKER", "c0ffee/7", 1);
	cr_assert_eq(channel_new(1, &channel, &err), -EINVAL);
	cr_assert_not_null(strstr(err.text, "c0ffee/7"));
	setenv("LW_WORKER", "c0ffee/7/3x", 1);
	cr_assert_eq(channel_new(1, &channel, &err), -EINVAL);
	boss_close();
}

Test(channel, reports_wait_for_the_welcome)
{
	up();
	put_state(0, "a", "1");
	put_result(5);
	cr_assert_geq(channel_wait(channel, 0, &err), 0);
	cr_assert_eq(boss.hello.sequence, 0);
	welcomed(0);
	expect_state(1, "a", "1");
	expect_result(2, 5);
	down();
}

Test(channel, what_is_not_acknowledged_is_sent_again_in_order)
{
	up();
	welcomed(0);
	put_state(1, "a", "1");
	put_result(1);
	put_state(2, "a", "2");
	put_result(2);
	channel_flush(channel);
	expect_state(1, "a", "1");
	expect_result(2, 1);
	expect_state(3, "a", "2");
	expect_result(4, 2);
	boss_ack(1);
	cr_assert_geq(channel_wait(channel, -1, &err), 0);
	redial();
	cr_assert_eq(boss.hello.sequence, 4);
	welcomed(2);
	expect_state(3, "a", "2");
	expect_result(4, 2);
	boss_ack(4);
	cr_assert_eq(channel_settle(channel, DEADLINE_MS), 0);
	down();
}

Test(channel, newer_state_takes_the_place_of_older_but_not_across_a_result)
{
	up();
	put_state(1, "a", "1");
	put_state(1, "b", "1");
	put_state(1, "a", "2");
	put_result(1);
	put_state(2, "a", "3");
	put_state(2, "a", "4");
	welcomed(0);
	expect_state(2, "b", "1");
	expect_state(3, "a", "2");
	expect_result(4, 1);
	expect_state(6, "a", "4");
	down();
}

Test(channel, a_million_values_while_nobody_reads_are_few)
{
	struct lw_msg msg;
	uint64_t last = 0;
	unsigned count = 0;

	up();
	welcomed(0);
	for (int i = 1; i <= 1000000; i++) {
		channel_report(channel,
			       &(struct lw_msg){ .id = LW_MSG_STATE,
						 .state = { .name = text_slice("n"),
							    .value = text_slice("\x01") } });
		if (i % 1000 == 0)
			channel_flush(channel);
	}
	while (last < 1000000) {
		channel_flush(channel);
		boss_expect(&msg, LW_MSG_STATE);
		cr_assert_gt(msg.state.sequence, last);
		last = msg.state.sequence;
		count++;
	}
	cr_assert_lt(count, 100000);
	down();
}

Test(channel, a_run_sent_twice_is_delivered_once)
{
	struct lw_msg msg;

	up();
	welcomed(0);
	boss_run(1, "[]", "{}");
	boss_run(2, "[]", "{}");
	cr_assert_geq(channel_wait(channel, -1, &err), 0);
	cr_assert_eq(channel_next(channel, &msg, &err), 1);
	cr_assert_eq(msg.run.run, 1);
	put_result(1);
	cr_assert_eq(channel_next(channel, &msg, &err), 1);
	channel_in_hand(channel, 2, 1);
	redial();
	cr_assert_eq(boss.hello.run, 2);
	welcomed(0);
	expect_result(1, 1);
	for (uint64_t run = 1; run <= 3; run++)
		boss_run(run, "[]", "{}");
	cr_assert_geq(channel_wait(channel, -1, &err), 0);
	cr_assert_eq(channel_next(channel, &msg, &err), 1);
	cr_assert_eq(msg.run.run, 3);
	cr_assert_eq(channel_next(channel, &msg, &err), 0);
	down();
}

Test(channel, a_refusal_is_the_end)
{
	struct lw_msg msg;

	up();
	boss_send(&(struct lw_msg){ .id = LW_MSG_REFUSE,
				    .refuse = { .reason = text_slice("wrong token") } });
	boss_hang_up();
	cr_assert_geq(channel_wait(channel, -1, &err), 0);
	cr_assert_eq(channel_next(channel, &msg, &err), -EPERM);
	cr_assert_not_null(strstr(err.text, "wrong token"));
	down();
}

static void hangs_up_on(const void *bytes, size_t size)
{
	struct lw_msg msg;

	up();
	boss_write(bytes, size);
	cr_assert_geq(channel_wait(channel, -1, &err), 0);
	cr_assert_eq(channel_next(channel, &msg, &err), 0);
	cr_assert_eq(channel_fd(channel), -1);
	cr_assert_eq(channel_losses(channel), 1);
	down();
}

Test(channel, nonsense_costs_the_connection_alone)
{
	LW_AUTO_BUF early = { 0 };

	hangs_up_on("\x7f\xff\xff\xff", 4);
	hangs_up_on("\0\0\0\1\xc0", 5);
	hangs_up_on("\0\0\0\2\x91\x63", 6);
	put_run(&early, 1, "[]", "{}"); /* before the welcome */
	hangs_up_on(early.data, early.size);
}

Test(channel, half_a_message_waits_for_the_rest)
{
	LW_AUTO_BUF run = { 0 };
	struct lw_msg msg;

	up();
	welcomed(0);
	put_run(&run, 9, "[1, 2]", "{\"a\": \"b\"}");
	for (size_t i = 0; i < run.size; i++) {
		cr_assert_eq(channel_next(channel, &msg, &err), 0);
		boss_write(run.data + i, 1);
		cr_assert_geq(channel_wait(channel, -1, &err), 0);
	}
	cr_assert_eq(channel_next(channel, &msg, &err), 1);
	cr_assert_eq(msg.run.run, 9);
	down();
}

Test(channel, a_supervisor_that_is_away_is_dialled_ever_more_rarely)
{
	struct lw_msg msg;
	int pause = 0;

	up();
	welcomed(0);
	boss_go_away();
	cr_assert_geq(channel_wait(channel, -1, &err), 0); /* notices */
	for (int i = 0; pause <= 20; i++) {
		cr_assert_lt(i, 500);
		cr_assert_eq(channel_fd(channel), -1);
		cr_assert_geq(channel_timeout(channel), pause / 2);
		pause = channel_timeout(channel);
		cr_assert_geq(channel_wait(channel, -1, &err), 0);
		cr_assert_eq(channel_next(channel, &msg, &err), 0);
	}
	boss_listen();
	while (channel_fd(channel) < 0)
		cr_assert_geq(channel_wait(channel, -1, &err), 0);
	boss_accept();
	down();
}

Test(channel, settling_takes_no_longer_than_it_may)
{
	int64_t from;

	up();
	welcomed(0);
	put_result(1);
	from = now_ms();
	cr_assert_eq(channel_settle(channel, 50), -ETIMEDOUT);
	cr_assert_geq(now_ms() - from, 45);
	boss_ack(1);
	cr_assert_eq(channel_settle(channel, DEADLINE_MS), 0);
	down();
}

Test(channel, a_socket_with_a_long_path_is_reached)
{
	char path[400];
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	boss_open();
	lw_close(boss.listener);
	snprintf(path, sizeof path, "%s/%0120d", boss.folder, 1);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chdir(path), 0);
	strcpy(boss.path, "socket");
	boss_listen();
	strcat(path, "/socket");
	setenv("LW_SOCKET", path, 1);
	cr_assert_eq(channel_new(4, &channel, &err), 0);
	cr_assert_geq(channel_wait(channel, 0, &err), 0);
	boss_accept();
	cr_assert_eq(fchdir(here), 0);
	lw_close(here);
	down();
}

Test(channel, a_value_larger_than_the_socket_takes_arrives)
{
	LW_AUTO_BUF value = { 0 };
	struct lw_msg msg;
	char *text = lw_alloc(3u << 20);
	pid_t pid;

	up();
	welcomed(0);
	memset(text, 'x', 3u << 20);
	lw_put_text(&value, text, 3u << 20);
	channel_report(channel, &(struct lw_msg){ .id = LW_MSG_STATE,
						  .state = { .name = text_slice("n"),
							     .value = lw_buf_slice(&value) } });
	pid = fork();
	if (pid == 0)
		_exit(channel_settle(channel, DEADLINE_MS) == 0 ? 0 : 1); /* sends the rest */
	boss_expect(&msg, LW_MSG_STATE);
	cr_assert_eq(msg.state.value.size, value.size);
	boss_ack(msg.state.sequence);
	boss.worker = pid;
	cr_assert_eq(boss_exit_status(), 0);
	lw_free(text);
	down();
}

static void expect_ready(bool ready)
{
	struct lw_msg msg;

	boss_expect(&msg, LW_MSG_READY);
	cr_assert_eq(msg.ready.ready, ready);
}

Test(channel, who_is_ready_is_told_behind_each_hello_and_before_a_result)
{
	up();
	welcomed(0);
	channel_ready(channel, true);
	channel_flush(channel);
	expect_ready(true);
	channel_ready(channel, true); /* no news */
	put_result(1);
	channel_ready(channel, false);
	channel_flush(channel);
	expect_ready(false);
	expect_result(1, 1);
	channel_ready(channel, true);
	redial();
	expect_ready(true); /* before the welcome */
	welcomed(1);
	down();
}
