/* SPDX-License-Identifier: MIT */
#include "core/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void check(size_t count, uint64_t mask, uint64_t seed) {
  uint64_t *numbers = calloc(count + 1, sizeof *numbers), *expected = calloc(count + 1, sizeof *expected);
  assert_non_null(numbers);
  assert_non_null(expected);
  for (size_t i = 0; i < count; i++)
    numbers[i] = expected[i] = random_next(&seed) & mask;
  qsort(expected, count, sizeof *expected, sort_compare_numbers);
  sort_numbers(numbers, count);
  assert_memory_equal(numbers, expected, count * sizeof *numbers);
  sort_numbers(numbers, count);
  assert_memory_equal(numbers, expected, count * sizeof *numbers);
  free(numbers);
  free(expected);
}

static void numbers_of_any_count_and_size_are_sorted(void **state) {
  (void)state;
  const uint64_t masks[] = {0, 1, 0xff, UINT64_C(0xff00), UINT64_C(0xffff00000000ffff), UINT64_MAX};
  for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
    for (size_t count = 0; count < 300; count += 7)
      check(count, masks[m], 88172645463325252 + count);
    check(5000, masks[m], 1 + m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_of_any_count_and_size_are_sorted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
