/* SPDX-License-Identifier: MIT
 *
 * Errors: what they say, how they are cut, and which place they keep. */
#include "core/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void setting_fills_code_and_message_and_returns_the_negative_code(void **state) {
  (void)state;
  struct error error;
  memset(&error, 'x', sizeof error);
  assert_int_equal(error_set(&error, EADDRINUSE, "port %d is %s", 80, "taken"), -EADDRINUSE);
  assert_int_equal(error.code, EADDRINUSE);
  assert_string_equal(error.message, "port 80 is taken");
  assert_string_equal(error.place, "");
}

static void no_error_to_fill_is_fine(void **state) {
  (void)state;
  assert_int_equal(error_set(NULL, EINVAL, "nobody reads %d", 1), -EINVAL);
  error_set_place(NULL, "nowhere");
}

static void a_message_can_be_put_around_the_one_before(void **state) {
  (void)state;
  struct error error;
  error_set(&error, ENOENT, "no such file");
  error_set(&error, error.code, "certificate: %s: create it", error.message);
  assert_string_equal(error.message, "certificate: no such file: create it");
}

static void the_first_place_is_kept(void **state) {
  (void)state;
  struct error error;
  error_set(&error, EINVAL, "bad");
  error_set_place(&error, "%s:%d", "routes/site.lua", 3);
  error_set_place(&error, "moongate.lua");
  assert_string_equal(error.place, "routes/site.lua:3");
  error_set(&error, EINVAL, "bad again");
  assert_string_equal(error.place, "");
}

static void a_long_message_is_cut_between_characters(void **state) {
  (void)state;
  static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x99"};
  for (size_t c = 0; c < 4; c++)
    for (size_t offset = 0; offset < 4; offset++) {
      char text[2 * ERROR_MESSAGE_SIZE] = "";
      size_t length = strlen(characters[c]), size = offset;
      memset(text, '.', offset);
      for (; size < ERROR_MESSAGE_SIZE + 8; size += length)
        memcpy(text + size, characters[c], length);
      text[size] = '\0';
      struct error error;
      error_set(&error, EINVAL, "%s", text);
      size_t room = ERROR_MESSAGE_SIZE - 1 - offset;
      assert_int_equal(strlen(error.message), offset + room - room % length);
      assert_memory_equal(error.message, text, strlen(error.message));
    }
}

static void bytes_that_are_no_text_are_cut_too(void **state) {
  (void)state;
  char text[2 * ERROR_MESSAGE_SIZE];
  memset(text, 0x80, sizeof text);
  text[sizeof text - 1] = '\0';
  struct error error;
  error_set(&error, EINVAL, "%s", text);
  assert_true(strlen(error.message) > ERROR_MESSAGE_SIZE - 8);
  assert_true(strlen(error.message) < ERROR_MESSAGE_SIZE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(setting_fills_code_and_message_and_returns_the_negative_code),
      cmocka_unit_test(no_error_to_fill_is_fine),
      cmocka_unit_test(a_message_can_be_put_around_the_one_before),
      cmocka_unit_test(the_first_place_is_kept),
      cmocka_unit_test(a_long_message_is_cut_between_characters),
      cmocka_unit_test(bytes_that_are_no_text_are_cut_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
