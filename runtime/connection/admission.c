/* SPDX-License-Identifier: MIT
 *
 * Counting connections in and out, and saying no. Loopback and trusted proxies are no clients of their own: the limits
 * of one address do not hold for them. */
#include "connection/admission.h"

#include "connection/connection_private.h"
#include "connection/proxied.h"
#include "connection/trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RECLAIM_LOOKS = 16, CAP_NEAR_PERCENT = 90 };

int admission_init(struct admission *admission, size_t addresses) {
  atomic_init(&admission->connections, 0);
  admission->limits = limits_new(addresses);
  return admission->limits ? 0 : -ENOMEM;
}

void admission_deinit(struct admission *admission) {
  limits_free(admission->limits);
  admission->limits = NULL;
}

static const struct policy *policy_of(const struct exchange *exchange) { return exchange->pin->table->policy; }

enum step_result admission_refuse(struct exchange *exchange, enum close_reason reason, const char *option,
                                  int64_t limit) {
  const struct connection *connection = exchange->connection;
  struct worker *worker = connection->worker;
  const struct route *route = exchange->route;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  if (worker->trial)
    return trial_refuse(worker->trial, reason, option, limit);
  worker->metrics->worker.errors[ERROR_REFUSED]++;
  if (log_enabled(worker->log, LOG_WARN) &&
      log_limits_pass(&worker->refusal_logs, (unsigned)reason, loop_now(&worker->loop), &suppressed))
    LOG(worker->log, LOG_WARN, "a client was refused", LOG_STRING("reason", close_reason_label(reason)),
        LOG_STRING("option", option), limit < 0 ? LOG_STRING("limit", NULL) : LOG_INTEGER("limit", limit),
        LOG_STRING("client", ip_address_format(&connection->client_address, client)),
        LOG_INTEGER("port", connection->port), LOG_STRING("route", route ? route->name : NULL),
        LOG_STRING("connection", connection_id(connection, id)), LOG_INTEGER("not_logged_before", suppressed));
  exchange_close(exchange, PIPE_CLIENT, reason);
  return STEP_REFUSED;
}

/* --- the cap --- */

static bool is_idle(const struct connection *connection, clock_ms now, uint64_t bound) {
  bool is_quiet = connection->codec
                      ? connection->state == CONNECTION_IDLE && connection->state_since + bound <= now
                      : connection->state == CONNECTION_FORWARDING && connection->first.last_active + bound <= now;
  return is_quiet && connection->keep_alive != KEEP_ALIVE_IMMORTAL;
}

void admission_reclaim(struct worker *worker) {
  const struct policy *policy = worker->pin ? worker->pin->table->policy : NULL;
  uint64_t bound = policy ? policy->idle_near_cap_ms : 0;
  clock_ms now = loop_now(&worker->loop);
  for (int looks = 0; bound > 0 && looks < RECLAIM_LOOKS; looks++) {
    if (!worker->reclaiming)
      connection_walk_begin(&worker->reclaim, worker);
    struct connection *connection = connection_walk_next(&worker->reclaim, worker);
    worker->reclaiming = connection != NULL;
    if (!connection)
      return; /* the next look begins anew */
    if (is_idle(connection, now, bound))
      connection_close(connection, PIPE_CLIENT, CLOSE_NEAR_CAP);
  }
}

/* One more, unless there are `most` (0: no limit): what is refused never counts, so that it keeps nobody else out, and
 * nor does what is on trial. */
static bool count_one(const struct worker *worker, atomic_uint *count, unsigned most) {
  unsigned before = atomic_load_explicit(count, memory_order_relaxed);
  do {
    if (most > 0 && before >= most)
      return false;
    if (worker->trial)
      return true;
  } while (
      !atomic_compare_exchange_weak_explicit(count, &before, before + 1, memory_order_relaxed, memory_order_relaxed));
  return true;
}

enum step_result step_cap(struct connection *connection) {
  struct worker *worker = connection->worker;
  const struct policy *policy = policy_of(&connection->first);
  if (!worker->admission)
    return STEP_DONE;
  unsigned most = policy ? policy->connections : 0;
  unsigned now = atomic_load_explicit(&worker->admission->connections, memory_order_relaxed);
  if (most > 0 && (uint64_t)now * 100 >= (uint64_t)most * CAP_NEAR_PERCENT)
    admission_reclaim(worker);
  connection->counted = count_one(worker, &worker->admission->connections, most);
  return connection->counted
             ? STEP_DONE
             : admission_refuse(&connection->first, CLOSE_LIMIT_CONNECTIONS, "limits.connections", most);
}

/* --- one address --- */

/* The loopback that counts is ours, where a connection has come from: what a proxy names so is its own, or anybody's.
 */
static bool is_local(const struct connection *connection) {
  const struct ip_address *address = &connection->client_address;
  bool is_named = connection->proxied && memcmp(connection->proxied->hop.bytes, address->bytes, sizeof address->bytes);
  return !is_named && ip_address_is_loopback(address);
}

static bool is_exempt(const struct exchange *exchange) {
  const struct ip_address *address = &exchange->connection->client_address;
  const struct policy *policy = policy_of(exchange);
  return !address->is_set || is_local(exchange->connection) ||
         (policy && policy->trusted && ip_set_contains(policy->trusted, address));
}

static enum step_result refuse_address(struct exchange *exchange, enum limit_answer answer,
                                       const struct limit_rule *rule) {
  bool by_route = rule->scope >= LIMIT_SCOPE_ROUTES;
  switch (answer) {
  case LIMIT_CONNECTIONS:
    return admission_refuse(exchange, CLOSE_LIMIT_IP,
                            by_route ? "security.max_connections_per_ip" : "limits.connections_per_ip",
                            rule->connections);
  case LIMIT_RATE:
    return admission_refuse(exchange, CLOSE_LIMIT_RATE,
                            by_route ? "security.connection_rate" : "limits.connection_rate", rule->rate);
  case LIMIT_BLOCKED:
    return admission_refuse(exchange, CLOSE_LIMIT_BLOCKED, "limits.block_for", (int64_t)rule->block_ms / 1000);
  default:
    return admission_refuse(exchange, CLOSE_LIMIT_ADDRESSES, "limits.addresses", -1);
  }
}

static enum step_result count_address(struct exchange *exchange, const struct limit_rule *rule,
                                      struct limit_entry **held) {
  struct worker *worker = exchange_worker(exchange);
  struct limits *limits = worker->admission->limits;
  const struct ip_address *client = &exchange->connection->client_address;
  enum limit_answer answer =
      worker->trial ? limits_foresee(limits, client, rule, exchange_now(exchange), trial_blocked_ms(worker->trial))
                    : limits_admit(limits, client, rule, exchange_now(exchange), held);
  return answer == LIMIT_ADMITTED ? STEP_DONE : refuse_address(exchange, answer, rule);
}

static bool is_listed(const struct ip_set *set, const struct ip_address *address) {
  return set && ip_set_contains(set, address);
}

const char *admission_find_refusal(const struct ip_set *allow, const struct ip_set *block,
                                   const struct ip_address *address) {
  if (!address->is_set)
    return NULL;
  if (is_listed(block, address))
    return "security.ip_block";
  return allow && !is_listed(allow, address) ? "security.ip_allow" : NULL;
}

enum step_result step_enter(struct connection *connection) {
  struct exchange *first = &connection->first;
  const struct policy *policy = policy_of(first);
  connection_enter_client(connection);
  if (!policy)
    return STEP_DONE;
  const char *option = admission_find_refusal(policy->allow, policy->block, &connection->client_address);
  if (option)
    return admission_refuse(first, CLOSE_NOT_ALLOWED, option, -1);
  const struct table_port *port = first->table_port;
  bool is_routed_at_once = !port->has_tls && !port->has_when;
  if (!connection->worker->admission || is_routed_at_once || is_exempt(first))
    return STEP_DONE;
  const struct limit_rule rule = {
      .scope = LIMIT_SCOPE_UNROUTED, .connections = policy->limits.connections.count, .block_ms = policy->block_ms};
  return count_address(first, &rule, &connection->address_held);
}

/* --- the route's own --- */

/* Counted without a limit too: a reload may bring one. */
static enum step_result count_route(struct exchange *exchange) {
  const struct route *route = exchange->route;
  uint32_t most = route->security.max_connections;
  if (!route->shared)
    return STEP_DONE;
  exchange->route_counted = count_one(exchange_worker(exchange), &route->shared->held, most);
  return exchange->route_counted ? STEP_DONE
                                 : admission_refuse(exchange, CLOSE_LIMIT_ROUTE, "security.max_connections", most);
}

/* The connections in one scope, the rate in another; only the former are held. */
static enum step_result count_apart(struct exchange *exchange, const struct limit_rule *rule, uint32_t rate_scope,
                                    struct limit_entry **held) {
  struct limit_entry *passing = NULL;
  struct limit_rule part = *rule;
  part.rate = 0;
  enum step_result result = count_address(exchange, &part, held);
  if (result != STEP_DONE)
    return result;
  part = *rule;
  part.scope = rate_scope;
  part.connections = 0;
  result = count_address(exchange, &part, &passing);
  limits_release(exchange_worker(exchange)->admission->limits, passing);
  return result;
}

/* What a route says takes the place of what the config says, limit by limit. The config is asked once for a connection;
 * a route counts its exchanges. */
static enum step_result count_client(struct exchange *exchange) {
  struct connection *connection = exchange->connection;
  const struct route *route = exchange->route;
  const struct policy *policy = policy_of(exchange);
  const struct address_limits *own = &route->security.limits;
  static const struct address_limits none = {{.is_set = true}, {.is_set = true}};
  const struct address_limits *config = policy ? &policy->limits : &none;
  if (!connection->worker->admission || (connection->admitted && !own->connections.is_set))
    return STEP_DONE;
  if (!connection->admitted) {
    limits_release(connection->worker->admission->limits, connection->address_held);
    connection->address_held = NULL;
  }
  if (is_exempt(exchange))
    return STEP_DONE;
  const struct address_limit *rate = own->rate.is_set ? &own->rate : &config->rate;
  uint32_t own_scope = route->shared ? route->shared->scope : LIMIT_SCOPE_ROUTES,
           rate_scope = own->rate.is_set ? own_scope : LIMIT_SCOPE_ALL;
  const struct limit_rule rule = {
      .scope = own->connections.is_set ? own_scope : LIMIT_SCOPE_ALL,
      .connections = own->connections.is_set ? own->connections.count : config->connections.count,
      .rate = connection->admitted ? 0 : rate->count,
      .window_ms = rate->window_ms,
      .block_ms = policy ? policy->block_ms : 0,
  };
  struct limit_entry **held = own->connections.is_set ? &exchange->address_held : &connection->address_held;
  return rule.scope == rate_scope || connection->admitted ? count_address(exchange, &rule, held)
                                                          : count_apart(exchange, &rule, rate_scope, held);
}

static enum step_result ask_authorize(struct exchange *exchange) {
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, exchange->route->security.authorize_function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  free(answer.string);
  return answer.truthy ? STEP_DONE : admission_refuse(exchange, CLOSE_NOT_AUTHORIZED, "security.authorize", -1);
}

/* False: that is no treatment. */
static bool take_treatment(struct exchange *exchange, const char *word) {
  for (unsigned i = 0; keep_alive_words[i]; i++) {
    if (strcmp(word, keep_alive_words[i]) == 0) {
      exchange->connection->keep_alive = (uint8_t)i;
      return true;
    }
  }
  return false;
}

static bool is_multiplier(double number) { return number >= 1 && number <= 1000 && number == (double)(int)number; }

/* "extended", 10; nothing: as the route would have it without the function. */
static enum step_result ask_keep_alive(struct exchange *exchange) {
  struct function_answer answer;
  enum function_result result = exchange_ask(exchange, exchange->route->keep_alive.function, &answer);
  if (result != FUNCTION_ANSWERED)
    return exchange_not_answered(result);
  bool fits = answer.string ? take_treatment(exchange, answer.string) : !answer.truthy;
  free(answer.string);
  if (!fits)
    return exchange_refuse_answer(exchange, PIPE_CLIENT, &answer,
                                  "keep_alive must return \"standard\", \"extended\", \"immortal\" or nothing");
  if (answer.odd_second || (answer.has_number && !is_multiplier(answer.number)))
    return exchange_refuse_answer(exchange, PIPE_CLIENT, &answer,
                                  "keep_alive returned a multiplier that is not a whole number from 1 to 1000");
  if (answer.has_number)
    exchange->connection->keep_alive_multiplier = (uint16_t)answer.number;
  return STEP_DONE;
}

/* What is left to be done, one after the other, because the functions may wait. */
enum admit_phase { ADMIT_COUNT, ADMIT_AUTHORIZE, ADMIT_KEEP_ALIVE, ADMIT_DONE };

static enum step_result admit_phase(struct exchange *exchange) {
  struct connection *connection = exchange->connection;
  const struct route *route = exchange->route;
  const char *option;
  enum step_result result;
  switch ((enum admit_phase)exchange->admit_phase) {
  case ADMIT_COUNT:
    if (!connection->admitted) {
      connection->keep_alive = (uint8_t)route->keep_alive.treatment;
      connection->keep_alive_multiplier = (uint16_t)route->keep_alive.multiplier;
    }
    option = admission_find_refusal(route->security.allow, route->security.block, &connection->client_address);
    if (option)
      return admission_refuse(exchange, CLOSE_NOT_ALLOWED, option, -1);
    result = count_route(exchange);
    result = result == STEP_DONE ? count_client(exchange) : result;
    exchange->admitted_first = result == STEP_DONE && !connection->admitted;
    connection->admitted = connection->admitted || exchange->admitted_first;
    return result;
  case ADMIT_AUTHORIZE:
    return route->security.authorize_function == ROUTE_NO_FUNCTION ? STEP_DONE : ask_authorize(exchange);
  case ADMIT_KEEP_ALIVE:
    return !exchange->admitted_first || route->keep_alive.function == ROUTE_NO_FUNCTION ? STEP_DONE
                                                                                        : ask_keep_alive(exchange);
  default:
    return STEP_DONE;
  }
}

enum step_result step_admit(struct exchange *exchange) {
  for (; exchange->admit_phase < ADMIT_DONE; exchange->admit_phase++) {
    enum step_result result = admit_phase(exchange);
    if (result != STEP_DONE)
      return result;
  }
  return STEP_DONE;
}

void admission_leave_route(struct exchange *exchange) {
  if (exchange->address_held)
    limits_release(exchange_worker(exchange)->admission->limits, exchange->address_held);
  exchange->address_held = NULL;
  if (exchange->route_counted)
    atomic_fetch_sub_explicit(&exchange->route->shared->held, 1, memory_order_relaxed);
  exchange->route_counted = false;
}

void admission_leave(struct connection *connection) {
  struct admission *admission = connection->worker->admission;
  if (admission) {
    if (connection->address_held)
      limits_release(admission->limits, connection->address_held);
    if (connection->counted)
      atomic_fetch_sub_explicit(&admission->connections, 1, memory_order_relaxed);
  }
  connection->address_held = NULL;
  connection->counted = false;
  if (connection->proxied)
    free(connection->proxied);
  connection->proxied = NULL;
}
