/* SPDX-License-Identifier: MIT
 *
 * script/scheduler.h: waiting, being resumed, being cancelled, coroutines within tasks. */
#include "../support/script_fixture.h"

static const uint64_t SECOND = 1000000000;

static int set_up(void **context) { return fixture_new(context, 1000, 64 * 1024 * 1024); }

static void a_task_that_need_not_wait_ends_at_once(void **context) {
  struct outcome outcome;
  fixture_start(*context, "return 'first', 'second'", &outcome, NULL);
  assert_true(outcome.over);
  assert_int_equal(TASK_RETURNED, outcome.end);
  assert_string_equal("first", outcome.text);
}

static void an_error_comes_with_its_traceback(void **context) {
  struct outcome outcome;
  fixture_start(*context, "local function f()\n  error('bad')\nend\nf()\n", &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  assert_non_null(strstr(outcome.text, "test.lua:2: bad\nstack traceback:"));
  assert_non_null(strstr(outcome.text, "test.lua:4: in main chunk"));
}

static void errors_that_are_no_strings_are_told(void **context) {
  struct outcome outcome;
  fixture_start(*context, "error({})", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "(the error is an empty table)"));
  fixture_start(*context, "error({ message = 'told', code = 4 })", &outcome, NULL);
  assert_int_equal(0, strncmp(outcome.text, "told\n", 5));
  fixture_start(*context, "error({ 7, code = 4 })", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "{ 7, code = 4 }"));
  fixture_start(*context, "error({ why = ('x'):rep(9999), deep = {}, ('y'):rep(9999), 1, 2, 3 })", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "yyy"));
  fixture_start(*context, "error(setmetatable({}, { __tostring = function() return 'mine' end }))", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "mine"));
  fixture_start(*context, "error(setmetatable({}, { __tostring = function() error('not that') end }))", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "(the error's own __tostring raised an error)\nstack traceback:"));
  fixture_start(*context, "error()", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "(the error is a nil value)"));
}

static void sleeping_waits_on_the_clock_that_a_spec_moves(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(fixture, "moongate.sleep('1h') return 'awake'", &outcome, NULL);
  loop_round(&fixture->loop, false);
  assert_false(outcome.over);
  clock_advance(&fixture->clock, 3599 * SECOND);
  loop_round(&fixture->loop, false);
  assert_false(outcome.over);
  clock_advance(&fixture->clock, 2 * SECOND);
  loop_round(&fixture->loop, false);
  assert_true(outcome.over);
  assert_string_equal("awake", outcome.text);
}

static void a_cancelled_task_never_runs_again(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  struct script_task *task =
      fixture_start(fixture, "pcall(function() moongate.sleep(1) end) ran = true", &outcome, NULL);
  task_cancel(task, false);
  assert_true(outcome.over);
  assert_int_equal(TASK_CANCELLED, outcome.end);
  clock_advance(&fixture->clock, 5 * SECOND);
  loop_round(&fixture->loop, false);
  fixture_expect(fixture, "return tostring(ran)", "nil");
}

static void a_quiet_cancel_tells_nobody(void **context) {
  struct outcome outcome;
  struct script_task *task = fixture_start(*context, "moongate.sleep(1)", &outcome, NULL);
  task_cancel(task, true);
  loop_round(&((struct fixture *)*context)->loop, false);
  assert_false(outcome.over);
}

static void a_state_goes_with_its_last_task(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(fixture, "moongate.sleep(1) return 'ended'", &outcome, NULL);
  script_state_unref(fixture->state);
  fixture->state = NULL;
  clock_advance(&fixture->clock, 2 * SECOND);
  fixture_wait(fixture, &outcome);
  assert_string_equal("ended", outcome.text);
  loop_round(&fixture->loop, false);
  assert_true(list_is_empty(&fixture->place.states));
}

static void a_place_that_goes_takes_waiting_tasks_along(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(fixture, "moongate.sleep(1)", &outcome, NULL);
  script_state_unref(fixture->state);
  fixture->state = NULL;
  script_place_deinit(&fixture->place);
  assert_false(outcome.over);
}

static void coroutines_of_a_task_may_wait(void **context) {
  fixture_expect(*context,
                 "local seen = {}\n"
                 "local co = coroutine.wrap(function(a)\n"
                 "  moongate.sleep(0.001) seen[#seen + 1] = a\n"
                 "  local b = coroutine.yield('one') moongate.sleep(0.001) seen[#seen + 1] = b\n"
                 "  return coroutine.wrap(function() moongate.sleep(0.001) return 'three' end)()\n"
                 "end)\n"
                 "local one = co('zero') seen[#seen + 1] = one local three = co('two') seen[#seen + 1] = three\n"
                 "return table.concat(seen, ' ')",
                 "zero one two three");
}

static void coroutines_keep_luas_own_results(void **context) {
  fixture_expect(*context, "return select('#', coroutine.resume(coroutine.create(function() end)))", "1");
  fixture_expect(*context, "return select('#', coroutine.resume(coroutine.create(function() return nil, nil end)))",
                 "3");
  fixture_expect(*context, "local ok, err = pcall(coroutine.wrap(function() error('within', 0) end)) return err",
                 "within");
  fixture_expect(*context,
                 "local co = coroutine.create(function() error({ 7 }) end) return select(2, coroutine.resume(co))[1]",
                 "7");
}

static void waiting_within_pcall_works_and_errors_pass(void **context) {
  fixture_expect(*context, "local ok, err = pcall(function() moongate.sleep(0.001) error('after', 0) end) return err",
                 "after");
}

static void waiting_where_lua_cannot_yield_says_so(void **context) {
  fixture_expect(*context,
                 "local ok, err = pcall(string.gsub, 'x', '.', function() moongate.sleep(0) end)\n"
                 "return not ok and err:find(\"can't wait here\", 1, true) and 'said'",
                 "said");
  /* The wait of the inner coroutine could not be passed on; another one is not disturbed by it. */
  fixture_expect(
      *context,
      "local ok = pcall(string.gsub, 'x', '.', function() coroutine.wrap(function() moongate.sleep(0.001) end)() end)\n"
      "moongate.sleep(0.002) return not ok and 'recovered'",
      "recovered");
}

static void a_coroutine_that_another_task_has_finished_goes_on_no_more(void **context) {
  struct outcome outcome;
  fixture_run(*context,
              "local me = coroutine.running() moongate.spawn(function() coroutine.resume(me) end) moongate.sleep(0.02)",
              &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  assert_non_null(strstr(outcome.text, "resumed by another task"));
  fixture_expect(*context, "moongate.sleep(0.001) return 'goes on'", "goes on");
}

static void a_yield_to_nobody_is_an_error(void **context) {
  struct outcome outcome;
  fixture_start(*context, "coroutine.yield(1)", &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  assert_non_null(strstr(outcome.text, "coroutine.yield was called outside of a coroutine of your own"));
}

static void what_is_spawned_runs_beside(void **context) {
  fixture_expect(*context,
                 "local seen = {}\n"
                 "moongate.spawn(function(a, b) seen[#seen + 1] = a + b end, 1, 2)\n"
                 "seen[#seen + 1] = 'first' moongate.sleep(0) return table.concat(seen, ' ')",
                 "first 3");
}

static void durations_are_numbers_or_texts(void **context) {
  fixture_expect(*context, "moongate.sleep('1ms') moongate.sleep(0.001) return 'fine'", "fine");
  static const char *const bad[] = {"-1", "'5 minutes'", "'m'", "{}", "nil", "0/0"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char code[128];
    snprintf(code, sizeof code, "return pcall(moongate.sleep, %s)", bad[i]);
    fixture_expect(*context, code, "false");
  }
}

static void ten_thousand_tasks_leave_nothing_behind(void **context) {
  struct fixture *fixture = *context;
  lua_gc(fixture->state->L, LUA_GCCOLLECT, 0);
  size_t before = fixture->state->memory_used;
  static struct outcome outcomes[100];
  for (int round = 0; round < 100; round++) {
    struct script_task *tasks[100];
    for (int i = 0; i < 100; i++)
      tasks[i] = fixture_start(fixture, "moongate.sleep(0.5) return coroutine.wrap(function() moongate.sleep(0) end)()",
                               &outcomes[i], NULL);
    for (int i = 0; i < 100; i += 2)
      task_cancel(tasks[i], true);
    clock_advance(&fixture->clock, SECOND);
    for (int i = 1; i < 100; i += 2)
      fixture_wait(fixture, &outcomes[i]);
  }
  loop_round(&fixture->loop, false);
  assert_null(fixture->state->tasks);
  lua_gc(fixture->state->L, LUA_GCCOLLECT, 0);
  assert_in_range(fixture->state->memory_used, 0, before + 8192);
}

static void an_interrupted_task_raises_where_it_waits(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  struct error error;
  assert_false(task_interrupt(fixture_start(fixture, "moongate.sleep(3600)", &outcome, NULL), "too long"));
  struct script_state *user = fixture->state;
  fixture->state = script_state_new(&(struct script_options){.trusted = true, .log = &fixture->log}, &error);
  assert_non_null(fixture->state);
  script_state_attach(fixture->state, &fixture->place);
  struct script_task *task =
      fixture_start(fixture, "local n = 1\nreturn select(2, pcall(moongate.sleep, 3600))", &outcome, NULL);
  assert_true(task_interrupt(task, "too long"));
  assert_true(outcome.over);
  assert_int_equal(outcome.end, TASK_RAISED);
  assert_non_null(strstr(outcome.text, "test.lua:2: too long"));
  fixture_run(fixture, "moongate.sleep(0) return 'goes on'", &outcome, NULL);
  assert_string_equal(outcome.text, "goes on");
  script_state_stop(fixture->state);
  script_state_unref(fixture->state);
  fixture->state = user;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_task_that_need_not_wait_ends_at_once, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(an_error_comes_with_its_traceback, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(errors_that_are_no_strings_are_told, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(sleeping_waits_on_the_clock_that_a_spec_moves, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_cancelled_task_never_runs_again, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_quiet_cancel_tells_nobody, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_state_goes_with_its_last_task, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_place_that_goes_takes_waiting_tasks_along, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(coroutines_of_a_task_may_wait, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(coroutines_keep_luas_own_results, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(waiting_within_pcall_works_and_errors_pass, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(waiting_where_lua_cannot_yield_says_so, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_yield_to_nobody_is_an_error, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_is_spawned_runs_beside, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_coroutine_that_another_task_has_finished_goes_on_no_more, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(durations_are_numbers_or_texts, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(an_interrupted_task_raises_where_it_waits, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(ten_thousand_tasks_leave_nothing_behind, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
