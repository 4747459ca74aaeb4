/* console.h - a descriptor of ours that is written to without ever waiting.
 *
 * A bounded queue of whole lines before standard output or standard error. Owned by struct
 * logs. Written once a turn (LOOP_END) and when there is room again. What does not fit is
 * dropped a line at a time and counted; once the queue is half empty the stream says so:
 * "[lw: 1234 lines dropped]". A stream whose reader is gone takes everything and writes
 * nothing.
 */
#ifndef LW_SUPERVISOR_CONSOLE_H
#define LW_SUPERVISOR_CONSOLE_H

#include "loop.h"
#include "lw_buf.h"

struct console;

/* `fd` stays the caller's, and its flags stay as they are. */
struct console *console_new(struct loop *loop, int fd, size_t queue_max);
void console_free(struct console *console); /* drops what is queued */

/* One line of two parts; the newline is added. */
void console_line(struct console *console, struct lw_slice head, struct lw_slice text);

/* Writes what is queued as far as it is taken, now. `before` is called once, right before the first
 * write, if there is one. */
void console_push(struct console *console, void (*before)(void *context), void *context);

/* Writes what is queued; waits while progress is made and at most 500 ms for some. */
void console_finish(struct console *console);
uint64_t console_dropped(const struct console *console);

/* Both lead to the same place: lines keep their order only in one queue. */
bool console_same_place(int fd, int other);

/* It leads to systemd's journal (JOURNAL_STREAM, systemd.exec(5)), which other users may read, and which
 * takes "<4>" at the start of a line for its priority (sd-daemon(3)). */
bool console_is_journal(int fd);

#endif
