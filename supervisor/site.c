/* site.c - what is served beside the API: the page, probes, metrics. See site.h. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "api_private.h"
#include "metrics.h"
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

/* ---- probes and metrics --------------------------------------------------------------------------- */

static void say(struct http_request *request, int status, const char *type, struct lw_buf *out)
{
	http_reply(request, &(struct http_answer){ .status = status, .type = type }, out);
}

static void say_line(struct http_request *request, int status, const char *line)
{
	LW_AUTO_BUF out = { 0 };

	lw_buf_printf(&out, "%s\n", line);
	say(request, status, "text/plain; charset=utf-8", &out);
}

static void serve_health(struct http_request *request)
{
	say_line(request, 200, "ok");
}

/* Works that start with the app, as services do, and are not ready. A command that never speaks of it is ready while
 * it is there. */
static size_t unready_works(const struct app *app)
{
	size_t count = 0;

	for (size_t i = 0; i < app->work_count; i++) {
		const struct work *work = app->works[i];
		enum readiness ready = work_readiness(work);

		bool starts = work->config->start_with_flow || !app->config->has_flow;

		count += starts && app_shows(work) && ready != READY_YES &&
			 (ready == READY_NO || !work_has_process(work));
	}
	return count;
}

/* Nothing that is not for everybody: no names, no paths. */
static void serve_ready(struct http_request *request)
{
	const struct app *app = request->app;
	size_t unready = unready_works(app);
	LW_AUTO(lw_free) char *why = NULL;

	if (app->stage != APP_RUNNING)
		why = lw_format("the app is %s", app_stage_name(app->stage));
	else if (journal_error(app->journal) != NULL)
		why = lw_strdup("no run starts: the record cannot be written");
	else if (unready > 0)
		why = lw_format("%zu work%s not ready", unready, unready == 1 ? " is" : "s are");
	say_line(request, why == NULL ? 200 : 503, why == NULL ? "ready" : why);
}

static void serve_metrics(struct http_request *request)
{
	LW_AUTO_BUF out = { 0 };

	metrics_print(request->app, &out);
	say(request, 200, METRICS_TYPE, &out);
}

/* ---- the table -------------------------------------------------------------------------------- */

static const struct site_row {
	const char *path; /* with a slash at its end: and what is below it */
	bool open;
	void (*serve)(struct http_request *request);
	const char *sentence;
} rows[] = {
	{ "/healthz", true, serve_health, "200 while the supervisor answers; no token" },
	{ "/readyz", true, serve_ready,
	  "200 when the app runs, the record can be written and every work that starts with the "
	  "app is ready, else 503 and why; no token" },
	{ "/metrics", false, serve_metrics, "what is counted, in Prometheus' text format" },
	{ PAGE, false, serve_page, "the page" },
	{ PAGE "/", false, serve_page, "its files" },
	{ "/", false, serve_root, "leads to the page" },
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

bool site_row(size_t i, const char **ret_path, const char **ret_sentence)
{
	if (i >= LW_COUNT(rows))
		return false;
	*ret_path = rows[i].path;
	*ret_sentence = rows[i].sentence;
	return true;
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
	if (!http_only_reads(&request->head)) {
		message = lw_format("'%.200s' does not take %.20s, but GET and HEAD",
				    request->head.path, request->head.method);
		api_fail_method(request, "GET, HEAD", message);
		return;
	}
	row->serve(request);
}
