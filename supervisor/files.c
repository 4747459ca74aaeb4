/* files.c - the sets of files, and the reader that looks at them. See files.h. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_call.h"
#include "lw_frame.h"
#include "lw_log.h"
#include "lw_process.h"
#include "lw_spawn.h"
#include "reap.h"

#define PATIENCE    250000  /* us that a look may take; after that passes do not wait for it */
#define START_AGAIN 1000000 /* us after the end of a reader */
#define END_MOST    200     /* ms that the end of one may take at our own end */

extern char **environ;

struct files {
	struct loop *loop;
	struct reaper *reaper;
	char *folder;
	const uint8_t *secret;
	char *program; /* or NULL */
	struct files_set **sets;
	size_t count;
	uint64_t last_id;
	bool news;             /* the reader does not know these sets yet */
	struct loop_task send; /* tells it */

	/* the reader */
	pid_t pid; /* 0: none */
	int pidfd;
	int fd;
	struct event *read_event, *write_event;
	struct lw_frames frames;
	struct lw_buf out;
	struct loop_timer again; /* until the next one is started */

	/* looks: one at a time */
	int64_t asked, answered;       /* numbers of looks */
	int64_t asked_at, answered_at; /* monotonic */
	bool late;                     /* the one that was asked for takes longer than PATIENCE */
	struct loop_timer patience;    /* of it */
	struct watcher *asking, *next; /* who waits for it; for one that begins after it */
};

static void files_forget_reader(struct files *files);

/* ---- who waits ------------------------------------------------------------------------------------ */

static void move_watchers(struct watcher **from, struct watcher **to)
{
	*to = *from;
	if (*to != NULL)
		(*to)->link = to;
	*from = NULL;
}

enum files_state files_state(const struct files_set *set)
{
	return set->files->late || set->files->pid == 0 ? FILES_UNKNOWN : set->told;
}

static void announce(struct files_set *set)
{
	if (files_state(set) == FILES_UNKNOWN)
		return;
	set->changed(set->context);
	watchers_tell(&set->watchers);
}

/* ---- what the reader is told ------------------------------------------------------------------------ */

static void flush(struct files *files)
{
	while (files->out.size > 0) {
		ssize_t n = write(files->fd, files->out.data, files->out.size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(files->write_event, NULL);
			return;
		}
		if (n < 0) /* its end is about to be read */
			return;
		lw_buf_cut(&files->out, (size_t)n);
	}
}

static void on_writable(evutil_socket_t fd LW_UNUSED, short what LW_UNUSED, void *context)
{
	flush(context);
}

static void put_set(struct lw_buf *out, const struct files_set *set)
{
	lw_put_list(out, 2);
	lw_put_uint(out, set->id);
	lw_put_list(out, (uint32_t)set->patterns.count);
	for (size_t i = 0; i < set->patterns.count; i++)
		lw_put_cstr(out, set->patterns.words[i]);
}

static void tell_sets(struct files *files)
{
	size_t frame = lw_frame_begin(&files->out);

	lw_put_list(&files->out, 3);
	lw_put_uint(&files->out, READER_SETS);
	lw_put_bytes(&files->out, files->secret, LW_KEY_SECRET);
	lw_put_list(&files->out, (uint32_t)files->count);
	for (size_t i = 0; i < files->count; i++)
		put_set(&files->out, files->sets[i]);
	lw_frame_end(&files->out, frame);
	files->news = false;
}

static void ask_to_look(struct files *files)
{
	size_t frame = lw_frame_begin(&files->out);

	lw_put_list(&files->out, 2);
	lw_put_uint(&files->out, READER_LOOK);
	lw_put_int(&files->out, ++files->asked);
	lw_frame_end(&files->out, frame);
	files->asked_at = loop_clock();
	loop_timer_set(&files->patience, PATIENCE);
}

/* ---- what it tells ------------------------------------------------------------------------------------ */

static struct files_set *find_set(const struct files *files, uint64_t id)
{
	for (size_t i = 0; i < files->count; i++)
		if (files->sets[i]->id == id)
			return files->sets[i];
	return NULL; /* it was removed */
}

static const struct files_version *find_version(const struct files_set *set, const uint8_t *digest)
{
	for (size_t i = 0; i < FILES_VERSIONS; i++)
		if (memcmp(set->versions[i].digest, digest, READER_DIGEST) == 0)
			return &set->versions[i];
	return NULL;
}

static void keep_version(struct files_set *set, const uint8_t *digest, struct lw_slice names)
{
	struct files_version *version = &set->versions[set->version_at];

	if (find_version(set, digest) != NULL)
		return;
	set->version_at = (set->version_at + 1) % FILES_VERSIONS;
	memcpy(version->digest, digest, READER_DIGEST);
	version->names.size = 0;
	lw_buf_add(&version->names, names.data, names.size);
}

struct told {
	uint64_t id;
	enum reader_state state;
	const uint8_t *digest;
	struct lw_slice text, names;
};

static void take_told(struct files_set *set, const struct told *told)
{
	static const enum files_state states[] = {
		[READER_READING] = FILES_UNKNOWN,
		[READER_KNOWN] = FILES_KNOWN,
		[READER_BAD] = FILES_BAD,
	};

	set->told = states[told->state];
	free(set->error);
	set->error = NULL;
	if (told->state == READER_KNOWN) {
		memcpy(set->digest, told->digest, READER_DIGEST);
		keep_version(set, told->digest, told->names);
	} else if (told->state == READER_BAD) {
		set->error = lw_strndup(told->text.data, told->text.size);
		lw_log(LW_LOG_WARNING, "work=%s cache_files: %s", set->name, set->error);
	}
	announce(set);
}

static void on_looked(struct files *files, int64_t n)
{
	struct watcher *told = NULL;
	bool was_late = files->late;

	if (n != files->asked)
		return;
	files->answered = n;
	files->answered_at = loop_clock();
	files->late = false;
	loop_timer_stop(&files->patience);
	if (was_late) {
		lw_log(LW_LOG_INFO, "cache_files can be looked at again");
		for (size_t i = 0; i < files->count; i++)
			announce(files->sets[i]);
	}
	move_watchers(&files->asking, &told);
	move_watchers(&files->next, &files->asking);
	if (files->asking != NULL) {
		ask_to_look(files);
		flush(files);
	}
	watchers_tell(&told);
}

/* One value of a type, text or bytes where that is LW_BYTES. */
static bool take(const uint8_t **at, const uint8_t *end, enum lw_type type, struct lw_item *item)
{
	return lw_item_read(at, end, item) == 0 &&
	       (item->type == type || (type == LW_BYTES && item->type == LW_TEXT));
}

static bool parse_told(const uint8_t *at, const uint8_t *end, struct told *told)
{
	struct lw_item item;

	if (!take(&at, end, LW_INT, &item))
		return false;
	told->id = (uint64_t)item.i;
	if (!take(&at, end, LW_INT, &item) || item.i < 0 || item.i > READER_BAD)
		return false;
	told->state = (enum reader_state)item.i;
	if (!take(&at, end, LW_BYTES, &item) || item.s.size != READER_DIGEST)
		return false;
	told->digest = item.s.data;
	if (!take(&at, end, LW_BYTES, &item))
		return false;
	told->text = item.s;
	told->names = (struct lw_slice){ at, (size_t)(end - at) };
	return true;
}

/* False: it makes no sense. */
static bool take_reply(struct files *files, struct lw_slice body)
{
	const uint8_t *at = body.data, *end = lw_slice_end(body);
	struct files_set *set;
	struct lw_item item;
	struct told told;

	if (lw_value_check(body, NULL) < 0 || !take(&at, end, LW_LIST, &item) ||
	    !take(&at, end, LW_INT, &item))
		return false;
	if (item.i == READER_LOOKED) {
		if (!take(&at, end, LW_INT, &item))
			return false;
		on_looked(files, item.i);
		return true;
	}
	if (!parse_told(at, end, &told))
		return false;
	set = find_set(files, told.id);
	if (set != NULL)
		take_told(set, &told);
	return true;
}

/* ---- its life ------------------------------------------------------------------------------------------- */

/* Nobody waits in vain. */
static void give_up_look(struct files *files)
{
	struct watcher *told = NULL;

	loop_timer_stop(&files->patience);
	move_watchers(&files->asking, &told);
	watchers_tell(&told);
	move_watchers(&files->next, &told);
	watchers_tell(&told);
}

static void on_late(struct loop_timer *timer)
{
	struct files *files = LW_OWNER(timer, struct files, patience);

	lw_log(LW_LOG_WARNING, "cache_files cannot be looked at: a file system does not answer, or "
			       "is slow; works with cache_files wait");
	files->late = true;
	give_up_look(files);
}

static void reader_is_gone(struct files *files)
{
	lw_log(LW_LOG_WARNING, "pid=%d the reader of cache_files ended, another one is started",
	       (int)files->pid);
	files_forget_reader(files);
	loop_timer_set(&files->again, START_AGAIN);
	give_up_look(files);
}

static void on_readable(evutil_socket_t fd, short what LW_UNUSED, void *context)
{
	struct files *files = context;
	struct lw_slice body;
	struct lw_err err;
	int r = lw_frames_fill(&files->frames, fd);
	bool ended = r == 0;

	if (r == -EAGAIN)
		return;
	while (r > 0 && (r = lw_frames_next(&files->frames, &body, &err)) > 0)
		if (!take_reply(files, body))
			r = -EBADMSG;
	if (r < 0 || ended)
		reader_is_gone(files);
}

static int spawn(struct files *files, int fd, struct lw_err *err)
{
	char *argv[] = { (char *)"lw-supervisor", (char *)"--read-files", NULL };
	struct lw_spawn spawn = {
		.file = files->program,
		.argv = argv,
		.envp = environ,
		.cwd = files->folder,
		.session = true,
		.die_with_parent = true,
		.fds = { fd, -1, STDERR_FILENO },
		.fd_count = 3,
	};

	return lw_spawn(&spawn, &files->pid, &files->pidfd, err);
}

static void watch_reader(struct files *files, int fd)
{
	struct event_base *base = loop_base(files->loop);

	files->fd = fd;
	lw_frames_init(&files->frames, LW_FRAME_MAX);
	files->read_event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, files);
	files->write_event = event_new(base, fd, EV_WRITE, on_writable, files);
	if (files->read_event == NULL || files->write_event == NULL)
		lw_fatal("out of memory");
	event_add(files->read_event, NULL);
	reaper_add(files->reaper, files->pid, NULL);
}

static void start_reader(struct files *files)
{
	struct lw_err err;
	int ends[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		r = lw_err_sys(&err, -errno, "cannot make a socket");
	} else {
		r = spawn(files, ends[1], &err);
		lw_close(ends[1]);
		if (r < 0)
			lw_close(ends[0]);
	}
	if (r < 0) {
		lw_log(LW_LOG_ERROR, "cache_files cannot be read: %s", err.text);
		files->pid = 0;
		loop_timer_set(&files->again, START_AGAIN);
		return;
	}
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	watch_reader(files, ends[0]);
	files->news = true;
}

/* Whether there is one. */
static bool reader_runs(struct files *files)
{
	if (files->pid == 0 && files->program != NULL && files->count > 0 &&
	    !loop_timer_pending(&files->again))
		start_reader(files);
	return files->pid != 0;
}

static void on_send(struct loop_task *task)
{
	struct files *files = LW_OWNER(task, struct files, send);

	if (!reader_runs(files))
		return;
	if (files->news)
		tell_sets(files);
	flush(files);
}

static void on_again(struct loop_timer *timer)
{
	struct files *files = LW_OWNER(timer, struct files, again);

	loop_post(files->loop, LOOP_END, &files->send);
}

/* It is killed if it lives; who took over its status is the reaper. */
static void files_forget_reader(struct files *files)
{
	if (files->pid == 0)
		return;
	(void)lw_process_signal(files->pidfd, SIGKILL);
	event_free(files->read_event);
	event_free(files->write_event);
	lw_close(files->fd);
	lw_close(files->pidfd);
	lw_frames_done(&files->frames);
	files->out.size = 0;
	files->pid = 0;
	files->pidfd = files->fd = -1;
	files->late = false;
	files->asked = files->answered;
	for (size_t i = 0; i < files->count; i++)
		files->sets[i]->told = FILES_UNKNOWN;
}

/* ---- the object --------------------------------------------------------------------------------------------- */

struct files *files_new(struct loop *loop, struct reaper *reaper, const char *folder,
			const uint8_t *secret)
{
	struct files *files = LW_NEW(struct files);

	files->loop = loop;
	files->reaper = reaper;
	files->folder = lw_strdup(folder);
	files->secret = secret;
	files->fd = files->pidfd = -1;
	files->send.run = on_send;
	loop_timer_init(&files->again, loop, on_again);
	loop_timer_init(&files->patience, loop, on_late);
	return files;
}

/* Not longer than a moment: it may hang in a file system. */
static void await_end(const struct files *files)
{
	struct pollfd ended = { .fd = files->pidfd, .events = POLLIN };

	(void)lw_process_signal(files->pidfd, SIGKILL);
	(void)poll(&ended, 1, END_MOST);
	(void)waitpid(files->pid, NULL, WNOHANG);
}

void files_free(struct files *files)
{
	if (files == NULL)
		return;
	while (files->count > 0)
		files_remove(files->sets[files->count - 1]);
	if (files->pid != 0) {
		await_end(files);
		reaper_remove(files->reaper, files->pid);
	}
	files_forget_reader(files);
	loop_cancel(files->loop, &files->send);
	loop_timer_done(&files->again);
	loop_timer_done(&files->patience);
	lw_buf_done(&files->out);
	free(files->sets);
	free(files->folder);
	free(files->program);
	free(files);
}

void files_read_with(struct files *files, const char *program)
{
	free(files->program);
	files->program = lw_strdup(program);
}

static void tell_of_sets(struct files *files)
{
	files->news = true;
	loop_post(files->loop, LOOP_END, &files->send);
}

struct files_set *files_add(struct files *files, const char *name, const struct words *patterns,
			    void (*changed)(void *context), void *context)
{
	struct files_set *set = LW_NEW(struct files_set);

	set->files = files;
	set->id = ++files->last_id;
	set->name = lw_strdup(name);
	set->changed = changed;
	set->context = context;
	for (size_t i = 0; i < patterns->count; i++)
		words_add(&set->patterns, patterns->words[i]);
	files->sets = lw_realloc(files->sets, (files->count + 1) * sizeof(*files->sets));
	files->sets[files->count++] = set;
	tell_of_sets(files);
	return set;
}

void files_remove(struct files_set *set)
{
	struct files *files;
	size_t at = 0;

	if (set == NULL)
		return;
	files = set->files;
	while (files->sets[at] != set)
		at++;
	files->sets[at] = files->sets[--files->count];
	tell_of_sets(files);
	watchers_tell(&set->watchers);
	for (size_t i = 0; i < FILES_VERSIONS; i++)
		lw_buf_done(&set->versions[i].names);
	words_done(&set->patterns);
	free(set->name);
	free(set->error);
	free(set);
}

/* A look that took long counts for as long as it took: else whoever waits for one would find the
 * next one under way, every time. */
static bool looked_lately(const struct files *files)
{
	int64_t took = files->answered_at - files->asked_at;

	return files->asked == files->answered && took > PATIENCE && !files->news &&
	       loop_clock() - files->answered_at < took;
}

bool files_look(struct files *files, struct watcher *watcher)
{
	if (files->count == 0 || files->late || !reader_runs(files) || looked_lately(files))
		return false;
	if (files->asked != files->answered) {
		watcher_add(&files->next, watcher);
		return true;
	}
	if (files->news)
		tell_sets(files);
	ask_to_look(files);
	flush(files);
	watcher_add(&files->asking, watcher);
	return true;
}

/* ---- what changed ----------------------------------------------------------------------------------------------- */

/* The names of a version, one by one. */
struct names {
	const uint8_t *at, *end;
	uint32_t left;
	struct lw_slice name;
	uint64_t mark;
	bool over;
};

static void names_next(struct names *names)
{
	struct lw_item item;

	names->over = names->left == 0 || lw_item_read(&names->at, names->end, &item) < 0 ||
		      lw_item_read(&names->at, names->end, &item) < 0;
	if (names->over)
		return;
	names->left--;
	names->name = item.s;
	names->over = lw_item_read(&names->at, names->end, &item) < 0;
	names->mark = item.type == LW_UINT ? item.u : (uint64_t)item.i;
}

static struct names names_of(const struct files_version *version)
{
	struct names names = { .at = version->names.data,
			       .end = version->names.data + version->names.size };
	struct lw_item item;

	if (version->names.size > 0 && lw_item_read(&names.at, names.end, &item) == 0)
		names.left = item.n;
	names_next(&names);
	return names;
}

/* As strcmp(3), and behind everything when there are no more. */
static int compare_names(const struct names *a, const struct names *b)
{
	size_t size = a->name.size < b->name.size ? a->name.size : b->name.size;
	int order;

	if (a->over || b->over)
		return a->over - b->over;
	order = memcmp(a->name.data, b->name.data, size);
	return order != 0 ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

struct change {
	struct lw_slice name;
	const char *how;
	size_t count;
};

static void note_change(struct change *change, struct lw_slice name, uint64_t was, uint64_t is)
{
	if (was == is)
		return;
	if (change->count++ > 0)
		return;
	change->name = name;
	change->how = was == 0 ? "is new" : is == 0 ? "is gone" : "changed";
}

static struct change compare_versions(const struct files_version *a, const struct files_version *b)
{
	struct names was = names_of(a), is = names_of(b);
	struct change change = { .count = 0 };

	while (!was.over || !is.over) {
		int order = compare_names(&was, &is);

		if (order <= 0)
			note_change(&change, was.name, was.mark,
				    order == 0 && !is.over ? is.mark : 0);
		else
			note_change(&change, is.name, 0, is.mark);
		if (order <= 0)
			names_next(&was);
		if (order >= 0)
			names_next(&is);
	}
	return change;
}

void files_print_change(const struct files_set *set, struct lw_slice was, struct lw_slice is,
			struct lw_buf *out)
{
	const struct files_version *a = NULL, *b = NULL;
	struct change change = { .count = 0 };

	if (set != NULL && was.size == READER_DIGEST && is.size == READER_DIGEST) {
		a = find_version(set, was.data);
		b = find_version(set, is.data);
	}
	if (a != NULL && b != NULL && a->names.size > 1 && b->names.size > 1)
		change = compare_versions(a, b);
	if (change.count == 0)
		lw_buf_printf(out, "cache_files changed");
	else
		lw_buf_printf(out, "cache_files '%.*s' %s", (int)change.name.size,
			      (const char *)change.name.data, change.how);
	if (change.count > 1)
		lw_buf_printf(out, " and %zu more", change.count - 1);
}
