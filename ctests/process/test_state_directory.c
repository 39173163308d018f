/* SPDX-License-Identifier: MIT
 *
 * The state directory that root gives away while the user whom it is given to is at work in it. */
#include "process/state_directory.h"

#include "../support/scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

enum { UID = 1, TRIES = 4000 };

struct fixture {
  struct scratch scratch;
  char state[256];
  struct account account;
};

static int set_up(void **state) {
  static struct fixture fixture;
  scratch_init(&fixture.scratch);
  snprintf(fixture.state, sizeof fixture.state, "%s", scratch_path(&fixture.scratch, "state"));
  assert_int_equal(0, mkdir(fixture.state, 0700));
  assert_int_equal(0, mkdir(scratch_path(&fixture.scratch, "state/within"), 0700));
  assert_int_equal(0, mkdir(scratch_path(&fixture.scratch, "elsewhere"), 0755));
  /* whom it is given to has to get there */
  assert_int_equal(0, chmod(fixture.scratch.directory, 0755));
  assert_int_equal(0, chmod(scratch_path(&fixture.scratch, "elsewhere"), 0755));
  scratch_write(&fixture.scratch, "state/within/secret", "ours");
  scratch_write(&fixture.scratch, "elsewhere/secret", "root's");
  assert_int_equal(0, symlink("../elsewhere", scratch_path(&fixture.scratch, "state/other")));
  fixture.account = (struct account){.name = "daemon", .uid = UID, .gid = UID, .is_set = true};
  *state = &fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  unlink(scratch_path(&fixture->scratch, "state/other"));
  unlink(scratch_path(&fixture->scratch, "state/within")); /* where the two have changed their names */
  remove_tree(fixture->scratch.directory);
  return 0;
}

static uid_t owner_of(struct fixture *fixture, const char *name) {
  struct stat entry;
  assert_int_equal(0, lstat(scratch_path(&fixture->scratch, name), &entry));
  return entry.st_uid;
}

static void give(struct fixture *fixture) {
  struct error error;
  int fd = state_directory_open(fixture->state, &fixture->account, &error);
  assert_true(fd >= 0);
  close(fd);
}

static void all_that_is_in_it_is_given_and_nothing_that_a_link_names(void **state) {
  struct fixture *fixture = *state;
  if (geteuid() != 0)
    skip();
  char linked[512];
  scratch_write(&fixture->scratch, "elsewhere/linked", "root's");
  snprintf(linked, sizeof linked, "%s/linked", fixture->state);
  assert_int_equal(0, link(scratch_path(&fixture->scratch, "elsewhere/linked"), linked));
  give(fixture);
  assert_int_equal(UID, owner_of(fixture, "state"));
  assert_int_equal(UID, owner_of(fixture, "state/within"));
  assert_int_equal(UID, owner_of(fixture, "state/within/secret"));
  assert_int_equal(0, owner_of(fixture, "state/other"));
  assert_int_equal(0, owner_of(fixture, "state/linked"));
  assert_int_equal(0, owner_of(fixture, "elsewhere"));
  assert_int_equal(0, owner_of(fixture, "elsewhere/secret"));
}

static int try_through(struct fixture *fixture, const char *name) {
  struct error error;
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path(&fixture->scratch, name));
  int fd = state_directory_open(path, &fixture->account, &error);
  if (fd >= 0)
    close(fd);
  return fd;
}

static void a_link_on_the_way_is_followed_where_it_is_roots(void **state) {
  struct fixture *fixture = *state;
  if (geteuid() != 0)
    skip();
  char way[512];
  snprintf(way, sizeof way, "%s", scratch_path(&fixture->scratch, "way"));
  assert_int_equal(0, mkdir(scratch_path(&fixture->scratch, "elsewhere/etc"), 0755));
  assert_int_equal(0, symlink("./elsewhere//", way));
  assert_int_equal(0, lchown(way, UID, UID));
  assert_int_equal(-EPERM, try_through(fixture, "way/etc"));
  assert_int_equal(-EPERM, try_through(fixture, "way/new/one"));
  assert_int_equal(0, owner_of(fixture, "elsewhere/etc"));
  assert_int_equal(-1, access(scratch_path(&fixture->scratch, "elsewhere/new"), F_OK));
  assert_int_equal(0, lchown(way, 0, 0));
  assert_int_equal(-ELOOP, try_through(fixture, "way"));
  assert_int_equal(-ELOOP, try_through(fixture, "way/"));
  assert_int_equal(0, owner_of(fixture, "elsewhere"));
  assert_true(try_through(fixture, "way/new/one//") >= 0);
  assert_int_equal(0, owner_of(fixture, "elsewhere/new"));
  assert_int_equal(UID, owner_of(fixture, "elsewhere/new/one"));
  assert_int_equal(0, unlink(way));
  assert_int_equal(0, symlink("way", way));
  assert_int_equal(-ELOOP, try_through(fixture, "way/etc"));
  assert_int_equal(-ENOTDIR, try_through(fixture, "elsewhere/secret/state"));
  assert_int_equal(0, unlink(way));
}

static mode_t mode_of(struct fixture *fixture, const char *name) {
  struct stat entry;
  assert_int_equal(0, lstat(scratch_path(&fixture->scratch, name), &entry));
  return entry.st_mode & 07777;
}

static void a_way_that_is_made_lets_its_user_through_whatever_the_umask(void **state) {
  static const mode_t masks[] = {077, 007, 022, 0777};
  struct fixture *fixture = *state;
  if (geteuid() != 0)
    skip();
  for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
    mode_t before = umask(masks[i]);
    int status = try_through(fixture, "elsewhere/var/lib/moongate");
    assert_int_equal(masks[i], umask(before));
    assert_true(status >= 0);
    assert_int_equal(0755, mode_of(fixture, "elsewhere/var"));
    assert_int_equal(0755, mode_of(fixture, "elsewhere/var/lib"));
    assert_int_equal(0, owner_of(fixture, "elsewhere/var/lib"));
    assert_int_equal(0700, mode_of(fixture, "elsewhere/var/lib/moongate"));
    assert_int_equal(UID, owner_of(fixture, "elsewhere/var/lib/moongate"));
    remove_tree(scratch_path(&fixture->scratch, "elsewhere/var"));
  }
}

static void a_way_that_is_nobody_elses_obeys_the_umask(void **state) {
  struct fixture *fixture = *state;
  fixture->account.is_set = false;
  mode_t before = umask(077);
  int status = try_through(fixture, "elsewhere/own/moongate");
  umask(before);
  assert_true(status >= 0);
  assert_int_equal(0700, mode_of(fixture, "elsewhere/own"));
}

/* A process that has a directory be a link, and a directory again, as fast as it can. */
static pid_t start_changing(struct fixture *fixture) {
  char one[512], other[512];
  snprintf(one, sizeof one, "%s/within", fixture->state);
  snprintf(other, sizeof other, "%s/other", fixture->state);
  pid_t parent = getpid(), child = fork();
  if (child != 0)
    return child;
  while (getppid() == parent) /* a test that fails ends without it */
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
  _exit(0);
}

static void a_directory_that_becomes_a_link_on_the_way_gives_nothing_else_away(void **state) {
  struct fixture *fixture = *state;
  if (geteuid() != 0)
    skip();
  pid_t child = start_changing(fixture);
  assert_true(child > 0);
  uid_t owner = 0;
  for (int i = 0; i < TRIES && owner == 0; i++) {
    give(fixture);
    owner = owner_of(fixture, "elsewhere/secret");
    assert_int_equal(0, chown(fixture->state, 0, 0));
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_int_equal(0, owner);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_that_is_in_it_is_given_and_nothing_that_a_link_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_link_on_the_way_is_followed_where_it_is_roots, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_way_that_is_made_lets_its_user_through_whatever_the_umask, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_way_that_is_nobody_elses_obeys_the_umask, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_directory_that_becomes_a_link_on_the_way_gives_nothing_else_away, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
