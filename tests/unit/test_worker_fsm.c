/* links: lw_supervisor
 * test_worker_fsm.c - a child's life: every state with every event, and its page. */
#include "lw_log.h"
#include "on_record.h"

static struct work *work;

static void set_up(void)
{
	open_loop();
	open_quiet_app(config_new());
	work = add_work(settings("w"));
}

static void tear_down(void)
{
	close_app();
	close_loop();
}

TestSuite(worker_fsm, .init = set_up, .fini = tear_down);

static bool has_row(const char *moves, enum worker_state state, enum worker_event event)
{
	char start[64];

	snprintf(start, sizeof(start), "%-20s %-8s ", worker_state_text(state),
		 worker_event_name(event));
	return strstr(moves, start) != NULL;
}

Test(worker_fsm, an_event_that_a_state_does_not_expect_changes_nothing)
{
	struct worker *worker = work->workers[0];
	LW_AUTO_BUF moves = { 0 };
	int unexpected = 0;

	lw_log_set_level(LW_LOG_ERROR);
	worker_moves_print(&moves);
	lw_buf_text(&moves);
	for (int state = 0; state < WORKER_STATES_N; state++) {
		for (int event = 0; event < WORKER_EVENTS_N; event++) {
			if (has_row((char *)moves.data, (enum worker_state)state,
				    (enum worker_event)event))
				continue;
			worker->state = (enum worker_state)state;
			cr_expect_eq(worker_step(worker, (enum worker_event)event), 0);
			cr_expect_eq((int)worker->state, state);
			unexpected++;
		}
	}
	worker->state = WORKER_DOWN;
	cr_expect_gt(unexpected, 30);
}

/* Whatever happens, the end of the process is noticed and a stop is possible. */
Test(worker_fsm, every_state_with_a_process_hears_of_its_end_and_of_a_stop)
{
	static const enum worker_state living[] = { WORKER_STARTING, WORKER_IDLE,
						    WORKER_BUSY,     WORKER_DISCONNECTED,
						    WORKER_FOUND,    WORKER_STOPPING };
	LW_AUTO_BUF moves = { 0 };

	worker_moves_print(&moves);
	lw_buf_text(&moves);
	for (size_t i = 0; i < LW_COUNT(living); i++) {
		cr_expect(has_row((char *)moves.data, living[i], WORKER_ON_EXIT), "%s",
			  worker_state_text(living[i]));
		cr_expect(has_row((char *)moves.data, living[i], WORKER_ON_STOP), "%s",
			  worker_state_text(living[i]));
	}
}

Test(worker_fsm, a_worker_that_waits_to_restart_says_when)
{
	struct worker *worker = work->workers[0];
	struct worker_info info;

	worker_start_later(worker, 5000000);
	info = worker_info(worker);
	cr_expect_eq(info.state, WORKER_BACKOFF);
	cr_expect(info.next_try > 4000000 && info.next_try <= 5000000);
	cr_expect_not(worker_has_process(worker));
}

Test(worker_fsm, the_page_shows_the_table)
{
	LW_AUTO_BUF moves = { 0 }, page = { 0 };
	FILE *file = fopen(LW_SOURCE "/ARCHITECTURE.md", "r");
	char line[1000];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		lw_buf_printf(&page, "%s", line);
	fclose(file);
	worker_moves_print(&moves);
	cr_expect_not_null(strstr(lw_buf_text(&page), lw_buf_text(&moves)),
			   "ARCHITECTURE.md should show:\n%s", (char *)moves.data);
}
