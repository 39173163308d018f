/* SPDX-License-Identifier: MIT
 *
 * What the files of the resolver share: names, answers, and its cache, a hash table of names, those that are being
 * asked for and those that are known; of the latter the least recently used goes when there is no room. None of it asks
 * anybody (net/resolve.c does). */
#pragma once

#include "core/clock.h"
#include "core/hash_table.h"
#include "core/list.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver;
struct ares_addrinfo;

enum { RESOLVE_NAME_MAX = 253 + 1 }; /* RFC 1035 section 2.3.4, as text; and a trailing dot */

union resolve_address {
  struct sockaddr sockaddr;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
};

enum entry_state {
  ENTRY_ASKED,    /* the query runs; in the table */
  ENTRY_ANSWERED, /* in the resolver's list of those whose requests are to be called; in the table if it will be kept */
  ENTRY_KEPT,     /* in the table, and in the order of use */
};

struct resolve_entry {
  struct hash_node node;
  struct list_node place;   /* in the resolver's list or the order of use; see the state */
  struct list_node waiting; /* of struct resolve_request */
  struct resolver *resolver;
  enum entry_state state;
  bool in_table;
  int status; /* of struct resolve_result, as is the count */
  unsigned count;
  union resolve_address *addresses;
  clock_ms expires;
  size_t size;
  char name[]; /* in lower case */
};

struct resolve_cache {
  struct hash_table table;
  size_t capacity;
  uint64_t seed;
  struct list_node order; /* of use, the least recent first */
};

/* 0 or a negative errno. */
int resolve_cache_init(struct resolve_cache *cache, size_t capacity);

/* What the table holds is freed as well; its requests were dropped before. */
void resolve_cache_deinit(struct resolve_cache *cache);

/* The entry in any state, and used from now on; NULL when there is none, or it had expired. */
struct resolve_entry *resolve_cache_find(struct resolve_cache *cache, const char *name, size_t size, clock_ms now);

/* A new ENTRY_ASKED of a name that is not in the table, for which a kept one may have to go. NULL: `*status` is
 * -ENOMEM, or -EAGAIN when all entries are being asked for. */
struct resolve_entry *resolve_cache_add(struct resolve_cache *cache, const char *name, size_t size, int *status);

/* ENTRY_ANSWERED to ENTRY_KEPT. */
void resolve_cache_keep(struct resolve_cache *cache, struct resolve_entry *entry);

/* Out of the table; nothing when it is out already. */
void resolve_cache_remove(struct resolve_cache *cache, struct resolve_entry *entry);

/* Of an entry that is out of the table, or goes with it. */
void resolve_entry_free(struct resolve_entry *entry);

/* resolve_name.c: writes the name in lower case. Its length, or -EINVAL when it is none. */
int resolve_name_normalize(const char *name, char normal[RESOLVE_NAME_MAX + 1]);

/* "localhost" and what is under it (RFC 6761 section 6.3), with or without a trailing dot. A normal name, not empty. */
bool resolve_name_is_localhost(const char *name, size_t size);

/* resolve_answer.c: a status of c-ares as an errno: 0 or negative. */
int resolve_status_of(int status);

/* Notes the addresses in the order to try. 0 or a negative errno. */
int resolve_entry_note(struct resolve_entry *entry, const struct ares_addrinfo *info);

/* The least of all records', aliases included; one with its highest bit set is 0 (RFC 2181 section 8). */
uint32_t resolve_least_ttl(const struct ares_addrinfo *info);
