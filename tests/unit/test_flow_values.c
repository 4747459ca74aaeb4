/* links: lw_supervisor
 * test_flow_values.c - arguments and results on their way between Lua and msgpack, and which
 * calls are equal. */
#include "flow_app.h"

TestSuite(flow_values, .fini = close_all, .timeout = 60);

/* The two halves of the call as JSON. */
static void expect_call(const char *arguments, const char *positional, const char *named)
{
	LW_AUTO_BUF one = { 0 };
	LW_AUTO_BUF other = { 0 };
	struct lw_slice halves[2];
	char body[2000];

	snprintf(body, sizeof(body), "p:run(%s)", arguments);
	cr_assert_str_eq(pass_of(body), "", "%s: %s", body, rig.result.message);
	lw_call_parts(latest("p")->call, &halves[0], &halves[1]);
	lw_value_print_json(halves[0], &one);
	lw_value_print_json(halves[1], &other);
	cr_expect_str_eq(lw_buf_text(&one), positional, "%s: %s", arguments, lw_buf_text(&one));
	cr_expect_str_eq(lw_buf_text(&other), named, "%s: %s", arguments, lw_buf_text(&other));
	close_all();
}

Test(flow_values, each_value_has_its_place_and_type)
{
	expect_call("", "[]", "{}");
	expect_call("{}", "[]", "{}");
	expect_call("1, {}", "[1]", "{}");
	expect_call("1, 'two', 3.5, true, false", "[1,\"two\",3.5,true,false]", "{}");
	expect_call("{ value = 1 }", "[]", "{\"value\":1}");
	expect_call("1, { value = 1 }", "[1]", "{\"value\":1}");
	expect_call("{ value = 1 }, 2", "[{\"value\":1},2]", "{}");
	expect_call("{ 1, 2 }", "[[1,2]]", "{}");
	expect_call("nil", "[null]", "{}");
	expect_call("1, nil", "[1,null]", "{}");
	expect_call("lw.null", "[null]", "{}");
	expect_call("{ 1, lw.null, 3 }", "[[1,null,3]]", "{}");
	expect_call("lw.map{ a = 1 }", "[{\"a\":1}]", "{}");
	expect_call("lw.map{}", "[{}]", "{}");
	expect_call("lw.list{}", "[[]]", "{}");
	expect_call("{ x = lw.list{} }", "[]", "{\"x\":[]}");
	expect_call("{ x = {} }", "[]", "{\"x\":{}}");
	expect_call("setmetatable({ a = 1 }, {})", "[{\"a\":1}]", "{}");
	expect_call("lw.bytes('abc')", "[{\"$bytes\":\"YWJj\"}]", "{}");
	expect_call("'\\xff'", "[{\"$bytes\":\"/w==\"}]", "{}");
	expect_call("0/0 ~= 0/0 and 1/0", "[{\"$float\":\"inf\"}]", "{}");
	expect_call("math.mininteger, math.maxinteger, -1, 127, 128, -33",
		    "[-9223372036854775808,9223372036854775807,-1,127,128,-33]", "{}");
	expect_call("('x'):rep(31), ('y'):rep(33)",
		    "[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"]",
		    "{}");
	expect_call("{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17}",
		    "[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]]", "{}");
}

Test(flow_values, what_cannot_be_an_argument_is_named_by_its_path)
{
	static const struct {
		const char *arguments, *error;
	} rows[] = {
		{ "1, { a = { 1, 2, print } }, 3",
		  "argument 2: .a[3]: a function cannot be an argument" },
		{ "{ a = { b = print } }",
		  "named arguments: .a.b: a function cannot be an argument" },
		{ "print", "argument 1: a function cannot be an argument" },
		{ "coroutine.create(print)", "argument 1: a thread cannot be an argument" },
		{ "{ 1, x = 2 }, 3",
		  "argument 1: a table with both names and numbers as keys, or with holes (write "
		  "lw.null)" },
		{ "{ 1, nil, 3 }, 3",
		  "argument 1: a table with both names and numbers as keys, or with holes (write "
		  "lw.null)" },
		{ "{ [1.5] = 1 }, 3", "argument 1: the keys of a map must be text" },
		{ "{ [true] = 1 }, 3", "argument 1: the keys of a map must be text" },
		{ "cycle, 1",
		  "argument 1: .x[1]: a table that contains itself cannot be an argument" },
		{ "deep, 1", "tables within each other deeper than 30" },
		{ "w", "argument 1: a work cannot be an argument" },
		{ "p:run('other'), 1",
		  "argument 1: a run cannot be an argument (did you mean its .result?)" },
		{ "lw", "argument 1: this object cannot be an argument" },
		{ "('x'):rep(20 << 20)", "too large: at most 16 MiB" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char body[600];

		snprintf(body, sizeof(body),
			 "cycle = { x = {} } cycle.x[1] = cycle\n"
			 "deep = {} for i = 1, 40 do deep = { deep } end\np:run(%s)",
			 rows[i].arguments);
		pass_of(body);
		cr_expect_eq(rig.result.verdict, FLOW_FAILS, "%s", rows[i].arguments);
		cr_expect_not_null(strstr(rig.result.message, "app.conf:6: work 'p': "), "%s",
				   rig.result.message);
		cr_expect_not_null(strstr(rig.result.message, rows[i].error), "%s gave: %s",
				   rows[i].arguments, rig.result.message);
		close_all();
	}
}

/* The equality table of the design, seen from the flow. */
Test(flow_values, equal_arguments_are_one_call_and_different_ones_two)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "{ a = 1, b = 2 }", "{ b = 2, a = 1 }", true },
		{ "lw.map{ a = 1, bb = { c = 1, d = 2 } }",
		  "lw.map{ bb = { d = 2, c = 1 }, a = 1 }", true },
		{ "1", "1.0", true },
		{ "0.0", "-0.0", true },
		{ "0/0", "-(0/0)", true },
		{ "", "{}", true },
		{ "'a'", "'a'", true },
		{ "1, 2", "2, 1", false },
		{ "{ 1, 1 }", "{ 1 }", false },
		{ "1", "true", false },
		{ "1", "'1'", false },
		{ "2^53 | 0", "(2^53 | 0) + 1", false },
		{ "'a'", "lw.bytes('a')", false },
		{ "'\\u{e9}'", "'e\\u{301}'", false },
		{ "", "nil", false },
		{ "lw.list{}", "lw.map{}", false },
		{ "lw.list{}", "nil", false },
		{ "lw.map{}", "nil", false },
		{ "1", "{ x = 1 }", false },
		{ "lw.map{ x = 1 }", "{ x = 1 }", false },
		{ "{ 1, 2 }", "1, 2", false },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		char body[400];

		snprintf(body, sizeof(body),
			 "print(p:run(%s).key == p:run(%s).key, p:run(%s).key == p:run(%s).key)",
			 rows[i].a, rows[i].b, rows[i].a, rows[i].a);
		pass_of(body);
		cr_expect_str_eq(lw_buf_text(&rig.printed),
				 rows[i].equal ? "true\ttrue\n" : "false\ttrue\n",
				 "%s and %s: %s %s", rows[i].a, rows[i].b,
				 lw_buf_text(&rig.printed), rig.result.message);
		close_all();
	}
}

/* The order in a table differs from start to start. */
Test(flow_values, names_and_keys_of_tables_are_given_in_canonical_order)
{
	struct lw_slice positional, named;
	LW_AUTO_BUF text = { 0 };

	pass_of("p:run({ zeta = 1, a = { 3, 2 }, mid = { y = 1, x = 2 }, b = {} },\n"
		"  { epochs = 10, lr = 0.1, a_name_of_thirty_two_or_more_bytes = 1, z = { d = 4, c "
		"= 3 } })");
	lw_call_parts(latest("p")->call, &positional, &named);
	lw_value_print_json(positional, &text);
	lw_value_print_json(named, &text);
	cr_assert_str_eq(lw_buf_text(&text),
			 "[{\"a\":[3,2],\"b\":{},\"mid\":{\"x\":2,\"y\":1},\"zeta\":1}]"
			 "{\"z\":{\"c\":3,\"d\":4},\"lr\":0.1,\"epochs\":10,"
			 "\"a_name_of_thirty_two_or_more_bytes\":1}");
}

/* The engine knows of most calls that they have canonical form and tells work_call(). */
Test(flow_values, the_form_of_every_call_is_its_canonical_form)
{
	static const char *const rows[] = {
		"",
		"1, -1, 127, 128, -32, -33, 255, 256, 65536, 2^53 | 0, math.mininteger, "
		"math.maxinteger",
		"0.5, 1.0, -0.0, 2.0^62, 2.0^63, 2.0^64, 1e300, 0/0, 1/0, -1/0, 0.1, -2.5",
		"true, false, nil, lw.null",
		"'', ('x'):rep(31), ('x'):rep(32), ('x'):rep(255), ('x'):rep(256), "
		"('x'):rep(65536)",
		"'\\xff', ('\\xff'):rep(256), lw.bytes('a'), '\\u{20ac}'",
		"{}, {}, { 1, 2, { 3 } }, lw.list{}, lw.map{}",
		"lw.map{ a = 1.0, b = 2 }, 3",
		"{ b = 1, a = 2, c = { z = 1, y = { 1, 2 } } }",
		"{ a = 1.0 }",
		"{ ['\\xff'] = 1, ['\\xfe'] = 2, a = 3, ['a\\0b'] = 4 }",
		"(function() local t = {} for i = 1, 40 do t['k' .. i] = i end return t end)()",
		"(function() local t = {} for i = 1, 16 do t['k' .. i] = i end return t end)()",
		"(function() local t = {} for i = 1, 17 do t['k' .. i] = i end return t end)()",
		"(function() local t = {} for i = 1, 70000 do t[i] = i % 7 end return t end)()",
		"(function() local t = 1 for i = 1, 30 do t = { t } end return t end)(), 1",
		"(function() local t = 1 for i = 1, 31 do t = { a = t } end return t end)()",
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		LW_AUTO_BUF scratch = { 0 };
		struct lw_slice form;
		const struct run *run;
		char body[400];

		snprintf(body, sizeof(body), "p:run(%s)", rows[i]);
		pass_of(body);
		run = latest("p");
		cr_assert_not_null(run, "%s: %s", rows[i], rig.result.message);
		cr_assert_geq(lw_call_canon(run->call, NULL, &scratch, &form, NULL), 0);
		cr_expect(form.size == run->form_size &&
				  memcmp(form.data, run->form, form.size) == 0,
			  "%s", rows[i]);
		close_all();
	}
}

Test(flow_values, a_result_reads_like_a_table_and_cannot_be_changed)
{
	pass_of("local r = p:run(1)\n"
		"if not r.has_succeeded then return end\n"
		"local v = r.result\n"
		"print(v.list[1], v.list[3], v.list[4], #v.list, v.none, v.map.x.y)\n"
		"for i, x in ipairs(v.list) do print(i, x) end\n"
		"local n = 0 for k in pairs(v) do n = n + 1 end print(n)\n"
		"print(table.concat(v.list, '-'), table.unpack(v.list))\n"
		"print(string.format('%s %s', v.list, v.map))\n"
		"print(v.list == r.result.list, v.map.x == v.map, v.null == lw.null)\n"
		"print(pcall(function() v.list[1] = 2 end))\n"
		"print(pcall(table.insert, v.list, 2))\n"
		"print(v.bytes == lw.bytes('abc'), tostring(v.bytes), #v.bytes, v.bytes .. '!')\n"
		"print(v.half)\n"
		"print(next({}), getmetatable(v), rawequal(r, p:run(1)))");
	finish("p", STAGE_SUCCEEDED,
	       "{\"list\":[1,2,3],\"map\":{\"x\":{\"y\":\"z\"}},\"null\":null,"
	       "\"bytes\":{\"$bytes\":\"YWJj\"},\"half\":0.5}");
	pass();
	cr_assert_str_eq(
		lw_buf_text(&rig.printed),
		"1\t3\tnil\t3\tnil\tz\n1\t1\n2\t2\n3\t3\n5\n1-2-3\t1\t2\t3\n[1,2,3] "
		"{\"x\":{\"y\":\"z\"}}\n"
		"true\tfalse\ttrue\n"
		"false\tapp.conf:13: a value read from state or a result is read-only: assign the "
		"whole "
		"value\n"
		"false\ta value read from state or a result is read-only: assign the whole value\n"
		"true\tabc\t3\tabc!\n0.5\nnil\tvalue\ttrue\n",
		"%s %s", lw_buf_text(&rig.printed), rig.result.message);
}

Test(flow_values, a_value_is_passed_on_byte_for_byte)
{
	struct lw_slice positional, named;
	struct lw_msg_result result = { .success = true };
	const struct run *second;
	struct run *first;
	/* 1 as float32, an integer key, a wide head, 2^64 - 1: what only others write. */
	static const uint8_t value[] = { 0x83, 0xa1, 'f',  0xca, 0x3f, 0x80, 0,   0,    0xcd,
					 0,    5,    0xd9, 1,    'x',  0xa1, 'u', 0xcf, 255,
					 255,  255,  255,  255,  255,  255,  255 };

	pass_of("local r = p:run(1)\n"
		"if r.has_succeeded then p:run(r.result, 2) print(r.result[5], r.result.f, "
		"r.result.u) end");
	first = take_of(app_work(app, "p"));
	result.value = (struct lw_slice){ value, sizeof(value) };
	work_on_result(first->work, first, &result);
	cr_assert_str_eq(pass(), "x\t1.0\t18446744073709551615\n", "%s", rig.result.message);
	second = latest("p");
	cr_assert_neq(first, second);
	lw_call_parts(second->call, &positional, &named);
	cr_assert_eq(positional.size, sizeof(value) + 2);
	cr_assert_arr_eq(positional.data + 1, value, sizeof(value));
}

Test(flow_values, state_is_read_and_assigned_value_by_value)
{
	cr_assert_str_eq(
		pass_of("print(lw.state.x, #lw.state) lw.state.x = { a = { 1, 2 } } lw.state.y = "
			"1\n"
			"print(lw.state.x.a[2], lw.state.y, #lw.state)\n"
			"for k, v in pairs(lw.state) do lw.state.y = 2 if k == 'y' then print(k, "
			"v) end end\n"
			"print(pcall(function() lw.state.x.a = 1 end))\n"
			"lw.state.x = nil print(lw.state.x, lw.state.y, #lw.state)\n"
			"w.state.z = 'zed' print(w.state.z, p.state.z, works['w'].state.z)\n"
			"print(pcall(function() lw.state.f = { print } end))\n"
			"print(pcall(function() lw.state[1] = 1 end))\n"
			"print(pcall(function() lw.state = {} end))\n"
			"print(pcall(function() w.x = {} end))"),
		"nil\t0\n2\t1\t2\ny\t1\n"
		"false\tapp.conf:7: a value read from state or a result is read-only: assign the "
		"whole "
		"value\n"
		"nil\t2\t1\nzed\tnil\tzed\n"
		"false\tapp.conf:10: state.f: [1]: a function cannot be a value of a state\n"
		"false\tapp.conf:11: the name of a value of a state is text of 1 to 255 bytes\n"
		"false\tapp.conf:12: lw is read-only; a value is assigned as lw.state.x\n"
		"false\tapp.conf:13: work 'w' is read-only; its values are assigned as .state.x\n");
}

Test(flow_values, the_option_args_has_a_list_part_and_names)
{
	struct config *config =
		load_config("work 'a' { command = { 'true' }, args = { 1, { 2 }, lr = 0.5 } }");
	LW_AUTO_BUF text = { 0 };
	struct lw_slice list = lw_buf_slice(&config->works[0]->args), map;

	list.size = lw_value_size(list.data, list.data + list.size);
	map = (struct lw_slice){ list.data + list.size, config->works[0]->args.size - list.size };
	lw_value_print_json(list, &text);
	lw_value_print_json(map, &text);
	cr_assert_str_eq(lw_buf_text(&text), "[1,[2]]{\"lr\":0.5}");
	config_free(config);
}

Test(flow_values, long_lists_and_maps_have_long_heads)
{
	struct lw_slice positional, named;
	struct lw_err err;

	pass_of("local l, m = {}, {} for i = 1, 70000 do l[i] = i m['k' .. i] = i end\n"
		"p:run(l, m)");
	cr_assert_eq(rig.result.verdict, FLOW_ENDED, "%s", rig.result.message);
	lw_call_parts(latest("p")->call, &positional, &named);
	cr_assert_geq(lw_value_check(positional, &err), 0, "%s", err.text);
	cr_assert_geq(lw_value_check(named, &err), 0, "%s", err.text);
	cr_assert_eq(positional.data[1], 0xdd);
	cr_assert_eq(named.data[0], 0xdf);
	cr_assert_eq(named.data[3] << 8 | named.data[4], 70000 & 0xffff);
}
