/* SPDX-License-Identifier: MIT
 *
 * For tests of what a real worker does with a real route file: one directory, one file, one worker. */
#pragma once

#include "scratch.h"

#include "connection/connection.h"
#include "loading/load.h"
#include "script/worker_script.h"

struct serving {
  struct scratch scratch;
  struct clock clock;
  struct log log;
  struct loader *loader;
  struct config config;
  struct loaded_routes loaded;
  struct route_table *table; /* NULL: nothing is served */
  struct worker worker;
  struct route_shared shared;
  unsigned names;
};

static inline void serving_init(struct serving *serving, int log_fd) {
  scratch_init(&serving->scratch);
  log_init(&serving->log, &serving->clock, log_fd);
}

static inline void serving_deinit(struct serving *serving) {
  if (serving->table != NULL) {
    worker_release(&serving->worker);
    route_table_unref(serving->table);
    script_worker_free(serving->worker.script);
    worker_deinit(&serving->worker);
  }
  loaded_routes_clear(&serving->loaded);
  config_clear(&serving->config);
  loader_free(serving->loader);
  scratch_deinit(&serving->scratch);
}

static inline void serving_number_of(void *context, const char *name, unsigned *number, struct route_shared **shared) {
  struct serving *serving = context;
  (void)name;
  *number = ++serving->names;
  *shared = &serving->shared;
}

/* Loads a file of this content. 0, or what loading it comes to. */
static inline int serving_load(struct serving *serving, const char *file) {
  struct error error = {0};
  struct fault_list faults = {0};
  scratch_write(&serving->scratch, "routes/a.lua", file);
  scratch_write(&serving->scratch, "moongate.lua", "return { workers = 1, limits = { script_time = '50ms' } }");
  struct config_overrides overrides = {.config = scratch_path(&serving->scratch, "moongate.lua")};
  serving->loader = loader_new(&serving->log, NULL, &error);
  assert_non_null(serving->loader);
  assert_int_equal(0, loader_read_config(serving->loader, &overrides, &serving->config, &faults));
  return loader_load_routes(serving->loader, &serving->config, 1, serving_number_of, serving, &serving->loaded);
}

/* Loads it, and has the worker serve it: that worker's state, which the file's version has. */
static inline struct script_state *serving_start(struct serving *serving, const char *content) {
  struct error error = {0};
  if (serving_load(serving, content) != 0)
    fail_msg("%s", serving->loaded.faults.faults[0].message);
  const struct loaded_file *file = &serving->loaded.files[0];
  struct script_version *scripts[] = {script_version_ref(file->version)};
  serving->table = route_table_new(file->routes, file->route_count, scripts, 1, script_version_unref, &error);
  assert_non_null(serving->table);
  assert_int_equal(0, worker_init(&serving->worker, 1, 1, &serving->clock, &serving->log, &serving->config.settings,
                                  &script_worker_hooks, &error));
  assert_int_equal(0, script_worker_new(&serving->worker, &error));
  assert_int_equal(0, worker_set_table(&serving->worker, serving->table, NULL, &error));
  return script_version_state(file->version, 1);
}
