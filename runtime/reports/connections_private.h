/* SPDX-License-Identifier: MIT
 *
 * What the files about connections share: connections.c asks, connections_filter.c decides which are meant,
 * connections_report.c writes the answer. */
#pragma once

#include "connection/class.h"
#include "connection/connection.h"
#include "connection/walk.h"
#include "net/ip_set.h"
#include "reports/connections.h"

/* The function that one waits for. */
struct function_note {
  struct route *route; /* whose it is; one reference */
  char *field;         /* "match.when" */
  uint64_t since;      /* ms, as an age */
  char defined[FUNCTION_PLACE_SIZE];
};

/* A connection, as its worker saw it. Times in milliseconds. */
struct connection_entry {
  uint64_t number;
  unsigned worker;
  struct ip_address client, local; /* `local`: that it came in on; not set: the kernel can't tell */
  uint16_t port;
  int target_port;
  struct route *route;         /* one reference; NULL: not known yet */
  char *host;                  /* of the target, when it is not the route's; NULL mostly */
  const char *route_host;      /* of the target, when it is the route's */
  char *domain;                /* NULL: none */
  struct function_note *waits; /* NULL: for none */
  enum connection_state state;
  uint8_t ended;       /* bits by enum pipe_side */
  uint8_t ending;      /* connection_ended_sides() */
  uint8_t tls_version; /* the highest that the client offers, TLS_1_0 to TLS_1_3; 0: not known */
  uint64_t age, idle;
  size_t unsent[PIPE_SIDES]; /* bytes that the client, and the target, have been sent and have not taken; by enum
                                pipe_side */
  struct byte_count bytes;
  struct connection_finding finding; /* `since` as an age */
  bool suspect;
  enum close_reason deadline_reason;
  uint64_t deadline; /* from now; UINT64_MAX: none */
  uint64_t overdue;  /* how long it has passed */
  enum keep_alive_treatment treatment;
};

struct entry_block {
  struct entry_block *next;
  size_t count;
  struct connection_entry entries[CONNECTIONS_PIECE];
};

struct connection_name {
  unsigned worker;
  uint64_t number;
  bool killed; /* written by that worker, which is the only one to look at it until its part is back */
};

/* A question, with copies of its texts. Not changed while workers read it. */
struct connections_filter {
  struct native_connections wanted;
  struct connection_name *names; /* its ids, sorted; NULL: any */
  size_t name_count;
  struct ip_set *clients; /* NULL: any */
  int state;              /* -1: any */
};

/* 0, or a negative errno and `error`: which of the words can't be. */
int connections_filter_init(struct connections_filter *filter, const struct native_connections *wanted,
                            struct error *error);
void connections_filter_deinit(struct connections_filter *filter);

/* Whether connections of that worker can be meant. */
bool connections_filter_wants(const struct connections_filter *filter, unsigned worker);

/* On the connection's thread. */
bool connections_filter_pass(const struct connections_filter *filter, const struct connection *connection);

/* It has been ended. On the connection's thread, before that. */
void connections_filter_note_killed(struct connections_filter *filter, const struct connection *connection);

/* Fills an entry that is zeroed. 0 or -ENOMEM; connection_entry_clear() in either case. */
int connection_entry_fill(struct connection_entry *entry, const struct connection *connection);
void connection_entry_clear(struct connection_entry *entry);

/* "host:port", "[::1]:80", "unix:/path"; NULL when it is not known. */
const char *connection_entry_target(const struct connection_entry *entry, char *text, size_t size);

/* What one worker is asked. */
struct connections_part {
  struct message message;
  struct connections_round *round;
  struct worker *worker;
  struct connection_walk walk;
  uint64_t asked_ns;
  struct worker_sample sample; /* once it has begun, when the round wants it */
  struct entry_block *first, *last;
  size_t open;   /* connections that it has, wanted or not */
  size_t killed; /* … and has ended */
  bool begun;
  bool asked;  /* it is the worker's */
  bool failed; /* no memory for all */
  bool complete;
};

struct connections_round {
  struct list_node node; /* in connections->rounds */
  struct connections *owner;
  struct native_call *call; /* NULL: answered */
  connections_report_fn *report;
  bool looks; /* a sample of each worker is taken too */
  struct connections_filter filter;
  struct wheel_timer timer;
  size_t missing; /* parts that are the workers' */
  size_t part_count;
  struct connections_part parts[];
};

/* Pointers to all entries of the parts that are not the workers' any more; `*count` of them. NULL without memory. */
const struct connection_entry **connections_collect(const struct connections_round *round, size_t *count);

/* Whether every worker has told all of its own. */
bool connections_are_complete(const struct connections_round *round);

/* Appends what is told of one. */
struct route_order;
void connection_entry_write(struct value *list, const struct connection_entry *entry, const struct route_order *order);

/* The answers, of the parts that are not the workers' any more. NULL without memory. */
struct value *connections_report(const struct connections_round *round);
struct value *connections_report_killed(const struct connections_round *round);
