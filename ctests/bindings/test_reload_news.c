/* SPDX-License-Identifier: MIT
 *
 * moongate.on_reload in states of real route files on a real worker: who is told what, and what becomes of the calls.
 */
#include "../support/serving_fixture.h"

#include <errno.h>
#include <lua.h>

struct fixture {
  struct serving serving;
  int log_pipe[2];
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  assert_int_equal(0, pipe2(fixture->log_pipe, O_CLOEXEC | O_NONBLOCK));
  serving_init(&fixture->serving, fixture->log_pipe[1]);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  serving_deinit(&fixture->serving);
  close(fixture->log_pipe[0]);
  close(fixture->log_pipe[1]);
  free(fixture);
  return 0;
}

/* A file that begins with `code`, and has one route with a function. */
#define FILE_OF(code) code "\nreturn { match = { ports = 0 }, action = { handler = function() end } }"

static void announce(struct fixture *fixture, uint64_t generation) {
  static const char *const changed[] = {"a.lua", "b.lua"}, *const removed[] = {"c.lua"};
  const struct reload_news news = {
      .generation = generation, .changed = changed, .changed_count = 2, .removed = removed, .removed_count = 1};
  script_worker_announce(&fixture->serving.worker, &news);
  loop_round(&fixture->serving.worker.loop, false);
}

/* The global `seen` of the file. */
static void expect_seen(const struct script_state *state, const char *expected) {
  lua_getglobal(state->L, "seen");
  const char *seen = lua_tostring(state->L, -1);
  assert_string_equal(expected, seen != NULL ? seen : "nothing");
  lua_pop(state->L, 1);
}

/* What was logged since the last time. */
static const char *read_log(const struct fixture *fixture, char text[8192]) {
  ssize_t size = read(fixture->log_pipe[0], text, 8191);
  text[size > 0 ? size : 0] = '\0';
  return text;
}

static void each_function_is_told_what_has_changed(void **state) {
  struct fixture *fixture = *state;
  struct script_state *script = serving_start(
      &fixture->serving, FILE_OF("local function tell(news) seen = (seen or '') .. news.generation .. ' ' .. "
                                 "table.concat(news.changed, ',') .. ' ' .. table.concat(news.removed, ',') .. ';' "
                                 "news.generation = 0 end moongate.on_reload(tell) moongate.on_reload(tell)"));
  expect_seen(script, "nothing");
  announce(fixture, 7);
  expect_seen(script, "7 a.lua,b.lua c.lua;7 a.lua,b.lua c.lua;");
}

static void one_that_fails_is_logged_and_keeps_no_other_from_being_called(void **state) {
  struct fixture *fixture = *state;
  char text[8192];
  struct script_state *script =
      serving_start(&fixture->serving, FILE_OF("moongate.on_reload(function() error('no good') end)\n"
                                               "moongate.on_reload(function() while true do end end)\n"
                                               "moongate.on_reload(function() seen = 'told' end)"));
  announce(fixture, 2);
  loop_round(&fixture->serving.worker.loop, false); /* the one before was late */
  expect_seen(script, "told");
  read_log(fixture, text);
  assert_non_null(strstr(text, "moongate.on_reload failed"));
  assert_non_null(strstr(text, "file=a.lua"));
  assert_non_null(strstr(text, "no good"));
  assert_non_null(strstr(text, "script_time"));
}

static void it_may_be_registered_later_and_may_wait_and_spawn(void **state) {
  struct fixture *fixture = *state;
  struct script_state *script = serving_start(
      &fixture->serving, FILE_OF("moongate.on_reload(function() moongate.on_reload(function() seen = 'late' end)\n"
                                 "moongate.spawn(function() moongate.sleep(0.001) spawned = true end)\n"
                                 "moongate.sleep(0.001) seen = 'waited' end)"));
  announce(fixture, 2);
  for (bool over = false; !over;) {
    loop_round(&fixture->serving.worker.loop, true);
    lua_getglobal(script->L, "seen");
    lua_getglobal(script->L, "spawned");
    over = lua_toboolean(script->L, -1) && lua_toboolean(script->L, -2);
    lua_pop(script->L, 2);
  }
  expect_seen(script, "waited");
  announce(fixture, 3);
  expect_seen(script, "late");
}

static void what_waits_ends_when_the_version_is_replaced(void **state) {
  struct fixture *fixture = *state;
  struct error error = {0};
  serving_start(
      &fixture->serving,
      FILE_OF("moongate.on_reload(function() moongate.spawn(moongate.sleep, 3600) moongate.sleep(3600) end)"));
  announce(fixture, 2);
  struct script_version *version = script_version_ref(fixture->serving.loaded.files[0].version);
  struct route_table *empty = route_table_new(NULL, 0, NULL, 0, NULL, &error);
  assert_non_null(empty);
  assert_int_equal(0, worker_set_table(&fixture->serving.worker, empty, NULL, &error));
  route_table_unref(empty);
  loop_round(&fixture->serving.worker.loop, false);
  assert_int_equal(0, atomic_load(&version->living));
  announce(fixture, 3); /* to nobody */
  script_version_unref(version);
}

static void calls_that_never_return_do_not_pile_up_without_end(void **state) {
  struct fixture *fixture = *state;
  char text[8192];
  struct script_state *script = serving_start(
      &fixture->serving, FILE_OF("for i = 1, 100 do moongate.on_reload(function() moongate.sleep(3600) end) end"));
  for (uint64_t i = 1; i <= 10; i++)
    announce(fixture, i);
  assert_string_equal("", read_log(fixture, text));
  announce(fixture, 11);
  assert_non_null(strstr(read_log(fixture, text), "too many calls"));
  size_t count = 0;
  for (const struct script_task *task = script->tasks; task != NULL; task = task->next)
    count++;
  assert_int_equal(1000, count);
}

static void more_than_a_hundred_are_refused(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(-EINVAL,
                   serving_load(&fixture->serving, FILE_OF("for i = 1, 101 do moongate.on_reload(print) end")));
  assert_non_null(strstr(fixture->serving.loaded.faults.faults[0].message, "100 functions already"));
}

static void only_a_function_is_taken(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(-EINVAL, serving_load(&fixture->serving, FILE_OF("moongate.on_reload('tell me')")));
  assert_non_null(strstr(fixture->serving.loaded.faults.faults[0].message, "function expected"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(each_function_is_told_what_has_changed),
      TEST(one_that_fails_is_logged_and_keeps_no_other_from_being_called),
      TEST(it_may_be_registered_later_and_may_wait_and_spawn),
      TEST(what_waits_ends_when_the_version_is_replaced),
      TEST(calls_that_never_return_do_not_pile_up_without_end),
      TEST(more_than_a_hundred_are_refused),
      TEST(only_a_function_is_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
