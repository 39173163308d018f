/* SPDX-License-Identifier: MIT
 *
 * The watcher: no change is lost, whenever it comes, and it is told once for many. */
#include "reload/watcher.h"

#include "loading/load.h"
#include "threads/loading.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 128, RACES = 3000, PATIENCE_S = 20 };

struct fixture {
  struct clock clock;
  struct log log;
  struct loop loop;
  struct loader *loader;
  struct loading loading;
  struct watcher *watcher;
  unsigned told;
  char root[32], routes[PATH_SIZE], modules[PATH_SIZE];
  atomic_uint go, gone; /* the saver's rounds: to begin, done */
  atomic_bool stop;
};

static void on_changed(void *context) { ((struct fixture *)context)->told++; }

static void save(const char *directory, const char *name) {
  char aside[2 * PATH_SIZE], path[2 * PATH_SIZE];

  snprintf(aside, sizeof aside, "%s/%s.new~", directory, name);
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen(aside, "w");
  assert_non_null(file);
  fclose(file);
  assert_int_equal(0, rename(aside, path));
}

static double now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Rounds of the loop, past the debounce, until it has been told so often; false when it is not within the patience. */
static bool await_told(struct fixture *fixture, unsigned count, double patience) {
  for (double end = now() + patience; fixture->told < count;) {
    if (now() > end)
      return false;
    loop_round(&fixture->loop, false);
    clock_advance(&fixture->clock, UINT64_C(1000000) * WATCHER_LONGEST_MS);
  }
  return true;
}

/* Until nothing more comes, of the loader thread neither. */
static void settle(struct fixture *fixture) {
  for (int i = 0; i < 4; i++) {
    do
      loop_round(&fixture->loop, false);
    while (fixture->loading.current || fixture->loading.first);
    clock_advance(&fixture->clock, UINT64_C(1000000) * WATCHER_LONGEST_MS);
  }
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  *state = fixture;
  snprintf(fixture->root, sizeof fixture->root, "/tmp/test_watcher.XXXXXX");
  assert_non_null(mkdtemp(fixture->root));
  snprintf(fixture->routes, PATH_SIZE, "%s/routes", fixture->root);
  snprintf(fixture->modules, PATH_SIZE, "%s/modules", fixture->root);
  assert_int_equal(0, mkdir(fixture->routes, 0700) | mkdir(fixture->modules, 0700));
  assert_int_equal(0, loop_init(&fixture->loop, &fixture->clock, NULL));
  struct error error;
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->loader = loader_new(&fixture->log, NULL, &error);
  assert_non_null(fixture->loader);
  assert_int_equal(0, loading_start(&fixture->loading, &fixture->loop, &fixture->log, fixture->loader, &error));
  fixture->watcher = watcher_new(&fixture->loop, &fixture->loading, fixture->routes, on_changed, fixture, &error);
  assert_non_null(fixture->watcher);
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  char command[64];
  watcher_free(fixture->watcher);
  while (fixture->loading.current || fixture->loading.first)
    loop_round(&fixture->loop, false);
  assert_false(loading_deinit(&fixture->loading));
  loader_free(fixture->loader);
  loop_deinit(&fixture->loop);
  snprintf(command, sizeof command, "rm -rf %s", fixture->root);
  int status = system(command); /* NOLINT(cert-env33-c): a fixed name */
  free(fixture);
  return status;
}

static void what_changed_before_the_first_watch_is_looked_at(void **state) {
  struct fixture *fixture = *state;
  assert_true(await_told(fixture, 1, PATIENCE_S));
  settle(fixture);
  assert_int_equal(fixture->told, 1);
}

static void a_save_is_told_once(void **state) {
  struct fixture *fixture = *state;
  settle(fixture);
  unsigned before = fixture->told;
  save(fixture->routes, "site.lua");
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  assert_int_equal(fixture->told, before + 1);
}

static void other_names_are_nothing(void **state) {
  struct fixture *fixture = *state;
  settle(fixture);
  unsigned before = fixture->told;
  save(fixture->routes, "site.lua~");
  save(fixture->routes, ".site.lua");
  settle(fixture);
  assert_int_equal(fixture->told, before);
}

static void the_first_watch_of_a_file_is_followed_by_a_look(void **state) {
  struct fixture *fixture = *state;
  char module[2 * PATH_SIZE];
  snprintf(module, sizeof module, "%s/part.lua", fixture->modules);
  const char *const others[] = {module};
  settle(fixture);
  unsigned before = fixture->told;
  watcher_set_files(fixture->watcher, others, 1);
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  watcher_set_files(fixture->watcher, others, 1);
  settle(fixture);
  assert_int_equal(fixture->told, before + 1);
}

static void watch_module(struct fixture *fixture) {
  char module[2 * PATH_SIZE];
  snprintf(module, sizeof module, "%s/part.lua", fixture->modules);
  watcher_set_files(fixture->watcher, (const char *const[]){module}, 1);
  settle(fixture);
}

/* What happens beside the names that lead somewhere is no look, and is not told. */
static void what_moves_in_unrelated_parts_costs_nothing(void **state) {
  struct fixture *fixture = *state;
  char path[2 * PATH_SIZE], other[2 * PATH_SIZE];
  settle(fixture);
  watch_module(fixture);
  unsigned before = fixture->told;
  const char *const places[] = {fixture->root, fixture->modules};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    for (int k = 0; k < 20; k++) {
      snprintf(path, sizeof path, "%s/release-%d", places[i], k);
      snprintf(other, sizeof other, "%s/other-%d", places[i], k);
      assert_int_equal(0, mkdir(path, 0700));
      assert_int_equal(0, rename(path, other));
    }
    save(places[i], "unrelated.lua");
    loop_round(&fixture->loop, false);
    assert_null(fixture->loading.current);
    settle(fixture);
  }
  assert_int_equal(fixture->told, before);
  save(fixture->modules, "part.lua");
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
}

static void write_in_place(const char *path) {
  FILE *file = fopen(path, "a");
  assert_non_null(file);
  fputs("-- more\n", file);
  fclose(file);
}

static void a_file_is_written_by_another_name_of_it(void **state) {
  struct fixture *fixture = *state;
  char path[2 * PATH_SIZE], other[2 * PATH_SIZE];
  save(fixture->routes, "site.lua");
  snprintf(path, sizeof path, "%s/site.lua", fixture->routes);
  snprintf(other, sizeof other, "%s/elsewhere", fixture->root);
  settle(fixture);
  assert_int_equal(0, link(path, other)); /* after it has been watched */
  settle(fixture);
  unsigned before = fixture->told;
  write_in_place(other);
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
}

/* current -> releases/N, with links before and behind it; then a parent that was not there. */
static void a_link_on_the_way_is_switched(void **state) {
  struct fixture *fixture = *state;
  char path[2 * PATH_SIZE], target[2 * PATH_SIZE], aside[2 * PATH_SIZE];
  struct error error;
  settle(fixture);
  watcher_free(fixture->watcher);
  for (int i = 1; i <= 2; i++) {
    snprintf(path, sizeof path, "%s/r%d", fixture->root, i);
    assert_int_equal(0, mkdir(path, 0700));
    snprintf(path, sizeof path, "%s/r%d/real", fixture->root, i);
    assert_int_equal(0, mkdir(path, 0700));
    snprintf(path, sizeof path, "%s/r%d/routes", fixture->root, i);
    assert_int_equal(0, symlink("real", path));
  }
  snprintf(path, sizeof path, "%s/current", fixture->root);
  assert_int_equal(0, symlink("r1", path));
  snprintf(target, sizeof target, "%s/app", fixture->root);
  assert_int_equal(0, symlink(path, target));
  snprintf(target, sizeof target, "%s/app/routes", fixture->root);
  fixture->watcher = watcher_new(&fixture->loop, &fixture->loading, target, on_changed, fixture, &error);
  assert_non_null(fixture->watcher);
  settle(fixture);
  unsigned before = fixture->told;
  snprintf(aside, sizeof aside, "%s/current.new", fixture->root);
  assert_int_equal(0, symlink("r2", aside) | rename(aside, path));
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  before = fixture->told;
  snprintf(path, sizeof path, "%s/r2/real", fixture->root);
  save(path, "site.lua");
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  before = fixture->told;
  snprintf(path, sizeof path, "%s/r1/real", fixture->root); /* nobody's any more */
  save(path, "site.lua");
  settle(fixture);
  assert_int_equal(fixture->told, before);
  snprintf(path, sizeof path, "%s/current", fixture->root);
  assert_int_equal(0, unlink(path));
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  before = fixture->told;
  assert_int_equal(0, symlink("r3/deep", path));
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  before = fixture->told;
  snprintf(path, sizeof path, "%s/r3", fixture->root);
  assert_int_equal(0, mkdir(path, 0700));
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
  settle(fixture);
  before = fixture->told;
  snprintf(path, sizeof path, "%s/r3/deep", fixture->root);
  assert_int_equal(0, mkdir(path, 0700));
  assert_true(await_told(fixture, before + 1, PATIENCE_S));
}

static void *save_in_rounds(void *argument) {
  struct fixture *fixture = argument;
  for (unsigned round = 1; !atomic_load(&fixture->stop); round++) {
    while (atomic_load(&fixture->go) < round && !atomic_load(&fixture->stop))
      ;
    if (atomic_load(&fixture->stop))
      break;
    save(fixture->routes, "site.lua");
    atomic_store(&fixture->gone, round);
  }
  return NULL;
}

/* Once in some thousand saves one was never live: the watches were being set anew, after the swap before. */
static void a_save_is_not_lost_while_the_watches_are_set_anew(void **state) {
  struct fixture *fixture = *state;
  pthread_t saver;
  unsigned lost = 0;
  settle(fixture);
  assert_int_equal(0, pthread_create(&saver, NULL, save_in_rounds, fixture));
  for (unsigned round = 1; round <= RACES && lost == 0; round++) {
    unsigned before = fixture->told;
    atomic_store(&fixture->go, round);
    while (atomic_load(&fixture->gone) < round) {
      watcher_set_files(fixture->watcher, NULL, 0);
      loop_round(&fixture->loop, false);
    }
    lost += !await_told(fixture, before + 1, 1);
  }
  atomic_store(&fixture->stop, true);
  pthread_join(saver, NULL);
  assert_int_equal(lost, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_changed_before_the_first_watch_is_looked_at, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_save_is_told_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(other_names_are_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_first_watch_of_a_file_is_followed_by_a_look, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_moves_in_unrelated_parts_costs_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_is_written_by_another_name_of_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_link_on_the_way_is_switched, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_save_is_not_lost_while_the_watches_are_set_anew, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
