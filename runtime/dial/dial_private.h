/* SPDX-License-Identifier: MIT
 *
 * What the files of a dial share: dial.c has its phases and its time, dial_attempt.c the socket of one attempt,
 * dial_order.c which address comes when. */
#pragma once

#include "dial/dial.h"

#include <errno.h>

enum dial_phase { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_PAUSING, DIAL_OVER };

/* One address that is being tried. */
struct attempt {
  struct poll_source source;
  struct dial *dial;
  struct attempt *next; /* of its dial's */
  int fd;               /* -1: it is free for another address */
  unsigned index;       /* of the address */
  clock_ms began;       /* 0: nothing has been waited for yet */
};

struct dial {
  struct dialer *dialer;
  dial_done_fn *done;
  dial_slow_fn *slow; /* NULL: nobody is to be told any more */
  void *context;
  struct resolve_request *request;
  struct endpoint *addresses; /* in the order to try; &single, or on the heap */
  unsigned count, next;       /* next: the first that has not been tried */
  unsigned last;              /* the one that has won, or failed last */
  enum dial_phase phase;
  int status; /* of that */
  uint16_t port;
  bool inside_start; /* nobody else knows the dial yet: it may be freed at once */
  uint32_t pause_ms;
  uint64_t ms, patience_ms;
  uint64_t took_ms;
  clock_ms deadline; /* of all; 0 before anything has been waited for */
  clock_ms next_at;  /* the next address begins; CLOCK_NEVER: only when another fails */
  clock_ms slow_at;  /* it is told; CLOCK_NEVER: not */
  struct wheel_timer timer;
  struct deferred freeing;
  struct attempt first;   /* where several are under way, the others are on the heap */
  struct endpoint single; /* not set where `addresses` are others */
};

/* Opens a socket and connects it to the address attempt->index. 0: it is connected. -EINPROGRESS: it is not yet.
 * -EAGAIN (unix): the queue is full, and nothing tells when it is not; to be called again. Else it has failed, and is
 * to be dropped. */
int attempt_connect(struct attempt *attempt);

/* Calls `on_event` when it is connected or has failed. 0 or a negative errno. */
int attempt_watch(struct attempt *attempt, poll_event_fn *on_event);
void attempt_unwatch(struct attempt *attempt);

/* After its event: 0 or a negative errno. */
int attempt_status(const struct attempt *attempt);

/* Closes its socket, with a reset should it be connected. */
void attempt_drop(struct attempt *attempt);

/* Puts the addresses into the order in which they are to be tried. */
void dial_order_addresses(struct dial *dial);

/* What has become of the address dial->last is remembered; `status` as of attempt_status(). */
void dial_note_outcome(const struct dial *dial, int status);

/* This machine has run out of something, for whatever address. */
static inline bool dial_ran_out(int status) {
  return status == -EMFILE || status == -ENFILE || status == -ENOMEM || status == -ENOBUFS;
}
