/* links: lw_supervisor
 *
 * test_store.c - the SQLite file: what goes in comes out, and bytes that make no sense change
 * nothing. What happens to disk, process and file is in test_store_harm.c.
 *
 * tests/data/journal-vN.db was written by schema version N and must be read by every later one;
 * it is never written again. A version that is new adds a file of its own, and a test:
 *     LW_MAKE_JOURNAL=tests/data/journal-vN.db build/dev/unit/test_store \
 *         --filter store/a_journal_of_version_N_is_read_by_this_one
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "on_store.h"

TestSuite(store, .init = set_up, .fini = tear_down);

/* ---- round trips ------------------------------------------------------------------------------ */

Test(store, a_run_comes_back_as_it_was_whatever_its_fields)
{
	struct run_row odd = odd_run(INT64_MAX);
	struct loaded loaded = { .expected = &odd };

	store_put_run_new(&batch, &odd);
	apply();
	expect_read(&odd);
	GOOD(load(&loaded));
	cr_assert_eq(loaded.open, 1);
	odd.stage = STAGE_SUCCEEDED;
	odd.reason = odd.message = odd.result = odd.past = (struct lw_slice){ 0 };
	store_put_run(&batch, &odd);
	apply();
	close_store();
	open_store();
	expect_read(&odd);
	GOOD(load(&loaded));
	cr_assert_eq(loaded.kept, 1);
	lw_buf_done(&loaded.trace);
}

Test(store, a_change_of_a_run_leaves_alone_who_it_is)
{
	struct run_row row = plain_run(7), other = odd_run(7);

	row.call = text("as given");
	row.by = 1;
	row.why = 2;
	store_put_run_new(&batch, &row);
	apply();
	store_put_run(&batch, &other);
	apply();
	other.work = row.work;
	other.by = row.by;
	other.why = row.why;
	other.created = row.created;
	other.form = row.form;
	other.call = row.call;
	expect_read(&other);
}

Test(store, everything_but_runs_comes_back_and_is_replaced)
{
	struct work_row work = { 3, text("w\xc3\xb6rk"), text("{}"), true, false };
	struct worker_row worker = { .id = 9,
				     .work = 3,
				     .slot = UINT32_MAX,
				     .incarnation = UINT64_MAX,
				     .applied = 1,
				     .pid = 1234,
				     .start = 5,
				     .handle = 1ull << 63,
				     .boot = text("boot"),
				     .token = text("token"),
				     .ending = 255,
				     .ready = true };

	store_put_mark(&batch, text("hourly"), INT64_MIN);
	store_put_state(&batch, 3, text("x"), text("1"));
	store_put_state(&batch, 0, text("x"), text("flow"));
	store_put_state(&batch, 3, text("gone"), text("2"));
	store_put_pause(&batch, &(struct pause_row){ 0, 1, text("uid 0 pid 1") });
	store_put_pause(&batch, &(struct pause_row){ 3, INT64_MAX, text("") });
	store_put_worker(&batch, &worker);
	store_put_work(&batch, &work);
	apply();
	expect_load("W3 w\xc3\xb6rk {} 10\n"
		    "S0 x=flow\nS3 gone=2\nS3 x=1\n"
		    "Mhourly -9223372036854775808\n"
		    "Z0 1 uid 0 pid 1\nZ3 9223372036854775807 \n"
		    "P9 3 4294967295 18446744073709551615 1 1234 5 9223372036854775808 boot token "
		    "255 1\n");
	work = (struct work_row){ 3, text("w\xc3\xb6rk"), { 0 }, false, true };
	store_put_work(&batch, &work);
	store_put_state(&batch, 3, text("x"), text("3"));
	store_put_state(&batch, 3, text("gone"), (struct lw_slice){ 0 });
	store_put_mark(&batch, text("hourly"), 77);
	store_put_pause(&batch, &(struct pause_row){ 0, 2, text("uid 1 pid 2") });
	store_put_pause(&batch, &(struct pause_row){ .work = 3 });
	store_put_applied(&batch, 9, 1000);
	store_put_worker_gone(&batch, 9);
	apply();
	expect_load("W3 w\xc3\xb6rk  01\n"
		    "S0 x=flow\nS3 x=3\n"
		    "Mhourly 77\n"
		    "Z0 2 uid 1 pid 2\n"
		    "P9 3 4294967295 18446744073709551615 1000 0 5 9223372036854775808 boot token "
		    "255 1\n");
	worker = (struct worker_row){ .id = 9, .work = 4 };
	store_put_worker(&batch, &worker);
	apply();
	expect_load("W3 w\xc3\xb6rk  01\nS0 x=flow\nS3 x=3\nMhourly 77\nZ0 2 uid 1 pid 2\n"
		    "P9 4 0 0 0 0 0 0   0 0\n");
}

Test(store, a_start_is_told_of_what_is_kept_and_what_is_not_over_by_id)
{
	cr_assert_eq(STORE_RUN_OVER_FROM, STAGE_SUCCEEDED);
	put(5, 1, STAGE_PENDING, STORE_RUN_KEPT);
	put(1, 1, STAGE_SUCCEEDED, STORE_RUN_KEPT);
	put(2, 1, STAGE_SUCCEEDED, 0);
	put(3, 1, STAGE_RUNNING, 0);
	put(4, 1, STAGE_FAILED, STORE_RUN_KEPT | STORE_RUN_UNDELIVERED);
	put(6, 1, STAGE_STOPPED, STORE_RUN_UNDELIVERED);
	apply();
	expect_load("K1\nO3\nK4\nO5\n");
	cr_assert_eq(store_estimate(store), 4);
}

Test(store, a_load_ends_with_what_a_callback_answers)
{
	struct loaded loaded = { .answer = -ECANCELED };

	put(1, 1, STAGE_SUCCEEDED, STORE_RUN_KEPT);
	put(2, 1, STAGE_SUCCEEDED, STORE_RUN_KEPT);
	apply();
	cr_assert_eq(load(&loaded), -ECANCELED);
	cr_assert_eq(loaded.kept, 1);
	lw_buf_done(&loaded.trace);
}

Test(store, flags_are_set_for_one_run)
{
	put(1, 1, STAGE_FAILED, STORE_RUN_KEPT | STORE_RUN_UNDELIVERED);
	put(2, 1, STAGE_FAILED, STORE_RUN_KEPT);
	store_put_flags(&batch, 2, 0);
	store_put_flags(&batch, 77, STORE_RUN_KEPT); /* trimmed by now: nothing */
	apply();
	expect_load("K1\n");
}

Test(store, the_last_run_and_who_the_store_is_outlive_its_closing)
{
	LW_AUTO(lw_free) char *id = lw_strdup(store_id(store));
	uint8_t secret[LW_KEY_SECRET];
	uint64_t last;

	memcpy(secret, store_secret(store), sizeof(secret));
	GOOD(store_last_run(store, &last, &err));
	cr_assert_eq(last, 0);
	put(1ull << 40, 1, STAGE_PENDING, 0);
	apply();
	close_store();
	open_store();
	GOOD(store_last_run(store, &last, &err));
	cr_assert_eq(last, 1ull << 40);
	cr_assert_eq(strlen(id), STORE_ID);
	cr_assert_str_eq(store_id(store), id);
	cr_assert_arr_eq(store_secret(store), secret, sizeof(secret));
}

Test(store, two_stores_are_never_the_same)
{
	LW_AUTO(lw_free) char *other = lw_format("%s/other", folder);
	LW_AUTO(store_close) struct store *second = NULL;

	cr_assert_eq(mkdir(other, 0700), 0);
	GOOD(store_open(other, DURABILITY_POWER, &second, &err));
	cr_assert_str_neq(store_id(store), store_id(second));
	cr_assert_neq(memcmp(store_secret(store), store_secret(second), LW_KEY_SECRET), 0);
}

/* ---- bytes that make no sense ------------------------------------------------------------------- */

Test(store, an_encoded_run_comes_back_and_no_part_of_it_does)
{
	struct run_row odd = odd_run(1), row;
	LW_AUTO_BUF bytes = { 0 };
	struct lw_slice slice;

	odd.form.size = odd.result.size = 40;
	run_row_put(&bytes, &odd);
	for (size_t size = 0; size < bytes.size; size++) {
		/* On the heap, so that a byte too far is noticed. */
		uint8_t *part = lw_realloc(NULL, size + (size == 0));

		memcpy(part, bytes.data, size);
		slice = (struct lw_slice){ part, size };
		cr_assert_eq(run_row_take(&slice, &row, &err), -EBADMSG, "%zu bytes", size);
		cr_assert(slice.data == part && slice.size == size, "bytes were taken");
		lw_free(part);
	}
	run_row_put(&bytes, &odd);
	slice = lw_buf_slice(&bytes);
	for (int i = 0; i < 2; i++) {
		GOOD(run_row_take(&slice, &row, &err));
		expect_run(&row, &odd);
	}
	cr_assert_eq(slice.size, 0);
}

Test(store, a_spoiled_run_is_refused_or_is_another_run)
{
	struct run_row odd = odd_run(1), row;
	LW_AUTO_BUF bytes = { 0 };
	size_t refused = 0;

	odd.form.size = odd.result.size = 20;
	run_row_put(&bytes, &odd);
	for (int i = 0; i < 20000; i++) {
		LW_AUTO_BUF again = { 0 };
		struct lw_slice slice = lw_buf_slice(&bytes);
		uint8_t *at = &bytes.data[dice() % bytes.size], was = *at;

		*at = (uint8_t)dice();
		if (run_row_take(&slice, &row, &err) < 0) {
			refused++;
		} else { /* one encoding each, so nothing is read that is not there */
			run_row_put(&again, &row);
			cr_assert_eq(again.size, bytes.size - slice.size);
			cr_assert_arr_eq(again.data, bytes.data, again.size);
		}
		*at = was;
	}
	cr_assert_gt(refused, 1000);
}

#define CHANGES 10

/* One change of each kind, and where each ends. */
static void put_one_of_each(size_t ends[CHANGES])
{
	struct run_row run = plain_run(2), changed = plain_run(1);
	size_t n = 0;

	run.reason = text("r");
	store_put_run_new(&batch, &run), ends[n++] = batch.size;
	store_put_run(&batch, &changed), ends[n++] = batch.size;
	store_put_flags(&batch, 1, 1), ends[n++] = batch.size;
	store_put_work(&batch, &(struct work_row){ 1, text("w"), text("s"), true, false });
	ends[n++] = batch.size;
	store_put_worker(&batch, &(struct worker_row){ .id = 1, .boot = text("b") });
	ends[n++] = batch.size;
	store_put_applied(&batch, 1, 300), ends[n++] = batch.size;
	store_put_worker_gone(&batch, 1), ends[n++] = batch.size;
	store_put_state(&batch, 1, text("n"), text("v")), ends[n++] = batch.size;
	store_put_state(&batch, 1, text("n"), (struct lw_slice){ 0 }), ends[n++] = batch.size;
	store_put_mark(&batch, text("m"), 1), ends[n++] = batch.size;
	cr_assert_eq(n, CHANGES);
}

Test(store, a_batch_cut_within_any_change_changes_nothing)
{
	size_t ends[CHANGES], whole, change = 0;

	put(1, 1, STAGE_PENDING, 0);
	apply();
	put_one_of_each(ends);
	whole = batch.size;
	for (batch.size = 1; batch.size < whole; batch.size++) {
		if (batch.size == ends[change]) {
			change++;
			continue;
		}
		cr_assert_eq(try_apply(), -EBADMSG, "%zu bytes", batch.size);
		expect_load("O1\n");
	}
	batch.size = whole;
	apply();
	expect_load("W1 w s 10\nMm 1\nP1 0 0 0 300 0 0 0 b  0 0\nO1\nO2\n");
}

Test(store, a_batch_that_makes_no_sense_changes_nothing)
{
	static const uint8_t unknown = 0xee;
	struct run_row row = plain_run(1);

	put(1, 1, STAGE_PENDING, 0);
	apply();
	/* each after a change that is good */
	put(2, 1, STAGE_PENDING, 0);
	lw_buf_add(&batch, &unknown, 1);
	cr_assert_eq(try_apply(), -EBADMSG, "no such change");
	batch.size = 0;
	put(2, 1, STAGE_PENDING, 0);
	store_put_run_new(&batch, &row);
	cr_assert_eq(try_apply(), -EBADMSG, "there is a run 1");
	batch.size = 0;
	put(2, 1, STAGE_PENDING, 0);
	row.id = 77;
	store_put_run(&batch, &row);
	cr_assert_eq(try_apply(), -EBADMSG, "there is no run 77");
	cr_assert_not_null(strstr(err.text, "run 77"), "%s", err.text);
	batch.size = 0;
	put(2, 1, STAGE_PENDING, 0);
	put(0, 1, STAGE_PENDING, 0);
	cr_assert_eq(try_apply(), -EBADMSG, "no run is 0");
	batch.size = 0;
	put(2, 1, STAGE_PENDING, 0);
	put(1ull << 63, 1, STAGE_PENDING, 0);
	cr_assert_eq(try_apply(), -EBADMSG, "SQLite has no such row");
	batch.size = 0;
	apply(); /* nothing */
	expect_load("O1\n");
	put(2, 1, STAGE_PENDING, 0);
	apply();
	expect_load("O1\nO2\n");
}

/* ---- searching ------------------------------------------------------------------------------------ */

/* The ids that a search finds, each with a blank behind it. */
static void expect_found(struct store_search search, const char *expected)
{
	LW_AUTO_BUF out = { 0 };
	LW_AUTO_BUF ids = { 0 };
	struct lw_slice bytes;
	int found;

	lw_buf_add(&out, "x", 1); /* it appends */
	if (search.limit == 0)
		search.limit = 100;
	found = store_find(store, &search, &out, &err);
	GOOD(found);
	bytes = (struct lw_slice){ out.data + 1, out.size - 1 };
	for (int i = 0; i < found; i++) {
		struct run_row row;

		GOOD(run_row_take(&bytes, &row, &err));
		lw_buf_printf(&ids, "%llu ", (unsigned long long)row.id);
		cr_expect_eq(row.created, 1000 + (int64_t)row.id);
	}
	cr_assert_eq(bytes.size, 0);
	cr_expect_str_eq(lw_buf_text(&ids), expected);
}

Test(store, a_search_finds_the_newest_first_by_what_is_asked)
{
	for (uint64_t id = 1; id <= 12; id++)
		put(id, 1 + id % 2, id % 3 == 0 ? STAGE_FAILED : STAGE_SUCCEEDED, 1);
	put(13, 1, STAGE_STOPPED, 1);
	put(14, 2, STAGE_RUNNING, 0);
	apply();
	expect_found((struct store_search){ .stage = -1 }, "14 13 12 11 10 9 8 7 6 5 4 3 2 1 ");
	expect_found((struct store_search){ .stage = -1, .limit = 3 }, "14 13 12 ");
	expect_found((struct store_search){ .stage = -1, .before = 12, .limit = 3 }, "11 10 9 ");
	expect_found((struct store_search){ .stage = -1, .before = 1 }, "");
	expect_found((struct store_search){ .stage = -1, .before = UINT64_MAX, .limit = 1 }, "14 ");
	expect_found((struct store_search){ .stage = -1, .since = 1011 }, "14 13 12 11 ");
	expect_found((struct store_search){ .stage = -1, .since = 2000 }, "");
	expect_found((struct store_search){ .work = 2, .stage = -1 }, "14 11 9 7 5 3 1 ");
	expect_found((struct store_search){ .work = 2, .stage = -1, .since = 1006 }, "14 11 9 7 ");
	expect_found((struct store_search){ .work = 9, .stage = -1 }, "");
	expect_found((struct store_search){ .stage = STAGE_FAILED }, "12 9 6 3 ");
	expect_found((struct store_search){ .stage = STAGE_FAILED, .work = 2 }, "9 3 ");
	expect_found((struct store_search){ .stage = STAGE_FAILED, .before = 9, .limit = 1 }, "6 ");
	expect_found((struct store_search){ .stage = STAGE_FAILED, .since = 1009 }, "12 9 ");
	expect_found((struct store_search){ .stage = STAGE_STOPPED }, "13 ");
	expect_found((struct store_search){ .stage = STAGE_STOPPED, .work = 2 }, "");
	expect_found((struct store_search){ .stage = STAGE_RUNNING }, "14 ");
	expect_found((struct store_search){ .stage = STAGE_SUCCEEDED, .work = 1 }, "10 8 4 2 ");
	expect_found((struct store_search){ .stage = STAGE_PENDING }, "");
}

Test(store, a_search_gives_up_on_what_is_rare_and_long_ago_but_not_on_failures)
{
	put(1, 1, STAGE_RUNNING, 0);
	put(2, 1, STAGE_FAILED, 1);
	for (uint64_t id = 3; id < 3 + STORE_FIND_LOOKS; id++)
		put(id, 1, STAGE_SUCCEEDED, 1);
	apply();
	expect_found((struct store_search){ .stage = STAGE_RUNNING }, "");
	expect_found((struct store_search){ .stage = STAGE_RUNNING, .work = 1 }, "");
	expect_found((struct store_search){ .stage = STAGE_RUNNING, .before = 1000 }, "1 ");
	expect_found((struct store_search){ .stage = STAGE_FAILED, .work = 1 }, "2 ");
}

/* ---- the reader ------------------------------------------------------------------------------------- */

Test(store, a_reader_sees_what_was_applied_and_nothing_else)
{
	struct run_row row, one = plain_run(1), two = odd_run(2);
	struct store_reader *reader;
	struct lw_slice form;

	GOOD(store_reader_open(folder, &reader, &err));
	cr_assert_eq(store_reader_run(reader, 1, &row, &err), 0);
	cr_assert_eq(store_reader_form(reader, 1, &form, &err), 0);
	cr_assert_eq(store_reader_run(reader, UINT64_MAX, &row, &err), 0);
	store_put_run_new(&batch, &one);
	store_put_run_new(&batch, &two);
	apply();
	cr_assert_eq(store_reader_run(reader, 1, &row, &err), 1);
	expect_run(&row, &one);
	cr_assert_eq(store_reader_form(reader, 2, &form, &err), 1);
	cr_assert(same(form, two.form));
	store_reader_close(reader);
}

Test(store, there_is_nothing_to_read_where_there_is_no_store)
{
	LW_AUTO(lw_free) char *nowhere = lw_format("%s/nowhere", folder);
	struct store_reader *reader = NULL;

	cr_assert_eq(store_reader_open(nowhere, &reader, &err), -ENOENT);
	cr_assert_not_null(strstr(err.text, nowhere), "%s", err.text);
	cr_assert_null(reader);
}

#define ROUNDS 300

static void *read_on(void *context)
{
	atomic_bool *over = context;
	struct store_reader *reader;
	struct lw_err why = { 0 };
	struct run_row row;
	intptr_t bad = store_reader_open(folder, &reader, &why);

	for (uint64_t id = 1; bad == 0 && id <= ROUNDS;) {
		bool last = atomic_load(over); /* before the look */
		int r = store_reader_run(reader, id, &row, &why);

		if (r < 0 || (r == 1 && row.created != 1000 + (int64_t)id))
			bad = r < 0 ? r : -EBADMSG;
		else if (r == 1)
			id++;
		else if (last)
			bad = -ENOENT;
	}
	store_reader_close(reader);
	return (void *)bad;
}

Test(store, reading_beside_commits_and_checkpoints_never_fails)
{
	struct run_row large = odd_run(1);
	atomic_bool over = false;
	pthread_t thread;
	void *bad;

	cr_assert_eq(pthread_create(&thread, NULL, read_on, &over), 0);
	for (uint64_t id = 1; id <= ROUNDS; id++) {
		put(id, 1, STAGE_PENDING, 0);
		large.id = 100000 + id;
		store_put_run_new(&batch, &large);
		apply();
		store_checkpoint(store);
	}
	atomic_store(&over, true);
	cr_assert_eq(pthread_join(thread, &bad), 0);
	cr_assert_null(bad, "%d", (int)(intptr_t)bad);
}

/* ---- upkeep ------------------------------------------------------------------------------------------ */

Test(store, trimming_takes_the_oldest_that_are_over_and_not_kept)
{
	for (uint64_t id = 1; id <= 10; id++)
		put(id, 1, STAGE_FAILED, id == 2 ? STORE_RUN_KEPT : 0);
	put(11, 1, STAGE_PENDING, 0);
	apply();
	cr_assert_eq(store_trim(store, 9, 100, &err), 0);
	cr_assert_eq(store_trim(store, 6, 2, &err), 2);
	expect_found((struct store_search){ .stage = -1 }, "11 10 9 8 7 6 5 4 2 ");
	cr_assert_eq(store_trim(store, 6, 2, &err), 1);
	cr_assert_eq(store_trim(store, 6, 2, &err), 0);
	cr_assert_eq(store_trim(store, 0, 100, &err), 6);
	expect_found((struct store_search){ .stage = -1 }, "11 2 ");
}

Test(store, a_checkpoint_waits_for_a_large_wal_and_then_begins_it_anew)
{
	LW_AUTO(lw_free) char *wal = lw_format("%s-wal", file);
	struct run_row large = odd_run(1);
	off_t made = size_of(file), most = 0;

	put(1, 1, STAGE_PENDING, 0);
	apply();
	store_checkpoint(store);
	cr_assert_eq(size_of(file), made, "too early");
	for (large.id = 100; large.id < 400; large.id++) {
		store_put_run_new(&batch, &large);
		apply();
		store_checkpoint(store);
		if (large.id == 200)
			most = size_of(wal);
	}
	cr_assert_gt(size_of(file), 40 << 20);
	cr_assert_leq(size_of(wal), most, "it grows and grows");
	cr_assert_eq(store_size(store), (uint64_t)(size_of(file) + size_of(wal)));
	close_store();
	cr_assert_eq(size_of(wal), -1, "all of it is in the file");
	open_store();
}

Test(store, the_file_is_for_us_alone_whatever_the_umask)
{
	static const char *const names[] = { STORE_FILE, STORE_FILE "-wal", STORE_FILE "-shm" };

	close_store();
	cr_assert_eq(unlink(file), 0);
	umask(0);
	open_store();
	for (size_t i = 0; i < LW_COUNT(names); i++) {
		LW_AUTO(lw_free) char *path = lw_format("%s/%s", folder, names[i]);
		struct stat st;

		cr_assert_eq(stat(path, &st), 0, "%s", path);
		cr_assert_eq(st.st_mode & 07777, 0600, "%s %o", path, st.st_mode);
	}
}

Test(store, a_backup_has_all_rows_and_an_id_of_its_own_and_never_takes_the_place_of_a_file)
{
	LW_AUTO(lw_free) char *copies = lw_format("%s/copies", folder);
	LW_AUTO(lw_free) char *copy = lw_format("%s/%s", copies, STORE_FILE);
	LW_AUTO(lw_free) char *id = lw_strdup(store_id(store));
	off_t size;

	cr_assert_eq(mkdir(copies, 0700), 0);
	put(1, 1, STAGE_SUCCEEDED, 1);
	apply();
	umask(0);
	GOOD(store_backup(store, copy, &err));
	size = size_of(copy);
	put(2, 1, STAGE_SUCCEEDED, 1);
	apply();
	cr_assert_eq(store_backup(store, copy, &err), -EEXIST);
	cr_assert_not_null(strstr(err.text, copy), "%s", err.text);
	cr_assert_eq(size_of(copy), size);
	close_store();
	GOOD(store_open(copies, DURABILITY_PROCESS, &store, &err));
	expect_load("K1\n");
	cr_assert_str_neq(store_id(store), id, "or it would take over what the original runs");
}

Test(store, a_backup_that_fails_leaves_nothing)
{
	LW_AUTO(lw_free) char *copy = lw_format("%s/copy", folder);
	LW_AUTO(lw_free) char *nowhere = lw_format("%s/no/where", folder);
	struct run_row odd = odd_run(1);
	size_t files = count_files();

	store_put_run_new(&batch, &odd);
	apply();
	cr_assert_eq(store_backup(store, nowhere, &err), -ENOENT);
	limit_files(64 << 10);
	cr_assert_eq(store_backup(store, copy, &err), -ENOSPC, "%s", err.text);
	limit_files(RLIM_INFINITY);
	cr_assert_not_null(strstr(err.text, copy), "%s", err.text);
	cr_assert_eq(count_files(), files);
	put(2, 1, STAGE_PENDING, 0);
	apply();
	GOOD(store_backup(store, copy, &err));
	cr_assert_eq(count_files(), files + 1);
}

/* ---- a journal of long ago ------------------------------------------------------------------------- */

static void fill_journal(void)
{
	struct run_row run = { .id = 3,
			       .work = 1,
			       .stage = STAGE_FAILED,
			       .by = 1,
			       .why = 4,
			       .flags = STORE_RUN_KEPT | STORE_RUN_UNDELIVERED,
			       .attempt = 3,
			       .failures = 3,
			       .lost = 1,
			       .rank = -5,
			       .created = 1003,
			       .started = 1704067200000000,
			       .ended = 1704067200000001,
			       .due = 9,
			       .worker = 1,
			       .incarnation = 4,
			       .form = text("form"),
			       .call = text("call"),
			       .result = text("result"),
			       .reason = text("exit status 3"),
			       .message = text("message"),
			       .past = text("past") };

	store_put_work(&batch, &(struct work_row){ 1, text("train"), text("{}"), true, false });
	store_put_work(&batch, &(struct work_row){ 2, text("process"), { 0 }, false, true });
	store_put_worker(&batch, &(struct worker_row){ 1, 1, 0, 4, 17, 4711, 99, 12345,
						       text("boot-id"), text("token"), 2, true });
	store_put_state(&batch, 0, text("day"), text("1"));
	store_put_state(&batch, 1, text("data"), text("2"));
	store_put_mark(&batch, text("hourly"), 1704067200000000);
	store_put_pause(&batch, &(struct pause_row){ 0, 1704067200000002, text("uid 0 pid 1") });
	store_put_pause(&batch, &(struct pause_row){ 2, 1704067200000003, text("uid 1 pid 2") });
	put(1, 2, STAGE_SUCCEEDED, STORE_RUN_KEPT);
	put(2, 2, STAGE_STOPPED, 0);
	store_put_run_new(&batch, &run);
	put(4, 1, STAGE_RUNNING, STORE_RUN_FORGET);
	apply();
}

static void expect_journal(const char *pauses)
{
	LW_AUTO_BUF expected = { 0 };
	struct store_reader *reader;
	struct run_row row;

	lw_buf_printf(&expected,
		      "W1 train {} 10\nW2 process  01\n"
		      "S0 day=1\nS1 data=2\n"
		      "Mhourly 1704067200000000\n%s"
		      "P1 1 0 4 17 4711 99 12345 boot-id token 2 1\n"
		      "K1\nK3\nO4\n",
		      pauses);
	expect_load(lw_buf_text(&expected));
	expect_found((struct store_search){ .stage = -1 }, "4 3 2 1 ");
	expect_found((struct store_search){ .stage = STAGE_FAILED, .work = 1 }, "3 ");
	GOOD(store_reader_open(folder, &reader, &err));
	cr_assert_eq(store_reader_run(reader, 3, &row, &err), 1, "%s", err.text);
	cr_expect(row.by == 1 && row.why == 4 && row.flags == 3 && row.attempt == 3 &&
		  row.failures == 3 && row.lost == 1 && row.rank == -5 && row.due == 9 &&
		  row.worker == 1 && row.incarnation == 4 && row.created == 1003 &&
		  row.started == 1704067200000000 && row.ended == 1704067200000001);
	cr_expect(same(row.form, text("form")) && same(row.call, text("call")) &&
		  same(row.result, text("result")) && same(row.reason, text("exit status 3")) &&
		  same(row.message, text("message")) && same(row.past, text("past")));
	store_reader_close(reader);
}

static void copy_file(const char *from, const char *to)
{
	LW_AUTO(lw_free) char *copy = lw_format("cp '%s' '%s'", from, to);

	cr_assert_eq(system(copy), 0);
}

static void expect_journal_of(int version, const char *pauses)
{
	LW_AUTO(lw_free)
	char *kept = lw_format("%s/tests/data/journal-v%d.db", LW_SOURCE, version);
	const char *make = getenv("LW_MAKE_JOURNAL");

	if (make != NULL && version == STORE_VERSION)
		fill_journal();
	close_store();
	if (make != NULL && version == STORE_VERSION)
		copy_file(file, make);
	cr_assert_eq(unlink(file), 0);
	copy_file(kept, file);
	open_store();
	expect_journal(pauses);
	store_put_flags(&batch, 3, 0);
	store_put_pause(&batch, &(struct pause_row){ 1, 5, text("x") });
	apply();
	cr_assert_eq(store_trim(store, 0, 100, &err), 2);
	expect_found((struct store_search){ .stage = -1 }, "4 1 ");
}

Test(store, a_journal_of_version_1_is_read_by_this_one)
{
	expect_journal_of(1, "");
}

Test(store, a_journal_of_version_2_is_read_by_this_one)
{
	expect_journal_of(2, "Z0 1704067200000002 uid 0 pid 1\nZ2 1704067200000003 uid 1 pid 2\n");
}
