/* SPDX-License-Identifier: MIT
 *
 * Working in short stretches. */
#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void work(uint64_t us) {
  for (uint64_t end = now_us() + us; now_us() < end;)
    ;
}

static void the_first_call_begins_a_stretch(void **state) {
  struct pace pace = {0};
  (void)state;
  assert_int_equal(pace_breathe(&pace), 0);
  assert_int_not_equal(pace.began_ns, 0);
}

static void a_long_stretch_ends_with_a_rest(void **state) {
  struct pace pace = {0};
  (void)state;
  pace_breathe(&pace);
  uint64_t began = now_us();
  work(PACE_WORK_US + 1);
  uint64_t rested = pace_breathe(&pace);
  assert_true(now_us() - began >= PACE_WORK_US + PACE_REST_US);
  assert_int_equal(rested, PACE_REST_US * 1000);
}

static void a_wait_of_another_kind_is_no_work(void **state) {
  struct pace pace = {0};
  (void)state;
  pace_breathe(&pace);
  work(PACE_WORK_US + 1);
  pace_restart(&pace);
  assert_int_equal(pace_breathe(&pace), 0);
}

static void without_a_pace_there_is_no_rest(void **state) {
  (void)state;
  assert_int_equal(pace_breathe(NULL), 0);
  pace_restart(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_call_begins_a_stretch),
      cmocka_unit_test(a_long_stretch_ends_with_a_rest),
      cmocka_unit_test(a_wait_of_another_kind_is_no_work),
      cmocka_unit_test(without_a_pace_there_is_no_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
