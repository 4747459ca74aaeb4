/* rig_private.h - what the files of the rig know of each other. */
#ifndef LW_RIG_PRIVATE_H
#define LW_RIG_PRIVATE_H

#include "rig.h"

/* Keeps a block, or a JSON value, until the test ends. */
void *rig_keep(void *block);
json_t *rig_keep_json(json_t *json);

void rig_procs_transcript(void);
void rig_procs_end(void); /* kills and reaps everything, and forgets it */
void rig_folder_end(void);
const char *rig_preload(void); /* into the supervisor; NULL: nothing */

#endif
