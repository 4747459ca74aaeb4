/* watch.c - `lwctl status --watch`: a status that is asked for again and again and drawn in place.
 *
 * Called by command.c, on a terminal. A supervisor that goes away is said and waited for; the
 * interrupt key is how it ends.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lwctl.h"

#define EVERY    1.0 /* seconds between two looks */
#define PATIENCE 5.0 /* for an answer */

/* The other screen, without a cursor, long lines cut; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static void on_end(int signal_number)
{
	(void)!write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1);
	(void)signal(signal_number, SIG_DFL);
	(void)raise(signal_number);
}

static void put(const char *text, size_t size)
{
	(void)fwrite(text, 1, size, stdout);
}

/* As many lines as there is room for, and how many there would be. */
static void draw(const char *text, size_t height)
{
	size_t lines = 0, shown = 0;

	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	(void)fputs("\033[H", stdout);
	for (; lines > 0 && shown < (lines < height ? lines : height - 1); shown++) {
		size_t size = strcspn(text, "\n");

		put(text, size);
		(void)fputs("\033[K\r\n", stdout);
		text += size + 1;
	}
	if (shown < lines)
		(void)printf("(%zu more lines)", lines - shown);
	(void)fputs("\033[J", stdout);
	(void)fflush(stdout);
}

/* What is to be seen now; the caller's. */
static char *look(const struct watch *watch, const struct screen *screen)
{
	struct reply reply = { 0 };
	struct lw_err err = { 0 };
	struct screen page = *screen;
	char *text = NULL;
	size_t size;
	json_t *answer = NULL;

	page.out = open_memstream(&text, &size);
	if (page.out == NULL)
		return NULL;
	if (client_ask(watch->socket, "GET", watch->path, NULL, PATIENCE, NULL, &reply, &err) < 0)
		(void)fprintf(page.out, "%s; trying again\n", err.text);
	else
		answer =
			json_loadb((const char *)reply.body.data, reply.body.size, JSON_READ, NULL);
	if (answer != NULL && reply.status == 200)
		watch->draw(watch->context, &page, answer);
	else if (answer != NULL)
		print_line(&page, "lwctl:",
			   json_string_value(
				   json_object_get(json_object_get(answer, "error"), "message")));
	json_decref(answer);
	lw_buf_done(&reply.body);
	(void)fclose(page.out);
	return text;
}

void watch(const struct watch *watch)
{
	char *seen = NULL;
	size_t width = 0, height = 0;

	client_catch_interrupt();
	(void)signal(SIGTERM, on_end);
	(void)signal(SIGHUP, on_end);
	(void)fputs(ENTER, stdout);
	do {
		struct screen screen = screen_of(stdout);
		char *text = look(watch, &screen);
		bool same = seen != NULL && text != NULL && strcmp(seen, text) == 0 &&
			    screen.width == width && screen.height == height;

		if (text != NULL && !same)
			draw(text, screen.height);
		width = screen.width;
		height = screen.height;
		free(seen);
		seen = text;
	} while (client_pause(EVERY) == 0);
	free(seen);
	(void)fputs(LEAVE, stdout);
}
