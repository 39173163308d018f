/* SPDX-License-Identifier: MIT
 *
 * The corridor of an exchange: the choice of its route, admission, and what takes it from there, a handler or an
 * engine. Each step can be resumed where it waited, and is cancelled by the close. */
#include "connection/admission.h"
#include "connection/codec.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"
#include "engines/userspace.h"

#include <stddef.h>
#include <stdlib.h>

enum step_result exchange_refuse_memory(struct exchange *exchange) {
  exchange_worker(exchange)->metrics->worker.errors[ERROR_MEMORY]++;
  exchange_close(exchange, PIPE_CLIENT, CLOSE_NO_MEMORY);
  return STEP_REFUSED;
}

/* --- asking a function --- */

static const struct exchange *exchange_of(const struct asker *asker) {
  return (const struct exchange *)(const void *)((const char *)asker - offsetof(struct exchange, asker));
}

static struct worker *exchange_asker_worker(const struct asker *asker) { return exchange_worker(exchange_of(asker)); }

static const struct route *exchange_asker_route(const struct asker *asker) {
  return exchange_route(exchange_of(asker));
}

static struct exchange *exchange_asker_self(struct asker *asker) {
  return (struct exchange *)(void *)((char *)asker - offsetof(struct exchange, asker));
}

static void exchange_asker_answered(struct asker *asker) { exchange_resume(exchange_asker_self(asker)); }

const struct asker_ops exchange_asker_ops = {
    .worker = exchange_asker_worker,
    .route = exchange_asker_route,
    .exchange = exchange_asker_self,
    .answered = exchange_asker_answered,
};

enum function_result exchange_ask(struct exchange *exchange, int slot, struct function_answer *answer) {
  switch (asker_ask(&exchange->asker, slot, answer)) {
  case ASKER_ANSWERED:
    break;
  case ASKER_WAITS:
    exchange_watch_client(exchange);
    if (!(exchange->client->readiness & STREAM_FAILED))
      return FUNCTION_WAITS;
    exchange_close(exchange, PIPE_CLIENT, CLOSE_RESET); /* it had left already */
    return FUNCTION_FAILED;
  case ASKER_FAILED:
    exchange_refuse_memory(exchange);
    return FUNCTION_FAILED;
  case ASKER_CANCELLED:
    return FUNCTION_FAILED;
  }
  if (answer->kind == ANSWER_VALUES || answer->kind == ANSWER_NONE) /* none: as if it had returned nil */
    return FUNCTION_ANSWERED;
  enum close_reason reason = answer->kind == ANSWER_STOPPED ? CLOSE_SCRIPT_TIME : CLOSE_HANDLER_ERROR;
  free(answer->string);
  exchange_close(exchange, PIPE_CLIENT, reason);
  return FUNCTION_FAILED;
}

enum step_result exchange_refuse_answer(struct exchange *exchange, enum pipe_side side,
                                        const struct function_answer *answer, const char *what) {
  struct worker *worker = exchange_worker(exchange);
  const struct route *route = exchange->route;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  metrics_shard_route(worker->metrics, route->stats)->handler_errors++;
  worker->metrics->worker.errors[ERROR_HANDLER]++;
  if (log_limits_pass(&worker->route_logs[ROUTE_LOG_FUNCTION], route->stats, exchange_now(exchange), &suppressed))
    LOG(worker->log, LOG_ERROR, what, LOG_STRING("route", route->name), LOG_STRING("file", route->file),
        LOG_STRING("returned", answer->shown), LOG_STRING("connection", exchange_id(exchange, id)),
        LOG_STRING("client", ip_address_format(&exchange->connection->client_address, client)),
        LOG_INTEGER("not_logged_before", suppressed));
  exchange_close(exchange, side, CLOSE_HANDLER_ERROR);
  return STEP_REFUSED;
}

static void on_waiting_client_ready(struct stream *stream, void *context) {
  if (stream->readiness & STREAM_FAILED)
    exchange_close(context, PIPE_CLIENT, CLOSE_RESET);
}

void exchange_watch_client(struct exchange *exchange) {
  exchange->client->context = exchange;
  exchange->client->on_ready = on_waiting_client_ready;
}

/* --- the steps --- */

/* The connection is counted by the first route that it gets. Without a codec that has all its bytes. */
static void count_first_route(struct connection *connection, struct route *route, struct route_stats *stats) {
  stats->connections++;
  stats->active++;
  connection->tally.client->connections++;
  metrics_shard_none(connection->worker->metrics)->active--;
  if (connection->codec)
    connection->codec->route = route_ref(route);
  else
    tally_set_route(&connection->tally, &stats->bytes);
}

static enum step_result take_route(struct exchange *exchange, struct route *route) {
  struct connection *connection = exchange->connection;
  struct route_stats *stats = metrics_shard_route(connection->worker->metrics, route->stats);
  if (!stats)
    return exchange_refuse_memory(exchange);
  exchange->route = route_ref(route);
  exchange->dial = NULL;
  exchange->race = NULL;
  exchange->drain_until = 0;
  if (!connection->codec || !connection->codec->route)
    count_first_route(connection, route, stats);
  if (connection->codec)
    codec_charge(connection, route, exchange->bytes); /* what it was charged before */
  worker_treat_late(exchange);
  return exchange->state < EXCHANGE_OVER ? STEP_DONE : STEP_GONE;
}

/* What is known of its client by now. */
static struct route_question question_of(const struct exchange *exchange) {
  const struct connection *connection = exchange->connection;
  const struct sniffed *sniffed = connection->sniffed;
  return (struct route_question){
      .domain = sniffed_domain(sniffed),
      .domain_length = sniffed ? sniffed->domain_size : 0,
      .client = connection->client_address,
      .is_tls = sniffed != NULL,
      .tls_versions = sniffed ? sniffed->version : 0,
  };
}

/* The next that may be it, unless one is being asked already; NULL: there are no more. */
static struct route *next_candidate(struct exchange *exchange) {
  if (exchange->candidate_asked)
    return exchange->candidate_asked;
  struct route_question question = question_of(exchange);
  return route_choice_next(&exchange->choice, &question);
}

static enum step_result refuse_route(struct exchange *exchange) {
  if (!exchange->connection->sniffed || exchange->connection->codec) {
    exchange_worker(exchange)->metrics->worker.errors[ERROR_NO_ROUTE]++;
    exchange_close(exchange, PIPE_CLIENT, CLOSE_NO_ROUTE);
    return STEP_REFUSED;
  }
  if (exchange->turned_down)
    return sniff_refuse_route(exchange->connection, ALERT_ACCESS_DENIED);
  struct route_question question = question_of(exchange);
  question.tls_versions = TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3;
  route_choice_begin(&exchange->choice, exchange->table_port);
  if (route_choice_next(&exchange->choice, &question))
    return sniff_refuse_route(exchange->connection, ALERT_PROTOCOL_VERSION);
  return sniff_refuse_name(exchange->connection);
}

/* The candidates come in order; the first whose `when` says so, or that has none, it is. */
static enum step_result step_route(struct exchange *exchange) {
  for (struct route *route; (route = next_candidate(exchange));) {
    if (route->when_function == ROUTE_NO_FUNCTION)
      return take_route(exchange, route);
    struct function_answer answer;
    exchange->candidate_asked = route;
    enum function_result result = exchange_ask(exchange, route->when_function, &answer);
    if (result != FUNCTION_ANSWERED)
      return exchange_not_answered(result);
    exchange->candidate_asked = NULL;
    free(answer.string);
    if (answer.truthy)
      return take_route(exchange, route);
    exchange->turned_down = true;
  }
  return refuse_route(exchange);
}

/* A handler has the exchange from here on, until it ends or forwards it: then the engine step is next. */
static enum step_result step_handler(struct exchange *exchange) {
  if (exchange->route->action != ROUTE_HANDLER || exchange->state == EXCHANGE_HANDLING)
    return STEP_DONE;
  exchange_set_state(exchange, EXCHANGE_HANDLING);
  int status = exchange_worker(exchange)->hooks->handler_start(exchange);
  if (exchange->state != EXCHANGE_HANDLING)
    return STEP_GONE;
  if (status != 0)
    return exchange_refuse_memory(exchange);
  exchange_unpin_table(exchange);
  return STEP_WAIT;
}

const struct exchange_step exchange_corridor[] = {
    {"route", step_route, STEP_TRIED},       {"admit", step_admit, STEP_TRIED}, {"handler", step_handler, STEP_LAST},
    {"userspace", userspace_run, STEP_LAST}, {NULL, NULL, STEP_LAST},
};

void exchange_start(struct exchange *exchange) {
  while (exchange_corridor[exchange->step].run) {
    enum step_result result = exchange_corridor[exchange->step].run(exchange);
    if (result == STEP_REFUSED || result == STEP_GONE)
      return;
    if (result == STEP_WAIT)
      break;
    exchange->step++;
  }
  if (exchange->state == EXCHANGE_FORWARDING)
    exchange_arm_first(exchange);
  else
    exchange_arm_timer(exchange);
}

void exchange_resume(struct exchange *exchange) {
  if (exchange->state < EXCHANGE_OVER)
    exchange_start(exchange);
}

void exchange_handler_ended(struct exchange *exchange, enum close_reason reason) {
  exchange_close(exchange, PIPE_CLIENT, reason);
}

void exchange_forward(struct exchange *exchange, char *host, int port) {
  exchange->host = host;
  exchange->port = port;
  exchange->host_given = true;
  exchange_resume(exchange);
}
