/* SPDX-License-Identifier: MIT
 *
 * Moves the bytes. Readiness is latched in the streams, so a flow is pumped until its source is empty or its
 * destination full, and is pumped again when either stream has an event. */
#include "net/pipe.h"

#include "net/splice_pool.h"

#include <errno.h>
#include <stddef.h>

enum {
  ROUNDS = 16,        /* reads of one flow before others have their turn */
  BULK_EVIDENCE = 4,  /* full reads in a row that show a flow to be bulk */
  SMALL_EVIDENCE = 8, /* small ones in a row that show that it is not any more */
  SPLICE_SMALL = 16 * 1024,
  SPLICE_SIZE = 1024 * 1024, /* more than a pipe takes: its pieces are the limit */
};

/* What pumping a flow comes to. */
enum pumped {
  PUMP_WAITS, /* for an event */
  PUMP_AGAIN, /* there is more, but others come first */
  PUMP_OVER,  /* the flow has come to its end; a callback is due */
};

static void flow_drop(struct pipe *pipe, struct pipe_flow *flow) {
  buffer_free(flow->pending);
  flow->pending = NULL;
  if (flow->splice) {
    splice_pool_put(pipe->shared->pool, flow->splice, flow->spliced == 0);
    flow->splice = NULL;
    flow->spliced = 0;
  }
}

/* A write failed: what stood there for that side is lost. What it has sent before it failed may still be in its socket,
 * and goes on in the other direction; its end will be told as the failure that it is. */
static void destination_failed(struct pipe *pipe, enum pipe_side from, ssize_t status) {
  enum pipe_side to = pipe_other(from);
  flow_drop(pipe, &pipe->flows[from]);
  pipe->flows[from].broken = true;
  if (!pipe->failure[to])
    pipe->failure[to] = (int)status;
  if (status == -EPIPE || status == -ECONNRESET) {
    pipe->streams[to]->readiness |= STREAM_READABLE | STREAM_FAILED;
    return;
  }
  /* The peer is there, and may never end by itself: what failed is ours, or on the way. It is told at once. */
  flow_drop(pipe, &pipe->flows[to]);
  pipe->flows[to].finished = true;
}

static void source_ended(struct pipe *pipe, enum pipe_side from, ssize_t status) {
  pipe->flows[from].ended = true;
  if (status < 0 && !pipe->failure[from])
    pipe->failure[from] = (int)status;
}

/* Writes out what the flow holds. True when nothing is left. */
static bool flow_flush(struct pipe *pipe, enum pipe_side from) {
  struct pipe_flow *flow = &pipe->flows[from];
  struct stream *to = pipe->streams[pipe_other(from)];
  while (flow->pending || flow->spliced) {
    if (!(to->readiness & STREAM_WRITABLE))
      return false;
    ssize_t put;
    if (flow->spliced)
      put = stream_splice_out(to, flow->splice->read_fd, flow->spliced);
    else
      put = stream_write(to, buffer_bytes(flow->pending), buffer_size(flow->pending));
    if (put == STREAM_WANT_READ || put == STREAM_WANT_WRITE)
      return false;
    if (put < 0) {
      destination_failed(pipe, from, put);
      return true;
    }
    *pipe->last_active = loop_now(pipe->shared->loop);
    if (flow->spliced) {
      flow->spliced -= (uint32_t)put;
    } else {
      buffer_consume(flow->pending, (size_t)put);
      if (buffer_size(flow->pending) == 0) {
        buffer_free(flow->pending);
        flow->pending = NULL;
      }
    }
  }
  return true;
}

/* splice(2) never gets past urgent data. */
static bool may_splice(const struct stream *source) { return !source->unread && !(source->readiness & STREAM_URGENT); }

static void consider_splice(struct pipe *pipe, enum pipe_side from, size_t got) {
  struct pipe_flow *flow = &pipe->flows[from];
  if (flow->splice || flow->broken || !may_splice(pipe->streams[from]))
    return;
  flow->evidence = got == pipe->shared->size ? (uint8_t)(flow->evidence + 1) : 0;
  if (flow->evidence < BULK_EVIDENCE)
    return;
  flow->evidence = 0;
  if (pipe->shared->pool && pipe->streams[PIPE_CLIENT]->ops->is_plain && pipe->streams[PIPE_TARGET]->ops->is_plain)
    splice_pool_get(pipe->shared->pool, &flow->splice);
}

static void consider_copy(struct pipe *pipe, struct pipe_flow *flow, size_t got) {
  flow->evidence = got < SPLICE_SMALL ? (uint8_t)(flow->evidence + 1) : 0;
  if (flow->evidence < SMALL_EVIDENCE || flow->spliced)
    return;
  flow->evidence = 0;
  splice_pool_put(pipe->shared->pool, flow->splice, true);
  flow->splice = NULL;
}

/* One read and, as far as it can be, the write of what it brought. Returns the count, WANT, 0 or an error. */
static ssize_t flow_copy(struct pipe *pipe, enum pipe_side from) {
  struct pipe_flow *flow = &pipe->flows[from];
  struct stream *to = pipe->streams[pipe_other(from)];
  uint8_t *bytes = pipe->shared->bytes;
  ssize_t got = stream_read(pipe->streams[from], bytes, pipe->shared->size);
  if (got <= 0)
    return got;
  ssize_t put = 0;
  if (to->readiness & STREAM_WRITABLE) {
    put = stream_write(to, bytes, (size_t)got);
    if (put == STREAM_WANT_READ || put == STREAM_WANT_WRITE) {
      put = 0;
    } else if (put < 0) {
      destination_failed(pipe, from, put);
      return got;
    }
  }
  if (put < got) {
    flow->pending = buffer_new(bytes + put, (size_t)(got - put), 0);
    if (!flow->pending)
      destination_failed(pipe, from, -ENOMEM);
  }
  consider_splice(pipe, from, (size_t)got);
  return got;
}

static ssize_t flow_splice(struct pipe *pipe, enum pipe_side from) {
  struct pipe_flow *flow = &pipe->flows[from];
  ssize_t got = stream_splice_in(pipe->streams[from], flow->splice->write_fd, SPLICE_SIZE);
  if (got <= 0)
    return got;
  flow->spliced = (uint32_t)got;
  flow->splice->last_used = loop_now(pipe->shared->loop);
  flow_flush(pipe, from);
  if (flow->splice)
    consider_copy(pipe, flow, (size_t)got);
  return got;
}

/* Once, whichever flow comes to know it; what else happens is told to nobody. */
static void tell_failure(struct pipe *pipe, enum pipe_side side) {
  for (int from = PIPE_CLIENT; from <= PIPE_TARGET; from++)
    pipe->flows[from].finished = pipe->flows[from].broken = true;
  pipe->callbacks->on_failed(pipe->context, side, pipe->failure[side] ? pipe->failure[side] : -ECONNRESET);
}

/* A failure that no flow is left to come and tell: of a side that had ended already, or of both sides, one after the
 * other (what the first had sent has nowhere to go any more). */
static void tell_late_failure(struct pipe *pipe, enum pipe_side from) {
  const struct pipe_flow *flow = &pipe->flows[from], *back = &pipe->flows[pipe_other(from)];
  bool told = flow->finished && back->finished && back->broken;
  if (flow->broken && (back->finished || back->broken) && !told)
    tell_failure(pipe, back->finished ? pipe_other(from) : from);
}

/* The source has ended, and broken since (a reset after its FIN, probes in vain): nobody is there to answer, and there
 * may be nothing to write that would tell. */
static void note_late_break(struct pipe *pipe, enum pipe_side from) {
  const struct pipe_flow *back = &pipe->flows[pipe_other(from)];
  struct stream *source = pipe->streams[from];
  if (!stream_is_broken(source) || back->finished)
    return;
  if (!back->broken)
    destination_failed(pipe, pipe_other(from), -ECONNRESET);
  tell_late_failure(pipe, pipe_other(from));
}

/* The destination takes nothing more for now. Events tell of the source's end all the same, and nothing else would: it
 * stands behind bytes that may never be read. */
static void note_ending(struct pipe *pipe, enum pipe_side from) {
  struct pipe_flow *flow = &pipe->flows[from], *back = &pipe->flows[pipe_other(from)];
  const struct stream *source = pipe->streams[from];
  int failure = pipe->failure[from] ? pipe->failure[from] : stream_is_broken(source) ? -ECONNRESET : 0;
  if (failure && !flow->failing) {
    flow->failing = true;
    if (!back->finished) {
      flow_drop(pipe, back);
      back->broken = true;
    }
  } else if (!failure && !flow->ending && (flow->ended || (source->readiness & STREAM_ENDED))) {
    flow->ending = true;
  } else {
    return;
  }
  pipe->callbacks->on_ending(pipe->context, from, failure);
}

static enum pumped flow_pump(struct pipe *pipe, enum pipe_side from) {
  struct pipe_flow *flow = &pipe->flows[from];
  struct stream *source = pipe->streams[from];
  if (flow->finished) {
    note_late_break(pipe, from);
    return PUMP_WAITS;
  }
  for (int round = 0;; round++) {
    if (flow->broken) /* its bytes have nowhere to go, and its end is told by the other flow */
      return PUMP_WAITS;
    if (!flow_flush(pipe, from)) {
      note_ending(pipe, from);
      return PUMP_WAITS;
    }
    if (flow->broken)
      continue;
    if (flow->ended)
      return PUMP_OVER;
    if (!stream_may_read(source))
      return PUMP_WAITS;
    if (round == ROUNDS)
      return PUMP_AGAIN;
    ssize_t got = flow->splice && may_splice(source) ? flow_splice(pipe, from) : flow_copy(pipe, from);
    if (got > 0)
      *pipe->last_active = loop_now(pipe->shared->loop);
    else if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE)
      return PUMP_WAITS;
    else
      source_ended(pipe, from, got);
  }
}

/* The end of `from` goes on to the other side, and to the user, who may stop the pipe. */
static void flow_finish(struct pipe *pipe, enum pipe_side from) {
  pipe->flows[from].finished = true;
  flow_drop(pipe, &pipe->flows[from]);
  if (pipe->failure[from]) {
    tell_failure(pipe, from);
    return;
  }
  int status = stream_shutdown(pipe->streams[pipe_other(from)]);
  if (status != 0) {
    destination_failed(pipe, from, status);
    return;
  }
  pipe->callbacks->on_ended(pipe->context, from);
  if (pipe_is_running(pipe))
    note_late_break(pipe, from);
}

/* Pumps both flows. After a callback nothing is touched of a pipe that was stopped. */
static void pipe_pump(struct pipe *pipe, enum pipe_side first) {
  bool again = false;
  for (int turn = 0; turn < 3; turn++) {
    enum pipe_side from = turn == 1 ? pipe_other(first) : first;
    /* A third turn only where writing to `first` has just failed: what it sent before is still to be read. */
    if (turn == 2 && !pipe->flows[pipe_other(first)].broken)
      break;
    enum pumped pumped = flow_pump(pipe, from);
    again |= pumped == PUMP_AGAIN;
    if (pumped == PUMP_OVER)
      flow_finish(pipe, from);
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
  pipe_pump(pipe, stream == pipe->streams[PIPE_CLIENT] ? PIPE_CLIENT : PIPE_TARGET);
  if (pipe->tells_events && pipe_is_running(pipe))
    pipe->callbacks->on_event(pipe->context);
}

static void on_again(struct deferred *deferred) {
  struct pipe *pipe = (struct pipe *)((char *)deferred - offsetof(struct pipe, again));
  pipe_pump(pipe, PIPE_CLIENT);
}

void pipe_start(struct pipe *pipe, struct pipe_shared *shared, struct stream *client, struct stream *target,
                const struct pipe_callbacks *callbacks, void *context, clock_ms *last_active) {
  *pipe = (struct pipe){
      .shared = shared,
      .streams = {client, target},
      .callbacks = callbacks,
      .context = context,
      .last_active = last_active,
      .again = {.run = on_again},
  };
  client->on_ready = target->on_ready = on_ready;
  client->context = target->context = pipe;
  pipe_pump(pipe, PIPE_CLIENT);
}

void pipe_stop(struct pipe *pipe) {
  if (!pipe_is_running(pipe))
    return;
  flow_drop(pipe, &pipe->flows[PIPE_CLIENT]);
  flow_drop(pipe, &pipe->flows[PIPE_TARGET]);
  loop_undefer(pipe->shared->loop, &pipe->again);
  for (int side = PIPE_CLIENT; side <= PIPE_TARGET; side++) {
    pipe->streams[side]->on_ready = NULL;
    pipe->streams[side]->context = NULL;
  }
  pipe->shared = NULL;
}
