/* config.h - app.conf as settled: one struct for the app, one for each work.
 *
 * The option tables below are the only place that knows a key's name, kind, default, range and
 * sentence; parsing (config_lua.c), errors with the nearest known key, comparison,
 * --print-config and the man page come from them. Owned by the app; a work_config passes to
 * its work. Durations are microseconds, -1 is "none".
 */
#ifndef LW_SUPERVISOR_CONFIG_H
#define LW_SUPERVISOR_CONFIG_H

#include <jansson.h>

#include "lw_base.h"
#include "lw_nearest.h"
#include "lw_buf.h"
#include "identity.h"
#include "lw_call.h"
#include "lw_err.h"
#include "store.h"

enum cache_memory { MEMORY_EVER, MEMORY_LAST };
enum overlap { OVERLAP_QUEUE, OVERLAP_LATEST, OVERLAP_CANCEL };
enum lost { LOST_RERUN, LOST_FAIL };
enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

/* What a changed value of a running app means. */
enum reload {
	RELOAD_FIXED,  /* holds from the next start of the supervisor */
	RELOAD_TAKEN,  /* holds from now on */
	RELOAD_RENEWS, /* the processes of the work are replaced */
};

#define CONFIG_NONE      (-1)
#define CONFIG_NICE_NONE INT64_MIN /* -1 is a nice value */
#define CONFIG_PORT_NONE 0
#define CONFIG_PORT_AUTO (-1)

struct words {
	char **words; /* ends in NULL, so that it is an argv */
	size_t count;
};

struct limits {
	struct lw_limit *items; /* in the order of config_limits[] */
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
	char *cache_version;      /* or NULL */
	struct words cache_files; /* paths and patterns, from the folder of app.conf */
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
	int64_t port; /* CONFIG_PORT_NONE, CONFIG_PORT_AUTO, or a number */
	enum lost lost;
	struct words env;          /* "NAME=value" */
	char *cwd;                 /* absolute; default: the folder of app.conf */
	char *user;                /* as given, or NULL */
	char *group;               /* as given, or NULL */
	struct identity *identity; /* those two, once looked up; NULL: as we are */
	int64_t umask;             /* CONFIG_NONE: ours */
	int64_t nice;              /* CONFIG_NICE_NONE: ours */
	struct limits limits;
	int64_t log_max_size; /* 0: never rotated */
	int64_t log_keep;
};

struct view_address {
	char *text;   /* "127.0.0.1:7501", or NULL for view = false */
	bool written; /* in app.conf: nothing else will do */
};

struct app_config {
	char *path;   /* of app.conf, absolute */
	char *folder; /* it lies in, absolute */
	struct view_address view;
	int64_t interval; /* 0: only when something changed */
	int64_t flow_timeout;
	int64_t flow_memory; /* bytes */
	char *timezone;      /* or NULL: local time */
	enum durability durability;
	int64_t runs_keep;
	int64_t cache_max;  /* 0: all are kept */
	int64_t form_cache; /* bytes */
};

struct config_option;

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
/* The gravest consequence of taking over `fresh`, and the first option that has it: against the
 * settings of a running app, or against those that were kept as JSON (config_to_json() and
 * work_config_to_json()). RELOAD_FIXED: nothing differs that could be taken over. */
enum reload config_reload(const struct config_option *options, const json_t *old,
			  const json_t *fresh, const char **ret_key);

/* The settled app and works: what --print-config prints and clients read. */
json_t *config_to_json(const struct config *config);
json_t *app_config_to_json(const struct app_config *config); /* its options alone */
json_t *work_config_to_json(const struct work_config *config);

/* "2h", "1.5s", "300ms", "7d" or a number of seconds. -EINVAL. */
LW_MUST_USE int config_parse_duration(const char *text, int64_t *ret_us);

/* What a kind of option takes; its functions stand in config.c and config_lua.c. */
enum option_kind {
	OPTION_TRUTH,
	OPTION_WHOLE,
	OPTION_REAL,
	OPTION_DURATION,
	OPTION_SIZE,
	OPTION_TEXT,
	OPTION_MEMORY,
	OPTION_OVERLAP,
	OPTION_RESTART,
	OPTION_LOST,
	OPTION_DURABILITY,
	OPTION_SIGNAL,
	OPTION_PORT,
	OPTION_VIEW,
	OPTION_ZONE,
	OPTION_FOLDER,
	OPTION_COMMAND,
	OPTION_PROGRAM,
	OPTION_ARGS,
	OPTION_NAMES,
	OPTION_FILES,
	OPTION_ENV,
	OPTION_USER,
	OPTION_UMASK,
	OPTION_NICE,
	OPTION_LIMITS,
	OPTION_KINDS_N
};

#define CONFIG_SECOND INT64_C(1000000)
#define CONFIG_YEAR   (366 * 24 * 3600 * CONFIG_SECOND)

/* A default is written as in app.conf; "" is "none given". Ranges are whole numbers, thousandths (REAL), microseconds
 * (DURATION) or bytes (SIZE). O(key, KIND, member, default, least, most, reload, sentence). */
/* clang-format off */
#define WORK_OPTIONS(O)                                                                            \
	O(command, COMMAND, command, "", 0, 0, RENEWS,                                               \
	  "program and arguments of any program, started once for each run")                       \
	O(program, PROGRAM, program, "", 0, 0, RENEWS,                                               \
	  "program that speaks the worker protocol and stays up between runs")                     \
	O(args, ARGS, args, "", 0, 0, TAKEN,                                                        \
	  "the call when there is no flow: a list of positional arguments, named ones by key")     \
	O(parallel, TRUTH, parallel, "false", 0, 0, TAKEN,                                          \
	  "false: the pass ends at the call until its run is over")                                \
	O(cache_calls, TRUTH, cache_calls, "true", 0, 0, TAKEN,                                     \
	  "false: a call runs again once the last one is over")                                    \
	O(cache_memory, MEMORY, cache_memory, "ever", 0, 0, TAKEN,                                  \
	  "last: only the latest call is remembered")                                              \
	O(cache_ttl, DURATION, cache_ttl, "none", 1, 100 * CONFIG_YEAR, TAKEN,                      \
	  "a success older than this is run again")                                                \
	O(cache_version, TEXT, cache_version, "", 0, LW_NAME_MAX_TEXT, TAKEN,                       \
	  "part of what a call is: a new version runs again, an old one hits again")               \
	O(cache_files, FILES, cache_files, "", 0, 0, TAKEN,                                         \
	  "files that are part of what a call is: a changed file runs again, going back hits again") \
	O(cache_ignore, NAMES, cache_ignore, "", 0, 0, TAKEN,                                       \
	  "names of named arguments that do not count when calls are compared")                    \
	O(overlap, OVERLAP, overlap, "queue", 0, 0, TAKEN,                                          \
	  "a different call while one runs: queue, latest (only the newest waits), or cancel (the running one is stopped)") \
	O(raise_exception, TRUTH, raise_exception, "true", 0, 0, TAKEN,                             \
	  "a failed run raises an error in the flow")                                              \
	O(processes, WHOLE, processes, "1", 1, 10000, RENEWS,                                        \
	  "size of the pool")                                                                      \
	O(queue_limit, WHOLE, queue_limit, "10000", 1, 10000000, TAKEN,                             \
	  "more waiting calls than this are refused with an error")                                \
	O(retries, WHOLE, retries, "0", 0, 1000000, TAKEN,                                          \
	  "further attempts before a run counts as failed")                                        \
	O(retry_delay, DURATION, retry_delay, "1s", 0, CONFIG_YEAR, TAKEN,                          \
	  "pause before the first retry")                                                          \
	O(retry_backoff, REAL, retry_backoff, "2", 1000, 1000000, TAKEN,                            \
	  "each further pause is so many times longer")                                            \
	O(retry_jitter, REAL, retry_jitter, "0.1", 0, 1000, TAKEN,                                  \
	  "share of the pause that is random")                                                     \
	O(restart, RESTART, restart, "on-failure", 0, 0, TAKEN,                                     \
	  "when a process (without a flow: the call) that ended is started again")                 \
	O(timeout, DURATION, timeout, "none", 1000, 100 * CONFIG_YEAR, TAKEN,                       \
	  "longest time for one attempt of a run")                                                 \
	O(start_timeout, DURATION, start_timeout, "30s", 1000, CONFIG_YEAR, TAKEN,                  \
	  "longest time for a process to get ready")                                               \
	O(stop_signal, SIGNAL, stop_signal, "TERM", 1, 64, TAKEN,                                   \
	  "signal that asks a process to end")                                                     \
	O(stop_timeout, DURATION, stop_timeout, "10s", 0, CONFIG_YEAR, TAKEN,                       \
	  "after this the whole process tree gets KILL")                                           \
	O(lost, LOST, lost, "rerun", 0, 0, TAKEN,                                                   \
	  "a run whose outcome nobody knows: rerun (at least once) or fail (at most once)")        \
	O(start_with_flow, TRUTH, start_with_flow, "", 0, 0, TAKEN,                                 \
	  "start the process with the app, not at the first call (default: a program yes, a command no)") \
	O(host, TEXT, host, "127.0.0.1", 1, LW_NAME_MAX_TEXT, RENEWS,                                \
	  "address the work listens on; the process sees HOST")                                    \
	O(port, PORT, port, "none", 1, 65535, RENEWS,                                                \
	  "port the work listens on, \"auto\" finds a free one; the process sees PORT")            \
	O(env, ENV, env, "", 0, 0, RENEWS,                                                           \
	  "environment variables added for the process")                                           \
	O(cwd, FOLDER, cwd, "", 0, 0, RENEWS,                                                        \
	  "folder the process starts in (default: that of app.conf)")                              \
	O(user, USER, user, "", 0, 0, RENEWS,                                                        \
	  "user the process runs as; it takes root")                                               \
	O(group, USER, group, "", 0, 0, RENEWS,                                                      \
	  "group the process runs as (default: that of user)")                                     \
	O(umask, UMASK, umask, "", 0, 0, RENEWS,                                                     \
	  "bits that files made by the process lack")                                              \
	O(nice, NICE, nice, "", -20, 19, RENEWS,                                                     \
	  "scheduling priority of the process, 19 is the lowest")                                  \
	O(limits, LIMITS, limits, "", 0, 0, RENEWS,                                                  \
	  "resource limits of the process")                                                        \
	O(log_max_size, SIZE, log_max_size, "16MiB", 0, INT64_C(1) << 40, TAKEN,                     \
	  "size at which the file with what the work printed is rotated, 4 KiB at least; 0: never")                \
	O(log_keep, WHOLE, log_keep, "4", 0, 1000, TAKEN,                                           \
	  "rotated files that are kept beside it")

#define APP_OPTIONS(O)                                                                             \
	O(view, VIEW, view, "127.0.0.1:7501", 0, 0, FIXED,                                         \
	  "address of the page; false: no page")                                                   \
	O(interval, DURATION, interval, "1s", 0, CONFIG_YEAR, TAKEN,                                \
	  "longest pause between passes; 0: a pass only when something changed")                   \
	O(flow_timeout, DURATION, flow_timeout, "5s", 10000, 3600 * CONFIG_SECOND, TAKEN,           \
	  "a pass that takes more processor time is interrupted and the app fails")                \
	O(flow_memory, SIZE, flow_memory, "64MiB", 1 << 20, INT64_C(1) << 40, FIXED,               \
	  "most memory that the flow may use")                                                     \
	O(timezone, ZONE, timezone, "", 0, 0, FIXED,                                \
	  "time zone of schedules, dates and works (default: local time)")                                \
	O(durability, DURABILITY, durability, "process", 0, 0, FIXED,                              \
	  "what the record survives: process (kill -9 of the supervisor), or power (a crash of the machine)") \
	O(runs_keep, WHOLE, runs_keep, "10000", 0, INT64_C(1000000000), FIXED,                     \
	  "runs that are over and not remembered for their call that are kept to look at")         \
	O(cache_max, WHOLE, cache_max, "0", 0, INT64_C(1000000000), FIXED,                         \
	  "most calls that are remembered, the least recently used leaves first; 0: all")          \
	O(form_cache, SIZE, form_cache, "64MiB", 0, INT64_C(1) << 40, FIXED,                       \
	  "memory for long calls and for results that were asked for")
/* clang-format on */

#define LW_NAME_MAX_TEXT 255 /* bytes of names, addresses, versions */

struct config_option {
	const char *key;
	enum option_kind kind;
	size_t offset; /* of the member */
	const char *preset;
	int64_t least, most;
	enum reload reload;
	const char *sentence;
};

/* What `limits` knows, and what a value counts: numbers without a unit are bytes, or seconds. */
enum limit_unit { LIMIT_COUNT, LIMIT_BYTES, LIMIT_SECONDS, LIMIT_MICROSECONDS };
struct config_limit {
	const char *name; /* as setrlimit(2) says it, without RLIMIT_ */
	unsigned resource;
	enum limit_unit unit;
};
extern const struct config_limit config_limits[]; /* a row whose name is NULL ends it */

/* The tables as data; a row whose key is NULL ends each. */
extern const struct config_option work_options[];
extern const struct config_option app_options[];

/* Everything at its default: program lookup, folders and start_with_flow are settled later. */
struct work_config *work_config_new(const char *name);
struct config *config_new(void);

/* "a duration (\"2h\" or seconds) from 1 ms to 366 days": what an option takes, for errors and
 * the manual. */
void option_wanted(const struct config_option *option, struct lw_buf *out);
/* Names an OPTION_MEMORY, _OVERLAP or _RESTART takes, ending in NULL; NULL for other kinds. */
const char *const *option_choices(enum option_kind kind);
const struct config_option *option_find(const struct config_option *options,
					const char *key); /* or NULL */

const char *option_hint(const struct config_option *options, const char *key,
			char hint[LW_HINT_MAX]);

/* Signal number of "TERM", "SIGTERM" or "15"; -EINVAL. */
LW_MUST_USE int config_parse_signal(const char *text);
/* "64MiB", "1GiB", "10kB" or a number of bytes. -EINVAL. */
LW_MUST_USE int config_parse_size(const char *text, int64_t *ret_bytes);

/* Bits of "0027": three or four octal digits. -EINVAL. */
LW_MUST_USE int config_parse_umask(const char *text);

void words_add(struct words *words, const char *word);
void words_done(struct words *words);

#endif
