/* SPDX-License-Identifier: MIT
 *
 * A connection with a codec: its exchanges as they come and go, whose their bytes are, and the connection when it has
 * none. */
#include "connection/codec.h"

#include "connection/connection_private.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* --- the exchanges --- */

static void go_over(struct deferred *deferred) {
  struct worker *worker = (struct worker *)(void *)((char *)deferred - offsetof(struct worker, over_go));
  LIST_FOREACH(node, &worker->over) {
    struct exchange *exchange = LIST_OWNER(node, struct exchange, node);
    list_remove(node);
    exchange->connection->codec->exchanges--; /* it goes after its exchanges: it is deferred later */
    free(exchange);
  }
}

/* Where each port of `before` is in `table` (UINT32_MAX: nowhere); the caller's to free(). NULL without memory. */
static uint32_t *follow_ports(const struct route_table *before, const struct route_table *table) {
  uint32_t *places = calloc(before->port_count + 1, sizeof *places);
  if (places && route_table_match_ports(table, before, places) == 0)
    return places;
  free(places);
  return NULL;
}

static void move_port(struct codec *codec, const uint32_t *places, const struct route_table *before,
                      const struct route_table *table) {
  uint32_t place = places ? places[codec->table_port - before->ports] : UINT32_MAX;
  codec->table_port = place < table->port_count ? &table->ports[place] : NULL;
}

enum step_result connection_take_codec(struct connection *connection, struct codec *codec) {
  struct exchange *first = &connection->first;
  assert(!connection->codec && first->state == EXCHANGE_ROUTING && first->step == 0);
  const struct route_table *before = first->pin->table, *table = connection->worker->pin->table;
  codec->table_port = first->table_port;
  if (before != table) {
    uint32_t *places = follow_ports(before, table);
    move_port(codec, places, before, table);
    free(places);
  }
  codec->idle = first->table_port->initial_data;
  codec->linger = first->table_port->linger;
  connection->codec = codec;
  connection->worker->codec_count++;
  connection->client.on_ready = NULL;
  first->state = EXCHANGE_OVER;
  list_remove(&first->node);
  exchange_unpin_table(first);
  codec_go_on(connection);
  return STEP_GONE;
}

struct exchange *exchange_new(struct connection *connection, struct stream *client) {
  struct codec *codec = connection->codec;
  if (connection->state >= CONNECTION_CLOSING || !codec->table_port || codec->exchanges >= codec->ops->exchanges)
    return NULL;
  struct exchange *exchange = calloc(1, sizeof *exchange);
  if (!exchange)
    return NULL;
  codec->exchanges++;
  exchange_init(exchange, connection, client, connection->worker->pin, codec->table_port);
  codec_go_on(connection);
  return exchange;
}

void codec_end_exchange(struct exchange *exchange) {
  struct connection *connection = exchange->connection;
  struct worker *worker = connection->worker;
  struct codec *codec = connection->codec;
  if (exchange->route) {
    codec->idle = exchange->route->timeouts.idle;
    codec->linger = exchange->route->timeouts.linger;
  } else { /* they are nobody's again */
    codec->claimed.in -= exchange->bytes.in;
    codec->claimed.out -= exchange->bytes.out;
  }
  exchange_finish(exchange);
  exchange->client = NULL;
  list_remove(&exchange->node);
  list_add_tail(&worker->over, &exchange->node);
  worker->over_go.run = go_over;
  loop_defer(&worker->loop, &worker->over_go);
}

/* --- whose the bytes are --- */

static struct route_stats *stats_of(const struct connection *connection, const struct route *route) {
  return metrics_shard_route(connection->worker->metrics, route->stats);
}

void codec_charge(struct connection *connection, const struct route *route, struct byte_count bytes) {
  tally_add(&stats_of(connection, route)->bytes, bytes);
  tally_add(&connection->tally.client->bytes, bytes);
}

void exchange_charge(struct exchange *exchange, uint64_t in, uint64_t out) {
  struct connection *connection = exchange->connection;
  struct codec *codec = connection->codec;
  const struct byte_count *own = &connection->tally.own;
  uint64_t in_left = own->in - codec->claimed.in, out_left = own->out - codec->claimed.out;
  struct byte_count part = {in < in_left ? in : in_left, out < out_left ? out : out_left};
  tally_add(&codec->claimed, part);
  tally_add(&exchange->bytes, part);
  if (exchange->route)
    codec_charge(connection, exchange->route, part);
}

/* What no exchange has been charged is the first route's. */
static void settle_bytes(struct connection *connection) {
  struct codec *codec = connection->codec;
  const struct byte_count *own = &connection->tally.own;
  struct byte_count rest = {own->in - codec->claimed.in, own->out - codec->claimed.out};
  if (!codec->route)
    return;
  codec_charge(connection, codec->route, rest);
  tally_add(&codec->claimed, rest);
}

/* --- the connection --- */

void codec_go_on(struct connection *connection) {
  const struct exchange *leading = connection_leading(connection);
  enum connection_state state = leading ? (enum connection_state)leading->state : CONNECTION_IDLE;
  if (state != (enum connection_state)connection->state)
    connection_set_state(connection, state, loop_now(&connection->worker->loop));
  if (leading)
    return;
  settle_bytes(connection);
  if (!connection->codec->table_port)
    connection_close(connection, PIPE_CLIENT, CLOSE_CHANGED);
  else
    connection_arm_timer(connection);
}

struct exchange_cut codec_close_exchanges(struct connection *connection, enum pipe_side side,
                                          enum close_reason reason) {
  struct exchange_cut all = {.client = false};
  connection->codec->table_port = NULL;
  LIST_FOREACH(node, &connection->exchanges) {
    struct exchange *exchange = LIST_OWNER(node, struct exchange, node);
    struct exchange_cut cut = exchange_stop(exchange, side, reason);
    all.client = all.client || cut.client;
    all.short_of_end = all.short_of_end || cut.short_of_end;
    codec_end_exchange(exchange);
  }
  return all;
}

bool codec_count_out(struct connection *connection) {
  struct codec *codec = connection->codec;
  settle_bytes(connection);
  connection->worker->codec_count--;
  if (!codec->route)
    return false;
  stats_of(connection, codec->route)->active--;
  route_unref(codec->route);
  codec->route = NULL;
  return true;
}

void codec_move_all(struct worker *worker, const struct route_table *before) {
  const struct route_table *table = worker->pin->table;
  uint32_t *places = NULL;
  if (worker->codec_count == 0) /* a hundred thousand others are not gone through for nothing */
    return;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    struct codec *codec = connection->codec;
    if (!codec || !codec->table_port || connection->state >= CONNECTION_CLOSING)
      continue;
    if (!places)
      places = follow_ports(before, table);
    move_port(codec, places, before, table);
    if (!codec->table_port && !connection_leading(connection))
      connection_close(connection, PIPE_CLIENT, CLOSE_CHANGED);
  }
  free(places);
}
