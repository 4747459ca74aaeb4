/* store.h - the SQLite file of an app: its schema, its rows, and no run in memory.
 *
 * journal.c owns a store: its thread applies batches, answers searches, backs up and
 * checkpoints; before that thread starts, the loop's thread loads. A reader is a second,
 * read-only connection that the loop's thread uses for single rows. A store and a reader are used
 * by one thread at a time each; nothing here knows a loop, a work or a run.
 *
 * A batch is bytes: changes, encoded one behind the other by the store_put_*() functions and
 * applied in one transaction in that order. Rows come back in the same encoding. Times are
 * microseconds since 1970.
 *
 * Errors are -errno with a sentence that names the file: -ENOSPC (disk full), -EROFS,
 * -EACCES, -EIO, -EUCLEAN (damaged, or no journal), -EOVERFLOW (written by a newer version),
 * -EBUSY (another process held it for 2 s), -ENAMETOOLONG (of a path above 500 bytes).
 */
#ifndef LW_SUPERVISOR_STORE_H
#define LW_SUPERVISOR_STORE_H

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_call.h"
#include "lw_err.h"

#define STORE_FILE    "journal.db" /* in the state directory; -wal and -shm beside it */
#define STORE_VERSION 2            /* PRAGMA user_version; application_id says whose it is */

struct store;
struct store_reader;

enum durability { DURABILITY_PROCESS, DURABILITY_POWER }; /* synchronous NORMAL, FULL */

/* ---- rows ---------------------------------------------------------------------------- */

/* One execution of a call. Slices borrow. */
struct run_row {
	uint64_t id;
	uint32_t work; /* its row's id */
	uint8_t stage; /* enum stage (run.h) */
	uint8_t by;    /* enum caller */
	uint8_t why;   /* enum why */
	uint8_t flags; /* STORE_RUN_* */
	uint32_t attempt, failures, lost;
	int64_t rank;                    /* order in its work's queue */
	int64_t created, started, ended; /* 0: not yet */
	int64_t due;                     /* of the next attempt; 0: at once */
	uint64_t worker, incarnation;    /* that was sent it; 0: none */
	struct lw_slice form, call;      /* call empty: the same bytes as form */
	struct lw_slice result;          /* a value, or empty: none */
	struct lw_slice reason, message; /* text; data NULL: none */
	struct lw_slice past; /* statuses of earlier attempts, packed by run.c; or empty */
};
#define STORE_RUN_KEPT        1  /* the cache remembers it for its call */
#define STORE_RUN_UNDELIVERED 2  /* failed, and the flow has not been told yet */
#define STORE_RUN_FORGET      4  /* leaves the cache when it is over */
#define STORE_RUN_FATAL       32 /* failed, and its error ended the app (the bits between: run.c) */
#define STORE_RUN_OVER_FROM   4  /* stages from here on are over: succeeded, failed, stopped */

/* A work that ever was. */
struct work_row {
	uint32_t id;
	struct lw_slice name;
	struct lw_slice settings; /* those its processes were started with: JSON text */
	bool held;                /* an operator's stop holds */
	bool made_in_pass;
};

/* A place for a process of a work. Which process that is, so that a later supervisor finds it. */
struct worker_row {
	uint64_t id;
	uint32_t work;
	uint32_t slot; /* in the work's pool */
	uint64_t incarnation;
	uint64_t applied;     /* last report that is on record */
	int64_t pid;          /* 0: none */
	uint64_t start;       /* its start time in ticks after boot */
	uint64_t handle;      /* that names it among all processes since boot; 0: unknown */
	struct lw_slice boot; /* boot id, text */
	struct lw_slice token;
	uint8_t ending; /* its end was asked for: see worker.h; 0: no */
	uint8_t ready;  /* 0: it had not dialled in, 1: it had, 2: and was not ready, 3: and was */
};

/* An operator's pause, until it is resumed. */
struct pause_row {
	uint32_t work; /* 0: of the app */
	int64_t at;    /* 0: none any more */
	struct lw_slice by;
};

/* ---- a batch ---------------------------------------------------------------------------- */

void store_put_run_new(struct lw_buf *batch, const struct run_row *row); /* INSERT */
/* All but work, by, why, created, form, call: those of the row that is there stay, and are not
 * encoded. */
void store_put_run(struct lw_buf *batch, const struct run_row *row);
void store_put_flags(struct lw_buf *batch, uint64_t run, uint8_t flags);   /* of one run */
void store_put_work(struct lw_buf *batch, const struct work_row *row);     /* UPSERT by id */
void store_put_worker(struct lw_buf *batch, const struct worker_row *row); /* UPSERT by id */
void store_put_applied(struct lw_buf *batch, uint64_t worker, uint64_t applied);
void store_put_worker_gone(struct lw_buf *batch, uint64_t worker); /* pid 0; incarnation stays */
void store_put_state(struct lw_buf *batch, uint32_t work, struct lw_slice name,
		     struct lw_slice value); /* work 0: the flow's; value empty: removed */
void store_put_mark(struct lw_buf *batch, struct lw_slice mark, int64_t at);
void store_put_pause(struct lw_buf *batch, const struct pause_row *row);

/* The whole batch or nothing. One failed apply may be tried again with the same bytes. A batch
 * that makes no sense (our mistake) is -EBADMSG. */
LW_MUST_USE int store_apply(struct store *store, struct lw_slice batch, struct lw_err *err);

/* ---- opening ------------------------------------------------------------------------------ */

/* Makes the file where there is none, brings an older schema forward. */
LW_MUST_USE int store_open(const char *dir, enum durability durability, struct store **ret_store,
			   struct lw_err *err);
void store_close(struct store *store); /* checkpoints what it can; NULL is welcome */
LW_AUTO_DEFINE(struct store *, store_close)

#define STORE_ID 16 /* hex digits */
/* Both drawn when the file was made. */
const char *store_id(const struct store *store);
const uint8_t *store_secret(const struct store *store); /* LW_KEY_SECRET bytes */

/* What a start needs to know. Called in this order: works, states, marks, pauses, workers, then runs by id.
 * Slices live until the call returns. A callback that returns < 0 ends the load with that.
 *   kept: a run that is over and KEPT: id, work, stage, by, why, flags, started, ended, form.
 *   open: a run that is not over: the whole row. */
struct store_load {
	void *context;
	int (*work)(void *context, const struct work_row *row);
	int (*state)(void *context, uint32_t work, struct lw_slice name, struct lw_slice value);
	int (*mark)(void *context, struct lw_slice mark, int64_t at);
	int (*pause)(void *context, const struct pause_row *row);
	int (*worker)(void *context, const struct worker_row *row);
	int (*kept)(void *context, const struct run_row *row);
	int (*open)(void *context, const struct run_row *row);
};
LW_MUST_USE int store_load(struct store *store, const struct store_load *load, struct lw_err *err);
/* The highest id of a run; 0: none. */
LW_MUST_USE int store_last_run(struct store *store, uint64_t *ret_id, struct lw_err *err);
/* About how many runs are KEPT, so that an index can be made large enough before the load. */
uint64_t store_estimate(struct store *store);

/* ---- searching ------------------------------------------------------------------------------ */

struct store_search {
	uint32_t work;   /* 0: of every work */
	int stage;       /* that stage alone; -1: any */
	int64_t since;   /* made at this time or later; 0: ever */
	uint64_t before; /* ids below this one; 0: all */
	size_t limit;
};
/* Appends the rows found, newest first, each as run_row_put() does; returns how many. Takes at
 * most some milliseconds for a limit of 1000 in a file with a million runs, whatever is asked:
 * no more than STORE_FIND_LOOKS entries are looked at, of the index that fits (one by work, one of
 * failed and stopped runs). So a run in another stage is not found when that many of its work (of
 * any work, if none is asked for) were made since; those that are not over are in memory anyway.
 * The rows also end early after the one that makes them longer than 64 MiB. */
#define STORE_FIND_LOOKS 20000
LW_MUST_USE int store_find(struct store *store, const struct store_search *search,
			   struct lw_buf *out, struct lw_err *err);
void run_row_put(struct lw_buf *out, const struct run_row *row);
/* Takes one row off the front of *bytes. -EBADMSG: the bytes are not what run_row_put() writes. */
LW_MUST_USE int run_row_take(struct lw_slice *bytes, struct run_row *ret_row, struct lw_err *err);

/* ---- the loop's reader ------------------------------------------------------------------------ */

LW_MUST_USE int store_reader_open(const char *dir, struct store_reader **ret_reader,
				  struct lw_err *err);
void store_reader_close(struct store_reader *reader); /* NULL is welcome */
LW_AUTO_DEFINE(struct store_reader *, store_reader_close)
/* 1 and the whole row; 0: no such run (or not committed yet). Slices borrow until the next call on
 * this reader. */
LW_MUST_USE int store_reader_run(struct store_reader *reader, uint64_t id, struct run_row *ret_row,
				 struct lw_err *err);
LW_MUST_USE int store_reader_form(struct store_reader *reader, uint64_t id,
				  struct lw_slice *ret_form, struct lw_err *err);

/* ---- upkeep ------------------------------------------------------------------------------------ */

/* Deletes the oldest runs that are over and not KEPT beyond `keep`, at most `most` of them a call;
 * returns how many. */
LW_MUST_USE int store_trim(struct store *store, uint64_t keep, unsigned most, struct lw_err *err);
/* Moves what the WAL holds into the file, without waiting for readers; does nothing while the
 * WAL is small. */
void store_checkpoint(struct store *store);
/* A consistent copy into a new file, which must not exist (-EEXIST); on failure nothing is left. The
 * copy has an id of its own, and its workers ended with an earlier boot. */
LW_MUST_USE int store_backup(struct store *store, const char *path, struct lw_err *err);
/* Bytes of the file and its WAL. */
uint64_t store_size(const struct store *store);
/* Rows made, changed or deleted since it was opened. */
uint64_t store_changes(const struct store *store);
/* The SQL of the schema, for the bench's bare floor. */
const char *store_schema(void);

#endif
