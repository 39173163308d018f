/* SPDX-License-Identifier: MIT
 *
 * Names of routes that come and go: numbers are used again, and in every answer the sums hold, while the workers, whose
 * loops are turned by hand, are on their way. */
#include "threads/folding.h"

#include "connection/limits.h"
#include "routing/route.h"
#include "routing/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 2 };

struct fixture {
  struct clock clock;
  struct loop control;
  struct names names;
  struct snapshots snapshots;
  struct thread thread[WORKERS], *pointers[WORKERS];
  struct threads threads;
  struct folding folding;
  uint64_t counted; /* bytes, in all */
  double removed;   /* that were told last */
};

static struct worker *worker_of(struct fixture *fixture, size_t i) { return &fixture->thread[i].worker; }

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_int_equal(0, loop_init(&fixture->control, &fixture->clock, fixture));
  assert_int_equal(0, names_init(&fixture->names));
  assert_int_equal(0, snapshots_init(&fixture->snapshots, &fixture->control, &fixture->names, WORKERS));
  for (size_t i = 0; i < WORKERS; i++) {
    struct worker *worker = worker_of(fixture, i);
    assert_int_equal(0, loop_init(&worker->loop, &fixture->clock, worker));
    worker->metrics = metrics_shard_new();
    snapshots_set_worker(&fixture->snapshots, i, worker);
    fixture->pointers[i] = &fixture->thread[i];
  }
  fixture->threads = (struct threads){.loop = &fixture->control, .threads = fixture->pointers, .count = WORKERS};
  assert_int_equal(0, folding_init(&fixture->folding, &fixture->names, &fixture->snapshots, &fixture->threads));
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  for (size_t i = 0; i < WORKERS; i++)
    loop_deinit(&worker_of(fixture, i)->loop);
  loop_round(&fixture->control, false);
  snapshots_deinit(&fixture->snapshots);
  folding_deinit(&fixture->folding);
  loop_deinit(&fixture->control);
  for (size_t i = 0; i < WORKERS; i++)
    metrics_shard_free(worker_of(fixture, i)->metrics);
  names_deinit(&fixture->names);
  free(fixture);
  return 0;
}

static struct route *route_named(struct fixture *fixture, const char *name) {
  struct route *route = route_new();
  assert_non_null(route);
  route->name = strdup(name);
  route->file = strdup("test.lua");
  route->stats = names_number(&fixture->names, name, &route->shared);
  return route;
}

/* A table of `count` routes "generation-0" …, each of which has counted a byte on each worker. */
static struct route_table *table_of(struct fixture *fixture, unsigned generation, size_t count) {
  struct route_table *table = calloc(1, sizeof *table);
  atomic_init(&table->references, 1);
  table->routes = calloc(count, sizeof(struct route *));
  for (; table->route_count < count; table->route_count++) {
    char name[32];
    snprintf(name, sizeof name, "%u-%zu", generation, table->route_count);
    struct route *route = table->routes[table->route_count] = route_named(fixture, name);
    assert_int_not_equal(METRIC_NO_ROUTE, route->stats);
    for (size_t i = 0; i < WORKERS; i++) {
      struct route_stats *stats = metrics_shard_route(worker_of(fixture, i)->metrics, route->stats);
      assert_int_equal(0, stats->bytes.in); /* nothing of who had the number before */
      stats->bytes.in++;
      fixture->counted++;
    }
  }
  return table;
}

static double number_at(const struct value *table, const char *key) { return value_get(table, key)->number; }

/* The worker's last copy is as its counters are now. */
static void copy(struct fixture *fixture, size_t i) {
  assert_int_equal(0, shard_copy_take(&fixture->snapshots.parts[i].last, worker_of(fixture, i)->metrics));
}

static void expect_sums(struct fixture *fixture, size_t routes) {
  struct value *sum = snapshots_sum(&fixture->snapshots);
  double removed = number_at(value_get(sum, "removed"), "bytes_in"), bytes = removed;
  size_t count = 0;
  for (const struct value *route = value_get(sum, "routes")->first; route; route = route->next, count++)
    bytes += number_at(route, "bytes_in");
  assert_true(bytes == number_at(sum, "bytes_in"));
  assert_true(bytes == (double)fixture->counted);
  assert_true(removed >= fixture->removed);
  fixture->removed = removed;
  assert_int_equal(count, routes + 1); /* and "(none)" */
  value_free(sum);
}

static void turn(struct fixture *fixture, size_t i) {
  loop_round(&worker_of(fixture, i)->loop, false);
  loop_round(&fixture->control, false);
}

static void fold_all(struct fixture *fixture) {
  folding_begin(&fixture->folding);
  for (int round = 0; round < 1000 && fixture->folding.missing > 0; round++)
    for (size_t i = 0; i < WORKERS; i++)
      turn(fixture, i);
  assert_int_equal(0, fixture->folding.missing);
}

static void names_of_many_swaps_take_the_room_of_a_few_and_sums_hold(void **state) {
  enum { SWAPS = 101, ROUTES = 3000 };
  struct fixture *fixture = *state;
  struct route_table *live = NULL;
  for (unsigned swap = 0; swap < SWAPS; swap++) {
    struct route_table *before = live;
    live = table_of(fixture, swap, ROUTES);
    names_retain(&fixture->names, before, live, 0);
    for (size_t i = 0; i < WORKERS; i++)
      copy(fixture, i);
    if (swap % 10 == 0)
      expect_sums(fixture, ROUTES);
    route_table_unref(before);
    fold_all(fixture);
    if (swap % 10 == 0)
      expect_sums(fixture, ROUTES); /* though no worker has sent a new copy */
  }
  assert_in_range(fixture->names.count, ROUTES, 2 * ROUTES + 1);
  for (size_t i = 0; i < WORKERS; i++)
    assert_in_range(worker_of(fixture, i)->metrics->live_count, ROUTES, ROUTES + 1);
  route_table_unref(live);
}

static void while_one_worker_has_folded_and_the_other_not_sums_hold(void **state) {
  struct fixture *fixture = *state;
  struct route_table *one = table_of(fixture, 1, 10), *two = table_of(fixture, 2, 10);
  names_retain(&fixture->names, NULL, two, 0);
  route_table_unref(one);
  copy(fixture, 0);
  copy(fixture, 1);
  expect_sums(fixture, 10);
  folding_begin(&fixture->folding);
  turn(fixture, 0);
  expect_sums(fixture, 10);
  copy(fixture, 0);
  expect_sums(fixture, 10);
  turn(fixture, 1);
  assert_int_equal(0, fixture->folding.missing);
  expect_sums(fixture, 10);
  copy(fixture, 1);
  expect_sums(fixture, 10);
  route_table_unref(two);
}

static void a_name_whose_record_is_used_keeps_its_number(void **state) {
  struct fixture *fixture = *state;
  struct route_table *one = table_of(fixture, 1, 1), *two = table_of(fixture, 2, 1);
  struct route *used = route_ref(one->routes[0]); /* a connection's */
  names_retain(&fixture->names, NULL, two, 0);
  route_table_unref(one);
  fold_all(fixture);
  assert_true(names_is_removed(&fixture->names, used->stats));
  struct route *third = route_named(fixture, "third");
  assert_int_not_equal(used->stats, third->stats);
  unsigned number = used->stats;
  route_unref(used);
  fold_all(fixture);
  struct route *fourth = route_named(fixture, "fourth");
  assert_int_equal(number, fourth->stats);
  assert_int_not_equal(third->shared->scope, fourth->shared->scope);
  route_unref(third);
  route_unref(fourth);
  route_table_unref(two);
}

static void a_record_that_did_not_go_live_in_time_takes_its_name_again(void **state) {
  struct fixture *fixture = *state;
  struct route *route = route_named(fixture, "late");
  struct route_table *one = table_of(fixture, 1, 1);
  names_renew(&fixture->names, route);
  assert_false(names_is_removed(&fixture->names, route->stats));
  names_retain(&fixture->names, NULL, one, 0); /* "late" has gone */
  assert_true(names_is_removed(&fixture->names, route->stats));
  names_renew(&fixture->names, route);
  assert_false(names_is_removed(&fixture->names, route->stats));
  assert_string_equal("late", names_text(&fixture->names, route->stats));
  route_unref(route);
  route_table_unref(one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(names_of_many_swaps_take_the_room_of_a_few_and_sums_hold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(while_one_worker_has_folded_and_the_other_not_sums_hold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_whose_record_is_used_keeps_its_number, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_record_that_did_not_go_live_in_time_takes_its_name_again, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
