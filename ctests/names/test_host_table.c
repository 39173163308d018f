/* SPDX-License-Identifier: MIT
 *
 * The table of names that the workers share: what each of its answers changes, and that threads don't get into each
 * other's way. What clients see of it is in test_resolve.c and test_resolve_failures.c. */
#include "names/host_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MINUTE = 60 * 1000 };

static const struct host_table_options options = {
    .capacity = 64, .asks = HOST_ASK_ALL, .min_ttl_ms = 1000, .max_ttl_ms = 60 * MINUTE, .stale_ms = 10 * MINUTE};

static int setup(void **state) {
  struct dns_files *files = dns_files_read("/nowhere/resolv.conf", "/nowhere/hosts");
  assert_non_null(files);
  *state = host_table_new(&options, files);
  dns_files_unref(files);
  assert_non_null(*state);
  return 0;
}

static int teardown(void **state) {
  host_table_unref(*state);
  return 0;
}

static struct host_answer found(enum host_family family, uint8_t last, uint64_t ttl_ms) {
  struct host_answer answer = {.family = family, .result = HOST_FOUND, .ttl_ms = ttl_ms, .count = 1};
  if (family == HOST_IPV4) {
    answer.addresses[0].in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000200U | last)};
  } else {
    answer.addresses[0].in6.sin6_family = AF_INET6;
    answer.addresses[0].in6.sin6_addr.s6_addr[15] = last;
  }
  return answer;
}

static struct host_answer failed(enum host_family family, int status) {
  return (struct host_answer){
      .family = family, .result = status == -ENOENT ? HOST_NO_NAME : HOST_SERVER, .status = status};
}

static enum host_change note(struct host_table *table, struct host_answer answer, clock_ms now) {
  struct host_news news;
  host_table_note(table, "a", 1, &answer, now, &news);
  return news.change;
}

static enum host_state find(struct host_table *table, clock_ms now, unsigned *ask) {
  struct resolve_result result;
  return host_table_find(table, "a", 1, now, &result, ask);
}

static void a_family_is_asked_for_by_one_at_a_time(void **state) {
  struct host_table *table = *state;
  unsigned ask;
  assert_int_equal(find(table, 1000, &ask), HOST_UNKNOWN);
  assert_int_equal(host_table_ask(table, "a", 1, 1000), 0);
  note(table, found(HOST_IPV4, 1, MINUTE), 1000);
  assert_int_equal(find(table, 1000, &ask), HOST_KNOWN);
  assert_int_equal(ask, 0); /* the other is being asked for */
  note(table, failed(HOST_IPV6, -EAGAIN), 1000);
  assert_int_equal(find(table, 1500, &ask), HOST_KNOWN);
  assert_int_equal(ask, 0);
  assert_int_equal(find(table, 2000, &ask), HOST_KNOWN);
  assert_int_equal(ask, HOST_ASK_IPV6); /* a second after it has failed */
  assert_int_equal(find(table, 2000, &ask), HOST_KNOWN);
  assert_int_equal(ask, 0);
  assert_int_equal(find(table, 2000 + 20000, &ask), HOST_KNOWN); /* who was to ask has not come back */
  assert_int_equal(ask, HOST_ASK_IPV6);
}

static void a_family_that_a_name_has_not_is_asked_for_with_the_other(void **state) {
  struct host_table *table = *state;
  unsigned ask;
  host_table_ask(table, "a", 1, 1000);
  note(table, found(HOST_IPV4, 1, 10 * MINUTE), 1000);
  note(table, failed(HOST_IPV6, -ENOENT), 1000);
  assert_int_equal(find(table, 1000 + 8 * MINUTE, &ask), HOST_KNOWN);
  assert_int_equal(ask, 0);
  assert_int_equal(find(table, 1000 + 9 * MINUTE, &ask), HOST_KNOWN);
  assert_int_equal(ask, HOST_ASK_ALL);
}

static void one_family_gone_leaves_the_other(void **state) {
  struct host_table *table = *state;
  struct resolve_result result;
  host_table_ask(table, "a", 1, 1000);
  note(table, found(HOST_IPV4, 1, MINUTE), 1000);
  note(table, found(HOST_IPV6, 1, MINUTE), 1000);
  host_table_peek(table, "a", 1, 1000, &result);
  assert_int_equal(result.count, 2);
  note(table, failed(HOST_IPV6, -ENOENT), 50000); /* an answer of half of them, maybe */
  host_table_peek(table, "a", 1, 50000, &result);
  assert_int_equal(result.count, 2);
  note(table, failed(HOST_IPV6, -ENOENT), 52000); /* again, but the same answer of a cache, maybe */
  host_table_peek(table, "a", 1, 52000, &result);
  assert_int_equal(result.count, 2);
  note(table, failed(HOST_IPV6, -ENOENT), 55000);
  host_table_peek(table, "a", 1, 55000, &result);
  assert_int_equal(result.count, 1);
  assert_int_equal(result.addresses[0].storage.ss_family, AF_INET);
}

static void a_denial_after_another_answer_counts_anew(void **state) {
  struct host_table *table = *state;
  struct resolve_result result;
  note(table, found(HOST_IPV4, 1, MINUTE), 1000);
  note(table, failed(HOST_IPV4, -ENOENT), 2000);
  note(table, found(HOST_IPV4, 1, MINUTE), 4000);
  note(table, failed(HOST_IPV4, -ENOENT), 9000);
  assert_int_equal(host_table_peek(table, "a", 1, 9000, &result), HOST_KNOWN);
}

static void what_serves_and_what_no_longer_does_is_told_once(void **state) {
  struct host_table *table = *state;
  struct host_counts counts;
  unsigned ask;
  note(table, failed(HOST_IPV6, -ENOENT), 1000);
  assert_int_equal(note(table, found(HOST_IPV4, 1, MINUTE), 1000), HOST_SAME);
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 55000), HOST_SAME); /* their TTL is not over */
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 62000), HOST_STALE);
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 70000), HOST_SAME);
  assert_int_equal(note(table, found(HOST_IPV4, 2, MINUTE), 80000), HOST_WELL);
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 200000), HOST_STALE);
  assert_int_equal(find(table, 200000 + 11 * MINUTE, &ask), HOST_UNKNOWN); /* somebody finds it too old first … */
  host_table_count(table, &counts);
  assert_int_equal(counts.stale, 0);
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 200000 + 11 * MINUTE), HOST_GONE); /* … and it is told */
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 200000 + 12 * MINUTE), HOST_SAME);
  assert_int_equal(counts.results[HOST_FOUND], 2);
}

static void one_that_nobody_asks_for_any_more_is_not_stale_for_ever(void **state) {
  struct host_table *table = *state;
  struct host_report reports[2];
  struct host_counts counts;
  struct host_answer failure = failed(HOST_IPV4, -EAGAIN), answer = found(HOST_IPV4, 1, MINUTE);
  struct host_news news;
  note(table, found(HOST_IPV4, 1, MINUTE), 1000);
  note(table, failed(HOST_IPV4, -EAGAIN), 2 * MINUTE);
  host_table_note(table, "b", 1, &answer, 3 * MINUTE, &news);
  host_table_note(table, "b", 1, &failure, 5 * MINUTE, &news);
  assert_int_equal(host_table_list_stale(table, 5 * MINUTE, reports, 2), 2);
  assert_int_equal(host_table_list_stale(table, 12 * MINUTE, reports, 2), 1);
  assert_string_equal(reports[0].name, "b");
  host_table_count(table, &counts);
  assert_int_equal(counts.stale, 1);
  assert_int_equal(note(table, failed(HOST_IPV4, -EAGAIN), 13 * MINUTE), HOST_GONE); /* it is told all the same */
}

static void failures_never_take_the_place_of_good_addresses(void **state) {
  struct host_table *table = *state;
  struct resolve_result result;
  note(table, found(HOST_IPV4, 1, MINUTE), 1000);
  for (clock_ms now = 2000; now < 1000 + 11 * MINUTE; now += 1000) {
    note(table, failed(HOST_IPV4, now % 2000 ? -EAGAIN : -ETIMEDOUT), now);
    assert_int_equal(host_table_peek(table, "a", 1, now, &result), HOST_KNOWN);
    assert_int_equal(result.count, 1);
  }
  assert_int_equal(host_table_peek(table, "a", 1, 1000 + 11 * MINUTE, &result), HOST_UNKNOWN);
}

static void the_pauses_after_failures_double_up_to_a_bound(void **state) {
  struct host_table *table = *state;
  static const clock_ms pauses[] = {1000, 2000, 4000, 5000, 5000};
  clock_ms now = 1000;
  unsigned ask;
  for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
    note(table, failed(HOST_IPV6, -EAGAIN), now);
    note(table, failed(HOST_IPV4, -EAGAIN), now);
    assert_int_equal(find(table, now, &ask), HOST_FAILED);
    assert_int_equal(find(table, now + pauses[i] - 1, &ask), HOST_FAILED);
    now += pauses[i];
    assert_int_equal(find(table, now, &ask), HOST_UNKNOWN);
  }
}

struct thrower {
  struct host_table *table;
  unsigned seed;
};

static void *throw_answers(void *argument) {
  struct thrower *thrower = argument;
  struct resolve_result result;
  struct host_report reports[4];
  struct host_news news;
  for (int i = 0; i < 20000; i++) {
    char name[16];
    int dice = rand_r(&thrower->seed);
    size_t size = (size_t)snprintf(name, sizeof name, "n%d", dice % 300);
    clock_ms now = 1000 + (clock_ms)i * 20;
    unsigned ask;
    struct host_answer answer = dice & 0x1000 ? found(dice & 0x2000 ? HOST_IPV4 : HOST_IPV6, (uint8_t)dice, 2000)
                                              : failed(HOST_IPV4, dice & 0x2000 ? -EAGAIN : -ENOENT);
    if (host_table_find(thrower->table, name, size, now, &result, &ask) == HOST_UNKNOWN)
      host_table_ask(thrower->table, name, size, now);
    host_table_note(thrower->table, name, size, &answer, now, &news);
    host_table_claim(thrower->table, name, size, now);
    host_table_next(thrower->table, name, size);
    if (i % 100 == 0)
      host_table_list_stale(thrower->table, now, reports, 4);
  }
  return NULL;
}

static void threads_share_it(void **state) {
  struct host_table *table = *state;
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  struct thrower throwers[THREADS];
  struct host_counts counts;
  for (unsigned i = 0; i < THREADS; i++) {
    throwers[i] = (struct thrower){.table = table, .seed = i + 1};
    assert_int_equal(pthread_create(&threads[i], NULL, throw_answers, &throwers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  host_table_count(table, &counts);
  assert_true(counts.names <= 2 * options.capacity);
  uint64_t sum = 0;
  for (size_t i = 0; i < HOST_RESULT_COUNT; i++)
    sum += counts.results[i];
  assert_int_equal(sum, THREADS * 20000);
  struct host_report reports[128];
  assert_true(host_table_list_stale(table, 1000 + 20000 * 20, reports, 128) <= counts.stale);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_family_is_asked_for_by_one_at_a_time),
      TEST(a_family_that_a_name_has_not_is_asked_for_with_the_other),
      TEST(one_family_gone_leaves_the_other),
      TEST(a_denial_after_another_answer_counts_anew),
      TEST(what_serves_and_what_no_longer_does_is_told_once),
      TEST(one_that_nobody_asks_for_any_more_is_not_stale_for_ever),
      TEST(failures_never_take_the_place_of_good_addresses),
      TEST(the_pauses_after_failures_double_up_to_a_bound),
      TEST(threads_share_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
