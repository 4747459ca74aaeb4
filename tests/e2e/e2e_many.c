/* e2e_many.c - thousands of works at once. How fast is the benchmark's business (start3000). Run by
 * ctest, one test a process. */
#include "rig.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST       3000
#define EACH_TAKES 6 /* descriptors of the supervisor for a work with one process */

/* As many as this machine lets a supervisor have. */
static size_t how_many(void)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > MOST * EACH_TAKES + 200)
		return MOST;
	return limit.rlim_max < 1400 ? 0 : (size_t)(limit.rlim_max - 200) / EACH_TAKES;
}

/* What the table of `lwctl status` is made from. */
static size_t count_idle(void)
{
	json_t *answer = rig_http("GET", "/api/v1/status?brief=1", NULL).json;
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(json_object_get(answer, "works")); i++) {
		const char *state = json_string_value(rig_cell(answer, i, "state"));

		count += state != NULL && strcmp(state, "idle") == 0;
	}
	return count;
}

static bool has_descriptor(pid_t pid, int fd)
{
	return access(rig_format("/proc/%d/fd/%d", (int)pid, fd), F_OK) == 0;
}

TEST(thousands_of_works_start_and_status_answers_meanwhile)
{
	size_t count = how_many();
	struct rig_proc *proc;

	if (count == 0) {
		puts("left out: there may be no 1400 descriptors");
		return;
	}
	proc = rig_up(rig_format("for i = 1, %zu do\n"
				 "  work('w' .. i) { program = '" LW_BIN "/bare_work',"
				 " parallel = true, start_timeout = '10m' }\n"
				 "end\n"
				 "function flow() end\n",
				 count),
		      "--no-prefix", NULL);
	/* Asked all the while: it answers before all are up, and they come up nevertheless. */
	for (size_t wanted = 1; wanted < count; wanted += 250)
		AWAIT(count_idle() >= wanted);
	AWAIT(count_idle() == count);
	CHECK_INT(rig_number(rig_http("GET", "/api/v1/works/w1", NULL).json, "processes.0.starts"),
		  1);
	CHECK(has_descriptor(rig_pid(proc), (int)(count * (EACH_TAKES - 1))));
	CHECK_INT(rig_ctl("status", NULL).status, 0);
	rig_down(proc);
}
