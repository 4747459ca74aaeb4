/* http.c - clients of control.sock and of the view: one request at a time, its reply.
 *
 * Each listener is owned by the supervisor, or by view.c. A client is: reading a request (its
 * deadline runs), or having one in hand with api.c, or being sent a reply; then it reads again or
 * is closed.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "http.h"
#include "lw_log.h"
#include "lw_statedir.h"

#define READ_AHEAD    ((size_t)64 << 10) /* kept of a client whose request is in hand */
#define KEEP_ROOM     ((size_t)64 << 10) /* of a client's buffers between requests */
#define WRITE_SECONDS 10                 /* for a client that takes nothing */
#define WRITE_TURN                                                                                 \
	((size_t)1 << 20) /* written at a time: a status of thousands of works in few turns */
#define ACCEPT_TURN  64   /* accepted at a time: a flood of clients does not hold up the turn */
#define ACCEPT_PAUSE INT64_C(100000) /* when no descriptor is left */

struct http_client {
	struct http *http;
	struct http_client *next, **link;
	struct bufferevent *bev;
	struct loop_timer deadline;
	struct lw_buf in;   /* read, not yet taken */
	size_t seen;        /* of `in`, in search of the head's end */
	struct lw_buf body; /* of a chunked request */
	size_t head_size;   /* 0: the head is not read yet */
	bool has_request;   /* with api.c */
	bool streaming;     /* and the answer has begun */
	bool closing;       /* when the output has left */
	bool over;          /* retired */
	bool noted;         /* see struct http_request */
	struct http_peer peer;
	struct http_request request;
};

struct http {
	struct app *app;
	const struct http_door *door;
	char *path; /* of control.sock; else NULL */
	int fd;
	struct event *accept;
	struct loop_timer pause;
	struct http_client *clients;
	size_t count;
	int64_t deadline;
};

size_t http_client_count(const struct http *http)
{
	return http->count;
}

void http_set_deadline(struct http *http, int64_t us)
{
	http->deadline = us;
}

/* ---- the end of a client ------------------------------------------------------------ */

static void client_free(void *object)
{
	struct http_client *client = object;

	loop_timer_done(&client->deadline);
	bufferevent_free(client->bev);
	http_head_done(&client->request.head);
	lw_buf_done(&client->in);
	lw_buf_done(&client->body);
	lw_free(client);
}

static void unhook(struct http_client *client)
{
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	client->http->count--;
	client->over = true;
}

static void tell_gone(struct http_client *client, bool server_closes)
{
	if (!client->has_request)
		return;
	if (client->request.gone != NULL)
		client->request.gone(&client->request, server_closes);
	client->has_request = false;
}

static void client_close(struct http_client *client)
{
	if (client->over)
		return;
	tell_gone(client, false);
	unhook(client);
	loop_timer_stop(&client->deadline);
	(void)bufferevent_disable(client->bev, EV_READ | EV_WRITE);
	loop_retire(client->http->app->loop, client, client_free);
}

static size_t unsent(const struct http_client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->bev));
}

/* ---- replies ------------------------------------------------------------------------ */

static void free_bytes(const void *bytes, size_t size, void *context)
{
	(void)size;
	(void)context;
	/* evbuffer hands back what lw_buf allocated */
	lw_free((void *)(uintptr_t)bytes);
}

static void end_request(struct http_client *client)
{
	client->streaming = false;
	http_head_done(&client->request.head);
	client->request = (struct http_request){ 0 };
	client->has_request = false;
	client->head_size = 0;
	client->seen = 0;
	client->body.size = 0;
	lw_buf_shrink(&client->body, KEEP_ROOM);
}

static void send_reply(struct http_client *client, const struct http_answer *answer,
		       struct lw_buf *out)
{
	struct evbuffer *to = bufferevent_get_output(client->bev);
	const char *method = client->request.head.method;
	bool has_body = method == NULL || strcmp(method, "HEAD") != 0;

	evbuffer_add_printf(to,
			    "HTTP/1.1 %d %s\r\nCache-Control: %s\r\n"
			    "X-Content-Type-Options: nosniff\r\n",
			    answer->status, http_status_text(answer->status),
			    answer->cache != NULL ? answer->cache : "no-store");
	if (answer->status != 304) /* is without a body, and says nothing of it */
		evbuffer_add_printf(to, "Content-Type: %s\r\nContent-Length: %zu\r\n",
				    answer->type != NULL ? answer->type : "application/json",
				    out->size);
	evbuffer_add_printf(to, "%s%s\r\n", answer->headers != NULL ? answer->headers : "",
			    client->closing ? "Connection: close\r\n" : "");
	if (has_body && out->size > 0 &&
	    evbuffer_add_reference(to, out->data, out->size, free_bytes, NULL) == 0)
		*out = (struct lw_buf){ 0 }; /* handed over */
	lw_buf_done(out);
}

void http_reply(struct http_request *request, const struct http_answer *answer, struct lw_buf *out)
{
	struct http_client *client = request->client;

	if (!request->head.keep_alive)
		client->closing = true;
	client->noted = request->noted;
	send_reply(client, answer, out);
	end_request(client);
}

/* ---- an answer in parts --------------------------------------------------------------- */

void http_stream(struct http_request *request, const char *content_type)
{
	struct http_client *client = request->client;
	bool chunked = request->head.takes_chunks;

	client->streaming = true;
	client->closing = !request->head.keep_alive || !chunked;
	evbuffer_add_printf(bufferevent_get_output(client->bev),
			    "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
			    "X-Content-Type-Options: nosniff\r\n%s%s\r\n",
			    content_type, chunked ? "Transfer-Encoding: chunked\r\n" : "",
			    client->closing ? "Connection: close\r\n" : "");
}

void http_send(struct http_request *request, const void *bytes, size_t size)
{
	struct evbuffer *to = bufferevent_get_output(request->client->bev);

	if (size == 0) /* would be the end */
		return;
	if (unsent(request->client) > HTTP_UNSENT_MAX) { /* later: the sender is not done */
		if (!request->client->over)
			bufferevent_trigger_event(request->client->bev, BEV_EVENT_ERROR,
						  BEV_TRIG_DEFER_CALLBACKS);
		return;
	}
	if (request->head.takes_chunks)
		evbuffer_add_printf(to, "%zx\r\n", size);
	(void)evbuffer_add(to, bytes, size);
	if (request->head.takes_chunks)
		(void)evbuffer_add(to, "\r\n", 2);
}

size_t http_unsent(const struct http_request *request)
{
	return unsent(request->client);
}

void http_end(struct http_request *request)
{
	struct http_client *client = request->client;

	if (request->head.takes_chunks)
		(void)evbuffer_add(bufferevent_get_output(client->bev), "0\r\n\r\n", 5);
	end_request(client);
	if (unsent(client) == 0 && !client->over) /* what was sent has left: nobody will tell */
		(void)bufferevent_trigger(client->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

/* The request cannot be understood: the last thing this client hears. */
static void refuse(struct http_client *client, int status, const struct lw_err *err)
{
	LW_AUTO_BUF out = { 0 };

	client->closing = true;
	loop_timer_stop(&client->deadline);
	api_error_body(&out, "bad_request", err->text, NULL);
	send_reply(client, &(struct http_answer){ .status = status }, &out);
	client->in.size = 0;
}

/* ---- requests ----------------------------------------------------------------------- */

/* Who may not ask need not be listened to either: 20 MiB of each of 256 clients. */
static void refuse_body(const struct http_client *client, struct http_head *head)
{
	const struct http_door *door = client->http->door;

	if ((head->length == 0 && !head->chunked) || door->hears == NULL ||
	    door->hears(client->http->app, head))
		return;
	head->length = 0;
	head->chunked = head->expects = head->keep_alive = false;
}

/* 1: the head is read, 0: not whole. */
static int read_head(struct http_client *client, struct lw_err *err)
{
	struct http_request *request = &client->request;
	int r;

	if (client->head_size > 0)
		return 1;
	r = http_parse_head(lw_buf_slice(&client->in), &client->seen, &request->head, err);
	if (r <= 0)
		return r;
	client->head_size = (size_t)r;
	refuse_body(client, &request->head);
	if (request->head.expects)
		(void)bufferevent_write(client->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	if (request->head.chunked)
		lw_buf_cut(&client->in, client->head_size);
	return 1;
}

static int read_body(struct http_client *client, struct lw_err *err)
{
	struct http_head *head = &client->request.head;
	size_t at = 0;
	int r;

	if (!head->chunked) {
		client->request.body =
			(struct lw_slice){ client->in.data + client->head_size, head->length };
		return client->in.size - client->head_size >= head->length;
	}
	r = http_parse_chunks(lw_buf_slice(&client->in), &at, &client->body, err);
	lw_buf_cut(&client->in, at);
	client->request.body = lw_buf_slice(&client->body);
	return r;
}

static void serve(struct http_client *client)
{
	struct http_request *request = &client->request;
	/* `in` holds the body until the request is answered, which may be later. */
	size_t used = request->head.chunked ? 0 : client->head_size + request->head.length;

	loop_timer_stop(&client->deadline);
	request->client = client;
	request->app = client->http->app;
	request->peer = client->peer;
	request->noted = client->noted;
	client->has_request = true;
	client->http->door->serve(request);
	if (client->over)
		return;
	request->body = (struct lw_slice){ 0 };
	lw_buf_cut(&client->in, used);
	if (client->in.size == 0)
		lw_buf_shrink(&client->in, KEEP_ROOM);
}

static void pull(struct http_client *client)
{
	struct evbuffer *from = bufferevent_get_input(client->bev);
	size_t size = evbuffer_get_length(from);

	if (size == 0)
		return;
	lw_buf_grow(&client->in, size);
	size = (size_t)evbuffer_remove(from, client->in.data + client->in.size, size);
	client->in.size += size;
}

/* Takes the next request when the last one is answered and its reply has left. */
static void client_step(struct http_client *client)
{
	struct lw_err err = { 0 };
	int r;

	if (client->over || client->closing || client->has_request || unsent(client) > 0)
		return;
	pull(client);
	r = read_head(client, &err);
	if (r > 0)
		r = read_body(client, &err);
	if (r < 0)
		refuse(client, -r, &err);
	else if (r > 0)
		serve(client);
}

/* ---- events of a client --------------------------------------------------------------- */

static void on_read(struct bufferevent *bev, void *context)
{
	struct http_client *client = context;

	if (client->closing)
		(void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
	client_step(client);
}

static void on_written(struct bufferevent *bev, void *context)
{
	struct http_client *client = context;

	(void)bev;
	if (!client->over && client->streaming && client->request.drained != NULL)
		client->request.drained(&client->request);
	if (client->over || client->has_request || unsent(client) > 0)
		return;
	if (client->closing) {
		client_close(client);
		return;
	}
	if (client->head_size == 0) /* not after "100 Continue" */
		loop_timer_set(&client->deadline, client->http->deadline);
	client_step(client);
}

/* A client that shut down its side gets the reply that is on its way; one that waits for a
 * reply is gone. */
static void on_event(struct bufferevent *bev, short what, void *context)
{
	struct http_client *client = context;

	(void)bev;
	if ((what & BEV_EVENT_EOF) != 0 && !client->has_request && unsent(client) > 0)
		client->closing = true;
	else
		client_close(client);
}

static void on_deadline(struct loop_timer *timer)
{
	struct http_client *client = LW_OWNER(timer, struct http_client, deadline);
	struct lw_err err = { 0 };

	if (client->in.size == 0 && client->head_size == 0) {
		client_close(client); /* said nothing */
		return;
	}
	lw_err_set(&err, -400, "the request was not whole within %.3g s",
		   (double)client->http->deadline / 1e6);
	refuse(client, 400, &err);
}

/* ---- accepting ------------------------------------------------------------------------ */

static void turn_away(int fd, int status, const char *code, const char *sentence)
{
	LW_AUTO_BUF body = { 0 };
	LW_AUTO_BUF out = { 0 };

	api_error_body(&body, code, sentence, NULL);
	lw_buf_printf(&out,
		      "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
		      "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		      status, http_status_text(status), body.size);
	lw_buf_add(&out, body.data, body.size);
	/* Fits the socket's buffer; whoever does not read it has lost nothing. */
	(void)!send(fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
	lw_close(fd);
}

static void client_new(struct http *http, int fd, const struct http_peer *peer)
{
	static const struct timeval patience = { .tv_sec = WRITE_SECONDS };
	struct http_client *client = LW_NEW(struct http_client);

	client->http = http;
	client->peer = *peer;
	client->bev = bufferevent_socket_new(loop_base(http->app->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (client->bev == NULL)
		lw_fatal("out of memory");
	(void)bufferevent_priority_set(client->bev, LOOP_IO);
	(void)bufferevent_set_max_single_write(client->bev, WRITE_TURN);
	bufferevent_setcb(client->bev, on_read, on_written, on_event, client);
	bufferevent_setwatermark(client->bev, EV_READ, 0, READ_AHEAD);
	(void)bufferevent_set_timeouts(client->bev, NULL, &patience);
	loop_timer_init(&client->deadline, http->app->loop, on_deadline);
	loop_timer_set(&client->deadline, client->http->deadline);
	client->next = http->clients;
	client->link = &http->clients;
	if (client->next != NULL)
		client->next->link = &client->next;
	http->clients = client;
	http->count++;
	(void)bufferevent_enable(client->bev, EV_READ | EV_WRITE);
}

static void admit(struct http *http, int fd)
{
	struct http_peer peer = { 0 };
	struct lw_err err;
	int r = http->door->admit(fd, &peer, &err);

	if (r < 0)
		turn_away(fd, -r, "forbidden", err.text);
	else if (http->count >= http->door->most)
		turn_away(fd, 503, "too_many_clients", "too many clients are connected");
	else
		client_new(http, fd, &peer);
}

static void on_accept(evutil_socket_t listener, short what, void *context)
{
	struct http *http = context;
	int fd;

	(void)what;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		admit(http, fd);
	}
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		(void)event_del(http->accept);
		loop_timer_set(&http->pause, ACCEPT_PAUSE);
	}
}

static void on_pause_over(struct loop_timer *timer)
{
	struct http *http = LW_OWNER(timer, struct http, pause);

	loop_watch(http->accept);
}

struct http *http_listen(struct app *app, const struct http_door *door, int take_fd)
{
	struct http *http = LW_NEW(struct http);

	http->app = app;
	http->door = door;
	http->fd = take_fd;
	http->deadline = HTTP_DEADLINE_US;
	http->accept =
		event_new(loop_base(app->loop), take_fd, EV_READ | EV_PERSIST, on_accept, http);
	if (http->accept == NULL)
		lw_fatal("out of memory");
	(void)event_priority_set(http->accept, LOOP_IO);
	loop_timer_init(&http->pause, app->loop, on_pause_over);
	loop_watch(http->accept);
	return http;
}

/* ---- control.sock ----------------------------------------------------------------------- */

void http_peer_print(const struct http_peer *peer, char equals, char text[HTTP_PEER_TEXT])
{
	if (peer->address[0] != '\0')
		snprintf(text, HTTP_PEER_TEXT, "view%c%s", equals, peer->address);
	else
		snprintf(text, HTTP_PEER_TEXT, "uid%c%u pid%c%d", equals, (unsigned)peer->uid,
			 equals, (int)peer->pid);
}

static int admit_process(int fd, struct http_peer *ret_peer, struct lw_err *err)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);

	*ret_peer = (struct http_peer){ .uid = peer.uid, .pid = peer.pid };
	if (r == 0 && (peer.uid == geteuid() || peer.uid == 0))
		return 0;
	lw_log(LW_LOG_WARNING, "audit uid=%u pid=%d refused=control", (unsigned)peer.uid,
	       (int)peer.pid);
	return lw_err_set(err, -403, "only the user who runs the supervisor, and root, may use it");
}

int http_new(struct app *app, const char *socket_path, struct http **ret_http, struct lw_err *err)
{
	static const struct http_door door = { .most = HTTP_CONTROL_MAX,
					       .admit = admit_process,
					       .serve = api_serve };
	int fd = lw_socket_bind(socket_path, err);

	if (fd < 0)
		return fd;
	*ret_http = http_listen(app, &door, fd);
	(*ret_http)->path = lw_strdup(socket_path);
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------ */

/* The loop runs no more: what fits the socket's buffer leaves now. */
static void last_words(struct http_client *client)
{
	struct evbuffer *out = bufferevent_get_output(client->bev);
	size_t size = evbuffer_get_length(out);
	const unsigned char *bytes = size > 0 ? evbuffer_pullup(out, -1) : NULL;

	if (bytes != NULL)
		(void)!send(bufferevent_getfd(client->bev), bytes, size,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
}

void http_free(struct http *http)
{
	if (http == NULL)
		return;
	if (http->path != NULL)
		(void)unlink(http->path);
	while (http->clients != NULL) {
		struct http_client *client = http->clients;

		client->closing = client->over = true; /* nothing is left for another turn */
		tell_gone(client, true);
		last_words(client);
		unhook(client);
		client_free(client);
	}
	event_free(http->accept);
	loop_timer_done(&http->pause);
	lw_close(http->fd);
	lw_free(http->path);
	lw_free(http);
}
