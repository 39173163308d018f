/* SPDX-License-Identifier: MIT
 *
 * Which connections there are: each worker goes through its own in pieces, between two of its events, and sends what
 * was asked for to the control thread, where it is sorted and told; or ends what was asked for, and sends how many. A
 * worker that does not answer in time is left out, and the answer says so. */
#pragma once

#include "core/list.h"
#include "core/loop.h"
#include "metrics/shard.h"
#include "native/native.h"

#include <stddef.h>

struct worker;
struct instance;

enum {
  CONNECTIONS_PIECE = 128,     /* that a worker looks at before its next events: well under a tenth of a millisecond */
  CONNECTIONS_KILL_PIECE = 16, /* … and that it ends, which takes a few calls of the system each */
  CONNECTIONS_MAX_IDS = 1024,  /* of a question */
  CONNECTIONS_PATIENCE_MS = 3000,
  CONNECTIONS_MAX_ROUNDS = 16 /* questions at a time */
};

/* The questions that are under way. */
struct connections {
  struct instance *instance;
  struct list_node rounds;
  size_t count; /* of those that are not answered: the rest are answered, and have a part that is still a worker's */
};

void connections_init(struct connections *connections, struct instance *instance);

/* Answers who waits. After the workers' threads have ended and the loop's messages are delivered. Nothing when it is
 * zeroed. */
void connections_deinit(struct connections *connections);

/* Makes the answer of what the workers sent; NULL without memory. */
struct connections_round;
typedef struct value *connections_report_fn(const struct connections_round *round);

/* The connections that are meant, for an answer of another kind: with a sample of each worker. */
void connections_ask_for(struct connections *connections, const struct native_connections *wanted,
                         struct native_call *call, connections_report_fn *report);

/* See native_ops.connections. `wanted` is copied. */
void connections_ask(struct connections *connections, const struct native_connections *wanted,
                     struct native_call *call);

/* One worker as a whole: its counters, what it holds, and how late it is, since the sample is taken when it has come
 * to the message that asks for it. */
struct worker_sample {
  struct worker_stats stats;
  uint64_t lag_ns; /* from asking to being answered */
  size_t open;     /* connections */
  unsigned pipes;  /* of the kernel, for splicing */
  size_t script_memory, script_states;
};

/* On the worker's thread; `asked_ns` is clock_ns() when it was asked. `whole`: also what takes a moment to add up, the
 * memory of its Lua states. */
void worker_sample_take(struct worker_sample *sample, const struct worker *worker, uint64_t asked_ns, bool whole);
