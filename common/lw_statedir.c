/* lw_statedir.c - where the state of an app lies, and the sockets in it.
 *
 * Called at start by the supervisor, and by lwctl for every command.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

#include "lw_statedir.h"

#define DIAL_SECONDS 10
#define BACKLOG      128

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

static void cut_slashes(char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		path[--size] = '\0';
}

static int absolute(const char *path, size_t size, char **ret_path, struct lw_err *err)
{
	char cwd[PATH_MAX];

	if (size > 0 && path[0] == '/') {
		*ret_path = lw_strndup(path, size);
	} else {
		if (getcwd(cwd, sizeof(cwd)) == NULL)
			return lw_err_sys(err, -errno, "cannot find the current folder");
		*ret_path = lw_format("%s/%.*s", cwd, (int)size, path);
	}
	cut_slashes(*ret_path);
	return 0;
}

/* The real folder of `conf` and its own name: a link to a file lies where the link lies. */
static int split_conf(const char *conf, char **ret_folder, const char **ret_name,
		      struct lw_err *err)
{
	const char *slash = strrchr(conf, '/');
	const char *name = slash != NULL ? slash + 1 : conf;
	LW_AUTO(lw_free) char *folder = NULL;
	char real[PATH_MAX];

	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return lw_err_set(err, -EINVAL, "'%s' names no file", conf);
	folder = slash == NULL   ? lw_strdup(".")
		 : slash == conf ? lw_strdup("/")
				 : lw_strndup(conf, (size_t)(slash - conf));
	if (realpath(folder, real) == NULL)
		return lw_err_sys(err, -errno, "no folder '%s'", folder);
	*ret_folder = lw_strdup(strcmp(real, "/") == 0 ? "" : real);
	*ret_name = name;
	return 0;
}

static bool exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;
}

/* True when we could keep our state in <folder>/.lw/<name>. */
static bool can_keep(const char *folder, const char *dot, const char *dir)
{
	const char *first = exists(dir) ? dir : exists(dot) ? dot : folder[0] ? folder : "/";

	return faccessat(AT_FDCWD, first, W_OK | X_OK, AT_EACCESS) == 0;
}

/* XXH3 without a secret: the name only has to tell the apps of one person apart. */
static int find_home(const char *folder, const char *name, char **ret_dir, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/%s", folder, name);
	unsigned long long hash = XXH3_64bits(path, strlen(path));
	const char *state = setting("XDG_STATE_HOME");
	const char *home = setting("HOME");

	if (state != NULL && state[0] == '/') {
		*ret_dir = lw_format("%s/lw/%s-%016llx", state, name, hash);
		return 0;
	}
	if (home == NULL) {
		const struct passwd *user = getpwuid(geteuid());

		home = user != NULL ? user->pw_dir : NULL;
	}
	if (home == NULL || home[0] != '/')
		return lw_err_set(err, -ENOENT,
				  "'%s' cannot be written and there is no home folder; use "
				  "--state-dir",
				  folder);
	*ret_dir = lw_format("%s/.local/state/lw/%s-%016llx", home, name, hash);
	return 0;
}

static int find_beside(const char *conf, char **ret_dir, struct lw_err *err)
{
	LW_AUTO(lw_free) char *folder = NULL;
	LW_AUTO(lw_free) char *dot = NULL;
	LW_AUTO(lw_free) char *dir = NULL;
	const char *name;
	int r = split_conf(conf, &folder, &name, err);

	if (r < 0)
		return r;
	dot = lw_format("%s/.lw", folder);
	dir = lw_format("%s/%s", dot, name);
	if (!can_keep(folder, dot, dir))
		return find_home(folder, name, ret_dir, err);
	*ret_dir = LW_TAKE(dir);
	return 0;
}

int lw_statedir_find(const char *conf, const char *option, char **ret_dir, struct lw_err *err)
{
	const char *list = setting("STATE_DIRECTORY");
	const char *dir = option != NULL ? option : setting("LW_STATE_DIR");

	if (option != NULL && option[0] == '\0')
		return lw_err_set(err, -EINVAL, "the state directory has no name");
	if (dir != NULL)
		return absolute(dir, strlen(dir), ret_dir, err);
	if (list != NULL && list[0] != ':')
		return absolute(list, strcspn(list, ":"), ret_dir, err);
	return find_beside(conf, ret_dir, err);
}

bool lw_statedir_is_given(const char *option)
{
	const char *list = setting("STATE_DIRECTORY");

	return option != NULL || setting("LW_STATE_DIR") != NULL ||
	       (list != NULL && list[0] != ':');
}

/* A folder that is there already is welcome, also where nothing could be made: below a file system
 * that may only be read. */
static int make_folder(const char *path, struct lw_err *err)
{
	int r;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	r = -errno;
	return exists(path) ? 0 : lw_err_sys(err, r, "cannot make the folder '%s'", path);
}

/* mkdir -p. What exists is not looked at here. */
static int make_path(const char *dir, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_strdup(dir);
	char *slash = path;
	int r;

	while (slash != NULL) {
		slash = strchr(slash + 1, '/');
		if (slash != NULL)
			*slash = '\0';
		r = make_folder(path, err);
		if (r < 0)
			return r;
		if (slash != NULL)
			*slash = '/';
	}
	return 0;
}

int lw_statedir_make(const char *dir, struct lw_err *err)
{
	LW_AUTO(lw_close) int fd = -1;
	struct stat st;
	int r = make_path(dir, err);

	if (r < 0)
		return r;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return lw_err_sys(err, -errno, "cannot open the state directory '%s'", dir);
	if (st.st_uid != geteuid())
		return lw_err_set(err, -EPERM,
				  "the state directory '%s' belongs to user %u, not to us (%u)",
				  dir, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return lw_err_sys(err, -errno, "cannot protect the state directory '%s'", dir);
	return 0;
}

/* ---- sockets ---------------------------------------------------------------------- */

/* Where a socket lies: its folder, held open so that a path of any length can be named through
 * /proc, and its name in it. */
struct place {
	int folder;
	const char *name;
};

static void place_done(struct place *place)
{
	lw_close(place->folder);
}

static int place_open(struct place *place, const char *path, struct lw_err *err)
{
	const char *slash = strrchr(path, '/');
	LW_AUTO(lw_free) char *folder = NULL;

	place->name = slash != NULL ? slash + 1 : path;
	folder = slash == NULL   ? lw_strdup(".")
		 : slash == path ? lw_strdup("/")
				 : lw_strndup(path, (size_t)(slash - path));
	place->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->folder < 0)
		return lw_err_sys(err, -errno, "no folder for the socket '%s'", path);
	return 0;
}

/* Always through /proc: one way for short and long paths is one way to test. */
static int place_address(const struct place *place, const char *name, struct sockaddr_un *ret_addr,
			 struct lw_err *err)
{
	int size;

	memset(ret_addr, 0, sizeof(*ret_addr));
	ret_addr->sun_family = AF_UNIX;
	size = snprintf(ret_addr->sun_path, sizeof(ret_addr->sun_path), "/proc/self/fd/%d/%s",
			place->folder, name);
	if (size < 0 || (size_t)size >= sizeof(ret_addr->sun_path))
		return lw_err_set(err, -ENAMETOOLONG, "the socket's name '%s' is too long", name);
	return 0;
}

static int dial_place(const struct place *place, struct lw_err *err)
{
	const struct timeval patience = { .tv_sec = DIAL_SECONDS };
	LW_AUTO(lw_close) int fd = -1;
	struct sockaddr_un addr;
	int r = place_address(place, place->name, &addr, err);
	int taken;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return lw_err_sys(err, -errno, "cannot make a socket");
	/* On a Unix socket this bounds connect() too. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return lw_err_sys(err, -errno, "cannot connect to '%s'", place->name);
	taken = fd;
	fd = -1;
	return taken;
}

int lw_socket_dial(const char *path, struct lw_err *err)
{
	__attribute__((cleanup(place_done))) struct place place = { .folder = -1 };
	int r = place_open(&place, path, err);

	if (r < 0)
		return r;
	r = dial_place(&place, NULL);
	if (r < 0)
		return lw_err_sys(err, r, "cannot connect to '%s'", path);
	return r;
}

/* What stands at the socket's name may be replaced only when it is a socket nobody serves. */
static int check_stale(const struct place *place, const char *path, struct lw_err *err)
{
	struct stat st;
	int fd;

	if (fstatat(place->folder, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return lw_err_sys(err, -errno, "cannot look at '%s'", path);
	}
	if (!S_ISSOCK(st.st_mode))
		return lw_err_set(err, -EEXIST, "'%s' is in the way and is no socket", path);
	fd = dial_place(place, NULL);
	if (fd < 0)
		return 0;
	lw_close(fd);
	return lw_err_set(err, -EADDRINUSE, "somebody serves '%s' already", path);
}

/* The mode of a bound socket is that of the descriptor less the umask, so it is never wider
 * than 0600, not even for a moment; rename shows it only when it listens. */
static int bind_at(int fd, const struct place *place, struct lw_err *err)
{
	LW_AUTO(lw_free) char *fresh = lw_format("%s.new", place->name);
	struct sockaddr_un addr;
	int r = place_address(place, fresh, &addr, err);

	if (r < 0)
		return r;
	(void)unlinkat(place->folder, fresh, 0);
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(place->folder, fresh, 0600, 0) < 0 || listen(fd, BACKLOG) < 0 ||
	    renameat(place->folder, fresh, place->folder, place->name) < 0)
		return lw_err_sys(err, -errno, "cannot make the socket '%s'", place->name);
	return 0;
}

int lw_socket_bind(const char *path, struct lw_err *err)
{
	__attribute__((cleanup(place_done))) struct place place = { .folder = -1 };
	LW_AUTO(lw_close) int fd = -1;
	int r = place_open(&place, path, err);
	int taken;

	if (r == 0)
		r = check_stale(&place, path, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return lw_err_sys(err, -errno, "cannot make a socket");
	r = bind_at(fd, &place, err);
	if (r < 0)
		return r;
	taken = fd;
	fd = -1;
	return taken;
}
