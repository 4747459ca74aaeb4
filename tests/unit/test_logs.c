/* links: lw_supervisor */
/* test_logs.c - workers' bytes to lines to a console that never holds us up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"
#include "lw_buf.h"

static struct loop *loop;
static struct logs *logs;
static char folder[] = "/tmp/test_logs.XXXXXX";
static int readers[3]; /* of what stands in place of our descriptors 1 and 2 */
static struct logs_options options;
static struct lw_buf seen[3]; /* what came out of them */

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

static void tear_down(void)
{
	char path[64];

	logs_free(logs);
	loop_free(loop);
	for (int i = 1; i <= 2; i++) {
		lw_close(readers[i]);
		lw_buf_done(&seen[i]);
	}
	snprintf(path, sizeof(path), "%s/fifo", folder);
	rmdir(path);
	rmdir(folder);
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
	logs_print(logs, "flow", "two\nlines", 9);
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
	logs_print(logs, "flow", "x", 1);
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
	logs_print(logs, "a", "x", 1);
	logs_print(logs, "b", "x", 1);
	logs_print(logs, "a", "x", 1);
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
	logs_print(logs, "flow", "x", 1);
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
	logs_print(logs, "flow", "one", 3);
	logs_sink(logs, LW_LOG_INFO, "two");
	logs_print(logs, "flow", "three", 5);
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
	logs_print(logs, "flow", "one", 3);
	logs_sink(logs, LW_LOG_INFO, "two");
	logs_print(logs, "flow", "three", 5);
	expect("one\nlw: info: two\nthree\n", "");
}

static void fill_console(void)
{
	char line[1000];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 2000; i++)
		logs_print(logs, "flow", line, sizeof(line));
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
	logs_print(logs, "flow", "nor this", 8);
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
