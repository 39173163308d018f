/* SPDX-License-Identifier: MIT
 *
 * Lists: order, removal of any node, removal while going through. */
#include "core/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

struct item {
  int number;
  struct list_node node;
};

static void nodes_come_in_the_order_they_were_added(void **state) {
  (void)state;
  struct list_node list;
  list_init(&list);
  assert_true(list_is_empty(&list));
  struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
  for (int i = 0; i < 3; i++)
    list_add_tail(&list, &items[i].node);
  assert_false(list_is_empty(&list));
  int count = 0;
  LIST_FOREACH(node, &list)
  assert_int_equal(LIST_OWNER(node, struct item, node)->number, count++);
  assert_int_equal(count, 3);
}

static void a_removed_node_is_gone_and_may_be_removed_again(void **state) {
  (void)state;
  struct list_node list;
  list_init(&list);
  struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
  for (int i = 0; i < 3; i++)
    list_add_tail(&list, &items[i].node);
  list_remove(&items[1].node);
  list_remove(&items[1].node);
  assert_ptr_equal(list.next, &items[0].node);
  assert_ptr_equal(items[0].node.next, &items[2].node);
  assert_ptr_equal(list.previous, &items[2].node);
  list_remove(&items[0].node);
  list_remove(&items[2].node);
  assert_true(list_is_empty(&list));
  list_add_tail(&list, &items[1].node);
  assert_ptr_equal(list.next, &items[1].node);
}

static void the_body_of_foreach_may_free_its_node(void **state) {
  (void)state;
  struct list_node list;
  list_init(&list);
  for (int i = 0; i < 10; i++) {
    struct item *item = malloc(sizeof *item);
    assert_non_null(item);
    item->number = i;
    list_add_tail(&list, &item->node);
  }
  LIST_FOREACH(node, &list) {
    struct item *item = LIST_OWNER(node, struct item, node);
    list_remove(node);
    free(item);
  }
  assert_true(list_is_empty(&list));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nodes_come_in_the_order_they_were_added),
      cmocka_unit_test(a_removed_node_is_gone_and_may_be_removed_again),
      cmocka_unit_test(the_body_of_foreach_may_free_its_node),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
