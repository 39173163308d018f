/* SPDX-License-Identifier: MIT
 *
 * The part of a plane in a swap: in which order everybody is asked, and that all change or none. */
#include "../support/plane_double.h"
#include "swap_fixture.h"

#include "net/listener.h"

struct bench {
  struct fixture fixture;
  struct plane_double engine;
  size_t prepared[2]; /* workers, when it was told to commit and to retire … */
  size_t swapped[2];
  struct endpoint moving; /* a port that moves between the two */
  bool had_listener[2];   /* … and whether a worker has it then */
};

/* Is somebody bound to the port? */
static bool is_listened_on(const struct endpoint *endpoint) {
  struct error error;
  return endpoint->length > 0 && listener_probe(endpoint, &error) == -EADDRINUSE;
}

static void look_around(struct plane_double *engine, char operation) {
  struct bench *bench = engine->context;
  struct fixture *fixture = &bench->fixture;
  if (operation != 'c' && operation != 'r')
    return;
  size_t at = operation == 'r';
  bench->prepared[at] = 0;
  for (size_t i = 0; i < WORKERS; i++)
    bench->prepared[at] += worker_of(fixture, i)->change != NULL;
  bench->swapped[at] = count_swapped(fixture);
  bench->had_listener[at] = is_listened_on(&bench->moving);
}

static struct route *kernel_route(const char *name, uint16_t port) {
  struct route *route = route_on(name, port, port);
  route->engine = ENGINE_NFTABLES;
  return route;
}

static struct route_table *table_with(struct route *route) {
  return table_of((struct route *[]){route_on("a", 0, 0), route}, 2);
}

static int set_up(void **state) {
  struct bench *bench = calloc(1, sizeof *bench);
  struct fixture *fixture = &bench->fixture;
  fixture_init(fixture, table_of((struct route *[]){route_on("a", 0, 0)}, 1), &bench->engine.plane);
  assert_int_equal(0, plane_init(&bench->engine.plane, &double_ops, &fixture->control, &fixture->log));
  bench->engine.on_operation = look_around;
  bench->engine.context = bench;
  *state = bench;
  return 0;
}

static int tear_down(void **state) {
  struct bench *bench = *state;
  plane_deinit(&bench->engine.plane);
  fixture_deinit(&bench->fixture);
  free(bench);
  return 0;
}

static void swap_to(struct bench *bench, struct route_table *table, int status) {
  fixture_begin(&bench->fixture, table);
  finish(&bench->fixture);
  assert_int_equal(status, bench->fixture.status);
}

static void settle(struct bench *bench) {
  for (int round = 0; round < 5; round++)
    turn(&bench->fixture);
}

static void commits_before_the_workers_and_retires_after_them(void **state) {
  struct bench *bench = *state;
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
  settle(bench);
  assert_string_equal("pcr", bench->engine.order);
  assert_int_equal(WORKERS, bench->prepared[0]);
  assert_int_equal(0, bench->swapped[0]);
  assert_int_equal(0, bench->prepared[1]);
  assert_int_equal(WORKERS, bench->swapped[1]);
  assert_int_equal(PLANE_IDLE, bench->engine.plane.phase);
  assert_ptr_equal(bench->fixture.live, bench->engine.plane.live);
  assert_int_equal(1, bench->fixture.live->port_count); /* no worker listens for it */
}

static void is_not_asked_about_tables_that_are_not_its(void **state) {
  struct bench *bench = *state;
  swap_to(bench, table_with(route_on("b", 0, 0)), 0);
  assert_string_equal("", bench->engine.order);
}

static void refuses_a_route_and_nothing_changes(void **state) {
  struct bench *bench = *state;
  bench->engine.refuses = "k";
  swap_to(bench, table_with(kernel_route("k", 9)), -EINVAL);
  assert_string_equal("pa", bench->engine.order);
  assert_int_equal(0, count_swapped(&bench->fixture));
  const struct plane_faults *refusals = swap_refusals(&bench->fixture.swap);
  assert_non_null(refusals);
  assert_int_equal(1, refusals->count);
  assert_string_equal("k", refusals->faults[0].route->name);
  assert_string_equal("match.ports", refusals->faults[0].field);
  assert_string_equal("the kernel does not want it", refusals->faults[0].message);
  bench->engine.refuses = NULL;
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
  assert_null(swap_refusals(&bench->fixture.swap));
}

/* The workers have prepared it by then. */
static void aborts_with_all_workers_when_its_commit_fails(void **state) {
  struct bench *bench = *state;
  bench->engine.fails = "c";
  swap_to(bench, table_with(kernel_route("k", 9)), -ENOBUFS);
  assert_string_equal("pca", bench->engine.order);
  assert_string_equal("the kernel is full", bench->fixture.swap.error.message);
  assert_int_equal(WORKERS, bench->prepared[0]);
  for (size_t i = 0; i < WORKERS; i++)
    assert_null(worker_of(&bench->fixture, i)->change);
  assert_int_equal(0, count_swapped(&bench->fixture));
  assert_null(bench->engine.plane.live);
  bench->engine.fails = NULL;
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
}

static void says_which_route_it_could_not_commit(void **state) {
  struct bench *bench = *state;
  bench->engine.refuses_late = "k";
  swap_to(bench, table_with(kernel_route("k", 9)), -EINVAL);
  assert_string_equal("pca", bench->engine.order);
  assert_string_equal("k", swap_refusals(&bench->fixture.swap)->faults[0].route->name);
}

static void aborts_when_a_worker_does_not_take_part(void **state) {
  struct bench *bench = *state;
  worker_drain(worker_of(&bench->fixture, 1), 0, on_drained, NULL);
  swap_to(bench, table_with(kernel_route("k", 9)), -ESHUTDOWN);
  assert_string_equal("pa", bench->engine.order);
  assert_null(worker_of(&bench->fixture, 0)->change);
}

static void is_given_up_when_it_does_not_answer(void **state) {
  struct bench *bench = *state;
  struct fixture *fixture = &bench->fixture;
  bench->engine.holds = "p";
  fixture_begin(fixture, table_with(kernel_route("k", 9)));
  settle(bench);
  assert_int_equal(0, fixture->done);
  assert_string_equal("nftables", swap_awaited_engine(&fixture->swap));
  clock_advance(&fixture->clock, (uint64_t)(PLANE_PATIENCE_MS + 100) * 1000000);
  finish(fixture);
  assert_int_equal(-ETIMEDOUT, fixture->status);
  assert_string_equal("pa", bench->engine.order);
  bench->engine.holds = NULL;
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
}

/* A commit that was asked for stands or does not: only the plane knows. */
static void is_waited_for_when_it_commits(void **state) {
  struct bench *bench = *state;
  struct fixture *fixture = &bench->fixture;
  bench->engine.holds = "c";
  fixture_begin(fixture, table_with(kernel_route("k", 9)));
  settle(bench);
  clock_advance(&fixture->clock, (uint64_t)10 * PLANE_PATIENCE_MS * 1000000);
  settle(bench);
  assert_int_equal(0, fixture->done);
  assert_string_equal("nftables", swap_awaited_engine(&fixture->swap));
  plane_answer(&bench->engine.plane, 0, NULL);
  finish(fixture);
  assert_int_equal(0, fixture->status);
  assert_null(swap_awaited_engine(&fixture->swap));
}

static void prepares_once_it_has_retired_what_the_swap_before_has_left(void **state) {
  struct bench *bench = *state;
  struct fixture *fixture = &bench->fixture;
  bench->engine.holds = "r";
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
  assert_string_equal("pcr", bench->engine.order);
  fixture_begin(fixture, table_with(kernel_route("k", 10)));
  settle(bench);
  assert_string_equal("pcr", bench->engine.order);
  bench->engine.holds = NULL;
  plane_answer(&bench->engine.plane, 0, NULL);
  finish(fixture);
  settle(bench);
  assert_int_equal(0, fixture->status);
  assert_string_equal("pcrpcr", bench->engine.order);
}

static void is_given_up_when_it_still_retires(void **state) {
  struct bench *bench = *state;
  struct fixture *fixture = &bench->fixture;
  bench->engine.holds = "r";
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
  fixture_begin(fixture, table_with(kernel_route("k", 10)));
  settle(bench);
  clock_advance(&fixture->clock, (uint64_t)(PLANE_PATIENCE_MS + 100) * 1000000);
  finish(fixture);
  assert_int_equal(-ETIMEDOUT, fixture->status);
  bench->engine.holds = NULL;
  plane_answer(&bench->engine.plane, 0, NULL); /* of what it has been at all the time */
  settle(bench);
  assert_string_equal("pcr", bench->engine.order);
  swap_to(bench, table_with(kernel_route("k", 10)), 0);
}

static void on_engine_stopped(struct plane *plane, int status, void *context) {
  (void)plane;
  *(int *)context = 1 + status;
}

static void note_stop(struct bench *bench, int *stopped) {
  bench->engine.plane.on_stopped = on_engine_stopped;
  bench->engine.plane.owner = stopped;
}

static void is_stopped_while_it_prepares(void **state) {
  struct bench *bench = *state;
  int stopped = 0;
  bench->engine.holds = "p";
  fixture_begin(&bench->fixture, table_with(kernel_route("k", 9)));
  settle(bench);
  note_stop(bench, &stopped);
  plane_stop(&bench->engine.plane, 0);
  finish(&bench->fixture);
  settle(bench);
  assert_int_equal(-ESHUTDOWN, bench->fixture.status);
  assert_int_equal(1, stopped);
  assert_string_equal("px", bench->engine.order);
  assert_int_equal(0, count_swapped(&bench->fixture));
}

static void is_left_when_it_does_not_stop(void **state) {
  struct bench *bench = *state;
  int stopped = 0;
  bench->engine.holds = "x";
  swap_to(bench, table_with(kernel_route("k", 9)), 0);
  note_stop(bench, &stopped);
  plane_stop(&bench->engine.plane, 60 * 1000);
  plane_stop(&bench->engine.plane, 0); /* in a hurry now */
  settle(bench);
  assert_int_equal(0, stopped);
  clock_advance(&bench->fixture.clock, (uint64_t)(PLANE_STOP_MS + 100) * 1000000);
  settle(bench);
  assert_int_equal(1 - ETIMEDOUT, stopped);
  plane_answer(&bench->engine.plane, 0, NULL); /* too late */
  settle(bench);
  assert_int_equal(PLANE_STOPPED, bench->engine.plane.phase);
}

static struct endpoint find_free_endpoint(void) {
  struct endpoint endpoint;
  socklen_t length = sizeof endpoint.storage;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(0, endpoint_from_literal(&endpoint, "127.0.0.1", 0));
  assert_int_equal(0, bind(fd, (struct sockaddr *)&endpoint.storage, endpoint.length));
  assert_int_equal(0, getsockname(fd, (struct sockaddr *)&endpoint.storage, &length));
  close(fd);
  return endpoint;
}

/* Somebody takes connections on the port that moves, in each moment between two events. */
static void finish_with_a_taker(struct bench *bench) {
  struct fixture *fixture = &bench->fixture;
  for (int round = 0; round < MOST_ROUNDS && fixture->done == 0; round++) {
    turn(fixture);
    assert_true(is_listened_on(&bench->moving) || double_find(bench->engine.has, "m"));
  }
  assert_int_equal(1, fixture->done);
  assert_int_equal(0, fixture->status);
}

static void a_port_that_moves_to_it_and_back_has_a_taker_throughout(void **state) {
  struct bench *bench = *state;
  struct fixture *fixture = &bench->fixture;
  bench->moving = find_free_endpoint();
  uint16_t port = endpoint_port(&bench->moving);
  swap_to(bench, table_with(route_on("m", port, port)), 0);
  assert_true(is_listened_on(&bench->moving));

  fixture_begin(fixture, table_with(kernel_route("m", port)));
  finish_with_a_taker(bench);
  assert_true(bench->had_listener[0]);  /* when the plane takes it up, the workers have it still … */
  assert_false(bench->had_listener[1]); /* … and have closed it since */
  settle(bench);

  fixture_begin(fixture, table_with(route_on("m", port, port)));
  finish_with_a_taker(bench);
  assert_true(bench->had_listener[1]); /* when the plane lets go of it, the workers have it already */
  assert_true(is_listened_on(&bench->moving));
  settle(bench);
  assert_string_equal("pcrpcr", bench->engine.order);
  assert_null(bench->engine.plane.live); /* nor does it keep a table that is not its */

  swap_to(bench, table_with(route_on("m", port, port)), 0);
  assert_string_equal("pcrpcr", bench->engine.order); /* it has nothing to do with it any more */
}

static void is_sampled_each_second_while_it_has_routes(void **state) {
  struct bench *bench = *state;
  struct route *route = kernel_route("k", 9);
  route->stats = 3;
  bench->engine.counts = 100;
  swap_to(bench, table_with(route), 0);
  settle(bench);
  assert_int_equal(0, bench->engine.samples);
  for (unsigned second = 1; second <= 3; second++) {
    clock_advance(&bench->fixture.clock, (uint64_t)(PLANE_SAMPLE_MS + 10) * 1000000);
    settle(bench);
    assert_int_equal(second, bench->engine.samples);
  }
  assert_int_equal(300, metrics_shard_route(bench->engine.plane.shard, 3)->bytes.in);
  swap_to(bench, table_with(route_on("b", 0, 0)), 0);
  settle(bench);
  clock_advance(&bench->fixture.clock, (uint64_t)10 * PLANE_SAMPLE_MS * 1000000);
  settle(bench);
  assert_int_equal(3, bench->engine.samples);
}

static void forgets_what_was_wrong_with_routes_that_have_gone(void **state) {
  struct bench *bench = *state;
  struct plane *plane = &bench->engine.plane;
  swap_to(bench, table_of((struct route *[]){kernel_route("k", 9), kernel_route("l", 10)}, 2), 0);
  plane_tell_fault(plane, bench->fixture.live->routes[0], NULL, "somebody has flushed it");
  plane_tell_fault(plane, NULL, NULL, "another table drops all");
  assert_int_equal(2, plane->faults.count);
  settle(bench);
  swap_to(bench, table_with(kernel_route("l", 10)), 0);
  assert_int_equal(1, plane->faults.count);
  assert_null(plane->faults.faults[0].route);
  plane_clear_faults(plane);
  assert_int_equal(0, plane->faults.count);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
      TEST(commits_before_the_workers_and_retires_after_them),
      TEST(is_not_asked_about_tables_that_are_not_its),
      TEST(refuses_a_route_and_nothing_changes),
      TEST(aborts_with_all_workers_when_its_commit_fails),
      TEST(says_which_route_it_could_not_commit),
      TEST(aborts_when_a_worker_does_not_take_part),
      TEST(is_given_up_when_it_does_not_answer),
      TEST(is_waited_for_when_it_commits),
      TEST(prepares_once_it_has_retired_what_the_swap_before_has_left),
      TEST(is_given_up_when_it_still_retires),
      TEST(is_stopped_while_it_prepares),
      TEST(is_left_when_it_does_not_stop),
      TEST(a_port_that_moves_to_it_and_back_has_a_taker_throughout),
      TEST(is_sampled_each_second_while_it_has_routes),
      TEST(forgets_what_was_wrong_with_routes_that_have_gone),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
