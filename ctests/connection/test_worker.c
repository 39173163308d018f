/* SPDX-License-Identifier: MIT
 *
 * A worker's table and its ports, when it is told to stop in between the two steps of changing them. */
#include "../support/tables.h"
#include "connection/port_change.h"
#include "connection/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
  struct clock clock;
  struct log log;
  struct worker_settings settings;
  struct worker worker;
  struct route_table *tables[2];
  struct port_change *ports;
  uint16_t resolved[2][2];
  int adopted; /* tables that the room above has been told of, and not that they are released */
  int drained;
};

static int table_adopted(struct worker *worker, const struct route_table *table) {
  (void)table;
  ((struct fixture *)(void *)((char *)worker - offsetof(struct fixture, worker)))->adopted++;
  return 0;
}

static void table_released(struct worker *worker, const struct route_table *table) {
  (void)table;
  ((struct fixture *)(void *)((char *)worker - offsetof(struct fixture, worker)))->adopted--;
}

static const struct script_hooks hooks = {.table_adopted = table_adopted, .table_released = table_released};

static void on_drained(struct worker *worker, void *context) {
  (void)worker;
  ((struct fixture *)context)->drained++;
}

/* Of `count` routes, each on a port that the kernel gives. */
static struct route_table *make_table(size_t count) {
  static const char *const names[] = {"a", "b"};
  struct route *routes[2];
  for (size_t i = 0; i < count; i++)
    routes[i] = route_on(names[i], 0, 0);
  return table_of(routes, count);
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error = {0};
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  assert_int_equal(
      0, worker_init(&fixture->worker, 1, 1, &fixture->clock, &fixture->log, &fixture->settings, &hooks, &error));
  for (size_t i = 0; i < 2; i++)
    fixture->tables[i] = make_table(i + 1);
  assert_int_equal(0, worker_set_table(&fixture->worker, fixture->tables[0], fixture->resolved[0], &error));
  struct worker *worker = &fixture->worker;
  fixture->ports = port_change_new(fixture->tables[0], fixture->tables[1]);
  assert_int_equal(
      0, port_change_open(fixture->ports, &worker, 1, fixture->resolved[0], fixture->resolved[1], NULL, &error));
  assert_int_equal(0, fixture->ports->failure_count);
  assert_int_equal(fixture->resolved[0][0], fixture->resolved[1][0]);
  assert_int_equal(0, worker_prepare_table(&fixture->worker, fixture->tables[1], fixture->ports, &error));
  assert_int_equal(2, fixture->adopted);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  worker_deinit(&fixture->worker);
  assert_int_equal(0, fixture->adopted);
  port_change_free(fixture->ports);
  for (size_t i = 0; i < 2; i++)
    route_table_unref(fixture->tables[i]);
  free(fixture);
  return 0;
}

static void a_prepared_table_is_taken(void **state) {
  struct fixture *fixture = *state;
  worker_commit_table(&fixture->worker, NULL, NULL);
  assert_int_equal(2, fixture->worker.port_count);
  assert_int_equal(1, fixture->adopted);
}

static void a_worker_that_drains_gives_a_prepared_table_up(void **state) {
  struct fixture *fixture = *state;
  worker_drain(&fixture->worker, 0, on_drained, fixture);
  assert_int_equal(1, fixture->drained);
  assert_null(fixture->worker.change);
  assert_int_equal(0, fixture->worker.port_count);
  assert_int_equal(1, fixture->adopted);
  worker_abort_table(&fixture->worker); /* what the others are told then is nothing to it */
}

static void a_worker_that_ends_gives_a_prepared_table_up(void **state) {
  struct fixture *fixture = *state;
  worker_release(&fixture->worker);
  assert_null(fixture->worker.change);
  assert_int_equal(0, fixture->adopted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_prepared_table_is_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_worker_that_drains_gives_a_prepared_table_up, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_worker_that_ends_gives_a_prepared_table_up, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
