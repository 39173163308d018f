/* SPDX-License-Identifier: MIT
 *
 * Which patterns a connection shows. */
#include "reports/diagnose_pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { HOUR = 3600 * 1000, BOTH = (1 << PIPE_CLIENT) | (1 << PIPE_TARGET) };

static bool shows(enum diagnose_pattern pattern, const struct connection_entry *entry) {
  uint64_t since;
  return diagnose_pattern_shows(pattern, entry, HOUR, &since);
}

/* Patterns as bits. */
static unsigned shown(const struct connection_entry *entry) {
  unsigned set = 0;
  for (unsigned pattern = 0; pattern < PATTERN_COUNT; pattern++)
    set |= (unsigned)shows((enum diagnose_pattern)pattern, entry) << pattern;
  return set;
}

static void test_a_busy_connection_shows_none(void **state) {
  (void)state;
  const struct connection_entry entry = {
      .state = CONNECTION_FORWARDING, .age = HOUR - 1, .idle = 20, .bytes = {.in = 5, .out = 7}};
  assert_int_equal(shown(&entry), 0);
}

static void test_classes_count_once_they_are_suspect(void **state) {
  (void)state;
  struct connection_entry entry = {
      .state = CONNECTION_CONNECTING, .age = 12000, .idle = 12000, .finding = {CONNECTION_SLOW_CONNECT, 11000, 30000}};
  assert_int_equal(shown(&entry), 0);
  entry.suspect = true;
  uint64_t since;
  assert_true(diagnose_pattern_shows(PATTERN_STUCK_CONNECTING, &entry, HOUR, &since));
  assert_int_equal(since, 11000);
  assert_int_equal(shown(&entry), 1 << PATTERN_STUCK_CONNECTING);
  entry.state = CONNECTION_FORWARDING;
  entry.bytes.in = 1;
  entry.finding.class = CONNECTION_HALF_DEAD;
  assert_int_equal(shown(&entry), 1 << PATTERN_HALF_ZOMBIE);
  entry.finding.class = CONNECTION_SILENT;
  assert_int_equal(shown(&entry), 1 << PATTERN_SILENT);
  entry.finding.class = CONNECTION_STUCK;
  assert_int_equal(shown(&entry), 1 << PATTERN_STUCK);
}

static void test_a_zombie_is_over_on_both_sides_for_a_while(void **state) {
  (void)state;
  struct connection_entry entry = {
      .state = CONNECTION_FORWARDING, .age = 9000, .idle = PATTERN_ZOMBIE_MS - 1, .ended = BOTH, .bytes = {.in = 1}};
  assert_false(shows(PATTERN_ZOMBIE, &entry));
  entry.idle = PATTERN_ZOMBIE_MS;
  assert_true(shows(PATTERN_ZOMBIE, &entry));
  entry.ended = 1 << PIPE_CLIENT;
  assert_false(shows(PATTERN_ZOMBIE, &entry));
}

static void test_one_that_lingers_is_a_zombie_only_past_its_time(void **state) {
  (void)state;
  struct connection_entry entry = {.state = CONNECTION_CLOSING, .age = 60000, .idle = 60000, .ended = BOTH};
  assert_int_equal(shown(&entry), 0);
  entry.overdue = PATTERN_ZOMBIE_MS;
  assert_int_equal(shown(&entry), 1 << PATTERN_ZOMBIE);
}

static void test_one_without_a_route_has_no_outgoing_side(void **state) {
  (void)state;
  struct connection_entry entry = {.state = CONNECTION_ROUTING, .age = PATTERN_QUIET_MS - 1};
  assert_int_equal(shown(&entry), 0);
  entry.age = PATTERN_QUIET_MS;
  assert_int_equal(shown(&entry), 1 << PATTERN_NO_OUTGOING);
}

static void test_who_waits_for_a_function_is_not_blamed_itself(void **state) {
  (void)state;
  struct connection_entry entry = {.state = CONNECTION_ROUTING,
                                   .age = 2 * PATTERN_QUIET_MS,
                                   .waits = {.function = "match.when", .since = PATTERN_QUIET_MS - 1}};
  assert_int_equal(shown(&entry), 0);
  entry.waits.since = PATTERN_QUIET_MS;
  assert_int_equal(shown(&entry), 1 << PATTERN_FUNCTION);
  entry.state = CONNECTION_CONNECTING;
  entry.finding = (struct connection_finding){CONNECTION_SLOW_CONNECT, 2 * PATTERN_QUIET_MS, 30000};
  entry.suspect = true;
  assert_int_equal(shown(&entry), 1 << PATTERN_FUNCTION);
}

static void test_no_byte_either_way_shows_after_a_while(void **state) {
  (void)state;
  struct connection_entry entry = {.state = CONNECTION_HANDLING, .age = PATTERN_QUIET_MS};
  assert_int_equal(shown(&entry), 1 << PATTERN_NO_DATA);
  entry.bytes.out = 1;
  assert_int_equal(shown(&entry), 0);
}

static void test_what_a_peer_does_not_take_shows_after_a_while(void **state) {
  (void)state;
  struct connection_entry entry = {
      .state = CONNECTION_FORWARDING, .age = HOUR - 1, .idle = PATTERN_QUIET_MS, .bytes = {.in = 1, .out = 1}};
  assert_int_equal(shown(&entry), 0);
  entry.unsent[PIPE_CLIENT] = 1;
  assert_int_equal(shown(&entry), 1 << PATTERN_UNREAD);
  entry.unsent[PIPE_CLIENT] = 0;
  entry.unsent[PIPE_TARGET] = 1;
  assert_int_equal(shown(&entry), 1 << PATTERN_UNREAD);
  entry.idle--;
  assert_int_equal(shown(&entry), 0);
}

static void test_what_keep_alive_keeps_is_quiet_for_long(void **state) {
  (void)state;
  struct connection_entry entry = {.state = CONNECTION_FORWARDING,
                                   .route = "a",
                                   .age = HOUR,
                                   .idle = HOUR,
                                   .bytes = {.in = 1, .out = 1},
                                   .treatment = KEEP_ALIVE_STANDARD};
  assert_int_equal(shown(&entry), 1 << PATTERN_OLD);
  entry.treatment = KEEP_ALIVE_IMMORTAL;
  assert_int_equal(shown(&entry), 1 << PATTERN_OLD | 1 << PATTERN_KEEP_ALIVE_STUCK);
  entry.idle = HOUR - 1;
  assert_int_equal(shown(&entry), 1 << PATTERN_OLD);
}

static void test_nothing_is_old_when_old_is_off(void **state) {
  (void)state;
  uint64_t since;
  const struct connection_entry entry = {.state = CONNECTION_FORWARDING, .age = 100 * (uint64_t)HOUR};
  assert_false(diagnose_pattern_shows(PATTERN_OLD, &entry, 0, &since));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_busy_connection_shows_none),
      cmocka_unit_test(test_classes_count_once_they_are_suspect),
      cmocka_unit_test(test_a_zombie_is_over_on_both_sides_for_a_while),
      cmocka_unit_test(test_one_that_lingers_is_a_zombie_only_past_its_time),
      cmocka_unit_test(test_one_without_a_route_has_no_outgoing_side),
      cmocka_unit_test(test_who_waits_for_a_function_is_not_blamed_itself),
      cmocka_unit_test(test_no_byte_either_way_shows_after_a_while),
      cmocka_unit_test(test_what_a_peer_does_not_take_shows_after_a_while),
      cmocka_unit_test(test_what_keep_alive_keeps_is_quiet_for_long),
      cmocka_unit_test(test_nothing_is_old_when_old_is_off),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
