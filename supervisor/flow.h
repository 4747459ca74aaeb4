/* flow.h - the flow engine: loads app.conf, runs one pass. The only door to Lua.
 *
 * One per app. A pass never blocks; it is interrupted after flow_timeout. Everything a flow
 * asks for goes through app.h and work.h; the engine knows no socket and no process.
 */
#ifndef LW_SUPERVISOR_FLOW_H
#define LW_SUPERVISOR_FLOW_H

#include "config.h"
#include "lw_err.h"

struct app;
struct flow;

/* Runs the top level of app.conf in the sandbox. An error's sentence is
 * "app.conf:12: work 'train': unknown option 'paralel' (did you mean 'parallel'?)". */
LW_MUST_USE int flow_load(const char *path, struct config **ret_config, struct flow **ret_flow,
			  struct lw_err *err);
void flow_free(struct flow *flow); /* NULL is welcome */
LW_AUTO_DEFINE(struct flow *, flow_free)

enum flow_verdict {
	FLOW_ENDED, /* reached the end of flow() */
	FLOW_WAITS, /* ended early at a call that is not over */
	FLOW_STOPS, /* lw.stop(msg) */
	FLOW_FAILS, /* lw.fail(msg), an error nobody caught, or flow_timeout: see message */
};

struct flow_result {
	enum flow_verdict verdict;
	uint64_t run;      /* FLOW_FAILS by the error of a run that nobody caught: its id; else 0 */
	char message[500]; /* "app.conf:14: ..." */
};

/* One execution of flow(). It takes flow_timeout of processor time at most, and FLOW_GRACE more while
 * a library call does not return; then the supervisor ends. */
#define FLOW_GRACE INT64_C(6000000) /* us */
void flow_pass(struct flow *flow, struct app *app, struct flow_result *ret_result);

/* No pass is expected soon: the timer of flow_timeout does not fire any more for the last ones. */
void flow_rest(struct flow *flow);

/* What the flow prints: one line, without newline. Set by the supervisor. */
typedef void flow_print_fn(void *context, const char *line, size_t size);
void flow_print_to(struct flow *flow, flow_print_fn *print, void *context);
void flow_print_as(struct flow *flow, const struct flow *other); /* where that one prints */

/* For tests: whatever app.conf says, no top level and no pass of what is loaded from now on may
 * take longer (microseconds) or more memory (bytes). */
void flow_set_bounds(int64_t longest, int64_t memory);

#endif
