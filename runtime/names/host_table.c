/* SPDX-License-Identifier: MIT
 *
 * The table: shards with a lock each, room for new names, and the hosts file that holds. What is done to one name is
 * in names/host_entry.c. Names come from the network at times, so the hash has a seed. */
#include "names/host_table.h"

#include "core/text.h"
#include "names/host_entry.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
  SHARDS = 16,
  MOST_LOOKED_AT = 16,         /* for one that may go, when room is made */
  MOST_STALE_LOOKED_AT = 1024, /* in a shard, when they are listed */
};

struct host_shard {
  pthread_mutex_t lock; /* for what follows */
  struct hash_table entries;
  struct list_node order; /* of those: the one that has come, or been spared, last is last */
  struct list_node stale;
};

struct host_table {
  atomic_uint references;
  struct host_table_options options;
  uint64_t seed;
  atomic_uint_fast64_t serial; /* of `files` */
  atomic_size_t names, stale;
  atomic_uint_fast64_t results[HOST_RESULT_COUNT];
  pthread_mutex_t files_lock; /* for `files` */
  struct dns_files *files;
  struct host_shard shards[SHARDS];
};

const char *host_result_label(enum host_result result) {
  static const char *const labels[] = {
#define X(name, label, text) [name] = label,
      HOST_RESULTS(X)
#undef X
  };
  return labels[result];
}

struct host_table *host_table_new(const struct host_table_options *options, struct dns_files *files) {
  struct host_table *table = calloc(1, sizeof *table);
  if (!table)
    return NULL;
  if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed) {
    free(table);
    return NULL;
  }
  atomic_init(&table->references, 1);
  atomic_init(&table->serial, 1);
  table->options = *options;
  table->files = dns_files_ref(files);
  pthread_mutex_init(&table->files_lock, NULL);
  for (size_t i = 0; i < SHARDS; i++) {
    pthread_mutex_init(&table->shards[i].lock, NULL);
    list_init(&table->shards[i].order);
    list_init(&table->shards[i].stale);
  }
  return table;
}

struct host_table *host_table_ref(struct host_table *table) {
  atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
  return table;
}

static void free_entry_node(struct hash_node *node) { host_entry_free(HASH_OWNER(node, struct host_entry, node)); }

void host_table_unref(struct host_table *table) {
  if (!table || atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < SHARDS; i++) {
    hash_table_each(&table->shards[i].entries, free_entry_node);
    hash_table_deinit(&table->shards[i].entries);
    pthread_mutex_destroy(&table->shards[i].lock);
  }
  pthread_mutex_destroy(&table->files_lock);
  dns_files_unref(table->files);
  free(table);
}

bool host_table_set_files(struct host_table *table, struct dns_files *files) {
  pthread_mutex_lock(&table->files_lock);
  struct dns_files *before = table->files;
  bool differ = !dns_files_say_same(before, files);
  table->files = dns_files_ref(files);
  if (differ)
    atomic_fetch_add_explicit(&table->serial, 1, memory_order_release);
  pthread_mutex_unlock(&table->files_lock);
  dns_files_unref(before);
  return differ;
}

struct dns_files *host_table_files(struct host_table *table, uint64_t *serial) {
  pthread_mutex_lock(&table->files_lock);
  struct dns_files *files = dns_files_ref(table->files);
  *serial = atomic_load_explicit(&table->serial, memory_order_relaxed);
  pthread_mutex_unlock(&table->files_lock);
  return files;
}

uint64_t host_table_serial(const struct host_table *table) {
  return atomic_load_explicit(&table->serial, memory_order_acquire);
}

/* Locks the shard in which the name belongs. */
static struct host_shard *shard_lock(struct host_table *table, const char *name, size_t size, uint64_t *hash) {
  *hash = text_hash(name, size, table->seed);
  struct host_shard *shard = &table->shards[*hash % SHARDS];
  pthread_mutex_lock(&shard->lock);
  return shard;
}

static struct host_entry *host_shard_find(const struct host_shard *shard, const char *name, size_t size,
                                          uint64_t hash) {
  for (struct hash_node *node = hash_table_first(&shard->entries, hash); node; node = hash_table_next(node)) {
    struct host_entry *entry = HASH_OWNER(node, struct host_entry, node);
    if (entry->size == size && memcmp(entry->name, name, size) == 0)
      return entry;
  }
  return NULL;
}

static void fill_result(const struct host_table *table, const struct host_entry *entry, enum host_state state,
                        struct resolve_result *result) {
  result->count = 0;
  if (state == HOST_KNOWN || state == HOST_EXPIRED) {
    result->status = 0;
    result->count = entry->count;
    memcpy(result->addresses, entry->addresses, entry->count * sizeof *entry->addresses);
  } else if (state == HOST_FAILED) {
    result->status = host_entry_status(entry, &table->options);
  }
}

static void set_stale(struct host_table *table, struct host_shard *shard, struct host_entry *entry, bool is_stale) {
  entry->is_stale = is_stale;
  list_remove(&entry->stale);
  if (is_stale) {
    list_add_tail(&shard->stale, &entry->stale);
    atomic_fetch_add_explicit(&table->stale, 1, memory_order_relaxed);
  } else {
    atomic_fetch_sub_explicit(&table->stale, 1, memory_order_relaxed);
  }
}

static enum host_state look_up(struct host_table *table, const char *name, size_t size, clock_ms now,
                               struct resolve_result *result, unsigned *ask) {
  uint64_t hash;
  enum host_state state = HOST_UNKNOWN;
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  struct host_entry *entry = host_shard_find(shard, name, size, hash);
  if (entry && ask && entry->serial != atomic_load_explicit(&table->serial, memory_order_relaxed)) {
    state = HOST_UNCHECKED;
  } else if (entry) {
    if (ask)
      entry->used = entry->used_since = true;
    state = now < entry->quiet_until ? HOST_KNOWN : host_entry_look(entry, &table->options, now, ask);
    if (entry->is_stale && entry->count == 0) {
      entry->is_lost = true;
      set_stale(table, shard, entry, false);
    }
    fill_result(table, entry, state, result);
  }
  pthread_mutex_unlock(&shard->lock);
  return state;
}

enum host_state host_table_find(struct host_table *table, const char *name, size_t size, clock_ms now,
                                struct resolve_result *result, unsigned *ask) {
  *ask = 0;
  return look_up(table, name, size, now, result, ask);
}

enum host_state host_table_peek(struct host_table *table, const char *name, size_t size, clock_ms now,
                                struct resolve_result *result) {
  return look_up(table, name, size, now, result, NULL);
}

static void shard_remove(struct host_table *table, struct host_shard *shard, struct host_entry *entry) {
  hash_table_remove(&shard->entries, &entry->node);
  list_remove(&entry->order);
  list_remove(&entry->stale);
  if (entry->is_stale)
    atomic_fetch_sub_explicit(&table->stale, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&table->names, 1, memory_order_relaxed);
  host_entry_free(entry);
}

/* One goes that is not being asked for: the first that has not been used since it was looked at last, or, when all that
 * are looked at have been and the shard has more than its share, the first of them. False: there is none. */
static bool make_room(struct host_table *table, struct host_shard *shard, clock_ms now) {
  struct host_entry *spared = NULL;
  unsigned looked_at = 0;
  LIST_FOREACH(node, &shard->order) {
    struct host_entry *entry = LIST_OWNER(node, struct host_entry, order);
    if (looked_at++ == MOST_LOOKED_AT)
      break;
    if (host_entry_is_claimed(entry, now))
      continue;
    if (!entry->used) {
      shard_remove(table, shard, entry);
      return true;
    }
    entry->used = false;
    list_remove(node);
    list_add_tail(&shard->order, node);
    if (!spared)
      spared = entry;
  }
  if (!spared || shard->entries.count <= table->options.capacity / SHARDS)
    return spared != NULL;
  shard_remove(table, shard, spared);
  return true;
}

/* All shards have `capacity` names together; where the names in use are badly spread, some more, but never twice. */
static struct host_entry *shard_add(struct host_table *table, struct host_shard *shard, const char *name, size_t size,
                                    uint64_t hash, clock_ms now, int *status) {
  *status = -EAGAIN;
  if (atomic_load_explicit(&table->names, memory_order_relaxed) >= table->options.capacity &&
      !list_is_empty(&shard->order) && !make_room(table, shard, now))
    return NULL;
  *status = -ENOMEM;
  struct host_entry *entry = host_entry_new(name, size);
  if (!entry)
    return NULL;
  if (hash_table_enter(&shard->entries, &entry->node, hash) < 0) {
    host_entry_free(entry);
    return NULL;
  }
  entry->serial = atomic_load_explicit(&table->serial, memory_order_relaxed);
  list_add_tail(&shard->order, &entry->order);
  atomic_fetch_add_explicit(&table->names, 1, memory_order_relaxed);
  *status = 0;
  return entry;
}

void host_table_confirm(struct host_table *table, const char *name, size_t size, clock_ms now) {
  uint64_t hash;
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  struct host_entry *entry = host_shard_find(shard, name, size, hash);
  if (entry) {
    entry->serial = atomic_load_explicit(&table->serial, memory_order_relaxed);
    host_entry_forgive(entry, now);
  }
  pthread_mutex_unlock(&shard->lock);
}

int host_table_ask(struct host_table *table, const char *name, size_t size, clock_ms now) {
  uint64_t hash;
  int status = 0;
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  struct host_entry *entry = host_shard_find(shard, name, size, hash);
  if (!entry)
    entry = shard_add(table, shard, name, size, hash, now, &status);
  if (entry) {
    host_entry_claim_all(entry, &table->options, now);
    entry->used_since = true;
  }
  pthread_mutex_unlock(&shard->lock);
  return status;
}

unsigned host_table_claim(struct host_table *table, const char *name, size_t size, clock_ms now) {
  uint64_t hash;
  unsigned ask = 0;
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  struct host_entry *entry = host_shard_find(shard, name, size, hash);
  if (entry && entry->count > 0 && entry->used_since)
    ask = host_entry_claim(entry, &table->options, now);
  pthread_mutex_unlock(&shard->lock);
  return ask;
}

clock_ms host_table_next(struct host_table *table, const char *name, size_t size) {
  uint64_t hash;
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  const struct host_entry *entry = host_shard_find(shard, name, size, hash);
  clock_ms next = entry ? host_entry_next(entry, &table->options) : 0;
  pthread_mutex_unlock(&shard->lock);
  return next;
}

/* Whether its last known addresses serve, and whether that is new. */
static void tell_news(struct host_table *table, struct host_shard *shard, struct host_entry *entry, clock_ms now,
                      struct host_news *news) {
  struct host_report report = {.stale_ms = 0};
  bool is_stale = host_entry_is_failing(entry, &table->options, now, &report);
  *news = (struct host_news){.change = HOST_SAME, .stale_ms = report.stale_ms};
  bool was_stale = entry->is_stale || entry->is_lost;
  entry->is_lost = false;
  if (is_stale != entry->is_stale)
    set_stale(table, shard, entry, is_stale);
  if (is_stale != was_stale)
    news->change = is_stale ? HOST_STALE : entry->count > 0 ? HOST_WELL : HOST_GONE;
}

void host_table_note(struct host_table *table, const char *name, size_t size, const struct host_answer *answer,
                     clock_ms now, struct host_news *news) {
  uint64_t hash;
  int status;
  *news = (struct host_news){.change = HOST_SAME};
  atomic_fetch_add_explicit(&table->results[answer->result], 1, memory_order_relaxed);
  struct host_shard *shard = shard_lock(table, name, size, &hash);
  struct host_entry *entry = host_shard_find(shard, name, size, hash);
  if (!entry)
    entry = shard_add(table, shard, name, size, hash, now, &status);
  if (entry) {
    host_entry_note(entry, &table->options, answer, now);
    host_entry_look(entry, &table->options, now, NULL);
    tell_news(table, shard, entry, now, news);
  }
  pthread_mutex_unlock(&shard->lock);
}

void host_table_count(const struct host_table *table, struct host_counts *counts) {
  counts->names = atomic_load_explicit(&table->names, memory_order_relaxed);
  counts->stale = atomic_load_explicit(&table->stale, memory_order_relaxed);
  for (size_t i = 0; i < HOST_RESULT_COUNT; i++)
    counts->results[i] = atomic_load_explicit(&table->results[i], memory_order_relaxed);
}

/* Of one that nobody asks for any more no answer says that its time is over. True: its last known addresses serve. */
static bool still_serves(struct host_table *table, struct host_shard *shard, struct host_entry *entry, clock_ms now,
                         struct host_report *report) {
  *report = (struct host_report){.stale_ms = 0};
  host_entry_look(entry, &table->options, now, NULL);
  if (host_entry_is_failing(entry, &table->options, now, report))
    return true;
  entry->is_lost = true;
  set_stale(table, shard, entry, false);
  return false;
}

size_t host_table_list_stale(struct host_table *table, clock_ms now, struct host_report *reports, size_t most) {
  size_t count = 0;
  for (size_t i = 0; i < SHARDS; i++) {
    struct host_shard *shard = &table->shards[i];
    const struct list_node *first = NULL;
    unsigned looked_at = 0;
    pthread_mutex_lock(&shard->lock);
    LIST_FOREACH(node, &shard->stale) {
      struct host_entry *entry = LIST_OWNER(node, struct host_entry, stale);
      struct host_report report;
      if (node == first || looked_at++ == MOST_STALE_LOOKED_AT)
        break;
      if (!still_serves(table, shard, entry, now, &report))
        continue;
      first = first ? first : node;
      list_remove(node); /* so that all have their turn */
      list_add_tail(&shard->stale, node);
      if (count == most)
        continue;
      memcpy(report.name, entry->name, entry->size + 1);
      reports[count++] = report;
    }
    pthread_mutex_unlock(&shard->lock);
  }
  return count;
}
