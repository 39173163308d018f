/* SPDX-License-Identifier: MIT
 *
 * The record of one connection: the client, its stream, its address and its limits, and the corridor from accept to the
 * first exchange (connection/exchange.h), which is a part of it. What is done with a route and a target is the
 * exchange's. Everything here belongs to the worker's thread. */
#pragma once

#include "connection/exchange.h"
#include "connection/sniffed.h"
#include "connection/worker.h"

struct codec; /* connection/codec.h */

/* What people see: while exchanges are under way, the state of the oldest. */
enum connection_state {
  CONNECTION_ROUTING,    /* "routing": until its route is known and has admitted it */
  CONNECTION_CONNECTING, /* "connecting": a target is being chosen, resolved, connected to */
  CONNECTION_FORWARDING, /* "forwarding" */
  CONNECTION_HANDLING,   /* "handling": a handler has it */
  CONNECTION_IDLE,       /* "idle": between two exchanges */
  CONNECTION_CLOSING,    /* "closing": everything is sent; waiting for the client to end as well */
  CONNECTION_CLOSED,     /* closed, and freed after this round of events */
  CONNECTION_STATE_COUNT
};

const char *connection_state_label(enum connection_state state);

enum {
  /* The most that a peer may take for what it was sent last, where no lifetime bounds it. */
  CONNECTION_CLOSING_MOST_MS = 24 * 60 * 60 * 1000,
  /* Bytes that have moved so lately were in the middle of something; what a drain takes for idle has been quiet for
   * longer. */
  CONNECTION_MOVING_MS = 500,
};

struct connection {
  struct list_node node; /* in worker->connections */
  struct worker *worker;
  uint64_t number; /* with the worker's: the connection id, "worker-number" */
  struct ip_address client_address;
  uint16_t port; /* the one it came in on */
  uint8_t state; /* enum connection_state */
  uint8_t step;
  struct stream client;
  struct tally tally;
  struct codec *codec;        /* NULL: the first exchange is the only one, and has the stream to itself */
  struct list_node exchanges; /* the oldest first */
  union {
    struct hello_reading *reading; /* until it is routed: a part of a ClientHello (sniff.c); NULL mostly */
    clock_ms linger_until;         /* closing */
  };
  struct sniffed *sniffed;          /* what the ClientHello said; NULL: plain, or not asked */
  struct limit_entry *address_held; /* what its address is counted in by the config; NULL: not counted */
  struct proxied *proxied;          /* what a PROXY header said (proxied.h); NULL mostly */
  bool counted;                     /* for limits.connections */
  bool admitted;                    /* with an exchange: the config's limits are not asked again */
  bool proxy_waits, proxy_over;     /* for a PROXY header; and the time for it is up */
  bool reset_client;                /* closing: with a reset, once what was sent is through */
  uint8_t ended;                    /* bits by enum pipe_side: sides that had ended when it closed; a codec's to set */
  uint8_t reasons[PIPE_SIDES];      /* closing: enum close_reason, by enum pipe_side */
  uint8_t keep_alive;               /* enum keep_alive_treatment: the first route's, or what its function said */
  uint16_t keep_alive_multiplier;   /* likewise */
  uint32_t closing_ms;              /* how long it has been closing */
  clock_ms state_since;
  struct wheel_timer timer; /* of all bounds, also its exchanges', for the one that comes first */
  struct deferred later;    /* discarding goes on; in the end, freeing */
  struct exchange first;    /* has begun with it; with a codec it is over at once */
};

static inline clock_ms connection_started(const struct connection *connection) { return connection->first.began; }

/* The one whose state people see; NULL: none is under way. */
static inline struct exchange *connection_leading(const struct connection *connection) {
  const struct list_node *oldest = connection->exchanges.next;
  return oldest == &connection->exchanges ? NULL : LIST_OWNER(oldest, struct exchange, node);
}

/* What is to be told of it: that one, or a record that says of nothing that there is any. */
static inline const struct exchange *connection_shown(const struct connection *connection) {
  const struct exchange *leading = connection_leading(connection);
  return leading ? leading : &connection->first;
}

/* When bytes of it have moved last, or it has been left idle. */
clock_ms connection_last_active(const struct connection *connection);

enum { CONNECTION_ID_SIZE = 32 };
const char *connection_id(const struct connection *connection, char text[CONNECTION_ID_SIZE]);

/* Takes over a descriptor that was accepted on `port`, which is of the worker's current table. Without memory or the
 * like it is closed and counted. */
void connection_accept(struct worker *worker, const struct table_port *table_port, uint16_t port, int fd,
                       const struct sockaddr *peer);

/* Goes on with the current step, after a wait. */
void connection_resume(struct connection *connection);

/* When it, or an exchange of it, as they are now, will have been there, or quiet, for too long (CLOCK_NEVER: not at
 * all); `reason` and `side`: for what, and who is to blame. Not of one that is closing. */
clock_ms connection_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side);

/* The one way out; idempotent. `side` is where the cause lies and gets `reason`; the other side gets what it had, or
 * "closed". Its exchanges are closed. Ended and closed are graceful: what was sent goes out, the client's further
 * input is discarded until it ends, bounded by `linger`. Any other reason that leaves bytes undelivered, or comes from
 * a broken side, resets. */
void connection_close(struct connection *connection, enum pipe_side side, enum close_reason reason);

/* Somebody has asked for its end: it is gone at once, whatever its state, reason "killed". */
void connection_kill(struct connection *connection);

static inline const char *exchange_id(const struct exchange *exchange, char text[CONNECTION_ID_SIZE]) {
  return connection_id(exchange->connection, text);
}

static inline struct worker *exchange_worker(const struct exchange *exchange) { return exchange->connection->worker; }

static inline clock_ms exchange_now(const struct exchange *exchange) {
  return loop_now(&exchange->connection->worker->loop);
}

/* Bytes have moved: keeps idle away. */
static inline void exchange_touch(struct exchange *exchange) { exchange->last_active = exchange_now(exchange); }
