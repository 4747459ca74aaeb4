/* site.h - what is served beside the API: the page, and what probes ask for.
 *
 * Called by api.c for each request whose path is not below /api/v1/. One table, site.c.
 */
#ifndef LW_SUPERVISOR_SITE_H
#define LW_SUPERVISOR_SITE_H

#include "http.h"

void site_serve(struct http_request *request);
/* Answered also to who has no token: it tells nothing of the works. */
bool site_is_open(const char *path);

/* The table as data; false behind the last row. */
bool site_row(size_t i, const char **ret_path, const char **ret_sentence);

#endif
