/* SPDX-License-Identifier: MIT
 *
 * Loading what a spec has in its hands instead of in files: tables of routes and a config, whose functions stay where
 * they are, with their upvalues, and run in the spec's own state. */
#include "loading/load_private.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* Puts the value into a load as if a file had returned it. */
static int check_given_value(struct file_load *load, const struct script_given *given) {
  lua_State *L = given->state->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, given->reference); /* [value] */
  int status = script_protect(load->run->loader->trusted, load_check_value, load);
  if (status == 0)
    status = load->status;
  if (status == 0 && load->function_count > 0 && load->workers > 0) {
    load->root = luaL_ref(L, LUA_REGISTRYINDEX); /* [] */
    status = file_load_states(load, 1);
  } else {
    lua_pop(L, 1);
  }
  return status;
}

static int serve(struct loaded_routes *loaded, struct file_version *good, const char *path) {
  loaded->files = calloc(1, sizeof *loaded->files);
  if (!loaded->files)
    return -ENOMEM;
  loaded->file_count = 1;
  loaded->listed = true;
  loaded->files[0].file = strdup(good->file);
  loaded->files[0].path = strdup(path);
  loaded->files[0].ok = true;
  loaded_file_serve(&loaded->files[0], file_version_ref(good));
  return loaded->files[0].file && loaded->files[0].path ? 0 : -ENOMEM;
}

int loader_load_value(struct loader *loader, const struct config *config, const struct script_given *given,
                      unsigned workers, loaded_number_of *number_of, void *context, struct loaded_routes *loaded) {
  *loaded = (struct loaded_routes){0};
  const char *base = strrchr(given->path, '/');
  struct file_version *good = file_version_new(base ? base + 1 : given->path);
  struct load_run run = {.loader = loader, .config = config, .workers = workers, .loaded = loaded};
  struct file_load load = {
      .run = &run,
      .file = good ? good->file : NULL,
      .source = {.path = (char *)(uintptr_t)given->path,
                 .text = (char *)(uintptr_t)given->text,
                 .size = given->text ? strlen(given->text) : 0},
      .workers = workers,
      .state = given->state,
      .is_borrowed = true,
      .root = LUA_NOREF,
      .good = good,
      .faults = &loaded->faults,
      .warnings = &loaded->warnings,
  };
  if (!good)
    return -ENOMEM;
  given->state->references++;
  int status = check_given_value(&load, given);
  file_load_release(&load);
  fault_list_clear(&run.named);
  for (size_t i = 0; i < good->route_count && status == 0; i++)
    if (route_has_functions(good->routes[i]))
      good->routes[i]->script = good->version;
  if (status == 0)
    status = serve(loaded, good, given->path);
  file_version_unref(good);
  if (status == 0 && number_of)
    loaded_routes_number(loaded, number_of, context);
  return status;
}

int loader_take_config(struct loader *loader, const struct script_given *given, struct config *config,
                       struct fault_list *faults) {
  lua_State *L = given->state->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, given->reference); /* [value] */
  int status = load_config_value(loader, given->state, config, faults);
  lua_pop(L, 1);
  return status;
}
