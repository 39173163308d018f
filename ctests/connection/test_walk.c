/* SPDX-License-Identifier: MIT
 *
 * Going through connections in pieces, while they come and go. */
#include "connection/connection.h"
#include "connection/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { COUNT = 10 };

struct bench {
  struct worker worker;
  struct connection connections[COUNT];
};

static void begin(struct bench *bench) {
  *bench = (struct bench){.worker.number = 1};
  list_init(&bench->worker.connections);
  list_init(&bench->worker.walks);
  for (size_t i = 0; i < COUNT; i++)
    list_add_tail(&bench->worker.connections, &bench->connections[i].node);
}

static void leave(struct bench *bench, size_t index) {
  connection_walks_leave(&bench->worker, &bench->connections[index]);
  list_remove(&bench->connections[index].node);
}

static void test_meets_each_once_in_the_order_of_accepting(void **state) {
  struct bench bench;
  struct connection_walk walk;
  (void)state;
  begin(&bench);
  connection_walk_begin(&walk, &bench.worker);
  for (size_t i = 0; i < COUNT; i++)
    assert_ptr_equal(connection_walk_next(&walk, &bench.worker), &bench.connections[i]);
  assert_null(connection_walk_next(&walk, &bench.worker));
  assert_true(list_is_empty(&bench.worker.walks));
}

static void test_goes_on_when_its_next_one_leaves(void **state) {
  struct bench bench;
  struct connection_walk walk, other;
  (void)state;
  begin(&bench);
  connection_walk_begin(&walk, &bench.worker);
  connection_walk_begin(&other, &bench.worker);
  assert_ptr_equal(connection_walk_next(&walk, &bench.worker), &bench.connections[0]);
  leave(&bench, 1);
  leave(&bench, 2);
  leave(&bench, 0);
  assert_ptr_equal(connection_walk_next(&walk, &bench.worker), &bench.connections[3]);
  assert_ptr_equal(connection_walk_next(&other, &bench.worker), &bench.connections[3]);
  for (size_t i = 4; i < COUNT; i++)
    leave(&bench, i);
  assert_null(connection_walk_next(&walk, &bench.worker));
  connection_walk_end(&other);
  assert_true(list_is_empty(&bench.worker.walks));
  connection_walk_end(&other); /* once more does nothing */
}

static void test_ends_where_the_list_ended(void **state) {
  struct bench bench;
  struct connection_walk walk;
  struct connection late = {.number = 11};
  (void)state;
  begin(&bench);
  connection_walk_begin(&walk, &bench.worker);
  for (size_t i = 0; i < COUNT; i++)
    connection_walk_next(&walk, &bench.worker);
  list_add_tail(&bench.worker.connections, &late.node);
  /* the walk stood at the end of the list, which is behind the late one now */
  assert_null(connection_walk_next(&walk, &bench.worker));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_meets_each_once_in_the_order_of_accepting),
      cmocka_unit_test(test_goes_on_when_its_next_one_leaves),
      cmocka_unit_test(test_ends_where_the_list_ended),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
