/* reader.c - looks at files, reads those that changed, tells their digests. See reader.h.
 *
 * A process of its own: everything here may block. Between two pieces of a file it listens, so that
 * a large file does not hold up a look at small ones.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "config.h"
#include "lw_call.h"
#include "lw_frame.h"

#define MS         INT64_C(1000) /* us */
#define SECOND_NS  1000000000
#define PIECE      (1 << 20)   /* bytes read before we listen again; a file is large above it */
#define LOOK_EVERY (1000 * MS) /* a look of our own */
#define LOOK_READS (60 * MS)   /* of reading that belongs to a look */
#define TICK       (20 * MS)   /* between two times that a file system tells apart, at most; */
#define WHOLE_TICK (2000 * MS) /* where it counts in seconds */
#define TORN_MOST  3           /* readings of a file that changes under them */

/* What tells that a file is still the one that was read. */
struct identity_of_file {
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t modified, changed; /* ns */
};

/* A file that was read. */
struct content {
	struct identity_of_file identity;
	uint8_t digest[READER_DIGEST];
	uint64_t seen; /* in which look */
	struct content *next;
};

enum file_state { FILE_ABSENT, FILE_READ, FILE_UNREAD, FILE_BAD, FILE_IGNORED };

/* A name, as it was seen in the latest look. */
struct file {
	struct set *set;
	char *name;
	enum file_state state;
	bool from_pattern;
	struct identity_of_file identity;
	uint8_t digest[READER_DIGEST];
	const char *error; /* for good, as of strerrordesc_np(3) */
};

struct set {
	uint64_t id;
	struct words patterns;
	struct file *files;
	size_t count, room;
	size_t unread; /* files in that state */
	char *error;   /* of a pattern */
	bool told;     /* what follows was told */
	enum reader_state told_state;
	uint8_t told_digest[READER_DIGEST];
	char *told_text;
};

/* Files that are to be read, in no order. */
struct todo {
	struct file **list;
	size_t count, room;
};

/* A file that is being read. */
struct reading {
	int fd;            /* -1: none */
	struct file *file; /* that it is read for */
	struct identity_of_file identity;
	bool settled; /* when it was begun: a change since then shows in its times */
	unsigned torn;
	XXH3_state_t *state;
};

struct reader {
	uint8_t secret[LW_KEY_SECRET];
	struct set *sets;
	size_t set_count;
	void *contents; /* of tsearch(3), by device and inode */
	struct content *first_content;
	uint64_t looks;
	int64_t looked;             /* when, monotonic us */
	struct todo small, large;   /* of the latest look */
	struct reading now, behind; /* a small file as a whole; a large one piece by piece */
	uint8_t *piece;
	struct lw_frames frames;
};

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* ---- contents that are known ------------------------------------------------------------------- */

static int64_t ns(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct identity_of_file identity_of(const struct stat *stat)
{
	return (struct identity_of_file){ stat->st_dev, stat->st_ino, stat->st_size,
					  ns(stat->st_mtim), ns(stat->st_ctim) };
}

static bool is_same(const struct identity_of_file *a, const struct identity_of_file *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified == b->modified && a->changed == b->changed;
}

static bool is_still(const struct identity_of_file *identity, const struct stat *stat)
{
	struct identity_of_file is = identity_of(stat);

	return is_same(identity, &is);
}

static int by_inode(const void *a, const void *b)
{
	const struct identity_of_file *one = &((const struct content *)a)->identity;
	const struct identity_of_file *other = &((const struct content *)b)->identity;

	if (one->device != other->device)
		return one->device < other->device ? -1 : 1;
	return (one->inode > other->inode) - (one->inode < other->inode);
}

static struct content *find_content(const struct reader *reader,
				    const struct identity_of_file *identity)
{
	struct content key = { .identity = *identity };
	struct content *const *node = tfind(&key, &reader->contents, by_inode);

	return node != NULL ? *node : NULL;
}

static void keep_content(struct reader *reader, const struct identity_of_file *identity,
			 const uint8_t digest[READER_DIGEST])
{
	struct content *content = find_content(reader, identity);

	if (content == NULL) {
		content = LW_NEW(struct content);
		content->identity = *identity;
		content->next = reader->first_content;
		reader->first_content = content;
		if (tsearch(content, &reader->contents, by_inode) == NULL)
			lw_fatal("out of memory");
	}
	content->identity = *identity;
	content->seen = reader->looks;
	memcpy(content->digest, digest, READER_DIGEST);
}

/* Nobody names them any more. */
static void drop_unseen(struct reader *reader)
{
	struct content **at = &reader->first_content;

	while (*at != NULL) {
		struct content *content = *at;

		if (content->seen == reader->looks) {
			at = &content->next;
			continue;
		}
		*at = content->next;
		tdelete(content, &reader->contents, by_inode);
		free(content);
	}
}

/* ---- a look ---------------------------------------------------------------------------------------- */

static void files_done(struct set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->files[i].name);
	set->count = set->unread = 0;
	free(set->error);
	set->error = NULL;
}

static void add_file(struct set *set, const char *name, bool from_pattern)
{
	if (set->count == set->room) {
		set->room = set->room == 0 ? 8 : set->room * 2;
		set->files = lw_realloc(set->files, set->room * sizeof(*set->files));
	}
	set->files[set->count++] =
		(struct file){ .set = set, .name = lw_strdup(name), .from_pattern = from_pattern };
}

static char *bad_folder; /* for glob(3) alone: it has no context */

static int on_bad_folder(const char *path, int error)
{
	if (error == ENOENT || error == ENOTDIR)
		return 0;
	free(bad_folder);
	bad_folder = lw_format("cannot read the folder '%s': %s", path, strerror(error));
	return 1;
}

static void add_pattern(struct set *set, const char *pattern)
{
	glob_t found = { 0 };
	int r;

	if (strpbrk(pattern, "*?[") == NULL) {
		add_file(set, pattern, false);
		return;
	}
	r = glob(pattern, GLOB_NOSORT, on_bad_folder, &found);
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		add_file(set, found.gl_pathv[i], true);
	globfree(&found);
	if (r == 0 || r == GLOB_NOMATCH)
		return;
	free(set->error);
	set->error = bad_folder != NULL ? LW_TAKE(bad_folder)
					: lw_format("cannot search for '%s'", pattern);
}

/* Of one name twice, the one that stands there as such comes first: it is the stricter one. */
static int by_name(const void *a, const void *b)
{
	const struct file *one = a, *other = b;
	int order = strcmp(one->name, other->name);

	return order != 0 ? order : one->from_pattern - other->from_pattern;
}

static void sort_files(struct set *set)
{
	size_t kept = 0;

	if (set->count == 0)
		return;
	qsort(set->files, set->count, sizeof(*set->files), by_name);
	for (size_t i = 1; i < set->count; i++) {
		if (strcmp(set->files[i].name, set->files[kept].name) == 0)
			free(set->files[i].name);
		else
			set->files[++kept] = set->files[i];
	}
	set->count = kept + 1;
}

static void set_bad(struct file *file, const char *error)
{
	file->state = FILE_BAD;
	file->error = error;
}

/* What a path that is no regular file is, in words. */
static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode)    ? "it is a folder (name the files in it, as in \"folder/*\")"
	       : S_ISFIFO(mode) ? "it is a FIFO, not a regular file"
	       : S_ISSOCK(mode) ? "it is a socket, not a regular file"
				: "it is a device, not a regular file";
}

/* Whether this file was read before. */
static bool is_known(struct reader *reader, struct file *file)
{
	struct content *content = find_content(reader, &file->identity);

	if (content == NULL || !is_same(&content->identity, &file->identity))
		return false;
	content->seen = reader->looks;
	file->state = FILE_READ;
	memcpy(file->digest, content->digest, READER_DIGEST);
	return true;
}

static void look_at(struct reader *reader, struct file *file)
{
	struct stat status;

	if (stat(file->name, &status) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			file->state = FILE_ABSENT;
		else
			set_bad(file, strerrordesc_np(errno));
	} else if (S_ISREG(status.st_mode)) {
		file->identity = identity_of(&status);
		if (!is_known(reader, file))
			file->state = FILE_UNREAD;
	} else if (file->from_pattern) {
		file->state = FILE_IGNORED;
	} else {
		set_bad(file, kind_of(status.st_mode));
	}
}

static void todo_add(struct todo *todo, struct file *file)
{
	if (todo->count == todo->room) {
		todo->room = todo->room == 0 ? 16 : todo->room * 2;
		todo->list = lw_realloc(todo->list, todo->room * sizeof(*todo->list));
	}
	todo->list[todo->count++] = file;
}

/* What is being read goes on, also when it changed since: else a large file that never holds still
 * would never be read to its end. */
static void plan(struct reader *reader, struct file *file)
{
	struct reading *behind = &reader->behind;

	file->set->unread++;
	if (behind->fd >= 0 && behind->file == NULL &&
	    behind->identity.device == file->identity.device &&
	    behind->identity.inode == file->identity.inode)
		behind->file = file;
	else
		todo_add(file->identity.size > PIECE ? &reader->large : &reader->small, file);
}

static void look_at_set(struct reader *reader, struct set *set)
{
	files_done(set);
	for (size_t i = 0; i < set->patterns.count; i++)
		add_pattern(set, set->patterns.words[i]);
	sort_files(set);
	for (size_t i = 0; i < set->count; i++) {
		look_at(reader, &set->files[i]);
		if (set->files[i].state == FILE_UNREAD)
			plan(reader, &set->files[i]);
	}
}

static void stop_reading(struct reading *reading)
{
	lw_close(reading->fd);
	reading->fd = -1;
	reading->file = NULL;
}

static void look(struct reader *reader)
{
	reader->looks++;
	reader->looked = now();
	reader->small.count = reader->large.count = 0;
	reader->behind.file = NULL;
	for (size_t i = 0; i < reader->set_count; i++)
		look_at_set(reader, &reader->sets[i]);
	if (reader->behind.file == NULL)
		stop_reading(&reader->behind);
	drop_unseen(reader);
}

/* ---- telling ----------------------------------------------------------------------------------------- */

static void write_all(const struct lw_buf *out)
{
	for (size_t at = 0; at < out->size;) {
		ssize_t n = write(STDIN_FILENO, out->data + at, out->size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0); /* the supervisor is gone */
		at += (size_t)n;
	}
}

static enum reader_state state_of(const struct set *set, char **ret_text)
{
	*ret_text = lw_strdup(set->error);
	for (size_t i = 0; *ret_text == NULL && i < set->count; i++) {
		const struct file *file = &set->files[i];

		if (file->state == FILE_BAD)
			*ret_text = lw_format("cannot read '%s': %s", file->name, file->error);
	}
	return *ret_text != NULL ? READER_BAD : set->unread > 0 ? READER_READING : READER_KNOWN;
}

/* Names, each with its end, whether it is there, and its content. */
static void digest_of(const struct reader *reader, const struct set *set,
		      uint8_t ret_digest[READER_DIGEST])
{
	LW_AUTO_BUF all = { 0 };
	XXH128_canonical_t canonical;

	for (size_t i = 0; i < set->count; i++) {
		const struct file *file = &set->files[i];
		uint8_t there = file->state == FILE_READ;

		if (file->state == FILE_IGNORED)
			continue;
		lw_buf_add(&all, file->name, strlen(file->name) + 1);
		lw_buf_add(&all, &there, 1);
		lw_buf_add(&all, file->digest, there ? READER_DIGEST : 0);
	}
	XXH128_canonicalFromHash(
		&canonical,
		XXH3_128bits_withSecret(all.data, all.size, reader->secret, LW_KEY_SECRET));
	memcpy(ret_digest, canonical.digest, READER_DIGEST);
}

static uint64_t mark_of(const struct file *file)
{
	uint64_t mark = 0;

	if (file->state != FILE_READ)
		return 0;
	memcpy(&mark, file->digest, sizeof(mark));
	return mark != 0 ? mark : 1;
}

static void put_names(struct lw_buf *out, const struct set *set)
{
	uint32_t n = 0;

	for (size_t i = 0; i < set->count; i++)
		n += set->files[i].state != FILE_IGNORED;
	n = n <= READER_NAMES ? n : 0;
	lw_put_list(out, n);
	for (size_t i = 0; n > 0 && i < set->count; i++) {
		if (set->files[i].state == FILE_IGNORED)
			continue;
		lw_put_list(out, 2);
		lw_put_cstr(out, set->files[i].name);
		lw_put_uint(out, mark_of(&set->files[i]));
	}
}

static void put_set(struct lw_buf *out, const struct set *set)
{
	size_t frame = lw_frame_begin(out);

	lw_put_list(out, 6);
	lw_put_uint(out, READER_SET);
	lw_put_uint(out, set->id);
	lw_put_uint(out, set->told_state);
	lw_put_bytes(out, set->told_digest, READER_DIGEST);
	lw_put_cstr(out, set->told_text != NULL ? set->told_text : "");
	if (set->told_state == READER_KNOWN)
		put_names(out, set);
	else
		lw_put_list(out, 0);
	lw_frame_end(out, frame);
}

static bool is_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void tell(const struct reader *reader, struct set *set)
{
	LW_AUTO_BUF out = { 0 };
	uint8_t digest[READER_DIGEST] = { 0 };
	char *text;
	enum reader_state state = state_of(set, &text);

	if (state == READER_KNOWN)
		digest_of(reader, set, digest);
	if (set->told && state == set->told_state && is_text(text, set->told_text) &&
	    memcmp(digest, set->told_digest, READER_DIGEST) == 0) {
		free(text);
		return;
	}
	free(set->told_text);
	set->told = true;
	set->told_state = state;
	set->told_text = text;
	memcpy(set->told_digest, digest, READER_DIGEST);
	put_set(&out, set);
	write_all(&out);
}

static void tell_all(const struct reader *reader)
{
	for (size_t i = 0; i < reader->set_count; i++)
		tell(reader, &reader->sets[i]);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* A file is not unread any more. */
static void file_done(const struct reader *reader, struct file *file)
{
	if (--file->set->unread == 0)
		tell(reader, file->set);
}

/* Microseconds since it changed. Times to come, from a clock that is not ours, say nothing. */
static int64_t age_of(const struct identity_of_file *identity)
{
	struct timespec wall;
	int64_t last =
		identity->changed > identity->modified ? identity->changed : identity->modified;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &wall);
	age = (ns(wall) - last) / 1000;
	return age < -TICK ? INT64_MAX : age;
}

/* A change from now on would show in its times. */
static bool is_settled(const struct identity_of_file *identity)
{
	bool whole = identity->changed % SECOND_NS == 0 && identity->modified % SECOND_NS == 0;

	return age_of(identity) >= (whole ? WHOLE_TICK : TICK);
}

/* One that can be read now, which leaves the list. NULL: none, but perhaps in *ret_wait us (it is
 * left as it is when there is nothing to wait for). */
static struct file *pick(struct reader *reader, struct todo *todo, int64_t *ret_wait)
{
	for (size_t i = 0; i < todo->count;) {
		struct file *file = todo->list[i];
		bool known = is_known(reader, file); /* by another name */
		int64_t wait = known ? 0 : TICK - age_of(&file->identity);

		if (wait > 0) {
			*ret_wait = *ret_wait < 0 || wait < *ret_wait ? wait : *ret_wait;
			i++;
			continue;
		}
		todo->list[i] = todo->list[--todo->count];
		if (!known)
			return file;
		file_done(reader, file);
	}
	return NULL;
}

/* From its beginning. */
static void begin_reading(const struct reader *reader, struct reading *reading,
			  const struct stat *stat)
{
	reading->identity = identity_of(stat);
	reading->settled = is_settled(&reading->identity);
	if (XXH3_128bits_reset_withSecret(reading->state, reader->secret, LW_KEY_SECRET) != XXH_OK)
		lw_fatal("cannot begin a digest");
}

/* The file may be another one than a moment ago, and no regular one: opening it must not wait. */
static void open_file(const struct reader *reader, struct reading *reading, struct file *file)
{
	LW_AUTO(lw_close) int fd = open(file->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		file->state = FILE_ABSENT;
	} else if (fd < 0 || fstat(fd, &status) < 0) {
		set_bad(file, strerrordesc_np(errno));
	} else if (!S_ISREG(status.st_mode)) {
		set_bad(file, kind_of(status.st_mode));
	} else {
		reading->fd = fd;
		fd = -1; /* handed over */
		reading->file = file;
		reading->torn = 0;
		begin_reading(reader, reading, &status);
		return;
	}
	file_done(reader, file);
}

/* The end of the file. What was read is what its identity says, unless that changed meanwhile or
 * would not have shown a change. */
static void end_reading(struct reader *reader, struct reading *reading)
{
	struct file *file = reading->file;
	XXH128_canonical_t canonical;
	struct stat status = { 0 };
	bool same;

	same = fstat(reading->fd, &status) == 0 && is_still(&reading->identity, &status);
	if (!same && ++reading->torn < TORN_MOST && lseek(reading->fd, 0, SEEK_SET) == 0) {
		begin_reading(reader, reading, &status);
		return;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(reading->state));
	file->state = FILE_READ;
	memcpy(file->digest, canonical.digest, READER_DIGEST);
	if (same && reading->settled)
		keep_content(reader, &reading->identity, canonical.digest);
	stop_reading(reading);
	file_done(reader, file);
}

static void read_piece(struct reader *reader, struct reading *reading)
{
	struct file *file = reading->file;
	ssize_t n = read(reading->fd, reader->piece, PIECE);

	if (n > 0) {
		(void)XXH3_128bits_update(reading->state, reader->piece, (size_t)n);
	} else if (n == 0) {
		end_reading(reader, reading);
	} else if (errno != EINTR) {
		set_bad(file, strerrordesc_np(errno));
		stop_reading(reading);
		file_done(reader, file);
	}
}

/* It has grown since the look. */
static void defer(struct reader *reader, struct file *file)
{
	file->identity = reader->now.identity;
	stop_reading(&reader->now);
	todo_add(&reader->large, file);
}

/* A small file, or a piece of a large one. False: there is nothing to be read, but may be in
 * *ret_wait us (-1: there is not). */
static bool read_some(struct reader *reader, int64_t *ret_wait)
{
	struct file *file;

	*ret_wait = -1;
	file = pick(reader, &reader->small, ret_wait);
	if (file != NULL) {
		open_file(reader, &reader->now, file);
		if (reader->now.identity.size > PIECE && reader->now.fd >= 0)
			defer(reader, file);
		while (reader->now.fd >= 0)
			read_piece(reader, &reader->now);
		return true;
	}
	if (reader->behind.fd < 0) {
		file = pick(reader, &reader->large, ret_wait);
		if (file == NULL)
			return false;
		open_file(reader, &reader->behind, file);
	}
	if (reader->behind.fd >= 0)
		read_piece(reader, &reader->behind);
	return true;
}

/* Small files that changed are read at once, so that their digest is part of the answer. */
static void look_and_read(struct reader *reader)
{
	int64_t until, wait;

	look(reader);
	until = reader->looked + LOOK_READS;
	while (now() < until) {
		if (read_some(reader, &wait))
			continue;
		if (wait < 0 || now() + wait > until)
			break;
		(void)poll(NULL, 0, (int)(wait / MS) + 1);
	}
	tell_all(reader);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

static struct lw_item take(const uint8_t **at, const uint8_t *end, enum lw_type type)
{
	struct lw_item item;

	if (lw_item_read(at, end, &item) < 0 ||
	    (item.type != type && !(type == LW_TEXT && item.type == LW_BYTES)))
		lw_fatal("the reader was told what it does not understand");
	return item;
}

static void set_done(struct set *set)
{
	files_done(set);
	words_done(&set->patterns);
	free(set->files);
	free(set->told_text);
}

static void drop_sets(struct reader *reader)
{
	for (size_t i = 0; i < reader->set_count; i++)
		set_done(&reader->sets[i]);
	free(reader->sets);
	reader->sets = NULL;
	reader->set_count = 0;
	reader->small.count = reader->large.count = 0;
}

static void take_set(struct set *set, const uint8_t **at, const uint8_t *end)
{
	uint32_t n;

	(void)take(at, end, LW_LIST);
	set->id = (uint64_t)take(at, end, LW_INT).i;
	n = take(at, end, LW_LIST).n;
	for (uint32_t i = 0; i < n; i++) {
		struct lw_slice text = take(at, end, LW_TEXT).s;
		LW_AUTO(lw_free) char *pattern = lw_strndup(text.data, text.size);

		words_add(&set->patterns, pattern);
	}
}

static void take_sets(struct reader *reader, const uint8_t **at, const uint8_t *end)
{
	struct lw_slice secret = take(at, end, LW_BYTES).s;
	uint32_t n = take(at, end, LW_LIST).n;

	if (secret.size != LW_KEY_SECRET)
		lw_fatal("the reader was given no secret");
	memcpy(reader->secret, secret.data, LW_KEY_SECRET);
	drop_sets(reader);
	reader->sets = lw_alloc((n + 1) * sizeof(*reader->sets));
	for (; reader->set_count < n; reader->set_count++)
		take_set(&reader->sets[reader->set_count], at, end);
	look_and_read(reader);
}

static void take_look(struct reader *reader, const uint8_t **at, const uint8_t *end)
{
	int64_t n = take(at, end, LW_INT).i;
	LW_AUTO_BUF out = { 0 };
	size_t frame;

	look_and_read(reader);
	frame = lw_frame_begin(&out);
	lw_put_list(&out, 2);
	lw_put_uint(&out, READER_LOOKED);
	lw_put_int(&out, n);
	lw_frame_end(&out, frame);
	write_all(&out);
}

static void take_request(struct reader *reader, struct lw_slice body)
{
	const uint8_t *at = body.data, *end = lw_slice_end(body);

	(void)take(&at, end, LW_LIST);
	if (take(&at, end, LW_INT).i == READER_SETS)
		take_sets(reader, &at, end);
	else
		take_look(reader, &at, end);
}

/* False: the supervisor is gone. */
static bool listen_to(struct reader *reader, int64_t wait)
{
	struct pollfd ready = { .fd = STDIN_FILENO, .events = POLLIN };
	struct lw_slice body;
	struct lw_err err;

	if (poll(&ready, 1, wait <= 0 ? 0 : (int)(wait / MS) + 1) <= 0)
		return true;
	if (lw_frames_fill(&reader->frames, STDIN_FILENO) <= 0)
		return false;
	while (lw_frames_next(&reader->frames, &body, &err) > 0)
		take_request(reader, body);
	return true;
}

/* Until the next look of our own, or until a file can be read. */
static int64_t time_to_wait(const struct reader *reader, int64_t until_settled)
{
	int64_t wait = reader->looked + LOOK_EVERY - now();

	return until_settled >= 0 && until_settled < wait ? until_settled : wait;
}

int reader_main(void)
{
	struct reader reader = { .now.fd = -1, .behind.fd = -1 };
	bool goes_on = true;

	(void)prctl(PR_SET_NAME, "lw-files");
	lw_frames_init(&reader.frames, LW_FRAME_MAX);
	reader.piece = lw_alloc(PIECE);
	reader.now.state = XXH3_createState();
	reader.behind.state = XXH3_createState();
	if (reader.now.state == NULL || reader.behind.state == NULL)
		lw_fatal("out of memory");
	while (goes_on) {
		int64_t settled = -1;

		bool busy = read_some(&reader, &settled);

		goes_on = listen_to(&reader, busy ? 0 : time_to_wait(&reader, settled));
		if (now() - reader.looked >= LOOK_EVERY)
			look_and_read(&reader);
	}
	stop_reading(&reader.behind);
	drop_sets(&reader);
	reader.looks++;
	drop_unseen(&reader); /* all of them */
	free(reader.small.list);
	free(reader.large.list);
	(void)XXH3_freeState(reader.now.state);
	(void)XXH3_freeState(reader.behind.state);
	free(reader.piece);
	lw_frames_done(&reader.frames);
	return 0;
}
