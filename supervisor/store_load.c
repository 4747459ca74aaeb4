/* store_load.c - rows out of the file: what a start needs, searches, and the loop's reader. */
#include "store_private.h"

#include <errno.h>

#define FIND_BYTES (64u << 20) /* more than that is not found at once */
#define ROW_ROOM   (64u << 10) /* a reader gives back what a longer row took */

/* ---- a start ------------------------------------------------------------------------------ */

/* Hands every row that `sql` selects to `take`. */
static int each_row(struct store *store, const char *sql, const struct shape *shape,
		    const struct store_load *load,
		    int (*take)(const struct store_load *load, const union store_row *row),
		    struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	union store_row row;
	int r = db_prepare(&store->db, sql, &statement, err);

	while (r >= 0) {
		r = db_step(&store->db, statement, "read", err);
		if (r <= 0)
			return r;
		r = db_row(&store->db, statement, shape, shape->count, &row, err);
		if (r == 0)
			r = take(load, &row);
	}
	return r;
}

static int take_work(const struct store_load *load, const union store_row *row)
{
	return load->work(load->context, &row->work);
}

static int take_state(const struct store_load *load, const union store_row *row)
{
	return load->state(load->context, row->state.work, row->state.name, row->state.value);
}

static int take_mark(const struct store_load *load, const union store_row *row)
{
	return load->mark(load->context, row->mark.mark, row->mark.at);
}

static int take_pause(const struct store_load *load, const union store_row *row)
{
	return load->pause(load->context, &row->pause);
}

static int take_worker(const struct store_load *load, const union store_row *row)
{
	return load->worker(load->context, &row->worker);
}

/* The few tables besides the runs. */
static int load_rest(struct store *store, const struct store_load *load, struct lw_err *err)
{
	static const struct {
		const struct shape *shape;
		const char *order;
		int (*take)(const struct store_load *load, const union store_row *row);
	} tables[] = {
		{ &store_work_shape, "id", take_work },
		{ &store_state_shape, "work, name", take_state },
		{ &store_mark_shape, "mark", take_mark },
		{ &store_pause_shape, "work", take_pause },
		{ &store_worker_shape, "id", take_worker },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < LW_COUNT(tables); i++) {
		LW_AUTO_BUF sql = { 0 };

		lw_buf_printf(&sql, "SELECT ");
		store_columns_sql(tables[i].shape, tables[i].shape->count, &sql);
		lw_buf_printf(&sql, " FROM %s ORDER BY %s", tables[i].shape->table,
			      tables[i].order);
		r = each_row(store, lw_buf_text(&sql), tables[i].shape, load, tables[i].take, err);
	}
	return r;
}

/* The whole row of one run by a statement of db_prepare_run(); 0: no such run. The row borrows
 * until the statement is reset. */
static int run_by_id(const struct store_db *db, sqlite3_stmt *statement, uint64_t id,
		     struct run_row *ret_row, struct lw_err *err)
{
	int r;

	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	r = db_step(db, statement, "read", err);
	if (r <= 0)
		return r;
	r = db_row(db, statement, &store_run_shape, store_run_shape.count, ret_row, err);
	return r < 0 ? r : 1;
}

/* A run that is KEPT needs a few columns only, and there may be millions; one that is not over
 * needs all, and there are few. */
static int take_run(struct store *store, sqlite3_stmt *whole, const struct run_row *row,
		    const struct store_load *load, struct lw_err *err)
{
	struct run_row all;
	int r;

	if (row->stage >= STORE_RUN_OVER_FROM)
		return load->kept(load->context, row);
	r = run_by_id(&store->db, whole, row->id, &all, err);
	return r <= 0 ? r : load->open(load->context, &all);
}

static int load_runs(struct store *store, const struct store_load *load, struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	LW_AUTO(db_finalize) sqlite3_stmt *whole = NULL;
	LW_AUTO_BUF sql = { 0 };
	struct run_row row = { 0 };
	int r = db_prepare_run(&store->db, &whole, err);

	lw_buf_printf(&sql, "SELECT ");
	store_columns_sql(&store_run_shape, STORE_KEPT_COLUMNS, &sql);
	lw_buf_printf(&sql, " FROM runs WHERE stage < 4 OR (flags & 1) = 1 ORDER BY id");
	if (r == 0)
		r = db_prepare(&store->db, lw_buf_text(&sql), &statement, err);
	while (r >= 0) {
		r = db_step(&store->db, statement, "read", err);
		if (r <= 0)
			return r;
		r = db_row(&store->db, statement, &store_run_shape, STORE_KEPT_COLUMNS, &row, err);
		if (r == 0)
			r = take_run(store, whole, &row, load, err);
	}
	return r;
}

int store_load(struct store *store, const struct store_load *load, struct lw_err *err)
{
	int r = load_rest(store, load, err);

	return r < 0 ? r : load_runs(store, load, err);
}

int store_last_run(struct store *store, uint64_t *ret_id, struct lw_err *err)
{
	int64_t id;
	int r = db_number(&store->db, "SELECT coalesce(max(id), 0) FROM runs", &id, err);

	if (r == 0)
		*ret_id = (uint64_t)id;
	return r;
}

/* All but the spent: two counts of entries of an index. Those that are not over are few. */
uint64_t store_estimate(struct store *store)
{
	int64_t count;
	int r = db_number(&store->db,
			  "SELECT (SELECT count(*) FROM runs) - (SELECT count(*) FROM runs"
			  " INDEXED BY runs_spent WHERE " SQL_SPENT ")",
			  &count, NULL);

	return r < 0 || count < 0 ? 0 : (uint64_t)count;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* Every way selects id, work and stage of the runs up to ?1, newest first. */
static const char *find_sql(const struct store_search *search)
{
	if (search->stage > STORE_RUN_OVER_FROM)
		return "SELECT id, work, stage FROM runs INDEXED BY runs_unsuccessful"
		       " WHERE " SQL_UNSUCCESSFUL " AND id <= ?1 ORDER BY id DESC";
	if (search->work != 0)
		return "SELECT id, work, stage FROM runs INDEXED BY runs_work"
		       " WHERE work = ?2 AND id <= ?1 ORDER BY id DESC";
	return "SELECT id, work, stage FROM runs WHERE id <= ?1 ORDER BY id DESC";
}

static bool is_sought(const struct store_search *search, sqlite3_stmt *statement)
{
	return (search->work == 0 || sqlite3_column_int64(statement, 1) == search->work) &&
	       (search->stage < 0 || sqlite3_column_int(statement, 2) == search->stage);
}

/* 1: appended; 0: it was made too early, as were all that follow. */
static int find_take(struct store *store, sqlite3_stmt *whole, int64_t id,
		     const struct store_search *search, struct lw_buf *out, struct lw_err *err)
{
	struct run_row row;
	int r = run_by_id(&store->db, whole, (uint64_t)id, &row, err);

	if (r <= 0 || row.created < search->since)
		return r < 0 ? r : 0;
	run_row_put(out, &row);
	return 1;
}

static int find(struct store *store, const struct store_search *search, struct lw_buf *out,
		struct lw_err *err)
{
	LW_AUTO(db_finalize) sqlite3_stmt *statement = NULL;
	LW_AUTO(db_finalize) sqlite3_stmt *whole = NULL;
	uint64_t last = search->before - 1; /* 0 is all */
	size_t start = out->size, found = 0;
	int r = db_prepare_run(&store->db, &whole, err);

	if (r == 0)
		r = db_prepare(&store->db, find_sql(search), &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, last > INT64_MAX ? INT64_MAX : (int64_t)last);
	if (sqlite3_bind_parameter_count(statement) == 2)
		sqlite3_bind_int64(statement, 2, search->work);
	for (size_t looks = 0;
	     found < search->limit && looks < STORE_FIND_LOOKS && out->size - start < FIND_BYTES;
	     looks++) {
		r = db_step(&store->db, statement, "read", err);
		if (r <= 0)
			break;
		if (!is_sought(search, statement))
			continue;
		r = find_take(store, whole, sqlite3_column_int64(statement, 0), search, out, err);
		if (r <= 0)
			break;
		found++;
	}
	return r < 0 ? r : (int)found;
}

int store_find(struct store *store, const struct store_search *search, struct lw_buf *out,
	       struct lw_err *err)
{
	size_t start = out->size;
	int r = find(store, search, out, err);

	if (r < 0)
		out->size = start;
	return r;
}

/* ---- the loop's reader ------------------------------------------------------------------------ */

struct store_reader {
	struct store_db db;
	sqlite3_stmt *run, *form;
	struct lw_buf row; /* of the last answer */
};

int store_reader_open(const char *dir, struct store_reader **ret_reader, struct lw_err *err)
{
	LW_AUTO(store_reader_close) struct store_reader *reader = LW_NEW(struct store_reader);
	int r = db_open(dir, SQLITE_OPEN_READONLY, &reader->db, err);

	if (r == 0)
		r = db_prepare_run(&reader->db, &reader->run, err);
	if (r == 0)
		r = db_prepare(&reader->db, "SELECT form FROM runs WHERE id = ?1", &reader->form,
			       err);
	if (r < 0)
		return r;
	*ret_reader = LW_TAKE(reader);
	return 0;
}

void store_reader_close(struct store_reader *reader)
{
	if (reader == NULL)
		return;
	sqlite3_finalize(reader->run);
	sqlite3_finalize(reader->form);
	db_close(&reader->db);
	lw_buf_done(&reader->row);
	lw_free(reader);
}

/* The row is copied, so that no statement stays under way: it would hold the WAL's beginning, and
 * the WAL would grow. */
int store_reader_run(struct store_reader *reader, uint64_t id, struct run_row *ret_row,
		     struct lw_err *err)
{
	struct lw_slice bytes;
	struct run_row row;
	int r = run_by_id(&reader->db, reader->run, id, &row, err);

	lw_buf_shrink(&reader->row, ROW_ROOM);
	if (r == 1)
		run_row_put(&reader->row, &row);
	sqlite3_reset(reader->run);
	if (r <= 0)
		return r;
	bytes = lw_buf_slice(&reader->row);
	r = run_row_take(&bytes, ret_row, err);
	return r < 0 ? r : 1;
}

int store_reader_form(struct store_reader *reader, uint64_t id, struct lw_slice *ret_form,
		      struct lw_err *err)
{
	int r;

	sqlite3_bind_int64(reader->form, 1, (int64_t)id);
	r = db_step(&reader->db, reader->form, "read", err);
	lw_buf_shrink(&reader->row, ROW_ROOM);
	if (r == 1)
		lw_buf_add(&reader->row, sqlite3_column_blob(reader->form, 0),
			   (size_t)sqlite3_column_bytes(reader->form, 0));
	sqlite3_reset(reader->form);
	if (r == 1)
		*ret_form = lw_buf_slice(&reader->row);
	return r;
}
