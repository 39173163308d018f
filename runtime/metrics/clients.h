/* SPDX-License-Identifier: MIT
 *
 * What a worker has counted by its clients' addresses: so many of them at most, and together with "other" all that it
 * has counted. An address is looked up when a connection of it comes; from then on the connection has a pointer to the
 * counter, which stays until the last of the address' connections has gone. Of those that have none, the longest unused
 * makes room for a new one, and what it has counted goes to "other"; while all have some, a new one is counted there.
 * IPv6 addresses are counted by their prefix. */
#pragma once

#include "core/hash_table.h"
#include "core/list.h"
#include "core/tally.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENTS_DEFAULT = 1000, CLIENTS_IPV6_PREFIX_DEFAULT = 64 };

struct clients {
  struct hash_table table;
  struct list_node held, unused; /* with open connections; and without, the longest unused first */
  struct client_count other;     /* of addresses that are not kept any more, or never were; and of peers without one */
  size_t most;
  unsigned ipv6_prefix;
  uint64_t ipv6_mask[2]; /* the same, over the two halves of an address */
  uint64_t secret[2];    /* of the hash */
};

/* An address and what is counted by it, as it is copied. */
struct client_row {
  uint8_t address[16]; /* the first of its prefix */
  uint8_t prefix;      /* bits of it that stand for the client; 32 of an IPv4 address */
  struct client_count count;
};

void clients_init(struct clients *clients);
void clients_deinit(struct clients *clients);

/* From now on: so many addresses (0: none, all is "other"), and so many bits of an IPv6 one. Those that are too many go
 * when they have no connections. */
void clients_set_bounds(struct clients *clients, size_t most, unsigned ipv6_prefix);

/* A connection is there, whose address is not known yet: it is active in "other". Never NULL. */
static inline struct client_count *clients_begin(struct clients *clients) {
  clients->other.active++;
  return &clients->other;
}

/* … or is now: it is active there from here on. Where it is "other" all the same, asking again does no harm. */
struct client_count *clients_enter(struct clients *clients, struct client_count *count,
                                   const struct ip_address *address);

/* Whether the connection is of an address of its own. */
static inline bool clients_has_entered(const struct clients *clients, const struct client_count *count) {
  return count != &clients->other;
}

/* It is not open any more. The counter may be gone at the next clients_enter(). */
void clients_leave(struct clients *clients, struct client_count *count);

static inline size_t clients_count(const struct clients *clients) { return clients->table.count; }

/* Writes all rows, clients_count() of them, in no order. */
void clients_copy(const struct clients *clients, struct client_row *rows);

void client_count_add(struct client_count *sum, const struct client_count *part);
