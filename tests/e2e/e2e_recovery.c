/* e2e_recovery.c - runs come to an end, once, whatever becomes of processes, pools and works in
 * between. Run by ctest, one test a process. */
#include "rig.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVE(window) "program = { lw.env('FAKE'), 'serve', '" window "' }, parallel = true"

TEST(restarts_of_a_work_that_is_sent_runs_ahead_run_nothing_twice)
{
	struct rig_proc *proc = rig_up(
		"work 'job' { " SERVE(
			"16") ", processes = 2 }\n"
			      "function flow()\n"
			      "  local done = 0\n"
			      "  for i = 1, 2000 do\n"
			      "    if job:run{ value = i }.has_succeeded then done = done + 1 end\n"
			      "  end\n"
			      "  if done == 2000 then lw.stop('all of them') end\n"
			      "end\n",
		"--no-prefix", NULL);

	for (int i = 0; i < 3; i++)
		(void)rig_ctl("restart", "job", NULL); /* it may be over by then */
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_count(proc, RIG_OUT, "ran value="), 2000);
}

TEST(a_run_sent_ahead_to_a_busy_process_goes_to_an_idle_one)
{
	rig_gate("gate");
	struct rig_proc *proc =
		rig_up("work 'job' { " SERVE("2") ", processes = 2 }\n"
						  "function flow()\n"
						  "  job:run{ act = 'gate' }\n"
						  "  for i = 1, 3 do job:run{ value = i } end\n"
						  "end\n",
		       "--no-prefix", NULL);

	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 3);
	CHECK_INT(rig_number(rig_work("job"), "runs.running"), 1);
	rig_open_gate("gate", 1);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 4);
	rig_down(proc);
}

TEST(a_service_that_was_stopped_goes_on_after_a_restart)
{
	struct rig_proc *proc = rig_up("work 'svc' { command = { 'sleep', '1000' } }\n", NULL);

	AWAIT(rig_is(rig_work("svc"), "stage", "running"));
	CHECK_INT(rig_ctl("stop", "svc", NULL).status, 0);
	CHECK_INT(rig_ctl("restart", "svc", NULL).status, 0);
	AWAIT(rig_is(rig_work("svc"), "stage", "running"));
	CHECK_INT(rig_ctl("stop", "svc", NULL).status, 0);
	CHECK_INT(rig_ctl("start", "svc", NULL).status, 0);
	AWAIT(rig_is(rig_work("svc"), "stage", "running"));
	rig_down(proc);
}

TEST(a_call_fails_when_the_only_process_of_the_pool_that_was_started_gives_up)
{
	struct rig_proc *proc =
		rig_up("work 'bad' { program = '/bin/false', processes = 2, parallel = true,\n"
		       "  start_with_flow = false, restart = 'never', raise_exception = false }\n"
		       "function flow() bad:run() end\n",
		       NULL);

	AWAIT(rig_number(rig_work("bad"), "runs.failed") == 1);
	CHECK_HAS(rig_string(rig_work("bad"), "message"), "does not start");
	rig_down(proc);
}

TEST(a_retry_starts_a_process_of_a_pool_that_gave_up)
{
	struct rig_proc *proc =
		rig_up("work 'job' { command = { 'sleep', '1000' }, parallel = true,\n"
		       "  restart = 'never', retries = 2, retry_delay = 0.2 }\n"
		       "function flow() job:run() end\n",
		       NULL);

	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	kill((pid_t)rig_number(rig_work("job"), "processes.0.pid"), SIGKILL);
	AWAIT(rig_is(rig_work("job"), "stage", "pending"));
	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	CHECK_INT(rig_number(rig_http("GET", "/api/v1/runs/1", NULL).json, "attempt"), 2);
	rig_down(proc);
}

TEST(a_work_that_is_made_again_runs_what_it_was_running_when_it_left)
{
	struct rig_proc *proc =
		rig_up("app { interval = 0.005 }\n"
		       "local n = 0\n"
		       "function flow()\n"
		       "  n = n + 1\n"
		       "  if n > 3 and n < 150 then return end\n"
		       "  local d = work 'd' { parallel = true,\n"
		       "    command = { 'sh', '-c', 'test -e again || exec sleep 1000' } }\n"
		       "  if d:run().has_succeeded then lw.stop('it came back') end\n"
		       "  if n == 3 and not d.is_running then n = 2 end\n"
		       "end\n",
		       NULL);

	AWAIT(rig_is(rig_work("d"), "stage", "running"));
	rig_write("again", "");
	CHECK_INT(rig_exit(proc), 0);
}

static const char *pool_of(int processes)
{
	return rig_format("work 'job' { " SERVE("1") ", processes = %d }\nfunction flow() end\n",
			  processes);
}

TEST(a_pool_that_shrank_and_grew_is_adopted_whole)
{
	rig_gate("gate");
	struct rig_proc *proc = rig_up(pool_of(2), NULL);

	for (int processes = 1; processes <= 2; processes++) {
		rig_write("app.conf", pool_of(processes));
		CHECK_INT(rig_ctl("reload", NULL).status, 0);
		AWAIT(json_array_size(rig_at(rig_work("job"), "processes")) == (size_t)processes);
	}
	for (int i = 1; i <= 2; i++)
		CHECK_INT(rig_ctl("run", "job", "act=gate", rig_format("value=%d", i), NULL).status,
			  0);
	AWAIT(rig_number(rig_work("job"), "runs.running") == 2);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);

	proc = rig_up(NULL, NULL);
	CHECK_LINES(proc, RIG_ERR, "adopted", 2);
	CHECK_INT(rig_count(proc, RIG_ERR, "is on no record"), 0);
	rig_open_gate("gate", 2);
	AWAIT(rig_number(rig_work("job"), "runs.succeeded") == 2);
	CHECK_INT(rig_number(rig_http("GET", "/api/v1/runs/2", NULL).json, "attempt"), 1);
	rig_down(proc);
}

TEST(a_restart_that_nobody_survives_does_not_do_twice_what_may_be_done_once)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " SERVE("1") ", stop_timeout = 60, lost = 'fail' }\n"
						  "function flow() end\n",
		       NULL);
	pid_t pid;

	CHECK_INT(rig_ctl("run", "job", "act=deaf", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	pid = (pid_t)rig_number(rig_work("job"), "processes.0.pid");
	CHECK_INT(rig_http("POST", "/api/v1/works/job/restart?wait=false", "").status / 100, 2);
	CHECK_INT(rig_ctl("state", "since=1", NULL).status, 0); /* that is on record now */
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	CHECK_INT(kill(pid, SIGKILL), 0);
	AWAIT(!rig_pid_lives(pid));

	proc = rig_up(NULL, NULL);
	AWAIT(rig_number(rig_work("job"), "runs.failed") == 1);
	CHECK_TEXT(rig_string(rig_work("job"), "reason"), "lost");
	rig_down(proc);
}

TEST(a_kill_has_the_last_word_over_a_restart)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE("1") ", stop_timeout = 60 }\n"
								  "function flow() end\n",
				       "--no-prefix", NULL);

	CHECK_INT(rig_ctl("run", "job", "{\"act\": \"deaf\"}", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	CHECK_INT(rig_http("POST", "/api/v1/works/job/restart?wait=false", "").status / 100, 2);
	CHECK_INT(rig_ctl("kill", "job", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "stage", "stopped"));
	CHECK_TEXT(rig_string(rig_work("job"), "reason"), "killed by operator");
	rig_down(proc);
}

/* Dials, and waits for nobody to accept; false when no more callers may wait: descriptors are
 * shorter than the line is long. */
static bool may_wait_in_line(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* No descriptor is left: the limit is what it has, and strangers take what is free below. */
static void use_up_descriptors(struct rig_proc *proc)
{
	pid_t pid = rig_pid(proc);
	const char *path = rig_path(".lw/app.conf/worker.sock");
	struct rlimit limit = { 4096, 4096 };

	while (limit.rlim_cur > 0 &&
	       access(rig_format("/proc/%d/fd/%d", (int)pid, (int)limit.rlim_cur - 1), F_OK) < 0)
		limit.rlim_cur--;
	limit.rlim_max = limit.rlim_cur;
	CHECK_INT(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
	AWAIT(!may_wait_in_line(path) || rig_count(proc, RIG_ERR, "cannot accept a worker") > 0);
	rig_line(proc, RIG_ERR, "cannot accept a worker: Too many open files");
}

TEST(a_supervisor_without_a_free_descriptor_still_ends_its_trees)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE("1") ", stop_timeout = 0.3 }\n"
								  "function flow() end\n",
				       "--no-prefix", NULL);
	pid_t pid;

	CHECK_INT(rig_ctl("run", "job", "{\"act\": \"deaf\"}", NULL).status, 0);
	AWAIT(rig_is(rig_work("job"), "stage", "running"));
	pid = (pid_t)rig_number(rig_work("job"), "processes.0.pid");
	use_up_descriptors(proc);
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK(!rig_pid_lives(pid));
	CHECK_INT(rig_count(proc, RIG_ERR, "cannot accept a worker") < 5, 1);
}
