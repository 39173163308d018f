/* SPDX-License-Identifier: MIT
 *
 * Two streams joined: bytes go both ways until each direction has ended, with backpressure. A direction copies through
 * the one buffer of its worker and holds a buffer of its own only while the other side can't take its bytes; once it
 * has shown that it is bulk it is spliced through a kernel pipe, and goes back when it is not. Who ends what, and when,
 * is its user's to decide. */
#pragma once

#include "core/loop.h"
#include "net/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct splice_pipe; /* net/splice_pool.h */
struct splice_pool;

enum pipe_side { PIPE_CLIENT, PIPE_TARGET, PIPE_SIDES };

static inline enum pipe_side pipe_other(enum pipe_side side) { return side == PIPE_CLIENT ? PIPE_TARGET : PIPE_CLIENT; }

static inline const char *pipe_side_label(enum pipe_side side) { return side == PIPE_CLIENT ? "client" : "target"; }

/* What the pipes of one worker share. */
struct pipe_shared {
  struct loop *loop;
  uint8_t *bytes;           /* the copy buffer */
  size_t size;              /* its size */
  struct splice_pool *pool; /* NULL: never splice */
};

/* From one side to the other. */
struct pipe_flow {
  struct buffer *pending;     /* read, and not taken yet; NULL mostly */
  struct splice_pipe *splice; /* NULL while copying */
  uint32_t spliced;           /* bytes in it */
  uint8_t evidence;           /* full reads in a row (copying), small ones in a row (splicing) */
  bool ended : 1;             /* the source's end, or failure, has been read */
  bool finished : 1;          /* … and passed on */
  bool broken : 1;            /* the destination failed: nothing is read for it any more */
  bool ending : 1;            /* on_ending has been called: for the source's end */
  bool failing : 1;           /* … for its failure */
};

/* Called in an event of one of the streams or in deferred work, each at most once for a side (on_ending: for an end and
 * for a failure; on_event: as often as there is one). The callee may stop the pipe and close the streams, and must not
 * free them before deferred work. */
struct pipe_callbacks {
  /* While pipe->tells_events: an event of either stream has been served. */
  void (*on_event)(void *context);
  /* Side `side` has ended (`status` 0) or failed (negative), and the other side does not take what stands in front of
   * that, now at least; if it never does, neither of the others is called: the bound is the callee's to keep. After a
   * failure nothing is read for `side` any more. */
  void (*on_ending)(void *context, enum pipe_side side, int status);
  /* Side `side` has ended, all its bytes have been taken by the other, and that one has been told the end. */
  void (*on_ended)(void *context, enum pipe_side side);
  /* Side `side` failed (`status`: -ECONNRESET, -EPIPE, -ETIMEDOUT, …) and all that it had sent before has been taken by
   * the other side. May follow on_ended. */
  void (*on_failed)(void *context, enum pipe_side side, int status);
};

/* Embedded. 136 bytes of an idle connection. */
struct pipe {
  struct pipe_shared *shared;         /* NULL: not running */
  struct stream *streams[PIPE_SIDES]; /* by enum pipe_side */
  struct pipe_flow flows[PIPE_SIDES]; /* by the side that the bytes come from */
  const struct pipe_callbacks *callbacks;
  void *context;
  clock_ms *last_active;   /* written whenever bytes move */
  struct deferred again;   /* more to do that must not hold up the others */
  int failure[PIPE_SIDES]; /* why a side failed, until it is told */
  bool tells_events;       /* its user's: on_event is called */
};

/* Joins two open streams: takes over on_ready of both, and moves what is there already. `last_active` outlives the
 * pipe. The first callback may come before this returns. */
void pipe_start(struct pipe *pipe, struct pipe_shared *shared, struct stream *client, struct stream *target,
                const struct pipe_callbacks *callbacks, void *context, clock_ms *last_active);

/* Lets go of both streams (their on_ready is NULL then) and of what was on its way; nothing if it is not running. */
void pipe_stop(struct pipe *pipe);

static inline bool pipe_is_running(const struct pipe *pipe) { return pipe->shared != NULL; }

/* Whether on_ending has been called for `side`: for its end, which may have been passed on since; for its failure. */
static inline bool pipe_is_ending(const struct pipe *pipe, enum pipe_side side) {
  return pipe->flows[side].ending || pipe->flows[side].failing;
}
static inline bool pipe_is_failing(const struct pipe *pipe, enum pipe_side side) { return pipe->flows[side].failing; }

/* Whether either still is. */
static inline bool pipe_awaits_end(const struct pipe *pipe) {
  return (pipe_is_ending(pipe, PIPE_CLIENT) && !pipe->flows[PIPE_CLIENT].finished) ||
         (pipe_is_ending(pipe, PIPE_TARGET) && !pipe->flows[PIPE_TARGET].finished);
}

/* Bytes that were read from `side` and that the other has not taken. */
static inline size_t pipe_pending(const struct pipe *pipe, enum pipe_side side) {
  return buffer_size(pipe->flows[side].pending) + pipe->flows[side].spliced;
}
