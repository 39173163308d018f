/* SPDX-License-Identifier: MIT
 *
 * A flow: bytes that go one way, from one transport to another, with backpressure, to the end of the source or for a
 * count. It copies through the one buffer of its worker and holds a buffer of its own only while the destination can't
 * take its bytes; once it has shown that it is bulk it is spliced through a kernel pipe, and goes back when it is not.
 * Nothing is read while it holds anything: what one read brings is all that it ever does. Who hears of events, and what
 * an end or a failure means to others, is its user's: net/pipe.h has two of them. */
#pragma once

#include "core/loop.h"
#include "net/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct splice_pipe; /* net/splice_pool.h */
struct splice_pool;

/* What the flows of one worker share. */
struct flow_shared {
  struct loop *loop;
  uint8_t *bytes;           /* the copy buffer */
  size_t size;              /* its size */
  struct splice_pool *pool; /* NULL: never splice */
};

/* No count: to the end of the source. */
#define FLOW_TO_THE_END UINT64_MAX

/* Embedded, and stays where it is while it holds a kernel pipe. */
struct flow {
  struct stream *from, *to;
  struct buffer *pending;     /* read, and not taken yet; NULL mostly */
  struct splice_pipe *splice; /* NULL while copying */
  uint64_t left;              /* bytes that may still be read */
  uint32_t spliced;           /* bytes in `splice` */
  int16_t status;             /* 0, or the first failure, of the source or the destination: a negative errno */
  uint8_t evidence;           /* full reads in a row (copying), small ones in a row (splicing) */
  bool ended : 1;  /* nothing more is read: the source's end or failure, or the last byte of the count, was */
  bool broken : 1; /* the destination failed: nothing is read for it any more */
};

/* What moving bytes comes to. */
enum flow_result {
  FLOW_WAITS,  /* for the source */
  FLOW_FULL,   /* for the destination to take what the flow holds */
  FLOW_AGAIN,  /* there is more, but others come first: to be moved again in deferred work */
  FLOW_OVER,   /* the source has ended (`left` is not 0), or failed (`status`), or the count is complete (`left` is 0);
                  all that came before has been taken */
  FLOW_BROKEN, /* the destination failed, see `status`; what the flow holds has nowhere to go */
};

/* `count` bytes, or FLOW_TO_THE_END. */
static inline void flow_begin(struct flow *flow, struct stream *from, struct stream *to, uint64_t count) {
  *flow = (struct flow){.from = from, .to = to, .left = count, .ended = count == 0};
}

/* Moves what goes without an event. Writes `*last_active` whenever bytes move. */
enum flow_result flow_move(struct flow *flow, const struct flow_shared *shared, clock_ms *last_active);

/* Passes bytes on that somebody has read ahead from the source, before anything else is; at most what the count lets
 * it. Returns how many it has taken: some may have to wait in it, and a destination that fails is told by the next
 * flow_move(). On a flow that holds nothing. */
size_t flow_pass(struct flow *flow, const void *bytes, size_t size);

/* Bytes that were read and that the destination has not taken. */
static inline size_t flow_held(const struct flow *flow) { return buffer_size(flow->pending) + flow->spliced; }

/* Bytes that the destination has taken, of a flow that began with this count. */
static inline uint64_t flow_moved(const struct flow *flow, uint64_t count) {
  return count - flow->left - flow_held(flow);
}

/* What it holds goes back, in front of what the source's user has read ahead of it in `*front` (NULL: nothing). 0, or
 * -ENOMEM and it is lost. Ends the flow, as flow_drop(). */
int flow_give_back(struct flow *flow, const struct flow_shared *shared, struct buffer **front);

/* What it holds is lost. */
void flow_drop(struct flow *flow, const struct flow_shared *shared);
