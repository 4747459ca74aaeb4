/* guard.c - the process above the driver, which leaves nothing behind: no process, no file.
 *
 * main() of bench.c begins with guard_begin(). The driver goes on in a child; the guard waits for
 * it, and however it ends (done, a broken assumption, Ctrl-C, a time limit's TERM), kills whatever
 * is left of supervisors and works and removes the folder that all files lie in.
 */
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char folder[64];

const char *guard_folder(void)
{
	return folder;
}

/* Socket paths are short, so a long TMPDIR is passed over. */
static void make_folder(void)
{
	const char *above = getenv("TMPDIR");

	if (above == NULL || strlen(above) > 30)
		above = "/tmp";
	snprintf(folder, sizeof(folder), "%s/lw-bench-XXXXXX", above);
	if (mkdtemp(folder) != NULL)
		return;
	perror(folder);
	exit(1);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)info;
	(void)type;
	(void)where;
	remove(path);
	return 0;
}

void guard_remove(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* False when there was none. */
static bool kill_children(pid_t except)
{
	bool any = false;
	char path[64];
	FILE *children;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	children = fopen(path, "re");
	while (children != NULL && fscanf(children, "%d", &pid) == 1) {
		if (pid <= 0 || pid == except)
			continue;
		any = true;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (children != NULL)
		fclose(children);
	return any;
}

void guard_sweep(pid_t except)
{
	while (kill_children(except))
		; /* theirs have become ours */
}

/* 128 + its signal, as a shell has it. */
static int await_driver(pid_t driver, const sigset_t *signals)
{
	int number, status = 0;

	while (waitpid(driver, &status, WNOHANG) == 0) {
		sigwait(signals, &number);
		if (number != SIGCHLD)
			kill(driver, SIGKILL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void guard_begin(void)
{
	sigset_t signals, before;
	int status;
	pid_t driver;

	make_folder();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &before);
	driver = fork();
	if (driver == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		return;
	}
	status = driver > 0 ? await_driver(driver, &signals) : 1;
	guard_sweep(0);
	guard_remove(folder);
	exit(status);
}
