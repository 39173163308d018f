/* SPDX-License-Identifier: MIT
 *
 * The record of one exchange: what is done for a client with one route and one target, or by one handler. TCP has one a
 * connection, from accept to close, which has the client's stream to itself; with a codec (connection/codec.h) there
 * are many, or none. It goes through a corridor of its own, from the choice of its route on; its deadlines stand on its
 * connection's timer. Of the connection's thread. */
#pragma once

#include "connection/asker.h"
#include "connection/reason.h"
#include "connection/step.h"
#include "core/list.h"
#include "core/tally.h"
#include "net/pipe.h"
#include "net/stream.h"
#include "routing/choice.h"

struct connection;
struct limit_entry;
struct table_pin;

/* In the order in which they come; a handler that forwards goes back to CONNECTING. */
enum exchange_state {
  EXCHANGE_ROUTING,    /* until its route is known and has admitted it */
  EXCHANGE_CONNECTING, /* a target is being chosen, resolved, connected to */
  EXCHANGE_FORWARDING,
  EXCHANGE_HANDLING, /* a handler has it */
  EXCHANGE_OVER,     /* nothing of it is under way any more */
};

/* What was seen when it was looked last whether the peers take what they are sent. */
struct peer_look {
  clock_ms at;   /* before last_active: it says nothing */
  size_t unsent; /* what they had not taken */
};

struct exchange {
  struct list_node node; /* in connection->exchanges; of a codec's that is over: in worker->over */
  struct connection *connection;
  struct stream *client; /* its client's side: the connection's own, where it has no codec */
  struct route *route;   /* one reference; NULL until routed */
  struct table_pin *pin; /* of its table, until no function of the route can be asked any more; NULL then */
  const struct table_port *table_port; /* of that: the one that it came in on */
  const struct route_target
      *target; /* of the route, the one being tried; NULL when `host` was given by a function or handler */
  struct limit_entry *address_held; /* what its client's address is counted in by its route; NULL: not counted */
  char *host;                       /* where to, when a function or a handler said it (malloc'd, to the very end) */
  union {
    struct {                         /* until it has its route */
      struct route_choice choice;    /* among table_port's routes */
      struct route *candidate_asked; /* whose `when` is being asked; NULL mostly */
    };
    struct { /* from then on */
      clock_ms connect_deadline;
      struct dial *dial;    /* while connecting: of the target that was begun last */
      struct race *race;    /* … and of those before (engines/race.c); NULL mostly */
      clock_ms drain_until; /* its route has changed or gone, and on_change says drain; 0: not */
    };
  };
  int port;          /* where to, like `host`; -1: not said */
  uint16_t attempts; /* targets tried */
  uint8_t state;     /* enum exchange_state */
  uint8_t step;
  uint8_t admit_phase;         /* of step_admit() */
  uint8_t ended;               /* bits by enum pipe_side: sides that have ended */
  uint8_t reasons[PIPE_SIDES]; /* enum close_reason, by enum pipe_side */
  bool turned_down;            /* a `when` has said no */
  bool route_counted;          /* for security.max_connections */
  bool on_old_table;           /* its route has changed or gone: counted in worker_stats.old_connections */
  bool dozes;      /* nothing was on its way when it was looked last, nor has moved since: no look for silence is due */
  bool probed;     /* its target sends keep-alive probes */
  bool loaded : 1; /* counted in target->load */
  bool host_given : 1;     /* by the target function or the handler: the route's targets are not asked */
  bool dialling : 1;       /* inside dial_start() */
  bool dialled : 1;        /* the dial is over: its outcome waits to be taken */
  bool admitted_first : 1; /* before any other of its connection, which asks the config's limits and keep_alive */
  bool warned_idle : 1,
      warned_lifetime : 1; /* the log has said that it is going to be ended for that, though it is kept */
  bool reset_target;       /* the client is gone; the target is reset once what was sent is through */
  int dial_result;         /* when dialled: the descriptor, or a negative errno */
  struct stream target_stream;
  struct pipe pipe;
  union {
    struct byte_count before; /* bytes of the client's wire that were not, and will not be, the target's */
    struct byte_count bytes;  /* with a codec: what it was charged, see exchange_charge() */
  };
  struct asker asker;         /* of its route's functions */
  struct access_times *times; /* in each state that it has left, for the access log; NULL: it asks for none */
  clock_ms began, last_active;
  struct peer_look look;
  clock_ms silent_since[PIPE_SIDES]; /* by enum pipe_side: see net/silence.h; 0: it is not */
};

/* Begins the corridor of one that exchange_new() (connection/codec.h) has made. */
void exchange_start(struct exchange *exchange);

/* Goes on with the current step, after a wait. */
void exchange_resume(struct exchange *exchange);

/* The one way out; idempotent. What is under way is cancelled. `side` is where the cause lies and gets `reason`; the
 * other side gets what it had, or "closed". Without a codec the connection ends with
 * it: see connection_close(). With one the codec is told, and the record goes after this round of events. */
void exchange_close(struct exchange *exchange, enum pipe_side side, enum close_reason reason);

/* Bytes may have moved on one that dozes: looks begin again. */
void exchange_wake(struct exchange *exchange);

/* The route whose function is to be called, or was: its own once it has one, the candidate's before. */
static inline const struct route *exchange_route(const struct exchange *exchange) {
  return exchange->route ? exchange->route : exchange->candidate_asked;
}

/* From script/: the handler has returned (CLOSE_CLOSED), raised (CLOSE_HANDLER_ERROR) or was stopped
 * (CLOSE_SCRIPT_TIME); the client's stream is the exchange's again. */
void exchange_handler_ended(struct exchange *exchange, enum close_reason reason);

/* From script/: the handler hands the client to native forwarding, as a route's `target` would ("host:port" is split by
 * the caller; port -1 with a unix path). The client's stream is the exchange's again, what had been read ahead is in
 * its `unread`. Takes over `host` (malloc'd). */
void exchange_forward(struct exchange *exchange, char *host, int port);
