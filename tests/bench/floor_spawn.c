/* floor_spawn.c - what starting processes costs with nothing around it.
 *
 * posix_spawn() is vfork and exec; death is heard of by pidfd. `argv` of the children that
 * are to note their main() on the board is bench_noop --bare.
 */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* A pid that kill() may be given. */
static pid_t child(const char *const *argv)
{
	pid_t pid = spawn(argv, -1);

	if (pid <= 0)
		exit(1);
	return pid;
}

double floor_spawn(const char *const *argv, size_t count)
{
	int64_t begin = now_ns();

	for (size_t i = 0; i < count; i++)
		waitpid(child(argv), NULL, 0);
	return (double)count / ((double)(now_ns() - begin) / 1e9);
}

static bool await_mains(struct board *board, uint64_t count)
{
	int64_t deadline = now_ns() + 30000000000;

	while (atomic_load(&board->mains) < count) {
		if (now_ns() > deadline)
			return false;
		wait_ms(1);
	}
	return true;
}

double floor_start(struct board *board, const char *const *argv, size_t count)
{
	LW_AUTO(lw_free) pid_t *pids = lw_alloc(count * sizeof(pid_t));
	uint64_t before = atomic_load(&board->mains);
	int64_t begin = now_ns();
	double took = NAN;

	for (size_t i = 0; i < count; i++)
		pids[i] = child(argv);
	if (await_mains(board, before + count))
		took = (double)(atomic_load(&board->last_main) - begin) / 1e9;
	for (size_t i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return took;
}

/* Kills `*pid` and starts the next one; when the kill was sent. */
static int64_t replace(pid_t *pid, const char *const *argv)
{
	struct pollfd wait = { .fd = (int)syscall(SYS_pidfd_open, *pid, 0), .events = POLLIN };
	int64_t begin = now_ns();

	kill(*pid, SIGKILL);
	poll(&wait, 1, -1);
	waitpid(*pid, NULL, 0);
	*pid = child(argv);
	close(wait.fd);
	return begin;
}

void floor_restart(struct board *board, const char *const *argv, size_t count,
		   struct samples *samples)
{
	uint64_t mains = atomic_load(&board->mains);
	pid_t pid = child(argv);

	for (size_t i = 0; i < count && await_mains(board, mains + 1 + i); i++) {
		int64_t begin;

		wait_ms(5);
		begin = replace(&pid, argv);
		if (await_mains(board, mains + 2 + i))
			samples_add(samples, (double)(atomic_load(&board->last_main) - begin));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
