/* SPDX-License-Identifier: MIT
 *
 * Round robin among weighted targets. */
#include "routing/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct ip_address nobody;

static struct route *route_with_weights(const unsigned *weights, size_t count, struct route_shared *shared) {
  struct route *route = route_new();
  route->targets = calloc(count, sizeof *route->targets);
  route->target_count = count;
  for (size_t i = 0; i < count; i++)
    route->targets[i].weight = weights[i];
  route->shared = shared;
  assert_int_equal(route_build_rotation(route), 0);
  return route;
}

static void equal_targets_take_turns(void **state) {
  (void)state;
  struct route_shared shared = {.cursor = 0};
  struct route *route = route_with_weights((unsigned[]){100, 100, 100}, 3, &shared);
  assert_int_equal(route->rotation_length, 3);
  for (size_t i = 0; i < 9; i++)
    assert_ptr_equal(route_choose_target(route, &nobody), &route->targets[i % 3]);
  route_unref(route);
}

static void weights_are_kept_exactly_and_spread_out(void **state) {
  (void)state;
  struct route_shared shared = {.cursor = 0};
  struct route *route = route_with_weights((unsigned[]){5, 1, 1}, 3, &shared);
  size_t turns[3] = {0}, run = 0, longest = 0;
  for (int i = 0; i < 70; i++) {
    size_t target = (size_t)(route_choose_target(route, &nobody) - route->targets);
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
  struct route_shared shared = {.cursor = UINT32_MAX};
  struct route *route = route_with_weights((unsigned[]){1, 1}, 2, &shared);
  for (int i = 0; i < 4; i++)
    assert_in_range(route_choose_target(route, &nobody) - route->targets, 0, 1);
  route_unref(route);
}

static struct route *plain_route(void) {
  struct route *route = route_new();
  assert_non_null(route);
  route->name = strdup("a");
  route->file = strdup("a.lua");
  assert_int_equal(endpoint_from_literal(&route->address, "127.0.0.1", 0), 0);
  route->ports = calloc(1, sizeof *route->ports);
  route->ports[0] = (struct port_range){80, 81};
  route->port_count = 1;
  route->domains = calloc(1, sizeof(char *));
  route->domains[0] = strdup("example.com");
  route->domain_count = 1;
  route->client_ips = ip_set_new((const char *[]){"10.0.0.0/8"}, 1, NULL);
  assert_non_null(route->client_ips);
  route->targets = calloc(1, sizeof *route->targets);
  route->targets[0] = (struct route_target){.host = strdup("b"),
                                            .port = 1,
                                            .weight = 1,
                                            .host_function = ROUTE_NO_FUNCTION,
                                            .port_function = ROUTE_NO_FUNCTION};
  route->target_count = 1;
  return route;
}

static void routes_with_functions_are_never_equal(void **state) {
  (void)state;
  struct route *a = plain_route();
  assert_false(route_has_functions(a));
  a->targets[0].host_function = 0;
  assert_true(route_has_functions(a));
  assert_false(route_equal(a, a));
  route_unref(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_targets_take_turns),
      cmocka_unit_test(weights_are_kept_exactly_and_spread_out),
      cmocka_unit_test(the_turns_go_on_when_their_counter_wraps),
      cmocka_unit_test(routes_with_functions_are_never_equal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
