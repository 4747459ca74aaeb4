/* e2e_ready.c - who is ready, and who is told: works that say so, the flow that asks, and the
 * service manager that started the supervisor. Run by ctest. */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- works ------------------------------------------------------------------------------ */

/* Each change that the flow sees is a line. */
#define WATCHING_FLOW(call)                                                                        \
	"local before\n"                                                                           \
	"function flow()\n" call "\n"                                                              \
	"  local now = tostring(server.is_ready)\n"                                                \
	"  if now ~= before then print('ready=' .. now); before = now end\n"                       \
	"end\n"

/* A command that runs `script`; a FIFO "gate" is there for it. */
static struct rig_proc *server(const char *script)
{
	rig_gate("gate");
	rig_write("server.sh", script);
	return rig_up("app { interval = 0 }\n"
		      "work 'server' { command = { 'sh', './server.sh' }, parallel = true,\n"
		      "                stop_timeout = 1, cache_calls = false }\n" WATCHING_FLOW(
			      "server:run()"),
		      "--no-prefix", NULL);
}

static bool is_null(const char *member)
{
	return json_is_null(rig_at(rig_work("server"), member));
}

/* NULL: the table of works has nothing to say about it. */
static json_t *brief_ready(void)
{
	return rig_cell(rig_http("GET", "/api/v1/status?brief=true", NULL).json, 0, "ready");
}

TEST(a_command_is_ready_when_it_says_so_until_it_ends)
{
	struct rig_proc *proc = server("echo began\n"
				       "head -c1 gate >gone\n"
				       "echo '{\"lw\": {\"ready\": true}}' >&3\n"
				       "head -c1 gate >gone\n"
				       "echo '{\"lw\": {\"ready\": false}}' >&3\n"
				       "head -c1 gate >gone\n"
				       "echo '{\"lw\": {\"ready\": true}}' >&3\n"
				       "head -c1 gate >gone\n");

	rig_line(proc, RIG_OUT, "ready=false");
	rig_line(proc, RIG_OUT, "began");
	CHECK(is_null("ready")); /* most commands have nothing to say about it */
	CHECK(brief_ready() == NULL);
	for (int i = 0; i < 2; i++) {
		rig_open_gate("gate", 1);
		rig_line(proc, RIG_OUT, "ready=true");
		CHECK(rig_true(rig_work("server"), "ready"));
		CHECK(brief_ready() == NULL);
		rig_open_gate("gate", 1); /* says no, and ends */
		rig_line(proc, RIG_OUT, "ready=false");
		CHECK(json_is_false(rig_at(rig_work("server"), "ready")));
		CHECK(json_is_false(brief_ready()));
	}
	rig_down(proc);
}

TEST(a_command_may_begin_by_saying_that_it_is_not_ready)
{
	struct rig_proc *proc = server("echo '{\"lw\": {\"ready\": false}}' >&3\n"
				       "head -c1 gate >gone\n"
				       "echo '{\"lw\": {\"ready\": true}}' >&3\n"
				       "head -c1 gate >gone\n");

	AWAIT(json_is_false(rig_at(rig_work("server"), "ready")));
	CHECK(json_is_false(brief_ready()));
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ready=true");
	rig_down(proc);
}

TEST(ready_is_true_or_false_and_anything_else_is_noted)
{
	struct rig_proc *proc =
		server("echo '{\"lw\": {\"ready\": 1}}' >&3\nhead -c1 gate >gone\n");

	rig_line(proc, RIG_ERR, "ready is neither true nor false");
	CHECK(is_null("ready"));
	rig_down(proc);
}

#define NOTIFY "\"$FAKE\" notify "

TEST(a_command_has_a_notify_socket)
{
	struct rig_proc *proc = server("( setsid " NOTIFY "'READY=1' )\n" /* far below us */
				       "head -c1 gate >gone\n" NOTIFY "'STATUS=READY=1\n"
				       "RELOADING=1'\n"
				       "head -c1 gate >gone\n");

	rig_line(proc, RIG_OUT, "ready=true");
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ready=false");
	rig_down(proc);
}

/* Anybody can write to the socket; the kernel says who did. */
TEST(a_stranger_makes_nobody_ready)
{
	struct rig_proc *proc = server("echo socket=$NOTIFY_SOCKET\nhead -c1 gate >gone\n" NOTIFY
				       "'READY=1'\nhead -c1 gate >gone\n");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *name = strstr(rig_line(proc, RIG_OUT, "socket=@"), "=@") + 1;
	size_t size = strcspn(name, "\n");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path + 1, name + 1, size - 1);
	size += offsetof(struct sockaddr_un, sun_path);
	CHECK_INT(sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, (socklen_t)size), 7);
	rig_line(proc, RIG_ERR, "which is not ours, is ignored");
	CHECK(is_null("ready"));
	rig_open_gate("gate", 1);
	rig_line(proc, RIG_OUT, "ready=true");
	close(fd);
	rig_down(proc);
}

TEST(who_is_ready_is_so_for_the_next_supervisor)
{
	struct rig_proc *proc =
		server("echo '{\"lw\": {\"ready\": true}}' >&3\nhead -c1 gate >gone\nexit 1\n");
	int pid;

	rig_line(proc, RIG_OUT, "ready=true");
	pid = (int)rig_number(rig_work("server"), "processes.0.pid");
	rig_signal(proc, SIGKILL);
	rig_exit(proc);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "ready=true"); /* its first pass */
	CHECK_INT(rig_count(proc, RIG_OUT, "ready=false"), 0);
	CHECK_INT(rig_number(rig_work("server"), "processes.0.pid"), pid);
	/* It said so of itself alone: who comes in its place does not inherit it. */
	rig_write("server.sh", "echo next\nhead -c1 gate >gone\n");
	CHECK_INT(rig_ctl("restart", "server", NULL).status, 0);
	rig_line(proc, RIG_OUT, "ready=false");
	rig_line(proc, RIG_OUT, "next");
	CHECK(json_is_false(rig_at(rig_work("server"), "ready")));
	rig_down(proc);
}

/* It ended its run while there was no supervisor, and is ready no more. */
TEST(what_is_said_while_nobody_listens_is_heard_later)
{
	struct rig_proc *proc =
		server("echo '{\"lw\": {\"ready\": true}}' >&3\nhead -c1 gate >gone\n"
		       "echo '{\"lw\": {\"ready\": false}}' >&3\n"
		       ": >said\nhead -c1 gate >gone\n");

	rig_line(proc, RIG_OUT, "ready=true");
	rig_signal(proc, SIGKILL);
	rig_exit(proc);
	rig_open_gate("gate", 1);
	AWAIT(rig_read("said") != NULL);
	proc = rig_up(NULL, "--no-prefix", NULL);
	rig_line(proc, RIG_OUT, "ready=false");
	rig_down(proc);
}

static struct rig_proc *program(const char *how)
{
	return rig_up(rig_format("app { interval = 0 }\n"
				 "work 'server' { program = { lw.env('FAKE'), %s },\n"
				 "                parallel = true }\n" WATCHING_FLOW(""),
				 how),
		      "--no-prefix", NULL);
}

TEST(a_program_is_ready_when_it_has_dialled_in)
{
	struct rig_proc *proc = program("'serve'");

	rig_line(proc, RIG_OUT, "ready=true");
	CHECK(rig_true(rig_work("server"), "ready"));
	kill((pid_t)rig_number(rig_work("server"), "processes.0.pid"), SIGKILL);
	rig_line(proc, RIG_OUT, "ready=false");
	rig_line(proc, RIG_OUT, "ready=true");
	CHECK_INT(rig_ctl("stop", "server", NULL).status, 0);
	rig_line(proc, RIG_OUT, "ready=false");
	rig_down(proc);
}

TEST(a_program_may_say_that_it_is_not_ready_yet)
{
	struct rig_proc *proc = program("'serve', '1', 'unready'");

	rig_line(proc, RIG_OUT, "ready=false");
	AWAIT(rig_is(rig_work("server"), "processes.0.state", "idle"));
	CHECK_INT(rig_count(proc, RIG_OUT, "ready=true"), 0);
	rig_run("server", "{\"act\": \"ready\"}");
	rig_line(proc, RIG_OUT, "ready=true");
	rig_run("server", "{\"act\": \"ready\", \"ready\": false}");
	rig_line(proc, RIG_OUT, "ready=false");
	rig_down(proc);
}

/* ---- the service manager ---------------------------------------------------------------- */

static int manager = -1;

/* What it was told next; "" when it never was. */
static const char *told(void)
{
	char text[1024];
	struct pollfd ready = { .fd = manager, .events = POLLIN };
	double until = rig_deadline();
	ssize_t size;

	while (poll(&ready, 1, 0) == 0)
		if (!rig_pump(until))
			return "";
	size = recv(manager, text, sizeof(text) - 1, 0);
	text[size < 0 ? 0 : size] = '\0';
	return rig_format("%s", text);
}

/* A socket of that name, "@" for an abstract one, and the environment that says so. */
static void manage(const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t size = strlen(name);

	memcpy(at.sun_path, name, size);
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(manager, (struct sockaddr *)&at,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) == 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static const char app_of_one[] = "work 'job' { program = { lw.env('FAKE'), 'serve' } }\n"
				 "function flow() end\n";

TEST(the_service_manager_is_told)
{
	struct rig_proc *proc;
	const char *text;

	manage(rig_path("notify"));
	proc = rig_up(app_of_one, NULL);
	CHECK_HAS(told(), "READY=1\nSTATUS=running");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK(rig_worker_env("job", "NOTIFY_SOCKET") == NULL); /* it is not for works */
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	text = told();
	CHECK_HAS(text, "RELOADING=1\nMONOTONIC_USEC=");
	CHECK(strtod(strstr(text, "USEC=") + 5, NULL) > 0);
	CHECK_HAS(told(), "READY=1\nSTATUS=running");
	rig_write("app.conf", "work 'job' { nonsense = 1 }\n");
	CHECK_INT(rig_ctl("reload", NULL).status, 1);
	CHECK_HAS(told(), "RELOADING=1");
	CHECK_HAS(told(), "READY=1\nSTATUS=running; app.conf is wrong");
	rig_down(proc);
	CHECK_HAS(told(), "STOPPING=1\nSTATUS=signal TERM");
}

/* As systemd starts it: one socket, or here one pipe, for all that it says. */
static struct rig_proc *supervisor_of_journal(const char *conf)
{
	rig_write("app.conf", conf);
	return rig_spawn("sh", "-c",
			 "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/$$/fd/1)\n"
			 "exec " LW_BIN "/lw-supervisor app.conf 2>&1",
			 NULL);
}

TEST(the_journal_of_systemd_gets_priorities_and_no_token)
{
	struct rig_proc *proc = supervisor_of_journal(
		"app { view = '127.0.0.1:0' }\n"
		"work 'job' { command = { 'sh', '-c', 'echo said; exit 3' }, parallel = true }\n"
		"function flow() job:run() end\n");
	const char *text;

	CHECK_INT(rig_exit(proc), 1);
	text = rig_text(proc, RIG_OUT);
	CHECK_HAS(text, "lw  | Your app has started. View it in your browser: http://127.0.0.1:");
	CHECK_HAS(text, "/view, with the token that `lwctl --state-dir /");
	CHECK(strstr(text, "token=") == NULL);
	CHECK_HAS(text, "\njob | said\n");
	CHECK_HAS(text, "\n<4>lw  | warning: work=job run=1 failed ");
	CHECK_HAS(text, "\n<3>lw  | error: app=stopping ");
	CHECK_HAS(text, "\n<3>lw-supervisor: the app failed: ");
	proc = supervisor_of_journal("work 'job' { nonsense = 1 }\n");
	CHECK_INT(rig_exit(proc), 2);
	CHECK_HAS(rig_text(proc, RIG_OUT), "<3>lw-supervisor: app.conf:1: ");
}

TEST(the_watchdog_is_fed_while_the_loop_turns)
{
	struct rig_proc *proc;

	manage(rig_format("@lw-test-%d", (int)getpid()));
	setenv("WATCHDOG_USEC", "20000", 1);
	proc = rig_up(app_of_one, NULL);
	CHECK_HAS(told(), "READY=1");
	for (int i = 0; i < 3; i++)
		CHECK_TEXT(told(), "WATCHDOG=1");
	AWAIT(rig_is(rig_work("job"), "processes.0.state", "idle"));
	CHECK(rig_worker_env("job", "WATCHDOG_USEC") == NULL);
	rig_down(proc);
}

static const char *app_of_passes(int seconds)
{
	return rig_format("app { flow_timeout = %d, view = false }\n"
			  "work 'job' { command = { 'true' } }\nfunction flow() end\n",
			  seconds);
}

TEST(the_watchdog_waits_for_the_longest_pass)
{
	struct rig_proc *proc;

	manage(rig_path("notify"));
	setenv("WATCHDOG_USEC", "30000000", 1);
	proc = rig_up(app_of_passes(5), NULL);
	CHECK_HAS(told(), "READY=1\nWATCHDOG_USEC=30000000\nSTATUS=running");
	CHECK_TEXT(told(), "WATCHDOG=1");
	rig_write("app.conf", app_of_passes(60));
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	CHECK_HAS(told(), "RELOADING=1");
	CHECK_HAS(told(), "READY=1\nWATCHDOG_USEC=96000000\n");
	rig_write("app.conf", app_of_passes(5));
	CHECK_INT(rig_ctl("reload", NULL).status, 0);
	CHECK_HAS(told(), "RELOADING=1");
	CHECK_HAS(told(), "READY=1\nWATCHDOG_USEC=30000000\n");
	rig_down(proc);
}

TEST(the_watchdog_of_somebody_else_is_not_fed)
{
	struct rig_proc *proc;

	manage(rig_path("notify"));
	setenv("WATCHDOG_USEC", "1000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	proc = rig_up(app_of_one, NULL);
	CHECK_HAS(told(), "READY=1");
	rig_down(proc);
	CHECK_HAS(told(), "STOPPING=1"); /* the very next */
}

TEST(a_manager_that_is_gone_is_no_reason_not_to_run)
{
	struct rig_proc *proc;

	setenv("NOTIFY_SOCKET", rig_path("nobody"), 1);
	proc = rig_up(app_of_one, NULL);
	rig_line(proc, RIG_ERR, "NOTIFY_SOCKET: ");
	rig_down(proc);
	setenv("NOTIFY_SOCKET", "nonsense", 1);
	proc = rig_up(NULL, NULL);
	rig_line(proc, RIG_ERR, "neither a path nor @");
	rig_down(proc);
}
