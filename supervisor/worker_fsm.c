/* worker_fsm.c - a child's life is a table: the only writer of worker->state. */
#include "lw_log.h"
#include "work.h"
#include "app.h"
#include "worker_private.h"

/* clang-format off */
/*        in            on       goes to       and does */
#define WORKER_MOVES(M)                                           \
	M(DOWN,         START,   QUEUED,       ask_launch)        \
	M(DOWN,         WAIT,    BACKOFF,      nothing)           \
	M(DOWN,         GIVE_UP, FAILED,       fail)              \
	M(DOWN,         STOP,    DOWN,         nothing)           \
	M(DOWN,         RESTORE, FOUND,        nothing)           \
	M(FOUND,        STOP,    FOUND,        nothing)           \
	M(FOUND,        ALIVE,   DISCONNECTED, adopt)             \
	M(FOUND,        EXIT,    ENDING,       end_tree)          \
	M(FAILED,       START,   QUEUED,       ask_launch)        \
	M(FAILED,       STOP,    DOWN,         forget_try)        \
	M(BACKOFF,      START,   QUEUED,       ask_launch)        \
	M(BACKOFF,      TIMEOUT, QUEUED,       ask_launch)        \
	M(BACKOFF,      STOP,    DOWN,         forget_try)        \
	M(QUEUED,       LAUNCH,  STARTING,     spawn)             \
	M(QUEUED,       STOP,    DOWN,         leave_queue)       \
	M(STARTING,     REFUSED, DOWN,         not_spawned)       \
	M(STARTING,     HELLO,   IDLE,         welcome)           \
	M(STARTING,     STOP,    STOPPING,     ask_to_stop)       \
	M(STARTING,     TIMEOUT, STOPPING,     too_slow)          \
	M(STARTING,     EXIT,    ENDING,       end_tree)          \
	M(IDLE,         GIVE,    BUSY,         begin)             \
	M(IDLE,         HANGUP,  DISCONNECTED, await_dial)        \
	M(IDLE,         STOP,    STOPPING,     ask_to_stop)       \
	M(IDLE,         EXIT,    ENDING,       end_tree)          \
	M(BUSY,         GIVE,    BUSY,         begin)             \
	M(BUSY,         EMPTY,   IDLE,         rest)              \
	M(BUSY,         HANGUP,  DISCONNECTED, await_dial)        \
	M(BUSY,         STOP,    STOPPING,     ask_to_stop)       \
	M(BUSY,         EXIT,    ENDING,       end_tree)          \
	M(DISCONNECTED, HELLO,   IDLE,         welcome)           \
	M(DISCONNECTED, STOP,    STOPPING,     ask_to_stop)       \
	M(DISCONNECTED, TIMEOUT, STOPPING,     too_slow)          \
	M(DISCONNECTED, EXIT,    ENDING,       end_tree)          \
	M(STOPPING,     STOP,    STOPPING,     hurry)             \
	M(STOPPING,     TIMEOUT, STOPPING,     kill)              \
	M(STOPPING,     HELLO,   STOPPING,     welcome_stopping)      \
	M(STOPPING,     EMPTY,   STOPPING,     nothing)           \
	M(STOPPING,     GIVE,    STOPPING,     nothing)           \
	M(STOPPING,     HANGUP,  STOPPING,     nothing)           \
	M(STOPPING,     EXIT,    ENDING,       end_tree)          \
	M(ENDING,       TIMEOUT, ENDING,       sweep)             \
	M(ENDING,       STOP,    ENDING,       nothing)           \
	M(ENDING,       EMPTY,   ENDING,       nothing)           \
	M(ENDING,       GIVE,    ENDING,       nothing)           \
	M(ENDING,       HANGUP,  ENDING,       nothing)           \
	M(ENDING,       GONE,    DOWN,         gone)
/* clang-format on */

static const struct move {
	enum worker_state to;
	int (*act)(struct worker *worker);
} table[WORKER_STATES_N][WORKER_EVENTS_N] = {
#define CELL(in, on, to, act) [WORKER_##in][WORKER_ON_##on] = { WORKER_##to, act_##act },
	WORKER_MOVES(CELL)
#undef CELL
};

const char *worker_state_text(enum worker_state state)
{
#define TEXT(NAME, text) [WORKER_##NAME] = (text),
	static const char *const texts[] = { WORKER_STATES(TEXT) };
#undef TEXT

	return texts[state];
}

const char *worker_event_name(enum worker_event event)
{
#define NAME(NAME) [WORKER_ON_##NAME] = #NAME,
	static const char *const names[] = { WORKER_EVENTS(NAME) };
#undef NAME

	return names[event];
}

int worker_step(struct worker *worker, enum worker_event event)
{
	const struct move *move = &table[worker->state][event];

	if (move->act == NULL) {
		lw_log(LW_LOG_WARNING, "work=%s worker=%llu state=\"%s\" unexpected=%s",
		       worker->work->config->name, (unsigned long long)worker->id,
		       worker_state_text(worker->state), worker_event_name(event));
		return 0;
	}
	if (move->to != worker->state) {
		if (lw_log_on(LW_LOG_DEBUG))
			lw_log(LW_LOG_DEBUG,
			       "work=%s worker=%llu pid=%d from=\"%s\" on=%s to=\"%s\"",
			       worker->work->config->name, (unsigned long long)worker->id,
			       (int)worker->pid, worker_state_text(worker->state),
			       worker_event_name(event), worker_state_text(move->to));
		loop_timer_stop(&worker->timer);
		worker->since = loop_wall(worker->app->loop);
		worker->state = move->to; /* first: an action may post the next event */
		work_changed(worker->work);
	}
	return move->act(worker);
}

static const struct row {
	enum worker_state in;
	enum worker_event on;
	const char *does;
} rows[] = {
#define ROW(in, on, to, act) { WORKER_##in, WORKER_ON_##on, #act },
	WORKER_MOVES(ROW)
#undef ROW
};

void worker_moves_print(struct lw_buf *out)
{
	for (size_t i = 0; i < LW_COUNT(rows); i++)
		lw_buf_printf(out, "%-20s %-8s %-20s %s\n", worker_state_text(rows[i].in),
			      worker_event_name(rows[i].on),
			      worker_state_text(table[rows[i].in][rows[i].on].to), rows[i].does);
}
