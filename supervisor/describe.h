/* describe.h - app, works and runs as JSON, written straight into bytes.
 *
 * Called by api.c. A status of a thousand works is made in one go within a turn of the loop,
 * so there is no tree in between. Times are seconds since 1970, durations seconds.
 */
#ifndef LW_SUPERVISOR_DESCRIBE_H
#define LW_SUPERVISOR_DESCRIBE_H

#include "app.h"
#include "js.h"

void describe_app(const struct app *app, struct lw_buf *out);
/* `usage`: with what its processes use, as of the last look (usage.h). */
void describe_work(const struct work *work, bool usage, struct lw_buf *out);
void describe_works(const struct app *app, bool usage, struct lw_buf *out); /* the list */

/* What a table shows, and no more: two members, "columns" with their names and "works" with a row
 * for each work. What few works have stands in the last columns, and a row ends with its last value
 * that is not null, so that a client reads 1000 works in no time (describe_brief.c). */
void describe_briefly(const struct app *app, bool usage, struct lw_buf *out);

/* Values of members. */
void describe_pause(const struct pause *pause, struct lw_buf *out);
void describe_usage(const struct work *work, struct lw_buf *out);
void describe_progress(const struct run *run, struct lw_buf *out); /* NULL: null */

/* The run that a process executes, or NULL. */
const struct run *describe_running(const struct worker *worker);

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
