/* SPDX-License-Identifier: MIT
 *
 * A worker accepts for another whose loop does not run: on its ports, on those that it has only prepared, until they
 * are handed back or close. */
#include "../support/tables.h"
#include "connection/port_change.h"
#include "connection/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 64, ROUNDS = 10000 };

struct fixture {
  struct clock clock;
  struct log log;
  struct worker_settings settings;
  struct worker stuck, helper;
  struct route_table *tables[2]; /* of one port, of two */
  uint16_t resolved[2];
  int clients[2 * CLIENTS];
  size_t client_count;
};

static int handler_start(struct exchange *exchange) {
  (void)exchange;
  return -ENOMEM;
}

static const struct script_hooks hooks = {
    .table_adopted = no_table_adopted, .table_released = no_table_released, .handler_start = handler_start};

/* Of `count` routes whose handler can't be started, each on a port that the kernel gives. */
static struct route_table *make_table(size_t count) {
  static const char *const names[] = {"a", "b"};
  struct route *routes[2];
  for (size_t i = 0; i < count; i++) {
    routes[i] = route_on(names[i], 0, 0);
    routes[i]->action = ROUTE_HANDLER;
  }
  return table_of(routes, count);
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error = {0};
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  assert_int_equal(
      0, worker_init(&fixture->stuck, 1, 2, &fixture->clock, &fixture->log, &fixture->settings, &hooks, &error));
  assert_int_equal(
      0, worker_init(&fixture->helper, 2, 2, &fixture->clock, &fixture->log, &fixture->settings, &hooks, &error));
  for (size_t i = 0; i < 2; i++)
    fixture->tables[i] = make_table(i + 1);
  assert_int_equal(0, worker_set_table(&fixture->stuck, fixture->tables[0], fixture->resolved, &error));
  assert_int_equal(0, worker_set_table(&fixture->helper, fixture->tables[0], fixture->resolved, &error));
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  for (size_t i = 0; i < fixture->client_count; i++)
    close(fixture->clients[i]);
  worker_deinit(&fixture->helper);
  worker_deinit(&fixture->stuck);
  for (size_t i = 0; i < 2; i++)
    route_table_unref(fixture->tables[i]);
  free(fixture);
  return 0;
}

static void connect_clients(struct fixture *fixture, uint16_t port) {
  struct endpoint endpoint;
  assert_int_equal(0, endpoint_from_literal(&endpoint, "127.0.0.1", port));
  for (size_t i = 0; i < CLIENTS; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&endpoint.storage, endpoint.length));
    fixture->clients[fixture->client_count++] = fd;
  }
}

static uint64_t accepted(const struct worker *worker) { return worker->metrics->worker.connections; }

static void await_accepted(struct worker *worker, uint64_t count) {
  for (int i = 0; i < ROUNDS && accepted(worker) < count; i++)
    loop_round(&worker->loop, false);
  assert_int_equal(count, accepted(worker));
}

static size_t take_over(struct fixture *fixture) {
  struct worker_takeover progress = {.next = 0};
  while (worker_take_over(&fixture->helper, &fixture->stuck, &progress))
    ;
  assert_int_equal(0, progress.failed);
  return progress.ports;
}

static void all_that_comes_in_is_accepted(void **state) {
  struct fixture *fixture = *state;
  connect_clients(fixture, fixture->resolved[0]); /* part of them waits in the queue of the one that is stuck */
  assert_int_equal(1, take_over(fixture));
  await_accepted(&fixture->helper, CLIENTS);
  connect_clients(fixture, fixture->resolved[0]);
  await_accepted(&fixture->helper, 2 * (uint64_t)CLIENTS);
  assert_int_equal(0, accepted(&fixture->stuck));
}

static void what_is_handed_back_is_its_owners(void **state) {
  struct fixture *fixture = *state;
  take_over(fixture);
  assert_false(worker_hand_back(&fixture->helper, &fixture->stuck));
  assert_true(list_is_empty(&fixture->helper.loans));
  connect_clients(fixture, fixture->resolved[0]);
  for (int i = 0; i < ROUNDS && accepted(&fixture->helper) + accepted(&fixture->stuck) < CLIENTS; i++) {
    loop_round(&fixture->helper.loop, false);
    loop_round(&fixture->stuck.loop, false);
  }
  assert_int_equal(CLIENTS, accepted(&fixture->helper) + accepted(&fixture->stuck));
  assert_true(accepted(&fixture->stuck) > 0);
}

static void an_owner_that_closes_its_ports_takes_nothing_away(void **state) {
  struct fixture *fixture = *state;
  take_over(fixture);
  worker_release(&fixture->stuck);
  connect_clients(fixture, fixture->resolved[0]);
  await_accepted(&fixture->helper, CLIENTS);
  assert_false(worker_hand_back(&fixture->helper, &fixture->stuck));
}

static void ports_that_close_give_up_what_was_taken_over_for_them(void **state) {
  struct fixture *fixture = *state;
  connect_clients(fixture, fixture->resolved[0]);
  take_over(fixture);
  worker_release(&fixture->helper);
  assert_true(list_is_empty(&fixture->helper.loans));
  assert_int_equal(CLIENTS, accepted(&fixture->helper)); /* what had come in was accepted first */
}

/* Stuck between the two steps of a swap, while the others are through with it. */
static void ports_that_it_has_prepared_are_taken_over_too(void **state) {
  struct fixture *fixture = *state;
  struct error error = {0};
  struct worker *stuck = &fixture->stuck;
  uint16_t before = fixture->resolved[0];
  struct port_change *ports = port_change_new(fixture->tables[0], fixture->tables[1]);
  assert_int_equal(0, port_change_open(ports, &stuck, 1, &before, fixture->resolved, NULL, &error));
  assert_int_equal(0, worker_prepare_table(stuck, fixture->tables[1], ports, &error));
  assert_int_equal(0, worker_set_table(&fixture->helper, fixture->tables[1], fixture->resolved, &error));
  assert_int_equal(2, take_over(fixture));
  connect_clients(fixture, fixture->resolved[1]);
  await_accepted(&fixture->helper, CLIENTS);
  worker_abort_table(stuck);
  port_change_free(ports);
}

static void await_none_waits(struct fixture *fixture) {
  connect_clients(fixture, fixture->resolved[0]);
  await_accepted(&fixture->helper, CLIENTS);
}

static void too_few_descriptors_are_told(void **state) {
  struct fixture *fixture = *state;
  struct worker_takeover progress = {.next = 0};
  fixture->settings.descriptors = 3;
  assert_false(worker_take_over(&fixture->helper, &fixture->stuck, &progress));
  assert_int_equal(0, progress.ports);
  assert_int_equal(1, progress.failed);
  fixture->settings.descriptors = 0;
  assert_int_equal(1, take_over(fixture)); /* the next time there are enough */
  await_none_waits(fixture);
}

/* It is asked for again and again while the other is stuck. */
static void what_is_taken_over_is_so_once(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 3; i++)
    assert_int_equal(1, take_over(fixture));
  assert_ptr_equal(fixture->helper.loans.next->next, &fixture->helper.loans);
  await_none_waits(fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_that_comes_in_is_accepted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_handed_back_is_its_owners, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_owner_that_closes_its_ports_takes_nothing_away, set_up, tear_down),
      cmocka_unit_test_setup_teardown(ports_that_close_give_up_what_was_taken_over_for_them, set_up, tear_down),
      cmocka_unit_test_setup_teardown(ports_that_it_has_prepared_are_taken_over_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(too_few_descriptors_are_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_taken_over_is_so_once, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
