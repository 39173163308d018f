/* SPDX-License-Identifier: MIT
 *
 * The record of one connection, and the one state machine that it goes through, step by step along the corridor. It has
 * the client, its address and its limits; what is done with one route and one target is its exchange (TCP has one of
 * these, HTTP will have many). Everything here belongs to the worker's thread. */
#pragma once

#include "connection/reason.h"
#include "connection/sniffed.h"
#include "connection/step.h"
#include "connection/worker.h"
#include "core/tally.h"
#include "net/pipe.h"
#include "net/stream.h"
#include "routing/choice.h"

enum connection_state {
  CONNECTION_ROUTING,    /* "routing": until its route is known and has admitted it */
  CONNECTION_CONNECTING, /* "connecting": a target is being chosen, resolved, connected to */
  CONNECTION_FORWARDING, /* "forwarding" */
  CONNECTION_HANDLING,   /* "handling": a handler has it */
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

enum { FUNCTION_ANSWER_SHOWN_SIZE = 64 };

/* What a function of the route answered. */
struct function_answer {
  enum {
    ANSWER_NONE,
    ANSWER_VALUES,
    ANSWER_ERROR,
    ANSWER_STOPPED
  } kind;        /* ERROR: it raised; STOPPED: by the watchdog. Logged already */
  bool truthy;   /* its first value */
  char *string;  /* its first value, when a string (malloc'd, the connection's) */
  double number; /* its first number */
  bool has_number;
  bool odd_second;                        /* its second value is neither a number nor nil */
  char shown[FUNCTION_ANSWER_SHOWN_SIZE]; /* what it returned, as people write it: `"a name", 80`, `nothing` */
};

struct exchange {
  struct route *route; /* one reference; NULL until routed */
  const struct route_target
      *target;       /* of the route, the one being tried; NULL when `host` was given by a function or handler */
  char *host;        /* where to, when a function or a handler said it (malloc'd, to the very end) */
  int port;          /* where to, likewise; -1: not said */
  uint16_t attempts; /* targets tried */
  bool loaded;       /* counted in target->load */
  bool host_given;   /* by the target function or the handler: the route's targets are not asked */
  bool dialling;     /* inside dial_start() */
  bool dialled;      /* the dial is over: its outcome waits to be taken */
  int dial_status, dial_fd;
  clock_ms connect_deadline;
  struct dial *dial; /* while connecting */
  struct stream target_stream;
  struct pipe pipe;
  uint64_t in_before, out_before; /* bytes of the client's wire that were not, and will not be, the target's */
};

struct connection {
  struct list_node node; /* in worker->connections */
  struct worker *worker;
  uint64_t number; /* with the worker's: the connection id, "worker-number" */
  struct ip_address client_address;
  uint16_t port; /* the one it came in on */
  struct stream client;
  struct tally tally;
  struct table_pin *pin; /* of its table, from accept until no function of the route can be asked any more; NULL then */
  const struct table_port *table_port;
  struct hello_reading *reading;    /* a part of a ClientHello (sniff.c); NULL mostly */
  struct sniffed *sniffed;          /* what the ClientHello said; NULL: plain, or not asked */
  struct limit_entry *address_held; /* what its address is counted in; NULL: not counted */
  struct proxied *proxied;          /* what a PROXY header said (proxied.h); NULL mostly */
  struct route_stats *stats;        /* of the route; NULL until routed */
  struct exchange exchange;
  void *script;                   /* what script_hooks has running for it */
  struct function_answer *answer; /* of the function that was asked last; NULL mostly */
  enum connection_state state;
  uint32_t spent_ms[CONNECTION_CLOSED]; /* in each state that it has left */
  uint8_t step;
  bool asking;                        /* inside function_call() */
  bool counted, route_counted;        /* for limits.connections; for security.max_connections */
  bool proxy_waits, proxy_over;       /* for a PROXY header; and the time for it is up */
  uint8_t admit_phase;                /* of step_admit() */
  struct route_keep_alive keep_alive; /* the route's, or what its function said */
  bool turned_down;                   /* a `when` has said no */
  bool dozes; /* nothing was on its way when it was looked last, nor has moved since: no look for silence is due */
  bool rides; /* its route has changed or gone: counted in worker_stats.riders */
  struct route_choice choice;        /* among table_port's routes */
  struct route *candidate_asked;     /* whose `when` is being asked; NULL mostly */
  uint8_t ended;                     /* bits by enum pipe_side: sides that have ended */
  bool probed;                       /* its target sends keep-alive probes */
  bool warned_idle, warned_lifetime; /* the log has said that it is going to be ended for that, though it is kept */
  bool reset_client;                 /* closing: with a reset, once what was sent is through */
  bool reset_target;                 /* likewise; the client is gone */
  uint8_t reasons[PIPE_SIDES];       /* enum close_reason, by enum pipe_side */
  clock_ms started, last_active, state_since;
  clock_ms looked;                   /* when `unsent` was taken; before last_active: it says nothing */
  clock_ms silent_since[PIPE_SIDES]; /* by enum pipe_side: see net/silence.h; 0: it is not */
  size_t unsent;                     /* what the peers had not taken when it was looked last */
  uint64_t linger;                   /* closing: timeouts.linger */
  clock_ms linger_until;             /* closing */
  struct wheel_timer timer;          /* idle, lifetime, half-dead, stuck, linger: whichever comes first */
  clock_ms drain_until;              /* its route has changed or gone, and on_change says drain; 0: not */
  struct deferred later;             /* discarding goes on; in the end, freeing */
};

enum { CONNECTION_ID_SIZE = 32 };
const char *connection_id(const struct connection *connection, char text[CONNECTION_ID_SIZE]);

/* Takes over a descriptor that was accepted on `port`, which is of the worker's current table. Without memory or the
 * like it is closed and counted. */
void connection_accept(struct worker *worker, const struct table_port *table_port, uint16_t port, int fd,
                       const struct sockaddr *peer);

/* Goes on with the current step, after a wait. */
void connection_resume(struct connection *connection);

/* When the connection, as it is now, will have been there, or quiet, for too long (CLOCK_NEVER: not at all); `reason`
 * and `side`: for what, and who is to blame. Not of one that is closing. */
clock_ms connection_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side);

/* The one way out; idempotent. `side` is where the cause lies and gets `reason`; the other side gets what it had, or
 * "closed". What is under way is cancelled. Ended and closed are graceful: what was sent goes out, the client's further
 * input is discarded until it ends, bounded by `linger`. Any other reason that leaves bytes undelivered, or comes from
 * a broken side, resets. */
void connection_close(struct connection *connection, enum pipe_side side, enum close_reason reason);

/* Somebody has asked for its end: it is gone at once, whatever its state, reason "killed". */
void connection_kill(struct connection *connection);

/* Bytes have moved: keeps idle away. */
static inline void connection_touch(struct connection *connection) {
  connection->last_active = loop_now(&connection->worker->loop);
}

/* Bytes may have moved on one that dozes: looks begin again. */
void connection_wake(struct connection *connection);

/* From script/: the handler has returned (CLOSE_CLOSED), raised (CLOSE_HANDLER_ERROR) or was stopped
 * (CLOSE_SCRIPT_TIME); the client's stream is the connection's again. */
void connection_handler_ended(struct connection *connection, enum close_reason reason);

/* From script/: the handler hands the client to native forwarding, as a route's `target` would ("host:port" is split by
 * the caller; port -1 with a unix path). The client's stream is the connection's again, what had been read ahead is in
 * its `unread`. Takes over `host` (malloc'd). */
void connection_forward(struct connection *connection, char *host, int port);

/* The route whose function is to be called, or was: its own once it has one, the candidate's before. */
static inline const struct route *connection_route(const struct connection *connection) {
  return connection->exchange.route ? connection->exchange.route : connection->candidate_asked;
}

/* From script/: what a function answered. Takes over `answer` (malloc'd). */
void connection_function_answered(struct connection *connection, struct function_answer *answer);
