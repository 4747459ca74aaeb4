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

#include "lw_log.h"

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

/* One event stays one line, and what a peer wrote cannot steer the terminal. */
static void flatten(char *line)
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
	flatten(line);
	current_sink(current_context, level, line);
	errno = saved;
}
