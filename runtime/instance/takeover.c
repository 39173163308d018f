/* SPDX-License-Identifier: MIT
 *
 * One record for each stuck worker and the one that accepts for it. It is that worker's while it carries an order out;
 * what the control thread wants meanwhile is told by `over`. */
#include "instance/takeover.h"

#include "instance/instance.h"
#include "instance/runtime.h"

#include <stdatomic.h>
#include <stdlib.h>

struct takeover {
  struct message message;
  struct list_node node; /* in takeovers->list */
  struct takeovers *owner;
  struct worker *stuck, *helper;
  struct worker_takeover progress; /* the helper's while `away` */
  atomic_bool over;                /* the worker is back */
  bool away;                       /* the helper has the message */
  bool handed_back;
  bool is_told, is_whole; /* how the last order ended: it was logged; the helper accepts on all ports */
};

static void takeover_post_back(struct takeover *takeover, void (*deliver)(struct message *, void *)) {
  takeover->message.deliver = deliver;
  mailbox_post(&takeover->owner->instance->runtime->loop.mailbox, &takeover->message);
}

static void on_helper_answer(struct message *message, void *receiver);

/* On the helper's thread. */
static void on_hand_back(struct message *message, void *receiver) {
  struct takeover *takeover = (struct takeover *)(void *)message;
  struct worker *worker = receiver;
  bool more = worker_hand_back(worker, takeover->stuck);
  takeover->handed_back = !more;
  if (!more || !mailbox_post(&worker->loop.mailbox, message))
    takeover_post_back(takeover, on_helper_answer);
}

/* On the helper's thread. */
static void on_take_over(struct message *message, void *receiver) {
  struct takeover *takeover = (struct takeover *)(void *)message;
  struct worker *worker = receiver;
  bool more = !atomic_load(&takeover->over) && worker_take_over(worker, takeover->stuck, &takeover->progress);
  if (!more || !mailbox_post(&worker->loop.mailbox, message))
    takeover_post_back(takeover, on_helper_answer);
}

static void takeover_free(struct takeover *takeover) {
  list_remove(&takeover->node);
  free(takeover);
}

static void post_takeover(struct takeover *takeover, void (*deliver)(struct message *, void *)) {
  takeover->message.deliver = deliver;
  takeover->away = mailbox_post(&takeover->helper->loop.mailbox, &takeover->message);
  if (!takeover->away) /* it ends, and so does all that it listens on */
    takeover_free(takeover);
}

/* What differs from the last time. */
static void tell_takeover(struct takeover *takeover) {
  bool was_whole = takeover->is_whole;
  takeover->is_whole = takeover->progress.failed == 0;
  if (takeover->is_told && takeover->is_whole == was_whole)
    return;
  takeover->is_told = true;
  const struct log *log = takeover->owner->instance->log;
  if (takeover->progress.failed == 0)
    LOG(log, LOG_WARN, "another worker accepts for one that is stuck", LOG_INTEGER("worker", takeover->stuck->number),
        LOG_INTEGER("helper", takeover->helper->number), LOG_INTEGER("port_count", takeover->progress.ports));
  else
    LOG(log, LOG_ERROR, "another worker can't accept on all ports of one that is stuck: what comes there waits",
        LOG_INTEGER("worker", takeover->stuck->number), LOG_INTEGER("helper", takeover->helper->number),
        LOG_INTEGER("port_count", takeover->progress.ports), LOG_INTEGER("failed", takeover->progress.failed),
        LOG_STRING("error", "no file descriptor left; raise the limit (ulimit -n, LimitNOFILE=)"));
}

static void on_helper_answer(struct message *message, void *receiver) {
  struct takeover *takeover = (struct takeover *)(void *)message;
  (void)receiver;
  takeover->away = false;
  if (takeover->handed_back)
    takeover_free(takeover);
  else if (atomic_load(&takeover->over))
    post_takeover(takeover, on_hand_back);
  else
    tell_takeover(takeover);
}

static struct takeover *find_takeover(const struct takeovers *takeovers, const struct worker *owner) {
  for (struct list_node *node = takeovers->list.next; node != &takeovers->list; node = node->next) {
    struct takeover *takeover = LIST_OWNER(node, struct takeover, node);
    if (takeover->stuck == owner && !takeover->helper->stuck && !atomic_load(&takeover->over))
      return takeover;
  }
  return NULL;
}

/* The next that is well; NULL: there is none. */
static struct worker *find_helper(const struct instance *instance, const struct worker *owner) {
  const struct threads *threads = &instance->threads;
  for (size_t i = 0; i < threads->count; i++) {
    struct worker *worker = &threads->threads[(owner->number + i) % threads->count]->worker;
    if (!worker->stuck)
      return worker;
  }
  return NULL;
}

static void order_takeover(struct takeovers *takeovers, struct worker *owner, bool tells) {
  struct worker *helper = find_helper(takeovers->instance, owner);
  struct takeover *takeover = helper ? calloc(1, sizeof *takeover) : NULL;
  if (!takeover) {
    if (tells)
      LOG(takeovers->instance->log, LOG_ERROR, "no worker accepts for one that is stuck: what comes to it waits",
          LOG_INTEGER("worker", owner->number), LOG_STRING("error", helper ? "no memory" : "no worker is left"));
    return;
  }
  takeover->owner = takeovers;
  takeover->stuck = owner;
  takeover->helper = helper;
  list_add_tail(&takeovers->list, &takeover->node);
  post_takeover(takeover, on_take_over);
}

/* For each worker that is stuck, and for which nobody does so who is well. */
static void take_over_all(struct takeovers *takeovers, bool tells) {
  const struct threads *threads = &takeovers->instance->threads;
  bool open = takeovers->instance->phase == INSTANCE_READY; /* else nobody listens any more */
  for (size_t i = 0; i < threads->count && open; i++) {
    struct worker *worker = &threads->threads[i]->worker;
    if (worker->stuck && !find_takeover(takeovers, worker))
      order_takeover(takeovers, worker, tells);
  }
}

void takeovers_begin(struct takeovers *takeovers) { take_over_all(takeovers, true); }

void takeovers_retry(struct takeovers *takeovers) {
  LIST_FOREACH(node, &takeovers->list) {
    struct takeover *takeover = LIST_OWNER(node, struct takeover, node);
    if (takeover->away || atomic_load(&takeover->over))
      continue;
    takeover->progress = (struct worker_takeover){.next = 0};
    post_takeover(takeover, on_take_over);
  }
  take_over_all(takeovers, false);
}

void takeovers_end(struct takeovers *takeovers, struct worker *owner) {
  LIST_FOREACH(node, &takeovers->list) {
    struct takeover *takeover = LIST_OWNER(node, struct takeover, node);
    if (takeover->stuck != owner || atomic_load(&takeover->over))
      continue;
    atomic_store(&takeover->over, true);
    if (!takeover->away)
      post_takeover(takeover, on_hand_back);
  }
  take_over_all(takeovers, true);
}

unsigned takeovers_find(const struct takeovers *takeovers, const struct worker *owner) {
  const struct takeover *takeover = find_takeover(takeovers, owner);
  return takeover && takeover->is_whole ? takeover->helper->number : 0;
}

void takeovers_init(struct takeovers *takeovers, struct instance *instance) {
  takeovers->instance = instance;
  list_init(&takeovers->list);
}

void takeovers_deinit(struct takeovers *takeovers) {
  if (!takeovers->instance)
    return;
  LIST_FOREACH(node, &takeovers->list) { takeover_free(LIST_OWNER(node, struct takeover, node)); }
  takeovers->instance = NULL;
}
