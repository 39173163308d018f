/* SPDX-License-Identifier: MIT
 *
 * The route table of a worker: changing it in two steps (so that all workers change or none), and how long an old one
 * stays. Whoever may still ask a function of a table's routes pins it; pins are counted by the worker alone, without
 * atomics. */
#include "connection/connection_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct table_pin *table_pin_ref(struct table_pin *pin) {
  pin->users++;
  return pin;
}

void table_pin_unref(struct worker *worker, struct table_pin *pin) {
  if (!pin || --pin->users > 0)
    return;
  worker->hooks->table_released(worker, pin->table);
  route_table_unref(pin->table);
  free(pin);
}

static struct table_pin *pin_new(struct worker *worker, struct route_table *table) {
  struct table_pin *pin = calloc(1, sizeof *pin);
  if (!pin)
    return NULL;
  if (worker->hooks->table_adopted(worker, table) != 0) {
    free(pin);
    return NULL;
  }
  *pin = (struct table_pin){.table = route_table_ref(table), .users = 1};
  return pin;
}

static void change_free(struct table_change *change) {
  free(change->ports);
  free(change);
}

int worker_prepare_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error) {
  struct table_change *change = calloc(1, sizeof *change);
  if (!change)
    return error_set(error, ENOMEM, "no memory for the route table");
  change->ports = calloc(table->port_count + 1, sizeof(struct worker_port *));
  change->pin = change->ports ? pin_new(worker, table) : NULL;
  int status = change->pin ? worker_open_ports(worker, change, resolved, error)
                           : error_set(error, ENOMEM, "no memory for the route table");
  if (status == 0) {
    worker->change = change;
    return 0;
  }
  table_pin_unref(worker, change->pin);
  change_free(change);
  return status;
}

void worker_abort_table(struct worker *worker) {
  struct table_change *change = worker->change;
  if (!change)
    return;
  worker->change = NULL;
  worker_close_new_ports(worker, change);
  table_pin_unref(worker, change->pin);
  change_free(change);
}

static int compare_pointers(const void *left, const void *right) {
  const struct route *a = *(struct route *const *)left, *b = *(struct route *const *)right;
  return a < b ? -1 : a > b;
}

/* The records of `old` that `table` does not have any more, and whose connections are not to be kept; sorted. */
static size_t find_gone(const struct route_table *old, const struct route_table *table, struct route **gone) {
  struct route **present = malloc((table->route_count + 1) * sizeof(struct route *));
  size_t count = 0;
  if (!present)
    return 0;
  memcpy(present, table->routes, table->route_count * sizeof(struct route *));
  qsort(present, table->route_count, sizeof(struct route *), compare_pointers);
  for (size_t i = 0; i < old->route_count; i++)
    if (old->routes[i]->on_change != ROUTE_KEEP &&
        !bsearch(&old->routes[i], present, table->route_count, sizeof(struct route *), compare_pointers))
      gone[count++] = old->routes[i];
  free(present);
  qsort(gone, count, sizeof(struct route *), compare_pointers);
  return count;
}

static void end_changed(struct worker *worker, const struct route_table *old, const struct route_table *table) {
  struct route **gone = malloc((old->route_count + 1) * sizeof(struct route *));
  size_t count = gone ? find_gone(old, table, gone) : 0;
  if (count > 0) {
    LIST_FOREACH(node, &worker->connections) {
      struct connection *connection = LIST_OWNER(node, struct connection, node);
      struct route *route = connection->exchange.route;
      if (!route || !bsearch(&route, gone, count, sizeof(struct route *), compare_pointers))
        continue;
      if (route->on_change == ROUTE_CLOSE)
        connection_close(connection, PIPE_CLIENT, CLOSE_CHANGED);
      else
        connection_drain(connection);
    }
  }
  free(gone);
}

void worker_commit_table(struct worker *worker) {
  struct table_change *change = worker->change;
  struct table_pin *old = worker->pin;
  worker->change = NULL;
  worker_take_ports(worker, change);
  worker->pin = change->pin;
  change_free(change);
  if (!old)
    return;
  end_changed(worker, old->table, worker->pin->table);
  table_pin_unref(worker, old);
}

int worker_set_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error) {
  int status = worker_prepare_table(worker, table, resolved, error);
  if (status == 0)
    worker_commit_table(worker);
  return status;
}

void worker_release_table(struct worker *worker) {
  worker_abort_table(worker);
  table_pin_unref(worker, worker->pin);
  worker->pin = NULL;
}
