/* SPDX-License-Identifier: MIT
 *
 * The table of addresses: limits at their edge, also among threads that race, and its own bound. */
#include "connection/limits.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

enum { START = 1000000 };

static struct ip_address ipv4(unsigned number) {
  struct ip_address address = {.bytes = {[10] = 0xff, 0xff, 10}, .is_set = true};
  address.bytes[13] = (uint8_t)(number >> 16);
  address.bytes[14] = (uint8_t)(number >> 8);
  address.bytes[15] = (uint8_t)number;
  return address;
}

static struct limits *new_limits(size_t addresses) {
  struct limits *limits = limits_new(addresses);
  assert_non_null(limits);
  return limits;
}

static void an_address_holds_as_many_as_it_may_and_no_more(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  struct ip_address one = ipv4(1), two = ipv4(2);
  const struct limit_rule rule = {.connections = 3};
  struct limit_entry *held[4], *other;
  for (int i = 0; i < 3; i++)
    assert_int_equal(limits_admit(limits, &one, &rule, START, &held[i]), LIMIT_ADMITTED);
  assert_int_equal(limits_admit(limits, &one, &rule, START, &held[3]), LIMIT_CONNECTIONS);
  assert_null(held[3]);
  assert_int_equal(limits_admit(limits, &two, &rule, START, &other), LIMIT_ADMITTED);
  limits_release(limits, held[0]);
  assert_int_equal(limits_admit(limits, &one, &rule, START, &held[0]), LIMIT_ADMITTED);
  for (int i = 0; i < 3; i++)
    limits_release(limits, held[i]);
  limits_release(limits, other);
  limits_free(limits);
}

static void scopes_are_counted_apart(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  struct ip_address one = ipv4(1);
  struct limit_entry *a, *b, *none;
  assert_int_equal(limits_admit(limits, &one, &(struct limit_rule){.connections = 1}, START, &a), LIMIT_ADMITTED);
  const struct limit_rule route = {.scope = LIMIT_SCOPE_ROUTES + 7, .connections = 1};
  assert_int_equal(limits_admit(limits, &one, &route, START, &b), LIMIT_ADMITTED);
  assert_int_equal(limits_admit(limits, &one, &route, START, &none), LIMIT_CONNECTIONS);
  assert_int_equal(limits_admit(limits, &one, &(struct limit_rule){.connections = 0}, START, &none), LIMIT_ADMITTED);
  assert_null(none);
  limits_release(limits, a);
  limits_release(limits, b);
  limits_free(limits);
}

static enum limit_answer open_and_close(struct limits *limits, const struct limit_rule *rule, clock_ms now) {
  struct ip_address one = ipv4(1);
  struct limit_entry *held;
  enum limit_answer answer = limits_admit(limits, &one, rule, now, &held);
  limits_release(limits, held);
  return answer;
}

static void a_rate_is_held_in_every_window(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  const struct limit_rule rule = {.rate = 10, .window_ms = 1000};
  for (int i = 0; i < 10; i++)
    assert_int_equal(open_and_close(limits, &rule, START), LIMIT_ADMITTED);
  for (int i = 0; i < 100; i++)
    assert_int_equal(open_and_close(limits, &rule, START + 999), LIMIT_RATE);
  /* Half a window later half of the ten still count. */
  for (int i = 0; i < 5; i++)
    assert_int_equal(open_and_close(limits, &rule, START + 1500), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START + 1500), LIMIT_RATE);
  for (int i = 0; i < 10; i++)
    assert_int_equal(open_and_close(limits, &rule, START + 5000), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START + 5000), LIMIT_RATE);
  limits_free(limits);
}

static void who_was_over_is_refused_for_block_for(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  const struct limit_rule rule = {.rate = 1, .window_ms = 100, .block_ms = 5000};
  assert_int_equal(open_and_close(limits, &rule, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START), LIMIT_RATE);
  assert_int_equal(open_and_close(limits, &rule, START + 4999), LIMIT_BLOCKED);
  assert_int_equal(open_and_close(limits, &rule, START + 5000), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START + 5000), LIMIT_RATE);
  limits_free(limits);
}

static void a_shorter_block_for_holds_for_who_is_blocked_already(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  struct limit_rule rule = {.rate = 1, .window_ms = 100, .block_ms = 5000};
  struct ip_address one = ipv4(1), two = ipv4(2);
  struct limit_report report;
  assert_int_equal(open_and_close(limits, &rule, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START), LIMIT_RATE);
  assert_true(limits_find(limits, &one, 0, START + 1000, &report));
  assert_int_equal(report.blocked_ms, 4000);
  assert_false(limits_find(limits, &one, 1, START, &report));
  assert_false(limits_find(limits, &two, 0, START, &report));
  rule.block_ms = 1000;
  assert_int_equal(open_and_close(limits, &rule, START + 2000), LIMIT_BLOCKED);
  assert_int_equal(open_and_close(limits, &rule, START + 3000), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rule, START + 3000), LIMIT_RATE);
  rule.block_ms = 0;
  assert_int_equal(open_and_close(limits, &rule, START + 3300), LIMIT_ADMITTED);
  limits_free(limits);
}

static void a_rule_without_a_rate_forgets_none(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  const struct limit_rule rate = {.rate = 2, .window_ms = 1000}, connections = {.connections = 5};
  assert_int_equal(open_and_close(limits, &rate, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &connections, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rate, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &connections, START), LIMIT_ADMITTED);
  assert_int_equal(open_and_close(limits, &rate, START), LIMIT_RATE);
  limits_free(limits);
}

static void an_ipv6_address_stands_for_its_prefix(void **state) {
  (void)state;
  struct limits *limits = new_limits(1024);
  const struct limit_rule rule = {.connections = 1};
  struct ip_address one = {.bytes = {0x20, 1, 0x0d, 0xb8, [7] = 1, [15] = 1}, .is_set = true}, two = one, far = one;
  struct limit_entry *a, *b;
  two.bytes[15] = 2;
  far.bytes[7] = 2;
  assert_int_equal(limits_admit(limits, &one, &rule, START, &a), LIMIT_ADMITTED);
  assert_int_equal(limits_admit(limits, &two, &rule, START, &b), LIMIT_CONNECTIONS);
  assert_int_equal(limits_admit(limits, &far, &rule, START, &b), LIMIT_ADMITTED);
  limits_release(limits, b);
  limits_set_ipv6_prefix(limits, 128);
  assert_int_equal(limits_admit(limits, &two, &rule, START, &b), LIMIT_ADMITTED);
  limits_release(limits, a);
  limits_release(limits, b);
  limits_free(limits);
}

static void count_report(void *context, const struct limit_report *report) {
  size_t *counts = context;
  counts[0]++;
  counts[1] += report->connections;
}

static void memory_is_bounded_whatever_the_number_of_addresses(void **state) {
  (void)state;
  enum { ROOM = LIMITS_SHARDS * 64, MANY = 200000 };
  struct limits *limits = new_limits(ROOM);
  const struct limit_rule rule = {.connections = 2};
  struct ip_address first = ipv4(0);
  struct limit_entry *kept, *held;
  assert_int_equal(limits_admit(limits, &first, &rule, START, &kept), LIMIT_ADMITTED);
  for (unsigned i = 1; i < MANY; i++) {
    struct ip_address address = ipv4(i);
    assert_int_equal(limits_admit(limits, &address, &rule, START + i, &held), LIMIT_ADMITTED);
    limits_release(limits, held);
  }
  size_t counts[2] = {0};
  limits_each(limits, START, count_report, counts);
  assert_int_equal(counts[0], ROOM);
  assert_int_equal(counts[1], 1);
  /* What holds a connection is not forgotten. */
  assert_int_equal(limits_admit(limits, &first, &rule, START, &held), LIMIT_ADMITTED);
  limits_release(limits, held);
  limits_release(limits, kept);
  limits_free(limits);
}

struct seen {
  struct limits *limits;
  unsigned told[8192], prefixes, others;
};

static void see(void *context, const struct limit_report *report) {
  struct seen *seen = context;
  unsigned number = (unsigned)report->address.bytes[14] << 8 | report->address.bytes[15];
  if (report->scope == 9) {
    assert_int_equal(report->prefix, 64);
    seen->prefixes++;
  } else if (number < 8192 && report->address.bytes[13] == 0) {
    assert_int_equal(report->prefix, 32);
    seen->told[number]++;
  } else {
    seen->others++;
  }
}

static void *add_more(void *argument) {
  struct seen *seen = argument;
  const struct limit_rule rule = {.connections = 2};
  for (unsigned i = 0; i < 60000; i++) {
    struct ip_address address = ipv4(1 << 16 | i);
    struct limit_entry *held;
    assert_int_equal(limits_admit(seen->limits, &address, &rule, START, &held), LIMIT_ADMITTED);
    limits_release(seen->limits, held);
  }
  return NULL;
}

static void each_address_is_told_once_while_others_come(void **state) {
  (void)state;
  struct seen *seen = test_calloc(1, sizeof *seen);
  const struct limit_rule rule = {.connections = 2};
  struct limit_entry *held;
  seen->limits = new_limits(1 << 20);
  for (unsigned i = 0; i < 8192; i++) {
    struct ip_address address = ipv4(i);
    assert_int_equal(limits_admit(seen->limits, &address, &rule, START, &held), LIMIT_ADMITTED);
    limits_release(seen->limits, held);
  }
  struct ip_address one = {.bytes = {0x20, 1, 0x0d, 0xb8, [15] = 1}, .is_set = true};
  const struct limit_rule other = {.connections = 2, .scope = 9};
  assert_int_equal(limits_admit(seen->limits, &one, &other, START, &held), LIMIT_ADMITTED);
  limits_release(seen->limits, held);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, add_more, seen), 0);
  unsigned rounds = 0;
  for (; rounds < 50; rounds++)
    limits_each(seen->limits, START, see, seen);
  pthread_join(thread, NULL);
  for (unsigned i = 0; i < 8192; i++)
    assert_int_equal(seen->told[i], rounds);
  assert_int_equal(seen->prefixes, rounds);
  limits_free(seen->limits);
  test_free(seen);
}

static void a_table_full_of_holders_says_so(void **state) {
  (void)state;
  struct limits *limits = new_limits(LIMITS_SHARDS);
  const struct limit_rule rule = {.connections = 1};
  /* So many that no shard stays empty, whatever the seed. */
  static struct limit_entry *held[LIMITS_SHARDS * 64];
  unsigned full = 0, count = LIMITS_SHARDS * 64;
  for (unsigned i = 0; i < count; i++) {
    struct ip_address address = ipv4(i);
    full += limits_admit(limits, &address, &rule, START, &held[i]) == LIMIT_FULL;
    assert_int_equal(full, i < LIMITS_SHARDS ? 0 : i + 1 - LIMITS_SHARDS);
  }
  for (unsigned i = 0; i < count; i++)
    limits_release(limits, held[i]);
  limits_free(limits);
}

static void none_is_forgotten_before_the_whole_table_is_full(void **state) {
  (void)state;
  enum { ROOM = 1024 };
  struct limits *limits = new_limits(ROOM);
  const struct limit_rule rule = {.rate = 1, .window_ms = 60000};
  for (unsigned round = 0; round < 2; round++)
    for (unsigned i = 0; i < ROOM; i++) {
      struct ip_address address = ipv4(i);
      struct limit_entry *held;
      assert_int_equal(limits_admit(limits, &address, &rule, START, &held), round ? LIMIT_RATE : LIMIT_ADMITTED);
      limits_release(limits, held);
    }
  limits_free(limits);
}

static void room_is_made_in_whatever_shard_there_is_some(void **state) {
  (void)state;
  enum { ROOM = 256, TURNS = 1000 };
  struct limits *limits = new_limits(ROOM);
  const struct limit_rule rule = {.connections = 1};
  struct limit_entry *held[ROOM], *more;
  for (unsigned i = 0; i < ROOM; i++) {
    struct ip_address address = ipv4(i);
    assert_int_equal(limits_admit(limits, &address, &rule, START, &held[i]), LIMIT_ADMITTED);
  }
  for (unsigned i = 0; i < TURNS; i++) {
    struct ip_address address = ipv4(ROOM + i);
    assert_int_equal(limits_admit(limits, &address, &rule, START, &more), LIMIT_FULL);
    limits_release(limits, held[i % ROOM]);
    assert_int_equal(limits_admit(limits, &address, &rule, START, &held[i % ROOM]), LIMIT_ADMITTED);
  }
  size_t counts[2] = {0};
  limits_each(limits, START, count_report, counts);
  assert_int_equal(counts[0], ROOM);
  assert_int_equal(counts[1], ROOM);
  for (unsigned i = 0; i < ROOM; i++)
    limits_release(limits, held[i]);
  limits_free(limits);
}

static void a_block_is_forgotten_only_where_nothing_else_is_to_be_had(void **state) {
  (void)state;
  enum { ROOM = 64, BLOCKED = 32 };
  struct limits *limits = new_limits(ROOM);
  const struct limit_rule strict = {.rate = 1, .window_ms = 100, .block_ms = 5000}, rule = {.connections = 1};
  struct limit_entry *held;
  struct limit_report report;
  for (unsigned i = 0; i < ROOM; i++) {
    struct ip_address address = ipv4(i);
    assert_int_equal(limits_admit(limits, &address, &strict, START, &held), LIMIT_ADMITTED);
    limits_release(limits, held);
    if (i < BLOCKED)
      assert_int_equal(limits_admit(limits, &address, &strict, START, &held), LIMIT_RATE);
  }
  for (unsigned i = 0; i < ROOM - BLOCKED; i++) {
    struct ip_address address = ipv4(ROOM + i);
    assert_int_equal(limits_admit(limits, &address, &rule, START, &held), LIMIT_ADMITTED);
  }
  for (unsigned i = 0; i < BLOCKED; i++) {
    struct ip_address address = ipv4(i);
    assert_true(limits_find(limits, &address, 0, START, &report));
    assert_int_equal(report.blocked_ms, 5000);
  }
  for (unsigned i = 0; i < BLOCKED; i++) {
    struct ip_address address = ipv4(2 * ROOM + i);
    assert_int_equal(limits_admit(limits, &address, &rule, START, &held), LIMIT_ADMITTED);
  }
  struct ip_address last = ipv4(3 * ROOM);
  assert_int_equal(limits_admit(limits, &last, &rule, START, &held), LIMIT_FULL);
  limits_free(limits);
}

struct race {
  struct limits *limits;
  atomic_uint admitted;
};

static void *race_main(void *argument) {
  struct race *race = argument;
  const struct limit_rule rule = {.connections = 100, .rate = 150, .window_ms = 60000};
  struct ip_address one = ipv4(1);
  for (int i = 0; i < 1000; i++) {
    struct limit_entry *held;
    if (limits_admit(race->limits, &one, &rule, START, &held) == LIMIT_ADMITTED)
      atomic_fetch_add(&race->admitted, 1);
  }
  return NULL;
}

/* Each holds some and lets go of others, in a table that is full of both. */
static void *crowd_main(void *argument) {
  struct race *race = argument;
  const struct limit_rule rule = {.connections = 1000};
  struct limit_entry *held[16] = {NULL};
  unsigned base = atomic_fetch_add(&race->admitted, 1000);
  for (unsigned i = 0; i < 20000; i++) {
    struct ip_address address = ipv4(i % 3 ? base + i % 1000 : i % 50);
    limits_release(race->limits, held[i % 16]);
    limits_admit(race->limits, &address, &rule, START + i, &held[i % 16]);
  }
  for (unsigned i = 0; i < 16; i++)
    limits_release(race->limits, held[i]);
  return NULL;
}

static void room_is_shared_among_threads_that_race(void **state) {
  (void)state;
  enum { ROOM = 100 };
  struct race race = {.limits = new_limits(ROOM)};
  pthread_t threads[4];
  size_t counts[2] = {0};
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &race), 0);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  limits_each(race.limits, START, count_report, counts);
  assert_int_equal(counts[0], ROOM);
  assert_int_equal(counts[1], 0);
  limits_free(race.limits);
}

static void limits_hold_among_threads_that_race(void **state) {
  (void)state;
  struct race race = {.limits = new_limits(1024)};
  pthread_t threads[8];
  for (int i = 0; i < 8; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, race_main, &race), 0);
  for (int i = 0; i < 8; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(race.admitted, 100);
  limits_free(race.limits);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_address_holds_as_many_as_it_may_and_no_more),
      cmocka_unit_test(scopes_are_counted_apart),
      cmocka_unit_test(a_rate_is_held_in_every_window),
      cmocka_unit_test(who_was_over_is_refused_for_block_for),
      cmocka_unit_test(a_shorter_block_for_holds_for_who_is_blocked_already),
      cmocka_unit_test(a_rule_without_a_rate_forgets_none),
      cmocka_unit_test(an_ipv6_address_stands_for_its_prefix),
      cmocka_unit_test(memory_is_bounded_whatever_the_number_of_addresses),
      cmocka_unit_test(each_address_is_told_once_while_others_come),
      cmocka_unit_test(a_table_full_of_holders_says_so),
      cmocka_unit_test(none_is_forgotten_before_the_whole_table_is_full),
      cmocka_unit_test(room_is_made_in_whatever_shard_there_is_some),
      cmocka_unit_test(a_block_is_forgotten_only_where_nothing_else_is_to_be_had),
      cmocka_unit_test(room_is_shared_among_threads_that_race),
      cmocka_unit_test(limits_hold_among_threads_that_race),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
