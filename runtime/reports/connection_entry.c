/* SPDX-License-Identifier: MIT
 *
 * What is told of a connection. */
#include "reports/connections.h"

#include "connection/worker.h"
#include "engines/userspace.h"

#include <string.h>
#include <sys/socket.h>

static void fill_deadline(struct connection_entry *entry, const struct connection *connection, clock_ms now) {
  enum close_reason reason = CLOSE_LINGER;
  enum pipe_side side;
  clock_ms deadline = connection->state == CONNECTION_CLOSING ? connection->linger_until
                                                              : connection_deadline(connection, &reason, &side);
  entry->deadline_reason = deadline == CLOCK_NEVER ? NULL : close_reason_label(reason);
  entry->deadline = deadline == CLOCK_NEVER ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

static void fill_route(struct connection_entry *entry, const struct exchange *exchange) {
  const struct route *route = exchange->route;
  entry->line = -1;
  if (!route)
    return;
  entry->route = route->name;
  entry->file = route->file;
  entry->line = route->line;
  entry->version = exchange->on_old_table ? "old" : "current";
}

void connection_entry_fill(struct connection_entry *entry, const struct connection *connection) {
  static const char *const ends[] = {NULL, "client", "target", "both"};
  const struct exchange *exchange = connection_shown(connection);
  clock_ms now = loop_now(&connection->worker->loop), last_active = connection_last_active(connection);
  *entry = (struct connection_entry){
      .id = {connection->worker->number, connection->number},
      .client = connection->client_address,
      .port = connection->port,
      .domain = sniffed_domain(connection->sniffed),
      .tls_version = tls_version_label(connection->sniffed ? connection->sniffed->version : 0),
      .target = {exchange->host || !exchange->target ? exchange->host : exchange->target->host, exchange->port},
      .state = connection->state,
      .state_word = connection_state_label(connection->state),
      .ended_word = ends[exchange_ended_sides(exchange) & 3],
      .age = now - connection_started(connection),
      .idle = now > last_active ? now - last_active : 0,
      .bytes = connection->tally.own,
      .bytes_both = connection->tally.own.in + connection->tally.own.out,
      .waits = {.line = -1, .since = UINT64_MAX},
      .class_since = UINT64_MAX,
  };
  fill_route(entry, exchange);
  fill_deadline(entry, connection, now);
  entry->is_joined = entry->state == CONNECTION_FORWARDING || entry->state == CONNECTION_HANDLING;
  entry->is_kept = entry->route && connection->keep_alive != KEEP_ALIVE_STANDARD;
  /* One that is closing has a time of its own, which progress moves; any other that both sides have left is closed in
   * the same event. */
  bool both = exchange->ended == ((1 << PIPE_CLIENT) | (1 << PIPE_TARGET));
  clock_ms until = connection->linger_until;
  entry->over = entry->state == CONNECTION_CLOSING ? (until < now ? now - until : 0) : both ? entry->idle : 0;
}

/* Not what a PROXY header says: routes go by where it came in. */
static void fill_local(struct connection_entry *entry, const struct connection *connection) {
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  if (getsockname(connection->client.fd, (struct sockaddr *)&local, &length) == 0)
    ip_address_from_sockaddr(&entry->local, (const struct sockaddr *)&local);
}

static void fill_waits(struct connection_entry *entry, const struct connection *connection, clock_ms now) {
  const struct script_hooks *hooks = connection->worker->hooks;
  struct function_wait wait;
  if (!hooks->function_waits || !hooks->function_waits(&connection_shown(connection)->asker, &wait))
    return;
  entry->waits = (struct connection_wait){
      .function = wait.field,
      .route = wait.route->name,
      .file = wait.route->file,
      .line = wait.route->line,
      .since = now > wait.since ? now - wait.since : 0,
  };
  memcpy(entry->waits.defined, wait.defined, sizeof entry->waits.defined);
}

/* A few calls of the system. */
static void complete_entry(void *record, const void *source) {
  struct connection_entry *entry = record;
  const struct connection *connection = source;
  const struct exchange *exchange = connection_shown(connection);
  clock_ms now = loop_now(&connection->worker->loop);
  fill_local(entry, connection);
  fill_waits(entry, connection, now);
  userspace_trying(exchange, entry->trying, sizeof entry->trying);
  entry->finding = exchange_examine(exchange);
  entry->suspect = connection_is_suspect(&entry->finding, now);
  entry->finding.since = now > entry->finding.since ? now - entry->finding.since : 0;
  if (entry->finding.class == CONNECTION_WELL) {
    entry->finding.limit = 0;
  } else {
    entry->class_word = connection_class_label(entry->finding.class);
    entry->class_since = entry->finding.since;
  }
  for (enum pipe_side side = PIPE_CLIENT; side <= PIPE_TARGET; side++)
    entry->unsent[side] = exchange_unsent(exchange, side);
  entry->unsent_both = entry->unsent[PIPE_CLIENT] + entry->unsent[PIPE_TARGET];
  entry->is_asking = entry->waits.function != NULL;
}

#define FIELD(name, field, flags) RECORD_FIELD(connection_entry, NULL, name, field, flags)
#define WITHIN(within, name, field, flags) RECORD_FIELD(connection_entry, within, name, field, flags)
#define FIELD_AS(kind, within, name, field, flags)                                                                     \
  RECORD_FIELD_AS(RECORD_##kind, connection_entry, within, name, field, flags)

static const struct record_field entry_fields[] = {
    FIELD("id", id, 0),
    FIELD("client_port", client.port, 0),
    FIELD("client_ip", client, 0),
    FIELD("local_address", local, RECORD_IF_ANY | RECORD_COSTLY),
    FIELD("port", port, 0),
    FIELD("domain", domain, 0),
    FIELD_AS(WORD, NULL, "tls_version", tls_version, 0),
    FIELD("route", route, 0),
    FIELD("file", file, 0),
    FIELD("line", line, 0),
    FIELD_AS(WORD, NULL, "version", version, 0),
    FIELD_AS(WORD, NULL, "state", state_word, 0),
    WITHIN("waits", "function", waits.function, RECORD_COSTLY),
    WITHIN("waits", "route", waits.route, RECORD_COSTLY),
    WITHIN("waits", "file", waits.file, RECORD_COSTLY),
    WITHIN("waits", "line", waits.line, RECORD_COSTLY),
    WITHIN("waits", "defined", waits.defined, RECORD_IF_ANY | RECORD_COSTLY),
    FIELD_AS(MS, "waits", "seconds", waits.since, RECORD_COSTLY),
    FIELD("target", target, 0),
    FIELD("trying", trying, RECORD_IF_ANY | RECORD_COSTLY),
    FIELD_AS(MS, NULL, "age", age, 0),
    FIELD_AS(MS, NULL, "idle", idle, 0),
    FIELD("bytes_in", bytes.in, 0),
    FIELD("bytes_out", bytes.out, 0),
    FIELD("bytes", bytes_both, RECORD_UNTOLD),
    FIELD("joined", is_joined, RECORD_UNTOLD),
    FIELD("kept", is_kept, RECORD_UNTOLD),
    FIELD_AS(MS, NULL, "over", over, RECORD_UNTOLD),
    FIELD("asks", is_asking, RECORD_UNTOLD | RECORD_COSTLY),
    FIELD("unsent_bytes", unsent_both, RECORD_UNTOLD | RECORD_COSTLY),
    WITHIN("unsent", "client", unsent[PIPE_CLIENT], RECORD_IF_ANY | RECORD_COSTLY),
    WITHIN("unsent", "target", unsent[PIPE_TARGET], RECORD_IF_ANY | RECORD_COSTLY),
    FIELD_AS(WORD, NULL, "ended", ended_word, 0),
    FIELD("stuck", suspect, RECORD_COSTLY),
    FIELD_AS(WORD, "class", "name", class_word, RECORD_COSTLY),
    FIELD_AS(MS, "class", "seconds", class_since, RECORD_COSTLY),
    FIELD_AS(MS, "class", "limit", finding.limit, RECORD_IF_ANY | RECORD_COSTLY),
    FIELD_AS(WORD, "deadline", "reason", deadline_reason, 0),
    FIELD_AS(MS, "deadline", "seconds", deadline, 0),
};

const struct record_type connection_record = {
    .size = sizeof(struct connection_entry),
    .fields = entry_fields,
    .field_count = sizeof entry_fields / sizeof entry_fields[0],
    .complete = complete_entry,
};

const struct record_type connection_whole_record = {
    .size = sizeof(struct connection_entry),
    .fields = entry_fields,
    .field_count = sizeof entry_fields / sizeof entry_fields[0],
};
