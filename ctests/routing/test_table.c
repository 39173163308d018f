/* SPDX-License-Identifier: MIT
 *
 * Which endpoints a table asks for, and which routes stand at each, in which order. */
#include "routing/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct route *make_route(const char *name, const char *address, uint16_t from, uint16_t to, int priority) {
  struct route *route = route_new();
  route->name = strdup(name);
  route->priority = priority;
  route->ports = calloc(1, sizeof *route->ports);
  route->ports[0] = (struct port_range){from, to};
  route->port_count = 1;
  if (address)
    assert_int_equal(endpoint_from_literal(&route->address, address, 0), 0);
  return route;
}

static struct route_table *make_table(struct route **routes, size_t count) {
  struct error error = {0};
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  assert_non_null(table);
  for (size_t i = 0; i < count; i++)
    route_unref(routes[i]);
  return table;
}

static const struct table_port *find(const struct route_table *table, const char *text) {
  char buffer[ENDPOINT_TEXT_SIZE];
  for (size_t i = 0; i < table->port_count; i++)
    if (strcmp(endpoint_format(&table->ports[i].endpoint, buffer), text) == 0)
      return &table->ports[i];
  return NULL;
}

static void a_range_is_an_endpoint_for_each_port(void **state) {
  (void)state;
  struct route_table *table = make_table((struct route *[]){make_route("a", NULL, 8000, 8010, 0)}, 1);
  assert_int_equal(table->port_count, 11);
  assert_non_null(find(table, "[::]:8000"));
  assert_non_null(find(table, "[::]:8010"));
  route_table_unref(table);
}

static struct route_table *renew_table(const struct route_table *before, struct route **routes, size_t count) {
  struct error error = {0};
  struct route_table *table = route_table_renew(before, NULL, routes, count, NULL, 0, NULL, &error);
  assert_non_null(table);
  return table;
}

static void a_table_shares_with_the_one_before_what_is_the_same_and_outlives_it(void **state) {
  (void)state;
  struct route *kept[] = {make_route("low", NULL, 80, 80, 1), make_route("high", NULL, 80, 80, 9)};
  struct route *other = make_route("other", NULL, 81, 81, 1), *new = make_route("new", NULL, 81, 82, 5);
  struct route_table *one = renew_table(NULL, (struct route *[]){kept[0], kept[1], other}, 3);
  struct route_table *two = renew_table(one, (struct route *[]){kept[0], kept[1], new, other}, 4);
  assert_ptr_equal(find(one, "[::]:80")->index, find(two, "[::]:80")->index);
  assert_ptr_not_equal(find(one, "[::]:81")->index, find(two, "[::]:81")->index);
  assert_int_equal(find(two, "[::]:81")->route_count, 2);
  assert_string_equal(find(two, "[::]:81")->routes[0]->name, "new");
  route_table_unref(one);
  assert_string_equal(find(two, "[::]:80")->routes[0]->name, "high");

  struct route_table *three = renew_table(two, (struct route *[]){kept[0], kept[1]}, 2);
  assert_int_equal(three->list_count, 1);
  assert_ptr_equal(find(two, "[::]:80")->index, find(three, "[::]:80")->index);
  route_table_unref(two);
  struct route *again = make_route("high", NULL, 80, 80, 9); /* a record of the same content is another */
  struct route_table *four = renew_table(three, (struct route *[]){kept[0], again}, 2);
  assert_ptr_not_equal(find(three, "[::]:80")->index, find(four, "[::]:80")->index);
  route_table_unref(three);
  route_table_unref(four);
  route_unref(kept[0]);
  route_unref(kept[1]);
  route_unref(other);
  route_unref(new);
  route_unref(again);
}

static void what_falls_to_an_address_is_not_taken_for_what_is_bound_to_it(void **state) {
  (void)state;
  struct route *all = make_route("all", NULL, 80, 80, 1), *own = make_route("own", "127.0.0.1", 80, 80, 1);
  struct route_table *one = renew_table(NULL, (struct route *[]){all, own}, 2);
  struct route_table *two = renew_table(one, (struct route *[]){all, own}, 2);
  assert_int_equal(find(two, "127.0.0.1:80")->route_count, 2);
  assert_string_equal(find(two, "127.0.0.1:80")->routes[0]->name, "own");
  assert_int_equal(find(two, "[::]:80")->route_count, 1);
  assert_ptr_equal(find(one, "[::]:80")->index, find(two, "[::]:80")->index);
  route_table_unref(one);
  route_table_unref(two);
  route_unref(all);
  route_unref(own);
}

static void a_table_has_its_records_and_no_others(void **state) {
  (void)state;
  enum { COUNT = 200 };
  struct route *records[COUNT], *old[COUNT];
  for (unsigned i = 0; i < COUNT; i++) {
    records[i] = make_route("same", NULL, 80, 80, 0);
    old[i] = make_route("same", NULL, 80, 80, 0);
  }
  struct route_table *table = make_table(records, COUNT), *empty = make_table(NULL, 0);
  for (size_t i = 0; i < COUNT; i++) {
    assert_true(route_table_has(table, records[i]));
    assert_false(route_table_has(table, old[i]));
    assert_false(route_table_has(empty, old[i]));
    route_unref(old[i]);
  }
  assert_false(route_table_has(table, NULL));
  route_table_unref(table);
  route_table_unref(empty);
}

static void a_port_knows_what_it_takes_and_how_long_it_waits(void **state) {
  (void)state;
  struct route *both = make_route("plain", NULL, 80, 81, 0), *tls = make_route("tls", NULL, 81, 82, 0);
  struct route *patient = make_route("patient", NULL, 82, 82, 0);
  tls->tls = patient->tls = ROUTE_TLS_PASSTHROUGH;
  both->timeouts = (struct route_timeouts){.initial_data = 3, .linger = 1};
  tls->timeouts = (struct route_timeouts){.initial_data = 2, .linger = 5};
  struct route_table *table = make_table((struct route *[]){both, tls, patient}, 3);
  const struct table_port *port = find(table, "[::]:80");
  assert_true(port->has_plain && !port->has_tls);
  assert_int_equal(port->initial_data, 3);
  port = find(table, "[::]:81");
  assert_true(port->has_plain && port->has_tls);
  assert_int_equal(port->initial_data, 3);
  assert_int_equal(port->linger, 5);
  port = find(table, "[::]:82");
  assert_true(!port->has_plain && port->has_tls);
  assert_int_equal(port->initial_data, 0); /* `patient` waits for ever */
  route_table_unref(table);
}

static void routes_share_an_endpoint_in_order_of_priority_then_file(void **state) {
  (void)state;
  struct route_table *table =
      make_table((struct route *[]){make_route("first", NULL, 80, 80, 0), make_route("second", NULL, 80, 80, 0),
                                    make_route("urgent", NULL, 80, 80, 10)},
                 3);
  assert_int_equal(table->port_count, 1);
  assert_int_equal(table->ports[0].route_count, 3);
  assert_string_equal(table->ports[0].routes[0]->name, "urgent");
  assert_string_equal(table->ports[0].routes[1]->name, "first");
  assert_string_equal(table->ports[0].routes[2]->name, "second");
  route_table_unref(table);
}

static void a_bound_address_comes_before_the_wildcard_and_keeps_it(void **state) {
  (void)state;
  struct route_table *table =
      make_table((struct route *[]){make_route("all", NULL, 80, 80, 0), make_route("here", "127.0.0.1", 80, 80, 0)}, 2);
  assert_int_equal(table->port_count, 2);
  const struct table_port *here = find(table, "127.0.0.1:80"), *all = find(table, "[::]:80");
  assert_int_equal(here->route_count, 2);
  assert_string_equal(here->routes[0]->name, "here");
  assert_string_equal(here->routes[1]->name, "all");
  assert_int_equal(all->route_count, 1);
  route_table_unref(table);
}

/* IPv4 clients land on the IPv4 socket, whatever else is bound. */
static void routes_of_all_addresses_stand_behind_those_of_all_ipv4(void **state) {
  (void)state;
  struct route_table *table =
      make_table((struct route *[]){make_route("four", "0.0.0.0", 80, 80, 0), make_route("all", NULL, 80, 80, 0)}, 2);
  const struct table_port *four = find(table, "0.0.0.0:80"), *all = find(table, "[::]:80");
  assert_int_equal(four->route_count, 2);
  assert_string_equal(four->routes[0]->name, "four");
  assert_string_equal(four->routes[1]->name, "all");
  assert_int_equal(all->route_count, 1);
  route_table_unref(table);
}

static void each_port_of_the_kernels_choice_is_one_of_its_own(void **state) {
  (void)state;
  struct route_table *table =
      make_table((struct route *[]){make_route("a", NULL, 0, 0, 0), make_route("b", NULL, 0, 0, 0)}, 2);
  assert_int_equal(table->port_count, 2);
  assert_int_equal(table->ports[0].route_count, 1);
  route_table_unref(table);
}

static void too_many_ports_are_refused(void **state) {
  (void)state;
  struct route *routes[] = {make_route("a", NULL, 1, 65535, 0), make_route("b", "127.0.0.1", 1, 65535, 0)};
  struct error error = {0};
  assert_null(route_table_new(routes, 2, NULL, 0, NULL, &error));
  assert_int_equal(error.code, E2BIG);
  route_unref(routes[0]);
  route_unref(routes[1]);
}

static void no_routes_make_an_empty_table(void **state) {
  (void)state;
  struct route_table *table = make_table(NULL, 0);
  assert_int_equal(table->port_count, 0);
  route_table_unref(table);
}

static void ports_with_the_same_routes_share_an_index(void **state) {
  (void)state;
  struct route_table *table =
      make_table((struct route *[]){make_route("a", NULL, 1, 60000, 0), make_route("b", NULL, 100, 199, 0)}, 2);
  assert_int_equal(table->port_count, 60000);
  assert_int_equal(table->list_count, 2);
  assert_ptr_equal(table->ports[0].index, table->ports[59999].index);
  assert_true(table_port_has(&table->ports[0], table->routes[0]));
  assert_false(table_port_has(&table->ports[0], table->routes[1]));
  assert_true(table_port_has(&table->ports[99], table->routes[1]));
  route_table_unref(table);
}

static void a_hundred_thousand_routes_may_share_a_port(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  struct route **routes = calloc(COUNT, sizeof(struct route *));
  assert_non_null(routes);
  for (int i = 0; i < COUNT; i++)
    routes[i] = make_route("many", NULL, 443, 443, i % 7);
  struct route_table *table = make_table(routes, COUNT);
  assert_int_equal(table->ports[0].route_count, COUNT);
  assert_int_equal(table->ports[0].routes[0]->priority, 6);
  assert_int_equal(table->ports[0].routes[COUNT - 1]->priority, 0);
  route_table_unref(table);
  free(routes);
}

static void a_port_says_what_has_to_be_known(void **state) {
  (void)state;
  struct route *tls = make_route("tls", NULL, 443, 443, 0);
  tls->tls = ROUTE_TLS_PASSTHROUGH;
  struct route_table *table = make_table((struct route *[]){tls, make_route("plain", NULL, 80, 80, 0)}, 2);
  const struct table_port *plain = find(table, "[::]:80"), *secure = find(table, "[::]:443");
  assert_true(plain->has_plain && !plain->has_tls && !plain->has_domains);
  assert_true(!secure->has_plain && secure->has_tls);
  route_table_unref(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_range_is_an_endpoint_for_each_port),
      cmocka_unit_test(a_table_shares_with_the_one_before_what_is_the_same_and_outlives_it),
      cmocka_unit_test(what_falls_to_an_address_is_not_taken_for_what_is_bound_to_it),
      cmocka_unit_test(a_table_has_its_records_and_no_others),
      cmocka_unit_test(a_port_knows_what_it_takes_and_how_long_it_waits),
      cmocka_unit_test(routes_share_an_endpoint_in_order_of_priority_then_file),
      cmocka_unit_test(a_bound_address_comes_before_the_wildcard_and_keeps_it),
      cmocka_unit_test(routes_of_all_addresses_stand_behind_those_of_all_ipv4),
      cmocka_unit_test(each_port_of_the_kernels_choice_is_one_of_its_own),
      cmocka_unit_test(too_many_ports_are_refused),
      cmocka_unit_test(ports_with_the_same_routes_share_an_index),
      cmocka_unit_test(a_hundred_thousand_routes_may_share_a_port),
      cmocka_unit_test(a_port_says_what_has_to_be_known),
      cmocka_unit_test(no_routes_make_an_empty_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
