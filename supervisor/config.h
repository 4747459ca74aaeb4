/* config.h - app.conf as settled: one struct for the app, one for each work.
 *
 * The option table below is the only place that knows a key's name, type, default, range and
 * sentence; parsing, errors with the nearest known key, --print-config and the man page
 * come from it. Owned by the app; a work_config passes to its work. Durations are
 * microseconds, -1 is "none".
 */
#ifndef LW_SUPERVISOR_CONFIG_H
#define LW_SUPERVISOR_CONFIG_H

#include <jansson.h>

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_call.h"
#include "lw_err.h"

enum cache_memory { MEMORY_EVER, MEMORY_LAST };
enum overlap { OVERLAP_QUEUE, OVERLAP_LATEST };
enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

#define CONFIG_NONE      (-1)
#define CONFIG_PORT_NONE 0
#define CONFIG_PORT_AUTO (-1)

struct words {
	char **words; /* ends in NULL, so that it is an argv */
	size_t count;
};

struct work_config {
	char *name;
	int line;             /* of app.conf, for messages */
	struct words command; /* one of these two has words */
	struct words program;
	struct lw_buf args; /* two values, positional list and named map; empty: no call */
	bool parallel;
	bool cache_calls;
	enum cache_memory cache_memory;
	int64_t cache_ttl;
	char *cache_version; /* or NULL */
	struct lw_names cache_ignore;
	enum overlap overlap;
	bool raise_exception;
	int64_t processes;
	int64_t queue_limit;
	int64_t retries;
	int64_t retry_delay;
	double retry_backoff;
	double retry_jitter;
	enum restart restart;
	int64_t timeout;
	int64_t start_timeout;
	int64_t stop_signal; /* a signal number */
	int64_t stop_timeout;
	bool start_with_flow; /* settled: program true, command false */
	char *host;
	int64_t port;     /* CONFIG_PORT_NONE, CONFIG_PORT_AUTO, or a number */
	struct words env; /* "NAME=value" */
	char *cwd;        /* absolute; default: the folder of app.conf */
};

struct app_config {
	char *path;       /* of app.conf, absolute */
	char *folder;     /* it lies in, absolute */
	char *view;       /* "127.0.0.1:7501", or NULL for view = false */
	int64_t interval; /* 0: only when something changed */
	int64_t flow_timeout;
	int64_t flow_memory; /* bytes */
	char *timezone;      /* or NULL: local time */
};

struct config {
	struct app_config app;
	struct work_config **works; /* taken over one by one by app_work_add() */
	size_t count;
	bool has_flow;
};

void config_free(struct config *config); /* NULL is welcome; so is a config half taken over */
LW_AUTO_DEFINE(struct config *, config_free)
void work_config_free(struct work_config *config);
LW_AUTO_DEFINE(struct work_config *, work_config_free)

/* The name of the first option in which the two differ, or NULL. */
const char *work_config_differs(const struct work_config *a, const struct work_config *b);

/* The settled app and works: what --print-config prints and clients read. */
json_t *config_to_json(const struct config *config);
json_t *work_config_to_json(const struct work_config *config);

/* "2h", "1.5s", "300ms", "7d" or a number of seconds. -EINVAL. */
LW_MUST_USE int config_parse_duration(const char *text, int64_t *ret_us);

#endif
