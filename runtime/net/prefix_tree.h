/* SPDX-License-Identifier: MIT
 *
 * A tree of address prefixes: which of them an address lies in, in time that grows with the length of an address and
 * not with the number of prefixes. What a prefix stands for is a number of the caller's. */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PREFIX_FAMILY_BITS = 8, /* before the address: so the two families never meet, and 0 bits take both in */
  PREFIX_SIZE = 17,
  PREFIX_NO_VALUE = UINT32_MAX,
};

/* The first `bits` bits of `bytes`: one byte of family, then 4 or 16 of address. What is behind them is 0. */
struct prefix {
  uint8_t bytes[PREFIX_SIZE];
  uint8_t bits;
};

struct prefix_node {
  struct prefix prefix;
  uint32_t value;       /* PREFIX_NO_VALUE: only the place where two others part */
  uint32_t children[2]; /* by the bit behind the prefix; 0: none, for the root is nobody's child */
};

/* All zero: an empty one. Once built it may be read by any thread. */
struct prefix_tree {
  struct prefix_node *nodes;
  uint32_t count, capacity;
};

/* The whole address as a prefix. IPv4-mapped addresses are IPv4 ones. `address` is set. */
struct prefix prefix_of_address(const struct ip_address *address);

/* 16 bytes of an address as struct ip_address has it, and how many bits count of its 4 (IPv4-mapped) or 16. */
struct prefix prefix_make(const uint8_t bytes[16], bool is_ipv4, unsigned bits);

/* One that lies in it; its port is 0. */
struct ip_address prefix_first_address(const struct prefix *prefix);

void prefix_tree_deinit(struct prefix_tree *tree);

/* The value of a prefix, to be read and set: PREFIX_NO_VALUE when it is new. Valid until the next insertion. NULL
 * without memory. */
uint32_t *prefix_tree_insert(struct prefix_tree *tree, const struct prefix *prefix);

/* One step down: call it with *at = 0 first, then as it left it. The value of the next prefix that `key` lies in, from
 * short to long, its length in *bits; PREFIX_NO_VALUE: there are no more. */
uint32_t prefix_tree_next(const struct prefix_tree *tree, const struct prefix *key, uint32_t *at, unsigned *bits);
