/* table.h - a table that fits the terminal: cells one after another, row by row.
 *
 * Used by print.c and print_works.c. What was appended to `text` since the last cell is the next one
 * when table_end_cell() is called; the first row are the titles. Columns are counted in characters.
 */
#ifndef LW_CONTROL_TABLE_H
#define LW_CONTROL_TABLE_H

#include "lwctl.h"

#define COLUMNS_MAX 9

struct column {
	const char *title;
	bool right;
	size_t least; /* what is wider gives way to this on a narrow terminal; 0: never cut */
	int leaves;   /* when even that is too wide: the 1st, 2nd ... column to go; 0: stays */
};

/* Cells lie one behind the other in `text`; `ends` says where each ends. */
struct table {
	const struct column *columns;
	size_t column_count;
	struct lw_buf text;
	struct lw_buf ends; /* of size_t */
	size_t widths[COLUMNS_MAX];
	bool hidden[COLUMNS_MAX];
	bool whole; /* nothing is cut: what is very wide stands out */
};

#define TABLE_AUTO __attribute__((cleanup(table_done))) struct table

void table_begin(struct table *table, const struct column *columns, size_t count);
void table_end_cell(struct table *table);
void table_text(struct table *table, const char *text); /* made clean; NULL: empty */
void table_count(struct table *table, int64_t count);
void table_print(struct table *table, const struct screen *screen);
void table_done(struct table *table);

#endif
