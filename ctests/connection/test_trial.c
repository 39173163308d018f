/* SPDX-License-Identifier: MIT
 *
 * Connections on trial: whatever a step refuses for is foreseen, or stands below as what nobody can foresee; no step is
 * left out; and nothing is changed by it. */
#include "../support/tables.h"
#include "connection/admission.h"
#include "connection/corridor.h"
#include "connection/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* What a client comes to; a scenario changes it before there is a table. */
struct world {
  struct clock clock;
  struct admission admission;
  struct policy *policy;
  struct route *route;
  struct trial_client client;
  struct limit_entry *held;
};

static struct ip_address address(const char *text) {
  struct endpoint endpoint;
  struct ip_address address;
  assert_int_equal(endpoint_from_literal(&endpoint, text, 0), 0);
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint.storage);
  return address;
}

static struct ip_set *set_of(const char *text) {
  struct error error = {0};
  struct ip_set *set = ip_set_new(&text, 1, &error);
  assert_non_null(set);
  return set;
}

/* The client's address holds one connection, counted by the config's limits. */
static void hold_one(struct world *world, const struct limit_rule *rule) {
  assert_int_equal(
      limits_admit(world->admission.limits, &world->client.address, rule, clock_coarse(&world->clock), &world->held),
      LIMIT_ADMITTED);
}

static void cap_is_reached(struct world *world) {
  world->policy->connections = 1;
  atomic_store(&world->admission.connections, 1);
}

static void config_blocks(struct world *world) { world->policy->block = set_of("192.0.2.0/24"); }

static void route_is_full(struct world *world) {
  world->route->security.max_connections = 1;
  atomic_store(&world->route->shared->held, 1);
}

static void address_is_full(struct world *world) {
  world->policy->limits.connections.count = 1;
  hold_one(world, &(struct limit_rule){.connections = 2});
}

static void rate_is_reached(struct world *world) {
  world->policy->limits.rate = (struct address_limit){.is_set = true, .count = 1, .window_ms = 60000};
  hold_one(world, &(struct limit_rule){.rate = 1, .window_ms = 60000});
}

static void address_is_blocked(struct world *world) {
  const struct limit_rule rule = {.connections = 1, .block_ms = 60000};
  struct limit_entry *none;
  world->policy->limits.connections.count = 2;
  world->policy->block_ms = 60000;
  hold_one(world, &rule);
  assert_int_equal(
      limits_admit(world->admission.limits, &world->client.address, &rule, clock_coarse(&world->clock), &none),
      LIMIT_CONNECTIONS);
}

static void no_address_fits_in(struct world *world) {
  struct ip_address other = address("198.51.100.7");
  limits_free(world->admission.limits);
  world->admission.limits = limits_new(1);
  world->policy->limits.connections.count = 1;
  assert_int_equal(limits_admit(world->admission.limits, &other, &(struct limit_rule){.connections = 1},
                                clock_coarse(&world->clock), &world->held),
                   LIMIT_ADMITTED);
}

static void route_wants_others(struct world *world) { world->route->client_ips = set_of("10.0.0.0/8"); }

static void takes_tls(struct world *world) {
  world->route->tls = ROUTE_TLS_PASSTHROUGH;
  world->route->domains = calloc(1, sizeof(char *));
  world->route->domains[0] = strdup("a.example.com");
  world->route->domain_count = 1;
}

static void is_asked_in_http(struct world *world) {
  takes_tls(world);
  world->client.sends = "GET / HTTP/1.1\r\n\r\n";
}

static void is_asked_otherwise(struct world *world) {
  takes_tls(world);
  world->client.sends = "neither this nor that\r\n";
}

static void names_nothing(struct world *world) {
  takes_tls(world);
  world->client.is_tls = true;
}

static void names_another(struct world *world) {
  names_nothing(world);
  world->client.domain = "b.example.com";
  world->client.domain_length = strlen(world->client.domain);
}

/* For each reason the world in which a trial finds it, or why none can. */
static const struct {
  void (*make)(struct world *world);
  const char *unforeseen;
} foreseen[CLOSE_REASON_COUNT] = {
    [CLOSE_LIMIT_CONNECTIONS] = {cap_is_reached, NULL},
    [CLOSE_NOT_ALLOWED] = {config_blocks, NULL},
    [CLOSE_LIMIT_ROUTE] = {route_is_full, NULL},
    [CLOSE_LIMIT_IP] = {address_is_full, NULL},
    [CLOSE_LIMIT_RATE] = {rate_is_reached, NULL},
    [CLOSE_LIMIT_BLOCKED] = {address_is_blocked, NULL},
    [CLOSE_LIMIT_ADDRESSES] = {no_address_fits_in, NULL},
    [CLOSE_NO_ROUTE] = {route_wants_others, NULL},
    [CLOSE_PLAIN_HTTP] = {is_asked_in_http, NULL},
    [CLOSE_CLIENT_HELLO] = {is_asked_otherwise, NULL},
    [CLOSE_NO_SERVER_NAME] = {names_nothing, NULL},
    [CLOSE_UNKNOWN_SERVER_NAME] = {names_another, NULL},
    [CLOSE_NONE] = {NULL, "it is no reason"},
    [CLOSE_ENDED] = {NULL, "the peer's doing"},
    [CLOSE_CLOSED] = {NULL, "the handler's"},
    [CLOSE_RESET] = {NULL, "the peer's"},
    [CLOSE_REFUSED] = {NULL, "the target's"},
    [CLOSE_UNREACHABLE] = {NULL, "the target's"},
    [CLOSE_CONNECT_TIMEOUT] = {NULL, "the target's"},
    [CLOSE_RESOLVE] = {NULL, "the name server's"},
    [CLOSE_NO_DESCRIPTORS] = {NULL, "of the moment"},
    [CLOSE_NO_MEMORY] = {NULL, "of the moment"},
    [CLOSE_PROBE] = {NULL, "what a balancer sends"},
    [CLOSE_INITIAL_DATA] = {NULL, "how long the client takes"},
    [CLOSE_PROXY_HEADER] = {NULL, "what a proxy sends: a question is about the client behind it"},
    [CLOSE_NOT_AUTHORIZED] = {NULL, "a function says so: it is told that it is asked"},
    [CLOSE_NEAR_CAP] = {NULL, "later"},
    [CLOSE_IDLE] = {NULL, "later"},
    [CLOSE_LIFETIME] = {NULL, "later"},
    [CLOSE_HALF_CLOSED] = {NULL, "later"},
    [CLOSE_HALF_DEAD] = {NULL, "later"},
    [CLOSE_STUCK] = {NULL, "later"},
    [CLOSE_LINGER] = {NULL, "later"},
    [CLOSE_HANDLER_ERROR] = {NULL, "a function's"},
    [CLOSE_SCRIPT_TIME] = {NULL, "a function's"},
    [CLOSE_SHUTDOWN] = {NULL, "somebody's"},
    [CLOSE_KILLED] = {NULL, "somebody's"},
    [CLOSE_CHANGED] = {NULL, "somebody's"},
    [CLOSE_SUPERSEDED] = {NULL, "somebody's"},
};

static void world_init(struct world *world) {
  *world = (struct world){.held = NULL};
  world->policy = policy_new();
  world->route = route_on("front", 8080, 8080);
  world->route->shared = route_shared_new(LIMIT_SCOPE_ROUTES);
  assert_non_null(world->policy);
  assert_non_null(world->route->shared);
  assert_int_equal(admission_init(&world->admission, 16), 0);
  world->client.address = address("192.0.2.7");
}

/* Runs it twice: what a trial does not leave behind it does not find. */
static struct trial_record run(struct world *world) {
  struct route_table *table = table_of(&world->route, 1);
  table->policy = world->policy;
  world->client.port = &table->ports[0];
  unsigned connections = atomic_load(&world->admission.connections), held = atomic_load(&world->route->shared->held);
  struct trial *trial = trial_new(table, &world->admission, &world->clock);
  struct trial_record record, again;
  struct limit_report report;
  clock_ms now = clock_coarse(&world->clock);
  bool known = limits_find(world->admission.limits, &world->client.address, LIMIT_SCOPE_ALL, now, &report);
  assert_non_null(trial);
  assert_int_equal(trial_run(trial, &world->client, NULL, NULL, &record), 0);
  assert_int_equal(trial_run(trial, &world->client, NULL, NULL, &again), 0);
  assert_int_equal(again.refusal_count, record.refusal_count);
  assert_int_equal(atomic_load(&world->admission.connections), connections);
  assert_int_equal(atomic_load(&world->route->shared->held), held);
  assert_int_equal(limits_find(world->admission.limits, &world->client.address, LIMIT_SCOPE_ALL, now, &report), known);
  trial_free(trial);
  limits_release(world->admission.limits, world->held);
  admission_deinit(&world->admission);
  route_table_unref(table);
  return record;
}

static void each_reason_is_foreseen_or_known_to_be_unforeseen(void **state) {
  (void)state;
  for (unsigned reason = 0; reason < CLOSE_REASON_COUNT; reason++) {
    const char *label = close_reason_label((enum close_reason)reason);
    struct world world;
    if (!foreseen[reason].make == !foreseen[reason].unforeseen)
      fail_msg("%s: a reason that is new: make a world in which a trial finds it, or say why none can", label);
    if (!foreseen[reason].make)
      continue;
    world_init(&world);
    foreseen[reason].make(&world);
    struct trial_record record = run(&world);
    if (record.refusal_count != 1 || record.refusals[0].reason != reason)
      fail_msg("%s is not foreseen: %zu refusals, the first %s", label, record.refusal_count,
               record.refusal_count ? close_reason_label(record.refusals[0].reason) : "none");
  }
}

static void each_step_says_what_a_trial_makes_of_it(void **state) {
  (void)state;
  for (const struct connection_step *step = connection_corridor; step->name; step++)
    if (step->trial == STEP_UNTRIED || step->trial == STEP_LAST)
      fail_msg("%s: its row has to say what a trial makes of it", step->name);
  bool over = false;
  for (const struct exchange_step *step = exchange_corridor; step->name; step++) {
    over = over || step->trial == STEP_LAST;
    if (step->trial == STEP_UNTRIED || (over && step->trial != STEP_LAST))
      fail_msg("%s: its row has to say what a trial makes of it", step->name);
  }
}

static void who_is_let_in_is_told_its_route_and_what_is_asked(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  world.route->when_function = ROUTE_NO_FUNCTION;
  world.route->security.authorize_function = 3;
  world.route->keep_alive.function = 4;
  struct trial_record record = run(&world);
  assert_int_equal(record.refusal_count, 0);
  assert_non_null(record.route);
  assert_true(record.asks_authorize);
  assert_null(record.undecided);
}

static void a_when_is_asked_and_says_no(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  world.route->when_function = 2;
  struct trial_record record = run(&world);
  assert_int_equal(record.when_count, 1);
  assert_null(record.route);
  assert_int_equal(record.refusals[0].reason, CLOSE_NO_ROUTE);
  assert_int_equal(record.refusals[0].at, TRIAL_AT_CHOICE);
  assert_true(record.refusals[0].is_reset);
}

/* Both are told: the gate, and what there is behind it. */
static void who_is_kept_out_at_the_gate_is_looked_at_further(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  config_blocks(&world);
  world.route->security.block = set_of("192.0.2.7");
  struct trial_record record = run(&world);
  assert_int_equal(record.refusal_count, 2);
  assert_int_equal(record.refusals[0].at, TRIAL_AT_GATE);
  assert_string_equal(record.refusals[0].step, "enter");
  assert_string_equal(record.refusals[0].option, "security.ip_block");
  assert_int_equal(record.refusals[1].at, TRIAL_AT_ROUTE);
  assert_non_null(record.route);
}

static void what_a_client_says_nothing_of_is_undecided(void **state) {
  (void)state;
  struct world world;
  world_init(&world);
  takes_tls(&world);
  struct trial_record record = run(&world);
  assert_int_equal(record.refusal_count, 0);
  assert_string_equal(record.undecided, "sniff");
}

static void on_asked_long(void *context, const struct route *route) {
  (void)route;
  clock_advance(context, (uint64_t)TRIAL_TIME_MS * 1000 * 1000);
}

static void functions_are_asked_as_long_as_there_is_time(void **state) {
  enum { ROUTES = TRIAL_WHENS_LEAST + 8 };
  struct route *routes[ROUTES];
  struct clock clock = {0};
  struct trial_record record;
  (void)state;
  for (size_t i = 0; i < ROUTES; i++) {
    routes[i] = route_on("front", 8080, 8080);
    routes[i]->when_function = 2;
  }
  struct route_table *table = table_of(routes, ROUTES);
  struct trial *trial = trial_new(table, NULL, &clock);
  const struct trial_client client = {.port = &table->ports[0], .address = address("192.0.2.7")};
  assert_non_null(trial);
  assert_false(trial_is_over(trial));
  assert_int_equal(trial_run(trial, &client, NULL, NULL, &record), 0);
  assert_int_equal(record.when_count, ROUTES);
  assert_null(record.undecided);
  assert_int_equal(trial_run(trial, &client, on_asked_long, &clock, &record), 0);
  assert_true(trial_is_over(trial));
  assert_int_equal(record.when_count, TRIAL_WHENS_LEAST);
  assert_string_equal(record.undecided, "route");
  assert_null(record.route);
  assert_int_equal(record.refusal_count, 0);
  trial_free(trial);
  route_table_unref(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_reason_is_foreseen_or_known_to_be_unforeseen),
      cmocka_unit_test(each_step_says_what_a_trial_makes_of_it),
      cmocka_unit_test(who_is_let_in_is_told_its_route_and_what_is_asked),
      cmocka_unit_test(a_when_is_asked_and_says_no),
      cmocka_unit_test(who_is_kept_out_at_the_gate_is_looked_at_further),
      cmocka_unit_test(what_a_client_says_nothing_of_is_undecided),
      cmocka_unit_test(functions_are_asked_as_long_as_there_is_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
