/* SPDX-License-Identifier: MIT
 *
 * The classes: each is a state, a moment since when nothing has moved, and the timeout that bounds it. */
#include "connection/class.h"

#include "connection/connection.h"
#include "connection/connection_private.h"

const char *connection_class_label(enum connection_class class) {
  static const char *const labels[] = {
      [CONNECTION_WELL] = "",         [CONNECTION_SLOW_CONNECT] = "connecting",
      [CONNECTION_SILENT] = "silent", [CONNECTION_HALF_DEAD] = "half_dead",
      [CONNECTION_STUCK] = "stuck",   [CONNECTION_UNREAD] = "unread",
  };
  _Static_assert(sizeof labels / sizeof labels[0] == CONNECTION_CLASS_COUNT, "a label for each class");
  return labels[class];
}

static struct connection_finding classify_connecting(const struct connection *connection) {
  const struct exchange *exchange = &connection->exchange;
  uint64_t limit = exchange->route->timeouts.connect;
  clock_ms since =
      limit && exchange->connect_deadline != CLOCK_NEVER ? exchange->connect_deadline - limit : connection->last_active;
  return (struct connection_finding){CONNECTION_SLOW_CONNECT, since, limit};
}

bool connection_is_tls(const struct connection *connection) {
  const struct route *route = connection->exchange.route;
  return connection->sniffed || (route && route->tls != ROUTE_TLS_NONE);
}

unsigned connection_ended_sides(const struct connection *connection) {
  unsigned sides = connection->ended;
  for (enum pipe_side side = PIPE_CLIENT; connection->state == CONNECTION_FORWARDING && side <= PIPE_TARGET; side++)
    if (pipe_is_ending(&connection->exchange.pipe, side))
      sides |= 1u << side;
  return sides;
}

bool connection_is_breaking(const struct connection *connection, enum pipe_side *side) {
  const struct pipe *pipe = &connection->exchange.pipe;
  *side = pipe_is_failing(pipe, PIPE_TARGET) ? PIPE_TARGET : PIPE_CLIENT;
  return connection->state == CONNECTION_FORWARDING && pipe_is_failing(pipe, *side);
}

clock_ms connection_silent_since(const struct connection *connection, enum pipe_side *side) {
  const clock_ms *since = connection->silent_since;
  *side = since[PIPE_CLIENT] && (!since[PIPE_TARGET] || since[PIPE_CLIENT] < since[PIPE_TARGET]) ? PIPE_CLIENT
                                                                                                 : PIPE_TARGET;
  return since[*side] ? since[*side] : CLOCK_NEVER;
}

static bool has_silent_target(const struct connection *connection) {
  const struct exchange *exchange = &connection->exchange;
  return connection->state == CONNECTION_FORWARDING && !connection_ended_sides(connection) &&
         pipe_is_running(&exchange->pipe) && connection->tally.own.out == exchange->out_before &&
         pipe_pending(&exchange->pipe, PIPE_TARGET) == 0;
}

static bool has_silent_client(const struct connection *connection) {
  return connection->tally.own.in == connection->exchange.in_before;
}

static uint64_t stuck_limit(const struct connection *connection, bool tls) {
  const struct route_timeouts *timeouts = &connection->exchange.route->timeouts;
  if (connection->keep_alive.treatment == KEEP_ALIVE_IMMORTAL)
    return 0;
  return tls ? timeouts->stuck_tls : timeouts->stuck;
}

uint64_t connection_unasked_limit(const struct connection *connection) {
  bool unasked = has_silent_target(connection) && has_silent_client(connection);
  return unasked ? stuck_limit(connection, connection_is_tls(connection)) : 0;
}

struct connection_finding connection_classify(const struct connection *connection) {
  const struct route *route = connection->exchange.route;
  if (connection->state == CONNECTION_CONNECTING)
    return classify_connecting(connection);
  enum pipe_side side;
  clock_ms silent = connection_silent_since(connection, &side);
  if (silent != CLOCK_NEVER)
    return (struct connection_finding){CONNECTION_SILENT, silent, connection->worker->settings->tcp.unacknowledged_ms};
  if (connection->state != CONNECTION_FORWARDING)
    return (struct connection_finding){.class = CONNECTION_WELL};
  bool tls = connection_is_tls(connection);
  if (connection_is_breaking(connection, &side))
    return (struct connection_finding){CONNECTION_HALF_DEAD, connection->last_active, route->timeouts.linger};
  if (connection_ended_sides(connection) && !route->half_open)
    return (struct connection_finding){CONNECTION_HALF_DEAD, connection->last_active,
                                       tls ? route->timeouts.half_dead_tls : route->timeouts.half_dead};
  if (has_silent_target(connection) && !has_silent_client(connection))
    return (struct connection_finding){CONNECTION_STUCK, connection->last_active, stuck_limit(connection, tls)};
  return (struct connection_finding){.class = CONNECTION_WELL};
}

size_t connection_unsent(const struct connection *connection, enum pipe_side side) {
  const struct exchange *exchange = &connection->exchange;
  bool joined = connection->state == CONNECTION_FORWARDING;
  if (side == PIPE_TARGET && !joined)
    return 0;
  size_t pending = joined ? pipe_pending(&exchange->pipe, side == PIPE_CLIENT ? PIPE_TARGET : PIPE_CLIENT) : 0;
  return pending + stream_unsent(side == PIPE_CLIENT ? &connection->client : &exchange->target_stream);
}

struct connection_finding connection_examine(const struct connection *connection) {
  struct connection_finding finding = connection_classify(connection);
  bool joined = connection->state == CONNECTION_FORWARDING || connection->state == CONNECTION_HANDLING;
  if (finding.class == CONNECTION_WELL && joined &&
      (connection_unsent(connection, PIPE_CLIENT) > 0 || connection_unsent(connection, PIPE_TARGET) > 0))
    return (struct connection_finding){CONNECTION_UNREAD, connection->last_active, connection_idle(connection)};
  return finding;
}

bool connection_is_suspect(const struct connection_finding *finding, clock_ms now) {
  uint64_t bound = finding->limit && finding->limit < CONNECTION_SUSPECT_MS ? finding->limit : CONNECTION_SUSPECT_MS;
  return finding->class != CONNECTION_WELL && now >= finding->since + bound;
}
