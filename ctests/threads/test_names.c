/* SPDX-License-Identifier: MIT
 *
 * The registry of route names. */
#include "routing/table.h"
#include "threads/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state) {
  static struct names names;
  *state = &names;
  return names_init(&names);
}

static int tear_down(void **state) {
  names_deinit(*state);
  return 0;
}

static void zero_is_the_name_of_what_has_no_route(void **state) {
  struct names *names = *state;
  assert_int_equal(names->count, 1);
  assert_string_equal(names_text(names, 0), "(none)");
  assert_int_equal(names_number(names, "(none)", NULL), 0);
}

static void a_name_keeps_its_number_and_what_is_shared_under_it(void **state) {
  struct names *names = *state;
  struct route_shared *first, *again, *other;
  unsigned number = names_number(names, "api", &first);
  assert_int_not_equal(number, 0);
  atomic_fetch_add(&first->cursor, 3);
  assert_int_not_equal(names_number(names, "site", &other), number);
  assert_int_equal(names_number(names, "api", &again), number);
  assert_ptr_equal(again, first);
  assert_int_equal(atomic_load(&again->cursor), 3);
  assert_int_equal(atomic_load(&other->cursor), 0);
  assert_string_equal(names_text(names, number), "api");
  route_shared_unref(first);
  route_shared_unref(again);
  route_shared_unref(other);
}

static void numbers_are_given_one_after_the_other_and_survive_growth(void **state) {
  struct names *names = *state;
  struct route_shared *cursor, *same;
  char text[32];
  unsigned first = names_number(names, "route 0", &cursor);
  for (unsigned i = 1; i < 5000; i++) {
    snprintf(text, sizeof text, "route %u", i);
    assert_int_equal(names_number(names, text, NULL), first + i);
  }
  for (unsigned i = 0; i < 5000; i++) {
    snprintf(text, sizeof text, "route %u", i);
    assert_int_equal(names_number(names, text, NULL), first + i);
    assert_string_equal(names_text(names, first + i), text);
  }
  names_number(names, "route 0", &same);
  assert_ptr_equal(same, cursor);
  route_shared_unref(same);
  route_shared_unref(cursor);
}

static void past_the_limit_names_count_for_none_and_share_nothing_else(void **state) {
  struct names *names = *state;
  char text[32];
  for (unsigned i = 1; i < NAMES_MAX; i++) {
    snprintf(text, sizeof text, "%u", i);
    assert_int_equal(names_number(names, text, NULL), i);
  }
  struct route_shared *one = NULL, *other = NULL, *none = NULL;
  assert_int_equal(names_number(names, "one too many", &one), 0);
  assert_int_equal(names_number(names, "another", &other), 0);
  names_number(names, "(none)", &none);
  assert_ptr_not_equal(one, other); /* what they hold of their limits is their own */
  assert_ptr_not_equal(one, none);
  assert_int_not_equal(one->scope, other->scope);
  assert_int_equal(names->count, NAMES_MAX);
  route_shared_unref(one);
  route_shared_unref(other);
  route_shared_unref(none);
  assert_int_equal(names_number(names, "77", NULL), 77);
}

/* A route of that name, as the loader numbers it. */
static struct route *route_named(struct names *names, const char *text) {
  struct route *route = route_new();
  assert_non_null(route);
  route->name = strdup(text);
  route->stats = names_number(names, text, &route->shared);
  return route;
}

/* As it goes live after `before`, which it takes the place of. */
static struct route_table *go_live(struct names *names, struct route_table *before, struct route **routes,
                                   size_t count) {
  struct error error = {0};
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  assert_non_null(table);
  names_retain(names, before, table);
  route_table_unref(before);
  return table;
}

static bool is_live(const struct names *names, const struct route *route) {
  return !names_is_removed(names, route->stats);
}

static void names_go_with_what_differs_between_two_tables(void **state) {
  struct names *names = *state;
  struct route *a = route_named(names, "a"), *b = route_named(names, "b"), *c = route_named(names, "c");
  struct route *early = route_named(names, "early"); /* and never live */
  struct route_table *table = go_live(names, NULL, (struct route *[]){a, b, c}, 3);
  assert_true(is_live(names, a) && is_live(names, b) && is_live(names, c));
  assert_false(is_live(names, early));

  struct route *late = route_named(names, "late"), *d = route_named(names, "d");
  table = go_live(names, table, (struct route *[]){a, d, c}, 3);
  assert_true(is_live(names, a) && is_live(names, d) && is_live(names, c));
  assert_false(is_live(names, b) || is_live(names, late));

  struct route *again = route_named(names, "d"); /* another record, elsewhere */
  table = go_live(names, table, (struct route *[]){again, a, c}, 3);
  assert_true(is_live(names, a) && is_live(names, again) && is_live(names, c));
  table = go_live(names, table, (struct route *[]){a, c}, 2);
  assert_true(is_live(names, a) && is_live(names, c));
  assert_false(is_live(names, again));
  table = go_live(names, table, NULL, 0);
  assert_false(is_live(names, a) || is_live(names, c));
  assert_int_equal(names->by_text.count, 1);
  route_table_unref(table);

  struct route *const routes[] = {a, b, c, d, early, late, again};
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
    route_unref(routes[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(zero_is_the_name_of_what_has_no_route, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_keeps_its_number_and_what_is_shared_under_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(numbers_are_given_one_after_the_other_and_survive_growth, set_up, tear_down),
      cmocka_unit_test_setup_teardown(past_the_limit_names_count_for_none_and_share_nothing_else, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_go_with_what_differs_between_two_tables, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
