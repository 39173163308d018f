/* SPDX-License-Identifier: MIT
 *
 * What the two flows of a pipe mean to each other: an end is passed on, a failure is told once, behind all that came
 * before it. */
#include "net/pipe.h"

#include <errno.h>
#include <stddef.h>

/* A write failed: what stood there for that side is lost. What it has sent before it failed may still be in its socket,
 * and goes on in the other direction; its end will be told as the failure that it is. */
static void side_failed(struct pipe *pipe, enum pipe_side side, int status) {
  struct flow *to = &pipe->flows[pipe_other(side)], *back = &pipe->flows[side];
  flow_drop(to, pipe->shared);
  to->broken = true;
  if (!pipe->failure[side])
    pipe->failure[side] = (int16_t)status;
  if (status == -EPIPE || status == -ECONNRESET) {
    back->from->readiness |= STREAM_READABLE | STREAM_FAILED;
    return;
  }
  /* The peer is there, and may never end by itself: what failed is ours, or on the way. It is told at once. */
  flow_drop(back, pipe->shared);
  pipe->ends[side].finished = true;
}

/* Once, whichever flow comes to know it; what else happens is told to nobody. */
static void tell_failure(struct pipe *pipe, enum pipe_side side) {
  for (int from = PIPE_CLIENT; from <= PIPE_TARGET; from++)
    pipe->ends[from].finished = pipe->flows[from].broken = true;
  pipe->callbacks->on_failed(pipe->context, side, pipe->failure[side] ? pipe->failure[side] : -ECONNRESET);
}

/* A failure that no flow is left to come and tell: of a side that had ended already, or of both sides, one after the
 * other (what the first had sent has nowhere to go any more). */
static void tell_late_failure(struct pipe *pipe, enum pipe_side from) {
  enum pipe_side to = pipe_other(from);
  bool back_finished = pipe->ends[to].finished, back_broken = pipe->flows[to].broken;
  bool told = pipe->ends[from].finished && back_finished && back_broken;
  if (pipe->flows[from].broken && (back_finished || back_broken) && !told)
    tell_failure(pipe, back_finished ? to : from);
}

/* The source has ended, and broken since (a reset after its FIN, probes in vain): nobody is there to answer, and there
 * may be nothing to write that would tell. */
static void note_late_break(struct pipe *pipe, enum pipe_side from) {
  enum pipe_side to = pipe_other(from);
  if (!stream_is_broken(pipe_stream(pipe, from)) || pipe->ends[to].finished)
    return;
  if (!pipe->flows[to].broken)
    side_failed(pipe, from, -ECONNRESET);
  tell_late_failure(pipe, to);
}

/* The destination takes nothing more for now. Events tell of the source's end all the same, and nothing else would: it
 * stands behind bytes that may never be read. */
static void note_ending(struct pipe *pipe, enum pipe_side from) {
  struct flow *back = &pipe->flows[pipe_other(from)];
  struct pipe_end *end = &pipe->ends[from];
  const struct stream *source = pipe_stream(pipe, from);
  int failure = pipe->failure[from] ? pipe->failure[from] : stream_is_broken(source) ? -ECONNRESET : 0;
  if (failure && !end->failing) {
    end->failing = true;
    if (!pipe->ends[pipe_other(from)].finished) {
      flow_drop(back, pipe->shared);
      back->broken = true;
    }
  } else if (!failure && !end->ending && (source->readiness & STREAM_ENDED)) {
    end->ending = true;
  } else {
    return;
  }
  pipe->callbacks->on_ending(pipe->context, from, failure);
}

/* The end of `from` goes on to the other side, and to the user, who may stop the pipe. */
static void pass_end(struct pipe *pipe, enum pipe_side from) {
  struct flow *flow = &pipe->flows[from];
  pipe->ends[from].finished = true;
  flow_drop(flow, pipe->shared);
  if (!pipe->failure[from])
    pipe->failure[from] = flow->status;
  if (pipe->failure[from]) {
    tell_failure(pipe, from);
    return;
  }
  int status = stream_shutdown(flow->to);
  if (status != 0) {
    side_failed(pipe, pipe_other(from), status);
    return;
  }
  pipe->callbacks->on_ended(pipe->context, from);
  if (pipe_is_running(pipe))
    note_late_break(pipe, from);
}

/* True when there is more to do, but others come first. */
static bool pump_flow(struct pipe *pipe, enum pipe_side from) {
  struct flow *flow = &pipe->flows[from];
  if (pipe->ends[from].finished) {
    note_late_break(pipe, from);
    return false;
  }
  if (flow->broken) /* its bytes have nowhere to go, and its end is told by the other flow */
    return false;
  switch (flow_move(flow, pipe->shared, pipe->last_active)) {
  case FLOW_WAITS:
    return false;
  case FLOW_AGAIN:
    return true;
  case FLOW_FULL:
    note_ending(pipe, from);
    return false;
  case FLOW_BROKEN:
    side_failed(pipe, pipe_other(from), flow->status);
    return false;
  case FLOW_OVER:
    pass_end(pipe, from);
    return false;
  }
  return false;
}

/* Pumps both flows. After a callback nothing is touched of a pipe that was stopped. */
static void pipe_pump(struct pipe *pipe, enum pipe_side first) {
  bool again = false;
  for (int turn = 0; turn < 3; turn++) {
    enum pipe_side from = turn == 1 ? pipe_other(first) : first;
    /* A third turn only where writing to `first` has just failed: what it sent before is still to be read. */
    if (turn == 2 && !pipe->flows[pipe_other(first)].broken)
      break;
    again |= pump_flow(pipe, from);
    if (!pipe_is_running(pipe))
      return;
    if (pipe->flows[from].broken) {
      tell_late_failure(pipe, from);
      if (!pipe_is_running(pipe))
        return;
    }
  }
  if (again)
    loop_defer(pipe->shared->loop, &pipe->again);
}

static void on_ready(struct stream *stream, void *context) {
  struct pipe *pipe = context;
  pipe_pump(pipe, stream == pipe_stream(pipe, PIPE_CLIENT) ? PIPE_CLIENT : PIPE_TARGET);
  if (pipe->tells_events && pipe_is_running(pipe))
    pipe->callbacks->on_event(pipe->context);
}

static void on_again(struct deferred *deferred) {
  struct pipe *pipe = (struct pipe *)((char *)deferred - offsetof(struct pipe, again));
  pipe_pump(pipe, PIPE_CLIENT);
}

void pipe_start(struct pipe *pipe, struct flow_shared *shared, struct stream *client, struct stream *target,
                const struct pipe_callbacks *callbacks, void *context, clock_ms *last_active) {
  *pipe = (struct pipe){
      .shared = shared,
      .callbacks = callbacks,
      .context = context,
      .last_active = last_active,
      .again = {.run = on_again},
  };
  flow_begin(&pipe->flows[PIPE_CLIENT], client, target, FLOW_TO_THE_END);
  flow_begin(&pipe->flows[PIPE_TARGET], target, client, FLOW_TO_THE_END);
  client->on_ready = target->on_ready = on_ready;
  client->context = target->context = pipe;
  pipe_pump(pipe, PIPE_CLIENT);
}

void pipe_stop(struct pipe *pipe) {
  if (!pipe_is_running(pipe))
    return;
  flow_drop(&pipe->flows[PIPE_CLIENT], pipe->shared);
  flow_drop(&pipe->flows[PIPE_TARGET], pipe->shared);
  loop_undefer(pipe->shared->loop, &pipe->again);
  for (int side = PIPE_CLIENT; side <= PIPE_TARGET; side++) {
    struct stream *stream = pipe_stream(pipe, (enum pipe_side)side);
    stream->on_ready = NULL;
    stream->context = NULL;
  }
  pipe->shared = NULL;
}
