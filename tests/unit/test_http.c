/* links: lw_supervisor
 *
 * test_http.c - the control API on a real socket: the parser, hostile clients, waiting. The app is
 * real, but not running: no process is started, the test plays them. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "on_record.h"
#include "http.h"
#include "lw_log.h"
#include "lw_statedir.h"

/* ---- the parser ------------------------------------------------------------------------------ */

static int parse(const char *text, struct http_head *head, struct lw_err *err)
{
	size_t seen = 0;

	return http_parse_head((struct lw_slice){ (const uint8_t *)text, strlen(text) }, &seen,
			       head, err);
}

static const char whole[] =
	"POST /api/v1/state?a=b&c HTTP/1.1\r\nHost: x\r\nContent-Length:  12 \r\n"
	"Expect: 100-continue\r\nconnection: CLOSE\r\n\r\n";

Test(http_parse, a_head_gives_method_path_query_and_what_follows)
{
	struct http_head head = { 0 };
	struct lw_err err = { 0 };

	cr_assert_eq(parse(whole, &head, &err), (int)strlen(whole), "%s", err.text);
	cr_expect_str_eq(head.method, "POST");
	cr_expect_str_eq(head.path, "/api/v1/state");
	cr_expect_str_eq(head.query, "a=b&c");
	cr_expect_eq(head.length, 12u);
	cr_expect(head.expects);
	cr_expect_not(head.keep_alive);
	cr_expect_not(head.chunked);
	http_head_done(&head);
}

Test(http_parse, every_beginning_of_a_head_waits_for_the_rest_wherever_it_was_cut_before)
{
	for (size_t cut = 0; cut < sizeof(whole) - 1; cut++) {
		struct http_head head = { 0 };
		struct lw_err err = { 0 };
		struct lw_slice part = { (const uint8_t *)whole, cut };
		size_t seen = 0;

		cr_assert_eq(http_parse_head(part, &seen, &head, &err), 0, "cut at %zu", cut);
		part.size = sizeof(whole) - 1;
		cr_assert_eq(http_parse_head(part, &seen, &head, &err), (int)sizeof(whole) - 1,
			     "cut at %zu: %s", cut, err.text);
		http_head_done(&head);
	}
}

Test(http_parse, what_is_no_request_is_refused_with_its_status)
{
	/* clang-format off */
	static const struct { const char *text; int status; } rows[] = {
		{ "garbage\r\n\r\n", 400 },
		{ "\r\n\r\n", 400 },
		{ "GET /\r\n\r\n", 400 },
		{ "GET  / HTTP/1.1\r\n\r\n", 400 },
		{ "G(T / HTTP/1.1\r\n\r\n", 400 },
		{ "GET relative HTTP/1.1\r\n\r\n", 400 },
		{ "GET /\x01 HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\n\r\n", 505 },
		{ "GET / HTTP/1.10\r\n\r\n", 505 },
		{ "GET / HTTP/1.1\r\nno colon\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413 },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501 },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400 },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct http_head head = { 0 };
		struct lw_err err = { 0 };

		cr_expect_eq(parse(rows[i].text, &head, &err), -rows[i].status, "%s", rows[i].text);
		cr_expect_neq(err.text[0], '\0');
	}
}

Test(http_parse, chunks_are_joined_and_every_beginning_of_them_waits)
{
	static const char chunks[] =
		"5;x=y\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n";
	size_t size = sizeof(chunks) - 1;

	for (size_t cut = 0; cut <= size; cut++) {
		LW_AUTO_BUF body = { 0 };
		struct lw_err err = { 0 };
		size_t at = 0;
		struct lw_slice in = { (const uint8_t *)chunks, cut };

		cr_assert_eq(http_parse_chunks(in, &at, &body, &err), cut == size, "at %zu", cut);
		in.size = size;
		if (cut < size)
			cr_assert_eq(http_parse_chunks(in, &at, &body, &err), 1, "at %zu", cut);
		cr_assert_eq(at, size);
		cr_assert_str_eq(lw_buf_text(&body), "hello 0123456789");
	}
}

Test(http_parse, chunks_that_lie_about_their_size_are_refused)
{
	/* clang-format off */
	static const struct { const char *text; int status; } rows[] = {
		{ "x\r\n", 400 },
		{ "\r\n", 400 },
		{ "3\r\nabcd\r\n", 400 },
		{ "ffffffffffffffffff\r\n", 413 },
		{ "1400001\r\n", 413 },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO_BUF body = { 0 };
		struct lw_err err = { 0 };
		struct lw_slice in = { (const uint8_t *)rows[i].text, strlen(rows[i].text) };
		size_t at = 0;

		cr_expect_eq(http_parse_chunks(in, &at, &body, &err), -rows[i].status, "%s",
			     rows[i].text);
	}
}

Test(http_parse, percent_signs_are_decoded_and_what_is_no_text_is_refused)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = {
		{ "train", "train" }, { "a%20b%2Fc", "a b/c" }, { "%c3%a4", "\xc3\xa4" },
		{ "%", NULL }, { "%4", NULL }, { "%zz", NULL }, { "%00", NULL }, { "%ff", NULL },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO(lw_free) char *out = http_decode(rows[i].in, strlen(rows[i].in));

		if (rows[i].out == NULL)
			cr_expect_null(out, "%s", rows[i].in);
		else
			cr_expect_str_eq(out, rows[i].out);
	}
}

/* ---- a server in this process -------------------------------------------------------------------- */

static struct work *work;
static struct http *http;
static char path[80];

static void on_over(struct app *over)
{
	(void)over;
}

static void begin(void)
{
	struct lw_err err = { 0 };

	open_loop();
	snprintf(path, sizeof(path), "%s/control.sock", state_dir);
	open_quiet_app(config_new());
	app->in_pass = false;
	app->stage = APP_STARTING; /* so that nothing is started whatever is asked for */
	app->on_over = on_over;
	work = add_work(settings("train"));
	add_work(settings("t\xc3\xa4glich \"x\"/y"));
	cr_assert_eq(http_new(app, path, &http, &err), 0, "%s", err.text);
}

static void end(void)
{
	http_free(http);
	cr_expect_neq(access(path, F_OK), 0, "the socket is removed");
	close_app();
	close_loop();
}

TestSuite(http, .init = begin, .fini = end);

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

/* A client of the server above. */
struct client {
	int fd;
	struct lw_buf in;
	bool over; /* the server closed */
};

static struct client dial(void)
{
	struct lw_err err = { 0 };
	struct client client = { .fd = lw_socket_dial(path, &err) };

	cr_assert_geq(client.fd, 0, "%s", err.text);
	return client;
}

static void hang_up(struct client *client)
{
	close(client->fd);
	lw_buf_done(&client->in);
}

/* Reads what is there; at most `most` bytes. */
static void receive(struct client *client, size_t most)
{
	ssize_t n;

	lw_buf_grow(&client->in, most);
	n = recv(client->fd, client->in.data + client->in.size, most, MSG_DONTWAIT);
	if (n > 0)
		client->in.size += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client->over = true;
}

/* Sends while the loop turns. */
static void say(struct client *client, const void *bytes, size_t size)
{
	double deadline = now() + PATIENCE / 1e6;
	size_t at = 0;

	while (at < size && now() < deadline) {
		ssize_t n = send(client->fd, (const char *)bytes + at, size - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN)
			break;
		one_turn();
	}
}

/* How many bytes one whole answer takes, 0: not whole. */
static size_t answer_size(struct client *client)
{
	const char *text = lw_buf_text(&client->in);
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strstr(text, "Content-Length: ");
	size_t size;

	if (end == NULL || length == NULL)
		return 0;
	size = (size_t)(end - text) + 4 + strtoul(length + 16, NULL, 10);
	return client->in.size >= size ? size : 0;
}

/* Turns the loop until a whole answer came; its text, with the head, lives in the client. */
static const char *await_answer(struct client *client)
{
	double deadline = now() + PATIENCE / 1e6;

	while (answer_size(client) == 0 && !client->over && now() < deadline) {
		struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };

		one_turn();
		if (poll(&poll_fd, 1, 1) > 0)
			receive(client, 65536);
	}
	return lw_buf_text(&client->in);
}

static void await_close(struct client *client)
{
	double deadline = now() + PATIENCE / 1e6;

	while (!client->over && now() < deadline) {
		struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };

		one_turn();
		if (poll(&poll_fd, 1, 1) > 0)
			receive(client, 65536);
	}
	cr_assert(client->over, "the server closes after '%s'", lw_buf_text(&client->in));
}

static struct client ask(const char *method, const char *target, const char *body)
{
	struct client client = dial();
	LW_AUTO(lw_free)
	char *text = lw_format("%s /api/v1/%s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", method,
			       target, strlen(body), body);

	say(&client, text, strlen(text));
	return client;
}

/* One request: its status, and its body as JSON. */
static int exchange(const char *method, const char *target, const char *body, json_t **ret_body)
{
	struct client client = ask(method, target, body);
	const char *text = await_answer(&client);
	json_error_t error;
	int status = strlen(text) > 12 ? atoi(text + 9) : 0;
	const char *json = strstr(text, "\r\n\r\n");

	cr_assert_not_null(json, "%s %s: '%s'", method, target, text);
	*ret_body = json_loads(json + 4, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	cr_assert_not_null(*ret_body, "%s: %s", error.text, json);
	hang_up(&client);
	return status;
}

/* An error whose sentence or hint has `part` in it. */
static void expect_error(const char *method, const char *target, const char *body, int status,
			 const char *part)
{
	json_t *json;
	int got = exchange(method, target, body, &json);
	const json_t *error = json_object_get(json, "error");
	LW_AUTO(lw_free)
	char *text = lw_format("%s; %s", json_string_value(json_object_get(error, "message")),
			       json_is_string(json_object_get(error, "hint"))
				       ? json_string_value(json_object_get(error, "hint"))
				       : "");

	cr_expect_eq(got, status, "%s %s: %d %s", method, target, got, text);
	cr_expect_not_null(strstr(text, part), "%s %s: %s", method, target, text);
	json_decref(json);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

Test(http, status_tells_app_and_works)
{
	json_t *json;
	const json_t *one;

	cr_assert_eq(exchange("GET", "status", "", &json), 200);
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "app"), "pid")),
		     getpid());
	cr_assert_eq(json_array_size(json_object_get(json, "works")), 2u);
	one = json_array_get(json_object_get(json, "works"), 1);
	cr_expect_str_eq(json_string_value(json_object_get(one, "name")), "t\xc3\xa4glich \"x\"/y");
	cr_expect_str_eq(json_string_value(json_object_get(one, "stage")), "not_started");
	cr_expect(json_is_object(json_object_get(one, "state")));
	json_decref(json);
}

Test(http, a_work_with_any_name_is_found_by_its_encoded_path)
{
	json_t *json;

	cr_assert_eq(exchange("GET", "works/t%C3%A4glich%20%22x%22%2Fy", "", &json), 200);
	cr_expect(json_is_array(json_object_get(json, "statuses")));
	json_decref(json);
}

Test(http, what_is_wrong_with_a_request_is_said)
{
	expect_error("GET", "statsu", "", 404, "did you mean 'status'?");
	expect_error("GET", "works/trian", "", 404, "did you mean 'train'?");
	expect_error("GET", "works/trian", "", 404, "no work 'trian'");
	expect_error("GET", "works/%zz", "", 400, "path");
	expect_error("POST", "works/train/stpo", "", 404, "works/*/stop");
	expect_error("GET", "works/train/stop", "", 405, "POST");
	expect_error("POST", "works/train/run", "{\"args\": [1,}", 400, "column 13");
	expect_error("POST", "works/train/run", "[1]", 400, "object");
	expect_error("POST", "works/train/run", "{\"arg\": [1]}", 400, "'arg'");
	expect_error("POST", "works/train/run", "{\"args\": 1}", 400, "'args'");
	expect_error("POST", "works/train/run", "{\"kwargs\": []}", 400, "'kwargs'");
	expect_error("POST", "works/train/run", "{\"all\": true}", 400, "'all'");
	expect_error("POST", "works/train/run?wiat=false", "", 400, "'wiat'");
	expect_error("POST", "works/train/run?wait=maybe", "", 400, "maybe");
	expect_error("POST", "works/train/stop", "{\"args\": []}", 400, "'args'");
	expect_error("POST", "works/train/forget", "", 400, "neither");
	expect_error("POST", "works/train/forget", "{\"args\":[],\"all\":true}", 400, "both");
	expect_error("GET", "works/train/runs?limit=0", "", 400, "limit");
	expect_error("GET", "runs/999", "", 404, "'999'");
	expect_error("GET", "runs/1x", "", 404, "'1x'");
	expect_error("PATCH", "state", "", 400, "empty");
}

Test(http, a_wrong_method_is_told_the_right_ones)
{
	struct client client = ask("DELETE", "state", "");

	cr_expect_not_null(strstr(await_answer(&client), "Allow: GET, PATCH\r\n"));
	hang_up(&client);
}

Test(http, two_requests_on_one_connection_are_answered_in_order)
{
	static const char two[] = "GET /api/v1/works/train HTTP/1.1\r\n\r\n"
				  "GET /api/v1/state HTTP/1.1\r\nConnection: close\r\n\r\n";
	struct client client = dial();
	const char *text;

	say(&client, two, sizeof(two) - 1);
	await_close(&client);
	text = lw_buf_text(&client.in);
	cr_expect_not_null(strstr(text, "\"train\""));
	cr_expect_not_null(strstr(text, "{}\n"));
	cr_expect_lt((void *)strstr(text, "\"train\""), (void *)strstr(text, "{}\n"));
	hang_up(&client);
}

Test(http, a_chunked_body_and_one_that_waits_for_100_are_read)
{
	static const char head[] = "PATCH /api/v1/state HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
				   "Expect: 100-continue\r\nConnection: close\r\n\r\n";
	static const char body[] = "7\r\n{\"a\": 1\r\n1\r\n}\r\n0\r\n\r\n";
	struct client client = dial();
	double deadline = now() + PATIENCE / 1e6;

	say(&client, head, sizeof(head) - 1);
	while (strstr(lw_buf_text(&client.in), "100 Continue") == NULL && now() < deadline) {
		one_turn();
		receive(&client, 100);
	}
	for (size_t i = 0; i < sizeof(body) - 1; i++)
		say(&client, body + i, 1);
	await_close(&client);
	cr_expect_not_null(strstr(lw_buf_text(&client.in), "{\"a\":1}\n"), "%s",
			   lw_buf_text(&client.in));
	hang_up(&client);
}

Test(http, a_patch_of_the_state_is_merged_and_null_removes)
{
	json_t *json;
	json_t *expected;

	cr_assert_eq(exchange("PATCH", "state",
			      "{\"a\": {\"x\": 1, \"y\": {\"z\": 2}}, \"b\": 5, \"c\": [1]}",
			      &json),
		     200);
	json_decref(json);
	cr_assert_eq(exchange("PATCH", "state",
			      "{\"a\": {\"x\": null, \"y\": {\"w\": 3}}, \"b\": null, \"c\": [2]}",
			      &json),
		     200);
	expected = json_loads("{\"a\": {\"y\": {\"z\": 2, \"w\": 3}}, \"c\": [2]}", 0, NULL);
	cr_expect(json_equal(json, expected), "%s", json_dumps(json, 0));
	json_decref(expected);
	json_decref(json);
}

/* ---- calls and waiting ------------------------------------------------------------------------------------ */

static void await_queue(size_t count)
{
	double deadline = now() + PATIENCE / 1e6;

	while (work->queue.count != count && now() < deadline)
		one_turn();
	cr_assert_eq(work->queue.count, count);
}

Test(http, a_run_is_answered_at_once_when_nobody_waits)
{
	json_t *json;

	cr_assert_eq(exchange("POST", "works/train/run?wait=false",
			      "{\"args\":[1],\"kwargs\":{\"lr\":0.5}}", &json),
		     200);
	cr_expect_str_eq(json_string_value(json_object_get(json, "stage")), "pending");
	cr_expect_str_eq(json_string_value(json_object_get(json, "decision")), "run");
	cr_expect(json_is_false(json_object_get(json, "cached")));
	cr_expect_eq(json_array_size(json_object_get(json, "args")), 1u);
	cr_expect_eq(json_real_value(json_object_get(json_object_get(json, "kwargs"), "lr")), 0.5);
	cr_expect_eq(strlen(json_string_value(json_object_get(json, "key"))), 32u);
	json_decref(json);
	await_queue(1);
}

Test(http, a_run_that_is_waited_for_is_answered_when_it_is_over_and_then_hit)
{
	struct client client = ask("POST", "works/train/run", "{\"args\":[1]}");
	const char *text;
	json_t *json;

	await_queue(1);
	for (int i = 0; i < 10; i++)
		one_turn();
	receive(&client, 100);
	cr_expect_eq(client.in.size, 0u, "no answer before the run is over");
	succeed(take_of(work));
	text = await_answer(&client);
	cr_expect_not_null(strstr(text, "\"stage\":\"succeeded\""), "%s", text);
	cr_expect_not_null(strstr(text, "\"result\":7"), "%s", text);
	hang_up(&client);
	cr_assert_eq(exchange("POST", "works/train/run", "{\"args\":[1]}", &json), 200);
	cr_expect(json_is_true(json_object_get(json, "cached")));
	cr_expect_str_eq(json_string_value(json_object_get(json, "decision")), "hit");
	json_decref(json);
	cr_assert_eq(exchange("POST", "works/train/explain", "{\"args\":[1]}", &json), 200);
	cr_expect_str_eq(json_string_value(json_object_get(json, "decision")), "hit");
	json_decref(json);
	cr_assert_eq(exchange("GET", "works/train/runs", "", &json), 200);
	cr_expect_eq(json_array_size(json_object_get(json, "runs")), 1u);
	json_decref(json);
	cr_assert_eq(exchange("POST", "works/train/forget", "{\"all\":true}", &json), 200);
	cr_expect_eq(json_integer_value(json_object_get(json, "calls")), 1);
	json_decref(json);
	cr_assert_eq(exchange("POST", "works/train/explain", "{\"args\":[1]}", &json), 200);
	cr_expect_str_eq(json_string_value(json_object_get(json, "decision")), "run");
	json_decref(json);
}

static void call_and_fail(const char *body)
{
	json_t *json;

	cr_assert_eq(exchange("POST", "works/train/run?wait=false", body, &json), 200);
	json_decref(json);
	fail(take_of(work));
}

static void expect_retried(const json_t *json, const char *ids, json_int_t succeeded)
{
	json_t *expected = json_loads(ids, 0, NULL);
	const json_t *stages = json_object_get(json, "stages");

	cr_expect(json_equal(json_object_get(json, "runs"), expected), "%s", ids);
	cr_expect_eq(json_integer_value(json_object_get(json, "calls")),
		     (json_int_t)json_array_size(expected));
	cr_expect_eq(json_integer_value(json_object_get(stages, "succeeded")), succeeded);
	json_decref(expected);
}

Test(http, a_retry_answers_at_once_with_the_new_runs)
{
	json_t *json;

	call_and_fail("{\"args\":[1]}");
	call_and_fail("{\"args\":[2]}");
	cr_assert_eq(exchange("POST", "works/train/retry", "{\"args\":[1]}", &json), 200);
	expect_retried(json, "[3]", 0);
	json_decref(json);
	succeed(take_of(work));
	cr_assert_eq(exchange("POST", "works/train/retry", "{\"all\":true}", &json), 200);
	expect_retried(json, "[4]", 0);
	json_decref(json);
	expect_error("POST", "works/train/retry", "{\"args\":[1]}", 409,
		     "no failed or stopped run");
}

Test(http, a_retry_that_waits_answers_when_every_new_run_is_over)
{
	struct client client;
	const char *text;

	call_and_fail("{\"args\":[1]}");
	call_and_fail("{\"args\":[2]}");
	client = ask("POST", "works/train/retry?wait=true", "{\"all\":true}");
	await_queue(2);
	fail(take_of(work));
	for (int i = 0; i < 10; i++)
		one_turn();
	receive(&client, 100);
	cr_expect_eq(client.in.size, 0u, "no answer before the last run is over");
	succeed(take_of(work));
	text = await_answer(&client);
	cr_expect_not_null(strstr(text, "\"runs\":[3,4],\"stages\":{\"pending\":0,\"running\":0,"
					"\"succeeded\":1,\"failed\":1,\"stopped\":0}"),
			   "%s", text);
	hang_up(&client);
}

Test(http, the_runs_of_all_works_come_newest_first)
{
	static const char *const works[] = { "train", "t%C3%A4glich%20%22x%22%2Fy", "train" };
	json_t *json;
	const json_t *run;
	size_t i;

	for (i = 0; i < LW_COUNT(works); i++) {
		LW_AUTO(lw_free) char *target = lw_format("works/%s/run?wait=false", works[i]);
		LW_AUTO(lw_free) char *body = lw_format("{\"args\":[%zu]}", i);

		cr_assert_eq(exchange("POST", target, body, &json), 200);
		json_decref(json);
	}
	cr_assert_eq(exchange("GET", "runs", "", &json), 200);
	cr_expect_eq(json_array_size(json_object_get(json, "runs")), 3u);
	json_array_foreach(json_object_get(json, "runs"), i, run)
		cr_expect_eq(json_integer_value(json_object_get(run, "id")), (json_int_t)(3 - i));
	json_decref(json);
	cr_assert_eq(exchange("GET", "runs?limit=2", "", &json), 200);
	cr_expect_eq(json_array_size(json_object_get(json, "runs")), 2u);
	json_decref(json);
}

Test(http, a_brief_list_of_runs_leaves_out_long_calls_and_results)
{
	LW_AUTO(lw_free) char *text = calloc(1, 2000);
	LW_AUTO(lw_free) char *body = NULL;
	const json_t *runs;
	json_t *json;

	memset(text, 'x', 1999);
	body = lw_format("{\"args\":[\"%s\"]}", text);
	cr_assert_eq(exchange("POST", "works/train/run?wait=false", "{\"args\":[1]}", &json), 200);
	json_decref(json);
	cr_assert_eq(exchange("POST", "works/train/run?wait=false", body, &json), 200);
	json_decref(json);
	cr_assert_eq(exchange("GET", "runs?brief=true", "", &json), 200);
	runs = json_object_get(json, "runs");
	cr_expect(json_is_null(json_object_get(json_array_get(runs, 0), "args")));
	cr_expect_eq(json_array_size(json_object_get(json_array_get(runs, 1), "args")), 1u);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(runs, 1), "work")),
			 "train");
	cr_expect_null(json_object_get(json_array_get(runs, 1), "result"));
	json_decref(json);
}

Test(http, text_in_a_call_may_hold_a_nul)
{
	json_t *json;
	const json_t *text;

	cr_assert_eq(
		exchange("POST", "works/train/run?wait=false", "{\"args\":[\"a\\u0000b\"]}", &json),
		200);
	text = json_array_get(json_object_get(json, "args"), 0);
	cr_expect_eq(json_string_length(text), 3u);
	json_decref(json);
}

Test(http, one_work_tells_its_latest_call)
{
	json_t *json;

	cr_assert_eq(exchange("GET", "works/train", "", &json), 200);
	cr_expect(json_is_null(json_object_get(json, "latest")));
	json_decref(json);
	call_and_fail("{\"args\":[5]}");
	cr_assert_eq(exchange("GET", "works/train", "", &json), 200);
	cr_expect_str_eq(
		json_string_value(json_object_get(json_object_get(json, "latest"), "stage")),
		"failed");
	json_decref(json);
}

/* Of a brief list of works: what stands in a row below a name, or NULL. */
static const json_t *cell(const json_t *json, size_t row, const char *name)
{
	const json_t *columns = json_object_get(json, "columns");
	const json_t *works = json_object_get(json, "works");
	size_t i = 0;

	while (i < json_array_size(columns) &&
	       strcmp(json_string_value(json_array_get(columns, i)), name) != 0)
		i++;
	return json_array_get(json_array_get(works, row), i);
}

Test(http, a_brief_row_ends_with_its_last_value)
{
	json_t *json;

	cr_assert_eq(exchange("GET", "works?brief=1", "", &json), 200);
	cr_expect_str_eq(json_string_value(cell(json, 0, "name")), "train");
	cr_expect_str_eq(json_string_value(cell(json, 0, "stage")), "not_started");
	cr_expect_eq(json_integer_value(cell(json, 0, "hits")), 0);
	cr_expect_null(cell(json, 0, "reason"));
	json_decref(json);
	work_pause(work, "uid 7");
	cr_assert_eq(exchange("GET", "works?brief=1", "", &json), 200);
	cr_expect(json_is_null(cell(json, 0, "reason")));
	cr_expect(json_is_object(cell(json, 0, "paused")));
	cr_expect_null(cell(json, 0, "ready"));
	json_decref(json);
	work_resume(work);
	cr_assert_eq(exchange("GET", "status?brief=1&usage=1", "", &json), 200);
	cr_expect_not_null(cell(json, 0, "usage"));
	json_decref(json);
}

Test(http, a_process_tells_its_run_and_the_progress_of_it)
{
	struct worker *worker = work->workers[0];
	struct run *run;
	json_t *json;
	const json_t *process;

	cr_assert_eq(exchange("POST", "works/train/run?wait=false", "", &json), 200);
	json_decref(json);
	run = work->queue.first;
	run_list_remove(&work->queue, run);
	run_list_append(&worker->runs, run);
	work_on_begun(work, run);
	run->progress = 0.25;
	cr_assert_eq(exchange("GET", "works/train", "", &json), 200);
	process = json_array_get(json_object_get(json, "processes"), 0);
	cr_expect_eq(json_integer_value(json_object_get(process, "run")), 1);
	cr_expect_eq(json_real_value(json_object_get(process, "progress")), 0.25);
	json_decref(json);
	cr_assert_eq(exchange("GET", "works?brief=1", "", &json), 200);
	cr_expect_eq(json_real_value(cell(json, 0, "progress")), 0.25);
	json_decref(json);
	run_list_remove(&worker->runs, run);
	run_list_append(&work->queue, run);
}

/* ---- the audit ---------------------------------------------------------------------------------------------- */

static struct lw_buf audited;

static void keep_audit(void *context, enum lw_log_level level, const char *line)
{
	const char *verb = strstr(line, "verb=");

	(void)context;
	(void)level;
	if (strncmp(line, "audit ", 6) == 0 && verb != NULL)
		lw_buf_printf(&audited, "%s\n", verb + 5);
}

Test(http, every_order_leaves_a_line_with_verb_call_and_refusal)
{
	/* clang-format off */
	static const struct { const char *method, *target, *body, *line; } rows[] = {
		{ "GET",   "status", "", "" },
		{ "POST",  "works/train/explain", "{\"args\":[1]}", "" },
		{ "POST",  "works/train/run?wait=false", "{\"args\":[1],\"kwargs\":{\"lr\":0.5}}", "run work=train call=\"(1, lr=0.5)\"\n" },
		{ "POST",  "works/train/run?wait=false", "", "run work=train call=\"()\"\n" },
		{ "POST",  "works/train/forget", "{\"all\":true}", "forget work=train call=all\n" },
		{ "POST",  "works/train/retry", "{\"args\":[9]}", "retry work=train call=\"(9)\" refused=\"work 'train' has no failed or stopped run of that call to retry\"\n" },
		{ "POST",  "works/trian/kill", "", "kill work=trian refused=\"no work 'trian'\"\n" },
		{ "POST",  "works/x%22%20y/kill", "", "kill work=\"x\\\" y\" refused=\"no work 'x\\\" y'\"\n" },
		{ "POST",  "works/train/run", "{\"args\":3}", "run work=train refused=\"'args' is no list\"\n" },
		{ "PATCH", "state", "{\"a\":1}", "state\n" },
		{ "POST",  "app/stop?wait=false", "", "shutdown\n" },
	};
	/* clang-format on */

	lw_log_to(keep_audit, NULL);
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		json_t *json;

		audited.size = 0;
		(void)exchange(rows[i].method, rows[i].target, rows[i].body, &json);
		json_decref(json);
		cr_expect_str_eq(lw_buf_text(&audited), rows[i].line);
	}
	lw_log_to(NULL, NULL);
	lw_buf_done(&audited);
}

Test(http, a_client_that_goes_away_ends_its_waiting_and_not_the_run)
{
	struct client client = ask("POST", "works/train/run", "{\"args\":[1]}");
	double deadline = now() + PATIENCE / 1e6;

	await_queue(1);
	cr_assert_not_null(work->queue.first->watchers);
	hang_up(&client);
	while (http_client_count(http) > 0 && now() < deadline)
		one_turn();
	cr_expect_eq(http_client_count(http), 0u);
	cr_assert_eq(work->queue.count, 1u);
	cr_expect_null(work->queue.first->watchers);
	succeed(take_of(work));
	cr_expect_eq(work->stage_counts[STAGE_SUCCEEDED], 1u);
}

Test(http, a_work_that_an_operator_holds_answers_without_a_run)
{
	json_t *json;

	cr_assert_eq(exchange("POST", "works/train/stop", "", &json), 200);
	cr_expect(json_is_true(json_object_get(json, "held")));
	json_decref(json);
	cr_assert_eq(exchange("POST", "works/train/run", "", &json), 200);
	cr_expect(json_is_null(json_object_get(json, "id")));
	cr_expect_str_eq(json_string_value(json_object_get(json, "stage")), "stopped");
	cr_expect_str_eq(json_string_value(json_object_get(json, "decision")), "held");
	json_decref(json);
}

Test(http, who_waits_for_a_start_hears_of_a_stop)
{
	struct client client;
	json_t *json;

	app_work(app, "train")->workers[0]->state = WORKER_QUEUED; /* its turn never comes */
	client = ask("POST", "works/train/start", "");
	for (int i = 0; i < 10; i++)
		one_turn();
	cr_assert_eq(exchange("POST", "works/train/stop", "", &json), 200);
	json_decref(json);
	cr_expect_not_null(strstr(await_answer(&client), "409 Conflict"));
	hang_up(&client);
}

Test(http, who_waits_when_the_server_closes_is_told)
{
	struct client client = ask("POST", "works/train/run", "");
	struct client closer = ask("POST", "app/stop", "");

	await_queue(1);
	while (app->stage != APP_OVER && app->stage != APP_STOPPING)
		one_turn();
	http_free(http);
	http = NULL;
	cr_expect_not_null(strstr(await_answer(&client), "503"));
	cr_expect_not_null(strstr(await_answer(&closer), "{\"stopped\":true}"));
	hang_up(&client);
	hang_up(&closer);
}

/* ---- hostile clients ---------------------------------------------------------------------------------------- */

static void expect_refused(const void *bytes, size_t size, const char *status)
{
	struct client client = dial();
	json_t *json;

	say(&client, bytes, size);
	await_close(&client);
	cr_expect_not_null(strstr(lw_buf_text(&client.in), status), "%s: '%s'", status,
			   lw_buf_text(&client.in));
	hang_up(&client);
	cr_expect_eq(exchange("GET", "status", "", &json), 200, "others are served");
	json_decref(json);
}

Test(http, garbage_is_refused_and_costs_only_its_own_connection)
{
	uint8_t garbage[512];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)(i * 37 + 11);
	memcpy(garbage + sizeof(garbage) - 4, "\r\n\r\n", 4);
	expect_refused(garbage, sizeof(garbage), "400 Bad Request");
}

Test(http, a_head_that_does_not_end_is_refused)
{
	LW_AUTO_BUF head = { 0 };

	lw_buf_printf(&head, "GET / HTTP/1.1\r\n");
	while (head.size < 3 * HTTP_HEAD_MAX)
		lw_buf_printf(&head, "X-Filler: %0100d\r\n", 7);
	expect_refused(head.data, head.size, "431 ");
}

Test(http, a_body_that_is_too_large_is_refused_before_it_comes)
{
	static const char head[] = "POST /api/v1/works/train/run HTTP/1.1\r\n"
				   "Content-Length: 20971521\r\n\r\n";

	expect_refused(head, sizeof(head) - 1, "413 ");
}

Test(http, half_a_request_is_refused_when_its_time_is_over)
{
	static const char half[] = "GET /api/v1/status HTTP/1.1\r\nHost: ";

	http_set_deadline(http, 50000);
	expect_refused(half, sizeof(half) - 1, "not whole within");
	expect_refused("PATCH /api/v1/state HTTP/1.1\r\nContent-Length: 5\r\n\r\n{", 51,
		       "not whole within");
}

Test(http, a_client_that_says_nothing_is_closed)
{
	struct client client = dial();

	http_set_deadline(http, 50000);
	await_close(&client);
	cr_expect_eq(client.in.size, 0u);
	hang_up(&client);
}

Test(http, another_user_is_turned_away_even_when_the_socket_lets_him_in)
{
	struct client client;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_eq(chmod(state_dir, 0755), 0);
	cr_assert_eq(chmod(path, 0666), 0);
	cr_assert_eq(seteuid(65534), 0);
	client = dial();
	cr_assert_eq(seteuid(0), 0);
	await_close(&client);
	cr_expect_not_null(strstr(lw_buf_text(&client.in), "403 Forbidden"), "%s",
			   lw_buf_text(&client.in));
	cr_expect_eq(http_client_count(http), 0u);
	hang_up(&client);
}

Test(http, the_65th_client_is_told_and_the_others_stay)
{
	struct client clients[HTTP_CONTROL_MAX];
	struct client one_more;
	json_t *json;

	for (size_t i = 0; i < HTTP_CONTROL_MAX; i++)
		clients[i] = dial();
	one_more = dial();
	await_close(&one_more);
	cr_expect_not_null(strstr(lw_buf_text(&one_more.in), "503"));
	cr_expect_eq(http_client_count(http), (size_t)HTTP_CONTROL_MAX);
	for (size_t i = 0; i < HTTP_CONTROL_MAX; i++)
		hang_up(&clients[i]);
	hang_up(&one_more);
	while (http_client_count(http) > 0)
		one_turn();
	cr_expect_eq(exchange("GET", "status", "", &json), 200);
	json_decref(json);
}

Test(http, a_client_that_stops_reading_holds_up_nobody_and_is_not_buffered_for)
{
	static const char request[] = "GET /api/v1/status HTTP/1.1\r\n\r\n";
	struct client client;
	size_t sent = 0;
	double longest = 0;
	json_t *json;

	for (int i = 0; i < 1000; i++) {
		LW_AUTO(lw_free) char *name = lw_format("work-%d", i);

		add_work(settings(name));
	}
	client = dial();
	for (int i = 0; i < 2000; i++) {
		double before = now();
		ssize_t n =
			send(client.fd, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		one_turn();
		if (now() - before > longest)
			longest = now() - before;
	}
	/* Under valgrind everything is slow. */
	cr_expect_lt(longest, (getenv("LW_NET") != NULL ? 5.0 : 0.5), "a turn took %g s", longest);
	/* It asked a thousand times and read nothing: beyond the socket's buffer and 64 KiB of
	 * read-ahead nothing of it was taken in. */
	cr_expect_lt(sent, (size_t)1 << 20);
	cr_expect_eq(exchange("GET", "works/train", "", &json), 200);
	json_decref(json);
	cr_expect_gt(strlen(await_answer(&client)), 100000u, "it may read on whenever it likes");
	hang_up(&client);
}

/* ---- a sender that looks at nothing ------------------------------------------------------------- */

static size_t gone_count;

static void note_gone(struct http_request *request, bool server_closes)
{
	(void)request;
	(void)server_closes;
	gone_count++;
}

static int admit_anyone(int fd, struct http_peer *ret_peer, struct lw_err *err)
{
	(void)fd;
	(void)err;
	*ret_peer = (struct http_peer){ .uid = geteuid() };
	return 0;
}

static void send_without_end(struct http_request *request)
{
	static const char part[64 << 10];

	request->gone = note_gone;
	http_stream(request, "text/plain");
	for (int i = 0; i < 1000; i++)
		http_send(request, part, sizeof(part));
	cr_expect_leq(http_unsent(request), HTTP_UNSENT_MAX + 2 * sizeof(part));
}

Test(http, a_stream_whose_client_is_a_mebibyte_behind_is_closed)
{
	static const struct http_door door = { .most = 4,
					       .admit = admit_anyone,
					       .serve = send_without_end };
	LW_AUTO(lw_free) char *other = lw_format("%s/other.sock", state_dir);
	struct lw_err err = { 0 };
	struct http *server = http_listen(app, &door, lw_socket_bind(other, &err));
	struct client client = { .fd = lw_socket_dial(other, &err) };

	gone_count = 0;
	cr_assert_geq(client.fd, 0, "%s", err.text);
	say(&client, "GET / HTTP/1.1\r\n\r\n", 18);
	await_close(&client);
	cr_expect_eq(gone_count, 1u);
	cr_expect_eq(http_client_count(server), 0u);
	cr_expect_lt(client.in.size, 2 * HTTP_UNSENT_MAX);
	hang_up(&client);
	http_free(server);
	(void)unlink(other);
}
