/* links: lw_common
 *
 * test_logfile.c - names and lines of the files that keep what works print. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "lw_logfile.h"

Test(logfile, each_work_has_a_name_of_its_own_that_reads_back)
{
	/* clang-format off */
	static const struct { const char *work, *name; } rows[] = {
		{ "train", "train" },
		{ "a.log", "a.log" },
		{ "a.log.1", "a.log.1" },
		{ "data-2_x.Y", "data-2_x.Y" },
		{ "a b", "a%20b" },
		{ "../etc/passwd", "..%2Fetc%2Fpasswd" },
		{ "100%", "100%25" },
		{ "%25", "%2525" },
		{ "@lw", "%40lw" },
		{ "a~b", "a%7Eb" },
		{ "t\xc3\xa4g", "t%C3%A4g" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO(lw_free) char *name = lw_logfile_name(rows[i].work);
		LW_AUTO(lw_free) char *work = lw_logfile_work(name);

		cr_expect_str_eq(name, rows[i].name);
		cr_expect_str_eq(work, rows[i].work);
	}
	cr_expect_null(lw_logfile_work(LW_LOGFILE_OWN));
}

/* 255 bytes may become 765; two such works with the same beginning are still two. */
Test(logfile, long_names_fit_and_stay_apart)
{
	char one[256], other[256];

	for (size_t i = 0; i < 255; i += 3)
		memcpy(one + i, "\xe2\x82\xac", 3);
	one[255] = '\0';
	memcpy(other, one, sizeof(one));
	memcpy(other + 252, "end", 3);
	LW_AUTO(lw_free) char *first = lw_logfile_name(one);
	LW_AUTO(lw_free) char *again = lw_logfile_name(one);
	LW_AUTO(lw_free) char *second = lw_logfile_name(other);

	cr_expect_str_eq(first, again);
	cr_expect_str_neq(first, second);
	cr_expect_leq(strlen(first) + strlen(".log.1000"), 255);
	cr_expect_eq(strncmp(first, "%E2%82%AC%E2", 12), 0);
}

Test(logfile, the_age_of_a_file_stands_in_its_name)
{
	/* clang-format off */
	static const struct { const char *file; int age; size_t size; } rows[] = {
		{ "train.log", 0, 5 },
		{ "train.log.1", 1, 5 },
		{ "train.log.1000", 1000, 5 },
		{ "a.log.1.log", 0, 7 },
		{ "a.log.1.log.2", 2, 7 },
		{ "5.log", 0, 1 },
		{ "@lw.log.4", 4, 3 },
		{ "train", -1, 0 }, { ".log", -1, 0 }, { "train.log.", -1, 0 }, { "train.log.0", -1, 0 },
		{ "train.log.x", -1, 0 }, { "train.1", -1, 0 }, { "", -1, 0 }, { ".", -1, 0 },
		{ "log.1", -1, 0 }, { "train.log.9999999999", -1, 0 },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		size_t size = 0;

		cr_expect_eq(lw_logfile_age(rows[i].file, &size), rows[i].age, "%s", rows[i].file);
		cr_expect_eq(size, rows[i].size, "%s", rows[i].file);
	}
}

static const struct lw_logfile_line lines[] = {
	{ .at = INT64_C(1764115561123456), .pid = 812, .run = 7 },
	{ .at = INT64_C(1764115561000000), .pid = 812, .run = 7, .err = true },
	{ .at = INT64_C(1764115561000001), .err = true, .more = true },
	{ .at = 0, .pid = INT32_MAX, .run = INT64_MAX },
	{ .at = INT64_C(253402300799999999), .more = true },
};

Test(logfile, a_line_reads_back_as_it_was_written)
{
	static const char text[] = "text with \0 and \xff and out ";

	for (size_t i = 0; i < LW_COUNT(lines); i++) {
		char head[LW_LOGFILE_HEAD_MAX + sizeof(text)];
		size_t size = lw_logfile_head(&lines[i], head);
		struct lw_logfile_line line;

		memcpy(head + size, text, sizeof(text));
		cr_assert(lw_logfile_parse(
			(struct lw_slice){ (uint8_t *)head, size + sizeof(text) }, &line));
		cr_expect_eq(line.at, lines[i].at);
		cr_expect_eq(line.pid, lines[i].pid);
		cr_expect_eq(line.run, lines[i].run);
		cr_expect_eq(line.err, lines[i].err);
		cr_expect_eq(line.more, lines[i].more);
		cr_assert_eq(line.text.size, sizeof(text));
		cr_expect_arr_eq(line.text.data, text, sizeof(text));
		for (size_t cut = 0; cut < size; cut++)
			cr_expect_not(
				lw_logfile_parse((struct lw_slice){ (uint8_t *)head, cut }, &line));
	}
}

Test(logfile, a_line_is_written_as_the_manual_says)
{
	char head[LW_LOGFILE_HEAD_MAX];
	size_t size = lw_logfile_head(&lines[0], head);

	cr_expect_eq(size, strlen("2025-11-26T00:06:01.123456Z 812 7 out "));
	cr_expect_eq(strncmp(head, "2025-11-26T00:06:01.123456Z 812 7 out ", size), 0, "%.*s",
		     (int)size, head);
	size = lw_logfile_head(&lines[2], head);
	cr_expect_eq(strncmp(head, "2025-11-26T00:06:01.000001Z - - err+ ", size), 0, "%.*s",
		     (int)size, head);
}

Test(logfile, other_lines_are_none)
{
	static const char *const texts[] = {
		"",
		"hello",
		"2025-11-26T00:06:01.123456 812 7 out x",
		"2025-11-26T00:06:01.12345Z 812 7 out x",
		"2025-13-26T00:06:01.123456Z 812 7 out x",
		"9999-12-31T23:59:60.000000Z 812 7 out x",
		"2025-11-26T00:06:01.123456Z 812 7 any x",
		"2025-11-26T00:06:01.123456Z x 7 out x",
		"2025-11-26T00:06:01.123456Z 99999999999 7 out x",
		"2025-11-26T00:06:01.123456Z 812 -7 out x",
		"2025-11-26T00:06:01.123456Z 812 7 out",
	};
	struct lw_logfile_line line;

	for (size_t i = 0; i < LW_COUNT(texts); i++)
		cr_expect_not(lw_logfile_parse((struct lw_slice){ (const uint8_t *)texts[i],
								  strlen(texts[i]) },
					       &line),
			      "%s", texts[i]);
}

static void expect_json(const char *work, struct lw_logfile_line line, const char *text,
			size_t size, const char *wanted)
{
	LW_AUTO_BUF out = { 0 };
	json_t *json;

	line.text = (struct lw_slice){ (const uint8_t *)text, size };
	lw_logfile_print_json(work, &line, &out);
	cr_expect_str_eq(lw_buf_text(&out), wanted);
	json = json_loads(lw_buf_text(&out), JSON_ALLOW_NUL, NULL);
	cr_expect_not_null(json);
	json_decref(json);
}

Test(logfile, as_json_it_is_one_line_of_text_whatever_was_printed)
{
	expect_json("train", lines[0], "a\"b", 3,
		    "{\"at\":1764115561.123456,\"work\":\"train\",\"source\":\"work\",\"pid\":812,"
		    "\"run\":7,\"stream\":\"out\",\"text\":\"a\\\"b\"}\n");
	expect_json(NULL, lines[2], "\0\n\x1b\xff\xc3", 5,
		    "{\"at\":1764115561.000001,\"work\":null,\"source\":\"lw\",\"pid\":null,"
		    "\"run\":null,\"stream\":\"err\",\"text\":\"\\u0000\\n\\u001b??\","
		    "\"more\":true}\n");
	expect_json(NULL, lines[4], "", 0,
		    "{\"at\":253402300799.999999,\"work\":null,\"source\":\"flow\",\"pid\":null,"
		    "\"run\":null,\"stream\":\"out\",\"text\":\"\",\"more\":true}\n");
}
