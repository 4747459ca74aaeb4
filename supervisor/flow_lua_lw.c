/* flow_lua_lw.c - app{}, work "name" {}, works[...] and lw.
 *
 * Part of the flow engine (flow_lua.h). Settings are read by config_lua.c; here they get the
 * line of the statement and go to the config (while app.conf is read) or to the app (in a
 * pass).
 */
#include <errno.h>
#include <stdio.h>

#include "app.h"
#include "flow_lua.h"

static int line_of_caller(lua_State *L)
{
	lua_Debug at;

	if (!lua_getstack(L, 1, &at) || !lua_getinfo(L, "l", &at))
		return 0;
	return at.currentline;
}

/* ---- app{} --------------------------------------------------------------------------- */

static int lua_app(lua_State *L)
{
	struct flow *flow = flow_of(L);
	struct lw_err err = { 0 };

	flow_check_ending(L);
	if (!flow->loading)
		flow_raise(L, "app{} belongs to the top level of %s", flow->file);
	if (flow->app_seen)
		flow_raise(L, "app{} is given twice");
	if (lua_type(L, 1) != LUA_TTABLE)
		flow_raise(L, "app wants a table (write app { ... })");
	flow->app_seen = true;
	if (config_read_app(L, 1, &flow->config->app, &err) < 0)
		flow_raise(L, "app: %s", err.text);
	return 0;
}

/* ---- work "name" {} --------------------------------------------------------------------- */

/* A name that a script could have written: letters, digits, _, no keyword. */
static bool is_identifier(const char *name)
{
	static const char *const keywords[] = {
		"and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
		"function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
		"repeat",   "return", "then", "true", "until",  "while",
	};
	const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9') ||
	    name[strspn(name, letters)] != '\0')
		return false;
	for (size_t i = 0; i < LW_COUNT(keywords); i++)
		if (strcmp(keywords[i], name) == 0)
			return false;
	return true;
}

/* The work on top of the stack becomes a global unless its name is taken. */
static void make_global(lua_State *L, const char *name)
{
	if (!is_identifier(name))
		return;
	lua_pushglobaltable(L);
	lua_pushstring(L, name);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pushstring(L, name);
		lua_pushvalue(L, -4);
		lua_rawset(L, -4);
	}
	lua_pop(L, 2);
}

static bool config_has(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->count; i++)
		if (strcmp(config->works[i]->name, name) == 0)
			return true;
	return false;
}

static int add_to_config(struct config *config, struct work_config *take, struct lw_err *err)
{
	if (config_has(config, take->name)) {
		work_config_free(take);
		return lw_err_set(err, -EEXIST, "it is defined twice");
	}
	config->works = lw_realloc(config->works, (config->count + 1) * sizeof(*config->works));
	config->works[config->count++] = take;
	return 0;
}

/* Nothing in here raises, so nothing is lost. */
static int add_work(lua_State *L, const char *name, int line, struct lw_err *err)
{
	struct flow *flow = flow_of(L);
	struct work_config *work = work_config_new(name);
	const struct work *known = flow->loading ? NULL : app_work(flow->app, name);
	bool look_up = known == NULL || known->retired || known->stale;
	struct work *added;
	int r;

	work->line = line;
	if (config_read_work(L, 1, flow->folder, look_up, work, err) < 0) {
		work_config_free(work);
		return -EINVAL;
	}
	if (flow->loading)
		return add_to_config(flow->config, work, err);
	r = app_work_add(flow->app, work, true, &added, err);
	if (r < 0)
		work_config_free(work);
	return r;
}

/* Upvalue: the name. */
static int lua_work_settings(lua_State *L)
{
	struct flow *flow = flow_of(L);
	const char *name = lua_tostring(L, lua_upvalueindex(1));
	struct lw_err err = { 0 };

	if (flow->loading)
		flow_check_ending(L);
	else
		flow_in_pass(L, "work");
	if (lua_type(L, 1) != LUA_TTABLE)
		flow_raise(L, "work '%s' wants a table of settings (write work \"%s\" { ... })",
			   name, name);
	lw_free(flow->open_work);
	flow->open_work = NULL;
	if (add_work(L, name, line_of_caller(L), &err) < 0)
		flow_raise(L, "work '%s': %s", name, err.text);
	lua_settop(L, 1);
	flow_push_work(L, name);
	make_global(L, name);
	return 1;
}

/* It would reach terminals and logs. Of UTF-8, where U+0080 to U+009F steer some terminals, too. */
static bool has_control(const char *name)
{
	for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++)
		if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
			return true;
	return false;
}

static int lua_work(lua_State *L)
{
	struct flow *flow = flow_of(L);
	const char *name;
	size_t size;

	flow_check_ending(L);
	if (lua_type(L, 1) != LUA_TSTRING)
		flow_raise(L, "work wants a name (write work \"name\" { ... })");
	name = lua_tolstring(L, 1, &size);
	if (size == 0 || size > 255 || strlen(name) != size || !lw_text_is_utf8(name, size) ||
	    has_control(name))
		flow_raise(
			L,
			"the name of a work is text of 1 to 255 bytes without control characters");
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) /* in no path, nor address */
		flow_raise(L, "'%s' cannot be the name of a work", name);
	if (flow->loading && flow->open_work != NULL)
		flow_raise(L, "work '%s' has no settings (write work \"%s\" { ... })",
			   flow->open_work, flow->open_work);
	if (flow->loading) {
		flow->open_work = lw_strdup(name);
		flow->open_line = line_of_caller(L);
	}
	lua_settop(L, 1);
	lua_pushcclosure(L, lua_work_settings, 1);
	return 1;
}

/* ---- works[...] --------------------------------------------------------------------------- */

static int works_index(lua_State *L)
{
	flow_check(L, 1, KIND_WORKS, "works");
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->works_ref);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, -2) == LUA_TNIL) { /* for the hint, should that be used */
		lua_pushvalue(L, 2);
		lua_rawseti(L, LUA_REGISTRYINDEX, flow_of(L)->missed_ref);
	}
	return 1;
}

static int works_newindex(lua_State *L)
{
	flow_raise(L, "works is read-only; a work is made by work \"name\" { ... }");
}

static int works_pairs(lua_State *L)
{
	flow_check(L, 1, KIND_WORKS, "works");
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->works_ref);
	return flow_pairs_of_table(L, lua_gettop(L));
}

/* ---- lw ------------------------------------------------------------------------------------ */

/* lw.stop(message) and lw.fail(message) */
static int end_app(lua_State *L, enum flow_verdict verdict, const char *what)
{
	const char *message;
	char where[100];

	flow_in_pass(L, what);
	message = lua_isnoneornil(L, 1) ? "" : luaL_tolstring(L, 1, NULL);
	if (message[0] == '\0')
		message = verdict == FLOW_FAILS ? "lw.fail()" : "stopped by the flow";
	luaL_where(L, 1);
	snprintf(where, sizeof(where), "%s", verdict == FLOW_FAILS ? lua_tostring(L, -1) : "");
	flow_end(L, verdict, "%s%s", where, message);
}

static int lw_stop(lua_State *L)
{
	return end_app(L, FLOW_STOPS, "lw.stop");
}

static int lw_fail(lua_State *L)
{
	return end_app(L, FLOW_FAILS, "lw.fail");
}

static int lw_schedule(lua_State *L)
{
	const char *mark = luaL_checkstring(L, 1);
	struct flow *flow = flow_in_pass(L, "lw.schedule");
	struct lw_err err = { 0 };
	char text[32];
	int r = app_schedule(flow->app, mark, text, &err);

	if (r < 0)
		flow_raise(L, "lw.schedule: %s", err.text);
	if (r > 0)
		lua_pushstring(L, text);
	else
		lua_pushnil(L);
	return 1;
}

static int lw_env(lua_State *L)
{
	const char *value = getenv(luaL_checkstring(L, 1));

	if (value != NULL)
		lua_pushstring(L, value);
	else
		lua_settop(L, 2); /* the default, or nil */
	return 1;
}

static const luaL_Reg lw_functions[] = {
	{ "stop", lw_stop },    { "fail", lw_fail },      { "schedule", lw_schedule },
	{ "map", flow_lw_map }, { "list", flow_lw_list }, { "bytes", flow_lw_bytes },
	{ "env", lw_env },      { "state", NULL },        { "null", NULL },
	{ "version", NULL },    { NULL, NULL },
};

static const char *next_lw_name(const void *context LW_UNUSED, size_t i)
{
	return lw_functions[i].name;
}

/* Upvalue: the table of what there is. */
static int lw_index(lua_State *L)
{
	char hint[LW_HINT_MAX] = "";
	const char *name;

	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
	flow_raise(L, "lw has no '%.60s'%s", name, lw_nearest_hint(name, next_lw_name, NULL, hint));
}

static int lw_newindex(lua_State *L)
{
	flow_raise(L, "lw is read-only; a value is assigned as lw.state.x");
}

static int lw_tostring(lua_State *L)
{
	lua_pushliteral(L, "lw " LW_VERSION);
	return 1;
}

static void open_lw(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "__newindex", lw_newindex },
		{ "__tostring", lw_tostring },
		{ NULL, NULL },
	};

	flow_metatable(L, KIND_LW, "lw", methods);
	lua_newtable(L);
	for (const luaL_Reg *function = lw_functions; function->name != NULL; function++) {
		if (function->func == NULL)
			continue;
		lua_pushcfunction(L, function->func);
		lua_setfield(L, -2, function->name);
	}
	flow_push_state(L, 0);
	lua_setfield(L, -2, "state");
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->null_ref);
	lua_setfield(L, -2, "null");
	lua_pushliteral(L, LW_VERSION);
	lua_setfield(L, -2, "version");
	lua_pushcclosure(L, lw_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	flow_new(L, KIND_LW, sizeof(enum flow_kind), 0);
	lua_setglobal(L, "lw");
}

void flow_lw_open(lua_State *L)
{
	static const luaL_Reg works[] = {
		{ "__index", works_index },
		{ "__newindex", works_newindex },
		{ "__pairs", works_pairs },
		{ NULL, NULL },
	};

	lua_pushboolean(L, 0);
	flow_of(L)->missed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	flow_metatable(L, KIND_WORKS, "works", works);
	lua_pop(L, 1);
	flow_new(L, KIND_WORKS, sizeof(enum flow_kind), 0);
	lua_setglobal(L, "works");
	lua_pushcfunction(L, lua_app);
	lua_setglobal(L, "app");
	lua_pushcfunction(L, lua_work);
	lua_setglobal(L, "work");
	open_lw(L);
}
