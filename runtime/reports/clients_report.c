/* SPDX-License-Identifier: MIT
 *
 * The question "clients": bytes and connections by client address, of one round of snapshots with the sum over the
 * routes, so that what is told adds up. */
#include "instance/instance.h"
#include "reports/listing.h"
#include "reports/reports.h"

#include <stdlib.h>
#include <string.h>

struct client_entry {
  struct record_prefix client;
  uint64_t bytes_in, bytes_out, bytes;
  uint64_t connections, active;
};

static const struct record_field client_fields[] = {
    RECORD_FIELD(client_entry, NULL, "address", client, 0),
    RECORD_FIELD(client_entry, NULL, "connections", connections, 0),
    RECORD_FIELD(client_entry, NULL, "active", active, 0),
    RECORD_FIELD(client_entry, NULL, "bytes_in", bytes_in, 0),
    RECORD_FIELD(client_entry, NULL, "bytes_out", bytes_out, 0),
    RECORD_FIELD(client_entry, NULL, "bytes", bytes, RECORD_UNTOLD),
};

static const struct record_type client_record = {
    .size = sizeof(struct client_entry),
    .fields = client_fields,
    .field_count = sizeof client_fields / sizeof client_fields[0],
};

static void take_client(struct selection *selection, const struct selection_query *query,
                        const struct client_row *row) {
  struct client_entry entry = {
      .client = {.address.is_set = true, .bits = row->prefix},
      .bytes_in = row->count.bytes.in,
      .bytes_out = row->count.bytes.out,
      .bytes = row->count.bytes.in + row->count.bytes.out,
      .connections = row->count.connections,
      .active = row->count.active,
  };
  memcpy(entry.client.address.bytes, row->address, sizeof row->address);
  selection_take(selection, query, &entry, NULL);
}

static void write_client_count(struct value *row, const struct client_count *count) {
  value_set_counter(row, "connections", count->connections);
  value_set_counter(row, "active", count->active);
  value_set_counter(row, "bytes_in", count->bytes.in);
  value_set_counter(row, "bytes_out", count->bytes.out);
}

static struct value *clients_answer(const struct snapshots *snapshots, void *context) {
  struct selection_query *query = context;
  struct selection found = {.count = 0}, *selection = &found;
  const struct client_count other = snapshots_sum_other_clients(snapshots), all = snapshots_sum_all_routes(snapshots);
  size_t kept, count = 0;
  struct client_row *rows = snapshots_sum_clients(snapshots, &kept);
  for (size_t i = 0; rows && i < kept; i++)
    take_client(selection, query, &rows[i]);
  selection_sort(selection, query, SIZE_MAX);
  void **page = rows ? selections_merge(&selection, 1, query, &count) : NULL;
  struct value *root = rows ? value_table() : NULL;
  free(rows);
  value_set_number(root, "total", (double)found.matched);
  value_set_number(root, "kept", (double)kept);
  value_set_boolean(root, "complete", page && !found.failed && snapshots_are_complete(snapshots));
  value_set_records(root, "addresses", &client_record, page, count);
  write_client_count(value_set_table(root, "other"), &other);
  write_client_count(value_set_table(root, "all"), &all);
  selection_clear(selection);
  listing_free(query);
  return root;
}

static void clients_ask_for(struct instance *instance, const struct value *arguments, size_t limit,
                            struct native_call *call) {
  if (!instance->snapshots.loop) {
    ask_refuse(call, 503, "moongate is starting or stopping");
    return;
  }
  struct selection_query *query = listing_new(sizeof *query, &client_record, arguments, call);
  if (!query)
    return;
  query->limit = limit ? limit : query->limit;
  snapshots_ask_for(&instance->snapshots, call, clients_answer, query);
}

void clients_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  clients_ask_for(instance, arguments, 0, call);
}

void clients_ask_all(struct instance *instance, struct native_call *call) {
  clients_ask_for(instance, NULL, SELECTION_MOST, call);
}
