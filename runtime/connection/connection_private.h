/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share: the ways between the record, the close and the worker. */
#pragma once

#include "connection/corridor.h"

/* Begins the corridor, or goes on. */
void connection_start(struct connection *connection);

/* What people see. An exchange's is set by exchange_set_state(). */
void connection_set_state(struct connection *connection, enum connection_state state, clock_ms now);

/* Its client's address is known for good: that is what it is counted by. Doing so again does nothing. */
void connection_enter_client(struct connection *connection);

/* Sets the timer for whatever bound of it or of its exchanges comes next. */
void connection_arm_timer(struct connection *connection);

/* Its timer has expired. */
void connection_look(struct wheel_timer *timer);

/* timeouts.lifetime of its route, and what keep_alive makes of it; 0: without a bound, or a route. */
uint64_t connection_lifetime(const struct connection *connection);

/* The same of timeouts.idle. */
uint64_t exchange_idle(const struct exchange *exchange);

/* The timer has expired while closing. */
void connection_check_linger(struct connection *connection);

/* Ends a connection now, also one that is closing. */
void connection_end(struct connection *connection);

/* A zeroed record begins: with the client's side `client`, among the routes of `table_port` of the pinned table. */
void exchange_init(struct exchange *exchange, struct connection *connection, struct stream *client,
                   struct table_pin *pin, const struct table_port *table_port);

extern const struct asker_ops exchange_asker_ops;

/* What is lost when an exchange is stopped. */
struct exchange_cut {
  bool client;       /* bytes for the client were dropped */
  bool short_of_end; /* it would have gone on: what either side has had so far is not all of it */
};

/* Lets go of all that is under way: it is OVER, and has its reasons. With `reset_target` its target is still open. */
struct exchange_cut exchange_stop(struct exchange *exchange, enum pipe_side side, enum close_reason reason);

/* The end of one that is OVER: it is counted and logged, and holds nothing any more. */
void exchange_finish(struct exchange *exchange);

/* With a codec: an exchange that has been stopped ends, and leaves its connection. */
void codec_end_exchange(struct exchange *exchange);

/* With a codec: these bytes, which were nobody's, are the route's, and the client's. */
void codec_charge(struct connection *connection, const struct route *route, struct byte_count bytes);

/* With a codec: exchanges have come or gone, and the connection with what is left of them is to be seen, and bounded.
 */
void codec_go_on(struct connection *connection);

/* With a codec: the connection closes. What all its exchanges have lost. */
struct exchange_cut codec_close_exchanges(struct connection *connection, enum pipe_side side, enum close_reason reason);

/* With a codec: the connection has ended, and its bytes are counted. False: by no route. */
bool codec_count_out(struct connection *connection);

/* The worker has another table than `before`: there the connections with codecs have their ports from now on. */
void codec_move_all(struct worker *worker, const struct route_table *before);

/* It has just got its route, of a table that may have been replaced meanwhile: then as on_change says. */
void worker_treat_late(struct exchange *exchange);

/* Its route has changed or gone: it may finish, as when moongate stops. */
void exchange_drain(struct exchange *exchange);

/* A stranger has sent a PROXY header: counts it, and says so. */
void proxy_header_unwanted(struct connection *connection);

/* The time for a PROXY header is up. */
void proxy_header_over(struct connection *connection);

/* A table, as long as something of the worker may use it. */
struct table_pin {
  struct route_table *table; /* one reference */
  unsigned users;
};

struct table_pin *table_pin_ref(struct table_pin *pin);
void table_pin_unref(struct worker *worker, struct table_pin *pin); /* NULL is nothing */

/* Between the steps of changing the table. */
struct table_change {
  struct table_pin *pin;
  struct worker_port **ports;       /* for each of its table's ports: open already, or opened for it */
  const struct port_change *change; /* its user's */
  bool committed;
  bool live;              /* the table is the current one, `ports` are the worker's */
  size_t closed, started; /* of the ports that go, and of those that are new */
  void (*on_committed)(struct worker *worker, void *context);
  void *context;
};

/* Fills change->ports from what is open and what has been opened. */
void worker_collect_ports(struct worker *worker, struct table_change *change, struct port_change *ports);
void worker_discard_ports(struct table_change *change); /* those that are new */

/* The first closes ports that go, the second starts those that are new, about `most` at most; true: all are. In between
 * the ports are taken. */
bool worker_close_gone_ports(struct worker *worker, struct table_change *change, unsigned most);
void worker_take_ports(struct worker *worker, struct table_change *change);
bool worker_start_new_ports(struct worker *worker, struct table_change *change, unsigned most);

/* Tells who has it drain, when nothing is left. */
void worker_tell_drained(struct worker *worker);

/* The next few of many ports that are to be opened or closed. */
void worker_do_piece(struct wheel_timer *timer);

/* Goes on with a table that is committed: a piece, or (UINT_MAX) to its end. False: there is more to be done. */
bool worker_go_on_committing(struct worker *worker, unsigned most);

/* Lets go of the current table, and of one that is prepared. */
void worker_release_table(struct worker *worker);

/* Stops listening on `most` ports at most; what waits in the queues is accepted first. True: none is open. No change of
 * the table is under way. */
bool worker_close_ports(struct worker *worker, unsigned most);

/* Where a worker listens. */
struct worker_port {
  struct worker *worker;
  struct listener *listener;
  const struct table_port *table_port; /* of the worker's current table; NULL while it is only prepared */
  uint16_t port;                       /* the real one, where the kernel gave it */
  struct list_node loans;              /* sockets of other workers, for the same port */
};

/* So many are opened or closed at once while clients wait, for about half a millisecond, and then others have as much.
 */
enum { PORTS_A_PIECE = 32, PIECE_EVERY_MS = 1 };

/* Listens, without accepting, on what the table's port asks for; where that is no number, on `number`, unless 0. Any
 * thread, like worker_port_discard() (NULL is nothing). NULL: see `error`. */
struct worker_port *worker_port_open(struct worker *worker, const struct table_port *table_port, uint16_t number,
                                     struct error *error);
void worker_port_discard(struct worker_port *port);

/* Of every listener: its context is the worker's own port. */
extern const struct listener_callbacks worker_port_callbacks;

/* The port closes: on those that are taken over for it too, what waits is accepted first. (worker_takeover.c) */
void worker_end_loans(struct worker_port *port);

/* The port that its connections have come in on, as routes see it. Not while it is only prepared. */
uint16_t worker_port_number(const struct worker_port *port);
