/* SPDX-License-Identifier: MIT
 *
 * What a data plane is to the corridor: a step that takes an admitted exchange with its route to a target, and its
 * bytes from then on. One file an engine. */
#pragma once

#include "connection/step.h"

#include <stdbool.h>

struct exchange;

struct engine_ops {
  const char *name;
  /* A step of the corridor: is resumed until it is DONE, when the bytes move and only events follow. */
  enum step_result (*run)(struct exchange *exchange);
  /* Lets go of what is under way (dial, pipe, target); the exchange is closing. `reset`: the target is not to take it
   * for an end. With exchange->reset_target its stream stays open: who closes sees to it. */
  void (*cancel)(struct exchange *exchange, bool reset);
};

extern const struct engine_ops userspace_engine;
