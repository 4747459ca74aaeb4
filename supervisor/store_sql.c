/* store_sql.c - a connection to the file: opening, statements, rows, and what SQLite's codes mean.
 *
 * A connection belongs to one thread at a time (SQLITE_OPEN_NOMUTEX); a store and a reader have
 * one each. Nothing here opens the file but SQLite: closing any descriptor of it would drop the
 * locks that this process holds on it.
 */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS   2000 /* how long to wait for another process that holds the file */
#define PATH_MOST 500  /* SQLite's own bound is 512, "-journal" included */

/* ---- errors ------------------------------------------------------------------------------- */

/* What the system said when SQLite could not read, write or open: every call of ours clears errno
 * before, and SQLite calls nothing that fails between that and its return. Its own memory of it
 * (sqlite3_system_errno) leaves out the writes of a commit. */
static int system_error(const struct store_db *db)
{
	int error = errno != 0 ? errno : sqlite3_system_errno(db->db);

	switch (error) {
	case 0:
		return -EIO;
	case EFBIG:
	case EDQUOT:
		return -ENOSPC;
	default:
		return -error;
	}
}

/* The file system is read-only, or the folder, where the WAL has to be made, is not ours. */
static int readonly_error(const struct store_db *db)
{
	LW_AUTO(lw_free)
	char *dir = lw_strndup(db->path, (size_t)(strrchr(db->path, '/') - db->path));

	return faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) < 0 ? -errno : -EROFS;
}

static int errno_of(const struct store_db *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		if (code == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		return system_error(db) == -ENOSPC ? -ENOSPC : -EIO;
	case SQLITE_CANTOPEN:
		return system_error(db);
	case SQLITE_READONLY:
		return readonly_error(db);
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

int db_error(const struct store_db *db, int code, const char *doing, struct lw_err *err)
{
	int r = errno_of(db, code);

	if (r == -EUCLEAN)
		return db_damaged(db, err, "%s", sqlite3_errmsg(db->db));
	if (r == -EBADMSG || r == -EIO)
		return lw_err_set(err, r, "cannot %s '%s': %s", doing, db->path,
				  sqlite3_errmsg(db->db));
	return lw_err_sys(err, r, "cannot %s '%s'", doing, db->path);
}

int db_damaged(const struct store_db *db, struct lw_err *err, const char *format, ...)
{
	char what[200];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return lw_err_set(err, -EUCLEAN, "'%s' is damaged: %s", db->path, what);
}

/* ---- opening ---------------------------------------------------------------------------------- */

int db_path(const char *dir, char **ret_path, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/%s", dir, STORE_FILE);

	if (strlen(path) > PATH_MOST)
		return lw_err_set(err, -ENAMETOOLONG,
				  "'%s' is too long for SQLite: %d bytes at most", path, PATH_MOST);
	*ret_path = LW_TAKE(path);
	return 0;
}

int db_open(const char *dir, int flags, struct store_db *ret_db, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = NULL;
	int r = db_path(dir, &path, err);

	return r < 0 ? r : db_open_file(path, flags, ret_db, err);
}

int db_open_file(const char *path, int flags, struct store_db *ret_db, struct lw_err *err)
{
	int code;

	ret_db->path = lw_strdup(path);
	if (sqlite3_threadsafe() == 0)
		return lw_err_set(err, -ENOTSUP, "this SQLite was built without threads");
	errno = 0;
	code = sqlite3_open_v2(ret_db->path, &ret_db->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (ret_db->db == NULL)
		return lw_err_set(err, -ENOMEM, "out of memory");
	if (code != SQLITE_OK)
		return db_error(ret_db, code, "open", err);
	sqlite3_extended_result_codes(ret_db->db, 1);
	sqlite3_busy_timeout(ret_db->db, BUSY_MS);
	return db_exec(ret_db,
		       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
		       "PRAGMA temp_store = MEMORY",
		       "open", err);
}

void db_close(struct store_db *db)
{
	int saved = errno;

	sqlite3_close(db->db);
	lw_free(db->path);
	*db = (struct store_db){ 0 };
	errno = saved;
}

/* ---- statements --------------------------------------------------------------------------------- */

int db_exec(const struct store_db *db, const char *sql, const char *doing, struct lw_err *err)
{
	int code;

	errno = 0;
	code = sqlite3_exec(db->db, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : db_error(db, code, doing, err);
}

int db_prepare(const struct store_db *db, const char *sql, sqlite3_stmt **ret_statement,
	       struct lw_err *err)
{
	int code =
		sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);

	/* A file that bears our mark and lacks our tables is damaged. */
	if (code == SQLITE_ERROR)
		return db_damaged(db, err, "%s", sqlite3_errmsg(db->db));
	return code == SQLITE_OK ? 0 : db_error(db, code, "read", err);
}

int db_step(const struct store_db *db, sqlite3_stmt *statement, const char *doing,
	    struct lw_err *err)
{
	int code;

	errno = 0;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : db_error(db, code, doing, err);
}

int db_number(const struct store_db *db, const char *sql, int64_t *ret_number, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	int r = db_prepare(db, sql, &statement, err);

	if (r == 0)
		r = db_step(db, statement, "read", err);
	if (r < 0)
		return r;
	*ret_number = sqlite3_column_int64(statement, 0);
	return 0;
}

int db_prepare_run(const struct store_db *db, sqlite3_stmt **ret_statement, struct lw_err *err)
{
	LW_AUTO_BUF sql = { 0 };

	lw_buf_printf(&sql, "SELECT ");
	store_columns_sql(&store_run_shape, store_run_shape.count, &sql);
	lw_buf_printf(&sql, " FROM runs WHERE id = ?1");
	return db_prepare(db, lw_buf_text(&sql), ret_statement, err);
}

/* ---- rows ----------------------------------------------------------------------------------------- */

static int bind_column(sqlite3_stmt *statement, int at, const struct column *column,
		       const void *row)
{
	const struct lw_slice *slice = (const void *)((const char *)row + column->offset);

	switch (column->kind) {
	case COLUMN_TEXT:
		return sqlite3_bind_text64(statement, at, (const char *)slice->data, slice->size,
					   SQLITE_STATIC, SQLITE_UTF8);
	case COLUMN_BLOB:
		return sqlite3_bind_blob64(statement, at, slice->data, slice->size, SQLITE_STATIC);
	default:
		return sqlite3_bind_int64(statement, at, column_get(column, row));
	}
}

int db_bind(sqlite3_stmt *statement, const struct store_op *op, const union store_row *row)
{
	for (size_t i = 0; i < op->shape->count; i++) {
		int code;

		if (!store_op_has(op, i))
			continue;
		code = bind_column(statement, (int)i + 1, &op->shape->columns[i], row);
		if (code != SQLITE_OK)
			return code;
	}
	return SQLITE_OK;
}

/* Text is read as bytes too: it is UTF-8 in the file, and needs no NUL behind it. */
static struct lw_slice slice_of(sqlite3_stmt *statement, int at)
{
	const void *data = sqlite3_column_blob(statement, at);
	size_t size = (size_t)sqlite3_column_bytes(statement, at);

	if (data == NULL && sqlite3_column_type(statement, at) != SQLITE_NULL)
		data = "";
	return (struct lw_slice){ data, size };
}

int db_row(const struct store_db *db, sqlite3_stmt *statement, const struct shape *shape,
	   size_t count, void *ret_row, struct lw_err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct column *column = &shape->columns[i];

		if (column_is_slice(column))
			*column_slice(column, ret_row) = slice_of(statement, (int)i);
		else if (!column_set(column, ret_row, sqlite3_column_int64(statement, (int)i)))
			return db_damaged(db, err, "a row of %s has %s = %lld", shape->table,
					  column->name,
					  (long long)sqlite3_column_int64(statement, (int)i));
	}
	return 0;
}
