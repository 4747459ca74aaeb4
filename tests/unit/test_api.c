/* links: lw_supervisor
 *
 * test_api.c - the request table, and the JSON writer beneath the answers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "describe.h"
#include "lw_requests.h"
#include "site.h"

Test(api, no_two_rows_of_the_table_are_the_same_request)
{
	cr_assert_gt(api_row_count(), 10u);
	for (size_t i = 0; i < api_row_count(); i++)
		for (size_t k = 0; k < i; k++)
			cr_expect(strcmp(api_row(i).path, api_row(k).path) != 0 ||
					  strcmp(api_row(i).method, api_row(k).method) != 0,
				  "%s %s", api_row(i).method, api_row(i).path);
}

/* ---- docs/control-api.md ----------------------------------------------------------------------- */

#define NAME(BIT, name, sentence) name,
static const char *const queries[] = { LW_QUERIES(NAME) };
static const char *const bodies[] = { LW_BODIES(NAME) };
#undef NAME

static void put_names(struct lw_buf *line, const char *const *names, size_t count, int bits)
{
	for (size_t i = 0; i < count; i++)
		if ((bits & 1 << i) != 0)
			lw_buf_printf(line, " `%s`", names[i]);
	lw_buf_printf(line, " |");
}

/* "works/W/run", "runs/ID" */
static void put_path(struct lw_buf *line, const char *path)
{
	const char *star = strchr(path, '*');

	if (star == NULL)
		lw_buf_printf(line, "%s", path);
	else
		lw_buf_printf(line, "%.*s%s%s", (int)(star - path), path,
			      strncmp(path, "runs/", 5) == 0 ? "ID" : "W", star + 1);
}

static void expect_line(const char *document, struct lw_buf *line)
{
	cr_expect_not_null(strstr(document, lw_buf_text(line)), "docs/control-api.md lacks: %s",
			   lw_buf_text(line));
	lw_buf_done(line);
}

static char *read_document(void)
{
	static char text[1 << 16];
	FILE *file = fopen(LW_SOURCE "/docs/control-api.md", "re");
	size_t size;

	cr_assert_not_null(file);
	size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = '\0';
	return text;
}

Test(api, the_document_has_every_request_with_what_it_may_hold)
{
	static const struct {
		const char *method, *path;
		int body, query;
		const char *verb, *sentence;
	} rows[] = {
#define VERB(method, path, who, serves, body, query, verb, arguments, by, sentence)                \
	{ method, path, body, query, "`" #verb "`", sentence },
#define REQUEST(method, path, who, serves, body, query, sentence)                                  \
	{ method, path, body, query, "", sentence },
		LW_REQUESTS(VERB, REQUEST)
#undef VERB
#undef REQUEST
	};
	const char *document = read_document(), *path, *sentence;
	struct lw_buf line = { 0 };

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		lw_buf_printf(&line, "| `%s /api/v1/", rows[i].method);
		put_path(&line, rows[i].path);
		lw_buf_printf(&line, "` |");
		put_names(&line, queries, LW_COUNT(queries), rows[i].query);
		put_names(&line, bodies, LW_COUNT(bodies), rows[i].body);
		lw_buf_printf(&line, " %s | %s |\n", rows[i].verb, rows[i].sentence);
		expect_line(document, &line);
	}
	for (size_t i = 0; site_row(i, &path, &sentence); i++) {
		lw_buf_printf(&line, "| `GET %s` | | |  | %s |\n", path, sentence);
		expect_line(document, &line);
	}
}

/* ---- answers ------------------------------------------------------------------------------------ */

Test(api, an_error_is_an_object_with_code_message_and_hint)
{
	LW_AUTO_BUF out = { 0 };

	api_error_body(&out, "no_such_work", "no work 'a\"b'", NULL);
	cr_expect_str_eq(lw_buf_text(&out), "{\"error\":{\"code\":\"no_such_work\",\"message\":"
					    "\"no work 'a\\\"b'\",\"hint\":null}}\n");
}

static void expect_text(const char *text, const char *json)
{
	LW_AUTO_BUF out = { 0 };

	js_text(&out, text);
	cr_expect_str_eq(lw_buf_text(&out), json);
}

Test(describe, text_is_escaped_and_what_is_no_utf_8_replaced)
{
	expect_text(NULL, "null");
	expect_text("", "\"\"");
	expect_text("a\"b\\c\n\t\x01\x7f", "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\"");
	expect_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	expect_text("a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	expect_text("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

Test(describe, commas_come_between_values_and_nowhere_else)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '{');
	js_key(&out, "list");
	js_open(&out, '[');
	js_int(&out, 1);
	js_text(&out, "ends in [");
	js_text(&out, "ends in :");
	js_open(&out, '[');
	js_close(&out, ']');
	js_open(&out, '{');
	js_close(&out, '}');
	js_close(&out, ']');
	js_key(&out, "truth");
	js_truth(&out, false);
	js_close(&out, '}');
	cr_expect_str_eq(lw_buf_text(&out),
			 "{\"list\":[1,\"ends in [\",\"ends in :\",[],{}],\"truth\":false}");
}

Test(describe, times_are_seconds_with_a_fraction_of_six_digits_or_none)
{
	LW_AUTO_BUF out = { 0 };

	js_open(&out, '[');
	js_time(&out, 0);
	js_time(&out, 1500000);
	js_time(&out, 1795408722000042);
	js_time(&out, -250000);
	js_int(&out, INT64_MIN);
	js_time_or_null(&out, 0);
	js_close(&out, ']');
	cr_expect_str_eq(lw_buf_text(&out), "[0,1.500000,1795408722.000042,-0.250000,"
					    "-9223372036854775808,null]");
}
