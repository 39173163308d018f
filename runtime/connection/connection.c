/* SPDX-License-Identifier: MIT
 *
 * The record: made at accept, with its states and the timer that bounds each of them. The steps are in corridor.c, the
 * way out in close.c. */
#include "connection/connection_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* While draining, a connection that has been quiet for so long counts as idle. */
enum { DRAIN_QUIET_MS = 1000, PROBES_AFTER_MS = 60 * 1000, DIAL_GRACE_MS = 100 };

const char *connection_state_label(enum connection_state state) {
  static const char *const labels[] = {
      [CONNECTION_ROUTING] = "routing",       [CONNECTION_CONNECTING] = "connecting",
      [CONNECTION_FORWARDING] = "forwarding", [CONNECTION_HANDLING] = "handling",
      [CONNECTION_CLOSING] = "closing",       [CONNECTION_CLOSED] = "closed",
  };
  return labels[state];
}

const char *connection_id(const struct connection *connection, char text[CONNECTION_ID_SIZE]) {
  snprintf(text, CONNECTION_ID_SIZE, "%u-%" PRIu64, connection->worker->number, connection->number);
  return text;
}

void connection_set_state(struct connection *connection, enum connection_state state) {
  struct worker_stats *stats = &connection->worker->metrics->worker;
  stats->states[connection->state]--;
  stats->states[state]++;
  connection->state = state;
}

void connection_unpin_table(struct connection *connection) {
  table_pin_unref(connection->worker, connection->pin);
  connection->pin = NULL;
  connection->table_port = NULL;
}

static clock_ms earlier(clock_ms deadline, clock_ms since, uint64_t bound) {
  return bound && since + bound < deadline ? since + bound : deadline;
}

/* When the target's socket is told to send keep-alive probes: not at once, because that is four system calls, which
 * most connections are too short to need. (The client's has it from its listener.) */
static clock_ms probes_at(const struct connection *connection) {
  const struct tcp_options *tcp = &connection->worker->settings->tcp;
  if (!tcp->keep_alive)
    return CLOCK_NEVER;
  uint64_t after = (uint64_t)tcp->probe_after_s * 1000;
  return connection->started + (after && after < PROBES_AFTER_MS ? after : PROBES_AFTER_MS);
}

static void begin_probes(struct connection *connection) {
  connection->probed = true;
  tcp_options_keep_alive(connection->exchange.target_stream.fd, &connection->worker->settings->tcp);
}

/* When the connection, as it is now, will have been there, or quiet, for too long; `reason` and `side`: for what, and
 * who is to blame. */
static clock_ms next_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side) {
  const struct route *route = connection->exchange.route;
  *side = PIPE_CLIENT;
  if (connection->state == CONNECTION_ROUTING) {
    *reason = CLOSE_INITIAL_DATA;
    return earlier(CLOCK_NEVER, connection->started, connection->table_port->routes[0]->timeouts.initial_data);
  }
  const struct route_timeouts *timeouts = &route->timeouts;
  *reason = CLOSE_LIFETIME;
  clock_ms deadline = earlier(CLOCK_NEVER, connection->started, timeouts->lifetime);
  if (connection->state == CONNECTION_CONNECTING) {
    /* The dial keeps the deadline itself; this is for the functions that say where to. */
    clock_ms connect = connection->exchange.connect_deadline;
    if (connect == CLOCK_NEVER || connect + DIAL_GRACE_MS >= deadline)
      return deadline;
    *reason = CLOSE_CONNECT_TIMEOUT;
    *side = PIPE_TARGET;
    return connect + DIAL_GRACE_MS;
  }
  clock_ms idle = earlier(CLOCK_NEVER, connection->last_active, timeouts->idle);
  if (idle < deadline) {
    *reason = CLOSE_IDLE;
    deadline = idle;
  }
  bool draining = connection->worker->draining;
  if ((draining || connection->drain_until) && connection->last_active + DRAIN_QUIET_MS < deadline) {
    *reason = draining ? CLOSE_SHUTDOWN : CLOSE_CHANGED;
    deadline = connection->last_active + DRAIN_QUIET_MS;
  }
  if (connection->drain_until && connection->drain_until < deadline) {
    *reason = CLOSE_CHANGED;
    deadline = connection->drain_until;
  }
  if (connection->state == CONNECTION_FORWARDING && !connection->probed && probes_at(connection) < deadline)
    deadline = probes_at(connection);
  if (!connection->ended)
    return deadline;
  clock_ms half =
      earlier(CLOCK_NEVER, connection->last_active, route->half_open ? timeouts->half_closed : timeouts->half_dead);
  if (half < deadline) {
    *reason = route->half_open ? CLOSE_HALF_CLOSED : CLOSE_HALF_DEAD;
    /* To blame is the side that should still have said something. */
    *side = connection->ended & (1 << PIPE_CLIENT) ? PIPE_TARGET : PIPE_CLIENT;
    deadline = half;
  }
  return deadline;
}

static void on_timer(struct wheel_timer *timer) {
  struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
  if (connection->state == CONNECTION_CLOSING) {
    connection_check_linger(connection);
    return;
  }
  enum close_reason reason;
  enum pipe_side side;
  if (connection->state == CONNECTION_FORWARDING && !connection->probed &&
      probes_at(connection) <= loop_now(&connection->worker->loop))
    begin_probes(connection);
  clock_ms deadline = next_deadline(connection, &reason, &side);
  if (reason == CLOSE_CONNECT_TIMEOUT && deadline <= loop_now(&connection->worker->loop))
    connection->worker->metrics->worker.errors[ERROR_CONNECT_TIMEOUT]++;
  if (deadline <= loop_now(&connection->worker->loop))
    connection_close(connection, side, reason);
  else
    connection_arm_timer(connection);
}

void connection_arm_timer(struct connection *connection) {
  enum close_reason reason;
  enum pipe_side side;
  if (connection->state >= CONNECTION_CLOSING)
    return;
  clock_ms deadline = next_deadline(connection, &reason, &side);
  if (deadline != CLOCK_NEVER && (!wheel_is_set(&connection->timer) || deadline < connection->timer.deadline))
    wheel_set(&connection->worker->loop.wheel, &connection->timer, deadline);
}

void connection_drain(struct connection *connection) {
  connection->drain_until = loop_now(&connection->worker->loop) + connection->exchange.route->timeouts.shutdown;
  connection_arm_timer(connection);
}

void connection_accept(struct worker *worker, const struct table_port *table_port, uint16_t port, int fd,
                       const struct sockaddr *peer) {
  struct worker_stats *stats = &worker->metrics->worker;
  struct connection *connection = calloc(1, sizeof *connection);
  if (!connection || stream_open(&connection->client, &worker->loop, fd, &connection->tally, STREAM_WRITABLE) != 0) {
    stats->errors[ERROR_MEMORY]++;
    free(connection);
    close(fd);
    return;
  }
  connection->worker = worker;
  connection->number = ++worker->last_id;
  ip_address_from_sockaddr(&connection->client_address, peer);
  connection->port = port;
  connection->pin = table_pin_ref(worker->pin);
  connection->table_port = table_port;
  connection->exchange.port = -1;
  connection->started = connection->last_active = loop_now(&worker->loop);
  connection->timer.on_expired = on_timer;
  list_add_tail(&worker->connections, &connection->node);
  worker->connection_count++;
  stats->connections++;
  stats->active++;
  stats->states[CONNECTION_ROUTING]++;
  metrics_shard_route(worker->metrics, METRIC_NO_ROUTE)->active++;
  connection_start(connection);
}
