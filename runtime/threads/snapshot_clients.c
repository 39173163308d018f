/* SPDX-License-Identifier: MIT
 *
 * What all workers have counted by client address: an address may have connections on each of them, so their rows are
 * put in order and those of one address added up. */
#include "threads/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENT_TEXT_SIZE = ADDRESS_TEXT_SIZE + 8 };

static int compare_clients(const void *left, const void *right) {
  const struct client_row *a = left, *b = right;
  int order = memcmp(a->address, b->address, sizeof a->address);
  return order ? order : (int)a->prefix - (int)b->prefix;
}

/* The rows of all copies, each address once; malloc'ed. NULL without memory. */
static struct client_row *sum_clients(const struct snapshots *snapshots, size_t *count) {
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

/* With all that a kernel engine has counted, which knows nothing of clients. */
static struct client_count sum_other_clients(const struct snapshots *snapshots) {
  struct client_count other = {.connections = 0};
  struct route_stats plane = {.connections = 0};
  for (size_t i = 0; i < snapshots->count; i++)
    client_count_add(&other, &snapshots->parts[i].last.other_clients);
  if (!snapshots->plane)
    return other;
  route_stats_add(&plane, &snapshots->plane->removed);
  for (size_t i = 0; i < snapshots->plane->live_count; i++)
    route_stats_add(&plane, snapshots->plane->live[i]);
  const struct client_count part = {plane.bytes, plane.connections, plane.active};
  client_count_add(&other, &part);
  return other;
}

static void write_client_count(struct value *row, const struct client_count *count) {
  value_set_counter(row, "bytes_in", count->bytes.in);
  value_set_counter(row, "bytes_out", count->bytes.out);
  value_set_counter(row, "connections", count->connections);
  value_set_number(row, "active", (double)count->active);
}

static void write_client(struct value *list, const struct client_row *client) {
  char text[CLIENT_TEXT_SIZE];
  struct ip_address address = {.is_set = true};
  struct value *row = value_set_table(list, NULL);
  memcpy(address.bytes, client->address, sizeof address.bytes);
  ip_address_format(&address, text);
  if (!ip_address_is_ipv4(&address) && client->prefix < 128) {
    size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, "/%u", client->prefix);
  }
  value_set_string(row, "client", text);
  write_client_count(row, &client->count);
}

struct value *snapshots_clients(const struct snapshots *snapshots, void *context) {
  size_t count;
  struct client_row *rows = sum_clients(snapshots, &count);
  struct value *root = rows ? snapshots_totals(snapshots, context) : NULL;
  struct value *list = root ? value_set_table(root, "clients") : NULL;
  for (size_t i = 0; root && i < count; i++)
    write_client(list, &rows[i]);
  free(rows);
  if (!root)
    return NULL;
  const struct client_count other = sum_other_clients(snapshots);
  write_client_count(value_set_table(root, "other_clients"), &other);
  return root;
}
