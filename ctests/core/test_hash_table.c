/* SPDX-License-Identifier: MIT
 *
 * core/hash_table.h: what is entered is found, also when hashes are the same and while it grows, until it is removed.
 */
#include "core/hash_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

enum { ENTRIES = 5000, CHAIN_BITS = 16 };

struct entry {
  int number;
  struct hash_node node;
};

static struct entry entries[ENTRIES];
static size_t seen;

/* Pairs of entries share a hash, and chains are shared by more. */
static uint64_t hash_for(int number) { return (uint64_t)(number / 2 % 1000) << CHAIN_BITS | (uint64_t)(number / 2); }

static bool has(const struct hash_table *table, int number) {
  for (struct hash_node *node = hash_table_first(table, hash_for(number)); node; node = hash_table_next(node))
    if (HASH_OWNER(node, struct entry, node)->number == number)
      return true;
  return false;
}

static void fill(struct hash_table *table) {
  for (int i = 0; i < ENTRIES; i++) {
    entries[i].number = i;
    assert_int_equal(0, hash_table_enter(table, &entries[i].node, hash_for(i)));
  }
}

static void what_is_entered_is_found_while_it_grows(void **state) {
  struct hash_table table = {.chains = NULL};
  (void)state;
  assert_false(has(&table, 0));
  fill(&table);
  assert_int_equal(ENTRIES, table.count);
  assert_true(table.chain_count >= ENTRIES / 2);
  for (int i = 0; i < ENTRIES; i++)
    assert_true(has(&table, i));
  assert_false(has(&table, ENTRIES));
  hash_table_deinit(&table);
}

static void what_is_removed_is_found_no_more_and_its_like_is(void **state) {
  struct hash_table table = {.chains = NULL};
  (void)state;
  fill(&table);
  for (int i = 0; i < ENTRIES; i += 2)
    hash_table_remove(&table, &entries[i].node);
  assert_int_equal(ENTRIES / 2, table.count);
  for (int i = 0; i < ENTRIES; i++)
    assert_int_equal(i % 2 == 1, has(&table, i));
  hash_table_deinit(&table);
}

static void count_one(struct hash_node *node) { seen += HASH_OWNER(node, struct entry, node)->number >= 0; }

static void each_is_called_once(void **state) {
  struct hash_table table = {.chains = NULL};
  (void)state;
  fill(&table);
  seen = 0;
  hash_table_each(&table, count_one);
  assert_int_equal(ENTRIES, seen);
  hash_table_deinit(&table);
  hash_table_each(&table, count_one);
  assert_int_equal(ENTRIES, seen);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_entered_is_found_while_it_grows),
      cmocka_unit_test(what_is_removed_is_found_no_more_and_its_like_is),
      cmocka_unit_test(each_is_called_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
