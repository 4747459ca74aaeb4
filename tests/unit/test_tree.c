/* links: lw_common */
/* test_tree.c - real process trees that try to get away, found in /proc. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_spawn.h"
#include "lw_tree.h"

/* Of this run of the test alone: another one may be under way. */
static char mark[32], entry[48];

static struct lw_pids found;
static pid_t started[256]; /* killed at the end of a test */
static size_t started_count;

static void set_up(void)
{
	snprintf(mark, sizeof(mark), "5e1f/%d/1", (int)getpid());
	snprintf(entry, sizeof(entry), "LW_WORKER=%s", mark);
	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

/* Orphans come to us. */
static void tear_down(void)
{
	for (size_t i = 0; i < started_count; i++)
		kill(started[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
	lw_pids_done(&found);
}

TestSuite(tree, .init = set_up, .fini = tear_down, .timeout = 60);

static void to_be_killed(pid_t pid)
{
	cr_assert_lt(started_count, LW_COUNT(started));
	started[started_count++] = pid;
}

struct leader {
	pid_t pid;
	int pidfd;
	int out;
	uint64_t since;
};

static struct leader lead_with(const char *const *envp, const char *script)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	struct lw_spawn spawn = { .file = "/bin/sh",
				  .argv = (char *const *)argv,
				  .envp = (char *const *)envp,
				  .session = true,
				  .die_with_parent = true,
				  .fd_count = 3 };
	struct lw_err err = { 0 };
	struct leader leader;
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	spawn.fds[0] = -1;
	spawn.fds[1] = ends[1];
	spawn.fds[2] = STDERR_FILENO;
	cr_assert_eq(lw_spawn(&spawn, &leader.pid, &leader.pidfd, &err), 0, "%s", err.text);
	close(ends[1]);
	leader.out = ends[0];
	leader.since = lw_proc_start_time(leader.pid);
	to_be_killed(leader.pid);
	return leader;
}

static struct leader lead(const char *script)
{
	const char *const envp[] = { "PATH=/usr/bin:/bin", entry, NULL };

	return lead_with(envp, script);
}

/* A process of the tree says that it is ready by writing its pid. */
static pid_t next_pid(const struct leader *leader)
{
	char text[16] = "";

	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		cr_assert_eq(read(leader->out, text + size, 1), 1);
		if (text[size] == '\n') {
			to_be_killed(atoi(text));
			return atoi(text);
		}
	}
	cr_assert_fail("no pid in '%s'", text);
	return 0;
}

static void await_end(const struct leader *leader)
{
	struct pollfd ends = { .fd = leader->pidfd, .events = POLLIN };

	cr_assert_eq(poll(&ends, 1, 20000), 1);
}

static void leader_done(const struct leader *leader)
{
	close(leader->out);
	close(leader->pidfd);
}

static struct lw_tree tree_of(const struct leader *leader, const char *wanted)
{
	return (struct lw_tree){ .leader = leader->pid,
				 .session = leader->pid,
				 .mark = wanted,
				 .since = leader->since };
}

static size_t find(const struct lw_tree *tree)
{
	int r;

	found.count = 0;
	r = lw_tree_find(tree, &found);
	cr_assert_geq(r, 0);
	return (size_t)r;
}

static bool has(pid_t pid)
{
	for (size_t i = 0; i < found.count; i++)
		if (found.pids[i] == pid)
			return true;
	return false;
}

Test(tree, a_leader_and_what_is_below_it_are_found)
{
	struct leader leader = lead("sh -c 'sh -c \"echo \\$\\$; exec sleep 1000\" & "
				    "echo $$; wait' & echo $$; wait");
	pid_t pids[] = { next_pid(&leader), next_pid(&leader), next_pid(&leader) };
	struct lw_tree tree = tree_of(&leader, NULL);

	tree.session = 0; /* by parents alone */
	cr_assert_eq(find(&tree), 3);
	for (size_t i = 0; i < 3; i++)
		cr_assert(has(pids[i]));
	leader_done(&leader);
}

Test(tree, a_setsid_grandchild_whose_parent_died_is_found_by_its_mark)
{
	struct leader leader = lead("setsid sh -c 'echo $$; exec sleep 1000' & exit 0");
	struct lw_tree tree = tree_of(&leader, mark);
	pid_t grandchild = next_pid(&leader);

	await_end(&leader);
	cr_assert_eq(find(&tree), 1);
	cr_assert(has(grandchild));
	cr_assert_eq(waitpid(leader.pid, NULL, 0), leader.pid);
	tree.leader_gone = true;
	cr_assert_eq(find(&tree), 1);
	cr_assert(has(grandchild));
	tree.mark = NULL; /* it left parent and session: nothing else is left */
	cr_assert_eq(find(&tree), 0);
	leader_done(&leader);
}

Test(tree, an_orphan_in_the_session_is_found_without_a_mark)
{
	struct leader leader = lead("env -i sh -c 'echo $$; exec sleep 1000' & exit 0");
	struct lw_tree tree = tree_of(&leader, NULL);
	pid_t orphan = next_pid(&leader);

	await_end(&leader);
	cr_assert_eq(waitpid(leader.pid, NULL, 0), leader.pid);
	tree.leader_gone = true;
	cr_assert_eq(find(&tree), 1);
	cr_assert(has(orphan));
	leader_done(&leader);
}

Test(tree, what_is_below_a_marked_process_is_found_though_it_has_no_mark)
{
	struct leader leader = lead("setsid sh -c 'env -i setsid sh -c \"echo \\$\\$; "
				    "exec sleep 1000\" & echo $$; wait' & exit 0");
	struct lw_tree tree = tree_of(&leader, mark);
	pid_t pids[] = { next_pid(&leader), next_pid(&leader) };

	await_end(&leader);
	cr_assert_eq(find(&tree), 2);
	cr_assert(has(pids[0]));
	cr_assert(has(pids[1]));
	leader_done(&leader);
}

Test(tree, one_that_ignores_term_stays_found_until_it_is_killed_and_a_zombie_does_not_count)
{
	struct leader leader = lead("trap '' TERM; echo $$; while :; do sleep 1000; done");
	struct lw_tree tree = tree_of(&leader, mark);
	pid_t pid = next_pid(&leader);

	cr_assert_eq(pid, leader.pid);
	cr_assert_eq(kill(pid, SIGTERM), 0);
	cr_assert_geq(find(&tree), 1);
	cr_assert(has(pid));
	while (find(&tree) > 0)
		for (size_t i = 0; i < found.count; i++)
			kill(found.pids[i], SIGKILL);
	await_end(&leader);
	cr_assert(!lw_proc_lives(pid));
	cr_assert_neq(lw_proc_start_time(pid), 0); /* a zombie still */
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(lw_proc_start_time(pid), 0);
	leader_done(&leader);
}

static size_t find_marked(const char *entries[], const char *wanted)
{
	const char *envp[8] = { "PATH=/usr/bin:/bin" };
	struct lw_tree tree = { .mark = wanted };
	struct leader leader;
	size_t count;

	for (size_t i = 0; entries[i] != NULL; i++)
		envp[i + 1] = entries[i];
	leader = lead_with(envp, "echo $$; exec sleep 1000");
	next_pid(&leader);
	tree.since = leader.since;
	count = find(&tree);
	kill(leader.pid, SIGKILL);
	cr_assert_eq(waitpid(leader.pid, NULL, 0), leader.pid);
	leader_done(&leader);
	return count;
}

Test(tree, a_mark_is_a_whole_entry)
{
	LW_AUTO(lw_free) char *longer = lw_format("%s1", entry);
	LW_AUTO(lw_free) char *longer_mark = lw_format("%s1", mark);
	LW_AUTO(lw_free) char *inner = lw_format("X=%s", entry);
	LW_AUTO(lw_free) char *other = lw_format("X%s", entry);

	cr_assert_eq(find_marked((const char *[]){ entry, NULL }, mark), 1);
	cr_assert_eq(find_marked((const char *[]){ longer, NULL }, mark), 0);
	cr_assert_eq(find_marked((const char *[]){ entry, NULL }, longer_mark), 0);
	cr_assert_eq(find_marked((const char *[]){ inner, NULL }, mark), 0);
	cr_assert_eq(find_marked((const char *[]){ other, NULL }, mark), 0);
	cr_assert_eq(find_marked((const char *[]){ "LW_WORKER=", "L=", NULL }, mark), 0);
}

Test(tree, a_mark_is_found_anywhere_in_a_large_environment)
{
	enum { LARGE = 100000 };
	static char before[LARGE], after[LARGE];

	memset(before, 'b', LARGE - 1);
	memset(after, 'a', LARGE - 1);
	memcpy(before, "B=", 2);
	memcpy(after, "A=", 2);
	for (size_t cut = 0; cut < 64; cut++) { /* over every border of what is read at once */
		before[16384 * 2 - 60 + cut] = '\0';
		cr_assert_eq(find_marked((const char *[]){ before, entry, after, NULL }, mark), 1);
		before[16384 * 2 - 60 + cut] = 'b';
	}
	cr_assert_eq(find_marked((const char *[]){ before, after, entry, NULL }, mark), 1);
}

Test(tree, older_processes_are_never_part_of_it)
{
	struct leader leader = lead("echo $$; exec sleep 1000");
	struct lw_tree tree = tree_of(&leader, mark);

	next_pid(&leader);
	cr_assert_eq(find(&tree), 1);
	tree.since++;
	cr_assert_eq(find(&tree), 0);
	leader_done(&leader);
}

Test(tree, the_pid_of_a_leader_that_is_gone_never_counts)
{
	struct leader leader = lead("sleep 1000 & echo $!; echo $$; wait");
	struct lw_tree tree = tree_of(&leader, mark);
	pid_t child = next_pid(&leader);

	next_pid(&leader);
	tree.session = 0;
	tree.leader_gone = true; /* so this process would be another one */
	cr_assert_eq(find(&tree), 1);
	cr_assert(has(child));
	tree.mark = NULL;
	cr_assert_eq(find(&tree), 0);
	leader_done(&leader);
}

Test(tree, the_caller_can_be_the_leader_and_is_not_found)
{
	struct leader leader = lead("setsid sh -c 'echo $$; exec sleep 1000' & exit 0");
	struct lw_tree tree = { .leader = getpid(), .since = leader.since };
	pid_t orphan = next_pid(&leader);

	await_end(&leader);
	tree.since = lw_proc_start_time(getpid());
	cr_assert_eq(find(&tree), 1);
	cr_assert(has(orphan));
	tree = (struct lw_tree){ .session = getsid(0) };
	find(&tree);
	cr_assert(!has(getpid()));
	leader_done(&leader);
}

Test(tree, children_are_counted_dead_or_alive)
{
	struct leader leader = lead("exit 0"), other = lead("echo $$; exec sleep 1000");

	next_pid(&other);
	await_end(&leader);
	found.count = 0;
	cr_assert_eq(lw_tree_children(&found), 2);
	cr_assert(has(leader.pid));
	cr_assert(has(other.pid));
	cr_assert_eq(waitpid(leader.pid, NULL, 0), leader.pid);
	found.count = 0;
	cr_assert_eq(lw_tree_children(&found), 1);
	leader_done(&leader);
	leader_done(&other);
}

/* ---- a leader that is not our child ----------------------------------------------------------- */

/* Under a sub-reaper of its own, whose child the leader becomes when the one that started it is
 * gone, as with a supervisor that was replaced. The leader says its pid. */
static pid_t lead_under_another(const char *script, int *ret_out)
{
	int ends[2];
	pid_t reaper;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	reaper = fork();
	cr_assert_geq(reaper, 0);
	if (reaper == 0) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		if (fork() == 0) {
			if (fork() != 0)
				_exit(0);
			setsid();
			dup2(ends[1], STDOUT_FILENO);
			execle("/bin/sh", "sh", "-c", script, (char *)NULL,
			       (char *[]){ (char *)"PATH=/usr/bin:/bin", entry, NULL });
			_exit(1);
		}
		while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
			continue;
		_exit(0);
	}
	close(ends[1]);
	*ret_out = ends[0];
	return reaper;
}

Test(tree, what_belongs_to_an_adopted_leader_is_found_and_its_new_parent_is_left_alone)
{
	struct leader leader = { .pidfd = -1 };
	/* The first one is below, the second left everything but its mark. */
	pid_t reaper = lead_under_another("echo $$; sleep 1000 & echo $!; "
					  "(setsid sh -c 'echo $$; exec sleep 1000' &); wait",
					  &leader.out);
	pid_t below, away;
	struct lw_tree tree;

	leader.pid = next_pid(&leader);
	below = next_pid(&leader);
	away = next_pid(&leader);
	leader.since = lw_proc_start_time(leader.pid);
	tree = tree_of(&leader, mark);
	cr_assert_eq(waitpid(leader.pid, NULL, WNOHANG), -1); /* no child of ours */
	cr_assert_eq(find(&tree), 3);
	cr_assert(has(leader.pid) && has(below) && has(away));
	tree.mark = NULL;
	cr_assert_eq(find(&tree), 2);
	cr_assert(!has(away) && !has(reaper));
	tree.mark = mark;
	cr_assert_eq(kill(leader.pid, SIGKILL), 0);
	while (lw_proc_start_time(leader.pid) != 0) /* the other one reaps it */
		sched_yield();
	tree.leader_gone = true;
	cr_assert_eq(find(&tree), 2);
	cr_assert(has(below) && has(away));
	leader_done(&leader);
}

Test(tree, an_adopted_leader_whose_pid_went_to_somebody_else_has_nobody)
{
	struct leader leader = { .pidfd = -1 };
	struct lw_tree tree;

	lead_under_another("echo $$; sleep 1000 & echo $!; wait", &leader.out);
	leader.pid = next_pid(&leader);
	next_pid(&leader);
	leader.since = lw_proc_start_time(leader.pid);
	tree = tree_of(&leader, NULL);
	cr_assert_eq(find(&tree), 2);
	tree.since = UINT64_MAX; /* ours began after all that is there */
	cr_assert_eq(find(&tree), 0);
	tree.mark = mark;
	cr_assert_eq(find(&tree), 0);
	leader_done(&leader);
}

/* ---- every tree of a store -------------------------------------------------------------------- */

static struct lw_marked seen[512];
static size_t seen_count;

static void see(void *context, const struct lw_marked *marked)
{
	cr_assert_eq(context, seen);
	cr_assert_lt(seen_count, LW_COUNT(seen));
	seen[seen_count++] = *marked;
}

static void see_all(const char *store)
{
	seen_count = 0;
	cr_assert_eq(lw_tree_marked(store, see, seen), (int)seen_count);
}

static const struct lw_marked *seen_of(pid_t pid)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].pid == pid)
			return &seen[i];
	cr_assert_fail("%d was not seen", (int)pid);
	return NULL;
}

/* A process with these entries in its environment, in that order. */
static struct leader lead_marked(const char *first, const char *second)
{
	const char *const envp[] = { first, "PATH=/usr/bin:/bin", second, NULL };
	struct leader leader = lead_with(envp, "echo $$; exec sleep 1000");

	cr_assert_eq(next_pid(&leader), leader.pid);
	return leader;
}

static void lead_and_leave(const char *first, const char *second)
{
	struct leader leader = lead_marked(first, second);

	leader_done(&leader);
}

static char *mark_of(const char *store, const char *rest)
{
	return lw_format("LW_WORKER=%s/%s", store, rest);
}

Test(tree, every_marked_process_of_a_store_is_seen_with_what_it_says)
{
	LW_AUTO(lw_free) char *store = lw_format("a%d", (int)getpid());
	LW_AUTO(lw_free) char *first = mark_of(store, "7/1");
	LW_AUTO(lw_free) char *second = mark_of(store, "18446744073709551615/12");
	struct leader one = lead_marked("LW_TOKEN=secret", first);
	struct leader other = lead_marked(second, "XLW_TOKEN=not this");

	see_all(store);
	cr_assert_eq(seen_count, 2);
	cr_assert_eq(seen_of(one.pid)->worker, 7);
	cr_assert_eq(seen_of(one.pid)->incarnation, 1);
	cr_assert_str_eq(seen_of(one.pid)->token, "secret");
	cr_assert_eq(seen_of(one.pid)->parent, getpid());
	cr_assert_eq(seen_of(one.pid)->session, one.pid);
	cr_assert_eq(seen_of(one.pid)->start, one.since);
	cr_assert_eq(seen_of(other.pid)->worker, UINT64_MAX);
	cr_assert_eq(seen_of(other.pid)->incarnation, 12);
	cr_assert_str_eq(seen_of(other.pid)->token, "");
	kill(one.pid, SIGKILL);
	await_end(&one);
	see_all(store); /* a zombie is nobody */
	cr_assert_eq(seen_count, 1);
	leader_done(&one);
	leader_done(&other);
}

Test(tree, what_is_no_mark_of_the_store_is_not_seen)
{
	static const char *const broken[] = { "",
					      "7",
					      "7/",
					      "/1",
					      "7/1/",
					      "7/1x",
					      " 7/1",
					      "7/ 1",
					      "+7/1",
					      "-7/1",
					      "x7/1",
					      "7//1",
					      "7/1/1",
					      "0x7/1",
					      "7/1\n",
					      "7\n/1",
					      "99999999999999999999/1",
					      "7/1000000000000000000000000000000000000000000000" };
	LW_AUTO(lw_free) char *store = lw_format("b%d", (int)getpid());
	LW_AUTO(lw_free) char *longer = lw_format("LW_WORKER=%s0/7/1", store);
	LW_AUTO(lw_free) char *inner = lw_format("X=LW_WORKER=%s/7/1", store);
	LW_AUTO(lw_free) char *bare = lw_format("LW_WORKER=%s", store);
	LW_AUTO(lw_free) char *good = mark_of(store, "7/1");

	for (size_t i = 0; i < LW_COUNT(broken); i++) {
		LW_AUTO(lw_free) char *text = mark_of(store, broken[i]);

		lead_and_leave(text, "LW_TOKEN=t");
	}
	lead_and_leave(longer, inner);
	lead_and_leave(bare, "LW_TOKEN=t");
	see_all(store);
	cr_assert_eq(seen_count, 0);
	lead_and_leave(longer, good);
	see_all(store);
	cr_assert_eq(seen_count, 1);
}

Test(tree, a_token_that_is_too_long_is_none)
{
	char token[LW_MARKED_TOKEN + sizeof("LW_TOKEN=")] = "LW_TOKEN=";
	LW_AUTO(lw_free) char *store = lw_format("c%d", (int)getpid());
	LW_AUTO(lw_free) char *good = mark_of(store, "7/1");
	size_t name = strlen(token);
	struct leader longest, longer;

	memset(token + name, 't', LW_MARKED_TOKEN - 1);
	longest = lead_marked(token, good);
	token[name + LW_MARKED_TOKEN - 1] = 't';
	longer = lead_marked(token, good);
	see_all(store);
	cr_assert_eq(seen_count, 2);
	cr_assert_eq(strlen(seen_of(longest.pid)->token), LW_MARKED_TOKEN - 1);
	cr_assert_str_eq(seen_of(longer.pid)->token, "");
	leader_done(&longest);
	leader_done(&longer);
}

Test(tree, all_marked_processes_are_seen_though_others_come_and_go)
{
	LW_AUTO(lw_free) char *store = lw_format("d%d", (int)getpid());
	LW_AUTO(lw_free) char *good = mark_of(store, "7/1");
	struct leader restless = lead("echo $$; while :; do /bin/true & /bin/true; wait; done");

	next_pid(&restless);
	for (size_t i = 0; i < 100; i++)
		lead_and_leave("LW_TOKEN=t", good);
	for (int i = 0; i < 20; i++) {
		see_all(store);
		cr_assert_eq(seen_count, 100);
	}
	leader_done(&restless);
}

/* ---- one process ----------------------------------------------------------------------------- */

Test(tree, a_zombie_says_how_it_ended)
{
	struct leader leader = lead("exit 3"), other = lead("kill -KILL $$");
	int status = 0;

	cr_assert_eq(lw_proc_status(getpid(), &status), -EAGAIN);
	await_end(&leader);
	await_end(&other);
	cr_assert_eq(lw_proc_status(leader.pid, &status), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	cr_assert_eq(lw_proc_status(other.pid, &status), 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cr_assert_eq(waitpid(other.pid, NULL, 0), other.pid);
	cr_assert_eq(lw_proc_status(other.pid, &status), -ESRCH);
	leader_done(&leader);
	leader_done(&other);
}

Test(tree, a_name_made_to_confuse_confuses_nobody)
{
	char text[64], expected[64];
	int ready[2];
	pid_t pid;
	char byte;

	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, ") Z 1 (\n)");
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	to_be_killed(pid);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert(lw_proc_lives(pid));
	cr_assert_geq(lw_proc_start_time(pid), lw_proc_start_time(getpid()));
	lw_proc_describe(pid, text, sizeof(text));
	snprintf(expected, sizeof(expected), ") Z 1 (?) (%d)", (int)pid);
	cr_assert_str_eq(text, expected);
	lw_proc_describe(pid, text, 5);
	cr_assert_str_eq(text, ") Z ");
	close(ready[0]);
	close(ready[1]);
}

Test(tree, a_pid_that_names_nobody_is_nobody)
{
	char text[64];

	cr_assert_eq(lw_proc_start_time(0x7ffffff0), 0);
	cr_assert(!lw_proc_lives(0x7ffffff0));
	lw_proc_describe(0x7ffffff0, text, sizeof(text));
	cr_assert_str_eq(text, "process (2147483632)");
}

Test(tree, processes_that_come_and_go_during_the_scan_do_no_harm)
{
	struct leader leader = lead("echo $$; while :; do /bin/true & /bin/true; wait; done");
	struct lw_tree tree = tree_of(&leader, mark);

	next_pid(&leader);
	for (int i = 0; i < 200; i++) {
		cr_assert_geq(find(&tree), 1);
		cr_assert(has(leader.pid));
	}
	leader_done(&leader);
}
