/* notify.c - messages to the service manager, and its watchdog. See notify.h. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lw_log.h"

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t to_size;
	struct loop_timer watchdog;
	int64_t patience; /* us that the watchdog waits; 0: there is none */
};

/* "@name" is an abstract socket. 0 for what is neither that nor a path. */
static socklen_t make_address(const char *name, struct sockaddr_un *ret_to)
{
	size_t size = strlen(name);

	*ret_to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((name[0] != '@' && name[0] != '/') || size < 2 || size >= sizeof(ret_to->sun_path))
		return 0;
	memcpy(ret_to->sun_path, name, size);
	if (name[0] == '@')
		ret_to->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static int64_t watchdog_patience(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (us == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
		return 0;
	return strtoll(us, NULL, 10);
}

static void tell(const struct notify *notify, const char *text)
{
	if (sendto(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&notify->to, notify->to_size) < 0)
		lw_log(LW_LOG_WARNING, "NOTIFY_SOCKET: %s", strerror(errno));
}

static void on_watchdog(struct loop_timer *timer)
{
	const struct notify *notify = LW_OWNER(timer, struct notify, watchdog);

	tell(notify, "WATCHDOG=1");
	loop_timer_set(timer, notify->patience / 2);
}

static void forget_variables(void)
{
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

struct notify *notify_new(struct loop *loop)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct notify *notify = NULL;
	struct sockaddr_un to;
	socklen_t size = name != NULL ? make_address(name, &to) : 0;
	int fd = size > 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

	if (name != NULL && fd < 0)
		lw_log(LW_LOG_WARNING, "NOTIFY_SOCKET=%s cannot be used: %s", name,
		       size == 0 ? "it is neither a path nor @ and a name" : strerror(errno));
	if (fd >= 0) {
		notify = LW_NEW(struct notify);
		notify->fd = fd;
		notify->to = to;
		notify->to_size = size;
		notify->patience = watchdog_patience();
		loop_timer_init(&notify->watchdog, loop, on_watchdog);
	}
	forget_variables();
	return notify;
}

void notify_free(struct notify *notify)
{
	if (notify == NULL)
		return;
	loop_timer_done(&notify->watchdog);
	lw_close(notify->fd);
	free(notify);
}

/* One line, whatever the sentence holds. */
static void tell_with(const struct notify *notify, const char *what, const char *status)
{
	char text[512];
	int size = snprintf(text, sizeof(text), "%s\nSTATUS=", what);

	for (; *status != '\0' && size < (int)sizeof(text) - 1; status++)
		text[size++] = (char)(*status == '\n' ? ' ' : *status);
	text[size] = '\0';
	tell(notify, text);
}

void notify_ready(struct notify *notify, const char *status, int64_t longest)
{
	int64_t patience;
	char text[80];

	if (notify == NULL)
		return;
	if (notify->patience <= 0) {
		tell_with(notify, "READY=1", status);
		return;
	}
	patience = notify->patience + (notify->patience < longest ? longest : 0);
	snprintf(text, sizeof(text), "READY=1\nWATCHDOG_USEC=%lld", (long long)patience);
	tell_with(notify, text, status);
	if (!loop_timer_pending(&notify->watchdog))
		on_watchdog(&notify->watchdog);
}

/* The manager takes the READY that follows for the end of this reload by its time. */
void notify_reloading(struct notify *notify)
{
	char text[80];

	if (notify == NULL)
		return;
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)loop_clock());
	tell_with(notify, text, "reloading");
}

void notify_stopping(struct notify *notify, const char *status)
{
	if (notify != NULL)
		tell_with(notify, "STOPPING=1", status);
}
