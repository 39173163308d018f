/* SPDX-License-Identifier: MIT
 *
 * A hash table of what embeds a struct hash_node, by a hash that its owner makes (text_hash()). It owns nothing but its
 * chains, which are twice as many whenever there are as many entries; without memory they become longer. What is under
 * a key is told by who asks: several entries may have one hash. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_node {
  struct hash_node *next; /* of its chain */
  uint64_t hash;
};

/* Zeroed at first. One thread at a time uses it. */
struct hash_table {
  struct hash_node **chains;
  size_t chain_count, count;
};

/* What embeds the node as `member`. */
#define HASH_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Frees the chains; the entries are their owner's. */
void hash_table_deinit(struct hash_table *table);

/* 0, or -ENOMEM when there are no chains at all. */
int hash_table_enter(struct hash_table *table, struct hash_node *node, uint64_t hash);

/* One that is in it. */
void hash_table_remove(struct hash_table *table, struct hash_node *node);

/* Calls `each` for every entry, which it may free but not remove. */
void hash_table_each(const struct hash_table *table, void (*each)(struct hash_node *node));

/* The high bits choose the chain: whoever has several tables may choose among them by the low ones. */
static inline struct hash_node **hash_table_chain(const struct hash_table *table, uint64_t hash) {
  return &table->chains[(hash >> 16) & (table->chain_count - 1)];
}

static inline struct hash_node *hash_node_of(struct hash_node *node, uint64_t hash) {
  while (node && node->hash != hash)
    node = node->next;
  return node;
}

/* An entry with that hash, and then the next one; NULL: there is none. */
static inline struct hash_node *hash_table_first(const struct hash_table *table, uint64_t hash) {
  return table->chain_count > 0 ? hash_node_of(*hash_table_chain(table, hash), hash) : NULL;
}
static inline struct hash_node *hash_table_next(const struct hash_node *node) {
  return hash_node_of(node->next, node->hash);
}
