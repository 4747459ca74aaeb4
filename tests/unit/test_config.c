/* links: lw_supervisor
 * test_config.c - app.conf: options, their ranges, and the sentences for what is wrong. */
#include "flow_app.h"

TestSuite(config, .fini = close_all, .timeout = 30);

#define WORK(options) "work 'train' { command = { 'true' }, " options " }"

Test(config, an_error_names_file_line_key_and_what_was_meant)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "\n\nwork 'train' {\n  command = { 'true' },\n  paralel = true }",
		  "app.conf:3: work 'train': unknown option 'paralel' (did you mean 'parallel'?)" },
		{ WORK("zzzzzzzz = 1"), "app.conf:1: work 'train': unknown option 'zzzzzzzz'" },
		{ WORK("b = 1, a = 2"), "app.conf:1: work 'train': unknown option 'a'" },
		{ WORK("'stray'"), "app.conf:1: work 'train': the text \"stray\" has no option "
				   "before it (write option = "
				   "value)" },
		{ WORK("parallel = 1"),
		  "app.conf:1: work 'train': option 'parallel' wants true or false, not 1" },
		{ WORK("retries = 'x'"), "app.conf:1: work 'train': option 'retries' wants a whole "
					 "number from 0 to 1000000, "
					 "not the text \"x\"" },
		{ WORK("retries = 1.5"), "app.conf:1: work 'train': option 'retries' wants a whole "
					 "number from 0 to 1000000, "
					 "not 1.5" },
		{ WORK("processes = 0"), "app.conf:1: work 'train': option 'processes' wants a "
					 "whole number from 1 to 10000, "
					 "not 0" },
		{ WORK("retry_backoff = 0.5"), "app.conf:1: work 'train': option 'retry_backoff' "
					       "wants a number from 1 to 1000, not "
					       "0.5" },
		{ WORK("timeout = '2 weeks'"),
		  "app.conf:1: work 'train': option 'timeout' wants a duration (\"2h\", \"300ms\" "
		  "or "
		  "seconds) from 1 ms to 36600 days, not the text \"2 weeks\"" },
		{ WORK("timeout = -1"), "app.conf:1: work 'train': option 'timeout' wants a "
					"duration (\"2h\", \"300ms\" or "
					"seconds) from 1 ms to 36600 days, not -1" },
		{ WORK("cache_memory = 'first'"), "app.conf:1: work 'train': option 'cache_memory' "
						  "wants \"ever\" or \"last\", not the "
						  "text \"first\"" },
		{ WORK("restart = true"),
		  "app.conf:1: work 'train': option 'restart' wants \"never\", \"on-failure\" or "
		  "\"always\", not true" },
		{ WORK("stop_signal = 'TREM'"), "app.conf:1: work 'train': option 'stop_signal' "
						"wants a signal (\"TERM\" or a number), "
						"not the text \"TREM\"" },
		{ WORK("port = 70000"), "app.conf:1: work 'train': option 'port' wants a port "
					"number or \"auto\" from 1 to "
					"65535, not 70000" },
		{ WORK("env = { 'A=1' }"), "app.conf:1: work 'train': option 'env' wants names as "
					   "keys: { NAME = \"value\" }" },
		{ WORK("cwd = ''"),
		  "app.conf:1: work 'train': option 'cwd' wants a folder, not the text \"\"" },
		{ WORK("user = 'no-such-user'"),
		  "app.conf:1: work 'train': option 'user': no user 'no-such-user'" },
		{ WORK("group = 'no-such-group'"),
		  "app.conf:1: work 'train': option 'group': no group 'no-such-group'" },
		{ WORK("user = 4000000001"),
		  "app.conf:1: work 'train': option 'user': '4000000001' has no entry that says "
		  "its group; give 'group' too" },
		{ WORK("user = 4294967295, group = 0"), /* "stays", to the system */
		  "app.conf:1: work 'train': option 'user': no user '4294967295'" },
		{ WORK("user = true"),
		  "app.conf:1: work 'train': option 'user' wants a name or an id, not true" },
		{ WORK("group = -1"),
		  "app.conf:1: work 'train': option 'group' wants a name or an id, not -1" },
		{ WORK("umask = 0027"), "app.conf:1: work 'train': option 'umask' wants an octal "
					"mask as text (\"0027\"), not 27" },
		{ WORK("umask = '27'"), "app.conf:1: work 'train': option 'umask' wants an octal "
					"mask as text (\"0027\"), not the text \"27\"" },
		{ WORK("umask = '1777'"), "app.conf:1: work 'train': option 'umask' wants an octal "
					  "mask as text (\"0027\"), not the text \"1777\"" },
		{ WORK("nice = 20"), "app.conf:1: work 'train': option 'nice' wants a whole number "
				     "from -20 to 19, not 20" },
		{ WORK("limits = 3"), "app.conf:1: work 'train': option 'limits' wants a table of "
				      "limits ({ nofile = 1024, as = \"2GiB\" }), not 3" },
		{ WORK("limits = { 3 }"), "app.conf:1: work 'train': option 'limits' wants names "
					  "as keys: { nofile = 1024 }" },
		{ WORK("limits = { nofiles = 3, zz = 1 }"),
		  "app.conf:1: work 'train': option 'limits': no limit 'nofiles' (did you mean "
		  "'nofile'?)" },
		{ WORK("limits = { nofile = '2GiB' }"),
		  "app.conf:1: work 'train': option 'limits': nofile wants a whole number, "
		  "\"unlimited\" or { soft = , hard = }, not the text \"2GiB\"" },
		{ WORK("limits = { as = -1 }"),
		  "app.conf:1: work 'train': option 'limits': as wants a size (\"64MiB\" or "
		  "bytes), \"unlimited\" or { soft = , hard = }, not -1" },
		{ WORK("limits = { cpu = 'x' }"),
		  "app.conf:1: work 'train': option 'limits': cpu wants a duration (\"2h\" or "
		  "seconds), \"unlimited\" or { soft = , hard = }, not the text \"x\"" },
		{ WORK("limits = { core = { soft = 1 } }"),
		  "app.conf:1: work 'train': option 'limits': core wants a size (\"64MiB\" or "
		  "bytes), \"unlimited\" or { soft = , hard = }, not a table" },
		{ WORK("limits = { core = { soft = 2, hard = 1 } }"),
		  "app.conf:1: work 'train': option 'limits': core has a soft limit above its hard "
		  "one" },
		{ WORK("args = { print }"),
		  "app.conf:1: work 'train': option 'args': args: [1]: a function cannot be an "
		  "argument" },
		{ WORK("cache_files = { 'a', '' }"),
		  "app.conf:1: work 'train': option 'cache_files': [2] names no file" },
		{ WORK("cache_files = 3"),
		  "app.conf:1: work 'train': option 'cache_files' wants a path or pattern "
		  "(\"data/*.csv\"), or a list of them, not 3" },
		{ "work 'train' {}",
		  "app.conf:1: work 'train': option 'command' or 'program' is missing" },
		{ "work 'train' { command = { 'true' }, program = 'true' }",
		  "app.conf:1: work 'train': options 'command' and 'program' exclude each other" },
		{ "work 'train' { command = 'sh  -c x' }",
		  "app.conf:1: work 'train': option 'command' wants a list, it is not read by a "
		  "shell: "
		  "write command = { \"sh\", \"-c\", \"x\" }" },
		{ "work 'train' { command = {} }",
		  "app.conf:1: work 'train': option 'command' names no program" },
		{ "work 'train' { command = { 'true', {} } }",
		  "app.conf:1: work 'train': option 'command': [2] must be text, not a table" },
		{ "work 'train' { program = './train' }",
		  "app.conf:1: work 'train': no program './train'" },
		{ "work 'train' { command = { 'no-such-program-here' } }",
		  "app.conf:1: work 'train': no program 'no-such-program-here' in PATH" },
		{ "work 'train' { program = './app.conf' }",
		  "app.conf:1: work 'train': program './app.conf' is not executable" },
		{ "work 'a' { command = { 'true' } }\nwork 'a' { command = { 'true' } }",
		  "app.conf:2: work 'a': it is defined twice" },
		{ "work 'a'", "app.conf:1: work 'a' has no settings (write work \"a\" { ... })" },
		{ "work 'a'\nwork 'b' { command = { 'true' } }",
		  "app.conf:2: work 'a' has no settings (write work \"a\" { ... })" },
		{ "work 'a\\27[2J' { command = { 'true' } }",
		  "app.conf:1: the name of a work is text of 1 to 255 bytes without control "
		  "characters" },
		{ "work 'a\\xc2\\x9b2J' { command = { 'true' } }",
		  "app.conf:1: the name of a work is text of 1 to 255 bytes without control "
		  "characters" },
		{ "work '..' { command = { 'true' } }",
		  "app.conf:1: '..' cannot be the name of a work" },
		{ "work {}", "app.conf:1: work wants a name (write work \"name\" { ... })" },
		{ "app { intervall = 1 }",
		  "app.conf:1: app: unknown option 'intervall' (did you mean 'interval'?)" },
		{ "app { view = 'here' }", "app.conf:1: app: option 'view' wants an address "
					   "(\"127.0.0.1:7501\") or false, not "
					   "the text \"here\"" },
		{ "app { timezone = 'Europe/Berln' }",
		  "app.conf:1: app: option 'timezone': no time zone 'Europe/Berln'" },
		{ "app { durability = 'powr' }", "app.conf:1: app: option 'durability' wants "
						 "\"process\" or \"power\", not the text "
						 "\"powr\"" },
		{ "app {}\napp {}", "app.conf:2: app{} is given twice" },
		{ "flow = 3", "app.conf: flow must be a function, not a number" },
		{ "x = 1", "app.conf: nothing to run: neither a function flow nor a work" },
		{ "x = = 1", "app.conf:1: unexpected symbol near '='" },
		{ "w = works.none.x",
		  "app.conf:1: attempt to index a nil value (field 'none') (no work 'none')" },
		{ WORK("") "\ntrian.x = 1",
		  "app.conf:2: attempt to index a nil value (global 'trian') (no work 'trian'; did "
		  "you mean 'train'?)" },
		{ WORK("") "\nlocal function floe() end\nfunction flwo() end",
		  "app.conf:3: there is a function 'flwo' but no 'flow' (did you mean 'flow'? a "
		  "function for something else is to be local)" },
		{ "\nfunction FLOW() end",
		  "app.conf:2: there is a function 'FLOW' but no 'flow' (did you mean 'flow'? a "
		  "function for something else is to be local)" },
	};

	for (size_t i = 0; i < LW_COUNT(rows); i++)
		cr_expect_str_eq(load_error(rows[i].text), rows[i].error, "%s\n  gave: %s",
				 rows[i].text, load_error(rows[i].text));
}

Test(config, a_file_that_is_not_there_or_no_file_is_refused)
{
	struct config *config;
	struct flow *flow;
	struct lw_err err = { 0 };

	cr_assert_lt(flow_load("/tmp/no/such/app.conf", &config, &flow, &err), 0);
	cr_assert_str_eq(err.text,
			 "cannot open '/tmp/no/such/app.conf': No such file or directory");
	cr_assert_lt(flow_load("/dev/null", &config, &flow, &err), 0);
	cr_assert_str_eq(err.text, "cannot read '/dev/null': not a regular file");
}

Test(config, the_defaults_are_those_of_the_design)
{
	struct config *config = load_config("work 'a' { command = { 'true' } }\n"
					    "work 'b' { program = 'true' }\nfunction flow() end");
	const struct work_config *a = config->works[0];

	cr_assert_eq(config->count, 2);
	cr_assert(config->has_flow);
	cr_assert_str_eq(config->app.view.text, "127.0.0.1:7501");
	cr_assert_eq(config->app.interval, 1000000);
	cr_assert_eq(config->app.flow_timeout, 5000000);
	cr_assert_eq(config->app.flow_memory, 64 << 20);
	cr_assert_null(config->app.timezone);
	cr_assert_str_eq(a->name, "a");
	cr_assert_eq(a->line, 1);
	cr_assert(!a->parallel && a->cache_calls && a->raise_exception && !a->start_with_flow);
	cr_assert(config->works[1]->start_with_flow);
	cr_assert_eq(a->cache_memory, MEMORY_EVER);
	cr_assert_eq(a->overlap, OVERLAP_QUEUE);
	cr_assert_eq(a->restart, RESTART_ON_FAILURE);
	cr_assert_eq(a->cache_ttl, CONFIG_NONE);
	cr_assert_null(a->cache_version);
	cr_assert_eq(a->processes, 1);
	cr_assert_eq(a->queue_limit, 10000);
	cr_assert_eq(a->retries, 0);
	cr_assert_eq(a->retry_delay, 1000000);
	cr_assert_float_eq(a->retry_backoff, 2, 0);
	cr_assert_float_eq(a->retry_jitter, 0.1, 0);
	cr_assert_eq(a->timeout, CONFIG_NONE);
	cr_assert_eq(a->start_timeout, 30000000);
	cr_assert_eq(a->stop_signal, 15);
	cr_assert_eq(a->stop_timeout, 10000000);
	cr_assert_str_eq(a->host, "127.0.0.1");
	cr_assert_eq(a->port, CONFIG_PORT_NONE);
	cr_assert_eq(a->args.size, 0);
	cr_assert_str_eq(a->cwd, config->app.folder);
	cr_assert_null(a->user);
	cr_assert_null(a->group);
	cr_assert_null(a->identity);
	cr_assert_eq(a->umask, CONFIG_NONE);
	cr_assert_eq(a->nice, CONFIG_NICE_NONE);
	cr_assert_eq(a->limits.count, 0);
	config_free(config);
}

Test(config, users_and_groups_are_names_or_ids)
{
	struct config *config = load_config(
		"work 'name' { command = { 'true' }, user = 'root' }\n"
		"work 'id' { command = { 'true' }, user = 0 }\n"
		"work 'unknown' { command = { 'true' }, user = '4000000001', group = 4000000002 }\n"
		"work 'group' { command = { 'true' }, group = 'root' }\n");
	const struct identity *name = config->works[0]->identity, *id = config->works[1]->identity,
			      *unknown = config->works[2]->identity,
			      *group = config->works[3]->identity;

	cr_assert_eq(name->as.uid, 0);
	cr_assert_eq(name->as.gid, 0);
	cr_assert_str_eq(name->as.name, "user 'root'");
	cr_assert_str_eq(name->user, "root");
	cr_assert_str_eq(name->home, "/root");
	cr_assert_gt(name->as.group_count, 0);
	cr_assert_str_eq(id->user, "root");
	cr_assert_eq(unknown->as.uid, 4000000001);
	cr_assert_eq(unknown->as.gid, 4000000002);
	cr_assert_eq(unknown->as.group_count, 1);
	cr_assert_eq(unknown->as.groups[0], 4000000002);
	cr_assert_str_eq(unknown->home, "/");
	cr_assert_eq(identity_uid(unknown), 4000000001);
	cr_assert_eq(group->as.gid, 0);
	cr_assert_null(group->as.groups);
	cr_assert_null(group->user);
	cr_assert_eq(identity_uid(group), geteuid());
	cr_assert_eq(identity_uid(NULL), geteuid());
	config_free(config);
}

Test(config, limits_count_what_setrlimit_counts)
{
	struct config *config = load_config(
		"work 'a' { command = { 'true' }, limits = { as = '2GiB', cpu = '1.5s', rttime = "
		"2,\n"
		"  nofile = { soft = 10, hard = 'unlimited' }, stack = 'infinity', core = 0 } }\n"
		"work 'b' { command = { 'true' }, limits = { core = 0, as = '2GiB', cpu = 2,\n"
		"  rttime = '2s', stack = 'unlimited', nofile = { hard = 'infinity', soft = 10 } } "
		"}\n"
		"work 'c' { command = { 'true' }, limits = { as = '2GiB' } }\n");
	static const struct {
		unsigned resource;
		rlim_t soft, hard;
	} wanted[] = {
		{ RLIMIT_AS, 2048UL << 20, 2048UL << 20 },
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_CPU, 2, 2 }, /* whole seconds, not less than given */
		{ RLIMIT_NOFILE, 10, RLIM_INFINITY },
		{ RLIMIT_RTTIME, 2000000, 2000000 },
		{ RLIMIT_STACK, RLIM_INFINITY, RLIM_INFINITY },
	};
	const struct limits *limits = &config->works[0]->limits;

	cr_assert_eq(limits->count, LW_COUNT(wanted));
	for (size_t i = 0; i < LW_COUNT(wanted); i++) {
		cr_expect_eq(limits->items[i].resource, wanted[i].resource);
		cr_expect_eq(limits->items[i].value.rlim_cur, wanted[i].soft);
		cr_expect_eq(limits->items[i].value.rlim_max, wanted[i].hard);
	}
	cr_assert_null(work_config_differs(config->works[0], config->works[1]));
	cr_assert_str_eq(work_config_differs(config->works[0], config->works[2]), "limits");
	config_free(config);
}

Test(config, print_config_is_json_of_every_option_with_durations_in_seconds)
{
	struct config *config = load_config(
		"app { interval = 0, view = false, flow_memory = '2MiB', timezone = 'UTC' }\n"
		"work 'any name' { program = { 'sleep', 1 }, args = { 1, lr = 0.5 }, timeout = "
		"'2h',\n"
		"  start_timeout = 0.25, cache_version = 3, cache_ignore = { 'x' }, port = "
		"'auto', cache_files = 'm.cfg',\n"
		"  env = { B = 2, A = 'one=1' }, stop_signal = 'SIGINT', restart = 'always',\n"
		"  cache_memory = 'last', overlap = 'latest', cwd = '/',\n"
		"  user = 0, group = 'root', umask = '027', nice = -1, limits = { nofile = 64,\n"
		"  rttime = 0.25, core = { soft = '1KiB', hard = 'infinity' } } }");
	json_t *json = config_to_json(config),
	       *work = json_array_get(json_object_get(json, "works"), 0);
	char *text;

	json_object_del(json_object_get(json, "app"), "path");
	json_object_del(json_object_get(json, "app"), "folder");
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	cr_assert_str_eq(
		text,
		"{\"app\":{\"cache_max\":0,\"durability\":\"process\",\"flow\":false,"
		"\"flow_memory\":2097152,\"flow_timeout\":5,\"form_cache\":67108864,"
		"\"interval\":0,\"runs_keep\":10000,"
		"\"timezone\":\"UTC\",\"view\":false},\"works\":[{\"args\":{\"args\":[1],"
		"\"kwargs\":"
		"{\"lr\":0.5}},\"cache_calls\":true,\"cache_files\":[\"m.cfg\"],\"cache_ignore\":["
		"\"x\"],\"cache_memory\":"
		"\"last\","
		"\"cache_ttl\":null,\"cache_version\":\"3\",\"command\":null,\"cwd\":\"/\",\"env\":"
		"{\"A\":\"one=1\",\"B\":\"2\"},\"group\":\"root\",\"host\":\"127.0.0.1\","
		"\"limits\":{\"core\":{\"hard\":\"unlimited\",\"soft\":1024},\"nofile\":{\"hard\":"
		"64,"
		"\"soft\":64},\"rttime\":{\"hard\":0.25,\"soft\":0.25}},"
		"\"line\":2,\"log_keep\":4,\"log_max_size\":16777216,\"lost\":\"rerun\",\"name\":"
		"\"any name\",\"nice\":-1,"
		"\"overlap\":\"latest\",\"parallel\":false,\"port\":\"auto\",\"processes\":1,"
		"\"program\":[\"sleep\",\"1\"],\"queue_limit\":10000,\"raise_exception\":true,"
		"\"restart\":\"always\",\"retries\":0,\"retry_backoff\":2.0,\"retry_delay\":1,"
		"\"retry_jitter\":0.10000000000000001,\"start_timeout\":0.25,\"start_with_flow\":"
		"true,"
		"\"stop_signal\":\"INT\",\"stop_timeout\":10,\"timeout\":7200,\"umask\":\"0027\","
		"\"user\":\"0\"}]}");
	for (const struct config_option *option = work_options; option->key != NULL; option++)
		cr_expect_not_null(json_object_get(work, option->key), "%s", option->key);
	free(text);
	json_decref(json);
	config_free(config);
}

Test(config, works_with_other_settings_differ_in_a_named_key)
{
	struct config *config = load_config(
		"work 'a' { command = { 'true' }, env = { A = 1, B = 2 }, args = { 1 } }\n"
		"work 'b' { command = { 'true' }, env = { B = 2, A = 1 }, args = { 1 } }\n"
		"work 'c' { command = { 'true' }, env = { A = 1, B = 3 }, args = { 1 } }\n"
		"work 'd' { command = { 'true' }, env = { A = 1, B = 2 }, args = { 2 } }\n"
		"work 'e' { command = { 'true', 'x' }, env = { A = 1, B = 2 }, args = { 1 } }\n");

	cr_assert_null(work_config_differs(config->works[0], config->works[1]));
	cr_assert_str_eq(work_config_differs(config->works[0], config->works[2]), "env");
	cr_assert_str_eq(work_config_differs(config->works[0], config->works[3]), "args");
	cr_assert_str_eq(work_config_differs(config->works[0], config->works[4]), "command");
	config_free(config);
}

/* ---- what other settings mean for those in force ------------------------------------------------ */

static void expect_reload(const char *old, const char *fresh, enum reload expected, const char *key)
{
	json_t *was = json_loads(old, 0, NULL), *is = json_loads(fresh, 0, NULL);
	const char *of = "?";

	cr_assert(was != NULL && is != NULL, "%s %s", old, fresh);
	cr_expect_eq(config_reload(work_options, was, is, &of), expected, "%s %s", old, fresh);
	cr_expect_eq(of == NULL, key == NULL, "%s %s", old, fresh);
	cr_expect(of == NULL || key == NULL || strcmp(of, key) == 0, "%s", of);
	json_decref(was);
	json_decref(is);
}

Test(config, the_gravest_of_the_changes_is_what_a_reload_means)
{
	expect_reload("{\"retries\": 1}", "{\"retries\": 1}", RELOAD_FIXED, NULL);
	expect_reload("{\"retries\": 1}", "{\"retries\": 2}", RELOAD_TAKEN, "retries");
	expect_reload("{\"cwd\": \"/\"}", "{\"cwd\": \"/tmp\"}", RELOAD_RENEWS, "cwd");
	expect_reload("{\"retries\": 1, \"cwd\": \"/\", \"port\": 1}",
		      "{\"retries\": 2, \"cwd\": \"/tmp\", \"port\": 2}", RELOAD_RENEWS, "port");
	expect_reload("{\"retries\": 1, \"overlap\": \"latest\"}",
		      "{\"retries\": 2, \"overlap\": \"queue\"}", RELOAD_TAKEN, "overlap");
}

Test(config, an_option_that_an_earlier_version_did_not_keep_is_no_change)
{
	expect_reload("{}", "{\"cwd\": \"/\", \"retries\": 5}", RELOAD_FIXED, NULL);
	expect_reload("{\"unheard\": 1}", "{\"unheard\": 2}", RELOAD_FIXED, NULL);
	expect_reload("{\"line\": 1}", "{\"line\": 2}", RELOAD_FIXED, NULL);
	expect_reload("{\"cwd\": \"/\"}", "{}", RELOAD_RENEWS, "cwd");
}

/* What work.c keeps of the settings that a process runs with is read back as JSON. */
Test(config, every_option_survives_being_kept_as_json)
{
	struct config *config = load_config(
		"work 'a' { command = { 'true', 'x' }, env = { A = 1 }, args = { 1, lr = 0.5 },\n"
		"  timeout = '2h', retry_backoff = 1.5, retry_jitter = 0.3, port = 'auto',\n"
		"  limits = { nofile = 64, core = { soft = '1KiB', hard = 'infinity' } } }");
	json_t *json = work_config_to_json(config->works[0]), *kept;
	char *text = json_dumps(json, JSON_ENCODE_ANY);
	const char *key;

	kept = json_loads(text, 0, NULL);
	cr_assert_not_null(kept);
	cr_expect_eq(config_reload(work_options, kept, json, &key), RELOAD_FIXED, "%s", key);
	free(text);
	json_decref(kept);
	json_decref(json);
	config_free(config);
}

Test(config, durations_and_sizes_have_units)
{
	static const struct {
		const char *text;
		int64_t us; /* -1: refused */
	} rows[] = {
		{ "2h", 7200000000 },
		{ "1.5s", 1500000 },
		{ "300ms", 300000 },
		{ "7d", 604800000000 },
		{ "10", 10000000 },
		{ "0", 0 },
		{ "1 min", 60000000 },
		{ "5us", 5 },
		{ "", -1 },
		{ "h", -1 },
		{ "-1s", -1 },
		{ "1e3", -1 },
		{ "1.2.3", -1 },
		{ "nan", -1 },
		{ "inf", -1 },
		{ "1sx", -1 },
		{ "9999999999999999d", -1 },
	};
	int64_t us;

	for (size_t i = 0; i < LW_COUNT(rows); i++) {
		us = -1;
		if (config_parse_duration(rows[i].text, &us) < 0)
			us = -1;
		cr_expect_eq(us, rows[i].us, "%s: %lld", rows[i].text, (long long)us);
	}
	cr_assert_eq(config_parse_size("64MiB", &us), 0);
	cr_assert_eq(us, 64 << 20);
	cr_assert_lt(config_parse_size("64Mb", &us), 0);
	cr_assert_eq(config_parse_umask("0027"), 027);
	cr_assert_eq(config_parse_umask("000"), 0);
	cr_assert_lt(config_parse_umask("00027"), 0);
	cr_assert_lt(config_parse_umask("028"), 0);
	cr_assert_lt(config_parse_umask("-27"), 0);
	cr_assert_lt(config_parse_umask(""), 0);
	cr_assert_eq(config_parse_signal("SIGUSR1"), config_parse_signal("USR1"));
	cr_assert_eq(config_parse_signal("9"), 9);
	cr_assert_lt(config_parse_signal("65"), 0);
	cr_assert_lt(config_parse_signal(""), 0);
}

Test(config, a_relative_program_is_one_of_the_folder_of_app_conf_wherever_it_starts)
{
	char path[200];
	struct config *config;

	write_file("bin/tool", "#!/bin/sh\n");
	snprintf(path, sizeof(path), "%s/bin/tool", rig.folder);
	chmod(path, 0700);
	config = load_config("work 'a' { command = { 'bin/tool' } }\n"
			     "work 'b' { command = { 'bin/tool' }, cwd = '/' }");
	cr_assert_str_eq(config->works[0]->command.words[0], "bin/tool");
	cr_assert_str_eq(config->works[1]->command.words[0], path);
	config_free(config);
}

Test(config, every_preset_is_within_its_own_range)
{
	struct work_config *work = work_config_new("x");

	for (const struct config_option *option = work_options; option->key != NULL; option++) {
		const int64_t *value = (const void *)((const char *)work + option->offset);

		if (option->kind != OPTION_WHOLE && option->kind != OPTION_DURATION)
			continue;
		cr_expect((*value >= option->least && *value <= option->most) ||
				  *value == CONFIG_NONE,
			  "%s", option->key);
	}
	work_config_free(work);
}

/* ---- the manual ---------------------------------------------------------------------------- */

/* Where its lines end is the page's own affair. */
static void join_lines(char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\n')
			*text = ' ';
}

/* What man/app.conf.5 must have for an option. */
static void print_for_manual(const struct config_option *option, struct lw_buf *out)
{
	lw_buf_printf(out, ".It Ic %s\n%s.\nTakes ", option->key, option->sentence);
	option_wanted(option, out);
	if (option->preset[0] != '\0')
		lw_buf_printf(out, ";\ndefault\n.Li %s .\n", option->preset);
	else
		lw_buf_printf(out, ";\nno default.\n");
}

Test(config, the_manual_names_every_limit)
{
	static char page[64 << 10];
	FILE *file = fopen(LW_VECTORS "/../../man/app.conf.5", "r");
	const char *section;

	cr_assert_not_null(file);
	page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
	fclose(file);
	section = strstr(page, ".Ss The process of a work");
	cr_assert_not_null(section);
	for (const struct config_limit *limit = config_limits; limit->name != NULL; limit++)
		cr_expect_not_null(strstr(section, limit->name), "%s", limit->name);
}

Test(config, the_manual_has_every_option_as_in_the_table)
{
	static const struct config_option *const tables[] = { app_options, work_options };
	static char page[64 << 10];
	FILE *file = fopen(LW_VECTORS "/../../man/app.conf.5", "r");

	cr_assert_not_null(file);
	page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
	fclose(file);
	join_lines(page);
	for (size_t i = 0; i < LW_COUNT(tables); i++)
		for (const struct config_option *option = tables[i]; option->key != NULL;
		     option++) {
			LW_AUTO_BUF wanted = { 0 };

			print_for_manual(option, &wanted);
			join_lines(lw_buf_text(&wanted));
			cr_expect_not_null(strstr(page, lw_buf_text(&wanted)), "%s wants:\n%s",
					   option->key, lw_buf_text(&wanted));
		}
}
