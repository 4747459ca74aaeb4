/* dial.c - strangers become workers by a hello whose token fits. */
#include "dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lw_frame.h"
#include "lw_log.h"
#include "lw_proto.h"
#include "lw_statedir.h"
#include "rundir.h"

#define STRANGERS_MAX 1024
#define OTHERS_MAX    256      /* of them of other users: these cannot keep ours out */
#define PAUSE         1000000  /* us until the next try when there is no descriptor left */
#define HELLO_WITHIN  10000000 /* us */

struct listener {
	struct dial *dial;
	char *path;
	int fd; /* -1: not open */
	struct event *accept_event;
	struct loop_timer pause; /* after a failure that does not go away by itself */
};

struct dial {
	struct app *app;
	struct listener ours, others;
	char *run_dir; /* of `others` */
	struct stranger *strangers;
	size_t count, other_count;
};

struct stranger {
	struct dial *dial;
	struct stranger *next, **link;
	int fd;
	struct ucred peer;
	struct event *read_event;
	struct loop_timer timer;
	struct lw_frames frames;
};

/* We and root may be anybody. */
static bool is_trusted(uid_t uid)
{
	return uid == geteuid() || uid == 0;
}

/* Its descriptor may have passed to a worker (-1 then). */
static void stranger_free(struct stranger *stranger)
{
	*stranger->link = stranger->next;
	if (stranger->next != NULL)
		stranger->next->link = stranger->link;
	stranger->dial->count--;
	stranger->dial->other_count -= is_trusted(stranger->peer.uid) ? 0 : 1;
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

	lw_log(LW_LOG_WARNING, "pid=%d a connection was refused: %s", (int)stranger->peer.pid,
	       reason);
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
	if (!is_trusted(stranger->peer.uid) && stranger->peer.uid != worker_uid(worker))
		return lw_err_set(err, -EPERM, "that worker is another user's");
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

static bool is_expected(const struct app *app, uid_t uid)
{
	for (size_t i = 0; i < app->work_count; i++)
		if (identity_uid(app->works[i]->config->identity) == uid)
			return true;
	return false;
}

/* The token says who it is; but whom no work runs as need not try. */
static bool may_dial(const struct dial *dial, int fd, struct ucred *ret_peer)
{
	socklen_t size = sizeof(*ret_peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0)
		return false;
	if (dial->count >= STRANGERS_MAX)
		return false;
	return is_trusted(ret_peer->uid) ||
	       (dial->other_count < OTHERS_MAX && is_expected(dial->app, ret_peer->uid));
}

static void welcome_stranger(struct dial *dial, int fd, const struct ucred *peer)
{
	struct stranger *stranger = LW_NEW(struct stranger);

	stranger->dial = dial;
	stranger->fd = fd;
	stranger->peer = *peer;
	stranger->next = dial->strangers;
	stranger->link = &dial->strangers;
	if (dial->strangers != NULL)
		dial->strangers->link = &stranger->next;
	dial->strangers = stranger;
	dial->count++;
	dial->other_count += is_trusted(peer->uid) ? 0 : 1;
	lw_frames_init(&stranger->frames, LW_FRAME_STRANGER);
	loop_timer_init(&stranger->timer, dial->app->loop, on_timer);
	stranger->read_event = event_new(loop_base(dial->app->loop), fd, EV_READ | EV_PERSIST,
					 on_readable, stranger);
	if (stranger->read_event == NULL)
		lw_fatal("out of memory");
	loop_watch(stranger->read_event);
	loop_timer_set(&stranger->timer, HELLO_WITHIN);
	on_readable(fd, EV_READ, stranger); /* most send their hello at once */
}

static void on_accept(evutil_socket_t listening, short what, void *context)
{
	struct listener *listener = context;
	int fd;

	(void)what;
	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct ucred peer = { 0 };

		if (!may_dial(listener->dial, fd, &peer)) {
			lw_log(LW_LOG_WARNING, "pid=%d uid=%u a connection was refused",
			       (int)peer.pid, (unsigned)peer.uid);
			lw_close(fd);
			continue;
		}
		welcome_stranger(listener->dial, fd, &peer);
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	lw_log(LW_LOG_ERROR, "cannot accept a worker: %s", strerror(errno));
	event_del(listener->accept_event);
	loop_timer_set(&listener->pause, PAUSE);
}

static void on_pause_over(struct loop_timer *timer)
{
	loop_watch(LW_OWNER(timer, struct listener, pause)->accept_event);
}

/* ---- the sockets ------------------------------------------------------------------------ */

static int listener_open(struct dial *dial, const char *path, struct listener *listener,
			 struct lw_err *err)
{
	int fd = lw_socket_bind(path, err);

	if (fd < 0)
		return fd;
	listener->dial = dial;
	listener->path = lw_strdup(path);
	listener->fd = fd;
	listener->accept_event = event_new(loop_base(dial->app->loop), fd, EV_READ | EV_PERSIST,
					   on_accept, listener);
	if (listener->accept_event == NULL)
		lw_fatal("out of memory");
	loop_watch(listener->accept_event);
	loop_timer_init(&listener->pause, dial->app->loop, on_pause_over);
	return 0;
}

static void listener_close(struct listener *listener, bool remove)
{
	if (listener->fd < 0)
		return;
	event_free(listener->accept_event);
	loop_timer_done(&listener->pause);
	lw_close(listener->fd);
	listener->fd = -1;
	if (remove)
		unlink(listener->path);
	free(listener->path);
}

/* In a folder that is ours alone to write, so that what we open to all is our socket. */
static int open_others(struct dial *dial, struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/worker.sock", dial->run_dir);
	int r = listener_open(dial, path, &dial->others, err);

	if (r < 0)
		return r;
	if (chmod(path, 0666) < 0) {
		r = lw_err_sys(err, -errno, "cannot open '%s' to other users", path);
		listener_close(&dial->others, true);
	}
	return r;
}

/* Workers that an earlier supervisor left may dial there any time. */
static void open_others_again(struct dial *dial)
{
	struct lw_err err = { 0 };
	int r;

	if (dial->app->state_dir == NULL)
		return;
	r = rundir_again(dial->app->state_dir, &dial->run_dir, &err);
	if (r >= 0)
		r = open_others(dial, &err);
	if (r < 0 && r != -ENOENT)
		lw_log(LW_LOG_WARNING, "workers of other users cannot come back: %s", err.text);
}

int dial_for_others(struct dial *dial, const char **ret_path, struct lw_err *err)
{
	int r = 0;

	if (dial->run_dir == NULL)
		r = rundir_make(dial->app->state_dir, &dial->run_dir, err);
	if (r >= 0 && dial->others.fd < 0)
		r = open_others(dial, err);
	if (r >= 0)
		*ret_path = dial->others.path;
	return r;
}

int dial_new(struct app *app, const char *path, struct dial **ret_dial, struct lw_err *err)
{
	struct dial *dial = LW_NEW(struct dial);
	int r;

	dial->app = app;
	dial->ours.fd = dial->others.fd = -1;
	r = listener_open(dial, path, &dial->ours, err);
	if (r < 0) {
		free(dial);
		return r;
	}
	open_others_again(dial);
	*ret_dial = dial;
	return 0;
}

/* Whoever lives on dials again where it always did. */
static bool nobody_lives_on(const struct app *app)
{
	for (size_t i = 0; i < app->worker_count; i++)
		if (app->workers[i] != NULL && worker_has_process(app->workers[i]))
			return false;
	return true;
}

void dial_free(struct dial *dial)
{
	bool remove;

	if (dial == NULL)
		return;
	remove = nobody_lives_on(dial->app);
	while (dial->strangers != NULL)
		stranger_free(dial->strangers);
	listener_close(&dial->ours, true);
	listener_close(&dial->others, remove);
	if (remove && dial->run_dir != NULL)
		rundir_remove(dial->app->state_dir, dial->run_dir);
	free(dial->run_dir);
	free(dial);
}
