/* SPDX-License-Identifier: MIT
 *
 * Accepting for a worker that is stuck: the kernel goes on giving its sockets their part of what comes in. Another one
 * takes descriptors of its own of the same sockets, so that neither has to know what becomes of the other, and accepts
 * on each as on its own socket of that port, by its own table. */
#include "connection/connection_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 128 /* ports at a time, between other events: about half a millisecond */ };

struct worker_loan {
  struct list_node of_worker; /* in worker->loans */
  struct list_node of_port;   /* in port->loans */
  const struct worker *owner;
  struct listener *listener;
};

static void loan_free(struct worker_loan *loan) {
  list_remove(&loan->of_worker);
  list_remove(&loan->of_port);
  listener_close(loan->listener);
  free(loan);
}

void worker_end_loans(struct worker_port *port) {
  LIST_FOREACH(node, &port->loans) { loan_free(LIST_OWNER(node, struct worker_loan, of_port)); }
}

static bool is_same_place(const struct worker_port *own, const struct worker_port *other) {
  const struct endpoint *a = listener_endpoint(own->listener), *b = listener_endpoint(other->listener);
  return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

/* Both workers have their ports in the order of their tables, which mostly are the same one. */
static struct worker_port *find_own(const struct worker *worker, const struct worker_port *other, size_t guess) {
  for (size_t i = 0; i < worker->port_count; i++) {
    struct worker_port *own = worker->ports[(guess + i) % worker->port_count];
    if (own && is_same_place(own, other))
      return own;
  }
  return NULL;
}

/* The owner's n-th, those of a table that it has only prepared behind the others. NULL: that is none of its own, or
 * closed already. */
static const struct worker_port *port_of(const struct worker *owner, size_t n) {
  if (n < owner->port_count)
    return owner->ports[n];
  const struct worker_port *prepared = owner->change->ports[n - owner->port_count];
  return prepared->table_port ? NULL : prepared;
}

static size_t takeover_count_ports(const struct worker *owner) {
  bool prepared = owner->change && !owner->change->live;
  return owner->port_count + (prepared ? owner->change->pin->table->port_count : 0);
}

static bool is_taken_over(const struct worker_port *own, const struct worker *owner) {
  for (const struct list_node *node = own->loans.next; node != &own->loans; node = node->next)
    if (LIST_OWNER(node, struct worker_loan, of_port)->owner == owner)
      return true;
  return false;
}

/* 0 or a negative errno. */
static int take_over(struct worker *worker, const struct worker *owner, struct worker_port *own,
                     const struct worker_port *other) {
  struct worker_loan *loan = calloc(1, sizeof *loan);
  struct error error;
  if (!loan)
    return error_set(&error, ENOMEM, "no memory");
  loan->owner = owner;
  loan->listener = listener_share(&worker->loop, other->listener, worker->settings->descriptors, &worker_port_callbacks,
                                  own, &error);
  if (!loan->listener) {
    free(loan);
    return -error.code;
  }
  list_add_tail(&worker->loans, &loan->of_worker);
  list_add_tail(&own->loans, &loan->of_port);
  listener_start(loan->listener);
  return 0;
}

bool worker_take_over(struct worker *worker, struct worker *owner, struct worker_takeover *progress) {
  pthread_mutex_lock(&owner->ports_lock);
  size_t count = takeover_count_ports(owner), end = progress->next + PIECE < count ? progress->next + PIECE : count;
  for (; progress->next < end; progress->next++) {
    const struct worker_port *other = port_of(owner, progress->next);
    struct worker_port *own = other ? find_own(worker, other, progress->next) : NULL;
    if (own && (is_taken_over(own, owner) || take_over(worker, owner, own, other) == 0))
      progress->ports++;
    else if (own)
      progress->failed++;
  }
  pthread_mutex_unlock(&owner->ports_lock);
  return end < count;
}

bool worker_hand_back(struct worker *worker, const struct worker *owner) {
  unsigned closed = 0;
  LIST_FOREACH(node, &worker->loans) {
    struct worker_loan *loan = LIST_OWNER(node, struct worker_loan, of_worker);
    if (loan->owner != owner)
      continue;
    if (closed++ == PIECE)
      return true;
    loan_free(loan);
  }
  return false;
}
