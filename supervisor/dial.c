/* dial.c - strangers become workers by a hello whose token fits. */
#include "dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lw_frame.h"
#include "lw_log.h"
#include "lw_proto.h"
#include "lw_statedir.h"

#define STRANGERS_MAX 1024
#define PAUSE         1000000  /* us until the next try when there is no descriptor left */
#define HELLO_WITHIN  10000000 /* us */

struct dial {
	struct app *app;
	char *path;
	int fd;
	struct event *accept_event;
	struct loop_timer pause; /* after a failure that does not go away by itself */
	struct stranger *strangers;
	size_t count;
};

struct stranger {
	struct dial *dial;
	struct stranger *next, **link;
	int fd;
	pid_t pid;
	struct event *read_event;
	struct loop_timer timer;
	struct lw_frames frames;
};

/* Its descriptor may have passed to a worker (-1 then). */
static void stranger_free(struct stranger *stranger)
{
	*stranger->link = stranger->next;
	if (stranger->next != NULL)
		stranger->next->link = stranger->link;
	stranger->dial->count--;
	event_free(stranger->read_event);
	loop_timer_done(&stranger->timer);
	lw_frames_done(&stranger->frames);
	lw_close(stranger->fd);
	free(stranger);
}

/* One line in the log, one message to the peer, and the connection is over. */
static void refuse(struct stranger *stranger, const char *reason)
{
	struct lw_msg msg = { .id = LW_MSG_REFUSE };
	LW_AUTO_BUF out = { 0 };

	lw_log(LW_LOG_WARNING, "pid=%d a connection was refused: %s", (int)stranger->pid, reason);
	msg.refuse.reason = (struct lw_slice){ (const uint8_t *)reason, strlen(reason) };
	lw_msg_encode(&out, &msg);
	(void)!send(stranger->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
	stranger_free(stranger);
}

static bool is_store(const struct dial *dial, struct lw_slice store)
{
	const char *ours = journal_store(dial->app->journal);

	return store.size == strlen(ours) && memcmp(store.data, ours, store.size) == 0;
}

static int introduce(struct stranger *stranger, const struct lw_msg_hello *hello,
		     struct lw_err *err)
{
	struct app *app = stranger->dial->app;
	struct worker *worker = NULL;
	int r;

	if (hello->version != LW_PROTO_VERSION)
		return lw_err_set(err, -EPROTO, "protocol version %llu, this is %d",
				  (unsigned long long)hello->version, LW_PROTO_VERSION);
	if (!is_store(stranger->dial, hello->store))
		return lw_err_set(err, -EPERM, "unknown store");
	if (hello->worker >= 1 && hello->worker <= app->worker_count)
		worker = app->workers[hello->worker - 1];
	if (worker == NULL)
		return lw_err_set(err, -EPERM, "no such worker");
	event_del(stranger->read_event);
	r = worker_dialled(worker, stranger->fd, &stranger->frames, hello, err);
	if (r < 0)
		return r;
	/* The worker has both now. */
	stranger->fd = -1;
	lw_frames_init(&stranger->frames, LW_FRAME_STRANGER);
	return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct stranger *stranger = context;
	struct lw_err err = { 0 };
	struct lw_slice body;
	struct lw_msg msg;
	int r = lw_frames_fill(&stranger->frames, fd);

	(void)what;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0) {
		stranger_free(stranger);
		return;
	}
	r = lw_frames_next(&stranger->frames, &body, &err);
	if (r == 0)
		return;
	if (r > 0)
		r = lw_msg_decode(body, LW_BY_WORKER, &msg, &err);
	if (r >= 0 && msg.id != LW_MSG_HELLO)
		r = lw_err_set(&err, -EPROTO, "no hello");
	if (r >= 0)
		r = introduce(stranger, &msg.hello, &err);
	if (r < 0)
		refuse(stranger, err.text);
	else
		stranger_free(stranger);
}

static void on_timer(struct loop_timer *timer)
{
	refuse(LW_OWNER(timer, struct stranger, timer), "no hello in time");
}

/* We or root may dial; the token says who it is. */
static bool may_dial(int fd, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	*ret_pid = peer.pid;
	return peer.uid == geteuid() || peer.uid == 0;
}

static void welcome_stranger(struct dial *dial, int fd, pid_t pid)
{
	struct stranger *stranger = LW_NEW(struct stranger);

	stranger->dial = dial;
	stranger->fd = fd;
	stranger->pid = pid;
	stranger->next = dial->strangers;
	stranger->link = &dial->strangers;
	if (dial->strangers != NULL)
		dial->strangers->link = &stranger->next;
	dial->strangers = stranger;
	dial->count++;
	lw_frames_init(&stranger->frames, LW_FRAME_STRANGER);
	loop_timer_init(&stranger->timer, dial->app->loop, on_timer);
	stranger->read_event = event_new(loop_base(dial->app->loop), fd, EV_READ | EV_PERSIST,
					 on_readable, stranger);
	if (stranger->read_event == NULL)
		lw_fatal("out of memory");
	event_add(stranger->read_event, NULL);
	loop_timer_set(&stranger->timer, HELLO_WITHIN);
	on_readable(fd, EV_READ, stranger); /* most send their hello at once */
}

static void on_accept(evutil_socket_t listener, short what, void *context)
{
	struct dial *dial = context;
	pid_t pid = 0;
	int fd;

	(void)what;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		pid = 0;
		if (!may_dial(fd, &pid) || dial->count >= STRANGERS_MAX) {
			lw_log(LW_LOG_WARNING, "pid=%d a connection was refused", (int)pid);
			lw_close(fd);
			continue;
		}
		welcome_stranger(dial, fd, pid);
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	lw_log(LW_LOG_ERROR, "cannot accept a worker: %s", strerror(errno));
	event_del(dial->accept_event);
	loop_timer_set(&dial->pause, PAUSE);
}

static void on_pause_over(struct loop_timer *timer)
{
	event_add(LW_OWNER(timer, struct dial, pause)->accept_event, NULL);
}

int dial_new(struct app *app, const char *path, struct dial **ret_dial, struct lw_err *err)
{
	int fd = lw_socket_bind(path, err);
	struct dial *dial;

	if (fd < 0)
		return fd;
	dial = LW_NEW(struct dial);
	dial->app = app;
	dial->path = lw_strdup(path);
	dial->fd = fd;
	dial->accept_event =
		event_new(loop_base(app->loop), fd, EV_READ | EV_PERSIST, on_accept, dial);
	if (dial->accept_event == NULL)
		lw_fatal("out of memory");
	event_add(dial->accept_event, NULL);
	loop_timer_init(&dial->pause, app->loop, on_pause_over);
	*ret_dial = dial;
	return 0;
}

void dial_free(struct dial *dial)
{
	if (dial == NULL)
		return;
	while (dial->strangers != NULL)
		stranger_free(dial->strangers);
	event_free(dial->accept_event);
	loop_timer_done(&dial->pause);
	lw_close(dial->fd);
	unlink(dial->path);
	free(dial->path);
	free(dial);
}
