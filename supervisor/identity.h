/* identity.h - who the process of a work is: its options user and group, looked up.
 *
 * Looked up once, when app.conf (or work() within a pass) is read, as the child cannot and the
 * loop must not wait for a directory of users. Owned by the work's settings. NULL stands for "as
 * we are" everywhere.
 */
#ifndef LW_SUPERVISOR_IDENTITY_H
#define LW_SUPERVISOR_IDENTITY_H

#include "lw_err.h"
#include "lw_spawn.h"

struct identity {
	struct lw_spawn_as as;
	char *name; /* as.name */
	gid_t *groups;
	char *user; /* its name, or id where it has none; NULL: only the group is another */
	char *home;
};

/* Names or ids; one of the two may be NULL. -EINVAL and "option 'user': no user 'x'". */
LW_MUST_USE int identity_find(const char *user, const char *group, struct identity **ret_identity,
			      struct lw_err *err);
void identity_free(struct identity *identity); /* NULL is welcome */
LW_AUTO_DEFINE(struct identity *, identity_free)

/* What its process runs as. */
uid_t identity_uid(const struct identity *identity);

/* Lets it open by name (/dev/stdout) what it is given. No harm when we may not: what is open
 * works. */
void identity_own(const struct identity *identity, const int *fds, size_t count);

#endif
