/* rig.h - what an end-to-end test stands on: the real programs in a fresh folder.
 *
 * A driver (tests/e2e) is a C program with TEST()s; ctest runs each in a process of its own,
 * so the rig has one state and nothing to pass around. Everything the rig returns belongs
 * to it until the test ends. A check that fails prints where, and what every process
 * said so far, and ends the test; whatever happens, nothing we started outlives us.
 *
 * Nothing here sleeps: what is waited for is an event or a condition with a deadline
 * (20 s; LW_RIG_SECONDS changes it).
 */
#ifndef LW_RIG_H
#define LW_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "lw_base.h"

/* ---- tests ----------------------------------------------------------------------- */

#define TEST(name)                                                                                 \
	static void name(void);                                                                    \
	__attribute__((constructor)) static void name##_joins(void)                                \
	{                                                                                          \
		rig_test_add(#name, name);                                                         \
	}                                                                                          \
	static void name(void)

/* The rig brings main(): DRIVER --list, DRIVER NAME, or DRIVER for every test. */
void rig_test_add(const char *name, void (*test)(void));

LW_NORETURN void rig_fail(const char *file, int line, const char *format, ...) LW_PRINTF(3, 4);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			rig_fail(__FILE__, __LINE__, "does not hold: %s", #condition);             \
	} while (0)

#define CHECK_INT(is, wanted)                                                                      \
	do {                                                                                       \
		long long is_ = (long long)(is), wanted_ = (long long)(wanted);                    \
		if (is_ != wanted_)                                                                \
			rig_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #is, is_, wanted_);   \
	} while (0)

#define CHECK_TEXT(is, wanted)                                                                     \
	do {                                                                                       \
		const char *is_ = (is), *wanted_ = (wanted);                                       \
		if (is_ == NULL || strcmp(is_, wanted_) != 0)                                      \
			rig_fail(__FILE__, __LINE__, "%s is\n%s\nnot\n%s", #is,                    \
				 is_ == NULL ? "(nothing)" : is_, wanted_);                        \
	} while (0)

#define CHECK_HAS(text, part)                                                                      \
	do {                                                                                       \
		const char *text_ = (text), *part_ = (part);                                       \
		if (text_ == NULL || strstr(text_, part_) == NULL)                                 \
			rig_fail(__FILE__, __LINE__, "%s is\n%s\nwithout '%s'", #text,             \
				 text_ == NULL ? "(nothing)" : text_, part_);                      \
	} while (0)

/* Waits until the condition holds; it is asked again whenever something happened, and at
 * least every 20 ms. */
#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		double until_ = rig_deadline();                                                    \
		while (!(condition)) {                                                             \
			if (!rig_pump(until_))                                                     \
				rig_fail(__FILE__, __LINE__, "never held: %s", #condition);        \
		}                                                                                  \
	} while (0)

/* That many lines with `part`. What a work printed may arrive behind what the API says of it. */
#define CHECK_LINES(proc, stream, part, wanted)                                                    \
	do {                                                                                       \
		size_t lines_ = (size_t)(wanted);                                                  \
		AWAIT(rig_count(proc, stream, part) >= lines_);                                    \
		CHECK_INT(rig_count(proc, stream, part), lines_);                                  \
	} while (0)

double rig_now(void);        /* monotonic seconds */
double rig_deadline(void);   /* now and the patience of this run */
bool rig_pump(double until); /* lets processes speak for a moment; false: it is too late */

/* ---- the folder ------------------------------------------------------------------ */

const char *rig_folder(void); /* fresh, private, removed at the end; the working directory of
                                 what is started */
const char *rig_path(const char *name);
void rig_write(const char *name, const char *text);
const char *rig_read(const char *name); /* the text of a file, or NULL */
void rig_example(const char *name);     /* copies the files of examples/<name> */
const char *rig_format(const char *format, ...) LW_PRINTF(1, 2);

/* A gate is a FIFO of which a work reads a byte to be let through. */
void rig_gate(const char *name);
void rig_open_gate(const char *name, size_t times);

/* The wall clock of the supervisors that are started from now on shows this local time, standing
 * still until rig_set_time(), which all of them see at once. */
void rig_fake_time(const char *time); /* "2026-11-23 12:00:00" */
void rig_set_time(const char *time);

/* ---- processes ------------------------------------------------------------------- */

struct rig_proc;

struct rig_proc *rig_spawn(const char *file, ...) __attribute__((sentinel));
struct rig_proc *rig_spawnv(char *const *argv);

/* lw-supervisor with app.conf (written unless `conf` is NULL) and further arguments; up waits
 * until it says that the app has started. */
struct rig_proc *rig_supervisor(const char *conf, ...) __attribute__((sentinel));
struct rig_proc *rig_up(const char *conf, ...) __attribute__((sentinel));

/* Asks with TERM; exit status 0 and no process left behind. */
void rig_down(struct rig_proc *proc);

enum rig_stream { RIG_OUT, RIG_ERR };

pid_t rig_pid(const struct rig_proc *proc);
void rig_signal(const struct rig_proc *proc, int signal);
int rig_exit(struct rig_proc *proc);             /* waits; the status, or -signal */
bool rig_is_over(const struct rig_proc *proc);   /* has ended and was reaped */
void rig_hold(struct rig_proc *proc, bool hold); /* hold: nobody reads its output */
const char *rig_text(struct rig_proc *proc, enum rig_stream stream); /* all so far */
/* How many whole lines have `part`. */
size_t rig_count(struct rig_proc *proc, enum rig_stream stream, const char *part);
/* Waits for a line that has `part`, behind the line that was waited for before. */
const char *rig_line(struct rig_proc *proc, enum rig_stream stream, const char *part);

bool rig_pid_lives(pid_t pid); /* exists and is no zombie */
size_t rig_children(void);     /* processes below us that live; we are their sub-reaper */

/* ---- lwctl and the API ------------------------------------------------------------ */

struct rig_answer {
	int status; /* exit status of lwctl, or of HTTP */
	const char *out;
	const char *err;
	json_t *json; /* of out, or NULL */
};

struct rig_answer rig_ctl(const char *verb, ...) __attribute__((sentinel));
struct rig_answer rig_http(const char *method, const char *path, const char *body);
json_t *rig_json(const char *text); /* NULL: it is none */
int rig_dial(const char *socket);   /* a Unix stream socket; fails the test when refused */

json_t *rig_status(void);           /* GET /api/v1/status */
json_t *rig_work(const char *name); /* GET /api/v1/works/NAME */
/* lwctl run WORK JSON --wait --json, which must have been taken; the run. */
json_t *rig_run(const char *work, const char *arguments);

/* "processes.0.state" of that. A missing member is NULL, "" and -1. */
json_t *rig_at(json_t *json, const char *path);
/* Of `GET status?brief=1`: what stands in a row below a name; NULL: nothing. */
json_t *rig_cell(json_t *answer, size_t row, const char *column);
const char *rig_string(json_t *json, const char *path);
double rig_number(json_t *json, const char *path);
bool rig_is(json_t *json, const char *path, const char *text); /* that text */
bool rig_true(json_t *json, const char *path);

/* ---- what goes wrong (faults.h) and what is on record ---------------------------------- */

/* What is started from now on is faulty: "lw-supervisor before send RUN 1 die". It happens once,
 * to whoever is first; "" as the fault only counts calls of lw-supervisor. */
void rig_fault(const char *format, ...) LW_PRINTF(1, 2);
void rig_no_fault(void); /* from now on */
bool rig_fault_happened(void);
/* How many calls of a kind (FAULT_...) the program has made since rig_fault(). */
uint64_t rig_fault_calls(unsigned call);

/* Runs SQL on journal.db, of which no supervisor is in charge; the first number of the first row,
 * or 0. */
int64_t rig_record(const char *sql);

/* One case of many, in a process of its own; false: it failed, and has said why. */
bool rig_apart(void (*test)(void *context), void *context);

/* Ends all processes and removes the folder, for the next case of a test that has several. What
 * the rig returned before is gone. */
void rig_anew(void);

/* A value of the environment that the first process of a work was started with. */
const char *rig_worker_env(const char *work, const char *name);

#endif
