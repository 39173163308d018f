/* SPDX-License-Identifier: MIT
 *
 * The log: the form of a line in both formats, with strings that try to break it, and how lines are cut and limited. */
#include "core/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fixture {
  struct clock clock;
  struct log log;
  int reader;
  char line[3 * 8192];
};

static int set_up(void **state) {
  static struct fixture fixture;
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
    return -1;
  memset(&fixture, 0, sizeof fixture);
  fixture.reader = ends[0];
  log_init(&fixture.log, &fixture.clock, ends[1]);
  *state = &fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  close(f->reader);
  close(f->log.printer.fd);
  return 0;
}

/* Takes what was written, and returns it from behind the time on. */
static const char *written(struct fixture *f) {
  ssize_t size = read(f->reader, f->line, sizeof f->line - 1);
  f->line[size > 0 ? size : 0] = '\0';
  const char *level = strstr(f->line, f->log.format == LOG_JSON ? ",\"level\"" : " level=");
  return level ? level + 1 : f->line;
}

static const char *written_string(struct fixture *f, const char *value) {
  LOG(&f->log, LOG_INFO, "m", LOG_STRING("k", value));
  const char *line = written(f);
  const char *start = f->log.format == LOG_JSON ? "\"level\":\"info\",\"msg\":\"m\",\"k\":" : "level=info msg=\"m\" k=";
  assert_memory_equal(line, start, strlen(start));
  char *end = strchr(line, '\n');
  assert_non_null(end);
  assert_string_equal(end, "\n");
  end[f->log.format == LOG_JSON ? -1 : 0] = '\0';
  return line + strlen(start);
}

static void logfmt_has_level_message_and_fields(void **state) {
  struct fixture *f = *state;
  LOG(&f->log, LOG_WARN, "going down", LOG_STRING("route", "page"), LOG_INTEGER("port", 8080), LOG_NUMBER("age", 1.5),
      LOG_STRING("absent", NULL), LOG_INTEGER("least", INT64_MIN));
  assert_string_equal(written(f),
                      "level=warn msg=\"going down\" route=page port=8080 age=1.5 least=-9223372036854775808\n");
  LOG(&f->log, LOG_ERROR, "alone");
  assert_string_equal(written(f), "level=error msg=\"alone\"\n");
}

static void json_has_level_message_and_fields(void **state) {
  struct fixture *f = *state;
  f->log.format = LOG_JSON;
  LOG(&f->log, LOG_WARN, "going down", LOG_STRING("route", "page"), LOG_INTEGER("port", 8080), LOG_NUMBER("age", 0.25),
      LOG_STRING("absent", NULL), LOG_NUMBER("none", (double)NAN), LOG_NUMBER("all", (double)INFINITY));
  assert_string_equal(written(f),
                      "\"level\":\"warn\",\"msg\":\"going down\",\"route\":\"page\",\"port\":8080,\"age\":0.25,"
                      "\"none\":null,\"all\":null}\n");
  assert_memory_equal(f->line, "{\"time\":\"", 9);
}

static void the_time_is_in_utc_with_milliseconds_and_moves_with_the_clock(void **state) {
  struct fixture *f = *state;
  clock_advance(&f->clock, UINT64_C(36525) * 86400 * 1000000000);
  double before = clock_wall(&f->clock);
  LOG(&f->log, LOG_INFO, "m");
  double after = clock_wall(&f->clock);
  written(f);
  struct tm utc = {0};
  int ms = -1, read_up_to = 0;
  int got = sscanf(f->line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                   &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms, &read_up_to);
  assert_int_equal(got, 7);
  assert_int_equal(read_up_to, strlen("time=2026-11-21T13:00:00.123Z "));
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  double logged = (double)timegm(&utc) + ms / 1000.0;
  assert_true(logged > before - 0.002 && logged <= after + 0.001);
}

static void levels_below_the_logs_are_left_out(void **state) {
  struct fixture *f = *state;
  int evaluated = 0;
  LOG(&f->log, LOG_DEBUG, "no", LOG_INTEGER("n", ++evaluated));
  assert_int_equal(evaluated, 0);
  log_write(&f->log, LOG_DEBUG, "no", NULL, 0);
  f->log.level = LOG_OFF;
  LOG(&f->log, LOG_ERROR, "no");
  assert_string_equal(written(f), "");
}

static void logfmt_quotes_what_needs_it(void **state) {
  struct fixture *f = *state;
  static const char *const pairs[][2] = {
      {"plain-1.2.3.4:80/x?y", "plain-1.2.3.4:80/x?y"},
      {"", "\"\""},
      {"a b", "\"a b\""},
      {"a=b", "\"a=b\""},
      {"say \"x\"", "\"say \\\"x\\\"\""},
      {"back\\slash", "\"back\\\\slash\""},
      {"a\nlevel=error", "\"a\\nlevel=error\""},
      {"\t\r", "\"\\t\\r\""},
      {"\x1b[31m\x7f", "\"\\x1b[31m\\x7f\""},
      {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
      {"\xC2\x9B"
       "31m",
       "\"\\xc2\\x9b31m\""},
      {"\xFF\xC3", "\"\\xff\\xc3\""},
      {"\xC0\xAF", "\"\\xc0\\xaf\""},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    assert_string_equal(written_string(f, pairs[i][0]), pairs[i][1]);
}

static void json_strings_are_escaped_and_always_utf8(void **state) {
  struct fixture *f = *state;
  f->log.format = LOG_JSON;
  static const char *const pairs[][2] = {
      {"plain", "\"plain\""},
      {"", "\"\""},
      {"\"\\/", "\"\\\"\\\\/\""},
      {"\n\t\r", "\"\\n\\t\\r\""},
      {"\x01\x1b\x7f", "\"\\u0001\\u001b\\u007f\""},
      {"\xC2\x9B", "\"\\u009b\""},
      {"\xF0\x9F\x8C\x99", "\"\xF0\x9F\x8C\x99\""},
      {"a\xFFz", "\"a\xEF\xBF\xBDz\""},
      {"\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    assert_string_equal(written_string(f, pairs[i][0]), pairs[i][1]);
}

/* Fills a line so that its end falls anywhere in what follows, in both formats. */
static void a_line_that_is_too_long_is_cut_and_stays_well_formed(void **state) {
  struct fixture *f = *state;
  static const char *const units[] = {"x", "\n", "\x01", "\xE2\x82\xAC", "\xFF", "\""};
  for (int format = LOG_LOGFMT; format <= LOG_JSON; format++)
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
      for (size_t filler = 8000; filler < 8192; filler += 1 + u) {
        char first[8193] = "", second[400] = "";
        memset(first, 'f', filler);
        size_t length = strlen(units[u]);
        for (size_t at = 0; at + length < sizeof second; at += length)
          memcpy(second + at, units[u], length);
        f->log.format = (enum log_format)format;
        LOG(&f->log, LOG_INFO, "m", LOG_STRING("first", first), LOG_STRING("second", second),
            LOG_INTEGER("third", 12345));
        written(f);
        size_t size = strlen(f->line);
        assert_in_range(size, 7900, 8192);
        assert_ptr_equal(strchr(f->line, '\n'), f->line + size - 1);
        int quotes = 0;
        for (size_t i = 0; i < size; i++) {
          quotes += f->line[i] == '"';
          if (f->line[i] == '\\')
            i++;
        }
        assert_int_equal(quotes % 2, 0);
        if (format == LOG_JSON)
          assert_true(strcmp(f->line + size - 3, "\"}\n") == 0 || strcmp(f->line + size - 7, "12345}\n") == 0);
        const char *third = strstr(f->line, "third");
        assert_true(!third || strstr(third, "12345"));
        const char *key = strstr(f->line, "second");
        assert_true(!key || strpbrk(key, "=:"));
      }
}

static void a_message_that_is_too_long_is_cut_too(void **state) {
  struct fixture *f = *state;
  static char message[20000];
  memset(message, 'm', sizeof message - 1);
  LOG(&f->log, LOG_INFO, message, LOG_INTEGER("n", 1));
  const char *line = written(f);
  assert_in_range(strlen(f->line), 8180, 8192);
  assert_string_equal(line + strlen(line) - 3, "m\"\n");
}

static void a_log_that_nobody_reads_does_not_block(void **state) {
  struct fixture *f = *state;
  errno = ERANGE;
  for (int i = 0; i < 5000; i++)
    LOG(&f->log, LOG_INFO, "a line of some length, so that the pipe fills before long", LOG_INTEGER("i", i));
  assert_int_equal(errno, ERANGE);
}

static void a_limit_lets_one_a_second_pass_and_counts_the_rest(void **state) {
  (void)state;
  struct log_limit limit = {0};
  uint64_t suppressed = 99;
  assert_true(log_limit_pass(&limit, 5, &suppressed));
  assert_int_equal(suppressed, 0);
  for (clock_ms now = 5; now < 1005; now += 10)
    assert_false(log_limit_pass(&limit, now, &suppressed));
  assert_true(log_limit_pass(&limit, 1005, &suppressed));
  assert_int_equal(suppressed, 100);
  assert_false(log_limit_pass(&limit, 1500, &suppressed));
  assert_true(log_limit_pass(&limit, 90000, &suppressed));
  assert_int_equal(suppressed, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(logfmt_has_level_message_and_fields, set_up, tear_down),
      cmocka_unit_test_setup_teardown(json_has_level_message_and_fields, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_time_is_in_utc_with_milliseconds_and_moves_with_the_clock, set_up, tear_down),
      cmocka_unit_test_setup_teardown(levels_below_the_logs_are_left_out, set_up, tear_down),
      cmocka_unit_test_setup_teardown(logfmt_quotes_what_needs_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(json_strings_are_escaped_and_always_utf8, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_line_that_is_too_long_is_cut_and_stays_well_formed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_message_that_is_too_long_is_cut_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_log_that_nobody_reads_does_not_block, set_up, tear_down),
      cmocka_unit_test(a_limit_lets_one_a_second_pass_and_counts_the_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
