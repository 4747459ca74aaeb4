/* app.h - the running app: its works by name, its passes, its own state.
 *
 * Owned by the supervisor. What a flow (flow_lua.c) and an operator (api.c) may ask of the app
 * goes through here and work.h.
 */
#ifndef LW_SUPERVISOR_APP_H
#define LW_SUPERVISOR_APP_H

#include <sys/resource.h>

#include "cache.h"
#include "config.h"
#include "files.h"
#include "flow.h"
#include "journal.h"
#include "loop.h"
#include "state.h"
#include "usage.h"
#include "work.h"

struct dial;
struct events;
struct lw_cgroup;
struct logs;
struct launch;
struct notify;
struct reaper;
struct schedule;
struct view;

enum app_stage { APP_STARTING, APP_RUNNING, APP_STOPPING, APP_OVER };
const char *app_stage_name(enum app_stage stage);

struct app {
	struct loop *loop;
	struct config *config;
	struct flow *flow;
	struct view *view; /* or NULL */
	struct events *events;
	struct cache *cache;
	struct runs *runs;
	struct journal *journal;
	struct logs *logs;
	struct schedule *schedule;
	struct reaper *reaper;
	struct launch *launch;
	struct lw_cgroup *cgroup; /* that was delegated to us, or NULL */
	struct files *files;
	struct notify *notify; /* the supervisor's, or NULL: nobody listens */
	struct state state;    /* lw.state */
	enum app_stage stage;  /* text: app_stage_name() */
	struct work **works;   /* in the order they are shown */
	size_t work_count;
	struct work **rows; /* the same by row of the journal - 1; NULL where none is */
	size_t row_count;
	void *names;             /* the same by name, of tsearch(3) */
	struct worker **workers; /* by id - 1; NULL where one left */
	size_t worker_count;
	struct lw_buf scratch; /* of the canonical form of the call in hand */
	int64_t started;       /* microseconds since 1970 */

	/* passes */
	struct pause pause; /* there are none */
	bool in_pass;
	struct watcher look; /* the next pass waits for a look at cache_files */
	bool look_again;     /* and another one comes: something changed after it began */
	uint64_t passes;
	int64_t last_pass;            /* when, microseconds since 1970 */
	int64_t last_pass_took;       /* microseconds */
	const char *last_trigger;     /* "run", "state", "interval", ... */
	struct histogram passes_took; /* of histogram_of_passes */
	uint64_t full_passes;         /* that reached the end of flow() */
	bool own_change;              /* the pass in hand changed something but runs */
	size_t live_runs;             /* of all works: made and not over */
	uint64_t changes;             /* made by the pass in hand: new runs, state */
	bool drain;                   /* end when nothing is left to do */
	bool keep_works;              /* the end leaves the works to the next supervisor */
	char *last_failure;           /* the sentence of the run that failed last, or NULL */

	/* the end */
	int exit_status;
	char *end_reason; /* or NULL */

	/* what a worker needs to start */
	const char *state_dir;
	const char *worker_socket;        /* where workers dial, */
	struct dial *dial;                /* unless they run as another user: it knows where */
	const char *worker_program;       /* path of lw-worker */
	struct rlimit child_files;        /* RLIMIT_NOFILE as we were given it: ours is raised */
	void (*on_over)(struct app *app); /* no process is left and the app is to end */
	void (*on_reloaded)(struct app *app); /* app->config is another one; or NULL */

	struct journal_wait left; /* app_leave(): until all is on record */
	struct loop_task begin_task, pass_task, looked_task, end_task, over_task, trim_task;
	struct loop_timer interval_timer; /* the longest pause between passes */
	struct usage_round usage;         /* looks at what processes use */
	struct loop_timer own_timer;      /* a pass because of what the flow changed itself */
};

/* An app without works, with the journal of its state directory (borrowed); takes config and flow
 * over. The caller then sets what a worker needs and the logs, and calls app_begin(). */
LW_MUST_USE int app_new(struct loop *loop, struct config *config, struct flow *flow,
			const char *state_dir, struct app **ret_app, struct lw_err *err);
/* Puts on record what is not yet; -errno: it could not be written. */
LW_MUST_USE int app_settle(struct app *app, struct lw_err *err);
void app_free(
	struct app *app); /* no process is left, or all are left alone; the logs are the caller's */

/* Reads the journal (adopt.h), makes the works of app.conf, adopts and starts processes; the first
 * pass comes with the first turn. */
LW_MUST_USE int app_begin(struct app *app, struct lw_err *err);

/* A run by id, also one that is only on record. Borrowed until the end of the turn. NULL: -ENOENT,
 * or the journal cannot be read. */
struct run *app_run(struct app *app, uint64_t id, struct lw_err *err);
/* A run that is over goes to rest; gives up the caller's reference. */
void app_rest(struct app *app, struct run *run);
/* The run of a row that a search found; a reference for the caller. */
LW_MUST_USE int app_run_of_row(struct app *app, const struct run_row *row, struct run **ret_run,
			       struct lw_err *err);

/* Listed in status: not those that passes have ceased to make. */
bool app_shows(const struct work *work);
int64_t app_longest_turn(const struct app *app); /* us that a turn of the loop may take: a pass */

struct work *app_work(const struct app *app, const char *name);    /* or NULL */
struct work *app_work_of_row(const struct app *app, uint32_t row); /* or NULL */
/* Every work that the record knows or that is made has a row. Takes the settings over. */
struct work *app_add_work(struct app *app, struct work_config *take, uint32_t row);

/* Takes the settings over. The same name with the same settings: that work; with others:
 * -EEXIST and the key. From within a pass the work lives as long as passes make it again. */
LW_MUST_USE int app_work_add(struct app *app, struct work_config *take, bool in_pass,
			     struct work **ret_work, struct lw_err *err);

/* Something changed: a pass comes in this turn or the next. `trigger` is a literal. */
void app_changed(struct app *app, const char *trigger);

/* By an operator: no passes until it is resumed; what runs, and what operators call, goes on. */
void app_pause(struct app *app, const char *by);
void app_resume(struct app *app);

/* The flow assigns lw.state. */
LW_MUST_USE int app_set_state(struct app *app, const char *name, struct lw_slice value,
			      struct lw_err *err);

/* lw.schedule(mark): 1 and the mark's time as text, 0: not now, -EINVAL. */
LW_MUST_USE int app_schedule(struct app *app, const char *mark, char text[32], struct lw_err *err);

/* A mark as the record has it. */
LW_MUST_USE int app_restore_mark(struct app *app, const char *mark, int64_t at, struct lw_err *err);

/* Something of it has changed that an event tells (enum event_what, events.h). */
void app_note(struct app *app, int what);

/* A process of a stopping app or a retired work is gone. */
void app_on_gone(struct app *app);

/* Ends the app: works are stopped first. A second call with `at_once` kills them. */
void app_end(struct app *app, int exit_status, const char *reason);
/* Ends it and leaves the works, with what they run, to the next supervisor. */
void app_leave(struct app *app, const char *reason);
void app_end_at_once(struct app *app);

#endif
