/* SPDX-License-Identifier: MIT
 *
 * Who accepts for a worker that is stuck: another one, until it goes on. Orders to that one, in pieces, and its
 * answers. Lives on the control thread. */
#pragma once

#include "core/list.h"

struct instance;
struct worker;

struct takeovers {
  struct instance *instance;
  struct list_node list;
};

void takeovers_init(struct takeovers *takeovers, struct instance *instance);

/* After the threads have ended. Nothing when zeroed. */
void takeovers_deinit(struct takeovers *takeovers);

/* Now and then while a worker is stuck: what could not be taken over, and what it has been left with since, is tried
 * again. That this fails again is not told again. */
void takeovers_retry(struct takeovers *takeovers);

/* A worker is stuck now (worker->stuck): another takes over what it listens on, and what it had taken over itself. */
void takeovers_begin(struct takeovers *takeovers);

/* It goes on: what was its own is handed back to it, and it takes over what nobody has. */
void takeovers_end(struct takeovers *takeovers, struct worker *owner);

/* The number of the worker that accepts on all that this one listens on; 0: nobody does, or not on all of it. */
unsigned takeovers_find(const struct takeovers *takeovers, const struct worker *owner);
