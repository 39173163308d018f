/* SPDX-License-Identifier: MIT
 *
 * Which connections a question means, and what is copied of each. */
#include "reports/connections_private.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char **texts_of(struct native_connections *wanted, size_t index) {
  const char **const texts[] = {&wanted->route, &wanted->state, &wanted->domain, &wanted->target};
  return index < sizeof texts / sizeof texts[0] ? texts[index] : NULL;
}

static int find_state(const char *text, struct error *error) {
  for (unsigned state = 0; state < CONNECTION_CLOSED; state++)
    if (strcmp(text, connection_state_label((enum connection_state)state)) == 0)
      return (int)state;
  return error_set(error, EINVAL,
                   "state: \"%s\" is none of routing, connecting, forwarding, handling, idle and closing", text);
}

static int compare_names(const void *left, const void *right) {
  const struct connection_name *a = left, *b = right;
  if (a->worker != b->worker)
    return a->worker < b->worker ? -1 : 1;
  return a->number < b->number ? -1 : a->number > b->number;
}

/* "1-7": as connection_id() writes it, and no other way. */
static bool read_name(const char *text, size_t length, struct connection_name *name) {
  char again[CONNECTION_ID_SIZE], given[CONNECTION_ID_SIZE];
  if (length >= sizeof given)
    return false;
  memcpy(given, text, length);
  given[length] = '\0';
  if (sscanf(given, "%u-%" SCNu64, &name->worker, &name->number) != 2)
    return false;
  snprintf(again, sizeof again, "%u-%" PRIu64, name->worker, name->number);
  return strcmp(again, given) == 0;
}

/* One that is said twice is one connection, which is ended once. */
static void keep_each_once(struct connections_filter *filter) {
  size_t kept = 0;
  for (size_t i = 0; i < filter->name_count; i++)
    if (kept == 0 || compare_names(&filter->names[kept - 1], &filter->names[i]) != 0)
      filter->names[kept++] = filter->names[i];
  filter->name_count = kept;
}

/* The ids of a list with commas. What is none is nobody's. */
static int read_names(struct connections_filter *filter, const char *text, struct error *error) {
  size_t most = 1;
  for (const char *comma = text; (comma = strchr(comma, ',')); comma++)
    most++;
  if (most > CONNECTIONS_MAX_IDS)
    return error_set(error, EINVAL, "id: at most %d at a time", CONNECTIONS_MAX_IDS);
  filter->names = calloc(most, sizeof *filter->names);
  if (!filter->names)
    return error_set(error, ENOMEM, "no memory for the question");
  for (;;) {
    size_t length = strcspn(text, ",");
    filter->name_count += read_name(text, length, &filter->names[filter->name_count]);
    if (!text[length])
      break;
    text += length + 1;
  }
  qsort(filter->names, filter->name_count, sizeof *filter->names, compare_names);
  keep_each_once(filter);
  return 0;
}

bool connections_filter_wants(const struct connections_filter *filter, unsigned worker) {
  for (size_t i = 0; filter->names && i < filter->name_count; i++)
    if (filter->names[i].worker == worker)
      return true;
  return !filter->names;
}

int connections_filter_init(struct connections_filter *filter, const struct native_connections *wanted,
                            struct error *error) {
  int status = 0;
  *filter = (struct connections_filter){.wanted = *wanted, .state = -1};
  for (size_t i = 0; texts_of(&filter->wanted, i); i++)
    *texts_of(&filter->wanted, i) = NULL;
  filter->wanted.client = filter->wanted.id = NULL;
  for (size_t i = 0; texts_of(&filter->wanted, i) && status == 0; i++) {
    const char *text = *texts_of((struct native_connections *)wanted, i);
    if (text && !(*texts_of(&filter->wanted, i) = strdup(text)))
      status = error_set(error, ENOMEM, "no memory for the question");
  }
  if (status == 0 && wanted->id)
    status = read_names(filter, wanted->id, error);
  if (status == 0 && wanted->state) {
    filter->state = find_state(wanted->state, error);
    status = filter->state < 0 ? filter->state : 0;
  }
  if (status == 0 && wanted->client) {
    struct error wrong = {0};
    filter->clients = ip_set_new(&wanted->client, 1, &wrong);
    if (!filter->clients)
      status = error_set(error, EINVAL, "client: %s", wrong.message);
  }
  if (status != 0)
    connections_filter_deinit(filter);
  return status;
}

void connections_filter_deinit(struct connections_filter *filter) {
  for (size_t i = 0; texts_of(&filter->wanted, i); i++)
    free((char *)*texts_of(&filter->wanted, i));
  free(filter->names);
  ip_set_unref(filter->clients);
  *filter = (struct connections_filter){.state = -1};
}

/* The name that the client asked for; NULL: none is known. */
static const char *domain_of(const struct connection *connection) { return sniffed_domain(connection->sniffed); }

/* What the route's target is called, host and port, without asking anybody. */
static const char *host_of(const struct exchange *exchange) {
  if (exchange->host)
    return exchange->host;
  return exchange->target ? exchange->target->host : NULL;
}

static bool is_target(const char *pattern, const struct exchange *exchange) {
  char text[512];
  const char *host = host_of(exchange);
  return host && (fnmatch(pattern, host_format(host, exchange->port, text, sizeof text), FNM_CASEFOLD) == 0 ||
                  fnmatch(pattern, host, FNM_CASEFOLD) == 0);
}

static bool is_older(clock_ms now, clock_ms then, uint64_t ms) { return ms == 0 || now >= then + ms; }

static struct connection_name *find_name(const struct connections_filter *filter, const struct connection *connection) {
  struct connection_name name = {.worker = connection->worker->number, .number = connection->number};
  return filter->name_count > 0 ? bsearch(&name, filter->names, filter->name_count, sizeof name, compare_names) : NULL;
}

void connections_filter_note_killed(struct connections_filter *filter, const struct connection *connection) {
  struct connection_name *name = find_name(filter, connection);
  if (name)
    name->killed = true;
}

bool connections_filter_pass(const struct connections_filter *filter, const struct connection *connection) {
  const struct native_connections *wanted = &filter->wanted;
  const struct exchange *exchange = connection_shown(connection);
  clock_ms now = loop_now(&connection->worker->loop);
  if (connection->state == CONNECTION_CLOSED || (filter->state >= 0 && filter->state != (int)connection->state) ||
      (wanted->port >= 0 && wanted->port != connection->port) ||
      !is_older(now, connection_started(connection), wanted->older_ms) ||
      !is_older(now, connection_last_active(connection), wanted->idle_ms))
    return false;
  if (wanted->route && (!exchange->route || strcmp(wanted->route, exchange->route->name) != 0))
    return false;
  if (filter->names && !find_name(filter, connection))
    return false;
  if (filter->clients && !ip_set_contains(filter->clients, &connection->client_address))
    return false;
  if (wanted->domain && (!domain_of(connection) || fnmatch(wanted->domain, domain_of(connection), FNM_CASEFOLD) != 0))
    return false;
  if (wanted->target && !is_target(wanted->target, exchange))
    return false;
  if (!wanted->stuck)
    return true;
  struct connection_finding finding = exchange_examine(exchange);
  return connection_is_suspect(&finding, now);
}

static void fill_deadline(struct connection_entry *entry, const struct connection *connection, clock_ms now) {
  enum close_reason reason = CLOSE_LINGER;
  enum pipe_side side;
  clock_ms deadline = connection->state == CONNECTION_CLOSING ? connection->linger_until
                                                              : connection_deadline(connection, &reason, &side);
  entry->deadline_reason = reason;
  entry->deadline = deadline == CLOCK_NEVER ? UINT64_MAX : deadline > now ? deadline - now : 0;
  entry->overdue = deadline < now ? now - deadline : 0;
}

/* Not what a PROXY header says: routes go by where it came in. */
static void fill_local(struct connection_entry *entry, const struct connection *connection) {
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  if (getsockname(connection->client.fd, (struct sockaddr *)&local, &length) == 0)
    ip_address_from_sockaddr(&entry->local, (const struct sockaddr *)&local);
}

/* 0 or -ENOMEM. */
static int fill_waits(struct connection_entry *entry, const struct connection *connection, clock_ms now) {
  const struct script_hooks *hooks = connection->worker->hooks;
  struct function_wait wait;
  if (!hooks->function_waits || !hooks->function_waits(connection_shown(connection), &wait))
    return 0;
  struct function_note *note = entry->waits = calloc(1, sizeof *note);
  if (!note || !(note->field = strdup(wait.field)))
    return -ENOMEM;
  note->route = route_ref((struct route *)wait.route);
  note->since = now > wait.since ? now - wait.since : 0;
  memcpy(note->defined, wait.defined, sizeof note->defined);
  return 0;
}

int connection_entry_fill(struct connection_entry *entry, const struct connection *connection) {
  const struct exchange *exchange = connection_shown(connection);
  clock_ms now = loop_now(&connection->worker->loop);
  entry->number = connection->number;
  entry->worker = connection->worker->number;
  entry->client = connection->client_address;
  fill_local(entry, connection);
  entry->port = connection->port;
  entry->route = exchange->route ? route_ref(exchange->route) : NULL;
  entry->state = connection->state;
  entry->ended = exchange->ended;
  entry->ending = (uint8_t)exchange_ended_sides(exchange);
  entry->treatment = connection->keep_alive;
  entry->tls_version = connection->sniffed ? connection->sniffed->version : 0;
  entry->age = now - connection_started(connection);
  clock_ms last_active = connection_last_active(connection);
  entry->idle = now > last_active ? now - last_active : 0;
  entry->bytes = connection->tally.own;
  entry->finding = exchange_examine(exchange);
  entry->suspect = connection_is_suspect(&entry->finding, now);
  entry->finding.since = now > entry->finding.since ? now - entry->finding.since : 0;
  entry->target_port = exchange->port;
  entry->route_host = exchange->host || !exchange->target ? NULL : exchange->target->host;
  fill_deadline(entry, connection, now);
  for (enum pipe_side side = PIPE_CLIENT; side <= PIPE_TARGET; side++)
    entry->unsent[side] = exchange_unsent(exchange, side);
  if (exchange->host && !(entry->host = strdup(exchange->host)))
    return -ENOMEM;
  if (domain_of(connection) && !(entry->domain = strdup(domain_of(connection))))
    return -ENOMEM;
  return fill_waits(entry, connection, now);
}

void connection_entry_clear(struct connection_entry *entry) {
  route_unref(entry->route);
  free(entry->host);
  free(entry->domain);
  if (!entry->waits)
    return;
  route_unref(entry->waits->route);
  free(entry->waits->field);
  free(entry->waits);
}

const char *connection_entry_target(const struct connection_entry *entry, char *text, size_t size) {
  const char *host = entry->host ? entry->host : entry->route_host;
  return host ? host_format(host, entry->target_port, text, size) : NULL;
}
