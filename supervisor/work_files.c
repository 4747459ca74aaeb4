/* work_files.c - cache_files: the files of a work are part of what its calls are.
 *
 * Their digest stands in the head of every call, beside the cache version. While it is not known
 * calls are answered "pending": nothing is run, nothing is skipped, and a pass comes when it is. A
 * run keeps the key that it was made with. One that begins when its files are others by then runs
 * and delivers, but is not remembered: its key would speak of what it did not see.
 */
#include <errno.h>
#include <string.h>

#include "app.h"
#include "work_private.h"

void work_make_head(struct work *work)
{
	struct lw_slice digest = { 0 };

	if (work->files != NULL)
		digest = (struct lw_slice){ work->files->digest, sizeof(work->files->digest) };
	work->head.size = 0;
	lw_call_begin_with(&work->head, work->config->name, work->config->cache_version, digest);
}

bool work_awaits_files(const struct work *work)
{
	return work->files != NULL && files_state(work->files) == FILES_UNKNOWN;
}

bool work_sees_its_files(const struct work *work, const struct run *run)
{
	if (work->files == NULL)
		return true;
	return files_state(work->files) == FILES_KNOWN && run->form_size > work->head.size &&
	       memcmp(run->form, work->head.data, work->head.size) == 0;
}

int work_ask_files(struct work *work, struct lw_err *err)
{
	const char *name = work->config->name;

	if (work->files == NULL)
		return 0;
	if (files_state(work->files) == FILES_BAD)
		return lw_err_set(err, -EIO, "work '%s': cache_files: %s", name,
				  work->files->error);
	work->waits_for_files = work_awaits_files(work);
	if (work->waits_for_files)
		work_changed(work);
	return work->waits_for_files;
}

/* They are known, also when they are what they were; or one of them cannot be read. */
static void on_files(void *context)
{
	struct work *work = context;
	bool waited = work->waits_for_files;
	struct lw_buf head = work->head;

	work->waits_for_files = false;
	work->head = (struct lw_buf){ 0 };
	work_make_head(work);
	if (waited || work->head.size != head.size ||
	    memcmp(work->head.data, head.data, head.size) != 0)
		app_changed(work->app, "files");
	work_changed(work);
	lw_buf_done(&head);
	work_on_room(work);
	if (waited && !work->app->config->has_flow && work_may_run(work))
		work_call_service(work);
}

static bool has_these(const struct files_set *set, const struct words *patterns)
{
	if (set == NULL || set->patterns.count != patterns->count)
		return set == NULL && patterns->count == 0;
	for (size_t i = 0; i < patterns->count; i++)
		if (strcmp(set->patterns.words[i], patterns->words[i]) != 0)
			return false;
	return true;
}

void work_take_files(struct work *work)
{
	const struct words *patterns = &work->config->cache_files;

	if (has_these(work->files, patterns))
		return;
	files_remove(work->files);
	work->files = NULL;
	if (patterns->count > 0) {
		work->files =
			files_add(work->app->files, work->config->name, patterns, on_files, work);
		return;
	}
	if (work->waits_for_files && !work->app->config->has_flow)
		loop_timer_set(&work->again, 0);
	work->waits_for_files = false;
}
