/* SPDX-License-Identifier: MIT
 *
 * metrics/clients.h: whatever comes, goes and is evicted, the sum over the addresses and "other" is what was counted,
 * and a counter stays where it is while connections point to it. */
#include "metrics/clients.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ip_address ipv4(unsigned number) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + number)};
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&peer);
  return address;
}

static struct ip_address ipv6(const char *text) {
  struct ip_address address;
  assert_true(ip_address_from_literal(&address, text));
  return address;
}

static struct client_count *come(struct clients *clients, struct ip_address address) {
  return clients_enter(clients, clients_begin(clients), &address);
}

/* As if a connection with these bytes got a route. */
static void count(struct client_count *client, uint64_t in, uint64_t out) {
  tally_add(&client->bytes, (struct byte_count){in, out});
  client->connections++;
}

static struct client_count sum_of(const struct clients *clients) {
  struct client_row rows[64];
  struct client_count sum = clients->other;
  assert_in_range(clients_count(clients), 0, 64);
  clients_copy(clients, rows);
  for (size_t i = 0; i < clients_count(clients); i++)
    client_count_add(&sum, &rows[i].count);
  return sum;
}

static void expect_sum(const struct clients *clients, uint64_t in, uint64_t out, uint64_t connections,
                       uint64_t active) {
  struct client_count sum = sum_of(clients);
  assert_int_equal(in, sum.bytes.in);
  assert_int_equal(out, sum.bytes.out);
  assert_int_equal(connections, sum.connections);
  assert_int_equal(active, sum.active);
}

static int set_up(void **state) {
  struct clients *clients = malloc(sizeof *clients);
  clients_init(clients);
  *state = clients;
  return 0;
}

static int tear_down(void **state) {
  clients_deinit(*state);
  free(*state);
  return 0;
}

static void connections_of_an_address_share_a_counter(void **state) {
  struct clients *clients = *state;
  struct client_count *one = come(clients, ipv4(1)), *two = come(clients, ipv4(2));
  assert_ptr_not_equal(one, two);
  assert_ptr_equal(one, come(clients, ipv4(1)));
  assert_int_equal(2, one->active);
  assert_int_equal(0, clients->other.active);
  clients_leave(clients, one);
  clients_leave(clients, one);
  assert_ptr_equal(one, come(clients, ipv4(1)));
  assert_int_equal(2, clients_count(clients));
  struct ip_address other = ipv4(2);
  assert_ptr_equal(one, clients_enter(clients, one, &other)); /* it has one already */
}

static void a_port_and_a_mapped_address_make_no_difference(void **state) {
  struct clients *clients = *state;
  struct ip_address address = ipv4(7), mapped = ipv6("::ffff:127.0.0.7");
  struct client_count *one = come(clients, address);
  address.port = 4711;
  assert_ptr_equal(one, come(clients, address));
  assert_ptr_equal(one, come(clients, mapped));
}

static void ipv6_is_counted_by_its_prefix(void **state) {
  struct clients *clients = *state;
  struct client_row row;
  struct client_count *one = come(clients, ipv6("2001:db8:1:2::7"));
  assert_ptr_equal(one, come(clients, ipv6("2001:db8:1:2:ffff::8")));
  clients_copy(clients, &row);
  assert_int_equal(64, row.prefix);
  assert_memory_equal(ipv6("2001:db8:1:2::").bytes, row.address, 16);
  assert_ptr_not_equal(one, come(clients, ipv6("2001:db8:1:3::7")));
  clients_set_bounds(clients, 10, 44);
  struct client_count *wide = come(clients, ipv6("2001:db8:1:2::7"));
  assert_ptr_not_equal(one, wide);
  assert_ptr_equal(wide, come(clients, ipv6("2001:db8:f:2::7")));
  clients_set_bounds(clients, 10, 128);
  assert_ptr_not_equal(come(clients, ipv6("2001:db8:1:2::7")), come(clients, ipv6("2001:db8:1:2::8")));
}

static void the_longest_unused_makes_room_and_leaves_its_counts(void **state) {
  struct clients *clients = *state;
  clients_set_bounds(clients, 2, 64);
  for (unsigned i = 1; i <= 2; i++) {
    struct client_count *client = come(clients, ipv4(i));
    count(client, 10 * i, 100 * i);
    clients_leave(clients, client);
  }
  struct client_count *one = come(clients, ipv4(1)); /* used again: the other one goes */
  clients_leave(clients, one);
  struct client_count *three = come(clients, ipv4(3));
  count(three, 3, 5);
  expect_sum(clients, 33, 305, 3, 1);
  assert_int_equal(20, clients->other.bytes.in);
  assert_int_equal(1, clients->other.connections);
  assert_ptr_equal(one, come(clients, ipv4(1)));
  assert_int_equal(10, one->bytes.in);
}

static void an_address_with_connections_is_never_evicted(void **state) {
  struct clients *clients = *state;
  clients_set_bounds(clients, 2, 64);
  struct client_count *one = come(clients, ipv4(1)), *two = come(clients, ipv4(2)), *three = come(clients, ipv4(3));
  assert_ptr_equal(three, &clients->other);
  assert_false(clients_has_entered(clients, three));
  assert_int_equal(1, clients->other.active);
  count(one, 1, 1);
  count(three, 5, 5);
  clients_leave(clients, two);
  struct ip_address address = ipv4(3);
  struct client_count *later = clients_enter(clients, clients_begin(clients), &address);
  assert_true(clients_has_entered(clients, later)); /* there is a place now; what was "other" stays it */
  count(later, 7, 7);
  count(one, 1, 1);
  clients_leave(clients, three);
  expect_sum(clients, 14, 14, 4, 2);
  assert_int_equal(5, clients->other.bytes.in);
  assert_int_equal(0, clients->other.active);
}

static void a_smaller_bound_holds_as_soon_as_connections_have_gone(void **state) {
  struct clients *clients = *state;
  struct client_count *held[4];
  for (unsigned i = 0; i < 4; i++) {
    held[i] = come(clients, ipv4(i));
    count(held[i], 1, 2);
  }
  clients_leave(clients, held[3]);
  clients_set_bounds(clients, 1, 64);
  assert_int_equal(3, clients_count(clients));
  count(held[0], 10, 20);
  for (unsigned i = 0; i < 2; i++)
    clients_leave(clients, held[i]);
  assert_int_equal(1, clients_count(clients));
  expect_sum(clients, 14, 28, 5, 1);
  assert_ptr_equal(come(clients, ipv4(9)), &clients->other);
  clients_set_bounds(clients, 0, 64);
  clients_leave(clients, held[2]);
  assert_int_equal(0, clients_count(clients));
  expect_sum(clients, 14, 28, 5, 1);
}

static void a_peer_without_an_address_is_other(void **state) {
  struct clients *clients = *state;
  struct ip_address none = {.is_set = false};
  struct client_count *client = come(clients, none);
  assert_ptr_equal(client, &clients->other);
  count(client, 3, 4);
  clients_leave(clients, client);
  expect_sum(clients, 3, 4, 1, 0);
}

/* Many addresses, in no order, on few places. */
static void sums_hold_whatever_comes_and_goes(void **state) {
  struct clients *clients = *state;
  enum { OPEN = 40, STEPS = 20000 };
  struct client_count *open[OPEN] = {NULL};
  uint64_t in = 0, connections = 0, active = 0;
  unsigned random = 12345;
  clients_set_bounds(clients, 24, 64);
  for (unsigned i = 0; i < STEPS; i++) {
    random = random * 1103515245u + 12345u;
    struct client_count **slot = &open[(random >> 16) % OPEN];
    if (*slot) {
      clients_leave(clients, *slot);
      *slot = NULL;
      active--;
    } else {
      *slot = come(clients, ipv4((random >> 8) % 300));
      count(*slot, i, 0);
      in += i;
      connections++;
      active++;
    }
    if (i % 997 == 0)
      clients_set_bounds(clients, 10 + i % 40, 64);
    if (i % 50 == 0)
      expect_sum(clients, in, 0, connections, active);
  }
  expect_sum(clients, in, 0, connections, active);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(connections_of_an_address_share_a_counter, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_port_and_a_mapped_address_make_no_difference, set_up, tear_down),
      cmocka_unit_test_setup_teardown(ipv6_is_counted_by_its_prefix, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_longest_unused_makes_room_and_leaves_its_counts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_address_with_connections_is_never_evicted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_smaller_bound_holds_as_soon_as_connections_have_gone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_peer_without_an_address_is_other, set_up, tear_down),
      cmocka_unit_test_setup_teardown(sums_hold_whatever_comes_and_goes, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
