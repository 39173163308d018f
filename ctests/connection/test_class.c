/* SPDX-License-Identifier: MIT
 *
 * The classes of connections that get nowhere, at their edges. */
#include "connection/class.h"
#include "connection/connection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct route route_of(enum route_tls tls, bool half_open) {
  return (struct route){.tls = tls,
                        .half_open = half_open,
                        .timeouts = {.connect = 5000,
                                     .linger = 4000,
                                     .half_dead = 30000,
                                     .half_dead_tls = 300000,
                                     .stuck = 60000,
                                     .stuck_tls = 0}};
}

static void assert_class(const struct connection *connection, enum connection_class class, clock_ms since,
                         uint64_t limit) {
  struct connection_finding finding = connection_classify(connection);
  assert_string_equal(connection_class_label(finding.class), connection_class_label(class));
  if (class == CONNECTION_WELL)
    return;
  assert_int_equal(finding.since, since);
  assert_int_equal(finding.limit, limit);
}

static void test_one_whose_target_has_answered_is_well_however_quiet(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &route, .last_active = 1000};
  (void)state;
  connection.tally.own.out = 1;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
}

static void test_one_whose_target_never_answered_is_stuck(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false);
  struct flow_shared shared = {.size = 0};
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &plain, .last_active = 1000};
  (void)state;
  connection.exchange.pipe.shared = &shared;
  connection.tally.own.in = 500;
  assert_class(&connection, CONNECTION_STUCK, 1000, 60000);
  connection.keep_alive.treatment = KEEP_ALIVE_EXTENDED;
  assert_class(&connection, CONNECTION_STUCK, 1000, 60000);
  connection.keep_alive.treatment = KEEP_ALIVE_IMMORTAL;
  assert_class(&connection, CONNECTION_STUCK, 1000, 0);
  connection.exchange.route = &tls;
  assert_class(&connection, CONNECTION_STUCK, 1000, 0);
}

static void test_what_the_client_was_sent_before_is_no_answer_of_the_target(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct flow_shared shared = {.size = 0};
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &route, .last_active = 1000};
  (void)state;
  connection.exchange.pipe.shared = &shared;
  connection.exchange.out_before = connection.tally.own.out = 12;
  connection.tally.own.in = 1;
  assert_class(&connection, CONNECTION_STUCK, 1000, 60000);
  connection.tally.own.out = 13;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
}

static void test_one_on_which_nobody_has_said_anything_is_well_and_looked_at(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false);
  struct flow_shared shared = {.size = 0};
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &plain, .last_active = 1000};
  (void)state;
  connection.exchange.pipe.shared = &shared;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
  assert_int_equal(connection_unasked_limit(&connection), 60000);
  connection.exchange.in_before = connection.tally.own.in = 7; /* a handler's */
  assert_class(&connection, CONNECTION_WELL, 0, 0);
  assert_int_equal(connection_unasked_limit(&connection), 60000);
  connection.exchange.route = &tls;
  assert_int_equal(connection_unasked_limit(&connection), 0);
  connection.exchange.route = &plain;
  connection.tally.own.in = 8;
  assert_class(&connection, CONNECTION_STUCK, 1000, 60000);
  assert_int_equal(connection_unasked_limit(&connection), 0);
  connection.tally.own.out = 1;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
  assert_int_equal(connection_unasked_limit(&connection), 0);
}

static void test_one_whose_end_stands_behind_bytes_is_half_dead(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), open = route_of(ROUTE_TLS_NONE, true);
  struct flow_shared shared = {.size = 0};
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &plain, .last_active = 7};
  (void)state;
  connection.exchange.pipe.shared = &shared;
  connection.exchange.pipe.ends[PIPE_TARGET].ending = true;
  assert_class(&connection, CONNECTION_HALF_DEAD, 7, 30000);
  assert_int_equal(connection_ended_sides(&connection), 1 << PIPE_TARGET);
  connection.exchange.route = &open;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
}

static void test_one_that_is_broken_behind_bytes_has_linger_also_when_half_open(void **state) {
  struct route open = route_of(ROUTE_TLS_NONE, true);
  struct flow_shared shared = {.size = 0};
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &open, .last_active = 7};
  enum pipe_side side;
  (void)state;
  connection.exchange.pipe.shared = &shared;
  assert_false(connection_is_breaking(&connection, &side));
  connection.exchange.pipe.ends[PIPE_CLIENT].failing = true;
  assert_class(&connection, CONNECTION_HALF_DEAD, 7, 4000);
  assert_true(connection_is_breaking(&connection, &side));
  assert_int_equal(side, PIPE_CLIENT);
}

static void test_one_with_a_silent_side_is_silent_whatever_else_it_is(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  const struct worker_settings settings = {.tcp.unacknowledged_ms = 9000};
  struct worker worker = {.settings = &settings};
  struct connection connection = {.state = CONNECTION_HANDLING, .exchange.route = &route, .worker = &worker};
  enum pipe_side side;
  (void)state;
  assert_true(connection_silent_since(&connection, &side) == CLOCK_NEVER);
  connection.silent_since[PIPE_CLIENT] = 70;
  assert_class(&connection, CONNECTION_SILENT, 70, 9000);
  connection.state = CONNECTION_FORWARDING;
  connection.ended = 1 << PIPE_CLIENT;
  connection.silent_since[PIPE_TARGET] = 60;
  assert_class(&connection, CONNECTION_SILENT, 60, 9000);
  assert_true(connection_silent_since(&connection, &side) == 60);
  assert_int_equal(side, PIPE_TARGET);
}

static void test_what_is_not_forwarded_byte_by_byte_is_never_stuck(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct connection connection = {.state = CONNECTION_FORWARDING, .exchange.route = &route, .last_active = 1000};
  (void)state;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
}

static void test_one_with_an_ended_side_is_half_dead_unless_half_open(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false),
               open = route_of(ROUTE_TLS_NONE, true);
  struct connection connection = {
      .state = CONNECTION_FORWARDING, .exchange.route = &plain, .last_active = 7, .ended = 1 << PIPE_CLIENT};
  (void)state;
  assert_class(&connection, CONNECTION_HALF_DEAD, 7, 30000);
  connection.exchange.route = &tls;
  assert_class(&connection, CONNECTION_HALF_DEAD, 7, 300000);
  connection.exchange.route = &open;
  assert_class(&connection, CONNECTION_WELL, 0, 0);
}

static void test_connecting_is_since_connecting_began(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct connection connection = {.state = CONNECTION_CONNECTING, .exchange.route = &route, .last_active = 1};
  (void)state;
  connection.exchange.connect_deadline = 9000;
  assert_class(&connection, CONNECTION_SLOW_CONNECT, 4000, 5000);
  route.timeouts.connect = 0;
  connection.exchange.connect_deadline = CLOCK_NEVER;
  assert_class(&connection, CONNECTION_SLOW_CONNECT, 1, 0);
}

static void test_handlers_and_states_before_and_after_are_of_no_class(void **state) {
  static const enum connection_state states[] = {CONNECTION_ROUTING, CONNECTION_HANDLING, CONNECTION_CLOSING};
  (void)state;
  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
    struct connection connection = {.state = states[i]};
    assert_class(&connection, CONNECTION_WELL, 0, 0);
  }
}

static void test_is_suspect_after_ten_seconds_or_the_bound_where_that_is_shorter(void **state) {
  struct connection_finding finding = {CONNECTION_STUCK, 1000, 60000};
  (void)state;
  assert_false(connection_is_suspect(&finding, 10999));
  assert_true(connection_is_suspect(&finding, 11000));
  finding.limit = 5000;
  assert_false(connection_is_suspect(&finding, 5999));
  assert_true(connection_is_suspect(&finding, 6000));
  finding.limit = 0;
  assert_true(connection_is_suspect(&finding, 11000));
  finding.class = CONNECTION_WELL;
  assert_false(connection_is_suspect(&finding, 1000000));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_whose_target_has_answered_is_well_however_quiet),
      cmocka_unit_test(test_one_whose_target_never_answered_is_stuck),
      cmocka_unit_test(test_what_the_client_was_sent_before_is_no_answer_of_the_target),
      cmocka_unit_test(test_one_on_which_nobody_has_said_anything_is_well_and_looked_at),
      cmocka_unit_test(test_one_whose_end_stands_behind_bytes_is_half_dead),
      cmocka_unit_test(test_one_that_is_broken_behind_bytes_has_linger_also_when_half_open),
      cmocka_unit_test(test_one_with_a_silent_side_is_silent_whatever_else_it_is),
      cmocka_unit_test(test_what_is_not_forwarded_byte_by_byte_is_never_stuck),
      cmocka_unit_test(test_one_with_an_ended_side_is_half_dead_unless_half_open),
      cmocka_unit_test(test_connecting_is_since_connecting_began),
      cmocka_unit_test(test_handlers_and_states_before_and_after_are_of_no_class),
      cmocka_unit_test(test_is_suspect_after_ten_seconds_or_the_bound_where_that_is_shorter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
