/* SPDX-License-Identifier: MIT
 *
 * The PROXY header in front of a client's bytes. It is looked at where it lies, in the kernel, and taken out only when
 * it is whole: nothing behind it is touched, and nothing of it is counted. */
#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/proxied.h"
#include "net/proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

/* Why a peer is refused. */
enum refusal {
  REFUSAL_UNTRUSTED,
  REFUSAL_ABSENT,
  REFUSAL_SILENT,
  REFUSAL_LATE,
  REFUSAL_CUT_SHORT,
  REFUSAL_MALFORMED,
  REFUSAL_TOO_LONG,
  REFUSAL_CHECKSUM,
  REFUSAL_COUNT
};

static const struct {
  const char *why, *option;
} refusals[] = {
    [REFUSAL_UNTRUSTED] = {"a PROXY header from a peer that is not trusted", "proxy_protocol.trusted"},
    [REFUSAL_ABSENT] = {"something else where a PROXY header must be", "proxy_protocol.accept"},
    [REFUSAL_SILENT] = {"no PROXY header, where one must be", "proxy_protocol.accept"},
    [REFUSAL_LATE] = {"a PROXY header that was not whole in time", "proxy_protocol.timeout"},
    [REFUSAL_CUT_SHORT] = {"a PROXY header that was cut short: the peer has ended", NULL},
    [REFUSAL_MALFORMED] = {"a malformed PROXY header", NULL},
    [REFUSAL_TOO_LONG] = {"a PROXY header that is too long", NULL},
    [REFUSAL_CHECKSUM] = {"a PROXY header whose checksum is wrong", NULL},
};
_Static_assert(sizeof refusals / sizeof refusals[0] == REFUSAL_COUNT, "words for each refusal");

/* Each kind has log lines of its own, so that one does not hide another. */
static void count_refusal(struct connection *connection, enum refusal refusal) {
  struct worker *worker = connection->worker;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], peer[ADDRESS_TEXT_SIZE];
  worker->metrics->worker.errors[ERROR_PROXY_HEADER]++;
  if (log_enabled(worker->log, LOG_WARN) &&
      log_limits_pass(&worker->refusal_logs, CLOSE_REASON_COUNT + refusal, loop_now(&worker->loop), &suppressed))
    LOG(worker->log, LOG_WARN, "a peer was refused", LOG_STRING("error", refusals[refusal].why),
        LOG_STRING("option", refusals[refusal].option),
        LOG_STRING("peer", ip_address_format(&connection->client_address, peer)), LOG_INTEGER("port", connection->port),
        LOG_STRING("connection", connection_id(connection, id)), LOG_INTEGER("not_logged_before", suppressed));
}

void proxy_header_unwanted(struct connection *connection) { count_refusal(connection, REFUSAL_UNTRUSTED); }

static enum step_result refuse(struct connection *connection, enum refusal refusal) {
  count_refusal(connection, refusal);
  connection_close(connection, PIPE_CLIENT, CLOSE_PROXY_HEADER);
  return STEP_REFUSED;
}

/* Of bytes that are no header, and will be none. */
static enum refusal refusal_of(ssize_t status) {
  switch (status) {
  case PROXY_ABSENT:
    return REFUSAL_ABSENT;
  case PROXY_TOO_LONG:
    return REFUSAL_TOO_LONG;
  case PROXY_BAD_CRC32C:
    return REFUSAL_CHECKSUM;
  default:
    return REFUSAL_MALFORMED;
  }
}

static enum step_result take(struct connection *connection, const struct proxy_header *header, size_t size) {
  struct worker *worker = connection->worker;
  struct proxied *proxied = malloc(sizeof *proxied + header->tlvs_size);
  if (!proxied)
    return exchange_refuse_memory(&connection->first);
  proxied->hop = connection->client_address;
  proxied->destination = header->destination;
  proxied->tlvs_size = header->tlvs_size;
  if (header->tlvs_size > 0)
    memcpy(proxied->tlvs, header->tlvs, header->tlvs_size);
  if (header->has_addresses)
    connection->client_address = header->source;
  connection->proxied = proxied;
  connection->client.on_ready = NULL;
  connection->proxy_waits = false;
  worker->metrics->worker.overhead[OVERHEAD_PROXY_HEADER].in += size;
  if (stream_skip(&connection->client, size) == 0)
    return STEP_DONE;
  connection_close(connection, PIPE_CLIENT, CLOSE_RESET);
  return STEP_REFUSED;
}

static enum step_result go_without(struct connection *connection) {
  connection->client.on_ready = NULL;
  connection->proxy_waits = false;
  return STEP_DONE;
}

/* A load balancer that looks whether somebody listens: nobody is refused, and no target hears of it. The end of the
 * connection is in the log, at the level debug, as any other's. */
static enum step_result see_off_probe(struct connection *connection) {
  connection_close(connection, PIPE_CLIENT, CLOSE_PROBE);
  return STEP_REFUSED;
}

/* `got` bytes are there so far; `over`: no more will come in time. */
static enum step_result look_at_header(struct connection *connection, const uint8_t *bytes, size_t got, bool over) {
  bool must = connection->first.pin->table->policy->accept == PROXY_ACCEPT_MUST;
  bool left = connection->client.readiness & (must ? STREAM_ENDED | STREAM_FAILED : STREAM_BROKEN);
  struct proxy_header header;
  ssize_t size = proxy_header_parse(bytes, got, &header);
  if (got == 0 && left)
    return see_off_probe(connection);
  if (size > 0)
    return take(connection, &header, (size_t)size);
  if (size == PROXY_ABSENT || (size == PROXY_MORE && over && got == 0))
    return must ? refuse(connection, got == 0 ? REFUSAL_SILENT : REFUSAL_ABSENT) : go_without(connection);
  if (size != PROXY_MORE)
    return refuse(connection, refusal_of(size));
  if (!over)
    return STEP_WAIT;
  return refuse(connection, connection->proxy_over ? REFUSAL_LATE : REFUSAL_CUT_SHORT);
}

static void on_header_ready(struct stream *stream, void *context) {
  (void)stream;
  connection_resume(context);
}

static enum step_result read_header(struct connection *connection) {
  struct stream *client = &connection->client;
  struct worker *worker = connection->worker;
  ssize_t got = 0;
  if (client->readiness & STREAM_READABLE) {
    got = stream_peek(client, worker->pipes.bytes, PROXY_MOST + 1);
    if (got < 0 && got != STREAM_WANT_READ)
      return see_off_probe(connection);
  }
  if (got < 0)
    got = 0;
  /* What had come before the time was up is still there, and a peer that has ended sends no more. */
  bool over = connection->proxy_over || (client->readiness & (STREAM_ENDED | STREAM_FAILED));
  if (over && got == 0)
    got = stream_peek(client, worker->pipes.bytes, PROXY_MOST + 1);
  return look_at_header(connection, (const uint8_t *)worker->pipes.bytes, got < 0 ? 0 : (size_t)got, over);
}

enum step_result step_proxy_header(struct connection *connection) {
  const struct policy *policy = connection->first.pin->table->policy;
  if (!policy || !policy->trusted || policy->accept == PROXY_ACCEPT_NEVER)
    return STEP_DONE;
  if (!connection->proxy_waits) {
    if (!connection->client_address.is_set || !ip_set_contains(policy->trusted, &connection->client_address)) {
      stream_guard(&connection->client);
      return STEP_DONE;
    }
    connection->proxy_waits = true;
    connection->client.on_ready = on_header_ready;
    connection->client.context = connection;
  }
  return read_header(connection);
}

/* The deadline has passed. */
void proxy_header_over(struct connection *connection) {
  connection->proxy_over = true;
  connection_resume(connection);
}
