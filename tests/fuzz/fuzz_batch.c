/* links: lw_supervisor
 *
 * fuzz_batch.c - batches: applied as a whole or not at all, and whatever was applied can be read.
 *
 * Input: one batch as the store_put_*() functions write it. One file serves all inputs of a
 * process; what an input left in it is deleted before the next. */
#include <errno.h>
#include <unistd.h>

#include "fuzz.h"
#include "store_private.h"

static char folder[] = "/tmp/lw-batch-XXXXXX";
static struct store *store;

static void remove_store(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };

	store_close(store);
	for (size_t i = 0; i < LW_COUNT(ends); i++) {
		LW_AUTO(lw_free) char *path = lw_format("%s/" STORE_FILE "%s", folder, ends[i]);

		(void)unlink(path);
	}
	(void)rmdir(folder);
}

static void make_store(void)
{
	struct lw_err err = { 0 };

	HOLDS(mkdtemp(folder) != NULL, "no folder '%s'", folder);
	HOLDS(store_open(folder, DURABILITY_PROCESS, &store, &err) == 0, "%s", err.text);
	atexit(remove_store);
}

static void empty_store(void)
{
	struct lw_err err = { 0 };

	HOLDS(db_exec(&store->db,
		      "BEGIN; DELETE FROM runs; DELETE FROM works; DELETE FROM workers;"
		      "DELETE FROM state; DELETE FROM marks; DELETE FROM pauses; COMMIT",
		      "empty", &err) == 0,
	      "%s", err.text);
}

/* ---- what a load sees ------------------------------------------------------------------------- */

static int seen(void *context)
{
	(*(size_t *)context)++;
	return 0;
}

static int on_work(void *context, const struct work_row *row)
{
	(void)row;
	return seen(context);
}

static int on_state(void *context, uint32_t work, struct lw_slice name, struct lw_slice value)
{
	(void)work;
	(void)name;
	(void)value;
	return seen(context);
}

static int on_mark(void *context, struct lw_slice mark, int64_t at)
{
	(void)mark;
	(void)at;
	return seen(context);
}

static int on_pause(void *context, const struct pause_row *row)
{
	(void)row;
	return seen(context);
}

static int on_worker(void *context, const struct worker_row *row)
{
	(void)row;
	return seen(context);
}

static int on_run(void *context, const struct run_row *row)
{
	HOLDS(row->id > 0, "a run without an id");
	return seen(context);
}

static size_t count_rows(void)
{
	size_t count = 0;
	const struct store_load load = { &count,   on_work,   on_state, on_mark,
					 on_pause, on_worker, on_run,   on_run };
	struct lw_err err = { 0 };

	HOLDS(store_load(store, &load, &err) == 0, "what was applied is not read: %s", err.text);
	return count;
}

/* Every row that a search finds is one. */
static void check_find(void)
{
	const struct store_search search = { .stage = -1, .limit = 100 };
	LW_AUTO_BUF rows = { 0 };
	LW_AUTO_BUF again = { 0 };
	struct lw_err err = { 0 };
	struct lw_slice rest;
	struct run_row row;
	int n = store_find(store, &search, &rows, &err);

	HOLDS(n >= 0, "%s", err.text);
	rest = lw_buf_slice(&rows);
	for (int i = 0; i < n; i++) {
		HOLDS(run_row_take(&rest, &row, &err) == 0, "%s", err.text);
		run_row_put(&again, &row);
	}
	HOLDS(same_bytes(lw_buf_slice(&rows), lw_buf_slice(&again)), "the rows found are others");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lw_err err = { 0 };
	int r;

	log_to_nowhere();
	if (store == NULL)
		make_store();
	r = store_apply(store, (struct lw_slice){ data, size }, &err);
	HOLDS(r == 0 || r == -EBADMSG, "a batch: %d, %s", r, err.text);
	if (r < 0)
		HOLDS(err.text[0] != '\0', "refused without a sentence");
	if (r < 0)
		HOLDS(count_rows() == 0, "half a batch was applied");
	else
		(void)count_rows();
	check_find();
	store_checkpoint(store);
	empty_store();
	return 0;
}
