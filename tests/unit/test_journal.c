/* links: lw_supervisor
 * test_journal.c - nothing is spoken of before its batch is stable. */
#include <criterion/criterion.h>
#include <string.h>

#include "journal.h"

static struct loop *loop;
static struct journal *journal;
static char trace[32];

struct waiter {
	struct journal_wait wait;
	char letter;
	struct waiter *then;    /* waits when this one is told */
	struct waiter *cancels; /* is cancelled when this one is told */
};

static void note(char letter)
{
	size_t n = strlen(trace);

	cr_assert_lt(n, sizeof(trace) - 1);
	trace[n] = letter;
}

static void on_stable(struct journal_wait *wait, int r)
{
	struct waiter *waiter = LW_OWNER(wait, struct waiter, wait);

	cr_assert_eq(r, 0);
	cr_assert_not(wait->waiting, "one that is told may wait again");
	note(waiter->letter);
	if (waiter->cancels != NULL)
		journal_cancel(journal, &waiter->cancels->wait);
	if (waiter->then != NULL)
		journal_wait(journal, &waiter->then->wait);
}

static struct waiter waiter_of(char letter)
{
	return (struct waiter){ .wait = { .done = on_stable }, .letter = letter };
}

static void leave(struct loop_task *task)
{
	(void)task;
	loop_exit(loop);
}

static void one_turn(void)
{
	struct loop_task task = { .run = leave };

	loop_post(loop, LOOP_IO, &task);
	loop_run(loop);
}

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop, NULL), 0);
	cr_assert_eq(journal_open(loop, &journal, NULL), 0);
}

static void tear_down(void)
{
	journal_close(journal);
	loop_free(loop);
}

TestSuite(journal, .init = set_up, .fini = tear_down);

Test(journal, waiters_are_told_at_the_end_of_the_turn_and_in_order)
{
	struct waiter a = waiter_of('a'), b = waiter_of('b');
	uint64_t batch = journal_batch(journal);

	journal_wait(journal, &a.wait);
	journal_wait(journal, &b.wait);
	cr_assert_str_eq(trace, "", "not before the batch is handed over");
	cr_assert(a.wait.waiting);
	one_turn();
	cr_assert_str_eq(trace, "ab");
	cr_assert_eq(journal_batch(journal), batch + 1);
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

Test(journal, every_store_has_a_name_of_its_own)
{
	struct journal *other;

	cr_assert_eq(journal_open(loop, &other, NULL), 0);
	cr_assert_eq(strlen(journal_store(journal)), 16);
	cr_assert_str_neq(journal_store(journal), journal_store(other));
	journal_close(other);
}
