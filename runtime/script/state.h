/* SPDX-License-Identifier: MIT
 *
 * Lua states: making them, what user code finds in them, and the one guarded door into them. Two kinds: a user state
 * (one per file version and worker; user code, sandboxed, interpreted, under the watchdog) and a trusted state (our own
 * library only: command line, schema, admin interface). A state belongs to one thread at a time. */
#pragma once

#include "core/error.h"
#include "core/list.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/pace.h"
#include "dial/dial.h"
#include "net/pipe.h"
#include "tls/context_cache.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct script_shared;
struct script_task;
struct script_version;
struct worker;

/* Where a state runs: what its waiting calls use. A worker has one, and the control thread. NULL in a state until it is
 * attached: calls that wait raise then ("can't wait while a file is being loaded"). */
struct script_place {
  struct loop *loop;
  struct dialer *dialer;
  struct flow_shared *pipes;
  const struct log *log;
  struct worker *worker;        /* NULL on the control thread */
  unsigned number, count;       /* moongate.worker; 0 of 0 on the control thread */
  clock_ms ran_in;              /* the beginning of the round in which a task ran last */
  struct list_node states;      /* that run here */
  struct list_node lingering;   /* sockets that Lua has let go of and that still have to end well (socket_linger.c) */
  struct tls_context_cache tls; /* what starttls has asked for */
};

/* Empties the lists and the cache; whoever fills in a place calls it. */
void script_place_init(struct script_place *place);

/* Cancels all tasks of its states without telling anybody, takes it away from them, and closes what lingers. Before the
 * loop goes, outside of tasks and their callbacks. */
void script_place_deinit(struct script_place *place);

enum { SCRIPT_MAX_MODULE = 16 * 1024 * 1024 };

/* Where the user's modules are read from while a file is loaded. `text` stays the reader's and valid until the state's
 * loading ends. 0, or a negative errno (-ENOENT, -EISDIR, -ENOTSUP: there is no such module). */
struct script_reader {
  int (*read)(struct script_reader *reader, const char *path, const char **text, size_t *size);
};

struct script_options {
  bool trusted;        /* everything of Lua, the whole library, no watchdog */
  bool jit;            /* compiled, and so beyond the watchdog's reach */
  uint64_t time_ms;    /* limits.script_time; 0: none */
  uint64_t memory;     /* limits.script_memory in bytes; 0: none */
  const char *library; /* a directory that the library is read from instead of the binary (MOONGATE_LUA); NULL mostly */
  const char *module_path; /* beside routes/: where `require` finds the user's modules; NULL: none */
  const struct log *log;
  struct script_shared *shared; /* a reference is taken; NULL: it makes its own when it needs one */
  unsigned timers;              /* limits.timers, of one state; 0: no limit */
  unsigned open_files;          /* limits.open_files, of one state; 0: no limit */
  unsigned log_lines;           /* limits.log_lines, a second; 0: no limit */
};

/* watchdog.c */
struct script_watch {
  uint64_t look_ns; /* of CLOCK_MONOTONIC_COARSE: when it is looked again; 0: not running, or nobody watches */
  uint64_t began_ns;
  uint64_t seen_ns;              /* … when it was looked last */
  uint64_t thread_ns;            /* what the thread had run at half of the time; 0: not looked yet */
  int interval;                  /* instructions between two looks */
  unsigned near;                 /* how many looks more there are at each instruction */
  unsigned forgiven;             /* gaps of this stretch that the thread did not have */
  unsigned depth;                /* stretches within stretches count as one */
  uint64_t bounded_ns, bound_ms; /* script_watch_bound(): since when, and how long. 0: none */
  bool stopping;                 /* past the deadline: raising until the coroutine is dead */
  bool is_low;                   /* little is left of the C stack: raising until there is more */
  bool refusing;                 /* the allocator refuses, which raises what no error handler sees */
  char *report;                  /* what was stopped last, with a traceback; NULL mostly */
};

/* Timers that are made while a file is loaded wait for it to go live. */
enum timers_phase { TIMERS_LOADING, TIMERS_RUNNING, TIMERS_ENDED };

/* What a state may write to the log: a burst, refilled over time (bind_moongate.c). */
struct script_log_budget {
  clock_ms filled; /* when it was refilled last; 0: never */
  double lines;
  uint64_t suppressed;
};

struct script_state {
  lua_State *L; /* the main coroutine; user code runs in coroutines of its own (scheduler.h) or through script_call() */
  struct script_options options;
  struct script_place *place;          /* NULL while loading */
  struct list_node node;               /* in place->states */
  struct script_version *version;      /* whose state it is, not owned; NULL for trusted ones and once it is retired */
  struct script_version *retired_from; /* … whose state it was then; one reference, let go of by … */
  void (*on_gone)(struct script_version *retired_from);
  unsigned references;         /* tasks that run, and who made it */
  struct script_task *running; /* the task that is being resumed now; NULL */
  struct script_task *tasks;   /* all that have begun and are not freed (scheduler.c) */
  struct list_node sockets;    /* those that Lua has, or has forgotten (bind_socket.c) */
  struct list_node timers;     /* bind_timer.c */
  unsigned timer_count;
  enum timers_phase timers_phase;
  struct script_log_budget log_budget;
  struct log_limit failures; /* of functions that work for no connection */
  struct log_limit unopened; /* lines about what it could not open (run_report.c) */
  uint64_t vain_until_ns;    /* script_collect_for() has been in vain: not again until then; 0 */
  size_t memory_used;
  size_t code_used;             /* … of which by the machine code of regular expressions */
  size_t memory_relief;         /* collect when it gets here, before the limit is reached */
  bool memory_was_tight;        /* that was put off, perhaps by what a task held that is not freed yet */
  bool memory_refused;          /* since somebody asked last */
  unsigned lifted;              /* script_lift_limit() */
  struct script_reader *reader; /* NULL: straight from the disk. Whoever loads sets it, for as long as it loads */
  struct pace *pace;            /* of the thread that loads, likewise; NULL: it does not give way */
  lua_Alloc allocate;           /* LuaJIT's own, which ours counts for */
  void *allocator;
  char *interruption;           /* task_interrupt(): what is about to be raised; NULL mostly */
  int on_error;                 /* in the registry: the function that adds the traceback */
  const void *socket_metatable; /* to know sockets by; NULL before there is one (bind_socket.c) */
  struct script_watch watch;
};

/* NULL: see `error`. One reference. Strings in `options` are copied. */
struct script_state *script_state_new(const struct script_options *options, struct error *error);

/* Closes it when the last reference goes; each task holds one. On its thread. */
void script_state_unref(struct script_state *state);

/* Around what the runtime itself puts into the registry of `L`: limits.script_memory refuses nothing meanwhile, because
 * a table of LuaJIT's whose growth was refused halfway has lost keys, and a metatable that is half filled stays so.
 * Only a few values at a time. */
void script_lift_limit(lua_State *L);
void script_restore_limit(lua_State *L);

/* A full collection, for what has none of its own in view, and whether has_room() then says so. It costs as much as
 * there is in the state: after one in vain there is none, and no room, for four times as long as that took. */
bool script_collect_for(lua_State *L, bool (*has_room)(lua_State *L));

/* luaL_ref() in the registry, with the limit lifted. */
int script_ref(lua_State *L);

/* lua_pushcfunction() with the limit lifted: for what has to be freed before anything raises. */
void script_push_cleaner(lua_State *L, lua_CFunction function);

/* Pushes the table that stands under the address `key` in the registry; makes it when it is not there. */
void script_push_kept_table(lua_State *L, const void *key);

/* What it shares with others. NULL without memory. */
struct script_shared *script_state_shared(struct script_state *state);

/* The state of `L`, from any of its coroutines. */
struct script_state *script_state_of(lua_State *L);

/* The same for what works in any Lua: NULL where the state is none of ours. */
struct script_state *script_state_if_any(lua_State *L);

/* The guarded door for calls that may not wait: lua_pcall under the watchdog, with a traceback. Takes the function and
 * `arguments` off `L`, leaves `results` or the message. 0, or -EINVAL (raised), -ETIME (stopped by the watchdog),
 * -ENOMEM; then `error` (may be NULL) has the message. */
int script_call(struct script_state *state, lua_State *L, int arguments, int results, struct error *error);

/* Loads a chunk of text (never bytecode) on the stack of `L`, named as Lua names files ("@routes/site.lua"). 0 or
 * -EINVAL with the syntax error in `error` (place "routes/site.lua:3"). */
int script_load_text(struct script_state *state, lua_State *L, const char *text, size_t size, const char *chunk_name,
                     struct error *error);

/* As script_call(), for a C function with a light userdata: what the C side does in a state outside of a coroutine,
 * where running out of memory would otherwise end the process. Results that it leaves are lost; lua_xmove() takes them
 * elsewhere. 0 or -ENOMEM (-EINVAL: it raised). */
int script_protect(struct script_state *state, lua_CFunction function, void *context);

/* For the watchdog's users: begin and end of a stretch of uninterrupted running. script_watch_end() tells whether it
 * was stopped. */
void script_watch_begin(struct script_state *state);
bool script_watch_end(struct script_state *state);

/* For C functions whose work is not bounded by the size of what they were given: asked each few thousand steps, as the
 * watchdog's hook is between instructions. Once it is true, the function lets go of what it holds and returns
 * script_watch_stop(), which raises what no pcall keeps. */
bool script_watch_is_over(lua_State *L);
int script_watch_stop(lua_State *L);

/* What the hook does: for C functions that are called often between two instructions, or were long. May raise. */
void script_watch_check(lua_State *L);

/* For a trusted state that runs what is not its own (specs), and is interpreted: from now on, or from the beginning of
 * the stretch that runs then, it may run for so long; then an error is raised that may be caught. 0: no longer. */
void script_watch_bound(struct script_state *state, uint64_t ms);

/* True once the present stretch has lasted for a while: time to let the others have a turn, where that is possible. */
bool script_watch_is_late(const struct script_state *state);

/* What was stopped last, as people read it: the limit, and the traceback of the place. Never NULL. Valid until the next
 * stop. */
const char *script_watch_report(const struct script_state *state);

/* From now on it runs at `place`, on that thread: what waits works. */
void script_state_attach(struct script_state *state, struct script_place *place);

/* Cancels all tasks of the state at once, without telling anybody, and frees them. Outside of tasks and their
 * callbacks. */
void script_state_stop(struct script_state *state);

/* Whether what runs on `L` stands beyond the last place of Lua's stack that luaL_traceback() and lua_getinfo() can
 * name: LuaJIT lets handlers of an overflow go there, and keeps the places of functions in 16 bits. (state.c) */
bool script_stack_is_full(lua_State *L);

/* After something ran out of memory: collects, so that the state's next task finds some. */
void script_state_relieve(struct script_state *state);
