/* links: lw_still_app
 *
 * fuzz_conf.c - app.conf: whatever the file says, it is read or refused in bounded time and
 * memory; what was read can be printed, compared, and run for two passes.
 *
 * Input: the text of app.conf. The app is not running, so no process is started. A library call
 * that does not return (table.move over 2^60 places) ends the process, as flow_lua.c says;
 * libFuzzer reports it as a timeout before that, and there is nothing to mend. */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "flow.h"
#include "fuzz.h"
#include "schedule.h"
#include "still_app.h"

#define LONGEST        (CONFIG_SECOND / 20)
#define MEMORY         (INT64_C(8) << 20)
#define PROCESSES_MOST 1000 /* of all works: each takes memory, as it may */

/* ---- the file ------------------------------------------------------------------------------- */

static int file_of(const uint8_t *data, size_t size, char path[40])
{
	int fd = memfd_create("app.conf", MFD_CLOEXEC);

	HOLDS(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no file");
	snprintf(path, 40, "/proc/self/fd/%d", fd);
	return fd;
}

static void check_settled(const struct config *config)
{
	json_t *json = config_to_json(config);
	LW_AUTO_BUF text = { 0 };
	json_error_t where;
	json_t *read;

	lw_json_print(json, 2, &text);
	read = json_loadb((const char *)text.data, text.size, JSON_ALLOW_NUL, &where);
	HOLDS(read != NULL, "--print-config is no JSON: %s", where.text);
	json_decref(read);
	json_decref(json);
	for (size_t i = 0; i < config->count; i++)
		HOLDS(work_config_differs(config->works[i], config->works[i]) == NULL,
		      "a work differs from itself");
}

/* ---- passes --------------------------------------------------------------------------------- */

static void drop_print(void *context, const char *line, size_t size)
{
	(void)context;
	(void)line;
	(void)size;
}

static void drop_mark(void *context, const char *mark, time_t at)
{
	(void)context;
	(void)mark;
	(void)at;
}

/* As app.c does it, without asking whether the app runs. */
static void pass(struct still_app *still)
{
	struct app *app = still->app;
	struct flow_result result = { 0 };

	app->in_pass = true;
	app->passes++;
	if (app->schedule != NULL)
		schedule_pass_begins(app->schedule);
	flow_pass(app->flow, app, &result);
	for (size_t i = 0; i < app->work_count; i++)
		work_pass_ended(app->works[i]);
	app->in_pass = false;
	if (app->schedule != NULL && result.verdict == FLOW_ENDED)
		schedule_pass_ended(app->schedule, drop_mark);
	HOLDS(result.verdict != FLOW_FAILS || result.message[0] != '\0',
	      "a pass failed without a sentence");
	still_app_turn(still);
}

static size_t processes(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->count; i++)
		count += (size_t)config->works[i]->processes;
	return count;
}

/* Takes both over. */
static void run_passes(struct config *config, struct flow *flow)
{
	struct still_app still;

	flow_print_to(flow, drop_print, NULL);
	if (still_app_open(&still, config, flow)) {
		pass(&still);
		while (still_app_settle(&still))
			;
		pass(&still);
	}
	still_app_close(&still);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	struct flow *flow = NULL;
	struct lw_err err = { 0 };
	char path[40];
	int fd;

	log_to_nowhere();
	flow_set_bounds(LONGEST, MEMORY);
	fd = file_of(data, size, path);
	if (flow_load(path, &config, &flow, &err) < 0) {
		HOLDS(err.code < 0 && err.text[0] != '\0', "refused without a sentence");
	} else {
		check_settled(config);
		if (processes(config) <= PROCESSES_MOST) {
			run_passes(config, flow);
		} else {
			flow_free(flow);
			config_free(config);
		}
	}
	close(fd);
	unsetenv("TZ"); /* of `timezone` */
	tzset();
	return 0;
}
