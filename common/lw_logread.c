/* lw_logread.c - files of lines, backwards to where an answer begins, then forwards. See lw_logread.h.
 *
 * For each name there is a cursor: a place between two lines, in one of its files. First the cursors
 * go back, always the one whose line before is the latest, until enough lines that match lie behind
 * them (or back to the beginning). Then they go forwards, always the one whose next line is the
 * earliest, and lines are handed out. Both are done in steps of a bounded size.
 */
#include "lw_logread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW    ((size_t)64 << 10)  /* bytes read at a time by one cursor */
#define LEAST     ((size_t)4 << 10)   /* where there are many */
#define TOGETHER  ((size_t)8 << 20)   /* what all of them may hold */
#define LINE_MOST ((size_t)256 << 10) /* what is longer is damaged, and cut */
#define GAP       3                   /* an age is looked for so far behind the one before */
#define GLANCE    ((size_t)1 << 10)   /* bytes that opening a file counts for */

struct cursor {
	struct lw_logread *logread;
	char *name, *work;
	int fd; /* -1: no file was there yet */
	struct stat stat_of;
	unsigned age;    /* at least: rotation adds to it */
	uint64_t at;     /* in the file, between two lines */
	uint64_t origin; /* in the file, of the window */
	struct lw_buf window;
	struct lw_logfile_line line; /* before, or behind `at` */
	size_t size;                 /* of that line with its end */
	bool queued;                 /* in the heap */
};

enum phase { SCAN, BACK, FORTH };

struct lw_logread {
	char *folder, *only, *search;
	struct lw_logread_query query;
	struct cursor **cursors; /* in the order of their names */
	size_t count, room;
	struct cursor **heap; /* those that have a line, the one to be taken first on top */
	size_t heap_size;
	size_t looked; /* so many cursors were asked for their first line of this phase */
	size_t left;   /* bytes that this step may read */
	enum phase phase;
	int64_t found;        /* lines that match, going back */
	struct lw_err failed; /* a file is there and cannot be opened */
};

bool lw_logread_has(const char *folder, const char *work)
{
	LW_AUTO(lw_free) char *name = lw_logfile_name(work);
	char path[PATH_MAX];

	lw_logfile_path(folder, name, 0, path, sizeof(path));
	return access(path, F_OK) == 0;
}

/* ---- files of one name ------------------------------------------------------------------ */

static void path_of(const struct cursor *cursor, unsigned age, char path[PATH_MAX])
{
	lw_logfile_path(cursor->logread->folder, cursor->name, age, path, PATH_MAX);
}

static bool is_file(const struct cursor *cursor, unsigned age, struct stat *ret_stat)
{
	char path[PATH_MAX];

	path_of(cursor, age, path);
	return lstat(path, ret_stat) == 0 && S_ISREG(ret_stat->st_mode);
}

/* The next age from `from` on that there is a file of; -1: none. */
static int next_age(const struct cursor *cursor, unsigned from)
{
	struct stat stat_of;

	for (unsigned age = from; age < from + GAP; age++)
		if (is_file(cursor, age, &stat_of))
			return (int)age;
	return -1;
}

static int oldest_age(const struct cursor *cursor)
{
	int oldest = -1, age = next_age(cursor, 0);

	while (age >= 0) {
		oldest = age;
		age = next_age(cursor, (unsigned)age + 1);
	}
	return oldest;
}

/* How old the file in hand is by now; false: it is not there any more. */
static bool find_age(struct cursor *cursor)
{
	struct stat stat_of;
	int age = next_age(cursor, cursor->age);

	while (age >= 0) {
		if (is_file(cursor, (unsigned)age, &stat_of) &&
		    stat_of.st_dev == cursor->stat_of.st_dev &&
		    stat_of.st_ino == cursor->stat_of.st_ino) {
			cursor->age = (unsigned)age;
			return true;
		}
		age = next_age(cursor, (unsigned)age + 1);
	}
	return false;
}

static bool open_age(struct cursor *cursor, int age)
{
	char path[PATH_MAX];
	int fd;

	if (age < 0)
		return false;
	path_of(cursor, (unsigned)age, path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT && errno != ELOOP)
		lw_err_sys(&cursor->logread->failed, -errno, "cannot open '%s'", path);
	if (fd < 0 || fstat(fd, &cursor->stat_of) < 0 || !S_ISREG(cursor->stat_of.st_mode)) {
		lw_close(fd);
		return false;
	}
	lw_close(cursor->fd);
	cursor->fd = fd;
	cursor->age = (unsigned)age;
	cursor->window.size = 0;
	return true;
}

static bool open_older(struct cursor *cursor)
{
	if (cursor->fd < 0 || !find_age(cursor) ||
	    !open_age(cursor, next_age(cursor, cursor->age + 1)))
		return false;
	cursor->at = (uint64_t)cursor->stat_of.st_size;
	return true;
}

/* The file that goes on where the one in hand ends; the first one, if there was none yet. */
static bool open_newer(struct cursor *cursor)
{
	bool there = cursor->fd >= 0 && find_age(cursor);
	int age = there ? -1 : oldest_age(cursor);
	struct stat stat_of;

	for (unsigned i = there ? cursor->age : 0; i-- > 0 && age < 0;)
		if (is_file(cursor, i, &stat_of))
			age = (int)i;
	if (!open_age(cursor, age))
		return false;
	cursor->at = 0;
	return true;
}

/* ---- lines of one cursor ---------------------------------------------------------------- */

/* Bytes that it reads at a time. */
static size_t window_of(const struct lw_logread *logread)
{
	size_t share = TOGETHER / (logread->count + 1);

	return share > WINDOW ? WINDOW : share < LEAST ? LEAST : share;
}

static void spend(struct lw_logread *logread, size_t size)
{
	logread->left -= size < logread->left ? size : logread->left;
}

/* Up to `size` bytes from there; 0: none, or they cannot be read. */
static size_t read_at(struct cursor *cursor, uint8_t *to, size_t size, uint64_t from)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(cursor->fd, to + done, size - done, (off_t)(from + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	spend(cursor->logread, done);
	return done;
}

/* A line that is none of ours: something damaged the file. It is shown at its neighbour's time. */
static void set_line(struct cursor *cursor, const uint8_t *bytes, size_t size, size_t with_end)
{
	struct lw_slice slice = { bytes, size };
	int64_t at = cursor->line.at;

	if (!lw_logfile_parse(slice, &cursor->line))
		cursor->line = (struct lw_logfile_line){ .at = at, .text = slice };
	cursor->size = with_end;
}

/* Reads what lies before the window; false: it cannot be read. */
static bool widen_back(struct cursor *cursor)
{
	size_t more = window_of(cursor->logread), kept = cursor->window.size;

	if (kept == 0)
		cursor->origin = cursor->at;
	more = cursor->origin < more ? (size_t)cursor->origin : more;
	lw_buf_grow(&cursor->window, more);
	memmove(cursor->window.data + more, cursor->window.data, kept);
	if (read_at(cursor, cursor->window.data, more, cursor->origin - more) < more) {
		cursor->window.size = 0;
		return false;
	}
	cursor->window.size += more;
	cursor->origin -= more;
	return true;
}

/* The line before `at` becomes the cursor's; false: there is none. */
static bool look_back(struct cursor *cursor)
{
	while (cursor->at > 0 || open_older(cursor)) {
		size_t there = cursor->window.size > 0 ? (size_t)(cursor->at - cursor->origin) : 0;
		const uint8_t *bytes = cursor->window.data, *end = NULL;
		size_t whole, start;

		cursor->window.size = there; /* what lies behind was seen */
		whole = there > 0 && bytes[there - 1] == '\n' ? there - 1 : there;
		if (whole > 0)
			end = memrchr(bytes, '\n', whole);
		if (there > 0 && (end != NULL || cursor->origin == 0 || there >= LINE_MOST)) {
			start = end != NULL ? (size_t)(end - bytes) + 1 : 0;
			set_line(cursor, bytes + start, whole - start, there - start);
			return true;
		}
		if (cursor->at > 0 && !widen_back(cursor))
			return false;
	}
	return false;
}

/* Reads on behind the window; false: the file ends there. */
static bool widen_forth(struct cursor *cursor)
{
	struct lw_buf *window = &cursor->window;
	size_t n, more = window_of(cursor->logread);

	if (window->size > 0)
		lw_buf_cut(window, (size_t)(cursor->at - cursor->origin));
	cursor->origin = cursor->at;
	lw_buf_grow(window, more);
	n = read_at(cursor, window->data + window->size, more, cursor->origin + window->size);
	window->size += n;
	return n > 0;
}

/* By somebody else, who emptied it: what comes now stands at its beginning. */
static bool was_shortened(struct cursor *cursor)
{
	struct stat stat_of;

	if (fstat(cursor->fd, &stat_of) < 0 || (uint64_t)stat_of.st_size >= cursor->at)
		return false;
	cursor->at = 0;
	cursor->window.size = 0;
	return true;
}

/* The line behind `at` becomes the cursor's; false: there is none yet. */
static bool look_forth(struct cursor *cursor)
{
	while (cursor->fd >= 0 || open_newer(cursor)) {
		size_t skip = cursor->window.size > 0 ? (size_t)(cursor->at - cursor->origin) : 0;
		size_t there = cursor->window.size - skip;
		const uint8_t *bytes = there > 0 ? cursor->window.data + skip : NULL;
		const uint8_t *end = there > 0 ? memchr(bytes, '\n', there) : NULL;

		if (end != NULL || there >= LINE_MOST) {
			size_t size = end != NULL ? (size_t)(end - bytes) : there;

			set_line(cursor, bytes, size, size + (end != NULL));
			return true;
		}
		if (widen_forth(cursor) || was_shortened(cursor))
			continue;
		/* What stands behind the last line end of a file that grows no more was cut off. */
		if (!open_newer(cursor)) {
			lw_buf_shrink(&cursor->window, 0);
			return false;
		}
	}
	return false;
}

static void cursor_free(struct cursor *cursor)
{
	lw_close(cursor->fd);
	lw_buf_done(&cursor->window);
	lw_free(cursor->name);
	lw_free(cursor->work);
	lw_free(cursor);
}

/* ---- the order of lines ----------------------------------------------------------------- */

static bool comes_first(const struct lw_logread *logread, const struct cursor *a,
			const struct cursor *b)
{
	int order = a->line.at != b->line.at ? (a->line.at < b->line.at ? -1 : 1)
					     : strcmp(a->name, b->name);

	return logread->phase == BACK ? order > 0 : order < 0;
}

static void heap_swap(struct lw_logread *logread, size_t a, size_t b)
{
	struct cursor *cursor = logread->heap[a];

	logread->heap[a] = logread->heap[b];
	logread->heap[b] = cursor;
}

static void heap_sink(struct lw_logread *logread, size_t i)
{
	for (;;) {
		size_t first = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < logread->heap_size &&
			    comes_first(logread, logread->heap[child], logread->heap[first]))
				first = child;
		if (first == i)
			return;
		heap_swap(logread, i, first);
		i = first;
	}
}

static void heap_add(struct lw_logread *logread, struct cursor *cursor)
{
	size_t i = logread->heap_size++;

	logread->heap[i] = cursor;
	cursor->queued = true;
	while (i > 0 && comes_first(logread, logread->heap[i], logread->heap[(i - 1) / 2])) {
		heap_swap(logread, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void heap_drop_first(struct lw_logread *logread)
{
	logread->heap[0]->queued = false;
	logread->heap[0] = logread->heap[--logread->heap_size];
	heap_sink(logread, 0);
}

static bool look(struct cursor *cursor)
{
	return cursor->logread->phase == BACK ? look_back(cursor) : look_forth(cursor);
}

/* The cursor on top has moved: it has another line, or none. */
static void look_again(struct lw_logread *logread)
{
	if (look(logread->heap[0]))
		heap_sink(logread, 0);
	else
		heap_drop_first(logread);
}

/* Asks the cursors that were not asked yet; false: the step is over. */
static bool look_at_all(struct lw_logread *logread)
{
	while (logread->looked < logread->count && logread->left > 0) {
		struct cursor *cursor = logread->cursors[logread->looked++];

		spend(logread, GLANCE);
		if (!cursor->queued && look(cursor))
			heap_add(logread, cursor);
	}
	return logread->looked == logread->count;
}

/* ---- cursors by name ------------------------------------------------------------------------ */

static struct cursor *cursor_new(struct lw_logread *logread, const char *name)
{
	struct cursor *cursor = LW_NEW(struct cursor);

	cursor->logread = logread;
	cursor->name = lw_strdup(name);
	cursor->work = lw_logfile_work(name);
	cursor->fd = -1;
	return cursor;
}

/* Where it is, or belongs. */
static size_t place_of(const struct lw_logread *logread, const char *name)
{
	size_t low = 0, high = logread->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(name, logread->cursors[middle]->name) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void make_room(struct lw_logread *logread)
{
	if (logread->count < logread->room)
		return;
	logread->room = logread->room == 0 ? 16 : logread->room * 2;
	logread->cursors = lw_realloc(logread->cursors, logread->room * sizeof(*logread->cursors));
	logread->heap = lw_realloc(logread->heap, logread->room * sizeof(*logread->heap));
}

/* The cursor of that name, a new one if there is none. */
static struct cursor *cursor_of(struct lw_logread *logread, const char *name)
{
	size_t place = place_of(logread, name);
	struct cursor **at;

	if (place < logread->count && strcmp(logread->cursors[place]->name, name) == 0)
		return logread->cursors[place];
	make_room(logread);
	at = logread->cursors + place;
	memmove(at + 1, at, (logread->count - place) * sizeof(*at));
	logread->count++;
	*at = cursor_new(logread, name);
	return *at;
}

static int scan(struct lw_logread *logread, struct lw_err *err)
{
	DIR *dir = opendir(logread->folder);
	struct dirent *entry;

	if (dir == NULL && errno == ENOENT)
		return 0; /* nobody has printed anything yet */
	if (dir == NULL)
		return lw_err_sys(err, -errno, "cannot read the folder '%s'", logread->folder);
	while ((entry = readdir(dir)) != NULL) {
		size_t size;

		if (lw_logfile_age(entry->d_name, &size) < 0)
			continue;
		entry->d_name[size] = '\0';
		(void)cursor_of(logread, entry->d_name);
	}
	closedir(dir);
	return 0;
}

/* ---- phases ------------------------------------------------------------------------------- */

static void begin_phase(struct lw_logread *logread, enum phase phase)
{
	logread->phase = phase;
	logread->looked = 0;
	for (size_t i = 0; i < logread->heap_size; i++)
		logread->heap[i]->queued = false;
	logread->heap_size = 0;
}

/* At the end of all files when it goes back from there, else at the very beginning. */
static int begin(struct lw_logread *logread, struct lw_err *err)
{
	bool back = logread->query.lines != LW_LOGREAD_ALL || logread->query.since > 0;
	int r = 0;

	if (logread->only != NULL)
		(void)cursor_of(logread, logread->only);
	else
		r = scan(logread, err);
	if (r < 0)
		return r;
	for (size_t i = 0; back && i < logread->count; i++) {
		struct cursor *cursor = logread->cursors[i];

		if (open_age(cursor, next_age(cursor, 0)))
			cursor->at = (uint64_t)cursor->stat_of.st_size;
	}
	begin_phase(logread, back ? BACK : FORTH);
	return 0;
}

static bool matches(const struct lw_logread *logread, const struct lw_logfile_line *line)
{
	const struct lw_logread_query *query = &logread->query;

	if (query->out != query->err && line->err != query->err)
		return false;
	if ((query->run != 0 && line->run != query->run) || line->at < query->since)
		return false;
	return query->search == NULL || memmem(line->text.data, line->text.size, query->search,
					       strlen(query->search)) != NULL;
}

static bool has_enough(const struct lw_logread *logread)
{
	return logread->query.lines != LW_LOGREAD_ALL && logread->found >= logread->query.lines;
}

/* 1: the step is over, 0: all cursors are where the answer begins. */
static int step_back(struct lw_logread *logread)
{
	if (!has_enough(logread) && !look_at_all(logread))
		return 1;
	while (logread->heap_size > 0 && !has_enough(logread)) {
		struct cursor *cursor = logread->heap[0];

		if (logread->left == 0)
			return 1;
		if (cursor->line.at < logread->query.since) {
			heap_drop_first(logread); /* those before are older still */
			continue;
		}
		logread->found += matches(logread, &cursor->line);
		cursor->at -= cursor->size;
		look_again(logread);
	}
	for (size_t i = 0; i < logread->count; i++)
		logread->cursors[i]->window.size = 0;
	begin_phase(logread, FORTH);
	return 0;
}

static int step_forth(struct lw_logread *logread, lw_logread_line *hand, void *context)
{
	if (!look_at_all(logread))
		return 1;
	while (logread->heap_size > 0) {
		struct cursor *cursor = logread->heap[0];

		if (logread->left == 0)
			return 1;
		if (matches(logread, &cursor->line)) {
			hand(context, cursor->work, &cursor->line);
			spend(logread, cursor->size);
		}
		cursor->at += cursor->size;
		look_again(logread);
	}
	return 0;
}

int lw_logread_step(struct lw_logread *logread, lw_logread_line *line, void *context,
		    struct lw_err *err)
{
	int r = 0;

	logread->left = LW_LOGREAD_SLICE;
	if (logread->phase == SCAN)
		r = begin(logread, err);
	if (r == 0 && logread->phase == BACK)
		r = step_back(logread);
	if (r == 0)
		r = step_forth(logread, line, context);
	if (r >= 0 && logread->failed.code != 0) {
		*err = logread->failed;
		return err->code;
	}
	return r;
}

void lw_logread_news(struct lw_logread *logread, const char *name)
{
	struct cursor *cursor;

	if (logread->phase == SCAN || (logread->only != NULL && strcmp(name, logread->only) != 0))
		return;
	cursor = cursor_of(logread, name);
	/* Before all of them go forwards it will come by anyway. */
	if (logread->phase == FORTH && !cursor->queued && look(cursor))
		heap_add(logread, cursor);
}

struct lw_logread *lw_logread_new(const char *folder, const char *name,
				  const struct lw_logread_query *query)
{
	struct lw_logread *logread = LW_NEW(struct lw_logread);

	logread->folder = lw_strdup(folder);
	logread->only = lw_strdup(name);
	logread->search = lw_strdup(query->search);
	logread->query = *query;
	logread->query.search = logread->search;
	return logread;
}

void lw_logread_free(struct lw_logread *logread)
{
	if (logread == NULL)
		return;
	for (size_t i = 0; i < logread->count; i++)
		cursor_free(logread->cursors[i]);
	lw_free(logread->cursors);
	lw_free(logread->heap);
	lw_free(logread->folder);
	lw_free(logread->only);
	lw_free(logread->search);
	lw_free(logread);
}
