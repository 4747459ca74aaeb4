/* http_parse.c - bytes of a client to the head and body of one request.
 *
 * Called by http.c for whatever a client sent, so nothing here believes a byte.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http_parse.h"
#include "lw_value.h"

#define CHUNK_LINE_MAX 256

/* clang-format off */
static const struct { int status; const char *text; } statuses[] = {
	{ 200, "OK" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 413, "Content Too Large" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};
/* clang-format on */

const char *http_status_text(int status)
{
	for (size_t i = 0; i < LW_COUNT(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "Error";
}

bool http_only_reads(const struct http_head *head)
{
	return strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0;
}

void http_head_done(struct http_head *head)
{
	lw_free(head->method);
	*head = (struct http_head){ 0 };
}

/* The characters of methods and header names (RFC 9110, token). */
static bool is_token(const char *text, size_t size)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c != '\0' && strchr(marks, c) != NULL)))
			return false;
	}
	return size > 0;
}

static bool is_visible(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] <= ' ' || text[i] == 127)
			return false;
	return size > 0;
}

/* METHOD /path?query HTTP/1.x, a line that ends in NUL. */
static int parse_request_line(char *line, size_t size, struct http_head *head, struct lw_err *err)
{
	char *target = memchr(line, ' ', size);
	char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
	char *query;

	if (version == NULL || !is_token(line, (size_t)(target - line)) ||
	    !is_visible(target + 1, (size_t)(version - target) - 1))
		return lw_err_set(err, -400, "this is not an HTTP request");
	*target++ = '\0';
	*version++ = '\0';
	if (strncmp(version, "HTTP/1.", 7) != 0 || strlen(version) != 8)
		return lw_err_set(err, -505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (strncmp(target, "http://", 7) == 0)
		target = strchr(target + 7, '/');
	if (target == NULL || target[0] != '/')
		return lw_err_set(err, -400, "the target of the request is no path");
	query = strchr(target, '?');
	head->takes_chunks = version[7] != '0';
	head->keep_alive = head->takes_chunks;
	head->path = target;
	head->query = query != NULL ? query + 1 : target + strlen(target);
	if (query != NULL)
		*query = '\0';
	return 0;
}

static int header_length(const char *value, struct http_head *head, struct lw_err *err)
{
	size_t length = 0;

	if (value[0] == '\0')
		return lw_err_set(err, -400, "Content-Length is empty");
	for (const char *at = value; *at != '\0'; at++) {
		if (*at < '0' || *at > '9')
			return lw_err_set(err, -400, "Content-Length is no number");
		length = length * 10 + (size_t)(*at - '0');
		if (length > HTTP_BODY_MAX)
			return lw_err_set(err, -413, "the body is longer than %zu MiB",
					  HTTP_BODY_MAX >> 20);
	}
	if (head->length != SIZE_MAX && head->length != length)
		return lw_err_set(err, -400, "Content-Length is given twice");
	head->length = length;
	return 0;
}

static int header_coding(const char *value, struct http_head *head, struct lw_err *err)
{
	if (strcasecmp(value, "chunked") != 0)
		return lw_err_set(err, -501, "only the transfer coding 'chunked' is known");
	head->chunked = true;
	return 0;
}

static int header_connection(const char *value, struct http_head *head, struct lw_err *err)
{
	(void)err;
	if (strcasestr(value, "close") != NULL)
		head->keep_alive = false;
	return 0;
}

static int header_expect(const char *value, struct http_head *head, struct lw_err *err)
{
	(void)err;
	head->expects = strcasecmp(value, "100-continue") == 0;
	return 0;
}

/* clang-format off */
static const struct {
	const char *name;
	size_t member;
} texts[] = {
	{ "Host",            offsetof(struct http_head, host) },
	{ "Origin",          offsetof(struct http_head, origin) },
	{ "Cookie",          offsetof(struct http_head, cookie) },
	{ "Authorization",   offsetof(struct http_head, authorization) },
	{ "Sec-Fetch-Site",  offsetof(struct http_head, fetch_site) },
	{ "If-None-Match",   offsetof(struct http_head, if_none_match) },
	{ "Last-Event-ID",   offsetof(struct http_head, last_event_id) },
};

static const struct {
	const char *name;
	int (*take)(const char *value, struct http_head *head, struct lw_err *err);
} headers[] = {
	{ "Content-Length",    header_length },
	{ "Transfer-Encoding", header_coding },
	{ "Connection",        header_connection },
	{ "Expect",            header_expect },
};
/* clang-format on */

/* Given twice, nobody knows which of them somebody before us has looked at. */
static int keep_text(const char *name, const char *value, struct http_head *head,
		     struct lw_err *err)
{
	for (size_t i = 0; i < LW_COUNT(texts); i++) {
		const char **text;

		if (strcasecmp(name, texts[i].name) != 0)
			continue;
		text = (const char **)(void *)((char *)head + texts[i].member);
		if (*text != NULL)
			return lw_err_set(err, -400, "%s is given twice", texts[i].name);
		*text = value;
	}
	return 0;
}

static int parse_header(char *line, size_t size, struct http_head *head, struct lw_err *err)
{
	char *value = memchr(line, ':', size);
	char *end = line + size;

	if (value == NULL || !is_token(line, (size_t)(value - line)))
		return lw_err_set(err, -400, "a header of the request has no name");
	*value++ = '\0';
	while (*value == ' ' || *value == '\t')
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	for (size_t i = 0; i < LW_COUNT(headers); i++)
		if (strcasecmp(line, headers[i].name) == 0)
			return headers[i].take(value, head, err);
	return keep_text(line, value, head, err);
}

/* `text` is a copy of the whole head, its empty line included; lines are cut in place. */
static int parse_lines(char *text, struct http_head *head, struct lw_err *err)
{
	bool first = true;

	for (char *line = text;;) {
		char *end = strchr(line, '\n');
		size_t size;
		int r;

		if (end == NULL)
			return lw_err_set(err, -400, "this is not an HTTP request");
		size = (size_t)(end - line);
		if (size > 0 && line[size - 1] == '\r')
			size--;
		line[size] = '\0';
		if (size == 0 && !first)
			return 0;
		r = first ? parse_request_line(line, size, head, err)
			  : parse_header(line, size, head, err);
		if (r < 0)
			return r;
		first = false;
		line = end + 1;
	}
}

/* Where the head ends: behind the first empty line; 0: not there yet. */
static size_t head_size(struct lw_slice in, size_t *seen)
{
	size_t at = *seen;

	for (;;) {
		const uint8_t *end = memchr(in.data + at, '\n', in.size - at);
		size_t next;

		if (end == NULL)
			break;
		next = (size_t)(end - in.data) + 1;
		if (in.size > next && in.data[next] == '\n')
			return next + 1;
		if (in.size > next + 1 && in.data[next] == '\r' && in.data[next + 1] == '\n')
			return next + 2;
		if (in.size < next + 2) {
			*seen = next - 1;
			return 0;
		}
		at = next;
	}
	*seen = in.size;
	return 0;
}

int http_parse_head(struct lw_slice in, size_t *seen, struct http_head *ret_head,
		    struct lw_err *err)
{
	struct http_head head = { .length = SIZE_MAX };
	size_t size = in.size > 0 ? head_size(in, seen) : 0;
	int r;

	if (size > HTTP_HEAD_MAX || (size == 0 && in.size > HTTP_HEAD_MAX))
		return lw_err_set(err, -431, "the head of the request is longer than %zu KiB",
				  HTTP_HEAD_MAX >> 10);
	if (size == 0)
		return 0;
	if (memchr(in.data, '\0', size) != NULL)
		return lw_err_set(err, -400, "this is not an HTTP request");
	head.method = lw_strndup(in.data, size);
	r = parse_lines(head.method, &head, err);
	if (r == 0 && head.chunked && head.length != SIZE_MAX)
		r = lw_err_set(err, -400, "a chunked body has no Content-Length");
	if (r < 0) {
		http_head_done(&head);
		return r;
	}
	if (head.length == SIZE_MAX)
		head.length = 0;
	*ret_head = head;
	return (int)size;
}

/* ---- chunks ----------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The line at `at` without its end: 1 and where the next begins, 0: not whole. */
static int take_line(struct lw_slice in, size_t at, struct lw_slice *ret_line, size_t *ret_next,
		     struct lw_err *err)
{
	size_t most = in.size - at < CHUNK_LINE_MAX ? in.size - at : CHUNK_LINE_MAX;
	const uint8_t *end = most > 0 ? memchr(in.data + at, '\n', most) : NULL;

	if (end == NULL)
		return most < CHUNK_LINE_MAX
			       ? 0
			       : lw_err_set(err, -400, "a chunk of the body has no size");
	*ret_line = (struct lw_slice){ in.data + at, (size_t)(end - in.data) - at };
	*ret_next = (size_t)(end - in.data) + 1;
	if (ret_line->size > 0 && ret_line->data[ret_line->size - 1] == '\r')
		ret_line->size--;
	return 1;
}

static int chunk_size(struct lw_slice line, size_t *ret_size, struct lw_err *err)
{
	size_t size = 0;
	size_t i = 0;

	for (; i < line.size && hex((char)line.data[i]) >= 0; i++) {
		size = size * 16 + (size_t)hex((char)line.data[i]);
		if (size > HTTP_BODY_MAX)
			return lw_err_set(err, -413, "the body is longer than %zu MiB",
					  HTTP_BODY_MAX >> 20);
	}
	if (i == 0 || (i < line.size && line.data[i] != ';' && line.data[i] != ' '))
		return lw_err_set(err, -400, "a chunk of the body has no size");
	*ret_size = size;
	return 0;
}

/* Skips the trailer; *at is moved only when it is whole, or when the next try may skip. */
static int take_trailer(struct lw_slice in, size_t next, size_t *at, struct lw_err *err)
{
	struct lw_slice line;
	size_t begin = next;
	int r;

	while ((r = take_line(in, next, &line, &next, err)) == 1) {
		if (line.size == 0) {
			*at = next;
			return 1;
		}
		if (next - begin > HTTP_HEAD_MAX)
			return lw_err_set(err, -431, "the trailer of the request is too long");
	}
	return r;
}

int http_parse_chunks(struct lw_slice in, size_t *at, struct lw_buf *body, struct lw_err *err)
{
	for (;;) {
		struct lw_slice line = { 0 };
		size_t next = 0, size = 0;
		int r = take_line(in, *at, &line, &next, err);

		if (r <= 0)
			return r;
		r = chunk_size(line, &size, err);
		if (r < 0)
			return r;
		if (size == 0)
			return take_trailer(in, next, at, err);
		if (body->size + size > HTTP_BODY_MAX)
			return lw_err_set(err, -413, "the body is longer than %zu MiB",
					  HTTP_BODY_MAX >> 20);
		if (in.size - next < size + 2)
			return 0;
		if (memcmp(in.data + next + size, "\r\n", 2) != 0)
			return lw_err_set(err, -400,
					  "a chunk of the body does not end where it says");
		lw_buf_add(body, in.data + next, size);
		*at = next + size + 2;
	}
}

char *http_decode(const char *text, size_t size)
{
	char *out = lw_alloc(size + 1);
	size_t at = 0;

	for (size_t i = 0; i < size; i++) {
		int high = text[i] == '%' && i + 2 < size ? hex(text[i + 1]) : -1;
		int low = high >= 0 ? hex(text[i + 2]) : -1;

		if (text[i] != '%') {
			out[at++] = text[i];
			continue;
		}
		if (low < 0 || (high == 0 && low == 0)) {
			lw_free(out);
			return NULL;
		}
		out[at++] = (char)(high * 16 + low);
		i += 2;
	}
	if (!lw_text_is_utf8(out, at)) {
		lw_free(out);
		return NULL;
	}
	return out;
}
