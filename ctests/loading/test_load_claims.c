/* SPDX-License-Identifier: MIT
 *
 * What files lay claim to beside each other: found between what has changed and what has not, whichever comes first. */
#include "../support/load_fixture.h"

#define DOMAIN_ROUTE(domain)                                                                                           \
  "return { match = { ports = 443, domains = '" domain                                                                 \
  "' }, action = { target = 'a:1', tls = { mode = 'passthrough' } } }"
#define PORT_ROUTE(ports) "return { match = { ports = " ports " }, action = { target = 'a:1' } }"

static void write_and_load(struct fixture *fixture, const char *name, const char *text) {
  write_file(fixture, name, text);
  assert_int_equal(load_and_commit(fixture), 0);
}

/* The later file is told to be never reached, by a load that has run the earlier one only. */
static void a_file_in_the_way_of_one_that_has_not_changed_is_told(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", DOMAIN_ROUTE("other.test"));
  write_and_load(fixture, "routes/b.lua", DOMAIN_ROUTE("one.test"));
  assert_int_equal(fixture->loaded.warnings.count, 0);
  write_and_load(fixture, "routes/a.lua", DOMAIN_ROUTE("one.test"));
  assert_contains(only_fault(&fixture->loaded.warnings)->file, "/routes/b.lua");

  write_and_load(fixture, "routes/c.lua", DOMAIN_ROUTE("third.test"));
  assert_int_equal(fixture->loaded.warnings.count, 0);
}

static void what_is_in_the_way_is_the_files_warning_for_as_long_as_it_is(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", DOMAIN_ROUTE("one.test"));
  write_and_load(fixture, "routes/b.lua", DOMAIN_ROUTE("one.test"));
  assert_int_equal(fixture->loaded.files[0].warnings.count, 0);
  assert_contains(only_fault(&fixture->loaded.files[1].warnings)->message, "one.test");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_contains(only_fault(&fixture->loaded.files[1].warnings)->message, "one.test");
  write_and_load(fixture, "routes/a.lua", DOMAIN_ROUTE("other.test"));
  assert_int_equal(fixture->loaded.files[1].warnings.count, 0);
}

static void what_is_in_the_way_again_is_told_again(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", DOMAIN_ROUTE("one.test"));
  write_and_load(fixture, "routes/b.lua", DOMAIN_ROUTE("one.test"));
  assert_int_equal(fixture->loaded.warnings.count, 1);
  write_and_load(fixture, "routes/a.lua", DOMAIN_ROUTE("other.test"));
  assert_int_equal(fixture->loaded.warnings.count, 0);
  write_and_load(fixture, "routes/a.lua", DOMAIN_ROUTE("one.test"));
  assert_contains(only_fault(&fixture->loaded.warnings)->file, "/routes/b.lua");
}

static void ranges_of_ports_meet_where_they_share_one(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", PORT_ROUTE("'2000-2100'"));
  write_and_load(fixture, "routes/b.lua", PORT_ROUTE("'2101-2200'"));
  assert_int_equal(fixture->loaded.warnings.count, 0);
  write_and_load(fixture, "routes/c.lua", PORT_ROUTE("2150"));
  assert_contains(only_fault(&fixture->loaded.warnings)->file, "/routes/c.lua");
}

static struct route route_with(const char *name, struct port_range *ports, size_t count) {
  return (struct route){.name = (char *)(uintptr_t)name, .ports = ports, .port_count = count};
}

static void ports_are_joined_and_found_to_their_ends(void **state) {
  (void)state;
  struct port_range some[] = {{64, 127}, {0, 0}, {65535, 65535}}, more[] = {{100, 191}, {193, 193}};
  struct route first = route_with("first", some, 3), second = route_with("second", more, 2);
  struct route *routes[] = {&first, &second};
  struct claims claims;
  assert_int_equal(claims_make(&claims, routes, 2), 0);
  assert_int_equal(claims.name_count, 2);
  assert_int_equal(claims.port_count, 3);
  assert_int_equal(claims.ports[0].from, 64);
  assert_int_equal(claims.ports[0].to, 191);

  struct port_set *set = calloc(1, sizeof *set);
  assert_non_null(set);
  port_set_enter(set, claims.ports, claims.port_count);
  for (unsigned port = 0; port <= 65535; port++) {
    const struct port_range range = {(uint16_t)port, (uint16_t)port};
    assert_int_equal(port_set_has_any(set, &range, 1), (port >= 64 && port <= 191) || port == 193 || port == 65535);
  }
  const struct port_range gap = {194, 65534};
  assert_false(port_set_has_any(set, &gap, 1));
  free(set);
  claims_clear(&claims);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_file_in_the_way_of_one_that_has_not_changed_is_told),
      TEST(what_is_in_the_way_again_is_told_again),
      TEST(what_is_in_the_way_is_the_files_warning_for_as_long_as_it_is),
      TEST(ranges_of_ports_meet_where_they_share_one),
      TEST(ports_are_joined_and_found_to_their_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
