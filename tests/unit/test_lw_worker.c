/* links: lw-worker-lib */
/* test_lw_worker.c - liblw-worker: a work in C served by lw_work_main() in a forked process. */
#include "as_supervisor.h"

#include "lw_worker.h"

static int started, stopped;

static void on_stop(void *data)
{
	(void)data;
	stopped++;
	fprintf(stderr, "stop %d\n", stopped);
}

static int on_start(void *data)
{
	(void)data;
	started++;
	lw_set_int(NULL, "started", started);
	return 0;
}

static void until_told(struct lw_run *run)
{
	struct timespec pause = { 0, 1000000 };

	while (!lw_stopping(run))
		nanosleep(&pause, NULL);
}

/* Everything a run can do, by the first positional argument. */
static int act(struct lw_run *run, const char *what)
{
	msgpack_sbuffer packed;

	if (strcmp(what, "square") == 0) {
		int64_t n = lw_arg_int(run, "value", -1);

		lw_return_int(run, n * n);
	} else if (strcmp(what, "fail") == 0) {
		return lw_fail(run, "no file '%s'", lw_arg_text(run, "name", "?"));
	} else if (strcmp(what, "silent") == 0) {
		return 7;
	} else if (strcmp(what, "wait") == 0) {
		lw_set_text(run, "waiting", "yes");
		until_told(run);
		return lw_fail(run, "was told to stop");
	} else if (strcmp(what, "linger") == 0) {
		lw_set_bool(run, "lingering", true);
		while (lw_get(run, "go") == NULL)
			lw_stopping(run);
		lw_return_float(run, lw_get(run, "go")->type == MSGPACK_OBJECT_FLOAT64
					     ? lw_get(run, "go")->via.f64
					     : 1);
	} else if (strcmp(what, "garbage") == 0) {
		msgpack_sbuffer_init(&packed);
		msgpack_sbuffer_write(&packed, "\xdd\xff\xff\xff\xff", 5);
		lw_return(run, &packed);
		msgpack_sbuffer_destroy(&packed);
	} else if (strcmp(what, "badstate") == 0) {
		lw_set_int(run, "", 1);
	} else if (strcmp(what, "flood") == 0) {
		for (int i = 0; i < 300000; i++)
			lw_set_int(run, i % 2 ? "odd" : "even", i);
	} else if (strcmp(what, "print") == 0) {
		printf("printed by %d", (int)lw_run_id(run));
	} else if (strcmp(what, "types") == 0) {
		lw_return_bool(
			run, lw_arg_int(run, "whole", 0) == 3 && lw_arg_int(run, "half", 9) == 9 &&
				     lw_arg_float(run, "n", 0) == -2.0 &&
				     lw_arg_bool(run, "yes", false) &&
				     lw_arg_int(run, "text", 5) == 5 &&
				     lw_arg_text(run, "n", NULL) == NULL &&
				     lw_arg_at(run, 1) != NULL && lw_arg_at(run, 2) == NULL &&
				     lw_args(run)->size == 2 && lw_named(run)->size == 5);
	}
	return 0;
}

static int on_run(struct lw_run *run, void *data)
{
	const msgpack_object *what = lw_arg_at(run, 0);
	char text[32] = "";

	(void)data;
	if (what != NULL && what->type == MSGPACK_OBJECT_STR)
		snprintf(text, sizeof text, "%.*s", (int)what->via.str.size, what->via.str.ptr);
	return act(run, text);
}

static int serve(void *data)
{
	struct lw_work work = { .start = on_start, .run = on_run, .stop = on_stop };

	work.window = data != NULL ? *(unsigned *)data : 0;
	return lw_work_main(&work, NULL);
}

static void up(unsigned window)
{
	struct lw_msg msg;

	boss_open();
	boss_fork(serve, &window);
	boss_accept();
	boss_welcome(0);
	boss_expect(&msg, LW_MSG_STATE);
	cr_assert(slice_is(msg.state.name, "started"));
	boss_ack(msg.state.sequence);
}

static void down(void)
{
	boss_stop();
	cr_assert_eq(boss_let_go(), 0);
	boss_close();
}

static void expect_result(struct lw_msg *msg, uint64_t run, bool success, const char *json)
{
	boss_expect(msg, LW_MSG_RESULT);
	cr_assert_eq(msg->result.run, run);
	cr_assert_eq(msg->result.success, success, "%.*s", (int)msg->result.message.size,
		     (const char *)msg->result.message.data);
	cr_assert_str_eq(json_of(msg->result.value), json);
}

static void expect_failure(uint64_t run, const char *reason, const char *message)
{
	struct lw_msg msg;

	expect_result(&msg, run, false, "null");
	cr_assert(slice_is(msg.result.reason, reason), "reason %.*s", (int)msg.result.reason.size,
		  (const char *)msg.result.reason.data);
	cr_assert(msg.result.message.size >= strlen(message) &&
			  memmem(msg.result.message.data, msg.result.message.size, message,
				 strlen(message)) != NULL,
		  "message %.*s", (int)msg.result.message.size,
		  (const char *)msg.result.message.data);
}

Test(lw_worker, says_who_it_is_and_serves_a_run)
{
	struct lw_msg msg;

	up(5);
	cr_assert_str_eq(boss.token, "secret");
	cr_assert_eq(boss.hello.version, LW_PROTO_VERSION);
	cr_assert_eq(boss.hello.worker, 7);
	cr_assert_eq(boss.hello.incarnation, 3);
	cr_assert_eq(boss.hello.window, 5);
	cr_assert_eq(boss.hello.pid, (uint64_t)boss.worker);
	boss_run(12, "[\"square\"]", "{\"value\": 12}");
	expect_result(&msg, 12, true, "144");
	cr_assert_eq(msg.result.sequence, 2);
	cr_assert_eq(msg.result.attempt, 1);
	cr_assert_eq(msg.result.reason.size, 0);
	down();
}

Test(lw_worker, nothing_returned_is_nil)
{
	struct lw_msg msg;

	up(1);
	boss_run(1, "[]", "{}");
	expect_result(&msg, 1, true, "null");
	down();
}

Test(lw_worker, arguments_are_read_by_type)
{
	struct lw_msg msg;

	up(1);
	boss_run(1, "[\"types\", null]",
		 "{\"whole\": 3.0, \"half\": 1.5, \"n\": -2, \"yes\": true, \"text\": \"x\"}");
	expect_result(&msg, 1, true, "true");
	down();
}

Test(lw_worker, a_failed_run_says_why)
{
	up(1);
	boss_run(1, "[\"fail\"]", "{\"name\": \"day.csv\"}");
	expect_failure(1, "failed", "no file 'day.csv'");
	boss_run(2, "[\"silent\"]", "{}");
	expect_failure(2, "failed", "run returned 7");
	down();
}

Test(lw_worker, what_is_no_value_fails_the_run)
{
	struct lw_msg msg;

	up(1);
	boss_run(1, "[\"garbage\"]", "{}");
	expect_failure(1, "failed", "the result: ");
	boss_run(2, "[\"badstate\"]", "{}");
	expect_failure(2, "failed", "the name of a state value");
	boss_run(3, "[]", "{}");
	expect_result(&msg, 3, true, "null");
	down();
}

Test(lw_worker, runs_sent_ahead_execute_in_order)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_msg msg;
	char named[64], square[32];

	up(32);
	for (int i = 1; i <= 500; i++) {
		snprintf(named, sizeof named, "{\"value\": %d}", i);
		put_run(&out, (uint64_t)i, "[\"square\"]", named);
	}
	boss_write(out.data, out.size);
	for (int i = 1; i <= 500; i++) {
		snprintf(square, sizeof square, "%d", i * i);
		expect_result(&msg, (uint64_t)i, true, square);
		cr_assert_eq(msg.result.sequence, (uint64_t)i + 1);
	}
	down();
}

Test(lw_worker, a_run_that_has_not_begun_can_be_withdrawn)
{
	struct lw_msg msg;

	up(4);
	boss_run(1, "[\"linger\"]", "{}");
	boss_expect(&msg, LW_MSG_STATE);
	boss_run(2, "[\"square\"]", "{\"value\": 2}");
	boss_run(3, "[\"square\"]", "{\"value\": 3}");
	boss_withdraw(2);
	boss_withdraw(1); /* has begun: nothing comes of it */
	boss_expect(&msg, LW_MSG_WITHDRAWN);
	cr_assert_eq(msg.withdrawn.run, 2);
	boss_send(&(struct lw_msg){
		.id = LW_MSG_SET,
		.set = { .name = text_slice("go"), .value = text_slice("\x01") } });
	boss_expect(&msg, LW_MSG_RESULT);
	cr_assert_eq(msg.result.run, 1);
	expect_result(&msg, 3, true, "9");
	down();
}

Test(lw_worker, the_flow_can_assign_a_value_during_a_run)
{
	LW_AUTO_BUF half = { 0 };
	struct lw_msg msg;

	up(1);
	boss_run(1, "[\"linger\"]", "{}");
	boss_expect(&msg, LW_MSG_STATE);
	lw_put_float(&half, 0.5);
	boss_send(&(struct lw_msg){
		.id = LW_MSG_SET,
		.set = { .name = text_slice("go"), .value = lw_buf_slice(&half) } });
	expect_result(&msg, 1, true, "0.5");
	down();
}

Test(lw_worker, a_stop_reaches_the_run_in_hand)
{
	struct lw_msg msg;

	up(2);
	boss_run(1, "[\"wait\"]", "{}");
	boss_expect(&msg, LW_MSG_STATE);
	boss_run(2, "[]", "{}");
	boss_stop();
	expect_failure(1, "stopped", "was told to stop");
	boss_ack(100);
	cr_assert_eq(boss_next(&msg), -1);
	cr_assert_eq(boss_exit_status(), 0);
	cr_assert_str_eq(file_text("err"), "stop 1\n");
	boss_close();
}

Test(lw_worker, term_ends_an_idle_worker_and_a_run)
{
	struct lw_msg msg;

	up(1);
	kill(boss.worker, SIGTERM);
	cr_assert_eq(boss_let_go(), 0);
	boss_close();

	up(1);
	boss_run(1, "[\"wait\"]", "{}");
	boss_expect(&msg, LW_MSG_STATE);
	boss_ack(msg.state.sequence);
	kill(boss.worker, SIGTERM);
	expect_failure(1, "stopped", "was told to stop");
	boss_ack(100);
	cr_assert_eq(boss_let_go(), 0);
	boss_close();
}

/* TERM at any moment between two runs: neither lost nor late. */
Test(lw_worker, term_is_never_missed)
{
	struct timespec pause = { 0, 0 };

	for (int i = 0; i < 100; i++) {
		int64_t from;

		up(1);
		boss_run(1, "[]", "{}");
		pause.tv_nsec = i * 3000;
		nanosleep(&pause, NULL);
		from = now_ms();
		kill(boss.worker, SIGTERM);
		cr_assert_eq(boss_let_go(), 0);
		cr_assert_lt(now_ms() - from, 10000);
		boss_close();
	}
}

Test(lw_worker, a_refused_worker_leaves_with_1)
{
	boss_open();
	boss_fork(serve, NULL);
	boss_accept();
	boss_send(&(struct lw_msg){ .id = LW_MSG_REFUSE,
				    .refuse = { .reason = text_slice("wrong token") } });
	boss_hang_up();
	cr_assert_eq(boss_exit_status(), 1);
	cr_assert_not_null(strstr(file_text("err"), "wrong token"));
	cr_assert_not_null(strstr(file_text("err"), "stop 1"));
	boss_close();
}

Test(lw_worker, output_precedes_the_result)
{
	struct lw_msg msg;

	up(1);
	boss_run(41, "[\"print\"]", "{}");
	expect_result(&msg, 41, true, "null");
	cr_assert_str_eq(file_text("out"), "printed by 41");
	down();
}

Test(lw_worker, a_result_outlives_its_supervisor)
{
	struct lw_msg msg;

	up(3);
	boss_run(1, "[\"linger\"]", "{}");
	boss_run(2, "[\"square\"]", "{\"value\": 2}");
	boss_expect(&msg, LW_MSG_STATE);
	boss_hang_up();
	boss_accept(); /* in the middle of the run */
	cr_assert_eq(boss.hello.run, 1);
	cr_assert_eq(boss.hello.attempt, 1);
	cr_assert_eq(boss.hello.sequence, 2);
	boss_welcome(1);
	boss_expect(&msg, LW_MSG_STATE); /* not acknowledged: again */
	cr_assert_eq(msg.state.sequence, 2);
	boss_run(1, "[\"linger\"]", "{}"); /* in hand: no second time */
	boss_send(&(struct lw_msg){
		.id = LW_MSG_SET,
		.set = { .name = text_slice("go"), .value = text_slice("\x01") } });
	boss_run(3, "[\"square\"]", "{\"value\": 3}");
	boss_expect(&msg, LW_MSG_RESULT);
	cr_assert_eq(msg.result.run, 1);
	expect_result(&msg, 3, true, "9"); /* 2 went with its connection */
	boss_hang_up();
	boss_accept();
	cr_assert_eq(boss.hello.run, 0);
	cr_assert_eq(boss.hello.sequence, 4);
	boss_welcome(3);
	expect_result(&msg, 3, true, "9");
	boss_run(3, "[\"square\"]", "{\"value\": 3}"); /* answered: no second time */
	boss_run(4, "[\"square\"]", "{\"value\": 4}");
	expect_result(&msg, 4, true, "16");
	cr_assert_eq(msg.result.sequence, 5);
	down();
}

Test(lw_worker, a_flood_of_state_that_nobody_reads_stays_small)
{
	struct lw_msg msg = { .id = LW_MSG_HELLO };
	unsigned count = 0;
	uint64_t last = 0;

	up(1);
	boss_run(1, "[\"flood\"]", "{}");
	boss_hang_up(); /* gone for the whole flood, or nearly */
	boss_accept();
	boss_welcome(boss.hello.sequence > 2 ? 1 : 0);
	while (boss_next(&msg) != LW_MSG_RESULT) {
		cr_assert_gt(msg.state.sequence, last);
		last = msg.state.sequence;
		count++;
	}
	cr_assert_lt(count, 300000);
	cr_assert_eq(msg.result.sequence, last + 1);
	down();
}

Test(lw_worker, without_a_supervisor_says_so)
{
	struct lw_work work = { .run = on_run };

	unsetenv("LW_SOCKET");
	cr_assert_eq(lw_work_main(&work, NULL), 2);
}

static int start_fails(void *data)
{
	(void)data;
	return 5;
}

static int serve_failing(void *data)
{
	(void)data;
	return lw_work_main(&(struct lw_work){ .start = start_fails, .run = on_run }, NULL);
}

Test(lw_worker, a_failed_start_is_the_exit_status)
{
	boss_open();
	boss_fork(serve_failing, NULL);
	cr_assert_eq(boss_exit_status(), 5);
	boss_close();
}
