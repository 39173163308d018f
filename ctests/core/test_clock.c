/* SPDX-License-Identifier: MIT
 *
 * The clock: that its readings agree, and that moving it moves them all. */
#include "core/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

static void readings_agree_with_each_other(void **state) {
  (void)state;
  struct clock clock = {0};
  uint64_t before = clock_ns(&clock);
  clock_ms now = clock_now(&clock);
  uint64_t after = clock_ns(&clock);
  assert_in_range(now, before / 1000000, after / 1000000);
  /* Late, never early; a bound on how late only catches a wrong unit. */
  clock_ms coarse = clock_coarse(&clock);
  assert_true(coarse <= clock_now(&clock));
  assert_true(coarse + 10000 > now);
}

static void the_wall_clock_counts_seconds_since_the_epoch(void **state) {
  (void)state;
  struct clock clock = {0};
  double before = (double)time(NULL);
  double wall = clock_wall(&clock);
  assert_true(wall >= before - 1 && wall <= (double)time(NULL) + 2);
}

static void advancing_moves_every_reading(void **state) {
  (void)state;
  struct clock clock = {0}, still = {0};
  clock_advance(&clock, UINT64_C(3600) * 1000000000);
  clock_advance(&clock, UINT64_C(3600) * 1000000000);
  clock_ms base = clock_now(&still), coarse_base = clock_coarse(&still);
  double wall_base = clock_wall(&still);
  assert_true(clock_now(&clock) >= base + 7200000);
  assert_true(clock_ns(&clock) / 1000000 >= base + 7200000);
  assert_true(clock_coarse(&clock) >= coarse_base + 7200000);
  assert_true(clock_wall(&clock) >= wall_base + 7199);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(readings_agree_with_each_other),
      cmocka_unit_test(the_wall_clock_counts_seconds_since_the_epoch),
      cmocka_unit_test(advancing_moves_every_reading),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
