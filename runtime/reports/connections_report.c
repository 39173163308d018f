/* SPDX-License-Identifier: MIT
 *
 * The answer about connections: what the workers sent, in the order that was asked for, a page of it. */
#include "instance/instance.h"
#include "reports/connections_private.h"
#include "reports/routes_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_TEXT_SIZE = 512 };

static int compare_numbers(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* Between equals: as they were accepted, worker by worker. */
static int compare_ids(const struct connection_entry *a, const struct connection_entry *b) {
  int order = compare_numbers(a->worker, b->worker);
  return order ? order : compare_numbers(a->number, b->number);
}

static int by_age(const void *left, const void *right) {
  const struct connection_entry *a = *(struct connection_entry *const *)left,
                                *b = *(struct connection_entry *const *)right;
  int order = compare_numbers(b->age, a->age);
  return order ? order : compare_ids(a, b);
}

static int by_idle(const void *left, const void *right) {
  const struct connection_entry *a = *(struct connection_entry *const *)left,
                                *b = *(struct connection_entry *const *)right;
  int order = compare_numbers(b->idle, a->idle);
  return order ? order : compare_ids(a, b);
}

static int by_bytes(const void *left, const void *right) {
  const struct connection_entry *a = *(struct connection_entry *const *)left,
                                *b = *(struct connection_entry *const *)right;
  int order = compare_numbers(b->bytes.in + b->bytes.out, a->bytes.in + a->bytes.out);
  return order ? order : compare_ids(a, b);
}

static int compare_entry_client(const void *left, const void *right) {
  const struct connection_entry *a = *(struct connection_entry *const *)left,
                                *b = *(struct connection_entry *const *)right;
  int order = memcmp(a->client.bytes, b->client.bytes, sizeof a->client.bytes);
  return order ? order : compare_ids(a, b);
}

static void write_seconds(struct value *row, const char *key, uint64_t ms) {
  value_set_number(row, key, (double)ms / 1000);
}

static void connection_write_route(struct value *row, const struct connection_entry *entry,
                                   const struct route_order *order) {
  const struct route *route = entry->route;
  value_set_string(row, "route", route->name);
  value_set_string(row, "file", route->file);
  value_set_number(row, "line", route->line);
  value_set_string(row, "version", route_order_has(order, route) ? "current" : "old");
}

static void write_class(struct value *row, const struct connection_entry *entry) {
  const struct connection_finding *finding = &entry->finding;
  value_set_boolean(row, "stuck", entry->suspect);
  if (finding->class == CONNECTION_WELL)
    return;
  struct value *class = value_set_table(row, "class");
  value_set_string(class, "name", connection_class_label(finding->class));
  write_seconds(class, "seconds", finding->since);
  if (finding->limit)
    write_seconds(class, "limit", finding->limit);
}

static void write_unsent(struct value *row, const struct connection_entry *entry) {
  struct value *unsent = NULL;
  for (unsigned side = 0; side < PIPE_SIDES; side++) {
    if (entry->unsent[side] == 0)
      continue;
    unsent = unsent ? unsent : value_set_table(row, "unsent");
    value_set_number(unsent, pipe_side_label((enum pipe_side)side), (double)entry->unsent[side]);
  }
}

/* The line is the route's; `defined` has the function's own. */
static void write_waits(struct value *row, const struct connection_entry *entry) {
  const struct function_note *note = entry->waits;
  if (!note)
    return;
  struct value *waits = value_set_table(row, "waits");
  value_set_string(waits, "function", note->field);
  value_set_string(waits, "route", note->route->name);
  value_set_string(waits, "file", note->route->file);
  value_set_number(waits, "line", note->route->line);
  value_set_string(waits, "defined", note->defined[0] ? note->defined : NULL);
  write_seconds(waits, "seconds", note->since);
}

void connection_entry_write(struct value *list, const struct connection_entry *entry, const struct route_order *order) {
  static const char *const ends[] = {NULL, "client", "target", "both"};
  char text[TARGET_TEXT_SIZE];
  struct value *row = value_set_table(list, NULL);
  snprintf(text, sizeof text, "%u-%" PRIu64, entry->worker, entry->number);
  value_set_string(row, "id", text);
  value_set_string(row, "client_ip", ip_address_format(&entry->client, text));
  value_set_number(row, "client_port", entry->client.port);
  if (entry->local.is_set)
    value_set_string(row, "local_address", ip_address_format(&entry->local, text));
  value_set_number(row, "port", entry->port);
  value_set_string(row, "domain", entry->domain);
  value_set_string(row, "tls_version", tls_version_label(entry->tls_version));
  if (entry->route)
    connection_write_route(row, entry, order);
  value_set_string(row, "state", connection_state_label(entry->state));
  write_waits(row, entry);
  value_set_string(row, "target", connection_entry_target(entry, text, sizeof text));
  write_seconds(row, "age", entry->age);
  write_seconds(row, "idle", entry->idle);
  value_set_counter(row, "bytes_in", entry->bytes.in);
  value_set_counter(row, "bytes_out", entry->bytes.out);
  write_unsent(row, entry);
  value_set_string(row, "ended", ends[entry->ending & 3]);
  write_class(row, entry);
  if (entry->deadline == UINT64_MAX)
    return;
  struct value *deadline = value_set_table(row, "deadline");
  value_set_string(deadline, "reason", close_reason_label(entry->deadline_reason));
  write_seconds(deadline, "seconds", entry->deadline);
}

const struct connection_entry **connections_collect(const struct connections_round *round, size_t *count) {
  *count = 0;
  for (size_t i = 0; i < round->part_count; i++)
    for (const struct entry_block *block = round->parts[i].asked ? NULL : round->parts[i].first; block;
         block = block->next)
      *count += block->count;
  const struct connection_entry **entries = calloc(*count + 1, sizeof *entries);
  size_t at = 0;
  for (size_t i = 0; entries && i < round->part_count; i++)
    for (const struct entry_block *block = round->parts[i].asked ? NULL : round->parts[i].first; block;
         block = block->next)
      for (size_t k = 0; k < block->count; k++)
        entries[at++] = &block->entries[k];
  return entries;
}

bool connections_are_complete(const struct connections_round *round) {
  bool complete = true;
  for (size_t i = 0; i < round->part_count; i++)
    complete = complete && !round->parts[i].asked && round->parts[i].complete;
  return complete;
}

/* The ids that nobody has: not those of a worker that has not answered. */
static void write_unknown(struct value *root, const struct connections_round *round) {
  struct value *list = round->filter.names ? value_set_table(root, "unknown") : NULL;
  char text[CONNECTION_ID_SIZE];
  for (size_t i = 0; list && i < round->filter.name_count; i++) {
    const struct connection_name *name = &round->filter.names[i];
    bool known = false;
    for (size_t k = 0; k < round->part_count && !known; k++) {
      const struct connections_part *part = &round->parts[k];
      known = part->worker->number == name->worker && (part->asked || !part->complete || name->killed);
    }
    snprintf(text, sizeof text, "%u-%" PRIu64, name->worker, name->number);
    if (!known)
      value_set_string(list, NULL, text);
  }
}

struct value *connections_report_killed(const struct connections_round *round) {
  size_t killed = 0, open = 0, waiting = 0;
  for (size_t i = 0; i < round->part_count; i++) {
    const struct connections_part *part = &round->parts[i];
    waiting += part->asked;
    killed += part->asked ? 0 : part->killed;
    open += part->asked ? 0 : part->open - part->killed;
  }
  struct value *root = value_table();
  value_set_number(root, "killed", (double)killed);
  value_set_number(root, "open", (double)open);
  value_set_number(root, "waiting", (double)waiting);
  write_unknown(root, round);
  value_set_boolean(root, "complete", connections_are_complete(round));
  return root;
}

struct value *connections_report(const struct connections_round *round) {
  static int (*const orders[])(const void *, const void *) = {
      [ORDER_AGE] = by_age, [ORDER_IDLE] = by_idle, [ORDER_BYTES] = by_bytes, [ORDER_CLIENT] = compare_entry_client};
  const struct native_connections *wanted = &round->filter.wanted;
  const struct route_order *order = instance_route_order(round->owner->instance);
  size_t count, open = 0;
  const struct connection_entry **entries = connections_collect(round, &count);
  struct value *root = value_table();
  if (!entries || !order) {
    value_free(root);
    free(entries);
    return NULL;
  }
  qsort(entries, count, sizeof *entries, orders[wanted->order]);
  for (size_t i = 0; i < round->part_count; i++)
    open += round->parts[i].asked ? 0 : round->parts[i].open;
  value_set_number(root, "total", (double)count);
  value_set_number(root, "open", (double)open);
  value_set_number(root, "limit", (double)wanted->page.limit);
  value_set_number(root, "offset", (double)wanted->page.offset);
  value_set_boolean(root, "complete", connections_are_complete(round));
  struct value *list = value_set_table(root, "connections");
  for (size_t i = wanted->page.offset; i < count && i - wanted->page.offset < wanted->page.limit; i++)
    connection_entry_write(list, entries[i], order);
  free(entries);
  return root;
}
