/* SPDX-License-Identifier: MIT
 *
 * A walk keeps a place in the list of connections; a connection that leaves the list moves the walks that stand on it.
 */
#include "connection/walk.h"

#include "connection/connection.h"

void connection_walk_begin(struct connection_walk *walk, struct worker *worker) {
  walk->next = worker->connections.next;
  list_init(&walk->node);
  list_add_tail(&worker->walks, &walk->node);
}

struct connection *connection_walk_next(struct connection_walk *walk, struct worker *worker) {
  if (walk->next == &worker->connections) {
    connection_walk_end(walk);
    return NULL;
  }
  struct connection *connection = LIST_OWNER(walk->next, struct connection, node);
  walk->next = walk->next->next;
  return connection;
}

void connection_walk_end(struct connection_walk *walk) { list_remove(&walk->node); }

void connection_walks_leave(struct worker *worker, const struct connection *connection) {
  LIST_FOREACH(node, &worker->walks) {
    struct connection_walk *walk = LIST_OWNER(node, struct connection_walk, node);
    if (walk->next == &connection->node)
      walk->next = connection->node.next;
  }
}
