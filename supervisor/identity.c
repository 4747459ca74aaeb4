/* identity.c - names of users and groups into ids, once. See identity.h. */
#include "identity.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define GROUPS_FIRST 32
#define GROUPS_MOST  65536 /* NGROUPS_MAX of Linux */

/* The largest id is none: to the system calls it means "stays". */
static int parse_id(const char *text, uint32_t *ret_id)
{
	char *end;
	unsigned long long number;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end != '\0' || errno != 0 || number >= UINT32_MAX)
		return -EINVAL;
	*ret_id = (uint32_t)number;
	return 0;
}

/* getpwnam(3) tells "there is none" by one of these, or by nothing. */
static bool is_absence(int code)
{
	return code == 0 || code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

static int not_found(const char *option, const char *name, int code, struct lw_err *err)
{
	if (is_absence(code))
		return lw_err_set(err, -EINVAL, "option '%s': no %s '%s'", option, option, name);
	return lw_err_sys(err, -code, "option '%s': cannot look up '%s'", option, name);
}

/* A name before a number: there may be a user who is called 1000. */
static int find_user(const char *user, const struct passwd **ret_entry, uid_t *ret_uid,
		     struct lw_err *err)
{
	const struct passwd *entry;
	uid_t uid = (uid_t)-1;
	int code;

	errno = 0;
	entry = getpwnam(user);
	code = errno;
	if (entry == NULL && is_absence(code) && parse_id(user, &uid) == 0) {
		errno = 0;
		entry = getpwuid(uid);
		code = errno;
	}
	if (entry == NULL && (uid == (uid_t)-1 || !is_absence(code)))
		return not_found("user", user, code, err);
	*ret_entry = entry; /* NULL: an id needs no name */
	*ret_uid = entry != NULL ? entry->pw_uid : uid;
	return 0;
}

static int find_group(const char *group, gid_t *ret_gid, struct lw_err *err)
{
	const struct group *entry;
	int code;

	errno = 0;
	entry = getgrnam(group);
	code = errno;
	if (entry != NULL)
		*ret_gid = entry->gr_gid;
	else if (!is_absence(code) || parse_id(group, ret_gid) < 0)
		return not_found("group", group, code, err);
	return 0;
}

/* The groups of a user, `gid` among them. */
static void find_groups(struct identity *identity, const char *user)
{
	int room = GROUPS_FIRST, count = room;

	identity->groups = lw_alloc((size_t)room * sizeof(gid_t));
	while (getgrouplist(user, identity->as.gid, identity->groups, &count) < 0 &&
	       room < GROUPS_MOST) {
		room = count > room ? count : room * 2;
		count = room;
		identity->groups = lw_realloc(identity->groups, (size_t)room * sizeof(gid_t));
	}
	identity->as.groups = identity->groups;
	identity->as.group_count = (size_t)(count < room ? count : room);
}

/* Its home is "/" and its name the number when nobody knows it. */
static int take_user(struct identity *identity, const char *user, const char *group,
		     struct lw_err *err)
{
	const struct passwd *entry = NULL;
	int r = find_user(user, &entry, &identity->as.uid, err);

	if (r < 0)
		return r;
	if (entry == NULL && group == NULL)
		return lw_err_set(err, -EINVAL,
				  "option 'user': '%s' has no entry that says its group; give "
				  "'group' too",
				  user);
	identity->user = lw_strdup(entry != NULL ? entry->pw_name : user);
	identity->home = lw_strdup(entry != NULL ? entry->pw_dir : "/");
	if (group == NULL)
		identity->as.gid = entry->pw_gid;
	find_groups(identity, identity->user);
	return 0;
}

int identity_find(const char *user, const char *group, struct identity **ret_identity,
		  struct lw_err *err)
{
	LW_AUTO(identity_free) struct identity *identity = LW_NEW(struct identity);
	int r = 0;

	identity->as.uid = (uid_t)-1;
	if (group != NULL)
		r = find_group(group, &identity->as.gid, err);
	if (r >= 0 && user != NULL)
		r = take_user(identity, user, group, err);
	if (r < 0)
		return r;
	identity->name =
		user != NULL ? lw_format("user '%s'", user) : lw_format("group '%s'", group);
	identity->as.name = identity->name;
	*ret_identity = LW_TAKE(identity);
	return 0;
}

void identity_free(struct identity *identity)
{
	if (identity == NULL)
		return;
	lw_free(identity->name);
	lw_free(identity->groups);
	lw_free(identity->user);
	lw_free(identity->home);
	lw_free(identity);
}

uid_t identity_uid(const struct identity *identity)
{
	return identity == NULL || identity->as.uid == (uid_t)-1 ? geteuid() : identity->as.uid;
}

void identity_own(const struct identity *identity, const int *fds, size_t count)
{
	if (identity_uid(identity) == geteuid())
		return;
	for (size_t i = 0; i < count; i++)
		(void)!fchown(fds[i], identity->as.uid, (gid_t)-1);
}
