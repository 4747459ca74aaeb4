/* options.c - the command line to options, words and the arguments of a call.
 *
 * Called by command.c. One table names every option; options may stand before or after the
 * verb, and `--` ends them.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lw_value.h"
#include "lwctl.h"

/* clang-format off */
static const struct option_row {
	const char *name;     /* behind "--" */
	char letter;          /* behind "-", or NUL */
	int bit;
	const char *argument; /* or NULL */
	const char *sentence;
} rows[] = {
	{ "config",    'c', OPT_CONF,      "app.conf", "the app, by its configuration file" },
	{ "socket",    0,   OPT_SOCKET,    "PATH",     "the app, by its control socket" },
	{ "state-dir", 0,   OPT_STATE_DIR, "DIR",      "the app, by its state directory" },
	{ "json",      0,   OPT_JSON,      NULL,       "print JSON" },
	{ "wait",      0,   OPT_WAIT,      NULL,       "answer when it is done" },
	{ "no-wait",   0,   OPT_NO_WAIT,   NULL,       "answer at once" },
	{ "timeout",   0,   OPT_TIMEOUT,   "SECONDS",  "stop waiting after that time" },
	{ "all",       0,   OPT_ALL,       NULL,       "every call of the work" },
	{ "limit",     0,   OPT_LIMIT,     "N",        "so many runs at most" },
	{ "help",      'h', OPT_HELP,      NULL,       "print this" },
	{ "version",   'V', OPT_VERSION,   NULL,       "print the version" },
};
/* clang-format on */

void options_help(FILE *out, int which)
{
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char name[40];

		if ((rows[i].bit & which) == 0)
			continue;
		(void)snprintf(name, sizeof(name), "--%s%s%s", rows[i].name,
			       rows[i].argument != NULL ? " " : "",
			       rows[i].argument != NULL ? rows[i].argument : "");
		(void)fprintf(out, "  %c%c %-22s %s\n", rows[i].letter ? '-' : ' ',
			      rows[i].letter ? rows[i].letter : ' ', name, rows[i].sentence);
	}
}

/* The row of "--name", "--name=value" or "-c"; *ret_value is what stands in the same word. */
static const struct option_row *find_row(const char *word, const char **ret_value)
{
	*ret_value = NULL;
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		size_t size = strlen(rows[i].name);

		if (word[1] != '-') {
			if (word[1] != rows[i].letter)
				continue;
			if (word[2] != '\0')
				*ret_value = word + 2;
			return &rows[i];
		}
		if (strncmp(word + 2, rows[i].name, size) != 0)
			continue;
		if (word[2 + size] == '=')
			*ret_value = word + 3 + size;
		if (word[2 + size] == '=' || word[2 + size] == '\0')
			return &rows[i];
	}
	return NULL;
}

static int take_number(const char *name, const char *value, double least, double *ret_number,
		       struct lw_err *err)
{
	char *end = NULL;
	double number = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite(number) || number < least || number > 1e9)
		return lw_err_set(err, -EINVAL, "option '--%s' takes a number, not '%s'", name,
				  value);
	*ret_number = number;
	return 0;
}

static int take(struct options *options, const struct option_row *row, const char *value,
		struct lw_err *err)
{
	double number = 0;
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
		r = take_number(row->name, value, 0.001, &options->timeout, err);
		break;
	case OPT_LIMIT:
		r = take_number(row->name, value, 1, &number, err);
		options->limit = (long)number;
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
	const struct option_row *row = find_row(word, &value);

	if (row == NULL)
		return lw_err_set(err, -EINVAL, "unknown option '%s'", word);
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
	*ret_options = options;
	return 0;
}

/* ---- the arguments of a call -------------------------------------------------------------- */

struct call {
	json_t *args;   /* list or NULL */
	json_t *kwargs; /* object or NULL */
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
	json_t *json = json_loads(word, JSON_REJECT_DUPLICATES, &error);

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
	LW_AUTO(lw_free)
	char *name = lw_strndup(word, (size_t)(equals - word));
	json_t *value = json_loads(equals + 1, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

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

static int add_word(struct call *call, const char *word, struct lw_err *err)
{
	const char *equals = strchr(word, '=');

	if (word[0] == '[' || word[0] == '{')
		return add_json(call, word, err);
	if (equals != NULL && is_name(word, (size_t)(equals - word)))
		return add_pair(call, word, equals, err);
	return lw_err_set(err, -EINVAL,
			  "'%.100s' is no argument: write '[\"%.40s\"]' for a positional one, "
			  "name=%.40s for a named one",
			  word, word, word);
}

int call_parse(const char *const *words, size_t count, json_t **ret_body, struct lw_err *err)
{
	struct call call = { 0 };
	json_t *body;
	int r = 0;

	*ret_body = NULL;
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_word(&call, words[i], err);
	if (r < 0 || count == 0) {
		json_decref(call.args);
		json_decref(call.kwargs);
		return r;
	}
	body = json_object();
	if (call.args != NULL)
		(void)json_object_set_new(body, "args", call.args);
	if (call.kwargs != NULL)
		(void)json_object_set_new(body, "kwargs", call.kwargs);
	*ret_body = body;
	return 0;
}
