/* SPDX-License-Identifier: MIT
 *
 * What the config says about who may connect, before any route and for those that say nothing themselves, and what of
 * it is written down: immutable, shared by the workers, reference-counted. A route table carries the one that it goes
 * with. */
#pragma once

#include "net/ip_set.h"
#include "routing/route.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum proxy_accept {
  PROXY_ACCEPT_NEVER,
  PROXY_ACCEPT_AUTO, /* trusted peers may send a header: silence for the timeout means none */
  PROXY_ACCEPT_MUST, /* trusted peers must */
};

struct policy {
  atomic_uint references;
  uint64_t digest;              /* of all that it says: two that say the same have the same */
  struct ip_set *allow, *block; /* security.ip_allow, ip_block; NULL: all, none */
  uint32_t connections;         /* limits.connections, over all workers; 0: no limit */
  struct address_limits limits; /* limits.connections_per_ip, connection_rate; both are said */
  uint64_t block_ms;            /* limits.block_for */
  uint64_t idle_near_cap_ms;    /* limits.idle_near_cap; 0: off */
  unsigned ipv6_prefix;         /* limits.ipv6_prefix */
  struct ip_set *trusted;       /* proxy_protocol.trusted; NULL: nobody */
  enum proxy_accept accept;
  uint64_t proxy_timeout_ms; /* proxy_protocol.timeout */
  bool access_log;           /* log.access */
  bool track_ips;            /* metrics.track_ips */
  unsigned top_ips;          /* metrics.top_ips */
};

/* One that limits nothing and trusts nobody, of one reference. NULL without memory. */
struct policy *policy_new(void);
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* of both, NULL is nothing */
