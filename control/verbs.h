/* verbs.h - do_VERB() for each verb that asks the supervisor (lw_requests.h); several verbs may share
 * one. Called by command.c, when options and number of words are right. They return the exit status,
 * and have complained if it is not 0.
 */
#ifndef LW_CONTROL_VERBS_H
#define LW_CONTROL_VERBS_H

#include "lw_requests.h"

struct job;

#define DECLARE(method, path, who, serves, body, query, verb, arguments, by, sentence)             \
	int do_##by(struct job *job);
#define NOTHING(...)
LW_REQUESTS(DECLARE, NOTHING)
#undef DECLARE
#undef NOTHING

#endif
