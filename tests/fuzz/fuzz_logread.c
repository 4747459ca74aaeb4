/* links: lw_common
 *
 * fuzz_logread.c - files of lines that anybody may have damaged are read back.
 *
 * Input: a byte for where the older file ends, one for how many lines are asked for, one for what has
 * to match, then the bytes of both files. The last lines are the end of all of them, whole lines come
 * out as they stand there, and steps are bounded. */
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "lw_buf.h"
#include "lw_logread.h"

#define HEAD 3

static char folder[] = "/tmp/lw-logread-XXXXXX";

static void remove_folder(void)
{
	for (unsigned age = 0; age < 2; age++) {
		char path[64];

		lw_logfile_path(folder, "w", age, path, sizeof(path));
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

static void make_folder(void)
{
	static bool made;

	if (made)
		return;
	made = true;
	HOLDS(mkdtemp(folder) != NULL, "no folder '%s'", folder);
	atexit(remove_folder);
}

static void put_file(unsigned age, struct lw_slice bytes)
{
	char path[64];
	int fd;

	lw_logfile_path(folder, "w", age, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	HOLDS(fd >= 0 && write(fd, bytes.data, bytes.size) == (ssize_t)bytes.size, "cannot write");
	close(fd);
}

struct answer {
	struct lw_buf text;
	size_t lines;
};

/* What was read of a line is written and read again as the same. */
static void check_line(const struct lw_logfile_line *line)
{
	char head[LW_LOGFILE_HEAD_MAX];
	LW_AUTO_BUF whole = { 0 };
	struct lw_logfile_line again;

	lw_buf_add(&whole, head, lw_logfile_head(line, head));
	lw_buf_add(&whole, line->text.data, line->text.size);
	HOLDS(lw_logfile_parse(lw_buf_slice(&whole), &again), "it does not read back");
	HOLDS(again.at == line->at && again.pid == line->pid && again.run == line->run &&
		      again.err == line->err && again.more == line->more &&
		      same_bytes(again.text, line->text),
	      "it reads back as another");
}

static void take(void *context, const char *work, const struct lw_logfile_line *line)
{
	struct answer *answer = context;

	HOLDS(work != NULL && strcmp(work, "w") == 0, "of another work");
	check_line(line);
	lw_buf_add(&answer->text, line->text.data, line->text.size);
	lw_buf_add(&answer->text, "\n", 1);
	answer->lines++;
}

static void ask(const struct lw_logread_query *query, size_t size, struct answer *ret_answer)
{
	LW_AUTO(lw_logread_free)
	struct lw_logread *logread = lw_logread_new(folder, "w", query);
	struct lw_err err = { 0 };
	size_t steps = 0;

	*ret_answer = (struct answer){ 0 };
	while (lw_logread_step(logread, take, ret_answer, &err) > 0)
		HOLDS(++steps < 10 + size / 1000, "it does not come to an end");
	HOLDS(err.code == 0, "%s", err.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lw_logread_query query = { .lines = LW_LOGREAD_ALL };
	struct answer all, last;
	size_t cut;

	if (size < HEAD)
		return 0;
	make_folder();
	cut = (size - HEAD) * data[0] / 255;
	put_file(1, (struct lw_slice){ data + HEAD, cut });
	put_file(0, (struct lw_slice){ data + HEAD + cut, size - HEAD - cut });
	query.err = (data[2] & 1) != 0;
	query.run = data[2] >> 1 & 7;
	query.search = (data[2] & 16) != 0 ? "e" : NULL;
	ask(&query, size, &all);
	query.lines = data[1];
	ask(&query, size, &last);
	HOLDS(last.lines <= data[1] && last.lines <= all.lines, "more than were asked for");
	HOLDS(last.text.size == 0 || last.text.size <= all.text.size, "more than there is");
	HOLDS(last.text.size == 0 || memcmp(lw_slice_end(lw_buf_slice(&all.text)) - last.text.size,
					    last.text.data, last.text.size) == 0,
	      "the last lines are not the end of all");
	lw_buf_done(&all.text);
	lw_buf_done(&last.text);
	return 0;
}
