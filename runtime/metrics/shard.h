/* SPDX-License-Identifier: MIT
 *
 * A worker's counters. Only the worker writes them, and only the worker reads them, into the snapshots that others are
 * given between two of its events; so they are plain integers, and every answer agrees with itself. */
#pragma once

#include "core/tally.h"
#include "metrics/clients.h"

#include <stddef.h>
#include <stdint.h>

/* The closed list behind errors_total{type}. */
#define METRIC_ERRORS(X)                                                                                               \
  X(ERROR_DESCRIPTORS, "no_descriptors", "no file descriptor left to accept, to connect, or for a script's file")      \
  X(ERROR_OPEN_FILES, "open_files", "a script had limits.open_files files open, and wanted one more")                  \
  X(ERROR_MEMORY, "no_memory", "no memory left for a connection")                                                      \
  X(ERROR_CONNECT_REFUSED, "connect_refused", "a target refused a connection")                                         \
  X(ERROR_CONNECT_TIMEOUT, "connect_timeout", "a target did not answer in time")                                       \
  X(ERROR_CONNECT, "connect_failed", "a target could not be reached for another reason")                               \
  X(ERROR_RESOLVE, "resolve", "a target's name could not be resolved")                                                 \
  X(ERROR_HANDLER, "handler", "a function of a route raised an error or was stopped")                                  \
  X(ERROR_NO_ROUTE, "no_route", "no route wanted a connection")                                                        \
  X(ERROR_NO_SERVER_NAME, "no_server_name", "a TLS client named no domain, and every route wants one")                 \
  X(ERROR_UNKNOWN_SERVER_NAME, "unknown_server_name", "a TLS client named a domain that no route has")                 \
  X(ERROR_CLIENT_HELLO, "client_hello", "what came on a TLS port was no ClientHello, or a malformed one")              \
  X(ERROR_PLAIN_HTTP, "plain_http", "a plain HTTP request came on a port that has TLS routes only")                    \
  X(ERROR_REFUSED, "refused", "a client was over a limit, on no list or not authorized")                               \
  X(ERROR_PROXY_HEADER, "proxy_header", "a PROXY header was malformed, missing, late or from a stranger")              \
  X(ERROR_ACCESS_LOG, "access_log", "a line of the access log was lost, because nobody took it without waiting")

enum metric_error {
#define X(name, label, text) name,
  METRIC_ERRORS(X)
#undef X
      METRIC_ERROR_COUNT
};

const char *metric_error_label(enum metric_error type);

/* The closed list behind overhead_bytes_total{kind}: bytes beside the clients' own, or a part of them that is no
 * payload. Who writes or reads such bytes adds them, and the kind is counted everywhere. */
#define METRIC_OVERHEADS(X) X(OVERHEAD_PROXY_HEADER, "proxy_header", "PROXY headers, with a client and to a target")

enum metric_overhead {
#define X(name, label, text) name,
  METRIC_OVERHEADS(X)
#undef X
      METRIC_OVERHEAD_COUNT
};

const char *metric_overhead_label(enum metric_overhead kind);

struct route_stats {
  struct byte_count bytes;
  uint64_t connections; /* ever routed to it */
  uint64_t active;
  uint64_t handler_errors;
  unsigned number; /* of the name */
  uint32_t place;  /* in shard->live */
};

/* Rooms above have the enums that these make place for, and assert that they fit. */
enum { METRIC_SIDES = 2, METRIC_REASONS = 64, METRIC_STATES = 8, METRIC_NO_ROUTE = 0 };

/* What does not belong to a route. Copied whole into snapshots. */
struct worker_stats {
  uint64_t connections; /* ever accepted */
  uint64_t active;
  uint64_t terminations[METRIC_SIDES][METRIC_REASONS];         /* by enum pipe_side and enum close_reason */
  uint64_t states[METRIC_STATES];                              /* connections in each enum connection_state now */
  uint64_t state_ms[METRIC_STATES], state_ends[METRIC_STATES]; /* time spent in those that have been left, and how often
                                                                  one was left */
  uint64_t errors[METRIC_ERROR_COUNT];
  struct byte_count overhead[METRIC_OVERHEAD_COUNT]; /* received with a client, and sent to a target */
  uint64_t old_connections; /* open connections that go on by a route that has changed or gone since */
};

struct metrics_shard {
  struct worker_stats worker;
  struct route_stats *
      *routes; /* by the number of the route's name; [METRIC_NO_ROUTE] is for bytes that were never routed */
  size_t route_count;
  struct route_stats **live; /* those of `routes` that there are */
  size_t live_count, live_room;
  struct route_stats removed; /* the sum of those that have been folded */
  struct clients clients;     /* the same bytes and connections by the clients' addresses */
};

struct metrics_shard *metrics_shard_new(void);
void metrics_shard_free(struct metrics_shard *shard);

struct route_stats *metrics_shard_make_route(struct metrics_shard *shard, unsigned number);

/* The counters of a name; the pointer stays valid until it is folded. NULL without memory. */
static inline struct route_stats *metrics_shard_route(struct metrics_shard *shard, unsigned number) {
  struct route_stats *stats = number < shard->route_count ? shard->routes[number] : NULL;
  return stats ? stats : metrics_shard_make_route(shard, number);
}

/* Those of what was never routed. */
static inline struct route_stats *metrics_shard_none(const struct metrics_shard *shard) {
  return shard->routes[METRIC_NO_ROUTE];
}

/* Nothing counts under this number any more: what did is added to `removed`, and the number may be another name's. */
void metrics_shard_fold(struct metrics_shard *shard, unsigned number);

void route_stats_add(struct route_stats *sum, const struct route_stats *part);
