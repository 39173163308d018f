/* SPDX-License-Identifier: MIT
 *
 * Exchanges of one connection, one after another and two at a time: routed, counted, and ended each by itself. */
#include "exchange_fixture.h"

static void two_at_a_time_are_routed_and_counted_each_by_itself(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, true), *two = fixture_forward(fixture, 1, false);
  assert_int_equal(CONNECTION_FORWARDING, fixture->connection->state);
  assert_string_equal("a", one->exchange->route->name);
  assert_string_equal("b", two->exchange->route->name);
  fixture_send(fixture, one, "1:", "question");
  fixture_send(fixture, two, "22:", "other");
  fixture_reply(fixture, two, "2:", "an answer");
  fixture_reply(fixture, one, "1:", "yes");
  expect_counts(fixture, ROUTE_A, 8, 3, 1);
  expect_counts(fixture, ROUTE_B, 5, 9, 0); /* the connection is counted once, by its first route */
  assert_int_equal(1, stats_of_route(fixture, ROUTE_A)->active);
  assert_int_equal(0, stats_of_route(fixture, ROUTE_B)->active);
  assert_int_equal(5, exchange_bytes(two->exchange).in);
  assert_int_equal(9, exchange_bytes(two->exchange).out);

  exchange_close(one->exchange, PIPE_TARGET, CLOSE_ENDED);
  assert_int_equal(CONNECTION_FORWARDING, fixture->connection->state);
  fixture_send(fixture, two, "2:", "more");
  expect_counts(fixture, ROUTE_B, 9, 9, 0);
  exchange_close(two->exchange, PIPE_TARGET, CLOSE_ENDED);
  assert_int_equal(CONNECTION_IDLE, fixture->connection->state);
  expect_counts(fixture, ROUTE_A, 8 + 7, 3 + 4, 1); /* the heads are the first route's */
  expect_sums(fixture, 24, 16);
  assert_int_equal(24, fixture->connection->tally.own.in);
  assert_int_equal(16, fixture->connection->tally.own.out);
}

/* … while others of its worker come and go, for whose addresses there is no room. */
static void an_address_keeps_what_its_exchanges_had_when_others_are_evicted(void **state) {
  struct fixture *fixture = *state;
  struct clients *clients = &fixture->worker.metrics->clients;
  clients_set_bounds(clients, 2, 64);
  struct part *one = fixture_forward(fixture, 0, true), *two = fixture_forward(fixture, 1, false);
  for (uint32_t i = 2; i < 10; i++) {
    int wire = fixture_connect_from(fixture, i);
    struct connection *other = LIST_OWNER(fixture->worker.connections.previous, struct connection, node);
    assert_true(clients_has_entered(clients, other->tally.client));
    expect_sums(fixture, 4 * (i - 2), 4 * (i - 2));
    connection_kill(other);
    close(wire);
    fixture_rounds(fixture, 2);
    fixture_send(fixture, i % 2 ? one : two, "1:", "in");
    fixture_reply(fixture, i % 2 ? one : two, "2:", "ut");
    exchange_charge(i % 2 ? one->exchange : two->exchange, 2, 2); /* the heads too */
  }
  expect_counts(fixture, ROUTE_A, 16, 16, 1);
  expect_counts(fixture, ROUTE_B, 16, 16, 0);
  expect_sums(fixture, 32, 32);
  assert_int_equal(2, clients_count(clients));
  assert_int_equal(32, fixture->connection->tally.client->bytes.in);
  assert_int_equal(1, fixture->connection->tally.client->connections);
  assert_int_equal(7, clients->other.connections);
}

static void one_after_another_counts_nothing_again(void **state) {
  struct fixture *fixture = *state;
  for (size_t i = 0; i < 3; i++) {
    struct part *part = fixture_forward(fixture, i, i == 1);
    fixture_send(fixture, part, ">", "ping");
    fixture_reply(fixture, part, "<", "pong");
    exchange_close(part->exchange, PIPE_CLIENT, CLOSE_ENDED);
    assert_null(part->exchange);
    assert_int_equal(CONNECTION_IDLE, fixture->connection->state);
  }
  expect_counts(fixture, ROUTE_A, 4, 4, 0);
  expect_counts(fixture, ROUTE_B, 8 + 3, 8 + 3, 1);
  expect_sums(fixture, 15, 15);
}

static void one_is_cancelled_and_the_other_goes_on(void **state) {
  struct fixture *fixture = *state;
  char byte;
  struct part *one = fixture_forward(fixture, 0, true), *two = fixture_forward(fixture, 1, false);
  fixture_send(fixture, one, "", "half a quest");
  exchange_close(one->exchange, PIPE_CLIENT, CLOSE_RESET);
  fixture_rounds(fixture, 3);
  assert_int_equal(CLOSE_RESET, one->reason);
  assert_int_equal(-1, read(one->target, &byte, 1)); /* what was cut short never looks like an end */
  assert_int_equal(ECONNRESET, errno);
  fixture_send(fixture, two, "", "whole");
  fixture_reply(fixture, two, "", "answer");
  expect_counts(fixture, ROUTE_A, 12, 0, 1);
  expect_counts(fixture, ROUTE_B, 5, 6, 0);
}

static void a_target_that_ends_ends_its_exchange_only(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, true), *two = fixture_forward(fixture, 1, false);
  close(one->target);
  one->target = 0;
  for (int i = 0; i < TURNS && one->exchange; i++)
    fixture_turn(fixture);
  assert_null(one->exchange);
  assert_int_equal(PIPE_TARGET, one->side);
  assert_int_equal(CLOSE_ENDED, one->reason);
  assert_int_equal(0, fixture->closing);
  fixture_reply(fixture, two, "", "still here");
}

static void a_function_that_is_waited_for_is_cancelled_with_its_exchange_only(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, false);
  fixture->holds = true;
  struct part *two = fixture_begin(fixture, 1);
  assert_ptr_equal(two->exchange, fixture->waiting);
  assert_int_equal(EXCHANGE_ROUTING, two->exchange->state);
  struct part *three = fixture_begin(fixture, 2);
  exchange_close(two->exchange, PIPE_CLIENT, CLOSE_RESET);
  assert_int_equal(1, fixture->cancelled);
  fixture->wants_a = true;
  fixture->holds = false;
  three->exchange->asker.script = NULL;
  fixture_answer(three->exchange, SLOT_WHEN_A);
  for (int i = 0; i < TURNS && three->exchange->state != EXCHANGE_FORWARDING; i++)
    fixture_turn(fixture);
  assert_int_equal(EXCHANGE_FORWARDING, three->exchange->state);
  assert_int_equal(EXCHANGE_FORWARDING, one->exchange->state);
}

static void a_function_that_closes_its_exchange_leaves_the_others(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, false);
  fixture->closes = true;
  struct part *two = &fixture->parts[1];
  int pair[2];
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
  two->far = pair[0];
  assert_int_equal(0, stream_open(&two->client, &fixture->worker.loop, pair[1], NULL, STREAM_WRITABLE));
  two->exchange = exchange_new(fixture->connection, &two->client);
  exchange_start(two->exchange); /* its first step finds it gone */
  assert_null(two->exchange);
  assert_int_equal(CLOSE_KILLED, two->reason);
  fixture_rounds(fixture, 2);
  fixture_reply(fixture, one, "", "answer");
}

/* One that is cancelled as soon as it has begun still counts, so that a client can't make work by both. */
static void there_are_no_more_than_the_codec_lets_be(void **state) {
  struct fixture *fixture = *state;
  fixture->holds = true;
  for (size_t i = 0; i < PARTS; i++)
    fixture_begin(fixture, i);
  assert_null(exchange_new(fixture->connection, &fixture->parts[0].client));
  exchange_close(fixture->parts[0].exchange, PIPE_CLIENT, CLOSE_RESET);
  assert_null(exchange_new(fixture->connection, &fixture->parts[0].client));
  fixture_rounds(fixture, 1);
  assert_int_equal(PARTS - 1, fixture->codec.exchanges);
  close(fixture->parts[0].far);
  fixture_begin(fixture, 0);
  assert_int_equal(PARTS, fixture->codec.exchanges);
}

static void an_answer_without_memory_closes_its_exchange_only(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, false);
  fixture->holds = true;
  struct part *two = fixture_begin(fixture, 1);
  two->exchange->asker.script = NULL;
  asker_answered(&two->exchange->asker, NULL);
  assert_null(two->exchange);
  assert_int_equal(CLOSE_NO_MEMORY, two->reason);
  assert_int_equal(1, fixture->worker.metrics->worker.errors[ERROR_MEMORY]);
  fixture_reply(fixture, one, "", "answer");
}

static void bytes_from_before_the_route_are_its_own(void **state) {
  struct fixture *fixture = *state;
  fixture->holds = true;
  struct part *one = fixture_begin(fixture, 0), *two = fixture_begin(fixture, 1);
  fixture_read_wire(fixture, "the head of one, and of two");
  exchange_charge(one->exchange, 15, 0);
  exchange_charge(two->exchange, 100, 7); /* no more than there was */
  assert_int_equal(12, exchange_bytes(two->exchange).in);
  assert_int_equal(0, exchange_bytes(two->exchange).out);
  expect_counts(fixture, ROUTE_A, 0, 0, 0);
  fixture->holds = false;
  fixture->wants_a = true;
  one->exchange->asker.script = NULL;
  fixture_answer(one->exchange, SLOT_WHEN_A);
  expect_counts(fixture, ROUTE_A, 15, 0, 1);
  exchange_close(two->exchange, PIPE_CLIENT, CLOSE_NO_ROUTE); /* it never had one: they are the connection's */
  exchange_close(one->exchange, PIPE_CLIENT, CLOSE_RESET);
  expect_counts(fixture, ROUTE_A, 27, 0, 1);
  expect_sums(fixture, 27, 0);
}

static void a_connection_that_closes_takes_its_exchanges_along(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, true), *two = fixture_forward(fixture, 1, false);
  fixture_send(fixture, two, "2:", "question");
  fixture->holds = true;
  fixture_begin(fixture, 2);
  connection_kill(fixture->connection);
  assert_int_equal(1, fixture->closing);
  assert_int_equal(1, fixture->cancelled);
  assert_null(one->exchange);
  assert_null(two->exchange);
  fixture_rounds(fixture, 2);
  assert_null(fixture->connection);
  assert_int_equal(1, fixture->worker.metrics->worker.terminations[PIPE_CLIENT][CLOSE_KILLED]);
  assert_int_equal(0, stats_of_route(fixture, ROUTE_A)->active);
  expect_counts(fixture, ROUTE_B, 8, 0, 0);
  expect_counts(fixture, ROUTE_A, 2, 0, 1);
  expect_sums(fixture, 10, 0);
}

static void a_connection_without_any_exchange_is_of_no_route(void **state) {
  struct fixture *fixture = *state;
  fixture_read_wire(fixture, "noise");
  expect_sums(fixture, 0, 0);
  connection_kill(fixture->connection);
  fixture_rounds(fixture, 2);
  expect_counts(fixture, METRIC_NO_ROUTE, 5, 0, 1);
  expect_sums(fixture, 5, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(two_at_a_time_are_routed_and_counted_each_by_itself, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(an_address_keeps_what_its_exchanges_had_when_others_are_evicted, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(there_are_no_more_than_the_codec_lets_be, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(an_answer_without_memory_closes_its_exchange_only, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(one_after_another_counts_nothing_again, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(one_is_cancelled_and_the_other_goes_on, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_target_that_ends_ends_its_exchange_only, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_function_that_is_waited_for_is_cancelled_with_its_exchange_only, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_function_that_closes_its_exchange_leaves_the_others, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(bytes_from_before_the_route_are_its_own, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_connection_that_closes_takes_its_exchanges_along, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_connection_without_any_exchange_is_of_no_route, fixture_set_up,
                                      fixture_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
