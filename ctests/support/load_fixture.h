/* SPDX-License-Identifier: MIT
 *
 * For tests that load again and again: a directory with routes/ and state/, a loader, and what it loaded last. */
#pragma once

#include "scratch.h"

#include "loading/load.h"
#include "loading/load_private.h"
#include "script/version.h"

#include <errno.h>

enum { WORKERS = 2 };

struct fixture {
  struct scratch scratch;
  struct clock clock;
  struct log log;
  struct loader *loader;
  struct config config;
  struct loaded_routes loaded;
  unsigned numbers; /* given out */
  struct route_shared shared;
};

static inline const char *in(struct fixture *fixture, const char *name) {
  return scratch_path(&fixture->scratch, name);
}

static inline void write_file(struct fixture *fixture, const char *name, const char *text) {
  scratch_write(&fixture->scratch, name, text);
}

static inline void delete_file(struct fixture *fixture, const char *name) {
  assert_int_equal(remove(in(fixture, name)), 0);
}

static inline bool exists(struct fixture *fixture, const char *name) { return access(in(fixture, name), F_OK) == 0; }

static inline void read_config(struct fixture *fixture, const char *fields) {
  char text[1024], path[128];
  struct fault_list faults = {0};
  snprintf(text, sizeof text, "return { state = 'state', %s }", fields);
  write_file(fixture, "moongate.lua", text);
  snprintf(path, sizeof path, "%s/moongate.lua", fixture->scratch.directory);
  struct config_overrides overrides = {.config = path};
  config_clear(&fixture->config);
  assert_int_equal(loader_read_config(fixture->loader, &overrides, &fixture->config, &faults), 0);
}

static inline void open_loader(struct fixture *fixture) {
  struct error error;
  fixture->loader = loader_new(&fixture->log, NULL, &error);
  if (!fixture->loader)
    fail_msg("%s", error.message);
}

static inline int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  *state = fixture;
  scratch_init(&fixture->scratch);
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  open_loader(fixture);
  read_config(fixture, "");
  return 0;
}

static inline int tear_down(void **state) {
  struct fixture *fixture = *state;
  loaded_routes_clear(&fixture->loaded);
  config_clear(&fixture->config);
  loader_free(fixture->loader);
  scratch_deinit(&fixture->scratch);
  free(fixture);
  return 0;
}

static inline void number_of(void *context, const char *name, unsigned *number, struct route_shared **place) {
  struct fixture *fixture = context;
  (void)name;
  *number = ++fixture->numbers;
  *place = &fixture->shared;
}

/* Loads, without committing. */
static inline int load(struct fixture *fixture) {
  loaded_routes_clear(&fixture->loaded);
  return loader_load_routes(fixture->loader, &fixture->config, WORKERS, number_of, fixture, &fixture->loaded);
}

static inline int load_and_commit(struct fixture *fixture) {
  int status = load(fixture);
  assert_int_equal(loader_commit(fixture->loader, &fixture->loaded), 0);
  return status;
}

static inline void store(struct fixture *fixture) {
  struct error error;
  if (loader_store_last_good(fixture->loader, fixture->config.state, 0, &error) != 0)
    fail_msg("%s", error.message);
}

/* What a new process would begin with. */
static inline void restart(struct fixture *fixture) {
  loaded_routes_clear(&fixture->loaded);
  loader_free(fixture->loader);
  open_loader(fixture);
}

static inline void print_faults(const struct fault_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    char text[1024];
    fault_format(&list->faults[i], text, sizeof text);
    print_message("  %s\n", text);
  }
}

static inline const struct fault *only_fault(const struct fault_list *list) {
  if (list->count != 1)
    print_faults(list);
  assert_int_equal(list->count, 1);
  return &list->faults[0];
}

static inline void assert_contains(const char *text, const char *part) {
  if (!strstr(text, part))
    fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static inline const struct loaded_file *file_of(const struct fixture *fixture, const char *name) {
  for (size_t i = 0; i < fixture->loaded.file_count; i++)
    if (strcmp(fixture->loaded.files[i].file, name) == 0)
      return &fixture->loaded.files[i];
  print_faults(&fixture->loaded.faults);
  fail_msg("%s is not among the files", name);
  return NULL;
}

static inline struct route *route_of(const struct fixture *fixture, const char *file, const char *name) {
  const struct loaded_file *loaded = file_of(fixture, file);
  for (size_t i = 0; i < loaded->route_count; i++)
    if (strcmp(loaded->routes[i]->name, name) == 0)
      return loaded->routes[i];
  return NULL;
}

/* What a function returns in the state of worker 1. */
static inline int call(const struct route *route) {
  struct script_state *script = route->script->states[0];
  struct error error;
  script_version_push(route->script, 1, route->handler_function, script->L);
  if (script_call(script, script->L, 0, 1, &error) < 0)
    fail_msg("%s", error.message);
  int result = (int)lua_tointeger(script->L, -1);
  lua_pop(script->L, 1);
  return result;
}

#define PLAIN(name, port) "{ name = '" name "', match = { ports = " port " }, action = { target = 'a:1' } }"
#define HANDLER(name, port, body)                                                                                      \
  "{ name = '" name "', match = { ports = " port " }, action = { handler = function() " body " end } }"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
