/* journal.c - batches to the thread that owns the store, and who waits for them.
 *
 * The loop gathers the changes of a turn in `open` and, in LOOP_LATE, appends them to `pending`.
 * The thread takes all that is pending at a time and applies it in one transaction: the slower
 * the disk, the more turns share one. It tells the loop through an eventfd. Nothing but what
 * stands in `shared` is touched by both; the thread has the store, the loop everything else.
 */
#include "journal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lw_log.h"

#define BEHIND       (16u << 20) /* pending bytes above which no run starts */
#define DEAF         (64u << 20) /* and above which no worker is heard */
#define CAUGHT_UP    (4u << 20)  /* and below which runs start again */
#define PENDING_KEPT (128 << 10) /* buffers that are larger are given back */
#define RETRY_AFTER  1           /* s, when the store could not be written */
#define UPKEEP_EVERY 1           /* s between two looks at what may be deleted, while it is busy */
#define TRIM_MOST    2000        /* rows deleted at a time */

struct tasks {
	struct journal_task *first, **end;
};

/* Under `lock`. */
struct shared {
	struct lw_buf pending; /* changes that the thread has not taken */
	uint64_t pending_batch;
	struct tasks asked, answered;
	uint64_t stable;
	int result; /* of the latest try; text in err */
	struct lw_err err;
	bool told; /* the eventfd is set */
	bool leave;
};

struct journal {
	struct loop *loop;
	struct journal_options options;
	struct store *store; /* the thread's, once it runs */
	struct store_reader *reader;
	char id[STORE_ID + 1];
	uint8_t secret[LW_KEY_SECRET];

	struct lw_buf open; /* changes of this turn */
	struct lw_buf past; /* scratch */
	struct run *noted, **noted_end;
	uint64_t batch, handed, stable;
	struct journal_wait *waits, **waits_end; /* by batch */
	struct loop_task commit;
	bool behind;
	char *error;
	struct event *answer_event;
	int eventfd;

	pthread_t thread;
	bool runs; /* the thread does */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct shared shared;
	uint64_t size; /* of the store; atomic, as are these: */
	uint64_t transactions, changes;
	size_t backlog; /* bytes that are not written */
};

/* ---- the thread ------------------------------------------------------------------------------- */

/* What the thread has in hand. */
struct writer {
	struct lw_buf bytes; /* taken, and not applied yet */
	uint64_t batch;
	struct tasks tasks;
	struct timespec upkeep;
	int result;
	struct lw_err err;
};

static void tasks_add(struct tasks *tasks, struct journal_task *task)
{
	if (tasks->end == NULL)
		tasks->end = &tasks->first;
	task->next = NULL;
	*tasks->end = task;
	tasks->end = &task->next;
}

static struct journal_task *tasks_take(struct tasks *tasks)
{
	struct journal_task *task = tasks->first;

	if (task == NULL)
		return NULL;
	tasks->first = task->next;
	if (tasks->first == NULL)
		tasks->end = &tasks->first;
	return task;
}

static bool has_work(const struct shared *shared, const struct writer *writer)
{
	return shared->leave || shared->asked.first != NULL ||
	       (writer->result == 0 && shared->pending_batch != writer->batch);
}

/* Until there is something to do; or, when the last batch could not be written, for a while. */
static void await_work(struct journal *journal, const struct writer *writer)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_AFTER;
	while (!has_work(&journal->shared, writer)) {
		if (writer->result == 0)
			pthread_cond_wait(&journal->wake, &journal->lock);
		else if (pthread_cond_timedwait(&journal->wake, &journal->lock, &until) != 0)
			return;
	}
}

static void swap(struct lw_buf *a, struct lw_buf *b)
{
	struct lw_buf c = *a;

	*a = *b;
	*b = c;
}

/* Everything that is pending, unless there is a batch in hand that must be written before. */
static void take_pending(struct journal *journal, struct writer *writer)
{
	struct shared *shared = &journal->shared;
	struct journal_task *task;

	if (writer->bytes.size == 0) {
		swap(&writer->bytes, &shared->pending);
		writer->batch = shared->pending_batch;
	}
	while ((task = tasks_take(&shared->asked)) != NULL)
		tasks_add(&writer->tasks, task);
}

static void apply(struct journal *journal, struct writer *writer)
{
	writer->result = 0;
	if (writer->bytes.size > 0)
		writer->result =
			store_apply(journal->store, lw_buf_slice(&writer->bytes), &writer->err);
	if (writer->result < 0)
		return;
	if (writer->bytes.size > 0)
		__atomic_add_fetch(&journal->transactions, 1, __ATOMIC_RELAXED);
	lw_buf_shrink(&writer->bytes, PENDING_KEPT);
	writer->bytes.size = 0;
}

static void keep_up(struct journal *journal, struct writer *writer)
{
	struct timespec now;
	struct lw_err err;

	clock_gettime(CLOCK_MONOTONIC, &now);
	__atomic_store_n(&journal->size, store_size(journal->store), __ATOMIC_RELAXED);
	__atomic_store_n(&journal->changes, store_changes(journal->store), __ATOMIC_RELAXED);
	if (writer->result < 0)
		return;
	store_checkpoint(journal->store);
	if (now.tv_sec - writer->upkeep.tv_sec < UPKEEP_EVERY)
		return;
	writer->upkeep = now;
	/* What was not deleted now is so later; an error shows at the next batch as well. */
	(void)!store_trim(journal->store, journal->options.runs_keep, TRIM_MOST, &err);
}

static void do_task(struct journal *journal, struct journal_task *task)
{
	if (task->does == JOURNAL_FIND)
		task->result = store_find(journal->store, &task->search, &task->rows, &task->err);
	else
		task->result = store_backup(journal->store, task->path, &task->err);
}

static void do_tasks(struct journal *journal, struct writer *writer)
{
	for (struct journal_task *task = writer->tasks.first; task != NULL; task = task->next)
		do_task(journal, task);
}

static void wake_loop(const struct journal *journal)
{
	uint64_t one = 1;

	while (write(journal->eventfd, &one, sizeof(one)) < 0)
		if (errno != EINTR)
			lw_fatal("cannot wake the loop: %s", strerror(errno));
}

static void publish(struct journal *journal, struct writer *writer)
{
	struct shared *shared = &journal->shared;
	struct journal_task *task;

	__atomic_store_n(&journal->backlog, writer->bytes.size + shared->pending.size,
			 __ATOMIC_RELAXED);
	shared->result = writer->result;
	shared->err = writer->err;
	if (writer->result == 0)
		shared->stable = writer->batch;
	while ((task = tasks_take(&writer->tasks)) != NULL)
		tasks_add(&shared->answered, task);
	if (!shared->told)
		wake_loop(journal);
	shared->told = true;
}

static void *write_batches(void *context)
{
	struct journal *journal = context;
	struct writer writer = { 0 }; /* batch 0: the first one may have been handed over already */
	bool leave = false;

	pthread_mutex_lock(&journal->lock);
	while (!leave) { /* whatever was handed over before we came is pending */
		await_work(journal, &writer);
		leave = journal->shared.leave;
		do {
			take_pending(journal, &writer);
			pthread_mutex_unlock(&journal->lock);
			apply(journal, &writer);
			do_tasks(journal, &writer);
			pthread_mutex_lock(&journal->lock);
			publish(journal, &writer);
			pthread_mutex_unlock(&journal->lock);
			keep_up(journal, &writer); /* whoever waits knows by now */
			pthread_mutex_lock(&journal->lock);
		} while (leave && writer.result == 0 &&
			 writer.batch != journal->shared.pending_batch);
	}
	pthread_mutex_unlock(&journal->lock);
	lw_buf_done(&writer.bytes);
	return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct journal *journal, struct lw_err *err)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&journal->thread, NULL, write_batches, journal);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return lw_err_sys(err, -r, "cannot start the journal's thread");
	journal->runs = true;
	return 0;
}

/* ---- the loop: what the thread told ------------------------------------------------------------- */

static void told(struct journal *journal, struct journal_wait *wait, int r)
{
	journal_cancel(journal, wait);
	wait->done(wait, r);
}

/* Whoever is told may wait again, for a later batch, or cancel another. */
static void tell_stable(struct journal *journal)
{
	while (journal->waits != NULL && journal->waits->batch <= journal->stable)
		told(journal, journal->waits, 0);
}

/* Those that wait now; who waits again is told when that changes. */
static void tell_failed(struct journal *journal, int r)
{
	size_t count = 0;

	for (struct journal_wait *wait = journal->waits; wait != NULL; wait = wait->next)
		count++;
	for (; count > 0 && journal->waits != NULL; count--)
		told(journal, journal->waits, r);
}

static void note_error(struct journal *journal, int r, const struct lw_err *err)
{
	bool same = journal->error != NULL && r < 0 && strcmp(journal->error, err->text) == 0;

	if (same || (r == 0 && journal->error == NULL))
		return;
	if (r < 0)
		lw_log(LW_LOG_ERROR, "%s; no run starts until it can be written", err->text);
	else
		lw_log(LW_LOG_INFO, "the journal can be written again");
	free(journal->error);
	journal->error = r < 0 ? lw_strdup(err->text) : NULL;
	journal->options.changed(journal->options.context);
}

static void note_backlog(struct journal *journal, size_t pending)
{
	bool behind = pending > (journal->behind ? CAUGHT_UP : BEHIND);

	if (behind == journal->behind)
		return;
	journal->behind = behind;
	lw_log(LW_LOG_DEBUG, "journal pending=%zu %s", pending,
	       behind ? "is behind, no run starts" : "has caught up");
	journal->options.changed(journal->options.context);
}

static void answer_tasks(struct journal_task *task)
{
	while (task != NULL) {
		struct journal_task *next = task->next;

		if (task->abandoned) {
			lw_buf_done(&task->rows);
			free(task->path);
			free(task);
		} else {
			task->done(task);
		}
		task = next;
	}
}

/* Takes over what the thread published. */
static void hear(struct journal *journal)
{
	struct shared *shared = &journal->shared;
	struct journal_task *answered;
	struct lw_err err;
	size_t pending;
	uint64_t number;
	int r;

	pthread_mutex_lock(&journal->lock);
	(void)!read(journal->eventfd, &number, sizeof(number));
	shared->told = false;
	r = shared->result;
	err = shared->err;
	journal->stable = shared->stable > journal->stable ? shared->stable : journal->stable;
	pending = shared->pending.size;
	answered = shared->answered.first;
	shared->answered = (struct tasks){ 0 };
	pthread_mutex_unlock(&journal->lock);
	note_error(journal, r, &err);
	note_backlog(journal, pending);
	tell_stable(journal);
	if (r < 0)
		tell_failed(journal, r);
	answer_tasks(answered);
}

static void on_answer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	hear(context);
}

/* ---- the loop: handing over ------------------------------------------------------------------------ */

static void encode_noted(struct journal *journal)
{
	struct run *run;

	while ((run = journal->noted) != NULL) {
		struct run_row row;

		journal->noted = run->next_noted;
		run->next_noted = NULL;
		run->noted = false;
		run->batch = journal->batch;
		run_to_row(run, &journal->past, &row);
		if (run->recorded)
			store_put_run(&journal->open, &row);
		else
			store_put_run_new(&journal->open, &row);
		run->recorded = true;
		run_unref(run);
	}
	journal->noted_end = &journal->noted;
}

static void hand_over(struct journal *journal)
{
	struct shared *shared = &journal->shared;
	size_t pending, more;

	encode_noted(journal);
	more = journal->open.size;
	journal->handed = journal->batch++;
	if (journal->open.size == 0 && journal->stable + 1 == journal->handed) {
		journal->stable = journal->handed; /* nothing to write, and nothing before it */
		pthread_mutex_lock(&journal->lock);
		shared->pending_batch = shared->stable = journal->stable;
		pthread_mutex_unlock(&journal->lock);
		return;
	}
	pthread_mutex_lock(&journal->lock);
	if (shared->pending.size == 0)
		swap(&shared->pending, &journal->open);
	else
		lw_buf_add(&shared->pending, journal->open.data, journal->open.size);
	shared->pending_batch = journal->handed;
	pending = shared->pending.size;
	__atomic_add_fetch(&journal->backlog, more, __ATOMIC_RELAXED);
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
	lw_buf_shrink(&journal->open, PENDING_KEPT);
	note_backlog(journal, pending);
}

/* The turn's batch is handed over, in one step after everything else of the turn. */
static void on_commit(struct loop_task *task)
{
	struct journal *journal = LW_OWNER(task, struct journal, commit);

	hand_over(journal);
	tell_stable(journal);
}

static void note(struct journal *journal)
{
	loop_post(journal->loop, LOOP_LATE, &journal->commit);
}

/* ---- opening and closing ---------------------------------------------------------------------------- */

/* What nobody hands over any more: the thread has left, or never was. */
static void drop_noted(struct journal *journal)
{
	struct run *run;

	while ((run = journal->noted) != NULL) {
		journal->noted = run->next_noted;
		run->noted = false;
		run_unref(run);
	}
}

static void init_locks(struct journal *journal)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&journal->lock, NULL);
	pthread_cond_init(&journal->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

static int open_store(struct journal *journal, struct lw_err *err)
{
	const struct journal_options *options = &journal->options;
	int r = store_open(options->dir, options->durability, &journal->store, err);

	if (r >= 0)
		r = store_reader_open(options->dir, &journal->reader, err);
	if (r < 0)
		return r;
	memcpy(journal->id, store_id(journal->store), STORE_ID);
	memcpy(journal->secret, store_secret(journal->store), LW_KEY_SECRET);
	journal->size = store_size(journal->store);
	journal->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (journal->eventfd < 0)
		return lw_err_sys(err, -errno, "cannot make an eventfd");
	journal->answer_event = event_new(loop_base(journal->loop), journal->eventfd,
					  EV_READ | EV_PERSIST, on_answer, journal);
	if (journal->answer_event == NULL)
		lw_fatal("out of memory");
	loop_watch(journal->answer_event);
	return 0;
}

int journal_open(struct loop *loop, const struct journal_options *options,
		 struct journal **ret_journal, struct lw_err *err)
{
	struct journal *journal = LW_NEW(struct journal);
	int r;

	journal->loop = loop;
	journal->options = *options;
	journal->eventfd = -1;
	journal->batch = 1;
	journal->noted_end = &journal->noted;
	journal->waits_end = &journal->waits;
	journal->commit.run = on_commit;
	init_locks(journal);
	r = open_store(journal, err);
	if (r < 0) {
		journal_free(journal);
		return r;
	}
	*ret_journal = journal;
	return 0;
}

int journal_load(struct journal *journal, const struct store_load *load, struct lw_err *err)
{
	int r = store_load(journal->store, load, err);

	return r < 0 ? r : start_thread(journal, err);
}

int journal_last_run(struct journal *journal, uint64_t *ret_id, struct lw_err *err)
{
	return store_last_run(journal->store, ret_id, err);
}

uint64_t journal_estimate(struct journal *journal)
{
	return store_estimate(journal->store);
}

int journal_stop(struct journal *journal, struct lw_err *err)
{
	int r;

	if (!journal->runs)
		return 0;
	hand_over(journal);
	pthread_mutex_lock(&journal->lock);
	journal->shared.leave = true;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
	pthread_join(journal->thread, NULL);
	journal->runs = false;
	r = journal->shared.result;
	if (r < 0)
		return lw_err_set(err, r, "%s", journal->shared.err.text);
	journal->stable = journal->handed;
	return 0;
}

void journal_free(struct journal *journal)
{
	struct lw_err err;

	if (journal == NULL)
		return;
	(void)!journal_stop(journal, &err); /* the thread has the store */
	loop_cancel(journal->loop, &journal->commit);
	drop_noted(journal);
	answer_tasks(journal->shared.answered.first);
	store_reader_close(journal->reader);
	store_close(journal->store);
	if (journal->answer_event != NULL)
		event_free(journal->answer_event);
	lw_close(journal->eventfd);
	pthread_mutex_destroy(&journal->lock);
	pthread_cond_destroy(&journal->wake);
	lw_buf_done(&journal->open);
	lw_buf_done(&journal->past);
	lw_buf_done(&journal->shared.pending);
	free(journal->error);
	free(journal);
}

const char *journal_store(const struct journal *journal)
{
	return journal->id;
}

const uint8_t *journal_secret(const struct journal *journal)
{
	return journal->secret;
}

/* ---- noting ------------------------------------------------------------------------------------------- */

void journal_run(struct journal *journal, struct run *run)
{
	if (run->noted)
		return;
	run->noted = true;
	*journal->noted_end = run_ref(run);
	journal->noted_end = &run->next_noted;
	note(journal);
}

void journal_flags(struct journal *journal, struct run *run, uint64_t id, uint8_t flags)
{
	if (run != NULL) { /* its whole row is written when the turn ends */
		run->flags = flags;
		journal_run(journal, run);
		return;
	}
	store_put_flags(&journal->open, id, flags);
	note(journal);
}

void journal_work(struct journal *journal, const struct work_row *row)
{
	store_put_work(&journal->open, row);
	note(journal);
}

void journal_worker(struct journal *journal, const struct worker_row *row)
{
	store_put_worker(&journal->open, row);
	note(journal);
}

void journal_worker_gone(struct journal *journal, uint64_t worker)
{
	store_put_worker_gone(&journal->open, worker);
	note(journal);
}

void journal_applied(struct journal *journal, uint64_t worker, uint64_t applied)
{
	store_put_applied(&journal->open, worker, applied);
	note(journal);
}

void journal_state(struct journal *journal, uint32_t work, struct lw_slice name,
		   struct lw_slice value)
{
	bool nil = value.size == 1 && value.data[0] == 0xc0;

	store_put_state(&journal->open, work, name, nil ? (struct lw_slice){ 0 } : value);
	note(journal);
}

void journal_mark(struct journal *journal, const char *mark, int64_t at)
{
	store_put_mark(&journal->open, (struct lw_slice){ (const uint8_t *)mark, strlen(mark) },
		       at);
	note(journal);
}

void journal_pause(struct journal *journal, const struct pause_row *row)
{
	store_put_pause(&journal->open, row);
	note(journal);
}

uint64_t journal_batch(const struct journal *journal)
{
	return journal->batch;
}

uint64_t journal_stable(const struct journal *journal)
{
	return journal->stable;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

void journal_wait(struct journal *journal, struct journal_wait *wait)
{
	wait->batch = journal->batch;
	wait->next = NULL;
	wait->link = journal->waits_end;
	*journal->waits_end = wait;
	journal->waits_end = &wait->next;
	note(journal);
}

void journal_cancel(struct journal *journal, struct journal_wait *wait)
{
	if (wait->link == NULL)
		return;
	*wait->link = wait->next;
	if (wait->next != NULL)
		wait->next->link = wait->link;
	else if (journal->waits_end == &wait->next)
		journal->waits_end = wait->link;
	wait->link = NULL;
	wait->next = NULL;
}

bool journal_takes_runs(const struct journal *journal)
{
	return journal->error == NULL && !journal->behind;
}

bool journal_takes_reports(const struct journal *journal)
{
	return !journal->behind || journal_backlog(journal) < DEAF;
}

const char *journal_error(const struct journal *journal)
{
	return journal->error;
}

size_t journal_backlog(const struct journal *journal)
{
	return __atomic_load_n(&journal->backlog, __ATOMIC_RELAXED);
}

uint64_t journal_size(const struct journal *journal)
{
	return __atomic_load_n(&journal->size, __ATOMIC_RELAXED);
}

uint64_t journal_transactions(const struct journal *journal)
{
	return __atomic_load_n(&journal->transactions, __ATOMIC_RELAXED);
}

uint64_t journal_changes(const struct journal *journal)
{
	return __atomic_load_n(&journal->changes, __ATOMIC_RELAXED);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

int journal_read(struct journal *journal, uint64_t id, struct run_row *ret_row, struct lw_err *err)
{
	return store_reader_run(journal->reader, id, ret_row, err);
}

int journal_read_form(struct journal *journal, uint64_t id, struct lw_slice *ret_form,
		      struct lw_err *err)
{
	return store_reader_form(journal->reader, id, ret_form, err);
}

/* What was noted before is handed over first, so that the thread has it. */
void journal_ask(struct journal *journal, struct journal_task *task)
{
	task->abandoned = false;
	hand_over(journal);
	tell_stable(journal);
	pthread_mutex_lock(&journal->lock);
	tasks_add(&journal->shared.asked, task);
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
}

void journal_abandon(struct journal *journal, struct journal_task *task)
{
	(void)journal;
	task->abandoned = true; /* the thread does not look at it */
}
