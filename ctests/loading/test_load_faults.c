/* SPDX-License-Identifier: MIT
 *
 * Loading real files from a directory: what is said of each kind of bad one. */
#include "directory_fixture.h"

static void a_file_that_differs_each_time_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  char text[512];
  snprintf(text, sizeof text,
           "local name = io.open('%s/marker', 'r') and 'b' or 'a'\n"
           "io.open('%s/marker', 'w'):close()\n"
           "return { name = name, match = { ports = 1 }, action = { handler = function() end } }",
           fixture->scratch.directory, fixture->scratch.directory);
  write_file(fixture, "routes/bad.lua", text);
  assert_int_equal(load(fixture, 2), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_string_equal(fault->route, "a");
  assert_string_equal(fault->field, "action.handler");
  assert_contains(fault->message, "behaves differently each time");
  assert_null(fixture->loaded.files[0].version);
}

static void syntax_and_runtime_errors_name_their_line(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault = bad_file(fixture, "return {\n  name = 'x'\n  match = {}\n}", "", "near 'match'");
  assert_int_equal(fault->line, 3);
  fault = bad_file(fixture, "local t\n\nlocal x = t.y\nreturn {}", "", "attempt to index local 't'");
  assert_int_equal(fault->line, 3);
  assert_null(strstr(fault->message, "traceback"));
  fault = bad_file(fixture, "\nerror('no database')", "", "no database");
  assert_int_equal(fault->line, 2);
  assert_string_equal(fault->message, "no database");
  fault = bad_file(fixture, "error({})", "", "");
  assert_true(fault->message[0] != '\0');
  write_file(fixture, "helper.lua", "local helper = {}\nfunction helper.fail() error('deep') end\nreturn helper");
  fault = bad_file(fixture, "local h = require('helper')\n\nh.fail()", "", "helper.lua:2: deep");
  assert_int_equal(fault->line, 3);
}

static void a_file_that_loops_is_stopped_where_it_loops(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { limits = { script_time = '50ms' } }"), 0);
  const struct fault *fault = bad_file(fixture, "local x = 0\nwhile true do\n  x = x + 1\nend", "", "script_time");
  assert_in_range(fault->line, 2, 3);
}

static void a_file_that_takes_all_memory_is_stopped(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { limits = { script_memory = '4m' } }"), 0);
  bad_file(fixture, "local t = {}\nfor i = 1, 1e9 do t[i] = 'x' .. i end", "", "script_memory");
}

static void wrong_return_values_are_faults(void **state) {
  struct fixture *fixture = *state;
  bad_file(fixture, "", "", "got nothing (it ends with: return { … })");
  bad_file(fixture, "return 7", "", "got 7");
  bad_file(fixture, "return function() end", "", "got a function");
  bad_file(fixture, "return { 'x' }", "", "expected a route (a table), got \"x\"");
  bad_file(fixture, "return { { match = { ports = 1 }, action = { target = 'a:1' } }, name = 'x' }", "", "but both");
  bad_file(fixture, "local t = { match = { ports = 1 }, action = { target = 'a:1' } } t.match.when = t return t",
           "match.when", "refers to itself");
  bad_file(fixture, "local t = {} for i = 1, 29 do t = { x = t } end return { { { { t } } } }",
           "[1][1][1][1].x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x", "levels deep");
  bad_file(fixture, "return { [{}] = 1, name = 'x' }", "", "has a key that is neither a string nor a number");
}

static void no_metamethod_of_the_users_is_called(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua",
             "local function never() error('called') end\n"
             "return setmetatable({ match = { ports = 1 }, action = setmetatable({ target = 'a:1' }, { __index = "
             "never, __pairs = "
             "never, __len = never }) }, { __index = never, __eq = never, __tostring = never })");
  assert_int_equal(load(fixture, 2), 0);
  assert_int_equal(fixture->loaded.files[0].route_count, 1);
}

static void faults_name_route_and_field_and_all_are_collected(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/bad.lua",
             "return { { name = 'a', match = { port = 1 }, action = { target = '127.0.0.1' } },\n"
             "  { name = 'b', match = { ports = 70000, address = '1.2.3.400' }, action = { hadler = 1 } } }");
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault_list *faults = &fixture->loaded.faults;
  static const char *const expected[][3] = {
      {"a", "action.target", "expected \"host:port\", got \"127.0.0.1\" (add \":80\")"},
      {"a", "match.port", "did you mean \"ports\"?"},
      {"b", "action.hadler", "did you mean \"handler\"?"},
      {"b", "action.hadler", "expected a function, got 1"},
      {"b", "match.address", "got \"1.2.3.400\""},
      {"b", "match.ports", "70000"},
  };
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    bool found = false;
    for (size_t k = 0; k < faults->count && !found; k++)
      found = strcmp(faults->faults[k].route, expected[i][0]) == 0 &&
              strcmp(faults->faults[k].field, expected[i][1]) == 0 && strstr(faults->faults[k].message, expected[i][2]);
    if (!found) {
      print_faults(faults);
      fail_msg("no fault: %s: %s", expected[i][1], expected[i][2]);
    }
  }
  assert_int_equal(faults->count, sizeof expected / sizeof expected[0]);
}

static void an_address_that_is_none_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault =
      bad_file(fixture, "return {\n match = { ports = 1,\n  address = '1.2.3.400' }, action = { target = 'a:1' } }",
               "match.address", "1.2.3.400");
  assert_int_equal(fault->line, 3);
}

static void an_address_of_clients_that_is_none_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault =
      bad_file(fixture, "return { match = { ports = 1,\n client_ip = '10.0.0.0/33' }, action = { target = 'a:1' } }",
               "match.client_ip", "10.0.0.0/33");
  assert_int_equal(fault->line, 2);
}

static void a_name_that_stands_twice_names_both_places(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { name = 'x', match = { ports = 1 }, action = { target = 'a:1' } }");
  write_file(fixture, "routes/b.lua",
             "return { { name = 'y', match = { ports = 1 }, action = { target = 'a:1' } },\n"
             " { name = 'x', match = { ports = 1 }, action = { target = 'a:1' } } }");
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_contains(fault->file, "b.lua");
  assert_string_equal(fault->field, "name");
  assert_contains(fault->message, "routes/a.lua");
  assert_true(fixture->loaded.files[0].ok);
  assert_false(fixture->loaded.files[1].ok);
  assert_int_equal(fixture->loaded.files[0].route_count, 1);
}

static void files_that_cant_be_read_are_faults(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(mkdir(in(fixture, "routes/bad.lua"), 0700), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "not a regular file");
  rmdir(in(fixture, "routes/bad.lua"));
  assert_int_equal(symlink("nowhere", in(fixture, "routes/bad.lua")), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "links to nowhere: there is no nowhere");
  unlink(in(fixture, "routes/bad.lua"));
  write_file(fixture, "routes/bad.lua", "");
  assert_int_equal(truncate(in(fixture, "routes/bad.lua"), 8 * 1024 * 1024 + 1), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "larger than 8 MiB");
  scratch_write_bytes(&fixture->scratch, "routes/bad.lua", "\x1bLJ\x02", 4);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "bytecode");
}

static void a_missing_directory_says_what_to_do_and_an_empty_one_warns(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(load(fixture, 1), 0);
  assert_int_equal(fixture->loaded.faults.count, 0);
  assert_contains(only_fault(&fixture->loaded.warnings)->message, "nothing is served");
  assert_int_equal(rmdir(fixture->routes), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "--routes");
}

static void a_fault_reads_from_its_place_to_its_message(void **state) {
  (void)state;
  struct fault fault = {.file = "routes/a.lua", .line = 3, .route = "api", .field = "match.ports", .message = "bad"};
  char text[128];
  fault_format(&fault, text, sizeof text);
  assert_string_equal(text, "routes/a.lua:3: route \"api\": match.ports: bad");
  fault.line = 0;
  fault.route = fault.field = "";
  fault_format(&fault, text, sizeof text);
  assert_string_equal(text, "routes/a.lua: bad");
  fault_format(&fault, text, 9);
  assert_string_equal(text, "routes/a");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_file_that_differs_each_time_is_a_fault),
      TEST(syntax_and_runtime_errors_name_their_line),
      TEST(a_file_that_loops_is_stopped_where_it_loops),
      TEST(a_file_that_takes_all_memory_is_stopped),
      TEST(wrong_return_values_are_faults),
      TEST(no_metamethod_of_the_users_is_called),
      TEST(faults_name_route_and_field_and_all_are_collected),
      TEST(an_address_that_is_none_is_a_fault),
      TEST(an_address_of_clients_that_is_none_is_a_fault),
      TEST(a_name_that_stands_twice_names_both_places),
      TEST(files_that_cant_be_read_are_faults),
      TEST(a_missing_directory_says_what_to_do_and_an_empty_one_warns),
      cmocka_unit_test(a_fault_reads_from_its_place_to_its_message),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
