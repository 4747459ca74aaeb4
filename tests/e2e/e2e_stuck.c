/* e2e_stuck.c - what cannot be killed is named, and nobody waits for it for ever. A frozen cgroup of
 * version 1 holds off KILL; takes root and such a hierarchy, else the tests say so. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FREEZER "/sys/fs/cgroup/freezer"

static char group[200];

static bool put(const char *file, const char *text)
{
	FILE *to = fopen(rig_format("%s/%s", group, file), "w");
	bool done = to != NULL && fputs(text, to) >= 0;

	return to != NULL && fclose(to) == 0 && done;
}

static bool freezer(void)
{
	if (access(FREEZER "/tasks", W_OK) == 0) {
		snprintf(group, sizeof(group), FREEZER "/lw-e2e-%d", (int)getpid());
		if (mkdir(group, 0755) == 0)
			return true;
	}
	puts("left out: no freezer of version 1 that we may write to");
	return false;
}

static pid_t frozen_job(void)
{
	pid_t pid;

	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	pid = (pid_t)rig_number(rig_work("job"), "processes.0.pid");
	CHECK(put("tasks", rig_format("%d", (int)pid)));
	CHECK(put("freezer.state", "FROZEN"));
	return pid;
}

static void free_group(pid_t pid)
{
	CHECK(put("freezer.state", "THAWED"));
	AWAIT(!rig_pid_lives(pid));
	AWAIT(rmdir(group) == 0);
}

#define CONF                                                                                       \
	"work 'job' { program = { lw.env('FAKE'), 'serve' }, parallel = true, stop_timeout = 0.1 " \
	"}\n"                                                                                      \
	"work 'other' { program = { lw.env('FAKE'), 'serve' } }\n"                                 \
	"function flow() job:run{ act = 'deaf' } end\n"

TEST(a_stop_of_what_cannot_be_killed_says_so_and_others_go_on)
{
	struct rig_proc *proc;
	struct rig_answer answer;
	double value;
	pid_t pid;

	if (!freezer())
		return;
	proc = rig_up(CONF, NULL);
	pid = frozen_job();
	answer = rig_ctl("stop", "job", NULL);
	value = rig_number(rig_run("other", "{\"value\": 3}"), "result");
	free_group(pid);
	CHECK_INT(answer.status, 1);
	CHECK_HAS(answer.err, rig_format("process %d cannot be killed", (int)pid));
	CHECK_INT(value, 9);
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "down"));
	rig_down(proc);
}

TEST(a_supervisor_that_cannot_kill_all_ends_with_1_and_the_name)
{
	struct rig_proc *proc;
	int status;
	pid_t pid;

	if (!freezer())
		return;
	proc = rig_up(CONF, NULL);
	pid = frozen_job();
	rig_signal(proc, SIGTERM);
	status = rig_exit(proc);
	free_group(pid);
	CHECK_INT(status, 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), rig_format("process %d cannot be killed", (int)pid));
}
