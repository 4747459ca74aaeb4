/* links: lw_common
 *
 * fuzz_frame.c - bytes in, whole frames out, however the stream was cut.
 *
 * Input: one byte for the size of the pieces that arrive, two for the longest frame accepted,
 * then the stream. Frames are compared with what a look at the whole stream says. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "lw_frame.h"

#define HEAD 3

struct stream {
	struct lw_slice all;
	size_t sent; /* into the pipe */
	size_t at;   /* first byte that was not handed out in a frame */
	size_t most;
};

/* The length in the head at `at`, SIZE_MAX: its bytes have not come. */
static size_t length_at(const struct stream *stream)
{
	const uint8_t *at = stream->all.data + stream->at;

	if (stream->sent - stream->at < LW_FRAME_HEAD)
		return SIZE_MAX;
	return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static void check_frame(struct stream *stream, struct lw_slice body)
{
	struct lw_slice wanted = { stream->all.data + stream->at + LW_FRAME_HEAD,
				   length_at(stream) };
	struct lw_slice whole = { stream->all.data + stream->at, LW_FRAME_HEAD + wanted.size };
	LW_AUTO_BUF again = { 0 };
	size_t begin;

	HOLDS(wanted.size <= stream->most, "a frame of %zu bytes came through", wanted.size);
	HOLDS(stream->sent - stream->at >= whole.size, "a frame came before its end");
	HOLDS(same_bytes(body, wanted), "a frame at byte %zu has another body", stream->at);
	begin = lw_frame_begin(&again);
	lw_buf_add(&again, body.data, body.size);
	lw_frame_end(&again, begin);
	HOLDS(same_bytes(lw_buf_slice(&again), whole), "written again it is another frame");
	stream->at += whole.size;
}

/* Takes every whole frame; false: the stream is refused. */
static bool take(struct stream *stream, struct lw_frames *frames)
{
	struct lw_err err = { 0 };
	struct lw_slice body;
	size_t length;
	int r;

	while ((r = lw_frames_next(frames, &body, &err)) == 1)
		check_frame(stream, body);
	length = length_at(stream);
	if (r < 0) {
		HOLDS(length != SIZE_MAX && length > stream->most, "refused: %s", err.text);
		return false;
	}
	HOLDS(length == SIZE_MAX || (length <= stream->most &&
				     stream->sent - stream->at < LW_FRAME_HEAD + length),
	      "a frame of %zu bytes is there and does not come out", length);
	return true;
}

static void feed(struct stream *stream, struct lw_frames *frames, size_t piece, const int ends[2])
{
	size_t left;

	while ((left = stream->all.size - stream->sent) > 0) {
		ssize_t n = write(ends[1], stream->all.data + stream->sent,
				  left < piece ? left : piece);

		HOLDS(n > 0, "the pipe takes nothing");
		for (ssize_t taken = 0; taken < n;) {
			int got = lw_frames_fill(frames, ends[0]);

			HOLDS(got > 0 && got <= n - taken, "%d bytes of %zd", got, n - taken);
			taken += got;
			stream->sent += (size_t)got;
			if (!take(stream, frames))
				return;
		}
		HOLDS(lw_frames_fill(frames, ends[0]) == -EAGAIN, "something came from nowhere");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream stream = { 0 };
	struct lw_frames frames;
	size_t piece;
	int ends[2];

	if (size < HEAD)
		return 0;
	piece = (data[0] + 1u) * (data[0] + 1u); /* up to what a pipe holds */
	stream.most = (size_t)data[1] << 8 | data[2];
	stream.all = (struct lw_slice){ data + HEAD, size - HEAD };
	HOLDS(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0, "no pipe");
	lw_frames_init(&frames, stream.most);
	feed(&stream, &frames, piece, ends);
	lw_frames_done(&frames);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
