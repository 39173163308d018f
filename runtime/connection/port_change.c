/* SPDX-License-Identifier: MIT
 *
 * The difference between the ports of two tables, and what of it can be done beforehand. */
#include "connection/port_change.h"

#include "connection/connection_private.h"

#include <errno.h>
#include <stdlib.h>

static void list_changes(struct port_change *change, bool *stays) {
  size_t before_count = change->before ? change->before->port_count : 0;
  for (size_t i = 0; i < change->table->port_count; i++) {
    if (change->was[i] == PORT_IS_NEW)
      change->added[change->added_count++] = (uint32_t)i;
    else
      stays[change->was[i]] = true;
  }
  for (size_t i = 0; i < before_count; i++)
    if (!stays[i])
      change->gone[change->gone_count++] = (uint32_t)i;
}

struct port_change *port_change_new(const struct route_table *before, const struct route_table *table) {
  size_t before_count = before ? before->port_count : 0;
  struct port_change *change = calloc(1, sizeof *change);
  bool *stays = calloc(before_count + 1, sizeof *stays);
  if (!change || !stays)
    goto fail;
  change->before = before;
  change->table = table;
  change->was = calloc(table->port_count + 1, sizeof *change->was);
  change->added = calloc(table->port_count + 1, sizeof *change->added);
  change->gone = calloc(before_count + 1, sizeof *change->gone);
  if (!change->was || !change->added || !change->gone || route_table_match_ports(before, table, change->was) < 0)
    goto fail;
  list_changes(change, stays);
  free(stays);
  return change;

fail:
  free(stays);
  port_change_free(change);
  return NULL;
}

int port_change_fail(struct port_change *change, uint32_t place, const struct error *error) {
  if (change->failure_count == change->failure_room) {
    size_t room = change->failure_room ? 2 * change->failure_room : 4;
    struct port_failure *failures = realloc(change->failures, room * sizeof *failures);
    if (!failures)
      return -ENOMEM;
    change->failures = failures;
    change->failure_room = room;
  }
  change->failures[change->failure_count++] = (struct port_failure){.place = place, .error = *error};
  return 0;
}

int port_change_probe(struct port_change *change, struct pace *pace) {
  int status = 0;
  for (size_t i = 0; i < change->added_count && status == 0; i++) {
    const struct table_port *port = &change->table->ports[change->added[i]];
    struct error error;
    pace_breathe(pace);
    if (port->port == 0)
      continue;
    bool ours = change->before && route_table_uses_port(change->before, port->port);
    if ((ours ? listener_probe_beside_own(&port->endpoint, &error) : listener_probe(&port->endpoint, &error)) != 0)
      status = port_change_fail(change, change->added[i], &error);
  }
  return status;
}

/* Room for what is opened, and the numbers of what stays. */
static int port_change_make_room(struct port_change *change, struct worker *const *workers, size_t count,
                                 const uint16_t *before, uint16_t *resolved) {
  for (size_t i = 0; i < change->table->port_count; i++)
    if (change->was[i] != PORT_IS_NEW)
      resolved[i] = before[change->was[i]];
  change->opened = calloc(count, sizeof *change->opened);
  if (!change->opened)
    return -ENOMEM;
  change->worker_count = count;
  change->first_worker = workers[0]->number;
  for (size_t w = 0; w < count; w++)
    if (!(change->opened[w] = calloc(change->added_count + 1, sizeof(struct worker_port *))))
      return -ENOMEM;
  return 0;
}

static int open_for_all(struct port_change *change, struct worker *const *workers, size_t i, uint16_t *resolved,
                        struct pace *pace, struct error *error) {
  size_t place = change->added[i];
  for (size_t w = 0; w < change->worker_count; w++) {
    pace_breathe(pace);
    change->opened[w][i] = worker_port_open(workers[w], &change->table->ports[place], resolved[place], error);
    if (!change->opened[w][i])
      return error->code ? -error->code : -EADDRINUSE;
    resolved[place] = change->opened[w][i]->port;
  }
  return 0;
}

int port_change_open(struct port_change *change, struct worker *const *workers, size_t count, const uint16_t *before,
                     uint16_t *resolved, struct pace *pace, struct error *error) {
  if (port_change_make_room(change, workers, count, before, resolved) < 0)
    return error_set(error, ENOMEM, "no memory to open ports");
  for (size_t i = 0; i < change->added_count; i++) {
    int status = open_for_all(change, workers, i, resolved, pace, error);
    if (status < 0 && port_change_fail(change, change->added[i], error) < 0)
      return error_set(error, ENOMEM, "no memory to open ports");
    if (status == -EMFILE || status == -ENFILE || status == -ENOMEM || status == -ENOBUFS)
      return status; /* the next would fail too */
  }
  return 0;
}

void port_change_free(struct port_change *change) {
  if (!change)
    return;
  for (size_t w = 0; w < change->worker_count; w++) {
    for (size_t i = 0; change->opened[w] && i < change->added_count; i++)
      worker_port_discard(change->opened[w][i]);
    free(change->opened[w]);
  }
  free(change->opened);
  free(change->was);
  free(change->added);
  free(change->gone);
  free(change->failures);
  free(change);
}
