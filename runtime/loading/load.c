/* SPDX-License-Identifier: MIT
 *
 * The loader itself: its trusted state, the user states that it makes, the frame of a load, and what a commit makes of
 * one. */
#include "loading/load_private.h"
#include "script/shared.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY_ROOM = 4 * 1024 * 1024 };

struct loader *loader_new(const struct log *log, const char *library, struct error *error) {
  struct loader *loader = calloc(1, sizeof *loader);
  if (!loader || (library && !(loader->library = strdup(library))) || !(loader->shared = script_shared_new())) {
    error_set(error, ENOMEM, "not enough memory");
    goto fail;
  }
  loader->log = log;
  loader->schema_versions = loader->index = LUA_NOREF;
  struct script_options options = {.trusted = true, .library = library, .log = log};
  loader->trusted = script_state_new(&options, error);
  if (!loader->trusted)
    goto fail;
  if (schema_sweep_versions(loader) < 0) {
    error_set(error, ENOMEM, "not enough memory");
    goto fail;
  }
  return loader;
fail:
  loader_free(loader);
  return NULL;
}

void loader_free(struct loader *loader) {
  if (!loader)
    return;
  if (loader->trusted)
    script_state_unref(loader->trusted);
  script_shared_unref(loader->shared);
  blocking_unref(loader->store_lost);
  blocking_unref(loader->list_lost);
  blocking_unref(loader->config_loss.lost);
  free(loader->config_loss.message);
  load_mark_unref(loader->mark);
  memory_clear(&loader->memory);
  free(loader->routes);
  free(loader->module_path);
  free(loader->candidate);
  free(loader->library);
  free(loader);
}

void loader_use(struct loader *loader, struct pace *pace, struct blocking *blocking) {
  loader->pace = pace;
  loader->blocking = blocking;
  loader->now = (struct load_now){.kind = LOAD_NOTHING};
}

struct script_state *loader_user_state(const struct loader *loader, const struct config *config,
                                       const char *module_path, bool jit, struct error *error) {
  struct script_options options = {
      .jit = jit,
      .time_ms = config->settings.script_time_ms,
      .memory = config->settings.script_memory,
      .library = loader->library,
      .module_path = module_path,
      .log = loader->log,
      .shared = loader->shared,
      .timers = config->limits.timers,
      .open_files = config->limits.open_files,
      .log_lines = config->limits.log_lines,
  };
  pace_breathe(loader->pace);
  struct script_state *state = script_state_new(&options, error);
  if (state)
    state->pace = loader->pace;
  pace_breathe(loader->pace);
  return state;
}

int loader_keep_mark(struct loader *loader, const char *state, struct error *error) {
  loader->mark = load_mark_open(state, error);
  return -error->code;
}

int loader_keep_mark_away(struct loader *loader, const char *state, struct error *error) {
  struct blocking *blocking = loader->blocking;
  char *own_state = strdup(state);
  if (!own_state)
    return error_set(error, ENOMEM, "no memory to mark what is loaded");
  load_now_store(loader, "the mark on what is loaded");
  blocking_begin(blocking);
  struct load_mark *mark = load_mark_open(own_state, error);
  free(own_state);
  if (!blocking_end(blocking)) {
    load_mark_unref(mark);
    return -ECANCELED;
  }
  load_mark_unref(loader->mark);
  loader->mark = mark;
  return loader_has_mark(loader) ? 0 : -error->code;
}

bool loader_has_mark(const struct loader *loader) { return loader->mark && load_mark_is_kept(loader->mark); }

int loader_keep_mark_at(struct loader *loader, int fd) {
  loader->mark = load_mark_open_at(fd);
  return loader->mark ? 0 : -ENOMEM;
}

void loader_withdraw_mark(struct loader *loader) { load_mark_withdraw(loader->mark); }

struct pace *loader_pace(const struct loader *loader) {
  return loader->pace;
}

struct script_shared *loader_shared(struct loader *loader) {
  return loader->shared;
}

int loader_push_function(const struct loader *loader, lua_State *L, const char *module, const char *function,
                         struct error *error) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  if (script_call(loader->trusted, L, 1, 1, error) < 0)
    return -EINVAL;
  lua_getfield(L, -1, function);
  lua_remove(L, -2);
  return 0;
}

/* In steps. What became garbage during a round that is under way is found by the next: it takes two, unless so little
 * has been made since the last that Lua has not begun one by itself, which it does at twice of what was left. */
static int loader_collect(lua_State *L) {
  const struct loader *loader = lua_touserdata(L, 1);
  bool is_under_way = loader->trusted->memory_used >= 2 * loader->lua_memory;
  for (int rounds = is_under_way ? 0 : 1; rounds < 2; rounds += lua_gc(L, LUA_GCSTEP, 0))
    pace_breathe(loader->pace);
  return 0;
}

/* The directory from the root, as it is written: where a link on the way leads is another release of the same. NULL
 * without memory. */
static char *name_from_root(const char *directory) {
  char *here = directory[0] == '/' ? strdup("") : getcwd(NULL, 0);
  char *whole = NULL, *to;
  if (!here || asprintf(&whole, "%s/%s/", here, directory) < 0)
    whole = NULL;
  free(here);
  if (!(to = whole))
    return NULL;
  for (const char *from = whole; *from;) { /* without what is twice, or leads nowhere: "//", "/./" */
    size_t length = strcspn(from + 1, "/") + 1;
    if (length > 1 && !(length == 2 && from[1] == '.')) {
      memmove(to, from, length);
      to += length;
    }
    from += length;
  }
  if (to == whole)
    *to++ = '/';
  *to = '\0';
  return whole;
}

int load_run_init(struct load_run *run, struct loader *loader, const struct config *config, unsigned workers,
                  struct loaded_routes *loaded) {
  *run = (struct load_run){.loader = loader,
                           .blocking = loader->blocking,
                           .pace = loader->pace,
                           .kind = LOAD_ROUTES,
                           .config = config,
                           .workers = workers,
                           .loaded = loaded};
  char *routes = name_from_root(config->routes), *modules = path_directory(config->routes);
  if (!routes || !modules) {
    free(routes);
    free(modules);
    return -ENOMEM;
  }
  free(loader->routes);
  free(loader->module_path);
  loader->routes = routes;
  run->module_path = loader->module_path = modules;
  script_shared_limit(loader->shared, &config->shared);
  return 0;
}

/* A full collection costs as much as all files together: only when there is something to collect. A save of one file of
 * hundreds leaves a third of what is in use, which is not yet enough. */
static void collect_garbage(struct loader *loader) {
  size_t half = loader->lua_memory / 2 < MEMORY_ROOM ? loader->lua_memory / 2 : MEMORY_ROOM;
  size_t room = loader->lua_memory / 8 > half ? loader->lua_memory / 8 : half;
  if (loader->trusted->memory_used < loader->lua_memory + room)
    return;
  script_protect(loader->trusted, loader_collect, loader);
  loader->lua_memory = loader->trusted->memory_used;
}

int load_run_deinit(struct load_run *run, int status) {
  fault_list_clear(&run->named);
  module_list_clear(&run->cache);
  if (status == -ECANCELED || (run->is_marked && load_mark_away(run, NULL) < 0))
    return -ECANCELED;
  schema_index_begin(run->loader); /* what was found between files is looked for anew, and is in the way till then */
  collect_garbage(run->loader);
  return status;
}

/* What is not committed goes. */
static void forget_fresh(struct file_memory *memory) {
  file_version_unref(memory->fresh);
  memory->fresh = NULL;
}

int loader_commit(struct loader *loader, const struct loaded_routes *loaded) {
  struct memory *memory = &loader->memory;
  for (size_t i = 0; i < loaded->file_count; i++)
    if (!memory_enter(memory, loaded->files[i].file))
      return -ENOMEM;
  if (loaded->listed)
    memory_retain(memory, loaded);
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct loaded_file *file = &loaded->files[i];
    struct file_memory *remembered = memory_find(memory, file->file);
    struct file_version *before = remembered->committed;
    remembered->committed = file->good ? file_version_ref(file->good) : NULL;
    file_version_unref(before);
    forget_fresh(remembered);
    if (!file->ok)
      continue;
    remembered->fault_sum = 0;
    if (file->good)
      file->good->is_copy = false; /* the file says it itself now */
  }
  memory_clear_exclusions(memory);
  return 0;
}
