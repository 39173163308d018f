/* SPDX-License-Identifier: MIT
 *
 * Records of connections as they are in the middle of something, for tests that need no socket: so that a change of a
 * record is a change of this file. */
#pragma once

#include "connection/connection.h"

#include <stdlib.h>

/* On the heap, zeroed but for what each record has to know of the other; free() it. `worker` may be NULL. */
static inline struct connection *record_new(struct worker *worker) {
  struct connection *connection = calloc(1, sizeof *connection);
  connection->worker = worker;
  list_init(&connection->exchanges);
  list_add_tail(&connection->exchanges, &connection->first.node);
  connection->first.connection = connection;
  connection->first.client = &connection->client;
  return connection;
}

/* Its exchange, in this state, on that route, where nothing has moved since `last_active`. */
static inline struct exchange *record_exchange(struct connection *connection, enum exchange_state state,
                                               struct route *route, clock_ms last_active) {
  struct exchange *exchange = &connection->first;
  exchange->state = (uint8_t)state;
  connection->state = (uint8_t)state;
  exchange->route = route;
  exchange->last_active = last_active;
  return exchange;
}
