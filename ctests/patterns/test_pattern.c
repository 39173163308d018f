/* SPDX-License-Identifier: MIT
 *
 * patterns/pattern.c, and string.find, match, gmatch and gsub on top of it: the same results and messages as LuaJIT's,
 * an end to every match, and to nesting. */
#include "../../fuzz/compare_patterns.h"
#include "../support/script_fixture.h"

#include <pthread.h>

enum { SEED = 20240229, MADE_UP = 60 * 1000, WORD = 64 };

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* Words of `pieces`, one after another. */
static size_t make_up(uint32_t *seed, char word[WORD], const char *const *pieces, size_t count, unsigned most) {
  size_t size = 0;
  for (unsigned left = next_random(seed) % (most + 1); left > 0; left--) {
    const char *piece = pieces[next_random(seed) % count];
    size_t length = piece[0] != '\0' ? strlen(piece) : 1; /* "" is a NUL */
    if (size + length >= WORD)
      break;
    memcpy(word + size, piece, length);
    size += length;
  }
  word[size] = '\0';
  return size;
}

static void random_patterns_match_as_luajit_has_it(void **context) {
  static const char *const subjects[] = {"a", "b", "c", "A", "1", " ", "(", ")", "x", "-", "]", "%", "ab", "\xe9", ""};
  static const char *const patterns[] = {
      "a",    "b",    "c",    ".",    "%a",       "%d",      "%w", "%s",  "%A", "[ab]", "[^a]", "[a-c]", "[%w_]",
      "[]]",  "[^]]", "[a-]", "*",    "+",        "-",       "?",  "*",   "-",  "(",    ")",    "()",    "(",
      ")",    "^",    "$",    "%1",   "%2",       "%b()",    "%",  "%f[", "]",  "%z",   "",     "[%",    "%f[%a]",
      "%bab", "a*",   "(a*)", "(.-)", "%f[%w]%w", "[%a-z]+", "%g", "%l",  "%U", "%x",   "%p",   "%c",    "%C",
  };
  static const char *const replacements[] = {"x", "%0", "%1", "%2", "%", "%%", "", "-", "%9"};
  (void)context;
  struct pattern_pair pair;
  assert_true(pattern_pair_init(&pair));
  uint32_t seed = SEED;
  for (unsigned i = 0; i < MADE_UP; i++) {
    char subject[WORD], pattern[WORD], replacement[WORD];
    struct compared_case one = {.subject = subject, .pattern = pattern, .replacement = replacement};
    one.subject_size = make_up(&seed, subject, subjects, sizeof subjects / sizeof *subjects, 14);
    one.pattern_size = make_up(&seed, pattern, patterns, sizeof patterns / sizeof *patterns, 7);
    one.replacement_size = make_up(&seed, replacement, replacements, sizeof replacements / sizeof *replacements, 3);
    one.start = (int)(next_random(&seed) % 24) - 8;
    if (!pattern_pair_agrees(&pair, &one))
      fail_msg("case %u", i);
  }
  pattern_pair_deinit(&pair);
}

static void every_character_is_of_the_same_classes(void **context) {
  (void)context;
  struct pattern_pair pair;
  assert_true(pattern_pair_init(&pair));
  for (unsigned letter = 1; letter < 256; letter++) {
    char subject[256], pattern[] = {'%', (char)letter, '\0'}, set[] = {'[', '%', (char)letter, ']', '+', '\0'};
    for (unsigned c = 0; c < 256; c++)
      subject[c] = (char)c;
    struct compared_case one = {
        .subject = subject, .subject_size = 256, .pattern = pattern, .pattern_size = 2, .replacement = "", .start = 1};
    assert_true(pattern_pair_agrees(&pair, &one));
    one.pattern = set;
    one.pattern_size = 5;
    assert_true(pattern_pair_agrees(&pair, &one));
  }
  pattern_pair_deinit(&pair);
}

/* What is no matter of matching: arguments, numbers for strings, methods, long outputs. */
static const char *const calls[] = {
    "return string.find()",
    "return string.find('a')",
    "return ('a'):find()",
    "return ('a'):find({})",
    "return string.find({}, 'a')",
    "return ('a'):find('a', 'x')",
    "return ('a'):find('a', {})",
    "return ('abca'):find('a', 2^40)",
    "return ('abca'):find('a', 2^32 + 2)",
    "return ('abca'):find('a', -2^40)",
    "return ('abca'):find('a', 0/0)",
    "return ('abca'):find('a', 1.9)",
    "return ('abca'):find('a', -1.9)",
    "return ('abca'):find('a', '2')",
    "return ('abca'):find('a', '0x2')",
    "return ('abca'):find('a', nil, 1)",
    "return ('a.b'):find('.', 1, false)",
    "return ('a.b'):find('.', 1, true)",
    "return ('a)b'):find(')')",
    "return ('abc'):find('', 10)",
    "return ('abc'):find('', 10, true)",
    "return ('abc'):find('c', -1)",
    "return (1234):find(3)",
    "return string.find(1234, 3)",
    "return string.match(12.5, '%d+')",
    "return string.gsub(1234, 2, 5.5)",
    "return string.gsub()",
    "return string.gsub('a', 'a')",
    "return string.gsub('a', 'a', true)",
    "return string.gsub('a', 'a', true, 'x')",
    "return ('a'):gsub('a', nil)",
    "return ('aaa'):gsub('a', 'b', 2)",
    "return ('aaa'):gsub('a', 'b', -1)",
    "return ('aaa'):gsub('a', 'b', '1')",
    "return ('aaa'):gsub('a', 'b', 2^32 + 1)",
    "return ('aaa'):gsub('a', 'b', 1.9)",
    "return ('aaa'):gsub('', 'b', 0)",
    "return ('aaa'):gsub('a', 'b', 'x')",
    "return ('aaa'):gsub('a', function() return {} end)",
    "return ('aaa'):gsub('a', function() return true end)",
    "return ('aaa'):gsub('a', function() error('no', 0) end)",
    "return ('aaa'):gsub('a', function() error({}) end)",
    "return ('aaa'):gsub('a', print and nil)",
    "return ('abc'):gsub('%w', setmetatable({}, { __index = function(_, key) return key .. key end }))",
    "return ('abc'):gsub('%w', setmetatable({}, { __index = error }))",
    "return ('abc'):gsub('x', '%2')",
    "return ('abc'):gsub('(b)', '%2')",
    "return string.gmatch()",
    "return string.gmatch('a')",
    "return ('a'):gmatch({})",
    "return select('#', ('a'):gmatch('b')())",
    "return ('^a'):gmatch('^a')()",
    "local all = {} for a, b in ('k=v, x=y'):gmatch('(%w+)=(%w+)') do all[#all + 1] = a .. b end return unpack(all)",
    "local next_one = ('ab'):gmatch('.') return next_one(), next_one(), next_one(), next_one()",
    "local s = ('x'):rep(5000) return s:gsub('x', 'yy')",
    "return (('ab'):rep(3000):gsub('a', '%0%0%0'))",
    "local s = ('x'):rep(100000) return s:gsub('y', 'z')",
    "return ('x'):rep(3000):gsub('()', '%1')",
    "return (('x'):rep(2000):gsub('.', function(c) return c:rep(3) end))",
    "return coroutine.wrap(function() return ('a'):gsub('a', coroutine.yield) end)()",
    "return ('a'):find(('%a?'):rep(300))",
    "return ('a\\0b'):match('\\0'), ('a\\0b'):find('a\\0b')",
    "return ('x'):rep(200):match(('(x?)'):rep(32))",
    "return ('x'):match(('()'):rep(33))",
    "return pcall(string.find, 'a', '[')",
    "return select(2, pcall(string.rep))",
    "return string.gfind",
};

static const char call_source[] =
    "local code = ...\n"
    "local function show(...)\n"
    "  local values = {}\n"
    "  for i = 1, select('#', ...) do\n"
    "    local value = select(i, ...)\n"
    "    values[i] = type(value) == 'table' and 'table' or tostring(value):gsub('0x%x+', 'somewhere')\n"
    "  end\n"
    "  return table.concat(values, ', ')\n"
    "end\n"
    "return show(pcall(loadstring(code, '=call')))\n";

static const char *run_call(lua_State *L, const char *code) {
  lua_settop(L, 1);
  assert_int_equal(0, luaL_loadbuffer(L, call_source, sizeof call_source - 1, "=show"));
  lua_pushstring(L, code);
  lua_pcall(L, 1, 1, 0);
  return lua_tostring(L, -1);
}

static void arguments_are_taken_and_refused_as_luajit_does(void **context) {
  (void)context;
  struct pattern_pair pair;
  assert_true(pattern_pair_init(&pair));
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    const char *plain = run_call(pair.plain, calls[i]), *user = run_call(pair.user->L, calls[i]);
    if (strcmp(plain, user) != 0)
      fail_msg("%s\nLuaJIT says: %.300s\nours: %.300s", calls[i], plain, user);
  }
  pattern_pair_deinit(&pair);
}

static int set_up(void **context) { return fixture_new(context, 50, 64 * 1024 * 1024); }

static int set_up_patient(void **context) { return fixture_new(context, 10 * 1000, 256 * 1024 * 1024); }

/* Each is one call of C that would take minutes, or for ever. */
static const char *const endless[] = {
    "('a'):rep(90):find(('a*'):rep(14) .. 'b')",
    "pcall(string.find, ('a'):rep(90), ('a*'):rep(14) .. 'b') pcall(string.find, 'a', 'a')",
    "while true do pcall(string.match, ('a'):rep(90), ('a-'):rep(14) .. 'b') end",
    "('a'):rep(90):match('^' .. ('a?'):rep(90) .. ('a'):rep(90) .. 'b')",
    "('a'):rep(5000):gsub('.-.-.-.-b', '')",
    "for _ in ('a'):rep(90):gmatch(('a+'):rep(14) .. 'b') do end",
    "('('):rep(1000000):gsub('%b()', '')",
    "('a'):rep(1000000):find('^[^' .. ('b'):rep(1000000) .. ']*$')",
    "('a'):rep(1000000):gsub('%f[' .. ('b'):rep(1000000) .. ']', '')",
    "('a'):rep(2000000):gsub('(.-)%1b', '')",
    "('a'):rep(1000000):gsub('(b?)', ('%1'):rep(100000))",
    "('ab'):rep(90):gsub('a', function() return (('a'):rep(90):gsub(('a*'):rep(14) .. 'b', '')) end)",
    "coroutine.wrap(function() return ('a'):rep(90):find(('a*'):rep(14) .. 'b') end)()",
};

static void what_backtracks_for_ever_is_stopped(void **context) {
  for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
    struct outcome outcome;
    fixture_run(*context, endless[i], &outcome, NULL);
    if (outcome.end != TASK_STOPPED)
      fail_msg("%s\nended as %d: %s", endless[i], outcome.end, outcome.text);
    if (strstr(outcome.text, "ran longer than limits.script_time (50ms)") == NULL)
      fail_msg("%s\nreported: %s", endless[i], outcome.text);
    fixture_expect(*context, "return ('after'):match('%a+')", "after");
  }
}

static void the_report_names_the_function_and_its_line(void **context) {
  struct outcome outcome;
  fixture_run(*context, "\nlocal s = ('a'):rep(90)\ns:find(('a*'):rep(14) .. 'b')\n", &outcome, NULL);
  assert_int_equal(TASK_STOPPED, outcome.end);
  assert_non_null(strstr(outcome.text, "in function 'find'"));
  assert_non_null(strstr(outcome.text, "test.lua:3"));
}

#define EXPAND                                                                                                         \
  "local function expand(text) return (text:gsub('%b()', function(x) return expand(x:sub(2, -2)) end)) end "           \
  "local function nested(depth) return expand(('('):rep(depth) .. 'x' .. (')'):rep(depth)) end "

static void a_thousand_nested_callbacks_are_fine(void **context) {
  fixture_expect(*context, EXPAND "return nested(1000)", "x");
}

static void deeper_ones_are_an_error_that_pcall_catches(void **context) {
  fixture_expect(*context,
                 EXPAND "local ok, err = pcall(nested, 20000) return not ok and tostring(err):match('stack overflow')",
                 "stack overflow");
  fixture_expect(
      *context,
      "local t = setmetatable({}, {}) getmetatable(t).__index = function() return (('a'):gsub('a', t)) end "
      "local ok, err = pcall(string.gsub, 'a', 'a', t) return not ok and tostring(err):match('stack overflow')",
      "stack overflow");
  struct outcome outcome;
  fixture_run(*context, EXPAND "nested(20000)", &outcome, NULL);
  assert_int_equal(TASK_RAISED, outcome.end);
  fixture_expect(*context, EXPAND "return nested(100)", "x");
}

static void *nest_on_a_short_stack(void *context) {
  fixture_expect(context, EXPAND "local ok, err = pcall(nested, 1000) return not ok and err:match('stack overflow')",
                 "stack overflow");
  return NULL;
}

static void a_short_stack_is_not_run_past(void **context) {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  assert_int_equal(0, pthread_attr_setstacksize(&attributes, 512 * 1024));
  assert_int_equal(0, pthread_create(&thread, &attributes, nest_on_a_short_stack, *context));
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
}

static void every_way_to_them_leads_to_ours(void **context) {
  fixture_expect(*context,
                 "local original = string.find local same = ('').find == original "
                 "same = same and getmetatable('').__index == string and require('string') == string "
                 "local info = debug.getinfo(string.find) return same and info.what == 'C'",
                 "true");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_patterns_match_as_luajit_has_it),
      cmocka_unit_test(every_character_is_of_the_same_classes),
      cmocka_unit_test(arguments_are_taken_and_refused_as_luajit_does),
      cmocka_unit_test_setup_teardown(what_backtracks_for_ever_is_stopped, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(the_report_names_the_function_and_its_line, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(a_thousand_nested_callbacks_are_fine, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(deeper_ones_are_an_error_that_pcall_catches, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(a_short_stack_is_not_run_past, set_up_patient, fixture_free),
      cmocka_unit_test_setup_teardown(every_way_to_them_leads_to_ours, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
