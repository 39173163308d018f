/* SPDX-License-Identifier: MIT
 *
 * A worker's counters: room for each route's, made when the worker first hears of it. */
#include "metrics/shard.h"

#include <stdlib.h>
#include <string.h>

struct metrics_shard *metrics_shard_new(void) {
  struct metrics_shard *shard = calloc(1, sizeof *shard);
  if (shard && !metrics_shard_route(shard, METRIC_NO_ROUTE)) {
    metrics_shard_free(shard);
    return NULL;
  }
  return shard;
}

void metrics_shard_free(struct metrics_shard *shard) {
  if (!shard)
    return;
  for (size_t i = 0; i < shard->route_count; i++)
    free(shard->routes[i]);
  free(shard->routes);
  free(shard);
}

struct route_stats *metrics_shard_route(struct metrics_shard *shard, unsigned number) {
  if (number >= shard->route_count) {
    size_t count = number + 1 > 2 * shard->route_count ? number + 1 : 2 * shard->route_count;
    struct route_stats **routes = realloc(shard->routes, count * sizeof *routes);
    if (!routes)
      return NULL;
    memset(routes + shard->route_count, 0, (count - shard->route_count) * sizeof *routes);
    shard->routes = routes;
    shard->route_count = count;
  }
  if (!shard->routes[number])
    shard->routes[number] = calloc(1, sizeof **shard->routes);
  return shard->routes[number];
}

const char *metric_error_label(enum metric_error type) {
  static const char *const labels[] = {
#define X(name, label, text) [name] = label,
      METRIC_ERRORS(X)
#undef X
  };
  return labels[type];
}
