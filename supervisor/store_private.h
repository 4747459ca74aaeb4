/* store_private.h - what the files of the store share: rows as columns, and the connection.
 *
 * A row is a C struct; a shape says which of its members are columns. One encoder and one decoder
 * (store_rows.c) walk shapes to and from bytes, one pair of functions (store_sql.c) to and from
 * statements. An op is one kind of change in a batch: a shape and the SQL that is given its
 * columns as ?1, ?2 and so on.
 */
#ifndef LW_SUPERVISOR_STORE_PRIVATE_H
#define LW_SUPERVISOR_STORE_PRIVATE_H

#include <sqlite3.h>

#include "store.h"

/* ---- shapes (store_rows.c) -------------------------------------------------------------- */

enum column_kind {
	COLUMN_ID, /* uint64_t from 1 to INT64_MAX */
	COLUMN_U8,
	COLUMN_BOOL,
	COLUMN_U32,
	COLUMN_U64,
	COLUMN_I64,
	COLUMN_TEXT, /* these two: struct lw_slice; data NULL is NULL */
	COLUMN_BLOB,
};

struct column {
	const char *name; /* in the struct and in the file */
	enum column_kind kind;
	bool stays; /* is not changed once the row is there */
	size_t offset;
};

struct shape {
	const char *table;
	const struct column *columns;
	size_t count;
	size_t keys; /* the first of them: they say which row it is */
};

/* The columns of a run in the order in which they are encoded and selected. The first
 * STORE_KEPT_COLUMNS are all that a start needs of a run that is KEPT. */
extern const struct shape store_run_shape, store_work_shape, store_worker_shape;
#define STORE_KEPT_COLUMNS 9

struct state_row {
	uint32_t work;
	struct lw_slice name, value;
};
struct mark_row {
	struct lw_slice mark;
	int64_t at;
};
extern const struct shape store_state_shape, store_mark_shape, store_pause_shape;

union store_row {
	struct run_row run;
	struct work_row work;
	struct worker_row worker;
	struct state_row state;
	struct mark_row mark;
	struct pause_row pause;
};

static inline bool column_is_slice(const struct column *column)
{
	return column->kind == COLUMN_TEXT || column->kind == COLUMN_BLOB;
}
/* A number of any width, as the file holds it. column_set() is false when it does not fit. */
int64_t column_get(const struct column *column, const void *row);
LW_MUST_USE bool column_set(const struct column *column, void *row, int64_t value);
static inline struct lw_slice *column_slice(const struct column *column, void *row)
{
	return (struct lw_slice *)(void *)((char *)row + column->offset);
}

/* ---- a batch (store_rows.c) --------------------------------------------------------------- */

enum store_op_code {
	OP_RUN_NEW,
	OP_RUN,
	OP_FLAGS,
	OP_WORK,
	OP_WORKER,
	OP_APPLIED,
	OP_WORKER_GONE,
	OP_STATE,
	OP_STATE_GONE,
	OP_MARK,
	OP_PAUSE,
	OP_PAUSE_GONE,
	OPS_N
};

struct store_op {
	const struct shape *shape;
	enum { STORE_INSERT, STORE_UPSERT, STORE_UPDATE, STORE_OTHER } how;
	const char *sql; /* of STORE_OTHER; that of the others follows from the shape */
};
extern const struct store_op store_ops[OPS_N];
void store_op_sql(const struct store_op *op, struct lw_buf *out);
/* "id, work, stage": the first `count` columns. */
void store_columns_sql(const struct shape *shape, size_t count, struct lw_buf *out);
/* A row that is there keeps what stays; then it is not encoded either. */
static inline bool store_op_has(const struct store_op *op, size_t column)
{
	return op->how != STORE_UPDATE || column < op->shape->keys ||
	       !op->shape->columns[column].stays;
}

/* Takes one change off the front of *batch. What the change leaves out is not written. */
LW_MUST_USE int store_op_take(struct lw_slice *batch, enum store_op_code *ret_code,
			      union store_row *ret_row, struct lw_err *err);

/* ---- a connection (store_sql.c) ---------------------------------------------------------- */

struct store_db {
	sqlite3 *db;
	char *path;
};

LW_MUST_USE int store_draw_id(char id[STORE_ID + 1], struct lw_err *err);

/* The file in the state directory; caller frees. -ENAMETOOLONG. */
LW_MUST_USE int db_path(const char *dir, char **ret_path, struct lw_err *err);

/* SQLITE_OPEN_READWRITE or _READONLY of a file that exists. `ret_db` is all zero before, and is to
 * be closed on failure as well. */
LW_MUST_USE int db_open(const char *dir, int flags, struct store_db *ret_db, struct lw_err *err);
/* The same for any file. */
LW_MUST_USE int db_open_file(const char *path, int flags, struct store_db *ret_db,
			     struct lw_err *err);
void db_close(struct store_db *db);

/* The errno and the sentence for SQLite's code: "cannot <doing> '<path>': ...". To be called
 * before anything else is done with the connection. */
int db_error(const struct store_db *db, int code, const char *doing, struct lw_err *err);
int db_damaged(const struct store_db *db, struct lw_err *err, const char *format, ...)
	LW_PRINTF(3, 4);

LW_MUST_USE int db_exec(const struct store_db *db, const char *sql, const char *doing,
			struct lw_err *err);
/* The one number that `sql` selects. */
LW_MUST_USE int db_number(const struct store_db *db, const char *sql, int64_t *ret_number,
			  struct lw_err *err);
LW_MUST_USE int db_prepare(const struct store_db *db, const char *sql, sqlite3_stmt **ret_statement,
			   struct lw_err *err);
/* 1: a row; 0: no more. */
LW_MUST_USE int db_step(const struct store_db *db, sqlite3_stmt *statement, const char *doing,
			struct lw_err *err);

static inline void db_finalize(sqlite3_stmt *statement)
{
	sqlite3_finalize(statement);
}
LW_AUTO_DEFINE(sqlite3_stmt *, db_finalize)

/* The columns of `op` as its parameters, borrowed until the next step is over. SQLite's code. */
LW_MUST_USE int db_bind(sqlite3_stmt *statement, const struct store_op *op,
			const union store_row *row);
/* The first `count` columns of the shape; slices borrow until the next step. -EUCLEAN. */
LW_MUST_USE int db_row(const struct store_db *db, sqlite3_stmt *statement,
		       const struct shape *shape, size_t count, void *ret_row, struct lw_err *err);
/* "SELECT <every column of a run> FROM runs WHERE id = ?1" */
LW_MUST_USE int db_prepare_run(const struct store_db *db, sqlite3_stmt **ret_statement,
			       struct lw_err *err);

/* ---- the store ------------------------------------------------------------------------------- */

struct store {
	struct store_db db;
	sqlite3_stmt *ops[OPS_N];
	sqlite3_stmt *begin, *commit, *rollback;
	char *wal;                /* its path */
	int wal_pages, wal_moved; /* in the WAL; of these, how many a checkpoint has seen */
	char id[STORE_ID + 1];
	uint8_t secret[LW_KEY_SECRET];
};

/* What the partial indexes hold, word for word: SQLite compares expressions, not their sense. */
#define SQL_UNSUCCESSFUL "stage >= 5"                     /* failed or stopped */
#define SQL_SPENT        "stage >= 4 AND (flags & 1) = 0" /* over and not KEPT */

#endif
