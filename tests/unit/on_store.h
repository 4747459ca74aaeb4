/* on_store.h - a store in a fresh folder, rows that are odd, and what a load tells; for test_store.c
 * and test_store_harm.c. The store is open when a test begins and is closed after it. */
#ifndef LW_TESTS_ON_STORE_H
#define LW_TESTS_ON_STORE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"
#include "store.h"

static char folder[] = "/tmp/lw-store-XXXXXX";
static char *file; /* the journal in it */
static struct store *store;
static struct lw_buf batch;
static struct lw_err err;

#define PAGE       4096 /* SQLite's */

#define GOOD(call) cr_assert_geq(call, 0, "%s", err.text)

static LW_UNUSED void open_store(void)
{
	GOOD(store_open(folder, DURABILITY_PROCESS, &store, &err));
}

static LW_UNUSED void close_store(void)
{
	store_close(store);
	store = NULL;
}

static LW_UNUSED void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	file = lw_format("%s/%s", folder, STORE_FILE);
	open_store();
}

static LW_UNUSED void tear_down(void)
{
	LW_AUTO(lw_free) char *remove = lw_format("rm -rf '%s'", folder);

	close_store();
	lw_buf_done(&batch);
	lw_free(file);
	cr_assert_eq(system(remove), 0);
}

static LW_UNUSED struct lw_slice text(const char *s)
{
	return (struct lw_slice){ (const uint8_t *)s, strlen(s) };
}

static LW_UNUSED int try_apply(void)
{
	return store_apply(store, lw_buf_slice(&batch), &err);
}

/* Applies what was put and begins a new batch. */
static LW_UNUSED void apply(void)
{
	GOOD(try_apply());
	batch.size = 0;
}

/* ---- rows that are odd in every field -------------------------------------------------------- */

static LW_UNUSED struct run_row plain_run(uint64_t id)
{
	return (struct run_row){ .id = id,
				 .work = 1,
				 .stage = STAGE_PENDING,
				 .created = 1000 + (int64_t)id,
				 .form = text("a form of about this length") };
}

static LW_UNUSED struct run_row odd_run(uint64_t id)
{
	static const uint8_t bytes[] = { 0, 0xff, 0, 0x80 };
	static uint8_t large[100000];

	memset(large, 0xa5, sizeof(large));
	return (struct run_row){
		.id = id,
		.work = UINT32_MAX,
		.stage = STAGE_RUNNING,
		.by = 255,
		.why = 254,
		.flags = 253,
		.attempt = UINT32_MAX,
		.failures = UINT32_MAX - 1,
		.lost = 1u << 31,
		.rank = INT64_MIN,
		.created = -1,
		.started = INT64_MAX,
		.ended = INT64_MIN + 1,
		.due = 1,
		.worker = UINT64_MAX,
		.incarnation = 1ull << 63,
		.form = { large, sizeof(large) },
		.call = { bytes, sizeof(bytes) },
		.result = { large, sizeof(large) - 1 },
		.reason = { (const uint8_t *)"a\0b", 3 },
		.message = text(""),
		.past = { bytes, 1 },
	};
}

static LW_UNUSED bool same(struct lw_slice a, struct lw_slice b)
{
	return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* clang-format off */
#define SAME(field)  cr_expect(a->field == b->field, #field);
#define ALIKE(field) cr_expect(same(a->field, b->field), #field);

static LW_UNUSED void expect_kept(const struct run_row *a, const struct run_row *b)
{
	SAME(id) SAME(work) SAME(stage) SAME(by) SAME(why) SAME(flags) SAME(started) SAME(ended)
	ALIKE(form)
}

static LW_UNUSED void expect_run(const struct run_row *a, const struct run_row *b)
{
	expect_kept(a, b);
	SAME(attempt) SAME(failures) SAME(lost) SAME(rank) SAME(created) SAME(due) SAME(worker)
	SAME(incarnation)
	ALIKE(call) ALIKE(result) ALIKE(reason) ALIKE(message) ALIKE(past)
}
/* clang-format on */

/* What store_load() tells, in order: a letter and a number each. */
struct loaded {
	struct lw_buf trace;
	size_t kept, open;
	const struct run_row *expected; /* of the next run; or NULL */
	int answer;                     /* of the callbacks of runs */
};

static LW_UNUSED int on_work(void *context, const struct work_row *row)
{
	lw_buf_printf(&((struct loaded *)context)->trace, "W%u %.*s %.*s %d%d\n", row->id,
		      (int)row->name.size, (const char *)row->name.data, (int)row->settings.size,
		      (const char *)row->settings.data, row->held, row->made_in_pass);
	return 0;
}

static LW_UNUSED int on_state(void *context, uint32_t work, struct lw_slice name,
			      struct lw_slice value)
{
	lw_buf_printf(&((struct loaded *)context)->trace, "S%u %.*s=%.*s\n", work, (int)name.size,
		      (const char *)name.data, (int)value.size, (const char *)value.data);
	return 0;
}

static LW_UNUSED int on_mark(void *context, struct lw_slice mark, int64_t at)
{
	lw_buf_printf(&((struct loaded *)context)->trace, "M%.*s %lld\n", (int)mark.size,
		      (const char *)mark.data, (long long)at);
	return 0;
}

static LW_UNUSED int on_pause(void *context, const struct pause_row *row)
{
	lw_buf_printf(&((struct loaded *)context)->trace, "Z%u %lld %.*s\n", row->work,
		      (long long)row->at, (int)row->by.size, (const char *)row->by.data);
	return 0;
}

static LW_UNUSED int on_worker(void *context, const struct worker_row *row)
{
	lw_buf_printf(&((struct loaded *)context)->trace,
		      "P%llu %u %u %llu %llu %lld %llu %llu %.*s %.*s %u %d\n",
		      (unsigned long long)row->id, row->work, row->slot,
		      (unsigned long long)row->incarnation, (unsigned long long)row->applied,
		      (long long)row->pid, (unsigned long long)row->start,
		      (unsigned long long)row->handle, (int)row->boot.size,
		      (const char *)row->boot.data, (int)row->token.size,
		      (const char *)row->token.data, row->ending, row->ready);
	return 0;
}

static LW_UNUSED int on_kept(void *context, const struct run_row *row)
{
	struct loaded *loaded = context;

	lw_buf_printf(&loaded->trace, "K%llu\n", (unsigned long long)row->id);
	loaded->kept++;
	if (loaded->expected != NULL)
		expect_kept(row, loaded->expected);
	return loaded->answer;
}

static LW_UNUSED int on_open(void *context, const struct run_row *row)
{
	struct loaded *loaded = context;

	lw_buf_printf(&loaded->trace, "O%llu\n", (unsigned long long)row->id);
	loaded->open++;
	if (loaded->expected != NULL)
		expect_run(row, loaded->expected);
	return loaded->answer;
}

static LW_UNUSED int load(struct loaded *loaded)
{
	const struct store_load told = { loaded,   on_work,   on_state, on_mark,
					 on_pause, on_worker, on_kept,  on_open };

	return store_load(store, &told, &err);
}

static LW_UNUSED void expect_load(const char *expected)
{
	struct loaded loaded = { 0 };

	GOOD(load(&loaded));
	cr_expect_str_eq(lw_buf_text(&loaded.trace), expected);
	lw_buf_done(&loaded.trace);
}

/* The one run of this id, by the reader, which opens for it. */
static LW_UNUSED void expect_read(const struct run_row *expected)
{
	struct store_reader *reader;
	struct run_row row;

	GOOD(store_reader_open(folder, &reader, &err));
	cr_assert_eq(store_reader_run(reader, expected->id, &row, &err), 1, "%s", err.text);
	expect_run(&row, expected);
	store_reader_close(reader);
}

/* A run of that stage and those flags. */
static LW_UNUSED void put(uint64_t id, uint32_t work, enum stage stage, uint8_t flags)
{
	struct run_row row = plain_run(id);

	row.work = work;
	row.stage = (uint8_t)stage;
	row.flags = flags;
	store_put_run_new(&batch, &row);
}

static LW_UNUSED uint64_t dice(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static LW_UNUSED off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Files in the folder. */
static LW_UNUSED size_t count_files(void)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	cr_assert_not_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static LW_UNUSED void limit_files(rlim_t size)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
