/* SPDX-License-Identifier: MIT
 *
 * Buffers: growth, room at both ends, and random operations against a flat array. */
#include "core/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void assert_holds(const struct buffer *buffer, const char *text) {
  assert_int_equal(buffer_size(buffer), strlen(text));
  assert_memory_equal(buffer_bytes(buffer), text, strlen(text));
}

static void a_new_buffer_holds_a_copy_and_has_the_room_asked_for(void **state) {
  (void)state;
  struct buffer *buffer = buffer_new("hello", 5, 1000), *before = buffer;
  assert_non_null(buffer);
  assert_holds(buffer, "hello");
  assert_ptr_equal(buffer_reserve(&buffer, 1000), buffer_bytes(buffer) + 5);
  assert_ptr_equal(buffer, before);
  buffer_free(buffer);
  buffer_free(NULL);
  assert_int_equal(buffer_size(NULL), 0);
}

static void appending_to_nothing_makes_a_buffer(void **state) {
  (void)state;
  struct buffer *buffer = NULL;
  assert_int_equal(buffer_append(&buffer, "one", 3), 0);
  assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
  assert_int_equal(buffer_append(&buffer, " two", 4), 0);
  assert_holds(buffer, "one two");
  buffer_consume(buffer, 4);
  assert_holds(buffer, "two");
  buffer_free(buffer);
}

static void prepending_uses_what_was_consumed(void **state) {
  (void)state;
  struct buffer *buffer = buffer_new("abcdef", 6, 0), *before = buffer;
  buffer_consume(buffer, 3);
  assert_int_equal(buffer_prepend(&buffer, "xyz", 3), 0);
  assert_ptr_equal(buffer, before);
  assert_holds(buffer, "xyzdef");
  for (int i = 0; i < 200; i++)
    assert_int_equal(buffer_prepend(&buffer, "0", 1), 0);
  assert_int_equal(buffer_size(buffer), 206);
  assert_memory_equal(buffer_bytes(buffer) + 199, "0xyzdef", 7);
  buffer_free(buffer);
  buffer = NULL;
  assert_int_equal(buffer_prepend(&buffer, "first", 5), 0);
  assert_holds(buffer, "first");
  buffer_free(buffer);
}

static void a_buffer_that_is_filled_and_consumed_does_not_grow(void **state) {
  (void)state;
  struct buffer *buffer = buffer_new(NULL, 0, 4096), *before = buffer;
  char block[1000] = "";
  assert_int_equal(buffer_append(&buffer, block, 1000), 0);
  for (int i = 0; i < 10000; i++) {
    assert_int_equal(buffer_append(&buffer, block, 1000), 0);
    buffer_consume(buffer, 1000);
  }
  assert_ptr_equal(buffer, before);
  assert_int_equal(buffer_size(buffer), 1000);
  buffer_free(buffer);
}

static void growth_is_in_proportion(void **state) {
  (void)state;
  struct buffer *buffer = NULL;
  size_t capacity = 0;
  int grown = 0;
  for (int i = 0; i < 1 << 20; i++) {
    assert_int_equal(buffer_append(&buffer, "x", 1), 0);
    grown += buffer->capacity != capacity;
    capacity = buffer->capacity;
  }
  assert_true(grown <= 20);
  assert_true(capacity <= 2 << 20);
  buffer_free(buffer);
}

static void sizes_beyond_memory_change_nothing(void **state) {
  (void)state;
  struct buffer *buffer = buffer_new("keep", 4, 0), *before = buffer;
  assert_null(buffer_reserve(&buffer, SIZE_MAX));
  assert_null(buffer_reserve(&buffer, SIZE_MAX - 4));
  assert_null(buffer_reserve(&buffer, SIZE_MAX / 2));
  assert_int_equal(buffer_append(&buffer, NULL, SIZE_MAX - 3), -ENOMEM);
  assert_int_equal(buffer_prepend(&buffer, NULL, SIZE_MAX - 3), -ENOMEM);
  assert_null(buffer_new(NULL, 0, SIZE_MAX));
  assert_null(buffer_new(NULL, SIZE_MAX, 1));
  assert_ptr_equal(buffer, before);
  assert_holds(buffer, "keep");
  buffer_free(buffer);
}

static void random_operations_match_a_flat_array(void **state) {
  (void)state;
  enum { LARGEST = 3000 };
  static char model[2 * LARGEST];
  size_t size = 0;
  struct buffer *buffer = NULL;
  uint64_t random = 42;
  for (int step = 0; step < 100000; step++) {
    random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    size_t count = (size_t)(random >> 33) % 300;
    char block[300];
    memset(block, 'a' + step % 26, sizeof block);
    switch ((random >> 60) % 4) {
    case 0:
      if (size + count > LARGEST)
        break;
      assert_int_equal(buffer_append(&buffer, block, count), 0);
      memcpy(model + size, block, count);
      size += count;
      break;
    case 1:
      if (size + count > LARGEST)
        break;
      assert_int_equal(buffer_prepend(&buffer, block, count), 0);
      memmove(model + count, model, size);
      memcpy(model, block, count);
      size += count;
      break;
    default:
      count = count < size ? count : size;
      if (buffer)
        buffer_consume(buffer, count);
      memmove(model, model + count, size - count);
      size -= count;
    }
    assert_int_equal(buffer_size(buffer), size);
    if (buffer) {
      assert_true(buffer->start <= buffer->end && buffer->end <= buffer->capacity);
      assert_memory_equal(buffer_bytes(buffer), model, size);
    }
  }
  assert_true(buffer->capacity < 8 * LARGEST);
  buffer_free(buffer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_new_buffer_holds_a_copy_and_has_the_room_asked_for),
      cmocka_unit_test(appending_to_nothing_makes_a_buffer),
      cmocka_unit_test(prepending_uses_what_was_consumed),
      cmocka_unit_test(a_buffer_that_is_filled_and_consumed_does_not_grow),
      cmocka_unit_test(growth_is_in_proportion),
      cmocka_unit_test(sizes_beyond_memory_change_nothing),
      cmocka_unit_test(random_operations_match_a_flat_array),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
