/* links: lw_supervisor
 * test_reap.c - orphans fall to us and are reaped; a worker's child is left to its worker. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reap.h"

static struct loop *loop;
static struct reaper *reaper;

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop, NULL), 0);
	cr_assert_eq(reaper_new(loop, &reaper, NULL), 0);
}

static void tear_down(void)
{
	reaper_free(reaper);
	loop_free(loop);
}

TestSuite(reap, .init = set_up, .fini = tear_down, .timeout = 30);

/* A child that lives until it is killed. */
static pid_t make_child(void)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

/* Waits until it has ended, without reaping it. */
static void await_end(pid_t pid)
{
	siginfo_t info;

	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

/* A grandchild whose parent ends at once: it becomes our child, as we are a sub-reaper. */
static pid_t make_orphan(void)
{
	int ends[2], status;
	pid_t pid, orphan;

	cr_assert_eq(pipe(ends), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		orphan = fork();
		if (orphan == 0)
			for (;;)
				pause();
		_exit(write(ends[1], &orphan, sizeof(orphan)) == sizeof(orphan) ? 0 : 1);
	}
	cr_assert_eq(read(ends[0], &orphan, sizeof(orphan)), (ssize_t)sizeof(orphan));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	close(ends[1]);
	return orphan;
}

Test(reap, a_living_orphan_is_noticed_and_a_dead_one_is_reaped)
{
	pid_t orphan;

	cr_assert_not(reaper_has_orphans(reaper));
	orphan = make_orphan();
	cr_assert(reaper_has_orphans(reaper));
	kill(orphan, SIGKILL);
	await_end(orphan);
	cr_assert_not(reaper_has_orphans(reaper));
	cr_assert_eq(waitpid(orphan, NULL, WNOHANG), -1, "its status was fetched");
	cr_assert_eq(errno, ECHILD);
}

Test(reap, a_workers_process_is_no_orphan_and_keeps_its_status)
{
	pid_t child = make_child(), orphan;
	int status;

	reaper_add(reaper, child, NULL);
	cr_assert_not(reaper_has_orphans(reaper));
	orphan = make_orphan();
	cr_assert(reaper_has_orphans(reaper), "one beside a worker's process is seen too");
	kill(orphan, SIGKILL);
	kill(child, SIGKILL);
	await_end(orphan);
	await_end(child);
	cr_assert_not(reaper_has_orphans(reaper));
	cr_assert_eq(waitpid(child, &status, 0), child);
	reaper_remove(reaper, child);
	reaper_remove(reaper, child); /* not there: nothing */
}
