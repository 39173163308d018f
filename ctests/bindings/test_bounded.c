/* SPDX-License-Identifier: MIT
 *
 * lua/moongate/bounded.lua and bounded_files.lua: what stands in the place of Lua's own functions does as they do.
 * (That it is bounded, test_watchdog.c shows.) */
#include "../support/script_fixture.h"

static int set_up(void **context) { return fixture_new(context, 20 * 1000, 64 * 1024 * 1024); }

static const struct {
  const char *code, *expected;
} cases[] = {
    {"return tostring(nil) .. tostring(true) .. tostring(1.5)", "niltrue1.5"},
    {"return tostring(setmetatable({}, { __tostring = function() return 'me' end }))", "me"},
    {"return select('#', tostring(setmetatable({}, { __tostring = function() return 1, 2, 3 end })))", "3"},
    {"return (select(2, pcall(function() tostring() end)))",
     "test.lua:1: bad argument #1 to 'tostring' (value expected)"},
    {"return select('#', pcall(function(...) return ... end, nil, nil))", "3"},
    {"return (select(2, pcall(pcall)))", "bad argument #1 to '?' (value expected)"},
    {"local ok, text = pcall(error, { 'x' }) return tostring(ok) .. text[1]", "falsex"},
    {"local _, text = xpcall(function(a) error(a, 0) end, function(m) return m .. '!' end, 'no') return text", "no!"},
    {"local _, a = xpcall(function(...) return select('#', ...) end, print, nil, nil) return tostring(a)", "2"},
    {"local function f() return 1 + f() end local _, m = xpcall(f, debug.traceback) return m:match('stack overflow')",
     "stack overflow"},
    {"return (select(2, pcall(xpcall, error, 1))):match('function expected')", "function expected"},
    {"local co = coroutine.wrap(function() return pcall(function() return coroutine.yield(1) end) end) co() "
     "return tostring(select(2, co('back')))",
     "back"},
    {"return ('%s %d %q %5.1f %% %s'):format('a', 2, 'b', 1.5, nil)", "a 2 \"b\"   1.5 % nil"},
    {"local t = setmetatable({}, { __tostring = function() return 'me' end }) "
     "return ('%d%%%-4s|%s|%s'):format(1, t, 'x', t)",
     "1%me  |x|me"},
    {"return (select(2, pcall(string.format, '%d', {}))):match('number expected, got table')",
     "number expected, got table"},
    {"return (select(2, pcall(string.format, '%s'))):match('bad argument #2')", "bad argument #2"},
    {"return tostring((string.format('%s', io.stdout)):match('^file') ~= nil)", "true"},
    {"local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 6, 5) table.insert(t, 9, 9) "
     "return table.concat(t, ' ', 1, 6) .. t[9]",
     "0 1 2 3 4 59"},
    {"local t = { 1 } table.insert(t, 0, 'x') return tostring(t[0]) .. tostring(t[1]) .. tostring(t[2])", "xnil1"},
    {"local t = setmetatable({}, { __newindex = error }) table.insert(t, 'raw') return t[1]", "raw"},
    {"return (select(2, pcall(function() table.insert(nil, 1) end)))",
     "test.lua:1: bad argument #1 to 'insert' (table expected, got nil)"},
    {"return (select(2, pcall(function() table.insert({}, 1, 2, 3) end)))",
     "test.lua:1: wrong number of arguments to 'insert'"},
    {"return (select(2, pcall(function() table.insert({}, 2 ^ 31, 1) end)))",
     "test.lua:1: bad argument #2 to 'insert' (position out of bounds)"},
    {"for n = 0, 300 do local t = {} for i = 1, n do t[i] = i * 7919 % 101 end table.sort(t) "
     "for i = 2, n do assert(t[i - 1] <= t[i]) end assert(#t == n) end return 'sorted'",
     "sorted"},
    {"local t = {} for i = 1, 99 do t[i] = { key = i % 10, at = i } end "
     "table.sort(t, function(a, b) return a.key > b.key end) for i = 2, 99 do local a, b = t[i - 1], t[i] "
     "assert(a.key > b.key or a.key == b.key and a.at < b.at) end return 'sorted'",
     "sorted"},
    {"local t = setmetatable({ 3, 1, 2 }, { __index = error, __newindex = error }) table.sort(t) "
     "return table.concat(t, ' ')",
     "1 2 3"},
    {"return (select(2, pcall(function() table.sort({ 1, {} }) end)))",
     "test.lua:1: attempt to compare table with number"},
    {"local _, e = pcall(table.sort, { 1, 2 }, function() error({ 'mine' }) end) return e[1]", "mine"},
    {"return (select(2, pcall(function() table.sort() end)))",
     "test.lua:1: bad argument #1 to 'sort' (table expected, got no value)"},
    {"local function of(v) return setmetatable({}, { __tostring = function() return v end }) end "
     "return ('%s %5s %.1s %q %s'):format(of(42), of(0.5), of('two'), of('a\"'), of(false))",
     "42   0.5 t \"a\\\"\" false"},
    {"local never = setmetatable({}, { __tostring = function() error('asked again') end }) "
     "local o = setmetatable({}, { __tostring = function() return never end }) "
     "return (('%s'):format(o):gsub('0x%x+', 'at'))",
     "table: at"},
    {"local n = 0 return tostring(load(function() n = n + 1 return ({ 'return ', 42 })[n] end)())", "42"},
    {"table.sort({ 2, 1 }, function(a, b) moongate.sleep(0) return a < b end) return 'waited'", "waited"},
    {"local f = io.tmpfile() f:write('one\\n\\ntwo\\0x\\n3.5 end') f:seek('set') local t = {} "
     "for line in f:lines() do t[#t + 1] = #line end return table.concat(t, ' ')",
     "3 0 5 7"},
    {"local f = io.tmpfile() f:write('one\\ntwo\\n7 rest') f:seek('set') local a, b, c, d = f:read('*L', 'l', '*n', "
     "'*a') return a .. b .. c .. d .. tostring(f:read()) .. tostring(f:read('*a'))",
     "one\ntwo7 restnil"},
    {"local f = io.tmpfile() f:write('a') f:seek('set') return select('#', f:read(1, 1, 1))", "2"},
    {"local f = io.tmpfile() f:close() return (select(2, pcall(f.read, f)))", "attempt to use a closed file"},
    {"local a, b, c = io.open('/'):read() return tostring(a) .. b .. c", "nilIs a directory21"},
    {"local ok, e = pcall(io.lines, '/no/such') return e", "/no/such: No such file or directory"},
    {"local n = 0 for _ in io.lines('/proc/self/status') do n = n + 1 end return tostring(n > 10)", "true"},
    {"local it = io.lines('/dev/null') it() return (select(2, pcall(it)))", "file is already closed"},
    {"return tostring(io.type(io.stdout)) .. tostring(io.stdout.__index) .. tostring(io.stdout.__gc)", "filenilnil"},
    {"return type(collectgarbage('count')) .. tostring(collectgarbage('isrunning'))", "numbertrue"},
};

static void they_do_as_luas_own(void **context) {
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct outcome outcome;
    fixture_run(*context, cases[i].code, &outcome, NULL);
    if (outcome.end != TASK_RETURNED || strcmp(outcome.text, cases[i].expected) != 0)
      fail_msg("%s\ngave %s\nnot  %s", cases[i].code, outcome.text, cases[i].expected);
  }
}

static void print_takes_what_tostring_makes(void **context) {
  fixture_expect(*context, "print('a', nil, setmetatable({}, { __tostring = function() return 'me' end })) return 1",
                 "1");
  fixture_expect(*context,
                 "return tostring(pcall(print, setmetatable({}, { __tostring = function() return 0.5 end })))", "true");
  fixture_expect(*context,
                 "tostring = function() return {} end return (select(2, pcall(print, {}))):match(\"'tostring'.*\")",
                 "'tostring' must return a string to 'print'");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(they_do_as_luas_own, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(print_takes_what_tostring_makes, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
