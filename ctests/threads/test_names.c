/* SPDX-License-Identifier: MIT
 *
 * The registry of route names. */
#include "routing/route.h"
#include "threads/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(zero_is_the_name_of_what_has_no_route, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_keeps_its_number_and_what_is_shared_under_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(numbers_are_given_one_after_the_other_and_survive_growth, set_up, tear_down),
      cmocka_unit_test_setup_teardown(past_the_limit_names_count_for_none_and_share_nothing_else, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
