/* links: lw_supervisor
 *
 * fuzz_http.c - the parser of requests: where the bytes were cut does not matter; and who may do
 * what at the view.
 *
 * Input: what a client sends. It is parsed whole, and again as if it came in small pieces. */
#include <strings.h>

#include "fuzz.h"
#include "http_parse.h"
#include "lw_value.h"
#include "view.h"

#define PIECE 7
#define TOKEN "0123456789abcdef0123456789abcdef"

/* ---- heads ---------------------------------------------------------------------------------- */

static void check_refusal(int r, const struct lw_err *err)
{
	HOLDS(r >= -599 && r <= -400 && strcmp(http_status_text(-r), "Error") != 0,
	      "%d is no status", r);
	HOLDS(err->text[0] != '\0', "refused without a sentence");
}

static void check_head(const struct http_head *head, int size, size_t whole)
{
	LW_AUTO(lw_free) char *path = http_decode(head->path, strlen(head->path));

	HOLDS(size > 0 && (size_t)size <= whole, "a head of %d bytes in %zu", size, whole);
	HOLDS(head->path[0] == '/' && head->method[0] != '\0', "no request");
	HOLDS(head->length <= HTTP_BODY_MAX, "a body of %zu bytes", head->length);
	HOLDS(!head->chunked || head->length == 0, "a chunked body with a length");
	HOLDS(path == NULL || lw_text_is_utf8(path, strlen(path)), "a path that is no text");
}

static bool same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void check_same_head(const struct http_head *a, const struct http_head *b)
{
	HOLDS(strcmp(a->method, b->method) == 0 && strcmp(a->path, b->path) == 0 &&
		      strcmp(a->query, b->query) == 0 && a->length == b->length &&
		      a->chunked == b->chunked && a->expects == b->expects &&
		      a->keep_alive == b->keep_alive,
	      "in pieces it is another request");
	HOLDS(same_text(a->host, b->host) && same_text(a->origin, b->origin) &&
		      same_text(a->cookie, b->cookie) &&
		      same_text(a->authorization, b->authorization) &&
		      same_text(a->fetch_site, b->fetch_site) &&
		      same_text(a->if_none_match, b->if_none_match) &&
		      same_text(a->last_event_id, b->last_event_id),
	      "in pieces it has other headers");
}

/* As parsed when it came in pieces. */
static int parse_pieces(struct lw_slice in, struct http_head *head, struct lw_err *err)
{
	struct lw_slice part = { in.data, 0 };
	size_t seen = 0;
	int r = 0;

	while (r == 0 && part.size < in.size) {
		part.size += in.size - part.size < PIECE ? in.size - part.size : PIECE;
		r = http_parse_head(part, &seen, head, err);
		HOLDS(seen <= part.size, "%zu bytes of %zu were seen", seen, part.size);
	}
	return r;
}

static bool has_token(const char *text)
{
	return text != NULL && strstr(text, TOKEN) != NULL;
}

/* Nobody passes without the token, for another Host, or from another page. */
static void check_rights(const struct http_head *head)
{
	static const struct view_rights rights = {
		.token = TOKEN, .cookie = "lw_7501", .host = "lw.example", .bound = "10.0.0.1"
	};
	struct lw_err err = { 0 };
	int r = view_judge(&rights, head, false, &err);

	HOLDS(r == 0 || r == -401 || r == -403, "%d is no verdict", r);
	HOLDS(r == 0 || err.text[0] != '\0', "refused without a sentence");
	if (r < 0)
		return;
	HOLDS(has_token(head->cookie) || has_token(head->authorization) || has_token(head->query),
	      "passed without the token");
	HOLDS(head->host != NULL &&
		      (strncasecmp(head->host, "lw.example", 10) == 0 ||
		       strncasecmp(head->host, "localhost", 9) == 0 ||
		       strncmp(head->host, "127.", 4) == 0 ||
		       strncmp(head->host, "10.0.0.1", 8) == 0 || strncmp(head->host, "[", 1) == 0),
	      "passed as '%s'", head->host);
	HOLDS(head->origin == NULL || (strlen(head->origin) == 7 + strlen(head->host) &&
				       strcasecmp(head->origin + 7, head->host) == 0),
	      "passed from '%s'", head->origin);
	HOLDS(!view_is_from_elsewhere(head) || view_is_entrance(head), "passed from elsewhere");
	HOLDS(strcmp(head->method, "GET") == 0 || head->origin != NULL ||
		      has_token(head->authorization),
	      "changed something without an origin");
}

/* The size of the head at the beginning, or 0. */
static size_t heads(struct lw_slice in, bool *ret_chunked)
{
	struct http_head head = { 0 }, other = { 0 };
	struct lw_err err = { 0 }, other_err = { 0 };
	size_t seen = 0;
	int r = http_parse_head(in, &seen, &head, &err);

	HOLDS(parse_pieces(in, &other, &other_err) == r, "in pieces: %s, else: %s", other_err.text,
	      err.text);
	*ret_chunked = head.chunked;
	if (r < 0)
		check_refusal(r, &err);
	if (r <= 0)
		return 0;
	check_head(&head, r, in.size);
	check_same_head(&head, &other);
	check_rights(&head);
	http_head_done(&head);
	http_head_done(&other);
	return (size_t)r;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static int chunk_pieces(struct lw_slice in, size_t *at, struct lw_buf *body, struct lw_err *err)
{
	struct lw_slice part = { in.data, 0 };
	int r = 0;

	while (r == 0 && part.size < in.size) {
		part.size += in.size - part.size < PIECE ? in.size - part.size : PIECE;
		r = http_parse_chunks(part, at, body, err);
		HOLDS(*at <= part.size, "%zu bytes of %zu were taken", *at, part.size);
	}
	return r;
}

static void chunks(struct lw_slice in)
{
	LW_AUTO_BUF body = { 0 };
	LW_AUTO_BUF other = { 0 };
	struct lw_err err = { 0 }, other_err = { 0 };
	size_t at = 0, other_at = 0;
	int r = http_parse_chunks(in, &at, &body, &err);

	HOLDS(chunk_pieces(in, &other_at, &other, &other_err) == r, "in pieces: %s, else: %s",
	      other_err.text, err.text);
	HOLDS(same_bytes(lw_buf_slice(&body), lw_buf_slice(&other)),
	      "in pieces it is another body");
	HOLDS(body.size <= at, "a body of %zu bytes in %zu", body.size, at);
	if (r < 0)
		check_refusal(r, &err);
	else
		HOLDS(at == other_at && at <= in.size, "in pieces it ends elsewhere");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lw_slice in = { data, size };
	bool chunked;
	size_t head = heads(in, &chunked);

	if (head > 0 && chunked)
		chunks((struct lw_slice){ data + head, size - head });
	return 0;
}
