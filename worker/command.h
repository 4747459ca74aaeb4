/* command.h - lw-worker's insides: one command a run. Used by main.c and the unit tests.
 *
 * command.c        the loop: a run from RUN to RESULT, stop, the rest of the tree
 * command_argv.c   placeholders: a template and a call to argv (pure)
 * command_lines.c  descriptor 3: lines of JSON to state, progress and result
 * command_notify.c the NOTIFY_SOCKET of the command
 * command_stderr.c the command's stderr: passed on, its last lines kept
 */
#ifndef LW_WORKER_COMMAND_H
#define LW_WORKER_COMMAND_H

#include "lw_buf.h"
#include "lw_err.h"
#include "lw_value.h"

#include <sys/types.h>

struct channel;

/* lw-worker -- ARGV...: serves runs until asked to stop; the exit status. Without a
 * supervisor (LW_SOCKET is not set) it says so and returns 2. */
int command_main(char *const *argv);

/* ---- argv ------------------------------------------------------------------------ */

/* Words that end in NUL, one after another; emptied by words_clear(), freed by _done. */
struct words {
	struct lw_buf text;
	struct lw_buf starts; /* size_t each */
	char **argv;          /* made by words_argv() */
	size_t room;
};
void words_clear(struct words *words);
void words_done(struct words *words);
void words_begin(struct words *words);  /* then append to words->text */
void words_end(struct words *words);    /* writes the NUL */
char **words_argv(struct words *words); /* ends in NULL; valid until the next change */

/* Appends the command of one call to `out`. -EINVAL with a sentence that names the
 * placeholder without a value, or the value that cannot be an argument. */
LW_MUST_USE int command_expand(char *const *pattern, struct lw_slice positional,
			       struct lw_slice named, struct words *out, struct lw_err *err);

/* ---- descriptor 3 ------------------------------------------------------------------ */

#define LINES_NAMES_MAX 4096 /* different names set in one run */
#define LINES_NOTES_MAX 20   /* bad lines named in one run */

struct line_value {
	char *name;
	struct lw_buf value;
};

struct lines {
	struct channel *channel; /* NULL in tests: nothing is reported */
	void (*note)(void *context, const char *text);
	void *context;
	uint64_t run;
	struct lw_buf partial;
	bool skipping; /* the rest of a line that is too long */
	struct line_value *values;
	size_t count, room;
	size_t bytes; /* of all values */
	bool has_result;
	struct lw_buf result;
	int64_t progress_at;
	unsigned bad;
	bool ready; /* the command says so */
};
void lines_begin(struct lines *lines, uint64_t run);
void lines_add(struct lines *lines, const char *bytes, size_t size);
void lines_end(struct lines *lines); /* the last line needs no newline */
void lines_result(const struct lines *lines, struct lw_buf *out); /* appends one value */
void lines_done(struct lines *lines);
void lines_ready(struct lines *lines, bool ready);
void lines_unready(
	struct lines *lines); /* its run is over: it says nothing that it did not say before */

/* ---- NOTIFY_SOCKET ------------------------------------------------------------------ */

/* A socket for messages as sd_notify(3) sends them, and "NOTIFY_SOCKET=..." for the environment.
 * -errno; then there is neither. */
LW_MUST_USE int notify_open(char **ret_variable);
/* One message. */
enum notify_said {
	NOTIFY_NONE, /* there is none */
	NOTIFY_OTHER,
	NOTIFY_READY,
	NOTIFY_UNREADY,
	NOTIFY_STRANGER /* by *ret_pid, which does not stem from us */
};
enum notify_said notify_read(int fd, pid_t *ret_pid);

/* ---- stderr -------------------------------------------------------------------------- */

struct stderr_copy {
	int fd;     /* where it goes */
	int own_fd; /* the same, opened by us, or -1 */
	bool socket;
	struct lw_buf waiting; /* what `fd` has not taken */
	size_t at;
	struct lw_buf tail;
};
void stderr_init(struct stderr_copy *copy);
void stderr_done(struct stderr_copy *copy);
void stderr_begin(struct stderr_copy *copy);         /* a new run: no last lines yet */
bool stderr_full(const struct stderr_copy *copy);    /* read no more now */
bool stderr_waiting(const struct stderr_copy *copy); /* poll fd for POLLOUT */
void stderr_add(struct stderr_copy *copy, const void *bytes, size_t size); /* of the command */
void stderr_say(struct stderr_copy *copy, const char *text); /* of lw-worker: a line */
void stderr_flush(struct stderr_copy *copy);
void stderr_last_lines(const struct stderr_copy *copy, struct lw_buf *out); /* clean UTF-8 */

#endif
