/* SPDX-License-Identifier: MIT
 *
 * Entering, growing and removing. */
#include "core/hash_table.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CHAINS = 16 };

void hash_table_deinit(struct hash_table *table) {
  free(table->chains);
  *table = (struct hash_table){.chains = NULL};
}

static void hash_table_grow(struct hash_table *table) {
  struct hash_table grown = {.chain_count = table->chain_count > 0 ? 2 * table->chain_count : FIRST_CHAINS,
                             .count = table->count};
  grown.chains = calloc(grown.chain_count, sizeof *grown.chains);
  if (!grown.chains)
    return;
  for (size_t i = 0; i < table->chain_count; i++) {
    for (struct hash_node *node = table->chains[i], *next; node; node = next) {
      struct hash_node **chain = hash_table_chain(&grown, node->hash);
      next = node->next;
      node->next = *chain;
      *chain = node;
    }
  }
  free(table->chains);
  *table = grown;
}

int hash_table_enter(struct hash_table *table, struct hash_node *node, uint64_t hash) {
  if (table->count >= table->chain_count)
    hash_table_grow(table);
  if (table->chain_count == 0)
    return -ENOMEM;
  struct hash_node **chain = hash_table_chain(table, hash);
  *node = (struct hash_node){*chain, hash};
  *chain = node;
  table->count++;
  return 0;
}

void hash_table_remove(struct hash_table *table, struct hash_node *node) {
  struct hash_node **link = hash_table_chain(table, node->hash);
  while (*link != node)
    link = &(*link)->next;
  *link = node->next;
  table->count--;
}

void hash_table_each(const struct hash_table *table, void (*each)(struct hash_node *node)) {
  for (size_t i = 0; i < table->chain_count; i++) {
    for (struct hash_node *node = table->chains[i], *next; node; node = next) {
      next = node->next;
      each(node);
    }
  }
}
