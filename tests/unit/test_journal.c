/* links: lw_supervisor
 * test_journal.c - nothing is spoken of before it is on record, and nothing noted is lost: with a
 * real store and its thread. */
#include <errno.h>

#include "on_record.h"

static struct journal *journal;
static struct runs *runs;
static struct work work = { .row = 1 };
static int changes; /* how often the journal said that runs may start, or may not */

static void on_changed(void *context)
{
	cr_assert_eq(context, &changes);
	changes++;
}

static void open_journal(void)
{
	const struct journal_options options = {
		.dir = state_dir,
		.runs_keep = 1000,
		.changed = on_changed,
		.context = &changes,
	};
	struct lw_err err = { 0 };

	cr_assert_geq(journal_open(loop, &options, &journal, &err), 0, "%s", err.text);
}

/* ---- what is on record, as a letter and some fields each --------------------------------------- */

static struct lw_buf told;

static int on_work(void *context, const struct work_row *row)
{
	(void)context;
	lw_buf_printf(&told, "W%u ", row->id);
	return 0;
}

static int on_state(void *context, uint32_t of, struct lw_slice name, struct lw_slice value)
{
	(void)context;
	lw_buf_printf(&told, "S%u %.*s:%zu ", of, (int)name.size, (const char *)name.data,
		      value.size);
	return 0;
}

static int on_mark(void *context, struct lw_slice mark, int64_t at)
{
	(void)context;
	lw_buf_printf(&told, "M%.*s:%lld ", (int)mark.size, (const char *)mark.data, (long long)at);
	return 0;
}

static int on_pause(void *context, const struct pause_row *row)
{
	(void)context;
	lw_buf_printf(&told, "Z%u:%lld ", row->work, (long long)row->at);
	return 0;
}

static int on_worker(void *context, const struct worker_row *row)
{
	(void)context;
	lw_buf_printf(&told, "P%llu pid=%lld applied=%llu ", (unsigned long long)row->id,
		      (long long)row->pid, (unsigned long long)row->applied);
	return 0;
}

static int on_kept(void *context, const struct run_row *row)
{
	(void)context;
	lw_buf_printf(&told, "K%llu ", (unsigned long long)row->id);
	return 0;
}

static int on_open(void *context, const struct run_row *row)
{
	(void)context;
	lw_buf_printf(&told, "O%llu ", (unsigned long long)row->id);
	return 0;
}

/* From here on the thread writes. */
static void begin_writing(void)
{
	static const struct store_load load = { NULL,     on_work,   on_state, on_mark,
						on_pause, on_worker, on_kept,  on_open };
	struct lw_err err = { 0 };

	told.size = 0;
	cr_assert_geq(journal_load(journal, &load, &err), 0, "%s", err.text);
}

static void close_journal(void)
{
	struct lw_err err = { 0 };

	cr_expect_eq(journal_stop(journal, &err), 0, "%s", err.text);
	journal_free(journal);
	journal = NULL;
}

static void reopen(void)
{
	close_journal();
	open_journal();
	begin_writing();
}

static void set_up(void)
{
	open_loop();
	runs = runs_new(0);
	open_journal();
	begin_writing();
}

static void tear_down(void)
{
	if (journal != NULL)
		close_journal();
	runs_free(runs);
	lw_buf_done(&told);
	close_loop();
}

TestSuite(journal, .init = set_up, .fini = tear_down, .timeout = 120);

static bool is_stable(void)
{
	return journal_stable(journal) + 1 >= journal_batch(journal);
}

static void settle(void)
{
	one_turn();
	UNTIL(is_stable());
}

static struct run *make_run(void)
{
	struct lw_slice form = text("a call");

	return run_new(runs, &work, (struct lw_key){ 0 }, form, form, FROM_FLOW, 100);
}

static void note_state(const char *name, const char *value)
{
	journal_state(journal, 1, text(name), text(value));
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static char trace[64];
static int last_result;

struct waiter {
	struct journal_wait wait;
	char letter;
	struct waiter *then;    /* waits when this one is told */
	struct waiter *cancels; /* is cancelled when this one is told */
};

static void on_told(struct journal_wait *wait, int r)
{
	struct waiter *waiter = LW_OWNER(wait, struct waiter, wait);
	size_t n = strlen(trace);

	cr_assert_lt(n, sizeof(trace) - 1);
	cr_assert_not(journal_waits(wait), "one that is told may wait again");
	trace[n] = r < 0 ? '-' : waiter->letter;
	last_result = r;
	if (waiter->cancels != NULL)
		journal_cancel(journal, &waiter->cancels->wait);
	if (waiter->then != NULL)
		journal_wait(journal, &waiter->then->wait);
}

static struct waiter waiter_of(char letter)
{
	return (struct waiter){ .wait = { .done = on_told }, .letter = letter };
}

Test(journal, waiters_are_told_in_order_when_their_batch_is_on_record)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b');
	struct store_reader *reader;
	struct lw_err err = { 0 };
	struct run *run = make_run();
	struct run_row row;

	journal_run(journal, run);
	journal_wait(journal, &a.wait);
	journal_wait(journal, &b.wait);
	cr_assert_str_eq(trace, "", "not before the batch is handed over");
	cr_assert(journal_waits(&a.wait));
	UNTIL(strlen(trace) == 2);
	cr_assert_str_eq(trace, "ab");
	cr_assert_geq(store_reader_open(state_dir, &reader, &err), 0, "%s", err.text);
	cr_expect_eq(store_reader_run(reader, run->id, &row, &err), 1, "others can read it now");
	store_reader_close(reader);
	run_unref(run);
}

Test(journal, what_is_waited_for_with_nothing_to_write_is_told_in_the_same_turn)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b');
	uint64_t batch = journal_batch(journal);

	journal_wait(journal, &a.wait);
	journal_wait(journal, &b.wait);
	one_turn();
	cr_assert_str_eq(trace, "ab");
	cr_assert_eq(journal_batch(journal), batch + 1);
}

Test(journal, nothing_to_write_waits_for_what_was_handed_over_before)
{
	struct waiter waiters[20];

	for (size_t i = 0; i < LW_COUNT(waiters); i++) {
		waiters[i] = waiter_of((char)('a' + i));
		if (i % 2 == 0)
			note_state("x", i % 4 == 0 ? "1" : "2");
		journal_wait(journal, &waiters[i].wait);
		one_turn();
	}
	UNTIL(strlen(trace) == LW_COUNT(waiters));
	cr_assert_str_eq(trace, "abcdefghijklmnopqrst");
}

Test(journal, one_that_waits_from_within_waits_for_a_later_batch)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b');
	uint64_t batch = journal_batch(journal);

	a.then = &b;
	journal_wait(journal, &a.wait);
	one_turn();
	one_turn();
	cr_assert_str_eq(trace, "ab");
	cr_assert_eq(journal_batch(journal), batch + 2);
}

Test(journal, a_waiter_that_was_cancelled_is_not_told)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b'), c = waiter_of('c');

	journal_wait(journal, &a.wait);
	journal_wait(journal, &b.wait);
	journal_cancel(journal, &b.wait); /* the last one: the list's end moves */
	journal_wait(journal, &c.wait);
	one_turn();
	cr_assert_str_eq(trace, "ac");
	journal_cancel(journal, &b.wait); /* not waiting: nothing */
}

Test(journal, a_waiter_may_cancel_another_while_they_are_told)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b'), c = waiter_of('c');

	a.cancels = &b;
	journal_wait(journal, &a.wait);
	journal_wait(journal, &b.wait);
	journal_wait(journal, &c.wait);
	one_turn();
	cr_assert_str_eq(trace, "ac");
}

/* ---- the record --------------------------------------------------------------------------------- */

Test(journal, every_store_has_a_name_and_a_secret_of_its_own_and_keeps_them)
{
	static char other_dir[] = "/tmp/lw-record-XXXXXX";
	const struct journal_options options = { .dir = other_dir };
	LW_AUTO(lw_free) char *id = lw_strdup(journal_store(journal));
	uint8_t secret[LW_KEY_SECRET];
	struct journal *other;

	cr_assert_not_null(mkdtemp(other_dir));
	cr_assert_geq(journal_open(loop, &options, &other, NULL), 0);
	memcpy(secret, journal_secret(journal), LW_KEY_SECRET);
	cr_assert_eq(strlen(id), (size_t)STORE_ID);
	cr_assert_str_neq(id, journal_store(other));
	cr_assert(memcmp(secret, journal_secret(other), LW_KEY_SECRET) != 0);
	journal_free(other);
	remove_folder(other_dir);
	reopen();
	cr_expect_str_eq(journal_store(journal), id);
	cr_expect(memcmp(secret, journal_secret(journal), LW_KEY_SECRET) == 0);
}

Test(journal, what_was_noted_is_there_when_it_is_opened_again)
{
	struct run *one = make_run(), *other = make_run(), *third = make_run();
	struct work_row row = { .id = 1, .name = text("w"), .settings = text("{}") };
	struct worker_row worker = {
		.id = 4, .work = 1, .pid = 99, .boot = text("b"), .token = text("t")
	};
	uint64_t last;

	journal_work(journal, &row);
	journal_run(journal, one);
	journal_run(journal, other);
	journal_run(journal, third);
	journal_worker(journal, &worker);
	one_turn();
	note_state("x", "123");
	note_state("gone", "1");
	journal_mark(journal, "hourly", 3600000000);
	journal_applied(journal, 4, 12);
	run_move(one, STAGE_RUNNING, NULL, NULL, 200);
	run_move(one, STAGE_SUCCEEDED, NULL, NULL, 300);
	one->flags = STORE_RUN_KEPT;
	journal_run(journal, one);
	run_move(third, STAGE_FAILED, "reason", NULL, 300);
	third->flags = STORE_RUN_KEPT;
	journal_run(journal, third);
	one_turn();
	journal_state(journal, 1, text("gone"), text("\xc0"));
	journal_flags(journal, third, third->id, 0); /* its row is noted, as it is */
	run_unref(one);
	run_unref(third);
	reopen();
	cr_expect_str_eq(lw_buf_text(&told),
			 "W1 S1 x:3 Mhourly:3600000000 P4 pid=99 applied=12 K1 O2 ");
	cr_expect_eq(journal_last_run(journal, &last, NULL), 0);
	cr_expect_eq(last, 3u);
	journal_worker_gone(journal, 4);
	journal_flags(journal, NULL, 1, 0); /* its run is not in memory */
	reopen();
	cr_expect_str_eq(lw_buf_text(&told),
			 "W1 S1 x:3 Mhourly:3600000000 P4 pid=0 applied=12 O2 ");
	run_unref(other);
}

Test(journal, a_run_is_recorded_as_it_is_when_the_turn_ends)
{
	struct run *run = make_run();
	struct run_row row;

	journal_run(journal, run);
	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	journal_run(journal, run); /* noted already */
	settle();
	cr_assert_eq(journal_read(journal, run->id, &row, NULL), 1);
	cr_expect_eq(row.stage, STAGE_RUNNING);
	cr_expect_eq(row.started, 200);
	cr_expect(run->recorded && !run->noted);
	cr_expect_leq(run->batch, journal_stable(journal));
	run_move(run, STAGE_FAILED, "exit status 3", "no luck", 300);
	journal_run(journal, run);
	cr_expect_eq(run->refs, 2u, "who is noted stays until the turn ends");
	settle();
	cr_expect_eq(run->refs, 1u);
	cr_assert_eq(journal_read(journal, run->id, &row, NULL), 1);
	cr_expect_eq(row.stage, STAGE_FAILED);
	cr_expect_eq(row.message.size, 7u);
	cr_expect_eq(journal_read(journal, 99, &row, NULL), 0, "none");
	run_unref(run);
}

Test(journal, a_form_is_read_by_itself)
{
	struct run *run = make_run();
	struct lw_slice form = { 0 };

	journal_run(journal, run);
	settle();
	cr_assert_eq(journal_read_form(journal, run->id, &form, NULL), 1);
	cr_expect_eq(form.size, 6u);
	cr_expect(memcmp(form.data, "a call", 6) == 0);
	cr_expect_eq(journal_read_form(journal, 99, &form, NULL), 0);
	run_unref(run);
}

Test(journal, what_is_noted_before_the_thread_starts_is_written_by_it)
{
	close_journal();
	for (int i = 0; i < 50; i++) { /* whichever of the two is faster */
		struct waiter a = waiter_of('a');

		trace[0] = '\0';
		open_journal();
		note_state("x", i % 2 == 0 ? "1" : "22");
		journal_wait(journal, &a.wait);
		if (i % 4 < 2)
			one_turn();
		begin_writing();
		one_turn();
		UNTIL(trace[0] != '\0');
		close_journal();
	}
}

Test(journal, one_that_never_wrote_lets_go_of_what_was_noted)
{
	struct run *run = make_run();

	close_journal();
	open_journal();
	journal_run(journal, run);
	note_state("x", "1");
	journal_free(journal);
	journal = NULL;
	cr_expect_eq(run->refs, 1u);
	cr_expect_not(run->noted);
	run_unref(run);
}

Test(journal, it_knows_how_much_it_keeps)
{
	settle();
	note_state("x", "1");
	settle();
	UNTIL(journal_backlog(journal) == 0);
	cr_expect_gt(journal_size(journal), 0u);
	cr_expect_eq(journal_estimate(journal), 0u);
}

/* ---- tasks --------------------------------------------------------------------------------------- */

static int answered;

static void on_done(struct journal_task *task)
{
	(void)task;
	answered++;
}

static struct journal_task *new_task(void)
{
	struct journal_task *task = LW_NEW(struct journal_task);

	task->done = on_done;
	return task;
}

static struct journal_task *new_search(void)
{
	struct journal_task *task = new_task();

	task->does = JOURNAL_FIND;
	task->search = (struct store_search){ .stage = -1, .limit = 10 };
	return task;
}

static void free_task(struct journal_task *task)
{
	lw_buf_done(&task->rows);
	lw_free(task->path);
	lw_free(task);
}

Test(journal, a_search_finds_what_was_noted_before_it)
{
	struct journal_task *task = new_search();
	struct run *run = make_run();
	struct run_row row = { 0 };
	struct lw_slice rows;

	journal_run(journal, run); /* in this very turn */
	journal_ask(journal, task);
	UNTIL(answered == 1);
	cr_assert_eq(task->result, 1, "%s", task->err.text);
	rows = lw_buf_slice(&task->rows);
	cr_assert_geq(run_row_take(&rows, &row, NULL), 0);
	cr_expect_eq(row.id, run->id);
	cr_expect_eq(rows.size, 0u);
	free_task(task);
	run_unref(run);
}

Test(journal, a_backup_has_what_was_noted_before_it_and_overwrites_nothing)
{
	struct journal_task *task = new_task();
	LW_AUTO(lw_free) char *folder = lw_format("%s/copy", state_dir);
	struct journal_options options = { .dir = folder };
	struct journal *copy;
	struct run_row row;
	struct run *run = make_run();

	cr_assert_eq(mkdir(folder, 0700), 0);
	task->does = JOURNAL_BACKUP;
	task->path = lw_format("%s/%s", folder, STORE_FILE);
	journal_run(journal, run);
	journal_ask(journal, task);
	UNTIL(answered == 1);
	cr_assert_eq(task->result, 0, "%s", task->err.text);
	journal_ask(journal, task);
	UNTIL(answered == 2);
	cr_expect_eq(task->result, -EEXIST);
	cr_expect_not_null(strstr(task->err.text, "copy"), "%s", task->err.text);
	cr_assert_geq(journal_open(loop, &options, &copy, NULL), 0);
	cr_expect_eq(journal_read(copy, run->id, &row, NULL), 1);
	journal_free(copy);
	free_task(task);
	run_unref(run);
}

Test(journal, nobody_is_told_of_a_task_that_was_abandoned)
{
	struct journal_task *task = new_search(), *backup = new_task(), *last = new_search();

	backup->does = JOURNAL_BACKUP;
	backup->path = lw_format("%s/backup", state_dir);
	journal_ask(journal, task);
	journal_ask(journal, backup);
	journal_abandon(journal, task); /* both are freed by the journal */
	journal_abandon(journal, backup);
	journal_ask(journal, last);
	UNTIL(answered > 0);
	cr_expect_eq(answered, 1);
	free_task(last);
	task = new_search();
	journal_ask(journal, task);
	journal_abandon(journal, task);
	close_journal(); /* whether it was done or not */
	cr_expect_eq(answered, 1);
}

Test(journal, tasks_are_answered_in_the_order_they_were_asked)
{
	struct journal_task *tasks[10];

	for (size_t i = 0; i < LW_COUNT(tasks); i++) {
		tasks[i] = new_search();
		note_state("x", i % 2 == 0 ? "1" : "2");
		journal_ask(journal, tasks[i]);
	}
	UNTIL(answered == (int)LW_COUNT(tasks));
	for (size_t i = 0; i < LW_COUNT(tasks); i++)
		free_task(tasks[i]);
}

/* ---- a store that cannot be written ---------------------------------------------------------------- */

/* Until everybody who waits was told that it could not be written. */
static void fail_to_write(void)
{
	limit_files(0);
	UNTIL(!journal_takes_runs(journal));
}

Test(journal, when_it_cannot_be_written_waiters_are_told_and_no_run_starts)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b');
	struct run *run = make_run();
	struct run_row row;

	settle();
	limit_files(0);
	journal_run(journal, run);
	journal_wait(journal, &a.wait);
	UNTIL(trace[0] != '\0');
	cr_assert_str_eq(trace, "-");
	cr_expect_lt(last_result, 0);
	cr_expect_not(journal_takes_runs(journal));
	cr_assert_not_null(journal_error(journal));
	cr_expect_not_null(strstr(journal_error(journal), STORE_FILE), "it names the file: %s",
			   journal_error(journal));
	cr_expect_eq(changes, 1);
	cr_expect_gt(journal_backlog(journal), 0u);
	limit_files(RLIM_INFINITY);
	run_move(run, STAGE_RUNNING, NULL, NULL, 200);
	journal_run(journal, run);
	note_state("later", "1");
	journal_wait(journal, &b.wait);
	UNTIL(journal_takes_runs(journal));
	UNTIL(strchr(trace, 'b') != NULL);
	cr_expect_null(journal_error(journal));
	cr_expect_eq(changes, 2);
	cr_assert_eq(journal_read(journal, run->id, &row, NULL), 1, "nothing noted was lost");
	cr_expect_eq(row.stage, STAGE_RUNNING);
	run_unref(run);
	reopen();
	cr_expect_str_eq(lw_buf_text(&told), "S1 later:1 O1 ");
}

Test(journal, who_waits_while_it_cannot_be_written_is_told_so_again_and_again)
{
	struct waiter a = waiter_of('a');

	settle();
	a.then = &a; /* it does not give up */
	note_state("x", "1");
	fail_to_write();
	journal_wait(journal, &a.wait);
	UNTIL(strlen(trace) == 2);
	cr_expect_str_eq(trace, "--");
	a.then = NULL;
	limit_files(RLIM_INFINITY);
	UNTIL(strlen(trace) == 3);
	cr_expect_str_eq(trace, "--a");
}

Test(journal, searching_works_while_it_cannot_be_written)
{
	struct journal_task *task = new_search();
	struct run *run = make_run();

	journal_run(journal, run);
	settle();
	note_state("x", "1");
	fail_to_write();
	journal_ask(journal, task);
	UNTIL(answered == 1);
	cr_expect_eq(task->result, 1, "%s", task->err.text);
	free_task(task);
	run_unref(run);
	limit_files(RLIM_INFINITY);
}

Test(journal, stopping_says_when_something_could_not_be_written)
{
	struct lw_err err = { 0 };

	settle();
	limit_files(0);
	note_state("x", "1");
	cr_expect_lt(journal_stop(journal, &err), 0);
	cr_expect_not_null(strstr(err.text, STORE_FILE), "%s", err.text);
	limit_files(RLIM_INFINITY);
	journal_free(journal);
	journal = NULL;
}

Test(journal, stopping_writes_what_could_not_be_written_before)
{
	struct run *run = make_run();

	settle();
	limit_files(0);
	journal_run(journal, run);
	UNTIL(!journal_takes_runs(journal));
	note_state("x", "1");
	one_turn();
	limit_files(RLIM_INFINITY);
	reopen();
	cr_expect_str_eq(lw_buf_text(&told), "S1 x:1 O1 ");
	run_unref(run);
}

/* ---- a store that is slow ------------------------------------------------------------------------------ */

Test(journal, while_too_much_waits_no_run_starts)
{
	size_t size = (size_t)17 << 20; /* more than the thread may have before it */
	LW_AUTO(lw_free) char *large = lw_realloc(NULL, size);

	memset(large, 'x', size);
	cr_expect(journal_takes_runs(journal));
	journal_state(journal, 1, text("large"), (struct lw_slice){ (const uint8_t *)large, size });
	one_turn();
	cr_expect_not(journal_takes_runs(journal));
	cr_expect_null(journal_error(journal), "it is only behind");
	cr_expect_geq(journal_backlog(journal), size);
	UNTIL(journal_takes_runs(journal));
	cr_expect_eq(changes, 2);
	settle();
	reopen();
	cr_expect_str_eq(lw_buf_text(&told), "S1 large:17825792 ");
}
