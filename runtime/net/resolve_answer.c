/* SPDX-License-Identifier: MIT
 *
 * What c-ares has found, as an entry of the cache keeps it. When it is asked, and who is told, is in net/resolve.c. */
#include "net/resolve.h"
#include "net/resolve_private.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int resolve_status_of(int status) {
  switch (status) {
  case ARES_SUCCESS:
    return 0;
  case ARES_ENODATA:
  case ARES_ENOTFOUND:
  case ARES_ENONAME:
    return -ENOENT;
  case ARES_EBADNAME:
    return -EINVAL;
  case ARES_ETIMEOUT:
    return -ETIMEDOUT;
  case ARES_ENOMEM:
    return -ENOMEM;
  default:
    return -EAGAIN;
  }
}

/* The first of `node` and what follows it that is of `family`. */
static const struct ares_addrinfo_node *next_of_family(const struct ares_addrinfo_node *node, int family) {
  while (node && node->ai_family != family)
    node = node->ai_next;
  return node;
}

int resolve_entry_note(struct resolve_entry *entry, const struct ares_addrinfo *info) {
  const struct ares_addrinfo_node *ipv6 = next_of_family(info->nodes, AF_INET6);
  const struct ares_addrinfo_node *ipv4 = next_of_family(info->nodes, AF_INET);
  union resolve_address addresses[RESOLVE_MAX_ADDRESSES];
  unsigned count = 0;
  while ((ipv6 || ipv4) && count < RESOLVE_MAX_ADDRESSES) {
    bool want_ipv6 = ipv6 && (count % 2 == 0 || !ipv4);
    if (want_ipv6) {
      memcpy(&addresses[count++].in6, ipv6->ai_addr, sizeof(struct sockaddr_in6));
      ipv6 = next_of_family(ipv6->ai_next, AF_INET6);
    } else if (ipv4) {
      memcpy(&addresses[count++].in, ipv4->ai_addr, sizeof(struct sockaddr_in));
      ipv4 = next_of_family(ipv4->ai_next, AF_INET);
    }
  }
  if (count == 0)
    return -ENOENT;
  entry->addresses = malloc(count * sizeof *entry->addresses);
  if (!entry->addresses)
    return -ENOMEM;
  memcpy(entry->addresses, addresses, count * sizeof *addresses);
  entry->count = count;
  return 0;
}

uint32_t resolve_least_ttl(const struct ares_addrinfo *info) {
  int ttl = INT32_MAX;
  for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
    ttl = node->ai_ttl < ttl ? node->ai_ttl : ttl;
  for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next)
    ttl = cname->ttl < ttl ? cname->ttl : ttl;
  return ttl > 0 ? (uint32_t)ttl : 0;
}
