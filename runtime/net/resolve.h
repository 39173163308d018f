/* SPDX-License-Identifier: MIT
 *
 * Names to addresses, by c-ares, without ever blocking the thread. Each worker has a resolver of its own, with a
 * bounded cache that lives by the TTLs of the answers (RFC 1035 section 3.2.1; failures by `negative_ttl`). */
#pragma once

#include "core/error.h"
#include "core/loop.h"
#include "net/address.h"

struct resolver;
struct resolve_request;

struct resolver_options {
  const char *servers;     /* "192.0.2.1:53,[2001:db8::1]:53"; NULL: the system's resolv.conf */
  uint32_t timeout_ms;     /* for each try; default 2000, at most 60000 */
  uint32_t tries;          /* per server; default 2, at most 10 */
  uint32_t cache_entries;  /* default 1024; the least recently used goes first */
  uint32_t negative_ttl_s; /* default 5; for all failures but -ENOMEM */
  uint32_t max_ttl_s;      /* default 3600; an answer with TTL 0 is used for those that wait, and not kept */
};

enum { RESOLVE_MAX_ADDRESSES = 16 };

/* What a name has: an immutable list in the order to try (families alternate, IPv6 first: RFC 8305 section 4; only
 * "localhost" is 127.0.0.1, then ::1, where fewer listen), ports unset. */
struct resolve_result {
  int status; /* 0; -ENOENT: no such name or no address; -ETIMEDOUT; -EAGAIN: the servers failed, or cache_entries names
                 are being asked for already; -ENOMEM; -EINVAL: not a name */
  unsigned count;
  struct endpoint addresses[RESOLVE_MAX_ADDRESSES];
};

/* `result` is valid during the call only. The request is over when this is called. It may start and cancel others. */
typedef void resolve_done_fn(void *context, const struct resolve_result *result);

/* `options` may be NULL; of what it holds nothing is kept. NULL: see `error`. */
struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options, struct error *error);

/* Requests that still wait are dropped without a call. Never within a request's `done`. NULL is nothing. */
void resolver_free(struct resolver *resolver);

/* Looks `name` up: literals and "localhost" without asking, then /etc/hosts (kept for 5 seconds), then DNS. When the
 * answer is at hand, `done` is called before this returns, and it returns NULL; else it returns the request, to cancel
 * it by. Several requests for one name share one query. */
struct resolve_request *resolve_start(struct resolver *resolver, const char *name, resolve_done_fn *done,
                                      void *context);

/* `done` will not be called; the query goes on, for the cache. NULL is nothing. */
void resolve_cancel(struct resolve_request *request);
