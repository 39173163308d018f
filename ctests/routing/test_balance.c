/* SPDX-License-Identifier: MIT
 *
 * Least-connections and source-hash. Round robin is in test_route.c. */
#include "routing/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct route_shared shared;

static struct route *new_route(enum route_balance balance, const unsigned *weights, size_t count) {
  struct route *route = route_new();
  char host[32];
  route->balance = balance;
  route->targets = calloc(count, sizeof *route->targets);
  route->target_count = count;
  route->shared = &shared;
  for (size_t i = 0; i < count; i++) {
    snprintf(host, sizeof host, "10.0.0.%zu", i + 1);
    route->targets[i] = (struct route_target){.host = strdup(host), .port = 80, .weight = weights[i]};
  }
  assert_int_equal(route_build_rotation(route), 0);
  assert_int_equal(route_count_loads(route), 0);
  return route;
}

static struct ip_address client(unsigned number) {
  struct ip_address address = {.bytes = {[10] = 0xff, 0xff, 192, 0}, .is_set = true};
  address.bytes[14] = (uint8_t)(number >> 8);
  address.bytes[15] = (uint8_t)number;
  return address;
}

static size_t choose(const struct route *route, unsigned number) {
  struct ip_address address = client(number);
  return (size_t)(route_choose_target(route, &address) - route->targets);
}

static void the_target_with_the_least_for_its_weight_is_next(void **state) {
  (void)state;
  struct route *route = new_route(BALANCE_LEAST_CONNECTIONS, (unsigned[]){1, 2, 1}, 3);
  for (int i = 0; i < 400; i++)
    atomic_fetch_add(&route->targets[choose(route, 1)].load->active, 1);
  assert_int_equal(route->targets[0].load->active, 100);
  assert_int_equal(route->targets[1].load->active, 200);
  assert_int_equal(route->targets[2].load->active, 100);
  atomic_fetch_sub(&route->targets[2].load->active, 10);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(choose(route, 1), 2);
    atomic_fetch_add(&route->targets[2].load->active, 1);
  }
  route_unref(route);
}

static void equal_loads_take_turns(void **state) {
  (void)state;
  size_t counts[3] = {0};
  struct route *route = new_route(BALANCE_LEAST_CONNECTIONS, (unsigned[]){1, 1, 1}, 3);
  for (int i = 0; i < 300; i++)
    counts[choose(route, 1)]++;
  for (int i = 0; i < 3; i++)
    assert_int_equal(counts[i], 100);
  route_unref(route);
}

static void a_new_record_goes_on_with_the_loads_of_the_old(void **state) {
  (void)state;
  struct route *old = new_route(BALANCE_LEAST_CONNECTIONS, (unsigned[]){1, 1}, 2);
  struct route *new = new_route(BALANCE_LEAST_CONNECTIONS, (unsigned[]){5, 1, 1}, 3);
  atomic_fetch_add(&old->targets[1].load->active, 7);
  route_share_loads(new, old);
  route_unref(old);
  assert_int_equal(new->targets[1].load->active, 7);
  assert_int_equal(new->targets[2].load->active, 0);
  route_unref(new);
}

static void a_client_keeps_its_target_and_weights_have_their_share(void **state) {
  (void)state;
  size_t counts[3] = {0}, moved = 0;
  struct route *three = new_route(BALANCE_SOURCE_HASH, (unsigned[]){1, 2, 1}, 3);
  struct route *two = new_route(BALANCE_SOURCE_HASH, (unsigned[]){1, 2}, 2);
  for (unsigned i = 0; i < 20000; i++) {
    size_t target = choose(three, i);
    assert_int_equal(choose(three, i), target);
    counts[target]++;
    moved += target < 2 && choose(two, i) != target;
  }
  assert_in_range(counts[0], 4500, 5500);
  assert_in_range(counts[1], 9500, 10500);
  assert_in_range(counts[2], 4500, 5500);
  assert_int_equal(moved, 0);
  route_unref(three);
  route_unref(two);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_target_with_the_least_for_its_weight_is_next),
      cmocka_unit_test(equal_loads_take_turns),
      cmocka_unit_test(a_new_record_goes_on_with_the_loads_of_the_old),
      cmocka_unit_test(a_client_keeps_its_target_and_weights_have_their_share),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
