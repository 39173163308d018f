/* SPDX-License-Identifier: MIT
 *
 * What all workers have counted by client address: an address may have connections on each of them, so their rows are
 * put in order and those of one address added up. */
#include "threads/snapshot.h"

#include <stdlib.h>
#include <string.h>

static int compare_clients(const void *left, const void *right) {
  const struct client_row *a = left, *b = right;
  int order = memcmp(a->address, b->address, sizeof a->address);
  return order ? order : (int)a->prefix - (int)b->prefix;
}

struct client_row *snapshots_sum_clients(const struct snapshots *snapshots, size_t *count) {
  size_t room = 1, gathered = 0;
  for (size_t i = 0; i < snapshots->count; i++)
    room += snapshots->parts[i].last.client_count;
  struct client_row *rows = malloc(room * sizeof *rows);
  *count = 0;
  if (!rows)
    return NULL;
  for (size_t i = 0; i < snapshots->count; i++) {
    const struct shard_copy *copy = &snapshots->parts[i].last;
    if (copy->client_count > 0)
      memcpy(rows + gathered, copy->clients, copy->client_count * sizeof *rows);
    gathered += copy->client_count;
  }
  qsort(rows, gathered, sizeof *rows, compare_clients);
  for (size_t i = 0; i < gathered; i++) {
    if (*count > 0 && compare_clients(&rows[*count - 1], &rows[i]) == 0)
      client_count_add(&rows[*count - 1].count, &rows[i].count);
    else
      rows[(*count)++] = rows[i];
  }
  return rows;
}

static void add_plane_routes(struct route_stats *sum, const struct metrics_shard *plane) {
  if (!plane)
    return;
  route_stats_add(sum, &plane->removed);
  for (size_t i = 0; i < plane->live_count; i++)
    route_stats_add(sum, plane->live[i]);
}

struct client_count snapshots_sum_other_clients(const struct snapshots *snapshots) {
  struct client_count other = {.connections = 0};
  struct route_stats plane = {.connections = 0};
  for (size_t i = 0; i < snapshots->count; i++)
    client_count_add(&other, &snapshots->parts[i].last.other_clients);
  add_plane_routes(&plane, snapshots->plane);
  const struct client_count part = {plane.bytes, plane.connections, plane.active};
  client_count_add(&other, &part);
  return other;
}

struct client_count snapshots_sum_all_routes(const struct snapshots *snapshots) {
  struct route_stats sum = {.connections = 0};
  for (size_t i = 0; i < snapshots->count; i++) {
    const struct shard_copy *copy = &snapshots->parts[i].last;
    route_stats_add(&sum, &copy->removed);
    for (size_t route = 0; route < copy->route_count; route++)
      route_stats_add(&sum, &copy->routes[route]);
  }
  add_plane_routes(&sum, snapshots->plane);
  return (struct client_count){sum.bytes, sum.connections, sum.active};
}
