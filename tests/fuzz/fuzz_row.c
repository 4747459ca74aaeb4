/* links: lw_supervisor
 *
 * fuzz_row.c - rows of the journal: as bytes, and as the runs that they become.
 *
 * Input: rows as run_row_put() writes them, one behind the other. What is taken is written back
 * byte for byte; the run of a row that makes sense gives the same row, and goes on living. */
#include <errno.h>

#include "fuzz.h"
#include "lw_call.h"
#include "run.h"
#include "store.h"
#include "work.h"

#define FLAGS_OF_A_RUN 0x3f /* STORE_RUN_*, and how its attempt was being ended */

static struct lw_slice bytes_of(const struct run_row *row, struct lw_buf *out)
{
	out->size = 0;
	run_row_put(out, row);
	return lw_buf_slice(out);
}

/* A C string ends at the first NUL of a text. */
static bool same_text(struct lw_slice row, struct lw_slice run)
{
	const uint8_t *nul = row.size > 0 ? memchr(row.data, 0, row.size) : NULL;
	size_t size = nul != NULL ? (size_t)(nul - row.data) : row.size;

	return (row.data == NULL) == (run.data == NULL) &&
	       same_bytes((struct lw_slice){ row.data, size }, run);
}

/* A call that is its own form is not written twice. */
static bool same_call(const struct run_row *row, const struct run_row *run)
{
	return same_bytes(row->call, run->call) ||
	       (run->call.size == 0 && same_bytes(row->call, run->form));
}

static void check_alike(const struct run_row *row, const struct run_row *run)
{
	/* clang-format off */
#define SAME(field) HOLDS(row->field == run->field, "the run has another " #field)
	SAME(id); SAME(work); SAME(stage); SAME(by); SAME(why);
	SAME(attempt); SAME(failures); SAME(lost); SAME(rank);
	SAME(created); SAME(started); SAME(ended); SAME(due);
#undef SAME
	/* clang-format on */
	HOLDS((row->flags & FLAGS_OF_A_RUN) == run->flags, "flags %u became %u", row->flags,
	      run->flags);
	HOLDS(run->worker == 0 && run->incarnation == 0, "the run is with a worker");
	HOLDS(same_bytes(row->form, run->form) && same_call(row, run), "the run is another call");
	HOLDS(same_bytes(row->result, run->result), "the run has another result");
	HOLDS(same_text(row->reason, run->reason) && same_text(row->message, run->message),
	      "the run has other texts");
	HOLDS(row->past.size > 0 || run->past.size == 0, "the run has statuses from nowhere");
}

static struct run *run_of(struct runs *runs, struct work *work, const struct run_row *row)
{
	struct lw_err err = { 0 };
	struct run *run = NULL;
	int r = run_from_row(runs, work, (struct lw_key){ row->id, 0 }, row, &run, &err);

	HOLDS(r == 0 || r == -EUCLEAN, "a row: %d", r);
	HOLDS((r == 0) == (run != NULL), "a row is taken and there is no run");
	HOLDS(r == 0 || err.text[0] != '\0', "refused without a sentence");
	HOLDS(run == NULL || runs_find(runs, row->id) == run, "the run is not found by its id");
	return run;
}

/* The row of a run is a fixed point. */
static void check_again(struct work *work, const struct run_row *row)
{
	struct runs *runs = runs_new(row->id);
	struct run *run = run_of(runs, work, row);
	LW_AUTO_BUF past = { 0 };
	LW_AUTO_BUF bytes = { 0 };
	LW_AUTO_BUF again = { 0 };
	struct run_row after;

	HOLDS(run != NULL, "the row of a run makes no sense");
	run_to_row(run, &past, &after);
	HOLDS(same_bytes(bytes_of(row, &bytes), bytes_of(&after, &again)),
	      "the row of a run became another one");
	run_unref(run);
	runs_free(runs);
}

/* Whatever its past, a run can be asked for it and go on. */
static void live_on(struct run *run)
{
	struct status statuses[RUN_STATUSES];

	for (int i = 0; i < 3; i++) {
		size_t n = run_statuses(run, statuses);

		HOLDS(n >= 1 && n <= RUN_STATUSES, "%zu statuses", n);
		for (size_t k = 0; k < n; k++)
			HOLDS(statuses[k].stage < STAGES_N && statuses[k].count >= 1,
			      "status %zu is none", k);
		run_move(run, STAGE_PENDING, "retry", NULL, 1);
		run_move(run, STAGE_RUNNING, NULL, NULL, 2);
		run_move(run, STAGE_FAILED, "exit status 3", "no luck", 3);
	}
}

static void check_run(const struct run_row *row)
{
	struct work work = { .row = row->work };
	struct runs *runs = runs_new(row->id);
	struct run *run = run_of(runs, &work, row);
	LW_AUTO_BUF past = { 0 };
	struct run_row after;

	if (run != NULL) {
		run_to_row(run, &past, &after);
		check_alike(row, &after);
		check_again(&work, &after);
		live_on(run);
	}
	run_unref(run);
	runs_free(runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lw_slice bytes = { data, size };
	LW_AUTO_BUF again = { 0 };
	struct lw_err err = { 0 };
	struct run_row row;
	int r = 0;

	log_to_nowhere();
	while (bytes.size > 0) {
		struct lw_slice before = bytes;

		r = run_row_take(&bytes, &row, &err);
		if (r < 0)
			break;
		before.size -= bytes.size;
		HOLDS(same_bytes(bytes_of(&row, &again), before), "a row is written differently");
		check_run(&row);
	}
	HOLDS(r == 0 || (r == -EBADMSG && err.text[0] != '\0'), "refused with %d", r);
	return 0;
}
