/* links: lw_supervisor
 *
 * test_store_harm.c - nothing that happens to the disk, to the process or to the file makes the
 * SQLite file lie. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "on_store.h"

TestSuite(store_harm, .init = set_up, .fini = tear_down);

/* ---- the disk, the process, the file --------------------------------------------------------------- */

Test(store_harm, a_disk_that_fills_up_anywhere_in_a_batch_loses_nothing_and_lets_it_be_tried_again)
{
	size_t full = 0;

	for (rlim_t limit = 0; limit < 1 << 20; limit += 13 << 10) {
		uint64_t id = 1 + 1000 * limit;
		struct loaded loaded = { 0 };
		int r;

		close_store();
		cr_assert_eq(unlink(file), 0);
		open_store();
		put(id, 1, STAGE_PENDING, 0);
		apply();
		for (uint64_t i = 1; i <= 100; i++) {
			struct run_row row = odd_run(id + i);

			row.form.size = 3000;
			row.result.size = 3000;
			store_put_run_new(&batch, &row);
		}
		limit_files(limit);
		r = try_apply();
		limit_files(RLIM_INFINITY);
		cr_assert(r == 0 || r == -ENOSPC, "%d %s", r, err.text);
		if (r < 0) {
			cr_assert_not_null(strstr(err.text, file), "%s", err.text);
			GOOD(load(&loaded));
			cr_assert_eq(loaded.open, 1);
			loaded.open = 0;
			full++;
			apply();
		}
		batch.size = 0;
		GOOD(load(&loaded));
		cr_assert_eq(loaded.open, 101);
		lw_buf_done(&loaded.trace);
	}
	cr_assert_gt(full, 20);
}

Test(store_harm, a_disk_that_fills_up_anywhere_in_the_opening_is_an_error_and_no_more)
{
	size_t full = 0;

	for (rlim_t limit = 0; limit < 256 << 10; limit += 4 << 10) {
		int r;

		close_store();
		cr_assert_eq(unlink(file), 0);
		limit_files(limit);
		r = store_open(folder, DURABILITY_POWER, &store, &err);
		limit_files(RLIM_INFINITY);
		cr_assert(r == 0 || r == -ENOSPC, "%d %s", r, err.text);
		full += r < 0;
		if (r < 0)
			open_store();
		expect_load("");
	}
	cr_assert_gt(full, 10);
}

#define BATCH 200 /* runs in each that the child applies */

/* Applies batches for ever and tells of each that returned. */
static void apply_for_ever(int told)
{
	for (uint64_t id = 1;; id += BATCH) {
		for (uint64_t i = 0; i < BATCH; i++)
			put(id + i, 1, STAGE_PENDING, 0);
		if (try_apply() < 0)
			_exit(1);
		batch.size = 0;
		store_checkpoint(store);
		if (write(told, "x", 1) != 1)
			_exit(1);
	}
}

/* Reads until `wanted` batches returned (0: to the end); how many. */
static size_t count_told(int told, size_t wanted)
{
	size_t count = 0;
	char byte;

	while ((wanted == 0 || count < wanted) && read(told, &byte, 1) == 1)
		count++;
	return count;
}

Test(store_harm, a_kill_leaves_every_batch_that_returned_and_no_half_of_another)
{
	for (int i = 0; i < 12; i++) {
		struct loaded loaded = { 0 };
		size_t returned, wanted = 1 + dice() % 20;
		int pipes[2], status;
		pid_t child;

		close_store();
		cr_assert_eq(unlink(file), 0);
		cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
		child = fork();
		cr_assert_geq(child, 0);
		if (child == 0) {
			if (store_open(folder, DURABILITY_PROCESS, &store, NULL) < 0)
				_exit(1);
			apply_for_ever(pipes[1]);
		}
		close(pipes[1]);
		returned = count_told(pipes[0], wanted);
		for (volatile uint64_t spin = dice() % 1000000; spin > 0;)
			spin--; /* so that it is hit anywhere in the next one */
		cr_assert_eq(kill(child, SIGKILL), 0);
		returned += count_told(pipes[0], 0);
		close(pipes[0]);
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFSIGNALED(status), "it ended by itself");
		open_store();
		GOOD(load(&loaded));
		cr_assert_eq(loaded.open % BATCH, 0, "half a batch: %zu", loaded.open);
		cr_assert(loaded.open / BATCH == returned || loaded.open / BATCH == returned + 1,
			  "%zu returned, %zu are there", returned, loaded.open / BATCH);
		lw_buf_done(&loaded.trace);
	}
}

/* What opening answers now; the store stays closed unless it opens. */
static int reopen(void)
{
	close_store();
	return store_open(folder, DURABILITY_PROCESS, &store, &err);
}

static void sql(const char *statements)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(file, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, statements, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(store_harm, a_file_of_a_newer_version_is_left_alone)
{
	close_store();
	sql("PRAGMA user_version = 3");
	cr_assert_eq(reopen(), -EOVERFLOW);
	cr_assert_not_null(strstr(err.text, "newer version"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "(schema 3, this one knows 2)"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, file), "%s", err.text);
	sql("PRAGMA user_version = 2");
	GOOD(reopen());
}

Test(store_harm, a_database_of_somebody_else_is_no_journal_and_stays_as_it_is)
{
	off_t size;

	close_store();
	cr_assert_eq(unlink(file), 0);
	sql("CREATE TABLE recipes(name)");
	size = size_of(file);
	cr_assert_eq(reopen(), -EUCLEAN);
	cr_assert_not_null(strstr(err.text, "no journal"), "%s", err.text);
	cr_assert_eq(size_of(file), size);
	cr_assert_eq(count_files(), 1);
}

/* Bytes over the closed file. */
static void overwrite(off_t at, const void *bytes, size_t size)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
	close(fd);
}

/* A closed store of some hundred pages. */
static void fill_and_close(void)
{
	for (uint64_t id = 1; id <= 3000; id++)
		put(id, (uint32_t)(1 + id % 3), STAGE_SUCCEEDED, STORE_RUN_KEPT);
	apply();
	close_store();
}

/* Opens and reads everything: 0, or what was answered. */
static int reopen_and_load(void)
{
	struct loaded loaded = { 0 };
	int r = reopen();

	if (r == 0)
		r = load(&loaded);
	lw_buf_done(&loaded.trace);
	return r;
}

static void expect_damaged(void)
{
	LW_AUTO(lw_free) char *sentence = lw_format("'%s' is damaged: ", file);

	err.text[0] = '\0';
	cr_assert_eq(reopen_and_load(), -EUCLEAN, "%s", err.text);
	cr_assert_eq(strncmp(err.text, sentence, strlen(sentence)), 0, "%s", err.text);
}

Test(store_harm, a_file_that_is_garbage_from_its_first_byte_is_damaged)
{
	static const char garbage[100] = "this was a journal once";

	fill_and_close();
	overwrite(0, garbage, sizeof(garbage));
	expect_damaged();
}

Test(store_harm, a_file_that_lost_its_second_half_is_damaged)
{
	fill_and_close();
	cr_assert_eq(truncate(file, size_of(file) / 2 / PAGE * PAGE), 0);
	expect_damaged();
}

Test(store_harm, a_page_that_was_overwritten_is_noticed_when_it_is_read)
{
	static uint8_t garbage[PAGE];
	LW_AUTO(lw_free) char *keep = lw_format("cp '%s' '%s/whole'", file, folder);
	LW_AUTO(lw_free) char *back = lw_format("cp '%s/whole' '%s'", folder, file);
	size_t damaged = 0;
	off_t size;

	fill_and_close();
	cr_assert_eq(system(keep), 0);
	size = size_of(file);
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)dice();
	for (off_t at = 0; at < size; at += PAGE) {
		int r;

		overwrite(at, garbage, sizeof(garbage));
		r = reopen_and_load();
		cr_assert(r == 0 || r == -EUCLEAN, "page at %lld: %d %s", (long long)at, r,
			  err.text);
		damaged += r < 0;
		close_store();
		cr_assert_eq(system(back), 0);
	}
	/* Pages of an index are not read at a start. */
	cr_assert_gt(damaged, (size_t)(size / PAGE / 2));
	GOOD(reopen_and_load());
}

Test(store_harm, no_flipped_byte_makes_more_of_a_file_than_a_journal_or_an_error)
{
	off_t size;

	fill_and_close();
	size = size_of(file);
	for (int i = 0; i < 300; i++) {
		uint8_t was, byte = (uint8_t)dice();
		/* The first pages hold the schema; the header says how to write, too. */
		off_t at = 100 + (off_t)(dice() % (uint64_t)((i % 2 ? size : 3 * PAGE) - 100));
		int r, fd = open(file, O_RDONLY | O_CLOEXEC);

		cr_assert_eq(pread(fd, &was, 1, at), 1);
		close(fd);
		overwrite(at, &byte, 1);
		r = reopen_and_load();
		cr_assert(r == 0 || r == -EUCLEAN, "byte %lld: %d %s", (long long)at, r, err.text);
		close_store();
		overwrite(at, &was, 1);
	}
	GOOD(reopen_and_load());
}

Test(store_harm, a_number_that_no_run_can_have_is_damage)
{
	fill_and_close();
	sql("UPDATE runs SET stage = 300 WHERE id = 1500");
	expect_damaged();
	cr_assert_not_null(strstr(err.text, "stage = 300"), "%s", err.text);
	close_store();
	sql("UPDATE runs SET stage = 4 WHERE id = 1500; DELETE FROM meta");
	expect_damaged();
	sql("DROP TABLE runs");
	expect_damaged();
}

/* What opening answers to somebody who is neither root nor the owner. */
static int reopen_as_nobody(void)
{
	int r;

	close_store();
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0); /* root may write anywhere */
	r = reopen();
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	return r;
}

Test(store_harm, what_may_not_be_written_is_an_error_that_names_it)
{
	LW_AUTO(lw_free) char *wal = lw_format("%s-wal", file);

	cr_assert_eq(chmod(file, 0444), 0);
	cr_assert_eq(chmod(folder, 0555), 0);
	cr_assert_eq(reopen_as_nobody(), -EACCES, "%s", err.text);
	cr_assert_not_null(strstr(err.text, file), "%s", err.text);
	cr_assert_eq(size_of(wal), -1);
	cr_assert_eq(chmod(file, 0666), 0); /* now it is the WAL that cannot be made */
	cr_assert_eq(reopen_as_nobody(), -EACCES, "%s", err.text);
	cr_assert_not_null(strstr(err.text, file), "%s", err.text);
	cr_assert_eq(chmod(folder, 0755), 0);
	cr_assert_eq(unlink(file), 0);
	cr_assert_eq(chmod(folder, 0555), 0);
	cr_assert_eq(reopen_as_nobody(), -EACCES, "%s", err.text);
	cr_assert_eq(chmod(folder, 0755), 0);
	GOOD(reopen());
}

Test(store_harm, a_folder_that_is_missing_or_too_deep_is_an_error_that_names_it)
{
	LW_AUTO(lw_free) char *deep = lw_format("%s/%0200d/%0200d/%0200d", folder, 1, 2, 3);
	LW_AUTO(lw_free) char *make = lw_format("mkdir -p '%s'", deep);

	close_store();
	cr_assert_eq(store_open("/no/where", DURABILITY_PROCESS, &store, &err), -ENOENT);
	cr_assert_not_null(strstr(err.text, "'/no/where/journal.db'"), "%s", err.text);
	cr_assert_eq(system(make), 0);
	cr_assert_eq(store_open(deep, DURABILITY_PROCESS, &store, &err), -ENAMETOOLONG);
	cr_assert_null(store);
	cr_assert_eq(rmdir(deep), 0, "nothing was made in it");
}

Test(store_harm, another_process_that_holds_the_file_is_waited_for_and_then_an_error)
{
	sqlite3 *other;

	cr_assert_eq(sqlite3_open(file, &other), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put(1, 1, STAGE_PENDING, 0);
	cr_assert_eq(try_apply(), -EBUSY, "%s", err.text);
	cr_assert_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	apply();
	expect_load("O1\n");
}
