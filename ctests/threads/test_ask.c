/* SPDX-License-Identifier: MIT
 *
 * Asking: workers that are loops of this same thread, which the test runs or leaves standing. Who asks is C, or, where
 * it goes away meanwhile, a task in Lua that calls native.ask(). */
#include "threads/ask.h"

#include "native/host.h"
#include "script/record.h"
#include "script/scheduler.h"
#include "threads/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 2, BOTH = 3, MOST_ROUNDS = 100, STRETCHES = 5 };

struct bench {
  struct clock clock;
  struct log log;
  struct loop loop;
  struct thread of[WORKERS];
  struct thread *pointers[WORKERS];
  struct threads threads;
  struct asks asks;
  struct native_module module;
  struct script_host host;
  struct value *answers[ASK_MOST + 2];
  size_t answered;
  unsigned stretches[WORKERS + 1]; /* done, by the number of a worker; 0: of the control thread */
  unsigned given_up, freed, ended;
};

static struct bench *bench; /* a kind's functions are told of the question only */

struct question {
  unsigned stretches, only; /* only: a worker's number; 0: all */
};

struct found {
  uint64_t held;
  unsigned stretches;
};

static bool find_held(struct ask_part *part) {
  struct found *found = part->answer;
  const struct question *question = part->ask->question;
  unsigned number = part->worker ? part->worker->number : 0;
  bench->stretches[number]++;
  found->held = 100 * number + bench->stretches[number];
  return ++found->stretches < question->stretches;
}

static void count_give_up(struct ask_part *part) {
  (void)part;
  bench->given_up++;
}

static bool is_concerned(const void *question, unsigned worker) {
  const struct question *asked = question;
  return asked->only == 0 || asked->only == worker;
}

static void free_question(void *question) {
  bench->freed++;
  free(question);
}

static struct value *report(struct ask *ask) {
  struct value *root = value_table();
  value_set_boolean(root, "complete", ask_is_complete(ask));
  ask_write_workers(ask, root);
  return root;
}

static const struct record_field held_fields[] = {RECORD_FIELD(found, NULL, "held", held, 0)};
static const struct record_type held = {.size = sizeof(uint64_t), .fields = held_fields, .field_count = 1};

#define KIND                                                                                                           \
  .answer_size = sizeof(struct found), .brief = &held, .concerns = is_concerned, .step = find_held,                    \
  .give_up = count_give_up, .report = report, .free_question = free_question

static const struct ask_kind listing = {KIND}, ending = {KIND, .finishes = true}, own = {KIND, .here = true};

static void on_answer(void *context, struct value *value) {
  (void)context;
  bench->answers[bench->answered++] = value;
}

static struct question *question_new(unsigned stretches, unsigned only) {
  struct question *question = calloc(1, sizeof *question);
  assert_non_null(question);
  *question = (struct question){stretches, only};
  return question;
}

static void begin(const struct ask_kind *kind, unsigned stretches, unsigned only) {
  asks_begin(&bench->asks, kind, question_new(stretches, only), native_call_new(on_answer, NULL));
}

static void ask_from_lua(void *context, const char *question, const struct value *arguments, struct native_call *call) {
  (void)context;
  (void)arguments;
  asks_begin(&bench->asks, strcmp(question, "ending") == 0 ? &ending : &listing, question_new(STRETCHES, 0), call);
}

static const struct native_ops ops = {.ask = ask_from_lua};

static int set_up(void **state) {
  struct error error;
  bench = calloc(1, sizeof *bench);
  assert_non_null(bench);
  *state = bench;
  log_init(&bench->log, &bench->clock, 2);
  assert_int_equal(loop_init(&bench->loop, &bench->clock, bench), 0);
  for (unsigned i = 0; i < WORKERS; i++) {
    struct worker *worker = &bench->of[i].worker;
    worker->number = i + 1;
    assert_int_equal(loop_init(&worker->loop, &bench->clock, worker), 0);
    bench->pointers[i] = &bench->of[i];
  }
  bench->threads = (struct threads){.threads = bench->pointers, .count = WORKERS};
  asks_init(&bench->asks, &bench->loop, &bench->threads, NULL);
  bench->module = (struct native_module){.ops = &ops};
  struct script_place place = {.loop = &bench->loop, .log = &bench->log};
  struct script_options options = {.trusted = true, .library = "lua", .log = &bench->log};
  assert_int_equal(native_host_init(&bench->host, &place, &options, &bench->module, &error), 0);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  for (size_t i = 0; i < WORKERS; i++)
    loop_deinit(&bench->of[i].worker.loop);
  loop_round(&bench->loop, false);
  asks_deinit(&bench->asks);
  script_host_deinit(&bench->host);
  loop_deinit(&bench->loop);
  for (size_t i = 0; i < bench->answered; i++)
    value_free(bench->answers[i]);
  free(bench);
  return 0;
}

/* The control loop, and the workers that `running` has bits for. */
static void run(unsigned running) {
  for (size_t i = 0; i < WORKERS; i++)
    if (running & 1u << i)
      loop_round(&bench->of[i].worker.loop, false);
  loop_round(&bench->loop, false);
}

static void run_until(size_t answered, unsigned running) {
  for (int i = 0; bench->answered < answered; i++) {
    assert_true(i < MOST_ROUNDS);
    run(running);
  }
}

static const struct value *worker_at(size_t answer, size_t index) {
  const struct value *workers = value_get(bench->answers[answer], "workers");
  const struct value *worker = workers ? workers->first : NULL;
  while (worker && index-- > 0)
    worker = worker->next;
  return worker;
}

/* What the worker is told to have, as the record that is among its fields has it. */
static uint64_t held_at(size_t answer, size_t index) {
  for (const struct value *value = worker_at(answer, index)->first; value; value = value->next)
    if (value->kind == VALUE_RECORD)
      return record_number(&held_fields[0], value->records[0]);
  return 0;
}

static void all_workers_answer_in_stretches_between_their_events(void **state) {
  (void)state;
  begin(&listing, STRETCHES, 0);
  for (unsigned i = 1; i < STRETCHES; i++) {
    run(BOTH);
    assert_int_equal(bench->stretches[1], i);
    assert_int_equal(bench->answered, 0);
  }
  run_until(1, BOTH);
  assert_int_equal(bench->stretches[2], STRETCHES);
  assert_true(value_get_flag(bench->answers[0], "complete"));
  assert_true(value_get_flag(worker_at(0, 1), "answered"));
  assert_int_equal(held_at(0, 1), 200 + STRETCHES);
  assert_int_equal(bench->freed, 1);
}

static void one_worker_only_may_be_asked(void **state) {
  (void)state;
  begin(&listing, 2, 2);
  run_until(1, 2);
  assert_true(value_get_flag(bench->answers[0], "complete"));
  assert_int_equal(bench->stretches[1], 0);
  assert_int_equal((int)value_get_number(worker_at(0, 0), "number", 0), 2);
  assert_null(worker_at(0, 1));
}

static void the_control_thread_is_asked_in_stretches_too(void **state) {
  (void)state;
  begin(&own, STRETCHES, 0);
  run(0);
  assert_int_equal(bench->stretches[0], 1);
  run_until(1, 0);
  assert_int_equal(bench->stretches[0], STRETCHES);
  assert_true(value_get_flag(bench->answers[0], "complete"));
}

static void who_does_not_answer_is_told_with_what_it_said_last(void **state) {
  (void)state;
  begin(&listing, 1, 0);
  run_until(1, BOTH);
  uint64_t said = held_at(0, 1);
  begin(&listing, 1, 0);
  for (int i = 0; i < 10; i++)
    run(1);
  assert_int_equal(bench->answered, 1);
  clock_advance(&bench->clock, (ASK_PATIENCE_MS + 100) * 1000000ull);
  run_until(2, 1);
  assert_false(value_get_flag(bench->answers[1], "complete"));
  assert_true(value_get_flag(worker_at(1, 0), "answered"));
  const struct value *late = worker_at(1, 1);
  assert_false(value_get_flag(late, "answered"));
  assert_true(value_get_flag(late, "away"));
  assert_int_equal(held_at(1, 1), said);
  assert_true(value_get_number(late, "age", -1) * 1000 >= ASK_PATIENCE_MS);
  assert_int_equal(bench->freed, 1); /* the second is still the worker's to look at */
  run(BOTH);
  run(BOTH);
  assert_int_equal(bench->freed, 2);
  begin(&listing, 1, 1); /* what came too late is remembered */
  run_until(3, BOTH);
}

static void one_that_is_known_to_be_stuck_is_not_waited_for(void **state) {
  (void)state;
  bench->of[1].worker.stuck = true;
  begin(&listing, 1, 0);
  run_until(1, 1);
  assert_false(value_get_flag(bench->answers[0], "complete"));
  assert_false(value_get_flag(worker_at(0, 1), "answered"));
  assert_false(value_get_flag(worker_at(0, 1), "away"));
  assert_true(value_get_number(worker_at(0, 1), "age", -1) < 0);
}

static void beyond_the_most_at_a_time_it_is_refused(void **state) {
  (void)state;
  for (unsigned i = 0; i < ASK_MOST + 1; i++)
    begin(&listing, 1, 0);
  assert_int_equal(bench->answered, 1);
  assert_int_equal((int)value_get_number(bench->answers[0], "status", 0), 503);
  run_until(ASK_MOST + 1, BOTH);
  assert_int_equal(bench->freed, ASK_MOST + 1);
  begin(&listing, 1, 0);
  run_until(ASK_MOST + 2, BOTH);
  assert_true(value_get_flag(bench->answers[ASK_MOST + 1], "complete"));
}

static int push_nothing(lua_State *L, void *context) {
  lua_pushstring(L, context);
  lua_newtable(L);
  return 2;
}

static void on_lua_ended(void *context, enum task_end end, lua_State *coroutine) {
  (void)context;
  (void)end;
  (void)coroutine;
  bench->ended++;
}

/* A task in Lua asks, and is cancelled after one stretch. */
static void ask_and_leave(const char *question) {
  struct error error;
  assert_int_equal(
      script_host_start(&bench->host, "moongate.native", "ask", push_nothing, on_lua_ended, (void *)question, &error),
      0);
  run(BOTH);
  assert_int_equal(bench->stretches[1], 1);
  task_cancel(bench->host.state->tasks, false);
  for (int i = 0; i < 4 * STRETCHES; i++)
    run(BOTH);
  assert_int_equal(bench->ended, 1);
  assert_int_equal(bench->freed, 1);
  assert_int_equal(bench->asks.waiting, 0);
}

static void workers_stop_when_nobody_waits_any_more(void **state) {
  (void)state;
  ask_and_leave("listing");
  assert_true(bench->stretches[1] < STRETCHES);
  assert_int_equal(bench->given_up, WORKERS);
}

static void what_has_begun_and_has_to_be_done_is_done(void **state) {
  (void)state;
  ask_and_leave("ending");
  assert_int_equal(bench->stretches[1], STRETCHES);
  assert_int_equal(bench->given_up, 0);
}

static void what_waits_at_the_end_is_answered(void **state) {
  (void)state;
  begin(&listing, 1, 0);
  for (size_t i = 0; i < WORKERS; i++) /* their questions have nobody to go back to */
    bench->of[i].worker.loop.mailbox.first = NULL;
  asks_deinit(&bench->asks);
  assert_int_equal(bench->answered, 1);
  assert_int_equal((int)value_get_number(bench->answers[0], "status", 0), 503);
  assert_int_equal(bench->freed, 1);
}

static void what_the_control_thread_is_at_is_let_go_of_at_the_end(void **state) {
  (void)state;
  begin(&own, STRETCHES, 0);
  run(0);
  asks_deinit(&bench->asks);
  assert_int_equal(bench->answered, 1);
  assert_int_equal(bench->freed, 1);
  run(0);
  assert_int_equal(bench->stretches[0], 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_workers_answer_in_stretches_between_their_events, set_up, tear_down),
      cmocka_unit_test_setup_teardown(one_worker_only_may_be_asked, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_control_thread_is_asked_in_stretches_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_does_not_answer_is_told_with_what_it_said_last, set_up, tear_down),
      cmocka_unit_test_setup_teardown(one_that_is_known_to_be_stuck_is_not_waited_for, set_up, tear_down),
      cmocka_unit_test_setup_teardown(beyond_the_most_at_a_time_it_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(workers_stop_when_nobody_waits_any_more, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_has_begun_and_has_to_be_done_is_done, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_waits_at_the_end_is_answered, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_the_control_thread_is_at_is_let_go_of_at_the_end, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
