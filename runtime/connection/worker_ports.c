/* SPDX-License-Identifier: MIT
 *
 * The listeners of a worker: started and closed by the difference between two tables, so that a port that stays is not
 * touched, and a few at a time. */
#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/port_change.h"

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
  } else {
    connection_accept(port->worker, port->table_port, worker_port_number(port), fd, peer);
  }
}

const struct listener_callbacks worker_port_callbacks = {.on_accept = on_accept, .on_refused = on_refused};

struct worker_port *worker_port_open(struct worker *worker, const struct table_port *table_port, uint16_t number,
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

void worker_port_discard(struct worker_port *port) {
  if (!port)
    return;
  listener_discard(port->listener);
  free(port);
}

/* Takes `most` at most of those that wait; true: it is closed, and another worker finds it no more. */
static bool close_port(struct worker *worker, struct worker_port **place, unsigned most) {
  struct worker_port *port = *place;
  if (!listener_empty(port->listener, most))
    return false;
  pthread_mutex_lock(&worker->ports_lock);
  *place = NULL;
  pthread_mutex_unlock(&worker->ports_lock);
  worker_end_loans(port);
  listener_close(port->listener);
  free(port);
  return true;
}

void worker_collect_ports(struct worker *worker, struct table_change *change, struct port_change *ports) {
  struct worker_port **opened = ports->opened[worker->number - ports->first_worker];
  change->change = ports;
  for (size_t i = 0; i < ports->table->port_count; i++)
    if (ports->was[i] != PORT_IS_NEW)
      change->ports[i] = worker->ports[ports->was[i]];
  for (size_t i = 0; i < ports->added_count; i++) {
    change->ports[ports->added[i]] = opened[i];
    opened[i] = NULL;
  }
}

void worker_discard_ports(struct table_change *change) {
  for (size_t i = 0; i < change->change->added_count; i++)
    worker_port_discard(change->ports[change->change->added[i]]);
}

bool worker_close_gone_ports(struct worker *worker, struct table_change *change, unsigned most) {
  for (unsigned i = 0; i < most && change->closed < change->change->gone_count; i++) {
    if (!close_port(worker, &worker->ports[change->change->gone[change->closed]], most))
      return false;
    change->closed++;
  }
  return change->closed == change->change->gone_count;
}

void worker_take_ports(struct worker *worker, struct table_change *change) {
  const struct route_table *table = change->pin->table;
  struct worker_port **old = worker->ports;
  pthread_mutex_lock(&worker->ports_lock);
  worker->ports = change->ports;
  worker->port_count = table->port_count;
  change->ports = NULL;
  change->live = true;
  pthread_mutex_unlock(&worker->ports_lock);
  free(old);
  for (size_t i = 0; i < table->port_count; i++)
    worker->ports[i]->table_port = &table->ports[i];
}

bool worker_start_new_ports(struct worker *worker, struct table_change *change, unsigned most) {
  for (unsigned i = 0; i < most && change->started < change->change->added_count; i++)
    listener_start(worker->ports[change->change->added[change->started++]]->listener);
  return change->started == change->change->added_count;
}

bool worker_close_ports(struct worker *worker, unsigned most) {
  for (unsigned i = 0; i < most && worker->port_count > 0; i++) {
    if (!close_port(worker, &worker->ports[worker->port_count - 1], most))
      return false;
    pthread_mutex_lock(&worker->ports_lock);
    worker->port_count--;
    pthread_mutex_unlock(&worker->ports_lock);
  }
  if (worker->port_count > 0)
    return false;
  free(worker->ports);
  worker->ports = NULL;
  return true;
}

int worker_accept(struct worker *worker, uint16_t port, int fd, const struct sockaddr *peer) {
  for (size_t i = 0; i < worker->port_count; i++) {
    const struct worker_port *open = worker->ports[i]; /* NULL: it is closed, and the table is about to change */
    if (!open || (port != 0 && open->table_port->port != 0 && open->table_port->port != port))
      continue;
    connection_accept(worker, open->table_port, port != 0 ? port : worker_port_number(open), fd, peer);
    return 0;
  }
  return -ENOENT;
}
