/* SPDX-License-Identifier: MIT
 *
 * The table: shards by the hash of address and scope, in each a hash table of chains and a list of those that hold
 * nothing, the longest unused first. Only the table as a whole is ever full. The rate is HAProxy's frequency counter:
 * what was in the window before counts by the share of it that is still within a window's length. */
#include "connection/limits.h"

#include "core/text.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct limit_key {
  uint8_t bytes[16];
  uint32_t scope;
};

struct limit_entry {
  struct list_node unused; /* in its shard's, while it holds nothing */
  struct limit_entry *next;
  struct limit_key key;
  uint8_t shard;
  uint8_t prefix; /* bits of key.bytes that were asked for; 32 of an IPv4 address */
  uint32_t connections;
  uint32_t current, previous; /* opened in this window and in the one before */
  uint64_t window_ms;         /* that they were counted by */
  clock_ms window_start;
  clock_ms blocked_until;
  uint64_t refused;
};

struct shard {
  pthread_mutex_t lock;
  struct limit_entry **chains;
  size_t chain_count, entry_count;
  struct list_node unused;
} __attribute__((aligned(64)));

struct limits {
  uint64_t seed;
  size_t most;         /* entries, in all shards together */
  atomic_size_t count; /* … that there are, or will be in a moment */
  atomic_uint ipv6_prefix;
  struct shard shards[LIMITS_SHARDS];
};

enum {
  CHAINS_FIRST = 16,
  LOOKED_AT_MOST = 64, /* blocked entries, for one that is not */
};

struct limits *limits_new(size_t addresses) {
  struct limits *limits = aligned_alloc(64, sizeof *limits);
  if (!limits)
    return NULL;
  memset(limits, 0, sizeof *limits);
  if (getrandom(&limits->seed, sizeof limits->seed, 0) != sizeof limits->seed)
    limits->seed = (uint64_t)(uintptr_t)limits;
  limits->most = addresses;
  atomic_init(&limits->count, 0);
  atomic_init(&limits->ipv6_prefix, LIMITS_IPV6_PREFIX_DEFAULT);
  for (size_t i = 0; i < LIMITS_SHARDS; i++) {
    pthread_mutex_init(&limits->shards[i].lock, NULL);
    list_init(&limits->shards[i].unused);
  }
  return limits;
}

void limits_free(struct limits *limits) {
  if (!limits)
    return;
  for (size_t i = 0; i < LIMITS_SHARDS; i++) {
    struct shard *shard = &limits->shards[i];
    for (size_t c = 0; c < shard->chain_count; c++)
      for (struct limit_entry *entry = shard->chains[c], *next; entry; entry = next) {
        next = entry->next;
        free(entry);
      }
    free(shard->chains);
    pthread_mutex_destroy(&shard->lock);
  }
  free(limits);
}

void limits_set_ipv6_prefix(struct limits *limits, unsigned prefix) {
  assert(prefix >= 1 && prefix <= 128);
  atomic_store_explicit(&limits->ipv6_prefix, prefix, memory_order_relaxed);
}

static void mask(uint8_t bytes[16], unsigned prefix) {
  for (unsigned i = 0; i < 16; i++) {
    unsigned kept = prefix > i * 8 ? prefix - i * 8 : 0;
    if (kept < 8)
      bytes[i] &= (uint8_t)(0xff00u >> kept);
  }
}

/* Returns the bits of the address that count. */
static unsigned make_key(struct limits *limits, const struct ip_address *address, uint32_t scope,
                         struct limit_key *key) {
  memset(key, 0, sizeof *key);
  memcpy(key->bytes, address->bytes, sizeof key->bytes);
  key->scope = scope;
  if (ip_address_is_ipv4(address))
    return 32;
  unsigned prefix = atomic_load_explicit(&limits->ipv6_prefix, memory_order_relaxed);
  mask(key->bytes, prefix);
  return prefix;
}

static size_t chain_of(const struct shard *shard, uint64_t hash) { return (hash >> 8) & (shard->chain_count - 1); }

static uint64_t hash_key(const struct limits *limits, const struct limit_key *key) {
  return text_hash(key, sizeof *key, limits->seed);
}

static struct limit_entry *find(const struct shard *shard, const struct limit_key *key, uint64_t hash) {
  if (shard->chain_count == 0)
    return NULL;
  for (struct limit_entry *entry = shard->chains[chain_of(shard, hash)]; entry; entry = entry->next)
    if (memcmp(&entry->key, key, sizeof *key) == 0)
      return entry;
  return NULL;
}

/* Twice as many chains; without memory the chains become longer. */
static void grow(struct limits *limits, struct shard *shard) {
  size_t count = shard->chain_count ? shard->chain_count * 2 : CHAINS_FIRST;
  struct limit_entry **chains = calloc(count, sizeof(struct limit_entry *));
  if (!chains)
    return;
  struct limit_entry **old = shard->chains;
  size_t old_count = shard->chain_count;
  shard->chains = chains;
  shard->chain_count = count;
  for (size_t c = 0; c < old_count; c++)
    for (struct limit_entry *entry = old[c], *next; entry; entry = next) {
      next = entry->next;
      struct limit_entry **chain = &chains[chain_of(shard, hash_key(limits, &entry->key))];
      entry->next = *chain;
      *chain = entry;
    }
  free(old);
}

static void unlink_entry(struct limits *limits, struct shard *shard, struct limit_entry *entry) {
  struct limit_entry **link = &shard->chains[chain_of(shard, hash_key(limits, &entry->key))];
  while (*link != entry)
    link = &(*link)->next;
  *link = entry->next;
  list_remove(&entry->unused);
  shard->entry_count--;
}

/* A place for one entry more, while there is one: the bound is the whole table's, not a shard's. */
static bool take_place(struct limits *limits) {
  size_t count = atomic_load_explicit(&limits->count, memory_order_relaxed);
  while (count < limits->most)
    if (atomic_compare_exchange_weak_explicit(&limits->count, &count, count + 1, memory_order_relaxed,
                                              memory_order_relaxed))
      return true;
  return false;
}

static void give_place(struct limits *limits) { atomic_fetch_sub_explicit(&limits->count, 1, memory_order_relaxed); }

/* In a shard, the one that has been unused longest and is not blocked; blocked ones are looked over. */
static struct limit_entry *oldest(const struct shard *shard, clock_ms now, unsigned *looks) {
  LIST_FOREACH(node, &shard->unused) {
    struct limit_entry *entry = LIST_OWNER(node, struct limit_entry, unused);
    if (entry->blocked_until <= now)
      return entry;
    if (--*looks == 0)
      break;
  }
  return NULL;
}

/* The table is full: takes one that holds nothing out of it, and its place with it; of the shard `first`, or else of
 * the next that has one. No shard is locked before or afterwards. NULL: all hold something. */
static struct limit_entry *limits_make_room(struct limits *limits, size_t first, clock_ms now) {
  unsigned looks = LOOKED_AT_MOST;
  struct shard *with_blocked = NULL;
  for (size_t i = 0; i < LIMITS_SHARDS && looks > 0; i++) {
    struct shard *shard = &limits->shards[(first + i) % LIMITS_SHARDS];
    pthread_mutex_lock(&shard->lock);
    struct limit_entry *entry = oldest(shard, now, &looks);
    if (entry)
      unlink_entry(limits, shard, entry);
    else if (!with_blocked && !list_is_empty(&shard->unused))
      with_blocked = shard;
    pthread_mutex_unlock(&shard->lock);
    if (entry)
      return entry;
  }
  if (!with_blocked)
    return NULL;

  /* Better to forget a block than to let a flood of blocked addresses shut everybody else out. */
  struct limit_entry *entry = NULL;
  pthread_mutex_lock(&with_blocked->lock);
  if (!list_is_empty(&with_blocked->unused)) {
    entry = LIST_OWNER(with_blocked->unused.next, struct limit_entry, unused);
    unlink_entry(limits, with_blocked, entry);
  }
  pthread_mutex_unlock(&with_blocked->lock);
  return entry;
}

/* Memory and a place for one more, the shard's lock let go of meanwhile if need be. NULL: there is none. */
static struct limit_entry *allocate_entry(struct limits *limits, struct shard *shard, clock_ms now) {
  if (!take_place(limits)) {
    pthread_mutex_unlock(&shard->lock);
    struct limit_entry *entry = limits_make_room(limits, (size_t)(shard - limits->shards), now);
    pthread_mutex_lock(&shard->lock);
    return entry;
  }
  struct limit_entry *entry = malloc(sizeof *entry);
  if (!entry)
    give_place(limits);
  return entry;
}

static void free_entry(struct limits *limits, struct limit_entry *entry) {
  give_place(limits);
  free(entry);
}

/* One that is not there yet; or that another thread has made meanwhile. */
static struct limit_entry *make_entry(struct limits *limits, struct shard *shard, const struct limit_key *key,
                                      uint64_t hash, clock_ms now) {
  struct limit_entry *entry = allocate_entry(limits, shard, now), *other = find(shard, key, hash);
  if (other || !entry) {
    if (entry)
      free_entry(limits, entry);
    return other;
  }
  if (shard->entry_count >= shard->chain_count)
    grow(limits, shard);
  if (shard->chain_count == 0) {
    free_entry(limits, entry);
    return NULL;
  }
  *entry = (struct limit_entry){.key = *key, .shard = (uint8_t)(shard - limits->shards), .window_start = now};
  struct limit_entry **chain = &shard->chains[chain_of(shard, hash)];
  entry->next = *chain;
  *chain = entry;
  list_init(&entry->unused);
  list_add_tail(&shard->unused, &entry->unused);
  shard->entry_count++;
  return entry;
}

static void turn_window(struct limit_entry *entry, uint64_t window_ms, clock_ms now) {
  if (entry->window_ms != window_ms) { /* another rule now: counted anew */
    entry->window_ms = window_ms;
    entry->current = entry->previous = 0;
    entry->window_start = now;
  }
  uint64_t passed = now > entry->window_start ? now - entry->window_start : 0;
  if (window_ms == 0 || passed < window_ms)
    return;
  entry->previous = passed < 2 * window_ms ? entry->current : 0;
  entry->current = 0;
  entry->window_start += passed - passed % window_ms;
}

/* New ones in the last window, as told above. */
static double rate_of(const struct limit_entry *entry, clock_ms now) {
  if (entry->window_ms == 0)
    return 0;
  uint64_t passed = now > entry->window_start ? now - entry->window_start : 0;
  double share = passed < entry->window_ms ? 1.0 - (double)passed / (double)entry->window_ms : 0;
  return entry->current + entry->previous * share;
}

static enum limit_answer judge(struct limit_entry *entry, const struct limit_rule *rule, clock_ms now) {
  if (rule->rate)
    turn_window(entry, rule->window_ms, now);
  if (entry->blocked_until > now + rule->block_ms) /* block_for has become shorter since, or is off */
    entry->blocked_until = now + rule->block_ms;
  if (entry->blocked_until > now)
    return LIMIT_BLOCKED;
  enum limit_answer answer = LIMIT_ADMITTED;
  if (rule->connections && entry->connections >= rule->connections)
    answer = LIMIT_CONNECTIONS;
  else if (rule->rate && rate_of(entry, now) + 1 > rule->rate)
    answer = LIMIT_RATE;
  if (answer != LIMIT_ADMITTED && rule->block_ms)
    entry->blocked_until = now + rule->block_ms;
  return answer;
}

enum limit_answer limits_admit(struct limits *limits, const struct ip_address *address, const struct limit_rule *rule,
                               clock_ms now, struct limit_entry **held) {
  *held = NULL;
  if (!rule->connections && !rule->rate)
    return LIMIT_ADMITTED;
  struct limit_key key;
  unsigned prefix = make_key(limits, address, rule->scope, &key);
  uint64_t hash = hash_key(limits, &key);
  struct shard *shard = &limits->shards[hash % LIMITS_SHARDS];
  pthread_mutex_lock(&shard->lock);
  struct limit_entry *entry = find(shard, &key, hash);
  if (!entry)
    entry = make_entry(limits, shard, &key, hash, now);
  enum limit_answer answer = entry ? judge(entry, rule, now) : LIMIT_FULL;
  if (entry)
    entry->prefix = (uint8_t)prefix;
  if (answer == LIMIT_ADMITTED) {
    entry->connections++;
    if (rule->rate)
      entry->current++;
    list_remove(&entry->unused);
    *held = entry;
  } else if (entry) {
    entry->refused++;
    if (entry->connections == 0) { /* just used */
      list_remove(&entry->unused);
      list_add_tail(&shard->unused, &entry->unused);
    }
  }
  pthread_mutex_unlock(&shard->lock);
  return answer;
}

/* Whether a new address finds a place: a free one, or that of one that holds nothing. */
static bool has_room(struct limits *limits) {
  bool room = atomic_load_explicit(&limits->count, memory_order_relaxed) < limits->most;
  for (size_t i = 0; i < LIMITS_SHARDS && !room; i++) {
    pthread_mutex_lock(&limits->shards[i].lock);
    room = !list_is_empty(&limits->shards[i].unused);
    pthread_mutex_unlock(&limits->shards[i].lock);
  }
  return room;
}

enum limit_answer limits_foresee(struct limits *limits, const struct ip_address *address, const struct limit_rule *rule,
                                 clock_ms now, uint64_t *blocked_ms) {
  if (!rule->connections && !rule->rate)
    return LIMIT_ADMITTED;
  struct limit_key key;
  make_key(limits, address, rule->scope, &key);
  uint64_t hash = hash_key(limits, &key);
  struct shard *shard = &limits->shards[hash % LIMITS_SHARDS];
  struct limit_entry copy = {.window_start = now};
  pthread_mutex_lock(&shard->lock);
  const struct limit_entry *entry = find(shard, &key, hash);
  if (entry)
    copy = *entry;
  pthread_mutex_unlock(&shard->lock);
  if (!entry && !has_room(limits))
    return LIMIT_FULL;
  enum limit_answer answer = judge(&copy, rule, now);
  *blocked_ms = answer == LIMIT_BLOCKED ? copy.blocked_until - now : 0;
  return answer;
}

void limits_release(struct limits *limits, struct limit_entry *held) {
  if (!held)
    return;
  struct shard *shard = &limits->shards[held->shard];
  pthread_mutex_lock(&shard->lock);
  assert(held->connections > 0);
  if (--held->connections == 0)
    list_add_tail(&shard->unused, &held->unused);
  pthread_mutex_unlock(&shard->lock);
}

static struct limit_report report_of(const struct limit_entry *entry, clock_ms now) {
  struct limit_report told = {
      .address = {.is_set = true},
      .prefix = entry->prefix,
      .scope = entry->key.scope,
      .connections = entry->connections,
      .rate = rate_of(entry, now),
      .refused = entry->refused,
      .blocked_ms = entry->blocked_until > now ? entry->blocked_until - now : 0,
  };
  memcpy(told.address.bytes, entry->key.bytes, sizeof told.address.bytes);
  return told;
}

bool limits_find(struct limits *limits, const struct ip_address *address, uint32_t scope, clock_ms now,
                 struct limit_report *report) {
  struct limit_key key;
  make_key(limits, address, scope, &key);
  uint64_t hash = hash_key(limits, &key);
  struct shard *shard = &limits->shards[hash % LIMITS_SHARDS];
  pthread_mutex_lock(&shard->lock);
  const struct limit_entry *entry = find(shard, &key, hash);
  if (entry)
    *report = report_of(entry, now);
  pthread_mutex_unlock(&shard->lock);
  return entry != NULL;
}

static void tell(const struct limit_entry *entry, clock_ms now, limits_report_fn *report, void *context) {
  struct limit_report told = report_of(entry, now);
  report(context, &told);
}

/* Chains only ever become more, by doubling: what is in chain c of `count` is later in one of c, c + count, …. */
static void tell_group(const struct shard *shard, size_t group, size_t count, clock_ms now, limits_report_fn *report,
                       void *context) {
  for (size_t c = group; c < shard->chain_count; c += count)
    for (const struct limit_entry *entry = shard->chains[c]; entry; entry = entry->next)
      tell(entry, now, report, context);
}

void limits_each_of(struct limits *limits, size_t index, clock_ms now, limits_report_fn *report, void *context) {
  enum { GROUPS_AT_A_TIME = 64 };
  struct shard *shard = &limits->shards[index];
  pthread_mutex_lock(&shard->lock);
  size_t count = shard->chain_count;
  for (size_t group = 0; group < count; group++) {
    tell_group(shard, group, count, now, report, context);
    if (group % GROUPS_AT_A_TIME != GROUPS_AT_A_TIME - 1)
      continue;
    pthread_mutex_unlock(&shard->lock);
    pthread_mutex_lock(&shard->lock);
  }
  pthread_mutex_unlock(&shard->lock);
}

void limits_each(struct limits *limits, clock_ms now, limits_report_fn *report, void *context) {
  for (size_t i = 0; i < LIMITS_SHARDS; i++)
    limits_each_of(limits, i, now, report, context);
}
