/* bench_noop.c - the native work of the benchmarks: returns at once and notes when.
 *
 * Started by lw-supervisor from the .conf files here, and bare (`bench_noop --bare`, no
 * channel) by floor_spawn.c. From the environment: LW_BENCH_BOARD (board.h), LW_BENCH_WINDOW,
 * LW_BENCH_CPU (the processor to stay on), LW_BENCH_OUTLIVES (the supervisor's death),
 * LW_BENCH_HANGS (in the first attempt of each run).
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "lw_base.h"
#include "lw_worker.h"

static bool hangs;

static int64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static struct board *map_board(void)
{
	const char *path = getenv("LW_BENCH_BOARD");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *board;

	if (fd < 0)
		return NULL;
	board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return board == MAP_FAILED ? NULL : board;
}

static void stay_on_processor(void)
{
	const char *text = getenv("LW_BENCH_CPU");
	cpu_set_t set;

	if (text == NULL)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)strtoul(text, NULL, 10), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int start(void *data)
{
	struct board *board = data;

	if (board != NULL) {
		atomic_store(&board->last_start, now_ns());
		atomic_fetch_add(&board->starts, 1);
	}
	return 0;
}

static int run(struct lw_run *run_in_hand, void *data)
{
	struct board *board = data;
	int64_t begin = now_ns();
	uint64_t n;

	if (board == NULL)
		return 0;
	n = atomic_fetch_add(&board->runs, 1);
	if (n < BOARD_RUNS)
		board->run_at[n] = begin;
	if (hangs && lw_run_attempt(run_in_hand) == 1)
		pause();
	return 0;
}

int main(int argc, char **argv)
{
	int64_t reached = now_ns();
	struct board *board = map_board();
	const char *window = getenv("LW_BENCH_WINDOW");
	struct lw_work work = { .start = start, .run = run };

	if (board != NULL) {
		atomic_store(&board->last_main, reached);
		atomic_fetch_add(&board->mains, 1);
	}
	if (argc > 1 && strcmp(argv[1], "--bare") == 0)
		return pause();
	/* A benchmark that is cut short leaves nothing behind. */
	if (getenv("LW_BENCH_OUTLIVES") == NULL)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	hangs = getenv("LW_BENCH_HANGS") != NULL;
	stay_on_processor();
	work.window = window != NULL ? (unsigned)strtoul(window, NULL, 10) : 1;
	return lw_work_main(&work, board);
}
