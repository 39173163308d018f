/* SPDX-License-Identifier: MIT
 *
 * Thousands of ports: found in a time that grows with their number, and opened and closed a few at a time, so that no
 * client of the worker waits for all of them. */
#include "connection/port_change.h"

#include "../support/scaling.h"
#include "../support/tables.h"
#include "connection/connection_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 300, MOST_ROUNDS = 100000, MATCHES = 100 };

struct fixture {
  struct clock clock;
  struct log log;
  struct worker_settings settings;
  struct worker worker;
  struct route_table *few, *many;
  struct port_change *ports;
  uint16_t before[1], resolved[MANY];
  int committed, drained;
};

static const struct script_hooks hooks = {.table_adopted = no_table_adopted, .table_released = no_table_released};

/* Of `count` routes, each on a port that the kernel gives. */
static struct route_table *table_with(size_t count) {
  struct route **routes = calloc(count, sizeof(struct route *));
  for (size_t i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "r%zu", i);
    routes[i] = route_on(name, 0, 0);
  }
  struct route_table *table = table_of(routes, count);
  free(routes);
  return table;
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error = {0};
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  assert_int_equal(
      0, worker_init(&fixture->worker, 1, 1, &fixture->clock, &fixture->log, &fixture->settings, &hooks, &error));
  fixture->few = table_with(1);
  fixture->many = table_with(MANY);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  worker_deinit(&fixture->worker);
  port_change_free(fixture->ports);
  route_table_unref(fixture->few);
  route_table_unref(fixture->many);
  free(fixture);
  return 0;
}

static void on_committed(struct worker *worker, void *context) {
  (void)worker;
  ((struct fixture *)context)->committed++;
}

static void on_drained(struct worker *worker, void *context) {
  (void)worker;
  ((struct fixture *)context)->drained++;
}

static void begin(struct fixture *fixture, struct route_table *from, uint16_t *before, struct route_table *to,
                  uint16_t *resolved) {
  struct worker *worker = &fixture->worker;
  struct error error = {0};
  assert_int_equal(0, worker_set_table(worker, from, before, &error));
  fixture->ports = port_change_new(from, to);
  assert_int_equal(0, port_change_open(fixture->ports, &worker, 1, before, resolved, NULL, &error));
  assert_int_equal(0, fixture->ports->failure_count);
  assert_int_equal(0, worker_prepare_table(worker, to, fixture->ports, &error));
  worker_commit_table(worker, on_committed, fixture);
}

/* Turns the loop until it is committed: never more than a piece in a round. */
static size_t count_rounds(struct fixture *fixture) {
  const struct worker *worker = &fixture->worker;
  size_t rounds = 0, closed = 0, started = 0;
  for (int i = 0; i < MOST_ROUNDS && fixture->committed == 0; i++) {
    size_t closed_now = worker->change->closed - closed, started_now = worker->change->started - started;
    assert_in_range(closed_now + started_now, 0, 2 * PORTS_A_PIECE);
    rounds += closed_now + started_now > 0;
    closed += closed_now;
    started += started_now;
    loop_round(&fixture->worker.loop, true);
  }
  assert_int_equal(1, fixture->committed);
  assert_null(worker->change);
  return rounds;
}

static void new_ports_are_accepted_on_a_few_at_a_time(void **state) {
  struct fixture *fixture = *state;
  begin(fixture, fixture->few, fixture->before, fixture->many, fixture->resolved);
  assert_in_range(count_rounds(fixture), MANY / PORTS_A_PIECE - 2, MANY);
  assert_int_equal(MANY, fixture->worker.port_count);
  assert_int_equal(fixture->before[0], fixture->resolved[0]);
}

static void ports_that_go_are_closed_a_few_at_a_time(void **state) {
  struct fixture *fixture = *state;
  begin(fixture, fixture->many, fixture->resolved, fixture->few, fixture->before);
  assert_in_range(count_rounds(fixture), MANY / PORTS_A_PIECE - 2, MANY);
  assert_int_equal(1, fixture->worker.port_count);
  assert_int_equal(fixture->before[0], fixture->resolved[0]);
}

static void a_worker_that_drains_closes_them_a_few_at_a_time(void **state) {
  struct fixture *fixture = *state;
  struct worker *worker = &fixture->worker;
  struct error error = {0};
  assert_int_equal(0, worker_set_table(worker, fixture->many, NULL, &error));
  worker_drain(worker, 60000, on_drained, fixture);
  size_t open = MANY, rounds = 0;
  for (int i = 0; i < MOST_ROUNDS && fixture->drained == 0; i++) {
    assert_in_range(open - worker->port_count, 0, PORTS_A_PIECE);
    rounds += open != worker->port_count;
    open = worker->port_count;
    loop_round(&worker->loop, true);
  }
  assert_int_equal(1, fixture->drained);
  assert_int_equal(0, worker->port_count);
  assert_in_range(rounds, MANY / PORTS_A_PIECE - 2, MANY);
}

static void one_that_is_told_to_stop_amid_a_change_takes_it_up_first(void **state) {
  struct fixture *fixture = *state;
  begin(fixture, fixture->few, fixture->before, fixture->many, fixture->resolved);
  assert_non_null(fixture->worker.change);
  worker_drain(&fixture->worker, 0, on_drained, fixture);
  assert_int_equal(1, fixture->committed);
  for (int i = 0; i < MOST_ROUNDS && fixture->drained == 0; i++)
    loop_round(&fixture->worker.loop, true);
  assert_int_equal(1, fixture->drained);
  assert_int_equal(0, fixture->worker.port_count);
}

static void one_that_ends_amid_a_change_leaves_nothing_open(void **state) {
  struct fixture *fixture = *state;
  begin(fixture, fixture->many, fixture->resolved, fixture->few, fixture->before);
  worker_release(&fixture->worker);
  assert_null(fixture->worker.change);
  assert_int_equal(0, fixture->worker.port_count);
}

static void what_others_have_is_found_and_all_of_it_is_told(void **state) {
  struct fixture *fixture = *state;
  struct error error = {0};
  assert_int_equal(0, worker_set_table(&fixture->worker, fixture->many, fixture->resolved, &error));
  struct route *routes[3];
  for (int i = 0; i < 3; i++)
    routes[i] =
        route_on((const char *[]){"a", "b", "c"}[i], i ? fixture->resolved[i] : 0, i ? fixture->resolved[i] : 0);
  struct route_table *table = table_of(routes, 3);
  fixture->ports = port_change_new(NULL, table);
  assert_int_equal(0, port_change_probe(fixture->ports, NULL));
  assert_int_equal(2, fixture->ports->failure_count);
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(EADDRINUSE, fixture->ports->failures[i].error.code);
  port_change_free(fixture->ports);
  fixture->ports = NULL;
  route_table_unref(table);
}

static struct route_table *table_of_range(size_t count) {
  return table_of((struct route *[]){route_on("range", 1, (uint16_t)count)}, 1);
}

/* Often, of few enough that both tables stay in the cache of a core: what misses it grows by its own laws. */
static double match(void *context, size_t count) {
  struct route_table *before = table_of_range(count), *table = table_of_range(count);
  double took = 0;
  (void)context;
  for (int i = 0; i < MATCHES; i++) {
    double began = scaling_cpu();
    struct port_change *ports = port_change_new(before, table);
    took += scaling_cpu() - began;
    assert_int_equal(0, ports->added_count + ports->gone_count);
    port_change_free(ports);
  }
  route_table_unref(before);
  route_table_unref(table);
  return took;
}

static void ports_are_found_again_in_a_time_that_grows_with_their_number(void **state) {
  (void)state;
  assert_scales(match, NULL, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(new_ports_are_accepted_on_a_few_at_a_time),
      TEST(ports_that_go_are_closed_a_few_at_a_time),
      TEST(a_worker_that_drains_closes_them_a_few_at_a_time),
      TEST(one_that_is_told_to_stop_amid_a_change_takes_it_up_first),
      TEST(one_that_ends_amid_a_change_leaves_nothing_open),
      TEST(what_others_have_is_found_and_all_of_it_is_told),
      cmocka_unit_test(ports_are_found_again_in_a_time_that_grows_with_their_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
