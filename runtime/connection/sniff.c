/* SPDX-License-Identifier: MIT
 *
 * Sniffing. A hello that comes in one piece, as nearly all do, is looked at in the worker's buffer; only where a part
 * has to wait for the rest there is memory for it, as much as has come. */
#include "connection/sniff.h"

#include "connection/corridor.h"

#include <stdlib.h>
#include <string.h>

/* More than nearly every hello, and what may come behind it stays in the kernel. */
enum { READ_SIZE = 16 * 1024 };

/* A part of a hello. */
struct hello_reading {
  struct client_hello hello;
  struct buffer *bytes; /* all that was read so far */
};

struct sniffed *sniffed_new(const struct client_hello *hello) {
  size_t domain_size = strlen(hello->server_name);
  struct sniffed *sniffed = malloc(sizeof *sniffed + domain_size + 1 + hello->alpn_size);
  if (!sniffed)
    return NULL;
  *sniffed = (struct sniffed){.version = (uint8_t)tls_version_highest(hello->versions),
                              .domain_size = (uint8_t)domain_size,
                              .has_ech = hello->has_ech,
                              .alpn_size = (uint16_t)hello->alpn_size};
  memcpy(sniffed->text, hello->server_name, domain_size + 1);
  memcpy(sniffed->text + domain_size + 1, hello->alpn, hello->alpn_size);
  return sniffed;
}

void sniff_cancel(struct connection *connection) {
  if (!connection->reading)
    return;
  buffer_free(connection->reading->bytes);
  free(connection->reading);
  connection->reading = NULL;
}

static enum step_result refuse_memory(struct connection *connection) {
  return exchange_refuse_memory(&connection->first);
}

static void log_refusal(struct connection *connection, const char *why) {
  struct worker *worker = connection->worker;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  if (!log_enabled(worker->log, LOG_INFO) || !log_limit_pass(&worker->hello_log, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_INFO, "a client was refused on a TLS port", LOG_STRING("error", why),
      LOG_STRING("domain", sniffed_domain(connection->sniffed)), LOG_INTEGER("port", connection->port),
      LOG_STRING("connection", connection_id(connection, id)),
      LOG_STRING("client", ip_address_format(&connection->client_address, client)),
      LOG_INTEGER("not_logged_before", suppressed));
}

/* A new socket takes an answer this short whole, or it is broken. */
static enum step_result answer(struct connection *connection, const void *bytes, size_t size,
                               enum close_reason reason) {
  ssize_t put = stream_write(&connection->client, bytes, size);
  bool broken = put < 0 && put != STREAM_WANT_WRITE;
  connection_close(connection, PIPE_CLIENT, broken ? CLOSE_RESET : reason);
  return STEP_REFUSED;
}

static enum step_result answer_alert(struct connection *connection, enum alert_level level,
                                     enum alert_description description, enum close_reason reason) {
  uint8_t record[ALERT_RECORD_SIZE];
  alert_record(record, level, description);
  return answer(connection, record, sizeof record, reason);
}

enum step_result sniff_refuse_route(struct connection *connection, enum alert_description alert) {
  connection->worker->metrics->worker.errors[ERROR_NO_ROUTE]++;
  log_refusal(connection, alert == ALERT_PROTOCOL_VERSION ? "the routes want another version of TLS"
                                                          : "no route wanted the connection");
  return answer_alert(connection, ALERT_FATAL, alert, CLOSE_NO_ROUTE);
}

enum step_result sniff_refuse_name(struct connection *connection) {
  uint64_t *errors = connection->worker->metrics->worker.errors;
  if (sniffed_domain(connection->sniffed)) {
    errors[ERROR_UNKNOWN_SERVER_NAME]++;
    log_refusal(connection, "no route has this domain");
    return answer_alert(connection, ALERT_FATAL, ALERT_UNRECOGNIZED_NAME, CLOSE_UNKNOWN_SERVER_NAME);
  }
  errors[ERROR_NO_SERVER_NAME]++;
  log_refusal(connection, "the client named no domain, and every route wants one");
  return answer_alert(connection, ALERT_WARNING, ALERT_UNRECOGNIZED_NAME, CLOSE_NO_SERVER_NAME);
}

static enum step_result answer_http(struct connection *connection) {
  static const char text[] = "HTTP/1.1 400 Bad Request\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 48\r\n"
                             "Connection: close\r\n"
                             "\r\n"
                             "This port speaks TLS; the request came without.\n";
  connection->worker->metrics->worker.errors[ERROR_PLAIN_HTTP]++;
  return answer(connection, text, sizeof text - 1, CLOSE_PLAIN_HTTP);
}

static enum step_result refuse_hello(struct connection *connection, enum client_hello_fault fault) {
  log_refusal(connection, client_hello_text(fault));
  if (fault == HELLO_PLAIN_HTTP)
    return answer_http(connection);
  connection->worker->metrics->worker.errors[ERROR_CLIENT_HELLO]++;
  return answer_alert(connection, ALERT_FATAL, client_hello_alert(fault), CLOSE_CLIENT_HELLO);
}

/* Keeps what has come of a hello. */
static enum step_result keep(struct connection *connection, const struct client_hello *hello, const void *bytes,
                             size_t size) {
  if (!connection->reading) {
    connection->reading = malloc(sizeof *connection->reading);
    if (!connection->reading)
      return refuse_memory(connection);
    *connection->reading = (struct hello_reading){.hello = *hello};
  }
  return buffer_append(&connection->reading->bytes, bytes, size) == 0 ? STEP_WAIT : refuse_memory(connection);
}

/* What was read goes back in front of what comes. */
static enum step_result pass_on(struct connection *connection, const void *bytes, size_t size) {
  struct stream *client = &connection->client;
  struct buffer *before = connection->reading ? connection->reading->bytes : NULL;
  client->on_ready = NULL;
  if (stream_unread(client, bytes, size) != 0 ||
      (before && stream_unread(client, buffer_bytes(before), buffer_size(before)) != 0))
    return refuse_memory(connection);
  sniff_cancel(connection);
  return STEP_DONE;
}

static enum step_result look_at_sniffed(struct connection *connection, const void *bytes, size_t size) {
  struct client_hello first, *hello = &first;
  if (connection->reading)
    hello = &connection->reading->hello;
  else
    client_hello_init(hello);
  enum client_hello_status status = client_hello_feed(hello, bytes, size);
  if (status != CLIENT_HELLO_COMPLETE && connection->first.table_port->has_plain && client_hello_is_plain(hello))
    return pass_on(connection, bytes, size);
  if (status == CLIENT_HELLO_REFUSED)
    return refuse_hello(connection, hello->fault);
  if (status == CLIENT_HELLO_MORE)
    return keep(connection, hello, bytes, size);
  connection->sniffed = sniffed_new(hello);
  return connection->sniffed ? pass_on(connection, bytes, size) : refuse_memory(connection);
}

static enum step_result lose(struct connection *connection, ssize_t got) {
  if (got == 0)
    connection->first.ended |= 1 << PIPE_CLIENT;
  connection_close(connection, PIPE_CLIENT, got == 0 ? CLOSE_ENDED : CLOSE_RESET);
  return STEP_REFUSED;
}

static void on_sniff_ready(struct stream *stream, void *context) {
  (void)stream;
  connection_resume(context);
}

enum step_result step_sniff(struct connection *connection) {
  struct stream *client = &connection->client;
  struct worker *worker = connection->worker;
  if (!connection->first.table_port->has_tls || connection->sniffed)
    return STEP_DONE;
  client->on_ready = on_sniff_ready;
  client->context = connection;
  while (stream_may_read(client)) {
    ssize_t got = stream_read(client, worker->pipes.bytes, READ_SIZE);
    if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE)
      break;
    if (got <= 0)
      return lose(connection, got);
    exchange_touch(&connection->first);
    enum step_result result = look_at_sniffed(connection, worker->pipes.bytes, (size_t)got);
    if (result != STEP_WAIT)
      return result;
  }
  return STEP_WAIT;
}
