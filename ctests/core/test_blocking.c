/* SPDX-License-Identifier: MIT
 *
 * Giving up a thread that is away, and what it learns of it. */
#include "core/blocking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void count(void *context) { ++*(int *)context; }

static void test_who_is_away_is_given_up_once(void **state) {
  (void)state;
  struct blocking *blocking = blocking_new();
  struct blocking_view view;
  int taken = 0;
  blocking_enter(blocking, "a.lua");
  blocking_begin(blocking);
  blocking_look(blocking, &view);
  assert_true(view.away);
  assert_string_equal(view.subject, "a.lua");
  assert_true(blocking_give_up(blocking, view.serial, count, &taken));
  assert_false(blocking_give_up(blocking, view.serial, count, &taken));
  assert_int_equal(taken, 1);
  assert_true(blocking_is_lost(blocking));
  assert_false(blocking_end(blocking));
  assert_false(blocking_end(blocking));
  blocking_retire(blocking);
  assert_false(blocking_is_lost(blocking));
  blocking_unref(blocking);
}

static void test_who_is_not_away_can_not_be_given_up(void **state) {
  (void)state;
  struct blocking *blocking = blocking_new();
  struct blocking_view view;
  int taken = 0;
  blocking_enter(blocking, "a.lua");
  blocking_look(blocking, &view);
  assert_false(view.away);
  assert_false(blocking_give_up(blocking, view.serial, count, &taken));
  blocking_begin(blocking);
  assert_true(blocking_end(blocking));
  assert_false(blocking_give_up(blocking, view.serial, count, &taken));
  assert_int_equal(taken, 0);
  assert_false(blocking_is_lost(blocking));
  blocking_unref(blocking);
}

static void test_another_subject_is_another_matter(void **state) {
  (void)state;
  struct blocking *blocking = blocking_new();
  struct blocking_view first, second;
  int taken = 0;
  blocking_enter(blocking, "a.lua");
  blocking_begin(blocking);
  blocking_look(blocking, &first);
  assert_true(blocking_end(blocking));
  blocking_enter(blocking, "b.lua");
  blocking_begin(blocking);
  assert_false(blocking_give_up(blocking, first.serial, count, &taken));
  blocking_look(blocking, &second);
  assert_string_equal(second.subject, "b.lua");
  assert_true(second.serial != first.serial);
  assert_true(blocking_end(blocking));
  blocking_unref(blocking);
}

static void test_without_one_nobody_is_given_up(void **state) {
  (void)state;
  blocking_enter(NULL, "a.lua");
  blocking_begin(NULL);
  assert_true(blocking_end(NULL));
  assert_false(blocking_is_hurried(NULL));
  blocking_unref(NULL);
}

static void test_a_long_subject_is_cut(void **state) {
  (void)state;
  char subject[2 * BLOCKING_SUBJECT_SIZE];
  struct blocking *blocking = blocking_new();
  struct blocking_view view;
  memset(subject, 'a', sizeof subject - 1);
  subject[sizeof subject - 1] = '\0';
  blocking_enter(blocking, subject);
  blocking_look(blocking, &view);
  assert_int_equal(strlen(view.subject), BLOCKING_SUBJECT_SIZE - 1);
  blocking_hurry(blocking);
  assert_true(blocking_is_hurried(blocking));
  blocking_unref(blocking);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_is_away_is_given_up_once),
      cmocka_unit_test(test_who_is_not_away_can_not_be_given_up),
      cmocka_unit_test(test_another_subject_is_another_matter),
      cmocka_unit_test(test_without_one_nobody_is_given_up),
      cmocka_unit_test(test_a_long_subject_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
