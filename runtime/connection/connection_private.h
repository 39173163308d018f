/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share: the ways between the record, the close and the worker. */
#pragma once

#include "connection/corridor.h"

/* Begins the corridor. */
void connection_start(struct connection *connection);

/* The timer has expired while closing. */
void connection_check_linger(struct connection *connection);

/* Ends a connection now, also one that is closing. */
void connection_end(struct connection *connection);

/* Stops listening; what waits in the queues is accepted first. */
void worker_close_ports(struct worker *worker);

/* Where a worker listens. */
struct worker_port {
  struct worker *worker;
  struct listener *listener;
  const struct table_port *table_port; /* of the worker's current table */
  uint16_t port;                       /* the real one, where the kernel gave it */
};
