/* SPDX-License-Identifier: MIT
 *
 * Round robin among weighted targets. */
#include "routing/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct route *route_with_weights(const unsigned *weights, size_t count, atomic_uint *cursor) {
  struct route *route = route_new();
  route->targets = calloc(count, sizeof *route->targets);
  route->target_count = count;
  for (size_t i = 0; i < count; i++)
    route->targets[i].weight = weights[i];
  route->cursor = cursor;
  assert_int_equal(route_build_rotation(route), 0);
  return route;
}

static void equal_targets_take_turns(void **state) {
  (void)state;
  atomic_uint cursor = 0;
  struct route *route = route_with_weights((unsigned[]){100, 100, 100}, 3, &cursor);
  assert_int_equal(route->rotation_length, 3);
  for (size_t i = 0; i < 9; i++)
    assert_ptr_equal(route_next_target(route), &route->targets[i % 3]);
  route_unref(route);
}

static void weights_are_kept_exactly_and_spread_out(void **state) {
  (void)state;
  atomic_uint cursor = 0;
  struct route *route = route_with_weights((unsigned[]){5, 1, 1}, 3, &cursor);
  size_t turns[3] = {0}, run = 0, longest = 0;
  for (int i = 0; i < 70; i++) {
    size_t target = (size_t)(route_next_target(route) - route->targets);
    turns[target]++;
    run = target == 0 ? run + 1 : 0;
    longest = run > longest ? run : longest;
  }
  assert_int_equal(turns[0], 50);
  assert_int_equal(turns[1], 10);
  assert_int_equal(turns[2], 10);
  assert_true(longest < 5);
  route_unref(route);
}

static void the_turns_go_on_when_their_counter_wraps(void **state) {
  (void)state;
  atomic_uint cursor = UINT32_MAX;
  struct route *route = route_with_weights((unsigned[]){1, 1}, 2, &cursor);
  for (int i = 0; i < 4; i++)
    assert_in_range(route_next_target(route) - route->targets, 0, 1);
  route_unref(route);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_targets_take_turns),
      cmocka_unit_test(weights_are_kept_exactly_and_spread_out),
      cmocka_unit_test(the_turns_go_on_when_their_counter_wraps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
