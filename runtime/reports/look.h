/* SPDX-License-Identifier: MIT
 *
 * A look at one worker as a whole: its counters, what it holds, and how late it is, since the look is taken when it has
 * come to the message that asks for it. */
#pragma once

#include "metrics/shard.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct worker_look {
  struct worker_stats stats;
  uint64_t lag_ns; /* from asking to being answered */
  size_t open;     /* connections */
  unsigned pipes;  /* of the kernel, for splicing */
  size_t script_memory, script_states;
};

/* On the worker's thread; `asked_ns` is clock_ns() when it was asked. `whole`: also what takes a moment to add up, the
 * memory of its Lua states. */
void worker_look_take(struct worker_look *look, const struct worker *worker, uint64_t asked_ns, bool whole);
