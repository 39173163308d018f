/* SPDX-License-Identifier: MIT
 *
 * Files that have not changed are not read again, and one that has changed is, however soon after the load. */
#include "../support/load_fixture.h"

#include <fcntl.h>
#include <inttypes.h>

enum { LARGE = 256 * 1024, SAVES = 60 };

/* What this process has read from files, in bytes. */
static uint64_t count_read(void) {
  uint64_t count = 0;
  FILE *file = fopen("/proc/self/io", "r");
  if (!file || fscanf(file, "rchar: %" SCNu64, &count) != 1)
    skip();
  fclose(file);
  return count;
}

/* A comment of that many bytes before it. */
static void write_large(struct fixture *fixture, const char *name, size_t size, const char *code) {
  char *text = malloc(size + strlen(code) + 8);
  assert_non_null(text);
  memcpy(text, "--", 2);
  memset(text + 2, 'x', size);
  sprintf(text + 2 + size, "\n%s", code);
  write_file(fixture, name, text);
  free(text);
}

static uint64_t load_counting(struct fixture *fixture) {
  uint64_t before = count_read();
  assert_int_equal(load_and_commit(fixture), 0);
  return count_read() - before;
}

static void files_that_have_not_changed_are_not_read_again(void **state) {
  struct fixture *fixture = *state;
  write_large(fixture, "routes/a.lua", LARGE, "require 'part' return {}");
  write_large(fixture, "part.lua", LARGE, "return 1");
  assert_in_range(load_counting(fixture), 2 * LARGE, UINT32_MAX);
  const struct timespec later = {2, 200 * 1000 * 1000};
  nanosleep(&later, NULL);
  assert_in_range(load_counting(fixture), 2 * LARGE, UINT32_MAX); /* from now on it is known that they were whole */
  assert_in_range(load_counting(fixture), 0, LARGE);
  assert_true(file_of(fixture, "a.lua")->same);

  loader_read_anew(fixture->loader);
  assert_in_range(load_counting(fixture), 2 * LARGE, UINT32_MAX);
  write_large(fixture, "part.lua", LARGE, "return 2");
  assert_in_range(load_counting(fixture), 2 * LARGE, UINT32_MAX);
  assert_false(file_of(fixture, "a.lua")->same);
}

/* In its place, by bytes as many, with the time of the one before: as fast as it goes, often within a tick of the clock
 * that the file system writes down. */
static void a_file_that_changes_within_a_tick_is_read_again(void **state) {
  struct fixture *fixture = *state;
  struct stat first = {0};
  for (int i = 0; i < SAVES; i++) {
    char text[128];
    snprintf(text, sizeof text, "return { match = { ports = %d }, action = { target = 'a:1' } }", 1000 + i);
    write_file(fixture, "routes/a.lua", text);
    if (i == 0)
      assert_int_equal(stat(in(fixture, "routes/a.lua"), &first), 0);
    const struct timespec times[] = {first.st_atim, first.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, in(fixture, "routes/a.lua"), times, 0), 0);
    assert_int_equal(load_and_commit(fixture), 0);
    assert_int_equal(file_of(fixture, "a.lua")->routes[0]->ports[0].from, 1000 + i);
  }
}

static void a_stamp_says_nothing_while_the_last_change_is_fresh(void **state) {
  struct fixture *fixture = *state;
  struct file_stamp stamp;
  write_file(fixture, "file", "one");
  int fd = open(in(fixture, "file"), O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  file_stamp_take(&stamp, fd);
  assert_false(stamp.is_settled);
  assert_false(file_stamp_is_current(&stamp, in(fixture, "file")));

  stamp.is_settled = true; /* as if it had been taken later */
  assert_true(file_stamp_is_current(&stamp, in(fixture, "file")));
  write_file(fixture, "other", "one");
  char other[256];
  snprintf(other, sizeof other, "%s", in(fixture, "other"));
  assert_int_equal(rename(other, in(fixture, "file")), 0);
  assert_false(file_stamp_is_current(&stamp, in(fixture, "file")));
  delete_file(fixture, "file");
  assert_false(file_stamp_is_current(&stamp, in(fixture, "file")));

  const struct timespec ahead[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 3600}};
  assert_int_equal(futimens(fd, ahead), 0);
  file_stamp_take(&stamp, fd);
  assert_false(stamp.is_settled);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(files_that_have_not_changed_are_not_read_again),
      TEST(a_file_that_changes_within_a_tick_is_read_again),
      TEST(a_stamp_says_nothing_while_the_last_change_is_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
