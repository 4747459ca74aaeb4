/* lw_err.h - an error: a code and one sentence.
 *
 * Functions return 0 or more on success and -errno on failure. The sentence is
 * written where the facts are, for a person: what failed, the subject in quotes,
 * no capital, no full stop. Modules return; whoever decides what happens next
 * logs, once. Owned by the caller, usually on its stack.
 */
#ifndef LW_ERR_H
#define LW_ERR_H

#include "lw_base.h"

struct lw_err {
	int code; /* -errno, 0 while nothing failed */
	char text[500];
};

/* Writes the sentence and returns `code`. A NULL err is welcome. */
int lw_err_set(struct lw_err *err, int code, const char *format, ...) LW_PRINTF(3, 4);

/* The same with ": " and the text of -code appended: "cannot open 'x': No such file...". */
int lw_err_sys(struct lw_err *err, int code, const char *format, ...) LW_PRINTF(3, 4);

/* Puts "prefix: " before the sentence that is there already; returns err->code. */
int lw_err_within(struct lw_err *err, const char *format, ...) LW_PRINTF(2, 3);

#endif
