/* http.h - sockets and rights of the control API; the request table is api.h.
 *
 * HTTP/1.1 on control.sock (mode 0600) over libevent's bufferevents. Whoever connects must be
 * our own user or root (SO_PEERCRED). A request must be whole within 10 s, with at most 64 KiB
 * of head and 20 MiB of body; 64 connections, the next is told 503. One request of a client is
 * in hand at a time and the next one is read when the reply has left, so that what is unread
 * is never more than one reply, or a part of a stream; a client that takes nothing for 10 s is
 * closed. A client that goes away ends its waiting, not the run.
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

#define HTTP_CLIENTS_MAX 64
#define HTTP_DEADLINE_US INT64_C(10000000)

struct http;
struct http_client;

LW_MUST_USE int http_new(struct app *app, const char *socket_path, struct http **ret_http,
			 struct lw_err *err);
void http_free(struct http *http); /* answers who waits for the end; closes; removes the socket */
size_t http_client_count(const struct http *http);
void http_set_deadline(struct http *http, int64_t us); /* for tests: instead of 10 s */

/* A request in hand: from api_serve() until http_reply() or `gone`. Owned by its client. */
struct http_request {
	struct http_client *client;
	struct app *app;
	struct http_head head;
	struct lw_slice body; /* borrowed until the request is over */
	uid_t uid;
	pid_t pid;

	/* Set by api.c when it answers later. `gone`: the client went away, or the server
	 * closes; the request must not be touched after it. */
	void (*gone)(struct http_request *request, bool server_closes);
	void (*drained)(struct http_request *request); /* of a stream: all of it has left */
	void *waiting;
};

/* Sends a JSON body and ends the request. `out` is emptied. `allow` NULL: no Allow header. */
void http_reply(struct http_request *request, int status, struct lw_buf *out, const char *allow);

/* An answer in parts, for as long as the client stays: begin, send, end. Whoever sends keeps a
 * cursor and sends more when `drained` is called, so that nobody buffers for a slow reader. */
void http_stream(struct http_request *request, const char *content_type);
void http_send(struct http_request *request, const void *bytes, size_t size);
size_t http_unsent(const struct http_request *request); /* bytes */
void http_end(struct http_request *request);

#endif
