/* flow_lua.c - the flow engine: loads app.conf, runs one pass, ends and interrupts it.
 *
 * One struct flow per app; the supervisor calls flow_load(), flow_pass() and flow_free().
 *
 * Ending. A pass ends early by an error whose value is nil, while flow->ending says what it
 * means. Whoever may catch an error (pcall, xpcall and its handler, coroutines: all wrapped
 * in flow_lua_env.c) looks at `ending` and raises it again; nobody's code ever sees a value
 * that stands for it, and `<close>` variables see nil as their error. Finalizers, which
 * swallow errors, are refused (setmetatable).
 *
 * Interrupting. A one-shot timer whose handler sets a hook on the Lua thread that runs; the
 * hook ends the pass with the line it was on. A library call runs no hook: GRACE_TICKS later
 * the handler writes where the flow is stuck and ends the process. A timer that runs already
 * serves the passes that follow, each with its own deadline, so that a pass makes no system
 * call; flow_rest() stops it when the app has nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "flow_lua.h"
#include "lw_log.h"

#define FILE_MAX       (16u << 20)
#define LOAD_TIMEOUT   (5 * CONFIG_SECOND)
#define LOAD_MEMORY    (INT64_C(64) << 20)
#define SLOW_PASS      (CONFIG_SECOND / 10)
#define CALL_ROOM_KEPT (4u << 20)
#define GRACE_TICKS    (FLOW_GRACE / CONFIG_SECOND - 1)
#define SIGNAL_OF_PASS (SIGRTMIN + 2)

static struct flow *volatile guarded; /* whose pass the timer watches */
static struct {
	int64_t longest, memory;
} bounds = { INT64_MAX, INT64_MAX }; /* of every flow; for tests */

/* ---- userdata -------------------------------------------------------------------------- */

void *flow_new(lua_State *L, enum flow_kind kind, size_t size, int user_values)
{
	enum flow_kind *object = lua_newuserdatauv(L, size, user_values);

	memset(object, 0, size);
	*object = kind;
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow_of(L)->metatables[kind]);
	lua_setmetatable(L, -2);
	return object;
}

void *flow_check(lua_State *L, int index, enum flow_kind kind, const char *what)
{
	void *object = flow_is(L, index, kind);

	if (object == NULL)
		flow_raise(L, "%s was expected, not %s%s%s", what,
			   lua_isnoneornil(L, index) ? "" : "a ",
			   lua_isnone(L, index) ? "nothing" : luaL_typename(L, index),
			   index == 1 ? " (call it with a colon: w:run())" : "");
	return object;
}

void flow_metatable(lua_State *L, enum flow_kind kind, const char *name, const luaL_Reg *functions)
{
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__metatable");
	lua_pushvalue(L, -1);
	flow_of(L)->metatables[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* ---- ending a pass ----------------------------------------------------------------------- */

LW_NORETURN static void raise_nothing(lua_State *L)
{
	lua_pushnil(L);
	lua_error(L);
	abort(); /* lua_error() does not return, which its type does not say */
}

void flow_raise(lua_State *L, const char *format, ...)
{
	char text[700];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	luaL_where(L, 1);
	lua_pushstring(L, text);
	lua_concat(L, 2);
	lua_error(L);
	abort();
}

void flow_end(lua_State *L, enum flow_verdict verdict, const char *format, ...)
{
	struct flow *flow = flow_of(L);
	va_list list;

	if (!flow->ending && flow->result != NULL) {
		flow->result->verdict = verdict;
		va_start(list, format);
		vsnprintf(flow->result->message, sizeof(flow->result->message), format, list);
		va_end(list);
	}
	flow->ending = true;
	raise_nothing(L);
}

/* An interruption takes the place of every other verdict. */
LW_NORETURN static void end_interrupted(lua_State *L)
{
	struct flow *flow = flow_of(L);
	char where[100] = "";
	lua_Debug at;

	for (int level = 0; where[0] == '\0' && lua_getstack(L, level, &at); level++)
		if (lua_getinfo(L, "Sl", &at) && at.currentline > 0)
			snprintf(where, sizeof(where), "%s:%d: ", at.short_src, at.currentline);
	if (flow->interrupted != 2)
		flow->ending = false;
	flow->interrupted = 2;
	flow_end(L, FLOW_FAILS, "%s%s took longer than %g s (flow_timeout)", where,
		 flow->loading ? "app.conf" : "the pass",
		 (double)flow->timeout / (double)CONFIG_SECOND);
}

void flow_check_ending(lua_State *L)
{
	struct flow *flow = flow_of(L);

	if (flow->interrupted == 1)
		end_interrupted(L);
	if (flow->ending)
		raise_nothing(L);
}

struct flow *flow_in_pass(lua_State *L, const char *what)
{
	struct flow *flow = flow_of(L);

	if (flow->ending || flow->interrupted)
		flow_check_ending(L);
	if (flow->app == NULL)
		flow_raise(L, "%s cannot be used while %s is read: do it in flow()", what,
			   flow->file);
	return flow;
}

/* ---- interrupting it ----------------------------------------------------------------------- */

/* Runs in the thread that was interrupted, at its next instruction. One shot: what `<close>`
 * variables do on the way out is not interrupted again until the next tick. */
static void on_hook(lua_State *L, lua_Debug *at LW_UNUSED)
{
	lua_sethook(L, NULL, 0, 0);
	end_interrupted(L);
}

static size_t append(char *text, size_t at, size_t room, const char *more)
{
	while (*more != '\0' && at + 1 < room)
		text[at++] = *more++;
	return at;
}

static size_t append_number(char *text, size_t at, size_t room, uint64_t number)
{
	char digits[21];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do
		digits[--i] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	return append(text, at, room, digits + i);
}

/* In the handler: the flow is inside a C function, so its Lua frames stand still. */
LW_NORETURN static void die_stuck(const struct flow *flow, lua_State *L)
{
	char text[400];
	size_t n = append(text, 0, sizeof(text), "lw-supervisor: ");
	lua_Debug at;

	for (int level = 0; lua_getstack(L, level, &at); level++)
		if (lua_getinfo(L, "Sl", &at) && at.currentline > 0) {
			n = append(text, n, sizeof(text), at.short_src);
			n = append(text, n, sizeof(text), ":");
			n = append_number(text, n, sizeof(text), (uint64_t)at.currentline);
			n = append(text, n, sizeof(text), ": ");
			break;
		}
	n = append(text, n, sizeof(text), "pass ");
	n = append_number(text, n, sizeof(text), flow->passes);
	n = append(text, n, sizeof(text),
		   " is stuck in a library call that does not return (flow_timeout); "
		   "the supervisor ends, its works go on\n");
	if (write(STDERR_FILENO, text, n) < 0)
		_exit(1);
	_exit(1);
}

/* Processor time of the one thread that runs passes: nothing in a pass waits, and that we were
 * stopped, or the machine was busy, is not the flow's fault. */
#define CLOCK_OF_PASS CLOCK_THREAD_CPUTIME_ID

static int64_t clock_now(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_OF_PASS, &now);
	return (int64_t)now.tv_sec * CONFIG_SECOND + now.tv_nsec / 1000;
}

/* Also called by the handler. */
static int timer_set(struct flow *flow, int64_t at)
{
	struct itimerspec spec = {
		.it_value = { at / CONFIG_SECOND, (at % CONFIG_SECOND) * 1000 },
	};

	flow->fires_at = at;
	return flow->has_timer ? timer_settime(flow->timer, TIMER_ABSTIME, &spec, NULL) : 0;
}

static void interrupt(struct flow *flow)
{
	lua_State *L = flow->running;

	flow->ticks++;
	if (flow->ticks > GRACE_TICKS)
		die_stuck(flow, L);
	if (flow->interrupted == 0)
		flow->interrupted = 1;
	lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
	(void)timer_set(flow, clock_now() + CONFIG_SECOND);
}

/* The timer may have been set for an earlier pass: this one has its own deadline. */
static void on_timer(int sig LW_UNUSED)
{
	struct flow *flow = guarded;
	int saved = errno;

	if (flow != NULL) {
		flow->fires_at = 0;
		if (flow->armed && flow->deadline > clock_now())
			(void)timer_set(flow, flow->deadline);
		else if (flow->armed)
			interrupt(flow);
	}
	errno = saved;
}

static int timer_open(struct flow *flow, struct lw_err *err)
{
	struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL_OF_PASS };

	/* The thread that loads is the one that runs passes; no other may touch Lua. */
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGNAL_OF_PASS, &action, NULL) < 0 ||
	    timer_create(CLOCK_OF_PASS, &event, &flow->timer) < 0)
		return lw_err_sys(err, -errno, "cannot make the timer of flow_timeout");
	flow->has_timer = true;
	return 0;
}

static void guard_begin(struct flow *flow, lua_State *L)
{
	flow->running = L;
	flow->interrupted = 0;
	flow->ticks = 0;
	flow->ending = false;
	flow->deadline = clock_now() + flow->timeout;
	guarded = flow;
	flow->armed = 1;
	if ((flow->fires_at == 0 || flow->fires_at > flow->deadline) &&
	    timer_set(flow, flow->deadline) < 0)
		lw_log(LW_LOG_ERROR, "flow_timeout does not work: timer_settime: %s",
		       strerror(errno));
}

static void guard_end(struct flow *flow)
{
	flow->armed = 0;
	flow->running = flow->lua;
}

/* ---- memory ------------------------------------------------------------------------------- */

/* Small blocks, of which nearly every call makes and drops a few, are kept for the next one
 * of their size. A sanitizer is to see each block by itself. */
#if defined(__SANITIZE_ADDRESS__)
#define SMALL_MOST 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SMALL_MOST 0
#endif
#endif
#ifndef SMALL_MOST
#define SMALL_MOST FLOW_SMALL_MOST
#endif

static size_t class_of(size_t size)
{
	return (size + 15) / 16;
}

static inline void *block_new(struct flow *flow, size_t size)
{
	struct flow_spare **list, *spare;

	if (size > SMALL_MOST)
		return malloc(size);
	list = &flow->spare[class_of(size)];
	spare = *list;
	if (spare == NULL)
		return malloc(class_of(size) * 16);
	*list = spare->next;
	return spare;
}

static inline void block_free(struct flow *flow, void *block, size_t size)
{
	struct flow_spare **list, *spare = block;

	if (size > SMALL_MOST) {
		free(block);
		return;
	}
	list = &flow->spare[class_of(size)];
	spare->next = *list;
	*list = spare;
}

static void *block_resize(struct flow *flow, void *block, size_t old, size_t size)
{
	void *moved;

	if (old > SMALL_MOST && size > SMALL_MOST)
		return realloc(block, size);
	if (old <= SMALL_MOST && size <= SMALL_MOST && class_of(old) == class_of(size))
		return block;
	moved = block_new(flow, size);
	if (moved == NULL)
		return size < old ? block : NULL; /* Lua counts on it that shrinking works */
	memcpy(moved, block, old < size ? old : size);
	block_free(flow, block, old);
	return moved;
}

static void spares_free(struct flow *flow)
{
	for (size_t i = 0; i < LW_COUNT(flow->spare); i++)
		while (flow->spare[i] != NULL) {
			struct flow_spare *spare = flow->spare[i];

			flow->spare[i] = spare->next;
			free(spare);
		}
}

static void *allocate(void *context, void *block, size_t old, size_t size)
{
	struct flow *flow = context;

	if (block == NULL)
		old = 0; /* Lua says there what the block is for */
	if (size == 0) {
		flow->memory -= old;
		if (block != NULL)
			block_free(flow, block, old);
		return NULL;
	}
	if (size > old && flow->memory + (size - old) > flow->memory_most) {
		flow->memory_refused = true;
		return NULL;
	}
	block = block == NULL ? block_new(flow, size) : block_resize(flow, block, old, size);
	if (block != NULL)
		flow->memory += size - old;
	return block;
}

static int on_panic(lua_State *L)
{
	lw_fatal("the flow engine: %s", lua_tostring(L, -1));
}

static void on_warning(void *context LW_UNUSED, const char *text, int more LW_UNUSED)
{
	lw_log(LW_LOG_WARNING, "flow: %s", text);
}

/* ---- the sentence of an error ----------------------------------------------------------------- */

struct candidates {
	lua_State *L;
	int table; /* its keys that are text */
};

/* In the order of the table; the key of the last one is on the stack. */
static const char *next_key(const void *context, size_t i)
{
	const struct candidates *candidates = context;
	lua_State *L = candidates->L;

	if (i == 0)
		lua_pushnil(L);
	while (lua_next(L, candidates->table)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING)
			return lua_tostring(L, -1);
	}
	return NULL;
}

/* The name nearest to `name` among the keys of the table on top, which is popped. */
static void hint_among(lua_State *L, const char *name, char hint[LW_HINT_MAX])
{
	lw_nearest_hint(name, next_key, &(struct candidates){ L, lua_gettop(L) }, hint);
	lua_pop(L, 1);
}

/* What `works` was asked for in vain is `name`, or `name` is what Lua could not tell. */
static bool is_missed_work(struct flow *flow, lua_State *L, char name[64])
{
	const char *missed = lua_rawgeti(L, LUA_REGISTRYINDEX, flow->missed_ref) == LUA_TSTRING
				     ? lua_tostring(L, -1)
				     : "";
	bool is = missed[0] != '\0' && (strcmp(name, missed) == 0 || strcmp(name, "?") == 0);

	if (is)
		snprintf(name, 64, "%s", missed);
	lua_pop(L, 1);
	return is;
}

static void hint_at_name(struct flow *flow, lua_State *L, char name[64], bool is_global,
			 struct lw_buf *out)
{
	bool missed = !is_global && is_missed_work(flow, L, name);
	char hint[LW_HINT_MAX];

	lua_rawgeti(L, LUA_REGISTRYINDEX, flow->works_ref);
	hint_among(L, name, hint);
	if (hint[0] != '\0')
		lw_buf_printf(out, " (no work '%s'; %s", name, hint + strlen(" ("));
	else if (missed)
		lw_buf_printf(out, " (no work '%s')", name);
	if (hint[0] != '\0' || !is_global)
		return;
	lua_pushglobaltable(L);
	hint_among(L, name, hint);
	lw_buf_printf(out, "%s", hint);
}

/* "app.conf:4: attempt to index a nil value (global 'trian')" gets a hint behind it when the
 * name is near that of a work, or of a global. Found when the pass has failed, so that reading
 * what is nil costs nothing. */
static void hint_at_nil(struct flow *flow, lua_State *L, const char *text, struct lw_buf *out)
{
	static const char *const forms[] = { " a nil value (global '", " a nil value (field '" };
	char name[64];

	for (size_t i = 0; i < LW_COUNT(forms); i++) {
		const char *at = strstr(text, forms[i]);
		size_t size = 0;

		if (at != NULL)
			size = strcspn(at += strlen(forms[i]), "'");
		if (size == 0 || size >= sizeof(name) || !lua_checkstack(L, 5))
			continue;
		memcpy(name, at, size);
		name[size] = '\0';
		hint_at_name(flow, L, name, i == 0, out);
	}
}

static int text_of_error(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	return 1;
}

/* The error value is on top of `L`; it is replaced by nothing. */
static void describe_error(struct flow *flow, lua_State *L, int status, char *text, size_t room)
{
	LW_AUTO_BUF hint = { 0 };
	const char *found = NULL;

	flow->running = L;
	if (status == LUA_ERRMEM && flow->memory_refused) {
		snprintf(text, room,
			 "%s: not enough memory: the flow needs more than %zu MiB (flow_memory)",
			 flow->file, flow->memory_most >> 20);
		lua_pop(L, 1);
		return;
	}
	if (lua_type(L, -1) == LUA_TSTRING) {
		found = lua_tostring(L, -1);
		hint_at_nil(flow, L, found, &hint);
	} else if (luaL_getmetafield(L, -1, "__tostring") == LUA_TNIL) {
		lw_buf_printf(&hint, " (the error is a %s value)", luaL_typename(L, -1));
	} else {
		lua_pop(L, 1);
		lua_pushcfunction(L, text_of_error);
		lua_insert(L, -2);
		if (lua_pcall(L, 1, 1, 0) == LUA_OK)
			found = lua_tostring(L, -1);
	}
	snprintf(text, room, "%s%s", found != NULL ? found : "an error without text",
		 lw_buf_text(&hint));
	lua_pop(L, 1);
}

/* ---- loading -------------------------------------------------------------------------------------- */

int flow_read_file(const char *path, struct lw_buf *out, struct lw_err *err)
{
	LW_AUTO(lw_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat about;
	ssize_t n;

	if (fd < 0)
		return lw_err_sys(err, -errno, "cannot open '%s'", path);
	if (fstat(fd, &about) < 0)
		return lw_err_sys(err, -errno, "cannot read '%s'", path);
	if (!S_ISREG(about.st_mode))
		return lw_err_set(err, -EINVAL, "cannot read '%s': not a regular file", path);
	do {
		if (out->size > FILE_MAX)
			return lw_err_set(err, -EFBIG, "cannot read '%s': more than %u MiB", path,
					  FILE_MAX >> 20);
		lw_buf_grow(out, 65536);
		n = read(fd, out->data + out->size, 65536);
		if (n > 0)
			out->size += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return lw_err_sys(err, -errno, "cannot read '%s'", path);
	return 0;
}

static int settle_path(const char *path, struct flow *flow, struct config *config,
		       struct lw_err *err)
{
	LW_AUTO(lw_free) char *for_folder = lw_strdup(path);
	LW_AUTO(lw_free) char *for_file = lw_strdup(path);
	char *folder = realpath(dirname(for_folder), NULL);

	if (folder == NULL)
		return lw_err_sys(err, -errno, "cannot open '%s'", path);
	flow->folder = folder;
	flow->file = lw_strdup(basename(for_file));
	config->app.folder = lw_strdup(folder);
	config->app.path =
		lw_format("%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", flow->file);
	return 0;
}

/* Without `flow` the works would be services: not so when a global function of the file is
 * called nearly like it. */
static void refuse_misspelt_flow(lua_State *L)
{
	lua_Debug at;

	lua_pushglobaltable(L);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1) ||
		    lua_iscfunction(L, -1))
			continue;
		if (strcasecmp(lua_tostring(L, -2), "flow") != 0 &&
		    lw_name_distance(lua_tostring(L, -2), "flow") > 2)
			continue;
		lua_pushvalue(L, -1);
		lua_getinfo(L, ">S", &at);
		luaL_error(L,
			   "%s:%d: there is a function '%s' but no 'flow' (did you mean 'flow'? "
			   "a function for something else is to be local)",
			   flow_of(L)->file, at.linedefined, lua_tostring(L, -2));
	}
	lua_pop(L, 1);
}

/* What Lua itself seeds with, the second and an address, may be the same in two supervisors. */
static void seed_random(lua_State *L, const struct flow *flow)
{
	lua_Integer seed[2] = { 0 };

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		luaL_error(L, "no random numbers: %s", strerror(errno));
	lua_rawgeti(L, LUA_REGISTRYINDEX, flow->seed_ref);
	lua_pushinteger(L, seed[0]);
	lua_pushinteger(L, seed[1]);
	lua_call(L, 2, 0);
}

struct chunk {
	struct lw_slice text;
	const char *name;
};

/* Protected: opens the sandbox and runs the top level in it. */
static int run_top_level(lua_State *L)
{
	struct flow *flow = flow_of(L);
	const struct chunk *chunk = lua_touserdata(L, 1);
	lua_State *thread;

	flow_env_open(L);
	flow_value_open(L);
	flow_work_open(L);
	flow_lw_open(L);
	thread = lua_newthread(L);
	flow->thread = thread;
	guard_begin(flow, thread);
	if (luaL_loadbufferx(thread, (const char *)chunk->text.data, chunk->text.size, chunk->name,
			     "t") != LUA_OK ||
	    lua_pcall(thread, 0, 0, 0) != LUA_OK) {
		lua_xmove(thread, L, 1);
		flow_check_ending(L);
		lua_error(L);
	}
	flow_check_ending(L);
	seed_random(L, flow);
	lua_getglobal(L, "flow");
	if (lua_isnil(L, -1))
		refuse_misspelt_flow(L);
	if (lua_isnil(L, -1))
		return 0;
	if (!lua_isfunction(L, -1))
		luaL_error(L, "%s: flow must be a function, not a %s", flow->file,
			   luaL_typename(L, -1));
	flow->flow_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static int check_whole(struct flow *flow, const struct config *config, struct lw_err *err)
{
	if (flow->open_work != NULL)
		return lw_err_set(err, -EINVAL,
				  "%s:%d: work '%s' has no settings (write work \"%s\" { ... })",
				  flow->file, flow->open_line, flow->open_work, flow->open_work);
	if (flow->flow_ref == LUA_NOREF && config->count == 0)
		return lw_err_set(err, -EINVAL,
				  "%s: nothing to run: neither a function flow nor a work",
				  flow->file);
	return 0;
}

static int load(struct flow *flow, struct config *config, struct lw_err *err)
{
	LW_AUTO_BUF text = { 0 };
	LW_AUTO(lw_free) char *name = lw_format("@%s", flow->file);
	struct flow_result ended = { .verdict = FLOW_ENDED };
	struct chunk chunk;
	char sentence[sizeof(err->text)] = "";
	int r = flow_read_file(config->app.path, &text, err);

	if (r < 0)
		return r;
	chunk = (struct chunk){ lw_buf_slice(&text), name };
	flow->loading = true;
	flow->config = config;
	flow->result = &ended;
	lua_pushcfunction(flow->lua, run_top_level);
	lua_pushlightuserdata(flow->lua, &chunk);
	r = lua_pcall(flow->lua, 1, 0, 0);
	if (r != LUA_OK && !flow->ending) /* guarded: its __tostring may not end */
		describe_error(flow, flow->lua, r, sentence, sizeof(sentence));
	guard_end(flow);
	if (flow->ending)
		r = lw_err_set(err, -EINVAL, "%s", ended.message);
	else if (r != LUA_OK)
		r = lw_err_set(err, -EINVAL, "%s", sentence);
	else
		r = check_whole(flow, config, err);
	lua_settop(flow->lua, 0);
	flow->loading = false;
	flow->ending = false;
	flow->config = NULL;
	flow->result = NULL;
	flow->thread = NULL;
	return r;
}

void flow_set_bounds(int64_t longest, int64_t memory)
{
	bounds.longest = longest;
	bounds.memory = memory;
}

static void set_bounds(struct flow *flow, int64_t longest, int64_t memory)
{
	flow->timeout = longest < bounds.longest ? longest : bounds.longest;
	flow->memory_most = (size_t)(memory < bounds.memory ? memory : bounds.memory);
}

static struct flow *flow_alloc(void)
{
	struct flow *flow = LW_NEW(struct flow);

	set_bounds(flow, LOAD_TIMEOUT, LOAD_MEMORY);
	flow->flow_ref = LUA_NOREF;
	flow->lua = lua_newstate(allocate, flow);
	if (flow->lua == NULL)
		lw_fatal("out of memory");
	lua_atpanic(flow->lua, on_panic);
	lua_setwarnf(flow->lua, on_warning, NULL);
	*(struct flow **)lua_getextraspace(flow->lua) = flow;
	return flow;
}

int flow_load(const char *path, struct config **ret_config, struct flow **ret_flow,
	      struct lw_err *err)
{
	LW_AUTO(config_free) struct config *config = config_new();
	LW_AUTO(flow_free) struct flow *flow = flow_alloc();
	int r = settle_path(path, flow, config, err);

	if (r >= 0)
		r = timer_open(flow, err);
	if (r >= 0)
		r = load(flow, config, err);
	if (r < 0)
		return r;
	if (config->app.timezone != NULL) { /* of os.date, of schedules and of the works */
		setenv("TZ", config->app.timezone, 1);
		tzset();
	}
	config->has_flow = flow->flow_ref != LUA_NOREF;
	set_bounds(flow, config->app.flow_timeout, config->app.flow_memory);
	*ret_config = LW_TAKE(config);
	*ret_flow = LW_TAKE(flow);
	return 0;
}

void flow_free(struct flow *flow)
{
	if (flow == NULL)
		return;
	if (guarded == flow)
		guarded = NULL;
	if (flow->has_timer)
		timer_delete(flow->timer);
	lua_close(flow->lua);
	spares_free(flow);
	lw_buf_done(&flow->call);
	lw_free(flow->folder);
	lw_free(flow->file);
	lw_free(flow->open_work);
	lw_free(flow);
}

void flow_print_to(struct flow *flow, flow_print_fn *print, void *context)
{
	flow->print = print;
	flow->print_context = context;
}

void flow_print_as(struct flow *flow, const struct flow *other)
{
	flow_print_to(flow, other->print, other->print_context);
}

/* ---- a pass ---------------------------------------------------------------------------------------- */

/* Protected. The pass has its own Lua thread, which is dropped with everything on it. */
static int run_pass(lua_State *L)
{
	struct flow *flow = flow_of(L);
	lua_State *thread = lua_newthread(L);
	char sentence[sizeof(flow->result->message)] = "";
	int status;

	flow->thread = thread;
	flow->running = thread;
	lua_pushnil(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, flow->missed_ref);
	lua_rawgeti(thread, LUA_REGISTRYINDEX, flow->flow_ref);
	status = lua_pcall(thread, 0, 0, 0); /* closes `<close>` variables */
	if (status == LUA_OK && flow->interrupted == 0)
		return 0;
	if (flow->ending || flow->interrupted) /* a deadline that fell into the last instruction */
		flow_check_ending(L);
	flow->result->run = flow_error_run(thread, -1);
	describe_error(flow, thread, status, sentence, sizeof(sentence));
	flow_check_ending(L); /* its __tostring may end the pass, or be interrupted */
	flow->result->verdict = FLOW_FAILS;
	memcpy(flow->result->message, sentence, sizeof(sentence));
	return 0;
}

static int64_t microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * CONFIG_SECOND + now.tv_nsec / 1000;
}

void flow_rest(struct flow *flow)
{
	struct itimerspec never = { 0 };

	if (flow == NULL || flow->fires_at == 0 || flow->armed)
		return;
	flow->fires_at = 0;
	if (flow->has_timer)
		(void)timer_settime(flow->timer, 0, &never, NULL);
}

void flow_pass(struct flow *flow, struct app *app, struct flow_result *ret_result)
{
	int64_t began = microseconds(), took;
	char sentence[sizeof(ret_result->message)] = "";
	int status;

	*ret_result = (struct flow_result){ .verdict = FLOW_ENDED };
	if (flow->flow_ref == LUA_NOREF)
		return;
	flow->app = app;
	flow->result = ret_result;
	flow->passes++;
	guard_begin(flow, flow->lua);
	lua_pushcfunction(flow->lua, run_pass);
	status = lua_pcall(flow->lua, 0, 0, 0);
	if (status != LUA_OK && !flow->ending) /* guarded, as above */
		describe_error(flow, flow->lua, status, sentence, sizeof(sentence));
	guard_end(flow);
	if (status != LUA_OK && !flow->ending) {
		ret_result->verdict = FLOW_FAILS;
		memcpy(ret_result->message, sentence, sizeof(sentence));
	}
	lua_settop(flow->lua, 0);
	flow->ending = false;
	flow->app = NULL;
	flow->result = NULL;
	flow->thread = NULL;
	lw_buf_shrink(&flow->call, CALL_ROOM_KEPT);
	took = microseconds() - began;
	if (took > SLOW_PASS)
		lw_log(LW_LOG_WARNING, "pass=%llu took=%lldms: a pass should take less than 100 ms",
		       (unsigned long long)flow->passes, (long long)(took / 1000));
}
