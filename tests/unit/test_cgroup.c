/* links: lw_common */
/* test_cgroup.c - real cgroups, made below the root of cgroupfs, with processes that try to get away.
 *
 * They need root and cgroups of version 2. Where there is neither, those tests are skipped, and
 * what remains checks that the answer is "none". */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lw_cgroup.h"

#define DEADLINE 20000 /* ms */
#define NOBODY   65534

static struct lw_err err;
static struct lw_pids found;
static char home[PATH_MAX]; /* where we were */
static char room[PATH_MAX]; /* a cgroup for this test; "": none can be made here */

/* ---- a cgroup to test in ------------------------------------------------------------------- */

static int write_to(const char *folder, const char *name, const char *text)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/%s", folder, name);
	LW_AUTO(lw_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void find_home(const char *mount)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "0::%[^\n]", line) == 1)
			snprintf(home, sizeof(home), "%s%.*s", mount, PATH_MAX / 2, line);
	fclose(file);
}

static void make_room(void)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < LW_COUNT(mounts) && *room == '\0'; i++) {
		LW_AUTO(lw_free) char *mark = lw_format("%s/cgroup.procs", mounts[i]);

		snprintf(room, sizeof(room), "%s/lw-test-%d", mounts[i], (int)getpid());
		if (access(mark, F_OK) < 0 || mkdir(room, 0755) < 0)
			*room = '\0';
		else
			find_home(mounts[i]);
	}
}

static void set_up(void)
{
	cr_assert_eq(unsetenv("LW_OLD_KERNEL"), 0);
	cr_assert_eq(unsetenv("LW_CGROUP"), 0);
	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	make_room();
}

static void set_up_old(void)
{
	set_up();
	cr_assert_eq(setenv("LW_OLD_KERNEL", "1", 1), 0);
}

static int remove_folder(const char *path, const struct stat *file, int type, struct FTW *at)
{
	(void)file;
	(void)at;
	if (type == FTW_DP && rmdir(path) < 0)
		cr_expect(false, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

/* By other means than those that are tested. */
static void tear_down(void)
{
	lw_pids_done(&found);
	if (*room == '\0')
		return;
	cr_expect_eq(write_to(home, "cgroup.procs", "0"), 0);
	cr_expect_eq(write_to(room, "cgroup.kill", "1"), 0);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
	nftw(room, remove_folder, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(cgroup, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(cgroup_on_an_old_kernel, .init = set_up_old, .fini = tear_down, .timeout = 60);

#define BOTH(name)                                                                                 \
	static void name(void);                                                                    \
	Test(cgroup, name)                                                                         \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	Test(cgroup_on_an_old_kernel, name)                                                        \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	static void name(void)

static void need_room(void)
{
	if (*room == '\0')
		cr_skip_test("no cgroup of version 2 can be made here (needs root and cgroup2)");
}

static bool has_children(const char *folder)
{
	struct stat file;

	cr_assert_eq(stat(folder, &file), 0);
	return file.st_nlink > 2;
}

static struct lw_cgroup *open_room(const char *store)
{
	struct lw_cgroup *cgroup = NULL;

	need_room();
	cr_assert_eq(setenv("LW_CGROUP", room, 1), 0);
	cr_assert_eq(lw_cgroup_open(store, &cgroup, &err), 0, "%s", err.text);
	return cgroup;
}

static int refused(void)
{
	struct lw_cgroup *cgroup = NULL;
	int r = lw_cgroup_open("5e1f", &cgroup, &err);

	cr_assert_null(cgroup);
	return r;
}

/* ---- which one is taken ------------------------------------------------------------------------ */

static int refused_with(const char *named)
{
	cr_assert_eq(setenv("LW_CGROUP", named, 1), 0);
	return refused();
}

Test(cgroup, what_is_named_must_be_a_cgroup)
{
	cr_assert_eq(refused_with(""), -ENOENT);
	cr_assert_eq(refused_with("system.slice"), -EINVAL);
	cr_assert_str_eq(err.text, "LW_CGROUP is 'system.slice', not an absolute path");
	cr_assert_eq(refused_with("/"), -EINVAL);
	cr_assert_str_eq(err.text, "'/' (LW_CGROUP) is no cgroup of version 2");
	cr_assert_eq(refused_with("/nowhere/at/all"), -ENOTDIR);
	cr_assert_str_eq(err.text, "there is no cgroup '/nowhere/at/all' (LW_CGROUP)");
}

Test(cgroup, a_store_is_a_plain_word)
{
	struct lw_cgroup *cgroup = NULL;

	cr_assert_eq(lw_cgroup_open("", &cgroup, &err), -EINVAL);
	cr_assert_eq(lw_cgroup_open("../x", &cgroup, &err), -EINVAL);
	cr_assert_eq(lw_cgroup_open("a.b", &cgroup, &err), -EINVAL);
}

Test(cgroup, one_that_was_not_delegated_is_not_touched)
{
	if (*room != '\0')
		cr_assert_eq(write_to(room, "cgroup.procs", "0"), 0);
	cr_assert_eq(refused(), -ENOENT, "%s", err.text);
	if (*room == '\0')
		return;
	cr_assert_not_null(strstr(err.text, "is not delegated to us"), "%s", err.text);
	cr_assert_not(has_children(room));
	cr_assert_eq(setxattr(room, "user.delegate", "0", 1, 0), 0);
	cr_assert_eq(refused(), -ENOENT);
	cr_assert_not(has_children(room));
}

static void mark_as_systemd_does(const char *name)
{
	struct lw_cgroup *cgroup = NULL;

	need_room();
	cr_assert_eq(setxattr(room, name, "1", 1, 0), 0);
	cr_assert_eq(refused(), -ENOENT); /* we are not in it */
	cr_assert_eq(write_to(room, "cgroup.procs", "0"), 0);
	cr_assert_eq(lw_cgroup_open("5e1f", &cgroup, &err), 0, "%s", err.text);
	cr_assert_str_eq(lw_cgroup_path(cgroup), room);
	cr_assert_not(has_children(room)); /* what it tried is gone */
	lw_cgroup_free(cgroup);
}

Test(cgroup, ours_is_taken_when_systemd_says_so)
{
	mark_as_systemd_does("user.delegate");
}

Test(cgroup, ours_is_taken_when_systemd_says_so_to_root)
{
	mark_as_systemd_does("trusted.delegate");
}

/* What `check` finds in a child that is not root. */
static void as_nobody(void (*check)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(1);
		check();
		_exit(23);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 23);
}

static void is_none(void)
{
	cr_assert_eq(refused(), -ENOENT);
}

static void is_not_allowed(void)
{
	cr_assert_eq(refused_with(room), -EACCES);
	cr_assert_not_null(strstr(err.text, "cannot make a cgroup in '"), "%s", err.text);
}

static void cannot_move(void)
{
	cr_assert_eq(refused_with(room), -EACCES);
	cr_assert_not_null(strstr(err.text, "cannot move a process into"), "%s", err.text);
}

static void works(void)
{
	struct lw_cgroup *cgroup = NULL;

	cr_assert_eq(lw_cgroup_open("5e1f", &cgroup, &err), 0, "%s", err.text);
	lw_cgroup_free(cgroup);
}

Test(cgroup, without_the_rights_of_its_owner_it_is_not_ours)
{
	LW_AUTO(lw_free) char *procs = lw_format("%s/cgroup.procs", room);

	need_room();
	cr_assert_eq(setxattr(room, "user.delegate", "1", 1, 0), 0);
	as_nobody(is_not_allowed);
	cr_assert_eq(chown(room, NOBODY, NOBODY), 0);
	cr_assert_eq(chown(procs, NOBODY, NOBODY), 0);
	as_nobody(cannot_move); /* from where we are */
	cr_assert_eq(write_to(room, "cgroup.procs", "0"), 0);
	as_nobody(works);
	cr_assert_eq(chown(room, 0, 0), 0);
	as_nobody(is_none);
	cr_assert_not(has_children(room));
}

/* ---- workers ----------------------------------------------------------------------------------- */

struct worker {
	int group;
	pid_t pid;
	int out;
};

static void become_shell(int group, int out, const char *script)
{
	int entry;

	if (lw_cgroup_entry(group, &entry, &err) < 0 || write(entry, "0", 1) != 1)
		_exit(1);
	dup2(out, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", script, (char *)NULL);
	_exit(1);
}

static struct worker start_in(int group, const char *script)
{
	struct worker worker = { .group = group };
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	worker.pid = fork();
	cr_assert_geq(worker.pid, 0);
	if (worker.pid == 0)
		become_shell(group, ends[1], script);
	close(ends[1]);
	worker.out = ends[0];
	return worker;
}

static struct worker start(struct lw_cgroup *cgroup, uint64_t id, const char *script)
{
	int group = -1;

	cr_assert_eq(lw_cgroup_make(cgroup, id, 1, &group, &err), 0, "%s", err.text);
	return start_in(group, script);
}

static pid_t next_pid(const struct worker *worker)
{
	char text[16] = "";

	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		cr_assert_eq(read(worker->out, text + size, 1), 1);
		if (text[size] == '\n')
			return atoi(text);
	}
	cr_assert_fail("no pid in '%s'", text);
	return 0;
}

static void worker_done(const struct worker *worker)
{
	close(worker->out);
	close(worker->group);
}

static size_t members(const struct worker *worker)
{
	int r;

	found.count = 0;
	r = lw_cgroup_members(worker->group, &found);
	cr_assert_eq(r, (int)found.count);
	return found.count;
}

static bool has(pid_t pid)
{
	for (size_t i = 0; i < found.count; i++)
		if (found.pids[i] == pid)
			return true;
	return false;
}

/* The kernel tells when this changes. */
static void await_empty(const struct worker *worker, bool kill)
{
	LW_AUTO(lw_close) int events = openat(worker->group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd changed = { .fd = events, .events = POLLPRI };
	char text[128];

	for (int i = 0; i < DEADLINE / 10; i++) {
		if (kill)
			cr_assert_eq(lw_cgroup_kill(worker->group), 0);
		cr_assert_gt(pread(events, text, sizeof(text), 0), 0);
		if (lw_cgroup_populated(worker->group) == 0)
			return;
		(void)poll(&changed, 1, 10);
	}
	cr_assert_fail("somebody still lives in it");
}

BOTH(whatever_a_process_starts_is_a_member_and_is_killed)
{
	struct lw_cgroup *cgroup = open_room("5e1f");
	/* Out of the session, the tree and the environment. */
	struct worker worker = start(cgroup, 7,
				     "echo $$; (env -i setsid sh -c 'echo $$; "
				     "exec sleep 1000' &); wait; exec sleep 1000");
	pid_t leader = next_pid(&worker), away = next_pid(&worker);

	cr_assert_eq(leader, worker.pid);
	cr_assert_eq(lw_cgroup_populated(worker.group), 1);
	cr_assert_geq(members(&worker), 2);
	cr_assert(has(leader) && has(away));
	cr_assert(!has(getpid()));
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), -EBUSY);
	await_empty(&worker, true);
	cr_assert_eq(members(&worker), 0); /* zombies, by now */
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), 0);
	cr_assert_eq(lw_cgroup_populated(worker.group), 0);
	cr_assert_eq(members(&worker), 0);
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), 0);
	cr_assert_not(has_children(room));
	worker_done(&worker);
	lw_cgroup_free(cgroup);
}

BOTH(those_that_fork_all_the_time_are_killed_as_well)
{
	struct lw_cgroup *cgroup = open_room("5e1f");
	/* Eight chains in which each starts its successor and ends; not for ever, should we fail. */
	struct worker worker = start(cgroup, 7,
				     "f() { [ $1 -eq 0 ] || f $(($1 - 1)) & }; "
				     "for i in 1 2 3 4 5 6 7 8; do f 20000; done; "
				     "echo $$; exit 0");

	next_pid(&worker);
	cr_assert_eq(lw_cgroup_populated(worker.group), 1);
	await_empty(&worker, true);
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), 0);
	worker_done(&worker);
	lw_cgroup_free(cgroup);
}

BOTH(what_went_into_cgroups_of_its_own_is_a_member_and_is_killed)
{
	struct lw_cgroup *cgroup = open_room("5e1f");
	struct worker worker = { .group = -1 }, inner;
	int group;

	cr_assert_eq(lw_cgroup_make(cgroup, 7, 1, &worker.group, &err), 0, "%s", err.text);
	cr_assert_eq(mkdirat(worker.group, ".control", 0755), 0);
	cr_assert_eq(mkdirat(worker.group, "a", 0755), 0);
	cr_assert_eq(mkdirat(worker.group, "a/b", 0755), 0);
	group = openat(worker.group, "a/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	inner = start_in(group, "echo $$; exec sleep 1000");
	cr_assert_eq(next_pid(&inner), inner.pid);
	cr_assert_eq(lw_cgroup_populated(worker.group), 1);
	cr_assert_eq(members(&worker), 1);
	cr_assert(has(inner.pid));
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), -EBUSY);
	await_empty(&worker, true);
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), 0);
	cr_assert_not(has_children(room));
	worker_done(&inner);
	close(worker.group);
	lw_cgroup_free(cgroup);
}

Test(cgroup, who_ends_by_itself_leaves_it_empty)
{
	struct lw_cgroup *cgroup = open_room("5e1f");
	struct worker worker = start(cgroup, 7, "echo $$");

	next_pid(&worker); /* it is in */
	await_empty(&worker, false);
	cr_assert_eq(lw_cgroup_remove(cgroup, 7, 1), 0); /* its zombie does not matter */
	worker_done(&worker);
	lw_cgroup_free(cgroup);
}

Test(cgroup, an_incarnation_gets_an_empty_one)
{
	struct lw_cgroup *cgroup = open_room("5e1f");
	int group = -1, again = -1;
	struct worker worker;

	cr_assert_eq(lw_cgroup_find(cgroup, 7, 1, &group), -ENOENT);
	cr_assert_eq(lw_cgroup_make(cgroup, 7, 1, &group, &err), 0);
	cr_assert_neq(fcntl(group, F_GETFD) & FD_CLOEXEC, 0);
	cr_assert_eq(lw_cgroup_make(cgroup, 7, 1, &again, &err), 0); /* nobody came */
	close(again);
	worker = start_in(group, "echo $$; exec sleep 1000");
	next_pid(&worker);
	cr_assert_eq(lw_cgroup_make(cgroup, 7, 1, &again, &err), -EEXIST);
	cr_assert_not_null(strstr(err.text, "somebody is in cgroup"));
	cr_assert_eq(lw_cgroup_find(cgroup, 7, 1, &again), 0);
	close(again);
	worker_done(&worker);
	lw_cgroup_free(cgroup);
}

/* ---- a later supervisor ------------------------------------------------------------------------ */

struct later {
	struct lw_cgroup *cgroup;
	bool saw[10][10];
	bool removes;
};

static void see(void *context, uint64_t worker, uint64_t incarnation)
{
	struct later *later = context;

	cr_assert(worker < 10 && incarnation < 10);
	later->saw[worker][incarnation] = true;
	if (later->removes)
		cr_assert_eq(lw_cgroup_remove(later->cgroup, worker, incarnation), 0);
}

Test(cgroup, a_later_supervisor_finds_those_of_its_store)
{
	static const char *const strange[] = { "lw.5e1f.9",
					       "lw.5e1f.9.1x",
					       "lw.5e1f.09.1",
					       "lw.5e1f.9.1.",
					       "lw.5e1f..",
					       "lw.5e1f.-9.1",
					       "lw.5e1f.99999999999999999999.1",
					       "other" };
	struct lw_cgroup *cgroup = open_room("5e1f"), *other = open_room("5e1f0");
	struct later later = { .cgroup = NULL };
	int group = -1;

	for (size_t i = 0; i < LW_COUNT(strange); i++) {
		LW_AUTO(lw_free) char *path = lw_format("%s/%s", room, strange[i]);

		cr_assert_eq(mkdir(path, 0755), 0);
	}
	cr_assert_eq(lw_cgroup_make(other, 6, 1, &group, &err), 0);
	close(group);
	cr_assert_eq(lw_cgroup_make(cgroup, 7, 1, &group, &err), 0);
	close(group);
	cr_assert_eq(lw_cgroup_make(cgroup, 8, 2, &group, &err), 0);
	close(group);
	lw_cgroup_free(cgroup);
	lw_cgroup_free(other);
	later.cgroup = open_room("5e1f");
	later.removes = true;
	cr_assert_eq(lw_cgroup_each(later.cgroup, see, &later), 2);
	cr_assert(later.saw[7][1] && later.saw[8][2]);
	cr_assert_eq(lw_cgroup_each(later.cgroup, see, &later), 0);
	lw_cgroup_free(later.cgroup);
}
