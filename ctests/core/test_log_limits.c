/* SPDX-License-Identifier: MIT
 *
 * Limits by number: each has its own second. */
#include "core/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void one_number_does_not_hide_another(void **state) {
  (void)state;
  struct log_limits limits = {0};
  uint64_t suppressed;
  assert_true(log_limits_pass(&limits, 7, 5, &suppressed));
  assert_false(log_limits_pass(&limits, 7, 6, &suppressed));
  assert_true(log_limits_pass(&limits, 0, 6, &suppressed));
  assert_true(log_limits_pass(&limits, 5000, 6, &suppressed));
  assert_int_equal(0, suppressed);
  assert_false(log_limits_pass(&limits, 7, 900, &suppressed));
  assert_true(log_limits_pass(&limits, 7, 1005, &suppressed));
  assert_int_equal(2, suppressed);
  log_limits_deinit(&limits);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_number_does_not_hide_another)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
