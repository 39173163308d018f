/* SPDX-License-Identifier: MIT
 *
 * script/state.h and the sandbox: what user code finds, what is out of its reach, and its memory. */
#include "../support/script_fixture.h"

static int set_up(void **context) { return fixture_new(context, 1000, 64 * 1024 * 1024); }

static void a_bare_state_stays_small(void **context) {
  struct fixture *fixture = *context;
  lua_gc(fixture->state->L, LUA_GCCOLLECT, 0);
  print_message("a bare user state: %zu bytes\n", fixture->state->memory_used);
  assert_true(fixture->state->memory_used < 64 * 1024);
  assert_true(fixture->state->memory_used > 8 * 1024);
}

static void what_reaches_past_the_sandbox_is_not_there(void **context) {
  static const char *const names[] = {"ffi",
                                      "jit",
                                      "newproxy",
                                      "debug.sethook",
                                      "debug.getregistry",
                                      "debug.setmetatable",
                                      "debug.getupvalue",
                                      "package.loadlib",
                                      "package.loaders",
                                      "package.cpath"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char code[128];
    snprintf(code, sizeof code, "return %s == nil", names[i]);
    fixture_expect(*context, code, "true");
  }
  static const char *const modules[] = {"ffi", "jit", "jit.util", "string.buffer", "thread.exdata", "moongate.core"};
  for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
    char code[128];
    snprintf(code, sizeof code, "return pcall(require, %c%s%c)", '"', modules[i], '"');
    fixture_expect(*context, code, "false");
  }
}

static void what_would_end_or_block_the_process_says_why_not(void **context) {
  static const char *const calls[] = {"os.exit", "os.execute", "os.setlocale", "io.popen", "string.dump"};
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    char code[256];
    snprintf(code, sizeof code,
             "local ok, err = pcall(%s, 'x') return not ok and err:find('not available to route files: ', 1, true) and "
             "'why'",
             calls[i]);
    fixture_expect(*context, code, "why");
  }
}

static void bytecode_is_refused_by_every_loader(void **context) {
  fixture_expect(*context, "return load('\\27LJ') == nil", "true");
  fixture_expect(*context, "return load('\\27LJ', 'x', 'b') == nil", "true");
  fixture_expect(*context, "return loadstring('\\27LJ') == nil", "true");
  fixture_expect(*context, "local n = 0 return load(function() n = n + 1 return n == 1 and '\\27LJ' or nil end) == nil",
                 "true");
  struct fixture *fixture = *context;
  struct error error;
  assert_int_equal(-EINVAL, script_load_text(fixture->state, fixture->state->L, "\x1bLJ", 3, "@x.lua", &error));
  assert_non_null(strstr(error.message, "bytecode"));
}

static void load_takes_an_environment(void **context) {
  fixture_expect(*context, "return load('return x', 'c', 't', { x = 'inside' })()", "inside");
  fixture_expect(*context, "y = 'global' return load('return y')()", "global");
}

static void a_syntax_error_names_its_place(void **context) {
  struct fixture *fixture = *context;
  struct error error;
  const char *code = "local a = 1\nlocal b = = 2\n";
  assert_int_equal(-EINVAL,
                   script_load_text(fixture->state, fixture->state->L, code, strlen(code), "@routes/site.lua", &error));
  assert_string_equal("routes/site.lua:2", error.place);
  assert_string_equal("unexpected symbol near '='", error.message);
}

static void the_guarded_door_returns_results_and_errors(void **context) {
  struct fixture *fixture = *context;
  struct script_state *state = fixture->state;
  struct error error;
  const char *code = "local a, b = ... if b == 0 then error('no way') end return a / b";
  for (int divisor = 0; divisor < 2; divisor++) {
    assert_int_equal(0, script_load_text(state, state->L, code, strlen(code), "@test.lua", &error));
    lua_pushnumber(state->L, 6);
    lua_pushnumber(state->L, divisor);
    int status = script_call(state, state->L, 2, 1, &error);
    assert_int_equal(divisor == 0 ? -EINVAL : 0, status);
    assert_int_equal(1, lua_gettop(state->L));
    if (divisor == 0)
      assert_non_null(strstr(error.message, "test.lua:1: no way\nstack traceback:"));
    else
      assert_int_equal(6, lua_tointeger(state->L, -1));
    lua_settop(state->L, 0);
  }
}

static void a_dead_coroutine_is_resumed_in_vain_also_without_memory(void **context) {
  struct fixture *fixture = *context;
  lua_State *L = fixture->state->L;
  static const char code[] = "local dead, resume = coroutine.create(function() end), coroutine.resume resume(dead)\n"
                             "return function() local ok = resume(dead) return ok end";
  assert_int_equal(0, luaL_dostring(L, code));
  lua_gc(L, LUA_GCCOLLECT, 0);
  fixture_keep_garbage(L);
  uint64_t limit = fixture->state->options.memory;
  fixture->state->options.memory = fixture->state->memory_used;
  assert_int_equal(0, script_call(fixture->state, L, 0, 1, NULL));
  fixture->state->options.memory = limit;
  fixture_collect_again(L);
  assert_false(lua_toboolean(L, -1));
  lua_pop(L, 1);
}

static int keep_number(lua_State *L) {
  int *number = lua_touserdata(L, 1);
  lua_pushinteger(L, *number);
  *number = script_ref(L);
  return 0;
}

/* Whatever allocation is refused while the registry grows. */
static void what_is_kept_stays_when_memory_runs_out(void **context) {
  enum { COUNT = 300 };
  const struct fixture *fixture = *context;
  struct script_state *state = fixture->state;
  lua_State *L = state->L;
  int references[COUNT];
  uint64_t limit = state->options.memory;
  fixture_keep_garbage(L);
  for (int i = 0; i < COUNT; i++) {
    int status = LUA_ERRMEM;
    if (i % 4 == 0) { /* others keep things by name, and so the numbers move from one part of the table to the other */
      lua_pushfstring(L, "name %d", i);
      lua_pushboolean(L, 1);
      lua_rawset(L, LUA_REGISTRYINDEX);
    }
    for (uint64_t room = 0; status != 0; room += 16) {
      references[i] = i;
      state->options.memory = state->memory_used + room;
      status = lua_cpcall(L, keep_number, &references[i]);
      state->options.memory = limit;
      lua_settop(L, 0);
      for (int seen = 0; seen < (status == 0 ? i + 1 : i); seen++) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, references[seen]);
        assert_int_equal(seen, lua_isnumber(L, -1) ? lua_tointeger(L, -1) : -1);
        lua_settop(L, 0);
      }
    }
  }
}

static void methods_are_whole_when_they_are_there_at_all(void **context) {
  struct fixture *fixture = *context;
  for (uint64_t room = 0; room < 6000; room += 24) {
    struct script_state *state = fixture_state(fixture, 1000, 0);
    lua_State *L = state->L;
    assert_int_equal(0, luaL_loadstring(L, "return moongate.shared 'x':set('key', 1)"));
    lua_pushvalue(L, -1);
    fixture_keep_garbage(L);
    state->options.memory = state->memory_used + room;
    script_call(state, L, 0, 0, NULL);
    state->options.memory = 0;
    lua_settop(L, 1);
    assert_int_equal(0, script_call(state, L, 0, 1, NULL));
    assert_true(lua_toboolean(L, -1));
    script_state_unref(state);
  }
}

/* The leak sanitizer would tell of them. */
static void copies_are_freed_that_lua_has_no_memory_for(void **context) {
  const struct fixture *fixture = *context;
  struct script_state *state = fixture->state;
  lua_State *L = state->L;
  static const char code[] = "local x = moongate.shared 'x' x:set('key', ('v'):rep(1000)) x:get 'key'\n"
                             "return function() return x:get 'key' end";
  assert_int_equal(0, luaL_dostring(L, code));
  lua_gc(L, LUA_GCCOLLECT, 0);
  fixture_keep_garbage(L);
  uint64_t limit = state->options.memory;
  state->options.memory = state->memory_used;
  assert_int_equal(-ENOMEM, script_call(state, L, 0, 1, NULL));
  state->options.memory = limit;
  lua_settop(L, 0);
}

static void memory_beyond_the_limit_is_an_error_of_that_task_only(void **context) {
  struct fixture *fixture = *context;
  struct outcome outcome;
  fixture_run(fixture, "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e5) .. i end", &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  if (!strstr(outcome.text, "limits.script_memory"))
    fail_msg("%s", outcome.text);
  loop_round(&fixture->loop, false); /* in which the task is freed */
  fixture_expect(fixture, "return 'on it goes'", "on it goes");
  assert_true(fixture->state->memory_used < 8 * 1024 * 1024);
}

static void garbage_does_not_count_against_the_limit(void **context) {
  fixture_expect(*context, "local n = 0 for i = 1, 3000 do n = n + #(('x'):rep(1e5) .. i) end return n > 3e8", "true");
}

/* More of each than fits, though Lua itself sees little of it. */
static void what_is_kept_in_c_counts_against_the_limit(void **context) {
  static const char *const texts[] = {
      "local P = require 'moongate.http_parser' local kept = {} for i = 1, 10000 do kept[i] = P.new {} "
      "fed(kept[i]:feed('GET / HTTP/1.1\\r\\nX: ' .. ('x'):rep(15000))) end",
      "local P = require 'moongate.http_parser' local kept = {} for i = 1, 3000 do kept[i] = P.new {} "
      "kept[i]:feed('POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 70000\\r\\n\\r\\n') "
      "fed(kept[i]:feed(('x'):rep(60000))) end",
      "local p = require 'moongate.http_parser'.new { max_head = 1e12 } p:feed 'GET / HTTP/1.1\\r\\nX: ' "
      "local text = ('x'):rep(1e5) for _ = 1, 2000 do fed(p:feed(text)) end",
  };
  struct fixture *fixture = *context;
  struct script_state *first = fixture->state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct outcome outcome;
    fixture->state = fixture_state(fixture, 0, 64 * 1024 * 1024);
    script_state_attach(fixture->state, &fixture->place);
    fixture_expect(fixture, "function fed(_, event, _, why) assert(event ~= 'error', why) end return 'ready'", "ready");
    fixture_run(fixture, texts[i], &outcome, NULL);
    if (outcome.end != TASK_RAISED || !strstr(outcome.text, "no memory left"))
      fail_msg("%s\nended as %d: %s", texts[i], outcome.end, outcome.text);
    loop_round(&fixture->loop, false);
    fixture_expect(fixture, "collectgarbage() return 'on it goes'", "on it goes");
    assert_true(fixture->state->memory_used < 8 * 1024 * 1024);
    script_state_unref(fixture->state);
  }
  fixture->state = first;
}

static void globals_of_one_state_are_not_anothers(void **context) {
  struct fixture *fixture = *context;
  fixture_expect(fixture, "string.upper = nil moongate.mine = 1 getmetatable('').__index = {} return 'done'", "done");
  struct script_state *first = fixture->state;
  fixture->state = fixture_state(fixture, 1000, 0);
  script_state_attach(fixture->state, &fixture->place);
  fixture_expect(fixture, "return ('a'):upper() .. tostring(moongate.mine)", "Anil");
  script_state_unref(fixture->state);
  fixture->state = first;
}

static void the_library_is_there_without_require(void **context) {
  fixture_expect(*context, "return type(moongate.handlers.echo)", "function");
  fixture_expect(*context, "return moongate == require 'moongate' and moongate.handlers == require 'moongate.handlers'",
                 "true");
  fixture_expect(*context, "return moongate.version", MOONGATE_VERSION);
  fixture_expect(*context, "return moongate.worker.number .. ' of ' .. moongate.worker.count", "1 of 2");
}

static void a_missing_module_says_where_it_was_looked_for(void **context) {
  fixture_expect(*context,
                 "local ok, err = pcall(require, 'nowhere.at_all') return not ok and err:find(\"module "
                 "'nowhere.at_all' not found\", "
                 "1, true) and 'named'",
                 "named");
}

static void what_waits_raises_while_a_file_is_being_loaded(void **context) {
  struct fixture *fixture = *context;
  struct script_state *state = fixture_state(fixture, 1000, 0);
  struct error error;
  const char *code = "moongate.sleep(1)";
  assert_int_equal(0, script_load_text(state, state->L, code, strlen(code), "@test.lua", &error));
  assert_int_equal(-EINVAL, script_call(state, state->L, 0, 0, &error));
  assert_non_null(strstr(error.message, "a file is being loaded"));
  script_state_unref(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_bare_state_stays_small, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_reaches_past_the_sandbox_is_not_there, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_would_end_or_block_the_process_says_why_not, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(bytecode_is_refused_by_every_loader, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(load_takes_an_environment, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_syntax_error_names_its_place, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(the_guarded_door_returns_results_and_errors, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_dead_coroutine_is_resumed_in_vain_also_without_memory, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_is_kept_stays_when_memory_runs_out, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(methods_are_whole_when_they_are_there_at_all, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(copies_are_freed_that_lua_has_no_memory_for, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(memory_beyond_the_limit_is_an_error_of_that_task_only, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(garbage_does_not_count_against_the_limit, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_is_kept_in_c_counts_against_the_limit, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(globals_of_one_state_are_not_anothers, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(the_library_is_there_without_require, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_missing_module_says_where_it_was_looked_for, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(what_waits_raises_while_a_file_is_being_loaded, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
