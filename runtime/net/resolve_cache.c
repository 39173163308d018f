/* SPDX-License-Identifier: MIT
 *
 * The table of names. Its buckets are made once, for the capacity is known; names come from the network at times, so
 * the hash has a seed. */
#include "net/resolve_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct resolve_entry **cache_bucket(const struct resolve_cache *cache, uint64_t hash) {
  return &cache->buckets[hash & (cache->bucket_count - 1)];
}

int resolve_cache_init(struct resolve_cache *cache, size_t capacity) {
  *cache = (struct resolve_cache){.capacity = capacity, .bucket_count = 1};
  list_init(&cache->order);
  while (cache->bucket_count < capacity)
    cache->bucket_count *= 2;
  if (getrandom(&cache->seed, sizeof cache->seed, 0) != (ssize_t)sizeof cache->seed)
    return -EIO;
  cache->buckets = calloc(cache->bucket_count, sizeof *cache->buckets);
  return cache->buckets ? 0 : -ENOMEM;
}

void resolve_cache_deinit(struct resolve_cache *cache) {
  for (size_t i = 0; cache->buckets && i < cache->bucket_count; i++) {
    for (struct resolve_entry *entry = cache->buckets[i], *next; entry; entry = next) {
      next = entry->next;
      resolve_entry_free(entry);
    }
  }
  free(cache->buckets);
  cache->buckets = NULL;
  cache->count = 0;
}

struct resolve_entry *resolve_cache_find(struct resolve_cache *cache, const char *name, size_t size, clock_ms now) {
  uint64_t hash = text_hash(name, size, cache->seed);
  struct resolve_entry *entry = *cache_bucket(cache, hash);
  while (entry && (entry->hash != hash || entry->size != size || memcmp(entry->name, name, size) != 0))
    entry = entry->next;
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
  if (cache->count >= cache->capacity) {
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
  entry->hash = text_hash(name, size, cache->seed);
  struct resolve_entry **bucket = cache_bucket(cache, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
  entry->in_table = true;
  cache->count++;
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
  struct resolve_entry **link = cache_bucket(cache, entry->hash);
  while (*link != entry)
    link = &(*link)->next;
  *link = entry->next;
  entry->in_table = false;
  cache->count--;
}

void resolve_entry_free(struct resolve_entry *entry) {
  free(entry->addresses);
  free(entry);
}
