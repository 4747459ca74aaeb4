/* table.c - a table that fits the terminal. */
#include "table.h"

#include <inttypes.h>
#include <string.h>

#define GAP        2
#define PIPED_MOST 60 /* columns that others are lined up behind where nothing is cut */

static size_t columns_of(const uint8_t *at, size_t size)
{
	size_t columns = 0;

	for (size_t i = 0; i < size; i++)
		columns += (at[i] & 0xc0) != 0x80;
	return columns;
}

/* Bytes of the first `columns` characters. */
static size_t bytes_of(const uint8_t *at, size_t size, size_t columns)
{
	size_t i = 0;

	while (i < size && (columns > 0 || (at[i] & 0xc0) == 0x80))
		columns -= (at[i++] & 0xc0) != 0x80;
	return i;
}

void table_done(struct table *table)
{
	lw_buf_done(&table->text);
	lw_buf_done(&table->ends);
}

/* What was appended to table->text since the last cell is one. */
void table_end_cell(struct table *table)
{
	size_t count = table->ends.size / sizeof(size_t);
	size_t end = table->text.size;
	size_t begin = 0;
	size_t *widest = &table->widths[count % table->column_count];
	size_t columns;

	if (count > 0)
		memcpy(&begin, table->ends.data + (count - 1) * sizeof(size_t), sizeof(begin));
	columns = columns_of(table->text.data + begin, end - begin);
	if (columns > *widest)
		*widest = columns;
	lw_buf_add(&table->ends, &end, sizeof(end));
}

void table_text(struct table *table, const char *text)
{
	print_clean(&table->text, text);
	table_end_cell(table);
}

void table_count(struct table *table, int64_t count)
{
	if (count >= 0 && count < 10)
		lw_buf_add(&table->text, &"0123456789"[count], 1); /* printf is slow */
	else
		lw_buf_printf(&table->text, "%" PRId64, count);
	table_end_cell(table);
}

void table_begin(struct table *table, const struct column *columns, size_t count)
{
	*table = (struct table){ .columns = columns, .column_count = count };
	for (size_t i = 0; i < count; i++)
		table_text(table, columns[i].title);
}

static const char *colour_of(const char *text, size_t size)
{
	/* clang-format off */
	static const struct { const char *stage, *colour; } colours[] = {
		{ "succeeded", "\033[32m" },
		{ "running",   "\033[36m" },
		{ "pending",   "\033[33m" },
		{ "failed",    "\033[31m" },
		{ "stopped",   "\033[2m" },
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(colours); i++)
		if (strlen(colours[i].stage) == size && memcmp(colours[i].stage, text, size) == 0)
			return colours[i].colour;
	return NULL;
}

static void pad(struct lw_buf *out, size_t columns)
{
	static const char spaces[] = "                                ";

	while (columns > 0) {
		size_t n = columns < sizeof(spaces) - 1 ? columns : sizeof(spaces) - 1;

		lw_buf_add(out, spaces, n);
		columns -= n;
	}
}

static void put_cell(struct lw_buf *out, const struct table *table, size_t column,
		     struct lw_slice text, const char *colour)
{
	size_t width = table->widths[column];
	size_t columns = columns_of(text.data, text.size);
	bool wide = columns > width, cut = wide && !table->whole;

	if (wide && !cut) {
		width = columns;
	} else if (cut) {
		text.size = bytes_of(text.data, text.size, width > 0 ? width - 1 : 0);
		columns = width;
	}
	if (table->columns[column].right)
		pad(out, width - columns);
	if (colour != NULL)
		lw_buf_add(out, colour, strlen(colour));
	lw_buf_add(out, text.data, text.size);
	if (cut && width > 0)
		lw_buf_add(out, "\xe2\x80\xa6", 3); /* ... as one character */
	if (colour != NULL)
		lw_buf_add(out, "\033[0m", 4);
	if (column + 1 < table->column_count)
		pad(out, GAP + (table->columns[column].right ? 0 : width - columns));
}

/* The width of the whole, with the columns as wide as they are or cut as far as they may be. */
static size_t whole_width(const struct table *table, bool cut)
{
	size_t whole = 0;

	for (size_t i = 0; i < table->column_count; i++) {
		size_t least = table->columns[i].least;
		size_t width = table->widths[i];

		if (!table->hidden[i])
			whole += GAP + (cut && least > 0 && width > least ? least : width);
	}
	return whole - GAP;
}

static bool hide_next(struct table *table)
{
	size_t next = table->column_count;

	for (size_t i = 0; i < table->column_count; i++)
		if (!table->hidden[i] && table->columns[i].leaves > 0 &&
		    (next == table->column_count ||
		     table->columns[i].leaves < table->columns[next].leaves))
			next = i;
	if (next == table->column_count)
		return false;
	table->hidden[next] = true;
	return true;
}

/* Whole columns leave until the others have their least; these then give way, the last first. */
static void fit(struct table *table, size_t width)
{
	size_t whole;

	table->whole = width == 0;
	for (size_t i = 0; table->whole && i < table->column_count; i++)
		if (table->widths[i] > PIPED_MOST)
			table->widths[i] = PIPED_MOST;
	if (table->whole)
		return;
	while (whole_width(table, true) > width && hide_next(table)) {
	}
	whole = whole_width(table, false);
	for (size_t i = table->column_count; i-- > 0 && whole > width;) {
		size_t least = table->columns[i].least;
		size_t over = whole - width;

		if (table->hidden[i] || least == 0 || table->widths[i] <= least)
			continue;
		if (over > table->widths[i] - least)
			over = table->widths[i] - least;
		table->widths[i] -= over;
		whole -= over;
	}
}

void table_print(struct table *table, const struct screen *screen)
{
	size_t count = table->ends.size / sizeof(size_t);
	LW_AUTO_BUF out = { 0 };
	size_t begin = 0;

	fit(table, screen->width);
	for (size_t i = 0; i < count; i++) {
		size_t column = i % table->column_count;
		struct lw_slice text;
		const char *colour = NULL;
		size_t end;

		memcpy(&end, table->ends.data + i * sizeof(end), sizeof(end));
		text = (struct lw_slice){ table->text.data + begin, end - begin };
		begin = end;
		if (screen->colour)
			colour = i < table->column_count
					 ? "\033[1m"
					 : colour_of((const char *)text.data, text.size);
		if (!table->hidden[column])
			put_cell(&out, table, column, text, colour);
		if (column + 1 == table->column_count) {
			while (out.size > 0 && out.data[out.size - 1] == ' ')
				out.size--;
			lw_buf_add(&out, "\n", 1);
		}
	}
	(void)fwrite(out.data, 1, out.size, screen->out);
}
