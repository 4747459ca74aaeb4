/* links: lw_common
 *
 * test_logread.c - what works printed is read back: the last lines, all of them, what is new. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lw_logread.h"

static char folder[] = "/tmp/test_logread.XXXXXX";
static struct lw_logread *logread;
static struct lw_buf seen; /* "work: text" and newlines */
static size_t steps;

static int remove_entry(const char *path, const struct stat *stat_of, int type, struct FTW *where)
{
	(void)stat_of;
	(void)type;
	(void)where;
	return remove(path);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
}

static void tear_down(void)
{
	lw_logread_free(logread);
	lw_buf_done(&seen);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(logread, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *path_of(const char *file)
{
	static char path[4][256];
	static size_t turn;

	snprintf(path[++turn % 4], sizeof(path[0]), "%s/%s", folder, file);
	return path[turn % 4];
}

static void put(const char *file, const char *text, size_t size)
{
	int fd = open(path_of(file), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, size), (ssize_t)size);
	close(fd);
}

/* Lines "NAME I" of the times second + I, alternately of run 1 and 2, each third to stderr. */
static void put_lines(const char *file, const char *name, int first, int end)
{
	LW_AUTO_BUF text = { 0 };

	for (int i = first; i < end; i++) {
		const struct lw_logfile_line line = { .at = (int64_t)i * 1000000,
						      .pid = 5,
						      .run = 1 + (uint64_t)i % 2,
						      .err = i % 3 == 0 };
		char head[LW_LOGFILE_HEAD_MAX];

		lw_buf_add(&text, head, lw_logfile_head(&line, head));
		lw_buf_printf(&text, "%s %d\n", name, i);
	}
	put(file, (char *)text.data, text.size);
}

static void hand(void *context, const char *work, const struct lw_logfile_line *line)
{
	(void)context;
	lw_buf_printf(&seen, "%s: ", work != NULL ? work : "-");
	lw_buf_add(&seen, line->text.data, line->text.size);
	lw_buf_add(&seen, "\n", 1);
}

/* Steps until it says that this is all; what was handed out. */
static const char *go_on(void)
{
	struct lw_err err = { 0 };
	int r = 1;

	seen.size = 0;
	for (steps = 0; r > 0; steps++) {
		size_t before = seen.size;

		r = lw_logread_step(logread, hand, NULL, &err);
		cr_assert_lt(seen.size - before, 4 * LW_LOGREAD_SLICE);
	}
	cr_assert_eq(r, 0, "%s", err.text);
	return lw_buf_text(&seen);
}

static const char *ask(const char *name, struct lw_logread_query query)
{
	lw_logread_free(logread);
	logread = lw_logread_new(folder, name, &query);
	return go_on();
}

#define ALL     ((struct lw_logread_query){ .lines = LW_LOGREAD_ALL })
#define LAST(n) ((struct lw_logread_query){ .lines = n })

/* "w: w I" for each from `first` on, and nothing else. */
static void expect_lines(const char *text, const char *work, int first, int end)
{
	for (int i = first; i < end; i++) {
		char line[64];
		int size = snprintf(line, sizeof(line), "%s: %s %d\n", work, work, i);

		cr_assert_eq(strncmp(text, line, (size_t)size), 0, "not %s but %.30s", line, text);
		text += size;
	}
	cr_assert_str_eq(text, "");
}

Test(logread, where_nobody_has_printed_there_is_nothing)
{
	cr_expect_str_eq(ask(NULL, ALL), "");
	cr_expect_str_eq(ask("w", LAST(5)), "");
	rmdir(folder);
	cr_expect_str_eq(ask(NULL, LAST(5)), "");
	cr_expect_str_eq(ask("w", ALL), "");
	cr_expect_not(lw_logread_has(folder, "w"));
}

Test(logread, the_last_lines_come_from_as_many_files_as_it_takes)
{
	put_lines("w.log.2", "w", 0, 10);
	put_lines("w.log.1", "w", 10, 15);
	put_lines("w.log", "w", 15, 18);
	cr_expect(lw_logread_has(folder, "w"));
	for (int n = 0; n < 20; n++)
		expect_lines(ask("w", LAST(n)), "w", n < 18 ? 18 - n : 0, 18);
	expect_lines(ask("w", ALL), "w", 0, 18);
}

Test(logread, a_file_that_is_missing_between_two_ages_or_is_empty_is_passed_over)
{
	put_lines("w.log.4", "w", 0, 10);
	put("w.log.2", "", 0);
	put_lines("w.log.1", "w", 10, 15);
	put("w.log", "", 0);
	expect_lines(ask("w", LAST(12)), "w", 3, 15);
	expect_lines(ask("w", ALL), "w", 0, 15);
}

Test(logread, of_several_works_lines_come_in_the_order_of_their_times)
{
	put("b.log", "", 0);
	put_lines("a.log.1", "a", 1, 3);
	put_lines("a.log", "a", 6, 8);
	put_lines("%2F.log", "/", 2, 7);
	put_lines("@lw.log", "-", 4, 5);
	cr_expect_str_eq(ask(NULL, ALL), "a: a 1\n/: / 2\na: a 2\n/: / 3\n/: / 4\n-: - 4\n/: / 5\n"
					 "/: / 6\na: a 6\na: a 7\n");
	cr_expect_str_eq(ask(NULL, LAST(5)), "-: - 4\n/: / 5\n/: / 6\na: a 6\na: a 7\n");
	cr_expect_str_eq(ask(NULL, LAST(4)), "/: / 5\n/: / 6\na: a 6\na: a 7\n");
}

Test(logread, only_lines_that_match_count_and_are_handed_out)
{
	struct lw_logread_query query = { .lines = 2, .run = 1 };

	put_lines("w.log.1", "w", 0, 100);
	put_lines("w.log", "w", 100, 110);
	cr_expect_str_eq(ask("w", query), "w: w 106\nw: w 108\n");
	query = (struct lw_logread_query){ .lines = 2, .err = true };
	cr_expect_str_eq(ask("w", query), "w: w 105\nw: w 108\n");
	query = (struct lw_logread_query){ .lines = 2, .out = true };
	cr_expect_str_eq(ask("w", query), "w: w 107\nw: w 109\n");
	query = (struct lw_logread_query){ .lines = LW_LOGREAD_ALL, .search = "w 5" };
	cr_expect_str_eq(ask("w", query), "w: w 5\nw: w 50\nw: w 51\nw: w 52\nw: w 53\nw: w 54\n"
					  "w: w 55\nw: w 56\nw: w 57\nw: w 58\nw: w 59\n");
	query = (struct lw_logread_query){ .lines = 3, .search = "w 5", .out = true };
	cr_expect_str_eq(ask("w", query), "w: w 56\nw: w 58\nw: w 59\n");
	query = (struct lw_logread_query){ .lines = LW_LOGREAD_ALL, .since = 107000000 };
	cr_expect_str_eq(ask("w", query), "w: w 107\nw: w 108\nw: w 109\n");
	query.lines = 2;
	cr_expect_str_eq(ask("w", query), "w: w 108\nw: w 109\n");
	query = (struct lw_logread_query){ .lines = LW_LOGREAD_ALL, .since = 95000000 };
	expect_lines(ask("w", query), "w", 95, 110);
}

Test(logread, a_large_file_is_read_in_steps)
{
	put_lines("w.log.1", "w", 0, 100000);
	put_lines("w.log", "w", 100000, 200000);
	expect_lines(ask("w", ALL), "w", 0, 200000);
	cr_expect_gt(steps, 50);
	expect_lines(ask("w", LAST(150000)), "w", 50000, 200000);
	expect_lines(ask("w", LAST(3)), "w", 199997, 200000);
	cr_expect_eq(steps, 1);
	/* Nothing is found: the steps are bounded too. */
	cr_expect_str_eq(ask("w", (struct lw_logread_query){ .lines = 1, .search = "none" }), "");
	cr_expect_gt(steps, 50);
}

static void rotate(int keep)
{
	char from[32], to[32];

	for (int age = keep; age > 0; age--) {
		snprintf(from, sizeof(from), age > 1 ? "w.log.%d" : "w.log", age - 1);
		snprintf(to, sizeof(to), "w.log.%d", age);
		(void)!rename(path_of(from), path_of(to));
	}
}

Test(logread, who_follows_is_handed_what_is_new_also_over_rotations)
{
	put_lines("w.log", "w", 0, 10);
	expect_lines(ask("w", LAST(2)), "w", 8, 10);
	cr_expect_str_eq(go_on(), "");
	put_lines("w.log", "w", 10, 12);
	lw_logread_news(logread, "w");
	expect_lines(go_on(), "w", 10, 12);
	put_lines("w.log", "w", 12, 14);
	rotate(2);
	put_lines("w.log", "w", 14, 15);
	rotate(2);
	put_lines("w.log", "w", 15, 17);
	lw_logread_news(logread, "w");
	expect_lines(go_on(), "w", 12, 17);
}

Test(logread, a_file_that_somebody_empties_is_followed_from_its_beginning)
{
	put_lines("a.log", "a", 1, 9);
	cr_expect_str_eq(ask("a", LAST(1)), "a: a 8\n");
	cr_assert_eq(truncate(path_of("a.log"), 0), 0);
	lw_logread_news(logread, "a");
	cr_expect_str_eq(go_on(), "");
	put_lines("a.log", "a", 9, 11);
	lw_logread_news(logread, "a");
	cr_expect_str_eq(go_on(), "a: a 9\na: a 10\n");
}

Test(logread, who_is_too_far_behind_goes_on_with_what_is_left)
{
	put_lines("w.log", "w", 0, 10);
	expect_lines(ask("w", LAST(1)), "w", 9, 10);
	for (int i = 10; i < 20; i++) {
		rotate(2);
		put_lines("w.log", "w", i, i + 1);
	}
	lw_logread_news(logread, "w");
	expect_lines(go_on(), "w", 17, 20);
}

Test(logread, a_rotation_between_two_steps_changes_nothing)
{
	struct lw_err err = { 0 };
	int r = 1;

	put_lines("w.log.1", "w", 0, 50000);
	put_lines("w.log", "w", 50000, 100000);
	for (int back = 0; back < 2; back++) {
		struct lw_logread_query query = back ? LAST(90000) : ALL;

		lw_logread_free(logread);
		logread = lw_logread_new(folder, "w", &query);
		seen.size = 0;
		for (int i = 0; r > 0; i++) {
			r = lw_logread_step(logread, hand, NULL, &err);
			if (i % 10 == 5) {
				rotate(20);
				put("w.log", "", 0);
			}
		}
		expect_lines(lw_buf_text(&seen), "w", back ? 10000 : 0, 100000);
		for (int age = 0; age < 20; age++) { /* as it was, for the second round */
			char name[32];

			snprintf(name, sizeof(name), age > 0 ? "w.log.%d" : "w.log", age);
			unlink(path_of(name));
		}
		put_lines("w.log.1", "w", 0, 50000);
		put_lines("w.log", "w", 50000, 100000);
		r = 1;
	}
}

Test(logread, works_that_begin_to_print_are_followed_too)
{
	put_lines("a.log", "a", 0, 2);
	expect_lines(ask(NULL, LAST(0)), "a", 2, 2);
	put_lines("b.log", "b", 5, 7);
	put_lines("a.log", "a", 2, 3);
	lw_logread_news(logread, "b");
	lw_logread_news(logread, "a");
	cr_expect_str_eq(go_on(), "a: a 2\nb: b 5\nb: b 6\n");
	expect_lines(ask("c", LAST(5)), "c", 0, 0);
	put_lines("c.log", "c", 0, 3);
	lw_logread_news(logread, "c");
	expect_lines(go_on(), "c", 0, 3);
}

Test(logread, what_is_damaged_is_shown_as_it_is_and_a_torn_end_is_waited_for)
{
	static char noise[600000];

	put_lines("w.log", "w", 0, 1);
	put("w.log", "no line of ours\n\n", 17);
	put_lines("w.log", "w", 1, 2);
	put("w.log", "1970-01-01T00:00:02.000000Z 5 1 out to", 38);
	cr_expect_str_eq(ask("w", ALL), "w: w 0\nw: no line of ours\nw: \nw: w 1\n");
	put("w.log", "rn\n", 3);
	lw_logread_news(logread, "w");
	cr_expect_str_eq(go_on(), "w: torn\n");
	memset(noise, 'x', sizeof(noise));
	put("w.log", noise, sizeof(noise));
	put("w.log", "\n", 1);
	put_lines("w.log", "w", 3, 4);
	cr_expect_gt(strlen(ask("w", ALL)), sizeof(noise));
	cr_expect_str_eq(ask("w", LAST(1)), "w: w 3\n");
	cr_expect_gt(strlen(ask("w", LAST(2))), 1000);
}

Test(logread, a_thousand_works_are_merged)
{
	for (int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "w%04d.log", i);
		put_lines(name, "x", i, i + 2);
	}
	cr_expect_str_eq(ask(NULL, LAST(3)), "w0998: x 999\nw0999: x 999\nw0999: x 1000\n");
	cr_expect_eq(
		strncmp(ask(NULL, ALL), "w0000: x 0\nw0000: x 1\nw0001: x 1\nw0001: x 2\n", 44), 0);
}

Test(logread, a_file_that_cannot_be_opened_is_an_error_and_not_an_empty_one)
{
	struct lw_logread_query query = ALL;
	struct lw_err err = { 0 };
	struct rlimit limit, low;
	int r, next;

	for (int i = 0; i < 9; i++) {
		char file[32];

		snprintf(file, sizeof(file), "w%d.log", i);
		put_lines(file, "w", i, i + 1);
	}
	next = dup(STDIN_FILENO);
	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)next + 4;
	logread = lw_logread_new(folder, NULL, &query);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	r = lw_logread_step(logread, hand, NULL, &err);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_expect_eq(r, -EMFILE);
	cr_expect_not_null(strstr(err.text, "cannot open "), "%s", err.text);
}
