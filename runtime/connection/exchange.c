/* SPDX-License-Identifier: MIT
 *
 * The record of an exchange: its beginning, its states with the time that it has spent in them, and its end. What it
 * goes through is in exchange_corridor.c, what bounds it in deadline.c. */
#include "connection/access_log.h"
#include "connection/admission.h"
#include "connection/codec.h"
#include "connection/connection_private.h"
#include "engines/userspace.h"

#include <stdlib.h>

void exchange_init(struct exchange *exchange, struct connection *connection, struct stream *client,
                   struct table_pin *pin, const struct table_port *table_port) {
  list_add_tail(&connection->exchanges, &exchange->node);
  exchange->connection = connection;
  exchange->client = client;
  exchange->pin = table_pin_ref(pin);
  exchange->table_port = table_port;
  route_choice_begin(&exchange->choice, table_port);
  exchange->asker.ops = &exchange_asker_ops;
  exchange->port = -1;
  exchange->began = exchange->last_active = loop_now(&connection->worker->loop);
  access_log_begin(exchange);
}

/* Since when it is in one its connection knows, and of those it was in the access log, where it is asked for. */
static void leave_exchange_state(struct exchange *exchange) {
  if (exchange->times)
    access_log_leave_state(exchange);
  exchange->dozes = false;
}

void exchange_set_state(struct exchange *exchange, enum exchange_state state) {
  struct connection *connection = exchange->connection;
  leave_exchange_state(exchange);
  exchange->state = (uint8_t)state;
  if (!connection->codec || exchange == connection_leading(connection))
    connection_set_state(connection, (enum connection_state)state, loop_now(&connection->worker->loop));
}

void exchange_unpin_table(struct exchange *exchange) {
  table_pin_unref(exchange_worker(exchange), exchange->pin);
  exchange->pin = NULL;
  exchange->table_port = NULL;
}

void exchange_drain(struct exchange *exchange) {
  if (exchange->drain_until)
    return;
  exchange->drain_until = exchange_now(exchange) + exchange->route->timeouts.shutdown;
  exchange_arm_timer(exchange);
}

void exchange_close(struct exchange *exchange, enum pipe_side side, enum close_reason reason) {
  struct connection *connection = exchange->connection;
  if (!connection->codec) {
    connection_close(connection, side, reason);
    return;
  }
  if (exchange->state == EXCHANGE_OVER)
    return;
  exchange_stop(exchange, side, reason);
  codec_end_exchange(exchange);
  codec_go_on(connection);
  if (connection->state < CONNECTION_CLOSING)
    connection->codec->ops->exchange_over(connection->codec, exchange, side, reason);
}

/* Whether we end what would have gone on by itself: bytes that were moving, an answer that was awaited, a handler at
 * work. What either side has had so far is not all of it then. */
static bool cuts_short(const struct exchange *exchange, enum close_reason reason) {
  if (reason != CLOSE_LIFETIME && reason != CLOSE_SHUTDOWN && reason != CLOSE_CHANGED && reason != CLOSE_SUPERSEDED &&
      reason != CLOSE_KILLED)
    return false;
  if (exchange->state == EXCHANGE_HANDLING)
    return !exchange_worker(exchange)->hooks->handler_is_idle(exchange);
  return exchange->state == EXCHANGE_FORWARDING &&
         (exchange->ended || exchange_now(exchange) < exchange->last_active + CONNECTION_MOVING_MS);
}

struct exchange_cut exchange_stop(struct exchange *exchange, enum pipe_side side, enum close_reason reason) {
  enum pipe_side other = pipe_other(side);
  bool target_tried = exchange->attempts > 0;
  exchange->reasons[side] = (uint8_t)reason;
  if (other == PIPE_CLIENT || target_tried)
    exchange->reasons[other] = exchange->ended & (1 << other) ? CLOSE_ENDED : CLOSE_CLOSED;
  struct exchange_cut cut = {.short_of_end = cuts_short(exchange, reason)};
  if (asker_is_busy(&exchange->asker))
    asker_cancel(&exchange->asker);
  bool running = pipe_is_running(&exchange->pipe);
  cut.client = running && pipe_pending(&exchange->pipe, PIPE_TARGET) > 0;
  bool cut_target = running && pipe_pending(&exchange->pipe, PIPE_CLIENT) > 0;
  bool broken = side == PIPE_CLIENT && reason == CLOSE_RESET;
  exchange->reset_target = !exchange->connection->codec && running && broken && !cut_target &&
                           exchange->route->timeouts.linger > 0 && stream_unsent(&exchange->target_stream) > 0;
  userspace_cancel(exchange, cut_target || broken || cut.short_of_end);
  leave_exchange_state(exchange);
  exchange->state = EXCHANGE_OVER;
  return cut;
}

void exchange_finish(struct exchange *exchange) {
  struct worker *worker = exchange_worker(exchange);
  stream_close(&exchange->target_stream, true);
  if (exchange->on_old_table)
    worker->metrics->worker.old_connections--;
  access_log_end(exchange);
  if (exchange->host)
    free(exchange->host);
  exchange->host = NULL;
  admission_leave_route(exchange);
  exchange_unpin_table(exchange);
  route_unref(exchange->route);
  exchange->route = NULL;
  exchange->candidate_asked = NULL;
}
