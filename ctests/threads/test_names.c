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
static struct route_table *go_live_at(struct names *names, struct route_table *before, struct route **routes,
                                      size_t count, clock_ms now) {
  struct error error = {0};
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  assert_non_null(table);
  names_retain(names, before, table, now);
  route_table_unref(before);
  return table;
}

static struct route_table *go_live(struct names *names, struct route_table *before, struct route **routes,
                                   size_t count) {
  return go_live_at(names, before, routes, count, 0);
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

static void count_name(void *context, unsigned number, const char *text) {
  (void)number;
  *(unsigned *)context += strcmp(text, "a") == 0;
}

static unsigned times_told(const struct names *names) {
  unsigned count = 0;
  names_each(names, count_name, &count);
  return count;
}

static void a_name_that_comes_back_within_an_hour_is_as_it_was(void **state) {
  struct names *names = *state;
  names->gone_most = 10;
  struct route *a = route_named(names, "a"), *b = route_named(names, "b");
  struct route_table *table = go_live_at(names, NULL, (struct route *[]){a, b}, 2, 1000);
  assert_true(names_expire(names, 1000) == CLOCK_NEVER);
  table = go_live_at(names, table, (struct route *[]){b}, 1, 2000);
  assert_string_equal(names_text(names, a->stats), "a");
  assert_int_equal(times_told(names), 1);
  assert_int_equal(names_expire(names, 3000), 2000 + NAMES_GONE_MS);
  for (clock_ms now = 4000; now < 4003; now++) { /* several times, by turns */
    struct route *again = route_named(names, "a");
    assert_int_equal(again->stats, a->stats);
    assert_ptr_equal(again->shared, a->shared);
    assert_int_equal(times_told(names), 1); /* loaded, and not live yet */
    table = go_live_at(names, table, (struct route *[]){again, b}, 2, now);
    assert_int_equal(times_told(names), 1);
    assert_true(names_expire(names, now + NAMES_GONE_MS) == CLOCK_NEVER);
    table = go_live_at(names, table, (struct route *[]){b}, 1, now);
    route_unref(again);
  }
  assert_int_equal(names_expire(names, 4002 + NAMES_GONE_MS - 1), 4002 + NAMES_GONE_MS);
  assert_true(is_live(names, a));
  assert_true(names_expire(names, 4002 + NAMES_GONE_MS) == CLOCK_NEVER);
  assert_false(is_live(names, a));
  assert_int_equal(times_told(names), 0);
  struct route *late = route_named(names, "a");
  assert_int_not_equal(late->stats, a->stats);
  route_table_unref(table);
  route_unref(late);
  route_unref(a);
  route_unref(b);
}

static void the_first_table_is_known_by_what_takes_its_place(void **state) {
  struct names *names = *state;
  struct error error = {0};
  names->gone_most = 10;
  struct route *a = route_named(names, "a");
  struct route_table *table = route_table_new(&a, 1, NULL, 0, NULL, &error);
  assert_non_null(table);
  table = go_live(names, table, NULL, 0);
  assert_true(is_live(names, a));
  assert_int_equal(names->gone_count, 1);
  route_table_unref(table);
  route_unref(a);
}

static void of_names_that_are_gone_those_that_went_last_are_kept(void **state) {
  enum { NAMES = 20, MOST = 5 };
  struct names *names = *state;
  struct route *routes[NAMES];
  struct route_table *table = NULL;
  char text[16];
  names->gone_most = MOST;
  for (int i = 0; i < NAMES; i++) {
    snprintf(text, sizeof text, "%d", i);
    routes[i] = route_named(names, text);
    table = go_live_at(names, table, &routes[i], 1, (clock_ms)i);
  }
  for (int i = 0; i < NAMES; i++)
    assert_int_equal(is_live(names, routes[i]), i >= NAMES - 1 - MOST);
  names->gone_most = 1;
  table = go_live_at(names, table, &routes[NAMES - 1], 1, NAMES);
  assert_int_equal(names->gone_count, 1);
  assert_true(is_live(names, routes[NAMES - 2]));
  struct route *never = route_named(names, "never live"); /* of a file that was only looked at */
  table = go_live_at(names, table, &routes[NAMES - 1], 1, NAMES);
  assert_false(is_live(names, never));
  assert_true(is_live(names, routes[NAMES - 2]));
  route_unref(never);
  route_table_unref(table);
  for (int i = 0; i < NAMES; i++)
    route_unref(routes[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(zero_is_the_name_of_what_has_no_route, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_keeps_its_number_and_what_is_shared_under_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_that_comes_back_within_an_hour_is_as_it_was, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_first_table_is_known_by_what_takes_its_place, set_up, tear_down),
      cmocka_unit_test_setup_teardown(of_names_that_are_gone_those_that_went_last_are_kept, set_up, tear_down),
      cmocka_unit_test_setup_teardown(numbers_are_given_one_after_the_other_and_survive_growth, set_up, tear_down),
      cmocka_unit_test_setup_teardown(past_the_limit_names_count_for_none_and_share_nothing_else, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_go_with_what_differs_between_two_tables, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
