/* flow_lua_env.c - the sandbox that app.conf and the flow run in.
 *
 * Part of the flow engine (flow_lua.h); flow_env_open() is called once, at load. Lua's own
 * functions where they cannot block or catch; the rest is wrapped (whatever may catch an
 * error looks whether the pass is ending) or left out, with a sentence that says what to do
 * instead.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "flow_lua.h"
#include "lw_log.h"

/* ---- pcall, xpcall ---------------------------------------------------------------- */

/* Behind a protected call, also one in a coroutine that yielded in between. `extra` values
 * below the results are ours. An error while the pass is ending goes on. */
static int pcall_done(lua_State *L, int status, lua_KContext extra)
{
	if (status != LUA_OK && status != LUA_YIELD) {
		flow_check_ending(L);
		lua_pushboolean(L, 0);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L) - (int)extra;
}

static int base_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return pcall_done(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, pcall_done), 0);
}

/* Upvalue: the user's handler, which is not asked about the end of a pass. */
static int handle_error(lua_State *L)
{
	struct flow *flow = flow_of(L);

	if (flow->ending || flow->interrupted)
		return 1;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, -2);
	lua_call(L, 1, 1);
	return 1;
}

static int base_xpcall(lua_State *L)
{
	int n = lua_gettop(L);

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, handle_error, 1);
	lua_replace(L, 2);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	return pcall_done(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, pcall_done), 2);
}

/* ---- load, require, print, setmetatable ------------------------------------------------- */

/* Text from a function, piece by piece, in the place of the function. It is called here, not
 * by lua_load(), which would catch its errors. */
static void gather(lua_State *L)
{
	lua_Integer pieces = 0;
	luaL_Buffer text;
	int table;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_newtable(L);
	table = lua_gettop(L);
	for (;;) {
		lua_pushvalue(L, 1);
		lua_call(L, 0, 1);
		if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_rawlen(L, -1) == 0))
			break;
		if (lua_type(L, -1) != LUA_TSTRING)
			flow_raise(L, "reader function must return a string");
		lua_rawseti(L, table, ++pieces);
	}
	luaL_buffinit(L, &text);
	for (lua_Integer i = 1; i <= pieces; i++) {
		lua_rawgeti(L, table, i);
		luaL_addvalue(&text);
	}
	luaL_pushresult(&text);
	lua_replace(L, 1);
	lua_settop(L, 4);
}

/* load(chunk [, name [, mode [, env]]]): text only */
static int base_load(lua_State *L)
{
	const char *mode = luaL_optstring(L, 3, "t"), *text, *name;
	bool has_env = !lua_isnone(L, 4);
	bool is_text = lua_isstring(L, 1);
	size_t size;

	lua_settop(L, 4);
	if (strchr(mode, 't') == NULL) {
		lua_pushnil(L);
		lua_pushliteral(L, "a flow loads text only, no bytecode");
		return 2;
	}
	if (!is_text)
		gather(L);
	text = lua_tolstring(L, 1, &size);
	name = luaL_optstring(L, 2, is_text ? text : "=(load)");
	if (luaL_loadbufferx(L, text, size, name, "t") != LUA_OK) {
		flow_check_ending(L);
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	if (has_env) {
		lua_pushvalue(L, 4);
		if (lua_setupvalue(L, -2, 1) == NULL)
			lua_pop(L, 1);
	}
	return 1;
}

/* Letters, digits, _ and -, in parts between single dots: no way out of the folder. */
static bool module_path(const char *name, char *path, size_t room)
{
	size_t n = 0;
	char last = '.';

	for (; *name != '\0' && n + 1 < room; last = *name++) {
		bool part = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			    (*name >= '0' && *name <= '9') || *name == '_' || *name == '-';

		if (!part && (*name != '.' || last == '.'))
			return false;
		path[n++] = *name == '.' ? '/' : *name;
	}
	path[n] = '\0';
	return *name == '\0' && last != '.';
}

/* Pushes the loaded chunk. */
static void load_module(lua_State *L, const char *name)
{
	static const char *const forms[] = { "%s.lua", "%s/init.lua" };
	struct flow *flow = flow_of(L);
	struct lw_buf *text = &flow->call;
	char stem[256], file[300], path[PATH_MAX], chunk[310];
	struct lw_err err = { 0 };
	int r = -ENOENT;

	if (!module_path(name, stem, sizeof(stem)))
		flow_raise(L,
			   "require '%.60s': a module's name is words with dots between them; "
			   "modules come from the app's folder",
			   name);
	for (size_t i = 0; i < LW_COUNT(forms) && r == -ENOENT; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(file, sizeof(file), forms[i], stem);
#pragma GCC diagnostic pop
		if (snprintf(path, sizeof(path), "%s/%s", flow->folder, file) >= (int)sizeof(path))
			break;
		text->size = 0;
		r = flow_read_file(path, text, &err);
	}
	if (r == -ENOENT)
		flow_raise(L, "require '%s': neither %s.lua nor %s/init.lua is in the app's folder",
			   name, stem, stem);
	if (r < 0)
		flow_raise(L, "require '%s': %s", name, err.text);
	snprintf(chunk, sizeof(chunk), "@%s", file);
	if (luaL_loadbufferx(L, (const char *)text->data, text->size, chunk, "t") != LUA_OK) {
		flow_check_ending(L);
		lua_error(L);
	}
}

/* modules[name] is the module's value; `false` while it is being loaded. */
static int base_require(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	int status;

	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->modules_ref);
	lua_getfield(L, 2, name);
	if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
		flow_raise(L, "require '%s': it requires itself", name);
	if (!lua_isnil(L, -1))
		return 1;
	lua_pop(L, 1);
	load_module(L, name);
	lua_pushboolean(L, 0);
	lua_setfield(L, 2, name);
	lua_pushvalue(L, 1);
	status = lua_pcall(L, 1, 1, 0);
	if (status != LUA_OK) {
		lua_pushnil(L);
		lua_setfield(L, 2, name); /* it may be tried again */
		flow_check_ending(L);
		return lua_error(L);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, 2, name);
	return 1;
}

#define LINE_MAX_PRINTED (64u << 10)

static int base_print(lua_State *L)
{
	struct flow *flow = flow_of(L);
	int n = lua_gettop(L);
	luaL_Buffer line;
	const char *text, *end;
	size_t size;

	luaL_buffinit(L, &line);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&line, '\t');
		luaL_tolstring(L, i, NULL);
		luaL_addvalue(&line);
	}
	luaL_pushresult(&line);
	text = lua_tolstring(L, -1, &size);
	while (flow->print != NULL) { /* one line at a time */
		end = memchr(text, '\n', size);
		flow->print(flow->print_context, text,
			    end != NULL               ? (size_t)(end - text)
			    : size < LINE_MAX_PRINTED ? size
						      : LINE_MAX_PRINTED);
		if (end == NULL)
			break;
		size -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	return 0;
}

static int base_warn(lua_State *L)
{
	lw_log(LW_LOG_WARNING, "flow: %s", luaL_checkstring(L, 1));
	return 0;
}

static int base_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (type == LUA_TTABLE) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			flow_raise(L, "a flow has no finalizers (__gc), they would run at any "
				      "time; use a <close> variable");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

/* ---- coroutines ---------------------------------------------------------------------------- */

static lua_State *check_thread(lua_State *L)
{
	lua_State *thread = lua_tothread(L, 1);

	luaL_argexpected(L, thread != NULL, 1, "coroutine");
	return thread;
}

/* Nobody catches the end: the coroutine's `<close>` variables are closed, then it goes on. */
static void pass_on_ending(lua_State *L, lua_State *thread)
{
	struct flow *flow = flow_of(L);

	if (!flow->ending && !flow->interrupted)
		return;
	flow->running = thread;
	lua_resetthread(thread);
	flow->running = L;
	flow_check_ending(L);
}

static const char *co_state(lua_State *L, lua_State *thread)
{
	lua_Debug at;

	if (L == thread)
		return "running";
	switch (lua_status(thread)) {
	case LUA_YIELD:
		return "suspended";
	case LUA_OK:
		if (lua_getstack(thread, 0, &at))
			return "normal";
		return lua_gettop(thread) == 0 ? "dead" : "suspended";
	default:
		return "dead";
	}
}

/* The number of results on L; negative: one error value on L. */
static int resume(lua_State *L, lua_State *thread, int n)
{
	struct flow *flow = flow_of(L);
	int status, results = 0;
	const char *state;

	flow_check_ending(L);
	state = co_state(L, thread);
	if (strcmp(state, "suspended") != 0) { /* what did not run is not reset either */
		lua_pushfstring(L, "cannot resume %s coroutine",
				strcmp(state, "dead") == 0 ? state : "non-suspended");
		return -1;
	}
	if (!lua_checkstack(thread, n)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, thread, n);
	flow->running = thread; /* before the question: the handler sets the hook there */
	if (flow->interrupted == 1) {
		flow->running = L;
		flow_check_ending(L);
	}
	status = lua_resume(thread, L, n, &results);
	flow->running = L;
	pass_on_ending(L, thread);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(thread, L, 1);
		return -1;
	}
	if (!lua_checkstack(L, results + 1)) {
		lua_pop(thread, results);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(thread, L, results);
	return results;
}

static int co_create(lua_State *L)
{
	lua_State *thread;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	thread = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, thread, 1);
	return 1;
}

static int co_resume(lua_State *L)
{
	lua_State *thread = check_thread(L);
	int n = resume(L, thread, lua_gettop(L) - 1);

	lua_pushboolean(L, n >= 0);
	lua_insert(L, n >= 0 ? -(n + 1) : -2);
	return n >= 0 ? n + 1 : 2;
}

static int co_close_thread(lua_State *L, lua_State *thread)
{
	struct flow *flow = flow_of(L);
	int status;

	flow->running = thread;
	status = lua_resetthread(thread);
	flow->running = L;
	flow_check_ending(L);
	return status;
}

static int wrapped(lua_State *L)
{
	lua_State *thread = lua_tothread(L, lua_upvalueindex(1));
	int n = resume(L, thread, lua_gettop(L)), status;

	if (n >= 0)
		return n;
	status = lua_status(thread);
	if (status != LUA_OK && status != LUA_YIELD) { /* close it; its error may be another */
		status = co_close_thread(L, thread);
		lua_xmove(thread, L, 1);
	}
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrapped, 1);
	return 1;
}

static int co_yield (lua_State *L)
{
	if (L == flow_of(L)->thread)
		flow_raise(L, "attempt to yield from outside a coroutine");
	return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, co_state(L, check_thread(L)));
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushthread(L);
	lua_pushboolean(L, L == flow_of(L)->thread);
	return 2;
}

static int co_isyieldable(lua_State *L)
{
	lua_State *thread = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;

	lua_pushboolean(L, thread != flow_of(L)->thread && lua_isyieldable(thread));
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *thread = check_thread(L);
	const char *state = co_state(L, thread);

	if (strcmp(state, "dead") != 0 && strcmp(state, "suspended") != 0)
		return luaL_error(L, "cannot close a %s coroutine", state);
	if (co_close_thread(L, thread) == LUA_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushboolean(L, 0);
	lua_xmove(thread, L, 1);
	return 2;
}

/* ---- os -------------------------------------------------------------------------------------- */

/* Upvalues: Lua's function, its name. The top level depends on nothing but the file. */
static int in_flow_only(lua_State *L)
{
	struct flow *flow = flow_of(L);

	if (flow->loading)
		flow_raise(L,
			   "%s cannot be used while %s is read, which depends on nothing but "
			   "the file and lw.env: use it in flow()",
			   lua_tostring(L, lua_upvalueindex(2)), flow->file);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* ---- what was left out ---------------------------------------------------------------------------- */

struct left_out {
	const char *table, *name; /* table NULL: a global */
	const char *why;
};

#define BLOCKS  "would block the flow; do it in a work"
#define CHANGES "changes files; do it in a work"

/* clang-format off */
static const struct left_out left_out[] = {
	{ NULL,     "dofile",         "is left out; use require \"name\", which reads from the app's folder" },
	{ NULL,     "loadfile",       "is left out; use require \"name\", which reads from the app's folder" },
	{ NULL,     "collectgarbage", "is left out; memory is bounded by flow_memory" },
	{ "string", "dump",           "is left out; a flow loads text only" },
	{ "os",     "execute",        BLOCKS },
	{ "os",     "remove",         CHANGES },
	{ "os",     "rename",         CHANGES },
	{ "os",     "tmpname",        CHANGES },
	{ "os",     "exit",           "would end the supervisor; use lw.stop(message) or lw.fail(message)" },
	{ "os",     "setlocale",      "changes the whole supervisor and is left out" },
	{ "os",     "difftime",       "is left out; subtract the times" },
	{ "io",     "open",           BLOCKS },
	{ "io",     "popen",          BLOCKS },
	{ "io",     "read",           BLOCKS },
	{ "io",     "lines",          BLOCKS },
	{ "io",     "input",          BLOCKS },
	{ "io",     "output",         BLOCKS },
	{ "io",     "tmpfile",        BLOCKS },
	{ "io",     "close",          BLOCKS },
	{ "io",     "write",          "would block the flow; use print, which goes to the log" },
};
/* clang-format on */

static int say_left_out(lua_State *L)
{
	const struct left_out *what = lua_touserdata(L, lua_upvalueindex(1));

	flow_raise(L, "%s%s%s %s", what->table != NULL ? what->table : "",
		   what->table != NULL ? "." : "", what->name, what->why);
}

static int index_left_out(lua_State *L)
{
	const char *table = lua_tostring(L, lua_upvalueindex(1));
	const char *why = lua_tostring(L, lua_upvalueindex(2));

	flow_raise(L, "%s.%s %s", table, lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?",
		   why);
}

/* A table of which nothing is there. */
static void open_absent(lua_State *L, const char *name, const char *why)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, name);
	lua_pushstring(L, why);
	lua_pushcclosure(L, index_left_out, 2);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_setglobal(L, name);
}

static void open_left_out(lua_State *L)
{
	open_absent(L, "io", BLOCKS);
	open_absent(L, "debug", "is left out: it opens the sandbox");
	open_absent(L, "package", "is left out; require reads from the app's folder");
	for (size_t i = 0; i < LW_COUNT(left_out); i++) {
		lua_pushglobaltable(L);
		if (left_out[i].table != NULL) {
			lua_pushstring(L, left_out[i].table);
			lua_rawget(L, -2);
			lua_remove(L, -2);
		}
		lua_pushstring(L, left_out[i].name);
		lua_pushlightuserdata(L, (void *)(uintptr_t)&left_out[i]);
		lua_pushcclosure(L, say_left_out, 1);
		lua_rawset(L, -3);
		lua_pop(L, 1);
	}
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void open_os(lua_State *L)
{
	static const char *const kept[] = { "date", "time", "clock", "getenv" };

	luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 0);
	lua_newtable(L);
	for (size_t i = 0; i < LW_COUNT(kept); i++) {
		lua_getfield(L, -2, kept[i]);
		lua_pushfstring(L, "os.%s", kept[i]);
		lua_pushcclosure(L, in_flow_only, 2);
		lua_setfield(L, -2, kept[i]);
	}
	lua_setglobal(L, LUA_OSLIBNAME);
	lua_pop(L, 1);
}

/* math.random is the same in every load, where nothing but the file counts; it is seeded anew
 * behind it. */
static void open_math(lua_State *L)
{
	luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, 0);
	lua_call(L, 1, 0);
	lua_getfield(L, -1, "randomseed");
	flow_of(L)->seed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pop(L, 1);
}

void flow_env_open(lua_State *L)
{
	static const luaL_Reg libraries[] = {
		{ LUA_GNAME, luaopen_base },          { LUA_TABLIBNAME, luaopen_table },
		{ LUA_STRLIBNAME, luaopen_string },   { LUA_UTF8LIBNAME, luaopen_utf8 },
		{ LUA_COLIBNAME, luaopen_coroutine }, { NULL, NULL },
	};
	static const luaL_Reg base[] = {
		{ "pcall", base_pcall },
		{ "xpcall", base_xpcall },
		{ "load", base_load },
		{ "require", base_require },
		{ "print", base_print },
		{ "warn", base_warn },
		{ "setmetatable", base_setmetatable },
		{ NULL, NULL },
	};
	static const luaL_Reg coroutines[] = {
		{ "create", co_create }, { "resume", co_resume },
		{ "wrap", co_wrap },     { "yield", co_yield },
		{ "status", co_status }, { "running", co_running },
		{ "close", co_close },   { "isyieldable", co_isyieldable },
		{ NULL, NULL },
	};

	for (const luaL_Reg *library = libraries; library->func != NULL; library++) {
		luaL_requiref(L, library->name, library->func, 1);
		lua_pop(L, 1);
	}
	open_math(L);
	open_os(L);
	lua_pushglobaltable(L);
	luaL_setfuncs(L, base, 0);
	lua_getfield(L, -1, LUA_COLIBNAME);
	luaL_setfuncs(L, coroutines, 0);
	lua_pop(L, 2);
	open_left_out(L);
	lua_newtable(L); /* what luaL_requiref() remembers is not what require finds */
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_newtable(L);
	flow_of(L)->modules_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 2);
}
