/* SPDX-License-Identifier: MIT
 *
 * A worker's Lua side: the hooks through which the corridor reaches the functions of routes, and what runs for a
 * connection. Belongs to the worker's thread; making and freeing happen before it starts and after it has ended, or on
 * it. */
#pragma once

#include "connection/asker.h"
#include "connection/worker.h"
#include "core/list.h"
#include "script/scheduler.h"
#include "script/version.h"

struct exchange;
struct script_socket;

struct script_worker {
  struct script_place place;
  struct worker *worker;
  struct script_use *uses; /* whose states run here */
  size_t use_count;
};

/* A version, as long as tables that the worker may still use have it. */
struct script_use {
  struct script_version *version; /* one reference */
  unsigned tables;
  bool wanted; /* by the table that goes live */
};

/* What runs for one asker now: a function of its route, or its exchange's handler. asker->script. Tasks that it spawns
 * are of the run as well, and end with it. */
struct script_run {
  struct asker *asker;
  struct exchange *exchange; /* the asker's; NULL: it has none, and no connection */
  struct script_worker *worker;
  struct script_state *state;           /* not counted: the tasks do */
  const struct script_version *version; /* its own; to tell it by, it may be gone */
  struct script_task *task;             /* the handler's or function's own; NULL once it is over */
  struct script_socket *socket;         /* the client's; NULL for functions, and once the state has closed */
  struct list_node tasks;               /* by family */
  struct list_node sockets;             /* that it has connected, by mine; closed when it ends */
  struct list_node opened;              /* … and those that are only open (luasocket/bind_open.c) */
  bool is_handler;
  bool holds; /* the client's socket in Lua, whether the handler does or not: collected it would be closed, which the
                 client would take for the end */
  int slot;   /* of its function */
  clock_ms since;     /* it was begun */
  char *forward_host; /* context:forward has been called: where to */
  int forward_port;
  struct deferred freeing;
};

/* NULL is none; the route whose function runs, and the exchange that it runs for. */
static inline const struct route *script_run_route(const struct script_run *run) {
  return run != NULL ? run->asker->ops->route(run->asker) : NULL;
}
static inline struct exchange *script_run_exchange(const struct script_run *run) {
  return run != NULL ? run->exchange : NULL;
}

/* What worker_init() is handed. */
extern const struct script_hooks script_worker_hooks;

/* Makes the Lua side of an initialised worker, and sets worker->script. 0 or -ENOMEM. */
int script_worker_new(struct worker *worker, struct error *error);

/* Cancels what runs, without telling the connections, and retires all versions; sets worker->script to NULL. Before
 * worker_deinit(). NULL is nothing. */
void script_worker_free(struct script_worker *script);

/* The hooks of the same names: versions run here from the first table that has them to the last. Then they retire:
 * their states go with their last tasks. */
int script_worker_adopt(struct worker *worker, const struct route_table *table);
void script_worker_release(struct worker *worker, const struct route_table *table);
void script_worker_go_live(struct worker *worker, const struct route_table *table);

/* Has the worker close the connections whose handler belongs to one of these old versions; reason "superseded". From
 * another thread: by a message, which takes references meanwhile. */
void script_worker_supersede_soon(struct worker *worker, struct script_version *const *versions, size_t count);

/* What moongate.on_reload's functions are told: base names of files. */
struct reload_news {
  uint64_t generation;
  const char *const *changed;
  size_t changed_count;
  const char *const *removed;
  size_t removed_count;
};

/* A new table is live: calls, in this round's deferred work, what was registered with moongate.on_reload in the states
 * of the versions that run here. `news` is needed during the call only. On the worker's thread, outside of tasks and
 * their callbacks. (bind_reload.c) */
void script_worker_announce(struct worker *worker, const struct reload_news *news);

/* Pushes a fresh context table for the exchange (bind_context.c). Raises without memory. */
void script_push_context(lua_State *L, const struct exchange *exchange);

/* Writes where the route's function begins, "routes/site.lua:12": what was raised in a tail call has no line of its
 * own. False, and "": it is written in C. (run_report.c) */
bool script_find_definition(const struct script_run *run, const struct route *route, char *text, size_t size);

/* A function of the connection's route has failed, or (what = "a spawned function failed") one that it spawned:
 * counted, and logged with the message on top of `coroutine`. Outside of Lua. (run_report.c) */
void script_report_failure(const struct script_run *run, const char *what, lua_State *coroutine);

/* The same for a function that works for no connection, such as a timer's; `coroutine` NULL: there was no memory. At
 * most once a second for each state is logged. (run_report.c) */
void script_report_unconnected(struct script_state *state, const char *what, lua_State *coroutine);

/* A script wanted one more file or connection than there are descriptors, or than limits.open_files (`of_limit`) lets
 * it have: counted, and logged with the route, the file and the line in `L` (NULL: it waits), at most once a second for
 * each state. (run_report.c) */
void script_report_unopened(struct script_state *state, const struct script_run *run, lua_State *L, const char *what,
                            bool of_limit);

/* Whether a descriptor is free of those that scripts may have, if need be once Lua has closed those that it has
 * forgotten. (run_report.c) */
bool script_has_descriptor(lua_State *L);

/* Only counts it. */
void script_count_unconnected(const struct script_state *state);

/* The log that is the state's; may be NULL. */
const struct log *script_state_log(const struct script_state *state);

/* The base name of the state's route file, for the log; NULL when it has none. */
const char *script_state_file(const struct script_state *state);

/* What its Lua states hold, in bytes; `*states`: how many there are. On its thread. */
size_t script_worker_memory(const struct worker *worker, size_t *states);

/* Around the running of a task: writes down what its worker is in (worker_inside). Not nested. */
void script_worker_enter(const struct script_task *task);
void script_worker_leave(const struct script_state *state);

/* Whether the handler could hand its client on as it is. */
bool script_run_has_client(const struct script_run *run);
