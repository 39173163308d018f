/* SPDX-License-Identifier: MIT
 *
 * A swap over two workers: it is live, or it is said why not. */
#include "swap_fixture.h"

static struct route_table *table_on_any_port(void) { return table_of((struct route *[]){route_on("a", 0, 0)}, 1); }

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_init(fixture, table_on_any_port(), NULL);
  fixture_begin(fixture, table_on_any_port());
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  fixture_deinit(*state);
  free(*state);
  return 0;
}

static void is_live_when_all_workers_have_taken_it(void **state) {
  struct fixture *fixture = *state;
  finish(fixture);
  assert_int_equal(0, fixture->status);
  assert_int_equal(WORKERS, count_swapped(fixture));
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
