/* SPDX-License-Identifier: MIT
 *
 * What is asked and told about one name, between who asks name servers, who keeps what they have said and who wants to
 * know. */
#pragma once

#include "core/clock.h"
#include "names/dns_files.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESOLVE_MAX_ADDRESSES = HOST_ADDRESSES_MAX };

/* What a name has: an immutable list in the order to try (families alternate, IPv6 first: RFC 8305 section 4; only
 * "localhost" is 127.0.0.1, then ::1, where fewer listen), ports unset. The order in which a server tells a family's
 * addresses counts only for those that are new: what is known stays where it is. */
struct resolve_result {
  int status; /* 0; -ENOENT: no such name or no address; -ETIMEDOUT; -EAGAIN: the servers failed, or too many names are
                 being asked for already; -ENOMEM; -EINVAL: not a name */
  unsigned count;
  struct endpoint addresses[RESOLVE_MAX_ADDRESSES];
};

enum host_family { HOST_IPV6, HOST_IPV4, HOST_FAMILIES };
enum { HOST_ASK_IPV6 = 1 << HOST_IPV6, HOST_ASK_IPV4 = 1 << HOST_IPV4, HOST_ASK_ALL = HOST_ASK_IPV6 | HOST_ASK_IPV4 };

struct host_table_options {
  size_t capacity; /* names; the least recently used goes first */
  unsigned asks;   /* the families that there are */
  uint64_t min_ttl_ms, max_ttl_ms;
  uint64_t stale_ms; /* how long addresses serve after the end of their TTL */
};

/* The closed list behind dns_queries_total{result}. */
#define HOST_RESULTS(X)                                                                                                \
  X(HOST_FOUND, "found", "addresses of the family that was asked for")                                                 \
  X(HOST_NO_NAME, "no_name", "there is no such name (NXDOMAIN)")                                                       \
  X(HOST_NO_ADDRESS, "no_address", "the name has no address of the family")                                            \
  X(HOST_TIMEOUT, "timeout", "no name server answered in time")                                                        \
  X(HOST_SERVER, "failed", "the name servers failed (SERVFAIL, REFUSED), were not there, or answered nonsense")

enum host_result {
#define X(name, label, text) name,
  HOST_RESULTS(X)
#undef X
      HOST_RESULT_COUNT
};

/* For new addresses, while expired ones are at hand (RFC 8767 section 5: client response timer). */
enum { HOST_EXPIRED_WAIT_MS = 500 };

enum host_state {
  HOST_KNOWN,   /* `result` has addresses */
  HOST_EXPIRED, /* likewise, but their TTL is over, nothing is known to fail, and nobody has asked for so long: worth a
                   wait */
  HOST_FAILED,  /* `result` has the status that it failed with, a moment ago */
  HOST_UNKNOWN, /* nothing */
  HOST_UNCHECKED, /* the hosts file has changed since: to be looked at, then host_table_confirm() */
};

/* An answer about one family. */
struct host_answer {
  enum host_family family;
  enum host_result result;
  int status; /* of struct resolve_result */
  uint64_t ttl_ms;
  unsigned count;
  union host_address addresses[RESOLVE_MAX_ADDRESSES];
};

/* A name whose last known addresses serve. */
struct host_report {
  char name[256];
  int status;         /* of the last answer */
  uint64_t stale_ms;  /* since the end of the TTL */
  uint64_t left_ms;   /* how long they will serve */
  unsigned addresses; /* how many */
};
