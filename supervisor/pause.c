/* pause.c - see pause.h. */
#include "pause.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

bool pause_begin(struct pause *pause, struct journal *journal, uint32_t row, int64_t at,
		 const char *by)
{
	struct pause_row on_record = { row, at, { (const uint8_t *)by, strlen(by) } };

	if (is_paused(pause))
		return false;
	pause_restore(pause, &on_record);
	journal_pause(journal, &on_record);
	return true;
}

bool pause_end(struct pause *pause, struct journal *journal, uint32_t row)
{
	if (!is_paused(pause))
		return false;
	pause_done(pause);
	journal_pause(journal, &(struct pause_row){ .work = row });
	return true;
}

void pause_restore(struct pause *pause, const struct pause_row *row)
{
	pause_done(pause);
	pause->at = row->at;
	pause->by = lw_strndup(row->by.data, row->by.size);
}

void pause_done(struct pause *pause)
{
	free(pause->by);
	*pause = (struct pause){ 0 };
}

void pause_print(const struct pause *pause, struct lw_buf *out)
{
	time_t seconds = (time_t)(pause->at / 1000000);
	char text[40] = "?";
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%F %T", &tm);
	lw_buf_printf(out, "paused by %s at %s", pause->by, text);
}
