/* command_argv.c - a template and a call to argv; see command.h. Pure: called by command.c for
 * each run.
 *
 *   {1} {name}   the first positional, the named argument; anywhere in an element
 *   {{ ... }}    braces: {{1}} is {1}; a }} that closes no {{ stays as it is
 *   {anything}   else stays as it is: {print $1}
 *
 * Text and bytes stand as they are, everything else as JSON. A template without a
 * placeholder gets the positional arguments appended, then --name=value by sorted names
 * (true: --name; false and nil: nothing).
 */
#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

void words_clear(struct words *words)
{
	words->text.size = 0;
	words->starts.size = 0;
}

void words_done(struct words *words)
{
	lw_buf_done(&words->text);
	lw_buf_done(&words->starts);
	lw_free(words->argv);
	words->argv = NULL;
	words->room = 0;
}

void words_begin(struct words *words)
{
	lw_buf_add(&words->starts, &words->text.size, sizeof(size_t));
}

void words_end(struct words *words)
{
	lw_buf_add(&words->text, "", 1);
}

char **words_argv(struct words *words)
{
	size_t count = words->starts.size / sizeof(size_t);

	if (words->room < count + 1) {
		words->room = count + 1;
		words->argv = lw_realloc(words->argv, words->room * sizeof(char *));
	}
	for (size_t i = 0; i < count; i++) {
		size_t start;

		memcpy(&start, words->starts.data + i * sizeof start, sizeof start);
		words->argv[i] = (char *)words->text.data + start;
	}
	words->argv[count] = NULL;
	return words->argv;
}

/* ---- values as text -------------------------------------------------------------------- */

static struct lw_item read_item(struct lw_slice value)
{
	const uint8_t *at = value.data;
	struct lw_item item = { .type = LW_NIL };

	return lw_item_read(&at, value.data + value.size, &item) < 0
		       ? (struct lw_item){ .type = LW_NIL }
		       : item;
}

static int add_value(struct lw_slice value, const char *name, struct lw_buf *out,
		     struct lw_err *err)
{
	struct lw_item item = read_item(value);
	size_t from = out->size;

	if (item.type == LW_TEXT || item.type == LW_BYTES)
		lw_buf_add(out, item.s.data, item.s.size);
	else
		lw_value_print_json(value, out);
	if (out->size > from && memchr(out->data + from, '\0', out->size - from) != NULL)
		return lw_err_set(err, -EINVAL,
				  "argument '%s' holds a NUL byte, which no command line can",
				  name);
	return 0;
}

/* ---- placeholders ------------------------------------------------------------------------ */

/* Bytes of the placeholder that `text` begins with, 0: none. */
static size_t placeholder(const char *text)
{
	size_t i = 1;

	if (text[0] != '{')
		return 0;
	if (isdigit((unsigned char)text[1]))
		while (isdigit((unsigned char)text[i]))
			i++;
	else if (isalpha((unsigned char)text[1]) || text[1] == '_')
		while (isalnum((unsigned char)text[i]) || text[i] == '_')
			i++;
	return i > 1 && text[i] == '}' ? i + 1 : 0;
}

static bool has_placeholder(const char *element)
{
	for (const char *at = element; *at != '\0'; at++) {
		if (at[0] == '{' && at[1] == '{')
			at++;
		else if (placeholder(at) > 0)
			return true;
	}
	return false;
}

static bool nth(struct lw_slice list, unsigned long n, struct lw_slice *ret_value)
{
	const uint8_t *at = list.data, *end = list.data + list.size;
	struct lw_item item;

	if (lw_item_read(&at, end, &item) < 0 || item.type != LW_LIST || n < 1 || n > item.n)
		return false;
	while (--n > 0)
		at += lw_value_size(at, end);
	*ret_value = (struct lw_slice){ at, lw_value_size(at, end) };
	return true;
}

static int substitute(const char *text, size_t size, struct lw_slice positional,
		      struct lw_slice named, struct lw_buf *out, struct lw_err *err)
{
	LW_AUTO(lw_free) char *name = lw_strndup(text + 1, size - 2);
	struct lw_slice value;

	if (isdigit((unsigned char)name[0])) {
		if (!nth(positional, strtoul(name, NULL, 10), &value))
			return lw_err_set(err, -EINVAL,
					  "no positional argument {%s}: the call has %u", name,
					  read_item(positional).n);
	} else if (!lw_map_get(named, name, &value)) {
		return lw_err_set(err, -EINVAL, "no named argument {%s} in the call", name);
	}
	return add_value(value, name, out, err);
}

static int expand(const char *element, struct lw_slice positional, struct lw_slice named,
		  struct lw_buf *out, struct lw_err *err)
{
	unsigned open = 0;

	for (const char *at = element; *at != '\0';) {
		size_t size;
		int r;

		if (at[0] == '{' && at[1] == '{') {
			open++;
			lw_buf_add(out, at, 1);
			at += 2;
		} else if (at[0] == '}' && at[1] == '}' && open > 0) {
			open--;
			lw_buf_add(out, at, 1);
			at += 2;
		} else if ((size = placeholder(at)) > 0) {
			r = substitute(at, size, positional, named, out, err);
			if (r < 0)
				return r;
			at += size;
		} else {
			lw_buf_add(out, at++, 1);
		}
	}
	return 0;
}

/* ---- appended arguments --------------------------------------------------------------------- */

static int append_positional(struct lw_slice positional, struct words *out, struct lw_err *err)
{
	const uint8_t *at = positional.data, *end = positional.data + positional.size;
	struct lw_item list;
	char name[16];

	if (lw_item_read(&at, end, &list) < 0 || list.type != LW_LIST)
		return 0;
	for (uint32_t i = 0; i < list.n; i++) {
		struct lw_slice value = { at, lw_value_size(at, end) };
		int r;

		snprintf(name, sizeof name, "%u", i + 1);
		words_begin(out);
		r = add_value(value, name, &out->text, err);
		if (r < 0)
			return r;
		words_end(out);
		at += value.size;
	}
	return 0;
}

struct pair {
	struct lw_slice name, value;
};

static int by_name(const void *left, const void *right)
{
	const struct lw_slice *a = &((const struct pair *)left)->name;
	const struct lw_slice *b = &((const struct pair *)right)->name;
	int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);

	return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static int append_pair(const struct pair *pair, struct words *out, struct lw_err *err)
{
	LW_AUTO(lw_free) char *name = lw_strndup(pair->name.data, pair->name.size);
	struct lw_item item = read_item(pair->value);
	int r = 0;

	if (item.type == LW_NIL || (item.type == LW_TRUTH && !item.truth))
		return 0;
	words_begin(out);
	lw_buf_printf(&out->text, "--%s", name);
	if (item.type != LW_TRUTH) {
		lw_buf_add(&out->text, "=", 1);
		r = add_value(pair->value, name, &out->text, err);
	}
	words_end(out);
	return r;
}

static int append_named(struct lw_slice named, struct words *out, struct lw_err *err)
{
	const uint8_t *at = named.data, *end = named.data + named.size;
	LW_AUTO(lw_free) struct pair *pairs = NULL;
	struct lw_item map;
	int r = 0;

	if (lw_item_read(&at, end, &map) < 0 || map.type != LW_MAP || map.n == 0)
		return 0;
	pairs = lw_alloc(map.n * sizeof *pairs);
	for (uint32_t i = 0; i < map.n; i++) {
		size_t size = lw_value_size(at, end);

		pairs[i].name = read_item((struct lw_slice){ at, size }).s;
		at += size;
		pairs[i].value = (struct lw_slice){ at, lw_value_size(at, end) };
		at += pairs[i].value.size;
	}
	qsort(pairs, map.n, sizeof *pairs, by_name);
	for (uint32_t i = 0; i < map.n && r >= 0; i++)
		r = append_pair(&pairs[i], out, err);
	return r;
}

/* The names of a call are text; anything else cannot be an option's name. */
static int check_names(struct lw_slice named, struct lw_err *err)
{
	const uint8_t *at = named.data, *end = named.data + named.size;
	struct lw_item map;

	if (lw_item_read(&at, end, &map) < 0 || map.type != LW_MAP)
		return 0;
	for (uint32_t i = 0; i < map.n; i++) {
		struct lw_slice key = { at, lw_value_size(at, end) };
		struct lw_item item = read_item(key);

		if (item.type != LW_TEXT || memchr(item.s.data, '\0', item.s.size) != NULL)
			return lw_err_set(err, -EINVAL,
					  "a named argument has a name that is no text");
		at += key.size;
		at += lw_value_size(at, end);
	}
	return 0;
}

int command_expand(char *const *pattern, struct lw_slice positional, struct lw_slice named,
		   struct words *out, struct lw_err *err)
{
	bool placed = false;
	int r = check_names(named, err);

	for (size_t i = 0; pattern[i] != NULL && r >= 0; i++) {
		placed = placed || has_placeholder(pattern[i]);
		words_begin(out);
		r = expand(pattern[i], positional, named, &out->text, err);
		words_end(out);
	}
	if (r < 0 || placed)
		return r;
	r = append_positional(positional, out, err);
	return r < 0 ? r : append_named(named, out, err);
}
