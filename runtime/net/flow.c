/* SPDX-License-Identifier: MIT
 *
 * Moves the bytes. Readiness is latched in the streams, so a flow is moved until its source is empty or its destination
 * full, and again when either stream has an event. */
#include "net/flow.h"

#include "net/splice_pool.h"

#include <errno.h>
#include <unistd.h>

enum {
  ROUNDS = 16,        /* reads of one flow before others have their turn */
  BULK_EVIDENCE = 4,  /* full reads in a row that show a flow to be bulk */
  SMALL_EVIDENCE = 8, /* small ones in a row that show that it is not any more */
  SPLICE_SMALL = 16 * 1024,
  SPLICE_SIZE = 1024 * 1024, /* more than a pipe takes: its pieces are the limit */
};

static void release_splice(struct flow *flow, const struct flow_shared *shared) {
  splice_pool_put(shared->pool, flow->splice, flow->spliced == 0);
  flow->splice = NULL;
  flow->spliced = 0;
}

void flow_drop(struct flow *flow, const struct flow_shared *shared) {
  buffer_free(flow->pending);
  flow->pending = NULL;
  if (flow->splice)
    release_splice(flow, shared);
}

/* Out of the kernel pipe again. 0 or a negative errno. */
static int unsplice(struct flow *flow) {
  uint8_t *bytes = buffer_reserve(&flow->pending, flow->spliced);
  if (!bytes)
    return -ENOMEM;
  while (flow->spliced > 0) {
    ssize_t got = read(flow->splice->read_fd, bytes, flow->spliced);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got < 0 ? -errno : -EIO;
    buffer_commit(flow->pending, (size_t)got);
    bytes += got;
    flow->spliced -= (uint32_t)got;
  }
  return 0;
}

int flow_give_back(struct flow *flow, const struct flow_shared *shared, struct buffer **front) {
  size_t held = flow_held(flow);
  int status = flow->spliced > 0 ? unsplice(flow) : 0;
  if (status == 0 && held > 0)
    status = buffer_prepend(front, buffer_bytes(flow->pending), held);
  flow->left += held;
  flow_drop(flow, shared);
  return status;
}

/* What it holds stays: it may be given back. */
static void destination_failed(struct flow *flow, ssize_t status) {
  flow->broken = true;
  if (!flow->status)
    flow->status = (int16_t)status;
}

static inline bool holds_bytes(const struct flow *flow) { return flow->pending || flow->spliced; }

/* Writes out what the flow holds. True when nothing is left. */
static bool flow_flush(struct flow *flow, const struct flow_shared *shared, clock_ms *last_active) {
  while (holds_bytes(flow)) {
    if (!(flow->to->readiness & STREAM_WRITABLE))
      return false;
    ssize_t put;
    if (flow->spliced)
      put = stream_splice_out(flow->to, flow->splice->read_fd, flow->spliced);
    else
      put = stream_write(flow->to, buffer_bytes(flow->pending), buffer_size(flow->pending));
    if (put == STREAM_WANT_READ || put == STREAM_WANT_WRITE)
      return false;
    if (put < 0) {
      destination_failed(flow, put);
      return false;
    }
    *last_active = loop_now(shared->loop);
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

static void consider_splice(struct flow *flow, const struct flow_shared *shared, size_t got) {
  if (flow->splice || flow->broken || !may_splice(flow->from))
    return;
  flow->evidence = got == shared->size ? (uint8_t)(flow->evidence + 1) : 0;
  if (flow->evidence < BULK_EVIDENCE)
    return;
  flow->evidence = 0;
  if (shared->pool && flow->from->ops->is_plain && flow->to->ops->is_plain)
    splice_pool_get(shared->pool, &flow->splice);
}

static void consider_copy(struct flow *flow, const struct flow_shared *shared, size_t got) {
  flow->evidence = got < SPLICE_SMALL ? (uint8_t)(flow->evidence + 1) : 0;
  if (flow->evidence < SMALL_EVIDENCE || flow->spliced)
    return;
  flow->evidence = 0;
  release_splice(flow, shared);
}

static inline void count_read(struct flow *flow, size_t got) {
  flow->left -= got;
  if (flow->left == 0)
    flow->ended = true;
}

/* Writes what was read as far as it can be, and keeps the rest. */
static inline void write_or_hold(struct flow *flow, const uint8_t *bytes, size_t size) {
  size_t put = 0;
  if (flow->to->readiness & STREAM_WRITABLE) {
    ssize_t taken = stream_write(flow->to, bytes, size);
    if (taken >= 0)
      put = (size_t)taken;
    else if (taken != STREAM_WANT_READ && taken != STREAM_WANT_WRITE)
      destination_failed(flow, taken);
  }
  if (put < size) {
    flow->pending = buffer_new(bytes + put, size - put, 0);
    if (!flow->pending) {
      flow->left += size - put;
      destination_failed(flow, -ENOMEM);
    }
  }
}

size_t flow_pass(struct flow *flow, const void *bytes, size_t size) {
  size_t taken = size < flow->left ? size : (size_t)flow->left;
  if (taken > 0) {
    count_read(flow, taken);
    write_or_hold(flow, bytes, taken);
  }
  return taken;
}

/* One read and, as far as it can be, the write of what it brought. Returns the count, WANT, 0 or an error. */
static ssize_t flow_copy(struct flow *flow, const struct flow_shared *shared) {
  size_t most = shared->size < flow->left ? shared->size : (size_t)flow->left;
  ssize_t got = stream_read(flow->from, shared->bytes, most);
  if (got <= 0)
    return got;
  count_read(flow, (size_t)got);
  write_or_hold(flow, shared->bytes, (size_t)got);
  consider_splice(flow, shared, (size_t)got);
  return got;
}

static ssize_t flow_splice(struct flow *flow, const struct flow_shared *shared, clock_ms *last_active) {
  size_t most = SPLICE_SIZE < flow->left ? SPLICE_SIZE : (size_t)flow->left;
  ssize_t got = stream_splice_in(flow->from, flow->splice->write_fd, most);
  if (got <= 0)
    return got;
  count_read(flow, (size_t)got);
  flow->spliced = (uint32_t)got;
  flow->splice->last_used = loop_now(shared->loop);
  flow_flush(flow, shared, last_active);
  if (flow->splice && !flow->broken)
    consider_copy(flow, shared, (size_t)got);
  return got;
}

enum flow_result flow_move(struct flow *flow, const struct flow_shared *shared, clock_ms *last_active) {
  for (int round = 0;; round++) {
    if (flow->broken)
      return FLOW_BROKEN;
    if (holds_bytes(flow) && !flow_flush(flow, shared, last_active))
      return flow->broken ? FLOW_BROKEN : FLOW_FULL;
    if (flow->ended)
      return FLOW_OVER;
    if (!stream_may_read(flow->from))
      return FLOW_WAITS;
    if (round == ROUNDS)
      return FLOW_AGAIN;
    ssize_t got =
        flow->splice && may_splice(flow->from) ? flow_splice(flow, shared, last_active) : flow_copy(flow, shared);
    if (got > 0) {
      *last_active = loop_now(shared->loop);
    } else if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE) {
      return FLOW_WAITS;
    } else {
      flow->ended = true;
      flow->status = (int16_t)got;
    }
  }
}
