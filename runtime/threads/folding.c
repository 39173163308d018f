/* SPDX-License-Identifier: MIT
 *
 * The messages: to each worker, and back. */
#include "threads/folding.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static void fold_next(struct folding *folding);

struct folding_order {
  struct message message;
  struct folding *folding;
  struct worker *worker;
};

static void on_folded(struct message *message, void *receiver) {
  struct folding_order *order = (struct folding_order *)(void *)message;
  struct folding *folding = order->folding;
  (void)receiver;
  /* Its last copy is older than this: a newer one would come behind it. */
  snapshots_fold(folding->snapshots, (size_t)(order - folding->orders), folding->numbers, folding->count);
  if (--folding->missing > 0)
    return;
  names_free(folding->names, folding->numbers, folding->count);
  fold_next(folding);
}

/* On the worker's thread. */
static void on_fold(struct message *message, void *receiver) {
  struct folding_order *order = (struct folding_order *)(void *)message;
  worker_fold_routes(receiver, order->folding->numbers, order->folding->count);
  message->deliver = on_folded;
  mailbox_post(&order->folding->threads->loop->mailbox, message);
}

static void on_gone_long_enough(struct wheel_timer *timer) {
  folding_begin((struct folding *)(void *)((char *)timer - offsetof(struct folding, timer)));
}

int folding_init(struct folding *folding, struct names *names, struct snapshots *snapshots, struct threads *threads) {
  *folding = (struct folding){.loop = threads->loop, .names = names, .snapshots = snapshots, .threads = threads};
  folding->orders = calloc(threads->count, sizeof *folding->orders);
  if (!folding->orders)
    return -ENOMEM;
  for (size_t i = 0; i < threads->count; i++)
    folding->orders[i] = (struct folding_order){.folding = folding, .worker = &threads->threads[i]->worker};
  folding->timer.on_expired = on_gone_long_enough;
  return 0;
}

void folding_deinit(struct folding *folding) {
  if (folding->orders)
    loop_cancel_timer(folding->loop, &folding->timer);
  free(folding->orders);
  folding->orders = NULL;
}

/* The next of those that were removed when it began. */
static void fold_next(struct folding *folding) {
  folding->count = names_forget(folding->names, &folding->left, folding->numbers, FOLDING_MOST);
  if (folding->count == 0)
    return;
  snapshots_fold_plane(folding->snapshots, folding->numbers, folding->count);
  folding->missing = folding->threads->count;
  for (size_t i = 0; i < folding->threads->count; i++) {
    folding->orders[i].message.deliver = on_fold;
    /* Refused when the worker has ended: then so does all this. */
    mailbox_post(&folding->orders[i].worker->loop.mailbox, &folding->orders[i].message);
  }
}

static void expire(struct folding *folding) {
  struct loop *loop = folding->loop;
  clock_ms now = loop_now(loop), next = names_expire(folding->names, now);
  if (next != CLOCK_NEVER)
    loop_set_timer(loop, &folding->timer, next - now);
}

void folding_begin(struct folding *folding) {
  if (!folding->orders)
    return;
  expire(folding);
  if (folding->missing > 0)
    return;
  folding->left = folding->names->removed_count;
  fold_next(folding);
}
