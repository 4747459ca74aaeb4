/* supervisor.c - from options to a running app, and back. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "console.h"
#include "dial.h"
#include "http.h"
#include "logs.h"
#include "lw_log.h"
#include "lw_statedir.h"
#include "lw_tree.h"
#include "notify.h"
#include "reload.h"
#include "view.h"

struct supervisor {
	const struct options *options;
	char *state_dir;
	char *worker_socket;
	char *control_socket;
	char *worker_program;
	int lock; /* held while we live */
	struct rlimit child_files;
	struct loop *loop;
	struct logs *logs;
	struct config *config; /* until the app takes it */
	struct flow *flow;
	struct app *app;
	struct dial *dial;
	struct http *http;
	struct view *view;
	struct notify *notify;
	struct event *signals[3];
	bool interrupted;
};

/* ---- before anything runs --------------------------------------------------------------------------- */

/* One that was killed while it started a process leaves the lock to that until it executes its
 * program, which takes a moment. */
static int lock_of_dead(int lock, const char *pid)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int tries = 200;

	while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (lw_proc_lives(atoi(pid)) || --tries == 0)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int take_lock(struct supervisor *supervisor, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/lock", supervisor->state_dir);
	char pid[16] = "";
	int r;

	supervisor->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (supervisor->lock < 0)
		return lw_err_sys(err, -errno, "cannot open '%s'", path);
	(void)!pread(supervisor->lock, pid, sizeof(pid) - 1, 0);
	r = lock_of_dead(supervisor->lock, pid);
	if (r == -EBUSY)
		return lw_err_set(err, r,
				  "another supervisor (pid %.*s) has the state directory '%s'",
				  (int)strcspn(pid, "\n"), pid, supervisor->state_dir);
	if (r < 0)
		return lw_err_sys(err, r, "cannot lock '%s'", path);
	if (ftruncate(supervisor->lock, 0) < 0 ||
	    dprintf(supervisor->lock, "%d\n", (int)getpid()) < 0)
		return lw_err_sys(err, -errno, "cannot write '%s'", path);
	return 0;
}

/* The settled configuration, for clients. */
static int leave_config(const char *state_dir, json_t *json, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/app.json", state_dir);
	LW_AUTO(lw_free) char *fresh = lw_format("%s/app.json.new", state_dir);
	LW_AUTO(lw_close) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	LW_AUTO_BUF text = { 0 };

	lw_json_print(json, 2, &text);
	lw_buf_add(&text, "\n", 1);
	json_decref(json);
	if (fd >= 0)
		errno = ENOSPC; /* a short write does not say why */
	if (fd < 0 || write(fd, text.data, text.size) != (ssize_t)text.size ||
	    rename(fresh, path) < 0)
		return lw_err_sys(err, -errno, "cannot write '%s'", path);
	return 0;
}

static char *folder_of_this_program(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return lw_strdup(".");
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return lw_strdup(path);
}

static int find_worker_program(struct supervisor *supervisor, struct lw_err *err)
{
	LW_AUTO(lw_free) char *folder = folder_of_this_program();

	supervisor->worker_program = lw_format("%s/lw-worker", folder);
	if (access(supervisor->worker_program, X_OK) < 0)
		return lw_err_sys(err, -errno, "cannot run '%s'", supervisor->worker_program);
	return 0;
}

/* Descriptors are limited only by the system; children get back what we were given, as some use
 * select(2). */
static void raise_descriptor_limit(struct rlimit *ret_before)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		lw_fatal("cannot read the limit of descriptors");
	*ret_before = limit;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Before the first file is written: one that may not grow is an error, not the end. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ };

	for (size_t i = 0; i < LW_COUNT(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static int prepare(struct supervisor *supervisor, struct lw_err *err)
{
	const struct options *options = supervisor->options;
	int r = lw_statedir_find(options->conf, options->state_dir, &supervisor->state_dir, err);

	ignore_signals();
	if (r >= 0)
		r = find_worker_program(supervisor, err);
	if (r >= 0)
		r = lw_statedir_make(supervisor->state_dir, err);
	if (r >= 0)
		r = take_lock(supervisor, err);
	if (r >= 0)
		r = leave_config(supervisor->state_dir, config_to_json(supervisor->config), err);
	if (r < 0)
		return r;
	supervisor->worker_socket = lw_format("%s/worker.sock", supervisor->state_dir);
	supervisor->control_socket = lw_format("%s/%s", supervisor->state_dir, LW_CONTROL_SOCKET);
	raise_descriptor_limit(&supervisor->child_files);
	srand48(time(NULL) ^ getpid());
	return 0;
}

/* ---- signals ------------------------------------------------------------------------------------------ */

static void reload(struct app *app)
{
	LW_AUTO_BUF report = { 0 };
	struct lw_err err;

	if (app->stage != APP_RUNNING)
		return;
	if (reload_app(app, false, &report, &err) < 0)
		lw_log(LW_LOG_ERROR, "signal=HUP nothing was changed: %s", err.text);
	else
		lw_log(LW_LOG_INFO, "signal=HUP reloaded %s", lw_buf_text(&report));
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct supervisor *supervisor = context;

	(void)what;
	if (number == SIGHUP) {
		reload(supervisor->app);
		return;
	}
	if (supervisor->interrupted && number == SIGINT) {
		app_end_at_once(supervisor->app);
		return;
	}
	supervisor->interrupted = supervisor->interrupted || number == SIGINT;
	app_end(supervisor->app, EXIT_STOPPED, number == SIGINT ? "signal INT" : "signal TERM");
}

static void watch_signals(struct supervisor *supervisor)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < LW_COUNT(numbers); i++) {
		supervisor->signals[i] = evsignal_new(loop_base(supervisor->loop), numbers[i],
						      on_signal, supervisor);
		if (supervisor->signals[i] == NULL)
			lw_fatal("out of memory");
		loop_watch(supervisor->signals[i]);
	}
}

/* ---- building and taking down ----------------------------------------------------------------------------- */

static void on_over(struct app *app)
{
	loop_exit(app->loop);
}

/* Its works are taken out of the configuration by then. */
static void on_reloaded(struct app *app)
{
	json_t *works = json_array(), *json;
	struct lw_err err;

	for (size_t i = 0; i < app->work_count; i++)
		if (!app->works[i]->retired && !app->works[i]->made_in_pass)
			json_array_append_new(works, work_config_to_json(app->works[i]->config));
	json = config_to_json(app->config);
	json_object_set_new(json, "works", works);
	if (leave_config(app->state_dir, json, &err) < 0)
		lw_log(LW_LOG_WARNING, "%s", err.text);
}

static void on_print(void *context, const char *line, size_t size)
{
	logs_print(context, line, size);
}

static void say(const struct supervisor *supervisor, const char *format, ...) LW_PRINTF(2, 3);
static void say(const struct supervisor *supervisor, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	logs_show(supervisor->logs, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static int build(struct supervisor *supervisor, struct lw_err *err)
{
	struct logs_options options = {
		.prefix = !supervisor->options->no_prefix,
		.json = supervisor->options->log_json,
		.colour = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL,
		.state_dir = supervisor->state_dir,
	};
	int r = loop_new(&supervisor->loop, err);

	if (r >= 0)
		r = logs_new(supervisor->loop, &options, &supervisor->logs, err);
	if (r < 0)
		return r;
	lw_log_to(logs_sink, supervisor->logs);
	for (size_t i = 0; i < supervisor->config->count; i++)
		logs_name(supervisor->logs, supervisor->config->works[i]->name);
	supervisor->notify = notify_new(supervisor->loop);
	flow_print_to(supervisor->flow, on_print, supervisor->logs);
	r = app_new(supervisor->loop, supervisor->config, supervisor->flow, supervisor->state_dir,
		    &supervisor->app, err);
	if (r < 0)
		return r;
	supervisor->config = NULL;
	supervisor->flow = NULL;
	supervisor->app->logs = supervisor->logs;
	supervisor->app->notify = supervisor->notify;
	supervisor->app->worker_socket = supervisor->worker_socket;
	supervisor->app->worker_program = supervisor->worker_program;
	supervisor->app->child_files = supervisor->child_files;
	supervisor->app->drain = supervisor->options->drain;
	supervisor->app->on_over = on_over;
	files_read_with(supervisor->app->files, "/proc/self/exe");
	supervisor->app->on_reloaded = on_reloaded;
	r = dial_new(supervisor->app, supervisor->worker_socket, &supervisor->dial, err);
	supervisor->app->dial = supervisor->dial;
	if (r >= 0)
		r = http_new(supervisor->app, supervisor->control_socket, &supervisor->http, err);
	if (r >= 0)
		r = view_new(supervisor->app, &supervisor->view, err);
	supervisor->app->view = supervisor->view;
	return r;
}

static void take_down(struct supervisor *supervisor)
{
	view_free(supervisor->view);
	http_free(supervisor->http);
	dial_free(supervisor->dial);
	app_free(supervisor->app);
	notify_free(supervisor->notify);
	for (size_t i = 0; i < LW_COUNT(supervisor->signals); i++)
		if (supervisor->signals[i] != NULL)
			event_free(supervisor->signals[i]);
	lw_log_to(NULL, NULL);
	if (supervisor->logs != NULL)
		logs_free(supervisor->logs);
	loop_free(supervisor->loop);
	flow_free(supervisor->flow);
	config_free(supervisor->config);
	lw_close(supervisor->lock);
	free(supervisor->state_dir);
	free(supervisor->worker_socket);
	free(supervisor->control_socket);
	free(supervisor->worker_program);
}

/* How it began and ended, for who reads its log later: the console says it in its own words. */
LW_PRINTF(2, 3) static void keep(const struct supervisor *supervisor, const char *format, ...)
{
	char line[700];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	lw_log_flatten(line);
	logs_keep(supervisor->logs, line);
}

/* To somebody else, who may not have our environment. The token is not for whoever may read systemd's
 * journal. */
static void say_where(const struct supervisor *supervisor)
{
	const struct options *options = supervisor->options;

	if (supervisor->view != NULL && console_is_journal(STDOUT_FILENO))
		say(supervisor,
		    "Your app has started. View it in your browser: %s, with the token that `lwctl "
		    "--state-dir %s status` shows on a terminal",
		    view_url(supervisor->view), supervisor->state_dir);
	else if (supervisor->view != NULL)
		say(supervisor, "Your app has started. View it in your browser: %s",
		    view_entrance(supervisor->view));
	else if (lw_statedir_is_given(options->state_dir))
		say(supervisor, "Your app has started. See it with: lwctl --state-dir %s status",
		    supervisor->state_dir);
	else
		say(supervisor, "Your app has started. See it with: lwctl -c %s status",
		    options->conf);
}

static int run_app(struct supervisor *supervisor, struct lw_err *err)
{
	struct lw_err ignored = { 0 };
	int r;

	keep(supervisor, "info: supervisor pid=%d version=%s conf=%s begins", (int)getpid(),
	     LW_VERSION, supervisor->options->conf);
	watch_signals(supervisor);
	r = app_begin(supervisor->app, err);
	if (r < 0) {
		(void)!app_settle(supervisor->app, &ignored); /* the first reason counts */
	} else {
		say_where(supervisor);
		notify_ready(supervisor->notify, "running", app_longest_turn(supervisor->app));
		loop_run(supervisor->loop);
		r = app_settle(supervisor->app, err);
	}
	if (r < 0)
		keep(supervisor, "error: supervisor pid=%d ends: %s", (int)getpid(), err->text);
	return r;
}

static int print_config(const struct config *config)
{
	json_t *json = config_to_json(config);
	LW_AUTO_BUF text = { 0 };

	lw_json_print(json, 2, &text);
	json_decref(json);
	return puts(lw_buf_text(&text)) >= 0 && fflush(stdout) == 0 ? EXIT_STOPPED : EXIT_APP;
}

static int complain(const struct lw_err *err, int status)
{
	fprintf(stderr, "%slw-supervisor: %s\n", console_is_journal(STDERR_FILENO) ? "<3>" : "",
		err->text);
	return status;
}

int supervisor_run(const struct options *options)
{
	struct supervisor supervisor = { .options = options, .lock = -1 };
	struct lw_err err = { 0 };
	int status;

	if (flow_load(options->conf, &supervisor.config, &supervisor.flow, &err) < 0)
		return complain(&err, EXIT_USAGE);
	if (options->check || options->print_config) {
		status = options->print_config ? print_config(supervisor.config) : EXIT_STOPPED;
		if (options->check && !options->print_config)
			printf("%s: ok, %zu work%s%s\n", options->conf, supervisor.config->count,
			       supervisor.config->count == 1 ? "" : "s",
			       supervisor.config->has_flow ? "" : ", no flow: services");
		take_down(&supervisor);
		return status;
	}
	if (prepare(&supervisor, &err) < 0) { /* it takes the lock */
		take_down(&supervisor);
		return complain(&err, err.code == -EBUSY ? EXIT_OCCUPIED : EXIT_APP);
	}
	if (build(&supervisor, &err) < 0 || run_app(&supervisor, &err) < 0) {
		take_down(&supervisor);
		return complain(&err, EXIT_APP);
	}
	status = supervisor.app->exit_status;
	keep(&supervisor, "%s: supervisor pid=%d ends: %s",
	     status == EXIT_STOPPED ? "info" : "error", (int)getpid(),
	     supervisor.app->end_reason != NULL ? supervisor.app->end_reason : "");
	snprintf(err.text, sizeof(err.text), "the app failed: %s",
		 supervisor.app->end_reason != NULL ? supervisor.app->end_reason : "");
	take_down(&supervisor);
	return status == EXIT_STOPPED ? status : complain(&err, status);
}
