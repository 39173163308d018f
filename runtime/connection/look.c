/* SPDX-License-Identifier: MIT
 *
 * The one timer of a connection, which looks at it and at its exchanges when the bound that comes first may be over:
 * activity does not move it; it finds then that there is time left, and is set again. */
#include "connection/access_log.h"
#include "connection/class.h"
#include "connection/codec.h"
#include "connection/connection_private.h"
#include "connection/deadline.h"
#include "net/silence.h"

#include <stddef.h>

enum { NOTICE_MOST_MS = 60 * 1000 };

/* Of the time that a quiet connection has, the part after which it is looked at first. */
enum { LOOKS = 8 };

/* When the target's socket is told to send keep-alive probes: not at once, because that is four system calls, which
 * most connections are too short to need. (The client's has it from its listener.) */
static clock_ms probes_at(const struct exchange *exchange) {
  const struct tcp_options *tcp = &exchange_worker(exchange)->settings->tcp;
  return tcp->keep_alive ? exchange->began + tcp_options_probes_due(tcp) : CLOCK_NEVER;
}

static void begin_probes(struct exchange *exchange) {
  exchange->probed = true;
  tcp_options_keep_alive(exchange->target_stream.fd, &exchange_worker(exchange)->settings->tcp);
}

/* How long before its end the log speaks of a connection that is kept; 0: not at all. */
static uint64_t notice_of(const struct exchange *exchange, enum close_reason reason) {
  if (exchange->connection->keep_alive != KEEP_ALIVE_EXTENDED || (reason != CLOSE_IDLE && reason != CLOSE_LIFETIME))
    return 0;
  const struct route_timeouts *timeouts = &exchange->route->timeouts;
  uint64_t notice =
      deadline_kept(exchange->connection, reason == CLOSE_IDLE ? timeouts->idle : timeouts->lifetime) / 10;
  return notice < NOTICE_MOST_MS ? notice : NOTICE_MOST_MS;
}

/* One for each reason that has a notice: the log has spoken of one end, and may have to of the other. */
static bool is_warned(const struct exchange *exchange, enum close_reason reason) {
  return reason == CLOSE_IDLE ? exchange->warned_idle : exchange->warned_lifetime;
}

static void note_warned(struct exchange *exchange, enum close_reason reason, bool warned) {
  if (reason == CLOSE_IDLE)
    exchange->warned_idle = warned;
  else if (reason == CLOSE_LIFETIME)
    exchange->warned_lifetime = warned;
}

static void warn(const struct exchange *exchange, const struct bound *bound, clock_ms now) {
  struct worker *worker = exchange_worker(exchange);
  const struct route *route = exchange->route;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  if (!log_enabled(worker->log, LOG_WARN) ||
      !log_limits_pass(&worker->route_logs[ROUTE_LOG_KEPT], route->stats, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_WARN, "a kept connection is going to be ended", LOG_STRING("route", route->name),
      LOG_STRING("reason", close_reason_label(bound->reason)), LOG_NUMBER("seconds", (double)(bound->at - now) / 1000),
      LOG_STRING("connection", exchange_id(exchange, id)),
      LOG_STRING("client", ip_address_format(&exchange->connection->client_address, client)),
      LOG_NUMBER("age", (double)(now - exchange->began) / 1000),
      LOG_NUMBER("idle", (double)(now - exchange->last_active) / 1000), LOG_INTEGER("not_logged_before", suppressed));
}

static bool is_looked_at(const struct exchange *exchange) { return exchange->look.at >= exchange->last_active; }

static struct stream *stream_of(struct exchange *exchange, enum pipe_side side) {
  return side == PIPE_CLIENT ? exchange->client : &exchange->target_stream;
}

/* Of one that is joined to a target, or a handler's. */
static bool is_joined(const struct exchange *exchange) {
  return exchange->state == EXCHANGE_FORWARDING || exchange->state == EXCHANGE_HANDLING;
}

/* What a side has not taken; and whether it is silent. */
static size_t look_at_side(struct exchange *exchange, enum pipe_side side) {
  const struct worker *worker = exchange_worker(exchange);
  const struct stream *stream = stream_of(exchange, side);
  size_t unsent = stream_unsent(stream);
  if (unsent == 0 || worker->settings->tcp.unacknowledged_ms == 0)
    exchange->silent_since[side] = 0;
  else
    silence_check(&exchange->silent_since[side], stream->fd, clock_now(worker->loop.clock));
  return unsent;
}

/* Whether a peer has taken some of what was written to it since it was looked last: a slow reader makes no event for a
 * long time (its socket is writable again only when a good part of it is free), and is not idle. The first look since
 * bytes have moved can't know, and takes it for granted. */
static bool is_being_read(struct exchange *exchange) {
  size_t unsent = look_at_side(exchange, PIPE_CLIENT) + look_at_side(exchange, PIPE_TARGET);
  bool progress = unsent > 0 && (unsent != exchange->look.unsent || !is_looked_at(exchange));
  exchange->look.unsent = unsent;
  exchange->look.at = exchange_now(exchange);
  return progress;
}

static bool is_for_quiet(enum close_reason reason) {
  return reason == CLOSE_IDLE || reason == CLOSE_HALF_DEAD || reason == CLOSE_HALF_CLOSED || reason == CLOSE_STUCK ||
         reason == CLOSE_RESET;
}

/* When to look at it for this bound: where it ends what is quiet, first after a part of the time, so that at its end it
 * is known what has been taken meanwhile; after a break, whose time is short and was looked at from its beginning,
 * after every such part. */
static clock_ms look_of(const struct exchange *exchange, const struct bound *bound) {
  if (!is_for_quiet(bound->reason) || bound->is_silence || bound->at == CLOCK_NEVER)
    return bound->at;
  clock_ms part = (bound->at - exchange->last_active) / LOOKS;
  if (!is_looked_at(exchange))
    return exchange->last_active + part;
  return bound->reason == CLOSE_RESET && exchange->look.at + part < bound->at ? exchange->look.at + part : bound->at;
}

/* When to look again at one on which nobody has said anything, so that it is not found late once the client has: after
 * a part of `stuck` at first, then the more rarely the longer it has been silent. */
static clock_ms unasked_look(const struct exchange *exchange, uint64_t limit) {
  clock_ms now = exchange_now(exchange);
  uint64_t wait = now - exchange->last_active;
  uint64_t least = limit / LOOKS + 1;
  wait = wait < least ? least : wait > limit ? limit : wait;
  return now + wait;
}

/* When to look whether a peer is silent. */
static clock_ms silence_look_at(const struct exchange *exchange) {
  uint64_t limit = exchange_worker(exchange)->settings->tcp.unacknowledged_ms;
  bool looks = limit && is_joined(exchange) && !exchange->dozes;
  return looks ? exchange_now(exchange) + limit / SILENCE_LOOKS : CLOCK_NEVER;
}

/* It has just been looked at. */
static void doze(struct exchange *exchange) {
  exchange->dozes = exchange->look.unsent == 0;
  exchange->pipe.tells_events = exchange->dozes;
}

void exchange_wake(struct exchange *exchange) {
  if (!exchange->dozes)
    return;
  exchange->dozes = exchange->pipe.tells_events = false;
  exchange_arm_timer(exchange);
}

/* What has been said, and not been taken, is in the middle of something, though nothing moves. */
static bool has_unsent(const struct exchange *exchange) {
  return stream_unsent(exchange->client) + stream_unsent(&exchange->target_stream) > 0;
}

/* What a target, or the network, has done to a connection is told: nobody has ended it. */
static void deadline_tell(const struct exchange *exchange, const struct bound *bound) {
  struct worker *worker = exchange_worker(exchange);
  const struct route *route = exchange->route;
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
      LOG_STRING("client", ip_address_format(&exchange->connection->client_address, client)),
      LOG_STRING("target", access_log_target(exchange, target)), LOG_STRING("connection", exchange_id(exchange, id)),
      LOG_INTEGER("not_logged_before", suppressed));
}

static void on_deadline(struct exchange *exchange, const struct bound *bound) {
  if (bound->reason == CLOSE_PROXY_HEADER) {
    proxy_header_over(exchange->connection);
    return;
  }
  if (bound->reason == CLOSE_SHUTDOWN && has_unsent(exchange)) {
    exchange_touch(exchange);
    exchange_arm_timer(exchange);
    return;
  }
  if (bound->is_silence || bound->reason == CLOSE_STUCK)
    deadline_tell(exchange, bound);
  if (bound->is_silence) { /* from here on it is as if the peer had reset */
    exchange->silent_since[bound->side] = 0;
    stream_break(stream_of(exchange, bound->side));
    exchange_arm_timer(exchange);
    return;
  }
  if (bound->reason == CLOSE_CONNECT_TIMEOUT)
    exchange_worker(exchange)->metrics->worker.errors[ERROR_CONNECT_TIMEOUT]++;
  exchange_close(exchange, bound->side, bound->reason);
}

static void arm_at(struct connection *connection, clock_ms at) {
  if (at != CLOCK_NEVER && (!wheel_is_set(&connection->timer) || at < connection->timer.deadline))
    wheel_set(&connection->worker->loop.wheel, &connection->timer, at);
}

static void look_at_exchange(struct exchange *exchange, clock_ms now) {
  if (exchange->state == EXCHANGE_FORWARDING && !exchange->probed && probes_at(exchange) <= now)
    begin_probes(exchange);
  struct bound bound = deadline_of_exchange(exchange);
  if (is_joined(exchange)) {
    bool is_due = look_of(exchange, &bound) <= now || is_looked_at(exchange);
    if (is_being_read(exchange) && is_due)
      exchange_touch(exchange);
    doze(exchange);
    bound = deadline_of_exchange(exchange);
  }
  if (bound.at <= now) {
    on_deadline(exchange, &bound);
    return;
  }
  uint64_t notice = notice_of(exchange, bound.reason);
  bool is_near = notice > 0 && bound.at - notice <= now;
  if (is_near && !is_warned(exchange, bound.reason))
    warn(exchange, &bound, now);
  note_warned(exchange, bound.reason, is_near);
  exchange_arm_timer(exchange);
}

/* Every exchange is looked at, also those whose look is not due yet: there is no other way to know which is next. */
static void look_at_exchanges(struct connection *connection, clock_ms now) {
  LIST_FOREACH(node, &connection->exchanges) {
    look_at_exchange(LIST_OWNER(node, struct exchange, node), now);
    if (connection->state >= CONNECTION_CLOSING)
      return;
  }
  struct bound bound = deadline_of_connection(connection);
  if (bound.at <= now)
    connection_close(connection, bound.side, bound.reason);
  else
    arm_at(connection, bound.at);
}

void connection_look(struct wheel_timer *timer) {
  struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
  clock_ms now = clock_now(connection->worker->loop.clock); /* what the wheel goes by: the coarse clock is behind */
  if (connection->state == CONNECTION_CLOSING)
    connection_check_linger(connection);
  else if (connection->codec)
    look_at_exchanges(connection, now);
  else
    look_at_exchange(&connection->first, now);
}

void connection_arm_timer(struct connection *connection) {
  if (connection->state >= CONNECTION_CLOSING)
    return;
  LIST_FOREACH(node, &connection->exchanges) { exchange_arm_timer(LIST_OWNER(node, struct exchange, node)); }
  if (connection->codec)
    arm_at(connection, deadline_of_connection(connection).at);
}

void exchange_await_end(struct exchange *exchange) {
  exchange_touch(exchange);
  is_being_read(exchange);
  exchange_arm_timer(exchange);
}

/* Of what begins with the last activity, the timeout that is looked at first, whether it bounds this connection or not;
 * keep_alive only makes them longer. CLOCK_NEVER: there is none. */
static clock_ms soonest_quiet_look(const struct exchange *exchange) {
  const struct route_timeouts *timeouts = &exchange->route->timeouts;
  uint64_t least = timeouts->idle - 1; /* 0, which is none, becomes the longest */
  least = timeouts->stuck - 1 < least ? timeouts->stuck - 1 : least;
  least = timeouts->stuck_tls - 1 < least ? timeouts->stuck_tls - 1 : least;
  return least == UINT64_MAX ? CLOCK_NEVER : exchange->last_active + least / LOOKS;
}

void exchange_arm_first(struct exchange *exchange) {
  const struct worker *worker = exchange_worker(exchange);
  const struct pipe *pipe = &exchange->pipe;
  if (exchange->ended || pipe_awaits_end(pipe) || exchange->drain_until || worker->draining) {
    exchange_arm_timer(exchange);
    return;
  }
  clock_ms at = soonest_quiet_look(exchange), probes = probes_at(exchange), silence = silence_look_at(exchange);
  at = probes < at ? probes : at;
  at = silence < at ? silence : at;
  uint64_t lifetime = deadline_kept(exchange->connection, exchange->route->timeouts.lifetime);
  if (lifetime && exchange->began + lifetime / 2 < at) /* half: the log may speak of the end before it comes */
    at = exchange->began + lifetime / 2;
  arm_at(exchange->connection, at);
}

/* `at`, or when to look sooner at one that is joined. */
static clock_ms joined_look(const struct exchange *exchange, clock_ms at) {
  bool forwards = exchange->state == EXCHANGE_FORWARDING;
  if (forwards && !exchange->probed && probes_at(exchange) < at)
    at = probes_at(exchange);
  uint64_t unasked = exchange_unasked_limit(exchange);
  if (unasked > 0 && unasked_look(exchange, unasked) < at)
    at = unasked_look(exchange, unasked);
  clock_ms silence = silence_look_at(exchange);
  at = silence < at ? silence : at;
  if (!exchange_worker(exchange)->draining || forwards)
    return at;
  /* A handler may come to wait for its client without anybody being told. */
  clock_ms again = exchange_now(exchange) + DRAIN_QUIET_MS;
  return again < at ? again : at;
}

void exchange_arm_timer(struct exchange *exchange) {
  if (exchange->state >= EXCHANGE_OVER)
    return;
  struct bound bound = deadline_of_exchange(exchange);
  clock_ms at = look_of(exchange, &bound);
  if (!is_warned(exchange, bound.reason) && bound.at != CLOCK_NEVER) {
    clock_ms notice = bound.at - notice_of(exchange, bound.reason);
    at = notice < at ? notice : at;
  }
  if (is_joined(exchange))
    at = joined_look(exchange, at);
  arm_at(exchange->connection, at);
}
