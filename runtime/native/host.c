/* SPDX-License-Identifier: MIT
 *
 * The control thread's state, and starting functions of the library in it. */
#include "native/host.h"

#include <errno.h>
#include <lauxlib.h>

struct native_set {
  const struct luaL_Reg *natives;
  void *context;
};

static int register_natives(lua_State *L) {
  const struct native_set *set = lua_touserdata(L, 1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_newtable(L); /* package, loaded, module */
  for (const struct luaL_Reg *native = set->natives; native != NULL && native->name != NULL; native++) {
    lua_pushlightuserdata(L, set->context);
    lua_pushcclosure(L, native->func, 1);
    lua_setfield(L, -2, native->name);
  }
  lua_setfield(L, -2, "moongate.native");
  return 0;
}

int script_host_init(struct script_host *host, const struct script_place *place, const struct script_options *options,
                     const struct luaL_Reg *natives, void *context, struct error *error) {
  *host = (struct script_host){.place = *place};
  script_place_init(&host->place);
  host->state = script_state_new(options, error);
  if (host->state == NULL)
    return -ENOMEM;
  script_state_attach(host->state, &host->place);
  struct native_set set = {natives, context};
  if (script_protect(host->state, register_natives, &set) == 0)
    return 0;
  script_host_deinit(host);
  return error_set(error, ENOMEM, "no memory for a Lua state");
}

void script_host_deinit(struct script_host *host) {
  if (host->state == NULL)
    return;
  script_state_stop(host->state);
  script_state_unref(host->state);
  host->state = NULL;
  script_place_deinit(&host->place);
}

struct start {
  struct script_host *host;
  const char *module, *name;
  int (*push)(lua_State *L, void *context);
  task_ended_fn *on_ended;
  void *context;
  struct error *error;
  struct script_task *task;
};

static int prepare_host_task(lua_State *L) {
  struct start *start = lua_touserdata(L, 1);
  lua_getglobal(L, "require");
  lua_pushstring(L, start->module);
  int status = lua_pcall(L, 1, 1, 0);
  if (status != 0) {
    const char *message = lua_tostring(L, -1);
    error_set(start->error, EINVAL, "%s", message != NULL ? message : "the module can't be loaded");
    return lua_error(L);
  }
  lua_getfield(L, -1, start->name);
  if (!lua_isfunction(L, -1)) {
    error_set(start->error, EINVAL, "the library has no %s.%s", start->module, start->name);
    return lua_error(L);
  }
  int before = lua_gettop(L);
  if (start->push != NULL)
    start->push(L, start->context);
  start->task = task_new(start->host->state, L, lua_gettop(L) - before, start->on_ended, start->context);
  return 0;
}

int script_host_start(struct script_host *host, const char *module, const char *name,
                      int (*push)(lua_State *L, void *context), task_ended_fn *on_ended, void *context,
                      struct error *error) {
  struct error local;
  struct start start = {host, module, name, push, on_ended, context, error != NULL ? error : &local, NULL};
  error_set(start.error, ENOMEM, "no memory to start %s.%s", module, name);
  int status = script_protect(host->state, prepare_host_task, &start);
  if (status != 0)
    return -start.error->code;
  if (start.task == NULL)
    return -ENOMEM;
  task_start(start.task);
  return 0;
}
