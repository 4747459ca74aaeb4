/* store_backup.c - a consistent copy of the store into a file of its own.
 *
 * Written under a temporary name beside the file it becomes, and brought to disk before it gets
 * that name: a file with the name is whole. Called by the journal's thread between batches.
 */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* VACUUM INTO reads one state, and writes no page that holds nothing. It takes an empty file. */
static int copy_into(const struct store *store, const char *path, int fd, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	int r = db_prepare(&store->db, "VACUUM INTO ?1", &statement, err);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
	r = db_step(&store->db, statement, "copy", err);
	if (r < 0) {
		lw_err_within(err, "cannot make '%s'", path);
		return r;
	}
	return fsync(fd) < 0 ? lw_err_sys(err, -errno, "cannot write '%s'", path) : 0;
}

/* The copy is a store of its own, and no process is its: else whoever tries it out beside the
 * original would take over, and end, the original's processes. */
static int part_from_original(const char *path, struct lw_err *err)
{
	struct store_db db = { 0 };
	char id[STORE_ID + 1];
	LW_AUTO(lw_free) char *sql = NULL;
	int r = store_draw_id(id, err);

	if (r < 0)
		return r;
	sql = lw_format("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; BEGIN;"
			"UPDATE meta SET id = '%s'; UPDATE workers SET boot = ''; COMMIT",
			id);
	r = db_open_file(path, SQLITE_OPEN_READWRITE, &db, err);
	if (r == 0)
		r = db_exec(&db, sql, "write", err);
	db_close(&db);
	return r;
}

/* Never over a file that is there. Not every file system has links. */
static int put_in_place(const char *temporary, const char *path, struct lw_err *err)
{
	if (link(temporary, path) == 0)
		unlink(temporary);
	else if (errno == EEXIST ||
		 renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
		return lw_err_sys(err, -errno, "cannot make '%s'", path);
	return 0;
}

int store_backup(struct store *store, const char *path, struct lw_err *err)
{
	/* "./" because SQLite would take "file:x" for a URI. */
	LW_AUTO(lw_free)
	char *temporary = lw_format("%s%s.XXXXXX", path[0] == '/' ? "" : "./", path);
	LW_AUTO(lw_close) int fd = -1;
	int r;

	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return lw_err_sys(err, -EEXIST, "cannot make '%s'", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return lw_err_sys(err, -errno, "cannot make '%s'", path);
	r = copy_into(store, temporary, fd, err);
	if (r == 0)
		r = part_from_original(temporary, err);
	if (r == 0)
		r = put_in_place(temporary, path, err);
	if (r < 0)
		unlink(temporary);
	return r;
}
