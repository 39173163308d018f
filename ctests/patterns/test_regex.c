/* SPDX-License-Identifier: MIT
 *
 * patterns/regex.c: a subject that is tried some places at a time matches as it does at once, and what would take
 * minutes ends. */
#include "../support/script_fixture.h"
#include "patterns/regex.h"

#include <time.h>

enum { SEED = 4711, MADE_UP = 20 * 1000, LONGEST = 1200, PATTERN_SIZE = 128, PLAIN_LIMIT = 20 * 1000 };

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

static struct regex_engine engine_new(void) {
  struct regex_engine engine = {.general = pcre2_general_context_create(NULL, NULL, NULL)};
  engine.compiling = pcre2_compile_context_create(engine.general);
  engine.matching = pcre2_match_context_create(engine.general);
  engine.watching = pcre2_match_context_create(engine.general);
  engine.stack = pcre2_jit_stack_create(32 * 1024, 512 * 1024, engine.general);
  regex_engine_limit(&engine);
  return engine;
}

static void engine_free(struct regex_engine *engine) {
  pcre2_jit_stack_free(engine->stack);
  pcre2_match_context_free(engine->watching);
  pcre2_match_context_free(engine->matching);
  pcre2_compile_context_free(engine->compiling);
  pcre2_general_context_free(engine->general);
}

static struct regex *regex_new(const struct regex_engine *engine, const char *pattern, uint32_t options) {
  size_t size = strlen(pattern), place;
  struct regex *regex = calloc(1, sizeof *regex + size);
  assert_non_null(regex);
  regex->size = size;
  memcpy(regex->pattern, pattern, size);
  if (regex_init(regex, engine, options, &place) == 0)
    return regex;
  regex_deinit(regex);
  free(regex);
  return NULL;
}

static void regex_free(struct regex *regex) {
  regex_deinit(regex);
  free(regex);
}

static bool never(void *context) {
  (void)context;
  return false;
}

static const struct regex_question unasked = {never, NULL};

/* As PCRE2 has it by itself, in a program of its own. Cleared data, so that captures can be compared. */
static int match_at_once(const char *pattern, uint32_t compiled, const char *subject, size_t size, size_t offset,
                         uint32_t options, pcre2_match_data *data) {
  int error;
  size_t place;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), compiled, &error, &place, NULL);
  assert_non_null(code);
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  pcre2_set_match_limit(context, PLAIN_LIMIT);
  int count = pcre2_match(code, (PCRE2_SPTR)subject, size, offset, options, data, context);
  pcre2_match_context_free(context);
  pcre2_code_free(code);
  return count;
}

static void make_up_pattern(uint32_t *seed, char pattern[PATTERN_SIZE]) {
  static const char *const pieces[] = {
      "a",   "b",      "x",       "[ab]",   "[^a]",      "\\w",      "\\s",      "a*",        "b+",    ".*?",
      "(",   "(?:",    ")",       ")*",     ")+",        ")?",       "|",        "^",         "$",     "\\b",
      "\\G", "(?<=a)", "(?!b)",   "\\1",    "(*COMMIT)", "(*SKIP)",  "(*PRUNE)", "(*ACCEPT)", "\\K",   "x{2,}",
      "xy",  "z",      "(?<!x)b", "(?>a*)", "[xyz]",     "\xc3\xa9", ".",        "\\n",       "(?=z)", "(?m)^",
  };
  size_t size = 0;
  pattern[0] = '\0';
  for (unsigned left = 1 + next_random(seed) % 6; left > 0; left--) {
    const char *piece = pieces[next_random(seed) % (sizeof pieces / sizeof *pieces)];
    size += (size_t)snprintf(pattern + size, PATTERN_SIZE - size, "%s", piece);
  }
}

static size_t make_up_subject(uint32_t *seed, char subject[LONGEST + 8]) {
  static const char *const pieces[] = {"a", "b", "x", "y", " ", "\n", "\xc3\xa9", "aaaaaaaa", "xxxxxxxxxxxxxxxx", "z"};
  size_t size = 0, most = next_random(seed) % LONGEST, kinds = 2 + next_random(seed) % 9;
  const char *piece;
  for (; size < most; size += strlen(piece)) {
    piece = pieces[next_random(seed) % kinds];
    if (size + strlen(piece) > LONGEST)
      break;
    memcpy(subject + size, piece, strlen(piece));
  }
  return size;
}

static void some_places_at_a_time_are_as_all_at_once(void **context) {
  (void)context;
  struct regex_engine engine = engine_new();
  uint32_t seed = SEED;
  unsigned compared = 0;
  for (unsigned i = 0; i < MADE_UP; i++) {
    char pattern[PATTERN_SIZE], subject[LONGEST + 8];
    make_up_pattern(&seed, pattern);
    size_t size = make_up_subject(&seed, subject),
           offset = next_random(&seed) % 3 ? 0 : next_random(&seed) % (size + 1);
    uint32_t compiled = next_random(&seed) % 4 ? 0 : PCRE2_UTF,
             options = next_random(&seed) % 4 ? 0 : PCRE2_NOTEMPTY_ATSTART;
    while (compiled && offset > 0 && offset < size && ((unsigned char)subject[offset] & 0xc0) == 0x80)
      offset--;
    struct regex *regex = regex_new(&engine, pattern, compiled);
    if (regex == NULL)
      continue;
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex->code, NULL);
    int expected = match_at_once(pattern, compiled, subject, size, offset, options, data);
    int count = regex_match(regex, &engine, subject, size, offset, options, &unasked);
    if (expected != PCRE2_ERROR_MATCHLIMIT && count != expected)
      fail_msg("case %u: /%s/ at %zu of %zu: %d, and not %d", i, pattern, offset, size, count, expected);
    if (count > 0 && expected > 0 &&
        memcmp(pcre2_get_ovector_pointer(data), pcre2_get_ovector_pointer(regex->data),
               (size_t)count * 2 * sizeof(size_t)) != 0)
      fail_msg("case %u: /%s/ at %zu of %zu matched elsewhere", i, pattern, offset, size);
    compared += expected != PCRE2_ERROR_MATCHLIMIT;
    pcre2_match_data_free(data);
    regex_free(regex);
  }
  assert_true(compared > MADE_UP / 3);
  engine_free(&engine);
}

static const char *const long_ones[] = {
    "(?:(?!a*\\d).)*[bc]",
    "(?:(?!.*+\\d).)*[bc]",
    "(?:(?>a*)\\d|a)*[bc]",
    "(a*)(a*)\\1[bc]",
    "^(?:(a*)\\1\\1b|a)*$",
    "(.)(.*)\\1[bc]",
    "(?:.a)*[bc]",
    "a*a*a*[bc]",
    "(a+)+$[bc]",
    "(?:a|aa)+$[bc]",
    "\\G(?:.a)*[bc]|x\\G",
    "(?:.a)*[bc](*COMMIT)",
    "(?:a*?[^x]*b.ab)*$[bc]",
    "(ab?.*?\\w+xa*)*[yz]",
    "(?:.*?\\w+x|.)*[yz]",
};

static uint64_t thread_ns(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* The longest time between two questions. */
struct asked {
  uint64_t last_ns, longest_ns;
};

static bool note_question(void *context) {
  struct asked *asked = context;
  uint64_t now = thread_ns();
  if (now - asked->last_ns > asked->longest_ns)
    asked->longest_ns = now - asked->last_ns;
  asked->last_ns = now;
  return false;
}

static void what_would_take_minutes_ends_and_asks_meanwhile(void **context) {
  (void)context;
  static char subject[200 * 1000];
  struct regex_engine engine = engine_new();
  memset(subject, 'a', sizeof subject);
  for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++)
    for (size_t size = 1000; size <= sizeof subject; size = size * 14 + 4000) {
      struct regex *regex = regex_new(&engine, long_ones[i], 0);
      assert_non_null(regex);
      uint64_t began = thread_ns();
      struct asked asked = {.last_ns = began};
      struct regex_question question = {note_question, &asked};
      int count = regex_match(regex, &engine, subject, size, 0, 0, &question);
      uint64_t took = thread_ns() - began;
      note_question(&asked);
      if (count >= 0 || took > UINT64_C(3000000000) || asked.longest_ns > UINT64_C(1500000000))
        fail_msg("/%s/ on %zu: %d after %llu ms, %llu ms without a question", long_ones[i], size, count,
                 (unsigned long long)took / 1000000, (unsigned long long)asked.longest_ns / 1000000);
      regex_free(regex);
    }
  engine_free(&engine);
}

static int set_up(void **context) { return fixture_new(context, 50, 64 * 1024 * 1024); }

static void the_watchdog_stops_a_match(void **context) {
  struct outcome outcome;
  fixture_run(*context,
              "local regex = moongate.regex('(?:(?!a*\\\\d).)*[bc]')\nwhile true do regex:test(('a'):rep(20000)) end",
              &outcome, NULL);
  assert_int_equal(TASK_STOPPED, outcome.end);
  assert_non_null(strstr(outcome.text, "in function 'exec'"));
  fixture_expect(*context, "return moongate.regex('b+'):match(('a'):rep(20000) .. 'bbb')", "bbb");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(some_places_at_a_time_are_as_all_at_once),
      cmocka_unit_test(what_would_take_minutes_ends_and_asks_meanwhile),
      cmocka_unit_test_setup_teardown(the_watchdog_stops_a_match, set_up, fixture_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
