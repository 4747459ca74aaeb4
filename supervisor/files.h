/* files.h - cache_files: what the files that works name hold, as one digest for each work.
 *
 * The loop reads no file and asks no file system for anything: a child, the reader (reader.h),
 * does. So a file system that does not answer, a FIFO or a file of many gigabytes hold up the
 * reader and nothing else. What it knows of a file it keeps by device, inode, size and times, so
 * that a file is read again only when one of those changed.
 *
 * Files are looked at when somebody is about to rely on them: before each pass (which sees the
 * files as they were after what caused it), before the call of an operator, and once a second by
 * the reader itself, so that a changed file makes a pass. A look does not wait for large files to
 * be read: until they are, the digest is unknown and calls of that work wait. So do all of them
 * while the reader does not answer; passes go on.
 *
 * Owned by the app. A set is the files of one work; the works' side is in work_files.c.
 */
#ifndef LW_SUPERVISOR_FILES_H
#define LW_SUPERVISOR_FILES_H

#include "config.h"
#include "loop.h"
#include "reader.h"
#include "run.h"

struct files;
struct reaper;

enum files_state { FILES_UNKNOWN, FILES_KNOWN, FILES_BAD };

/* One digest that a set had, and of which files it was made; for explain. */
struct files_version {
	uint8_t digest[READER_DIGEST];
	struct lw_buf names; /* as the reader sent them; empty: not kept */
};
#define FILES_VERSIONS 16

/* Fields are read by everybody and written by files.c alone. */
struct files_set {
	struct files *files;
	uint64_t id; /* for the reader */
	char *name;  /* of the work, for the log */
	struct words patterns;
	enum files_state told;         /* by the reader; files_state() says what holds */
	uint8_t digest[READER_DIGEST]; /* the last one that was known, or zeros */
	char *error;                   /* FILES_BAD: the sentence, which names the file */
	struct files_version versions[FILES_VERSIONS];
	size_t version_at;
	struct watcher *watchers;       /* told when it is known, or bad */
	void (*changed)(void *context); /* the same, each time that something is told of it */
	void *context;
};

/* `secret` of the store, LW_KEY_SECRET bytes, borrowed: digests are the same after a restart, and
 * nobody can make two files with one digest. Patterns are relative to `folder`. */
struct files *files_new(struct loop *loop, struct reaper *reaper, const char *folder,
			const uint8_t *secret);
void files_free(struct files *files); /* the sets are removed; NULL is welcome */
/* The program whose --read-files is the reader. Without it nothing is ever known. */
void files_read_with(struct files *files, const char *program);

struct files_set *files_add(struct files *files, const char *name, const struct words *patterns,
			    void (*changed)(void *context), void *context);
void files_remove(struct files_set *set); /* NULL is welcome */
enum files_state files_state(const struct files_set *set);

/* Looks at the files of all sets, not earlier than now. True: the watcher is told when that is
 * done, soon. False, and it is not: there is nothing to look at, or nobody who answers. */
bool files_look(struct files *files, struct watcher *watcher);

/* "cache_files 'model.cfg' changed": between two digests (READER_DIGEST bytes; empty: a call
 * without files). */
void files_print_change(const struct files_set *set, struct lw_slice was, struct lw_slice is,
			struct lw_buf *out);

#endif
