/* SPDX-License-Identifier: MIT
 *
 * Which target comes when the first has failed lately, or has just been tried in vain, by each way of balancing. */
#include "routing/balance.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 4, NOW = 1000000 };

static struct route_shared shared;

struct fixture {
  struct route *route;
  struct failures *failures;
  struct ip_address client;
  uint64_t tried[1];
  struct target_choice choice;
};

static struct fixture *fixture_new(enum route_balance balance) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct route *route = fixture->route = route_new();
  char host[32];
  route->balance = balance;
  route->targets = calloc(COUNT, sizeof *route->targets);
  route->target_count = COUNT;
  route->shared = &shared;
  atomic_store(&shared.cursor, 0);
  for (size_t i = 0; i < COUNT; i++) {
    snprintf(host, sizeof host, i % 2 ? "%zu.example" : "10.0.0.%zu", i + 1);
    struct route_target *target = &route->targets[i];
    *target = (struct route_target){.host = strdup(host),
                                    .port = 80,
                                    .weight = 1,
                                    .host_function = ROUTE_NO_FUNCTION,
                                    .port_function = ROUTE_NO_FUNCTION};
    ip_address_from_literal(&target->address, host);
  }
  assert_int_equal(route_build_rotation(route), 0);
  assert_int_equal(route_count_loads(route), 0);
  ip_address_from_literal(&fixture->client, "192.0.2.9");
  fixture->failures = failures_new(100);
  fixture->choice = (struct target_choice){.route = route,
                                           .client = &fixture->client,
                                           .port = 443,
                                           .failures = fixture->failures,
                                           .now = NOW,
                                           .tried = fixture->tried};
  return fixture;
}

static void fixture_free(struct fixture *fixture) {
  fixture->route->shared = NULL;
  route_unref(fixture->route);
  failures_free(fixture->failures);
  free(fixture);
}

static void note(struct fixture *fixture, size_t index) {
  struct failure_key key;
  assert_true(target_failure_key(&fixture->choice, &fixture->route->targets[index], &key));
  failures_note(fixture->failures, &key, fixture->route->targets[index].host, -ECONNREFUSED, NOW);
}

/* As the engine does: the first one, and when it can't be reached the others. */
static size_t first(struct fixture *fixture) {
  const struct route_target *target = route_choose_target(fixture->route, &fixture->client);
  return (size_t)(route_avoid_failed(&fixture->choice, target) - fixture->route->targets);
}

static int next(struct fixture *fixture, size_t before) {
  if (before >= COUNT) /* assert_in_range() does not tell clang-tidy that it ends the test */
    fail();
  else
    fixture->tried[0] |= UINT64_C(1) << before;
  const struct route_target *target = route_next_target(&fixture->choice, &fixture->route->targets[before]);
  return target ? (int)(target - fixture->route->targets) : -1;
}

static const enum route_balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_SOURCE_HASH};

static void each_target_comes_once(void **state) {
  (void)state;
  for (size_t way = 0; way < 3; way++) {
    struct fixture *fixture = fixture_new(all[way]);
    unsigned seen = 0;
    int index = (int)first(fixture);
    for (int i = 0; i < COUNT; i++, index = next(fixture, (size_t)index)) {
      assert_in_range(index, 0, COUNT - 1);
      unsigned bit = 1u << (unsigned)index % COUNT;
      assert_false(seen & bit);
      seen |= bit;
    }
    assert_int_equal(index, -1);
    fixture_free(fixture);
  }
}

static void what_has_failed_lately_is_the_last_in_each_way(void **state) {
  (void)state;
  for (size_t way = 0; way < 3; way++) {
    for (size_t failed = 0; failed < COUNT; failed++) {
      struct fixture *fixture = fixture_new(all[way]);
      note(fixture, failed);
      int index = (int)first(fixture);
      for (int i = 0; i < COUNT - 1; i++, index = next(fixture, (size_t)index))
        assert_int_not_equal(index, (int)failed);
      assert_int_equal(index, (int)failed);
      fixture_free(fixture);
    }
  }
}

static void when_all_have_failed_it_is_as_if_none_had(void **state) {
  (void)state;
  struct fixture *fixture = fixture_new(BALANCE_ROUND_ROBIN);
  for (size_t i = 0; i < COUNT; i++)
    note(fixture, i);
  unsigned seen = 0;
  for (int i = 0; i < 4 * COUNT; i++)
    seen |= 1u << first(fixture);
  assert_int_equal(seen, (1u << COUNT) - 1);
  fixture_free(fixture);
}

/* The turns of a dead one are spread over all that live, and not its neighbour's. */
static void the_turns_of_one_that_has_failed_are_shared(void **state) {
  (void)state;
  struct fixture *fixture = fixture_new(BALANCE_ROUND_ROBIN);
  unsigned counts[COUNT] = {0};
  note(fixture, 1);
  for (int i = 0; i < 300; i++)
    counts[first(fixture)]++;
  for (size_t i = 0; i < COUNT; i++)
    assert_int_equal(counts[i], i == 1 ? 0 : 100);
  fixture_free(fixture);
}

static void least_connections_goes_on_with_the_least_of_the_others(void **state) {
  (void)state;
  struct fixture *fixture = fixture_new(BALANCE_LEAST_CONNECTIONS);
  static const unsigned active[COUNT] = {3, 1, 0, 2}, order[COUNT] = {2, 1, 3, 0};
  for (size_t i = 0; i < COUNT; i++)
    atomic_store(&fixture->route->targets[i].load->active, active[i]);
  int index = (int)first(fixture);
  for (size_t i = 0; i < COUNT; i++, index = next(fixture, (size_t)index))
    assert_int_equal(index, (int)order[i]);
  fixture_free(fixture);
}

/* Whether its target has failed just now or some time ago: a client goes to the same other one. */
static void a_client_has_one_second_choice_by_its_address(void **state) {
  (void)state;
  for (unsigned i = 0; i < 50; i++) {
    struct fixture *fixture = fixture_new(BALANCE_SOURCE_HASH);
    fixture->client.bytes[15] = (uint8_t)i;
    size_t chosen = first(fixture);
    int second = next(fixture, chosen);
    note(fixture, chosen);
    fixture->tried[0] = 0;
    assert_int_equal(first(fixture), second);
    fixture_free(fixture);
  }
}

static void after_its_time_it_is_tried_first_by_one(void **state) {
  (void)state;
  struct fixture *fixture = fixture_new(BALANCE_SOURCE_HASH);
  size_t chosen = first(fixture);
  note(fixture, chosen);
  assert_int_not_equal(first(fixture), chosen);
  fixture->choice.now += FAILURES_PAUSE_MS;
  assert_int_equal(first(fixture), chosen);
  assert_int_not_equal(first(fixture), chosen);
  fixture_free(fixture);
}

static void one_that_has_to_be_asked_where_it_is_can_be_left_out(void **state) {
  (void)state;
  for (size_t way = 0; way < 3; way++) {
    struct fixture *fixture = fixture_new(all[way]);
    fixture->route->targets[2].port_function = 3;
    fixture->choice.plain = true;
    unsigned seen = 0;
    for (int index = 3; index >= 0; index = next(fixture, (size_t)index))
      seen |= 1u << index;
    assert_int_equal(seen, 1 | 2 | 8);
    fixture->choice.plain = false;
    assert_int_equal(next(fixture, 3), 2);
    fixture_free(fixture);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_target_comes_once),
      cmocka_unit_test(what_has_failed_lately_is_the_last_in_each_way),
      cmocka_unit_test(when_all_have_failed_it_is_as_if_none_had),
      cmocka_unit_test(the_turns_of_one_that_has_failed_are_shared),
      cmocka_unit_test(least_connections_goes_on_with_the_least_of_the_others),
      cmocka_unit_test(a_client_has_one_second_choice_by_its_address),
      cmocka_unit_test(after_its_time_it_is_tried_first_by_one),
      cmocka_unit_test(one_that_has_to_be_asked_where_it_is_can_be_left_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
