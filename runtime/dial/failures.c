/* SPDX-License-Identifier: MIT
 *
 * The table: shards by the key's hash, in each a hash table and a list, what was noted longest ago first. */
#include "dial/failures.h"

#include "core/hash_table.h"
#include "core/list.h"
#include "core/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct failure {
  struct hash_node node;
  struct list_node place; /* in its shard's */
  uint64_t second;
  clock_ms last;   /* failure */
  clock_ms until;  /* it is tried last */
  uint32_t pause;  /* ms */
  unsigned count;  /* of failures */
  int status;      /* of the last one */
  bool is_claimed; /* `until` is for the others: somebody tries it */
  char name[];
};

struct failures_shard {
  pthread_mutex_t lock;
  struct hash_table table;
  struct list_node order;
} __attribute__((aligned(64)));

struct failures_table {
  struct failures all;
  uint64_t seed;
  size_t most; /* in a shard */
  struct failures_shard shards[FAILURES_SHARDS];
};

static struct failures_table *table_of(const struct failures *failures) {
  return (struct failures_table *)(uintptr_t)failures;
}

struct failures *failures_new(size_t most) {
  struct failures_table *table = aligned_alloc(64, sizeof *table);
  if (!table)
    return NULL;
  memset(table, 0, sizeof *table);
  if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed)
    table->seed = (uint64_t)(uintptr_t)table;
  table->most = (most + FAILURES_SHARDS - 1) / FAILURES_SHARDS;
  atomic_init(&table->all.count, 0);
  for (size_t i = 0; i < FAILURES_SHARDS; i++) {
    pthread_mutex_init(&table->shards[i].lock, NULL);
    list_init(&table->shards[i].order);
  }
  return &table->all;
}

static void failure_remove(struct failures *failures, struct failures_shard *shard, struct failure *failure) {
  hash_table_remove(&shard->table, &failure->node);
  list_remove(&failure->place);
  free(failure);
  atomic_fetch_sub_explicit(&failures->count, 1, memory_order_relaxed);
}

void failures_free(struct failures *failures) {
  if (!failures)
    return;
  for (size_t i = 0; i < FAILURES_SHARDS; i++) {
    struct failures_shard *shard = &table_of(failures)->shards[i];
    LIST_FOREACH(place, &shard->order)
    failure_remove(failures, shard, LIST_OWNER(place, struct failure, place));
    hash_table_deinit(&shard->table);
    pthread_mutex_destroy(&shard->lock);
  }
  free(table_of(failures));
}

struct failure_key failures_key_of_address(const struct failures *failures, const struct ip_address *address,
                                           uint16_t port) {
  uint8_t bytes[sizeof address->bytes + sizeof port];
  struct failure_key key;
  memcpy(bytes, address->bytes, sizeof address->bytes);
  memcpy(bytes + sizeof address->bytes, &port, sizeof port);
  key.hash = text_hash_wide(bytes, sizeof bytes, table_of(failures)->seed, &key.second);
  return key;
}

struct failure_key failures_key_of_host(const struct failures *failures, const char *host, uint16_t port) {
  struct failure_key key;
  uint64_t seed = table_of(failures)->seed + 1 + (strncmp(host, "unix:", 5) == 0 ? 0 : port);
  key.hash = text_hash_wide(host, strlen(host), seed, &key.second);
  return key;
}

struct failure_key failures_key_of_endpoint(const struct failures *failures, const struct endpoint *endpoint) {
  struct ip_address address;
  char text[ENDPOINT_TEXT_SIZE];
  if (endpoint->storage.ss_family == AF_UNIX)
    return failures_key_of_host(failures, endpoint_format(endpoint, text), 0);
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint->storage);
  return failures_key_of_address(failures, &address, address.port);
}

bool failures_is_evidence(int status) {
  return status != -EMFILE && status != -ENFILE && status != -ENOMEM && status != -ENOBUFS && status != -EADDRNOTAVAIL;
}

const char *failures_describe(int status) {
  switch (-status) {
  case ENOENT:
    return "no such host";
  case ENXIO:
    return "no such socket";
  case EAGAIN: /* the resolver's alone, as dial_done_fn has it */
    return "the name servers fail";
  case EINVAL:
    return "no valid host name";
  default:
    return strerror(-status);
  }
}

static struct failures_shard *shard_of(struct failures *failures, const struct failure_key *key) {
  return &table_of(failures)->shards[key->hash % FAILURES_SHARDS];
}

/* What is too old goes on the way. */
static struct failure *failure_find(struct failures *failures, struct failures_shard *shard,
                                    const struct failure_key *key, clock_ms now) {
  struct hash_node *node = hash_table_first(&shard->table, key->hash);
  while (node && HASH_OWNER(node, struct failure, node)->second != key->second)
    node = hash_table_next(node);
  struct failure *failure = node ? HASH_OWNER(node, struct failure, node) : NULL;
  if (failure && now > failure->until + FAILURES_FORGOTTEN_MS) {
    failure_remove(failures, shard, failure);
    failure = NULL;
  }
  return failure;
}

static void drop_old(struct failures *failures, struct failures_shard *shard, clock_ms now) {
  LIST_FOREACH(place, &shard->order) {
    struct failure *failure = LIST_OWNER(place, struct failure, place);
    if (shard->table.count < table_of(failures)->most && now <= failure->until + FAILURES_FORGOTTEN_MS)
      break;
    failure_remove(failures, shard, failure);
  }
}

static struct failure *failure_add(struct failures *failures, struct failures_shard *shard,
                                   const struct failure_key *key, const char *name, clock_ms now) {
  size_t size = strlen(name) + 1;
  drop_old(failures, shard, now);
  struct failure *failure = calloc(1, sizeof *failure + size);
  if (!failure)
    return NULL;
  failure->second = key->second;
  memcpy(failure->name, name, size);
  if (hash_table_enter(&shard->table, &failure->node, key->hash) < 0) {
    free(failure);
    return NULL;
  }
  list_add_tail(&shard->order, &failure->place);
  atomic_fetch_add_explicit(&failures->count, 1, memory_order_relaxed);
  return failure;
}

/* Those that have begun before it was known, and fail now, are no further news. */
static void begin_pause(struct failure *failure, clock_ms now) {
  if (failure->pause == 0)
    failure->pause = FAILURES_PAUSE_MS;
  else if (failure->is_claimed || now >= failure->until)
    failure->pause = failure->pause < FAILURES_LONGEST_PAUSE_MS / 2 ? failure->pause * 2 : FAILURES_LONGEST_PAUSE_MS;
  else
    return;
  failure->is_claimed = false;
  failure->until = now + failure->pause;
}

void failures_note(struct failures *failures, const struct failure_key *key, const char *name, int status,
                   clock_ms now) {
  struct failures_shard *shard = shard_of(failures, key);
  pthread_mutex_lock(&shard->lock);
  struct failure *failure = failure_find(failures, shard, key, now);
  if (!failure)
    failure = failure_add(failures, shard, key, name, now);
  if (failure) {
    begin_pause(failure, now);
    failure->status = status;
    failure->last = now;
    failure->count++;
    list_remove(&failure->place);
    list_add_tail(&shard->order, &failure->place);
  }
  pthread_mutex_unlock(&shard->lock);
}

void failures_forget(struct failures *failures, const struct failure_key *key) {
  struct failures_shard *shard = shard_of(failures, key);
  pthread_mutex_lock(&shard->lock);
  struct failure *failure = failure_find(failures, shard, key, 0);
  if (failure)
    failure_remove(failures, shard, failure);
  pthread_mutex_unlock(&shard->lock);
}

bool failures_is_paused(struct failures *failures, const struct failure_key *key, clock_ms now) {
  struct failures_shard *shard = shard_of(failures, key);
  pthread_mutex_lock(&shard->lock);
  const struct failure *failure = failure_find(failures, shard, key, now);
  bool is_paused = failure && now < failure->until;
  pthread_mutex_unlock(&shard->lock);
  return is_paused;
}

void failures_claim(struct failures *failures, const struct failure_key *key, clock_ms now) {
  struct failures_shard *shard = shard_of(failures, key);
  pthread_mutex_lock(&shard->lock);
  struct failure *failure = failure_find(failures, shard, key, now);
  if (failure && now >= failure->until) {
    failure->is_claimed = true;
    failure->until = now + failure->pause;
  }
  pthread_mutex_unlock(&shard->lock);
}

static void failure_tell(const struct failure *failure, clock_ms now, failures_report_fn *report, void *context) {
  struct failure_report told = {
      .name = failure->name,
      .status = failure->status,
      .failures = failure->count,
      .ago_ms = now > failure->last ? now - failure->last : 0,
      .paused_ms = failure->until > now ? failure->until - now : 0,
  };
  report(context, &told);
}

void failures_each(struct failures *failures, clock_ms now, failures_report_fn *report, void *context) {
  for (size_t i = 0; i < FAILURES_SHARDS; i++) {
    struct failures_shard *shard = &table_of(failures)->shards[i];
    pthread_mutex_lock(&shard->lock);
    LIST_FOREACH(place, &shard->order) {
      const struct failure *failure = LIST_OWNER(place, struct failure, place);
      if (now <= failure->until + FAILURES_FORGOTTEN_MS)
        failure_tell(failure, now, report, context);
    }
    pthread_mutex_unlock(&shard->lock);
  }
}

bool failures_find(struct failures *failures, const struct failure_key *key, clock_ms now, failures_report_fn *report,
                   void *context) {
  struct failures_shard *shard = shard_of(failures, key);
  pthread_mutex_lock(&shard->lock);
  const struct failure *failure = failure_find(failures, shard, key, now);
  if (failure)
    failure_tell(failure, now, report, context);
  pthread_mutex_unlock(&shard->lock);
  return failure != NULL;
}
