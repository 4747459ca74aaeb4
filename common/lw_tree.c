/* lw_tree.c - who belongs to a process tree, read from /proc.
 *
 * Used by the supervisor when a worker is gone and by lw-worker when a command has exited.
 * Processes come and go while /proc is read: one that cannot be read any more is gone. The
 * callers ask again until nothing is found, so a scan need not be one moment's picture.
 */
#include "lw_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK_NAME  "LW_WORKER="
#define TOKEN_NAME "LW_TOKEN="
#define MARK_ROOM  48 /* two numbers and a slash */
#define STAT_ROOM  2048
#define CHUNK      16384
#define DIRENTS    32768
#define EXEC_WAIT  50000000   /* ns for one that is within exec, which may have to wait for a CPU */
#define KTHREAD    0x00200000 /* PF_KTHREAD: a thread of the kernel has no environment */

/* Fields of /proc/PID/stat after the name, counted from the state. */
enum field {
	FIELD_PARENT = 1,
	FIELD_SESSION = 3,
	FIELD_FLAGS = 6,
	FIELD_THREADS = 17,
	FIELD_START = 19,
	FIELD_START_CODE = 23,
	FIELD_ENV_START = 47,
	FIELD_ENV_END = 48,
	FIELD_EXIT_CODE = 49,
	FIELDS
};

struct process {
	pid_t pid, parent, session;
	uint64_t start;
	uint64_t environ; /* its size; 0 also where we may not ask */
	int status;       /* as of waitpid(2); 0 also where we may not ask */
	bool lives;
	bool changing; /* within exec, or about to be a zombie */
	bool in;       /* of the tree */
};

struct scan {
	int proc; /* descriptor of /proc */
	struct process *processes;
	size_t count, room;
	int shortage; /* errno of a look that was not possible, 0: none */
};

void lw_pids_done(struct lw_pids *pids)
{
	lw_free(pids->pids);
	*pids = (struct lw_pids){ 0 };
}

void lw_pids_add(struct lw_pids *pids, pid_t pid)
{
	if (pids->count == pids->room) {
		pids->room = pids->room * 2 + 16;
		pids->pids = lw_realloc(pids->pids, pids->room * sizeof(*pids->pids));
	}
	pids->pids[pids->count++] = pid;
}

/* ---- one process -------------------------------------------------------------------------- */

static int open_proc(void)
{
	return open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_of(int proc, pid_t pid, const char *file)
{
	char path[32];

	snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
	return openat(proc, path, O_RDONLY | O_CLOEXEC);
}

static ssize_t read_some(int fd, void *bytes, size_t size)
{
	ssize_t got;

	do
		got = read(fd, bytes, size);
	while (got < 0 && errno == EINTR);
	return got;
}

/* The text of /proc/PID/stat; false when there is no such process. */
static bool read_stat(int proc, pid_t pid, char text[STAT_ROOM])
{
	LW_AUTO(lw_close) int fd = open_of(proc, pid, "stat");
	ssize_t size = fd < 0 ? -1 : read_some(fd, text, STAT_ROOM - 1);

	if (size <= 0)
		return false;
	text[size] = '\0';
	return true;
}

/* The name may hold anything, also ") R 1": what counts stands after the last bracket. */
static bool parse_stat(const char *text, struct process *process)
{
	const char *at = strrchr(text, ')');
	unsigned long long fields[FIELDS] = { 0 };
	char state, *end;

	if (at == NULL || at[1] != ' ' || at[2] == '\0')
		return false;
	state = at[2];
	at += 3;
	for (size_t i = FIELD_PARENT; i < FIELDS; i++, at = end) {
		fields[i] = strtoull(at, &end, 10);
		if (end == at)
			return false;
	}
	process->parent = (pid_t)fields[FIELD_PARENT];
	process->session = (pid_t)fields[FIELD_SESSION];
	process->start = fields[FIELD_START];
	process->environ = fields[FIELD_ENV_END] - fields[FIELD_ENV_START];
	process->status = (int)fields[FIELD_EXIT_CODE];
	/* What exec sets after the environment is in place; 1 where we may not ask. */
	process->changing = fields[FIELD_START_CODE] == 0 && (fields[FIELD_FLAGS] & KTHREAD) == 0;
	/* A first thread that ended before the others looks like a zombie. */
	process->lives = (state != 'Z' && state != 'X') || fields[FIELD_THREADS] > 1;
	return true;
}

static bool read_process(int proc, pid_t pid, struct process *process)
{
	char text[STAT_ROOM];

	*process = (struct process){ .pid = pid };
	return read_stat(proc, pid, text) && parse_stat(text, process);
}

static bool read_one(pid_t pid, struct process *process)
{
	LW_AUTO(lw_close) int proc = open_proc();

	return proc >= 0 && read_process(proc, pid, process);
}

uint64_t lw_proc_start_time(pid_t pid)
{
	struct process process;

	return read_one(pid, &process) ? process.start : 0;
}

pid_t lw_proc_parent(pid_t pid)
{
	struct process process;

	return read_one(pid, &process) ? process.parent : 0;
}

bool lw_proc_lives(pid_t pid)
{
	struct process process;

	return read_one(pid, &process) && process.lives;
}

/* Following a link in /proc/PID/ns needs the same right as seeing the status. Of a process whose
 * memory is gone this is the only thing that tells. */
static bool may_see_status(pid_t pid)
{
	char path[32], link[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return readlink(path, link, sizeof(link)) > 0;
}

int lw_proc_status(pid_t pid, int *ret_status)
{
	struct process process;

	if (!read_one(pid, &process))
		return -ESRCH;
	if (process.lives)
		return -EAGAIN;
	if (process.status == 0 && !may_see_status(pid))
		return -EACCES;
	*ret_status = process.status;
	return 0;
}

void lw_proc_describe(pid_t pid, char *text, size_t room)
{
	LW_AUTO(lw_close) int proc = open_proc();
	char stat_text[STAT_ROOM], *name = NULL, *end = NULL;

	if (proc >= 0 && read_stat(proc, pid, stat_text)) {
		name = strchr(stat_text, '(');
		end = strrchr(stat_text, ')');
	}
	if (name == NULL || end == NULL) {
		snprintf(text, room, "process (%d)", (int)pid);
		return;
	}
	*end = '\0';
	for (char *at = ++name; at < end; at++)
		if (!isprint((unsigned char)*at))
			*at = '?';
	snprintf(text, room, "%s (%d)", name, (int)pid);
}

/* ---- the mark in the environment ------------------------------------------------------------ */

/* Looks for one entry in bytes that come in pieces: the one that is `start` with its NUL, or, with
 * a place for its value, the first that begins with `start` and fits there. */
struct search {
	const char *start;
	size_t size; /* with the NUL at its end if that counts */
	char *value; /* what follows `start`; NULL: nothing may */
	size_t room;
	size_t matched; /* of the entry under way */
	size_t taken;   /* of its value */
	bool skip;      /* that entry is another one */
	bool found;
};

static struct search search_entry(const char *entry)
{
	return (struct search){ .start = entry, .size = strlen(entry) + 1 };
}

static struct search search_value(const char *start, char *value, size_t room)
{
	return (struct search){
		.start = start, .size = strlen(start), .value = value, .room = room
	};
}

static void search_again(struct search *search)
{
	search->matched = search->taken = 0;
	search->skip = search->found = false;
}

static void search_byte(struct search *search, char byte)
{
	if (search->matched < search->size) {
		if (byte == search->start[search->matched]) {
			search->matched++;
			search->found = search->matched == search->size && search->value == NULL;
			return;
		}
	} else if (search->taken < search->room) {
		search->value[search->taken++] = byte;
		search->found = byte == '\0';
		return;
	}
	search_again(search);
	search->skip = byte != '\0';
}

static bool search_feed(struct search *search, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size && !search->found; i++) {
		if (search->skip) {
			const char *end = memchr(bytes + i, '\0', size - i);

			if (end == NULL)
				break;
			i = (size_t)(end - bytes);
			search_again(search);
		} else {
			search_byte(search, bytes[i]);
		}
	}
	return search->found;
}

/* What may be found in one environment; the first decides. */
struct look {
	struct search searches[2];
	size_t count;
};

static bool look_feed(struct look *look, const char *bytes, size_t size)
{
	size_t found = 0;

	for (size_t i = 0; i < look->count; i++)
		found += search_feed(&look->searches[i], bytes, size);
	return found == look->count;
}

/* True when everything is found; else *ret_size is how much there was to read. */
static bool read_environ(int proc, pid_t pid, struct look *look, uint64_t *ret_size)
{
	LW_AUTO(lw_close) int fd = open_of(proc, pid, "environ");
	char bytes[CHUNK];
	ssize_t size;

	*ret_size = 0;
	for (size_t i = 0; i < look->count; i++)
		search_again(&look->searches[i]);
	if (fd < 0)
		return false;
	for (; (size = read_some(fd, bytes, sizeof(bytes))) > 0; *ret_size += (uint64_t)size)
		if (look_feed(look, bytes, (size_t)size))
			return true;
	return size == 0 && look_feed(look, "", 1); /* a last entry without its NUL */
}

#define ANYBODY ((uid_t)-1)

/* What may not be looked into belongs to root, whoever it runs as. */
static bool is_ours(int proc, pid_t pid, uid_t other)
{
	struct stat owner;
	char path[32];

	snprintf(path, sizeof(path), "%d/environ", (int)pid);
	return fstatat(proc, path, &owner, 0) == 0 &&
	       (owner.st_uid == geteuid() || other == ANYBODY ||
		(other != 0 && owner.st_uid == other));
}

static int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A process that executes a program has no environment for a moment, and what was being read
 * of its old one ends early: then there is less than /proc/PID/stat says, or that says 0. */
static bool look_into(int proc, const struct process *process, struct look *look, uid_t other)
{
	const struct search *first = &look->searches[0];
	struct process now = *process;
	uint64_t size;

	if (!is_ours(proc, now.pid, other))
		return false;
	if (read_environ(proc, now.pid, look, &size))
		return true;
	if (size > 0 && size == now.environ)
		return first->found;
	for (int64_t end = clock_ns() + EXEC_WAIT; clock_ns() < end;) {
		if (!read_process(proc, now.pid, &now) || !now.lives)
			return false;
		if (size == now.environ && !now.changing)
			return first->found;
		sched_yield();
		if (read_environ(proc, now.pid, look, &size))
			return true;
	}
	return first->found;
}

static bool has_entry(int proc, const struct process *process, const char *entry, uid_t other)
{
	struct look look = { .searches = { search_entry(entry) }, .count = 1 };

	return look_into(proc, process, &look, other);
}

/* ---- the scan ------------------------------------------------------------------------------ */

static pid_t pid_of_name(const char *name)
{
	char *end;
	long pid = strtol(name, &end, 10);

	return isdigit((unsigned char)*name) && *end == '\0' ? (pid_t)pid : 0;
}

/* Not to be able to look is not the same as nobody there. */
static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOMEM;
}

static void scan_add(struct scan *scan, pid_t pid)
{
	if (scan->count == scan->room) {
		scan->room = scan->room * 2 + 256;
		scan->processes =
			lw_realloc(scan->processes, scan->room * sizeof(*scan->processes));
	}
	errno = 0;
	if (read_process(scan->proc, pid, &scan->processes[scan->count]))
		scan->count++;
	else if (is_shortage(errno))
		scan->shortage = errno;
}

static int by_pid(const void *left, const void *right)
{
	pid_t a = ((const struct process *)left)->pid, b = ((const struct process *)right)->pid;

	return (a > b) - (a < b);
}

static void scan_read(struct scan *scan)
{
	_Alignas(struct dirent64) char entries[DIRENTS];
	ssize_t size;

	while ((size = getdents64(scan->proc, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			pid_t pid = pid_of_name(entry->d_name);

			if (pid > 0)
				scan_add(scan, pid);
			at += entry->d_reclen;
		}
	}
	if (scan->count > 0)
		qsort(scan->processes, scan->count, sizeof(*scan->processes), by_pid);
}

static const struct process *scan_find(const struct scan *scan, pid_t pid)
{
	struct process wanted = { .pid = pid };

	return scan->count == 0 ? NULL
				: bsearch(&wanted, scan->processes, scan->count,
					  sizeof(*scan->processes), by_pid);
}

/* The leader's pid names nobody of the tree once the leader is gone. */
static bool may_be_in(const struct process *process, const struct lw_tree *tree)
{
	if (!process->lives || process->start < tree->since)
		return false;
	return process->pid != tree->leader || !tree->leader_gone;
}

/* Takes in everything below what is in the tree already. */
static void scan_close(struct scan *scan, const struct lw_tree *tree)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < scan->count; i++) {
			struct process *process = &scan->processes[i];
			const struct process *parent;

			if (process->in || !may_be_in(process, tree))
				continue;
			parent = scan_find(scan, process->parent);
			if (parent != NULL && parent->in)
				more = process->in = true;
		}
	}
}

/* The number of a session is not given to a new process as long as anybody is in it. So when there
 * is a process with it though the leader is gone, that is somebody else's session. */
static bool session_is_ours(const struct scan *scan, const struct lw_tree *tree)
{
	const struct process *leader = scan_find(scan, tree->session);

	return tree->session != 0 && !(tree->leader_gone && leader != NULL && leader->lives);
}

static void scan_begin(struct scan *scan, const struct lw_tree *tree)
{
	bool ours = session_is_ours(scan, tree);

	for (size_t i = 0; i < scan->count; i++) {
		struct process *process = &scan->processes[i];
		bool in_session = ours && process->session == tree->session;

		process->in =
			may_be_in(process, tree) && (process->pid == tree->leader || in_session);
	}
}

static void scan_marks(struct scan *scan, const struct lw_tree *tree)
{
	LW_AUTO(lw_free) char *entry = lw_format(MARK_NAME "%s", tree->mark);

	for (size_t i = 0; i < scan->count; i++) {
		struct process *process = &scan->processes[i];

		if (!process->in && may_be_in(process, tree))
			process->in = has_entry(scan->proc, process, entry, tree->uid);
	}
}

/* We are never part of what is to be ended. What is below us is, if we are the leader. */
static void leave_out_self(struct scan *scan, const struct lw_tree *tree)
{
	pid_t self = getpid();

	for (size_t i = 0; i < scan->count; i++) {
		struct process *process = &scan->processes[i];

		if (process->pid == self && tree->leader != self)
			process->lives = false;
	}
}

/* A scan holds two descriptors at a time. These are let go for it, so that it works in a process
 * that has no other left. */
static int spare[2] = { -1, -1 };

static void spare_take(void)
{
	for (size_t i = 0; i < LW_COUNT(spare); i++)
		if (spare[i] < 0)
			spare[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void spare_let_go(void)
{
	for (size_t i = 0; i < LW_COUNT(spare); i++) {
		lw_close(spare[i]);
		spare[i] = -1;
	}
}

void lw_tree_reserve(void)
{
	spare_take();
}

static int scan_tree(const struct lw_tree *tree, struct lw_pids *found)
{
	LW_AUTO(lw_close) int proc = open_proc();
	struct scan scan = { .proc = proc };
	size_t before = found->count;

	if (proc < 0)
		return -errno;
	scan_read(&scan);
	leave_out_self(&scan, tree);
	scan_begin(&scan, tree);
	scan_close(&scan, tree);
	if (tree->mark != NULL) {
		scan_marks(&scan, tree);
		scan_close(&scan, tree);
	}
	for (size_t i = 0; i < scan.count; i++)
		if (scan.processes[i].in && scan.processes[i].pid != getpid())
			lw_pids_add(found, scan.processes[i].pid);
	lw_free(scan.processes);
	return scan.shortage != 0 ? -scan.shortage : (int)(found->count - before);
}

int lw_tree_find(const struct lw_tree *tree, struct lw_pids *found)
{
	int r;

	spare_let_go();
	r = scan_tree(tree, found);
	spare_take();
	return r;
}

/* ---- every tree of a store --------------------------------------------------------------- */

/* Digits and nothing else before `end`. */
static bool parse_number(const char *text, char end, uint64_t *ret_number, const char **ret_rest)
{
	char *rest;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*ret_number = strtoull(text, &rest, 10);
	*ret_rest = rest + 1;
	return errno == 0 && *rest == end;
}

/* "12/3" behind the store. */
static bool parse_mark(const char *text, struct lw_marked *marked)
{
	return parse_number(text, '/', &marked->worker, &text) &&
	       parse_number(text, '\0', &marked->incarnation, &text);
}

static bool read_marked(int proc, const struct process *process, const char *start,
			struct lw_marked *ret_marked)
{
	char worker[MARK_ROOM];
	struct look look = { .searches = { search_value(start, worker, sizeof(worker)),
					   search_value(TOKEN_NAME, ret_marked->token,
							sizeof(ret_marked->token)) },
			     .count = 2 };

	if (!process->lives || process->pid == getpid() ||
	    !look_into(proc, process, &look, ANYBODY) || !parse_mark(worker, ret_marked))
		return false;
	ret_marked->pid = process->pid;
	ret_marked->parent = process->parent;
	ret_marked->session = process->session;
	ret_marked->start = process->start;
	if (!look.searches[1].found)
		ret_marked->token[0] = '\0';
	return true;
}

static int scan_store(const char *store, lw_marked_fn *seen, void *context)
{
	LW_AUTO(lw_close) int proc = open_proc();
	LW_AUTO(lw_free) char *start = lw_format(MARK_NAME "%s/", store);
	struct scan scan = { .proc = proc };
	struct lw_marked marked;
	int count = 0;

	if (proc < 0)
		return -errno;
	scan_read(&scan);
	for (size_t i = 0; i < scan.count; i++) {
		if (read_marked(scan.proc, &scan.processes[i], start, &marked)) {
			seen(context, &marked);
			count++;
		}
	}
	lw_free(scan.processes);
	return scan.shortage != 0 ? -scan.shortage : count;
}

int lw_tree_marked(const char *store, lw_marked_fn *seen, void *context)
{
	int r;

	spare_let_go();
	r = scan_store(store, seen, context);
	spare_take();
	return r;
}

int lw_tree_children(struct lw_pids *found)
{
	LW_AUTO(lw_close)
	int fd = (spare_let_go(), open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC));
	size_t before = found->count;
	char bytes[CHUNK];
	ssize_t size;
	pid_t pid = 0;

	spare_take();
	if (fd < 0)
		return -ENOSYS;
	while ((size = read_some(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < size; i++) {
			if (bytes[i] >= '0' && bytes[i] <= '9') {
				pid = pid * 10 + (bytes[i] - '0');
			} else if (pid > 0) {
				lw_pids_add(found, pid);
				pid = 0;
			}
		}
	}
	return size < 0 ? -errno : (int)(found->count - before);
}
