/* e2e_logs.c - what works, the flow and the supervisor print is kept in files, once, and read back by
 * lwctl and the API. Run by ctest, one test a process. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "lw_buf.h"
#include "lw_logfile.h"

#define SERVE   "program = { lw.env('FAKE'), 'serve' }, parallel = true"
#define NO_FLOW "function flow() end\n"
#define ONCE(work)                                                                                 \
	"function flow()\n"                                                                        \
	"  if works['" work "']:run().has_succeeded then lw.stop('it has spoken') end\n"           \
	"end\n"
#define LOGS ".lw/app.conf/logs/"

/* ---- what is kept ------------------------------------------------------------------------------ */

static off_t size_of(const char *name)
{
	struct stat stat_of;

	return stat(rig_path(rig_format(LOGS "%s", name)), &stat_of) == 0 ? stat_of.st_size : -1;
}

/* All files of that name, the oldest first. */
static const char *kept(const char *name)
{
	const char *text = "";

	for (int age = 0; age < 200; age++) {
		const char *file = age == 0 ? rig_format(LOGS "%s.log", name)
					    : rig_format(LOGS "%s.log.%d", name, age);

		if (rig_read(file) != NULL)
			text = rig_format("%s%s", rig_read(file), text);
		else if (age > 0)
			break;
	}
	return text;
}

static struct lw_slice lines_of(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

/* The next line of what is kept; false: that was the last. Texts are long, and with sanitizers strchr()
 * and strtol() look at all of them. */
static bool next_line(struct lw_slice *rest, struct lw_logfile_line *ret_line)
{
	const uint8_t *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
	struct lw_slice line = { rest->data, end != NULL ? (size_t)(end - rest->data) : 0 };

	if (end == NULL)
		return false;
	if (!lw_logfile_parse(line, ret_line))
		rig_fail(__FILE__, __LINE__, "no line of ours: %.*s", (int)line.size,
			 (const char *)line.data);
	*rest = (struct lw_slice){ end + 1, rest->size - line.size - 1 };
	return true;
}

/* Takes a number and what stands behind it. */
static long next_number(struct lw_slice *text)
{
	long number = 0;

	for (; text->size > 0 && *text->data >= '0' && *text->data <= '9'; text->size--)
		number = number * 10 + (*text->data++ - '0');
	if (text->size > 0) {
		text->size--;
		text->data++;
	}
	return number;
}

static bool text_is(const struct lw_logfile_line *line, const char *text)
{
	return line->text.size == strlen(text) &&
	       memcmp(line->text.data, text, line->text.size) == 0;
}

static size_t count_kept(const char *name, const char *part)
{
	struct lw_slice at = lines_of(kept(name));
	struct lw_logfile_line line;
	size_t count = 0;

	while (next_line(&at, &line))
		count += memmem(line.text.data, line.text.size, part, strlen(part)) != NULL;
	return count;
}

/* "TALKER NUMBER." from 1 on, each number once, of the talker that spoke last up to `last`. */
static void check_numbers(const char *text, int last)
{
	struct lw_logfile_line line;
	long talker = 0;
	int number = 0;

	for (struct lw_slice at = lines_of(text); next_line(&at, &line);) {
		long who = next_number(&line.text);
		int is = (int)next_number(&line.text);

		number = who != talker ? 1 : number + 1;
		talker = who;
		if (is != number)
			rig_fail(__FILE__, __LINE__, "talker %ld: %d where %d belongs", who, is,
				 number);
	}
	CHECK_INT(number, last);
}

TEST(lines_are_kept_with_their_time_process_run_and_stream)
{
	struct rig_proc *proc =
		rig_up("work 'job' { command = { 'sh', '-c', 'echo one; echo two >&2; "
		       "printf \"no end\"' }, parallel = true }\n"
		       "function flow() print('from the flow') job:run() end\n",
		       "--no-prefix", NULL);
	double before = rig_number(rig_status(), "app.started");
	struct lw_logfile_line line;
	struct lw_slice at;

	AWAIT(rig_is(rig_work("job"), "stage", "succeeded"));
	AWAIT(count_kept("job", "no end") == 1);
	at = lines_of(kept("job"));
	while (next_line(&at, &line)) {
		CHECK_INT(line.run, 1);
		CHECK_INT(line.pid, rig_number(rig_work("job"), "processes.0.pid"));
		CHECK_INT(line.err, text_is(&line, "two"));
		CHECK((double)line.at / 1e6 > before && (double)line.at / 1e6 < before + 100);
	}
	CHECK_INT(count_kept("job", "one"), 1);
	CHECK_INT(count_kept("job", "two"), 1);
	CHECK(count_kept("@lw", "from the flow") >= 1);
	CHECK_HAS(rig_http("GET", "/metrics", NULL).out,
		  "\nlw_output_bytes_total{work=\"job\"} 14\n");
	rig_down(proc);
	CHECK_HAS(kept("@lw"), " - - err info: supervisor pid=");
	CHECK_HAS(kept("@lw"), "ends: signal TERM\n");
}

TEST(bytes_are_kept_as_they_are_and_a_long_line_in_pieces)
{
	struct rig_proc *proc = rig_up("work 'job' { parallel = true, command = { 'sh', '-c',\n"
				       "  [[printf 'a\\377\\033[31m\\r\\n'; head -c 200000 "
				       "/dev/zero | tr '\\0' x; echo]] } }\n" ONCE("job"),
				       "--no-prefix", NULL);
	struct lw_logfile_line line;
	size_t size = 0, pieces = 0;
	struct lw_slice at;

	CHECK_INT(rig_exit(proc), 0);
	at = lines_of(kept("job"));
	CHECK(next_line(&at, &line));
	CHECK(text_is(&line, "a\377\033[31m\r"));
	do {
		CHECK(next_line(&at, &line));
		size += line.text.size;
		pieces++;
	} while (line.more);
	CHECK_INT(size, 200000);
	CHECK(pieces > 1);
	CHECK(!next_line(&at, &line));
	/* The API gives out text, and what is none as "?". */
	CHECK_HAS(rig_ctl("logs", "job", "--json", "-n", "all", NULL).out,
		  "\"text\":\"a?\\u001b[31m\\r\"}");
}

/* ---- rotation ------------------------------------------------------------------------------------ */

TEST(a_flood_is_rotated_and_the_last_files_hold_its_end_without_a_gap)
{
	struct rig_proc *proc =
		rig_up("work 'job' { parallel = true, log_max_size = 100000, log_keep = 3,\n"
		       "  command = { 'sh', '-c', 'seq -f \"1 %.0f.\" 1 40000' } }\n" ONCE("job"),
		       "--no-prefix", NULL);
	struct lw_logfile_line line;
	int number = 0, last = 0;
	size_t lines = 0;
	struct lw_slice at;

	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(size_of("job.log.4"), -1);
	for (int age = 1; age < 4; age++) {
		off_t size = size_of(rig_format("job.log.%d", age));

		CHECK(size <= 100000 && size > 90000);
	}
	for (at = lines_of(kept("job")); next_line(&at, &line); lines++, last = number) {
		(void)next_number(&line.text);
		number = (int)next_number(&line.text);
		CHECK(last == 0 || number == last + 1);
	}
	CHECK_INT(number, 40000);
	CHECK(lines > 5000 && lines < 40000);
}

TEST(no_file_is_rotated_for_every_line)
{
	struct rig_proc *proc =
		rig_up("work 'job' { parallel = true, log_max_size = 1, log_keep = 2,\n"
		       "  command = { 'seq', '5000' } }\n" ONCE("job"),
		       "--no-prefix", NULL);

	CHECK_INT(rig_exit(proc), 0);
	for (int age = 1; age < 3; age++) {
		off_t size = size_of(rig_format("job.log.%d", age));

		CHECK(size <= 4096 && size > 3900);
	}
	CHECK_INT(count_kept("job", "5000"), 1);
}

TEST(other_limits_hold_when_app_conf_is_read_again_and_who_left_it_keeps_his_files)
{
#define TALK "command = { 'sh', '-c', 'seq 1000' }, parallel = true, cache_calls = false"
	struct rig_proc *proc = rig_up("work 'stays' { " TALK " }\n"
				       "work 'leaves' { " TALK " }\n" NO_FLOW,
				       "--no-prefix", NULL);

	CHECK_INT(rig_ctl("run", "stays", "--wait", NULL).status, 0);
	CHECK_INT(rig_ctl("run", "leaves", "--wait", NULL).status, 0);
	AWAIT(count_kept("stays", "1000") == 1 && count_kept("leaves", "1000") == 1);
	CHECK_INT(size_of("stays.log.1"), -1);
	rig_write("app.conf",
		  "work 'stays' { " TALK ", log_max_size = 8000, log_keep = 2 }\n" NO_FLOW);
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	CHECK_INT(rig_ctl("run", "stays", "--wait", NULL).status, 0);
	AWAIT(count_kept("stays", "1000") == 1 && size_of("stays.log.2") > 0);
	CHECK(size_of("stays.log") <= 8000 && size_of("stays.log.1") <= 8000);
	CHECK_INT(size_of("stays.log.3"), -1);
	AWAIT(rig_http("GET", "/api/v1/works/leaves", NULL).status == 404);
	CHECK_HAS(rig_ctl("logs", "leaves", "-n", "1", NULL).out, " leaves | 1000\n");
	rig_down(proc);
}

/* ---- a supervisor that is killed ------------------------------------------------------------------- */

#define NUMBERS 3000
static const char talker[] = /* its shell's pid tells one attempt from the next */
	"work 'talker' { parallel = true, command = { 'sh', '-c', 'seq -f \"$$ %.0f.\" 1 3000' } "
	"}\n" ONCE("talker");

/* It dies at the n-th of these calls, and the next one brings it to its end; false: it had made fewer
 * such calls when all was said. */
static bool dies_at(const char *what, int n)
{
	struct rig_proc *proc;
	bool died;

	rig_anew();
	printf("%s %d\n", what, n);
	fflush(stdout);
	rig_fault("lw-supervisor %s - %d die", what, n);
	proc = rig_supervisor(talker, "--no-prefix", NULL);
	(void)rig_exit(proc);
	died = rig_fault_happened();
	rig_no_fault();
	if (died) {
		proc = rig_supervisor(NULL, "--no-prefix", NULL);
		CHECK_INT(rig_exit(proc), 0);
	}
	check_numbers(kept("talker"), NUMBERS);
	return died;
}

static void dies_everywhere(const char *what)
{
	for (int n = 1; n <= 24 && dies_at(what, n); n++)
		;
}

TEST(a_supervisor_that_dies_before_any_write_keeps_every_line_once)
{
	dies_everywhere("before write");
}

TEST(a_supervisor_that_dies_behind_any_write_keeps_every_line_once)
{
	dies_everywhere("after write");
}

TEST(a_supervisor_that_dies_before_it_takes_lines_out_keeps_every_line_once)
{
	dies_everywhere("after tee");
	dies_everywhere("before splice");
}

TEST(a_supervisor_that_dies_when_it_took_lines_out_keeps_every_line_once)
{
	dies_everywhere("after splice");
}

TEST(a_flood_that_several_supervisors_were_killed_in_is_kept_once)
{
	struct rig_proc *proc = rig_up(
		"work 'talker' { parallel = true, log_max_size = '1MiB', log_keep = 100,\n"
		"  command = { 'sh', '-c', 'seq -f \"$$ %.0f.\" 1 200000' } }\n" ONCE("talker"),
		"--no-prefix", NULL);
	int killed = 0;

	rig_hold(proc, true); /* the console is not what this is about */
	for (off_t rotations = 1; !rig_is_over(proc) && killed < 6; rotations++) {
		const char *name = rig_format("talker.log.%d", (int)rotations);

		AWAIT(size_of(name) > 0 || rig_is_over(proc));
		if (rig_is_over(proc))
			break;
		rig_signal(proc, SIGKILL);
		(void)rig_exit(proc);
		killed++;
		proc = rig_supervisor(NULL, "--no-prefix", NULL);
		rig_hold(proc, true);
	}
	CHECK_INT(rig_exit(proc), 0);
	CHECK(killed > 0);
	printf("killed %d times\n", killed);
	check_numbers(kept("talker"), 200000);
}

/* ---- a disk that takes nothing ------------------------------------------------------------------------ */

static void limit_files(const struct rig_proc *proc, rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	CHECK_INT(prlimit(rig_pid(proc), RLIMIT_FSIZE, &limit, NULL), 0);
}

TEST(what_a_full_disk_does_not_take_is_said_once_and_the_work_goes_on)
{
	struct rig_proc *proc;

	rig_gate("gate");
	/* So large that only this file is at the limit. */
	proc = rig_up("work 'job' { parallel = true, log_max_size = 0, command = { 'sh', '-c', [[\n"
		      "  seq 40000; for i in 1 2 3 4; do echo part $i; head -c 1 gate >/dev/null; "
		      "done]] } }\n" ONCE("job"),
		      "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "part 1");
	CHECK_INT(count_kept("job", "part 1"), 1); /* before the console */
	limit_files(proc, (rlim_t)size_of("job.log") + 10);
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "part 2");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "part 3");
	CHECK_LINES(proc, RIG_ERR, "job.log error=\"No space left on device\" lines are not kept",
		    1);
	limit_files(proc, RLIM_INFINITY);
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "part 4");
	rig_line(proc, RIG_ERR, "job.log takes lines again, 2 were not kept");
	rig_open_gate("gate", 1);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(count_kept("job", "part 1"), 1);
	CHECK_INT(count_kept("job", "part 2"), 0);
	CHECK_INT(count_kept("job", "[lw: 2 lines were not kept: No space left on device]"), 1);
	CHECK_INT(count_kept("job", "part 4"), 1);
}

TEST(a_folder_that_was_removed_is_made_again)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE " }\n" NO_FLOW, "--no-prefix", NULL);

	(void)rig_run("job", "{\"value\": 1}");
	AWAIT(count_kept("job", "ran value=1") == 1);
	CHECK_INT(rig_exit(rig_spawn("rm", "-r", LOGS, NULL)), 0);
	(void)rig_run("job", "{\"value\": 2}");
	AWAIT(count_kept("job", "ran value=2") == 1);
	CHECK_INT(count_kept("job", "ran value=1"), 0);
	rig_down(proc);
}

/* ---- a flood slows nobody else ---------------------------------------------------------------------------- */

/* Every few lines move 300 files: it prints faster than anybody could keep up with. */
TEST(a_flood_that_is_slow_to_keep_does_not_hold_up_the_supervisor)
{
	struct rig_proc *proc =
		rig_up("work 'flood' { parallel = true, log_max_size = 4096, log_keep = 300,\n"
		       "  stop_timeout = 0, command = { 'yes' } }\n" ONCE("flood"),
		       "--no-prefix", NULL);

	AWAIT(size_of("flood.log.9") > 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(rig_http("GET", "/healthz", NULL).status, 200);
	CHECK_INT(rig_ctl("shutdown", NULL).status, 0);
	CHECK_INT(rig_exit(proc), 0);
}

TEST(while_one_work_floods_the_others_run_and_the_supervisor_answers)
{
	struct rig_proc *proc = rig_up("work 'flood' { command = { 'yes' }, parallel = true,\n"
				       "  log_max_size = '1MiB', log_keep = 1 }\n"
				       "work 'quiet' { " SERVE " }\n"
				       "function flow() flood:run() end\n",
				       "--no-prefix", NULL);

	rig_hold(proc, true); /* nor does a console that nobody reads */
	AWAIT(size_of("flood.log.1") > 0);
	for (int i = 1; i <= 50; i++) {
		(void)rig_run("quiet", rig_format("{\"value\": %d}", i));
		AWAIT(count_kept("quiet", rig_format("ran value=%d", i)) == 1);
	}
	rig_hold(proc, false);
	CHECK_INT(rig_ctl("kill", "flood", NULL).status, 0);
	rig_down(proc);
}

/* ---- lwctl logs ------------------------------------------------------------------------------------------ */

static const char *text_at(struct rig_answer answer, int line)
{
	const char *at = answer.out;

	for (; line > 0 && at != NULL; line--)
		at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL;
	return at != NULL ? rig_format("%.*s", (int)strcspn(at, "\n"), at) : "(nothing)";
}

static int count_lines(struct rig_answer answer)
{
	int lines = 0;

	for (const char *at = answer.out; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	return lines;
}

static struct rig_answer logs_of_job(const char *option, const char *value)
{
	struct rig_answer answer = rig_ctl("logs", "job", option, value, NULL);

	CHECK_INT(answer.status, 0);
	return answer;
}

/* With and without a supervisor the answer is the same. */
static void ask_for_lines(void)
{
	struct rig_answer answer = logs_of_job("-n", "1");

	CHECK_INT(count_lines(answer), 1);
	CHECK_TEXT(text_at(answer, 0) + 2, rig_format("%.6s job | last", text_at(answer, 0) + 2));
	CHECK_INT(count_lines(logs_of_job("-n", "all")), 304);
	CHECK_INT(count_lines(rig_ctl("logs", "job", NULL)), 100);
	CHECK_INT(count_lines(logs_of_job("--run", "1")), 152);
	CHECK_HAS(text_at(logs_of_job("--run", "1"), 151), " job | last");
	CHECK_INT(count_lines(logs_of_job("--stream", "err")), 4);
	CHECK_HAS(text_at(logs_of_job("--search", "count 150"), 1), " job | count 150");
	CHECK_INT(count_lines(logs_of_job("--search", "no such & text")), 0);
	CHECK_INT(count_lines(logs_of_job("--since", "1h")), 304);
	CHECK_INT(count_lines(logs_of_job("--since", "@99999999999")), 0);
	answer = logs_of_job("-n1", "--json");
	CHECK_TEXT(rig_string(answer.json, "text"), "last");
	CHECK_TEXT(rig_string(answer.json, "work"), "job");
	CHECK_TEXT(rig_string(answer.json, "source"), "work");
	CHECK_TEXT(rig_string(answer.json, "stream"), "err");
	CHECK_INT(rig_number(answer.json, "run"), 2);
	CHECK_HAS(rig_ctl("logs", "--search", "says the flow", NULL).out, " flow | says the flow");
	CHECK_HAS(rig_ctl("logs", "--search", "supervisor pid=", NULL).out, " lw | info: supe");
	CHECK_INT(rig_ctl("logs", "jbo", NULL).status, 1);
}

TEST(lines_are_found_by_number_run_time_stream_and_text_with_and_without_a_supervisor)
{
	struct rig_proc *proc =
		rig_up("work 'job' { parallel = true, log_max_size = 9000, cache_calls = false,\n"
		       "  command = { 'sh', '-c', 'seq -f \"count %.0f\" 150; echo oops >&2; "
		       "sleep 0.01; echo last >&2' } }\n"
		       "print('says the flow')\n" NO_FLOW,
		       "--no-prefix", NULL);

	rig_down(proc);
	proc = rig_up("work 'job' { parallel = true, log_max_size = 9000, cache_calls = false,\n"
		      "  command = { 'sh', '-c', 'seq -f \"count %.0f\" 150; echo oops >&2; "
		      "sleep 0.01; echo last >&2' } }\n"
		      "function flow() print('says the flow') end\n",
		      "--no-prefix", NULL);
	for (int run = 1; run <= 2; run++) {
		CHECK_INT(rig_ctl("run", "job", "--wait", NULL).status, 0);
		AWAIT(count_kept("job", "last") == (size_t)run);
	}
	CHECK(size_of("job.log.1") > 0);
	ask_for_lines();
	CHECK_HAS(rig_ctl("logs", "jbo", NULL).err, "no work 'jbo' (did you mean 'job'?)");
	rig_down(proc);
	ask_for_lines();
	CHECK_HAS(rig_ctl("logs", "jbo", NULL).err,
		  "no supervisor runs, and work 'jbo' left no output");
	CHECK_INT(rig_ctl("logs", "-f", NULL).status, 3);
}

TEST(a_question_that_makes_no_sense_is_refused)
{
	struct rig_proc *proc = rig_up("work 'job' { " SERVE " }\n" NO_FLOW, "--no-prefix", NULL);
	static const char *const queries[] = {
		"lines=-1",  "lines=x",    "follow=maybe", "run=0",
		"stream=in", "search=%zz", "since=now",    "limit=5"
	};

	for (size_t i = 0; i < LW_COUNT(queries); i++)
		CHECK_INT(rig_http("GET", rig_format("/api/v1/logs?%s", queries[i]), NULL).status,
			  400);
	CHECK_INT(rig_http("GET", "/api/v1/works/nope/logs", NULL).status, 404);
	CHECK_INT(rig_http("GET", "/api/v1/works/..%2Fjob/logs", NULL).status, 404);
	CHECK_INT(rig_http("POST", "/api/v1/logs", NULL).status, 405);
	CHECK_INT(rig_ctl("logs", "-n", "many", NULL).status, 2);
	CHECK_INT(rig_ctl("logs", "--stream", "both", NULL).status, 2);
	CHECK_INT(rig_ctl("logs", "job", "other", NULL).status, 2);
	rig_down(proc);
}

TEST(who_follows_sees_every_line_over_rotations_and_restarts_of_the_work)
{
	struct rig_proc *proc, *one, *all;

	rig_gate("gate");
	proc = rig_up("work 'job' { parallel = true, log_max_size = 20000, log_keep = 1000,\n"
		      "  restart = 'always', command = { 'sh', '-c', [[\n"
		      "  head -c 1 gate >/dev/null; seq -f 'line %.0f.' 3000; kill -9 $$]] } }\n"
		      "work 'late' { command = { 'echo', 'late' }, parallel = true }\n",
		      "--no-prefix", NULL);
	/* All: they may come when the first lines are there. */
	one = rig_spawn(LW_BIN "/lwctl", "logs", "job", "-f", "-n", "all", NULL);
	all = rig_spawn(LW_BIN "/lwctl", "logs", "--follow", "--json", "-n", "all", NULL);
	for (size_t round = 1; round <= 3; round++) {
		rig_open_gate("gate", 1);
		CHECK_LINES(one, RIG_OUT, "line 3000.", round);
		CHECK_LINES(all, RIG_OUT, "line 3000.", round);
		for (int i = 1; i <= 3000; i += 371)
			CHECK_INT(rig_count(one, RIG_OUT, rig_format("line %d.", i)), round);
		CHECK_INT(rig_count(one, RIG_OUT, "line "), 3000 * round);
		CHECK_INT(rig_count(all, RIG_OUT, "\"text\":\"line "), 3000 * round);
	}
	CHECK(size_of("job.log.10") > 0);
	rig_signal(one, SIGINT);
	CHECK_INT(rig_exit(one), 0);
	rig_signal(proc, SIGTERM);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_exit(all), 0);
	CHECK_HAS(rig_text(all, RIG_ERR), "the supervisor has ended");
	CHECK_HAS(rig_text(all, RIG_OUT), "\"source\":\"lw\"");
}

/* ---- a reader that takes its time -------------------------------------------------------------------------- */

TEST(a_large_answer_to_a_slow_reader_keeps_nobody_waiting_and_is_whole)
{
	static const char request[] = "GET /api/v1/logs?lines=all&search=filler HTTP/1.1\r\n"
				      "Host: lw\r\nConnection: close\r\n\r\n";
	struct rig_proc *proc =
		rig_up("work 'job' { parallel = true, command = { 'sh', '-c',\n"
		       "  'seq -f \"filler filler filler filler filler filler %.0f\" 100000' } }\n"
		       "function flow() job:run() end\n",
		       "--no-prefix", NULL);
	static char bytes[65536];
	size_t lines = 0;
	ssize_t n;
	int fd;

	AWAIT(rig_is(rig_work("job"), "stage", "succeeded"));
	fd = rig_dial(rig_path(".lw/app.conf/control.sock"));
	CHECK_INT(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	for (int i = 0; i < 20; i++)
		CHECK(rig_is(rig_status(), "app.stage", "running"));
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += bytes[i] == '}';
	close(fd);
	CHECK_INT(lines, 100000);
	rig_down(proc);
}

/* ---- the supervisor's own log ----------------------------------------------------------------------------- */

TEST(the_supervisors_own_lines_are_objects_when_asked_for)
{
	struct rig_proc *proc =
		rig_up("work 'job' { " SERVE " }\n" NO_FLOW, "--log-format", "json", NULL);
	json_t *json;

	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK_INT(rig_ctl("stop", "job", NULL).status, 0);
	json = json_loads(rig_line(proc, RIG_ERR, "audit "), 0, NULL);
	CHECK(json != NULL);
	CHECK(rig_number(json, "at") > 1e9);
	CHECK_TEXT(rig_string(json, "level"), "info");
	CHECK_TEXT(rig_string(json, "verb"), "stop");
	CHECK_TEXT(rig_string(json, "work"), "job");
	CHECK_INT(rig_number(json, "uid"), geteuid());
	CHECK_HAS(rig_string(json, "message"), "audit uid=");
	json_decref(json);
	CHECK_HAS(kept("@lw"), " - - err info: audit uid=");
	rig_down(proc);
	for (const char *line = rig_text(proc, RIG_ERR); line[0] != '\0';
	     line += strcspn(line, "\n") + 1)
		CHECK(line[0] == '{');
	CHECK_INT(rig_exit(rig_spawn(LW_BIN "/lw-supervisor", "--log-format", "xml", "app.conf",
				     NULL)),
		  2);
}
