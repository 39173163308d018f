/* SPDX-License-Identifier: MIT
 *
 * Selecting records: what a clause means, which are kept of many, and pages over several selections. */
#include "reports/selection.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct animal {
  struct record_id id;
  uint16_t legs;
  uint64_t age; /* ms */
  const char *name, *kind;
  struct ip_address address;
  struct record_host host;
  bool tame, hungry;
};

static unsigned completed;

static void complete_animal(void *record, const void *source) {
  (void)source;
  ((struct animal *)record)->hungry = ((struct animal *)record)->legs > 2;
  completed++;
}

static const struct record_field fields[] = {
    RECORD_FIELD(animal, NULL, "id", id, 0),
    RECORD_FIELD(animal, NULL, "legs", legs, 0),
    RECORD_FIELD_AS(RECORD_MS, animal, NULL, "age", age, 0),
    RECORD_FIELD(animal, NULL, "name", name, 0),
    RECORD_FIELD_AS(RECORD_WORD, animal, "its", "kind", kind, 0),
    RECORD_FIELD(animal, NULL, "address", address, 0),
    RECORD_FIELD(animal, NULL, "host", host, 0),
    RECORD_FIELD(animal, NULL, "tame", tame, 0),
    RECORD_FIELD(animal, NULL, "hungry", hungry, RECORD_COSTLY),
};

static const struct record_type animals = {sizeof(struct animal), fields, sizeof fields / sizeof fields[0],
                                           complete_animal};

static struct animal animal_of(unsigned worker, uint64_t number, uint64_t age) {
  struct animal animal = {.id = {worker, number},
                          .legs = 4,
                          .age = age,
                          .name = "Rex",
                          .kind = "dog",
                          .host = {"stable.example", 80},
                          .tame = true};
  ip_address_from_literal(&animal.address, "10.1.2.3");
  return animal;
}

/* The arguments, as Lua hands them down. */
static struct value *arguments_of(const char *sort, bool descending, double limit, double offset) {
  struct value *arguments = value_table();
  value_set_string(arguments, "sort", sort);
  value_set_boolean(arguments, "descending", descending);
  value_set_number(arguments, "limit", limit);
  value_set_number(arguments, "offset", offset);
  value_set_table(arguments, "where");
  return arguments;
}

static bool is_meant(const char *key, const char *text, double number) {
  struct selection_query query;
  struct selection selection = {.count = 0};
  struct error error;
  struct animal animal = animal_of(1, 7, 5000);
  struct value *arguments = arguments_of(NULL, false, 0, 0), *where = (struct value *)value_get(arguments, "where");
  if (text)
    value_set_string(where, key, text);
  else
    value_set_number(where, key, number);
  assert_int_equal(selection_query_init(&query, &animals, arguments, &error), 0);
  selection_take(&selection, &query, &animal, NULL);
  selection_query_deinit(&query);
  value_free(arguments);
  assert_int_equal(selection.count, 0);
  return selection.matched == 1;
}

static void clauses_mean_what_they_say(void **state) {
  (void)state;
  assert_true(is_meant("name", "Rex", 0));
  assert_false(is_meant("name", "rex", 0));
  assert_true(is_meant("name~", "r*", 0));
  assert_true(is_meant("its.kind", "dog", 0));
  assert_false(is_meant("its.kind", "cat", 0));
  assert_true(is_meant("legs", NULL, 4));
  assert_false(is_meant("legs", NULL, 2));
  assert_true(is_meant("age>=", NULL, 5));
  assert_false(is_meant("age>=", NULL, 5.001));
  assert_true(is_meant("address", "10.0.0.0/8", 0));
  assert_false(is_meant("address", "10.1.2.4", 0));
  assert_true(is_meant("host~", "STABLE*", 0));
  assert_true(is_meant("host~", "*:80", 0));
  assert_false(is_meant("host~", "*:81", 0));
  assert_true(is_meant("id", "1-6,1-7", 0));
  assert_false(is_meant("id", "1-07,x,2-7", 0));
  assert_true(is_meant("tame", NULL, 1));
}

static void what_is_costly_is_filled_only_where_it_is_needed(void **state) {
  (void)state;
  completed = 0;
  assert_false(is_meant("legs", NULL, 2));
  assert_int_equal(completed, 0);
  assert_true(is_meant("hungry", NULL, 1));
  assert_int_equal(completed, 1);
}

static int refusal_of(const char *key, const char *sort, double limit, double offset) {
  struct selection_query query;
  struct error error;
  struct value *arguments = arguments_of(sort, false, limit, offset);
  if (key)
    value_set_string((struct value *)value_get(arguments, "where"), key, "x");
  int status = selection_query_init(&query, &animals, arguments, &error);
  selection_query_deinit(&query);
  value_free(arguments);
  return status;
}

static void what_can_not_be_is_refused(void **state) {
  (void)state;
  assert_int_equal(refusal_of("colour", NULL, 1, 0), -EINVAL);
  assert_int_equal(refusal_of("legs", NULL, 1, 0), -EINVAL);
  assert_int_equal(refusal_of("address", NULL, 1, 0), -EINVAL);
  assert_int_equal(refusal_of(NULL, "colour", 1, 0), -EINVAL);
  assert_int_equal(refusal_of(NULL, "hungry", 1, 0), -EINVAL);
  assert_int_equal(refusal_of(NULL, "age", 1, SELECTION_MOST), -EINVAL);
  assert_int_equal(refusal_of(NULL, "age", 0, 1e12), 0);
  assert_int_equal(refusal_of("name", "age", 1, SELECTION_MOST - 1), 0);
}

/* Ages come in an order that has nothing to do with them; two of each. */
static void a_page_is_what_sorting_all_would_give(void **state) {
  (void)state;
  enum { WORKERS = 3, MANY = 1000, LIMIT = 7, OFFSET = 5 };
  struct selection_query query;
  struct error error;
  struct selection of[WORKERS] = {{.count = 0}}, *pointers[WORKERS];
  struct value *arguments = arguments_of("age", true, LIMIT, OFFSET);
  assert_int_equal(selection_query_init(&query, &animals, arguments, &error), 0);
  for (unsigned i = 0; i < WORKERS * MANY; i++) {
    struct animal animal = animal_of(1 + i % WORKERS, i, (uint64_t)i * 7919 % (WORKERS * MANY) / 2);
    char name[16];
    snprintf(name, sizeof name, "%u", i); /* of which a copy has to be kept */
    animal.name = name;
    selection_take(&of[i % WORKERS], &query, &animal, NULL);
  }
  size_t found;
  for (unsigned i = 0; i < WORKERS; i++) {
    pointers[i] = &of[i];
    assert_int_equal(of[i].matched, MANY);
    assert_int_equal(of[i].count, LIMIT + OFFSET);
    assert_false(selection_sort(&of[i], &query, LIMIT));
    assert_true(selection_sort(&of[i], &query, OFFSET));
  }
  struct animal **page = (struct animal **)selections_merge(pointers, WORKERS, &query, &found);
  assert_int_equal(found, LIMIT);
  for (unsigned i = 0; i < LIMIT; i++) {
    assert_int_equal(page[i]->age, (WORKERS * MANY - 1 - OFFSET - i) / 2);
    assert_int_equal(strtoul(page[i]->name, NULL, 10), page[i]->id.number);
    if (i > 0 && page[i]->age == page[i - 1]->age)
      assert_true(page[i]->id.worker >= page[i - 1]->id.worker);
  }
  for (unsigned i = 0; i < LIMIT; i++)
    free(page[i]);
  free(page);
  for (unsigned i = 0; i < WORKERS; i++)
    selection_clear(&of[i]);
  selection_query_deinit(&query);
  value_free(arguments);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clauses_mean_what_they_say),
      cmocka_unit_test(what_is_costly_is_filled_only_where_it_is_needed),
      cmocka_unit_test(what_can_not_be_is_refused),
      cmocka_unit_test(a_page_is_what_sorting_all_would_give),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
