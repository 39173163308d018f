/* SPDX-License-Identifier: MIT
 *
 * The fields of a line of the access log. What is not known is left out. */
#include "connection/access_log.h"

#include "connection/codec.h"
#include "connection/connection_private.h"
#include "connection/proxied.h"
#include "routing/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MOST = 20, PLACE_SIZE = ADDRESS_TEXT_SIZE + 16 };

static const char *format_place(const struct ip_address *address, char text[PLACE_SIZE]) {
  char ip[ADDRESS_TEXT_SIZE];
  ip_address_format(address, ip);
  snprintf(text, PLACE_SIZE, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, address->port);
  return text;
}

const char *access_log_target(const struct exchange *exchange, char text[ACCESS_TARGET_SIZE]) {
  const char *host = exchange->host ? exchange->host : exchange->target ? exchange->target->host : NULL;
  if (!host || exchange->attempts == 0)
    return NULL;
  return host_format(host, exchange->port, text, ACCESS_TARGET_SIZE);
}

static const char *label_of(const struct exchange *exchange, enum pipe_side side) {
  return close_reason_label((enum close_reason)exchange->reasons[side]);
}

static bool is_wanted(const struct worker *worker) {
  const struct policy *policy = worker->pin ? worker->pin->table->policy : NULL;
  return policy && policy->access_log;
}

/* On a clock that is read for it: the loop's is as coarse as the kernel's tick. */
struct access_times {
  uint64_t began_ns, state_since_ns;
  uint64_t spent_ns[EXCHANGE_OVER];
};

static uint64_t access_clock(const struct exchange *exchange) {
  return clock_ns(exchange_worker(exchange)->loop.clock);
}

void access_log_begin(struct exchange *exchange) {
  const struct worker *worker = exchange_worker(exchange);
  if (!is_wanted(worker) && !log_enabled(worker->log, LOG_DEBUG))
    return;
  struct access_times *times = calloc(1, sizeof *times);
  if (!times)
    return;
  times->began_ns = times->state_since_ns = access_clock(exchange);
  exchange->times = times;
}

void access_log_leave_state(struct exchange *exchange) {
  struct access_times *times = exchange->times;
  uint64_t now = access_clock(exchange);
  if (exchange->state < EXCHANGE_OVER)
    times->spent_ns[exchange->state] += now - times->state_since_ns;
  times->state_since_ns = now;
}

/* In seconds; below 0: not measured. */
struct shown_times {
  double whole, routing, connecting, closing;
};

static double round_to_us(uint64_t ns) {
  uint64_t us = (ns + 500) / 1000;
  return (double)us / 1e6;
}

static struct shown_times measure(const struct exchange *exchange) {
  const struct access_times *times = exchange->times;
  const struct connection *connection = exchange->connection;
  if (!times) /* the log asked for nothing when the exchange began */
    return (struct shown_times){(double)(exchange_now(exchange) - exchange->began) / 1000, -1, -1, -1};
  uint64_t now = access_clock(exchange);
  return (struct shown_times){round_to_us(now - times->began_ns), round_to_us(times->spent_ns[EXCHANGE_ROUTING]),
                              round_to_us(times->spent_ns[EXCHANGE_CONNECTING]),
                              connection->closing_ms > 0 ? round_to_us(now - times->state_since_ns) : 0};
}

static void access_log_write(const struct exchange *exchange) {
  const struct connection *connection = exchange->connection;
  const struct worker *worker = connection->worker;
  bool wanted = is_wanted(worker);
  if (!wanted && !log_enabled(worker->log, LOG_DEBUG))
    return;
  const struct sniffed *sniffed = connection->sniffed;
  const struct byte_count bytes = exchange_bytes(exchange);
  const struct shown_times shown = measure(exchange);
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE], hop[PLACE_SIZE], target[ACCESS_TARGET_SIZE];
  struct log_field fields[FIELDS_MOST];
  size_t count = 0;
  fields[count++] = LOG_STRING("connection", connection_id(connection, id));
  fields[count++] = LOG_STRING("client", ip_address_format(&connection->client_address, client));
  fields[count++] = LOG_INTEGER("client_port", connection->client_address.port);
  fields[count++] = LOG_STRING("proxy", connection->proxied ? format_place(&connection->proxied->hop, hop) : NULL);
  fields[count++] = LOG_INTEGER("port", connection->port);
  fields[count++] = LOG_STRING("domain", sniffed_domain(sniffed));
  fields[count++] = LOG_STRING("tls", sniffed ? tls_version_label(sniffed->version) : NULL);
  fields[count++] = LOG_STRING("route", exchange->route ? exchange->route->name : NULL);
  fields[count++] = LOG_STRING("target", access_log_target(exchange, target));
  fields[count++] = LOG_INTEGER("attempts", exchange->attempts);
  fields[count++] = LOG_NUMBER("seconds", shown.whole);
  if (shown.routing >= 0)
    fields[count++] = LOG_NUMBER("route_seconds", shown.routing);
  if (shown.connecting > 0 || (shown.connecting >= 0 && exchange->attempts > 0))
    fields[count++] = LOG_NUMBER("connect_seconds", shown.connecting);
  if (shown.closing > 0)
    fields[count++] = LOG_NUMBER("close_seconds", shown.closing);
  fields[count++] = LOG_INTEGER("in", bytes.in);
  fields[count++] = LOG_INTEGER("out", bytes.out);
  fields[count++] = LOG_STRING("client_side", label_of(exchange, PIPE_CLIENT));
  fields[count++] = LOG_STRING("target_side", label_of(exchange, PIPE_TARGET));
  if (!wanted)
    log_write(worker->log, LOG_DEBUG, "a connection has ended", fields, count);
  else if (!log_record(worker->log, LOG_INFO, "access", fields, count))
    worker->metrics->worker.errors[ERROR_ACCESS_LOG]++;
}

void access_log_end(struct exchange *exchange) {
  access_log_write(exchange);
  free(exchange->times);
  exchange->times = NULL;
}
