/* SPDX-License-Identifier: MIT
 *
 * Which connections there are: each worker goes through its own in stretches, keeps those that a page may show, or ends
 * those that are meant. What is told of one is a line of its description (connection_entry.c). */
#pragma once

#include "connection/class.h"
#include "connection/connection.h"
#include "connection/walk.h"
#include "metrics/shard.h"
#include "reports/selection.h"
#include "threads/ask.h"

#include <stddef.h>

enum {
  CONNECTIONS_PIECE = 128, /* that a worker looks at before its next events: well under a tenth of a millisecond */
  CONNECTION_TRYING_SIZE = 160,
  CONNECTIONS_KILL_PIECE = 16, /* … and that it ends, which takes a few calls of the system each */
};

/* The function of a route that one waits for. */
struct connection_wait {
  const char *function; /* "match.when"; NULL: for none */
  const char *route, *file;
  int line;       /* the route's */
  uint64_t since; /* as an age */
  char defined[FUNCTION_PLACE_SIZE];
};

/* A connection, as its worker sees it. Times in milliseconds, UINT64_MAX: none. */
struct connection_entry {
  struct record_id id;
  struct ip_address client, local; /* `local`: that it came in on; not set: the kernel can't tell */
  uint16_t port;
  struct record_host target;
  char trying[CONNECTION_TRYING_SIZE]; /* addresses that are being connected to; "": none */
  const char *route, *file;            /* NULL: not known yet */
  int line;                            /* -1 likewise */
  const char *version;                 /* of the route: "current" or "old"; NULL likewise */
  const char *domain;                  /* NULL: none */
  const char *tls_version;             /* the highest that the client offers; NULL: not known */
  enum connection_state state;
  const char *state_word;
  const char *ended_word; /* of connection_ended_sides() */
  uint64_t age, idle;
  uint64_t unsent[PIPE_SIDES]; /* bytes that the client, and the target, have been sent and have not taken; by enum
                                  pipe_side */
  struct byte_count bytes;
  uint64_t bytes_both;
  struct connection_wait waits;
  struct connection_finding finding; /* `since` as an age */
  const char *class_word;            /* NULL: it is well */
  uint64_t class_since;              /* UINT64_MAX likewise */
  bool suspect;
  const char *deadline_reason;
  uint64_t deadline; /* from now */
  uint64_t over;     /* both sides are, or its deadline, for so long, and it is still there: a fault of moongate's */
  bool is_joined;    /* to its target or handler */
  bool is_kept;      /* by a keep_alive that is not standard */
  bool is_asking;    /* a function of a route */
  uint64_t unsent_both;
};

extern const struct record_type connection_record;
extern const struct record_type connection_whole_record; /* … that is complete already */

/* All but what is costly; its texts are the connection's. On the connection's thread. */
void connection_entry_fill(struct connection_entry *entry, const struct connection *connection);

struct instance;

/* How long connections may still be there when moongate stops, in milliseconds: the workers don't know. UINT64_MAX: it
 * does not. */
uint64_t connections_time_left(const struct instance *instance);

/* Has the entry's deadline be that, where it comes first. */
void connection_entry_bound(struct connection_entry *entry, uint64_t left);

/* The questions "connections" and "kill" (control/questions.c): { total =, open =, complete =, workers =, connections =
 * { those of the page }}; arguments as selection_query_init() has them. */
void connections_ask(struct instance *instance, const struct value *arguments, struct native_call *call);
void connections_ask_kill(struct instance *instance, const struct value *arguments, struct native_call *call);
