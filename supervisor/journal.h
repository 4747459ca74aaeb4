/* journal.h - what must not be lost, and when it is safe to speak of it.
 *
 * Changes are noted while a turn goes on, handed over as one batch in LOOP_LATE to the journal's
 * thread, which owns the store (store.h), and are stable when it answers. What others may see (a
 * run that is sent, a result acknowledged, an answer to an operator) leaves only then: its owner
 * hands in a journal_wait after noting the change. The loop never waits for the thread, but reads
 * single rows itself, over a connection of its own.
 *
 * When the store cannot be written, nothing noted is lost: the batch is tried again every second,
 * everybody who waits is told, and journal_takes_runs() says that no run may start until it is
 * written.
 *
 * Owned by the app. All functions are for the loop's thread.
 */
#ifndef LW_SUPERVISOR_JOURNAL_H
#define LW_SUPERVISOR_JOURNAL_H

#include "loop.h"
#include "lw_err.h"
#include "run.h"
#include "store.h"

struct journal;

struct journal_options {
	const char *dir; /* the state directory */
	enum durability durability;
	uint64_t runs_keep; /* runs that are over and not remembered */
	/* Runs may start again, or may not; called on the loop. */
	void (*changed)(void *context);
	void *context;
};

struct journal_wait {
	/* r: 0, or -errno: not on record yet; it will be when the store can be written again. */
	void (*done)(struct journal_wait *wait, int r);
	struct journal_wait *next, **link; /* link NULL: not waiting */
	uint64_t batch;
};
static inline bool journal_waits(const struct journal_wait *wait)
{
	return wait->link != NULL;
}

LW_MUST_USE int journal_open(struct loop *loop, const struct journal_options *options,
			     struct journal **ret_journal, struct lw_err *err);
/* What a start needs to know (store.h). Before anything is noted. */
LW_MUST_USE int journal_load(struct journal *journal, const struct store_load *load,
			     struct lw_err *err);
LW_MUST_USE int journal_last_run(struct journal *journal, uint64_t *ret_id, struct lw_err *err);
uint64_t journal_estimate(struct journal *journal); /* about how many calls are remembered */
/* Writes what was noted and ends the thread; nothing is written after that. -errno: the store
 * could not take it. */
LW_MUST_USE int journal_stop(struct journal *journal, struct lw_err *err);
void journal_free(struct journal *journal); /* NULL is welcome */

const char *journal_store(const struct journal *journal);     /* the store's id, hex */
const uint8_t *journal_secret(const struct journal *journal); /* LW_KEY_SECRET bytes */

/* Note a change; the journal copies what it needs, of a run when the turn ends. */
void journal_run(struct journal *journal, struct run *run);
void journal_flags(struct journal *journal, struct run *run, uint64_t id, uint8_t flags);
void journal_work(struct journal *journal, const struct work_row *row);
void journal_worker(struct journal *journal, const struct worker_row *row);
void journal_worker_gone(struct journal *journal, uint64_t worker);
void journal_applied(struct journal *journal, uint64_t worker, uint64_t applied);
void journal_state(struct journal *journal, uint32_t work, struct lw_slice name,
		   struct lw_slice value); /* work 0: the flow's own; nil removes */
void journal_mark(struct journal *journal, const char *mark, int64_t at);
void journal_pause(struct journal *journal, const struct pause_row *row);

/* The number of the batch that changes are noted in now, and of the latest stable one. */
uint64_t journal_batch(const struct journal *journal);
uint64_t journal_stable(const struct journal *journal);

/* Told when everything noted before is stable. One that waits already must not wait again. */
void journal_wait(struct journal *journal, struct journal_wait *wait);
void journal_cancel(struct journal *journal, struct journal_wait *wait);

/* False while the store cannot be written, or is behind. */
bool journal_takes_runs(const struct journal *journal);
/* False when so much waits to be written that workers are not heard any more until it is: their
 * reports wait with them. */
bool journal_takes_reports(const struct journal *journal);
/* Why it cannot be written, or NULL. */
const char *journal_error(const struct journal *journal);
uint64_t journal_size(const struct journal *journal);  /* bytes of the store */
size_t journal_backlog(const struct journal *journal); /* bytes that wait */
/* Since the start: how often something was written, and rows that were made or changed by it. */
uint64_t journal_transactions(const struct journal *journal);
uint64_t journal_changes(const struct journal *journal);

/* A row of the record. 1, 0: none, or -errno. Slices borrow until the next call. */
LW_MUST_USE int journal_read(struct journal *journal, uint64_t id, struct run_row *ret_row,
			     struct lw_err *err);
LW_MUST_USE int journal_read_form(struct journal *journal, uint64_t id, struct lw_slice *ret_form,
				  struct lw_err *err);

/* Something the thread does after all that was noted before; `done` is told on the loop. */
struct journal_task {
	void (*done)(struct journal_task *task);
	enum { JOURNAL_FIND, JOURNAL_BACKUP } does;
	struct store_search search; /* FIND */
	struct lw_buf rows;         /* FIND: what was found, for run_row_take() */
	char *path;                 /* BACKUP; the task's */
	int result;                 /* or -errno and err */
	struct lw_err err;
	uint64_t batch; /* that comes before it */
	struct journal_task *next;
	bool abandoned; /* journal_abandon(): nobody is told */
};
/* Takes the task over until it is done; then it is the caller's again. */
void journal_ask(struct journal *journal, struct journal_task *task);
/* Nobody wants to know any more: the task is freed, with free(), when it is done. */
void journal_abandon(struct journal *journal, struct journal_task *task);

#endif
