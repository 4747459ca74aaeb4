/* log_files.c - files of lines: batches, rotation, what a disk does not take. See log_files.h. */
#include "log_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lw_log.h"

#define OPEN_MOST 1024                /* at once; and of the descriptors that there may be, */
#define OPEN_PART 8                   /* one of so many: the others are for processes and clients */
#define KEEP_ROOM ((size_t)256 << 10) /* of a batch */

struct log_files {
	char *folder;
	void *names;                   /* log_files by name, of tsearch(3) */
	struct log_file *first, *last; /* open ones, the most recently used first */
	size_t open_count, open_most;
	struct log_watch *watches;
};

struct log_file {
	struct log_files *files;
	char *name;
	size_t users;
	int fd; /* -1: not open */
	uint64_t size, inode;
	int64_t max_size, keep;
	uint64_t bytes, lost;
	uint64_t untold;                /* lines that were not kept, since it last took one */
	int error;                      /* why: -errno */
	struct log_file *newer, *older; /* in the order of use, while it is open */
};

void log_file_printed(struct log_file *file, size_t bytes)
{
	file->bytes += bytes;
}

uint64_t log_file_bytes(const struct log_file *file)
{
	return file->bytes;
}

uint64_t log_file_lost(const struct log_file *file)
{
	return file->lost;
}

void log_file_limits(struct log_file *file, int64_t max_size, int64_t keep)
{
	file->max_size = max_size;
	file->keep = keep;
}

/* ---- those that are open ---------------------------------------------------------------- */

static void unlist(struct log_file *file)
{
	struct log_files *files = file->files;

	*(file->newer != NULL ? &file->newer->older : &files->first) = file->older;
	*(file->older != NULL ? &file->older->newer : &files->last) = file->newer;
	file->newer = file->older = NULL;
}

static void list(struct log_file *file)
{
	struct log_files *files = file->files;

	file->older = files->first;
	*(files->first != NULL ? &files->first->newer : &files->last) = file;
	files->first = file;
}

static void close_file(struct log_file *file)
{
	if (file->fd < 0)
		return;
	unlist(file);
	file->files->open_count--;
	lw_close(file->fd);
	file->fd = -1;
}

static int open_path(struct log_files *files, const char *path)
{
	int flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, 0600);

	while (fd < 0 && (errno == EMFILE || errno == ENFILE) && files->last != NULL) {
		close_file(files->last);
		fd = open(path, flags, 0600);
	}
	if (fd < 0 && errno == ENOENT && mkdir(files->folder, 0700) == 0)
		fd = open(path, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* A machine that went down, or whoever edits the file, may have left half a line, without its end. */
static int end_last_line(struct log_file *file)
{
	char last;

	if (file->size == 0 || pread(file->fd, &last, 1, (off_t)file->size - 1) != 1 ||
	    last == '\n')
		return 0;
	if (write(file->fd, "\n", 1) != 1)
		return -errno;
	file->size++;
	return 0;
}

/* What others did to it meanwhile: shortened or removed it. */
static int look_at(struct log_file *file)
{
	struct stat stat_of;

	if (fstat(file->fd, &stat_of) < 0)
		return -errno;
	if (!S_ISREG(stat_of.st_mode))
		return -EEXIST;
	if (stat_of.st_nlink == 0)
		return -ENOENT;
	file->size = (uint64_t)stat_of.st_size;
	file->inode = stat_of.st_ino;
	return 0;
}

static int open_file(struct log_file *file)
{
	struct log_files *files = file->files;
	char path[PATH_MAX];
	int r;

	lw_logfile_path(files->folder, file->name, 0, path, sizeof(path));
	r = open_path(files, path);
	if (r < 0)
		return r;
	if (files->open_count == files->open_most)
		close_file(files->last);
	file->fd = r;
	files->open_count++;
	list(file);
	r = look_at(file);
	if (r == 0)
		r = end_last_line(file);
	if (r < 0)
		close_file(file);
	return r;
}

/* Open, with its size as it is now. */
static int refresh(struct log_file *file)
{
	uint64_t left_at = file->size;
	int r = file->fd >= 0 ? look_at(file) : -ENOENT;

	if (r == 0 && file->size != left_at)
		r = end_last_line(file);
	if (r == 0 && file->files->first != file) {
		unlist(file);
		list(file);
	}
	if (r == 0)
		return 0;
	close_file(file);
	return open_file(file);
}

/* ---- rotation ---------------------------------------------------------------------------- */

static int move(const struct log_file *file, unsigned from)
{
	char old[PATH_MAX], new[PATH_MAX];

	lw_logfile_path(file->files->folder, file->name, from, old, sizeof(old));
	lw_logfile_path(file->files->folder, file->name, from + 1, new, sizeof(new));
	return rename(old, new) < 0 && errno != ENOENT ? -errno : 0;
}

static int take_away(const struct log_file *file, unsigned age)
{
	char path[PATH_MAX];

	lw_logfile_path(file->files->folder, file->name, age, path, sizeof(path));
	return unlink(path) < 0 ? -errno : 0;
}

/* Killed in the middle of it, one number is missing until it has moved out. */
static int rotate(struct log_file *file)
{
	unsigned keep = (unsigned)file->keep;
	int r = 0;

	for (unsigned age = keep > 0 ? keep : 1; take_away(file, age) == 0; age++)
		; /* also those of when more were kept */
	for (unsigned age = keep; age-- > 0 && r == 0;)
		r = move(file, age);
	if (r == 0 && keep == 0)
		r = take_away(file, 0);
	close_file(file);
	return r < 0 ? r : open_file(file);
}

/* ---- batches ------------------------------------------------------------------------------ */

static bool fits(const struct log_file *file, size_t size)
{
	uint64_t most = file->max_size > 0 ? (uint64_t)file->max_size : UINT64_MAX;

	return file->size < most && size <= most - file->size;
}

void log_batch_like(struct log_batch *batch, const struct lw_logfile_line *like)
{
	batch->like = *like;
	for (size_t more = 0; more < 2; more++) {
		batch->like.more = more == 1;
		batch->head_size[more] = lw_logfile_head(&batch->like, batch->head[more]);
	}
}

bool log_batch_add(struct log_batch *batch, struct lw_slice text, bool more)
{
	size_t head = batch->head_size[more], size = head + text.size + 1;
	struct lw_buf *bytes = &batch->bytes;
	uint8_t *to;

	if (batch->lines > 0 && !fits(batch->file, bytes->size + size))
		return false;
	lw_buf_grow(bytes, size);
	to = bytes->data + bytes->size;
	memcpy(to, batch->head[more], head);
	if (text.size > 0)
		memcpy(to + head, text.data, text.size);
	to[size - 1] = '\n';
	bytes->size += size;
	batch->lines++;
	return true;
}

void log_batch_done(struct log_batch *batch)
{
	lw_buf_done(&batch->bytes);
}

static void empty(struct log_batch *batch)
{
	lw_buf_shrink(&batch->bytes, KEEP_ROOM);
	batch->lines = 0;
}

static void lose(struct log_batch *batch, int error)
{
	struct log_file *file = batch->file;
	bool first = file->untold == 0;

	file->lost += batch->lines;
	file->untold += batch->lines;
	file->error = error;
	empty(batch);
	if (first)
		lw_log(LW_LOG_ERROR, "log=%s/%s.log error=\"%s\" lines are not kept",
		       file->files->folder, file->name, strerror(-error));
}

/* Before the batch, what is missing. */
static void tell_lost(struct log_batch *batch)
{
	const struct log_file *file = batch->file;
	struct lw_logfile_line line = { .at = batch->like.at, .err = true };
	char head[LW_LOGFILE_HEAD_MAX];
	struct lw_buf bytes = { 0 };

	lw_buf_add(&bytes, head, lw_logfile_head(&line, head));
	lw_buf_printf(&bytes, "[lw: %llu line%s not kept: %s]\n", (unsigned long long)file->untold,
		      file->untold == 1 ? " was" : "s were", strerror(-file->error));
	lw_buf_add(&bytes, batch->bytes.data, batch->bytes.size);
	lw_buf_done(&batch->bytes);
	batch->bytes = bytes;
}

bool log_batch_place(struct log_batch *batch, struct log_place *ret_place)
{
	struct log_file *file = batch->file;
	int r = refresh(file);

	if (r == 0 && file->untold > 0)
		tell_lost(batch);
	if (r == 0 && file->size > 0 && !fits(file, batch->bytes.size))
		r = rotate(file);
	if (r < 0) {
		lose(batch, r);
		return false;
	}
	*ret_place = (struct log_place){ file->inode, file->size, batch->bytes.size };
	return true;
}

static void tell_watches(const struct log_file *file)
{
	struct log_watch *next;

	for (struct log_watch *watch = file->files->watches; watch != NULL; watch = next) {
		next = watch->next;
		watch->news(watch, file->name);
	}
}

/* All of it or nothing, so that no line is torn. */
void log_batch_write(struct log_batch *batch)
{
	struct log_file *file = batch->file;
	uint64_t told = file->untold;
	ssize_t n;

	do
		n = write(file->fd, batch->bytes.data, batch->bytes.size);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)batch->bytes.size) {
		int error = n < 0 ? -errno : -ENOSPC;

		if (n > 0 && ftruncate(file->fd, (off_t)file->size) < 0)
			close_file(file); /* whoever opens it ends the line that is torn */
		lose(batch, error);
		return;
	}
	file->size += batch->bytes.size;
	file->untold = 0;
	empty(batch);
	if (told > 0)
		lw_log(LW_LOG_WARNING, "log=%s/%s.log takes lines again, %llu were not kept",
		       file->files->folder, file->name, (unsigned long long)told);
	tell_watches(file);
}

/* ---- after a supervisor that was killed ------------------------------------------------------ */

/* Its entry in the folder is what a rotation does not touch until it is written on. */
static int open_inode(struct log_files *files, uint64_t inode)
{
	DIR *dir = opendir(files->folder);
	struct dirent *entry;
	int fd = -1;

	while (fd < 0 && dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_ino == inode)
			fd = openat(dirfd(dir), entry->d_name,
				    O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (dir != NULL)
		closedir(dir);
	return fd;
}

bool log_files_has(struct log_files *files, const struct log_place *place)
{
	LW_AUTO(lw_close) int fd = -1;
	struct stat stat_of;

	if (place->inode == 0)
		return false;
	fd = open_inode(files, place->inode);
	if (fd < 0 || fstat(fd, &stat_of) < 0)
		return false;
	if ((uint64_t)stat_of.st_size >= place->at + place->size)
		return true;
	if ((uint64_t)stat_of.st_size > place->at && ftruncate(fd, (off_t)place->at) < 0)
		return true; /* rather half of it than all of it twice */
	return false;
}

/* ---- files by name ----------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct log_file *one = a, *other = b;

	return strcmp(one->name, other->name);
}

static struct log_file *file_new(struct log_files *files, char *name)
{
	struct log_file *file = LW_NEW(struct log_file);

	file->files = files;
	file->name = name;
	file->fd = -1;
	file->max_size = LOG_MAX_SIZE;
	file->keep = LOG_KEEP;
	if (tsearch(file, &files->names, by_name) == NULL)
		lw_fatal("out of memory");
	return file;
}

static char *name_of(const char *work)
{
	return work != NULL ? lw_logfile_name(work) : lw_strdup(LW_LOGFILE_OWN);
}

struct log_file *log_file_find(const struct log_files *files, const char *work)
{
	LW_AUTO(lw_free) char *name = name_of(work);
	struct log_file like = { .name = name };
	struct log_file *const *found = tfind(&like, &files->names, by_name);

	return found != NULL ? *found : NULL;
}

struct log_file *log_file_open(struct log_files *files, const char *work)
{
	struct log_file *file = log_file_find(files, work);

	if (file == NULL)
		file = file_new(files, name_of(work));
	file->users++;
	return file;
}

void log_file_close(struct log_file *file)
{
	if (file == NULL || --file->users > 0)
		return;
	close_file(file);
	tdelete(file, &file->files->names, by_name);
	lw_free(file->name);
	lw_free(file);
}

void log_files_watch(struct log_files *files, struct log_watch *watch)
{
	watch->next = files->watches;
	watch->back = &files->watches;
	if (watch->next != NULL)
		watch->next->back = &watch->next;
	files->watches = watch;
}

void log_files_unwatch(struct log_watch *watch)
{
	if (watch->back == NULL)
		return;
	*watch->back = watch->next;
	if (watch->next != NULL)
		watch->next->back = watch->back;
	watch->back = NULL;
}

static size_t may_be_open(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / OPEN_PART >= OPEN_MOST)
		return OPEN_MOST;
	return 1 + (size_t)limit.rlim_cur / OPEN_PART;
}

struct log_files *log_files_new(const char *state_dir)
{
	struct log_files *files = LW_NEW(struct log_files);

	files->open_most = may_be_open();
	files->folder = lw_format("%s/%s", state_dir, LW_LOGFILE_FOLDER);
	return files;
}

void log_files_free(struct log_files *files)
{
	if (files == NULL)
		return;
	while (files->last != NULL)
		close_file(files->last);
	tdestroy(files->names, lw_free); /* empty: all were closed */
	lw_free(files->folder);
	lw_free(files);
}
