/* torture.c - minutes of kill -9, full disks, stopped processes and rude clients, and then a check
 * that nothing was lost and nothing done twice. scripts/torture builds and runs it; ctest for half
 * a minute.
 *
 *     lw-torture [--seed N] [--folder FOLDER] SECONDS
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lw_buf.h"

#define SECOND       INT64_C(1000000)
#define SETTLES      (90 * SECOND) /* what is unfinished when the chaos ends is over by then */
#define VIOLATIONS   20            /* so many are told */
#define SEED_DEFAULT 0             /* a new one */

struct torture torture;

static const char usage[] =
	"usage: lw-torture [--seed N] [--folder FOLDER] SECONDS\n"
	"Runs an app and harasses it: kill -9 of the supervisor, its workers and their commands,\n"
	"stopped processes, a full disk, rude clients. Then everything must come to its end, and\n"
	"the journal is compared with what the works themselves wrote down.\n"
	"\n"
	"  --seed N         draws the same again, as far as timing allows\n"
	"  --folder FOLDER  where the app lives; kept when something does not hold\n"
	"  --help           this text\n"
	"\n"
	"Exit status: 0 everything holds, 1 something does not, 2 usage.\n";

int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec / 1000;
}

uint64_t draw(uint64_t below)
{
	torture.random += 0x9e3779b97f4a7c15u;
	return torture_mix(torture.random) % below;
}

struct call call_of(const char *work, int64_t n)
{
	struct call call = { .n = n };

	snprintf(call.work, sizeof(call.work), "%s", work);
	return call;
}

void violation(const char *format, ...)
{
	va_list arguments;

	if (torture.violations++ >= VIOLATIONS)
		return;
	fprintf(stderr, "torture: %.6f ", (double)now_us() / 1e6);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* ---- options ------------------------------------------------------------------------------- */

static int take_options(int argc, char **argv, double *ret_seconds, uint64_t *ret_seed)
{
	static const struct option table[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "folder", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;
	char end;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'h')
			return fputs(usage, stdout) >= 0 ? 0 : 1;
		if (option == 'f')
			torture.folder = optarg;
		else if (option != 's' || sscanf(optarg, "%" SCNu64 "%c", ret_seed, &end) != 1)
			return fputs(usage, stderr), 2;
	}
	if (optind + 1 != argc || sscanf(argv[optind], "%lf%c", ret_seconds, &end) != 1 ||
	    !(*ret_seconds > 0))
		return fputs(usage, stderr), 2;
	return -1;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info;
	(void)type;
	(void)walk;
	return remove(path);
}

/* The file is read once: a reload is to bring what the driver wants alone. */
static const char *conf_text(void)
{
	static struct lw_buf text;
	LW_AUTO(lw_close) int fd = text.size > 0 ? -1 : open(LW_CONF, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : 1;

	while (n > 0) {
		lw_buf_grow(&text, 4096);
		n = read(fd, text.data + text.size, 4096);
		text.size += n > 0 ? (size_t)n : 0;
	}
	if (text.size == 0 || n < 0)
		lw_fatal("cannot read '%s': %s", LW_CONF, strerror(errno));
	return lw_buf_text(&text);
}

void write_conf(void)
{
	LW_AUTO(lw_free) char *fresh = lw_format("%s.new", torture.conf);
	FILE *to = fopen(fresh, "we");

	if (to == NULL)
		lw_fatal("cannot make '%s': %s", fresh, strerror(errno));
	fprintf(to, "local round = %u\n%s", torture.round, conf_text());
	if (fclose(to) != 0 || rename(fresh, torture.conf) < 0)
		lw_fatal("cannot write '%s': %s", torture.conf, strerror(errno));
}

/* A sanitizer looks for leaks at the end of a process, by another one that traces it. Who kills or
 * stops that leaves the first hanging for ever, which says nothing of us; every other test looks. */
static void look_for_no_leaks(void)
{
	const char *options = getenv("ASAN_OPTIONS");
	LW_AUTO(lw_free)
	char *all = lw_format("%s%sdetect_leaks=0", options != NULL ? options : "",
			      options != NULL ? ":" : "");

	setenv("ASAN_OPTIONS", all, 1);
}

static void make_folder(void)
{
	LW_AUTO(lw_free) char *locks = lw_format("%s/" TORTURE_LOCKS, torture.folder);

	(void)nftw(torture.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(torture.folder, 0700) < 0 || mkdir(locks, 0700) < 0)
		lw_fatal("cannot make '%s': %s", locks, strerror(errno));
	torture.conf = lw_format("%s/app.conf", torture.folder);
	torture.state_dir = lw_format("%s/state", torture.folder);
	write_conf();
	setenv("TORTURE", torture.folder, 1);
	setenv("TORTURE_WORK", LW_BIN "/torture_work", 1);
	look_for_no_leaks();
}

/* ---- the minutes ------------------------------------------------------------------------------- */

static void tell(void)
{
	check_progress();
	printf("%5.0f s  %lu executions, %lu supervisors, %lu adoptions, %lu lost, kills: %lu "
	       "supervisor, %lu program, %lu lw-worker, %lu command\n",
	       (double)(now_us() - torture.began) / 1e6, torture.count.executions,
	       torture.count.starts, torture.count.adoptions, torture.count.lost,
	       torture.count.kills_supervisor, torture.count.kills_worker,
	       torture.count.kills_wrapper, torture.count.kills_command);
	fflush(stdout);
}

static void harass(void)
{
	int64_t tell_at = torture.began + SECOND;
	int64_t every = isatty(STDOUT_FILENO) == 1 ? SECOND : 10 * SECOND;

	daemon_start(false);
	while (now_us() < torture.ends && torture.violations == 0) {
		chaos_step();
		(void)daemon_pump(now_us() + SECOND / 100);
		if (now_us() >= tell_at) {
			tell();
			tell_at = now_us() + every;
		}
	}
}

/* ---- the end: everything comes to its own ---------------------------------------------------------- */

static bool ask_until(const char *method, const char *path, const char *body, int64_t until,
		      json_t **ret_json)
{
	while (ask(method, path, body, 10 * SECOND, ret_json) / 100 != 2) {
		json_decref(*ret_json);
		if (daemon_pid() == 0) /* it was leaving */
			daemon_start(false);
		if (!daemon_pump(until)) {
			violation("%s %s has no good answer", method, path);
			return false;
		}
	}
	return true;
}

static bool request(const char *method, const char *path, const char *body)
{
	json_t *json;
	bool answered = ask_until(method, path, body, now_us() + 30 * SECOND, &json);

	if (answered)
		json_decref(json);
	return answered;
}

static json_int_t unfinished(const json_t *work)
{
	const json_t *runs = json_object_get(work, "runs");

	return json_integer_value(json_object_get(runs, "pending")) +
	       json_integer_value(json_object_get(runs, "running"));
}

/* The works, once nothing of them is unfinished; NULL: that takes too long. */
static json_t *await_rest(int64_t until)
{
	json_t *works, *work;
	json_int_t left = 1;
	size_t i;

	while (ask_until("GET", "works", "", until, &works)) {
		left = 0;
		json_array_foreach(json_object_get(works, "works"), i, work) left +=
			unfinished(work);
		if (left == 0)
			return works;
		json_decref(works);
		if (!daemon_pump(until))
			break;
	}
	violation("%lld calls did not come to their end within %lld s", (long long)left,
		  (long long)(SETTLES / SECOND));
	return NULL;
}

/* A last call of each work is executed, and its state is known. */
static void call_once_more(const json_t *work, int64_t n)
{
	const char *name = json_string_value(json_object_get(work, "name"));
	LW_AUTO(lw_free) char *path = lw_format("works/%s/run", name);
	LW_AUTO(lw_free) char *body = lw_format("{\"kwargs\": {\"n\": %" PRId64 "}}", n);
	LW_AUTO(lw_free) char *look = lw_format("works/%s", name);
	json_t *run = NULL, *after = NULL, *last;

	if (ask("POST", path, body, 30 * SECOND, &run) / 100 != 2 ||
	    json_integer_value(json_object_get(run, "result")) != torture_result(n))
		violation("the last call of '%s' did not succeed", name);
	if (ask("GET", look, "", 30 * SECOND, &after) == 200) {
		last = json_object_get(json_object_get(after, "state"), "last");
		if (last != NULL && json_integer_value(last) != n)
			violation("the last call of '%s' left no state", name);
	}
	json_decref(run);
	json_decref(after);
}

static void settle(void)
{
	int64_t until = now_us() + SETTLES;
	json_t *works = NULL, *work;
	size_t i;

	if (daemon_pid() == 0)
		daemon_start(false);
	if (!request("POST", "app/resume", "") || !request("PATCH", "state", "{\"quiet\": true}") ||
	    !ask_until("GET", "works", "", until, &works))
		return;
	json_array_foreach(json_object_get(works, "works"), i, work)
	{
		const char *name = json_string_value(json_object_get(work, "name"));
		LW_AUTO(lw_free) char *start = lw_format("works/%s/start?wait=false", name);
		LW_AUTO(lw_free) char *resume = lw_format("works/%s/resume", name);

		(void)request("POST", start, "");
		(void)request("POST", resume, "");
	}
	json_decref(works);
	works = await_rest(until);
	json_array_foreach(json_object_get(works, "works"), i, work)
		call_once_more(work, TORTURE_LAST + (int64_t)i);
	json_decref(works);
}

static void end(void)
{
	if (daemon_pid() != 0) {
		check_processes();
		daemon_expect_end();
		(void)kill(daemon_pid(), SIGTERM);
		if (!daemon_await_end(60 * SECOND)) {
			violation("the supervisor does not end");
			(void)kill(daemon_pid(), SIGKILL);
			(void)daemon_await_end(10 * SECOND);
		}
	}
	(void)check_left();
}

static int sum_up(uint64_t seed)
{
	const struct counts *count = &torture.count;

	printf("calls %lu  executions %lu (%lu came to their end, %lu failed on purpose)\n"
	       "supervisors %lu: %lu killed, %lu ended by TERM, %lu left their works\n"
	       "killed: %lu programs, %lu lw-workers, %lu commands; stopped %lu; disk full %lu; "
	       "reloads %lu\n"
	       "adoptions %lu  lost runs %lu  requests %lu (%lu answered)  strangers %lu\n"
	       "shown to have succeeded %zu  made by clients %zu  output lost with a supervisor "
	       "%lu\n"
	       "violations %u\n",
	       count->calls, count->executions, count->ends, count->fails, count->starts,
	       count->kills_supervisor, count->terms, count->leaves, count->kills_worker,
	       count->kills_wrapper, count->kills_command, count->stops, count->disks_full,
	       count->reloads, count->adoptions, count->lost, count->requests, count->answers,
	       count->strangers, torture.sights.count, torture.made.count, count->lines_lost,
	       torture.violations);
	if (torture.violations == 0)
		return 0;
	fprintf(stderr, "torture: seed %" PRIu64 "; everything is in '%s'\n", seed, torture.folder);
	return 1;
}

int main(int argc, char **argv)
{
	double seconds;
	uint64_t seed = SEED_DEFAULT;
	int status;

	torture.folder = LW_FOLDER;
	status = take_options(argc, argv, &seconds, &seed);
	if (status >= 0)
		return status;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		lw_fatal("cannot become the sub-reaper: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	torture.began = now_us();
	if (seed == SEED_DEFAULT)
		seed = (uint64_t)torture.began % 1000000000;
	torture.random = seed;
	torture.ends = torture.began + (int64_t)(seconds * 1e6);
	make_folder();
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	harass();
	chaos_end();
	settle();
	end();
	check_all();
	status = sum_up(seed);
	if (status == 0)
		(void)nftw(torture.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}
