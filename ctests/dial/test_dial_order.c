/* SPDX-License-Identifier: MIT
 *
 * In which order the addresses of a name are tried: the families in turn, what has failed lately last. */
#include "dial/dial_private.h"

#include "../net/support.h"

#include <stdlib.h>

struct fixture {
  struct bench bench;
  struct dialer dialer;
};

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  bench_init(&fixture->bench);
  fixture->dialer = (struct dialer){.loop = &fixture->bench.loop, .failures = failures_new(100)};
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  failures_free(fixture->dialer.failures);
  bench_deinit(&fixture->bench);
  free(fixture);
  return 0;
}

static void note(struct fixture *fixture, const char *host) {
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, host, 80), 0);
  struct failure_key key = failures_key_of_endpoint(fixture->dialer.failures, &endpoint);
  failures_note(fixture->dialer.failures, &key, host, -ECONNREFUSED, loop_now(&fixture->bench.loop));
}

/* Both are lists with spaces between. */
static void expect_order(struct fixture *fixture, const char *given, const char *wanted) {
  struct endpoint addresses[RESOLVE_MAX_ADDRESSES];
  struct dial dial = {.dialer = &fixture->dialer, .addresses = addresses};
  char words[256], got[256] = "";
  snprintf(words, sizeof words, "%s", given);
  for (char *rest, *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
    assert_int_equal(endpoint_from_literal(&addresses[dial.count++], word, 80), 0);
  dial_order_addresses(&dial);
  for (unsigned i = 0; i < dial.count; i++) {
    struct ip_address address;
    char text[ADDRESS_TEXT_SIZE];
    ip_address_from_sockaddr(&address, (const struct sockaddr *)&addresses[i].storage);
    strcat(strcat(got, i > 0 ? " " : ""), ip_address_format(&address, text));
  }
  assert_string_equal(got, wanted);
}

static void the_families_take_turns(void **state) {
  struct fixture *fixture = *state;
  expect_order(fixture, "10.0.0.1", "10.0.0.1");
  expect_order(fixture, "::1 ::2 10.0.0.1 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2");
  expect_order(fixture, "10.0.0.1 10.0.0.2 10.0.0.3 ::1", "10.0.0.1 ::1 10.0.0.2 10.0.0.3");
  expect_order(fixture, "::1 10.0.0.1 ::2 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2");
}

static void what_has_failed_lately_is_behind_all_others(void **state) {
  struct fixture *fixture = *state;
  note(fixture, "::1");
  expect_order(fixture, "::1 10.0.0.1 ::2 10.0.0.2", "10.0.0.1 ::2 10.0.0.2 ::1");
  note(fixture, "10.0.0.1");
  expect_order(fixture, "::1 10.0.0.1 ::2 10.0.0.2", "::2 10.0.0.2 ::1 10.0.0.1");
  note(fixture, "::2");
  note(fixture, "10.0.0.2");
  expect_order(fixture, "::1 10.0.0.1 ::2 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2");
}

static void after_its_time_one_dial_has_it_first_again(void **state) {
  struct fixture *fixture = *state;
  note(fixture, "10.0.0.1");
  clock_advance(&fixture->bench.clock, UINT64_C(1000000) * (FAILURES_PAUSE_MS + 10));
  bench_settle(&fixture->bench);
  expect_order(fixture, "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2");
  expect_order(fixture, "10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_families_take_turns),
      TEST(what_has_failed_lately_is_behind_all_others),
      TEST(after_its_time_one_dial_has_it_first_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
