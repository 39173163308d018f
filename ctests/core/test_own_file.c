/* SPDX-License-Identifier: MIT
 *
 * Whose files are believed, by whoever may write to them. */
#include "core/own_file.h"
#include "core/text_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

static const struct own_words words = {"it", "would be believed", "remove it"};

static int judge(uid_t owner, mode_t mode, uid_t other, struct error *error) {
  const struct stat entry = {.st_uid = owner, .st_mode = S_IFREG | mode};
  *error = (struct error){.code = 0};
  return own_judge(&entry, other, &words, error);
}

static void test_ours_and_the_others_are_believed(void **state) {
  struct error error;
  (void)state;
  assert_int_equal(judge(geteuid(), 0644, geteuid(), &error), 0);
  assert_int_equal(judge(geteuid() + 1, 0600, geteuid() + 1, &error), 0);
  assert_int_equal(judge(geteuid(), 0755, geteuid() + 1, &error), 0);
}

static void test_a_strangers_is_not(void **state) {
  struct error error;
  char us[USER_NAME_SIZE], expected[256];
  (void)state;
  assert_int_equal(judge(geteuid() + 1, 0600, geteuid(), &error), -EPERM);
  assert_int_equal(judge(4000000, 0600, NOBODY, &error), -EPERM);
  snprintf(expected, sizeof expected,
           "it belongs to \"4000000\", and would be believed as if \"%s\" had made it: remove it, or chown it",
           user_name(geteuid(), us));
  assert_string_equal(error.message, expected);
}

static void test_what_others_may_write_is_not(void **state) {
  static const mode_t modes[] = {0620, 0602, 0666};
  struct error error;
  (void)state;
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    assert_int_equal(judge(geteuid(), modes[i], geteuid(), &error), -EPERM);
    assert_string_equal(error.message,
                        "it may be written by others, and would be believed: remove it, or chmod go-w it");
  }
}

static void test_who_has_no_name_has_a_number(void **state) {
  char name[USER_NAME_SIZE];
  (void)state;
  assert_string_equal(user_name(0, name), "root");
  assert_string_equal(user_name(4000000, name), "4000000");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ours_and_the_others_are_believed),
      cmocka_unit_test(test_a_strangers_is_not),
      cmocka_unit_test(test_what_others_may_write_is_not),
      cmocka_unit_test(test_who_has_no_name_has_a_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
