/* e2e_cgroup.c - with a delegated cgroup a tree is whoever is in it: also one that cleared its
 * environment and left everything. Takes root and cgroup v2; else the tests say so. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };

static char group[200];

static void leave_group(void)
{
	if (group[0] != '\0')
		(void)rmdir(group);
}

/* A cgroup of our own that is given to the supervisor; false: there is none to be had. */
static bool delegate(void)
{
	for (size_t i = 0; i < LW_COUNT(roots); i++) {
		if (access(rig_format("%s/cgroup.procs", roots[i]), W_OK) < 0)
			continue;
		snprintf(group, sizeof(group), "%s/lw-e2e-%d", roots[i], (int)getpid());
		if (mkdir(group, 0755) < 0)
			continue;
		setenv("LW_CGROUP", group, 1);
		atexit(leave_group);
		return true;
	}
	puts("left out: no cgroup of version 2 that we may write to");
	group[0] = '\0';
	return false;
}

#define RUNAWAY                                                                                    \
	"work 'job' { command = { 'sh', '-c', 'env -i setsid sh -c \"exec sleep 1000\" & "         \
	"echo left $!; sleep 1000' }, parallel = true, stop_timeout = 0.3 }\n"                     \
	"function flow() job:run() end\n"

static pid_t sleeper(struct rig_proc *proc)
{
	return (pid_t)atoi(strstr(rig_line(proc, RIG_OUT, "left "), "left ") + 5);
}

TEST(a_process_that_left_everything_is_ended_with_the_tree)
{
	struct rig_proc *proc;
	pid_t left;

	if (!delegate())
		return;
	proc = rig_up(RUNAWAY, "--no-prefix", NULL);
	left = sleeper(proc);
	CHECK(rig_pid_lives(left));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK(!rig_pid_lives(left));
	rig_down(proc);
	CHECK_INT(rmdir(group), 0); /* nothing of ours is left in it */
	group[0] = '\0';
}

TEST(the_cgroup_of_an_adopted_process_is_its_tree_too)
{
	struct rig_proc *proc;
	pid_t left, pid;

	if (!delegate())
		return;
	proc = rig_up(RUNAWAY, "--no-prefix", NULL);
	left = sleeper(proc);
	pid = (pid_t)rig_number(rig_work("job"), "processes.0.pid");
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	proc = rig_supervisor(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "has started");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "busy"));
	CHECK_INT(rig_number(rig_work("job"), "processes.0.pid"), pid);
	CHECK(rig_pid_lives(left));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK(!rig_pid_lives(left));
	CHECK(!rig_pid_lives(pid));
	rig_down(proc);
}

TEST(a_cgroup_that_cannot_be_used_is_said_and_does_without)
{
	struct rig_proc *proc;

	setenv("LW_CGROUP", "/sys/fs/cgroup/no/such/one", 1);
	proc = rig_up("work 'job' { command = { 'true' }, parallel = true }\n"
		      "function flow() if job:run().has_succeeded then lw.stop('ok') end end\n",
		      NULL);
	rig_line(proc, RIG_ERR, "process trees are searched for");
	CHECK_INT(rig_exit(proc), 0);
}
