/* links: lw_still_app
 *
 * fuzz_api.c - the control API from the socket on: every answer is well-formed, and nothing a
 * client says or leaves unsaid ends anything but its connection.
 *
 * Input: what one client sends, in two parts. The app is real but not running; the runs that
 * wait are ended by us, so that requests that wait get their answers. The client then hangs up,
 * or the server closes first. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "http.h"
#include "lw_statedir.h"
#include "still_app.h"

#define QUIET 4 /* turns without anything new: accept, read, write, next request */

static char folder[60];
static char path[80];

static void remove_folder(void)
{
	rmdir(folder);
}

static void make_folder(void)
{
	const char *above = getenv("TMPDIR");

	if (folder[0] != '\0')
		return;
	snprintf(folder, sizeof(folder), "%.40s/lw-fuzz-XXXXXX", above != NULL ? above : "/tmp");
	HOLDS(mkdtemp(folder) != NULL, "no folder '%s'", folder);
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	atexit(remove_folder);
}

/* ---- the app -------------------------------------------------------------------------------- */

static void add_work(struct config *config, const char *name, bool cache_calls)
{
	struct work_config *work = work_config_new(name);
	struct words ignored = { 0 };

	work->parallel = true;
	work->cache_calls = cache_calls;
	work->overlap = cache_calls ? OVERLAP_QUEUE : OVERLAP_LATEST;
	work->retries = cache_calls ? 0 : 1;
	work->retry_delay = 0;
	words_add(&ignored, "seed");
	work->cache_ignore = (struct lw_names){ ignored.words, ignored.count };
	words_add(&work->program, "./never-started");
	config->works = lw_realloc(config->works, (config->count + 1) * sizeof(*config->works));
	config->works[config->count++] = work;
}

static void open_app(struct still_app *still)
{
	struct config *config = config_new();

	config->has_flow = true;
	add_work(config, "train", true);
	add_work(config, "t\xc3\xa4glich \"x\"/y", true);
	add_work(config, "again", false);
	HOLDS(still_app_open(still, config, NULL), "no works");
}

/* ---- the client ----------------------------------------------------------------------------- */

struct client {
	int fd;
	struct lw_buf in;
	bool over; /* the server closed */
};

static void send_all(struct client *client, const uint8_t *data, size_t size)
{
	if (size > 0 && !client->over)
		(void)!send(client->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether something new came. */
static bool receive(struct client *client)
{
	ssize_t n;

	if (client->over)
		return false;
	lw_buf_grow(&client->in, 65536);
	n = recv(client->fd, client->in.data + client->in.size, 65536, MSG_DONTWAIT);
	if (n > 0)
		client->in.size += (size_t)n;
	client->over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	return n > 0 || client->over;
}

static void turn_until_quiet(struct still_app *still, struct client *client, size_t size)
{
	size_t turns = 0;

	for (int quiet = 0; quiet < QUIET; quiet++) {
		still_app_turn(still);
		if (still_app_settle(still) || receive(client))
			quiet = -1;
		HOLDS(++turns < 10 * size + 100, "it does not come to rest");
	}
}

/* ---- the answers ---------------------------------------------------------------------------- */

static void check_body(const char *body, size_t size)
{
	json_error_t where;
	json_t *json = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);

	HOLDS(json != NULL, "an answer is no JSON: %s at byte %d of %.*s", where.text,
	      where.position, (int)size, body);
	json_decref(json);
}

static bool head_has(const char *head, const char *body, const char *field)
{
	const char *found = strstr(head, field);

	return found != NULL && found < body;
}

/* Behind the last chunk; an answer that was still going on when all was closed lacks it. */
static const char *check_chunks(const char *at, const char *end)
{
	while (at < end) {
		char *data;
		size_t size = strtoul(at, &data, 16);

		HOLDS(data > at && strncmp(data, "\r\n", 2) == 0, "no chunk: %s", at);
		at = data + 2;
		HOLDS((size_t)(end - at) >= size + 2 && strncmp(at + size, "\r\n", 2) == 0,
		      "a chunk does not end where it says: %s", data);
		at += size + 2;
		if (size == 0)
			return at;
	}
	return end;
}

/* Where the next one begins. `asks_for_heads`: requests for a head alone are among those that were made;
 * to them there is no body. */
static const char *check_answer(const char *at, const char *end, bool asks_for_heads)
{
	const char *body = strstr(at, "\r\n\r\n");
	size_t size;

	HOLDS(strncmp(at, "HTTP/1.1 ", 9) == 0 && body != NULL, "no answer: %s", at);
	body += 4;
	if (strncmp(at + 9, "100 ", 4) == 0 || strncmp(at + 9, "304 ", 4) == 0)
		return body;
	if (head_has(at, body, "\r\nTransfer-Encoding: chunked\r\n"))
		return check_chunks(body, end);
	if (!head_has(at, body, "\r\nContent-Length: ")) { /* a stream to a client of HTTP/1.0 */
		HOLDS(head_has(at, body, "\r\nConnection: close\r\n"), "it has no end: %s", at);
		return end;
	}
	if (asks_for_heads && (body == end || strncmp(body, "HTTP/1.1 ", 9) == 0))
		return body;
	size = strtoul(strstr(at, "\r\nContent-Length: ") + 18, NULL, 10);
	HOLDS((size_t)(end - body) >= size, "an answer is not whole: %s", at);
	if (head_has(at, body, "\r\nContent-Type: application/json\r\n"))
		check_body(body, size);
	return body + size;
}

static void check_answers(struct client *client, bool asks_for_heads)
{
	const char *at = lw_buf_text(&client->in);
	const char *end = at + client->in.size;

	while (at < end)
		at = check_answer(at, end, asks_for_heads);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct still_app still;
	struct client client = { 0 };
	struct http *http = NULL;
	struct lw_err err = { 0 };

	log_to_nowhere();
	make_folder();
	open_app(&still);
	HOLDS(http_new(still.app, path, &http, &err) == 0, "%s", err.text);
	client.fd = lw_socket_dial(path, &err);
	HOLDS(client.fd >= 0, "%s", err.text);
	send_all(&client, data, size / 2);
	turn_until_quiet(&still, &client, size);
	send_all(&client, data + size / 2, size - size / 2);
	turn_until_quiet(&still, &client, size);
	if (size % 2 == 0) {
		shutdown(client.fd, SHUT_WR);
		turn_until_quiet(&still, &client, size);
		HOLDS(http_client_count(http) == 0, "a client that hung up is still there");
	}
	http_free(http);
	receive(&client);
	check_answers(&client, memmem(data, size, "HEAD ", 5) != NULL);
	close(client.fd);
	lw_buf_done(&client.in);
	still_app_close(&still);
	return 0;
}
