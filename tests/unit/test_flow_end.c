/* links: lw_supervisor
 * test_flow_end.c - ending and interrupting a pass from wherever Lua could swallow it. */
#include <signal.h>
#include <sys/wait.h>

#include "flow_app.h"

TestSuite(flow_end, .fini = close_all, .timeout = 60);

/* Each way must end the pass at the call: the line after it is never printed, and `<close>`
 * variables are closed. %s is what ends it. */
struct place {
	const char *name, *body;
};

/* What the outermost `<close>` variable prints: it sees nothing of the end. */
#define CLOSED(place)                                                                              \
	(strstr((place)->name, "that fails") != NULL ? "closed\tfalse\n" : "closed\tnil\n")

static const struct place places[] = {
	{ "at the top", "END" },
	{ "pcall", "print(pcall(function() END end))" },
	{ "pcall within pcall", "print(pcall(pcall, pcall, function() END end))" },
	{ "xpcall", "print(xpcall(function() END end, function(m) print('seen', m) end))" },
	{ "xpcall handler",
	  "print(xpcall(function() error('x') end, function(m) END; return 'no' end))" },
	{ "table.sort", "print(pcall(table.sort, { 3, 2, 1 }, function(a, b) END end))" },
	{ "string.gsub", "print(pcall(string.gsub, 'abc', '.', function() END end))" },
	{ "metamethod add", "print(pcall(function() return setmetatable({}, { __add = function() "
			    "END end }) + 1 end))" },
	{ "metamethod index", "print(pcall(function() return setmetatable({}, { __index = "
			      "function() END end }).x end))" },
	{ "metamethod tostring",
	  "print(pcall(print, setmetatable({}, { __tostring = function() END end })))" },
	{ "metamethod pairs",
	  "print(pcall(pairs, setmetatable({}, { __pairs = function() END end })))" },
	{ "require", "ending = function() END end; print(pcall(require, 'ends'))" },
	{ "load", "ending = function() END end; print(pcall(load('ending() print(1)')))" },
	{ "load reader", "print(load(function() END end))" },
	{ "coroutine.resume", "print(coroutine.resume(coroutine.create(function() END end)))" },
	{ "coroutine.wrap", "print(pcall(coroutine.wrap(function() END end)))" },
	{ "coroutine that catches", "print(coroutine.resume(coroutine.create(function() "
				    "print(pcall(function() END end)) end)))" },
	{ "coroutine that yielded in pcall",
	  "local c = coroutine.create(function() print(pcall(function() coroutine.yield(1) END "
	  "end)) end)\n"
	  "coroutine.resume(c) print(coroutine.resume(c))" },
	{ "coroutine within coroutine",
	  "print(coroutine.wrap(function() print(coroutine.wrap(function() END end)()) end)())" },
	{ "iterator", "for x in coroutine.wrap(function() END end) do print(x) end" },
	{ "coroutine.close",
	  "local c = coroutine.create(function()\n"
	  "  local t <close> = setmetatable({}, { __close = function() END end })\n"
	  "  coroutine.yield() end)\n"
	  "coroutine.resume(c) print(coroutine.close(c))" },
	{ "close variable",
	  "do local t <close> = setmetatable({}, { __close = function() END end }) end" },
	{ "close variable in pcall", "print(pcall(function() local t <close> = setmetatable({}, { "
				     "__close = function() END end }) end))" },
	{ "for loop's closing value",
	  "print(pcall(function() for i in function() return nil end, nil, nil,\n"
	  "  setmetatable({}, { __close = function() END end }) do end end))" },
	{ "close variable that catches",
	  "local t <close> = setmetatable({}, { __close = function(_, e)\n"
	  "  assert(e == nil) print(pcall(function() w:run(9) print('went on') end)) end })\n"
	  "print(pcall(function() END end))" },
	{ "close variable that fails",
	  /* the next one sees that error, which is the handler's own */
	  "local t <close> = setmetatable({}, { __close = function() error('other') end })\n"
	  "print(pcall(function() END end))" },
	{ "close variable in a coroutine that yields",
	  "local c = coroutine.wrap(function()\n"
	  "  local t <close> = setmetatable({}, { __close = function() coroutine.yield(1) end })\n"
	  "  END end)\n"
	  "print(pcall(c)) print(c())" },
};

static void try_place(const struct place *place, const char *end, enum flow_verdict verdict,
		      const char *message)
{
	char body[2000], *at = body;

	at += sprintf(
		at,
		"local outer <close> = setmetatable({}, "
		"{ __close = function(_, e) print('closed', e and not e:find('other')) end })\n");
	for (const char *from = place->body; *from != '\0';)
		if (strncmp(from, "END", 3) == 0) {
			at += sprintf(at, "%s", end);
			from += 3;
		} else {
			*at++ = *from++;
		}
	sprintf(at, "\nprint('went on')");
	write_file("ends.lua", "ending()\nreturn 1\n");
	pass_of(body);
	cr_assert_str_eq(lw_buf_text(&rig.printed), CLOSED(place), "%s: printed %s", place->name,
			 lw_buf_text(&rig.printed));
	cr_assert_eq(rig.result.verdict, verdict, "%s: verdict %d", place->name,
		     rig.result.verdict);
	if (message != NULL)
		cr_assert_not_null(strstr(rig.result.message, message), "%s: %s", place->name,
				   rig.result.message);
	close_all();
}

Test(flow_end, a_call_that_is_not_over_ends_the_pass_wherever_it_is_made)
{
	for (size_t i = 0; i < LW_COUNT(places); i++)
		try_place(&places[i], "w:run(1)", FLOW_WAITS, NULL);
}

Test(flow_end, lw_stop_ends_the_app_wherever_it_is_called)
{
	for (size_t i = 0; i < LW_COUNT(places); i++)
		try_place(&places[i], "lw.stop('enough')", FLOW_STOPS, "enough");
}

Test(flow_end, lw_fail_ends_the_app_wherever_it_is_called)
{
	for (size_t i = 0; i < LW_COUNT(places); i++)
		try_place(&places[i], "lw.fail('broken')", FLOW_FAILS, "broken");
}

Test(flow_end, an_ending_pass_does_not_end_the_next_one)
{
	cr_assert_str_eq(pass_of("print(pcall(w.run, w, 1)) print('on')"), "");
	cr_assert_eq(rig.result.verdict, FLOW_WAITS);
	finish("w", STAGE_SUCCEEDED, "5");
	cr_assert_str_eq(pass(), "true\trun 1 of work 'w' (succeeded)\non\n");
	cr_assert_eq(rig.result.verdict, FLOW_ENDED);
}

Test(flow_end, ordinary_errors_are_still_caught_as_lua_does)
{
	cr_assert_str_eq(
		pass_of("print(pcall(error, 'a', 0)) print(xpcall(error, function(m) return m .. "
			"'!' "
			"end, 'b', 0))\n"
			"print(pcall(function() return 1, nil, 3 end))\n"
			"local c = coroutine.create(function(a) local b = coroutine.yield(a + 1)\n"
			"  print(pcall(function() return coroutine.yield(b + 1) end)) error('c', "
			"0) end)\n"
			"print(coroutine.resume(c, 1)) print(coroutine.resume(c, 5))\n"
			"print(coroutine.resume(c, 9)) print(coroutine.status(c), "
			"coroutine.resume(c))\n"
			"print(coroutine.isyieldable(), select(2, coroutine.running()))\n"
			"print(pcall(coroutine.yield))\n"
			"print(pcall(coroutine.wrap(function() error({}) end)) == false)"),
		"false\ta\nfalse\tb!\ntrue\t1\tnil\t3\ntrue\t2\ntrue\t6\ntrue\t9\nfalse\tc\n"
		"dead\tfalse\tcannot resume dead coroutine\nfalse\ttrue\n"
		"false\tattempt to yield from outside a coroutine\ntrue\n");
}

Test(flow_end, finalizers_which_swallow_errors_are_refused)
{
	cr_assert_str_eq(
		pass_of("print(pcall(setmetatable, {}, { __gc = print }))"),
		"false\ta flow has no finalizers (__gc), they would run at any time; use a "
		"<close> variable\n");
}

/* ---- interrupting ----------------------------------------------------------------------- */

static void try_interrupted(const struct place *place)
{
	char text[3000], *at = text;

	at += sprintf(
		at,
		"app { flow_timeout = 0.05 }\nfunction flow()\n"
		"local outer <close> = setmetatable({}, "
		"{ __close = function(_, e) print('closed', e and not e:find('other')) end })\n");
	for (const char *from = place->body; *from != '\0';)
		if (strncmp(from, "END", 3) == 0) {
			at += sprintf(at, "while true do end");
			from += 3;
		} else {
			*at++ = *from++;
		}
	sprintf(at, "\nprint('went on')\nend\nwork 'w' { command = { 'true' } }\n");
	write_file("ends.lua", "ending()\nreturn 1\n");
	open_app(text);
	pass();
	cr_assert_eq(rig.result.verdict, FLOW_FAILS, "%s", place->name);
	cr_assert_not_null(strstr(rig.result.message, "took longer than 0.05 s (flow_timeout)"),
			   "%s: %s", place->name, rig.result.message);
	cr_assert_not_null(strstr(rig.result.message, "app.conf:"), "%s: %s", place->name,
			   rig.result.message);
	cr_assert_str_eq(lw_buf_text(&rig.printed), CLOSED(place), "%s: printed %s", place->name,
			 lw_buf_text(&rig.printed));
	close_all();
}

Test(flow_end, an_endless_pass_is_interrupted_wherever_it_loops)
{
	for (size_t i = 0; i < LW_COUNT(places); i++)
		if (strstr(places[i].name, "that catches") == NULL)
			try_interrupted(&places[i]);
}

Test(flow_end, the_message_names_the_line_the_pass_was_on)
{
	open_app("app { flow_timeout = 0.05 }\nfunction flow()\n\n  while true do end\nend\n");
	cr_assert_str_eq(pass(), "app.conf:4: the pass took longer than 0.05 s (flow_timeout)");
}

Test(flow_end, an_endless_close_handler_is_interrupted_a_second_later)
{
	open_app("app { flow_timeout = 0.05 }\nfunction flow()\n"
		 "local a <close> = setmetatable({}, { __close = function() print('a') end })\n"
		 "local b <close> = setmetatable({}, { __close = function() while true do end end "
		 "})\n"
		 "while true do end\nend\n");
	cr_assert_str_eq(pass(), "app.conf:5: the pass took longer than 0.05 s (flow_timeout)");
	cr_assert_str_eq(lw_buf_text(&rig.printed), "a\n");
}

Test(flow_end, the_top_level_is_interrupted_too)
{
	cr_assert_str_eq(load_error("\nwhile true do end"),
			 "app.conf:2: app.conf took longer than 5 s (flow_timeout)");
}

Test(flow_end, a_pass_stuck_in_a_library_call_ends_the_process_and_says_where)
{
	char said[500] = "";
	int out[2], status;
	pid_t child;
	ssize_t n;

	open_app("app { flow_timeout = 0.05 }\nfunction flow()\n"
		 "  local s = string.rep('a', 40)\n"
		 "  return s:find(string.rep('a*', 30) .. 'b')\nend\n");
	cr_assert_eq(pipe(out), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) { /* timers are not inherited: load again */
		static struct config *config;
		static struct flow *flow;
		struct flow_result result;
		char path[100];

		dup2(out[1], STDERR_FILENO);
		snprintf(path, sizeof(path), "%s/app.conf", rig.folder);
		if (flow_load(path, &config, &flow, NULL) < 0)
			_exit(77);
		flow_pass(flow, app, &result);
		_exit(0);
	}
	close(out[1]);
	n = read(out[0], said, sizeof(said) - 1);
	close(out[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_gt(n, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
	cr_assert_not_null(strstr(said, "app.conf:4: pass 1 is stuck in a library call"), "%s",
			   said);
}

Test(flow_end, a_coroutine_that_waits_for_us_is_not_reset_when_the_pass_ends)
{
	open_app("local function deep(n) local a, b, c, d, e, f, g, h = 1, 2, 3, 4, 5, 6, 7, 8\n"
		 "  if n > 0 then deep(n - 1) return a end\n"
		 "  pcall(function()\n"
		 "    local x <close> = setmetatable({}, { __close = function()\n"
		 "      coroutine.resume(main) end })\n"
		 "    lw.stop('over') end) end\n"
		 "function flow() main = coroutine.running() deep(1000) end");
	pass();
	cr_assert_eq(rig.result.verdict, FLOW_STOPS);
	cr_assert_str_eq(rig.result.message, "over");
}

Test(flow_end, an_error_whose_text_ends_the_pass_ends_it)
{
	open_app("function flow() error(setmetatable({}, { __tostring = function()\n"
		 "  lw.stop('odd') end })) end");
	pass();
	cr_assert_eq(rig.result.verdict, FLOW_STOPS);
}
