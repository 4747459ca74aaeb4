/* js.c - a JSON writer. */
#include <string.h>

#include "js.h"
#include "lw_value.h"

static void add(struct lw_buf *out, const char *text, size_t size)
{
	lw_buf_add(out, text, size);
}

/* A comma unless this is the first in its brackets or the value of a key. */
static void comma(struct lw_buf *out)
{
	uint8_t last = out->size > 0 ? out->data[out->size - 1] : '{';

	if (last != '{' && last != '[' && last != ':')
		add(out, ",", 1);
}

void js_open(struct lw_buf *out, char bracket)
{
	comma(out);
	add(out, &bracket, 1);
}

void js_close(struct lw_buf *out, char bracket)
{
	add(out, &bracket, 1);
}

void js_reopen(struct lw_buf *out)
{
	out->size--;
}

void js_key(struct lw_buf *out, const char *key)
{
	comma(out);
	add(out, "\"", 1);
	add(out, key, strlen(key));
	add(out, "\":", 2);
}

static bool is_plain(uint8_t c)
{
	return c >= ' ' && c != '"' && c != '\\' && c < 0x7f;
}

/* Bytes of the UTF-8 character at `at`, 0 when there is none. */
static size_t character(const char *at, size_t size)
{
	for (size_t n = 2; n <= 4 && n <= size; n++)
		if (lw_text_is_utf8(at, n))
			return n;
	return 0;
}

static void escape(struct lw_buf *out, uint8_t c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if (c == (uint8_t)letters[i]) {
			char two[2] = { '\\', letters[i + 1] };

			add(out, two, 2);
			return;
		}
	}
	lw_buf_printf(out, "\\u%04x", c);
}

void js_text(struct lw_buf *out, const char *text)
{
	size_t size = text != NULL ? strlen(text) : 0;
	size_t at = 0;

	comma(out);
	if (text == NULL) {
		add(out, "null", 4);
		return;
	}
	add(out, "\"", 1);
	while (at < size) {
		size_t plain = at;
		size_t n;

		while (plain < size && is_plain((uint8_t)text[plain]))
			plain++;
		add(out, text + at, plain - at);
		at = plain;
		if (at == size)
			break;
		n = (uint8_t)text[at] >= 0x80 ? character(text + at, size - at) : 0;
		if (n > 0) {
			add(out, text + at, n);
			at += n;
		} else if ((uint8_t)text[at] >= 0x80) {
			add(out, "\xef\xbf\xbd", 3);
			at++;
		} else {
			escape(out, (uint8_t)text[at++]);
		}
	}
	add(out, "\"", 1);
}

void js_any_key(struct lw_buf *out, const char *key)
{
	js_text(out, key);
	add(out, ":", 1);
}

/* snprintf is a third of the time of a big status. */
static void digits(struct lw_buf *out, uint64_t number, size_t least)
{
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0 || sizeof(text) - at < least);
	add(out, text + at, sizeof(text) - at);
}

static uint64_t magnitude(struct lw_buf *out, int64_t number)
{
	if (number >= 0)
		return (uint64_t)number;
	add(out, "-", 1);
	return 0 - (uint64_t)number;
}

void js_int(struct lw_buf *out, int64_t number)
{
	comma(out);
	digits(out, magnitude(out, number), 1);
}

void js_count(struct lw_buf *out, uint64_t count)
{
	comma(out);
	digits(out, count, 1);
}

void js_truth(struct lw_buf *out, bool truth)
{
	comma(out);
	add(out, truth ? "true" : "false", truth ? 4 : 5);
}

void js_time(struct lw_buf *out, int64_t us)
{
	uint64_t size;

	comma(out);
	size = magnitude(out, us);
	digits(out, size / 1000000, 1);
	if (size % 1000000 != 0) {
		add(out, ".", 1);
		digits(out, size % 1000000, 6);
	}
}

void js_null(struct lw_buf *out)
{
	comma(out);
	add(out, "null", 4);
}

void js_time_or_null(struct lw_buf *out, int64_t us)
{
	if (us > 0)
		js_time(out, us);
	else
		js_null(out);
}

void js_value(struct lw_buf *out, struct lw_slice value)
{
	if (value.size == 0) {
		js_null(out);
		return;
	}
	comma(out);
	lw_value_print_json(value, out);
}
