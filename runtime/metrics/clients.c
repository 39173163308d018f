/* SPDX-License-Identifier: MIT
 *
 * The table: entries in the order in which they were last used, found by a hash of the address. */
#include "metrics/clients.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct client_key {
  uint64_t halves[2];
  unsigned prefix;
};

struct client_entry {
  struct client_count count; /* first: what connections point to */
  struct hash_node node;
  struct list_node place; /* in `held` or `unused` */
  struct client_key key;
};

void client_count_add(struct client_count *sum, const struct client_count *part) {
  tally_add(&sum->bytes, part->bytes);
  sum->connections += part->connections;
  sum->active += part->active;
}

/* Bits of this half that stand for the client, as a mask of its bytes. */
static uint64_t mask_half(unsigned prefix, unsigned half) {
  uint8_t bytes[8];
  uint64_t mask;
  for (unsigned i = 0; i < sizeof bytes; i++) {
    unsigned before = (half * 8 + i) * 8, kept = prefix > before ? prefix - before : 0;
    bytes[i] = kept < 8 ? (uint8_t)(0xff00u >> kept) : 0xff;
  }
  memcpy(&mask, bytes, sizeof mask);
  return mask;
}

static struct client_key make_client_key(const struct clients *clients, const struct ip_address *address) {
  struct client_key key = {.prefix = 32};
  memcpy(key.halves, address->bytes, sizeof key.halves);
  if (ip_address_is_ipv4(address))
    return key;
  key.prefix = clients->ipv6_prefix;
  key.halves[0] &= clients->ipv6_mask[0];
  key.halves[1] &= clients->ipv6_mask[1];
  return key;
}

/* Multiplied and folded, with numbers that nobody outside knows: a dozen instructions for each connection, where
 * text_hash() takes over a hundred. And the table is small: all that collisions could cost is one walk through it. */
static uint64_t hash_client(const struct clients *clients, const struct client_key *key) {
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)(key->halves[0] ^ clients->secret[0]) * (key->halves[1] ^ clients->secret[1]);
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct client_entry *find_client(const struct clients *clients, const struct client_key *key, uint64_t hash) {
  for (struct hash_node *node = hash_table_first(&clients->table, hash); node; node = hash_table_next(node)) {
    struct client_entry *entry = HASH_OWNER(node, struct client_entry, node);
    if (entry->key.halves[0] == key->halves[0] && entry->key.halves[1] == key->halves[1] &&
        entry->key.prefix == key->prefix)
      return entry;
  }
  return NULL;
}

/* The longest unused leaves what it has counted to "other". NULL: all have connections. */
static struct client_entry *evict_client(struct clients *clients) {
  if (list_is_empty(&clients->unused))
    return NULL;
  struct client_entry *entry = LIST_OWNER(clients->unused.next, struct client_entry, place);
  list_remove(&entry->place);
  hash_table_remove(&clients->table, &entry->node);
  client_count_add(&clients->other, &entry->count);
  return entry;
}

/* Evicts down to less than `most`, but for memory that is used again. NULL: there is no room. */
static struct client_entry *room_for_client(struct clients *clients) {
  if (clients_count(clients) < clients->most)
    return malloc(sizeof(struct client_entry));
  return clients->most > 0 ? evict_client(clients) : NULL;
}

static __attribute__((noinline)) struct client_entry *make_client(struct clients *clients, const struct client_key *key,
                                                                  uint64_t hash) {
  struct client_entry *entry = room_for_client(clients);
  if (!entry)
    return NULL;
  *entry = (struct client_entry){.key = *key};
  list_init(&entry->place);
  if (hash_table_enter(&clients->table, &entry->node, hash) == 0)
    return entry;
  free(entry);
  return NULL;
}

void clients_set_bounds(struct clients *clients, size_t most, unsigned ipv6_prefix) {
  clients->most = most;
  clients->ipv6_prefix = ipv6_prefix;
  for (unsigned half = 0; half < 2; half++)
    clients->ipv6_mask[half] = mask_half(ipv6_prefix, half);
  struct client_entry *entry;
  while (clients_count(clients) > most && (entry = evict_client(clients)))
    free(entry);
}

void clients_init(struct clients *clients) {
  *clients = (struct clients){.most = 0};
  list_init(&clients->held);
  list_init(&clients->unused);
  clients_set_bounds(clients, CLIENTS_DEFAULT, CLIENTS_IPV6_PREFIX_DEFAULT);
  if (getrandom(clients->secret, sizeof clients->secret, 0) != sizeof clients->secret)
    clients->secret[0] = clients->secret[1] = (uint64_t)(uintptr_t)clients | 1;
}

static void clients_free_list(struct list_node *list) {
  LIST_FOREACH(node, list) { free(LIST_OWNER(node, struct client_entry, place)); }
  list_init(list);
}

void clients_deinit(struct clients *clients) {
  clients_free_list(&clients->held);
  clients_free_list(&clients->unused);
  hash_table_deinit(&clients->table);
}

struct client_count *clients_enter(struct clients *clients, struct client_count *count,
                                   const struct ip_address *address) {
  if (!address->is_set || count != &clients->other)
    return count;
  struct client_key key = make_client_key(clients, address);
  uint64_t hash = hash_client(clients, &key);
  struct client_entry *entry = find_client(clients, &key, hash);
  if (!entry && !(entry = make_client(clients, &key, hash)))
    return count;
  clients->other.active--;
  if (entry->count.active++ == 0) {
    list_remove(&entry->place);
    list_add_tail(&clients->held, &entry->place);
  }
  return &entry->count;
}

void clients_leave(struct clients *clients, struct client_count *count) {
  if (--count->active > 0 || count == &clients->other)
    return;
  struct client_entry *entry = (struct client_entry *)(void *)count;
  list_remove(&entry->place);
  list_add_tail(&clients->unused, &entry->place);
  if (clients_count(clients) > clients->most)
    free(evict_client(clients));
}

static struct client_row *copy_list(const struct list_node *list, struct client_row *row) {
  for (const struct list_node *node = list->next; node != list; node = node->next, row++) {
    const struct client_entry *entry = LIST_OWNER(node, const struct client_entry, place);
    memcpy(row->address, entry->key.halves, sizeof row->address);
    row->prefix = (uint8_t)entry->key.prefix;
    row->count = entry->count;
  }
  return row;
}

void clients_copy(const struct clients *clients, struct client_row *rows) {
  copy_list(&clients->unused, copy_list(&clients->held, rows));
}
