/* SPDX-License-Identifier: MIT
 *
 * Normalising and comparing. Names come from the network: any bytes, any length. */
#include "routing/domain.h"

#include <stdint.h>
#include <string.h>

/* Without the port: "example.com:443", "[2001:db8::1]:443". What is no port stays, and then matches nothing. */
static size_t strip_port(const char *name, size_t length) {
  size_t digits = 0;
  while (digits < length && name[length - digits - 1] >= '0' && name[length - digits - 1] <= '9')
    digits++;
  if (digits == length || name[length - digits - 1] != ':')
    return length;
  size_t left = length - digits - 1;
  return left > 0 && name[0] == '[' && name[left - 1] != ']' ? length : left;
}

size_t domain_normalize(char text[DOMAIN_SIZE], const char *name, size_t length) {
  if (length == 0)
    return 0;
  if (name[length - 1] >= '0' && name[length - 1] <= '9')
    length = strip_port(name, length);
  if (length > 0 && name[length - 1] == '.')
    length--;
  if (length >= DOMAIN_SIZE)
    return 0;
  size_t at = 0;
  const uint64_t ones = UINT64_C(0x0101010101010101);
  for (; at + 8 <= length; at += 8) {
    uint64_t word;
    memcpy(&word, name + at, sizeof word);
    /* In each byte the top bit: is it ASCII, and between 'A' and 'Z'? */
    uint64_t low = word & ones * 0x7f;
    uint64_t capital = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x80 - 'Z' - 1)) & ~word & ones * 0x80;
    word |= capital >> 2;
    memcpy(text + at, &word, sizeof word);
  }
  for (; at < length; at++)
    text[at] = (char)(name[at] >= 'A' && name[at] <= 'Z' ? name[at] | 0x20 : name[at]);
  return length;
}

bool domain_matches(const char *pattern, size_t pattern_length, const char *name, size_t length) {
  size_t p = 0, n = 0, star = SIZE_MAX, taken = 0;
  while (n < length) {
    if (p < pattern_length && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern_length && (pattern[p] == name[n] || pattern[p] == '?')) {
      p++;
      n++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern_length && pattern[p] == '*')
    p++;
  return p == pattern_length;
}

bool domain_is_pattern(const char *text) { return strpbrk(text, "*?"); }

unsigned domain_specificity(const char *pattern) {
  if (!domain_is_pattern(pattern))
    return DOMAIN_EXACT;
  unsigned count = 0;
  for (; *pattern; pattern++)
    count += *pattern == '*' ? 0 : *pattern == '?' ? 1 : 2;
  return count < DOMAIN_EXACT ? count : DOMAIN_EXACT - 1;
}
