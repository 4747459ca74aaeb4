/* lw_logfile.c - names and lines of the files that keep what works print. See lw_logfile.h. */
#include "lw_logfile.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "lw_value.h"

#define NAME_MOST 200 /* bytes; a file's name may have 255, and ".log.1000" comes behind */
#define NAME_CUT  170
#define SECOND    INT64_C(1000000)

unsigned lw_logfile_colour(const char *work)
{
	static const unsigned colours[] = { 31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96 };
	unsigned hash = 5381;

	for (; *work != '\0'; work++)
		hash = hash * 33 + (unsigned char)*work;
	return colours[hash % LW_COUNT(colours)];
}

/* ---- names ------------------------------------------------------------------------------ */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

char *lw_logfile_name(const char *work)
{
	LW_AUTO_BUF name = { 0 };
	size_t cut = 0;

	for (const char *at = work; *at != '\0'; at++) {
		if (is_plain(*at))
			lw_buf_add(&name, at, 1);
		else
			lw_buf_printf(&name, "%%%02X", (unsigned)(unsigned char)*at);
		if (name.size <= NAME_CUT)
			cut = name.size; /* a whole byte of the work's name */
	}
	if (name.size > NAME_MOST) {
		name.size = cut;
		lw_buf_printf(&name, "~%016llx",
			      (unsigned long long)XXH3_64bits(work, strlen(work)));
	}
	return lw_strdup(lw_buf_text(&name));
}

static int hex_value(char c)
{
	const char *digits = "0123456789ABCDEF";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

char *lw_logfile_work(const char *name)
{
	char *work, *to;

	if (strcmp(name, LW_LOGFILE_OWN) == 0)
		return NULL;
	work = lw_strdup(name);
	to = work;
	for (const char *at = name; *at != '\0'; at++) {
		int high = at[0] == '%' ? hex_value(at[1]) : -1;
		int low = high >= 0 ? hex_value(at[2]) : -1;

		*to++ = *at;
		if (low >= 0) {
			to[-1] = (char)(high << 4 | low);
			at += 2;
		}
	}
	*to = '\0';
	return work;
}

int lw_logfile_age(const char *file, size_t *ret_size)
{
	size_t size = strlen(file), digits = 0;
	int age = 0;

	while (digits < size && file[size - 1 - digits] >= '0' && file[size - 1 - digits] <= '9')
		digits++;
	if (digits > 0 && digits < 6 && size > digits && file[size - 1 - digits] == '.') {
		for (size_t i = size - digits; i < size; i++)
			age = age * 10 + (file[i] - '0');
		size -= digits + 1;
		if (age == 0)
			return -1;
	}
	if (size <= 4 || strncmp(file + size - 4, ".log", 4) != 0)
		return -1;
	*ret_size = size - 4;
	return age;
}

void lw_logfile_path(const char *folder, const char *name, unsigned age, char *path, size_t room)
{
	if (age == 0)
		snprintf(path, room, "%s/%s.log", folder, name);
	else
		snprintf(path, room, "%s/%s.log.%u", folder, name, age);
}

/* ---- lines ------------------------------------------------------------------------------ */

size_t lw_logfile_head(const struct lw_logfile_line *line, char head[LW_LOGFILE_HEAD_MAX])
{
	time_t seconds = (time_t)(line->at / SECOND);
	char pid[16] = "-", run[24] = "-", stamp[32];
	struct tm parts = { 0 };
	int size;

	(void)gmtime_r(&seconds, &parts);
	if (strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts) != 19)
		snprintf(stamp, sizeof(stamp), "1970-01-01T00:00:00");
	if (line->pid > 0)
		snprintf(pid, sizeof(pid), "%d", (int)line->pid);
	if (line->run > 0)
		snprintf(run, sizeof(run), "%llu", (unsigned long long)line->run);
	size = snprintf(head, LW_LOGFILE_HEAD_MAX, "%s.%06uZ %s %s %s%s ", stamp,
			(unsigned)(line->at % SECOND) % 1000000u, pid, run,
			line->err ? "err" : "out", line->more ? "+" : "");
	return size > 0 ? (size_t)size : 0;
}

/* What is still to be read of a line. */
struct cursor {
	const uint8_t *at, *end;
};

/* So many digits; 0: as many as there are. */
static bool read_number(struct cursor *cursor, size_t digits, uint64_t *ret_number)
{
	const uint8_t *at = cursor->at;
	uint64_t number = 0;

	while (at < cursor->end && *at >= '0' && *at <= '9' && at - cursor->at < 19 &&
	       (digits == 0 || (size_t)(at - cursor->at) < digits))
		number = number * 10 + (uint64_t)(*at++ - '0');
	if (at == cursor->at || (digits > 0 && (size_t)(at - cursor->at) != digits))
		return false;
	cursor->at = at;
	*ret_number = number;
	return true;
}

static bool read_word(struct cursor *cursor, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size) != 0)
		return false;
	cursor->at += size;
	return true;
}

static bool read_stamp(struct cursor *cursor, int64_t *ret_at)
{
	static const struct {
		size_t digits;
		const char *behind;
	} fields[] = { { 4, "-" }, { 2, "-" }, { 2, "T" }, { 2, ":" },
		       { 2, ":" }, { 2, "." }, { 6, "Z " } };
	uint64_t f[LW_COUNT(fields)];
	struct tm parts = { 0 };

	for (size_t i = 0; i < LW_COUNT(fields); i++)
		if (!read_number(cursor, fields[i].digits, &f[i]) ||
		    !read_word(cursor, fields[i].behind))
			return false;
	if (f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 || f[3] > 23 || f[4] > 59 || f[5] > 59)
		return false;
	parts.tm_year = (int)f[0] - 1900;
	parts.tm_mon = (int)f[1] - 1;
	parts.tm_mday = (int)f[2];
	parts.tm_hour = (int)f[3];
	parts.tm_min = (int)f[4];
	parts.tm_sec = (int)f[5];
	*ret_at = (int64_t)timegm(&parts) * SECOND + (int64_t)f[6];
	return true;
}

/* A number or '-', and a blank. */
static bool read_id(struct cursor *cursor, uint64_t *ret_id)
{
	*ret_id = 0;
	return (read_word(cursor, "-") || read_number(cursor, 0, ret_id)) && read_word(cursor, " ");
}

bool lw_logfile_parse(struct lw_slice bytes, struct lw_logfile_line *ret_line)
{
	struct cursor cursor = { bytes.data, lw_slice_end(bytes) };
	struct lw_logfile_line line = { 0 };
	uint64_t pid;

	if (!read_stamp(&cursor, &line.at) || line.at < 0 || !read_id(&cursor, &pid) ||
	    pid > INT32_MAX || !read_id(&cursor, &line.run))
		return false;
	line.pid = (pid_t)pid;
	line.err = read_word(&cursor, "err");
	if (!line.err && !read_word(&cursor, "out"))
		return false;
	line.more = read_word(&cursor, "+");
	if (!read_word(&cursor, " "))
		return false;
	line.text = (struct lw_slice){ cursor.at, (size_t)(cursor.end - cursor.at) };
	*ret_line = line;
	return true;
}

/* ---- as JSON ------------------------------------------------------------------------------ */

/* In the supervisor's own file the flow has standard output for itself. */
static const char *source_of(const char *work, const struct lw_logfile_line *line)
{
	if (work != NULL)
		return "work";
	return line->err ? "lw" : "flow";
}

static void print_id(const char *key, uint64_t id, struct lw_buf *out)
{
	if (id > 0)
		lw_buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)id);
	else
		lw_buf_printf(out, ",\"%s\":null", key);
}

void lw_logfile_print_json(const char *work, const struct lw_logfile_line *line, struct lw_buf *out)
{
	lw_buf_printf(out, "{\"at\":%lld.%06u,\"work\":", (long long)(line->at / SECOND),
		      (unsigned)(line->at % SECOND) % 1000000u);
	if (work != NULL)
		lw_text_print_json(work, strlen(work), out);
	else
		lw_buf_add(out, "null", 4);
	lw_buf_printf(out, ",\"source\":\"%s\"", source_of(work, line));
	print_id("pid", (uint64_t)line->pid, out);
	print_id("run", line->run, out);
	lw_buf_printf(out, ",\"stream\":\"%s\",\"text\":", line->err ? "err" : "out");
	lw_text_print_json(line->text.data, line->text.size, out);
	lw_buf_printf(out, "%s}\n", line->more ? ",\"more\":true" : "");
}
