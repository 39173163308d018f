/* SPDX-License-Identifier: MIT
 *
 * By digits, in passes over the whole array: large tables are sorted while they are made, often. */
#include "core/sort.h"

#include <stdlib.h>
#include <string.h>

int sort_compare_numbers(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS, FEW = 64 };

/* By one digit after the other, the last first; those that all have in common cost nothing. */
static void sort_by_digits(uint64_t *numbers, uint64_t *other, size_t count) {
  uint64_t differing = 0, *from = numbers;
  for (size_t i = 1; i < count; i++)
    differing |= numbers[i] ^ numbers[0];
  for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
    size_t starts[DIGITS + 1] = {0};
    if ((differing >> shift) % DIGITS == 0)
      continue;
    for (size_t i = 0; i < count; i++)
      starts[(from[i] >> shift) % DIGITS + 1]++;
    for (size_t i = 1; i < DIGITS; i++)
      starts[i] += starts[i - 1];
    for (size_t i = 0; i < count; i++)
      other[starts[(from[i] >> shift) % DIGITS]++] = from[i];
    uint64_t *sorted = other;
    other = from;
    from = sorted;
  }
  if (from != numbers)
    memcpy(numbers, from, count * sizeof *numbers);
}

void sort_numbers(uint64_t *numbers, size_t count) {
  size_t ordered = 1;
  while (ordered < count && numbers[ordered - 1] <= numbers[ordered])
    ordered++;
  if (ordered >= count)
    return;
  uint64_t *other = count > FEW ? malloc(count * sizeof *other) : NULL;
  if (other)
    sort_by_digits(numbers, other, count);
  else
    qsort(numbers, count, sizeof *numbers, sort_compare_numbers);
  free(other);
}
