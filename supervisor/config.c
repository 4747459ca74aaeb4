/* config.c - the option tables as data, and what each kind of option can do.
 *
 * Called by config_lua.c (reading app.conf), by app.c (comparing settings) and by the
 * supervisor (--print-config). A kind's row says how a default becomes a value, when two
 * values are the same, how one is printed, and how it is freed.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config.h"

#define FIELD_OF_APP(member)  offsetof(struct app_config, member)
#define FIELD_OF_WORK(member) offsetof(struct work_config, member)
#define WORK_ROW(key, KIND, member, preset, least, most, reload, sentence)                         \
	{                                                                                          \
		#key,  OPTION_##KIND, FIELD_OF_WORK(member), preset,                               \
		least, most,          RELOAD_##reload,       sentence                              \
	},
#define APP_ROW(key, KIND, member, preset, least, most, reload, sentence)                          \
	{                                                                                          \
		#key,  OPTION_##KIND, FIELD_OF_APP(member), preset,                                \
		least, most,          RELOAD_##reload,      sentence                               \
	},
#define LAST_ROW                                                                                   \
	{                                                                                          \
		NULL, OPTION_KINDS_N, 0, "", 0, 0, RELOAD_FIXED, ""                                \
	}

const struct config_option work_options[] = { WORK_OPTIONS(WORK_ROW) LAST_ROW };
const struct config_option app_options[] = { APP_OPTIONS(APP_ROW) LAST_ROW };

/* ---- words ---------------------------------------------------------------------- */

void words_add(struct words *words, const char *word)
{
	words->words = lw_realloc(words->words, (words->count + 2) * sizeof(char *));
	words->words[words->count++] = lw_strdup(word);
	words->words[words->count] = NULL;
}

void words_done(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		lw_free(words->words[i]);
	lw_free(words->words);
	*words = (struct words){ 0 };
}

/* ---- numbers with units ----------------------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit time_units[] = {
	{ "", CONFIG_SECOND },
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", CONFIG_SECOND },
	{ "m", 60 * CONFIG_SECOND },
	{ "min", 60 * CONFIG_SECOND },
	{ "h", 3600 * CONFIG_SECOND },
	{ "d", 24 * 3600 * CONFIG_SECOND },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "kB", 1000 },
	{ "MB", 1000 * 1000 },
	{ "GB", 1000 * 1000 * 1000 },
	{ "KiB", 1 << 10 },
	{ "MiB", 1 << 20 },
	{ "GiB", 1 << 30 },
	{ NULL, 0 },
};

/* Digits with a fraction, then a unit: nothing strtod would add to that. */
static int parse_units(const char *text, const struct unit *units, int64_t *ret_number)
{
	const char *rest = text + strspn(text, "0123456789.");
	char *end;
	double number;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	number = strtod(text, &end);
	if (end != rest)
		return -EINVAL;
	rest += strspn(rest, " ");
	for (; units->name != NULL; units++) {
		if (strcmp(units->name, rest) != 0)
			continue;
		number = number * (double)units->factor + 0.5;
		if (number >= 9e18)
			return -EINVAL;
		*ret_number = (int64_t)number;
		return 0;
	}
	return -EINVAL;
}

int config_parse_duration(const char *text, int64_t *ret_us)
{
	return parse_units(text, time_units, ret_us);
}

int config_parse_size(const char *text, int64_t *ret_bytes)
{
	return parse_units(text, size_units, ret_bytes);
}

int config_parse_signal(const char *text)
{
	char *end;
	long number;

	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int sig = 1; sig < 65; sig++) {
		const char *name = sigabbrev_np(sig);

		if (name != NULL && strcasecmp(name, text) == 0)
			return sig;
	}
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	number = strtol(text, &end, 10);
	return *end == '\0' && number >= 1 && number <= 64 ? (int)number : -EINVAL;
}

int config_parse_umask(const char *text)
{
	size_t digits = strspn(text, "01234567");
	long mask = strtol(text, NULL, 8);

	return text[digits] == '\0' && (digits == 3 || digits == 4) && mask <= 0777 ? (int)mask
										    : -EINVAL;
}

/* ---- kinds ------------------------------------------------------------------------ */

static const char *const memory_names[] = { "ever", "last", NULL };
static const char *const overlap_names[] = { "queue", "latest", "cancel", NULL };
static const char *const restart_names[] = { "never", "on-failure", "always", NULL };
static const char *const lost_names[] = { "rerun", "fail", NULL };
static const char *const durability_names[] = { "process", "power", NULL };

const char *const *option_choices(enum option_kind kind)
{
	switch (kind) {
	case OPTION_MEMORY:
		return memory_names;
	case OPTION_OVERLAP:
		return overlap_names;
	case OPTION_RESTART:
		return restart_names;
	case OPTION_LOST:
		return lost_names;
	case OPTION_DURABILITY:
		return durability_names;
	default:
		return NULL;
	}
}

static bool truth_same(const void *a, const void *b)
{
	return *(const bool *)a == *(const bool *)b;
}

static json_t *truth_json(const void *member)
{
	return json_boolean(*(const bool *)member);
}

static void truth_preset(const struct config_option *option, void *member)
{
	*(bool *)member = strcmp(option->preset, "true") == 0;
}

static bool whole_same(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

static json_t *whole_json(const void *member)
{
	return json_integer(*(const int64_t *)member);
}

static void whole_preset(const struct config_option *option, void *member)
{
	*(int64_t *)member = strtoll(option->preset, NULL, 10);
}

static bool real_same(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(double)) == 0;
}

static json_t *real_json(const void *member)
{
	return json_real(*(const double *)member);
}

static void real_preset(const struct config_option *option, void *member)
{
	*(double *)member = strtod(option->preset, NULL);
}

static json_t *duration_json(const void *member)
{
	int64_t us = *(const int64_t *)member;

	if (us == CONFIG_NONE)
		return json_null();
	if (us % CONFIG_SECOND == 0)
		return json_integer(us / CONFIG_SECOND);
	return json_real((double)us / (double)CONFIG_SECOND);
}

static void duration_preset(const struct config_option *option, void *member)
{
	if (config_parse_duration(option->preset, member) < 0)
		*(int64_t *)member = CONFIG_NONE;
}

static void size_preset(const struct config_option *option, void *member)
{
	if (config_parse_size(option->preset, member) < 0)
		lw_fatal("option '%s' has the default '%s'", option->key, option->preset);
}

static bool text_same(const void *a, const void *b)
{
	const char *one = *(char *const *)a, *other = *(char *const *)b;

	return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

static json_t *text_json(const void *member)
{
	const char *text = *(char *const *)member;
	json_t *json = text != NULL ? json_string(text) : json_null();

	return json != NULL ? json : json_stringn_nocheck(text, strlen(text));
}

static void text_preset(const struct config_option *option, void *member)
{
	*(char **)member = option->preset[0] != '\0' ? lw_strdup(option->preset) : NULL;
}

static void text_done(void *member)
{
	lw_free(*(char **)member);
}

static void view_preset(const struct config_option *option, void *member)
{
	struct view_address *view = member;

	text_preset(option, &view->text);
	view->written = false;
}

static bool view_same(const void *a, const void *b)
{
	const struct view_address *one = a, *other = b;

	return text_same(&one->text, &other->text);
}

static json_t *view_json(const void *member)
{
	const struct view_address *view = member;

	return view->text != NULL ? text_json(&view->text) : json_false();
}

static void view_done(void *member)
{
	text_done(&((struct view_address *)member)->text);
}

/* The enums are read and written as what they are. */
#define CHOICE(type)                                                                               \
	static bool type##_same(const void *a, const void *b)                                      \
	{                                                                                          \
		return *(const enum type *)a == *(const enum type *)b;                             \
	}                                                                                          \
	static json_t *type##_json(const void *member)                                             \
	{                                                                                          \
		return json_string(CHOICE_NAMES_##type[*(const enum type *)member]);               \
	}                                                                                          \
	static void type##_preset(const struct config_option *option, void *member)                \
	{                                                                                          \
		const char *const *names = CHOICE_NAMES_##type;                                    \
		for (int i = 0; names[i] != NULL; i++)                                             \
			if (strcmp(names[i], option->preset) == 0)                                 \
				*(enum type *)member = (enum type)i;                               \
	}
#define CHOICE_NAMES_cache_memory memory_names
#define CHOICE_NAMES_overlap      overlap_names
#define CHOICE_NAMES_restart      restart_names
#define CHOICE_NAMES_lost         lost_names
#define CHOICE_NAMES_durability   durability_names
CHOICE(cache_memory)
CHOICE(overlap)
CHOICE(restart)
CHOICE(lost)
CHOICE(durability)

static json_t *signal_json(const void *member)
{
	int64_t sig = *(const int64_t *)member;
	const char *name = sigabbrev_np((int)sig);

	return name != NULL ? json_string(name) : json_integer(sig);
}

static void signal_preset(const struct config_option *option, void *member)
{
	*(int64_t *)member = config_parse_signal(option->preset);
}

static json_t *port_json(const void *member)
{
	int64_t port = *(const int64_t *)member;

	if (port == CONFIG_PORT_NONE)
		return json_null();
	return port == CONFIG_PORT_AUTO ? json_string("auto") : json_integer(port);
}

static void port_preset(const struct config_option *option LW_UNUSED, void *member)
{
	*(int64_t *)member = CONFIG_PORT_NONE;
}

static bool words_same(const void *a, const void *b)
{
	const struct words *one = a, *other = b;

	if (one->count != other->count)
		return false;
	for (size_t i = 0; i < one->count; i++)
		if (strcmp(one->words[i], other->words[i]) != 0)
			return false;
	return true;
}

static json_t *words_json(const void *member)
{
	const struct words *words = member;
	json_t *list = json_array();

	if (words->count == 0) {
		json_decref(list);
		return json_null();
	}
	for (size_t i = 0; i < words->count; i++)
		json_array_append_new(
			list, json_stringn_nocheck(words->words[i], strlen(words->words[i])));
	return list;
}

static void words_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(struct words *)member = (struct words){ 0 };
}

static void words_destroy(void *member)
{
	words_done(member);
}

static json_t *env_json(const void *member)
{
	const struct words *env = member;
	json_t *object = json_object();

	for (size_t i = 0; i < env->count; i++) {
		const char *equals = strchr(env->words[i], '=');
		LW_AUTO(lw_free)
		char *name = lw_strndup(env->words[i], (size_t)(equals - env->words[i]));

		json_object_set_new_nocheck(object, name,
					    json_stringn_nocheck(equals + 1, strlen(equals + 1)));
	}
	return object;
}

static void umask_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(int64_t *)member = CONFIG_NONE;
}

static json_t *umask_json(const void *member)
{
	int64_t mask = *(const int64_t *)member;

	return mask == CONFIG_NONE ? json_null() : json_sprintf("%04o", (unsigned)mask);
}

static void nice_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(int64_t *)member = CONFIG_NICE_NONE;
}

static json_t *nice_json(const void *member)
{
	int64_t nice = *(const int64_t *)member;

	return nice == CONFIG_NICE_NONE ? json_null() : json_integer(nice);
}

/* clang-format off */
const struct config_limit config_limits[] = {
	{ "as",         RLIMIT_AS,         LIMIT_BYTES },
	{ "core",       RLIMIT_CORE,       LIMIT_BYTES },
	{ "cpu",        RLIMIT_CPU,        LIMIT_SECONDS },
	{ "data",       RLIMIT_DATA,       LIMIT_BYTES },
	{ "fsize",      RLIMIT_FSIZE,      LIMIT_BYTES },
	{ "locks",      RLIMIT_LOCKS,      LIMIT_COUNT },
	{ "memlock",    RLIMIT_MEMLOCK,    LIMIT_BYTES },
	{ "msgqueue",   RLIMIT_MSGQUEUE,   LIMIT_BYTES },
	{ "nice",       RLIMIT_NICE,       LIMIT_COUNT },
	{ "nofile",     RLIMIT_NOFILE,     LIMIT_COUNT },
	{ "nproc",      RLIMIT_NPROC,      LIMIT_COUNT },
	{ "rss",        RLIMIT_RSS,        LIMIT_BYTES },
	{ "rtprio",     RLIMIT_RTPRIO,     LIMIT_COUNT },
	{ "rttime",     RLIMIT_RTTIME,     LIMIT_MICROSECONDS },
	{ "sigpending", RLIMIT_SIGPENDING, LIMIT_COUNT },
	{ "stack",      RLIMIT_STACK,      LIMIT_BYTES },
	{ NULL,         0,                 LIMIT_COUNT },
};
/* clang-format on */

static bool limits_same(const void *a, const void *b)
{
	const struct limits *one = a, *other = b;

	if (one->count != other->count)
		return false;
	for (size_t i = 0; i < one->count; i++)
		if (one->items[i].resource != other->items[i].resource ||
		    one->items[i].value.rlim_cur != other->items[i].value.rlim_cur ||
		    one->items[i].value.rlim_max != other->items[i].value.rlim_max)
			return false;
	return true;
}

static json_t *limit_value_json(unsigned resource, rlim_t value)
{
	if (value == RLIM_INFINITY)
		return json_string("unlimited");
	if (resource == RLIMIT_RTTIME)
		return json_real((double)value / (double)CONFIG_SECOND);
	return json_integer((json_int_t)value);
}

static json_t *limits_json(const void *member)
{
	const struct limits *limits = member;
	json_t *object = json_object();

	for (size_t i = 0; i < limits->count; i++) {
		const struct lw_limit *limit = &limits->items[i];
		json_t *soft = limit_value_json(limit->resource, limit->value.rlim_cur);
		json_t *hard = limit_value_json(limit->resource, limit->value.rlim_max);

		json_object_set_new(object, limit->name,
				    json_pack("{s:o, s:o}", "soft", soft, "hard", hard));
	}
	return object;
}

static void limits_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(struct limits *)member = (struct limits){ 0 };
}

static void limits_done(void *member)
{
	lw_free(((struct limits *)member)->items);
}

static struct words names_words(const void *member)
{
	const struct lw_names *names = member;

	return (struct words){ names->names, names->count };
}

static bool names_same(const void *a, const void *b)
{
	struct words one = names_words(a), other = names_words(b);

	return words_same(&one, &other);
}

static json_t *names_json(const void *member)
{
	struct words words = names_words(member);

	return words.count > 0 ? words_json(&words) : json_array();
}

static void names_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(struct lw_names *)member = (struct lw_names){ 0 };
}

static void names_done(void *member)
{
	struct words words = names_words(member);

	words_done(&words);
}

static bool args_same(const void *a, const void *b)
{
	const struct lw_buf *one = a, *other = b;

	return one->size == other->size &&
	       (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

/* As the body of a run request: {"args": [...], "kwargs": {...}}. */
static json_t *args_json(const void *member)
{
	const struct lw_buf *args = member;
	struct lw_slice list = lw_buf_slice(args), map;

	if (args->size == 0)
		return json_null();
	list.size = lw_value_size(args->data, args->data + args->size);
	map = (struct lw_slice){ args->data + list.size, args->size - list.size };
	return json_pack("{s:o, s:o}", "args", lw_value_to_json(list), "kwargs",
			 lw_value_to_json(map));
}

static void args_none(const struct config_option *option LW_UNUSED, void *member)
{
	*(struct lw_buf *)member = (struct lw_buf){ 0 };
}

static void args_done(void *member)
{
	lw_buf_done(member);
}

struct kind {
	const char *wanted; /* for errors and the manual */
	void (*preset)(const struct config_option *option, void *member);
	bool (*same)(const void *a, const void *b);
	json_t *(*json)(const void *member);
	void (*done)(void *member); /* NULL: nothing to free */
};

/* clang-format off */
static const struct kind kinds[OPTION_KINDS_N] = {
	[OPTION_TRUTH]    = { "true or false", truth_preset, truth_same, truth_json, NULL },
	[OPTION_WHOLE]    = { "a whole number", whole_preset, whole_same, whole_json, NULL },
	[OPTION_REAL]     = { "a number", real_preset, real_same, real_json, NULL },
	[OPTION_DURATION] = { "a duration (\"2h\", \"300ms\" or seconds)", duration_preset, whole_same,
			      duration_json, NULL },
	[OPTION_SIZE]     = { "a size (\"64MiB\" or bytes)", size_preset, whole_same, whole_json, NULL },
	[OPTION_TEXT]     = { "text", text_preset, text_same, text_json, text_done },
	[OPTION_MEMORY]   = { NULL, cache_memory_preset, cache_memory_same, cache_memory_json, NULL },
	[OPTION_OVERLAP]  = { NULL, overlap_preset, overlap_same, overlap_json, NULL },
	[OPTION_RESTART]  = { NULL, restart_preset, restart_same, restart_json, NULL },
	[OPTION_LOST]     = { NULL, lost_preset, lost_same, lost_json, NULL },
	[OPTION_DURABILITY] = { NULL, durability_preset, durability_same, durability_json, NULL },
	[OPTION_SIGNAL]   = { "a signal (\"TERM\" or a number)", signal_preset, whole_same, signal_json,
			      NULL },
	[OPTION_PORT]     = { "a port number or \"auto\"", port_preset, whole_same, port_json, NULL },
	[OPTION_VIEW]     = { "an address (\"127.0.0.1:7501\") or false", view_preset, view_same, view_json,
			      view_done },
	[OPTION_ZONE]     = { "a time zone (\"Europe/Berlin\")", text_preset, text_same, text_json,
			      text_done },
	[OPTION_FOLDER]   = { "a folder", text_preset, text_same, text_json, text_done },
	[OPTION_COMMAND]  = { "a list of texts ({ \"./program\", \"argument\" })", words_none, words_same,
			      words_json, words_destroy },
	[OPTION_PROGRAM]  = { "a program (\"./train\") or a list of texts", words_none, words_same,
			      words_json, words_destroy },
	[OPTION_ARGS]     = { "a table of arguments ({ 1, 2 } or { value = 1 })", args_none, args_same,
			      args_json, args_done },
	[OPTION_NAMES]    = { "a list of names", names_none, names_same, names_json, names_done },
	[OPTION_FILES]    = { "a path or pattern (\"data/*.csv\"), or a list of them", words_none,
			      words_same, words_json, words_destroy },
	[OPTION_ENV]      = { "a table of texts ({ NAME = \"value\" })", words_none, words_same, env_json,
			      words_destroy },
	[OPTION_USER]     = { "a name or an id", text_preset, text_same, text_json, text_done },
	[OPTION_UMASK]    = { "an octal mask as text (\"0027\")", umask_none, whole_same, umask_json,
			      NULL },
	[OPTION_NICE]     = { "a whole number", nice_none, whole_same, nice_json, NULL },
	[OPTION_LIMITS]   = { "a table of limits ({ nofile = 1024, as = \"2GiB\" })", limits_none,
			      limits_same, limits_json, limits_done },
};
/* clang-format on */

/* ---- what an option takes ------------------------------------------------------------ */

static void print_duration(int64_t us, struct lw_buf *out)
{
	static const struct unit units[] = {
		{ "days", 24 * 3600 * CONFIG_SECOND },
		{ "h", 3600 * CONFIG_SECOND },
		{ "s", CONFIG_SECOND },
		{ "ms", 1000 },
		{ "us", 1 },
	};

	for (size_t i = 0; i < LW_COUNT(units); i++)
		if (us % units[i].factor == 0 && (us != 0 || units[i].factor == CONFIG_SECOND)) {
			lw_buf_printf(out, "%lld %s", (long long)(us / units[i].factor),
				      units[i].name);
			return;
		}
}

static void print_bound(enum option_kind kind, int64_t bound, struct lw_buf *out)
{
	if (kind == OPTION_DURATION)
		print_duration(bound, out);
	else if (kind == OPTION_REAL)
		lw_buf_printf(out, "%g", (double)bound / 1000.0);
	else if (kind == OPTION_SIZE)
		lw_buf_printf(out, "%lld MiB", (long long)(bound >> 20));
	else
		lw_buf_printf(out, "%lld", (long long)bound);
}

static void print_choices(const char *const *names, struct lw_buf *out)
{
	for (size_t i = 0; names[i] != NULL; i++)
		lw_buf_printf(out, "%s\"%s\"",
			      i == 0                 ? ""
			      : names[i + 1] == NULL ? " or "
						     : ", ",
			      names[i]);
}

void option_wanted(const struct config_option *option, struct lw_buf *out)
{
	const char *const *choices = option_choices(option->kind);

	if (choices != NULL)
		print_choices(choices, out);
	else
		lw_buf_printf(out, "%s", kinds[option->kind].wanted);
	if (option->kind == OPTION_TEXT) {
		lw_buf_printf(out, " of at most %lld bytes", (long long)option->most);
	} else if (option->most > 0 && option->kind != OPTION_SIGNAL) {
		lw_buf_printf(out, " from ");
		print_bound(option->kind, option->least, out);
		lw_buf_printf(out, " to ");
		print_bound(option->kind, option->most, out);
	}
}

const struct config_option *option_find(const struct config_option *options, const char *key)
{
	for (; options->key != NULL; options++)
		if (strcmp(options->key, key) == 0)
			return options;
	return NULL;
}

/* ---- the nearest name ---------------------------------------------------------------- */

static const char *next_option(const void *context, size_t i)
{
	const struct config_option *options = context;

	return options[i].key;
}

const char *option_hint(const struct config_option *options, const char *key,
			char hint[LW_HINT_MAX])
{
	return lw_nearest_hint(key, next_option, options, hint);
}

/* ---- the structs ----------------------------------------------------------------------- */

static void preset_all(const struct config_option *options, void *config)
{
	for (; options->key != NULL; options++)
		kinds[options->kind].preset(options, (char *)config + options->offset);
}

static void done_all(const struct config_option *options, void *config)
{
	for (; options->key != NULL; options++)
		if (kinds[options->kind].done != NULL)
			kinds[options->kind].done((char *)config + options->offset);
}

static void json_all(const struct config_option *options, const void *config, json_t *object)
{
	for (; options->key != NULL; options++)
		json_object_set_new_nocheck(
			object, options->key,
			kinds[options->kind].json((const char *)config + options->offset));
}

struct work_config *work_config_new(const char *name)
{
	struct work_config *config = LW_NEW(struct work_config);

	config->name = lw_strdup(name);
	preset_all(work_options, config);
	return config;
}

void work_config_free(struct work_config *config)
{
	if (config == NULL)
		return;
	done_all(work_options, config);
	identity_free(config->identity);
	lw_free(config->name);
	lw_free(config);
}

struct config *config_new(void)
{
	struct config *config = LW_NEW(struct config);

	preset_all(app_options, &config->app);
	return config;
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->count; i++)
		work_config_free(config->works[i]);
	lw_free(config->works);
	done_all(app_options, &config->app);
	lw_free(config->app.path);
	lw_free(config->app.folder);
	lw_free(config);
}

const char *work_config_differs(const struct work_config *a, const struct work_config *b)
{
	for (const struct config_option *option = work_options; option->key != NULL; option++)
		if (!kinds[option->kind].same((const char *)a + option->offset,
					      (const char *)b + option->offset))
			return option->key;
	return NULL;
}

enum reload config_reload(const struct config_option *options, const json_t *old,
			  const json_t *fresh, const char **ret_key)
{
	enum reload gravest = RELOAD_FIXED;

	*ret_key = NULL;
	for (const struct config_option *option = options; option->key != NULL; option++) {
		const json_t *was = json_object_get(old, option->key);
		const json_t *is = json_object_get(fresh, option->key);

		/* An option that the earlier version did not know had its default. */
		if (was == NULL || json_equal(was, is) || option->reload <= gravest)
			continue;
		gravest = option->reload;
		*ret_key = option->key;
	}
	return gravest;
}

json_t *work_config_to_json(const struct work_config *config)
{
	json_t *object = json_object();

	json_object_set_new_nocheck(object, "name",
				    json_stringn_nocheck(config->name, strlen(config->name)));
	json_object_set_new(object, "line", json_integer(config->line));
	json_all(work_options, config, object);
	return object;
}

json_t *app_config_to_json(const struct app_config *config)
{
	json_t *object = json_object();

	json_all(app_options, config, object);
	return object;
}

json_t *config_to_json(const struct config *config)
{
	json_t *app = json_object(), *works = json_array();

	json_object_set_new(app, "path", text_json(&config->app.path));
	json_object_set_new(app, "folder", text_json(&config->app.folder));
	json_object_set_new(app, "flow", json_boolean(config->has_flow));
	json_all(app_options, &config->app, app);
	for (size_t i = 0; i < config->count; i++)
		if (config->works[i] != NULL)
			json_array_append_new(works, work_config_to_json(config->works[i]));
	return json_pack("{s:o, s:o}", "app", app, "works", works);
}
