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

static struct connection_finding classify_connecting(const struct exchange *exchange) {
  uint64_t limit = exchange->route->timeouts.connect;
  clock_ms since =
      limit && exchange->connect_deadline != CLOCK_NEVER ? exchange->connect_deadline - limit : exchange->last_active;
  return (struct connection_finding){CONNECTION_SLOW_CONNECT, since, limit};
}

bool exchange_is_tls(const struct exchange *exchange) {
  const struct route *route = exchange->route;
  return exchange->connection->sniffed || (route && route->tls != ROUTE_TLS_NONE);
}

unsigned exchange_ended_sides(const struct exchange *exchange) {
  unsigned sides = exchange->ended;
  for (enum pipe_side side = PIPE_CLIENT; exchange->state == EXCHANGE_FORWARDING && side <= PIPE_TARGET; side++)
    if (pipe_is_ending(&exchange->pipe, side))
      sides |= 1u << side;
  return sides;
}

bool exchange_is_breaking(const struct exchange *exchange, enum pipe_side *side) {
  const struct pipe *pipe = &exchange->pipe;
  *side = pipe_is_failing(pipe, PIPE_TARGET) ? PIPE_TARGET : PIPE_CLIENT;
  return exchange->state == EXCHANGE_FORWARDING && pipe_is_failing(pipe, *side);
}

clock_ms exchange_silent_since(const struct exchange *exchange, enum pipe_side *side) {
  const clock_ms *since = exchange->silent_since;
  *side = since[PIPE_CLIENT] && (!since[PIPE_TARGET] || since[PIPE_CLIENT] < since[PIPE_TARGET]) ? PIPE_CLIENT
                                                                                                 : PIPE_TARGET;
  return since[*side] ? since[*side] : CLOCK_NEVER;
}

static bool has_silent_target(const struct exchange *exchange) {
  return exchange->state == EXCHANGE_FORWARDING && !exchange->connection->codec && !exchange_ended_sides(exchange) &&
         pipe_is_running(&exchange->pipe) && exchange->connection->tally.own.out == exchange->before.out &&
         pipe_pending(&exchange->pipe, PIPE_TARGET) == 0;
}

static bool has_silent_client(const struct exchange *exchange) {
  return exchange->connection->tally.own.in == exchange->before.in;
}

static uint64_t stuck_limit(const struct exchange *exchange, bool tls) {
  const struct route_timeouts *timeouts = &exchange->route->timeouts;
  if (exchange->connection->keep_alive == KEEP_ALIVE_IMMORTAL)
    return 0;
  return tls ? timeouts->stuck_tls : timeouts->stuck;
}

uint64_t exchange_unasked_limit(const struct exchange *exchange) {
  bool unasked = has_silent_target(exchange) && has_silent_client(exchange);
  return unasked ? stuck_limit(exchange, exchange_is_tls(exchange)) : 0;
}

struct connection_finding exchange_classify(const struct exchange *exchange) {
  const struct route *route = exchange->route;
  if (exchange->state == EXCHANGE_CONNECTING)
    return classify_connecting(exchange);
  enum pipe_side side;
  clock_ms silent = exchange_silent_since(exchange, &side);
  if (silent != CLOCK_NEVER)
    return (struct connection_finding){CONNECTION_SILENT, silent,
                                       exchange_worker(exchange)->settings->tcp.unacknowledged_ms};
  if (exchange->state != EXCHANGE_FORWARDING)
    return (struct connection_finding){.class = CONNECTION_WELL};
  bool tls = exchange_is_tls(exchange);
  if (exchange_is_breaking(exchange, &side))
    return (struct connection_finding){CONNECTION_HALF_DEAD, exchange->last_active, route->timeouts.linger};
  if (exchange_ended_sides(exchange) && !route->half_open)
    return (struct connection_finding){CONNECTION_HALF_DEAD, exchange->last_active,
                                       tls ? route->timeouts.half_dead_tls : route->timeouts.half_dead};
  if (has_silent_target(exchange) && !has_silent_client(exchange))
    return (struct connection_finding){CONNECTION_STUCK, exchange->last_active, stuck_limit(exchange, tls)};
  return (struct connection_finding){.class = CONNECTION_WELL};
}

size_t exchange_unsent(const struct exchange *exchange, enum pipe_side side) {
  bool joined = exchange->state == EXCHANGE_FORWARDING;
  if (side == PIPE_TARGET && !joined)
    return 0;
  size_t pending = joined ? pipe_pending(&exchange->pipe, side == PIPE_CLIENT ? PIPE_TARGET : PIPE_CLIENT) : 0;
  return pending + stream_unsent(side == PIPE_CLIENT ? exchange->client : &exchange->target_stream);
}

struct connection_finding exchange_examine(const struct exchange *exchange) {
  struct connection_finding finding = exchange_classify(exchange);
  bool joined = exchange->state == EXCHANGE_FORWARDING || exchange->state == EXCHANGE_HANDLING;
  if (finding.class == CONNECTION_WELL && joined &&
      (exchange_unsent(exchange, PIPE_CLIENT) > 0 || exchange_unsent(exchange, PIPE_TARGET) > 0))
    return (struct connection_finding){CONNECTION_UNREAD, exchange->last_active, exchange_idle(exchange)};
  return finding;
}

bool connection_is_suspect(const struct connection_finding *finding, clock_ms now) {
  uint64_t bound = finding->limit && finding->limit < CONNECTION_SUSPECT_MS ? finding->limit : CONNECTION_SUSPECT_MS;
  return finding->class != CONNECTION_WELL && now >= finding->since + bound;
}
