/* links: lw_common */
/* test_frame.c - bytes in, whole frames out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lw_frame.h"

/* One side reads frames, the other writes bytes. */
struct line {
	struct lw_frames frames;
	int in, out;
};

static void line_init(struct line *line, size_t most)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	lw_frames_init(&line->frames, most);
	line->in = ends[0];
	line->out = ends[1];
}

static void line_done(struct line *line)
{
	lw_frames_done(&line->frames);
	close(line->in);
	close(line->out);
}

static void send_bytes(struct line *line, const void *bytes, size_t size)
{
	cr_assert_eq(write(line->out, bytes, size), (ssize_t)size);
}

static void add_frame(struct lw_buf *out, const void *body, size_t size)
{
	size_t at = lw_frame_begin(out);

	lw_buf_add(out, body, size);
	lw_frame_end(out, at);
}

Test(frame, a_frame_is_its_length_and_its_body)
{
	LW_AUTO_BUF out = { 0 };

	add_frame(&out, "abc", 3);
	add_frame(&out, "", 0);
	cr_assert(out.size == 11 && memcmp(out.data, "\0\0\0\3abc\0\0\0\0", 11) == 0);
}

Test(frame, frames_come_out_whole_and_in_order)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_slice body;
	struct line line;

	line_init(&line, LW_FRAME_MAX);
	for (uint32_t i = 0; i < 100; i++)
		add_frame(&out, &i, sizeof(i));
	send_bytes(&line, out.data, out.size);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), (int)out.size);
	for (uint32_t i = 0; i < 100; i++) {
		cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 1);
		cr_assert(body.size == sizeof(i) && memcmp(body.data, &i, sizeof(i)) == 0);
	}
	cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 0);
	line_done(&line);
}

Test(frame, bytes_one_at_a_time_make_the_same_frames)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_slice body;
	struct line line;
	int frames = 0;

	line_init(&line, 100);
	add_frame(&out, "first", 5);
	add_frame(&out, "", 0);
	add_frame(&out, "third", 5);
	for (size_t i = 0; i < out.size; i++) {
		send_bytes(&line, out.data + i, 1);
		cr_assert_eq(lw_frames_fill(&line.frames, line.in), 1);
		while (lw_frames_next(&line.frames, &body, NULL) > 0)
			frames++;
	}
	cr_assert_eq(frames, 3);
	cr_assert(body.size == 5 && memcmp(body.data, "third", 5) == 0);
	line_done(&line);
}

Test(frame, a_length_above_the_bound_is_refused)
{
	struct lw_err err = { 0 };
	struct lw_slice body;
	struct line line;

	line_init(&line, 100);
	send_bytes(&line, "\0\0\0\145", 4);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), 4);
	cr_assert_eq(lw_frames_next(&line.frames, &body, &err), -EMSGSIZE);
	cr_assert_str_eq(err.text, "a frame of 101 bytes, more than 100");
	line.frames.most = 101;
	cr_assert_eq(lw_frames_next(&line.frames, &body, &err), 0);
	line_done(&line);
}

Test(frame, a_gigabyte_is_refused_before_anything_is_allocated_for_it)
{
	struct lw_err err = { 0 };
	struct lw_slice body;
	struct line line;

	line_init(&line, LW_FRAME_MAX);
	send_bytes(&line, "\x40\0\0\0xxxx", 8);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), 8);
	cr_assert_eq(lw_frames_next(&line.frames, &body, &err), -EMSGSIZE);
	cr_assert_leq(line.frames.in.room, 4096);
	line_done(&line);
}

Test(frame, a_length_within_the_bound_takes_memory_only_as_bytes_come)
{
	struct lw_slice body;
	struct line line;

	line_init(&line, LW_FRAME_MAX);
	send_bytes(&line, "\x01\x3f\xff\xffxxxx", 8);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), 8);
	cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 0);
	cr_assert_leq(line.frames.in.room, 4096);
	line_done(&line);
}

static size_t send_some(struct line *line, const struct lw_buf *out, size_t at)
{
	ssize_t n = write(line->out, out->data + at, out->size - at);

	cr_assert(n > 0 || errno == EAGAIN);
	return at + (n > 0 ? (size_t)n : 0);
}

Test(frame, a_large_frame_arrives_whole_and_its_room_is_given_back)
{
	LW_AUTO_BUF out = { 0 }, large = { 0 };
	struct lw_slice body = { 0 };
	struct line line;
	size_t at = 0;

	for (uint32_t i = 0; i < 1u << 20; i++)
		lw_buf_add(&large, &i, sizeof(i));
	add_frame(&out, large.data, large.size);
	line_init(&line, LW_FRAME_MAX);
	while (lw_frames_next(&line.frames, &body, NULL) == 0) {
		at = send_some(&line, &out, at);
		cr_assert_gt(lw_frames_fill(&line.frames, line.in), 0);
	}
	cr_assert(body.size == large.size && memcmp(body.data, large.data, large.size) == 0);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), -EAGAIN);
	cr_assert_leq(line.frames.in.room, 4096);
	line_done(&line);
}

Test(frame, half_a_frame_waits_behind_whole_ones)
{
	LW_AUTO_BUF out = { 0 };
	struct lw_slice body;
	struct line line;

	line_init(&line, 100);
	add_frame(&out, "one", 3);
	add_frame(&out, "two", 3);
	send_bytes(&line, out.data, out.size - 1);
	cr_assert_gt(lw_frames_fill(&line.frames, line.in), 0);
	cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 1);
	cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 0);
	send_bytes(&line, "o", 1);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), 1);
	cr_assert_eq(lw_frames_next(&line.frames, &body, NULL), 1);
	cr_assert_eq(memcmp(body.data, "two", 3), 0);
	line_done(&line);
}

Test(frame, the_end_of_the_stream_and_its_errors_are_told)
{
	struct line line;

	line_init(&line, 100);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), -EAGAIN);
	shutdown(line.out, SHUT_WR);
	cr_assert_eq(lw_frames_fill(&line.frames, line.in), 0);
	cr_assert_eq(lw_frames_fill(&line.frames, -1), -EBADF);
	line_done(&line);
}

Test(frame, a_frame_of_ours_above_the_bound_is_our_mistake, .exit_code = 1)
{
	LW_AUTO_BUF out = { 0 };
	size_t at = lw_frame_begin(&out);

	lw_buf_grow(&out, LW_FRAME_MAX + 1);
	out.size += LW_FRAME_MAX + 1;
	lw_frame_end(&out, at);
}
