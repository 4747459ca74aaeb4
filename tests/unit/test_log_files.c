/* links: lw_supervisor
 *
 * test_log_files.c - files of lines: rotation, a disk that takes nothing, a supervisor that died. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_files.h"
#include "lw_log.h"

static char folder[] = "/tmp/test_log_files.XXXXXX";
static struct log_files *files;
static struct log_file *file;
static struct log_batch batch;
static struct lw_buf logged;
static struct lw_buf text;

#define HEAD      "2025-11-26T00:06:01.123456Z 812 7 out "
#define HEAD_SIZE (sizeof(HEAD) - 1)
static const struct lw_logfile_line like = { .at = INT64_C(1764115561123456),
					     .pid = 812,
					     .run = 7 };

static int remove_entry(const char *path, const struct stat *stat_of, int type, struct FTW *where)
{
	(void)stat_of;
	(void)type;
	(void)where;
	return remove(path);
}

static void sink(void *context, enum lw_log_level level, const char *line)
{
	(void)context;
	lw_buf_printf(&logged, "%s: %s\n", lw_log_level_name(level), line);
}

static void begin(void)
{
	files = log_files_new(folder);
	file = log_file_open(files, "w");
	batch = (struct log_batch){ .file = file };
	log_batch_like(&batch, &like);
}

static void end(void)
{
	log_batch_done(&batch);
	log_file_close(file);
	log_files_free(files);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	signal(SIGXFSZ, SIG_IGN);
	lw_log_to(sink, NULL);
	begin();
}

static void tear_down(void)
{
	end();
	lw_log_to(NULL, NULL);
	lw_buf_done(&logged);
	lw_buf_done(&text);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(log_files, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *path_of(const char *name)
{
	static char path[2][256];
	static size_t turn;

	snprintf(path[++turn % 2], sizeof(path[0]), "%s/logs/%s", folder, name);
	return path[turn % 2];
}

static void add(const char *line)
{
	cr_assert(log_batch_add(&batch, (struct lw_slice){ (const uint8_t *)line, strlen(line) },
				false));
}

static bool write_batch(void)
{
	struct log_place place;

	if (!log_batch_place(&batch, &place))
		return false;
	log_batch_write(&batch);
	return true;
}

static void put(const char *line)
{
	add(line);
	write_batch();
}

/* What is in the file, heads left out; NULL: it is not there. */
static const char *read_back(const char *name)
{
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	LW_AUTO_BUF raw = { 0 };
	ssize_t n = 1;

	if (fd < 0)
		return NULL;
	for (; n > 0; raw.size += (size_t)n) {
		lw_buf_grow(&raw, 65536);
		n = read(fd, raw.data + raw.size, 65536);
		cr_assert_geq(n, 0);
	}
	close(fd);
	text.size = 0;
	for (char *line = strtok(lw_buf_text(&raw), "\n"); line != NULL;
	     line = strtok(NULL, "\n")) {
		bool ours = strncmp(line, HEAD, HEAD_SIZE) == 0;

		lw_buf_printf(&text, "%s\n", ours ? line + HEAD_SIZE : line);
	}
	return lw_buf_text(&text);
}

static void expect_file(const char *name, const char *wanted)
{
	const char *is = read_back(name);

	if (wanted == NULL)
		cr_expect_null(is, "%s has %s", name, is);
	else
		cr_expect(is != NULL && strcmp(is, wanted) == 0, "%s has %s", name,
			  is != NULL ? is : "(nothing)");
}

static off_t size_of(const char *name)
{
	struct stat stat_of;

	return stat(path_of(name), &stat_of) == 0 ? stat_of.st_size : -1;
}

Test(log_files, a_batch_is_written_in_one_go_and_only_we_can_read_it)
{
	struct stat stat_of;

	cr_expect_eq(size_of("w.log"), -1, "not before there is something to write");
	(void)umask(0);
	add("one");
	add("");
	cr_assert(log_batch_add(&batch, (struct lw_slice){ (const uint8_t *)"a\0b", 3 }, true));
	write_batch();
	cr_expect_eq(stat(path_of("w.log"), &stat_of), 0);
	cr_expect_eq(stat_of.st_mode & 07777, 0600);
	cr_expect_eq(stat_of.st_size, 3 * (int)HEAD_SIZE + 4 + 1 + 5);
	cr_expect_eq(stat(path_of(""), &stat_of), 0);
	cr_expect_eq(stat_of.st_mode & 07777, 0700);
}

Test(log_files, before_a_file_would_be_larger_than_it_may_it_is_rotated)
{
	log_file_limits(file, 2 * (HEAD_SIZE + 2), 2);
	for (int i = 0; i < 9; i++) {
		const char line[] = { (char)('0' + i), '\0' };

		put(line);
		cr_assert_leq(size_of("w.log"), 2 * (off_t)(HEAD_SIZE + 2));
	}
	expect_file("w.log", "8\n");
	expect_file("w.log.1", "6\n7\n");
	expect_file("w.log.2", "4\n5\n");
	expect_file("w.log.3", NULL);
}

Test(log_files, a_batch_takes_no_line_for_which_the_file_has_no_room_and_a_long_one_is_alone)
{
	const struct lw_slice line = { (const uint8_t *)"x", 1 };

	log_file_limits(file, 3 * (HEAD_SIZE + 2), 4);
	put("0");
	add("1");
	add("2");
	cr_expect_not(log_batch_add(&batch, line, false));
	write_batch();
	add("a line that is longer than the whole file may be, so that there is nothing else "
	    "beside "
	    "it, before or behind, wherever it stands");
	cr_expect_not(log_batch_add(&batch, line, false));
	write_batch();
	put("3");
	expect_file("w.log", "3\n");
	expect_file("w.log.2", "0\n1\n2\n");
	cr_expect_gt(size_of("w.log.1"), 3 * (off_t)(HEAD_SIZE + 2));
}

Test(log_files, fewer_files_are_kept_from_the_next_rotation_on_or_none)
{
	log_file_limits(file, 1, 4);
	for (int i = 0; i < 6; i++)
		put("x");
	cr_expect_geq(size_of("w.log.4"), 0);
	cr_expect_eq(size_of("w.log.5"), -1);
	log_file_limits(file, 1, 1);
	put("y");
	cr_expect_geq(size_of("w.log.1"), 0);
	cr_expect_eq(size_of("w.log.2"), -1);
	cr_expect_eq(size_of("w.log.4"), -1);
	log_file_limits(file, 1, 0);
	put("z");
	cr_expect_eq(size_of("w.log.1"), -1);
	expect_file("w.log", "z\n");
	log_file_limits(file, 0, 0);
	put("never rotated");
	expect_file("w.log", "z\nnever rotated\n");
}

Test(log_files, the_next_supervisor_goes_on_in_the_same_file_and_ends_a_line_that_was_torn)
{
	int fd;

	put("one");
	end();
	fd = open(path_of("w.log"), O_WRONLY | O_APPEND | O_CLOEXEC);
	cr_assert_eq(write(fd, "torn", 4), 4);
	close(fd);
	begin();
	put("two");
	expect_file("w.log", "one\ntorn\ntwo\n");
}

Test(log_files, a_file_that_was_removed_with_its_folder_or_shortened_is_made_again)
{
	put("one");
	unlink(path_of("w.log"));
	put("two");
	expect_file("w.log", "two\n");
	nftw(path_of(""), remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	put("three");
	expect_file("w.log", "three\n");
	cr_assert_eq(truncate(path_of("w.log"), 0), 0);
	put("four");
	expect_file("w.log", "four\n");
	cr_expect_eq(log_file_lost(file), 0);
	cr_expect_eq(logged.size, 0);
}

Test(log_files, a_line_that_somebody_else_left_without_its_end_is_ended)
{
	int fd;

	put("one");
	fd = open(path_of("w.log"), O_WRONLY | O_APPEND | O_CLOEXEC);
	cr_assert_eq(write(fd, "note", 4), 4);
	close(fd);
	put("two");
	expect_file("w.log", "one\nnote\ntwo\n");
	cr_assert_eq(truncate(path_of("w.log"), size_of("w.log") - 2), 0);
	put("three");
	expect_file("w.log", "one\nnote\ntw\nthree\n");
}

static void limit_files(rlim_t most)
{
	struct rlimit limit = { most, RLIM_INFINITY };

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(log_files, what_a_full_disk_does_not_take_is_counted_said_once_and_said_in_the_file)
{
	put("one");
	limit_files((rlim_t)size_of("w.log") + 20);
	add("two");
	add("three");
	write_batch();
	put("four");
	expect_file("w.log", "one\n");
	cr_expect_eq(log_file_lost(file), 3);
	limit_files(RLIM_INFINITY);
	put("five");
	put("six");
	expect_file("w.log", "one\n"
			     "2025-11-26T00:06:01.123456Z - - err [lw: 3 lines were not kept: No "
			     "space left on device]\n"
			     "five\nsix\n");
	lw_buf_text(&logged);
	cr_expect_not_null(strstr((char *)logged.data, "w.log error=\"No space left on device\" "
						       "lines are not kept\nwarning: log="),
			   "%s", (char *)logged.data);
	cr_expect_not_null(
		strstr((char *)logged.data, "w.log takes lines again, 3 were not kept\n"), "%s",
		(char *)logged.data);
}

Test(log_files, something_else_in_its_place_is_an_error_until_it_is_gone)
{
	put("one");
	unlink(path_of("w.log"));
	cr_assert_eq(mkdir(path_of("w.log"), 0700), 0);
	put("two");
	cr_expect_eq(log_file_lost(file), 1);
	cr_assert_eq(rmdir(path_of("w.log")), 0);
	cr_assert_eq(symlink("/dev/null", path_of("w.log")), 0);
	put("three");
	cr_expect_eq(log_file_lost(file), 2);
	unlink(path_of("w.log"));
	put("four");
	cr_expect_not_null(strstr(read_back("w.log"), "[lw: 2 lines were not kept"));
}

/* More works print than files may be open: none waits, none loses a line. */
Test(log_files, of_many_the_least_recently_used_is_closed)
{
	struct log_file *many[200];
	struct rlimit few, before;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 64, before.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < LW_COUNT(many); i++) {
			char name[16];

			snprintf(name, sizeof(name), "many%zu", i);
			if (round == 0)
				many[i] = log_file_open(files, name);
			batch.file = many[i];
			put("x");
		}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect_file("many0.log", "x\nx\n");
	expect_file("many199.log", "x\nx\n");
	for (size_t i = 0; i < LW_COUNT(many); i++) {
		cr_expect_eq(log_file_lost(many[i]), 0);
		log_file_close(many[i]);
	}
	cr_expect_eq(logged.size, 0);
}

static size_t descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 400; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* The others are for processes and clients. */
Test(log_files, open_files_take_only_a_part_of_the_descriptors_that_there_may_be)
{
	struct log_file *many[200];
	struct rlimit few, before;
	size_t others;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 400, before.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	end();
	others = descriptors();
	begin();
	for (size_t i = 0; i < LW_COUNT(many); i++) {
		char name[16];

		snprintf(name, sizeof(name), "many%zu", i);
		many[i] = log_file_open(files, name);
		batch.file = many[i];
		put("x");
	}
	cr_expect_gt(descriptors(), others + 20);
	cr_expect_leq(descriptors(), others + 1 + 400 / 8);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < LW_COUNT(many); i++)
		log_file_close(many[i]);
}

Test(log_files, a_work_has_one_file_however_many_processes_it_has)
{
	struct log_file *same = log_file_open(files, "w"), *other = log_file_open(files, "W");

	cr_expect_eq(same, file);
	cr_expect_neq(other, file);
	cr_expect_eq(log_file_find(files, "w"), file);
	cr_expect_null(log_file_find(files, "x"));
	log_file_close(same);
	put("still there");
	log_file_close(other);
	cr_expect_null(log_file_find(files, "W"));
}

/* A batch that was begun and not written, half written, written, and written with more behind it. */
Test(log_files, the_next_supervisor_sees_whether_a_batch_was_written)
{
	static const struct {
		int cut; /* bytes of it that are missing; -1: none, and there is more */
		bool has;
	} rows[] = { { 0, true }, { 1, false }, { 5, false }, { -1, true } };

	put("before");
	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		off_t before = size_of("w.log");
		struct log_place place;

		add("in doubt");
		cr_assert(log_batch_place(&batch, &place));
		cr_expect_eq((off_t)place.at, before);
		cr_expect_not(log_files_has(files, &place), "not yet");
		log_batch_write(&batch);
		if (rows[i].cut > 0)
			cr_assert_eq(truncate(path_of("w.log"), size_of("w.log") - rows[i].cut), 0);
		if (rows[i].cut < 0)
			put("more");
		end();
		begin();
		cr_expect_eq(log_files_has(files, &place), rows[i].has, "row %zu", i);
		if (!rows[i].has)
			cr_expect_eq(size_of("w.log"), before, "row %zu", i);
	}
	cr_expect_not(log_files_has(files, &(struct log_place){ 0 }));
}

static char news[100];

static void on_news(struct log_watch *watch, const char *name)
{
	strcat(strcat(news, name), " ");
	if (strcmp(news, "w w ") == 0)
		log_files_unwatch(watch); /* while it is told */
}

Test(log_files, who_watches_is_told_what_was_written)
{
	struct log_watch watch = { .news = on_news };

	put("unseen");
	log_files_watch(files, &watch);
	put("one");
	limit_files(1);
	put("not written");
	limit_files(RLIM_INFINITY);
	put("two");
	put("three");
	cr_expect_str_eq(news, "w w ");
	log_files_unwatch(&watch);
}
