/* SPDX-License-Identifier: MIT
 *
 * The fields of a line of the access log. What is not known is left out. */
#include "connection/access_log.h"

#include "connection/codec.h"
#include "connection/connection_private.h"
#include "connection/proxied.h"
#include "routing/policy.h"

#include <stdio.h>
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

static double seconds(uint64_t ms) { return (double)ms / 1000; }

static bool is_wanted(const struct worker *worker) {
  const struct policy *policy = worker->pin ? worker->pin->table->policy : NULL;
  return policy && policy->access_log;
}

void access_log_write(const struct exchange *exchange) {
  const struct connection *connection = exchange->connection;
  const struct worker *worker = connection->worker;
  bool wanted = is_wanted(worker);
  if (!wanted && !log_enabled(worker->log, LOG_DEBUG))
    return;
  const struct sniffed *sniffed = connection->sniffed;
  const uint32_t *spent = exchange->spent_ms;
  const struct byte_count bytes = exchange_bytes(exchange);
  clock_ms now = exchange_now(exchange);
  char id[CONNECTION_ID_SIZE], client[PLACE_SIZE], hop[PLACE_SIZE], target[ACCESS_TARGET_SIZE];
  struct log_field fields[FIELDS_MOST];
  size_t count = 0;
  fields[count++] = LOG_STRING("connection", connection_id(connection, id));
  fields[count++] = LOG_STRING("client", format_place(&connection->client_address, client));
  fields[count++] = LOG_STRING("proxy", connection->proxied ? format_place(&connection->proxied->hop, hop) : NULL);
  fields[count++] = LOG_INTEGER("port", connection->port);
  fields[count++] = LOG_STRING("domain", sniffed_domain(sniffed));
  fields[count++] = LOG_STRING("tls", sniffed ? tls_version_label(sniffed->version) : NULL);
  fields[count++] = LOG_STRING("route", exchange->route ? exchange->route->name : NULL);
  fields[count++] = LOG_STRING("target", access_log_target(exchange, target));
  fields[count++] = LOG_INTEGER("attempts", exchange->attempts);
  fields[count++] = LOG_NUMBER("seconds", seconds(now - exchange->began));
  fields[count++] = LOG_NUMBER("route_seconds", seconds(spent[EXCHANGE_ROUTING]));
  if (exchange->attempts > 0 || spent[EXCHANGE_CONNECTING] > 0)
    fields[count++] = LOG_NUMBER("connect_seconds", seconds(spent[EXCHANGE_CONNECTING]));
  if (connection->closing_ms > 0)
    fields[count++] = LOG_NUMBER("close_seconds", seconds(connection->closing_ms));
  fields[count++] = LOG_INTEGER("in", bytes.in);
  fields[count++] = LOG_INTEGER("out", bytes.out);
  fields[count++] = LOG_STRING("client_side", label_of(exchange, PIPE_CLIENT));
  fields[count++] = LOG_STRING("target_side", label_of(exchange, PIPE_TARGET));
  if (!wanted)
    log_write(worker->log, LOG_DEBUG, "a connection has ended", fields, count);
  else if (!log_record(worker->log, LOG_INFO, "access", fields, count))
    worker->metrics->worker.errors[ERROR_ACCESS_LOG]++;
}
