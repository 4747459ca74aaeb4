/* links: lw_control
 *
 * test_lwctl.c - the command line, the arguments of a call, answers, and tables. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

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
		{ { "lwctl", "--limit", "0" }, "a number" },
		{ { "lwctl", "--timeout", "nan" }, "a number" },
		{ { "lwctl", "--wait", "--no-wait" }, "both" },
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
		{ { "a=", "b=x=y" }, "{\"kwargs\":{\"a\":\"\",\"b\":\"x=y\"}}" },
		{ { "{\"a\":1}", "b=2" }, "{\"kwargs\":{\"a\":1,\"b\":2}}" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		json_t *expected = rows[i].json != NULL ? json_loads(rows[i].json, 0, NULL) : NULL;
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
		{ { "5" }, "'5' is no argument" },
		{ { "5=6" }, "is no argument" },
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

Test(lwctl, a_name_is_encoded_as_one_segment_of_a_path)
{
	LW_AUTO(lw_free)
	char *encoded = client_encode("t\xc3\xa4g/x y?");

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
		{ { "lwctl", "state", "[1]" }, LWCTL_USAGE },
		{ { "lwctl", "help", "nothing" }, LWCTL_USAGE },
		{ { "lwctl", "help" }, LWCTL_DONE },
		{ { "lwctl", "help", "run" }, LWCTL_DONE },
		{ { "lwctl", "kill", "--help" }, LWCTL_DONE },
		{ { "lwctl", "--version" }, LWCTL_DONE },
		{ { "lwctl", "status", "--socket", "/nonexistent/x.sock" }, LWCTL_NO_SUPERVISOR },
		{ { "lwctl", "status", "-c", "/tmp/no-such-app.conf" }, LWCTL_NO_SUPERVISOR },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		cr_expect_eq(run(rows[i].argv), rows[i].status, "row %zu", i);
}

/* ---- output ----------------------------------------------------------------------------------------- */

static char *printed(size_t width, bool colour, const char *works)
{
	json_t *list = json_loads(works, 0, NULL);
	struct screen screen = { .width = width, .colour = colour, .now = 1000 };
	char *text = NULL;
	size_t size = 0;

	cr_assert_not_null(list);
	screen.out = open_memstream(&text, &size);
	print_status(&screen, NULL, list);
	fclose(screen.out);
	json_decref(list);
	return text;
}

static const char one_work[] =
	"[{\"name\":\"a work with a rather long name indeed\",\"stage\":\"failed\",\"since\":996.8,"
	"\"reason\":\"exit status "
	"3\",\"message\":\"cannot\\u001b[2Jread\\nit\",\"processes\":[{\"pid\":"
	"null,\"state\":\"waiting to restart\",\"next_try\":3.2,\"last_death\":\"exit status "
	"1\"}],\"queue\":2,\"misses\":7,\"hits\":9,\"runs\":{\"failed\":4}},"
	"{\"name\":\"b\",\"stage\":\"failed\",\"since\":null,\"reason\":null,\"message\":"
	"\"cannot\\u001b["
	"2Jread\\nit\",\"processes\":[{\"pid\":11,\"state\":\"idle\"},{\"pid\":12,\"state\":"
	"\"busy\"},{"
	"\"pid\":13,\"state\":\"idle\"}]}]";

Test(lwctl, a_table_shows_when_a_work_is_tried_again_and_what_killed_it)
{
	LW_AUTO(lw_free)
	char *text = printed(0, false, one_work);

	cr_expect_not_null(strstr(text, "next try in 3.2 s; last: exit status 1"), "%s", text);
	cr_expect_not_null(strstr(text, "3.2 s ago"), "%s", text);
	cr_expect_not_null(strstr(text, "2 idle, 1 busy"), "%s", text);
	cr_expect_not_null(strstr(text, "a work with a rather long name indeed"), "%s", text);
}

Test(lwctl, what_a_work_wrote_cannot_steer_the_terminal)
{
	LW_AUTO(lw_free)
	char *text = printed(0, false, one_work);

	cr_expect_null(strchr(text, '\033'), "%s", text);
	cr_expect_not_null(strstr(text, "cannot?[2Jread it"), "%s", text);
}

Test(lwctl, no_line_of_a_table_is_wider_than_the_terminal)
{
	LW_AUTO(lw_free)
	char *text = printed(90, false, one_work);

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		size_t columns = 0;

		for (char *at = line; *at != '\0'; at++)
			columns += ((unsigned char)*at & 0xc0) != 0x80;
		cr_expect_leq(columns, 90u, "%s", line);
	}
}

Test(lwctl, colours_are_printed_only_when_asked_for)
{
	LW_AUTO(lw_free)
	char *text = printed(0, true, one_work);

	cr_expect_not_null(strstr(text, "\033[31mfailed\033[0m"), "%s", text);
}

Test(lwctl, durations_are_said_in_two_units_at_most)
{
	/* clang-format off */
	static const struct { double seconds; const char *text; } rows[] = {
		{ -1, "0.0 s" }, { 3.24, "3.2 s" }, { 75, "1 min 15 s" },
		{ 3700, "1 h 1 min" }, { 90000, "1 d 1 h" }, { 1e300, "11574074 d 1 h" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char text[32];

		print_duration(rows[i].seconds, text);
		cr_expect_str_eq(text, rows[i].text);
	}
}
