/* lw_log.c - levels, the sink, one line an event.
 *
 * One sink for the process, set at start-up and used from one thread. A line is one
 * write(2), so that lines of several processes on one terminal do not mix; what cannot
 * be written is dropped, a log never stops its program.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lw_buf.h"
#include "lw_log.h"
#include "lw_value.h"

#define LONGEST 16384 /* bytes of a line; the rest is cut */

static const char *const names[] = {
	[LW_LOG_ERROR] = "error",
	[LW_LOG_WARNING] = "warning",
	[LW_LOG_INFO] = "info",
	[LW_LOG_DEBUG] = "debug",
};

static void sink_stderr(void *context, enum lw_log_level level, const char *line);

static lw_log_sink *current_sink = sink_stderr;
static void *current_context;
static enum lw_log_level current_level = LW_LOG_INFO;

static void sink_stderr(void *context, enum lw_log_level level, const char *line)
{
	char text[LONGEST + 64], stamp[32] = "";
	struct timespec now;
	struct tm parts;
	int size;

	(void)context;
	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &parts) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
	size = snprintf(text, sizeof(text), "%s.%03ldZ %s %s\n", stamp, now.tv_nsec / 1000000,
			lw_log_level_name(level), line);
	if (size <= 0)
		return;
	if ((size_t)size >= sizeof(text))
		size = (int)sizeof(text) - 1;
	if (write(STDERR_FILENO, text, (size_t)size) < 0)
		return; /* nobody is left to be told */
}

void lw_log_to(lw_log_sink *sink, void *context)
{
	current_sink = sink != NULL ? sink : sink_stderr;
	current_context = context;
}

void lw_log_set_level(enum lw_log_level most)
{
	current_level = most;
}

bool lw_log_on(enum lw_log_level level)
{
	return level <= current_level;
}

const char *lw_log_level_name(enum lw_log_level level)
{
	return (size_t)level < LW_COUNT(names) ? names[level] : "unknown";
}

int lw_log_level_parse(const char *name)
{
	for (size_t i = 0; i < LW_COUNT(names); i++)
		if (name != NULL && strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

/* ---- as JSON ------------------------------------------------------------------------------ */

#define PAIRS_MOST 16 /* of a line */

struct pair {
	struct lw_slice key, value;
};

/* Behind a value in quotes: those within it are escaped, or have no blank behind them. */
static const char *end_of_quote(const char *value)
{
	bool escaped = false;

	for (const char *at = value; *at != '\0'; at++) {
		if (at[0] == '"' && (at[1] == ' ' || at[1] == '\0') && !escaped)
			return at;
		escaped = at[0] == '\\' && !escaped;
	}
	return NULL;
}

/* The pair that this word begins, if it is one: key=value, or key="some words". */
static bool read_pair(const char *word, struct pair *ret_pair)
{
	size_t size = strspn(word, "abcdefghijklmnopqrstuvwxyz_");
	const char *value = word + size + 1, *end;

	if (size == 0 || word[size] != '=')
		return false;
	end = *value == '"' ? end_of_quote(++value) : value + strcspn(value, " ");
	if (end == NULL)
		return false;
	ret_pair->key = (struct lw_slice){ (const uint8_t *)word, size };
	ret_pair->value = (struct lw_slice){ (const uint8_t *)value, (size_t)(end - value) };
	return true;
}

static bool is_key(const struct pair *pair, const char *name)
{
	return pair->key.size == strlen(name) && memcmp(pair->key.data, name, pair->key.size) == 0;
}

static bool is_new(const struct pair *pairs, size_t count, const struct pair *pair)
{
	if (is_key(pair, "at") || is_key(pair, "level") || is_key(pair, "message"))
		return false;
	for (size_t i = 0; i < count; i++)
		if (pairs[i].key.size == pair->key.size &&
		    memcmp(pairs[i].key.data, pair->key.data, pair->key.size) == 0)
			return false;
	return true;
}

/* As JSON has numbers, and every reader keeps them. */
static bool is_number(struct lw_slice value)
{
	for (size_t i = 0; i < value.size; i++)
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
	return value.size > 0 && value.size < 16 && (value.data[0] != '0' || value.size == 1);
}

void lw_log_print_json(enum lw_log_level level, const char *line, struct lw_buf *out)
{
	struct pair pairs[PAIRS_MOST];
	struct timespec now;
	size_t count = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	lw_buf_printf(out,
		      "{\"at\":%lld.%06ld,\"level\":\"%s\",\"message\":", (long long)now.tv_sec,
		      now.tv_nsec / 1000, lw_log_level_name(level));
	lw_text_print_json(line, strlen(line), out);
	for (const char *word = line; *word != '\0' && count < PAIRS_MOST;) {
		struct pair *pair = &pairs[count];

		if (read_pair(word, pair) && is_new(pairs, count, pair)) {
			lw_buf_printf(out, ",\"%.*s\":", (int)pair->key.size,
				      (const char *)pair->key.data);
			if (is_number(pair->value))
				lw_buf_add(out, pair->value.data, pair->value.size);
			else
				lw_text_print_json(pair->value.data, pair->value.size, out);
			count++;
			word = (const char *)lw_slice_end(pair->value);
		}
		word += strcspn(word, " ");
		word += strspn(word, " ");
	}
	lw_buf_add(out, "}", 1);
}

/* One event stays one line, and what a peer wrote cannot steer the terminal. */
void lw_log_flatten(char *line)
{
	for (; *line != '\0'; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = *line == '\n' || *line == '\t' ? ' ' : '?';
}

void lw_log(enum lw_log_level level, const char *format, ...)
{
	int saved = errno;
	char line[LONGEST];
	va_list args;

	if (!lw_log_on(level))
		return;
	va_start(args, format);
	if (vsnprintf(line, sizeof(line), format, args) < 0)
		line[0] = '\0';
	va_end(args);
	lw_log_flatten(line);
	current_sink(current_context, level, line);
	errno = saved;
}
