/* SPDX-License-Identifier: MIT
 *
 * The shared dictionary: values, times to live, counting among threads that race, and its bound. */
#include "core/dictionary.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { START = 1000, ROOM = 1 << 20 };

static struct dictionary *new_dictionary(size_t bytes) {
  struct dictionary *dictionary = dictionary_new(bytes);
  assert_non_null(dictionary);
  return dictionary;
}

static int set_text(struct dictionary *dictionary, const char *key, const char *text, uint64_t ttl,
                    enum dictionary_mode mode, clock_ms now) {
  unsigned evicted;
  struct dictionary_value value = {.kind = DICTIONARY_STRING, .bytes = (char *)(uintptr_t)text, .size = strlen(text)};
  return dictionary_set(dictionary, key, strlen(key), &value, ttl, mode, now, &evicted);
}

static bool has_text(struct dictionary *dictionary, const char *key, const char *text, clock_ms now) {
  struct dictionary_value value;
  assert_int_equal(dictionary_get(dictionary, key, strlen(key), now, &value), 0);
  bool has =
      value.kind == DICTIONARY_STRING && value.size == strlen(text) && memcmp(value.bytes, text, value.size) == 0;
  free(value.bytes);
  return has;
}

static bool is_absent(struct dictionary *dictionary, const char *key, clock_ms now) {
  struct dictionary_value value;
  assert_int_equal(dictionary_get(dictionary, key, strlen(key), now, &value), 0);
  free(value.bytes);
  return value.kind == DICTIONARY_NIL;
}

static void what_is_set_is_got_until_it_expires(void **state) {
  (void)state;
  struct dictionary *dictionary = new_dictionary(ROOM);
  assert_true(is_absent(dictionary, "a", START));
  assert_int_equal(set_text(dictionary, "a", "one", 0, DICTIONARY_SET, START), 0);
  assert_int_equal(set_text(dictionary, "b", "two", 50, DICTIONARY_SET, START), 0);
  assert_true(has_text(dictionary, "a", "one", START + 1000000));
  assert_true(has_text(dictionary, "b", "two", START + 49));
  assert_true(is_absent(dictionary, "b", START + 50));
  assert_int_equal(set_text(dictionary, "a", "another", 10, DICTIONARY_SET, START), 0);
  assert_true(has_text(dictionary, "a", "another", START));
  assert_true(is_absent(dictionary, "a", START + 10));
  dictionary_free(dictionary);
}

static void add_takes_only_what_is_not_there(void **state) {
  (void)state;
  struct dictionary *dictionary = new_dictionary(ROOM);
  assert_int_equal(set_text(dictionary, "a", "one", 10, DICTIONARY_ADD, START), 0);
  assert_int_equal(set_text(dictionary, "a", "two", 0, DICTIONARY_ADD, START + 9), -EEXIST);
  assert_true(has_text(dictionary, "a", "one", START + 9));
  assert_int_equal(set_text(dictionary, "a", "two", 0, DICTIONARY_ADD, START + 10), 0);
  unsigned evicted;
  assert_int_equal(dictionary_set(dictionary, "a", 1, &(struct dictionary_value){.kind = DICTIONARY_NIL}, 0,
                                  DICTIONARY_SET, START, &evicted),
                   0);
  assert_true(is_absent(dictionary, "a", START + 10));
  dictionary_free(dictionary);
}

static void keys_have_bounds(void **state) {
  (void)state;
  char key[DICTIONARY_KEY_MOST + 2];
  struct dictionary *dictionary = new_dictionary(ROOM);
  memset(key, 'k', sizeof key);
  key[DICTIONARY_KEY_MOST + 1] = '\0';
  assert_int_equal(set_text(dictionary, key, "x", 0, DICTIONARY_SET, START), -EINVAL);
  assert_int_equal(set_text(dictionary, "", "x", 0, DICTIONARY_SET, START), -EINVAL);
  assert_int_equal(set_text(dictionary, key + 1, "x", 0, DICTIONARY_SET, START), 0);
  assert_true(has_text(dictionary, key + 1, "x", START));
  dictionary_free(dictionary);
}

static void incr_begins_with_init_and_keeps_the_time_to_live(void **state) {
  (void)state;
  struct dictionary *dictionary = new_dictionary(ROOM);
  double result = 0, init = 10;
  unsigned evicted;
  assert_int_equal(dictionary_incr(dictionary, "n", 1, 1, NULL, 0, START, &result, &evicted), -ENOENT);
  assert_int_equal(dictionary_incr(dictionary, "n", 1, 1, &init, 100, START, &result, &evicted), 0);
  assert_true(result == 11);
  assert_int_equal(dictionary_incr(dictionary, "n", 1, -1.5, &init, 100, START + 99, &result, &evicted), 0);
  assert_true(result == 9.5);
  assert_int_equal(dictionary_incr(dictionary, "n", 1, 1, &init, 100, START + 100, &result, &evicted), 0);
  assert_true(result == 11);
  set_text(dictionary, "s", "1", 0, DICTIONARY_SET, START);
  assert_int_equal(dictionary_incr(dictionary, "s", 1, 1, &init, 0, START, &result, &evicted), -EDOM);
  dictionary_free(dictionary);
}

static void memory_is_bounded_and_the_longest_unused_goes_first(void **state) {
  (void)state;
  struct dictionary *dictionary = new_dictionary(64 * 1024);
  char key[32];
  set_text(dictionary, "kept", "x", 0, DICTIONARY_SET, START);
  for (int i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "key %d", i);
    assert_int_equal(set_text(dictionary, key, "0123456789", 0, DICTIONARY_SET, START), 0);
    assert_true(has_text(dictionary, "kept", "x", START));
  }
  assert_true(has_text(dictionary, "key 19999", "0123456789", START));
  assert_true(is_absent(dictionary, "key 0", START));
  struct dictionary_size size;
  dictionary_measure(dictionary, &size);
  assert_true(size.bytes <= size.bytes_most && size.entries > 100);
  assert_int_equal(size.evictions, 20001 - size.entries);
  char *large = malloc(8192);
  memset(large, 'x', 8191);
  large[8191] = '\0';
  assert_int_equal(set_text(dictionary, "kept", large, 0, DICTIONARY_SET, START), -ENOMEM);
  assert_true(has_text(dictionary, "kept", "x", START));
  free(large);
  dictionary_free(dictionary);
}

static void *count_up(void *argument) {
  double init = 0, result;
  unsigned evicted;
  for (int i = 0; i < 20000; i++)
    dictionary_incr(argument, "n", 1, 1, &init, 0, START, &result, &evicted);
  return NULL;
}

static void no_count_is_lost_among_threads(void **state) {
  (void)state;
  struct dictionary *dictionary = new_dictionary(ROOM);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, count_up, dictionary), 0);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  struct dictionary_value value;
  assert_int_equal(dictionary_get(dictionary, "n", 1, START, &value), 0);
  assert_true(value.number == 80000);
  dictionary_free(dictionary);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_set_is_got_until_it_expires),
      cmocka_unit_test(add_takes_only_what_is_not_there),
      cmocka_unit_test(keys_have_bounds),
      cmocka_unit_test(incr_begins_with_init_and_keeps_the_time_to_live),
      cmocka_unit_test(memory_is_bounded_and_the_longest_unused_goes_first),
      cmocka_unit_test(no_count_is_lost_among_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
