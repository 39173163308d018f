/* SPDX-License-Identifier: MIT
 *
 * What bounds a connection in each of its states. Who looks at it then is look.c. */
#include "connection/deadline.h"

#include "connection/class.h"
#include "connection/codec.h"
#include "connection/connection_private.h"

enum { DIAL_GRACE_MS = 100 };

/* 0 bounds nothing. Of two at the same moment the one that is taken later says more: they are taken from the most
 * general to the most special. */
static void take_sooner(struct bound *bound, clock_ms since, uint64_t wait, enum close_reason reason,
                        enum pipe_side side) {
  if (wait > 0 && since + wait <= bound->at)
    *bound = (struct bound){since + wait, reason, side, false};
}

uint64_t deadline_kept(const struct connection *connection, uint64_t wait) {
  switch (connection->keep_alive) {
  case KEEP_ALIVE_EXTENDED:
    return wait * connection->keep_alive_multiplier;
  case KEEP_ALIVE_IMMORTAL:
    return 0;
  default:
    return wait;
  }
}

static uint64_t lifetime_of(const struct exchange *exchange) {
  return deadline_kept(exchange->connection, exchange->route->timeouts.lifetime);
}

uint64_t connection_lifetime(const struct connection *connection) {
  const struct route *route = connection->codec ? connection->codec->route : connection->first.route;
  return route ? deadline_kept(connection, route->timeouts.lifetime) : 0;
}

uint64_t exchange_idle(const struct exchange *exchange) {
  return exchange->route ? deadline_kept(exchange->connection, exchange->route->timeouts.idle) : 0;
}

static void bound_routing(const struct exchange *exchange, struct bound *bound) {
  if (exchange->connection->proxy_waits) {
    uint64_t wait = exchange->pin->table->policy->proxy_timeout_ms;
    take_sooner(bound, exchange->began, wait, CLOSE_PROXY_HEADER, PIPE_CLIENT);
    return;
  }
  take_sooner(bound, exchange->began, exchange->table_port->initial_data, CLOSE_INITIAL_DATA, PIPE_CLIENT);
  /* A client that has not said what it wants holds up no stop; a function that is being asked may. */
  if (exchange_worker(exchange)->draining && !exchange->asker.script)
    take_sooner(bound, exchange->last_active, DRAIN_QUIET_MS, CLOSE_SHUTDOWN, PIPE_CLIENT);
}

/* One side has ended; to blame is the side that should still have said something, or taken what came before. One that
 * has broken is to blame itself. */
static void bound_half(const struct exchange *exchange, struct bound *bound) {
  const struct route *route = exchange->route;
  const struct route_timeouts *timeouts = &route->timeouts;
  enum pipe_side side;
  if (exchange_is_breaking(exchange, &side)) {
    take_sooner(bound, exchange->last_active, timeouts->linger, CLOSE_RESET, side);
    return;
  }
  side = exchange_ended_sides(exchange) & (1 << PIPE_CLIENT) ? PIPE_TARGET : PIPE_CLIENT;
  if (route->half_open) {
    take_sooner(bound, exchange->last_active, timeouts->half_closed, CLOSE_HALF_CLOSED, side);
    return;
  }
  uint64_t half_dead = exchange_is_tls(exchange) ? timeouts->half_dead_tls : timeouts->half_dead;
  take_sooner(bound, exchange->last_active, half_dead, CLOSE_HALF_DEAD, side);
}

/* Nothing of it is in the middle of anything, should it be quiet. A client that has ended waits for its answer. */
static bool may_be_idle(const struct exchange *exchange) {
  if (exchange->state == EXCHANGE_HANDLING)
    return exchange_worker(exchange)->hooks->handler_is_idle(exchange);
  return !exchange_ended_sides(exchange);
}

static void bound_silence(const struct exchange *exchange, struct bound *bound) {
  enum pipe_side side;
  clock_ms since = exchange_silent_since(exchange, &side);
  uint64_t limit = exchange_worker(exchange)->settings->tcp.unacknowledged_ms;
  if (since != CLOCK_NEVER && since + limit <= bound->at)
    *bound = (struct bound){since + limit, CLOSE_RESET, side, true};
}

static void bound_routed(const struct exchange *exchange, struct bound *bound) {
  take_sooner(bound, exchange->began, lifetime_of(exchange), CLOSE_LIFETIME, PIPE_CLIENT);
  if (exchange->state == EXCHANGE_CONNECTING) {
    /* The dial keeps the deadline itself; this is for the functions that say where to. */
    clock_ms connect = exchange->connect_deadline;
    if (connect != CLOCK_NEVER)
      take_sooner(bound, connect, DIAL_GRACE_MS, CLOSE_CONNECT_TIMEOUT, PIPE_TARGET);
    return;
  }
  take_sooner(bound, exchange->last_active, exchange_idle(exchange), CLOSE_IDLE, PIPE_CLIENT);
  if (exchange_worker(exchange)->draining && may_be_idle(exchange))
    take_sooner(bound, exchange->last_active, DRAIN_QUIET_MS, CLOSE_SHUTDOWN, PIPE_CLIENT);
  if (exchange->drain_until && exchange->drain_until < bound->at)
    *bound = (struct bound){exchange->drain_until, CLOSE_CHANGED, PIPE_CLIENT, false};
  if (exchange_ended_sides(exchange))
    bound_half(exchange, bound);
  else if (exchange->state == EXCHANGE_FORWARDING) {
    struct connection_finding finding = exchange_classify(exchange);
    if (finding.class == CONNECTION_STUCK)
      take_sooner(bound, finding.since, finding.limit, CLOSE_STUCK, PIPE_TARGET);
  }
  bound_silence(exchange, bound);
}

struct bound deadline_of_exchange(const struct exchange *exchange) {
  struct bound bound = {CLOCK_NEVER, CLOSE_LIFETIME, PIPE_CLIENT, false};
  if (exchange->state == EXCHANGE_ROUTING)
    bound_routing(exchange, &bound);
  else
    bound_routed(exchange, &bound);
  return bound;
}

struct bound deadline_of_connection(const struct connection *connection) {
  struct bound bound = {CLOCK_NEVER, CLOSE_LIFETIME, PIPE_CLIENT, false};
  take_sooner(&bound, connection_started(connection), connection_lifetime(connection), CLOSE_LIFETIME, PIPE_CLIENT);
  if (connection->state != CONNECTION_IDLE)
    return bound;
  take_sooner(&bound, connection->state_since, deadline_kept(connection, connection->codec->idle), CLOSE_IDLE,
              PIPE_CLIENT);
  if (connection->worker->draining)
    take_sooner(&bound, connection->state_since, DRAIN_QUIET_MS, CLOSE_SHUTDOWN, PIPE_CLIENT);
  return bound;
}

clock_ms connection_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side) {
  struct bound first = {CLOCK_NEVER, CLOSE_LIFETIME, PIPE_CLIENT, false};
  if (connection->codec)
    first = deadline_of_connection(connection);
  LIST_FOREACH(node, &connection->exchanges) {
    struct bound bound = deadline_of_exchange(LIST_OWNER(node, struct exchange, node));
    first = bound.at < first.at ? bound : first;
  }
  *reason = first.reason;
  *side = first.side;
  return first.at;
}
