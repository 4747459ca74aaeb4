/* store.c - the file's schema, its opening and closing, batches in, and its upkeep.
 *
 * Rows come out in store_load.c, a copy is made in store_backup.c. Called by journal.c alone.
 */
#include "store_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID   0x6c776a6c /* "lwjl" */
#define CHECKPOINT_PAGES 2000       /* 8 MiB: below this a checkpoint does nothing */

/* ---- schema ----------------------------------------------------------------------------- */

/* Version 1. Numbers stand before what may be long, so that reading them never follows a chain of
 * pages. Numbers of 0 and 1 and NULL take a byte. Of three indexes only the first costs a run that
 * succeeds and is KEPT anything. tests/data/journal-v1.db holds it for ever; a change is a new
 * version and a row in `migrations`, as there are below. */
static const char schema[] =
	"CREATE TABLE meta(id TEXT NOT NULL, secret BLOB NOT NULL) STRICT;\n"
	"CREATE TABLE works(\n"
	"  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, settings TEXT,\n"
	"  held INTEGER NOT NULL, made_in_pass INTEGER NOT NULL) STRICT;\n"
	"CREATE TABLE workers(\n"
	"  id INTEGER PRIMARY KEY, work INTEGER NOT NULL, slot INTEGER NOT NULL,\n"
	"  incarnation INTEGER NOT NULL, applied INTEGER NOT NULL, pid INTEGER NOT NULL,\n"
	"  start INTEGER NOT NULL, handle INTEGER NOT NULL, boot TEXT, token TEXT,\n"
	"  ending INTEGER NOT NULL, ready INTEGER NOT NULL) STRICT;\n"
	"CREATE TABLE state(\n"
	"  work INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,\n"
	"  PRIMARY KEY (work, name)) STRICT, WITHOUT ROWID;\n"
	"CREATE TABLE marks(\n"
	"  mark TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;\n"
	"CREATE TABLE runs(\n"
	"  id INTEGER PRIMARY KEY, work INTEGER NOT NULL, stage INTEGER NOT NULL,\n"
	"  by INTEGER NOT NULL, why INTEGER NOT NULL, flags INTEGER NOT NULL,\n"
	"  started INTEGER NOT NULL, ended INTEGER NOT NULL, created INTEGER NOT NULL,\n"
	"  form BLOB NOT NULL,\n"
	"  attempt INTEGER NOT NULL, failures INTEGER NOT NULL, lost INTEGER NOT NULL,\n"
	"  rank INTEGER NOT NULL, due INTEGER NOT NULL,\n"
	"  worker INTEGER NOT NULL, incarnation INTEGER NOT NULL,\n"
	"  reason TEXT, message TEXT, call BLOB, result BLOB, past BLOB) STRICT;\n"
	"CREATE INDEX runs_work ON runs(work);\n"
	"CREATE INDEX runs_unsuccessful ON runs(id, work, stage) WHERE " SQL_UNSUCCESSFUL ";\n"
	"CREATE INDEX runs_spent ON runs(id) WHERE " SQL_SPENT ";\n";

const char *store_schema(void)
{
	return schema;
}

int store_draw_id(char id[STORE_ID + 1], struct lw_err *err)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return lw_err_sys(err, -errno, "cannot draw the store's id");
	snprintf(id, STORE_ID + 1, "%016" PRIx64, number);
	return 0;
}

/* Draws who the store is, once and for ever. */
static int make_meta(const struct store *store, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	uint8_t secret[LW_KEY_SECRET];
	char id[STORE_ID + 1];
	int r = db_prepare(&store->db, "INSERT INTO meta(id, secret) VALUES (?1, ?2)", &statement,
			   err);

	if (r < 0)
		return r;
	r = store_draw_id(id, err);
	if (r < 0)
		return r;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return lw_err_sys(err, -errno, "cannot draw the store's secret");
	sqlite3_bind_text(statement, 1, id, STORE_ID, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 2, secret, sizeof(secret), SQLITE_STATIC);
	return db_step(&store->db, statement, "write", err);
}

static int from_nothing(const struct store *store, struct lw_err *err)
{
	LW_AUTO(lw_free) char *mark = lw_format("PRAGMA application_id = %d", APPLICATION_ID);
	int r = db_exec(&store->db, schema, "write", err);

	if (r == 0)
		r = db_exec(&store->db, mark, "write", err);
	return r < 0 ? r : make_meta(store, err);
}

/* Who paused what, and when. */
static int from_version_1(const struct store *store, struct lw_err *err)
{
	return db_exec(
		&store->db,
		"CREATE TABLE pauses(\n"
		"  work INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL) STRICT;\n",
		"write", err);
}

/* Row n brings version n to n + 1. */
static int (*const migrations[])(const struct store *store, struct lw_err *err) = {
	from_nothing,
	from_version_1,
};
static_assert(LW_COUNT(migrations) == STORE_VERSION, "every version has its way there");

static int migrate(const struct store *store, int64_t version, struct lw_err *err)
{
	LW_AUTO(lw_free) char *done = lw_format("PRAGMA user_version = %d", STORE_VERSION);
	int r;

	if (version == STORE_VERSION)
		return 0;
	r = db_exec(&store->db, "BEGIN IMMEDIATE", "write", err);
	for (int64_t i = version; r == 0 && i < STORE_VERSION; i++)
		r = migrations[i](store, err);
	if (r == 0)
		r = db_exec(&store->db, done, "write", err);
	if (r == 0)
		r = db_exec(&store->db, "COMMIT", "write", err);
	return r; /* on failure the connection is closed, which rolls back */
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* Made by us rather than by SQLite, so that it is for us alone whatever the umask is; the WAL
 * inherits its mode. No connection of ours is open to a file that does not exist yet. */
static int make_file(const char *dir, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = NULL;
	LW_AUTO(lw_close) int fd = -1;
	int r = db_path(dir, &path, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return lw_err_sys(err, -errno, "cannot make '%s'", path);
	return 0;
}

/* SQLite opens for reading what it may not write. */
static int check_writable(const struct store *store, struct lw_err *err)
{
	if (sqlite3_db_readonly(store->db.db, "main") == 0)
		return 0;
	if (faccessat(AT_FDCWD, store->db.path, W_OK, AT_EACCESS) == 0)
		errno = EROFS;
	return lw_err_sys(err, -errno, "cannot write '%s'", store->db.path);
}

/* Ours, and not from the future. An empty file is version 0. */
static int check_identity(const struct store *store, int64_t *ret_version, struct lw_err *err)
{
	int64_t application, version, tables;
	int r = db_number(&store->db, "PRAGMA application_id", &application, err);

	if (r == 0)
		r = db_number(&store->db, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = db_number(&store->db, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r < 0)
		return r;
	if (application == 0 && version == 0 && tables == 0) {
		*ret_version = 0;
		return 0;
	}
	if (application != APPLICATION_ID || version < 1)
		return db_damaged(&store->db, err, "it is no journal of lw-supervisor");
	if (version > STORE_VERSION)
		return lw_err_set(err, -EOVERFLOW,
				  "'%s' was written by a newer version of lw-supervisor"
				  " (schema %" PRId64 ", this one knows %d)",
				  store->db.path, version, STORE_VERSION);
	*ret_version = version;
	return 0;
}

/* SQLite answers with the mode it is in, whatever was asked for. */
static int use_wal(const struct store *store, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	int r = db_prepare(&store->db, "PRAGMA journal_mode = WAL", &statement, err);

	if (r == 0)
		r = db_step(&store->db, statement, "write", err);
	if (r < 0)
		return r;
	if (strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
		return lw_err_set(
			err, -ENOTSUP,
			"'%s' cannot have a write-ahead log: its file system shares no memory",
			store->db.path);
	return 0;
}

static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
	struct store *store = context;

	(void)db;
	(void)name;
	if (pages < store->wal_moved)
		store->wal_moved = 0; /* it began anew */
	store->wal_pages = pages;
	return SQLITE_OK;
}

static int settle(struct store *store, enum durability durability, struct lw_err *err)
{
	LW_AUTO(lw_free)
	char *pragmas = lw_format(
		"PRAGMA synchronous = %s; PRAGMA cache_size = -8192; PRAGMA secure_delete = OFF;"
		"PRAGMA journal_size_limit = 33554432",
		durability == DURABILITY_POWER ? "FULL" : "NORMAL");

	sqlite3_wal_hook(store->db.db, on_commit, store); /* instead of checkpoints by themselves */
	return db_exec(&store->db, pragmas, "open", err);
}

static int read_meta(struct store *store, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	int r = db_prepare(&store->db, "SELECT id, secret FROM meta", &statement, err);

	if (r == 0)
		r = db_step(&store->db, statement, "read", err);
	if (r < 0)
		return r;
	if (r == 0 || sqlite3_column_bytes(statement, 0) != STORE_ID ||
	    sqlite3_column_bytes(statement, 1) != LW_KEY_SECRET)
		return db_damaged(&store->db, err, "it does not know who it is");
	memcpy(store->id, sqlite3_column_blob(statement, 0), STORE_ID);
	memcpy(store->secret, sqlite3_column_blob(statement, 1), LW_KEY_SECRET);
	return 0;
}

static int prepare_all(struct store *store, struct lw_err *err)
{
	int r = db_prepare(&store->db, "BEGIN IMMEDIATE", &store->begin, err);

	if (r == 0)
		r = db_prepare(&store->db, "COMMIT", &store->commit, err);
	if (r == 0)
		r = db_prepare(&store->db, "ROLLBACK", &store->rollback, err);
	for (int i = 0; r == 0 && i < OPS_N; i++) {
		LW_AUTO_BUF sql = { 0 };

		store_op_sql(&store_ops[i], &sql);
		r = db_prepare(&store->db, lw_buf_text(&sql), &store->ops[i], err);
	}
	return r;
}

static int run_once(const struct store *store, sqlite3_stmt *statement, struct lw_err *err)
{
	int r = db_step(&store->db, statement, "write", err);

	sqlite3_reset(statement);
	return r;
}

/* A log that could not be opened for writing when it was looked for, say for want of a descriptor,
 * stays read-only for as long as the connection lives. */
static int check_log(const struct store *store, struct lw_err *err)
{
	int r = run_once(store, store->begin, err);

	return r == 0 ? run_once(store, store->commit, err) : r;
}

int store_open(const char *dir, enum durability durability, struct store **ret_store,
	       struct lw_err *err)
{
	LW_AUTO(store_close) struct store *store = LW_NEW(struct store);
	int64_t version = 0;
	int r = make_file(dir, err);

	if (r == 0)
		r = db_open(dir, SQLITE_OPEN_READWRITE, &store->db, err);
	if (r == 0)
		r = check_writable(store, err);
	if (r == 0)
		r = check_identity(store, &version, err);
	if (r == 0)
		r = use_wal(store, err);
	if (r == 0)
		r = settle(store, durability, err);
	if (r == 0)
		r = migrate(store, version, err);
	if (r == 0)
		r = read_meta(store, err);
	if (r == 0)
		r = prepare_all(store, err);
	if (r == 0)
		r = check_log(store, err);
	if (r < 0)
		return r;
	store->wal = lw_format("%s-wal", store->db.path);
	*ret_store = LW_TAKE(store);
	return 0;
}

void store_close(struct store *store)
{
	int saved = errno;

	if (store == NULL)
		return;
	if (store->wal != NULL) /* it was open */
		sqlite3_wal_checkpoint_v2(store->db.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
					  NULL);
	for (int i = 0; i < OPS_N; i++)
		sqlite3_finalize(store->ops[i]);
	sqlite3_finalize(store->begin);
	sqlite3_finalize(store->commit);
	sqlite3_finalize(store->rollback);
	db_close(&store->db);
	lw_free(store->wal);
	lw_free(store);
	errno = saved;
}

const char *store_id(const struct store *store)
{
	return store->id;
}

const uint8_t *store_secret(const struct store *store)
{
	return store->secret;
}

/* ---- a batch ------------------------------------------------------------------------------------ */

static int apply_one(const struct store *store, struct lw_slice *batch, struct lw_err *err)
{
	union store_row row;
	enum store_op_code code;
	sqlite3_stmt *statement;
	int bound, r = store_op_take(batch, &code, &row, err);

	if (r < 0)
		return r;
	statement = store->ops[code];
	bound = db_bind(statement, &store_ops[code], &row);
	if (bound != SQLITE_OK)
		return db_error(&store->db, bound, "write", err);
	r = run_once(store, statement, err);
	if (r == 0 && code == OP_RUN && sqlite3_changes(store->db.db) == 0)
		return lw_err_set(err, -EBADMSG,
				  "a batch changes run %" PRIu64 ", which is not in '%s'",
				  row.run.id, store->db.path);
	return r;
}

/* Some errors make SQLite roll back by itself. */
static void roll_back(const struct store *store)
{
	if (sqlite3_get_autocommit(store->db.db) != 0)
		return;
	sqlite3_step(store->rollback);
	sqlite3_reset(store->rollback);
}

int store_apply(struct store *store, struct lw_slice batch, struct lw_err *err)
{
	int r;

	if (batch.size == 0)
		return 0;
	r = run_once(store, store->begin, err);
	while (r == 0 && batch.size > 0)
		r = apply_one(store, &batch, err);
	if (r == 0)
		r = run_once(store, store->commit, err);
	if (r < 0)
		roll_back(store);
	return r;
}

/* ---- upkeep --------------------------------------------------------------------------------------- */

int store_trim(struct store *store, uint64_t keep, unsigned most, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	int64_t spent, beyond;
	int r = db_number(&store->db,
			  "SELECT count(*) FROM runs INDEXED BY runs_spent WHERE " SQL_SPENT,
			  &spent, err);

	if (r < 0 || (uint64_t)spent <= keep)
		return r;
	beyond = spent - (int64_t)keep;
	r = db_prepare(&store->db,
		       "DELETE FROM runs WHERE id IN (SELECT id FROM runs INDEXED BY runs_spent"
		       " WHERE " SQL_SPENT " ORDER BY id LIMIT ?1)",
		       &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, beyond < most ? beyond : most);
	r = db_step(&store->db, statement, "write", err);
	return r < 0 ? r : sqlite3_changes(store->db.db);
}

/* A reader that holds an old state up only puts it off, so it is tried once for so many pages. */
void store_checkpoint(struct store *store)
{
	if (store->wal_pages - store->wal_moved < CHECKPOINT_PAGES)
		return;
	store->wal_moved = store->wal_pages;
	sqlite3_wal_checkpoint_v2(store->db.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t store_size(const struct store *store)
{
	return file_size(store->db.path) + file_size(store->wal);
}

uint64_t store_changes(const struct store *store)
{
	return (uint64_t)sqlite3_total_changes64(store->db.db);
}
