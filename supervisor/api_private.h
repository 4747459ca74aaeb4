/* api_private.h - what the files of the control API share: a request in hand, and its answer.
 *
 * api.c finds the row and checks what the request holds; the function of the row answers
 * at once by api_answer() or api_fail(), hangs a wait on the request (api_wait.c), or streams for as
 * long as the client stays (api_logs.c, api_events.c).
 */
#ifndef LW_SUPERVISOR_API_PRIVATE_H
#define LW_SUPERVISOR_API_PRIVATE_H

#include "api.h"
#include "lw_logread.h"
#include "lw_requests.h"

/* A request as its handler sees it: everything named in it has been found and checked. */
struct ask {
	struct http_request *request;
	struct app *app;
	const char *verb;      /* of the audit line; NULL: changes nothing */
	struct http_peer peer; /* for it, as the request is over by then */
	struct lw_err refused; /* the sentence, when it was */
	char *segment;         /* that stood for "*", decoded; or NULL */
	struct work *work;     /* when the path names one */
	json_t *body;          /* an object, or NULL */
	bool wait, brief, usage, keep, dry_run;
	struct store_search search; /* of runs */
	int64_t before;             /* of what is to be forgotten; 0: all */
	const char *path;           /* borrows from the body */
	char *after;                /* the id of an event, or NULL */
	struct lw_logread_query logs;
	bool follow;
	char *text;         /* that is searched for, decoded */
	struct lw_buf call; /* begun and filled when the body has a call and there is a work */
	bool call_is_whole;
	bool has_call;
	bool all;
};

#define API_PREFIX  "/api/v1/"
#define LINES_UNSET INT64_MIN /* of `logs`: as many as fit the rest of the question */

/* The functions of the rows. */
#define API_DECLARE(method, path, who, serves, ...) void api_do_##serves(struct ask *ask);
LW_REQUESTS(API_DECLARE, API_DECLARE)
#undef API_DECLARE

/* ---- answers ---------------------------------------------------------------------------- */

void api_answer(struct http_request *request, struct lw_buf *out); /* 200; empties `out` */
/* `hint` as lw_nearest_hint() makes it, " (did you mean 'x'?)", or a sentence, or "" or NULL. */
void api_fail(struct http_request *request, int status, const char *code, const char *message,
	      const char *hint);
void api_failf(struct http_request *request, int status, const char *code, const char *format, ...)
	LW_PRINTF(4, 5);
/* 405; `allow` lists the methods that would do. */
void api_fail_method(struct http_request *request, const char *allow, const char *message);
/* As api_fail(), on record for the audit line. */
void api_refuse(struct ask *ask, int status, const char *code, const char *message,
		const char *hint);

/* Who asks, for people: "uid 1000 pid 4242", "view 127.0.0.1:53122". Borrowed until the next call. */
const char *api_who(const struct ask *ask);

/* One work: with its latest call, and of `stopped` the runs that a stop or kill ended. */
void api_describe_one(const struct work *work, struct run *const *stopped, size_t count,
		      struct lw_buf *out);

/* ---- waiting ------------------------------------------------------------------------------ */

struct asked_task;

/* Belongs to its request: freed when it has answered, or when the client goes away. */
struct wait {
	struct http_request *request;
	struct app *app;
	struct watcher watcher;
	struct journal_wait journal;
	struct asked_task *task;           /* while the journal's thread has it */
	void (*finish)(struct wait *wait); /* answers */
	struct work *work;
	struct run **runs; /* with references: that of a call, those retried, those in hand */
	size_t run_count;
	size_t runs_over;     /* of the first ones we know it */
	const char *decision; /* a literal */
	char *why;
	struct lw_slice rows; /* that the journal found, while finish() runs */
	size_t count;         /* calls that were forgotten, or are retried */
	bool brief;           /* of what the journal found */
	bool waited;          /* the client wants to know how it ended */
	bool for_end;         /* of the app: answered when the server closes */
	json_t *body;         /* of a request that is served again, or NULL */
};

/* `finish` answers; it is called once, and the wait is over then. */
struct wait *wait_new(struct ask *ask, void (*finish)(struct wait *wait));
void wait_finish(struct wait *wait);
void wait_drop(struct wait *wait);                  /* its request is answered otherwise */
void wait_keep(struct wait *wait, struct run *run); /* takes a reference */
/* Each of these comes to wait_finish() in the end: what was changed so far is in the journal; that
 * list is told, and then the journal; the runs that are kept are over, and then the journal. */
void wait_stable(struct wait *wait);
void wait_watch(struct wait *wait, struct watcher **list);
void wait_runs(struct wait *wait);
/* A task to journal_ask() for; `finish` finds wait->rows. */
struct journal_task *wait_for_journal(struct ask *ask, void (*finish)(struct wait *wait));

#endif
