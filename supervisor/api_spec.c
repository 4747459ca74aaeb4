/* api_spec.c - GET spec: the requests themselves, from the table. See api_private.h. */
#include <string.h>

#include "api_private.h"
#include "js.h"
#include "site.h"

struct named {
	const char *name, *sentence;
};

#define NAMED(BIT, name, sentence) { name, sentence },
static const struct named queries[] = { LW_QUERIES(NAMED) };
static const struct named bodies[] = { LW_BODIES(NAMED) };
#undef NAMED

static const struct spec_row {
	const char *method, *path;
	enum lw_rights rights;
	int body, query; /* LW_BODY_*, LW_QUERY_* */
	const char *verb, *arguments, *sentence;
} rows[] = {
#define VERB(method, path, who, serves, body, query, verb, arguments, by, sentence)                \
	{ method, path, LW_##who, body, query, #verb, arguments, sentence },
#define REQUEST(method, path, who, serves, body, query, sentence)                                  \
	{ method, path, LW_##who, body, query, NULL, NULL, sentence },
	LW_REQUESTS(VERB, REQUEST)
#undef VERB
#undef REQUEST
};

/* {"wait": "false: answer at once, ..."} */
static void put_names(const char *key, const struct named *names, size_t count, int bits,
		      struct lw_buf *out)
{
	js_key(out, key);
	js_open(out, '{');
	for (size_t i = 0; i < count; i++)
		if ((bits & 1 << i) != 0)
			TEXT(names[i].name, names[i].sentence);
	js_close(out, '}');
}

static void put_row(const struct spec_row *row, const char *prefix, struct lw_buf *out)
{
	LW_AUTO(lw_free) char *path = lw_format("%s%s", prefix, row->path);

	js_open(out, '{');
	TEXT("method", row->method);
	TEXT("path", path);
	TEXT("verb", row->verb);
	TEXT("arguments", row->arguments);
	put_names("query", queries, LW_COUNT(queries), row->query, out);
	put_names("body", bodies, LW_COUNT(bodies), row->body, out);
	TEXT("rights", row->rights == LW_OPERATOR ? "operator" : "anyone");
	TEXT("sentence", row->sentence);
	js_close(out, '}');
}

void api_do_spec(struct ask *ask)
{
	LW_AUTO_BUF out = { 0 };
	struct spec_row page = { .method = "GET" };

	js_open(&out, '{');
	js_key(&out, "version");
	js_text(&out, LW_VERSION);
	js_key(&out, "requests");
	js_open(&out, '[');
	for (size_t i = 0; i < LW_COUNT(rows); i++)
		put_row(&rows[i], API_PREFIX, &out);
	for (size_t i = 0; site_row(i, &page.path, &page.sentence); i++)
		put_row(&page, "", &out);
	js_close(&out, ']');
	js_close(&out, '}');
	api_answer(ask->request, &out);
}
