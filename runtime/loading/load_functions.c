/* SPDX-License-Identifier: MIT
 *
 * Functions of a route file: the file is run once more for each further worker, and in each of these states every
 * function is found by its key, the name of its route and its field, never by order. */
#include "loading/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
  struct file_load *load;
  struct script_version *version;
  unsigned worker; /* from 0 */
  int root;
  int status;
};

static int functions_add_fault(const struct file_load *load, const struct script_function *function,
                               const char *message) {
  int status = fault_list_add(load->faults, load->source.path, 0, function ? function->route : NULL,
                              function ? function->field : NULL, message);
  return status < 0 ? status : -EINVAL;
}

/* In a further worker's state. */
static int run_again(lua_State *L) {
  struct resolve *resolve = lua_touserdata(L, 1);
  struct file_load *load = resolve->load;
  resolve->status = source_run(&load->source, resolve->version->states[resolve->worker], L, load->run->loader->log,
                               load->run->blocking, load->faults);
  if (resolve->status == 0)
    resolve->root = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* Enters the route on top of `L` under its name into the table below it; pops it. One that is not enabled stands for
 * nothing. */
static void enter_route(lua_State *L, const char *file, int index) {
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "enabled");
    lua_rawget(L, -2); /* [names, route, enabled] */
    bool enabled = !lua_isboolean(L, -1) || lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_pushliteral(L, "name");
    lua_rawget(L, -2); /* [names, route, name] */
    if (lua_type(L, -1) != LUA_TSTRING) {
      lua_pop(L, 1);
      lua_pushfstring(L, "%s#%d", file, index);
    }
    lua_pushvalue(L, -2); /* [names, route, name, route] */
    if (enabled)
      lua_rawset(L, -4);
    else
      lua_pop(L, 2);
  }
  lua_pop(L, 1);
}

/* Pushes a table of the routes by name; `root` is what the file returned. */
static void push_routes_by_name(lua_State *L, int root, const char *file) {
  lua_newtable(L);
  if (!lua_istable(L, root))
    return;
  lua_rawgeti(L, root, 1);
  bool single = lua_isnil(L, -1);
  lua_pop(L, 1);
  size_t count = single ? 1 : lua_objlen(L, root);
  for (size_t i = 1; i <= count; i++) {
    if (single)
      lua_pushvalue(L, root);
    else
      lua_rawgeti(L, root, (int)i);
    enter_route(L, file, (int)i);
  }
}

/* Replaces the table on top of `L` by what stands at `field` in it ("action.targets[2].host"), or nil. */
static void follow(lua_State *L, const char *field) {
  while (*field && lua_istable(L, -1)) {
    if (*field == '[') {
      char *end;
      lua_rawgeti(L, -1, (int)strtol(field + 1, &end, 10));
      field = end + 1;
    } else {
      field += *field == '.';
      size_t length = strcspn(field, ".[");
      lua_pushlstring(L, field, length);
      lua_rawget(L, -2);
      field += length;
    }
    lua_remove(L, -2);
  }
}

static int resolve_functions(lua_State *L) {
  struct resolve *resolve = lua_touserdata(L, 1);
  struct script_version *version = resolve->version;
  lua_rawgeti(L, LUA_REGISTRYINDEX, resolve->root);
  luaL_unref(L, LUA_REGISTRYINDEX, resolve->root);
  push_routes_by_name(L, 2, version->file); /* [context, root, routes] */
  for (size_t i = 0; i < version->function_count; i++) {
    const struct script_function *function = &version->functions[i];
    lua_pushstring(L, function->route);
    lua_rawget(L, 3);
    follow(L, function->field);
    if (!lua_isfunction(L, -1)) {
      resolve->status = functions_add_fault(
          resolve->load, function,
          "the function was there when the file was loaded first, and is missing when it is loaded for another "
          "worker: the file behaves differently each time it is loaded");
      return 0;
    }
    version->references_of[resolve->worker][i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  return 0;
}

static struct script_version *version_new(struct file_load *load, unsigned workers) {
  struct script_version *version = calloc(1, sizeof *version);
  if (!version)
    return NULL;
  atomic_init(&version->references, 1);
  version->file = strdup(load->file);
  version->path = strdup(load->source.path);
  version->hash = text_hash(load->source.text, load->source.size, 0);
  version->states = calloc(workers, sizeof(struct script_state *));
  version->references_of = calloc(workers, sizeof(int *));
  version->use_of = calloc(workers, sizeof *version->use_of);
  bool complete = version->file && version->path && version->states && version->references_of && version->use_of;
  for (unsigned i = 0; complete && i < workers; i++)
    complete = (version->references_of[i] = calloc(load->function_count + 1, sizeof(int))) != NULL;
  if (version->states && version->references_of)
    version->state_count = workers;
  if (!complete) {
    script_version_unref(version);
    return NULL;
  }
  version->is_borrowed = load->is_borrowed;
  version->functions = load->functions;
  version->function_count = load->function_count;
  load->functions = NULL;
  load->function_count = 0;
  return version;
}

static int load_state(struct file_load *load, struct script_version *version, unsigned worker) {
  struct resolve resolve = {.load = load, .version = version, .worker = worker, .root = load->root};
  int status = 0;
  if (worker == 0) {
    version->states[0] = load->state;
    load->state = NULL;
  } else {
    struct error error;
    version->states[worker] =
        loader_user_state(load->run->loader, load->run->config, load->run->module_path, load->jit, &error);
    if (!version->states[worker])
      return functions_add_fault(load, NULL, error.message);
    version->states[worker]->reader = &load->reader.reader;
    status = script_protect(version->states[worker], run_again, &resolve);
  }
  struct script_state *state = version->states[worker];
  if (!version->is_borrowed)
    state->version = version;
  if (status == 0 && resolve.status == 0)
    status = script_protect(state, resolve_functions, &resolve);
  state->reader = NULL;
  state->pace = NULL;
  if (status < 0 && resolve.status != -ECANCELED)
    return functions_add_fault(load, NULL,
                               "not enough memory to load it: limits.script_memory bounds each of its states");
  return resolve.status;
}

int file_load_states(struct file_load *load, unsigned workers) {
  struct script_version *version = version_new(load, workers);
  if (!version)
    return functions_add_fault(load, NULL, "not enough memory to load it");
  int status = 0;
  for (unsigned i = 0; i < workers && status == 0; i++)
    status = load_state(load, version, i);
  if (status == 0) {
    load->good->version = version;
    return 0;
  }
  blocking_begin(load->run->blocking); /* a file that the code has left open is flushed, and may not take it */
  script_version_unref(version);
  return blocking_end(load->run->blocking) ? status : -ECANCELED;
}

bool file_load_release(struct file_load *load) {
  for (size_t i = 0; i < load->function_count && load->functions; i++) {
    free(load->functions[i].route);
    free(load->functions[i].field);
  }
  free(load->functions);
  if (!load->state)
    return true;
  blocking_begin(load->run->blocking);
  script_state_unref(load->state);
  return blocking_end(load->run->blocking);
}
