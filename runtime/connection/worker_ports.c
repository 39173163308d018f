/* SPDX-License-Identifier: MIT
 *
 * The listeners of a worker: opened and closed by the difference between two tables, so that a port that stays is not
 * touched. */
#include "connection/admission.h"
#include "connection/connection_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint16_t worker_port_number(const struct worker_port *port) {
  bool is_other = port->worker->settings->any_ports && port->table_port->port != 0;
  return is_other ? port->table_port->port : port->port;
}

static void on_refused(void *context, int status) {
  const struct worker_port *port = context;
  struct worker *worker = port->worker;
  uint64_t suppressed;
  bool memory = status == -ENOMEM || status == -ENOBUFS;
  worker->metrics->worker.errors[memory ? ERROR_MEMORY : ERROR_DESCRIPTORS]++;
  if (!memory)
    admission_reclaim(worker);
  if (!log_limit_pass(&worker->refused_log, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_ERROR, "a connection was refused", LOG_INTEGER("port", port->port),
      LOG_STRING("error",
                 memory ? "no memory left" : "no file descriptor left; raise the limit (ulimit -n, LimitNOFILE=)"),
      LOG_INTEGER("not_logged_before", suppressed));
}

static void on_accept(void *context, int fd, const struct sockaddr *peer, socklen_t length) {
  struct worker_port *port = context;
  int descriptors = port->worker->settings->descriptors;
  (void)length;
  if (descriptors && fd >= descriptors) {
    listener_refuse(fd);
    on_refused(port, -EMFILE);
  } else if (port->table_port)
    connection_accept(port->worker, port->table_port, worker_port_number(port), fd, peer);
  else
    close(fd); /* it waited for a table that was given up */
}

const struct listener_callbacks worker_port_callbacks = {.on_accept = on_accept, .on_refused = on_refused};

static struct worker_port *port_open(struct worker *worker, const struct table_port *table_port, uint16_t number,
                                     struct error *error) {
  struct worker_port *port = calloc(1, sizeof *port);
  if (!port) {
    error_set(error, ENOMEM, "no memory to open a port");
    return NULL;
  }
  struct endpoint endpoint = table_port->endpoint;
  if (table_port->port == 0 || worker->settings->any_ports)
    endpoint_set_port(&endpoint, number);
  port->worker = worker;
  list_init(&port->loans);
  port->listener =
      listener_prepare(&worker->loop, &endpoint, &worker->settings->tcp, &worker_port_callbacks, port, error);
  if (!port->listener) {
    free(port);
    return NULL;
  }
  port->port = endpoint_port(listener_endpoint(port->listener));
  return port;
}

static void port_close(struct worker_port *port) {
  worker_end_loans(port);
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

int worker_open_ports(struct worker *worker, struct table_change *change, uint16_t *resolved, struct error *error) {
  const struct route_table *table = change->pin->table;
  for (size_t i = 0; i < table->port_count; i++) {
    struct worker_port **port = &change->ports[i];
    *port = find_open(worker, &table->ports[i]);
    if (!*port)
      *port = port_open(worker, &table->ports[i], resolved ? resolved[i] : 0, error);
    if (!*port) {
      worker->failed_port = i;
      worker_close_new_ports(worker, change);
      return error && error->code ? -error->code : -EADDRINUSE;
    }
    if (resolved)
      resolved[i] = (*port)->port;
  }
  return 0;
}

void worker_close_new_ports(struct worker *worker, struct table_change *change) {
  (void)worker;
  for (size_t i = 0; i < change->pin->table->port_count && change->ports[i]; i++)
    if (!change->ports[i]->table_port)
      port_close(change->ports[i]);
}

void worker_take_ports(struct worker *worker, struct table_change *change) {
  const struct route_table *table = change->pin->table;
  struct worker_port **old = worker->ports;
  size_t old_count = worker->port_count;
  for (size_t i = 0; i < table->port_count; i++)
    change->ports[i]->stays = true;
  pthread_mutex_lock(&worker->ports_lock);
  worker->ports = change->ports;
  worker->port_count = table->port_count;
  pthread_mutex_unlock(&worker->ports_lock);
  change->ports = NULL;
  /* What waits in a closing port's queue is accepted now, under the old table. */
  for (size_t o = 0; o < old_count; o++)
    if (!old[o]->stays)
      port_close(old[o]);
  free(old);
  for (size_t i = 0; i < table->port_count; i++) {
    bool is_new = !worker->ports[i]->table_port;
    worker->ports[i]->stays = false;
    worker->ports[i]->table_port = &table->ports[i];
    if (is_new)
      listener_start(worker->ports[i]->listener);
  }
}

void worker_close_ports(struct worker *worker) {
  worker_abort_table(worker); /* a table that is prepared goes on with ports that are open */
  struct worker_port **ports = worker->ports;
  size_t count = worker->port_count;
  pthread_mutex_lock(&worker->ports_lock);
  worker->ports = NULL;
  worker->port_count = 0;
  pthread_mutex_unlock(&worker->ports_lock);
  for (size_t i = 0; i < count; i++)
    port_close(ports[i]);
  free(ports);
}

int worker_accept(struct worker *worker, uint16_t port, int fd, const struct sockaddr *peer) {
  for (size_t i = 0; i < worker->port_count; i++) {
    const struct worker_port *open = worker->ports[i];
    if (port != 0 && open->table_port->port != 0 && open->table_port->port != port)
      continue;
    connection_accept(worker, open->table_port, port != 0 ? port : worker_port_number(open), fd, peer);
    return 0;
  }
  return -ENOENT;
}
