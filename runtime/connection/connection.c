/* SPDX-License-Identifier: MIT
 *
 * The record: made at accept, with the state that people see. The steps are in corridor.c, the way out in close.c. */
#include "connection/connection_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)METRIC_SIDES == (int)PIPE_SIDES, "terminations have both sides");
_Static_assert((int)CLOSE_REASON_COUNT <= (int)METRIC_REASONS, "terminations have a place for each reason");
_Static_assert((int)CONNECTION_STATE_COUNT <= (int)METRIC_STATES, "states have a place for each");
_Static_assert(CLOSE_REASON_COUNT <= UINT8_MAX, "a reason fits into exchange->reasons");
_Static_assert((int)CONNECTION_ROUTING == (int)EXCHANGE_ROUTING && (int)CONNECTION_HANDLING == (int)EXCHANGE_HANDLING &&
                   (int)CONNECTION_IDLE == (int)EXCHANGE_OVER,
               "a connection shows its exchange's state");

const char *connection_state_label(enum connection_state state) {
  static const char *const labels[] = {
      [CONNECTION_ROUTING] = "routing",
      [CONNECTION_CONNECTING] = "connecting",
      [CONNECTION_FORWARDING] = "forwarding",
      [CONNECTION_HANDLING] = "handling",
      [CONNECTION_IDLE] = "idle",
      [CONNECTION_CLOSING] = "closing",
      [CONNECTION_CLOSED] = "closed",
  };
  _Static_assert(sizeof labels / sizeof labels[0] == CONNECTION_STATE_COUNT, "a label for each state");
  return labels[state];
}

const char *connection_id(const struct connection *connection, char text[CONNECTION_ID_SIZE]) {
  snprintf(text, CONNECTION_ID_SIZE, "%u-%" PRIu64, connection->worker->number, connection->number);
  return text;
}

clock_ms connection_last_active(const struct connection *connection) {
  clock_ms last = connection->state == CONNECTION_IDLE ? connection->state_since : 0;
  LIST_FOREACH(node, &connection->exchanges) {
    const struct exchange *exchange = LIST_OWNER(node, struct exchange, node);
    last = exchange->last_active > last ? exchange->last_active : last;
  }
  return last;
}

void connection_set_state(struct connection *connection, enum connection_state state, clock_ms now) {
  struct worker_stats *stats = &connection->worker->metrics->worker;
  stats->states[connection->state]--;
  stats->states[state]++;
  stats->state_ms[connection->state] += now - connection->state_since;
  stats->state_ends[connection->state]++;
  connection->state = (uint8_t)state;
  connection->state_since = now;
}

void connection_enter_client(struct connection *connection) {
  struct clients *clients = &connection->worker->metrics->clients;
  connection->tally.client = clients_enter(clients, connection->tally.client, &connection->client_address);
}

void connection_accept(struct worker *worker, const struct table_port *table_port, uint16_t port, int fd,
                       const struct sockaddr *peer) {
  struct worker_stats *stats = &worker->metrics->worker;
  struct connection *connection = calloc(1, sizeof *connection);
  int status =
      connection ? stream_open(&connection->client, &worker->loop, fd, &connection->tally, STREAM_WRITABLE) : -ENOMEM;
  if (status != 0) {
    uint64_t suppressed;
    stats->errors[ERROR_MEMORY]++;
    if (log_limit_pass(&worker->refused_log, loop_now(&worker->loop), &suppressed))
      LOG(worker->log, LOG_ERROR, "a connection was refused", LOG_INTEGER("port", port),
          LOG_STRING("error", strerror(-status)), LOG_INTEGER("not_logged_before", suppressed));
    free(connection);
    close(fd);
    return;
  }
  connection->worker = worker;
  connection->number = ++worker->last_id;
  ip_address_from_sockaddr(&connection->client_address, peer);
  connection->port = port;
  connection->state_since = loop_now(&worker->loop);
  list_init(&connection->exchanges);
  exchange_init(&connection->first, connection, &connection->client, worker->pin, table_port);
  connection->timer.on_expired = connection_look;
  list_add_tail(&worker->connections, &connection->node);
  worker->connection_count++;
  stats->connections++;
  stats->active++;
  stats->states[CONNECTION_ROUTING]++;
  metrics_shard_none(worker->metrics)->active++;
  connection->tally.client = clients_begin(&worker->metrics->clients);
  connection_start(connection);
}
