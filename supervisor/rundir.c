/* rundir.c - a run directory: drawn, remembered, found again, removed. See rundir.h. */
#include "rundir.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0711 /* others get through, and see nothing */

static const char *const bases[] = { "/run/lw", "/tmp" };

static char *link_of(const char *state_dir)
{
	return lw_format("%s/run", state_dir);
}

/* Only we can put something in it. */
static bool is_ours(const char *path)
{
	struct stat about;

	return lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && about.st_uid == geteuid() &&
	       (about.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* True when others get through it. */
static bool make_first_base(void)
{
	struct stat about;

	if (mkdir(bases[0], MODE) == 0)
		(void)chmod(bases[0], MODE); /* whatever our umask is */
	return stat(bases[0], &about) == 0 && (about.st_mode & S_IXOTH) != 0;
}

int rundir_again(const char *state_dir, char **ret_path, struct lw_err *err)
{
	LW_AUTO(lw_free) char *link = link_of(state_dir);
	char path[PATH_MAX];
	ssize_t size = readlink(link, path, sizeof(path) - 1);

	if (size < 0)
		return lw_err_sys(err, -errno, "no run directory is remembered in '%s'", link);
	path[size] = '\0';
	(void)make_first_base(); /* perhaps it is in there, and the machine was started anew */
	if ((mkdir(path, MODE) < 0 && errno != EEXIST) || !is_ours(path) || chmod(path, MODE) < 0) {
		(void)unlink(link);
		return lw_err_set(err, -ENOENT, "the run directory '%s' is not ours any more",
				  path);
	}
	*ret_path = lw_strdup(path);
	return 0;
}

/* NULL: not there. */
static char *draw(const char *base)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/lw-XXXXXX", base);

	if (mkdtemp(path) == NULL)
		return NULL;
	if (chmod(path, MODE) < 0) {
		(void)rmdir(path);
		return NULL;
	}
	return LW_TAKE(path);
}

int rundir_make(const char *state_dir, char **ret_path, struct lw_err *err)
{
	LW_AUTO(lw_free) char *link = link_of(state_dir);
	LW_AUTO(lw_free) char *path = make_first_base() ? draw(bases[0]) : NULL;
	int r;

	if (path == NULL)
		path = draw(bases[1]);
	if (path == NULL)
		return lw_err_sys(err, -errno, "cannot make a run directory in '%s'", bases[1]);
	(void)unlink(link);
	if (symlink(path, link) < 0) {
		r = lw_err_sys(err, -errno, "cannot make '%s'", link);
		(void)rmdir(path);
		return r;
	}
	*ret_path = LW_TAKE(path);
	return 0;
}

void rundir_remove(const char *state_dir, const char *path)
{
	LW_AUTO(lw_free) char *link = link_of(state_dir);

	(void)rmdir(path);
	(void)unlink(link);
}
