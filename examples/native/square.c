/* square.c - a work in C: the square of a number. Started by lw-supervisor (app.conf). */
#include "lw_worker.h"

static int run(struct lw_run *run, void *data)
{
	int64_t value = lw_arg_int(run, "value", 0);

	(void)data;
	if (value > INT32_MAX || value < INT32_MIN)
		return lw_fail(run, "the square of %lld is too large", (long long)value);
	lw_return_int(run, value * value);
	return 0;
}

int main(void)
{
	return lw_work_main(&(struct lw_work){ .run = run, .window = 16 }, NULL);
}
