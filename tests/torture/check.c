/* check.c - the journal against what the works wrote down, and what a client was shown.
 *
 * While the chaos goes on nothing is decided here that needs the whole picture: events are
 * gathered, and judged by check_all() when everything is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lw_buf.h"
#include "lw_call.h"
#include "lw_tree.h"
#include "run.h"
#include "store.h"
#include "torture.h"

#define SECOND      INT64_C(1000000)
#define LOOK_BEHIND (10 * SECOND) /* a run is on record that long after its end at the latest */
#define TO_SAY      (2 * SECOND)  /* what a supervisor has read is out by then */
#define LATE        (5 * SECOND)  /* no run begins so long after its end */

enum what { BEGIN, END, FAIL, SECOND_COPY };
static const char *const whats[] = { "begin", "end", "fail", "second" };

/* A line of the record. */
struct event {
	struct call call;
	uint64_t run;
	unsigned attempt;
	int pid;
	enum what what;
	int64_t at;
};

/* A row of the journal. */
struct row {
	struct call call;
	uint64_t id;
	int stage;
	int64_t created, ended;
	int64_t result; /* -1: none, or no number */
};

static struct {
	int fd; /* of the record; 0: not open yet */
	struct lw_buf partial;
	struct {
		struct event *items;
		size_t count, room;
	} events;
	struct {
		struct row *items;
		size_t count, room;
	} rows;
	int64_t looked; /* ends before this one were seen */
	char store[STORE_ID + 1];
} check;

/* ---- the record ----------------------------------------------------------------------- */

static void take_event(const char *line)
{
	struct event event = { 0 };
	char what[8];

	if (sscanf(line, "%7s %15s %" SCNd64 " %" SCNu64 " %u %d %" SCNd64, what, event.call.work,
		   &event.call.n, &event.run, &event.attempt, &event.pid, &event.at) != 7) {
		violation("a line of the record makes no sense: %s", line);
		return;
	}
	while (event.what < LW_COUNT(whats) && strcmp(what, whats[event.what]) != 0)
		event.what++;
	torture.count.executions += event.what == BEGIN;
	torture.count.ends += event.what == END;
	torture.count.fails += event.what == FAIL;
	if (event.what == SECOND_COPY)
		violation("run %" PRIu64 " (%s n=%" PRId64
			  ") began a second time while the first execution was there, pid %d",
			  event.run, event.call.work, event.call.n, event.pid);
	LIST_ADD(&check.events, event);
}

static void take_lines(void)
{
	struct lw_buf *partial = &check.partial;
	size_t at = 0;
	uint8_t *end;

	while (at < partial->size &&
	       (end = memchr(partial->data + at, '\n', partial->size - at)) != NULL) {
		*end = '\0';
		take_event((const char *)partial->data + at);
		at = (size_t)(end + 1 - partial->data);
	}
	lw_buf_cut(partial, at);
}

void check_progress(void)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/" TORTURE_RECORD, torture.folder);
	ssize_t n;

	if (check.fd <= 0)
		check.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (check.fd < 0)
		return; /* nothing ran yet */
	do {
		lw_buf_grow(&check.partial, 65536);
		n = read(check.fd, check.partial.data + check.partial.size, 65536);
		check.partial.size += n > 0 ? (size_t)n : 0;
		take_lines();
	} while (n > 0);
}

/* ---- the journal ------------------------------------------------------------------------ */

static sqlite3 *open_journal(void)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/" STORE_FILE, torture.state_dir);
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
		sqlite3_busy_timeout(db, 10000);
		return db;
	}
	sqlite3_close(db);
	return NULL;
}

/* Calls `take` for each row of the answer. */
static void query(sqlite3 *db, const char *sql, int64_t parameter,
		  void (*take)(sqlite3_stmt *statement))
{
	sqlite3_stmt *statement;
	int r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (r == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 0)
		r = sqlite3_bind_int64(statement, 1, parameter);
	if (r == SQLITE_OK)
		while ((r = sqlite3_step(statement)) == SQLITE_ROW)
			take(statement);
	if (r != SQLITE_DONE)
		violation("the journal cannot be read: %s", sqlite3_errmsg(db));
	sqlite3_finalize(statement);
}

static struct lw_slice blob(sqlite3_stmt *statement, int column)
{
	return (struct lw_slice){ sqlite3_column_blob(statement, column),
				  (size_t)sqlite3_column_bytes(statement, column) };
}

static int64_t number_of(struct lw_slice value)
{
	const uint8_t *at = value.data;
	struct lw_item item;

	return value.size > 0 && lw_item_read(&at, lw_slice_end(value), &item) == 0 &&
			       item.type == LW_INT
		       ? item.i
		       : -1;
}

static struct call call_in(const char *work, struct lw_slice form)
{
	struct lw_slice positional, named, n = { 0 };

	lw_call_parts(form, &positional, &named);
	(void)lw_map_get(named, "n", &n);
	return call_of(work, number_of(n));
}

static void take_store(sqlite3_stmt *statement)
{
	snprintf(check.store, sizeof(check.store), "%s",
		 (const char *)sqlite3_column_text(statement, 0));
}

const char *check_store(void)
{
	sqlite3 *db;

	if (check.store[0] == '\0' && (db = open_journal()) != NULL) {
		sqlite3_stmt *statement;

		/* The first supervisor may be making it. */
		if (sqlite3_prepare_v2(db, "SELECT id FROM meta", -1, &statement, NULL) ==
			    SQLITE_OK &&
		    sqlite3_step(statement) == SQLITE_ROW)
			take_store(statement);
		sqlite3_finalize(statement);
		sqlite3_close(db);
	}
	return check.store[0] != '\0' ? check.store : NULL;
}

static void take_success(sqlite3_stmt *statement)
{
	int64_t ended = sqlite3_column_int64(statement, 3);

	LIST_ADD(&torture.sights,
		 (struct sight){ call_in((const char *)sqlite3_column_text(statement, 1),
					 blob(statement, 2)),
				 (uint64_t)sqlite3_column_int64(statement, 0), 0 });
	check.looked = ended > check.looked ? ended : check.looked;
}

void check_look(void)
{
	size_t before = torture.sights.count;
	sqlite3 *db = check_store() != NULL ? open_journal() : NULL;
	int64_t at;

	if (db == NULL)
		return;
	query(db,
	      "SELECT runs.id, name, form, ended FROM runs JOIN works ON works.id = work"
	      " WHERE stage = 4 AND ended > ?1",
	      check.looked - LOOK_BEHIND, take_success);
	sqlite3_close(db);
	at = now_us();
	for (size_t i = before; i < torture.sights.count; i++)
		torture.sights.items[i].at = at;
}

/* ---- processes ------------------------------------------------------------------------------ */

struct seen {
	struct {
		struct lw_marked *items;
		size_t count, room;
	} list;
};

static void take_marked(void *context, const struct lw_marked *marked)
{
	struct seen *seen = context;

	LIST_ADD(&seen->list, *marked);
}

static bool still_there(const struct lw_marked *marked)
{
	return lw_proc_lives(marked->pid) && lw_proc_start_time(marked->pid) == marked->start;
}

static void compare(const struct lw_marked *a, const struct lw_marked *b)
{
	if (a->worker == b->worker && a->incarnation != b->incarnation && still_there(a) &&
	    still_there(b))
		violation("worker %" PRIu64 " has two incarnations at a time: pid %d is of %" PRIu64
			  ", pid %d of %" PRIu64,
			  a->worker, (int)a->pid, a->incarnation, (int)b->pid, b->incarnation);
}

void check_processes(void)
{
	struct seen seen = { 0 };
	const char *store = check_store();

	if (store == NULL)
		return;
	(void)!lw_tree_marked(store, take_marked, &seen);
	for (size_t i = 0; i < seen.list.count; i++)
		for (size_t k = 0; k < i; k++)
			compare(&seen.list.items[k], &seen.list.items[i]);
	free(seen.list.items);
}

size_t check_left(void)
{
	struct seen seen = { 0 };
	size_t count;

	if (check_store() == NULL || lw_tree_marked(check_store(), take_marked, &seen) < 0)
		violation("not every process could be looked at");
	for (size_t i = 0; i < seen.list.count; i++) {
		char who[64];

		lw_proc_describe(seen.list.items[i].pid, who, sizeof(who));
		violation("%s of worker %" PRIu64 " outlived the supervisor", who,
			  seen.list.items[i].worker);
	}
	count = seen.list.count;
	free(seen.list.items);
	return count;
}

/* ---- the whole picture ------------------------------------------------------------------------ */

static int by_call(const struct call *a, const struct call *b)
{
	int names = strcmp(a->work, b->work);

	return names != 0 ? names : (a->n > b->n) - (a->n < b->n);
}

static int by_number(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int rows_by_id(const void *a, const void *b)
{
	return by_number(((const struct row *)a)->id, ((const struct row *)b)->id);
}

static int rows_by_call(const void *a, const void *b)
{
	int calls = by_call(&((const struct row *)a)->call, &((const struct row *)b)->call);

	return calls != 0 ? calls : rows_by_id(a, b);
}

static int events_by_run(const void *a, const void *b)
{
	const struct event *one = a, *other = b;

	return one->run != other->run           ? by_number(one->run, other->run)
	       : one->attempt != other->attempt ? by_number(one->attempt, other->attempt)
						: (one->at > other->at) - (one->at < other->at);
}

static int events_by_call(const void *a, const void *b)
{
	const struct event *one = a, *other = b;
	int calls = by_call(&one->call, &other->call);

	return calls != 0 ? calls : (one->at > other->at) - (one->at < other->at);
}

static int sights_by_call(const void *a, const void *b)
{
	const struct sight *one = a, *other = b;
	int calls = by_call(&one->call, &other->call);

	return calls != 0 ? calls : (one->at > other->at) - (one->at < other->at);
}

static int calls_in_order(const void *a, const void *b)
{
	return by_call(a, b);
}

static void order(void *items, size_t count, size_t size, int (*by)(const void *, const void *))
{
	if (count > 0)
		qsort(items, count, size, by);
}

static bool is_cached(const char *work)
{
	return strcmp(work, "always") != 0;
}

static bool may_run_again(const struct call *call)
{
	return !is_cached(call->work) || (torture.exempt.count > 0 &&
					  bsearch(call, torture.exempt.items, torture.exempt.count,
						  sizeof(*call), calls_in_order) != NULL);
}

static const struct row *find_row(uint64_t id)
{
	const struct row key = { .id = id };

	return check.rows.count == 0
		       ? NULL
		       : bsearch(&key, check.rows.items, check.rows.count, sizeof(key), rows_by_id);
}

static void take_row(sqlite3_stmt *statement)
{
	struct row row = {
		.id = (uint64_t)sqlite3_column_int64(statement, 0),
		.call = call_in((const char *)sqlite3_column_text(statement, 1),
				blob(statement, 2)),
		.stage = sqlite3_column_int(statement, 3),
		.created = sqlite3_column_int64(statement, 4),
		.ended = sqlite3_column_int64(statement, 5),
		.result = number_of(blob(statement, 6)),
	};

	LIST_ADD(&check.rows, row);
}

static void take_integrity(sqlite3_stmt *statement)
{
	const char *text = (const char *)sqlite3_column_text(statement, 0);

	if (strcmp(text, "ok") != 0)
		violation("the journal is damaged: %s", text);
}

static void load(void)
{
	sqlite3 *db = open_journal();

	if (db == NULL) {
		violation("the journal cannot be opened");
		return;
	}
	query(db, "PRAGMA integrity_check", 0, take_integrity);
	query(db,
	      "SELECT runs.id, name, form, stage, created, ended, result FROM runs"
	      " JOIN works ON works.id = work ORDER BY runs.id",
	      0, take_row);
	sqlite3_close(db);
}

/* ---- rows and events of one run ------------------------------------------------------------------ */

static bool was_asked_to_end(int64_t from, int64_t to)
{
	for (size_t i = 0; i < torture.ends_asked.count; i++)
		if (torture.ends_asked.items[i] >= from && torture.ends_asked.items[i] <= to)
			return true;
	return false;
}

static void check_begins(const struct event *one, const struct event *other)
{
	const char *work = one->call.work;

	if (one->attempt == other->attempt && strcmp(work, "ahead") != 0)
		violation("attempt %u of run %" PRIu64 " (%s n=%" PRId64 ") began twice",
			  one->attempt, one->run, work, one->call.n);
	if (strcmp(work, "once") == 0 && !was_asked_to_end(one->at - SECOND, other->at))
		violation("run %" PRIu64 " (once n=%" PRId64
			  ") began again, as attempt %u: at most once was asked for",
			  one->run, one->call.n, other->attempt);
}

static void check_outcome(const struct row *row, bool did_end, const struct event *last)
{
	if (row->stage == STAGE_SUCCEEDED && !did_end)
		violation("run %" PRIu64 " (%s n=%" PRId64
			  ") succeeded on record, and no execution of it came to its end",
			  row->id, row->call.work, row->call.n);
	if (last->at > row->ended + LATE && stage_over((enum stage)row->stage))
		violation("run %" PRIu64 " (%s n=%" PRId64 ") began %.1f s after it was over",
			  row->id, row->call.work, row->call.n,
			  (double)(last->at - row->ended) / 1e6);
}

/* The events of one run, in order. */
static void check_run(const struct event *events, size_t count)
{
	const struct row *row = find_row(events[0].run);
	const struct event *begun = NULL;
	bool did_end = false;

	for (size_t i = 0; i < count; i++) {
		did_end = did_end || events[i].what == END;
		if (by_call(&events[i].call, &events[0].call) != 0)
			violation("run %" PRIu64 " was executed for two calls", events[i].run);
		if (events[i].what != BEGIN)
			continue;
		if (begun != NULL)
			check_begins(begun, &events[i]);
		begun = &events[i];
	}
	if (row == NULL || by_call(&row->call, &events[0].call) != 0)
		violation("run %" PRIu64 " (%s n=%" PRId64
			  ") was executed, and the journal does not have it",
			  events[0].run, events[0].call.work, events[0].call.n);
	else if (begun != NULL)
		check_outcome(row, did_end, begun);
}

static void check_runs(void)
{
	const struct event *events = check.events.items;
	size_t to;

	order(check.events.items, check.events.count, sizeof(*events), events_by_run);
	for (size_t i = 0; i < check.events.count; i = to) {
		for (to = i + 1; to < check.events.count && events[to].run == events[i].run;)
			to++;
		check_run(events + i, to - i);
	}
}

static bool has_events(uint64_t run)
{
	size_t from = 0, to = check.events.count;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (check.events.items[middle].run < run)
			from = middle + 1;
		else
			to = middle;
	}
	return from < check.events.count && check.events.items[from].run == run;
}

static void check_rows(void)
{
	for (size_t i = 0; i < check.rows.count; i++) {
		const struct row *row = &check.rows.items[i];

		if (!stage_over((enum stage)row->stage))
			violation("run %" PRIu64 " (%s n=%" PRId64 ") did not come to its end",
				  row->id, row->call.work, row->call.n);
		if (row->stage != STAGE_SUCCEEDED)
			continue;
		if (row->result != torture_result(row->call.n))
			violation("run %" PRIu64 " (%s n=%" PRId64 ") has the result %" PRId64,
				  row->id, row->call.work, row->call.n, row->result);
		if (!has_events(row->id))
			violation("run %" PRIu64 " (%s n=%" PRId64
				  ") succeeded on record, and was never executed",
				  row->id, row->call.work, row->call.n);
	}
}

/* ---- rows, events and sights of one call ------------------------------------------------------------ */

static void check_rows_of_calls(void)
{
	const struct row *rows = check.rows.items, *success = NULL;

	order(check.rows.items, check.rows.count, sizeof(*rows), rows_by_call);
	for (size_t i = 0; i < check.rows.count; i++) {
		bool same = i > 0 && by_call(&rows[i - 1].call, &rows[i].call) == 0;

		torture.count.calls += !same;
		success = same ? success : NULL;
		if (success != NULL && success->ended < rows[i].created &&
		    !may_run_again(&rows[i].call))
			violation("%s n=%" PRId64 " succeeded as run %" PRIu64
				  " and was run again as run %" PRIu64,
				  rows[i].call.work, rows[i].call.n, success->id, rows[i].id);
		if (rows[i].stage == STAGE_SUCCEEDED)
			success = &rows[i];
	}
	order(check.rows.items, check.rows.count, sizeof(*rows), rows_by_id);
}

static void check_sights(void)
{
	const struct sight *sights = torture.sights.items;
	const struct event *events = check.events.items;
	size_t at = 0;

	order(torture.sights.items, torture.sights.count, sizeof(*sights), sights_by_call);
	order(check.events.items, check.events.count, sizeof(*events), events_by_call);
	for (size_t i = 0; i < check.events.count; i++) {
		while (at < torture.sights.count && by_call(&sights[at].call, &events[i].call) < 0)
			at++;
		/* The first sight of a call is the earliest. */
		if (events[i].what == BEGIN && at < torture.sights.count &&
		    by_call(&sights[at].call, &events[i].call) == 0 &&
		    sights[at].at < events[i].at && !may_run_again(&events[i].call))
			violation("%s n=%" PRId64 " was seen succeeded as run %" PRIu64
				  ", and began again as run %" PRIu64 " %.3f s later",
				  events[i].call.work, events[i].call.n, sights[at].run,
				  events[i].run, (double)(events[i].at - sights[at].at) / 1e6);
	}
	for (size_t i = 0; i < torture.sights.count; i++) {
		const struct row *row = find_row(sights[i].run);

		if (row == NULL || row->stage != STAGE_SUCCEEDED ||
		    by_call(&row->call, &sights[i].call) != 0)
			violation("run %" PRIu64 " (%s n=%" PRId64
				  ") was shown to have succeeded, and the journal says otherwise",
				  sights[i].run, sights[i].call.work, sights[i].call.n);
	}
}

static void check_made(void)
{
	for (size_t i = 0; i < torture.made.count; i++) {
		const struct sight *made = &torture.made.items[i];
		const struct row *row = find_row(made->run);

		if (row == NULL || by_call(&row->call, &made->call) != 0)
			violation("run %" PRIu64 " (%s n=%" PRId64
				  ") was confirmed to a client, and is lost",
				  made->run, made->call.work, made->call.n);
	}
}

/* ---- lines -------------------------------------------------------------------------------------------- */

static const struct lines *find_lines(const struct event *end)
{
	const struct lines *found = NULL;

	for (size_t i = 0; i < torture.lines.count; i++) {
		const struct lines *lines = &torture.lines.items[i];

		if (lines->run == end->run && lines->attempt == end->attempt)
			found = found != NULL && found->whole ? found : lines;
	}
	return found;
}

/* The supervisor that saw the whole of it and had time to write it down. */
static bool had_a_witness(int64_t from, int64_t to)
{
	for (size_t i = 0; i < torture.lives.count; i++) {
		const struct life *life = &torture.lives.items[i];

		if (life->from <= from && life->to >= to + TO_SAY &&
		    life->to >= life->since + TO_SAY)
			return !life->dropped;
	}
	return false;
}

/* In the order of calls; the begin stands before the end. What a supervisor had read and not
 * written when it died is lost with it. */
static void check_lines(void)
{
	const struct event *begun = NULL;

	for (size_t i = 0; i < check.events.count; i++) {
		const struct event *event = &check.events.items[i];
		const struct lines *lines;

		if (strcmp(event->call.work, "floods") != 0)
			continue;
		if (event->what == BEGIN)
			begun = event;
		if (event->what != END || begun == NULL)
			continue;
		lines = find_lines(event);
		if (lines != NULL && lines->whole)
			continue;
		torture.count.lines_lost++;
		if (had_a_witness(begun->at, event->at))
			violation("run %" PRIu64 " attempt %u printed lines that nobody saw (%d)",
				  event->run, event->attempt, lines != NULL ? lines->next - 1 : 0);
	}
}

void check_all(void)
{
	check_progress();
	load();
	order(torture.exempt.items, torture.exempt.count, sizeof(struct call), calls_in_order);
	check_runs();
	check_rows();
	check_made();
	check_rows_of_calls();
	check_sights();
	check_lines();
}
