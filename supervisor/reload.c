/* reload.c - the difference between two readings of app.conf, and what follows from it. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "js.h"
#include "events.h"
#include "lw_log.h"
#include "notify.h"
#include "schedule.h"

/* ---- the report ------------------------------------------------------------------------------ */

static void put_change(struct lw_buf *out, const char *subject, const char *name, const char *does,
		       const char *key)
{
	js_open(out, '{');
	js_key(out, subject);
	js_text(out, name);
	js_key(out, "does");
	js_text(out, does);
	if (key != name) {
		js_key(out, "key");
		js_text(out, key);
	}
	js_close(out, '}');
}

static const struct work_config *find_config(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->count; i++)
		if (strcmp(config->works[i]->name, name) == 0)
			return config->works[i];
	return NULL;
}

/* A work of app.conf, not of a pass, and nobody names it any more. */
static bool leaves(const struct work *work, const struct config *fresh)
{
	return !work->retired && !work->made_in_pass &&
	       find_config(fresh, work->config->name) == NULL;
}

static void put_work(const struct app *app, const struct work_config *fresh, struct lw_buf *out)
{
	static const char *const does[] = {
		[RELOAD_TAKEN] = "change",
		[RELOAD_RENEWS] = "restart",
	};
	const struct work *work = app_work(app, fresh->name);
	const char *key;
	enum reload reload;

	if (work == NULL || work->retired) {
		put_change(out, "work", fresh->name, "start", NULL);
		return;
	}
	reload = work_reload(work, fresh, &key);
	if (reload != RELOAD_FIXED)
		put_change(out, "work", fresh->name, does[reload], key);
}

static void put_works(const struct app *app, const struct config *fresh, struct lw_buf *out)
{
	js_key(out, "changes");
	js_open(out, '[');
	for (size_t i = 0; i < app->work_count; i++)
		if (leaves(app->works[i], fresh))
			put_change(out, "work", app->works[i]->config->name, "stop", NULL);
	for (size_t i = 0; i < fresh->count; i++)
		put_work(app, fresh->works[i], out);
	js_close(out, ']');
}

static void put_app(const struct app *app, const struct config *fresh, struct lw_buf *out)
{
	json_t *old = app_config_to_json(&app->config->app);
	json_t *is = app_config_to_json(&fresh->app);

	js_key(out, "app");
	js_open(out, '[');
	for (const struct config_option *option = app_options; option->key != NULL; option++)
		if (!json_equal(json_object_get(old, option->key),
				json_object_get(is, option->key)))
			put_change(out, "key", option->key,
				   option->reload == RELOAD_TAKEN ? "taken" : "fixed", option->key);
	js_close(out, ']');
	json_decref(old);
	json_decref(is);
}

static void report(const struct app *app, const struct config *fresh, bool applied,
		   struct lw_buf *out)
{
	js_open(out, '{');
	js_key(out, "applied");
	js_truth(out, applied);
	put_works(app, fresh, out);
	put_app(app, fresh, out);
	js_close(out, '}');
}

/* ---- doing it ---------------------------------------------------------------------------------- */

static void retire_gone(struct app *app, const struct config *fresh)
{
	for (size_t i = 0; i < app->work_count; i++) {
		struct work *work = app->works[i];

		work->stale = work->made_in_pass;
		if (!leaves(work, fresh))
			continue;
		lw_log(LW_LOG_INFO, "work=%s is not in app.conf any more and is stopped",
		       work->config->name);
		work_retire(work);
	}
}

static void begin_work(struct work *work, bool is_new)
{
	if (!is_new)
		return;
	work_begin(work);
	if (!work->app->config->has_flow && work_live_runs(work) == 0)
		work_call_service(work);
}

static void take_work(struct app *app, struct work_config *take, size_t order)
{
	struct work *work = app_work(app, take->name);
	bool is_new = work == NULL || work->retired;
	struct lw_err err;

	if (work != NULL)
		work->stale = true;
	if (app_work_add(app, take, false, &work, &err) < 0)
		lw_fatal("a work of app.conf was refused: %s", err.text); /* it was checked */
	work->order = order;
	work->made_in_pass = false;
	begin_work(work, is_new);
}

/* What only the next start can change stays. */
static void keep_fixed(const struct app_config *old, struct app_config *fresh)
{
	fresh->durability = old->durability;
	fresh->runs_keep = old->runs_keep;
	fresh->cache_max = old->cache_max;
	fresh->form_cache = old->form_cache;
}

static void apply(struct app *app, struct config *fresh, struct flow *flow)
{
	struct config *old = app->config;

	flow_print_as(flow, app->flow);
	flow_free(app->flow);
	app->flow = flow;
	keep_fixed(&old->app, &fresh->app);
	app->config = fresh;
	retire_gone(app, fresh);
	for (size_t i = 0; i < fresh->count; i++)
		take_work(app, LW_TAKE(fresh->works[i]), i);
	config_free(old);
	if (app->on_reloaded != NULL)
		app->on_reloaded(app);
	app_note(app, EVENT_RELOAD);
	app_changed(app, "reload");
}

/* The time zone holds from the next start; reading the file has set the new one. */
static int load(const char *path, struct config **ret_fresh, struct flow **ret_flow,
		struct lw_err *err)
{
	LW_AUTO(lw_free) char *zone = lw_strdup(getenv("TZ"));
	int r = flow_load(path, ret_fresh, ret_flow, err);

	if (zone != NULL)
		setenv("TZ", zone, 1);
	else
		unsetenv("TZ");
	tzset();
	return r;
}

static int read_again(struct app *app, bool dry_run, struct lw_buf *out, struct lw_err *err)
{
	LW_AUTO(config_free) struct config *fresh = NULL;
	LW_AUTO(flow_free) struct flow *flow = NULL;
	int r = load(app->config->app.path, &fresh, &flow, err);

	if (r < 0)
		return r;
	if (fresh->has_flow != app->config->has_flow)
		return lw_err_set(err, -EINVAL, "app.conf %s a flow now, which takes a restart",
				  fresh->has_flow ? "has" : "has no");
	report(app, fresh, !dry_run, out);
	if (!dry_run)
		apply(app, LW_TAKE(fresh), LW_TAKE(flow));
	return 0;
}

int reload_app(struct app *app, bool dry_run, struct lw_buf *out, struct lw_err *err)
{
	int r;

	if (dry_run)
		return read_again(app, true, out, err);
	notify_reloading(app->notify);
	r = read_again(app, false, out, err);
	notify_ready(app->notify,
		     r < 0 ? "running; app.conf is wrong and was not reloaded" : "running",
		     app_longest_turn(app));
	return r;
}
