/* SPDX-License-Identifier: MIT
 *
 * bindings/sandbox.c: compiling text, which the watchdog stops in the middle. */
#include "../support/script_fixture.h"

#include <time.h>

static int set_up(void **context) { return fixture_new(context, 50, 128 * 1024 * 1024); }

static double thread_seconds(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Each function takes the parser some 60 ms, for the square of its jumps; all of them ten seconds. */
#define LONG "local text = ('function f() return ' .. ('a or '):rep(8000) .. 'a end '):rep(160) "

static void what_takes_long_to_compile_is_stopped(void **context) {
  static const char *const codes[] = {LONG "load(text)", LONG "while true do pcall(load, text) end",
                                      LONG "loadstring(text)",
                                      LONG "local given load(function() local t = not given and text given = true "
                                           "return t or nil end)"};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    struct outcome outcome;
    double began = thread_seconds();
    fixture_run(*context, codes[i], &outcome, NULL);
    if (outcome.end != TASK_STOPPED)
      fail_msg("%s\nended as %d: %s", codes[i], outcome.end, outcome.text);
    assert_true(thread_seconds() - began < 3);
    fixture_expect(*context, "return load('return 1 + 1')()", "2");
  }
}

static void text_is_compiled_whole(void **context) {
  fixture_expect(*context, "return load(('x = (x or 0) + 1 '):rep(3000) .. 'return x')()", "3000");
  fixture_expect(*context, "return #load('return \"' .. ('y'):rep(20000) .. '\"')()", "20000");
  fixture_expect(*context, "return load('return a', 'n', 't', { a = 'theirs' })()", "theirs");
  fixture_expect(*context, "return select(2, load('x x', '@name'))", "name:1: '=' expected near 'x'");
  fixture_expect(*context, "return select('#', load('return 1'))", "1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_takes_long_to_compile_is_stopped, set_up, fixture_free),
      cmocka_unit_test_setup_teardown(text_is_compiled_whole, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
