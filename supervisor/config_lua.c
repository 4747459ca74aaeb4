/* config_lua.c - a Lua table of options into settled structs.
 *
 * Called by flow_lua_lw.c for app{} and work "name" {}. Reads raw tables and raises nothing;
 * the sentence says option, what it takes and what it was given, the caller adds the line.
 * Unknown keys are reported before bad values, in the order of the alphabet, so that a file
 * always gives the same first error.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "flow_lua.h"
#include "lw_spawn.h"

struct reader {
	lua_State *L;
	const struct config_option *option;
	const char *folder; /* of app.conf; NULL for app{} */
	struct lw_err *err;
};

/* ---- what was given --------------------------------------------------------------- */

static void print_given(lua_State *L, int index, struct lw_buf *out)
{
	int type = lua_type(L, index);

	if (type == LUA_TSTRING)
		lw_buf_printf(out, "the text \"%.60s\"", lua_tostring(L, index));
	else if (type == LUA_TBOOLEAN)
		lw_buf_printf(out, "%s", lua_toboolean(L, index) ? "true" : "false");
	else if (lua_isinteger(L, index))
		lw_buf_printf(out, "%lld", (long long)lua_tointeger(L, index));
	else if (type == LUA_TNUMBER)
		lw_buf_printf(out, "%g", lua_tonumber(L, index));
	else
		lw_buf_printf(out, "a %s", luaL_typename(L, index));
}

/* "option 'retries' wants a whole number from 0 to 1000000, not the text "x"" */
static int refuse(const struct reader *reader, int index)
{
	LW_AUTO_BUF wanted = { 0 };
	LW_AUTO_BUF given = { 0 };

	option_wanted(reader->option, &wanted);
	print_given(reader->L, index, &given);
	return lw_err_set(reader->err, -EINVAL, "option '%s' wants %s, not %s", reader->option->key,
			  lw_buf_text(&wanted), lw_buf_text(&given));
}

static bool within(const struct config_option *option, int64_t number)
{
	return number >= option->least && number <= option->most;
}

/* Text without NUL and in UTF-8, or NULL. */
static const char *text_at(lua_State *L, int index)
{
	const char *text;
	size_t size;

	if (lua_type(L, index) != LUA_TSTRING)
		return NULL;
	text = lua_tolstring(L, index, &size);
	return strlen(text) == size && lw_text_is_utf8(text, size) ? text : NULL;
}

/* ---- one function a kind --------------------------------------------------------------- */

static int read_truth(const struct reader *reader, int index, void *member)
{
	if (!lua_isboolean(reader->L, index))
		return refuse(reader, index);
	*(bool *)member = lua_toboolean(reader->L, index);
	return 0;
}

static int read_whole(const struct reader *reader, int index, void *member)
{
	int whole = 0;
	lua_Integer number = 0;

	if (lua_type(reader->L, index) == LUA_TNUMBER)
		number = lua_tointegerx(reader->L, index, &whole);
	if (!whole || !within(reader->option, number))
		return refuse(reader, index);
	*(int64_t *)member = number;
	return 0;
}

static int read_real(const struct reader *reader, int index, void *member)
{
	double number = lua_tonumber(reader->L, index);

	if (lua_type(reader->L, index) != LUA_TNUMBER ||
	    !(number * 1000 >= (double)reader->option->least) ||
	    !(number * 1000 <= (double)reader->option->most))
		return refuse(reader, index);
	*(double *)member = number;
	return 0;
}

/* Numbers count in `unit`s; texts bring their own. -1: neither, or negative. */
static int64_t units_at(lua_State *L, int index, double unit,
			int (*parse)(const char *text, int64_t *ret))
{
	double number = lua_tonumber(L, index) * unit;
	int64_t value;

	if (lua_type(L, index) == LUA_TSTRING) {
		const char *text = text_at(L, index);

		return text != NULL && parse(text, &value) == 0 ? value : -1;
	}
	if (lua_type(L, index) != LUA_TNUMBER || !(number >= 0 && number < 9e18))
		return -1;
	return number > 0 && number < 1 ? 1 : (int64_t)(number + 0.5);
}

static int read_units(const struct reader *reader, int index, void *member, double unit,
		      int (*parse)(const char *text, int64_t *ret))
{
	int64_t value = units_at(reader->L, index, unit, parse);

	if (value < 0 || !within(reader->option, value))
		return refuse(reader, index);
	*(int64_t *)member = value;
	return 0;
}

static int read_duration(const struct reader *reader, int index, void *member)
{
	return read_units(reader, index, member, (double)CONFIG_SECOND, config_parse_duration);
}

static int read_size(const struct reader *reader, int index, void *member)
{
	return read_units(reader, index, member, 1, config_parse_size);
}

static void replace(char **member, char *text)
{
	lw_free(*member);
	*member = text;
}

static int read_text(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);

	if (lua_isinteger(reader->L, index) && reader->option->least == 0) { /* cache_version = 3 */
		replace(member, lw_format("%lld", (long long)lua_tointeger(reader->L, index)));
		return 0;
	}
	if (text == NULL || !within(reader->option, (int64_t)strlen(text)))
		return refuse(reader, index);
	replace(member, lw_strdup(text));
	return 0;
}

/* The place of the text among the choices, or -EINVAL. */
static int choice_at(const struct reader *reader, int index)
{
	const char *const *names = option_choices(reader->option->kind);
	const char *text = text_at(reader->L, index);

	for (int i = 0; text != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return refuse(reader, index);
}

static int read_memory(const struct reader *reader, int index, void *member)
{
	int r = choice_at(reader, index);

	if (r >= 0)
		*(enum cache_memory *)member = (enum cache_memory)r;
	return r;
}

static int read_overlap(const struct reader *reader, int index, void *member)
{
	int r = choice_at(reader, index);

	if (r >= 0)
		*(enum overlap *)member = (enum overlap)r;
	return r;
}

static int read_restart(const struct reader *reader, int index, void *member)
{
	int r = choice_at(reader, index);

	if (r >= 0)
		*(enum restart *)member = (enum restart)r;
	return r;
}

static int read_lost(const struct reader *reader, int index, void *member)
{
	int r = choice_at(reader, index);

	if (r >= 0)
		*(enum lost *)member = (enum lost)r;
	return r;
}

static int read_durability(const struct reader *reader, int index, void *member)
{
	int r = choice_at(reader, index);

	if (r >= 0)
		*(enum durability *)member = (enum durability)r;
	return r;
}

static int read_signal(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);
	int sig;

	if (text == NULL)
		return read_whole(reader, index, member);
	sig = config_parse_signal(text);
	if (sig < 0)
		return refuse(reader, index);
	*(int64_t *)member = sig;
	return 0;
}

static int read_port(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);

	if (text == NULL || strcmp(text, "auto") != 0)
		return read_whole(reader, index, member);
	*(int64_t *)member = CONFIG_PORT_AUTO;
	return 0;
}

/* "host:port", "[::1]:port" */
static int read_view(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index), *colon;
	struct view_address *view = member;
	char *end;
	long port;

	if (lua_isboolean(reader->L, index) && !lua_toboolean(reader->L, index)) {
		replace(&view->text, NULL);
		return 0;
	}
	colon = text != NULL ? strrchr(text, ':') : NULL;
	if (colon == NULL || colon == text || strlen(text) > LW_NAME_MAX_TEXT)
		return refuse(reader, index);
	port = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > 65535 ||
	    strlen(colon + 1) > 5)
		return refuse(reader, index);
	replace(&view->text, lw_strdup(text));
	view->written = true;
	return 0;
}

#define ZONES "/usr/share/zoneinfo"

/* A name of the zone table, where there is one; or "CET-1CEST", as tzset(3) reads it. */
static int read_zone(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);
	char path[sizeof(ZONES) + LW_NAME_MAX_TEXT + 1];

	if (text == NULL || text[0] == '\0' || strlen(text) > LW_NAME_MAX_TEXT ||
	    strstr(text, "..") != NULL)
		return refuse(reader, index);
	snprintf(path, sizeof(path), ZONES "/%s", text);
	if (access(path, R_OK) < 0 && access(ZONES, R_OK) == 0 &&
	    text[strcspn(text, "0123456789")] == '\0')
		return lw_err_set(reader->err, -EINVAL, "option '%s': no time zone '%s'",
				  reader->option->key, text);
	replace(member, lw_strdup(text));
	return 0;
}

/* Whether it is there is found out by the process that enters it, and as who it is. */
static int read_folder(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);

	if (text == NULL || text[0] == '\0')
		return refuse(reader, index);
	replace(member,
		text[0] == '/' ? lw_strdup(text) : lw_format("%s/%s", reader->folder, text));
	return 0;
}

/* A list of texts; numbers count as their text. */
static int read_words(const struct reader *reader, int index, void *member)
{
	lua_State *L = reader->L;
	struct words *words = member;
	size_t n = lua_type(L, index) == LUA_TTABLE ? lua_rawlen(L, index) : 0, keys = 0;

	if (lua_type(L, index) != LUA_TTABLE)
		return refuse(reader, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
		keys++;
	if (keys != n)
		return lw_err_set(reader->err, -EINVAL,
				  "option '%s' wants a list, without names or holes in it",
				  reader->option->key);
	for (size_t i = 1; i <= n; i++) {
		const char *text;

		lua_rawgeti(L, index, (lua_Integer)i);
		text = text_at(L, -1);
		if (text != NULL) {
			words_add(words, text);
		} else if (lua_isinteger(L, -1)) {
			LW_AUTO(lw_free)
			char *number = lw_format("%lld", (long long)lua_tointeger(L, -1));

			words_add(words, number);
		} else {
			LW_AUTO_BUF given = { 0 };

			print_given(L, lua_gettop(L), &given);
			lua_pop(L, 1);
			return lw_err_set(reader->err, -EINVAL,
					  "option '%s': [%zu] must be text, not %s",
					  reader->option->key, i, lw_buf_text(&given));
		}
		lua_pop(L, 1);
	}
	return 0;
}

static int read_argv(const struct reader *reader, int index, void *member)
{
	struct words *words = member;
	int r = read_words(reader, index, member);

	if (r >= 0 && (words->count == 0 || words->words[0][0] == '\0'))
		return lw_err_set(reader->err, -EINVAL, "option '%s' names no program",
				  reader->option->key);
	return r;
}

/* A command is never handed to a shell, so a text is likely a mistake: say what to write. */
static int read_command(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);
	LW_AUTO_BUF list = { 0 };

	if (text == NULL)
		return read_argv(reader, index, member);
	for (const char *at = text + strspn(text, " "); *at != '\0'; at += strspn(at, " ")) {
		size_t size = strcspn(at, " ");

		lw_buf_printf(&list, "%s\"%.*s\"", list.size > 0 ? ", " : "",
			      (int)(size < 60 ? size : 60), at);
		at += size;
		if (list.size > 200)
			break;
	}
	return lw_err_set(reader->err, -EINVAL,
			  "option 'command' wants a list, it is not read by a shell: write "
			  "command = { %s }",
			  lw_buf_text(&list));
}

static int read_program(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);

	if (text == NULL || text[0] == '\0')
		return read_argv(reader, index, member);
	words_add(member, text);
	return 0;
}

static int read_args(const struct reader *reader, int index, void *member)
{
	struct lw_err err = { 0 };

	if (lua_type(reader->L, index) != LUA_TTABLE)
		return refuse(reader, index);
	if (flow_encode_args(reader->L, index, member, &err) < 0)
		return lw_err_set(reader->err, -EINVAL, "option '%s': %s", reader->option->key,
				  err.text);
	return 0;
}

static int read_names(const struct reader *reader, int index, void *member)
{
	struct words words = { 0 };
	int r = read_words(reader, index, &words);

	*(struct lw_names *)member = (struct lw_names){ words.words, words.count };
	return r;
}

static int read_files(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);
	struct words *words = member;
	int r = 0;

	if (text != NULL)
		words_add(words, text);
	else
		r = read_words(reader, index, member);
	for (size_t i = 0; r >= 0 && i < words->count; i++)
		if (words->words[i][0] == '\0')
			return lw_err_set(reader->err, -EINVAL,
					  "option 'cache_files': [%zu] names no file", i + 1);
	return r;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that equal settings are equal whatever order a table has. */
static int read_env(const struct reader *reader, int index, void *member)
{
	lua_State *L = reader->L;
	struct words *env = member;

	if (lua_type(L, index) != LUA_TTABLE)
		return refuse(reader, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *name = text_at(L, -2), *text = text_at(L, -1);
		LW_AUTO(lw_free) char *word = NULL;

		if (name == NULL || name[0] == '\0' || strchr(name, '=') != NULL)
			return lw_err_set(reader->err, -EINVAL,
					  "option 'env' wants names as keys: { NAME = \"value\" }");
		if (text != NULL)
			word = lw_format("%s=%s", name, text);
		else if (lua_isinteger(L, -1))
			word = lw_format("%s=%lld", name, (long long)lua_tointeger(L, -1));
		else
			return lw_err_set(reader->err, -EINVAL,
					  "option 'env': %s must be text, not a %s", name,
					  luaL_typename(L, -1));
		words_add(env, word);
	}
	if (env->count > 1)
		qsort(env->words, env->count, sizeof(char *), compare_words);
	return 0;
}

static int read_user(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);

	if (lua_isinteger(reader->L, index) && lua_tointeger(reader->L, index) >= 0) {
		replace(member, lw_format("%lld", (long long)lua_tointeger(reader->L, index)));
		return 0;
	}
	if (text == NULL || text[0] == '\0')
		return refuse(reader, index);
	replace(member, lw_strdup(text));
	return 0;
}

/* No number: Lua reads 0027 as twenty-seven. */
static int read_umask(const struct reader *reader, int index, void *member)
{
	const char *text = text_at(reader->L, index);
	int mask = text != NULL ? config_parse_umask(text) : -EINVAL;

	if (mask < 0)
		return refuse(reader, index);
	*(int64_t *)member = mask;
	return 0;
}

static const char *next_limit(const void *context, size_t i)
{
	(void)context;
	return config_limits[i].name;
}

static const struct config_limit *limit_find(const char *name)
{
	for (const struct config_limit *limit = config_limits; limit->name != NULL; limit++)
		if (strcmp(limit->name, name) == 0)
			return limit;
	return NULL;
}

/* The unknown name that comes first in the alphabet. */
static int check_limits(const struct reader *reader, int index)
{
	lua_State *L = reader->L;
	const char *first = NULL;
	char hint[LW_HINT_MAX];

	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *name = text_at(L, -2);

		if (name == NULL) {
			lua_pop(L, 2);
			return lw_err_set(reader->err, -EINVAL,
					  "option 'limits' wants names as keys: { nofile = 1024 }");
		}
		if (limit_find(name) == NULL && (first == NULL || strcmp(name, first) < 0))
			first = name;
	}
	if (first == NULL)
		return 0;
	return lw_err_set(reader->err, -EINVAL, "option 'limits': no limit '%.60s'%s", first,
			  lw_nearest_hint(first, next_limit, NULL, hint));
}

static int refuse_limit(const struct reader *reader, int index, const char *name,
			enum limit_unit unit)
{
	static const char *const wanted[] = {
		[LIMIT_COUNT] = "a whole number",
		[LIMIT_BYTES] = "a size (\"64MiB\" or bytes)",
		[LIMIT_SECONDS] = "a duration (\"2h\" or seconds)",
		[LIMIT_MICROSECONDS] = "a duration (\"300ms\" or seconds)",
	};
	LW_AUTO_BUF given = { 0 };

	print_given(reader->L, index, &given);
	return lw_err_set(reader->err, -EINVAL,
			  "option 'limits': %s wants %s, \"unlimited\" or { soft = , hard = }, not "
			  "%s",
			  name, wanted[unit], lw_buf_text(&given));
}

/* One number of a limit, as setrlimit(2) counts it; -1 when it is none. */
static int64_t limit_at(lua_State *L, int index, enum limit_unit unit)
{
	int64_t value;

	switch (unit) {
	case LIMIT_COUNT:
		return lua_isinteger(L, index) ? lua_tointeger(L, index) : -1;
	case LIMIT_BYTES:
		return units_at(L, index, 1, config_parse_size);
	case LIMIT_SECONDS:
		value = units_at(L, index, (double)CONFIG_SECOND, config_parse_duration);
		return value < 0 ? -1 : (value + CONFIG_SECOND - 1) / CONFIG_SECOND;
	case LIMIT_MICROSECONDS:
		return units_at(L, index, (double)CONFIG_SECOND, config_parse_duration);
	}
	return -1;
}

static int read_limit_value(const struct reader *reader, int index,
			    const struct config_limit *limit, rlim_t *ret_value)
{
	const char *text = text_at(reader->L, index);
	int64_t value;

	if (text != NULL && (strcmp(text, "unlimited") == 0 || strcmp(text, "infinity") == 0)) {
		*ret_value = RLIM_INFINITY;
		return 0;
	}
	value = limit_at(reader->L, index, limit->unit);
	if (value < 0)
		return refuse_limit(reader, index, limit->name, limit->unit);
	*ret_value = (rlim_t)value;
	return 0;
}

/* { soft = 1, hard = 2 }, and nothing else in it. */
static int read_limit_pair(const struct reader *reader, int index, const struct config_limit *limit,
			   struct rlimit *ret_value)
{
	lua_State *L = reader->L;
	int top = lua_gettop(L), keys = 0, r;

	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
		keys++;
	lua_pushliteral(L, "soft");
	lua_rawget(L, index);
	lua_pushliteral(L, "hard");
	lua_rawget(L, index);
	if (keys != 2 || lua_isnil(L, top + 1) || lua_isnil(L, top + 2)) {
		lua_settop(L, top);
		return refuse_limit(reader, index, limit->name, limit->unit);
	}
	r = read_limit_value(reader, top + 1, limit, &ret_value->rlim_cur);
	if (r >= 0)
		r = read_limit_value(reader, top + 2, limit, &ret_value->rlim_max);
	lua_settop(L, top);
	if (r >= 0 && ret_value->rlim_cur > ret_value->rlim_max)
		return lw_err_set(reader->err, -EINVAL,
				  "option 'limits': %s has a soft limit above its hard one",
				  limit->name);
	return r;
}

static int read_limit(const struct reader *reader, int index, const struct config_limit *limit,
		      struct rlimit *ret_value)
{
	int r;

	if (lua_type(reader->L, index) == LUA_TTABLE)
		return read_limit_pair(reader, index, limit, ret_value);
	r = read_limit_value(reader, index, limit, &ret_value->rlim_cur);
	ret_value->rlim_max = ret_value->rlim_cur;
	return r;
}

static void limits_add(struct limits *limits, const struct config_limit *limit, struct rlimit value)
{
	limits->items = lw_realloc(limits->items, (limits->count + 1) * sizeof(*limits->items));
	limits->items[limits->count++] = (struct lw_limit){ limit->name, limit->resource, value };
}

static int read_limits(const struct reader *reader, int index, void *member)
{
	lua_State *L = reader->L;
	int r;

	if (lua_type(L, index) != LUA_TTABLE)
		return refuse(reader, index);
	r = check_limits(reader, index);
	for (const struct config_limit *limit = config_limits; r >= 0 && limit->name != NULL;
	     limit++) {
		struct rlimit value;

		lua_pushstring(L, limit->name);
		lua_rawget(L, index);
		if (!lua_isnil(L, -1)) {
			r = read_limit(reader, lua_gettop(L), limit, &value);
			if (r >= 0)
				limits_add(member, limit, value);
		}
		lua_pop(L, 1);
	}
	return r;
}

typedef int read_fn(const struct reader *reader, int index, void *member);

static read_fn *const readers[OPTION_KINDS_N] = {
	[OPTION_TRUTH] = read_truth,     [OPTION_WHOLE] = read_whole,
	[OPTION_REAL] = read_real,       [OPTION_DURATION] = read_duration,
	[OPTION_SIZE] = read_size,       [OPTION_TEXT] = read_text,
	[OPTION_MEMORY] = read_memory,   [OPTION_OVERLAP] = read_overlap,
	[OPTION_LOST] = read_lost,       [OPTION_DURABILITY] = read_durability,
	[OPTION_RESTART] = read_restart, [OPTION_SIGNAL] = read_signal,
	[OPTION_PORT] = read_port,       [OPTION_VIEW] = read_view,
	[OPTION_ZONE] = read_zone,       [OPTION_FOLDER] = read_folder,
	[OPTION_COMMAND] = read_command, [OPTION_PROGRAM] = read_program,
	[OPTION_ARGS] = read_args,       [OPTION_NAMES] = read_names,
	[OPTION_FILES] = read_files,     [OPTION_ENV] = read_env,
	[OPTION_USER] = read_user,       [OPTION_UMASK] = read_umask,
	[OPTION_NICE] = read_whole,      [OPTION_LIMITS] = read_limits,
};

/* ---- a whole table ------------------------------------------------------------------------ */

/* The unknown key that comes first in the alphabet. */
static int check_keys(lua_State *L, int table, const struct config_option *options,
		      struct lw_err *err)
{
	char hint[LW_HINT_MAX];
	const char *first = NULL;

	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
		const char *key = text_at(L, -2);

		if (key == NULL) {
			LW_AUTO_BUF given = { 0 };

			print_given(L, lua_gettop(L), &given);
			return lw_err_set(err, -EINVAL,
					  "%s has no option before it (write option = value)",
					  lw_buf_text(&given));
		}
		if (option_find(options, key) == NULL && (first == NULL || strcmp(key, first) < 0))
			first = key;
	}
	if (first == NULL)
		return 0;
	return lw_err_set(err, -EINVAL, "unknown option '%.60s'%s", first,
			  option_hint(options, first, hint));
}

static int read_options(lua_State *L, int table, const struct config_option *options,
			const char *folder, void *config, struct lw_err *err)
{
	struct reader reader = { L, NULL, folder, err };
	int r = check_keys(L, table, options, err);

	for (; r >= 0 && options->key != NULL; options++) {
		lua_pushstring(L, options->key);
		lua_rawget(L, table);
		reader.option = options;
		if (!lua_isnil(L, -1))
			r = readers[options->kind](&reader, lua_gettop(L),
						   (char *)config + options->offset);
		lua_pop(L, 1);
	}
	return r < 0 ? r : 0;
}

int config_read_app(lua_State *L, int table, struct app_config *app, struct lw_err *err)
{
	return read_options(L, table, app_options, NULL, app, err);
}

static bool was_given(lua_State *L, int table, const char *key)
{
	bool given;

	lua_pushstring(L, key);
	lua_rawget(L, table);
	given = !lua_isnil(L, -1);
	lua_pop(L, 1);
	return given;
}

/* A relative path is meant from the folder of app.conf; where the process starts elsewhere
 * (cwd) it becomes absolute, so that whoever starts it finds the same file. */
static int settle_program(struct work_config *work, const char *folder, bool look_up,
			  struct lw_err *err)
{
	struct words *words = work->command.count > 0 ? &work->command : &work->program;
	LW_AUTO(lw_free) char *path = NULL;
	struct lw_err found = { 0 };
	char *name = words->words[0];
	int r;

	if (work->command.count > 0 && strchr(name, '{') != NULL)
		return 0; /* a placeholder: known when a run starts */
	if (strchr(name, '/') != NULL && name[0] != '/' && strcmp(work->cwd, folder) != 0) {
		words->words[0] = lw_format("%s/%s", folder, name);
		lw_free(name);
		name = words->words[0];
	}
	if (!look_up)
		return 0;
	r = lw_spawn_find(name, folder, &path, &found);
	if (r == -EACCES)
		return lw_err_set(err, -EINVAL, "program '%s' is not executable", name);
	if (r < 0)
		return lw_err_set(err, -EINVAL, "no program '%s'%s", name,
				  strchr(name, '/') == NULL ? " in PATH" : "");
	return 0;
}

int config_read_work(lua_State *L, int table, const char *folder, bool look_up,
		     struct work_config *work, struct lw_err *err)
{
	int r = read_options(L, table, work_options, folder, work, err);

	if (r < 0)
		return r;
	if (work->command.count > 0 && work->program.count > 0)
		return lw_err_set(err, -EINVAL,
				  "options 'command' and 'program' exclude each other");
	if (work->command.count == 0 && work->program.count == 0)
		return lw_err_set(err, -EINVAL, "option 'command' or 'program' is missing");
	if (work->cwd == NULL)
		work->cwd = lw_strdup(folder);
	if (!was_given(L, table, "start_with_flow"))
		work->start_with_flow = work->program.count > 0;
	if (look_up && (work->user != NULL || work->group != NULL))
		r = identity_find(work->user, work->group, &work->identity, err);
	return r < 0 ? r : settle_program(work, folder, look_up, err);
}
