/* SPDX-License-Identifier: MIT
 *
 * Snapshots: workers that are loops of this same thread, which the test runs or leaves standing. Who asks is a Lua task
 * that asks for a snapshot. */
#include "threads/snapshot.h"

#include "connection/reason.h"
#include "connection/worker.h"
#include "native/host.h"
#include "net/pipe.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 2, MOST_ROUNDS = 1000 };

struct bench {
  struct clock clock;
  struct log log;
  struct loop loop;
  struct names names;
  struct snapshots snapshots;
  struct worker workers[WORKERS];
  struct native_module module;
  struct script_host host;
  struct native_task tasks[4];
  unsigned ended;
};

static void ask(void *context, const char *question, const struct value *arguments, struct native_call *call) {
  (void)question;
  (void)arguments;
  snapshots_ask(&((struct bench *)context)->snapshots, call);
}

static const struct native_ops ops = {.ask = ask};

static struct bench *bench_of_task; /* a task's record tells nothing of the test */

static void on_task_ended(struct native_task *task, int status, const char *message) {
  (void)task;
  assert_null(message);
  assert_int_equal(status, 0);
  bench_of_task->ended++;
}

static int set_up(void **state) {
  struct bench *bench = calloc(1, sizeof *bench);
  assert_non_null(bench);
  bench_of_task = bench;
  *state = bench;
  struct error error;
  log_init(&bench->log, &bench->clock, 2);
  assert_int_equal(loop_init(&bench->loop, &bench->clock, bench), 0);
  assert_int_equal(names_init(&bench->names), 0);
  assert_int_equal(snapshots_init(&bench->snapshots, &bench->loop, &bench->names, WORKERS), 0);
  for (size_t i = 0; i < WORKERS; i++) {
    assert_int_equal(loop_init(&bench->workers[i].loop, &bench->clock, &bench->workers[i]), 0);
    bench->workers[i].metrics = metrics_shard_new();
    assert_non_null(bench->workers[i].metrics);
    snapshots_set_worker(&bench->snapshots, i, &bench->workers[i]);
  }
  bench->module = (struct native_module){.ops = &ops, .context = bench};
  struct script_place place = {.loop = &bench->loop, .log = &bench->log};
  struct script_options options = {.trusted = true, .library = "lua", .log = &bench->log};
  assert_int_equal(native_host_init(&bench->host, &place, &options, &bench->module, &error), 0);
  return 0;
}

static int tear_down(void **state) {
  struct bench *bench = *state;
  for (size_t i = 0; i < WORKERS; i++)
    loop_deinit(&bench->workers[i].loop);
  loop_round(&bench->loop, false);
  snapshots_deinit(&bench->snapshots);
  script_host_deinit(&bench->host);
  loop_deinit(&bench->loop);
  for (size_t i = 0; i < WORKERS; i++)
    metrics_shard_free(bench->workers[i].metrics);
  names_deinit(&bench->names);
  free(bench);
  return 0;
}

static void start_asking(struct bench *bench, size_t index) {
  struct error error;
  static char *words[] = {"snapshot"};
  bench->tasks[index].on_ended = on_task_ended;
  assert_int_equal(native_start_words(&bench->host, &bench->tasks[index], "moongate.native", "ask", 1, words, &error),
                   0);
}

/* Runs the control loop, and the workers that `running` has bits for, until `ended` tasks have ended. */
static void run_until(struct bench *bench, unsigned ended, unsigned running) {
  for (int i = 0; bench->ended < ended; i++) {
    assert_true(i < MOST_ROUNDS);
    for (size_t w = 0; w < WORKERS; w++)
      if (running & 1u << w)
        loop_round(&bench->workers[w].loop, false);
    loop_round(&bench->loop, false);
  }
}

static double number_at(const struct value *table, const char *key) {
  const struct value *value = value_get(table, key);
  assert_non_null(value);
  assert_true(value->kind == VALUE_NUMBER || value->kind == VALUE_COUNTER);
  return value->number;
}

static const struct value *item(const struct value *list, size_t index) {
  const struct value *value = list ? list->first : NULL;
  while (value && index-- > 0)
    value = value->next;
  assert_non_null(value);
  return value;
}

static bool is_complete(const struct value *sum, size_t worker) {
  return value_get(item(value_get(sum, "workers"), worker), "complete")->boolean;
}

/* What a plane has counted is in each answer, of its routes and of all. */
static void counts_of_the_plane_are_in_the_sums(void **state) {
  struct bench *bench = *state;
  struct metrics_shard *shard = metrics_shard_new();
  unsigned api = names_number(&bench->names, "api", NULL);
  bench->snapshots.plane = shard;
  shard->worker.connections = 4;
  metrics_shard_route(shard, api)->bytes = (struct byte_count){30, 300};
  metrics_shard_route(bench->workers[0].metrics, api)->bytes = (struct byte_count){100, 1000};
  start_asking(bench, 0);
  run_until(bench, 1, 3);
  struct value *sum = snapshots_sum(&bench->snapshots);
  assert_true(number_at(sum, "connections") == 4);
  assert_true(number_at(sum, "bytes_in") == 130);
  assert_true(number_at(sum, "bytes_out") == 1300);
  assert_int_equal(snapshots_sum_route(&bench->snapshots, api).bytes.in, 130);
  value_free(sum);

  snapshots_fold_plane(&bench->snapshots, &api, 1);
  assert_int_equal(snapshots_sum_route(&bench->snapshots, api).bytes.in, 100);
  sum = snapshots_sum(&bench->snapshots);
  assert_true(number_at(sum, "bytes_in") == 130); /* what is folded is in the total */
  value_free(sum);
  bench->snapshots.plane = NULL;
  metrics_shard_free(shard);
}

static void counts_of_all_workers_are_added_up(void **state) {
  struct bench *bench = *state;
  unsigned api = names_number(&bench->names, "api", NULL);
  for (unsigned i = 0; i < WORKERS; i++) {
    struct metrics_shard *shard = bench->workers[i].metrics;
    shard->worker.connections = 10 + i;
    shard->worker.active = 1;
    shard->worker.terminations[PIPE_TARGET][CLOSE_RESET] = 2;
    shard->worker.errors[ERROR_HANDLER] = 5;
    shard->worker.overhead[OVERHEAD_PROXY_HEADER] = (struct byte_count){28, 52};
    metrics_shard_route(shard, api)->bytes = (struct byte_count){100, 1000};
    metrics_shard_route(shard, METRIC_NO_ROUTE)->bytes.in = 7;
  }
  start_asking(bench, 0);
  run_until(bench, 1, 3);
  struct value *sum = snapshots_sum(&bench->snapshots);
  assert_true(value_is_whole(sum));
  assert_true(number_at(sum, "connections") == 21);
  assert_true(number_at(sum, "active") == 2);
  const struct value *routes = value_get(sum, "routes");
  assert_string_equal(value_get(item(routes, 0), "name")->string, "(none)");
  assert_true(number_at(item(routes, 0), "bytes_in") == 14);
  assert_string_equal(value_get(item(routes, 1), "name")->string, "api");
  assert_true(number_at(item(routes, 1), "bytes_in") == 200);
  assert_true(number_at(item(routes, 1), "bytes_out") == 2000);
  assert_true(number_at(value_get(sum, "errors"), "handler") == 10);
  assert_true(number_at(value_get(value_get(sum, "overhead"), "proxy_header"), "in") == 56);
  assert_true(number_at(value_get(value_get(sum, "overhead"), "proxy_header"), "out") == 104);
  assert_true(number_at(value_get(value_get(sum, "terminations"), "target"), "reset") == 4);
  assert_true(is_complete(sum, 0) && is_complete(sum, 1));
  value_free(sum);
}

/* An address has connections on any worker; "other" has what is counted by none, and what a kernel engine counted. */
static void the_sum_over_all_addresses_is_the_total(void **state) {
  struct bench *bench = *state;
  unsigned api = names_number(&bench->names, "api", NULL);
  struct sockaddr_in peers[WORKERS + 1] = {{.sin_family = AF_INET}};
  struct metrics_shard *plane = metrics_shard_new();
  bench->snapshots.plane = plane;
  metrics_shard_route(plane, api)->bytes = (struct byte_count){5, 6};
  metrics_shard_route(plane, api)->connections = 3;
  plane->removed.bytes.in = 1;
  for (unsigned i = 0; i < WORKERS; i++) {
    struct metrics_shard *shard = bench->workers[i].metrics;
    for (unsigned p = 0; p <= i; p++) { /* the first has one on both workers */
      struct ip_address address;
      peers[p] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + p)};
      ip_address_from_sockaddr(&address, (const struct sockaddr *)&peers[p]);
      struct tally tally = {.own = {100, 1000}, .client = clients_begin(&shard->clients)};
      tally.client = clients_enter(&shard->clients, tally.client, &address);
      tally_set_route(&tally, &metrics_shard_route(shard, api)->bytes);
      tally_in(&tally, 7);
      tally_out(&tally, 8);
      tally.client->connections++;
    }
  }
  metrics_shard_route(bench->workers[0].metrics, METRIC_NO_ROUTE)->bytes.out = 9;
  bench->workers[0].metrics->clients.other.bytes.out = 9;
  start_asking(bench, 0);
  run_until(bench, 1, 3);
  size_t count;
  struct client_row *rows = snapshots_sum_clients(&bench->snapshots, &count);
  const struct client_count other = snapshots_sum_other_clients(&bench->snapshots);
  assert_int_equal(2, count);
  assert_int_equal(32, rows[0].prefix);
  assert_int_equal(1, rows[0].address[15]);
  assert_int_equal(214, rows[0].count.bytes.in);
  assert_int_equal(2016, rows[0].count.bytes.out);
  assert_int_equal(2, rows[0].count.connections);
  assert_int_equal(2, rows[0].count.active);
  assert_int_equal(2, rows[1].address[15]);
  assert_int_equal(107, rows[1].count.bytes.in);
  assert_int_equal(3, other.connections);
  struct value *sum = snapshots_totals(&bench->snapshots, NULL);
  assert_true(number_at(sum, "bytes_in") == (double)(214 + 107 + other.bytes.in));
  assert_true(number_at(sum, "bytes_out") == (double)(2016 + 1008 + other.bytes.out));
  assert_int_equal(214 + 107 + other.bytes.in, snapshots_sum_all_routes(&bench->snapshots).bytes.in);
  value_free(sum);
  free(rows);
  bench->snapshots.plane = NULL;
  metrics_shard_free(plane);
}

static void reasons_and_states_are_there_with_zero_and_none_is_not(void **state) {
  struct bench *bench = *state;
  struct value *sum = snapshots_sum(&bench->snapshots);
  const struct value *client = value_get(value_get(sum, "terminations"), "client");
  assert_true(number_at(client, "idle") == 0);
  assert_null(value_get(client, "none"));
  assert_true(number_at(value_get(sum, "states"), "forwarding") == 0);
  value_free(sum);
}

static void routes_come_in_the_order_of_their_names(void **state) {
  struct bench *bench = *state;
  const char *const sorted[] = {"(none)", "a", "b", "c"};
  names_number(&bench->names, "c", NULL);
  names_number(&bench->names, "a", NULL);
  names_number(&bench->names, "b", NULL);
  struct value *sum = snapshots_sum(&bench->snapshots);
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(value_get(item(value_get(sum, "routes"), i), "name")->string, sorted[i]);
  value_free(sum);
}

static void an_answer_is_never_older_than_its_question(void **state) {
  struct bench *bench = *state;
  start_asking(bench, 0);
  loop_round(&bench->workers[0].loop, false);
  loop_round(&bench->workers[1].loop, false);
  /* Copied already, not yet answered: what is counted now belongs to the second question. */
  bench->workers[0].metrics->worker.connections = 1;
  start_asking(bench, 1);
  run_until(bench, 2, 3);
  struct value *sum = snapshots_sum(&bench->snapshots);
  assert_true(number_at(sum, "connections") == 1);
  value_free(sum);
}

static void a_worker_that_does_not_answer_stands_with_its_last_copy(void **state) {
  struct bench *bench = *state;
  bench->workers[0].metrics->worker.connections = 1;
  bench->workers[1].metrics->worker.connections = 20;
  start_asking(bench, 0);
  run_until(bench, 1, 3);
  bench->workers[0].metrics->worker.connections = 2;
  bench->workers[1].metrics->worker.connections = 30;
  start_asking(bench, 1);
  for (int i = 0; i < 10; i++) {
    loop_round(&bench->workers[0].loop, false);
    loop_round(&bench->loop, false);
  }
  assert_int_equal(bench->ended, 1);
  clock_advance(&bench->clock, (SNAPSHOT_PATIENCE_MS + 100) * 1000000ull);
  run_until(bench, 2, 1);
  struct value *sum = snapshots_sum(&bench->snapshots);
  assert_true(number_at(sum, "connections") == 22);
  assert_true(is_complete(sum, 0));
  assert_false(is_complete(sum, 1));
  value_free(sum);
}

static void a_late_answer_does_not_pass_for_a_new_one(void **state) {
  struct bench *bench = *state;
  start_asking(bench, 0);
  clock_advance(&bench->clock, (SNAPSHOT_PATIENCE_MS + 100) * 1000000ull);
  run_until(bench, 1, 1);
  loop_round(&bench->workers[1].loop, false); /* its copy is on its way */
  bench->workers[1].metrics->worker.connections = 5;
  start_asking(bench, 1);
  run_until(bench, 2, 3);
  struct value *sum = snapshots_sum(&bench->snapshots);
  assert_true(number_at(sum, "connections") == 5);
  assert_true(is_complete(sum, 1));
  value_free(sum);
}

static void what_waits_at_the_end_is_answered(void **state) {
  struct bench *bench = *state;
  start_asking(bench, 0);
  start_asking(bench, 1);
  snapshots_deinit(&bench->snapshots);
  assert_int_equal(bench->ended, 2);
  for (size_t i = 0; i < WORKERS; i++) /* their questions have nobody to go back to */
    bench->workers[i].loop.mailbox.first = NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(counts_of_the_plane_are_in_the_sums, set_up, tear_down),
      cmocka_unit_test_setup_teardown(counts_of_all_workers_are_added_up, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_sum_over_all_addresses_is_the_total, set_up, tear_down),
      cmocka_unit_test_setup_teardown(reasons_and_states_are_there_with_zero_and_none_is_not, set_up, tear_down),
      cmocka_unit_test_setup_teardown(routes_come_in_the_order_of_their_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_answer_is_never_older_than_its_question, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_worker_that_does_not_answer_stands_with_its_last_copy, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_late_answer_does_not_pass_for_a_new_one, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_waits_at_the_end_is_answered, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
