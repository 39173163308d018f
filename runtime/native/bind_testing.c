/* SPDX-License-Identifier: MIT
 *
 * native.testing(): what moongate.testing and `moongate test` need from C. Only trusted states have it. */
#include "core/clock.h"
#include "loading/load.h"
#include "native/bind_native.h"
#include "native/host.h"
#include "patterns/patterns.h"
#include "script/arguments.h"
#include "script/scheduler.h"

#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_BOUND = 365 * 86400 };

static const struct testing_ops *ops_of(lua_State *L) { return native_of(L)->testing; }

static unsigned check_id(lua_State *L) { return (unsigned)luaL_checknumber(L, 1); }

static uint16_t port_field(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  double port = luaL_optnumber(L, -1, 0);
  lua_pop(L, 1);
  if (!(port >= 0 && port <= 65535))
    luaL_error(L, "%s: expected a port, got %f", name, port);
  return (uint16_t)port;
}

/* The value at `name` of the table at 1, which stays there for as long as it is used. */
static void take_field(lua_State *L, const char *name, struct script_given *given) {
  given->state = script_state_of(L);
  luaL_checkstack(given->state->L, 8, "not enough memory");
  lua_getfield(L, 1, name);
  given->reference = luaL_ref(L, LUA_REGISTRYINDEX);
}

static const char *string_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name); /* stays on the stack, so that the string stays */
  return lua_tostring(L, -1);
}

/* What stands in the table at 1: {config =, routes = (a table) or directory =, path =, text =}. */
struct given {
  struct script_given config, routes;
  struct testing_settings settings;
};

static void take_given(lua_State *L, struct given *given) {
  luaL_checktype(L, 1, LUA_TTABLE);
  *given = (struct given){.config = {.path = "config"}};
  given->settings = (struct testing_settings){&given->config, &given->routes, string_field(L, "directory")};
  if (given->settings.directory != NULL)
    given->settings.routes = NULL;
  const char *path = string_field(L, "path");
  given->routes.path = path != NULL ? path : "routes";
  given->routes.text = string_field(L, "text");
  take_field(L, "config", &given->config);
  take_field(L, "routes", &given->routes);
}

static int return_given(lua_State *L, struct given *given, struct value *value) {
  luaL_unref(L, LUA_REGISTRYINDEX, given->config.reference);
  luaL_unref(L, LUA_REGISTRYINDEX, given->routes.reference);
  return native_return(L, value);
}

static int testing_start(lua_State *L) {
  struct given given;
  take_given(L, &given);
  return return_given(L, &given, ops_of(L)->start(native_of(L)->context, &given.settings));
}

static int testing_check(lua_State *L) {
  struct given given;
  take_given(L, &given);
  return return_given(L, &given, ops_of(L)->check(native_of(L)->context, &given.settings));
}

/* The table also has port =, domain =, client_ip =, tls =, tls_version =. */
static int testing_match(lua_State *L) {
  struct given given;
  luaL_checktype(L, 1, LUA_TTABLE);
  struct testing_question question = {
      .port = port_field(L, 1, "port"),
      .domain = string_field(L, "domain"),
      .client_ip = string_field(L, "client_ip"),
      .tls_version = string_field(L, "tls_version"),
  };
  lua_getfield(L, 1, "tls");
  question.is_tls = lua_toboolean(L, -1);
  take_given(L, &given);
  return return_given(L, &given, ops_of(L)->match(native_of(L)->context, &given.settings, &question));
}

static int testing_stop(lua_State *L) {
  unsigned id = check_id(L);
  double seconds = luaL_optnumber(L, 2, 0);
  struct native_call *call = native_call_begin(L);
  ops_of(L)->stop(native_of(L)->context, id, seconds > 0 ? (uint64_t)(seconds * 1000) : 0, call);
  return native_call_finish(L, call);
}

static int testing_snapshot(lua_State *L) {
  unsigned id = check_id(L);
  struct native_call *call = native_call_begin(L);
  ops_of(L)->snapshot(native_of(L)->context, id, call);
  return native_call_finish(L, call);
}

static int testing_status(lua_State *L) {
  return native_return(L, ops_of(L)->status(native_of(L)->context, check_id(L)));
}

static int testing_log(lua_State *L) { return native_return(L, ops_of(L)->log(native_of(L)->context, check_id(L))); }

/* (id, {client_ip =, client_port =, port =}): the other end of a socket pair. */
static int testing_pair(lua_State *L) {
  unsigned id = check_id(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  uint16_t client_port = port_field(L, 2, "client_port"), port = port_field(L, 2, "port");
  lua_getfield(L, 2, "client_ip");
  const char *ip = luaL_optstring(L, -1, "127.0.0.1");
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
    return luaL_error(L, "no socket pair: %s", strerror(errno));
  int status = ops_of(L)->accept(native_of(L)->context, id, fds[0], ip, client_port, port);
  if (status != 0) {
    close(fds[0]);
    close(fds[1]);
    if (status == -EINVAL)
      return luaL_error(L, "client_ip: \"%s\" is no address", ip);
    return luaL_error(L, status == -ENOENT ? "no route listens on port %d" : "it is stopped", port);
  }
  status = script_push_socket(script_state_of(L), L, fds[1]);
  if (status != 0) {
    close(fds[1]);
    return luaL_error(L, "not enough memory");
  }
  return 1;
}

/* (id): how many it has now; nil when it is stopped. */
static int testing_connections(lua_State *L) {
  int count = ops_of(L)->connections(native_of(L)->context, check_id(L));
  if (count < 0)
    return 0;
  lua_pushinteger(L, count);
  return 1;
}

static int testing_advance(lua_State *L) {
  double seconds = luaL_checknumber(L, 1);
  if (seconds > 0)
    ops_of(L)->advance(native_of(L)->context, (uint64_t)(seconds * 1e9));
  return 0;
}

static int testing_next_timer(lua_State *L) {
  double seconds = ops_of(L)->next_timer(native_of(L)->context);
  if (seconds < 0)
    return 0;
  lua_pushnumber(L, seconds);
  return 1;
}

/* Seconds that pass as they pass, whatever a spec does to the clock. */
static int testing_real_time(lua_State *L) {
  lua_pushnumber(L, (lua_Number)clock_real_ns() / 1e9);
  return 1;
}

/* (seconds): what runs from now on raises after them; 0: no longer. From the first time on it is interpreted and its
 * patterns are ours, for it to be seen. */
static int testing_bound(lua_State *L) {
  struct script_state *state = script_state_of(L);
  double seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds < MOST_BOUND, 1, "seconds");
  if (state->watch.bound_ms == 0 && seconds > 0) {
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    script_open_patterns(L, false);
  }
  script_watch_bound(state, (uint64_t)(seconds * 1e3));
  return 0;
}

/* The task that runs, for interrupt(). */
static int testing_task(lua_State *L) {
  lua_pushlightuserdata(L, task_enter(L));
  return 1;
}

/* Something to do to another task, when this one has had its turn. */
struct nudge {
  struct deferred deferred;
  struct script_state *state;
  const struct script_task *task; /* may be gone by then */
  bool interrupts;
  char message[];
};

static void on_nudge(struct deferred *deferred) {
  struct nudge *nudge = (struct nudge *)(void *)deferred;
  struct script_task *task = nudge->state->tasks;
  while (task != NULL && task != nudge->task)
    task = task->next;
  if (task != NULL && nudge->interrupts)
    task_interrupt(task, nudge->message);
  else if (task != NULL && task->wait == &task->sleep) {
    task->sleep.cancel(&task->sleep);
    task_resume(&task->sleep, 0);
  }
  free(nudge);
}

static int nudge_task(lua_State *L, bool interrupts, const char *message, size_t size) {
  luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
  struct nudge *nudge = calloc(1, sizeof *nudge + size + 1);
  if (nudge == NULL)
    return luaL_error(L, "not enough memory");
  nudge->deferred.run = on_nudge;
  nudge->state = script_state_of(L);
  nudge->task = lua_touserdata(L, 1);
  nudge->interrupts = interrupts;
  memcpy(nudge->message, message, size);
  loop_defer(nudge->state->place->loop, &nudge->deferred);
  return 0;
}

/* (task, message): it goes on with an error where it waits. */
static int testing_interrupt(lua_State *L) {
  size_t size;
  const char *message = luaL_checklstring(L, 2, &size);
  return nudge_task(L, true, message, size);
}

/* (task): it goes on, if it sleeps. */
static int testing_wake(lua_State *L) { return nudge_task(L, false, "", 0); }

static const struct luaL_Reg functions[] = {
    {"start", testing_start},
    {"check", testing_check},
    {"match", testing_match},
    {"stop", testing_stop},
    {"snapshot", testing_snapshot},
    {"status", testing_status},
    {"log", testing_log},
    {"pair", testing_pair},
    {"advance", testing_advance},
    {"next_timer", testing_next_timer},
    {"real_time", testing_real_time},
    {"bound", testing_bound},
    {"task", testing_task},
    {"interrupt", testing_interrupt},
    {"wake", testing_wake},
    {"connections", testing_connections},
    {NULL, NULL},
};

int native_testing(lua_State *L) {
  if (ops_of(L) == NULL)
    return luaL_error(L, "moongate.testing is for specs: run them with moongate test");
  struct script_place *place = script_state_of(L)->place;
  place->number = place->count = 1; /* moongate.worker: what runs here for a route is its one worker's */
  lua_newtable(L);
  for (const struct luaL_Reg *function = functions; function->name != NULL; function++) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, function->func, 1);
    lua_setfield(L, -2, function->name);
  }
  return 1;
}
