/* SPDX-License-Identifier: MIT
 *
 * Faults by the thousand: found by their file and by what they say. */
#include "../support/scaling.h"
#include "loading/load_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct fault_list *list, const char *file, int line, const char *message) {
  assert_int_equal(0, fault_list_add(list, file, line, "route", "field", message));
}

static void those_of_a_file_come_in_their_order(void **state) {
  struct fault_list list = {0};
  size_t count;
  (void)state;
  add(&list, "b", 2, "second");
  add(&list, "a", 1, "other");
  add(&list, "b", 1, "first");
  struct fault_index *index = fault_index_by_file(&list);
  const struct fault *const *faults = fault_index_of_file(index, "b", &count);
  assert_int_equal(2, count);
  assert_string_equal("second", faults[0]->message);
  assert_string_equal("first", faults[1]->message);
  fault_index_of_file(index, "c", &count);
  assert_int_equal(0, count);
  fault_index_free(index);
  fault_list_clear(&list);
}

static void what_says_the_same_is_found_with_its_line_or_without(void **state) {
  struct fault_list list = {0}, asked = {0};
  (void)state;
  add(&list, "a", 3, "x");
  add(&list, "a", 1, "x");
  add(&list, "b", 2, "x");
  add(&asked, "a", 1, "x");
  add(&asked, "a", 2, "x");
  add(&asked, "b", 2, "y");
  struct fault_index *index = fault_index_by_content(&list);
  assert_true(fault_index_has(index, &asked.faults[0], false));
  assert_false(fault_index_has(index, &asked.faults[1], false));
  assert_true(fault_index_has(index, &asked.faults[1], true));
  assert_false(fault_index_has(index, &asked.faults[2], true));
  fault_index_free(index);
  fault_list_clear(&list);
  fault_list_clear(&asked);
}

static double find_all(void *context, size_t count) {
  struct fault_list list = {0};
  char file[64];
  (void)context;
  for (size_t i = 0; i < count; i++) {
    snprintf(file, sizeof file, "routes/site-%zu.lua", i * 7919 % count);
    add(&list, file, 1, "is wrong");
  }
  double began = scaling_cpu();
  struct fault_index *by_file = fault_index_by_file(&list), *by_content = fault_index_by_content(&list);
  for (size_t i = 0; i < count; i++) {
    size_t found;
    fault_index_of_file(by_file, list.faults[i].file, &found);
    assert_int_equal(1, found);
    assert_true(fault_index_has(by_content, &list.faults[i], false));
  }
  double took = scaling_cpu() - began;
  fault_index_free(by_file);
  fault_index_free(by_content);
  fault_list_clear(&list);
  return took;
}

static void finding_all_grows_with_their_number(void **state) {
  (void)state;
  assert_scales(find_all, NULL, 5000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(those_of_a_file_come_in_their_order),
      cmocka_unit_test(what_says_the_same_is_found_with_its_line_or_without),
      cmocka_unit_test(finding_all_grows_with_their_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
