/* SPDX-License-Identifier: MIT
 *
 * The corridor: the steps of a connection, one after the other. Each can be resumed where it waited, and is cancelled
 * by the close. */
#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"
#include "engines/engine.h"

#include <stdlib.h>

static void take_answer(struct connection *connection, struct function_answer *answer) {
  *answer = *connection->answer;
  free(connection->answer);
  connection->answer = NULL;
}

static bool ask(struct connection *connection, int slot) {
  if (connection->worker->hooks->function_call(connection, slot) == 0)
    return true;
  connection->worker->metrics->worker.errors[ERROR_MEMORY]++;
  connection_close(connection, PIPE_CLIENT, CLOSE_NO_MEMORY);
  return false;
}

enum function_result connection_ask(struct connection *connection, int slot, struct function_answer *answer) {
  if (!connection->answer) {
    connection->asking = true;
    bool asked = ask(connection, slot);
    connection->asking = false;
    if (!asked)
      return FUNCTION_FAILED;
    if (!connection->answer) {
      connection_watch_client(connection);
      if (!(connection->client.readiness & STREAM_FAILED))
        return FUNCTION_WAITS;
      connection_close(connection, PIPE_CLIENT, CLOSE_RESET); /* it had left already */
      return FUNCTION_FAILED;
    }
  }
  take_answer(connection, answer);
  if (answer->kind == ANSWER_VALUES || answer->kind == ANSWER_NONE) /* none: as if it had returned nil */
    return FUNCTION_ANSWERED;
  enum close_reason reason = answer->kind == ANSWER_STOPPED ? CLOSE_SCRIPT_TIME : CLOSE_HANDLER_ERROR;
  free(answer->string);
  connection_close(connection, PIPE_CLIENT, reason);
  return FUNCTION_FAILED;
}

enum step_result connection_refuse_answer(struct connection *connection, enum pipe_side side,
                                          const struct function_answer *answer, const char *what) {
  struct worker *worker = connection->worker;
  const struct route *route = connection->exchange.route;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  connection->stats->handler_errors++;
  worker->metrics->worker.errors[ERROR_HANDLER]++;
  if (log_limits_pass(&worker->route_logs[ROUTE_LOG_FUNCTION], route->stats, loop_now(&worker->loop), &suppressed))
    LOG(worker->log, LOG_ERROR, what, LOG_STRING("route", route->name), LOG_STRING("file", route->file),
        LOG_STRING("returned", answer->shown), LOG_STRING("connection", connection_id(connection, id)),
        LOG_STRING("client", ip_address_format(&connection->client_address, client)),
        LOG_INTEGER("not_logged_before", suppressed));
  connection_close(connection, side, CLOSE_HANDLER_ERROR);
  return STEP_REFUSED;
}

static void on_client_ready(struct stream *stream, void *context) {
  if (stream->readiness & STREAM_FAILED)
    connection_close(context, PIPE_CLIENT, CLOSE_RESET);
}

void connection_watch_client(struct connection *connection) {
  connection->client.context = connection;
  connection->client.on_ready = on_client_ready;
}

static enum step_result take_route(struct connection *connection, struct route *route) {
  struct route_stats *stats = metrics_shard_route(connection->worker->metrics, route->stats);
  if (!stats) {
    connection->worker->metrics->worker.errors[ERROR_MEMORY]++;
    connection_close(connection, PIPE_CLIENT, CLOSE_NO_MEMORY);
    return STEP_REFUSED;
  }
  connection->exchange.route = route_ref(route);
  connection->stats = stats;
  stats->connections++;
  stats->active++;
  metrics_shard_route(connection->worker->metrics, METRIC_NO_ROUTE)->active--;
  tally_set_route(&connection->tally, &stats->bytes);
  worker_treat_late(connection->worker, connection);
  return connection->state < CONNECTION_CLOSING ? STEP_DONE : STEP_REFUSED;
}

/* What is known of the connection by now. */
static struct route_question question_of(const struct connection *connection) {
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
static struct route *next_candidate(struct connection *connection) {
  if (connection->candidate_asked)
    return connection->candidate_asked;
  if (!connection->choice.port)
    route_choice_begin(&connection->choice, connection->table_port);
  struct route_question question = question_of(connection);
  return route_choice_next(&connection->choice, &question);
}

static enum step_result refuse_route(struct connection *connection) {
  if (!connection->sniffed) {
    connection->worker->metrics->worker.errors[ERROR_NO_ROUTE]++;
    connection_close(connection, PIPE_CLIENT, CLOSE_NO_ROUTE);
    return STEP_REFUSED;
  }
  if (connection->turned_down)
    return sniff_refuse_route(connection, ALERT_ACCESS_DENIED);
  struct route_question question = question_of(connection);
  question.tls_versions = TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3;
  route_choice_begin(&connection->choice, connection->table_port);
  if (route_choice_next(&connection->choice, &question))
    return sniff_refuse_route(connection, ALERT_PROTOCOL_VERSION);
  return sniff_refuse_name(connection);
}

/* The candidates come in order; the first whose `when` says so, or that has none, it is. */
static enum step_result step_route(struct connection *connection) {
  for (struct route *route; (route = next_candidate(connection));) {
    if (route->when_function == ROUTE_NO_FUNCTION)
      return take_route(connection, route);
    struct function_answer answer;
    connection->candidate_asked = route;
    enum function_result result = connection_ask(connection, route->when_function, &answer);
    if (result != FUNCTION_ANSWERED)
      return result == FUNCTION_WAITS ? STEP_WAIT : STEP_REFUSED;
    connection->candidate_asked = NULL;
    free(answer.string);
    if (answer.truthy)
      return take_route(connection, route);
    connection->turned_down = true;
  }
  return refuse_route(connection);
}

/* A handler has the connection from here on, until it ends or forwards it: then the engine step is next. */
static enum step_result step_handler(struct connection *connection) {
  if (connection->exchange.route->action != ROUTE_HANDLER || connection->state == CONNECTION_HANDLING)
    return STEP_DONE;
  connection_set_state(connection, CONNECTION_HANDLING);
  if (connection->worker->hooks->handler_start(connection) != 0) {
    if (connection->state != CONNECTION_HANDLING)
      return STEP_REFUSED;
    connection->worker->metrics->worker.errors[ERROR_MEMORY]++;
    connection_close(connection, PIPE_CLIENT, CLOSE_NO_MEMORY);
    return STEP_REFUSED;
  }
  if (connection->state != CONNECTION_HANDLING)
    return STEP_REFUSED;
  connection_unpin_table(connection);
  return STEP_WAIT;
}

static enum step_result step_engine(struct connection *connection) { return userspace_engine.run(connection); }

static enum step_result (*const corridor[])(struct connection *) = {
    step_cap, step_proxy_header, step_enter, step_sniff, step_route, step_admit, step_handler, step_engine,
};
enum { CORRIDOR_LENGTH = sizeof corridor / sizeof corridor[0] };

static void advance(struct connection *connection) {
  while (connection->step < CORRIDOR_LENGTH) {
    enum step_result result = corridor[connection->step](connection);
    if (result == STEP_REFUSED)
      return;
    if (result == STEP_WAIT)
      break;
    connection->step++;
  }
  if (connection->state == CONNECTION_FORWARDING)
    connection_arm_first(connection);
  else
    connection_arm_timer(connection);
}

void connection_start(struct connection *connection) { advance(connection); }

void connection_resume(struct connection *connection) {
  if (connection->state < CONNECTION_CLOSING)
    advance(connection);
}

void connection_function_answered(struct connection *connection, struct function_answer *answer) {
  connection->answer = answer;
  if (!connection->asking)
    connection_resume(connection);
}

void connection_handler_ended(struct connection *connection, enum close_reason reason) {
  connection_close(connection, PIPE_CLIENT, reason);
}

void connection_forward(struct connection *connection, char *host, int port) {
  connection->exchange.host = host;
  connection->exchange.port = port;
  connection->exchange.host_given = true;
  connection_resume(connection);
}
