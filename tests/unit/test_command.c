/* links: lw_command */
/* test_command.c - lw-worker: placeholders, descriptor 3 and stderr as functions; whole runs with
 * command_main() in a forked process. */
#include "as_supervisor.h"

#include "command.h"

/* ---- placeholders ---------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *pattern, *args, *kwargs;
	const char *want; /* words joined by |, or ! and a part of the sentence */
} expansions[] = {
	{ "x",               "[]",              "{}",                      "x" },
	{ "x",               "[\"a\", 2]",      "{}",                      "x|a|2" },
	{ "x",               "[\"\"]",          "{}",                      "x|" },
	{ "x",               "[1.5, true, null]", "{}",                    "x|1.5|true|null" },
	{ "x",               "[[1, \"a\"], {\"k\": 1}]", "{}",             "x|[1,\"a\"]|{\"k\":1}" },
	{ "x",               "[]",              "{\"b\": 1, \"a\": \"y z\"}", "x|--a=y z|--b=1" },
	{ "x",               "[]",              "{\"ab\": 1, \"a\": 2, \"B\": 3}", "x|--B=3|--a=2|--ab=1" },
	{ "x",               "[]",              "{\"t\": true, \"f\": false, \"n\": null}", "x|--t" },
	{ "x",               "[]",              "{\"l\": [1, 2]}",         "x|--l=[1,2]" },
	{ "x",               "[{\"$bytes\": \"YWI=\"}]", "{}",             "x|ab" },
	{ "{1}",             "[\"a\", \"b\"]",  "{}",                      "a" },
	{ "--x={name}",      "[\"a\"]",         "{\"name\": \"v\"}",       "--x=v" },
	{ "{2}{1}{2}",       "[\"a\", \"b\"]",  "{}",                      "bab" },
	{ "{f}",             "[]",              "{\"f\": false}",          "false" },
	{ "{1}",             "[\"a b'c\\\"$d\"]", "{}",                    "a b'c\"$d" },
	{ "{1}",             "[\"{2}\"]",       "{}",                      "{2}" },
	{ "{print $1}",      "[]",              "{}",                      "{print $1}" },
	{ "{ a }{}{1a}{a-b}{", "[]",            "{}",                      "{ a }{}{1a}{a-b}{" },
	{ "{ if (x) { y }}", "[]",              "{}",                      "{ if (x) { y }}" },
	{ "{{print}}",       "[]",              "{}",                      "{print}" },
	{ "{{{1}}}",         "[\"a\"]",         "{}",                      "{a}" },
	{ "{{\"k\": {{\"n\": {1}}}}}", "[7]",   "{}",                      "{\"k\": {\"n\": 7}}" },
	{ "{{1}",            "[\"a\"]",         "{}",                      "{1}|a" },
	{ "{3}",             "[\"a\"]",         "{}",                      "!{3}" },
	{ "{0}",             "[\"a\"]",         "{}",                      "!{0}" },
	{ "{99999999999999999999}", "[\"a\"]",  "{}",                      "!{99999999999999999999}" },
	{ "{day}",           "[]",              "{\"days\": 1}",           "!{day}" },
	{ "x",               "[\"a\\u0000b\"]", "{}",                      "!NUL" },
	{ "{n}",             "[]",              "{\"n\": \"\\u0000\"}",    "!'n'" },
};
/* clang-format on */

static void expand_one(size_t i)
{
	char pattern_text[64];
	char *pattern[] = { pattern_text, NULL };
	LW_AUTO_BUF args = { 0 };
	LW_AUTO_BUF kwargs = { 0 };
	LW_AUTO_BUF got = { 0 };
	struct words words = { 0 };
	struct lw_err err = { 0 };
	const char *want = expansions[i].want;
	int r;

	snprintf(pattern_text, sizeof pattern_text, "%s", expansions[i].pattern);
	pack_json(expansions[i].args, &args);
	pack_json(expansions[i].kwargs, &kwargs);
	r = command_expand(pattern, lw_buf_slice(&args), lw_buf_slice(&kwargs), &words, &err);
	if (want[0] == '!') {
		cr_expect_lt(r, 0, "row %zu", i);
		cr_expect_not_null(strstr(err.text, want + 1), "row %zu: %s", i, err.text);
	} else {
		cr_expect_geq(r, 0, "row %zu: %s", i, err.text);
		for (char **at = words_argv(&words); *at != NULL; at++)
			lw_buf_printf(&got, "%s%s", at == words.argv ? "" : "|", *at);
		cr_expect_str_eq(lw_buf_text(&got), want, "row %zu", i);
	}
	words_done(&words);
}

Test(command, placeholders_stand_for_arguments)
{
	for (size_t i = 0; i < LW_COUNT(expansions); i++)
		expand_one(i);
}

Test(command, a_placeholder_anywhere_stops_the_appending)
{
	char *pattern[] = { (char[]){ "x" }, (char[]){ "{1}" }, NULL };
	LW_AUTO_BUF args = { 0 };
	LW_AUTO_BUF kwargs = { 0 };
	struct words words = { 0 };
	struct lw_err err;

	pack_json("[\"a\", \"b\"]", &args);
	pack_json("{\"c\": 1}", &kwargs);
	cr_assert_eq(
		command_expand(pattern, lw_buf_slice(&args), lw_buf_slice(&kwargs), &words, &err),
		0);
	cr_assert_str_eq(words_argv(&words)[1], "a");
	cr_assert_null(words_argv(&words)[2]);
	words_done(&words);
}

/* ---- descriptor 3 -------------------------------------------------------------------------- */

static char notes[8192];

static void take_note(void *context, const char *text)
{
	size_t size = strlen(notes);

	(void)context;
	snprintf(notes + size, sizeof notes - size, "%s\n", text);
}

static const char *lines_of(const char *bytes, size_t piece)
{
	struct lines lines = { .note = take_note };
	LW_AUTO_BUF result = { 0 };
	const char *json;

	notes[0] = '\0';
	lines_begin(&lines, 1);
	for (size_t at = 0, size = strlen(bytes); at < size; at += piece)
		lines_add(&lines, bytes + at, size - at < piece ? size - at : piece);
	lines_end(&lines);
	lines_result(&lines, &result);
	json = json_of(lw_buf_slice(&result));
	lines_done(&lines);
	return json;
}

Test(command, lines_become_values_whatever_their_pieces)
{
	const char *text = "{\"a\": 1}\n\n {\"b\": [true], \"c\": null}\r\n{\"a\": 2}";

	for (size_t piece = 1; piece < 60; piece++) {
		cr_assert_str_eq(lines_of(text, piece), "{\"a\":2,\"b\":[true],\"c\":null}");
		cr_assert_str_eq(notes, "");
	}
}

Test(command, a_reported_result_takes_the_place_of_the_values)
{
	cr_assert_str_eq(lines_of("{\"a\": 1}\n{\"lw\": {\"result\": 17, \"progress\": 1}}\n", 9),
			 "17");
	cr_assert_str_eq(lines_of("", 1), "{}");
}

Test(command, bad_lines_are_noted_and_ignored)
{
	cr_assert_str_eq(
		lines_of("nonsense\n[1]\n{\"a\": 1\n{\"lw\": 3}\n{\"lw\": {\"progres\": 1}}\n"
			 "{\"\": 1}\n{\"ok\": 1}\n",
			 1000),
		"{\"ok\":1}");
	cr_assert_not_null(strstr(notes, "no JSON object, ignored: nonsense"));
	cr_assert_not_null(strstr(notes, "no JSON object, ignored: [1]"));
	cr_assert_not_null(strstr(notes, "\"lw\" is not an object"));
	cr_assert_not_null(strstr(notes, "\"lw\" has no \"progres\""));
	cr_assert_not_null(strstr(notes, "a name must have 1 to 255 bytes"));
}

Test(command, a_flood_of_bad_lines_or_names_is_bounded)
{
	LW_AUTO_BUF flood = { 0 };
	unsigned count = 0;

	for (int i = 0; i < 1000; i++)
		lw_buf_printf(&flood, "bad\n");
	lines_of(lw_buf_text(&flood), 4096);
	for (const char *at = notes; (at = strchr(at, '\n')) != NULL; at++)
		count++;
	cr_assert_eq(count, LINES_NOTES_MAX);
	flood.size = 0;
	for (int i = 0; i < LINES_NAMES_MAX + 5; i++)
		lw_buf_printf(&flood, "{\"n%d\": 1}\n", i);
	lines_of(lw_buf_text(&flood), 4096);
	cr_assert_not_null(strstr(notes, "more than 4096 names"));
}

/* ---- the last lines of stderr ---------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *written, *want;
} tails[] = {
	{ "",                              "" },
	{ "\n\n",                          "" },
	{ "one",                           "one" },
	{ "one\n",                         "one" },
	{ "1\n2\n3\n4\n5\n6\n",            "2\n3\n4\n5\n6" },
	{ "bad \xff\xc3( \xc3\xa9 end\n\n", "bad ?" "?( \xc3\xa9 end" },
};
/* clang-format on */

static void last_lines(const char *written, size_t size, struct lw_buf *out)
{
	struct stderr_copy copy = { .own_fd = -1, .fd = open("/dev/null", O_WRONLY | O_CLOEXEC) };

	stderr_add(&copy, written, size);
	stderr_last_lines(&copy, out);
	lw_close(copy.fd);
	stderr_done(&copy);
}

Test(command, the_last_lines_are_clean_and_few)
{
	LW_AUTO_BUF out = { 0 };
	char large[10000];

	for (size_t i = 0; i < LW_COUNT(tails); i++) {
		out.size = 0;
		last_lines(tails[i].written, strlen(tails[i].written), &out);
		cr_expect_str_eq(lw_buf_text(&out), tails[i].want);
	}
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = "\xc3\xa9"[i % 2];
	out.size = 0;
	last_lines(large, sizeof large, &out);
	cr_assert_eq(out.size, 2048);
	cr_assert(lw_text_is_utf8(out.data, out.size));
}

/* ---- whole runs ------------------------------------------------------------------------------ */

static int serve(void *argv)
{
	setpgid(0, 0);
	return command_main(argv);
}

#define SHELL(script)                                                                              \
	((char *[]){ (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ script }, (char[]){ "sh" },     \
		     NULL })

static void up(char **argv)
{
	boss_open();
	boss_fork(serve, argv);
	boss_accept();
	boss_welcome(0);
}

static void down(void)
{
	boss_stop();
	cr_assert_eq(boss_let_go(), 0, "%s", file_text("err"));
	boss_close();
}

/* Reads to the RESULT; acknowledges everything. The numbers of STATEs are in ret_states. */
static void await_result(struct lw_msg *msg, unsigned *ret_states)
{
	unsigned states = 0;
	int id;

	while ((id = boss_next(msg)) != LW_MSG_RESULT) {
		cr_assert_geq(id, 0, "%s", file_text("err"));
		states += id == LW_MSG_STATE;
	}
	if (ret_states != NULL)
		*ret_states = states;
}

static void run_ok(const char *args, const char *kwargs, const char *want)
{
	static uint64_t run;
	struct lw_msg msg;

	boss_run(++run, args, kwargs);
	await_result(&msg, NULL);
	cr_assert_eq(msg.result.run, run);
	cr_assert(msg.result.success, "%.*s", (int)msg.result.message.size,
		  (const char *)msg.result.message.data);
	cr_assert_str_eq(json_of(msg.result.value), want);
	boss_ack(msg.result.sequence);
}

static void run_fails(const char *reason, const char *message)
{
	static uint64_t run = 1000;
	struct lw_msg msg;

	boss_run(++run, "[]", "{}");
	await_result(&msg, NULL);
	cr_assert(!msg.result.success);
	cr_assert(slice_is(msg.result.reason, reason), "reason %.*s", (int)msg.result.reason.size,
		  (const char *)msg.result.reason.data);
	cr_assert(slice_is(msg.result.message, message), "message %.*s",
		  (int)msg.result.message.size, (const char *)msg.result.message.data);
	boss_ack(msg.result.sequence);
}

Test(command, runs_the_command_once_a_run)
{
	up((char *[]){ (char[]){ "echo" }, NULL });
	run_ok("[\"a b\", 2]", "{\"x\": \"y\"}", "{}");
	run_ok("[]", "{}", "{}");
	cr_assert_str_eq(file_text("out"), "a b 2 --x=y\n\n");
	down();
}

Test(command, the_call_is_in_a_file_and_in_the_environment)
{
	up(SHELL("cat $LW_ARGS_FILE; printf '%s|%s|%s|' \"$LW_ARGS\" $LW_RUN_ID $LW_ATTEMPT; "
		 "printf '%s' \"$LW_TOKEN$LW_SOCKET\"; cat; : {1}"));
	run_ok("[\"long long long\"]", "{}", "{}");
	run_ok("[1]", "{\"a\": null}", "{}");
	cr_assert_str_eq(file_text("out"), "{\"args\":[\"long long long\"],\"kwargs\":{}}\n"
					   "{\"args\":[\"long long long\"],\"kwargs\":{}}|1|1|"
					   "{\"args\":[1],\"kwargs\":{\"a\":null}}\n"
					   "{\"args\":[1],\"kwargs\":{\"a\":null}}|2|1|");
	down();
}

Test(command, a_long_call_is_in_the_file_alone)
{
	LW_AUTO_BUF args = { 0 };

	up(SHELL("test -z \"$LW_ARGS\" && wc -c < $LW_ARGS_FILE; : {n}"));
	lw_buf_printf(&args, "[\"%0100000d\"]", 1);
	run_ok(lw_buf_text(&args), "{\"n\": 1}", "{}");
	cr_assert_str_eq(file_text("out"), "100031\n");
	down();
}

Test(command, state_and_result_come_from_descriptor_3)
{
	struct lw_msg msg;

	up(SHELL("echo '{\"data\": \"day.csv\", \"rows\": 418}' >&3"));
	boss_run(1, "[]", "{}");
	boss_expect(&msg, LW_MSG_STATE);
	cr_assert(slice_is(msg.state.name, "data"));
	cr_assert_eq(msg.state.run, 1);
	cr_assert_str_eq(json_of(msg.state.value), "\"day.csv\"");
	boss_expect(&msg, LW_MSG_STATE);
	boss_expect(&msg, LW_MSG_RESULT);
	cr_assert_eq(msg.result.sequence, 3);
	cr_assert_str_eq(json_of(msg.result.value), "{\"data\":\"day.csv\",\"rows\":418}");
	boss_ack(3);
	down();
}

Test(command, progress_is_reported_and_bad_lines_are_noted)
{
	struct lw_msg msg;

	up(SHELL("echo '{\"lw\": {\"progress\": 0.25, \"result\": [1]}}' >&3; echo bad >&3"));
	boss_run(1, "[]", "{}");
	boss_expect(&msg, LW_MSG_PROGRESS);
	cr_assert_eq(msg.progress.share, 0.25);
	boss_expect(&msg, LW_MSG_RESULT);
	cr_assert(msg.result.success);
	cr_assert_str_eq(json_of(msg.result.value), "[1]");
	boss_ack(1);
	cr_assert_str_eq(file_text("err"), "lw-worker: descriptor 3: a line is no JSON object, "
					   "ignored: bad\n");
	down();
}

Test(command, state_set_in_one_run_is_no_result_of_the_next)
{
	up(SHELL("test {1} = 1 && echo '{\"a\": 1}' >&3; true"));
	run_ok("[1]", "{}", "{\"a\":1}");
	run_ok("[2]", "{}", "{}");
	down();
}

Test(command, exit_status_and_signal_are_the_reason)
{
	up(SHELL("exit 3"));
	run_fails("exit status 3", "exit status 3");
	down();
	up(SHELL("kill -KILL $$"));
	run_fails("signal 9 (KILL)", "signal 9 (KILL)");
	down();
}

Test(command, the_last_lines_of_stderr_are_the_message)
{
	up(SHELL("for i in 1 2 3 4 5 6; do echo line $i >&2; done; exit 1"));
	run_fails("exit status 1", "line 2\nline 3\nline 4\nline 5\nline 6");
	run_fails("exit status 1", "line 2\nline 3\nline 4\nline 5\nline 6");
	cr_assert_eq(strlen(file_text("err")), 2 * 6 * 7);
	down();
}

Test(command, what_cannot_be_run_fails_the_run)
{
	up((char *[]){ (char[]){ "no-such-program" }, NULL });
	run_fails("failed", "no program 'no-such-program' in PATH");
	down();
	up((char *[]){ (char[]){ "echo" }, (char[]){ "{day}" }, NULL });
	run_fails("failed", "no named argument {day} in the call");
	run_ok("[]", "{\"day\": 1}", "{}");
	down();
}

static const char *file_arg(const char *name)
{
	static char text[160];

	snprintf(text, sizeof text, "[\"%s\"]", folder_file(name));
	return text;
}

/* A pid that the command's descendant wrote into the file `pid`. */
static pid_t noted_pid(void)
{
	return (pid_t)atoi(file_text("pid"));
}

static bool is_gone(pid_t pid)
{
	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

Test(command, a_descendant_in_its_own_session_ends_with_the_run)
{
	up(SHELL("setsid sh -c 'echo $$ > {1}; exec sleep 1000' & "
		 "while ! test -s {1}; do :; done"));
	run_ok(file_arg("pid"), "{}", "{}");
	cr_assert(is_gone(noted_pid()));
	unlink(folder_file("pid"));
	run_ok(file_arg("pid"), "{}", "{}");
	cr_assert(is_gone(noted_pid()));
	down();
}

Test(command, a_descendant_that_ignores_term_is_killed)
{
	boss_open();
	setenv("LW_STOP_TIMEOUT_MS", "100", 1);
	boss_fork(serve, SHELL("setsid sh -c 'trap \"\" TERM; echo $$ > {1}; "
			       "while :; do sleep 1000; done' & while ! test -s {1}; do :; done"));
	boss_accept();
	boss_welcome(0);
	run_ok(file_arg("pid"), "{}", "{}");
	cr_assert(is_gone(noted_pid()));
	down();
}

Test(command, a_grandchild_that_holds_descriptor_3_does_not_hold_the_run)
{
	int64_t from = now_ms();

	up(SHELL("echo '{\"a\": 1}' >&3; (trap '' TERM; echo up >&2; sleep 1000) & exit 0"));
	run_ok("[]", "{}", "{\"a\":1}");
	cr_assert_lt(now_ms() - from, 10000);
	down();
}

static void await_file(const char *name)
{
	int64_t until = now_ms() + DEADLINE_MS;
	struct timespec pause = { 0, 1000000 };

	while (file_text(name)[0] == '\0') {
		cr_assert_lt(now_ms(), until);
		nanosleep(&pause, NULL);
	}
}

static void stopped_by(void (*stop)(void), const char *script_output)
{
	struct lw_msg msg;

	up(SHELL("trap 'echo told TERM; exit' TERM; trap 'echo told INT; exit' INT;  echo up; "
		 "while :; do sleep 0.01; done"));
	boss_run(1, "[]", "{}");
	await_file("out");
	stop();
	await_result(&msg, NULL);
	cr_assert(!msg.result.success);
	cr_assert(slice_is(msg.result.reason, "stopped"));
	boss_ack(msg.result.sequence);
	cr_assert_eq(boss_let_go(), 0);
	cr_assert_str_eq(file_text("out"), script_output);
	boss_close();
}

/* The supervisor signals the group, the command included: it is not told twice. */
static void by_the_supervisor(void)
{
	boss_stop();
	kill(-boss.worker, SIGINT);
}

/* Anybody else means lw-worker alone. */
static void by_a_stranger(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		kill(boss.worker, SIGTERM);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

Test(command, a_stop_is_passed_on_and_ends_the_worker)
{
	stopped_by(boss_stop, "up\ntold TERM\n");
}

Test(command, the_supervisors_signal_arrives_once)
{
	stopped_by(by_the_supervisor, "up\ntold INT\n");
}

Test(command, a_signal_from_anybody_is_passed_on)
{
	stopped_by(by_a_stranger, "up\ntold TERM\n");
}

Test(command, what_ignores_the_stop_is_killed)
{
	struct lw_msg msg;

	boss_open();
	setenv("LW_STOP_TIMEOUT_MS", "200", 1);
	boss_fork(serve, SHELL("trap '' TERM; echo up; while :; do sleep 1000; done"));
	boss_accept();
	boss_welcome(0);
	boss_run(1, "[]", "{}");
	await_file("out");
	boss_stop();
	await_result(&msg, NULL);
	cr_assert(slice_is(msg.result.reason, "stopped"));
	boss_ack(msg.result.sequence);
	cr_assert_eq(boss_let_go(), 0);
	boss_close();
}

Test(command, a_run_goes_on_without_a_supervisor)
{
	struct lw_msg msg;

	up(SHELL("echo '{\"a\": 1}' >&3; while ! test -e {1}; do sleep 0.01; done; "
		 "echo '{\"b\": 2}' >&3"));
	boss_run(1, file_arg("go"), "{}");
	boss_expect(&msg, LW_MSG_STATE);
	boss_go_away();
	lw_close(open(folder_file("go"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	boss_listen();
	boss_accept();
	cr_assert_eq(boss.hello.window, 1);
	boss_welcome(1);
	await_result(&msg, NULL);
	cr_assert_str_eq(json_of(msg.result.value), "{\"a\":1,\"b\":2}");
	boss_ack(msg.result.sequence);
	down();
}

Test(command, a_flood_on_both_pipes_holds_up_nothing)
{
	struct lw_msg msg;
	unsigned states;

	up(SHELL("i=0; while test $i -lt 20000; do i=$((i+1)); echo '{\"a\": '$i'}' >&3; "
		 "echo a line of noise that fills pipes >&2; done; exit 4"));
	boss_run(1, "[]", "{}");
	await_result(&msg, &states);
	cr_assert(slice_is(msg.result.reason, "exit status 4"));
	cr_assert_leq(states, 20000);
	boss_ack(msg.result.sequence);
	down();
}

Test(command, a_refused_worker_leaves_with_1)
{
	boss_open();
	boss_fork(serve, (char *[]){ (char[]){ "true" }, NULL });
	boss_accept();
	boss_send(&(struct lw_msg){ .id = LW_MSG_REFUSE,
				    .refuse = { .reason = text_slice("unknown store") } });
	cr_assert_eq(boss_exit_status(), 1);
	cr_assert_not_null(strstr(file_text("err"), "unknown store"));
	boss_close();
}
