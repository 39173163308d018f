/* SPDX-License-Identifier: MIT
 *
 * The way out: one function, in constant time, whatever was going on. The target's side is closed at once, but after a
 * client that has broken, whose last bytes it still gets before it is reset. The client's is shut down, its input
 * discarded until it ends too, or goes on although it has been told the end (a close with unread input before that
 * would reset it, and with it what it has not had yet); or it is reset, so that what was cut short never looks like an
 * end. */
#include "connection/admission.h"
#include "connection/codec.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"
#include "connection/trial.h"
#include "connection/walk.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
  DISCARD_ROUNDS = 16,
  FIRST_LOOK_MS = 10, /* after which it is looked whether a peer has taken all before it is reset */
  LATE_MOST_MS = 500, /* … and how late that may be seen */
  LINGER_LOOKS = 8,   /* within `linger`: looks at least */
};

static struct connection *connection_of(struct deferred *deferred) {
  return (struct connection *)((char *)deferred - offsetof(struct connection, later));
}

static void on_free(struct deferred *deferred) {
  struct connection *connection = connection_of(deferred);
  if (connection->codec)
    connection->codec->ops->free(connection->codec);
  free(connection);
}

/* What was seen last of the peer that has to take the rest. */
static struct peer_look *last_look(struct connection *connection) {
  return connection->codec ? &connection->codec->look : &connection->first.look;
}

/* It counts as a connection, with its bytes, of the route that stands for none. */
static void count_unrouted(struct connection *connection) {
  struct route_stats *none = metrics_shard_none(connection->worker->metrics);
  connection_enter_client(connection); /* one that was refused before is its address' too */
  connection->tally.client->connections++;
  none->connections++;
  none->active--;
  tally_set_route(&connection->tally, &none->bytes);
}

/* It is counted by its first route no more, and its exchange, if it has none but that, is over now. */
static void count_out(struct connection *connection) {
  struct exchange *first = &connection->first;
  if (connection->codec) {
    if (!codec_count_out(connection))
      count_unrouted(connection);
    return;
  }
  if (first->route)
    metrics_shard_route(connection->worker->metrics, first->route->stats)->active--;
  else
    count_unrouted(connection);
  memcpy(first->reasons, connection->reasons, sizeof first->reasons);
  exchange_finish(first);
  list_remove(&first->node);
}

/* It is not open any more; how long it took to close is known now. */
static void connection_leave(struct connection *connection) {
  clock_ms since = connection->state_since;
  bool was_closing = connection->state == CONNECTION_CLOSING;
  connection_set_state(connection, CONNECTION_CLOSED, loop_now(&connection->worker->loop));
  connection->worker->metrics->worker.states[CONNECTION_CLOSED]--;
  if (!was_closing)
    return;
  uint64_t spent = connection->state_since - since;
  connection->closing_ms = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
}

/* The very end. The memory goes after this round of events. */
static void connection_finish(struct connection *connection, bool reset) {
  struct worker *worker = connection->worker;
  struct metrics_shard *shard = worker->metrics;
  stream_close(&connection->client, reset);
  loop_cancel_timer(&worker->loop, &connection->timer);
  connection_leave(connection);
  shard->worker.active--;
  for (int side = PIPE_CLIENT; side <= PIPE_TARGET; side++)
    if (connection->reasons[side] != CLOSE_NONE)
      shard->worker.terminations[side][connection->reasons[side]]++;
  count_out(connection);
  clients_leave(&shard->clients, connection->tally.client);
  if (connection->sniffed)
    free(connection->sniffed);
  connection->sniffed = NULL;
  admission_leave(connection);
  connection_walks_leave(worker, connection);
  list_remove(&connection->node);
  worker->connection_count--;
  connection->later.run = on_free;
  loop_undefer(&worker->loop, &connection->later);
  loop_defer(&worker->loop, &connection->later);
  worker_tell_drained(worker);
}

/* What the client still sends is read, counted, and dropped. One that goes on when it has the end, and all that stood
 * before it, is told that nobody listens any more, as a closed target would tell it. */
static void discard(struct connection *connection, bool goes_on) {
  struct worker *worker = connection->worker;
  for (int round = 0; stream_may_read(&connection->client); round++) {
    if (round == DISCARD_ROUNDS) {
      loop_defer(&worker->loop, &connection->later);
      return;
    }
    ssize_t got = stream_read(&connection->client, worker->pipes.bytes, worker->pipes.size);
    if (got == 0) {
      connection_finish(connection, false);
      return;
    }
    if (got > 0 && goes_on && stream_end_arrived(&connection->client)) {
      connection_finish(connection, true);
      return;
    }
    if (got < 0 && got != STREAM_WANT_READ && got != STREAM_WANT_WRITE) {
      if (stream_unsent(&connection->client) > 0)
        connection->reasons[PIPE_CLIENT] = CLOSE_RESET;
      connection_finish(connection, false);
      return;
    }
  }
}

static void on_client_ready(struct stream *stream, void *context) {
  (void)stream;
  discard(context, true);
}

static void on_discard_again(struct deferred *deferred) { discard(connection_of(deferred), true); }

/* timeouts.linger; 0: it does not. */
static uint64_t linger_of(const struct connection *connection) {
  const struct exchange *exchange = &connection->first;
  const struct route *route = exchange->route;
  if (connection->codec)
    return connection->codec->linger;
  return route ? route->timeouts.linger : exchange->table_port ? exchange->table_port->linger : 0;
}

static void set_closing_timer(struct connection *connection, uint64_t look) {
  uint64_t wait = connection->linger_until - loop_now(&connection->worker->loop);
  uint64_t most = linger_of(connection) / LINGER_LOOKS + 1;
  look = look < most ? look : most;
  loop_set_timer(&connection->worker->loop, &connection->timer, look < wait ? look : wait);
}

/* When to look again whether a peer that is to be reset has taken the `unsent` bytes. No event tells it: a socket is
 * writable long before all is acknowledged, and one whose SO_SNDBUF is made so small that it is not can't retransmit
 * well. So it is when the rest will be through at the pace that it has, but after twice the last time at most; then a
 * reset is late by a part of what the bytes took, and a peer that takes nothing costs two looks a second. */
static uint64_t next_look(const struct peer_look *last, size_t unsent, clock_ms now) {
  uint64_t passed = now - last->at, look = 2 * passed;
  if (last->unsent != SIZE_MAX && unsent < last->unsent) {
    uint64_t rest = passed * unsent / (last->unsent - unsent);
    look = rest < look ? rest : look;
  }
  return look < FIRST_LOOK_MS ? FIRST_LOOK_MS : look > LATE_MOST_MS ? LATE_MOST_MS : look;
}

/* When it is over, whatever the client takes. One whose lifetime has passed has `linger` all the same. */
static clock_ms closing_end(const struct connection *connection, uint64_t wait) {
  uint64_t lifetime = connection_lifetime(connection);
  clock_ms least = connection->state_since + wait;
  clock_ms end =
      lifetime ? connection_started(connection) + lifetime : connection->state_since + CONNECTION_CLOSING_MOST_MS;
  return end > least ? end : least;
}

static void give_linger(struct connection *connection, uint64_t wait) {
  clock_ms until = loop_now(&connection->worker->loop) + wait, end = closing_end(connection, wait);
  connection->linger_until = until < end ? until : end;
}

/* Its time is up, and it has not taken all. */
static enum close_reason reason_of_rest(const struct connection *connection, bool progress) {
  clock_ms end = closing_end(connection, linger_of(connection));
  bool was_taking = progress || end > connection->state_since + linger_of(connection);
  return connection->linger_until == end && was_taking && connection_lifetime(connection) ? CLOSE_LIFETIME
                                                                                          : CLOSE_LINGER;
}

/* `linger` counts time without progress: as long as the client (or the target that has to be reset) takes what was
 * sent, it may go on, up to its lifetime. What the first look finds is no progress. */
void connection_check_linger(struct connection *connection) {
  clock_ms now = loop_now(&connection->worker->loop);
  bool to_target = connection->first.reset_target;
  struct peer_look *seen = last_look(connection);
  const struct stream *last = to_target ? &connection->first.target_stream : &connection->client;
  bool resets = connection->reset_client || to_target;
  size_t unsent = stream_unsent(last);
  if (resets && unsent == 0) {
    connection_finish(connection, true);
    return;
  }
  uint64_t look = resets ? next_look(seen, unsent, now) : UINT64_MAX;
  bool progress = unsent > 0 && unsent < seen->unsent && seen->unsent != SIZE_MAX;
  if (progress)
    give_linger(connection, linger_of(connection));
  seen->unsent = unsent;
  seen->at = now;
  if (now < connection->linger_until) {
    set_closing_timer(connection, look);
    return;
  }
  if (unsent > 0 && !to_target)
    connection->reasons[PIPE_CLIENT] = (uint8_t)reason_of_rest(connection, progress);
  connection_finish(connection, unsent > 0);
}

/* A peer that is to be reset has broken itself: what it has not taken it never will. */
static void on_broken(struct stream *stream, void *context) {
  if (stream_is_broken(stream))
    connection_finish(context, true);
}

static void linger(struct connection *connection) {
  uint64_t wait = linger_of(connection);
  clock_ms now = loop_now(&connection->worker->loop);
  /* SIZE_MAX: looked at when the timer comes, which most never see */
  *last_look(connection) = (struct peer_look){now, SIZE_MAX};
  connection_set_state(connection, CONNECTION_CLOSING, now);
  give_linger(connection, wait);
  if (wait == 0) {
    connection_finish(connection, connection->reset_client);
    return;
  }
  bool resets = connection->reset_client || connection->first.reset_target;
  set_closing_timer(connection, resets ? FIRST_LOOK_MS : UINT64_MAX);
  if (resets) {
    struct stream *last = connection->first.reset_target ? &connection->first.target_stream : &connection->client;
    last->on_ready = on_broken;
    last->context = connection;
    on_broken(last, connection);
    return;
  }
  connection->later.run = on_discard_again;
  connection->client.on_ready = on_client_ready;
  connection->client.context = connection;
  discard(connection, false); /* what was there before it could know */
}

/* Whether the client must not take this for an end of what it was being sent. */
static bool resets_client(const struct connection *connection, enum close_reason reason, bool cut) {
  switch (reason) {
  case CLOSE_ENDED:
  case CLOSE_CLOSED:
  case CLOSE_INITIAL_DATA:
  case CLOSE_NO_SERVER_NAME:
  case CLOSE_UNKNOWN_SERVER_NAME:
  case CLOSE_CLIENT_HELLO:
  case CLOSE_PLAIN_HTTP:
  case CLOSE_PROBE:
  case CLOSE_NEAR_CAP:
  case CLOSE_IDLE:
  case CLOSE_LIFETIME:
  case CLOSE_HALF_CLOSED:
  case CLOSE_HALF_DEAD:
  case CLOSE_STUCK:
  case CLOSE_SHUTDOWN:
  case CLOSE_KILLED:
  case CLOSE_CHANGED:
  case CLOSE_SUPERSEDED:
    return cut || (connection->state == CONNECTION_CONNECTING && !connection->codec);
  case CLOSE_NO_ROUTE:
    return !connection->sniffed; /* a TLS client is told by an alert */
  default:
    return true;
  }
}

/* `cut`: bytes for it were dropped; `resets`: what was sent before goes out first. */
static void close_client(struct connection *connection, enum pipe_side side, enum close_reason reason, bool cut,
                         bool resets) {
  bool told_end = connection->ended & (1 << PIPE_TARGET); /* the pipe has shut our side down */
  bool heard_end = connection->ended & (1 << PIPE_CLIENT);
  connection->reset_client = resets || resets_client(connection, reason, cut);
  if (connection->first.reset_target) {
    stream_close(&connection->client, false);
    linger(connection);
    return;
  }
  if (side == PIPE_CLIENT && reason == CLOSE_RESET) {
    connection_finish(connection, false);
    return;
  }
  if (connection->reset_client) {
    if (cut || stream_unsent(&connection->client) == 0)
      connection_finish(connection, true);
    else
      linger(connection);
    return;
  }
  if (!told_end && stream_shutdown(&connection->client) < 0) {
    connection_finish(connection, false);
    return;
  }

  /* An idle client that is told that moongate stops has nothing to lose, and would hold up the stop for `linger`. */
  bool stops = reason == CLOSE_SHUTDOWN && stream_unsent(&connection->client) == 0;
  if (heard_end || stops)
    connection_finish(connection, false);
  else
    linger(connection);
}

static struct exchange_cut close_exchanges(struct connection *connection, enum pipe_side side,
                                           enum close_reason reason) {
  struct exchange *first = &connection->first;
  struct exchange_cut cut;
  if (connection->codec) {
    cut = codec_close_exchanges(connection, side, reason);
    connection->codec->ops->connection_closing(connection->codec);
    connection->reasons[PIPE_CLIENT] = side == PIPE_CLIENT ? (uint8_t)reason : CLOSE_CLOSED;
    return cut;
  }
  cut = exchange_stop(first, side, reason);
  memcpy(connection->reasons, first->reasons, sizeof connection->reasons);
  connection->ended = first->ended;
  return cut;
}

void connection_close(struct connection *connection, enum pipe_side side, enum close_reason reason) {
  if (connection->state >= CONNECTION_CLOSING)
    return;
  if (connection->worker->trial) {
    trial_close(connection->worker->trial, reason, resets_client(connection, reason, false));
    return;
  }
  if (stream_is_tripped(&connection->client)) {
    proxy_header_unwanted(connection);
    side = PIPE_CLIENT;
    reason = CLOSE_PROXY_HEADER;
  }
  loop_cancel_timer(&connection->worker->loop, &connection->timer);
  sniff_cancel(connection);
  struct exchange_cut cut = close_exchanges(connection, side, reason);
  close_client(connection, side, reason, cut.client, cut.short_of_end);
}

/* Waits for nobody to take what was sent. */
static void finish_closing(struct connection *connection) {
  if (connection->state == CONNECTION_CLOSING)
    connection_finish(connection, connection->reset_client || stream_unsent(&connection->client) > 0);
}

void connection_end(struct connection *connection) {
  connection_close(connection, PIPE_CLIENT, CLOSE_SHUTDOWN);
  finish_closing(connection);
}

void connection_kill(struct connection *connection) {
  if (connection->state == CONNECTION_CLOSING)
    connection->reasons[PIPE_CLIENT] = CLOSE_KILLED;
  else
    connection_close(connection, PIPE_CLIENT, CLOSE_KILLED);
  finish_closing(connection);
}
