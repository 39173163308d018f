/* SPDX-License-Identifier: MIT
 *
 * The mark on what is being run: what the next process finds, also in a file that is no mark. */
#include "loading/load_mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fixture {
  char directory[64];
};

static const struct load_mark_text site = {"site.lua", "routes/site.lua", 12, 0xfedcba9876543210};
static const struct load_mark_text page = {"page.lua", "routes/page.lua", 12, 0xfedcba9876543210};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  strcpy(fixture->directory, "/tmp/moongate-mark-XXXXXX");
  *state = fixture;
  return fixture && mkdtemp(fixture->directory) ? 0 : -1;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  char path[128];
  snprintf(path, sizeof path, "%s/loading", fixture->directory);
  unlink(path);
  int status = rmdir(fixture->directory); /* nothing else is left behind */
  free(fixture);
  return status;
}

/* As the next process does. */
static struct load_mark *open_mark(const struct fixture *fixture) {
  struct error error;
  struct load_mark *mark = load_mark_open(fixture->directory, &error);
  assert_non_null(mark);
  assert_int_equal(error.code, 0);
  return mark;
}

static void test_what_was_being_run_is_known_to_all_that_follow(void **state) {
  struct load_mark *mark = open_mark(*state);
  assert_false(load_mark_has_ended(mark, &site));
  load_mark_set(mark, &page);
  load_mark_set(mark, &site);
  load_mark_unref(mark);
  for (int i = 0; i < 3; i++) {
    mark = open_mark(*state);
    assert_true(load_mark_has_ended(mark, &site));
    assert_false(load_mark_has_ended(mark, &page));
    const struct load_mark_text changed = {site.file, site.path, site.size + 1, site.hash};
    assert_false(load_mark_has_ended(mark, &changed));
    load_mark_unref(mark);
  }
  mark = open_mark(*state);
  load_mark_set(mark, &page);
  load_mark_unref(mark);
  mark = open_mark(*state);
  assert_true(load_mark_has_ended(mark, &site));
  assert_true(load_mark_has_ended(mark, &page));
  load_mark_unref(mark);
}

static void test_what_has_been_run_is_no_reason(void **state) {
  struct load_mark *mark = open_mark(*state);
  load_mark_set(mark, &site);
  load_mark_set(mark, NULL);
  load_mark_unref(mark);
  mark = open_mark(*state);
  assert_false(load_mark_has_ended(mark, &site));
  load_mark_set(mark, &site);
  load_mark_withdraw(mark);
  load_mark_set(mark, &site); /* by a thread that does not know yet */
  load_mark_unref(mark);
  mark = open_mark(*state);
  assert_false(load_mark_has_ended(mark, &site));
  load_mark_unref(mark);
}

static void test_names_that_are_no_line_mark_nothing(void **state) {
  char longest[256 + 1];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  const char *const names[] = {"a\nb.lua", "a\tb.lua", longest};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    const struct load_mark_text odd = {names[i], names[i], 1, 2};
    struct load_mark *mark = open_mark(*state);
    load_mark_set(mark, &odd);
    load_mark_unref(mark);
    mark = open_mark(*state);
    assert_false(load_mark_has_ended(mark, &odd));
    load_mark_unref(mark);
  }
  const struct load_mark_text blank = {"a b.lua", "routes of mine/a b.lua", 1, 2};
  struct load_mark *mark = open_mark(*state);
  load_mark_set(mark, &blank);
  load_mark_unref(mark);
  mark = open_mark(*state);
  assert_true(load_mark_has_ended(mark, &blank));
  load_mark_unref(mark);
}

static void test_a_file_of_another_kind_says_nothing(void **state) {
  struct fixture *fixture = *state;
  static const char *const texts[] = {"",
                                      "\n\n\n",
                                      "12 fedcba9876543210 \n",
                                      "12 fedcba9876543210",
                                      "x y z\n",
                                      "99999999999999999999999 fedcba9876543210 site.lua\n"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/loading", fixture->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(texts[i], file);
    fclose(file);
    struct load_mark *mark = open_mark(fixture);
    assert_false(load_mark_has_ended(mark, &site));
    load_mark_set(mark, &site);
    load_mark_unref(mark);
    mark = open_mark(fixture);
    assert_true(load_mark_has_ended(mark, &site));
    load_mark_unref(mark);
    unlink(path);
  }
}

static void test_at_most_so_many_are_kept_the_newest_of_all(void **state) {
  char name[32];
  struct load_mark_text text = {name, name, 1, 2};
  for (int i = 0; i < 80; i++) {
    snprintf(name, sizeof name, "%d.lua", i);
    struct load_mark *mark = open_mark(*state);
    load_mark_set(mark, &text);
    load_mark_unref(mark);
  }
  struct load_mark *mark = open_mark(*state);
  assert_true(load_mark_has_ended(mark, &text));
  snprintf(name, sizeof name, "%d.lua", 0);
  assert_false(load_mark_has_ended(mark, &text));
  load_mark_unref(mark);
}

static void test_a_place_that_can_not_be_written_is_said(void **state) {
  struct fixture *fixture = *state;
  char path[128];
  struct error error;
  snprintf(path, sizeof path, "%s/missing", fixture->directory);
  struct load_mark *mark = load_mark_open(path, &error);
  assert_non_null(mark);
  assert_int_not_equal(error.code, 0);
  load_mark_set(mark, &site);
  load_mark_unref(mark);
}

static void test_a_file_of_the_callers_can_be_read_back(void **state) {
  (void)state;
  char path[64];
  int fd = memfd_create("mark", MFD_CLOEXEC);
  struct load_mark *mark = load_mark_open_at(fd);
  assert_false(load_mark_read(fd, path, sizeof path));
  load_mark_set(mark, &site);
  assert_true(load_mark_read(fd, path, sizeof path));
  assert_string_equal(path, "routes/site.lua");
  load_mark_set(mark, NULL);
  assert_false(load_mark_read(fd, path, sizeof path));
  load_mark_unref(mark);
  assert_int_equal(close(fd), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_what_was_being_run_is_known_to_all_that_follow),
      TEST(test_what_has_been_run_is_no_reason),
      TEST(test_names_that_are_no_line_mark_nothing),
      TEST(test_a_file_of_another_kind_says_nothing),
      TEST(test_at_most_so_many_are_kept_the_newest_of_all),
      TEST(test_a_place_that_can_not_be_written_is_said),
      TEST(test_a_file_of_the_callers_can_be_read_back),
  };
#undef TEST
  return cmocka_run_group_tests(tests, NULL, NULL);
}
