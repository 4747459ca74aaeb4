/* e2e_faults.c - one system call fails, or the supervisor dies before it: in every program, in a
 * start, runs and a stop, and in an adoption. An error or another try, never a hang, a crash or a
 * loss: afterwards a supervisor without faults brings the same app to its end. Run by ctest.
 *
 * A few of each kind of call fail here; LW_ALL_FAULTS=1 lets every single one fail in every way
 * that fits, which takes an hour or so, and LW_ONE_FAULT, together with that, one that it named.
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "faults.h"

#define RUNS 5 /* four of a program, one of a command */

static const char conf[] =
	"local common = { parallel = true, retries = 3, retry_delay = 0.01, lost = 'rerun',\n"
	"  raise_exception = false, start_timeout = 2, stop_timeout = 2 }\n"
	"local function made(name, more)\n"
	"  for key, value in pairs(common) do more[key] = value end\n"
	"  more.env = { EXECUTIONS = lw.env('EXECUTIONS') }\n"
	"  return work(name)(more)\n"
	"end\n"
	"made('program', { program = { lw.env('FAKE'), 'serve', '2' }, processes = 2,\n"
	"  port = 'auto' })\n"
	"made('command', { command = { 'sh', '-c', [[\n"
	"  echo $LW_RUN_ID $LW_ATTEMPT $$ >>$EXECUTIONS; echo out; echo err >&2;\n"
	"  echo '{\"x\": 1}' >&3; exec head -c 1 gate ]] } })\n"
	"function flow()\n"
	"  local done = command:run().has_succeeded and 1 or 0\n"
	"  lw.state.passes = (lw.state.passes or 0) + 1\n"
	"  for i = 1, 4 do\n"
	"    if program:run{ act = 'gate', value = i }.has_succeeded then done = done + 1 end\n"
	"  end\n"
	"  if done == 5 then lw.stop('all of them') end\n"
	"end\n";

static const struct kind {
	const char *name;
	const char *errors;
} kinds[] = {
#define KIND(name, errors) { #name, errors },
	FAULT_CALLS(KIND)
#undef KIND
};

static bool all_of_them(void)
{
	return getenv("LW_ALL_FAULTS") != NULL;
}

/* ---- a scenario ---------------------------------------------------------------------------------- */

static size_t executions(void)
{
	const char *text = rig_read("executions");
	size_t lines = 0;

	for (; text != NULL && (text = strchr(text, '\n')) != NULL; text++)
		lines++;
	return lines;
}

/* An app that has not begun. */
static void fresh(void)
{
	rig_anew();
	setenv("EXECUTIONS", rig_path("executions"), 1);
	rig_write("app.conf", conf);
	rig_gate("gate");
	rig_open_gate("gate", RUNS * 4);
}

/* Works that are in the middle of their runs when the supervisor has died. They go on. */
static void orphaned(void)
{
	struct rig_proc *proc;

	rig_anew();
	setenv("EXECUTIONS", rig_path("executions"), 1);
	rig_write("app.conf", conf);
	rig_gate("gate");
	proc = rig_up(NULL, NULL);
	AWAIT(executions() == 3);
	rig_signal(proc, SIGKILL);
	CHECK_INT(rig_exit(proc), -SIGKILL);
	rig_open_gate("gate", RUNS * 4);
}

static const struct scenario {
	const char *name;
	void (*begin)(void);
} start = { "start", fresh }, adoption = { "adoption", orphaned };

/* No attempt was executed twice. */
static void check_attempts(void)
{
	const char *text = rig_read("executions"), *line, *end;

	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *pid = strchr(strchr(line, ' ') + 1, ' ');
		const char *attempt = rig_format("%.*s", (int)(pid + 1 - line), line);
		const char *again = strstr(end, rig_format("\n%s", attempt));

		if (again != NULL)
			rig_fail(__FILE__, __LINE__, "attempt '%s' was executed twice:\n%s",
				 attempt, text);
	}
}

/* Without faults it comes to its end, and everything was done. */
static void finish(void)
{
	struct rig_proc *proc;

	rig_no_fault();
	proc = rig_supervisor(NULL, NULL);
	CHECK_INT(rig_exit(proc), 0);
	CHECK_INT(rig_children(), 0);
	CHECK_INT(rig_record("SELECT count(*) FROM runs WHERE stage = 4"), RUNS);
	CHECK_INT(rig_record("SELECT count(*) FROM runs"), RUNS);
	check_attempts();
}

/* ---- calls that fail ------------------------------------------------------------------------------ */

struct fault {
	const struct scenario *scenario;
	const char *program, *call;
	uint64_t n;
	char error[32]; /* "": the supervisor dies before the call */
};

static void let_fail(void *context)
{
	const struct fault *fault = context;
	struct rig_proc *proc;
	int status;

	fault->scenario->begin();
	rig_fault("%s instead %s - %lu %s", fault->program, fault->call, (unsigned long)fault->n,
		  fault->error);
	proc = rig_supervisor(NULL, NULL);
	status = rig_exit(proc);
	if (status < 0 || status > 2) /* 2: app.conf could not be read */
		rig_fail(__FILE__, __LINE__, "the supervisor ended with %d", status);
	CHECK(status == 0 || *rig_text(proc, RIG_ERR) != '\0'); /* it says why */
	finish();
}

/* Its works live, so that every run is executed once. */
static void let_die(void *context)
{
	const struct fault *fault = context;
	int status;

	fault->scenario->begin();
	rig_fault("%s before %s - %lu die", fault->program, fault->call, (unsigned long)fault->n);
	status = rig_exit(rig_supervisor(NULL, NULL));
	CHECK(status == -SIGKILL || status == 0); /* 0: it was in a child before its exec */
	finish();
	CHECK_INT(executions(), RUNS);
	CHECK_INT(rig_record("SELECT max(attempt) FROM runs"), 1);
}

static size_t failed; /* cases of this test */

static void try_fault(struct fault fault)
{
	const char *only = getenv("LW_ONE_FAULT");
	char name[160];

	snprintf(name, sizeof(name), "%s %s %s %lu %s", fault.scenario->name, fault.program,
		 fault.call, (unsigned long)fault.n,
		 fault.error[0] != '\0' ? fault.error : "death");
	if (only != NULL && strcmp(only, name) != 0)
		return;
	puts(name);
	failed += rig_apart(fault.error[0] != '\0' ? let_fail : let_die, &fault) ? 0 : 1;
}

/* How many calls of each kind a program makes. */
static void count_calls(const struct scenario *scenario, const char *program,
			uint64_t counts[FAULT_CALLS_N])
{
	scenario->begin();
	rig_fault("%s before any - 0 die", program);
	CHECK_INT(rig_exit(rig_supervisor(NULL, NULL)), 0);
	for (unsigned i = 0; i < FAULT_CALLS_N; i++)
		counts[i] = rig_fault_calls(i);
}

/* The n-th of the words, from 0 on; false when there are no more. */
static bool word_at(const char *words, size_t n, char word[32])
{
	int size = 0;

	for (; sscanf(words, "%31s%n", word, &size) == 1; words += size)
		if (n-- == 0)
			return true;
	return false;
}

/* Every call, in every way; or the middle one of its kind, in one way. */
static void let_kind_fail(const struct scenario *scenario, const char *program, size_t kind,
			  uint64_t count)
{
	struct fault fault = { .scenario = scenario,
			       .program = program,
			       .call = kinds[kind].name,
			       .n = (count + 1) / 2 };
	const char *errors = kinds[kind].errors;

	if (!all_of_them()) {
		if (count > 0 &&
		    (word_at(errors, count % 2, fault.error) || word_at(errors, 0, fault.error)))
			try_fault(fault);
		return;
	}
	for (size_t way = 0; word_at(errors, way, fault.error); way++)
		for (fault.n = 1; fault.n <= count; fault.n++)
			try_fault(fault);
}

static void let_calls_fail(const struct scenario *scenario, const char *program)
{
	uint64_t counts[FAULT_CALLS_N];

	count_calls(scenario, program, counts);
	for (size_t kind = 0; kind < FAULT_CALLS_N; kind++)
		let_kind_fail(scenario, program, kind, counts[kind]);
	CHECK_INT(failed, 0);
}

TEST(the_supervisors_calls_fail_once_each_in_a_start_runs_and_a_stop)
{
	let_calls_fail(&start, "lw-supervisor");
}

TEST(the_supervisors_calls_fail_once_each_in_an_adoption)
{
	let_calls_fail(&adoption, "lw-supervisor");
}

TEST(the_calls_of_a_program_fail_once_each)
{
	let_calls_fail(&start, "fake_work");
}

TEST(the_calls_of_lw_worker_fail_once_each)
{
	let_calls_fail(&start, "lw-worker");
}

/* What SQLite cannot open for writing it may open for reading, and keep. */
TEST(a_journal_of_which_a_file_cannot_be_opened_is_an_error_and_no_standstill)
{
	for (uint64_t n = 4; n <= 16; n++)
		try_fault((struct fault){ &adoption, "lw-supervisor", "open", n, "EMFILE" });
	CHECK_INT(failed, 0);
}

/* ---- the supervisor dies ---------------------------------------------------------------------------------- */

static void die_everywhere(const struct scenario *scenario)
{
	uint64_t counts[FAULT_CALLS_N], step;

	count_calls(scenario, "lw-supervisor", counts);
	step = all_of_them() ? 1 : counts[FAULT_any] / 25;
	for (uint64_t n = 1; n <= counts[FAULT_any]; n += step)
		try_fault((struct fault){ scenario, "lw-supervisor", "any", n, "" });
	CHECK_INT(failed, 0);
}

TEST(the_supervisor_dies_before_any_call_of_a_start_runs_and_a_stop)
{
	die_everywhere(&start);
}

TEST(the_supervisor_dies_before_any_call_of_an_adoption)
{
	die_everywhere(&adoption);
}
