/* SPDX-License-Identifier: MIT
 *
 * In each shard a hash table, and a list by use, the longest unused first: that is who goes when room is
 * wanted. Expired entries go when they are met. */
#include "core/dictionary.h"

#include "core/hash_table.h"
#include "core/list.h"
#include "core/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct dictionary_entry {
  struct list_node used;
  struct hash_node node;
  clock_ms expires; /* CLOCK_NEVER: not */
  enum dictionary_kind kind;
  uint32_t key_size;
  double number; /* of a boolean too */
  size_t size;
  char bytes[]; /* the key, then the value of a string */
};

struct shard {
  pthread_mutex_t lock;
  struct hash_table table;
  size_t bytes;
  uint64_t evictions;
  struct list_node used;
} __attribute__((aligned(64)));

struct dictionary {
  uint64_t seed;
  size_t most; /* bytes a shard */
  struct shard shards[DICTIONARY_SHARDS];
};

enum { CHAIN_COST = 16 };

struct dictionary *dictionary_new(size_t bytes) {
  struct dictionary *dictionary = aligned_alloc(64, sizeof *dictionary);
  if (!dictionary)
    return NULL;
  memset(dictionary, 0, sizeof *dictionary);
  if (getrandom(&dictionary->seed, sizeof dictionary->seed, 0) != sizeof dictionary->seed)
    dictionary->seed = (uint64_t)(uintptr_t)dictionary;
  dictionary->most = bytes / DICTIONARY_SHARDS;
  for (size_t i = 0; i < DICTIONARY_SHARDS; i++) {
    pthread_mutex_init(&dictionary->shards[i].lock, NULL);
    list_init(&dictionary->shards[i].used);
  }
  return dictionary;
}

void dictionary_free(struct dictionary *dictionary) {
  if (!dictionary)
    return;
  for (size_t i = 0; i < DICTIONARY_SHARDS; i++) {
    struct shard *shard = &dictionary->shards[i];
    LIST_FOREACH(node, &shard->used) { free(LIST_OWNER(node, struct dictionary_entry, used)); }
    hash_table_deinit(&shard->table);
    pthread_mutex_destroy(&shard->lock);
  }
  free(dictionary);
}

/* Locks the shard of a key; NULL: no key that can be. */
static struct shard *dictionary_lock_shard(struct dictionary *dictionary, const char *key, size_t size,
                                           uint64_t *hash) {
  if (size == 0 || size > DICTIONARY_KEY_MOST)
    return NULL;
  *hash = text_hash(key, size, dictionary->seed);
  struct shard *shard = &dictionary->shards[*hash % DICTIONARY_SHARDS];
  pthread_mutex_lock(&shard->lock);
  return shard;
}

static size_t cost_of(size_t key_size, size_t size) {
  return sizeof(struct dictionary_entry) + key_size + size + CHAIN_COST;
}

static void shard_drop(struct shard *shard, struct dictionary_entry *entry) {
  hash_table_remove(&shard->table, &entry->node);
  list_remove(&entry->used);
  shard->bytes -= cost_of(entry->key_size, entry->size);
  free(entry);
}

/* Marks it as used just now. One that has expired goes. */
static struct dictionary_entry *shard_find(struct shard *shard, const char *key, size_t size, uint64_t hash,
                                           clock_ms now) {
  for (struct hash_node *node = hash_table_first(&shard->table, hash); node; node = hash_table_next(node)) {
    struct dictionary_entry *entry = HASH_OWNER(node, struct dictionary_entry, node);
    if (entry->key_size != size || memcmp(entry->bytes, key, size) != 0)
      continue;
    if (entry->expires <= now) {
      shard_drop(shard, entry);
      return NULL;
    }
    list_remove(&entry->used);
    list_add_tail(&shard->used, &entry->used);
    return entry;
  }
  return NULL;
}

/* Those that have expired are looked for among the longest unused only: to look at all would cost every caller. */
static void shard_make_room(struct shard *shard, size_t most, size_t wanted, clock_ms now, unsigned *evicted) {
  enum { LOOKED_AT = 8 };
  unsigned looked = 0;
  LIST_FOREACH(node, &shard->used) {
    struct dictionary_entry *entry = LIST_OWNER(node, struct dictionary_entry, used);
    if (looked++ == LOOKED_AT)
      break;
    if (entry->expires <= now)
      shard_drop(shard, entry);
  }
  while (shard->bytes + wanted > most && !list_is_empty(&shard->used)) {
    struct dictionary_entry *entry = LIST_OWNER(shard->used.next, struct dictionary_entry, used);
    if (entry->expires > now) {
      shard->evictions++;
      ++*evicted;
    }
    shard_drop(shard, entry);
  }
}

/* There is none of that key. */
static int shard_insert(struct dictionary *dictionary, struct shard *shard, const char *key, size_t key_size,
                        uint64_t hash, const struct dictionary_value *value, clock_ms expires, clock_ms now,
                        unsigned *evicted) {
  size_t size = value->kind == DICTIONARY_STRING ? value->size : 0, cost = cost_of(key_size, size);
  if (cost > dictionary->most)
    return -ENOMEM;
  if (shard->bytes + cost > dictionary->most)
    shard_make_room(shard, dictionary->most, cost, now, evicted);
  struct dictionary_entry *entry = malloc(sizeof *entry + key_size + size);
  if (!entry)
    return -ENOMEM;
  *entry =
      (struct dictionary_entry){.expires = expires, .kind = value->kind, .key_size = (uint32_t)key_size, .size = size};
  entry->number = value->kind == DICTIONARY_BOOLEAN ? value->boolean : value->number;
  memcpy(entry->bytes, key, key_size);
  if (size > 0)
    memcpy(entry->bytes + key_size, value->bytes, size);
  if (hash_table_enter(&shard->table, &entry->node, hash) < 0) {
    free(entry);
    return -ENOMEM;
  }
  list_add_tail(&shard->used, &entry->used);
  shard->bytes += cost;
  return 0;
}

static clock_ms expiry(uint64_t ttl_ms, clock_ms now) { return ttl_ms ? now + ttl_ms : CLOCK_NEVER; }

int dictionary_set(struct dictionary *dictionary, const char *key, size_t key_size,
                   const struct dictionary_value *value, uint64_t ttl_ms, enum dictionary_mode mode, clock_ms now,
                   unsigned *evicted) {
  uint64_t hash;
  struct shard *shard = dictionary_lock_shard(dictionary, key, key_size, &hash);
  *evicted = 0;
  if (!shard)
    return -EINVAL;
  struct dictionary_entry *entry = shard_find(shard, key, key_size, hash, now);
  int status = 0;
  if (entry && mode == DICTIONARY_ADD) {
    status = -EEXIST;
  } else {
    size_t size = value->kind == DICTIONARY_STRING ? value->size : 0;
    if (cost_of(key_size, size) > dictionary->most)
      status = -ENOMEM; /* what was there stays */
    else if (entry)
      shard_drop(shard, entry);
    if (status == 0 && value->kind != DICTIONARY_NIL)
      status = shard_insert(dictionary, shard, key, key_size, hash, value, expiry(ttl_ms, now), now, evicted);
  }
  pthread_mutex_unlock(&shard->lock);
  return status;
}

static int copy_value(const struct dictionary_entry *entry, struct dictionary_value *value) {
  value->kind = entry->kind;
  value->boolean = entry->number != 0;
  value->number = entry->number;
  if (entry->kind != DICTIONARY_STRING)
    return 0;
  value->size = entry->size;
  value->bytes = malloc(entry->size + 1);
  if (!value->bytes)
    return -ENOMEM;
  memcpy(value->bytes, entry->bytes + entry->key_size, entry->size);
  value->bytes[entry->size] = '\0';
  return 0;
}

int dictionary_get(struct dictionary *dictionary, const char *key, size_t key_size, clock_ms now,
                   struct dictionary_value *value) {
  uint64_t hash;
  *value = (struct dictionary_value){.kind = DICTIONARY_NIL};
  struct shard *shard = dictionary_lock_shard(dictionary, key, key_size, &hash);
  if (!shard)
    return 0;
  const struct dictionary_entry *entry = shard_find(shard, key, key_size, hash, now);
  int status = entry ? copy_value(entry, value) : 0;
  pthread_mutex_unlock(&shard->lock);
  return status;
}

int dictionary_incr(struct dictionary *dictionary, const char *key, size_t key_size, double by, const double *init,
                    uint64_t ttl_ms, clock_ms now, double *result, unsigned *evicted) {
  uint64_t hash;
  *evicted = 0;
  struct shard *shard = dictionary_lock_shard(dictionary, key, key_size, &hash);
  if (!shard)
    return -EINVAL;
  int status = 0;
  struct dictionary_entry *entry = shard_find(shard, key, key_size, hash, now);
  if (entry && entry->kind == DICTIONARY_NUMBER) {
    *result = entry->number += by;
  } else if (entry) {
    status = -EDOM;
  } else if (!init) {
    status = -ENOENT;
  } else {
    *result = *init + by;
    const struct dictionary_value value = {.kind = DICTIONARY_NUMBER, .number = *result};
    status = shard_insert(dictionary, shard, key, key_size, hash, &value, expiry(ttl_ms, now), now, evicted);
  }
  pthread_mutex_unlock(&shard->lock);
  return status;
}

void dictionary_measure(struct dictionary *dictionary, struct dictionary_size *size) {
  *size = (struct dictionary_size){.bytes_most = dictionary->most * DICTIONARY_SHARDS};
  for (size_t i = 0; i < DICTIONARY_SHARDS; i++) {
    struct shard *shard = &dictionary->shards[i];
    pthread_mutex_lock(&shard->lock);
    size->entries += shard->table.count;
    size->bytes += shard->bytes;
    size->evictions += shard->evictions;
    pthread_mutex_unlock(&shard->lock);
  }
}
