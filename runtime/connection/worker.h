/* SPDX-License-Identifier: MIT
 *
 * A worker: one thread that owns the connections it accepted, from accept to close, and all they need: loop, listeners,
 * resolver, copy buffer, counters. Whoever starts the thread (threads/) fills in what is shared. */
#pragma once

#include "connection/walk.h"
#include "core/list.h"
#include "core/log.h"
#include "core/loop.h"
#include "dial/dial.h"
#include "metrics/shard.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "routing/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct asker; /* connection/asker.h */
struct connection;
struct exchange;
struct worker;
struct port_change;   /* connection/port_change.h */
struct admission;     /* connection/admission.h */
struct trial;         /* connection/trial.h */
struct script_worker; /* script/: the worker's Lua side */
struct script_version;

enum { FUNCTION_PLACE_SIZE = 80 };

/* A function of a route that has been asked and has not answered. */
struct function_wait {
  const struct route *route; /* whose it is */
  const char *field;         /* "match.when"; the route's */
  clock_ms since;
  char defined[FUNCTION_PLACE_SIZE]; /* "routes/site.lua:12"; "": not known */
};

/* What the corridor asks of the room above it, for routes with functions. One table, handed in at start. Unless noted,
 * an answer comes through the function named there, perhaps before the call returns. */
struct script_hooks {
  /* Runs the route's handler on the client's stream, which is the handler's until exchange_handler_ended() or
   * exchange_forward(). 0, or a negative errno (nothing was started). */
  int (*handler_start)(struct exchange *exchange);
  /* Asks function `slot` of the version of the asker's route, with its exchange's context or with its subject.
   * asker_answered() brings what it returned. 0 or a negative errno (nothing was started). */
  int (*function_call)(struct asker *asker, int slot);
  /* The worker is going to use this table: what its routes' functions need is made ready. 0 or a negative errno. */
  int (*table_adopted)(struct worker *worker, const struct route_table *table);
  /* Nothing of the worker can ask a function of this table's routes any more. (A handler that runs goes on.) */
  void (*table_released)(struct worker *worker, const struct route_table *table);
  /* The worker uses this table from now on, and no other for what is new: what its routes' files do of themselves
   * begins, what those of others do ends. NULL: nothing. */
  void (*table_live)(struct worker *worker, const struct route_table *table);
  /* Whether the handler waits for nothing but its client's next bytes, of which none have come: then nothing is lost
   * when moongate stops. */
  bool (*handler_is_idle)(const struct exchange *exchange);
  /* Whether a function's answer is waited for, and of which. A handler is none. NULL: it never is. */
  bool (*function_waits)(const struct asker *asker, struct function_wait *wait);
  /* Ends the function that runs for the asker, or its exchange's handler; nothing calls back afterwards. */
  void (*cancel)(struct asker *asker);
};

/* What of the config concerns workers; immutable. */
struct worker_settings {
  struct tcp_options tcp;
  struct resolver_options dns;
  uint64_t script_time_ms;
  uint64_t script_memory;
  unsigned splice_pipes;   /* of all workers together */
  unsigned failed_targets; /* that are remembered at most, of all workers together */
  int descriptors;         /* traffic takes none from this number on: they are for who looks. 0: takes any */
  struct loop *within;     /* NULL, but for specs: the worker has no thread, and its loop is part of this one */
  bool any_ports; /* specs: the kernel gives every port; connections come in on the one that their route names */
};

/* Lines of the log that are limited for each route. */
enum route_log {
  ROUTE_LOG_TARGET,   /* one of its targets could not be reached */
  ROUTE_LOG_OUTCOME,  /* none could be */
  ROUTE_LOG_FUNCTION, /* one of its functions failed */
  ROUTE_LOG_KEPT,     /* a kept connection is going to be ended */
  ROUTE_LOG_STUCK,    /* a target has never answered */
  ROUTE_LOG_SILENT,   /* a peer is gone without a word */
  ROUTE_LOG_COUNT
};

/* What the worker's thread is in, for who wonders why it does not come back; any thread may look. Only to be compared:
 * what it points to may go at any moment. */
struct worker_inside {
  const struct script_version *_Atomic version; /* whose function runs; NULL: none */
  atomic_uint route;                            /* for which route (route->stats); METRIC_NO_ROUTE: for none */
  atomic_int thread;                            /* the kernel's number of the thread; 0: not known yet */
};

struct worker_port;  /* a listener and the table's entry for it */
struct table_pin;    /* a table, while something of the worker may use it */
struct table_change; /* a table that is prepared */

struct worker {
  unsigned number; /* from 1 */
  unsigned count;
  pthread_t thread;
  struct worker_inside inside;
  bool stuck; /* the control thread's (instance/heartbeat.h): it is not to be waited for */
  struct loop loop;
  const struct log *log;
  const struct worker_settings *settings;
  const struct script_hooks *hooks;
  struct script_worker *script;
  struct resolver *resolver;
  struct dialer dialer;
  struct flow_shared pipes;
  struct metrics_shard *metrics;
  struct table_pin *pin; /* of the current table; NULL before there is one */
  struct worker_port **ports;
  size_t port_count;
  pthread_mutex_t ports_lock;  /* while `ports` or `change` become others: another worker may look at them */
  struct list_node loans;      /* ports of others that it accepts on (worker_takeover.c) */
  struct table_change *change; /* prepared or committed, and neither taken up whole nor aborted yet; NULL mostly */
  struct wheel_timer piece;    /* ports that are opened or closed: when the next few are */
  struct list_node connections;
  struct list_node over;   /* exchanges that have ended, and go after this round of events (codec.c) */
  struct deferred over_go; /* … which it does */
  struct list_node walks;  /* connection/walk.h: who is going through them */
  size_t connection_count;
  size_t codec_count; /* of them, those with a codec (connection/codec.h) */
  uint64_t last_id;
  struct log_limit refused_log, hello_log;
  struct log_limits route_logs[ROUTE_LOG_COUNT];
  struct log_limits refusal_logs; /* by enum close_reason */
  struct admission *admission;    /* shared by all workers; NULL: nothing is limited */
  struct connection_walk reclaim; /* how far admission_reclaim() has looked, while `reclaiming` */
  bool reclaiming;
  struct trial *trial; /* it has no thread, and what its one connection does is only written down; NULL mostly */
  bool draining;       /* told to stop: nothing new, idle ones closed */
  struct wheel_timer drain_timer;
  size_t cut; /* connections that had not ended by themselves when the time for it was up */
  void (*on_drained)(struct worker *worker, void *context); /* the last connection is gone */
  void *drain_context;
};

/* Its share of the pipes: one at least, where there are any. */
static inline unsigned worker_pipes(const struct worker *worker) {
  unsigned pipes = worker->settings->splice_pipes;
  return pipes > 0 && pipes < worker->count ? 1 : pipes / worker->count;
}

/* Everything but thread, script and table. `log`, `settings` and `hooks` outlive it. */
int worker_init(struct worker *worker, unsigned number, unsigned count, struct clock *clock, const struct log *log,
                const struct worker_settings *settings, const struct script_hooks *hooks, struct error *error);

/* Closes all connections and listeners at once and lets go of the table. On the worker's thread when it has run. */
void worker_release(struct worker *worker);

/* After worker_release(), and after the room above has let go of the worker. */
void worker_deinit(struct worker *worker);

/* Changing the table takes two steps, on the worker's thread or before it runs, so that all workers change or none. The
 * first adopts the routes' functions and takes what has been opened for it: `ports` is made of its present table and
 * this one, and outlives both steps. 0 or -ENOMEM and `error`, when nothing has changed. */
int worker_prepare_table(struct worker *worker, struct route_table *table, struct port_change *ports,
                         struct error *error);

/* The second: ports that are gone are accepted empty and closed, the prepared table becomes the current one, its new
 * ports are accepted on; connections of routes that have changed or gone are treated as their on_change says. It begins
 * at once and goes on later, with a few ports at a time, so that no client waits for thousands; `on_committed` (may be
 * NULL) is called in the end, before this returns where they are few. */
void worker_commit_table(struct worker *worker, void (*on_committed)(struct worker *worker, void *context),
                         void *context);

/* Or: nothing of it. One that is committed already is taken up to its end, at once. Nothing when there is none. */
void worker_abort_table(struct worker *worker);

/* Both steps, and opening the ports, at once. `resolved` may be NULL; else it has table->port_count places: ports to
 * bind where the table says 0 (in), and what was bound (out). 0, or a negative errno and `error`, when nothing has
 * changed. */
int worker_set_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error);

/* How far a takeover has come. */
struct worker_takeover {
  size_t next;   /* of the owner's ports */
  size_t ports;  /* that are taken over, now or before */
  size_t failed; /* that could not be: no descriptor or no memory left */
};

/* On the thread of `worker`, while that of `owner` is stuck: accepts on a piece of its ports too, where it has the same
 * itself and does not do so yet. True: there are more. The owner may go on meanwhile; then both accept. */
bool worker_take_over(struct worker *worker, struct worker *owner, struct worker_takeover *progress);

/* On the thread of `worker`: the end of that, for a piece. True: there are more. */
bool worker_hand_back(struct worker *worker, const struct worker *owner);

/* Takes over `fd` as a connection from `peer` that has come in on the port, as routes name it (0: on the first that
 * there is). On the worker's thread, for specs. 0, or -ENOENT when no route listens there: then `fd` is still the
 * caller's. */
int worker_accept(struct worker *worker, uint16_t port, int fd, const struct sockaddr *peer);

/* Nothing counts under these numbers of names any more: what did is added up with that of others, and the numbers may
 * be other names'. On the worker's thread. */
void worker_fold_routes(struct worker *worker, const unsigned *numbers, size_t count);

/* Stops accepting (a table that is prepared is given up), closes idle connections at once and the rest after `ms`; then
 * on_drained. Said again it is the last one that holds. On the worker's thread. */
void worker_drain(struct worker *worker, uint64_t ms, void (*on_drained)(struct worker *, void *), void *context);
