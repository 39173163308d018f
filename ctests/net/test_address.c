/* SPDX-License-Identifier: MIT
 *
 * Parsing and formatting of addresses. */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static const char *round_trip(const char *host, uint16_t port, char text[ENDPOINT_TEXT_SIZE]) {
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, host, port), 0);
  assert_int_equal(endpoint_port(&endpoint), port);
  return endpoint_format(&endpoint, text);
}

static void literals_are_parsed_and_printed(void **state) {
  (void)state;
  char text[ENDPOINT_TEXT_SIZE];
  assert_string_equal(round_trip("192.0.2.1", 80, text), "192.0.2.1:80");
  assert_string_equal(round_trip("2001:db8::1", 443, text), "[2001:db8::1]:443");
  assert_string_equal(round_trip("[2001:DB8:0:0::1]", 65535, text), "[2001:db8::1]:65535");
  assert_string_equal(round_trip("::", 0, text), "[::]:0");
  assert_string_equal(round_trip("::ffff:192.0.2.1", 80, text), "192.0.2.1:80");
}

static void a_mapped_literal_is_the_ipv4_address(void **state) {
  (void)state;
  struct endpoint mapped, plain;
  assert_int_equal(endpoint_from_literal(&mapped, "::ffff:192.0.2.1", 80), 0);
  assert_int_equal(endpoint_from_literal(&plain, "192.0.2.1", 80), 0);
  assert_int_equal(mapped.length, plain.length);
  assert_memory_equal(&mapped.storage, &plain.storage, plain.length);
}

static void scopes_are_names_or_numbers_of_interfaces(void **state) {
  (void)state;
  char text[ENDPOINT_TEXT_SIZE];
  struct endpoint endpoint;
  assert_string_equal(round_trip("fe80::1%lo", 1, text), "[fe80::1%lo]:1");
  assert_string_equal(round_trip("[fe80::1%1]", 1, text), "[fe80::1%lo]:1");
  assert_string_equal(round_trip("fe80::1%4000000000", 1, text), "[fe80::1%4000000000]:1");
  assert_int_equal(endpoint_from_literal(&endpoint, "fe80::1%", 1), -EINVAL);
  assert_int_equal(endpoint_from_literal(&endpoint, "fe80::1%nosuch0", 1), -EINVAL);
  assert_int_equal(endpoint_from_literal(&endpoint, "fe80::1%1x", 1), -EINVAL);
  assert_int_equal(endpoint_from_literal(&endpoint, "fe80::1%99999999999999999999", 1), -EINVAL);
}

static void a_literal_that_is_kept_leads_to_the_same_endpoint(void **state) {
  (void)state;
  static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "[2001:db8::1]", "::", "::ffff:192.0.2.1"};
  for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
    struct ip_address address;
    struct endpoint kept, parsed;
    assert_true(ip_address_from_literal(&address, hosts[i]));
    endpoint_from_address(&kept, &address, 443);
    assert_int_equal(endpoint_from_literal(&parsed, hosts[i], 443), 0);
    assert_memory_equal(&kept, &parsed, sizeof kept);
  }
  static const char *const others[] = {"fe80::1%lo", "[fe80::1%1]", "example.com", "unix:/x", ""};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    struct ip_address address;
    assert_false(ip_address_from_literal(&address, others[i]));
    assert_false(address.is_set);
  }
}

static void what_is_not_a_literal_is_refused(void **state) {
  (void)state;
  static const char *const others[] = {"",         "example.com",  "localhost", "1.2.3",    "1.2.3.4.5", "256.1.1.1",
                                       "01.2.3.4", "0x7f.0.0.1",   "1.2.3.4 ",  " 1.2.3.4", "[1.2.3.4]", "[",
                                       "]",        "[]",           "[::1",      "::1]",     "1::2::3",   "[[::1]]",
                                       ":::",      "192.0.2.1:80", "[::1]:80",  "unix:/x",  "12345::",   "::1%lo%lo"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    struct endpoint endpoint;
    if (endpoint_from_literal(&endpoint, others[i], 1) != -EINVAL)
      fail_msg("taken for a literal: \"%s\"", others[i]);
  }
  char lengthy[4096];
  memset(lengthy, ':', sizeof lengthy - 1);
  lengthy[sizeof lengthy - 1] = '\0';
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, lengthy, 1), -EINVAL);
}

static void the_compact_form_keeps_address_and_port(void **state) {
  (void)state;
  struct endpoint endpoint;
  struct ip_address address;
  char text[ADDRESS_TEXT_SIZE];
  assert_int_equal(endpoint_from_literal(&endpoint, "192.0.2.7", 8080), 0);
  ip_address_from_sockaddr(&address, (struct sockaddr *)&endpoint.storage);
  assert_true(address.is_set && ip_address_is_ipv4(&address));
  assert_int_equal(address.port, 8080);
  assert_string_equal(ip_address_format(&address, text), "192.0.2.7");

  assert_int_equal(endpoint_from_literal(&endpoint, "2001:db8::7", 8081), 0);
  ip_address_from_sockaddr(&address, (struct sockaddr *)&endpoint.storage);
  assert_true(address.is_set && !ip_address_is_ipv4(&address));
  assert_int_equal(address.port, 8081);
  assert_string_equal(ip_address_format(&address, text), "2001:db8::7");
}

static void ipv4_over_ipv6_is_the_same_address_as_ipv4(void **state) {
  (void)state;
  struct endpoint four, six;
  struct ip_address a, b;
  assert_int_equal(endpoint_from_literal(&four, "192.0.2.7", 80), 0);
  assert_int_equal(endpoint_from_literal(&six, "::ffff:192.0.2.7", 80), 0);
  ip_address_from_sockaddr(&a, (struct sockaddr *)&four.storage);
  ip_address_from_sockaddr(&b, (struct sockaddr *)&six.storage);
  assert_memory_equal(&a, &b, sizeof a);
}

static void a_unix_peer_has_no_address(void **state) {
  (void)state;
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct ip_address address;
  char text[ADDRESS_TEXT_SIZE];
  ip_address_from_sockaddr(&address, (struct sockaddr *)&un);
  assert_false(address.is_set);
  assert_false(ip_address_is_ipv4(&address));
  assert_string_equal(ip_address_format(&address, text), "");
}

static void unix_paths_are_bounded(void **state) {
  (void)state;
  struct endpoint endpoint;
  char path[120], text[ENDPOINT_TEXT_SIZE], expected[ENDPOINT_TEXT_SIZE + 16];
  memset(path, 'p', sizeof path);
  path[0] = '/';
  path[107] = '\0';
  assert_int_equal(endpoint_from_unix_path(&endpoint, path), 0);
  snprintf(expected, sizeof expected, "unix:%s", path);
  assert_string_equal(endpoint_format(&endpoint, text), expected);
  assert_int_equal(endpoint_port(&endpoint), 0);
  endpoint_set_port(&endpoint, 80);
  assert_string_equal(endpoint_format(&endpoint, text), expected);
  path[107] = 'p';
  path[108] = '\0';
  assert_int_equal(endpoint_from_unix_path(&endpoint, path), -ENAMETOOLONG);
  assert_int_equal(endpoint_from_unix_path(&endpoint, ""), -EINVAL);
}

static void unnamed_and_abstract_unix_addresses_are_printed(void **state) {
  (void)state;
  char text[ENDPOINT_TEXT_SIZE];
  struct endpoint unnamed = {.length = sizeof(sa_family_t), .storage.ss_family = AF_UNIX};
  assert_string_equal(endpoint_format(&unnamed, text), "unix:");
  struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0name"};
  struct endpoint abstract = {.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 5)};
  memcpy(&abstract.storage, &un, sizeof un);
  assert_string_equal(endpoint_format(&abstract, text), "unix:@name");
}

static void ports_are_set(void **state) {
  (void)state;
  char text[ENDPOINT_TEXT_SIZE];
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, "192.0.2.1", 0), 0);
  endpoint_set_port(&endpoint, 8080);
  assert_string_equal(endpoint_format(&endpoint, text), "192.0.2.1:8080");
  assert_int_equal(endpoint_from_literal(&endpoint, "::1", 0), 0);
  endpoint_set_port(&endpoint, 8080);
  assert_string_equal(endpoint_format(&endpoint, text), "[::1]:8080");
}

static void targets_are_printed_by_host_and_port(void **state) {
  (void)state;
  char text[32];
  assert_string_equal(host_format("example.com", 80, text, sizeof text), "example.com:80");
  assert_string_equal(host_format("::1", 80, text, sizeof text), "[::1]:80");
  assert_string_equal(host_format("[::1]", 80, text, sizeof text), "[::1]:80");
  assert_string_equal(host_format("example.com", -1, text, sizeof text), "example.com");
  assert_string_equal(host_format("unix:/a:b", 80, text, sizeof text), "unix:/a:b");
}

static void loopback_is_known(void **state) {
  (void)state;
  static const char *const texts[] = {"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "128.0.0.1", "::2", "::"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct endpoint endpoint;
    struct ip_address address;
    assert_int_equal(endpoint_from_literal(&endpoint, texts[i], 1), 0);
    ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint.storage);
    assert_int_equal(ip_address_is_loopback(&address), i < 4);
  }
  assert_false(ip_address_is_loopback(&(struct ip_address){.is_set = false}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(literals_are_parsed_and_printed),
      cmocka_unit_test(a_mapped_literal_is_the_ipv4_address),
      cmocka_unit_test(scopes_are_names_or_numbers_of_interfaces),
      cmocka_unit_test(a_literal_that_is_kept_leads_to_the_same_endpoint),
      cmocka_unit_test(what_is_not_a_literal_is_refused),
      cmocka_unit_test(the_compact_form_keeps_address_and_port),
      cmocka_unit_test(ipv4_over_ipv6_is_the_same_address_as_ipv4),
      cmocka_unit_test(a_unix_peer_has_no_address),
      cmocka_unit_test(unix_paths_are_bounded),
      cmocka_unit_test(unnamed_and_abstract_unix_addresses_are_printed),
      cmocka_unit_test(ports_are_set),
      cmocka_unit_test(targets_are_printed_by_host_and_port),
      cmocka_unit_test(loopback_is_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
