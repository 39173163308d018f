/* SPDX-License-Identifier: MIT
 *
 * What the tests start from that load real files of a directory: a loader, its config, and what has been loaded. */
#pragma once

#include "../support/scratch.h"

#include "loading/load.h"
#include "script/version.h"

#include <errno.h>

struct fixture {
  struct scratch scratch;
  char routes[96];
  struct clock clock;
  struct log log;
  struct loader *loader;
  struct config config;
  struct loaded_routes loaded;
  struct fault_list faults; /* of the config */
};

static inline const char *in(struct fixture *fixture, const char *name) {
  return scratch_path(&fixture->scratch, name);
}

static inline void write_file(struct fixture *fixture, const char *name, const char *text) {
  scratch_write(&fixture->scratch, name, text);
}

static inline int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  *state = fixture;
  scratch_init(&fixture->scratch);
  snprintf(fixture->routes, sizeof fixture->routes, "%s/routes", fixture->scratch.directory);
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  struct error error;
  fixture->loader = loader_new(&fixture->log, NULL, &error);
  if (!fixture->loader)
    fail_msg("%s", error.message);
  return 0;
}

static inline int tear_down(void **state) {
  struct fixture *fixture = *state;
  loaded_routes_clear(&fixture->loaded);
  config_clear(&fixture->config);
  fault_list_clear(&fixture->faults);
  loader_free(fixture->loader);
  scratch_deinit(&fixture->scratch);
  free(fixture);
  return 0;
}

/* Reads moongate.lua of the directory, which is written when `text` is there. */
static inline int read_config(struct fixture *fixture, const char *text) {
  write_file(fixture, "moongate.lua", text ? text : "return {}");
  char path[128];
  snprintf(path, sizeof path, "%s/moongate.lua", fixture->scratch.directory);
  struct config_overrides overrides = {.config = path};
  config_clear(&fixture->config);
  fault_list_clear(&fixture->faults);
  return loader_read_config(fixture->loader, &overrides, &fixture->config, &fixture->faults);
}

static struct route_shared shared;

static inline void number_of(void *context, const char *name, unsigned *number, struct route_shared **place) {
  (void)name;
  *number = ++*(unsigned *)context;
  *place = &shared;
}

static inline int load(struct fixture *fixture, unsigned workers) {
  unsigned numbers = 0;
  if (!fixture->config.routes)
    assert_int_equal(read_config(fixture, NULL), 0);
  loaded_routes_clear(&fixture->loaded);
  return loader_load_routes(fixture->loader, &fixture->config, workers, number_of, &numbers, &fixture->loaded);
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

/* Loads one file that is to have one fault, in `field`, with `message` in it. */
static inline const struct fault *bad_file(struct fixture *fixture, const char *text, const char *field,
                                           const char *message) {
  write_file(fixture, "routes/bad.lua", text);
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_contains(fault->file, "/routes/bad.lua");
  assert_string_equal(fault->field, field);
  assert_contains(fault->message, message);
  assert_false(fixture->loaded.files[0].ok);
  assert_int_equal(fixture->loaded.files[0].route_count, 0);
  assert_null(fixture->loaded.files[0].version);
  return fault;
}

static inline const struct route *route_at(const struct fixture *fixture, size_t file, size_t index) {
  print_faults(&fixture->loaded.faults);
  assert_true(file < fixture->loaded.file_count);
  assert_true(index < fixture->loaded.files[file].route_count);
  return fixture->loaded.files[file].routes[index];
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
