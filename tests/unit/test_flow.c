/* links: lw_supervisor
 * test_flow.c - the sandbox, works and runs in a pass, failures, and what app.conf may do. */
#include "flow_app.h"
#include "lw_log.h"

TestSuite(flow, .fini = close_all, .timeout = 60);

/* ---- the sandbox ------------------------------------------------------------------------ */

Test(flow, the_sandbox_holds_exactly_what_the_design_lists)
{
	cr_assert_str_eq(
		pass_of("local function list(t) local n = {} for k in pairs(t) do n[#n + 1] = k "
			"end\n"
			"  table.sort(n) print(table.concat(n, ' ')) end\n"
			"list(_G) list(os) list(string) list(coroutine)"),
		"_G _VERSION app assert collectgarbage coroutine debug dofile error flow "
		"getmetatable io "
		"ipairs load loadfile lw math next os p package pairs pcall print rawequal rawget "
		"rawlen "
		"rawset require select setmetatable string table tonumber tostring type utf8 w "
		"warn work "
		"works xpcall\n"
		"clock date difftime execute exit getenv remove rename setlocale time tmpname\n"
		"byte char dump find format gmatch gsub len lower match pack packsize rep reverse "
		"sub "
		"unpack upper\n"
		"close create isyieldable resume running status wrap yield\n");
}

Test(flow, what_was_left_out_says_why_and_what_to_do_instead)
{
	static const struct {
		const char *code, *error;
	} rows[] = {
		{ "io.open('x')", "io.open would block the flow; do it in a work" },
		{ "io.lines('x')", "io.lines would block the flow; do it in a work" },
		{ "os.execute('x')", "os.execute would block the flow; do it in a work" },
		{ "os.remove('x')", "os.remove changes files; do it in a work" },
		{ "os.exit()",
		  "os.exit would end the supervisor; use lw.stop(message) or lw.fail(message)" },
		{ "dofile('x')",
		  "dofile is left out; use require \"name\", which reads from the app's folder" },
		{ "collectgarbage()",
		  "collectgarbage is left out; memory is bounded by flow_memory" },
		{ "string.dump(print)", "string.dump is left out; a flow loads text only" },
		{ "('x').dump(print)", "string.dump is left out; a flow loads text only" },
		{ "debug.sethook()", "debug.sethook is left out: it opens the sandbox" },
		{ "package.loadlib('x')",
		  "package.loadlib is left out; require reads from the app's folder" },
		{ "lw.stat = 1", "lw is read-only; a value is assigned as lw.state.x" },
		{ "print(lw.stat)", "lw has no 'stat' (did you mean 'state'?)" },
		{ "print(w.stat)", "work 'w' has no field 'stat' (did you mean 'state'?)" },
		{ "w:rum()", "work 'w' has no field 'rum' (did you mean 'run'?)" },
		{ "w.run(1)", "a work was expected, not a number (call it with a colon: w:run())" },
		{ "w.run()", "a work was expected, not nothing (call it with a colon: w:run())" },
		{ "print(p:run().has_suceeded)",
		  "a run has no field 'has_suceeded' (did you mean 'has_succeeded'?)" },
		{ "p:run().stage = 'x'", "a run is read-only" },
		{ "works.x = 1", "works is read-only; a work is made by work \"name\" { ... }" },
		{ "app {}", "app{} belongs to the top level of app.conf" },
		{ "assert(load('\\27Lua', 'x', 'b'))", "a flow loads text only, no bytecode" },
		{ "assert(load('\\27Lua'))", "attempt to load a binary chunk (mode is 't')" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		pass_of(rows[i].code);
		cr_expect_eq(rig.result.verdict, FLOW_FAILS, "%s", rows[i].code);
		cr_expect_not_null(strstr(rig.result.message, rows[i].error), "%s gave: %s",
				   rows[i].code, rig.result.message);
		close_all();
	}
}

Test(flow, nothing_leads_out_of_the_sandbox)
{
	cr_assert_str_eq(
		pass_of("print(getmetatable(''), getmetatable(w), getmetatable(lw))\n"
			"print((pcall(setmetatable, lw, {})))\n"
			"print(load('return x', 'c', 't', { x = 5 })(), load('return x')())\n"
			"local t = { 'return ', '7' } local i = 0\n"
			"print(load(function() i = i + 1 return t[i] end)())\n"
			"print(load('x ='))"),
		"false\twork\tlw\nfalse\n5\tnil\n7\n"
		"nil\t[string \"x =\"]:1: unexpected symbol near <eof>\n",
		"%s", rig.result.message);
}

Test(flow, the_top_level_depends_on_nothing_but_the_file_and_lw_env)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "x = os.time()",
		  "app.conf:1: os.time cannot be used while app.conf is read, which "
		  "depends on nothing but the file and lw.env: use it in flow()" },
		{ "x = os.getenv('HOME')",
		  "app.conf:1: os.getenv cannot be used while app.conf is read, which depends on "
		  "nothing but the file and lw.env: use it in flow()" },
		{ "work 'w' { command = { 'true' } }\nw:run()",
		  "app.conf:2: w cannot be used while app.conf is read: do it in flow()" },
		{ "work 'w' { command = { 'true' } }\nprint(w.status)",
		  "app.conf:2: a work cannot be used while app.conf is read: do it in flow()" },
		{ "lw.state.x = 1",
		  "app.conf:1: state cannot be used while app.conf is read: do it in flow()" },
		{ "lw.stop('x')",
		  "app.conf:1: lw.stop cannot be used while app.conf is read: do it in flow()" },
		{ "lw.schedule('daily')", "app.conf:1: lw.schedule cannot be used while app.conf "
					  "is read: do it in flow()" },
		{ "error({})", NULL },
		{ "error(setmetatable({}, { __tostring = function() return 'mine' end }))",
		  "mine" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		const char *error = load_error(rows[i].text);

		if (rows[i].error == NULL)
			cr_expect(error[0] != '\0', "%s", rows[i].text);
		else
			cr_expect_str_eq(error, rows[i].error, "%s gave: %s", rows[i].text, error);
	}
	setenv("LW_TEST_PROGRAM", "true", 1);
	cr_assert_str_eq(load_error("work 'w' { command = { lw.env('LW_TEST_PROGRAM') } }\n"
				    "assert(lw.env('LW_TEST_NONE', 'd') == 'd')\n"
				    "assert(lw.env('LW_TEST_NONE') == nil)"),
			 "");
}

Test(flow, random_numbers_are_the_same_in_every_load_and_differ_in_passes)
{
	static const char text[] = "local first = math.random(1 << 40)\n"
				   "function flow() print(first) print(math.random(1 << 40)) end";
	char before[100];

	open_app(text);
	snprintf(before, sizeof(before), "%s", pass());
	close_all();
	open_app(text);
	pass();
	cr_assert_eq(strncmp(before, lw_buf_text(&rig.printed), strcspn(before, "\n") + 1), 0);
	cr_assert_str_neq(before, lw_buf_text(&rig.printed));
}

Test(flow, require_reads_lua_files_of_the_apps_folder_once_and_nothing_else)
{
	write_file("tools.lua", "print('loading', ...) return { two = 2 }");
	write_file("sub/init.lua", "return 'sub'");
	write_file("sub/deep.lua", "return 'deep'");
	write_file("self.lua", "return require 'self'");
	write_file("none.lua", "");
	write_file("bad.lua", "x = = 1");
	write_file("fails.lua", "error('broken')");
	cr_assert_str_eq(pass_of("print(require('tools').two, require('tools').two)\n"
				 "print(require 'sub', require 'sub.deep', require 'none')\n"
				 "print(pcall(require, 'self')) print(pcall(require, 'fails'))\n"
				 "print(pcall(require, 'fails')) print(pcall(require, 'bad'))\n"
				 "print(pcall(require, 'absent')) print((pcall(require, '../x')))\n"
				 "print((pcall(require, '..x')), (pcall(require, '/etc/passwd')), "
				 "(pcall(require, '')),\n"
				 "  (pcall(require, 'a..b')), (pcall(require, 'a.')), "
				 "(pcall(require, 'string')))"),
			 "loading\ttools\n2\t2\nsub\tdeep\ttrue\nfalse\tself.lua:1: require "
			 "'self': it requires "
			 "itself\n"
			 "false\tfails.lua:1: broken\nfalse\tfails.lua:1: broken\n"
			 "false\tbad.lua:1: unexpected symbol near '='\n"
			 "false\trequire 'absent': neither absent.lua nor absent/init.lua is in "
			 "the app's folder\n"
			 "false\nfalse\tfalse\tfalse\tfalse\tfalse\tfalse\n");
}

Test(flow, a_file_that_would_block_is_not_opened_by_require)
{
	char path[200];

	write_file("x.lua", "");
	snprintf(path, sizeof(path), "%s/pipe.lua", rig.folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	pass_of("require 'pipe'");
	cr_assert_not_null(strstr(rig.result.message, "not a regular file"), "%s",
			   rig.result.message);
}

Test(flow, memory_is_bounded_and_the_app_fails_with_a_clear_sentence)
{
	open_app("app { flow_memory = '2MiB' }\nfunction flow() local t = {} while true do "
		 "t[#t + 1] = ('x'):rep(1000) .. #t end end\n");
	cr_assert_str_eq(pass(), "app.conf: not enough memory: the flow needs more than 2 MiB "
				 "(flow_memory)");
	cr_assert_eq(rig.result.verdict, FLOW_FAILS);
	close_all();
	cr_assert_str_eq(
		load_error("x = ('x'):rep(1 << 30)"),
		"app.conf: not enough memory: the flow needs more than 64 MiB (flow_memory)");
}

Test(flow, print_is_one_line_with_tabs)
{
	cr_assert_str_eq(pass_of("print() print(1, nil, 'x', 2.0) print('a\\nb')"),
			 "\n1\tnil\tx\t2.0\na\nb\n");
}

/* ---- works and runs ------------------------------------------------------------------------ */

Test(flow, a_run_tells_its_stage_and_later_its_result)
{
	static const char body[] = "local r = p:run(7)\n"
				   "print(r.stage, r.has_started, r.is_pending, r.is_running, "
				   "r.has_succeeded, r.has_failed,\n"
				   "  r.has_stopped, r.has_timeout, r.result, r.error, r.id, "
				   "r.cached, r.attempt, #r.key)\n"
				   "print(r.work == p, r.decision, p.status.stage, "
				   "p.num_successes, #p.statuses, p.name, "
				   "p.url)";

	cr_assert_str_eq(pass_of(body),
			 "pending\ttrue\ttrue\tfalse\tfalse\tfalse\tfalse\tfalse\tnil\tnil\t1\tfals"
			 "e\t0\t32\n"
			 "true\trun\tpending\t0\t1\tp\tnil\n",
			 "%s", rig.result.message);
	finish("p", STAGE_SUCCEEDED, "[1]");
	cr_assert_str_eq(pass(),
			 "succeeded\ttrue\tfalse\tfalse\ttrue\tfalse\tfalse\tfalse\t[1]"
			 "\tnil\t1\ttrue\t1\t32\n"
			 "true\thit\tsucceeded\t1\t3\tp\tnil\n",
			 "%s", rig.result.message);
}

Test(flow, a_failed_run_raises_once_and_names_work_call_and_error)
{
	static const char body[] = "local ok, e = pcall(p.run, p, 7, { lr = 0.5 })\n"
				   "print(ok, e.stage or tostring(e))\n"
				   "if not ok then print(e.work.name, e.run.error, e.run.reason, "
				   "e.message, 'x: ' .. e) end";

	pass_of(body);
	finish("p", STAGE_FAILED, "out of data");
	cr_assert_str_eq(
		pass(),
		"false\twork 'p' failed (exit status 3): out of data, in the call (7, lr=0.5)\n"
		"p\tout of data\texit status 3\tout of data\tx: work 'p' failed (exit status 3): "
		"out of "
		"data, in the call (7, lr=0.5)\n");
	cr_assert_str_eq(pass(), "true\tfailed\n", "%s", rig.result.message);
}

Test(flow, an_uncaught_failure_fails_the_app_with_the_line_of_the_call)
{
	pass_of("p:run(7)\nprint('on')");
	finish("p", STAGE_FAILED, "out of data");
	cr_assert_str_eq(pass(), "app.conf:4: work 'p' failed (exit status 3): out of data, in the "
				 "call (7)");
	cr_assert_eq(rig.result.verdict, FLOW_FAILS);
}

Test(flow, an_uncaught_error_fails_the_app_with_its_line)
{
	cr_assert_str_eq(pass_of("\nlocal x = nil + 1"),
			 "app.conf:5: attempt to perform arithmetic on a nil value");
	close_all();
	cr_assert_str_eq(pass_of("error({})"),
			 "an error without text (the error is a table value)");
	cr_assert_eq(rig.result.verdict, FLOW_FAILS);
	close_all();
	cr_assert_str_eq(pass_of("error(setmetatable({}, { __tostring = error }))"),
			 "an error without text");
	close_all();
	cr_assert_str_eq(
		pass_of("error(setmetatable({}, { __tostring = function() return 'x' end }))"),
		"x");
	close_all();
	cr_assert_str_eq(pass_of("lw.fail('no more')"), "app.conf:4: no more");
	close_all();
	pass_of("lw.stop('done')");
	cr_assert_eq(rig.result.verdict, FLOW_STOPS);
	cr_assert_str_eq(rig.result.message, "done");
	close_all();
	pass_of("lw.stop()");
	cr_assert_str_eq(rig.result.message, "stopped by the flow");
	close_all();
	cr_assert_str_eq(pass_of("lw.fail()"), "app.conf:4: lw.fail()");
}

Test(flow, an_error_at_a_name_that_nothing_has_tells_the_name_that_was_meant)
{
	static const struct {
		const char *body, *message;
	} rows[] = {
		{ "pp:run()", "app.conf:4: attempt to index a nil value (global 'pp') (no work "
			      "'pp'; did you mean 'p'?)" },
		{ "works.ww:run()", "app.conf:4: attempt to index a nil value (field 'ww') (no "
				    "work 'ww'; did you mean 'w'?)" },
		{ "works['nope']:run()",
		  "app.conf:4: attempt to index a nil value (field 'nope') (no work 'nope')" },
		{ "works['shard' .. 7]:run()",
		  "app.conf:4: attempt to index a nil value (field '?') (no work 'shard7')" },
		{ "prnt(1)", "app.conf:4: attempt to call a nil value (global 'prnt') (did you "
			     "mean 'print'?)" },
		{ "if works.nope or nope then print(1) end (nope or {}).x.y = 1",
		  "app.conf:4: attempt to index a nil value (field 'x')" },
		{ "unlike:run()", "app.conf:4: attempt to index a nil value (global 'unlike')" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		cr_expect_str_eq(pass_of(rows[i].body), rows[i].message, "%s gave: %s",
				 rows[i].body, rig.result.message);
		close_all();
	}
}

Test(flow, a_run_that_is_gone_says_so)
{
	pass_of("kept = kept or p:run(1) print(pcall(function() return kept.reason end))\n"
		"if again then print(p:forget(1)) end again = true");
	finish("p", STAGE_SUCCEEDED, "1");
	cr_assert_str_eq(pass(), "true\tnil\n1\n", "%s", rig.result.message);
}

Test(flow, a_work_that_an_operator_stopped_answers_with_stage_stopped)
{
	open_app("work 'p' { command = { 'true' }, parallel = true }\n"
		 "function flow() local r = p:run(1) print(r.stage, r.has_stopped, r.reason, r.id, "
		 "r.result, r.error) end");
	work_stop(app_work(app, "p"), false);
	cr_assert_str_eq(pass(), "stopped\ttrue\tstopped by operator\tnil\tnil\tnil\n", "%s",
			 rig.result.message);
}

Test(flow, works_may_be_made_in_a_pass_and_keep_their_settings)
{
	open_app("function flow()\n"
		 "for i = 1, 2 do local s = work('shard' .. i) { command = { 'true' }, parallel = "
		 "true,\n"
		 "  processes = changed and 2 or 1 } print(s.name, s:run(i).stage) end\n"
		 "print(shard1 == works.shard1, works['shard3'], works.shard2.name) changed = "
		 "again again "
		 "= true\nend");
	cr_assert_str_eq(pass(), "shard1\tpending\nshard2\tpending\ntrue\tnil\tshard2\n", "%s",
			 rig.result.message);
	cr_assert_str_eq(pass(), "shard1\tpending\nshard2\tpending\ntrue\tnil\tshard2\n", "%s",
			 rig.result.message);
	pass();
	cr_assert_eq(rig.result.verdict, FLOW_FAILS);
	cr_assert_not_null(strstr(rig.result.message, "app.conf:2: work 'shard1': "), "%s",
			   rig.result.message);
	cr_assert_not_null(strstr(rig.result.message, "processes"), "%s", rig.result.message);
}

Test(flow, only_names_that_are_free_become_globals)
{
	open_app("work 'print' { command = { 'true' } }\nwork 'any name' { command = { 'true' } }\n"
		 "work 'end' { command = { 'true' } }\nwork 'fine_1' { command = { 'true' } }\n"
		 "function flow() print(works.print.name, works['any name'].name, "
		 "works['end'].name, "
		 "fine_1.name) local n = 0 for name, work in pairs(works) do n = n + 1 end "
		 "print(n) end");
	cr_assert_str_eq(pass(), "print\tany name\tend\tfine_1\n4\n", "%s", rig.result.message);
}

Test(flow, the_queue_limit_is_an_ordinary_error)
{
	open_app("work 'p' { command = { 'true' }, parallel = true, queue_limit = 1 }\n"
		 "function flow() p:run(1) p:run(2) print(pcall(p.run, p, 3)) end");
	pass();
	cr_assert_eq(rig.result.verdict, FLOW_FAILS);
	cr_assert_not_null(
		strstr(rig.result.message, ":2: work 'p' has 1 calls waiting (queue_limit)"), "%s",
		rig.result.message);
}

Test(flow, globals_live_on_from_pass_to_pass)
{
	cr_assert_str_eq(pass_of("n = (n or 0) + 1 print(n)"), "1\n");
	cr_assert_str_eq(pass(), "2\n");
}

/* ---- warnings ---------------------------------------------------------------------------------- */

static int warned;

static void count_warnings(void *context LW_UNUSED, enum lw_log_level level, const char *line)
{
	warned += level == LW_LOG_WARNING && strstr(line, "100 ms") != NULL;
}

Test(flow, a_pass_of_more_than_a_tenth_of_a_second_is_warned_of)
{
	warned = 0;
	lw_log_to(count_warnings, NULL);
	pass_of("local until_ = os.clock() + (slow and 0.15 or 0) while os.clock() < until_ do end "
		"slow = true");
	cr_assert_eq(warned, 0);
	pass();
	cr_assert_eq(warned, 1);
	lw_log_to(NULL, NULL);
}
