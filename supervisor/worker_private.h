/* worker_private.h - the fields of a worker and its events; for worker*.c alone. */
#ifndef LW_SUPERVISOR_WORKER_PRIVATE_H
#define LW_SUPERVISOR_WORKER_PRIVATE_H

#include "lw_frame.h"
#include "lw_process.h"
#include "lw_tree.h"
#include "launch.h"
#include "logs.h"
#include "reap.h"
#include "usage.h"
#include "worker.h"

#define WORKER_TOKEN 32      /* hex digits */
#define REDIAL_GRACE 5000000 /* us a living process may be without its channel */

/* clang-format off */
#define WORKER_EVENTS(E) \
	E(START)   /* a process is wanted */ \
	E(LAUNCH)  /* its turn has come */ \
	E(REFUSED) /* it could not be spawned */ \
	E(HELLO)   /* it dialled in and was welcomed */ \
	E(GIVE)    /* it has a run in hand */ \
	E(EMPTY)   /* it has none any more */ \
	E(HANGUP)  /* its channel is closed, it lives */ \
	E(STOP)    /* it is to end */ \
	E(TIMEOUT) /* the timer of the state ran out */ \
	E(EXIT)    /* its process ended */ \
	E(RESTORE) /* an earlier supervisor had a process */ \
	E(ALIVE)   /* it is still there */ \
	E(GONE)    /* and nothing of its tree is left */ \
	E(WAIT)    /* a process is wanted later */ \
	E(GIVE_UP) /* no process is wanted any more: too many failed */
/* clang-format on */
#define WORKER_EVENT_ENUM(NAME) WORKER_ON_##NAME,
enum worker_event { WORKER_EVENTS(WORKER_EVENT_ENUM) WORKER_EVENTS_N };
#undef WORKER_EVENT_ENUM

struct worker {
	struct work *work;
	struct app *app;
	uint64_t id;
	uint32_t slot; /* in the work's pool */
	enum worker_state state;
	int64_t since; /* of the state */

	/* the process */
	struct launch_place place; /* in the queue of starts */
	uint64_t incarnation;
	uint64_t starts;
	pid_t pid; /* 0: none, or ended */
	int pidfd; /* -1: none */
	struct lw_process_name name;
	bool adopted; /* it was started by an earlier supervisor: no child of ours */
	bool dialled; /* this supervisor has heard of it */
	struct loop_timer status_timer; /* adopted: until its exit status can be known */
	unsigned status_tries;
	struct event *exit_event;
	struct lw_tree tree;
	int group;          /* folder of its cgroup; -1: none, its tree is searched for */
	struct usage usage; /* of this process and its descendants */
	char mark[80];
	char token[WORKER_TOKEN + 1];
	struct output *output;
	char *last_death;
	bool died_badly;      /* the last death was no exit with status 0 */
	bool said_hello;      /* this incarnation did */
	enum readiness ready; /* what it said of itself */
	bool succeeded;       /* and a run of it did */
	uint32_t streak;      /* see worker_death */
	bool timed_out;       /* start_timeout ended this incarnation */
	int64_t next_try_at;  /* BACKOFF; monotonic */
	int64_t hello_at;     /* monotonic, as ended_at */
	int64_t ended_at;
	bool asked;                   /* its end was asked for */
	struct journal_wait recorded; /* before it is told */
	bool kill_at_once;
	unsigned kills; /* KILLs sent to this incarnation */
	bool stuck;     /* it, or some of its tree, cannot be killed; `error` names one */
	int64_t end_by; /* ENDING: when TERM turns into KILL; monotonic */
	char *error;    /* see worker_info */

	/* the channel */
	int fd; /* -1: none */
	struct event *read_event, *write_event;
	struct lw_frames frames;
	struct lw_buf out;
	size_t out_ready;   /* bytes of out whose batch is stable */
	uint64_t out_batch; /* batch that the wait below is for */
	size_t out_mark;    /* bytes of out that it covers */
	struct journal_wait commit;
	uint64_t window;
	uint64_t applied;   /* last sequence taken over */
	uint64_t resend_at; /* reports still to come after a new dial, before runs are sent again */
	bool resend_due;
	uint64_t in_hand; /* the run it had when it dialled, 0: none */
	bool ack_due;
	bool unheard; /* nobody reads: the journal takes no more reports */

	/* the runs it was given, the first one is in hand */
	struct run_list runs;
	struct run_list answered;    /* reported while being ended: settled when the tree is gone */
	struct loop_timer timer;     /* of the state */
	struct loop_timer run_timer; /* timeout of the run in hand */
	bool run_timer_due;          /* it is armed when the run has left */
};

int worker_step(struct worker *worker, enum worker_event event);
const char *worker_event_name(enum worker_event event);
/* The table as text, a row a line: what ARCHITECTURE.md shows. */
void worker_moves_print(struct lw_buf *out);

/* Actions of the table in worker_fsm.c. */
#define WORKER_ACTION(name) int act_##name(struct worker *worker)
WORKER_ACTION(ask_launch);
WORKER_ACTION(leave_queue);
WORKER_ACTION(spawn);
WORKER_ACTION(not_spawned);
WORKER_ACTION(welcome);
WORKER_ACTION(welcome_stopping);
WORKER_ACTION(begin);
WORKER_ACTION(rest);
WORKER_ACTION(await_dial);
WORKER_ACTION(ask_to_stop);
WORKER_ACTION(too_slow);
WORKER_ACTION(kill);
WORKER_ACTION(hurry);
WORKER_ACTION(end_tree);
WORKER_ACTION(sweep);
WORKER_ACTION(gone);
WORKER_ACTION(nothing);
WORKER_ACTION(forget_try);
WORKER_ACTION(fail);
WORKER_ACTION(adopt);

/* worker_tree.c */
/* A cgroup for the process that is to be spawned; *ret_entry: what it writes itself in with, or -1. */
void worker_tree_begin(struct worker *worker, int *ret_entry);
void worker_tree_adopt(struct worker *worker); /* the cgroup that it has already */
/* False: nothing can be left of it, without a search. */
bool worker_tree_may_live(struct worker *worker);
/* A signal (0: none) to all that is left; returns how many there were. */
size_t worker_tree_signal(struct worker *worker, int signal);
void worker_tree_name_survivors(struct worker *worker);
void worker_tree_done(struct worker *worker); /* nothing is left, or it is left alone */

/* worker.c */
LW_MUST_USE int worker_open_output(struct worker *worker, struct lw_err *err); /* unless it is */
void worker_forget_process(struct worker *worker); /* its status was fetched */
void worker_on_status_timer(struct loop_timer *timer);
void worker_watch_exit(struct worker *worker);
void worker_arm_run_timer(struct worker *worker, int64_t since);
void worker_set_mark(struct worker *worker);
void worker_record(struct worker *worker); /* its row of the journal */

/* worker_channel.c */
void worker_channel_take(struct worker *worker, int fd, struct lw_frames *frames,
			 const struct lw_msg_hello *hello);
void worker_channel_close(struct worker *worker);
void worker_channel_read(struct worker *worker);
void worker_send(struct worker *worker, const struct lw_msg *msg);
void worker_send_now(struct worker *worker, const struct lw_msg *msg);

void worker_note(struct worker *worker, const char *format, ...) LW_PRINTF(2, 3);

#endif
