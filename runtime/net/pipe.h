/* SPDX-License-Identifier: MIT
 *
 * Two transports joined: a flow each way (net/flow.h), until each has ended; and what the end or the failure of one
 * means to the other. Who ends what, and when, is its user's to decide. */
#pragma once

#include "core/loop.h"
#include "net/flow.h"
#include "net/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pipe_side { PIPE_CLIENT, PIPE_TARGET, PIPE_SIDES };

static inline enum pipe_side pipe_other(enum pipe_side side) { return side == PIPE_CLIENT ? PIPE_TARGET : PIPE_CLIENT; }

static inline const char *pipe_side_label(enum pipe_side side) { return side == PIPE_CLIENT ? "client" : "target"; }

/* How far a side has come to its end. */
struct pipe_end {
  bool finished : 1; /* its end, or failure, has been passed on */
  bool ending : 1;   /* on_ending has been called: for its end */
  bool failing : 1;  /* … for its failure */
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

/* Embedded. 160 bytes of an idle connection. */
struct pipe {
  struct flow_shared *shared;    /* NULL: not running */
  struct flow flows[PIPE_SIDES]; /* by the side that the bytes come from */
  const struct pipe_callbacks *callbacks;
  void *context;
  clock_ms *last_active;            /* written whenever bytes move */
  struct deferred again;            /* more to do that must not hold up the others */
  int16_t failure[PIPE_SIDES];      /* why a side failed, until it is told */
  struct pipe_end ends[PIPE_SIDES]; /* by the side that ends */
  bool tells_events;                /* its user's: on_event is called */
};

static inline struct stream *pipe_stream(const struct pipe *pipe, enum pipe_side side) {
  return pipe->flows[side].from;
}

/* Joins two open streams: takes over on_ready of both, and moves what is there already. `last_active` outlives the
 * pipe. The first callback may come before this returns. */
void pipe_start(struct pipe *pipe, struct flow_shared *shared, struct stream *client, struct stream *target,
                const struct pipe_callbacks *callbacks, void *context, clock_ms *last_active);

/* Lets go of both streams (their on_ready is NULL then) and of what was on its way; nothing if it is not running. */
void pipe_stop(struct pipe *pipe);

static inline bool pipe_is_running(const struct pipe *pipe) { return pipe->shared != NULL; }

/* Whether on_ending has been called for `side`: for its end, which may have been passed on since; for its failure. */
static inline bool pipe_is_ending(const struct pipe *pipe, enum pipe_side side) {
  return pipe->ends[side].ending || pipe->ends[side].failing;
}
static inline bool pipe_is_failing(const struct pipe *pipe, enum pipe_side side) { return pipe->ends[side].failing; }

/* Whether either still is. */
static inline bool pipe_awaits_end(const struct pipe *pipe) {
  return (pipe_is_ending(pipe, PIPE_CLIENT) && !pipe->ends[PIPE_CLIENT].finished) ||
         (pipe_is_ending(pipe, PIPE_TARGET) && !pipe->ends[PIPE_TARGET].finished);
}

/* Bytes that were read from `side` and that the other has not taken. */
static inline size_t pipe_pending(const struct pipe *pipe, enum pipe_side side) {
  return flow_held(&pipe->flows[side]);
}
