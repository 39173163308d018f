/* SPDX-License-Identifier: MIT
 *
 * What is an address, a network or a glob is said by the schema, so that it is told with all other faults and where it
 * stands in its list, and by net/ip_set, which takes it: both say the same, of what people write and of what nobody
 * would. */
#include "directory_fixture.h"

#include "net/ip_set.h"

enum { LIST = 90, ROUNDS = 60, SIZE = 24 }; /* LIST: under the number of faults that are told */

static const char *const written[] = {
    "*",
    "*.*",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "/8",
    "10.0.0.0/08",
    "10.0.0.0/008",
    "10.0.0.0/0008",
    "10.0.0/8",
    "10.1.2.3",
    "10.1.2.03",
    "10.1.2.256",
    "10.1.2",
    "10.*",
    "10.?.?.1",
    "10.1.2.3.*",
    "10.1.2.?.*",
    "10..*",
    "256.*",
    "01.*",
    "1*.2.3.4",
    "*.1",
    "?.?.?",
    "::",
    "::/0",
    "::1/129",
    "::ffff:10.0.0.0",
    "::ffff:10.0.0.0/9",
    "2001:db8:*",
    "2001:db8::*",
    "*:1",
    "1:2:3:4:5:6:7:*",
    "1:2:3:4:5:6:7:8:*",
    "fe80::1%lo",
    "fe80::1%lo/64",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "[::1]",
    "a*",
    "a.b*",
    "-",
    "10.0.0.1 ",
};

static bool is_taken(const char *text) {
  struct error error;
  struct ip_set *set = ip_set_new(&text, 1, &error);
  ip_set_unref(set);
  return set != NULL;
}

/* As a config they are at fault where ip_set refuses them, and nowhere else. */
static void compare_patterns(struct fixture *fixture, const char *const *texts, size_t count) {
  char text[LIST * (SIZE + 8) + 128];
  size_t length = (size_t)snprintf(text, sizeof text, "return { security = { ip_block = { '::1',"), refused = 0;
  for (size_t i = 0; i < count; i++) {
    length += (size_t)snprintf(text + length, sizeof text - length, "'%s',", texts[i]);
    refused += !is_taken(texts[i]);
  }
  snprintf(text + length, sizeof text - length, "} } }");
  read_config(fixture, text);
  for (size_t i = 0, at = 0; i < count; i++) {
    char field[64];
    snprintf(field, sizeof field, "security.ip_block[%zu]", i + 2);
    bool is_told = at < fixture->faults.count && strcmp(fixture->faults.faults[at].field, field) == 0;
    at += is_told;
    if (is_told == is_taken(texts[i]))
      fail_msg("\"%s\" is %s by the schema, and %s by ip_set", texts[i], is_told ? "refused" : "taken",
               is_told ? "taken" : "refused");
  }
  assert_int_equal(fixture->faults.count, refused);
}

static void the_schema_takes_what_is_taken(void **state) {
  compare_patterns(*state, written, sizeof written / sizeof written[0]);
}

/* Xorshift: the same each time. */
static uint32_t next_random(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  return *seed ^= *seed << 5;
}

static void it_takes_what_is_taken_of_anything(void **state) {
  static const char *const pieces[] = {"1", "0", "25", "255", "256", ".", ".", ".",
                                       "*", "?", "/",  ":",   "::",  "a", "f", "-"};
  uint32_t seed = 7;
  for (int round = 0; round < ROUNDS; round++) {
    char bytes[LIST][SIZE];
    const char *texts[LIST];
    for (size_t i = 0; i < LIST; i++) {
      size_t length = 0;
      for (uint32_t k = next_random(&seed) % 9 + 1; k > 0; k--)
        length += (size_t)snprintf(bytes[i] + length, SIZE - length, "%.2s",
                                   pieces[next_random(&seed) % (sizeof pieces / sizeof pieces[0])]);
      texts[i] = bytes[i];
    }
    compare_patterns(*state, texts, LIST);
  }
}

static void all_addresses_are_told_at_once_beside_the_rest(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/bad.lua",
      "return { {\n  name = 'a',\n  match = { ports = 1, address = '1.2.3.400', client_ip = { '::1', '10.0.0.0/33', "
      "'10.0.0.256' } },\n  action = { taget = 'a:1' },\n  security = { ip_allow = { 'x:y' }, ip_block = "
      "'10.?.300.*' } },\n  { match = { ports = 2, client_ip = '::1/129' }, action = { target = 'a:1' } } }");
  assert_int_equal(load(fixture, 1), -EINVAL);
  static const char *const fields[] = {"match.client_ip[2]",   "match.client_ip[3]", "match.address",  "action.taget",
                                       "security.ip_allow[1]", "security.ip_block",  "match.client_ip"};
  const struct fault_list *faults = &fixture->loaded.faults;
  assert_int_equal(faults->count, sizeof fields / sizeof fields[0]);
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    bool found = false;
    for (size_t k = 0; k < faults->count; k++)
      found = found || strcmp(faults->faults[k].field, fields[i]) == 0;
    if (!found)
      fail_msg("no fault of %s", fields[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_schema_takes_what_is_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(it_takes_what_is_taken_of_anything, set_up, tear_down),
      cmocka_unit_test_setup_teardown(all_addresses_are_told_at_once_beside_the_rest, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
