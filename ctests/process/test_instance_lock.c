/* SPDX-License-Identifier: MIT
 *
 * The lock of a state directory. flock(2) tells open files apart, not processes, so a second taker in this process
 * stands for another. */
#include "process/instance_lock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
  char root[64], state[128], lock[160];
};

static int set_up(void **state) {
  static struct place place;
  snprintf(place.root, sizeof place.root, "/tmp/moongate-lock-XXXXXX");
  if (!mkdtemp(place.root))
    return -1;
  snprintf(place.state, sizeof place.state, "%s/a/b", place.root);
  snprintf(place.lock, sizeof place.lock, "%s/lock", place.state);
  *state = &place;
  return 0;
}

static int tear_down(void **state) {
  const struct place *place = *state;
  char middle[128];
  snprintf(middle, sizeof middle, "%s/a", place->root);
  unlink(place->lock);
  rmdir(place->state);
  if (rmdir(middle) != 0)
    unlink(middle);
  return rmdir(place->root);
}

static long pid_in(const char *path) {
  long pid = 0;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  if (fscanf(file, "%ld", &pid) != 1)
    pid = 0;
  fclose(file);
  return pid;
}

static void taking_it_makes_the_directory_for_the_user_alone(void **state) {
  const struct place *place = *state;
  umask(022);
  struct instance_lock lock;
  struct error error;
  struct stat entry;
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  assert_int_equal(stat(place->state, &entry), 0);
  assert_int_equal(entry.st_mode & 0777, 0700);
  char middle[128];
  snprintf(middle, sizeof middle, "%s/a", place->root);
  assert_int_equal(stat(middle, &entry), 0);
  assert_int_equal(entry.st_mode & 0777, 0755);
  assert_int_equal(pid_in(place->lock), getpid());
  instance_lock_release(&lock);
}

static void a_second_taker_learns_the_file_and_the_process(void **state) {
  const struct place *place = *state;
  struct instance_lock lock, second;
  struct error error;
  char pid[32];
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  assert_int_equal(instance_lock_take(&second, place->state, NULL, &error), -EBUSY);
  assert_int_equal(second.fd, -1);
  assert_string_equal(error.place, place->lock);
  snprintf(pid, sizeof pid, "process %ld", (long)getpid());
  assert_non_null(strstr(error.message, pid));
  instance_lock_release(&second);
  assert_int_equal(pid_in(place->lock), getpid());
  instance_lock_release(&lock);
}

static void a_released_one_can_be_taken_and_names_nobody(void **state) {
  const struct place *place = *state;
  struct instance_lock lock;
  struct error error;
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);
  assert_int_equal(pid_in(place->lock), 0);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);
}

static void a_stale_file_is_no_obstacle(void **state) {
  const struct place *place = *state;
  struct instance_lock lock;
  struct error error;
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);
  FILE *file = fopen(place->lock, "w");
  assert_non_null(file);
  fputs("123456789012\nleft by a crash\n", file);
  fclose(file);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  assert_int_equal(pid_in(place->lock), getpid());
  instance_lock_release(&lock);
}

static void a_file_in_the_way_is_named(void **state) {
  const struct place *place = *state;
  struct instance_lock lock;
  struct error error;
  char middle[128];
  snprintf(middle, sizeof middle, "%s/a", place->root);
  fclose(fopen(middle, "w"));
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -ENOTDIR);
  assert_string_equal(error.place, place->state);
  assert_int_equal(lock.fd, -1);
}

static void nothing_is_believed_that_others_may_have_made(void **state) {
  const struct place *place = *state;
  struct instance_lock lock;
  struct error error;
  char elsewhere[96];
  snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", place->root);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);

  /* the directory: writable by others, or a link */
  static const mode_t modes[] = {0770, 0702, 0777};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    chmod(place->state, modes[i]);
    assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -EPERM);
    assert_non_null(strstr(error.message, "chmod go-w"));
    assert_string_equal(error.place, place->state);
  }
  chmod(place->state, 01777); /* as /tmp: never "chmod it" */
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -EPERM);
  assert_null(strstr(error.message, "chmod"));
  assert_non_null(strstr(error.message, "directory of moongate's own"));
  chmod(place->state, 0755);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);
  rename(place->state, elsewhere);
  assert_int_equal(symlink(elsewhere, place->state), 0);
  assert_true(instance_lock_take(&lock, place->state, NULL, &error) < 0);
  assert_non_null(strstr(error.message, "link"));
  unlink(place->state);
  rename(elsewhere, place->state);

  /* the lock: a link, a pipe, another name of a file */
  unlink(place->lock);
  assert_int_equal(symlink(elsewhere, place->lock), 0);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -ELOOP);
  assert_string_equal(error.place, place->lock);
  assert_int_equal(access(elsewhere, F_OK), -1);
  unlink(place->lock);
  assert_int_equal(mkfifo(place->lock, 0600), 0);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -EPERM);
  unlink(place->lock);
  fclose(fopen(elsewhere, "w"));
  assert_int_equal(link(elsewhere, place->lock), 0);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -EPERM);
  assert_int_equal(lock.fd, -1);
  unlink(elsewhere);
}

static void the_directory_of_another_user_is_refused(void **state) {
  const struct place *place = *state;
  struct instance_lock lock;
  struct error error;
  if (geteuid() != 0)
    skip();
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), 0);
  instance_lock_release(&lock);
  assert_int_equal(chown(place->state, 1, 1), 0);
  assert_int_equal(instance_lock_take(&lock, place->state, NULL, &error), -EPERM);
  assert_non_null(strstr(error.message, "belongs to"));
  const struct account other = {.name = "other", .uid = 1, .gid = 1, .is_set = true};
  /* its root is ours alone: the other one would not get in */
  assert_int_equal(instance_lock_take(&lock, place->state, &other, &error), -EPERM);
  char advice[128];
  snprintf(advice, sizeof advice, "chmod o+x %s,", place->root);
  assert_non_null(strstr(error.message, advice));
  chmod(place->root, 0755);
  assert_int_equal(instance_lock_take(&lock, place->state, &other, &error), 0);
  struct stat entry;
  assert_int_equal(stat(place->lock, &entry), 0);
  assert_int_equal(entry.st_uid, 1);
  instance_lock_release(&lock);
}

static void a_path_that_is_too_long_is_refused(void **state) {
  (void)state;
  static char path[8192];
  struct instance_lock lock;
  struct error error;
  memset(path, 'x', sizeof path - 1);
  path[0] = '/';
  assert_int_equal(instance_lock_take(&lock, path, NULL, &error), -ENAMETOOLONG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(taking_it_makes_the_directory_for_the_user_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_second_taker_learns_the_file_and_the_process, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_released_one_can_be_taken_and_names_nobody, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_stale_file_is_no_obstacle, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_in_the_way_is_named, set_up, tear_down),
      cmocka_unit_test_setup_teardown(nothing_is_believed_that_others_may_have_made, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_directory_of_another_user_is_refused, set_up, tear_down),
      cmocka_unit_test(a_path_that_is_too_long_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
