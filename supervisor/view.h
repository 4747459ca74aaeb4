/* view.h - the address that browsers open: its listener, its token, who may do what there.
 *
 * Owned by the supervisor. TCP has no peer credentials, and any page in the same browser can send
 * requests to it; so a request has to bear the token, come to a name that is ours, and come from
 * no other page. view.c has the listener and the token, view_rights.c judges; what may pass is
 * served as on control.sock (api.h).
 */
#ifndef LW_SUPERVISOR_VIEW_H
#define LW_SUPERVISOR_VIEW_H

#include "app.h"
#include "http_parse.h"
#include "lw_err.h"

#define VIEW_TOKEN_SIZE 32 /* hex digits */

struct view;

/* Listens at the address that app.conf says; *ret_view is NULL when it says none. */
LW_MUST_USE int view_new(struct app *app, struct view **ret_view, struct lw_err *err);
void view_free(struct view *view);

/* "http://127.0.0.1:7501/view", and with the token that opens it. */
const char *view_url(const struct view *view);
const char *view_entrance(const struct view *view);

/* ---- who may do what (view_rights.c) --------------------------------------------------------- */

struct view_rights {
	char token[VIEW_TOKEN_SIZE + 1];
	char cookie[16]; /* its name, "lw_7501" */
	char host[256];  /* as app.conf has it, without brackets */
	char bound[64];  /* the address that this is */
	bool anywhere;   /* which is every address of this machine */
};

/* 0: it may pass. Minus the status, with the sentence: 401 without the token, 403 from elsewhere.
 * `open`: no token is needed. */
LW_MUST_USE int view_judge(const struct view_rights *rights, const struct http_head *head,
			   bool open, struct lw_err *err);

/* The entrance, "/view?token=...": a request that brings the token in its query. */
bool view_is_entrance(const struct http_head *head);
/* True of a request that another page sent the browser to: cookies come only with the next. */
bool view_is_from_elsewhere(const struct http_head *head);

#endif
