/* http.h - HTTP/1.1 for control.sock and the view: listeners, clients, requests, answers.
 *
 * Over libevent's bufferevents. A listener is behind a door, which says who may connect, how many
 * at a time (the next is told 503), and what is done with a request: the door of control.sock
 * (mode 0600) lets in our own user and root (SO_PEERCRED), that of the view is in view.c; the
 * requests are api.h. A request must be whole within 10 s, with at most 64 KiB of head and 20 MiB
 * of body. One request of a client is
 * in hand at a time and the next one is read when the reply has left, so that what is unread
 * is never more than one reply, or 1 MiB of a stream; a client that takes nothing for 10 s, or
 * that much later than the rest, is closed. A client that goes away ends its waiting, not the run.
 *
 * evhttp is not used: in libevent 2.1 it has no limit of connections, no deadline for a whole
 * request, no look at the peer before it speaks, and does not tell when a client that waits
 * for its answer is gone.
 */
#ifndef LW_SUPERVISOR_HTTP_H
#define LW_SUPERVISOR_HTTP_H

#include <jansson.h>
#include <sys/types.h>

#include "app.h"
#include "http_parse.h"
#include "lw_err.h"

#define HTTP_CONTROL_MAX 64 /* clients */
#define HTTP_VIEW_MAX    256
#define HTTP_UNSENT_MAX  ((size_t)1 << 20) /* of a stream */
#define HTTP_DEADLINE_US INT64_C(10000000)

struct http;
struct http_client;
struct http_request;

/* Who sent a request: a process on control.sock, an address on the view. */
struct http_peer {
	uid_t uid;
	pid_t pid;
	char address[64]; /* "127.0.0.1:53122"; "" on control.sock */
};
#define HTTP_PEER_TEXT 80
/* "uid=1000 pid=4242" or "view=127.0.0.1:53122"; people read it with ' ' for `equals`. */
void http_peer_print(const struct http_peer *peer, char equals, char text[HTTP_PEER_TEXT]);

struct http_door {
	size_t most; /* clients at a time */
	/* 0 and who it is; or minus the status with which it is turned away, and a sentence. */
	int (*admit)(int fd, struct http_peer *ret_peer, struct lw_err *err);
	/* False: whatever `serve` is going to say, nobody waits for the body of such a request, and
	 * it is the last one of its client. NULL: every body is read. */
	bool (*hears)(const struct app *app, const struct http_head *head);
	void (*serve)(struct http_request *request);
};

/* control.sock at that path. */
LW_MUST_USE int http_new(struct app *app, const char *socket_path, struct http **ret_http,
			 struct lw_err *err);
/* Whoever comes in by a listening socket, which is taken over. */
struct http *http_listen(struct app *app, const struct http_door *door, int take_fd);
void http_free(struct http *http); /* answers who waits for the end; closes; removes the socket */
size_t http_client_count(const struct http *http);
void http_set_deadline(struct http *http, int64_t us); /* for tests: instead of 10 s */

/* A request in hand: from api_serve() until http_reply() or `gone`. Owned by its client. */
struct http_request {
	struct http_client *client;
	struct app *app;
	struct http_head head;
	struct lw_slice body; /* borrowed until `serve` returns, also when it is answered later */
	struct http_peer peer;
	bool noted; /* a refusal of this client is in the log */

	/* Set by whoever answers later (api_wait.c) or in parts. `gone`: the client went away, or the server
	 * closes; the request must not be touched after it. */
	void (*gone)(struct http_request *request, bool server_closes);
	void (*drained)(struct http_request *request); /* of a stream: all of it has left */
	void *waiting;
};

/* What an answer is beside its body. */
struct http_answer {
	int status;
	const char *type;    /* NULL: JSON */
	const char *cache;   /* Cache-Control; NULL: no-store */
	const char *headers; /* further ones, each with its line's end; NULL: none */
};

/* Sends a body and ends the request. `out` is emptied. */
void http_reply(struct http_request *request, const struct http_answer *answer, struct lw_buf *out);

/* An answer in parts, for as long as the client stays: begin, send, end. Whoever sends keeps a
 * cursor and sends more when `drained` is called, so that nobody buffers for a slow reader. */
void http_stream(struct http_request *request, const char *content_type);
void http_send(struct http_request *request, const void *bytes, size_t size);
size_t http_unsent(const struct http_request *request); /* bytes */
void http_end(struct http_request *request);

#endif
