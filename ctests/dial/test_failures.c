/* SPDX-License-Identifier: MIT
 *
 * dial/failures.h: how long what has failed is tried last, who tries it first again, and what is forgotten. */
#include "dial/failures.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct failure_key key_of(const struct failures *failures, const char *host, uint16_t port) {
  struct ip_address address;
  return ip_address_from_literal(&address, host) ? failures_key_of_address(failures, &address, port)
                                                 : failures_key_of_host(failures, host, port);
}

static void note(struct failures *failures, const char *host, clock_ms now) {
  struct failure_key key = key_of(failures, host, 80);
  failures_note(failures, &key, host, -ECONNREFUSED, now);
}

static bool is_paused(struct failures *failures, const char *host, clock_ms now) {
  struct failure_key key = key_of(failures, host, 80);
  return failures_is_paused(failures, &key, now);
}

static void the_pause_doubles_up_to_a_minute(void **state) {
  struct failures *failures = failures_new(100);
  static const unsigned pauses[] = {5, 10, 20, 40, 60, 60, 60};
  clock_ms now = 1000000;
  (void)state;
  assert_false(is_paused(failures, "192.0.2.1", now));
  for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
    note(failures, "192.0.2.1", now);
    assert_true(is_paused(failures, "192.0.2.1", now + pauses[i] * 1000 - 1));
    now += pauses[i] * 1000;
    assert_false(is_paused(failures, "192.0.2.1", now));
  }
  struct failure_key key = key_of(failures, "192.0.2.1", 80);
  note(failures, "192.0.2.1", now);
  failures_forget(failures, &key);
  assert_int_equal(failures_count(failures), 0);
  note(failures, "192.0.2.1", now);
  assert_true(is_paused(failures, "192.0.2.1", now + 4999));
  assert_false(is_paused(failures, "192.0.2.1", now + 5000));
  failures_free(failures);
}

static void many_that_fail_at_once_are_one_failure(void **state) {
  struct failures *failures = failures_new(100);
  (void)state;
  for (clock_ms now = 1000000; now < 1004000; now++)
    note(failures, "192.0.2.1", now);
  assert_true(is_paused(failures, "192.0.2.1", 1004999));
  assert_false(is_paused(failures, "192.0.2.1", 1005000));
  failures_free(failures);
}

static void after_the_pause_one_goes_first_and_the_others_wait_for_it(void **state) {
  struct failures *failures = failures_new(100);
  struct failure_key key = key_of(failures, "192.0.2.1", 80);
  clock_ms now = 1000000;
  (void)state;
  failures_claim(failures, &key, now); /* of what is not known: nothing */
  assert_int_equal(failures_count(failures), 0);
  note(failures, "192.0.2.1", now);
  now += 5000;
  assert_false(is_paused(failures, "192.0.2.1", now));
  failures_claim(failures, &key, now);
  assert_true(is_paused(failures, "192.0.2.1", now));
  assert_false(is_paused(failures, "192.0.2.1", now + 5000)); /* nothing is known of that one: the next */
  note(failures, "192.0.2.1", now + 2000);
  assert_true(is_paused(failures, "192.0.2.1", now + 11999));
  assert_false(is_paused(failures, "192.0.2.1", now + 12000));
  failures_free(failures);
}

static void what_is_not_tried_again_is_forgotten(void **state) {
  struct failures *failures = failures_new(100);
  (void)state;
  note(failures, "192.0.2.1", 1000000);
  note(failures, "192.0.2.2", 1000000);
  assert_false(is_paused(failures, "192.0.2.1", 1000000 + FAILURES_PAUSE_MS + FAILURES_FORGOTTEN_MS + 1));
  assert_int_equal(failures_count(failures), 1);
  failures_free(failures);
}

static void names_sockets_and_ports_are_told_apart(void **state) {
  struct failures *failures = failures_new(100);
  static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "a.example", "b.example", "unix:/a", "unix:/b"};
  (void)state;
  for (size_t i = 0; i < 6; i++) {
    assert_false(is_paused(failures, hosts[i], 1000));
    note(failures, hosts[i], 1000);
    assert_int_equal(failures_count(failures), i + 1);
  }
  struct failure_key other = key_of(failures, "a.example", 81), socket = key_of(failures, "unix:/a", 81);
  assert_false(failures_is_paused(failures, &other, 1000));
  assert_true(failures_is_paused(failures, &socket, 1000));
  other = key_of(failures, "192.0.2.1", 81);
  assert_false(failures_is_paused(failures, &other, 1000));

  struct endpoint endpoint;
  endpoint_from_literal(&endpoint, "192.0.2.1", 80);
  other = failures_key_of_endpoint(failures, &endpoint);
  assert_true(failures_is_paused(failures, &other, 1000));
  endpoint_from_unix_path(&endpoint, "/b");
  other = failures_key_of_endpoint(failures, &endpoint);
  assert_true(failures_is_paused(failures, &other, 1000));
  failures_free(failures);
}

static void there_are_no_more_than_were_said(void **state) {
  struct failures *failures = failures_new(FAILURES_SHARDS * 4);
  char host[32];
  (void)state;
  for (int i = 0; i < 10000; i++) {
    snprintf(host, sizeof host, "%d.example", i);
    note(failures, host, 1000000 + (clock_ms)i);
    assert_true(failures_count(failures) <= FAILURES_SHARDS * 4);
    assert_true(is_paused(failures, host, 1000000 + (clock_ms)i));
  }
  assert_int_equal(failures_count(failures), FAILURES_SHARDS * 4);
  failures_free(failures);
}

static void count_report(void *context, const struct failure_report *report) {
  int *reports = context;
  ++*reports;
  assert_string_equal(report->name, "a.example");
  assert_int_equal(report->status, -ECONNREFUSED);
  assert_int_equal(report->failures, 2);
  assert_int_equal(report->ago_ms, 500);
  assert_int_equal(report->paused_ms, 4000);
}

static void what_is_known_is_told(void **state) {
  struct failures *failures = failures_new(100);
  int reports = 0;
  (void)state;
  note(failures, "a.example", 1000);
  note(failures, "a.example", 1500);
  struct failure_key key = key_of(failures, "a.example", 80), other = key_of(failures, "b.example", 80);
  assert_true(failures_find(failures, &key, 2000, count_report, &reports));
  assert_false(failures_find(failures, &other, 2000, count_report, &reports));
  failures_each(failures, 2000, count_report, &reports);
  assert_int_equal(reports, 2);
  failures_free(failures);
}

static void *hammer(void *argument) {
  struct failures *failures = argument;
  char host[32];
  for (unsigned i = 0; i < 20000; i++) {
    snprintf(host, sizeof host, "%u.example", i % 97);
    struct failure_key key = key_of(failures, host, 80);
    if (i % 3 == 0)
      failures_note(failures, &key, host, -ETIMEDOUT, 1000 + i);
    else if (i % 7 == 0)
      failures_forget(failures, &key);
    else if (!failures_is_paused(failures, &key, 1000 + i))
      failures_claim(failures, &key, 1000 + i);
  }
  return NULL;
}

static void several_threads_may_use_it(void **state) {
  struct failures *failures = failures_new(64);
  pthread_t threads[4];
  (void)state;
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, hammer, failures), 0);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_true(failures_count(failures) <= 64);
  failures_free(failures);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_pause_doubles_up_to_a_minute),
      cmocka_unit_test(many_that_fail_at_once_are_one_failure),
      cmocka_unit_test(after_the_pause_one_goes_first_and_the_others_wait_for_it),
      cmocka_unit_test(what_is_not_tried_again_is_forgotten),
      cmocka_unit_test(names_sockets_and_ports_are_told_apart),
      cmocka_unit_test(there_are_no_more_than_were_said),
      cmocka_unit_test(what_is_known_is_told),
      cmocka_unit_test(several_threads_may_use_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
