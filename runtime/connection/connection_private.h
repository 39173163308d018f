/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share: the ways between the record, the close and the worker. */
#pragma once

#include "connection/corridor.h"

/* Begins the corridor. */
void connection_start(struct connection *connection);

/* Its timer has expired. */
void connection_look(struct wheel_timer *timer);

/* timeouts.lifetime of its route, and what keep_alive makes of it; 0: without a bound, or a route. */
uint64_t connection_lifetime(const struct connection *connection);

/* The timer has expired while closing. */
void connection_check_linger(struct connection *connection);

/* Ends a connection now, also one that is closing. */
void connection_end(struct connection *connection);

/* It has just got its route, of a table that may have been replaced meanwhile: then as on_change says. */
void worker_treat_late(struct worker *worker, struct connection *connection);

/* Its route has changed or gone: it may finish, as when moongate stops. */
void connection_drain(struct connection *connection);

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

/* Between the two steps of changing the table. */
struct table_change {
  struct table_pin *pin;
  struct worker_port **ports; /* for each of its table's ports: open already, or opened now */
};

/* Fills change->ports. On failure what was opened is closed again. */
int worker_open_ports(struct worker *worker, struct table_change *change, uint16_t *resolved, struct error *error);
void worker_close_new_ports(struct worker *worker, struct table_change *change);

/* change->ports (taken over) are the worker's from now on; those that are not among them are closed. */
void worker_take_ports(struct worker *worker, struct table_change *change);

/* Lets go of the current table, and of one that is prepared. */
void worker_release_table(struct worker *worker);

/* Stops listening, and gives up a table that is prepared; what waits in the queues is accepted first. */
void worker_close_ports(struct worker *worker);

/* Where a worker listens. */
struct worker_port {
  struct worker *worker;
  struct listener *listener;
  const struct table_port *table_port; /* of the worker's current table; NULL while it is only prepared */
  uint16_t port;                       /* the real one, where the kernel gave it */
  bool stays;                          /* used while ports are taken over */
  struct list_node loans;              /* sockets of other workers, for the same port */
};

/* Of every listener: its context is the worker's own port. */
extern const struct listener_callbacks worker_port_callbacks;

/* The port closes: on those that are taken over for it too, what waits is accepted first. (worker_takeover.c) */
void worker_end_loans(struct worker_port *port);

/* The port that its connections have come in on, as routes see it. Not while it is only prepared. */
uint16_t worker_port_number(const struct worker_port *port);
