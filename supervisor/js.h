/* js.h - a JSON writer, straight into bytes: no tree in between.
 *
 * js_key(out, "pid"); js_int(out, 7); commas come by themselves. Keys need no escaping.
 */
#ifndef LW_SUPERVISOR_JS_H
#define LW_SUPERVISOR_JS_H

#include "lw_buf.h"

void js_open(struct lw_buf *out, char bracket);
void js_close(struct lw_buf *out, char bracket);
void js_reopen(struct lw_buf *out); /* what was closed last: more may follow in it */
void js_key(struct lw_buf *out, const char *key);
void js_any_key(struct lw_buf *out, const char *key); /* is escaped */
void js_text(struct lw_buf *out, const char *text);   /* NULL: null; what is no UTF-8: U+FFFD */
void js_int(struct lw_buf *out, int64_t number);
void js_count(struct lw_buf *out, uint64_t count);
void js_truth(struct lw_buf *out, bool truth);
void js_time(struct lw_buf *out, int64_t us); /* microseconds as seconds */
void js_null(struct lw_buf *out);
void js_time_or_null(struct lw_buf *out, int64_t us);     /* null when not above 0 */
void js_value(struct lw_buf *out, struct lw_slice value); /* empty: null */

/* A member of the object that is open in `out`. */
#define TEXT(key, value)  (js_key(out, key), js_text(out, value))
#define COUNT(key, value) (js_key(out, key), js_count(out, value))
#define TRUTH(key, value) (js_key(out, key), js_truth(out, value))
#define TIME(key, value)  (js_key(out, key), js_time_or_null(out, value))
#define SPAN(key, value)  (js_key(out, key), js_time(out, value))

#endif
