/* view_files.h - the files of the page, embedded: the build makes the table of supervisor/view/. */
#ifndef LW_SUPERVISOR_VIEW_FILES_H
#define LW_SUPERVISOR_VIEW_FILES_H

#include <stddef.h>
#include <stdint.h>

struct view_file {
	const char *name; /* in supervisor/view/ */
	const uint8_t *bytes;
	size_t size;
};
extern const struct view_file view_files[]; /* a row whose name is NULL ends it */

#endif
