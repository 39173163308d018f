/* SPDX-License-Identifier: MIT
 *
 * Loading again: what has not changed is the same, what has is loaded, what fails keeps what is live; and nothing piles
 * up. */
#include "../support/load_fixture.h"

#include <malloc.h>
#include <sys/resource.h>

static void an_unchanged_file_is_the_same_and_is_not_run(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "local count = 0 return { " PLAIN("plain", "1") "," HANDLER("fn", "2", "count = count + 1 return count") "}");
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *plain = route_of(fixture, "a.lua", "plain"), *function = route_of(fixture, "a.lua", "fn");
  struct script_version *version = file_of(fixture, "a.lua")->version;
  assert_false(file_of(fixture, "a.lua")->same);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 1);
  assert_int_equal(file_of(fixture, "a.lua")->function_count, 1);
  assert_ptr_equal(function->script, version);
  assert_null(plain->script);
  assert_int_equal(call(function), 1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(load_and_commit(fixture), 0);
    assert_true(file_of(fixture, "a.lua")->same);
    assert_ptr_equal(route_of(fixture, "a.lua", "plain"), plain);
    assert_ptr_equal(route_of(fixture, "a.lua", "fn"), function);
    assert_ptr_equal(file_of(fixture, "a.lua")->version, version);
    assert_int_equal(file_of(fixture, "a.lua")->version_number, 1);
  }
  assert_int_equal(call(function), 2);
  assert_int_equal(fixture->numbers, 2);
}

static void in_a_changed_file_a_plain_route_keeps_its_record_when_it_says_the_same(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua",
             "return { " PLAIN("same", "1") "," PLAIN("other", "2") "," HANDLER("fn", "3", "") "}");
  write_file(fixture, "routes/b.lua", "return " HANDLER("untouched", "4", ""));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *same = route_of(fixture, "a.lua", "same"), *other = route_of(fixture, "a.lua", "other"),
               *function = route_of(fixture, "a.lua", "fn"), *untouched = route_of(fixture, "b.lua", "untouched");
  write_file(fixture, "routes/a.lua",
             "\n-- more\nreturn { " HANDLER("fn", "3", "") "," PLAIN("other", "22") "," PLAIN("same", "1") "}");
  assert_int_equal(load(fixture), 0);
  assert_ptr_equal(route_of(fixture, "a.lua", "same"), same);
  assert_ptr_not_equal(route_of(fixture, "a.lua", "other"), other);
  assert_ptr_not_equal(route_of(fixture, "a.lua", "fn"), function);
  assert_ptr_equal(route_of(fixture, "b.lua", "untouched"), untouched);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 2);
  assert_int_equal(file_of(fixture, "a.lua")->version->number, 2);
  assert_true(file_of(fixture, "b.lua")->same);
  assert_int_equal(fixture->numbers, 6);
}

static void what_the_config_says_to_files_makes_their_routes_again(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { " PLAIN("a", "1") "," HANDLER("fn", "2", "") "}");
  assert_int_equal(load_and_commit(fixture), 0);
  struct script_version *version = file_of(fixture, "a.lua")->version;
  read_config(fixture, "log = { level = 'debug' }");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_true(file_of(fixture, "a.lua")->same);
  read_config(fixture, "timeouts = { idle = '7s' }");
  uint64_t lineage = route_of(fixture, "a.lua", "fn")->lineage;
  assert_int_equal(load(fixture), 0);
  assert_true(file_of(fixture, "a.lua")->inherits);
  assert_ptr_equal(file_of(fixture, "a.lua")->version, version);
  assert_ptr_equal(route_of(fixture, "a.lua", "fn")->script, version);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 1);
  assert_int_equal(route_of(fixture, "a.lua", "a")->timeouts.idle, 7000);
  assert_int_equal(route_of(fixture, "a.lua", "fn")->lineage, lineage);
  read_config(fixture, "limits = { script_time = '2s' }");
  assert_int_equal(load(fixture), 0);
  assert_false(file_of(fixture, "a.lua")->inherits);
  assert_ptr_not_equal(file_of(fixture, "a.lua")->version, version);
  read_config(fixture, "defaults = { timeouts = { idle = '8s' } }");
  assert_int_equal(load(fixture), 0);
  assert_int_equal(route_of(fixture, "a.lua", "a")->timeouts.idle, 8000);
}

static void a_broken_file_keeps_what_is_live_and_the_others_go_on(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  static const char *const broken[] = {"", "return {", "error('no')", "return { name = 'a' }", "\x1bLJ"};
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
    write_file(fixture, "routes/a.lua", broken[i]);
    write_file(fixture, "routes/b.lua", i % 2 ? "return " PLAIN("b", "2") : "return " PLAIN("b", "3"));
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    const struct loaded_file *file = file_of(fixture, "a.lua");
    assert_false(file->ok);
    assert_true(file->same);
    assert_false(file->fault_is_old);
    assert_int_equal(file->stands_in, FILE_LIVE);
    assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
    assert_true(fixture->loaded.faults.count > 0);
    assert_string_equal(fixture->loaded.faults.faults[0].file, file->path);
    assert_true(file_of(fixture, "b.lua")->ok);
    assert_int_equal(route_of(fixture, "b.lua", "b")->ports[0].from, i % 2 ? 2 : 3);
  }
  assert_int_equal(call(live), 1);
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 2"));
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 2);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 2);
}

static size_t count_lines(struct fixture *fixture, const char *name) {
  char text[256];
  size_t size = 0;
  int fd = open(in(fixture, name), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t count = read(fd, text, sizeof text);
    size = count > 0 ? (size_t)count : 0;
    close(fd);
  }
  return size;
}

static void what_failed_is_not_run_again_until_something_changes(void **state) {
  struct fixture *fixture = *state;
  char text[512];
  snprintf(text, sizeof text, "local f = io.open('%s/ran', 'a') f:write('x') f:close() error('no')",
           fixture->scratch.directory);
  write_file(fixture, "routes/a.lua", text);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_false(file_of(fixture, "a.lua")->fault_is_old);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    assert_contains(only_fault(&fixture->loaded.faults)->message, "no");
    assert_true(file_of(fixture, "a.lua")->fault_is_old);
  }
  assert_int_equal(count_lines(fixture, "ran"), 1);
  loader_read_anew(fixture->loader);
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(count_lines(fixture, "ran"), 2);
}

static void a_module_that_changes_loads_those_that_require_it(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "helper.lua", "return 1");
  assert_int_equal(mkdir(in(fixture, "lib"), 0700), 0);
  write_file(fixture, "lib/deep.lua", "return require('helper')");
  write_file(fixture, "routes/a.lua", "local n = require('lib.deep') return " HANDLER("a", "1", "return n"));
  write_file(fixture, "routes/b.lua", "return " HANDLER("b", "2", "return 7"));
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 1);
  struct script_version *b = file_of(fixture, "b.lua")->version;
  assert_int_equal(fixture->loaded.module_file_count, 2);
  assert_string_equal(fixture->loaded.module_files[0], in(fixture, "lib/deep.lua"));
  assert_string_equal(fixture->loaded.module_files[1], in(fixture, "helper.lua"));
  write_file(fixture, "helper.lua", "return 2");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_false(file_of(fixture, "a.lua")->same);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 2);
  assert_ptr_equal(file_of(fixture, "b.lua")->version, b);
  delete_file(fixture, "helper.lua");
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "module 'helper' not found");
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 2);
  write_file(fixture, "helper.lua", "return 3");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 3);
}

static void a_module_that_takes_anothers_place_counts_as_a_change(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(mkdir(in(fixture, "helper"), 0700), 0);
  write_file(fixture, "helper/init.lua", "return 1");
  write_file(fixture, "routes/a.lua", "local n = require('helper') return " HANDLER("a", "1", "return n"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "helper.lua", "return 2");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(call(route_of(fixture, "a.lua", "a")), 2);
}

static void every_worker_sees_the_same_module(void **state) {
  struct fixture *fixture = *state;
  char text[512];
  /* Each time it is read it changes what will be read next. */
  snprintf(text, sizeof text,
           "local f = io.open('%s/helper.lua', 'w') f:write('return { b = true }') f:close() return { a = true }",
           fixture->scratch.directory);
  write_file(fixture, "helper.lua", text);
  write_file(
      fixture, "routes/a.lua",
      "local h = require('helper') return { name = h.a and 'a' or 'b', match = { ports = 1 }, action = { handler "
      "= function() end } }");
  assert_int_equal(load(fixture), 0);
  assert_non_null(route_of(fixture, "a.lua", "a"));
}

static void a_file_that_is_gone_or_renamed_is_said_to_be(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  char from[256];
  snprintf(from, sizeof from, "%s", in(fixture, "routes/a.lua"));
  assert_int_equal(rename(from, in(fixture, "routes/c.lua")), 0);
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(fixture->loaded.gone_count, 1);
  assert_string_equal(fixture->loaded.gone[0], "a.lua");
  assert_non_null(route_of(fixture, "c.lua", "a"));
  delete_file(fixture, "routes/b.lua");
  assert_int_equal(load_and_commit(fixture), 0);
  assert_string_equal(fixture->loaded.gone[0], "b.lua");
  assert_int_equal(fixture->loaded.file_count, 1);
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(fixture->loaded.gone_count, 0);
}

static void names_move_between_files_in_one_load(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { " PLAIN("x", "1") "," PLAIN("y", "2") " }");
  write_file(fixture, "routes/b.lua", "return " PLAIN("z", "3"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "routes/a.lua", "return { " PLAIN("y", "2") "," PLAIN("z", "3") " }");
  write_file(fixture, "routes/b.lua", "return " PLAIN("x", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  assert_non_null(route_of(fixture, "a.lua", "z"));
  assert_non_null(route_of(fixture, "b.lua", "x"));
}

static void of_two_files_that_share_a_name_the_changed_one_is_at_fault(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  write_file(fixture, "routes/b.lua", "return\n" PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "routes/a.lua", "return\n\n" PLAIN("b", "5"));
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_contains(fault->file, "/a.lua");
  assert_int_equal(fault->line, 3);
  assert_string_equal(fault->field, "name");
  assert_contains(fault->message, "routes/b.lua:2");
  assert_non_null(route_of(fixture, "a.lua", "a"));
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LIVE);
  assert_true(file_of(fixture, "b.lua")->ok);
  /* It is looked at again when the other one has made room. */
  write_file(fixture, "routes/b.lua", "return " PLAIN("free", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  assert_non_null(route_of(fixture, "a.lua", "b"));
}

static void a_name_stays_with_the_file_that_has_it_live_when_both_change(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "routes/a.lua", "return " PLAIN("b", "1"));
  for (int port = 3; port < 6; port++) {
    char text[128];
    snprintf(text, sizeof text, "return " PLAIN("b", "%d"), port);
    write_file(fixture, "routes/b.lua", text);
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    assert_contains(only_fault(&fixture->loaded.faults)->file, "/a.lua");
    assert_non_null(route_of(fixture, "a.lua", "a"));
    assert_int_equal(route_of(fixture, "b.lua", "b")->ports[0].from, port);
  }
}

static void a_file_that_falls_back_takes_its_names_back(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("x", "1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("y", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  /* b takes x over from a, but a's new version fails: then x is still a's. */
  write_file(fixture, "routes/a.lua", "return {");
  write_file(fixture, "routes/b.lua", "return " PLAIN("x", "2"));
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_int_equal(fixture->loaded.faults.count, 2);
  assert_non_null(route_of(fixture, "a.lua", "x"));
  assert_non_null(route_of(fixture, "b.lua", "y"));
}

static void an_excluded_file_keeps_what_is_live_until_the_next_commit(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "routes/a.lua", "return\n" PLAIN("a", "80"));
  assert_int_equal(load(fixture), 0);
  assert_int_equal(loader_exclude_file(fixture->loader, "a.lua", "a", "match.ports", "port 80 is taken", false), 0);
  assert_int_equal(load(fixture), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_string_equal(fault->message, "port 80 is taken");
  assert_string_equal(fault->route, "a");
  assert_int_equal(fault->line, 2);
  assert_int_equal(route_of(fixture, "a.lua", "a")->ports[0].from, 1);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_LIVE);
  assert_int_equal(loader_exclude_file(fixture->loader, "a.lua", "a", "match.ports", "port 80 is taken", false), 0);
  assert_int_equal(load(fixture), -EINVAL);
  assert_int_equal(file_of(fixture, "a.lua")->stands_in, FILE_NOTHING);
  assert_int_equal(loader_commit(fixture->loader, &fixture->loaded), 0);
  assert_int_equal(load_and_commit(fixture), 0);
  assert_int_equal(route_of(fixture, "a.lua", "a")->ports[0].from, 80);
}

static void a_directory_that_is_away_leaves_all_as_it_is(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  char from[256];
  snprintf(from, sizeof from, "%s", in(fixture, "routes"));
  assert_int_equal(rename(from, in(fixture, "away")), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    assert_contains(only_fault(&fixture->loaded.faults)->message, "does not exist");
    assert_int_equal(fixture->loaded.gone_count, 0);
    assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
  }
  assert_int_equal(mkdir(in(fixture, "routes"), 0700), 0);
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  assert_int_equal(load_and_commit(fixture), 0);
  assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
}

static void what_is_no_readable_file_is_a_fault_and_is_not_waited_for(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  for (int i = 0; i < 4; i++) {
    static const char *const messages[] = {"links to nowhere: there is no nowhere", "it is a directory",
                                           "it is not a regular file", "larger than 8 MiB"};
    delete_file(fixture, "routes/a.lua");
    const char *path = in(fixture, "routes/a.lua");
    if (i == 3)
      write_file(fixture, "routes/a.lua", "");
    int status = i == 0   ? symlink("nowhere", path)
                 : i == 1 ? mkdir(path, 0700)
                 : i == 2 ? mkfifo(path, 0600)
                          : truncate(path, 10 * 1024 * 1024);
    assert_int_equal(status, 0);
    assert_int_equal(load_and_commit(fixture), -EINVAL);
    assert_contains(only_fault(&fixture->loaded.faults)->message, messages[i]);
    assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
  }
}

static void without_descriptors_all_stays_and_the_next_load_works(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "helper.lua", "return 1");
  write_file(fixture, "routes/a.lua", "local n = require('helper') return " HANDLER("a", "1", "return n"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  int before = count_open_files();
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "3"));
  struct rlimit old, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  /* None at all; then one, which is enough for the files in turn. */
  for (rlim_t room = 0; room < 2; room++) {
    int free_fd = dup(0);
    close(free_fd);
    none = (struct rlimit){(rlim_t)free_fd + room, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = load(fixture);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(loader_commit(fixture->loader, &fixture->loaded), 0);
    assert_int_equal(status, room ? 0 : -EINVAL);
    if (room == 0)
      assert_contains(only_fault(&fixture->loaded.faults)->message, "Too many open files");
    assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
    assert_int_equal(route_of(fixture, "b.lua", "b")->ports[0].from, room ? 3 : 2);
  }
  assert_int_equal(count_open_files(), before);
}

static void a_file_that_takes_time_or_memory_keeps_what_is_live(void **state) {
  struct fixture *fixture = *state;
  read_config(fixture, "limits = { script_time = '50ms', script_memory = '8m' }");
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  write_file(fixture, "routes/a.lua", "while true do end");
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "script_time");
  read_config(fixture, "limits = { script_time = '1m', script_memory = '8m' }");
  write_file(fixture, "routes/a.lua", "local t = {} for i = 1, 1e9 do t[i] = 'x' .. i end");
  assert_int_equal(load_and_commit(fixture), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "script_memory");
  assert_non_null(route_of(fixture, "a.lua", "a"));
}

static int check_candidate(struct fixture *fixture, const char *name, const char *text, struct fault_list *faults) {
  fault_list_clear(faults);
  return loader_check_candidate(fixture->loader, &fixture->config, name, text, strlen(text), faults, NULL);
}

static void a_candidate_is_judged_beside_what_is_live_and_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  struct fault_list faults = {0};
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  write_file(fixture, "routes/b.lua", "return " PLAIN("b", "2"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  assert_int_equal(check_candidate(fixture, "a.lua", "return " PLAIN("a", "9"), &faults), 0);
  assert_int_equal(check_candidate(fixture, "new.lua", "return " PLAIN("new", "9"), &faults), 0);
  assert_int_equal(check_candidate(fixture, "new.lua", "return " PLAIN("b", "9"), &faults), -EINVAL);
  assert_contains(only_fault(&faults)->message, "routes/b.lua");
  assert_int_equal(check_candidate(fixture, "new.lua", "return {\n", &faults), -EINVAL);
  assert_contains(only_fault(&faults)->file, "routes/new.lua");
  assert_int_equal(check_candidate(fixture, "new.lua", "", &faults), -EINVAL);
  static const char *const names[] = {"x", ".lua", ".x.lua", "../x.lua", "a/b.lua", "x.lua~", "a b.lua", ""};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    assert_int_equal(check_candidate(fixture, names[i], "return " PLAIN("n", "9"), &faults), -EINVAL);
    assert_contains(only_fault(&faults)->message, "no name of a route file");
  }
  fault_list_clear(&faults);
  assert_int_equal(load_and_commit(fixture), 0);
  assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
  assert_int_equal(fixture->loaded.file_count, 2);
}

static void what_was_made_of_a_candidate_goes_live_and_is_not_made_again(void **state) {
  struct fixture *fixture = *state;
  struct fault_list faults = {0};
  struct route_table *table = NULL;
  const char *text = "return { " PLAIN("same", "1") "," HANDLER("fn", "2", "return 1") "}";
  write_file(fixture, "routes/a.lua", "return " PLAIN("same", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "same");
  assert_int_equal(
      loader_check_candidate(fixture->loader, &fixture->config, "a.lua", text, strlen(text), &faults, &table), 0);
  assert_int_equal(loader_find_candidate_line(fixture->loader, "a.lua", "fn", "match.ports"), 1);
  struct route *function = table->routes[1];
  write_file(fixture, "routes/a.lua", text);
  assert_int_equal(load_and_commit(fixture), 0);
  assert_ptr_equal(route_of(fixture, "a.lua", "fn"), function);
  assert_ptr_equal(route_of(fixture, "a.lua", "same"), live);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 2);
  assert_int_equal(file_of(fixture, "a.lua")->version->number, 2);
  route_table_unref(table);
}

static void of_candidates_one_is_kept(void **state) {
  struct fixture *fixture = *state;
  struct fault_list faults = {0};
  write_file(fixture, "routes/a.lua", "return " PLAIN("a", "1"));
  assert_int_equal(load_and_commit(fixture), 0);
  for (int i = 0; i < 20; i++) {
    char name[32];
    snprintf(name, sizeof name, "new-%d.lua", i);
    assert_int_equal(check_candidate(fixture, name, "return " HANDLER("n", "9", ""), &faults), 0);
    assert_int_equal(fixture->loader->memory.count, 2);
  }
}

static void a_load_that_is_not_committed_leaves_no_trace(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  assert_int_equal(load_and_commit(fixture), 0);
  struct route *live = route_of(fixture, "a.lua", "a");
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 2"));
  assert_int_equal(load(fixture), 0);
  assert_ptr_not_equal(route_of(fixture, "a.lua", "a"), live);
  write_file(fixture, "routes/a.lua", "return " HANDLER("a", "1", "return 1"));
  assert_int_equal(load(fixture), 0);
  assert_ptr_equal(route_of(fixture, "a.lua", "a"), live);
}

/* Of the trusted state; and of everything but Lua. */
static size_t lua_memory(const struct fixture *fixture) { return fixture->loader->trusted->memory_used; }

static size_t c_memory(void) { return mallinfo2().uordblks; }

static void a_thousand_loads_leave_memory_and_descriptors_flat(void **state) {
  struct fixture *fixture = *state;
  size_t memory = 0, blocks = 0;
  int descriptors = 0;
  write_file(fixture, "routes/b.lua", "return " HANDLER("b", "9", ""));
  for (int i = 0; i < 1000; i++) {
    char text[256];
    snprintf(text, sizeof text, i % 5 == 4 ? "return { -- %d" : "return " HANDLER("a", "%d", ""), i + 100);
    write_file(fixture, "routes/a.lua", text);
    assert_int_equal(load_and_commit(fixture), i % 5 == 4 ? -EINVAL : 0);
    if (i % 100 == 0)
      store(fixture);
    if (i == 399) { /* what is compiled for speed has been by now */
      memory = lua_memory(fixture);
      blocks = c_memory();
      descriptors = count_open_files();
    }
  }
  assert_int_equal(count_open_files(), descriptors);
  assert_in_range(lua_memory(fixture), 0, memory + 320 * 1024); /* garbage is collected now and then */
  assert_in_range(c_memory(), 0, blocks + 16384);
  assert_int_equal(file_of(fixture, "a.lua")->version_number, 800);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_unchanged_file_is_the_same_and_is_not_run),
      TEST(in_a_changed_file_a_plain_route_keeps_its_record_when_it_says_the_same),
      TEST(what_the_config_says_to_files_makes_their_routes_again),
      TEST(a_broken_file_keeps_what_is_live_and_the_others_go_on),
      TEST(what_failed_is_not_run_again_until_something_changes),
      TEST(a_module_that_changes_loads_those_that_require_it),
      TEST(a_module_that_takes_anothers_place_counts_as_a_change),
      TEST(every_worker_sees_the_same_module),
      TEST(a_file_that_is_gone_or_renamed_is_said_to_be),
      TEST(names_move_between_files_in_one_load),
      TEST(of_two_files_that_share_a_name_the_changed_one_is_at_fault),
      TEST(a_name_stays_with_the_file_that_has_it_live_when_both_change),
      TEST(a_file_that_falls_back_takes_its_names_back),
      TEST(an_excluded_file_keeps_what_is_live_until_the_next_commit),
      TEST(a_directory_that_is_away_leaves_all_as_it_is),
      TEST(what_is_no_readable_file_is_a_fault_and_is_not_waited_for),
      TEST(without_descriptors_all_stays_and_the_next_load_works),
      TEST(a_file_that_takes_time_or_memory_keeps_what_is_live),
      TEST(a_candidate_is_judged_beside_what_is_live_and_changes_nothing),
      TEST(what_was_made_of_a_candidate_goes_live_and_is_not_made_again),
      TEST(of_candidates_one_is_kept),
      TEST(a_load_that_is_not_committed_leaves_no_trace),
      TEST(a_thousand_loads_leave_memory_and_descriptors_flat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
