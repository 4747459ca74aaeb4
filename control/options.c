/* options.c - the command line to options, words and the arguments of a call.
 *
 * Called by command.c. One table names every option; options may stand before or after the
 * verb, and `--` ends them.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "lw_nearest.h"
#include "lwctl.h"

#define TIMEOUT_MOST 1e9
#define LIMIT_MOST   1000 /* as the API has it */
#define AGE_MOST     1e9  /* seconds: 31 years */
#define MOMENT_MOST  1e11 /* as the API has it */

/* clang-format off */
const struct option_row option_rows[] = {
	{ "config",    'c', OPT_CONF,      "app.conf", "the app, by its configuration file" },
	{ "socket",    0,   OPT_SOCKET,    "PATH",     "the app, by its control socket" },
	{ "state-dir", 0,   OPT_STATE_DIR, "DIR",      "the app, by its state directory" },
	{ "json",      0,   OPT_JSON,      NULL,       "print JSON" },
	{ "wait",      0,   OPT_WAIT,      NULL,       "answer when it is done" },
	{ "no-wait",   0,   OPT_NO_WAIT,   NULL,       "answer at once" },
	{ "timeout",   0,   OPT_TIMEOUT,   "SECONDS",  "stop waiting after that time" },
	{ "all",       0,   OPT_ALL,       NULL,       "every call of the work" },
	{ "older-than", 0,  OPT_OLDER,     "AGE",      "only calls that ended longer ago: 12h, 7d" },
	{ "limit",     0,   OPT_LIMIT,     "N",        "so many runs at most" },
	{ "failed",    0,   OPT_FAILED,    NULL,       "only runs that failed" },
	{ "stage",     0,   OPT_STAGE,     "STAGE",    "only runs in that stage" },
	{ "since",     0,   OPT_SINCE,     "TIME",     "only what is of since then: 2h (ago), 10:00, \"2026-11-25 10:00\" or @SECONDS" },
	{ "before",    0,   OPT_BEFORE,    "ID",       "only runs with a smaller number" },
	{ "after",     0,   OPT_AFTER,     "EVENT",    "only events behind that one, by its id" },
	{ "keep-works", 0,  OPT_KEEP,      NULL,       "leave the works to the next supervisor" },
	{ "dry-run",   0,   OPT_DRY,       NULL,       "only say what would be done" },
	{ "watch",     0,   OPT_WATCH,     NULL,       "draw it again and again, until interrupted" },
	{ "follow",    'f', OPT_FOLLOW,    NULL,       "go on with what comes" },
	{ "lines",     'n', OPT_LINES,     "N",        "the last N lines, or all" },
	{ "run",       0,   OPT_RUN,       "ID",       "only lines of that run" },
	{ "stream",    0,   OPT_STREAM,    "out|err",  "only lines of that stream" },
	{ "search",    0,   OPT_SEARCH,    "TEXT",     "only lines that have this text" },
	{ "help",      'h', OPT_HELP,      NULL,       "print this" },
	{ "version",   'V', OPT_VERSION,   NULL,       "print the version" },
	{ NULL, 0, 0, NULL, NULL },
};
/* clang-format on */

const char *const option_stages[] = {
	"pending", "running", "succeeded", "failed", "stopped", NULL
};

void options_help(FILE *out, int which)
{
	for (const struct option_row *row = option_rows; row->name != NULL; row++) {
		char name[40];

		if ((row->bit & which) == 0)
			continue;
		(void)snprintf(name, sizeof(name), "--%s%s%s", row->name,
			       row->argument != NULL ? " " : "",
			       row->argument != NULL ? row->argument : "");
		(void)fprintf(out, "  %c%c %-22s %s\n", row->letter ? '-' : ' ',
			      row->letter ? row->letter : ' ', name, row->sentence);
	}
}

const char *option_name(int which)
{
	for (const struct option_row *row = option_rows; row->name != NULL; row++)
		if ((row->bit & which) != 0)
			return row->name;
	return "";
}

const struct option_row *option_find(const char *word, const char **ret_value)
{
	*ret_value = NULL;
	for (const struct option_row *row = option_rows;
	     row->name != NULL && word[0] == '-' && word[1] != '\0'; row++) {
		size_t size = strlen(row->name);

		if (word[1] != '-') {
			if (word[1] != row->letter)
				continue;
			if (word[2] != '\0')
				*ret_value = word + 2;
			return row;
		}
		if (strncmp(word + 2, row->name, size) != 0)
			continue;
		if (word[2 + size] == '=')
			*ret_value = word + 3 + size;
		if (word[2 + size] == '=' || word[2 + size] == '\0')
			return row;
	}
	return NULL;
}

static const char *next_option(const void *context, size_t i)
{
	(void)context;
	return option_rows[i].name;
}

static int complain_option(const char *word, struct lw_err *err)
{
	LW_AUTO(lw_free) char *name = lw_strndup(word, strcspn(word, "="));
	bool is_long = strncmp(name, "--", 2) == 0;
	const char *nearest = is_long ? lw_nearest(name + 2, next_option, NULL) : NULL;

	if (nearest == NULL)
		return lw_err_set(err, -EINVAL, "unknown option '%s'", word);
	return lw_err_set(err, -EINVAL, "unknown option '%s' (did you mean '--%s'?)", name,
			  nearest);
}

static bool to_number(const char *value, double *ret_number)
{
	char *end = NULL;

	*ret_number = strtod(value, &end);
	return end != value && *end == '\0' && isfinite(*ret_number);
}

static int take_timeout(struct options *options, const char *value, struct lw_err *err)
{
	if (!to_number(value, &options->timeout) || options->timeout < 0.001 ||
	    options->timeout > TIMEOUT_MOST)
		return lw_err_set(err, -EINVAL,
				  "option '--timeout' takes seconds, a number from 0.001 to %.0f, "
				  "not '%s'",
				  TIMEOUT_MOST, value);
	return 0;
}

static int take_limit(struct options *options, const char *value, struct lw_err *err)
{
	double number;

	if (!to_number(value, &number) || number < 1 || number > LIMIT_MOST ||
	    (double)(long)number < number)
		return lw_err_set(err, -EINVAL,
				  "option '--limit' takes a number from 1 to %d, not '%s'",
				  LIMIT_MOST, value);
	options->limit = (long)number;
	return 0;
}

/* ---- times ---------------------------------------------------------------------------------- */

int age_parse(const char *text, double *ret_seconds)
{
	/* clang-format off */
	static const struct { const char *unit; double seconds; } units[] = {
		{ "ms", 1e-3 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 },
	};
	/* clang-format on */
	char *unit;
	double number = strtod(text, &unit);

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	for (size_t i = 0; i < LW_COUNT(units); i++) {
		if (strcmp(unit, units[i].unit) != 0)
			continue;
		*ret_seconds = number * units[i].seconds;
		return *ret_seconds <= AGE_MOST ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int date_parse(const char *text, double *ret_seconds)
{
	static const char *const formats[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
					       "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };

	for (size_t i = 0; i < LW_COUNT(formats); i++) {
		struct tm at = { 0 }, day;
		const char *end = strptime(text, formats[i], &at);

		if (end == NULL || *end != '\0')
			continue;
		day = at;
		(void)timegm(&day);
		if (day.tm_mday != at.tm_mday) /* February 30 */
			return -EINVAL;
		at.tm_isdst = -1;
		*ret_seconds = (double)mktime(&at);
		return *ret_seconds > 0 ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* "10:30": when it was that last, today or yesterday. */
static int clock_parse(const char *text, double now, double *ret_seconds)
{
	static const char *const formats[] = { "%H:%M", "%H:%M:%S" };

	for (size_t i = 0; i < LW_COUNT(formats); i++) {
		time_t today = (time_t)now;
		struct tm at, clock = { 0 };
		const char *end = strptime(text, formats[i], &clock);

		if (end == NULL || *end != '\0' || localtime_r(&today, &at) == NULL)
			continue;
		at.tm_hour = clock.tm_hour;
		at.tm_min = clock.tm_min;
		at.tm_sec = clock.tm_sec;
		at.tm_isdst = -1;
		*ret_seconds = (double)mktime(&at);
		if (*ret_seconds > now) {
			at.tm_mday--;
			at.tm_isdst = -1;
			*ret_seconds = (double)mktime(&at);
		}
		return 0;
	}
	return -EINVAL;
}

int moment_parse(const char *text, double now, double *ret_seconds)
{
	char *end;
	double age;

	if (text[0] == '@' && text[1] >= '0' && text[1] <= '9') {
		*ret_seconds = strtod(text + 1, &end);
		return *end == '\0' && *ret_seconds < MOMENT_MOST ? 0 : -EINVAL;
	}
	if (clock_parse(text, now, ret_seconds) == 0)
		return 0;
	if (age_parse(text, &age) < 0)
		return date_parse(text, ret_seconds);
	*ret_seconds = now - age;
	return 0;
}

static int take_since(struct options *options, const char *value, struct lw_err *err)
{
	if (moment_parse(value, screen_of(stdout).now, &options->since) == 0)
		return 0;
	return lw_err_set(err, -EINVAL,
			  "option '--since' takes a time ago (90s, 2h, 7d), a local time "
			  "(10:00, \"2026-11-25 10:00\") or @seconds, not '%s'",
			  value);
}

static int take_older(struct options *options, const char *value, struct lw_err *err)
{
	if (age_parse(value, &options->older) == 0)
		return 0;
	return lw_err_set(err, -EINVAL,
			  "option '--older-than' takes a number and a unit (90s, 30m, 12h, 7d), "
			  "not '%s'",
			  value);
}

static int take_before(struct options *options, const char *value, struct lw_err *err)
{
	char *end;

	errno = 0;
	options->before = strtoll(value, &end, 10);
	if (value[0] >= '1' && value[0] <= '9' && *end == '\0' && errno == 0)
		return 0;
	return lw_err_set(err, -EINVAL, "option '--before' takes the number of a run, not '%s'",
			  value);
}

static int take_stage(struct options *options, const char *value, struct lw_err *err)
{
	options->stage = value;
	for (size_t i = 0; option_stages[i] != NULL; i++)
		if (strcmp(value, option_stages[i]) == 0)
			return 0;
	return lw_err_set(err, -EINVAL,
			  "option '--stage' takes pending, running, succeeded, failed or stopped, "
			  "not '%s'",
			  value);
}

static bool is_digits(const char *value)
{
	size_t size = strspn(value, "0123456789");

	return size > 0 && size < 19 && value[size] == '\0';
}

static int take_lines(struct options *options, const char *value, struct lw_err *err)
{
	options->lines = value;
	if (is_digits(value) || strcmp(value, "all") == 0)
		return 0;
	return lw_err_set(err, -EINVAL, "option '--lines' takes a number, or all, not '%s'", value);
}

static int take_run(struct options *options, const char *value, struct lw_err *err)
{
	options->run = value;
	if (is_digits(value) && value[0] != '0')
		return 0;
	return lw_err_set(err, -EINVAL, "option '--run' takes the number of a run, not '%s'",
			  value);
}

static int take_stream(struct options *options, const char *value, struct lw_err *err)
{
	options->stream = value;
	if (strcmp(value, "out") == 0 || strcmp(value, "err") == 0)
		return 0;
	return lw_err_set(err, -EINVAL, "option '--stream' takes out or err, not '%s'", value);
}

static int take(struct options *options, const struct option_row *row, const char *value,
		struct lw_err *err)
{
	int r = 0;

	options->given |= row->bit;
	switch (row->bit) {
	case OPT_CONF:
		options->conf = value;
		break;
	case OPT_SOCKET:
		options->socket = value;
		break;
	case OPT_STATE_DIR:
		options->state_dir = value;
		break;
	case OPT_TIMEOUT:
		r = take_timeout(options, value, err);
		break;
	case OPT_LIMIT:
		r = take_limit(options, value, err);
		break;
	case OPT_STAGE:
		r = take_stage(options, value, err);
		break;
	case OPT_SINCE:
		r = take_since(options, value, err);
		break;
	case OPT_BEFORE:
		r = take_before(options, value, err);
		break;
	case OPT_AFTER:
		options->after = value;
		break;
	case OPT_OLDER:
		r = take_older(options, value, err);
		break;
	case OPT_LINES:
		r = take_lines(options, value, err);
		break;
	case OPT_RUN:
		r = take_run(options, value, err);
		break;
	case OPT_STREAM:
		r = take_stream(options, value, err);
		break;
	case OPT_SEARCH:
		options->search = value;
		break;
	default:
		break;
	}
	return r;
}

/* One option that begins at argv[*i]; moves *i to the last word it takes. */
static int parse_option(struct options *options, int argc, const char *const *argv, int *i,
			struct lw_err *err)
{
	const char *value;
	const char *word = argv[*i];
	const struct option_row *row = option_find(word, &value);

	if (row == NULL)
		return complain_option(word, err);
	if (row->argument == NULL && value != NULL)
		return lw_err_set(err, -EINVAL, "option '--%s' takes no value", row->name);
	if (row->argument != NULL && value == NULL) {
		if (*i + 1 >= argc)
			return lw_err_set(err, -EINVAL, "option '--%s' needs a value: %s",
					  row->name, row->argument);
		value = argv[++*i];
	}
	return take(options, row, value, err);
}

int options_parse(int argc, const char *const *argv, const char **room, struct options *ret_options,
		  struct lw_err *err)
{
	struct options options = { .words = room };
	bool ended = false;

	for (int i = 1; i < argc; i++) {
		int r = 0;

		if (!ended && strcmp(argv[i], "--") == 0)
			ended = true;
		else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0')
			r = parse_option(&options, argc, argv, &i, err);
		else
			room[options.word_count++] = argv[i];
		if (r < 0)
			return r;
	}
	if ((options.given & OPT_WAIT) != 0 && (options.given & OPT_NO_WAIT) != 0)
		return lw_err_set(err, -EINVAL, "--wait and --no-wait are both given");
	if ((options.given & OPT_FAILED) != 0 && (options.given & OPT_STAGE) != 0)
		return lw_err_set(err, -EINVAL, "--failed and --stage are both given");
	*ret_options = options;
	return 0;
}

/* ---- the arguments of a call -------------------------------------------------------------- */

struct call {
	json_t *args;   /* list or NULL */
	json_t *kwargs; /* object or NULL */
	bool named;     /* it is a patch: there are no lists */
};

static int add_named(struct call *call, const char *name, json_t *value, struct lw_err *err)
{
	if (call->kwargs == NULL)
		call->kwargs = json_object();
	if (json_object_get(call->kwargs, name) != NULL) {
		json_decref(value);
		return lw_err_set(err, -EINVAL, "argument '%s' is given twice", name);
	}
	if (json_object_set_new(call->kwargs, name, value) < 0)
		return lw_err_set(err, -EINVAL, "the name of an argument is no UTF-8");
	return 0;
}

static int add_list(struct call *call, json_t *list, struct lw_err *err)
{
	if (call->args != NULL) {
		json_decref(list);
		return lw_err_set(err, -EINVAL,
				  "two lists are given; one holds all positional "
				  "arguments");
	}
	call->args = list;
	return 0;
}

static int add_object(struct call *call, json_t *object, struct lw_err *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	if (call->kwargs == NULL)
		call->kwargs = json_object();
	json_object_foreach(object, name, value) if (r == 0) r =
		add_named(call, name, json_incref(value), err);
	json_decref(object);
	return r;
}

static int add_json(struct call *call, const char *word, struct lw_err *err)
{
	json_error_t error;
	json_t *json = json_loads(word, JSON_READ, &error);

	if (json == NULL)
		return lw_err_set(err, -EINVAL, "'%.100s' is no JSON: %s at column %d", word,
				  error.text, error.column);
	return json_is_array(json) ? add_list(call, json, err) : add_object(call, json, err);
}

/* A name begins like an identifier, so that what is meant as a value is not taken for one. */
static bool is_name(const char *word, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = word[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '.')))
			return false;
	}
	return size > 0;
}

static int add_pair(struct call *call, const char *word, const char *equals, struct lw_err *err)
{
	LW_AUTO(lw_free) char *name = lw_strndup(word, (size_t)(equals - word));
	json_t *value = json_loads(equals + 1, JSON_READ | JSON_DECODE_ANY, NULL);

	if (value == NULL)
		value = json_string(equals + 1);
	if (value == NULL)
		return lw_err_set(
			err, -EINVAL,
			"the value of '%s' is no UTF-8; bytes are written as %s={\"$bytes\": "
			"base64}",
			name, name);
	return add_named(call, name, value, err);
}

static int refuse_patch(const char *word, struct lw_err *err)
{
	return lw_err_set(err, -EINVAL,
			  "'%.100s' is no change of the state: write name=value, or a JSON object "
			  "such as '{\"name\": 1}'",
			  word);
}

/* What was meant, as one would have to write it: 5, "x" and x are each one value. */
static int refuse_word(const char *word, struct lw_err *err)
{
	json_t *value = json_loads(word, JSON_READ | JSON_DECODE_ANY, NULL);
	json_t *list = json_array();
	LW_AUTO_BUF text = { 0 };
	LW_AUTO_BUF pair = { 0 };

	(void)json_array_append_new(list, value != NULL ? value : json_string(word));
	if (json_array_size(list) == 0) {
		json_decref(list);
		return lw_err_set(err, -EINVAL, "'%.100s' is no UTF-8", word);
	}
	quote_call(&text, list, NULL);
	lw_buf_printf(&pair, "name=%s", word);
	json_decref(list);
	lw_err_set(err, -EINVAL, "'%.100s' is no argument: write %.150s for a positional one, ",
		   word, lw_buf_text(&text));
	text.size = 0;
	quote_word(&text, lw_buf_text(&pair));
	(void)snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text),
		       "%.150s for a named one", lw_buf_text(&text));
	return err->code;
}

static int add_word(struct call *call, const char *word, struct lw_err *err)
{
	const char *equals = strchr(word, '=');

	if (word[0] == '{' || (word[0] == '[' && !call->named))
		return add_json(call, word, err);
	if (equals == word)
		return lw_err_set(err, -EINVAL, "a name is missing before '=' in '%.100s'", word);
	if (equals != NULL && is_name(word, (size_t)(equals - word)))
		return add_pair(call, word, equals, err);
	return call->named ? refuse_patch(word, err) : refuse_word(word, err);
}

static int add_words(struct call *call, const char *const *words, size_t count, struct lw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = add_word(call, words[i], err);
	if (r == 0)
		return 0;
	json_decref(call->args);
	json_decref(call->kwargs);
	return r;
}

int call_parse(const char *const *words, size_t count, json_t **ret_body, struct lw_err *err)
{
	struct call call = { 0 };
	json_t *body;
	int r = add_words(&call, words, count, err);

	*ret_body = NULL;
	if (r < 0 || count == 0)
		return r;
	body = json_object();
	if (call.args != NULL)
		(void)json_object_set_new(body, "args", call.args);
	if (call.kwargs != NULL)
		(void)json_object_set_new(body, "kwargs", call.kwargs);
	*ret_body = body;
	return 0;
}

int patch_parse(const char *const *words, size_t count, json_t **ret_patch, struct lw_err *err)
{
	struct call call = { .named = true };
	int r = add_words(&call, words, count, err);

	*ret_patch = r == 0 ? call.kwargs : NULL;
	return r;
}

/* ---- and back: what a shell reads as it is -------------------------------------------------- */

void quote_word(struct lw_buf *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-./:=,+@%";

	if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
		lw_buf_printf(out, "%s", word);
		return;
	}
	lw_buf_add(out, "'", 1);
	for (; *word != '\0'; word++)
		lw_buf_add(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
	lw_buf_add(out, "'", 1);
}

/* What a terminal would take for an order, above ASCII. */
static bool has_controls(const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		if ((uint8_t)text[0] == 0xc2 && (uint8_t)text[1] < 0xa0)
			return true;
	return false;
}

/* 0.1 as 0.1 where that is the same number. */
static char *dump(const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_t *same = text != NULL ? json_loads(text, JSON_READ, NULL) : NULL;
	size_t flags = json_equal(json, same) ? JSON_REAL_PRECISION(15) : 0;

	json_decref(same);
	if (flags != 0 && !has_controls(text))
		return text;
	flags |= has_controls(text) ? JSON_ENSURE_ASCII : 0;
	free(text);
	return json_dumps(json, JSON_COMPACT | flags);
}

static void quote_json(struct lw_buf *out, const json_t *json)
{
	char *text = dump(json);

	quote_word(out, text != NULL ? text : "");
	free(text);
}

void quote_call(struct lw_buf *out, const json_t *args, const json_t *kwargs)
{
	bool named = json_object_size(kwargs) > 0;

	if (json_array_size(args) > 0)
		quote_json(out, args);
	else if (!named)
		lw_buf_printf(out, "'[]'");
	if (json_array_size(args) > 0 && named)
		lw_buf_add(out, " ", 1);
	if (named)
		quote_json(out, kwargs);
}
