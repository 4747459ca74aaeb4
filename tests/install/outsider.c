/* outsider.c - a work by somebody who has lw_worker.h, liblw-worker.a and lw-worker.pc alone.
 *
 * Built and started by `outsider`. Its own names are some that the library uses within: they are
 * nobody else's business.
 */
#include <lw_worker.h>

int64_t channel_next(int64_t value);
int64_t lw_buf_add(int64_t value);

int64_t channel_next(int64_t value)
{
	return value;
}

int64_t lw_buf_add(int64_t value)
{
	return value + channel_next(value);
}

static int run(struct lw_run *run, void *data)
{
	(void)data;
	lw_return_int(run, lw_buf_add(lw_arg_int(run, "value", 0)));
	return 0;
}

int main(void)
{
	return lw_work_main(&(struct lw_work){ .run = run }, NULL);
}
