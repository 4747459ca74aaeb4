/* e2e_protocol.c - the client that lw-protocol(7) shows is one. Run by ctest. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#define PYTHON "/usr/bin/python3"

/* The program in the manual, as somebody copies it from there. */
static void write_example(const char *name)
{
	const char *page = rig_read(LW_SOURCE "/man/lw-protocol.7");
	const char *begin = strstr(page, "import msgpack");
	const char *end = begin != NULL ? strstr(begin, ".Ed\n") : NULL;
	LW_AUTO(lw_free) char *text = NULL;
	char *to;

	CHECK(end != NULL);
	text = lw_strndup(begin, (size_t)(end - begin));
	to = text;
	for (const char *at = text; *at != '\0'; at++) {
		*to++ = *at;
		if (at[0] == '\\' && at[1] == 'e') /* mdoc's way to write a backslash */
			at++;
	}
	*to = '\0';
	rig_write(name, text);
}

TEST(the_client_in_the_manual_serves_runs)
{
	struct rig_proc *proc;
	json_t *run;

	if (rig_exit(rig_spawn(PYTHON, "-c", "import msgpack", NULL)) != 0) {
		printf("no msgpack for " PYTHON " here: left out\n");
		return;
	}
	write_example("square.py");
	proc = rig_up("work 'square' { program = { '" PYTHON "', 'square.py' },\n"
		      "                raise_exception = false }\nfunction flow() end\n",
		      NULL);
	CHECK_INT(rig_number(rig_run("square", "{\"value\": 12}"), "result"), 144);
	run = rig_ctl("run", "square", "[\"a\"]", "--wait", "--json", NULL).json;
	CHECK_TEXT(rig_string(run, "stage"), "failed");
	CHECK_HAS(rig_string(run, "error"), "can't multiply");
	CHECK_INT(rig_ctl("kill", "square", NULL).status, 0);
	CHECK_INT(rig_number(rig_run("square", "[13]"), "result"), 169);
	CHECK_INT(rig_ctl("stop", "square", NULL).status, 0);
	rig_down(proc);
}
