/* SPDX-License-Identifier: MIT
 *
 * What a target that could not be connected to comes to: in counters, in the log, in what is remembered of it, and as
 * the reason of a close. */
#include "connection/access_log.h"
#include "engines/userspace_private.h"

#include <errno.h>
#include <string.h>

static void count_failure(struct exchange *exchange, int status) {
  uint64_t *errors = exchange_worker(exchange)->metrics->worker.errors;
  switch (-status) {
  case ECONNREFUSED:
  case ENXIO: /* a unix socket that is not there */
    errors[ERROR_CONNECT_REFUSED]++;
    break;
  case ETIMEDOUT:
    errors[ERROR_CONNECT_TIMEOUT]++;
    break;
  case ENOENT:
  case EAGAIN:
  case EINVAL:
    errors[ERROR_RESOLVE]++;
    break;
  case EMFILE:
  case ENFILE:
    errors[ERROR_DESCRIPTORS]++;
    break;
  case ENOMEM:
  case ENOBUFS:
    errors[ERROR_MEMORY]++;
    break;
  default:
    errors[ERROR_CONNECT]++;
  }
}

enum close_reason target_failure_reason(int status) {
  switch (-status) {
  case ECONNREFUSED:
  case ENXIO:
    return CLOSE_REFUSED;
  case ETIMEDOUT:
    return CLOSE_CONNECT_TIMEOUT;
  case ENOENT:
  case EAGAIN:
  case EINVAL:
    return CLOSE_RESOLVE;
  case EMFILE:
  case ENFILE:
    return CLOSE_NO_DESCRIPTORS;
  case ENOMEM:
  case ENOBUFS:
    return CLOSE_NO_MEMORY;
  default:
    return CLOSE_UNREACHABLE;
  }
}

/* What the dial can't know, of a name: that none of its addresses can be reached, or that it has none. */
static void remember_name(const struct exchange *exchange, const struct target_failure *failure) {
  const struct target_choice choice = target_choice_of(exchange);
  const struct route_target *target = failure->target;
  struct failure_key key;
  char text[ACCESS_TARGET_SIZE];
  if (!choice.failures || !failures_is_evidence(failure->status) || !target || target->address.is_set ||
      !target_failure_key(&choice, target, &key))
    return;
  failures_note(choice.failures, &key, host_format(target->host, failure->port, text, sizeof text), failure->status,
                choice.now);
}

void target_failed(struct exchange *exchange, const struct target_failure *failure) {
  count_failure(exchange, failure->status);
  if (exchange->route->target_count > 1)
    remember_name(exchange, failure);
}

void target_failure_log(struct exchange *exchange, const struct target_failure *failure, bool last) {
  struct worker *worker = exchange_worker(exchange);
  const char *host = failure->host ? failure->host : failure->target->host;
  struct log_limits *limits = &worker->route_logs[last ? ROUTE_LOG_OUTCOME : ROUTE_LOG_TARGET];
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE], target[ACCESS_TARGET_SIZE];
  if (!log_enabled(worker->log, LOG_WARN) ||
      !log_limits_pass(limits, exchange->route->stats, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_WARN, last ? "no target could be reached; the client is reset" : "a target could not be reached",
      LOG_STRING("route", exchange->route->name),
      LOG_STRING("target", host_format(host, failure->port, target, sizeof target)),
      LOG_STRING("error", failures_describe(failure->status)), LOG_INTEGER("attempts", exchange->attempts),
      LOG_STRING("connection", exchange_id(exchange, id)),
      LOG_STRING("client", ip_address_format(&exchange->connection->client_address, client)),
      LOG_INTEGER("not_logged_before", suppressed));
}
