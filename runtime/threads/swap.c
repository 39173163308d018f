/* SPDX-License-Identifier: MIT
 *
 * The messages of a swap: to a worker, and back. */
#include "threads/swap.h"

#include <errno.h>
#include <stdlib.h>

struct swap_order {
  struct message message;
  struct swap *swap;
  struct worker *worker;
  int status;
  size_t old_connections;
  bool awaited; /* it has not been answered */
  bool taken;   /* the worker has committed */
};

static void prepare_next(struct swap *swap);

static void swap_finish(struct swap *swap, int status) {
  struct route_table *table = swap->table;
  swap->table = NULL;
  swap->on_done(swap, status);
  route_table_unref(table);
}

static int swap_is_stopping(struct swap *swap) { return error_set(&swap->error, ESHUTDOWN, "moongate is stopping"); }

static void swap_post_back(struct swap_order *order, void (*deliver)(struct message *, void *)) {
  order->message.deliver = deliver;
  mailbox_post(&order->swap->threads->loop->mailbox, &order->message);
}

static void on_carried_out(struct message *message, void *receiver) {
  struct swap_order *order = (struct swap_order *)(void *)message;
  struct swap *swap = order->swap;
  (void)receiver;
  order->awaited = false;
  swap->old_connections += order->old_connections;
  swap->taken += order->taken;
  if (--swap->missing > 0)
    return;
  if (swap->status == 0 && swap->taken == 0)
    swap->status = swap_is_stopping(swap);
  if (swap->status == 0 && swap->with_plane)
    plane_retire(swap->plane);
  swap_finish(swap, swap->status);
}

/* On the worker's thread. */
static void on_committed(struct worker *worker, void *context) {
  struct swap_order *order = context;
  order->old_connections = worker->metrics->worker.old_connections;
  swap_post_back(order, on_carried_out);
}

/* On the worker's thread. One that drains has given up what it had prepared; so have all then, for the order to drain
 * was before this one in each one's queue. */
static void on_commit(struct message *message, void *receiver) {
  struct swap_order *order = (struct swap_order *)(void *)message;
  struct worker *worker = receiver;
  order->taken = worker->change != NULL;
  if (order->taken)
    worker_commit_table(worker, on_committed, order);
  else
    on_committed(worker, order);
}

/* On the worker's thread. */
static void on_abort(struct message *message, void *receiver) {
  struct swap_order *order = (struct swap_order *)(void *)message;
  worker_abort_table(receiver);
  order->old_connections = 0;
  order->taken = false;
  swap_post_back(order, on_carried_out);
}

static void post(struct swap_order *order, void (*deliver)(struct message *, void *)) {
  order->awaited = true;
  order->message.deliver = deliver;
  mailbox_post(&order->worker->loop.mailbox, &order->message);
}

static void post_all(struct swap *swap, void (*deliver)(struct message *, void *)) {
  swap->missing = swap->prepared;
  for (size_t i = 0; i < swap->prepared; i++)
    post(&swap->orders[i], deliver);
}

/* The workers that have prepared it give it up, and so has the plane. */
static void swap_give_up(struct swap *swap, int status) {
  swap->status = status;
  if (swap->with_plane)
    plane_abort(swap->plane);
  if (swap->prepared > 0)
    post_all(swap, on_abort);
  else
    swap_finish(swap, status);
}

static void on_swap_plane_committed(struct plane *plane, int status, void *context) {
  struct swap *swap = context;
  if (status == 0) {
    post_all(swap, on_commit);
    return;
  }
  swap->error = plane->error;
  swap_give_up(swap, status);
}

static void on_swap_plane_prepared(struct plane *plane, int status, void *context) {
  struct swap *swap = context;
  if (status == 0) {
    prepare_next(swap);
    return;
  }
  swap->error = plane->error;
  swap_give_up(swap, status);
}

static void on_prepared(struct message *message, void *receiver) {
  struct swap_order *order = (struct swap_order *)(void *)message;
  struct swap *swap = order->swap;
  (void)receiver;
  order->awaited = false;
  if (order->status != 0) {
    swap_give_up(swap, order->status);
    return;
  }
  swap->status = 0;
  if (++swap->prepared < swap->threads->count)
    prepare_next(swap);
  else if (swap->with_plane)
    plane_commit(swap->plane, on_swap_plane_committed, swap);
  else
    post_all(swap, on_commit);
}

/* On the worker's thread. What it writes into the swap, the others read only once it has answered. */
static void on_prepare(struct message *message, void *receiver) {
  struct swap_order *order = (struct swap_order *)(void *)message;
  struct worker *worker = receiver;
  if (worker->draining)
    order->status = swap_is_stopping(order->swap);
  else
    order->status = worker_prepare_table(worker, order->swap->table, order->swap->ports, &order->swap->error);
  swap_post_back(order, on_prepared);
}

static void prepare_next(struct swap *swap) { post(&swap->orders[swap->prepared], on_prepare); }

unsigned swap_awaited_worker(const struct swap *swap) {
  for (size_t i = 0; swap->table && i < swap->threads->count; i++)
    if (swap->orders[i].awaited)
      return swap->orders[i].worker->number;
  return 0;
}

const char *swap_awaited_engine(const struct swap *swap) {
  bool is_awaited = swap->table && swap->with_plane && swap->plane->on_done;
  return is_awaited ? route_engine_words[swap->plane->ops->engine] : NULL;
}

const struct plane_faults *swap_refusals(const struct swap *swap) {
  return swap->with_plane && swap->plane->refusals.count > 0 ? &swap->plane->refusals : NULL;
}

int swap_init(struct swap *swap, struct threads *threads, struct plane *plane) {
  *swap = (struct swap){.threads = threads, .plane = plane, .orders = calloc(threads->count, sizeof *swap->orders)};
  if (!swap->orders)
    return -ENOMEM;
  for (size_t i = 0; i < threads->count; i++)
    swap->orders[i] = (struct swap_order){.swap = swap, .worker = &threads->threads[i]->worker};
  return 0;
}

void swap_deinit(struct swap *swap) {
  route_table_unref(swap->table);
  free(swap->orders);
  *swap = (struct swap){.threads = NULL};
}

void swap_begin(struct swap *swap, struct route_table *table, struct port_change *ports, swap_done_fn *on_done) {
  swap->table = route_table_ref(table);
  swap->ports = ports;
  swap->prepared = 0;
  swap->old_connections = swap->taken = 0;
  swap->error = (struct error){.code = 0};
  swap->on_done = on_done;
  swap->with_plane = plane_is_concerned(swap->plane, table);
  if (swap->with_plane)
    plane_prepare(swap->plane, swap->table, on_swap_plane_prepared, swap);
  else
    prepare_next(swap);
}
