/* board.h - shared memory on which bench_noop notes when it ran; the driver reads it.
 *
 * A file mapped by the driver (which owns it) and by every bench_noop that finds its path in
 * LW_BENCH_BOARD. Noting costs no system call, looking disturbs nobody. Times are
 * CLOCK_MONOTONIC in nanoseconds.
 */
#ifndef LW_BENCH_BOARD_H
#define LW_BENCH_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#define BOARD_RUNS (1u << 20)

struct board {
	_Atomic uint64_t mains;     /* processes that reached main() */
	_Atomic int64_t last_main;  /* when the last one did */
	_Atomic uint64_t starts;    /* processes whose start() was called */
	_Atomic int64_t last_start; /* when the last one was */
	_Alignas(64) _Atomic uint64_t runs;
	_Alignas(64) int64_t run_at[BOARD_RUNS]; /* entry of each run(), as far as there is room */
};

#endif
