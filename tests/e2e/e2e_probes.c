/* e2e_probes.c - what monitoring asks: is it alive, is it ready, what is counted; and the table of
 * requests. Run by ctest. */
#include "rig.h"

#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define SERVE "program = { lw.env('FAKE'), 'serve' }, parallel = true"
#define FLOW  "function flow() end\n"

static struct rig_answer get(const char *path)
{
	return rig_http("GET", path, NULL);
}

static bool is_unready(const char *why)
{
	struct rig_answer answer = get("/readyz");

	CHECK_HAS(answer.err, "Content-Type: text/plain; charset=utf-8\r\n");
	return answer.status == 503 && strstr(answer.out, why) != NULL;
}

/* The value of that sample, or -1. */
static double sample(const char *name)
{
	const char *text = get("/metrics").out;
	const char *line = strstr(text, rig_format("\n%s ", name));

	return line != NULL ? strtod(line + strlen(name) + 2, NULL) : -1;
}

/* ---- probes -------------------------------------------------------------------------------------- */

TEST(ready_is_when_every_work_that_starts_with_the_app_is)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up(
		"app { view = false }\n"
		"work 'late' { program = { 'sh', '-c', 'head -c1 gate >gone; exec \"$0\" serve', "
		"lw.env('FAKE') } }\n"
		"work 'unused' { program = { 'false' }, start_with_flow = false }\n" FLOW,
		NULL);
	CHECK_INT(get("/healthz").status, 200);
	CHECK_TEXT(get("/healthz").out, "ok\n");
	CHECK(is_unready("1 work is not ready\n"));
	rig_open_gate("gate", 1);
	AWAIT(get("/readyz").status == 200);
	CHECK_TEXT(get("/readyz").out, "ready\n");
	CHECK_INT(rig_ctl("stop", "late", NULL).status, 0);
	CHECK(is_unready("1 work is not ready\n"));
	CHECK_INT(get("/healthz").status, 200);
	rig_down(proc);
}

TEST(a_service_that_says_it_is_not_ready_is_not)
{
	struct rig_proc *proc;

	rig_gate("gate");
	proc = rig_up("app { view = false }\n"
		      "work 'service' { command = { 'sh', '-c', [[\n"
		      "  echo '{\"lw\": {\"ready\": false}}' >&3; head -c1 gate >gone\n"
		      "  echo '{\"lw\": {\"ready\": true}}' >&3; head -c1 gate >gone]] },\n"
		      "  restart = 'always' }\n",
		      NULL);
	AWAIT(is_unready("1 work is not ready\n"));
	rig_open_gate("gate", 1);
	AWAIT(get("/readyz").status == 200);
	rig_down(proc);
}

TEST(not_ready_is_also_who_cannot_write_or_ends)
{
	struct rig_proc *proc =
		rig_up("app { view = false }\nwork 'job' { " SERVE " }\n" FLOW, NULL);
	struct rlimit none = { 1, RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };

	AWAIT(get("/readyz").status == 200);
	CHECK_INT(prlimit(rig_pid(proc), RLIMIT_FSIZE, &none, NULL), 0);
	CHECK_INT(rig_ctl("run", "job", "value=1", NULL).status, 1);
	CHECK(is_unready("no run starts: the record cannot be written\n"));
	CHECK_INT(sample("lw_journal_writable"), 0);
	CHECK_INT(prlimit(rig_pid(proc), RLIMIT_FSIZE, &all, NULL), 0);
	AWAIT(get("/readyz").status == 200);
	CHECK_INT(sample("lw_journal_writable"), 1);
	rig_down(proc);

	rig_gate("gate");
	proc = rig_up(
		"app { view = false }\n"
		"work 'slow' { program = { lw.env('FAKE'), 'ignore_term' }, stop_timeout = 30,"
		" parallel = true }\n"
		"function flow() slow:run() end\n",
		NULL);
	rig_line(proc, RIG_OUT, "ignoring");
	CHECK_INT(rig_ctl("shutdown", "--no-wait", NULL).status, 0);
	CHECK(is_unready("the app is stopping\n"));
	AWAIT(rig_is_over(proc) || (rig_signal(proc, SIGINT), false)); /* the second one kills */
}

/* ---- metrics ---------------------------------------------------------------------------------------- */

TEST(metrics_count_what_happened)
{
	struct rig_proc *proc = rig_up("app { view = false }\n"
				       "work 'job' { " SERVE ", processes = 2 }\n" FLOW,
				       NULL);

	(void)rig_run("job", "{\"value\": 1}");
	(void)rig_run("job", "{\"value\": 1}");
	(void)rig_run("job", "{\"value\": 1}");
	(void)rig_run("job", "{\"act\": \"fail\"}");
	CHECK_INT(sample("lw_runs_total{work=\"job\",stage=\"succeeded\"}"), 1);
	CHECK_INT(sample("lw_runs_total{work=\"job\",stage=\"failed\"}"), 1);
	CHECK_INT(sample("lw_runs{work=\"job\",stage=\"running\"}"), 0);
	CHECK_INT(sample("lw_calls_total{work=\"job\",decision=\"hit\"}"), 2);
	CHECK_INT(sample("lw_calls_total{work=\"job\",decision=\"run\"}"), 2);
	CHECK_INT(sample("lw_queue_calls{work=\"job\"}"), 0);
	AWAIT(sample("lw_processes{work=\"job\"}") == 2);
	CHECK_INT(sample("lw_work_ready{work=\"job\"}"), 1);
	CHECK_INT(sample("lw_app_running"), 1);
	CHECK(sample("lw_passes_total") >= 1);
	CHECK(sample("lw_start_time_seconds") == rig_number(rig_status(), "app.started"));
	CHECK(sample("process_resident_memory_bytes") > 1e6);
	CHECK_INT(sample("lw_run_duration_seconds_count{work=\"job\"}"), 2);
	CHECK_INT(sample("lw_run_duration_seconds_bucket{work=\"job\",le=\"+Inf\"}"), 2);
	CHECK_INT(sample("lw_run_duration_seconds_bucket{work=\"job\",le=\"86400\"}"), 2);
	CHECK(sample("lw_run_duration_seconds_sum{work=\"job\"}") > 0);
	CHECK(sample("lw_pass_duration_seconds_count") >= 1);
	CHECK(sample("lw_pass_duration_seconds_bucket{le=\"0.001\"}") >= 0);
	AWAIT(sample("lw_memory_bytes{work=\"job\"}") > 0);
	CHECK_INT(sample("lw_tree_processes{work=\"job\"}"), 2);
	CHECK(sample("lw_output_bytes_total{work=\"job\"}") > 0);
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	CHECK_INT(sample("lw_work_stopped{work=\"job\"}"), 1);
	CHECK_INT(sample("lw_work_ready{work=\"job\"}"), 0);
	rig_down(proc);
}

TEST(metrics_are_what_promtool_takes)
{
	struct rig_proc *proc = rig_up("app { view = false }\n"
				       "work 'job' { " SERVE " }\n"
				       "work 'a \"b\"\\\\\xc3\xa4' { " SERVE " }\n"
				       "work 'none' { command = { 'true' } }\n" FLOW,
				       NULL);
	struct rig_answer answer;
	struct rig_proc *tool;

	(void)rig_run("job", "{\"value\": 1}");
	answer = get("/metrics");
	CHECK_INT(answer.status, 200);
	CHECK_HAS(answer.err, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	CHECK_HAS(answer.out, "{work=\"a \\\"b\\\"\\\\\xc3\xa4\"");
	rig_write("metrics", answer.out);
	tool = rig_spawn("sh", "-c",
			 "PATH=" LW_SOURCE "/build/tools:$PATH promtool check metrics <metrics",
			 NULL);
	if (rig_exit(tool) != 0)
		rig_fail(__FILE__, __LINE__, "promtool says: %s%s", rig_text(tool, RIG_OUT),
			 rig_text(tool, RIG_ERR));
	CHECK_TEXT(rig_text(tool, RIG_ERR), "");
	rig_down(proc);
}

/* ---- the table of requests --------------------------------------------------------------------------- */

static json_t *spec_of(json_t *spec, const char *method, const char *path)
{
	json_t *requests = rig_at(spec, "requests"), *row;
	size_t i;

	json_array_foreach(requests, i, row)
	{
		if (rig_is(row, "method", method) && rig_is(row, "path", path))
			return row;
	}
	rig_fail(__FILE__, __LINE__, "no %s %s", method, path);
}

TEST(the_spec_tells_every_request)
{
	struct rig_proc *proc = rig_up("app { view = false }\nwork 'w' { " SERVE " }\n" FLOW, NULL);
	json_t *spec = get("/api/v1/spec").json, *row;
	json_t *requests = rig_at(spec, "requests");
	size_t i;

	CHECK_TEXT(rig_string(spec, "version"), LW_VERSION);
	row = spec_of(spec, "POST", "/api/v1/works/*/run");
	CHECK_TEXT(rig_string(row, "verb"), "run");
	CHECK_TEXT(rig_string(row, "arguments"), "WORK [ARGS...]");
	CHECK_TEXT(rig_string(row, "rights"), "operator");
	CHECK_HAS(rig_string(row, "body.args"), "positional");
	CHECK_HAS(rig_string(row, "query.wait"), "answer");
	CHECK_TEXT(rig_string(spec_of(spec, "GET", "/metrics"), "rights"), "anyone");
	/* What it tells is there. */
	AWAIT(get("/readyz").status == 200);
	json_array_foreach(requests, i, row)
	{
		const char *path = rig_string(row, "path");

		CHECK(rig_string(row, "sentence")[0] != '\0');
		if (!rig_is(row, "method", "GET") || strchr(path, '*') != NULL ||
		    strstr(path, "/events") != NULL || path[strlen(path) - 1] == '/')
			continue;
		CHECK_INT(get(path).status, 200);
	}
	rig_down(proc);
}

TEST(other_methods_and_paths_are_told_what_there_is)
{
	struct rig_proc *proc = rig_up("app { view = false }\nwork 'w' { " SERVE " }\n" FLOW, NULL);
	struct rig_answer answer = rig_http("POST", "/metrics", "");

	CHECK_INT(answer.status, 405);
	CHECK_HAS(answer.err, "Allow: GET, HEAD\r\n");
	CHECK_INT(get("/metric").status, 404);
	CHECK_INT(get("/healthz/").status, 404);
	rig_down(proc);
}
