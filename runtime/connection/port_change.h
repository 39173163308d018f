/* SPDX-License-Identifier: MIT
 *
 * What another table changes of the ports: which stay, which go, which are new. Found out, and the new ones opened,
 * beside the workers, on a thread that may take its time: with thousands of ports that takes longer than a client
 * should wait. */
#pragma once

#include "core/error.h"
#include "core/pace.h"
#include "routing/table.h"

#include <stddef.h>
#include <stdint.h>

struct worker;
struct worker_port;

#define PORT_IS_NEW UINT32_MAX

/* A port of the table that can't be opened, and why. */
struct port_failure {
  uint32_t place;
  struct error error;
};

struct port_change {
  const struct route_table *before, *table; /* their user's; there may be none before */
  uint32_t *was;                            /* for each of its ports: the place in the table before, or PORT_IS_NEW */
  uint32_t *added, *gone;                   /* places in the table, and in the table before */
  size_t added_count, gone_count;
  struct worker_port ***opened; /* for each worker those that are new; NULL once the worker has taken them */
  unsigned first_worker;        /* its number */
  size_t worker_count;
  struct port_failure *failures;
  size_t failure_count, failure_room;
};

/* Nothing is opened yet. `before` NULL: all are new. NULL without memory. Any thread; both tables outlive it. */
struct port_change *port_change_new(const struct route_table *before, const struct route_table *table);

/* Notes a failure. 0 or -ENOMEM. */
int port_change_fail(struct port_change *change, uint32_t place, const struct error *error);

/* Looks whether somebody else has the new ports; we ourselves, by the table before, are in nobody's way. All that fail
 * are noted. 0 or -ENOMEM. Any thread. */
int port_change_probe(struct port_change *change, struct pace *pace);

/* Opens the new ports for workers that stand one after the other, the first one's first: the others take the numbers
 * that the kernel gave it. Clients wait in the queues until a worker takes the port up. `before` are the real numbers
 * of the table before, `resolved` has room for the table's. All that fail are noted. 0, or a negative errno and `error`
 * when they don't fail by themselves: no memory, no descriptors. Any thread; it touches nothing of the workers but what
 * never changes. */
int port_change_open(struct port_change *change, struct worker *const *workers, size_t count, const uint16_t *before,
                     uint16_t *resolved, struct pace *pace, struct error *error);

/* Closes what no worker has taken: who waits there is reset. Any thread. NULL is nothing. */
void port_change_free(struct port_change *change);
