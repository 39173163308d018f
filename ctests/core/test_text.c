/* SPDX-License-Identifier: MIT
 *
 * The hash: that it looks at every byte, the length and the seed, and spreads short similar keys; and what of a text
 * may be printed. */
#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void equal_keys_have_equal_hashes_wherever_they_lie(void **state) {
  (void)state;
  char room[64];
  for (size_t offset = 0; offset < 16; offset++) {
    static const char key[] = "www.example.com:8443";
    memcpy(room + offset, key, sizeof key);
    assert_true(text_hash(room + offset, 20, 7) == text_hash(key, 20, 7));
  }
  assert_true(text_hash(NULL, 0, 7) == text_hash("", 0, 7));
}

static void every_bit_the_length_and_the_seed_matter(void **state) {
  (void)state;
  char key[40] = "";
  for (size_t size = 0; size < sizeof key; size++) {
    uint64_t hash = text_hash(key, size, 1);
    assert_true(hash != text_hash(key, size, 2));
    assert_true(hash != text_hash(key, size + 1, 1));
    for (size_t bit = 0; bit < 8 * size; bit++) {
      key[bit / 8] = (char)(1u << bit % 8);
      int changed = __builtin_popcountll(hash ^ text_hash(key, size, 1));
      key[bit / 8] = 0;
      assert_in_range(changed, 8, 56);
    }
  }
}

static void similar_keys_spread_evenly(void **state) {
  (void)state;
  enum { SLOTS = 1024, KEYS = 64 * SLOTS };
  int low[SLOTS] = {0}, high[SLOTS] = {0};
  for (int i = 0; i < KEYS; i++) {
    char key[24];
    int size = snprintf(key, sizeof key, "10.0.%d.%d", i / 256, i % 256);
    uint64_t hash = text_hash(key, (size_t)size, 99);
    low[hash % SLOTS]++;
    high[hash >> 54]++;
  }
  for (int i = 0; i < SLOTS; i++) {
    assert_in_range(low[i], 16, 160);
    assert_in_range(high[i], 16, 160);
  }
}

static void both_halves_of_the_wide_hash_matter_each_by_itself(void **state) {
  (void)state;
  char key[40] = "";
  for (size_t size = 0; size < sizeof key; size++) {
    uint64_t second, other, first = text_hash_wide(key, size, 1, &second);
    assert_in_range(__builtin_popcountll(first ^ second), 8, 56);
    assert_in_range(__builtin_popcountll(first ^ text_hash(key, size, 1)), 8, 56);
    for (size_t bit = 0; bit < 8 * size; bit++) {
      key[bit / 8] = (char)(1u << bit % 8);
      assert_in_range(__builtin_popcountll(first ^ text_hash_wide(key, size, 1, &other)), 8, 56);
      assert_in_range(__builtin_popcountll(second ^ other), 8, 56);
      key[bit / 8] = 0;
    }
  }
}

static void what_a_terminal_would_obey_is_replaced_and_the_rest_stays(void **state) {
  (void)state;
  static const struct {
    const char *text, *printable;
  } cases[] = {
      {"", ""},
      {"plain, Grüße, 日本, 🌙", "plain, Grüße, 日本, 🌙"},
      {"\x1b[2J\a\r\n\t\x7f", "?[2J?????"},
      {"\xc2\x9b"
       "1m",
       "?1m"}, /* U+009B, CSI */
      {"a\xe2\x80\xae"
       "b\xe2\x81\xa6"
       "c\xe2\x80\xa8",
       "a?b?c?"}, /* RLO, LRI, LS */
      {"\xff\xc3", "??"},
      {"\xc0\x80\xed\xa0\x80", "?????"}, /* overlong, a surrogate */
      {"\xe2\x80", "??"},                /* cut */
      {"\xc2\xa0\xe2\x80\xaf", "\xc2\xa0\xe2\x80\xaf"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[64];
    snprintf(text, sizeof text, "%s", cases[i].text);
    text_make_printable(text);
    assert_string_equal(text, cases[i].printable);
  }
  assert_int_equal(text_code_point("\xf0\x9f\x8c\x99", 4), 0x1F319);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_keys_have_equal_hashes_wherever_they_lie),
      cmocka_unit_test(every_bit_the_length_and_the_seed_matter),
      cmocka_unit_test(both_halves_of_the_wide_hash_matter_each_by_itself),
      cmocka_unit_test(similar_keys_spread_evenly),
      cmocka_unit_test(what_a_terminal_would_obey_is_replaced_and_the_rest_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
