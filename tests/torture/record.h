/* record.h - what the works themselves wrote down, line by line, behind each other's backs.
 *
 * Every execution appends to one file, each line in one write:
 *
 *     begin   WORK N RUN ATTEMPT PID TIME
 *     end     WORK N RUN ATTEMPT PID TIME     it did what it had to
 *     fail    WORK N RUN ATTEMPT PID TIME     it failed, on purpose
 *     second  WORK N RUN ATTEMPT PID TIME     another execution of that call was still there
 *
 * A call of a work is one number, its named argument n; its result is torture_result(n). TIME is
 * microseconds since 1970, as in the journal. The folder is in TORTURE in the environment.
 *
 * While it runs an execution has the byte n of `locks/WORK` locked, by an open file that its
 * descendants inherit, those that outlive it as well: who does not get the lock is a second copy.
 */
#ifndef LW_TORTURE_RECORD_H
#define LW_TORTURE_RECORD_H

#include <stdint.h>

#define TORTURE_RECORD "record"
#define TORTURE_LOCKS  "locks"
#define TORTURE_LAST   1000000000 /* calls from here on are made at the end, and never fail */

static inline int64_t torture_result(int64_t n)
{
	return 7 * n + 3;
}

/* A number that looks random and is the same each time. */
static inline uint64_t torture_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
