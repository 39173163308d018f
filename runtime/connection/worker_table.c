/* SPDX-License-Identifier: MIT
 *
 * The route table of a worker: changing it in two steps (so that all workers change or none), and how long an old one
 * stays. Whoever may still ask a function of a table's routes pins it; pins are counted by the worker alone, without
 * atomics. */
#include "connection/connection_private.h"

#include <assert.h>
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

static void set_change(struct worker *worker, struct table_change *change) {
  pthread_mutex_lock(&worker->ports_lock);
  worker->change = change;
  pthread_mutex_unlock(&worker->ports_lock);
}

int worker_prepare_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error) {
  assert(!worker->change);
  worker->failed_port = SIZE_MAX;
  struct table_change *change = calloc(1, sizeof *change);
  if (!change)
    return error_set(error, ENOMEM, "no memory for the route table");
  change->ports = calloc(table->port_count + 1, sizeof(struct worker_port *));
  change->pin = change->ports ? pin_new(worker, table) : NULL;
  int status = change->pin ? worker_open_ports(worker, change, resolved, error)
                           : error_set(error, ENOMEM, "no memory for the route table");
  if (status == 0) {
    set_change(worker, change);
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
  set_change(worker, NULL);
  worker_close_new_ports(worker, change);
  table_pin_unref(worker, change->pin);
  change_free(change);
}

/* Goes on by a record that the current table does not have, or as on_change says. */
static void ride(struct connection *connection) {
  struct route *route = connection->exchange.route;
  connection->rides = true;
  connection->worker->metrics->worker.riders++;
  if (route->on_change == ROUTE_CLOSE)
    connection_close(connection, PIPE_CLIENT, CLOSE_CHANGED);
  else if (route->on_change == ROUTE_DRAIN)
    connection_drain(connection);
}

void worker_treat_late(struct worker *worker, struct connection *connection) {
  if (connection->pin != worker->pin && !route_table_has(worker->pin->table, connection->exchange.route))
    ride(connection);
}

/* Connections of routes that have changed or gone go on with the record that they have, or as on_change says. */
static void treat_riders(struct worker *worker) {
  const struct route *known = NULL; /* the last that the table has: connections of one route often follow each other */
  worker->metrics->worker.riders = 0;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    struct route *route = connection->exchange.route;
    connection->rides = false;
    if (!route || route == known || connection->state >= CONNECTION_CLOSING)
      continue;
    if (route_table_has(worker->pin->table, route)) {
      known = route;
      continue;
    }
    ride(connection);
  }
}

void worker_commit_table(struct worker *worker) {
  struct table_change *change = worker->change;
  struct table_pin *old = worker->pin;
  set_change(worker, NULL);
  worker_take_ports(worker, change);
  worker->pin = change->pin;
  change_free(change);
  if (worker->hooks->table_live)
    worker->hooks->table_live(worker, worker->pin->table);
  treat_riders(worker);
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
