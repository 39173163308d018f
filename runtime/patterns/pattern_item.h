/* SPDX-License-Identifier: MIT
 *
 * What one item of a pattern takes: a single character, a class (%a) or a set ([a-z]). Only for pattern.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
  CONTROL = 1,
  SPACE = 2,
  PUNCTUATION = 4,
  DIGIT = 8,
  HEXADECIMAL = 16,
  UPPER = 32,
  LOWER = 64,
  ZERO = 128,
};

/* Of which kinds a character is: of ASCII alone, whatever the locale. (pattern.c) */
extern const uint8_t pattern_kinds[256];

/* The kinds that %letter takes, by the letter's low five bits; none for what stands for itself. An upper-case letter
 * takes what its own does not. */
extern const uint8_t pattern_classes[32];

static inline bool class_takes(unsigned char letter, unsigned char c) {
  uint8_t kinds = (letter & 0xc0) == 0x40 ? pattern_classes[letter & 31] : 0;
  if (kinds == 0)
    return letter == c;
  return ((pattern_kinds[c] & kinds) != 0) == ((letter & 0x20) != 0);
}

/* `last` is the "]" that ends the set. */
static inline bool set_takes(const char *set, const char *last, unsigned char c) {
  const char *at = set + 1;
  bool inverted = *at == '^';
  if (inverted)
    at++;
  for (; at < last; at++) {
    if (*at == '%') {
      at++;
      if (class_takes((unsigned char)*at, c))
        return !inverted;
    } else if (at[1] == '-' && at + 2 < last) {
      if ((unsigned char)at[0] <= c && c <= (unsigned char)at[2])
        return !inverted;
      at += 2;
    } else if ((unsigned char)*at == c) {
      return !inverted;
    }
  }
  return inverted;
}

static inline bool item_takes(const char *item, const char *item_end, unsigned char c) {
  switch (*item) {
  case '.':
    return true;
  case '%':
    return class_takes((unsigned char)item[1], c);
  case '[':
    return set_takes(item, item_end - 1, c);
  default:
    return (unsigned char)*item == c;
  }
}

static inline const char *pass_class(unsigned char letter, const char *at, const char *end) {
  while (at < end && class_takes(letter, (unsigned char)*at))
    at++;
  return at;
}

static inline const char *pass_set(const char *item, const char *item_end, const char *at, const char *end) {
  while (at < end && set_takes(item, item_end - 1, (unsigned char)*at))
    at++;
  return at;
}

/* Behind all that the item takes from `at` on, and before `end`. */
static inline const char *pass_run(const char *item, const char *item_end, const char *at, const char *end) {
  switch (*item) {
  case '.':
    return end;
  case '%':
    return pass_class((unsigned char)item[1], at, end);
  case '[':
    return pass_set(item, item_end, at, end);
  default:
    while (at < end && *at == *item)
      at++;
    return at;
  }
}
