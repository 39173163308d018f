/* SPDX-License-Identifier: MIT
 *
 * The record: made at accept, with its states and the timer that bounds each of them. The steps are in corridor.c, the
 * way out in close.c. */
#include "connection/connection_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

clock_ms connection_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side) {
  const struct route *route = connection->exchange.route;
  *side = PIPE_CLIENT;
  if (connection->state == CONNECTION_ROUTING) {
    if (connection->proxy_waits) {
      *reason = CLOSE_PROXY_HEADER;
      return earlier(CLOCK_NEVER, connection->started, connection->pin->table->policy->proxy_timeout_ms);
    }
    clock_ms first_data = earlier(CLOCK_NEVER, connection->started, connection->table_port->initial_data);
    /* A client that has not said what it wants holds up no stop; a function that is being asked may. */
    bool draining = connection->worker->draining && !connection->candidate_asked;
    clock_ms deadline = earlier(first_data, connection->last_active, draining ? DRAIN_QUIET_MS : 0);
    *reason = deadline < first_data ? CLOSE_SHUTDOWN : CLOSE_INITIAL_DATA;
    return deadline;
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
  if (draining && connection->last_active + DRAIN_QUIET_MS < deadline) {
    *reason = CLOSE_SHUTDOWN;
    deadline = connection->last_active + DRAIN_QUIET_MS;
  }
  if (connection->drain_until && connection->drain_until < deadline) {
    *reason = CLOSE_CHANGED;
    deadline = connection->drain_until;
  }
  if (!connection->ended)
    return deadline;
  uint64_t half_dead = connection->sniffed ? timeouts->half_dead_tls : timeouts->half_dead;
  clock_ms half = earlier(CLOCK_NEVER, connection->last_active, route->half_open ? timeouts->half_closed : half_dead);
  if (half < deadline) {
    *reason = route->half_open ? CLOSE_HALF_CLOSED : CLOSE_HALF_DEAD;
    /* To blame is the side that should still have said something. */
    *side = connection->ended & (1 << PIPE_CLIENT) ? PIPE_TARGET : PIPE_CLIENT;
    deadline = half;
  }
  return deadline;
}

/* Whether a peer has taken some of what was written to it since it was looked last: a slow reader makes no event for a
 * long time (its socket is writable again only when a good part of it is free), and is not idle. */
static bool is_being_read(struct connection *connection) {
  size_t unsent = stream_unsent(&connection->client) + stream_unsent(&connection->exchange.target_stream);
  bool progress = unsent != connection->unsent && unsent > 0;
  connection->unsent = unsent;
  return progress;
}

static void on_deadline(struct connection *connection, enum pipe_side side, enum close_reason reason) {
  if (reason == CLOSE_PROXY_HEADER) {
    proxy_header_over(connection);
    return;
  }
  bool is_quiet = reason == CLOSE_IDLE || reason == CLOSE_HALF_DEAD || reason == CLOSE_HALF_CLOSED;
  if (is_quiet && is_being_read(connection)) {
    connection_touch(connection);
    connection_arm_timer(connection);
    return;
  }
  if (reason == CLOSE_CONNECT_TIMEOUT)
    connection->worker->metrics->worker.errors[ERROR_CONNECT_TIMEOUT]++;
  connection_close(connection, side, reason);
}

static void on_timer(struct wheel_timer *timer) {
  struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
  if (connection->state == CONNECTION_CLOSING) {
    connection_check_linger(connection);
    return;
  }
  enum close_reason reason;
  enum pipe_side side;
  clock_ms now = clock_now(connection->worker->loop.clock); /* what the wheel goes by: the coarse clock is behind */
  if (connection->state == CONNECTION_FORWARDING && !connection->probed && probes_at(connection) <= now)
    begin_probes(connection);
  if (connection_deadline(connection, &reason, &side) <= now)
    on_deadline(connection, side, reason);
  else
    connection_arm_timer(connection);
}

void connection_arm_timer(struct connection *connection) {
  enum close_reason reason;
  enum pipe_side side;
  if (connection->state >= CONNECTION_CLOSING)
    return;
  clock_ms deadline = connection_deadline(connection, &reason, &side);
  if (connection->state == CONNECTION_FORWARDING && !connection->probed && probes_at(connection) < deadline)
    deadline = probes_at(connection);
  if (deadline != CLOCK_NEVER && (!wheel_is_set(&connection->timer) || deadline < connection->timer.deadline))
    wheel_set(&connection->worker->loop.wheel, &connection->timer, deadline);
}

void connection_drain(struct connection *connection) {
  if (connection->drain_until)
    return;
  connection->drain_until = loop_now(&connection->worker->loop) + connection->exchange.route->timeouts.shutdown;
  connection_arm_timer(connection);
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
