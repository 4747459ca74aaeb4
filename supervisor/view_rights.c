/* view_rights.c - who may do what at the view. Pure. See view.h.
 *
 * Another user of the machine can connect, and lacks the token. A page of another server in the
 * operator's browser can make it send requests, also with our cookie, as cookies know no ports:
 * such requests say where they come from (Origin, Sec-Fetch-Site), and where they do not, they
 * can change nothing and their answers are not handed to that page. A page whose name was made to
 * lead here afterwards (DNS rebinding) is of the same origin for its browser, and names itself as
 * the Host; an address as the Host is no such name.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "view.h"

#define ENTRANCE "/view"
#define TOKEN    "token="
#define BEARER   "Bearer "
#define HOST_MAX 256

/* ---- the Host ------------------------------------------------------------------------------- */

/* "name:7501", "[::1]:7501", "name" to the name; the port is what a tunnel has it to be. */
static bool host_name(const char *host, char name[HOST_MAX])
{
	bool bracket = host[0] == '[';
	size_t size = strcspn(host + bracket, bracket ? "]" : ":");
	const char *rest = host + bracket + size;

	if (bracket && *rest++ != ']')
		return false;
	if (size == 0 || size >= HOST_MAX || (*rest != '\0' && *rest != ':'))
		return false;
	if (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0')
		return false;
	memcpy(name, host + bracket, size);
	name[size] = '\0';
	return true;
}

/* Of this machine: the end of a tunnel. */
static bool is_loopback(const char *name)
{
	struct in_addr four;

	return strcasecmp(name, "localhost") == 0 || strcmp(name, "::1") == 0 ||
	       (inet_pton(AF_INET, name, &four) == 1 && (ntohl(four.s_addr) >> 24) == 127);
}

static bool is_address(const char *name)
{
	struct in6_addr room;

	return inet_pton(AF_INET, name, &room) == 1 || inet_pton(AF_INET6, name, &room) == 1;
}

static bool is_ours(const struct view_rights *rights, const char *host)
{
	char name[HOST_MAX];

	return host_name(host, name) &&
	       (is_loopback(name) || strcasecmp(name, rights->host) == 0 ||
		strcmp(name, rights->bound) == 0 || (rights->anywhere && is_address(name)));
}

/* ---- the origin ----------------------------------------------------------------------------- */

static bool is_same_origin(const struct http_head *head)
{
	return strncasecmp(head->origin, "http://", 7) == 0 &&
	       strcasecmp(head->origin + 7, head->host) == 0;
}

bool view_is_from_elsewhere(const struct http_head *head)
{
	return head->fetch_site != NULL && strcasecmp(head->fetch_site, "none") != 0 &&
	       strcasecmp(head->fetch_site, "same-origin") != 0;
}

/* ---- the token ------------------------------------------------------------------------------ */

/* Takes as long whatever differs. */
static bool is_token(const struct view_rights *rights, const char *text, size_t size)
{
	unsigned char differs = 0;

	if (size != VIEW_TOKEN_SIZE)
		return false;
	for (size_t i = 0; i < VIEW_TOKEN_SIZE; i++)
		differs |= (unsigned char)(text[i] ^ rights->token[i]);
	return differs == 0;
}

bool view_is_entrance(const struct http_head *head)
{
	return strcmp(head->method, "GET") == 0 && strcmp(head->path, ENTRANCE) == 0 &&
	       strncmp(head->query, TOKEN, strlen(TOKEN)) == 0;
}

static bool query_opens(const struct view_rights *rights, const struct http_head *head)
{
	const char *token = head->query + strlen(TOKEN);

	return is_token(rights, token, strcspn(token, "&"));
}

static bool header_opens(const struct view_rights *rights, const char *authorization)
{
	const char *token = authorization + strlen(BEARER);

	return strncasecmp(authorization, BEARER, strlen(BEARER)) == 0 &&
	       is_token(rights, token, strlen(token));
}

/* "a=b; lw_7501=TOKEN" */
static bool cookie_opens(const struct view_rights *rights, const char *cookie)
{
	size_t name = strlen(rights->cookie);

	while (*cookie != '\0') {
		size_t size = strcspn(cookie, ";");

		if (size > name && cookie[name] == '=' &&
		    strncmp(cookie, rights->cookie, name) == 0 &&
		    is_token(rights, cookie + name + 1, size - name - 1))
			return true;
		cookie += size;
		cookie += strspn(cookie, "; ");
	}
	return false;
}

/* ---- judging -------------------------------------------------------------------------------- */

static int judge_source(const struct view_rights *rights, const struct http_head *head,
			struct lw_err *err)
{
	if (head->host == NULL || !is_ours(rights, head->host))
		return lw_err_set(err, -403, "'%.100s' is no name of this address",
				  head->host != NULL ? head->host : "");
	if (head->origin != NULL && !is_same_origin(head))
		return lw_err_set(err, -403, "requests of pages of '%.100s' are not taken",
				  head->origin);
	/* A link to the entrance may stand anywhere: whoever has the token may follow it. */
	if (view_is_from_elsewhere(head) && !view_is_entrance(head))
		return lw_err_set(err, -403, "requests of other pages are not taken (%.50s)",
				  head->fetch_site);
	return 0;
}

int view_judge(const struct view_rights *rights, const struct http_head *head, bool open,
	       struct lw_err *err)
{
	int r = judge_source(rights, head, err);
	bool opens;

	if (r < 0 || open)
		return r;
	if (view_is_entrance(head))
		opens = query_opens(rights, head);
	else if (head->authorization != NULL)
		opens = header_opens(rights, head->authorization);
	else
		opens = head->cookie != NULL && cookie_opens(rights, head->cookie);
	if (!opens)
		return lw_err_set(err, -401, "this needs the token of the supervisor");
	if (head->authorization == NULL && head->origin == NULL && !http_only_reads(head))
		return lw_err_set(err, -403, "a request that changes something says its Origin");
	return 0;
}
