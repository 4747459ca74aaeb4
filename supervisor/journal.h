/* journal.h - what must not be lost, and when it is safe to speak of it.
 *
 * Changes are noted while a turn goes on, handed over as one batch in LOOP_LATE, and stable when
 * the journal answers. What others may see (a run that is sent, a result acknowledged, an
 * answer to an operator) leaves only then: its owner hands in a journal_wait after noting the
 * change. This implementation keeps nothing beyond the memory the runs and states live in and
 * answers through the loop.
 */
#ifndef LW_SUPERVISOR_JOURNAL_H
#define LW_SUPERVISOR_JOURNAL_H

#include "loop.h"
#include "lw_err.h"
#include "run.h"

struct journal;

struct journal_wait {
	void (*done)(struct journal_wait *wait, int r); /* r: 0, or -errno: not stable */
	struct journal_wait *next;
	bool waiting;
};

LW_MUST_USE int journal_open(struct loop *loop, struct journal **ret_journal, struct lw_err *err);
void journal_close(struct journal *journal);
const char *journal_store(const struct journal *journal); /* the store's id, hex */

/* Note a change; the journal copies what it needs before this returns. */
void journal_run(struct journal *journal, const struct run *run);
void journal_forget(struct journal *journal, const struct run *run);
void journal_state(struct journal *journal, const char *work, struct lw_slice name,
		   struct lw_slice value); /* work NULL: the flow's own */
void journal_mark(struct journal *journal, const char *mark, int64_t at);

/* The number of the batch that changes are noted in now. */
uint64_t journal_batch(const struct journal *journal);

/* Told when everything noted before is stable. One that waits already must not wait again. */
void journal_wait(struct journal *journal, struct journal_wait *wait);
void journal_cancel(struct journal *journal, struct journal_wait *wait);

#endif
