/* links: lw_supervisor */
/* test_reader.c - the child that looks at files: what it tells, and what it reads. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_call.h"
#include "lw_frame.h"
#include "reader.h"

#define PATIENCE 20000 /* ms */
#define LARGE    (64 << 20)

static struct {
	char folder[64];
	pid_t pid;
	int fd;
	struct lw_frames frames;
	int64_t looks;
} rig;

/* What it told last of the set 1. */
static struct {
	int64_t state;
	uint8_t digest[READER_DIGEST];
	char text[300];
	uint32_t names;
	unsigned times; /* it was told */
} told;

/* ---- the rig -------------------------------------------------------------------------------------- */

static void child(int fd)
{
	if (dup2(fd, STDIN_FILENO) < 0 || chdir(rig.folder) < 0)
		_exit(99);
	for (int i = 3; i < 64; i++)
		close(i);
	_exit(reader_main());
}

static void begin(void)
{
	int ends[2];

	snprintf(rig.folder, sizeof(rig.folder), "/tmp/lw-reader-XXXXXX");
	cr_assert_not_null(mkdtemp(rig.folder));
	cr_assert_eq(chdir(rig.folder), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	rig.pid = fork();
	if (rig.pid == 0)
		child(ends[1]);
	close(ends[1]);
	rig.fd = ends[0];
	lw_frames_init(&rig.frames, LW_FRAME_MAX);
}

static void end(void)
{
	char command[100];
	int status = 0;

	close(rig.fd); /* it ends by itself, and frees what it has */
	cr_expect_eq(waitpid(rig.pid, &status, 0), rig.pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the reader ended with %d",
		  status);
	lw_frames_done(&rig.frames);
	cr_assert_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
	cr_expect_eq(system(command), 0);
}

static void send_frame(struct lw_buf *out, size_t frame)
{
	lw_frame_end(out, frame);
	cr_assert_eq(write(rig.fd, out->data, out->size), (ssize_t)out->size);
}

static void watch(const char *pattern)
{
	static const uint8_t secret[LW_KEY_SECRET] = { 1, 2, 3 };
	LW_AUTO_BUF out = { 0 };
	size_t frame = lw_frame_begin(&out);

	lw_put_list(&out, 3);
	lw_put_uint(&out, READER_SETS);
	lw_put_bytes(&out, secret, sizeof(secret));
	lw_put_list(&out, 1);
	lw_put_list(&out, 2);
	lw_put_uint(&out, 1);
	lw_put_list(&out, 1);
	lw_put_cstr(&out, pattern);
	send_frame(&out, frame);
}

static struct lw_item next(const uint8_t **at, const uint8_t *stop)
{
	struct lw_item item;

	cr_assert_eq(lw_item_read(at, stop, &item), 0);
	return item;
}

/* One frame; the number of the look that is over, or 0. */
static int64_t take_frame(struct lw_slice body)
{
	const uint8_t *at = body.data, *stop = lw_slice_end(body);
	struct lw_item item;

	cr_assert_eq(lw_value_check(body, NULL), 0);
	next(&at, stop);
	if (next(&at, stop).i == READER_LOOKED)
		return next(&at, stop).i;
	cr_assert_eq(next(&at, stop).i, 1);
	told.times++;
	told.state = next(&at, stop).i;
	item = next(&at, stop);
	cr_assert_eq(item.s.size, READER_DIGEST);
	memcpy(told.digest, item.s.data, READER_DIGEST);
	item = next(&at, stop);
	snprintf(told.text, sizeof(told.text), "%.*s", (int)item.s.size, (const char *)item.s.data);
	told.names = next(&at, stop).n;
	return 0;
}

/* Until a look is over, or (0) until it told of the set. */
static void await(int64_t look)
{
	struct pollfd ready = { .fd = rig.fd, .events = POLLIN };
	unsigned before = told.times;
	struct lw_slice body;

	for (;;) {
		while (lw_frames_next(&rig.frames, &body, NULL) > 0) {
			int64_t looked = take_frame(body);

			if (look != 0 ? looked == look : told.times > before)
				return;
		}
		cr_assert_eq(poll(&ready, 1, PATIENCE), 1, "the reader says nothing");
		cr_assert_gt(lw_frames_fill(&rig.frames, rig.fd), 0, "the reader is gone");
	}
}

static void look(void)
{
	LW_AUTO_BUF out = { 0 };
	size_t frame = lw_frame_begin(&out);

	lw_put_list(&out, 2);
	lw_put_uint(&out, READER_LOOK);
	lw_put_int(&out, ++rig.looks);
	send_frame(&out, frame);
	await(rig.looks);
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

/* Bytes that the reader has read so far. */
static long long bytes_read(void)
{
	char path[64];
	long long bytes = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)rig.pid);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "rchar: %lld", &bytes), 1);
	fclose(file);
	return bytes;
}

static bool is_digest(const uint8_t digest[READER_DIGEST])
{
	return memcmp(digest, told.digest, READER_DIGEST) == 0;
}

TestSuite(reader, .init = begin, .fini = end, .timeout = 60);

/* ---- tests ------------------------------------------------------------------------------------------- */

Test(reader, a_file_that_goes_back_has_the_digest_it_had)
{
	uint8_t one[READER_DIGEST], two[READER_DIGEST];

	put("a", "one");
	watch("a");
	look();
	cr_assert_eq(told.state, READER_KNOWN);
	cr_assert_eq(told.names, 1);
	memcpy(one, told.digest, READER_DIGEST);
	put("a", "two");
	look();
	cr_assert(!is_digest(one));
	memcpy(two, told.digest, READER_DIGEST);
	cr_assert_eq(unlink("a"), 0);
	look();
	cr_assert_eq(told.state, READER_KNOWN, "absent is a content like any other");
	cr_assert(!is_digest(one) && !is_digest(two));
	put("a", "one");
	look();
	cr_assert(is_digest(one));
}

Test(reader, what_did_not_change_is_not_told_again)
{
	unsigned times;

	put("a", "one");
	watch("a");
	look();
	times = told.times;
	put("a", "one"); /* other times, the same content */
	look();
	look();
	cr_assert_eq(told.times, times);
}

Test(reader, a_file_is_not_read_twice)
{
	int fd = open("a", O_CREAT | O_WRONLY, 0600);
	long long bytes;

	cr_assert(fd >= 0 && ftruncate(fd, LARGE) == 0);
	watch("a");
	while (told.state != READER_KNOWN)
		await(0);
	bytes = bytes_read();
	cr_assert_geq(bytes, LARGE);
	look();
	watch("*"); /* the same file for another set */
	look();
	cr_assert_eq(told.state, READER_KNOWN);
	cr_assert_lt(bytes_read(), bytes + LARGE);
	close(fd);
}

Test(reader, a_look_does_not_wait_for_a_large_file)
{
	int fd = open("a", O_CREAT | O_WRONLY, 0600);

	cr_assert(fd >= 0 && ftruncate(fd, INT64_C(1) << 40) == 0);
	close(fd);
	watch("a");
	for (int i = 0; i < 5; i++) {
		look();
		cr_assert_eq(told.state, READER_READING);
	}
	cr_assert_eq(truncate("a", 5), 0); /* not to be read to its end */
	look();
	cr_assert_eq(told.state, READER_KNOWN);
}

static void keep_changing(const char *name)
{
	int fd = open(name, O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; pwrite(fd, &i, sizeof(i), 0) > 0; i++)
		(void)poll(NULL, 0, 1);
	_exit(1);
}

Test(reader, a_large_file_that_never_holds_still_is_read_nevertheless)
{
	int fd = open("a", O_CREAT | O_WRONLY, 0600), looks = 0;
	pid_t writer;

	cr_assert(fd >= 0 && ftruncate(fd, LARGE) == 0);
	close(fd);
	writer = fork();
	if (writer == 0)
		keep_changing("a");
	watch("a");
	do
		look();
	while (told.state != READER_KNOWN && ++looks < 1000);
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	cr_assert_eq(told.state, READER_KNOWN);
}

Test(reader, what_changes_is_noticed_without_a_look)
{
	put("a", "one");
	watch("a");
	look();
	put("a", "two");
	await(0);
	cr_assert_eq(told.state, READER_KNOWN);
}

Test(reader, what_is_no_file_is_named_and_not_waited_for)
{
	cr_assert_eq(mkfifo("pipe", 0600), 0);
	cr_assert_eq(mkdir("folder", 0700), 0);
	watch("pipe");
	look();
	cr_assert_eq(told.state, READER_BAD);
	cr_assert_str_eq(told.text, "cannot read 'pipe': it is a FIFO, not a regular file");
	watch("folder");
	look();
	cr_assert_str_eq(told.text,
			 "cannot read 'folder': it is a folder (name the files in it, as "
			 "in \"folder/*\")");
	watch("/dev/zero");
	look();
	cr_assert_str_eq(told.text, "cannot read '/dev/zero': it is a device, not a regular file");
	put("file", "x");
	watch("*"); /* of a pattern they do not count */
	look();
	cr_assert_eq(told.state, READER_KNOWN);
	cr_assert_eq(told.names, 1);
}

Test(reader, a_pattern_may_match_very_many_files)
{
	char name[32];
	uint8_t before[READER_DIGEST];

	for (int i = 0; i < 3 * READER_NAMES; i++) {
		snprintf(name, sizeof(name), "part-%d", i);
		put(name, name);
	}
	watch("part-*");
	while (told.state != READER_KNOWN)
		await(0);
	cr_assert_eq(told.names, 0, "too many to be told");
	memcpy(before, told.digest, READER_DIGEST);
	put("part-77", "else");
	while (told.state != READER_KNOWN || is_digest(before)) /* at first it may be unknown */
		await(0);
}

Test(reader, a_name_is_part_of_the_digest)
{
	uint8_t before[READER_DIGEST];

	put("a", "one");
	watch("*");
	look();
	memcpy(before, told.digest, READER_DIGEST);
	cr_assert_eq(rename("a", "b"), 0);
	look();
	cr_assert(!is_digest(before));
}
