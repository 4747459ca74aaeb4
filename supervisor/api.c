/* api.c - the requests of the control API: which row one is of, and what it may hold.
 *
 * The table is lw_requests.h; the functions of its rows are in api_read.c, api_steer.c, api_call.c,
 * api_logs.c, api_events.c and api_spec.c. See api.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api_private.h"
#include "js.h"
#include "lw_log.h"
#include "site.h"

#define RUNS_DEFAULT 20
#define RUNS_MOST    1000
#define NAME_PLAIN   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:/"
#define CALL_SHOWN   100 /* bytes of a call in an audit line */
#define BODY_JSON    (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)

/* ---- the table ---------------------------------------------------------------------------------------- */

struct row {
	const char *method;
	const char *path;
	enum lw_rights rights;
	void (*act)(struct ask *ask);
	const char *name;
	int body, query; /* LW_BODY_*, LW_QUERY_* */
	const char *sentence;
};

#define REQUEST(method, path, who, serves, body, query, sentence)                                  \
	{ method, path, LW_##who, api_do_##serves, #serves, body, query, sentence },
#define VERB(method, path, who, serves, body, query, verb, arguments, by, sentence)                \
	REQUEST(method, path, who, serves, body, query, sentence)
static const struct row rows[] = { LW_REQUESTS(VERB, REQUEST) };
#undef VERB
#undef REQUEST

size_t api_row_count(void)
{
	return LW_COUNT(rows);
}

struct api_row api_row(size_t i)
{
	return (struct api_row){ rows[i].method, rows[i].path, rows[i].sentence };
}

/* ---- finding the row ------------------------------------------------------------------------------------ */

/* Compares a pattern with a path behind the prefix; the segment at "*" is given back. */
static bool matches(const char *pattern, const char *path, struct lw_slice *ret_segment)
{
	for (;;) {
		if (*pattern == '*') {
			size_t size = strcspn(path, "/");

			if (size == 0)
				return false;
			*ret_segment = (struct lw_slice){ (const uint8_t *)path, size };
			path += size;
			pattern++;
		}
		if (*pattern != *path)
			return false;
		if (*pattern == '\0')
			return true;
		pattern++;
		path++;
	}
}

static const char *next_path(const void *context, size_t i)
{
	(void)context;
	return i < LW_COUNT(rows) ? rows[i].path : NULL;
}

/* The path with its second segment as "*", so that a typo is compared with the patterns. */
static void hint_path(const char *path, char hint[LW_HINT_MAX])
{
	size_t first = strcspn(path, "/");
	size_t second = path[first] == '/' ? strcspn(path + first + 1, "/") : 0;
	LW_AUTO(lw_free) char *shape = NULL;

	hint[0] = '\0';
	if (strlen(path) > 4 * LW_COUNT(rows))
		return;
	if (second > 0 && strncmp(path, "app/", 4) != 0)
		shape = lw_format("%.*s/*%s", (int)first, path, path + first + 1 + second);
	else
		shape = lw_strdup(path);
	lw_nearest_hint(shape, next_path, NULL, hint);
}

static void fail_path(struct http_request *request, const char *path)
{
	LW_AUTO_BUF message = { 0 };
	char hint[LW_HINT_MAX];

	hint_path(path, hint);
	lw_buf_printf(&message, "no '%.200s' here", request->head.path);
	api_fail(request, 404, "no_such_path", lw_buf_text(&message), hint);
}

void api_fail_method(struct http_request *request, const char *allow, const char *message)
{
	LW_AUTO(lw_free) char *header = lw_format("Allow: %s\r\n", allow);
	LW_AUTO_BUF out = { 0 };

	api_error_body(&out, "wrong_method", message, NULL);
	http_reply(request, &(struct http_answer){ .status = 405, .headers = header }, &out);
}

static void fail_method(struct http_request *request, const char *path)
{
	LW_AUTO_BUF allow = { 0 };
	LW_AUTO_BUF message = { 0 };
	struct lw_slice segment;

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		if (matches(rows[i].path, path, &segment))
			lw_buf_printf(&allow, "%s%s", allow.size > 0 ? ", " : "", rows[i].method);
	lw_buf_printf(&message, "'%.200s' does not take %.20s, but %s", request->head.path,
		      request->head.method, lw_buf_text(&allow));
	api_fail_method(request, lw_buf_text(&allow), lw_buf_text(&message));
}

static const struct row *find_row(struct http_request *request, struct lw_slice *ret_segment)
{
	const char *path = request->head.path;
	bool known = false;

	if (strncmp(path, API_PREFIX, strlen(API_PREFIX)) != 0) {
		site_serve(request);
		return NULL;
	}
	path += strlen(API_PREFIX);
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		if (!matches(rows[i].path, path, ret_segment))
			continue;
		known = true;
		if (strcmp(rows[i].method, request->head.method) == 0)
			return &rows[i];
	}
	if (known)
		fail_method(request, path);
	else
		fail_path(request, path);
	return NULL;
}

/* ---- checking what a request holds ------------------------------------------------------------------------ */

static int query_truth(const char *name, const char *value, bool *ret_truth, struct lw_err *err)
{
	if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
		*ret_truth = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
		*ret_truth = false;
	else
		return lw_err_set(err, -EINVAL, "'%s' is true or false, not '%.50s'", name, value);
	return 0;
}

static const char *next_stage(const void *context, size_t i)
{
	(void)context;
	return i + STAGE_PENDING < STAGES_N ? stage_name((enum stage)(i + STAGE_PENDING)) : NULL;
}

static int query_stage(const char *value, int *ret_stage, struct lw_err *err)
{
	char hint[LW_HINT_MAX];

	for (int stage = STAGE_PENDING; stage < STAGES_N; stage++) {
		if (strcmp(value, stage_name((enum stage)stage)) == 0) {
			*ret_stage = stage;
			return 0;
		}
	}
	return lw_err_set(err, -EINVAL, "no run is '%.50s'%s", value,
			  lw_nearest_hint(value, next_stage, NULL, hint));
}

/* Seconds since 1970, with a fraction if need be. */
static int query_time(const char *name, const char *value, int64_t *ret_us, struct lw_err *err)
{
	char *end = NULL;
	double seconds = strtod(value, &end);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || !(seconds < 1e11))
		return lw_err_set(err, -EINVAL, "'%s' is a time in seconds since 1970", name);
	*ret_us = (int64_t)(seconds * 1e6);
	return 0;
}

/* A number from 1 on; `what` says which. */
static int query_number(const char *name, const char *value, uint64_t most, const char *what,
			uint64_t *ret_number, struct lw_err *err)
{
	char *end = NULL;
	uint64_t number = strtoull(value, &end, 10);

	if (value[0] < '1' || value[0] > '9' || *end != '\0' || number > most)
		return lw_err_set(err, -EINVAL, "'%s' is %s", name, what);
	*ret_number = number;
	return 0;
}

static int take_wait(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->wait, err);
}

static int take_brief(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->brief, err);
}

static int take_usage(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->usage, err);
}

static int take_limit(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	uint64_t limit = 0;
	int r = query_number(name, value, RUNS_MOST, "a number from 1 to 1000", &limit, err);

	if (r == 0)
		ask->search.limit = (size_t)limit;
	return r;
}

static int take_stage(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	(void)name;
	return query_stage(value, &ask->search.stage, err);
}

static int take_since(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_time(name, value, &ask->search.since, err);
}

static int take_before(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_number(name, value, INT64_MAX, "the id of a run", &ask->search.before, err);
}

static int take_keep(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->keep, err);
}

static int take_dry(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->dry_run, err);
}

static int take_after(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	(void)name;
	(void)err;
	lw_free(ask->after);
	ask->after = lw_strdup(value);
	return 0;
}

static int take_lines(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	uint64_t lines = 0;
	int r = 0;

	if (strcmp(value, "all") == 0)
		ask->logs.lines = LW_LOGREAD_ALL;
	else if (strcmp(value, "0") != 0)
		r = query_number(name, value, INT64_MAX, "a number of lines, or all", &lines, err);
	if (r == 0 && strcmp(value, "all") != 0)
		ask->logs.lines = (int64_t)lines;
	return r;
}

static int take_follow(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_truth(name, value, &ask->follow, err);
}

static int take_run(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	return query_number(name, value, INT64_MAX, "the id of a run", &ask->logs.run, err);
}

static int take_stream(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	ask->logs.out = strcmp(value, "out") == 0;
	ask->logs.err = strcmp(value, "err") == 0;
	if (ask->logs.out || ask->logs.err)
		return 0;
	return lw_err_set(err, -EINVAL, "'%s' is out or err, not '%.50s'", name, value);
}

static int take_search(struct ask *ask, const char *name, const char *value, struct lw_err *err)
{
	lw_free(ask->text);
	ask->text = http_decode(value, strlen(value));
	ask->logs.search = ask->text;
	return ask->text != NULL ? 0 : lw_err_set(err, -EINVAL, "'%s' is not well-formed", name);
}

#define NAME(BIT, name, sentence) [LW_QUERY_AT_##BIT] = name,
static const char *const query_names[] = { LW_QUERIES(NAME) };
#undef NAME

static int (*const takers[LW_QUERIES_N])(struct ask *ask, const char *name, const char *value,
					 struct lw_err *err) = {
	[LW_QUERY_AT_WAIT] = take_wait,     [LW_QUERY_AT_MAY_WAIT] = take_wait,
	[LW_QUERY_AT_BRIEF] = take_brief,   [LW_QUERY_AT_LEAN] = take_brief,
	[LW_QUERY_AT_LIMIT] = take_limit,   [LW_QUERY_AT_STAGE] = take_stage,
	[LW_QUERY_AT_SINCE] = take_since,   [LW_QUERY_AT_BEFORE] = take_before,
	[LW_QUERY_AT_KEEP] = take_keep,     [LW_QUERY_AT_DRY] = take_dry,
	[LW_QUERY_AT_AFTER] = take_after,   [LW_QUERY_AT_USAGE] = take_usage,
	[LW_QUERY_AT_LINES] = take_lines,   [LW_QUERY_AT_FOLLOW] = take_follow,
	[LW_QUERY_AT_RUN] = take_run,       [LW_QUERY_AT_STREAM] = take_stream,
	[LW_QUERY_AT_SEARCH] = take_search,
};

static int check_pair(struct ask *ask, int allowed, const char *name, const char *value,
		      struct lw_err *err)
{
	for (size_t i = 0; i < LW_QUERIES_N; i++)
		if ((allowed & 1 << i) != 0 && strcmp(name, query_names[i]) == 0)
			return takers[i](ask, name, value, err);
	return lw_err_set(err, -EINVAL, "this request takes no '%.50s'", name);
}

static int check_query(struct ask *ask, int allowed, struct lw_err *err)
{
	LW_AUTO(lw_free) char *query = lw_strdup(ask->request->head.query);
	char *rest = query;
	char *pair;
	int r = 0;

	while (r == 0 && (pair = strsep(&rest, "&")) != NULL) {
		char *value = strchr(pair, '=');

		if (pair[0] == '\0')
			continue;
		if (value != NULL)
			*value++ = '\0';
		r = check_pair(ask, allowed, pair, value != NULL ? value : "true", err);
	}
	return r;
}

static int parse_body(struct ask *ask, struct lw_err *err)
{
	const struct lw_slice body = ask->request->body;
	json_error_t error;

	if (ask->body != NULL || body.size == 0)
		return 0;
	ask->body = json_loadb((const char *)body.data, body.size, BODY_JSON, &error);
	if (ask->body == NULL)
		return lw_err_set(err, -EINVAL,
				  "the body is no JSON: %s at line %d, column %d (byte %d)",
				  error.text, error.line, error.column, error.position);
	if (!json_is_object(ask->body))
		return lw_err_set(err, -EINVAL, "the body is no JSON object");
	return 0;
}

#define KEY(BIT, key, sentence) [LW_BODY_AT_##BIT] = key,
static const char *const body_keys[] = { LW_BODIES(KEY) };
#undef KEY

static bool body_takes(int allowed, const char *key)
{
	for (size_t i = 0; i < LW_COUNT(body_keys); i++)
		if (strcmp(key, body_keys[i]) == 0)
			return (allowed & 1 << i) != 0;
	return false;
}

static int check_body_keys(const struct ask *ask, int allowed, struct lw_err *err)
{
	const char *key;
	json_t *value;

	if ((allowed & LW_BODY_PATCH) != 0)
		return ask->body != NULL ? 0 : lw_err_set(err, -EINVAL, "the body is empty");
	json_object_foreach(ask->body, key, value) if (!body_takes(allowed, key)) return lw_err_set(
		err, -EINVAL,
		allowed == LW_BODY_NONE ? "this request takes no '%.100s'"
					: "unknown key '%.100s' in the body",
		key);
	return 0;
}

static int check_call(struct ask *ask, struct lw_err *err)
{
	const json_t *args = json_object_get(ask->body, "args");
	const json_t *kwargs = json_object_get(ask->body, "kwargs");
	const json_t *all = json_object_get(ask->body, "all");
	const json_t *before = json_object_get(ask->body, "before");

	if (args != NULL && !json_is_array(args))
		return lw_err_set(err, -EINVAL, "'args' is no list");
	if (kwargs != NULL && !json_is_object(kwargs))
		return lw_err_set(err, -EINVAL, "'kwargs' is no object");
	if (all != NULL && !json_is_boolean(all))
		return lw_err_set(err, -EINVAL, "'all' is neither true nor false");
	if (before != NULL && (!json_is_number(before) || !json_is_true(all) ||
			       json_number_value(before) <= 0 || json_number_value(before) > 1e11))
		return lw_err_set(err, -EINVAL,
				  "'before' is a time in seconds since 1970, and goes with 'all'");
	ask->before = (int64_t)(json_number_value(before) * 1e6);
	ask->all = json_is_true(all);
	ask->has_call = args != NULL || kwargs != NULL;
	lw_buf_add(&ask->call, ask->work->head.data, ask->work->head.size);
	ask->call_is_whole = lw_call_add_json(&ask->call, args, kwargs, err) == 0;
	return ask->call_is_whole ? 0 : -EINVAL;
}

static const char *next_work(const void *context, size_t i)
{
	const struct app *app = context;

	return i < app->work_count ? app->works[i]->config->name : NULL;
}

static bool find_work(struct ask *ask)
{
	LW_AUTO_BUF message = { 0 };
	char hint[LW_HINT_MAX];

	ask->work = app_work(ask->app, ask->segment);
	if (ask->work != NULL)
		return true;
	lw_buf_printf(&message, "no work '%s'", ask->segment);
	api_refuse(ask, 404, "no_such_work", lw_buf_text(&message),
		   lw_nearest_hint(ask->segment, next_work, ask->app, hint));
	return false;
}

/* " key="text"": in quotes and escaped, so that nobody writes lines or fields of his own. */
static void add_field(struct lw_buf *line, const char *key, const char *text)
{
	LW_AUTO_BUF quoted = { 0 };

	js_text(&quoted, text);
	lw_buf_printf(line, " %s=%s", key, lw_buf_text(&quoted));
}

const char *api_who(const struct ask *ask)
{
	static char text[HTTP_PEER_TEXT];

	http_peer_print(&ask->peer, ' ', text);
	return text;
}

/* What makes a verb another thing than its name says. */
static void add_details(const struct ask *ask, struct lw_buf *line)
{
	const char *signal = json_string_value(json_object_get(ask->body, "signal"));

	if (ask->dry_run)
		lw_buf_printf(line, " dry_run=true");
	if (ask->keep)
		lw_buf_printf(line, " keep_works=true");
	if (ask->path != NULL)
		add_field(line, "path", ask->path);
	if (signal != NULL && strcmp(ask->verb, "signal") == 0)
		add_field(line, "signal", signal);
}

static void audit(const struct ask *ask)
{
	const char *work = ask->work != NULL ? ask->work->config->name : ask->segment;
	LW_AUTO_BUF line = { 0 };
	LW_AUTO_BUF call = { 0 };
	char who[HTTP_PEER_TEXT];

	http_peer_print(&ask->peer, '=', who);
	if (work != NULL && work[strspn(work, NAME_PLAIN)] == '\0')
		lw_buf_printf(&line, " work=%s", work);
	else if (work != NULL)
		add_field(&line, "work", work);
	if (ask->all && ask->before > 0) {
		lw_buf_printf(&line, " call=older before=%lld", (long long)(ask->before / 1000000));
	} else if (ask->all) {
		lw_buf_printf(&line, " call=all");
	} else if (ask->call_is_whole) {
		lw_call_print(lw_buf_slice(&ask->call), CALL_SHOWN, &call);
		add_field(&line, "call", lw_buf_text(&call));
	}
	add_details(ask, &line);
	if (ask->refused.code != 0)
		add_field(&line, "refused", ask->refused.text);
	lw_log(LW_LOG_INFO, "audit %s verb=%s%s", who, ask->verb, lw_buf_text(&line));
}

/* What a work printed that nobody makes any more may still be read. */
static bool has_logs(const struct ask *ask, const struct row *row)
{
	LW_AUTO(lw_free) char *folder = NULL;

	if ((row->query & LW_QUERY_LINES) == 0)
		return false;
	folder = lw_format("%s/%s", ask->app->state_dir, LW_LOGFILE_FOLDER);
	return lw_logread_has(folder, ask->segment);
}

/* NULL also for a text that goes on behind a NUL, as no path does. */
static const char *path_in(const json_t *body)
{
	const json_t *text = json_object_get(body, "path");
	const char *path = json_string_value(text);

	return path != NULL && strlen(path) == json_string_length(text) ? path : NULL;
}

/* Everything that can be wrong with a request before its handler sees it. */
static bool check(struct ask *ask, const struct row *row, struct lw_slice segment)
{
	struct lw_err err = { 0 };
	int r;

	if (segment.size > 0) {
		ask->segment = http_decode((const char *)segment.data, segment.size);
		if (ask->segment == NULL) {
			api_refuse(ask, 400, "bad_path", "the path is not well-formed", NULL);
			return false;
		}
		if (strncmp(row->path, "works/", 6) == 0 && !has_logs(ask, row) && !find_work(ask))
			return false;
	}
	r = check_query(ask, row->query, &err);
	if (r == 0)
		r = parse_body(ask, &err);
	if (r == 0)
		r = check_body_keys(ask, row->body, &err);
	if (r == 0 && (row->body & LW_BODY_CALL) != 0)
		r = check_call(ask, &err);
	ask->path = path_in(ask->body);
	if (r < 0)
		api_refuse(ask, 400, "bad_request", err.text, NULL);
	return r >= 0;
}

static void serve(struct http_request *request, json_t *take_body);

static void serve_again(struct wait *wait)
{
	serve(wait->request, LW_TAKE(wait->body));
}

static void files_seen(struct watcher *watcher)
{
	wait_finish(LW_OWNER(watcher, struct wait, watcher));
}

/* A call is one of files as they are now: the request waits until they are looked at and known,
 * and is then served again. */
static bool awaits_files(struct ask *ask, bool looked)
{
	struct work *work = ask->work;
	struct wait *wait;

	if (work->files == NULL || ask->all)
		return false;
	wait = wait_new(ask, serve_again);
	wait->watcher.done = files_seen;
	wait->body = ask->body != NULL ? json_incref(ask->body) : json_object();
	if (!looked && files_look(ask->app->files, &wait->watcher))
		return true;
	if (work_awaits_files(work)) {
		watcher_add(&work->files->watchers, &wait->watcher);
		return true;
	}
	wait_drop(wait);
	return false;
}

void api_serve(struct http_request *request)
{
	serve(request, NULL);
}

/* `take_body`: the request was held back, and its bytes are gone. */
static void serve(struct http_request *request, json_t *take_body)
{
	struct ask ask = {
		.request = request,
		.app = request->app,
		.search = { .stage = -1, .limit = RUNS_DEFAULT },
		.peer = request->peer,
		.logs = { .lines = LINES_UNSET },
		.body = take_body,
	};
	struct lw_slice segment = { 0 };
	const struct row *row = find_row(request, &segment);
	bool looked = take_body != NULL, waits = false;

	if (row == NULL) /* not of one that was held back */
		return;
	/* Whoever is let in, by http.c or view.c, is an operator. */
	ask.verb = row->rights == LW_OPERATOR ? row->name : NULL;
	ask.wait = (row->query & LW_QUERY_MAY_WAIT) == 0;
	if (check(&ask, row, segment)) {
		waits = (row->body & LW_BODY_CALL) != 0 && awaits_files(&ask, looked);
		if (!waits)
			row->act(&ask);
	}
	if (ask.verb != NULL && !waits)
		audit(&ask);
	lw_buf_done(&ask.call);
	lw_free(ask.segment);
	lw_free(ask.after);
	lw_free(ask.text);
	json_decref(ask.body);
}
