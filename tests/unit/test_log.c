/* links: lw_common */
/* test_log.c - levels, the sink, one line an event. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <unistd.h>

#include "lw_buf.h"
#include "lw_log.h"

struct seen {
	int lines;
	enum lw_log_level level;
	char line[200];
	size_t size;
};

static void note(void *context, enum lw_log_level level, const char *line)
{
	struct seen *seen = context;

	seen->lines++;
	seen->level = level;
	seen->size = strlen(line);
	snprintf(seen->line, sizeof(seen->line), "%s", line);
	errno = EIO;
}

Test(log, a_line_goes_to_the_sink_with_its_level)
{
	struct seen seen = { 0 };

	lw_log_to(note, &seen);
	errno = 0;
	lw_log(LW_LOG_WARNING, "work=%s pid=%d", "train", 812);
	cr_assert_eq(seen.lines, 1);
	cr_assert_eq(seen.level, LW_LOG_WARNING);
	cr_assert_str_eq(seen.line, "work=train pid=812");
	cr_assert_eq(errno, 0);
}

Test(log, what_is_above_the_level_is_not_written)
{
	struct seen seen = { 0 };

	lw_log_to(note, &seen);
	cr_assert_not(lw_log_on(LW_LOG_DEBUG));
	lw_log(LW_LOG_DEBUG, "no");
	cr_assert_eq(seen.lines, 0);
	lw_log_set_level(LW_LOG_DEBUG);
	lw_log(LW_LOG_DEBUG, "yes");
	lw_log_set_level(LW_LOG_ERROR);
	lw_log(LW_LOG_WARNING, "no");
	lw_log(LW_LOG_ERROR, "yes");
	cr_assert_eq(seen.lines, 2);
}

Test(log, an_event_stays_one_line_and_cannot_steer_the_terminal)
{
	struct seen seen = { 0 };

	lw_log_to(note, &seen);
	lw_log(LW_LOG_INFO, "a\nb\tc\x1b[31m\x7f gr\xc3\xbc\xc3\x9f");
	cr_assert_str_eq(seen.line, "a b c?[31m? gr\xc3\xbc\xc3\x9f");
}

Test(log, a_line_without_end_is_cut)
{
	struct seen seen = { 0 };
	char *text = lw_alloc(100001);

	memset(text, 'x', 100000);
	lw_log_to(note, &seen);
	lw_log(LW_LOG_INFO, "%s", text);
	cr_assert(seen.lines == 1 && seen.size > 1000 && seen.size < 100000);
	lw_free(text);
}

Test(log, levels_have_names)
{
	for (int level = LW_LOG_ERROR; level <= LW_LOG_DEBUG; level++)
		cr_assert_eq(lw_log_level_parse(lw_log_level_name((enum lw_log_level)level)),
			     level);
	cr_assert_eq(lw_log_level_parse("loud"), -EINVAL);
	cr_assert_eq(lw_log_level_parse(NULL), -EINVAL);
}

/* Standard error is a pipe while `text` is read from it. */
static void read_stderr(char *text, size_t room)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	cr_assert_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	lw_log_to(NULL, NULL);
	lw_log(LW_LOG_ERROR, "work=train said 'no'");
	dup2(saved, STDERR_FILENO);
	n = read(ends[0], text, room - 1);
	cr_assert_gt(n, 0);
	text[n] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

Test(log, without_a_sink_a_line_goes_to_standard_error_with_time_and_level)
{
	regex_t pattern;
	char text[200];

	read_stderr(text, sizeof(text));
	cr_assert_eq(regcomp(&pattern,
			     "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z "
			     "error work=train said 'no'\n$",
			     REG_EXTENDED | REG_NOSUB),
		     0);
	cr_assert_eq(regexec(&pattern, text, 0, NULL, 0), 0, "%s", text);
	regfree(&pattern);
}

/* ---- as JSON -------------------------------------------------------------------------------- */

/* Behind the time. */
static void expect_json(const char *line, const char *wanted)
{
	LW_AUTO_BUF out = { 0 };
	const char *text;
	json_t *json;

	lw_log_print_json(LW_LOG_WARNING, line, &out);
	text = lw_buf_text(&out);
	cr_expect_eq(strncmp(text, "{\"at\":", 6), 0);
	cr_expect_str_eq(strchr(text, ','), wanted);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	cr_expect_not_null(json, "%s", text);
	json_decref(json);
}

#define LEVEL ",\"level\":\"warning\",\"message\":"

Test(log, as_json_a_line_has_its_level_all_of_its_text_and_each_pair)
{
	expect_json("", LEVEL "\"\"}");
	expect_json("no pairs here", LEVEL "\"no pairs here\"}");
	expect_json("work=a pid=812 is gone",
		    LEVEL "\"work=a pid=812 is gone\",\"work\":\"a\",\"pid\":812}");
	expect_json("audit uid=0 call=\"(value=1, x=\\\"y\\\")\" done", LEVEL
		    "\"audit uid=0 call=\\\"(value=1, x=\\\\\\\"y\\\\\\\")\\\" done\",\"uid\":0,"
		    "\"call\":\"(value=1, x=\\\\\\\"y\\\\\\\")\"}");
	expect_json("reason=\"it's \"so\"",
		    LEVEL "\"reason=\\\"it's \\\"so\\\"\",\"reason\":\"it's \\\"so\"}");
	expect_json("work=\"a\\\\\" refused=\"no\"",
		    LEVEL "\"work=\\\"a\\\\\\\\\\\" refused=\\\"no\\\"\",\"work\":\"a\\\\\\\\\","
			  "\"refused\":\"no\"}");
	expect_json("from=BUSY on= signal=9",
		    LEVEL "\"from=BUSY on= signal=9\",\"from\":\"BUSY\",\"on\":\"\",\"signal\":9}");
}

Test(log, as_json_nothing_in_a_line_replaces_a_field_or_breaks_the_object)
{
	expect_json("level=x at=1 message=no work=a work=b",
		    LEVEL "\"level=x at=1 message=no work=a work=b\",\"work\":\"a\"}");
	expect_json("=x A=1 a-b=2 'k'=3", LEVEL "\"=x A=1 a-b=2 'k'=3\"}");
	expect_json("id=007 big=12345678901234567890 f=1.5 n=-1",
		    LEVEL "\"id=007 big=12345678901234567890 f=1.5 n=-1\",\"id\":\"007\","
			  "\"big\":\"12345678901234567890\",\"f\":\"1.5\",\"n\":\"-1\"}");
	expect_json("a=\"no end", LEVEL "\"a=\\\"no end\"}");
	expect_json("bytes=\xff\xfe", LEVEL "\"bytes=??\",\"bytes\":\"??\"}");
}
