/* SPDX-License-Identifier: MIT
 *
 * The classes of connections that get nowhere, at their edges. */
#include "../support/records.h"
#include "connection/class.h"

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

/* Each test's own. */
struct bench {
  struct worker worker;
  struct connection *connection;
};

static int set_up(void **state) {
  struct bench *bench = calloc(1, sizeof *bench);
  bench->connection = record_new(&bench->worker);
  *state = bench;
  return 0;
}

static int tear_down(void **state) {
  struct bench *bench = *state;
  free(bench->connection);
  free(bench);
  return 0;
}

static struct exchange *exchange_in(void **state, enum exchange_state in, struct route *route, clock_ms last_active) {
  struct bench *bench = *state;
  return record_exchange(bench->connection, in, route, last_active);
}

static void assert_class(const struct exchange *exchange, enum connection_class class, clock_ms since, uint64_t limit) {
  struct connection_finding finding = exchange_classify(exchange);
  assert_string_equal(connection_class_label(finding.class), connection_class_label(class));
  if (class == CONNECTION_WELL)
    return;
  assert_int_equal(finding.since, since);
  assert_int_equal(finding.limit, limit);
}

static void test_one_whose_target_has_answered_is_well_however_quiet(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &route, 1000);
  exchange->connection->tally.own.out = 1;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
}

static void test_one_whose_target_never_answered_is_stuck(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false);
  struct flow_shared shared = {.size = 0};
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &plain, 1000);
  exchange->pipe.shared = &shared;
  exchange->connection->tally.own.in = 500;
  assert_class(exchange, CONNECTION_STUCK, 1000, 60000);
  exchange->connection->keep_alive = KEEP_ALIVE_EXTENDED;
  assert_class(exchange, CONNECTION_STUCK, 1000, 60000);
  exchange->connection->keep_alive = KEEP_ALIVE_IMMORTAL;
  assert_class(exchange, CONNECTION_STUCK, 1000, 0);
  exchange->route = &tls;
  assert_class(exchange, CONNECTION_STUCK, 1000, 0);
}

static void test_what_the_client_was_sent_before_is_no_answer_of_the_target(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct flow_shared shared = {.size = 0};
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &route, 1000);
  exchange->pipe.shared = &shared;
  exchange->before.out = exchange->connection->tally.own.out = 12;
  exchange->connection->tally.own.in = 1;
  assert_class(exchange, CONNECTION_STUCK, 1000, 60000);
  exchange->connection->tally.own.out = 13;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
}

static void test_one_on_which_nobody_has_said_anything_is_well_and_looked_at(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false);
  struct flow_shared shared = {.size = 0};
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &plain, 1000);
  exchange->pipe.shared = &shared;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
  assert_int_equal(exchange_unasked_limit(exchange), 60000);
  exchange->before.in = exchange->connection->tally.own.in = 7; /* a handler's */
  assert_class(exchange, CONNECTION_WELL, 0, 0);
  assert_int_equal(exchange_unasked_limit(exchange), 60000);
  exchange->route = &tls;
  assert_int_equal(exchange_unasked_limit(exchange), 0);
  exchange->route = &plain;
  exchange->connection->tally.own.in = 8;
  assert_class(exchange, CONNECTION_STUCK, 1000, 60000);
  assert_int_equal(exchange_unasked_limit(exchange), 0);
  exchange->connection->tally.own.out = 1;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
  assert_int_equal(exchange_unasked_limit(exchange), 0);
}

static void test_one_whose_end_stands_behind_bytes_is_half_dead(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), open = route_of(ROUTE_TLS_NONE, true);
  struct flow_shared shared = {.size = 0};
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &plain, 7);
  exchange->pipe.shared = &shared;
  exchange->pipe.ends[PIPE_TARGET].ending = true;
  assert_class(exchange, CONNECTION_HALF_DEAD, 7, 30000);
  assert_int_equal(exchange_ended_sides(exchange), 1 << PIPE_TARGET);
  exchange->route = &open;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
}

static void test_one_that_is_broken_behind_bytes_has_linger_also_when_half_open(void **state) {
  struct route open = route_of(ROUTE_TLS_NONE, true);
  struct flow_shared shared = {.size = 0};
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &open, 7);
  enum pipe_side side;
  exchange->pipe.shared = &shared;
  assert_false(exchange_is_breaking(exchange, &side));
  exchange->pipe.ends[PIPE_CLIENT].failing = true;
  assert_class(exchange, CONNECTION_HALF_DEAD, 7, 4000);
  assert_true(exchange_is_breaking(exchange, &side));
  assert_int_equal(side, PIPE_CLIENT);
}

static void test_one_with_a_silent_side_is_silent_whatever_else_it_is(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  const struct worker_settings settings = {.tcp.unacknowledged_ms = 9000};
  struct exchange *exchange = exchange_in(state, EXCHANGE_HANDLING, &route, 0);
  ((struct bench *)*state)->worker.settings = &settings;
  enum pipe_side side;
  assert_true(exchange_silent_since(exchange, &side) == CLOCK_NEVER);
  exchange->silent_since[PIPE_CLIENT] = 70;
  assert_class(exchange, CONNECTION_SILENT, 70, 9000);
  exchange->state = EXCHANGE_FORWARDING;
  exchange->ended = 1 << PIPE_CLIENT;
  exchange->silent_since[PIPE_TARGET] = 60;
  assert_class(exchange, CONNECTION_SILENT, 60, 9000);
  assert_true(exchange_silent_since(exchange, &side) == 60);
  assert_int_equal(side, PIPE_TARGET);
}

static void test_what_is_not_forwarded_byte_by_byte_is_never_stuck(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &route, 1000);
  assert_class(exchange, CONNECTION_WELL, 0, 0);
}

static void test_one_with_an_ended_side_is_half_dead_unless_half_open(void **state) {
  struct route plain = route_of(ROUTE_TLS_NONE, false), tls = route_of(ROUTE_TLS_PASSTHROUGH, false),
               open = route_of(ROUTE_TLS_NONE, true);
  struct exchange *exchange = exchange_in(state, EXCHANGE_FORWARDING, &plain, 7);
  exchange->ended = 1 << PIPE_CLIENT;
  assert_class(exchange, CONNECTION_HALF_DEAD, 7, 30000);
  exchange->route = &tls;
  assert_class(exchange, CONNECTION_HALF_DEAD, 7, 300000);
  exchange->route = &open;
  assert_class(exchange, CONNECTION_WELL, 0, 0);
}

static void test_connecting_is_since_connecting_began(void **state) {
  struct route route = route_of(ROUTE_TLS_NONE, false);
  struct exchange *exchange = exchange_in(state, EXCHANGE_CONNECTING, &route, 1);
  exchange->connect_deadline = 9000;
  assert_class(exchange, CONNECTION_SLOW_CONNECT, 4000, 5000);
  route.timeouts.connect = 0;
  exchange->connect_deadline = CLOCK_NEVER;
  assert_class(exchange, CONNECTION_SLOW_CONNECT, 1, 0);
}

static void test_handlers_and_states_before_and_after_are_of_no_class(void **state) {
  static const enum exchange_state states[] = {EXCHANGE_ROUTING, EXCHANGE_HANDLING, EXCHANGE_OVER};
  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
    assert_class(exchange_in(state, states[i], NULL, 0), CONNECTION_WELL, 0, 0);
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
      cmocka_unit_test_setup_teardown(test_one_whose_target_has_answered_is_well_however_quiet, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_one_whose_target_never_answered_is_stuck, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_the_client_was_sent_before_is_no_answer_of_the_target, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_one_on_which_nobody_has_said_anything_is_well_and_looked_at, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_one_whose_end_stands_behind_bytes_is_half_dead, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_one_that_is_broken_behind_bytes_has_linger_also_when_half_open, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_one_with_a_silent_side_is_silent_whatever_else_it_is, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_is_not_forwarded_byte_by_byte_is_never_stuck, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_one_with_an_ended_side_is_half_dead_unless_half_open, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_connecting_is_since_connecting_began, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_handlers_and_states_before_and_after_are_of_no_class, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_is_suspect_after_ten_seconds_or_the_bound_where_that_is_shorter, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
