/* journal.c - the journal's interface served in memory: a batch is stable as soon as it is
 * handed over. The runs and states themselves are the record. */
#include "journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "lw_base.h"

struct journal {
	struct loop *loop;
	char store[17];
	uint64_t batch;                        /* open now */
	struct journal_wait *open, **open_end; /* wait for the open batch */
	struct journal_wait *sent;             /* wait for the batch that was handed over */
	struct loop_task commit;
};

/* The turn's batch is handed over, in one step after everything else of the turn; memory
 * answers at once. */
static void journal_commit(struct loop_task *task)
{
	struct journal *journal = LW_OWNER(task, struct journal, commit);
	struct journal_wait *wait;

	journal->sent = journal->open;
	journal->open = NULL;
	journal->open_end = &journal->open;
	journal->batch++;
	/* Waiters may wait again, for the next batch, or cancel another. */
	while ((wait = journal->sent) != NULL) {
		journal->sent = wait->next;
		wait->waiting = false;
		wait->next = NULL;
		wait->done(wait, 0);
	}
}

int journal_open(struct loop *loop, struct journal **ret_journal, struct lw_err *err)
{
	struct journal *journal = LW_NEW(struct journal);
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
		free(journal);
		return lw_err_set(err, -errno, "cannot draw the store's id");
	}
	snprintf(journal->store, sizeof(journal->store), "%016" PRIx64, id);
	journal->loop = loop;
	journal->batch = 1;
	journal->open_end = &journal->open;
	journal->commit.run = journal_commit;
	*ret_journal = journal;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (journal == NULL)
		return;
	loop_cancel(journal->loop, &journal->commit);
	free(journal);
}

const char *journal_store(const struct journal *journal)
{
	return journal->store;
}

uint64_t journal_batch(const struct journal *journal)
{
	return journal->batch;
}

/* In memory a change is kept where it was made; there is nothing more to note. */
void journal_run(struct journal *journal, const struct run *run)
{
	(void)journal;
	(void)run;
}

void journal_forget(struct journal *journal, const struct run *run)
{
	(void)journal;
	(void)run;
}

void journal_state(struct journal *journal, const char *work, struct lw_slice name,
		   struct lw_slice value)
{
	(void)journal;
	(void)work;
	(void)name;
	(void)value;
}

void journal_mark(struct journal *journal, const char *mark, int64_t at)
{
	(void)journal;
	(void)mark;
	(void)at;
}

void journal_wait(struct journal *journal, struct journal_wait *wait)
{
	wait->waiting = true;
	wait->next = NULL;
	*journal->open_end = wait;
	journal->open_end = &wait->next;
	loop_post(journal->loop, LOOP_LATE, &journal->commit);
}

static bool take_out(struct journal_wait **list, struct journal_wait *wait)
{
	for (; *list != NULL; list = &(*list)->next) {
		if (*list == wait) {
			*list = wait->next;
			return true;
		}
	}
	return false;
}

void journal_cancel(struct journal *journal, struct journal_wait *wait)
{
	if (!wait->waiting)
		return;
	wait->waiting = false;
	if (take_out(&journal->sent, wait))
		return;
	take_out(&journal->open, wait);
	journal->open_end = &journal->open;
	while (*journal->open_end != NULL)
		journal->open_end = &(*journal->open_end)->next;
}
