/* SPDX-License-Identifier: MIT
 *
 * A doubly linked list of what embeds a `struct list_node`. The list itself is a node too, the head; it owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
  struct list_node *previous, *next;
};

/* Makes an empty list, or a node that is in none (which list_remove() then leaves alone). */
static inline void list_init(struct list_node *node) { node->previous = node->next = node; }

static inline bool list_is_empty(const struct list_node *list) { return list->next == list; }

/* `node` is in no list. */
static inline void list_add_tail(struct list_node *list, struct list_node *node) {
  node->previous = list->previous;
  node->next = list;
  list->previous->next = node;
  list->previous = node;
}

/* Takes `node` out of the list that it is in; doing so again does nothing. */
static inline void list_remove(struct list_node *node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  list_init(node);
}

/* The structure of `type` whose `member` is `*node`. */
#define LIST_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Goes through a list from its start; `node` is declared here. The body may remove and free `node`, but no other. */
#define LIST_FOREACH(node, list)                                                                                       \
  for (struct list_node *node = (list)->next, *node##_next = node->next; node != (list);                               \
       node = node##_next, node##_next = node->next)
