/* SPDX-License-Identifier: MIT
 *
 * Going through a worker's connections in pieces, with other events in between, while connections come and go: each
 * that is there from start to end is met once. */
#pragma once

#include "core/list.h"

#include <stddef.h>

struct connection;
struct worker;

/* Embedded; all of it on the worker's thread. */
struct connection_walk {
  struct list_node node; /* in worker->walks, while under way */
  struct list_node *next;
};

/* Begins with the oldest connection. It is under way until connection_walk_next() has returned NULL, or
 * connection_walk_end(). */
void connection_walk_begin(struct connection_walk *walk, struct worker *worker);

/* The next one, which stays valid until the caller returns to its loop; NULL: there is none, and the walk is over. */
struct connection *connection_walk_next(struct connection_walk *walk, struct worker *worker);

/* Ends it early; nothing when it is over. */
void connection_walk_end(struct connection_walk *walk);

/* From the close: the connection is about to leave the worker's list. */
void connection_walks_leave(struct worker *worker, const struct connection *connection);
