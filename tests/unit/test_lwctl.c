/* links: lw_control
 *
 * test_lwctl.c - the command line, the arguments of a call, answers, and tables. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lw_statedir.h"
#include "lwctl.h"

#define ARGS_MAX 8

static int parse(const char *const *argv, const char **room, struct options *options,
		 struct lw_err *err)
{
	int argc = 0;

	while (argv[argc] != NULL)
		argc++;
	return options_parse(argc, argv, room, options, err);
}

Test(lwctl, options_are_taken_before_and_behind_the_verb)
{
	/* clang-format off */
	static const struct { const char *argv[ARGS_MAX]; int given; size_t words; } rows[] = {
		{ { "lwctl" }, 0, 0 },
		{ { "lwctl", "status" }, 0, 1 },
		{ { "lwctl", "-c", "a.conf", "status", "--json" }, OPT_CONF | OPT_JSON, 1 },
		{ { "lwctl", "status", "-ca.conf" }, OPT_CONF, 1 },
		{ { "lwctl", "status", "--config=a.conf" }, OPT_CONF, 1 },
		{ { "lwctl", "run", "w", "--wait", "[1]" }, OPT_WAIT, 3 },
		{ { "lwctl", "run", "--", "--wait", "[1]" }, 0, 3 },
		{ { "lwctl", "runs", "w", "--limit", "5" }, OPT_LIMIT, 2 },
		{ { "lwctl", "runs", "--failed", "--since=2h", "--before", "7" }, OPT_FAILED | OPT_SINCE | OPT_BEFORE, 1 },
		{ { "lwctl", "runs", "--stage", "stopped" }, OPT_STAGE, 1 },
		{ { "lwctl", "forget", "w", "--older-than", "7d" }, OPT_OLDER, 2 },
		{ { "lwctl", "shutdown", "--keep-works" }, OPT_KEEP, 1 },
		{ { "lwctl", "reload", "--dry-run" }, OPT_DRY, 1 },
		{ { "lwctl", "run", "w", "-" }, 0, 3 },
		{ { "lwctl", "-h" }, OPT_HELP, 0 },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		const char *room[ARGS_MAX];
		struct options options;
		struct lw_err err = { 0 };

		cr_assert_eq(parse(rows[i].argv, room, &options, &err), 0, "row %zu: %s", i,
			     err.text);
		cr_expect_eq(options.given, rows[i].given, "row %zu", i);
		cr_expect_eq(options.word_count, rows[i].words, "row %zu", i);
		if ((options.given & OPT_CONF) != 0)
			cr_expect_str_eq(options.conf, "a.conf");
	}
}

Test(lwctl, what_is_wrong_with_an_option_is_said)
{
	/* clang-format off */
	static const struct { const char *argv[ARGS_MAX]; const char *part; } rows[] = {
		{ { "lwctl", "--jsno" }, "unknown option '--jsno'" },
		{ { "lwctl", "-x" }, "unknown option '-x'" },
		{ { "lwctl", "-c" }, "needs a value" },
		{ { "lwctl", "--json=1" }, "takes no value" },
		{ { "lwctl", "--limit", "x" }, "a number" },
		{ { "lwctl", "--limit", "0" }, "from 1 to 1000, not '0'" },
		{ { "lwctl", "--limit", "2.5" }, "from 1 to 1000" },
		{ { "lwctl", "--limit", "1001" }, "from 1 to 1000" },
		{ { "lwctl", "--timeout", "-1" }, "from 0.001 to 1000000000, not '-1'" },
		{ { "lwctl", "--timeout", "nan" }, "a number" },
		{ { "lwctl", "--wait", "--no-wait" }, "both" },
		{ { "lwctl", "--failed", "--stage", "failed" }, "--failed and --stage are both given" },
		{ { "lwctl", "--stage", "done" }, "pending, running, succeeded, failed or stopped, not 'done'" },
		{ { "lwctl", "--since", "yesterday" }, "a time ago (90s, 2h, 7d), a local time" },
		{ { "lwctl", "--before", "0" }, "the number of a run, not '0'" },
		{ { "lwctl", "--before", "9999999999999999999" }, "the number of a run" },
		{ { "lwctl", "--older-than", "7" }, "a number and a unit" },
		{ { "lwctl", "--dry-run=yes" }, "takes no value" },
		{ { "lwctl", "-n", "-1" }, "'--lines' takes a number, or all, not '-1'" },
		{ { "lwctl", "--run", "0" }, "'--run' takes the number of a run" },
		{ { "lwctl", "--stream", "both" }, "out or err, not 'both'" },
		{ { "lwctl", "-f=yes" }, "takes no value" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		const char *room[ARGS_MAX];
		struct options options;
		struct lw_err err = { 0 };

		cr_assert_eq(parse(rows[i].argv, room, &options, &err), -EINVAL, "row %zu", i);
		cr_expect_not_null(strstr(err.text, rows[i].part), "%s", err.text);
	}
}

Test(lwctl, a_moment_is_a_time_ago_a_local_time_or_seconds)
{
	/* clang-format off */
	static const struct { const char *text; double seconds; } rows[] = { /* now is 1e9 */
		{ "0s", 1e9 }, { "90s", 1e9 - 90 }, { "2h", 1e9 - 7200 }, { "1.5d", 1e9 - 129600 },
		{ "500ms", 1e9 - 0.5 }, { "30m", 1e9 - 1800 },
		{ "@0", 0 }, { "@1764000000.25", 1764000000.25 },
		{ "2026-11-25 10:00", 1795597200 }, { "2026-11-25T10:00:01", 1795597201 },
		{ "03:00", 999997200 }, { "03:46:40", 1e9 }, { "10:00", 1e9 - 64000 }, /* yesterday */
		{ "2026-11-25", 1795561200 }, { "2026-07-01 10:00", 1782892800 },
	};
	static const char *const wrong[] = { "", "2", "h", "-2h", "+2h", "2w", "2h ", "@", "@-1", "@x",
					     "@1e99", "2026-02-30", "2026-13-01", "2026-11-25 25:00",
					     "2026-11-25 10", "25:00", "10:60", "10:", "1e9d", "nan", "inf" };
	/* clang-format on */

	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		double seconds = -1;

		cr_assert_eq(moment_parse(rows[i].text, 1e9, &seconds), 0, "%s", rows[i].text);
		cr_expect_eq(seconds, rows[i].seconds, "%s: %f", rows[i].text, seconds);
	}
	for (size_t i = 0; i < LW_COUNT(wrong); i++) {
		double seconds;

		cr_expect_eq(moment_parse(wrong[i], 1e9, &seconds), -EINVAL, "'%s'", wrong[i]);
	}
}

Test(lwctl, a_call_is_lists_objects_and_pairs)
{
	/* clang-format off */
	static const struct { const char *words[ARGS_MAX]; const char *json; } rows[] = {
		{ { NULL }, NULL },
		{ { "[]" }, "{\"args\":[]}" },
		{ { "[1,\"a\"]" }, "{\"args\":[1,\"a\"]}" },
		{ { "{\"lr\":0.5}" }, "{\"kwargs\":{\"lr\":0.5}}" },
		{ { "lr=0.5", "name=x", "[2]" }, "{\"args\":[2],\"kwargs\":{\"lr\":0.5,\"name\":\"x\"}}" },
		{ { "a=[1,2]", "b={\"c\":null}" }, "{\"kwargs\":{\"a\":[1,2],\"b\":{\"c\":null}}}" },
		{ { "a=true", "b=null", "c=\"7\"", "d=7" }, "{\"kwargs\":{\"a\":true,\"b\":null,\"c\":\"7\",\"d\":7}}" },
		{ { "[\"a\\u0000b\"]", "c=\"\\u0000\"" }, "{\"args\":[\"a\\u0000b\"],\"kwargs\":{\"c\":\"\\u0000\"}}" },
		{ { "a=", "b=x=y" }, "{\"kwargs\":{\"a\":\"\",\"b\":\"x=y\"}}" },
		{ { "{\"a\":1}", "b=2" }, "{\"kwargs\":{\"a\":1,\"b\":2}}" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		json_t *expected =
			rows[i].json != NULL ? json_loads(rows[i].json, JSON_READ, NULL) : NULL;
		struct lw_err err = { 0 };
		json_t *body = NULL;
		size_t count = 0;

		while (rows[i].words[count] != NULL)
			count++;
		cr_assert_eq(call_parse(rows[i].words, count, &body, &err), 0, "%s", err.text);
		if (expected == NULL)
			cr_expect_null(body);
		else
			cr_expect(json_equal(body, expected), "row %zu", i);
		json_decref(body);
		json_decref(expected);
	}
}

Test(lwctl, a_word_that_is_no_argument_is_an_error_with_a_way_out)
{
	/* clang-format off */
	static const struct { const char *words[ARGS_MAX]; const char *part; } rows[] = {
		{ { "today" }, "'[\"today\"]'" },
		{ { "5" }, "'5' is no argument: write '[5]' for" },
		{ { "\"x\"" }, "write '[\"x\"]' for" },
		{ { "it's" }, "'[\"it'\\''s\"]' for a positional one, 'name=it'\\''s' for" },
		{ { "5=6" }, "is no argument" },
		{ { "=x" }, "a name is missing before '='" },
		{ { "\xff" }, "UTF-8" },
		{ { "[1" }, "no JSON" },
		{ { "{a:1}" }, "no JSON" },
		{ { "[1]", "[2]" }, "two lists" },
		{ { "a=1", "a=2" }, "'a' is given twice" },
		{ { "{\"a\":1}", "a=2" }, "'a' is given twice" },
		{ { "a=\xff" }, "UTF-8" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct lw_err err = { 0 };
		json_t *body = NULL;
		size_t count = 0;

		while (rows[i].words[count] != NULL)
			count++;
		cr_assert_eq(call_parse(rows[i].words, count, &body, &err), -EINVAL, "row %zu", i);
		cr_expect_not_null(strstr(err.text, rows[i].part), "%s", err.text);
	}
}

Test(lwctl, a_patch_of_the_state_is_an_object_or_pairs)
{
	/* clang-format off */
	static const struct { const char *words[ARGS_MAX]; const char *json, *part; } rows[] = {
		{ { NULL }, NULL, NULL },
		{ { "{\"a\":null}", "b=2" }, "{\"a\":null,\"b\":2}", NULL },
		{ { "x" }, NULL, "write name=value, or a JSON object" },
		{ { "[1]" }, NULL, "write name=value, or a JSON object" },
		{ { "=1" }, NULL, "a name is missing" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		struct lw_err err = { 0 };
		json_t *patch = NULL;
		json_t *expected = NULL;
		size_t count = 0;
		int r;

		while (rows[i].words[count] != NULL)
			count++;
		if (rows[i].json != NULL)
			expected = json_loads(rows[i].json, JSON_READ, NULL);
		r = patch_parse(rows[i].words, count, &patch, &err);
		cr_expect_eq(r, rows[i].part != NULL ? -EINVAL : 0, "row %zu", i);
		if (rows[i].part != NULL)
			cr_expect_not_null(strstr(err.text, rows[i].part), "%s", err.text);
		cr_expect_null(strstr(err.text, "positional"), "%s", err.text);
		cr_expect(expected == NULL ? patch == NULL : json_equal(patch, expected) != 0,
			  "row %zu", i);
		json_decref(patch);
		json_decref(expected);
	}
}

/* The words that a shell makes of `line`. */
static size_t shell_words(const char *line, char words[ARGS_MAX][100])
{
	LW_AUTO(lw_free) char *command = lw_format("printf '%%s\\n' %s", line);
	FILE *shell = popen(command, "r");
	size_t count = 0;

	cr_assert_not_null(shell);
	while (count < ARGS_MAX && fgets(words[count], 100, shell) != NULL) {
		words[count][strcspn(words[count], "\n")] = '\0';
		count++;
	}
	cr_assert_eq(pclose(shell), 0);
	return count;
}

Test(lwctl, a_call_that_is_shown_can_be_pasted)
{
	static const char *const bodies[] = {
		"{\"args\":[1000]}",
		"{\"args\":[]}",
		"{\"args\":[\"it's $HOME\",0.1,1e300,null]}",
		"{\"args\":[1],\"kwargs\":{\"a b\":\"\\u0000\\n\\\"\"}}",
		"{\"kwargs\":{\"t\xc3\xa4g\":\"\\u009b2J\"}}",
	};

	for (size_t i = 0; i < LW_COUNT(bodies); i++) {
		json_t *body = json_loads(bodies[i], JSON_READ, NULL);
		char words[ARGS_MAX][100];
		const char *argv[ARGS_MAX];
		struct lw_err err = { 0 };
		json_t *again = NULL;
		LW_AUTO_BUF line = { 0 };
		size_t count;

		cr_assert_not_null(body);
		quote_call(&line, json_object_get(body, "args"), json_object_get(body, "kwargs"));
		cr_expect_null(strstr(lw_buf_text(&line), "\xc2\x9b"));
		count = shell_words(lw_buf_text(&line), words);
		for (size_t k = 0; k < count; k++)
			argv[k] = words[k];
		cr_assert_eq(call_parse(argv, count, &again, &err), 0, "%s", err.text);
		cr_expect(json_equal(body, again), "%s", lw_buf_text(&line));
		json_decref(body);
		json_decref(again);
	}
}

Test(lwctl, a_word_is_quoted_only_when_it_must_be)
{
	/* clang-format off */
	static const struct { const char *word, *quoted; } rows[] = {
		{ "sleeper", "sleeper" }, { "", "''" }, { "a b", "'a b'" },
		{ "it's", "'it'\\''s'" }, { "./app.conf", "./app.conf" }, { "*", "'*'" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO_BUF out = { 0 };

		quote_word(&out, rows[i].word);
		cr_expect_str_eq(lw_buf_text(&out), rows[i].quoted);
	}
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void expect_answer(const char *text, int status, const char *body)
{
	size_t size = strlen(text);

	for (size_t cut = 0; cut <= size; cut++) {
		struct lw_slice in = { (const uint8_t *)text, cut };
		struct reply reply = { 0 };
		struct lw_err err = { 0 };

		cr_assert_eq(client_parse(in, false, &reply, &err), cut == size, "cut at %zu", cut);
		if (cut < size)
			continue;
		cr_expect_eq(reply.status, status);
		cr_expect_str_eq((const char *)reply.body.data, body);
		lw_buf_done(&reply.body);
	}
}

Test(lwctl, an_answer_is_taken_when_it_is_whole)
{
	expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n", 200, "{}\n");
	expect_answer("HTTP/1.1 404 Not Found\r\ncontent-length:2\r\n\r\nno", 404, "no");
	expect_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		      "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		      200, "abc");
	expect_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		      200, "x");
}

Test(lwctl, any_number_of_answers_may_say_that_there_will_be_one)
{
	static const char wait[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct reply reply = { 0 };
	struct lw_err err = { 0 };
	LW_AUTO_BUF in = { 0 };

	for (int i = 0; i < 200000; i++)
		lw_buf_add(&in, wait, sizeof(wait) - 1);
	cr_expect_eq(client_parse(lw_buf_slice(&in), false, &reply, &err), 0, "%s", err.text);
}

Test(lwctl, an_answer_that_is_no_http_is_an_error)
{
	static const char *const texts[] = {
		"220 smtp ready, go on\r\n\r\n", "HTTP/1.1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
	};

	for (size_t i = 0; i < LW_COUNT(texts); i++) {
		struct lw_slice in = { (const uint8_t *)texts[i], strlen(texts[i]) };
		struct reply reply = { 0 };
		struct lw_err err = { 0 };

		cr_expect_eq(client_parse(in, true, &reply, &err), -EBADMSG, "%s", texts[i]);
	}
}

/* Answers one request with these bytes, so many at a time, and closes. */
static void serve(int listener, const char *text, size_t piece)
{
	int fd = -1;
	char request[512];

	while (fd < 0)
		fd = accept(listener, NULL, NULL);
	if (recv(fd, request, sizeof(request), 0) <= 0)
		_exit(1);
	for (size_t at = 0, size = strlen(text); at < size; at += piece)
		if (send(fd, text + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL) < 0)
			_exit(1);
	_exit(0);
}

static int take_piece(void *context, struct lw_slice bytes, struct lw_err *err)
{
	lw_buf_add(context, bytes.data, bytes.size);
	if (memchr(bytes.data, '!', bytes.size) != NULL)
		return lw_err_set(err, -ECANCELED, "that is enough");
	return 0;
}

/* What client_stream() makes of it; what the sink got is in `seen`. */
static int stream_of(const char *text, size_t piece, struct lw_buf *seen, struct reply *reply,
		     struct lw_err *err)
{
	const struct client_sink sink = { take_piece, seen };
	char folder[] = "/tmp/test_lwctl.XXXXXX", path[64];
	int listener, status, r;
	pid_t pid;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	listener = lw_socket_bind(path, err);
	cr_assert_geq(listener, 0);
	cr_assert_eq(fcntl(listener, F_SETFL, 0), 0);
	pid = fork();
	if (pid == 0)
		serve(listener, text, piece);
	r = client_stream(path, "/x", &sink, reply, err);
	close(listener);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	unlink(path);
	rmdir(folder);
	return r;
}

#define IN_CHUNKS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(lwctl, an_answer_in_pieces_is_handed_out_as_it_comes)
{
	static const size_t pieces[] = { 1, 2, 3, 1000 };

	for (size_t i = 0; i < LW_COUNT(pieces); i++) {
		LW_AUTO_BUF seen = { 0 };
		struct reply reply = { 0 };
		struct lw_err err = { 0 };
		int r = stream_of(IN_CHUNKS
				  "2\r\nab\r\n1;x=y\r\n\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
				  pieces[i], &seen, &reply, &err);

		cr_expect_eq(r, 0, "%s", err.text);
		cr_expect_eq(reply.status, 200);
		cr_expect_str_eq(lw_buf_text(&seen), "ab\n01234567890");
	}
}

Test(lwctl, an_answer_in_pieces_that_breaks_off_is_an_error_and_what_came_was_handed_out)
{
	LW_AUTO_BUF seen = { 0 };
	struct reply reply = { 0 };
	struct lw_err err = { 0 };

	cr_expect_eq(stream_of(IN_CHUNKS "2\r\nab\r\n5\r\ncd", 4, &seen, &reply, &err), -EPIPE);
	cr_expect_str_eq(lw_buf_text(&seen), "abcd");
	cr_expect_eq(stream_of(IN_CHUNKS "1\r\n!\r\nzz\r\n", 100, &seen, &reply, &err), -ECANCELED);
	cr_expect_eq(stream_of(IN_CHUNKS "zz\r\n", 100, &seen, &reply, &err), -EBADMSG);
}

Test(lwctl, instead_of_pieces_an_error_is_a_reply)
{
	LW_AUTO_BUF seen = { 0 };
	struct reply reply = { 0 };
	struct lw_err err = { 0 };

	cr_expect_eq(stream_of("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 5, &seen,
			       &reply, &err),
		     0);
	cr_expect_eq(reply.status, 404);
	cr_expect_str_eq((const char *)reply.body.data, "no");
	cr_expect_eq(seen.size, 0);
	lw_buf_done(&reply.body);
}

Test(lwctl, a_name_is_encoded_as_one_segment_of_a_path)
{
	LW_AUTO(lw_free) char *encoded = client_encode("t\xc3\xa4g/x y?");

	cr_expect_str_eq(encoded, "t%C3%A4g%2Fx%20y%3F");
}

/* ---- verbs without a supervisor ------------------------------------------------------------------ */

static int run(const char *const *argv)
{
	int argc = 0;

	while (argv[argc] != NULL)
		argc++;
	return lwctl_main(argc, argv);
}

Test(lwctl, exit_status_tells_usage_from_no_supervisor)
{
	/* clang-format off */
	static const struct { const char *argv[ARGS_MAX]; int status; } rows[] = {
		{ { "lwctl" }, LWCTL_USAGE },
		{ { "lwctl", "stauts" }, LWCTL_USAGE },
		{ { "lwctl", "kill" }, LWCTL_USAGE },
		{ { "lwctl", "kill", "a", "b" }, LWCTL_USAGE },
		{ { "lwctl", "kill", "a", "--limit", "3" }, LWCTL_USAGE },
		{ { "lwctl", "run", "a", "today" }, LWCTL_USAGE },
		{ { "lwctl", "forget", "a" }, LWCTL_USAGE },
		{ { "lwctl", "forget", "a", "[]", "--all" }, LWCTL_USAGE },
		{ { "lwctl", "forget", "a", "--all", "--older-than", "7d" }, LWCTL_USAGE },
		{ { "lwctl", "forget", "a", "[]", "--older-than", "7d" }, LWCTL_USAGE },
		{ { "lwctl", "retry", "a", "--older-than", "7d" }, LWCTL_USAGE },
		{ { "lwctl", "show" }, LWCTL_USAGE },
		{ { "lwctl", "backup" }, LWCTL_USAGE },
		{ { "lwctl", "backup", "" }, LWCTL_USAGE },
		{ { "lwctl", "backup", "\xff" }, LWCTL_USAGE },
		{ { "lwctl", "stop", "a", "--keep-works" }, LWCTL_USAGE },
		{ { "lwctl", "status", "--failed" }, LWCTL_USAGE },
		{ { "lwctl", "state", "[1]" }, LWCTL_USAGE },
		{ { "lwctl", "state", "x" }, LWCTL_USAGE },
		{ { "lwctl", "retry", "a", "--wait" }, LWCTL_USAGE },
		{ { "lwctl", "forget", "a", "--all", "--wait" }, LWCTL_USAGE },
		{ { "lwctl", "help", "nothing" }, LWCTL_USAGE },
		{ { "lwctl", "help" }, LWCTL_DONE },
		{ { "lwctl", "help", "run" }, LWCTL_DONE },
		{ { "lwctl", "kill", "--help" }, LWCTL_DONE },
		{ { "lwctl", "--version" }, LWCTL_DONE },
		{ { "lwctl", "help", "--json" }, LWCTL_DONE },
		{ { "lwctl", "completion", "bash", "--json" }, LWCTL_USAGE },
		{ { "lwctl", "status", "--wtach" }, LWCTL_USAGE },
		{ { "lwctl", "status", "--socket", "/nonexistent/x.sock" }, LWCTL_NO_SUPERVISOR },
		{ { "lwctl", "status", "-c", "/tmp/no-such-app.conf" }, LWCTL_NO_SUPERVISOR },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		cr_expect_eq(run(rows[i].argv), rows[i].status, "row %zu", i);
}

/* ---- output ----------------------------------------------------------------------------------------- */

static char *printed(size_t width, bool colour, const char *answer)
{
	json_t *list = json_loads(answer, 0, NULL);
	struct screen screen = { .width = width, .colour = colour, .now = 1000 };
	char *text = NULL;
	size_t size = 0;

	cr_assert_not_null(list);
	screen.out = open_memstream(&text, &size);
	print_works(&screen, list);
	fclose(screen.out);
	json_decref(list);
	return text;
}

static const char one_work[] =
	"{\"columns\":[\"name\",\"stage\",\"since\",\"pid\",\"state\",\"queue\",\"misses\","
	"\"failed\","
	"\"hits\",\"reason\",\"message\",\"next_try\",\"last_death\",\"processes\"],\"works\":["
	"[\"a work with a rather long name indeed\",\"failed\",996.8,null,\"waiting to restart\","
	"2,7,4,9,\"exit status 3\",\"cannot\\u001b[2Jread\\nit\",3.2,\"exit status 1\"],"
	"[\"b\",\"failed\",null,null,null,0,0,0,0,null,\"cannot\\u001b[2Jread\\nit\",null,null,"
	"[{\"pid\":11,\"state\":\"idle\"},{\"pid\":12,\"state\":\"busy\"},{\"pid\":13,"
	"\"state\":\"idle\"}]]]}";

Test(lwctl, a_table_shows_when_a_work_is_tried_again_and_what_killed_it)
{
	LW_AUTO(lw_free) char *text = printed(0, false, one_work);

	cr_expect_not_null(strstr(text, "next try in 3.2 s; last: exit status 1"), "%s", text);
	cr_expect_not_null(strstr(text, "3.2 s ago"), "%s", text);
	cr_expect_not_null(strstr(text, "2 idle, 1 busy"), "%s", text);
	cr_expect_not_null(strstr(text, "a work with a rather long name indeed"), "%s", text);
}

Test(lwctl, what_a_work_wrote_cannot_steer_the_terminal)
{
	LW_AUTO(lw_free) char *text = printed(0, false, one_work);

	cr_expect_null(strchr(text, '\033'), "%s", text);
	cr_expect_not_null(strstr(text, "cannot?[2Jread it"), "%s", text);
}

Test(lwctl, lines_are_joined_by_one_blank)
{
	/* clang-format off */
	static const struct { const char *text, *clean; } rows[] = {
		{ "Traceback:\n\t  File x\r\nend", "Traceback: File x end" },
		{ "two  blanks\x01\xc2\x9b\xc3\xa4", "two  blanks??\xc3\xa4" },
		{ "", "" }, { "\n", " " }, { "\xc2", "\xc2" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO_BUF out = { 0 };

		print_clean(&out, rows[i].text);
		cr_expect_str_eq(lw_buf_text(&out), rows[i].clean);
	}
}

static size_t columns_of(const char *line)
{
	size_t columns = 0;

	for (; *line != '\0'; line++)
		columns += ((unsigned char)*line & 0xc0) != 0x80;
	return columns;
}

/* The titles of a table, one blank between two. */
static void titles_of(const char *line, char titles[100])
{
	size_t size = 0;

	for (; *line != '\0' && size < 98; line++)
		if (*line != ' ' || (size > 0 && titles[size - 1] != ' '))
			titles[size++] = *line;
	titles[size] = '\0';
}

Test(lwctl, a_narrow_terminal_costs_notes_then_names_then_columns_and_never_pids)
{
	/* clang-format off */
	static const struct { size_t width; const char *titles, *name; } rows[] = {
		{ 0,   "WORK STAGE SINCE PROCESSES QUEUE RUNS FAILED HITS NOTE", "a work with a rather long name indeed" },
		{ 150, "WORK STAGE SINCE PROCESSES QUEUE RUNS FAILED HITS NOTE", "a work with a rather long name indeed" },
		{ 130, "WORK STAGE SINCE PROCESSES QUEUE RUNS FAILED HITS NOTE", "a work with a rather long na" },
		{ 100, "WORK STAGE SINCE PROCESSES QUEUE RUNS FAILED HITS NOTE", "a work with" },
		{ 99,  "WORK STAGE SINCE PROCESSES QUEUE RUNS FAILED NOTE", "a work with" },
		{ 80,  "WORK STAGE SINCE PROCESSES QUEUE NOTE", "a work with" },
		{ 60,  "WORK STAGE SINCE PROCESSES", "a work with" },
		{ 45,  "WORK STAGE PROCESSES", "a work with" },
		{ 30,  "WORK STAGE", "a work with" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO(lw_free) char *text = printed(rows[i].width, false, one_work);
		bool pids = strstr(rows[i].titles, "PROCESSES") != NULL;
		char titles[100];

		cr_expect_eq(strstr(text, "waiting to restart") != NULL, pids, "%s", text);
		cr_expect_not_null(strstr(text, rows[i].name), "%zu:\n%s", rows[i].width, text);
		for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
			if (line == text) {
				titles_of(line, titles);
				cr_expect_str_eq(titles, rows[i].titles, "%zu: %s", rows[i].width,
						 titles);
			}
			if (rows[i].width > 0)
				cr_expect_leq(columns_of(line), rows[i].width, "%s", line);
		}
	}
}

/* One long cell does not make every line as long. */
Test(lwctl, where_nothing_is_cut_only_what_is_wide_stands_out)
{
	char wide[1001], *text, *end;
	LW_AUTO(lw_free) char *json = NULL;

	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	json = lw_format("{\"columns\":[\"name\",\"stage\"],\"works\":[[\"%s\",\"failed\"],"
			 "[\"b\",\"failed\"]]}",
			 wide);
	text = printed(0, false, json);
	end = strrchr(text, 'b');
	cr_expect_not_null(strstr(text, wide), "%s", text);
	cr_expect_lt(strlen(end), 150, "%s", end);
	lw_free(text);
}

Test(lwctl, colours_are_printed_only_when_asked_for)
{
	LW_AUTO(lw_free) char *text = printed(0, true, one_work);

	cr_expect_not_null(strstr(text, "\033[31mfailed\033[0m"), "%s", text);
}

Test(lwctl, durations_are_said_in_two_units_at_most)
{
	/* clang-format off */
	static const struct { double seconds; const char *text; } rows[] = {
		{ -1, "0 ms" }, { 0.0124, "12 ms" }, { 0.9996, "1.0 s" }, { 3.24, "3.2 s" },
		{ 59.97, "1m00s" }, { 75, "1m15s" }, { 245, "4m05s" }, { 3700, "1h01m" },
		{ 90000, "1d01h" }, { 1e300, "11574074d01h" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char text[32];

		print_duration(rows[i].seconds, text);
		cr_expect_str_eq(text, rows[i].text);
	}
}

Test(lwctl, sizes_are_said_in_two_digits)
{
	/* clang-format off */
	static const struct { int64_t bytes; const char *text; } rows[] = {
		{ -1, "0 B" }, { 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 126976, "124 KiB" },
		{ 1048000, "1023 KiB" }, { 1048570, "1.0 MiB" }, { 12345678, "12 MiB" }, { INT64_MAX, "8.0 EiB" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char text[32];

		print_bytes(rows[i].bytes, text);
		cr_expect_str_eq(text, rows[i].text);
	}
}

/* What print_work() or print_run() makes of an object. */
static char *printed_object(void (*print)(const struct screen *, const json_t *), const char *json)
{
	json_t *object = json_loads(json, JSON_READ, NULL);
	struct screen screen = { .now = 1000 };
	char *text = NULL;
	size_t size = 0;

	cr_assert_not_null(object);
	screen.out = open_memstream(&text, &size);
	print(&screen, object);
	fclose(screen.out);
	json_decref(object);
	return text;
}

Test(lwctl, a_work_shows_which_run_a_process_has_and_how_far_it_is)
{
	LW_AUTO(lw_free)
	char *text = printed_object(
		print_work, "{\"name\":\"w\",\"stage\":\"running\",\"processes\":[{\"pid\":7,"
			    "\"state\":\"busy\",\"run\":12,\"progress\":0.29,\"starts\":1}]}");

	cr_expect_not_null(strstr(text, "7 busy"), "%s", text);
	cr_expect_not_null(strstr(text, "pid 7, busy with run 12, 29 %, started once"), "%s", text);
}

/* What lay on the stack before is freed by a table that was not begun. */
static void leave_on_the_stack(void)
{
	volatile char room[4096];

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 0x55;
}

static void print_calls(const struct screen *screen, const json_t *calls)
{
	leave_on_the_stack();
	print_latest_calls(screen, calls);
}

Test(lwctl, a_work_that_was_never_called_has_no_table_of_calls)
{
	LW_AUTO(lw_free) char *text = printed_object(print_calls, "[]");

	cr_expect_str_eq(text, "");
}

Test(lwctl, a_run_shows_its_progress_while_it_runs_and_what_it_took_after_that)
{
	LW_AUTO(lw_free)
	char *running =
		printed_object(print_run, "{\"id\":1,\"stage\":\"running\",\"started\":996.8,"
					  "\"ended\":null,\"progress\":0.4}");
	LW_AUTO(lw_free)
	char *over = printed_object(print_run, "{\"id\":1,\"stage\":\"succeeded\",\"started\":5,"
					       "\"ended\":5.012,\"progress\":1}");

	cr_expect_not_null(strstr(running, "running    3.2 s, 40 %\n"), "%s", running);
	cr_expect_not_null(strstr(over, "took       12 ms\n"), "%s", over);
}

Test(lwctl, what_was_stopped_by_hand_points_to_retry)
{
	LW_AUTO(lw_free)
	char *text = printed_object(print_work,
				    "{\"name\":\"w\",\"stage\":\"stopped\",\"reason\":\"killed by "
				    "operator\",\"processes\":[]}");

	cr_expect_not_null(strstr(text, "killed by operator; retry runs it again"), "%s", text);
}

Test(lwctl, the_status_shows_the_size_of_the_journal)
{
	LW_AUTO(lw_free)
	char *text = printed_object(print_app,
				    "{\"path\":\"/a.conf\",\"stage\":\"running\",\"uptime\":3,"
				    "\"passes\":1,\"pid\":7,\"journal\":{\"bytes\":126976,"
				    "\"waiting\":0,\"error\":null}}");

	cr_expect_str_eq(text, "/a.conf: running, up 3.0 s, 1 pass, pid 7, journal 124 KiB\n");
}

/* What is piped ends in files and mails. */
Test(lwctl, the_address_of_the_page_has_its_token_on_a_terminal_alone)
{
	char folder[] = "/tmp/lw-view-XXXXXX";
	LW_AUTO(lw_free) char *path = NULL;
	LW_AUTO(lw_free) char *json = NULL;
	LW_AUTO(lw_free) char *piped = NULL;
	char *shown = NULL;
	size_t size = 0;
	FILE *file;
	json_t *app;
	struct screen screen = { .width = 80 };

	cr_assert_not_null(mkdtemp(folder));
	path = lw_format("%s/view.url", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs("http://127.0.0.1:7/view?token=0123\n", file);
	fclose(file);
	json = lw_format("{\"path\":\"/a.conf\",\"stage\":\"running\",\"state_dir\":\"%s\","
			 "\"view\":\"http://127.0.0.1:7/view\"}",
			 folder);
	piped = printed_object(print_app, json);
	cr_expect_not_null(strstr(piped, "\nview: http://127.0.0.1:7/view\n"), "%s", piped);
	app = json_loads(json, JSON_READ, NULL);
	screen.out = open_memstream(&shown, &size);
	print_app(&screen, app);
	fclose(screen.out);
	json_decref(app);
	cr_expect_not_null(strstr(shown, "\nview: http://127.0.0.1:7/view?token=0123\n"), "%s",
			   shown);
	free(shown);
	unlink(path);
	rmdir(folder);
}

Test(lwctl, a_journal_that_cannot_be_written_has_a_line_of_its_own)
{
	LW_AUTO(lw_free)
	char *text =
		printed_object(print_app, "{\"path\":\"/a.conf\",\"stage\":\"running\",\"journal\":"
					  "{\"bytes\":1,\"waiting\":7,\"error\":\"cannot write "
					  "'/s/journal.db': No space left on device\"}}");

	cr_expect_not_null(strstr(text, "\njournal: cannot write '/s/journal.db': No space left on "
					"device; no run starts until it can be written\n"),
			   "%s", text);
}

Test(lwctl, a_run_that_was_lost_says_how_often)
{
	LW_AUTO(lw_free)
	char *never = printed_object(print_run, "{\"id\":1,\"stage\":\"failed\",\"lost\":0}");
	LW_AUTO(lw_free)
	char *twice = printed_object(print_run, "{\"id\":1,\"stage\":\"failed\",\"lost\":2}");

	cr_expect_null(strstr(never, "lost"), "%s", never);
	cr_expect_not_null(strstr(twice, "lost       2 times"), "%s", twice);
}

Test(lwctl, a_reload_is_said_in_sentences)
{
	/* clang-format off */
	static const struct { const char *json, *text; } rows[] = {
		{ "{\"changes\":[{\"work\":\"train\",\"does\":\"restart\",\"key\":\"command\"},"
		  "{\"work\":\"same\",\"does\":\"none\",\"key\":null},"
		  "{\"work\":\"old\",\"does\":\"stop\",\"key\":null}],"
		  "\"app\":[{\"key\":\"interval\",\"does\":\"taken\"}],\"applied\":true}",
		  "train: restart (command changed)\nold: stop\napp: interval changed\nreloaded\n" },
		{ "{\"changes\":[],\"app\":[{\"key\":\"view\",\"does\":\"fixed\"}],\"applied\":true}",
		  "app: view changed, which takes a new start: lwctl shutdown --keep-works, then lw-supervisor\n"
		  "reloaded\n" },
		{ "{\"changes\":[{\"work\":\"w\",\"does\":\"start\",\"key\":null}],\"app\":[],\"applied\":false}",
		  "w: start\nnothing was done: it was only looked at\n" },
		{ "{\"changes\":[{\"work\":\"w\",\"does\":\"none\",\"key\":null}],\"app\":[],\"applied\":true}",
		  "reloaded; no option has changed\n" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO(lw_free) char *text = printed_object(print_reload, rows[i].json);

		cr_expect_str_eq(text, rows[i].text);
	}
}

/* ---- the manual ----------------------------------------------------------------------------- */

Test(lwctl, the_manual_has_the_verbs_of_the_table_in_their_order)
{
	FILE *manual = fopen(LW_SOURCE "/man/lwctl.1", "r");
	char line[200], name[50];
	struct verb verb;
	size_t count = 0;

	cr_assert_not_null(manual);
	while (fgets(line, sizeof(line), manual) != NULL) {
		if (sscanf(line, ".It Cm %49s", name) != 1)
			continue;
		cr_assert(verb_at(count, &verb), "%s is no verb", name);
		cr_expect_str_eq(name, verb.name);
		count++;
	}
	fclose(manual);
	cr_expect_not(verb_at(count, &verb), "%s is not in the manual", verb.name);
}

/* The names behind `before` in a file, one a line. */
static char *names_in(const char *file, const char *before)
{
	FILE *in = fopen(file, "r");
	LW_AUTO_BUF names = { 0 };
	char line[300];

	cr_assert_not_null(in, "%s", file);
	while (fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, before, strlen(before)) == 0)
			lw_buf_printf(&names, "%.*s\n", (int)strcspn(line + strlen(before), " \n"),
				      line + strlen(before));
	fclose(in);
	return lw_strdup(lw_buf_text(&names));
}

Test(lwctl, the_manual_of_the_supervisor_has_the_options_of_its_help_in_their_order)
{
	LW_AUTO(lw_free) char *help = names_in(LW_SOURCE "/supervisor/main.c", "\t\"  --");
	LW_AUTO(lw_free) char *manual = names_in(LW_SOURCE "/man/lw-supervisor.8", ".It Fl -");

	cr_assert_neq(help[0], '\0');
	cr_expect_str_eq(manual, help);
}

/* ---- what was printed ------------------------------------------------------------------------- */

/* The lines of JSON come in two pieces, cut anywhere. */
static void expect_log(size_t width, bool colour, const char *json, const char *wanted)
{
	for (size_t cut = 0; cut <= strlen(json); cut++) {
		struct lw_slice first = { (const uint8_t *)json, cut };
		struct lw_slice rest = { (const uint8_t *)json + cut, strlen(json) - cut };
		struct log_printer printer;
		struct lw_err err = { 0 };
		char *text = NULL;
		size_t size;

		log_printer_init(&printer, false);
		printer.screen = (struct screen){ .out = open_memstream(&text, &size),
						  .width = width,
						  .colour = colour,
						  .now = 1764115561 };
		cr_assert_eq(log_printer_take(&printer, first, &err), 0, "%s", err.text);
		cr_assert_eq(log_printer_take(&printer, rest, &err), 0, "%s", err.text);
		fclose(printer.screen.out);
		cr_assert_str_eq(text, wanted);
		log_printer_done(&printer);
		free(text);
	}
}

#define OBJECT(at, work, source, text)                                                             \
	"{\"at\":" at ",\"work\":" work ",\"source\":\"" source                                    \
	"\",\"pid\":1,\"run\":null,\"stream\":\"out\",\"text\":\"" text "\"}\n"

Test(lwctl, a_line_that_was_printed_has_its_time_and_the_name_of_its_work)
{
	setenv("TZ", "UTC", 1);
	tzset();
	expect_log(0, false,
		   OBJECT("1764115561.123456", "\"a\"", "work", "one")
			   OBJECT("1764115562.5", "null", "flow", "two")
				   OBJECT("1764029161.0", "\"a\"", "work", ""),
		   "00:06:01 a | one\n00:06:02 flow | two\n2025-11-25 00:06:01 a    | \n");
	expect_log(80, true, OBJECT("1764115561.0", "\"a\"", "work", "x"),
		   "00:06:01 \033[95ma |\033[0m x\n");
}

Test(lwctl, a_terminal_is_not_steered_by_what_a_work_printed_but_a_file_gets_all_of_it)
{
	setenv("TZ", "UTC", 1);
	tzset();
	expect_log(80, false,
		   OBJECT("1764115561.0", "\"a\\u001b[1m\"", "work",
			  "\\u001b]0;x\\u0007 \\tt\\u00e4\\u0080\\u0000.\\r"),
		   "00:06:01 a?[1m | ?]0;x? \tt\xc3\xa4??.\n");
	expect_log(0, false, OBJECT("1764115561.0", "\"a\"", "work", "\\u001b[1m\\tx\\r"),
		   "00:06:01 a | \033[1m\tx\r\n");
}

Test(lwctl, lines_that_are_no_json_end_it)
{
	static const char text[] = "no json\n";
	struct log_printer printer;
	struct lw_err err = { 0 };

	log_printer_init(&printer, false);
	cr_expect_eq(log_printer_take(&printer,
				      (struct lw_slice){ (const uint8_t *)text, sizeof(text) - 1 },
				      &err),
		     -EBADMSG);
	log_printer_done(&printer);
}

Test(lwctl, the_question_for_lines_is_encoded)
{
	static const char *const argv[] = { "lwctl",    "logs",     "a/b", "-f",    "-n",
					    "all",      "--search", "a&b", "--run", "7",
					    "--stream", "err",      NULL };
	const char *room[16];
	struct options options;
	struct lw_err err = { 0 };

	cr_assert_eq(parse(argv, room, &options, &err), 0, "%s", err.text);
	LW_AUTO(lw_free) char *path = logs_path(&options, "a/b");
	LW_AUTO(lw_free) char *all = logs_path(&(struct options){ 0 }, NULL);

	cr_expect_str_eq(path, "/api/v1/works/a%2Fb/logs?lines=all&follow=true&run=7&stream=err&"
			       "search=a%26b");
	cr_expect_str_eq(all, "/api/v1/logs");
}
