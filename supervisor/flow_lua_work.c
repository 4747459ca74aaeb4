/* flow_lua_work.c - works, runs and state as the flow sees them.
 *
 * Part of the flow engine (flow_lua.h). A work is a userdata whose metatable is its own: its
 * __index is a table that holds `run` and knows the work, so that w:run() is found by one
 * table access and everything else by one more. A run object is a copy of what the answer
 * said; its result and error are looked up by id when asked for.
 */
#include <errno.h>
#include <stdio.h>

#include "app.h"
#include "flow_lua.h"

/* User values of a work. */
enum { OF_WORK_STATE = 1, OF_WORK_RUN, OF_WORK_N = OF_WORK_RUN };

struct flow_work {
	enum flow_kind kind;
	struct work *work; /* found again when it moved; NULL before the first use */
	size_t index;      /* where it was in app->works */
	uint64_t pass;     /* in which that was checked */
	char name[];
};

struct flow_run {
	enum flow_kind kind;
	enum stage stage;
	enum decision decision;
	bool stage_only;  /* no run stands behind the answer */
	uint32_t attempt; /* 0: of a run that is over, which knows it */
	uint64_t id;
	struct lw_key key;
	struct flow *flow;
	/* user value 1: the work; 2: the result once it was asked for */
};

struct flow_state {
	enum flow_kind kind; /* user value 1: the work, or nil for the app's own */
};

struct run_error {
	enum flow_kind kind; /* user values: */
	uint64_t run;
};
enum { OF_ERROR_RUN = 1, OF_ERROR_WORK, OF_ERROR_MESSAGE, OF_ERROR_TEXT, OF_ERROR_CALL };

static const char work_key; /* in the table behind a work's __index: the work */

/* ---- the work behind the name ----------------------------------------------------------- */

static struct work *find_work(lua_State *L, struct flow_work *of)
{
	struct flow *flow = flow_of(L);
	const struct app *app = flow->app;

	if (of->pass == flow->passes && of->work != NULL)
		return of->work;
	if (of->work == NULL || of->index >= app->work_count || app->works[of->index] != of->work ||
	    strcmp(of->work->config->name, of->name) != 0)
		of->work = app_work(app, of->name);
	if (of->work == NULL)
		flow_raise(L, "work '%s' is no more: it was not made again for many passes",
			   of->name);
	of->index = of->work->index;
	of->pass = flow->passes;
	return of->work;
}

/* For methods: the work at stack index 1, in a pass. */
static struct work *check_work(lua_State *L, struct flow_work **ret_of)
{
	struct flow_work *of = flow_check(L, 1, KIND_WORK, "a work");

	if (ret_of != NULL)
		*ret_of = of;
	flow_in_pass(L, of->name);
	return find_work(L, of);
}

LW_NORETURN static void raise_of_work(lua_State *L, const struct flow_work *of,
				      const struct lw_err *err)
{
	if (strncmp(err->text, "work '", 6) == 0) /* the sentence names it already */
		flow_raise(L, "%s", err->text);
	flow_raise(L, "work '%s': %s", of->name, err->text);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static struct flow_run *push_run(lua_State *L, int work, const struct answer *answer)
{
	struct flow_run *run;

	/* The same answer as last time is the same object. */
	if (answer->run != 0) {
		lua_getiuservalue(L, work, OF_WORK_RUN);
		run = flow_is(L, -1, KIND_RUN);
		if (run != NULL && run->id == answer->run && run->stage == answer->stage &&
		    run->decision == answer->decision && run->attempt == answer->attempt)
			return run;
		lua_pop(L, 1);
	}
	run = flow_new(L, KIND_RUN, sizeof(*run), 2);
	run->flow = flow_of(L);
	run->stage = answer->stage;
	run->decision = answer->decision;
	run->stage_only = answer->run == 0;
	run->id = answer->run;
	run->attempt = answer->attempt;
	run->key = answer->key;
	lua_pushvalue(L, work);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, work, OF_WORK_RUN);
	return run;
}

/* The run itself; NULL when none stands behind the answer. */
static struct run *find_run(lua_State *L, const struct flow_run *of)
{
	struct flow *flow = flow_in_pass(L, "a run");
	struct run *run;
	struct lw_err err;

	if (of->stage_only)
		return NULL;
	run = app_run(flow->app, of->id, &err);
	if (run == NULL)
		flow_raise(L, "%s", err.text);
	return run;
}

static void push_text(lua_State *L, const char *text)
{
	if (text != NULL)
		lua_pushstring(L, text);
	else
		lua_pushnil(L);
}

static void push_time(lua_State *L, int64_t us)
{
	if (us > 0)
		lua_pushnumber(L, (double)us / (double)CONFIG_SECOND);
	else
		lua_pushnil(L);
}

static void push_status(lua_State *L, const struct status *status)
{
	lua_createtable(L, 0, 5);
	lua_pushstring(L, stage_name(status->stage));
	lua_setfield(L, -2, "stage");
	push_time(L, status->at);
	lua_setfield(L, -2, "timestamp");
	push_text(L, status->reason);
	lua_setfield(L, -2, "reason");
	push_text(L, status->message);
	lua_setfield(L, -2, "message");
	lua_pushinteger(L, status->count);
	lua_setfield(L, -2, "count");
}

static void push_statuses(lua_State *L, const struct status *statuses, size_t count)
{
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		push_status(L, &statuses[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void run_id(lua_State *L, struct flow_run *run)
{
	if (run->stage_only)
		lua_pushnil(L);
	else
		lua_pushinteger(L, (lua_Integer)run->id);
}

static void run_key(lua_State *L, struct flow_run *run)
{
	char text[33];

	lw_key_print(run->key, text);
	push_text(L, run->stage_only ? NULL : text);
}

static void run_stage(lua_State *L, struct flow_run *run)
{
	lua_pushstring(L, stage_name(run->stage));
}

static void run_attempt(lua_State *L, struct flow_run *of)
{
	const struct run *run = of->attempt == 0 ? find_run(L, of) : NULL;

	lua_pushinteger(L, run != NULL ? run->attempt : of->attempt);
}

static void run_cached(lua_State *L, struct flow_run *run)
{
	lua_pushboolean(L, run->decision == DECISION_HIT);
}

static void run_decision(lua_State *L, struct flow_run *run)
{
	lua_pushstring(L, decision_name(run->decision));
}

static void run_work(lua_State *L, struct flow_run *run LW_UNUSED)
{
	lua_getiuservalue(L, 1, 1);
}

static void run_result(lua_State *L, struct flow_run *of)
{
	const struct run *run;

	lua_getiuservalue(L, 1, 2);
	if (of->stage != STAGE_SUCCEEDED || !lua_isnil(L, -1))
		return;
	run = find_run(L, of);
	if (run == NULL || run->result.size == 0)
		return;
	flow_push_value(L, run->result);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 2);
}

static void run_reason(lua_State *L, struct flow_run *of)
{
	const struct run *run = find_run(L, of);

	if (run != NULL)
		push_text(L, run->reason);
	else if (of->stage == STAGE_PENDING)
		lua_pushliteral(L, "its cache_files are being read");
	else
		lua_pushliteral(L, "stopped by operator");
}

static void run_failure(lua_State *L, struct flow_run *of)
{
	const struct run *run = of->stage == STAGE_FAILED ? find_run(L, of) : NULL;

	if (run == NULL)
		lua_pushnil(L);
	else
		push_text(L, run->message != NULL && run->message[0] != '\0' ? run->message
									     : run->reason);
}

static void run_progress(lua_State *L, struct flow_run *of)
{
	const struct run *run = find_run(L, of);

	if (run != NULL && run->progress >= 0)
		lua_pushnumber(L, run->progress);
	else
		lua_pushnil(L);
}

#define RUN_TIME(member)                                                                           \
	static void run_##member(lua_State *L, struct flow_run *of)                                \
	{                                                                                          \
		const struct run *run = find_run(L, of);                                           \
                                                                                                   \
		push_time(L, run != NULL ? run->member : 0);                                       \
	}
RUN_TIME(created)
RUN_TIME(started)
RUN_TIME(ended)

static void run_history(lua_State *L, struct flow_run *of)
{
	const struct run *run = find_run(L, of);
	struct status statuses[RUN_STATUSES];

	push_statuses(L, statuses, run != NULL ? run_statuses(run, statuses) : 0);
}

/* has_succeeded and its kin: of a run and of a work. */
#define STAGE_FIELDS(S)                                                                            \
	S(has_started, stage >= STAGE_STARTED)                                                     \
	S(is_pending, stage == STAGE_PENDING)                                                      \
	S(is_running, stage == STAGE_RUNNING)                                                      \
	S(has_succeeded, stage == STAGE_SUCCEEDED)                                                 \
	S(has_failed, stage == STAGE_FAILED)                                                       \
	S(has_stopped, stage == STAGE_STOPPED)
#define STAGE_FIELD(name, condition)                                                               \
	static void run_##name(lua_State *L, struct flow_run *run)                                 \
	{                                                                                          \
		enum stage stage = run->stage;                                                     \
                                                                                                   \
		lua_pushboolean(L, condition);                                                     \
	}                                                                                          \
	static void work_##name(lua_State *L, struct work *work)                                   \
	{                                                                                          \
		enum stage stage = work_status(work).stage;                                        \
                                                                                                   \
		lua_pushboolean(L, condition);                                                     \
	}
STAGE_FIELDS(STAGE_FIELD)

static void run_has_timeout(lua_State *L, struct flow_run *of)
{
	const struct run *run = of->stage == STAGE_FAILED ? find_run(L, of) : NULL;

	lua_pushboolean(L,
			run != NULL && run->reason != NULL && strcmp(run->reason, "timeout") == 0);
}

struct run_field {
	const char *name;
	void (*push)(lua_State *L, struct flow_run *run);
};
#define RUN_STAGE_ROW(name, condition) { #name, run_##name },
static const struct run_field run_fields[] = {
	STAGE_FIELDS(RUN_STAGE_ROW){ "has_timeout", run_has_timeout },
	{ "stage", run_stage },
	{ "result", run_result },
	{ "error", run_failure },
	{ "reason", run_reason },
	{ "key", run_key },
	{ "id", run_id },
	{ "attempt", run_attempt },
	{ "cached", run_cached },
	{ "decision", run_decision },
	{ "progress", run_progress },
	{ "created", run_created },
	{ "started", run_started },
	{ "ended", run_ended },
	{ "statuses", run_history },
	{ "work", run_work },
};

static const char *next_run_field(const void *context LW_UNUSED, size_t i)
{
	return i < LW_COUNT(run_fields) ? run_fields[i].name : NULL;
}

/* The place of the key at stack index `key` in a table of fields, or -1. */
static lua_Integer field_at(lua_State *L, int fields_ref, int key)
{
	lua_Integer at;

	lua_rawgeti(L, LUA_REGISTRYINDEX, fields_ref);
	lua_pushvalue(L, key);
	at = lua_rawget(L, -2) == LUA_TNUMBER ? lua_tointeger(L, -1) : -1;
	lua_pop(L, 2);
	return at;
}

LW_NORETURN static void raise_unknown(lua_State *L, const char *what,
				      const char *(*next)(const void *context, size_t i))
{
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
	char hint[LW_HINT_MAX] = "";

	flow_raise(L, "%s has no field '%.60s'%s", what, name != NULL ? name : luaL_typename(L, 2),
		   name != NULL ? lw_nearest_hint(name, next, NULL, hint) : "");
}

static int run_index(lua_State *L)
{
	struct flow_run *run = flow_check(L, 1, KIND_RUN, "a run");
	lua_Integer at = field_at(L, flow_of(L)->run_fields, 2);

	if (at < 0)
		raise_unknown(L, "a run", next_run_field);
	run_fields[at].push(L, run);
	return 1;
}

static int run_newindex(lua_State *L)
{
	flow_raise(L, "a run is read-only");
}

static const char *run_work_name(lua_State *L, int run)
{
	const struct flow_work *of;

	lua_getiuservalue(L, run, 1);
	of = flow_is(L, -1, KIND_WORK);
	lua_pop(L, 1);
	return of != NULL ? of->name : "?";
}

static int run_tostring(lua_State *L)
{
	struct flow_run *run = flow_check(L, 1, KIND_RUN, "a run");

	lua_pushfstring(L, "run %I of work '%s' (%s)", (LUAI_UACINT)run->id, run_work_name(L, 1),
			stage_name(run->stage));
	return 1;
}

/* ---- the error of a failed run --------------------------------------------------------------- */

uint64_t flow_error_run(lua_State *L, int index)
{
	const struct run_error *error = flow_is(L, index, KIND_RUN_ERROR);

	return error != NULL ? error->run : 0;
}

static int error_index(lua_State *L)
{
	static const struct {
		const char *name;
		int value;
	} fields[] = {
		{ "run", OF_ERROR_RUN },         { "work", OF_ERROR_WORK },
		{ "message", OF_ERROR_MESSAGE }, { "text", OF_ERROR_TEXT },
		{ "call", OF_ERROR_CALL },
	};
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

	flow_check(L, 1, KIND_RUN_ERROR, "an error");
	for (size_t i = 0; i < LW_COUNT(fields); i++)
		if (strcmp(fields[i].name, name) == 0) {
			lua_getiuservalue(L, 1, fields[i].value);
			return 1;
		}
	lua_pushnil(L); /* whoever catches errors asks all kinds of things of them */
	return 1;
}

static int error_tostring(lua_State *L)
{
	flow_check(L, 1, KIND_RUN_ERROR, "an error");
	lua_getiuservalue(L, 1, OF_ERROR_TEXT);
	return 1;
}

static int error_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

/* "app.conf:9: work 'train' failed (exit status 3): out of data, in the call (1) {lr: 0.1}" */
LW_NORETURN static void raise_failure(lua_State *L, const struct flow_work *of,
				      const struct run *run, int run_index_on_stack)
{
	struct lw_buf *call = &flow_of(L)->call;
	const char *message = run->message != NULL ? run->message : "";
	struct run_error *of_run;
	int error;

	call->size = 0;
	lw_call_print(run->call, 200, call);
	of_run = flow_new(L, KIND_RUN_ERROR, sizeof(struct run_error), OF_ERROR_CALL);
	of_run->run = run->id;
	error = lua_gettop(L);
	lua_pushvalue(L, run_index_on_stack);
	lua_setiuservalue(L, error, OF_ERROR_RUN);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, error, OF_ERROR_WORK);
	lua_pushstring(L, message[0] != '\0' ? message : run->reason);
	lua_setiuservalue(L, error, OF_ERROR_MESSAGE);
	lua_pushlstring(L, (const char *)call->data, call->size);
	lua_setiuservalue(L, error, OF_ERROR_CALL);
	luaL_where(L, 1);
	lua_pushfstring(L, "work '%s' failed", of->name);
	if (run->reason != NULL && run->reason[0] != '\0')
		lua_pushfstring(L, " (%s)", run->reason);
	else
		lua_pushliteral(L, "");
	lua_pushfstring(L, "%s%s", message[0] != '\0' ? ": " : "", message);
	lua_pushliteral(L, ", in the call ");
	lua_pushlstring(L, (const char *)call->data, call->size);
	lua_concat(L, 6);
	lua_setiuservalue(L, error, OF_ERROR_TEXT);
	lua_settop(L, error);
	lua_error(L);
	abort();
}

/* ---- methods of a work --------------------------------------------------------------------------- */

/* Arguments 2 to the last as a call of the work, in the flow's buffer. */
static struct lw_slice make_call(lua_State *L, const struct flow_work *of, const struct work *work)
{
	struct flow *flow = flow_of(L);
	struct lw_err err;
	int r;

	flow->call.size = 0;
	lw_buf_add(&flow->call, work->head.data, work->head.size);
	r = flow_encode_call(L, 2, lua_gettop(L), &flow->call, &err);
	if (r < 0)
		raise_of_work(L, of, &err);
	flow->canonical = r > 0;
	return lw_buf_slice(&flow->call);
}

static const struct run *answered_run(lua_State *L, const struct answer *answer)
{
	struct lw_err err;
	const struct run *run = app_run(flow_of(L)->app, answer->run, &err);

	if (run == NULL)
		flow_raise(L, "%s", err.text);
	return run;
}

static int work_method_run(lua_State *L)
{
	struct flow_work *of;
	struct work *work = check_work(L, &of);
	struct lw_slice call = make_call(L, of, work);
	struct answer answer;
	struct lw_err err;
	int r;

	if (flow_of(L)->canonical && work->config->cache_ignore.count == 0)
		r = work_call_form(work, call, call, FROM_FLOW, &answer, &err);
	else
		r = work_call(work, call, FROM_FLOW, &answer, &err);
	if (r < 0)
		raise_of_work(L, of, &err);
	if (answer.ends_pass)
		flow_end(L, FLOW_WAITS, "work '%s'", of->name);
	push_run(L, 1, &answer);
	if (answer.raises)
		raise_failure(L, of, answered_run(L, &answer), lua_gettop(L));
	return 1;
}

#define STEER(name, call)                                                                          \
	static int work_method_##name(lua_State *L)                                                \
	{                                                                                          \
		struct work *work = check_work(L, NULL);                                           \
                                                                                                   \
		call;                                                                              \
		return 0;                                                                          \
	}
STEER(start, work_start(work, true))
STEER(stop, work_stop(work, true))
STEER(kill, work_kill(work))
STEER(restart, work_restart(work, true))

/* With arguments that call, without any every call. The number of calls. */
static int forget_or_retry(lua_State *L,
			   int (*verb)(struct work *work, struct lw_slice call, struct lw_err *err))
{
	struct flow_work *of;
	struct work *work = check_work(L, &of);
	struct lw_slice call = { NULL, 0 };
	struct lw_err err;
	int n;

	if (lua_gettop(L) > 1)
		call = make_call(L, of, work);
	flow_of(L)->canonical = false;
	n = verb(work, call, &err);
	if (n == -ENOENT)
		n = 0;
	if (n < 0)
		raise_of_work(L, of, &err);
	lua_pushinteger(L, n);
	return 1;
}

static int forget_any(struct work *work, struct lw_slice call, struct lw_err *err)
{
	return work_forget(work, call, 0, err);
}

static int work_method_forget(lua_State *L)
{
	return forget_or_retry(L, forget_any);
}

static int work_method_retry(lua_State *L)
{
	return forget_or_retry(L, work_retry);
}

/* ---- fields of a work ------------------------------------------------------------------------------ */

static void work_field_status(lua_State *L, struct work *work)
{
	struct status status = work_status(work);

	push_status(L, &status);
}

static void work_field_statuses(lua_State *L, struct work *work)
{
	lua_createtable(L, (int)work->status_count, 0);
	for (size_t i = 0; i < work->status_count; i++) {
		push_status(L, work_status_at(work, i));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void work_has_timeout(lua_State *L, struct work *work)
{
	struct status status = work_status(work);

	lua_pushboolean(L, status.stage == STAGE_FAILED && status.reason != NULL &&
				   strcmp(status.reason, "timeout") == 0);
}

static void work_num_successes(lua_State *L, struct work *work)
{
	lua_pushinteger(L, (lua_Integer)work->stage_counts[STAGE_SUCCEEDED]);
}

static void work_num_failures(lua_State *L, struct work *work)
{
	lua_pushinteger(L, (lua_Integer)work->stage_counts[STAGE_FAILED]);
}

static void work_num_timeouts(lua_State *L, struct work *work)
{
	lua_pushinteger(L, (lua_Integer)work->timeouts);
}

static void work_is_ready(lua_State *L, struct work *work)
{
	lua_pushboolean(L, work_readiness(work) == READY_YES);
}

static void work_url(lua_State *L, struct work *work)
{
	bool six = work->config->host != NULL && strchr(work->config->host, ':') != NULL;

	if (work->port > 0 && work->config->host != NULL)
		lua_pushfstring(L, six ? "http://[%s]:%d" : "http://%s:%d", work->config->host,
				(int)work->port);
	else
		lua_pushnil(L);
}

/* The work is at stack index 1. */
static void work_state(lua_State *L, struct work *work LW_UNUSED)
{
	if (lua_getiuservalue(L, 1, OF_WORK_STATE) != LUA_TNIL)
		return;
	flow_push_state(L, 1);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, OF_WORK_STATE);
}

struct work_field {
	const char *name;
	void (*push)(lua_State *L, struct work *work); /* or: */
	lua_CFunction method;
};
#define WORK_STAGE_ROW(name, condition) { #name, work_##name, NULL },
/* clang-format off */
static const struct work_field work_fields[] = {
	STAGE_FIELDS(WORK_STAGE_ROW)
	{ "has_timeout",   work_has_timeout,    NULL },
	{ "status",        work_field_status,   NULL },
	{ "statuses",      work_field_statuses, NULL },
	{ "num_successes", work_num_successes,  NULL },
	{ "num_failures",  work_num_failures,   NULL },
	{ "num_timeouts",  work_num_timeouts,   NULL },
	{ "state",         work_state,          NULL },
	{ "is_ready",      work_is_ready,       NULL },
	{ "url",           work_url,            NULL },
	{ "name",          NULL,                NULL },
	{ "start",         NULL,                work_method_start },
	{ "stop",          NULL,                work_method_stop },
	{ "kill",          NULL,                work_method_kill },
	{ "restart",       NULL,                work_method_restart },
	{ "forget",        NULL,                work_method_forget },
	{ "retry",         NULL,                work_method_retry },
	{ "run",           NULL,                work_method_run },
};
/* clang-format on */

static const char *next_work_field(const void *context LW_UNUSED, size_t i)
{
	return i < LW_COUNT(work_fields) ? work_fields[i].name : NULL;
}

/* __index of the table behind a work's __index: (that table, key). */
static int work_index(lua_State *L)
{
	struct flow_work *of;
	lua_Integer at;
	char what[300];

	lua_rawgetp(L, 1, &work_key);
	lua_replace(L, 1);
	of = flow_check(L, 1, KIND_WORK, "a work");
	at = field_at(L, flow_of(L)->work_fields, 2);
	if (at < 0) {
		snprintf(what, sizeof(what), "work '%s'", of->name);
		raise_unknown(L, what, next_work_field);
	}
	if (work_fields[at].method != NULL) {
		lua_pushcfunction(L, work_fields[at].method);
	} else if (work_fields[at].push == NULL) {
		lua_pushstring(L, of->name);
	} else {
		flow_in_pass(L, "a work");
		work_fields[at].push(L, find_work(L, of));
	}
	return 1;
}

static int work_newindex(lua_State *L)
{
	const struct flow_work *of = flow_check(L, 1, KIND_WORK, "a work");
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "x";

	flow_raise(L, "work '%s' is read-only; its values are assigned as .state.%s", of->name,
		   name);
}

static int work_tostring(lua_State *L)
{
	const struct flow_work *of = flow_check(L, 1, KIND_WORK, "a work");

	lua_pushfstring(L, "work '%s'", of->name);
	return 1;
}

/* ---- state --------------------------------------------------------------------------------------------- */

/* The state at stack index 1, and its work (NULL: the app's). */
static struct state *check_state(lua_State *L, struct work **ret_work)
{
	struct flow *flow;
	struct flow_work *of;

	flow_check(L, 1, KIND_STATE, "a state");
	flow = flow_in_pass(L, "state");
	lua_getiuservalue(L, 1, 1);
	of = flow_is(L, -1, KIND_WORK);
	lua_pop(L, 1);
	*ret_work = of != NULL ? find_work(L, of) : NULL;
	return of != NULL ? &(*ret_work)->state : &flow->app->state;
}

static const char *state_name(lua_State *L, int index)
{
	size_t size;
	const char *name =
		lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : NULL;

	return name != NULL && strlen(name) == size ? name : NULL;
}

static int state_index(lua_State *L)
{
	struct work *work;
	struct state *state = check_state(L, &work);
	const char *name = state_name(L, 2);
	struct lw_slice value;

	if (name != NULL && state_get(state, name, &value))
		flow_push_value(L, value);
	else
		lua_pushnil(L);
	return 1;
}

static int state_newindex(lua_State *L)
{
	struct work *work;
	struct lw_buf *value = &flow_of(L)->call;
	const char *name = state_name(L, 2);
	struct lw_err err;
	char subject[300];
	int r;

	check_state(L, &work);
	if (name == NULL || name[0] == '\0' || strlen(name) > 255 ||
	    !lw_text_is_utf8(name, strlen(name)))
		flow_raise(L, "the name of a value of a state is text of 1 to 255 bytes");
	snprintf(subject, sizeof(subject), "state.%s", name);
	value->size = 0;
	r = flow_encode(L, 3, value, subject, "a value of a state", &err);
	if (r >= 0)
		r = work != NULL ? work_set_state(work, name, lw_buf_slice(value), &err)
				 : app_set_state(flow_of(L)->app, name, lw_buf_slice(value), &err);
	if (r < 0)
		flow_raise(L, "%s", err.text);
	return 0;
}

/* A copy of all values: what is assigned on the way does not disturb it. */
static int state_pairs(lua_State *L)
{
	struct work *work;
	struct state *state = check_state(L, &work);

	lua_createtable(L, 0, (int)state->count);
	for (size_t i = 0; i < state->count; i++) {
		lua_pushstring(L, state->items[i].name);
		flow_push_value(L, lw_buf_slice(&state->items[i].value));
		lua_rawset(L, -3);
	}
	return flow_pairs_of_table(L, lua_gettop(L));
}

static int state_len(lua_State *L)
{
	struct work *work;

	lua_pushinteger(L, (lua_Integer)check_state(L, &work)->count);
	return 1;
}

static int state_tostring(lua_State *L)
{
	lua_pushliteral(L, "state");
	return 1;
}

void flow_push_state(lua_State *L, int work)
{
	flow_new(L, KIND_STATE, sizeof(struct flow_state), 1);
	if (work == 0)
		return;
	lua_pushvalue(L, work);
	lua_setiuservalue(L, -2, 1);
}

/* ---- making a work ----------------------------------------------------------------------------------------- */

/* The metatable of the work on top of the stack. */
static void set_work_metatable(lua_State *L)
{
	int work = lua_gettop(L);

	lua_createtable(L, 0, 7);
	lua_createtable(L, 0, 2); /* behind __index */
	lua_pushcfunction(L, work_method_run);
	lua_setfield(L, -2, "run");
	lua_pushvalue(L, work);
	lua_rawsetp(L, -2, &work_key);
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->metatables[KIND_WORK]);
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, work_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, work_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "work");
	lua_setfield(L, -2, "__metatable");
	lua_pushliteral(L, "work");
	lua_setfield(L, -2, "__name");
	lua_setmetatable(L, work);
}

void flow_push_work(lua_State *L, const char *name)
{
	size_t size = strlen(name) + 1;
	struct flow_work *of;

	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->works_ref);
	lua_pushstring(L, name);
	if (lua_rawget(L, -2) != LUA_TNIL) {
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 1);
	of = lua_newuserdatauv(L, sizeof(*of) + size, OF_WORK_N);
	memset(of, 0, sizeof(*of));
	of->kind = KIND_WORK;
	memcpy(of->name, name, size);
	set_work_metatable(L);
	lua_pushstring(L, name);
	lua_pushvalue(L, -2);
	lua_rawset(L, -4);
	lua_remove(L, -2);
}

/* name -> place, for field_at() */
static int index_names(lua_State *L, const char *(*next)(const void *context, size_t i))
{
	const char *name;

	lua_newtable(L);
	for (size_t i = 0; (name = next(NULL, i)) != NULL; i++) {
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, name);
	}
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

void flow_work_open(lua_State *L)
{
	static const luaL_Reg behind_work[] = { { "__index", work_index }, { NULL, NULL } };
	static const luaL_Reg run[] = {
		{ "__index", run_index },
		{ "__newindex", run_newindex },
		{ "__tostring", run_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg failure[] = {
		{ "__index", error_index },
		{ "__tostring", error_tostring },
		{ "__concat", error_concat },
		{ NULL, NULL },
	};
	static const luaL_Reg state[] = {
		{ "__index", state_index },       { "__newindex", state_newindex },
		{ "__pairs", state_pairs },       { "__len", state_len },
		{ "__tostring", state_tostring }, { NULL, NULL },
	};

	flow_metatable(L, KIND_WORK, "work", behind_work);
	flow_metatable(L, KIND_RUN, "run", run);
	flow_metatable(L, KIND_RUN_ERROR, "error of a run", failure);
	flow_metatable(L, KIND_STATE, "state", state);
	lua_pop(L, 4);
	flow_of(L)->run_fields = index_names(L, next_run_field);
	flow_of(L)->work_fields = index_names(L, next_work_field);
	lua_newtable(L);
	flow_of(L)->works_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
