/* lw_logread.h - reads back what works printed: one work or all, the last lines, what is new.
 *
 * Owned by whoever asks: a request of the API (api_logs.c), which takes a step a turn of the loop, and
 * lwctl when no supervisor runs. Lines of several works come in the order of their times.
 *
 * Each file is followed by its inode, so that a rotation while somebody reads loses no line: it goes
 * on in the file that is one newer. Only one that is so far behind that its file was the oldest
 * and has been removed loses the lines between.
 */
#ifndef LW_LOGREAD_H
#define LW_LOGREAD_H

#include "lw_err.h"
#include "lw_logfile.h"

#define LW_LOGREAD_ALL   (-1)
#define LW_LOGREAD_LINES 100                 /* unless it is said how many */
#define LW_LOGREAD_SLICE ((size_t)128 << 10) /* bytes read in a step, roughly */

struct lw_logread_query {
	int64_t lines;      /* the last so many of those that match; LW_LOGREAD_ALL */
	int64_t since;      /* microseconds since 1970; 0: any */
	uint64_t run;       /* 0: any */
	bool out, err;      /* neither or both: any */
	const char *search; /* bytes that the text has; NULL: any. Copied. */
};

struct lw_logread;

/* Whether there is a file of what that work printed. */
bool lw_logread_has(const char *folder, const char *work);

/* `name` is one of lw_logfile_name(), or NULL for all. Nothing is read yet. */
struct lw_logread *lw_logread_new(const char *folder, const char *name,
				  const struct lw_logread_query *query);
void lw_logread_free(struct lw_logread *logread); /* NULL is welcome */
LW_AUTO_DEFINE(struct lw_logread *, lw_logread_free)

/* Hands out lines that match; `work` is NULL for the supervisor's own. */
typedef void lw_logread_line(void *context, const char *work, const struct lw_logfile_line *line);

/* A step. 1: there is more, 0: that is all for now, -errno: lines are missing, and that was the last
 * step. A file of each name stays open, so that many names may take more descriptors than there are. */
LW_MUST_USE int lw_logread_step(struct lw_logread *logread, lw_logread_line *line, void *context,
				struct lw_err *err);

/* Something was written to the file of that name: the next step looks. */
void lw_logread_news(struct lw_logread *logread, const char *name);

#endif
