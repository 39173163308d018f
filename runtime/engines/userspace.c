/* SPDX-License-Identifier: MIT
 *
 * The userspace engine: chooses a target, connects to it, the next one where that fails, and joins the two sides by a
 * pipe. */
#include "connection/corridor.h"
#include "engines/engine.h"
#include "routing/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void count_failure(struct connection *connection, int status) {
  uint64_t *errors = connection->worker->metrics->worker.errors;
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

static enum close_reason reason_of(int status) {
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

static const char *describe(int status) {
  switch (-status) {
  case ENOENT:
    return "no such host";
  case ENXIO:
    return "no such socket";
  default:
    return strerror(-status);
  }
}

/* `last`: there is no further target to try. */
static void log_failure(struct connection *connection, int status, bool last) {
  struct worker *worker = connection->worker;
  const struct exchange *exchange = &connection->exchange;
  const char *host = exchange->host ? exchange->host : exchange->target->host;
  struct log_limits *limits = &worker->route_logs[last ? ROUTE_LOG_OUTCOME : ROUTE_LOG_TARGET];
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  if (!log_enabled(worker->log, LOG_WARN) ||
      !log_limits_pass(limits, exchange->route->stats, loop_now(&worker->loop), &suppressed))
    return;
  bool has_port = strncmp(host, "unix:", 5) != 0;
  LOG(worker->log, LOG_WARN, last ? "no target could be reached; the client is reset" : "a target could not be reached",
      LOG_STRING("route", exchange->route->name), LOG_STRING("target", host),
      has_port ? LOG_INTEGER("port", exchange->port) : LOG_STRING("port", NULL), LOG_STRING("error", describe(status)),
      LOG_INTEGER("attempts", exchange->attempts), LOG_STRING("connection", connection_id(connection, id)),
      LOG_STRING("client", ip_address_format(&connection->client_address, client)),
      LOG_INTEGER("not_logged_before", suppressed));
}

static enum step_result not_answered(enum function_result result) {
  return result == FUNCTION_WAITS ? STEP_WAIT : STEP_REFUSED;
}

/* "host:port" and "[address]:port" in place; a host alone, or a bare IPv6 address, is left as it is. */
static void split_port(struct exchange *exchange) {
  char *host = exchange->host;
  if (!host || exchange->port >= 0 || strncmp(host, "unix:", 5) == 0)
    return;
  char *colon = strrchr(host, ':');
  if (!colon || colon == host || (host[0] != '[' && strchr(host, ':') != colon) || (host[0] == '[' && colon[-1] != ']'))
    return;
  char *end;
  long port = strtol(colon + 1, &end, 10);
  if (end == colon + 1 || *end || port < 1 || port > UINT16_MAX)
    return;
  *colon = '\0';
  exchange->port = (int)port;
}

static bool port_is_valid(double port) { return port >= 1 && port <= UINT16_MAX && port == (double)(int)port; }

static enum step_result ask_target(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  struct function_answer answer;
  enum function_result result = connection_ask(connection, exchange->route->target_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return not_answered(result);
  exchange->host = answer.string;
  if (answer.has_number && !port_is_valid(answer.number))
    return connection_refuse_answer(connection, PIPE_TARGET, &answer,
                                    "action.target returned a port that is not a number from 1 to 65535");
  exchange->port = answer.has_number ? (int)answer.number : -1;
  split_port(exchange);
  if (!exchange->host || (exchange->port < 0 && strncmp(exchange->host, "unix:", 5) != 0))
    return connection_refuse_answer(connection, PIPE_TARGET, &answer,
                                    "action.target must return a host and a port, \"host:port\" or \"unix:/path\"");
  exchange->host_given = true;
  return STEP_DONE;
}

static enum step_result ask_host(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  struct function_answer answer;
  enum function_result result = connection_ask(connection, exchange->target->host_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return not_answered(result);
  exchange->host = answer.string;
  return exchange->host ? STEP_DONE
                        : connection_refuse_answer(connection, PIPE_TARGET, &answer,
                                                   "the target's host function must return a name or an address");
}

static enum step_result ask_port(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  struct function_answer answer;
  enum function_result result = connection_ask(connection, exchange->target->port_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return not_answered(result);
  free(answer.string);
  if (!answer.has_number || !port_is_valid(answer.number))
    return connection_refuse_answer(connection, PIPE_TARGET, &answer,
                                    "the target's port function must return a number from 1 to 65535");
  exchange->port = (int)answer.number;
  return STEP_DONE;
}

static enum step_result ask_balance(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  const struct route *route = exchange->route;
  struct function_answer answer;
  enum function_result result = connection_ask(connection, route->balance_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return not_answered(result);
  free(answer.string);
  if (!answer.has_number || !(answer.number >= 1 && answer.number <= (double)route->target_count) ||
      answer.number != (double)(size_t)answer.number)
    return connection_refuse_answer(connection, PIPE_TARGET, &answer,
                                    "action.balance must return the index of one of the targets");
  exchange->target = &route->targets[(size_t)answer.number - 1];
  return STEP_DONE;
}

static void let_go(struct exchange *exchange) {
  if (exchange->loaded)
    atomic_fetch_sub_explicit(&exchange->target->load->active, 1, memory_order_relaxed);
  exchange->loaded = false;
}

/* The first target, or what is counted for the one that try_next() has turned to. */
static enum step_result choose_target(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  const struct route *route = exchange->route;
  if (!exchange->target && route->balance_function != ROUTE_NO_FUNCTION) {
    enum step_result result = ask_balance(connection);
    if (result != STEP_DONE)
      return result;
  } else if (!exchange->target) {
    exchange->target = route_choose_target(route, &connection->client_address);
  }
  if (exchange->target->load && !exchange->loaded) {
    atomic_fetch_add_explicit(&exchange->target->load->active, 1, memory_order_relaxed);
    exchange->loaded = true;
  }
  return STEP_DONE;
}

/* Fills host and port of the target being tried, by its functions where it has some. */
static enum step_result know_target(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  const struct route *route = exchange->route;
  if (exchange->host_given)
    return STEP_DONE;
  if (route->target_function != ROUTE_NO_FUNCTION)
    return ask_target(connection);
  enum step_result chosen = choose_target(connection);
  if (chosen != STEP_DONE)
    return chosen;
  const struct route_target *target = exchange->target;
  if (target->host_function != ROUTE_NO_FUNCTION && !exchange->host) {
    enum step_result result = ask_host(connection);
    if (result != STEP_DONE)
      return result;
  }
  if (exchange->port >= 0)
    return STEP_DONE;
  if (target->port_function != ROUTE_NO_FUNCTION)
    return ask_port(connection);
  exchange->port = target->preserve_port ? connection->port : target->port;
  return STEP_DONE;
}

static size_t targets_left(const struct exchange *exchange) {
  return exchange->host_given ? 1 : exchange->route->target_count - exchange->attempts;
}

static bool has_next(const struct exchange *exchange, int status) {
  if (status == -EMFILE || status == -ENFILE || status == -ENOMEM)
    return false; /* ours, not the target's */
  return !exchange->host_given && exchange->attempts < exchange->route->target_count;
}

/* The target has failed: turns to the next one, or says that there is none. */
static bool try_next(struct connection *connection, int status) {
  struct exchange *exchange = &connection->exchange;
  exchange->attempts++;
  bool next = has_next(exchange, status);
  log_failure(connection, status, !next);
  if (!next)
    return false;
  const struct route *route = exchange->route;
  let_go(exchange);
  size_t index = (size_t)(exchange->target - route->targets);
  exchange->target = &route->targets[(index + 1) % route->target_count];
  free(exchange->host);
  exchange->host = NULL;
  exchange->port = -1;
  return true;
}

static void on_dialled(void *context, int status, int fd, const struct endpoint *peer) {
  struct connection *connection = context;
  struct exchange *exchange = &connection->exchange;
  (void)peer;
  exchange->dial = NULL;
  exchange->dialled = true;
  exchange->dial_status = status;
  exchange->dial_fd = fd;
  if (!exchange->dialling)
    connection_resume(connection);
}

/* The deadline is one for all targets; each has its share of what is left, so that one that is silent leaves time for
 * the rest. */
static void dial(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  clock_ms now = loop_now(&connection->worker->loop);
  uint64_t left = exchange->connect_deadline > now ? exchange->connect_deadline - now : 1;
  uint64_t ms = left / targets_left(exchange) + 1;
  uint16_t port = (uint16_t)(exchange->port < 0 ? 0 : exchange->port);
  struct dialer *dialer = &connection->worker->dialer;
  const struct route_target *target = exchange->host ? NULL : exchange->target;
  exchange->dialling = true;
  struct dial *dial =
      target && target->address.is_set
          ? dial_start_address(dialer, &target->address, port, ms, on_dialled, connection)
          : dial_start(dialer, target ? target->host : exchange->host, port, ms, on_dialled, connection);
  exchange->dialling = false;
  if (!exchange->dialled)
    exchange->dial = dial;
}

static void on_event(void *context) { connection_wake(context); }

static void on_ending(void *context, enum pipe_side side, int status) {
  struct connection *connection = context;
  if (status < 0 && connection->exchange.route->timeouts.linger == 0)
    connection_close(connection, side, CLOSE_RESET);
  else
    connection_await_end(connection);
}

static void on_ended(void *context, enum pipe_side side) {
  struct connection *connection = context;
  connection->ended |= (uint8_t)(1 << side);
  connection_touch(connection); /* what may still come has its time from now on */
  bool both = connection->ended == ((1 << PIPE_CLIENT) | (1 << PIPE_TARGET));
  if (both || (side == PIPE_TARGET && !connection->exchange.route->half_open))
    connection_close(connection, side, CLOSE_ENDED);
  else
    connection_arm_timer(connection);
}

static void on_failed(void *context, enum pipe_side side, int status) {
  connection_close(context, side, status == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_RESET);
}

static const struct pipe_callbacks pipe_callbacks = {
    .on_event = on_event, .on_ending = on_ending, .on_ended = on_ended, .on_failed = on_failed};

static enum step_result join(struct connection *connection, int fd) {
  struct exchange *exchange = &connection->exchange;
  struct worker *worker = connection->worker;
  if (exchange->route->proxy_send.version > 0 && proxy_header_send(connection, fd) < 0) {
    close(fd);
    connection_close(connection, PIPE_TARGET, CLOSE_RESET);
    return STEP_REFUSED;
  }
  if (stream_open(&exchange->target_stream, &worker->loop, fd, NULL, STREAM_WRITABLE) != 0) {
    close(fd);
    worker->metrics->worker.errors[ERROR_MEMORY]++;
    connection_close(connection, PIPE_TARGET, CLOSE_NO_MEMORY);
    return STEP_REFUSED;
  }
  connection_set_state(connection, CONNECTION_FORWARDING);
  connection_unpin_table(connection);
  connection_touch(connection);
  exchange->in_before = connection->tally.own.in - buffer_size(connection->client.unread);
  exchange->out_before = connection->tally.own.out;
  pipe_start(&exchange->pipe, &worker->pipes, &connection->client, &exchange->target_stream, &pipe_callbacks,
             connection, &connection->last_active);
  return connection->state == CONNECTION_FORWARDING ? STEP_DONE : STEP_REFUSED;
}

static void begin(struct connection *connection) {
  const struct route *route = connection->exchange.route;
  clock_ms now = loop_now(&connection->worker->loop);
  connection->exchange.connect_deadline = route->timeouts.connect ? now + route->timeouts.connect : CLOCK_NEVER;
  connection_set_state(connection, CONNECTION_CONNECTING);
  connection_watch_client(connection);
}

static enum step_result userspace_run(struct connection *connection) {
  struct exchange *exchange = &connection->exchange;
  if (connection->state != CONNECTION_CONNECTING)
    begin(connection);
  if (connection->client.readiness & STREAM_FAILED) { /* it has left meanwhile */
    connection_close(connection, PIPE_CLIENT, CLOSE_RESET);
    return STEP_REFUSED;
  }
  for (;;) {
    if (!exchange->dialled) {
      if (exchange->dial)
        return STEP_WAIT;
      enum step_result result = know_target(connection);
      if (result != STEP_DONE)
        return result;
      dial(connection);
      if (!exchange->dialled)
        return STEP_WAIT;
    }
    exchange->dialled = false;
    if (exchange->dial_status == 0) {
      exchange->attempts++;
      return join(connection, exchange->dial_fd);
    }
    count_failure(connection, exchange->dial_status);
    if (!try_next(connection, exchange->dial_status)) {
      connection_close(connection, PIPE_TARGET, reason_of(exchange->dial_status));
      return STEP_REFUSED;
    }
  }
}

static void userspace_cancel(struct connection *connection, bool reset) {
  struct exchange *exchange = &connection->exchange;
  let_go(exchange);
  if (exchange->dialled && exchange->dial_status == 0)
    close(exchange->dial_fd); /* nobody has come to take it */
  exchange->dialled = false;
  if (exchange->dial) {
    exchange->attempts++; /* nothing came of it, but the log has to say where the client waited */
    dial_cancel(exchange->dial);
  }
  exchange->dial = NULL;
  pipe_stop(&exchange->pipe);
  if (!connection->reset_target)
    stream_close(&exchange->target_stream, reset);
}

const struct engine_ops userspace_engine = {.name = "userspace", .run = userspace_run, .cancel = userspace_cancel};
