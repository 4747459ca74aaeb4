/* e2e_child.c - a child as configured: who it is, where it starts, what it may use; and what a
 * crowd of descriptors in the supervisor means to it (nothing). Run by ctest, one test a process.
 *
 * What takes root is left out without it. */
#include "rig.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

/* True when the test is to end here. */
static bool lacks_root(void)
{
	if (geteuid() != 0)
		puts("left out: it takes root");
	return geteuid() != 0;
}

static void run_tool(const char *a, const char *b, const char *c, const char *d)
{
	CHECK_INT(rig_exit(rig_spawn(a, b, c, d, NULL)), 0);
}

/* Other users get to the folder of the test, and find the programs in it. */
static void open_folder(void)
{
	CHECK(mkdir(rig_path("bin"), 0755) == 0);
	run_tool("cp", LW_BIN "/lw-supervisor", rig_path("bin"), NULL);
	run_tool("cp", LW_BIN "/lw-worker", rig_path("bin"), NULL);
	run_tool("cp", LW_BIN "/fake_work", rig_path("bin"), NULL);
	run_tool("chmod", "-R", "a+rX", rig_folder());
	setenv("FAKE", rig_path("bin/fake_work"), 1);
}

static struct rig_proc *up(const char *conf)
{
	struct rig_proc *proc;

	rig_write("app.conf", conf);
	proc = rig_spawn(rig_path("bin/lw-supervisor"), rig_path("app.conf"), "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "Your app has started.");
	return proc;
}

/* An app with one command that is a script, and options; runs are made by hand. */
static const char *script(const char *options, const char *text)
{
	rig_write("script", text);
	return rig_format("work 'job' { command = { 'sh', '%s', '{n}' }, parallel = true, %s }\n"
			  "function flow() end\n",
			  rig_path("script"), options);
}

static void succeeds(int n)
{
	json_t *run = rig_run("job", rig_format("{\"n\": %d}", n));

	if (!rig_is(run, "stage", "succeeded"))
		rig_fail(__FILE__, __LINE__, "run %d: %s: %s", n, rig_string(run, "reason"),
			 rig_string(run, "error"));
}

/* The line of /proc/PID/status that begins with `name`. */
static const char *status_of(pid_t pid, const char *name)
{
	const char *text = rig_read(rig_format("/proc/%d/status", (int)pid));
	const char *line = text != NULL ? strstr(text, rig_format("\n%s:\t", name)) : NULL;

	CHECK(line != NULL);
	line += strlen(name) + 3;
	return rig_format("%.*s", (int)strcspn(line, "\n"), line);
}

static pid_t pid_of(const char *work)
{
	return (pid_t)rig_number(rig_work(work), "processes.0.pid");
}

static const char *error_of(const char *work)
{
	AWAIT(rig_string(rig_work(work), "processes.0.error")[0] != '\0');
	return rig_string(rig_work(work), "processes.0.error");
}

/* ---- for everybody ---------------------------------------------------------------------- */

TEST(a_command_has_its_folder_mask_priority_limits_and_variables)
{
	struct rig_proc *proc;

	CHECK(mkdir(rig_path("inside"), 0700) == 0);
	proc = rig_up(script("cwd = 'inside', umask = '0137', nice = 19, env = { COLOUR = 'red' },"
			     " limits = { core = 0, nofile = { soft = 100, hard = 200 },"
			     " fsize = '1000KiB' }",
			     "echo at $(pwd)\n"
			     "echo has $(umask) $(nice) $COLOUR\n"
			     "echo may $(ulimit -Sc) $(ulimit -Sn) $(ulimit -Hn) $(ulimit -Sf)\n"),
		      "--no-prefix", NULL);
	succeeds(1);
	rig_line(proc, RIG_OUT, rig_format("at %s", rig_path("inside")));
	rig_line(proc, RIG_OUT, "has 0137 19 red");
	rig_line(proc, RIG_OUT, "may 0 100 200 2000");
	rig_down(proc);
}

TEST(a_program_has_its_priority_and_limits)
{
	struct rig_proc *proc =
		rig_up("work 'job' { program = { lw.env('FAKE'), 'serve' }, nice = 5,\n"
		       "  limits = { nofile = 99 } }\nfunction flow() end\n",
		       NULL);
	const char *limits;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	limits = rig_read(rig_format("/proc/%d/limits", (int)pid_of("job")));
	CHECK_HAS(limits, "Max open files            99                   99 ");
	CHECK_INT(getpriority(PRIO_PROCESS, (id_t)pid_of("job")), 5);
	rig_down(proc);
}

TEST(a_folder_that_is_not_there_is_named_when_the_process_starts)
{
	struct rig_proc *proc =
		rig_up(script("cwd = 'not/yet', restart = 'always'", "pwd\n"), "--no-prefix", NULL);
	struct rig_answer answer = rig_ctl("run", "job", "{\"n\": 1}", NULL);

	CHECK_INT(answer.status, 0);
	CHECK_TEXT(error_of("job"), rig_format("cannot chdir to '%s': No such file or directory",
					       rig_path("not/yet")));
	CHECK(mkdir(rig_path("not"), 0700) == 0 && mkdir(rig_path("not/yet"), 0700) == 0);
	rig_line(proc, RIG_OUT, rig_path("not/yet"));
	rig_down(proc);
}

/* What that descriptor of a process leads to; NULL: it has none of that number. */
static const char *opened(pid_t pid, int fd)
{
	char path[200];
	ssize_t size = readlink(rig_format("/proc/%d/fd/%d", (int)pid, fd), path, sizeof(path));

	return size < 0 ? NULL : rig_format("%.*s", (int)size, path);
}

TEST(a_supervisor_whose_descriptors_lie_above_1024_works_and_its_children_see_nothing_of_it)
{
	struct rlimit limit;
	struct rig_proc *proc;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < 2000) {
		puts("left out: there may be no 2000 descriptors");
		return;
	}
	rig_write("script", "echo sees $(ls /proc/self/fd)\n" /* 4: the folder itself */
			    "echo limit $(ulimit -Sn)\n"
			    "echo '{\"x\": 1}' >&3\n");
	rig_write(
		"app.conf",
		rig_format("work 'job' { command = { 'sh', '%s', '{n}' }, parallel = true }\n"
			   "work 'svc' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"
			   "function flow() svc:run{ value = 3 } end\n",
			   rig_path("script")));
	setenv("FAKE", LW_BIN "/fake_work", 1);
	proc = rig_spawn("sh", "-c", "ulimit -Sn 1500; exec \"$0\" \"$@\"", LW_BIN "/crowded",
			 LW_BIN "/lw-supervisor", rig_path("app.conf"), "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "Your app has started.");
	CHECK_TEXT(opened(rig_pid(proc), 1199), "/dev/null");
	CHECK_HAS(opened(rig_pid(proc), 1200), "/");
	AWAIT(rig_is(rig_work("svc"), "stage", "succeeded"));
	CHECK_INT(rig_number(rig_run("svc", "{\"value\": 5}"), "result"), 25);
	succeeds(1);
	CHECK_TEXT(rig_line(proc, RIG_OUT, "sees "), "sees 0 1 2 3 4");
	CHECK_TEXT(rig_line(proc, RIG_OUT, "limit "), "limit 1500");
	CHECK_INT(rig_number(rig_work("job"), "state.x"), 1);
	CHECK(opened(pid_of("svc"), 1199) == NULL);
	CHECK(kill(pid_of("svc"), SIGKILL) == 0);
	AWAIT(rig_number(rig_work("svc"), "processes.0.starts") == 2);
	CHECK_INT(rig_ctl("stop", "svc", NULL).status, 0);
	rig_down(proc);
}

/* ---- who is not root ---------------------------------------------------------------------- */

static void cannot_become(struct rig_proc *proc)
{
	rig_line(proc, RIG_OUT, "Your app has started.");
	CHECK_INT(rig_ctl("run", "job", "{\"n\": 1}", NULL).status, 0);
	CHECK_TEXT(error_of("job"), "cannot become user 'root': Operation not permitted (it takes "
				    "root, or CAP_SETUID and CAP_SETGID)");
	rig_down(proc);
}

TEST(a_supervisor_that_is_not_root_says_that_it_cannot_become_somebody)
{
	const char *program = LW_BIN "/lw-supervisor";

	rig_write("app.conf", script("user = 'root'", "true\n"));
	if (geteuid() != 0) {
		cannot_become(rig_spawn(program, rig_path("app.conf"), NULL));
		return;
	}
	open_folder();
	run_tool("chown", "-R", "65534:65534", rig_folder());
	cannot_become(rig_spawn("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
				rig_path("bin/lw-supervisor"), rig_path("app.conf"), NULL));
}

/* ---- root --------------------------------------------------------------------------------- */

/* A user that has more than one group, if this machine has one; `room` for its name. */
static void find_user(char *name, size_t room)
{
	const struct group *group;

	snprintf(name, room, "daemon");
	setgrent();
	while ((group = getgrent()) != NULL)
		if (group->gr_mem[0] != NULL && getpwnam(group->gr_mem[0]) != NULL &&
		    getpwnam(group->gr_mem[0])->pw_uid != 0)
			snprintf(name, room, "%s", group->gr_mem[0]);
	endgrent();
}

TEST(a_command_is_its_user_with_its_groups_and_variables)
{
	struct rig_proc *proc;
	char user[64];

	if (lacks_root())
		return;
	find_user(user, sizeof(user));
	open_folder();
	proc = up(script(rig_format("user = '%s', env = { LOGNAME = 'mine' }", user),
			 rig_format("echo \"is $(id -u) $(id -g) $(id -G)\"\n"
				    "echo \"like $(id -u %s) $(id -g %s) $(id -G %s)\"\n"
				    "echo \"knows $HOME $USER $LOGNAME\"\n"
				    "echo \"called $(cat $LW_ARGS_FILE)\"\n"
				    "echo by name >/dev/stdout; echo likewise >/dev/stderr\n"
				    "echo '{\"x\": 1}' >&3\n",
				    user, user, user)));
	succeeds(1);
	CHECK_TEXT(rig_line(proc, RIG_OUT, "is ") + 3, rig_line(proc, RIG_OUT, "like ") + 5);
	CHECK(strstr(rig_text(proc, RIG_OUT), "is 0 ") == NULL);
	rig_line(proc, RIG_OUT, rig_format("knows %s %s mine", getpwnam(user)->pw_dir, user));
	rig_line(proc, RIG_OUT, "called {\"args\":[],\"kwargs\":{\"n\":1}}");
	rig_line(proc, RIG_OUT, "by name");
	rig_line(proc, RIG_ERR, "likewise");
	CHECK_INT(rig_number(rig_work("job"), "state.x"), 1);
	rig_down(proc);
}

static const char serves_as_nobody[] =
	"work 'job' { program = { lw.env('FAKE'), lw.env('HOW', 'serve') }, user = 65534,\n"
	"  group = 65534, parallel = true, stop_timeout = 0.5 }\n"
	"work 'ours' { program = { lw.env('FAKE'), 'serve' }, parallel = true }\n"
	"function flow() ours:run{ value = 2 } end\n";

TEST(a_program_of_another_user_dials_a_socket_of_its_own_and_serves)
{
	struct rig_proc *proc;
	const char *socket_path, *folder;
	struct stat about;

	if (lacks_root())
		return;
	open_folder();
	proc = up(serves_as_nobody);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	CHECK_TEXT(status_of(pid_of("job"), "Uid"), "65534\t65534\t65534\t65534");
	CHECK_TEXT(status_of(pid_of("job"), "Gid"), "65534\t65534\t65534\t65534");
	CHECK_TEXT(status_of(pid_of("job"), "CapPrm"), "0000000000000000");
	socket_path = rig_worker_env("job", "LW_SOCKET");
	folder = rig_format("%.*s", (int)(strrchr(socket_path, '/') - socket_path), socket_path);
	CHECK(stat(socket_path, &about) == 0);
	CHECK_INT(about.st_mode & 0777, 0666);
	CHECK(stat(folder, &about) == 0);
	CHECK_INT(about.st_mode & 0777, 0711);
	/* Ours stays where nobody else gets to. */
	CHECK_TEXT(rig_worker_env("ours", "LW_SOCKET"), rig_path(".lw/app.conf/worker.sock"));
	rig_down(proc);
	CHECK(access(folder, F_OK) < 0);
	CHECK(lstat(rig_path(".lw/app.conf/run"), &about) < 0);
}

TEST(a_program_of_another_user_that_ignores_term_is_killed_with_what_it_left)
{
	struct rig_proc *proc;
	pid_t pid, left;

	if (lacks_root())
		return;
	open_folder();
	setenv("HOW", "ignore_term", 1);
	proc = up(serves_as_nobody);
	CHECK_INT(rig_ctl("run", "job", "{}", NULL).status, 0);
	rig_line(proc, RIG_OUT, "ignoring");
	pid = pid_of("job");
	CHECK(rig_pid_lives(pid));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK(!rig_pid_lives(pid));
	rig_down(proc);
	run_tool("rm", "-rf", rig_path(".lw"), NULL); /* that stop would hold */
	setenv("HOW", "grandchild", 1);
	proc = up(serves_as_nobody);
	CHECK_INT(rig_ctl("start", "job", NULL).status, 0); /* the stop outlived the supervisor */
	CHECK_INT(rig_ctl("run", "job", "{\"again\": true}", NULL).status, 0);
	left = (pid_t)atoi(strstr(rig_line(proc, RIG_OUT, "left "), "left ") + 5);
	CHECK(rig_pid_lives(left));
	/* Its leader dead, it is known by its mark alone. */
	CHECK(kill(pid_of("job"), SIGKILL) == 0);
	AWAIT(rig_number(rig_work("job"), "processes.0.starts") == 2);
	CHECK(!rig_pid_lives(left));
	rig_down(proc);
}

/* Of a command, what its run left behind. */
TEST(what_a_command_of_another_user_leaves_behind_is_gone_before_its_run_is_over)
{
	struct rig_proc *proc;

	if (lacks_root())
		return;
	open_folder();
	proc = up(script("user = 'nobody'", "setsid sleep 1000 & echo \"left $!\"\n"));
	succeeds(1);
	CHECK(!rig_pid_lives((pid_t)atoi(rig_line(proc, RIG_OUT, "left ") + 5)));
	rig_down(proc);
}

TEST(after_a_crash_the_next_supervisor_listens_where_workers_of_other_users_dial)
{
	struct rig_proc *proc;
	const char *before;

	if (lacks_root())
		return;
	open_folder();
	proc = up(serves_as_nobody);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 5}"), "result"), 25);
	before = rig_worker_env("job", "LW_SOCKET");
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	CHECK(access(before, F_OK) == 0);
	proc = up("work 'other' { command = { 'true' } }\nfunction flow() end\n");
	close(rig_dial(before)); /* whatever works there are now */
	AWAIT(rig_children() == 1);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	proc = up(serves_as_nobody);
	CHECK_INT(rig_number(rig_run("job", "{\"value\": 6}"), "result"), 36);
	CHECK_TEXT(rig_worker_env("job", "LW_SOCKET"), before);
	rig_down(proc);
	CHECK(access(before, F_OK) < 0);
}

TEST(a_user_that_does_not_get_to_the_folder_is_told_so)
{
	struct rig_proc *proc;

	if (lacks_root())
		return;
	open_folder();
	CHECK(mkdir(rig_path("secret"), 0700) == 0);
	proc = up(script("user = 'nobody', cwd = 'secret'", "true\n"));
	CHECK_INT(rig_ctl("run", "job", "{\"n\": 1}", NULL).status, 0);
	CHECK_TEXT(error_of("job"),
		   rig_format("cannot chdir to '%s': Permission denied", rig_path("secret")));
	rig_down(proc);
}
