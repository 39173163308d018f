/* SPDX-License-Identifier: MIT
 *
 * script/watchdog.c: every shape of a loop is stopped, whatever catches what stops it, and the state runs on. */
#include "../support/script_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_up(void **context) { return fixture_new(context, 50, 64 * 1024 * 1024); }

/* For what must not be stopped, on however busy a machine. */
static int set_up_patient(void **context) { return fixture_new(context, 500, 64 * 1024 * 1024); }

static int set_up_waiting(void **context) { return fixture_new(context, 2000, 64 * 1024 * 1024); }

/* For what has to end by itself. */
static int set_up_unhurried(void **context) { return fixture_new(context, 60 * 1000, 512 * 1024 * 1024); }

static const char *const loops[] = {
    "while true do end",
    "local n = 0 while true do n = n + 1 end",
    "repeat until false",
    "for i = 1, math.huge do end",
    "::again:: goto again",
    "local function f() return f() end f()",
    "pcall(function() while true do end end) while true do end",
    "while true do pcall(function() while true do end end) end",
    "pcall(function() pcall(function() while true do end end) while true do end end) while true do end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "xpcall(error, function() while true do end end)",
    "while true do xpcall(error, function() while true do pcall(error) end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(coroutine.wrap(function() while true do pcall(error, {}) end end)) end",
    "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
    "local m = {} function m.__index(t, k) return t[k + 1] end while 1 do pcall(m.__index, setmetatable({}, m), 1) end",
    "local m = { __add = function() while true do end end } return setmetatable({}, m) + 1",
    "while true do (('x'):rep(100)):gsub('.', function() while true do end end) end",
    "while true do pcall(string.gsub, ('x'):rep(100), '.', function() while true do end end) end",
    "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "while true do pcall(table.sort, { 3, 2, 1 }, function() while true do end end) end",
    "while true do pcall(error, setmetatable({}, { __tostring = function() while true do end end })) end",
    "error(setmetatable({}, { __tostring = function() while true do end end }))",
    "load(function() while true do end end)",
    "while true do pcall(load, function() while true do end end) end",
    "for _ in function() return 1 end do end",
    "while true do string.rep('x', 1e6) end",
    "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end",
    "tostring(setmetatable({}, { __tostring = tostring }))",
    "local _ = ('%s'):format(setmetatable({}, { __tostring = tostring }))",
    "error(setmetatable({}, { __tostring = tostring }))",
    "while true do pcall(tostring, setmetatable({}, { __tostring = tostring })) end",
    "local t = setmetatable({}, { __index = tostring, __tostring = tostring }) return t.x",
    "local t = setmetatable({}, { __tostring = function(t) return tostring(t) end }) return tostring(t)",
    "while true do pcall(table.insert, {}, -2 ^ 30, 1) end",
    "local t = {} for i = 1, 2e5 do t[i] = 0 end while true do table.insert(t, 1, 0) table.remove(t) end",
    "while true do collectgarbage() end",
    "while true do table.sort({ 3, 2, 1 }) end",
    "local t = {} for i = 1, 2e5 do t[i] = i % 1000 end while true do table.sort(t) end",
    "while true do pcall(io.lines('/dev/zero', '*L')) end",
    "local s = ('9'):rep(1e6) while true do local n = s + 0 end",
    "local t = {} for i = 1, 2e5 do t[i] = i end for i = 1, 1e6 do t[i] = nil end while true do next(t) end",
};

static void every_loop_is_stopped_and_the_state_runs_on(void **context) {
  struct fixture *fixture = *context;
  for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
    struct outcome outcome;
    fixture_run(fixture, loops[i], &outcome, NULL);
    if (outcome.end != TASK_STOPPED)
      fail_msg("%s\nended as %d: %s", loops[i], outcome.end, outcome.text);
    if (strstr(outcome.text, "ran longer than limits.script_time (50ms) without waiting\nstack traceback:") == NULL)
      fail_msg("%s\nreported: %s", loops[i], outcome.text);
    fixture_expect(fixture, "return pcall(error, 'caught')", "false");
  }
}

static void the_traceback_names_the_line(void **context) {
  struct outcome outcome;
  fixture_run(*context, "local function spin()\n  while true do\n  end\nend\npcall(pcall, spin)\n", &outcome, NULL);
  assert_int_equal(TASK_STOPPED, outcome.end);
  assert_non_null(strstr(outcome.text, "test.lua:2"));
}

static void whole_seconds_are_printed_as_such(void **context) {
  (void)context;
  struct fixture *fixture = malloc(sizeof *fixture);
  fixture_begin(fixture, 1000, 0);
  struct outcome outcome;
  fixture_run(fixture, "while true do end", &outcome, NULL);
  assert_non_null(strstr(outcome.text, "limits.script_time (1s) without waiting"));
  fixture_end(fixture);
  free(fixture);
}

static void waiting_begins_a_new_stretch(void **context) {
  fixture_expect(*context,
                 "local clock = os.clock for i = 1, 30 do local start = clock() while clock() - start < 0.03 do end "
                 "moongate.sleep(0) end "
                 "return 'done'",
                 "done");
}

static void a_guarded_call_is_stopped_too(void **context) {
  struct fixture *fixture = *context;
  struct script_state *state = fixture->state;
  for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
    struct error error;
    assert_int_equal(0, script_load_text(state, state->L, loops[i], strlen(loops[i]), "@test.lua", &error));
    int status = script_call(state, state->L, 0, 0, &error);
    if (status != -ETIME)
      fail_msg("%s\nreturned %d: %s", loops[i], status, error.message);
    assert_non_null(strstr(error.message, "limits.script_time (50ms)"));
    lua_settop(state->L, 0);
  }
}

/* The parser looks through all jumps of an expression for each of them. */
static void compiling_is_stopped_too(void **context) {
  enum { TIMES = 150000 };
  static const char term[] = "a and ";
  struct fixture *fixture = *context;
  struct script_state *state = fixture->state;
  char *text = malloc(sizeof "return " + TIMES * (sizeof term - 1));
  assert_non_null(text);
  char *end = stpcpy(text, "return ");
  for (int i = 0; i < TIMES; i++)
    end = stpcpy(end, term);
  struct error error;
  int top = lua_gettop(state->L);
  assert_int_equal(-ETIME, script_load_text(state, state->L, text, (size_t)(end - text), "@test.lua", &error));
  assert_non_null(strstr(error.message, "limits.script_time (a second at least; here 1s) to compile"));
  assert_int_equal(top, lua_gettop(state->L));
  free(text);
}

/* A child that stops this process a little later, for longer than it may run. */
static pid_t start_freezer(void) {
  pid_t child = fork();
  if (child == 0) {
    usleep(50 * 1000);
    kill(getppid(), SIGSTOP);
    usleep(2500 * 1000);
    kill(getppid(), SIGCONT);
    _exit(0);
  }
  return child;
}

static void time_in_which_the_process_was_stopped_is_not_charged(void **context) {
  pid_t child = start_freezer();
  fixture_expect(*context, "local start = os.clock() while os.clock() - start < 0.15 do end return 'done'", "done");
  assert_int_equal(child, waitpid(child, NULL, 0));
}

/* A child that writes a byte every `ms`, for as long as it is read. */
static pid_t start_dripping(int fds[2], unsigned ms) {
  assert_int_equal(0, pipe(fds));
  pid_t child = fork();
  if (child == 0) {
    close(fds[0]);
    signal(SIGPIPE, SIG_DFL);
    while (write(fds[1], "x", 1) == 1)
      usleep(ms * 1000);
    _exit(0);
  }
  close(fds[1]);
  return child;
}

static void time_that_it_slept_in_the_kernel_is_charged(void **context) {
  for (unsigned ms = 10; ms <= 250; ms += 240) {
    int fds[2];
    char code[160];
    struct outcome outcome;
    pid_t child = start_dripping(fds, ms);
    snprintf(code, sizeof code, "local file = io.open('/proc/self/fd/%d') while true do file:read(1) end", fds[0]);
    fixture_run(*context, code, &outcome, NULL);
    close(fds[0]);
    kill(child, SIGKILL); /* what it drips into is closed when Lua collects the file */
    assert_int_equal(child, waitpid(child, NULL, 0));
    if (outcome.end != TASK_STOPPED)
      fail_msg("a byte every %u ms: %s", ms, outcome.text);
  }
}

static void user_code_has_no_finalizers_to_loop_in(void **context) {
  fixture_expect(*context, "return getmetatable(io.stdout)", "file");
  fixture_expect(*context, "return newproxy == nil", "true");
}

static unsigned count_rounds(struct fixture *fixture) {
  unsigned rounds = 0;
  for (; fixture->state->tasks != NULL; rounds++)
    loop_round(&fixture->loop, true);
  return rounds;
}

static void of_those_that_run_long_each_has_a_round(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(fixture, "for _ = 1, 4 do moongate.spawn(function() while true do end end) end", &outcome, NULL);
  assert_true(count_rounds(fixture) >= 4);
  fixture_start(fixture, "for _ = 1, 4 do moongate.spawn(function() moongate.sleep(0.001) while true do end end) end",
                &outcome, NULL);
  assert_true(count_rounds(fixture) >= 4);
  fixture_start(fixture, "n = 0 for _ = 1, 100 do moongate.spawn(function() moongate.sleep(0) n = n + 1 end) end",
                &outcome, NULL);
  count_rounds(fixture);
  fixture_expect(fixture, "return tostring(n)", "100");
}

/* What fills the memory and is stopped leaves nothing behind that the next would fail for. */
static void the_next_finds_the_memory_that_one_had(void **context) {
  struct fixture *fixture = *context;
  for (int i = 0; i < 3; i++) {
    struct outcome outcome;
    fixture_run(fixture, "local t = {} for i = 1, 62 do t[i] = ('x'):rep(1e6) .. i end while true do end", &outcome,
                NULL);
    assert_int_equal(TASK_STOPPED, outcome.end);
    count_rounds(fixture); /* until it is freed */
    assert_true(fixture->state->memory_used <= 32 * 1024 * 1024);
  }
}

/* Past the end of LuaJIT's stack, or of its sight: what has to end as any other error, or as nothing at all. */
static const char *const overruns[] = {
    "setmetatable({}, { __call = pcall })()",
    "setmetatable({}, { __call = xpcall })(print)",
    "local t = {} for i = 1, 7900 do t[i] = pcall end pcall(unpack(t))",
    "local t = {} for i = 1, 7900 do t[i] = xpcall end xpcall(unpack(t))",
    "local function f() return pcall(pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, f) end f()",
    "local t = {} t[1], t[2] = t, table.sort table.sort(t, table.sort)",
    "local t = setmetatable({}, { __index = moongate.connect }) moongate.connect(t)",
    "local t = setmetatable({}, { __index = moongate.spawn }) moongate.connect('x', 1, t)",
    "for _ in io.lines('/dev/zero') do end",
    "io.open('/dev/zero'):read()",
    "local function f() xpcall(f, f) f() end f()",
    "local function f() pcall(f) pcall(f) end f()",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return ('%s'):format(t) end tostring(t)",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() print(t) end print(t)",
    "io.stdout.__gc()",
    "io.stdout.__index.__gc = function() while true do end end",
};

static void what_would_overrun_ends(void **context) {
  struct fixture *fixture = *context;
  for (size_t i = 0; i < sizeof overruns / sizeof overruns[0]; i++) {
    struct outcome outcome;
    fixture_run(fixture, overruns[i], &outcome, NULL);
    if (!outcome.over)
      fail_msg("%s\nhas not ended", overruns[i]);
    fixture_expect(fixture, "return pcall(error, 'caught')", "false");
  }
}

/* Each nests C frames without an end, through something else. */
static const char *const nests[] = {
    "local function nest() return coroutine.wrap(nest)() end nest()",
    "local function nest() local co = coroutine.create(nest) return select(2, coroutine.resume(co)) end error(nest())",
    "local function nest() table.sort({ 1, 2 }, nest) end nest()",
    "local function nest() coroutine.wrap(function() table.sort({ 1, 2 }, nest) end)() end nest()",
    "local function nest() coroutine.wrap(function() local _ = ('x'):gsub('.', nest) end)() end nest()",
    "local t = setmetatable({}, {}) getmetatable(t).__lt = function() coroutine.wrap(table.sort)({ t, t }) end "
    "return t < t",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return coroutine.wrap(function() return "
    "('%s'):format(t) end)() end tostring(t)",
    "local function nest() xpcall(error, function() coroutine.wrap(nest)() end) nest() end nest()",
};

static void what_nests_without_end_is_an_error(void **context) {
  struct fixture *fixture = *context;
  for (size_t i = 0; i < sizeof nests / sizeof nests[0]; i++) {
    struct outcome outcome;
    fixture_run(fixture, nests[i], &outcome, NULL);
    if (outcome.end != TASK_RAISED && outcome.end != TASK_STOPPED)
      fail_msg("%s\nended as %d: %s", nests[i], outcome.end, outcome.text);
    fixture_expect(fixture, "return pcall(error, 'caught')", "false");
  }
}

/* Each leaves as much garbage as fits, and ends otherwise than by a lack of memory. */
static const char *const fillers[] = {
    "local t while true do pcall(function() while true do t = { t } end end) end",
    "local t pcall(function() while true do t = { t } end end)",
    "local t pcall(function() while true do t = { t } end end) error('x', 0)",
};

static void what_has_filled_the_memory_leaves_some_to_the_next(void **context) {
  struct fixture *fixture = *context;
  for (size_t i = 0; i < 4 * sizeof fillers / sizeof fillers[0]; i++) {
    struct outcome outcome;
    fixture_run(fixture, fillers[i % (sizeof fillers / sizeof fillers[0])], &outcome, NULL);
    for (int round = 0; round < 3; round++)
      loop_round(&fixture->loop, false); /* the task is freed, and what its coroutine held is garbage */
    fixture_expect(fixture, "return ('x'):rep(1e6) ~= nil", "true");
  }
}

static void coroutines_within_each_other_overflow_the_stack(void **context) {
  struct outcome outcome;
  fixture_run(*context, "local function nest() return coroutine.wrap(nest)() end nest()", &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  if (strstr(outcome.text, "stack overflow: coroutines or callbacks within each other") == NULL)
    fail_msg("reported: %s", outcome.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_loop_is_stopped_and_the_state_runs_on, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(the_traceback_names_the_line, set_up, fixture_free),
      cmocka_unit_test(whole_seconds_are_printed_as_such),
      cmocka_unit_test_setup_teardown(waiting_begins_a_new_stretch, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(a_guarded_call_is_stopped_too, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(compiling_is_stopped_too, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(of_those_that_run_long_each_has_a_round, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(the_next_finds_the_memory_that_one_had, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_would_overrun_ends, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(time_in_which_the_process_was_stopped_is_not_charged, set_up_waiting,
                                      fixture_free),
      cmocka_unit_test_setup_teardown(time_that_it_slept_in_the_kernel_is_charged, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(what_nests_without_end_is_an_error, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(what_has_filled_the_memory_leaves_some_to_the_next, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(coroutines_within_each_other_overflow_the_stack, set_up_unhurried, fixture_free),
      cmocka_unit_test_setup_teardown(user_code_has_no_finalizers_to_loop_in, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
