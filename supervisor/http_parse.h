/* http_parse.h - bytes of a client to the head and body of one request. Pure; never waits.
 *
 * Owned by http.c, one for each client. Takes HTTP/1.0 and 1.1 with Content-Length or chunked
 * bodies. What it refuses it refuses with the status and sentence of the answer; the connection
 * is closed after that, as nobody knows where the next request begins.
 */
#ifndef LW_SUPERVISOR_HTTP_PARSE_H
#define LW_SUPERVISOR_HTTP_PARSE_H

#include "lw_base.h"
#include "lw_buf.h"
#include "lw_err.h"

#define HTTP_HEAD_MAX ((size_t)64 << 10)
#define HTTP_BODY_MAX ((size_t)20 << 20)

struct http_head {
	char *method;  /* this and all other texts lie in one block, owned by the head */
	char *path;    /* of the target, percent-encoded as it came */
	char *query;   /* behind its '?', or "" */
	size_t length; /* Content-Length */
	bool chunked;
	bool expects;      /* Expect: 100-continue */
	bool keep_alive;   /* further requests may follow */
	bool takes_chunks; /* HTTP/1.1: the answer may be in chunks */

	/* Headers by which rights are judged and answers chosen; NULL: not there. */
	const char *host, *origin, *cookie, *authorization;
	const char *fetch_site; /* Sec-Fetch-Site */
	const char *if_none_match, *last_event_id;
};
void http_head_done(struct http_head *head);
bool http_only_reads(
	const struct http_head *head); /* GET, or HEAD, to which http.c answers without a body */

/* Reads one head. The number of bytes it takes, 0 when it is not whole yet (*seen: bytes that
 * need not be searched again; 0 at first), or minus the HTTP status with a sentence. */
LW_MUST_USE int http_parse_head(struct lw_slice in, size_t *seen, struct http_head *ret_head,
				struct lw_err *err);

/* Takes chunks from in[*at...] to `body` and moves *at. 1: the last chunk and the trailer were
 * read, 0: not whole yet, or minus the HTTP status. */
LW_MUST_USE int http_parse_chunks(struct lw_slice in, size_t *at, struct lw_buf *body,
				  struct lw_err *err);

/* %41 to A; caller frees. NULL: not well-formed, no UTF-8, or a NUL. */
char *http_decode(const char *text, size_t size);

const char *http_status_text(int status);

#endif
