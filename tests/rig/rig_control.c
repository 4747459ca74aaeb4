/* rig_control.c - what a test asks the supervisor: by lwctl, by HTTP, of the answers' JSON.
 * See rig.h. */
#include "rig_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lw_buf.h"

#define WORDS_MAX 32

json_t *rig_json(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	return json == NULL ? NULL : rig_keep_json(json);
}

struct rig_answer rig_ctl(const char *verb, ...)
{
	char *argv[WORDS_MAX + 2] = { (char *)(uintptr_t)(LW_BIN "/lwctl"),
				      (char *)(uintptr_t)verb };
	struct rig_answer answer;
	struct rig_proc *proc;
	va_list args;
	size_t n = 2;

	va_start(args, verb);
	while (n < WORDS_MAX && (argv[n] = va_arg(args, char *)) != NULL)
		n++;
	va_end(args);
	proc = rig_spawnv(argv);
	answer.status = rig_exit(proc);
	answer.out = rig_format("%s", rig_text(proc, RIG_OUT));
	answer.err = rig_format("%s", rig_text(proc, RIG_ERR));
	answer.json = rig_json(answer.out);
	return answer;
}

int rig_dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		rig_fail(__FILE__, __LINE__, "cannot dial '%s': %s", path, strerror(errno));
	return fd;
}

/* Everything until the peer closes; the processes are heard meanwhile. */
static void read_reply(int fd, struct lw_buf *reply)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	double until = rig_deadline();
	ssize_t n = 1;

	while (n > 0) {
		if (poll(&ready, 1, 2) == 0) {
			if (!rig_pump(until))
				rig_fail(__FILE__, __LINE__, "no answer from the API");
			continue;
		}
		lw_buf_grow(reply, 65536);
		n = read(fd, reply->data + reply->size, 65536);
		reply->size += n > 0 ? (size_t)n : 0;
	}
}

struct rig_answer rig_http(const char *method, const char *path, const char *body)
{
	LW_AUTO(lw_close) int fd = rig_dial(rig_path(".lw/app.conf/control.sock"));
	LW_AUTO_BUF request = { 0 };
	LW_AUTO_BUF reply = { 0 };
	struct rig_answer answer = { 0 };
	const char *text, *start;

	lw_buf_printf(&request,
		      "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		      method, path, body == NULL ? 0 : strlen(body), body == NULL ? "" : body);
	if (send(fd, request.data, request.size, MSG_NOSIGNAL) != (ssize_t)request.size)
		rig_fail(__FILE__, __LINE__, "cannot ask the API: %s", strerror(errno));
	read_reply(fd, &reply);
	text = rig_format("%s", lw_buf_text(&reply));
	start = strstr(text, "\r\n\r\n");
	if (start == NULL || sscanf(text, "HTTP/1.1 %d", &answer.status) != 1)
		rig_fail(__FILE__, __LINE__, "no HTTP: %s", text);
	answer.out = start + 4;
	answer.err = text;
	answer.json = rig_json(answer.out);
	return answer;
}

static json_t *get(const char *path)
{
	struct rig_answer answer = rig_http("GET", path, NULL);

	if (answer.status != 200 || answer.json == NULL)
		rig_fail(__FILE__, __LINE__, "GET %s: %s", path, answer.err);
	return answer.json;
}

json_t *rig_status(void)
{
	return get("/api/v1/status");
}

json_t *rig_work(const char *name)
{
	return get(rig_format("/api/v1/works/%s", name));
}

json_t *rig_run(const char *work, const char *arguments)
{
	struct rig_answer answer = rig_ctl("run", work, arguments, "--wait", "--json", NULL);

	if (answer.json == NULL || rig_at(answer.json, "id") == NULL)
		rig_fail(__FILE__, __LINE__, "run %s %s: status %d, %s%s", work, arguments,
			 answer.status, answer.out, answer.err);
	return answer.json;
}

/* ---- JSON ---------------------------------------------------------------------------- */

json_t *rig_at(json_t *json, const char *path)
{
	while (json != NULL && *path != '\0') {
		size_t size = strcspn(path, ".");
		const char *name = rig_format("%.*s", (int)size, path);

		json = json_is_array(json) ? json_array_get(json, (size_t)atol(name))
					   : json_object_get(json, name);
		path += size + (path[size] == '.' ? 1 : 0);
	}
	return json;
}

const char *rig_string(json_t *json, const char *path)
{
	const char *text = json_string_value(rig_at(json, path));

	return text == NULL ? "" : text;
}

double rig_number(json_t *json, const char *path)
{
	json_t *number = rig_at(json, path);

	return json_is_number(number) ? json_number_value(number) : -1;
}

json_t *rig_cell(json_t *answer, size_t row, const char *column)
{
	json_t *columns = json_object_get(answer, "columns");
	size_t at = 0;

	while (at < json_array_size(columns) &&
	       strcmp(json_string_value(json_array_get(columns, at)), column) != 0)
		at++;
	return json_array_get(json_array_get(json_object_get(answer, "works"), row), at);
}

bool rig_is(json_t *json, const char *path, const char *text)
{
	return strcmp(rig_string(json, path), text) == 0;
}

bool rig_true(json_t *json, const char *path)
{
	json_t *truth = rig_at(json, path); /* jansson's macros read twice */

	return json_is_true(truth);
}

const char *rig_worker_env(const char *work, const char *name)
{
	int pid = (int)rig_number(rig_work(work), "processes.0.pid");
	const char *path = rig_format("/proc/%d/environ", pid);
	size_t size = strlen(name);
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	const char *found = NULL;

	if (file == NULL)
		rig_fail(__FILE__, __LINE__, "no process of '%s'", work);
	while (found == NULL && getdelim(&line, &room, '\0', file) >= 0) {
		if (strncmp(line, name, size) == 0 && line[size] == '=')
			found = rig_format("%s", line + size + 1);
	}
	free(line);
	fclose(file);
	return found;
}
