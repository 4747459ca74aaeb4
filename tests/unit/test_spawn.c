/* links: lw_common */
/* test_spawn.c - what a spawned program finds: descriptors, signals, session, folder, limits,
 * who it is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lw_spawn.h"

TestSuite(spawn, .timeout = 30);

static const char *const environment[] = { "PATH=/usr/bin:/bin", "X=value", NULL };

struct started {
	pid_t pid;
	int pidfd;
	int out; /* reading end of its standard output */
	char text[4096];
};

/* A shell script that is to write to its standard output. */
static struct lw_spawn shell(const char *argv[4], const char *script)
{
	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = NULL;
	return (struct lw_spawn){ .file = "/bin/sh",
				  .argv = (char *const *)argv,
				  .envp = (char *const *)environment,
				  .fds = { -1, -1, STDERR_FILENO },
				  .fd_count = 3 };
}

static void start(struct lw_spawn *spawn, struct started *started)
{
	struct lw_err err = { 0 };
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	spawn->fds[1] = ends[1];
	cr_assert_eq(lw_spawn(spawn, &started->pid, &started->pidfd, &err), 0, "%s", err.text);
	close(ends[1]);
	started->out = ends[0];
}

static void read_all(int fd, char *text, size_t room)
{
	size_t size = 0;
	ssize_t got;

	while ((got = read(fd, text + size, room - 1 - size)) > 0)
		size += (size_t)got;
	cr_assert_eq(got, 0);
	text[size] = '\0';
	close(fd);
}

static const char *finish(struct started *started)
{
	struct pollfd ends = { .fd = started->pidfd, .events = POLLIN };
	int status;

	read_all(started->out, started->text, sizeof(started->text));
	cr_assert_eq(poll(&ends, 1, 20000), 1);
	cr_assert_eq(waitpid(started->pid, &status, 0), started->pid);
	cr_assert_eq(status, 0, "status %d, output %s", status, started->text);
	close(started->pidfd);
	return started->text;
}

static const char *output_of(struct lw_spawn *spawn)
{
	static struct started started;

	start(spawn, &started);
	return finish(&started);
}

Test(spawn, a_program_gets_its_arguments_environment_and_folder)
{
	const char *argv[] = { "sh", "-c",  "printf '%s|%s|%s' \"$1\" \"$X\" \"$(pwd)\"",
			       "sh", "a b", NULL };
	const char *unused[4];
	struct lw_spawn spawn = shell(unused, "");

	spawn.argv = (char *const *)argv;
	spawn.cwd = "/usr";
	cr_assert_str_eq(output_of(&spawn), "a b|value|/usr");
}

static void expect_failure(struct lw_spawn *spawn, int code, const char *sentence)
{
	struct lw_err err = { 0 };
	int pidfd = -7;
	pid_t pid = -7;

	cr_assert_eq(lw_spawn(spawn, &pid, &pidfd, &err), code);
	cr_assert_eq(err.code, code);
	cr_assert_str_eq(err.text, sentence);
	cr_assert_eq(pid, -7);
	cr_assert_eq(pidfd, -7);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child was left behind");
	cr_assert_eq(errno, ECHILD);
}

Test(spawn, what_failed_in_the_child_comes_back_as_a_sentence)
{
	const char *argv[4];
	struct lw_spawn missing = shell(argv, "");
	struct lw_spawn folder = shell(argv, ""), closed = shell(argv, ""), many = shell(argv, "");

	missing.file = "./train";
	expect_failure(&missing, -ENOENT, "cannot exec './train': No such file or directory");
	missing.file = "/usr";
	expect_failure(&missing, -EACCES, "cannot exec '/usr': Permission denied");
	folder.cwd = "/nowhere";
	expect_failure(&folder, -ENOENT, "cannot chdir to '/nowhere': No such file or directory");
	closed.fds[1] = 777;
	expect_failure(&closed, -EBADF,
		       "cannot put the descriptors of '/bin/sh' in place: Bad file descriptor");
	many.fd_count = LW_SPAWN_FDS + 1;
	expect_failure(&many, -EINVAL, "cannot give '/bin/sh' 9 descriptors");
	many.fd_count = 2;
	expect_failure(&many, -EINVAL, "cannot give '/bin/sh' 2 descriptors");
}

/* The tests take 0 to 2: what lies above is Criterion's. */
static int pipe_to(int place)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup3(ends[1], place, O_CLOEXEC), place);
	close(ends[1]);
	return ends[0];
}

static void run_with(const struct lw_spawn *spawn)
{
	struct lw_err err = { 0 };
	int pidfd, status;
	pid_t pid;

	cr_assert_eq(lw_spawn(spawn, &pid, &pidfd, &err), 0, "%s", err.text);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(pidfd);
}

Test(spawn, descriptors_that_lie_in_each_others_places_are_exchanged)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "echo to zero >&0; echo to one; echo to two >&2");
	int first = pipe_to(1), second = pipe_to(2), third = pipe_to(0);
	char text[64];

	spawn.fds[0] = 1;
	spawn.fds[1] = 2;
	spawn.fds[2] = 0;
	run_with(&spawn);
	read_all(first, text, sizeof(text));
	cr_assert_str_eq(text, "to zero\n");
	read_all(second, text, sizeof(text));
	cr_assert_str_eq(text, "to one\n");
	read_all(third, text, sizeof(text));
	cr_assert_str_eq(text, "to two\n");
}

Test(spawn, a_descriptor_in_its_place_and_one_used_twice_stay_open)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "echo one; echo two >&2; echo five >&5");
	int end = pipe_to(1);
	char text[64];

	spawn.fds[1] = 1;
	spawn.fds[2] = 1;
	spawn.fds[3] = -1;
	spawn.fds[4] = -1;
	spawn.fds[5] = 1;
	spawn.fd_count = 6;
	run_with(&spawn);
	read_all(end, text, sizeof(text));
	cr_assert_str_eq(text, "one\ntwo\nfive\n");
}

Test(spawn, nothing_but_what_is_named_is_inherited)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "for n in 3 4 50; do test -e /proc/$$/fd/$n && "
					    "echo $n is open; done; readlink /proc/$$/fd/0");

	cr_assert_eq(dup2(STDERR_FILENO, 50), 50); /* would be inherited */
	spawn.fds[3] = -1;
	spawn.fd_count = 4;
	cr_assert_str_eq(output_of(&spawn), "/dev/null\n");
}

Test(spawn, a_program_gets_its_limits_priority_and_mask_and_ours_stay)
{
	static const struct lw_limit limits[] = { { "core", RLIMIT_CORE, { 0, 0 } },
						  { "fsize", RLIMIT_FSIZE, { 512000, 1024000 } },
						  { "nofile", RLIMIT_NOFILE, { 32, 64 } } };
	const struct rlimit files = { 123, 200 };
	const char *argv[4];
	struct lw_spawn spawn = shell(
		argv, "ulimit -Sc; ulimit -Sf; ulimit -Hf; ulimit -Sn; ulimit -Hn; umask; nice");
	mode_t mask = umask(022);
	struct rlimit after;

	spawn.files = &files; /* what is in `limits` as well comes later */
	spawn.limits = limits;
	spawn.limit_count = LW_COUNT(limits);
	spawn.has_nice = spawn.has_umask = true;
	spawn.nice = 19;
	spawn.umask = 0137;
	cr_assert_str_eq(output_of(&spawn), "0\n1000\n2000\n32\n64\n0137\n19\n");
	cr_assert_eq(umask(mask), 022);
	cr_assert_neq(getpriority(PRIO_PROCESS, 0), 19);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &after), 0);
	cr_assert_neq(after.rlim_cur, 512000);
}

static const gid_t groups[] = { 1, 4, 4000000003 };
static const struct lw_spawn_as somebody = {
	.name = "user 'somebody'",
	.uid = 4000000001,
	.gid = 4000000002,
	.groups = groups,
	.group_count = LW_COUNT(groups),
};

Test(spawn, root_starts_a_program_as_somebody_with_all_its_ids_and_groups)
{
	const char *argv[] = { "cat", "/proc/self/status", NULL };
	const char *unused[4], *text;
	struct lw_spawn spawn = shell(unused, "");
	static const char *const lines[] = {
		"Uid:\t4000000001\t4000000001\t4000000001\t4000000001\n",
		"Gid:\t4000000002\t4000000002\t4000000002\t4000000002\n",
		"Groups:\t1 4 4000000003 \n",
		"CapEff:\t0000000000000000\n",
	};

	if (geteuid() != 0)
		cr_skip_test("it takes root");
	spawn.file = "/bin/cat";
	spawn.argv = (char *const *)argv;
	spawn.as = &somebody;
	spawn.cwd = "/";
	text = output_of(&spawn);
	for (size_t i = 0; i < LW_COUNT(lines); i++)
		cr_expect_not_null(strstr(text, lines[i]), "%s\n%s", lines[i], text);
	cr_assert_eq(geteuid(), 0);
	cr_assert_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1, "who we are was shared with it");
}

Test(spawn, root_starts_a_program_in_another_group_alone)
{
	struct lw_spawn_as group = { .name = "group 'g'", .uid = (uid_t)-1, .gid = 4000000002 };
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "id -u; id -g; id -G");
	gid_t ours[] = { 7, 8 };

	if (geteuid() != 0)
		cr_skip_test("it takes root");
	cr_assert_eq(setgroups(LW_COUNT(ours), ours), 0);
	spawn.as = &group;
	cr_assert_str_eq(output_of(&spawn), "0\n4000000002\n4000000002 7 8\n");
}

Test(spawn, limits_are_raised_before_the_right_to_do_so_is_gone)
{
	const struct lw_limit raised[] = { { "core", RLIMIT_CORE, { 0, 4096 } } };
	const struct rlimit low = { 0, 0 }, high = { 0, 1 };
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "ulimit -Hc");

	cr_assert_eq(setrlimit(RLIMIT_CORE, &low), 0);
	if (geteuid() != 0 || setrlimit(RLIMIT_CORE, &high) < 0)
		cr_skip_test("it takes root with CAP_SYS_RESOURCE");
	spawn.as = &somebody;
	spawn.limits = raised;
	spawn.limit_count = 1;
	cr_assert_str_eq(output_of(&spawn), "8\n");
}

Test(spawn, a_folder_is_entered_as_the_user)
{
	char secret[] = "/tmp/test_spawn.XXXXXX";
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "");
	char sentence[100];

	if (geteuid() != 0)
		cr_skip_test("it takes root");
	cr_assert_not_null(mkdtemp(secret));
	spawn.as = &somebody;
	spawn.cwd = secret;
	snprintf(sentence, sizeof(sentence), "cannot chdir to '%s': Permission denied", secret);
	expect_failure(&spawn, -EACCES, sentence);
	rmdir(secret);
}

static void become_nobody(void)
{
	if (geteuid() == 0) {
		cr_assert_eq(setgroups(0, NULL), 0);
		cr_assert_eq(setresgid(65534, 65534, 65534), 0);
		cr_assert_eq(setresuid(65534, 65534, 65534), 0);
	}
}

Test(spawn, who_is_not_root_hears_what_it_may_not)
{
	struct lw_limit raised[] = { { "fsize", RLIMIT_FSIZE, { 0, 2 } } };
	const struct rlimit low = { 1, 1 };
	struct lw_spawn_as as = somebody;
	const char *argv[4];
	struct lw_spawn user = shell(argv, ""), nice = user, limit = user;

	become_nobody();
	user.as = &as;
	expect_failure(&user, -EPERM,
		       "cannot become user 'somebody': Operation not permitted (it takes root, or "
		       "CAP_SETUID and CAP_SETGID)");
	as.name = "group 'g'";
	as.groups = NULL;
	as.uid = (uid_t)-1;
	expect_failure(&user, -EPERM,
		       "cannot become group 'g': Operation not permitted (it takes root, or "
		       "CAP_SETUID and CAP_SETGID)");
	nice.has_nice = true;
	nice.nice = -20;
	expect_failure(&nice, -EACCES, "cannot set the nice value of '/bin/sh': Permission denied");
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
	limit.limits = raised;
	limit.limit_count = 1;
	expect_failure(&limit, -EPERM, "cannot set limit 'fsize': Operation not permitted");
}

Test(spawn, who_is_not_root_can_be_itself)
{
	struct lw_spawn_as as = { .name = "user 'us'", .groups = groups, .group_count = 1 };
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "echo here");

	become_nobody();
	as.uid = geteuid();
	as.gid = getegid();
	spawn.as = &as;
	cr_assert_str_eq(output_of(&spawn), "here\n");
}

static void nothing(int number)
{
	(void)number;
}

Test(spawn, a_program_gets_the_limit_of_descriptors_it_is_to_have_and_ours_stays)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "ulimit -n");
	struct rlimit limit, before, after;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){ 123, before.rlim_max };
	spawn.files = &limit;
	cr_assert_str_eq(output_of(&spawn), "123\n");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &after), 0);
	cr_assert_eq(after.rlim_cur, before.rlim_cur);
}

Test(spawn, three_thousand_descriptors_of_ours_reach_nobody)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "ls /proc/self/fd | wc -l");
	struct rlimit limit;
	int opened = 0;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int fd; opened < 3000 && (fd = dup(STDERR_FILENO)) >= 0; opened++)
		continue; /* without close-on-exec */
	cr_assert_gt(opened, 900);
	cr_assert_str_eq(output_of(&spawn), "4\n"); /* 0, 1, 2, and the folder that ls reads */
}

Test(spawn, signals_are_as_in_a_fresh_process_and_ours_stay)
{
	const char *argv[] = { "cat", "/proc/self/status", NULL };
	static const char *lines[] = { "SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n",
				       "SigCgt:\t0000000000000000\n" };
	const char *text;
	const char *unused[4];
	struct lw_spawn spawn = shell(unused, "");
	struct sigaction handled = { .sa_handler = nothing }, after;
	sigset_t some, mask;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	cr_assert_eq(sigaction(SIGUSR2, &handled, NULL), 0);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR1);
	cr_assert_eq(sigprocmask(SIG_SETMASK, &some, NULL), 0);
	spawn.file = "/bin/cat";
	spawn.argv = (char *const *)argv;
	text = output_of(&spawn);
	for (size_t i = 0; i < LW_COUNT(lines); i++)
		cr_assert_not_null(strstr(text, lines[i]), "%s", text);
	cr_assert_eq(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	for (int number = 1; number < NSIG; number++)
		cr_assert_eq(sigismember(&mask, number), sigismember(&some, number));
	cr_assert_eq(sigaction(SIGUSR2, NULL, &after), 0);
	cr_assert_eq(after.sa_handler, nothing);
	cr_assert_eq(sigaction(SIGPIPE, NULL, &after), 0);
	cr_assert_eq(after.sa_handler, SIG_IGN);
}

static void group_and_session(struct lw_spawn *spawn, pid_t *pid, pid_t *group, pid_t *session)
{
	const char *argv[] = { "cat", "/proc/self/stat", NULL };
	const char *text;

	spawn->file = "/bin/cat";
	spawn->argv = (char *const *)argv;
	text = output_of(spawn);
	cr_assert_eq(sscanf(text, "%d (cat) %*c %*d %d %d", pid, group, session), 3, "%s", text);
}

Test(spawn, a_program_can_have_its_own_session_or_group)
{
	const char *unused[4];
	pid_t pid, group, session;
	struct lw_spawn spawn = shell(unused, "");

	group_and_session(&spawn, &pid, &group, &session);
	cr_assert_eq(group, getpgrp());
	cr_assert_eq(session, getsid(0));
	spawn.group = true;
	group_and_session(&spawn, &pid, &group, &session);
	cr_assert_eq(group, pid);
	cr_assert_eq(session, getsid(0));
	spawn.session = true;
	group_and_session(&spawn, &pid, &group, &session);
	cr_assert_eq(group, pid);
	cr_assert_eq(session, pid);
}

Test(spawn, a_program_dies_with_its_parent_if_asked)
{
	int ends[2], status;
	pid_t middle, pid;

	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	middle = fork();
	if (middle == 0) {
		const char *argv[4];
		struct lw_spawn spawn = shell(argv, "echo ready; exec sleep 1000");
		struct started started;
		char byte;

		spawn.die_with_parent = true;
		start(&spawn, &started);
		if (read(started.out, &byte, 1) != 1 ||
		    write(ends[1], &started.pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		_exit(0);
	}
	cr_assert_eq(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	cr_assert_eq(waitpid(middle, &status, 0), middle);
	cr_assert_eq(status, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(WTERMSIG(status), SIGKILL);
}

Test(spawn, the_pidfd_closes_on_exec_and_tells_the_end)
{
	const char *argv[4];
	struct lw_spawn spawn = shell(argv, "read x; exit 0");
	struct pollfd ends = { .events = POLLIN };
	struct started started;
	int in[2];

	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	spawn.fds[0] = in[0];
	start(&spawn, &started);
	ends.fd = started.pidfd;
	cr_assert_eq(fcntl(started.pidfd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(poll(&ends, 1, 0), 0);
	cr_assert_eq(write(in[1], "\n", 1), 1);
	finish(&started);
}

static char folder[] = "/tmp/test_spawn.XXXXXX";

static void make_file(const char *name, mode_t mode)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	cr_assert_geq(fd, 0);
	close(fd);
}

static void remove_files(void)
{
	static const char *names[] = { "yes", "no" };
	char path[64];

	for (size_t i = 0; i < LW_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void make_files(void)
{
	cr_assert_not_null(mkdtemp(folder));
	make_file("yes", 0755);
	make_file("no", 0644);
}

static void expect_found(const char *name, const char *cwd, const char *expected)
{
	LW_AUTO(lw_free) char *path = NULL;
	struct lw_err err = { 0 };

	cr_assert_eq(lw_spawn_find(name, cwd, &path, &err), 0, "%s", err.text);
	cr_assert_str_eq(path, expected);
}

static void expect_not_found(const char *name, int code, const char *sentence)
{
	struct lw_err err = { 0 };
	char *path = NULL;

	cr_assert_eq(lw_spawn_find(name, folder, &path, &err), code);
	cr_assert_str_eq(err.text, sentence);
	cr_assert_null(path);
}

Test(spawn, programs_are_found_in_path_and_below_the_folder, .init = make_files,
     .fini = remove_files)
{
	char path[128], expected[128];

	snprintf(expected, sizeof(expected), "%s/yes", folder);
	expect_found("./yes", folder, expected);
	expect_found(expected, "/", expected);
	snprintf(path, sizeof(path), "/nowhere:%s:/usr/bin:/bin", folder);
	setenv("PATH", path, 1);
	expect_found("yes", NULL, expected);
	setenv("PATH", ":/nowhere", 1); /* an empty entry is the folder */
	snprintf(expected, sizeof(expected), "%s/yes", folder);
	expect_found("yes", folder, expected);
	cr_assert_eq(chdir("/tmp"), 0);
	snprintf(expected, sizeof(expected), "/tmp/%s/yes", strrchr(folder, '/') + 1);
	expect_found("./yes", strrchr(folder, '/') + 1, expected);
}

Test(spawn, a_program_that_is_not_there_or_cannot_run_is_named, .init = make_files,
     .fini = remove_files)
{
	setenv("PATH", folder, 1);
	expect_not_found("nope", -ENOENT, "no program 'nope' in PATH");
	expect_not_found("./nope", -ENOENT, "no program './nope'");
	expect_not_found("", -ENOENT, "no program '' in PATH");
	expect_not_found("no", -EACCES, "'no' is not executable");
	expect_not_found("./no", -EACCES, "'./no' is not executable");
	expect_not_found("/usr", -EACCES, "'/usr' is not executable");
}
