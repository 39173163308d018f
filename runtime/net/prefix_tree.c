/* SPDX-License-Identifier: MIT
 *
 * The tree is binary and compressed: a node for each prefix, and one for each place where two part. Nodes lie in one
 * array and name each other by index. */
#include "net/prefix_tree.h"

#include <stdlib.h>
#include <string.h>

enum { FAMILY_IPV4 = 4, FAMILY_IPV6 = 6, MAPPED_BYTES = 12, END = UINT32_MAX };

struct prefix prefix_make(const uint8_t bytes[16], bool is_ipv4, unsigned bits) {
  struct prefix prefix = {.bytes = {is_ipv4 ? FAMILY_IPV4 : FAMILY_IPV6}};
  if (is_ipv4)
    memcpy(prefix.bytes + 1, bytes + MAPPED_BYTES, 4);
  else
    memcpy(prefix.bytes + 1, bytes, 16);
  prefix.bits = (uint8_t)(PREFIX_FAMILY_BITS + bits);
  for (unsigned i = prefix.bits; i < 8 * PREFIX_SIZE; i = (i + 8) & ~7U)
    prefix.bytes[i / 8] &= (uint8_t)(0xff00U >> (i % 8));
  return prefix;
}

struct prefix prefix_of_address(const struct ip_address *address) {
  bool is_ipv4 = ip_address_is_ipv4(address);
  return prefix_make(address->bytes, is_ipv4, is_ipv4 ? 32 : 128);
}

struct ip_address prefix_first_address(const struct prefix *prefix) {
  struct ip_address address = {.is_set = true};
  if (prefix->bits >= PREFIX_FAMILY_BITS && prefix->bytes[0] == FAMILY_IPV6) {
    memcpy(address.bytes, prefix->bytes + 1, sizeof address.bytes);
    return address;
  }
  memset(address.bytes + MAPPED_BYTES - 2, 0xff, 2);
  memcpy(address.bytes + MAPPED_BYTES, prefix->bytes + 1, 4);
  return address;
}

void prefix_tree_deinit(struct prefix_tree *tree) {
  free(tree->nodes);
  *tree = (struct prefix_tree){0};
}

static unsigned bit_at(const struct prefix *prefix, unsigned index) {
  return (prefix->bytes[index / 8] >> (7 - index % 8)) & 1;
}

/* How many of the first `limit` bits are the same. */
static unsigned common_bits(const struct prefix *a, const struct prefix *b, unsigned limit) {
  for (unsigned i = 0; i * 8 < limit; i++) {
    unsigned different = a->bytes[i] ^ b->bytes[i];
    if (different) {
      unsigned same = i * 8 + (unsigned)__builtin_clz(different) - 24;
      return same < limit ? same : limit;
    }
  }
  return limit;
}

static uint32_t add_node(struct prefix_tree *tree, const struct prefix *prefix, unsigned bits) {
  struct prefix_node *node = &tree->nodes[tree->count];
  *node = (struct prefix_node){.prefix = *prefix, .value = PREFIX_NO_VALUE};
  node->prefix.bits = (uint8_t)bits;
  return tree->count++;
}

/* The root takes everything in, and room for what one insertion adds. */
static bool prefix_tree_make_room(struct prefix_tree *tree) {
  if (tree->count + 3 <= tree->capacity)
    return true;
  uint32_t capacity = tree->capacity ? 2 * tree->capacity : 8;
  struct prefix_node *nodes = realloc(tree->nodes, capacity * sizeof *nodes);
  if (!nodes)
    return false;
  tree->nodes = nodes;
  tree->capacity = capacity;
  static const struct prefix everything;
  if (tree->count == 0)
    add_node(tree, &everything, 0);
  return true;
}

uint32_t *prefix_tree_insert(struct prefix_tree *tree, const struct prefix *prefix) {
  if (!prefix_tree_make_room(tree))
    return NULL;
  for (uint32_t at = 0;;) {
    struct prefix_node *node = &tree->nodes[at];
    if (node->prefix.bits == prefix->bits)
      return &node->value;
    uint32_t *link = &node->children[bit_at(prefix, node->prefix.bits)];
    if (!*link) {
      *link = add_node(tree, prefix, prefix->bits);
      return &tree->nodes[*link].value;
    }
    struct prefix_node *child = &tree->nodes[*link];
    unsigned limit = child->prefix.bits < prefix->bits ? child->prefix.bits : prefix->bits;
    unsigned same = common_bits(&child->prefix, prefix, limit);
    if (same < child->prefix.bits) {
      uint32_t fork = add_node(tree, prefix, same);
      tree->nodes[fork].children[bit_at(&child->prefix, same)] = *link;
      *link = fork;
    }
    at = *link;
  }
}

uint32_t prefix_tree_next(const struct prefix_tree *tree, const struct prefix *key, uint32_t *at, unsigned *bits) {
  if (tree->count == 0)
    return PREFIX_NO_VALUE;
  while (*at != END) {
    const struct prefix_node *node = &tree->nodes[*at];
    unsigned length = node->prefix.bits;
    if (length > key->bits || common_bits(&node->prefix, key, length) < length)
      break;
    uint32_t child = length < key->bits ? node->children[bit_at(key, length)] : 0;
    *at = child ? child : END;
    if (node->value != PREFIX_NO_VALUE) {
      *bits = length;
      return node->value;
    }
  }
  *at = END;
  return PREFIX_NO_VALUE;
}
