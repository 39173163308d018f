/* SPDX-License-Identifier: MIT
 *
 * The table of names. They come from the network at times, so the hash has a seed. */
#include "net/resolve_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int resolve_cache_init(struct resolve_cache *cache, size_t capacity) {
  *cache = (struct resolve_cache){.capacity = capacity};
  list_init(&cache->order);
  if (getrandom(&cache->seed, sizeof cache->seed, 0) != (ssize_t)sizeof cache->seed)
    return -EIO;
  return 0;
}

static void free_node(struct hash_node *node) { resolve_entry_free(HASH_OWNER(node, struct resolve_entry, node)); }

void resolve_cache_deinit(struct resolve_cache *cache) {
  hash_table_each(&cache->table, free_node);
  hash_table_deinit(&cache->table);
}

static struct resolve_entry *resolve_cache_look_up(const struct resolve_cache *cache, const char *name, size_t size) {
  uint64_t hash = text_hash(name, size, cache->seed);
  for (struct hash_node *node = hash_table_first(&cache->table, hash); node; node = hash_table_next(node)) {
    struct resolve_entry *entry = HASH_OWNER(node, struct resolve_entry, node);
    if (entry->size == size && memcmp(entry->name, name, size) == 0)
      return entry;
  }
  return NULL;
}

struct resolve_entry *resolve_cache_find(struct resolve_cache *cache, const char *name, size_t size, clock_ms now) {
  struct resolve_entry *entry = resolve_cache_look_up(cache, name, size);
  if (!entry || entry->state != ENTRY_KEPT)
    return entry;
  list_remove(&entry->place);
  if (entry->expires <= now) {
    resolve_cache_remove(cache, entry);
    resolve_entry_free(entry);
    return NULL;
  }
  list_add_tail(&cache->order, &entry->place);
  return entry;
}

struct resolve_entry *resolve_cache_add(struct resolve_cache *cache, const char *name, size_t size, int *status) {
  if (cache->table.count >= cache->capacity) {
    *status = -EAGAIN;
    if (list_is_empty(&cache->order))
      return NULL;
    struct resolve_entry *oldest = LIST_OWNER(cache->order.next, struct resolve_entry, place);
    list_remove(&oldest->place);
    resolve_cache_remove(cache, oldest);
    resolve_entry_free(oldest);
  }
  *status = -ENOMEM;
  struct resolve_entry *entry = calloc(1, sizeof *entry + size + 1);
  if (!entry)
    return NULL;
  list_init(&entry->place);
  list_init(&entry->waiting);
  memcpy(entry->name, name, size);
  entry->size = size;
  if (hash_table_enter(&cache->table, &entry->node, text_hash(name, size, cache->seed)) < 0) {
    free(entry);
    return NULL;
  }
  entry->in_table = true;
  return entry;
}

void resolve_cache_keep(struct resolve_cache *cache, struct resolve_entry *entry) {
  entry->state = ENTRY_KEPT;
  list_remove(&entry->place);
  list_add_tail(&cache->order, &entry->place);
}

void resolve_cache_remove(struct resolve_cache *cache, struct resolve_entry *entry) {
  if (!entry->in_table)
    return;
  hash_table_remove(&cache->table, &entry->node);
  entry->in_table = false;
}

void resolve_entry_free(struct resolve_entry *entry) {
  free(entry->addresses);
  free(entry);
}
