/* SPDX-License-Identifier: MIT
 *
 * The words for the values of enums: each value has one, and no two have the same. That a table is as long as its enum
 * is asserted where it stands; a hole in it is seen here. */
#include "connection/class.h"
#include "connection/connection.h"
#include "metrics/shard.h"
#include "routing/choice.h"
#include "tls/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

enum { MOST = 64 };

struct words {
  const char *words[MOST];
  size_t count;
};

static void add(struct words *words, const char *word) {
  assert_non_null(word);
  assert_in_range(words->count, 0, MOST - 1);
  for (size_t i = 0; i < words->count; i++)
    assert_string_not_equal(word, words->words[i]);
  words->words[words->count++] = word;
}

#define CHECK(name, type, end, label)                                                                                  \
  static void test_##name(void **state) {                                                                              \
    (void)state;                                                                                                       \
    struct words words = {.count = 0};                                                                                 \
    for (unsigned value = 0; value < (unsigned)(end); value++)                                                         \
      add(&words, label((enum type)value));                                                                            \
  }

CHECK(sides, pipe_side, PIPE_SIDES, pipe_side_label)
CHECK(reasons, close_reason, CLOSE_REASON_COUNT, close_reason_label)
CHECK(states, connection_state, CONNECTION_STATE_COUNT, connection_state_label)
CHECK(classes, connection_class, CONNECTION_CLASS_COUNT, connection_class_label)
CHECK(errors, metric_error, METRIC_ERROR_COUNT, metric_error_label)
CHECK(overheads, metric_overhead, METRIC_OVERHEAD_COUNT, metric_overhead_label)
CHECK(clauses, route_clause, ROUTE_CLAUSE_COUNT, route_clause_label)
CHECK(ties, route_tie, ROUTE_TIE_COUNT, route_tie_label)

/* Lists that end with NULL: one that had a hole would end there. */
static void test_lists_are_whole(void **state) {
  (void)state;
  struct words words = {.count = 0};
  for (size_t i = 0; i <= ROUTE_CLOSE; i++)
    add(&words, route_on_change_words[i]);
  assert_null(route_on_change_words[ROUTE_CLOSE + 1]);
  for (size_t i = 0; i <= KEEP_ALIVE_IMMORTAL; i++)
    add(&words, keep_alive_words[i]);
  assert_null(keep_alive_words[KEEP_ALIVE_IMMORTAL + 1]);
}

static void test_versions_are_found_by_their_labels(void **state) {
  (void)state;
  for (unsigned version = TLS_1_0; version <= TLS_1_3; version <<= 1)
    assert_int_equal(tls_version_from_label(tls_version_label(version)), version);
  assert_int_equal(tls_version_from_label("1.4"), 0);
  assert_int_equal(TLS_ALL, TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3);
  assert_null(tls_version_label(0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sides),           cmocka_unit_test(test_reasons),
      cmocka_unit_test(test_states),          cmocka_unit_test(test_classes),
      cmocka_unit_test(test_errors),          cmocka_unit_test(test_overheads),
      cmocka_unit_test(test_clauses),         cmocka_unit_test(test_ties),
      cmocka_unit_test(test_lists_are_whole), cmocka_unit_test(test_versions_are_found_by_their_labels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
