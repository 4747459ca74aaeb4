/* e2e_view.c - the address that browsers open: who gets in, who does not, and what it survives.
 * Requests are written byte by byte as browsers, strangers and pages of others would. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lw_buf.h"

#define WORK     "work 'job' { command = { 'sh', '-c', 'exit 0' }, parallel = true }\n"
#define FLOW     "function flow() end\n"
#define ANY_PORT "app { view = '127.0.0.1:0' }\n"
#define LINE     "View it in your browser: "

/* ---- a client ---------------------------------------------------------------------------------- */

static unsigned port;
static const char *token;

static int dial(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		rig_fail(__FILE__, __LINE__, "cannot dial port %u: %s", port, strerror(errno));
	return fd;
}

static void say(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* it was refused before it was whole */
		text += n;
		size -= (size_t)n;
	}
}

/* All that comes until the other side closes. */
static const char *hear(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	LW_AUTO_BUF reply = { 0 };
	double until = rig_deadline();
	ssize_t n = 1;

	while (n > 0) {
		if (poll(&ready, 1, 2) == 0) {
			if (!rig_pump(until))
				rig_fail(__FILE__, __LINE__, "no answer but '%s'",
					 lw_buf_text(&reply));
			continue;
		}
		lw_buf_grow(&reply, 65536);
		n = read(fd, reply.data + reply.size, 65536);
		reply.size += n > 0 ? (size_t)n : 0;
	}
	return rig_format("%s", lw_buf_text(&reply));
}

static struct rig_answer answer_of(const char *text)
{
	struct rig_answer answer = { .err = text };
	const char *body = strstr(text, "\r\n\r\n");

	if (body == NULL || sscanf(text, "HTTP/1.1 %d", &answer.status) != 1)
		rig_fail(__FILE__, __LINE__, "no HTTP: '%s'", text);
	answer.out = body + 4;
	return answer;
}

static struct rig_answer ask(const char *request)
{
	LW_AUTO(lw_close) int fd = dial();

	say(fd, request, strlen(request));
	return answer_of(hear(fd));
}

/* With the right Host and further headers, each with its line's end. */
static struct rig_answer get(const char *path, const char *headers)
{
	return ask(
		rig_format("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s\r\n",
			   path, port, headers));
}

static const char *cookie(void)
{
	return rig_format("Cookie: other=1; lw_%u=%s\r\n", port, token);
}

static const char *bearer(void)
{
	return rig_format("Authorization: Bearer %s\r\n", token);
}

/* ---- a supervisor --------------------------------------------------------------------------------- */

/* Reads what it printed. */
static void find(struct rig_proc *proc)
{
	const char *url = strstr(rig_line(proc, RIG_OUT, LINE), LINE) + strlen(LINE);
	char digits[33];

	CHECK_INT(sscanf(url, "http://127.0.0.1:%u/view?token=%32[0-9a-f]", &port, digits), 2);
	token = rig_format("%s", digits);
}

static struct rig_proc *up(const char *conf)
{
	struct rig_proc *proc = rig_supervisor(conf, NULL);

	find(proc);
	return proc;
}

/* ---- coming in ------------------------------------------------------------------------------------- */

TEST(the_printed_address_opens_the_page_and_the_cookie_replaces_the_token)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	const char *entrance = rig_format("/view?token=%s", token);
	const char *given = rig_format(
		"Set-Cookie: lw_%u=%s; Path=/; HttpOnly; SameSite=Strict\r\n", port, token);
	struct rig_answer answer = get(entrance, "Sec-Fetch-Site: none\r\n");

	CHECK_INT(answer.status, 303);
	CHECK_HAS(answer.err, given);
	CHECK_HAS(answer.err, "Location: /view\r\n");
	answer = get("/view", cookie());
	CHECK_INT(answer.status, 200);
	CHECK_HAS(answer.out, "<!doctype html>");
	CHECK_INT(get("/api/v1/status", cookie()).status, 200);
	CHECK_INT(get("/api/v1/status", bearer()).status, 200);
	rig_down(proc);
}

/* A strict cookie that a redirection sets is not sent along when another page began. */
TEST(a_link_on_another_page_opens_the_page_too)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	struct rig_answer answer =
		get(rig_format("/view?token=%s", token), "Sec-Fetch-Site: cross-site\r\n");

	CHECK_INT(answer.status, 200);
	CHECK_HAS(answer.err, "Set-Cookie: ");
	CHECK_HAS(answer.err, "Refresh: 0; url=/view\r\n");
	answer = get("/view?token=00000000000000000000000000000000",
		     "Sec-Fetch-Site: cross-site\r\n");
	CHECK_INT(answer.status, 401);
	CHECK(strstr(answer.err, "Set-Cookie") == NULL);
	rig_down(proc);
}

TEST(the_page_comes_in_files_that_a_browser_keeps)
{
	/* clang-format off */
	static const struct { const char *path, *type; } files[] = {
		{ "/view", "text/html; charset=utf-8" },
		{ "/view/app.js", "text/javascript; charset=utf-8" },
		{ "/view/style.css", "text/css; charset=utf-8" },
		{ "/view/icon.svg", "image/svg+xml" },
	};
	/* clang-format on */
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	for (size_t i = 0; i < LW_COUNT(files); i++) {
		struct rig_answer answer = get(files[i].path, cookie());
		char tag[32];

		CHECK_INT(answer.status, 200);
		CHECK_HAS(answer.err, rig_format("Content-Type: %s\r\n", files[i].type));
		CHECK_HAS(answer.err,
			  "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; "
			  "base-uri 'none'; form-action 'none'\r\n");
		CHECK_HAS(answer.err, "X-Content-Type-Options: nosniff\r\n");
		CHECK_HAS(answer.err, "Referrer-Policy: no-referrer\r\n");
		CHECK_INT(sscanf(strstr(answer.err, "ETag: "), "ETag: %31s", tag), 1);
		answer = get(files[i].path, rig_format("%sIf-None-Match: %s\r\n", cookie(), tag));
		CHECK_INT(answer.status, 304);
		CHECK_TEXT(answer.out, "");
		answer = get(files[i].path, rig_format("%sIf-None-Match: \"1\"\r\n", cookie()));
		CHECK_INT(answer.status, 200);
	}
	CHECK_TEXT(get("/view/app.js", cookie()).out,
		   rig_read(rig_format("%s/supervisor/view/app.js", LW_SOURCE)));
	CHECK_INT(get("/view/none.js", cookie()).status, 404);
	CHECK_INT(get("/", cookie()).status, 303);
	rig_down(proc);
}

TEST(paths_that_climb_lead_nowhere)
{
	static const char *const paths[] = {
		"/view/../../../../etc/passwd",
		"/view/..%2f..%2f..%2fetc%2fpasswd",
		"/view/%2e%2e/%2e%2e/etc/passwd",
		"/view//etc/passwd",
		"/view/.\\..\\view.token",
		"/../view.token",
		"/api/v1/works/..%2f..%2fview.token",
		"/api/v1/../../view.token",
		"/etc/passwd",
	};
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	for (size_t i = 0; i < LW_COUNT(paths); i++) {
		struct rig_answer answer = get(paths[i], bearer());

		CHECK_INT(answer.status, 404);
		CHECK(strstr(answer.err, "root:") == NULL);
	}
	rig_down(proc);
}

/* ---- who does not come in --------------------------------------------------------------------------- */

TEST(without_the_token_or_with_another_one_nothing_is_told)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	const char *other = rig_format("%.31s%c", token, token[31] == '0' ? '1' : '0');
	const char *headers[] = {
		"",
		rig_format("Cookie: lw_%u=%s\r\n", port, other),
		rig_format("Cookie: lw_%u=\r\n", port),
		rig_format("Cookie: xlw_%u=%s\r\n", port, token),
		rig_format("Cookie: lw_%u=%s0\r\n", port, token),
		rig_format("Authorization: Bearer %s\r\n", other),
		rig_format("Authorization: Basic %s\r\n", token),
		"Authorization: Bearer \r\n",
		rig_format("Authorization: Bearer %s\r\n%s", other, cookie()),
	};
	static const char *const paths[] = { "/view",        "/api/v1/status", "/api/v1/none",
					     "/view/app.js", "/none",          "/" };

	for (size_t i = 0; i < LW_COUNT(headers); i++) {
		for (size_t j = 0; j < LW_COUNT(paths); j++) {
			struct rig_answer answer = get(paths[j], headers[i]);

			CHECK_INT(answer.status, 401);
			CHECK_HAS(answer.err, "WWW-Authenticate: Bearer\r\n");
			CHECK(strstr(answer.err, token) == NULL);
		}
	}
	CHECK_INT(get(rig_format("/view?token=%s", other), "").status, 401);
	CHECK_INT(get(rig_format("/view/app.js?token=%s", token), "").status, 401);
	rig_down(proc);
}

TEST(a_name_that_is_not_ours_is_refused)
{
	static const char *const foreign[] = { "evil.example",
					       "127.0.0.1.evil.example:80",
					       "localhost.evil.example",
					       "10.1.2.3",
					       "[::2]:80",
					       "127.0.0.1:80:80",
					       "a\" verb=stop",
					       "[127.0.0.1",
					       "",
					       "127.0.0.1:x" };
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	for (size_t i = 0; i < LW_COUNT(foreign); i++)
		CHECK_INT(ask(rig_format("GET /api/v1/status HTTP/1.1\r\nHost: %s\r\n%s"
					 "Connection: close\r\n\r\n",
					 foreign[i], bearer()))
				  .status,
			  403);
	CHECK_INT(ask(rig_format("GET /api/v1/status HTTP/1.0\r\n%s\r\n", bearer())).status, 403);
	CHECK_INT(ask(rig_format("GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
				 "Host: evil.example\r\nConnection: close\r\n%s\r\n",
				 bearer()))
			  .status,
		  400);
	/* The end of a tunnel has another port. */
	CHECK_INT(ask(rig_format("GET /api/v1/status HTTP/1.1\r\nHost: localhost:8080\r\n"
				 "Origin: http://localhost:8080\r\nConnection: close\r\n%s\r\n",
				 cookie()))
			  .status,
		  200);
	CHECK_LINES(proc, RIG_ERR, "error=\"'a\\\" verb=stop' is no name of this address\"", 1);
	rig_down(proc);
}

TEST(requests_of_other_pages_are_refused)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	const char *foreign[] = {
		"Origin: http://evil.example\r\n",
		"Origin: null\r\n",
		rig_format("Origin: https://127.0.0.1:%u\r\n", port),
		rig_format("Origin: http://127.0.0.1:%u\r\n", port + 1),
		rig_format("Origin: http://localhost:%u\r\n", port),
		"Origin: http://127.0.0.1\r\n",
		"Sec-Fetch-Site: cross-site\r\n",
		"Sec-Fetch-Site: same-site\r\n",
		"Sec-Fetch-Site: something-new\r\n",
	};
	const char *own =
		rig_format("Origin: http://127.0.0.1:%u\r\nSec-Fetch-Site: same-origin\r\n", port);

	for (size_t i = 0; i < LW_COUNT(foreign); i++) {
		CHECK_INT(get("/api/v1/status", rig_format("%s%s", cookie(), foreign[i])).status,
			  403);
		CHECK_INT(get("/view", rig_format("%s%s", cookie(), foreign[i])).status, 403);
		CHECK_INT(get("/api/v1/status", rig_format("%s%s", bearer(), foreign[i])).status,
			  403);
	}
	CHECK_INT(get("/api/v1/status", rig_format("%s%s", cookie(), own)).status, 200);
	rig_down(proc);
}

static struct rig_answer post(const char *headers)
{
	return ask(rig_format("POST /api/v1/works/job/run?wait=false HTTP/1.1\r\n"
			      "Host: 127.0.0.1:%u\r\nConnection: close\r\nContent-Length: 2\r\n"
			      "%s\r\n{}",
			      port, headers));
}

/* A form or a fetch() without preflight brings the cookie along, and no header of our choice. */
TEST(a_simple_post_of_another_page_changes_nothing)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	const char *plain = rig_format("%sContent-Type: text/plain\r\n", cookie());

	CHECK_INT(post(rig_format("%sOrigin: http://evil.example\r\n", plain)).status, 403);
	CHECK_INT(post(rig_format("%sOrigin: http://localhost:%u\r\n", plain, port + 1)).status,
		  403);
	CHECK_INT(post(rig_format("%sOrigin: null\r\n", plain)).status, 403);
	CHECK_INT(post(plain).status, 403);
	CHECK_INT(post("").status, 401);
	CHECK_INT(rig_number(rig_work("job"), "misses"), 0);

	CHECK_INT(post(rig_format("%sOrigin: http://127.0.0.1:%u\r\n", plain, port)).status, 200);
	CHECK_INT(post(bearer()).status, 200);
	CHECK_INT(rig_number(rig_work("job"), "misses"), 1);
	CHECK_LINES(proc, RIG_ERR, "refused=403", 4);
	CHECK_LINES(proc, RIG_ERR, "refused=401", 1);
	AWAIT(rig_count(proc, RIG_ERR, "audit view=127.0.0.1:") == 7);
	rig_down(proc);
}

/* ---- rude clients ------------------------------------------------------------------------------------ */

TEST(requests_that_are_too_big_are_refused_before_they_are_whole)
{
	static char big[100000];
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	memset(big, 'a', sizeof(big) - 1);
	CHECK_INT(get(rig_format("/%s", big), bearer()).status, 431);
	CHECK_INT(get("/view", rig_format("X: %s\r\n", big)).status, 431);
	CHECK_INT(ask(rig_format("POST /api/v1/works/job/run HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
				 "Content-Length: 999999999\r\n\r\n",
				 port))
			  .status,
		  413);
	CHECK_INT(get("/view", cookie()).status, 200);
	rig_down(proc);
}

/* Else anybody could make it keep 20 MiB for each of 256 connections. */
TEST(nobody_waits_for_the_body_of_who_may_not_ask)
{
	static const char *const lengths[] = { "Content-Length: 20000000\r\n",
					       "Transfer-Encoding: chunked\r\n",
					       "Content-Length: 9\r\nExpect: 100-continue\r\n" };
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	for (size_t i = 0; i < LW_COUNT(lengths); i++) {
		const char *head =
			rig_format("HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", port, lengths[i]);

		CHECK_INT(ask(rig_format("POST /api/v1/works/job/run %s\r\n", head)).status, 401);
		CHECK_INT(ask(rig_format("POST /api/v1/works/job/run %s%s\r\n", head, cookie()))
				  .status,
			  403);
		CHECK_INT(ask(rig_format("GET /healthz %s\r\n", head)).status, 200);
	}
	rig_down(proc);
}

TEST(an_answer_to_head_has_no_body)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	LW_AUTO(lw_close) int fd = dial();
	const char *both = rig_format("HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n"
				      "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
				      "Connection: close\r\n\r\n",
				      port, port);

	say(fd, both, strlen(both));
	both = hear(fd);
	CHECK_HAS(both, "\r\n\r\nHTTP/1.1 200 OK\r\n"); /* behind the head at once */
	CHECK(strncmp(both, "HTTP/1.1 200 OK\r\n", 17) == 0);
	CHECK_HAS(both, "Content-Length: 3\r\n");
	rig_down(proc);
}

TEST(a_request_that_is_never_whole_ends_after_its_time)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	LW_AUTO(lw_close) int silent = dial();
	LW_AUTO(lw_close) int half = dial();
	struct rig_answer answer;

	say(half, "GET /view HTTP/1.1\r\nHost:", 25);
	CHECK_INT(get("/view", cookie()).status, 200); /* nobody waits for them */
	answer = answer_of(hear(half));
	CHECK_INT(answer.status, 400);
	CHECK_HAS(answer.out, "was not whole within 10 s");
	CHECK_TEXT(hear(silent), "");
	rig_down(proc);
}

/* Such a client has no address any more; what valgrind sees of that is its part of this test. */
TEST(a_client_that_is_gone_before_it_is_let_in_costs_nothing)
{
	const struct linger at_once = { .l_onoff = 1 };
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);

	rig_signal(proc, SIGSTOP);
	for (int i = 0; i < 20; i++) {
		LW_AUTO(lw_close) int fd = dial();

		say(fd, "GET / HTTP/1.1\r\n\r\n", 18);
		CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	}
	rig_signal(proc, SIGCONT);
	CHECK_INT(get("/view", cookie()).status, 200);
	rig_down(proc);
}

/* So many clients as may be there, and as many again: the others are told, and control.sock, which
 * counts its own, answers as before. */
TEST(a_thousand_idle_connections_keep_nobody_from_control_sock)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	struct rlimit files = { 2048, 2048 };
	static int fds[1000];
	size_t turned_away = 0;
	double began;

	(void)setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < LW_COUNT(fds); i++)
		fds[i] = dial();
	began = rig_now();
	for (int i = 0; i < 20; i++)
		rig_status();
	CHECK(rig_now() - began < 5);
	for (size_t i = 0; i < LW_COUNT(fds); i++) {
		struct pollfd ready = { .fd = fds[i], .events = POLLIN };

		turned_away += poll(&ready, 1, 0) == 1;
	}
	CHECK(turned_away >= LW_COUNT(fds) - 256);
	CHECK_INT(answer_of(hear(fds[999])).status, 503);
	for (size_t i = 0; i < LW_COUNT(fds); i++)
		lw_close(fds[i]);
	CHECK_INT(get("/view", cookie()).status, 200);
	rig_down(proc);
}

/* ---- the address --------------------------------------------------------------------------------------- */

TEST(a_restart_keeps_the_token_and_the_free_port)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	unsigned old_port = port;
	const char *old_token = token, *url;
	struct stat info;

	url = rig_format("http://127.0.0.1:%u/view?token=%s\n", port, token);
	CHECK_TEXT(rig_read(".lw/app.conf/view.url"), url);
	CHECK_INT(stat(rig_path(".lw/app.conf/view.url"), &info), 0);
	CHECK_INT(info.st_mode & 0777, 0600);
	CHECK_INT(stat(rig_path(".lw/app.conf/view.token"), &info), 0);
	CHECK_INT(info.st_mode & 0777, 0600);
	CHECK_TEXT(rig_string(rig_status(), "app.view"),
		   rig_format("http://127.0.0.1:%u/view", port));
	rig_down(proc);
	CHECK(rig_read(".lw/app.conf/view.url") == NULL);

	proc = up(ANY_PORT WORK FLOW);
	CHECK_INT(port, old_port);
	CHECK_TEXT(token, old_token);
	CHECK_INT(get("/view", cookie()).status, 200);
	rig_down(proc);

	rig_write(".lw/app.conf/view.token", "not a token\n"); /* how to draw a new one */
	proc = up(ANY_PORT WORK FLOW);
	CHECK(strcmp(token, old_token) != 0);
	rig_down(proc);
}

/* Holds a port: what another program would do. */
static int take_port(unsigned number, unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)number),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	if (bind(fd, (const struct sockaddr *)&address, size) < 0 || listen(fd, 1) < 0) {
		lw_close(fd);
		return -1;
	}
	CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

TEST(a_taken_port_that_is_written_down_is_an_error)
{
	unsigned taken = 0;
	LW_AUTO(lw_close) int holder = take_port(0, &taken);
	struct rig_proc *proc;

	CHECK(holder >= 0);
	proc = rig_supervisor(rig_format("app { view = '127.0.0.1:%u' }\n" WORK FLOW, taken), NULL);
	CHECK_INT(rig_exit(proc), 1);
	CHECK_LINES(proc, RIG_ERR,
		    rig_format("view = '127.0.0.1:%u': another program listens there; port 0 finds "
			       "a free one, view = false does without",
			       taken),
		    1);
	CHECK(strstr(rig_text(proc, RIG_OUT), "started") == NULL);
}

/* Somebody has it already, or we do. */
TEST(a_taken_port_that_is_only_the_default_is_replaced_by_a_free_one)
{
	unsigned taken = 7501;
	LW_AUTO(lw_close) int holder = take_port(7501, &taken);
	struct rig_proc *proc = up(WORK FLOW);

	(void)holder;
	CHECK(port != 7501);
	CHECK_INT(get("/view", cookie()).status, 200);
	rig_down(proc);
}

TEST(view_false_opens_no_address)
{
	struct rig_proc *proc = rig_up("app { view = false }\n" WORK FLOW, NULL);

	CHECK_LINES(proc, RIG_OUT, "Your app has started. See it with: lwctl -c ", 1);
	CHECK(rig_read(".lw/app.conf/view.url") == NULL);
	CHECK(json_is_null(rig_at(rig_status(), "app.view")));
	rig_down(proc);
}

/* As under systemd: who is told has not its environment. */
TEST(without_a_page_it_says_which_state_directory_it_was_given)
{
	struct rig_proc *proc;

	setenv("STATE_DIRECTORY", rig_path("state"), 1);
	proc = rig_up("app { view = false }\n" WORK FLOW, NULL);
	CHECK_LINES(proc, RIG_OUT,
		    rig_format("See it with: lwctl --state-dir %s status", rig_path("state")), 1);
	rig_down(proc);
}

TEST(an_address_that_is_not_ours_is_an_error)
{
	struct rig_proc *proc = rig_supervisor("app { view = '192.0.2.1:7501' }\n" WORK FLOW, NULL);

	CHECK_INT(rig_exit(proc), 1);
	CHECK_HAS(rig_text(proc, RIG_ERR), "cannot listen on '192.0.2.1:7501' (view)");
}

/* As an EventSource of the page does it. */
TEST(events_reach_the_page)
{
	struct rig_proc *proc = up(ANY_PORT WORK FLOW);
	LW_AUTO(lw_close) int fd = dial();
	const char *request = rig_format("GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
					 "Sec-Fetch-Site: same-origin\r\n%s\r\n",
					 port, cookie());
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	LW_AUTO_BUF reply = { 0 };

	say(fd, request, strlen(request));
	CHECK_INT(post(bearer()).status, 200);
	while (strstr(lw_buf_text(&reply), "\"stage\":\"succeeded\"") == NULL) {
		CHECK_INT(poll(&ready, 1, 20000), 1);
		lw_buf_grow(&reply, 4096);
		ssize_t n = read(fd, reply.data + reply.size, 4096);

		CHECK(n > 0);
		reply.size += (size_t)n;
	}
	CHECK_HAS(lw_buf_text(&reply), "event: hello\n");
	CHECK_HAS(lw_buf_text(&reply), "X-Content-Type-Options: nosniff\r\n");
	rig_down(proc);
}
