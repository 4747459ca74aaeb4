/* api.h - the requests of the control API: one table, and the functions behind it.
 *
 * Called by http.c for each request. A request is answered at once by http_reply(), or later
 * by a wait that hangs on it and ends when the client goes away.
 */
#ifndef LW_SUPERVISOR_API_H
#define LW_SUPERVISOR_API_H

#include "http.h"

void api_serve(struct http_request *request);

/* {"error":{"code","message","hint"}}; `hint` may be NULL. */
void api_error_body(struct lw_buf *out, const char *code, const char *message, const char *hint);

/* The table as data, for help and the manual. */
struct api_row {
	const char *method;
	const char *path; /* behind /api/v1/; "*" stands for one segment */
	const char *sentence;
};
size_t api_row_count(void);
struct api_row api_row(size_t i);

#endif
