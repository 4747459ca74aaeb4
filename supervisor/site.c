/* site.c - what is served beside the API. See site.h. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "api_private.h"
#include "site.h"
#include "view_files.h"

#define PAGE "/view"

/* ---- the page ------------------------------------------------------------------------------- */

/* Nothing from elsewhere, in nobody's frame. */
#define PAGE_HEADERS                                                                               \
	"Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "   \
	"form-action 'none'\r\n"                                                                   \
	"Referrer-Policy: no-referrer\r\n"

static const char *type_of(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
	};
	const char *ending = strrchr(name, '.');

	for (size_t i = 0; i < LW_COUNT(types); i++)
		if (strcmp(ending, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

static const struct view_file *find_file(const char *path)
{
	const char *name = path + strlen(PAGE);

	name = *name == '\0' ? "index.html" : name + 1;
	for (const struct view_file *file = view_files; file->name != NULL; file++)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

/* A browser asks each time, and hears "not modified" until there is a new version of us. */
static void serve_page(struct http_request *request)
{
	const struct view_file *file = find_file(request->head.path);
	LW_AUTO_BUF out = { 0 };
	char tag[20], headers[512];
	struct http_answer answer = { .status = 200, .cache = "no-cache", .headers = headers };

	if (file == NULL) {
		api_failf(request, 404, "no_such_path", "no '%.200s' here", request->head.path);
		return;
	}
	snprintf(tag, sizeof(tag), "\"%016llx\"",
		 (unsigned long long)XXH3_64bits(file->bytes, file->size));
	snprintf(headers, sizeof(headers), "ETag: %s\r\n" PAGE_HEADERS, tag);
	answer.type = type_of(file->name);
	if (request->head.if_none_match != NULL && strstr(request->head.if_none_match, tag) != NULL)
		answer.status = 304;
	else
		lw_buf_add(&out, file->bytes, file->size);
	http_reply(request, &answer, &out);
}

static void serve_root(struct http_request *request)
{
	static const struct http_answer to_page = { .status = 303,
						    .headers = "Location: " PAGE "\r\n" };
	LW_AUTO_BUF out = { 0 };

	http_reply(request, &to_page, &out);
}

/* ---- the table -------------------------------------------------------------------------------- */

static const struct site_row {
	const char *path; /* with a slash at its end: and what is below it */
	bool open;
	void (*serve)(struct http_request *request);
} rows[] = {
	{ "/", false, serve_root },
	{ PAGE, false, serve_page },
	{ PAGE "/", false, serve_page },
};

static const struct site_row *find_row(const char *path)
{
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		size_t size = strlen(rows[i].path);

		if (strcmp(path, rows[i].path) == 0 || (size > 1 && rows[i].path[size - 1] == '/' &&
							strncmp(path, rows[i].path, size) == 0))
			return &rows[i];
	}
	return NULL;
}

bool site_is_open(const char *path)
{
	const struct site_row *row = find_row(path);

	return row != NULL && row->open;
}

void site_serve(struct http_request *request)
{
	const struct site_row *row = find_row(request->head.path);
	LW_AUTO(lw_free) char *message = NULL;

	if (row == NULL) {
		api_fail(request, 404, "no_such_path", "everything lies below /api/v1/ and " PAGE,
			 NULL);
		return;
	}
	if (strcmp(request->head.method, "GET") != 0) {
		message = lw_format("'%.200s' does not take %.20s, but GET", request->head.path,
				    request->head.method);
		api_fail_method(request, "GET", message);
		return;
	}
	row->serve(request);
}
