/* SPDX-License-Identifier: MIT
 *
 * The listeners of a worker: opened and closed by the difference between two tables, so that a port that stays is not
 * touched. */
#include "connection/connection_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_accept(void *context, int fd, const struct sockaddr *peer, socklen_t length) {
  struct worker_port *port = context;
  (void)length;
  connection_accept(port->worker, port->table_port, port->port, fd, peer);
}

static void on_refused(void *context, int status) {
  const struct worker_port *port = context;
  struct worker *worker = port->worker;
  uint64_t suppressed;
  bool memory = status == -ENOMEM || status == -ENOBUFS;
  worker->metrics->worker.errors[memory ? ERROR_MEMORY : ERROR_DESCRIPTORS]++;
  if (!log_limit_pass(&worker->refused_log, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_ERROR, "a connection was refused", LOG_INTEGER("port", port->port),
      LOG_STRING("error",
                 memory ? "no memory left" : "no file descriptor left; raise the limit (ulimit -n, LimitNOFILE=)"),
      LOG_INTEGER("not_logged_before", suppressed));
}

static const struct listener_callbacks callbacks = {.on_accept = on_accept, .on_refused = on_refused};

static struct worker_port *port_open(struct worker *worker, const struct table_port *table_port, uint16_t number,
                                     struct error *error) {
  struct worker_port *port = calloc(1, sizeof *port);
  if (!port) {
    error_set(error, ENOMEM, "no memory to open a port");
    return NULL;
  }
  struct endpoint endpoint = table_port->endpoint;
  if (table_port->port == 0)
    endpoint_set_port(&endpoint, number);
  *port = (struct worker_port){.worker = worker, .table_port = table_port};
  port->listener = listener_open(&worker->loop, &endpoint, &worker->settings->tcp, &callbacks, port, error);
  if (!port->listener) {
    free(port);
    return NULL;
  }
  port->port = endpoint_port(listener_endpoint(port->listener));
  return port;
}

static void port_close(struct worker_port *port) {
  listener_close(port->listener);
  free(port);
}

/* The port that is open for what `wanted` asks for. One that the kernel gave belongs to the route that asked for it. */
static bool serves(const struct table_port *open, const struct table_port *wanted) {
  if (open->port != wanted->port || open->endpoint.length != wanted->endpoint.length ||
      memcmp(&open->endpoint.storage, &wanted->endpoint.storage, open->endpoint.length) != 0)
    return false;
  return open->port != 0 || strcmp(open->routes[0]->name, wanted->routes[0]->name) == 0;
}

static struct worker_port *find_open(struct worker *worker, const struct table_port *wanted) {
  for (size_t i = 0; i < worker->port_count; i++)
    if (serves(worker->ports[i]->table_port, wanted))
      return worker->ports[i];
  return NULL;
}

/* Fills `ports` for the table: those that are open already, and new ones. On failure the new ones are closed again. */
static int open_ports(struct worker *worker, struct route_table *table, struct worker_port **ports, uint16_t *resolved,
                      struct error *error) {
  for (size_t i = 0; i < table->port_count; i++) {
    ports[i] = find_open(worker, &table->ports[i]);
    if (!ports[i])
      ports[i] = port_open(worker, &table->ports[i], resolved ? resolved[i] : 0, error);
    if (!ports[i]) {
      while (i-- > 0)
        if (ports[i]->table_port == &table->ports[i])
          port_close(ports[i]);
      return error && error->code ? -error->code : -EADDRINUSE;
    }
    if (resolved)
      resolved[i] = ports[i]->port;
  }
  return 0;
}

int worker_set_table(struct worker *worker, struct route_table *table, uint16_t *resolved, struct error *error) {
  struct worker_port **ports = calloc(table->port_count + 1, sizeof(struct worker_port *));
  if (!ports)
    return error_set(error, ENOMEM, "no memory for the ports");
  int status = open_ports(worker, table, ports, resolved, error);
  if (status) {
    free(ports);
    return status;
  }
  struct worker_port **old = worker->ports;
  size_t old_count = worker->port_count;
  for (size_t i = 0; i < table->port_count; i++) {
    for (size_t o = 0; o < old_count; o++)
      if (old[o] == ports[i])
        old[o] = NULL;
  }
  /* What waits in a closing port's queue is accepted now, under the old table. */
  for (size_t o = 0; o < old_count; o++)
    if (old[o])
      port_close(old[o]);
  free(old);
  struct route_table *previous = worker->table;
  worker->ports = ports;
  worker->port_count = table->port_count;
  for (size_t i = 0; i < table->port_count; i++)
    ports[i]->table_port = &table->ports[i];
  worker->table = route_table_ref(table);
  route_table_unref(previous);
  return 0;
}

void worker_close_ports(struct worker *worker) {
  for (size_t i = 0; i < worker->port_count; i++)
    port_close(worker->ports[i]);
  free(worker->ports);
  worker->ports = NULL;
  worker->port_count = 0;
}
