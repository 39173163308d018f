/* SPDX-License-Identifier: MIT
 *
 * Sets of addresses: what may be written, what is in them, and which member is the most specific. */
#include "net/ip_set.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ip_address address_of(const char *text) {
  struct endpoint endpoint;
  struct ip_address address;
  assert_int_equal(endpoint_from_literal(&endpoint, text, 0), 0);
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint.storage);
  return address;
}

static struct ip_set *set_of(const char *const *texts, size_t count) {
  struct error error = {0};
  struct ip_set *set = ip_set_new(texts, count, &error);
  if (!set)
    fail_msg("%s", error.message);
  return set;
}

static bool is_in(const char *text, const char *address) {
  struct ip_set *set = set_of(&text, 1);
  struct ip_address wanted = address_of(address);
  bool found = ip_set_contains(set, &wanted);
  ip_set_unref(set);
  return found;
}

static void an_address_is_itself_alone(void **state) {
  (void)state;
  assert_true(is_in("192.0.2.1", "192.0.2.1"));
  assert_false(is_in("192.0.2.1", "192.0.2.2"));
  assert_true(is_in("2001:db8::1", "2001:DB8:0:0::1"));
  assert_false(is_in("2001:db8::1", "2001:db8::"));
  assert_false(is_in("0.0.0.0", "::"));
}

static void a_cidr_is_its_prefix_whatever_stands_behind_it(void **state) {
  (void)state;
  assert_true(is_in("10.0.0.0/8", "10.255.255.255"));
  assert_false(is_in("10.0.0.0/8", "11.0.0.0"));
  assert_true(is_in("10.1.2.3/8", "10.200.0.1"));
  assert_true(is_in("192.0.2.128/25", "192.0.2.200"));
  assert_false(is_in("192.0.2.128/25", "192.0.2.127"));
  assert_true(is_in("192.0.2.7/32", "192.0.2.7"));
  assert_true(is_in("2001:db8::/33", "2001:db8:7fff::1"));
  assert_false(is_in("2001:db8::/33", "2001:db8:8000::1"));
}

static void the_families_are_apart_unless_everything_is_meant(void **state) {
  (void)state;
  assert_true(is_in("0.0.0.0/0", "203.0.113.1"));
  assert_false(is_in("0.0.0.0/0", "2001:db8::1"));
  assert_true(is_in("::/0", "2001:db8::1"));
  assert_false(is_in("::/0", "203.0.113.1"));
  assert_true(is_in("*", "203.0.113.1"));
  assert_true(is_in("*", "2001:db8::1"));
  assert_false(is_in("*.*.*.*", "2001:db8::1"));
}

static void mapped_addresses_are_ipv4_ones(void **state) {
  (void)state;
  assert_true(is_in("::ffff:192.0.2.1", "192.0.2.1"));
  assert_true(is_in("192.0.2.0/24", "::ffff:192.0.2.9"));
  assert_true(is_in("::ffff:10.0.0.0/104", "10.9.9.9"));
  assert_false(is_in("::ffff:10.0.0.0/104", "11.9.9.9"));
  assert_true(is_in("::ffff:0:0/96", "11.9.9.9"));
  assert_false(is_in("::ffff:0:0/95", "11.9.9.9"));
}

static void globs_are_compared_with_the_text(void **state) {
  (void)state;
  assert_true(is_in("192.168.*", "192.168.3.4"));
  assert_false(is_in("192.168.*", "192.16.8.4"));
  assert_true(is_in("192.168.1.*", "192.168.1.255"));
  assert_false(is_in("192.168.1.*", "192.168.11.2"));
  assert_true(is_in("192.168.*.*", "192.168.11.2"));
  assert_true(is_in("10.?.?.1", "10.2.3.1"));
  assert_false(is_in("10.?.?.1", "10.22.3.1"));
  assert_false(is_in("10.?.?.1", "10.2.3.11"));
  assert_true(is_in("10.*.1", "10.2.3.1"));
  assert_false(is_in("10.*.1", "10.2.3.2"));
  assert_true(is_in("*.7", "10.2.3.7"));
  assert_true(is_in("192.168.1*", "192.168.17.2"));
  assert_false(is_in("10.?.?.1", "2001:db8::1"));
  assert_true(is_in("2001:db8:*", "2001:db8::1"));
  assert_true(is_in("2001:DB8:*", "2001:db8:1:2:3:4:5:6"));
  assert_false(is_in("2001:db8:*", "2001:db80::1"));
}

static void a_set_has_what_any_of_its_members_has(void **state) {
  (void)state;
  enum { COUNT = 5000 };
  char texts[COUNT][40];
  const char *list[COUNT];
  for (int i = 0; i < COUNT; i++) {
    snprintf(texts[i], sizeof texts[i], "10.%d.%d.0/%d", i / 250, i % 250, 24 + i % 3);
    list[i] = texts[i];
  }
  struct ip_set *set = set_of(list, COUNT);
  for (int i = 0; i < COUNT; i++) {
    char text[40];
    snprintf(text, sizeof text, "10.%d.%d.63", i / 250, i % 250);
    struct ip_address address = address_of(text);
    assert_string_equal(ip_set_find(set, &address), texts[i]);
    snprintf(text, sizeof text, "10.%d.%d.255", i / 250, i % 250);
    address = address_of(text);
    assert_int_equal(ip_set_contains(set, &address), i % 3 == 0);
  }
  ip_set_unref(set);
}

static void the_most_specific_member_is_found(void **state) {
  (void)state;
  const char *texts[] = {"*", "10.0.0.0/8", "10.?.*.1", "10.1.0.0/16", "10.1.2.?", "10.1.2.3", "10.0.0.0/9", "10.*"};
  struct ip_set *set = set_of(texts, sizeof texts / sizeof texts[0]);
  const char *expected[][2] = {{"10.1.2.3", "10.1.2.3"}, {"10.1.2.4", "10.1.2.?"},   {"10.1.3.4", "10.1.0.0/16"},
                               {"10.2.3.1", "10.?.*.1"}, {"10.2.3.4", "10.0.0.0/9"}, {"10.200.1.1", "10.0.0.0/8"},
                               {"2001:db8::1", "*"},     {"11.1.1.1", "*"}};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    struct ip_address address = address_of(expected[i][0]);
    assert_string_equal(ip_set_find(set, &address), expected[i][1]);
  }
  struct ip_address address = address_of("10.1.2.3"), nobody = {.is_set = false};
  assert_int_equal(ip_set_specificity(set, &address), PREFIX_FAMILY_BITS + 32);
  assert_int_equal(ip_set_specificity(set, &nobody), -1);
  assert_null(ip_set_find(set, &nobody));
  ip_set_unref(set);
}

static void what_is_wrong_is_said(void **state) {
  (void)state;
  const char *faults[][2] = {
      {"10.0.0.0/33", "\"10.0.0.0/33\" is no set of addresses: the prefix of an IPv4 address is 0 to 32"},
      {"10.0.0.0/", "prefix of an IPv4 address"},
      {"10.0.0.0/-1", "prefix of an IPv4 address"},
      {"2001:db8::/129", "the prefix of an IPv6 address is 0 to 128"},
      {"10.0.0/8", "before the slash stands no IP address"},
      {"/8", "before the slash stands no IP address"},
      {"", "expected an address"},
      {"10.0.0.256", "expected an address"},
      {"example.com", "expected an address"},
      {"10.0.0.1-9", "expected an address"},
      {"300.*", "0 to 255"},
      {"10.01.*", "leading zeros"},
      {"10..*", "empty"},
      {"*.", "empty"},
      {"1.2.3.4.*", "four parts"},
      {"10.?.1", "four parts"},
      {"*.example.com", "a glob has digits"},
      {"2001:*:1", "whole groups"},
      {"2001:db8*", "whole groups"},
      {"2001:12345:*", "whole groups"},
      {"1:2:3:4:5:6:7:8:*", "whole groups"},
      {"::*", "whole groups"},
  };
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    struct error error = {0};
    assert_null(ip_set_new(&faults[i][0], 1, &error));
    assert_int_equal(error.code, EINVAL);
    if (!strstr(error.message, faults[i][1]))
      fail_msg("%s: %s", faults[i][0], error.message);
  }
}

static void sets_are_equal_when_they_are_written_alike(void **state) {
  (void)state;
  struct ip_set *a = set_of((const char *[]){"10.0.0.0/8", "::1"}, 2);
  struct ip_set *b = set_of((const char *[]){"10.0.0.0/8", "::1"}, 2);
  struct ip_set *c = set_of((const char *[]){"::1", "10.0.0.0/8"}, 2);
  assert_true(ip_set_equal(a, b));
  assert_false(ip_set_equal(a, c));
  assert_false(ip_set_equal(a, NULL));
  assert_true(ip_set_equal(NULL, NULL));
  assert_int_equal(ip_set_count(a), 2);
  assert_string_equal(ip_set_text(a, 1), "::1");
  ip_set_unref(ip_set_ref(a));
  ip_set_unref(a);
  ip_set_unref(b);
  ip_set_unref(c);
  ip_set_unref(NULL);
}

static void an_empty_set_has_nobody(void **state) {
  (void)state;
  struct ip_set *set = set_of(NULL, 0);
  struct ip_address address = address_of("10.0.0.1");
  assert_false(ip_set_contains(set, &address));
  ip_set_unref(set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_address_is_itself_alone),
      cmocka_unit_test(a_cidr_is_its_prefix_whatever_stands_behind_it),
      cmocka_unit_test(the_families_are_apart_unless_everything_is_meant),
      cmocka_unit_test(mapped_addresses_are_ipv4_ones),
      cmocka_unit_test(globs_are_compared_with_the_text),
      cmocka_unit_test(a_set_has_what_any_of_its_members_has),
      cmocka_unit_test(the_most_specific_member_is_found),
      cmocka_unit_test(what_is_wrong_is_said),
      cmocka_unit_test(sets_are_equal_when_they_are_written_alike),
      cmocka_unit_test(an_empty_set_has_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
