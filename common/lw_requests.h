/* lw_requests.h - the requests of the control API and the verbs of lwctl: one table.
 *
 * From it come: which function serves a request and what it may hold (supervisor/api.c), dispatch,
 * arity, options and help of the verbs (control/command.c), and what is generated from both. A row
 * is expanded with V where a verb of lwctl makes the request, with R where none does.
 *
 * A path stands behind /api/v1/, "*" for one segment. Arguments of a verb: "[X]" may be left out,
 * "..." stands for any number.
 */
#ifndef LW_REQUESTS_H
#define LW_REQUESTS_H

/* clang-format off */
/* What a query may hold; each is the bit LW_QUERY_<BIT>. Two bits may share a name. */
/*        BIT       name          sentence */
#define LW_QUERIES(Q)                                                                    \
	Q(WAIT,     "wait",       "false: answer at once, not when it is done")          \
	Q(MAY_WAIT, "wait",       "true: answer when the runs are over")                 \
	Q(BRIEF,    "brief",      "true: only what a table shows, as rows below columns") \
	Q(USAGE,    "usage",      "true: with what the processes of works use")         \
	Q(LEAN,     "brief",      "true: without results and reasons, and without long arguments") \
	Q(LIMIT,    "limit",      "so many runs at most, 1 to 1000")                     \
	Q(STAGE,    "stage",      "only runs in that stage")                             \
	Q(SINCE,    "since",      "only what is not older, in seconds since 1970")       \
	Q(BEFORE,   "before",     "only runs with a smaller id")                         \
	Q(KEEP,     "keep_works", "true: leave the works to the next supervisor")        \
	Q(DRY,      "dry_run",    "true: only tell what would be done")                  \
	Q(AFTER,    "after",      "go on behind that event")                               \
	Q(LINES,    "lines",      "the last so many lines, or all (default: 100; all of a run, or since a time)") \
	Q(FOLLOW,   "follow",     "true: and what comes, for as long as the client stays") \
	Q(RUN,      "run",        "only lines of the run with that id")                  \
	Q(STREAM,   "stream",     "out or err: only lines of that stream")               \
	Q(SEARCH,   "search",     "only lines that have this text")

/* What a JSON body may hold; each is the bit LW_BODY_<BIT>. */
/*        BIT       key           sentence */
#define LW_BODIES(B)                                                                     \
	B(ARGS,     "args",       "the positional arguments of the call, a list")        \
	B(KWARGS,   "kwargs",     "its named arguments, an object")                      \
	B(ALL,      "all",        "true: every call of the work")                        \
	B(OLDER,    "before",     "with all: only calls that ended before that time")    \
	B(PATH,     "path",       "the absolute path of a new file")                     \
	B(SIGNAL,   "signal",     "a signal by its name or number")                      \
	B(PATCH,    "*",          "a JSON merge patch (RFC 7396)")
/* clang-format on */

#define LW_QUERY_AT(BIT, name, sentence) LW_QUERY_AT_##BIT,
#define LW_QUERY_IS(BIT, name, sentence) LW_QUERY_##BIT = 1 << LW_QUERY_AT_##BIT,
#define LW_BODY_AT(BIT, key, sentence)   LW_BODY_AT_##BIT,
#define LW_BODY_IS(BIT, key, sentence)   LW_BODY_##BIT = 1 << LW_BODY_AT_##BIT,
enum { LW_QUERIES(LW_QUERY_AT) LW_QUERIES_N };
enum { LW_QUERY_NONE = 0, LW_QUERIES(LW_QUERY_IS) };
enum { LW_BODIES(LW_BODY_AT) LW_BODIES_N };
enum { LW_BODY_NONE = 0, LW_BODIES(LW_BODY_IS) };
#undef LW_QUERY_AT
#undef LW_QUERY_IS
#undef LW_BODY_AT
#undef LW_BODY_IS

#define LW_BODY_CALL (LW_BODY_ARGS | LW_BODY_KWARGS)
#define LW_QUERY_FILTER                                                                            \
	(LW_QUERY_LEAN | LW_QUERY_LIMIT | LW_QUERY_STAGE | LW_QUERY_SINCE | LW_QUERY_BEFORE)
#define LW_QUERY_LOGS                                                                              \
	(LW_QUERY_LINES | LW_QUERY_FOLLOW | LW_QUERY_SINCE | LW_QUERY_RUN | LW_QUERY_STREAM |      \
	 LW_QUERY_SEARCH)

/* Who may make a request: whoever may connect, or whoever may steer (audited). */
enum lw_rights { LW_ANYONE, LW_OPERATOR };

/* clang-format off */
/*        method  path               who       serves       body and query
 *        verb, arguments, function of lwctl
 *        sentence */
#define LW_REQUESTS(V, R) \
	V("GET",   "status",          ANYONE,   status,      LW_BODY_NONE, LW_QUERY_BRIEF | LW_QUERY_USAGE, \
	  status, "[WORK]", status, \
	  "show the app and every work, or one") \
	V("GET",   "works",           ANYONE,   works,       LW_BODY_NONE, LW_QUERY_BRIEF | LW_QUERY_USAGE, \
	  works, "", works, \
	  "show every work") \
	R("GET",   "works/*",         ANYONE,   work,        LW_BODY_NONE, LW_QUERY_USAGE, \
	  "show one work") \
	V("POST",  "works/*/start",   OPERATOR, start,       LW_BODY_NONE, LW_QUERY_WAIT, \
	  start, "WORK", steer, \
	  "start a stopped work") \
	V("POST",  "works/*/stop",    OPERATOR, stop,        LW_BODY_NONE, LW_QUERY_WAIT, \
	  stop, "WORK", steer, \
	  "stop a work until start or restart") \
	V("POST",  "works/*/restart", OPERATOR, restart,     LW_BODY_NONE, LW_QUERY_WAIT, \
	  restart, "WORK", steer, \
	  "end the processes of a work and start new ones; its run begins again") \
	V("POST",  "works/*/kill",    OPERATOR, kill,        LW_BODY_NONE, LW_QUERY_WAIT, \
	  kill, "WORK", steer, \
	  "kill the processes of a work; its run is stopped") \
	V("POST",  "works/*/pause",   OPERATOR, pause,       LW_BODY_NONE, LW_QUERY_NONE, \
	  pause, "[WORK]", pause, \
	  "take nothing from the queue of a work, or make no passes; what runs goes on") \
	V("POST",  "works/*/resume",  OPERATOR, resume,      LW_BODY_NONE, LW_QUERY_NONE, \
	  resume, "[WORK]", pause, \
	  "undo a pause") \
	V("POST",  "works/*/signal",  OPERATOR, signal,      LW_BODY_SIGNAL, LW_QUERY_NONE, \
	  signal, "WORK SIGNAL", signal, \
	  "send a signal to the programs or commands that a work runs now") \
	V("POST",  "works/*/run",     OPERATOR, run,         LW_BODY_CALL, LW_QUERY_WAIT, \
	  run, "WORK [ARGS...]", run, \
	  "make a call; --wait: and wait for its run") \
	V("POST",  "works/*/retry",   OPERATOR, retry,       LW_BODY_CALL | LW_BODY_ALL, LW_QUERY_MAY_WAIT, \
	  retry, "WORK [ARGS...]", retry, \
	  "run again a call that failed or was stopped; --wait: and wait for its run") \
	V("POST",  "works/*/forget",  OPERATOR, forget,      LW_BODY_CALL | LW_BODY_ALL | LW_BODY_OLDER, LW_QUERY_NONE, \
	  forget, "WORK [ARGS...]", forget, \
	  "forget a call, so that it runs again") \
	V("POST",  "works/*/explain", ANYONE,   explain,     LW_BODY_CALL, LW_QUERY_NONE, \
	  explain, "WORK [ARGS...]", explain, \
	  "what a call would do, and why") \
	R("GET",   "works/*/runs",    ANYONE,   runs,        LW_BODY_NONE, LW_QUERY_FILTER, \
	  "show the latest runs of a work") \
	V("GET",   "runs",            ANYONE,   all_runs,    LW_BODY_NONE, LW_QUERY_FILTER, \
	  runs, "[WORK]", runs, \
	  "show the latest runs of a work, or of all") \
	V("GET",   "runs/*",          ANYONE,   show,        LW_BODY_NONE, LW_QUERY_NONE, \
	  show, "ID", show, \
	  "show one run, of all on record") \
	R("GET",   "works/*/logs",    ANYONE,   logs,        LW_BODY_NONE, LW_QUERY_LOGS, \
	  "show what a work has printed, a JSON object for each line") \
	V("GET",   "logs",            ANYONE,   all_logs,    LW_BODY_NONE, LW_QUERY_LOGS, \
	  logs, "[WORK]", logs, \
	  "show what a work has printed, or all works, the flow and the supervisor") \
	R("GET",   "skips",           ANYONE,   skips,       LW_BODY_NONE, LW_QUERY_NONE, \
	  "how many calls of each work were skipped in each minute of the last hour") \
	V("GET",   "state",           ANYONE,   read_state,  LW_BODY_NONE, LW_QUERY_NONE, \
	  state, "[PATCH...]", state, \
	  "show the flow's state, or change it: JSON merge patch or name=value") \
	R("GET",   "spec",            ANYONE,   spec,        LW_BODY_NONE, LW_QUERY_NONE, \
	  "this table: every request, what it may hold, and the verb of lwctl that makes it") \
	V("GET",   "events",          ANYONE,   events,      LW_BODY_NONE, LW_QUERY_AFTER, \
	  events, "", events, \
	  "what happens from now on: server-sent events, by lwctl a line of JSON each") \
	R("PATCH", "state",           OPERATOR, state,       LW_BODY_PATCH, LW_QUERY_NONE, \
	  "change the flow's state (JSON merge patch)") \
	R("POST",  "app/pause",       OPERATOR, pause_app,   LW_BODY_NONE, LW_QUERY_NONE, \
	  "make no passes; what runs goes on, and so do operators' calls") \
	R("POST",  "app/resume",      OPERATOR, resume_app,  LW_BODY_NONE, LW_QUERY_NONE, \
	  "make passes again") \
	V("POST",  "app/reload",      OPERATOR, reload,      LW_BODY_NONE, LW_QUERY_DRY, \
	  reload, "", reload, \
	  "read app.conf again and take over what has changed") \
	V("POST",  "app/backup",      OPERATOR, backup,      LW_BODY_PATH, LW_QUERY_NONE, \
	  backup, "FILE", backup, \
	  "copy the record of what ran to a new file") \
	V("POST",  "app/stop",        OPERATOR, shutdown,    LW_BODY_NONE, LW_QUERY_WAIT | LW_QUERY_KEEP, \
	  shutdown, "", shutdown, \
	  "stop the works, then the app")
/* clang-format on */

#endif
