/* SPDX-License-Identifier: MIT
 *
 * Adding up what the workers counted, and its shape for Lua. */
#include "threads/snapshot.h"

#include "connection/connection.h"

#include <stdlib.h>
#include <string.h>

static void add_worker(struct worker_stats *sum, const struct worker_stats *part) {
  sum->connections += part->connections;
  sum->active += part->active;
  for (size_t side = 0; side < METRIC_SIDES; side++)
    for (size_t reason = 0; reason < METRIC_REASONS; reason++)
      sum->terminations[side][reason] += part->terminations[side][reason];
  for (size_t state = 0; state < METRIC_STATES; state++) {
    sum->states[state] += part->states[state];
    sum->state_ms[state] += part->state_ms[state];
    sum->state_ends[state] += part->state_ends[state];
  }
  for (size_t error = 0; error < METRIC_ERROR_COUNT; error++)
    sum->errors[error] += part->errors[error];
  for (size_t kind = 0; kind < METRIC_OVERHEAD_COUNT; kind++)
    tally_add(&sum->overhead[kind], part->overhead[kind]);
  sum->old_connections += part->old_connections;
}

bool snapshots_are_complete(const struct snapshots *snapshots) {
  for (size_t i = 0; i < snapshots->count; i++)
    if (!snapshots->parts[i].complete)
      return false;
  return true;
}

static void snapshot_write_workers(struct value *root, const struct snapshots *snapshots) {
  struct value *workers = value_set_table(root, "workers");
  for (size_t i = 0; i < snapshots->count; i++) {
    const struct snapshot_part *part = &snapshots->parts[i];
    struct value *worker = value_set_table(workers, NULL);
    value_set_number(worker, "number", (double)(i + 1));
    value_set_counter(worker, "connections", part->last.worker.connections);
    value_set_number(worker, "active", (double)part->last.worker.active);
    value_set_boolean(worker, "complete", part->complete);
  }
}

struct named {
  const char *name;
  const struct route_stats *stats;
};

static int compare_named(const void *left, const void *right) {
  return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static void write_route_stats(struct value *route, const struct route_stats *stats) {
  value_set_counter(route, "bytes_in", stats->bytes.in);
  value_set_counter(route, "bytes_out", stats->bytes.out);
  value_set_counter(route, "connections", stats->connections);
  value_set_number(route, "active", (double)stats->active);
  value_set_counter(route, "handler_errors", stats->handler_errors);
}

static void snapshot_write_route(struct value *list, const struct named *named) {
  struct value *route = value_set_table(list, NULL);
  value_set_string(route, "name", named->name);
  write_route_stats(route, named->stats);
}

/* What is listed, while it is gathered. */
struct listing {
  const struct route_stats *routes; /* by number */
  struct named *named;
  size_t count;
};

static void list_route(void *context, unsigned number, const char *text) {
  struct listing *listing = context;
  listing->named[listing->count++] = (struct named){text, &listing->routes[number]};
}

/* By name. */
static void snapshot_write_routes(struct value *root, const struct names *names, const struct route_stats *routes) {
  struct listing listing = {.routes = routes, .named = calloc(names->by_text.count + 1, sizeof *listing.named)};
  if (!listing.named) {
    root->failed = true;
    return;
  }
  names_each(names, list_route, &listing);
  qsort(listing.named, listing.count, sizeof *listing.named, compare_named);
  struct value *list = value_set_table(root, "routes");
  for (size_t i = 0; i < listing.count; i++)
    snapshot_write_route(list, &listing.named[i]);
  free(listing.named);
}

static void snapshot_write_states(struct value *root, const struct worker_stats *sum) {
  struct value *states = value_set_table(root, "states"), *times = value_set_table(root, "state_times");
  for (unsigned state = 0; state < CONNECTION_CLOSED; state++) {
    const char *label = connection_state_label((enum connection_state)state);
    value_set_number(states, label, (double)sum->states[state]);
    struct value *time = value_set_table(times, label);
    value_set_number(time, "seconds", (double)sum->state_ms[state] / 1000);
    value_set_counter(time, "count", sum->state_ends[state]);
  }
}

static void write_counts(struct value *root, const struct worker_stats *sum) {
  struct value *terminations = value_set_table(root, "terminations");
  for (size_t side = 0; side < METRIC_SIDES; side++) {
    struct value *reasons = value_set_table(terminations, pipe_side_label((enum pipe_side)side));
    for (unsigned reason = CLOSE_NONE + 1; reason < CLOSE_REASON_COUNT; reason++)
      value_set_counter(reasons, close_reason_label((enum close_reason)reason), sum->terminations[side][reason]);
  }
  snapshot_write_states(root, sum);
  struct value *errors = value_set_table(root, "errors");
  for (unsigned error = 0; error < METRIC_ERROR_COUNT; error++)
    value_set_counter(errors, metric_error_label((enum metric_error)error), sum->errors[error]);
  struct value *overhead = value_set_table(root, "overhead");
  for (unsigned kind = 0; kind < METRIC_OVERHEAD_COUNT; kind++) {
    struct value *bytes = value_set_table(overhead, metric_overhead_label((enum metric_overhead)kind));
    value_set_counter(bytes, "in", sum->overhead[kind].in);
    value_set_counter(bytes, "out", sum->overhead[kind].out);
  }
}

struct route_stats snapshots_sum_route(const struct snapshots *snapshots, unsigned number) {
  struct route_stats sum = {.connections = 0};
  for (size_t i = 0; i < snapshots->count; i++) {
    const struct route_stats *stats = shard_copy_find(&snapshots->parts[i].last, number);
    if (stats)
      route_stats_add(&sum, stats);
  }
  const struct metrics_shard *plane = snapshots->plane;
  if (plane && number < plane->route_count && plane->routes[number])
    route_stats_add(&sum, plane->routes[number]);
  return sum;
}

static void add_route(const struct route_stats *stats, const struct names *names, struct route_stats *routes,
                      struct route_stats *removed, struct route_stats *total) {
  route_stats_add(names_is_removed(names, stats->number) ? removed : &routes[stats->number], stats);
  route_stats_add(total, stats);
}

/* Adds up the copy: each name's to its own, those of names that have gone together, all to the total. */
static void add_copy(const struct shard_copy *copy, const struct names *names, struct route_stats *routes,
                     struct route_stats *removed, struct route_stats *total) {
  route_stats_add(removed, &copy->removed);
  route_stats_add(total, &copy->removed);
  for (size_t i = 0; i < copy->route_count; i++)
    add_route(&copy->routes[i], names, routes, removed, total);
}

static void add_plane(const struct metrics_shard *shard, const struct names *names, struct route_stats *routes,
                      struct route_stats *removed, struct route_stats *total) {
  route_stats_add(removed, &shard->removed);
  route_stats_add(total, &shard->removed);
  for (size_t i = 0; i < shard->live_count; i++)
    add_route(shard->live[i], names, routes, removed, total);
}

static void write_sum(struct value *root, const struct snapshots *snapshots, bool with_routes) {
  struct worker_stats sum = {.connections = 0};
  struct route_stats total = {.connections = 0}, removed = {.connections = 0};
  struct route_stats *routes = calloc(snapshots->names->count, sizeof *routes);
  if (!routes) {
    root->root->failed = true;
    return;
  }
  for (size_t i = 0; i < snapshots->count; i++) {
    add_worker(&sum, &snapshots->parts[i].last.worker);
    add_copy(&snapshots->parts[i].last, snapshots->names, routes, &removed, &total);
  }
  if (snapshots->plane) {
    add_worker(&sum, &snapshots->plane->worker);
    add_plane(snapshots->plane, snapshots->names, routes, &removed, &total);
  }
  value_set_boolean(root, "complete", snapshots_are_complete(snapshots));
  value_set_counter(root, "connections", sum.connections);
  value_set_number(root, "active", (double)sum.active);
  value_set_number(root, "old_connections", (double)sum.old_connections);
  value_set_counter(root, "bytes_in", total.bytes.in);
  value_set_counter(root, "bytes_out", total.bytes.out);
  snapshot_write_workers(root, snapshots);
  if (with_routes)
    snapshot_write_routes(root, snapshots->names, routes);
  write_route_stats(value_set_table(root, "removed"), &removed);
  write_counts(root, &sum);
  free(routes);
}

struct value *snapshots_sum(const struct snapshots *snapshots) {
  struct value *root = value_table();
  if (root)
    write_sum(root, snapshots, true);
  return root;
}

struct value *snapshots_totals(const struct snapshots *snapshots, void *context) {
  struct value *root = value_table();
  (void)context;
  if (root)
    write_sum(root, snapshots, false);
  return root;
}

void snapshots_write_totals(struct value *table, const struct snapshots *snapshots) {
  if (table)
    write_sum(table, snapshots, false);
}
