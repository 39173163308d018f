/* SPDX-License-Identifier: MIT
 *
 * One route file from text to what is known of it: run, copied, checked by the schema, compiled. What concerns its
 * functions is in load_functions.c. */
#include "loading/load_private.h"

#include "core/text.h"
#include "script/parts.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int add_fault_at(const struct file_load *load, int line, const char *route, const struct error *error) {
  int status = fault_list_add(load->faults, load->source.path, line, route, error->place, error->message);
  return status < 0 ? status : -EINVAL;
}

static int file_add_fault(const struct file_load *load, const char *route, const struct error *error) {
  return add_fault_at(load, 0, route, error);
}

/* What only C could tell is wrong with a route. */
static int add_route_fault(const struct file_load *load, const struct route *route, const struct error *error) {
  if (!route || !route->name)
    return file_add_fault(load, NULL, error);
  int line = schema_find_line(load->run->loader, load->good->schema_id, route->name, error->place);
  return add_fault_at(load, line, route->name, error);
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
  struct file_version *good = load->good;
  size_t count = lua_objlen(L, index);
  good->routes = calloc(count > 0 ? count : 1, sizeof(struct route *));
  if (!good->routes)
    luaL_error(L, "not enough memory");
  int result = 0;
  for (size_t i = 0; i < count; i++) {
    struct error error;
    lua_rawgeti(L, index, (int)i + 1);
    good->route_count = i + 1;
    pace_breathe(load->run->pace);
    int status = compile_route(L, -1, load->file, &good->routes[i], &error);
    if (status < 0)
      result = add_route_fault(load, good->routes[i], &error);
    lua_pop(L, 1);
  }
  return result;
}

/* In the trusted state, while the user state has what the file returned on its top. */
int load_check_value(lua_State *L) {
  struct file_load *load = lua_touserdata(L, 1);
  struct error error = {0};
  if (schema_call_routes(load, L, &error) < 0) {
    load->status = file_add_fault(load, NULL, &error);
    return 0;
  }
  int result = lua_gettop(L);
  pace_breathe(load->run->pace);
  lua_getfield(L, result, "warnings");
  lua_getfield(L, result, "faults");
  lua_getfield(L, result, "functions");
  lua_getfield(L, result, "routes");
  fault_list_add_from(load->warnings, load->source.path, L, result + 1);
  fault_list_add_from(load->faults, load->source.path, L, result + 2);
  if (lua_objlen(L, result + 2) > 0) {
    load->status = -EINVAL;
    lua_getfield(L, result, "named");
    fault_list_add_from(&load->run->named, load->source.path, L, result + 5);
    return 0;
  }
  schema_keep_version(load->run->loader, L, result, &load->good->schema_id);
  read_functions(load, L, result + 3);
  load->status = compile_routes(load, L, result + 4);
  return 0;
}

/* In the user state. */
static int run_route_file(lua_State *L) {
  struct file_load *load = lua_touserdata(L, 1);
  luaL_checkstack(L, 96, "not enough memory");
  load->status = source_run(&load->source, load->state, L, load->run->loader->log, load->run->blocking, load->faults);
  if (load->status < 0)
    return 0;
  int status = script_protect(load->run->loader->trusted, load_check_value, load);
  if (status < 0)
    load->status = status;
  if (load->status == 0)
    load->root = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static bool is_jit_file(const struct config *config, const char *file) {
  for (size_t i = 0; i < config->jit_file_count; i++)
    if (strcmp(config->jit_files[i], file) == 0)
      return true;
  return false;
}

static uint64_t sum_functions(const struct file_load *load) {
  uint64_t sum = 0;
  for (size_t i = 0; i < load->function_count; i++) {
    const struct script_function *function = &load->functions[i];
    sum = text_hash(function->route, strlen(function->route), sum + 1);
    sum = text_hash(function->field, strlen(function->field), sum + 1);
  }
  return sum;
}

static int run_source(struct file_load *load) {
  struct error error;
  load->state = loader_user_state(load->run->loader, load->run->config, load->run->module_path, load->jit, &error);
  if (!load->state)
    return file_add_fault(load, NULL, &error);
  load->state->reader = &load->reader.reader;
  size_t before = load->faults->count;
  int status = script_protect(load->state, run_route_file, load);
  if (status == 0 || load->status == -ECANCELED)
    status = load->status;
  if (status == 0)
    status = claims_make(&load->good->claims, load->good->routes, load->good->route_count);
  if (status == 0) {
    load->good->function_count = load->function_count;
    load->good->functions_sum = sum_functions(load);
    bool acts = load->function_count > 0 || script_parts.acts(load->state);
    if (acts && load->workers > 0)
      status = file_load_states(load, load->workers);
  }
  if (status < 0 && status != -ECANCELED && load->faults->count == before) {
    error_set(&error, ENOMEM, "not enough memory to load it");
    file_add_fault(load, NULL, &error);
  }
  return status;
}

static int copy_source_text(struct file_version *good, const struct source *source) {
  good->text = malloc(source->size + 1);
  if (!good->text)
    return -ENOMEM;
  memcpy(good->text, source->text, source->size);
  good->size = source->size;
  good->stamp = source->stamp;
  good->hash = text_hash(source->text, source->size, 0);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  good->loaded_at = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
  return 0;
}

static const char ENDED[] =
    "is not run: the process ended while this text was loaded last, by it or by who killed it just then. Whatever is "
    "changed in it, if only a blank, it is run again";

/* Marks what is run from now on. 0, -EALREADY: it has ended a process, or -ECANCELED. */
static int mark(struct load_run *run, const struct file_version *good, const struct source *source) {
  const struct load_mark_text text = {good->file, source->path, good->size, good->hash};
  if (load_mark_has_ended(run->loader->mark, &text))
    return -EALREADY;
  run->is_marked = true;
  return load_mark_away(run, &text);
}

int load_file(struct load_run *run, const char *file, const struct source *source, unsigned workers,
              const struct module_list *given, struct file_version **result, struct module_list *tried,
              struct fault_list *faults, struct fault_list *warnings) {
  fault_list_clear(&run->named);
  struct file_version *good = file_version_new(file);
  if (!good || copy_source_text(good, source) < 0) {
    file_version_unref(good);
    return -ENOMEM;
  }
  good->key = load_key(run, file, source->path);
  good->state_key = load_state_key(run, file, source->path);
  good->defaults_sum = load_defaults_sum(run->config);
  int marked = mark(run, good, source);
  if (marked < 0) {
    file_version_unref(good);
    if (marked == -ECANCELED)
      return marked;
    return fault_list_add(faults, source->path, 0, NULL, NULL, ENDED) < 0 ? -ENOMEM : -EINVAL;
  }
  struct file_load load = {
      .run = run,
      .file = file,
      .source = *source,
      .jit = is_jit_file(run->config, file),
      .workers = workers,
      .root = LUA_NOREF,
      .good = good,
      .faults = faults,
      .warnings = warnings,
  };
  module_reader_init(&load.reader, &run->cache, given, &good->modules, run->blocking);
  load_now_begin(run, &(struct load_now){run->kind, file, source->path, source, good->key, &good->modules});
  int status = run_source(&load);
  if (!file_load_release(&load))
    status = -ECANCELED;
  if (status != -ECANCELED)
    load_now_end(run);
  for (size_t i = 0; i < good->route_count && status == 0; i++) {
    good->routes[i]->lineage = ++run->loader->last_lineage;
    if (route_has_functions(good->routes[i]))
      good->routes[i]->script = good->version;
  }
  if (status == 0) {
    *result = good;
    return 0;
  }
  if (tried && status != -ECANCELED) {
    *tried = good->modules;
    good->modules = (struct module_list){0};
  }
  file_version_unref(good);
  return status;
}

uint64_t load_state_key(const struct load_run *run, const char *file, const char *path) {
  const struct config *config = run->config;
  const uint64_t numbers[] = {config->settings.script_time_ms, config->settings.script_memory, config->limits.timers,
                              config->limits.open_files,       config->limits.log_lines,       run->workers,
                              is_jit_file(config, file)};
  return text_hash(path, strlen(path), text_hash(numbers, sizeof numbers, 1));
}

uint64_t load_key(const struct load_run *run, const char *file, const char *path) {
  const uint64_t numbers[] = {run->config->digest, run->workers, is_jit_file(run->config, file)};
  return text_hash(path, strlen(path), text_hash(numbers, sizeof numbers, 1));
}

int load_is_same(struct load_run *run, const struct file_version *good, const struct loaded_file *file,
                 const struct source *source, uint64_t key) {
  if (!good || good->key != key || good->size != source->size || memcmp(good->text, source->text, source->size) != 0)
    return 0;
  return load_modules_are_same(run, LOAD_ROUTES, file, &good->modules);
}

int load_modules_are_same(struct load_run *run, enum load_kind kind, const struct loaded_file *file,
                          const struct module_list *modules) {
  if (modules->count == 0)
    return 1;
  load_now_begin(run, &(struct load_now){kind, file->file, file->path, NULL, 0, NULL});
  int same = module_list_is_current(modules, &run->cache, run->blocking);
  if (same >= 0)
    load_now_end(run);
  return same;
}
