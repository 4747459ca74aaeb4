/* lw_logfile.h - the files that keep what works print: their names, and a line of them.
 *
 * Below <state dir>/logs lie NAME.log, which grows, and NAME.log.1, NAME.log.2 ..., which are older.
 * NAME is that of the work, so that no two works share one; what the flow prints and the
 * supervisor's own log are in @lw.log. A line:
 *
 *     2026-11-25T23:56:01.123456Z PID RUN out|err TEXT
 *
 * PID and RUN are '-' where there is none; "out+" and "err+": the line was too long for one piece and
 * goes on in the next of that process. TEXT is what was printed, byte by byte.
 *
 * The supervisor writes them (log_files.h); lw_logread.h reads them back.
 */
#ifndef LW_LOGFILE_H
#define LW_LOGFILE_H

#include <sys/types.h>

#include "lw_base.h"
#include "lw_buf.h"

#define LW_LOGFILE_FOLDER "logs"
#define LW_LOGFILE_OWN    "@lw" /* no work's: '@' is written otherwise in theirs */

/* NAME of a work, caller frees. Bytes outside [A-Za-z0-9_.-] are "%XX"; of a name that would become
 * too long for a file a beginning and, behind '~', a hash is left. */
char *lw_logfile_name(const char *work);
/* The colour of a name on a terminal, the same in every run and in every program: an SGR code. */
unsigned lw_logfile_colour(const char *work);

/* The work of such a NAME, caller frees; NULL: of the supervisor itself. */
char *lw_logfile_work(const char *name);

/* "NAME.log" is 0, "NAME.log.3" is 3; -1: no such file. *ret_size: of NAME. */
int lw_logfile_age(const char *file, size_t *ret_size);
void lw_logfile_path(const char *folder, const char *name, unsigned age, char *path, size_t room);

struct lw_logfile_line {
	int64_t at;   /* microseconds since 1970 */
	pid_t pid;    /* 0: none */
	uint64_t run; /* 0: none */
	bool err;     /* standard error */
	bool more;    /* it goes on in the next */
	struct lw_slice text;
};

/* What stands before the text; how many bytes. */
#define LW_LOGFILE_HEAD_MAX 96
size_t lw_logfile_head(const struct lw_logfile_line *line, char head[LW_LOGFILE_HEAD_MAX]);

/* A line without its newline. False: it is no such line; nor is one from before 1970. The text
 * borrows. */
bool lw_logfile_parse(struct lw_slice bytes, struct lw_logfile_line *ret_line);

/* {"at":1764.123456,"work":"w",...} and a newline: what API and lwctl --json give out. `work` NULL:
 * the supervisor's file. Text that is no UTF-8 has '?' for each byte that is none. */
void lw_logfile_print_json(const char *work, const struct lw_logfile_line *line,
			   struct lw_buf *out);

#endif
