/* links: lw_common
 *
 * test_statedir.c - where the state of an app lies, and sockets with paths of any length. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lw_statedir.h"

static char folder[200]; /* a real, empty folder; the current one */

static void setup(void)
{
	char made[] = "/tmp/lw-statedir-XXXXXX";

	cr_assert_not_null(mkdtemp(made));
	cr_assert_not_null(realpath(made, folder));
	cr_assert_eq(chdir(folder), 0);
	unsetenv("LW_STATE_DIR");
	unsetenv("STATE_DIRECTORY");
	unsetenv("XDG_STATE_HOME");
}

static void teardown(void)
{
	LW_AUTO(lw_free) char *remove = lw_format("rm -rf '%s'", folder);

	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(system(remove), 0);
}

TestSuite(statedir, .init = setup, .fini = teardown);
TestSuite(lw_socket, .init = setup, .fini = teardown);

/* The state directory is `before` (NULL: nothing) and `rest`. */
static void expect_dir(const char *conf, const char *option, const char *before, const char *rest)
{
	LW_AUTO(lw_free) char *expected = lw_format("%s%s", before != NULL ? before : "", rest);
	LW_AUTO(lw_free) char *dir = NULL;
	struct lw_err err = { 0 };

	cr_assert_eq(lw_statedir_find(conf, option, &dir, &err), 0, "%s", err.text);
	cr_assert_str_eq(dir, expected);
}

Test(statedir, lies_beside_app_conf_when_nothing_else_is_said)
{
	expect_dir("app.conf", NULL, folder, "/.lw/app.conf");
	expect_dir("./app.conf", NULL, folder, "/.lw/app.conf");
}

Test(statedir, is_the_same_by_every_path_to_the_folder_of_app_conf)
{
	LW_AUTO(lw_free) char *conf = lw_format("%s/../%s/b.conf", folder, strrchr(folder, '/'));

	cr_assert_eq(symlink(folder, "link"), 0);
	expect_dir("link/b.conf", NULL, folder, "/.lw/b.conf");
	expect_dir(conf, NULL, folder, "/.lw/b.conf");
}

Test(statedir, option_comes_before_lw_state_dir_before_systemd)
{
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	expect_dir("app.conf", NULL, NULL, "/var/lib/one");
	setenv("LW_STATE_DIR", "/var/mine/", 1);
	expect_dir("app.conf", NULL, NULL, "/var/mine");
	expect_dir("app.conf", "/opt/state", NULL, "/opt/state");
	expect_dir("app.conf", "here", folder, "/here");
	setenv("LW_STATE_DIR", "", 1);
	expect_dir("app.conf", NULL, NULL, "/var/lib/one");
}

Test(statedir, is_given_by_the_option_or_the_environment)
{
	cr_assert(!lw_statedir_is_given(NULL));
	cr_assert(lw_statedir_is_given("here"));
	setenv("STATE_DIRECTORY", ":/var/lib/two", 1);
	setenv("LW_STATE_DIR", "", 1);
	cr_assert(!lw_statedir_is_given(NULL));
	setenv("STATE_DIRECTORY", "/var/lib/one", 1);
	cr_assert(lw_statedir_is_given(NULL));
	unsetenv("STATE_DIRECTORY");
	setenv("LW_STATE_DIR", "/var/mine", 1);
	cr_assert(lw_statedir_is_given(NULL));
}

Test(statedir, of_a_folder_that_cannot_be_written_lies_in_the_users_own)
{
	LW_AUTO(lw_free) char *dir = NULL;
	LW_AUTO(lw_free) char *other = NULL;
	struct lw_err err = { 0 };

	cr_assert_eq(mkdir("one", 0755), 0);
	cr_assert_eq(chmod("one", 0555), 0);
	cr_assert_eq(chmod(folder, 0555), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0); /* root may write anywhere */
	setenv("HOME", "/home/me", 1);
	cr_assert_eq(lw_statedir_find("app.conf", NULL, &dir, &err), 0, "%s", err.text);
	cr_assert_eq(strncmp(dir, "/home/me/.local/state/lw/app.conf-", 34), 0, "%s", dir);
	setenv("XDG_STATE_HOME", "/xdg", 1);
	cr_assert_eq(lw_statedir_find("one/app.conf", NULL, &other, &err), 0, "%s", err.text);
	cr_assert_eq(strncmp(other, "/xdg/lw/app.conf-", 17), 0, "%s", other);
	cr_assert_str_neq(strrchr(dir, '-'), strrchr(other, '-'), "two apps share one state");
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chmod(folder, 0755), 0);
}

Test(statedir, of_a_missing_folder_is_an_error_that_names_it)
{
	LW_AUTO(lw_free) char *dir = NULL;
	struct lw_err err = { 0 };

	cr_assert_eq(lw_statedir_find("nowhere/app.conf", NULL, &dir, &err), -ENOENT);
	cr_assert_not_null(strstr(err.text, "'nowhere'"), "%s", err.text);
	cr_assert_eq(lw_statedir_find("", NULL, &dir, &err), -EINVAL);
	cr_assert_eq(lw_statedir_find("app.conf", "", &dir, &err), -EINVAL);
}

Test(statedir, is_made_for_us_alone_with_everything_above_it)
{
	struct lw_err err = { 0 };
	struct stat st;

	umask(0);
	cr_assert_eq(lw_statedir_make("a/b/c", &err), 0, "%s", err.text);
	cr_assert_eq(stat("a/b/c", &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	cr_assert_eq(chmod("a/b/c", 0755), 0);
	cr_assert_eq(lw_statedir_make("a/b/c", &err), 0, "%s", err.text);
	cr_assert_eq(stat("a/b/c", &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
}

Test(statedir, of_somebody_else_is_refused)
{
	struct lw_err err = { 0 };

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_eq(mkdir("theirs", 0777), 0);
	cr_assert_eq(chown("theirs", 65534, 65534), 0);
	cr_assert_eq(lw_statedir_make("theirs", &err), -EPERM);
	cr_assert_not_null(strstr(err.text, "65534"), "%s", err.text);
}

Test(statedir, that_is_a_file_is_an_error)
{
	struct lw_err err = { 0 };
	int fd = open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(lw_statedir_make("file", &err), -ENOTDIR);
	cr_assert_eq(lw_statedir_make("file/below", &err), -ENOTDIR);
}

static void meet(const char *path)
{
	struct lw_err err = { 0 };
	LW_AUTO(lw_close) int server = lw_socket_bind(path, &err);
	LW_AUTO(lw_close) int client = -1;
	LW_AUTO(lw_close) int met = -1;
	struct stat st;

	cr_assert_geq(server, 0, "%s", err.text);
	cr_assert_eq(fcntl(server, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(S_ISSOCK(st.st_mode));
	cr_assert_eq(st.st_mode & 07777, 0600);
	client = lw_socket_dial(path, &err);
	cr_assert_geq(client, 0, "%s", err.text);
	cr_assert_eq(fcntl(client, F_GETFD), FD_CLOEXEC);
	met = accept(server, NULL, NULL);
	cr_assert_geq(met, 0);
	cr_assert_eq(write(client, "x", 1), 1);
}

Test(lw_socket, is_made_with_mode_0600_whatever_the_umask)
{
	umask(0);
	meet("one.sock");
	umask(0277);
	meet("two.sock");
}

Test(lw_socket, with_a_path_of_a_thousand_bytes_is_bound_and_dialled)
{
	char path[1200];
	size_t size = (size_t)snprintf(path, sizeof(path), "%s", folder);
	struct lw_err err = { 0 };

	while (size < 1000)
		size += (size_t)snprintf(path + size, sizeof(path) - size, "/%050d", 7);
	cr_assert_eq(lw_statedir_make(path, &err), 0, "%s", err.text);
	snprintf(path + size, sizeof(path) - size, "/control.sock");
	meet(path);
}

Test(lw_socket, left_by_a_dead_process_is_replaced)
{
	meet("stale.sock");
	meet("stale.sock");
}

Test(lw_socket, in_use_is_not_taken_away)
{
	struct lw_err err = { 0 };
	LW_AUTO(lw_close) int server = lw_socket_bind("busy.sock", &err);

	cr_assert_geq(server, 0, "%s", err.text);
	cr_assert_eq(lw_socket_bind("busy.sock", &err), -EADDRINUSE);
	cr_assert_not_null(strstr(err.text, "'busy.sock'"), "%s", err.text);
}

Test(lw_socket, never_replaces_a_file)
{
	struct lw_err err = { 0 };
	int fd = open("precious", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	cr_assert_eq(lw_socket_bind("precious", &err), -EEXIST);
	cr_assert_eq(access("precious", F_OK), 0);
}

Test(lw_socket, that_nobody_serves_is_an_error_with_its_path)
{
	struct lw_err err = { 0 };

	cr_assert_eq(lw_socket_dial("none.sock", &err), -ENOENT);
	cr_assert_not_null(strstr(err.text, "'none.sock'"), "%s", err.text);
	cr_assert_eq(lw_socket_dial("no/folder/none.sock", &err), -ENOENT);
	meet("gone.sock");
	cr_assert_eq(lw_socket_dial("gone.sock", &err), -ECONNREFUSED);
}
