/* bare_work.c - a native work in a few pages of memory: says hello and waits for the end.
 *
 * Without a library and built without sanitizers, so that thousands of them fit. Started by
 * lw-supervisor in the e2e tests; speaks just enough of the protocol to be idle. */
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lw_proto.h"

struct frame {
	uint8_t bytes[512];
	size_t size;
};

static void put(struct frame *frame, const void *bytes, size_t size)
{
	memcpy(frame->bytes + frame->size, bytes, size);
	frame->size += size;
}

static void put_number(struct frame *frame, uint64_t number)
{
	uint8_t bytes[9] = { 0xcf };

	for (int i = 0; i < 8; i++)
		bytes[1 + i] = (uint8_t)(number >> (56 - 8 * i));
	put(frame, bytes, sizeof(bytes));
}

static void put_text(struct frame *frame, const char *text)
{
	uint8_t head[2] = { 0xd9, (uint8_t)strlen(text) };

	put(frame, head, sizeof(head));
	put(frame, text, strlen(text));
}

static void put_hello(struct frame *frame, const char *token, const char *store, uint64_t worker,
		      uint64_t incarnation)
{
	const uint64_t rest[] = { worker, incarnation, (uint64_t)getpid(), 1, 0, 0, 0 };

	frame->size = 4; /* for its length */
	put(frame, "\x9b\x01", 2);
	put_number(frame, LW_PROTO_VERSION);
	put_text(frame, token);
	put_text(frame, store);
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		put_number(frame, rest[i]);
	frame->bytes[2] = (uint8_t)((frame->size - 4) >> 8);
	frame->bytes[3] = (uint8_t)(frame->size - 4);
}

static int dial(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

int main(void)
{
	const char *path = getenv("LW_SOCKET"), *token = getenv("LW_TOKEN");
	const char *mark = getenv("LW_WORKER");
	struct frame hello = { 0 };
	uint64_t worker, incarnation;
	char store[65], bytes[512];
	int fd;

	if (path == NULL || token == NULL || mark == NULL || strlen(token) > 64 ||
	    sscanf(mark, "%64[^/]/%" SCNu64 "/%" SCNu64, store, &worker, &incarnation) != 3)
		return 2;
	signal(SIGTERM, SIG_DFL);
	fd = dial(path);
	put_hello(&hello, token, store, worker, incarnation);
	if (fd < 0 || write(fd, hello.bytes, hello.size) != (ssize_t)hello.size) {
		perror("bare_work");
		return 1;
	}
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	return 0;
}
