/* SPDX-License-Identifier: MIT
 *
 * A set of IP addresses, made from what people write: an address, a CIDR (RFC 4632, RFC 4291) or a glob ("192.168.*",
 * "10.?.?.1"). Immutable once made, shared by threads. IPv4-mapped IPv6 addresses count as IPv4 ones. What is done with
 * the members (matching, allowing, blocking, trusting) is the caller's.
 *
 * A CIDR may have bits set behind its prefix: "10.1.2.3/8" is "10.0.0.0/8". "0.0.0.0/0" is every IPv4 address, "::/0"
 * every IPv6 one, "*" both. In a glob of IPv4 addresses "?" is a digit and "*" any run of digits and dots; one of IPv6
 * addresses is whole groups and then ":*" ("2001:db8:*"). */
#pragma once

#include "core/error.h"
#include "net/address.h"
#include "net/prefix_tree.h"

#include <stdbool.h>
#include <stddef.h>

struct ip_set;

enum { IP_SET_MAX = 1000000 }; /* members */

/* A set of one reference. NULL: `error` says which text is wrong and why, or that memory is out. */
struct ip_set *ip_set_new(const char *const *texts, size_t count, struct error *error);
struct ip_set *ip_set_ref(struct ip_set *set);
void ip_set_unref(struct ip_set *set); /* NULL is nothing */

/* Time grows with the length of an address, not with the number of members; globs that are no prefix are looked at one
 * by one. An address that is not set is in no set. */
bool ip_set_contains(const struct ip_set *set, const struct ip_address *address);

/* The text that made `address` a member, the most specific one; NULL when it is none. */
const char *ip_set_find(const struct ip_set *set, const struct ip_address *address);

/* How specific the most specific member with `address` is: the bits that it sets, an octet of a glob counting 8 when it
 * is spelled out. (They begin with PREFIX_FAMILY_BITS; 0 is "*".) -1 when there is none. */
int ip_set_specificity(const struct ip_set *set, const struct ip_address *address);

/* The texts as they were given. */
size_t ip_set_count(const struct ip_set *set);
const char *ip_set_text(const struct ip_set *set, size_t index);

/* The prefix that a member is; false for a glob that is none. */
bool ip_set_prefix(const struct ip_set *set, size_t index, struct prefix *prefix);

/* Do both have the same texts in the same order? */
bool ip_set_equal(const struct ip_set *a, const struct ip_set *b);

/* The same, where NULL stands for no set. */
static inline bool ip_set_same(const struct ip_set *a, const struct ip_set *b) {
  return a == b || (a && b && ip_set_equal(a, b));
}
