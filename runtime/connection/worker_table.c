/* SPDX-License-Identifier: MIT
 *
 * The route table of a worker: changing it in two steps (so that all workers change or none), and how long an old one
 * stays. Whoever may still ask a function of a table's routes pins it; pins are counted by the worker alone, without
 * atomics. */
#include "connection/connection_private.h"
#include "connection/port_change.h"
#include "routing/policy.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
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

int worker_prepare_table(struct worker *worker, struct route_table *table, struct port_change *ports,
                         struct error *error) {
  assert(!worker->change);
  struct table_change *change = calloc(1, sizeof *change);
  if (!change)
    return error_set(error, ENOMEM, "no memory for the route table");
  change->ports = calloc(table->port_count + 1, sizeof(struct worker_port *));
  change->pin = change->ports ? pin_new(worker, table) : NULL;
  if (!change->pin) {
    change_free(change);
    return error_set(error, ENOMEM, "no memory for the route table");
  }
  worker_collect_ports(worker, change, ports);
  set_change(worker, change);
  return 0;
}

void worker_abort_table(struct worker *worker) {
  struct table_change *change = worker->change;
  if (!change)
    return;
  if (change->committed) {
    worker_go_on_committing(worker, UINT_MAX);
    return;
  }
  set_change(worker, NULL);
  worker_discard_ports(change);
  table_pin_unref(worker, change->pin);
  change_free(change);
}

/* Goes on by a record that the current table does not have, or as on_change says; what the config has changed for it
 * holds for later ones. */
static void mark_old_connection(struct exchange *exchange) {
  struct route *route = exchange->route;
  exchange->on_old_table = true;
  exchange_worker(exchange)->metrics->worker.old_connections++;
  if (route->on_change == ROUTE_KEEP || route_table_has_heir(exchange_worker(exchange)->pin->table, route))
    return;
  if (route->on_change == ROUTE_CLOSE)
    exchange_close(exchange, PIPE_CLIENT, CLOSE_CHANGED);
  else if (route->on_change == ROUTE_DRAIN)
    exchange_drain(exchange);
}

void worker_treat_late(struct exchange *exchange) {
  const struct worker *worker = exchange_worker(exchange);
  if (exchange->pin != worker->pin && !route_table_has(worker->pin->table, exchange->route))
    mark_old_connection(exchange);
}

/* An exchange of a route that has changed or gone goes on with the record that it has, or as on_change says. `known` is
 * the last route that the table has: connections of one often follow each other. */
static void treat_old(const struct worker *worker, struct exchange *exchange, const struct route **known) {
  const struct route *route = exchange->route;
  exchange->on_old_table = false;
  if (!route || route == *known || exchange->state == EXCHANGE_OVER)
    return;
  if (route_table_has(worker->pin->table, route))
    *known = route;
  else
    mark_old_connection(exchange);
}

static void mark_old_connections(struct worker *worker) {
  const struct route *known = NULL;
  worker->metrics->worker.old_connections = 0;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    LIST_FOREACH(mine, &connection->exchanges) {
      treat_old(worker, LIST_OWNER(mine, struct exchange, node), &known);
      if (connection->state >= CONNECTION_CLOSING)
        break;
    }
  }
}

static void bound_clients(struct worker *worker) {
  const struct policy *policy = worker->pin->table->policy;
  if (policy)
    clients_set_bounds(&worker->metrics->clients, policy->track_ips ? policy->top_ips : 0, policy->ipv6_prefix);
}

static void go_live(struct worker *worker, struct table_change *change) {
  struct table_pin *old = worker->pin;
  worker_take_ports(worker, change);
  worker->pin = change->pin;
  bound_clients(worker);
  if (worker->hooks->table_live)
    worker->hooks->table_live(worker, worker->pin->table);
  if (old)
    codec_move_all(worker, old->table); /* before an exchange ends, whose codec may begin another */
  mark_old_connections(worker);
  table_pin_unref(worker, old);
}

/* What waits in the queues of ports that go is accepted under the old table: so they are closed before it goes. */
bool worker_go_on_committing(struct worker *worker, unsigned most) {
  struct table_change *change = worker->change;
  if (!change->live) {
    if (!worker_close_gone_ports(worker, change, most))
      return false;
    go_live(worker, change);
    if (most != UINT_MAX && change->change->added_count > 0)
      return false; /* that was a piece by itself */
  }
  if (!worker_start_new_ports(worker, change, most))
    return false;
  set_change(worker, NULL);
  if (change->on_committed)
    change->on_committed(worker, change->context);
  change_free(change);
  return true;
}

void worker_commit_table(struct worker *worker, void (*on_committed)(struct worker *, void *), void *context) {
  worker->change->committed = true;
  worker->change->on_committed = on_committed;
  worker->change->context = context;
  worker_do_piece(&worker->piece);
}

int worker_set_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error) {
  struct route_table *before = worker->pin ? worker->pin->table : NULL;
  struct port_change *ports = port_change_new(before, table);
  uint16_t *numbers = calloc((before ? before->port_count : 0) + 1, sizeof *numbers);
  uint16_t *own = resolved ? NULL : calloc(table->port_count + 1, sizeof *own);
  int status = ports && numbers && (resolved || own) ? 0 : error_set(error, ENOMEM, "no memory for the route table");
  for (size_t i = 0; numbers && i < worker->port_count; i++)
    numbers[i] = worker->ports[i]->port;
  if (status == 0)
    status = port_change_open(ports, &worker, 1, numbers, resolved ? resolved : own, NULL, error);
  if (status == 0 && ports->failure_count > 0) {
    *error = ports->failures[0].error;
    status = error->code ? -error->code : -EADDRINUSE;
  }
  if (status == 0)
    status = worker_prepare_table(worker, table, ports, error);
  if (status == 0) {
    worker->change->committed = true;
    worker_go_on_committing(worker, UINT_MAX);
  }
  port_change_free(ports);
  free(numbers);
  free(own);
  return status;
}

void worker_release_table(struct worker *worker) {
  worker_abort_table(worker);
  table_pin_unref(worker, worker->pin);
  worker->pin = NULL;
}
