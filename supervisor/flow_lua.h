/* flow_lua.h - what the parts of the flow engine share; nobody else includes it.
 *
 *     flow_lua.c        load, pass, ending and interrupting it, memory
 *     flow_lua_env.c    the sandbox: base functions, coroutines, require, what was left out
 *     flow_lua_value.c  values: Lua to msgpack and back, lw.map, lw.list, lw.bytes, lw.null
 *     flow_lua_work.c   works, runs, state
 *     flow_lua_lw.c     app, work, works and lw
 *     config_lua.c      option tables
 *
 * Everything here may raise a Lua error unless it takes a struct lw_err.
 */
#ifndef LW_SUPERVISOR_FLOW_LUA_H
#define LW_SUPERVISOR_FLOW_LUA_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <time.h>

#include "config.h"
#include "flow.h"
#include "lw_value.h"

struct work;

/* Every full userdata in the state is one of ours and begins with its kind. */
enum flow_kind {
	KIND_WORK,
	KIND_RUN,
	KIND_RUN_ERROR,
	KIND_STATE,
	KIND_VALUE,
	KIND_BYTES,
	KIND_NULL,
	KIND_LW,
	KIND_WORKS,
	KINDS_N
};

#define FLOW_SMALL_MOST 128 /* bytes */
struct flow_spare {
	struct flow_spare *next;
};

struct flow {
	lua_State *lua;
	char *folder; /* of app.conf, absolute */
	char *file;   /* its last name, as errors call it */
	size_t memory, memory_most;
	bool memory_refused;
	struct flow_spare *spare[FLOW_SMALL_MOST / 16 + 1]; /* free blocks by size */

	bool loading;          /* the top level runs */
	struct config *config; /* being filled, while loading */
	bool app_seen;         /* app{} was there */
	char *open_work;       /* work "x" without its settings so far */
	int open_line;

	struct app *app; /* during a pass */
	uint64_t passes;
	lua_State *thread; /* of the pass */
	bool ending;       /* the pass is over; nothing may go on */
	struct flow_result *result;

	/* shared with the timer's handler */
	lua_State *volatile running; /* the Lua thread that has the processor */
	volatile sig_atomic_t armed;
	volatile sig_atomic_t interrupted;
	volatile sig_atomic_t ticks; /* since flow_timeout */
	timer_t timer;
	bool has_timer;
	volatile int64_t fires_at; /* the timer, 0: it does not; monotonic microseconds */
	volatile int64_t deadline; /* of the pass in hand */
	int64_t timeout;           /* microseconds */

	struct lw_buf call;         /* the call being made; reused */
	bool canonical;             /* it goes to work_call() in canonical form */
	int metatables[KINDS_N];    /* in the registry */
	int flow_ref;               /* the function */
	int works_ref, modules_ref; /* tables: name -> work; name -> module */
	int null_ref;
	int missed_ref;              /* the name last asked of `works` that is no work, or nil */
	int seed_ref;                /* math.randomseed */
	int run_fields, work_fields; /* tables: name -> which */

	flow_print_fn *print;
	void *print_context;
};

static inline struct flow *flow_of(lua_State *L)
{
	return *(struct flow **)lua_getextraspace(L);
}

/* ---- flow_lua.c ------------------------------------------------------------------ */

/* Ends the pass: whatever stands on the stack unwinds, nobody sees it. Does not return.
 * A pass that is ending already keeps its verdict. */
LW_NORETURN void flow_end(lua_State *L, enum flow_verdict verdict, const char *format, ...)
	LW_PRINTF(3, 4);
/* Raises the end again when the pass is ending or was interrupted. After every call that
 * may have swallowed an error. */
void flow_check_ending(lua_State *L);
/* Raises unless a pass runs, and the end again when it is ending. */
struct flow *flow_in_pass(lua_State *L, const char *what);
/* An error that is thrown where the code that called us stands. */
LW_NORETURN void flow_raise(lua_State *L, const char *format, ...) LW_PRINTF(2, 3);
/* Reads a whole regular file of at most 16 MiB. */
LW_MUST_USE int flow_read_file(const char *path, struct lw_buf *out, struct lw_err *err);

/* A new userdata of this kind with its metatable, on the stack. */
void *flow_new(lua_State *L, enum flow_kind kind, size_t size, int user_values);
/* The userdata at `index` when it is of this kind, else NULL. */
static inline void *flow_is(lua_State *L, int index, enum flow_kind kind)
{
	enum flow_kind *object = lua_touserdata(L, index); /* nobody has a light one */

	return object != NULL && *object == kind ? object : NULL;
}
void *flow_check(lua_State *L, int index, enum flow_kind kind, const char *what);
/* Makes the metatable of a kind from functions; it is left on the stack. */
void flow_metatable(lua_State *L, enum flow_kind kind, const char *name, const luaL_Reg *functions);

/* ---- flow_lua_work.c -------------------------------------------------------------- */

/* The id of the run whose error that is; 0: it is something else. */
uint64_t flow_error_run(lua_State *L, int index);

/* ---- flow_lua_env.c --------------------------------------------------------------- */

void flow_env_open(lua_State *L);

/* ---- flow_lua_value.c -------------------------------------------------------------- */

void flow_value_open(lua_State *L);
void flow_push_value(lua_State *L, struct lw_slice value);
int flow_lw_map(lua_State *L);
int flow_lw_list(lua_State *L);
int flow_lw_bytes(lua_State *L);

/* The value at `index`, appended. `subject` ("argument 2") and `role` ("an argument") are for
 * the error. */
LW_MUST_USE int flow_encode(lua_State *L, int index, struct lw_buf *out, const char *subject,
			    const char *role, struct lw_err *err);
/* Arguments `first` to `last` of a call: the positional list, then the named map; they end at
 * the top of the stack, on which something may be left. 1: what was written has canonical form. */
LW_MUST_USE int flow_encode_call(lua_State *L, int first, int last, struct lw_buf *out,
				 struct lw_err *err);
/* The option args: list part positional, the rest named. */
LW_MUST_USE int flow_encode_args(lua_State *L, int table, struct lw_buf *out, struct lw_err *err);

/* ---- flow_lua_work.c ---------------------------------------------------------------- */

void flow_work_open(lua_State *L);
/* The work of this name on the stack: that in works[name], or a new one that is put there. */
void flow_push_work(lua_State *L, const char *name);
/* lw.state and w.state; `work` is the stack index of a work, 0: the app's. */
void flow_push_state(lua_State *L, int work);
int flow_pairs_of_table(lua_State *L, int table); /* read-only iteration; results of __pairs */

/* ---- flow_lua_lw.c ------------------------------------------------------------------- */

void flow_lw_open(lua_State *L);

/* ---- config_lua.c -------------------------------------------------------------------- */

/* The table at `table` into settings that are at their defaults. These raise nothing. */
LW_MUST_USE int config_read_app(lua_State *L, int table, struct app_config *app,
				struct lw_err *err);
LW_MUST_USE int config_read_work(lua_State *L, int table, const char *folder, bool look_up,
				 struct work_config *work, struct lw_err *err);

#endif
