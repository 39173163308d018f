/* SPDX-License-Identifier: MIT
 *
 * A worker's counters: room for each route's, made when the worker first hears of it. */
#include "metrics/shard.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct metrics_shard *metrics_shard_new(void) {
  struct metrics_shard *shard = calloc(1, sizeof *shard);
  if (shard)
    clients_init(&shard->clients);
  if (shard && !metrics_shard_route(shard, METRIC_NO_ROUTE)) {
    metrics_shard_free(shard);
    return NULL;
  }
  return shard;
}

void metrics_shard_free(struct metrics_shard *shard) {
  if (!shard)
    return;
  for (size_t i = 0; i < shard->live_count; i++)
    free(shard->live[i]);
  free(shard->live);
  free(shard->routes);
  clients_deinit(&shard->clients);
  free(shard);
}

static bool grow_routes(struct metrics_shard *shard, unsigned number) {
  size_t count = number + 1 > 2 * shard->route_count ? number + 1 : 2 * shard->route_count;
  struct route_stats **routes = realloc(shard->routes, count * sizeof(struct route_stats *));
  if (!routes)
    return false;
  memset(routes + shard->route_count, 0, (count - shard->route_count) * sizeof(struct route_stats *));
  shard->routes = routes;
  shard->route_count = count;
  return true;
}

static bool grow_live(struct metrics_shard *shard) {
  size_t room = shard->live_room ? 2 * shard->live_room : 16;
  struct route_stats **live = realloc(shard->live, room * sizeof(struct route_stats *));
  if (!live)
    return false;
  shard->live = live;
  shard->live_room = room;
  return true;
}

struct route_stats *metrics_shard_make_route(struct metrics_shard *shard, unsigned number) {
  if ((number >= shard->route_count && !grow_routes(shard, number)) ||
      (shard->live_count == shard->live_room && !grow_live(shard)))
    return NULL;
  struct route_stats *stats = calloc(1, sizeof *stats);
  if (!stats)
    return NULL;
  stats->number = number;
  stats->place = (uint32_t)shard->live_count;
  shard->live[shard->live_count++] = stats;
  return shard->routes[number] = stats;
}

void route_stats_add(struct route_stats *sum, const struct route_stats *part) {
  sum->bytes.in += part->bytes.in;
  sum->bytes.out += part->bytes.out;
  sum->connections += part->connections;
  sum->active += part->active;
  sum->handler_errors += part->handler_errors;
}

void metrics_shard_fold(struct metrics_shard *shard, unsigned number) {
  struct route_stats *stats = number < shard->route_count ? shard->routes[number] : NULL;
  if (!stats)
    return;
  route_stats_add(&shard->removed, stats);
  struct route_stats *last = shard->live[--shard->live_count];
  last->place = stats->place;
  shard->live[last->place] = last;
  shard->routes[number] = NULL;
  free(stats);
}

const char *metric_overhead_label(enum metric_overhead kind) {
  static const char *const labels[] = {
#define X(name, label, text) [name] = label,
      METRIC_OVERHEADS(X)
#undef X
  };
  return labels[kind];
}

const char *metric_error_label(enum metric_error type) {
  static const char *const labels[] = {
#define X(name, label, text) [name] = label,
      METRIC_ERRORS(X)
#undef X
  };
  return labels[type];
}
