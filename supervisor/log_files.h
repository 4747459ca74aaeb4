/* log_files.h - writes what works print to files below <state dir>/logs, and rotates them.
 *
 * The names and the lines are those of lw_logfile.h. One struct log_file is a work's; its outputs share
 * it. It is opened when there is a first line to write; of many that are open (1024, or an eighth of the
 * descriptors that there may be) the least recently used is closed. Writing never waits for room: what a full disk or a folder that is gone does not
 * take is counted, said once, and said in the file when it takes lines again.
 *
 * A batch is what is written to a file in one go, log_batch_add() line by line until one finds no
 * room before the file is to be rotated.
 *
 * Owned by struct logs.
 */
#ifndef LW_SUPERVISOR_LOG_FILES_H
#define LW_SUPERVISOR_LOG_FILES_H

#include "lw_logfile.h"

struct log_files;
struct log_file;

#define LOG_MAX_SIZE (INT64_C(16) << 20) /* of a file, unless its work says otherwise */
#define LOG_KEEP     4

struct log_files *log_files_new(const char *state_dir);
void log_files_free(struct log_files *files); /* all log_files are closed before */

/* The file of that work, NULL: of the supervisor; a reference for the caller. */
struct log_file *log_file_open(struct log_files *files, const char *work);
void log_file_close(struct log_file *file); /* NULL is welcome; the file stays where it is */
void log_file_limits(struct log_file *file, int64_t max_size, int64_t keep);
void log_file_printed(struct log_file *file, size_t bytes); /* counts them, kept or not */
uint64_t log_file_bytes(const struct log_file *file);
uint64_t log_file_lost(const struct log_file *file); /* lines that were not kept */
struct log_file *log_file_find(const struct log_files *files, const char *work); /* or NULL */

struct log_batch {
	struct log_file *file;
	struct lw_buf bytes;
	size_t lines;
	struct lw_logfile_line like; /* the lines that are added; all but their text and `more` */
	char head[2][LW_LOGFILE_HEAD_MAX]; /* before a line, before one that goes on */
	size_t head_size[2];
};

void log_batch_like(struct log_batch *batch, const struct lw_logfile_line *like);
/* False: no room, what there is has to be written first. A first line always has. */
bool log_batch_add(struct log_batch *batch, struct lw_slice text, bool more);

/* Where the batch will lie when it is written: its file by inode, its first byte and its size. Rotates
 * when it has to. False: it cannot be written and is dropped, see above. */
struct log_place {
	uint64_t inode, at, size;
};
bool log_batch_place(struct log_batch *batch, struct log_place *ret_place);
void log_batch_write(struct log_batch *batch); /* behind log_batch_place(); it is empty then */
void log_batch_done(struct log_batch *batch);

/* Whether the bytes of that place were written by a supervisor that was killed; a part of them is taken
 * back. Before anything else is written. */
bool log_files_has(struct log_files *files, const struct log_place *place);

/* Told when lines were written to the file of that name. */
struct log_watch {
	void (*news)(struct log_watch *watch, const char *name);
	struct log_watch *next, **back;
};
void log_files_watch(struct log_files *files, struct log_watch *watch);
void log_files_unwatch(struct log_watch *watch); /* one that does not watch is welcome */

#endif
