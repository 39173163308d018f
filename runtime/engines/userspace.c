/* SPDX-License-Identifier: MIT
 *
 * The userspace engine: chooses a target, connects to it, the next one where that fails, and joins the two sides by a
 * pipe. */
#include "engines/userspace.h"

#include "connection/access_log.h"
#include "connection/corridor.h"
#include "routing/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static void log_failure(struct exchange *exchange, int status, bool last) {
  struct worker *worker = exchange_worker(exchange);
  const char *host = exchange->host ? exchange->host : exchange->target->host;
  struct log_limits *limits = &worker->route_logs[last ? ROUTE_LOG_OUTCOME : ROUTE_LOG_TARGET];
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE], target[ACCESS_TARGET_SIZE];
  if (!log_enabled(worker->log, LOG_WARN) ||
      !log_limits_pass(limits, exchange->route->stats, loop_now(&worker->loop), &suppressed))
    return;
  LOG(worker->log, LOG_WARN, last ? "no target could be reached; the client is reset" : "a target could not be reached",
      LOG_STRING("route", exchange->route->name),
      LOG_STRING("target", host_format(host, exchange->port, target, sizeof target)),
      LOG_STRING("error", describe(status)), LOG_INTEGER("attempts", exchange->attempts),
      LOG_STRING("connection", exchange_id(exchange, id)),
      LOG_STRING("client", ip_address_format(&exchange->connection->client_address, client)),
      LOG_INTEGER("not_logged_before", suppressed));
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

static enum step_result ask_target(struct exchange *exchange) {
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, exchange->route->target_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  exchange->host = answer.string;
  if (answer.has_number && !port_is_valid(answer.number))
    return exchange_refuse_answer(exchange, PIPE_TARGET, &answer,
                                  "action.target returned a port that is not a number from 1 to 65535");
  exchange->port = answer.has_number ? (int)answer.number : -1;
  split_port(exchange);
  if (!exchange->host || (exchange->port < 0 && strncmp(exchange->host, "unix:", 5) != 0))
    return exchange_refuse_answer(exchange, PIPE_TARGET, &answer,
                                  "action.target must return a host and a port, \"host:port\" or \"unix:/path\"");
  exchange->host_given = true;
  return STEP_DONE;
}

static enum step_result ask_host(struct exchange *exchange) {
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, exchange->target->host_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  exchange->host = answer.string;
  return exchange->host ? STEP_DONE
                        : exchange_refuse_answer(exchange, PIPE_TARGET, &answer,
                                                 "the target's host function must return a name or an address");
}

static enum step_result ask_port(struct exchange *exchange) {
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, exchange->target->port_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  free(answer.string);
  if (!answer.has_number || !port_is_valid(answer.number))
    return exchange_refuse_answer(exchange, PIPE_TARGET, &answer,
                                  "the target's port function must return a number from 1 to 65535");
  exchange->port = (int)answer.number;
  return STEP_DONE;
}

static enum step_result ask_balance(struct exchange *exchange) {
  const struct route *route = exchange->route;
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, route->balance_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  free(answer.string);
  if (!answer.has_number || !(answer.number >= 1 && answer.number <= (double)route->target_count) ||
      answer.number != (double)(size_t)answer.number)
    return exchange_refuse_answer(exchange, PIPE_TARGET, &answer,
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
static enum step_result choose_target(struct exchange *exchange) {
  const struct route *route = exchange->route;
  if (!exchange->target && route->balance_function != ROUTE_NO_FUNCTION) {
    enum step_result result = ask_balance(exchange);
    if (result != STEP_DONE)
      return result;
  } else if (!exchange->target) {
    exchange->target = route_choose_target(route, &exchange->connection->client_address);
  }
  if (exchange->target->load && !exchange->loaded) {
    atomic_fetch_add_explicit(&exchange->target->load->active, 1, memory_order_relaxed);
    exchange->loaded = true;
  }
  return STEP_DONE;
}

/* Fills host and port of the target being tried, by its functions where it has some. */
static enum step_result know_target(struct exchange *exchange) {
  const struct route *route = exchange->route;
  if (exchange->host_given)
    return STEP_DONE;
  if (route->target_function != ROUTE_NO_FUNCTION)
    return ask_target(exchange);
  enum step_result chosen = choose_target(exchange);
  if (chosen != STEP_DONE)
    return chosen;
  const struct route_target *target = exchange->target;
  if (target->host_function != ROUTE_NO_FUNCTION && !exchange->host) {
    enum step_result result = ask_host(exchange);
    if (result != STEP_DONE)
      return result;
  }
  if (exchange->port >= 0)
    return STEP_DONE;
  if (target->port_function != ROUTE_NO_FUNCTION)
    return ask_port(exchange);
  exchange->port = target->preserve_port ? exchange->connection->port : target->port;
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
static bool try_next(struct exchange *exchange, int status) {
  exchange->attempts++;
  bool next = has_next(exchange, status);
  log_failure(exchange, status, !next);
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
  struct exchange *exchange = context;
  (void)peer;
  exchange->dial = NULL;
  exchange->dialled = true;
  exchange->dial_status = status;
  exchange->dial_fd = fd;
  if (!exchange->dialling)
    exchange_resume(exchange);
}

/* The deadline is one for all targets; each has its share of what is left, so that one that is silent leaves time for
 * the rest. */
static void dial(struct exchange *exchange) {
  clock_ms now = exchange_now(exchange);
  uint64_t left = exchange->connect_deadline > now ? exchange->connect_deadline - now : 1;
  uint64_t ms = left / targets_left(exchange) + 1;
  uint16_t port = (uint16_t)(exchange->port < 0 ? 0 : exchange->port);
  struct dialer *dialer = &exchange_worker(exchange)->dialer;
  const struct route_target *target = exchange->host ? NULL : exchange->target;
  struct dial_terms terms = {.ms = ms, .done = on_dialled, .context = exchange};
  exchange->dialling = true;
  struct dial *dial = target && target->address.is_set
                          ? dial_start_address(dialer, &target->address, port, &terms)
                          : dial_start(dialer, target ? target->host : exchange->host, port, &terms);
  exchange->dialling = false;
  if (!exchange->dialled)
    exchange->dial = dial;
}

static void on_userspace_event(void *context) { exchange_wake(context); }

static void on_ending(void *context, enum pipe_side side, int status) {
  struct exchange *exchange = context;
  if (status < 0 && exchange->route->timeouts.linger == 0)
    exchange_close(exchange, side, CLOSE_RESET);
  else
    exchange_await_end(exchange);
}

static void on_ended(void *context, enum pipe_side side) {
  struct exchange *exchange = context;
  exchange->ended |= (uint8_t)(1 << side);
  exchange_touch(exchange); /* what may still come has its time from now on */
  bool both = exchange->ended == ((1 << PIPE_CLIENT) | (1 << PIPE_TARGET));
  if (both || (side == PIPE_TARGET && !exchange->route->half_open))
    exchange_close(exchange, side, CLOSE_ENDED);
  else
    exchange_arm_timer(exchange);
}

static void on_failed(void *context, enum pipe_side side, int status) {
  exchange_close(context, side, status == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_RESET);
}

static const struct pipe_callbacks pipe_callbacks = {
    .on_event = on_userspace_event, .on_ending = on_ending, .on_ended = on_ended, .on_failed = on_failed};

static enum step_result join(struct exchange *exchange, int fd) {
  struct worker *worker = exchange_worker(exchange);
  if (exchange->route->proxy_send.version > 0 && proxy_header_send(exchange, fd) < 0) {
    close(fd);
    exchange_close(exchange, PIPE_TARGET, CLOSE_RESET);
    return STEP_REFUSED;
  }
  if (stream_open(&exchange->target_stream, &worker->loop, fd, NULL, STREAM_WRITABLE) != 0) {
    close(fd);
    worker->metrics->worker.errors[ERROR_MEMORY]++;
    exchange_close(exchange, PIPE_TARGET, CLOSE_NO_MEMORY);
    return STEP_REFUSED;
  }
  exchange_set_state(exchange, EXCHANGE_FORWARDING);
  exchange_unpin_table(exchange);
  exchange_touch(exchange);
  if (!exchange->connection->codec) {
    exchange->before = exchange->connection->tally.own;
    exchange->before.in -= buffer_size(exchange->client->unread);
  }
  pipe_start(&exchange->pipe, &worker->pipes, exchange->client, &exchange->target_stream, &pipe_callbacks, exchange,
             &exchange->last_active);
  return exchange->state == EXCHANGE_FORWARDING ? STEP_DONE : STEP_GONE;
}

static void begin(struct exchange *exchange) {
  const struct route *route = exchange->route;
  clock_ms now = exchange_now(exchange);
  exchange->connect_deadline = route->timeouts.connect ? now + route->timeouts.connect : CLOCK_NEVER;
  exchange_set_state(exchange, EXCHANGE_CONNECTING);
  exchange_watch_client(exchange);
}

enum step_result userspace_run(struct exchange *exchange) {
  if (exchange->state != EXCHANGE_CONNECTING)
    begin(exchange);
  if (exchange->client->readiness & STREAM_FAILED) { /* it has left meanwhile */
    exchange_close(exchange, PIPE_CLIENT, CLOSE_RESET);
    return STEP_REFUSED;
  }
  for (;;) {
    if (!exchange->dialled) {
      if (exchange->dial)
        return STEP_WAIT;
      enum step_result result = know_target(exchange);
      if (result != STEP_DONE)
        return result;
      dial(exchange);
      if (!exchange->dialled)
        return STEP_WAIT;
    }
    exchange->dialled = false;
    if (exchange->dial_status == 0) {
      exchange->attempts++;
      return join(exchange, exchange->dial_fd);
    }
    count_failure(exchange, exchange->dial_status);
    if (!try_next(exchange, exchange->dial_status)) {
      exchange_close(exchange, PIPE_TARGET, reason_of(exchange->dial_status));
      return STEP_REFUSED;
    }
  }
}

void userspace_cancel(struct exchange *exchange, bool reset) {
  let_go(exchange);
  if (exchange->dialled && exchange->dial_status == 0)
    close(exchange->dial_fd); /* nobody has come to take it */
  exchange->dialled = false;
  if (exchange->state == EXCHANGE_CONNECTING && exchange->dial) {
    exchange->attempts++; /* nothing came of it, but the log has to say where the client waited */
    dial_cancel(exchange->dial);
    exchange->dial = NULL;
  }
  pipe_stop(&exchange->pipe);
  if (!exchange->reset_target)
    stream_close(&exchange->target_stream, reset);
}
