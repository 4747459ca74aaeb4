/* view.c - the view's listener, its token, its entrance. See view.h; view_rights.c judges. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "api_private.h"
#include "js.h"
#include "lw_log.h"
#include "site.h"

struct view {
	struct http *http;
	struct view_rights rights;
	char *url, *entrance;
	char *url_path; /* of the file that holds the entrance while we live */
};

const char *view_url(const struct view *view)
{
	return view->url;
}

const char *view_entrance(const struct view *view)
{
	return view->entrance;
}

/* ---- what is kept -------------------------------------------------------------------------- */

/* One line, of which nobody sees a part. */
static int keep_line(const char *path, const char *line, struct lw_err *err)
{
	LW_AUTO(lw_free) char *fresh = lw_format("%s.new", path);
	LW_AUTO(lw_close) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || dprintf(fd, "%s\n", line) < 0 || rename(fresh, path) < 0)
		return lw_err_sys(err, -errno, "cannot write '%s'", path);
	return 0;
}

/* Without its end; "" when there is none. */
static void kept_line(const char *path, char *line, size_t room)
{
	LW_AUTO(lw_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t size = fd >= 0 ? read(fd, line, room - 1) : 0;

	line[size > 0 ? size : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* That of the last supervisor, so that an open page comes back. */
static int find_token(const char *state_dir, char token[VIEW_TOKEN_SIZE + 1], struct lw_err *err)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/view.token", state_dir);
	uint64_t drawn[2];

	kept_line(path, token, VIEW_TOKEN_SIZE + 1);
	if (strspn(token, "0123456789abcdef") == VIEW_TOKEN_SIZE)
		return 0;
	if (getrandom(drawn, sizeof(drawn), 0) != sizeof(drawn))
		return lw_err_sys(err, -errno, "cannot draw a token");
	snprintf(token, VIEW_TOKEN_SIZE + 1, "%016llx%016llx", (unsigned long long)drawn[0],
		 (unsigned long long)drawn[1]);
	return keep_line(path, token, err);
}

/* ---- listening ------------------------------------------------------------------------------ */

/* An address of app.conf: the reader has looked that there is a port. */
static void split(const char *address, char host[256], char port[8])
{
	const char *colon = strrchr(address, ':');
	const char *start = address + (address[0] == '[' ? 1 : 0);
	size_t size = (size_t)(colon - start);

	if (size > 0 && start[size - 1] == ']')
		size--;
	snprintf(host, 256, "%.*s", (int)size, start);
	snprintf(port, 8, "%s", colon + 1);
}

static int listen_at(const struct addrinfo *at)
{
	const int on = 1;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0) {
		int r = -errno;

		lw_close(fd);
		return r;
	}
	return fd;
}

/* The descriptor, or -errno. */
static int listen_on(const char *host, const char *port, struct lw_err *err)
{
	static const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *found = NULL;
	int fd = -EADDRNOTAVAIL;
	int r = getaddrinfo(host, port, &hints, &found);

	if (r != 0)
		return lw_err_set(err, -EADDRNOTAVAIL, "view = '%s:%s': %s", host, port,
				  gai_strerror(r));
	for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
		fd = listen_at(at);
	freeaddrinfo(found);
	if (fd < 0)
		lw_err_sys(err, fd, "cannot listen on '%s:%s' (view)", host, port);
	return fd;
}

/* A free one, if it can be that which the last supervisor had: an open page comes back. */
static int listen_on_free(const char *host, const char *port_path, struct lw_err *err)
{
	char port[8];
	int fd = -1;

	kept_line(port_path, port, sizeof(port));
	if (port[0] != '\0' && port[strspn(port, "0123456789")] == '\0')
		fd = listen_on(host, port, err);
	return fd >= 0 ? fd : listen_on(host, "0", err);
}

/* A port that was not asked for by name may be another one. */
static int listen_somewhere(const struct view_address *wanted, const char *host, const char *port,
			    const char *port_path, struct lw_err *err)
{
	int fd;

	if (strtol(port, NULL, 10) == 0)
		return listen_on_free(host, port_path, err);
	fd = listen_on(host, port, err);
	if (fd != -EADDRINUSE)
		return fd;
	if (!wanted->written)
		return listen_on_free(host, port_path, err);
	return lw_err_set(err, -EADDRINUSE,
			  "view = '%s': another program listens there; port 0 finds a free one, "
			  "view = false does without",
			  wanted->text);
}

/* "127.0.0.1", 7501; of no address nothing, 0 */
static void print_address(const struct sockaddr_storage *address, char host[64], unsigned *ret_port)
{
	char port[8] = "";

	(void)getnameinfo((const struct sockaddr *)address, sizeof(*address), host, 64, port,
			  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	*ret_port = (unsigned)strtoul(port, NULL, 10);
}

/* ---- the address ----------------------------------------------------------------------------- */

/* How a browser on this machine writes it. */
static char *url_of(const struct view_rights *rights, unsigned port)
{
	const char *host = rights->host;

	if (rights->anywhere)
		host = strchr(rights->bound, ':') != NULL ? "::1" : "127.0.0.1";
	return lw_format(strchr(host, ':') != NULL ? "http://[%s]:%u/view" : "http://%s:%u/view",
			 host, port);
}

static void settle(struct view *view, int fd, unsigned *ret_port)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	struct view_rights *rights = &view->rights;

	(void)getsockname(fd, (struct sockaddr *)&address, &size);
	print_address(&address, rights->bound, ret_port);
	rights->anywhere =
		strcmp(rights->bound, "0.0.0.0") == 0 || strcmp(rights->bound, "::") == 0;
	snprintf(rights->cookie, sizeof(rights->cookie), "lw_%u", *ret_port);
	view->url = url_of(rights, *ret_port);
	view->entrance = lw_format("%s?token=%s", view->url, rights->token);
	if (strncmp(rights->bound, "127.", 4) != 0 && strcmp(rights->bound, "::1") != 0)
		lw_log(LW_LOG_WARNING,
		       "view=%s is open to other machines, and not encrypted: who sees a request "
		       "has the token",
		       view->url);
}

/* ---- requests -------------------------------------------------------------------------------- */

static int admit(int fd, struct http_peer *ret_peer, struct lw_err *err)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	char host[64] = "?";
	unsigned port;

	(void)err;
	(void)getpeername(fd, (struct sockaddr *)&address, &size); /* none: it is gone already */
	print_address(&address, host, &port);
	*ret_peer = (struct http_peer){ .uid = (uid_t)-1 };
	snprintf(ret_peer->address, sizeof(ret_peer->address),
		 strchr(host, ':') != NULL ? "[%.50s]:%u" : "%.50s:%u", host, port);
	return 0;
}

/* In quotes and escaped: the sentence may name what a stranger wrote. */
static void log_refusal(const struct http_request *request, int status, const char *why)
{
	char who[HTTP_PEER_TEXT];
	LW_AUTO_BUF quoted = { 0 };

	http_peer_print(&request->peer, '=', who);
	js_text(&quoted, why);
	lw_log(LW_LOG_WARNING, "audit %s refused=%d path=%.100s error=%s", who, status,
	       request->head.path, lw_buf_text(&quoted));
}

/* Whoever opens the page by hand reads a sentence. */
static void refuse(struct http_request *request, int status, const char *why)
{
	static const char hint[] = "open the address that the supervisor printed at its start; "
				   "lwctl status shows it";
	struct http_answer answer = { .status = status, .headers = "WWW-Authenticate: Bearer\r\n" };
	LW_AUTO_BUF out = { 0 };

	if (!request->noted) /* once a client, so that nobody fills the log */
		log_refusal(request, status, why);
	request->noted = true;
	if (status != 401)
		answer.headers = NULL;
	if (strcmp(request->head.path, "/view") == 0) {
		answer.type = "text/plain; charset=utf-8";
		lw_buf_printf(&out, "%s: %s\n", why, hint);
	} else {
		api_error_body(&out, status == 401 ? "unauthorized" : "forbidden", why,
			       status == 401 ? hint : NULL);
	}
	http_reply(request, &answer, &out);
}

/* The token goes into a cookie and out of the address. Whom another page sent here would not bring
 * the cookie along a redirection: to him it is said by a page of ours. */
static void enter(struct http_request *request)
{
	const struct view_rights *rights = &request->app->view->rights;
	bool from_elsewhere = view_is_from_elsewhere(&request->head);
	LW_AUTO(lw_free)
	char *headers =
		lw_format("Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict\r\n"
			  "Referrer-Policy: no-referrer\r\n%s",
			  rights->cookie, rights->token,
			  from_elsewhere ? "Refresh: 0; url=/view\r\n" : "Location: /view\r\n");
	struct http_answer answer = { .status = from_elsewhere ? 200 : 303,
				      .type = "text/html; charset=utf-8",
				      .headers = headers };
	LW_AUTO_BUF out = { 0 };

	lw_buf_printf(&out, "<!doctype html><title>lw</title><a href=\"/view\">View</a>\n");
	http_reply(request, &answer, &out);
}

static int judge(const struct app *app, const struct http_head *head, struct lw_err *err)
{
	return view_judge(&app->view->rights, head, site_is_open(head->path), err);
}

/* Nothing that is open to everybody takes a body. */
static bool hears(const struct app *app, const struct http_head *head)
{
	struct lw_err err = { 0 };

	return !site_is_open(head->path) && judge(app, head, &err) == 0;
}

static void serve(struct http_request *request)
{
	const struct http_head *head = &request->head;
	struct lw_err err = { 0 };
	int r = judge(request->app, head, &err);

	if (r < 0)
		refuse(request, -r, err.text);
	else if (view_is_entrance(head))
		enter(request);
	else
		api_serve(request);
}

/* ---- beginning and end ------------------------------------------------------------------------ */

static int open_view(struct view *view, struct app *app, struct lw_err *err)
{
	static const struct http_door door = { HTTP_VIEW_MAX, admit, hears, serve };
	const struct view_address *wanted = &app->config->app.view;
	LW_AUTO(lw_free) char *port_path = lw_format("%s/view.port", app->state_dir);
	char port[8];
	unsigned bound;
	int fd, r;

	split(wanted->text, view->rights.host, port);
	fd = listen_somewhere(wanted, view->rights.host, port, port_path, err);
	if (fd < 0)
		return fd;
	view->http = http_listen(app, &door, fd);
	r = find_token(app->state_dir, view->rights.token, err);
	if (r < 0)
		return r;
	settle(view, fd, &bound);
	snprintf(port, sizeof(port), "%u", bound);
	r = keep_line(port_path, port, err);
	if (r >= 0)
		r = keep_line(view->url_path, view->entrance, err);
	return r;
}

int view_new(struct app *app, struct view **ret_view, struct lw_err *err)
{
	struct view *view = LW_NEW(struct view);
	int r;

	view->url_path = lw_format("%s/view.url", app->state_dir);
	(void)unlink(view->url_path); /* of one that was killed */
	if (app->config->app.view.text == NULL) {
		view_free(view);
		*ret_view = NULL;
		return 0;
	}
	r = open_view(view, app, err);
	if (r < 0) {
		view_free(view);
		return r;
	}
	*ret_view = view;
	return 0;
}

void view_free(struct view *view)
{
	if (view == NULL)
		return;
	(void)unlink(view->url_path);
	http_free(view->http);
	lw_free(view->url);
	lw_free(view->entrance);
	lw_free(view->url_path);
	lw_free(view);
}
