/* SPDX-License-Identifier: MIT
 *
 * The userspace engine: chooses a target, connects to it, to others where that fails or takes long, and joins the two
 * sides by a pipe. */
#include "engines/userspace.h"

#include "dial/dial.h"
#include "engines/userspace_private.h"

#include <errno.h>
#include <unistd.h>

static void on_userspace_event(void *context) { exchange_wake(context); }

static void on_ending(void *context, enum pipe_side side, int status) {
  struct exchange *exchange = context;
  if (status < 0 && exchange->route->timeouts.linger == 0)
    exchange_close(exchange, side, CLOSE_RESET);
  else
    exchange_await_end(exchange);
}

static void on_ended(void *context, enum pipe_side side) {
  struct exchange *exchange = context;
  exchange->ended |= (uint8_t)(1 << side);
  exchange_touch(exchange); /* what may still come has its time from now on */
  bool both = exchange->ended == ((1 << PIPE_CLIENT) | (1 << PIPE_TARGET));
  if (both || (side == PIPE_TARGET && !exchange->route->half_open))
    exchange_close(exchange, side, CLOSE_ENDED);
  else
    exchange_arm_timer(exchange);
}

static void on_failed(void *context, enum pipe_side side, int status) {
  exchange_close(context, side, status == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_RESET);
}

static const struct pipe_callbacks pipe_callbacks = {
    .on_event = on_userspace_event, .on_ending = on_ending, .on_ended = on_ended, .on_failed = on_failed};

static enum step_result join(struct exchange *exchange, int fd) {
  struct worker *worker = exchange_worker(exchange);
  if (exchange->route->proxy_send.version > 0 && proxy_header_send(exchange, fd) < 0) {
    close(fd);
    exchange_close(exchange, PIPE_TARGET, CLOSE_RESET);
    return STEP_REFUSED;
  }
  if (stream_open(&exchange->target_stream, &worker->loop, fd, NULL, STREAM_WRITABLE) != 0) {
    close(fd);
    worker->metrics->worker.errors[ERROR_MEMORY]++;
    exchange_close(exchange, PIPE_TARGET, CLOSE_NO_MEMORY);
    return STEP_REFUSED;
  }
  exchange_set_state(exchange, EXCHANGE_FORWARDING);
  exchange_unpin_table(exchange);
  exchange_touch(exchange);
  if (!exchange->connection->codec) {
    exchange->before = exchange->connection->tally.own;
    exchange->before.in -= buffer_size(exchange->client->unread);
  }
  pipe_start(&exchange->pipe, &worker->pipes, exchange->client, &exchange->target_stream, &pipe_callbacks, exchange,
             &exchange->last_active);
  return exchange->state == EXCHANGE_FORWARDING ? STEP_DONE : STEP_GONE;
}

static void begin(struct exchange *exchange) {
  const struct route *route = exchange->route;
  clock_ms now = exchange_now(exchange);
  exchange->connect_deadline = route->timeouts.connect ? now + route->timeouts.connect : CLOCK_NEVER;
  exchange_set_state(exchange, EXCHANGE_CONNECTING);
  exchange_watch_client(exchange);
}

enum step_result userspace_run(struct exchange *exchange) {
  if (exchange->state != EXCHANGE_CONNECTING)
    begin(exchange);
  if (exchange->client->readiness & STREAM_FAILED) { /* it has left meanwhile */
    exchange_close(exchange, PIPE_CLIENT, CLOSE_RESET);
    return STEP_REFUSED;
  }
  for (;;) {
    if (!exchange->dialled) {
      if (race_waits(exchange))
        return STEP_WAIT;
      enum step_result result = target_know(exchange);
      if (result != STEP_DONE)
        return result;
      race_dial(exchange);
      if (!exchange->dialled)
        return STEP_WAIT;
    }
    exchange->dialled = false;
    if (exchange->dial_result >= 0) {
      race_end(exchange);
      exchange->attempts++;
      return join(exchange, exchange->dial_result);
    }
    if (!race_go_on(exchange)) {
      exchange_close(exchange, PIPE_TARGET, target_failure_reason(exchange->dial_result));
      return STEP_REFUSED;
    }
  }
}

void userspace_cancel(struct exchange *exchange, bool reset) {
  target_let_go(exchange);
  if (exchange->dialled && exchange->dial_result >= 0)
    dial_discard(exchange->dial_result); /* nobody has come to take it */
  exchange->dialled = false;
  if (exchange->state == EXCHANGE_CONNECTING)
    race_end(exchange); /* nothing came of it, but the log has to say where the client waited */
  pipe_stop(&exchange->pipe);
  if (!exchange->reset_target)
    stream_close(&exchange->target_stream, reset);
}
