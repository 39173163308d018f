/* SPDX-License-Identifier: MIT
 *
 * Names to addresses, without ever blocking the thread: what is known of them is in a table that all workers share
 * (names/host_table.h), and each worker asks for what it needs by c-ares, once for all who wait. */
#pragma once

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "names/host_table.h"
#include "net/address.h"

struct resolver;
struct resolve_request;

enum resolve_family { RESOLVE_ANY, RESOLVE_IPV4, RESOLVE_IPV6 };

/* What is 0 or NULL is the default. */
struct resolver_options {
  const char *servers;     /* "192.0.2.1:53,[2001:db8::1]:53"; NULL: resolv.conf's */
  const char *resolv_conf; /* paths; NULL: those in /etc */
  const char *hosts;
  uint32_t timeout_ms;        /* for each try; 2000, at most 60000 */
  uint32_t tries;             /* per server; 2, at most 10 */
  uint32_t delay_ms;          /* what the second family has once the first is answered; 50 (RFC 8305 section 3) */
  uint32_t cache_entries;     /* 1024; the least recently used goes first */
  enum resolve_family family; /* of addresses that there are; literals are taken as they are */
  uint32_t min_ttl_ms;        /* 1000 */
  uint32_t max_ttl_ms;        /* an hour */
  uint32_t stale_ms;          /* how long last known addresses serve after their TTL; 0: not at all */
  struct host_table *table;   /* that others use as well, made with the same options; NULL: one of its own */
  const struct log *log;      /* told when last known addresses begin and cease to serve; NULL: nobody is */
};

/* `result` is valid during the call only. The request is over when this is called. It may start and cancel others. */
typedef void resolve_done_fn(void *context, const struct resolve_result *result);

/* A table for resolvers of these options, and what the machine's files say; waits for the disk. NULL without memory. */
struct host_table *resolver_table_new(const struct resolver_options *options);

/* `options` may be NULL; of what it holds the log alone is kept, and a reference to the table. NULL: see `error`. */
struct resolver *resolver_new(struct loop *loop, const struct resolver_options *options, struct error *error);

/* As long as the resolver is there. */
struct host_table *resolver_table(struct resolver *resolver);

/* Requests that still wait are dropped without a call. Never within a request's `done`. NULL is nothing. */
void resolver_free(struct resolver *resolver);

/* Looks `name` up: literals and "localhost" without asking, then the hosts file, then what is known, then DNS. When the
 * answer is at hand, `done` is called before this returns, and it returns NULL; else it returns the request, to cancel
 * it by. Several requests for one name share the questions, one for each family, and what answers first is used: the
 * other has `delay_ms`, and serves whoever comes later. */
struct resolve_request *resolve_start(struct resolver *resolver, const char *name, resolve_done_fn *done,
                                      void *context);

/* `done` will not be called; the query goes on, for who comes later. NULL is nothing. */
void resolve_cancel(struct resolve_request *request);

/* 0 and the name that an address has; -ENOENT: it has none, or nobody told it (c-ares does not say which of them);
 * -ENOMEM. */
typedef void resolve_name_fn(void *context, int status, const char *name);

struct resolve_reverse;

/* Asks DNS for the name of an address (that of loopback is "localhost"). `done` is called later, and then it is over.
 * NULL without memory. */
struct resolve_reverse *resolve_reverse_start(struct resolver *resolver, const struct ip_address *address,
                                              resolve_name_fn *done, void *context);

/* `done` will not be called. NULL is nothing. Never within or after the call. */
void resolve_reverse_cancel(struct resolve_reverse *reverse);
