/* SPDX-License-Identifier: MIT
 *
 * The config: found, run, checked by lua/moongate/schema/config.lua, and put into C. */
#include "loading/load_private.h"

#include "core/text.h"
#include "loading/fields.h"
#include "loading/option_read.h"

#include <errno.h>
#include <lauxlib.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the config itself may use, before it has said what files may. */
enum { CONFIG_TIME_MS = 1000, CONFIG_MEMORY = 256 * 1024 * 1024, MAX_CPUS = 4096 };

_Static_assert(OPTION_HAS_COUNT(struct config, jit_files, jit_file_count), "OPTION_TEXTS");

struct config_load {
  struct loader *loader;
  const struct config_overrides *overrides;
  struct config *config;
  char *directory;
  struct source source;       /* no path: there is no file */
  struct script_state *state; /* NULL likewise */
  struct fault_list *faults;
  struct blocking *blocking; /* of our thread */
  bool lenient;              /* a stand-in is wanted */
  bool lost;                 /* and it could not be run */
  int status;
};

static const char *file_name(const struct config_load *load) {
  return load->source.path ? load->source.path : "moongate.lua";
}

static int config_add_fault(struct config_load *load, const struct error *error) {
  int status = fault_list_add(load->faults, file_name(load), 0, NULL, error->place, error->message);
  return status < 0 ? status : -EINVAL;
}

static int count_cpus(void) {
  int count = 0;
  size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
  cpu_set_t *cpus = CPU_ALLOC(MAX_CPUS);
  if (cpus && sched_getaffinity(0, size, cpus) == 0)
    count = CPU_COUNT_S(size, cpus);
  CPU_FREE(cpus);
  return count > 0 ? count : 1;
}

static void push_environment(lua_State *L, const struct config_load *load) {
  static const char *const variables[] = {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"};
  lua_newtable(L);
  lua_pushstring(L, load->directory);
  lua_setfield(L, -2, "directory");
  lua_pushstring(L, file_name(load));
  lua_setfield(L, -2, "path");
  if (load->source.text) {
    lua_pushlstring(L, load->source.text, load->source.size);
    lua_setfield(L, -2, "source");
  }
  lua_pushinteger(L, count_cpus());
  lua_setfield(L, -2, "cpus");
  lua_pushboolean(L, geteuid() == 0);
  lua_setfield(L, -2, "root");
  lua_pushboolean(L, load->lost);
  lua_setfield(L, -2, "lost");
  lua_newtable(L);
  for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
    lua_pushstring(L, getenv(variables[i]));
    lua_setfield(L, -2, variables[i]);
  }
  lua_setfield(L, -2, "variables");
}

/* -ENOMEM, -EINVAL and a fault, or 0. Raises without memory. */
static int load_config_fields(struct config_load *load, lua_State *L, int t) {
  struct config *config = load->config;
  struct error error;
  int status = options_read(&config_options, L, t, config, &error);
  if (load->overrides->workers > 0)
    config->workers = load->overrides->workers;
  config->digest = options_digest(&config_options, L, t);
  if (!(config->policy = policy_new()))
    return -ENOMEM;
  config->policy->digest = options_digest(&policy_options, L, t);
  if (status == 0)
    status = options_read(&policy_options, L, t, config->policy, &error);
  return status == -EINVAL ? config_add_fault(load, &error) : status;
}

/* Checks the value on top of `L`, of the trusted state. */
static int config_check(struct config_load *load, lua_State *L) {
  struct error error;
  int value = lua_gettop(L);
  int status = loader_push_function(load->loader, L, "moongate.schema.config", "check", &error);
  if (status == 0) {
    lua_pushvalue(L, value);
    push_environment(L, load);
    status = script_call(load->loader->trusted, L, 2, 1, &error); /* [value, result] */
  }
  if (status < 0)
    return config_add_fault(load, &error);
  int result = lua_gettop(L), faults = field_table(L, result, "faults");
  fault_list_add_from(load->faults, file_name(load), L, faults);
  bool at_fault = lua_objlen(L, faults) > 0 || load->lost;
  if (at_fault && !load->lenient)
    return -EINVAL;
  fault_list_add_from(&load->config->warnings, file_name(load), L, field_table(L, result, "warnings"));
  int normal = field_table(L, result, at_fault ? "stand_in" : "config");
  status = load_config_fields(load, L, normal);
  return at_fault && status != -ENOMEM ? -EINVAL : status;
}

static int check_nothing(lua_State *L) {
  struct config_load *load = lua_touserdata(L, 1);
  lua_pushnil(L);
  load->status = config_check(load, L);
  return 0;
}

static int check_copy(lua_State *L) {
  struct config_load *load = lua_touserdata(L, 1);
  struct error error = {0};
  if (!load->state) {
    lua_pushnil(L);
  } else if (transfer_value(load->state->L, -1, L, loader_pace(load->loader), &error) < 0) {
    load->status = config_add_fault(load, &error);
    return 0;
  }
  if (load->state && lua_isnil(L, -1)) {
    error_set(&error, EINVAL, "the file returns nothing: it ends with: return { … }");
    load->status = config_add_fault(load, &error);
    return 0;
  }
  load->status = config_check(load, L);
  return 0;
}

/* In the state of the config's file. */
static int run_config_file(lua_State *L) {
  struct config_load *load = lua_touserdata(L, 1);
  luaL_checkstack(L, 96, "not enough memory");
  load->status = source_run(&load->source, load->state, L, load->loader->log, load->blocking, load->faults);
  if (load->status == 0) {
    int status = script_protect(load->loader->trusted, check_copy, load);
    load->status = status < 0 ? status : load->status;
  }
  return 0;
}

static bool is_lost_in_config(const struct config_loss *loss) { return loss->lost && blocking_is_lost(loss->lost); }

/* What hangs in it has not come back, and it is as it was: another thread would be lost in it. */
static bool is_as_lost(const struct config_loss *loss, const struct source *source) {
  return loss->message && is_lost_in_config(loss) && file_stamp_is_same(&loss->stamp, &source->stamp) &&
         loss->hash == text_hash(source->text, source->size, 0);
}

/* Finds and reads it; `path` stays NULL where there is none. 0, a negative errno and `error`, or -ECANCELED. */
static int read_config_away(struct config_load *load, const char **path, struct error *error) {
  static const char usual[] = "moongate.lua";
  const char *subject = *path ? *path : usual;
  int status = 0;
  if (!load->loader->config_loss.message && is_lost_in_config(&load->loader->config_loss)) {
    *path = subject;
    return error_set(error, EIO, "can't be read: who reads it has had no answer yet");
  }
  load->loader->now = (struct load_now){.kind = LOAD_CONFIG, .path = subject};
  blocking_enter(load->blocking, subject);
  blocking_begin(load->blocking);
  if (!*path && access(usual, F_OK) == 0)
    *path = usual;
  if (*path)
    status = source_read(&load->source, *path, error);
  return blocking_end(load->blocking) ? status : -ECANCELED;
}

static int find_file(struct config_load *load) {
  const char *path = load->overrides->config;
  struct error error;
  int status = read_config_away(load, &path, &error);
  if (status == -ECANCELED)
    return status;
  load->directory = path ? path_directory(path) : strdup(".");
  if (!load->directory)
    return -ENOMEM;
  if (!path)
    return 0;
  const struct config_loss *loss = &load->loader->config_loss;
  bool is_lost_again = status == 0 && is_as_lost(loss, &load->source);
  if (status < 0 || is_lost_again) {
    status = fault_list_add(load->faults, path, 0, NULL, NULL, is_lost_again ? loss->message : error.message);
    return status < 0 ? status : -EINVAL;
  }
  load->loader->now.source = &load->source;
  load->config->settings.script_time_ms = CONFIG_TIME_MS;
  load->config->settings.script_memory = CONFIG_MEMORY;
  load->state = loader_user_state(load->loader, load->config, load->directory, false, &error);
  if (!load->state)
    return config_add_fault(load, &error);
  return (load->config->path = strdup(path)) ? 0 : -ENOMEM;
}

/* 0, or a negative errno, with faults but for -ENOMEM. */
static int config_run(struct config_load *load) {
  struct script_state *trusted = load->loader->trusted;
  int status = find_file(load);
  if (status == 0)
    status =
        load->state ? script_protect(load->state, run_config_file, load) : script_protect(trusted, check_copy, load);
  if (status == 0 || load->status == -ECANCELED)
    status = load->status;
  if (status == -ECANCELED)
    return status;
  load->loader->now = (struct load_now){.kind = LOAD_NOTHING};
  load->lost = status < 0 && load->lenient && !load->config->routes && load->directory;
  if (load->lost && script_protect(trusted, check_nothing, load) != 0)
    config_clear(load->config);
  return status;
}

static int read_config_file(struct config_load *load) {
  struct config *config = load->config;
  const struct config_overrides *overrides = load->overrides;
  *config = (struct config){0};
  load->blocking = load->loader->blocking;
  int status = config_run(load);
  if (config->routes && overrides->routes) {
    free(config->routes);
    config->routes = strdup(overrides->routes);
    status = config->routes ? status : -ENOMEM;
  }
  if (status == -ENOMEM && load->faults->count == 0)
    fault_list_add(load->faults, file_name(load), 0, NULL, NULL, "not enough memory to load it");
  if (load->source.text)
    config->hash = text_hash(load->source.text, load->source.size, 0);
  if (status < 0 && (!load->lenient || status == -ECANCELED))
    config_clear(config);
  if (load->state)
    script_state_unref(load->state);
  source_clear(&load->source);
  free(load->directory);
  return status;
}

int loader_read_config(struct loader *loader, const struct config_overrides *overrides, struct config *config,
                       struct fault_list *faults) {
  return read_config_file(
      &(struct config_load){.loader = loader, .overrides = overrides, .config = config, .faults = faults});
}

int loader_read_config_leniently(struct loader *loader, const struct config_overrides *overrides, struct config *config,
                                 struct fault_list *faults) {
  return read_config_file(&(struct config_load){
      .loader = loader, .overrides = overrides, .config = config, .faults = faults, .lenient = true});
}

int load_config_value(struct loader *loader, struct script_state *state, struct config *config,
                      struct fault_list *faults) {
  static const struct config_overrides none = {NULL, NULL, 1};
  *config = (struct config){0};
  struct config_load load = {.loader = loader, .overrides = &none, .config = config, .state = state, .faults = faults};
  load.source.path = strdup("config");
  load.directory = strdup(".");
  int status = load.source.path && load.directory ? script_protect(loader->trusted, check_copy, &load) : -ENOMEM;
  if (status == 0)
    status = load.status;
  if (status < 0)
    config_clear(config);
  source_clear(&load.source);
  free(load.directory);
  return status;
}

void config_clear(struct config *config) {
  free(config->path);
  options_clear(&config_options, config);
  fault_list_clear(&config->warnings);
  policy_unref(config->policy);
  *config = (struct config){0};
}

void config_take(struct config *config, struct config *next) {
  const struct config before = *config;
  options_swap(&config_options, config, next);
  config->hash = next->hash;
  config->digest = next->digest;
  config->policy = next->policy;
  config->warnings = next->warnings;
  next->policy = before.policy;
  next->warnings = before.warnings;
}
