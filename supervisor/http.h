/* http.h - sockets, rights and JSON of the control API; the request table is api.h.
 *
 * libevent's evhttp on control.sock (mode 0600, peer credentials checked). A client that
 * goes away ends its waiting, not the run; one that leaves more than 1 MiB unread is closed;
 * a request must be whole within 10 s; 64 connections.
 */
#ifndef LW_SUPERVISOR_HTTP_H
#define LW_SUPERVISOR_HTTP_H

#include <jansson.h>

#include "app.h"
#include "lw_err.h"

struct http;

LW_MUST_USE int http_new(struct app *app, const char *socket_path, struct http **ret_http,
			 struct lw_err *err);
void http_free(struct http *http); /* closes; removes the socket */

#endif
