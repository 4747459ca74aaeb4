/* adopt.c - from rows to works, memos, runs and workers; and strays. See adopt.h. */
#include "adopt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lw_cgroup.h"
#include "lw_log.h"
#include "lw_tree.h"
#include "work.h"

#define IDS_MOST 100000 /* a mark is only text: more than this above ours is none of ours */

struct load {
	struct app *app;
	struct lw_err *err;
	struct run **open; /* runs that are not over, until all are known */
	struct run_sent {
		uint64_t worker, incarnation;
	} * sent;
	size_t open_count;
	uint64_t kept, failed, in_the_way;
};

static char *text_of(struct lw_slice text)
{
	return lw_strndup(text.data, text.size);
}

static int on_work(void *context, const struct work_row *row)
{
	struct load *load = context;
	LW_AUTO(lw_free) char *name = text_of(row->name);

	if (row->id == 0 || row->id > UINT32_MAX / 2 || name[0] == '\0' ||
	    app_work(load->app, name) != NULL)
		return lw_err_set(load->err, -EUCLEAN,
				  "the journal's row of work %u makes no sense", row->id);
	work_restore(app_add_work(load->app, work_config_new(name), row->id), row);
	return 0;
}

static int on_state(void *context, uint32_t work, struct lw_slice name, struct lw_slice value)
{
	struct load *load = context;
	struct work *owner = app_work_of_row(load->app, work);
	int r;

	if ((work != 0 && owner == NULL) || lw_value_check(value, NULL) < 0)
		return lw_err_set(load->err, -EUCLEAN,
				  "the journal's state of work %u makes no sense", work);
	r = state_set(owner != NULL ? &owner->state : &load->app->state, name, value, load->err);
	return r < 0 ? r : 0;
}

static int on_mark(void *context, struct lw_slice mark, int64_t at)
{
	struct load *load = context;
	LW_AUTO(lw_free) char *text = text_of(mark);

	return app_restore_mark(load->app, text, at, load->err);
}

/* Of a work that is not known it is of nobody. */
static int on_pause(void *context, const struct pause_row *row)
{
	struct load *load = context;
	struct work *work = app_work_of_row(load->app, row->work);

	if (row->work == 0)
		pause_restore(&load->app->pause, row);
	else if (work != NULL)
		pause_restore(&work->pause, row);
	return 0;
}

static int on_worker(void *context, const struct worker_row *row)
{
	struct load *load = context;
	struct work *work = app_work_of_row(load->app, row->work);
	struct worker *worker = NULL;

	if (work != NULL && row->id > 0 && row->id < UINT32_MAX)
		worker = work_restore_worker(work, row->id, row->slot, row->pid != 0);
	if (worker != NULL)
		worker_restore(worker, row);
	else if (row->pid != 0)
		lw_log(LW_LOG_WARNING, "the journal's row of worker %llu makes no sense",
		       (unsigned long long)row->id);
	return 0;
}

static void remember_recent(struct work *work, const struct run_row *row)
{
	work_note_recent(work, row->id);
	if (stage_over((enum stage)row->stage))
		work->latest = (struct latest){ row->id, row->ended, row->stage, NULL };
}

/* Two rows of one call: the later one is what is remembered. */
static struct memo *put_memo(struct cache *cache, struct lw_slice form, uint64_t run)
{
	struct lw_key key = cache_key(cache, form);

	cache_remove(cache, cache_find(cache, key, form));
	return cache_put(cache, key, form, run);
}

static int on_kept(void *context, const struct run_row *row)
{
	struct load *load = context;
	struct work *work = app_work_of_row(load->app, row->work);
	struct memo *memo;

	if (work == NULL || !stage_over((enum stage)row->stage) || row->stage >= STAGES_N ||
	    row->form.size == 0)
		return lw_err_set(load->err, -EUCLEAN,
				  "the journal's row of run %llu makes no sense",
				  (unsigned long long)row->id);
	memo = put_memo(load->app->cache, row->form, row->id);
	memo->work = row->work;
	memo->stage = row->stage;
	memo->undelivered = (row->flags & STORE_RUN_UNDELIVERED) != 0;
	memo->forget = (row->flags & STORE_RUN_FORGET) != 0;
	memo->fatal = (row->flags & STORE_RUN_FATAL) != 0;
	memo->took = row->started > 0 && row->ended > row->started
			     ? (float)(row->ended - row->started) / 1e6f
			     : 0;
	memo->ended = row->ended;
	remember_recent(work, row);
	load->kept++;
	load->failed += row->stage == STAGE_FAILED && !memo->undelivered;
	load->in_the_way += work_is_in_the_way(work, memo);
	return 0;
}

static int on_open(void *context, const struct run_row *row)
{
	struct load *load = context;
	struct run *run;
	int r = app_run_of_row(load->app, row, &run, load->err);

	if (r < 0)
		return r;
	load->open = lw_realloc(load->open, (load->open_count + 1) * sizeof(struct run *));
	load->sent = lw_realloc(load->sent, (load->open_count + 1) * sizeof(*load->sent));
	load->open[load->open_count] = run;
	load->sent[load->open_count++] = (struct run_sent){ row->worker, row->incarnation };
	work_note_recent(run->work, run->id);
	return 0;
}

/* ---- runs find their place ------------------------------------------------------------------------ */

static const struct load *sorted; /* for qsort(3) alone */

static int by_rank(const void *a, const void *b)
{
	const struct run *one = sorted->open[*(const size_t *)a];
	const struct run *other = sorted->open[*(const size_t *)b];

	if (one->rank != other->rank)
		return one->rank < other->rank ? -1 : 1;
	return (one->id > other->id) - (one->id < other->id);
}

/* The worker that was sent the run, if that incarnation is the one on record. */
static struct worker *find_worker(const struct app *app, const struct run_sent *sent)
{
	struct worker *worker = sent->worker >= 1 && sent->worker <= app->worker_count
					? app->workers[sent->worker - 1]
					: NULL;

	if (worker == NULL || worker_state(worker) != WORKER_FOUND ||
	    worker_incarnation(worker) != sent->incarnation)
		return NULL;
	return worker;
}

static void place_run(struct load *load, size_t i)
{
	struct run *run = load->open[i];
	const struct run_sent *sent = &load->sent[i];
	struct worker *worker = find_worker(load->app, sent);

	/* Sent to a process that was gone before it could be given back: it never began there. */
	if (worker == NULL && run->stage == STAGE_RUNNING)
		run_move(run, STAGE_PENDING, "lost", NULL, loop_wall(load->app->loop));
	work_restore_run(run->work, run, worker);
}

static void place_runs(struct load *load)
{
	size_t *order = lw_alloc((load->open_count + 1) * sizeof(*order));

	for (size_t i = 0; i < load->open_count; i++)
		order[i] = i;
	sorted = load;
	qsort(order, load->open_count, sizeof(*order), by_rank);
	for (size_t i = 0; i < load->open_count; i++)
		place_run(load, order[i]);
	free(order);
	free(load->open);
	free(load->sent);
}

int adopt_load(struct app *app, struct lw_err *err)
{
	struct load load = { .app = app, .err = err };
	const struct store_load rows = {
		.context = &load,
		.work = on_work,
		.state = on_state,
		.mark = on_mark,
		.pause = on_pause,
		.worker = on_worker,
		.kept = on_kept,
		.open = on_open,
	};
	int64_t began = loop_clock();
	int r;

	cache_expect(app->cache, journal_estimate(app->journal));
	r = journal_load(app->journal, &rows, err);
	place_runs(&load); /* also when it failed: they have owners then */
	if (r < 0)
		return r;
	for (size_t i = 0; i < app->work_count; i++)
		work_fill_pool(app->works[i]);
	if (load.kept + load.open_count > 0)
		lw_log(LW_LOG_INFO, "journal calls=%llu unfinished=%zu read in %.3f s",
		       (unsigned long long)load.kept, load.open_count,
		       (double)(loop_clock() - began) / 1e6);
	if (load.failed > 0)
		lw_log(LW_LOG_WARNING,
		       "journal failed=%llu: calls that failed are held%s (lwctl runs --failed; "
		       "lwctl retry)",
		       (unsigned long long)load.failed,
		       load.in_the_way == 0
			       ? ""
			       : ", and the flow does not go past the one that ended the app");
	return 0;
}

/* ---- processes -------------------------------------------------------------------------------------- */

struct strays {
	struct app *app;
	struct lw_pids pids;
};

static void on_marked(void *context, const struct lw_marked *marked)
{
	struct strays *strays = context;
	struct app *app = strays->app;
	struct worker *worker = marked->worker >= 1 && marked->worker <= app->worker_count
					? app->workers[marked->worker - 1]
					: NULL;
	bool known = worker != NULL && worker_state(worker) == WORKER_FOUND &&
		     worker_incarnation(worker) == marked->incarnation;

	if (known || marked->pid == getpid())
		return;
	/* No later process may bear that mark. */
	if (worker != NULL)
		worker_seen(worker, marked->incarnation);
	else if (marked->worker < app->worker_count + IDS_MOST)
		work_reserve_worker(app, marked->worker);
	lw_pids_add(&strays->pids, marked->pid);
}

static void end_strays(struct app *app)
{
	struct strays strays = { .app = app };
	char who[64];

	if (lw_tree_marked(journal_store(app->journal), on_marked, &strays) < 0)
		lw_log(LW_LOG_WARNING, "not every process could be looked at");
	for (size_t i = 0; i < strays.pids.count; i++) {
		lw_proc_describe(strays.pids.pids[i], who, sizeof(who));
		lw_log(LW_LOG_WARNING, "%s is on no record and is killed", who);
		(void)kill(strays.pids.pids[i], SIGKILL);
	}
	lw_pids_done(&strays.pids);
}

/* The same for cgroups: of whoever is on no record, or is gone. */
static void on_group(void *context, uint64_t id, uint64_t incarnation)
{
	struct app *app = context;
	const struct worker *worker =
		id >= 1 && id <= app->worker_count ? app->workers[id - 1] : NULL;
	int group = -1;

	if (worker != NULL && worker_state(worker) == WORKER_FOUND &&
	    worker_incarnation(worker) == incarnation)
		return;
	if (lw_cgroup_find(app->cgroup, id, incarnation, &group) < 0)
		return;
	if (lw_cgroup_populated(group) != 0) {
		lw_log(LW_LOG_WARNING, "worker=%llu incarnation=%llu is on no record and is killed",
		       (unsigned long long)id, (unsigned long long)incarnation);
		(void)lw_cgroup_kill(group);
	}
	lw_close(group);
	(void)lw_cgroup_remove(app->cgroup, id, incarnation); /* or at the next start */
}

void adopt_processes(struct app *app)
{
	end_strays(app);
	if (app->cgroup != NULL)
		(void)lw_cgroup_each(app->cgroup, on_group, app);
	for (size_t i = 0; i < app->work_count; i++) {
		struct work *work = app->works[i];
		bool unwanted = work->held || (work->retired && !work->made_in_pass);

		if (unwanted)
			work_end(work, false);
		for (size_t n = 0; n < work->worker_count; n++)
			worker_adopt(work->workers[n]);
	}
}
