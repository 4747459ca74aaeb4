/* lw_log.h - one line an event, in pairs that grep can find.
 *
 *     lw_log(LW_LOG_WARNING, "work=%s pid=%d from=BUSY on=GONE signal=%d", ...);
 *
 * Lines go to the sink, by default standard error. One thread.
 */
#ifndef LW_LOG_H
#define LW_LOG_H

#include "lw_base.h"

enum lw_log_level { LW_LOG_ERROR, LW_LOG_WARNING, LW_LOG_INFO, LW_LOG_DEBUG };

/* `line` has no newline and belongs to the caller. */
typedef void lw_log_sink(void *context, enum lw_log_level level, const char *line);

void lw_log_to(lw_log_sink *sink, void *context); /* NULL: standard error again */
void lw_log_set_level(enum lw_log_level most);    /* default LW_LOG_INFO */
bool lw_log_on(enum lw_log_level level);
const char *lw_log_level_name(enum lw_log_level level);
int lw_log_level_parse(const char *name); /* a level, or -EINVAL */

/* {"at":1764.123,"level":"warning","message":"work=train pid=812 is stuck","work":"train","pid":812}:
 * the whole line, and each of its pairs. No newline. */
struct lw_buf;
void lw_log_print_json(enum lw_log_level level, const char *line, struct lw_buf *out);

void lw_log_flatten(
	char *line); /* line breaks and control characters to blanks, as lw_log() does */

void lw_log(enum lw_log_level level, const char *format, ...) LW_PRINTF(2, 3);

#endif
