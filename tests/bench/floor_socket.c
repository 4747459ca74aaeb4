/* floor_socket.c - what Unix stream sockets between processes can do with nothing around them.
 *
 * The peer is forked, echoes what it reads and ends with its socket. Messages are 64 bytes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define MESSAGE   64
#define MOST      64 /* outstanding */
#define EXCHANGES 2  /* processes */

struct peer {
	int fd;
	pid_t pid;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

LW_NORETURN static void echo(int fd, int cpu)
{
	char bytes[MESSAGE * MOST];
	ssize_t n;

	stay_on(cpu);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(fd, bytes, (size_t)n) != n)
			break;
	_exit(0);
}

static struct peer peer_start(int cpu)
{
	struct peer peer;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	peer.pid = fork();
	must(peer.pid >= 0, "fork");
	if (peer.pid == 0) {
		close(pair[0]);
		echo(pair[1], cpu);
	}
	close(pair[1]);
	peer.fd = pair[0];
	return peer;
}

static void peer_stop(struct peer *peer)
{
	close(peer->fd);
	waitpid(peer->pid, NULL, 0);
}

/* In a process of its own, so that the driver's own processors stay as they are. */
static void ping(int cpu, int peer_cpu, size_t count, int report_to)
{
	struct peer peer = peer_start(peer_cpu);
	size_t warm_up = count / 10;
	LW_AUTO(lw_free) double *took = lw_alloc(count * sizeof(double));
	char bytes[MESSAGE] = { 0 };

	stay_on(cpu);
	for (size_t i = 0; i < count + warm_up; i++) {
		int64_t begin = now_ns();

		must(write(peer.fd, bytes, MESSAGE) == MESSAGE, "write");
		must(recv(peer.fd, bytes, MESSAGE, MSG_WAITALL) == MESSAGE, "recv");
		if (i >= warm_up)
			took[i - warm_up] = (double)(now_ns() - begin);
	}
	peer_stop(&peer);
	for (size_t i = 0; i < count; i++)
		must(write(report_to, &took[i], sizeof(double)) == sizeof(double), "write");
}

void floor_roundtrip(int cpu, int peer_cpu, size_t count, struct samples *samples)
{
	int report[2];
	double took;
	pid_t pid;

	must(pipe2(report, O_CLOEXEC) == 0, "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		close(report[0]);
		ping(cpu, peer_cpu, count, report[1]);
		_exit(0);
	}
	close(report[1]);
	while (read(report[0], &took, sizeof(took)) == sizeof(took))
		samples_add(samples, took);
	close(report[0]);
	waitpid(pid, NULL, 0);
}

/* What came back goes out again as the next messages, so `outstanding` stays as it is. */
static size_t exchange_once(const struct peer *peer)
{
	char bytes[MESSAGE * MOST];
	ssize_t n = read(peer->fd, bytes, sizeof(bytes));

	must(n > 0, "read");
	must(write(peer->fd, bytes, (size_t)n) == n, "write");
	return (size_t)n;
}

static size_t exchange(int epoll, const struct peer *peers)
{
	struct epoll_event events[EXCHANGES];
	int n = epoll_wait(epoll, events, EXCHANGES, -1);
	size_t bytes = 0;

	must(n > 0, "epoll_wait");
	for (int i = 0; i < n; i++)
		bytes += exchange_once(&peers[events[i].data.u32]);
	return bytes / MESSAGE;
}

static double exchange_rate(int epoll, const struct peer *peers, double seconds)
{
	int64_t begin = now_ns(), now = begin, end = begin + (int64_t)(seconds * 1e9);
	size_t count = 0;

	while (now < end) {
		for (int i = 0; i < 100; i++)
			count += exchange(epoll, peers);
		now = now_ns();
	}
	return (double)count / ((double)(now - begin) / 1e9);
}

double floor_exchange(size_t outstanding, double seconds)
{
	char bytes[MESSAGE * MOST] = { 0 };
	struct peer peers[EXCHANGES];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	double rate;

	must(epoll >= 0 && outstanding <= MOST, "epoll_create1");
	for (uint32_t i = 0; i < EXCHANGES; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
		ssize_t size = (ssize_t)(MESSAGE * outstanding);

		peers[i] = peer_start(-1);
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, peers[i].fd, &event) == 0, "epoll_ctl");
		must(write(peers[i].fd, bytes, (size_t)size) == size, "write");
	}
	exchange_rate(epoll, peers, seconds / 10);
	rate = exchange_rate(epoll, peers, seconds);
	/* The last first: an earlier peer's socket is also open in the later one. */
	for (size_t i = EXCHANGES; i-- > 0;)
		peer_stop(&peers[i]);
	close(epoll);
	return rate;
}

/* ---- many connections ------------------------------------------------------------------- */

LW_NORETURN static void dial_often(const struct sockaddr_un *address, size_t count)
{
	char bytes[MESSAGE] = { 0 };

	for (size_t i = 0; i < count; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		must(fd >= 0, "socket");
		must(connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0,
		     "connect");
		must(write(fd, bytes, MESSAGE) == MESSAGE, "write");
		must(recv(fd, bytes, MESSAGE, MSG_WAITALL) == MESSAGE, "recv");
		close(fd);
	}
	_exit(0);
}

double floor_accept(size_t count)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char bytes[MESSAGE];
	int64_t begin;
	double took;
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", guard_folder());
	must(bind(listening, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
	must(listen(listening, SOMAXCONN) == 0, "listen");
	begin = now_ns();
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0)
		dial_often(&address, count);
	for (size_t i = 0; i < count; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

		must(fd >= 0, "accept");
		must(recv(fd, bytes, MESSAGE, MSG_WAITALL) == MESSAGE, "recv");
		must(write(fd, bytes, MESSAGE) == MESSAGE, "write");
		close(fd);
	}
	took = (double)(now_ns() - begin) / 1e9;
	waitpid(pid, NULL, 0);
	close(listening);
	unlink(address.sun_path);
	return took;
}
