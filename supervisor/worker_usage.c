/* worker_usage.c - what the processes of one worker use, read from /proc and its cgroup. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "lw_cgroup.h"
#include "worker_private.h"

#define STAT_ROOM      1024
#define PROCESSES_MOST 4096 /* of one tree that are looked at */

/* Fields of /proc/PID/stat by their number in proc(5), less that of the first behind the name. */
enum { UTIME = 14 - 3, STIME, CUTIME, CSTIME, THREADS = 20 - 3, RSS = 24 - 3, FIELDS };

static ssize_t read_file(int folder, const char *path, char *text, size_t room)
{
	LW_AUTO(lw_close) int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, room - 1);

	text[size > 0 ? size : 0] = '\0';
	return size;
}

static bool read_stat(pid_t pid, uint64_t fields[FIELDS])
{
	char path[40], text[STAT_ROOM], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (read_file(AT_FDCWD, path, text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')'); /* the name may hold anything */
	if (at == NULL || at[1] != ' ')
		return false;
	at += 3; /* the state, which is a letter */
	fields[0] = 0;
	for (size_t i = 1; i < FIELDS; i++)
		fields[i] = strtoull(at, &at, 10);
	return true;
}

static void add_children_of_thread(pid_t pid, pid_t thread, struct lw_pids *found)
{
	char path[60], text[4096], *at = text, *end;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)thread);
	(void)read_file(AT_FDCWD, path, text, sizeof(text));
	for (long child; found->count < PROCESSES_MOST; at = end) {
		child = strtol(at, &end, 10);
		if (end == at)
			return;
		lw_pids_add(found, (pid_t)child);
	}
}

/* Each thread has children of its own. */
static void add_children(pid_t pid, uint64_t threads, struct lw_pids *found)
{
	char path[40];
	const struct dirent *entry;
	DIR *folder;

	if (threads <= 1) {
		add_children_of_thread(pid, pid, found);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	folder = opendir(path);
	while (folder != NULL && (entry = readdir(folder)) != NULL)
		if (entry->d_name[0] != '.')
			add_children_of_thread(pid, (pid_t)strtol(entry->d_name, NULL, 10), found);
	if (folder != NULL)
		closedir(folder);
}

/* What those in a cgroup have used that are gone, and that nobody waited for, is in its own sum. */
static void take_cpu_of_group(int group, struct usage *usage)
{
	char text[512];
	const char *at;

	(void)read_file(group, "cpu.stat", text, sizeof(text));
	at = strstr(text, "usage_usec ");
	if (at != NULL)
		usage->cpu = (int64_t)strtoull(at + strlen("usage_usec "), NULL, 10);
}

void worker_look_at_usage(struct worker *worker)
{
	static int64_t tick, page;
	struct usage usage = { .at = loop_now(worker->app->loop) };
	struct lw_pids pids = { 0 };

	if (tick == 0) {
		tick = 1000000 / sysconf(_SC_CLK_TCK);
		page = sysconf(_SC_PAGESIZE);
	}
	if (worker->group >= 0)
		(void)lw_cgroup_members(worker->group, &pids);
	else
		lw_pids_add(&pids, worker->pid);
	for (size_t i = 0; i < pids.count; i++) { /* grows meanwhile */
		uint64_t fields[FIELDS];

		if (!read_stat(pids.pids[i], fields))
			continue;
		usage.processes++;
		usage.memory += fields[RSS] * (uint64_t)page;
		usage.cpu +=
			(int64_t)(fields[UTIME] + fields[STIME] + fields[CUTIME] + fields[CSTIME]) *
			tick;
		if (worker->group < 0)
			add_children(pids.pids[i], fields[THREADS], &pids);
	}
	lw_pids_done(&pids);
	if (worker->group >= 0)
		take_cpu_of_group(worker->group, &usage);
	worker->usage = usage;
}

const struct usage *worker_usage(const struct worker *worker)
{
	return &worker->usage;
}
