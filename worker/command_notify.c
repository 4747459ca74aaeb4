/* command_notify.c - the NOTIFY_SOCKET of a command, for sd_notify(3) and its like; see command.h.
 * Owned by command.c, which polls it.
 *
 * It is ours and not the supervisor's, so that nothing is lost while there is no supervisor. Its name
 * is an abstract one that the kernel draws: it needs no folder and goes with us. Anybody on the
 * machine can find and write to it, so the kernel's word on who did decides: a process below us
 * (we are the sub-reaper of all of them), or one of our user that has ended already.
 */
#include "command.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lw_tree.h"

#define MESSAGE_MAX 4096
#define DEPTH_MAX   1000 /* processes between the sender and us */

int notify_open(char **ret_variable)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(name.sun_family); /* nothing more: the kernel draws a name */
	LW_AUTO(lw_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int taken;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&name, size) < 0)
		return -errno;
	size = sizeof(name);
	if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
		return -errno;
	size -= (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1; /* behind the leading NUL */
	*ret_variable = lw_format("NOTIFY_SOCKET=@%.*s", (int)size, name.sun_path + 1);
	taken = fd;
	fd = -1;
	return taken;
}

static bool stems_from_us(const struct ucred *sender)
{
	pid_t self = getpid(), pid = sender->pid, parent = lw_proc_parent(pid);

	if (parent == 0) /* it has ended */
		return sender->uid == getuid();
	for (size_t i = 0; i < DEPTH_MAX && pid > 1 && pid != self; i++)
		pid = lw_proc_parent(pid);
	return pid == self;
}

/* The last assignment that tells counts. */
static enum notify_said meaning(const char *text)
{
	static const struct {
		const char *line;
		enum notify_said said;
	} words[] = {
		{ "READY=1", NOTIFY_READY },
		{ "RELOADING=1", NOTIFY_UNREADY },
		{ "STOPPING=1", NOTIFY_UNREADY },
	};
	enum notify_said said = NOTIFY_OTHER;

	while (*text != '\0') {
		size_t size = strcspn(text, "\n");

		for (size_t i = 0; i < LW_COUNT(words); i++)
			if (size == strlen(words[i].line) && memcmp(text, words[i].line, size) == 0)
				said = words[i].said;
		text += size + (text[size] == '\n');
	}
	return said;
}

/* Descriptors that come along (BARRIER=1) are closed by the kernel, as there is no room for them:
 * that is the answer their sender waits for. */
enum notify_said notify_read(int fd, pid_t *ret_pid)
{
	char text[MESSAGE_MAX + 1];
	struct iovec bytes = { text, MESSAGE_MAX };
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr head;
	} control;
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size = fd < 0 ? -1 : recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = size < 0 ? NULL : CMSG_FIRSTHDR(&message);
	struct ucred sender;

	if (size < 0)
		return NOTIFY_NONE;
	if (head == NULL || head->cmsg_type != SCM_CREDENTIALS)
		return NOTIFY_OTHER;
	memcpy(&sender, CMSG_DATA(head), sizeof(sender));
	*ret_pid = sender.pid;
	if (!stems_from_us(&sender))
		return NOTIFY_STRANGER;
	text[size] = '\0';
	return meaning(text);
}
