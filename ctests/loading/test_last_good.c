/* SPDX-License-Identifier: MIT
 *
 * Last good versions over a restart: what is kept under `state`, when it is served, and what is damaged or not ours:
 * another directory's, or somebody else's, whose copy would be run as us. */
#include "../support/load_fixture.h"

static void a_broken_file_starts_as_it_was_and_its_fault_is_told(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { " HANDLER("a", "1", "return 1") "," PLAIN("p", "2") "}");
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "3"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  assert_true(exists(fixture, "state/last-good/a.lua"));
  write_file(fixture, "routes/a.lua", "return {");
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  const struct loaded_file *file = file_of(fixture, "a.lua");
  assert_false(file->ok);
  assert_false(file->same);
  assert_int_equal(file->stands_in, FILE_LAST_GOOD);
  assert_contains(only_fault(&fixture->loaded.faults)->file, "routes/a.lua");
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 1);
  assert_non_null(route_of(fixture, "a.lua", "p"));
  struct script_version *version = file->version;
  /* It stays the copy, until the file says it again. */
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LAST_GOOD);
  write_file(fixture, "routes/a.lua", "return { " HANDLER("a", "1", "return 1") "," PLAIN("p", "2") "}");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_ptr_equal(file_of(fixture, "a.lua")->version, version);
  write_file(fixture, "routes/a.lua", "return {");
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LIVE);
}

static void a_copy_has_the_modules_that_were_required(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "helper.lua", "return 5");
  write_file(fixture, "routes/a.lua", "local n = require('helper') return " HANDLER("a", "1", "return n"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  write_file(fixture, "helper.lua", "error('broken')");
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LAST_GOOD);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 5);
  delete_file(fixture, "helper.lua");
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 5);
}

static void a_copy_that_fails_as_well_is_told_with_it(void **state) {
  struct fixture *fixture = *state;
  char text[512];
  snprintf(text, sizeof text, "assert(io.open('%s/needed')):close() return " PLAIN("a", "1"),
           fixture->scratch.directory);
  write_file(fixture, "routes/a.lua", text);
  write_file(fixture, "needed", "");
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  delete_file(fixture, "needed");
  write_file(fixture, "routes/a.lua", "return {");
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
  assert_int_equal(file_of(fixture, "a.lua")->route_count, 0);
  assert_int_equal(fixture->loaded.faults.count, 2);
  assert_contains(fixture->loaded.faults.faults[1].message, "state/last-good/a.lua");
  assert_contains(fixture->loaded.faults.faults[1].message, "can't be served either");
  assert_contains(fixture->loaded.faults.faults[1].message, "needed");
  /* A copy is kept as long as its file is there. */
  store(fixture);
  assert_true(exists(fixture, "state/last-good/a.lua"));
}

static void a_damaged_copy_is_said_to_be(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  write_file(fixture, "routes/a.lua", "return {");
  struct stat found;
  assert_int_equal(stat(in(fixture, "state/last-good/a.lua"), &found), 0);
  for (off_t size = 0; size < found.st_size; size += 7) {
    assert_int_equal(truncate(in(fixture, "state/last-good/a.lua"), found.st_size - size - 1), 0);
    restart(fixture);
    assert_int_equal(load(fixture), -EINVAL);
    assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
    assert_contains(fixture->loaded.faults.faults[1].message, "damaged");
  }
}

static void a_copy_of_another_directory_is_not_ours(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  restart(fixture);
  assert_int_equal(mkdir(in(fixture, "others"), 0700), 0);
  write_file(fixture, "others/a.lua", "return {");
  read_config(fixture, "routes = 'others'");
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(fixture->loaded.faults.count, 1);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
  store(fixture);
  assert_true(exists(fixture, "state/last-good/b.lua"));
}

static void copies_are_written_when_something_changed_and_removed_with_their_file(void **state) {
  struct fixture *fixture = *state;
  struct stat before, after;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  assert_int_equal(stat(in(fixture, "state/last-good/a.lua"), &before), 0);
  restart(fixture);
  write_file(fixture, "state/last-good/.b.lua.tmp", "half");
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  assert_int_equal(stat(in(fixture, "state/last-good/a.lua"), &after), 0);
  assert_int_equal(after.st_ino, before.st_ino);
  assert_false(exists(fixture, "state/last-good/.b.lua.tmp"));
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "11"));
  delete_file(fixture, "routes/b.lua");
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  assert_int_equal(stat(in(fixture, "state/last-good/a.lua"), &after), 0);
  assert_int_not_equal(after.st_ino, before.st_ino);
  assert_false(exists(fixture, "state/last-good/b.lua"));
}

static void a_broken_file_never_replaces_its_copy(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("good", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  for (int i = 0; i < 3; i++) {
    write_file(fixture, "routes/a.lua", "return {");
    restart(fixture);
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    store(fixture);
    assert_non_null(route_of(fixture, "a.lua", "good"));
  }
}

static void a_file_that_is_excluded_at_start_does_not_stand_in_for_itself(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "80"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  restart(fixture);
  assert_int_equal(load(fixture), 0);
  assert_int_equal(loader_exclude_file(fixture->loader, "a.lua", "a", "match.ports", "port 80 is taken", false), 0);
  assert_int_equal(load(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
}

static void copies_that_share_a_name_give_way_to_each_other(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/b.lua", "return " PLAIN("x", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  write_file(fixture, "routes/b.lua", "return {");
  write_file(fixture, "routes/a.lua", "return " PLAIN("x", "2"));
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  /* The copy was live when the other one came: it goes first. */
  assert_int_equal(file_of(fixture, "b.lua")->stands_in, FILE_LAST_GOOD);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
}

static void a_state_directory_that_cant_be_written_is_an_error(void **state) {
  struct fixture *fixture = *state;
  struct error error;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "state", "");
  assert_int_equal(loader_store_last_good(fixture->loader, fixture->config.state, 0, &error), -ENOTDIR);
  assert_contains(error.message, "can't be kept");
  delete_file(fixture, "state");
  store(fixture);
  assert_true(exists(fixture, "state/last-good/a.lua"));
}

static void many_copies_are_stored_a_part_at_a_time(void **state) {
  enum { FILES = 300 };
  struct fixture *fixture = *state;
  struct error error;
  char name[64], text[128];
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "routes/f%03d.lua", i);
    snprintf(text, sizeof text, "return { name = 'n%d', match = { ports = %d }, action = { target = 'a:1' } }", i,
             1000 + i);
    write_file(fixture, name, text);
  }
  assert_int_equal(load_and_commit(fixture), 0);
  int parts = 0, status = 1;
  for (; status == 1 && parts < 10 * FILES; parts++)
    status = loader_store_last_good(fixture->loader, fixture->config.state, 1, &error);
  assert_int_equal(status, 0);
  assert_true(parts > 1);
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "state/last-good/f%03d.lua", i);
    assert_true(exists(fixture, name));
  }
}

static void checking_takes_no_notice_of_copies(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  write_file(fixture, "routes/a.lua", "return {");
  restart(fixture);
  assert_int_equal(loader_load_routes(fixture->loader, &fixture->config, 0, NULL, NULL, &fixture->loaded), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
}

#define COPY "state/last-good/a.lua"

/* The next typo, at the next start: the copy does not stand in, and the fault says why. */
static void expect_refused(struct fixture *fixture, const char *why) {
  restart(fixture);
  assert_int_equal(load(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
  assert_int_equal(fixture->loaded.faults.count, 2);
  assert_contains(fixture->loaded.faults.faults[1].message, COPY);
  assert_contains(fixture->loaded.faults.faults[1].message, why);
}

static void break_after_storing(struct fixture *fixture) {
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  write_file(fixture, "routes/a.lua", "return {");
}

static void expect_believed(struct fixture *fixture) {
  restart(fixture);
  assert_int_equal(load(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LAST_GOOD);
}

static void set_mode(struct fixture *fixture, const char *name, mode_t mode) {
  assert_int_equal(chmod(in(fixture, name), mode), 0);
}

static void a_copy_that_others_may_have_written_is_not_run(void **state) {
  struct fixture *fixture = *state;
  static const char *const written[] = {COPY, "state/last-good", "state"};
  break_after_storing(fixture);
  for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
    mode_t mode = i == 0 ? 0600 : 0700;
    set_mode(fixture, written[i], mode | 0020);
    expect_refused(fixture, "may be written by others");
    set_mode(fixture, written[i], mode | 0002);
    expect_refused(fixture, "may be written by others");
    set_mode(fixture, written[i], mode | 0055);
    expect_believed(fixture);
  }
}

static void a_copy_that_is_a_link_is_not_run(void **state) {
  struct fixture *fixture = *state;
  char elsewhere[256], copy[256], copies[256];
  snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", fixture->scratch.directory);
  snprintf(copy, sizeof copy, "%s/" COPY, fixture->scratch.directory);
  snprintf(copies, sizeof copies, "%s/state/last-good", fixture->scratch.directory);
  break_after_storing(fixture);
  assert_int_equal(link(copy, elsewhere), 0);
  expect_refused(fixture, "hard link");
  assert_int_equal(unlink(copy), 0);
  assert_int_equal(symlink(elsewhere, copy), 0);
  expect_refused(fixture, "it is a link");
  assert_int_equal(unlink(copy), 0);
  assert_int_equal(mkfifo(copy, 0600), 0);
  expect_refused(fixture, "not a regular file");
  assert_int_equal(rename(elsewhere, copy), 0);
  expect_believed(fixture);
  assert_int_equal(rename(copies, elsewhere), 0);
  assert_int_equal(symlink(elsewhere, copies), 0);
  expect_refused(fixture, "is a link");
}

static void a_copy_of_another_user_is_not_run_and_replaced_by_our_own(void **state) {
  struct fixture *fixture = *state;
  struct stat found;
  if (geteuid() != 0)
    skip();
  break_after_storing(fixture);
  assert_int_equal(chown(in(fixture, "state/last-good"), 1, 1), 0);
  expect_refused(fixture, "belongs to");
  assert_int_equal(chown(in(fixture, "state/last-good"), 0, 0), 0);
  assert_int_equal(chown(in(fixture, COPY), 1, 1), 0);
  expect_refused(fixture, "belongs to");
  /* It has the very bytes that are to be kept; they are nobody else's to change afterwards. */
  set_mode(fixture, COPY, 0666);
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  restart(fixture);
  assert_int_equal(load_and_commit(fixture), 0);
  store(fixture);
  assert_int_equal(stat(in(fixture, COPY), &found), 0);
  assert_int_equal(found.st_uid, 0);
  assert_int_equal(found.st_mode & 0777, 0600);
  write_file(fixture, "routes/a.lua", "return {");
  expect_believed(fixture);
}

static void nothing_is_kept_where_others_may_write(void **state) {
  struct fixture *fixture = *state;
  struct error error;
  break_after_storing(fixture);
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  set_mode(fixture, "state/last-good", 0777);
  assert_int_equal(loader_store_last_good(fixture->loader, fixture->config.state, 0, &error), -EPERM);
  assert_contains(error.message, "the directory last-good may be written by others");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_broken_file_starts_as_it_was_and_its_fault_is_told),
      TEST(a_copy_has_the_modules_that_were_required),
      TEST(a_copy_that_fails_as_well_is_told_with_it),
      TEST(a_damaged_copy_is_said_to_be),
      TEST(a_copy_of_another_directory_is_not_ours),
      TEST(copies_are_written_when_something_changed_and_removed_with_their_file),
      TEST(a_broken_file_never_replaces_its_copy),
      TEST(a_file_that_is_excluded_at_start_does_not_stand_in_for_itself),
      TEST(copies_that_share_a_name_give_way_to_each_other),
      TEST(a_state_directory_that_cant_be_written_is_an_error),
      TEST(many_copies_are_stored_a_part_at_a_time),
      TEST(checking_takes_no_notice_of_copies),
      TEST(a_copy_that_others_may_have_written_is_not_run),
      TEST(a_copy_that_is_a_link_is_not_run),
      TEST(a_copy_of_another_user_is_not_run_and_replaced_by_our_own),
      TEST(nothing_is_kept_where_others_may_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
