/* floor_sqlite.c - what bare SQLite does with the journal's schema, and with a journal that is there.
 *
 * No turn, no batch of bytes, no other thread: prepared statements, in the mode and with the
 * settings that the store has. Files lie where the state directories of this run do.
 */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "store.h"

static void must(int code, sqlite3 *db)
{
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return;
	fprintf(stderr, "bench: SQLite: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	must(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), db);
	return statement;
}

static void step(sqlite3 *db, sqlite3_stmt *statement)
{
	must(sqlite3_step(statement), db);
	sqlite3_reset(statement);
}

/* ---- writing: a run is made, and its row changes until it is over ------------------------------ */

struct writer {
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *insert, *update;
	size_t batch, in_batch;
	uint8_t form[256];
	int form_size;
};

static sqlite3 *make_journal(const char *path, bool power)
{
	sqlite3 *db;

	must(sqlite3_open(path, &db), db);
	must(sqlite3_exec(db,
			  "PRAGMA journal_mode = WAL; PRAGMA cache_size = -8192;"
			  "PRAGMA wal_autocheckpoint = 2000",
			  NULL, NULL, NULL),
	     db);
	must(sqlite3_exec(db, power ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
			  NULL, NULL, NULL),
	     db);
	must(sqlite3_exec(db, store_schema(), NULL, NULL, NULL), db);
	return db;
}

static void writer_open(struct writer *writer, const char *path, const struct sqlite_load *load)
{
	writer->db = make_journal(path, load->power);
	writer->begin = prepare(writer->db, "BEGIN IMMEDIATE");
	writer->commit = prepare(writer->db, "COMMIT");
	writer->insert = prepare(
		writer->db,
		"INSERT INTO runs(id, work, stage, by, why, flags, started, ended, form, created,"
		" attempt, failures, lost, rank, due, worker, incarnation)"
		" VALUES (?1, 1, 2, 0, 4, 1, 0, 0, ?2, ?3, 0, 0, 0, ?1, 0, 0, 0)");
	writer->update = prepare(
		writer->db,
		"UPDATE runs SET stage = 4, flags = 1, started = ?2, ended = ?2, attempt = 1,"
		" failures = 0, lost = 0, rank = ?1, due = 0, worker = 1, incarnation = 1,"
		" reason = NULL, message = NULL, result = x'c0', past = NULL WHERE id = ?1");
	writer->batch = load->batch < 1 ? 1 : (size_t)load->batch;
	writer->form_size = (int)(load->form_size < sizeof(writer->form) ? load->form_size
									 : sizeof(writer->form));
}

static void writer_close(struct writer *writer)
{
	sqlite3_finalize(writer->begin);
	sqlite3_finalize(writer->commit);
	sqlite3_finalize(writer->insert);
	sqlite3_finalize(writer->update);
	sqlite3_close(writer->db);
}

static void change(struct writer *writer, sqlite3_stmt *statement)
{
	if (writer->in_batch++ == 0)
		step(writer->db, writer->begin);
	step(writer->db, statement);
	if (writer->in_batch < writer->batch)
		return;
	step(writer->db, writer->commit);
	writer->in_batch = 0;
}

static void make_run(struct writer *writer, int64_t id)
{
	memcpy(writer->form, &id, sizeof(id));
	sqlite3_bind_int64(writer->insert, 1, id);
	sqlite3_bind_blob(writer->insert, 2, writer->form, writer->form_size, SQLITE_STATIC);
	sqlite3_bind_int64(writer->insert, 3, now_ns() / 1000);
	change(writer, writer->insert);
}

static void change_run(struct writer *writer, int64_t id)
{
	sqlite3_bind_int64(writer->update, 1, id);
	sqlite3_bind_int64(writer->update, 2, now_ns() / 1000);
	change(writer, writer->update);
}

/* Runs change some time after they were made: those of 64 before. A run's share of updates may be
 * a fraction. */
static void write_runs(struct writer *writer, const struct sqlite_load *load)
{
	double due = 0;

	for (int64_t id = 1; id <= (int64_t)load->runs; id++) {
		make_run(writer, id);
		due += load->changes - 1;
		while (due >= 1) {
			change_run(writer, id > 64 ? id - 64 : id);
			due--;
		}
	}
	if (writer->in_batch > 0)
		step(writer->db, writer->commit);
}

double floor_journal(const struct sqlite_load *load)
{
	LW_AUTO(lw_free) char *folder = lw_format("%s/sqlite-XXXXXX", guard_folder());
	LW_AUTO(lw_free) char *path = NULL;
	struct writer writer = { 0 };
	int64_t begin;
	double rate;

	if (mkdtemp(folder) == NULL)
		return NAN;
	path = lw_format("%s/journal.db", folder);
	writer_open(&writer, path, load);
	begin = now_ns();
	write_runs(&writer, load);
	rate = (double)load->runs / ((double)(now_ns() - begin) / 1e9);
	writer_close(&writer);
	guard_remove(folder);
	return rate;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static sqlite3 *open_journal(const char *journal)
{
	sqlite3 *db;

	must(sqlite3_open_v2(journal, &db, SQLITE_OPEN_READONLY, NULL), db);
	return db;
}

double floor_load(const char *journal, double *ret_form_size)
{
	int64_t begin = now_ns();
	sqlite3 *db = open_journal(journal);
	sqlite3_stmt *rows = prepare(db, "SELECT id, work, stage, by, why, flags, started, ended,"
					 " form FROM runs WHERE (flags & 1) = 1 ORDER BY id");
	double bytes = 0, count = 0;
	int64_t sink = 0;

	while (sqlite3_step(rows) == SQLITE_ROW) {
		for (int i = 0; i < 8; i++)
			sink += sqlite3_column_int64(rows, i);
		sink += ((const uint8_t *)sqlite3_column_blob(rows, 8))[0];
		bytes += sqlite3_column_bytes(rows, 8);
		count++;
	}
	sqlite3_finalize(rows);
	sqlite3_close(db);
	*ret_form_size = sink == 0 ? (double)NAN : bytes / count; /* nothing may be left out */
	return (double)(now_ns() - begin) / 1e9;
}

/* The ids of the runs whose forms are at least so long. */
static size_t find_long(sqlite3 *db, size_t size, int64_t *ids, size_t room)
{
	sqlite3_stmt *rows =
		prepare(db, "SELECT id FROM runs WHERE length(form) BETWEEN ?1 AND ?2");
	size_t count = 0;

	sqlite3_bind_int64(rows, 1, (int64_t)size);
	sqlite3_bind_int64(rows, 2, (int64_t)size * 2);
	while (count < room && sqlite3_step(rows) == SQLITE_ROW)
		ids[count++] = sqlite3_column_int64(rows, 0);
	sqlite3_finalize(rows);
	return count;
}

/* As the flow's os.clock() does. */
static double cpu_us(void)
{
	return (double)clock() / (CLOCKS_PER_SEC / 1e6);
}

double floor_row(const char *journal, size_t size)
{
	sqlite3 *db = open_journal(journal);
	sqlite3_stmt *row = prepare(db, "SELECT form FROM runs WHERE id = ?1");
	int64_t ids[4096];
	size_t count = find_long(db, size, ids, LW_COUNT(ids));
	struct samples rounds = { 0 };
	LW_AUTO(lw_free) uint8_t *copy = lw_alloc(size * 2);
	double median;

	for (int round = 0; round < 5 && count > 0; round++) {
		double begin = cpu_us();

		for (size_t i = 0; i < count; i++) {
			sqlite3_bind_int64(row, 1, ids[i]);
			must(sqlite3_step(row), db);
			memcpy(copy, sqlite3_column_blob(row, 0),
			       (size_t)sqlite3_column_bytes(row, 0));
			sqlite3_reset(row);
		}
		samples_add(&rounds, (cpu_us() - begin) / (double)count);
	}
	sqlite3_finalize(row);
	sqlite3_close(db);
	median = samples_quantile(&rounds, 0.5);
	samples_done(&rounds);
	return median;
}
