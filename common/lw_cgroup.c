/* lw_cgroup.c - finds the cgroup that was delegated, and keeps those of the workers below it.
 *
 * Used by the supervisor. All of it is files of cgroupfs, reached from the folder's descriptor; see
 * Documentation/admin-guide/cgroup-v2.rst of the kernel, and https://systemd.io/CGROUP_DELEGATION
 * for what systemd's attribute promises.
 */
#include "lw_cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lw_process.h"

#define CGROUP2_MAGIC 0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */
#define DEEPEST       32         /* folders below a worker's that are looked into */
#define NAME_ROOM     128

struct lw_cgroup {
	char *path;
	char *prefix; /* "lw.<store>." */
	int folder;
};

LW_AUTO_DEFINE(struct lw_cgroup *, lw_cgroup_free)

/* ---- files --------------------------------------------------------------------------------- */

static int open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_file(int group, const char *name, const char *text)
{
	LW_AUTO(lw_close) int fd = openat(group, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The stream owns the descriptor. */
static FILE *open_file(int group, const char *name)
{
	int fd = openat(group, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "re");

	if (file == NULL)
		lw_close(fd);
	return file;
}

static bool is_cgroup(int folder)
{
	struct statfs system;

	return fstatfs(folder, &system) == 0 && (uint32_t)system.f_type == CGROUP2_MAGIC;
}

/* ---- who is in one ------------------------------------------------------------------------- */

typedef int visit_fn(void *context, int parent, const char *name, int group);

static int walk(int group, int depth, visit_fn *visit, void *context);

static int walk_into(int parent, const char *name, int depth, visit_fn *visit, void *context)
{
	LW_AUTO(lw_close) int group = open_folder(parent, name);
	int r;

	if (group < 0)
		return group == -ENOENT ? 0 : group;
	r = walk(group, depth, visit, context);
	return r < 0 ? r : visit(context, parent, name, group);
}

static bool is_child(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

/* Every cgroup below this one, the deeper ones first. */
static int walk(int group, int depth, visit_fn *visit, void *context)
{
	int fd = depth == DEEPEST ? -ELOOP : open_folder(group, ".");
	const struct dirent *entry;
	DIR *folder;
	int r = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* it was removed */
	folder = fdopendir(fd);
	if (folder == NULL)
		lw_fatal("out of memory");
	while (r >= 0 && (entry = readdir(folder)) != NULL)
		if (is_child(entry))
			r = walk_into(group, entry->d_name, depth + 1, visit, context);
	closedir(folder);
	return r;
}

/* Those of a threaded cgroup are named by the one above it. A removed one has none. */
static int add_members(void *context, int parent, const char *name, int group)
{
	struct lw_pids *found = context;
	FILE *file = open_file(group, "cgroup.procs");
	int pid, code;

	(void)parent;
	(void)name;
	if (file == NULL)
		return errno == ENOENT ? 0 : -errno;
	errno = 0;
	while (fscanf(file, "%d", &pid) == 1)
		if (pid > 0)
			lw_pids_add(found, pid);
	code = ferror(file) ? errno : 0;
	fclose(file);
	return code == EOPNOTSUPP || code == ENODEV ? 0 : -code;
}

int lw_cgroup_members(int group, struct lw_pids *found)
{
	size_t before = found->count;
	int r = add_members(found, group, ".", group);

	if (r == 0)
		r = walk(group, 0, add_members, found);
	return r < 0 ? r : (int)(found->count - before);
}

int lw_cgroup_populated(int group)
{
	FILE *file = open_file(group, "cgroup.events");
	int r = -ENODATA, value;
	char key[32];

	if (file == NULL)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	errno = 0;
	while (r < 0 && fscanf(file, "%31s %d", key, &value) == 2)
		if (strcmp(key, "populated") == 0)
			r = value != 0;
	if (r < 0 && ferror(file))
		r = errno == ENODEV ? 0 : -errno;
	fclose(file);
	return r;
}

int lw_cgroup_entry(int group, int *ret_entry, struct lw_err *err)
{
	int fd = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return lw_err_sys(err, -errno, "cannot open a worker's cgroup.procs");
	*ret_entry = fd;
	return 0;
}

/* What is frozen starts nothing more, and dies of SIGKILL all the same. It is not thawed: a child
 * that was being forked meanwhile is frozen as well, and the next look finds it. */
static int freeze_and_kill(int group)
{
	struct lw_pids pids = { 0 };
	int frozen = write_file(group, "cgroup.freeze", "1");
	int r = lw_cgroup_members(group, &pids);

	for (size_t i = 0; i < pids.count; i++)
		(void)kill(pids.pids[i], SIGKILL);
	lw_pids_done(&pids);
	return frozen < 0 && frozen != -ENOENT ? frozen : r < 0 ? r : 0;
}

int lw_cgroup_kill(int group)
{
	int r = lw_old_kernel() ? -ENOENT : write_file(group, "cgroup.kill", "1");

	return r == -ENOENT ? freeze_and_kill(group) : r;
}

/* ---- the cgroups of the workers ------------------------------------------------------------ */

static void name_of(const struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation,
		    char name[NAME_ROOM])
{
	snprintf(name, NAME_ROOM, "%s%llu.%llu", cgroup->prefix, (unsigned long long)worker,
		 (unsigned long long)incarnation);
}

int lw_cgroup_find(const struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation,
		   int *ret_group)
{
	char name[NAME_ROOM];
	int fd;

	name_of(cgroup, worker, incarnation, name);
	fd = open_folder(cgroup->folder, name);
	if (fd < 0)
		return fd;
	*ret_group = fd;
	return 0;
}

int lw_cgroup_make(struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation, int *ret_group,
		   struct lw_err *err)
{
	LW_AUTO(lw_close) int group = -1;
	char name[NAME_ROOM];
	bool was_there;

	name_of(cgroup, worker, incarnation, name);
	was_there = mkdirat(cgroup->folder, name, 0755) < 0;
	if (was_there && errno != EEXIST)
		return lw_err_sys(err, -errno, "cannot make cgroup '%s/%s'", cgroup->path, name);
	group = open_folder(cgroup->folder, name);
	if (group < 0)
		return lw_err_sys(err, group, "cannot open cgroup '%s/%s'", cgroup->path, name);
	if (was_there && lw_cgroup_populated(group) != 0)
		return lw_err_set(err, -EEXIST, "somebody is in cgroup '%s/%s' already",
				  cgroup->path, name);
	*ret_group = group;
	group = -1;
	return 0;
}

static int remove_one(void *context, int parent, const char *name, int group)
{
	(void)context;
	(void)group;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int lw_cgroup_remove(struct lw_cgroup *cgroup, uint64_t worker, uint64_t incarnation)
{
	char name[NAME_ROOM];

	name_of(cgroup, worker, incarnation, name);
	return walk_into(cgroup->folder, name, 0, remove_one, NULL);
}

/* "lw.<store>.7.1". What it makes of the numbers has to be the same name again. */
static bool parse_name(const struct lw_cgroup *cgroup, const char *name, uint64_t *ret_worker,
		       uint64_t *ret_incarnation)
{
	size_t size = strlen(cgroup->prefix);
	char again[NAME_ROOM], *end;

	if (strncmp(name, cgroup->prefix, size) != 0)
		return false;
	*ret_worker = strtoull(name + size, &end, 10);
	*ret_incarnation = *end == '.' ? strtoull(end + 1, NULL, 10) : 0;
	name_of(cgroup, *ret_worker, *ret_incarnation, again);
	return strcmp(name, again) == 0;
}

int lw_cgroup_each(struct lw_cgroup *cgroup, lw_cgroup_fn *seen, void *context)
{
	int fd = open_folder(cgroup->folder, "."), count = 0;
	uint64_t worker, incarnation;
	const struct dirent *entry;
	DIR *folder;

	if (fd < 0)
		return fd;
	folder = fdopendir(fd);
	if (folder == NULL)
		lw_fatal("out of memory");
	while ((entry = readdir(folder)) != NULL) {
		if (is_child(entry) && parse_name(cgroup, entry->d_name, &worker, &incarnation)) {
			seen(context, worker, incarnation);
			count++;
		}
	}
	closedir(folder);
	return count;
}

/* ---- which one was delegated --------------------------------------------------------------- */

/* Where version 2 is mounted: alone, or beside version 1. */
static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

/* Our own cgroup of version 2, from its root: "0::/system.slice/lw.service". */
static int read_own(char path[PATH_MAX])
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX + 8];
	int r = -ENOENT;

	if (file == NULL)
		return -errno;
	while (r < 0 && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, line + 3);
		r = 0;
	}
	fclose(file);
	return r;
}

/* A mount that shows another part of the tree may have the same path in it. */
static bool holds_us(int folder)
{
	struct lw_pids pids = { 0 };
	bool found = false;

	(void)add_members(&pids, folder, ".", folder);
	for (size_t i = 0; i < pids.count; i++)
		found = found || pids.pids[i] == getpid();
	lw_pids_done(&pids);
	return found;
}

/* The first can be read by root alone; the second is written since systemd 251 (and Linux 5.6). */
static bool is_delegated(int folder)
{
	static const char *const names[] = { "trusted.delegate", "user.delegate" };
	struct stat owner;
	char value[2];

	if (fstat(folder, &owner) < 0 || (geteuid() != 0 && owner.st_uid != geteuid()))
		return false;
	for (size_t i = 0; i < LW_COUNT(names); i++)
		if (fgetxattr(folder, names[i], value, sizeof(value)) == 1 && value[0] == '1')
			return true;
	return false;
}

static int find_own(struct lw_cgroup *cgroup, struct lw_err *err)
{
	char own[PATH_MAX];

	if (read_own(own) < 0)
		return lw_err_set(err, -ENOENT, "there are no cgroups of version 2 here");
	for (size_t i = 0; i < LW_COUNT(mounts); i++) {
		LW_AUTO(lw_free) char *path = lw_format("%s%s", mounts[i], own);
		LW_AUTO(lw_close) int folder = open_folder(AT_FDCWD, path);

		if (folder < 0 || !is_cgroup(folder) || !is_delegated(folder) || !holds_us(folder))
			continue;
		cgroup->path = LW_TAKE(path);
		cgroup->folder = folder;
		folder = -1;
		return 0;
	}
	return lw_err_set(err, -ENOENT, "cgroup '%s' is not delegated to us", own);
}

static int take_named(struct lw_cgroup *cgroup, const char *path, struct lw_err *err)
{
	LW_AUTO(lw_close) int folder = -1;

	if (*path == '\0')
		return lw_err_set(err, -ENOENT, "LW_CGROUP is empty");
	if (*path != '/')
		return lw_err_set(err, -EINVAL, "LW_CGROUP is '%s', not an absolute path", path);
	folder = open_folder(AT_FDCWD, path);
	if (folder == -ENOENT) /* which would say that none was named */
		return lw_err_set(err, -ENOTDIR, "there is no cgroup '%s' (LW_CGROUP)", path);
	if (folder < 0)
		return lw_err_sys(err, folder, "cannot open cgroup '%s' (LW_CGROUP)", path);
	if (!is_cgroup(folder))
		return lw_err_set(err, -EINVAL, "'%s' (LW_CGROUP) is no cgroup of version 2", path);
	cgroup->path = lw_strdup(path);
	cgroup->folder = folder;
	folder = -1;
	return 0;
}

/* Whether a process may be moved depends on where it is and where it goes: the kernel knows. */
static int enter_in_child(int group)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(-write_file(group, "cgroup.procs", "0"));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
}

static int try_out(struct lw_cgroup *cgroup, struct lw_err *err)
{
	LW_AUTO(lw_free) char *name = lw_format("%sprobe", cgroup->prefix);
	LW_AUTO(lw_close) int group = -1;
	int r;

	if (mkdirat(cgroup->folder, name, 0755) < 0 && errno != EEXIST)
		return lw_err_sys(err, -errno, "cannot make a cgroup in '%s'", cgroup->path);
	group = open_folder(cgroup->folder, name);
	r = group < 0 ? group : enter_in_child(group);
	(void)unlinkat(cgroup->folder, name, AT_REMOVEDIR);
	return r < 0 ? lw_err_sys(err, r, "cannot move a process into cgroup '%s'", cgroup->path)
		     : 0;
}

static bool is_plain(const char *store)
{
	for (const char *at = store; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at))
			return false;
	return *store != '\0' && strlen(store) < NAME_ROOM / 2;
}

int lw_cgroup_open(const char *store, struct lw_cgroup **ret_cgroup, struct lw_err *err)
{
	LW_AUTO(lw_cgroup_free) struct lw_cgroup *cgroup = LW_NEW(struct lw_cgroup);
	const char *named = getenv("LW_CGROUP");
	int r;

	cgroup->folder = -1;
	if (!is_plain(store))
		return lw_err_set(err, -EINVAL, "store '%s' cannot be part of a cgroup's name",
				  store);
	cgroup->prefix = lw_format("lw.%s.", store);
	r = named != NULL ? take_named(cgroup, named, err) : find_own(cgroup, err);
	if (r == 0)
		r = try_out(cgroup, err);
	if (r < 0)
		return r;
	*ret_cgroup = LW_TAKE(cgroup);
	return 0;
}

void lw_cgroup_free(struct lw_cgroup *cgroup)
{
	if (cgroup == NULL)
		return;
	lw_close(cgroup->folder);
	lw_free(cgroup->path);
	lw_free(cgroup->prefix);
	lw_free(cgroup);
}

const char *lw_cgroup_path(const struct lw_cgroup *cgroup)
{
	return cgroup->path;
}
