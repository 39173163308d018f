/* SPDX-License-Identifier: MIT
 *
 * What bounds the exchanges of one connection, on its one timer; and a connection that has none. */
#include "exchange_fixture.h"

static void deadlines_of_each_stand_on_one_timer(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, false); /* quiet for 60 s at most */
  fixture_advance(fixture, 15000);
  fixture->holds = true;
  struct part *two = fixture_begin(fixture, 1); /* 20 s to be routed */
  fixture_advance(fixture, 5000);
  fixture->wants_a = true;
  struct part *three = fixture_begin(fixture, 2);
  fixture_advance(fixture, 14000);
  assert_non_null(two->exchange);
  fixture_advance(fixture, 2000);
  assert_null(two->exchange);
  assert_int_equal(CLOSE_INITIAL_DATA, two->reason);
  assert_non_null(three->exchange);
  fixture_advance(fixture, 5000);
  assert_null(three->exchange);
  assert_non_null(one->exchange);
  fixture_advance(fixture, 25000);
  assert_null(one->exchange);
  assert_int_equal(CLOSE_IDLE, one->reason);
  assert_int_equal(CONNECTION_IDLE, fixture->connection->state);
}

static void one_without_an_exchange_is_idle_as_long_as_its_last_route_says(void **state) {
  struct fixture *fixture = *state;
  enum close_reason reason;
  enum pipe_side side;
  struct part *part = fixture_forward(fixture, 0, false);
  fixture_advance(fixture, 30000);
  exchange_close(part->exchange, PIPE_TARGET, CLOSE_ENDED);
  clock_ms deadline = connection_deadline(fixture->connection, &reason, &side);
  assert_int_equal(CLOSE_IDLE, reason);
  assert_true(deadline == fixture->connection->state_since + 60000);
  fixture_advance(fixture, 59000);
  assert_non_null(fixture->connection);
  assert_int_equal(CONNECTION_IDLE, fixture->connection->state);
  fixture_advance(fixture, 2000);
  assert_int_equal(1, fixture->closing);
  assert_int_equal(CONNECTION_CLOSING, fixture->connection->state);
  assert_int_equal(CLOSE_IDLE, fixture->connection->reasons[PIPE_CLIENT]);
}

static void one_that_has_sent_nothing_has_the_time_to_be_routed(void **state) {
  struct fixture *fixture = *state;
  fixture_advance(fixture, 19000);
  assert_int_equal(CONNECTION_IDLE, fixture->connection->state);
  fixture_advance(fixture, 2000);
  assert_int_equal(CONNECTION_CLOSING, fixture->connection->state);
}

static void the_lifetime_of_the_first_route_is_the_connections(void **state) {
  struct fixture *fixture = *state;
  struct part *part = NULL;
  for (size_t i = 0; i < 15; i++) {
    part = fixture_forward(fixture, i % PARTS, false);
    fixture_advance(fixture, 39000);
    exchange_close(part->exchange, PIPE_TARGET, CLOSE_ENDED);
    close(part->far);
    close(part->target);
    part->far = part->target = 0;
  }
  fixture_forward(fixture, 0, false);
  fixture_advance(fixture, 16000);
  assert_int_equal(1, fixture->closing);
  assert_int_equal(CLOSE_LIFETIME, fixture->connection->reasons[PIPE_CLIENT]);
}

static void idle_it_is_of_the_current_table(void **state) {
  struct fixture *fixture = *state;
  const struct route_table *before = fixture->table;
  struct part *one = fixture_forward(fixture, 0, false);
  fixture_swap(fixture, fixture_table(PORT));
  assert_ptr_not_equal(before, fixture->table);
  struct part *two = fixture_forward(fixture, 1, false);
  assert_ptr_not_equal(one->exchange->route, two->exchange->route); /* each has the record of its time */
  assert_true(route_table_has(fixture->table, two->exchange->route));
  assert_true(one->exchange->on_old_table);
  assert_int_equal(1, fixture->worker.metrics->worker.old_connections);
  exchange_close(one->exchange, PIPE_TARGET, CLOSE_ENDED);
  assert_int_equal(0, fixture->worker.metrics->worker.old_connections);
}

static void what_begins_in_the_middle_of_a_swap_is_of_the_new_table(void **state) {
  struct fixture *fixture = *state;
  struct part *one = fixture_forward(fixture, 0, false), *last = &fixture->parts[PARTS - 1];
  one->exchange->route->on_change = ROUTE_CLOSE;
  fixture->begins = true;
  fixture->holds = true;
  fixture_swap(fixture, fixture_table(PORT));
  fixture->begins = false;
  assert_int_equal(CLOSE_CHANGED, one->reason);
  fixture_rounds(fixture, 2);
  last->exchange->asker.script = NULL;
  fixture_answer(last->exchange, SLOT_WHEN_A);
  assert_true(route_table_has(fixture->table, last->exchange->route));
}

static void idle_it_ends_with_its_port(void **state) {
  struct fixture *fixture = *state;
  fixture_swap(fixture, fixture_table(PORT + 1));
  assert_int_equal(1, fixture->closing);
  assert_int_equal(CLOSE_CHANGED, fixture->connection->reasons[PIPE_CLIENT]);
}

static void its_port_gone_it_ends_with_its_last_exchange(void **state) {
  struct fixture *fixture = *state;
  struct stream client = {.fd = -1};
  struct part *one = fixture_forward(fixture, 0, false), *two = fixture_forward(fixture, 1, false);
  fixture_swap(fixture, fixture_table(PORT + 1));
  assert_null(exchange_new(fixture->connection, &client));
  exchange_close(one->exchange, PIPE_TARGET, CLOSE_ENDED);
  assert_int_equal(0, fixture->closing);
  fixture_reply(fixture, two, "", "to the end");
  exchange_close(two->exchange, PIPE_TARGET, CLOSE_ENDED);
  assert_int_equal(1, fixture->closing);
}

static void a_worker_that_drains_closes_idle_ones(void **state) {
  struct fixture *fixture = *state;
  struct part *part = fixture_forward(fixture, 0, false);
  worker_drain(&fixture->worker, 600000, NULL, NULL);
  exchange_close(part->exchange, PIPE_TARGET, CLOSE_ENDED);
  fixture_advance(fixture, 1100);
  assert_int_equal(1, fixture->closing);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(deadlines_of_each_stand_on_one_timer, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(one_without_an_exchange_is_idle_as_long_as_its_last_route_says, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(one_that_has_sent_nothing_has_the_time_to_be_routed, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(the_lifetime_of_the_first_route_is_the_connections, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(idle_it_is_of_the_current_table, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(what_begins_in_the_middle_of_a_swap_is_of_the_new_table, fixture_set_up,
                                      fixture_tear_down),
      cmocka_unit_test_setup_teardown(idle_it_ends_with_its_port, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(its_port_gone_it_ends_with_its_last_exchange, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(a_worker_that_drains_closes_idle_ones, fixture_set_up, fixture_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
