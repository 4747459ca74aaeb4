/* flow_app.h - an app with works but without processes, for the tests of the flow engine.
 *
 * Included by test_config.c and test_flow*.c. Files lie in a folder of their own, the record in
 * another (on_record.h); passes are run by hand, so that nothing is ever spawned; runs end as a
 * test says.
 */
#ifndef LW_TESTS_FLOW_APP_H
#define LW_TESTS_FLOW_APP_H

#include "on_record.h"
#include "work_private.h"

static struct {
	char folder[64];
	struct lw_buf printed; /* lines, each with its newline */
	struct flow_result result;
} rig LW_UNUSED;

static LW_UNUSED void write_file(const char *name, const char *text)
{
	char path[300];
	FILE *file;

	if (rig.folder[0] == '\0') {
		snprintf(rig.folder, sizeof(rig.folder), "/tmp/lw-flow-XXXXXX");
		cr_assert_not_null(mkdtemp(rig.folder));
	}
	snprintf(path, sizeof(path), "%s/%s", rig.folder, name);
	for (char *at = path + strlen(rig.folder) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0700);
		*at = '/';
	}
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static LW_UNUSED void keep_line(void *context LW_UNUSED, const char *line, size_t size)
{
	lw_buf_printf(&rig.printed, "%.*s\n", (int)size, line);
}

/* The sentence flow_load() fails with, "" when it does not. */
static LW_UNUSED const char *load_error(const char *text)
{
	static struct lw_err err;
	struct config *config = NULL;
	struct flow *flow = NULL;
	char path[100];

	write_file("app.conf", text);
	snprintf(path, sizeof(path), "%s/app.conf", rig.folder);
	err = (struct lw_err){ 0 };
	if (flow_load(path, &config, &flow, &err) < 0) {
		cr_assert_lt(err.code, 0);
		return err.text;
	}
	flow_free(flow);
	config_free(config);
	return "";
}

static LW_UNUSED struct config *load_config(const char *text)
{
	struct config *config = NULL;
	struct flow *flow = NULL;
	struct lw_err err = { 0 };
	char path[100];

	write_file("app.conf", text);
	snprintf(path, sizeof(path), "%s/app.conf", rig.folder);
	cr_assert_geq(flow_load(path, &config, &flow, &err), 0, "%s", err.text);
	flow_free(flow);
	return config;
}

static LW_UNUSED void open_app(const char *text)
{
	struct config *config = NULL;
	struct flow *flow = NULL;
	struct lw_err err = { 0 };
	char path[100];

	write_file("app.conf", text);
	snprintf(path, sizeof(path), "%s/app.conf", rig.folder);
	cr_assert_geq(flow_load(path, &config, &flow, &err), 0, "%s", err.text);
	flow_print_to(flow, keep_line, NULL);
	open_loop();
	cr_assert_geq(app_new(loop, config, flow, state_dir, &app, &err), 0, "%s", err.text);
	cr_assert_geq(app_begin(app, &err), 0, "%s", err.text);
}

/* One pass; what it printed, or its failure's message. */
static LW_UNUSED const char *pass(void)
{
	rig.printed.size = 0;
	app->in_pass = true;
	app->passes++;
	flow_pass(app->flow, app, &rig.result);
	app->in_pass = false;
	if (rig.result.verdict == FLOW_FAILS)
		return rig.result.message;
	return lw_buf_text(&rig.printed);
}

/* A flow with this body, next to the work `w` (serial) and `p` (parallel). */
static LW_UNUSED const char *pass_of(const char *body)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "app { flow_timeout = 60 } work \"w\" { command = { \"true\" } }\n"
		 "work \"p\" { command = { \"true\" }, parallel = true }\n"
		 "function flow()\n%s\nend\n",
		 body);
	open_app(text);
	return pass();
}

static LW_UNUSED const struct run *latest(const char *name)
{
	return work_latest(app_work(app, name));
}

#define FINISHED_AT 5000000

/* The latest call of a work is over, since 5 s after the beginning of time. A success has a value,
 * as JSON; a failure a message. */
static LW_UNUSED void finish(const char *name, enum stage stage, const char *json)
{
	struct work *work = app_work(app, name);
	struct run *run = take_of(work);
	LW_AUTO_BUF value = { 0 };
	struct memo *memo;

	if (stage == STAGE_SUCCEEDED) {
		json_error_t where;
		json_t *parsed = json_loads(json, JSON_DECODE_ANY, &where);

		cr_assert_not_null(parsed, "%s", where.text);
		cr_assert_geq(lw_value_from_json(parsed, &value, NULL), 0);
		json_decref(parsed);
		run_set_result(run, lw_buf_slice(&value));
		work_finish(work, run, stage, NULL, NULL);
	} else {
		work_finish(work, run, stage, "exit status 3", json);
	}
	run->ended = FINISHED_AT;
	memo = cache_find(app->cache, run->key, (struct lw_slice){ run->form, run->form_size });
	if (memo != NULL)
		memo->ended = FINISHED_AT;
}

static LW_UNUSED void close_all(void)
{
	close_app();
	if (loop != NULL)
		close_loop();
	lw_buf_done(&rig.printed);
	if (rig.folder[0] != '\0')
		remove_folder(rig.folder);
	memset(&rig, 0, sizeof(rig));
}

#endif
