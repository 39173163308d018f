/* SPDX-License-Identifier: MIT
 *
 * What c-ares has found, as the table of names is told it. When it is asked, and who is told, is in names/resolve.c. */
#include "names/resolve_answer.h"

#include <errno.h>
#include <string.h>

static void answer_set(struct host_answer *answer, enum host_result result, int status) {
  answer->result = result;
  answer->status = status;
}

static void set_failure(struct host_answer *answer, int status) {
  switch (status) {
  case ARES_SUCCESS:
  case ARES_ENODATA:
    answer_set(answer, HOST_NO_ADDRESS, -ENOENT);
    break;
  case ARES_ENOTFOUND:
  case ARES_ENONAME:
  case ARES_EBADNAME: /* what is behind it from the list of domains has made it too long */
    answer_set(answer, HOST_NO_NAME, -ENOENT);
    break;
  case ARES_ETIMEOUT:
    answer_set(answer, HOST_TIMEOUT, -ETIMEDOUT);
    break;
  default:
    answer_set(answer, HOST_SERVER, status == ARES_ENOMEM ? -ENOMEM : -EAGAIN);
  }
}

/* The least of all records', aliases included; one with its highest bit set is 0 (RFC 2181 section 8). */
static uint32_t least_ttl(const struct ares_addrinfo *info) {
  int ttl = INT32_MAX;
  for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
    ttl = node->ai_ttl < ttl ? node->ai_ttl : ttl;
  for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next)
    ttl = cname->ttl < ttl ? cname->ttl : ttl;
  return ttl > 0 ? (uint32_t)ttl : 0;
}

void resolve_answer_from(struct host_answer *answer, enum host_family family, int status,
                         const struct ares_addrinfo *info) {
  memset(answer, 0, sizeof *answer);
  answer->family = family;
  const struct ares_addrinfo_node *node = status == ARES_SUCCESS && info ? info->nodes : NULL;
  int wanted = family == HOST_IPV6 ? AF_INET6 : AF_INET;
  for (; node && answer->count < RESOLVE_MAX_ADDRESSES; node = node->ai_next) {
    if (node->ai_family != wanted)
      continue;
    union host_address *address = &answer->addresses[answer->count++];
    if (wanted == AF_INET6) {
      memcpy(&address->in6, node->ai_addr, sizeof address->in6);
      address->in6.sin6_port = 0;
    } else {
      memcpy(&address->in, node->ai_addr, sizeof address->in);
      address->in.sin_port = 0;
    }
  }
  if (answer->count == 0) {
    set_failure(answer, status);
    return;
  }
  answer_set(answer, HOST_FOUND, 0);
  answer->ttl_ms = (uint64_t)least_ttl(info) * 1000;
}

static const union host_address *next_of_family(const union host_address *address, const union host_address *end,
                                                sa_family_t family) {
  while (address < end && address->sockaddr.sa_family != family)
    address++;
  return address;
}

static void result_add(struct resolve_result *result, const union host_address *address) {
  struct endpoint *endpoint = &result->addresses[result->count++];
  memset(endpoint, 0, sizeof *endpoint);
  endpoint->length = address->sockaddr.sa_family == AF_INET ? sizeof address->in : sizeof address->in6;
  memcpy(&endpoint->storage, address, endpoint->length);
}

bool resolve_result_from(struct resolve_result *result, const union host_address *addresses, unsigned count,
                         unsigned asks) {
  const union host_address *end = addresses + count;
  const union host_address *ipv6 = asks & HOST_ASK_IPV6 ? next_of_family(addresses, end, AF_INET6) : end;
  const union host_address *ipv4 = asks & HOST_ASK_IPV4 ? next_of_family(addresses, end, AF_INET) : end;
  result->status = 0;
  result->count = 0;
  while ((ipv6 < end || ipv4 < end) && result->count < RESOLVE_MAX_ADDRESSES) {
    if (ipv6 < end) {
      result_add(result, ipv6);
      ipv6 = next_of_family(ipv6 + 1, end, AF_INET6);
    }
    if (ipv4 < end && result->count < RESOLVE_MAX_ADDRESSES) {
      result_add(result, ipv4);
      ipv4 = next_of_family(ipv4 + 1, end, AF_INET);
    }
  }
  return result->count > 0;
}
