/* SPDX-License-Identifier: MIT
 *
 * What bounds a connection in each of its states, and the one timer that looks: at the bound that comes first, which
 * activity does not move; the timer finds then that there is time left, and is set again. */
#include "connection/access_log.h"
#include "connection/class.h"
#include "connection/connection_private.h"
#include "net/silence.h"

#include <stddef.h>

/* While draining, a connection that has been quiet for so long counts as idle. */
enum { DRAIN_QUIET_MS = 1000, DIAL_GRACE_MS = 100, NOTICE_MOST_MS = 60 * 1000 };

/* Of the time that a quiet connection has, the part after which it is looked at first. */
enum { LOOKS = 8 };

struct bound {
  clock_ms at;
  enum close_reason reason;
  enum pipe_side side;
  bool is_silence; /* the side's peer is not there: whatever else moves is no reason to wait */
};

/* 0 bounds nothing. Of two at the same moment the one that is taken later says more: they are taken from the most
 * general to the most special. */
static void take_sooner(struct bound *bound, clock_ms since, uint64_t wait, enum close_reason reason,
                        enum pipe_side side) {
  if (wait > 0 && since + wait <= bound->at)
    *bound = (struct bound){since + wait, reason, side, false};
}

/* What keep_alive makes of idle or lifetime. */
static uint64_t kept(const struct connection *connection, uint64_t wait) {
  switch (connection->keep_alive.treatment) {
  case KEEP_ALIVE_EXTENDED:
    return wait * connection->keep_alive.multiplier;
  case KEEP_ALIVE_IMMORTAL:
    return 0;
  default:
    return wait;
  }
}

uint64_t connection_lifetime(const struct connection *connection) {
  const struct route *route = connection->exchange.route;
  return route ? kept(connection, route->timeouts.lifetime) : 0;
}

uint64_t connection_idle(const struct connection *connection) {
  const struct route *route = connection->exchange.route;
  return route ? kept(connection, route->timeouts.idle) : 0;
}

/* When the target's socket is told to send keep-alive probes: not at once, because that is four system calls, which
 * most connections are too short to need. (The client's has it from its listener.) */
static clock_ms probes_at(const struct connection *connection) {
  const struct tcp_options *tcp = &connection->worker->settings->tcp;
  return tcp->keep_alive ? connection->started + tcp_options_probes_due(tcp) : CLOCK_NEVER;
}

static void begin_probes(struct connection *connection) {
  connection->probed = true;
  tcp_options_keep_alive(connection->exchange.target_stream.fd, &connection->worker->settings->tcp);
}

static void bound_routing(const struct connection *connection, struct bound *bound) {
  if (connection->proxy_waits) {
    uint64_t wait = connection->pin->table->policy->proxy_timeout_ms;
    take_sooner(bound, connection->started, wait, CLOSE_PROXY_HEADER, PIPE_CLIENT);
    return;
  }
  take_sooner(bound, connection->started, connection->table_port->initial_data, CLOSE_INITIAL_DATA, PIPE_CLIENT);
  /* A client that has not said what it wants holds up no stop; a function that is being asked may. */
  if (connection->worker->draining && !connection->script)
    take_sooner(bound, connection->last_active, DRAIN_QUIET_MS, CLOSE_SHUTDOWN, PIPE_CLIENT);
}

/* One side has ended; to blame is the side that should still have said something, or taken what came before. One that
 * has broken is to blame itself. */
static void bound_half(const struct connection *connection, struct bound *bound) {
  const struct route *route = connection->exchange.route;
  const struct route_timeouts *timeouts = &route->timeouts;
  enum pipe_side side;
  if (connection_is_breaking(connection, &side)) {
    take_sooner(bound, connection->last_active, timeouts->linger, CLOSE_RESET, side);
    return;
  }
  side = connection_ended_sides(connection) & (1 << PIPE_CLIENT) ? PIPE_TARGET : PIPE_CLIENT;
  if (route->half_open) {
    take_sooner(bound, connection->last_active, timeouts->half_closed, CLOSE_HALF_CLOSED, side);
    return;
  }
  uint64_t half_dead = connection_is_tls(connection) ? timeouts->half_dead_tls : timeouts->half_dead;
  take_sooner(bound, connection->last_active, half_dead, CLOSE_HALF_DEAD, side);
}

/* Nothing of it is in the middle of anything, should it be quiet. A client that has ended waits for its answer. */
static bool may_be_idle(const struct connection *connection) {
  if (connection->state == CONNECTION_HANDLING)
    return connection->worker->hooks->handler_is_idle(connection);
  return !connection_ended_sides(connection);
}

static void bound_silence(const struct connection *connection, struct bound *bound) {
  enum pipe_side side;
  clock_ms since = connection_silent_since(connection, &side);
  uint64_t limit = connection->worker->settings->tcp.unacknowledged_ms;
  if (since != CLOCK_NEVER && since + limit <= bound->at)
    *bound = (struct bound){since + limit, CLOSE_RESET, side, true};
}

static void bound_routed(const struct connection *connection, struct bound *bound) {
  take_sooner(bound, connection->started, connection_lifetime(connection), CLOSE_LIFETIME, PIPE_CLIENT);
  if (connection->state == CONNECTION_CONNECTING) {
    /* The dial keeps the deadline itself; this is for the functions that say where to. */
    clock_ms connect = connection->exchange.connect_deadline;
    if (connect != CLOCK_NEVER)
      take_sooner(bound, connect, DIAL_GRACE_MS, CLOSE_CONNECT_TIMEOUT, PIPE_TARGET);
    return;
  }
  take_sooner(bound, connection->last_active, connection_idle(connection), CLOSE_IDLE, PIPE_CLIENT);
  if (connection->worker->draining && may_be_idle(connection))
    take_sooner(bound, connection->last_active, DRAIN_QUIET_MS, CLOSE_SHUTDOWN, PIPE_CLIENT);
  if (connection->drain_until && connection->drain_until < bound->at)
    *bound = (struct bound){connection->drain_until, CLOSE_CHANGED, PIPE_CLIENT, false};
  if (connection_ended_sides(connection))
    bound_half(connection, bound);
  else if (connection->state == CONNECTION_FORWARDING) {
    struct connection_finding finding = connection_classify(connection);
    if (finding.class == CONNECTION_STUCK)
      take_sooner(bound, finding.since, finding.limit, CLOSE_STUCK, PIPE_TARGET);
  }
  bound_silence(connection, bound);
}

static struct bound bound_of(const struct connection *connection) {
  struct bound bound = {CLOCK_NEVER, CLOSE_LIFETIME, PIPE_CLIENT, false};
  if (connection->state == CONNECTION_ROUTING)
    bound_routing(connection, &bound);
  else
    bound_routed(connection, &bound);
  return bound;
}

clock_ms connection_deadline(const struct connection *connection, enum close_reason *reason, enum pipe_side *side) {
  struct bound bound = bound_of(connection);
  *reason = bound.reason;
  *side = bound.side;
  return bound.at;
}

/* How long before its end the log speaks of a connection that is kept; 0: not at all. */
static uint64_t notice_of(const struct connection *connection, enum close_reason reason) {
  if (connection->keep_alive.treatment != KEEP_ALIVE_EXTENDED || (reason != CLOSE_IDLE && reason != CLOSE_LIFETIME))
    return 0;
  const struct route_timeouts *timeouts = &connection->exchange.route->timeouts;
  uint64_t notice = kept(connection, reason == CLOSE_IDLE ? timeouts->idle : timeouts->lifetime) / 10;
  return notice < NOTICE_MOST_MS ? notice : NOTICE_MOST_MS;
}

/* One for each reason that has a notice: the log has spoken of one end, and may have to of the other. */
static bool is_warned(const struct connection *connection, enum close_reason reason) {
  return reason == CLOSE_IDLE ? connection->warned_idle : connection->warned_lifetime;
}

static void note_warned(struct connection *connection, enum close_reason reason, bool warned) {
  if (reason == CLOSE_IDLE)
    connection->warned_idle = warned;
  else if (reason == CLOSE_LIFETIME)
    connection->warned_lifetime = warned;
}

static void warn(const struct connection *connection, const struct bound *bound, clock_ms now) {
  struct worker *worker = connection->worker;
  const struct route *route = connection->exchange.route;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  if (!log_enabled(worker->log, LOG_WARN) ||
      !log_limits_pass(&worker->route_logs[ROUTE_LOG_KEPT], route->stats, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_WARN, "a kept connection is going to be ended", LOG_STRING("route", route->name),
      LOG_STRING("reason", close_reason_label(bound->reason)), LOG_NUMBER("seconds", (double)(bound->at - now) / 1000),
      LOG_STRING("connection", connection_id(connection, id)),
      LOG_STRING("client", ip_address_format(&connection->client_address, client)),
      LOG_NUMBER("age", (double)(now - connection->started) / 1000),
      LOG_NUMBER("idle", (double)(now - connection->last_active) / 1000), LOG_INTEGER("not_logged_before", suppressed));
}

static bool is_looked_at(const struct connection *connection) { return connection->looked >= connection->last_active; }

static struct stream *stream_of(struct connection *connection, enum pipe_side side) {
  return side == PIPE_CLIENT ? &connection->client : &connection->exchange.target_stream;
}

/* Of one that is joined to a target, or a handler's. */
static bool is_joined(const struct connection *connection) {
  return connection->state == CONNECTION_FORWARDING || connection->state == CONNECTION_HANDLING;
}

/* What a side has not taken; and whether it is silent. */
static size_t look_at_side(struct connection *connection, enum pipe_side side) {
  const struct worker *worker = connection->worker;
  const struct stream *stream = stream_of(connection, side);
  size_t unsent = stream_unsent(stream);
  if (unsent == 0 || worker->settings->tcp.unacknowledged_ms == 0)
    connection->silent_since[side] = 0;
  else
    silence_look(&connection->silent_since[side], stream->fd, clock_now(worker->loop.clock));
  return unsent;
}

/* Whether a peer has taken some of what was written to it since it was looked last: a slow reader makes no event for a
 * long time (its socket is writable again only when a good part of it is free), and is not idle. The first look since
 * bytes have moved can't know, and takes it for granted. */
static bool is_being_read(struct connection *connection) {
  size_t unsent = look_at_side(connection, PIPE_CLIENT) + look_at_side(connection, PIPE_TARGET);
  bool progress = unsent > 0 && (unsent != connection->unsent || !is_looked_at(connection));
  connection->unsent = unsent;
  connection->looked = loop_now(&connection->worker->loop);
  return progress;
}

static bool is_for_quiet(enum close_reason reason) {
  return reason == CLOSE_IDLE || reason == CLOSE_HALF_DEAD || reason == CLOSE_HALF_CLOSED || reason == CLOSE_STUCK ||
         reason == CLOSE_RESET;
}

/* When to look at it for this bound: where it ends what is quiet, first after a part of the time, so that at its end it
 * is known what has been taken meanwhile; after a break, whose time is short and was looked at from its beginning,
 * after every such part. */
static clock_ms look_of(const struct connection *connection, const struct bound *bound) {
  if (!is_for_quiet(bound->reason) || bound->is_silence || bound->at == CLOCK_NEVER)
    return bound->at;
  clock_ms part = (bound->at - connection->last_active) / LOOKS;
  if (!is_looked_at(connection))
    return connection->last_active + part;
  return bound->reason == CLOSE_RESET && connection->looked + part < bound->at ? connection->looked + part : bound->at;
}

/* When to look again at one on which nobody has said anything, so that it is not found late once the client has: after
 * a part of `stuck` at first, then the more rarely the longer it has been silent. */
static clock_ms unasked_look(const struct connection *connection, uint64_t limit) {
  clock_ms now = loop_now(&connection->worker->loop);
  uint64_t wait = now - connection->last_active;
  uint64_t least = limit / LOOKS + 1;
  wait = wait < least ? least : wait > limit ? limit : wait;
  return now + wait;
}

/* When to look whether a peer is silent. */
static clock_ms silence_look_at(const struct connection *connection) {
  uint64_t limit = connection->worker->settings->tcp.unacknowledged_ms;
  bool looks = limit && is_joined(connection) && !connection->dozes;
  return looks ? loop_now(&connection->worker->loop) + limit / SILENCE_LOOKS : CLOCK_NEVER;
}

/* It has just been looked at. */
static void doze(struct connection *connection) {
  connection->dozes = connection->unsent == 0;
  connection->exchange.pipe.tells_events = connection->dozes;
}

void connection_wake(struct connection *connection) {
  if (!connection->dozes)
    return;
  connection->dozes = connection->exchange.pipe.tells_events = false;
  connection_arm_timer(connection);
}

/* What has been said, and not been taken, is in the middle of something, though nothing moves. */
static bool has_unsent(const struct connection *connection) {
  return stream_unsent(&connection->client) + stream_unsent(&connection->exchange.target_stream) > 0;
}

/* What a target, or the network, has done to a connection is told: nobody has ended it. */
static void tell(const struct connection *connection, const struct bound *bound) {
  struct worker *worker = connection->worker;
  const struct route *route = connection->exchange.route;
  enum log_level level = bound->is_silence ? LOG_INFO : LOG_WARN;
  struct log_limits *limits = &worker->route_logs[bound->is_silence ? ROUTE_LOG_SILENT : ROUTE_LOG_STUCK];
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE], target[ACCESS_TARGET_SIZE];
  if (!route || !log_enabled(worker->log, level) ||
      !log_limits_pass(limits, route->stats, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, level,
      bound->is_silence ? "a peer acknowledges nothing any more: its connection is ended"
                        : "a target has never answered: its connection is ended",
      LOG_STRING("route", route->name), LOG_STRING("reason", close_reason_label(bound->reason)),
      LOG_STRING("side", pipe_side_label(bound->side)),
      LOG_STRING("client", ip_address_format(&connection->client_address, client)),
      LOG_STRING("target", access_log_target(&connection->exchange, target)),
      LOG_STRING("connection", connection_id(connection, id)), LOG_INTEGER("not_logged_before", suppressed));
}

static void on_deadline(struct connection *connection, const struct bound *bound) {
  if (bound->reason == CLOSE_PROXY_HEADER) {
    proxy_header_over(connection);
    return;
  }
  if (bound->reason == CLOSE_SHUTDOWN && has_unsent(connection)) {
    connection_touch(connection);
    connection_arm_timer(connection);
    return;
  }
  if (bound->is_silence || bound->reason == CLOSE_STUCK)
    tell(connection, bound);
  if (bound->is_silence) { /* from here on it is as if the peer had reset */
    connection->silent_since[bound->side] = 0;
    stream_break(stream_of(connection, bound->side));
    connection_arm_timer(connection);
    return;
  }
  if (bound->reason == CLOSE_CONNECT_TIMEOUT)
    connection->worker->metrics->worker.errors[ERROR_CONNECT_TIMEOUT]++;
  connection_close(connection, bound->side, bound->reason);
}

void connection_look(struct wheel_timer *timer) {
  struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
  if (connection->state == CONNECTION_CLOSING) {
    connection_check_linger(connection);
    return;
  }
  clock_ms now = clock_now(connection->worker->loop.clock); /* what the wheel goes by: the coarse clock is behind */
  if (connection->state == CONNECTION_FORWARDING && !connection->probed && probes_at(connection) <= now)
    begin_probes(connection);
  struct bound bound = bound_of(connection);
  if (is_joined(connection)) {
    bool is_due = look_of(connection, &bound) <= now || is_looked_at(connection);
    if (is_being_read(connection) && is_due)
      connection_touch(connection);
    doze(connection);
    bound = bound_of(connection);
  }
  if (bound.at <= now) {
    on_deadline(connection, &bound);
    return;
  }
  uint64_t notice = notice_of(connection, bound.reason);
  bool is_near = notice > 0 && bound.at - notice <= now;
  if (is_near && !is_warned(connection, bound.reason))
    warn(connection, &bound, now);
  note_warned(connection, bound.reason, is_near);
  connection_arm_timer(connection);
}

void connection_await_end(struct connection *connection) {
  connection_touch(connection);
  is_being_read(connection);
  connection_arm_timer(connection);
}

static void arm_at(struct connection *connection, clock_ms at) {
  if (at != CLOCK_NEVER && (!wheel_is_set(&connection->timer) || at < connection->timer.deadline))
    wheel_set(&connection->worker->loop.wheel, &connection->timer, at);
}

/* Of what begins with the last activity, the timeout that is looked at first, whether it bounds this connection or not;
 * keep_alive only makes them longer. CLOCK_NEVER: there is none. */
static clock_ms soonest_quiet_look(const struct connection *connection) {
  const struct route_timeouts *timeouts = &connection->exchange.route->timeouts;
  uint64_t least = timeouts->idle - 1; /* 0, which is none, becomes the longest */
  least = timeouts->stuck - 1 < least ? timeouts->stuck - 1 : least;
  least = timeouts->stuck_tls - 1 < least ? timeouts->stuck_tls - 1 : least;
  return least == UINT64_MAX ? CLOCK_NEVER : connection->last_active + least / LOOKS;
}

void connection_arm_first(struct connection *connection) {
  const struct worker *worker = connection->worker;
  const struct pipe *pipe = &connection->exchange.pipe;
  if (connection->ended || pipe_awaits_end(pipe) || connection->drain_until || worker->draining) {
    connection_arm_timer(connection);
    return;
  }
  clock_ms at = soonest_quiet_look(connection), probes = probes_at(connection), silence = silence_look_at(connection);
  at = probes < at ? probes : at;
  at = silence < at ? silence : at;
  uint64_t lifetime = connection_lifetime(connection);
  if (lifetime && connection->started + lifetime / 2 < at) /* half: the log may speak of the end before it comes */
    at = connection->started + lifetime / 2;
  arm_at(connection, at);
}

void connection_arm_timer(struct connection *connection) {
  if (connection->state >= CONNECTION_CLOSING)
    return;
  struct bound bound = bound_of(connection);
  clock_ms at = look_of(connection, &bound);
  if (!is_warned(connection, bound.reason) && bound.at != CLOCK_NEVER) {
    clock_ms notice = bound.at - notice_of(connection, bound.reason);
    at = notice < at ? notice : at;
  }
  if (connection->state == CONNECTION_FORWARDING && !connection->probed && probes_at(connection) < at)
    at = probes_at(connection);
  uint64_t unasked = connection_unasked_limit(connection);
  if (unasked > 0 && unasked_look(connection, unasked) < at)
    at = unasked_look(connection, unasked);
  clock_ms look = silence_look_at(connection);
  at = look < at ? look : at;
  if (connection->worker->draining && connection->state == CONNECTION_HANDLING) {
    /* It may come to wait for its client without anybody being told. */
    clock_ms again = loop_now(&connection->worker->loop) + DRAIN_QUIET_MS;
    at = again < at ? again : at;
  }
  arm_at(connection, at);
}
