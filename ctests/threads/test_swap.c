/* SPDX-License-Identifier: MIT
 *
 * A swap over two workers, whose loops are turned by hand: it is live, or it is said why not. */
#include "threads/swap.h"

#include "../support/tables.h"

#include "connection/port_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2 };

struct fixture {
  struct clock clock;
  struct loop control;
  struct log log;
  struct worker_settings settings;
  struct thread thread[WORKERS], *pointers[WORKERS];
  struct threads threads;
  struct swap swap;
  const struct table_pin *pins[WORKERS]; /* of the first table */
  struct route_table *tables[2];
  struct port_change *ports;
  uint16_t resolved[2][1];
  int done, status;
};

static const struct script_hooks hooks = {.table_adopted = no_table_adopted, .table_released = no_table_released};

static void on_drained(struct worker *worker, void *context) {
  (void)worker;
  (void)context;
}

static void on_done(struct swap *swap, int status) {
  struct fixture *fixture = (struct fixture *)(void *)((char *)swap - offsetof(struct fixture, swap));
  fixture->done++;
  fixture->status = status;
}

static struct worker *worker_of(struct fixture *fixture, size_t i) { return &fixture->thread[i].worker; }

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error = {0};
  assert_int_equal(0, loop_init(&fixture->control, &fixture->clock, fixture));
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  for (size_t i = 0; i < 2; i++)
    fixture->tables[i] = table_of((struct route *[]){route_on("a", 0, 0)}, 1);
  for (size_t i = 0; i < WORKERS; i++) {
    fixture->pointers[i] = &fixture->thread[i];
    assert_int_equal(0, worker_init(worker_of(fixture, i), (unsigned)i + 1, WORKERS, &fixture->clock, &fixture->log,
                                    &fixture->settings, &hooks, &error));
    assert_int_equal(0, worker_set_table(worker_of(fixture, i), fixture->tables[0], fixture->resolved[0], &error));
    fixture->pins[i] = worker_of(fixture, i)->pin;
  }
  fixture->threads = (struct threads){.loop = &fixture->control, .threads = fixture->pointers, .count = WORKERS};
  assert_int_equal(0, swap_init(&fixture->swap, &fixture->threads));
  struct worker *workers[] = {worker_of(fixture, 0), worker_of(fixture, 1)};
  fixture->ports = port_change_new(fixture->tables[0], fixture->tables[1]);
  assert_int_equal(
      0, port_change_open(fixture->ports, workers, WORKERS, fixture->resolved[0], fixture->resolved[1], NULL, &error));
  swap_begin(&fixture->swap, fixture->tables[1], fixture->ports, on_done);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  for (size_t i = 0; i < WORKERS; i++)
    worker_deinit(worker_of(fixture, i));
  swap_deinit(&fixture->swap);
  port_change_free(fixture->ports);
  for (size_t i = 0; i < 2; i++)
    route_table_unref(fixture->tables[i]);
  loop_deinit(&fixture->control);
  free(fixture);
  return 0;
}

static void turn_workers(struct fixture *fixture) {
  for (size_t i = 0; i < WORKERS; i++)
    loop_round(&worker_of(fixture, i)->loop, false);
}

static void finish(struct fixture *fixture) {
  for (int round = 0; round < 100 && fixture->done == 0; round++) {
    loop_round(&fixture->control, false);
    turn_workers(fixture);
  }
  assert_int_equal(1, fixture->done);
  assert_false(swap_is_under_way(&fixture->swap));
}

static void is_live_when_all_workers_have_taken_it(void **state) {
  struct fixture *fixture = *state;
  finish(fixture);
  assert_int_equal(0, fixture->status);
  for (size_t i = 0; i < WORKERS; i++)
    assert_ptr_not_equal(fixture->pins[i], worker_of(fixture, i)->pin);
}

static void is_given_up_when_they_have_begun_to_drain_before_they_were_told_to_commit(void **state) {
  struct fixture *fixture = *state;
  turn_workers(fixture); /* the first has prepared it */
  loop_round(&fixture->control, false);
  turn_workers(fixture); /* the second, too; what it says is on its way */
  for (size_t i = 0; i < WORKERS; i++) {
    assert_non_null(worker_of(fixture, i)->change);
    worker_drain(worker_of(fixture, i), 0, on_drained, NULL);
  }
  finish(fixture);
  assert_int_equal(-ESHUTDOWN, fixture->status);
  assert_string_equal("moongate is stopping", fixture->swap.error.message);
}

static void is_given_up_when_one_drains_before_it_has_prepared_it(void **state) {
  struct fixture *fixture = *state;
  turn_workers(fixture);
  worker_drain(worker_of(fixture, 1), 0, on_drained, NULL);
  finish(fixture);
  assert_int_equal(-ESHUTDOWN, fixture->status);
  assert_null(worker_of(fixture, 0)->change);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(is_live_when_all_workers_have_taken_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(is_given_up_when_they_have_begun_to_drain_before_they_were_told_to_commit, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(is_given_up_when_one_drains_before_it_has_prepared_it, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
