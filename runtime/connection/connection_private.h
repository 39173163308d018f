/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share: the ways between the record, the corridor and the close. */
#pragma once

#include "connection/connection.h"

void connection_set_state(struct connection *connection, enum connection_state state);

/* Sets the timer for whichever bound comes next, if that is sooner than what it is set for. */
void connection_arm_timer(struct connection *connection);

/* Begins the corridor. */
void connection_start(struct connection *connection);

/* Lets go of the table, when no function of the route can be asked any more. */
void connection_unpin_table(struct connection *connection);

enum function_result {
  FUNCTION_ANSWERED, /* `answer` is filled; its string is the caller's to free */
  FUNCTION_WAITS,    /* the connection is resumed when it has answered; ask again then */
  FUNCTION_FAILED,   /* the connection has been closed */
};

/* Asks a function of the route (or of the candidate that is being asked). */
enum function_result connection_ask(struct connection *connection, int slot, struct function_answer *answer);

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
