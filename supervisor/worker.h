/* worker.h - one supervised child: its process, its channel, its output.
 *
 * Owned by struct work from worker_new() to worker_free(). worker_step() is the only writer of
 * `state`; its table stands in worker_fsm.c. A new process in a worker's place is a new
 * incarnation. Nothing here asks whether the process is our child.
 */
#ifndef LW_SUPERVISOR_WORKER_H
#define LW_SUPERVISOR_WORKER_H

#include <sys/types.h>

#include "journal.h"
#include "loop.h"
#include "lw_frame.h"
#include "lw_err.h"
#include "lw_proto.h"
#include "run.h"

struct work;
struct output;

/* clang-format off */
/*        name          what status says */
#define WORKER_STATES(S)                    \
	S(DOWN,         "down")             \
	S(QUEUED,       "waiting to start") \
	S(STARTING,     "starting")         \
	S(IDLE,         "idle")             \
	S(BUSY,         "busy")             \
	S(DISCONNECTED, "disconnected")     \
	S(FOUND,        "found on record")  \
	S(STOPPING,     "stopping")         \
	S(ENDING,       "ending its tree")  \
	S(BACKOFF,      "waiting to restart") \
	S(FAILED,       "failed")
/* clang-format on */
#define WORKER_STATE_ENUM(NAME, text) WORKER_##NAME,
enum worker_state { WORKER_STATES(WORKER_STATE_ENUM) WORKER_STATES_N };
#undef WORKER_STATE_ENUM
const char *worker_state_text(enum worker_state state);

/* Whether what a process offers can be used. */
enum readiness { READY_UNSAID, READY_NO, READY_YES };

struct worker; /* fields live in worker_private.h */

/* What status shows of a worker. Text borrows until the next turn. */
struct worker_info {
	uint64_t id;
	uint64_t incarnation;
	enum worker_state state;
	pid_t pid;              /* 0: no process */
	int64_t since;          /* of the state, microseconds since 1970 */
	int64_t next_try;       /* BACKOFF: microseconds from now; else -1 */
	uint64_t starts;        /* processes started so far */
	const char *last_death; /* "exit status 1", "signal 9 (KILL)", or NULL */
	const char *error;      /* what keeps it from starting, or was wrong on its channel */
	size_t sent;            /* runs in its hands */
	bool stuck;             /* what is to end cannot be killed; `error` names it */
};

struct worker *worker_new(struct work *work, uint64_t id, uint32_t slot); /* in the pool */
struct work *worker_work(const struct worker *worker);
uint64_t worker_incarnation(const struct worker *worker);

/* Adoption: the worker as its row in the journal says; the runs that it was sent, in the order of
 * their ranks (with a reference each); and then a look whether the process is still there. */
void worker_restore(struct worker *worker, const struct worker_row *row);
void worker_restore_run(struct worker *worker, struct run *run);
void worker_adopt(struct worker *worker);
/* A process with this worker's mark was seen: it was, or is to be ended as, that incarnation. */
void worker_seen(struct worker *worker, uint64_t incarnation);
void worker_free(struct worker *worker); /* NULL is welcome; the process is gone or left alone */

void worker_start(struct worker *worker); /* no effect unless DOWN, FAILED or BACKOFF */
/* Asks the tree to end (stop_signal, then KILL after stop_timeout; `at_once`: KILL now);
 * work_on_gone() answers. */
void worker_stop(struct worker *worker, bool at_once);
struct launch_place;
void worker_launch(struct launch_place *place); /* its start's turn has come (launch.h) */
void worker_start_later(struct worker *worker, int64_t in_us); /* DOWN to BACKOFF */
void worker_give_up(struct worker *worker);                    /* DOWN to FAILED */

/* How the last process ended; for the decision what comes next. */
struct worker_death {
	bool asked;      /* its end was asked for */
	bool badly;      /* anything but exit status 0 */
	bool hello;      /* it had dialled in */
	bool timed_out;  /* it had not, within start_timeout */
	uint32_t streak; /* such deaths in a row, soon after the start and without a success */
};
struct worker_death worker_death(const struct worker *worker);
/* To the program, or to the command that it runs now. False: there is none. */
bool worker_signal(struct worker *worker, int number);
/* Asks for the run to be given back unless it has begun. */
void worker_withdraw(struct worker *worker, struct run *run);
enum worker_state worker_state(const struct worker *worker);
size_t worker_room(const struct worker *worker);          /* how many runs it takes now */
void worker_give(struct worker *worker, struct run *run); /* takes the run out of its list */
void worker_set(struct worker *worker, const char *name, struct lw_slice value);
/* The journal takes reports, or runs, again. */
void worker_on_journal(struct worker *worker);
bool worker_has_process(const struct worker *worker);
/* A program is ready when it has dialled in, unless it says something else; a command when it says
 * so, until it ends. READY_UNSAID: a command, which said nothing. */
enum readiness worker_readiness(const struct worker *worker);
const struct run_list *worker_runs(const struct worker *worker);

/* A process that dialled in with a HELLO of this worker's id. 0 and the connection is the
 * worker's, or -EPERM and the reason it is refused. */
LW_MUST_USE int worker_dialled(struct worker *worker, int fd, struct lw_frames *frames,
			       const struct lw_msg_hello *hello, struct lw_err *err);
/* Its process ended, as pidfd or SIGCHLD say; either may be first. */
void worker_exited(struct worker *worker);
/* The run that its process executes, as far as we know; or NULL. */
struct run *worker_in_hand(const struct worker *worker);
/* What its process runs as. */
uid_t worker_uid(const struct worker *worker);
struct worker_info worker_info(const struct worker *worker);

#endif
