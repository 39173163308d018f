/* SPDX-License-Identifier: MIT
 *
 * The route files of a directory: found, run, copied, checked by lua/moongate/schema/routes.lua, compiled. What
 * concerns the functions of a file is in load_functions.c. */
#include "script/load_private.h"

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 16384 };

static int add_fault(const struct file_load *load, const char *route, const struct error *error) {
  int status = fault_list_add(load->faults, load->source.path, 0, route, error->place, error->message);
  return status < 0 ? status : -EINVAL;
}

static void push_timeouts(lua_State *L, const struct route_timeouts *timeouts) {
  lua_newtable(L);
#define FIELD(name) (lua_pushnumber(L, (lua_Number)timeouts->name), lua_setfield(L, -2, #name))
  FIELD(connect);
  FIELD(initial_data);
  FIELD(idle);
  FIELD(lifetime);
  FIELD(half_closed);
  FIELD(linger);
  FIELD(shutdown);
#undef FIELD
#define PAIR(name)                                                                                                     \
  (lua_createtable(L, 0, 2), lua_pushnumber(L, (lua_Number)timeouts->name), lua_setfield(L, -2, "plain"),              \
   lua_pushnumber(L, (lua_Number)timeouts->name##_tls), lua_setfield(L, -2, "tls"), lua_setfield(L, -2, #name))
  PAIR(half_dead);
  PAIR(stuck);
#undef PAIR
}

static void push_options(lua_State *L, const struct file_load *load) {
  lua_newtable(L);
  lua_pushstring(L, load->file->file);
  lua_setfield(L, -2, "file");
  lua_pushstring(L, load->source.path);
  lua_setfield(L, -2, "path");
  push_timeouts(L, &load->config->timeouts);
  lua_setfield(L, -2, "timeouts");
  lua_rawgeti(L, LUA_REGISTRYINDEX, load->names);
  lua_setfield(L, -2, "names");
}

/* The list of functions at `index`. */
static void read_functions(struct file_load *load, lua_State *L, int index) {
  size_t count = lua_objlen(L, index);
  if (count == 0)
    return;
  load->functions = calloc(count, sizeof *load->functions);
  if (!load->functions)
    luaL_error(L, "not enough memory");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, index, (int)i + 1);
    lua_getfield(L, -1, "route");
    lua_getfield(L, -2, "field"); /* [function, route, field] */
    struct script_function *function = &load->functions[i];
    load->function_count = i + 1;
    function->route = strdup(lua_tostring(L, -2));
    function->field = strdup(lua_tostring(L, -1));
    if (!function->route || !function->field)
      luaL_error(L, "not enough memory");
    lua_pop(L, 3);
  }
}

/* The list of routes at `index`. */
static int compile_routes(struct file_load *load, lua_State *L, int index) {
  struct loaded_file *file = load->file;
  size_t count = lua_objlen(L, index);
  file->routes = calloc(count > 0 ? count : 1, sizeof(struct route *));
  if (!file->routes)
    luaL_error(L, "not enough memory");
  int result = 0;
  for (size_t i = 0; i < count; i++) {
    struct error error;
    lua_rawgeti(L, index, (int)i + 1);
    file->route_count = i + 1;
    int status = compile_route(L, -1, file->file, &file->routes[i], &error);
    if (status < 0)
      result = add_fault(load, file->routes[i] ? file->routes[i]->name : NULL, &error);
    lua_pop(L, 1);
  }
  return result;
}

/* In the trusted state, while the user state has what the file returned on its top. */
static int check_copy(lua_State *L) {
  struct file_load *load = lua_touserdata(L, 1);
  struct error error = {0};
  int status = loader_push_check(load->loader, L, "moongate.schema.routes", &error);
  if (status == 0)
    status = transfer_value(load->state->L, -1, L, &error); /* [check, value] */
  if (status == 0) {
    push_options(L, load);
    status = script_call(load->loader->trusted, L, 2, 1, &error); /* [result] */
  }
  if (status < 0) {
    load->status = add_fault(load, NULL, &error);
    return 0;
  }
  int result = lua_gettop(L);
  lua_getfield(L, result, "warnings");
  lua_getfield(L, result, "faults");
  lua_getfield(L, result, "functions");
  lua_getfield(L, result, "routes");
  fault_list_add_from(load->warnings, load->source.path, L, result + 1);
  fault_list_add_from(load->faults, load->source.path, L, result + 2);
  if (lua_objlen(L, result + 2) > 0) {
    load->status = -EINVAL;
    return 0;
  }
  read_functions(load, L, result + 3);
  load->status = compile_routes(load, L, result + 4);
  return 0;
}

/* In the user state. */
static int run_file(lua_State *L) {
  struct file_load *load = lua_touserdata(L, 1);
  luaL_checkstack(L, 96, "not enough memory");
  load->status = source_run(&load->source, load->state, L, load->loader->log, load->faults);
  if (load->status < 0)
    return 0;
  int status = script_protect(load->loader->trusted, check_copy, load);
  if (status < 0)
    load->status = status;
  if (load->status == 0)
    load->root = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void release_routes(struct loaded_file *file) {
  for (size_t i = 0; i < file->route_count; i++)
    route_unref(file->routes[i]);
  free(file->routes);
  file->routes = NULL;
  file->route_count = 0;
}

static void release_functions(struct file_load *load) {
  for (size_t i = 0; i < load->function_count; i++) {
    free(load->functions[i].route);
    free(load->functions[i].field);
  }
  free(load->functions);
}

static bool is_jit_file(const struct config *config, const char *file) {
  for (size_t i = 0; i < config->jit_file_count; i++)
    if (strcmp(config->jit_files[i], file) == 0)
      return true;
  return false;
}

static int load_source(struct file_load *load, unsigned workers) {
  struct error error;
  load->state = loader_user_state(load->loader, load->config, load->module_path, load->jit, &error);
  if (!load->state)
    return add_fault(load, NULL, &error);
  size_t before = load->faults->count;
  int status = script_protect(load->state, run_file, load);
  if (status == 0)
    status = load->status;
  if (status == 0 && load->function_count > 0 && workers > 0)
    status = file_load_states(load, workers);
  if (status < 0 && load->faults->count == before) {
    error_set(&error, ENOMEM, "not enough memory to load it");
    add_fault(load, NULL, &error);
  }
  return status;
}

static void load_file(struct file_load *load, unsigned workers) {
  struct loaded_file *file = load->file;
  struct error error;
  load->jit = is_jit_file(load->config, file->file);
  if (source_read(&load->source, file->path, &error) < 0) {
    fault_list_add(load->faults, file->path, 0, NULL, NULL, error.message);
    return;
  }
  file->ok = load_source(load, workers) == 0;
  if (!file->ok)
    release_routes(file);
  for (size_t i = 0; i < file->route_count; i++)
    file->routes[i]->script = file->version;
  release_functions(load);
  if (load->state)
    script_state_unref(load->state);
  source_clear(&load->source);
}

/* Route files: "site.lua"; not hidden ones, nor what editors leave behind ("site.lua~", "#site.lua#", ".#site.lua"). */
static int is_route_file(const struct dirent *entry) {
  const char *name = entry->d_name;
  size_t length = strlen(name);
  return length > 4 && strcmp(name + length - 4, ".lua") == 0 && name[0] != '.' && name[0] != '#';
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static char *join(const char *directory, const char *name) {
  char *path = NULL;
  size_t length = strlen(directory);
  while (length > 1 && directory[length - 1] == '/')
    length--;
  const char *slash = length > 0 && directory[length - 1] == '/' ? "" : "/";
  return asprintf(&path, "%.*s%s%s", (int)length, directory, slash, name) < 0 ? NULL : path;
}

static int add_directory_fault(struct loaded_routes *loaded, const char *directory, int code) {
  char message[256];
  if (code == ENOENT)
    snprintf(message, sizeof message,
             "the directory of the route files does not exist: create it, or name another with --routes or `routes` in "
             "moongate.lua");
  else
    snprintf(message, sizeof message, "the directory of the route files can't be read: %s", strerror(code));
  return fault_list_add(&loaded->faults, directory, 0, NULL, NULL, message) < 0 ? -ENOMEM : -EINVAL;
}

/* Fills loaded->files with the names. 0 or a negative errno. */
static int list_files(const char *directory, struct loaded_routes *loaded) {
  struct dirent **entries = NULL;
  int count = scandir(directory, &entries, is_route_file, by_name), status = 0;
  if (count < 0)
    return errno == ENOMEM ? -ENOMEM : add_directory_fault(loaded, directory, errno);
  if (count > MAX_FILES) {
    char message[96];
    snprintf(message, sizeof message, "has %d route files: at most %d", count, MAX_FILES);
    status = fault_list_add(&loaded->faults, directory, 0, NULL, NULL, message) < 0 ? -ENOMEM : -EINVAL;
  } else if (count == 0) {
    status =
        fault_list_add(&loaded->warnings, directory, 0, NULL, NULL, "no route file (*.lua) in it: nothing is served");
  } else if (!(loaded->files = calloc((size_t)count, sizeof *loaded->files))) {
    status = -ENOMEM;
  }
  for (int i = 0; i < count; i++) {
    if (status == 0) {
      struct loaded_file *file = &loaded->files[loaded->file_count++];
      file->file = strdup(entries[i]->d_name);
      file->path = join(directory, entries[i]->d_name);
      status = file->file && file->path ? 0 : -ENOMEM;
    }
    free(entries[i]);
  }
  free(entries);
  return status;
}

/* In the trusted state. */
static int make_names(lua_State *L) {
  int *names = lua_touserdata(L, 1);
  lua_newtable(L);
  *names = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void warn_of_absent_jit_files(const struct config *config, struct loaded_routes *loaded) {
  for (size_t i = 0; i < config->jit_file_count; i++) {
    bool found = false;
    for (size_t k = 0; k < loaded->file_count && !found; k++)
      found = strcmp(config->jit_files[i], loaded->files[k].file) == 0;
    char message[512];
    snprintf(message, sizeof message, "there is no route file \"%.200s\" (base names, such as \"site.lua\")",
             config->jit_files[i]);
    if (!found)
      fault_list_add(&loaded->warnings, config->path, 0, NULL, "script.jit", message);
  }
}

static void number_routes(struct loaded_routes *loaded,
                          void (*number_of)(void *context, const char *name, unsigned *number, atomic_uint **cursor),
                          void *context) {
  unsigned order = 0;
  for (size_t i = 0; i < loaded->file_count; i++)
    for (size_t k = 0; k < loaded->files[i].route_count; k++) {
      struct route *route = loaded->files[i].routes[k];
      route->order = order++;
      if (number_of)
        number_of(context, route->name, &route->stats, &route->cursor);
    }
}

int loader_load_routes(struct loader *loader, const struct config *config, unsigned workers,
                       void (*number_of)(void *context, const char *name, unsigned *number, atomic_uint **cursor),
                       void *context, struct loaded_routes *loaded) {
  *loaded = (struct loaded_routes){0};
  int names = LUA_NOREF;
  char *module_path = path_directory(config->routes);
  int status = module_path ? script_protect(loader->trusted, make_names, &names) : -ENOMEM;
  if (status == 0)
    status = list_files(config->routes, loaded);
  for (size_t i = 0; i < loaded->file_count && status == 0; i++) {
    struct file_load load = {.loader = loader,
                             .config = config,
                             .module_path = module_path,
                             .names = names,
                             .root = LUA_NOREF,
                             .file = &loaded->files[i],
                             .faults = &loaded->faults,
                             .warnings = &loaded->warnings};
    load_file(&load, workers);
  }
  if (status == 0) {
    number_routes(loaded, number_of, context);
    warn_of_absent_jit_files(config, loaded);
    for (size_t i = 0; i < loaded->file_count; i++)
      status = loaded->files[i].ok ? status : -EINVAL;
  }
  luaL_unref(loader->trusted->L, LUA_REGISTRYINDEX, names);
  free(module_path);
  return status;
}

void loaded_routes_clear(struct loaded_routes *loaded) {
  for (size_t i = 0; i < loaded->file_count; i++) {
    struct loaded_file *file = &loaded->files[i];
    release_routes(file);
    if (file->version)
      script_version_unref(file->version);
    free(file->file);
    free(file->path);
  }
  free(loaded->files);
  fault_list_clear(&loaded->faults);
  fault_list_clear(&loaded->warnings);
  *loaded = (struct loaded_routes){0};
}
