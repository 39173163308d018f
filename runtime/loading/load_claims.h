/* SPDX-License-Identifier: MIT
 *
 * What a route file lays claim to beside other files: the names of its routes, the domains, and the ports of routes
 * without domains. Written down as numbers when the file is loaded, so that comparing one file that has changed with
 * thousands that have not reads their numbers and nothing else. */
#pragma once

#include "routing/route.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims {
  uint64_t *names; /* hashes: those of the names, then those of the domains */
  size_t name_count;
  uint64_t *domains; /* in `names` */
  size_t domain_count;
  struct port_range *ports; /* ascending, apart from each other */
  size_t port_count;
};

/* 0, or -ENOMEM and nothing to clear. */
int claims_make(struct claims *claims, struct route *const *routes, size_t count);
void claims_clear(struct claims *claims);

/* Hashes. */
struct hash_set {
  uint64_t *slots;
  size_t room; /* a power of two */
};

/* With room for `count`. 0 or -ENOMEM; hash_set_deinit() in each case. */
int hash_set_init(struct hash_set *set, size_t count);
void hash_set_deinit(struct hash_set *set);
bool hash_set_has_any(const struct hash_set *set, const uint64_t *hashes, size_t count);
void hash_set_enter(struct hash_set *set, const uint64_t *hashes, size_t count);

/* All ports there are. */
struct port_set {
  uint64_t words[65536 / 64];
};

bool port_set_has_any(const struct port_set *set, const struct port_range *ports, size_t count);
void port_set_enter(struct port_set *set, const struct port_range *ports, size_t count);
