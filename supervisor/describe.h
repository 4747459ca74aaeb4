/* describe.h - app, works and runs as JSON, written straight into bytes.
 *
 * Called by api.c. A status of a thousand works is made in one go within a turn of the loop,
 * so there is no tree in between. Times are seconds since 1970, durations seconds.
 */
#ifndef LW_SUPERVISOR_DESCRIBE_H
#define LW_SUPERVISOR_DESCRIBE_H

#include "app.h"
#include "lw_buf.h"

/* A JSON writer: js_key(out, "pid"); js_int(out, 7); commas come by themselves. */
void js_open(struct lw_buf *out, char bracket);
void js_close(struct lw_buf *out, char bracket);
void js_reopen(struct lw_buf *out);               /* what was closed last: more may follow in it */
void js_key(struct lw_buf *out, const char *key); /* needs no escaping */
void js_text(struct lw_buf *out, const char *text); /* NULL: null; what is no UTF-8: U+FFFD */
void js_int(struct lw_buf *out, int64_t number);
void js_truth(struct lw_buf *out, bool truth);
void js_time(struct lw_buf *out, int64_t us); /* microseconds as seconds */
void js_null(struct lw_buf *out);
void js_time_or_null(struct lw_buf *out, int64_t us);     /* null when not above 0 */
void js_value(struct lw_buf *out, struct lw_slice value); /* empty: null */

/* How much of a work. Brief leaves out what a table does not show, and every null, zero and false;
 * `failed`, and what there is to say of the only process, stand in the work itself. */
enum {
	DESCRIBE_ALL = 0,
	DESCRIBE_BRIEF = 1,
	DESCRIBE_USAGE = 2 /* as of the last look (usage.h) */
};

void describe_app(const struct app *app, struct lw_buf *out);
void describe_work(const struct work *work, int how, struct lw_buf *out);
void describe_works(const struct app *app, int how, struct lw_buf *out); /* the list */
/* The latest distinct calls, newest first: a list. */
void describe_calls(const struct work *work, struct lw_buf *out);
void describe_state(const struct state *state, struct lw_buf *out);

/* A run as a call to make again: {"id","stage","reason","progress","args","kwargs"}; NULL: null. */
void describe_call(const struct run *run, struct lw_buf *out);

/* `decision` and `why` are those of the call that was answered with this run; NULL: those it
 * was made by. */
void describe_run(const struct run *run, const char *decision, const char *why, struct lw_buf *out);

/* What a list of thousands shows; the call only when it is short, else null. */
void describe_run_briefly(const struct run *run, struct lw_buf *out);

#endif
