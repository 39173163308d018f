/* SPDX-License-Identifier: MIT
 *
 * Records counted by what they have in common: in one table, from several, the largest, and within bounds. */
#include "reports/groups.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct item {
  const char *name;
  struct record_host target;
  uint16_t port;
  uint64_t age;
};

static const struct record_field fields[] = {
    RECORD_FIELD(item, NULL, "name", name, 0),
    RECORD_FIELD(item, NULL, "target", target, 0),
    RECORD_FIELD(item, NULL, "port", port, 0),
    RECORD_FIELD_AS(RECORD_MS, item, NULL, "age", age, 0),
};
static const struct record_type type = {.size = sizeof(struct item), .fields = fields, .field_count = 4};
static const struct record_field *const order = &fields[3];

static const struct group_way by_name = {"name", {&fields[0]}};
static const struct group_way by_target = {"target", {&fields[1]}};
static const struct group_way by_both = {"name port", {&fields[0], &fields[2]}};

static void count(struct group_table *table, const struct group_way *way, const struct item *item) {
  assert_true(group_table_count(table, way, &type, order, item));
}

static const struct item *at(const struct group_table *table, size_t index, size_t expected) {
  assert_true(index < table->count);
  assert_int_equal(table->groups[index]->count, expected);
  return table->groups[index]->oldest;
}

static void equal_ones_are_counted_together_and_the_oldest_stands_for_them(void **state) {
  (void)state;
  struct group_table table = {.count = 0};
  char name[] = "a";
  count(&table, &by_name, &(struct item){.name = name, .age = 5, .port = 1});
  name[0] = 'b';
  count(&table, &by_name, &(struct item){.name = name, .age = 1});
  count(&table, &by_name, &(struct item){.name = "b", .age = 7, .port = 2});
  count(&table, &by_name, &(struct item){.name = "b", .age = 3});
  count(&table, &by_name, &(struct item){.name = NULL, .age = 9});
  group_table_cut(&table, &by_name, 8);
  assert_int_equal(table.count, 2);
  assert_string_equal(at(&table, 0, 3)->name, "b");
  assert_int_equal(at(&table, 0, 3)->port, 2);
  assert_string_equal(at(&table, 1, 1)->name, "a");
  group_table_clear(&table);
}

static void a_target_is_its_port_too_and_a_way_may_have_two_fields(void **state) {
  (void)state;
  struct group_table targets = {.count = 0}, both = {.count = 0};
  for (int port = 80; port < 83; port++) {
    count(&targets, &by_target, &(struct item){.target = {"host", port}});
    count(&both, &by_both, &(struct item){.name = "a", .port = (uint16_t)(port / 2)});
  }
  assert_int_equal(targets.count, 3);
  assert_int_equal(both.count, 2);
  group_table_clear(&targets);
  group_table_clear(&both);
}

static void those_of_several_are_added_up(void **state) {
  (void)state;
  struct group_table all = {.count = 0}, parts[2] = {{.count = 0}, {.count = 0}};
  for (uint64_t i = 0; i < 2; i++) {
    count(&parts[i], &by_name, &(struct item){.name = "both", .age = 10 + i});
    count(&parts[i], &by_name, &(struct item){.name = i ? "second" : "first", .age = 1});
    group_table_cut(&parts[i], NULL, GROUPS_SENT);
    assert_true(group_table_merge(&all, &parts[i], &by_name, order));
  }
  group_table_cut(&all, &by_name, 2);
  assert_int_equal(all.count, 2);
  assert_int_equal(at(&all, 0, 2)->age, 11);
  assert_string_equal(at(&all, 1, 1)->name, "first");
  group_table_clear(&all);
  group_table_clear(&parts[0]);
  group_table_clear(&parts[1]);
}

static void the_largest_are_kept_in_their_order(void **state) {
  (void)state;
  struct group_table table = {.count = 0};
  char name[16];
  for (int i = 0; i < 300; i++)
    for (int k = 0; k <= i % 100; k++) {
      snprintf(name, sizeof name, "n%d", i);
      count(&table, &by_name, &(struct item){.name = name});
    }
  group_table_cut(&table, &by_name, 5);
  static const char *const names[] = {"n199", "n299", "n99", "n198", "n298"};
  assert_int_equal(table.count, 5);
  for (size_t i = 0; i < 5; i++)
    assert_string_equal(at(&table, i, i < 3 ? 100 : 99)->name, names[i]);
  group_table_clear(&table);
}

static void a_flood_of_new_ones_takes_no_more_room(void **state) {
  (void)state;
  struct group_table table = {.count = 0};
  char name[16];
  for (int i = 0; i < GROUPS_MOST + 100; i++) {
    snprintf(name, sizeof name, "n%d", i);
    count(&table, &by_name, &(struct item){.name = name});
  }
  assert_int_equal(table.count, GROUPS_MOST);
  count(&table, &by_name, &(struct item){.name = "n7"});
  group_table_cut(&table, NULL, 1);
  assert_string_equal(at(&table, 0, 2)->name, "n7");
  group_table_clear(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_ones_are_counted_together_and_the_oldest_stands_for_them),
      cmocka_unit_test(a_target_is_its_port_too_and_a_way_may_have_two_fields),
      cmocka_unit_test(those_of_several_are_added_up),
      cmocka_unit_test(the_largest_are_kept_in_their_order),
      cmocka_unit_test(a_flood_of_new_ones_takes_no_more_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
