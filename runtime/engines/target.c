/* SPDX-License-Identifier: MIT
 *
 * Where to: the route's targets, one of them first, and what its functions say. */
#include "engines/userspace_private.h"

#include <stdlib.h>
#include <string.h>

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

struct target_choice target_choice_of(const struct exchange *exchange) {
  return (struct target_choice){
      .route = exchange->route,
      .client = &exchange->connection->client_address,
      .port = exchange->connection->port,
      .failures = exchange_worker(exchange)->dialer.failures,
      .now = exchange_now(exchange),
  };
}

void target_let_go(struct exchange *exchange) {
  if (exchange->loaded)
    target_load_leave(exchange->target->load);
  exchange->loaded = false;
}

static void avoid_failed(struct exchange *exchange) {
  const struct failures *failures = exchange_worker(exchange)->dialer.failures;
  if (exchange->route->target_count <= 1 || failures_count(failures) == 0)
    return;
  const struct target_choice choice = target_choice_of(exchange);
  exchange->target = route_avoid_failed(&choice, exchange->target);
}

/* The first target, unless one has been turned to already; it is counted. */
static enum step_result choose_target(struct exchange *exchange) {
  const struct route *route = exchange->route;
  if (!exchange->target) {
    if (route->balance_function != ROUTE_NO_FUNCTION) {
      enum step_result result = ask_balance(exchange);
      if (result != STEP_DONE)
        return result;
    } else {
      exchange->target = route_choose_target(route, &exchange->connection->client_address);
    }
    avoid_failed(exchange);
  }
  if (!exchange->loaded && route_counts_loads(route)) {
    atomic_fetch_add_explicit(&exchange->target->load->active, 1, memory_order_relaxed);
    exchange->loaded = true;
  }
  return STEP_DONE;
}

enum step_result target_know(struct exchange *exchange) {
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
