/* SPDX-License-Identifier: MIT
 *
 * The worker: what it owns besides its connections, and draining it. Which sockets it listens on is in worker_ports.c.
 */
#include "connection/connection_private.h"
#include "net/splice_pool.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

/* Large enough that bulk fills it before it has shown that it is bulk, small enough to stay in the second-level cache.
 */
enum { COPY_BUFFER_SIZE = 128 * 1024 };

int worker_init(struct worker *worker, unsigned number, unsigned count, struct clock *clock, const struct log *log,
                const struct worker_settings *settings, const struct script_hooks *hooks, struct error *error) {
  *worker = (struct worker){.number = number, .count = count, .log = log, .settings = settings, .hooks = hooks};
  list_init(&worker->connections);
  list_init(&worker->walks);
  list_init(&worker->over);
  list_init(&worker->loans);
  pthread_mutex_init(&worker->ports_lock, NULL); /* never destroyed: others may still ask, and it holds no resource */
  int status = settings->within ? loop_init_within(&worker->loop, settings->within, worker)
                                : loop_init(&worker->loop, clock, worker);
  if (status)
    return error_set(error, -status, "worker %u: its event loop could not be made", number);
  worker->metrics = metrics_shard_new();
  worker->pipes =
      (struct flow_shared){.loop = &worker->loop, .bytes = malloc(COPY_BUFFER_SIZE), .size = COPY_BUFFER_SIZE};
  unsigned pipes = worker_pipes(worker);
  worker->pipes.pool = pipes ? splice_pool_new(&worker->loop, pipes, settings->descriptors) : NULL;
  struct resolver_options dns = settings->dns;
  dns.log = log;
  worker->resolver = resolver_new(&worker->loop, &dns, error);
  worker->piece.on_expired = worker_do_piece;
  if (!worker->resolver) {
    worker_deinit(worker);
    return -EINVAL;
  }
  if (!worker->metrics || !worker->pipes.bytes || (pipes && !worker->pipes.pool)) {
    worker_deinit(worker);
    return error_set(error, ENOMEM, "worker %u: no memory", number);
  }
  dialer_init(&worker->dialer, &worker->loop, worker->resolver, &settings->tcp);
  worker->dialer.descriptors = settings->descriptors;
  worker->dialer.tcp.keep_alive = false; /* connection.c, begin_probes() */
  return 0;
}

/* Closing ones too: nobody will be there to wait for their clients. But all has been said on those. */
static void end_all(struct worker *worker) {
  while (!list_is_empty(&worker->connections)) {
    struct connection *connection = LIST_OWNER(worker->connections.next, struct connection, node);
    worker->cut += connection->state < CONNECTION_CLOSING;
    connection_end(connection);
  }
}

static void worker_close_all_ports(struct worker *worker) {
  while (!worker_close_ports(worker, UINT_MAX))
    ;
}

void worker_release(struct worker *worker) {
  worker->on_drained = NULL;
  worker_abort_table(worker); /* one that is committed becomes the worker's */
  loop_cancel_timer(&worker->loop, &worker->piece);
  worker_close_all_ports(worker);
  end_all(worker);
  worker_release_table(worker);
}

void worker_deinit(struct worker *worker) {
  loop_cancel_timer(&worker->loop, &worker->drain_timer);
  worker_release(worker);
  resolver_free(worker->resolver);
  splice_pool_free(worker->pipes.pool);
  worker->pipes.pool = NULL; /* a message that is delivered now may look */
  loop_deinit(&worker->loop);
  free(worker->pipes.bytes);
  metrics_shard_free(worker->metrics);
  for (size_t i = 0; i < ROUTE_LOG_COUNT; i++)
    log_limits_deinit(&worker->route_logs[i]);
  log_limits_deinit(&worker->refusal_logs);
}

static void on_drain_over(struct wheel_timer *timer) {
  struct worker *worker = (struct worker *)((char *)timer - offsetof(struct worker, drain_timer));
  worker_close_all_ports(worker);
  end_all(worker);
  loop_set_timer(&worker->loop, &worker->piece, 0); /* there may have been no connection whose end would tell */
}

void worker_fold_routes(struct worker *worker, const unsigned *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    metrics_shard_fold(worker->metrics, numbers[i]);
    for (size_t log = 0; log < ROUTE_LOG_COUNT; log++)
      log_limits_forget(&worker->route_logs[log], numbers[i]);
  }
}

void worker_tell_drained(struct worker *worker) {
  void (*on_drained)(struct worker *, void *) = worker->on_drained;
  if (!worker->draining || worker->port_count > 0 || worker->connection_count > 0 || !on_drained)
    return;
  worker->on_drained = NULL;
  loop_cancel_timer(&worker->loop, &worker->drain_timer);
  on_drained(worker, worker->drain_context);
}

void worker_do_piece(struct wheel_timer *timer) {
  struct worker *worker = (struct worker *)(void *)((char *)timer - offsetof(struct worker, piece));
  bool done = true;
  if (worker->change && worker->change->committed)
    done = worker_go_on_committing(worker, PORTS_A_PIECE);
  else if (worker->draining && worker->port_count > 0)
    done = worker_close_ports(worker, PORTS_A_PIECE);
  if (!done)
    loop_set_timer(&worker->loop, &worker->piece, PIECE_EVERY_MS);
  else
    worker_tell_drained(worker);
}

void worker_drain(struct worker *worker, uint64_t ms, void (*on_drained)(struct worker *, void *), void *context) {
  worker->on_drained = on_drained;
  worker->drain_context = context;
  worker_abort_table(worker);
  worker->draining = true;
  worker->drain_timer.on_expired = on_drain_over;
  loop_set_timer(&worker->loop, &worker->drain_timer, ms);
  LIST_FOREACH(node, &worker->connections) { connection_arm_timer(LIST_OWNER(node, struct connection, node)); }
  worker_do_piece(&worker->piece);
}
