/* links: lw_supervisor */
/* test_logs.c - workers' bytes to lines to a console that never holds us up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "logs.h"
#include "lw_buf.h"

static struct loop *loop;
static struct logs *logs;
static char folder[] = "/tmp/test_logs.XXXXXX";
static int readers[3]; /* of what stands in place of our descriptors 1 and 2 */
static struct logs_options options;
static struct lw_buf seen[3]; /* what came out of them */
static struct lw_buf filed;   /* what lies in a file */

static void pipe_to(int place)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup2(ends[1], place), place);
	close(ends[1]);
	readers[place] = ends[0];
}

static void set_up(void)
{
	struct lw_err err = { 0 };

	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(loop_new(&loop, &err), 0);
	options = (struct logs_options){ .state_dir = folder };
	pipe_to(1);
	pipe_to(2);
}

static void begin(void)
{
	struct lw_err err = { 0 };

	cr_assert_eq(logs_new(loop, &options, &logs, &err), 0, "%s", err.text);
}

static int remove_entry(const char *path, const struct stat *stat_of, int type, struct FTW *where)
{
	(void)stat_of;
	(void)type;
	(void)where;
	return remove(path);
}

static void tear_down(void)
{
	logs_free(logs);
	loop_free(loop);
	for (int i = 1; i <= 2; i++) {
		lw_close(readers[i]);
		lw_buf_done(&seen[i]);
	}
	lw_buf_done(&filed);
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(logs, .init = set_up, .fini = tear_down, .timeout = 60);

static struct output *open_output(const char *work, uint64_t worker, int fds[2])
{
	struct output *output = NULL;
	struct lw_err err = { 0 };

	cr_assert_eq(output_open(logs, work, worker, &output, &err), 0, "%s", err.text);
	output_fds(output, fds);
	return output;
}

static void put(int fd, const char *text)
{
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Takes what is there from the console's reader. */
static void take(int place)
{
	int there = 0;

	cr_assert_eq(ioctl(readers[place], FIONREAD, &there), 0);
	if (there == 0)
		return;
	lw_buf_grow(&seen[place], (size_t)there);
	cr_assert_eq(read(readers[place], seen[place].data + seen[place].size, (size_t)there),
		     there);
	seen[place].size += (size_t)there;
}

/* Runs the loop until `check` holds. */
struct awaited {
	struct loop_timer timer;
	bool (*check)(void);
};

static void awaited_run(struct loop_timer *timer)
{
	if (LW_OWNER(timer, struct awaited, timer)->check())
		loop_exit(loop);
	else
		loop_timer_set(timer, 1000);
}

static void run_until(bool (*check)(void))
{
	struct awaited awaited = { .check = check };

	loop_timer_init(&awaited.timer, loop, awaited_run);
	loop_timer_set(&awaited.timer, 0);
	loop_run(loop);
	loop_timer_done(&awaited.timer);
}

static const char *wanted[3];

static bool all_seen(void)
{
	for (int i = 1; i <= 2; i++) {
		take(i);
		if (wanted[i] != NULL && seen[i].size < strlen(wanted[i]))
			return false;
	}
	return true;
}

static void expect(const char *out, const char *err)
{
	wanted[1] = out;
	wanted[2] = err;
	run_until(all_seen);
	cr_assert_str_eq(lw_buf_text(&seen[1]), out);
	cr_assert_str_eq(lw_buf_text(&seen[2]), err);
	seen[1].size = 0;
	seen[2].size = 0;
}

Test(logs, bare_lines_go_to_the_stream_they_came_from)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	put(fds[0], "to out\nsecond\n\n");
	put(fds[1], "to err\n");
	logs_print(logs, "two\nlines", 9);
	logs_sink(logs, LW_LOG_WARNING, "work=train on=GONE");
	expect("two\nlines\nto out\nsecond\n\n", "lw: warning: work=train on=GONE\nto err\n");
	output_close(output);
}

Test(logs, the_prefix_is_as_wide_as_the_longest_name_seen)
{
	struct output *one, *two;
	int fds[2], others[2];

	options.prefix = true;
	begin();
	one = open_output("train", 1, fds);
	put(fds[0], "text\n");
	expect("train | text\n", "");
	two = open_output("data_processor", 2, others);
	put(fds[1], "text\n");
	expect("", "train          | text\n");
	put(others[0], "a\r\n");
	expect("data_processor | a\r\n", "");
	logs_print(logs, "x", 1);
	logs_sink(logs, LW_LOG_ERROR, "no");
	expect("flow           | x\n", "lw             | error: no\n");
	output_close(one);
	output_close(two);
}

Test(logs, each_work_keeps_its_colour)
{
	options.prefix = true;
	options.colour = true;
	begin();
	for (int i = 0; i < 3; i++) {
		int fds[2];
		struct output *output = open_output(i == 1 ? "b" : "a", (uint64_t)i + 1, fds);

		put(fds[0], "x\n");
		output_close(output);
	}
	expect("\033[95ma |\033[0m x\n\033[96mb |\033[0m x\n\033[95ma |\033[0m x\n", "");
}

Test(logs, a_line_in_pieces_is_one_line_and_the_last_needs_no_newline)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	put(fds[0], "one ");
	output_drain(output, false);
	put(fds[0], "line\nand");
	output_drain(output, false);
	expect("one line\n", "");
	put(fds[0], " the rest");
	output_drain(output, true);
	expect("and the rest\n", "");
	output_drain(output, true);
	put(fds[0], "left");
	output_close(output);
	expect("left\n", "");
}

static bool binary_seen(void)
{
	take(1);
	return seen[1].size >= 6;
}

Test(logs, bytes_of_any_value_pass)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	cr_assert_eq(write(fds[0],
			   "a\0\xff\x80"
			   "b\n",
			   6),
		     6);
	run_until(binary_seen);
	cr_assert_eq(seen[1].size, 6);
	cr_assert_arr_eq(seen[1].data,
			 "a\0\xff\x80"
			 "b\n",
			 6);
	output_close(output);
}

static size_t seen_wanted;

static bool much_seen(void)
{
	take(1);
	return seen[1].size >= seen_wanted;
}

Test(logs, a_line_that_a_fifo_cannot_hold_is_cut_and_one_of_60_kib_is_not)
{
	static char text[65536 + 2];
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	memset(text, 'x', sizeof(text));
	for (size_t extra = 0; extra < 2; extra++) {
		size_t size = extra == 0 ? 15 * 4096 : 65536;

		cr_assert_eq(write(fds[0], text, size), (ssize_t)size);
		output_drain(output, false);
		put(fds[0], extra == 0 ? "\n" : "y\n");
		seen_wanted = size + 1 + extra * 2;
		run_until(much_seen);
		cr_assert_eq(seen[1].size, seen_wanted);
		cr_assert_eq(seen[1].data[size - 1], 'x');
		cr_assert_eq(seen[1].data[size], '\n');
		if (extra == 1)
			cr_assert_arr_eq(seen[1].data + size + 1, "y\n", 2);
		seen[1].size = 0;
	}
	output_close(output);
}

#define FLOOD_LINES 400000

static pid_t flood(int fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (int i = 0; i < FLOOD_LINES; i += 1000) {
		char text[1000 * 21];

		for (int j = 0; j < 1000; j++) {
			char line[32];

			snprintf(line, sizeof(line), "%06d flood 20bytes\n", i + j);
			memcpy(text + j * 21, line, 21);
		}
		for (size_t at = 0; at < sizeof(text);) {
			ssize_t done = write(fd, text + at, sizeof(text) - at);

			if (done < 0)
				_exit(1);
			at += (size_t)done;
		}
	}
	_exit(0);
}

static pid_t flooding;

static bool flood_over(void)
{
	int status;

	if (waitpid(flooding, &status, WNOHANG) != flooding)
		return false;
	cr_assert_eq(status, 0);
	return true;
}

static bool half_a_second_over(void)
{
	static int64_t begun;

	begun = begun == 0 ? loop_now(loop) : begun;
	take(1);
	return loop_now(loop) - begun > 500000;
}

static uint64_t told;

/* Every line is whole, in order, or counted by a line that says so. */
static uint64_t count_lines(char *text)
{
	unsigned long long dropped;
	uint64_t lines = 0;
	int last = -1, number;

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (sscanf(line, "[lw: %llu line", &dropped) == 1) {
			told += dropped;
			continue;
		}
		cr_assert_eq(strlen(line), 20, "'%s'", line);
		cr_assert_eq(sscanf(line, "%d flood", &number), 1, "'%s'", line);
		cr_assert_gt(number, last);
		last = number;
		lines++;
	}
	return lines;
}

Test(logs, a_reader_that_stopped_does_not_hold_up_the_loop)
{
	struct output *noisy, *quiet;
	int fds[2], others[2];

	begin();
	noisy = open_output("noisy", 1, fds);
	quiet = open_output("quiet", 2, others);
	flooding = flood(fds[0]);
	run_until(flood_over); /* nobody reads our standard output meanwhile */
	output_drain(noisy, true);
	cr_assert_gt(logs_dropped(logs), 0);
	put(others[1], "still here\n");
	wanted[1] = NULL;
	wanted[2] = "still here\n";
	run_until(all_seen);
	cr_assert_str_eq(lw_buf_text(&seen[2]), wanted[2]);
	run_until(half_a_second_over); /* now it is read */
	cr_assert_eq(count_lines(lw_buf_text(&seen[1])) + logs_dropped(logs), FLOOD_LINES);
	cr_assert_eq(told, logs_dropped(logs));
	output_close(noisy);
	output_close(quiet);
}

Test(logs, what_our_parent_shares_stays_blocking)
{
	int before = fcntl(1, F_GETFL);

	begin();
	logs_print(logs, "x", 1);
	expect("x\n", "");
	cr_assert_eq(fcntl(1, F_GETFL), before);
	cr_assert_eq(before & O_NONBLOCK, 0);
}

Test(logs, in_a_file_the_place_is_shared)
{
	char path[64], text[64];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(dup2(fd, 1), 1);
	cr_assert_eq(dup2(fd, 2), 2);
	begin();
	put(fd, "before\n");
	logs_print(logs, "one", 3);
	logs_sink(logs, LW_LOG_INFO, "two");
	logs_print(logs, "three", 5);
	logs_free(logs);
	logs = NULL;
	put(fd, "after\n");
	size = pread(fd, text, sizeof(text), 0);
	cr_assert_eq(size, 37, "%zd", size);
	cr_assert_arr_eq(text, "before\none\nlw: info: two\nthree\nafter\n", 37);
	close(fd);
	unlink(path);
}

Test(logs, two_streams_to_one_pipe_keep_their_order)
{
	cr_assert_eq(dup2(1, 2), 2);
	begin();
	logs_print(logs, "one", 3);
	logs_sink(logs, LW_LOG_INFO, "two");
	logs_print(logs, "three", 5);
	expect("one\nlw: info: two\nthree\n", "");
}

static void fill_console(void)
{
	char line[1000];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 2000; i++)
		logs_print(logs, line, sizeof(line));
}

static int64_t now(void)
{
	return loop_now(loop); /* outside a run it reads the clock */
}

Test(logs, the_end_waits_for_a_stopped_reader_but_not_long)
{
	int64_t begun;

	begin();
	fill_console();
	begun = now();
	logs_free(logs);
	logs = NULL;
	cr_assert_geq(now() - begun, 400000);
	cr_assert_lt(now() - begun, 4000000);
}

Test(logs, a_full_socket_does_not_hold_up_the_loop)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(dup2(ends[0], 1), 1);
	begin();
	fill_console();
	run_until(half_a_second_over);
	cr_assert_gt(logs_dropped(logs), 0);
	cr_assert_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	close(ends[0]);
	close(ends[1]);
}

static bool err_seen(void)
{
	take(2);
	return seen[2].size > 0;
}

Test(logs, a_console_that_is_gone_is_gone)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	close(readers[1]);
	readers[1] = -1;
	put(fds[0], "nobody reads this\n");
	output_drain(output, true);
	put(fds[1], "but this\n");
	wanted[2] = "but this\n";
	run_until(err_seen);
	logs_print(logs, "nor this", 8);
	output_close(output);
	logs_free(logs);
	logs = NULL;
	cr_assert_str_eq(lw_buf_text(&seen[2]), wanted[2]);
}

Test(logs, the_tail_is_the_last_five_lines_of_this_process)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	cr_assert_str_eq(output_tail(output), "");
	output_of(output, 100, 1);
	put(fds[0], "not this\n");
	put(fds[1], "1\n2\n");
	output_drain(output, true);
	cr_assert_str_eq(output_tail(output), "1\n2");
	put(fds[1], "3\n\n5\n6\n7");
	output_drain(output, false);
	cr_assert_str_eq(output_tail(output), "2\n3\n\n5\n6");
	output_drain(output, true);
	cr_assert_str_eq(output_tail(output), "3\n\n5\n6\n7");
	output_of(output, 100, 2);
	cr_assert_str_eq(output_tail(output), "3\n\n5\n6\n7");
	output_of(output, 101, 0);
	cr_assert_str_eq(output_tail(output), "");
	output_close(output);
}

Test(logs, the_tail_is_bounded_and_text)
{
	struct output *output;
	char line[3001];
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	for (size_t i = 0; i < sizeof(line) - 1; i += 2)
		memcpy(line + i, "\xc3\xa4", 2);
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(write(fds[1], line, sizeof(line)), (ssize_t)sizeof(line));
		output_drain(output, true);
	}
	cr_assert_eq(strlen(output_tail(output)), 2048);
	cr_assert_eq(write(fds[1], "a\0b\n", 4), 4);
	output_drain(output, true);
	cr_assert_eq(strlen(output_tail(output)), 2048);
	cr_assert_eq((unsigned char)output_tail(output)[0], 0xc3);
	cr_assert_str_eq(output_tail(output) + 2044, "\na?b");
	output_close(output);
}

Test(logs, a_fifo_left_by_an_earlier_supervisor_is_taken_over)
{
	struct output *output;
	char path[64];
	struct stat stat_of;
	int fds[2], worker;

	begin();
	snprintf(path, sizeof(path), "%s/fifo/7.out", folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	worker = open(path, O_RDWR | O_CLOEXEC);
	put(worker, "written while nobody was there\n");
	output = open_output("train", 7, fds);
	expect("written while nobody was there\n", "");
	cr_assert_eq(stat(path, &stat_of), 0);
	cr_assert_eq(stat_of.st_mode & 07777, 0600);
	output_close(output);
	cr_assert_eq(stat(path, &stat_of), 0, "and it stays for the next one");
	put(worker, "still no SIGPIPE\n");
	close(worker);
}

Test(logs, a_child_that_made_its_output_nonblocking_does_not_trouble_the_next)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	output_fds(output, fds);
	cr_assert_eq(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	cr_assert_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	output_close(output);
}

Test(logs, a_folder_that_cannot_be_made_is_named)
{
	struct lw_err err = { 0 };
	struct logs *none = NULL;

	options.state_dir = "/nowhere";
	cr_assert_eq(logs_new(loop, &options, &none, &err), -ENOENT);
	cr_assert_str_eq(err.text, "cannot make folder '/nowhere/fifo': No such file or directory");
	cr_assert_null(none);
}

/* ---- files ------------------------------------------------------------------------------------ */

/* What lies in the file of that name, without the times. */
static const char *kept(const char *name)
{
	char path[128], line[70000];
	FILE *file;

	filed.size = 0;
	snprintf(path, sizeof(path), "%s/logs/%s.log", folder, name);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		cr_assert_eq(strspn(line, "0123456789-T:.Z"), 27, "%s", line);
		lw_buf_printf(&filed, "%s", line + 28);
	}
	if (file != NULL)
		fclose(file);
	return lw_buf_text(&filed);
}

Test(logs, lines_are_kept_with_process_run_and_stream)
{
	struct output *output;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	put(fds[0], "before\n");
	output_drain(output, false);
	output_of(output, 100, 0);
	put(fds[0], "idle\nbegun by nobody");
	output_drain(output, false);
	output_of(output, 100, 7);
	put(fds[0], "one\n");
	put(fds[1], "two\n");
	output_drain(output, false);
	put(fds[0], "no end");
	output_of(output, 100, 0);
	output_drain(output, true);
	cr_expect_str_eq(kept("train"),
			 "- - out before\n100 - out idle\n100 - out begun by nobody\n"
			 "100 7 out one\n100 7 err two\n100 - out no end\n");
	cr_expect_eq(logs_bytes(logs, "train"), 7 + 5 + 15 + 4 + 4 + 6);
	output_close(output);
	cr_expect_eq(logs_bytes(logs, "train"), 0);
}

Test(logs, what_flow_and_supervisor_say_is_kept_at_the_end_of_the_turn)
{
	begin();
	logs_print(logs, "two\nlines", 9);
	logs_print(logs, "", 0);
	logs_sink(logs, LW_LOG_WARNING, "work=train on=GONE");
	logs_show(logs, "only shown", 10);
	logs_keep(logs, "info: only kept");
	cr_expect_str_eq(kept("@lw"), "");
	expect("two\nlines\n\nonly shown\n", "lw: warning: work=train on=GONE\n");
	cr_expect_str_eq(kept("@lw"), "- - out two\n- - out lines\n- - out \n"
				      "- - err warning: work=train on=GONE\n"
				      "- - err info: only kept\n");
}

static bool an_object_seen(void)
{
	take(2);
	return seen[2].size > 0 && seen[2].data[seen[2].size - 1] == '\n';
}

Test(logs, the_supervisors_own_lines_may_be_objects)
{
	const char *text;

	options.json = true;
	options.prefix = true;
	begin();
	logs_sink(logs, LW_LOG_WARNING, "work=train pid=812 is gone");
	run_until(an_object_seen);
	text = lw_buf_text(&seen[2]);
	cr_expect_eq(strncmp(text, "{\"at\":1", 7), 0, "%s", text);
	cr_expect_not_null(strstr(text,
				  ",\"level\":\"warning\",\"message\":\"work=train pid=812 is "
				  "gone\",\"work\":\"train\",\"pid\":812}\n"),
			   "%s", text);
}

/* A console that is full drops lines, the file has them. */
Test(logs, the_file_has_what_the_console_drops)
{
	struct output *output;
	char path[128], line[64];
	int fds[2], number = 0;
	FILE *file;

	begin();
	logs_limits(logs, "noisy", 0, 0);
	output = open_output("noisy", 1, fds);
	logs_limits(logs, "noisy", 0, 0);
	flooding = flood(fds[0]);
	run_until(flood_over);
	output_drain(output, true);
	cr_expect_gt(logs_dropped(logs), 0);
	snprintf(path, sizeof(path), "%s/logs/noisy.log", folder);
	file = fopen(path, "re");
	while (fgets(line, sizeof(line), file) != NULL) {
		int is = -1;

		cr_assert_eq(sscanf(line, "%*s - - out %d flood", &is), 1, "%s", line);
		cr_assert_eq(is, number++);
	}
	fclose(file);
	cr_expect_eq(number, FLOOD_LINES);
	cr_expect_eq(logs_bytes(logs, "noisy"), 21 * (uint64_t)FLOOD_LINES);
	output_close(output);
}

Test(logs, a_long_line_is_kept_in_pieces_that_say_so)
{
	static char text[65536];
	struct output *output;
	const char *is;
	int fds[2];

	begin();
	output = open_output("train", 1, fds);
	memset(text, 'x', sizeof(text));
	cr_assert_eq(write(fds[0], text, sizeof(text)), (ssize_t)sizeof(text));
	output_drain(output, false);
	put(fds[0], "y\n");
	output_drain(output, false);
	is = kept("train");
	cr_assert_eq(strlen(is), 9 + sizeof(text) + 1 + 8 + 2);
	cr_expect_eq(strncmp(is, "- - out+ xxx", 12), 0);
	cr_expect_str_eq(is + 9 + sizeof(text), "\n- - out y\n");
	output_close(output);
}

/* ---- a supervisor that is killed while it says something ---------------------------------------- */

/* struct taking of logs.c, as it lies in the file. */
struct noted {
	uint64_t worker, which, size, hash, inode, at, written, told, kept;
};

static void note(struct noted noted)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo/taking", folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, &noted, sizeof(noted), 0), (ssize_t)sizeof(noted));
	close(fd);
}

/* "second" and "third" are in the FIFO, or, `taken`, only "third"; the file has "first" and, `written`,
 * "second"; the console, `shown`, too. Then the next one comes. */
static void dies_with_second(bool written, bool shown, bool taken)
{
	struct output *output;
	struct stat stat_of;
	char path[128];
	int fds[2], fd, worker;

	begin();
	output = open_output("train", 7, fds);
	put(fds[0], "first\n");
	expect("first\n", "");
	snprintf(path, sizeof(path), "%s/fifo/7.out", folder);
	worker = open(path, O_RDWR | O_CLOEXEC);
	output_close(output);
	logs_free(logs);

	snprintf(path, sizeof(path), "%s/logs/train.log", folder);
	cr_assert_eq(stat(path, &stat_of), 0);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (written)
		cr_assert_eq(write(fd, "1970-01-01T00:00:00.000000Z - - out second\n", 43), 43);
	else
		cr_assert_eq(write(fd, "1970-01-01T00:00:00.0", 21), 21, "torn");
	close(fd);
	put(worker, taken ? "third\n" : "second\nthird\n");
	note((struct noted){ 7, 0, 7, XXH3_64bits("second\n", 7), stat_of.st_ino,
			     (uint64_t)stat_of.st_size, 43, shown, 0 });

	begin();
	output = open_output("train", 7, fds);
	output_drain(output, true);
	cr_expect_str_eq(kept("train"), "- - out first\n- - out second\n- - out third\n");
	output_close(output);
	close(worker);
}

Test(logs, what_the_file_had_already_is_only_told_to_the_console)
{
	dies_with_second(true, false, false);
	expect("second\nthird\n", "");
}

Test(logs, what_the_console_was_told_already_is_not_said_again)
{
	dies_with_second(true, true, false);
	expect("third\n", "");
}

Test(logs, what_was_not_written_whole_is_said_and_written)
{
	dies_with_second(false, false, false);
	expect("second\nthird\n", "");
}

Test(logs, what_was_taken_out_already_is_not_taken_out_again)
{
	dies_with_second(true, true, true);
	expect("third\n", "");
}
